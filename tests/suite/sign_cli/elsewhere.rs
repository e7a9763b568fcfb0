//! Signatures that are made elsewhere, by a program or before, of summaries and with OpenPGP.

use osier::gvariant::Dict;
use osier::object::detached;

use super::*;
use crate::support::{differences, snapshot};

impl Place {
    /// The signatures of the summary under a key.
    fn of_summary(&self, key: &str) -> Vec<Vec<u8>> {
        let metadata = Dict::decode(&fs::read(self.repo.join("summary.sig")).unwrap()).unwrap();
        detached::signatures(&metadata, key).into_iter().flatten().map(<[u8]>::to_vec).collect()
    }

    /// Those of the commit that gpg made.
    fn of_commit(&self) -> Vec<Vec<u8>> {
        let metadata = Dict::decode(&self.detached().unwrap_or_default()).unwrap();
        detached::signatures(&metadata, detached::GPG_KEY)
            .into_iter()
            .flatten()
            .map(<[u8]>::to_vec)
            .collect()
    }

    fn snapshot(&self) -> crate::support::Snapshot {
        snapshot(&self.repo)
    }

    /// Fails with that message and changes nothing.
    #[track_caller]
    fn refuses(&self, program: &Program, call: &[&str], message: &str) {
        let before = self.snapshot();
        let said = self.run(program, call).failure();
        assert!(said.starts_with(message), "{call:?}: {said}");
        assert_eq!(differences(&before, &self.snapshot()), [""; 0], "{call:?}");
    }
}

#[test]
fn a_program_signs_the_summary_unless_the_keys_at_hand_refute_it() {
    let place = Place::new();
    place.key_pair("key");
    let update = |more: &[&str]| place.osier(&[&["summary", "-u"], more].concat());
    let script = "printf '%s %s %s' \"$1\" $OSIER_SIGN_KIND $OSIER_SIGN_CHECKSUM";
    let dummy = ["--sign-type=dummy", "--exec=sh"];
    let by_script = ["--", "-c", script, "sh", "-x"];
    let updated = update(&[&dummy[..], &by_script].concat());
    let warning = "warning: there is no public key to verify the summary's signature with\n";
    assert_eq!(String::from_utf8_lossy(&updated.stderr), warning);
    updated.success();
    let checksum = osier::Checksum::of(&fs::read(place.repo.join("summary")).unwrap());
    let text = format!("-x summary {checksum}").into_bytes();
    assert_eq!(place.of_summary("ostree.sign.dummy"), [text]);

    // Beside a key, which signs first.
    let both = ["--sign=one", "--verify-key=two", "--", "-c", "printf two"];
    update(&[&dummy[..], &both].concat()).success();
    assert_eq!(place.of_summary("ostree.sign.dummy"), [b"one", b"two"]);

    let zeros = ["--", "-c", "head -c 64 /dev/zero"];
    let refused = |options: &[&str], script: &[&str], message: &str| {
        let call = [&["summary", "-u", "--exec=sh"], options, script].concat();
        place.refuses(&osier(), &call, message);
    };
    refused(&["--keys-file=key.pub"], &zeros, "the signature is not attached: ed25519: Signature");
    refused(&["--keys-dir=absent"], &zeros, "signature: ed25519: no keys loaded");
    refused(&[], &["--", "-c", "printf short"], "Invalid signature: Ill-formed input: expected 64");
    refused(&["--exec-timeout=0"], &zeros, "--exec-timeout must be positive");
    refused(&["--sign-type=other"], &zeros, "Requested signature type is not implemented");
    let call = ["summary", "-u", "--exec-timeout=1", "--exec=sh", "--", "-c", "sleep 60"];
    let said = place.osier(&call).failure();
    assert!(said.ends_with("sh did not answer within 1 s"), "{said}");
}

