use super::*;
use penstock_model::Utc;

fn a_certificate(name: &str, host: &str, days: u32) -> Certificate {
    let key = PrivateKey::new(KEY_BITS).unwrap();
    let data = X509Data {
        key_size: KEY_BITS,
        common_name: name.to_owned(),
        organization: String::new(),
        organizational_unit: String::new(),
        country: String::new(),
        state: String::new(),
        alt_host_names: X509Data::alt_host_names("urn:maker:plc", Some(vec![host.to_owned()]), false, false, false),
        certificate_duration_days: days,
    };
    Certificate::from_der(&X509::from_pkey(&key, &data).unwrap().to_der().unwrap()).unwrap()
}

#[test]
fn an_unknown_certificate_is_kept_until_somebody_decides() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::at(dir.path().join("pki"));
    let server = a_certificate("Line 3", "10.0.0.8", 30);
    assert_eq!(
        (server.hosts.as_slice(), server.application_uri.as_str()),
        (&["10.0.0.8".to_owned()][..], "urn:maker:plc")
    );
    let judge = |host: &str, uri: &str| pki.judge(&server.der, host, uri, &[]);
    for _ in 0..2 {
        let why = judge("10.0.0.8", "urn:maker:plc").unwrap_err();
        for part in ["not trusted", "CN=Line 3", "urn:maker:plc", "penstock pki trust", &server.thumbprint] {
            assert!(why.contains(part), "{part}: {why}");
        }
    }
    let list = pki.list().unwrap();
    assert_eq!(list.iter().map(|e| e.place).collect::<Vec<_>>(), [Place::Rejected]);

    // By the beginning of its thumbprint, as people copy it.
    let short = format!("{}:{}", &server.thumbprint[..4].to_uppercase(), &server.thumbprint[4..8]);
    assert_eq!(pki.trust(&short).unwrap(), server);
    assert_eq!(judge("10.0.0.8", "urn:maker:plc").unwrap(), server);
    assert!(judge("10.0.0.9", "urn:maker:plc").unwrap_err().contains("is for 10.0.0.8"));
    assert!(pki.judge(&server.der, "10.0.0.9", "urn:maker:plc", &[Exception::HostName]).is_ok());
    assert!(judge("10.0.0.8", "urn:another").unwrap_err().contains("not its own"));

    assert_eq!(pki.reject(&server.thumbprint).unwrap(), server);
    assert!(judge("10.0.0.8", "urn:maker:plc").unwrap_err().contains("not trusted"));
    assert_eq!(pki.list().unwrap().len(), 1);
    assert!(pki.trust("abc").unwrap_err().to_string().contains("too short"));
    assert_eq!(pki.trust("typo.pem").unwrap_err().to_string(), "there is no file `typo.pem`");
    assert!(pki.trust("00000000").unwrap_err().to_string().contains("no certificate"));
}

#[test]
fn a_file_put_into_trusted_by_hand_counts_whatever_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::at(dir.path());
    let server = a_certificate("Line 4", "plc", 30);
    fs::create_dir(dir.path().join("trusted")).unwrap();
    fs::write(dir.path().join("trusted/from-the-maker.crt"), &server.der).unwrap();
    assert!(pki.judge(&server.der, "PLC", "urn:maker:plc", &[]).is_ok());
    // In both places, the refusal wins; deciding again clears it.
    pki.store(&server, Place::Rejected).unwrap();
    assert!(pki.judge(&server.der, "plc", "urn:maker:plc", &[]).is_err());
    pki.trust(&server.thumbprint).unwrap();
    assert!(pki.judge(&server.der, "plc", "urn:maker:plc", &[]).is_ok());
}

#[test]
fn an_expired_certificate_passes_by_exception_only() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::at(dir.path());
    let server = a_certificate("Old", "plc", 0);
    pki.store(&server, Place::Trusted).unwrap();
    // Valid for no time at all, but times in it are whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let why = pki.judge(&server.der, "plc", "urn:maker:plc", &[]).unwrap_err();
    assert!(why.contains("has expired on") && why.contains("accept_certificate"), "{why}");
    assert!(pki.judge(&server.der, "plc", "urn:maker:plc", &[Exception::Expired]).is_ok());
    assert!(server.days_left(Utc(server.to.0 + 1_000_000_000)) < 0.0);
}

