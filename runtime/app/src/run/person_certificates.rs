//! Which person a certificate stands for, where persons log in over OPC UA with one.

use penstock_model::{Utc, with_causes};
use penstock_opcua::{Certificate, Pki};
use std::collections::BTreeMap;
use std::path::Path;

/// The certificates of persons, by the name of the user.
#[derive(Debug, Default)]
pub(crate) struct PersonCertificates {
    by_name: BTreeMap<String, Result<Certificate, String>>,
}

impl PersonCertificates {
    /// Reads them from the folder of certificates.
    ///
    /// # Errors
    /// When the folder cannot be read, in words for the log.
    pub(crate) fn read(folder: &Path) -> Result<PersonCertificates, String> {
        let all = Pki::at(folder).users().map_err(|e| with_causes(&e))?;
        let by_name = all.into_iter().map(|user| (user.name, user.certificate.map_err(|e| with_causes(&e)))).collect();
        Ok(PersonCertificates { by_name })
    }

    /// The user whose certificate this is.
    ///
    /// # Errors
    /// Why there is none; the text continues "the certificate".
    pub(crate) fn whose(&self, thumbprint: &str, now: Utc) -> Result<String, String> {
        let mut found = self.by_name.iter().filter_map(|(name, one)| {
            let one = one.as_ref().ok()?;
            (one.thumbprint == thumbprint).then_some((name, one))
        });
        let Some((name, one)) = found.next() else { return Err("is no user's".to_owned()) };
        if found.next().is_some() {
            return Err("stands for several users: one certificate is one person".to_owned());
        }
        match (now < one.from, now > one.to) {
            (true, _) => Err(format!("is `{name}`'s and valid from {} only", one.since())),
            (_, true) => Err(format!("is `{name}`'s and has expired on {}", one.until())),
            _ => Ok(name.clone()),
        }
    }

    /// Whether a session that was opened with a certificate still stands.
    pub(crate) fn are_of(&self, thumbprint: &str, name: &str, now: Utc) -> bool {
        self.whose(thumbprint, now).is_ok_and(|whose| whose == name)
    }

    /// Tells of files that are no certificates, once each.
    pub(crate) fn tell_news(&self, before: &PersonCertificates) {
        for (name, one) in &self.by_name {
            if let (Err(error), false) = (one, before.by_name.get(name).is_some_and(|b| b.is_err())) {
                tracing::warn!(user = %name, error, "a user's certificate cannot be read; they cannot log in with it");
            }
        }
    }
}
