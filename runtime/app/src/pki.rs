//! `penstock pki`: whose certificates the links trust, and our own.

use clap::{Args, Subcommand};
use penstock_model::{Utc, with_causes};
use penstock_opcua::{Certificate, DeviceConfig, Entry, Make, Pki, Place, UserEntry};
use std::path::{Path, PathBuf};

/// Days before its end from which a certificate is marked in the list.
const SOON_DAYS: f64 = 30.0;

/// Manage the certificates of OPC UA links.
#[derive(Debug, Subcommand)]
pub enum PkiVerb {
    /// List every certificate: ours, those of servers and clients that are trusted, those that are not.
    List(Folder),
    /// Trust a server's certificate: one that was rejected, by its thumbprint, or a file (.der, .pem).
    Trust(Which),
    /// Stop trusting a server's certificate.
    Reject(Which),
    /// Say everything about one certificate.
    Show(Which),
    /// Let a user of the pages log in to our OPC UA server with a certificate, or take that away.
    User {
        /// Name of the user; see `penstock user`.
        name: String,
        /// The certificate: a file (.der, .pem), or the thumbprint of one that was met.
        #[arg(required_unless_present = "remove")]
        which: Option<String>,
        /// Take it away: open sessions end within a second.
        #[arg(long, conflicts_with = "which")]
        remove: bool,
        #[command(flatten)]
        folder: Folder,
    },
    /// Make our own key and certificate where there is none yet; servers have to trust it.
    Make {
        #[command(flatten)]
        folder: Folder,
        /// A new certificate for the same key, for example before the old one ends. Servers have to trust it anew.
        #[arg(long)]
        renew: bool,
        /// The certificate of our own server, not that of our links.
        #[arg(long)]
        server: bool,
        /// A further name or address that the server's certificate is good for.
        #[arg(long, value_name = "HOST", requires = "server")]
        host: Vec<String>,
        /// Days it is valid. Default three years.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: Option<u32>,
    },
}

/// Which folder.
#[derive(Debug, Args)]
pub struct Folder {
    /// Folder of the certificates. Default: `pki` in the state folder.
    #[arg(long, value_name = "FOLDER")]
    pki: Option<PathBuf>,
    /// State folder of the runtime.
    #[arg(long, default_value = "var/penstock")]
    state: PathBuf,
}

/// Which certificate.
#[derive(Debug, Args)]
pub struct Which {
    /// Its thumbprint, or the first six digits of it or more, or a file; `own` is ours.
    which: String,
    #[command(flatten)]
    folder: Folder,
}

impl Folder {
    fn open(&self) -> Pki {
        Pki::at(self.pki.clone().unwrap_or_else(|| self.state.join(FOLDER)))
    }
}

/// The folder of certificates within a state folder.
const FOLDER: &str = "pki";

/// The folder of certificates where nothing else is said.
#[must_use]
pub fn folder(state: &Path) -> PathBuf {
    state.join(FOLDER)
}

/// A server as configured, with its certificates in the state folder where its file does not name a place.
#[must_use]
pub fn with_folder(config: &DeviceConfig, state: &Path) -> DeviceConfig {
    let named = !config.pki_dir.as_os_str().is_empty();
    let pki_dir = if named { config.pki_dir.clone() } else { state.join(FOLDER) };
    DeviceConfig { pki_dir, ..config.clone() }
}

/// Runs one of the verbs.
///
/// # Errors
/// In words for a person.
pub fn run(verb: PkiVerb) -> Result<(), String> {
    match verb {
        PkiVerb::List(folder) => list(&folder.open()),
        PkiVerb::Trust(Which { which, folder }) => {
            let one = folder.open().trust(&which).map_err(|e| with_causes(&e))?;
            say!("trusted: {}", line(&one));
            say!(
                "links that wait for it connect within half a minute; the server has to trust ours too (penstock pki show own)"
            );
            Ok(())
        }
        PkiVerb::Reject(Which { which, folder }) => {
            let one = folder.open().reject(&which).map_err(|e| with_causes(&e))?;
            say!("rejected: {}", line(&one));
            say!("a link that uses it ends at its next connection; restart the runtime to end it now");
            Ok(())
        }
        PkiVerb::Show(Which { which, folder }) => show(&folder.open(), &which),
        PkiVerb::User { name, which, folder, .. } => user(&folder.open(), &name, which.as_deref()),
        PkiVerb::Make { folder, renew, days, server, host } if server => {
            make_server(&folder.open(), renew, &host, days)
        }
        PkiVerb::Make { folder, renew, days, .. } => make(&folder.open(), renew, days),
    }
}

