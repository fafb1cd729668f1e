//! Agreement of one, two or three sensors of the same quantity.

/// What a vote came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Vote {
    /// The mean of those that agree.
    pub value: f64,
    /// How many agree.
    pub used: usize,
    /// The outvoted one, by its place.
    pub outvoted: Option<usize>,
}

/// Votes among sensors; those without a value failed a test of their own. `spread` is the greatest distance between
/// sensors that agree. `None`: those left do not agree, and nobody can say which is right.
///
/// Three: all that lie within `spread` of the median agree. Two that disagree are told apart by `witness` (a model, or
/// the last good value) where exactly one of them lies within `spread` of it. One alone is believed.
pub(crate) fn vote(sensors: &[Option<f64>], spread: Option<f64>, witness: Option<f64>) -> Option<Vote> {
    if let [only] = sensors {
        return only.map(|value| Vote { value, used: 1, outvoted: None });
    }
    let mut left: Vec<(usize, f64)> = sensors.iter().enumerate().filter_map(|(i, x)| x.map(|x| (i, x))).collect();
    left.sort_by(|a, b| a.1.total_cmp(&b.1));
    let spread = spread.unwrap_or(f64::MAX);
    let near = |x: f64, y: f64| (x - y).abs() <= spread;
    let (agreed, outvoted) = match *left.as_slice() {
        [] => return None,
        [(_, x)] => (vec![x], None),
        [(i, a), (j, b)] => match (near(a, b), witness.map(|w| (near(a, w), near(b, w)))) {
            (true, _) => (vec![a, b], None),
            (false, Some((true, false))) => (vec![a], Some(j)),
            (false, Some((false, true))) => (vec![b], Some(i)),
            (false, _) => return None,
        },
        [(i, low), (_, median), (j, high), ..] => match (near(low, median), near(median, high)) {
            (true, true) => (vec![low, median, high], None),
            (true, false) => (vec![low, median], Some(j)),
            (false, true) => (vec![median, high], Some(i)),
            (false, false) => return None,
        },
    };
    // Shares before the sum: three large numbers have a mean, though not a sum.
    let value = agreed.iter().map(|x| x / agreed.len() as f64).sum();
    Some(Vote { value, used: agreed.len(), outvoted })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sensors, witness; value, how many agree, and who was outvoted.
    type Case = (&'static [Option<f64>], Option<f64>, Option<(f64, usize, Option<usize>)>);

    #[test]
    fn those_that_agree_outvote_the_one_that_does_not() {
        let cases: &[Case] = &[
            (&[Some(2.0), Some(2.2), Some(2.4)], None, Some((2.2, 3, None))),
            (&[Some(9.0), Some(2.2), Some(2.0)], None, Some((2.1, 2, Some(0)))),
            (&[Some(2.2), Some(0.1), Some(2.0)], None, Some((2.1, 2, Some(1)))),
            (&[Some(1.0), Some(5.0), Some(9.0)], None, None),
            (&[Some(2.0), None, Some(2.4)], None, Some((2.2, 2, None))),
            (&[Some(2.0), Some(4.0)], None, None),
            (&[Some(2.0), Some(4.0)], Some(4.3), Some((4.0, 1, Some(0)))),
            (&[Some(2.0), Some(4.0)], Some(9.0), None),
            (&[None, Some(4.0)], None, Some((4.0, 1, None))),
            (&[None, None, None], Some(4.0), None),
        ];
        for (sensors, witness, expected) in cases {
            let seen = vote(sensors, Some(0.5), *witness);
            assert_eq!(seen.map(|v| (v.used, v.outvoted)), expected.map(|e| (e.1, e.2)), "{sensors:?}");
            if let (Some(seen), Some(expected)) = (seen, expected) {
                assert!((seen.value - expected.0).abs() < 1e-12, "{sensors:?}: {seen:?}");
            }
        }
        assert_eq!(vote(&[Some(0.0), Some(9.0)], None, None).map(|v| v.value), Some(4.5), "no spread: a mean");
    }
}
