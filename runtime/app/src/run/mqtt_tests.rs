use super::*;
use penstock_engine::{EngineConfig, ScanTiming, TaskCore, TaskDef};
use penstock_model::{
    Command, CommandSink, DeviceId, EntryDef, Fallback, FallbackAction, Instant, ManualClock, Now, OutputDef,
    QueueFull, Record, RecordSink, Role, Source, TagId, TaskId, Unit, Utc, WritePolicy,
};
use std::time::Duration;

struct Nothing;

impl CommandSink for Nothing {
    fn submit(&self, _: DeviceId, _: Command) -> Result<(), QueueFull> {
        Ok(())
    }
}

impl RecordSink for Nothing {
    fn publish(&self, _: Record) {}
}

/// A set-point, a valve, a measurement, and the tags in which hosts are answered.
fn engine() -> (Engine, Vec<TaskCore>) {
    let mut sp = TagDef::float(TagId(0), "aer/do_sp", Unit::parse("mg/L").unwrap(), Source::Operator);
    sp.entry = Some(Box::new(EntryDef { initial: Value::Float(1.0), limits: Some((0.5, 3.0)), role: Role::Operator }));
    let mut valve = TagDef::float(TagId(1), "aer/valve", Unit::parse("%").unwrap(), Source::Program("p".into()));
    valve.output = Some(Box::new(OutputDef {
        device: None,
        limits: Some((0.0, 100.0)),
        rate_per_s: None,
        min_on: Duration::ZERO,
        min_off: Duration::ZERO,
        fallback: Fallback::always(FallbackAction::Hold),
        write: WritePolicy::default(),
    }));
    let mut defs = vec![sp, valve, TagDef::float(TagId(2), "aer/do", Unit::NONE, Source::System)];
    for (path, _, _, _, value_type) in COMMAND_TAGS {
        let id = TagId(u32::try_from(defs.len()).unwrap());
        defs.push(TagDef { value_type: *value_type, ..TagDef::float(id, path, Unit::NONE, Source::System) });
    }
    let config = EngineConfig {
        tags: Arc::new(TagTable::new(defs).unwrap()),
        tasks: vec![TaskDef::new(TaskId(0), "t", Duration::from_secs(1))],
        programs: Vec::new(),
        alarms: Vec::new(),
        devices: Vec::new(),
        objects: Vec::new(),
        entries: Vec::new(),
    };
    Engine::build(config, Arc::new(Nothing), Arc::new(Nothing), Now::default()).unwrap()
}

struct Bench {
    engine: Engine,
    tasks: Vec<TaskCore>,
    desk: Desk,
    _dir: tempfile::TempDir,
    s: u64,
}

impl Bench {
    fn new() -> Bench {
        let (engine, tasks) = engine();
        let dir = tempfile::tempdir().unwrap();
        let actions = Arc::new(ActionLog::open(dir.path()).unwrap().0);
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(Utc::from_millis(1_700_000_000_000)));
        let counters = (AtomicI64::new(0), AtomicI64::new(0));
        let answers = Arc::new(Answers { engine: engine.clone(), clock, done: counters.0, refused: counters.1 });
        let user = RemoteUser { name: "hq".into(), role: Role::Operator, lease: Duration::from_secs(60) };
        let desk = Desk { user, station: "mqtt plant/jinan".into(), actions, answers };
        Bench { engine, tasks, desk, _dir: dir, s: 0 }
    }

    fn order(&self, tag: u32, value: Option<Value>) -> Result<String, String> {
        let path = self.engine.tags().get(TagId(tag)).path.clone();
        self.desk.carry_out(&Order { tag: TagId(tag), path, value })
    }

    fn scan(&mut self, seconds: u64) {
        self.s += seconds;
        let now = Now { mono: Instant(self.s * 1_000_000_000), utc: Utc(0) };
        self.tasks[0].scan(now, ScanTiming::default());
    }

    fn granted(&self, tag: u32) -> Option<f64> {
        self.engine.output(TagId(tag)).unwrap().granted.and_then(|v| v.as_f64())
    }
}

