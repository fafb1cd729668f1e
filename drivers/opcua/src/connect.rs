//! Opening a session: application certificate, endpoint, identity.
//!
//! Each link is a session of its own with an event loop of its own. The library could reconnect by itself, but after
//! a restart of the server its subscriptions stay silent unless they are asked for again, and its attempts have no
//! time-out; so its reconnecting is off and a lost session is replaced by a new one, for ever, by us.

use crate::config::{DeviceConfig, Security, SecurityPolicy};
use crate::limits::{ANSWERS_TO_CONNECT, CHUNKS_MAX, MESSAGE_BYTES_MAX, PUBLISH_PERIOD_MIN, SESSION_TIMEOUT};
use opcua::client::{Client, ClientBuilder, IdentityToken, Password, Session};
use opcua::crypto::SecurityPolicy as Policy;
use opcua::sync::Mutex;
use opcua::types::{EndpointDescription, MessageSecurityMode, StatusCode};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Application certificates are made once per folder: two devices that start together share theirs.
static CERTIFICATES: Mutex<()> = Mutex::new(());

/// An open session and the task that drives it.
pub(crate) struct Open {
    pub(crate) session: Arc<Session>,
    pub(crate) task: Driven,
}

/// The event loop of a session; ends with the connection, and is ended with this.
pub(crate) struct Driven(JoinHandle<StatusCode>);

impl Driven {
    /// Waits for the end of the connection; the reason in words.
    pub(crate) async fn ended(&mut self) -> String {
        match (&mut self.0).await {
            Ok(status) if status.is_bad() => in_words(status),
            _ => "the server closed the connection".to_owned(),
        }
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A client for this device. Makes the application's certificate on first use when the channel is protected, which
/// takes a second or two: not for an async thread.
pub(crate) fn client(config: &DeviceConfig) -> Result<Client, String> {
    let secure = config.security != Security::None;
    let builder = ClientBuilder::new()
        .application_name("Penstock")
        .application_uri("urn:penstock:client")
        .product_uri("urn:penstock")
        .pki_dir(config.pki_dir.clone())
        .certificate_path("own/cert.der")
        .private_key_path("private/private.pem")
        .create_sample_keypair(secure)
        .trust_server_certs(false)
        .verify_server_certs(true)
        .session_retry_limit(0)
        .recreate_subscriptions(false)
        .request_timeout(config.timeout)
        .session_timeout(u32::try_from(SESSION_TIMEOUT.as_millis()).unwrap_or(u32::MAX))
        .min_publish_interval(config.groups.iter().map(|g| g.publish).min().unwrap_or(PUBLISH_PERIOD_MIN))
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_chunk_count(CHUNKS_MAX)
        .session_name(format!("Penstock {}", config.name));
    let build = || builder.client().map_err(|errors| errors.join("; "));
    if secure {
        let _one_at_a_time = CERTIFICATES.lock();
        build()
    } else {
        // The library reports a missing certificate as an error even where none is needed.
        tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), build)
    }
}

/// Connects, opens a session and activates it.
///
/// # Errors
/// In words for a person.
pub(crate) async fn open(client: &Client, config: &DeviceConfig) -> Result<Open, String> {
    let late = |what: &str, limit| format!("{} does not {what} within {limit:?}", config.endpoint);
    let endpoints =
        tokio::time::timeout(config.timeout, client.get_server_endpoints_from_url(config.endpoint.as_str()))
            .await
            .map_err(|_| late("answer", config.timeout))?
            .map_err(|e| format!("{}: {e}", config.endpoint))?;
    let endpoint = choose(&endpoints, config)?;
    let identity = match &config.user {
        Some((user, password)) => IdentityToken::UserName(user.clone(), Password::new(password.clone())),
        None => IdentityToken::Anonymous,
    };
    let (session, event_loop) = client
        .session_builder()
        .connect_to_endpoint_directly(endpoint)
        .map(|b| b.user_identity_token(identity))
        .and_then(|b| b.build(client.certificate_store().clone()))
        .map_err(|e| format!("{}: {e}", config.endpoint))?;
    session.disable_reconnects();
    let mut task = Driven(tokio::spawn(event_loop.run()));
    let limit = config.timeout * ANSWERS_TO_CONNECT;
    tokio::select! {
        connected = session.wait_for_connection() => match connected {
            true => Ok(()),
            false => Err("the session ended while it was opened".to_owned()),
        },
        reason = task.ended() => Err(trust_hint(config, &reason)),
        () = tokio::time::sleep(limit) => Err(late("open a session", limit)),
    }?;
    Ok(Open { session, task })
}

/// The server's endpoint with the configured protection, reached at the configured address: what a server calls
/// itself is often a name that only its own network knows.
fn choose(endpoints: &[EndpointDescription], config: &DeviceConfig) -> Result<EndpointDescription, String> {
    let (policy, mode) = match config.security {
        Security::None => (Policy::None, MessageSecurityMode::None),
        Security::Sign(p) => (library(p), MessageSecurityMode::Sign),
        Security::SignAndEncrypt(p) => (library(p), MessageSecurityMode::SignAndEncrypt),
    };
    let fits = |e: &&EndpointDescription| {
        e.security_mode == mode && Policy::from_uri(e.security_policy_uri.as_ref()) == policy
    };
    let mut endpoint = endpoints.iter().find(fits).cloned().ok_or_else(|| {
        let offer = |e: &EndpointDescription| {
            format!("{}/{:?}", Policy::from_uri(e.security_policy_uri.as_ref()).to_str(), e.security_mode)
        };
        let offers: Vec<String> = endpoints.iter().map(offer).collect();
        format!("the server does not offer the configured security; it offers {}", offers.join(", "))
    })?;
    endpoint.endpoint_url = config.endpoint.as_str().into();
    Ok(endpoint)
}

fn library(policy: SecurityPolicy) -> Policy {
    match policy {
        SecurityPolicy::Basic256Sha256 => Policy::Basic256Sha256,
        SecurityPolicy::Aes128Sha256RsaOaep => Policy::Aes128Sha256RsaOaep,
        SecurityPolicy::Aes256Sha256RsaPss => Policy::Aes256Sha256RsaPss,
    }
}

/// Adds what to do about a certificate that nobody has trusted yet.
fn trust_hint(config: &DeviceConfig, reason: &str) -> String {
    if config.security == Security::None || !(reason.contains("Certificate") || reason.contains("SecurityChecks")) {
        return reason.to_owned();
    }
    let pki = config.pki_dir.display();
    format!(
        "{reason}: if this is the right server, move its certificate from {pki}/rejected to {pki}/trusted; and let the \
         server trust ours, {pki}/own/cert.der"
    )
}

/// A status in words: its name says what it is, its description rarely more.
pub(crate) fn in_words(status: StatusCode) -> String {
    status.sub_code().name().to_owned()
}
