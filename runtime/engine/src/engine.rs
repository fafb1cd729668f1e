//! The handle of a running engine, and what its tasks share.

use crate::alarm::AlarmCell;
use crate::change::{TaskChange, program_views};
use crate::config::{BuildError, EngineConfig, TaskDef};
use crate::explain::{QUESTIONS_WAITING_MAX, Question};
use crate::life::WriteBook;
use crate::object::{
    ObjectCell, ObjectDef, ObjectOrder, ObjectView, OrderKind, check_claim as check_hand, check_order,
};
use crate::output::Output;
use crate::plan::plan;
use crate::record::JournalSlot;
use crate::state::TaskState;
use crate::stats::Histogram;
use crate::table::Table;
use crate::task::TaskCore;
use crate::view::{OutputView, ProgramView, TaskView, WritesView};
use crossbeam::queue::ArrayQueue;
use parking_lot::{Mutex, RwLock};
use penstock_model::{
    AlarmDef, AlarmId, AlarmView, Claim, ClaimError, CommandSink, DeviceId, Instant, LinkRecord, LinkState, Liveness,
    Now, OrderError, Outcome, Record, RecordSink, Sample, SampleSink, TagDef, TagId, TagSample, TagTable, TaskId,
    Value, ValueType, Wish, limits,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// What others leave for a task until its next scan, and what it shows of itself.
pub(crate) struct TaskShared {
    pub def: TaskDef,
    pub claims: ArrayQueue<Claim>,
    pub outcomes: ArrayQueue<Outcome>,
    pub orders: ArrayQueue<ObjectOrder>,
    pub reset: AtomicBool,
    pub snapshot: Snapshot,
    pub questions: ArrayQueue<Arc<Question>>,
    pub change: ChangeSlot,
    pub journal: JournalSlot,
    pub stats: TaskStats,
}

/// Where a task leaves its state when it is asked for it.
pub(crate) struct Snapshot {
    pub wanted: AtomicBool,
    pub ready: ArrayQueue<Box<TaskState>>,
}

/// Where a task finds a prepared change, and leaves what it had before.
pub(crate) struct ChangeSlot {
    pub next: ArrayQueue<Box<TaskChange>>,
    pub old: ArrayQueue<Box<TaskChange>>,
    /// Changes from before they are put into `next` until their old objects are in `old`: two where one is gone back from
    /// while the task is taking it.
    pub under_way: AtomicUsize,
}

/// The configuration that runs, and how the tasks were laid out for it. No scan thread looks at it.
pub(crate) struct Running {
    pub config: EngineConfig,
    /// Per task: its programs in the order they run, by their place in the configuration.
    pub order: Vec<Vec<usize>>,
    /// Per tag: its task.
    pub owner: Vec<usize>,
    /// By place in the configuration.
    pub programs: Vec<Arc<Mutex<ProgramView>>>,
    /// Per task: the tags of its places.
    pub layouts: Vec<Vec<TagId>>,
    /// Counted from the start, which is 0.
    pub generation: u32,
}

/// What a task counts of itself, since the start. Nothing here can make a scan wait for a reader, but for the fault's
/// text, which a task takes the lock of only when it changes.
#[derive(Default)]
pub(crate) struct TaskStats {
    pub scans: AtomicU64,
    pub missed: AtomicU64,
    pub jitter: Histogram,
    pub run_time: Histogram,
    pub latency: Histogram,
    pub fault: Mutex<Option<Arc<str>>>,
    /// True while `fault` says one.
    pub faulted: AtomicBool,
    /// When the last scan began, ns of monotonic time; 0 before the first. Also a scan that broke counts.
    pub last_scan: AtomicU64,
}

/// A device's link as last reported.
pub(crate) struct LinkShared {
    pub record: Mutex<LinkRecord>,
    pub down: AtomicBool,
}

/// A controlled object, and how its task left it.
pub(crate) struct ObjectShared {
    pub def: ObjectDef,
    pub task: usize,
    pub view: Mutex<ObjectView>,
}

/// Everything the tasks and the handles share. Every lock in here is held for a copy, never across a scan or a script.
pub(crate) struct Shared {
    pub table: Table,
    pub owner: Vec<usize>,
    pub tasks: Vec<TaskShared>,
    pub links: Vec<LinkShared>,
    pub running: RwLock<Arc<Running>>,
    pub cells: Vec<Mutex<AlarmCell>>,
    pub outputs: HashMap<TagId, Mutex<OutputView>>,
    /// By output that goes to a device.
    pub writes: HashMap<TagId, Mutex<WriteBook>>,
    /// The tasks that command each device.
    pub commanders: Vec<Vec<usize>>,
    pub objects: Vec<ObjectShared>,
    pub object_of: HashMap<TagId, usize>,
    pub commands: Arc<dyn CommandSink>,
    pub records: Arc<dyn RecordSink>,
    pub command_ids: AtomicU64,
}

/// A running engine. Cheap to clone; every clone is the same engine. No call waits for a scan.
#[derive(Clone)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

impl Engine {
    /// An engine of this configuration and its tasks, to be scanned by the caller at their periods. Commands and
    /// records go to the given sinks; `now` is the time of the values that stand before the first scan.
    ///
    /// # Errors
    /// When the configuration contradicts itself; see [`BuildError`].
    pub fn build(
        config: EngineConfig,
        commands: Arc<dyn CommandSink>,
        records: Arc<dyn RecordSink>,
        now: Now,
    ) -> Result<(Engine, Vec<TaskCore>), BuildError> {
        let plan = plan(&config)?;
        let table = Table::new(config.tags.clone(), &plan.own, now);
        let outputs = config.tags.iter().filter(|t| t.output.is_some() || t.entry.is_some());
        let outputs = outputs.map(|t| (t.id, Mutex::new(Output::new(t, now).view()))).collect();
        let written: Vec<(TagId, DeviceId)> =
            config.tags.iter().filter_map(|t| Some((t.id, t.output.as_ref()?.device?))).collect();
        let views = program_views(&config);
        let running = Running {
            order: plan.order.clone(),
            owner: plan.owner.clone(),
            programs: views.clone(),
            layouts: Vec::new(),
            generation: 0,
            config: config.clone(),
        };
        let shared = Arc::new(Shared {
            table,
            owner: plan.owner.clone(),
            tasks: config.tasks.iter().cloned().map(TaskShared::new).collect(),
            links: (0..config.devices.len()).map(|i| LinkShared::new(i, now)).collect(),
            cells: config.alarms.iter().map(|_| Mutex::new(AlarmCell::default())).collect(),
            running: RwLock::new(Arc::new(running)),
            outputs,
            writes: written.iter().map(|(tag, _)| (*tag, Mutex::default())).collect(),
            commanders: commanders(&written, &plan.owner, &config),
            object_of: object_of(&config),
            objects: config
                .objects
                .iter()
                .enumerate()
                .map(|(i, def)| ObjectShared::new(i, def, &plan.owner, now))
                .collect(),
            commands,
            records,
            command_ids: AtomicU64::new(0),
        });
        let task = |index| TaskCore::new(&shared, &config, &plan, &views, index, now);
        let tasks: Vec<TaskCore> = (0..config.tasks.len()).map(task).collect();
        if let Some(running) = Arc::get_mut(&mut shared.running.write()) {
            running.layouts = tasks.iter().map(TaskCore::layout).collect();
        }
        Ok((Engine { shared }, tasks))
    }

    /// All tags, as they are declared now.
    #[must_use]
    pub fn tags(&self) -> Arc<TagTable> {
        self.shared.tags_now()
    }

    /// Where drivers deliver, and whoever else feeds tags whose source is a device or the system.
    #[must_use]
    pub fn sink(&self) -> Arc<dyn SampleSink> {
        self.shared.clone()
    }

    /// The tag as the last scan that latched or wrote it left it. Bad(configuration) for an id of another table.
    #[must_use]
    pub fn read(&self, tag: TagId) -> Sample {
        self.shared.table.shown(tag)
    }

    /// Every tag that changed since `version` (0: every tag), and the version to ask with next time. A value that is
    /// confirmed without changing comes once a second. Nothing is missed; a change during the call may come twice.
    #[must_use]
    pub fn changed_since(&self, version: u64) -> (u64, Vec<TagSample>) {
        self.shared.table.changed_since(version)
    }

    /// How an output or entry stands; `None` for a tag that is neither.
    #[must_use]
    pub fn output(&self, tag: TagId) -> Option<OutputView> {
        self.shared.outputs.get(&tag).map(|view| view.lock().clone())
    }

    /// The last writes of an output that goes to a device; `None` for every other tag.
    #[must_use]
    pub fn writes(&self, tag: TagId) -> Option<WritesView> {
        self.shared.writes.get(&tag).map(|book| book.lock().view())
    }

    /// How long each task has gone without a scan at `now`, in the order of the tasks; `None` before its first.
    #[must_use]
    pub fn silence(&self, now: Instant) -> Vec<Option<Duration>> {
        let last = self.shared.tasks.iter().map(|t| t.stats.last_scan.load(Ordering::Acquire));
        last.map(|last| (last > 0).then(|| now.since(Instant(last)))).collect()
    }

    /// Hands in a claim. It is weighed at the next scan of the tag's task; entries take values of persons
    /// ([`penstock_model::Priority::Manual`]) and keep them.
    ///
    /// # Errors
    /// When the tag cannot be claimed, the value does not fit, or too many claims wait. Nothing has changed then.
    pub fn claim(&self, claim: Claim) -> Result<(), ClaimError> {
        let claim = self.checked(claim)?;
        let path = self.tags().get(claim.tag).path.clone();
        let owner = &self.shared.tasks[self.shared.owner[claim.tag.index()]];
        owner.claims.push(claim).map_err(|_| ClaimError::Busy(path))
    }

    /// Says whether a claim would be taken as things stand, and changes nothing.
    ///
    /// # Errors
    /// Why it would not.
    pub fn check_claim(&self, claim: &Claim) -> Result<(), ClaimError> {
        self.checked(claim.clone()).map(drop)
    }

    fn checked(&self, claim: Claim) -> Result<Claim, ClaimError> {
        let tags = self.tags();
        let path = tags.iter().nth(claim.tag.index()).map(|def| def.path.clone());
        let path = path.ok_or_else(|| ClaimError::ReadOnly(claim.tag.to_string().into()))?;
        let claim = check_claim(tags.get(claim.tag), claim)?;
        if let Some(object) = self.shared.object_of.get(&claim.tag).and_then(|o| self.shared.objects.get(*o)) {
            let granted = self.output(claim.tag).and_then(|view| view.granted);
            check_hand(&object.def, &object.view.lock(), &claim, granted.as_ref())
                .map_err(|refused| ClaimError::Object { path: path.clone(), refused })?;
        }
        Ok(claim)
    }

    /// The declared controlled objects; an object's number is its place here.
    pub fn object_defs(&self) -> impl Iterator<Item = &ObjectDef> {
        self.shared.objects.iter().map(|o| &o.def)
    }

    /// The object that an output belongs to.
    #[must_use]
    pub fn object_of(&self, tag: TagId) -> Option<usize> {
        self.shared.object_of.get(&tag).copied()
    }

    /// How every controlled object stands, in the order of [`Engine::object_defs`].
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectView> {
        self.shared.objects.iter().map(|o| o.view.lock().clone()).collect()
    }

    /// How one controlled object stands.
    #[must_use]
    pub fn object(&self, object: usize) -> Option<ObjectView> {
        self.shared.objects.get(object).map(|o| o.view.lock().clone())
    }

    /// Says whether an order would be taken as the object stands, and changes nothing.
    ///
    /// # Errors
    /// Why it would not.
    pub fn check_order(&self, object: usize, kind: &OrderKind) -> Result<(), OrderError> {
        let shared = self.shared.objects.get(object);
        let shared = shared.ok_or_else(|| OrderError::Unknown(object.to_string().into()))?;
        check_order(&shared.def, &shared.view.lock(), kind)
    }

    /// Hands in an order to a controlled object. It is carried out at the next scan of the object's task.
    ///
    /// # Errors
    /// When the object does not allow it as it stands, or too many orders wait. Nothing has changed then.
    pub fn order(&self, order: ObjectOrder) -> Result<(), OrderError> {
        self.check_order(order.object, &order.kind)?;
        let object = &self.shared.objects[order.object];
        let busy = || OrderError::Busy(object.def.name.clone());
        self.shared.tasks[object.task].orders.push(order).map_err(|_| busy())
    }

    /// The declared alarms, by id, as they are declared now.
    #[must_use]
    pub fn alarm_defs(&self) -> Vec<AlarmDef> {
        self.shared.running.read().config.alarms.clone()
    }

    /// Every alarm as it stands, the normal ones too, in the order of their ids.
    #[must_use]
    pub fn alarms(&self) -> Vec<AlarmView> {
        let running = self.shared.running.read().clone();
        running.config.alarms.iter().zip(&self.shared.cells).map(|(def, cell)| cell.lock().view(def)).collect()
    }

    /// Acknowledges an alarm in the name of `by`. False: there is nothing to acknowledge.
    #[must_use]
    pub fn acknowledge(&self, alarm: AlarmId, by: &str, now: Now) -> bool {
        let index = alarm.0 as usize;
        let running = self.shared.running.read().clone();
        let (Some(def), Some(cell)) = (running.config.alarms.get(index), self.shared.cells.get(index)) else {
            return false;
        };
        // Published under the cell's lock, so that events of one alarm come in their order.
        let mut cell = cell.lock();
        let event = cell.acknowledge(def, by, now);
        let done = event.is_some();
        if let Some(event) = event {
            self.shared.records.publish(Record::Alarm(event));
        }
        done
    }

    /// Takes over how an alarm stood before a restart. To be called before the first scan.
    pub fn restore_alarm(&self, view: AlarmView) {
        if let Some(cell) = self.shared.cells.get(view.id.0 as usize) {
            cell.lock().restore(view);
        }
    }

    /// Health of every task.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskView> {
        self.shared.tasks.iter().map(TaskShared::view).collect()
    }

    /// Every link as last reported by its driver, by device.
    #[must_use]
    pub fn links(&self) -> Vec<LinkRecord> {
        self.shared.links.iter().map(|link| link.record.lock().clone()).collect()
    }

    /// Health of every program, in the order of the configuration.
    #[must_use]
    pub fn programs(&self) -> Vec<ProgramView> {
        let running = self.shared.running.read().clone();
        running.programs.iter().map(|p| p.lock().clone()).collect()
    }

    /// Asks every task for its state. Each hands it over at the end of one of its next scans.
    pub fn ask_for_state(&self) {
        for task in &self.shared.tasks {
            task.snapshot.wanted.store(true, Ordering::Relaxed);
        }
    }

    /// The state that a task has handed over since it was last taken; `None` while there is none. A task that was
    /// asked and whose state nobody takes saves no other.
    #[must_use]
    pub fn take_state(&self, task: TaskId) -> Option<Box<TaskState>> {
        self.shared.tasks.get(usize::from(task.0))?.snapshot.ready.pop()
    }

    /// Asks a task to end its fault at its next scan: its programs start with fresh blocks and states, and find the
    /// values last granted in `io.granted` and `io.track`. A task that runs is restarted the same way.
    pub fn reset_task(&self, task: TaskId) {
        if let Some(task) = self.shared.tasks.get(usize::from(task.0)) {
            task.reset.store(true, Ordering::Release);
        }
    }
}

