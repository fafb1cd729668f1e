//! Scripts at random: whatever stands in one, compiling it and running it ends, and ends without a panic.
//!
//! Two sources of text: the bundled programs with tokens taken out, doubled, exchanged and replaced, and scripts grown
//! from the grammar out of everything the runtime offers to a script. What compiles is run with inputs of every quality.
//! `PROPTEST_CASES=100000 cargo test -p penstock-engine --test fuzz_scripts` looks for longer.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use penstock_engine::{Bench, BlockKind, Script};
use penstock_model::{BadReason, Quality, Sample, UncertainReason, Value, ValueType};
use proptest::prelude::*;
use proptest::test_runner::Config;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// No script may take longer than this by far: a scan ends by its operations, an unoptimised build included.
const PATIENCE: Duration = Duration::from_secs(120);

/// The bundled programs.
fn bundled() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "rhai"));
    files.sort();
    assert!(!files.is_empty());
    files.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect()
}

/// A text in pieces that a mutation moves: words, numbers, single signs, blanks.
fn tokens(text: &str) -> Vec<&str> {
    let kind = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' || c == '.' => 0,
        c if c.is_whitespace() => 1,
        _ => 2,
    };
    let mut pieces = Vec::new();
    let mut from = 0;
    let mut last = None;
    for (i, c) in text.char_indices() {
        if last.is_some_and(|l| l != kind(c) || kind(c) == 2) {
            pieces.push(&text[from..i]);
            from = i;
        }
        last = Some(kind(c));
    }
    pieces.push(&text[from..]);
    pieces
}

/// What a mutation puts in place of something: words of the language, of `io`, and numbers at the edge.
const SPICE: &[&str] = &[
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ";",
    ",",
    "..",
    "..=",
    "=>",
    "#{",
    "}}",
    "\"",
    "'",
    "`",
    "\\",
    "/*",
    "*/",
    "//",
    "|x|",
    "io",
    "io.dt",
    "io.first",
    "p",
    "this",
    "fn",
    "let",
    "loop",
    "while",
    "for",
    "in",
    "break",
    "continue",
    "return",
    "throw",
    "try",
    "catch",
    "switch",
    "if",
    "else",
    "const",
    "import",
    "export",
    "eval",
    "0",
    "-1",
    "1e308",
    "1e-320",
    "9223372036854775807",
    "-9223372036854775808",
    "0x7fffffffffffffff",
    "true",
    "()",
    "\u{0}",
    "\u{feff}",
    "水",
    "**",
    "<<",
    ">>",
    "%",
    "??",
    "?.",
    "!in",
    "run",
    "reset",
    "pid()",
    "validator()",
    "or",
    "keep",
    "granted",
    "push",
    "pad",
];

#[derive(Debug, Clone)]
struct Mutation {
    what: u8,
    place: usize,
    other: usize,
    spice: usize,
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let one = (0_u8..6, any::<usize>(), any::<usize>(), any::<usize>());
    let one = one.prop_map(|(what, place, other, spice)| Mutation { what, place, other, spice });
    prop::collection::vec(one, 1..8)
}

fn mutate(text: &str, mutations: &[Mutation]) -> String {
    let mut pieces: Vec<String> = tokens(text).into_iter().map(str::to_owned).collect();
    for m in mutations {
        if pieces.is_empty() {
            break;
        }
        let (a, b) = (m.place % pieces.len(), m.other % pieces.len());
        match m.what {
            0 => drop(pieces.remove(a)),
            1 => pieces.insert(a, pieces[b].clone()),
            2 => pieces.swap(a, b),
            3 => SPICE[m.spice % SPICE.len()].clone_into(&mut pieces[a]),
            4 => pieces.insert(a, SPICE[m.spice % SPICE.len()].to_owned()),
            // A stretch once more: nested blocks, functions twice.
            _ => {
                let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 200));
                let stretch = pieces[from..to].to_vec();
                pieces.splice(from..from, stretch);
            }
        }
    }
    pieces.concat()
}

