//! How long verification takes.

use std::time::{Duration, Instant};

use osier::sign::openpgp::SecretKey;

use super::*;

const COMMITS: usize = 1_000;
/// So many of them differ: to sign takes longer than to verify.
const DIFFERENT: usize = 20;
/// What a thousand commits of one pull may take.
const LONGEST: Duration = Duration::from_millis(500);

/// A thousand commits of one pull, with a keyring of ten keys that is read once. By itself:
///
/// ```text
/// cargo test --release --test suite sign_gpg::speed -- --ignored --nocapture
/// ```
#[test]
#[ignore = "measures, in a release build with nothing beside it"]
fn a_thousand_commits_are_verified_in_half_a_second() {
    let Some(home) = Home::new() else { return };
    // The arithmetic of the others takes longer, which is only shown.
    let held = ["ed25519", "rsa2048"];
    let kinds = ["ed25519", "rsa2048", "rsa4096", "nistp256", "nistp384"];
    let keys: Vec<(&str, String)> = kinds
        .iter()
        .flat_map(|kind| {
            let key = |name| home.key(&format!("{name} {kind}"), (kind, "sign"), "never");
            [(*kind, key("One")), (*kind, key("Two"))]
        })
        .collect();
    let exported = home.export(&[]);
    let commits: Vec<Vec<u8>> = (0..DIFFERENT).map(|number| vec![number as u8; 300]).collect();
    for (kind, key) in keys.iter().step_by(2) {
        let secret = home.at("20250601T000000", &["--export-secret-keys", key]);
        let secret = SecretKey::read(&secret).unwrap();
        let signatures: Vec<Vec<u8>> =
            commits.iter().map(|commit| secret.sign(commit, now()).unwrap()).collect();
        let started = Instant::now();
        let mut keyring = Keyring::default();
        assert_eq!(keyring.add_binary(&exported, Path::new("keys")), 10);
        for (commit, signature) in commits.iter().zip(&signatures).cycle().take(COMMITS) {
            let reports = openpgp::verify(commit, &[signature], &keyring, now()).unwrap();
            assert!(openpgp::is_accepted(&reports));
        }
        let taken = started.elapsed();
        eprintln!("{COMMITS} commits signed with {kind}: {taken:.0?}");
        assert!(taken < LONGEST || !held.contains(kind), "{kind}: {taken:.0?}");
    }
}
