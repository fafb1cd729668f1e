//! A small plant for the engine's tests: tags by path, scripts by text, everything recorded.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first thing that is not as it was built")]

use parking_lot::Mutex;
use penstock_engine::{
    Condition, Engine, EngineConfig, ObjectDef, ObjectOutput, ObjectStart, ProgramDef, ProgramLimits, ScanTiming,
    Script, TagFacts, TaskCore, TaskDef,
};
use penstock_model::*;
use std::sync::Arc;
use std::time::Duration;

pub const PLC: DeviceId = DeviceId(0);

/// Everything that left the engine, and a switch that makes the device's queue full.
#[derive(Default)]
pub struct Recorder {
    pub commands: Mutex<Vec<Command>>,
    pub records: Mutex<Vec<Record>>,
    pub full: Mutex<bool>,
    /// Breaks at the next command, as a defect of the runtime would.
    pub breaks: Mutex<bool>,
}

impl CommandSink for Recorder {
    fn submit(&self, device: DeviceId, command: Command) -> Result<(), QueueFull> {
        assert_eq!(device, command.device);
        assert!(!std::mem::take(&mut *self.breaks.lock()), "the queue broke");
        if *self.full.lock() {
            return Err(QueueFull);
        }
        self.commands.lock().push(command);
        Ok(())
    }
}

impl RecordSink for Recorder {
    fn publish(&self, record: Record) {
        self.records.lock().push(record);
    }
}

/// Collects a site, then builds it.
pub struct Site {
    pub tags: Vec<TagDef>,
    pub tasks: Vec<TaskDef>,
    pub programs: Vec<ProgramDef>,
    pub alarms: Vec<AlarmDef>,
    pub objects: Vec<ObjectDef>,
    pub entries: Vec<(TagId, Value, Arc<str>)>,
}

impl Site {
    /// A site with these tasks (name, period in ms) and one device, `plc`.
    pub fn new(tasks: &[(&str, u64)]) -> Site {
        let tasks =
            (0_u8..).zip(tasks).map(|(id, (name, ms))| TaskDef::new(TaskId(id), name, Duration::from_millis(*ms)));
        Site {
            tags: Vec::new(),
            tasks: tasks.collect(),
            programs: Vec::new(),
            alarms: Vec::new(),
            objects: Vec::new(),
            entries: Vec::new(),
        }
    }

    fn tag(&mut self, path: &str, source: Source) -> &mut TagDef {
        let id = TagId(u32::try_from(self.tags.len()).unwrap());
        self.tags.push(TagDef::float(id, path, Unit::NONE, source));
        self.tags.last_mut().unwrap()
    }

    pub fn input(&mut self, path: &str) -> &mut TagDef {
        self.tag(path, Source::Device(PLC))
    }

    pub fn computed(&mut self, path: &str) -> &mut TagDef {
        self.tag(path, Source::Program("p".into()))
    }

    /// An output to the device that goes to `fallback` for every cause.
    pub fn output(&mut self, path: &str, fallback: FallbackAction) -> &mut OutputDef {
        let def = self.tag(path, Source::Program("p".into()));
        def.output.insert(Box::new(OutputDef {
            device: Some(PLC),
            limits: None,
            rate_per_s: None,
            min_on: Duration::ZERO,
            min_off: Duration::ZERO,
            fallback: Fallback::always(fallback),
            write: penstock_model::WritePolicy::default(),
        }))
    }

    pub fn entry(&mut self, path: &str, initial: f64, limits: (f64, f64)) -> &mut TagDef {
        let def = self.tag(path, Source::Operator);
        def.entry = Some(Box::new(EntryDef { initial: initial.into(), limits: Some(limits), role: Role::Operator }));
        def
    }

    pub fn id(&self, path: &str) -> TagId {
        self.tags.iter().find(|t| &*t.path == path).unwrap_or_else(|| panic!("no tag {path}")).id
    }

