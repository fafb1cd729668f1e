//! The memory of a block as plain data: what is kept over a restart, journalled for a replay and shown to a person.
//!
//! Each block describes its memory once ([`super::FunctionBlock::memory`]), as one pass over named fields. The same pass
//! writes every field out ([`Pass::save`]) or takes every field in ([`Pass::load`]), so that the two cannot differ. What
//! is taken in comes from a file or another version and is not trusted: names, kinds, lengths, finite numbers and ranges
//! are checked, and a memory that does not fit as a whole is refused as a whole.

use super::args::MEMORY_MAX;
use std::borrow::Cow;

/// The memory of a block: its fields by name, in the block's own order. Bounded by the block: the longest is the delay
/// line of `smith()` with 1 024 numbers.
pub type BlockMemory = Vec<(Cow<'static, str>, Field)>;

/// One field of a block's memory.
#[derive(Debug, Clone, PartialEq)]
pub enum Field {
    /// There is none at present.
    Nothing,
    /// A switch.
    Switch(bool),
    /// A number, finite.
    Number(f64),
    /// A count.
    Count(u64),
    /// One of the words of its block.
    Word(Cow<'static, str>),
    /// Numbers in a row.
    Numbers(Vec<f64>),
    /// Parts of one kind, for example machines: each with its fields.
    Parts(Vec<BlockMemory>),
}

impl Field {
    /// How many plain values it holds: its share of the cost of a snapshot.
    #[must_use]
    pub fn values(&self) -> usize {
        match self {
            Field::Numbers(list) => list.len(),
            Field::Parts(parts) => parts.iter().flatten().map(|(_, field)| field.values()).sum(),
            Field::Nothing | Field::Switch(_) | Field::Number(_) | Field::Count(_) | Field::Word(_) => 1,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Field::Nothing => "nothing",
            Field::Switch(_) => "a switch",
            Field::Number(_) => "a number",
            Field::Count(_) => "a count",
            Field::Word(_) => "a word",
            Field::Numbers(_) => "numbers",
            Field::Parts(_) => "parts",
        }
    }
}

/// One pass over a block's memory, out or in.
pub(crate) struct Pass<'a>(Way<'a>);

enum Way<'a> {
    Out(BlockMemory),
    In {
        fields: &'a BlockMemory,
        taken: usize,
        /// The first thing that did not fit.
        wrong: Option<String>,
    },
}

impl<'a> Pass<'a> {
    /// What `fields` writes out.
    pub fn save(fields: impl FnOnce(&mut Pass)) -> BlockMemory {
        let mut pass = Pass(Way::Out(Vec::new()));
        fields(&mut pass);
        match pass.0 {
            Way::Out(memory) => memory,
            Way::In { .. } => Vec::new(),
        }
    }

    /// Takes a memory in.
    ///
    /// # Errors
    /// In words, the first field that is missing, too many or not what the block takes. What was taken in by then is
    /// not to be used.
    pub fn load(memory: &'a BlockMemory, fields: impl FnOnce(&mut Pass)) -> Result<(), String> {
        let mut pass = Pass(Way::In { fields: memory, taken: 0, wrong: None });
        fields(&mut pass);
        match pass.0 {
            Way::In { wrong: Some(wrong), .. } => Err(wrong),
            Way::In { taken, .. } if taken < memory.len() => Err("it has fields that are not known".to_owned()),
            Way::In { .. } | Way::Out(_) => Ok(()),
        }
    }

    /// One field: `out` makes it, `take` reads it or says what it takes instead.
    fn field<T>(
        &mut self,
        name: &'static str,
        value: &mut T,
        out: impl FnOnce(&T) -> Field,
        take: impl FnOnce(&Field) -> Result<T, String>,
    ) {
        match &mut self.0 {
            Way::Out(memory) => memory.push((name.into(), out(value))),
            Way::In { wrong: Some(_), .. } => {}
            Way::In { fields, taken, wrong } => match fields.iter().find(|(n, _)| n == name) {
                None => *wrong = Some(format!("`{name}` is missing")),
                Some((_, field)) => {
                    *taken += 1;
                    match take(field) {
                        Ok(taken) => *value = taken,
                        Err(wanted) => *wrong = Some(format!("`{name}` is {}: it takes {wanted}", field.kind())),
                    }
                }
            },
        }
    }

    /// True while fields are taken in and nothing was wrong so far.
    pub fn loads(&self) -> bool {
        matches!(self.0, Way::In { wrong: None, .. })
    }

