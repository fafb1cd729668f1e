//! Function blocks: the parts of a control program that have a memory.
//!
//! Each block is a plain state machine in SI-free numbers, with its equation at its head; beside it stands how a script
//! calls it ([`FunctionBlock`]). It knows no tags. Its time step is the program's (`io.dt`, s), so a scan in which a
//! block is not run does not advance it. The memory of every block is bounded when it is made.

mod args;
mod demand;
mod filter;
mod logic;
mod machines;
mod memory;
mod most_open;
mod pid;
mod ratio;
mod sequencer;
mod smith;
mod stroke;
mod validator;
mod vote;
mod window;

#[cfg(test)]
mod properties;

pub use memory::{BlockMemory, Field};

use crate::nearest::did_you_mean;
use args::{Call, Reset};
use memory::Pass;
use rhai::{Dynamic, Map};

/// A block with its memory, as a script calls it.
pub(crate) trait FunctionBlock: Send {
    /// One step: `run(values…, #{ settings })`. The error is in words, without the block's name.
    fn step(&mut self, call: &Call) -> Result<Dynamic, String>;

    /// `reset()` or `reset(value)`.
    fn reset(&mut self, to: Reset) -> Result<(), String>;

    /// Shows its memory to a pass, field by field: everything that its next step depends on beside the call itself.
    fn memory(&mut self, pass: &mut Pass);
}

/// A block of a program.
pub(crate) type Block = Box<dyn FunctionBlock>;

/// The kinds of function blocks a script may declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// `pid()`: controller with proportional, integral and derivative action.
    Pid,
    /// `lag()`: first-order low pass.
    Lag,
    /// `lead_lag()`: lead and lag of first order.
    LeadLag,
    /// `ramp()`, also called `rate_limit()`: follows a target at a limited speed.
    Ramp,
    /// `deadband()`: takes small changes away.
    Deadband,
    /// `hysteresis()`: switch with two thresholds.
    Hysteresis,
    /// `on_delay()`: on after its input has been on for a time.
    OnDelay,
    /// `off_delay()`: off after its input has been off for a time.
    OffDelay,
    /// `min_times()`: switch with a least time on and a least time off.
    MinTimes,
    /// `totaliser()`: integral of a rate per hour.
    Totaliser,
    /// `run_hours()`: hours and starts of a machine.
    RunHours,
    /// `window()`: mean, least, greatest and deviation of the last while.
    Window,
    /// `demand()`: mean power of the metering interval and of the last one, with its projection.
    Demand,
    /// `smith()`: predictor for a process with dead time.
    Smith,
    /// `ratio()`: a flow in proportion to another.
    Ratio,
    /// `split_range()`: one controller on several actuators.
    SplitRange,
    /// `stroke()`: a dose below a pump's least flow, in pulses of the same volume.
    Stroke,
    /// `most_open_valve()`: trims a pressure so that the most open valve stands at its target.
    MostOpenValve,
    /// `sequencer()`: starts and stops machines by demand.
    Sequencer,
    /// `validator()`: judges a signal and falls back where it fails.
    Validator,
}

/// What is known of a kind before any block of it is made.
struct Spec {
    name: &'static str,
    values: usize,
    settings: &'static [&'static str],
    make: fn() -> Block,
}

/// A new block with an empty memory.
fn fresh<B: FunctionBlock + Default + 'static>() -> Block {
    Box::new(B::default())
}

macro_rules! spec {
    ($name:literal, $values:literal, $block:ty, $settings:expr) => {
        &Spec { name: $name, values: $values, settings: $settings, make: fresh::<$block> }
    };
}

impl BlockKind {
    /// Every kind.
    pub const ALL: [BlockKind; 20] = [
        Self::Pid,
        Self::Lag,
        Self::LeadLag,
        Self::Ramp,
        Self::Deadband,
        Self::Hysteresis,
        Self::OnDelay,
        Self::OffDelay,
        Self::MinTimes,
        Self::Totaliser,
        Self::RunHours,
        Self::Window,
        Self::Demand,
        Self::Smith,
        Self::Ratio,
        Self::SplitRange,
        Self::Stroke,
        Self::MostOpenValve,
        Self::Sequencer,
        Self::Validator,
    ];

