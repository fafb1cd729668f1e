//! Who may come in and what they may do: endpoints, log-in, rights.

use crate::{Config, Plant, Policy, Security};
use async_trait::async_trait;
use opcua::crypto::{SecurityPolicy, Thumbprint};
use opcua::nodes::AccessLevel;
use opcua::server::authenticator::{
    AuthManager, CoreServerPermissions, Password, UserToken, user_pass_security_policy_id,
};
use opcua::server::{ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint};
use opcua::types::{Error, MessageSecurityMode, NodeId, StatusCode, UAString, UserTokenPolicy, UserTokenType};
use penstock_model::Role;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every endpoint has this path.
const PATH: &str = "/";
/// Name of the policy for nobody in particular, as the library expects it.
const POLICY_ANONYMOUS: &str = "anonymous";
/// Name of the policy for certificates of persons, as the library expects it.
const POLICY_CERTIFICATE: &str = "x509";

fn library(security: Security) -> (SecurityPolicy, MessageSecurityMode) {
    let policy = |policy| match policy {
        Policy::Basic256Sha256 => SecurityPolicy::Basic256Sha256,
        Policy::Aes128Sha256RsaOaep => SecurityPolicy::Aes128Sha256RsaOaep,
        Policy::Aes256Sha256RsaPss => SecurityPolicy::Aes256Sha256RsaPss,
    };
    match security {
        Security::None => (SecurityPolicy::None, MessageSecurityMode::None),
        Security::Sign(p) => (policy(p), MessageSecurityMode::Sign),
        Security::SignAndEncrypt(p) => (policy(p), MessageSecurityMode::SignAndEncrypt),
    }
}

/// Adds the endpoints of a site.
pub(crate) fn endpoints(mut builder: ServerBuilder, config: &Config) -> ServerBuilder {
    let anonymous: Vec<String> = config.anonymous.then(|| ANONYMOUS_USER_TOKEN_ID.to_owned()).into_iter().collect();
    for security in &config.security {
        let (policy, mode) = library(*security);
        let mut endpoint = ServerEndpoint::new(PATH, policy, mode, &anonymous);
        if policy == SecurityPolicy::None {
            // A password does not go over the wire in clear text, even where everything else does.
            endpoint.password_security_policy = Some(SecurityPolicy::Basic256Sha256.to_str().to_owned());
        }
        builder = builder.add_endpoint(format!("{policy}-{mode}"), endpoint);
    }
    builder.discovery_urls(vec![format!("opc.tcp://{}:{}/", config.host, config.bind.port())])
}

/// Decides over identities, and over what they see and write.
pub(crate) struct Gatekeeper {
    pub(crate) plant: Arc<dyn Plant>,
    pub(crate) anonymous: bool,
    pub(crate) refused: Arc<AtomicU64>,
}

/// One answer for a wrong name and a wrong password: it does not help to guess.
fn rejected() -> Error {
    Error::new(StatusCode::BadUserAccessDenied, "unknown user, wrong password, or too many tries")
}

/// What a user may do with a variable that may be read and written.
pub(crate) fn rights(plant: &dyn Plant, anonymous: bool, token: &UserToken, level: AccessLevel) -> AccessLevel {
    let writes = if token.is_anonymous() {
        if !anonymous {
            return AccessLevel::empty();
        }
        false
    } else {
        match plant.person(&token.0) {
            None => return AccessLevel::empty(),
            Some(person) => person.role >= Role::Operator,
        }
    };
    if writes { level } else { level & !AccessLevel::CURRENT_WRITE }
}

#[async_trait]
impl AuthManager for Gatekeeper {
    async fn authenticate_anonymous_token(&self, _endpoint: &ServerEndpoint) -> Result<(), Error> {
        if self.anonymous { Ok(()) } else { Err(rejected()) }
    }

    async fn authenticate_username_identity_token(
        &self,
        _endpoint: &ServerEndpoint,
        username: &str,
        password: &Password,
    ) -> Result<UserToken, Error> {
        let (plant, name, password) = (self.plant.clone(), username.to_owned(), password.get().to_owned());
        // A password is hashed for some ten milliseconds, and a full queue of log-ins waits.
        let checked = tokio::task::spawn_blocking(move || plant.log_in(&name, &password)).await;
        match checked {
            Ok(Some(token)) => Ok(UserToken(token)),
            _ => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(rejected())
            }
        }
    }

    async fn authenticate_x509_identity_token(
        &self,
        _endpoint: &ServerEndpoint,
        signing_thumbprint: &Thumbprint,
    ) -> Result<UserToken, Error> {
        // The library has checked by now that the client holds the key.
        let (plant, thumbprint) = (self.plant.clone(), signing_thumbprint.as_hex_string().to_ascii_lowercase());
        match tokio::task::spawn_blocking(move || plant.log_in_by_certificate(&thumbprint)).await {
            Ok(Some(token)) => Ok(UserToken(token)),
            _ => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Err(Error::new(StatusCode::BadUserAccessDenied, "the certificate is no user's"))
            }
        }
    }

    fn effective_user_access_level(&self, token: &UserToken, level: AccessLevel, _node: &NodeId) -> AccessLevel {
        rights(&*self.plant, self.anonymous, token, level)
    }

    fn is_user_executable(&self, token: &UserToken, _method: &NodeId) -> bool {
        // What each method wants is asked where it is carried out.
        !rights(&*self.plant, self.anonymous, token, AccessLevel::CURRENT_READ).is_empty()
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        let policy = |policy_id: UAString, token_type, security: UAString| UserTokenPolicy {
            policy_id,
            token_type,
            issued_token_type: UAString::null(),
            issuer_endpoint_url: UAString::null(),
            security_policy_uri: security,
        };
        let id = user_pass_security_policy_id(endpoint);
        let uri = endpoint.password_security_policy().to_uri().into();
        let mut policies = vec![policy(id, UserTokenType::UserName, uri)];
        if endpoint.security_policy() != SecurityPolicy::None {
            // Proved by a signature over what only a protected channel agrees on.
            let uri = endpoint.security_policy().to_uri().into();
            policies.push(policy(POLICY_CERTIFICATE.into(), UserTokenType::Certificate, uri));
        }
        if self.anonymous {
            policies.push(policy(POLICY_ANONYMOUS.into(), UserTokenType::Anonymous, UAString::null()));
        }
        policies
    }

    fn core_permissions(&self, token: &UserToken) -> CoreServerPermissions {
        let read_diagnostics = self.plant.person(&token.0).is_some_and(|p| p.role == Role::Engineer);
        CoreServerPermissions { read_diagnostics }
    }
}
