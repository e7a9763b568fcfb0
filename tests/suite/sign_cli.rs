//! `sign` and `gpg-sign`: what they store and say, and that the real program accepts it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::support::gnupg::Home;
use super::support::{Output, Program, osier, ostree, scratch};

mod elsewhere;

/// A repository with a commit, in a directory of its own.
struct Place {
    directory: tempfile::TempDir,
    repo: PathBuf,
    commit: String,
}

impl Place {
    fn new() -> Self {
        let directory = scratch();
        let repo = directory.path().join("repo");
        fs::create_dir(directory.path().join("tree")).unwrap();
        fs::write(directory.path().join("tree/file"), "content\n").unwrap();
        osier().repo(&repo, ["init", "--mode=archive"]).success();
        let commit = osier()
            .in_directory(directory.path())
            .repo(&repo, ["commit", "-b", "main", "--timestamp=@1700000000", "--no-xattrs", "tree"])
            .line();
        Self { directory, repo, commit }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, program: &Program, arguments: &[&str]) -> Output {
        let program = program.clone().in_directory(self.directory.path());
        program.with("OSTREE_DUMMY_SIGN_ENABLED", "1").repo(&self.repo, arguments)
    }

    fn osier(&self, arguments: &[&str]) -> Output {
        self.run(&osier(), arguments)
    }

    /// The bytes of the detached metadata.
    fn detached(&self) -> Option<Vec<u8>> {
        let (first, rest) = self.commit.split_at(2);
        fs::read(self.repo.join(format!("objects/{first}/{rest}.commitmeta"))).ok()
    }

    /// Makes a key pair and returns the secret and the public key.
    fn key_pair(&self, base: &str) -> [String; 2] {
        self.osier(&["sign", "--generate-key", "--out", base]).success();
        ["sec", "pub"].map(|end| {
            fs::read_to_string(self.path(&format!("{base}.{end}"))).unwrap().trim().to_owned()
        })
    }
}

#[test]
fn a_dummy_signature_is_stored_and_verified_as_by_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let (ours, theirs) = (Place::new(), Place::new());
    assert_eq!(ours.commit, theirs.commit);
    let both = [(&ours, &osier()), (&theirs, &ostree)];
    for keys in [&["one"][..], &["one", "two"]] {
        for (place, program) in both {
            let call = [&["sign", "-s", "dummy", "main"], keys].concat();
            assert_eq!(place.run(program, &call).success(), "");
        }
        assert_eq!(ours.detached(), theirs.detached());
    }
    for (place, program) in [(&ours, &ostree), (&theirs, &osier())] {
        let verified = place.run(program, &["sign", "-s", "dummy", "--verify", "main", "x", "two"]);
        assert_eq!(verified.success(), "dummy: Signature verified\n");
    }
    for call in [
        &["sign"][..],
        &["sign", "main"],
        &["sign", "-s", "none", "main", "k"],
        &["sign", "-s", "none", "absent", "k"],
        &["sign", "-s", "dummy", "--verify", "main", "x"],
        &["sign", "-s", "dummy", "--verify", "main", "x", "y"],
    ] {
        let failures = both.map(|(place, program)| place.run(program, call).failure());
        assert_eq!(failures[0], failures[1], "{call:?}");
    }
}

