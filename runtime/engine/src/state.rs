//! What a program remembers, as plain data: saved, and loaded by name and by type.
//!
//! Duties: a saved state is complete (every block, every declared state, the time of the last scan), so that a program
//! that loads it goes on bit for bit as the one that saved it. What is loaded may come from a file or from an older
//! version of the script and is not trusted: what does not fit is left fresh and reported by its name.

use crate::block::{self, Block, BlockKind, BlockMemory};
use crate::declare::Declaration;
use penstock_model::{Instant, TagId, Utc, Value, ValueType};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A block of a program with its memory.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockState {
    /// Its name in the script.
    pub name: String,
    /// What it is.
    pub kind: BlockKind,
    /// What it remembers.
    pub memory: BlockMemory,
}

/// All that one program remembers from scan to scan. Bounded by what its script declares.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProgramState {
    /// Its blocks, in the order of their declaration.
    pub blocks: Vec<BlockState>,
    /// Its plain states by name.
    pub states: Vec<(String, Value)>,
    /// True: its next scan finds `io.first`.
    pub first: bool,
    /// When it last ran, on the monotonic clock of this run; `None`: not yet, or in another run. The next scan's
    /// `io.dt` counts from here, and is the task's period without it.
    pub last: Option<Instant>,
}

/// How an output stood when it was saved.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputState {
    /// The tag.
    pub tag: TagId,
    /// The value last granted.
    pub granted: Value,
    /// The number behind it, unrounded, where it is one: where the rate limit counts from.
    pub position: Option<f64>,
    /// For how long it had stood so; `None`: for longer than anybody asks for. Minimum times count from here.
    pub since: Option<Duration>,
}

/// What one task remembers: its programs, and how its outputs stood.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TaskState {
    /// Time of the scan that saved it last. The programs of a large task are saved over several scans.
    pub at: Utc,
    /// True: the task was faulted. Its programs start fresh but for their totals, as after a reset.
    pub faulted: bool,
    /// Its programs by name, each with the name of its script.
    pub programs: Vec<SavedProgram>,
    /// Its outputs that have been granted a value.
    pub outputs: Vec<OutputState>,
}

/// A program of a [`TaskState`].
#[derive(Debug, Clone, PartialEq)]
pub struct SavedProgram {
    /// Its name.
    pub name: Arc<str>,
    /// Name of the script it ran.
    pub script: Arc<str>,
    /// What it remembers.
    pub state: ProgramState,
}

/// How much of a state is taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Everything.
    All,
    /// Totals alone: what was counted stays true however old it is, what a controller remembers does not.
    Totals,
}

/// Something of a state that was left fresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftFresh {
    /// Its name in the script.
    pub name: String,
    /// Why, in words.
    pub reason: String,
    /// Something was stored of it, and is lost.
    pub lost: bool,
}

impl fmt::Display for LeftFresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.name, self.reason)
    }
}

impl ProgramState {
    /// How many plain values it holds.
    #[must_use]
    pub fn values(&self) -> usize {
        let of = |block: &BlockState| block.memory.iter().map(|(_, field)| field.values()).sum::<usize>();
        self.blocks.iter().map(of).sum::<usize>() + self.states.len()
    }
}

impl BlockKind {
    /// True for a block whose memory is a count of what has been, which stays true however old it is.
    #[must_use]
    pub fn is_total(self) -> bool {
        matches!(self, BlockKind::Totaliser | BlockKind::RunHours)
    }

    /// The kind of this name, as scripts write it.
    #[must_use]
    pub fn parse(name: &str) -> Option<BlockKind> {
        BlockKind::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// Blocks and states of a program as it stands, by what its script declares.
pub(crate) fn save(
    declaration: &Declaration,
    blocks: &mut [Block],
    states: &[Value],
) -> (Vec<BlockState>, Vec<(String, Value)>) {
    let blocks = declaration.blocks.iter().zip(blocks).map(|((name, kind), block)| BlockState {
        name: name.clone(),
        kind: *kind,
        memory: block::save(block),
    });
    let states = declaration.states.iter().zip(states).map(|((name, _), value)| (name.clone(), value.clone()));
    (blocks.collect(), states.collect())
}

/// The reason of what is new in a script.
const NOT_STORED: &str = "nothing is stored of it";

/// Takes up of `state` what fits, by name and by type; the rest of `blocks` and `states` stays as it is and is told.
/// What the script does not declare any more is told too: it is lost.
pub(crate) fn load(
    declaration: &Declaration,
    blocks: &mut [Block],
    states: &mut [Value],
    state: &ProgramState,
    take: Take,
) -> Vec<LeftFresh> {
    let mut fresh = Vec::new();
    let mut left = |name: &str, reason: String| {
        let lost = reason != NOT_STORED;
        fresh.push(LeftFresh { name: name.to_owned(), reason, lost });
    };
    for ((name, kind), block) in declaration.blocks.iter().zip(blocks) {
        if take == Take::Totals && !kind.is_total() {
            continue;
        }
        match state.blocks.iter().find(|b| b.name == *name) {
            None => left(name, NOT_STORED.to_owned()),
            Some(stored) if stored.kind != *kind => {
                left(name, format!("it is a {}, and was a {}", kind.as_str(), stored.kind.as_str()));
            }
            Some(stored) => match kind.load(&stored.memory) {
                Ok(loaded) => *block = loaded,
                Err(reason) => left(name, format!("what is stored of it does not fit: {reason}")),
            },
        }
    }
    for ((name, initial), value) in declaration.states.iter().zip(states).filter(|_| take == Take::All) {
        match state.states.iter().find(|(n, _)| n == name).map(|(_, v)| v) {
            None => left(name, NOT_STORED.to_owned()),
            Some(stored) if stored.value_type() != initial.value_type() => {
                let (is, was): (ValueType, ValueType) = (initial.value_type(), stored.value_type());
                left(name, format!("it is a {is}, and was a {was}"));
            }
            Some(stored) if !stored.is_finite() => left(name, "what is stored of it is no finite number".to_owned()),
            Some(stored) => *value = stored.clone(),
        }
    }
    let known = |name: &str| {
        declaration.blocks.iter().any(|(n, _)| n == name) || declaration.states.iter().any(|(n, _)| n == name)
    };
    let gone = state.blocks.iter().map(|b| (b.name.as_str(), take == Take::All || b.kind.is_total()));
    let gone = gone.chain(state.states.iter().map(|(n, _)| (n.as_str(), take == Take::All)));
    for (name, _) in gone.filter(|(name, counts)| *counts && !known(name)) {
        left(name, "the script does not declare it any more".to_owned());
    }
    fresh
}
