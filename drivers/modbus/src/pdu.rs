//! What is asked of a device and what it answers, without the frame around it.
//!
//! Answers are taken apart by tokio-modbus and then held against the question: function, place, count and value must be
//! those that were asked for, or it is not the answer.

use crate::address::Area;
use tokio_modbus::Response;
use tokio_modbus::bytes::Bytes;

/// What is asked of a device. Functions 1 to 6, 15, 16, 22, 23 and 43/14.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// Functions 1 to 4, by area.
    Read { area: Area, start: u16, count: u16 },
    /// Function 5, or 15 with one coil where the device does not know 5.
    WriteCoil { at: u16, on: bool, plural: bool },
    /// Function 6 for one register, 16 for more; 16 for one where the device does not know 6.
    WriteWords { at: u16, words: Vec<u16>, plural: bool },
    /// Function 22: the bits of the mask take those values, the device keeps the others itself.
    MaskWord { at: u16, mask: u16, bits: u16 },
    /// Function 23: registers are written and read back in one.
    Exchange { at: u16, words: Vec<u16> },
    /// Function 43/14: what the device says it is, its basic objects.
    Identify,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Bits(Vec<bool>),
    Words(Vec<u16>),
    Written,
    /// Vendor, product and revision, as far as the device told them.
    Identity(Vec<String>),
}

/// A PDU that is not the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// An exception code: the device, or a gateway, refuses.
    Refused(u8),
    /// Of the function asked for, but not what was asked.
    Wrong(String),
    /// Of another function, or no PDU at all: what came is broken, or somebody else's.
    Foreign(String),
}

/// The read device identification of the protocol's encapsulated interface.
const MEI_IDENTIFY: u8 = 14;
/// Bit that marks an exception.
const EXCEPTION: u8 = 0x80;

impl Request {
    /// The function code.
    pub(crate) fn function(&self) -> u8 {
        match self {
            Self::Read { area, .. } => match area {
                Area::Coil => 1,
                Area::Discrete => 2,
                Area::Holding => 3,
                Area::Input => 4,
            },
            Self::WriteCoil { plural: false, .. } => 5,
            Self::WriteCoil { plural: true, .. } => 15,
            Self::WriteWords { words, plural, .. } => {
                if *plural || words.len() != 1 {
                    16
                } else {
                    6
                }
            }
            Self::MaskWord { .. } => 22,
            Self::Exchange { .. } => 23,
            Self::Identify => 43,
        }
    }

    /// True where the device is to change something.
    pub(crate) fn writes(&self) -> bool {
        !matches!(self, Self::Read { .. } | Self::Identify)
    }