#[test]
fn a_commit_signed_with_ed25519_verifies_with_its_key_only() {
    let place = Place::new();
    let ([secret, public], [_, other]) = (place.key_pair("one"), place.key_pair("other"));
    assert_eq!(place.path("one.sec").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let verify =
        |arguments: &[&str]| place.osier(&[&["sign", "--verify", "main"], arguments].concat());
    assert_eq!(
        verify(&["--keys-file=one.pub"]).failure(),
        "ed25519: commit have no signatures of my type"
    );
    assert_eq!(place.osier(&["sign", "main", &secret]).success(), "");
    let inline = place.detached().unwrap();
    place.osier(&["sign", "main", "--keys-file=one.sec"]).success();
    assert!(place.detached().unwrap().len() > inline.len(), "the same again is stored again");
    let expected = "ed25519: Signature verified successfully with key '";
    for keys in [&[&*public][..], &[&other, &public], &["--keys-file=one.pub", &other]] {
        assert!(verify(keys).success().starts_with(expected), "{keys:?}");
    }
    assert_eq!(verify(&[&other]).failure(), "No valid signatures found");
    assert!(
        verify(&["--keys-file=other.pub"])
            .failure()
            .starts_with("ed25519: Signature couldn't be verified with: key '")
    );
    // Revoked lists are for the keys of directories.
    fs::create_dir_all(place.path("keys/trusted.ed25519.d")).unwrap();
    assert_eq!(verify(&["--keys-dir=keys"]).failure(), "signature: ed25519: no keys loaded");
    fs::copy(place.path("one.pub"), place.path("keys/trusted.ed25519.d/a")).unwrap();
    assert!(verify(&["--keys-dir=keys"]).success().starts_with(expected));
    fs::copy(place.path("one.pub"), place.path("keys/revoked.ed25519")).unwrap();
    assert_eq!(verify(&["--keys-dir=keys"]).failure(), "ed25519: no signatures found");
    assert!(verify(&["--keys-dir=keys", "--keys-file=one.pub"]).success().starts_with(expected));

    let before = place.detached();
    for (call, message) in [
        (&["sign", "-d", "main", &*secret][..], "Deleting signatures is not implemented"),
        (&["sign", "main", "--keys-file=none"], "File object 'none' is not a regular file"),
        (
            &["sign", "main", "AAAA"],
            "Invalid ed25519 secret key: Ill-formed input: expected 64 bytes, got 3 bytes",
        ),
        (
            &["sign", "-s", "spki", "main", "AAAA"],
            "Not able to sign the cobject: openssl: Failed to initialize spki key",
        ),
        (&["sign", "--verify", "--exec=true", "main"], ONE_OF),
        (&["sign", "--generate-key"], "--generate-key needs --out=BASE"),
    ] {
        let said = place.osier(call).failure();
        assert!(said.starts_with(message), "{call:?}: {said}");
    }
    assert_eq!(place.detached(), before);
}

const ONE_OF: &str = "only one of --verify, --payload-out, --attach and --exec can be given";

#[test]
fn a_signature_made_elsewhere_is_attached_unless_the_keys_at_hand_refute_it() {
    let place = Place::new();
    let [secret, public] = place.key_pair("key");
    place.osier(&["sign", "--payload-out=payload", "main"]).success();
    let payload = fs::read(place.path("payload")).unwrap();
    assert_eq!(place.osier(&["sign", "--payload-out=-", "main"]).stdout, payload);
    assert_eq!(place.detached(), None);

    // The signature of another place with the same commit.
    let elsewhere = Place::new();
    elsewhere.osier(&["sign", "main", &secret]).success();
    let expected = elsewhere.detached().unwrap();
    // Before its end and type. (As text, one that ends with zero would look different.)
    let end = expected.windows(5).position(|bytes| bytes == b"\x40\0aay").unwrap();
    let signature = &expected[end - 64..end];
    fs::write(place.path("good"), signature).unwrap();
    fs::write(place.path("bad"), [1; 64]).unwrap();
    fs::write(place.path("short"), b"short").unwrap();
    let key = format!("--verify-key={public}");
    for (file, key, message) in [
        ("bad", &*key, "the signature is not attached: ed25519: Signature couldn't be verified"),
        ("bad", "--keys-file=key.pub", "the signature is not attached: ed25519: Signature"),
        ("short", &*key, "Invalid signature: Ill-formed input: expected 64 bytes, got 5 bytes"),
        ("absent", &*key, "reading absent: No such file or directory"),
    ] {
        let said = place.osier(&["sign", "--attach", file, key, "main"]).failure();
        assert!(said.starts_with(message), "{file}: {said}");
    }
    assert_eq!(place.detached(), None);
    let attached = place.osier(&["sign", "--attach=good", &key, "main"]);
    assert_eq!(attached.stderr, b"");
    attached.success();
    assert_eq!(place.detached().unwrap(), expected);
}

#[test]
fn options_that_would_have_no_effect_are_refused() {
    let place = Place::new();
    for (options, message) in [
        (&["--out=base", "main", "key"][..], "--out needs --generate-key"),
        (&["--verify-key=K", "main", "key"], "--verify-key needs --attach or --exec"),
        (&["--exec-timeout=1", "main", "key"], "--exec-timeout needs --exec"),
        (&["--verify", "--payload-out=-", "main"], "only one of --verify, --payload-out, --attach"),
    ] {
        let refused = place.osier(&[&["sign"], options].concat()).failure();
        assert!(refused.starts_with(message), "{refused}");
    }
    assert_eq!(place.detached(), None);
}

#[test]
fn a_program_signs_with_the_arguments_after_the_commit() {
    let place = Place::new();
    place.key_pair("key");
    let script = "printf '%s %s ' \"$1\" $OSIER_SIGN_KIND; sha256sum | cut -c -64 | tr -d '\\n'";
    let signed =
        place.osier(&["sign", "-s", "dummy", "--exec=sh", "main", "--", "-c", script, "sh", "-x"]);
    signed.success();
    let text = format!("-x commit {}", place.commit);
    let verified = place.osier(&["sign", "-s", "dummy", "--verify", "main", "--", &text]);
    assert_eq!(verified.success(), "dummy: Signature verified\n");
    let before = place.detached();
    let fails = |more: &[&str], script: &str| {
        let call =
            [&["sign", "--keys-file=key.pub", "--exec=sh"], more, &["main", "--", "-c", script]];
        place.osier(&call.concat()).failure()
    };
    let said = fails(&[], "echo 'no such token' >&2; exit 3");
    assert!(said.ends_with("sh: exit status 3: no such token"), "{said}");
    let said = fails(&[], "head -c 64 /dev/zero");
    assert!(said.starts_with("the signature is not attached: "), "{said}");
    let said = fails(&["--exec-timeout=1"], "sleep 60");
    assert!(said.ends_with("sh did not answer within 1 s"), "{said}");
    assert_eq!(fails(&["--exec-timeout=0"], "true"), "--exec-timeout must be positive");
    assert_eq!(place.detached(), before);
}

#[test]
fn gpg_signs_a_commit_once_for_each_key_and_signatures_are_deleted_again() {
    let Some(home) = Home::new() else { return };
    let place = Place::new();
    for address in ["one@example.com", "two@example.com"] {
        let user = format!("Test <{address}>");
        home.gpg(&["--quick-generate-key", &user, "ed25519", "sign", "never"]);
    }
    let (one, two) = (home.fingerprint("one@example.com"), home.fingerprint("two@example.com"));
    fs::create_dir(place.path("keys")).unwrap();
    fs::write(place.path("keys/all.gpg"), home.gpg(&["--export"])).unwrap();
    fs::write(place.path("two.asc"), home.gpg(&["--armor", "--export-secret-keys", &two])).unwrap();
    let homedir = format!("--gpg-homedir={}", home.path().display());
    let with_keys = |program: Program| {
        program.with("OSTREE_GPG_HOME", place.path("keys")).with("GNUPGHOME", home.path())
    };
    let run = |arguments: &[&str]| {
        place.run(&with_keys(osier()), &[&["gpg-sign", "main"], arguments].concat())
    };
    let absent = "0123456789ABCDEF";
    assert_eq!(
        run(&[&homedir, absent]).failure(),
        format!("No gpg key found with ID {absent} (homedir: {})", home.path().display())
    );
    assert_eq!(
        run(&[absent]).failure(),
        format!("No gpg key found with ID {absent} (homedir: <default>)")
    );
    assert_eq!(
        run(&["absent@example.com"]).failure(),
        "Unable to lookup key ID absent@example.com: GPGME: Invalid value"
    );
    assert!(run(&["example.com"]).failure().starts_with("gpg key id example.com ambiguous"));
    assert_eq!(run(&["-d", &one]).success(), "Signatures deleted: 0\n");
    assert_eq!(place.detached(), None);

    assert_eq!(run(&[&homedir, "one@example.com"]).success(), "");
    for id in [&one, "one@example.com", &one[24..]] {
        let expected = format!("Commit is already signed with GPG key {id}");
        assert_eq!(run(&[id]).failure(), expected);
    }
    assert_eq!(run(&["file:two.asc"]).success(), "");
    assert_eq!(run(&[&two]).failure(), format!("Commit is already signed with GPG key {two}"));
    let expected = "Commit is already signed with GPG key file:two.asc";
    assert_eq!(run(&["file:two.asc"]).failure(), expected);
    let programs = [Some(osier()), ostree()];
    for program in programs.into_iter().flatten() {
        let shown = place.run(&with_keys(program), &["show", "main"]).success();
        assert!(shown.contains("Found 2 signatures:\n"), "{shown}");
        assert_eq!(shown.matches("Good signature from \"Test <").count(), 2, "{shown}");
    }
    if let Some(ostree) = ostree() {
        let said = place.run(&with_keys(ostree), &["gpg-sign", "main", &one]).failure();
        assert_eq!(said, run(&[&one]).failure());
    }
    assert_eq!(run(&["-d", &one, absent, &one]).success(), "Signatures deleted: 1\n");
    assert_eq!(run(&["-d", &one]).success(), "Signatures deleted: 0\n");
    let shown = place.run(&with_keys(osier()), &["show", "main"]).success();
    assert!(shown.contains("Found 1 signature:\n") && shown.contains("<two@example.com>"));
    assert_eq!(run(&["-d", "two@example.com"]).success(), "Signatures deleted: 1\n");
    assert_eq!(place.detached().as_deref(), Some(&b""[..]));
    let gone = with_keys(osier()).with("OSIER_GPG", "no-such-gpg");
    assert_eq!(
        place.run(&gone, &["gpg-sign", "main", &one]).failure(),
        format!("no-such-gpg: No such file or directory (needed to sign with key {one})")
    );
}
