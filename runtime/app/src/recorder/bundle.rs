//! The configuration that a recorded scan ran with: every file of it, so that a window can be replayed on another machine
//! and after the folder was changed.

use crate::config::{Loaded, Overrides, Site, load};
use penstock_model::{DeviceId, TagId};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

const FORMAT: &str = "penstock-configuration 1";
/// Largest bundle read: a site is text.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A configuration with the names behind the numbers in the journals.
#[derive(Debug, Serialize, Deserialize)]
pub struct Bundle {
    format: String,
    /// Short name of the site.
    pub site: String,
    /// Hash of the configuration.
    pub hash: String,
    /// The site's folder within the files.
    dir: PathBuf,
    files: Vec<(PathBuf, String)>,
}

/// The names behind the numbers in the journals of one run. A configuration that is applied while running takes the
/// numbers of the one that the run began with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Names {
    format: String,
    /// Short name of the site.
    pub site: String,
    /// Paths of the tags.
    tags: Vec<String>,
    /// Names of the tasks.
    pub tasks: Vec<String>,
    /// Names of the devices.
    devices: Vec<String>,
}

/// A configuration loaded again.
#[derive(Debug)]
pub struct Unpacked {
    /// The site.
    pub site: Site,
    /// Its tag for each number in the journals.
    pub tags: Vec<TagId>,
    /// Its device for each number in the journals.
    pub devices: Vec<DeviceId>,
}

/// Where the configuration of this hash lies.
#[must_use]
pub fn path(dir: &Path, hash: &str) -> PathBuf {
    dir.join("configs").join(format!("{hash}.json"))
}

impl Bundle {
    /// Of a site as it runs.
    ///
    /// # Errors
    /// Names the file that is no longer there as it was read.
    pub fn of(site: &Site) -> std::io::Result<Bundle> {
        let full = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let site_dir = plain(&full(&site.dir));
        let file = |(path, bytes): (&Path, Vec<u8>)| (plain(&full(path)), String::from_utf8_lossy(&bytes).into_owned());
        let files: Result<Vec<(PathBuf, String)>, String> = site.sources.files().map(|f| f.map(file)).collect();
        let files = files.map_err(std::io::Error::other)?;
        let root = files.iter().fold(site_dir.clone(), |root, (path, _)| common(&root, path));
        let below = |path: &Path| path.strip_prefix(&root).map(Path::to_path_buf).unwrap_or_default();
        Ok(Bundle {
            format: FORMAT.to_owned(),
            site: site.id.clone(),
            hash: site.config_hash.clone(),
            dir: below(&site_dir),
            files: files.into_iter().map(|(path, text)| (below(&path), text)).collect(),
        })
    }

    /// Writes it whole, where it is not there yet.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, dir: &Path) -> std::io::Result<()> {
        let path = path(dir, &self.hash);
        let beside = path.with_extension("json.new");
        std::fs::write(&beside, serde_json::to_vec(self)?)?;
        std::fs::File::open(&beside)?.sync_all()?;
        std::fs::rename(beside, path)
    }

    /// Reads the configuration of this hash.
    ///
    /// # Errors
    /// In words: it is not there, or damaged.
    pub fn read(dir: &Path, hash: &str) -> Result<Bundle, String> {
        let path = path(dir, hash);
        let wrong = |why: String| format!("the configuration {hash} that was recorded: {}: {why}", path.display());
        match std::fs::metadata(&path) {
            Ok(meta) if meta.len() > BYTES_MAX => return Err(wrong("is too large to be one".into())),
            Ok(_) => {}
            Err(e) => return Err(wrong(e.to_string())),
        }
        let bytes = std::fs::read(&path).map_err(|e| wrong(e.to_string()))?;
        let bundle: Bundle = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        if bundle.format != FORMAT {
            return Err(wrong(format!("is of the format `{}`, not `{FORMAT}`", bundle.format)));
        }
        Ok(bundle)
    }

    /// Lays the files out in a folder of its own, loads them, and removes the folder again.
    ///
    /// # Errors
    /// In words: the folder cannot be made, or the configuration does not load.
    pub fn unpack(&self, names: &Names) -> Result<Unpacked, String> {
        let folder = Folder::make()?;
        for (path, text) in &self.files {
            // Paths come from a file: none may lead out of the folder.
            if !path.components().all(|c| matches!(c, Component::Normal(_))) {
                return Err(format!("the recorded configuration names a file outside of itself: {}", path.display()));
            }
            let target = folder.0.join(path);
            let parent = target.parent().unwrap_or(&folder.0);
            let put = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&target, text));
            put.map_err(|e| format!("{}: {e}", target.display()))?;
        }
        let Loaded { site, .. } = load(&folder.0.join(&self.dir), &Overrides::default())
            .map_err(|d| format!("the recorded configuration does not load any more:\n{d}"))?;
        let unlike =
            "the names of the recorded run are not in the recorded configuration; was it written by another version?";
        let tags: Option<Vec<TagId>> = names.tags.iter().map(|path| site.tags.find(path)).collect();
        let device = |name: &String| site.devices.iter().find(|d| *d.name == **name).map(|d| d.id);
        let devices: Option<Vec<DeviceId>> = names.devices.iter().map(device).collect();
        Ok(Unpacked { tags: tags.ok_or(unlike)?, devices: devices.ok_or(unlike)?, site })
    }
}

impl Names {
    /// Of the site that a run begins with.
    #[must_use]
    pub fn of(site: &Site) -> Names {
        Names {
            format: FORMAT.to_owned(),
            site: site.id.clone(),
            tags: site.tags.iter().map(|t| t.path.to_string()).collect(),
            tasks: site.tasks.iter().map(|t| t.name.to_string()).collect(),
            devices: site.devices.iter().map(|d| d.name.to_string()).collect(),
        }
    }

    fn path(dir: &Path, run: i64) -> PathBuf {
        dir.join("runs").join(format!("{run}.json"))
    }

    /// Writes them for a run.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn write(&self, dir: &Path, run: i64) -> std::io::Result<()> {
        std::fs::create_dir_all(dir.join("runs"))?;
        let path = Names::path(dir, run);
        std::fs::write(&path, serde_json::to_vec(self)?)?;
        std::fs::File::open(&path)?.sync_all()
    }

    /// Reads those of a run.
    ///
    /// # Errors
    /// In words: they are not there, or damaged.
    pub fn read(dir: &Path, run: i64) -> Result<Names, String> {
        let path = Names::path(dir, run);
        let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", path.display()))
    }
}

/// A folder that goes when it is dropped.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Result<Folder, String> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("penstock-replay-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is a few files in the system's folder for such.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

fn common(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}
