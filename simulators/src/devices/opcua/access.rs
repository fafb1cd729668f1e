//! Who may come in and what they may do: endpoints, identities, the right to write.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;

use opcua::crypto::{SecurityPolicy, Thumbprint};
use opcua::nodes::AccessLevel;
use opcua::server::authenticator::{AuthManager, Password, UserToken, user_pass_security_policy_id};
use opcua::server::{ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint};
use opcua::types::{Error, MessageSecurityMode, NodeId, StatusCode, UAString, UserTokenPolicy, UserTokenType};

use super::pki;

/// The one user with a password.
pub const USER: &str = "operator";
/// Policy identifiers the library expects in a client's token.
const POLICY_ANONYMOUS: &str = "anonymous";
const POLICY_X509: &str = "x509";
/// Days a certificate of the device is valid where nothing else is asked for.
const CERTIFICATE_DAYS: u32 = 3650;
/// Every endpoint has this path.
const PATH: &str = "/";

/// What clients without an identity may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Anonymous {
    /// Read.
    Read,
    /// Read, and write the commands.
    #[default]
    Write,
}

impl FromStr for Anonymous {
    type Err = String;

    fn from_str(text: &str) -> Result<Anonymous, String> {
        match text {
            "read" => Ok(Anonymous::Read),
            "write" => Ok(Anonymous::Write),
            _ => Err(format!("`{text}` is neither `read` nor `write`")),
        }
    }
}

