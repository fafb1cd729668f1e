//! What stands behind a tag: asked of the task that owns it, and answered at one of its scans.
//!
//! Duties: an answer is of one scan, so that its parts never contradict each other; asking costs a scan one look at an
//! empty queue, and a few copies of bounded size where somebody asks. A task that does not scan does not answer, and
//! nobody waits for it: the question is left with the task, and looked at again later.

use crate::engine::Engine;
use crate::object::Hindrance;
use crate::output::OutputMemory;
use penstock_model::{Now, Sample, TagId, TaskId};
use std::sync::{Arc, OnceLock};

/// Questions that wait for one task: every faceplate of a large site open on its tags. More are refused.
pub(crate) const QUESTIONS_WAITING_MAX: usize = 16;
/// Questions that one scan answers: some microseconds each.
pub(crate) const QUESTIONS_PER_SCAN_MAX: usize = 4;

/// One input of a program at its last scan.
#[derive(Debug, Clone, PartialEq)]
pub struct InputNow {
    /// Its name in the script.
    pub name: String,
    /// The tag behind it; `None`: it is not bound.
    pub tag: Option<TagId>,
    /// What it read.
    pub sample: Sample,
}

/// A tag with what stands behind it, as one scan of its task left it.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The moment.
    pub now: Now,
    /// The tag as the task's last scan latched or wrote it.
    pub sample: Option<Sample>,
    /// How it stands, for an output or entry.
    pub output: Option<OutputMemory>,
    /// The interlock of its object that acts on it.
    pub interlock: Option<Arc<Hindrance>>,
    /// The permissive that keeps it from starting.
    pub blocked: Option<Arc<Hindrance>>,
    /// Inputs of the program that writes it.
    pub inputs: Vec<InputNow>,
    /// The input whose quality is bad and that ended the program's last scan.
    pub missing: Option<String>,
    /// The fault of the task in words.
    pub fault: Option<Arc<str>>,
}

/// A question left with a task.
#[derive(Debug)]
pub struct Question {
    pub(crate) tag: TagId,
    pub(crate) program: Option<Arc<str>>,
    pub(crate) answer: OnceLock<Explained>,
}

impl Question {
    /// The answer, once the task has scanned.
    #[must_use]
    pub fn answer(&self) -> Option<&Explained> {
        self.answer.get()
    }
}

/// The program that writes a tag, as it is configured now.
#[derive(Debug, Clone, PartialEq)]
pub struct Writer {
    /// Its name.
    pub program: Arc<str>,
    /// The script it runs.
    pub script: Arc<str>,
    /// The tag behind each input that is bound, by the input's name.
    pub inputs: Vec<(String, TagId)>,
}

impl Engine {
    /// Leaves a question with the task of a tag: what stands behind it? `None`: too many wait already.
    #[must_use]
    pub fn ask_why(&self, tag: TagId) -> Option<Arc<Question>> {
        let task = self.shared.tasks.get(*self.shared.owner.get(tag.index())?)?;
        let program = self.writer(tag).map(|w| w.program);
        let question = Arc::new(Question { tag, program, answer: OnceLock::new() });
        task.questions.push(question.clone()).ok().map(|()| question)
    }

    /// The task that owns a tag: it latches or writes it.
    #[must_use]
    pub fn task_of(&self, tag: TagId) -> Option<TaskId> {
        self.shared.owner.get(tag.index()).and_then(|task| self.shared.tasks.get(*task)).map(|task| task.def.id)
    }

    /// The program that writes a tag; `None` where none does.
    #[must_use]
    pub fn writer(&self, tag: TagId) -> Option<Writer> {
        let running = self.shared.running.read().clone();
        let program = running.config.programs.iter().find(|p| p.outputs.iter().any(|(_, t)| *t == tag))?;
        Some(Writer {
            program: program.name.clone(),
            script: program.script.name().into(),
            inputs: program.inputs.clone(),
        })
    }
}
