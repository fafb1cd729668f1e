//! Columns of one kind of number, each in the smallest of several forms. The first byte of a column names its form.
//!
//! Every form is lossless to the bit. A column packed by `pco` is unpacked and compared before it is used: the tail
//! rows that hold the same points are deleted afterwards.

use crate::frame::{Damage, Reader, put_bytes, put_int, put_uint};
use pco::data_types::Number;
use pco::standalone::{simple_compress, simple_decompress_into};
use pco::{ChunkConfig, DeltaSpec};
use std::collections::HashMap;
use std::sync::Arc;

const INT_REGULAR: u8 = 0;
const INT_RUNS: u8 = 1;
const INT_DELTAS: u8 = 2;
const INT_PCO: u8 = 3;

const FLOAT_RUNS: u8 = 0;
const FLOAT_SCALED: u8 = 1;
const FLOAT_PCO64: u8 = 2;
const FLOAT_PCO32: u8 = 3;
const FLOAT_RAW: u8 = 4;

const BOOL_RUNS: u8 = 0;
const BOOL_BITS: u8 = 1;

/// Powers of ten that a float is a fraction of. Beyond nine figures a column is no reading of an instrument.
const TENS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Their inverses, as a driver's scale factor is written: `3 * 0.1` is another float than `3 / 10`.
const TENTHS: [f64; 10] = [1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9];
/// 2^53: whole numbers up to here are exact as floats.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// How a whole number becomes the float it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    pub(crate) decimals: u8,
    pub(crate) multiply: bool,
}

impl Scale {
    /// The float of a whole number.
    #[expect(clippy::cast_precision_loss, reason = "whole numbers are within 2^53, checked when they were made")]
    pub(crate) fn float(self, whole: i64) -> f64 {
        let d = usize::from(self.decimals).min(TENS.len() - 1);
        if self.multiply { whole as f64 * TENTHS[d] } else { whole as f64 / TENS[d] }
    }

    /// The whole number that gives exactly this float, to the bit.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within 2^53")]
    pub(crate) fn whole(self, x: f64) -> Option<i64> {
        let scaled = (x * TENS[usize::from(self.decimals)]).round();
        if scaled.is_nan() || scaled.abs() > WHOLE_MAX {
            return None;
        }
        let whole = scaled as i64;
        (self.float(whole).to_bits() == x.to_bits()).then_some(whole)
    }

    /// All scales, the coarsest first.
    pub(crate) fn all() -> impl Iterator<Item = Scale> {
        (0..TENS.len() as u8)
            .flat_map(|decimals| [false, true].map(|multiply| Scale { decimals, multiply }))
            .filter(|s| s.decimals > 0 || !s.multiply)
    }
}

/// A packed column has about this many bytes besides its numbers: shorter forms are not worth the try.
const PACKED_BYTES_MIN: usize = 24;

/// The column packed, where that is shorter than `shorter_than` bytes.
fn packed<T: Number>(values: &[T], shorter_than: usize, same: fn(&T, &T) -> bool) -> Option<Vec<u8>> {
    if shorter_than <= PACKED_BYTES_MIN {
        return None;
    }
    let mut best: Option<Vec<u8>> = None;
    for delta in [DeltaSpec::Auto, DeltaSpec::TryConsecutive(1)] {
        let config = ChunkConfig::default().with_delta_spec(delta);
        let Ok(bytes) = simple_compress(values, &config) else { continue };
        if best.as_ref().is_none_or(|b| bytes.len() < b.len()) {
            best = Some(bytes);
        }
    }
    let bytes = best.filter(|b| b.len() < shorter_than)?;
    let back = unpacked(&bytes, values.len(), values[0]).ok()?;
    values.iter().zip(&back).all(|(a, b)| same(a, b)).then_some(bytes)
}

fn unpacked<T: Number>(bytes: &[u8], count: usize, fill: T) -> Result<Vec<T>, Damage> {
    let mut values = vec![fill; count];
    match simple_decompress_into(bytes, &mut values) {
        Ok(progress) if progress.n_processed == count => Ok(values),
        _ => Err(Damage::Malformed("packed numbers do not unpack")),
    }
}

/// Lengths of runs of equal neighbours.
fn runs<T>(values: &[T], same: impl Fn(&T, &T) -> bool) -> impl Iterator<Item = (&T, usize)> {
    values.chunk_by(move |a, b| same(a, b)).map(|run| (&run[0], run.len()))
}

/// Encodes whole numbers. `values` must not be empty.
pub(crate) fn put_ints(out: &mut Vec<u8>, values: &[i64]) {
    let step = values.get(1).map_or(0, |second| second.wrapping_sub(values[0]));
    if values.windows(2).all(|w| w[1].wrapping_sub(w[0]) == step) {
        out.push(INT_REGULAR);
        put_int(out, values[0]);
        put_int(out, step);
        return;
    }
    let mut best = vec![INT_DELTAS];
    let mut before = 0;
    for x in values {
        put_int(&mut best, x.wrapping_sub(before));
        before = *x;
    }
    let mut by_runs = vec![INT_RUNS];
    before = 0;
    for (x, n) in runs(values, |a, b| a == b) {
        put_int(&mut by_runs, x.wrapping_sub(before));
        put_uint(&mut by_runs, n as u64);
        before = *x;
        if by_runs.len() >= best.len() {
            break;
        }
    }
    if by_runs.len() < best.len() {
        best = by_runs;
    }
    if let Some(bytes) = packed(values, best.len() - 1, |a, b| a == b) {
        best = bytes;
        best.insert(0, INT_PCO);
    }
    out.append(&mut best);
}

