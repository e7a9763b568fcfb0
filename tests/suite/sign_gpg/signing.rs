//! Signing with exported keys and through gpg, and changes that must not pass.

use osier::process::Interrupt;
use osier::sign::openpgp::{Gpg, SecretKey};

use super::*;

const KINDS: [&str; 6] = ["ed25519", "rsa2048", "nistp256", "nistp384", "nistp521", "secp256k1"];

/// 5 March 2025, 04:05:06.
const SIGNED: i64 = 1_741_147_506;

fn secret(home: &Home, key: &str) -> Vec<u8> {
    home.at("20250601T000000", &["--export-secret-keys", key])
}

#[test]
fn an_exported_key_signs_as_gpg_does_with_it() {
    let Some(home) = Home::new() else { return };
    for kind in KINDS {
        let key = home.key(&format!("{kind} <{kind}@example.com>"), (kind, "sign"), "never");
        let theirs = home.sign(&key[24..], &[], b"data");
        let ours = SecretKey::read(&secret(&home, &key)).unwrap().sign(b"data", SIGNED).unwrap();
        // Elsewhere the numbers that gpg draws are others, though they depend on the same.
        if !matches!(kind, "nistp521" | "secp256k1") {
            assert_eq!(ours, theirs, "{kind}");
        }
        let mut ring = Keyring::default();
        ring.add(&home.export(&[&key]), Path::new("keys"));
        let reports = openpgp::verify(b"data", &[&ours, &theirs], &ring, now()).unwrap();
        assert!(reports.iter().all(|it| it.state == SigState::Valid), "{kind}: {reports:?}");
    }
}

#[test]
fn the_newest_subkey_that_may_sign_does_it() {
    let Some(home) = Home::new() else { return };
    let key = home.key("Subkeys <s@example.com>", ("ed25519", "sign,cert"), "never");
    home.subkey(&key, "never");
    home.at("20250103T000000", &["--quick-add-key", &key, "ed25519", "sign", "20250201T000000"]);
    home.at("20250104T000000", &["--quick-add-key", &key, "cv25519", "encr", "never"]);
    let armoured = home.at("20250601T000000", &["--armor", "--export-secret-keys", &key]);
    let read = SecretKey::read(&armoured).unwrap();
    assert_eq!(format!("{read:?}"), format!("SecretKey({key})"));
    assert_eq!(read.sign(b"data", SIGNED).unwrap(), home.sign(&key, &[], b"data"));
    let early = read.sign(b"data", 1_736_000_000).unwrap();
    assert_ne!(early, read.sign(b"data", SIGNED).unwrap());
}

#[test]
fn a_key_that_may_not_sign_any_more_does_not() {
    let Some(home) = Home::new() else { return };
    let unusable = "Failure signing commit file: GPGME: Unusable secret key";
    let refused = |key: &str| {
        let key = SecretKey::read(&secret(&home, key)).unwrap();
        key.sign(b"data", now()).unwrap_err().to_string()
    };
    let expired = home.key("Expired <e@example.com>", ("ed25519", "sign"), "20250901T000000");
    assert_eq!(refused(&expired), unusable);
    let revoked = home.key("Revoked <r@example.com>", ("ed25519", "sign"), "never");
    home.revoke(&revoked);
    assert_eq!(refused(&revoked), unusable);
    assert_eq!(SecretKey::read(b"").unwrap_err().to_string(), "no secret key found");
    let public = home.export(&[&expired]);
    assert_eq!(SecretKey::read(&public).unwrap_err().to_string(), "no secret key found");
}

