//! Certificates that end, told of ahead: in the log when the last days begin and each day after, and as a tag.

use crate::certificate::Certificate;
use crate::config::DeviceConfig;
use crate::limits::{EXPIRY_TELL_EVERY, EXPIRY_WARN_DAYS};
use penstock_model::{Clock, Instant, Sample, SampleSink, TagSample};
use std::sync::Arc;

/// A certificate in use, and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct InUse {
    /// In words for the log.
    pub(crate) whose: &'static str,
    pub(crate) certificate: Certificate,
}

/// The certificates of one link.
pub(crate) struct Expiry {
    config: Arc<DeviceConfig>,
    sink: Arc<dyn SampleSink>,
    clock: Arc<dyn Clock>,
    in_use: Vec<InUse>,
    told: Option<Instant>,
    /// Whole days left of each that were logged.
    logged: Vec<i64>,
}

impl Expiry {
    pub(crate) fn new(config: Arc<DeviceConfig>, sink: Arc<dyn SampleSink>, clock: Arc<dyn Clock>) -> Expiry {
        Expiry { config, sink, clock, in_use: Vec::new(), told: None, logged: Vec::new() }
    }

    /// A session was opened with these.
    pub(crate) fn learn(&mut self, in_use: Vec<InUse>) {
        if in_use != self.in_use {
            self.logged = vec![i64::MAX; in_use.len()];
            self.in_use = in_use;
        }
        self.told = None;
    }

    /// Delivers the days left when it is time to; also while the link is down, for that may be why.
    pub(crate) fn tell(&mut self) {
        let now = self.clock.now();
        if self.in_use.is_empty() || self.told.is_some_and(|at| now.mono.since(at) < EXPIRY_TELL_EVERY) {
            return;
        }
        self.told = Some(now.mono);
        let left = |c: &InUse| c.certificate.days_left(now.utc);
        let first = self.in_use.iter().map(left).fold(f64::INFINITY, f64::min);
        if let Some(tag) = self.config.certificate_tag {
            self.sink.samples(&[TagSample { tag, sample: Sample::good(first, now) }]);
        }
        for (one, logged) in self.in_use.iter().zip(&mut self.logged) {
            let days = one.certificate.days_left(now.utc);
            #[expect(clippy::cast_possible_truncation, reason = "days of centuries")]
            let whole = days.floor() as i64;
            if days > EXPIRY_WARN_DAYS || whole >= *logged {
                continue;
            }
            *logged = whole;
            tracing::warn!(device = %self.config.name, whose = one.whose, thumbprint = %one.certificate.thumbprint,
                until = %one.certificate.until(), days_left = whole, "a certificate ends soon: have it renewed before the link is lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GroupConfig;
    use crate::security::{Identity, Security};
    use penstock_model::{DeviceId, LinkRecord, ManualClock, Outcome, TagId, Utc, Value};
    use std::sync::Mutex;
    use std::time::Duration;

    #[derive(Default)]
    struct Kept(Mutex<Vec<TagSample>>);

    impl SampleSink for Kept {
        fn samples(&self, batch: &[TagSample]) {
            self.0.lock().unwrap().extend_from_slice(batch);
        }
        fn outcome(&self, _: Outcome) {}
        fn link(&self, _: LinkRecord) {}
    }

    fn until(days: i64) -> InUse {
        let certificate = Certificate {
            thumbprint: "ab".into(),
            subject: String::new(),
            issuer: String::new(),
            application_uri: String::new(),
            hosts: Vec::new(),
            from: Utc(0),
            to: Utc::from_millis(days * 86_400_000),
            key_bits: 2048,
            file_name: String::new(),
            der: Vec::new(),
        };
        InUse { whose: "the server's", certificate }
    }

    #[test]
    fn the_first_one_to_end_decides_and_is_told_once_a_minute() {
        let (kept, clock) = (Arc::new(Kept::default()), Arc::new(ManualClock::at(Utc(0))));
        let config = DeviceConfig {
            id: DeviceId(0),
            name: "plc".into(),
            endpoint: String::new(),
            security: Security::None,
            exceptions: Vec::new(),
            identity: Identity::Anonymous,
            timeout: Duration::from_secs(1),
            groups: vec![GroupConfig::every("g", Duration::from_secs(1))],
            points: Vec::new(),
            pki_dir: "pki".into(),
            certificate_tag: Some(TagId(7)),
        };
        let mut expiry = Expiry::new(Arc::new(config), kept.clone(), clock.clone());
        let told = || kept.0.lock().unwrap().iter().map(|s| (s.tag, s.sample.value.clone())).collect::<Vec<_>>();
        expiry.tell();
        assert_eq!(told(), [], "nothing is known before a session");
        expiry.learn(vec![until(400), until(20)]);
        expiry.tell();
        expiry.tell();
        assert_eq!(told(), [(TagId(7), Some(Value::Float(20.0)))]);
        assert_eq!(expiry.logged, [i64::MAX, 20]);
        clock.advance(Duration::from_secs(86_400 * 21));
        expiry.tell();
        assert_eq!(told().last(), Some(&(TagId(7), Some(Value::Float(-1.0)))));
        assert_eq!(expiry.logged, [i64::MAX, -1]);
    }
}
