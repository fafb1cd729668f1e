//! What the names of a script stand for.
//!
//! A program looks a name up with every access, some thousand times in a scan: names that a host knows are numbered, once
//! for the process, so that such a look is one step into a list and compares no letters.

use crate::declare::Declaration;
use parking_lot::Mutex;
use std::collections::HashMap;

/// What a name of a script stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    Input(usize),
    Output(usize),
    Param(usize),
    Block(usize),
    State(usize),
}

/// A name with its number: the same name has the same number for as long as the process lives.
#[derive(Debug, Clone)]
pub(crate) struct Name {
    pub text: String,
    number: usize,
}

/// Every name that was ever numbered. It grows with the scripts of the process, not with what they do.
static NUMBERS: Mutex<Option<HashMap<String, usize, ahash::RandomState>>> = Mutex::new(None);

impl Name {
    /// The name of this text.
    pub fn of(text: &str) -> Name {
        let mut numbers = NUMBERS.lock();
        let numbers = numbers.get_or_insert_default();
        let next = numbers.len();
        let number = *numbers.entry(text.to_owned()).or_insert(next);
        Name { text: text.to_owned(), number }
    }
}

/// A script's names, by text and by number.
pub(crate) struct Members {
    by_text: HashMap<String, Member, ahash::RandomState>,
    by_number: Vec<Option<Member>>,
}

impl Members {
    /// The names that a script declares.
    pub fn of(declaration: &Declaration) -> Members {
        let inputs = declaration.inputs.iter().enumerate().map(|(i, p)| (&p.name, Member::Input(i)));
        let outputs = declaration.outputs.iter().enumerate().map(|(i, p)| (&p.name, Member::Output(i)));
        let params = declaration.params.iter().enumerate().map(|(i, p)| (&p.name, Member::Param(i)));
        let blocks = declaration.blocks.iter().enumerate().map(|(i, (n, _))| (n, Member::Block(i)));
        let states = declaration.states.iter().enumerate().map(|(i, (n, _))| (n, Member::State(i)));
        let mut members = Members { by_text: HashMap::default(), by_number: Vec::new() };
        for (text, member) in inputs.chain(outputs).chain(params).chain(blocks).chain(states) {
            let number = Name::of(text).number;
            if members.by_number.len() <= number {
                members.by_number.resize(number + 1, None);
            }
            members.by_number[number] = Some(member);
            members.by_text.insert(text.clone(), member);
        }
        members
    }

    /// What a text stands for.
    pub fn get(&self, text: &str) -> Option<Member> {
        self.by_text.get(text).copied()
    }

    /// What a numbered name stands for.
    pub fn named(&self, name: &Name) -> Option<Member> {
        self.by_number.get(name.number).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Script;

    #[test]
    fn a_name_stands_for_the_same_by_text_and_by_number_in_each_script() {
        let members = |source: &str| Members::of(Script::compile("t", source).unwrap().declaration());
        let one = members(
            "fn declare(p) { p.input(\"a\", \"\"); p.output(\"b\", \"\"); p.state(\"c\", 0.0); } fn scan(io) { }",
        );
        let other = members(
            "fn declare(p) { p.output(\"c\", \"\"); p.param(\"a\", \"\", 1.0); p.block(\"d\", pid()); } fn scan(io) { }",
        );
        for (members, text, member) in [
            (&one, "a", Some(Member::Input(0))),
            (&one, "b", Some(Member::Output(0))),
            (&one, "c", Some(Member::State(0))),
            (&one, "d", None),
            (&other, "a", Some(Member::Param(0))),
            (&other, "b", None),
            (&other, "c", Some(Member::Output(0))),
            (&other, "d", Some(Member::Block(0))),
            (&other, "never declared", None),
        ] {
            assert_eq!((members.get(text), members.named(&Name::of(text))), (member, member), "{text}");
        }
    }
}
