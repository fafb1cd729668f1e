//! A compiled and checked script: the program text that any number of programs share.

use crate::check;
use crate::constants::{self, ParamReads};
use crate::declare::{Declaration, Declarer};
use crate::host::{Host, OPTIMISATION, describe, place};
use crate::members::Members;
use crate::unguarded::{UnguardedRead, unguarded_reads};
use penstock_model::limits;
use rhai::{AST, CallFnOptions, OptimizationLevel, Scope};
use std::fmt;
use std::sync::Arc;

/// A compiled script with its declaration. Immutable; a clone is the same script.
#[derive(Clone)]
pub struct Script(Arc<Inner>);

struct Inner {
    name: String,
    source: String,
    ast: AST,
    declaration: Arc<Declaration>,
    members: Arc<Members>,
    unguarded: Vec<UnguardedRead>,
    param_reads: ParamReads,
}

/// A mistake in a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct ScriptError {
    /// Line, from 1; 0 where unknown.
    pub line: u32,
    /// Column, from 1; 0 where unknown.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Script {
    /// Compiles `source`, runs its `declare` and checks the rest against it. Scripts are bounded in every way that
    /// [`limits`] names, `declare` too.
    ///
    /// # Errors
    /// Everything found wrong, in the order of lines.
    pub fn compile(name: &str, source: &str) -> Result<Script, Vec<ScriptError>> {
        if source.len() > limits::SCRIPT_SOURCE_BYTES_MAX {
            let message = format!("the script is longer than {} bytes", limits::SCRIPT_SOURCE_BYTES_MAX);
            return Err(vec![ScriptError { line: 0, column: 0, message, help: None }]);
        }
        let mut host = Host::new();
        // The check reads the text as written, before the optimiser folds constants away.
        host.engine.set_optimization_level(OptimizationLevel::None);
        let written = parse(&host, source)?;
        let mut errors = check::unknown_functions(&written, &host);
        let io_name = structure(&written, &mut errors);
        let mut declaration = Declaration::default();
        if errors.is_empty() {
            match declare(&host, &written) {
                Ok(declared) => {
                    errors = check::unknown_members(&written, &io_name, &declared);
                    declaration = declared;
                }
                Err(e) => errors.push(e),
            }
        }
        if !errors.is_empty() {
            errors.sort_by_key(|e| (e.line, e.column));
            return Err(errors);
        }
        host.engine.set_optimization_level(OPTIMISATION);
        let ast = parse(&host, source)?;
        let members = Arc::new(Members::of(&declaration));
        let unguarded = unguarded_reads(&written, &io_name, &declaration);
        let param_reads = constants::param_reads(&written, &io_name, &declaration);
        let (name, source, declaration) = (name.to_owned(), source.to_owned(), Arc::new(declaration));
        Ok(Script(Arc::new(Inner { name, source, ast, declaration, members, unguarded, param_reads })))
    }

    /// What it declares.
    #[must_use]
    pub fn declaration(&self) -> &Declaration {
        &self.0.declaration
    }

    /// Its name, as given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its text.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The inputs that it reads without asking first whether they can be used.
    #[must_use]
    pub fn unguarded_reads(&self) -> &[UnguardedRead] {
        &self.0.unguarded
    }

    pub(crate) fn ast(&self) -> &AST {
        &self.0.ast
    }

    /// A copy with these parameters as constants, in the order of their declaration; `None` where the script serves as
    /// it is.
    pub(crate) fn with_constants(&self, params: &[penstock_model::Value]) -> Option<AST> {
        constants::with_constants(&self.0.source, &self.0.param_reads, params)
    }

    pub(crate) fn shared_declaration(&self) -> Arc<Declaration> {
        self.0.declaration.clone()
    }

    pub(crate) fn members(&self) -> Arc<Members> {
        self.0.members.clone()
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("name", &self.0.name).finish_non_exhaustive()
    }
}

fn parse(host: &Host, source: &str) -> Result<AST, Vec<ScriptError>> {
    host.engine.compile(source).map_err(|e| {
        let (line, column) = place(e.1);
        match foreign_name(source, line, column) {
            Some(name) => {
                let message = format!("`{name}` is not a name: {}", crate::declare::NAME_RULE);
                let help = Some("texts, comments and titles may hold any letters; names may not".to_owned());
                vec![ScriptError { line, column, message, help }]
            }
            None => vec![ScriptError { line, column, message: e.0.to_string(), help: None }],
        }
    })
}

