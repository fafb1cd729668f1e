//! The chain of models in a device: "SunS", then one model after another, each with its number and its length, then the
//! end model. A walk asks for registers and is told what they hold; it knows no wire.

use super::models::HEAD;
use std::fmt;

/// Where "SunS" may lie, counted from 0: the places that the specification names, the usual one first.
pub const BASES: [u16; 3] = [40_000, 50_000, 0];
/// The last place where "SunS" and an end model fit.
pub const BASE_MAX: u16 = u16::MAX - 3;
/// Most models in one chain. The longest known devices have some forty.
pub const MODELS_MAX: usize = 128;
/// "SunS".
const MARK: [u16; 2] = [0x5375, 0x6E53];
/// Number of the model after the last.
const END: u16 = 0xFFFF;

/// A model in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its number.
    pub id: u16,
    /// Address of its number, counted from 0.
    pub at: u16,
    /// Registers after number and length.
    pub length: u16,
}

/// What a device has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Address of "SunS", counted from 0.
    pub base: u16,
    /// Its models in order.
    pub models: Vec<Found>,
    /// False where the device refused the register behind the last model in place of an end model.
    pub closed: bool,
}

impl Chain {
    /// The `instance`-th model of a number, counted from 1.
    #[must_use]
    pub fn model(&self, id: u16, instance: u16) -> Option<Found> {
        self.models.iter().copied().filter(|m| m.id == id).nth(usize::from(instance.checked_sub(1)?))
    }

    /// A chain of these models, one behind the other: what is assumed before the device was asked.
    #[must_use]
    pub fn assumed(base: u16, models: impl IntoIterator<Item = (u16, u16)>) -> Chain {
        let mut at = base.saturating_add(2);
        let place = |(id, length): (u16, u16)| {
            let found = Found { id, at, length };
            at = at.saturating_add(HEAD).saturating_add(length);
            found
        };
        Chain { base, models: models.into_iter().map(place).collect(), closed: true }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let models: Vec<String> = self.models.iter().map(|m| format!("{} at {}", m.id, m.at)).collect();
        write!(f, "SunSpec from PDU {}: models {}", self.base, models.join(", "))
    }
}

/// What a question brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply<'a> {
    /// Registers.
    Words(&'a [u16]),
    /// The device refuses the place; in words.
    Refused(&'a str),
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask for so many holding registers at this address.
    Ask(u16, u16),
    /// The chain is known.
    Done(Chain),
    /// There is none, or it is broken; in words, with the register.
    Failed(String),
}

/// A walk along the chain, one question at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walk {
    bases: Vec<u16>,
    /// Which base is being tried.
    base: usize,
    /// What the bases tried so far have shown.
    tried: Vec<String>,
    /// The next head; 0 while "SunS" is looked for.
    at: u16,
    found: Vec<Found>,
}

impl Walk {
    /// A walk that looks for "SunS" at these places, in order.
    #[must_use]
    pub fn new(bases: &[u16]) -> Walk {
        let bases = bases.iter().copied().filter(|base| *base <= BASE_MAX).collect();
        Walk { bases, base: 0, tried: Vec::new(), at: 0, found: Vec::new() }
    }

    /// The question to be asked now.
    #[must_use]
    pub fn step(&self) -> Step {
        if self.at != 0 {
            return Step::Ask(self.at, HEAD);
        }
        match self.bases.get(self.base) {
            Some(base) => Step::Ask(*base, 2),
            None => Step::Failed(format!("no SunSpec device: {}", self.tried.join("; "))),
        }
    }

    /// The place that is tried first: an answer that never came there may come elsewhere.
    #[must_use]
    pub fn base(&self) -> Option<u16> {
        self.bases.get(self.base).copied()
    }

    /// Takes the reply to the question of [`Walk::step`]; what comes next.
    pub fn take(&mut self, reply: &Reply<'_>) -> Step {
        let broken = if self.at == 0 { self.take_mark(reply) } else { self.take_head(reply) };
        match broken {
            Some(step) => step,
            None => self.step(),
        }
    }

    fn take_mark(&mut self, reply: &Reply<'_>) -> Option<Step> {
        let base = self.base()?;
        match reply {
            Reply::Words(words) if **words == MARK => self.at = base + 2,
            Reply::Words([a, b]) => self.next_base(format!("PDU {base} holds {a:#06x} {b:#06x}, not \"SunS\"")),
            Reply::Words(words) => self.next_base(format!("PDU {base} gave {} registers, not 2", words.len())),
            Reply::Refused(why) => self.next_base(format!("PDU {base}: {why}")),
        }
        None
    }

    fn next_base(&mut self, why: String) {
        self.tried.push(why);
        self.base += 1;
    }

    fn take_head(&mut self, reply: &Reply<'_>) -> Option<Step> {
        let at = self.at;
        let fail = |what: String| Some(Step::Failed(format!("the SunSpec chain is broken at PDU {at}: {what}")));
        let (id, length) = match reply {
            Reply::Words([id, length]) => (*id, *length),
            Reply::Words(words) => return fail(format!("{} registers came in place of 2", words.len())),
            // Some devices have nothing behind the last model. What was found before is still right.
            Reply::Refused(_) if !self.found.is_empty() => return Some(Step::Done(self.chain(false))),
            Reply::Refused(why) => return fail(format!("there is no first model: {why}")),
        };
        if id == END {
            return Some(Step::Done(self.chain(true)));
        }
        if id == 0 {
            return fail("a model has the number 0".to_owned());
        }
        if self.found.len() == MODELS_MAX {
            return fail(format!("more than {MODELS_MAX} models"));
        }
        let next = u32::from(at) + u32::from(HEAD) + u32::from(length);
        match u16::try_from(next) {
            // The head behind it must have its two registers too.
            Ok(next) if next < u16::MAX => {
                self.found.push(Found { id, at, length });
                self.at = next;
                None
            }
            _ => fail(format!("model {id} of length {length} runs past the last register")),
        }
    }

