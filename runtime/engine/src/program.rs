//! One script bound to one set of parameters, with its memory: runs one scan and says how it ended.

use crate::declare::Declaration;
use crate::host::{Host, SCAN_ARGUMENT, describe};
use crate::io::{Frame, Io};
use crate::script::Script;
use crate::state::{self, LeftFresh, ProgramState, Take};
use crate::task::ProgramCarry;
use parking_lot::Mutex;
use penstock_model::{Instant, Value, limits};
use rhai::{AST, ASTNode, Caches, EvalAltResult, Position, Scope, Stmt};
use std::any::Any;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// How a program's scan ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// To its last line.
    Done,
    /// At the reading of this bad input.
    Missing(usize),
    /// The scan's time was used up.
    OutOfTime,
    /// With an error, in words with line and column.
    Failed(String),
}

/// A program with its memory.
pub(crate) struct Instance {
    script: Script,
    /// The script with the parameters as constants, where it reads any.
    own: Option<AST>,
    params: Vec<Value>,
    pub io: Io,
    last: Option<Instant>,
    /// The next scan is the first one with this memory.
    first: bool,
    /// The functions that this program's calls were found to mean. Kept from scan to scan: looking them up anew in each
    /// would cost as much as the rest of the script. Bounded by the calls that the script's text holds.
    found: Caches,
}

impl Instance {
    /// `params` in the order of the script's declaration.
    pub fn new(script: Script, params: Vec<Value>) -> Instance {
        let own = script.with_constants(&params);
        Instance::fresh(script, own, params)
    }

    fn fresh(script: Script, own: Option<AST>, params: Vec<Value>) -> Instance {
        let frame = Frame::new(script.shared_declaration(), script.members(), params.clone());
        let io = Io(Arc::new(Mutex::new(frame)));
        Instance { script, own, params, io, last: None, first: true, found: Caches::new() }
    }

    /// Forgets everything: blocks, states, time.
    pub fn restart(&mut self) {
        *self = Instance::fresh(self.script.clone(), self.own.take(), std::mem::take(&mut self.params));
    }

    #[cfg(test)]
    pub fn has_constants(&self) -> bool {
        self.own.is_some()
    }

    pub fn script_name(&self) -> &str {
        self.script.name()
    }

    /// All that it remembers.
    pub fn save(&self) -> ProgramState {
        let mut frame = self.io.0.lock();
        let frame = &mut *frame;
        let (blocks, states) = state::save(&frame.declaration, &mut frame.blocks, &frame.states);
        ProgramState { blocks, states, first: self.first, last: self.last }
    }

    /// Takes up what fits of a saved state, and tells what was left fresh. Where anything was, or totals alone are
    /// taken, the next scan finds `io.first` and takes over from what is granted.
    pub fn load(&mut self, state: &ProgramState, take: Take) -> Vec<LeftFresh> {
        let mut frame = self.io.0.lock();
        let frame = &mut *frame;
        let fresh = state::load(&frame.declaration, &mut frame.blocks, &mut frame.states, state, take);
        self.first = state.first || take == Take::Totals || fresh_of(&frame.declaration, &fresh);
        self.last = state.last;
        fresh
    }

    /// Takes over what the program of this name remembers that runs until now. Memories are moved, none is made.
    pub fn take_over(&mut self, old: &mut Instance, carry: &ProgramCarry) {
        let (mut to, mut from) = (self.io.0.lock(), old.io.0.lock());
        for (was, is) in &carry.blocks {
            std::mem::swap(&mut to.blocks[*is], &mut from.blocks[*was]);
        }
        for (was, is) in &carry.states {
            std::mem::swap(&mut to.states[*is], &mut from.states[*was]);
        }
        drop((to, from));
        self.first = old.first || !carry.whole;
        self.last = old.last;
    }

