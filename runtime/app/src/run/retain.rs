//! Retained state: what programs remember is written to the state folder while they run, and taken up at the start.
//!
//! Duties: no scan waits (tasks hand their states over in their own time), the file on the disk is whole at any moment,
//! and nothing is taken up that is damaged, of another site or too old for a controller.

use super::retain_file::{self, Retained};
use crate::config::{RetainSettings, Site};
use penstock_engine::{Engine, LeftFresh, Take, TaskCore, TaskState};
use penstock_model::{TagTable, TaskId, Utc};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the thread looks whether a task has handed its state over.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A file that says it was written later than this from now was written by another clock: its age is not known.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// Where and for whom states are written.
#[derive(Clone)]
pub struct Keeper {
    state_dir: PathBuf,
    site: String,
    tags: Arc<TagTable>,
    tasks: Vec<(TaskId, String)>,
    every: Duration,
}

impl Keeper {
    /// For this site and state folder.
    pub fn new(site: &Site, state_dir: &Path) -> Keeper {
        Keeper {
            state_dir: state_dir.to_path_buf(),
            site: site.id.clone(),
            tags: site.tags.clone(),
            tasks: site.tasks.iter().map(|t| (t.id, t.name.to_string())).collect(),
            every: site.retain.every,
        }
    }

    /// Starts the thread that writes. It ends when `stop` is set.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(&self, engine: Engine, stop: Arc<AtomicBool>) -> std::io::Result<JoinHandle<()>> {
        let keeper = self.clone();
        std::thread::Builder::new().name("retain".into()).spawn(move || keeper.run(&engine, &stop))
    }

    fn run(&self, engine: &Engine, stop: &AtomicBool) {
        let mut latest: Vec<Option<TaskState>> = vec![None; self.tasks.len()];
        let mut failing = false;
        while !stop.load(Ordering::SeqCst) {
            let asked = Instant::now();
            let mut here = vec![false; self.tasks.len()];
            engine.ask_for_state();
            // A task slower than the period hands over when it scans; the others do not wait for it.
            while asked.elapsed() < self.every && !stop.load(Ordering::SeqCst) {
                for (i, (task, _)) in self.tasks.iter().enumerate() {
                    if let Some(state) = engine.take_state(*task) {
                        (latest[i], here[i]) = (Some(*state), true);
                    }
                }
                if here.iter().all(|h| *h) {
                    break;
                }
                std::thread::sleep(LOOK_EVERY);
            }
            if here.contains(&true) && !stop.load(Ordering::SeqCst) {
                let states = self.named(latest.iter().enumerate().filter_map(|(i, s)| Some((i, s.clone()?))));
                self.write_and_tell(&states, &mut failing);
            }
            while asked.elapsed() < self.every && !stop.load(Ordering::SeqCst) {
                std::thread::sleep(LOOK_EVERY);
            }
        }
    }

    fn named(&self, states: impl Iterator<Item = (usize, TaskState)>) -> Vec<Retained> {
        states.map(|(i, state)| Retained { task: self.tasks[i].1.clone(), state }).collect()
    }

    fn write_and_tell(&self, states: &[Retained], failing: &mut bool) {
        let written = retain_file::write(&self.state_dir, &self.site, &self.tags, states);
        let was_failing = std::mem::replace(failing, written.is_err());
        match written {
            Ok(()) if was_failing => tracing::info!("retained state is written again"),
            Ok(()) => {}
            Err(error) if !was_failing => tracing::error!(
                %error,
                folder = %self.state_dir.display(),
                "retained state cannot be written: a restart would go back to the last file. Free disk space or permit the folder"
            ),
            Err(_) => {}
        }
    }

    /// The last word of an orderly stop: states as the tasks left them after their shutdown.
    pub fn write_last(&self, states: Vec<(TaskId, TaskState)>) {
        let named = states.into_iter().map(|(task, state)| (usize::from(task.0), state));
        if let Err(error) = retain_file::write(&self.state_dir, &self.site, &self.tags, &self.named(named)) {
            tracing::error!(%error, "retained state could not be written at the stop: the next start goes back to the last file");
        }
    }
}