    /// The bytes of the PDU, at most 253.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = vec![self.function()];
        let mut put = |words: &[u16]| out.extend(words.iter().flat_map(|w| w.to_be_bytes()));
        match self {
            Self::Read { start, count, .. } => put(&[*start, *count]),
            Self::WriteCoil { at, on, plural: false } => put(&[*at, if *on { 0xFF00 } else { 0 }]),
            Self::WriteCoil { at, on, plural: true } => {
                put(&[*at, 1]);
                out.extend([1, u8::from(*on)]);
            }
            Self::WriteWords { at, words, plural } => match (words.as_slice(), plural) {
                ([word], false) => put(&[*at, *word]),
                _ => {
                    put(&[*at, length(words)]);
                    put_counted(&mut out, words);
                }
            },
            Self::MaskWord { at, mask, bits } => put(&[*at, !mask, bits & mask]),
            Self::Exchange { at, words } => {
                put(&[*at, length(words), *at, length(words)]);
                put_counted(&mut out, words);
            }
            Self::Identify => out.extend([MEI_IDENTIFY, 1, 0]),
        }
        out
    }

    /// Bytes of the PDU that a willing device answers with; what it says of itself is taken for 64.
    pub(crate) fn answer_bytes(&self) -> usize {
        match self {
            Self::Read { area, count, .. } if area.is_register() => 2 + 2 * usize::from(*count),
            Self::Read { count, .. } => 2 + usize::from(*count).div_ceil(8),
            Self::Exchange { words, .. } => 2 + 2 * words.len(),
            Self::MaskWord { .. } => 7,
            Self::Identify => 64,
            Self::WriteCoil { .. } | Self::WriteWords { .. } => 5,
        }
    }

    /// Holds a PDU against the question.
    ///
    /// # Errors
    /// When it is not the answer.
    pub(crate) fn answer(&self, pdu: &[u8]) -> Result<Answer, NoAnswer> {
        let asked = self.function();
        match pdu {
            [function, code] if *function == asked | EXCEPTION => return Err(NoAnswer::Refused(*code)),
            [function, ..] if *function != asked => {
                return Err(NoAnswer::Foreign(format!("function {} was answered, {asked} was asked", function & 0x7F)));
            }
            [] => return Err(NoAnswer::Foreign("an empty answer".to_owned())),
            _ => {}
        }
        let response = Response::try_from(Bytes::copy_from_slice(pdu))
            .map_err(|e| NoAnswer::Foreign(format!("an answer to function {asked} that cannot be read: {e}")))?;
        self.held_against(response)
    }

    fn held_against(&self, response: Response) -> Result<Answer, NoAnswer> {
        match (self, response) {
            (Self::Read { count, .. }, Response::ReadCoils(mut bits) | Response::ReadDiscreteInputs(mut bits)) => {
                // Bits come in whole bytes; the places beyond the last one asked for are padding.
                if bits.len() != usize::from(*count).div_ceil(8) * 8 {
                    return Err(NoAnswer::Wrong(format!("asked for {count} bits, got {}", bits.len())));
                }
                bits.truncate(usize::from(*count));
                Ok(Answer::Bits(bits))
            }
            (Self::Read { count, .. }, Response::ReadInputRegisters(words) | Response::ReadHoldingRegisters(words)) => {
                counted(usize::from(*count), words)
            }
            (Self::Exchange { words: sent, .. }, Response::ReadWriteMultipleRegisters(words)) => {
                counted(sent.len(), words)
            }
            (Self::WriteCoil { at, on, .. }, Response::WriteSingleCoil(place, state)) => {
                confirmed(*at == place && *on == state)
            }
            (Self::WriteCoil { at, .. }, Response::WriteMultipleCoils(place, count)) => {
                confirmed(*at == place && count == 1)
            }
            (Self::WriteWords { at, words, .. }, Response::WriteSingleRegister(place, word)) => {
                confirmed(*at == place && words.as_slice() == [word])
            }
            (Self::WriteWords { at, words, .. }, Response::WriteMultipleRegisters(place, count)) => {
                confirmed(*at == place && usize::from(count) == words.len())
            }
            (Self::MaskWord { at, mask, bits }, Response::MaskWriteRegister(place, and, or)) => {
                confirmed(*at == place && and == !mask && or == bits & mask)
            }
            (Self::Identify, Response::ReadDeviceIdentification(told)) => {
                let text = |bytes: &Bytes| {
                    let text = String::from_utf8_lossy(bytes);
                    text.chars().filter(|c| !c.is_control()).take(IDENTITY_CHARS_MAX).collect::<String>()
                };
                Ok(Answer::Identity(told.device_id_objects.iter().take(3).map(|o| text(&o.value)).collect()))
            }
            _ => Err(NoAnswer::Wrong("another kind of answer than was asked for".to_owned())),
        }
    }
}

/// Longest word of what a device says it is.
const IDENTITY_CHARS_MAX: usize = 64;

fn length(words: &[u16]) -> u16 {
    u16::try_from(words.len()).unwrap_or(u16::MAX)
}

fn put_counted(out: &mut Vec<u8>, words: &[u16]) {
    out.push(u8::try_from(words.len() * 2).unwrap_or(u8::MAX));
    out.extend(words.iter().flat_map(|w| w.to_be_bytes()));
}

fn counted(wanted: usize, words: Vec<u16>) -> Result<Answer, NoAnswer> {
    if words.len() == wanted {
        Ok(Answer::Words(words))
    } else {
        Err(NoAnswer::Wrong(format!("asked for {wanted} registers, got {}", words.len())))
    }
}

