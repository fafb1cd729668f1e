//! Pages are what a whole answer begins or ends with, whatever lies in chunks, in heads or out of order.

use super::*;

#[test]
fn a_page_is_the_beginning_or_the_end_of_the_whole_answer() {
    let fake = Fake::new();
    let h = open(&fake);
    let s = h.series(&def("aer/z1/do")).unwrap();
    let mut state = 7_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    // Three chunks and a head, some points of one time, some that arrive an hour late.
    for n in 0..7_000_i64 {
        let late = if n % 97 == 0 { 3_600_000 } else { 0 };
        let ms = n / 3 * 1_000 - late;
        h.append(&[point(s, ms, f64::from(u32::try_from(n).unwrap()))]);
        if n % 500 == 0 {
            h.commit().unwrap();
        }
    }
    let whole = |from: Utc, to: Utc| h.query("aer/z1/do", from, to).unwrap();
    for _ in 0..60 {
        let low = i64::try_from(next() % 3_000).unwrap() * 1_000 - 4_000_000 * i64::try_from(next() % 2).unwrap();
        let (from, to) = (at(low), at(low + i64::try_from(next() % 5_000_000).unwrap()));
        let max = usize::try_from(next() % 5_000).unwrap();
        let all = whole(from, to);
        let first = h.page("aer/z1/do", from, to, max, false).unwrap();
        assert!(first == all[..max.min(all.len())], "{from:?} {to:?} {max}");
        let last = h.page("aer/z1/do", from, to, max, true).unwrap();
        let wanted: Vec<Point> = all.iter().rev().take(max).cloned().collect();
        assert!(last == wanted, "{from:?} {to:?} {max} backwards");
    }
    assert_eq!(h.page("aer/z1/do", ALL.0, ALL.1, 1, true).unwrap().len(), 1);
    assert!(h.page("aer/z1/do", at(1), at(0), 1, true).is_err() && h.page("nowhere", at(0), at(1), 1, true).is_err());
}
