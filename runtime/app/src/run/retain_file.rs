//! `retained.json` of the state folder: what programs and outputs remembered, for the next start.
//!
//! The first line names the format, its version and the SHA-256 of all that follows; the rest is one JSON object. The
//! file is replaced whole (written beside, synced, renamed), so that a power cut leaves the old one or the new one. The
//! engine's types do not serialise; the layout is here, and `docs/retained-state.md` describes it.

use penstock_engine::{BlockKind, BlockMemory, BlockState, Field, OutputState, ProgramState, SavedProgram, TaskState};
use penstock_model::{TagTable, Utc, Value};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// First words of the file.
const FORMAT: &str = "penstock-retained 1";
/// Largest file read: a site of a thousand programs with delay lines takes a tenth of it.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What one task had stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Retained {
    /// Name of the task.
    pub task: String,
    /// Its state.
    pub state: TaskState,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is longer than any site needs.
    #[error("it is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Its first line is not ours, or of another version.
    #[error("it is no file of the format `{FORMAT}`")]
    Format,
    /// Its bytes are not those that were written.
    #[error("its checksum does not hold: it is damaged")]
    Checksum,
    /// It cannot be understood, though its bytes are those that were written.
    #[error("it cannot be understood: {0}")]
    Content(#[from] serde_json::Error),
    /// It was written by another site.
    #[error("it belongs to the site `{0}`")]
    Foreign(String),
}

/// Where the file lies.
#[must_use]
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("retained.json")
}

/// Reads the file; `None` where there is none.
///
/// # Errors
/// Why it is not to be used. Nothing of such a file is.
pub fn read(state_dir: &Path, site: &str, tags: &TagTable) -> Result<Option<Vec<Retained>>, Unusable> {
    let path = path(state_dir);
    match std::fs::metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
        Ok(meta) if meta.len() > FILE_BYTES_MAX => return Err(Unusable::TooLarge),
        Ok(_) => {}
    }
    let bytes = std::fs::read(&path)?;
    let end = bytes.iter().position(|b| *b == b'\n').ok_or(Unusable::Format)?;
    let (head, body) = (&bytes[..end], &bytes[end + 1..]);
    let head = std::str::from_utf8(head).map_err(|_| Unusable::Format)?;
    let sum = head.strip_prefix(FORMAT).and_then(|rest| rest.strip_prefix(' ')).ok_or(Unusable::Format)?;
    if sum != checksum(body) {
        return Err(Unusable::Checksum);
    }
    let stored: StoredFile = serde_json::from_slice(body)?;
    if stored.site != site {
        return Err(Unusable::Foreign(stored.site));
    }
    Ok(Some(stored.tasks.into_iter().map(|task| task.into_retained(tags)).collect()))
}

/// Replaces the file. On return it is on the disk.
///
/// # Errors
/// Where the disk does not take it; the file of before stands then.
pub fn write(state_dir: &Path, site: &str, tags: &TagTable, tasks: &[Retained]) -> std::io::Result<()> {
    let tasks = tasks.iter().map(|task| StoredTask::of(task, tags)).collect();
    let body = serde_json::to_vec(&StoredFile { site: site.to_owned(), tasks })?;
    let path = path(state_dir);
    let beside = path.with_extension("json.new");
    let mut file = std::fs::File::create(&beside)?;
    writeln!(file, "{FORMAT} {}", checksum(&body))?;
    file.write_all(&body)?;
    file.sync_all()?;
    std::fs::rename(&beside, &path)?;
    std::fs::File::open(state_dir)?.sync_all()
}

/// Puts the file aside under a name that says when, so that it can be looked at; the name.
///
/// # Errors
/// Where the folder does not permit it.
pub fn set_aside(state_dir: &Path, now: Utc) -> std::io::Result<PathBuf> {
    let aside = aside(state_dir, now);
    std::fs::rename(path(state_dir), &aside)?;
    Ok(aside)
}

/// Keeps a copy of the file aside.
///
/// # Errors
/// Where the folder does not permit it.
pub fn copy_aside(state_dir: &Path, now: Utc) -> std::io::Result<PathBuf> {
    let aside = aside(state_dir, now);
    std::fs::copy(path(state_dir), &aside)?;
    Ok(aside)
}

fn aside(state_dir: &Path, now: Utc) -> PathBuf {
    state_dir.join(format!("retained-unused-{}.json", now.millis()))
}