/// An expression of a script at random, of bounded depth.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("io.x".to_owned()),
        Just("io.on".to_owned()),
        Just("io.n".to_owned()),
        Just("io.k".to_owned()),
        Just("io.s".to_owned()),
        Just("io.y".to_owned()),
        Just("io.dt".to_owned()),
        Just("io.first".to_owned()),
        Just("a".to_owned()),
        Just("()".to_owned()),
        Just("\"x\"".to_owned()),
        Just("\"y\"".to_owned()),
        any::<i64>().prop_map(|i| i.to_string()),
        any::<f64>().prop_filter("no literal", |x| x.is_finite()).prop_map(|x| format!("{x:?}")),
        (-100.0..100.0).prop_map(|x: f64| format!("{x:?}")),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let binary = prop::sample::select(vec![
            "+", "-", "*", "/", "%", "**", "<", "<=", "==", "!=", "&&", "||", "&", "|", "^", "<<", ">>", "??", "..",
        ]);
        let function = prop::sample::select(vec![
            ("clamp", 3),
            ("min", 2),
            ("max", 2),
            ("interp", 2),
            ("abs", 1),
            ("sqrt", 1),
            ("exp", 1),
            ("ln", 1),
            ("sin", 1),
            ("round", 1),
            ("floor", 1),
            ("to_int", 1),
            ("to_float", 1),
            ("len", 1),
            ("print", 1),
            ("debug", 1),
            ("type_of", 1),
            ("range", 2),
            ("parse_int", 1),
            ("no_such_function", 1),
        ]);
        let of_input = prop::sample::select(vec!["good", "usable", "quality", "age"]);
        let of_output = prop::sample::select(vec!["manual", "granted", "track", "keep"]);
        let input = prop::sample::select(vec!["x", "on", "n"]);
        let output = prop::sample::select(vec!["y", "on_out", "count", "x"]);
        let block = (prop::sample::select(BlockKind::ALL.to_vec()), prop::collection::vec(any::<usize>(), 0..4));
        let three = prop::collection::vec(inner.clone(), 3);
        let four = prop::collection::vec(inner.clone(), 4);
        let several = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (function, three.clone()).prop_map(|((f, n), args)| format!("{f}({})", args[..n].join(", "))),
            (of_input, input.clone()).prop_map(|(f, name)| format!("io.{f}(\"{name}\")")),
            (input, inner.clone()).prop_map(|(name, other)| format!("io.or(\"{name}\", {other})")),
            (of_output, output).prop_map(|(f, name)| format!("io.{f}(\"{name}\")")),
            (block, three, four).prop_map(|((kind, settings), values, given)| {
                let known = kind.settings();
                let settings = settings.iter().filter(|_| !known.is_empty()).map(|i| known[i % known.len()]);
                let map: Vec<_> = settings.zip(given).map(|(name, value)| format!("{name}: {value}")).collect();
                format!("io.b_{}.run({}, #{{ {} }})", kind.as_str(), values[..kind.values()].join(", "), map.join(", "))
            }),
            several.clone().prop_map(|all| format!("[{}]", all.join(", "))),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(c, a, b)| format!("if {c} == true {{ {a} }} else {{ {b} }}")),
            (inner.clone(), inner.clone()).prop_map(|(a, i)| format!("{a}[{i}]")),
            inner.prop_map(|a| format!("-{a}")),
        ]
    })
}

/// A script with every kind of port and block, and statements at random.
fn grown() -> impl Strategy<Value = String> {
    let target = prop::sample::select(vec!["io.y", "io.on_out", "io.count", "io.s", "a", "let b"]);
    let plain = (target, expression()).prop_map(|(to, value)| format!("{to} = {value};"));
    let statement = plain.prop_recursive(2, 12, 3, |inner| {
        let body = prop::collection::vec(inner.clone(), 0..3).prop_map(|all| all.join(" "));
        prop_oneof![
            (expression(), body.clone()).prop_map(|(c, b)| format!("if {c} == 1 {{ {b} }}")),
            (expression(), body.clone()).prop_map(|(c, b)| format!("while {c} == true {{ {b} }}")),
            (expression(), body.clone()).prop_map(|(c, b)| format!("for i in {c} {{ {b} }}")),
            body.clone().prop_map(|b| format!("loop {{ {b} }}")),
            (body, expression()).prop_map(|(b, e)| format!("try {{ {b} throw {e}; }} catch (error) {{ a = error; }}")),
            expression().prop_map(|e| format!("a = helper({e}, a);")),
        ]
    });
    prop::collection::vec(statement, 1..6).prop_map(|statements| {
        let mut text = String::from(
            "fn declare(p) {\n p.input(\"x\", \"mg/L\"); p.input_bool(\"on\"); p.input_int(\"n\");\n \
             p.output(\"y\", \"%\"); p.output_bool(\"on_out\"); p.output_int(\"count\");\n \
             p.param(\"k\", \"\", 1.5); p.state(\"s\", 0.0);\n",
        );
        for kind in BlockKind::ALL {
            let name = kind.as_str();
            let _ = writeln!(text, " p.block(\"b_{name}\", {name}());");
        }
        let _ = write!(
            text,
            "}}\nfn helper(x, y) {{ if x == y {{ x }} else {{ helper(y, y) }} }}\nfn scan(io) {{\n let a = 0;\n {}\n}}\n",
            statements.join("\n ")
        );
        text
    })
}