fn confirmed(same: bool) -> Result<Answer, NoAnswer> {
    if same {
        Ok(Answer::Written)
    } else {
        Err(NoAnswer::Wrong("the device confirms another write than it was asked for".to_owned()))
    }
}

/// Exception code "illegal function".
pub(crate) const ILLEGAL_FUNCTION: u8 = 1;
/// Exception codes that mean "not with these registers": address, value.
pub(crate) const ILLEGAL_PLACES: [u8; 2] = [2, 3];
/// Exception codes of a gateway that speaks for itself: no path, no answer from behind.
pub(crate) const OF_A_GATEWAY: [u8; 2] = [10, 11];

/// An exception code in words.
pub(crate) fn refusal(code: u8) -> String {
    let word = match code {
        1 => "illegal function",
        2 => "illegal data address; datasheets count from 0 or from 1, try one lower or one higher",
        3 => "illegal data value",
        4 => "device failure",
        5 => "acknowledged, still working",
        6 => "device busy",
        8 => "memory parity error",
        10 => "gateway has no path to this unit",
        11 => "the unit behind the gateway does not answer",
        _ => "unknown reason",
    };
    format!("exception {code}: {word}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(area: Area, count: u16) -> Request {
        Request::Read { area, start: 0x0102, count }
    }

    #[test]
    fn questions_have_the_bytes_of_the_protocol() {
        // The examples of the Modbus Application Protocol V1.1b3, chapter 6, with places of our own.
        for (request, bytes) in [
            (read(Area::Coil, 19), vec![1, 1, 2, 0, 19]),
            (read(Area::Discrete, 22), vec![2, 1, 2, 0, 22]),
            (read(Area::Holding, 3), vec![3, 1, 2, 0, 3]),
            (read(Area::Input, 1), vec![4, 1, 2, 0, 1]),
            (Request::WriteCoil { at: 172, on: true, plural: false }, vec![5, 0, 172, 0xFF, 0]),
            (Request::WriteCoil { at: 172, on: false, plural: false }, vec![5, 0, 172, 0, 0]),
            (Request::WriteWords { at: 1, words: vec![3], plural: false }, vec![6, 0, 1, 0, 3]),
            (Request::WriteCoil { at: 19, on: true, plural: true }, vec![15, 0, 19, 0, 1, 1, 1]),
            (
                Request::WriteWords { at: 1, words: vec![10, 0x0102], plural: false },
                vec![16, 0, 1, 0, 2, 4, 0, 10, 1, 2],
            ),
            (Request::WriteWords { at: 1, words: vec![10], plural: true }, vec![16, 0, 1, 0, 1, 2, 0, 10]),
            (Request::MaskWord { at: 4, mask: 0x000F, bits: 0x00F5 }, vec![22, 0, 4, 0xFF, 0xF0, 0, 5]),
            (Request::Exchange { at: 3, words: vec![7] }, vec![23, 0, 3, 0, 1, 0, 3, 0, 1, 2, 0, 7]),
            (Request::Identify, vec![43, 14, 1, 0]),
        ] {
            assert_eq!(request.bytes(), bytes, "{request:?}");
        }
    }

    #[test]
    fn an_answer_is_taken_only_for_its_own_question() {
        let three = read(Area::Holding, 3);
        assert_eq!(three.answer(&[3, 6, 0, 1, 0, 2, 0, 3]), Ok(Answer::Words(vec![1, 2, 3])));
        assert_eq!(three.answer(&[0x83, 2]), Err(NoAnswer::Refused(2)));
        for wrong in [&[3, 4, 0, 1, 0, 2][..], &[3, 0], &[3, 8, 0, 1, 0, 2, 0, 3, 0, 4]] {
            assert!(matches!(three.answer(wrong), Err(NoAnswer::Wrong(_))), "{wrong:?}");
        }
        let broken = [&[3, 6, 0, 1, 0, 2][..], &[3, 6, 0, 1, 0, 2, 0, 3, 9], &[3], &[3, 7, 0]];
        for foreign in [&[][..], &[4, 6, 0, 1, 0, 2, 0, 3], &[0x84, 2], &[0x83]].iter().chain(&broken) {
            assert!(matches!(three.answer(foreign), Err(NoAnswer::Foreign(_))), "{foreign:?}");
        }
        let coil = Request::WriteCoil { at: 7, on: true, plural: false };
        assert_eq!(coil.answer(&[5, 0, 7, 0xFF, 0]), Ok(Answer::Written));
        for wrong in [[5, 0, 8, 0xFF, 0], [5, 0, 7, 0, 0]] {
            assert!(matches!(coil.answer(&wrong), Err(NoAnswer::Wrong(_))), "{wrong:?}");
        }
        let mask = Request::MaskWord { at: 4, mask: 0x000F, bits: 5 };
        assert_eq!(mask.answer(&mask.bytes()), Ok(Answer::Written));
        assert_eq!(read(Area::Coil, 9).answer(&[1, 2, 0xFF, 1]), Ok(Answer::Bits(vec![true; 9])));
        assert!(matches!(read(Area::Coil, 8).answer(&[1, 2, 0xFF, 1]), Err(NoAnswer::Wrong(_))));
        let identity = [43, 14, 1, 1, 0, 0, 2, 0, 3, b'A', b'B', b'B', 1, 2, b'X', 7];
        assert_eq!(Request::Identify.answer(&identity), Ok(Answer::Identity(vec!["ABB".into(), "X".into()])));
    }

    pub(crate) fn any_request() -> impl Strategy<Value = Request> {
        let areas = prop_oneof![Just(Area::Coil), Just(Area::Discrete), Just(Area::Input), Just(Area::Holding)];
        prop_oneof![
            (areas, any::<u16>(), 1_u16..=125).prop_map(|(area, start, count)| Request::Read { area, start, count }),
            (any::<u16>(), any::<bool>(), any::<bool>()).prop_map(|(at, on, plural)| Request::WriteCoil {
                at,
                on,
                plural
            }),
            (any::<u16>(), proptest::collection::vec(any::<u16>(), 1..=100), any::<bool>())
                .prop_map(|(at, words, plural)| Request::WriteWords { at, words, plural }),
            (any::<u16>(), any::<u16>(), any::<u16>()).prop_map(|(at, mask, bits)| Request::MaskWord {
                at,
                mask,
                bits
            }),
            (any::<u16>(), proptest::collection::vec(any::<u16>(), 1..=100))
                .prop_map(|(at, words)| Request::Exchange { at, words }),
            Just(Request::Identify),
        ]
    }

    proptest! {
        /// Whatever bytes come, nothing panics, and what is taken for values has the count that was asked for.
        #[test]
        fn arbitrary_bytes_are_no_values(request in any_request(), pdu in proptest::collection::vec(any::<u8>(), 0..260)) {
            match (request.answer(&pdu), &request) {
                (Ok(Answer::Words(words)), Request::Read { count, .. }) => {
                    prop_assert_eq!(words.len(), usize::from(*count));
                    prop_assert_eq!(pdu.len(), request.answer_bytes());
                }
                (Ok(Answer::Bits(bits)), Request::Read { count, .. }) => prop_assert_eq!(bits.len(), usize::from(*count)),
                _ => {}
            }
        }

        /// The same with a function code that fits, so that more than the first byte is looked at.
        #[test]
        fn arbitrary_bytes_behind_the_right_function_are_no_values(
            request in any_request(), mut pdu in proptest::collection::vec(any::<u8>(), 1..260)
        ) {
            pdu[0] = request.function();
            if let Ok(Answer::Words(words)) = request.answer(&pdu) {
                prop_assert_eq!(pdu.len(), 2 + 2 * words.len());
            }
        }

        #[test]
        fn questions_fit_a_frame(request in any_request()) {
            prop_assert!(request.bytes().len() <= 253 && request.answer_bytes() <= 253);
        }
    }
}
