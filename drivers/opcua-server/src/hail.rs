//! The certificate in a message that opens a channel, and the answer to one that is not let in.
//!
//! After the head of the message come the number of the channel (4 bytes), the uri of the security policy, the certificate
//! of the sender and the thumbprint of the receiver's, each with its length in 4 bytes, -1 for none (Part 6, 6.7.2.3).

use opcua::types::StatusCode;

/// What a message that opens a channel says of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hail<'a> {
    /// Shows no certificate: a channel without security.
    Open,
    /// Shows this one.
    Signed(&'a [u8]),
    /// Is no such message.
    Broken,
}

/// The certificate of a message that opens a channel; `body` begins after its head of eight bytes.
pub(crate) fn certificate_of(body: &[u8]) -> Hail<'_> {
    let shown = body.get(4..).and_then(text).and_then(|(_policy, rest)| text(rest));
    match shown {
        Some(([], _)) => Hail::Open,
        Some((certificate, _)) => Hail::Signed(certificate),
        None => Hail::Broken,
    }
}

/// A field with its length, and what follows; one that is absent is empty.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    match i32::from_le_bytes(*length) {
        -1 => Some((&[], rest)),
        length => rest.split_at_checked(usize::try_from(length).ok()?),
    }
}

/// What a client is told that is not let in (Part 6, 7.1.2.5): the reason stands in our log, and is no stranger's business.
pub(crate) fn refusal() -> Vec<u8> {
    let reason: &[u8] = b"not trusted here; the server's log says more";
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = b"ERRF".to_vec();
    out.extend(length(16 + reason.len()));
    out.extend(StatusCode::BadSecurityChecksFailed.bits().to_le_bytes());
    out.extend(length(reason.len()));
    out.extend(reason);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_as_long_as_it_says() {
        let bytes = refusal();
        assert_eq!(bytes.len(), u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize);
        assert_eq!(bytes[8..12], 0x8013_0000_u32.to_le_bytes());
    }

    #[test]
    fn lengths_that_lie_are_broken() {
        let field = |length: i32, bytes: &[u8]| [&length.to_le_bytes()[..], bytes].concat();
        let message = |parts: &[Vec<u8>]| [vec![0; 4], parts.concat()].concat();
        let none = field(-1, b"");
        assert_eq!(certificate_of(&message(&[field(1, b"p"), none.clone(), none.clone()])), Hail::Open);
        assert_eq!(certificate_of(&message(&[none.clone(), field(3, b"der")])), Hail::Signed(b"der"));
        for parts in
            [vec![], vec![field(9, b"short")], vec![none.clone(), field(-2, b"")], vec![none, field(i32::MAX, b"x")]]
        {
            assert_eq!(certificate_of(&message(&parts)), Hail::Broken);
        }
        assert_eq!(certificate_of(b"abc"), Hail::Broken);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_a_certificate_within_them_or_none(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            if let Hail::Signed(certificate) = certificate_of(&bytes) {
                assert!(certificate.len() + 12 <= bytes.len());
            }
        }
    }
}