    /// Binds a script; `io` lists `port=tag` pairs, inputs and outputs alike.
    pub fn program(&mut self, name: &str, task: u8, source: &str, io: &str) -> &mut ProgramDef {
        let script = Script::compile(name, source).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for pair in io.split_whitespace() {
            let (port, path) = pair.split_once('=').unwrap();
            let list =
                if script.declaration().inputs.iter().any(|p| p.name == port) { &mut inputs } else { &mut outputs };
            list.push((port.to_owned(), self.id(path)));
        }
        let def = ProgramDef {
            name: name.into(),
            script,
            task: TaskId(task),
            inputs,
            outputs,
            params: Vec::new(),
            delays: Vec::new(),
            limits: ProgramLimits::default(),
        };
        self.programs.push(def);
        self.programs.last_mut().unwrap()
    }

    pub fn alarm(&mut self, path: &str, condition: AlarmCondition) {
        self.alarms.push(AlarmDef {
            id: AlarmId(u32::try_from(self.alarms.len()).unwrap()),
            name: path.into(),
            tag: self.id(path),
            condition,
            on_delay: Duration::ZERO,
            off_delay: Duration::ZERO,
            priority: AlarmPriority::High,
            title: Text::default(),
            cause: Text::default(),
            consequence: Text::default(),
            response: Text::default(),
        });
    }

    /// An object with these outputs (path, off value) that offers every mode and starts in automatic.
    pub fn object(&mut self, name: &str, outputs: &[(&str, Value)]) -> &mut ObjectDef {
        let mode_tag = {
            let def = self.tag(&format!("{name}/mode"), Source::System);
            def.value_type = ValueType::Int;
            def.id
        };
        let output = |(path, off): &(&str, Value)| ObjectOutput {
            tag: self.id(path),
            off: off.clone(),
            lock: off.clone(),
            feedback: None,
        };
        let offered = |mode| OfferedMode { mode, role: Role::Operator };
        let def = ObjectDef {
            name: name.into(),
            title: Text::same(name),
            mode_tag,
            outputs: outputs.iter().map(output).collect(),
            programs: Vec::new(),
            modes: [Mode::Off, Mode::Manual, Mode::Auto, Mode::Cascade, Mode::Remote].map(offered).to_vec(),
            initial: Mode::Auto,
            local: None,
            hold: HoldTimes::default(),
            interlocks: Vec::new(),
            permissives: Vec::new(),
            start: ObjectStart::default(),
        };
        self.objects.push(def);
        self.objects.last_mut().unwrap()
    }

    /// A condition on the tags declared so far.
    pub fn when(&self, text: &str) -> Condition {
        let facts = |path: &str| {
            let def = self.tags.iter().find(|t| &*t.path == path)?;
            Some(TagFacts { id: def.id, value_type: def.value_type, unit: def.unit, range: def.range })
        };
        Condition::parse(text, &facts).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    pub fn config(self) -> EngineConfig {
        EngineConfig {
            tags: Arc::new(TagTable::new(self.tags).unwrap()),
            tasks: self.tasks,
            programs: self.programs,
            alarms: self.alarms,
            objects: self.objects,
            devices: vec!["plc".into()],
            entries: self.entries,
        }
    }

    pub fn build(mut self) -> Plant {
        let tasks: Vec<Arc<str>> = self.tasks.iter().map(|t| t.name.clone()).collect();
        for tag in penstock_engine::system_tags(&tasks, &["plc".into()]) {
            let def = self.tag(&tag.path, Source::System);
            def.value_type = tag.value_type;
            def.log.enabled = false;
        }
        let out = Arc::new(Recorder::default());
        let (engine, tasks) = Engine::build(self.config(), out.clone(), out.clone(), at(0)).unwrap();
        Plant { engine, tasks, out, ms: 0 }
    }
}

pub fn at(ms: u64) -> Now {
    Now { mono: Instant(ms * 1_000_000), utc: Utc::from_millis(1_700_000_000_000 + i64::try_from(ms).unwrap()) }
}

/// A running site in virtual time.
pub struct Plant {
    pub engine: Engine,
    pub tasks: Vec<TaskCore>,
    pub out: Arc<Recorder>,
    pub ms: u64,
}

impl Plant {
    pub fn id(&self, path: &str) -> TagId {
        self.engine.tags().find(path).unwrap_or_else(|| panic!("no tag {path}"))
    }

