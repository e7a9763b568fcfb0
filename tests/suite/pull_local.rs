//! `pull-local`, held against the real program in every pair of modes, and what happens when
//! something is wrong.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use osier::fsck::{FsckOptions, fsck};
use osier::progress::Silent;
use osier::repo::Repo;

use super::support::{
    Output, Program, differences, is_root, needs_root, needs_user_xattrs, osier, ostree, scratch,
    snapshot,
};

const MODES: [&str; 4] = ["archive", "bare", "bare-user", "bare-user-only"];

/// A repository of that mode with two commits on `main`, the tip with detached metadata, and one on
/// `other/part`.
fn source(directory: &Path, mode: &str) -> PathBuf {
    let repo = directory.join(format!("source-{mode}"));
    let tree = directory.join(format!("tree-{mode}"));
    fs::create_dir_all(tree.join("usr/empty")).unwrap();
    fs::create_dir_all(tree.join("usr/share")).unwrap();
    fs::write(tree.join("zero"), "").unwrap();
    fs::write(tree.join("usr/share/text"), "some text\n".repeat(40_000)).unwrap();
    fs::write(tree.join("usr/share/noise"), noise()).unwrap();
    fs::write(tree.join("usr/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(tree.join("usr/run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("usr/share/text", tree.join("link")).unwrap();
    let program = osier();
    program.repo(&repo, ["init", "--mode", mode]).success();
    let commit = |branch: &str, time: &str, more: &[&str], path: &Path| {
        let mut call = vec!["commit", "--canonical-permissions", "-b", branch, "--timestamp", time];
        call.extend(more);
        call.push(path.to_str().unwrap());
        program.repo(&repo, call).line()
    };
    commit("main", "@1", &[], &tree);
    fs::write(tree.join("new"), "new\n").unwrap();
    commit("main", "@2", &["--add-detached-metadata-string=key=value"], &tree);
    commit("other/part", "@3", &[], &tree.join("usr"));
    repo
}

/// Bytes that do not compress.
fn noise() -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8
    };
    (0..100_000).map(|_| next()).collect()
}

fn destination(directory: &Path, name: &str, mode: &str) -> PathBuf {
    let repo = directory.join(name);
    let _ = fs::remove_dir_all(&repo);
    osier().repo(&repo, ["init", "--mode", mode]).success();
    repo
}

fn pull(program: &Program, repo: &Path, options: &[&str], source: &Path, refs: &[&str]) -> Output {
    let mut call = vec!["pull-local"];
    call.extend(options);
    call.push(source.to_str().unwrap());
    call.extend(refs);
    program.repo(repo, call)
}

#[track_caller]
fn assert_sound(repo: &Path) {
    let report = fsck(&Repo::open(repo).unwrap(), &FsckOptions::default(), &Silent).unwrap();
    assert!(!report.corrupted && report.damaged_commits == 0, "{}: {report:?}", repo.display());
}

/// The only file below `objects` whose name ends so and that has at least so many bytes.
fn object(repo: &Path, ending: &str, at_least: u64) -> PathBuf {
    let mut found: Vec<_> = walkdir::WalkDir::new(repo.join("objects"))
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().to_str().unwrap().ends_with(ending))
        .filter(|entry| entry.metadata().unwrap().len() >= at_least)
        .map(|entry| entry.into_path())
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn links(repo: &Path) -> usize {
    walkdir::WalkDir::new(repo.join("objects"))
        .into_iter()
        .filter(|entry| {
            let metadata = entry.as_ref().unwrap().metadata().unwrap();
            !metadata.is_dir() && metadata.nlink() > 1
        })
        .count()
}

fn rev(repo: &Path, rev: &str) -> String {
    osier().repo(repo, ["rev-parse", rev]).line()
}