#[test]
fn with_a_collection_id_a_program_signs_the_metadata_commit_too() {
    let place = Place::new();
    place.osier(&["config", "set", "core.collection-id", "org.example.Os"]).success();
    let script = "printf $OSIER_SIGN_KIND";
    let call = ["summary", "-u", "--sign-type=dummy", "--exec=sh", "--", "-c", script];
    place.osier(&call).success();
    assert_eq!(place.of_summary("ostree.sign.dummy"), [b"summary"]);
    let verify = ["sign", "-s", "dummy", "--verify", "ostree-metadata", "commit"];
    assert_eq!(place.osier(&verify).success(), "dummy: Signature verified\n");
    fs::create_dir(place.path("out")).unwrap();
    let call = ["summary", "-u", "--prepare=out"];
    place.refuses(&osier(), &call, "a repository with a collection id signs a commit with each");
}

#[test]
fn a_prepared_summary_is_published_with_its_signature_while_the_refs_stay() {
    let place = Place::new();
    let [secret, public] = place.key_pair("key");
    fs::create_dir(place.path("out")).unwrap();
    let before = place.snapshot();
    let prepare = ["summary", "-u", "--prepare=out", "-m", "note='kept'"];
    assert_eq!(place.osier(&prepare).success(), "");
    assert_eq!(differences(&before, &place.snapshot()), [""; 0]);
    let prepared = fs::read(place.path("out/summary")).unwrap();

    // Made elsewhere: with the library, where only the bytes and the key are.
    let engine =
        osier::sign::Engine::new(osier::sign::SignatureType::Ed25519, osier::sign::Dummy::Refused);
    let secret = osier::sign::SecretKey::parse(engine.unwrap(), &secret).unwrap();
    let signature = osier::sign::sign(&secret, &prepared).unwrap();
    fs::write(place.path("good"), &signature).unwrap();
    fs::write(place.path("bad"), [1; 64]).unwrap();

    let key = format!("--verify-key={public}");
    let publish = ["summary", "--publish=out", &key];
    for (attach, message) in [
        (&["--attach=bad"][..], "the signature is not attached: ed25519: Signature couldn't"),
        (&["--attach=good", "--attach=bad"], "the signature is not attached: ed25519: "),
        (&["--attach=absent"], "reading absent: No such file or directory"),
        (&["--attach=good", "--add-metadata=a='b'"], "--add-metadata is for --prepare, not for"),
    ] {
        place.refuses(&osier(), &[&publish, attach].concat(), message);
    }
    let good = [&publish[..], &["--attach=good"]].concat();
    place.osier(&["refs", "--create=other", "main"]).success();
    place.refuses(&osier(), &good, "other has moved since out/summary was prepared: prepare it");
    place.osier(&["refs", "--delete", "other"]).success();
    place.osier(&["commit", "-b", "main", "--timestamp=@1700000001", "tree"]).success();
    place.refuses(&osier(), &good, "main has moved since out/summary was prepared: prepare it");
    place.osier(&["reset", "main", &place.commit]).success();
    place.osier(&["config", "set", "core.tombstone-commits", "true"]).success();
    place.refuses(&osier(), &good, "the repository has changed since out/summary was prepared");
    place.osier(&["config", "set", "core.tombstone-commits", "false"]).success();

    let published = place.osier(&good);
    assert_eq!(published.stderr, b"");
    assert_eq!(published.success(), "");
    assert_eq!(fs::read(place.repo.join("summary")).unwrap(), prepared);
    assert_eq!(place.of_summary("ostree.sign.ed25519"), [signature]);
    let note = place.osier(&["summary", "--print-metadata-key=note"]).success();
    assert_eq!(note, "'kept'\n");
}