    fn spec(self) -> &'static Spec {
        match self {
            Self::Pid => spec!("pid", 2, pid::Pid, pid::SETTINGS),
            Self::Lag => spec!("lag", 1, filter::Lag, &["t"]),
            Self::LeadLag => spec!("lead_lag", 1, filter::LeadLag, &["lag", "lead"]),
            Self::Ramp => spec!("ramp", 1, filter::Ramp, &["down", "up"]),
            Self::Deadband => spec!("deadband", 1, filter::Deadband, &["centre", "hold", "width"]),
            Self::Hysteresis => spec!("hysteresis", 1, logic::Hysteresis, &["off", "on"]),
            Self::OnDelay => spec!("on_delay", 1, logic::OnDelay, &["t"]),
            Self::OffDelay => spec!("off_delay", 1, logic::OffDelay, &["t"]),
            Self::MinTimes => spec!("min_times", 1, logic::MinTimes, &["off", "on"]),
            Self::Totaliser => spec!("totaliser", 1, filter::Totaliser, &[]),
            Self::RunHours => spec!("run_hours", 1, logic::RunHours, &[]),
            Self::Window => spec!("window", 1, window::Window, &["t"]),
            Self::Demand => spec!("demand", 1, demand::Demand, &["limit", "sync", "t"]),
            Self::Smith => {
                spec!("smith", 2, smith::Smith, &["dead_time", "dead_time_max", "flow", "gain", "t", "volume"])
            }
            Self::Ratio => spec!("ratio", 1, ratio::Ratio, &["balance", "bias", "max", "min", "ratio", "track"]),
            Self::SplitRange => spec!("split_range", 1, ratio::SplitRange, &["ranges"]),
            Self::Stroke => spec!("stroke", 1, stroke::Stroke, &["least", "pulse"]),
            Self::MostOpenValve => spec!("most_open_valve", 1, most_open::MostOpenValve, most_open::SETTINGS),
            Self::Sequencer => spec!("sequencer", 2, sequencer::Sequencer, sequencer::SETTINGS),
            Self::Validator => spec!("validator", 1, validator::Validator, validator::SETTINGS),
        }
    }

    /// The function that makes one in `declare`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.spec().name
    }

    /// Names of the settings that `run` takes in its map, in the order of the alphabet.
    #[must_use]
    pub fn settings(self) -> &'static [&'static str] {
        self.spec().settings
    }

    /// Values that `run` takes before its map of settings.
    #[must_use]
    pub fn values(self) -> usize {
        self.spec().values
    }

    pub(crate) fn make(self) -> Block {
        (self.spec().make)()
    }

    /// A block of this kind with a memory that [`save`] gave.
    ///
    /// # Errors
    /// In words, why the memory does not fit.
    pub(crate) fn load(self, memory: &BlockMemory) -> Result<Block, String> {
        let mut block = self.make();
        Pass::load(memory, |pass| block.memory(pass)).map(|()| block)
    }

    /// One step of a block of this kind with what a script handed over.
    pub(crate) fn run(
        self,
        block: &mut Block,
        values: &[Dynamic],
        settings: Option<&Map>,
        dt: f64,
    ) -> Result<Dynamic, String> {
        let spec = self.spec();
        let call = Call::new(values, spec.settings, settings, dt).map_err(|wrong| {
            let help = did_you_mean(wrong, spec.settings.iter().copied()).map(|h| format!(" ({h})"));
            format!("has no setting `{wrong}`{}", help.unwrap_or_default())
        })?;
        if values.len() != spec.values {
            return Err(format!("run takes {} value(s) before its settings", spec.values));
        }
        block.step(&call)
    }
}

/// The memory of a block as plain data.
pub(crate) fn save(block: &mut Block) -> BlockMemory {
    Pass::save(|pass| block.memory(pass))
}

/// `reset` of a block as a script calls it.
pub(crate) fn reset(block: &mut Block, value: Option<&Dynamic>) -> Result<(), String> {
    block.reset(Reset(value.filter(|v| !v.is_unit())))
}
