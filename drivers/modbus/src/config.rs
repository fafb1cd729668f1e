//! What a site declares about one Modbus device.

use crate::address::{Address, Area};
use crate::limits::{BITS_MAX, POLL_PERIOD_MIN, REGISTERS_MAX, RETRIES_MAX};
use crate::line::{ChannelConfig, Transport};
use crate::plan::Plan;
use crate::quirks::Quirks;
use crate::sunspec::point::SunSpecPoint;
use crate::sunspec::reference::Alternative;
use crate::wire::{ByteOrder, WireType};
use penstock_model::{DeviceId, Liveness, TagId, ValueType};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

/// How a point is written and checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WriteConfig {
    /// How long the device may take until the value reads back; zero checks once, at once.
    pub verify_within: Duration,
    /// Largest difference between the value commanded and the value read back, in the tag's unit.
    pub tolerance: f64,
    /// The last command is written again after this time, for devices that revert to their own state when they hear
    /// nothing for a while (an inverter's revert timer); `None` writes on change only.
    pub repeat: Option<Duration>,
}

/// One point: a place in the device and the tag it belongs to.
///
/// A point without `write` is read into its tag. A point with `write` carries commands out: it is read back after
/// each write to judge the outcome, but it never delivers a sample, because the arbiter owns the value of its tag.
#[derive(Debug, Clone, PartialEq)]
pub struct PointConfig {
    /// The tag.
    pub tag: TagId,
    /// The tag's path, for messages.
    pub path: Arc<str>,
    /// Its place in the device.
    pub address: Address,
    /// How the value is represented.
    pub wire: WireType,
    /// In which order its bytes come.
    pub order: ByteOrder,
    /// Tag value = wire value × `scale` + `offset`; not 0. Reversed on write.
    pub scale: f64,
    /// See `scale`, in the tag's unit.
    pub offset: f64,
    /// Type of the tag.
    pub value_type: ValueType,
    /// Range of the tag in its unit: a value outside is Uncertain(range).
    pub range: Option<(f64, f64)>,
    /// Index of its group in [`DeviceConfig::groups`].
    pub group: usize,
    /// Present where the point is written.
    pub write: Option<WriteConfig>,
    /// Present where the point is found by model and name: then address, wire type and scale are those of the model, once
    /// the device was asked.
    pub sunspec: Option<Box<SunSpecPoint>>,
}

impl PointConfig {
    /// Places (registers or bits) it takes in its area.
    #[must_use]
    pub fn places(&self) -> u16 {
        if self.address.area.is_register() { self.wire.registers() } else { 1 }
    }

    /// First place after it, as a wider number so that the last register of an area has one too.
    #[must_use]
    pub fn end(&self) -> u32 {
        u32::from(self.address.pdu) + u32::from(self.places())
    }
}

/// Points that are polled together.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupConfig {
    /// Its name in the device's file.
    pub name: Arc<str>,
    /// Poll period.
    pub every: Duration,
}

/// What a heartbeat writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beats {
    /// An unsigned number that counts up and wraps.
    Count,
    /// 1 and 0 in turn.
    Toggle,
}

impl Beats {
    /// All of them.
    pub const ALL: [Beats; 2] = [Self::Count, Self::Toggle];

    /// The word used in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Toggle => "toggle",
        }
    }

    /// What is written at the beat of this number.
    #[must_use]
    pub fn value(self, beat: u16) -> u16 {
        match self {
            Self::Count => beat,
            Self::Toggle => beat & 1,
        }
    }
}

/// What must be so for the heart to beat. Without it the device is to notice and to take over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeatsWhile {
    /// Every task that commands the device scans in time, and none of them is faulted.
    Healthy,
    /// Every task that commands the device scans in time; one that is faulted still carries out declared fallbacks.
    Scans,
    /// The device is connected.
    Link,
}

impl BeatsWhile {
    /// All of them.
    pub const ALL: [BeatsWhile; 3] = [Self::Healthy, Self::Scans, Self::Link];

    /// The word used in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Scans => "scans",
            Self::Link => "link",
        }
    }

    /// True when the heart beats on this.
    #[must_use]
    pub fn is_met(self, alive: Liveness) -> bool {
        match self {
            Self::Healthy => alive.healthy && alive.scans,
            Self::Scans => alive.scans,
            Self::Link => true,
        }
    }
}

/// A register that we write again and again so that the device notices when we fall silent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heartbeat {
    /// The holding register; one register, unsigned.
    pub address: Address,
    /// How often.
    pub every: Duration,
    /// What is written.
    pub values: Beats,
    /// When it beats.
    pub beats: BeatsWhile,
    /// Present where the register is found by model and name.
    pub sunspec: Option<Alternative>,
    /// The address is known: always for a plain one, for SunSpec once the device was asked.
    pub placed: bool,
}

