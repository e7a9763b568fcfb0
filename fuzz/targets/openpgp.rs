//! OpenPGP: keys, signatures and armour.

use std::path::Path;

use jiff::tz::TimeZone;
use osier::sign::openpgp::{self, Keyring, SecretKey, SigState, UnknownKeys};

/// 1 January 2025.
const NOW: i64 = 1_735_689_600;

/// A keyring, which is listed, imported and asked for a signature; the same bytes as signatures.
/// What is imported holds the keys that were read, and can be imported again without a change.
pub fn openpgp(data: &[u8]) {
    let mut keyring = Keyring::default();
    keyring.add(data, Path::new("fuzzed"));
    let listed = openpgp::list(&keyring, NOW, &TimeZone::UTC);
    assert_eq!(listed.is_empty(), keyring.is_empty());
    for certificate in keyring.certificates() {
        let found = keyring.resolve(&certificate.fingerprint().to_string());
        assert!(found.iter().any(|it| it.fingerprint() == certificate.fingerprint()));
    }
    if let Ok(imported) = openpgp::import(b"", data, &[]) {
        let again = openpgp::import(&imported.keyring, data, &[]).expect("it was imported");
        assert_eq!(again.new_keys, 0);
        assert_eq!(again.keyring, imported.keyring);
    }
    if let Ok(key) = SecretKey::read(data)
        && let Ok(signature) = key.sign(b"data", NOW)
    {
        let reports = openpgp::verify(b"data", &[&signature], &keyring, NOW);
        assert!(reports.is_ok_and(|reports| reports.len() == 1));
    }
    let unknown = UnknownKeys::Accepted;
    if let Ok((binary, are_known)) = openpgp::attachable(b"data", data, &keyring, unknown, NOW) {
        assert!(!are_known);
        assert!(openpgp::verify(b"data", &[&binary], &keyring, NOW).is_ok());
    }
    if let Ok(reports) = openpgp::verify(b"data", &[data], &keyring, NOW) {
        assert!(reports.iter().all(|report| report.state != SigState::Valid));
        for report in openpgp::counted(&reports) {
            assert!(report.describe("  ", &TimeZone::UTC).starts_with("  Signature made "));
        }
    }
}
