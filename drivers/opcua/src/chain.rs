//! Servers whose certificate was signed by an authority that is trusted: the chain up to it, and the lists of what was
//! revoked.
//!
//! | place | what |
//! | --- | --- |
//! | `trusted/` | an authority's certificate here makes every server trusted that it has signed |
//! | `issuers/` | authorities in between, which are trusted by nothing but their own signatures |
//! | `crl/` | lists of revoked certificates, one for each authority |

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, UnparsedPublicKey, VerificationAlgorithm,
};
use x509_cert::Certificate;
use x509_cert::crl::CertificateList;
use x509_cert::der::asn1::BitString;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::spki::AlgorithmIdentifierOwned;
use x509_cert::time::Time;

/// Authorities between a server and one that is trusted.
const DEPTH_MAX: usize = 4;

/// What a chain is looked for in.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) trusted: Vec<Vec<u8>>,
    pub(crate) issuers: Vec<Vec<u8>>,
    pub(crate) lists: Vec<Vec<u8>>,
    /// An authority without a list is let pass.
    pub(crate) without_list: bool,
}

/// The certificates of concatenated DER.
pub(crate) fn split(mut der: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while !der.is_empty() && all.len() <= DEPTH_MAX {
        let first = crate::certificate::first_of_chain(der);
        if first.is_empty() {
            break;
        }
        all.push(first);
        der = &der[first.len()..];
    }
    all
}

/// The name of the trusted authority that a certificate goes back to.
///
/// # Errors
/// Why there is none; the text continues "it".
pub(crate) fn anchor(shown: &[u8], known: &Known, now_s: u64) -> Result<String, String> {
    let chain = split(shown);
    let read = |der: &[u8]| Certificate::from_der(der).map_err(|e| format!("is no certificate: {e}"));
    let mut current = read(chain.first().copied().unwrap_or_default())?;
    let trusted: Vec<Certificate> = known.trusted.iter().filter_map(|der| read(der).ok()).collect();
    let sent = chain.iter().skip(1).copied();
    let between: Vec<Certificate> =
        known.issuers.iter().map(Vec::as_slice).chain(sent).filter_map(|der| read(der).ok()).collect();
    for depth in 0..DEPTH_MAX {
        let issuer = current.tbs_certificate.issuer.clone();
        let signs = |ca: &&Certificate| {
            ca.tbs_certificate.subject == issuer
                && is_authority(ca, depth)
                && is_valid(ca, now_s)
                && is_signed(&current.tbs_certificate, &current.signature_algorithm, &current.signature, ca)
        };
        let anchor = trusted.iter().find(signs);
        let Some(ca) = anchor.or_else(|| between.iter().find(signs)) else {
            let own = current.tbs_certificate.subject == issuer;
            return Err(match (depth, own) {
                (0, true) => "is signed by nobody but itself".to_owned(),
                (_, true) => format!("goes back to {issuer}, which is not trusted"),
                (_, false) => format!("is signed by {issuer}, which is not known, or not valid now"),
            });
        };
        revoked(&current, ca, known, now_s)?;
        if anchor.is_some() {
            return Ok(issuer.to_string());
        }
        current = ca.clone();
    }
    Err(format!("has more than {DEPTH_MAX} authorities above it"))
}

/// An authority that may sign certificates, with so many authorities below it.
fn is_authority(ca: &Certificate, below: usize) -> bool {
    let constraints = ca.tbs_certificate.get::<BasicConstraints>().ok().flatten().map(|(_, c)| c);
    let usage = ca.tbs_certificate.get::<KeyUsage>().ok().flatten().map(|(_, u)| u);
    constraints.is_some_and(|c| c.ca && c.path_len_constraint.is_none_or(|most| usize::from(most) >= below))
        && usage.is_none_or(|u| u.key_cert_sign())
}

fn seconds(time: Time) -> u64 {
    time.to_unix_duration().as_secs()
}

fn is_valid(ca: &Certificate, now_s: u64) -> bool {
    let validity = ca.tbs_certificate.validity;
    (seconds(validity.not_before)..=seconds(validity.not_after)).contains(&now_s)
}

/// Whether an authority's list names a certificate. Without a list nobody knows.
fn revoked(one: &Certificate, ca: &Certificate, known: &Known, now_s: u64) -> Result<(), String> {
    let name = &ca.tbs_certificate.subject;
    let mut old = false;
    for list in known.lists.iter().filter_map(|der| CertificateList::from_der(der).ok()) {
        let body = &list.tbs_cert_list;
        if body.issuer != *name || !is_signed(body, &list.signature_algorithm, &list.signature, ca) {
            continue;
        }
        let serial = &one.tbs_certificate.serial_number;
        // What was revoked once stays so, however old the list is.
        if body.revoked_certificates.iter().flatten().any(|r| r.serial_number == *serial) {
            return Err(format!("was revoked by {name}"));
        }
        let in_time = seconds(body.this_update) <= now_s && body.next_update.is_none_or(|t| seconds(t) >= now_s);
        if in_time {
            return Ok(());
        }
        old = true;
    }
    match (known.without_list, old) {
        (true, _) => Ok(()),
        (false, true) => Err(format!("may have been revoked: the list of {name} in crl/ is out of date")),
        (false, false) => Err(format!(
            "may have been revoked: crl/ has no list of {name}; put one there, or set accept_certificate: [no-crl]"
        )),
    }
}

