//! Commits and summaries that are signed as they are made, held against the real program.

use std::fs;
use std::path::Path;

use crate::support::gnupg::Home;
use crate::support::{Program, differences, osier, ostree, scratch, snapshot};

/// The time that gpg believes it is, so that both programs get the same packets.
const NOW: &str = "20240101T000000";

fn tree(at: &Path) {
    fs::create_dir(at.join("t")).unwrap();
    fs::write(at.join("t/file"), "content").unwrap();
}

/// Commits the tree and writes a summary, both with these options.
fn sign(program: &Program, repo: &str, options: &[&str]) {
    program.run(["init", "--mode=archive", &format!("--repo={repo}")]).success();
    let mut commit = vec![
        "commit",
        "-b",
        "main",
        "--owner-uid=0",
        "--owner-gid=0",
        "--timestamp=@1700000000",
        "--add-detached-metadata-string=a=b",
    ];
    commit.extend(options);
    commit.push("t");
    program.repo(Path::new(repo), commit).success();
    let mut summary = vec!["summary", "-u"];
    summary.extend(options);
    program.repo(Path::new(repo), summary).success();
}

fn detached(repo: &Path) -> Vec<u8> {
    let commit = osier().repo(repo, ["rev-parse", "main"]).line();
    fs::read(repo.join(format!("objects/{}/{}.commitmeta", &commit[..2], &commit[2..]))).unwrap()
}

/// A home of gpg with a key. In it gpg always makes the same packets.
fn home_with_key() -> Option<Home> {
    let home = Home::new()?;
    fs::write(home.file("gpg.conf"), format!("faked-system-time {NOW}!\n")).unwrap();
    home.generate(NOW, "A Test <test@example.com>", ["ed25519", "sign", "0"]);
    Some(home)
}

#[test]
fn commit_and_summary_are_signed_with_the_real_programs_bytes() {
    let directory = scratch();
    let at = directory.path();
    tree(at);
    let dummy = |program: Program| program.in_directory(at).with("OSTREE_DUMMY_SIGN_ENABLED", "1");
    let Some(real) = ostree() else { return };
    let options = ["--sign=key one", "--sign=key two", "--sign-type=dummy"];
    sign(&dummy(osier()), "ours", &options);
    sign(&dummy(real), "theirs", &options);
    assert_eq!(detached(&at.join("ours")), detached(&at.join("theirs")));
    let signatures = ["ours", "theirs"].map(|repo| fs::read(at.join(repo).join("summary.sig")));
    let [ours, theirs] = signatures.map(Result::unwrap);
    assert!(ours.windows(7).any(|window| window == b"key two"));
    // The summaries have different times, but dummy signs nothing of them.
    assert_eq!(ours, theirs);
}

#[test]
fn gpg_signs_as_for_the_real_program_and_so_does_an_exported_key() {
    let directory = scratch();
    let at = directory.path();
    tree(at);
    let (Some(home), Some(real)) = (home_with_key(), ostree()) else { return };
    let exported = at.join("key.asc");
    home.gpg(&[&format!("--output={}", exported.display()), "--armor", "--export-secret-keys"]);
    let homedir = format!("--gpg-homedir={}", home.path().display());
    let by_mail = [&*homedir, "--gpg-sign=test@example.com"];
    sign(&osier().in_directory(at), "ours", &by_mail);
    sign(&real.clone().in_directory(at), "theirs", &by_mail);
    let file = format!("--gpg-sign=file:{}", exported.display());
    // 2024-01-01, as gpg believes.
    let in_process = osier().in_directory(at).with("SOURCE_DATE_EPOCH", "1704067200");
    sign(&in_process.with("OSIER_GPG", "/nonexistent"), "alone", &[&file]);
    let theirs = detached(&at.join("theirs"));
    assert_eq!(detached(&at.join("ours")), theirs);
    assert_eq!(detached(&at.join("alone")), theirs);

    let keyring = at.join("alone/test.gpg");
    home.gpg(&[&format!("--output={}", keyring.display()), "--export"]);
    for program in [real, osier()] {
        let shown = program.repo(&at.join("alone"), ["show", "main"]).success();
        assert!(shown.contains("Good signature from \"A Test <test@example.com>\""), "{shown}");
    }
}

#[test]
fn a_key_that_cannot_sign_leaves_everything_as_it_was() {
    let directory = scratch();
    let at = directory.path();
    tree(at);
    let osier = osier().in_directory(at);
    let dummy = osier.clone().with("OSTREE_DUMMY_SIGN_ENABLED", "1");
    sign(&dummy, "repo", &["--sign=key", "--sign-type=dummy"]);
    let before = snapshot(&at.join("repo"));
    let short = "Invalid ed25519 secret key: Ill-formed input: expected 64 bytes, got 3 bytes";
    fs::write(at.join("key"), "AAAA\n").unwrap();
    fs::write(at.join("none"), "").unwrap();
    for (options, message) in [
        (&["--sign=AAAA"][..], short),
        (&["--sign=x", "--sign-type=other"], "Requested signature type is not implemented"),
        (&["--sign=x", "--sign-type=dummy"], "dummy signature type is only for ostree testing"),
        (&["--gpg-sign=file:key"], "no secret key found"),
    ] {
        for command in [&["commit", "-b", "main", "t"][..], &["summary", "-u"]] {
            let all = [&["--repo=repo"], command, options].concat();
            let found = osier.run(all).failure();
            assert_eq!(found, message, "{command:?} {options:?}");
        }
    }
    for (path, message) in [
        ("key", short),
        ("none", "Reading none: no key found"),
        ("absent", "Error opening file absent: No such file or directory"),
    ] {
        let from_file = format!("--sign-from-file={path}");
        let found = osier.run(["--repo=repo", "commit", "-b", "main", &from_file, "t"]).failure();
        assert_eq!(found, message);
    }
    assert_eq!(differences(&before, &snapshot(&at.join("repo"))), [""; 0]);
}

#[test]
fn the_view_of_a_summary_says_when_it_is_unsigned() {
    let directory = scratch();
    let at = directory.path();
    tree(at);
    let osier = osier().in_directory(at).with("OSTREE_DUMMY_SIGN_ENABLED", "1");
    sign(&osier, "repo", &["--sign=key", "--sign-type=dummy"]);
    let view = || osier.run(["--repo=repo", "summary", "--view"]).success();
    // Signatures of other kinds than OpenPGP are not shown.
    assert!(!view().contains("signed"), "{}", view());
    osier.run(["--repo=repo", "summary", "-u"]).success();
    assert!(view().ends_with("\nSummary is unsigned\n"), "{}", view());
}
