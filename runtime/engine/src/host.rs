//! The script host: a Rhai engine with every bound set, the few functions of control programs, and a deadline.

use crate::block::BlockKind;
use crate::config::ProgramLimits;
use crate::declare;
use crate::instrument;
use crate::io::{self, Io};
use crate::members::Name;
use parking_lot::Mutex;
use penstock_model::{Clock, Instant, limits};
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage, BasicStringPackage,
    LogicPackage, MoreStringPackage, Package,
};
use rhai::{AST, Array, Dynamic, EvalAltResult, FLOAT, INT, OptimizationLevel, Position, Scope, Stmt, Token};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Folds constants, calls nothing. Full would call our functions while compiling and freeze what a tag read then.
pub(crate) const OPTIMISATION: OptimizationLevel = OptimizationLevel::Simple;
/// Operations between two looks at the clock: about 10 µs of a script.
const OPERATIONS_PER_LOOK: u64 = 64;
/// Lines a script may print in one scan; the rest is dropped.
const PRINTED_LINES_MAX: usize = 32;

/// The name of what every scan is called with, outside the script.
pub(crate) const SCAN_ARGUMENT: &str = "io";

/// What a native function of a script fails with.
pub(crate) type Fail = Box<EvalAltResult>;

/// A script error with a message for a person; Rhai adds the position.
pub(crate) fn fail(message: impl Into<String>) -> Fail {
    EvalAltResult::ErrorRuntime(message.into().into(), Position::NONE).into()
}

/// A scan's time, looked at from inside a running script and between programs.
///
/// Between two looks lie some ten microseconds of work. Whoever is away for longer than a quarter of the whole limit in
/// one step was not computing: the machine below stood still, and the kernel charges that to the thread that ran. So one
/// step never counts for more than that quarter. A program that does not return is stopped all the same, at the fourth
/// look at the latest.
#[derive(Default)]
struct Watch {
    armed: AtomicBool,
    clock: Mutex<Option<Arc<dyn Clock>>>,
    /// The reading at the last look.
    last: AtomicU64,
    task: Allowance,
    /// Of the program that runs, where it was given one.
    own: Allowance,
    hit: AtomicBool,
}

/// Part of the limit that one step counts for at most.
const STEPS_TO_LIMIT: u64 = 4;

/// Nanoseconds that may be used up. Only the thread of the task writes here; the atoms are for the callback of the engine.
#[derive(Default)]
struct Allowance {
    /// 0: none was given.
    limit: AtomicU64,
    spent: AtomicU64,
}

impl Allowance {
    fn give(&self, limit: Option<Duration>) {
        let ns = limit.map_or(0, |limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1));
        self.limit.store(ns, Ordering::Relaxed);
        self.spent.store(0, Ordering::Relaxed);
    }

    fn spend(&self, step: u64) {
        let most = self.limit.load(Ordering::Relaxed).div_ceil(STEPS_TO_LIMIT);
        self.spent.fetch_add(step.min(most), Ordering::Relaxed);
    }

    fn used_up(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        limit > 0 && self.spent.load(Ordering::Relaxed) >= limit
    }
}

impl Watch {
    /// Counts the time since the last look.
    fn look(&self) {
        let Some(now) = self.clock.lock().as_ref().map(|clock| clock.now().mono.0) else { return };
        let step = now.saturating_sub(self.last.swap(now, Ordering::Relaxed));
        self.task.spend(step);
        self.own.spend(step);
    }

    fn passed(&self) -> bool {
        self.look();
        self.task.used_up() || self.own.used_up()
    }
}

/// A Rhai engine for one task, or for one compilation. Holds no state of any program.
pub(crate) struct Host {
    pub engine: rhai::Engine,
    /// `scan(io)`, compiled.
    scan_call: AST,
    watch: Arc<Watch>,
    printed: Arc<Mutex<Vec<String>>>,
}

impl Host {
    pub fn new() -> Host {
        let mut engine = rhai::Engine::new_raw();
        packages(&mut engine);
        bounds(&mut engine);
        helpers(&mut engine);
        member_names(&mut engine);
        declare::register(&mut engine);
        io::register(&mut engine);
        instrument::register(&mut engine);
        let watch = Arc::new(Watch::default());
        let seen = watch.clone();
        engine.on_progress(move |operations| {
            if operations % OPERATIONS_PER_LOOK == 0 && seen.armed.load(Ordering::Relaxed) && seen.passed() {
                seen.hit.store(true, Ordering::Relaxed);
                return Some(Dynamic::UNIT);
            }
            None
        });
        let printed = Arc::new(Mutex::new(Vec::new()));
        let lines = printed.clone();
        engine.on_print(move |text| note(&lines, text.to_owned()));
        let lines = printed.clone();
        engine.on_debug(move |text, _, position| note(&lines, format!("{text} ({position:?})")));
        let mut scope = Scope::new();
        scope.push(SCAN_ARGUMENT, ());
        let scan_call = engine.compile_with_scope(&scope, format!("scan({SCAN_ARGUMENT})")).unwrap_or_default();
        Host { engine, scan_call, watch, printed }
    }

