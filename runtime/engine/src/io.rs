//! The `io` of `scan(io)`: all that a program sees and all that it can do.
//!
//! A program reads the frozen samples of its inputs and leaves values for its outputs; nothing here reaches a tag. The
//! frame's lock is the program's own, taken per access and never across a call into the script.

use crate::block::{self, Block};
use crate::declare::Declaration;
use crate::host::{Fail, fail, number};
use crate::members::{Member, Members, Name};
use crate::nearest::did_you_mean;
use parking_lot::Mutex;
use penstock_model::{BadReason, Instant, Mode, Now, Quality, Sample, Value, ValueType};
use rhai::{Dynamic, EvalAltResult, ImmutableString, Map, Position};
use std::sync::Arc;
use std::time::Duration;

/// Names that `io` itself uses; no port, parameter, block or state may take one.
pub(crate) const RESERVED: &[&str] =
    &["dt", "first", "good", "usable", "or", "quality", "health", "age", "manual", "granted", "track", "keep", "mode"];
/// Methods of `io` that take the name of an input.
pub(crate) const INPUT_METHODS: &[&str] = &["good", "usable", "or", "quality", "health", "age"];
/// Methods of `io` that take the name of an output.
pub(crate) const OUTPUT_METHODS: &[&str] = &["manual", "granted", "track", "keep", "mode"];

/// What a program leaves for one output, and what it is told about it.
#[derive(Debug, Clone)]
pub(crate) struct OutSlot {
    /// Assigned in this scan, with the quality its inputs left it.
    pub assigned: Option<(Value, Quality)>,
    /// `io.keep` was called, with the quality at that moment.
    pub kept: Option<Quality>,
    /// Really granted at the last scan.
    pub granted: Option<Value>,
    /// A stronger claim than the program's holds it.
    pub manual: bool,
    /// At the last scan something else than the program's wish was granted.
    pub held: bool,
    /// The mode of the controlled object that the output belongs to; automatic without one.
    pub mode: Mode,
}

impl Default for OutSlot {
    fn default() -> OutSlot {
        OutSlot { assigned: None, kept: None, granted: None, manual: false, held: false, mode: Mode::Auto }
    }
}

/// One program's view of one scan, and its memory.
pub(crate) struct Frame {
    pub declaration: Arc<Declaration>,
    pub members: Arc<Members>,
    pub inputs: Vec<Sample>,
    pub params: Vec<Value>,
    pub outputs: Vec<OutSlot>,
    pub states: Vec<Value>,
    pub blocks: Vec<Block>,
    pub now: Instant,
    pub dt: f64,
    pub first: bool,
    /// What an assignment now would make of its output: Good, or Uncertain once an uncertain input was read.
    pub taint: Quality,
    /// The bad input whose reading ended the scan.
    pub missing: Option<usize>,
    /// By input: the site says what is read while it is bad, so that it leaves no trace in the outputs, as with `io.or`.
    pub settled: Vec<bool>,
}

impl Frame {
    /// A frame with fresh blocks and states; `params` in the order of their declaration.
    pub fn new(declaration: Arc<Declaration>, members: Arc<Members>, params: Vec<Value>) -> Frame {
        Frame {
            inputs: vec![Sample::initial(None, Now::default()); declaration.inputs.len()],
            params,
            outputs: vec![OutSlot::default(); declaration.outputs.len()],
            states: declaration.states.iter().map(|(_, v)| v.clone()).collect(),
            blocks: declaration.blocks.iter().map(|(_, kind)| kind.make()).collect(),
            now: Instant::default(),
            dt: 0.0,
            first: true,
            taint: Quality::Good,
            missing: None,
            settled: vec![false; declaration.inputs.len()],
            declaration,
            members,
        }
    }

    /// Opens a scan: nothing assigned, nothing read.
    pub fn begin(&mut self, now: Instant, dt: Duration, first: bool) {
        self.now = now;
        self.dt = dt.as_secs_f64();
        self.first = first;
        self.taint = Quality::Good;
        self.missing = None;
        for slot in &mut self.outputs {
            slot.assigned = None;
            slot.kept = None;
        }
    }

    fn unknown(&self, name: &str) -> Fail {
        let help = did_you_mean(name, self.declaration.names()).map(|h| format!(" ({h})")).unwrap_or_default();
        fail(format!("`{name}` is not declared{help}"))
    }

    fn input(&self, name: &str) -> Result<usize, Fail> {
        match self.members.get(name) {
            Some(Member::Input(i)) => Ok(i),
            Some(_) => Err(fail(format!("`{name}` is no input"))),
            None => Err(self.unknown(name)),
        }
    }

    fn output(&mut self, name: &str) -> Result<&mut OutSlot, Fail> {
        match self.members.get(name) {
            Some(Member::Output(i)) => Ok(&mut self.outputs[i]),
            Some(_) => Err(fail(format!("`{name}` is no output"))),
            None => Err(self.unknown(name)),
        }
    }

    /// The input's value where it may be used, in the type of its port.
    fn usable(&self, index: usize) -> Option<Value> {
        self.inputs[index].usable().and_then(|v| v.convert(self.declaration.inputs[index].value_type))
    }

