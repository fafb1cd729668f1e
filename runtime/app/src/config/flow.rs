//! What only all programs together show: circles, delays that wait for nobody, and what a bad input takes along.

use super::bindings::Programs;
use super::unguarded;
use crate::diagnostics::{FileId, Pos};
use penstock_engine::UnguardedRead;
use penstock_model::TagId;
use std::collections::{BTreeMap, HashMap, HashSet};

impl Programs<'_> {
    /// Programs of one task that feed each other in a circle: there is no order in which each sees the others' news.
    pub(super) fn circles(&mut self) {
        let writer = self.writers();
        let mut told: HashSet<usize> = HashSet::new();
        for start in 0..self.list.len() {
            if told.contains(&start) {
                continue;
            }
            let Some(path) = self.circle_from(start, &writer) else { continue };
            told.extend(path.iter().map(|u| self.uses[*u].program));
            let mut names: Vec<&str> = path.iter().map(|u| &*self.list[self.uses[*u].program].name).collect();
            names.reverse();
            names.extend(names.first().copied());
            let at = &self.uses[path[0]];
            // As the names: from the first to the second, and so on round.
            let (last, others) = path.split_last().map_or((0, &[][..]), |(last, others)| (*last, others));
            let round = others.iter().rev().chain(std::iter::once(&last));
            let tags: Vec<String> = round.map(|u| self.path_of(self.uses[*u].tag)).collect();
            let message = format!("programs feed each other in a circle: {}", names.join(" → "));
            let label = format!("by {}", tags.join(", "));
            let help = format!(
                "read one of these tags one scan late: {{ tag: {}, delay: 1 scan, or: <value while it is bad> }}; \
                 or let a program read the device's feedback, or run it in another task",
                self.path_of(at.tag)
            );
            self.reader.report.error(at.file, at.pos, message).label(label).help(help);
        }
    }

    /// The program that writes each tag.
    fn writers(&self) -> HashMap<TagId, usize> {
        self.list.iter().enumerate().flat_map(|(i, p)| p.outputs.iter().map(move |(_, tag)| (*tag, i))).collect()
    }

    fn path_of(&self, tag: TagId) -> String {
        self.tags.get(tag).def.path.to_string()
    }

    /// Delays of what no program of the same task writes, and delays that leave a circle bad for ever.
    pub(super) fn delays(&mut self) {
        let writer = self.writers();
        for used in &self.uses {
            let Some(pos) = used.late else { continue };
            let program = &self.list[used.program];
            let path = self.path_of(used.tag);
            let same_task = writer.get(&used.tag).is_some_and(|w| self.list[*w].task == program.task);
            if !same_task {
                let task = &self.tasks[usize::from(program.task.0)].name;
                let message = format!("no program of task `{task}` writes `{path}`: there is nothing to read late");
                let help = "a delay is for what programs of one task feed each other; write the tag's path alone";
                self.reader.report.error(used.file, pos, message).help(help);
                continue;
            }
            let bare = program.script.unguarded_reads().iter().find(|read| read.input == used.port);
            let said = program.delays.iter().any(|d| d.input == used.port && d.otherwise.is_some());
            if let Some(read) = bare.filter(|_| !said) {
                let message = format!("once `{path}` is bad, and it is at the start, the circle stays bad");
                let help = format!(
                    "say what is read then: {{ tag: {path}, delay: 1 scan, or: <value> }}, or ask first: io.usable(\"{}\")",
                    read.input
                );
                let place = format!("{} reads it bare at {}:{}", program.script.name(), read.line, read.column);
                self.reader.report.warning(used.file, pos, message).label(place).help(help);
            }
        }
    }

    /// Bare reads of inputs that leave an output where it is for as long as they are bad. Of a site without mistakes
    /// alone: a fallback that was written wrongly is not yet what it will be.
    pub(super) fn bare_reads(&mut self) {
        if self.reader.report.has_errors() {
            return;
        }
        let mut found: BTreeMap<(String, u32, u32), (UnguardedRead, Vec<String>)> = BTreeMap::new();
        for program in &self.list {
            for read in program.script.unguarded_reads() {
                let Some((_, tag)) = program.inputs.iter().find(|(port, _)| *port == read.input) else { continue };
                if unguarded::never_bad(program, read, &self.tags.get(*tag).def) {
                    continue;
                }
                let left = unguarded::taken_along(program, read)
                    .filter(|tag| unguarded::stays_for_ever(&self.tags.get(*tag).def));
                let left: Vec<String> = left.map(|tag| self.path_of(tag)).collect();
                if !left.is_empty() {
                    let key = (program.script.name().to_owned(), read.line, read.column);
                    found.entry(key).or_insert_with(|| (read.clone(), Vec::new())).1.extend(left);
                }
            }
        }
        for ((script, line, column), (read, left)) in found {
            let Some(file) = self.texts.get(&script).copied() else { continue };
            let len = u32::try_from(read.input.chars().count()).unwrap_or(1);
            self.bare_read(file, Pos { line, column, len }, &read.input, &left);
        }
    }

    fn bare_read(&mut self, file: FileId, pos: Pos, input: &str, left: &[String]) {
        /// Tags named; the rest are counted.
        const NAMED_MAX: usize = 4;
        let mut names = left.iter().take(NAMED_MAX).map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
        if left.len() > NAMED_MAX {
            names.push_str(&format!(" and {} more", left.len() - NAMED_MAX));
        }
        let message = format!(
            "when `{input}` is bad the scan ends here, and nobody steers {names}: `bad_input: hold` stays for as long"
        );
        self.reader.report.warning(file, pos, message).label("read without asking whether it can be used").help(
            format!(
                "ask first (io.usable(\"{input}\"), io.or(\"{input}\", …)), or declare where it ends: \
                 bad_input: hold 30min then <value>; `penstock check --inputs` lists what every bad input does"
            ),
        );
    }

    /// A circle through a program, as the uses that form it, against the data's flow.
    fn circle_from(&self, start: usize, writer: &HashMap<TagId, usize>) -> Option<Vec<usize>> {
        let mut stack: Vec<(usize, Vec<usize>)> = vec![(start, Vec::new())];
        let mut seen = HashSet::new();
        while let Some((program, path)) = stack.pop() {
            for (index, used) in self.uses.iter().enumerate().filter(|(_, u)| u.program == program && u.late.is_none())
            {
                let Some(&from) = writer.get(&used.tag) else { continue };
                if self.list[from].task != self.list[program].task {
                    continue;
                }
                let mut longer = path.clone();
                longer.push(index);
                if from == start {
                    return Some(longer);
                }
                if seen.insert(from) {
                    stack.push((from, longer));
                }
            }
        }
        None
    }
}
