//! Reading a site's files: finding them, hashing them, turning text into forms. A mistake in the form of one list
//! entry costs that entry alone, so that one check shows every mistake and not only the first of each file.

use super::text::pos_of;
use crate::diagnostics::{FileId, Pos, Report, plain_path, suggest};
use serde::de::DeserializeOwned;
use serde_yaml::Error as YamlError;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// Largest file read: 250 000 tags take about 60 MB.
const FILE_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Mistakes of form found in one file before the rest of it is left for the next check.
const FORM_ERRORS_MAX: usize = 50;
/// YAML nodes of one file: about 40 per tag and 250 000 tags.
const NODES_MAX: usize = 12_000_000;

/// Names that stand in entries which could not be read: known to exist, so that nobody is told otherwise.
#[derive(Debug, Default)]
pub struct Lost {
    /// Tags.
    pub tags: HashSet<String>,
    /// A file that declares tags could not be read at all.
    pub any_tag: bool,
    /// Tags below these are published by something that could not be read.
    pub prefixes: Vec<String>,
    /// A program, or more, could not be read.
    pub programs: bool,
    /// Tags whose own unit or type is wrong: what they are bound to is not to blame.
    pub doubtful: HashSet<String>,
}

impl Lost {
    /// True where this path may be declared in something that could not be read.
    pub fn may_be(&self, path: &str) -> bool {
        self.any_tag
            || self.prefixes.iter().any(|p| path.starts_with(p.as_str()))
            || self.tags.contains(path)
            || self.tags.iter().any(|t| path.ends_with(&format!("/{t}")))
    }
}

/// Reads files for one load.
#[derive(Debug, Default)]
pub struct Reader {
    /// What was found wrong.
    pub report: Report,
    /// Names that stand in what could not be read.
    pub lost: Lost,
    /// Names of states that many tags share.
    pub state_sets: super::states::StateSets,
    contents: BTreeMap<PathBuf, Vec<u8>>,
}

