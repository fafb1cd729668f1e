//! `seek` of a row: the value of an entry at which a number of the report is that of the row beside it.
//!
//! Two ways of control compare fairly where they reach the same: a fixed dose is sought that keeps the phosphate where
//! the controlled one keeps it, and then the chemical is compared. Who runs the rows steps with [`Search`].

use super::read::{Reading, get};
use super::tree::{At, Node, Place};
use super::{Act, Deed, Entry, Scenario};

/// Share of the number that is near enough, where the file says nothing.
const WITHIN: f64 = 0.02;
/// Most runs of a row: each halves the span at least.
const RUNS_MAX: u32 = 16;

/// What is sought.
#[derive(Debug, Clone, PartialEq)]
pub struct Seek {
    /// Entry that is made before the settling, with each value that is tried.
    pub entry: String,
    /// Least value.
    pub from: f64,
    /// Greatest value.
    pub to: f64,
    /// Path of the number in the report that is to become that of the row beside it.
    pub report: String,
    /// Share of that number by which it may differ.
    pub within: f64,
    /// Line of the file, from 1.
    pub line: u32,
}

impl Seek {
    /// The scenario with this value entered before it settles, after every other entry.
    #[must_use]
    pub fn with(&self, scenario: &Scenario, value: f64) -> Scenario {
        let mut scenario = scenario.clone();
        let before_s = -scenario.settle_s.ceil();
        let text = format!("set: {{{}: {value}}}", self.entry);
        let deed = Deed::Set(vec![(self.entry.clone(), Entry::Number(value))]);
        scenario.acts.push(Act { at_s: before_s, line: self.line, text, deed });
        scenario.acts.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        scenario
    }
}

/// A search in steps: a value to try, then what it gave.
///
/// False position by the rule of Illinois (Dowell & Jarratt, *A modified "regula falsi" method*, 1971): both ends of the span
/// close in, and the number need only rise or fall between them.
#[derive(Debug, Clone)]
pub struct Search {
    seek: Seek,
    target: f64,
    /// Value and how far the number was above its target, at the ends of the span.
    low: Option<(f64, f64)>,
    high: Option<(f64, f64)>,
    /// The end that stayed at the last step: its weight is halved when it stays again.
    stayed: Option<bool>,
    runs: u32,
}

/// What comes next in a search.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Run with this value.
    Try(f64),
    /// The value that was tried last is what was sought.
    Found,
    /// There is none, for this reason.
    Lost(String),
}

impl Search {
    /// Of a number that is to become `target`.
    #[must_use]
    pub fn new(seek: &Seek, target: f64) -> Search {
        Search { seek: seek.clone(), target, low: None, high: None, stayed: None, runs: 0 }
    }

    /// What to try first.
    #[must_use]
    pub fn first(&self) -> f64 {
        self.seek.from
    }

    /// What comes after a run with `value` in which the number was `seen`.
    pub fn next(&mut self, value: f64, seen: Option<f64>) -> Next {
        self.runs += 1;
        let Some(seen) = seen.filter(|x| x.is_finite()) else {
            return Next::Lost(format!("at {} {value} the report has no {}", self.seek.entry, self.seek.report));
        };
        let off = seen - self.target;
        if off.abs() <= self.seek.within * self.target.abs() {
            return Next::Found;
        }
        let (Some(low), Some(high)) = (self.low, self.high) else { return self.begin(value, off) };
        if self.runs >= RUNS_MAX {
            return Next::Lost(format!(
                "after {RUNS_MAX} runs {} is still {seen:.4}, not {:.4}",
                self.seek.report, self.target
            ));
        }
        let is_low = (off > 0.0) == (low.1 > 0.0);
        let halved = |end: (f64, f64), again: bool| if again { (end.0, end.1 / 2.0) } else { end };
        if is_low {
            self.low = Some((value, off));
            self.high = Some(halved(high, self.stayed == Some(false)));
        } else {
            self.high = Some((value, off));
            self.low = Some(halved(low, self.stayed == Some(true)));
        }
        self.stayed = Some(!is_low);
        self.between()
    }

    fn begin(&mut self, value: f64, off: f64) -> Next {
        let Some(low) = self.low else {
            self.low = Some((value, off));
            return Next::Try(self.seek.to);
        };
        if (low.1 > 0.0) == (off > 0.0) {
            return Next::Lost(format!(
                "{} is {:.4} at {} {} and {:.4} at {}: between them it does not become {:.4}",
                self.seek.report,
                low.1 + self.target,
                self.seek.entry,
                low.0,
                off + self.target,
                value,
                self.target
            ));
        }
        self.high = Some((value, off));
        self.between()
    }