impl Heartbeat {
    /// The registers of a beat of this number.
    #[must_use]
    pub fn words(&self, beat: u16) -> Vec<u16> {
        let value = self.values.value(beat);
        match self.sunspec.map_or(1, |at| at.row.kind.registers()) {
            1 => vec![value],
            _ => vec![0, value],
        }
    }
}

/// The points of a device. Whoever copies the configuration shares them, for a large site has a hundred thousand; whoever
/// changes them has its own from then on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Points(Arc<Vec<PointConfig>>);

impl Deref for Points {
    type Target = Vec<PointConfig>;

    fn deref(&self) -> &Vec<PointConfig> {
        &self.0
    }
}

impl DerefMut for Points {
    fn deref_mut(&mut self) -> &mut Vec<PointConfig> {
        Arc::make_mut(&mut self.0)
    }
}

impl<'a> IntoIterator for &'a Points {
    type Item = &'a PointConfig;
    type IntoIter = std::slice::Iter<'a, PointConfig>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl From<Vec<PointConfig>> for Points {
    fn from(points: Vec<PointConfig>) -> Points {
        Points(Arc::new(points))
    }
}

impl FromIterator<PointConfig> for Points {
    fn from_iter<I: IntoIterator<Item = PointConfig>>(points: I) -> Points {
        points.into_iter().collect::<Vec<_>>().into()
    }
}

/// One device.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceConfig {
    /// Its place in the site.
    pub id: DeviceId,
    /// Its name, for messages.
    pub name: Arc<str>,
    /// `host:port`, or the path of a serial port.
    pub address: String,
    /// Unit identifier, 0 to 255.
    pub unit: u8,
    /// How long a connection or an answer may take.
    pub timeout: Duration,
    /// Poll groups.
    pub groups: Vec<GroupConfig>,
    /// Points.
    pub points: Points,
    /// Most registers per request, 1 to 125; fewer for devices that cannot do more.
    pub registers_max: u16,
    /// Most bits per request, 1 to 2000.
    pub bits_max: u16,
    /// Most unused places read along to join two points into one request.
    pub gap_max: u16,
    /// Heartbeat, if the device watches one.
    pub heartbeat: Option<Heartbeat>,
    /// How long the device needs after a connection before it answers; zero for most.
    pub pause_after_connect: Duration,
    /// The connection or line it is on, and who shares it.
    pub channel: ChannelConfig,
    /// What is peculiar to it.
    pub quirks: Quirks,
    /// How it is looked through for SunSpec models, where points name such.
    pub sunspec: crate::sunspec::Settings,
}

impl DeviceConfig {
    /// Numbers and tags of the points that are written.
    pub(crate) fn written(&self) -> impl Iterator<Item = (usize, TagId)> {
        self.points.iter().enumerate().filter(|(_, p)| p.write.is_some()).map(|(i, p)| (i, p.tag))
    }

    /// What cannot work although every key is spelt right. Empty when all is well.
    #[must_use]
    pub fn check(&self) -> Vec<String> {
        let mut found = self.check_device();
        let (assumed, missing) = self.assumed();
        for (index, why) in missing {
            found.push(format!("device `{}`, tag `{}`: {why}", self.name, assumed.points[index].path));
        }
        for point in assumed.points.iter().filter(|p| p.is_placed()) {
            assumed.check_point(point, &mut found);
        }
        assumed.check_overlap(&mut found);
        assumed.check_sunspec(&mut found);
        found
    }

    /// The requests that will be sent, per group; for SunSpec points those of [`DeviceConfig::assumed`].
    #[must_use]
    pub fn plan(&self) -> Plan {
        Plan::new(&self.assumed().0)
    }

    fn check_device(&self) -> Vec<String> {
        let mut found = Vec::new();
        let name = &self.name;
        found.extend(self.channel.check(name, &self.address));
        if self.unit == 0 && self.channel.transport != Transport::Tcp {
            found.push(format!(
                "device `{name}`: unit 0 is everybody on a line and answers nothing; units are 1 to 247"
            ));
        }
        if self.quirks.retries.is_some_and(|n| n > RETRIES_MAX) {
            found.push(format!("device `{name}`: more than {RETRIES_MAX} retries"));
        }
        if self.timeout.is_zero() {
            found.push(format!("device `{name}`: timeout is zero"));
        }
        if !(1..=REGISTERS_MAX).contains(&self.registers_max) {
            found.push(format!("device `{name}`: registers_max {} is outside 1..{REGISTERS_MAX}", self.registers_max));
        }
        if !(1..=BITS_MAX).contains(&self.bits_max) {
            found.push(format!("device `{name}`: bits_max {} is outside 1..{BITS_MAX}", self.bits_max));
        }
        for group in &self.groups {
            if group.every < POLL_PERIOD_MIN {
                found.push(format!("device `{name}`: group `{}` polls faster than {POLL_PERIOD_MIN:?}", group.name));
            }
        }
        if let Some(beat) = &self.heartbeat {
            if beat.address.area != Area::Holding || beat.address.bit.is_some() {
                found.push(format!(
                    "device `{name}`: a heartbeat counts in a holding register, not in {}",
                    beat.address
                ));
            }
            if let Some(at) = beat.sunspec.filter(|at| !at.row.writable || at.row.kind.is_float()) {
                found.push(format!("device `{name}`: a heartbeat cannot count in sunspec {at}, which is not written"));
            }
            if beat.every < POLL_PERIOD_MIN {
                found.push(format!("device `{name}`: the heartbeat beats faster than {POLL_PERIOD_MIN:?}"));
            }
        }
        found
    }

