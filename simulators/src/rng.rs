//! Seeded randomness: one small generator, one named stream per use.
//!
//! Every model and instrument draws from its own stream, so that adding one noise source does not change the others.
//! Generator: xoshiro256++ (Blackman, Vigna 2019), seeded by splitmix64.

/// A stream of pseudo-random numbers.
#[derive(Debug, Clone)]
pub struct Rng {
    state: [u64; 4],
    spare: Option<f64>,
}

impl Rng {
    /// The stream called `stream` of the given seed.
    #[must_use]
    pub fn new(seed: u64, stream: &str) -> Rng {
        // FNV-1a of the name keeps the streams of one seed apart.
        let name = stream
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut mix = seed ^ name;
        let state = std::array::from_fn(|_| splitmix(&mut mix));
        Rng { state, spare: None }
    }

    fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = self.state;
        let result = s0.wrapping_add(s3).rotate_left(23).wrapping_add(s0);
        let s2 = s2 ^ s0;
        let s3 = s3 ^ s1;
        self.state = [s0 ^ s3, s1 ^ s2, s2 ^ (s1 << 17), s3.rotate_left(45)];
        result
    }

    /// Uniform in 0 (inclusive) to 1 (exclusive).
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal (Marsaglia's polar method).
    pub fn gauss(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        loop {
            let u = 2.0 * self.uniform() - 1.0;
            let v = 2.0 * self.uniform() - 1.0;
            let s = u * u + v * v;
            if s > 0.0 && s < 1.0 {
                let scale = (-2.0 * s.ln() / s).sqrt();
                self.spare = Some(v * scale);
                return u * scale;
            }
        }
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A slowly wandering quantity with mean 0 and standard deviation `sigma` (Ornstein-Uhlenbeck, exact in the step).
#[derive(Debug, Clone)]
pub struct Wander {
    value: f64,
    sigma: f64,
    tau_s: f64,
    rng: Rng,
}

impl Wander {
    /// Starts at a random point of the stationary distribution; `tau_s` is the correlation time in seconds.
    #[must_use]
    pub fn new(seed: u64, stream: &str, sigma: f64, tau_s: f64) -> Wander {
        let mut rng = Rng::new(seed, stream);
        let value = sigma * rng.gauss();
        Wander { value, sigma, tau_s, rng }
    }

    /// Goes on by `dt` seconds and returns the new value.
    pub fn step(&mut self, dt: f64) -> f64 {
        let keep = (-dt / self.tau_s).exp();
        self.value = self.value * keep + self.sigma * (1.0 - keep * keep).sqrt() * self.rng.gauss();
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_by_seed_and_differ_by_name() {
        let draw = |seed, name| {
            let mut rng = Rng::new(seed, name);
            (0..8).map(|_| rng.next_u64()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, "a"), draw(7, "a"));
        assert_ne!(draw(7, "a"), draw(7, "b"));
        assert_ne!(draw(7, "a"), draw(8, "a"));
    }

    #[test]
    fn gauss_has_unit_variance_and_wander_its_sigma() {
        let mut rng = Rng::new(1, "gauss");
        let n = 100_000;
        let draws: Vec<f64> = (0..n).map(|_| rng.gauss()).collect();
        let mean = draws.iter().sum::<f64>() / f64::from(n);
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "mean {mean} variance {variance}");
        let mut wander = Wander::new(1, "wander", 2.0, 10.0);
        let variance = (0..n).map(|_| wander.step(5.0).powi(2)).sum::<f64>() / f64::from(n);
        assert!((variance.sqrt() - 2.0).abs() < 0.08, "sigma {}", variance.sqrt());
    }
}