#[test]
fn gpg_signs_and_says_why_not_in_the_words_of_the_real_program() {
    let Some(home) = Home::new() else { return };
    let environment: Vec<_> = std::env::vars_os().collect();
    let interrupt = Interrupt::default();
    let gpg = Gpg {
        program: "gpg",
        environment: &environment,
        homedir: Some(home.path()),
        interrupt: &interrupt,
    };
    let key = home.key("Here Both <here@example.com>", ("ed25519", "sign"), "never");
    home.key("Expired Both <e@example.com>", ("ed25519", "sign"), "20250901T000000");
    let mut ring = Keyring::default();
    ring.add(&home.export(&[]), Path::new("keys"));
    for id in ["here@example.com", &key, &key[24..], &key[32..]] {
        let signature = gpg.sign(id, b"data").unwrap();
        let reports = openpgp::verify(b"data", &[&signature], &ring, now()).unwrap();
        assert_eq!(reports[0].state, SigState::Valid, "{id}");
    }
    let place = home.path().display();
    for (id, expected) in [
        (
            "0123456789ABCDEF",
            format!("No gpg key found with ID 0123456789ABCDEF (homedir: {place})"),
        ),
        (
            "nobody@example.com",
            "Unable to lookup key ID nobody@example.com: GPGME: Invalid value".to_owned(),
        ),
        (
            "Both",
            format!("gpg key id Both ambiguous (homedir: {place}). Try the fingerprint instead"),
        ),
        ("e@example.com>", "Failure signing commit file: GPGME: Unusable secret key".to_owned()),
    ] {
        let id = if id == "e@example.com>" { "<e@example.com>" } else { id };
        assert_eq!(gpg.sign(id, b"data").unwrap_err().to_string(), expected);
    }
}

#[test]
fn no_changed_bit_passes() {
    change_bits(40);
}

#[test]
#[ignore = "takes minutes"]
fn no_changed_bit_passes_in_many_trials() {
    change_bits(10_000);
}

/// Changes single bits of the data, the signature and the key. Of a signature that which is not
/// signed itself is left alone: its header, the hints which key made it, and how long its numbers
/// are.
fn change_bits(trials: u64) {
    let Some(home) = Home::new() else { return };
    let data = b"some data that are signed";
    for kind in KINDS {
        let key = home.key(&format!("{kind} <{kind}@example.com>"), (kind, "sign"), "never");
        let signature = SecretKey::read(&secret(&home, &key)).unwrap().sign(data, SIGNED).unwrap();
        let public = home.export(&[&key]);
        let accepted = |data: &[u8], signature: &[u8], key: &[u8]| {
            let mut ring = Keyring::default();
            ring.add_binary(key, Path::new("keys"));
            let reports = openpgp::verify(data, &[signature], &ring, now());
            reports.is_ok_and(|reports| openpgp::is_accepted(&reports))
        };
        assert!(accepted(data, &signature, &public), "{kind}");
        let header = if signature[0] & 3 == 0 { 2 } else { 3 };
        let hashed = header..header + 6 + 29;
        let numbers = hashed.end + 12 + 2 + 2;
        let mut dice = Dice::new(7);
        for _ in 0..trials {
            let mut changed = (data.to_vec(), signature.clone(), public.clone());
            let mut flip = |bytes: &mut Vec<u8>, range: std::ops::Range<usize>| {
                let at = range.start + dice.below(range.len() as u64) as usize;
                bytes[at] ^= 1 << dice.below(8);
                at
            };
            let at = [
                flip(&mut changed.0, 0..data.len()),
                flip(&mut changed.1, hashed.clone()),
                flip(&mut changed.2, 3..3 + 12),
            ];
            assert!(!accepted(&changed.0, &signature, &public), "{kind}: data {}", at[0]);
            assert!(!accepted(data, &changed.1, &public), "{kind}: signed part {}", at[1]);
            assert!(!accepted(data, &signature, &changed.2), "{kind}: key {}", at[2]);
            let mut changed = signature.clone();
            // The first number, without the spare bits of its first byte.
            let length = usize::from(changed[numbers - 2]) << 8 | usize::from(changed[numbers - 1]);
            let at = flip(&mut changed, numbers + 1..numbers + length.div_ceil(8));
            assert!(!accepted(data, &changed, &public), "{kind}: number {at}");
        }
    }
}
