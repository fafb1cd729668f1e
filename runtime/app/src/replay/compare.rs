//! What was granted then against what is granted here, tag by tag.

use penstock_engine::{ReplayedScan, ScanJournal, Written};
use penstock_model::{Quality, TagId, TagTable, Utc, Value};
use std::collections::BTreeMap;
use std::collections::HashMap;

/// One quantity: what an output was granted, what its program wished, or a computed tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The value granted or computed.
    Value,
    /// What the program wished.
    Wish,
}

/// How one quantity differed.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Scans in which it differed.
    pub scans: u64,
    /// The first moment, with what it was then and here.
    pub first: (Utc, String, String),
    /// Largest difference, in the tag's unit, and when; for numbers.
    pub largest: Option<(f64, Utc)>,
    /// Sum of here minus then over time, in the tag's unit times seconds.
    pub integral_s: f64,
    /// Sum of the absolute difference over time.
    pub absolute_s: f64,
    /// Time for which it differed, s.
    pub time_s: f64,
}

/// A row for a file: one difference at one scan.
#[derive(Debug, Clone)]
pub struct Row {
    /// When.
    pub at: Utc,
    /// Which tag.
    pub tag: TagId,
    /// Which quantity.
    pub part: Part,
    /// What it was then.
    pub then: Option<Value>,
    /// Its quality then; none for a wish.
    pub then_quality: Option<Quality>,
    /// What it is here.
    pub here: Option<Value>,
    /// Its quality here.
    pub here_quality: Option<Quality>,
}

/// Rows kept for a file at most.
const ROWS_MAX: usize = 1_000_000;

/// The comparison of one task.
#[derive(Debug, Default)]
pub struct Comparison {
    then: HashMap<TagId, Written>,
    last: Option<Utc>,
    /// Scans compared.
    pub scans: u64,
    /// Seconds compared.
    pub time_s: f64,
    /// What differed.
    pub found: BTreeMap<(TagId, Part), Difference>,
    /// Commands then and here, by output.
    pub commands: BTreeMap<TagId, (u64, u64)>,
    /// Scans whose commands differed in tag, value or origin.
    pub commands_differ: u64,
    /// Faults here, each with its first moment.
    pub faults: Vec<(Utc, String)>,
    /// Every difference, where rows are wanted.
    pub rows: Option<Vec<Row>>,
    /// Rows that were left out.
    pub rows_left_out: u64,
}

impl Comparison {
    /// Forgets what stood, before a journal with a keyframe.
    pub fn begin_anew(&mut self) {
        self.then.clear();
        self.last = None;
    }

    /// Takes up what a journal says was granted.
    pub fn hear(&mut self, journal: &ScanJournal) {
        for written in &journal.written {
            self.then.insert(written.tag, written.clone());
        }
    }

    /// Nothing compared yet; every difference is kept as a row.
    pub fn with_rows() -> Comparison {
        Comparison { rows: Some(Vec::new()), ..Comparison::default() }
    }

    /// Holds a replayed scan against what was heard of it.
    pub fn compare(&mut self, journal: &ScanJournal, here: &ReplayedScan) {
        let at = journal.now.utc;
        let step = self.last.map_or(0.0, |last| seconds(last, at));
        self.last = Some(at);
        self.scans += 1;
        self.time_s += step;
        for now in &here.written {
            let then = self.then.get(&now.tag).cloned();
            let (value, quality, wish) = match &then {
                Some(w) => (w.value.as_ref(), Some(w.quality), w.wish.as_ref()),
                None => (None, None, None),
            };
            if !same(value, now.value.as_ref()) || quality != Some(now.quality) {
                let qualities = (quality, Some(now.quality));
                self.differs(now.tag, Part::Value, at, step, (value, now.value.as_ref()), qualities);
            }
            if !same(wish, now.wish.as_ref()) {
                self.differs(now.tag, Part::Wish, at, step, (wish, now.wish.as_ref()), (None, None));
            }
        }
        for issued in &journal.commands {
            self.commands.entry(issued.command.tag).or_default().0 += 1;
        }
        for command in &here.commands {
            self.commands.entry(command.tag).or_default().1 += 1;
        }
        let equal = journal.commands.len() == here.commands.len()
            && journal.commands.iter().zip(&here.commands).all(|(a, b)| {
                let a = &a.command;
                a.tag == b.tag && same(a.value.as_ref(), b.value.as_ref()) && a.origin == b.origin
            });
        self.commands_differ += u64::from(!equal);
        if let Some(fault) = &here.fault
            && self.faults.last().is_none_or(|(_, last)| **last != **fault)
            && self.faults.len() < 100
        {
            self.faults.push((at, fault.to_string()));
        }
    }