#[test]
fn our_certificate_is_made_once_renewed_on_request_and_its_key_is_ours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::at(dir.path().join("deep/pki"));
    assert!(pki.own().unwrap().is_none());
    let first = pki.make(Make::Missing, Some(10)).unwrap();
    assert_eq!(first.application_uri, APPLICATION_URI);
    assert!((9.0..=10.0).contains(&first.days_left(first.from)), "{}", first.days_left(first.from));
    assert_eq!(pki.make(Make::Missing, None).unwrap(), first);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = || fs::metadata(pki.key_path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(pki.key_path(), fs::Permissions::from_mode(0o644)).unwrap();
        pki.make(Make::Missing, None).unwrap();
        assert_eq!(mode(), 0o600);
    }
    let key = fs::read(pki.key_path()).unwrap();
    let renewed = pki.make(Make::Renew, None).unwrap();
    assert_ne!(renewed.thumbprint, first.thumbprint);
    assert_eq!(fs::read(pki.key_path()).unwrap(), key);
    assert!(pki.trust(&renewed.thumbprint).unwrap_err().to_string().contains("our own"));
    fs::remove_file(pki.key_path()).unwrap();
    assert!(pki.make(Make::Missing, None).unwrap_err().to_string().contains("lost its key"));
}

#[test]
fn rejected_certificates_do_not_pile_up() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::at(dir.path());
    let rejected = dir.path().join("rejected");
    fs::create_dir(&rejected).unwrap();
    for n in 0..REJECTED_MAX + 5 {
        fs::write(rejected.join(format!("{n}.der")), b"no certificate").unwrap();
    }
    let server = a_certificate("New", "plc", 30);
    assert!(pki.judge(&server.der, "plc", "urn:maker:plc", &[]).is_err());
    assert_eq!(fs::read_dir(&rejected).unwrap().count(), REJECTED_MAX);
    assert!(rejected.join(&server.file_name).exists(), "the newest stays");
}

#[test]
fn a_trusted_authority_makes_its_servers_trusted_until_it_revokes_them_or_a_person_says_no() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
    let name = |name: &str| {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let mut ca = name("Works authority");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let mut leaf = name("Line 5");
    leaf.subject_alt_names =
        vec![SanType::URI("urn:maker:plc".try_into().unwrap()), SanType::DnsName("plc".try_into().unwrap())];
    let der = leaf.signed_by(&KeyPair::generate().unwrap(), &ca).unwrap().der().to_vec();

    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::at(dir.path().join("pki"));
    let judge = |exceptions: &[Exception]| pki.judge(&der, "plc", "urn:maker:plc", exceptions);
    let why = judge(&[]).unwrap_err();
    assert!(why.contains("CN=Works authority, which is not known"), "{why}");
    let file = dir.path().join("ca.pem");
    fs::write(&file, ca.pem()).unwrap();
    pki.trust(file.to_str().unwrap()).unwrap();
    assert!(judge(&[]).unwrap_err().contains("no list of CN=Works authority"));
    let server = judge(&[Exception::NoCrl]).unwrap();
    let accepted = dir.path().join("pki/accepted/trusted").join(&server.file_name);
    assert!(accepted.exists(), "the library finds it");
    // What was kept because nobody had decided is no decision; what a person rejected is one.
    assert!(pki.list().unwrap().iter().any(|e| e.place == Place::Rejected));
    pki.reject(&server.thumbprint).unwrap();
    assert!(judge(&[Exception::NoCrl]).unwrap_err().contains("rejected by a person"));
    assert!(!accepted.exists());
}

/// An authority for three years.
fn an_authority(name: &str) -> rcgen::CertifiedIssuer<'static, rcgen::KeyPair> {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2060, 1, 1);
    rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
}

fn signed_by(ca: &rcgen::CertifiedIssuer<'static, rcgen::KeyPair>, serial: u64, until: i32) -> Vec<u8> {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, "HMI 7");
    params.serial_number = Some(rcgen::SerialNumber::from(serial));
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    params.signed_by(&rcgen::KeyPair::generate().unwrap(), ca).unwrap().der().to_vec()
}

