//! Polling: requests out, samples in, and what is learned from refusals.
//!
//! A request that the device refuses is split until the refused points stand alone; those are left in peace and asked
//! again at a slow pace, while the others go on in the requests that were learned. When a refused point is answered
//! after all, its group is joined again as planned.

use crate::address::Area;
use crate::codec::{Places, decode};
use crate::config::DeviceConfig;
use crate::limits::REFUSED_RETRY;
use crate::pdu::{Answer, ILLEGAL_PLACES, Request, refusal};
use crate::plan::{Plan, ReadRequest, bisect, requests};
use crate::transport::{CallError, Wire};
use crate::unit::{Trouble, Unit, next_deadline, trouble};
use penstock_model::{BadReason, Now, Sample, SampleSink, TagSample, Value};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// A request of a group, and when it may be sent again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Poll {
    pub(crate) request: ReadRequest,
    /// Set for a point that the device refused: it is left alone until then.
    pub(crate) not_before: Option<Instant>,
}

/// The requests of a group, and how far its present turn has come.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    every: Duration,
    due: Instant,
    polls: Vec<Poll>,
    /// In a turn: what is still to be asked, and what is to be asked from the next turn on.
    running: bool,
    open: VecDeque<Poll>,
    learned: Vec<Poll>,
    /// A refused point was answered: joined again after this turn.
    rejoin: bool,
    /// Points that the device does not have: said with each turn, never asked for.
    absent: Vec<usize>,
}

impl Group {
    /// The groups of a device as planned, all due now; `absent` are the points that the device does not have.
    pub(crate) fn all(config: &DeviceConfig, absent: &[usize], now: Instant) -> Vec<Group> {
        let fresh = |request| Poll { request, not_before: None };
        let absent_of = |index: usize| {
            let said = |i: &usize| config.points[*i].group == index && config.points[*i].write.is_none();
            absent.iter().copied().filter(said).collect()
        };
        let group = |(index, (requests, group)): (usize, (Vec<ReadRequest>, &crate::config::GroupConfig))| Group {
            every: group.every,
            due: now,
            polls: requests.into_iter().map(fresh).collect(),
            running: false,
            open: VecDeque::new(),
            learned: Vec::new(),
            rejoin: false,
            absent: absent_of(index),
        };
        Plan::new(config).groups.into_iter().zip(&config.groups).enumerate().map(group).collect()
    }

    /// Nothing is read.
    pub(crate) fn is_empty(&self) -> bool {
        self.has_nothing() && !self.running
    }

    fn has_nothing(&self) -> bool {
        self.polls.is_empty() && self.absent.is_empty()
    }

    /// Due now, as if for the first time; what was learned stays.
    pub(crate) fn restart(&mut self, now: Instant) {
        if std::mem::take(&mut self.running) {
            self.polls = self.learned.drain(..).chain(self.open.drain(..)).collect();
        }
        self.due = now;
    }

    /// By when its turn should be over, where it is under way or due.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        (self.running || (self.due <= now && !self.has_nothing())).then_some(self.due + self.every)
    }

    /// When it is due next.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        (!self.is_empty()).then_some(self.due)
    }

    /// The next request of its turn.
    fn take(&mut self, now: Instant) -> Option<Poll> {
        if !self.running {
            self.running = true;
            for poll in std::mem::take(&mut self.polls) {
                if poll.not_before.is_some_and(|at| now < at) {
                    self.learned.push(poll);
                } else {
                    self.open.push_back(poll);
                }
            }
        }
        self.open.pop_front()
    }
}

/// What is known of a point.
#[derive(Debug, Clone, Default)]
pub(crate) struct PointState {
    /// The last value, for showing.
    last: Option<Value>,
    /// What is wrong with it; logged when it changes.
    wrong: Option<BadReason>,
    /// The device does not have its place: left alone, and asked again at a slow pace.
    quarantined: bool,
}

/// All tags that are read from the device become Bad(link) and keep their last value.
pub(crate) fn deliver_link_loss(config: &DeviceConfig, points: &[PointState], sink: &dyn SampleSink, now: Now) {
    let batch: Vec<TagSample> = config
        .points
        .iter()
        .zip(points)
        .filter(|(point, _)| point.write.is_none())
        .map(|(point, state)| TagSample {
            tag: point.tag,
            sample: Sample::bad(BadReason::Link, state.last.clone(), now),
        })
        .collect();
    sink.samples(&batch);
}

