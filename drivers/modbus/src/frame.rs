//! The frames around a PDU: Modbus TCP with its header, Modbus RTU with its checksum. Pure functions over bytes.
//!
//! Both are our own. The library's client takes whatever frame comes next for the answer, gives up the connection with
//! the first late one, and looks for a frame within the bytes of a broken one; a control system must refuse all three.

/// Most bytes of a PDU (Modbus Application Protocol V1.1b3, 4.1).
pub(crate) const PDU_MAX: usize = 253;
/// Bytes before the PDU over TCP: transaction, protocol, length, unit.
pub(crate) const TCP_HEADER: usize = 7;
/// Bytes around the PDU on a line: unit, checksum.
pub(crate) const RTU_AROUND: usize = 3;

/// What the bytes received so far begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Too few bytes to say.
    More,
    /// A whole frame of this many bytes.
    Frame(Frame),
    /// Something that is no frame and never becomes one.
    Broken(String),
}

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Over TCP, the number of the question it belongs to; 0 on a line, which has none.
    pub(crate) transaction: u16,
    pub(crate) unit: u8,
    pub(crate) pdu: Vec<u8>,
    /// Bytes it took.
    pub(crate) bytes: usize,
}

/// A PDU for Modbus TCP.
pub(crate) fn tcp_frame(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let length = u16::try_from(pdu.len() + 1).unwrap_or(u16::MAX);
    let mut out = Vec::with_capacity(TCP_HEADER + pdu.len());
    out.extend(transaction.to_be_bytes());
    out.extend([0, 0]);
    out.extend(length.to_be_bytes());
    out.push(unit);
    out.extend(pdu);
    out
}

/// The frame at the beginning of what a TCP connection brought.
pub(crate) fn tcp_next(bytes: &[u8]) -> Found {
    let [t0, t1, p0, p1, l0, l1, rest @ ..] = bytes else { return Found::More };
    let (protocol, length) = (u16::from_be_bytes([*p0, *p1]), usize::from(u16::from_be_bytes([*l0, *l1])));
    if protocol != 0 {
        return Found::Broken(format!("protocol {protocol} in the header, Modbus is 0"));
    }
    // The unit and a function at least.
    if !(2..=PDU_MAX + 1).contains(&length) {
        return Found::Broken(format!("a length of {length} in the header"));
    }
    let Some(body) = rest.get(..length) else { return Found::More };
    Found::Frame(Frame {
        transaction: u16::from_be_bytes([*t0, *t1]),
        unit: body[0],
        pdu: body[1..].to_vec(),
        bytes: TCP_HEADER - 1 + length,
    })
}

/// The checksum of Modbus RTU (Modbus over Serial Line V1.02, 6.2.2).
pub(crate) fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 })
    })
}

/// A PDU for a line.
pub(crate) fn rtu_frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pdu.len() + RTU_AROUND);
    out.push(unit);
    out.extend(pdu);
    let sum = crc(&out);
    out.extend(sum.to_le_bytes());
    out
}

/// The answer frame at the beginning of what a line brought. A frame never begins later: bytes before it make all of
/// them suspect.
pub(crate) fn rtu_next(bytes: &[u8]) -> Found {
    let Some(length) = rtu_length(bytes) else { return Found::More };
    let Ok(length) = length else {
        let function = bytes.get(1).copied().unwrap_or_default();
        return Found::Broken(format!("bytes that are no answer: function {function} from unit {}", bytes[0]));
    };
    let Some(frame) = bytes.get(..length) else { return Found::More };
    let (body, sum) = frame.split_at(length - 2);
    if crc(body).to_le_bytes() != sum {
        return Found::Broken("a wrong checksum: noise, two units with one number, or wrong line settings".to_owned());
    }
    Found::Frame(Frame { transaction: 0, unit: body[0], pdu: body[1..].to_vec(), bytes: length })
}

