//! Modbus RTU frames: unit, PDU, CRC-16; found in a stream of bytes by their length and by silence.
//!
//! A frame whose length its function code tells ends with its last byte, so that a slow scheduler on the way cannot tear
//! it. Any other ends with the silence of 3.5 characters that the specification demands (Modbus over Serial Line
//! V1.02, 2.5.1). After a frame that does not check, everything up to the next silence is thrown away.

/// Longest frame: unit, 253 bytes of PDU, CRC.
pub const FRAME_MAX: usize = 256;

/// CRC-16 of Modbus: polynomial 0xA001 (reflected), start 0xFFFF; goes low byte first.
#[must_use]
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xa001 } else { crc >> 1 })
    })
}

/// The frame of a unit around a PDU.
#[must_use]
pub fn frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![unit];
    frame.extend(pdu);
    frame.extend(crc(&frame).to_le_bytes());
    frame
}

/// Length of the request that begins with these bytes; `None` where more of them or a silence decides.
fn length(bytes: &[u8]) -> Option<usize> {
    match *bytes.get(1)? {
        1..=6 => Some(8),
        15 | 16 => Some(9 + usize::from(*bytes.get(6)?)),
        _ => None,
    }
}

/// A request from the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Unit it is for; 0 is for all.
    pub unit: u8,
    /// Its PDU.
    pub pdu: Vec<u8>,
    /// Bytes on the line, to reckon how long they took.
    pub bytes: Vec<u8>,
}

impl Request {
    fn of(bytes: &[u8]) -> Option<Request> {
        let (body, told) = bytes.split_at_checked(bytes.len().checked_sub(2)?)?;
        let (unit, pdu) = body.split_first()?;
        let holds = !pdu.is_empty() && bytes.len() <= FRAME_MAX && crc(body).to_le_bytes() == *told;
        holds.then(|| Request { unit: *unit, pdu: pdu.to_vec(), bytes: bytes.to_vec() })
    }
}

/// Finds requests in the bytes of a line.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    lost: bool,
}

impl Decoder {
    /// Takes bytes from the line.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.lost {
            self.buffer.extend(bytes);
        }
    }

    /// Whether a silence would change anything.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.lost || !self.buffer.is_empty()
    }

    /// The next request that is complete by its length; call it until it gives none.
    pub fn next_complete(&mut self) -> Option<Request> {
        if let Some(length) = length(&self.buffer).filter(|length| *length <= self.buffer.len()) {
            let request = Request::of(&self.buffer[..length]);
            if request.is_some() {
                self.buffer.drain(..length);
            } else {
                self.lose();
            }
            return request;
        }
        if self.buffer.len() > FRAME_MAX {
            self.lose();
        }
        None
    }

    /// The line has been silent for 3.5 characters: what is there is a frame or nothing.
    pub fn silence(&mut self) -> Option<Request> {
        self.lost = false;
        Request::of(&std::mem::take(&mut self.buffer))
    }

    fn lose(&mut self) {
        self.buffer.clear();
        self.lost = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::num::u8::ANY;

    /// Requests in a stream that comes in these pieces, with silence only at the end.
    fn requests(pieces: &[&[u8]]) -> Vec<Request> {
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(request) = decoder.next_complete() {
                found.push(request);
            }
        }
        found.extend(decoder.silence());
        assert!(!decoder.waits());
        found
    }

    #[test]
    fn crc_of_known_frames() {
        // The frame of the specification's appendix, and one every manual shows.
        assert_eq!(frame(2, &[7]), [2, 7, 0x41, 0x12]);
        assert_eq!(frame(1, &[3, 0, 0, 0, 10]), [1, 3, 0, 0, 0, 10, 0xc5, 0xcd]);
    }

    #[test]
    fn frames_end_by_length_or_by_silence() {
        let read = frame(1, &[3, 0, 0, 0, 10]);
        let write = frame(9, &[16, 0, 0, 0, 1, 2, 0, 5]);
        let odd = frame(1, &[43, 14, 1, 0]);
        let stream = [read.clone(), write.clone(), odd.clone()].concat();
        let found = requests(&[&stream]);
        assert_eq!(found.iter().map(|r| r.bytes.clone()).collect::<Vec<_>>(), [read, write, odd]);
        assert_eq!((found[1].unit, found[1].pdu.as_slice()), (9, &[16, 0, 0, 0, 1, 2, 0, 5][..]));
    }

    #[test]
    fn a_wrong_crc_loses_everything_up_to_the_silence() {
        let good = frame(1, &[3, 0, 0, 0, 10]);
        let mut bad = good.clone();
        bad[7] ^= 1;
        let mut decoder = Decoder::default();
        decoder.push(&[bad, good.clone()].concat());
        assert_eq!(decoder.next_complete(), None);
        decoder.push(&good);
        assert_eq!(decoder.next_complete(), None);
        assert!(decoder.waits());
        assert_eq!(decoder.silence(), None);
        decoder.push(&good);
        assert!(decoder.next_complete().is_some());
    }

    proptest::proptest! {
        #[test]
        fn a_good_frame_is_found_however_it_is_cut(unit: u8, at: u16, cuts in vec(1_usize..4, 8)) {
            let [high, low] = at.to_be_bytes();
            let bytes = frame(unit, &[4, high, low, 0, 1]);
            let mut rest = bytes.as_slice();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, left) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = left;
            }
            pieces.push(rest);
            let found = requests(&pieces);
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].unit, found[0].bytes.clone()), (unit, bytes));
        }

        #[test]
        fn any_bytes_leave_a_decoder_that_hears_again(pieces in vec(vec(ANY, 0..300), 0..6)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            for request in requests(&pieces) {
                assert!(request.bytes.len() <= FRAME_MAX && !request.pdu.is_empty());
            }
            let mut decoder = Decoder::default();
            pieces.iter().for_each(|piece| {
                decoder.push(piece);
                while decoder.next_complete().is_some() {}
                assert!(decoder.buffer.len() <= FRAME_MAX + 9);
            });
            decoder.silence();
            decoder.push(&frame(7, &[4, 0, 0, 0, 1]));
            assert_eq!(decoder.next_complete().map(|r| r.unit), Some(7));
        }
    }
}
