//! OpenPGP: what is said of signatures and keys, held against gpg and the real `ostree`, and
//! signing with exported keys, held against gpg.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use osier::gvariant::{Dict, Value};
use osier::sign::openpgp::{self, Keyring, SigState};

use crate::support::{Dice, Program, extract_repo, golden, ostree, scratch};

pub mod homes;
mod keys;
mod signing;
mod speed;
mod states;

use homes::Home;

/// Now, in seconds since 1970.
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// The path of a loose object in a repository.
fn object(repo: &Path, commit: &str, kind: &str) -> PathBuf {
    repo.join(format!("objects/{}/{}.{kind}", &commit[..2], &commit[2..]))
}

/// The signatures that are stored in detached metadata.
fn stored(path: &Path) -> Vec<Vec<u8>> {
    let dict = Dict::decode(&fs::read(path).unwrap()).unwrap();
    let value = dict.get("ostree.gpgsigs").unwrap().view();
    value.children().map(|it| it.as_bytes().unwrap().to_vec()).collect()
}

/// Detached metadata with these signatures.
fn detached(signatures: &[Vec<u8>]) -> Vec<u8> {
    let elements = signatures.iter().map(|it| Value::bytes_value(it)).collect();
    let mut dict = Dict::new();
    dict.push("ostree.gpgsigs", Value::array("ay", elements));
    dict.encode()
}

fn slices(signatures: &[Vec<u8>]) -> Vec<&[u8]> {
    signatures.iter().map(Vec::as_slice).collect()
}

#[test]
fn golden_signatures_are_valid_and_no_others() {
    let scratch = scratch();
    let repo = extract_repo("gpg", scratch.path()).unwrap();
    let mut keyring = Keyring::default();
    let key = fs::read(golden("keys/test.gpg.pub.asc")).unwrap();
    assert_eq!(keyring.add_binary(&key, Path::new("armoured")), 0);
    assert_eq!(keyring.add(&key, Path::new("test.gpg")), 1);
    let commits: Vec<PathBuf> = fs::read_dir(repo.join("objects"))
        .unwrap()
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "commitmeta"))
        .collect();
    assert!(!commits.is_empty());
    let pairs = commits.iter().map(|meta| (meta.with_extension("commit"), meta.clone()));
    let summary = (repo.join("summary"), repo.join("summary.sig"));
    let mut checked = 0;
    for (data, signatures) in pairs.chain([summary]) {
        let data = fs::read(data).unwrap();
        let signatures = stored(&signatures);
        let reports = openpgp::verify(&data, &slices(&signatures), &keyring, now()).unwrap();
        assert!(openpgp::is_accepted(&reports));
        for report in &reports {
            assert_eq!(report.state, SigState::Valid);
            assert_eq!(report.keyring.as_deref(), Some(Path::new("test.gpg")));
            let text = report.describe("  ", &TimeZone::UTC);
            let expected = "using EdDSA key ID 26D37BCEC0D2F2D0\n  Good signature from \"Golden Test <golden@example.com>\"\n";
            assert!(text.ends_with(expected), "{text}");
        }
        let reports =
            openpgp::verify(&[&data[..], b"x"].concat(), &slices(&signatures), &keyring, now());
        assert!(reports.unwrap().iter().all(|report| report.state == SigState::Bad));
        let none = Keyring::default();
        let reports = openpgp::verify(&data, &slices(&signatures), &none, now()).unwrap();
        assert!(reports.iter().all(|report| report.state == SigState::Missing));
        checked += 1;
    }
    assert!(checked > 1, "{checked}");
}

#[test]
fn what_is_no_signature_is_refused() {
    let keyring = Keyring::default();
    let refused = |elements: &[&[u8]]| {
        openpgp::verify(b"data", elements, &keyring, 0).unwrap_err().to_string()
    };
    let no_data = "GPG: Unable to complete signature verification: GPGME: No data";
    assert_eq!(refused(&[]), no_data);
    for element in [&b""[..], b"garbage", b"\x88\x01", b"\xb0\x01T", b"\x98\x01K"] {
        assert_eq!(refused(&[element]), no_data, "{element:?}");
    }
    let many = b"\x88\x02\x05\x00".repeat(1_001);
    assert_eq!(refused(&[&many]), "GPG: more than 1000 signatures");
    let few = b"\x88\x02\x05\x00".repeat(1_000);
    let reports = openpgp::verify(b"data", &[&few], &keyring, 0).unwrap();
    assert_eq!(reports.len(), 1_000);
    assert!(reports.iter().all(|report| report.state == SigState::Missing));
}
