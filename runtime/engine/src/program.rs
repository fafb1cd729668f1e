//! One script bound to one set of parameters, with its memory: runs one scan and says how it ended.

use crate::host::{Host, SCAN_ARGUMENT, describe};
use crate::io::{Frame, Io};
use crate::script::Script;
use parking_lot::Mutex;
use penstock_model::{Instant, Value};
use rhai::{AST, ASTNode, Caches, EvalAltResult, Position, Scope, Stmt};
use std::any::Any;
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
    params: Vec<Value>,
    pub io: Io,
    last: Option<Instant>,
    /// The functions that this program's calls were found to mean. Kept from scan to scan: looking them up anew in each
    /// would cost as much as the rest of the script. Bounded by the calls that the script's text holds.
    found: Caches,
}

impl Instance {
    /// `params` in the order of the script's declaration.
    pub fn new(script: Script, params: Vec<Value>) -> Instance {
        let frame = Frame::new(script.shared_declaration(), script.members(), params.clone());
        Instance { script, params, io: Io(Arc::new(Mutex::new(frame))), last: None, found: Caches::new() }
    }

    /// Forgets everything: blocks, states, time.
    pub fn restart(&mut self) {
        *self = Instance::new(self.script.clone(), std::mem::take(&mut self.params));
    }

    /// Runs the script once. Inputs and what is granted were put into the frame before; what it assigned is there after.
    pub fn run(&mut self, host: &Host, now: Instant, nominal: Duration) -> End {
        let first = self.last.is_none();
        let dt = self.last.map(|last| now.since(last)).filter(|dt| !dt.is_zero()).unwrap_or(nominal);
        self.last = Some(now);
        self.io.0.lock().begin(now, dt, first);
        let (script, io, found) = (&self.script, self.io.clone(), &mut self.found);
        // The engine and the frame hold no invariant that a panic could break half-way: the frame is replaced at reset.
        match catch_unwind(AssertUnwindSafe(|| call(host, script, io, found))) {
            Ok(Ok(())) => End::Done,
            Ok(Err(_)) if host.timed_out() => End::OutOfTime,
            Ok(Err(e)) => {
                let stopped = matches!(e.unwrap_inner(), EvalAltResult::ErrorTerminated(..));
                let missing = self.io.0.lock().missing;
                match missing.filter(|_| stopped) {
                    Some(input) => End::Missing(input),
                    None => End::Failed(self.explain(*e)),
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
    fn explain(&self, error: EvalAltResult) -> String {
        let endless = matches!(error.unwrap_inner(), EvalAltResult::ErrorTooManyOperations(_));
        let (line, column, message) = describe(error);
        let name = self.script.name();
        match (line, endless) {
            (0, true) => format!("{name}: {message} Loops begin at line {}", loop_lines(self.script.ast())),
            (0, false) => format!("{name}: {message}"),
            _ => format!("{name} line {line}, column {column}: {message}"),
        }
    }
}

/// Calls `scan(io)` of a script. `Engine::call_fn` would do the same with nothing remembered from the call before.
fn call(host: &Host, script: &Script, io: Io, found: &mut Caches) -> Result<(), Box<EvalAltResult>> {
    let mut global = host.engine.new_global_runtime_state();
    global.lib.push(script.ast().shared_lib().clone());
    let mut scope = Scope::new();
    scope.push(SCAN_ARGUMENT, io);
    #[expect(deprecated, reason = "no other call takes the memory of calls before; the engine's version is pinned")]
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
