//! Which configuration a plant starts with while nobody stands by: the one that was last applied, not whatever lies in the
//! site's folder. An engineer may be in the middle of editing it when the runtime dies.

use super::diff::differences;
use super::history::{self, Entry};
use super::words::Words;
use crate::config::{Loaded, Overrides, load};
use std::path::Path;

/// Why the folder is not what runs.
#[derive(Debug, Clone)]
pub enum Folder {
    /// It is another configuration; this is what differs.
    Differs(Vec<Words>),
    /// It has mistakes; these.
    Broken(String),
}

/// A configuration that was taken from the history.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Its number.
    pub number: u32,
    /// What became of the folder.
    pub folder: Folder,
}

impl Applied {
    /// What a person has to know, in one line.
    #[must_use]
    pub fn words(&self) -> Words {
        let n = self.number;
        match &self.folder {
            Folder::Differs(lines) => Words::new(
                format!(
                    "运行的是最近一次应用的配置 {n}；站点文件夹与之相差 {} 项，未被采用。用 penstock diff 查看，用 penstock apply 生效",
                    lines.len()
                ),
                format!(
                    "configuration {n}, the one last applied, is what runs; the site's folder differs in {} and is not used. \
                     Look with `penstock diff`, put it in force with `penstock apply`",
                    lines.len()
                ),
            ),
            Folder::Broken(_) => Words::new(
                format!(
                    "运行的是最近一次应用的配置 {n}；站点文件夹有误，未被采用。用 penstock check 查看并改正，用 penstock apply 生效"
                ),
                format!(
                    "configuration {n}, the one last applied, is what runs; the site's folder has mistakes and is not used. \
                     Find them with `penstock check`, mend them, then `penstock apply`"
                ),
            ),
        }
    }

    /// Says it in the log, with what differs or the mistakes.
    pub fn tell(&self) {
        tracing::error!("{}", self.words().en);
        match &self.folder {
            Folder::Differs(lines) => lines.iter().for_each(|line| tracing::warn!("  {}", line.en)),
            Folder::Broken(mistakes) => tracing::warn!("the mistakes of the folder:\n{mistakes}"),
        }
    }
}

/// What is to be run.
pub struct Choice {
    /// The configuration.
    pub loaded: Loaded,
    /// Where it is not the folder's.
    pub applied: Option<Applied>,
}

/// The configuration that was last applied on this state folder; the site's folder where that is the same, or nothing was
/// ever kept, or what was kept cannot be used (which is said in the log).
///
/// # Errors
/// In words, where neither can be run.
pub fn choose(site: &Path, state: &Path, overrides: &Overrides) -> Result<Choice, String> {
    let folder = load(site, overrides);
    let last = match history::ran(state) {
        Ok((entries, _)) => entries.into_iter().next_back(),
        Err(error) => {
            tracing::error!(%error, "the history of configurations cannot be read");
            None
        }
    };
    match (folder, last) {
        (Ok(loaded), None) => Ok(Choice { loaded, applied: None }),
        (Err(mistakes), None) => Err(mistakes.to_string()),
        // The state folder of another site has nothing to say here.
        (Ok(loaded), Some(last)) if last.hash == loaded.site.config_hash || last.site_id != loaded.site.id => {
            Ok(Choice { loaded, applied: None })
        }
        (folder, Some(last)) => match kept(site, state, &last, overrides) {
            Ok(kept) => {
                let folder = match &folder {
                    Ok(folder) => {
                        let found = differences(&kept.site, &folder.site);
                        Folder::Differs(found.into_iter().map(|d| d.words).collect())
                    }
                    Err(mistakes) => Folder::Broken(mistakes.to_string()),
                };
                Ok(Choice { loaded: kept, applied: Some(Applied { number: last.number, folder }) })
            }
            Err(why) => match folder {
                Ok(loaded) => {
                    tracing::error!(%why, "the configuration that was last applied cannot be used: the site's folder is what runs");
                    Ok(Choice { loaded, applied: None })
                }
                Err(mistakes) => {
                    Err(format!("{mistakes}\nand the configuration that was last applied cannot be used: {why}"))
                }
            },
        },
    }
}

/// A configuration of the history, as a site to run.
///
/// # Errors
/// In words, why it cannot be used.
pub fn kept(site: &Path, state: &Path, entry: &Entry, overrides: &Overrides) -> Result<Loaded, String> {
    let mut loaded = history::configuration(state, entry, overrides)?;
    // Drawings are no part of a configuration and are not kept with it.
    if let Ok(below) = loaded.site.hmi_dir.strip_prefix(&loaded.site.dir) {
        loaded.site.hmi_dir = site.join(below);
    }
    Ok(loaded)
}