fn revoking(ca: &rcgen::CertifiedIssuer<'static, rcgen::KeyPair>, serials: &[u64]) -> Vec<u8> {
    let revoked = |serial: &u64| rcgen::RevokedCertParams {
        serial_number: rcgen::SerialNumber::from(*serial),
        revocation_time: rcgen::date_time_ymd(2026, 2, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let params = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 2),
        next_update: rcgen::date_time_ymd(2060, 1, 1),
        crl_number: rcgen::SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    params.signed_by(ca).unwrap().der().to_vec()
}

#[test]
fn a_client_is_let_in_for_its_own_sake_or_its_authoritys_and_revoked_again() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::at(dir.path());
    pki.prepare_clients().unwrap();
    for folder in ["trusted", "crl"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    let accepted = || fs::read_dir(dir.path().join("accepted-clients/trusted")).unwrap().count();
    let ca = an_authority("Works CA");
    let client = signed_by(&ca, 7, 2060);
    let why = |der: &[u8]| pki.judge_client(der).unwrap_err();
    assert!(why(&client).contains("the client's certificate is not trusted"), "{}", why(&client));
    assert!(why(b"nonsense").contains("the client's certificate is not a certificate"));
    assert_eq!((accepted(), pki.list().unwrap().len()), (0, 1), "kept for a person to decide about");

    fs::write(dir.path().join("trusted/ca.der"), ca.der()).unwrap();
    assert!(why(&client).contains("list"), "an authority needs its list: {}", why(&client));
    fs::write(dir.path().join("crl/ca.crl"), revoking(&ca, &[8])).unwrap();
    assert!(pki.judge_client(&client).is_ok());
    assert_eq!(accepted(), 1);
    // Another of the same authority, expired; and its neighbour, revoked.
    assert!(why(&signed_by(&ca, 9, 2026)).contains("expired"));
    assert!(why(&signed_by(&ca, 8, 2060)).contains("revoked"));
    let chain = [client.clone(), ca.der().to_vec()].concat();
    assert!(why(&chain).contains("have it send its own alone"), "{}", why(&chain));
    assert!(pki.judge_client(&client).is_ok());
    fs::write(dir.path().join("crl/ca.crl"), revoking(&ca, &[7, 8])).unwrap();
    assert!(why(&client).contains("revoked"), "{}", why(&client));
    assert_eq!(accepted(), 0, "the library does not find it any more");

    // For its own sake, whatever its authority says.
    let own = a_certificate("HMI 8", "hmi", 30);
    assert!(why(&own.der).contains("signed by nobody but itself"));
    pki.trust(&own.thumbprint).unwrap();
    assert!(pki.judge_client(&own.der).is_ok());
    pki.reject(&own.thumbprint).unwrap();
    assert!(why(&own.der).contains("rejected by a person"));
    pki.trust(&own.thumbprint).unwrap();
    assert!(pki.judge_client(&own.der).is_ok());
    pki.prepare_clients().unwrap();
    assert_eq!(accepted(), 0, "whoever comes is judged anew");
}

#[test]
fn a_certificate_is_one_persons() {
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::at(dir.path());
    let (one, two) = (a_certificate("Zhang", "-", 30), a_certificate("Li", "-", 30));
    let file = |name: &str, der: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, der).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (first, second) = (file("one.der", &one.der), file("two.der", &two.der));
    assert_eq!(pki.set_user("zhang", &first).unwrap(), one);
    assert!(pki.set_user("li", &first).unwrap_err().to_string().contains("`zhang`'s"));
    assert_eq!(pki.set_user("li", &second).unwrap(), two);
    for name in ["", "../li", ".li", "l/i"] {
        assert!(pki.set_user(name, &second).unwrap_err().to_string().contains("not the name of a user"), "{name}");
    }
    // Put there by hand: counts until another takes its place.
    fs::remove_file(dir.path().join("users/li.der")).unwrap();
    file("users/li.crt", &two.der);
    let names =
        || pki.users().unwrap().into_iter().map(|user| (user.name, user.certificate.is_ok())).collect::<Vec<_>>();
    assert_eq!(names(), [("li".to_owned(), true), ("zhang".to_owned(), true)]);
    file("users/wang.pem", b"-----BEGIN nonsense");
    assert_eq!(names()[1], ("wang".to_owned(), false));
    pki.set_user("li", &second).unwrap();
    assert_eq!(names().len(), 3);
    assert!(pki.remove_user("li").unwrap() && !pki.remove_user("li").unwrap());
    assert_eq!(names().len(), 2);
}
