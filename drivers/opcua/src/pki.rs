//! The folder of keys and certificates, and whom we trust.
//!
//! | place | what |
//! | --- | --- |
//! | `own/cert.der` | our certificate: what a server has to trust |
//! | `private/private.pem` | its key, for its owner alone |
//! | `trusted/` | certificates of servers that we talk to |
//! | `rejected/` | those of servers that nobody has decided about, or that somebody has decided against |
//! | `accepted/` | what of it was judged well at the last connections, for the library; not for persons |
//! | `issuers/`, `crl/` | authorities in between, and what authorities revoked: see `chain` |
//!
//! Trust is by the exact certificate, or by that of an authority. Nothing here asks the network.

use crate::certificate::Certificate;
use crate::chain::{Known, anchor};
use crate::config::Exception;
use crate::limits::{AUTHORITIES_MAX, CERTIFICATE_BYTES_MAX, KEY_BITS, LIST_BYTES_MAX, OWN_DAYS, REJECTED_MAX};
use crate::security::private;
use opcua::crypto::{PrivateKey, X509, X509Data};
use opcua::sync::Mutex;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Our name among applications; it stands in our certificate too.
pub(crate) const APPLICATION_URI: &str = "urn:penstock:client";
/// Shortest part of a thumbprint that names a certificate.
const THUMBPRINT_MIN: usize = 6;
/// The folder that the library looks into.
pub(crate) const ACCEPTED: &str = "accepted";
/// Ending of what a person rejected; what nobody has decided about ends otherwise.
const REFUSED: &str = ".refused.der";
/// Endings of certificates.
pub(crate) const CERTIFICATES: &[&str] = &["der", "pem", "crt", "cer"];
/// Endings of lists of revoked certificates.
const LISTS: &[&str] = &["crl", "der", "pem"];
/// A folder is prepared by one at a time: two devices that start together share our certificate.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Where a certificate lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// Ours.
    Own,
    /// A server's that we talk to.
    Trusted,
    /// A server's that we do not talk to.
    Rejected,
}

impl Place {
    /// The name of its folder.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Place::Own => "own",
            Place::Trusted => "trusted",
            Place::Rejected => "rejected",
        }
    }
}

/// A file of the folder.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Where it lies.
    pub place: Place,
    /// The file.
    pub path: PathBuf,
    /// What is in it, or why it cannot be read.
    pub certificate: Result<Certificate, String>,
}

/// What cannot be done with the folder.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file or folder cannot be used.
    #[error("{path}")]
    File {
        /// The file or folder.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Everything else, in words for a person.
    #[error("{0}")]
    Other(String),
}

pub(crate) fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> PkiError {
    let path = path.display().to_string();
    |source| PkiError::File { path, source }
}

pub(crate) fn other(text: impl Into<String>) -> PkiError {
    PkiError::Other(text.into())
}

/// What becomes of our certificate when one is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Make {
    /// Only where there is none.
    Missing,
    /// A new certificate for the same key: servers have to trust it anew.
    Renew,
}

/// A PKI folder. Nothing is made before it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pki {
    folder: PathBuf,
}

impl Pki {
    /// The folder at a path, which need not exist yet.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Pki {
        Pki { folder: folder.into() }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Our certificate's file.
    #[must_use]
    pub fn own_path(&self) -> PathBuf {
        self.folder.join("own/cert.der")
    }

    fn key_path(&self) -> PathBuf {
        self.folder.join("private/private.pem")
    }

    fn dir(&self, place: Place) -> PathBuf {
        self.folder.join(place.as_str())
    }

    /// Our certificate; `None` where none was made yet.
    ///
    /// # Errors
    /// When the file is there and is no certificate.
    pub fn own(&self) -> Result<Option<Certificate>, PkiError> {
        let path = self.own_path();
        if !path.exists() {
            return Ok(None);
        }
        read(&path).map(Some)
    }

