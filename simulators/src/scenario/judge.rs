//! Judges a run second by second. Knows neither plant nor runtime: it looks at values and hears of events.

use serde_json::Value as Json;

use super::expect::{Aggregate, Bound, Event, Expectation, Relation, Source, Test, What};
use super::verdict::{Finding, Verdict, told_time};
use super::{Act, Scenario};
use crate::faults::nearest;

/// Step of judging, s.
const STEP_S: f64 = 1.0;
/// A number made of a span needs values in at least this share of its seconds; else it says nothing about the span.
const KNOWN_SHARE_MIN: f64 = 0.9;
const DAY_S: f64 = 86_400.0;

/// The plant, or plant and runtime, at one moment.
pub trait Look {
    /// The value, where there is one that may be used.
    fn value(&self, source: Source, tag: &str) -> Option<f64>;
    /// Class (`good`, `uncertain`, `bad`) and reason of a tag's quality.
    fn quality(&self, tag: &str) -> Option<(&'static str, &'static str)>;
}

/// An event of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'a> {
    /// The alarm of this name was raised.
    Raised(&'a str),
    /// Its condition is gone.
    Returned(&'a str),
    /// This part of the runtime is faulted.
    Fault(&'a str),
    /// It is mended.
    Mended(&'a str),
}

/// What is known of one expectation so far.
#[derive(Debug, Clone, Default)]
struct Course {
    /// Seconds looked at, and those with a usable value.
    seconds: u64,
    known: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// Seconds beyond the limit of a share.
    beyond: u64,
    travel: f64,
    last: Option<f64>,
    /// The first moment it did not hold, with what was there.
    failed: Option<(f64, Option<f64>, String)>,
    /// Sum and count of the running day, and the first mean that did not hold, for daily means.
    day: (u64, f64, u64),
    days: Vec<(u64, Option<f64>)>,
    /// Moments of an event and of its end.
    came: Vec<f64>,
    went: Vec<f64>,
}

impl Course {
    fn add(&mut self, value: Option<f64>) {
        self.seconds += 1;
        let Some(x) = value.filter(|x| x.is_finite()) else { return };
        (self.min, self.max) = if self.known == 0 { (x, x) } else { (self.min.min(x), self.max.max(x)) };
        self.known += 1;
        self.sum += x;
        if let Some(last) = self.last {
            self.travel += (x - last).abs();
        }
        self.last = Some(x);
    }

    fn known_share(&self) -> f64 {
        if self.seconds == 0 { 0.0 } else { self.known as f64 / self.seconds as f64 }
    }

    /// Closes the days that are over before day `day` of the span begins.
    fn close_days(&mut self, day: u64) {
        while self.day.0 < day {
            let (number, sum, count) = self.day;
            let enough = count as f64 >= KNOWN_SHARE_MIN * DAY_S;
            self.days.push((number, enough.then(|| sum / count as f64)));
            self.day = (number + 1, 0.0, 0);
        }
    }
}

/// Judges one run of a scenario.
pub struct Judge {
    title: String,
    checks: Vec<(Expectation, Course)>,
    troubles: Vec<String>,
    length_s: f64,
}

/// Whether the judge has to look at `now_s`. A moment between two looks is judged at the later one.
fn due(expectation: &Expectation, now_s: f64) -> bool {
    expectation.from_s <= now_s && now_s < expectation.to_s + STEP_S
}

fn looks(what: &What) -> bool {
    matches!(what, What::Value(..) | What::Over(..) | What::Quality { .. })
}

impl Judge {
    /// Before the first second.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Judge {
        Judge {
            title: scenario.title.clone(),
            checks: scenario.expectations.iter().map(|e| (e.clone(), Course::default())).collect(),
            troubles: Vec::new(),
            length_s: scenario.length_s,
        }
    }

    /// An act could not be done: the run fails.
    pub fn trouble(&mut self, act: &Act, why: &str) {
        self.troubles.push(format!("line {}: {}: {why}", act.line, act.text));
    }

    /// Whether somebody wants to know values at this moment.
    #[must_use]
    pub fn due(&self, now_s: f64) -> bool {
        self.checks.iter().any(|(expectation, _)| looks(&expectation.what) && due(expectation, now_s))
    }

    /// Looks at the values of a moment. To be called once a second, from 0 to the length of the run.
    pub fn second(&mut self, now_s: f64, look: &dyn Look) {
        for (expectation, course) in self.checks.iter_mut().filter(|(expectation, _)| due(expectation, now_s)) {
            match &expectation.what {
                What::Value(measure, test) => value(course, now_s, look.value(measure.source, &measure.tag), test),
                What::Over(aggregate, measure, _) => {
                    let value = look.value(measure.source, &measure.tag);
                    if *aggregate == Aggregate::DailyMean {
                        let day = ((now_s - expectation.from_s) / DAY_S).floor();
                        course.close_days(day as u64);
                        if let Some(x) = value {
                            course.day.1 += x;
                            course.day.2 += 1;
                        }
                    }
                    course.add(value);
                }
                What::Quality { tag, is, reason } => {
                    course.seconds += 1;
                    let there = look.quality(tag);
                    let holds =
                        there.is_some_and(|(class, why)| class == is && reason.as_ref().is_none_or(|r| r == why));
                    if !holds && course.failed.is_none() {
                        let (class, why) = there.unwrap_or(("unknown", ""));
                        let told = if why.is_empty() { class.to_owned() } else { format!("{class}({why})") };
                        course.failed = Some((now_s, None, format!("is {told}")));
                    }
                }
                What::Alarm(..) | What::Faults(..) | What::Report(..) => {}
            }
        }
    }

    /// Hears of an event at a moment; one before the beginning (negative time) counts as standing at the beginning.
    pub fn hear(&mut self, now_s: f64, news: News<'_>) {
        for (expectation, course) in &mut self.checks {
            let (name, came) = match (&expectation.what, news) {
                (What::Alarm(name, _), News::Raised(of)) if name == of => (name, true),
                (What::Alarm(name, _), News::Returned(of)) if name == of => (name, false),
                (What::Faults(part, _), News::Fault(of)) if of.starts_with(part.as_str()) => (part, true),
                (What::Faults(part, _), News::Mended(of)) if of.starts_with(part.as_str()) => (part, false),
                _ => continue,
            };
            if came && matches!(news, News::Fault(_)) && course.failed.is_none() {
                let (News::Fault(of) | News::Raised(of) | News::Returned(of) | News::Mended(of)) = news;
                course.failed = Some((now_s, None, format!("{name}{}", of.strip_prefix(name.as_str()).unwrap_or(of))));
            }
            if came { course.came.push(now_s) } else { course.went.push(now_s) }
        }
    }

    /// The verdict; `report` holds the numbers of a run with a runtime.
    #[must_use]
    pub fn finish(self, report: Option<&Json>) -> Verdict {
        let findings = self.checks.into_iter().map(|(expectation, course)| {
            let (held, at_s, value, detail) = conclude(&expectation, course, report);
            Finding { line: expectation.line, text: expectation.text, held, at_s, value, detail }
        });
        Verdict { title: self.title, length_s: self.length_s, findings: findings.collect(), troubles: self.troubles }
    }
}

fn value(course: &mut Course, now_s: f64, value: Option<f64>, test: &Test) {
    course.add(value);
    match test {
        // Nothing holds for a value that is not there.
        Test::Always(bounds) => {
            let holds = value.is_some_and(|x| bounds.iter().all(|bound| bound.holds(x)));
            if !holds && course.failed.is_none() {
                let told = value.map_or_else(|| "has no usable value".to_owned(), |x| format!("is {x:.4}"));
                course.failed = Some((now_s, value, told));
            }
        }
        Test::Share { above, limit, share } => {
            let beyond = value.map(|x| if *above { x > *limit } else { x < *limit });
            let against = matches!(share.relation, Relation::Below | Relation::AtMost);
            course.beyond += u64::from(beyond.unwrap_or(against));
            if beyond == Some(true) && course.failed.is_none() {
                course.failed = Some((now_s, value, String::new()));
            }
        }
    }
}

type Conclusion = (bool, Option<f64>, Option<f64>, String);

fn conclude(expectation: &Expectation, mut course: Course, report: Option<&Json>) -> Conclusion {
    match &expectation.what {
        What::Report(path, bounds) => of_report(path, bounds, report),
        What::Alarm(_, event) | What::Faults(_, event) => of_events(expectation, &course, *event),
        _ if course.seconds == 0 => (false, None, None, "was never looked at".to_owned()),
        What::Value(_, Test::Share { share, .. }) => {
            let found = course.beyond as f64 / course.seconds as f64;
            let first = course.failed.as_ref().filter(|_| !share.holds(found));
            let told = format!("share {found:.4} of {} s, {:.1} % known", course.seconds, 100.0 * course.known_share());
            (share.holds(found), first.map(|(at_s, ..)| *at_s), Some(found), told)
        }
        What::Value(..) | What::Quality { .. } => match course.failed {
            Some((at_s, value, told)) => (false, Some(at_s), value, format!("{told} at {}", told_time(at_s))),
            None => {
                let told = course.last.map_or_else(String::new, |_| span_told(&course));
                (true, None, course.last, told)
            }
        },
        What::Over(Aggregate::DailyMean, _, bounds) => {
            let whole = ((expectation.to_s - expectation.from_s) / DAY_S).floor() as u64;
            course.close_days(whole);
            of_days(expectation.from_s, &course.days, bounds)
        }
        What::Over(aggregate, _, bounds) => of_span(*aggregate, &course, bounds),
    }
}

fn span_told(course: &Course) -> String {
    if course.seconds > 1 { format!("{:.4} to {:.4}", course.min, course.max) } else { format!("is {:.4}", course.min) }
}

fn of_span(aggregate: Aggregate, course: &Course, bounds: &[Bound]) -> Conclusion {
    let share = course.known_share();
    if share < KNOWN_SHARE_MIN {
        return (false, None, None, format!("usable values in {:.1} % of the span only", 100.0 * share));
    }
    let x = match aggregate {
        Aggregate::Min => course.min,
        Aggregate::Max => course.max,
        Aggregate::TravelPerDay => course.travel * DAY_S / course.seconds as f64,
        Aggregate::Mean | Aggregate::DailyMean => course.sum / course.known as f64,
    };
    (bounds.iter().all(|bound| bound.holds(x)), None, Some(x), format!("is {x:.4}"))
}

fn of_days(from_s: f64, days: &[(u64, Option<f64>)], bounds: &[Bound]) -> Conclusion {
    let holds = |mean: &Option<f64>| mean.is_some_and(|x| bounds.iter().all(|bound| bound.holds(x)));
    let told = |mean: Option<f64>| mean.map_or_else(|| "has too few values".to_owned(), |x| format!("is {x:.4}"));
    match days.iter().find(|(_, mean)| !holds(mean)) {
        Some((day, mean)) => {
            let at_s = from_s + *day as f64 * DAY_S;
            (false, Some(at_s), *mean, format!("the day from {} {}", told_time(at_s), told(*mean)))
        }
        None => {
            let means: Vec<String> = days.iter().map(|(_, mean)| told(*mean)).collect();
            (true, None, days.last().and_then(|(_, mean)| *mean), means.join(", "))
        }
    }
}

fn of_events(expectation: &Expectation, course: &Course, event: Event) -> Conclusion {
    let (from_s, to_s) = (expectation.from_s, expectation.to_s);
    let inside = |times: &[f64]| -> Vec<f64> { times.iter().copied().filter(|t| *t >= from_s && *t <= to_s).collect() };
    let (came, went) = (inside(&course.came), inside(&course.went));
    let before = |times: &[f64]| times.iter().filter(|t| **t < from_s).count();
    let standing = before(&course.came) > before(&course.went);
    let all = |times: &[f64]| match times {
        [] => "never".to_owned(),
        [first] => format!("at {}", told_time(*first)),
        [first, rest @ ..] => format!("at {} and {} times more", told_time(*first), rest.len()),
    };
    let what = match &course.failed {
        Some((.., part)) => format!(" ({part})"),
        None => String::new(),
    };
    match event {
        Event::Comes => {
            let told = if came.is_empty() { format!("in the whole run: {}", all(&course.came)) } else { all(&came) };
            (!came.is_empty(), came.first().copied(), None, format!("raised {told}"))
        }
        Event::Returns => {
            let told = if went.is_empty() { format!("in the whole run: {}", all(&course.went)) } else { all(&went) };
            (!went.is_empty(), went.first().copied(), None, format!("returned {told}"))
        }
        Event::Never if standing => (false, Some(from_s), None, format!("stands at the beginning of the span{what}")),
        Event::Never => (came.is_empty(), came.first().copied(), None, format!("raised {}{what}", all(&came))),
        Event::AtMost(most) => {
            let excess = came.get(most as usize).copied();
            (excess.is_none(), excess, Some(came.len() as f64), format!("raised {} times", came.len()))
        }
    }
}

fn of_report(path: &str, bounds: &[Bound], report: Option<&Json>) -> Conclusion {
    let Some(report) = report else { return (false, None, None, "there is no report".to_owned()) };
    match walk(report, path) {
        Ok(found) => match found.as_f64() {
            Some(x) => (bounds.iter().all(|bound| bound.holds(x)), None, Some(x), format!("is {x:.4}")),
            None => (false, None, None, format!("is no number but {}", short(found))),
        },
        Err(lost) => (false, None, None, lost.message),
    }
}

fn short(json: &Json) -> String {
    match json {
        Json::Null => "nothing (it was not measured)".to_owned(),
        Json::Object(_) => "a group of numbers".to_owned(),
        Json::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}

/// A path that leads nowhere.
pub(super) struct Lost {
    pub message: String,
    pub help: Option<String>,
    /// It ends where the report of an empty run has nothing yet: later there may be something.
    open: bool,
}

/// Follows a path of words between dots: keys of groups; places (from 0), `name` or `measured` in lists.
fn walk<'j>(report: &'j Json, path: &str) -> Result<&'j Json, Lost> {
    let mut here = report;
    for (index, word) in path.split('.').enumerate() {
        let named = |item: &&Json| ["name", "measured", "activity"].iter().any(|key| item[*key] == word);
        let (next, known): (Option<&Json>, Vec<&str>) = match here {
            Json::Object(map) => (map.get(word), map.keys().map(String::as_str).collect()),
            Json::Array(items) => {
                let place = word.parse::<usize>().ok().and_then(|at| items.get(at));
                let keys = items.iter().filter_map(|i| i["measured"].as_str().or(i["name"].as_str())).collect();
                (place.or_else(|| items.iter().find(named)), keys)
            }
            _ => (None, Vec::new()),
        };
        here = next.ok_or_else(|| {
            let before = path.split('.').take(index).collect::<Vec<_>>().join(".");
            let of = if before.is_empty() { "the report".to_owned() } else { format!("`{before}` of the report") };
            Lost {
                message: format!("{of} has no `{word}`"),
                help: (!known.is_empty()).then(|| format!("did you mean `{}`?", nearest(word, known.iter().copied()))),
                open: known.is_empty(),
            }
        })?;
    }
    Ok(here)
}

/// The number of a report that a path leads to.
#[must_use]
pub fn number_of(report: &Json, path: &str) -> Option<f64> {
    walk(report, path).ok().and_then(Json::as_f64)
}

/// What is wrong with a path, as far as the report of an empty run tells.
pub(super) fn lost(report: &Json, path: &str) -> Option<Lost> {
    walk(report, path).err().filter(|lost| !lost.open)
}
