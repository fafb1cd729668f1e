//! Opening a session: application certificate, endpoint, identity.
//!
//! Each link is a session of its own with an event loop of its own. The library could reconnect by itself, but after
//! a restart of the server its subscriptions stay silent unless they are asked for again, and its attempts have no
//! time-out; so its reconnecting is off and a lost session is replaced by a new one, for ever, by us.

use crate::certificate::Certificate;
use crate::config::DeviceConfig;
use crate::expiry::InUse;
use crate::limits::{ANSWERS_TO_CONNECT, CHUNKS_MAX, MESSAGE_BYTES_MAX, PUBLISH_PERIOD_MIN, SESSION_TIMEOUT};
use crate::pki::{ACCEPTED, APPLICATION_URI, Make, Pki};
use crate::security::{Identity, Security, SecurityPolicy};
use opcua::client::{Client, ClientBuilder, Session};
use opcua::crypto::{CertificateStore, SecurityPolicy as Policy};
use opcua::types::{EndpointDescription, MessageSecurityMode, StatusCode, UserTokenType};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// An open session and the task that drives it.
pub(crate) struct Open {
    pub(crate) session: Arc<Session>,
    pub(crate) task: Driven,
    /// The certificates that the link stands on.
    pub(crate) certificates: Vec<InUse>,
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
///
/// # Errors
/// In words for a person.
pub(crate) fn client(config: &DeviceConfig) -> Result<Client, String> {
    let secure = config.security != Security::None;
    if secure {
        let own = Pki::at(&config.pki_dir).make(Make::Missing, None).map_err(|e| penstock_model::with_causes(&e))?;
        own.valid_now().map_err(|why| {
            format!("our own certificate {why}: penstock pki make --renew --pki {}", config.pki_dir.display())
        })?;
    }
    let builder = ClientBuilder::new()
        .application_name("Penstock")
        .application_uri(APPLICATION_URI)
        .product_uri("urn:penstock")
        .pki_dir(config.pki_dir.join(ACCEPTED))
        .certificate_path("../own/cert.der")
        .private_key_path("../private/private.pem")
        .create_sample_keypair(false)
        .trust_server_certs(false)
        // We alone judge: the library knows neither authorities nor what a person lets pass.
        .verify_server_certs(false)
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
    check_token(&endpoint, config)?;
    let (token, certificates) = {
        let (config, endpoint) = (config.clone(), endpoint.clone());
        let looked =
            tokio::task::spawn_blocking(move || Ok((config.identity.token()?, certificates(&endpoint, &config)?)));
        looked.await.map_err(|e| e.to_string()).flatten()?
    };
    let (session, event_loop) = client
        .session_builder()
        .connect_to_endpoint_directly(endpoint)
        .map(|b| b.user_identity_token(token))
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
        reason = task.ended() => Err(hint(config, &reason)),
        () = tokio::time::sleep(limit) => Err(late("open a session", limit)),
    }?;
    Ok(Open { session, task, certificates })
}

/// The certificates of a protected channel, after a look whether the server's is trusted.
fn certificates(endpoint: &EndpointDescription, config: &DeviceConfig) -> Result<Vec<InUse>, String> {
    if config.security == Security::None {
        return Ok(Vec::new());
    }
    let pki = Pki::at(&config.pki_dir);
    let shown = endpoint.server_certificate.value.as_deref().unwrap_or_default();
    if shown.is_empty() {
        return Err("the server shows no certificate, which a protected channel needs".to_owned());
    }
    let host = host_of(&config.endpoint);
    let server = pki.judge(shown, host, endpoint.server.application_uri.as_ref(), &config.exceptions)?;
    if !library_policy(config.security).0.is_valid_keylength(server.key_bits) {
        return Err(format!(
            "the server's certificate has a key of {} bits, which {:?} does not take: have a new one made on the server",
            server.key_bits, config.security
        ));
    }
    let mut all = vec![InUse { whose: "the server's", certificate: server }];
    let own = pki.own().map_err(|e| penstock_model::with_causes(&e))?;
    all.extend(own.map(|certificate| InUse { whose: "our own", certificate }));
    if let Identity::Certificate { certificate, .. } = &config.identity {
        let der = CertificateStore::read_cert(certificate)?.to_der().map_err(|e| e.to_string())?;
        let user = Certificate::from_der(&der).map_err(|why| format!("{} {why}", certificate.display()))?;
        user.valid_now().map_err(|why| format!("the user's certificate {} {why}", certificate.display()))?;
        all.push(InUse { whose: "the user's", certificate: user });
    }
    Ok(all)
}

/// The host of `opc.tcp://host:port/path`.
fn host_of(endpoint: &str) -> &str {
    let rest = endpoint.strip_prefix("opc.tcp://").unwrap_or(endpoint);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.rfind(']') {
        // An IPv6 address stands in brackets.
        Some(end) => &authority[..=end],
        None => authority.split(':').next().unwrap_or(authority),
    }
}

