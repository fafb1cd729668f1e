//! The plant model as the stand of a loop's test: it runs in virtual time, and one output is held by hand for short leases.

use super::{Plan, Run, base_step};
use crate::config::Site;
use crate::tune::{Stand, Target, Watch, step::Look};
use penstock_model::{Claim, Origin, Priority, Value, Wish};
use std::time::Duration;

/// In whose name a test holds an output.
const TESTER: &str = "tune";
/// A hold ends by itself so many looks after the test fell silent, and after this time at least.
const LEASE_LOOKS: u32 = 5;
const LEASE_MIN: Duration = Duration::from_secs(60);
/// A plant and its runtime, in steps of a look.
pub(crate) struct Bench<'a> {
    run: Run<'a>,
    target: Target,
    watch: Watch,
    step: Duration,
    /// Time between two looks.
    look: Duration,
    elapsed: Duration,
    next: Duration,
}

impl<'a> Bench<'a> {
    /// Lets the plant settle as the plan says.
    pub(crate) fn settled(site: &'a Site, plan: &'a Plan, target: &Target) -> Result<Bench<'a>, String> {
        let run = Run::new(site, plan)?;
        let step = base_step(&run.cores)?;
        let look = step.max(Duration::from_secs(1));
        let (target, watch) = (target.clone(), Watch::new(site, target));
        let mut bench = Bench { run, target, watch, step, look, elapsed: Duration::ZERO, next: Duration::ZERO };
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

    fn claim(&self, wish: Wish, lease: Option<Duration>) -> Result<(), String> {
        let origin = Origin::User(TESTER.into());
        let claim = Claim { tag: self.target.output, wish, origin, priority: Priority::Manual, lease };
        self.run.engine.claim(claim).map_err(|refused| refused.to_string())
    }
}

impl Stand for Bench<'_> {
    fn now_s(&self) -> f64 {
        self.elapsed.as_secs_f64()
    }

    fn stands(&mut self) -> Result<Option<f64>, String> {
        Ok(self.run.engine.read(self.target.output).usable_f64())
    }

    fn held(&mut self, value: f64) -> Result<Look, String> {
        let lease = Some(LEASE_MIN.max(self.look * LEASE_LOOKS));
        self.claim(Wish::Value(Value::Float(value)), lease)?;
        self.second();
        let (output, measured) = (self.run.engine.read(self.target.output), self.run.engine.read(self.target.measured));
        let measured = measured.usable_f64().ok_or_else(|| measured.quality.to_string());
        self.watch.judge(self.now_s(), value, output.usable_f64(), measured)
    }

    fn release(&mut self) -> Result<bool, String> {
        self.claim(Wish::Release, None)?;
        self.second();
        Ok(true)
    }

    fn free(&mut self, time: Duration) -> Option<f64> {
        let end = self.elapsed + time;
        while self.elapsed < end {
            self.second();
        }
        self.run.engine.read(self.target.measured).usable_f64()
    }
}
