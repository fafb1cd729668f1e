//! What must hold: the kinds of expectations and how they are written.

use super::read::{Reading, get, suggest};
use super::tree::{At, Map, Node, Place};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The plant itself.
    True,
    /// What its instrument shows.
    Shown,
    /// The tag of the runtime.
    Tag,
}

impl Source {
    /// The word of the format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Source::True => "true",
            Source::Shown => "shown",
            Source::Tag => "tag",
        }
    }
}

/// How a number is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Less.
    Below,
    /// Greater.
    Above,
    /// Less or equal.
    AtMost,
    /// Greater or equal.
    AtLeast,
    /// Equal within a tolerance.
    Equals,
}

const RELATIONS: [(&str, Relation); 5] = [
    ("below", Relation::Below),
    ("above", Relation::Above),
    ("at_most", Relation::AtMost),
    ("at_least", Relation::AtLeast),
    ("equals", Relation::Equals),
];

/// One comparison with a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// How.
    pub relation: Relation,
    /// With what.
    pub limit: f64,
    /// Largest difference of [`Relation::Equals`].
    pub within: f64,
}

impl Bound {
    /// True where the number holds; not a number never does.
    #[must_use]
    pub fn holds(&self, x: f64) -> bool {
        match self.relation {
            Relation::Below => x < self.limit,
            Relation::Above => x > self.limit,
            Relation::AtMost => x <= self.limit,
            Relation::AtLeast => x >= self.limit,
            Relation::Equals => (x - self.limit).abs() <= self.within,
        }
    }
}

/// What must hold of a value over a span.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// All of these, every second.
    Always(Vec<Bound>),
    /// The share of seconds (0 to 1) beyond a limit; a second without a usable value counts against the expectation.
    Share {
        /// Above the limit; below it otherwise.
        above: bool,
        /// The limit.
        limit: f64,
        /// What holds of the share.
        share: Bound,
    },
}

/// How the values of a span become one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aggregate {
    /// Mean over time.
    Mean,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Mean of every whole day from the beginning of the span.
    DailyMean,
    /// Sum of all changes, per day.
    TravelPerDay,
}

const AGGREGATES: [(&str, Aggregate); 5] = [
    ("mean", Aggregate::Mean),
    ("min", Aggregate::Min),
    ("max", Aggregate::Max),
    ("daily_mean", Aggregate::DailyMean),
    ("travel", Aggregate::TravelPerDay),
];

/// A quantity and where its values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measure {
    /// Where from.
    pub source: Source,
    /// Its name.
    pub tag: String,
}

/// What must hold of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It comes in the span.
    Comes,
    /// It returns to normal in the span.
    Returns,
    /// It does not come in the span and does not stand at its beginning.
    Never,
    /// It comes at most so many times in the span.
    AtMost(u32),
}

/// What must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A value, every second or for a share of them.
    Value(Measure, Test),
    /// One number made of the values of the span.
    Over(Aggregate, Measure, Vec<Bound>),
    /// The quality of a tag, every second: its class, and its reason where one is named.
    Quality {
        /// Path of the tag.
        tag: String,
        /// `good`, `uncertain` or `bad`.
        is: String,
        /// The word for the reason.
        reason: Option<String>,
    },
    /// An alarm.
    Alarm(String, Event),
    /// Faults of the runtime whose part begins with these words; all of them where empty.
    Faults(String, Event),
    /// A number of the report, by its path.
    Report(String, Vec<Bound>),
}

/// One expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// Line of the file, from 1.
    pub line: u32,
    /// The entry on one line.
    pub text: String,
    /// First moment it is about, s from the beginning.
    pub from_s: f64,
    /// Last moment.
    pub to_s: f64,
    /// What must hold.
    pub what: What,
}

/// What an expectation can be about, by its key.
const KINDS: [&str; 12] =
    ["true", "shown", "tag", "quality", "alarm", "faults", "mean", "min", "max", "daily_mean", "travel", "report"];
const BOUND_HELP: &str = "write below, above, at_most, at_least, or equals (with within)";
const SHARES: [(&str, bool); 2] = [("share_above", true), ("share_below", false)];
const CLASSES: [&str; 3] = ["good", "uncertain", "bad"];
const DAY_S: f64 = 86_400.0;

