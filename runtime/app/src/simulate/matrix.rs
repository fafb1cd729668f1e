//! A matrix of runs: the same programs and parameters under many seeds, weathers, plants and faults, as one table.

use super::report::Report;
use super::{Plan, SimulateArgs, names, simulate};
use crate::config::Site;
use penstock_simulators::scenario::{Column, Matrix, Next, Row, Scenario, Search, Verdict, number_of};
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::path::Path;

/// What became of a row.
struct Done {
    name: String,
    /// The entry whose value was sought, and the value.
    sought: Option<(String, f64)>,
    report: Report,
    values: Vec<Option<f64>>,
    /// Expectations and deeds of the row that failed.
    failed: Vec<String>,
}

/// Runs the rows of a matrix one after the other and prints the table.
///
/// # Errors
/// In words for a person: a file that does not check, no row of that name; with `--assert` a row that breaks a limit or
/// an expectation.
pub(super) fn run(site: &Site, args: &SimulateArgs, file: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let matrix = Matrix::parse(&text, &names(site, args.start)?).map_err(|p| p.told(&file.display().to_string()))?;
    let wanted = chosen(&matrix, args.rows.as_deref())?;
    let mut done: Vec<Option<Done>> = Vec::new();
    for (row, wanted) in matrix.rows.iter().zip(&wanted) {
        if !wanted {
            done.push(None);
            continue;
        }
        let Ran { report, verdict, sought, lost } =
            ran(site, args, row, done.get(row.against).and_then(Option::as_ref))?;
        let values = {
            let number = |column: &Column| number_of(report.to_json(), &column.report).map(|x| x * column.scale);
            matrix.columns.iter().map(number).collect()
        };
        let mut failed: Vec<String> = lost.into_iter().collect();
        if let Some(verdict) = &verdict {
            let lost = verdict.findings.iter().filter(|finding| !finding.held);
            failed.extend(lost.map(|finding| format!("{} ({})", finding.text, finding.detail)));
            failed.extend(verdict.troubles.iter().cloned());
        }
        // A long matrix shows that it goes on.
        eprintln!("{}/{} {}", done.len() + 1, matrix.rows.len(), row.scenario.title);
        done.push(Some(Done { name: row.scenario.title.clone(), sought, values, report, failed }));
    }
    let broken = broken(&matrix, &done);
    say!("{}", table(&matrix, &done, &broken));
    if let Some(out) = &args.out {
        let json = json(&matrix, &done, &broken);
        std::fs::write(out, format!("{json:#}\n")).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    let wrong = broken.iter().filter(|cells| cells.iter().any(|cell| *cell)).count()
        + done.iter().flatten().filter(|row| !row.failed.is_empty()).count();
    if args.assert && wrong > 0 {
        return Err(format!("{wrong} rows of the matrix break a limit or an expectation"));
    }
    Ok(())
}

/// The last run of a row.
struct Ran {
    report: Report,
    verdict: Option<Verdict>,
    sought: Option<(String, f64)>,
    /// Why nothing was found where something is sought.
    lost: Option<String>,
}

/// Runs a row; one that seeks a value, with one after the other until it is found.
fn ran(site: &Site, args: &SimulateArgs, row: &Row, beside: Option<&Done>) -> Result<Ran, String> {
    let go = |scenario: Scenario| simulate(site, &Plan::with_influent(scenario, args.influent.as_deref()), false);
    let Some(seek) = &row.seek else {
        let (report, verdict) = go(row.scenario.clone())?;
        return Ok(Ran { report, verdict, sought: None, lost: None });
    };
    let Some(target) = beside.and_then(|done| number_of(done.report.to_json(), &seek.report)) else {
        return Err(format!("{}: the row it is held against has no {}", row.scenario.title, seek.report));
    };
    let mut search = Search::new(seek, target);
    let mut value = search.first();
    loop {
        let (report, verdict) = go(seek.with(&row.scenario, value))?;
        let seen = number_of(report.to_json(), &seek.report);
        let told = seen.map_or_else(|| "-".to_owned(), |x| format!("{x:.4}"));
        eprintln!("    {} {value:.3}: {} {told}, sought {target:.4}", seek.entry, seek.report);
        let lost = match search.next(value, seen) {
            Next::Try(next) => {
                value = next;
                continue;
            }
            Next::Found => None,
            Next::Lost(why) => Some(why),
        };
        return Ok(Ran { report, verdict, sought: Some((seek.entry.clone(), value)), lost });
    }
}

/// Which rows run: those whose name holds the text, and those they are held against.
fn chosen(matrix: &Matrix, text: Option<&str>) -> Result<Vec<bool>, String> {
    let Some(text) = text else { return Ok(vec![true; matrix.rows.len()]) };
    let mut wanted: Vec<bool> = matrix.rows.iter().map(|row| row.scenario.title.contains(text)).collect();
    if !wanted.contains(&true) {
        return Err(format!("no row of the matrix has `{text}` in its name"));
    }
    for place in (0..wanted.len()).rev() {
        if wanted[place] {
            wanted[matrix.rows[place].against] = true;
        }
    }
    Ok(wanted)
}

fn broken(matrix: &Matrix, done: &[Option<Done>]) -> Vec<Vec<bool>> {
    let cell = |row: &Done, against: Option<&Done>, place: usize| {
        let other = against.filter(|other| other.name != row.name).and_then(|other| other.values[place]);
        Matrix::breaks(&matrix.columns[place], row.values[place], other)
    };
    let cells = |(place, row): (usize, &Option<Done>)| {
        let held_against = matrix.rows[place].against;
        // What physics allows is no controller's work. The first row is held against nothing, and is one.
        let physics = place > 0 && held_against == place;
        let Some(row) = row.as_ref().filter(|_| !physics) else { return vec![false; matrix.columns.len()] };
        let against = done.get(held_against).and_then(Option::as_ref);
        (0..matrix.columns.len()).map(|column| cell(row, against, column)).collect()
    };
    done.iter().enumerate().map(cells).collect()
}

/// The table, as Markdown: it is read on a terminal and pasted into a page.
fn table(matrix: &Matrix, done: &[Option<Done>], broken: &[Vec<bool>]) -> String {
    let mut out = matrix.title.clone();
    if let Some(zh) = &matrix.title_zh {
        // A text is never full.
        let _ = write!(out, " · {zh}");
    }
    out.push_str("\n\n| row |");
    for column in &matrix.columns {
        let limit = column.limit.map(|limit| format!(" (≤ {limit})")).unwrap_or_default();
        let _ = write!(out, " {}{limit} |", column.title);
    }
    out.push_str("\n| --- |");
    out.push_str(&" ---: |".repeat(matrix.columns.len()));
    out.push('\n');
    let mut notes = String::new();
    for (row, cells) in done.iter().zip(broken) {
        let Some(row) = row else { continue };
        let sought = row.sought.as_ref().map(|(entry, value)| format!(" ({entry} {value:.2})")).unwrap_or_default();
        let _ = write!(out, "| {}{sought}{} |", row.name, if row.failed.is_empty() { "" } else { " ✗" });
        for ((column, value), bad) in matrix.columns.iter().zip(&row.values).zip(cells) {
            let told = value.map_or_else(|| "-".to_owned(), |x| format!("{x:.*}", column.decimals));
            let _ = write!(out, " {told}{} |", if *bad { " ✗" } else { "" });
        }
        out.push('\n');
        for failed in &row.failed {
            let _ = writeln!(notes, "{}: {failed}", row.name);
        }
    }
    let count = broken.iter().flatten().filter(|bad| **bad).count();
    let _ = write!(out, "\n{} rows, {count} cells beyond a limit", done.iter().flatten().count());
    if !notes.is_empty() {
        let _ = write!(out, "\n\n{}", notes.trim_end());
    }
    out
}

fn json(matrix: &Matrix, done: &[Option<Done>], broken: &[Vec<bool>]) -> Json {
    let row = |(row, cells): (&Done, &Vec<bool>)| {
        let values: serde_json::Map<String, Json> = matrix
            .columns
            .iter()
            .zip(&row.values)
            .zip(cells)
            .map(|((column, value), bad)| (column.report.clone(), json!({"value": value, "beyond": bad})))
            .collect();
        let sought = row.sought.as_ref().map(|(entry, value)| json!({"entry": entry, "value": value}));
        json!({"row": row.name, "sought": sought, "values": values, "failed": row.failed})
    };
    let rows: Vec<Json> =
        done.iter().zip(broken).filter_map(|(d, cells)| d.as_ref().map(|d| row((d, cells)))).collect();
    json!({"matrix": matrix.title, "rows": rows})
}
