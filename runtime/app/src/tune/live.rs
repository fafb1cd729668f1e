//! A running site as the stand of a loop's test: asked over its control socket, once a look.

use super::step::Look;
use super::{Stand, Target, TuneArgs, Watch};
use crate::change::client::{ask, confirmed, status};
use crate::change::control::{Answer, Question};
use crate::change::hand::{Act, Seen};
use crate::config::Site;
use crate::signals;
use penstock_engine::ProgramDef;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Least time between two looks.
const LOOK_MIN: Duration = Duration::from_secs(1);
/// A hold ends by itself after so many looks that never came, and after this time at least, s: that of every hold by hand.
const LEASE_LOOKS: u64 = 5;
const LEASE_MIN_S: u64 = 10;
/// How often a wait looks whether somebody wants it to end.
const WAIT_SLICE: Duration = Duration::from_millis(50);

/// A running site, one of its outputs in our hand.
pub(super) struct Live {
    state: PathBuf,
    output: String,
    measured: String,
    unit: String,
    by: Option<String>,
    look: Duration,
    lease_s: u64,
    began: Instant,
    next: Instant,
    /// The runtime's clock at the first look, s.
    zero_s: Option<f64>,
    /// Where we hold the output, and since when.
    held: Option<(f64, Instant)>,
    /// The runtime refused to hold on, or did not answer: what is held now may be another's.
    lost: bool,
    watch: Watch,
    stopped: Arc<AtomicBool>,
}

impl Live {
    /// Asks the site what it runs, and the person whether they mean it.
    pub fn begin(site: &Site, program: &ProgramDef, target: &Target, args: &TuneArgs) -> Result<Live, String> {
        let running = status(&args.state)?;
        if running.hash != site.config_hash {
            return Err(format!(
                "{} is not what runs (configuration {}): `penstock diff` says what differs, `penstock apply` puts it in force",
                args.site.display(),
                running.number
            ));
        }
        let scan = site.tasks.get(usize::from(program.task.0)).map_or(LOOK_MIN, |task| task.period);
        let look = LOOK_MIN.max(scan);
        let measured = site.tags.get(target.measured);
        let now = Instant::now();
        let mut live = Live {
            state: args.state.clone(),
            output: site.tags.get(target.output).path.to_string(),
            measured: measured.path.to_string(),
            unit: measured.unit.as_str().to_owned(),
            by: args.by.clone(),
            look,
            lease_s: LEASE_MIN_S.max(LEASE_LOOKS * look.as_secs_f64().ceil() as u64),
            began: now,
            next: now,
            zero_s: None,
            held: None,
            lost: false,
            watch: Watch::new(site, target),
            stopped: Arc::default(),
        };
        let seen = live.ask(Act::Look)?;
        if !args.yes {
            let shown = |value: Option<f64>| value.map_or("?".to_owned(), |x| format!("{x:.3}"));
            confirmed(&format!(
                "`{}`, now {}, will be moved on the running plant; the test ends where `{}`, now {} {}, leaves {} to {}, and at Ctrl-C.\nType yes:",
                live.output,
                shown(seen.output),
                live.measured,
                shown(seen.measured),
                live.unit,
                target.low,
                target.high
            ))?;
        }
        live.listen()?;
        (live.began, live.next) = (Instant::now(), Instant::now());
        Ok(live)
    }

    /// Ctrl-C and a service manager's wish end the test, not the process: the output is given back first.
    fn listen(&self) -> Result<(), String> {
        let stopped = self.stopped.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let waits = std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async { signals::wait().await });
            stopped.store(true, Ordering::SeqCst);
        });
        waits.map(drop).map_err(|e| e.to_string())
    }

    fn ask(&self, act: Act) -> Result<Seen, String> {
        let question =
            Question::Hand { output: self.output.clone(), measured: self.measured.clone(), act, by: self.by.clone() };
        let Answer { ok, words, seen, .. } = ask(&self.state, &question)?;
        if !ok {
            return Err(words.en);
        }
        seen.ok_or_else(|| "the running site knows nothing of tests: it is an older one".to_owned())
    }

    /// Waits for the next look.
    fn wait(&mut self, until: Instant) -> Result<(), String> {
        loop {
            if self.stopped.load(Ordering::SeqCst) {
                return Err("stopped by hand".to_owned());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(WAIT_SLICE));
        }
    }

    fn next_look(&mut self) -> Result<(), String> {
        // After a pause of this process the looks go on from now; none is made up for.
        self.next = (self.next + self.look).max(Instant::now());
        self.wait(self.next)
    }
}

impl Stand for Live {
    fn now_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn stands(&mut self) -> Result<Option<f64>, String> {
        self.ask(Act::Look).map(|seen| seen.output)
    }

    fn held(&mut self, value: f64) -> Result<Look, String> {
        // The first hold is the runtime's with its next scan; from then on it must stay ours.
        let goes_on = self.held.is_some_and(|(_, since)| since.elapsed() > 2 * self.look);
        let taken = self.ask(Act::Hold { value, lease_s: self.lease_s, goes_on });
        self.lost = taken.is_err();
        taken?;
        if self.held.is_none_or(|(at, _)| at != value) {
            complain!("{:.0} s: `{}` at {value:.3}", self.now_s(), self.output);
        }
        let since = self.held.map_or_else(Instant::now, |(_, since)| since);
        self.held = Some((value, since));
        self.next_look()?;
        let seen = self.ask(Act::Look)?;
        let t = seen.at_s - *self.zero_s.get_or_insert(seen.at_s);
        self.watch.judge(t, value, seen.output, seen.measured.ok_or(seen.quality))
    }

    fn release(&mut self) -> Result<bool, String> {
        if self.held.is_none() {
            return Ok(false);
        }
        let lease_s = self.lease_s;
        // A release would take it from whoever holds it now, under an interlock too, where nobody sees who that is.
        if self.lost {
            return Err(format!("it is not the test's any more; what the test held ends by itself within {lease_s} s"));
        }
        let seen =
            self.ask(Act::Release).map_err(|why| format!("{why}; the hold ends by itself within {lease_s} s"))?;
        if seen.others { Err("somebody else holds it by hand".to_owned()) } else { Ok(true) }
    }

    fn free(&mut self, time: Duration) -> Option<f64> {
        self.wait(Instant::now() + time).ok()?;
        self.ask(Act::Look).ok()?.measured
    }
}
