//! What OpenSSL signs is valid, and it accepts what is signed here, for every kind of key.

use std::fs;
use std::path::Path;

use osier::sign::{SecretKey, SignatureType, VerificationKeys, sign, verify};

use super::{Pair, engine};
use crate::support::{Program, program, scratch};

const DATA: &[u8] = b"the bytes of a commit\0\xff";

/// Kinds of keys, as arguments of `openssl genpkey`, and whether OpenSSL signs them in one go,
/// without a digest.
const KINDS: [(&str, &[&str], bool); 11] = [
    ("rsa-1024", &["RSA", "-pkeyopt", "rsa_keygen_bits:1024"], false),
    ("rsa-2048", &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], false),
    (
        "rsa-3072-e3",
        &["RSA", "-pkeyopt", "rsa_keygen_bits:3072", "-pkeyopt", "rsa_keygen_pubexp:3"],
        false,
    ),
    (
        "rsa-3-primes",
        &["RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-pkeyopt", "rsa_keygen_primes:3"],
        false,
    ),
    ("p224", &["EC", "-pkeyopt", "ec_paramgen_curve:P-224"], false),
    ("p256", &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], false),
    ("p384", &["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], false),
    ("p521", &["EC", "-pkeyopt", "ec_paramgen_curve:P-521"], false),
    ("secp256k1", &["EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"], false),
    ("ed25519", &["ED25519"], true),
    ("ed448", &["ED448"], true),
];

/// New key pairs of all kinds, as OpenSSL writes them, with the files `NAME.sec` and `NAME.pub`.
pub fn pairs(openssl: &Program, directory: &Path) -> Vec<Pair> {
    let spki = engine(SignatureType::Spki);
    KINDS
        .iter()
        .map(|(name, arguments, _)| {
            let (secret, public) = new_pair(openssl, directory, name, arguments);
            Pair { name: (*name).to_owned(), engine: spki, secret, public }
        })
        .collect()
}

/// Makes `NAME.sec`, which is PKCS#8, and `NAME.pub`.
fn new_pair(
    openssl: &Program,
    directory: &Path,
    name: &str,
    arguments: &[&str],
) -> (Vec<u8>, Vec<u8>) {
    let (secret, public) = (format!("{name}.sec"), format!("{name}.pub"));
    openssl.run(["genpkey", "-out", "pem", "-algorithm"].iter().chain(arguments)).success();
    let to_pkcs8 = ["pkcs8", "-topk8", "-nocrypt", "-in", "pem", "-outform", "DER", "-out"];
    openssl.run(to_pkcs8.iter().chain(&[&*secret])).success();
    openssl.run(["pkey", "-in", "pem", "-pubout", "-outform", "DER", "-out", &public]).success();
    let read = |name| fs::read(directory.join(name)).unwrap();
    (read(secret), read(public))
}

#[test]
fn signatures_are_valid_here_and_there() {
    let Some(openssl) = program("openssl") else { return };
    let directory = scratch();
    let openssl = openssl.in_directory(directory.path());
    let in_it = |name: &str| directory.path().join(name);
    fs::write(in_it("data"), DATA).unwrap();
    for (pair, (name, _, raw)) in pairs(&openssl, directory.path()).iter().zip(KINDS) {
        let (secret, public) = (format!("{name}.sec"), format!("{name}.pub"));
        let key = SecretKey::from_bytes(pair.engine, &pair.secret).unwrap();
        assert_eq!(key.public_key().unwrap(), pair.public, "{name}: the public key");
        let signature = pair.sign(DATA);
        assert!(pair.verifies(&pair.public, DATA, &signature), "{name}: our own");
        fs::write(in_it("ours"), &signature).unwrap();
        let digest: &[&str] = if raw { &[] } else { &["-digest", "sha256"] };
        let common = ["pkeyutl", "-rawin", "-in", "data", "-keyform", "DER", "-inkey"];
        let there = [&*public, "-pubin", "-verify", "-sigfile", "ours"];
        let output = openssl.run(common.iter().chain(&there).chain(digest));
        assert_eq!(output.status, 0, "{name}: OpenSSL does not accept ours: {output:?}");
        let here = [&*secret, "-sign", "-out", "theirs"];
        openssl.run(common.iter().chain(&here).chain(digest)).success();
        let theirs = fs::read(in_it("theirs")).unwrap();
        assert!(pair.verifies(&pair.public, DATA, &theirs), "{name}: OpenSSL's");
        assert!(!pair.verifies(&pair.public, b"other", &theirs), "{name}");
        for malformed in [&b""[..], &theirs[..theirs.len() - 1], &theirs[1..], &[0; 64]] {
            assert!(!pair.verifies(&pair.public, DATA, malformed), "{name}: {malformed:?}");
        }
        assert!(!pair.verifies(&pair.public, DATA, &[&theirs[..], &[0]].concat()), "{name}");
    }
}

#[test]
fn keys_in_the_traditional_forms_and_compressed_points_are_taken() {
    let Some(openssl) = program("openssl") else { return };
    let directory = scratch();
    let openssl = openssl.in_directory(directory.path());
    for pair in pairs(&openssl, directory.path()) {
        let name = &pair.name;
        let is_curve = name.starts_with('p') || name.starts_with("secp");
        if !is_curve && !name.starts_with("rsa") {
            continue;
        }
        let (secret, public) = (format!("{name}.sec"), format!("{name}.pub"));
        let from = ["pkey", "-inform", "DER", "-in", &secret];
        openssl
            .run(from.iter().chain(&["-traditional", "-outform", "DER", "-out", "old"]))
            .success();
        let old = fs::read(directory.path().join("old")).unwrap();
        assert_ne!(old, pair.secret);
        let key = SecretKey::from_bytes(pair.engine, &old).unwrap();
        assert_eq!(key.public_key().unwrap(), pair.public, "{name}");
        let signature = sign(&key, DATA).unwrap();
        assert!(pair.verifies(&pair.public, DATA, &signature), "{name}");
        if is_curve {
            let from = ["pkey", "-pubin", "-inform", "DER", "-in", &public, "-pubout"];
            let to = ["-outform", "DER", "-ec_conv_form", "compressed", "-out", "short"];
            openssl.run(from.iter().chain(&to)).success();
            let short = fs::read(directory.path().join("short")).unwrap();
            assert!(short.len() < pair.public.len());
            assert!(pair.verifies(&short, DATA, &signature), "{name}");
        }
    }
}

#[test]
fn keys_that_are_unknown_or_too_large_are_refused() {
    let spki = engine(SignatureType::Spki);
    let message = |key: &[u8]| {
        let mut keys = VerificationKeys::new(spki);
        keys.add_bytes(key).unwrap();
        verify(&keys, DATA, [&b"signature"[..]]).unwrap_err().to_string()
    };
    let der = |tag: u8, parts: &[&[u8]]| {
        let body = parts.concat();
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, &body].concat()
    };
    let rsa = |modulus_bytes: usize| {
        let modulus = der(2, &[&[0], &vec![0xff; modulus_bytes]]);
        let key = der(0x30, &[&modulus, &[2, 3, 1, 0, 1]]);
        let algorithm = [&[0x30, 13, 6, 9][..], &[42, 134, 72, 134, 247, 13, 1, 1, 1], &[5, 0]];
        // The lengths below 128 must be short ones.
        der(0x30, &[&algorithm.concat(), &der(3, &[&[0], &key])])
    };
    let unusable = "openssl: Failed to initialize spki key";
    assert_eq!(message(&rsa(2049)), format!("{unusable}: RSA of more than 16384 bits"));
    assert!(message(&rsa(2048)).starts_with("spki: Signature couldn't be verified with: key '"));
    let Some(openssl) = program("openssl") else { return };
    let directory = scratch();
    let openssl = openssl.in_directory(directory.path());
    for (arguments, reason) in [
        (&["X25519"][..], ": unknown algorithm"),
        (&["EC", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"], ": unknown curve"),
        (
            &["EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"],
            ": unknown curve",
        ),
    ] {
        let (secret, public) = new_pair(&openssl, directory.path(), "other", arguments);
        assert_eq!(message(&public), format!("{unusable}{reason}"));
        let secret = SecretKey::from_bytes(spki, &secret).unwrap();
        assert_eq!(sign(&secret, DATA).unwrap_err().to_string(), format!("{unusable}{reason}"));
    }
}