/// The word at a place (counted from 1) whose letters Rhai does not know.
fn foreign_name(source: &str, line: u32, column: u32) -> Option<String> {
    let at_line = usize::try_from(line.checked_sub(1)?).ok()?;
    let text: Vec<char> = source.lines().nth(at_line)?.chars().collect();
    let at = usize::try_from(column.checked_sub(1)?).ok()?;
    let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
    text.get(at).filter(|c| !c.is_ascii() && is_part(c))?;
    let begin = text[..at].iter().rposition(|c| !is_part(c)).map_or(0, |i| i + 1);
    Some(text[begin..].iter().take_while(|c| is_part(c)).collect())
}

/// Checks that there are `declare(p)` and `scan(io)` and nothing outside functions; the name of scan's parameter.
fn structure(ast: &AST, errors: &mut Vec<ScriptError>) -> String {
    if let Some(statement) = ast.statements().first() {
        let help = Some("put it into `declare` or `scan`".to_owned());
        errors.push(check::error(statement.position(), "a script has functions only".to_owned(), help));
    }
    let mut parameter = |name: &str, example: &str| {
        let found = ast.iter_functions().find(|f| f.name == name && f.params.len() == 1);
        if found.is_none() {
            let message = format!("there is no `fn {example} {{ … }}`");
            errors.push(ScriptError { line: 0, column: 0, message, help: None });
        }
        found.map(|f| f.params[0].to_owned()).unwrap_or_default()
    };
    parameter("declare", "declare(p)");
    parameter("scan", "scan(io)")
}

