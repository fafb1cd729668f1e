//! The plant under test: it runs in virtual time, one output is held by hand for short leases, one measurement is watched.

use super::super::{Plan, Run, base_step};
use super::step::Look;
use crate::config::Site;
use penstock_model::{AlarmCondition, Claim, Origin, Priority, TagId, Value, Wish};
use std::time::Duration;

/// In whose name a test holds an output.
const TESTER: &str = "tune";
/// A hold ends by itself so many looks after the test fell silent, and after this time at least.
const LEASE_LOOKS: u32 = 5;
const LEASE_MIN: Duration = Duration::from_secs(60);
/// An output that is not where the test put it after this many looks is held by something else.
const OBEYS_LOOKS: u32 = 30;

/// What a test moves and watches.
#[derive(Debug, Clone)]
pub struct Target {
    /// Output that is moved.
    pub output: TagId,
    /// Measurement that is watched.
    pub measured: TagId,
    /// Bounds of the measurement: beyond them the test ends at once.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// Bounds of the output.
    pub limits: (f64, f64),
}

impl Target {
    /// Bounds of a measurement where nobody names them: its alarm limits, else its range.
    pub fn bounds(site: &Site, measured: TagId) -> (f64, f64) {
        let (mut low, mut high) = site.tags.get(measured).range.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        for alarm in site.alarms.iter().filter(|alarm| alarm.tag == measured) {
            match alarm.condition {
                AlarmCondition::Above { limit, .. } => high = high.min(limit),
                AlarmCondition::Below { limit, .. } => low = low.max(limit),
                AlarmCondition::Equals(_) | AlarmCondition::Bad => {}
            }
        }
        (low, high)
    }
}

/// A plant and its runtime, in steps of a look.
pub struct Bench<'a> {
    run: Run<'a>,
    site: &'a Site,
    target: Target,
    step: Duration,
    /// Time between two looks.
    pub look: Duration,
    elapsed: Duration,
    next: Duration,
    astray: u32,
    /// Where the output stood at the last look.
    last: f64,
}

impl<'a> Bench<'a> {
    /// Lets the plant settle as the plan says.
    pub fn settled(site: &'a Site, plan: &'a Plan, target: Target) -> Result<Bench<'a>, String> {
        let run = Run::new(site, plan)?;
        let step = base_step(&run.cores)?;
        let look = step.max(Duration::from_secs(1));
        let mut bench = Bench {
            run,
            site,
            target,
            step,
            look,
            elapsed: Duration::ZERO,
            next: Duration::ZERO,
            astray: 0,
            last: f64::NAN,
        };
        while bench.elapsed < plan.settle {
            bench.second();
        }
        bench.run.begin()?;
        Ok(bench)
    }

    fn second(&mut self) {
        loop {
            self.run.scan(self.elapsed);
            let looks = self.next <= self.elapsed;
            if looks {
                self.next += self.look;
                self.run.second(false);
            }
            self.run.plant.step(self.step.as_secs_f64(), self.step.as_secs_f64());
            self.run.clock.advance(self.step);
            self.elapsed += self.step;
            if looks {
                return;
            }
        }
    }

    /// Plant time since the beginning.
    pub fn now_s(&self) -> f64 {
        self.elapsed.as_secs_f64()
    }

    /// Where the output stands now.
    pub fn stands(&self) -> Option<f64> {
        self.run.engine.read(self.target.output).usable_f64()
    }

    /// Holds the output at `value` until the next look, and takes it.
    ///
    /// # Errors
    /// In words, why the test cannot go on: the measurement is bad or beyond its bounds, the hold is refused, or the output
    /// does not go where it is sent.
    pub fn held(&mut self, value: f64) -> Result<Look, String> {
        let lease = Some(LEASE_MIN.max(self.look * LEASE_LOOKS));
        self.claim(Wish::Value(Value::Float(value)), lease)?;
        self.second();
        let sample = self.run.engine.read(self.target.measured);
        let (tags, path) = (&self.site.tags, |tag: TagId| self.site.tags.get(tag).path.to_string());
        let y = sample.usable_f64().ok_or_else(|| format!("`{}` is {}", path(self.target.measured), sample.quality))?;
        if y < self.target.low || y > self.target.high {
            let unit = tags.get(self.target.measured).unit.as_str();
            return Err(format!(
                "`{}` is {y:.4} {unit}, outside {} to {}",
                path(self.target.measured),
                self.target.low,
                self.target.high
            ));
        }
        let u = self.stands().ok_or_else(|| format!("`{}` has no value", path(self.target.output)))?;
        let span = (self.target.limits.1 - self.target.limits.0).abs();
        // One that is still on its way, by its rate, obeys.
        let stands = (u - self.last).abs() <= 1e-6 * span;
        self.astray = if stands && (u - value).abs() > 0.002 * span { self.astray + 1 } else { 0 };
        self.last = u;
        if self.astray > OBEYS_LOOKS {
            return Err(format!(
                "`{}` stands at {u:.4} and not at {value:.4}: a limit, an interlock, a mode or a stronger claim holds it",
                path(self.target.output)
            ));
        }
        Ok(Look { t: self.now_s(), u, y })
    }

    /// Gives the output back to its program, and takes one more look.
    pub fn release(&mut self) -> Result<(), String> {
        self.claim(Wish::Release, None)?;
        self.second();
        Ok(())
    }

    /// Lets the plant run with its programs for a while; what the measurement then is.
    pub fn free(&mut self, time: Duration) -> Option<f64> {
        let end = self.elapsed + time;
        while self.elapsed < end {
            self.second();
        }
        self.run.engine.read(self.target.measured).usable_f64()
    }

    fn claim(&self, wish: Wish, lease: Option<Duration>) -> Result<(), String> {
        let origin = Origin::User(TESTER.into());
        let claim = Claim { tag: self.target.output, wish, origin, priority: Priority::Manual, lease };
        self.run.engine.claim(claim).map_err(|refused| refused.to_string())
    }
}