/// A password; it does not show itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A password; none where the text is empty.
    #[must_use]
    pub fn new(text: String) -> Option<Secret> {
        (!text.is_empty()).then_some(Secret(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Security of the simulated OPC UA device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpcUaSettings {
    /// Folder of keys and certificates; a temporary one where absent.
    pub pki: Option<PathBuf>,
    /// Certificates of unknown clients are trusted at once.
    pub trust_all: bool,
    /// What clients without an identity may do.
    pub anonymous: Anonymous,
    /// Password of [`USER`]; no user has one where absent.
    pub password: Option<Secret>,
    /// Days a certificate the device makes is valid; 0 has expired when it is shown.
    pub certificate_days: u32,
}

impl Default for OpcUaSettings {
    fn default() -> OpcUaSettings {
        OpcUaSettings {
            pki: None,
            trust_all: false,
            anonymous: Anonymous::default(),
            password: None,
            certificate_days: CERTIFICATE_DAYS,
        }
    }
}

/// Adds the endpoints: none, and three policies, each signed and each encrypted too.
pub(super) fn endpoints(mut builder: ServerBuilder) -> ServerBuilder {
    use MessageSecurityMode as Mode;
    use SecurityPolicy as Policy;
    let anonymous = [ANONYMOUS_USER_TOKEN_ID.to_owned()];
    let secure = [Policy::Basic256Sha256, Policy::Aes128Sha256RsaOaep, Policy::Aes256Sha256RsaPss]
        .into_iter()
        .flat_map(|policy| [(policy, Mode::Sign), (policy, Mode::SignAndEncrypt)]);
    for (policy, mode) in [(Policy::None, Mode::None)].into_iter().chain(secure) {
        let mut endpoint = ServerEndpoint::new(PATH, policy, mode, &anonymous);
        if policy == Policy::None {
            // A password does not go over the wire in clear text, even where everything else does.
            endpoint.password_security_policy = Some(Policy::Basic256Sha256.to_str().to_owned());
        }
        builder = builder.add_endpoint(format!("{policy}-{mode}"), endpoint);
    }
    builder.discovery_urls(vec![PATH.to_owned()])
}

/// Decides over identities.
pub(super) struct Gatekeeper {
    anonymous: Anonymous,
    password: Option<Secret>,
    /// The PKI folder: certificates of people are looked up at every log-in.
    folder: PathBuf,
}

impl Gatekeeper {
    pub(super) fn new(settings: &OpcUaSettings, folder: PathBuf) -> Gatekeeper {
        Gatekeeper { anonymous: settings.anonymous, password: settings.password.clone(), folder }
    }

    fn user(&self, name: &str, password: &str) -> Result<UserToken, Error> {
        let right = self.password.as_ref().is_some_and(|secret| secret.0 == password);
        if right && name == USER { Ok(UserToken(USER.to_owned())) } else { Err(rejected()) }
    }

    fn holder(&self, thumbprint: &Thumbprint) -> Result<UserToken, Error> {
        let known = pki::users(&self.folder).iter().any(|user| user == thumbprint);
        if known { Ok(UserToken(format!("x509 {}", thumbprint.as_hex_string()))) } else { Err(rejected()) }
    }
}

/// One answer for a wrong name, a wrong password and an unknown certificate: it does not help to guess.
fn rejected() -> Error {
    Error::new(StatusCode::BadIdentityTokenRejected, "unknown user, or wrong password or certificate")
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// The methods spell out what `async_trait` would generate, which saves a dependency for three of them.
impl AuthManager for Gatekeeper {
    fn authenticate_anonymous_token<'life0, 'life1, 'async_trait>(
        &'life0 self,
        _endpoint: &'life1 ServerEndpoint,
    ) -> Answer<'async_trait, ()>
    where
        Self: 'async_trait,
        'life0: 'async_trait,
        'life1: 'async_trait,
    {
        Box::pin(std::future::ready(Ok(())))
    }

    fn authenticate_username_identity_token<'life0, 'life1, 'life2, 'life3, 'async_trait>(
        &'life0 self,
        _endpoint: &'life1 ServerEndpoint,
        username: &'life2 str,
        password: &'life3 Password,
    ) -> Answer<'async_trait, UserToken>
    where
        Self: 'async_trait,
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
        'life3: 'async_trait,
    {
        Box::pin(std::future::ready(self.user(username, password.get())))
    }

    fn authenticate_x509_identity_token<'life0, 'life1, 'life2, 'async_trait>(
        &'life0 self,
        _endpoint: &'life1 ServerEndpoint,
        signing_thumbprint: &'life2 Thumbprint,
    ) -> Answer<'async_trait, UserToken>
    where
        Self: 'async_trait,
        'life0: 'async_trait,
        'life1: 'async_trait,
        'life2: 'async_trait,
    {
        Box::pin(std::future::ready(self.holder(signing_thumbprint)))
    }

    fn effective_user_access_level(&self, token: &UserToken, level: AccessLevel, _node: &NodeId) -> AccessLevel {
        if token.is_anonymous() && self.anonymous == Anonymous::Read {
            level & !AccessLevel::CURRENT_WRITE
        } else {
            level
        }
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        let policy = |id: UAString, token_type, security: Option<SecurityPolicy>| UserTokenPolicy {
            policy_id: id,
            token_type,
            issued_token_type: UAString::null(),
            issuer_endpoint_url: UAString::null(),
            security_policy_uri: security.map_or_else(UAString::null, |policy| policy.to_uri().into()),
        };
        let mut policies = vec![policy(POLICY_ANONYMOUS.into(), UserTokenType::Anonymous, None)];
        if self.password.is_some() {
            let id = user_pass_security_policy_id(endpoint);
            policies.push(policy(id, UserTokenType::UserName, Some(endpoint.password_security_policy())));
        }
        // A certificate is proved by a signature, which there is none of without a policy.
        let security = endpoint.security_policy();
        if security != SecurityPolicy::None && !pki::users(&self.folder).is_empty() {
            policies.push(policy(POLICY_X509.into(), UserTokenType::Certificate, Some(security)));
        }
        policies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_does_not_show_itself_and_none_is_no_user() {
        let settings = OpcUaSettings { password: Secret::new("turbid".to_owned()), ..OpcUaSettings::default() };
        assert!(!format!("{settings:?}").contains("turbid"));
        assert_eq!(Secret::new(String::new()), None);
        let keeper = Gatekeeper::new(&settings, PathBuf::new());
        assert!(keeper.user(USER, "turbid").is_ok());
        assert!(keeper.user(USER, "").is_err() && keeper.user("admin", "turbid").is_err());
        let nobody = Gatekeeper::new(&OpcUaSettings::default(), PathBuf::new());
        assert!(nobody.user(USER, "").is_err());
        assert!("all".parse::<Anonymous>().is_err());
    }
}