#[test]
fn options_of_the_summary_that_would_have_no_effect_are_refused() {
    let place = Place::new();
    for (options, message) in [
        (&["-u", "--publish=out", "--attach=f"][..], "-u and --publish cannot be given together"),
        (&["--prepare=out"], "--prepare needs -u"),
        (&["-u", "--prepare=out", "--sign=key"], "--prepare signs nothing; --publish takes sig"),
        (&["-u", "--prepare=out", "--exec=p"], "--prepare signs nothing; --publish takes sig"),
        (&["--publish=out"], "--publish needs --attach=FILE"),
        (&["-u", "--attach=f"], "--attach needs --publish"),
        (&["--view", "--exec=p"], "--exec needs -u or --publish"),
        (&["-u", "--exec-timeout=1"], "--exec-timeout needs --exec"),
        (&["-u", "--verify-key=k"], "--verify-key, --keys-file and --keys-dir need --attach"),
        (&["-u", "--sign-type=gpg", "--exec=p", "--verify-key=k"], "--verify-key is not for Open"),
        (&["-u", "--sign-type=gpg", "--exec=p", "--keys-dir=k"], "--keys-dir is not for OpenPGP"),
        (&["-u", "--json"], "--json is for reading the summary"),
    ] {
        place.refuses(&osier(), &[&["summary"], options].concat(), message);
    }
    for (options, message) in [
        (&["--attach=f", "main", "KEY"][..], "Too many arguments given"),
        (&["--attach=f", "--exec=p", "main"], "only one of --delete, --attach and --exec"),
        (&["-d", "--exec=p", "main"], "only one of --delete, --attach and --exec"),
        (&["--keys-file=f", "main", "KEY"], "--keys-file needs --attach or --exec"),
        (&["--exec-timeout=1", "main", "KEY"], "--exec-timeout needs --exec"),
    ] {
        place.refuses(&osier(), &[&["gpg-sign"], options].concat(), message);
    }
}

#[test]
fn openpgp_signatures_made_elsewhere_are_attached_unless_their_keys_refute_them() {
    let place = Place::new();
    let Some(home) = Home::with_keys(&["one@example.com", "two@example.com"]) else { return };
    let one = home.fingerprint("one@example.com");
    fs::create_dir(place.path("keys")).unwrap();
    fs::write(place.path("keys/one.gpg"), home.gpg(&["--export", &one])).unwrap();
    fs::write(place.path("two.asc"), home.gpg(&["--armor", "--export", "two@"])).unwrap();
    place.osier(&["sign", "--payload-out=payload", "main"]).success();
    let payload = place.path("payload").display().to_string();
    let sign = |who: &str, more: &[&str], data: &str| {
        home.gpg(&[more, &["-u", who, "--detach-sign", "-o", "-", data]].concat())
    };
    let good = sign("one@", &[], &payload);
    fs::write(place.path("good.asc"), sign("one@", &["--armor"], &payload)).unwrap();
    fs::write(place.path("good"), &good).unwrap();
    let other = place.path("two.asc").display().to_string();
    fs::write(place.path("bad"), sign("one@", &[], &other)).unwrap();
    let by_two = sign("two@", &[], &payload);
    fs::write(place.path("two"), &by_two).unwrap();
    fs::write(place.path("joined"), [&by_two[..], &fs::read(place.path("bad")).unwrap()].concat())
        .unwrap();
    fs::write(place.path("key"), fs::read(place.path("keys/one.gpg")).unwrap()).unwrap();
    fs::write(place.path("junk"), "-----BEGIN PGP SIGNATURE-----\n").unwrap();

    let osier = osier().with("OSTREE_GPG_HOME", place.path("keys"));
    let osier = osier.with("GNUPGHOME", home.path());
    let id = &one[24..];
    let attach = |file: &'static str| ["gpg-sign", "main", "--attach", file];
    for (file, message) in [
        ("bad", format!("the signature is not attached: bad, key ID {id}")),
        ("joined", format!("the signature is not attached: bad, key ID {id}")),
        ("key", "no OpenPGP signature found".to_owned()),
        ("junk", "no OpenPGP signature found".to_owned()),
        ("absent", "reading absent: No such file or directory".to_owned()),
    ] {
        place.refuses(&osier, &attach(file), &message);
    }
    // With a file of keys no other keys are good enough.
    let with_keys = |file| [&attach(file)[..], &["--keys-file=two.asc"]].concat();
    let message = format!("the signature is not attached: missing key, key ID {id}");
    place.refuses(&osier, &with_keys("good"), &message);
    let call = ["gpg-sign", "main", "--attach=good", "--keys-file=junk"];
    place.refuses(&osier, &call, "no OpenPGP keys in file 'junk'");

    let attached = place.run(&osier, &attach("good"));
    assert_eq!(attached.stderr, b"");
    attached.success();
    assert_eq!(place.of_commit(), [good]);
    let message = format!("Commit is already signed with GPG key {one}");
    place.refuses(&osier, &attach("good.asc"), &message);
    let attached = place.run(&osier, &attach("two"));
    let warning = "warning: there is no public key to verify the commit's signature with\n";
    assert_eq!(String::from_utf8_lossy(&attached.stderr), warning);
    attached.success();
    assert_eq!(place.of_commit().len(), 2);
    let programs = [Some(osier.clone()), ostree().map(|it| it.with("OSTREE_GPG_HOME", "keys"))];
    for program in programs.into_iter().flatten() {
        let shown = place.run(&program, &["show", "main"]).success();
        assert!(shown.contains("Found 2 signatures:\n"), "{shown}");
        assert_eq!(shown.matches("Good signature from \"Test <one@").count(), 1, "{shown}");
    }

    // A program: what it answers may be armoured, and is stored without.
    place.run(&osier, &["gpg-sign", "-d", "main", "one@example.com"]).success();
    let answer = ["--", "--batch", "--armor", "-u", "one@", "--detach-sign", "-o", "-"];
    let exec = [&["gpg-sign", "main", "--exec=gpg"], &answer[..]].concat();
    place.run(&osier, &exec).success();
    assert!(place.of_commit()[1].starts_with(b"\x88"), "{:?}", place.of_commit());
    let exec = ["gpg-sign", "main", "--exec=sh", "--", "-c", "printf $OSIER_SIGN_TYPE >&2; exit 3"];
    let said = place.run(&osier, &exec).failure();
    assert!(said.ends_with("sh: exit status 3: gpg"), "{said}");
    let exec = ["summary", "-u", "--sign-type=gpg", "--exec=gpg"];
    let updated = place.run(&osier, &[&exec[..], &answer].concat());
    assert_eq!(updated.stderr, b"");
    updated.success();
    let viewed = place.run(&osier, &["summary", "--view"]).success();
    assert!(viewed.contains("Good signature from \"Test <one@example.com>\""), "{viewed}");
}