#[test]
fn every_pair_of_modes_gives_what_the_real_program_gives() {
    let (true, Some(ostree)) = (needs_user_xattrs(), ostree()) else { return };
    if !is_root() {
        // Bare repositories want the owners of the objects.
        needs_root();
        return;
    }
    let directory = scratch();
    let sources: Vec<_> = MODES.iter().map(|mode| source(directory.path(), mode)).collect();
    let calls: [(&[&str], &[&str]); 8] = [
        (&[], &[]),
        (&[], &["main"]),
        (&["--untrusted", "--depth=1"], &["main"]),
        (&["--bareuseronly-files", "--remote=origin"], &["other/part"]),
        (&["--commit-metadata-only", "--depth=-1"], &["main"]),
        (&["--disable-fsync"], &["other/part", "main"]),
        (&["--per-object-fsync"], &["main"]),
        (&["--depth=7"], &["main"]),
    ];
    for (source, from) in sources.iter().zip(MODES) {
        for to in MODES {
            let [theirs, ours] =
                ["theirs", "ours"].map(|name| destination(directory.path(), name, to));
            for (options, refs) in calls {
                let context = format!("{from} to {to}, {options:?} {refs:?}");
                let expected = pull(&ostree, &theirs, options, source, refs);
                let found = pull(&osier(), &ours, options, source, refs);
                assert_eq!(found.stderr, expected.stderr, "{context}");
                assert_eq!(
                    String::from_utf8_lossy(&found.stdout),
                    String::from_utf8_lossy(&expected.stdout),
                    "{context}"
                );
                assert_eq!(found.status, expected.status, "{context}");
                let differences = differences(&snapshot(&theirs), &snapshot(&ours));
                assert!(differences.is_empty(), "{context}:\n{}", differences.join("\n"));
                assert_eq!(links(&ours), links(&theirs), "{context}: number of hard links");
                if options.contains(&"--depth=1") {
                    // The rest of the calls begin with an empty repository again.
                    for (name, repo) in [("theirs", &theirs), ("ours", &ours)] {
                        assert_sound(repo);
                        destination(directory.path(), name, to);
                    }
                }
            }
            assert_sound(&ours);
            ostree.repo(&ours, ["fsck"]).success();
        }
    }
}

#[test]
fn what_cannot_be_pulled_is_reported_as_by_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let repo = source(directory.path(), "archive");
    let zeros = "0".repeat(64);
    let commit = rev(&repo, "main");
    let unsigned = format!(
        "Commit {commit}: GPG verification enabled, but no signatures found (use gpg-verify=false in \
         remote config to disable)"
    );
    let cases: [(&[&str], &[&str], &str); 11] = [
        (&[], &["nope"], "Refspec 'nope' not found"),
        (&[], &["a b"], "Invalid ref name a b"),
        (&[], &["origin:main"], "Invalid ref name origin:main"),
        (&[], &["nope1", "nope2"], "Refspec 'nope2' not found"),
        (&[], &[&zeros], &format!("Importing {zeros}.commit: linkat: No such file or directory")),
        (
            &["--untrusted"],
            &[&zeros],
            &format!("fsck {zeros}.commit: No such metadata object {zeros}.commit"),
        ),
        (&["--remote=a/b"], &["main"], "Invalid refspec a/b:main"),
        (&["--gpg-verify"], &["main"], "Must specify remote name to enable gpg verification"),
        (&["--gpg-verify-summary"], &[], "Must specify remote name to enable gpg verification"),
        (&["--gpg-verify", "--remote=origin"], &["main"], &unsigned),
        (&["--depth=x"], &["main"], "Cannot parse integer value “x” for --depth"),
    ];
    for (options, refs, message) in cases {
        for program in [&osier(), &ostree] {
            let destination = destination(directory.path(), "destination", "archive");
            let found = pull(program, &destination, options, &repo, refs).failure();
            assert_eq!(found, message, "{} {options:?} {refs:?}", program.name);
        }
    }
    let destination = destination(directory.path(), "destination", "archive");
    let option = "--require-static-deltas";
    let message = pull(&osier(), &destination, &[option], &repo, &["main"]).failure();
    assert_eq!(message, "Can't use static deltas in an archive repo");
    let message = pull(&osier(), &destination, &["--depth=-2"], &repo, &["main"]).failure();
    assert_eq!(message, "Depth must be at least -1");
}

