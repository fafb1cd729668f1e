//! Answering what stands behind a tag.

use super::TaskCore;
use crate::explain::{Explained, InputNow, QUESTIONS_PER_SCAN_MAX};
use penstock_model::{Now, TagId};

impl TaskCore {
    /// Answers what people have asked since the last scan, a few at a time; the rest waits for the next.
    pub(super) fn answer_questions(&self, now: Now) {
        let questions = &self.shared.tasks[self.index].questions;
        for _ in 0..QUESTIONS_PER_SCAN_MAX {
            let Some(question) = questions.pop() else { break };
            // Nobody else answers it, and each is answered once.
            let _ = question.answer.set(self.explain(question.tag, question.program.as_deref(), now));
        }
    }

    /// A tag as the last scan left it, with what stands behind it. `program` is the one that writes it.
    pub(crate) fn explain(&self, tag: TagId, program: Option<&str>, now: Now) -> Explained {
        let inputs = program.and_then(|name| {
            self.frame_of(name, |frame, tags| {
                let named = frame.declaration.inputs.iter().zip(tags).zip(&frame.inputs);
                let inputs: Vec<InputNow> = named
                    .map(|((port, tag), sample)| InputNow { name: port.name.clone(), tag, sample: sample.clone() })
                    .collect();
                (inputs, frame.missing.map(|i| frame.declaration.inputs[i].name.clone()))
            })
        });
        let (inputs, missing) = inputs.unwrap_or_default();
        let view = self.by_tag.get(&tag).map(|i| self.outputs[*i].output.view());
        let (interlock, blocked) = view.map_or((None, None), |v| (v.interlock, v.blocked));
        Explained {
            now,
            sample: self.imaged(tag).cloned(),
            output: self.output_memory(tag),
            interlock,
            blocked,
            inputs,
            missing,
            fault: self.fault_text(),
        }
    }
}