/// Gives a user a certificate to log in with, or takes it away.
fn user(pki: &Pki, name: &str, which: Option<&str>) -> Result<(), String> {
    let Some(which) = which else {
        return match pki.remove_user(name).map_err(|e| with_causes(&e))? {
            true => {
                say!("`{name}` does not log in with a certificate any more");
                Ok(())
            }
            false => Err(format!("`{name}` has no certificate in {}", pki.folder().join("users").display())),
        };
    };
    let one = pki.set_user(name, which).map_err(|e| with_causes(&e))?;
    say!("`{name}` logs in with: {}", line(&one));
    say!("it is looked at within a second; what they may do is said by `penstock user`");
    Ok(())
}

fn make(pki: &Pki, renew: bool, days: Option<u32>) -> Result<(), String> {
    let before = pki.own().map_err(|e| with_causes(&e))?;
    let how = if renew { Make::Renew } else { Make::Missing };
    let own = pki.make(how, days).map_err(|e| with_causes(&e))?;
    match before {
        Some(before) if before == own => say!("there is one already; --renew makes a new one for the same key"),
        _ => say!("made: {}", pki.own_path().display()),
    }
    details(&own);
    say!("let every server trust this file, {}", pki.own_path().display());
    Ok(())
}

fn make_server(pki: &Pki, renew: bool, hosts: &[String], days: Option<u32>) -> Result<(), String> {
    let before = pki.server().map_err(|e| with_causes(&e))?;
    let how = if renew { Make::Renew } else { Make::Missing };
    let own = pki.make_server(how, hosts, days).map_err(|e| with_causes(&e))?;
    match before {
        Some(before) if before == own => say!("there is one already; --renew makes a new one for the same key"),
        _ => say!("made: {}; restart the runtime to use it", pki.server_path().display()),
    }
    details(&own);
    say!("let every client trust this file, {}", pki.server_path().display());
    Ok(())
}

fn list(pki: &Pki) -> Result<(), String> {
    let all = pki.list().map_err(|e| with_causes(&e))?;
    let users = pki.users().map_err(|e| with_causes(&e))?;
    if all.is_empty() && users.is_empty() {
        say!(
            "{} holds no certificates; penstock pki make makes ours, a server's is kept when a link first meets it",
            pki.folder().display()
        );
        return Ok(());
    }
    for Entry { place, path, certificate } in &all {
        match certificate {
            Ok(one) => say!("{:<9} {}", place.as_str(), line(one)),
            Err(why) => say!("{:<9} {}: {why}", place.as_str(), path.display()),
        }
    }
    for UserEntry { name, certificate } in &users {
        match certificate {
            Ok(one) => say!("{:<9} {name}: {}", "user", line(one)),
            Err(why) => say!("{:<9} {name}: {}", "user", with_causes(why)),
        }
    }
    let waiting = all.iter().filter(|e| e.place == Place::Rejected && e.certificate.is_ok()).count();
    if waiting > 0 {
        say!(
            "{waiting} not trusted; after a look at the thumbprint on the server: penstock pki trust <thumbprint> --pki {}",
            pki.folder().display()
        );
    }
    Ok(())
}

fn show(pki: &Pki, which: &str) -> Result<(), String> {
    if which == "own" {
        let own = pki.own().map_err(|e| with_causes(&e))?;
        let own =
            own.ok_or_else(|| format!("{} has no certificate of ours yet: penstock pki make", pki.folder().display()))?;
        say!("file          {}", pki.own_path().display());
        details(&own);
        return Ok(());
    }
    let entry = pki.find(which).map_err(|e| with_causes(&e))?;
    say!("file          {}", entry.path.display());
    say!("place         {}", entry.place.as_str());
    details(&entry.certificate?);
    Ok(())
}

fn now() -> Utc {
    let millis = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
    Utc::from_millis(millis)
}

/// A certificate in one line.
fn line(one: &Certificate) -> String {
    let left = one.days_left(now());
    let ends = match left {
        d if d < 0.0 => format!("EXPIRED on {}", one.until()),
        d if d < SOON_DAYS => format!("until {}, {d:.0} days left", one.until()),
        _ => format!("until {}", one.until()),
    };
    format!("{}  {ends}  {}  {}", one.thumbprint, one.subject, one.application_uri)
}

fn details(one: &Certificate) {
    say!("thumbprint    {}", one.thumbprint);
    say!("subject       {}", one.subject);
    if one.issuer != one.subject {
        say!("signed by     {}", one.issuer);
    }
    say!("application   {}", if one.application_uri.is_empty() { "(none)" } else { &one.application_uri });
    say!("hosts         {}", if one.hosts.is_empty() { "(none)".to_owned() } else { one.hosts.join(", ") });
    say!("valid         {} to {} ({:.0} days left)", one.since(), one.until(), one.days_left(now()));
    say!("key           {} bits", one.key_bits);
}
