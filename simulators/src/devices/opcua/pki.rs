//! Keys and certificates of the simulated OPC UA device, in one folder:
//!
//! | place | what |
//! | --- | --- |
//! | `own/cert.der` | certificate of the device, made at the first start |
//! | `own/expired.der` | the same key, valid for no time at all: what `cert-expired` shows; trust it before, and it has expired |
//! | `own/replacement.der` | key and certificate of a new device: what `new-certificate` shows, made anew each time |
//! | `private/` | the keys, for the owner alone |
//! | `trusted/` | certificates of clients that may come in |
//! | `rejected/` | those that have tried; one moved to `trusted/` may come in |
//! | `users/` | certificates of people (`.der`): who holds the key of one is a user |
//!
//! Keys are drawn from the system's randomness: they are the one thing of the simulator a seed does not decide.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use opcua::crypto::{CertificateStore, PrivateKey, Thumbprint, X509, X509Data};

use crate::faults::Certificate;

/// RSA key length all offered policies accept.
const KEY_BITS: u32 = 2048;

/// The folder.
#[derive(Debug)]
pub(super) struct Pki {
    folder: PathBuf,
    temporary: bool,
    application: &'static str,
    host: IpAddr,
    days: u32,
}

impl Pki {
    /// Opens a folder, or a temporary one of that name, and makes what it lacks.
    pub(super) fn open(
        folder: Option<&Path>,
        name: &str,
        application: &'static str,
        host: IpAddr,
        days: u32,
    ) -> Result<Pki, String> {
        let temporary = folder.is_none();
        let folder = folder.map_or_else(|| std::env::temp_dir().join(name), Path::to_path_buf);
        let pki = Pki { folder, temporary, application, host, days };
        pki.fill().map_err(|reason| format!("PKI folder {}: {reason}", pki.folder.display()))?;
        Ok(pki)
    }

    fn fill(&self) -> Result<(), String> {
        if self.temporary {
            // What a killed process of the same number left behind. What belongs to somebody else stays, and making the
            // folder fails: keys do not go where others put it.
            let _ = fs::remove_dir_all(&self.folder);
            make_folder(&self.folder, 0o700, false).map_err(|e| e.to_string())?;
        }
        for (name, mode) in
            [("", 0o700), ("own", 0o755), ("private", 0o700), ("trusted", 0o755), ("rejected", 0o755), ("users", 0o755)]
        {
            make_folder(&self.folder.join(name), mode, true).map_err(|e| e.to_string())?;
        }
        let (own, key_file) = self.files(Certificate::Own);
        let expired = self.files(Certificate::Expired).0;
        if own.exists() != key_file.exists() {
            return Err("it has a key without its certificate, or a certificate without its key".to_owned());
        }
        if !own.exists() {
            self.make(&own, &key_file)?;
            let _ = fs::remove_file(&expired);
        }
        if !expired.exists() {
            let key = PrivateKey::read_pem_file(&key_file).map_err(|_| "its private key cannot be read".to_owned())?;
            write(&expired, &self.certificate(&key, 0)?, 0o644)?;
        }
        Ok(())
    }

    /// Certificate and key the device shows.
    pub(super) fn files(&self, certificate: Certificate) -> (PathBuf, PathBuf) {
        let (certificate, key) = match certificate {
            Certificate::Own => ("cert.der", "private.pem"),
            Certificate::Expired => ("expired.der", "private.pem"),
            Certificate::New => ("replacement.der", "replacement.pem"),
        };
        (self.folder.join("own").join(certificate), self.folder.join("private").join(key))
    }

