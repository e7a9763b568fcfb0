//! What a run that failed or was killed leaves staged, and what the next run may make of it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::init;
use crate::support::{Program, can_trace, osier, ostree, scratch};

/// The files below `directory`.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(directory).into_iter().map(Result::unwrap);
    entries.filter(|entry| !entry.file_type().is_dir()).map(walkdir::DirEntry::into_path).collect()
}

/// Runs osier on `repo` while strace tampers with calls.
fn tampered(repo: &Path, tampering: &[&str], call: &[&str]) -> i32 {
    let osier = [osier().path.to_str().unwrap().to_owned(), format!("--repo={}", repo.display())];
    let strace =
        ["-f", "-qq", "-o", "/dev/null"].iter().chain(tampering).map(|&word| word.to_owned());
    let call = call.iter().map(|&word| word.to_owned());
    Program::other("strace", "strace").run(strace.chain(osier).chain(call)).status
}

/// A source repository with one commit that has detached metadata; the commit and where the
/// metadata is.
fn annotated(repo: &Path, tree: &Path) -> (String, PathBuf) {
    init(repo, "archive");
    fs::create_dir(tree).unwrap();
    fs::write(tree.join("file"), "content").unwrap();
    let tree = tree.to_str().unwrap();
    let commit = osier()
        .repo(repo, ["commit", "--branch=main", "--add-detached-metadata-string=key=old", tree])
        .line();
    let metadata =
        Path::new("objects").join(&commit[..2]).join(format!("{}.commitmeta", &commit[2..]));
    (commit, metadata)
}

#[test]
fn a_source_that_was_edited_after_a_failed_commit_is_no_object() {
    for (fsync, is_removed) in [("true", false), ("true", true), ("false", false)] {
        let directory = scratch();
        let [repo, tree, other] = ["repo", "tree", "other"].map(|name| directory.path().join(name));
        init(&repo, "bare-user-only");
        osier().repo(&repo, ["config", "set", "core.fsync", fsync]).success();
        for tree in [&tree, &other] {
            fs::create_dir(tree).unwrap();
            fs::write(tree.join("file"), "content").unwrap();
            // As a checkout has it.
            File::options()
                .write(true)
                .open(tree.join("file"))
                .unwrap()
                .set_modified(SystemTime::UNIX_EPOCH)
                .unwrap();
        }
        let consume = ["commit", "--branch=main", "--consume", tree.to_str().unwrap()];
        assert_eq!(
            osier().with("OSTREE_REPO_TEST_ERROR", "pre-commit").repo(&repo, consume).status,
            1
        );
        let mut file = File::options().append(true).open(tree.join("file")).unwrap();
        file.write_all(b", edited").unwrap();
        if is_removed {
            fs::remove_dir_all(&tree).unwrap();
        }

        osier().repo(&repo, ["commit", "--branch=other", other.to_str().unwrap()]).success();
        assert_eq!(
            osier().repo(&repo, ["cat", "other", "/file"]).success(),
            "content",
            "{fsync} {is_removed}"
        );
        if !is_removed {
            osier().repo(&repo, consume).success();
            assert_eq!(osier().repo(&repo, ["cat", "main", "/file"]).success(), "content, edited");
        }
        for program in [Some(osier()), ostree()].into_iter().flatten() {
            program.repo(&repo, ["fsck", "--quiet"]).success();
        }
    }
}

#[test]
fn staged_detached_metadata_does_not_replace_a_newer_version() {
    let directory = scratch();
    let [repo, source, tree] = ["repo", "source", "tree"].map(|name| directory.path().join(name));
    let (_, metadata) = annotated(&source, &tree);
    init(&repo, "archive");
    let pull = ["pull-local", source.to_str().unwrap(), "main"];
    osier().repo(&repo, pull).success();
    assert_eq!(osier().with("OSTREE_REPO_TEST_ERROR", "pre-commit").repo(&repo, pull).status, 1);
    let staged = files(&repo.join("tmp"));
    assert!(
        staged.iter().any(|path| path.extension().is_some_and(|kind| kind == "commitmeta")),
        "{staged:?}"
    );

    let newer = b"a newer version";
    fs::write(repo.join(&metadata), newer).unwrap();
    osier().repo(&repo, ["commit", "--branch=other", tree.to_str().unwrap()]).success();
    assert_eq!(fs::read(repo.join(&metadata)).unwrap(), newer);
}

#[test]
fn detached_metadata_is_not_in_place_before_its_commit() {
    if !can_trace() {
        return;
    }
    let directory = scratch();
    let [repo, source, tree] = ["repo", "source", "tree"].map(|name| directory.path().join(name));
    let (commit, metadata) = annotated(&source, &tree);
    init(&repo, "archive");
    // Or all that is in one of them would come at once.
    for prefix in 0..=255u8 {
        fs::create_dir_all(repo.join(format!("objects/{prefix:02x}"))).unwrap();
    }
    let object = repo.join(&metadata).with_extension("commit");
    let pull = ["pull-local", source.to_str().unwrap(), "main"];
    for (kind, is_commit_there) in [("commit", false), ("commitmeta", true)] {
        let name = format!("{}.{kind}", &commit[2..]);
        let kill = ["-P", &name, "-e", "trace=renameat2", "-e", "inject=renameat2:signal=SIGKILL"];
        assert!(matches!(tampered(&repo, &kill, &pull), -9 | 137));
        assert_eq!(
            (object.exists(), repo.join(&metadata).exists()),
            (is_commit_there, false),
            "{kind}"
        );
    }
    osier().repo(&repo, pull).success();
    assert_eq!(fs::read(repo.join(&metadata)).unwrap(), fs::read(source.join(&metadata)).unwrap());
}

#[test]
fn what_may_not_have_reached_the_disk_is_not_kept() {
    if !can_trace() {
        return;
    }
    let directory = scratch();
    let [repo, source, tree] = ["repo", "source", "tree"].map(|name| directory.path().join(name));
    annotated(&source, &tree);
    init(&repo, "archive");
    let fail = ["-e", "trace=syncfs", "-e", "inject=syncfs:error=EIO"];
    assert_eq!(tampered(&repo, &fail, &["pull-local", source.to_str().unwrap(), "main"]), 1);
    let left = [files(&repo.join("objects")), files(&repo.join("tmp"))].concat();
    assert!(left.is_empty(), "{left:?}");
}