#[test]
fn a_damaged_file_is_never_imported_from_an_untrusted_source() {
    let directory = scratch();
    let (program, repo) = (osier(), source(directory.path(), "archive"));
    let damaged = object(&repo, ".filez", 50_000);
    let mut bytes = fs::read(&damaged).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&damaged, bytes).unwrap();
    for mode in ["archive", "bare-user-only"] {
        let destination = destination(directory.path(), "destination", mode);
        let message = pull(&program, &destination, &["--untrusted"], &repo, &["main"]).failure();
        let name =
            damaged.strip_prefix(repo.join("objects")).unwrap().to_str().unwrap().replace('/', "");
        assert!(message.contains(name.trim_end_matches(".filez")), "{mode}: {message}");
        assert_eq!(program.repo(&destination, ["refs"]).success(), "", "{mode}");
        let commit = rev(&repo, "main");
        assert!(destination.join(format!("state/{commit}.commitpartial")).exists(), "{mode}");
        // With the source in order again, the next pull goes on with what is staged.
        let sound = source(&directory.path().join(mode), "archive");
        let line = pull(&program, &destination, &["--untrusted"], &sound, &["main"]).success();
        assert!(!line.starts_with("6 metadata"), "{mode}: nothing was kept: {line}");
        assert!(!destination.join(format!("state/{commit}.commitpartial")).exists(), "{mode}");
        assert_sound(&destination);
        let left: Vec<_> = fs::read_dir(destination.join("tmp"))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, ["cache"], "{mode}");
    }
}

#[test]
fn nothing_is_linked_from_a_repository_of_another_owner() {
    if !needs_root() {
        return;
    }
    let directory = scratch();
    let repo = source(directory.path(), "archive");
    for entry in walkdir::WalkDir::new(&repo) {
        std::os::unix::fs::lchown(entry.unwrap().path(), Some(1234), Some(1234)).unwrap();
    }
    for (options, content) in [(&[][..], "0 bytes"), (&["--untrusted"], "500.0\u{a0}kB")] {
        let destination = destination(directory.path(), "destination", "archive");
        let line = pull(&osier(), &destination, options, &repo, &["main"]).line();
        assert_eq!(
            line,
            format!("6 metadata, 6 content objects imported; {content} content written")
        );
        assert_eq!(links(&destination), 0);
        assert_sound(&destination);
    }
}

#[test]
fn a_commit_is_held_against_the_ref_it_is_asked_for_by() {
    let directory = scratch();
    let repo = source(directory.path(), "archive");
    osier().repo(&repo, ["refs", "--create=alien", "main"]).success();
    let destination = destination(directory.path(), "destination", "archive");
    let commit = rev(&repo, "main");
    let message = pull(&osier(), &destination, &[], &repo, &["alien"]).failure();
    let expected = format!(
        "Commit {commit}: Commit has no requested ref ‘alien’ in ref binding metadata (‘main’)"
    );
    assert_eq!(message, expected);
    pull(&osier(), &destination, &["--disable-verify-bindings"], &repo, &["alien"]).success();
    assert_eq!(rev(&destination, "alien"), commit);
}

#[test]
fn what_comes_with_a_commit_that_is_refused_replaces_nothing() {
    let directory = scratch();
    let (program, repo) = (osier(), source(directory.path(), "archive"));
    let destination = destination(directory.path(), "destination", "archive");
    // Each object appears as soon as it is written.
    program.repo(&destination, ["config", "set", "core.fsync", "false"]).success();
    pull(&program, &destination, &[], &repo, &["main"]).success();
    program.repo(&repo, ["refs", "--create=alien", "main"]).success();
    let detached = |repo: &Path| object(repo, ".commitmeta", 0);
    let good = fs::read(detached(&destination)).unwrap();
    let other =
        good.iter().map(|byte| if *byte == b'v' { b'V' } else { *byte }).collect::<Vec<_>>();
    assert_ne!(good, other);
    fs::write(detached(&repo), &other).unwrap();

    // The commit is there, and was not made for this ref.
    let message = pull(&program, &destination, &[], &repo, &["alien"]).failure();
    assert!(message.contains("Commit has no requested ref"), "{message}");
    assert_eq!(fs::read(detached(&destination)).unwrap(), good);

    // The commit is not there, and the source has another one under its name.
    let commit = rev(&repo, "main");
    let loose = format!("objects/{}/{}.commit", &commit[..2], &commit[2..]);
    let sound = fs::read(repo.join(&loose)).unwrap();
    fs::remove_file(destination.join(&loose)).unwrap();
    let mut damaged = sound.clone();
    let binding = damaged.windows(4).position(|window| window == b"main").unwrap();
    damaged[binding] = b'n';
    fs::write(repo.join(&loose), damaged).unwrap();
    let message = pull(&program, &destination, &["--untrusted"], &repo, &[&commit]).failure();
    assert!(message.contains("Corrupted commit object; checksum expected="), "{message}");
    assert_eq!(fs::read(detached(&destination)).unwrap(), good);
    assert!(!destination.join(&loose).exists());

    // What comes with a sound commit does.
    fs::write(repo.join(&loose), sound).unwrap();
    pull(&program, &destination, &["--untrusted"], &repo, &["main"]).success();
    assert_eq!(fs::read(detached(&destination)).unwrap(), other);
    assert_sound(&destination);
}