    fn between(&self) -> Next {
        let (Some(low), Some(high)) = (self.low, self.high) else { return Next::Lost("nothing was tried".to_owned()) };
        Next::Try((low.0 * high.1 - high.0 * low.1) / (high.1 - low.1))
    }
}

impl Reading<'_> {
    /// `seek: {entry: …, from: …, to: …, report: …, within: …}` of a row.
    pub fn seek(&mut self, node: &At<Node>) -> Option<Seek> {
        let map = self.map(node)?;
        self.only(map, &["entry", "from", "to", "report", "within"]);
        if !self.with_runtime(node.place, "`seek`") {
            return None;
        }
        let mut needed = |key: &str, place: Place| {
            let found = get(map, key);
            if found.is_none() {
                self.wrong(place, format!("`{key}` is missing: seek takes entry, from, to and report"), None);
            }
            found
        };
        let (entry, from, to) = (needed("entry", node.place), needed("from", node.place), needed("to", node.place));
        let (entry, from, to, report) = (entry?, from?, to?, needed("report", node.place)?);
        let (path, number) = (self.text(entry)?.to_owned(), self.text(report)?.to_owned());
        let tag = self.settable(entry.place, &path)?;
        let (low, high) = (self.number(from)?, self.number(to)?);
        let limits = tag.limits.unwrap_or((f64::MIN, f64::MAX));
        if tag.switch || low >= high || low < limits.0 || high > limits.1 {
            let message = format!("`{path}` is sought between two numbers, the smaller first, within its limits");
            self.wrong(from.place, message, None);
            return None;
        }
        let within = get(map, "within").map_or(Some(WITHIN), |node| self.number(node))?;
        if !(0.0001..=1.0).contains(&within) {
            self.wrong(node.place, "`within` is a share of 0.0001 to 1", None);
            return None;
        }
        let known = self.names.runtime.as_ref().map(|runtime| &runtime.report);
        if let Some(wrong) = known.and_then(|known| super::judge::lost(known, &number)) {
            self.wrong(report.place, wrong.message, wrong.help);
            return None;
        }
        Some(Seek { entry: path, from: low, to: high, report: number, within, line: node.place.line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seek() -> Seek {
        let (entry, report) = ("dos/sp".to_owned(), "p95".to_owned());
        Seek { entry, from: 1.0, to: 9.0, report, within: 0.01, line: 3 }
    }

    /// Values that were tried, and how the search ended.
    fn search(target: f64, plant: impl Fn(f64) -> f64) -> (Vec<f64>, Next) {
        let mut search = Search::new(&seek(), target);
        let mut tried = vec![search.first()];
        loop {
            let value = *tried.last().unwrap();
            match search.next(value, Some(plant(value))) {
                Next::Try(next) => tried.push(next),
                end => return (tried, end),
            }
        }
    }

    #[test]
    fn it_finds_what_rises_and_what_falls() {
        for plant in [(|x: f64| 2.0 * (-0.6 * x).exp()) as fn(f64) -> f64, |x| 0.02 * x * x * x, |x| 5.0 - 0.5 * x] {
            let wanted = plant(3.7);
            let (tried, end) = search(wanted, plant);
            let last = plant(*tried.last().unwrap());
            assert_eq!(end, Next::Found, "{tried:?}");
            assert!((last - wanted).abs() <= 0.01 * wanted, "{last} is not {wanted}");
            assert!(tried.len() <= 12 && tried.iter().all(|x| (1.0..=9.0).contains(x)), "{tried:?}");
        }
    }

    #[test]
    fn it_says_when_there_is_none() {
        let (tried, end) = search(50.0, |x| x);
        assert_eq!(tried.len(), 2);
        assert!(matches!(&end, Next::Lost(why) if why.contains("does not become 50")), "{end:?}");
        let (tried, end) = search(5.0, |x| if x < 5.0 { 1.0 } else { 9.0 });
        assert_eq!(tried.len(), 16, "a jump over the number is given up on");
        assert!(matches!(&end, Next::Lost(why) if why.contains("16 runs")), "{end:?}");
        assert!(matches!(Search::new(&seek(), 1.0).next(1.0, None), Next::Lost(why) if why.contains("no p95")));
    }
}