    fn chain(&mut self, closed: bool) -> Chain {
        Chain { base: self.base().unwrap_or(0), models: std::mem::take(&mut self.found), closed }
    }
}

/// The chain in these holding registers, which begin at address `first`; what lies outside is refused.
///
/// # Errors
/// When there is no chain or it is broken; in words, with the register.
pub fn chain_of(first: u16, words: &[u16], bases: &[u16]) -> Result<Chain, String> {
    let mut walk = Walk::new(bases);
    let mut step = walk.step();
    loop {
        match step {
            Step::Ask(at, count) => {
                let from = usize::from(at).checked_sub(usize::from(first));
                let part = from.and_then(|from| words.get(from..from + usize::from(count)));
                step = walk.take(&part.map_or(Reply::Refused("no such register"), Reply::Words));
            }
            Step::Done(chain) => return Ok(chain),
            Step::Failed(why) => return Err(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A chain with these heads, every other register 7.
    fn device(heads: &[(u16, u16)], end: bool) -> Vec<u16> {
        let mut words = MARK.to_vec();
        for (id, length) in heads {
            words.extend([*id, *length]);
            words.resize(words.len() + usize::from(*length), 7);
        }
        if end {
            words.extend([END, 0]);
        }
        words
    }

    #[test]
    fn a_chain_is_walked_to_its_end() {
        for base in BASES {
            let chain = chain_of(base, &device(&[(1, 66), (103, 50), (64_001, 9), (103, 50)], true), &BASES).unwrap();
            assert_eq!((chain.base, chain.closed), (base, true));
            let found: Vec<_> = chain.models.iter().map(|m| (m.id, m.at - base, m.length)).collect();
            assert_eq!(found, [(1, 2, 66), (103, 70, 50), (64_001, 122, 9), (103, 133, 50)]);
            assert_eq!(chain.model(103, 2).map(|m| m.at - base), Some(133));
            assert_eq!(chain.model(103, 3), None);
            assert_eq!(chain.model(103, 0), None);
        }
    }

    #[test]
    fn a_missing_end_model_costs_nothing_that_was_found() {
        let chain = chain_of(40_000, &device(&[(1, 66), (103, 50)], false), &BASES).unwrap();
        assert_eq!((chain.models.len(), chain.closed), (2, false));
    }

    #[test]
    fn what_is_broken_is_named_with_its_register() {
        let fails = |first: u16, words: &[u16], bases: &[u16], part: &str| {
            let why = chain_of(first, words, bases).unwrap_err();
            assert!(why.contains(part), "{why}");
        };
        fails(40_000, &[1, 2, 3], &BASES, "PDU 40000 holds 0x0001 0x0002, not \"SunS\"; PDU 50000: no such register");
        fails(40_000, &MARK, &BASES, "broken at PDU 40002: there is no first model");
        fails(40_000, &device(&[(0, 4)], true), &BASES, "broken at PDU 40002: a model has the number 0");
        fails(40_000, &device(&[(1, 66), (0, 0)], true), &BASES, "broken at PDU 40070");
        let mut long = device(&[(1, 66)], false);
        long.extend([103, 60_000]);
        fails(40_000, &long, &BASES, "broken at PDU 40070: model 103 of length 60000 runs past the last register");
        // A device that answers every head with a model of no length would be walked for ever.
        fails(0, &[MARK.to_vec(), [103, 0].repeat(400)].concat(), &[0], "more than 128 models");
        let last = [MARK.to_vec(), vec![1, 0xFFFF - 0xFFF0 - 4]].concat();
        fails(0xFFF0, &last, &[0xFFF0], "runs past");
        fails(0xFFFE, &MARK, &[0xFFFE], "no SunSpec device");
    }

    proptest! {
        /// Whatever a device holds, the walk ends, asks only for registers that exist, and what it finds lies apart.
        #[test]
        fn any_registers_end_the_walk(
            words in proptest::collection::vec(prop_oneof![any::<u16>(), 0..300_u16, Just(END)], 0..600),
            marked: bool,
            first in prop_oneof![Just(40_000_u16), Just(0), 0..=BASE_MAX],
        ) {
            let words = if marked { [MARK.to_vec(), words].concat() } else { words };
            let mut walk = Walk::new(&[first]);
            let mut step = walk.step();
            let mut asked = 0;
            while let Step::Ask(at, count) = step {
                asked += 1;
                prop_assert!(asked <= MODELS_MAX + 3);
                prop_assert!(u32::from(at) + u32::from(count) <= 65_536);
                let from = usize::from(at) - usize::from(first);
                let part = words.get(from..from + usize::from(count));
                step = walk.take(&part.map_or(Reply::Refused("none"), Reply::Words));
            }
            if let Step::Done(chain) = step {
                for pair in chain.models.windows(2) {
                    prop_assert!(pair[0].at + HEAD + pair[0].length == pair[1].at);
                }
                prop_assert!(!marked || chain.models.len() <= MODELS_MAX);
            }
        }

        /// Replies of any length end it too.
        #[test]
        fn any_replies_end_the_walk(
            replies in proptest::collection::vec(proptest::collection::vec(any::<u16>(), 0..5), 0..400),
        ) {
            let mut walk = Walk::new(&BASES);
            let mut over = false;
            for reply in &replies {
                if !matches!(walk.take(&Reply::Words(reply)), Step::Ask(..)) {
                    over = true;
                    break;
                }
            }
            prop_assert!(over || replies.len() < MODELS_MAX + 8);
        }
    }
}