    /// Makes what has to be new each time it is shown.
    pub(super) fn prepare(&self, certificate: Certificate) -> Result<(), String> {
        let (file, key) = self.files(certificate);
        if certificate == Certificate::New { self.make(&file, &key) } else { Ok(()) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A key and its certificate.
    fn make(&self, certificate: &Path, key_file: &Path) -> Result<(), String> {
        let key = PrivateKey::new(KEY_BITS).map_err(|e| format!("no key: {e}"))?;
        let pem = key.to_der().and_then(|der| Ok(der.to_pem("PRIVATE KEY", Default::default())?));
        write(key_file, pem.map_err(|e| format!("no key: {e}"))?.as_bytes(), 0o600)?;
        write(certificate, &self.certificate(&key, self.days)?, 0o644)
    }

    /// A self-signed certificate of a key, valid from now for so many days.
    fn certificate(&self, key: &PrivateKey, days: u32) -> Result<Vec<u8>, String> {
        let addresses = vec![self.host.to_string(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let data = X509Data {
            key_size: KEY_BITS,
            common_name: "Sludge and effluent PLC".to_owned(),
            organization: "Penstock simulator".to_owned(),
            organizational_unit: String::new(),
            country: String::new(),
            state: String::new(),
            alt_host_names: X509Data::alt_host_names(self.application, Some(addresses), true, true, false),
            certificate_duration_days: days,
        };
        let certificate = X509::from_pkey(key, &data)?;
        certificate.to_der().map_err(|_| "the certificate cannot be encoded".to_owned())
    }
}

impl Drop for Pki {
    fn drop(&mut self) {
        if self.temporary {
            // A folder that stays behind does no harm: it is its owner's alone.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Thumbprints of the certificates of people; files that are none are passed over.
pub(super) fn users(folder: &Path) -> Vec<Thumbprint> {
    let files = fs::read_dir(folder.join("users")).into_iter().flatten().filter_map(Result::ok);
    files.filter_map(|file| CertificateStore::read_cert(&file.path()).ok()).map(|cert| cert.thumbprint()).collect()
}

/// Makes a folder; one that is there already is an error unless it `may_exist`.
fn make_folder(path: &Path, mode: u32, may_exist: bool) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(may_exist);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    #[cfg(not(unix))]
    let _ = mode;
    builder.create(path)
}

/// Writes a file anew, with the rights it is to have from its first byte on.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), String> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let _ = fs::remove_file(path);
    let written = options.open(path).and_then(|mut file| file.write_all(bytes));
    written.map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: Option<&Path>) -> Pki {
        let name = format!("penstock-sim-pki-test-{}", std::process::id());
        Pki::open(folder, &name, "urn:test", IpAddr::from([127, 0, 0, 1]), 30).unwrap()
    }

    #[test]
    fn the_device_keeps_its_identity_and_its_expired_certificate_has_the_same_key() {
        let dir = tempfile::tempdir().unwrap();
        let read = |pki: &Pki, which| fs::read(pki.files(which).0).unwrap();
        let pki = open(Some(dir.path()));
        let (own, expired) = (read(&pki, Certificate::Own), read(&pki, Certificate::Expired));
        drop(pki);
        let pki = open(Some(dir.path()));
        assert_eq!((read(&pki, Certificate::Own), read(&pki, Certificate::Expired)), (own.clone(), expired.clone()));
        let (own, expired) = (X509::from_der(&own).unwrap(), X509::from_der(&expired).unwrap());
        let lasts = |cert: &X509| (cert.not_after().unwrap() - cert.not_before().unwrap()).num_days();
        assert_eq!((lasts(&own), lasts(&expired)), (30, 0));
        assert!(own.is_application_uri_valid("urn:test").is_ok() && own.is_hostname_valid("127.0.0.1").is_ok());

        pki.prepare(Certificate::New).unwrap();
        let first = read(&pki, Certificate::New);
        pki.prepare(Certificate::New).unwrap();
        assert_ne!(first, read(&pki, Certificate::New), "each new device is another one");
        fs::remove_file(pki.files(Certificate::Own).1).unwrap();
        let error = Pki::open(Some(dir.path()), "", "urn:test", pki.host, 30).unwrap_err();
        assert!(error.contains("without its key"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn keys_are_for_their_owner_alone_and_a_temporary_folder_goes() {
        use std::os::unix::fs::PermissionsExt;
        let pki = open(None);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&pki.files(Certificate::Own).1), 0o600);
        assert_eq!((mode(&pki.folder), mode(&pki.folder.join("private"))), (0o700, 0o700));
        let folder = pki.folder.clone();
        drop(pki);
        assert!(!folder.exists());
    }
}
