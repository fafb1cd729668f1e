//! One value made of another, and several of one: ratio station and split range.

use super::FunctionBlock;
use super::args::{Call, Reset, bounded, number_or_none};
use super::memory::Pass;
use rhai::{Array, Dynamic};

/// Most outputs of one split range.
const RANGES_MAX: usize = 8;

/// Settings of a ratio station.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RatioSettings {
    pub ratio: f64,
    pub bias: f64,
    pub min: f64,
    pub max: f64,
    /// What the output really is, while somebody else decides it.
    pub track: Option<f64>,
    /// Time constant with which the offset of a take-over fades, s; 0: at once.
    pub balance: f64,
}

/// Ratio station `y = ratio·x + bias + o`, within its limits.
///
/// The offset `o` is what tracking left between the law and the output; afterwards it fades, `balance·do/dt = −o`, so
/// that the output goes back to its ratio without a bump. That is the balance time of ratio stations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ratio {
    offset: f64,
    preset: Option<f64>,
}

impl Ratio {
    pub fn run(&mut self, x: f64, s: &RatioSettings, dt: f64) -> f64 {
        let law = bounded(s.ratio * x + s.bias);
        if let Some(target) = self.preset.take().or(s.track) {
            let y = target.clamp(s.min, s.max);
            self.offset = bounded(y - law.clamp(s.min, s.max));
            return y;
        }
        self.offset *= if s.balance > 0.0 { (-dt / s.balance).exp() } else { 0.0 };
        (law.clamp(s.min, s.max) + self.offset).clamp(s.min, s.max)
    }
}

impl FunctionBlock for Ratio {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let (min, max) = call.limits()?;
        let s = RatioSettings {
            ratio: call.needed("ratio")?,
            bias: call.number("bias")?.unwrap_or(0.0),
            min,
            max,
            track: call.number("track")?,
            balance: call.time_or_none("balance")?.unwrap_or(0.0),
        };
        Ok(self.run(call.x(0)?, &s, call.dt).into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        *self = Self { preset: to.number()?, ..Self::default() };
        Ok(())
    }

    fn memory(&mut self, pass: &mut Pass) {
        pass.number("offset", &mut self.offset);
        pass.maybe("preset", &mut self.preset);
    }
}

/// One controller on several actuators: each output runs straight from `y0` at `x0` to `y1` at `x1` and is flat
/// outside. Ranges may overlap or leave a gap; an output may fall while another rises. It has no memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct SplitRange;

impl SplitRange {
    /// The output of the range `[x0, x1, y0, y1]`, `x0 < x1`.
    pub fn output(x: f64, [x0, x1, y0, y1]: [f64; 4]) -> f64 {
        let share = ((x - x0) / (x1 - x0)).clamp(0.0, 1.0);
        // Weighted so that both ends are met without a rounding.
        y0 * (1.0 - share) + y1 * share
    }
}

/// The range in an element of `ranges`.
fn range(value: &Dynamic) -> Result<[f64; 4], String> {
    let wrong = || format!("`ranges` takes [x0, x1, y0, y1] with x0 below x1 for each output, not {value}");
    let array = value.as_array_ref().map_err(|_| wrong())?;
    let mut numbers = [0.0; 4];
    if array.len() != numbers.len() {
        return Err(wrong());
    }
    for (number, element) in numbers.iter_mut().zip(array.iter()) {
        *number = number_or_none(element).ok().flatten().ok_or_else(wrong)?;
    }
    if numbers[0] < numbers[1] { Ok(numbers) } else { Err(wrong()) }
}

impl FunctionBlock for SplitRange {
    fn step(&mut self, call: &Call) -> Result<Dynamic, String> {
        let x = call.x(0)?;
        let ranges = call.get("ranges").ok_or("`ranges` is missing")?;
        let ranges = ranges.as_array_ref().map_err(|_| format!("`ranges` takes an array, not {ranges}"))?;
        if ranges.len() < 2 || ranges.len() > RANGES_MAX {
            return Err(format!("`ranges` takes 2 to {RANGES_MAX} ranges, not {}", ranges.len()));
        }
        let outputs: Result<Array, String> =
            ranges.iter().map(|r| range(r).map(|r| Dynamic::from(SplitRange::output(x, r)))).collect();
        Ok(outputs?.into())
    }

    fn reset(&mut self, to: Reset) -> Result<(), String> {
        to.nothing()
    }

    fn memory(&mut self, _: &mut Pass) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_goes_back_to_its_law_with_its_balance_time() {
        let s = RatioSettings { ratio: 0.8, bias: 5.0, min: 0.0, max: 200.0, track: None, balance: 60.0 };
        let mut block = Ratio::default();
        assert_eq!(block.run(100.0, &s, 1.0), 85.0);
        assert_eq!(block.run(300.0, &s, 1.0), 200.0);
        assert_eq!(block.run(100.0, &RatioSettings { track: Some(125.0), ..s }, 1.0), 125.0);
        let mut t = 0.0;
        for dt in [0.01, 1.0, 30.0, 200.0] {
            t += dt;
            // The leading flow moves meanwhile: what fades is the distance from the law.
            let y = block.run(50.0, &s, dt);
            assert!((y - (45.0 + 40.0 * (-t / 60.0_f64).exp())).abs() < 1e-9, "{y} at {t}");
        }
        FunctionBlock::reset(&mut block, Reset(Some(&20.into()))).unwrap();
        assert_eq!(block.run(50.0, &s, 1.0), 20.0);
    }

    #[test]
    fn a_split_range_serves_its_outputs_in_turn() {
        // Base valve shut from 0 to 45 %, acid opened from 55 %; and two that overlap between 40 and 60.
        let base = [0.0, 45.0, 100.0, 0.0];
        let acid = [55.0, 100.0, 0.0, 100.0];
        for (x, b, a) in
            [(-5.0, 100.0, 0.0), (22.5, 50.0, 0.0), (50.0, 0.0, 0.0), (77.5, 0.0, 50.0), (120.0, 0.0, 100.0)]
        {
            let seen = (SplitRange::output(x, base), SplitRange::output(x, acid));
            assert!((seen.0 - b).abs() < 1e-9 && (seen.1 - a).abs() < 1e-9, "{seen:?} at {x}");
        }
        let (small, large) = ([0.0, 60.0, 0.0, 30.0], [40.0, 100.0, 0.0, 90.0]);
        assert!((SplitRange::output(50.0, small) - 25.0).abs() < 1e-9);
        assert!((SplitRange::output(50.0, large) - 15.0).abs() < 1e-9);
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        let mut block = SplitRange;
        for (ranges, part) in [
            ("[[0, 50, 0, 100]]", "2 to 8"),
            ("[[0, 50, 0, 100], [50, 50, 0, 1]]", "x0 below x1"),
            ("[[0, 50, 0, 100], [50, 100, 0]]", "[x0, x1, y0, y1]"),
            ("7", "takes an array"),
        ] {
            let ranges = rhai::Engine::new().eval::<Dynamic>(ranges).unwrap();
            let settings = std::iter::once(("ranges".into(), ranges)).collect();
            let error = block.step(&Call::new(&[1.0.into()], &["ranges"], Some(&settings), 1.0).unwrap()).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
