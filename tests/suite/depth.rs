//! Directories within each other: as many as the limit are handled by every command, one more is an
//! error, and no stack grows with them.

use std::path::{Path, PathBuf};
use std::process::Command;

use osier::Checksum;
use osier::commit::{CommitOptions, Description, Source, commit};
use osier::object::{Commit, DirEntry, DirTree, ObjectType};
use osier::progress::Silent;
use osier::refspec::Refspec;
use osier::repo::tree::MAX_DEPTH;
use osier::repo::{Repo, RepoMode, Transaction};
use osier::source::{Attributes, MemoryTree};

use crate::support::user::{NO_THREADS, as_other_user, give_away, make_deep};
use crate::support::{osier_path, scratch};

/// What is wrong with what is deeper.
const TOO_DEEP: &str = "too many directories within each other";

/// What a command may take of a processor, in seconds. Each takes a few; one whose time grows with
/// the square of the depth takes minutes.
const MOST_SECONDS: u32 = 30;

/// A directory that is removed with whatever trees are in it, which the standard library cannot do.
struct Scratch(Option<tempfile::TempDir>);

impl Scratch {
    fn new() -> Self {
        Self(Some(scratch()))
    }

    fn path(&self) -> PathBuf {
        self.0.as_ref().unwrap().path().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = Command::new("rm").arg("-rf").arg(self.path()).status();
        self.0 = None;
    }
}

/// How osier is run: with a stack that overflows at once where something recurses.
#[derive(Clone, Copy, PartialEq)]
enum Threads {
    Many,
    /// None can be made: all work is done on the small stack.
    None,
}

/// Runs osier and returns whether it succeeded, with its output and its errors.
#[track_caller]
fn run(place: &Path, threads: Threads, arguments: &str) -> (bool, String, String) {
    let limits = match threads {
        Threads::Many => "true",
        Threads::None => NO_THREADS,
    };
    let program = if place.join("osier").exists() { "./osier" } else { osier_path() };
    let mut command = Command::new("sh");
    let limits = format!("ulimit -s 1024; ulimit -n 20000; ulimit -t {MOST_SECONDS}; {limits}");
    // `compare` takes both repositories as arguments.
    let repo = if arguments.starts_with("compare ") { "" } else { "--repo=repo" };
    command
        .args(["-c", &format!("{limits}; exec {program} {repo} {arguments}")])
        .current_dir(place);
    command.env("RAYON_NUM_THREADS", "8");
    if threads == Threads::None {
        as_other_user(&mut command);
    }
    let output = command.output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1 | 3)), "{arguments}: {:?} {}", output.status, tail(&err));
    (code == Some(0), out.into_owned(), err.into_owned())
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(300);
    text.get(start..).unwrap_or(text)
}

#[track_caller]
fn succeeds(place: &Path, threads: Threads, arguments: &str) -> String {
    let (success, out, err) = run(place, threads, arguments);
    assert!(success, "{arguments}: {}", tail(&err));
    out
}

#[track_caller]
fn is_refused(place: &Path, threads: Threads, arguments: &str) {
    let (success, _, err) = run(place, threads, arguments);
    assert!(!success && err.contains(TOO_DEEP), "{arguments}: {}", tail(&err));
}

/// A tree of so many directories within each other, with a file in the last.
fn chain(levels: usize, content: &str) -> MemoryTree {
    let mut tree = MemoryTree::new();
    tree.add_file(&("d/".repeat(levels) + "file"), content, Attributes::new(0o644)).unwrap();
    tree
}

fn commit_as(repo: &Repo, branch: &str, tree: MemoryTree) -> Checksum {
    let options = CommitOptions {
        branch: Some(Refspec::parse(branch).unwrap()),
        sources: vec![Source::Memory(tree)],
        ..CommitOptions::new(Description::new(1_700_000_000))
    };
    commit(repo, &options, &Silent).unwrap().commit
}

fn create(place: &Path, name: &str) -> Repo {
    Repo::create(&place.join(name), RepoMode::Archive, None).unwrap()
}

fn all_commands(place: &Path, threads: Threads) {
    let succeeds = |arguments: &str| succeeds(place, threads, arguments);
    let deepest = "/d".repeat(MAX_DEPTH);
    assert_eq!(succeeds("ls -R one").lines().count(), MAX_DEPTH + 2);
    assert_eq!(succeeds("diff one other").trim_end(), format!("M    {deepest}/file"));
    succeeds("export one --output=out.tar");
    let size = std::fs::metadata(place.join("out.tar")).unwrap().len();
    assert!(size > (MAX_DEPTH * MAX_DEPTH) as u64, "{size}");
    succeeds("fsck -q");
    succeeds("prune --refs-only");
    succeeds("checkout -U one copy");
    let owner = "--owner-uid=0 --owner-gid=0 --no-xattrs --timestamp=@1";
    assert_eq!(succeeds("diff --owner-uid=0 --owner-gid=0 one ./copy"), "");
    succeeds(&format!("commit -b again {owner} --tree=dir=copy"));
    assert_eq!(succeeds("diff one again"), "");
    // Such a list asks for every path.
    std::fs::write(place.join("modes"), "=420 /nothing\n").unwrap();
    succeeds(&format!("commit -b again {owner} --statoverride=modes --tree=dir=copy"));
    assert_eq!(succeeds("diff one again"), "");
    succeeds("commit -b again --timestamp=@1 --tree=ref=one --tree=ref=other");
    assert_eq!(succeeds("diff other again"), "");
    succeeds(&format!("commit -b again {owner} --tree=ref=other --tree=ref=one"));
    assert_eq!(succeeds("diff one again"), "");
    succeeds("pull-local --repo=pulled repo one");
}