#[test]
fn a_set_point_of_a_host_is_entered_and_recorded_in_its_name() {
    let mut bench = Bench::new();
    bench.scan(1);
    assert_eq!(bench.order(0, Some(Value::Float(2.5))), Ok("aer/do_sp = 2.5 mg/L".to_owned()));
    bench.scan(1);
    assert_eq!(bench.granted(0), Some(2.5));
    let row = &bench.desk.actions.latest(1)[0].action;
    assert_eq!((row.who.as_str(), row.role, row.station.as_str()), ("remote hq", Role::Operator, "mqtt plant/jinan"));
    let (tag, unit) = ("aer/do_sp".to_owned(), "mg/L".to_owned());
    let what = ActionKind::SetPoint { tag, old: Some(Value::Float(1.0)), new: Value::Float(2.5), unit };
    assert_eq!(row.what, what);
    assert_eq!(bench.desk.actions.last_entries()[0].1, Value::Float(2.5), "it holds over a restart");
}

#[test]
fn an_output_is_held_for_the_lease_below_a_persons_hand() {
    let mut bench = Bench::new();
    bench.scan(1);
    bench.order(1, Some(Value::Int(40))).unwrap();
    bench.scan(1);
    let view = bench.engine.output(TagId(1)).unwrap();
    assert_eq!(view.holder, Some((Origin::Remote("hq".into()), Priority::Grid)));
    assert!(!view.manual, "no person holds it");
    let text = "remote write: aer/valve = 40 % for 60 s (before: nothing)".to_owned();
    assert_eq!(bench.desk.actions.latest(1)[0].action.what, ActionKind::Custom { text });
    assert!(bench.desk.actions.holds().is_empty(), "a restart does not take it up");

    let (origin, wish) = (Origin::User("li".into()), Wish::Value(Value::Float(70.0)));
    bench.engine.claim(Claim { tag: TagId(1), wish, origin, priority: Priority::Manual, lease: None }).unwrap();
    bench.order(1, Some(Value::Float(20.0))).unwrap();
    bench.scan(1);
    assert_eq!(bench.granted(1), Some(70.0), "whoever stands there has the last word");
    let origin = Origin::User("li".into());
    bench
        .engine
        .claim(Claim { tag: TagId(1), wish: Wish::Release, origin, priority: Priority::Manual, lease: None })
        .unwrap();
    bench.scan(1);
    assert_eq!(bench.granted(1), Some(20.0));
    bench.scan(61);
    let holder = bench.engine.output(TagId(1)).unwrap().holder;
    assert_ne!(holder.map(|(o, _)| o), Some(Origin::Remote("hq".into())), "the lease is over");
    bench.order(1, Some(Value::Float(30.0))).unwrap();
    bench.scan(1);
    assert_eq!(bench.order(1, None), Ok("aer/valve released".to_owned()));
    bench.scan(1);
    let holder = bench.engine.output(TagId(1)).unwrap().holder;
    assert_ne!(holder.map(|(o, _)| o), Some(Origin::Remote("hq".into())));
}

#[test]
fn what_a_person_could_not_do_a_host_cannot_and_nothing_is_recorded() {
    let mut bench = Bench::new();
    bench.scan(1);
    for (tag, value, why) in [
        (0, Some(Value::Float(9.0)), "9 is outside 0.5..3"),
        (0, Some(Value::Float(f64::NAN)), "finite"),
        (0, Some(Value::from("x")), "takes a float, not a text"),
        (0, None, "cannot be released"),
        (1, Some(Value::Float(101.0)), "101 is outside 0..100"),
        (2, Some(Value::Float(1.0)), "read only"),
    ] {
        let refused = bench.order(tag, value.clone()).unwrap_err();
        assert!(refused.contains(why), "{value:?}: {refused}");
    }
    assert!(bench.desk.actions.latest(10).is_empty());
    let mut engineer = Bench::new();
    engineer.desk.user.role = Role::Viewer;
    assert!(engineer.order(0, Some(Value::Float(2.0))).unwrap_err().contains("wants the role operator"));
}

#[test]
fn every_write_is_answered_in_a_tag() {
    let mut bench = Bench::new();
    let answer = |bench: &mut Bench| {
        bench.scan(1);
        let tag = bench.engine.tags().find("sys/mqtt/answer").unwrap();
        bench.engine.read(tag).value.unwrap().to_string()
    };
    bench.desk.answers.done("aer/do_sp = 2 mg/L");
    assert_eq!(answer(&mut bench), "done 1: aer/do_sp = 2 mg/L");
    bench.desk.answers.refuse(&Refusal { metric: "溶".repeat(200), why: "no".into() });
    let text = answer(&mut bench);
    assert!(text.starts_with("refused 1: 溶") && text.len() <= 256, "{text}");
}