    #[cfg(test)]
    pub fn for_names(names: &[&str]) -> Host {
        let mut host = Host::new();
        host.learn(names.iter().copied());
        host
    }

    /// Makes `io.<name>` a direct call for these names; any other name takes the slower way to its error.
    pub fn learn<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            let (read, written) = (Name::of(name), Name::of(name));
            self.engine.register_get(name, move |io: &mut Io| io.get(&read));
            self.engine.register_set(name, move |io: &mut Io, value: Dynamic| io.set(&written, &value));
        }
    }

    /// The statement that calls `scan` of whatever script is loaded.
    pub fn scan_call(&self) -> &[Stmt] {
        self.scan_call.statements()
    }

    /// From `started` on, a reading of `clock`, a script is stopped once `limit` is used up; without a clock there is no
    /// such limit.
    pub fn arm(&self, clock: Option<Arc<dyn Clock>>, started: Instant, limit: Duration) {
        self.watch.hit.store(false, Ordering::Relaxed);
        self.watch.last.store(started.0, Ordering::Relaxed);
        self.watch.task.give(Some(limit));
        self.watch.own.give(None);
        self.watch.armed.store(clock.is_some(), Ordering::Relaxed);
        *self.watch.clock.lock() = clock;
    }

    /// Counts the time since the last look. Short programs are never looked at from within: whoever runs many of them
    /// calls this between them.
    pub fn look(&self) {
        self.watch.look();
    }

    /// True once the task has used up its limit since it was armed.
    pub fn used_up(&self) -> bool {
        self.watch.look();
        self.watch.task.used_up()
    }

    /// Bounds the program that runs next, within what its task has left.
    pub fn bound(&mut self, limits: ProgramLimits) {
        let operations = limits.operations.unwrap_or(limits::SCRIPT_OPERATIONS_MAX);
        self.engine.set_max_operations(operations.clamp(1, limits::SCRIPT_OPERATIONS_MAX));
        if limits.time.is_some() {
            self.watch.look();
        }
        self.watch.own.give(limits.time);
    }

    /// True when the program that ran last was given less time than its task and took more, whether it was stopped
    /// or came to its end before the clock was looked at.
    pub fn overstayed(&self) -> bool {
        if self.watch.own.limit.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.watch.look();
        self.watch.own.used_up()
    }

    /// Operations that the program which runs may take in one scan.
    pub fn operations_max(&self) -> u64 {
        self.engine.max_operations()
    }

    /// True when a script was stopped by the deadline since it was armed.
    pub fn timed_out(&self) -> bool {
        self.watch.hit.load(Ordering::Relaxed)
    }

    /// What was printed since the last call.
    pub fn take_printed(&self) -> Vec<String> {
        std::mem::take(&mut *self.printed.lock())
    }

    /// Names and numbers of parameters of every function a script may call.
    pub fn functions(&self) -> Vec<(String, usize)> {
        self.engine.collect_fn_metadata(None, |f| Some((f.metadata.name.to_string(), f.metadata.num_params)), true)
    }
}

fn note(lines: &Mutex<Vec<String>>, text: String) {
    let mut lines = lines.lock();
    if lines.len() < PRINTED_LINES_MAX {
        lines.push(text);
    }
}

/// Arithmetic, logic, strings, arrays, maps and mathematics. Left out on purpose: time, sleep, exit, JSON, function
/// pointers by name, modules — nothing that waits, reads a clock or reaches outside.
fn packages(engine: &mut rhai::Engine) {
    ArithmeticPackage::new().register_into_engine(engine);
    LogicPackage::new().register_into_engine(engine);
    BasicMathPackage::new().register_into_engine(engine);
    BasicStringPackage::new().register_into_engine(engine);
    MoreStringPackage::new().register_into_engine(engine);
    BasicIteratorPackage::new().register_into_engine(engine);
    BasicArrayPackage::new().register_into_engine(engine);
    BasicMapPackage::new().register_into_engine(engine);
    for word in ["eval", "Fn", "import", "export", "is_def_fn", "is_def_var"] {
        engine.disable_symbol(word);
    }
}