/// Whether the server takes the kind of identity that is configured, and whether it is safe to give it.
fn check_token(endpoint: &EndpointDescription, config: &DeviceConfig) -> Result<(), String> {
    let (wanted, what) = match &config.identity {
        Identity::Anonymous => (UserTokenType::Anonymous, "a client without an identity"),
        Identity::User(..) => (UserTokenType::UserName, "a user name"),
        Identity::Certificate { .. } => (UserTokenType::Certificate, "a user's certificate"),
    };
    let offers = endpoint.user_identity_tokens.iter().flatten();
    let Some(policy) = offers.clone().find(|p| p.token_type == wanted) else {
        let kinds: Vec<String> = offers.map(|p| format!("{:?}", p.token_type)).collect();
        return Err(format!(
            "the server takes no {} there; it takes {}",
            what.trim_start_matches("a "),
            kinds.join(", ")
        ));
    };
    let plain =
        policy.security_policy_uri.is_empty() || Policy::from_uri(policy.security_policy_uri.as_ref()) == Policy::None;
    let secret = matches!(config.identity, Identity::User(_, Some(_)));
    if secret && plain && config.security == Security::None {
        return Err(
            "the server wants the password in clear text on a channel that is not protected: it is not sent. Set \
                    security: Basic256Sha256"
                .to_owned(),
        );
    }
    Ok(())
}

/// The server's endpoint with the configured protection, reached at the configured address: what a server calls
/// itself is often a name that only its own network knows.
fn choose(endpoints: &[EndpointDescription], config: &DeviceConfig) -> Result<EndpointDescription, String> {
    let (policy, mode) = library_policy(config.security);
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
    // A token without a policy of its own has the channel's (Part 4, 7.41); the library takes that for none.
    for token in endpoint.user_identity_tokens.iter_mut().flatten() {
        if token.security_policy_uri.is_empty() && token.token_type == UserTokenType::Certificate {
            token.security_policy_uri = endpoint.security_policy_uri.clone();
        }
    }
    Ok(endpoint)
}

fn library_policy(security: Security) -> (Policy, MessageSecurityMode) {
    match security {
        Security::None => (Policy::None, MessageSecurityMode::None),
        Security::Sign(p) => (library(p), MessageSecurityMode::Sign),
        Security::SignAndEncrypt(p) => (library(p), MessageSecurityMode::SignAndEncrypt),
    }
}

fn library(policy: SecurityPolicy) -> Policy {
    match policy {
        SecurityPolicy::Basic256Sha256 => Policy::Basic256Sha256,
        SecurityPolicy::Aes128Sha256RsaOaep => Policy::Aes128Sha256RsaOaep,
        SecurityPolicy::Aes256Sha256RsaPss => Policy::Aes256Sha256RsaPss,
    }
}

/// Adds what to do where a server ends a protected channel while it is opened: its certificate was looked at before, so
/// the trouble is with ours, or with who we say we are.
fn hint(config: &DeviceConfig, reason: &str) -> String {
    if let Some(remedy) = remedy(reason) {
        return format!("{reason}: {remedy}");
    }
    let about_identity = ["Identity", "UserAccess", "UserSignature"].iter().any(|word| reason.contains(word));
    if about_identity {
        let who = match &config.identity {
            Identity::Anonymous => "a client without an identity".to_owned(),
            Identity::User(name, _) => format!("user `{name}` with that password"),
            Identity::Certificate { certificate, .. } => format!("the holder of {}", certificate.display()),
        };
        return format!("{reason}: the server does not let in {who}");
    }
    if config.security == Security::None {
        return reason.to_owned();
    }
    let pki = Pki::at(&config.pki_dir);
    let thumbprint = pki.own().ok().flatten().map_or_else(String::new, |c| format!(", thumbprint {}", c.thumbprint));
    format!(
        "{reason}: the server ended the channel while it was opened, most often because it does not trust us yet; on the \
         server, trust our certificate ({}{thumbprint})",
        pki.own_path().display()
    )
}

/// A status in words: its name says what it is, its description rarely more.
pub(crate) fn in_words(status: StatusCode) -> String {
    status.sub_code().name().to_owned()
}

/// A status in words, with what a person can do about a server that is at its limits.
pub(crate) fn with_remedy(status: StatusCode) -> String {
    let name = in_words(status);
    match remedy(&name) {
        Some(remedy) => format!("{name}: {remedy}"),
        None => name,
    }
}

/// What to do where a server has no more of something, by the name of its status.
fn remedy(status: &str) -> Option<&'static str> {
    Some(match status {
        "BadTooManySessions" => {
            "the server has no session left; close another client of it or raise its limit (a session that a lost link \
             left behind ends by itself)"
        }
        "BadTooManySubscriptions" => {
            "the server has no subscription left; join groups, close another client of it or raise its limit"
        }
        "BadTooManyMonitoredItems" => {
            "the server has no room for more monitored items; move points to a group with `fetch: read`, close another \
             client of it or raise its limit"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_before_the_port() {
        for (endpoint, host) in [
            ("opc.tcp://plc:4840", "plc"),
            ("opc.tcp://10.0.0.8:4840/a/b", "10.0.0.8"),
            ("opc.tcp://[fe80::1]:4840/", "[fe80::1]"),
            ("opc.tcp://plc", "plc"),
        ] {
            assert_eq!(host_of(endpoint), host);
        }
    }
}