impl Unit {
    /// Sends the next request of a group.
    pub(crate) async fn poll(&mut self, wire: &mut Wire, group: usize) -> Result<(), Trouble> {
        let now = Instant::now();
        let begins = self.groups.get(group).is_some_and(|g| !g.running);
        let next = self.groups.get_mut(group).and_then(|g| g.take(now));
        if begins {
            // Said again each turn: a refused tag is not to look like one that nobody asks for.
            let held: Vec<ReadRequest> = self.groups[group].learned.iter().map(|poll| poll.request.clone()).collect();
            held.iter().for_each(|request| self.deliver_bad(request, BadReason::Refused, ""));
            self.deliver_absent(group);
        }
        let result = match next {
            Some(poll) => self.read(wire, group, poll).await,
            None => Ok(()),
        };
        self.end_turn(group);
        result
    }

    /// Ends the turn of a group when nothing of it is left to ask.
    fn end_turn(&mut self, index: usize) {
        let Some(group) = self.groups.get_mut(index) else { return };
        if !group.running || !group.open.is_empty() {
            return;
        }
        group.running = false;
        group.polls = std::mem::take(&mut group.learned);
        group.due = next_deadline(group.due, group.every, Instant::now());
        if std::mem::take(&mut group.rejoin) {
            let (held, free): (Vec<Poll>, Vec<Poll>) =
                std::mem::take(&mut group.polls).into_iter().partition(|poll| poll.not_before.is_some());
            let points = free.into_iter().flat_map(|poll| poll.request.points).collect();
            let joined = requests(&self.config, points).into_iter().map(|request| Poll { request, not_before: None });
            group.polls = joined.chain(held).collect();
        }
    }

    /// Reads one request. When the device refuses its places, its halves take its place in this turn.
    async fn read(&mut self, wire: &mut Wire, group: usize, poll: Poll) -> Result<(), Trouble> {
        let request = &poll.request;
        let ask = Request::Read { area: request.area, start: request.start, count: request.count };
        let result = self.exchange(wire, &ask).await;
        let broken = result.as_ref().err().and_then(trouble);
        let mut not_before = None;
        match result {
            Ok(answer) => {
                self.deliver(request, &answer);
                if poll.not_before.is_some() {
                    self.groups[group].rejoin = true;
                    self.tell_quarantined();
                }
            }
            Err(CallError::Refused(code)) if ILLEGAL_PLACES.contains(&code) => {
                if let Some(halves) = bisect(&self.config, request) {
                    let open = &mut self.groups[group].open;
                    halves.into_iter().rev().for_each(|request| open.push_front(Poll { request, not_before: None }));
                    return Ok(());
                }
                not_before = Some(Instant::now() + REFUSED_RETRY);
                let why = format!(
                    "{}; unit {} is asked for it again in {} s",
                    refusal(code),
                    self.config.unit,
                    REFUSED_RETRY.as_secs()
                );
                self.deliver_bad(request, BadReason::Refused, &why);
                self.doubt_chain(request);
                request.points.iter().for_each(|point| self.points[*point].quarantined = true);
                self.tell_quarantined();
            }
            Err(CallError::Refused(code)) => self.deliver_bad(request, BadReason::Refused, &refusal(code)),
            Err(CallError::Nonsense(what)) => self.deliver_bad(request, BadReason::Undecodable, &what),
            Err(_) => {}
        }
        let group = &mut self.groups[group];
        match broken {
            Some(broken) => {
                group.open.push_front(poll);
                Err(broken)
            }
            None => {
                group.learned.push(Poll { request: poll.request, not_before });
                Ok(())
            }
        }
    }

    /// The health of the link names what is left alone.
    pub(crate) fn tell_quarantined(&mut self) {
        let missing = self.discovery.as_ref().map_or(&[][..], |discovery| discovery.missing());
        let held = self.config.points.iter().zip(&self.points).enumerate();
        let held = held.filter(|(i, (_, state))| state.quarantined || missing.iter().any(|(absent, _)| absent == i));
        let count = u32::try_from(held.clone().count()).unwrap_or(u32::MAX);
        let names = held.take(NAMED_MAX).map(|(_, (p, _))| format!("{} (`{}`)", p.place(), p.path));
        let names: Vec<String> = names.collect();
        let rest = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(names.len());
        let note = match (names.is_empty(), rest) {
            (true, _) => String::new(),
            (false, 0) => format!("refused by unit {}: {}", self.config.unit, names.join(", ")),
            (false, rest) => format!("refused by unit {}: {} and {rest} more", self.config.unit, names.join(", ")),
        };
        self.link.refuses(count, &note);
    }

