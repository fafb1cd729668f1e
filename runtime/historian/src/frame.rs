//! The outer form of every stored value (version byte, checksum, payload), the numbers inside, and the keys.

/// The format this build writes and reads.
pub(crate) const FORMAT: u8 = 1;
/// Bytes before the payload: version and CRC-32.
pub(crate) const FRAME_BYTES: usize = 5;

/// Why a stored value cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("value is cut off")]
    Short,
    #[error("value has format {0}")]
    Version(u8),
    #[error("checksum does not fit")]
    Checksum,
    #[error("{0}")]
    Malformed(&'static str),
}

fn checksum(key: &[u8], version: u8, payload: &[u8]) -> u32 {
    // The key is covered too: a value that turns up under another key is as wrong as a flipped bit.
    let mut crc = crc32fast::Hasher::new();
    crc.update(key);
    crc.update(&[version]);
    crc.update(payload);
    crc.finalize()
}

/// The stored value of a payload.
pub(crate) fn frame(key: &[u8], payload: &[u8]) -> Vec<u8> {
    frame_as(FORMAT, key, payload)
}

/// As [`frame`], with a version of choice: tests write tomorrow's format with it.
pub(crate) fn frame_as(version: u8, key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(FRAME_BYTES + payload.len());
    value.push(version);
    value.extend_from_slice(&checksum(key, version, payload).to_le_bytes());
    value.extend_from_slice(payload);
    value
}

/// The payload of a stored value. A foreign version is told before a wrong checksum only when the checksum is right, so
/// that a flipped bit in the version byte is damage and not another format.
pub(crate) fn unframe<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], Damage> {
    let (Some(version), Some(crc), Some(payload)) =
        (value.first(), value.get(1..FRAME_BYTES), value.get(FRAME_BYTES..))
    else {
        return Err(Damage::Short);
    };
    if crc != checksum(key, *version, payload).to_le_bytes() {
        return Err(Damage::Checksum);
    }
    if *version != FORMAT {
        return Err(Damage::Version(*version));
    }
    Ok(payload)
}

/// Appends an unsigned number, 7 bits per byte, lowest first.
pub(crate) fn put_uint(out: &mut Vec<u8>, mut x: u64) {
    while x >= 0x80 {
        out.push((x & 0x7f) as u8 | 0x80);
        x >>= 7;
    }
    out.push(x as u8);
}

/// Appends a signed number: zigzag, then as [`put_uint`].
pub(crate) fn put_int(out: &mut Vec<u8>, x: i64) {
    put_uint(out, ((x << 1) ^ (x >> 63)).cast_unsigned());
}

/// Appends bytes with their length before them.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads what the `put_*` functions wrote; every length is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8], Damage> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Damage::Short)?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damage> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn uint(&mut self) -> Result<u64, Damage> {
        let mut x = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            x |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(x);
            }
        }
        Err(Damage::Malformed("number is too long"))
    }

    pub(crate) fn int(&mut self) -> Result<i64, Damage> {
        let x = self.uint()?;
        Ok((x >> 1).cast_signed() ^ -(x & 1).cast_signed())
    }

    /// A number that counts things in memory: refused above `max`.
    pub(crate) fn count(&mut self, max: usize) -> Result<usize, Damage> {
        match usize::try_from(self.uint()?) {
            Ok(n) if n <= max => Ok(n),
            _ => Err(Damage::Malformed("count is too large")),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damage> {
        let n = self.count(self.0.len())?;
        self.take(n)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Damage> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Damage::Malformed("text is not UTF-8"))
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        self.take(N)?.try_into().map_err(|_| Damage::Short)
    }
}

/// Keys. Numbers are big-endian, times with the sign bit flipped, so that the order of bytes is the order of meaning.
pub(crate) mod key {
    pub(crate) const HEADER: [u8; 1] = [0];
    pub(crate) const SERIES: u8 = 1;
    pub(crate) const STATE: u8 = 2;
    pub(crate) const CHUNK: u8 = 3;
    pub(crate) const ROW: u8 = 4;
    pub(crate) const EVENT: u8 = 5;
    pub(crate) const JOURNAL: [u8; 1] = [6];
    pub(crate) const COMMIT: [u8; 1] = [7];