    /// Runs the script once. Inputs and what is granted were put into the frame before; what it assigned is there after.
    pub fn run(&mut self, host: &Host, now: Instant, nominal: Duration) -> End {
        let first = std::mem::replace(&mut self.first, false);
        let dt = self.last.map(|last| now.since(last)).filter(|dt| !dt.is_zero()).unwrap_or(nominal);
        self.last = Some(now);
        self.io.0.lock().begin(now, dt, first);
        let (ast, io, found) = (self.own.as_ref().unwrap_or(self.script.ast()), self.io.clone(), &mut self.found);
        // The engine and the frame hold no invariant that a panic could break half-way: the frame is replaced at reset.
        match catch_unwind(AssertUnwindSafe(|| call(host, ast, io, found))) {
            Ok(Ok(())) => End::Done,
            Ok(Err(_)) if host.timed_out() => End::OutOfTime,
            Ok(Err(e)) => {
                let stopped = matches!(e.unwrap_inner(), EvalAltResult::ErrorTerminated(..));
                let missing = self.io.0.lock().missing;
                match missing.filter(|_| stopped) {
                    Some(input) => End::Missing(input),
                    None => End::Failed(self.explain(*e, host.operations_max())),
                }
            }
            Err(panic) => {
                self.found = Caches::new();
                let text = panic_text(&*panic);
                End::Failed(format!("{}: a function of the runtime broke: {text}", self.script.name()))
            }
        }
    }

    /// The error in words for a person, with the script and the place.
    fn explain(&self, error: EvalAltResult, operations_max: u64) -> String {
        let endless = matches!(error.unwrap_inner(), EvalAltResult::ErrorTooManyOperations(_));
        let (line, column, mut message) = describe(error);
        let name = self.script.name();
        if endless {
            message = format!("more than {operations_max} operations in one scan");
            if operations_max < limits::SCRIPT_OPERATIONS_MAX {
                message.push_str(", which its `limits` give it");
            }
            let lines = loop_lines(self.script.ast());
            if !lines.is_empty() {
                let _ = write!(message, ": does a loop never end? Loops begin at line {lines}");
            }
        }
        match line {
            0 => format!("{name}: {message}"),
            _ => format!("{name} line {line}, column {column}: {message}"),
        }
    }
}

/// True where something that the script declares is among what was left fresh.
fn fresh_of(declaration: &Declaration, fresh: &[LeftFresh]) -> bool {
    fresh.iter().any(|f| declaration.names().any(|name| name == f.name))
}