    /// Delivers a good value received now.
    pub fn feed(&self, path: &str, value: impl Into<Value>) {
        self.deliver(path, Sample::good(value, at(self.ms)));
    }

    pub fn deliver(&self, path: &str, sample: Sample) {
        self.engine.sink().samples(&[TagSample { tag: self.id(path), sample }]);
    }

    pub fn bad(&self, path: &str) {
        self.deliver(path, Sample::bad(BadReason::Link, None, at(self.ms)));
    }

    /// Moves time by `ms` and scans one task.
    pub fn scan(&mut self, task: usize, ms: u64) {
        self.ms += ms;
        self.tasks[task].scan(at(self.ms), ScanTiming::default());
    }

    pub fn sample(&self, path: &str) -> Sample {
        self.engine.read(self.id(path))
    }

    pub fn value(&self, path: &str) -> f64 {
        let sample = self.sample(path);
        sample.value.as_ref().and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} has no value: {sample:?}"))
    }

    pub fn quality(&self, path: &str) -> String {
        self.sample(path).quality.to_string()
    }

    pub fn view(&self, path: &str) -> penstock_engine::OutputView {
        self.engine.output(self.id(path)).unwrap()
    }

    pub fn claim(&self, path: &str, wish: Wish, priority: Priority, lease_ms: Option<u64>) -> Result<(), ClaimError> {
        let (tag, origin, lease) = (self.id(path), Origin::User("li".into()), lease_ms.map(Duration::from_millis));
        self.engine.claim(Claim { tag, wish, origin, priority, lease })
    }

    pub fn by_hand(&self, path: &str, value: impl Into<Value>) {
        self.claim(path, Wish::Value(value.into()), Priority::Manual, None).unwrap();
    }

    pub fn release(&self, path: &str) {
        self.claim(path, Wish::Release, Priority::Manual, None).unwrap();
    }

    pub fn link(&self, state: LinkState) {
        self.engine.sink().link(LinkRecord {
            device: PLC,
            state,
            reason: "".into(),
            at: at(self.ms).utc,
            last_answer: Some(at(self.ms).mono),
            answered: 1,
            failed: 2,
            refused: 0,
            reconnects: 0,
            round_trip: Duration::from_millis(3),
            retries: 1,
            demoted: false,
            quarantined: 0,
            note: "".into(),
        });
    }

    /// Values commanded since the last call.
    pub fn commanded(&self) -> Vec<Option<Value>> {
        self.out.commands.lock().drain(..).map(|c| c.value).collect()
    }

    pub fn order(&self, object: usize, kind: penstock_engine::OrderKind) -> Result<(), OrderError> {
        self.engine.order(penstock_engine::ObjectOrder { object, kind, by: "wang".into() })
    }

    pub fn mode(&self, object: usize) -> Mode {
        self.engine.object(object).unwrap().mode
    }

    /// What happened to objects since the last call.
    pub fn object_events(&self) -> Vec<ObjectEventKind> {
        let mut records = self.out.records.lock();
        let events = records.iter().filter_map(|r| match r {
            Record::Object(e) => Some(e.what.clone()),
            _ => None,
        });
        let events = events.collect();
        records.retain(|r| !matches!(r, Record::Object(_)));
        events
    }

    pub fn faults(&self) -> Vec<(String, bool)> {
        let records = self.out.records.lock();
        let faults = records.iter().filter_map(|r| match r {
            Record::Fault(f) => Some((f.part.to_string(), f.active)),
            _ => None,
        });
        faults.collect()
    }
}