    /// Assigns what a name stands for.
    fn set(&mut self, member: Option<Member>, name: &str, value: &Dynamic) -> Result<(), Fail> {
        let reason = |e: String| fail(format!("`{name}` {e}"));
        match member {
            Some(Member::Output(i)) => {
                let value = from_script(value, self.declaration.outputs[i].value_type).map_err(reason)?;
                self.outputs[i].assigned = Some((value, self.taint));
                Ok(())
            }
            Some(Member::State(i)) => {
                self.states[i] = from_script(value, self.states[i].value_type()).map_err(reason)?;
                Ok(())
            }
            // Rhai hands a block back after each call of a method on it; it is the same block.
            Some(Member::Block(_)) if value.is::<BlockRef>() => Ok(()),
            Some(Member::Input(_)) => Err(fail(format!("`{name}` is an input: it cannot be assigned"))),
            Some(Member::Param(_)) => Err(fail(format!("`{name}` is a parameter: it cannot be assigned"))),
            Some(Member::Block(_)) => Err(fail(format!("`{name}` is a block: call `run` or `reset` on it"))),
            None if RESERVED.contains(&name) => Err(fail(format!("`{name}` cannot be assigned"))),
            None => Err(self.unknown(name)),
        }
    }
}

/// A handle of a frame, as scripts hold it.
#[derive(Clone)]
pub(crate) struct Io(pub Arc<Mutex<Frame>>);

impl Io {
    /// `io.name`.
    pub fn get(&self, name: &Name) -> Result<Dynamic, Fail> {
        let mut frame = self.0.lock();
        let member = frame.members.named(name);
        self.read(&mut frame, member, &name.text)
    }

    /// `io["name"]`.
    pub fn get_by_text(&self, name: &str) -> Result<Dynamic, Fail> {
        let mut frame = self.0.lock();
        let member = frame.members.get(name);
        self.read(&mut frame, member, name)
    }

    fn read(&self, frame: &mut Frame, member: Option<Member>, name: &str) -> Result<Dynamic, Fail> {
        match member {
            Some(Member::Input(i)) => {
                let Some(value) = frame.usable(i) else {
                    frame.missing = Some(i);
                    return Err(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE).into());
                };
                if !frame.settled[i] {
                    frame.taint = frame.taint.worst(frame.inputs[i].quality.propagated());
                }
                Ok(to_script(&value))
            }
            Some(Member::Output(i)) => {
                let slot = &frame.outputs[i];
                let value = slot.assigned.as_ref().map(|(v, _)| v).or(slot.granted.as_ref());
                Ok(value.map_or(Dynamic::UNIT, to_script))
            }
            Some(Member::Param(i)) => Ok(to_script(&frame.params[i])),
            Some(Member::State(i)) => Ok(to_script(&frame.states[i])),
            Some(Member::Block(index)) => Ok(Dynamic::from(BlockRef { io: self.clone(), index })),
            None => match name {
                "dt" => Ok(frame.dt.into()),
                "first" => Ok(frame.first.into()),
                _ => Err(frame.unknown(name)),
            },
        }
    }

    /// `io.name = value`.
    pub fn set(&self, name: &Name, value: &Dynamic) -> Result<(), Fail> {
        let mut frame = self.0.lock();
        let member = frame.members.named(name);
        frame.set(member, &name.text, value)
    }

    fn set_by_text(&self, name: &str, value: &Dynamic) -> Result<(), Fail> {
        let mut frame = self.0.lock();
        let member = frame.members.get(name);
        frame.set(member, name, value)
    }

    fn or(&self, name: &str, otherwise: &Dynamic) -> Result<Dynamic, Fail> {
        let frame = self.0.lock();
        let index = frame.input(name)?;
        let wanted = frame.declaration.inputs[index].value_type;
        let otherwise =
            from_script(otherwise, wanted).map_err(|e| fail(format!("io.or(\"{name}\"): the alternative {e}")))?;
        Ok(to_script(&frame.usable(index).unwrap_or(otherwise)))
    }

    pub fn quality(&self, name: &str) -> Result<Quality, Fail> {
        let frame = self.0.lock();
        frame.input(name).map(|i| frame.inputs[i].quality)
    }

    /// The quality of an input, and the whole number in another one; 0 where that is bad.
    pub fn quality_and_word(&self, name: &str, word: &str) -> Result<(Quality, i64), Fail> {
        let frame = self.0.lock();
        let (index, word_index) = (frame.input(name)?, frame.input(word)?);
        match frame.usable(word_index) {
            None => Ok((frame.inputs[index].quality, 0)),
            Some(Value::Int(bits)) => Ok((frame.inputs[index].quality, bits)),
            Some(other) => Err(fail(format!("`{word}` is a status word: a whole number, not {other}"))),
        }
    }

    fn age(&self, name: &str) -> Result<f64, Fail> {
        let frame = self.0.lock();
        frame.input(name).map(|i| frame.inputs[i].age(frame.now).as_secs_f64())
    }

    fn granted(&self, name: &str, only_if_held: bool) -> Result<Dynamic, Fail> {
        let mut frame = self.0.lock();
        let slot = frame.output(name)?;
        let shown = !only_if_held || slot.held || slot.manual;
        Ok(slot.granted.as_ref().filter(|_| shown).map_or(Dynamic::UNIT, to_script))
    }

    fn manual(&self, name: &str) -> Result<bool, Fail> {
        self.0.lock().output(name).map(|slot| slot.manual)
    }

    fn mode(&self, name: &str) -> Result<ImmutableString, Fail> {
        self.0.lock().output(name).map(|slot| slot.mode.as_str().into())
    }

    fn keep(&self, name: &str) -> Result<(), Fail> {
        let mut frame = self.0.lock();
        let taint = frame.taint;
        frame.output(name)?.kept = Some(taint);
        Ok(())
    }
}