    fn ordered(x: i64) -> [u8; 8] {
        (x.cast_unsigned() ^ (1 << 63)).to_be_bytes()
    }

    fn unordered(bytes: [u8; 8]) -> i64 {
        (u64::from_be_bytes(bytes) ^ (1 << 63)).cast_signed()
    }

    pub(crate) fn series(id: u32) -> Vec<u8> {
        [&[SERIES], &id.to_be_bytes()[..]].concat()
    }

    pub(crate) fn state(id: u32) -> Vec<u8> {
        [&[STATE], &id.to_be_bytes()[..]].concat()
    }

    pub(crate) fn chunk(series: u32, first_ms: i64, number: u64) -> Vec<u8> {
        [&[CHUNK], &series.to_be_bytes()[..], &ordered(first_ms), &number.to_be_bytes()].concat()
    }

    pub(crate) fn row(number: u64) -> Vec<u8> {
        [&[ROW], &number.to_be_bytes()[..]].concat()
    }

    pub(crate) fn event(utc_ns: i64, number: u64) -> Vec<u8> {
        [&[EVENT], &ordered(utc_ns)[..], &number.to_be_bytes()].concat()
    }

    fn part<const N: usize>(key: &[u8], at: usize) -> Option<[u8; N]> {
        key.get(at..at + N)?.try_into().ok()
    }

    /// The id in a series or state key.
    pub(crate) fn id_of(key: &[u8]) -> Option<u32> {
        part(key, 1).map(u32::from_be_bytes)
    }

    /// Series, first time and number of a chunk key.
    pub(crate) fn chunk_of(key: &[u8]) -> Option<(u32, i64, u64)> {
        Some((id_of(key)?, unordered(part(key, 5)?), u64::from_be_bytes(part(key, 13)?)))
    }

    /// The number of a tail row key.
    pub(crate) fn row_of(key: &[u8]) -> Option<u64> {
        part(key, 1).map(u64::from_be_bytes)
    }

    /// Time and number of a journal key.
    pub(crate) fn event_of(key: &[u8]) -> Option<(i64, u64)> {
        Some((unordered(part(key, 1)?), u64::from_be_bytes(part(key, 9)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_at_the_ends_of_their_range() {
        for x in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            put_int(&mut out, x);
            put_uint(&mut out, x.cast_unsigned());
            let mut r = Reader(&out);
            assert_eq!((r.int(), r.uint(), r.is_empty()), (Ok(x), Ok(x.cast_unsigned()), true));
        }
        assert_eq!(Reader(&[0xff; 9]).uint(), Err(Damage::Short));
        assert_eq!(Reader(&[0xff; 11]).uint(), Err(Damage::Malformed("number is too long")));
        assert_eq!(Reader(&[5, 1, 2]).bytes(), Err(Damage::Malformed("count is too large")));
    }

    #[test]
    fn every_flipped_bit_and_a_wrong_key_are_found() {
        let value = frame(b"key", b"payload");
        assert_eq!(unframe(b"key", &value), Ok(&b"payload"[..]));
        assert_eq!(unframe(b"kez", &value), Err(Damage::Checksum));
        for bit in 0..value.len() * 8 {
            let mut bad = value.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unframe(b"key", &bad), Err(Damage::Checksum), "bit {bit}");
        }
        for n in 0..value.len() {
            assert!(unframe(b"key", &value[..n]).is_err(), "{n} bytes");
        }
        assert_eq!(unframe(b"key", &frame_as(9, b"key", b"payload")), Err(Damage::Version(9)));
    }

    #[test]
    fn keys_sort_by_time_across_1970() {
        let times = [i64::MIN, -5, 0, 7, i64::MAX];
        let keys: Vec<_> = times.iter().map(|t| key::chunk(3, *t, 9)).collect();
        assert!(keys.is_sorted());
        for (k, t) in keys.iter().zip(times) {
            assert_eq!(key::chunk_of(k), Some((3, t, 9)));
            assert_eq!(key::event_of(&key::event(t, 4)), Some((t, 4)));
        }
        assert_eq!(key::row_of(&key::row(77)), Some(77));
        assert_eq!(key::id_of(&key::state(6)), Some(6));
    }
}
