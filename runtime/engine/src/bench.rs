//! One program alone, with literal inputs: where control programs are tested.

use crate::config::resolve_params;
use crate::host::Host;
use crate::io::UNASSIGNED;
use crate::program::{End, Instance};
use crate::script::Script;
use crate::state::Take;
use penstock_model::{Instant, Now, Quality, Sample, Utc, Value};
use std::time::Duration;

/// A program on the bench. There is no arbiter: an output is granted as assigned, or as set by hand.
///
/// The bench has its own clock: it starts at zero and moves by `dt` before each scan. Samples carry their time of
/// receipt on that clock; [`Bench::next`] gives the time of the scan to come.
pub struct Bench {
    script: Script,
    host: Host,
    instance: Instance,
    now: Now,
    inputs: Vec<Sample>,
    outputs: Vec<BenchOutput>,
}

#[derive(Clone)]
struct BenchOutput {
    manual: Option<Value>,
    granted: Option<Value>,
    held: bool,
    sample: Sample,
}

/// What one scan on the bench gave.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchResult {
    /// Every output in the order of declaration: as assigned, or as set by hand, or Bad(input).
    pub outputs: Vec<(String, Sample)>,
    /// The script error that ended the scan.
    pub error: Option<String>,
}

impl Bench {
    /// A bench for `script` with these parameters; the rest take their defaults.
    ///
    /// # Errors
    /// In words, when a parameter is unknown, missing or does not fit.
    pub fn new(script: &Script, params: &[(String, Value)]) -> Result<Bench, String> {
        let declaration = script.declaration();
        let params = resolve_params(script.name(), declaration, params).map_err(|e| e.to_string())?;
        let mut host = Host::new();
        host.learn(declaration.names().chain(["dt", "first"]));
        let now = Now { mono: Instant::default(), utc: Utc(0) };
        let nothing = Sample::initial(None, now);
        let output = BenchOutput { manual: None, granted: None, held: false, sample: nothing.clone() };
        Ok(Bench {
            instance: Instance::new(script.clone(), params),
            host,
            now,
            inputs: vec![nothing; declaration.inputs.len()],
            outputs: vec![output; declaration.outputs.len()],
            script: script.clone(),
        })
    }

    /// The bench's time at a scan after `dt`: what a sample received just then carries.
    #[must_use]
    pub fn next(&self, dt: Duration) -> Now {
        Now { mono: self.now.mono + dt, utc: self.now.utc + dt }
    }

    /// Takes an output into a person's hand, or lets it go with `None`. An unknown name changes nothing.
    pub fn set_manual(&mut self, output: &str, value: Option<Value>) {
        let ports = self.script.declaration().outputs.iter().zip(&mut self.outputs);
        for (port, slot) in ports.filter(|(port, _)| port.name == output) {
            slot.manual = value.as_ref().and_then(|v| v.convert(port.value_type));
        }
    }

    /// One scan `dt` after the last. An input that is not given keeps its last sample; one that never was is Bad.
    /// A script error is reported and, unlike in a task, the next scan runs again.
    pub fn scan(&mut self, dt: Duration, inputs: &[(String, Sample)]) -> BenchResult {
        self.now = self.next(dt);
        let declaration = self.script.shared_declaration();
        for (name, sample) in inputs {
            match declaration.inputs.iter().position(|p| p.name == *name) {
                Some(i) => self.inputs[i] = sample.clone(),
                None => return self.result(Some(format!("{} has no input `{name}`", self.script.name()))),
            }
        }
        {
            let mut frame = self.instance.io.0.lock();
            frame.inputs.clone_from(&self.inputs);
            for (slot, output) in frame.outputs.iter_mut().zip(&self.outputs) {
                slot.manual = output.manual.is_some();
                slot.granted = output.manual.clone().or_else(|| output.granted.clone());
                slot.held = output.held;
            }
        }
        let error = match self.instance.run(&self.host, self.now.mono, dt) {
            End::Done | End::Missing(_) => None,
            End::OutOfTime => Some("the scan's time was used up".to_owned()),
            End::Failed(message) => Some(message),
        };
        self.collect();
        self.result(error)
    }

    /// The runtime stops and starts between two scans. What the program remembers is taken up, or its totals alone, as after
    /// a stop of days or the reset of a faulted task; the next scan's `io.dt` is its own. What is granted stays.
    pub fn restart(&mut self, take: Take) {
        let mut state = self.instance.save();
        // The time of the last scan was on another run's clock.
        state.last = None;
        self.instance.restart();
        self.instance.load(&state, take);
    }

    /// What the program printed since the last call.
    pub fn printed(&mut self) -> Vec<String> {
        self.host.take_printed()
    }

    fn collect(&mut self) {
        let frame = self.instance.io.0.lock();
        for (output, slot) in self.outputs.iter_mut().zip(&frame.outputs) {
            let assigned = slot
                .assigned
                .clone()
                .or_else(|| slot.kept.and_then(|quality| output.granted.clone().map(|value| (value, quality))));
            let (value, quality) = match (&output.manual, assigned) {
                (Some(value), _) => (Some(value.clone()), Quality::Good),
                (None, Some((value, quality))) => (Some(value), quality),
                (None, None) => (output.granted.clone(), UNASSIGNED),
            };
            output.held = output.manual.is_some() || quality.is_bad();
            output.granted.clone_from(&value);
            output.sample = Sample { value, quality, source_time: self.now.utc, received: self.now.mono };
        }
    }

    fn result(&self, error: Option<String>) -> BenchResult {
        let names = self.script.declaration().outputs.iter().map(|p| p.name.clone());
        BenchResult { outputs: names.zip(self.outputs.iter().map(|o| o.sample.clone())).collect(), error }
    }
}
