//! A matrix of scenarios: one base, rows that differ from it, and numbers of the report as columns.
//!
//! A row is the base with its own keys laid over: `before`, `do` and `expect` are added to those of the base, every other
//! key takes its place. A column may have a limit; a row breaks it where its number is above the limit and above that of
//! the row it is held against by more than the column's slack: what physics forces, no controller is blamed for.

use super::read::{Reading, get, suggest};
use super::tree::{At, Complaints, Map, Node, Place, tree};
use super::{Names, Problems, Scenario, Seek};

/// Most rows: each is a run.
const ROWS_MAX: usize = 500;
/// Most columns of a table that a person can read.
const COLUMNS_MAX: usize = 12;
/// Decimals of a number where a column says nothing.
const DECIMALS: usize = 2;
/// Share by which a number may be above that of the row it is held against, where a column says nothing.
const SLACK: f64 = 0.05;
/// What a row is held against that shows what physics allows: it is no controller's work.
const ITSELF: &str = "itself";
const HEAD: [&str; 6] = ["matrix", "title_zh", "site", "base", "columns", "rows"];
/// Lists of a row that add to those of the base.
const ADDED: [&str; 3] = ["before", "do", "expect"];

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Path of a number in the report.
    pub report: String,
    /// What stands above it.
    pub title: String,
    /// The number is multiplied by this.
    pub scale: f64,
    /// Digits behind the point.
    pub decimals: usize,
    /// Greatest number that is in order.
    pub limit: Option<f64>,
    /// Share by which a number beyond the limit may exceed that of the row it is held against.
    pub slack: f64,
}

/// A row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name is the title.
    pub scenario: Scenario,
    /// Place of the row that shows what physics allows; the first one where the file names none, its own where it is one.
    pub against: usize,
    /// What is sought, so that a number is that of the row it is held against.
    pub seek: Option<Seek>,
}

/// A matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// What a person calls it.
    pub title: String,
    /// The same in Chinese, where the file says it.
    pub title_zh: Option<String>,
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows; at least one.
    pub rows: Vec<Row>,
}

impl Matrix {
    /// Reads a matrix.
    ///
    /// # Errors
    /// [`Problems`]: every mistake of the text with its place.
    pub fn parse(text: &str, names: &Names) -> Result<Matrix, Problems> {
        let mut reading = Reading { complaints: Complaints::new(text), names };
        let root = tree(text.strip_prefix('\u{FEFF}').unwrap_or(text), &mut reading.complaints);
        let matrix = root.and_then(|root| reading.matrix(&root));
        match matrix {
            Some(matrix) if reading.complaints.is_empty() => Ok(matrix),
            _ => Err(reading.complaints.finish()),
        }
    }

    /// Whether a number of a row breaks its column, and the number it is held against.
    #[must_use]
    pub fn breaks(column: &Column, value: Option<f64>, against: Option<f64>) -> bool {
        match (column.limit, value) {
            (None, _) => false,
            // A number that is not there is not known to be in order.
            (Some(_), None) => true,
            // The slack is upon what the other row shows, and not upon the limit: where that row keeps well within it, so
            // must this one.
            (Some(limit), Some(value)) => {
                value > limit && against.is_none_or(|other| value > other * (1.0 + column.slack))
            }
        }
    }
}

