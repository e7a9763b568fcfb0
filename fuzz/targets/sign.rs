//! Signatures: keys in files, lists of revoked keys, signatures in dictionaries.

use std::path::Path;

use osier::gvariant::Dict;
use osier::object::detached;
use osier::sign::{Dummy, Engine, SecretKeyFile, SignatureType, VerificationKeys, sign, verify};

fn engine(byte: u8) -> Engine {
    let signature_type = SignatureType::ALL[usize::from(byte) % SignatureType::ALL.len()];
    Engine::new(signature_type, Dummy::Allowed).unwrap()
}

/// A letter for the engine, then the text of a key file, which is taken for public keys, revoked
/// keys and secret keys.
pub fn key_file(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let engine = engine(*first);
    let name = Path::new("file");
    let mut keys = VerificationKeys::new(engine);
    let loaded = keys.load_text(text, name);
    let trusted: Vec<Vec<u8>> = keys.iter().map(<[u8]>::to_vec).collect();
    assert!(loaded.is_err() || !trusted.is_empty());
    for (place, key) in trusted.iter().enumerate() {
        assert!(!trusted[..place].contains(key), "a key twice");
    }
    // What a text trusts it can revoke.
    keys.revoke_text(text);
    assert_eq!(keys.iter().count(), 0);
    let file = SecretKeyFile::of_text(name, text);
    if let Ok(first) = file.first_key(engine) {
        let _ = sign(&first, b"data");
    }
    for key in file.keys(engine).unwrap_or_default() {
        assert!(!format!("{key:?}").contains("bytes"));
    }
}

/// A public key in DER and, behind a length, a signature: nothing that the fuzzer finds is valid.
pub fn spki(data: &[u8]) {
    let Some((length, rest)) = data.split_first() else { return };
    let (signature, key) = rest.split_at(usize::from(*length).min(rest.len()));
    let mut keys = VerificationKeys::new(engine(1));
    keys.add_bytes(key).unwrap();
    let _ = verify(&keys, b"data", [signature]);
    if let Ok(secret) = osier::sign::SecretKey::from_bytes(engine(1), key) {
        let _ = sign(&secret, b"data");
    }
}

/// An `a{sv}`: signatures are added at the end, and taken away again.
pub fn signatures(data: &[u8]) {
    let Ok(metadata) = Dict::decode(data) else { return };
    let key = SignatureType::Ed25519.metadata_key();
    let count = |metadata: &Dict| detached::signatures(metadata, key).map(Iterator::count);
    let table = metadata.in_table_order();
    let before = count(&table).unwrap_or_default();
    let signed = detached::append(&metadata, key, data);
    assert_eq!(count(&signed), Some(before + 1));
    assert_eq!(detached::signatures(&signed, key).unwrap().last(), Some(data));
    assert_eq!(Dict::decode(&signed.encode()).as_ref(), Ok(&signed));
    let without = detached::remove(&signed, key, &[before].into());
    assert_eq!(count(&without).unwrap_or_default(), before);
    let none = detached::remove(&signed, key, &(0..=before).collect());
    assert!(!none.contains_key(key));
    assert_eq!(none.is_empty(), none.encode().is_empty());
}