    /// Makes the folder, our key and our certificate where they are missing, or renews the certificate. A key takes a
    /// second or two: not for an async thread. `days` is how long it is valid.
    ///
    /// # Errors
    /// When the folder cannot be written, or a certificate lies there without its key.
    pub fn make(&self, how: Make, days: Option<u32>) -> Result<Certificate, PkiError> {
        let _one = ONE_AT_A_TIME.lock();
        for (name, mode) in [("", 0o700), ("own", 0o755), ("private", 0o700), ("trusted", 0o755), ("rejected", 0o755)] {
            let path = self.folder.join(name);
            make_folder(&path, mode).map_err(file_error(&path))?;
        }
        let (own, key_file) = (self.own_path(), self.key_path());
        if own.exists() && !key_file.exists() {
            return Err(other(format!(
                "{} has lost its key, {}: put it back, or remove the certificate and have a new one made",
                own.display(),
                key_file.display()
            )));
        }
        if key_file.exists() {
            guard_key(&key_file)?;
            if own.exists() && how == Make::Missing {
                return read(&own);
            }
        } else {
            let key = PrivateKey::new(KEY_BITS).map_err(|e| other(format!("no key can be made: {e}")))?;
            let pem = key.to_der().and_then(|der| Ok(der.to_pem("PRIVATE KEY", Default::default())?));
            let pem = pem.map_err(|e| other(format!("the key cannot be encoded: {e}")))?;
            write(&key_file, pem.as_bytes(), 0o600)?;
        }
        let key = PrivateKey::read_pem_file(&key_file)
            .map_err(|_| other(format!("{} is no private key", key_file.display())))?;
        let data = X509Data {
            key_size: KEY_BITS,
            common_name: "Penstock".to_owned(),
            organization: "Penstock".to_owned(),
            organizational_unit: String::new(),
            country: String::new(),
            state: String::new(),
            alt_host_names: X509Data::alt_host_names(APPLICATION_URI, None, true, true, false),
            certificate_duration_days: days.unwrap_or(OWN_DAYS),
        };
        let der = X509::from_pkey(&key, &data).map_err(other)?.to_der();
        write(&own, &der.map_err(|_| other("the certificate cannot be encoded"))?, 0o644)?;
        read(&own)
    }

    /// Every certificate of the folder: ours, the trusted ones, the rejected ones, each by name.
    ///
    /// # Errors
    /// When a folder cannot be read. One that is not there is empty.
    pub fn list(&self) -> Result<Vec<Entry>, PkiError> {
        let mut all = Vec::new();
        for place in [Place::Own, Place::Trusted, Place::Rejected] {
            all.extend(self.files(place)?.into_iter().map(|path| {
                let certificate = read(&path).map_err(|e| penstock_model::with_causes(&e));
                Entry { place, path, certificate }
            }));
        }
        Ok(all)
    }

    fn files(&self, place: Place) -> Result<Vec<PathBuf>, PkiError> {
        files_in(&self.dir(place), CERTIFICATES)
    }

    /// The certificate that a person names: by its thumbprint or the beginning of one.
    ///
    /// # Errors
    /// When none or several fit; the message lists what is there.
    pub fn find(&self, which: &str) -> Result<Entry, PkiError> {
        // No thumbprint has such signs: a file was meant, and whoever looks for one first has not found it.
        if which.contains(['.', '/', '\\']) {
            return Err(other(format!("there is no file `{which}`")));
        }
        let wanted = thumbprint_text(which);
        if wanted.len() < THUMBPRINT_MIN {
            return Err(other(format!(
                "`{which}` is too short: give {THUMBPRINT_MIN} digits of the thumbprint or more"
            )));
        }
        let mut hits: Vec<Entry> = self
            .list()?
            .into_iter()
            .filter(|e| e.certificate.as_ref().is_ok_and(|c| c.thumbprint.starts_with(&wanted)))
            .collect();
        let first = hits.first().and_then(|e| e.certificate.as_ref().ok()).map(|c| c.thumbprint.clone());
        let same = hits.iter().all(|e| e.certificate.as_ref().ok().map(|c| &c.thumbprint) == first.as_ref());
        match hits.len() {
            0 => Err(other(format!("no certificate in {} has a thumbprint of {which}", self.folder.display()))),
            // One that is trusted and rejected is one certificate: what is decided is decided for both files.
            _ if same => Ok(hits.remove(hits.len() - 1)),
            n => Err(other(format!("{n} certificates have a thumbprint that begins with {which}: give more of it"))),
        }
    }