/// Decodes `count` whole numbers from all of `bytes`.
pub(crate) fn get_ints(bytes: &[u8], count: usize) -> Result<Vec<i64>, Damage> {
    let mut r = Reader(bytes);
    let form = r.byte()?;
    if form == INT_PCO {
        return unpacked(r.0, count, 0i64);
    }
    let mut values = Vec::with_capacity(count);
    let mut before = 0i64;
    match form {
        INT_REGULAR => {
            before = r.int()?;
            let step = r.int()?;
            for _ in 0..count {
                values.push(before);
                before = before.wrapping_add(step);
            }
        }
        INT_RUNS => {
            while values.len() < count {
                before = before.wrapping_add(r.int()?);
                let n = r.count(count - values.len())?;
                values.resize(values.len() + n.max(1), before);
            }
        }
        INT_DELTAS => {
            for _ in 0..count {
                before = before.wrapping_add(r.int()?);
                values.push(before);
            }
        }
        _ => return Err(Damage::Malformed("unknown form of whole numbers")),
    }
    if r.is_empty() { Ok(values) } else { Err(Damage::Malformed("whole numbers are too long")) }
}

/// Finds a scale that gives all but a few of the floats exactly, with the whole numbers and the exceptions.
fn scaled(values: &[f64]) -> Option<(Scale, Vec<i64>, Vec<usize>)> {
    // An odd zero of negative sign or a start value shall not cost the whole column its scale.
    let exceptions_max = values.len() / 16;
    let mut best: Option<(Scale, Vec<i64>, Vec<usize>)> = None;
    for scale in Scale::all() {
        let limit = best.as_ref().map_or(exceptions_max + 1, |b| b.2.len());
        let mut wholes = Vec::with_capacity(values.len());
        let mut exceptions = Vec::new();
        for (i, x) in values.iter().enumerate() {
            if let Some(whole) = scale.whole(*x) {
                wholes.push(whole);
            } else if exceptions.len() + 1 < limit {
                exceptions.push(i);
                wholes.push(wholes.last().copied().unwrap_or(0));
            } else {
                break;
            }
        }
        if wholes.len() == values.len() {
            let done = exceptions.is_empty();
            best = Some((scale, wholes, exceptions));
            if done {
                break;
            }
        }
    }
    best
}

/// Encodes floats, to the bit. `values` must not be empty.
pub(crate) fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    let same: fn(&f64, &f64) -> bool = |a, b| a.to_bits() == b.to_bits();
    let mut best = vec![FLOAT_RAW];
    best.extend(values.iter().flat_map(|x| x.to_bits().to_le_bytes()));
    let mut by_runs = vec![FLOAT_RUNS];
    for (x, n) in runs(values, same) {
        by_runs.extend_from_slice(&x.to_bits().to_le_bytes());
        put_uint(&mut by_runs, n as u64);
        if by_runs.len() >= best.len() {
            break;
        }
    }
    if by_runs.len() < best.len() {
        best = by_runs;
    }
    if let Some((scale, wholes, exceptions)) = scaled(values) {
        let mut c = vec![FLOAT_SCALED, scale.decimals | u8::from(scale.multiply) << 7];
        put_uint(&mut c, exceptions.len() as u64);
        let mut before = 0;
        for i in exceptions {
            put_uint(&mut c, (i - before) as u64);
            c.extend_from_slice(&values[i].to_bits().to_le_bytes());
            before = i;
        }
        put_ints(&mut c, &wholes);
        if c.len() < best.len() {
            best = c;
        }
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "used only where the way back gives the same bits")]
        let singles: Vec<f32> = values.iter().map(|x| *x as f32).collect();
        let exact = values.iter().zip(&singles).all(|(x, s)| same(x, &f64::from(*s)));
        let shorter_than = best.len() - 1;
        let (form, bytes) = if exact {
            (FLOAT_PCO32, packed(&singles, shorter_than, |a, b| a.to_bits() == b.to_bits()))
        } else {
            (FLOAT_PCO64, packed(values, shorter_than, same))
        };
        if let Some(bytes) = bytes {
            best = bytes;
            best.insert(0, form);
        }
    }
    out.append(&mut best);
}