/// Bytes of the answer frame that begins here, checksum included; `None` while too few bytes are there, an error where
/// no answer begins like this.
fn rtu_length(bytes: &[u8]) -> Option<Result<usize, ()>> {
    let function = *bytes.get(1)?;
    Some(Ok(match function {
        1..=4 | 23 => {
            let count = usize::from(*bytes.get(2)?);
            if count + 2 > PDU_MAX {
                return Some(Err(()));
            }
            3 + count + 2
        }
        5 | 6 | 15 | 16 => 8,
        22 => 10,
        43 => {
            // Function, type, code, conformity, more, next, count; then number, length and bytes of each object.
            let objects = *bytes.get(7)?;
            let mut at = 8;
            for _ in 0..objects {
                at += 2 + usize::from(*bytes.get(at + 1)?);
                if at > PDU_MAX + 1 {
                    return Some(Err(()));
                }
            }
            at + 2
        }
        0x81..=0xFF => 5,
        _ => return Some(Err(())),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_the_standards() {
        // The example of the standard: 02 07 has the checksum 41 12.
        assert_eq!(crc(&[2, 7]).to_le_bytes(), [0x41, 0x12]);
        assert_eq!(rtu_frame(1, &[3, 0, 0, 0, 1]), [1, 3, 0, 0, 0, 1, 0x84, 0x0A]);
    }

    #[test]
    fn frames_come_in_pieces() {
        let whole = rtu_frame(12, &[3, 4, 1, 2, 3, 4]);
        for end in 0..whole.len() {
            assert_eq!(rtu_next(&whole[..end]), Found::More, "{end}");
        }
        let mut two = whole.clone();
        two.extend([9, 9]);
        let frame = Frame { transaction: 0, unit: 12, pdu: vec![3, 4, 1, 2, 3, 4], bytes: whole.len() };
        assert_eq!(rtu_next(&two), Found::Frame(frame));
        let whole = tcp_frame(7, 12, &[3, 2, 1, 2]);
        for end in 0..whole.len() {
            assert_eq!(tcp_next(&whole[..end]), Found::More, "{end}");
        }
        let frame = Frame { transaction: 7, unit: 12, pdu: vec![3, 2, 1, 2], bytes: whole.len() };
        assert_eq!(tcp_next(&whole), Found::Frame(frame));
    }

    #[test]
    fn a_flipped_bit_is_refused_wherever_it_is() {
        let whole = rtu_frame(12, &[3, 4, 1, 2, 3, 4]);
        for bit in 0..whole.len() * 8 {
            let mut wrong = whole.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(rtu_next(&wrong), Found::Frame(_)), "bit {bit}");
        }
    }

    #[test]
    fn every_answer_has_its_length() {
        for pdu in [
            &[1, 1, 5][..],
            &[5, 0, 1, 0xFF, 0],
            &[16, 0, 1, 0, 2],
            &[22, 0, 4, 0, 1, 0, 2],
            &[0x83, 2],
            &[0xAB, 1],
            &[43, 14, 1, 1, 0, 0, 2, 0, 2, 65, 66, 1, 0],
        ] {
            let frame = rtu_frame(3, pdu);
            assert!(matches!(rtu_next(&frame), Found::Frame(f) if f.pdu == pdu && f.bytes == frame.len()), "{pdu:?}");
        }
        assert!(matches!(rtu_next(&[1, 0x41]), Found::Broken(_)));
        assert!(matches!(tcp_next(&[0, 0, 0, 7, 0, 2]), Found::Broken(_)));
        assert!(matches!(tcp_next(&[0, 0, 0, 0, 0xFF, 0xFF]), Found::Broken(_)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            for found in [tcp_next(&bytes), rtu_next(&bytes)] {
                if let Found::Frame(frame) = found {
                    prop_assert!(frame.bytes <= bytes.len() && frame.pdu.len() <= PDU_MAX && !frame.pdu.is_empty());
                }
            }
        }

        #[test]
        fn a_frame_reads_back_as_itself(unit: u8, transaction: u16, pdu in proptest::collection::vec(any::<u8>(), 1..=253)) {
            let found = tcp_next(&tcp_frame(transaction, unit, &pdu));
            prop_assert!(matches!(found, Found::Frame(f) if f.pdu == pdu && f.unit == unit && f.transaction == transaction));
        }
    }
}