/// Calls `scan(io)` of a script. `Engine::call_fn` would do the same with nothing remembered from the call before.
fn call(host: &Host, ast: &AST, io: Io, found: &mut Caches) -> Result<(), Box<EvalAltResult>> {
    let mut global = host.engine.new_global_runtime_state();
    global.lib.push(ast.shared_lib().clone());
    let mut scope = Scope::new();
    scope.push(SCAN_ARGUMENT, io);
    #[expect(deprecated, reason = "no other call takes the memory of calls before; Cargo.lock holds the version")]
    let ended = host.engine.eval_statements_raw(&mut global, found, &mut scope, host.scan_call());
    match ended {
        Ok(_) => Ok(()),
        Err(e) => {
            let mut error = match *e {
                EvalAltResult::ErrorInFunctionCall(name, _, inner, _) if name == "scan" => inner,
                other => other.into(),
            };
            // An error without a place was given that of the call, which is not in the script.
            if error.position() == Position::new(1, 1) {
                let _ = error.take_position();
            }
            Err(error)
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Lines of the loops of a script, for an error that carries no place: Rhai counts some operations without one.
fn loop_lines(ast: &AST) -> String {
    let mut lines = Vec::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Stmt(Stmt::While(_, at) | Stmt::Do(_, _, at) | Stmt::For(_, at))) = path.last() {
            lines.extend(at.line());
        }
        true
    });
    lines.sort_unstable();
    lines.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: &str = r#"
fn declare(p) {
    p.output("y", "");
    p.block("loop", pid());
    p.block("hours", run_hours());
    p.state("n", 0);
    p.state("sum", 0.5);
    p.state("up", false);
}
fn scan(io) {
    if io.first { io.sum += 100.0; }
    io.n += 1;
    io.up = !io.up;
    io.hours.run(io.up);
    io.sum += io.dt + io.loop.run(3.0, io.sum / 50.0, #{ kp: 1.7, ti: 13.0, td: 0.3, min: -9, max: 9 });
    io.y = io.sum;
}
"#;

    fn second(instance: &mut Instance, s: u64) -> Value {
        assert_eq!(instance.run(&Host::new(), Instant(s * 1_000_000_000), Duration::from_secs(1)), End::Done);
        instance.io.0.lock().outputs[0].assigned.clone().unwrap().0
    }

    #[test]
    fn a_program_that_loads_a_state_goes_on_as_the_one_that_saved_it() {
        let script = Script::compile("test", MEMORY).unwrap();
        for scans in 0..5 {
            let mut one = Instance::new(script.clone(), Vec::new());
            for s in 0..scans {
                second(&mut one, 10 + s);
            }
            let state = one.save();
            let mut other = Instance::new(script.clone(), Vec::new());
            assert_eq!(other.load(&state, Take::All), []);
            assert_eq!(other.save(), state);
            for s in 20..30 {
                assert_eq!(second(&mut one, s), second(&mut other, s), "{scans} {s}");
            }
            assert_eq!(one.save(), other.save());
        }
    }

    #[test]
    fn what_does_not_fit_is_left_fresh_and_named() {
        let mut one = Instance::new(Script::compile("test", MEMORY).unwrap(), Vec::new());
        second(&mut one, 1);
        second(&mut one, 2);
        let state = one.save();
        let changed = MEMORY
            .replace("p.block(\"loop\", pid());", "p.block(\"loop\", ratio()); p.block(\"more\", lag());")
            .replace("p.state(\"sum\", 0.5);", "p.state(\"sum\", 1);")
            .replace("p.state(\"up\", false);", "p.state(\"above\", false);")
            .replace("io.loop.run(3.0, io.sum / 50.0, #{ kp: 1.7, ti: 13.0, td: 0.3, min: -9, max: 9 })", "1.0")
            .replace("io.up", "io.above");
        let script = Script::compile("test", &changed).unwrap();
        let mut other = Instance::new(script.clone(), Vec::new());
        let fresh: Vec<String> = other.load(&state, Take::All).iter().map(ToString::to_string).collect();
        assert_eq!(
            fresh,
            [
                "`loop`: it is a ratio, and was a pid",
                "`more`: nothing is stored of it",
                "`sum`: it is a int, and was a float",
                "`above`: nothing is stored of it",
                "`up`: the script does not declare it any more",
            ]
        );
        let saved = other.save();
        assert!(saved.first, "something is fresh");
        assert_eq!((&saved.states[0].1, &saved.blocks[2]), (&Value::Int(2), &state.blocks[1]));
        // Totals alone: the rest is as new, and nobody is told that it is.
        let mut totals = Instance::new(script, Vec::new());
        assert_eq!(totals.load(&state, Take::Totals), []);
        let saved = totals.save();
        assert_eq!((&saved.states[0].1, &saved.blocks[2]), (&Value::Int(0), &state.blocks[1]));
    }

    #[test]
    fn a_panic_in_a_native_function_ends_the_program_only() {
        let source =
            "fn declare(p) { p.state(\"n\", 0); } fn scan(io) { io.n += 1; if io.n == 2 { panic_for_test(); } }";
        let script = Script::compile("test", source).unwrap();
        let host = Host::new();
        let mut instance = Instance::new(script, Vec::new());
        let mut run = |s: u64| instance.run(&host, Instant(s * 1_000_000_000), Duration::from_secs(1));
        assert_eq!(run(1), End::Done);
        let End::Failed(message) = run(2) else { panic!("the panic went unseen") };
        assert!(message.contains("a native function broke"), "{message}");
        assert_eq!(run(3), End::Done, "the host is whole");
    }
}
