//! What the supervisor knows of the configuration that runs: what it writes when the runtime dies, and how it watches, is
//! declared by that one and not by the one the plant was started with.
//!
//! The runtime says the number of each configuration it takes; the supervisor reads it from the history beside its watch.
//! It looks there once more when the runtime has died: the configuration that kills it may not have been told yet.

use super::Launch;
use super::failsafe::Plan;
use crate::change::applied::{Applied, choose, kept};
use crate::change::history;
use crate::config::{Overrides, Site, SupervisorSettings};
use std::time::Duration;
use tokio::task::JoinHandle;

/// What reading the history may take of the deadline when the runtime has died. A disk that does not answer must not
/// keep the outputs from their declared state.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// The configuration that runs.
pub struct Running {
    pub settings: SupervisorSettings,
    pub plan: Plan,
    hash: String,
    /// Its number in the history; `None` where it was not kept there.
    number: Option<u32>,
    /// The newest number when the runtime was first started: what came after it has run.
    before: u32,
    reading: Option<JoinHandle<Option<Read>>>,
}

/// What was read of a configuration.
struct Read {
    number: u32,
    settings: SupervisorSettings,
    plan: Plan,
    hash: String,
}

impl Running {
    /// A site that is about to be started for the first time.
    pub fn new(site: &Site, launch: &Launch) -> Running {
        let before = history::newest(&launch.state);
        let entry = history::ran(&launch.state).ok().and_then(|(entries, _)| entries.into_iter().next_back());
        let same = entry.is_some_and(|e| e.number == before && e.hash == site.config_hash);
        Running {
            settings: site.supervisor,
            plan: Plan::of(site, &launch.state),
            hash: site.config_hash.clone(),
            number: same.then_some(before),
            before,
            reading: None,
        }
    }

    /// The runtime says that this one runs: it is read beside the watch.
    pub fn heard(&mut self, launch: &Launch, number: u32) {
        if number != 0 && self.number != Some(number) {
            let launch = launch.clone();
            self.reading = Some(tokio::task::spawn_blocking(move || read(&launch, number)));
        }
    }

    /// Takes what has been read meanwhile. Never waits where nothing is being read.
    pub async fn take(&mut self) {
        match self.reading.as_mut() {
            Some(reading) => {
                let done = reading.await;
                self.reading = None;
                self.set(done.ok().flatten());
            }
            None => std::future::pending().await,
        }
    }

    /// The runtime has died: makes sure that this is what ran.
    pub async fn catch_up(&mut self, launch: &Launch) {
        let known = self.number.unwrap_or(self.before);
        let state = launch.clone();
        let reading = self.reading.take();
        let work = async move {
            let read_before = match reading {
                Some(reading) => reading.await.ok().flatten(),
                None => None,
            };
            let known = read_before.as_ref().map_or(known, |r| r.number);
            let newer = tokio::task::spawn_blocking(move || {
                let newest = history::newest(&state.state);
                (newest > known).then(|| read(&state, newest)).flatten()
            });
            newer.await.ok().flatten().or(read_before)
        };
        match tokio::time::timeout(CATCH_UP_MAX, work).await {
            Ok(read) => self.set(read),
            Err(_) => tracing::error!(
                "the history of configurations does not answer: what is written is what the last known one declares"
            ),
        }
    }

    fn set(&mut self, read: Option<Read>) {
        let Some(read) = read else { return };
        self.number = Some(read.number);
        self.settings = read.settings;
        self.plan = read.plan;
        self.hash = read.hash;
    }

    /// What the runtime is to be started with again. True: with what was last applied, else with the site's folder. In
    /// either case the folder may be what was last applied.
    pub async fn choose(&mut self, launch: &Launch) -> (bool, Option<Applied>) {
        let kept = self.number.is_some();
        let (launch, hash) = (launch.clone(), self.hash.clone());
        let chosen = tokio::task::spawn_blocking(move || {
            let overrides = launch.overrides();
            if kept {
                choose(&launch.site, &launch.state, &overrides).map(|choice| (choice.loaded, choice.applied))
            } else {
                crate::config::load(&launch.site, &overrides).map(|loaded| (loaded, None)).map_err(|d| d.to_string())
            }
            .map(|(loaded, applied)| (again(&loaded.site, &launch, &hash), applied))
        });
        match chosen.await {
            Ok(Ok((other, applied))) => {
                if let Some((settings, plan, hash)) = other {
                    tracing::warn!(before = %self.hash, now = %hash, "another configuration than ran is started");
                    (self.settings, self.plan, self.hash) = (settings, plan, hash);
                }
                (kept, applied)
            }
            Ok(Err(mistakes)) => {
                tracing::error!("the configuration has mistakes: the runtime cannot start\n{mistakes}");
                (kept, None)
            }
            Err(error) => {
                tracing::error!(%error, "the configuration could not be read");
                (kept, None)
            }
        }
    }
}

/// What to watch and write with, where the site is another one than this hash.
fn again(site: &Site, launch: &Launch, hash: &str) -> Option<(SupervisorSettings, Plan, String)> {
    (site.config_hash != hash).then(|| (site.supervisor, Plan::of(site, &launch.state), site.config_hash.clone()))
}

fn read(launch: &Launch, number: u32) -> Option<Read> {
    let found = history::list(&launch.state).map(|(entries, _)| entries.into_iter().find(|e| e.number == number));
    let loaded = match found {
        Ok(Some(entry)) => kept(&launch.site, &launch.state, &entry, &launch.overrides()),
        Ok(None) => Err(format!("there is no entry {number}")),
        Err(error) => Err(error),
    };
    match loaded {
        Ok(loaded) => {
            let site = loaded.site;
            let plan = Plan::of(&site, &launch.state);
            Some(Read { number, settings: site.supervisor, plan, hash: site.config_hash })
        }
        Err(error) => {
            tracing::error!(
                number,
                %error,
                "the configuration that runs cannot be read from the history: what is written when the runtime dies is what the one before declares"
            );
            None
        }
    }
}

impl Launch {
    /// What the command line changed.
    pub fn overrides(&self) -> Overrides {
        Overrides { device_address: self.devices.clone() }
    }
}