fn declare(host: &Host, ast: &AST) -> Result<Declaration, ScriptError> {
    let declarer = Declarer::default();
    let options = CallFnOptions::new().eval_ast(false);
    host.engine
        .call_fn_with_options::<rhai::Dynamic>(options, &mut Scope::new(), ast, "declare", (declarer.clone(),))
        .map(|_| declarer.finish())
        .map_err(|e| {
            let (line, column, message) = describe(*e);
            ScriptError { line, column, message, help: None }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BlockKind;
    use penstock_model::{Unit, Value, ValueType};

    const ZONE: &str = r#"
fn declare(p) {
    p.title("曝气分区", "Aeration zone");
    p.input("do", "mg/L");
    p.input_bool("running");
    p.optional("running");
    p.output("valve", "%");
    p.param("kp", "Nm3/h per mg/L");
    p.param("ti", "s", 900);
    p.param("low", "%", 15.0, 0.0, 100.0);
    p.param_bool("enable", true);
    p.param_int("n", 2);
    p.block("demand", pid());
    p.state("stage", 0);
}
fn scan(io) {
    io.stage += 1;
    io.valve = io.demand.run(2.0, io.do, #{ kp: io.kp, ti: io.ti, min: io.low, max: 85 });
}
"#;

    /// The first error of a script whose scan is `body`, declared with input `air`, output `valve` and a pid `flow`.
    fn wrong(body: &str) -> ScriptError {
        let source = format!(
            "fn declare(p) {{ p.input(\"air\", \"Nm3/h\"); p.output(\"valve\", \"%\"); p.block(\"flow\", pid()); }}\nfn scan(io) {{\n{body}\n}}"
        );
        Script::compile("test", &source).map(|_| format!("no error in {body}")).unwrap_err().remove(0)
    }

    #[test]
    fn a_declaration_is_read_in_full() {
        let script = Script::compile("zone", ZONE).unwrap();
        let d = script.declaration();
        assert_eq!((&*d.title.zh, &*d.title.en), ("曝气分区", "Aeration zone"));
        assert_eq!(d.names().collect::<Vec<_>>().join(" "), "do running valve kp ti low enable n demand stage");
        assert!(d.inputs[1].optional && !d.inputs[0].optional);
        assert_eq!(d.inputs[0].unit, Unit::parse("mg/L").unwrap());
        assert_eq!(d.inputs[1].value_type, ValueType::Bool);
        assert_eq!((&d.params[0].default, &d.params[1].default), (&None, &Some(Value::Float(900.0))));
        assert_eq!(d.params[2].limits, Some((0.0, 100.0)));
        assert_eq!(d.params[4].default, Some(Value::Int(2)));
        assert_eq!(d.blocks, [("demand".to_owned(), BlockKind::Pid)]);
        assert_eq!(d.states, [("stage".to_owned(), Value::Int(0))]);
    }

    #[test]
    fn a_mistake_is_found_before_the_run_with_its_place() {
        let e = wrong("  io.valve = clmp(io.air, 0, 1);");
        assert_eq!((e.line, e.column, e.message.as_str()), (3, 14, "there is no function `clmp`"));
        assert_eq!(e.help.as_deref(), Some("did you mean `clamp`?"));
        let e = wrong("  io.vlave = 1.0;");
        assert_eq!((e.line, e.message.as_str()), (3, "`io.vlave` is not declared"));
        assert_eq!(e.help.as_deref(), Some("did you mean `valve`?"));
        for (body, part) in [
            ("io.air = 1.0;", "`air` is an input and cannot be assigned"),
            ("io.air += 1.0;", "`air` is an input and cannot be assigned"),
            ("if io.good(\"valve\") { }", "takes the name of an input"),
            ("let x = io.granted(\"ari\");", "takes the name of an output"),
            ("io.valve = io.flow.run(1.0, io.air, #{ kp: 1.0, tii: 3.0, min: 0, max: 1 });", "has no setting `tii`"),
            ("io.valve = io.flow.run(1.0, #{ kp: 1.0 });", "takes 2 value(s)"),
            ("io.flow.start();", "no function `start`"),
            ("io.valve = clamp(1.0);", "does not take 1 argument"),
            ("let y = x;", "x"),
            ("let y = io.air(;", "Unexpected"),
            ("io.valve = io.good;", "not declared"),
            ("io.len();", "has no function `len`"),
        ] {
            let e = wrong(body);
            assert!(e.message.contains(part), "{body}: {} lacks {part}", e.message);
            assert_eq!(e.line, 3, "{body}: {}", e.message);
        }
    }

    #[test]
    fn a_name_of_other_letters_is_refused_in_plain_words() {
        for (declared, used, name, line) in [
            ("p.input(\"次数\", \"s\");", "", "次数", 2),
            ("", "let x = io.次数;", "次数", 5),
            ("", "io.泵1_run = true;", "泵1_run", 5),
            ("", "let débit = 1.0;", "débit", 5),
        ] {
            let source = format!("fn declare(p) {{\n{declared}\n}}\nfn scan(io) {{\n{used}\n}}");
            let e = Script::compile("test", &source).unwrap_err().remove(0);
            let plain = format!("`{name}` is not a name: names are letters (a to z, A to Z), digits and `_`");
            assert!(e.message.starts_with(&plain) && e.line == line, "{e:?}");
        }
    }

    #[test]
    fn a_wrong_declaration_is_an_error_at_its_line() {
        for (line, part) in [
            ("p.input(\"a\", \"mg/Liter\");", "not a known unit"),
            ("p.input(\"a\", \"%\"); p.output(\"a\", \"%\");", "declared twice"),
            ("p.input(\"dt\", \"s\");", "word of `io`"),
            ("p.input(\"a-b\", \"s\");", "not a name"),
            ("p.param(\"k\", \"\", 5.0, 0.0, 1.0);", "outside 0..1"),
            ("p.param(\"k\", \"\", 0.0, 1.0, 0.0);", "smaller first"),
            ("p.optional(\"x\");", "no input or output"),
            ("p.state(\"s\", \"text\");", "initial value"),
        ] {
            let source = format!("fn declare(p) {{\n{line}\n}}\nfn scan(io) {{ }}");
            let e = Script::compile("test", &source).unwrap_err().remove(0);
            assert!(e.message.contains(part) && e.line == 2, "{line}: {e:?}");
        }
        let endless = Script::compile("test", "fn declare(p) { loop { } } fn scan(io) { }").unwrap_err().remove(0);
        assert!(endless.message.contains("operations"), "{endless:?}");
        let errors = Script::compile("test", "let x = 1; fn scan(io) { }").unwrap_err();
        assert!(errors.iter().any(|e| e.message.contains("fn declare(p)")), "{errors:?}");
        assert!(errors.iter().any(|e| e.message.contains("functions only")), "{errors:?}");
    }
}
