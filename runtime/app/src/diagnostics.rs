//! Mistakes in a site's files, told like a compiler tells them: what, where, the line itself, and what was probably meant.
//!
//! A loader collects into a [`Report`]; what a caller gets is [`Diagnostics`], which knows no files any more: each
//! entry carries the excerpt it shows.

use serde_json::json;
use std::fmt;
use std::path::{Component, Path, PathBuf};

/// Most diagnostics kept: beyond this a person repairs the first ones and runs the check again.
pub const DIAGNOSTICS_MAX: usize = 200;

/// How serious a diagnostic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The site does not load.
    Error,
    /// The site loads; a person should look.
    Warning,
}

impl Severity {
    /// The word that starts the message.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A place in a file: line and column from 1, length in characters. Line 0 means the file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pos {
    /// Line from 1; 0 for the whole file.
    pub line: u32,
    /// Column in characters from 1.
    pub column: u32,
    /// Length in characters.
    pub len: u32,
}

/// A file of the report, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId(pub u32);

/// One mistake or doubt.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// How serious.
    pub severity: Severity,
    /// What is wrong, with the noun.
    pub message: String,
    /// The file, as the user would name it; empty where no file is to blame.
    pub file: String,
    /// Where in the file.
    pub pos: Pos,
    /// The line at fault.
    pub excerpt: Option<String>,
    /// A word beside the caret.
    pub label: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Sets the word beside the caret.
    pub fn label(&mut self, text: impl Into<String>) -> &mut Self {
        self.label = Some(text.into());
        self
    }

    /// Sets what to do.
    pub fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help = Some(text.into());
        self
    }

    /// Sets what to do, where there is something to say.
    pub fn help_maybe(&mut self, text: Option<String>) -> &mut Self {
        if text.is_some() {
            self.help = text;
        }
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity.as_str(), self.message)?;
        let number = self.pos.line.to_string();
        let gutter = " ".repeat(number.len());
        if !self.file.is_empty() {
            write!(f, "\n{gutter}--> {}", self.file)?;
            if self.pos.line > 0 {
                write!(f, ":{}:{}", self.pos.line, self.pos.column)?;
            }
        }
        if let Some(line) = &self.excerpt {
            let column = (self.pos.column.max(1) - 1) as usize;
            let lead: String = line.chars().take(column).map(blank).collect();
            let rest: usize = line.chars().skip(column).take(self.pos.len.max(1) as usize).map(width).sum();
            write!(f, "\n{gutter} |\n{number} | {line}\n{gutter} | {lead}{}", "^".repeat(rest.max(1)))?;
            if let Some(label) = &self.label {
                write!(f, " {label}")?;
            }
        }
        if let Some(help) = &self.help {
            write!(f, "\n{gutter} = help: {help}")?;
        }
        Ok(())
    }
}

/// Columns a character takes on a terminal: Chinese takes two.
fn width(c: char) -> usize {
    let wide = matches!(u32::from(c), 0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF
        | 0xFE30..=0xFE4F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD);
    if wide { 2 } else { 1 }
}

fn blank(c: char) -> &'static str {
    match (c, width(c)) {
        ('\t', _) => "\t",
        (_, 2) => "  ",
        _ => " ",
    }
}

/// All diagnostics of one check, errors first in the order of files and lines.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diagnostics {
    /// The entries.
    pub items: Vec<Diagnostic>,
    /// How many more there were beyond [`DIAGNOSTICS_MAX`].
    pub left_out: usize,
}

