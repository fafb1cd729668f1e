//! Holding an output by hand from the command line, for a test of a loop on the running site. Rights, checks and records are
//! those of a page; a hold is short, and whoever asks says it again.

use super::control::{Answer, refused};
use super::live::Control;
use super::words::Words;
use penstock_engine::OutputView;
use penstock_hmi::{Denial, Desk, Person};
use penstock_model::{Origin, Role, TagId};
use serde::{Deserialize, Serialize};

/// What is to be done with the output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum Act {
    /// Nothing: look.
    Look,
    /// Hold it at a value for so many seconds.
    Hold {
        /// In the tag's unit.
        value: f64,
        /// Seconds until it ends by itself.
        lease_s: u64,
        /// Whoever asks believes to hold it.
        goes_on: bool,
    },
    /// Give it back to its program, unless somebody else holds it.
    Release,
}

/// How output and measurement stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// The runtime's clock, s.
    pub at_s: f64,
    /// The output's value where it can be used.
    pub output: Option<f64>,
    /// The measurement's value where it can be used.
    pub measured: Option<f64>,
    /// The measurement's quality, in words.
    pub quality: String,
    /// Somebody else holds the output by hand.
    pub others: bool,
}

impl Control {
    /// Carries an act out and looks.
    ///
    /// # Errors
    /// Why not, in both languages; nothing has changed then.
    pub fn hand(
        &self,
        (output, measured): (&str, &str),
        act: Act,
        by: Option<&str>,
        account: &str,
    ) -> Result<Answer, Words> {
        let (output, measured) = (self.tag(output)?, self.tag(measured)?);
        let context = &self.context;
        let user = by.map_or_else(|| account.to_owned(), |by| format!("{by} ({account})"));
        let who = Person { user: user.into(), role: Role::Engineer };
        let others =
            |view: OutputView| view.manual && matches!(view.holder, Some((Origin::User(name), _)) if name != who.user);
        let station = format!("tune, control socket, account {account}");
        let hold = self.running().0.hold;
        let desk = Desk::new(&context.engine, &context.actions, &context.clock, hold, &station);
        let said = |denial: Denial| refused(denial.zh, denial.en);
        match act {
            Act::Look => {}
            Act::Hold { value, lease_s, goes_on } => {
                desk.hold(&who, output, value, lease_s, goes_on).map_err(said)?;
            }
            Act::Release if context.engine.output(output).is_some_and(others) => {}
            Act::Release => {
                desk.write(&who, output, None).map_err(said)?;
            }
        }
        let (out, seen) = (context.engine.read(output), context.engine.read(measured));
        let seen = Seen {
            at_s: context.clock.now().mono.since(penstock_model::Instant::default()).as_secs_f64(),
            output: out.usable_f64(),
            measured: seen.usable_f64(),
            quality: seen.quality.to_string(),
            others: context.engine.output(output).is_some_and(others),
        };
        Ok(Answer { seen: Some(seen), ..self.say(true, Words::new("", ""), Vec::new()) })
    }

    fn tag(&self, path: &str) -> Result<TagId, Words> {
        let found = self.context.engine.tags().find(path);
        found.ok_or_else(|| refused(format!("没有点 {path}"), format!("there is no tag `{path}`")))
    }
}