/// A handle of one block of a frame.
#[derive(Clone)]
pub(crate) struct BlockRef {
    io: Io,
    index: usize,
}

impl BlockRef {
    fn run(&self, values: &[Dynamic], settings: Option<&Map>) -> Result<Dynamic, Fail> {
        let mut frame = self.io.0.lock();
        let declaration = frame.declaration.clone();
        let (name, kind) = &declaration.blocks[self.index];
        let dt = frame.dt;
        kind.run(&mut frame.blocks[self.index], values, settings, dt)
            .map_err(|e| fail(format!("`{name}` ({}): {e}", kind.as_str())))
    }

    fn reset(&self, value: Option<&Dynamic>) -> Result<(), Fail> {
        let mut frame = self.io.0.lock();
        let declaration = frame.declaration.clone();
        let (name, kind) = &declaration.blocks[self.index];
        block::reset(&mut frame.blocks[self.index], value)
            .map_err(|e| fail(format!("`{name}` ({}): {e}", kind.as_str())))
    }
}

/// A value as a script sees it.
pub(crate) fn to_script(value: &Value) -> Dynamic {
    match value {
        Value::Bool(b) => (*b).into(),
        Value::Int(i) => (*i).into(),
        Value::Float(x) => (*x).into(),
        Value::Text(t) => ImmutableString::from(t.as_ref()).into(),
    }
}

/// A script's value as a port of type `wanted` takes it: whole numbers become floats, nothing else is converted.
pub(crate) fn from_script(value: &Dynamic, wanted: ValueType) -> Result<Value, String> {
    let taken = match wanted {
        ValueType::Bool => value.as_bool().ok().map(Value::Bool),
        ValueType::Int => value.as_int().ok().map(Value::Int),
        ValueType::Float => number(value).map(Value::Float),
        ValueType::Text => None,
    };
    match taken {
        Some(v) if v.is_finite() => Ok(v),
        Some(v) => Err(format!("takes a finite number, not {v}")),
        None => Err(format!("takes a {wanted}, not {} ({})", value, value.type_name())),
    }
}

pub(crate) fn register(engine: &mut rhai::Engine) {
    engine.register_type_with_name::<Io>("io");
    engine.register_type_with_name::<BlockRef>("block");
    engine.register_indexer_get(|io: &mut Io, name: &str| io.get_by_text(name));
    engine.register_indexer_set(|io: &mut Io, name: &str, value: Dynamic| io.set_by_text(name, &value));
    engine.register_fn("good", |io: &mut Io, n: &str| io.quality(n).map(Quality::is_good));
    engine.register_fn("usable", |io: &mut Io, n: &str| io.quality(n).map(|q| !q.is_bad()));
    engine.register_fn("quality", |io: &mut Io, n: &str| io.quality(n).map(|q| q.to_string()));
    engine.register_fn("or", |io: &mut Io, n: &str, otherwise: Dynamic| io.or(n, &otherwise));
    engine.register_fn("age", |io: &mut Io, n: &str| io.age(n));
    engine.register_fn("manual", |io: &mut Io, n: &str| io.manual(n));
    engine.register_fn("mode", |io: &mut Io, n: &str| io.mode(n));
    engine.register_fn("granted", |io: &mut Io, n: &str| io.granted(n, false));
    engine.register_fn("track", |io: &mut Io, n: &str| io.granted(n, true));
    engine.register_fn("keep", |io: &mut Io, n: &str| io.keep(n));
    // By value: what is handed over by reference Rhai assigns back after the call, which costs more than the handle.
    engine.register_fn("run", |b: BlockRef, x: Dynamic| b.run(&[x], None));
    engine.register_fn("run", |b: BlockRef, x: Dynamic, s: Map| b.run(&[x], Some(&s)));
    engine.register_fn("run", |b: BlockRef, x: Dynamic, y: Dynamic, s: Map| b.run(&[x, y], Some(&s)));
    engine.register_fn("reset", |b: BlockRef| b.reset(None));
    engine.register_fn("reset", |b: BlockRef, value: Dynamic| b.reset(Some(&value)));
}

/// The quality of an output that its program left unassigned.
pub(crate) const UNASSIGNED: Quality = Quality::Bad(BadReason::Input);
