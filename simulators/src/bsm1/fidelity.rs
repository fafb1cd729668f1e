//! Comparison of this implementation with the published figures, and its speed.

use std::fmt;
use std::path::Path;

use super::Bsm1Error;
use super::indices::Indices;
use super::noise::Noise;
use super::plant::Plant;
use super::protocol::{self, EveryMinute, Files, Unattended};
use super::published::{self, Band, Case};
use crate::models::asm1::{self, Mix, STATES};
use crate::models::works::Works;

/// One figure beside the published one.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Which run or steady state.
    pub run: String,
    /// Which figure, with its unit.
    pub figure: String,
    /// Published value.
    pub published: f64,
    /// Value of this implementation.
    pub measured: f64,
    /// Allowed distance.
    pub band: Band,
}

impl Comparison {
    /// Whether the distance is allowed.
    #[must_use]
    pub fn holds(&self) -> bool {
        let distance = (self.measured - self.published).abs();
        match self.band {
            Band::Percent(share) => distance <= share / 100.0 * self.published.abs(),
            Band::Within(allowed) => distance <= allowed,
            Band::Shown => true,
        }
    }
}

/// Steady states and dynamic runs beside the published figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Steady states, every printed digit: the worst state of each stream.
    pub steady: Vec<SteadyRow>,
    /// Dynamic runs.
    pub dynamic: Vec<Comparison>,
}

/// A stream of a steady state beside the published one.
#[derive(Debug, Clone, PartialEq)]
pub struct SteadyRow {
    /// Steady state and stream.
    pub stream: String,
    /// Greatest distance of a state in units of what is allowed: 0.05 % of it, or 1e-4 g/m3 where that is more.
    pub worst_share: f64,
    /// The state with that distance: its number in [`asm1`], published and measured value.
    pub worst: (usize, f64, f64),
}

impl Report {
    /// Whether every figure lies within its band.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.steady.iter().all(|row| row.worst_share <= 1.0) && self.dynamic.iter().all(Comparison::holds)
    }
}

/// Runs the whole protocol with the files of a folder and compares.
///
/// # Errors
/// [`Bsm1Error`] with the file that is missing or wrong.
pub fn fidelity(data_dir: &Path) -> Result<Report, Bsm1Error> {
    let files = Files::read(data_dir)?;
    let open = protocol::open_loop_at_rest();
    let closed = protocol::closed_loop_at_rest();
    let mut steady = steady_rows("open loop", open.works(), &published::OPEN_LOOP);
    steady.extend(steady_rows("default loops", closed.works(), &published::CLOSED_LOOP));
    let dynamic = compare(&dynamic_runs(&files, &open, &closed));
    Ok(Report { steady, dynamic })
}

/// Published figures beside those of the runs.
#[must_use]
pub fn compare(runs: &[(Case, Indices)]) -> Vec<Comparison> {
    let mut rows = Vec::new();
    for figure in published::figures() {
        if let Some((_, indices)) = runs.iter().find(|(case, _)| *case == figure.case) {
            rows.push(Comparison {
                run: figure.case.to_string(),
                figure: figure.index.label().to_owned(),
                published: figure.value,
                measured: figure.index.of(indices),
                band: figure.band,
            });
        }
    }
    rows
}

