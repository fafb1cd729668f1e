//! The register by which a client moves plant time: nothing passes but what it asks for.
//!
//! | register | content |
//! | --- | --- |
//! | holding 40001-40002 | milliseconds to advance, u32, high word first, up to one hour |
//! | holding 40003 | request number; writing it starts the advance, so it is written last or together with the time |
//! | input 30001 | request number of the last advance that is complete |
//! | input 30002-30005 | plant time since the start, ms, u64, high word first |
//! | input 30006 | 0 idle, 1 advancing |
//!
//! A client writes, waits until 30001 shows its number, then reads the devices: they show the values of that time.
//! While the plant advances, further writes here are refused with exception 6.

use super::SharedImage;
use super::image::{Map, Rule, encode_u64, holding, input};

/// Modbus unit of the register.
pub const UNIT: u8 = 1;
/// Most plant time of one request, ms.
pub const ADVANCE_MAX_MS: u32 = 3_600_000;
const ADVANCE: u16 = holding(40_001);
const REQUEST: u16 = holding(40_003);
const DONE: u16 = input(30_001);
const TIME: u16 = input(30_002);
const STATE: u16 = input(30_006);

/// The register.
pub struct Lockstep {
    image: SharedImage,
    requests: u64,
    passed_ms: u64,
}

/// An advance that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// Number of the request.
    pub request: u16,
    /// Plant time, ms.
    pub ms: u32,
}

impl Default for Lockstep {
    fn default() -> Lockstep {
        Lockstep::new()
    }
}

impl Lockstep {
    /// A plant that stands still at time 0.
    #[must_use]
    pub fn new() -> Lockstep {
        let image = super::shared(Map {
            input: vec![(DONE, 6)],
            holding: vec![(ADVANCE, 3)],
            rules: vec![
                Rule::Long { at: ADVANCE, low: 0, high: ADVANCE_MAX_MS },
                Rule::Word { at: REQUEST, low: 0, high: u16::MAX },
            ],
            ..Map::default()
        });
        Lockstep { image, requests: 0, passed_ms: 0 }
    }

    /// Registers.
    #[must_use]
    pub fn image(&self) -> SharedImage {
        self.image.clone()
    }

    /// The advance a client has asked for since the last one; the register is busy until [`Lockstep::done`].
    pub fn begin(&mut self) -> Option<Advance> {
        let mut image = self.image.lock();
        let requests = image.writes(REQUEST);
        if requests == self.requests {
            return None;
        }
        self.requests = requests;
        image.set_busy(true);
        image.put_input(STATE, &[1]);
        Some(Advance { request: image.word(REQUEST), ms: image.long(ADVANCE) })
    }

    /// The plant has advanced and every device shows it.
    pub fn done(&mut self, advance: Advance) {
        self.passed_ms += u64::from(advance.ms);
        let mut image = self.image.lock();
        image.put_input(TIME, &encode_u64(self.passed_ms));
        image.put_input(STATE, &[0]);
        image.put_input(DONE, &[advance.request]);
        image.set_busy(false);
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::Refusal;
    use super::*;

    #[test]
    fn a_request_is_begun_once_and_acknowledged() {
        let mut register = Lockstep::new();
        let image = register.image();
        assert_eq!(register.begin(), None);
        image.lock().write_holding(ADVANCE, &[0, 60_000]).unwrap();
        assert_eq!(register.begin(), None, "the time alone starts nothing");
        image.lock().write_holding(REQUEST, &[7]).unwrap();
        let advance = register.begin().unwrap();
        assert_eq!(advance, Advance { request: 7, ms: 60_000 });
        assert_eq!(image.lock().read_input(DONE, 6).unwrap(), [0, 0, 0, 0, 0, 1]);
        assert_eq!(image.lock().write_holding(REQUEST, &[8]), Err(Refusal::Busy));
        assert_eq!(register.begin(), None);
        register.done(advance);
        assert_eq!(image.lock().read_input(DONE, 6).unwrap(), [7, 0, 0, 0, 60_000, 0]);
        // The same number again is another request.
        image.lock().write_holding(ADVANCE, &[0, 10_000, 7]).unwrap();
        let again = register.begin().unwrap();
        register.done(again);
        assert_eq!(image.lock().read_input(TIME, 4).unwrap(), [0, 0, 1, 4464]);
        let hour = ADVANCE_MAX_MS + 1;
        let [high, low] = [(hour >> 16) as u16, hour as u16];
        assert_eq!(image.lock().write_holding(ADVANCE, &[high, low, 9]), Err(Refusal::Value));
    }
}
