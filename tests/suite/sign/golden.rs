//! Signatures that the real program has made, of commits and of a summary.

use std::fs;
use std::path::Path;

use osier::gvariant::Dict;
use osier::object::detached;
use osier::sign::{SecretKeyFile, SignatureType, VerificationKeys, sign, verify_detached};

use super::engine;
use crate::support::{expected, extract_repo, golden, golden_commit, scratch};

fn keys(signature_type: SignatureType, name: &str) -> VerificationKeys {
    let mut keys = VerificationKeys::new(engine(signature_type));
    let extension = if signature_type == SignatureType::Spki { ".pem" } else { "" };
    let file = format!("keys/{name}.{signature_type}.pub{extension}");
    keys.load_file(&golden(file)).unwrap();
    keys
}

fn secret(signature_type: SignatureType) -> SecretKeyFile {
    let extension = if signature_type == SignatureType::Spki { ".pem" } else { "" };
    let path = golden(format!("keys/test.{signature_type}.sec{extension}"));
    SecretKeyFile::of_text(&path, &fs::read(&path).unwrap())
}

fn signed(repo: &Path, name: &str) -> (Vec<u8>, Dict) {
    let commit = golden_commit(name);
    let object = repo.join("objects").join(&commit[..2]).join(&commit[2..]);
    let read = |extension: &str| fs::read(object.with_extension(extension)).unwrap();
    (read("commit"), Dict::decode(&read("commitmeta")).unwrap())
}

#[test]
fn golden_signatures_are_valid_with_their_key_only_and_made_again() {
    let directory = scratch();
    let Some(repo) = extract_repo("archive", directory.path()) else { return };
    let summary = fs::read(repo.join("summary")).unwrap();
    let summary_signatures = Dict::decode(&fs::read(repo.join("summary.sig")).unwrap()).unwrap();
    let (second, third) = (signed(&repo, "c2"), signed(&repo, "c3"));
    let table = [
        (SignatureType::Ed25519, &second.0, &second.1),
        (SignatureType::Ed25519, &third.0, &third.1),
        (SignatureType::Ed25519, &summary, &summary_signatures),
        (SignatureType::Spki, &second.0, &second.1),
    ];
    for (signature_type, data, metadata) in table {
        let verified = verify_detached(&keys(signature_type, "test"), data, metadata).unwrap();
        if signature_type == SignatureType::Ed25519 {
            let line = format!("{verified}\n");
            assert_eq!(line.as_bytes(), expected("sign-verify.txt"));
        }
        let error = verify_detached(&keys(signature_type, "other"), data, metadata).unwrap_err();
        let refused = format!("{signature_type}: Signature couldn't be verified with: key '");
        assert!(error.to_string().starts_with(&refused), "{error}");

        let secret = secret(signature_type).first_key(engine(signature_type)).unwrap();
        let key = signature_type.metadata_key();
        let stored: Vec<&[u8]> = detached::signatures(metadata, key).unwrap().collect();
        assert_eq!(stored, [sign(&secret, data).unwrap()]);
        // Taken out and put back, the dictionary is the same.
        let without = detached::remove(metadata, key, &[0].into());
        assert!(!without.contains_key(key));
        assert_eq!(detached::append(&without, key, stored[0]), *metadata);
    }
    let printed = expected("ed25519-sig.c3.txt");
    let bytes: Vec<u8> = String::from_utf8(printed)
        .unwrap()
        .split("0x")
        .skip(1)
        .map(|digits| u8::from_str_radix(&digits[..2], 16).unwrap())
        .collect();
    let stored: Vec<&[u8]> =
        detached::signatures(&third.1, "ostree.sign.ed25519").unwrap().collect();
    assert_eq!(stored, [bytes]);
}

#[test]
fn a_key_of_openssl_signs_as_the_same_key_of_ed25519_does() {
    let ed25519 = engine(SignatureType::Ed25519);
    let path = golden("keys/test.spki.sec.pem");
    let pem = SecretKeyFile::of_text(&path, &fs::read(&path).unwrap());
    let line = secret(SignatureType::Ed25519);
    let [one, other] = [pem, line].map(|file| file.first_key(ed25519).unwrap());
    assert_eq!(sign(&one, b"data").unwrap(), sign(&other, b"data").unwrap());
}
