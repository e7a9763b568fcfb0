//! Every state of a signature, described as the real `ostree` does.

use super::*;

/// A repository with one commit, and the keys that sign it.
struct Scene {
    home: Home,
    ostree: Program,
    repo: PathBuf,
    commit: String,
    data: Vec<u8>,
}

impl Scene {
    fn new() -> Option<Self> {
        let (home, ostree) = (Home::new()?, ostree()?);
        let repo = home.file("repo");
        std::fs::create_dir(home.file("tree")).unwrap();
        let tree = home.file("tree");
        ostree.repo(&repo, ["init", "--mode=archive"]).success();
        let arguments = ["commit", "-b", "main", "--timestamp=@0", tree.to_str().unwrap()];
        let commit = ostree.repo(&repo, arguments).line();
        let data = fs::read(object(&repo, &commit, "commit")).unwrap();
        Some(Self { home, ostree, repo, commit, data })
    }

    fn sign(&self, key: &str, more: &[&str]) -> Vec<u8> {
        self.home.sign(key, more, &self.data)
    }

    /// The states of signatures with keys in a keyring.
    fn states(&self, keys: &[u8], signatures: &[Vec<u8>]) -> Vec<SigState> {
        let mut keyring = Keyring::default();
        keyring.add_binary(keys, Path::new("keys"));
        let reports = openpgp::verify(&self.data, &slices(signatures), &keyring, now()).unwrap();
        reports.iter().map(|report| report.state).collect()
    }

    /// Compares what both say of signatures with keys in a keyring, in two time zones.
    #[track_caller]
    fn compare(&self, name: &str, keys: &[u8], signatures: &[Vec<u8>]) {
        let file = self.repo.join("keys.gpg");
        fs::write(&file, keys).unwrap();
        fs::write(object(&self.repo, &self.commit, "commitmeta"), detached(signatures)).unwrap();
        let mut keyring = Keyring::default();
        keyring.add_directory(&self.repo, openpgp::Absent::Refused).unwrap();
        let reports = openpgp::verify(&self.data, &slices(signatures), &keyring, now()).unwrap();
        for zone in ["UTC", "America/New_York"] {
            let ostree = self.ostree.clone().with("TZ", zone);
            let said = ostree.repo(&self.repo, ["show", "main"]).success();
            let counted = openpgp::counted(&reports);
            let plural = if counted.len() == 1 { "" } else { "s" };
            let mut text = format!("Found {} signature{plural}:\n", counted.len());
            for report in counted {
                text += &format!("\n{}", report.describe("  ", &TimeZone::get(zone).unwrap()));
            }
            let expected = said.split_once("\nFound ").map(|(_, rest)| format!("Found {rest}"));
            assert_eq!(text, expected.unwrap_or(said), "{name} in {zone}");
        }
    }
}

#[test]
fn signatures_in_every_state_are_described_as_by_the_real_program() {
    let Some(scene) = Scene::new() else { return };
    let home = &scene.home;
    let never = "never";
    let (past, future) = ("20250901T000000", "20991231T000000");
    let sign = ("ed25519", "sign");
    let plain = home.key("Plain (comment) <plain@example.com>", sign, never);
    let lasting = home.key("lasting@example.com", sign, future);
    let expired = home.key("Expired", sign, past);
    let revoked = home.key("Revoked <revoked@example.com>", sign, never);
    let gone = home.key("Gone <gone@example.com>", sign, past);
    let weak = home.key("Weak <weak@example.com>", ("rsa2048", "sign"), never);

    let certify = ("ed25519", "cert");
    let sub = |user: &str, of_primary: &str, of_subkey: &str| {
        let key = home.key(user, certify, of_primary);
        home.subkey(&key, of_subkey);
        key
    };
    let below = sub("Below <below@example.com>", never, never);
    let below_lasting = sub("Below Lasting <bl@example.com>", future, future);
    let below_expired = sub("Below Expired <be@example.com>", never, past);
    let above_expired = sub("Above Expired <ae@example.com>", past, future);
    let above_revoked = sub("Above Revoked <ar@example.com>", never, never);
    let below_revoked = sub("Below Revoked <br@example.com>", never, never);
    let below_both = sub("Below Both <bb@example.com>", never, past);

    let two = home.key("First <first@example.com>", sign, never);
    home.at("20250201T000000", &["--quick-add-uid", &two, "Newest <newest@example.com>"]);
    home.at("20250202T000000", &["--quick-set-primary-uid", &two, "First <first@example.com>"]);
    let other = home.key("Older <Older@Example.com>", sign, future);
    home.at("20250201T000000", &["--quick-add-uid", &other, "Newer <newer@example.com>"]);

    let brief = ["--default-sig-expire", "2d"];
    let long = ["--default-sig-expire", "20y"];
    let md5 = ["--digest-algo", "MD5", "--allow-weak-digest-algos"];
    let of_all = |keys: &[&String], more: &[&str]| -> Vec<Vec<u8>> {
        keys.iter().map(|key| scene.sign(key, more)).collect()
    };
    let going = [
        &plain,
        &lasting,
        &expired,
        &revoked,
        &gone,
        &below,
        &below_lasting,
        &below_expired,
        &above_expired,
        &above_revoked,
        &below_revoked,
        &below_both,
        &two,
        &other,
    ];
    let signatures = of_all(&going, &[]);
    let long_signatures = of_all(&going, &long);
    let brief_signatures = of_all(&going, &brief);
    let bad_signatures: Vec<_> =
        going.iter().map(|key| home.sign(key, &[], b"other data")).collect();
    for key in [&revoked, &gone, &above_revoked] {
        home.revoke(key);
    }
    home.revoke_subkey(&below_revoked);
    home.revoke_subkey(&below_both);
    let keys = home.export(&[]);
    let revoked = scene.states(&keys, &signatures);
    let at = |key| going.iter().position(|it| *it == key).unwrap();
    assert_eq!(revoked[at(&below_revoked)], SigState::Revoked);
    assert_eq!(revoked[at(&below_both)], SigState::KeyExpired);

    scene.compare("all", &keys, &signatures);
    scene.compare("with expiry", &keys, &long_signatures);
    scene.compare(
        "weak",
        &keys,
        &[scene.sign(&weak, &md5), scene.sign(&weak, &["--digest-algo", "SHA1"])],
    );
    for number in 0..going.len() {
        let bad = bad_signatures[number].clone();
        scene.compare(
            &format!("bad {number}"),
            &keys,
            &[signatures[0].clone(), bad, signatures[0].clone()],
        );
        let brief = brief_signatures[number].clone();
        scene.compare(&format!("brief {number}"), &keys, &[brief, signatures[0].clone()]);
    }
    let without = home.export(&[&plain]);
    scene.compare("missing", &without, &long_signatures);
    let early = ["--faked-system-time", "20240101T000000!", "--ignore-time-conflict"];
    let early = scene.sign(&plain, &[&early[..], &["--ignore-valid-from"]].concat());
    scene.compare("older than its key", &keys, &[early, signatures[0].clone()]);
    scene.compare("joined", &keys, &[signatures.concat()]);
}
