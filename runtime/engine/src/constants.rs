//! A program's own copy of its script, with its parameters as constants.
//!
//! A parameter never changes while a program lives, and half of what a controller reads are parameters. Each
//! `io.kp` of the text becomes `(450.0)` for the program whose `kp` that is, so that nothing is looked up in a scan and
//! the optimiser sees a number. Places stay where they are: an error still names the line and the column of the text.

use crate::declare::Declaration;
use crate::host::{Host, OPTIMISATION};
use crate::members::{Member, Members};
use penstock_model::Value;
use rhai::{AST, ASTNode, Engine, Expr, Identifier, Position, Stmt, Token};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};

/// Where a script reads its parameters: the place of `io`, and which parameter.
pub(crate) type ParamReads = HashMap<Position, usize>;

/// Finds every `io.<parameter>` in a script as it was written. Nothing where the name of the parameter of `scan` may
/// stand for something else than the program's `io`.
pub(crate) fn param_reads(written: &AST, io: &str, declaration: &Declaration) -> ParamReads {
    if !stands_for_io_alone(written, io) {
        return ParamReads::new();
    }
    let members = Members::of(declaration);
    let mut reads = ParamReads::new();
    written.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::Dot(dot, ..) | Expr::Index(dot, ..))) = path.last()
            && let Some((at, param)) = param_of(&dot.lhs, &dot.rhs, io, &members)
        {
            reads.insert(at, param);
        }
        true
    });
    reads
}

/// The place of `io` in `io.<parameter>`, or in a chain that begins so.
fn param_of(lhs: &Expr, rhs: &Expr, io: &str, members: &Members) -> Option<(Position, usize)> {
    let Expr::Variable(_, _, at) = lhs else { return None };
    if !is_variable(lhs, io) {
        return None;
    }
    let first = match rhs {
        Expr::Dot(chain, ..) | Expr::Index(chain, ..) => &chain.lhs,
        other => other,
    };
    let Expr::Property(property, _) = first else { return None };
    match members.get(property.2.as_str()) {
        Some(Member::Param(param)) => Some((*at, param)),
        _ => None,
    }
}

fn is_variable(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Variable(x, ..) if x.1.as_str() == name)
}

/// False where a variable of this name is made, or a function that calls its parameter so is given anything else.
fn stands_for_io_alone(ast: &AST, io: &str) -> bool {
    let takers: Vec<(String, usize, usize)> = ast
        .iter_functions()
        .filter_map(|f| {
            let place = f.params.iter().position(|p| *p == io)?;
            Some((f.name.to_owned(), f.params.len(), place))
        })
        .collect();
    // A function without a name is called from where nobody can see.
    if takers.iter().any(|(name, ..)| name.starts_with("anon$")) {
        return false;
    }
    let mut alone = true;
    ast.walk(&mut |path| {
        alone &= match path.last() {
            Some(ASTNode::Stmt(Stmt::Var(x, ..))) => x.0.name.as_str() != io,
            Some(ASTNode::Stmt(Stmt::For(x, _))) => {
                x.0.name.as_str() != io && x.1.as_ref().is_none_or(|counter| counter.name.as_str() != io)
            }
            Some(ASTNode::Stmt(Stmt::TryCatch(x, _))) => !is_variable(&x.expr, io),
            Some(
                ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)),
            ) => takers
                .iter()
                .filter(|(name, count, _)| *name == call.name.as_str() && *count == call.args.len())
                .all(|(_, _, place)| is_variable(&call.args[*place], io)),
            _ => true,
        };
        alone
    });
    alone
}

/// The script with these parameters as constants. `None` where it reads none, and where the text with constants is
/// none that compiles: then the script serves as it is.
pub(crate) fn with_constants(source: &str, reads: &ParamReads, params: &[Value]) -> Option<AST> {
    let constants: HashMap<Position, Token> =
        reads.iter().filter_map(|(at, param)| Some((*at, constant(params.get(*param)?)?))).collect();
    if constants.is_empty() {
        return None;
    }
    let mut host = Host::new();
    host.engine.set_optimization_level(OPTIMISATION);
    put_in(&mut host.engine, constants);
    host.engine.compile(source).ok()
}

fn constant(value: &Value) -> Option<Token> {
    match value {
        Value::Bool(true) => Some(Token::True),
        Value::Bool(false) => Some(Token::False),
        Value::Int(i) => Some(Token::IntegerConstant(*i)),
        Value::Float(x) => Some(Token::FloatConstant(((*x).into(), Identifier::from(x.to_string())).into())),
        Value::Text(_) => None,
    }
}

