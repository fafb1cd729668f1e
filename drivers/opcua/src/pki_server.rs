//! The side of the folder that our own OPC UA server uses: its certificate, and the clients that come to it.
//!
//! | place | what |
//! | --- | --- |
//! | `own/server.der` | the server's certificate: what clients have to trust |
//! | `private/server.pem` | its key, for its owner alone |
//! | `trusted/`, `rejected/` | clients, beside the servers that we are a client of |

use crate::certificate::Certificate;
use crate::limits::{KEY_BITS, OWN_DAYS};
use crate::pki::{Make, ONE_AT_A_TIME, Pki, PkiError, Place, file_error, guard_key, make_folder, other, read, write};
use opcua::crypto::{PrivateKey, X509, X509Data};
use std::path::PathBuf;

impl Pki {
    /// The server's certificate.
    #[must_use]
    pub fn server_path(&self) -> PathBuf {
        self.folder().join("own/server.der")
    }

    /// The server's key.
    #[must_use]
    pub fn server_key_path(&self) -> PathBuf {
        self.folder().join("private/server.pem")
    }

    /// Makes the server's key and certificate where they are missing, or renews the certificate for the same key. It is
    /// made for this machine's name, its addresses, and `hosts`; its application is named after the machine. A key takes
    /// a second or two: not for an async thread.
    ///
    /// # Errors
    /// When the folder cannot be written, or a certificate lies there without its key.
    pub fn make_server(&self, how: Make, hosts: &[String], days: Option<u32>) -> Result<Certificate, PkiError> {
        let _one = ONE_AT_A_TIME.lock();
        for (name, mode) in [("", 0o700), ("own", 0o755), ("private", 0o700), ("trusted", 0o755), ("rejected", 0o755)] {
            let path = self.folder().join(name);
            make_folder(&path, mode).map_err(file_error(&path))?;
        }
        let (own, key_file) = (self.server_path(), self.server_key_path());
        match (own.exists(), key_file.exists()) {
            (true, false) => {
                return Err(other(format!(
                    "{} has lost its key, {}: put it back, or remove the certificate and have a new one made",
                    own.display(),
                    key_file.display()
                )));
            }
            (true, true) if how == Make::Missing => {
                guard_key(&key_file)?;
                return read(&own);
            }
            (_, true) => guard_key(&key_file)?,
            (false, false) => {
                let key = PrivateKey::new(KEY_BITS).map_err(|e| other(format!("no key can be made: {e}")))?;
                let pem = key.to_der().and_then(|der| Ok(der.to_pem("PRIVATE KEY", Default::default())?));
                let pem = pem.map_err(|e| other(format!("the key cannot be encoded: {e}")))?;
                write(&key_file, pem.as_bytes(), 0o600)?;
            }
        }
        let key = PrivateKey::read_pem_file(&key_file)
            .map_err(|_| other(format!("{} is no private key", key_file.display())))?;
        let machine = X509Data::computer_hostnames().into_iter().next().unwrap_or_else(|| "localhost".to_owned());
        let application = format!("urn:{machine}:penstock");
        let data = X509Data {
            key_size: KEY_BITS,
            common_name: "Penstock server".to_owned(),
            organization: "Penstock".to_owned(),
            organizational_unit: String::new(),
            country: String::new(),
            state: String::new(),
            alt_host_names: X509Data::alt_host_names(&application, Some(hosts.to_vec()), true, true, true),
            certificate_duration_days: days.unwrap_or(OWN_DAYS),
        };
        let der = X509::from_pkey(&key, &data).map_err(other)?.to_der();
        write(&own, &der.map_err(|_| other("the certificate cannot be encoded"))?, 0o644)?;
        read(&own)
    }

    /// The server's certificate; `None` where none was made yet.
    ///
    /// # Errors
    /// When the file is there and is no certificate.
    pub fn server(&self) -> Result<Option<Certificate>, PkiError> {
        let path = self.server_path();
        if path.exists() { read(&path).map(Some) } else { Ok(None) }
    }

    /// Keeps the folder as a server needs it: certificates that were put into `trusted/` by hand get the name by which
    /// the library looks for them, the oldest rejected ones beyond the bound are forgotten, and one that lies in both is
    /// not trusted. Gives the rejected ones.
    ///
    /// # Errors
    /// When a folder cannot be read or written.
    pub fn tidy(&self) -> Result<Vec<Certificate>, PkiError> {
        self.prune_rejected();
        let mut rejected = Vec::new();
        for entry in self.list()? {
            match (entry.place, entry.certificate) {
                (Place::Trusted, Ok(certificate)) => self.store(&certificate, Place::Trusted)?,
                (Place::Rejected, Ok(certificate)) => rejected.push(certificate),
                _ => {}
            }
        }
        Ok(rejected)
    }
}