    fn deliver(&mut self, request: &ReadRequest, answer: &Answer) {
        let now = self.clock.now();
        let mut batch = Vec::with_capacity(request.points.len());
        let mut moved = false;
        for &index in &request.points {
            let point = &self.config.points[index];
            let decoded = match answer {
                Answer::Words(words) => point.value_in(words, request.start),
                _ => places(answer, request.start, point.address.pdu, point.places())
                    .ok_or(BadReason::Undecodable)
                    .and_then(|places| decode(point, places)),
            };
            moved |= decoded == Err(BadReason::Configuration);
            let wrong = decoded.as_ref().err().copied();
            self.points[index].quarantined = false;
            let sample = match decoded {
                Ok((value, quality)) => {
                    self.points[index].last = Some(value.clone());
                    Sample::with_quality(value, quality, now)
                }
                Err(reason) => Sample::bad(reason, self.points[index].last.clone(), now),
            };
            batch.push(TagSample { tag: point.tag, sample });
            self.note(index, wrong, wrong.map_or("", why_of));
        }
        self.sink.samples(&batch);
        if moved {
            self.doubt_chain(request);
        }
    }

    /// What was read is not what was found there before: the chain is looked through again.
    fn doubt_chain(&mut self, request: &ReadRequest) {
        let models = request.points.iter().any(|point| self.config.points[*point].sunspec.is_some());
        if let Some(discovery) = self.discovery.as_mut().filter(|_| models) {
            discovery.doubt(Instant::now());
        }
    }

    /// Says of the points of a group that the device does not have them.
    fn deliver_absent(&mut self, group: usize) {
        for point in self.groups[group].absent.clone() {
            let missing = self.discovery.as_ref().map_or(&[][..], |discovery| discovery.missing());
            let why = missing.iter().find(|(index, _)| *index == point).map(|(_, why)| why.clone());
            let request = ReadRequest { area: Area::Holding, start: 0, count: 0, points: vec![point] };
            self.deliver_bad(&request, BadReason::Configuration, &why.unwrap_or_default());
        }
    }

    fn deliver_bad(&mut self, request: &ReadRequest, reason: BadReason, why: &str) {
        let now = self.clock.now();
        let mut batch = Vec::with_capacity(request.points.len());
        for &index in &request.points {
            let sample = Sample::bad(reason, self.points[index].last.clone(), now);
            batch.push(TagSample { tag: self.config.points[index].tag, sample });
            self.note(index, Some(reason), why);
        }
        self.sink.samples(&batch);
    }

    /// Logs a point's trouble when it begins and when it ends.
    fn note(&mut self, index: usize, wrong: Option<BadReason>, why: &str) {
        let state = &mut self.points[index];
        if state.wrong == wrong {
            return;
        }
        state.wrong = wrong;
        let point = &self.config.points[index];
        match wrong {
            Some(reason) => {
                tracing::warn!(device = %self.config.name, tag = %point.path, at = %point.place(), wire = %point.wire,
                    %reason, why, "point is bad");
            }
            None => tracing::info!(device = %self.config.name, tag = %point.path, at = %point.place(), "point is good"),
        }
    }
}

/// In words, for a person.
fn why_of(reason: BadReason) -> &'static str {
    match reason {
        BadReason::NotImplemented => "the device says that it does not have it",
        BadReason::Configuration => "another model lies there now; the device is looked through again",
        _ => "the registers do not hold the declared type",
    }
}

/// Points named in the health of a link; more are counted.
const NAMED_MAX: usize = 3;

/// The places of one point within an answer that starts at `start`.
pub(crate) fn places(answer: &Answer, start: u16, pdu: u16, count: u16) -> Option<Places<'_>> {
    let from = usize::from(pdu.checked_sub(start)?);
    match answer {
        Answer::Bits(bits) => bits.get(from).copied().map(Places::Bit),
        Answer::Words(words) => words.get(from..from + usize::from(count)).map(Places::Words),
        Answer::Written | Answer::Identity(_) => None,
    }
}
