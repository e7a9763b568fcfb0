//! One bit of a signature, of the data or of the key is enough to make a signature invalid.

use osier::sign::{self, SignatureType};

use super::{Pair, engine, openssl};
use crate::support::{Dice, program, scratch};

/// The engines and kinds of keys: all of spki's where there is an OpenSSL to make them.
fn pairs() -> Vec<Pair> {
    let ed25519 = engine(SignatureType::Ed25519);
    let pair = sign::generate(ed25519).unwrap();
    let scratch = scratch();
    let (secret, public) = pair.write(&scratch.path().join("key")).unwrap();
    let decode = |path| {
        use base64::Engine as _;
        let line = std::fs::read_to_string(path).unwrap();
        base64::engine::general_purpose::STANDARD.decode(line.trim_end()).unwrap()
    };
    let mut pairs = vec![
        Pair {
            name: "ed25519 alone".to_owned(),
            engine: ed25519,
            secret: decode(secret),
            public: decode(public),
        },
        Pair {
            name: "dummy".to_owned(),
            engine: engine(SignatureType::Dummy),
            secret: b"the text".to_vec(),
            public: b"the text".to_vec(),
        },
    ];
    if let Some(openssl) = program("openssl") {
        pairs.extend(openssl::pairs(&openssl.in_directory(scratch.path()), scratch.path()));
    }
    pairs
}

/// The bytes with one bit the other way.
fn changed(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let bit = dice.below(bytes.len() as u64 * 8);
    let mut bytes = bytes.to_vec();
    bytes[usize::try_from(bit / 8).unwrap()] ^= 1 << (bit % 8);
    bytes
}

fn refused(trials: impl Fn(&str) -> u32) {
    for pair in pairs() {
        let mut dice = Dice::new(trials(&pair.name).into());
        let data: Vec<u8> = (0..200_u8).collect();
        let signature = pair.sign(&data);
        assert!(pair.verifies(&pair.public, &data, &signature), "{}", pair.name);
        for _ in 0..trials(&pair.name) {
            let is_dummy = pair.name == "dummy";
            let (what, valid) = match dice.below(3) {
                // Dummy signatures have nothing to do with the data.
                0 if !is_dummy => {
                    let data = changed(&data, &mut dice);
                    ("data", pair.verifies(&pair.public, &data, &signature))
                }
                1 => {
                    let public = changed(&pair.public, &mut dice);
                    ("key", pair.verifies(&public, &data, &signature))
                }
                _ => {
                    let signature = changed(&signature, &mut dice);
                    ("signature", pair.verifies(&pair.public, &data, &signature))
                }
            };
            assert!(!valid, "{}: another bit of the {what}", pair.name);
        }
    }
}

#[test]
fn any_other_bit_is_refused() {
    refused(|name| match name {
        "dummy" => 10_000,
        "ed25519 alone" => 1_000,
        _ => 16,
    });
}

/// The same at length: minutes, in a build without optimisation.
#[test]
#[ignore = "takes minutes"]
fn any_other_bit_is_refused_in_ten_thousand_trials_each() {
    refused(|_| 10_000);
}
