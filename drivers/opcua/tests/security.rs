//! Who is let in, and whom we trust: the driver against a real server with certificates.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bench;

use bench::{Delivered, Options, PATIENCE, Rig, Server, device, read};
use penstock_model::{BadReason, LinkState, Quality, TagId, ValueType};
use penstock_opcua::{DeviceConfig, Exception, Identity, Password, Pki, Place, Security, SecurityPolicy};
use std::path::Path;
use std::time::Duration;

const BASIC: Security = Security::SignAndEncrypt(SecurityPolicy::Basic256Sha256);

fn config(server: &Server, pki: &Path) -> DeviceConfig {
    let points = vec![read(0, "Level", ValueType::Float)];
    DeviceConfig { points, timeout: PATIENCE, ..device(server.address, pki) }
}

fn has_values(d: &Delivered) -> bool {
    d.is(0, 1.5, Quality::Good) && d.link() == Some(LinkState::Up)
}

/// A file with a password, readable by its owner alone.
fn password(dir: &Path, text: &str) -> Option<Password> {
    let path = dir.join("password");
    std::fs::write(&path, text).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    Some(Password::File(path))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_let_in_with_the_right_password_only() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options { secure: true, ..Options::default() }).await;
    Pki::at(pki.path()).trust(server.certificate().to_str().unwrap()).unwrap();
    let as_user = |text: &str| DeviceConfig {
        security: BASIC,
        identity: Identity::User("operator".to_owned(), password(pki.path(), text)),
        ..config(&server, pki.path())
    };
    let rig = Rig::start(as_user("right\n"));
    rig.until("values", has_values).await;
    rig.stop().await;
    let rig = Rig::start(as_user("wrong\n"));
    rig.until("down, by the password", |d| d.reason().contains("user `operator` with that password")).await;
    // Corrected in the file, without a restart.
    password(pki.path(), "right\n");
    rig.until("values", has_values).await;
    rig.stop().await;

    // A file that others may read is not used, and the reason says what to do.
    #[cfg(unix)]
    {
        let config = as_user("right\n");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(pki.path().join("password"), open).unwrap();
        let rig = Rig::start(config);
        rig.until("down, by the rights", |d| d.reason().contains("chmod 600")).await;
        rig.stop().await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_never_sent_in_clear() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options::default()).await;
    let identity = Identity::User("operator".to_owned(), password(pki.path(), "right"));
    let rig = Rig::start(DeviceConfig { identity, ..config(&server, pki.path()) });
    rig.until("refused", |d| d.reason().contains("in clear text")).await;
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_protected_channel_needs_a_trusted_certificate_and_every_policy_works() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Options { secure: true, ..Options::default() }).await;
    let unprotected = Rig::start(config(&server, folder.path()));
    unprotected.until("refused", |d| d.reason().contains("Basic256Sha256/SignAndEncrypt")).await;
    unprotected.stop().await;

    let pki = Pki::at(folder.path());
    let secure = |security| DeviceConfig { security, ..config(&server, folder.path()) };
    let rig = Rig::start(DeviceConfig { certificate_tag: Some(TagId(5)), ..secure(BASIC) });
    rig.until("not trusted", |d| d.reason().contains("penstock pki trust")).await;
    let rejected = pki.list().unwrap().into_iter().find(|e| e.place == Place::Rejected).unwrap();
    assert_eq!(std::fs::read(&rejected.path).unwrap(), std::fs::read(server.certificate()).unwrap());
    // What the message says to do.
    let reason = rig.see(Delivered::reason);
    let thumbprint = reason.split("pki trust ").nth(1).unwrap().split(' ').next().unwrap();
    pki.trust(thumbprint).unwrap();
    rig.until("values, and the days that are left", |d| {
        has_values(d) && d.last(5).and_then(|s| s.usable_f64()).is_some_and(|days| (28.0..=30.0).contains(&days))
    })
    .await;
    rig.stop().await;

    use SecurityPolicy::{Aes128Sha256RsaOaep, Aes256Sha256RsaPss, Basic256Sha256};
    for policy in [Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss] {
        for security in [Security::Sign(policy), Security::SignAndEncrypt(policy)] {
            let rig = Rig::start(secure(security));
            rig.until(&format!("values by {security:?}"), has_values).await;
            rig.stop().await;
        }
    }

    // Who holds the key of a certificate that the server knows.
    let rig = Rig::start(DeviceConfig { identity: server.person(), ..secure(BASIC) });
    rig.until("values for the holder of a certificate", has_values).await;
    rig.stop().await;

    pki.reject(thumbprint).unwrap();
    let rig = Rig::start(secure(BASIC));
    rig.until("no more", |d| d.reason().contains("not trusted")).await;
    rig.stop().await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_certificate_is_named_and_passes_by_decision_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(Options { secure: true, expired: true, ..Options::default() }).await;
    let pki = Pki::at(folder.path());
    pki.trust(server.certificate().to_str().unwrap()).unwrap();
    let secure = DeviceConfig { security: BASIC, certificate_tag: Some(TagId(5)), ..config(&server, folder.path()) };
    let rig = Rig::start(secure.clone());
    rig.until("expired", |d| d.reason().contains("has expired") && d.quality(0) == Some(Quality::Bad(BadReason::Link)))
        .await;
    rig.stop().await;
    let rig = Rig::start(DeviceConfig { exceptions: vec![Exception::Expired], ..secure.clone() });
    rig.until("values, and days below none", |d| {
        has_values(d) && d.last(5).and_then(|s| s.usable_f64()).is_some_and(|days| days < 0.0)
    })
    .await;
    rig.stop().await;

    // Reached by a name that its certificate does not have.
    let endpoint = format!("opc.tcp://localhost:{}/", server.address.port());
    let other = DeviceConfig { endpoint, timeout: Duration::from_secs(10), ..secure };
    let expired = vec![Exception::Expired];
    let rig = Rig::start(DeviceConfig { exceptions: expired.clone(), ..other.clone() });
    rig.until("another host", |d| d.reason().contains("is for 127.0.0.1, not for `localhost`")).await;
    rig.stop().await;
    let both = [expired, vec![Exception::HostName]].concat();
    let rig = Rig::start(DeviceConfig { exceptions: both, ..other });
    rig.until("values", has_values).await;
    rig.stop().await;
    server.stop().await;
}