impl Reader {
    /// Takes up a file's text; `None` with an error where it cannot be read. `named` is the place that names the file.
    pub fn text(&mut self, path: &Path, named: Option<(FileId, Pos)>) -> Option<(FileId, String)> {
        let path = plain_path(path);
        let problem = match std::fs::metadata(&path) {
            Ok(meta) if meta.len() > FILE_BYTES_MAX => format!("is larger than {FILE_BYTES_MAX} bytes"),
            Ok(meta) if meta.is_dir() => "is a folder, not a file".to_owned(),
            // A pipe or a device would be waited for, perhaps for ever.
            Ok(meta) if !meta.is_file() => "is no ordinary file".to_owned(),
            Ok(_) => match std::fs::read(&path) {
                Ok(bytes) => {
                    self.contents.insert(path.clone(), bytes.clone());
                    match String::from_utf8(bytes) {
                        Ok(text) => {
                            // Editors of one system begin a file with this mark; it is no part of the text.
                            let text = text.strip_prefix('\u{FEFF}').map(str::to_owned).unwrap_or(text);
                            let id = self.report.add_file(&path, &text);
                            return Some((id, text));
                        }
                        Err(_) => "is not UTF-8 text".to_owned(),
                    }
                }
                Err(e) => format!("cannot be read: {e}"),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
            Err(e) => format!("cannot be read: {e}"),
        };
        let message = format!("file `{}` {problem}", path.display());
        match named {
            Some((file, pos)) => self.report.error(file, pos, message),
            None => self.report.error_outside(message),
        };
        None
    }

    /// Reads a file into its form. Entries of lists that do not fit are reported and left out.
    pub fn form<T: DeserializeOwned>(&mut self, file: FileId, text: &str) -> Option<T> {
        let mut text = text.to_owned();
        let mut left_out = false;
        for _ in 0..FORM_ERRORS_MAX {
            let error = match parse::<T>(&text) {
                Ok(form) => return Some(form),
                Err(e) => e,
            };
            let error = error.without_snippet();
            // A list whose every entry was left out is no list any more: that is our doing, not the writer's.
            if left_out && matches!(error, YamlError::Unexpected { .. } | YamlError::Eof { .. }) {
                return None;
            }
            let pos = error.location().map(|at| pos_of(&at)).unwrap_or_default();
            self.form_error(file, pos, error, &text);
            if !is_of_form(error) {
                return None;
            }
            let entry = entry_lines(&text, pos.line)?;
            text = self.leave_out(&text, &entry);
            left_out = true;
        }
        None
    }

    fn form_error(&mut self, file: FileId, mut pos: Pos, error: &YamlError, text: &str) {
        let line = text.lines().nth((pos.line.max(1) - 1) as usize).unwrap_or_default();
        let word: String = line.chars().skip((pos.column.max(1) - 1) as usize).take(pos.len as usize).collect();
        let (message, help) = match error {
            YamlError::SerdeUnknownField { field, expected, .. } => {
                (format!("unknown key `{field}`"), suggest(field, expected.iter().copied()))
            }
            YamlError::SerdeUnknownVariant { variant, expected, .. } => {
                (format!("`{variant}` is not known here"), suggest(variant, expected.iter().copied()))
            }
            YamlError::SerdeMissingField { field, .. } => (format!("key `{field}` is missing in this entry"), None),
            YamlError::DuplicateMappingKey { key: Some(key), .. } => (format!("key `{key}` stands twice"), None),
            YamlError::NullIntoString { .. } => ("a value is missing here".to_owned(), None),
            YamlError::InvalidScalar { ty, .. } => (format!("`{word}` is not a valid {}", plain_type(ty)), None),
            YamlError::Unexpected { expected, .. } => (format!("expected {}", plain_shape(expected)), None),
            YamlError::Eof { .. } => ("the file is empty".to_owned(), None),
            other => (
                without_place(&other.to_string()),
                Some("check indentation, colons and quotes here and just above".to_owned()),
            ),
        };
        if matches!(error, YamlError::Eof { .. }) {
            pos = Pos::default();
        }
        self.report.error(file, pos, message).help_maybe(help);
    }

    fn leave_out(&mut self, text: &str, entry: &std::ops::Range<usize>) -> String {
        let mut out = String::with_capacity(text.len());
        let mut named = false;
        for (index, line) in text.lines().enumerate() {
            if entry.contains(&index) {
                if let Some(tag) = value_of(line, "tag:") {
                    self.lost.tags.insert(tag.to_owned());
                    named = true;
                }
                self.lost.programs |= value_of(line, "program:").is_some();
                named |= ["program:", "object:", "alarm:", "meter:", "factor:", "activity:"]
                    .iter()
                    .any(|k| value_of(line, k).is_some());
            } else {
                out.push_str(line);
            }
            out.push('\n');
        }
        // An entry without a name may have declared any tag.
        self.lost.any_tag |= !named;
        out
    }

    /// The files that match a pattern below a folder, sorted. A pattern without `*` names one file, which must exist.
    pub fn find(&mut self, folder: &Path, pattern: &str) -> Vec<PathBuf> {
        let path = folder.join(pattern);
        let Some(name) = path.file_name().and_then(|n| n.to_str()).filter(|n| n.contains('*')) else {
            return vec![path];
        };
        let Ok(entries) = std::fs::read_dir(path.parent().unwrap_or(folder)) else {
            return Vec::new();
        };
        let mut found: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|e| e.path())
            .filter(|p| p.is_file() && p.file_name().and_then(|n| n.to_str()).is_some_and(|n| fits(name, n)))
            .collect();
        found.sort();
        found
    }

    /// Every file read, with its bytes.
    pub fn take_contents(&mut self) -> BTreeMap<PathBuf, Vec<u8>> {
        std::mem::take(&mut self.contents)
    }

    /// First twelve hexadecimal digits of a SHA-256 over every file read, by name relative to the site and content.
    pub fn hash(&self, site_dir: &Path) -> String {
        let site_dir = plain_path(site_dir);
        let mut hasher = Sha256::new();
        for (path, bytes) in &self.contents {
            let name = path
                .strip_prefix(&site_dir)
                .map_or_else(|_| path.file_name().map(PathBuf::from).unwrap_or_default(), Path::to_path_buf);
            hasher.update(name.to_string_lossy().as_bytes());
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        hasher.finalize().iter().take(6).map(|b| format!("{b:02x}")).collect()
    }
}

/// YAML text as a form.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_nodes: NODES_MAX,
            max_events: NODES_MAX * 2,
            max_total_scalar_bytes: usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX),
        },
        with_snippet: false,
    };
    serde_yaml::from_str_with_options(text, options)
}

