//! Inputs that are read one scan late, and what one program may use up.

use super::{Program, TaskCore};
use crate::program::End;
use penstock_model::{BadReason, Instant, Now, Quality, Sample, UncertainReason, Value};

/// An input that is read as it stood at the end of the last scan, wherever in the scan its writer runs.
pub(super) struct Late {
    /// Its place among the program's inputs.
    pub input: usize,
    /// Its tag's place in the image.
    place: usize,
    /// What is read while the tag is bad.
    otherwise: Option<Value>,
    /// What is read in this scan.
    pub sample: Sample,
}

impl Late {
    pub fn new(input: usize, place: usize, otherwise: Option<Value>, now: Now) -> Late {
        Late { input, place, otherwise, sample: Sample::initial(None, now) }
    }

    /// True where the site says what is read while it is bad. Its uncertainty then stays out of the outputs: in a circle
    /// it would come round again and never end.
    pub fn is_settled(&self) -> bool {
        self.otherwise.is_some()
    }

    fn take(&mut self, stands: &Sample) {
        self.sample.clone_from(stands);
        let (Some(value), Quality::Bad(reason)) = (&self.otherwise, stands.quality) else { return };
        let never = reason == BadReason::Initial;
        let reason = if never { UncertainReason::Initial } else { UncertainReason::Substituted };
        self.sample.value = Some(value.clone());
        self.sample.quality = Quality::Uncertain(reason);
    }
}

impl TaskCore {
    /// Freezes what is read late. Before any program runs the image holds what the scan before left, and nothing else
    /// is needed of it: the record of scans and a change carry the image already.
    pub(super) fn look_back(&mut self) {
        for late in self.programs.iter_mut().flat_map(|p| &mut p.late) {
            late.take(&self.image[late.place]);
        }
    }

    /// Runs one program within its limits.
    pub(super) fn run_bounded(&mut self, k: usize, now: Instant) -> End {
        let Program { instance, limits, .. } = &mut self.programs[k];
        self.host.bound(*limits);
        let end = instance.run(&self.host, now, self.def.period);
        let came_through = matches!(end, End::Done | End::Missing(_));
        if came_through && self.host.overstayed() { End::OutOfTime } else { end }
    }

    /// What is said of a program that ran out of its own time or of its task's.
    pub(super) fn out_of_time(&self, k: usize) -> String {
        match self.programs[k].limits.time.filter(|_| self.host.overstayed()) {
            Some(time) => format!("took longer than the {time:?} that its `limits` give it"),
            None => format!("stopped after {:?} of processor time: it does not return", self.def.run_max()),
        }
    }
}