fn is_signed(
    body: &impl Encode,
    algorithm: &AlgorithmIdentifierOwned,
    signature: &BitString,
    by: &Certificate,
) -> bool {
    let algorithm: &dyn VerificationAlgorithm = match algorithm.oid.to_string().as_str() {
        "1.2.840.113549.1.1.11" => &RSA_PKCS1_2048_8192_SHA256,
        "1.2.840.113549.1.1.12" => &RSA_PKCS1_2048_8192_SHA384,
        "1.2.840.113549.1.1.13" => &RSA_PKCS1_2048_8192_SHA512,
        "1.2.840.10045.4.3.2" => &ECDSA_P256_SHA256_ASN1,
        "1.2.840.10045.4.3.3" => &ECDSA_P384_SHA384_ASN1,
        // SHA-1 and what else is not to be relied on.
        _ => return false,
    };
    let key = by.tbs_certificate.subject_public_key_info.subject_public_key.as_bytes();
    let (Some(key), Some(signature), Ok(body)) = (key, signature.as_bytes(), body.to_der()) else { return false };
    UnparsedPublicKey::new(algorithm, key).verify(&body, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints as Basic, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa,
        KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
    };

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    fn params(name: &str, ca: bool, serial: u64) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 1);
        if ca {
            params.is_ca = IsCa::Ca(Basic::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        }
        params
    }

    fn root(name: &str) -> Issuer {
        CertifiedIssuer::self_signed(params(name, true, 1), KeyPair::generate().unwrap()).unwrap()
    }

    fn leaf(by: &Issuer, serial: u64) -> Vec<u8> {
        params("plc", false, serial).signed_by(&KeyPair::generate().unwrap(), by).unwrap().der().to_vec()
    }

    fn list(by: &Issuer, revoked: &[u64], next: i32) -> Vec<u8> {
        let revoked_certs = revoked
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: date_time_ymd(2026, 2, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 2),
            next_update: date_time_ymd(next, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(by).unwrap().der().to_vec()
    }

    /// 2027-01-15.
    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_chain_ends_at_a_trusted_authority_or_nowhere() {
        let (top, other) = (root("top"), root("other"));
        let middle = CertifiedIssuer::signed_by(params("middle", true, 5), KeyPair::generate().unwrap(), &top).unwrap();
        let (direct, below) = (leaf(&top, 7), leaf(&middle, 8));
        let mut known = Known { trusted: vec![top.der().to_vec()], without_list: true, ..Known::default() };
        assert_eq!(anchor(&direct, &known, NOW).unwrap(), "CN=top");
        assert!(anchor(&below, &known, NOW).unwrap_err().contains("CN=middle, which is not known"));
        // The one in between comes with the server's, or lies in the folder.
        assert!(anchor(&[below.clone(), middle.der().to_vec()].concat(), &known, NOW).is_ok());
        known.issuers.push(middle.der().to_vec());
        assert!(anchor(&below, &known, NOW).is_ok());
        known.trusted = vec![other.der().to_vec()];
        assert!(anchor(&below, &known, NOW).unwrap_err().contains("CN=top"));
        assert!(anchor(other.der(), &Known::default(), NOW).unwrap_err().contains("nobody but itself"));
    }

    #[test]
    fn an_authority_needs_a_list_and_what_it_names_is_revoked() {
        let top = root("top");
        let (good, bad) = (leaf(&top, 7), leaf(&top, 8));
        let mut known = Known { trusted: vec![top.der().to_vec()], ..Known::default() };
        assert!(anchor(&good, &known, NOW).unwrap_err().contains("no list of CN=top"));
        known.lists = vec![list(&root("top"), &[7], 2029)];
        assert!(anchor(&good, &known, NOW).unwrap_err().contains("no list"), "a list of another's key is none");
        known.lists = vec![list(&top, &[8], 2029)];
        assert!(anchor(&good, &known, NOW).is_ok());
        assert!(anchor(&bad, &known, NOW).unwrap_err().contains("was revoked"));
        known.lists = vec![list(&top, &[8], 2027)];
        assert!(anchor(&good, &known, NOW).unwrap_err().contains("out of date"));
        known.without_list = true;
        assert!(anchor(&good, &known, NOW).is_ok());
        assert!(anchor(&bad, &known, NOW).is_err(), "what is known to be revoked is never let pass");
    }

    #[test]
    fn who_is_no_authority_signs_nothing_and_an_expired_one_neither() {
        let mut plain = params("plc", false, 3);
        plain.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let no_ca = CertifiedIssuer::self_signed(plain, KeyPair::generate().unwrap()).unwrap();
        let known = Known { trusted: vec![no_ca.der().to_vec()], without_list: true, ..Known::default() };
        assert!(anchor(&leaf(&no_ca, 4), &known, NOW).is_err());
        let top = root("top");
        let known = Known { trusted: vec![top.der().to_vec()], without_list: true, ..Known::default() };
        assert!(anchor(&leaf(&top, 4), &known, 1_900_000_000).is_err());
        assert!(anchor(b"", &known, NOW).is_err() && anchor(&[0x30, 0x82], &known, NOW).is_err());
    }
}