fn bounds(engine: &mut rhai::Engine) {
    engine
        .set_optimization_level(OPTIMISATION)
        .set_strict_variables(true)
        .set_max_operations(limits::SCRIPT_OPERATIONS_MAX)
        .set_max_call_levels(limits::SCRIPT_CALL_LEVELS_MAX)
        .set_max_expr_depths(limits::SCRIPT_EXPRESSION_DEPTH_MAX, limits::SCRIPT_EXPRESSION_DEPTH_MAX)
        .set_max_array_size(limits::SCRIPT_COLLECTION_MAX)
        .set_max_map_size(limits::SCRIPT_COLLECTION_MAX)
        .set_max_string_size(limits::SCRIPT_STRING_BYTES_MAX);
}

/// `io.do` and its like: after a dot every word is a name, also one that Rhai keeps for itself.
fn member_names(engine: &mut rhai::Engine) {
    let members = member_words();
    #[expect(deprecated, reason = "not deprecated but marked volatile by its authors; a test holds it")]
    engine.on_parse_token(move |token, _, _| members(token));
}

/// Reads word after word of a text: one that follows a dot is a name.
pub(crate) fn member_words() -> impl Fn(Token) -> Token + Send + Sync + 'static {
    let after_dot = AtomicBool::new(false);
    move |token| {
        let is_member = after_dot.swap(matches!(token, Token::Period | Token::Elvis), Ordering::Relaxed);
        if !is_member || matches!(token, Token::Identifier(_)) {
            return token;
        }
        let word = match &token {
            Token::Reserved(word) => word.to_string(),
            other if other.is_literal() => other.literal_syntax().to_owned(),
            _ => return token,
        };
        if rhai::is_valid_identifier(&word) { Token::Identifier(Box::new(word.as_str().into())) } else { token }
    }
}