/// The tasks that command each device, by device.
fn commanders(written: &[(TagId, DeviceId)], owner: &[usize], config: &EngineConfig) -> Vec<Vec<usize>> {
    let mut tasks = vec![Vec::new(); config.devices.len()];
    for (tag, device) in written {
        if let Some(list) = tasks.get_mut(usize::from(device.0))
            && !list.contains(&owner[tag.index()])
        {
            list.push(owner[tag.index()]);
        }
    }
    tasks
}

/// Checks a claim against the tag and turns its value into the tag's type.
fn check_claim(def: &TagDef, mut claim: Claim) -> Result<Claim, ClaimError> {
    let path = || def.path.clone();
    if def.output.is_none() && def.entry.is_none() {
        return Err(ClaimError::ReadOnly(path()));
    }
    let bounds = def.entry.as_ref().and_then(|e| e.limits).or(def.output.as_ref().and_then(|o| o.limits));
    match &mut claim.wish {
        Wish::Release => {}
        Wish::Value(value) => {
            if !value.is_finite() {
                return Err(ClaimError::NotFinite(path()));
            }
            let got = value.value_type();
            *value = value.convert(def.value_type).ok_or_else(|| ClaimError::WrongType {
                path: path(),
                wanted: def.value_type,
                got,
            })?;
            let (size, bounds) = match value {
                #[expect(clippy::cast_precision_loss, reason = "a length")]
                Value::Text(text) => (Some(text.len() as f64), Some((0.0, limits::TEXT_BYTES_MAX as f64))),
                Value::Bool(_) => (None, None),
                number => (number.as_f64(), bounds),
            };
            if let (Some(x), Some((low, high))) = (size, bounds)
                && !(low..=high).contains(&x)
            {
                return Err(ClaimError::OutOfRange { path: path(), value: x, low, high });
            }
        }
        Wish::Band(low, high) => {
            if !low.is_finite() || !high.is_finite() {
                return Err(ClaimError::NotFinite(path()));
            }
            if !matches!(def.value_type, ValueType::Int | ValueType::Float) {
                let (wanted, got) = (def.value_type, ValueType::Float);
                return Err(ClaimError::WrongType { path: path(), wanted, got });
            }
            if low > high {
                return Err(ClaimError::OutOfRange { path: path(), value: *low, low: *low, high: *high });
            }
        }
    }
    Ok(claim)
}

