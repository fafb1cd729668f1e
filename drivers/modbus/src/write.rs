//! Commands out: encode, write, read back, say what became of it. And the heartbeat.

use crate::codec::{Encoded, decode};
use crate::config::{PointConfig, WriteConfig};
use crate::limits::{BEAT_LOOK, VERIFY_STEP_MAX, VERIFY_STEP_MIN};
use crate::pdu::{Answer, ILLEGAL_FUNCTION, Request};
use crate::quirks::WriteWith;
use crate::read::places;
use crate::transport::{CallError, Wire};
use crate::unit::{Trouble, Unit, in_words, next_deadline, trouble};
use penstock_model::{Command, DueCheck, OutcomeState, Value};
use std::time::Duration;
use tokio::time::Instant;

/// What a read-back showed.
enum ReadBack {
    /// The device holds what was written.
    Same,
    /// It holds something else, or did not say; in words.
    Other(String),
}

impl Unit {
    /// Sends the pending command of a point and reads it back once.
    pub(crate) async fn write(&mut self, wire: &mut Wire, index: usize) -> Result<(), Trouble> {
        let point = self.config.points[index].clone();
        let again = point.write.and_then(|w| w.repeat).map(|every| Instant::now() + every);
        let Some((command, first)) = self.book.send(index, again) else { return Ok(()) };
        let (Some(value), Some(config)) = (command.value.clone(), point.write) else { return Ok(()) };
        if !point.is_placed() {
            // A repetition has had its news.
            if first {
                self.fail(&command, &format!("{}: the device does not have {}", point.path, point.place()));
            }
            return Ok(());
        }
        let factor = match self.factor(wire, &point).await {
            Ok(factor) => factor,
            Err(e) => return self.not_written(&command, &point, first, &e),
        };
        let encoded = match point.encoded(&value, factor) {
            Ok(encoded) => encoded,
            Err(e) => {
                self.fail(&command, &format!("{}: {e} ({})", point.path, point.place()));
                return Ok(());
            }
        };
        self.tell((command.id, command.tag, OutcomeState::Sent));
        if let Err(e) = self.put_all(wire, &point, &encoded).await {
            return self.not_written(&command, &point, first, &e);
        }
        self.book.confirm(index, command.id);
        self.tell((command.id, command.tag, OutcomeState::Acknowledged));
        let until = Instant::now() + config.verify_within;
        self.check(wire, DueCheck { point: index, command, written: encoded, until }).await
    }

    fn not_written(
        &self,
        command: &Command,
        point: &PointConfig,
        first: bool,
        error: &CallError,
    ) -> Result<(), Trouble> {
        let broken = trouble(error);
        // A command asserted again has had its news; a link that stays dead would repeat them for ever.
        if first || broken.is_none() {
            self.fail(command, &format!("{}: writing {} failed: {}", point.path, point.place(), in_words(error)));
        }
        broken.map_or(Ok(()), Err)
    }

    /// The scale factor of a point as the device has it now; `None` where the point has none.
    async fn factor(&mut self, wire: &mut Wire, point: &PointConfig) -> Result<Option<u16>, CallError> {
        let placed = point.sunspec.as_ref().and_then(|sunspec| sunspec.placed.as_ref());
        let Some(start) = placed.and_then(|placed| placed.factor()) else { return Ok(None) };
        match self.exchange(wire, &Request::Read { area: point.address.area, start, count: 1 }).await? {
            Answer::Words(words) if words.len() == 1 => Ok(words.first().copied()),
            _ => Err(CallError::Nonsense("the scale factor did not come".to_owned())),
        }
    }