/// The number in a value of a script.
pub(crate) fn number(value: &Dynamic) -> Option<f64> {
    if let Ok(x) = value.as_float() {
        return Some(x);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 is never controlled on")]
    value.as_int().ok().map(|i| i as f64)
}

fn two_numbers(name: &str, x: &Dynamic, y: &Dynamic) -> Result<(f64, f64), Fail> {
    match (number(x), number(y)) {
        (Some(x), Some(y)) => Ok((x, y)),
        _ => Err(fail(format!("{name}: takes numbers, not {} and {}", x.type_name(), y.type_name()))),
    }
}

fn helpers(engine: &mut rhai::Engine) {
    engine.register_fn("min", |x: Dynamic, y: Dynamic| two_numbers("min", &x, &y).map(|(x, y)| x.min(y)));
    engine.register_fn("max", |x: Dynamic, y: Dynamic| two_numbers("max", &x, &y).map(|(x, y)| x.max(y)));
    engine.register_fn("clamp", clamp);
    engine.register_fn("clamp", |x: INT, low: INT, high: INT| {
        if low <= high { Ok(x.clamp(low, high)) } else { Err(fail(format!("clamp: {low} is above {high}"))) }
    });
    #[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 is never controlled on")]
    for (name, f) in [("sqrt", f64::sqrt as fn(f64) -> f64), ("exp", f64::exp), ("ln", f64::ln)] {
        engine.register_fn(name, move |x: INT| f(x as FLOAT));
    }
    engine.register_fn("interp", |x: Dynamic, points: Array| interp(&x, &points));
    for kind in BlockKind::ALL {
        engine.register_fn(kind.as_str(), move || kind);
    }
    engine.register_fn("rate_limit", || BlockKind::Ramp);
    #[cfg(test)]
    engine.register_fn("panic_for_test", || -> () { panic!("a native function broke") });
}

fn clamp(x: Dynamic, low: Dynamic, high: Dynamic) -> Result<f64, Fail> {
    let (low, high) = two_numbers("clamp", &low, &high)?;
    let (x, _) = two_numbers("clamp", &x, &Dynamic::ZERO)?;
    if low <= high { Ok(x.clamp(low, high)) } else { Err(fail(format!("clamp: {low} is above {high}"))) }
}

/// Straight lines between points of rising x; flat outside.
fn interp(x: &Dynamic, points: &Array) -> Result<f64, Fail> {
    let wrong = || fail("interp: takes a number and points [[x0, y0], [x1, y1], …] of rising x");
    let x = number(x).ok_or_else(wrong)?;
    let mut last: Option<(f64, f64)> = None;
    let mut found = None;
    for point in points {
        let pair = point.as_array_ref().map_err(|_| wrong())?;
        let [px, py] = pair.as_slice() else { return Err(wrong()) };
        let (px, py) = (number(px).ok_or_else(wrong)?, number(py).ok_or_else(wrong)?);
        match last {
            Some((before, _)) if px.partial_cmp(&before) != Some(std::cmp::Ordering::Greater) => return Err(wrong()),
            Some((lx, ly)) if found.is_none() && x <= px => found = Some(ly + (py - ly) * (x - lx) / (px - lx)),
            None if x <= px => found = Some(py),
            _ => {}
        }
        last = Some((px, py));
    }
    found.or(last.map(|(_, y)| y)).ok_or_else(wrong)
}

/// Line, column (1-based, 0 unknown) and message of an error, without Rhai's own mention of the position.
pub(crate) fn describe(mut error: EvalAltResult) -> (u32, u32, String) {
    let mut outer = error.take_position();
    while let EvalAltResult::ErrorInFunctionCall(_, _, inner, position)
    | EvalAltResult::ErrorInModule(_, inner, position) = error
    {
        if outer.is_none() {
            outer = position;
        }
        error = *inner;
    }
    let inner = error.take_position();
    let position = if inner.is_none() { outer } else { inner };
    let message = match error {
        EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
        EvalAltResult::ErrorTooManyOperations(_) => {
            format!("more than {} operations in one scan: does a loop never end?", limits::SCRIPT_OPERATIONS_MAX)
        }
        other => other.to_string(),
    };
    let (line, column) = place(position);
    (line, column, message)
}

/// Line and column of a position, 1-based, 0 where unknown.
pub(crate) fn place(position: Position) -> (u32, u32) {
    let number = |n: Option<usize>| n.and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    (number(position.line()), number(position.position()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eval(source: &str) -> Result<f64, String> {
        let host = Host::new();
        host.engine.eval::<Dynamic>(source).map_err(|e| describe(*e).2).map(|v| number(&v).unwrap())
    }

    #[test]
    fn helpers_take_whole_numbers_and_others_alike() {
        for (source, expected) in [
            ("clamp(5, 0, 3)", 3.0),
            ("clamp(0.5, 1, 3)", 1.0),
            ("min(2, 1.5) + max(2, 1.5)", 3.5),
            ("abs(-3) + sqrt(16) + exp(0) + ln(1)", 8.0),
            ("interp(5, [[0, 10.0], [10, 20]])", 15.0),
            ("interp(-1.0, [[0, 10], [10, 20]])", 10.0),
            ("interp(99, [[0, 10], [10, 20], [20, 0]])", 0.0),
        ] {
            assert_eq!(eval(source), Ok(expected), "{source}");
        }
        assert!(eval("clamp(1, 3, 0)").unwrap_err().contains("above"));
        assert!(eval("interp(1, [[0, 1], [0, 2]])").unwrap_err().contains("rising"));
        assert!(eval("interp(1, [])").unwrap_err().contains("rising"));
    }

    #[test]
    fn no_reading_is_frozen_while_compiling() {
        let mut host = Host::new();
        let readings = Arc::new(AtomicU64::new(0));
        let counter = readings.clone();
        host.engine.register_fn("reading", move |_: &str| counter.fetch_add(1, Ordering::SeqCst).to_string());
        let ast = host.engine.compile("reading(\"x\")").unwrap();
        assert_eq!(readings.load(Ordering::SeqCst), 0, "called while compiling");
        let seen = [(); 3].map(|()| host.engine.eval_ast::<String>(&ast).unwrap());
        assert_eq!(seen, ["0", "1", "2"]);
    }

    #[test]
    fn every_bound_is_set() {
        for (source, part) in [
            ("loop { }", "operations"),
            ("fn f(x) { f(x + 1) } f(0)", "overflow"),
            ("let a = []; loop { a.push(1); }", "Size of array"),
            ("let s = \"x\"; loop { s += s; }", "Length of string"),
        ] {
            let message = eval(source).unwrap_err();
            assert!(message.to_lowercase().contains(&part.to_lowercase()), "{source}: {message}");
        }
        for source in ["timestamp()", "sleep(1)", "eval(\"1\")", "import \"x\" as y;", "exit()", "Fn(\"f\")"] {
            assert!(Host::new().engine.eval::<Dynamic>(source).is_err(), "{source} is reachable");
        }
    }

    #[test]
    fn a_nameless_function_sees_its_arguments_alone() {
        assert_eq!(eval("let all = [1, 2, 3].map(|x| x * 2); all[2]"), Ok(6.0));
        let reaches = "let k = 2; let all = [1, 2, 3].map(|x| x * k); all[2]";
        let refused = Host::new().engine.compile(reaches).unwrap_err().to_string();
        assert!(refused.contains("Undefined variable: k"), "before it runs: {refused}");
    }
}