impl Reading<'_> {
    fn matrix(&mut self, root: &At<Node>) -> Option<Matrix> {
        let map = self.map(root)?;
        self.only(map, &HEAD);
        let title = self.named(map, "matrix", root.place);
        let title_zh = get(map, "title_zh").and_then(|node| self.text(node).map(str::to_owned));
        let empty = Map::new();
        let base = match get(map, "base") {
            Some(node) => self.map(node)?,
            None => &empty,
        };
        let site = map.iter().find(|(key, _)| key.value == "site");
        let columns: Vec<Column> =
            self.many(map, "columns", COLUMNS_MAX, root.place).iter().filter_map(|entry| self.column(entry)).collect();
        let mut rows: Vec<Row> = Vec::new();
        for entry in self.many(map, "rows", ROWS_MAX, root.place) {
            rows.extend(self.row(entry, base, site, &rows));
        }
        Some(Matrix { title: title?, title_zh, columns, rows })
    }

    fn named(&mut self, map: &Map, key: &str, place: Place) -> Option<String> {
        match get(map, key) {
            Some(node) => self.text(node).map(str::to_owned),
            None => {
                self.wrong(place, format!("`{key}` is missing: what is it called?"), None);
                None
            }
        }
    }

    /// The entries of a list that must hold one at least.
    fn many<'n>(&mut self, map: &'n Map, key: &str, most: usize, place: Place) -> &'n [At<Node>] {
        match get(map, key).map(|node| (node.place, &node.value)) {
            Some((_, Node::List(items))) if (1..=most).contains(&items.len()) => items,
            Some((place, _)) => {
                self.wrong(place, format!("`{key}` is a list of 1 to {most} entries"), None);
                &[]
            }
            None => {
                self.wrong(place, format!("`{key}` is missing: a list of 1 to {most} entries"), None);
                &[]
            }
        }
    }

    fn column(&mut self, entry: &At<Node>) -> Option<Column> {
        let map = self.map(entry)?;
        self.only(map, &["report", "title", "scale", "decimals", "limit", "slack"]);
        let Some(node) = get(map, "report") else {
            self.wrong(entry.place, "`report` is missing: which number of the report?", None);
            return None;
        };
        let report = self.text(node)?.to_owned();
        let empty = self.names.runtime.as_ref().map(|runtime| &runtime.report);
        if let Some(wrong) = empty.and_then(|known| super::judge::lost(known, &report)) {
            self.wrong(node.place, wrong.message, wrong.help);
            return None;
        }
        let title = self.named(map, "title", entry.place)?;
        let mut number = |key: &str| get(map, key).map(|node| self.number(node));
        let scale = number("scale").unwrap_or(Some(1.0))?;
        let decimals = number("decimals").unwrap_or(Some(DECIMALS as f64))?;
        let slack = number("slack").unwrap_or(Some(SLACK))?;
        let limit = match number("limit") {
            Some(limit) => Some(limit?),
            None => None,
        };
        if !(0.0..=9.0).contains(&decimals) || !(0.0..=10.0).contains(&slack) {
            self.wrong(entry.place, "`decimals` is 0 to 9, `slack` a share of 0 to 10", None);
            return None;
        }
        Some(Column { report, title, scale, decimals: decimals as usize, limit, slack })
    }

    /// The base with a row's own keys laid over, read as a scenario.
    fn row(
        &mut self,
        entry: &At<Node>,
        base: &Map,
        site: Option<&(At<String>, At<Node>)>,
        before: &[Row],
    ) -> Option<Row> {
        let own = self.map(entry)?;
        let Some(name) = get(own, "row") else {
            self.wrong(entry.place, "`row` is missing: what is it called?", None);
            return None;
        };
        let mut merged: Map = site.into_iter().cloned().collect();
        merged.push((At { value: "scenario".to_owned(), place: name.place }, name.clone()));
        let base = base.iter().filter(|(key, _)| ADDED.contains(&key.value.as_str()) || get(own, &key.value).is_none());
        merged.extend(base.cloned());
        for (key, value) in own.iter().filter(|(key, _)| !["row", "against", "seek"].contains(&key.value.as_str())) {
            match (merged.iter_mut().find(|(known, _)| known.value == key.value), &value.value) {
                (Some((_, At { value: Node::List(list), .. })), Node::List(more)) => list.extend(more.iter().cloned()),
                (Some((_, there)), _) => *there = value.clone(),
                (None, _) => merged.push((key.clone(), value.clone())),
            }
        }
        let against = match get(own, "against") {
            None => 0,
            Some(node) => self.held_against(node, own, before)?,
        };
        let seek = match get(own, "seek") {
            None => None,
            Some(node) if before.is_empty() => {
                self.wrong(node.place, "the first row is held against none: there is nothing to seek", None);
                return None;
            }
            Some(node) => Some(self.seek(node)?),
        };
        let scenario = self.document(&At { value: Node::Map(merged), place: entry.place })?;
        if before.iter().any(|row| row.scenario.title == scenario.title) {
            self.wrong(name.place, format!("two rows are called `{}`", scenario.title), None);
            return None;
        }
        Some(Row { scenario, against, seek })
    }

    /// The place of the row that a row is held against; its own for one that shows what physics allows.
    fn held_against(&mut self, node: &At<Node>, own: &Map, before: &[Row]) -> Option<usize> {
        let word = self.text(node)?;
        if word == ITSELF {
            if let Some(seek) = get(own, "seek") {
                self.wrong(seek.place, "a row that is held against itself has nothing to seek", None);
                return None;
            }
            return Some(before.len());
        }
        let found = before.iter().position(|row| row.scenario.title == word);
        if found.is_none() {
            let known = before.iter().map(|row| row.scenario.title.as_str()).chain([ITSELF]);
            self.wrong(node.place, format!("no row before this one is called `{word}`"), suggest(word, known));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{RuntimeNames, Settable};
    use serde_json::json;

    fn names() -> Names {
        let report = json!({"effluent": {"nh4": {"worst_day": null}}, "indices": {"ae": {"value": 0.0}}});
        let settable = Settable { path: "nh4_sp".to_owned(), switch: false, limits: Some((0.5, 6.0)), output: false };
        let runtime = RuntimeNames { report, settable: vec![settable], ..RuntimeNames::default() };
        Names {
            sites: vec!["works".to_owned()],
            quantities: vec!["t5/nh4".to_owned()],
            states: vec![],
            runtime: Some(runtime),
        }
    }

    const TEXT: &str = "
matrix: what if
site: works
base:
  days: 2
  seed: 4
  before: [{fault: plant alpha 0.9}]
columns:
  - {report: effluent.nh4.worst_day, title: NH4, limit: 5, slack: 0.1}
  - {report: indices.ae.value, title: air, decimals: 0}
rows:
  - {row: clean}
  - {row: slow, before: [{fault: plant growth 0.8}]}
  - {row: blind, seed: 5, against: slow, do: [{at: 1h, fault: stuck t5/nh4 0.5}]}
";

    #[test]
    fn rows_are_the_base_with_their_own_keys_laid_over() {
        let matrix = Matrix::parse(TEXT, &names()).unwrap_or_else(|p| panic!("{}", p.told("x")));
        assert_eq!((matrix.rows.len(), matrix.columns.len()), (3, 2));
        let [clean, slow, blind] = &matrix.rows[..] else { panic!("{matrix:?}") };
        assert_eq!((clean.scenario.acts.len(), slow.scenario.acts.len(), blind.scenario.acts.len()), (1, 2, 2));
        assert_eq!((clean.scenario.seed, blind.scenario.seed), (4, 5));
        assert_eq!((clean.against, slow.against, blind.against), (0, 0, 1));
        let own = Matrix::parse(&TEXT.replace("against: slow, ", "against: itself, "), &names()).unwrap();
        assert_eq!(own.rows[2].against, 2);
        assert!((slow.scenario.length_s - 2.0 * 86_400.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_sought_is_entered_before_the_settling() {
        let text = TEXT.replace(
            "against: slow, ",
            "against: slow, seek: {entry: nh4_sp, from: 1, to: 3, report: indices.ae.value}, ",
        );
        let matrix = Matrix::parse(&text, &names()).unwrap_or_else(|p| panic!("{}", p.told("x")));
        let row = &matrix.rows[2];
        let seek = row.seek.as_ref().unwrap();
        assert_eq!((seek.from, seek.to, seek.within, row.against), (1.0, 3.0, 0.02, 1));
        let acts = seek.with(&row.scenario, 2.5).acts;
        assert_eq!(acts.len(), row.scenario.acts.len() + 1);
        assert_eq!(acts[1].text, "set: {nh4_sp: 2.5}", "after the other entries of its time, before the run: {acts:?}");
    }

    #[test]
    fn mistakes_are_told_with_their_places() {
        for (from, to, part) in [
            ("against: slow", "against: slwo", "did you mean `slow`"),
            ("against: slow, ", "against: itself, seek: {entry: nh4_sp, from: 1, to: 3}, ", "nothing to seek"),
            ("{row: clean}", "{name: clean}", "`row` is missing"),
            ("row: slow", "row: clean", "two rows are called `clean`"),
            ("effluent.nh4.worst_day", "effluent.nh4.best_day", "best_day"),
            ("stuck t5/nh4 0.5", "stukc t5/nh4 0.5", "stuck"),
            ("title: air, ", "", "`title` is missing"),
            ("site: works", "site: other", "meant for the site `other`"),
            ("{row: clean}", "{row: clean, seek: {entry: nh4_sp}}", "nothing to seek"),
            ("against: slow, ", "against: slow, seek: {entry: nh4_sp, from: 1, to: 3}, ", "`report` is missing"),
            ("against: slow, ", "seek: {entry: nh4, from: 1, to: 3, report: indices.ae.value}, ", "nh4"),
            ("against: slow, ", "seek: {entry: nh4_sp, from: 3, to: 1, report: indices.ae.value}, ", "smaller first"),
            (
                "against: slow, ",
                "seek: {entry: nh4_sp, from: 1, to: 9, report: indices.ae.value}, ",
                "within its limits",
            ),
            ("against: slow, ", "seek: {entry: nh4_sp, from: 1, to: 3, report: indices.ea.value}, ", "ea"),
        ] {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT, "{from}");
            let told = Matrix::parse(&text, &names()).unwrap_err().told("x");
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn a_limit_is_broken_beyond_what_the_row_beside_it_shows() {
        let column = Column {
            report: String::new(),
            title: String::new(),
            scale: 1.0,
            decimals: 2,
            limit: Some(5.0),
            slack: 0.1,
        };
        for (value, against, broken) in [
            (Some(4.9), Some(3.0), false),
            (Some(5.1), Some(3.0), true),
            (Some(5.1), Some(4.8), false),
            (Some(5.4), Some(4.8), true),
            (Some(6.5), Some(6.0), false),
            (Some(6.7), Some(6.0), true),
            (Some(5.1), None, true),
            (None, Some(3.0), true),
        ] {
            assert_eq!(Matrix::breaks(&column, value, against), broken, "{value:?} against {against:?}");
        }
    }
}