#[test]
fn the_view_of_a_summary_describes_openpgp_signatures_as_the_real_show_does() {
    let Some(ostree) = ostree() else { return };
    let place = Place::new();
    let Some(home) =
        Home::with_keys(&["good@example.com", "bad@example.com", "missing@example.com"])
    else {
        return;
    };
    fs::create_dir_all(place.path("keys")).unwrap();
    fs::create_dir(place.path("out")).unwrap();
    fs::write(place.path("keys/all.gpg"), home.gpg(&["--export", "good@", "bad@"])).unwrap();
    place.osier(&["sign", "--payload-out=commit", "main"]).success();
    place.osier(&["summary", "-u", "--prepare=out"]).success();
    // One time for the signatures of both, later than that of the keys.
    let clock = ["--faked-system-time", "20400305T040506!"];
    let sign = |who: &str, data: &str, name: &str| {
        let data = place.path(data).display().to_string();
        let made = [&clock[..], &["-u", who, "--detach-sign", "-o", "-", &data]].concat();
        fs::write(place.path(name), home.gpg(&made)).unwrap();
    };
    let mut publish = vec!["summary".to_owned(), "--publish=out".into(), "--sign-type=gpg".into()];
    for (who, of_commit, of_summary) in [
        ("good@", "commit", "out/summary"),
        ("missing@", "commit", "out/summary"),
        ("bad@", "out/summary", "commit"),
    ] {
        sign(who, of_commit, &format!("{who}commit"));
        place.osier(&["gpg-sign", "main", "--attach", &format!("{who}commit")]).success();
        sign(who, of_summary, &format!("{who}summary"));
        publish.push(format!("--attach={who}summary"));
    }
    place.osier(&publish.iter().map(String::as_str).collect::<Vec<_>>()).success();
    let described = |program: &Program, call: &[&str], headline: &str| {
        let program = program.clone().with("OSTREE_GPG_HOME", place.path("keys"));
        let text = place.run(&program, call).success();
        let (_, described) = text.split_once(headline).unwrap_or_else(|| panic!("{text}"));
        described.to_owned()
    };
    let theirs = described(&ostree, &["show", "main"], "\nFound 3 signatures:\n");
    assert!(theirs.contains("BAD signature from \"Test <bad@example.com>\""), "{theirs}");
    let view = ["summary", "--view"];
    let ours = described(&osier(), &view, "\n\nFound 3 signatures on the summary:\n");
    assert_eq!(ours, theirs);
    // Nor does `--raw` say anything of them.
    assert!(!place.osier(&["summary", "--raw"]).success().contains("signature"));
}