/// Every dynamic run, from the plants at rest.
#[must_use]
pub fn dynamic_runs(files: &Files, open: &Plant, closed: &Plant) -> Vec<(Case, Indices)> {
    let mut runs = Vec::new();
    let mut keep = |case, indices: Option<Indices>| runs.extend(indices.map(|indices| (case, indices)));
    let none = Noise::None;

    let mut warm = open.clone();
    protocol::fortnight(&mut warm, &files.dry, &none, &mut Unattended);
    keep(Case::OpenDry, protocol::fortnight(&mut warm.clone(), &files.dry, &none, &mut Unattended));
    keep(Case::OpenRain, protocol::fortnight(&mut warm, &files.rain, &none, &mut Unattended));

    let mut warm = closed.clone();
    protocol::fortnight(&mut warm, &files.dry, &files.noise, &mut Unattended);
    keep(Case::ClosedDry, protocol::fortnight(&mut warm.clone(), &files.dry, &files.noise, &mut Unattended));
    keep(Case::ClosedRain, protocol::fortnight(&mut warm, &files.rain, &files.noise, &mut Unattended));

    let mut ideal = closed.clone();
    ideal.see_ideally();
    protocol::fortnight(&mut ideal, &files.dry, &none, &mut Unattended);
    keep(Case::IdealDry, protocol::fortnight(&mut ideal, &files.dry, &none, &mut Unattended));

    let mut plant = closed.clone();
    let mut loops = EveryMinute::taking_over(&mut plant);
    protocol::fortnight(&mut plant, &files.dry, &files.noise, &mut loops);
    keep(Case::DiscreteDry, protocol::fortnight(&mut plant, &files.dry, &files.noise, &mut loops));
    runs
}

/// Streams of a steady state: tanks 1 to 5, effluent and, where published, underflow.
fn steady_rows(name: &str, works: &Works, published: &[Mix]) -> Vec<SteadyRow> {
    let streams = (0..5)
        .map(|k| (format!("reactor {}", k + 1), works.tanks[k]))
        .chain([("effluent".to_owned(), works.effluent()), ("underflow".to_owned(), works.underflow())]);
    streams
        .zip(published)
        .map(|((stream, mix), published)| {
            let share = |i: usize| (mix[i] - published[i]).abs() / (0.0005 * published[i].abs()).max(1e-4);
            let worst = (0..STATES).max_by(|a, b| share(*a).total_cmp(&share(*b))).unwrap_or(asm1::SI);
            let values = (worst, published[worst], mix[worst]);
            SteadyRow { stream: format!("{name}, {stream}"), worst_share: share(worst), worst: values }
        })
        .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## Steady states\n")?;
        writeln!(
            f,
            "After 200 days of constant influent; every state may differ by 0.05 %, or 1e-4 g/m3 where that is more.\n"
        )?;
        writeln!(f, "| stream | state furthest off | published | measured | share of the allowed distance |")?;
        writeln!(f, "| --- | --- | ---: | ---: | ---: |")?;
        for row in &self.steady {
            let (state, published, measured) = row.worst;
            let measured = format!("{measured:.7}");
            let state = STATE_NAMES[state];
            writeln!(f, "| {} | {state} | {published} | {measured} | {:.0} % |", row.stream, 100.0 * row.worst_share)?;
        }
        writeln!(f, "\n## Dynamic runs\n")?;
        writeln!(f, "Days 7 to 14 of the test file, after 200 constant and 14 dry days, samples of 15 min.\n")?;
        writeln!(f, "| run | figure | published | measured | difference | allowed | |")?;
        writeln!(f, "| --- | --- | ---: | ---: | ---: | ---: | --- |")?;
        for row in &self.dynamic {
            let (allowed, verdict) = match row.band {
                Band::Percent(share) => (format!("{share} %"), row.holds()),
                Band::Within(allowed) => (format!("{allowed}"), row.holds()),
                Band::Shown => ("-".to_owned(), true),
            };
            let difference = match row.band {
                Band::Within(_) => format!("{:+.2}", row.measured - row.published),
                _ => format!("{:+.3} %", 100.0 * (row.measured / row.published - 1.0)),
            };
            let decimals = if row.published >= 1000.0 { 1 } else { 4 };
            writeln!(
                f,
                "| {} | {} | {} | {:.decimals$} | {difference} | {allowed} | {} |",
                row.run,
                row.figure,
                row.published,
                row.measured,
                if verdict { "holds" } else { "**off**" }
            )?;
        }
        Ok(())
    }
}

const STATE_NAMES: [&str; STATES] =
    ["SI", "SS", "XI", "XS", "XBH", "XBA", "XP", "SO", "SNO", "SNH", "SND", "XND", "SALK"];