    /// Trusts a certificate: one of `rejected/` by its thumbprint, or a file.
    ///
    /// # Errors
    /// When there is no such certificate, or the folder cannot be written.
    pub fn trust(&self, which: &str) -> Result<Certificate, PkiError> {
        self.decide(which, Place::Trusted)
    }

    /// Stops trusting a certificate, by its thumbprint or file; links that use it end at their next connection.
    ///
    /// # Errors
    /// When there is no such certificate, or the folder cannot be written.
    pub fn reject(&self, which: &str) -> Result<Certificate, PkiError> {
        self.decide(which, Place::Rejected)
    }

    fn decide(&self, which: &str, to: Place) -> Result<Certificate, PkiError> {
        let certificate = self.certificate_of(which)?;
        if to == Place::Trusted {
            self.store(&certificate, Place::Trusted)?;
            self.remove(&certificate, Place::Rejected)?;
        } else {
            self.remove(&certificate, Place::Rejected)?;
            self.store_as(&certificate, Place::Rejected, &format!("{}{REFUSED}", certificate.thumbprint))?;
            self.remove(&certificate, Place::Trusted)?;
        }
        Ok(certificate)
    }

    /// What a person names: a file, or one of this folder by its thumbprint.
    pub(crate) fn certificate_of(&self, which: &str) -> Result<Certificate, PkiError> {
        let path = Path::new(which);
        if path.extension().is_some() && path.is_file() {
            return read(path);
        }
        let entry = self.find(which)?;
        if entry.place == Place::Own {
            return Err(other("that is our own certificate: servers trust it, we do not need to"));
        }
        entry.certificate.map_err(other)
    }

    /// Writes a certificate under the name by which the library looks for it.
    pub(crate) fn store(&self, certificate: &Certificate, place: Place) -> Result<(), PkiError> {
        self.store_as(certificate, place, &certificate.file_name)
    }

    fn store_as(&self, certificate: &Certificate, place: Place, name: &str) -> Result<(), PkiError> {
        let dir = self.dir(place);
        make_folder(&dir, 0o755).map_err(file_error(&dir))?;
        let path = dir.join(name);
        if fs::read(&path).is_ok_and(|bytes| bytes == certificate.der) {
            return Ok(());
        }
        write(&path, &certificate.der, 0o644)
    }

    /// Removes every file of a place that holds the certificate, whatever its name.
    fn remove(&self, certificate: &Certificate, place: Place) -> Result<(), PkiError> {
        for path in self.holding(certificate, place)? {
            fs::remove_file(&path).map_err(file_error(&path))?;
        }
        Ok(())
    }

    fn holding(&self, certificate: &Certificate, place: Place) -> Result<Vec<PathBuf>, PkiError> {
        let mut files = self.files(place)?;
        files.retain(|path| read(path).is_ok_and(|c| c.der == certificate.der));
        Ok(files)
    }

    /// Whether we talk to the server that shows this certificate. An unknown one is kept in `rejected/`. The library knows
    /// no authorities; it looks into a folder of its own, where what was judged well lies.
    ///
    /// # Errors
    /// Why not, and what to do, in words for a person.
    pub(crate) fn judge(
        &self,
        der: &[u8],
        host: &str,
        application_uri: &str,
        exceptions: &[Exception],
    ) -> Result<Certificate, String> {
        let judged = self.look_at(der, host, application_uri, exceptions);
        self.keep_judgement(ACCEPTED, der, judged)
    }

    /// Puts what was judged well where the library looks for it, and takes away what was not.
    pub(crate) fn keep_judgement(
        &self,
        accepted: &str,
        der: &[u8],
        judged: Result<Certificate, String>,
    ) -> Result<Certificate, String> {
        let folder = self.folder.join(accepted).join(Place::Trusted.as_str());
        match &judged {
            Ok(certificate) => {
                let kept = make_folder(&folder, 0o700).map_err(file_error(&folder)).and_then(|()| {
                    let path = folder.join(&certificate.file_name);
                    let is_there = fs::read(&path).is_ok_and(|bytes| bytes == certificate.der);
                    if is_there { Ok(()) } else { write(&path, &certificate.der, 0o600) }
                });
                kept.map_err(|e| penstock_model::with_causes(&e))?;
            }
            Err(_) => {
                if let Ok(certificate) = Certificate::from_der(der) {
                    // One that is not there needs no removal.
                    let _ = fs::remove_file(folder.join(&certificate.file_name));
                }
            }
        }
        judged
    }

