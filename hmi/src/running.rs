//! The configuration that runs, as screens name it: it may change while the server serves.

use crate::site;
use crate::{App, HmiContext, HmiError};
use axum::body::Bytes;
use parking_lot::{Mutex, RwLock};
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

/// The site as the page needs it, made once for each configuration.
pub(crate) struct SitePage(Mutex<(Arc<str>, Bytes)>);

impl SitePage {
    pub fn new(ctx: &HmiContext) -> Result<SitePage, HmiError> {
        // The hash first: a change meanwhile makes the page anew, never an old page under a new hash.
        let hash = ctx.site.config_hash.get();
        Ok(SitePage(Mutex::new((hash, make(ctx)?))))
    }
}

fn make(ctx: &HmiContext) -> Result<Bytes, HmiError> {
    Ok(serde_json::to_vec(&site::view(ctx)).map_err(HmiError::Site)?.into())
}

/// The page for the configuration that runs. Where it cannot be made, the last one stands.
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
