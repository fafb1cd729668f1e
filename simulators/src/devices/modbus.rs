//! Units behind one Modbus connection, and what becomes of a request for one of them under the link's faults.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::SharedImage;
use super::pdu::{self, BUSY, GATEWAY_TARGET};
use crate::faults::{LinkState, Treatment};
use crate::rng::Rng;

/// What stands between a TCP port and its units says of a unit that does not answer. Both kinds are met in the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gateway {
    /// Refuses unknown units at once with exception 0x0B, says nothing for a unit that is muted.
    #[default]
    Knowing,
    /// Refuses unknown and muted units with exception 0x0B after its own timeout.
    Timeout(Duration),
    /// Says nothing for either.
    Silent,
}

impl FromStr for Gateway {
    type Err = String;

    /// `knowing`, `silent` or the timeout, as `500ms`.
    fn from_str(text: &str) -> Result<Gateway, String> {
        let wait = |word: &str| crate::faults::duration(word).filter(|s| (0.0..=600.0).contains(s));
        match text {
            "knowing" => Ok(Gateway::Knowing),
            "silent" => Ok(Gateway::Silent),
            _ => wait(text)
                .map(|s| Gateway::Timeout(Duration::from_secs_f64(s)))
                .ok_or_else(|| format!("`{text}` is neither `knowing`, `silent` nor a time up to 10min")),
        }
    }
}

/// Units behind one socket or serial line.
#[derive(Debug, Clone)]
pub struct Units {
    images: Arc<BTreeMap<u8, SharedImage>>,
    gateway: Gateway,
    written: Arc<Notify>,
    /// When each unit has answered last: some devices need a pause.
    answered: Arc<Mutex<BTreeMap<u8, Instant>>>,
}

/// One request with its answer as the faults of the link leave it.
pub(crate) struct Exchange {
    /// The answer, if one is to be sent.
    pub answer: Option<Vec<u8>>,
    /// What else is to be done to the answer on its way.
    pub treatment: Treatment,
}

impl Units {
    /// Units by their number.
    #[must_use]
    pub fn new(units: impl IntoIterator<Item = (u8, SharedImage)>) -> Units {
        Units {
            images: Arc::new(units.into_iter().collect()),
            gateway: Gateway::default(),
            written: Arc::new(Notify::new()),
            answered: Arc::default(),
        }
    }

    /// The same units behind another kind of gateway.
    #[must_use]
    pub fn behind(self, gateway: Gateway) -> Units {
        Units { gateway, ..self }
    }

    /// Told after every request that a unit has answered, so that a program can wait for writes.
    #[must_use]
    pub fn asked(&self) -> Arc<Notify> {
        self.written.clone()
    }

    /// Whether a unit is there.
    #[must_use]
    pub fn has(&self, unit: u8) -> bool {
        self.images.contains_key(&unit)
    }

    /// The answer PDU of a unit; `None` where there is no such unit.
    #[must_use]
    pub fn answer(&self, unit: u8, request: &[u8]) -> Option<Vec<u8>> {
        let image = self.images.get(&unit)?;
        let answer = pdu::answer(&mut image.lock(), request);
        self.written.notify_one();
        Some(answer)
    }

    /// All units act on a request, none answers.
    pub fn broadcast(&self, request: &[u8]) {
        for unit in self.images.keys() {
            // What a unit would say to a broadcast is not sent.
            let _ = self.answer(*unit, request);
        }
    }

    /// One request for one unit, held back as the faults say. `line` is a serial line: no gateway speaks for anybody.
    pub(crate) async fn exchange(
        &self,
        (unit, request): (u8, &[u8]),
        link: &watch::Receiver<LinkState>,
        jitter: &mut Rng,
        line: bool,
    ) -> Exchange {
        let treatment = link.borrow().treatment(Some(unit));
        let answer = match treatment.exception {
            Some(code) => Some(pdu::refusal(request, code)),
            None if self.too_soon(unit, treatment.busy_ms) => Some(pdu::refusal(request, BUSY)),
            None => self.answer(unit, request),
        };
        let answer = match (answer, self.gateway) {
            (Some(answer), _) if !treatment.mute => Some(answer),
            _ if line => None,
            (None, Gateway::Knowing) => Some(pdu::refusal(request, GATEWAY_TARGET)),
            (_, Gateway::Timeout(wait)) => {
                tokio::time::sleep(wait).await;
                Some(pdu::refusal(request, GATEWAY_TARGET))
            }
            _ => None,
        };
        hold_back(&treatment, jitter).await;
        if treatment.busy_ms > 0.0 {
            self.answered.lock().insert(unit, Instant::now());
        }
        Exchange { answer, treatment }
    }

    /// Whether a unit that needs a pause after its last answer has not had it.
    fn too_soon(&self, unit: u8, busy_ms: f64) -> bool {
        let pause = Duration::from_secs_f64(busy_ms / 1000.0);
        self.answered.lock().get(&unit).is_some_and(|last| last.elapsed() < pause)
    }
}

/// Waits as long as the faults hold an answer back.
pub(crate) async fn hold_back(treatment: &Treatment, jitter: &mut Rng) {
    let ms = treatment.delay_ms + treatment.jitter_ms * jitter.uniform();
    if ms > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(ms / 1000.0)).await;
    }
}

/// One to eight bytes that belong to no frame.
pub(crate) fn garbage(rng: &mut Rng) -> Vec<u8> {
    let count = 1 + (rng.uniform() * 8.0) as usize;
    (0..count).map(|_| (rng.uniform() * 256.0) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_gateways_by_their_words() {
        assert_eq!("knowing".parse(), Ok(Gateway::Knowing));
        assert_eq!("silent".parse(), Ok(Gateway::Silent));
        assert_eq!("500ms".parse(), Ok(Gateway::Timeout(Duration::from_millis(500))));
        for wrong in ["", "deaf", "-1s", "11min", "5"] {
            assert!(wrong.parse::<Gateway>().unwrap_err().contains("nor a time"), "{wrong}");
        }
    }

    #[test]
    fn garbage_is_short_and_never_empty() {
        let mut rng = Rng::new(1, "garbage");
        assert!((0..1000).map(|_| garbage(&mut rng).len()).all(|count| (1..=8).contains(&count)));
    }
}
