//! The files a configuration was read from, kept as they were: its history, its record and a way back to it need them
//! later, when the folder may hold others.

use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Every file read, with its bytes. They are kept packed: the lists of points of a large site repeat themselves, and who
/// asks for them asks seldom.
#[derive(Debug, Clone, Default)]
pub struct Sources(BTreeMap<PathBuf, Packed>);

#[derive(Debug, Clone)]
struct Packed {
    bytes: Box<[u8]>,
    /// Of what was packed; bytes.
    length: usize,
}

impl Packed {
    fn of(content: &[u8]) -> Packed {
        let mut bytes = Vec::new();
        // Reading from memory and packing into it cannot fail. Were it to, the length would tell.
        let _ = GzEncoder::new(content, Compression::fast()).read_to_end(&mut bytes);
        Packed { bytes: bytes.into_boxed_slice(), length: content.len() }
    }

    fn content(&self, path: &Path) -> Result<Vec<u8>, String> {
        let mut content = Vec::with_capacity(self.length);
        let lost = |why: &dyn std::fmt::Display| format!("{}: the file as it was read is lost: {why}", path.display());
        GzDecoder::new(&*self.bytes).read_to_end(&mut content).map_err(|e| lost(&e))?;
        if content.len() == self.length { Ok(content) } else { Err(lost(&"it is cut short")) }
    }
}

impl Sources {
    /// Of these files.
    #[must_use]
    pub fn new(files: &BTreeMap<PathBuf, Vec<u8>>) -> Sources {
        Sources(files.iter().map(|(path, content)| (path.clone(), Packed::of(content))).collect())
    }

    /// Their paths, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Every file with its bytes, unpacked one after the other.
    ///
    /// # Errors
    /// Names the file whose bytes do not unpack to what was packed, which only broken memory can bring about.
    pub fn files(&self) -> impl Iterator<Item = Result<(&Path, Vec<u8>), String>> {
        self.0.iter().map(|(path, packed)| Ok((path.as_path(), packed.content(path)?)))
    }

    /// The bytes of one file; `None` where it was not read.
    ///
    /// # Errors
    /// As [`Sources::files`].
    pub fn file(&self, path: &Path) -> Option<Result<Vec<u8>, String>> {
        self.0.get(path).map(|packed| packed.content(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_back_as_they_were_and_take_less() {
        let points = "  - { tag: a/b, at: HR1, as: float32 }\r\n".repeat(2000).into_bytes();
        let files: BTreeMap<PathBuf, Vec<u8>> = [
            ("a/site.yaml".into(), b"\xEF\xBB\xBFsite: x\xFF\0".to_vec()),
            ("b/empty.yaml".into(), Vec::new()),
            ("b/points.yaml".into(), points.clone()),
        ]
        .into();
        let sources = Sources::new(&files);
        let back: BTreeMap<PathBuf, Vec<u8>> =
            sources.files().map(|f| f.map(|(path, bytes)| (path.to_path_buf(), bytes)).unwrap()).collect();
        assert_eq!(back, files);
        assert_eq!(sources.paths().collect::<Vec<_>>(), files.keys().map(PathBuf::as_path).collect::<Vec<_>>());
        assert_eq!(sources.file(Path::new("b/points.yaml")).unwrap().unwrap(), points);
        assert!(sources.file(Path::new("b/other.yaml")).is_none());
        assert!(sources.0[Path::new("b/points.yaml")].bytes.len() * 20 < points.len());
    }

    #[test]
    fn a_file_that_does_not_unpack_is_named() {
        let mut sources = Sources::new(&[("site.yaml".into(), b"site: x".to_vec())].into());
        let packed = sources.0.get_mut(Path::new("site.yaml")).unwrap();
        packed.bytes = packed.bytes[..packed.bytes.len() - 9].into();
        let error = sources.files().next().unwrap().unwrap_err();
        assert!(error.starts_with("site.yaml: the file as it was read is lost"), "{error}");
    }
}