/// An input of a type with a value and a quality that a draw decides.
fn sample(wanted: ValueType, draw: u32, bench: &Bench) -> Sample {
    const NUMBERS: [f64; 8] = [0.0, 1.0, -1.0, 2.5, 1e12, -1e300, 1e300, 55.0];
    let number = NUMBERS[draw as usize % NUMBERS.len()];
    let value = match wanted {
        ValueType::Bool => Value::Bool(draw & 1 == 1),
        ValueType::Int => Value::Int([0, 1, -1, i64::MAX, i64::MIN][draw as usize % 5]),
        ValueType::Float => Value::Float(number),
        ValueType::Text => Value::from("text"),
    };
    let quality = match draw >> 8 & 7 {
        0 => Quality::Bad(BadReason::Link),
        1 => Quality::Uncertain(UncertainReason::Frozen),
        _ => Quality::Good,
    };
    Sample { quality, ..Sample::good(value, bench.next(Duration::from_secs(1))) }
}

/// Compiles, and runs what compiles.
fn live(text: &str, draws: &[u32]) {
    let Ok(script) = Script::compile("fuzz", text) else { return };
    let Ok(mut bench) = Bench::new(&script, &[]) else { return };
    let inputs: Vec<_> = script.declaration().inputs.iter().map(|p| (p.name.clone(), p.value_type)).collect();
    for draw in draws {
        let given: Vec<_> = (0_u32..)
            .zip(&inputs)
            .map(|(i, (name, wanted))| (name.clone(), sample(*wanted, draw.rotate_left(i * 5), &bench)))
            .collect();
        let result = bench.scan(Duration::from_millis(100 + u64::from(draw % 1_000)), &given);
        for (name, sample) in result.outputs {
            // A program may leave an output bad. It may not leave one that is no number.
            assert!(sample.value.is_none_or(|v| v.is_finite()), "`{name}` is not finite:\n{text}");
        }
        if let Some(error) = result.error {
            assert!(!error.contains("a function of the runtime broke"), "{error}:\n{text}");
        }
    }
}

/// Runs a case on a thread of its own, so that one that never ends is a failure with its text.
fn ends(text: &str, draws: &[u32]) {
    let (done, ended) = mpsc::channel();
    let (own, draws) = (text.to_owned(), draws.to_vec());
    let run = std::thread::Builder::new().stack_size(8 << 20).spawn(move || {
        live(&own, &draws);
        done.send(()).unwrap();
    });
    match ended.recv_timeout(PATIENCE) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            assert!(run.unwrap().join().is_ok(), "a panic with this script:\n{text}");
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("this script does not end:\n{text}"),
    }
}

proptest! {
    #![proptest_config(Config { max_shrink_iters: 200, ..Config::with_cases(Config::default().cases) })]

    #[test]
    fn a_bundled_script_with_mistakes_never_breaks_or_hangs_the_runtime(
        which in any::<usize>(), changes in mutations(), draws in prop::collection::vec(any::<u32>(), 1..6),
    ) {
        let all = bundled();
        ends(&mutate(&all[which % all.len()], &changes), &draws);
    }

    #[test]
    fn a_script_grown_at_random_never_breaks_or_hangs_the_runtime(
        text in grown(), draws in prop::collection::vec(any::<u32>(), 1..6),
    ) {
        ends(&text, &draws);
    }
}

#[test]
fn the_grammar_reaches_scripts_that_run() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = grown();
    let compiled = (0..300)
        .filter(|_| Script::compile("fuzz", &strategy.new_tree(&mut runner).unwrap().current()).is_ok())
        .count();
    // A fuzz of which the check refuses everything would test the check alone.
    assert!(compiled > 60, "{compiled} of 300");
}