    /// Reads a written point back: right, wrong for good, or to be asked again.
    pub(crate) async fn check(&mut self, wire: &mut Wire, due: DueCheck<Encoded, Instant>) -> Result<(), Trouble> {
        let DueCheck { point: index, command, written: encoded, until } = due;
        let point = self.config.points[index].clone();
        let (Some(value), Some(config)) = (&command.value, point.write) else { return Ok(()) };
        if !point.is_placed() {
            self.book.settle(index, command.id);
            self.fail(&command, &format!("{}: the device does not have {} any more", point.path, point.place()));
            return Ok(());
        }
        match self.read_back(wire, &point, &encoded, value, config).await? {
            ReadBack::Same => {
                self.book.settle(index, command.id);
                self.tell((command.id, command.tag, OutcomeState::ReadBack));
            }
            ReadBack::Other(_) if Instant::now() < until => {
                let next = (Instant::now() + verify_step(config.verify_within)).min(until);
                self.book.verify(index, command.id, encoded, next, until);
            }
            ReadBack::Other(what) => {
                self.book.settle(index, command.id);
                let within = config.verify_within;
                self.fail(&command, &format!("{}: commanded {value}, but {what} {within:?} later", point.path));
            }
        }
        Ok(())
    }

    async fn read_back(
        &mut self,
        wire: &mut Wire,
        point: &PointConfig,
        encoded: &Encoded,
        wanted: &Value,
        config: WriteConfig,
    ) -> Result<ReadBack, Trouble> {
        let (start, end) = point.span();
        let count = u16::try_from(end - u32::from(start)).unwrap_or(u16::MAX);
        let ask = Request::Read { area: point.address.area, start, count };
        let answer = match self.exchange(wire, &ask).await {
            Ok(answer) => answer,
            Err(e) => {
                let what = format!("{} cannot be read back: {}", point.address, in_words(&e));
                return trouble(&e).map_or(Ok(ReadBack::Other(what)), Err);
            }
        };
        let Some(places) = places(&answer, start, point.address.pdu, point.places()) else {
            return Ok(ReadBack::Other(format!("{} reads back nothing", point.address)));
        };
        if point.sunspec.is_none() && encoded.is_in(places) {
            return Ok(ReadBack::Same);
        }
        let near = |got: &Value| match (got.as_f64(), wanted.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= config.tolerance,
            _ => got == wanted,
        };
        let decoded = match &answer {
            Answer::Words(words) if point.sunspec.is_some() => {
                // Under the factor that stands beside it now: the device may have changed it meanwhile.
                if point.holds(words, start, wanted) {
                    return Ok(ReadBack::Same);
                }
                point.value_in(words, start)
            }
            _ => decode(point, places),
        };
        Ok(match decoded {
            Ok((got, _)) if near(&got) => ReadBack::Same,
            Ok((got, _)) => ReadBack::Other(format!("{} reads back {got}", point.address)),
            Err(reason) => ReadBack::Other(format!("{} reads back as {reason}", point.address)),
        })
    }

    /// Puts an encoded value into the device, with what belongs to the command.
    async fn put_all(&mut self, wire: &mut Wire, point: &PointConfig, encoded: &Encoded) -> Result<(), CallError> {
        let along = point.sunspec.as_ref().and_then(|sunspec| sunspec.placed.as_ref());
        for (at, words) in along.map_or(&[][..], |placed| placed.before()) {
            self.put_words(wire, *at, words.clone()).await?;
        }
        self.put(wire, point, encoded).await?;
        for (at, words) in along.map_or(&[][..], |placed| placed.after()) {
            self.put_words(wire, *at, words.clone()).await?;
        }
        Ok(())
    }

    /// Puts an encoded value into the device.
    pub(crate) async fn put(
        &mut self,
        wire: &mut Wire,
        point: &PointConfig,
        encoded: &Encoded,
    ) -> Result<(), CallError> {
        let at = point.address.pdu;
        match encoded {
            Encoded::Bit(on) => self.put_either(wire, |plural| Request::WriteCoil { at, on: *on, plural }).await,
            Encoded::Words(words) => self.put_words(wire, at, words.clone()).await,
            Encoded::Part { mask, bits } if self.config.quirks.mask_write => {
                self.exchange(wire, &Request::MaskWord { at, mask: *mask, bits: *bits }).await.map(|_| ())
            }
            Encoded::Part { mask, bits } => {
                // The protocol's masked write is rarely there; reading just before keeps the neighbours' bits as
                // fresh as they can be.
                let ask = Request::Read { area: point.address.area, start: at, count: 1 };
                let Answer::Words(words) = self.exchange(wire, &ask).await? else {
                    return Err(CallError::Nonsense("the register to change one bit of did not come".to_owned()));
                };
                let old = words.first().copied().unwrap_or_default();
                self.put_words(wire, at, vec![(old & !mask) | bits]).await
            }
        }
    }

