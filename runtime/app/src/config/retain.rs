//! `retain:` of a site: what programs remember over a restart.

use super::files::RetainFile;
use super::read::Reader;
use super::tags::Ctx;
use crate::diagnostics::FileId;
use std::time::Duration;

/// Default of `retain: every`: what a power cut may cost of an integrator.
const RETAIN_EVERY: Duration = Duration::from_secs(10);
/// Shortest and longest `retain: every`: a disk is not worn out by it, and a loss is not a shift's work.
const RETAIN_EVERY_LIMITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3_600));
/// Default of `retain: max_age`: after a day the plant is another one.
const RETAIN_MAX_AGE: Duration = Duration::from_secs(24 * 3_600);

/// `retain:` of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetainSettings {
    /// How often state is written.
    pub every: Duration,
    /// Age up to which controllers take it up.
    pub max_age: Duration,
}

/// The settings of a site.
pub(super) fn settings(reader: &mut Reader, file: FileId, form: Option<&RetainFile>) -> RetainSettings {
    let mut settings = RetainSettings { every: RETAIN_EVERY, max_age: RETAIN_MAX_AGE };
    let Some(form) = form else { return settings };
    let mut ctx = Ctx { reader, file };
    settings.every = ctx.duration(&form.every, RETAIN_EVERY);
    settings.max_age = ctx.duration(&form.max_age, RETAIN_MAX_AGE);
    let (least, most) = RETAIN_EVERY_LIMITS;
    if let Some(at) = form.every.as_ref().filter(|_| !(least..=most).contains(&settings.every)) {
        ctx.error(at.pos, format!("retained state is written every {least:?} to {most:?}, not every {}", at.value));
    }
    settings
}