    /// Refuses what was taken in, for a reason that only several fields together show.
    pub fn refuse(&mut self, reason: &str) {
        if let Way::In { wrong, .. } = &mut self.0 {
            wrong.get_or_insert_with(|| reason.to_owned());
        }
    }

    pub fn switch(&mut self, name: &'static str, value: &mut bool) {
        self.field(
            name,
            value,
            |on| Field::Switch(*on),
            |field| match field {
                Field::Switch(on) => Ok(*on),
                _ => Err("a switch".to_owned()),
            },
        );
    }

    pub fn maybe_switch(&mut self, name: &'static str, value: &mut Option<bool>) {
        self.field(
            name,
            value,
            |on| on.map_or(Field::Nothing, Field::Switch),
            |field| match field {
                Field::Nothing => Ok(None),
                Field::Switch(on) => Ok(Some(*on)),
                _ => Err("a switch or nothing".to_owned()),
            },
        );
    }

    pub fn number(&mut self, name: &'static str, value: &mut f64) {
        self.field(name, value, |x| Field::Number(*x), |field| checked(field, -MEMORY_MAX));
    }

    /// A time, an amount or anything else of at least 0.
    pub fn amount(&mut self, name: &'static str, value: &mut f64) {
        self.field(name, value, |x| Field::Number(*x), |field| checked(field, 0.0));
    }

    /// As [`Pass::amount`], of a field that memories of before it do not have: `value` stays there.
    pub fn newer_amount(&mut self, name: &'static str, value: &mut f64) {
        if let Way::In { fields, .. } = &self.0
            && !fields.iter().any(|(n, _)| n == name)
        {
            return;
        }
        self.amount(name, value);
    }

    pub fn maybe(&mut self, name: &'static str, value: &mut Option<f64>) {
        self.option(name, value, -MEMORY_MAX);
    }

    /// A time of at least 0, or nothing.
    pub fn maybe_amount(&mut self, name: &'static str, value: &mut Option<f64>) {
        self.option(name, value, 0.0);
    }

    fn option(&mut self, name: &'static str, value: &mut Option<f64>, least: f64) {
        self.field(
            name,
            value,
            |x| x.map_or(Field::Nothing, Field::Number),
            |field| if *field == Field::Nothing { Ok(None) } else { checked(field, least).map(Some) },
        );
    }

    /// A count of at most `most`.
    pub fn count(&mut self, name: &'static str, value: &mut usize, most: usize) {
        self.field(
            name,
            value,
            |n| Field::Count(*n as u64),
            |field| {
                match field {
                    Field::Count(n) => usize::try_from(*n).ok().filter(|n| *n <= most),
                    _ => None,
                }
                .ok_or_else(|| format!("a count of at most {most}"))
            },
        );
    }

