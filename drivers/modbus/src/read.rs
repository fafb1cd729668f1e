//! Polling: requests out, samples in, and what is learned from refusals.

use crate::codec::{Places, decode};
use crate::config::DeviceConfig;
use crate::limits::REFUSED_RETRY;
use crate::plan::{ReadRequest, bisect};
use crate::session::{End, Session, link_end};
use crate::transport::{Answer, CallError, ILLEGAL_PLACES, Request, refusal};
use penstock_model::{BadReason, Now, Sample, SampleSink, TagSample, Value};
use tokio::time::Instant;

/// A request of a group, and when it may be sent again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Poll {
    pub(crate) request: ReadRequest,
    /// Set for a point that the device refused: it is left alone until then.
    pub(crate) not_before: Option<Instant>,
}

impl Poll {
    /// The requests of every group as planned.
    pub(crate) fn all(config: &DeviceConfig) -> Vec<Vec<Poll>> {
        let fresh = |request| Poll { request, not_before: None };
        config.plan().groups.into_iter().map(|g| g.into_iter().map(fresh).collect()).collect()
    }
}

/// What is known of a point.
#[derive(Debug, Clone, Default)]
pub(crate) struct PointState {
    /// The last value, for showing.
    last: Option<Value>,
    /// What is wrong with it; logged when it changes.
    wrong: Option<BadReason>,
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

impl Session {
    /// Sends every request of a group once.
    pub(crate) async fn poll(&mut self, group: usize) -> Result<(), End> {
        let mut learned = Vec::with_capacity(self.polls[group].len());
        for (index, poll) in self.polls[group].clone().into_iter().enumerate() {
            if poll.not_before.is_some_and(|at| Instant::now() < at) {
                learned.push(poll);
                continue;
            }
            if index > 0 {
                self.before_reads().await?;
            }
            self.read(poll.request, &mut learned).await?;
        }
        self.polls[group] = learned;
        Ok(())
    }

    /// Reads one request. When the device refuses its places, halves are tried until only the refused points are
    /// left; `learned` gets the requests to be used from now on.
    async fn read(&mut self, request: ReadRequest, learned: &mut Vec<Poll>) -> Result<(), End> {
        let mut open = vec![request];
        while let Some(request) = open.pop() {
            let ask = Request::Read { area: request.area, start: request.start, count: request.count };
            let mut not_before = None;
            match self.exchange(&ask).await {
                Ok(answer) => self.deliver(&request, &answer),
                Err(CallError::Refused(code)) => {
                    if ILLEGAL_PLACES.contains(&code) {
                        if let Some([first, second]) = bisect(&self.config, &request) {
                            open.push(second);
                            open.push(first);
                            continue;
                        }
                        not_before = Some(Instant::now() + REFUSED_RETRY);
                    }
                    self.deliver_bad(&request, BadReason::Refused, &refusal(code));
                }
                Err(CallError::Nonsense(what)) => self.deliver_bad(&request, BadReason::Undecodable, &what),
                Err(error) => match link_end(&error) {
                    Some(end) => return Err(end),
                    None => continue,
                },
            }
            learned.push(Poll { request, not_before });
        }
        Ok(())
    }

    fn deliver(&mut self, request: &ReadRequest, answer: &Answer) {
        let now = self.clock.now();
        let mut batch = Vec::with_capacity(request.points.len());
        for &index in &request.points {
            let point = &self.config.points[index];
            let decoded = places(answer, request.start, point.address.pdu, point.places())
                .ok_or(BadReason::Undecodable)
                .and_then(|places| decode(point, places));
            let wrong = decoded.as_ref().err().copied();
            let sample = match decoded {
                Ok((value, quality)) => {
                    self.points[index].last = Some(value.clone());
                    Sample::with_quality(value, quality, now)
                }
                Err(reason) => Sample::bad(reason, self.points[index].last.clone(), now),
            };
            batch.push(TagSample { tag: point.tag, sample });
            self.note(index, wrong, "the registers do not hold the declared type");
        }
        self.sink.samples(&batch);
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
                tracing::warn!(device = %self.config.name, tag = %point.path, at = %point.address, wire = %point.wire,
                    %reason, why, "point is bad");
            }
            None => tracing::info!(device = %self.config.name, tag = %point.path, at = %point.address, "point is good"),
        }
    }
}

/// The places of one point within an answer that starts at `start`.
pub(crate) fn places(answer: &Answer, start: u16, pdu: u16, count: u16) -> Option<Places<'_>> {
    let from = usize::from(pdu.checked_sub(start)?);
    match answer {
        Answer::Bits(bits) => bits.get(from).copied().map(Places::Bit),
        Answer::Words(words) => words.get(from..from + usize::from(count)).map(Places::Words),
        Answer::Written => None,
    }
}