fn object_of(config: &EngineConfig) -> HashMap<TagId, usize> {
    let outputs = config.objects.iter().enumerate().flat_map(|(i, o)| o.outputs.iter().map(move |out| (out.tag, i)));
    outputs.collect()
}

impl ObjectShared {
    fn new(index: usize, def: &ObjectDef, owner: &[usize], now: Now) -> ObjectShared {
        let task = def.outputs.first().map_or(0, |o| owner[o.tag.index()]);
        // Places do not matter for a view.
        let view = ObjectCell::new(index, def, vec![0; def.outputs.len()], |_| 0, now).view();
        ObjectShared { def: def.clone(), task, view: Mutex::new(view) }
    }
}

impl TaskShared {
    fn new(def: TaskDef) -> TaskShared {
        TaskShared {
            def,
            claims: ArrayQueue::new(limits::CLAIMS_WAITING_MAX),
            outcomes: ArrayQueue::new(limits::COMMANDS_WAITING_MAX),
            orders: ArrayQueue::new(limits::ORDERS_WAITING_MAX),
            reset: AtomicBool::new(false),
            questions: ArrayQueue::new(QUESTIONS_WAITING_MAX),
            change: ChangeSlot { next: ArrayQueue::new(1), old: ArrayQueue::new(2), under_way: AtomicUsize::new(0) },
            snapshot: Snapshot { wanted: AtomicBool::new(false), ready: ArrayQueue::new(1) },
            journal: JournalSlot::default(),
            stats: TaskStats::default(),
        }
    }

