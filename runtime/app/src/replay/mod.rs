//! The workbench over the record of scans: `replay` runs a past window again, `shadow` runs another program beside the
//! plant, `why` tells why a tag stands as it stands. All three read the ring in the state folder and touch no runtime.

mod alter;
mod compare;
mod shadow;
mod why;
mod window;

pub use shadow::ShadowArgs;
pub use why::WhyArgs;
pub use window::ReplayArgs;
pub(crate) use {shadow::run as shadow, why::run as why, window::run as replay};

use crate::config::{Overrides, Site, load};
use crate::recorder::bundle::Names;
use crate::recorder::folder;
use crate::recorder::ring::Index;
use penstock_engine::Words;
use penstock_model::{TaskId, Utc};
use std::path::PathBuf;

/// Which site and record, and in which language.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// Site folder.
    site: PathBuf,
    /// State folder of the site, as given to `run`.
    #[arg(long, default_value = "var/penstock")]
    state: PathBuf,
    /// Language of what is printed: zh or en. Default: that of the environment, else en.
    #[arg(long, value_parser = ["zh", "en"])]
    lang: Option<String>,
}

/// A record that belongs to the site.
struct Opened {
    dir: PathBuf,
    index: Index,
    names: Names,
    /// The site's folder as it is now: for its name, its time zone, and places in its files.
    site: Site,
}

impl Common {
    fn chinese(&self) -> bool {
        let environment = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
            .is_some_and(|v| v.starts_with("zh"));
        self.lang.as_deref().map_or(environment, |lang| lang == "zh")
    }

    /// The language of the output.
    fn words(&self) -> Words {
        if self.chinese() { Words::Zh } else { Words::En }
    }

    /// The text in the language of the output.
    fn say(&self, zh: impl Into<String>, en: impl Into<String>) -> String {
        self.words().say(zh, en)
    }

    fn open(&self) -> Result<Opened, String> {
        let site = load(&self.site, &Overrides::default()).map_err(|d| d.to_string())?.site;
        let dir = folder(&self.state);
        let index = Index::read(&dir).map_err(|e| {
            format!(
                "{}: {e}: this state folder has no record of scans; give the one named by --state at the run, and see \
                 that `recorder: on` is not false in site.yaml",
                dir.display()
            )
        })?;
        let last = index.blocks.last().ok_or_else(|| format!("{}: nothing is recorded yet", dir.display()))?;
        let names = Names::read(&dir, last.head.run)?;
        if names.site != site.id {
            return Err(format!(
                "the record in {} is of the site `{}`, and {} is `{}`",
                self.state.display(),
                names.site,
                self.site.display(),
                site.id
            ));
        }
        Ok(Opened { dir, index, names, site })
    }
}

impl Opened {
    /// Earliest and latest scan recorded.
    fn span(&self) -> (Utc, Utc) {
        let first = self.index.blocks.iter().map(|b| b.head.first_utc).min().unwrap_or(0);
        let last = self.index.blocks.iter().map(|b| b.head.last_utc).max().unwrap_or(0);
        (Utc(first), Utc(last))
    }

    /// A moment as a person writes it: `2026-11-22 18:05`, `18:05:30` (of the last day recorded), `-10min` before the
    /// end of the record, or with a zone as in `2026-11-22T10:05:00Z`.
    fn moment(&self, text: &str) -> Result<Utc, String> {
        let (_, last) = self.span();
        let text = text.trim();
        if let Some(before) = text.strip_prefix('-') {
            return Ok(last - crate::config::duration(before)?);
        }
        if let Ok(at) = text.parse::<jiff::Timestamp>() {
            return Ok(Utc(i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX)));
        }
        let wrong = || {
            format!("`{text}` is no moment: write `2026-11-22 18:05:00`, `18:05`, `2026-11-22T10:05:00Z` or `-10min`")
        };
        let zone = jiff::tz::TimeZone::get(&self.site.time_zone).map_err(|e| e.to_string())?;
        let civil = text.parse::<jiff::civil::DateTime>().or_else(|_| {
            let time: jiff::civil::Time = text.parse()?;
            let day = jiff::Timestamp::from_nanosecond(i128::from(last.0))?.to_zoned(zone.clone()).date();
            Ok::<_, jiff::Error>(day.to_datetime(time))
        });
        let at = civil.and_then(|civil| civil.to_zoned(zone)).map_err(|_| wrong())?;
        Ok(Utc(i64::try_from(at.timestamp().as_nanosecond()).unwrap_or(i64::MAX)))
    }

    fn shown(&self, at: Utc) -> String {
        let zone = jiff::tz::TimeZone::get(&self.site.time_zone).unwrap_or(jiff::tz::TimeZone::UTC);
        jiff::Timestamp::from_nanosecond(i128::from(at.0))
            .map_or_else(|_| "?".to_owned(), |t| t.to_zoned(zone).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string())
    }

    /// Tasks by the name asked for; all where none is.
    fn tasks(&self, asked: Option<&str>) -> Result<Vec<(TaskId, String)>, String> {
        let all = (0_u8..).map(TaskId).zip(self.names.tasks.iter().cloned());
        let Some(name) = asked else { return Ok(all.collect()) };
        let found: Vec<_> = all.filter(|(_, n)| n == name).collect();
        if found.is_empty() {
            return Err(format!("the record has no task `{name}`; there are: {}", self.names.tasks.join(", ")));
        }
        Ok(found)
    }
}
