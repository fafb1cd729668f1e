//! The configuration that runs, as screens name it: it may change while the server serves.

use crate::site;
use crate::{App, HmiContext, HmiError};
use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use parking_lot::{Mutex, RwLock};
use std::io::{BufWriter, Read};
use std::sync::Arc;

/// Hash of the running configuration, shared with whoever changes it. A screen that meets another hash than the one it
/// began with reads the site again.
#[derive(Debug, Clone, Default)]
pub struct ConfigHash(Arc<RwLock<Arc<str>>>);

impl ConfigHash {
    /// The hash now.
    #[must_use]
    pub fn get(&self) -> Arc<str> {
        self.0.read().clone()
    }

    /// To be called once another configuration runs.
    pub fn set(&self, hash: &str) {
        *self.0.write() = hash.into();
    }
}

impl From<&str> for ConfigHash {
    fn from(hash: &str) -> Self {
        ConfigHash(Arc::new(RwLock::new(hash.into())))
    }
}

/// Bytes written at a time while the site is packed.
const CHUNK: usize = 1 << 16;

/// The site as the page needs it, made once for each configuration. It is kept as gzip: a hundred thousand tags are forty
/// megabytes of text that repeats itself, and a screen takes it packed over the plant's network too.
pub(crate) struct SitePage(Mutex<(Arc<str>, Bytes)>);

impl SitePage {
    pub fn new(ctx: &HmiContext) -> Result<SitePage, HmiError> {
        // The hash first: a change meanwhile makes the page anew, never an old page under a new hash.
        let hash = ctx.site.config_hash.get();
        Ok(SitePage(Mutex::new((hash, make(ctx)?))))
    }
}

fn make(ctx: &HmiContext) -> Result<Bytes, HmiError> {
    let broken = |e| HmiError::Site(serde_json::Error::io(e));
    let mut packer = BufWriter::with_capacity(CHUNK, GzEncoder::new(Vec::new(), Compression::fast()));
    serde_json::to_writer(&mut packer, &site::view(ctx)).map_err(HmiError::Site)?;
    let packer = packer.into_inner().map_err(|e| broken(e.into_error()))?;
    Ok(packer.finish().map_err(broken)?.into_boxed_slice().into())
}

/// The text that was packed.
///
/// # Errors
/// The page is no gzip: it was damaged in memory.
pub(crate) fn unpack(page: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    GzDecoder::new(page).read_to_end(&mut text)?;
    Ok(text)
}

/// Whether who asks takes gzip (RFC 9110, 12.5.3): named, or meant by `*`, and not with a weight of nought.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(header::ACCEPT_ENCODING);
    let mut answer = None;
    for coding in all.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
        let coding = coding.to_ascii_lowercase();
        let (name, weight) = coding.split_once(';').unwrap_or((&coding, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        let taken = weight.is_ok_and(|weight| weight > 0.0);
        match name.trim() {
            "gzip" | "x-gzip" => return taken,
            "*" => answer = Some(taken),
            _ => {}
        }
    }
    answer == Some(true)
}

/// The packed page for the configuration that runs. Where it cannot be made, the last one stands.
pub(crate) async fn page(app: Arc<App>) -> Bytes {
    let hash = app.ctx.site.config_hash.get();
    let (made_for, last) = app.site_page.0.lock().clone();
    if made_for == hash {
        return last;
    }
    let maker = app.clone();
    // A large site takes a while: not on an async thread.
    match tokio::task::spawn_blocking(move || make(&maker.ctx)).await {
        Ok(Ok(page)) => {
            *app.site_page.0.lock() = (hash, page.clone());
            page
        }
        _ => last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_who_takes_it() {
        let takes =
            |value: &str| takes_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value.parse().unwrap())]));
        for taken in ["gzip", "gzip, deflate, br", "br;q=1.0, GZIP;q=0.5", "x-gzip", "*", "identity;q=0, *;q=0.1"] {
            assert!(takes(taken), "{taken}");
        }
        for not in ["", "identity", "br", "gzip;q=0", "GZIP;Q=0", "gzip;q=0, *", "gzip;q=much", "*;q=0"] {
            assert!(!takes(not), "{not}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_damaged_is_no_page() {
        assert!(unpack(b"{}").is_err());
    }
}
