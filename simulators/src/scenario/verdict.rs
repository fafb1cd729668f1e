//! What came of a run, for people and for pipelines.

use std::fmt;

use serde_json::{Value as Json, json};

/// What became of one expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Line of the file, from 1.
    pub line: u32,
    /// The entry on one line.
    pub text: String,
    /// It held.
    pub held: bool,
    /// The first moment it did not hold, or an event came, s from the beginning; none where it has no moment.
    pub at_s: Option<f64>,
    /// The number it is about: the offending one, or the one that was found.
    pub value: Option<f64>,
    /// What was found, in words.
    pub detail: String,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Title of the scenario.
    pub title: String,
    /// Length of the run, s.
    pub length_s: f64,
    /// Expectations in the order of the file.
    pub findings: Vec<Finding>,
    /// What could not be done.
    pub troubles: Vec<String>,
}

/// A time from the beginning as people read it: `1d 02:30:00`; `-` before the beginning.
#[must_use]
pub fn told_time(seconds: f64) -> String {
    let sign = if seconds < 0.0 { "-" } else { "" };
    let whole = seconds.abs().round() as u64;
    let (days, rest) = (whole / 86_400, whole % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days > 0 { format!("{sign}{days}d {clock}") } else { format!("{sign}{clock}") }
}

impl Verdict {
    /// Everything was done and held.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.troubles.is_empty() && self.findings.iter().all(|finding| finding.held)
    }

    /// How many expectations and deeds failed.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.troubles.len() + self.findings.iter().filter(|finding| !finding.held).count()
    }

    /// For pipelines.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let findings: Vec<Json> = self
            .findings
            .iter()
            .map(|f| {
                json!({"line": f.line, "expectation": f.text, "held": f.held, "at_s": f.at_s, "value": f.value,
                       "detail": f.detail})
            })
            .collect();
        json!({
            "scenario": self.title, "length_s": self.length_s, "passed": self.passed(),
            "held": self.findings.iter().filter(|f| f.held).count(), "failed": self.failures(),
            "expectations": findings, "troubles": self.troubles,
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.title, told_time(self.length_s))?;
        for finding in &self.findings {
            let word = if finding.held { "held  " } else { "FAILED" };
            writeln!(f, "{word} line {}: {}", finding.line, finding.text)?;
            if !finding.detail.is_empty() {
                writeln!(f, "         {}", finding.detail)?;
            }
        }
        for trouble in &self.troubles {
            writeln!(f, "FAILED {trouble}")?;
        }
        let held = self.findings.iter().filter(|finding| finding.held).count();
        write!(f, "{held} of {} expectations held", self.findings.len())
    }
}