    fn view(&self) -> TaskView {
        let stats = &self.stats;
        TaskView {
            id: self.def.id,
            name: self.def.name.clone(),
            period: self.def.period,
            scans: stats.scans.load(Ordering::Relaxed),
            missed: stats.missed.load(Ordering::Relaxed),
            jitter: stats.jitter.percentiles(),
            run_time: stats.run_time.percentiles(),
            latency: stats.latency.percentiles(),
            fault: stats.fault.lock().clone(),
        }
    }
}

impl LinkShared {
    fn new(index: usize, now: Now) -> LinkShared {
        let record = LinkRecord {
            device: DeviceId(u16::try_from(index).unwrap_or(u16::MAX)),
            state: LinkState::Connecting,
            reason: "".into(),
            at: now.utc,
            last_answer: None,
            answered: 0,
            failed: 0,
            refused: 0,
            reconnects: 0,
            round_trip: Duration::ZERO,
            retries: 0,
            demoted: false,
            quarantined: 0,
            note: "".into(),
        };
        LinkShared { record: Mutex::new(record), down: AtomicBool::new(false) }
    }
}

impl SampleSink for Shared {
    fn samples(&self, batch: &[TagSample]) {
        for TagSample { tag, sample } in batch {
            self.table.deliver(*tag, sample);
        }
    }

