//! The Modbus application protocol in front of a register image: one request PDU in, one answer PDU out.
//!
//! Written from the Modbus Application Protocol Specification V1.1b3. Functions 1 to 6, 15 and 16; others are refused
//! with exception 1, unknown or read-only addresses with 2, counts and values with 3, a busy device with 6.

use super::image::{Image, Refusal};

/// Most bits of one read.
const READ_BITS_MAX: u16 = 2000;
/// Most registers and bits of one write.
const WRITE_REGISTERS_MAX: u16 = 123;
const WRITE_BITS_MAX: u16 = 1968;

/// Exception: the function does not exist here.
pub const ILLEGAL_FUNCTION: u8 = 1;
/// Exception: an address does not exist or is not writable.
pub const ILLEGAL_ADDRESS: u8 = 2;
/// Exception: a count or a value is not acceptable, or the request is not as long as it says.
pub const ILLEGAL_VALUE: u8 = 3;
/// Exception: the device is busy.
pub const BUSY: u8 = 6;
/// Exception of a gateway: the device behind it did not answer.
pub const GATEWAY_TARGET: u8 = 0x0b;

impl Refusal {
    /// The Modbus exception code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Refusal::Address => ILLEGAL_ADDRESS,
            Refusal::Value => ILLEGAL_VALUE,
            Refusal::Busy => BUSY,
        }
    }
}

/// The refusal of a request PDU.
#[must_use]
pub fn refusal(pdu: &[u8], code: u8) -> Vec<u8> {
    vec![pdu.first().copied().unwrap_or(0) | 0x80, code]
}

/// Answers a request PDU of any bytes.
#[must_use]
pub fn answer(image: &mut Image, pdu: &[u8]) -> Vec<u8> {
    let Some((function, body)) = pdu.split_first() else { return refusal(pdu, ILLEGAL_FUNCTION) };
    let acted = match function {
        1 | 2 => read_bits(image, *function, body),
        3 | 4 => read_registers(image, *function, body),
        5 => write_coil(image, body),
        6 => write_register(image, body),
        15 if image.abilities().write_multiple => write_coils(image, body),
        16 if image.abilities().write_multiple => write_registers(image, body),
        _ => Err(ILLEGAL_FUNCTION),
    };
    match acted {
        Ok(rest) => [&[*function], rest.as_slice()].concat(),
        Err(code) => refusal(pdu, code),
    }
}

/// The function's answer after its code, or an exception code.
type Acted = Result<Vec<u8>, u8>;

/// Address and count or value of a request of four bytes.
fn two_words(body: &[u8]) -> Result<(u16, u16), u8> {
    match body {
        [a, b, c, d] => Ok((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))),
        _ => Err(ILLEGAL_VALUE),
    }
}

fn within(count: u16, most: u16) -> Result<(), u8> {
    if (1..=most).contains(&count) { Ok(()) } else { Err(ILLEGAL_VALUE) }
}

fn read_bits(image: &Image, function: u8, body: &[u8]) -> Acted {
    let (at, count) = two_words(body)?;
    within(count, READ_BITS_MAX)?;
    let bits = if function == 1 { image.read_coils(at, count) } else { image.read_discrete(at, count) };
    let bytes: Vec<u8> = bits
        .map_err(Refusal::code)?
        .chunks(8)
        .map(|eight| eight.iter().enumerate().fold(0, |byte, (place, bit)| byte | u8::from(*bit) << place))
        .collect();
    Ok([&[bytes.len() as u8], bytes.as_slice()].concat())
}

fn read_registers(image: &Image, function: u8, body: &[u8]) -> Acted {
    let (at, count) = two_words(body)?;
    within(count, image.abilities().read_registers_max)?;
    let words = if function == 3 { image.read_holding(at, count) } else { image.read_input(at, count) };
    let words = words.map_err(Refusal::code)?;
    let mut rest = vec![(2 * words.len()) as u8];
    rest.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    Ok(rest)
}

fn write_coil(image: &mut Image, body: &[u8]) -> Acted {
    let bit = match two_words(body)? {
        (_, 0xff00) => true,
        (_, 0) => false,
        _ => return Err(ILLEGAL_VALUE),
    };
    image.write_coils(two_words(body)?.0, &[bit]).map_err(Refusal::code)?;
    Ok(body.to_vec())
}

fn write_register(image: &mut Image, body: &[u8]) -> Acted {
    let (at, word) = two_words(body)?;
    image.write_holding(at, &[word]).map_err(Refusal::code)?;
    Ok(body.to_vec())
}