#[test]
fn trees_as_deep_as_the_limit_are_handled_by_every_command() {
    let scratch = Scratch::new();
    let place = &scratch.path();
    let repo = create(place, "repo");
    create(place, "pulled");
    commit_as(&repo, "one", chain(MAX_DEPTH, "1"));
    commit_as(&repo, "other", chain(MAX_DEPTH, "2"));
    all_commands(place, Threads::Many);
    commit_as(&create(place, "second"), "one", chain(MAX_DEPTH, "2"));
    let (_, report, _) = run(place, Threads::Many, "compare repo second");
    assert!(report.contains(&("/d".repeat(MAX_DEPTH) + "/file")), "{}", tail(&report));
    succeeds(place, Threads::Many, "checkout --composefs one out.img");
}

#[test]
fn trees_as_deep_as_the_limit_are_handled_without_threads() {
    let scratch = Scratch::new();
    let place = &scratch.path();
    let repo = create(place, "repo");
    create(place, "pulled");
    commit_as(&repo, "one", chain(MAX_DEPTH, "1"));
    commit_as(&repo, "other", chain(MAX_DEPTH, "2"));
    // The program may lie where that user cannot reach it.
    std::fs::copy(osier_path(), place.join("osier")).unwrap();
    give_away(place);
    all_commands(place, Threads::None);
}

/// Puts the root of a commit into one more directory, so many times.
fn wrap(repo: &Repo, commit: &Checksum, times: usize) -> Checksum {
    let mut commit: Commit = repo.load_commit(commit).unwrap();
    let transaction = Transaction::begin(repo).unwrap();
    for _ in 0..times {
        let dir = DirEntry {
            name: "d".to_owned(),
            dirtree: commit.root_dirtree,
            dirmeta: commit.root_dirmeta,
        };
        let tree = DirTree { files: Vec::new(), dirs: vec![dir] };
        commit.root_dirtree =
            transaction.write_metadata(ObjectType::DirTree, &tree.encode()).unwrap();
    }
    let wrapped = transaction.write_metadata(ObjectType::Commit, &commit.encode()).unwrap();
    transaction.commit().unwrap();
    wrapped
}

#[test]
fn one_directory_more_is_refused_with_one_error() {
    let scratch = Scratch::new();
    let place = &scratch.path();
    let repo = create(place, "repo");
    create(place, "pulled");
    let one = commit_as(&repo, "one", chain(MAX_DEPTH, "1"));
    let other = commit_as(&repo, "other", chain(MAX_DEPTH, "2"));
    let (one, other) = (wrap(&repo, &one, 1), wrap(&repo, &other, 1));
    for arguments in [
        format!("ls -R {one}"),
        format!("diff {one} {other}"),
        format!("export {one} --output=out.tar"),
        format!("checkout -U {one} copy"),
        format!("checkout --composefs {one} out.img"),
        format!("commit -b again --owner-uid=1 --tree=ref={one}"),
        format!("commit -b again --tree=ref={other} --tree=ref={one}"),
    ] {
        is_refused(place, Threads::Many, &arguments);
    }
    make_deep(&place.join("tree"), MAX_DEPTH + 1);
    is_refused(place, Threads::Many, "commit -b again --tree=dir=tree");
    is_refused(place, Threads::Many, "diff one ./tree");
    let refused = MemoryTree::new()
        .add_directory(&"d/".repeat(MAX_DEPTH + 1), Attributes::new(0o755))
        .unwrap_err();
    assert!(refused.to_string().contains(TOO_DEEP), "{refused}");
    // What is reachable is found without going down into directories.
    succeeds(place, Threads::Many, "fsck -q");
    succeeds(place, Threads::Many, "prune --refs-only");
}

#[test]
fn wide_and_deep_trees_do_not_pile_up_on_one_stack() {
    let scratch = Scratch::new();
    let place = &scratch.path();
    let repo = create(place, "repo");
    for (branch, content) in [("one", "1"), ("other", "2")] {
        let mut tree = MemoryTree::new();
        for branch in 0..12 {
            // Something to be taken by others at every level.
            let mut path = format!("{branch}/");
            for level in 0..400 {
                path.push_str("d/");
                tree.add_file(&format!("{path}e/{level}"), content, Attributes::new(0o644))
                    .unwrap();
            }
        }
        commit_as(&repo, branch, tree);
    }
    succeeds(place, Threads::Many, "checkout -U one copy");
    let owner = "--owner-uid=0 --owner-gid=0 --no-xattrs --timestamp=@1";
    succeeds(place, Threads::Many, &format!("commit -b again {owner} --tree=dir=copy"));
    assert_eq!(succeeds(place, Threads::Many, "diff one again"), "");
    assert_eq!(succeeds(place, Threads::Many, "diff one other").lines().count(), 12 * 400);
    succeeds(
        place,
        Threads::Many,
        &format!("commit -b again {owner} --tree=ref=one --tree=ref=other"),
    );
    assert_eq!(succeeds(place, Threads::Many, "diff other again"), "");
}