/// Lets the three words `io . kp` be read as `( 450.0 )`.
fn put_in(engine: &mut Engine, constants: HashMap<Position, Token>) {
    let members = crate::host::member_words();
    let words_left = AtomicU8::new(0);
    let begun = parking_lot::Mutex::new(Token::EOF);
    #[expect(deprecated, reason = "not deprecated but marked volatile by its authors; tests hold it")]
    engine.on_parse_token(move |token, at, _| {
        // The state of the words after a dot moves on also where they are not wanted.
        let token = members(token);
        match words_left.load(Ordering::Relaxed) {
            2 => {
                words_left.store(1, Ordering::Relaxed);
                std::mem::replace(&mut *begun.lock(), Token::EOF)
            }
            1 => {
                words_left.store(0, Ordering::Relaxed);
                Token::RightParen
            }
            _ => match constants.get(&at) {
                Some(constant) => {
                    words_left.store(2, Ordering::Relaxed);
                    *begun.lock() = constant.clone();
                    Token::LeftParen
                }
                None => token,
            },
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::program::{End, Instance};
    use crate::script::Script;
    use penstock_model::{Instant, Sample, Utc, Value};
    use std::time::Duration;

    const DECLARE: &str = r#"fn declare(p) {
    p.input("x", ""); p.output("y", ""); p.state("n", 0);
    p.param("kp", "", 2.0); p.param("low", "", -5.0); p.param_int("count", 3); p.param_bool("on", true);
    p.param("do", "", 0.25); p.block("loop", pid());
}
"#;

    fn instance(body: &str, params: &[Value]) -> Instance {
        let source = format!("{DECLARE}{body}");
        Instance::new(Script::compile("test", &source).unwrap_or_else(|e| panic!("{e:?}")), params.to_vec())
    }

    fn usual() -> Vec<Value> {
        vec![2.5.into(), (-5.0).into(), Value::Int(-3), Value::Bool(true), 0.25.into()]
    }

    /// What `y` comes to after two scans, or the error.
    fn run(mut instance: Instance) -> Result<f64, String> {
        let mut y = 0.0;
        for second in 1..=2 {
            let now = penstock_model::Now { mono: Instant(second * 1_000_000_000), utc: Utc(0) };
            instance.io.0.lock().inputs[0] = Sample::good(3.0, now);
            match instance.run(
                &crate::host::Host::for_names(&["kp", "low", "count", "on", "do", "n"]),
                now.mono,
                Duration::from_secs(1),
            ) {
                End::Done => y = instance.io.0.lock().outputs[0].assigned.clone().unwrap().0.as_f64().unwrap(),
                End::Failed(message) => return Err(message),
                other => panic!("{other:?}"),
            }
        }
        Ok(y)
    }

    #[test]
    fn a_program_with_constants_computes_what_it_would_have_looked_up() {
        for (body, expected) in [
            ("fn scan(io) { io.y = io.kp * io.x; }", 7.5),
            ("fn scan(io) { io.y = -io.low ** 2 + io.count; }", 22.0),
            ("fn scan(io) { io.y = io.low.abs() + io.do; }", 5.25),
            ("fn scan(io) { if io.on { io.n += 1; } io.y = io.n + io.kp }", 4.5),
            ("fn scan(it) { it.y = it . kp\n * it.x; }", 7.5),
            ("fn part(io, f) { f * io.kp } fn scan(io) { io.y = part(io, io.count); }", -7.5),
            ("fn scan(io) { let m = #{ kp: io.kp, a: [io.low, io.kp] }; io.y = m.kp + m.a[1]; }", 5.0),
            ("fn scan(io) { let s = `${io.kp}`; io.y = s.len() + io.kp; }", 5.5),
            ("fn scan(io) { io.y = switch io.count { -3 => io.kp, _ => 0.0 }; }", 2.5),
            // Comments and texts are no reads, and letters of any script stand before them.
            ("fn scan(io) { /* 增益 io.kp */ let s = \"增益 io.kp\"; io.y = io.kp + s.len(); }", 10.5),
        ] {
            let made = instance(body, &usual());
            assert!(made.has_constants(), "{body}");
            assert_eq!(run(made), Ok(expected), "{body}");
        }
    }

    #[test]
    fn what_might_be_another_thing_is_looked_up() {
        for (body, expected) in [
            ("fn part(io) { io.kp } fn scan(io) { io.y = part(#{ kp: 70.0 }) + io.x; }", 73.0),
            ("fn scan(io) { let y = io.kp; { let io = #{ kp: 9.0 }; y += io.kp; } io.y = y; }", 11.5),
            ("fn scan(io) { let y = 0.0; for io in [#{ kp: 4.0 }] { y += io.kp; } io.y = y; }", 4.0),
            ("fn scan(io) { io.y = [#{ kp: 4.0 }].map(|io| io.kp)[0]; }", 4.0),
        ] {
            let made = instance(body, &usual());
            assert!(!made.has_constants(), "{body}");
            assert_eq!(run(made), Ok(expected), "{body}");
        }
        assert!(!instance("fn scan(io) { io.y = io.x; }", &usual()).has_constants(), "none is read");
    }

    #[test]
    fn an_error_still_names_its_place_in_the_text() {
        let body = "fn scan(io) {\n    io.y = io.kp * io.count\n        + io.x.no_such;\n}";
        let made = instance(body, &usual());
        assert!(made.has_constants());
        let message = run(made).unwrap_err();
        let line = DECLARE.lines().count() + 3;
        assert!(message.contains(&format!("line {line}, ")), "{message}");
    }

    #[test]
    fn two_programs_of_one_script_have_their_own() {
        let script = Script::compile("test", &format!("{DECLARE}fn scan(io) {{ io.y = io.kp + io.low; }}")).unwrap();
        let of = |kp: f64| {
            let mut params = usual();
            params[0] = kp.into();
            run(Instance::new(script.clone(), params))
        };
        assert_eq!((of(1.0), of(100.0)), (Ok(-4.0), Ok(95.0)));
        let mut again = Instance::new(script.clone(), usual());
        again.restart();
        assert_eq!(run(again), Ok(-2.5), "also after a restart");
    }
}