    fn outcome(&self, outcome: Outcome) {
        let Some(owner) = self.owner.get(outcome.tag.index()) else { return };
        // When full the oldest news gives way: only the last of a command matters to its output.
        self.tasks[*owner].outcomes.force_push(outcome);
    }

    fn link(&self, link: LinkRecord) {
        let Some(shared) = self.links.get(usize::from(link.device.0)) else { return };
        let mut record = shared.record.lock();
        shared.down.store(link.state == LinkState::Down, Ordering::Release);
        record.clone_from(&link);
        // Under the lock, so that states of one link come in their order.
        self.records.publish(Record::Link(link));
    }

    fn liveness(&self, device: DeviceId, now: Instant) -> Liveness {
        let commanders = self.commanders.get(usize::from(device.0)).filter(|list| !list.is_empty());
        // A device that nobody commands still wants to know whether the runtime lives: then every task counts.
        let all: Vec<usize>;
        let tasks = match commanders {
            Some(list) => list,
            None => {
                all = (0..self.tasks.len()).collect();
                &all
            }
        };
        let mut alive = Liveness { scans: true, healthy: true };
        for task in tasks.iter().map(|i| &self.tasks[*i]) {
            let last = task.stats.last_scan.load(Ordering::Acquire);
            let silence = (task.def.period * limits::HEARTBEAT_PERIODS_MAX).max(limits::HEARTBEAT_SILENCE_MIN);
            alive.scans &= last > 0 && now.since(Instant(last)) <= silence;
            alive.healthy &= !task.stats.faulted.load(Ordering::Acquire);
        }
        alive
    }
}
