//! TLS and secrets. Every file is read anew for each connection, so that a renewed certificate or password counts without
//! a restart, and a missing one is told while the plant runs on.

use crate::limits::{PEM_BYTES_MAX, SECRET_BYTES_MAX};
use crate::{Secret, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is wrong with a certificate, a key or a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecureError {
    /// It cannot be read.
    #[error("{what} {}", path.display())]
    File {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It does not hold what it should.
    #[error("{what} {}: {why}", path.display())]
    Content {
        /// What it is for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The variable of the environment is not set.
    #[error("the password is to be in the environment variable `{0}`, which is not set")]
    Environment(String),
    /// TLS refuses the certificate and key together.
    #[error("the client certificate {} with its key", path.display())]
    Client {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS")]
    Tls(#[source] rustls::Error),
}

fn read(what: &'static str, path: &Path, most: u64) -> Result<Vec<u8>, SecureError> {
    let file = |source| SecureError::File { what, path: path.to_path_buf(), source };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(file)?.take(most + 1).read_to_end(&mut bytes).map_err(file)?;
    if bytes.len() as u64 > most {
        let why = format!("longer than {most} bytes");
        return Err(SecureError::Content { what, path: path.to_path_buf(), why });
    }
    Ok(bytes)
}

/// The certificates of a PEM file, at least one.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SecureError> {
    let bytes = read(what, path, PEM_BYTES_MAX)?;
    let wrong = |why: String| SecureError::Content { what, path: path.to_path_buf(), why };
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let list = list.map_err(|e| wrong(format!("not PEM: {e}")))?;
    if list.is_empty() {
        return Err(wrong("holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)".to_owned()));
    }
    Ok(list)
}

/// The authorities that a broker's certificate is judged by.
///
/// # Errors
/// When the file cannot be read or holds none that can be used.
pub fn authorities(path: &Path) -> Result<RootCertStore, SecureError> {
    let what = "the CA certificate";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, path)? {
        roots.add(certificate).map_err(|e| SecureError::Content {
            what,
            path: path.to_path_buf(),
            why: format!("a certificate in it cannot be used: {e}"),
        })?;
    }
    Ok(roots)
}

/// TLS as configured. Versions 1.2 and 1.3.
pub(crate) fn client(tls: &Tls) -> Result<Arc<ClientConfig>, SecureError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(SecureError::Tls)?;
    let builder = builder.with_root_certificates(authorities(&tls.ca)?);
    let Some((certificate, key)) = &tls.client else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = certificates("the client certificate", certificate)?;
    let what = "the client key";
    let private = PrivateKeyDer::from_pem_slice(&read(what, key, PEM_BYTES_MAX)?).map_err(|e| {
        SecureError::Content { what, path: key.clone(), why: format!("no private key in PEM form: {e}") }
    })?;
    let config = builder.with_client_auth_cert(chain, private);
    Ok(Arc::new(config.map_err(|source| SecureError::Client { path: certificate.clone(), source })?))
}

/// The secret itself, without the line end that editors add.
pub(crate) fn secret(secret: &Secret) -> Result<String, SecureError> {
    match secret {
        Secret::Environment(name) => std::env::var(name).map_err(|_| SecureError::Environment(name.clone())),
        Secret::File(path) => {
            let what = "the password file";
            let bytes = read(what, path, SECRET_BYTES_MAX)?;
            let wrong = |why: &str| SecureError::Content { what, path: path.clone(), why: why.to_owned() };
            let text = String::from_utf8(bytes).map_err(|_| wrong("not UTF-8 text"))?;
            let text = text.trim_end_matches(['\r', '\n']);
            if text.is_empty() { Err(wrong("is empty")) } else { Ok(text.to_owned()) }
        }
    }
}

/// What a failed TLS handshake means to who has to mend it; `None` where there is nothing to add.
pub(crate) fn explain(error: &(dyn std::error::Error + 'static), ca: &Path) -> Option<String> {
    use rustls::{AlertDescription, CertificateError, Error};
    let mut source = Some(error);
    while let Some(error) = source {
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = inner.and_then(|e| e.downcast_ref::<Error>()).or_else(|| error.downcast_ref::<Error>());
        let ca = ca.display();
        match tls {
            // A CA of the same name with another key shows as a wrong signature.
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
                return Some(format!(
                    "the broker's certificate is signed by nobody in {ca}: it is another broker, or `ca` is not its CA"
                ));
            }
            Some(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
                return Some(
                    "the broker's certificate has expired: renew it, and look at this machine's clock".to_owned(),
                );
            }
            Some(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {
                return Some("the broker's certificate is for another name than the one in `broker`".to_owned());
            }
            Some(Error::InvalidCertificate(_)) => return Some("the broker's certificate is refused".to_owned()),
            Some(Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::HandshakeFailure,
            )) => {
                return Some(
                    "the broker refuses our client certificate, or wants one: look at `cert` and `key`".to_owned(),
                );
            }
            Some(Error::InvalidMessage(_)) => {
                return Some("the broker does not speak TLS at this port".to_owned());
            }
            _ => {}
        }
        source = error.source();
    }
    None
}
