//! The plant alone in virtual time.

use std::path::Path;

use super::{Deed, Judge, Look, Names, START_UNIX_S, Scenario, Source, Verdict};
use crate::faults::Quantity;
use crate::field::{self, Field, FieldConfig, PlantKind};
use crate::models::wet::Weather;

/// Step of a run, s.
const STEP_S: f64 = 1.0;

/// Does what concerns the plant; `None` for what only a runtime can do.
///
/// # Errors
/// In words for a person, where a fault could not begin or none of those to end is active.
pub fn perform(simulation: &mut dyn Field, deed: &Deed) -> Option<Result<(), String>> {
    Some(match deed {
        Deed::Inject(injection) => simulation.inject(injection.clone()).map(|_| ()).map_err(|why| why.to_string()),
        Deed::ClearAll => {
            simulation.clear_all();
            Ok(())
        }
        Deed::Clear(words) => clear(simulation, words),
        Deed::Weather(weather) => simulation.set_weather(*weather).map_err(|why| why.to_string()),
        Deed::Set(_) | Deed::Release(_) => return None,
    })
}

/// Ends the faults whose text begins with these words, at the border of a word.
fn clear(simulation: &mut dyn Field, words: &str) -> Result<(), String> {
    let of = |text: &str| text == words || text.strip_prefix(words).is_some_and(|rest| rest.starts_with(' '));
    let ids: Vec<u64> = simulation.faults().iter().filter(|f| of(&f.fault.to_string())).map(|fault| fault.id).collect();
    if ids.is_empty() {
        return Err("no such fault is active".to_owned());
    }
    for id in ids {
        simulation.clear(id);
    }
    Ok(())
}

/// Values of the plant at one moment.
struct Values(Vec<Quantity>);

impl Look for Values {
    fn value(&self, source: Source, tag: &str) -> Option<f64> {
        let found = self.0.iter().find(|quantity| quantity.tag == tag)?;
        match source {
            Source::True => Some(found.truth),
            Source::Shown => found.shown,
            Source::Tag => None,
        }
    }

    fn quality(&self, _tag: &str) -> Option<(&'static str, &'static str)> {
        None
    }
}

impl Scenario {
    /// The plant as it is at the beginning: settled, in the scenario's weather.
    ///
    /// # Errors
    /// In words for a person, when the plant has no such weather.
    pub fn plant(&self, kind: PlantKind) -> Result<Box<dyn Field>, String> {
        let before_s = self.settle_s.ceil();
        let dry = before_s > 0.0 && self.weather != Weather::Dry;
        let first = if dry { Weather::Dry } else { self.weather };
        let config = FieldConfig {
            kind,
            seed: self.seed,
            start_unix_s: self.start_unix_s - before_s as i64,
            weather: first,
            influent: None,
        };
        let mut simulation = field::build(&config).map_err(|e| e.to_string())?;
        for act in self.acts.iter().take_while(|act| act.at_s < 0.0) {
            if let Some(Err(why)) = perform(&mut *simulation, &act.deed) {
                return Err(format!("line {}: {why}", act.line));
            }
        }
        for _ in 0..before_s as u64 {
            simulation.step(STEP_S, STEP_S);
        }
        if dry {
            simulation.set_weather(self.weather).map_err(|e| e.to_string())?;
        }
        Ok(simulation)
    }

    /// Runs on the plant alone in virtual time and says what held. No client writes to the devices: commands keep the
    /// values the plant starts with. The same scenario has the same verdict.
    ///
    /// # Errors
    /// In words for a person, when the plant has no such weather.
    pub fn run(&self, kind: PlantKind) -> Result<Verdict, String> {
        let mut simulation = self.plant(kind)?;
        let mut judge = Judge::new(self);
        // What is done before the settling is done.
        let mut acts = self.acts.iter().skip_while(|act| act.at_s < 0.0).peekable();
        let steps = (self.length_s / STEP_S).ceil() as u64;
        for step in 0..=steps {
            let now_s = step as f64 * STEP_S;
            while let Some(act) = acts.next_if(|act| act.at_s <= now_s) {
                let done = perform(&mut *simulation, &act.deed);
                let done = done.unwrap_or_else(|| Err("this needs the runtime in the loop".to_owned()));
                if let Err(trouble) = done {
                    judge.trouble(act, &trouble);
                }
            }
            if judge.due(now_s) {
                judge.second(now_s, &Values(simulation.quantities()));
            }
            if step < steps {
                simulation.step(STEP_S, STEP_S);
            }
        }
        Ok(judge.finish(None))
    }
}

/// The plant a scenario is meant for, as its line `site:` says; the works where it says nothing.
fn kind_of(text: &str) -> PlantKind {
    let site = text.lines().find_map(|line| line.strip_prefix("site:"));
    let word = site.and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    word.trim_matches(['"', '\'']).parse().unwrap_or_default()
}

/// Reads a scenario from a file and runs it on the plant alone.
///
/// # Errors
/// In words for a person: the file cannot be read, or every mistake in it with its place.
pub fn run_file(file: &Path) -> Result<Verdict, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let kind = kind_of(&text);
    let config = FieldConfig { kind, seed: 1, start_unix_s: START_UNIX_S, ..FieldConfig::default() };
    let plant = field::build(&config).map_err(|e| e.to_string())?;
    let names = Names::of(kind, &*plant);
    let scenario = Scenario::parse(&text, &names).map_err(|problems| problems.told(&file.display().to_string()))?;
    scenario.run(kind)
}