/// Address, count and data of a request that writes several values; `bytes` says how many bytes a count takes.
fn several(body: &[u8], most: u16, bytes: fn(u16) -> usize) -> Result<(u16, u16, &[u8]), u8> {
    let (head, rest) = body.split_at_checked(4).ok_or(ILLEGAL_VALUE)?;
    let (at, count) = two_words(head)?;
    within(count, most)?;
    match rest.split_first() {
        Some((told, data)) if usize::from(*told) == data.len() && data.len() == bytes(count) => Ok((at, count, data)),
        _ => Err(ILLEGAL_VALUE),
    }
}

fn write_coils(image: &mut Image, body: &[u8]) -> Acted {
    let (at, count, data) = several(body, WRITE_BITS_MAX, |count| usize::from(count.div_ceil(8)))?;
    let bits: Vec<bool> = (0..usize::from(count)).map(|i| data[i / 8] >> (i % 8) & 1 == 1).collect();
    image.write_coils(at, &bits).map_err(Refusal::code)?;
    Ok(body[..4].to_vec())
}

fn write_registers(image: &mut Image, body: &[u8]) -> Acted {
    let (at, _, data) = several(body, WRITE_REGISTERS_MAX, |count| 2 * usize::from(count))?;
    let words: Vec<u16> = data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    image.write_holding(at, &words).map_err(Refusal::code)?;
    Ok(body[..4].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::image::{Abilities, Map, Rule};

    fn image() -> Image {
        let mut image = Image::new(Map {
            input: vec![(0, 200)],
            holding: vec![(0, 4)],
            discrete: vec![(0, 10)],
            coils: vec![(0, 12)],
            rules: (0..3).map(|at| Rule::Word { at, low: 0, high: 1000 }).collect(),
        });
        image.put_input(0, &[0x0102, 0x0304]);
        image.put_discrete(0, true);
        image.put_discrete(9, true);
        image
    }

    #[test]
    fn answers_of_the_specification() {
        let mut image = image();
        let cases: [(&[u8], &[u8]); 14] = [
            (&[4, 0, 0, 0, 2], &[4, 4, 1, 2, 3, 4]),
            (&[2, 0, 0, 0, 10], &[2, 2, 0b0000_0001, 0b10]),
            (&[5, 0, 3, 0xff, 0], &[5, 0, 3, 0xff, 0]),
            (&[1, 0, 0, 0, 12], &[1, 2, 0b1000, 0]),
            (&[15, 0, 0, 0, 10, 2, 0b0000_0101, 0b11], &[15, 0, 0, 0, 10]),
            (&[1, 0, 0, 0, 10], &[1, 2, 0b101, 0b11]),
            (&[6, 0, 1, 3, 0xe8], &[6, 0, 1, 3, 0xe8]),
            (&[16, 0, 0, 0, 2, 4, 0, 7, 0, 9], &[16, 0, 0, 0, 2]),
            (&[3, 0, 0, 0, 3], &[3, 6, 0, 7, 0, 9, 0, 0]),
            (&[5, 0, 3, 1, 0], &[0x85, 3]),
            (&[16, 0, 0, 0, 2, 4, 0, 7, 0xff, 9], &[0x90, 3]),
            (&[16, 0, 2, 0, 2, 4, 0, 7, 0, 9], &[0x90, 2]),
            (&[43, 14, 1, 0], &[0xab, 1]),
            (&[4, 0, 0, 0, 126], &[0x84, 3]),
        ];
        for (request, expected) in cases {
            assert_eq!(answer(&mut image, request), expected, "{request:?}");
        }
        assert_eq!(image.read_holding(0, 2).unwrap(), [7, 9], "a refused write changes nothing");
    }

    #[test]
    fn a_poor_stack_refuses_what_it_cannot() {
        let mut image = image();
        image.restrict(Abilities { read_registers_max: 16, write_multiple: false });
        assert_eq!(answer(&mut image, &[4, 0, 0, 0, 17]), [0x84, 3]);
        assert_eq!(answer(&mut image, &[4, 0, 0, 0, 16]).len(), 34);
        assert_eq!(answer(&mut image, &[16, 0, 0, 0, 1, 2, 0, 7]), [0x90, 1]);
        assert_eq!(answer(&mut image, &[15, 0, 0, 0, 1, 1, 1]), [0x8f, 1]);
        assert_eq!(answer(&mut image, &[6, 0, 0, 0, 7]), [6, 0, 0, 0, 7]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_answered_by_a_frame_that_fits(pdu in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let mut image = image();
            let answer = answer(&mut image, &pdu);
            assert!((2..=253).contains(&answer.len()));
            let function = pdu.first().copied().unwrap_or(0);
            assert!(answer[0] == function || (answer[0] == function | 0x80 && answer.len() == 2));
        }
    }
}