    /// One of `words`, by its place.
    pub fn word(&mut self, name: &'static str, value: &mut usize, words: &'static [&'static str]) {
        self.field(
            name,
            value,
            |i| Field::Word(words[*i].into()),
            |field| {
                match field {
                    Field::Word(word) => words.iter().position(|w| w == word),
                    _ => None,
                }
                .ok_or_else(|| format!("one of {}", words.join(", ")))
            },
        );
    }

    /// Rows of `N` numbers each, at most `most` rows. `None` where they are written out.
    pub fn rows<const N: usize>(
        &mut self,
        name: &'static str,
        rows: impl Iterator<Item = [f64; N]>,
        most: usize,
    ) -> Option<Vec<[f64; N]>> {
        let mut list: Vec<f64> = Vec::new();
        if let Way::Out(_) = self.0 {
            list.extend(rows.flatten());
        }
        self.field(
            name,
            &mut list,
            |list| Field::Numbers(list.clone()),
            |field| match field {
                Field::Numbers(list) if fits(list, N, most) => Ok(list.clone()),
                _ => Err(format!("at most {most} rows of {N} finite numbers")),
            },
        );
        self.loads().then(|| list.as_chunks::<N>().0.to_vec())
    }

    /// Parts of one kind, at most `most`; a new one is made by `fresh` and filled by `fields`.
    pub fn parts<T>(
        &mut self,
        name: &'static str,
        parts: &mut Vec<T>,
        most: usize,
        fresh: impl Fn() -> T,
        fields: impl Fn(&mut T, &mut Pass),
    ) {
        // Written out first: a field is made from what is only looked at.
        let saved: Vec<BlockMemory> = match self.0 {
            Way::Out(_) => parts.iter_mut().map(|part| Pass::save(|pass| fields(part, pass))).collect(),
            Way::In { .. } => Vec::new(),
        };
        self.field(
            name,
            parts,
            |_| Field::Parts(saved),
            |field| match field {
                Field::Parts(list) if list.len() <= most => list
                    .iter()
                    .map(|memory| {
                        let mut part = fresh();
                        Pass::load(memory, |pass| fields(&mut part, pass)).map(|()| part)
                    })
                    .collect(),
                _ => Err(format!("at most {most} parts")),
            },
        );
    }

    /// A part of its own, with its fields.
    pub fn part<T: Default>(&mut self, name: &'static str, part: &mut T, fields: impl Fn(&mut T, &mut Pass)) {
        let mut one = vec![std::mem::take(part)];
        self.parts(name, &mut one, 1, T::default, fields);
        match one.pop() {
            Some(taken) => *part = taken,
            None => self.refuse("a part is missing"),
        }
    }
}

fn checked(field: &Field, least: f64) -> Result<f64, String> {
    match field {
        Field::Number(x) if (least..=MEMORY_MAX).contains(x) => Ok(*x),
        _ if least < 0.0 => Err("a finite number".to_owned()),
        _ => Err(format!("a finite number of at least {least}")),
    }
}

fn fits(list: &[f64], row: usize, most: usize) -> bool {
    list.len().is_multiple_of(row)
        && list.len() / row <= most
        && list.iter().all(|x| (-MEMORY_MAX..=MEMORY_MAX).contains(x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::{BlockKind, save};

    fn refused(kind: BlockKind, change: impl FnOnce(&mut BlockMemory)) -> String {
        let mut memory = save(&mut kind.make());
        change(&mut memory);
        kind.load(&memory).map(|_| "taken").unwrap_err()
    }

    fn set(name: &'static str, field: Field) -> impl FnOnce(&mut BlockMemory) {
        move |memory| memory.iter_mut().find(|(n, _)| n == name).unwrap().1 = field
    }

    #[test]
    fn a_memory_that_does_not_fit_is_refused_by_the_name_of_its_field() {
        for (kind, name, field, part) in [
            (BlockKind::Pid, "integral", Field::Number(f64::NAN), "`integral` is a number: it takes a finite number"),
            (BlockKind::Pid, "integral", Field::Number(1e101), "`integral`"),
            (BlockKind::Pid, "integral", Field::Switch(true), "`integral` is a switch"),
            (BlockKind::Pid, "last", Field::Parts(vec![vec![], vec![]]), "`last`"),
            (BlockKind::RunHours, "hours", Field::Number(-1.0), "of at least 0"),
            (BlockKind::RunHours, "starts", Field::Number(1.0), "`starts` is a number: it takes a count"),
            (BlockKind::Window, "spans", Field::Numbers(vec![1.0; 4]), "rows of 5"),
            (BlockKind::Window, "spans", Field::Numbers(vec![1.0; 5 * 1_000]), "rows of 5"),
            (BlockKind::Window, "spans", Field::Numbers(vec![0.0; 5]), "no time"),
            (BlockKind::Smith, "line", Field::Numbers(vec![0.0, 1.0, 5.0, 1.0, 3.0, 1.0]), "do not grow"),
            (BlockKind::Smith, "line", Field::Numbers(vec![f64::INFINITY, 1.0]), "rows of 2"),
            (BlockKind::Sequencer, "waiting", Field::Word("godot".into()), "one of "),
            (BlockKind::Sequencer, "wanted", Field::Count(17), "at most 16"),
            (BlockKind::Validator, "sensors", Field::Parts(vec![vec![]; 4]), "at most 3 parts"),
            (BlockKind::Validator, "sensors", Field::Parts(vec![vec![]]), "`recent` is missing"),
        ] {
            let message = refused(kind, set(name, field));
            assert!(message.contains(part), "{kind:?} {name}: {message}");
        }
        assert!(refused(BlockKind::Lag, |memory| memory.clear()).contains("`y` is missing"));
        let more = |memory: &mut BlockMemory| memory.push(("z".into(), Field::Nothing));
        assert!(refused(BlockKind::Lag, more).contains("not known"));
    }

    #[test]
    fn a_memory_of_another_kind_is_refused() {
        for kind in BlockKind::ALL {
            for other in BlockKind::ALL {
                let memory = save(&mut other.make());
                let same = memory == save(&mut kind.make());
                assert_eq!(kind.load(&memory).is_ok(), same, "{kind:?} from {other:?}");
            }
        }
    }
}