/// Takes up what the state folder holds, before the first scan. Every loss is one line in the log that names it.
pub fn restore(site: &Site, state_dir: &Path, cores: &mut [TaskCore], now: Utc) {
    let retained = match retain_file::read(state_dir, &site.id, &site.tags) {
        Ok(None) => return,
        Ok(Some(retained)) => retained,
        Err(why) => {
            tracing::error!(
                %why,
                programs = site.programs.len(),
                kept = kept_aside(state_dir, now),
                "retained state is not used: integrators, timers, totals and hours of every program start fresh"
            );
            return;
        }
    };
    let mut aside = false;
    for Retained { task, state } in &retained {
        let age = age(state.at, now);
        let take = take(age, &site.retain);
        if take == Take::Totals {
            aside = true;
            tracing::warn!(
                %task,
                age = age.map_or_else(|| "unknown: it was written by a later clock".to_owned(), |age| format!("{age:?}")),
                max_age = ?site.retain.max_age,
                "retained state is too old for controllers: they start fresh and take over from the plant; totals and hours come back"
            );
        } else if state.faulted {
            tracing::warn!(%task, "the task was faulted when its state was kept: its controllers start fresh, totals and hours come back");
        }
        for core in cores.iter_mut() {
            for (program, LeftFresh { name, reason, lost }) in core.restore(state, take, age.unwrap_or_default()) {
                aside |= lost;
                tracing::warn!(%program, %name, %reason, "not taken up from the retained state: it starts fresh");
            }
        }
        let gone = state.programs.iter().filter(|saved| !site.programs.iter().any(|p| p.name == saved.name));
        for program in gone.map(|saved| &saved.name) {
            aside = true;
            tracing::warn!(
                %program,
                "retained state is of a program that the site no longer has: its totals, hours and states are not taken up. Where it \
                 only has another name now, stop, give it the old name, and start again"
            );
        }
    }
    if aside {
        // A copy: the totals that come back are on the disk at any moment.
        match retain_file::copy_aside(state_dir, now) {
            Ok(kept) => {
                tracing::warn!(kept = %kept.display(), "what was not taken up of the retained state is kept aside")
            }
            Err(error) => {
                tracing::error!(%error, "what was not taken up of the retained state could not be kept aside")
            }
        }
    } else {
        let programs: usize = retained.iter().map(|r| r.state.programs.len()).sum();
        tracing::info!(programs, "retained state taken up");
    }
}

/// How old a state is; `None` where only a clock that was wrong can have written it.
fn age(at: Utc, now: Utc) -> Option<Duration> {
    let ns = now.0.saturating_sub(at.0);
    if ns < 0 && ns.unsigned_abs() > u64::try_from(AHEAD_MAX.as_nanos()).unwrap_or(u64::MAX) {
        return None;
    }
    Some(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
}

fn take(age: Option<Duration>, settings: &RetainSettings) -> Take {
    if age.is_some_and(|age| age <= settings.max_age) { Take::All } else { Take::Totals }
}

fn kept_aside(state_dir: &Path, now: Utc) -> String {
    match retain_file::set_aside(state_dir, now) {
        Ok(path) => path.display().to_string(),
        Err(error) => format!("in place: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_state_of_known_and_little_age_is_taken_whole() {
        let settings = RetainSettings { every: Duration::from_secs(10), max_age: Duration::from_secs(3_600) };
        let at = |s: i64| Utc::from_millis(s * 1_000);
        for (saved, now, wanted) in [
            (1_000, 1_000, Take::All),
            (1_000, 4_600, Take::All),
            (1_000, 4_601, Take::Totals),
            (1_030, 1_000, Take::All),
            (9_000, 1_000, Take::Totals),
        ] {
            assert_eq!(take(age(at(saved), at(now)), &settings), wanted, "{saved} {now}");
        }
    }
}
