//! What the plan of requests asks of each channel: bytes, time, and what is left when units die. Reckoned before a site
//! runs; a channel that cannot meet its periods is refused.

use crate::channel::channels;
use crate::config::DeviceConfig;
use crate::pdu::Request;
use crate::plan::ReadRequest;
use crate::sunspec::models::HEAD;
use std::time::Duration;

/// One request of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRequest {
    /// Place of the device in the list given.
    pub device: usize,
    /// Place of the group in the device.
    pub group: usize,
    /// The request.
    pub request: ReadRequest,
    /// Places read that belong to no point.
    pub wasted: u16,
    /// Bytes out and back, frames included.
    pub bytes: usize,
    /// What it takes, silence and the device's thinking included.
    pub expected: Duration,
}

/// What happens to the living when units die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dead {
    /// So many, the ones that cost most.
    pub units: usize,
    /// Longest turn of everything at the moment they die.
    pub at_first: Duration,
    /// Longest turn of everything from then on: one probe lies in it.
    pub then: Duration,
}

/// The load of one channel.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelLoad {
    /// Places of its devices in the list given.
    pub members: Vec<usize>,
    /// Every read request.
    pub requests: Vec<PlannedRequest>,
    /// Share of the channel's time that reads and heartbeats take; above 1 the periods cannot be met.
    pub share: f64,
    /// Time of everything at once: the longest a request waits when all is well.
    pub turn: Duration,
    /// With one, two, three and all but one unit dead, as far as there are so many.
    pub dead: Vec<Dead>,
}

impl ChannelLoad {
    /// Share of the channel's time that one group of a device takes.
    #[must_use]
    pub fn group_share(&self, devices: &[&DeviceConfig], device: usize, group: usize) -> f64 {
        let Some(every) = devices.get(device).and_then(|d| d.groups.get(group)).map(|g| g.every) else { return 0.0 };
        self.of(device, group).map(|r| r.expected.as_secs_f64() / every.as_secs_f64()).sum()
    }

    /// The group that asks most of the channel: place of its device, place in the device.
    #[must_use]
    pub fn heaviest(&self, devices: &[&DeviceConfig]) -> Option<(usize, usize)> {
        let mut groups: Vec<(usize, usize)> = self.requests.iter().map(|r| (r.device, r.group)).collect();
        groups.sort_unstable();
        groups.dedup();
        let share = |(device, group): &(usize, usize)| self.group_share(devices, *device, *group);
        groups.into_iter().max_by(|a, b| share(a).total_cmp(&share(b)))
    }

    /// Why the periods cannot be met, where they cannot: in words for a person.
    #[must_use]
    pub fn too_much(&self, devices: &[&DeviceConfig]) -> Option<String> {
        if self.share <= 1.0 {
            return None;
        }
        let (device, group) = self.heaviest(devices)?;
        let config = devices.get(device)?;
        let name = config.groups.get(group).map(|g| (&*g.name, g.every))?;
        let (count, time) =
            self.of(device, group).fold((0_u32, Duration::ZERO), |(count, time), r| (count + 1, time + r.expected));
        Some(format!(
            "the polls take {:.0} % of the time of {}: they cannot be done in their periods; most is group `{}` of \
             device `{}`, {count} requests of {:.0} ms together every {:?}",
            self.share * 100.0,
            place(config),
            name.0,
            config.name,
            time.as_secs_f64() * 1e3,
            name.1,
        ))
    }

    fn of(&self, device: usize, group: usize) -> impl Iterator<Item = &PlannedRequest> {
        self.requests.iter().filter(move |r| r.device == device && r.group == group)
    }
}

/// A channel in words: its name, or where it is.
fn place(config: &DeviceConfig) -> String {
    config.channel.name.as_ref().map_or_else(|| config.address.clone(), |name| format!("channel `{name}`"))
}

/// The load of each channel of these devices.
#[must_use]
pub fn load(devices: &[&DeviceConfig]) -> Vec<ChannelLoad> {
    let assumed: Vec<DeviceConfig> = devices.iter().map(|device| device.assumed().0).collect();
    let devices: Vec<&DeviceConfig> = assumed.iter().collect();
    channels(devices.iter().copied()).into_iter().map(|members| of_channel(&devices, members)).collect()
}

fn of_channel(devices: &[&DeviceConfig], members: Vec<usize>) -> ChannelLoad {
    let mut requests = Vec::new();
    let mut share = 0.0;
    for &device in &members {
        let config = devices[device];
        for (group, list) in config.plan().groups.into_iter().enumerate() {
            for request in list {
                let planned = planned(config, device, group, request);
                share += planned.expected.as_secs_f64() / config.groups[group].every.as_secs_f64().max(1e-3);
                requests.push(planned);
            }
        }
        if let Some(beat) = &config.heartbeat {
            let words = beat.words(0);
            let write = Request::WriteWords { at: beat.address.pdu, plural: words.len() > 1, words };
            share += config.channel.expected(&write).as_secs_f64() / beat.every.as_secs_f64().max(1e-3);
        }
    }
    let turn = requests.iter().map(|r| r.expected).sum();
    let mut load = ChannelLoad { members, requests, share, turn, dead: Vec::new() };
    let units = load.members.len();
    let mut counts = vec![1, 2, 3, units.saturating_sub(1)];
    counts.retain(|k| (1..=units).contains(k));
    counts.sort_unstable();
    counts.dedup();
    load.dead = counts.into_iter().map(|k| dead(devices, &load, k)).collect();
    load
}

fn planned(config: &DeviceConfig, device: usize, group: usize, request: ReadRequest) -> PlannedRequest {
    let ask = Request::Read { area: request.area, start: request.start, count: request.count };
    let mut used = vec![false; usize::from(request.count)];
    for point in request.points.iter().map(|i| &config.points[*i]) {
        let mut uses = |at: u16, count: u16| {
            let from = usize::from(at.saturating_sub(request.start));
            used.iter_mut().skip(from).take(usize::from(count)).for_each(|place| *place = true);
        };
        uses(point.address.pdu, point.places());
        if let Some(placed) = point.sunspec.as_ref().and_then(|s| s.placed.as_ref()) {
            placed.factor().into_iter().for_each(|factor| uses(factor, 1));
            placed.head().into_iter().for_each(|head| uses(head, HEAD));
        }
    }
    let wasted = u16::try_from(used.iter().filter(|used| !**used).count()).unwrap_or(u16::MAX);
    let expected = config.channel.expected(&ask) + config.quirks.pause;
    PlannedRequest { device, group, wasted, bytes: config.channel.bytes(&ask), expected, request }
}

/// The `k` units whose silence costs most are dead.
fn dead(devices: &[&DeviceConfig], load: &ChannelLoad, k: usize) -> Dead {
    let silence = |device: &usize| devices[*device].timeout + devices[*device].channel.silence();
    let mut order = load.members.clone();
    order.sort_by_key(|device| std::cmp::Reverse(silence(device) * (1 + u32::from(devices[*device].retries()))));
    let (gone, _) = order.split_at(k.min(order.len()));
    let living: Duration = load.requests.iter().filter(|r| !gone.contains(&r.device)).map(|r| r.expected).sum();
    let at_first: Duration = gone.iter().map(|d| silence(d) * (1 + u32::from(devices[*d].retries()))).sum();
    let probe = gone.iter().map(silence).max().unwrap_or_default();
    Dead { units: k, at_first: living + at_first, then: living + probe }
}