#[test]
fn a_shallow_commit_can_be_completed_and_deepened_later() {
    let directory = scratch();
    let (program, repo) = (osier(), source(directory.path(), "archive"));
    let destination = destination(directory.path(), "destination", "bare-user-only");
    let pull = |options: &[&str], source: &Path| {
        pull(&program, &destination, options, source, &["main"]).line()
    };
    assert_eq!(
        pull(&["--commit-metadata-only"], &repo),
        "1 metadata, 0 content objects imported; 0 bytes content written"
    );
    let marker = |commit: &str| destination.join(format!("state/{commit}.commitpartial"));
    let (tip, first) = (rev(&repo, "main"), rev(&repo, "main^"));
    assert!(marker(&tip).exists());
    assert!(pull(&[], &repo).starts_with("5 metadata, 6 content objects imported; "));
    assert!(!marker(&tip).exists());
    assert!(pull(&["--depth=1"], &repo).starts_with("2 metadata, 0 content objects imported; "));
    assert!(!marker(&first).exists());
    // A source that is itself shallow gives what it has.
    let again = self::destination(directory.path(), "again", "archive");
    fs::remove_file(repo.join(format!("objects/{}/{}.commit", &first[..2], &first[2..]))).unwrap();
    let line = self::pull(&program, &again, &["--depth=-1"], &repo, &["main"]).line();
    assert_eq!(line, "6 metadata, 6 content objects imported; 0 bytes content written");
    assert_sound(&again);
}

#[test]
fn files_that_bare_user_only_refuses_are_named() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "everybody may write here\n").unwrap();
    fs::set_permissions(tree.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
    let repo = destination(directory.path(), "source", "archive");
    osier().repo(&repo, ["commit", "-b", "main", tree.to_str().unwrap()]).success();
    let strict = destination(directory.path(), "strict", "archive");
    let name = object(&repo, ".filez", 0);
    let name = name.strip_prefix(repo.join("objects")).unwrap().to_str().unwrap().replace('/', "");
    let refusal = format!(
        "Content object {}: invalid mode 0100666 with bits 00002",
        name.trim_end_matches(".filez")
    );
    assert_eq!(pull(&osier(), &strict, &["--bareuseronly-files"], &repo, &[]).failure(), refusal);
    let user_only = destination(directory.path(), "user-only", "bare-user-only");
    let message = pull(&osier(), &user_only, &[], &repo, &[]).failure();
    assert_eq!(message, format!("Writing content object: {refusal}"));
}

#[test]
fn a_parents_objects_are_neither_copied_nor_missed() {
    let directory = scratch();
    let repo = source(directory.path(), "archive");
    let parent = destination(directory.path(), "parent", "archive");
    pull(&osier(), &parent, &[], &repo, &["other/part"]).success();
    let child = destination(directory.path(), "child", "archive");
    osier().repo(&child, ["config", "set", "core.parent", parent.to_str().unwrap()]).success();
    let line = pull(&osier(), &child, &[], &repo, &["main"]).line();
    assert_eq!(line, "2 metadata, 3 content objects imported; 0 bytes content written");
    // And a child as source gives what its parent has.
    let grandchild = destination(directory.path(), "grandchild", "archive");
    pull(&osier(), &grandchild, &[], &child, &["main"]).success();
    assert_sound(&grandchild);
}

#[test]
fn a_stale_summary_hides_no_ref() {
    let directory = scratch();
    let repo = source(directory.path(), "archive");
    let program = osier();
    program.repo(&repo, ["summary", "-u"]).success();
    let tree = directory.path().join("other");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "other").unwrap();
    for branch in ["main", "new"] {
        program.repo(&repo, ["commit", "-b", branch, tree.to_str().unwrap()]).success();
    }
    let mine = destination(directory.path(), "mine", "bare-user");
    pull(&program, &mine, &[], &repo, &["main", "new"]).success();
    for branch in ["main", "new"] {
        assert_eq!(rev(&mine, branch), rev(&repo, branch));
    }
}