impl Reading<'_> {
    /// Reads one entry under `expect`; `end_s` is the length of the run.
    pub(super) fn expectation(&mut self, entry: &At<Node>, end_s: f64) -> Option<Expectation> {
        let map = self.map(entry)?;
        let mut kinds = map.iter().filter(|(key, _)| KINDS.contains(&key.value.as_str()));
        let Some((kind, node)) = kinds.next() else {
            let unknown = map.first().map(|(key, _)| key.clone());
            let place = unknown.as_ref().map_or(entry.place, |key| key.place);
            let help = unknown.and_then(|key| suggest(&key.value, KINDS));
            self.wrong(place, format!("this expects nothing known; it needs one of {}", KINDS.join(", ")), help);
            return None;
        };
        if let Some((second, _)) = kinds.next() {
            let message = format!("`{}` and `{}` in one expectation; write two", kind.value, second.value);
            self.wrong(second.place, message, None);
            return None;
        }
        let kind = (kind.value.as_str(), kind.place);
        let aggregate = AGGREGATES.iter().find(|(name, _)| *name == kind.0).map(|(_, aggregate)| *aggregate);
        let mut span = self.span(entry.place, map, end_s);
        let what = match (kind.0, aggregate) {
            ("true" | "shown" | "tag", _) => self.value(kind, node, entry, map),
            (_, Some(aggregate)) => self.over(kind, aggregate, node, entry, map, span),
            ("quality", _) => self.quality(kind, node, entry, map),
            ("alarm" | "faults", _) => self.event(kind, node, entry, map, &mut span, end_s),
            _ => self.report(kind, node, entry, map),
        };
        let (from_s, to_s) = span?;
        Some(Expectation { line: entry.place.line, text: entry.value.to_string(), from_s, to_s, what: what? })
    }

    /// First and last moment of an entry; the whole run where it names none.
    fn span(&mut self, place: Place, map: &Map, end_s: f64) -> Option<(f64, f64)> {
        let at = get(map, "at");
        let (from, to) = (get(map, "from"), get(map, "to"));
        if let Some(at) = at {
            if from.is_some() || to.is_some() {
                self.wrong(at.place, "`at` is a moment, `from` and `to` a span; write one of them", None);
                return None;
            }
            return self.time(at).map(|at_s| (at_s, at_s));
        }
        let from_s = from.map_or(Some(0.0), |node| self.time(node));
        let to_s = to.map_or(Some(end_s), |node| self.time(node));
        let (from_s, to_s) = (from_s?, to_s?);
        if to_s < from_s {
            self.wrong(to.map_or(place, |node| node.place), "the span ends before it begins", None);
            return None;
        }
        Some((from_s, to_s))
    }

    /// A name of the plant or the runtime, as the source asks.
    fn measure(&mut self, source: Source, key: Place, node: &At<Node>) -> Option<Measure> {
        let tag = self.text(node)?.to_owned();
        let names = self.names;
        let known: Vec<&str> = match source {
            Source::True => names.quantities.iter().chain(&names.states).map(String::as_str).collect(),
            Source::Shown => names.quantities.iter().map(String::as_str).collect(),
            Source::Tag => {
                if !self.with_runtime(key, "a tag") {
                    return None;
                }
                names.runtime.iter().flat_map(|runtime| runtime.tags.iter().map(String::as_str)).collect()
            }
        };
        if known.contains(&tag.as_str()) {
            return Some(Measure { source, tag });
        }
        let message = match source {
            Source::Shown if names.states.contains(&tag) => format!("`{tag}` is a state, which no instrument shows"),
            Source::Tag => format!("the site has no tag `{tag}`"),
            _ => format!("the plant measures nothing called `{tag}`"),
        };
        self.wrong(node.place, message, suggest(&tag, known));
        None
    }

    /// The comparisons of an entry; complains where there is none.
    fn bounds(&mut self, place: Place, map: &Map) -> Option<Vec<Bound>> {
        let mut bounds = Vec::new();
        for (name, relation) in RELATIONS {
            let Some(node) = get(map, name) else { continue };
            let limit = match node.value {
                // A switch is compared as the number it is read as.
                Node::Switch(on) => f64::from(u8::from(on)),
                _ => self.number(node)?,
            };
            let mut within = 1e-9;
            if let Some(node) = get(map, "within").filter(|_| relation == Relation::Equals) {
                within = self.number(node)?;
                if within < 0.0 {
                    self.wrong(node.place, "a tolerance is 0 or more", None);
                    return None;
                }
            }
            bounds.push(Bound { relation, limit, within });
        }
        if let Some(node) = get(map, "within").filter(|_| get(map, "equals").is_none()) {
            self.wrong(node.place, "`within` belongs to `equals`", None);
        }
        if bounds.is_empty() {
            self.wrong(place, "no comparison: what must hold?", Some(BOUND_HELP.to_owned()));
            return None;
        }
        Some(bounds)
    }

    fn value(&mut self, (kind, key): (&str, Place), node: &At<Node>, entry: &At<Node>, map: &Map) -> Option<What> {
        let source = match kind {
            "true" => Source::True,
            "shown" => Source::Shown,
            _ => Source::Tag,
        };
        let mut known = vec!["at", "from", "to", "within", "share_above", "share_below"];
        known.extend(RELATIONS.map(|(name, _)| name));
        known.extend(["true", "shown", "tag"]);
        self.only(map, &known);
        let measure = self.measure(source, key, node);
        let share = SHARES.iter().find_map(|(name, above)| get(map, name).map(|node| (*above, node)));
        let test = match share {
            Some((above, node)) => self.share(above, node, map),
            None => self.bounds(entry.place, map).map(Test::Always),
        };
        Some(What::Value(measure?, test?))
    }

    fn share(&mut self, above: bool, node: &At<Node>, map: &Map) -> Option<Test> {
        let inner = self.map(node)?;
        self.only(inner, &["limit", "below", "above", "at_most", "at_least"]);
        let limit = match get(inner, "limit") {
            Some(limit) => self.number(limit),
            None => {
                self.wrong(node.place, "`limit` is missing: beyond what?", None);
                None
            }
        };
        let shares = self.bounds(node.place, inner)?;
        let &[share] = shares.as_slice() else {
            self.wrong(node.place, "a share has one comparison", None);
            return None;
        };
        if !(0.0..=1.0).contains(&share.limit) {
            self.wrong(node.place, format!("`{}` is no share; it is 0 to 1", share.limit), None);
            return None;
        }
        if RELATIONS.iter().any(|(name, _)| get(map, name).is_some()) {
            self.wrong(node.place, "a share and a comparison of the value itself; write two expectations", None);
            return None;
        }
        Some(Test::Share { above, limit: limit?, share })
    }

    fn over(
        &mut self,
        (kind, key): (&str, Place),
        aggregate: Aggregate,
        node: &At<Node>,
        entry: &At<Node>,
        map: &Map,
        span: Option<(f64, f64)>,
    ) -> Option<What> {
        let mut known = vec!["from", "to", "of"];
        known.extend(AGGREGATES.map(|(name, _)| name).into_iter().filter(|name| *name == kind));
        let travel = aggregate == Aggregate::TravelPerDay;
        if travel {
            known.extend(["per_day_at_most", "per_day_at_least"]);
        } else {
            known.extend(RELATIONS.map(|(name, _)| name));
            known.push("within");
        }
        self.only(map, &known);
        let source = match get(map, "of") {
            // An unquoted `true` is a switch in YAML.
            Some(At { value: Node::Switch(true), .. }) => Source::True,
            Some(of) => match self.text(of)? {
                "true" => Source::True,
                "shown" => Source::Shown,
                "tag" => Source::Tag,
                other => {
                    self.wrong(of.place, format!("`{other}` is no source; there are true, shown, tag"), None);
                    return None;
                }
            },
            None if self.names.runtime.is_none() || self.names.in_plant(&node.value.to_string()) => Source::True,
            None => Source::Tag,
        };
        let measure = self.measure(source, key, node);
        let bounds = if travel { self.travel_bounds(entry.place, map) } else { self.bounds(entry.place, map) };
        if aggregate == Aggregate::DailyMean
            && let Some((from_s, to_s)) = span
            && to_s - from_s < DAY_S
        {
            self.wrong(entry.place, "a daily mean needs a span of a day at least", None);
            return None;
        }
        Some(What::Over(aggregate, measure?, bounds?))
    }

    fn travel_bounds(&mut self, place: Place, map: &Map) -> Option<Vec<Bound>> {
        let mut bounds = Vec::new();
        for (name, relation) in [("per_day_at_most", Relation::AtMost), ("per_day_at_least", Relation::AtLeast)] {
            if let Some(node) = get(map, name) {
                bounds.push(Bound { relation, limit: self.number(node)?, within: 0.0 });
            }
        }
        if bounds.is_empty() {
            let help = "write per_day_at_most or per_day_at_least".to_owned();
            self.wrong(place, "no comparison: how far may it travel?", Some(help));
            return None;
        }
        Some(bounds)
    }

    fn quality(&mut self, (_, key): (&str, Place), node: &At<Node>, entry: &At<Node>, map: &Map) -> Option<What> {
        self.only(map, &["quality", "at", "from", "to", "is", "reason"]);
        let measure = self.measure(Source::Tag, key, node);
        let is = match get(map, "is") {
            Some(is) => {
                let word = self.text(is)?;
                if !CLASSES.contains(&word) {
                    self.wrong(is.place, format!("`{word}` is no quality; there are good, uncertain, bad"), None);
                    return None;
                }
                word.to_owned()
            }
            None => {
                self.wrong(entry.place, "`is` is missing: good, uncertain or bad?", None);
                return None;
            }
        };
        let reason = match get(map, "reason") {
            Some(node) => {
                let word = self.text(node)?;
                let known = self.names.runtime.iter().flat_map(|r| r.reasons.iter().map(String::as_str));
                if !known.clone().any(|reason| reason == word) {
                    let help = suggest(word, known);
                    self.wrong(node.place, format!("`{word}` is no reason of a quality"), help);
                    return None;
                }
                Some(word.to_owned())
            }
            None => None,
        };
        Some(What::Quality { tag: measure?.tag, is, reason })
    }

    /// An alarm or a fault of the runtime; the span may stand inside `raised` and `returned`.
    fn event(
        &mut self,
        (kind, key): (&str, Place),
        node: &At<Node>,
        entry: &At<Node>,
        map: &Map,
        span: &mut Option<(f64, f64)>,
        end_s: f64,
    ) -> Option<What> {
        let own = if kind == "alarm" { "alarm" } else { "faults" };
        self.only(map, &[own, "from", "to", "raised", "returned", "never", "times_at_most"]);
        if !self.with_runtime(key, if kind == "alarm" { "an alarm" } else { "a fault of the runtime" }) {
            return None;
        }
        let name = self.text(node)?.to_owned();
        let alarms = self.names.runtime.iter().flat_map(|r| r.alarms.iter().map(String::as_str));
        if kind == "alarm" && !alarms.clone().any(|alarm| alarm == name) {
            let help = suggest(&name, alarms);
            self.wrong(node.place, format!("the site has no alarm `{name}`"), help);
            return None;
        }
        let asked: Vec<(&str, &At<Node>)> = ["raised", "returned", "never", "times_at_most"]
            .into_iter()
            .filter_map(|word| get(map, word).map(|node| (word, node)))
            .collect();
        let none = kind == "faults" && name == "none";
        let event = match asked.as_slice() {
            [] if none => Event::Never,
            [("never", At { value: Node::Switch(true), .. })] => Event::Never,
            [("times_at_most", times)] => {
                let count = self.number(times)?;
                if count < 0.0 || count.fract() != 0.0 || count > f64::from(u32::MAX) {
                    self.wrong(times.place, format!("`{count}` is no count"), None);
                    return None;
                }
                Event::AtMost(count as u32)
            }
            [(word @ ("raised" | "returned"), inner)] if !none => {
                let times = self.map(inner)?;
                self.only(times, &["from", "to"]);
                *span = self.span(inner.place, times, end_s);
                if *word == "raised" { Event::Comes } else { Event::Returns }
            }
            _ => {
                let help = "write one of raised: {from: .., to: ..}, returned: {..}, never: true, times_at_most: 3";
                self.wrong(entry.place, format!("what must hold of `{name}`?"), Some(help.to_owned()));
                return None;
            }
        };
        Some(if kind == "alarm" {
            What::Alarm(name, event)
        } else {
            What::Faults(if none { String::new() } else { name }, event)
        })
    }

    fn report(&mut self, (_, key): (&str, Place), node: &At<Node>, entry: &At<Node>, map: &Map) -> Option<What> {
        let mut known = vec!["report", "within"];
        known.extend(RELATIONS.map(|(name, _)| name));
        self.only(map, &known);
        if !self.with_runtime(key, "a number of the report") {
            return None;
        }
        let path = self.text(node)?.to_owned();
        let bounds = self.bounds(entry.place, map);
        let empty = self.names.runtime.as_ref().map(|runtime| &runtime.report);
        if let Some(wrong) = empty.and_then(|report| super::judge::lost(report, &path)) {
            self.wrong(node.place, wrong.message, wrong.help);
            return None;
        }
        Some(What::Report(path, bounds?))
    }
}