    /// Whether a certificate is trusted, for its own sake or for its authority's. One that nobody has decided about is
    /// kept in `rejected/`.
    ///
    /// # Errors
    /// Why not, and what to do; `whose` is the server or the client.
    pub(crate) fn is_trusted(
        &self,
        der: &[u8],
        certificate: &Certificate,
        whose: &str,
        without_list: bool,
    ) -> Result<(), String> {
        let in_words = |e: PkiError| penstock_model::with_causes(&e);
        let trusted = !self.holding(certificate, Place::Trusted).map_err(in_words)?.is_empty();
        let rejected = self.holding(certificate, Place::Rejected).map_err(in_words)?;
        if trusted && rejected.is_empty() {
            return Ok(());
        }
        let by_person = |path: &PathBuf| path.to_string_lossy().ends_with(REFUSED);
        let Certificate { thumbprint, subject, .. } = certificate;
        let anchor = if trusted || rejected.iter().any(by_person) {
            Err("was rejected by a person".to_owned())
        } else {
            self.anchor(der, without_list).map_err(in_words)?
        };
        match anchor {
            Ok(authority) => {
                tracing::debug!(%thumbprint, %authority, "the {whose} is trusted by its authority");
                Ok(())
            }
            Err(why) => {
                if rejected.is_empty() {
                    self.store(certificate, Place::Rejected).map_err(in_words)?;
                    self.prune_rejected();
                }
                Err(format!(
                    "the {whose}'s certificate is not trusted: {subject}, {}, valid until {}, thumbprint {thumbprint}; it \
                     {why}. If that is the right {whose}: penstock pki trust {thumbprint} --pki {}",
                    certificate.known_as(),
                    certificate.until(),
                    self.folder.display()
                ))
            }
        }
    }

    fn look_at(
        &self,
        der: &[u8],
        host: &str,
        application_uri: &str,
        exceptions: &[Exception],
    ) -> Result<Certificate, String> {
        let certificate = Certificate::from_der(der).map_err(|why| format!("the server's certificate {why}"))?;
        self.is_trusted(der, &certificate, "server", exceptions.contains(&Exception::NoCrl))?;
        let Certificate { thumbprint, subject, .. } = &certificate;
        if let Err(why) = certificate.valid_now() {
            if !exceptions.contains(&Exception::Expired) {
                return Err(format!(
                    "the server's certificate {why} ({subject}, thumbprint {thumbprint}): have it renewed on the server; \
                     until then accept_certificate: [expired] in the device's file lets it pass"
                ));
            }
            tracing::warn!(%thumbprint, %why, "the server's certificate is let pass although it is not valid, as configured");
        }
        if !certificate.is_for_host(host) && !exceptions.contains(&Exception::HostName) {
            return Err(format!(
                "the server's certificate is for {}, not for `{host}` (thumbprint {thumbprint}): reach it by that name, \
                 have its certificate made for this one, or set accept_certificate: [host-name] in the device's file",
                certificate.hosts_text()
            ));
        }
        if certificate.application_uri != application_uri {
            return Err(format!(
                "the server calls itself `{application_uri}`, its certificate is `{}`'s (thumbprint {thumbprint}): it shows \
                 a certificate that is not its own",
                certificate.application_uri
            ));
        }
        Ok(certificate)
    }

