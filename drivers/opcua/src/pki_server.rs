//! The side of the folder that our own OPC UA server uses: its certificate, and the clients that come to it.
//!
//! | place | what |
//! | --- | --- |
//! | `own/server.der` | the server's certificate: what clients have to trust |
//! | `private/server.pem` | its key, for its owner alone |
//! | `trusted/`, `rejected/` | clients, beside the servers that we are a client of |
//! | `issuers/`, `crl/` | authorities in between, and what authorities revoked: see `chain` |
//! | `accepted-clients/` | clients that were judged well when they came last, for the library; not for persons |
//! | `users/<name>.der` | certificates that persons log in with |

use crate::certificate::{Certificate, first_of_chain};
use crate::limits::{KEY_BITS, OWN_DAYS, USER_CERTIFICATES_MAX};
use crate::pki::{
    CERTIFICATES, Make, ONE_AT_A_TIME, Pki, PkiError, Place, file_error, files_in, guard_key, make_folder, other, read,
    write,
};
use opcua::crypto::{PrivateKey, X509, X509Data};
use std::path::PathBuf;

/// The folder that the library's server looks into.
const ACCEPTED_CLIENTS: &str = "accepted-clients";
/// The folder of the certificates that persons log in with.
const USERS: &str = "users";

/// A person who may log in with a certificate.
#[derive(Debug)]
pub struct UserEntry {
    /// Name of the user.
    pub name: String,
    /// Their certificate, or why the file is none.
    pub certificate: Result<Certificate, PkiError>,
}

impl Pki {
    /// The folder that the library's server looks into for `trusted/` and `rejected/`: what [`Pki::judge_client`] lets in
    /// lies there, and nothing else.
    #[must_use]
    pub fn clients_folder(&self) -> PathBuf {
        self.folder().join(ACCEPTED_CLIENTS)
    }

    /// Makes the folder that the library's server looks into, empty: whoever comes is judged anew.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn prepare_clients(&self) -> Result<(), PkiError> {
        for place in [Place::Trusted, Place::Rejected] {
            let dir = self.clients_folder().join(place.as_str());
            make_folder(&dir, 0o700).map_err(file_error(&dir))?;
            for file in files_in(&dir, CERTIFICATES)? {
                std::fs::remove_file(&file).map_err(file_error(&file))?;
            }
        }
        Ok(())
    }

    /// Whether a client that shows this certificate may open a channel: it is trusted itself, or was signed by an authority
    /// that is and has not revoked it, and it is valid now. An unknown one is kept in `rejected/`. Reads files: not for an
    /// async thread.
    ///
    /// # Errors
    /// Why not, and what to do, in words for a person.
    pub fn judge_client(&self, der: &[u8]) -> Result<Certificate, String> {
        let judged = self.look_at_client(der);
        self.keep_judgement(ACCEPTED_CLIENTS, der, judged)
    }

    fn look_at_client(&self, der: &[u8]) -> Result<Certificate, String> {
        let certificate = Certificate::from_der(der).map_err(|why| format!("the client's certificate {why}"))?;
        self.is_trusted(der, &certificate, "client", false)?;
        certificate.valid_now().map_err(|why| {
            format!(
                "the client's certificate {why} ({}, thumbprint {}): have it renewed on the client",
                certificate.subject, certificate.thumbprint
            )
        })?;
        if first_of_chain(der).len() != der.len() {
            // The library takes one for the whole.
            return Err(format!(
                "the client sends its authorities along with its certificate ({}): have it send its own alone, and put \
                 those in between into {}",
                certificate.subject,
                self.folder().join("issuers").display()
            ));
        }
        Ok(certificate)
    }

    /// Persons with a certificate to log in with, by name; of files that are none is told why. At most
    /// [`USER_CERTIFICATES_MAX`] are read.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn users(&self) -> Result<Vec<UserEntry>, PkiError> {
        let files = files_in(&self.folder().join(USERS), CERTIFICATES)?;
        let name = |path: &PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Ok(files
            .iter()
            .take(USER_CERTIFICATES_MAX)
            .filter_map(|path| Some(UserEntry { name: name(path)?, certificate: read(path) }))
            .collect())
    }

    /// Lets a person log in with a certificate: a file, or one of this folder by its thumbprint. It takes the place of the
    /// one they had.
    ///
    /// # Errors
    /// When there is no such certificate, it is somebody else's already, or the folder cannot be written.
    pub fn set_user(&self, name: &str, which: &str) -> Result<Certificate, PkiError> {
        let certificate = self.certificate_of(which)?;
        let sound = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(sound) {
            return Err(other(format!("`{name}` is not the name of a user")));
        }
        let all = self.users()?;
        let has = |user: &&UserEntry| user.certificate.as_ref().is_ok_and(|c| c.der == certificate.der);
        if let Some(user) = all.iter().filter(|user| user.name != name).find(has) {
            return Err(other(format!("that certificate is `{}`'s: one certificate is one person", user.name)));
        }
        let folder = self.folder().join(USERS);
        make_folder(&folder, 0o755).map_err(file_error(&folder))?;
        write(&folder.join(format!("{name}.der")), &certificate.der, 0o644)?;
        // One of another ending would count beside it.
        for kind in CERTIFICATES.iter().filter(|kind| **kind != "der") {
            let other = folder.join(format!("{name}.{kind}"));
            if other.exists() {
                std::fs::remove_file(&other).map_err(file_error(&other))?;
            }
        }
        Ok(certificate)
    }

    /// Ends a person's log-ins with a certificate. False where they had none.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove_user(&self, name: &str) -> Result<bool, PkiError> {
        let mut found = false;
        for file in files_in(&self.folder().join(USERS), CERTIFICATES)? {
            if file.file_stem().is_some_and(|stem| stem == name) {
                std::fs::remove_file(&file).map_err(file_error(&file))?;
                found = true;
            }
        }
        Ok(found)
    }

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
