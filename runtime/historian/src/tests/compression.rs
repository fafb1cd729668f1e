//! Bytes per point of signals as plants have them: keys, times and qualities included.

use super::*;

/// A generator of its own, so that the figures are the same everywhere (Knuth's MMIX constants).
struct Noise(u64);

impl Noise {
    /// Evenly from 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

const POINTS: usize = 20_480;

fn bytes_per_sample(name: &str, jitter_ms: f64, mut value: impl FnMut(usize, &mut Noise) -> Value) -> f64 {
    let fake = Fake::new();
    let h = open(&fake);
    let s = h.series(&def(name)).unwrap();
    let (mut noise, mut clock) = (Noise(7), Noise(8));
    let mut expected = Vec::new();
    for i in 0..POINTS {
        let ms = i as i64 * 1_000 + ((clock.next() * 2.0 - 1.0) * jitter_ms).round() as i64;
        let p = point(s, ms, value(i, &mut noise));
        h.append(std::slice::from_ref(&p));
        expected.push(p);
        if i % 1_024 == 1_023 {
            h.commit().unwrap();
        }
    }
    h.commit().unwrap();
    assert_eq!(h.query(name, ALL.0, ALL.1).unwrap(), expected);
    let stats = h.stats();
    assert_eq!(stats.samples, POINTS as u64);
    assert!(stats.chunks as usize >= POINTS / 2_048 && stats.tail_bytes == 0, "{stats:?}");
    println!("{name}: {:.3} bytes per sample, {} chunks", stats.bytes_per_sample, stats.chunks);
    stats.bytes_per_sample
}

/// A slow drift as an analyser shows it, in steps of `1 / per_unit`.
fn drift(per_unit: f64, multiply: bool) -> impl FnMut(usize, &mut Noise) -> Value {
    let mut level = 2.0;
    move |_, noise| {
        level += (noise.next() - 0.5) * 0.3 / per_unit;
        let whole = (level * per_unit).round();
        Value::Float(if multiply { whole * (1.0 / per_unit) } else { whole / per_unit })
    }
}

#[test]
fn signals_of_a_plant_stay_within_their_budgets() {
    let mut total = 0.0;
    let mut sine =
        |i: usize, n: &mut Noise| Value::Int((2_000.0 + 900.0 * (i as f64 / 500.0).sin() + n.next() * 4.0) as i64);
    let mut check = |name: &str, bytes: f64, max: f64| {
        assert!(bytes < max, "{name}: {bytes} bytes per sample");
        total += bytes;
    };
    check("drift at 0.1", bytes_per_sample("drift at 0.1", 0.0, drift(10.0, false)), 0.5);
    check("drift times 0.1", bytes_per_sample("drift times 0.1", 0.0, drift(10.0, true)), 0.5);
    check("drift at 0.1, jitter", bytes_per_sample("drift at 0.1, jitter", 5.0, drift(10.0, false)), 1.0);
    check("12 bit", bytes_per_sample("12 bit", 0.0, &mut sine), 1.0);
    let mut total_m3 = 0.0;
    let totaliser = |_: usize, n: &mut Noise| {
        total_m3 += (n.next() * 3.0).floor();
        Value::Float(total_m3 / 10.0)
    };
    check("totaliser", bytes_per_sample("totaliser", 0.0, totaliser), 0.8);
    let switch = |i: usize, _: &mut Noise| Value::Bool((i / 700).is_multiple_of(2));
    check("switch", bytes_per_sample("switch", 0.0, switch), 0.06);
    check("constant", bytes_per_sample("constant", 0.0, |_, _| Value::Float(3.7)), 0.06);
    check("mode as text", bytes_per_sample("mode as text", 0.0, |i, _| ["auto", "hand"][i / 900 % 2].into()), 0.1);
    // A computed value with every bit in use cannot be packed far; it must still be smaller than as it is.
    let computed = |i: usize, n: &mut Noise| Value::Float((i as f64 / 300.0).sin() + n.next() * 1e-3);
    check("computed", bytes_per_sample("computed", 0.0, computed), 7.5);
    let single =
        |i: usize, n: &mut Noise| Value::Float(f64::from((20.0 + (i as f64 / 300.0).sin() + n.next() * 0.01) as f32));
    check("single", bytes_per_sample("single", 0.0, single), 3.0);
}

#[test]
fn a_few_odd_values_do_not_cost_a_column_its_scale() {
    let mut plain = drift(10.0, false);
    let bytes = bytes_per_sample("odd", 0.0, |i, n| match i % 100 {
        7 => Value::Float(-0.0),
        _ => plain(i, n),
    });
    assert!(bytes < 1.2, "{bytes} bytes per sample");
}