#[test]
fn verbose_views_list_the_signatures_of_engines_and_warn_of_weak_digests() {
    let place = Place::new();
    place.osier(&["summary", "-u", "--sign-type=dummy", "--sign=one", "--sign=two"]).success();
    place.osier(&["sign", "-s", "dummy", "main", "key"]).success();
    let plain = place.osier(&["summary", "--view"]);
    assert_eq!(plain.stderr, b"");
    for (call, lines) in [
        (&["summary", "--view", "--verbose"][..], &[1, 2][..]),
        (&["summary", "-v"], &[1, 2]),
        (&["show", "-v", "main"], &[1]),
    ] {
        let viewed = place.osier(call);
        let said = String::from_utf8(viewed.stderr.clone()).unwrap();
        for number in lines {
            let line = format!("OT: dummy signature {number}: not verified, as the system has no ");
            assert!(said.contains(&line), "{call:?}: {said}");
        }
        if call[0] == "summary" {
            assert_eq!(viewed.stdout, plain.stdout);
        }
    }
    let Some(home) = Home::with_keys(&["sha1@example.com"]) else { return };
    let osier = osier().with("GNUPGHOME", home.path());
    let digest = ["--batch", "--digest-algo=SHA1", "--detach-sign", "-o", "-"];
    let call = [&["gpg-sign", "--exec=gpg", "main", "--"], &digest[..]].concat();
    place.run(&osier, &call).success();
    let said = |call: &[&str]| String::from_utf8(place.run(&osier, call).stderr).unwrap();
    let warning = "OT: warning: signature 1 is over a SHA-1 digest";
    assert!(said(&["show", "-v", "main"]).contains(warning));
    assert_eq!(said(&["show", "main"]), "");
}

#[test]
fn a_commit_is_signed_once_by_each_key_that_the_keyrings_know() {
    let Some(home) = Home::with_keys(&["one@example.com", "two@example.com"]) else { return };
    let one = home.fingerprint("one@example.com");
    for program in [Some(osier()), ostree()].into_iter().flatten() {
        let place = Place::new();
        fs::create_dir(place.path("keys")).unwrap();
        fs::write(place.path("keys/all.gpg"), home.gpg(&["--export"])).unwrap();
        let without = program.with("GNUPGHOME", home.path());
        let with_keys = without.clone().with("OSTREE_GPG_HOME", place.path("keys"));
        let commit = |branch: &str, second: &str, program: &Program| {
            let (branch, second) = (format!("--branch={branch}"), format!("--gpg-sign={second}"));
            let call = ["commit", &branch, "--gpg-sign=one@example.com", &second, "tree"];
            place.run(program, &call)
        };
        let said = commit("refused", &one, &with_keys).failure();
        assert_eq!(said, format!("Commit is already signed with GPG key {one}"));
        assert_eq!(place.run(&with_keys, &["refs"]).success(), "main\n");
        commit("both", "two@example.com", &with_keys).success();
        commit("unknown", &one, &without).success();
        for branch in ["both", "unknown"] {
            let shown = place.run(&with_keys, &["show", branch]).success();
            assert!(shown.contains("\nFound 2 signatures:\n"), "{shown}");
        }
    }
}
