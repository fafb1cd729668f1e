//! What a certificate says.

use opcua::crypto::{CertificateStore, X509};
use penstock_model::Utc;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// A certificate, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-1 of its bytes in lower-case hexadecimal, as every OPC UA tool shows it.
    pub thumbprint: String,
    /// Whose it is, for example `CN=Line 3,O=Works`.
    pub subject: String,
    /// Who signed it; equal to the subject where it is self-signed.
    pub issuer: String,
    /// The application it belongs to; empty where it names none.
    pub application_uri: String,
    /// Host names and addresses it is good for.
    pub hosts: Vec<String>,
    /// Valid from.
    pub from: Utc,
    /// Valid until.
    pub to: Utc,
    /// Length of its RSA key in bits; 0 for another kind of key.
    pub key_bits: usize,
    /// The name of its file.
    pub(crate) file_name: String,
    pub(crate) der: Vec<u8>,
}

impl Certificate {
    /// Reads DER, as OPC UA carries it.
    ///
    /// # Errors
    /// When it is none; the text continues a sentence.
    pub fn from_der(der: &[u8]) -> Result<Certificate, String> {
        // A server may send its whole chain; the first one is its own.
        let first = first_of_chain(der);
        let library = X509::from_der(first).map_err(|_| "is not a certificate in DER form".to_owned())?;
        let parsed = x509_cert::Certificate::from_der(first).map_err(|e| format!("is not a certificate: {e}"))?;
        let names = parsed.tbs_certificate.get::<SubjectAltName>().ok().flatten().map(|(_, names)| names.0);
        let (mut application_uri, mut hosts) = (String::new(), Vec::new());
        for name in names.into_iter().flatten() {
            match name {
                GeneralName::UniformResourceIdentifier(uri) if application_uri.is_empty() => {
                    application_uri = uri.to_string();
                }
                GeneralName::DnsName(host) => hosts.push(host.to_string()),
                GeneralName::IpAddress(bytes) => hosts.extend(address(bytes.as_bytes())),
                _ => {}
            }
        }
        let time = |t: Result<_, _>| t.map_err(|_| "says nothing of its validity".to_owned());
        let (from, to) = (time(library.not_before())?, time(library.not_after())?);
        Ok(Certificate {
            thumbprint: library.thumbprint().as_hex_string().to_ascii_lowercase(),
            subject: parsed.tbs_certificate.subject.to_string(),
            issuer: parsed.tbs_certificate.issuer.to_string(),
            application_uri,
            hosts,
            from: Utc::from_millis(from.timestamp_millis()),
            to: Utc::from_millis(to.timestamp_millis()),
            key_bits: library.key_length().unwrap_or(0),
            file_name: CertificateStore::cert_file_name(&library),
            der: first.to_vec(),
        })
    }

    /// Reads PEM, as people mail it.
    ///
    /// # Errors
    /// When it is none; the text continues a sentence.
    pub fn from_pem(pem: &[u8]) -> Result<Certificate, String> {
        let library = X509::from_pem(pem).map_err(|_| "is not a certificate in PEM form".to_owned())?;
        let der = library.to_der().map_err(|_| "is not a certificate in PEM form".to_owned())?;
        Certificate::from_der(&der)
    }

    /// Days from `now` until it ends; negative once it has.
    #[must_use]
    pub fn days_left(&self, now: Utc) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of centuries are exact in a double")]
        let millis = (self.to.millis() - now.millis()) as f64;
        millis / 86_400_000.0
    }

    /// The day it ends.
    #[must_use]
    pub fn until(&self) -> String {
        day(self.to)
    }

    /// The day it begins.
    #[must_use]
    pub fn since(&self) -> String {
        day(self.from)
    }

    /// The application it names, in words.
    pub(crate) fn known_as(&self) -> String {
        if self.application_uri.is_empty() { "no application".to_owned() } else { self.application_uri.clone() }
    }

    /// The hosts it names, in words.
    pub(crate) fn hosts_text(&self) -> String {
        if self.hosts.is_empty() { "no host at all".to_owned() } else { self.hosts.join(", ") }
    }

    pub(crate) fn is_for_host(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.hosts.iter().any(|h| h.eq_ignore_ascii_case(host))
    }

    /// Whether the system's clock is within its validity.
    ///
    /// # Errors
    /// Why not; the text continues a sentence.
    pub(crate) fn valid_now(&self) -> Result<(), String> {
        let millis = std::time::UNIX_EPOCH.elapsed().map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let now = Utc::from_millis(millis);
        if now < self.from {
            return Err(format!("is valid from {} only; is this machine's clock right?", self.since()));
        }
        if now > self.to {
            return Err(format!("has expired on {}", self.until()));
        }
        Ok(())
    }
}

/// The first certificate of concatenated DER: a sequence whose length stands in its head.
pub(crate) fn first_of_chain(der: &[u8]) -> &[u8] {
    let mut reader = match x509_cert::der::SliceReader::new(der) {
        Ok(reader) => reader,
        Err(_) => return der,
    };
    let whole = x509_cert::der::Header::decode(&mut reader).ok().and_then(|header| {
        let head = usize::try_from(u32::from(header.encoded_len().ok()?)).ok()?;
        let body = usize::try_from(u32::from(header.length)).ok()?;
        head.checked_add(body)
    });
    whole.and_then(|n| der.get(..n)).unwrap_or(der)
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|sixteen| std::net::Ipv6Addr::from(sixteen).to_string())
}

/// A civil day, from days since 1970 by the proleptic Gregorian calendar.
fn day(time: Utc) -> String {
    let days = time.millis().div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{:02}", of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (millis, want) in [
            (0, "1970-01-01"),
            (951_782_400_000, "2000-02-29"),
            (1_709_251_199_000, "2024-02-29"),
            (1_798_761_600_000, "2027-01-01"),
            (4_107_542_400_000, "2100-03-01"),
        ] {
            assert_eq!(day(Utc::from_millis(millis)), want);
        }
    }

    #[test]
    fn what_is_no_certificate_says_so() {
        assert!(Certificate::from_der(b"").unwrap_err().contains("DER"));
        assert!(Certificate::from_der(&[0x30, 0x82, 0xFF, 0xFF, 1]).unwrap_err().contains("DER"));
        assert!(Certificate::from_pem(b"-----BEGIN X-----").unwrap_err().contains("PEM"));
    }
}