impl Diagnostics {
    /// True when there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The errors.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter().filter(|d| d.severity == Severity::Error)
    }

    /// Everything as JSON, for editors and pipelines: an object with `errors`, `warnings` and `left_out`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let of = |severity: Severity| -> Vec<serde_json::Value> {
            self.items
                .iter()
                .filter(|d| d.severity == severity)
                .map(|d| {
                    json!({
                        "message": d.message, "file": d.file, "line": d.pos.line, "column": d.pos.column,
                        "length": d.pos.len, "excerpt": d.excerpt, "label": d.label, "help": d.help,
                    })
                })
                .collect()
        };
        json!({ "errors": of(Severity::Error), "warnings": of(Severity::Warning), "left_out": self.left_out })
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.items.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{d}")?;
        }
        if self.left_out > 0 {
            write!(f, "\n\n... and {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[derive(Debug)]
struct SourceFile {
    name: String,
    lines: Vec<String>,
}

/// Collects diagnostics while files are read and checked.
#[derive(Debug, Default)]
pub struct Report {
    files: Vec<SourceFile>,
    items: Vec<(u32, Diagnostic)>,
}

impl Report {
    /// An empty report.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a file, so that its lines can be shown.
    pub fn add_file(&mut self, path: &Path, text: &str) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        let lines = text.lines().map(str::to_owned).collect();
        self.files.push(SourceFile { name: plain_path(path).display().to_string(), lines });
        id
    }

    /// The file that was taken up last.
    #[must_use]
    pub fn last_file(&self) -> Option<FileId> {
        Some(FileId(u32::try_from(self.files.len().checked_sub(1)?).ok()?))
    }

    /// The name of a file as shown.
    #[must_use]
    pub fn file_name(&self, file: FileId) -> &str {
        self.files.get(file.0 as usize).map_or("", |f| &f.name)
    }

    /// `file:line:column`, the file by its last part: for labels that point at another place.
    #[must_use]
    pub fn place(&self, file: FileId, pos: Pos) -> String {
        let name = self.file_name(file).rsplit('/').next().unwrap_or_default();
        format!("{name}:{}:{}", pos.line, pos.column)
    }

    /// Adds an error at a place.
    pub fn error(&mut self, file: FileId, pos: Pos, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, Some(file), pos, message.into())
    }

    /// Adds a warning at a place.
    pub fn warning(&mut self, file: FileId, pos: Pos, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Warning, Some(file), pos, message.into())
    }

    /// Adds an error that no line of a file is to blame for.
    pub fn error_outside(&mut self, message: impl Into<String>) -> &mut Diagnostic {
        self.push(Severity::Error, None, Pos::default(), message.into())
    }

    fn push(&mut self, severity: Severity, file: Option<FileId>, pos: Pos, message: String) -> &mut Diagnostic {
        let source = file.and_then(|id| self.files.get(id.0 as usize));
        let line = source.and_then(|s| s.lines.get((pos.line as usize).checked_sub(1)?)).cloned();
        let pos = line.as_deref().map_or(pos, |line| whole(line, pos));
        let diagnostic = Diagnostic {
            severity,
            message,
            file: source.map(|s| s.name.clone()).unwrap_or_default(),
            pos,
            excerpt: line,
            label: None,
            help: None,
        };
        let index = self.items.len();
        self.items.push((file.map_or(0, |f| f.0), diagnostic));
        &mut self.items[index].1
    }

    /// True when an error was added.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|(_, d)| d.severity == Severity::Error)
    }

    /// How many entries there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// The result: errors before warnings, by file and line, each once.
    #[must_use]
    pub fn finish(mut self) -> Diagnostics {
        self.items.sort_by_key(|(file, d)| (d.severity == Severity::Warning, *file, d.pos.line, d.pos.column));
        let mut items: Vec<Diagnostic> = Vec::new();
        for (_, d) in self.items {
            // A profile used by six devices has its mistake once.
            if !items.contains(&d) {
                items.push(d);
            }
        }
        let left_out = items.len().saturating_sub(DIAGNOSTICS_MAX);
        items.truncate(DIAGNOSTICS_MAX);
        Diagnostics { items, left_out }
    }
}

/// The place of a list or mapping in one line, from its opening to its closing bracket.
fn whole(line: &str, pos: Pos) -> Pos {
    let rest = line.chars().skip((pos.column.max(1) - 1) as usize);
    let mut depth = 0_u32;
    for (len, c) in (1_u32..).zip(rest) {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ if depth == 0 => return pos,
            _ => continue,
        }
        if depth == 0 {
            return Pos { len: len.max(pos.len), ..pos };
        }
    }
    pos
}

/// The path without `a/..` and `.`, by its text alone.
#[must_use]
pub fn plain_path(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// `did you mean ...?` with the nearest of the valid names, or the names themselves where they are few.
pub fn suggest<'a>(wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = valid.into_iter().collect();
    if let Some(near) = nearest(wrong, names.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    match names.len() {
        0 => None,
        1..=12 => Some(format!("known: {}", names.join(", "))),
        _ => None,
    }
}

/// The valid name nearest to a misspelt one: at most a third of its letters away.
pub fn nearest<'a>(wrong: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wrong.chars().count() / 3).clamp(1, 6);
    let lower = wrong.to_lowercase();
    valid
        .into_iter()
        .filter(|name| name.chars().count().abs_diff(wrong.chars().count()) <= limit)
        .map(|name| (distance(&lower, &name.to_lowercase()), name))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, name)| name)
}

/// Edit distance with transposed neighbours counted once (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_stranger_is_not() {
        let names = ["aer/z3/do", "aer/z4/do", "range", "group"];
        assert_eq!(nearest("rnage", names), Some("range"));
        assert_eq!(nearest("aer/z3/doo", names), Some("aer/z3/do"));
        assert_eq!(nearest("pressure", names), None);
        assert_eq!(distance("abcd", "abdc"), 1);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn the_caret_stands_under_the_word_also_after_chinese() {
        let mut report = Report::new();
        let file = report.add_file(Path::new("configs/a/../b/x.yaml"), "a: 1\nt: { zh: 溶解氧, tga: 1 }\n");
        report
            .error(file, Pos { line: 2, column: 15, len: 3 }, "unknown key `tga`")
            .label("no such key")
            .help("did you mean `tag`?");
        let text = report.finish().to_string();
        let expected = "error: unknown key `tga`\n --> configs/b/x.yaml:2:15\n  |\n2 | t: { zh: 溶解氧, tga: 1 }\n  |                  ^^^ no such key\n  = help: did you mean `tag`?";
        assert_eq!(text, expected);
    }

    #[test]
    fn one_mistake_is_told_once_and_the_rest_is_counted() {
        let mut report = Report::new();
        let file = report.add_file(Path::new("x.yaml"), "a\n");
        report.error(file, Pos { line: 1, column: 1, len: 1 }, "twice");
        report.error(file, Pos { line: 1, column: 1, len: 1 }, "twice");
        for i in 0..DIAGNOSTICS_MAX {
            report.error(file, Pos { line: 1, column: 1, len: 1 }, format!("other {i}"));
        }
        let all = report.finish();
        assert_eq!(all.items.len(), DIAGNOSTICS_MAX);
        assert_eq!(all.left_out, 1);
    }
}