    fn differs(
        &mut self,
        tag: TagId,
        part: Part,
        at: Utc,
        step: f64,
        (then, here): (Option<&Value>, Option<&Value>),
        (then_quality, here_quality): (Option<Quality>, Option<Quality>),
    ) {
        let shown = |v: Option<&Value>, q: Option<Quality>| {
            let value = v.map_or("–".to_owned(), ToString::to_string);
            match q {
                Some(q) if !q.is_good() => format!("{value} {q}"),
                _ => value,
            }
        };
        let first = || (at, shown(then, then_quality), shown(here, here_quality));
        let d = self.found.entry((tag, part)).or_insert_with(|| Difference {
            scans: 0,
            first: first(),
            largest: None,
            integral_s: 0.0,
            absolute_s: 0.0,
            time_s: 0.0,
        });
        d.scans += 1;
        d.time_s += step;
        if let (Some(a), Some(b)) = (then.and_then(Value::as_f64), here.and_then(Value::as_f64)) {
            let delta = b - a;
            d.integral_s += delta * step;
            d.absolute_s += delta.abs() * step;
            if d.largest.is_none_or(|(largest, _)| delta.abs() > largest.abs()) {
                d.largest = Some((delta, at));
            }
        }
        if let Some(rows) = &mut self.rows {
            if rows.len() < ROWS_MAX {
                let (then, here) = (then.cloned(), here.cloned());
                rows.push(Row { at, tag, part, then, then_quality, here, here_quality });
            } else {
                self.rows_left_out += 1;
            }
        }
    }

    /// True where nothing differed.
    pub fn is_equal(&self) -> bool {
        self.found.is_empty() && self.commands_differ == 0
    }

    /// A line per tag that differed; wishes only where the grant did not differ.
    pub fn lines(&self, tags: &TagTable, shown: impl Fn(Utc) -> String, chinese: bool) -> Vec<String> {
        let mut lines = Vec::new();
        for ((tag, part), d) in &self.found {
            if *part == Part::Wish && self.found.contains_key(&(*tag, Part::Value)) {
                continue;
            }
            let def = tags.get(*tag);
            let unit = def.unit.as_str();
            let what = match (part, chinese) {
                (Part::Value, _) => "",
                (Part::Wish, true) => "（程序期望值）",
                (Part::Wish, false) => " (wish of the program)",
            };
            let share = if self.time_s > 0.0 { 100.0 * d.time_s / self.time_s } else { 100.0 };
            let (at, then, here) = &d.first;
            let at = shown(*at);
            lines.push(if chinese {
                format!("{}{what}：{share:.1} % 的时间不同，首次 {at}：当时 {then}，现在 {here}", def.path)
            } else {
                format!("{}{what}: differs {share:.1} % of the time, first at {at}: then {then}, here {here}", def.path)
            });
            if let Some((largest, at)) = d.largest.filter(|(x, _)| *x != 0.0) {
                let mean = if d.time_s > 0.0 { d.absolute_s / d.time_s } else { largest.abs() };
                let (at, integral) = (shown(at), d.integral_s / 3_600.0);
                lines.push(if chinese {
                    format!("    最大 {largest:+.4} {unit}（{at}），平均 {mean:.4} {unit}，积分 {integral:+.4} {unit}·h")
                } else {
                    format!("    largest {largest:+.4} {unit} at {at}, mean {mean:.4} {unit}, integral {integral:+.4} {unit}·h")
                });
            }
            if let Some((then, here)) = self.commands.get(tag).filter(|(a, b)| *part == Part::Value && a != b) {
                lines.push(if chinese {
                    format!("    命令数：当时 {then}，现在 {here}")
                } else {
                    format!("    commands: {then} then, {here} here")
                });
            }
        }
        lines
    }

    /// The comparison as JSON.
    pub fn json(&self, tags: &TagTable) -> serde_json::Value {
        let found = self.found.iter().map(|((tag, part), d)| {
            let def = tags.get(*tag);
            let writer = match &def.source {
                penstock_model::Source::Program(name) => Some(name.to_string()),
                _ => None,
            };
            serde_json::json!({
                "tag": &*def.path,
                "program": writer,
                "unit": def.unit.as_str(),
                "part": if *part == Part::Value { "value" } else { "wish" },
                "scans": d.scans,
                "time_s": d.time_s,
                "first_ns": d.first.0.0,
                "first_then": d.first.1,
                "first_here": d.first.2,
                "largest": d.largest.map(|(x, _)| x),
                "largest_ns": d.largest.map(|(_, at)| at.0),
                "mean_absolute": if d.time_s > 0.0 { Some(d.absolute_s / d.time_s) } else { None },
                "integral_s": d.integral_s,
                "commands_then": self.commands.get(tag).map_or(0, |c| c.0),
                "commands_here": self.commands.get(tag).map_or(0, |c| c.1),
            })
        });
        serde_json::json!({
            "scans": self.scans,
            "time_s": self.time_s,
            // Of no scan nothing can be said.
            "equal": (self.scans > 0).then(|| self.is_equal()),
            "commands_differ": self.commands_differ,
            "faults": self.faults.iter().map(|(at, text)| serde_json::json!({"at_ns": at.0, "text": text})).collect::<Vec<_>>(),
            "differences": found.collect::<Vec<_>>(),
        })
    }
}

fn seconds(from: Utc, to: Utc) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a span within a window")]
    let ns = to.0.saturating_sub(from.0).max(0) as f64;
    ns * 1e-9
}

/// Equal to the bit.
fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(Value::Float(a)), Some(Value::Float(b))) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}