fn checksum(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|b| format!("{b:02x}")).collect()
}

#[derive(Serialize, Deserialize)]
struct StoredFile {
    site: String,
    tasks: Vec<StoredTask>,
}

#[derive(Serialize, Deserialize)]
struct StoredTask {
    task: String,
    at_ns: i64,
    faulted: bool,
    programs: Vec<StoredProgram>,
    outputs: Vec<StoredOutput>,
}

#[derive(Serialize, Deserialize)]
struct StoredProgram {
    program: String,
    script: String,
    first: bool,
    blocks: Vec<StoredBlock>,
    states: Vec<(String, StoredValue)>,
}

#[derive(Serialize, Deserialize)]
struct StoredBlock {
    block: String,
    kind: String,
    memory: Vec<(String, StoredField)>,
}

#[derive(Serialize, Deserialize)]
struct StoredOutput {
    tag: String,
    granted: StoredValue,
    position: Option<f64>,
    since_ns: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredValue {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StoredField {
    Nothing,
    Switch(bool),
    Number(f64),
    Count(u64),
    Word(String),
    Numbers(Vec<f64>),
    Parts(Vec<Vec<(String, StoredField)>>),
}

impl StoredTask {
    fn of(task: &Retained, tags: &TagTable) -> StoredTask {
        let state = &task.state;
        let program = |p: &SavedProgram| StoredProgram {
            program: p.name.to_string(),
            script: p.script.to_string(),
            first: p.state.first,
            blocks: p.state.blocks.iter().map(StoredBlock::of).collect(),
            states: p.state.states.iter().map(|(name, value)| (name.clone(), StoredValue::of(value))).collect(),
        };
        let output = |o: &OutputState| StoredOutput {
            tag: tags.get(o.tag).path.to_string(),
            granted: StoredValue::of(&o.granted),
            position: o.position,
            since_ns: o.since.map(|since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
        };
        StoredTask {
            task: task.task.clone(),
            at_ns: state.at.0,
            faulted: state.faulted,
            programs: state.programs.iter().map(program).collect(),
            outputs: state.outputs.iter().map(output).collect(),
        }
    }

    /// Outputs of tags that the site no longer has are left out: there is nothing to move.
    fn into_retained(self, tags: &TagTable) -> Retained {
        let program = |p: StoredProgram| SavedProgram {
            name: p.program.into(),
            script: p.script.into(),
            state: ProgramState {
                blocks: p.blocks.into_iter().filter_map(StoredBlock::into_state).collect(),
                states: p.states.into_iter().map(|(name, value)| (name, value.into_value())).collect(),
                first: p.first,
                last: None,
            },
        };
        let output = |o: StoredOutput| {
            Some(OutputState {
                tag: tags.find(&o.tag)?,
                granted: o.granted.into_value(),
                position: o.position,
                since: o.since_ns.map(Duration::from_nanos),
            })
        };
        Retained {
            task: self.task,
            state: TaskState {
                at: Utc(self.at_ns),
                faulted: self.faulted,
                programs: self.programs.into_iter().map(program).collect(),
                outputs: self.outputs.into_iter().filter_map(output).collect(),
            },
        }
    }
}

impl StoredBlock {
    fn of(block: &BlockState) -> StoredBlock {
        StoredBlock { block: block.name.clone(), kind: block.kind.as_str().to_owned(), memory: fields(&block.memory) }
    }

    /// A block of a kind that this version does not know is left out: the script's block of that name stays fresh and
    /// says so.
    fn into_state(self) -> Option<BlockState> {
        let kind = BlockKind::parse(&self.kind)?;
        Some(BlockState { name: self.block, kind, memory: memory(self.memory) })
    }
}

fn fields(memory: &BlockMemory) -> Vec<(String, StoredField)> {
    let field = |field: &Field| match field {
        Field::Nothing => StoredField::Nothing,
        Field::Switch(on) => StoredField::Switch(*on),
        Field::Number(x) => StoredField::Number(*x),
        Field::Count(n) => StoredField::Count(*n),
        Field::Word(word) => StoredField::Word(word.to_string()),
        Field::Numbers(list) => StoredField::Numbers(list.clone()),
        Field::Parts(parts) => StoredField::Parts(parts.iter().map(fields).collect()),
    };
    memory.iter().map(|(name, f)| (name.to_string(), field(f))).collect()
}

fn memory(stored: Vec<(String, StoredField)>) -> BlockMemory {
    let field = |field: StoredField| match field {
        StoredField::Nothing => Field::Nothing,
        StoredField::Switch(on) => Field::Switch(on),
        StoredField::Number(x) => Field::Number(x),
        StoredField::Count(n) => Field::Count(n),
        StoredField::Word(word) => Field::Word(Cow::Owned(word)),
        StoredField::Numbers(list) => Field::Numbers(list),
        StoredField::Parts(parts) => Field::Parts(parts.into_iter().map(memory).collect()),
    };
    stored.into_iter().map(|(name, f)| (Cow::Owned(name), field(f))).collect()
}

impl StoredValue {
    fn of(value: &Value) -> StoredValue {
        match value {
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::Int(*i),
            Value::Float(x) => Self::Float(*x),
            Value::Text(t) => Self::Text(t.to_string()),
        }
    }

    fn into_value(self) -> Value {
        match self {
            Self::Bool(b) => Value::Bool(b),
            Self::Int(i) => Value::Int(i),
            Self::Float(x) => Value::Float(x),
            Self::Text(t) => Value::Text(t.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::{Source, TagDef, TagId, Unit};

    fn tags() -> TagTable {
        TagTable::new(vec![TagDef::float(TagId(0), "out", Unit::NONE, Source::System)]).unwrap()
    }

    fn some() -> Vec<Retained> {
        let part = vec![(Cow::Borrowed("age"), Field::Nothing), ("on".into(), Field::Switch(true))];
        let memory = vec![
            ("a".into(), Field::Number(0.1 + 0.2)),
            ("b".into(), Field::Number(-0.0)),
            ("c".into(), Field::Number(f64::MIN_POSITIVE / 3.0)),
            ("d".into(), Field::Count(u64::MAX)),
            ("e".into(), Field::Word("auto".into())),
            ("f".into(), Field::Numbers(vec![1e100, 5e-324, 0.7])),
            ("g".into(), Field::Parts(vec![part])),
        ];
        let state = ProgramState {
            blocks: vec![BlockState { name: "loop".into(), kind: BlockKind::Pid, memory }],
            states: vec![("n".into(), Value::Int(i64::MIN)), ("x".into(), Value::Float(1.0 / 3.0))],
            first: false,
            last: None,
        };
        let output = OutputState {
            tag: TagId(0),
            granted: Value::Float(41.7),
            position: Some(41.7),
            since: Some(Duration::from_nanos(5)),
        };
        let programs = vec![SavedProgram { name: "曝气/z3".into(), script: "a.rhai".into(), state }];
        let state = TaskState { at: Utc(7), faulted: true, programs, outputs: vec![output] };
        vec![Retained { task: "normal".into(), state }]
    }

    #[test]
    fn what_was_written_is_read_to_the_bit() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path(), "s", &tags()).unwrap().is_none());
        write(dir.path(), "s", &tags(), &some()).unwrap();
        let back = read(dir.path(), "s", &tags()).unwrap().unwrap();
        assert_eq!(format!("{back:?}"), format!("{:?}", some()));
    }

    #[test]
    fn a_file_that_is_damaged_foreign_or_of_another_version_is_refused_whole() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "s", &tags(), &some()).unwrap();
        assert!(matches!(read(dir.path(), "other", &tags()), Err(Unusable::Foreign(site)) if site == "s"));
        let whole = std::fs::read(path(dir.path())).unwrap();
        for at in (0..whole.len()).step_by(11) {
            let mut changed = whole.clone();
            changed[at] ^= 0x04;
            std::fs::write(path(dir.path()), &changed).unwrap();
            let error = read(dir.path(), "s", &tags()).unwrap_err();
            assert!(matches!(error, Unusable::Checksum | Unusable::Format), "byte {at}: {error}");
        }
        for cut in [0, 5, 30, whole.len() - 1] {
            std::fs::write(path(dir.path()), &whole[..cut]).unwrap();
            assert!(read(dir.path(), "s", &tags()).is_err(), "cut at {cut}");
        }
        let aside = set_aside(dir.path(), Utc::from_millis(12)).unwrap();
        assert!(aside.ends_with("retained-unused-12.json") && aside.exists());
        assert!(read(dir.path(), "s", &tags()).unwrap().is_none());
    }
}
