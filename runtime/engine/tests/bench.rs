//! The bench on which scripts are tested, with every function block reached from a script.
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

use penstock_engine::{Bench, BlockKind, Script};
use penstock_model::{BadReason, Now, Quality, Sample, UncertainReason, Value};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn bench(source: &str, params: &[(&str, Value)]) -> Bench {
    let script = Script::compile("bench", source).unwrap();
    let params: Vec<_> = params.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    Bench::new(&script, &params).unwrap()
}

fn good(bench: &Bench, inputs: &[(&str, f64)]) -> Vec<(String, Sample)> {
    inputs.iter().map(|(n, x)| ((*n).to_owned(), Sample::good(*x, bench.next(SECOND)))).collect()
}

const ZONE: &str = r#"
fn declare(p) {
    p.input("o2", "mg/L"); p.input("air", "Nm3/h"); p.output("valve", "%");
    p.param("kp", "% per mg/L"); p.param("ti", "s", 100.0);
    p.block("c", pid());
}
fn scan(io) {
    io.valve = io.c.run(2.0, io.o2, #{ kp: io.kp, ti: io.ti, min: 15, max: 85, track: io.track("valve") });
    print(`age ${io.age("air")}`);
}
"#;

#[test]
fn a_program_answers_literal_inputs() {
    let mut b = bench(ZONE, &[("kp", 20.0.into())]);
    let inputs = good(&b, &[("o2", 1.0), ("air", 900.0)]);
    let result = b.scan(SECOND, &inputs);
    assert_eq!((result.outputs[0].1.usable_f64(), result.error), (Some(20.0), None));
    // Inputs that are not given stay as they are; the integral moves on by kp·e·dt/ti.
    let x = b.scan(SECOND, &[]).outputs[0].1.usable_f64().unwrap();
    assert!((x - 20.2).abs() < 1e-9, "{x}");
    assert_eq!(b.printed(), ["age 0.0", "age 1.0"]);
    let bad = vec![("o2".to_owned(), Sample::bad(BadReason::Stale, None, b.next(SECOND)))];
    let result = b.scan(SECOND, &bad);
    assert_eq!((result.outputs[0].1.quality, result.error), (Quality::Bad(BadReason::Input), None));
    let frozen = Quality::Uncertain(UncertainReason::Frozen);
    let uncertain = vec![("o2".to_owned(), Sample::with_quality(1.0, frozen, b.next(SECOND)))];
    let tainted = Quality::Uncertain(UncertainReason::Input);
    assert_eq!(b.scan(SECOND, &uncertain).outputs[0].1.quality, tainted);
}

#[test]
fn the_hand_on_the_bench_is_bumpless_too() {
    let mut b = bench(ZONE, &[("kp", 20.0.into())]);
    let inputs = good(&b, &[("o2", 1.0), ("air", 900.0)]);
    b.scan(SECOND, &inputs);
    b.set_manual("valve", Some(60.0.into()));
    for _ in 0..50 {
        assert_eq!(b.scan(SECOND, &[]).outputs[0].1.usable_f64(), Some(60.0));
    }
    b.set_manual("valve", None);
    let x = b.scan(SECOND, &[]).outputs[0].1.usable_f64().unwrap();
    assert!((x - 60.0).abs() < 0.3, "{x}");
}

#[test]
fn mistakes_on_the_bench_are_said() {
    let script = Script::compile("zone", ZONE).unwrap();
    let error = |params: &[(String, Value)]| Bench::new(&script, params).map(|_| ()).unwrap_err();
    assert!(error(&[]).contains("`kp` is missing"));
    assert!(error(&[("kq".into(), 1.0.into())]).contains("did you mean `kp`?"));
    let mut b = bench(ZONE, &[("kp", 1.0.into())]);
    let inputs = good(&b, &[("o3", 1.0)]);
    assert!(b.scan(SECOND, &inputs).error.unwrap().contains("no input `o3`"));
    let mut b = bench("fn declare(p) { p.output(\"y\", \"\"); } fn scan(io) { loop { } }", &[]);
    assert!(b.scan(SECOND, &[]).error.unwrap().contains("operations"));
}

#[test]
fn every_block_runs_and_resets_from_a_script() {
    let source = r#"
fn declare(p) {
    p.input("x", "");
    for n in ["lagged", "ramped", "limited", "total"] { p.output(n, ""); }
    for n in ["high", "late", "long"] { p.output_bool(n); }
    p.block("lag1", lag()); p.block("ramp1", ramp()); p.block("rate1", rate_limit()); p.block("total1", totaliser());
    p.block("band1", hysteresis()); p.block("on1", on_delay()); p.block("off1", off_delay());
}
fn scan(io) {
    if io.first {
        io.lag1.reset(0); io.ramp1.reset(0.0); io.rate1.reset(10); io.total1.reset(100); io.band1.reset(true);
        io.on1.reset(); io.off1.reset(true);
    }
    io.lagged = io.lag1.run(io.x, #{ t: 1.0 });
    io.ramped = io.ramp1.run(io.x, #{ up: 2, down: 1 });
    io.limited = io.rate1.run(io.x, #{ up: 2, down: 1 });
    io.total = io.total1.run(3600.0);
    io.high = io.band1.run(io.x, #{ on: 8.0, off: 4.0 });
    io.late = io.on1.run(io.x > 1.0, #{ t: 1.0 });
    io.long = io.off1.run(io.x > 100.0, #{ t: 1.0 });
}
"#;
    let mut b = bench(source, &[]);
    let inputs = good(&b, &[("x", 5.0)]);
    let values = |b: &mut Bench, inputs: &[(String, Sample)]| -> Vec<f64> {
        let result = b.scan(SECOND, inputs);
        assert_eq!(result.error, None);
        result.outputs.iter().map(|(_, s)| s.usable_f64().unwrap()).collect()
    };
    let e = (-1.0_f64).exp();
    for (inputs, expected) in [
        (inputs.as_slice(), [5.0 * (1.0 - e), 2.0, 9.0, 101.0, 1.0, 0.0, 1.0]),
        (&[], [5.0 * (1.0 - e * e), 4.0, 8.0, 102.0, 1.0, 1.0, 0.0]),
    ] {
        let seen = values(&mut b, inputs);
        assert!(seen.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{seen:?} is not {expected:?}");
    }
}

#[test]
fn the_program_in_the_reference_compiles_and_runs() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rhai-api.md");
    let page = std::fs::read_to_string(page).unwrap();
    let source = page.split("```rust").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut b = bench(source, &[]);
    let inputs = good(&b, &[("do", 1.0), ("sp", 2.0)]);
    let result = b.scan(SECOND, &inputs);
    assert_eq!((result.outputs[0].1.usable_f64(), result.error), (Some(20.0), None));
    for kind in BlockKind::ALL.map(BlockKind::as_str).into_iter().chain(["rate_limit"]) {
        assert!(page.contains(&format!("`{kind}()`")), "the reference lacks {kind}");
    }
    for kind in BlockKind::ALL {
        let head = page.find(&format!("`{}()`", kind.as_str())).unwrap();
        let section = page[head..].split("\n### ").next().unwrap();
        for setting in kind.settings() {
            let named =
                [format!("`{setting}`"), format!(" {setting},"), format!(" {setting} }}"), format!(" {setting}:")];
            assert!(named.iter().any(|n| section.contains(n)), "{} lacks {setting}", kind.as_str());
        }
    }
}

#[test]
fn blocks_with_more_than_one_answer_speak_in_maps() {
    let source = r#"
fn declare(p) {
    p.input("o2", "mg/L"); p.input("flow", "m3/h"); p.optional("o2");
    p.output("o2_used", "mg/L"); p.output("dose", "any"); p.output("acid", "%"); p.output("base", "%");
    p.output("p_sp", "kPa"); p.output("mean", ""); p.output("projected", ""); p.output("undelayed", "");
    p.output_bool("run1"); p.output_bool("run2"); p.output_int("starts"); p.output_bool("fell_back");
    p.block("signal", validator()); p.block("flow_ratio", ratio()); p.block("split", split_range());
    p.block("trim", most_open_valve()); p.block("stats", window()); p.block("power", demand());
    p.block("station", sequencer()); p.block("hours", run_hours()); p.block("model", smith());
    p.block("kept", min_times()); p.block("moved", deadband()); p.block("shaped", lead_lag());
}
fn scan(io) {
    let o2 = io.signal.run(if io.usable("o2") { io.o2 } else { () },
        #{ min: 0, max: 12, age: io.age("o2"), max_age: 60, hold: 1, safe: 1.5 });
    io.o2_used = o2.value;
    io.fell_back = io.kept.run(o2.state != "good", #{ on: 5, off: 0 });
    if o2.state == "hold" { print(`held: ${o2.cause}`); }
    io.dose = io.moved.run(io.flow_ratio.run(io.flow, #{ ratio: 0.5, max: 100 }), #{ width: 0 , hold: true });
    let valves = io.split.run(75, #{ ranges: [[0, 50, 100, 0], [50, 100, 0, 100]] });
    io.base = valves[0];
    io.acid = valves[1];
    io.p_sp = io.trim.run([70, (), 90.0],
        #{ target: 80, band: 2, gain: 0.1, every: 60, step: 1, start: 55, min: 45, max: 60, track: io.track("p_sp") });
    io.mean = io.stats.run(io.flow, #{ t: 60 }).mean;
    io.projected = io.power.run(io.flow, #{ limit: 500 }).projected;
    io.undelayed = io.model.run(io.shaped.run(io.flow, #{ lead: 5, lag: 5 }), 7,
        #{ gain: 1, t: 30, flow: 60, volume: 5 });
    let machines = [
        #{ running: io.or("flow", 0) > 0, capacity: 80, hours: 20 },
        #{ running: false, capacity: 80, hours: 10 },
    ];
    let order = io.station.run(io.flow, machines, #{ up_after: 0, gap: 0 });
    io.run1 = order.run[0];
    io.run2 = order.run[1];
    io.starts = io.hours.run(order.run[1]).starts;
}
"#;
    let mut b = bench(source, &[]);
    let inputs = good(&b, &[("o2", 2.0), ("flow", 70.0)]);
    let mut scan = |inputs: &[(String, Sample)]| -> Vec<f64> {
        let result = b.scan(SECOND, inputs);
        assert_eq!(result.error, None);
        result.outputs.iter().map(|(_, s)| s.usable_f64().unwrap()).collect()
    };
    // o2_used, dose, acid, base, p_sp, mean, projected, undelayed, run1, run2, starts, fell_back
    assert_eq!(scan(&inputs), [2.0, 35.0, 50.0, 0.0, 55.0, 70.0, 70.0, 7.0, 1.0, 0.0, 0.0, 0.0]);
    let inputs_now = Now { mono: inputs[0].1.received, utc: inputs[0].1.source_time };
    let gone = Sample::bad(BadReason::Link, None, inputs_now);
    let seen = scan(&[("o2".to_owned(), gone), ("flow".to_owned(), Sample::good(78.0, inputs_now))]);
    assert_eq!(seen[..2], [2.0, 39.0]);
    assert_eq!(seen[8..], [1.0, 1.0, 1.0, 1.0], "78 is above 95 % of 80; the oxygen is held");
    assert_eq!(scan(&[])[0], 1.5, "held for one second, then safe");
    assert_eq!(b.printed(), ["held: missing"]);
}