    /// The trusted authority that a server's chain goes back to, or why there is none.
    fn anchor(&self, shown: &[u8], without_list: bool) -> Result<Result<String, String>, PkiError> {
        let ders = |folder: &str, kinds: &[&str]| -> Result<Vec<Vec<u8>>, PkiError> {
            let files = files_in(&self.folder.join(folder), kinds)?;
            Ok(files.iter().take(AUTHORITIES_MAX).filter_map(|path| der_of(path).ok()).collect())
        };
        let known = Known {
            trusted: ders("trusted", CERTIFICATES)?,
            issuers: ders("issuers", CERTIFICATES)?,
            lists: ders("crl", LISTS)?,
            without_list,
        };
        let now_s = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| d.as_secs());
        Ok(anchor(shown, &known, now_s))
    }

    /// Forgets the oldest rejected certificates beyond the bound.
    pub(crate) fn prune_rejected(&self) {
        let Ok(files) = self.files(Place::Rejected) else { return };
        let Some(surplus) = files.len().checked_sub(REJECTED_MAX).filter(|n| *n > 0) else { return };
        let mut by_age: Vec<_> =
            files.into_iter().map(|p| (fs::metadata(&p).and_then(|m| m.modified()).ok(), p)).collect();
        by_age.sort();
        for (_, path) in by_age.into_iter().take(surplus) {
            tracing::warn!(path = %path.display(), "too many rejected certificates; the oldest is forgotten");
            // One that stays is forgotten with the next.
            let _ = fs::remove_file(path);
        }
    }
}

/// Hexadecimal digits of a thumbprint as people copy them: with colons, blanks, in capitals.
fn thumbprint_text(text: &str) -> String {
    text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_lowercase()
}

pub(crate) fn read(path: &Path) -> Result<Certificate, PkiError> {
    let size = fs::metadata(path).map_err(file_error(path))?.len();
    if size > CERTIFICATE_BYTES_MAX {
        return Err(other(format!("{} is no certificate: it has {size} bytes", path.display())));
    }
    let bytes = fs::read(path).map_err(file_error(path))?;
    let parsed =
        if bytes.starts_with(b"-----") { Certificate::from_pem(&bytes) } else { Certificate::from_der(&bytes) };
    parsed.map_err(|why| other(format!("{} {why}", path.display())))
}

/// A key of ours that others may read was made by an older version, or by hand: closed, and told of.
pub(crate) fn guard_key(path: &Path) -> Result<(), PkiError> {
    if private(path).is_ok() {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(file_error(path))?;
    }
    tracing::warn!(path = %path.display(), "others could read our private key; its rights were taken back. Renew it if they did");
    Ok(())
}

/// The files of a folder with one of these endings, by name; none where there is no such folder.
pub(crate) fn files_in(dir: &Path, kinds: &[&str]) -> Result<Vec<PathBuf>, PkiError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(file_error(dir)(e)),
    };
    let mut files: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    files.retain(|p| p.extension().is_some_and(|e| kinds.iter().any(|kind| e == *kind)));
    files.sort();
    Ok(files)
}

/// The bytes of a certificate or a list, taken out of PEM where it is written so.
fn der_of(path: &Path) -> Result<Vec<u8>, PkiError> {
    let size = fs::metadata(path).map_err(file_error(path))?.len();
    if size > LIST_BYTES_MAX {
        return Err(other(format!("{} is too large: {size} bytes", path.display())));
    }
    let bytes = fs::read(path).map_err(file_error(path))?;
    if !bytes.starts_with(b"-----BEGIN") {
        return Ok(bytes);
    }
    let (_, der) = x509_cert::der::Document::from_pem(&String::from_utf8_lossy(&bytes))
        .map_err(|e| other(format!("{} is no PEM: {e}", path.display())))?;
    Ok(der.into_vec())
}

/// Makes a folder that may be there already.
pub(crate) fn make_folder(path: &Path, mode: u32) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    #[cfg(not(unix))]
    let _ = mode;
    builder.create(path)
}

/// Writes a file whole or not at all, with the rights it is to have from its first byte on.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PkiError> {
    let part = path.with_extension("part");
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    // What a process that died left behind.
    let _ = fs::remove_file(&part);
    let mut file = options.open(&part).map_err(file_error(&part))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(file_error(&part))?;
    fs::rename(&part, path).map_err(file_error(path))
}

#[cfg(test)]
#[path = "pki_tests.rs"]
mod tests;
