//! `GET /api/why/<tag>`: why a tag stands as it stands now. The sentence that answers, then the facts behind it.
//!
//! What only a scan knows (claims, what its program read and wished) is asked of the tag's task, which answers at its
//! next scan; everything else is what the engine shows of itself anyway. A task that does not answer in time is no
//! reason to say nothing: then the answer is made of what it left, and says so. A question stays with its task until it is
//! answered, and screens that ask about one tag share it, so that no number of screens makes a scan do more than a
//! handful of copies.

mod tell;

use crate::App;
use crate::guard::Viewer;
use crate::limits::{WHY_FRESH, WHY_GIVEN_UP, WHY_LOOK_EVERY, WHY_TAGS_MAX, WHY_WAIT_MAX};
use crate::reply::ApiError;
use axum::Json;
use axum::extract::{Path, State};
use parking_lot::Mutex;
use penstock_engine::{Explained, Question};
use penstock_model::{Instant, TagId};
use serde_json::Value as Json_;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A tag that was asked about.
struct Asked {
    question: Arc<Question>,
    /// When it was asked.
    at: Instant,
    /// The answer before, while the present question waits.
    before: Option<Arc<Question>>,
}

/// The questions that screens share, by tag.
#[derive(Default)]
pub(crate) struct Asking(Mutex<HashMap<TagId, Asked>>);

impl Asking {
    /// The question about a tag that is under way or freshly answered; asked anew where there is none. `None`: too
    /// many wait for that task already. `period`: of that task.
    fn question(&self, app: &App, tag: TagId, now: Instant, period: Duration) -> Option<Arc<Question>> {
        let mut asked = self.0.lock();
        let mut before = None;
        if let Some(known) = asked.get(&tag) {
            let old = now.since(known.at);
            let (fresh, lost) = (old < WHY_FRESH, old > period * 2 + WHY_GIVEN_UP);
            match known.question.answer() {
                Some(_) if fresh => return Some(known.question.clone()),
                // A scan that broke has taken the question with it.
                None if !lost => return Some(known.question.clone()),
                Some(_) => before = Some(known.question.clone()),
                None => before.clone_from(&known.before),
            }
        }
        let question = app.ctx.engine.ask_why(tag)?;
        if asked.len() >= WHY_TAGS_MAX && !asked.contains_key(&tag) {
            let oldest = asked.iter().min_by_key(|(_, a)| a.at).map(|(tag, _)| *tag);
            oldest.and_then(|tag| asked.remove(&tag));
        }
        asked.insert(tag, Asked { question: question.clone(), at: now, before });
        Some(question)
    }

    /// The answer before the one that is waited for, where it is not older than two scans of its task.
    fn before(&self, tag: TagId, now: Instant, period: Duration) -> Option<Explained> {
        let asked = self.0.lock();
        let answer = asked.get(&tag)?.before.as_ref()?.answer()?.clone();
        (now.since(answer.now.mono) <= period * 2 + WHY_FRESH).then_some(answer)
    }
}

/// `GET /api/why/<tag>`
pub(crate) async fn why(
    State(app): State<Arc<App>>,
    Viewer(_): Viewer,
    Path(path): Path<String>,
) -> Result<Json<Json_>, ApiError> {
    let shown: String = path.chars().take(96).filter(|c| !c.is_control()).collect();
    let tag = app.ctx.engine.tags().find(&path).ok_or_else(|| ApiError::not_found(&format!("tag `{shown}`")))?;
    let _place = app.why_places.clone().try_acquire_owned().map_err(|_| ApiError::busy())?;
    let explained = explained(&app, tag).await;
    Ok(Json(tell::answer(&app, tag, explained.as_ref())))
}

/// What the tag's task says. `None`: nothing that a scan would know better, or no answer in time.
async fn explained(app: &App, tag: TagId) -> Option<Explained> {
    let engine = &app.ctx.engine;
    if engine.output(tag).is_none() && engine.writer(tag).is_none() {
        return None;
    }
    let period = engine.task_of(tag).and_then(|id| engine.tasks().into_iter().find(|t| t.id == id)).map(|t| t.period);
    let (period, clock) = (period.unwrap_or_default(), &app.ctx.clock);
    let question = app.asking.question(app, tag, clock.now().mono, period)?;
    let until = tokio::time::Instant::now() + WHY_WAIT_MAX;
    while question.answer().is_none() && tokio::time::Instant::now() < until {
        tokio::time::sleep(WHY_LOOK_EVERY).await;
    }
    let before = || app.asking.before(tag, clock.now().mono, period);
    question.answer().cloned().or_else(before)
}
