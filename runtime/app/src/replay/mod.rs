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
use crate::recorder::ring::Index;
use crate::recorder::{folder, order};
use penstock_engine::Words;
use penstock_model::{TaskId, Utc};
use std::path::PathBuf;
use std::time::Duration;

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
    /// The time of the last scan recorded: what counts as now, also where the clock was set back before it.
    fn end(&self) -> Utc {
        Utc(order::end(&self.index.blocks).unwrap_or(0))
    }

    /// So long before the end; not before the clock was set back, where that was later.
    fn before_end(&self, time: Duration) -> Utc {
        let since = order::set_back(&self.index.blocks).map_or(Utc(i64::MIN), Utc);
        (self.end() - time).max(since)
    }

    /// Earliest and latest time recorded.
    fn span(&self) -> (Utc, Utc) {
        let first = self.index.blocks.iter().map(|b| b.head.first_utc).min().unwrap_or(0);
        let last = self.index.blocks.iter().map(|b| b.head.last_utc).max().unwrap_or(0);
        (Utc(first), Utc(last))
    }

    /// A moment as a person writes it: `2026-11-22 18:05`, `18:05:30` (of the last day recorded), `-10min` before the
    /// end of the record, or with a zone as in `2026-11-22T10:05:00Z`.
    fn moment(&self, text: &str) -> Result<Utc, String> {
        let last = self.end();
        let text = text.trim();
        if let Some(before) = text.strip_prefix('-') {
            return Ok(self.before_end(crate::cli::duration(before)?));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::ring::{Bounds, Head, Kind, Ring};

    const S: i64 = 1_000_000_000;

    /// A record of tasks 0 and 1 with a scan every 10 s each: two runs, the clock of the second set back by two hours.
    fn opened(dir: &std::path::Path) -> Opened {
        let site = dir.join("site");
        std::fs::create_dir_all(&site).unwrap();
        std::fs::write(site.join("site.yaml"), "site: s\nname: S\ntime_zone: Asia/Shanghai\ntasks: { a: 1s, b: 1s }\n")
            .unwrap();
        std::fs::write(site.join("tags.yaml"), "entries:\n  - { tag: sp, range: [0, 100], initial: 30 }\n").unwrap();
        let site = load(&site, &Overrides::default()).unwrap_or_else(|e| panic!("{e}")).site;
        let bounds = Bounds { bytes_max: 1 << 30, keep_ns: i64::MAX, free_bytes_min: 0 };
        for (run, begin) in [(1, 1_800_000_000 * S), (2, (1_800_000_000 + 1_800 - 7_200) * S)] {
            let mut ring = Ring::open(dir, bounds).unwrap();
            for scan in 0_u8..180 {
                for task in [0, 1] {
                    let at = begin + i64::from(scan) * 10 * S + i64::from(task);
                    let head = Head {
                        kind: Kind::Scans,
                        task,
                        key: scan % 6 == 0,
                        config: [0; 6],
                        run,
                        first_scan: scan.into(),
                        last_scan: scan.into(),
                        first_utc: at,
                        last_utc: at,
                        len: 0,
                        crc: 0,
                    };
                    ring.append(head, &[], at).unwrap();
                }
            }
        }
        let names = Names::of(&site);
        Opened { dir: dir.to_path_buf(), index: Index::read(dir).unwrap(), names, site }
    }

    #[test]
    fn where_the_clock_was_set_back_now_is_the_last_scan_written() {
        let dir = tempfile::tempdir().unwrap();
        let opened = opened(dir.path());
        let back = 1_800_000_000 - 5_400;
        assert_eq!(opened.end(), Utc((back + 1_790) * S + 1));
        assert_eq!(opened.moment("-10min").unwrap(), Utc((back + 1_190) * S + 1));
        assert_eq!(opened.moment("-2h").unwrap(), Utc(back * S), "not before the clock was set back");
        assert_eq!(opened.span(), (Utc(back * S), Utc(1_800_001_790 * S + 1)));
        let blocks = &opened.index.blocks;
        assert_eq!(blocks.iter().map(|b| b.head.run).collect::<std::collections::BTreeSet<_>>().len(), 2);
        assert!(blocks.windows(2).all(|b| b[0].head.run <= b[1].head.run), "in the order written");
    }

    #[test]
    fn a_clock_that_was_never_set_back_leaves_windows_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let mut opened = opened(dir.path());
        opened.index.blocks.retain(|b| b.head.run == 1);
        assert_eq!(opened.moment("-2h").unwrap(), Utc((1_800_000_000 + 1_790 - 7_200) * S + 1));
    }
}