/// True for a mistake in what an entry says; false where the text is no YAML, and nothing after it can be trusted.
fn is_of_form(error: &YamlError) -> bool {
    matches!(
        error,
        YamlError::Message { .. }
            | YamlError::Unexpected { .. }
            | YamlError::InvalidScalar { .. }
            | YamlError::InvalidBooleanStrict { .. }
            | YamlError::NonFiniteFloat { .. }
            | YamlError::NullIntoString { .. }
            | YamlError::DuplicateMappingKey { .. }
            | YamlError::SerdeInvalidType { .. }
            | YamlError::SerdeInvalidValue { .. }
            | YamlError::SerdeInvalidLength { .. }
            | YamlError::SerdeUnknownVariant { .. }
            | YamlError::SerdeUnknownField { .. }
            | YamlError::SerdeMissingField { .. }
            | YamlError::SerdeVariantId { .. }
    )
}

/// The lines (from 0) of the innermost block list entry that holds a line (from 1).
fn entry_lines(text: &str, line: u32) -> Option<std::ops::Range<usize>> {
    let lines: Vec<&str> = text.lines().collect();
    let at = (line as usize).checked_sub(1).filter(|at| *at < lines.len())?;
    let indent = |l: &str| l.len() - l.trim_start().len();
    let empty = |l: &str| l.trim().is_empty() || l.trim_start().starts_with('#');
    let mut inside = if empty(lines[at]) { usize::MAX } else { indent(lines[at]) };
    let mut first = None;
    for index in (0..=at).rev() {
        let l = lines[index];
        if empty(l) || (index < at && indent(l) >= inside) {
            continue;
        }
        if l.trim_start().starts_with("- ") {
            first = Some(index);
            break;
        }
        inside = indent(l);
    }
    let first = first?;
    let depth = indent(lines[first]);
    let last =
        (first + 1..lines.len()).find(|i| !empty(lines[*i]) && indent(lines[*i]) <= depth).unwrap_or(lines.len());
    Some(first..last)
}

/// The plain value after a key, wherever it stands in a line.
fn value_of<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let at = line.find(key)?;
    let before = line[..at].chars().next_back();
    if before.is_some_and(|c| !matches!(c, ' ' | '{' | ',' | '-')) {
        return None;
    }
    let rest = line[at + key.len()..].trim_start().trim_start_matches(['"', '\'']);
    let end = rest.find([',', '}', '"', '\'', ' ', '#']).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|v| !v.is_empty())
}

/// True where a name fits a pattern in which `*` stands for any text.
pub fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn without_place(text: &str) -> String {
    text.split(" at line ").next().unwrap_or(text).to_owned()
}

fn plain_type(ty: &str) -> &str {
    match ty {
        "floating point" => "number",
        other => other,
    }
}

fn plain_shape(expected: &str) -> &str {
    match expected {
        "string scalar" => "a single value here",
        "sequence start" => "a list here",
        "mapping start" => "names with values here",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_whole_names() {
        assert!(fits("*.yaml", "a.yaml"));
        assert!(!fits("*.yaml", "a.yaml~"));
        assert!(fits("met/*/power", "met/grid/power"));
        assert!(fits("a*b*c", "axxbyyc"));
        assert!(!fits("a*b*c", "axxc"));
        assert!(fits("a", "a") && !fits("a", "ab"));
    }

    #[test]
    fn the_entry_around_a_line_is_found() {
        let text =
            "x: 1\npoints:\n  - tag: a\n    at: 1\n\n    write:\n      rat: 2\n  - { tag: b,\n      at: 2 }\nend: 1\n";
        assert_eq!(entry_lines(text, 7), Some(2..7));
        assert_eq!(entry_lines(text, 3), Some(2..7));
        assert_eq!(entry_lines(text, 9), Some(7..9));
        assert_eq!(entry_lines(text, 1), None);
        assert_eq!(entry_lines(text, 10), None);
        assert_eq!(entry_lines("- a: 1\n  b: 2\n- a: 2\n", 2), Some(0..2));
    }

    #[test]
    fn a_value_is_found_behind_its_key() {
        assert_eq!(value_of("  - tag: aer/z3/do # c", "tag:"), Some("aer/z3/do"));
        assert_eq!(value_of("- { at: 1, tag: \"x\" }", "tag:"), Some("x"));
        assert_eq!(value_of("  flow_tag: x", "tag:"), None);
    }
}