/// Decodes `count` floats from all of `bytes`.
pub(crate) fn get_floats(bytes: &[u8], count: usize) -> Result<Vec<f64>, Damage> {
    let mut r = Reader(bytes);
    let mut values = Vec::with_capacity(count);
    match r.byte()? {
        FLOAT_RAW => {
            for _ in 0..count {
                values.push(f64::from_bits(u64::from_le_bytes(r.fixed()?)));
            }
        }
        FLOAT_RUNS => {
            while values.len() < count {
                let x = f64::from_bits(u64::from_le_bytes(r.fixed()?));
                let n = r.count(count - values.len())?;
                values.resize(values.len() + n.max(1), x);
            }
        }
        FLOAT_SCALED => {
            let scale = r.byte()?;
            let scale = Scale { decimals: scale & 0x7f, multiply: scale & 0x80 != 0 };
            let mut exceptions = Vec::new();
            let mut at = 0usize;
            for _ in 0..r.count(count)? {
                at += r.count(count)?;
                exceptions.push((at, f64::from_bits(u64::from_le_bytes(r.fixed()?))));
            }
            values.extend(get_ints(r.0, count)?.into_iter().map(|w| scale.float(w)));
            for (i, x) in exceptions {
                *values.get_mut(i).ok_or(Damage::Malformed("exception outside its column"))? = x;
            }
            return Ok(values);
        }
        FLOAT_PCO64 => return unpacked(r.0, count, 0f64),
        FLOAT_PCO32 => return Ok(unpacked(r.0, count, 0f32)?.into_iter().map(f64::from).collect()),
        _ => return Err(Damage::Malformed("unknown form of floats")),
    }
    if r.is_empty() { Ok(values) } else { Err(Damage::Malformed("floats are too long")) }
}

/// Encodes switches. `values` must not be empty.
pub(crate) fn put_bools(out: &mut Vec<u8>, values: &[bool]) {
    let mut by_runs = vec![BOOL_RUNS, u8::from(values[0])];
    for (_, n) in runs(values, |a, b| a == b) {
        put_uint(&mut by_runs, n as u64);
    }
    if by_runs.len() <= 1 + values.len().div_ceil(8) {
        out.append(&mut by_runs);
        return;
    }
    out.push(BOOL_BITS);
    out.extend(values.chunks(8).map(|c| c.iter().rev().fold(0, |byte, b| byte << 1 | u8::from(*b))));
}

/// Decodes `count` switches from all of `bytes`.
pub(crate) fn get_bools(bytes: &[u8], count: usize) -> Result<Vec<bool>, Damage> {
    let mut r = Reader(bytes);
    match r.byte()? {
        BOOL_RUNS => {
            let mut values = Vec::with_capacity(count);
            let mut on = r.byte()? != 0;
            while values.len() < count {
                let n = r.count(count - values.len())?;
                values.resize(values.len() + n, on);
                on = !on;
            }
            Ok(values)
        }
        BOOL_BITS => {
            let bits = r.take(count.div_ceil(8))?;
            Ok((0..count).map(|i| bits[i / 8] >> (i % 8) & 1 == 1).collect())
        }
        _ => Err(Damage::Malformed("unknown form of switches")),
    }
}

/// Encodes texts: each different one once, then which one stands where. `values` must not be empty.
pub(crate) fn put_texts(out: &mut Vec<u8>, values: &[Arc<str>]) {
    let mut numbers: HashMap<&str, i64> = HashMap::new();
    let mut different = Vec::new();
    let places: Vec<i64> = values
        .iter()
        .map(|t| {
            *numbers.entry(t).or_insert_with(|| {
                different.push(t.as_bytes());
                different.len() as i64 - 1
            })
        })
        .collect();
    put_uint(out, different.len() as u64);
    for text in different {
        put_bytes(out, text);
    }
    put_ints(out, &places);
}

/// Decodes `count` texts from all of `bytes`.
pub(crate) fn get_texts(bytes: &[u8], count: usize) -> Result<Vec<Arc<str>>, Damage> {
    let mut r = Reader(bytes);
    let n = r.count(count)?;
    let different = (0..n).map(|_| Ok(Arc::from(r.text()?))).collect::<Result<Vec<Arc<str>>, Damage>>()?;
    get_ints(r.0, count)?
        .into_iter()
        .map(|i| {
            let text = usize::try_from(i).ok().and_then(|i| different.get(i));
            text.cloned().ok_or(Damage::Malformed("text outside its list"))
        })
        .collect()
}

/// Encodes codes of one byte as runs: qualities and kinds hardly ever change.
pub(crate) fn put_codes(out: &mut Vec<u8>, values: &[u8]) {
    for (code, n) in runs(values, |a, b| a == b) {
        out.push(*code);
        put_uint(out, n as u64);
    }
}

/// Decodes `count` codes from all of `bytes`.
pub(crate) fn get_codes(bytes: &[u8], count: usize) -> Result<Vec<u8>, Damage> {
    let mut r = Reader(bytes);
    let mut values = Vec::with_capacity(count);
    while values.len() < count {
        let code = r.byte()?;
        let n = r.count(count - values.len())?;
        values.resize(values.len() + n, code);
    }
    if r.is_empty() { Ok(values) } else { Err(Damage::Malformed("codes are too long")) }
}
