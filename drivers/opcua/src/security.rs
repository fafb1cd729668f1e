//! How the channel is protected, and who we say we are.

use crate::limits::SECRET_BYTES_MAX;
use opcua::client::{IdentityToken, Password as LibraryPassword};
use opcua::crypto::{CertificateStore, PrivateKey};
use std::fs;
use std::path::{Path, PathBuf};

/// Which algorithms protect the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityPolicy {
    /// Basic256Sha256.
    Basic256Sha256,
    /// Aes128_Sha256_RsaOaep.
    Aes128Sha256RsaOaep,
    /// Aes256_Sha256_RsaPss.
    Aes256Sha256RsaPss,
}

/// How the channel is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Security {
    /// Not at all: anyone on the network can read and write.
    #[default]
    None,
    /// Signed.
    Sign(SecurityPolicy),
    /// Signed and encrypted.
    SignAndEncrypt(SecurityPolicy),
}

impl Security {
    /// Reads `none`, or a policy with an optional mode: `basic256sha256`, `aes256_sha256_rsapss/sign`. Without a mode
    /// the channel is signed and encrypted. Case and underscores do not matter.
    ///
    /// # Errors
    /// When policy or mode is unknown; the text says what to write.
    pub fn parse(text: &str) -> Result<Security, String> {
        let word = text.trim().to_ascii_lowercase().replace(['_', '-', ' '], "");
        if word == "none" {
            return Ok(Security::None);
        }
        let (policy, mode) = word.split_once('/').unwrap_or((&word, "signandencrypt"));
        let policy = match policy {
            "basic256sha256" => SecurityPolicy::Basic256Sha256,
            "aes128sha256rsaoaep" => SecurityPolicy::Aes128Sha256RsaOaep,
            "aes256sha256rsapss" => SecurityPolicy::Aes256Sha256RsaPss,
            _ => {
                return Err(format!(
                    "`{text}` is not a security policy: use none, Basic256Sha256, Aes128_Sha256_RsaOaep or \
                     Aes256_Sha256_RsaPss"
                ));
            }
        };
        match mode {
            "sign" => Ok(Security::Sign(policy)),
            "signandencrypt" => Ok(Security::SignAndEncrypt(policy)),
            _ => Err(format!("`{text}`: the mode after `/` is Sign or SignAndEncrypt")),
        }
    }
}

/// Who we are to the server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Identity {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// A user name, with a password where the user has one.
    User(String, Option<Password>),
    /// The holder of a certificate's key.
    Certificate {
        /// The certificate, `.der` or `.pem`.
        certificate: PathBuf,
        /// Its private key, PEM; for its owner's eyes alone.
        key: PathBuf,
    },
}

/// Where a password is found: it is read at each log-in and never kept, so a changed one needs no restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    /// In an environment variable of this name.
    Env(String),
    /// In a file for its owner's eyes alone.
    File(PathBuf),
}

impl Password {
    /// The password.
    ///
    /// # Errors
    /// When there is none, or others may read it; in words for a person.
    pub(crate) fn read(&self) -> Result<LibraryPassword, String> {
        match self {
            Password::Env(name) => match std::env::var(name) {
                Ok(text) if !text.is_empty() => Ok(LibraryPassword::new(text)),
                _ => Err(format!("no password: the environment variable `{name}` is not set or empty")),
            },
            Password::File(path) => {
                let text = secret(path)?;
                let text = text.trim_end_matches(['\r', '\n']);
                if text.is_empty() {
                    return Err(format!("no password: {} is empty", path.display()));
                }
                Ok(LibraryPassword::new(text))
            }
        }
    }

    /// What keeps the password from being read at this moment; `None` when nothing does.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.read().err()
    }
}

impl Identity {
    /// The identity as the library takes it.
    ///
    /// # Errors
    /// When a secret cannot be read, or others may read it; in words for a person.
    pub(crate) fn token(&self) -> Result<IdentityToken, String> {
        match self {
            Identity::Anonymous => Ok(IdentityToken::Anonymous),
            Identity::User(name, None) => Ok(IdentityToken::UserName(name.clone(), LibraryPassword::new(""))),
            Identity::User(name, Some(password)) => Ok(IdentityToken::UserName(name.clone(), password.read()?)),
            Identity::Certificate { certificate, key } => {
                let found = CertificateStore::read_cert(certificate).map_err(|e| format!("user certificate: {e}"))?;
                private(key)?;
                let secret = PrivateKey::read_pem_file(key)
                    .map_err(|_| format!("{} is not a private key in PEM form", key.display()))?;
                Ok(IdentityToken::new_x509(found, secret))
            }
        }
    }
}

/// A short secret file, after a look at who may read it.
fn secret(path: &Path) -> Result<String, String> {
    private(path)?;
    let size = fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?.len();
    if size > SECRET_BYTES_MAX {
        return Err(format!("{} is no password: it has {size} bytes", path.display()));
    }
    fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Fails where somebody else than its owner may read a file.
#[cfg(unix)]
pub(crate) fn private(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err(format!("{path} may be read by others (mode {:03o}); run: chmod 600 {path}", mode & 0o777))
}

/// Rights are the system's own matter here.
#[cfg(not(unix))]
pub(crate) fn private(path: &Path) -> Result<(), String> {
    fs::metadata(path).map(drop).map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_is_read_in_the_ways_people_write_it() {
        use SecurityPolicy::{Aes256Sha256RsaPss, Basic256Sha256};
        for (text, want) in [
            ("none", Security::None),
            ("None", Security::None),
            ("Basic256Sha256", Security::SignAndEncrypt(Basic256Sha256)),
            ("basic256sha256/sign", Security::Sign(Basic256Sha256)),
            ("Aes256_Sha256_RsaPss/SignAndEncrypt", Security::SignAndEncrypt(Aes256Sha256RsaPss)),
            ("aes256-sha256-rsapss/sign_and_encrypt", Security::SignAndEncrypt(Aes256Sha256RsaPss)),
        ] {
            assert_eq!(Security::parse(text), Ok(want), "{text}");
        }
        assert!(Security::parse("Basic128Rsa15").unwrap_err().contains("Basic256Sha256"));
        assert!(Security::parse("Basic256Sha256/whisper").unwrap_err().contains("SignAndEncrypt"));
    }

    #[cfg(unix)]
    #[test]
    fn a_password_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let password = Password::File(path.clone());
        assert!(password.trouble().unwrap().contains("No such file"));
        fs::write(&path, "turbid water\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let why = password.trouble().unwrap();
        assert!(why.contains("mode 640") && why.contains("chmod 600"), "{why}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert_eq!(password.read().unwrap().0, "turbid water");
        assert!(!format!("{:?}", Identity::User("op".into(), Some(password.clone()))).contains("turbid"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "\n").unwrap();
        assert!(password.trouble().unwrap().contains("is empty"));
        fs::write(&path, vec![b'x'; 5_000]).unwrap();
        assert!(password.trouble().unwrap().contains("5000 bytes"));
        assert!(Password::Env("PENSTOCK_TEST_NO_SUCH_VARIABLE".into()).trouble().unwrap().contains("not set"));
    }
}