    fn check_point(&self, point: &PointConfig, found: &mut Vec<String>) {
        let at = point.address;
        let mut say = |what: String| found.push(format!("device `{}`, tag `{}`: {what}", self.name, point.path));
        if point.group >= self.groups.len() {
            say(format!("group {} does not exist", point.group));
        }
        if !at.area.is_register() && point.wire != WireType::Bit {
            say(format!("a {} is a single bit and cannot hold {}", at.area, point.wire));
        }
        if at.area.is_register() && point.wire == WireType::Bit && at.bit.is_none() {
            say(format!("say which bit of the {} is meant, for example {}.0", at.area, at.modicon()));
        }
        if at.bit.is_some() && point.wire != WireType::Bit {
            say(format!("`.bit` picks a single bit; {} takes whole registers", point.wire));
        }
        if point.end() > 65_536 {
            say(format!("{} at {at} runs past the end of the area", point.wire));
        }
        if at.area.is_register() && point.places() > self.registers_max.max(1) {
            say(format!(
                "{} needs {} registers, one request carries {}",
                point.wire,
                point.places(),
                self.registers_max
            ));
        }
        if !point.scale.is_finite() || point.scale == 0.0 || !point.offset.is_finite() {
            say(format!("scale {} and offset {} must be finite, and scale not 0", point.scale, point.offset));
        }
        let scaled = point.scale != 1.0 || point.offset != 0.0;
        if scaled && (point.wire == WireType::Bit || point.wire.is_text()) {
            say(format!("{} takes no scale and no offset", point.wire));
        }
        if scaled && point.value_type == ValueType::Bool {
            say("a bool takes no scale and no offset".to_owned());
        }
        if scaled && point.value_type == ValueType::Int && (point.scale.fract() != 0.0 || point.offset.fract() != 0.0) {
            say(format!("scale {} and offset {} give fractions; the tag is an int", point.scale, point.offset));
        }
        if point.wire.is_text() != (point.value_type == ValueType::Text) {
            say(format!("{} on the wire cannot become a {}", point.wire, point.value_type));
        }
        if point.order.is_64_bit_only() && point.places() != 4 {
            say(format!("byte order {} exists for 64 bits only", point.order));
        }
        if let Some(write) = &point.write {
            if !at.area.is_writable() {
                say(format!("{at} can only be read; commands go to coils (0xxxx) or holding registers (4xxxx)"));
            }
            if !write.tolerance.is_finite() || write.tolerance < 0.0 {
                say(format!("tolerance {} must be 0 or more", write.tolerance));
            }
        }
    }

    /// Two commands that write the same register would overwrite each other. Different bits of one register are fine.
    fn check_overlap(&self, found: &mut Vec<String>) {
        let mut written: Vec<&PointConfig> =
            self.points.iter().filter(|p| p.write.is_some() && p.is_placed()).collect();
        written.sort_by_key(|p| p.address);
        let parts = |p: &PointConfig| match (p.address.bit, p.wire) {
            (Some(bit), _) => 1_u16 << (bit & 15),
            (None, WireType::Int8Low) => 0x00FF,
            (None, WireType::Int8High) => 0xFF00,
            _ => 0xFFFF,
        };
        for (i, a) in written.iter().enumerate() {
            let reaches = |b: &&&PointConfig| b.address.area == a.address.area && a.end() > u32::from(b.address.pdu);
            for b in written[i + 1..].iter().take_while(reaches) {
                if a.address.pdu != b.address.pdu || parts(a) & parts(b) != 0 {
                    found.push(format!(
                        "device `{}`: tags `{}` ({}) and `{}` ({}) write the same place",
                        self.name, a.path, a.address, b.path, b.address
                    ));
                }
            }
        }
        if let Some(beat) = &self.heartbeat {
            let at = u32::from(beat.address.pdu);
            for p in written.iter().filter(|p| p.address.area == beat.address.area) {
                if (u32::from(p.address.pdu)..p.end()).contains(&at) {
                    found.push(format!(
                        "device `{}`: tag `{}` writes the heartbeat register {}",
                        self.name, p.path, beat.address
                    ));
                }
            }
        }
    }
}