    async fn put_words(&mut self, wire: &mut Wire, at: u16, words: Vec<u16>) -> Result<(), CallError> {
        match self.config.quirks.write_with {
            WriteWith::ReadWrite => self.exchange(wire, &Request::Exchange { at, words }).await.map(|_| ()),
            WriteWith::Single => {
                for (place, word) in (at..).zip(words) {
                    let ask = Request::WriteWords { at: place, words: vec![word], plural: false };
                    self.exchange(wire, &ask).await?;
                }
                Ok(())
            }
            _ if words.len() > 1 => {
                self.exchange(wire, &Request::WriteWords { at, words, plural: true }).await.map(|_| ())
            }
            _ => self.put_either(wire, |plural| Request::WriteWords { at, words: words.clone(), plural }).await,
        }
    }

    /// Writes with the function for one place, and where the device does not know that one with the function for
    /// many: either may be missing.
    async fn put_either(&mut self, wire: &mut Wire, request: impl Fn(bool) -> Request) -> Result<(), CallError> {
        let first = self.config.quirks.write_with == WriteWith::Multiple;
        match self.exchange(wire, &request(first)).await {
            Err(CallError::Refused(ILLEGAL_FUNCTION)) if self.config.quirks.write_with == WriteWith::Auto => {
                self.exchange(wire, &request(true)).await.map(|_| ())
            }
            other => other.map(|_| ()),
        }
    }

    /// Beats when it is due and control of the device is alive. A heart that stops is told once, and so is its return.
    pub(crate) async fn beat(&mut self, wire: &mut Wire) -> Result<(), Trouble> {
        let (Some(config), Some(next)) = (self.config.heartbeat, self.beat.next) else { return Ok(()) };
        let now = Instant::now();
        if now < next {
            return Ok(());
        }
        self.beat.next = Some(next_deadline(next, config.every, now));
        if !config.placed {
            return Ok(());
        }
        let alive = config.beats.is_met(self.sink.liveness(self.config.id, self.clock.now().mono));
        if self.beat.silent == alive {
            self.beat.silent = !alive;
            let (device, at) = (&self.config.name, config.address);
            if alive {
                tracing::info!(%device, %at, "the heartbeat beats");
            } else {
                tracing::error!(%device, %at, "the heartbeat stops: control of this device is not alive; it takes over");
            }
        }
        if !alive {
            // Looked at again soon: the device is not to wait a whole beat longer than control needs to come back.
            self.beat.next = Some(now + config.every.min(BEAT_LOOK));
            return Ok(());
        }
        self.beat.count = self.beat.count.wrapping_add(1);
        let result = self.put_words(wire, config.address.pdu, config.words(self.beat.count)).await;
        if let Some(broken) = result.as_ref().err().and_then(trouble) {
            return Err(broken);
        }
        if self.beat.refused != result.is_err() {
            self.beat.refused = result.is_err();
            let (device, at) = (&self.config.name, config.address);
            match result {
                Err(e) => tracing::error!(%device, %at, why = in_words(&e), "the device refuses the heartbeat"),
                Ok(()) => tracing::info!(%device, %at, "the device takes the heartbeat"),
            }
        }
        Ok(())
    }

    fn fail(&self, command: &Command, why: &str) {
        self.tell((command.id, command.tag, OutcomeState::Failed(why.into())));
    }
}

/// How long to wait until a write that does not read back yet is asked again.
fn verify_step(within: Duration) -> Duration {
    (within / 10).clamp(VERIFY_STEP_MIN, VERIFY_STEP_MAX)
}
