//! Removing unreachable objects: what goes, what stays, and in which order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use osier::Checksum;
use osier::fsck::{FsckOptions, fsck};
use osier::object::{ObjectName, ObjectType};
use osier::progress::{Event, Silent};
use osier::prune::{Depth, PruneOptions, PruneStats, Retention, Roots, Scope, prune};
use osier::repo::{CommitState, LockKind, Repo};

use crate::support::{
    Program, assert_same_repository, extract_repo, osier, ostree, scratch, snapshot,
};

fn refs(depth: Depth) -> PruneOptions {
    PruneOptions { roots: Roots::Refs(depth), ..PruneOptions::default() }
}

fn commits(repo: &Path) -> Vec<Checksum> {
    Repo::open(repo).unwrap().list_commits_starting_with("").unwrap()
}

fn copy(from: &Path, to: &Path) {
    Program::other("cp", "cp").run(["-a".as_ref(), from.as_os_str(), to.as_os_str()]).success();
}

/// A repository with the branch `main` of five commits, `other/x` of three with detached metadata,
/// the remote's ref `rem:c` at the third commit of `main`, and a commit without a ref; all one
/// million seconds apart.
fn history(program: &Program, directory: &Path) -> PathBuf {
    let program = program.clone().in_directory(directory);
    program.run(["init", "--repo=r", "--mode=archive"]).success();
    let commit = |content: &str, arguments: &[&str]| {
        fs::create_dir_all(directory.join("t/d")).unwrap();
        fs::write(directory.join("t/same"), "same\n").unwrap();
        fs::write(directory.join("t/file"), content).unwrap();
        fs::write(directory.join("t/d/file"), format!("below {content}")).unwrap();
        program
            .run(
                [
                    &["commit", "--repo=r", "--owner-uid=0", "--owner-gid=0", "--no-xattrs"],
                    arguments,
                    &["t"],
                ]
                .concat(),
            )
            .line()
    };
    for number in 1..=5 {
        commit(&format!("main {number}"), &["-b", "main", &format!("--timestamp=@{number}000000")]);
    }
    for number in 1..=3 {
        let timestamp = format!("--timestamp=@{number}000000");
        commit(
            &format!("other {number}"),
            &["-b", "other/x", &timestamp, "--add-detached-metadata-string=k=v"],
        );
    }
    program.run(["refs", "--repo=r", "--create=rem:c", "main^^"]).success();
    commit("orphan", &["--orphan", "--timestamp=@4000000"]);
    directory.join("r")
}

#[test]
fn every_option_does_what_it_does_in_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let made = history(&ostree, directory.path());
    let rev = |rev: &str| ostree.repo(&made, ["rev-parse", rev]).line();
    let (main, parent, other, third) = (rev("main"), rev("main^"), rev("other/x^"), rev("rem:c"));
    let cases = include_str!("prune/calls.txt");
    for case in cases.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let case = [("MAIN", &main), ("PARENT", &parent), ("OTHER", &other), ("THIRD", &third)]
            .iter()
            .fold(case.to_owned(), |case, (name, commit)| case.replace(name, commit));
        let mut arguments = vec!["prune"];
        arguments.extend(case.split_whitespace());
        let run = |program: &Program, name: &str| {
            let repo = directory.path().join(name);
            copy(&made, &repo);
            let output = program.repo(&repo, &arguments);
            output.assert_no_panic();
            let reported =
                String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
            (repo, reported.replace(program.path.to_str().unwrap(), "ostree"), output.status)
        };
        let (theirs, expected, their_status) = run(&ostree, "theirs");
        let (ours, reported, our_status) = run(&osier(), "ours");
        assert_eq!((reported, our_status), (expected, their_status), "{case}");
        assert_same_repository(&ours, &theirs);
        fs::remove_dir_all(theirs).unwrap();
        fs::remove_dir_all(ours).unwrap();
    }
}

#[test]
fn deltas_to_commits_that_are_gone_and_summaries_of_remotes_that_are_gone_go_too() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let made = history(&ostree, directory.path());
    for arguments in [&["main"][..], &["--empty", "--to=main^"], &["--from=main^^", "--to=main"]] {
        ostree.repo(&made, [&["static-delta", "generate"], arguments].concat()).success();
    }
    ostree.repo(&made, ["summary", "-u"]).success();
    ostree.repo(&made, ["remote", "add", "kept", "https://example.org"]).success();
    let cache = made.join("tmp/cache/summaries");
    fs::create_dir_all(&cache).unwrap();
    for name in ["kept", "kept.sig", "gone", "gone.sig", ".hidden"] {
        fs::write(cache.join(name), name).unwrap();
    }
    let (main, parent) = (
        ostree.repo(&made, ["rev-parse", "main"]).line(),
        ostree.repo(&made, ["rev-parse", "main^"]).line(),
    );
    for arguments in [
        vec!["prune", "--no-prune", "--refs-only", "--depth=0"],
        vec!["prune", "--refs-only", "--depth=0"],
        vec!["prune", "--refs-only", "--depth=0", "--commit-only"],
        vec!["prune", "--static-deltas-only", "--delete-commit", &main],
        vec!["prune", "--static-deltas-only", "--delete-commit=main"],
        vec!["prune", "--delete-commit", &parent],
    ] {
        let cached = |program: &Program, name: &str| {
            let repo = directory.path().join(name);
            copy(&made, &repo);
            let reported = program.repo(&repo, &arguments).success();
            let mut names: Vec<_> = fs::read_dir(repo.join("tmp/cache/summaries"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort_unstable();
            (repo, reported, names)
        };
        let (theirs, expected, _) = cached(&ostree, "theirs");
        let (ours, reported, names) = cached(&osier(), "ours");
        assert_eq!(
            (reported, names),
            (expected, vec!["kept".to_owned(), "kept.sig".to_owned()]),
            "{arguments:?}"
        );
        assert_same_repository(&ours, &theirs);
        let left: Vec<_> = fs::read_dir(ours.join("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(left, ["cache"], "{arguments:?}");
        // The indexes still name what is gone, until the next summary.
        for (program, repo) in [(&ostree, &theirs), (&osier(), &ours)] {
            program.repo(repo, ["summary", "-u"]).success();
        }
        assert_same_repository(&ours, &theirs);
        fs::remove_dir_all(theirs).unwrap();
        fs::remove_dir_all(ours).unwrap();
    }
}

#[test]
fn at_no_moment_is_there_a_commit_without_what_it_needs() {
    let directory = scratch();
    let path = history(&osier(), directory.path());
    // Else fsck would wait for the end.
    osier().repo(&path, ["config", "set", "core.locking", "false"]).success();
    let repo = Repo::open(&path).unwrap();
    let steps = Mutex::new(0);
    let progress = |event: Event<'_>| {
        if let Event::Advanced { .. } = event {
            *steps.lock().unwrap() += 1;
            // What a process finds that opens the repository after this one was killed here.
            let report =
                fsck(&Repo::open(&path).unwrap(), &FsckOptions::default(), &Silent).unwrap();
            assert!(!report.corrupted);
        }
    };
    // One thread, so that nothing changes while fsck looks.
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let stats = threads.install(|| prune(&repo, &refs(Depth::Parents(0)), &progress).unwrap());
    assert_eq!((stats.objects_total, stats.objects_deleted), (47, 30));
    assert_eq!(steps.into_inner().unwrap(), 30);
    assert_eq!(commits(&path).len(), 3);
}

#[test]
fn a_missing_or_damaged_dirtree_ends_it_before_anything_is_removed() {
    let directory = scratch();
    let path = history(&osier(), directory.path());
    let repo = Repo::open(&path).unwrap();
    let tip = repo.resolve_rev("main").unwrap();
    let root = repo.load_commit(&tip).unwrap().root_dirtree;
    let hex = root.to_hex();
    let file = path.join(format!("objects/{}/{}.dirtree", &hex[..2], &hex[2..]));
    fs::write(&file, b"no dirtree").unwrap();
    let before = snapshot(&path);
    let error = prune(&repo, &refs(Depth::Unlimited), &Silent).unwrap_err().chain();
    assert!(
        error.starts_with(&format!("Corrupted dirtree object; checksum expected='{root}'")),
        "{error}"
    );
    assert!(snapshot(&path) == before);

    fs::remove_file(&file).unwrap();
    let before = snapshot(&path);
    let error = prune(&repo, &refs(Depth::Unlimited), &Silent).unwrap_err().chain();
    assert_eq!(error, format!("No such metadata object {root}.dirtree"));
    assert!(snapshot(&path) == before);

    // A partial commit may lack it. What is below it cannot be known and goes; the other commits
    // keep theirs.
    repo.mark_commit(&tip, CommitState::Partial).unwrap();
    let stats = prune(&repo, &refs(Depth::Unlimited), &Silent).unwrap();
    assert_eq!((stats.objects_total, stats.objects_deleted), (46, 5 + 3));
    assert_eq!(repo.commit_state(&tip).unwrap(), CommitState::Partial);
}

#[test]
fn a_commit_that_goes_takes_its_mark_and_detached_metadata_with_it() {
    let directory = scratch();
    let path = history(&osier(), directory.path());
    let repo = Repo::open(&path).unwrap();
    let commit = repo.resolve_rev("other/x^").unwrap();
    repo.mark_commit(&commit, CommitState::Partial).unwrap();
    assert!(repo.load_detached_metadata(&commit).unwrap().is_some());
    prune(&repo, &refs(Depth::Parents(0)), &Silent).unwrap();
    assert!(!repo.has_object(&ObjectName::new(commit, ObjectType::Commit)).unwrap());
    assert!(repo.load_detached_metadata(&commit).unwrap().is_none());
    assert_eq!(fs::read_dir(path.join("state")).unwrap().count(), 0);
}

#[test]
fn a_commit_on_several_branches_is_kept_as_deep_as_the_deepest_wants() {
    let directory = scratch();
    let path = history(&osier(), directory.path());
    let repo = Repo::open(&path).unwrap();
    // `rem:c` is in the history of `main` and comes with nothing, `main` with everything. (2022.7
    // stops at a commit that it has seen, and which it sees first is up to a hash table.)
    let retention = Retention {
        depth: Depth::Parents(0),
        younger_than: None,
        only_branches: Vec::new(),
        branch_depth: BTreeMap::from([("main".to_owned(), Depth::Unlimited)]),
    };
    let options = PruneOptions {
        roots: Roots::Retained(retention),
        scope: Scope::CommitsOnly,
        dry_run: false,
    };
    prune(&repo, &options, &Silent).unwrap();
    assert_eq!(commits(&path).len(), 5 + 1);
}

#[test]
fn a_dry_run_counts_and_changes_nothing() {
    let directory = scratch();
    let path = history(&osier(), directory.path());
    let repo = Repo::open(&path).unwrap();
    let before = snapshot(&path);
    let dry =
        prune(&repo, &PruneOptions { dry_run: true, ..refs(Depth::Parents(1)) }, &Silent).unwrap();
    assert!(snapshot(&path) == before);
    assert_eq!(prune(&repo, &refs(Depth::Parents(1)), &Silent).unwrap(), dry);
    let nothing = PruneStats {
        objects_total: dry.objects_total - dry.objects_deleted,
        ..PruneStats::default()
    };
    assert_eq!(prune(&repo, &refs(Depth::Parents(1)), &Silent).unwrap(), nothing);
}

#[test]
fn no_other_process_may_use_the_repository_meanwhile() {
    let directory = scratch();
    let path = history(&osier(), directory.path());
    let config = fs::read_to_string(path.join("config")).unwrap();
    fs::write(path.join("config"), format!("{config}lock-timeout-secs=0\n")).unwrap();
    let other = Repo::open(&path).unwrap();
    let lock = other.lock(LockKind::Shared).unwrap();
    let error = prune(&Repo::open(&path).unwrap(), &PruneOptions::default(), &Silent).unwrap_err();
    assert_eq!(error.chain(), "Locking repo exclusive failed: Resource temporarily unavailable");
    drop(lock);
    let stats = prune(&Repo::open(&path).unwrap(), &PruneOptions::default(), &Silent).unwrap();
    assert_eq!(stats.objects_deleted, 0);
}

#[test]
fn a_pruned_golden_repository_is_still_sound() {
    let directory = scratch();
    let Some(path) = extract_repo("archive", directory.path()) else { return };
    let repo = Repo::open(&path).unwrap();
    let before = commits(&path).len();
    let stats = prune(&repo, &refs(Depth::Parents(0)), &Silent).unwrap();
    assert!(commits(&path).len() < before && stats.objects_deleted > 0, "{stats:?}");
    let report = fsck(&repo, &FsckOptions::default(), &Silent).unwrap();
    assert!(!report.corrupted);
    assert_eq!(report.commits, commits(&path).len() as u64);
}

#[test]
fn a_dirtree_that_is_not_what_its_name_says_keeps_everything() {
    let directory = scratch();
    let repo = history(&osier(), directory.path());
    let opened = Repo::open(&repo).unwrap();
    let root =
        |rev: &str| opened.load_commit(&opened.resolve_rev(rev).unwrap()).unwrap().root_dirtree;
    let path = |dirtree: Checksum| {
        let hex = dirtree.to_hex();
        repo.join(format!("objects/{}/{}.dirtree", &hex[..2], &hex[2..]))
    };
    // It decodes, but what the tip needs is no longer listed anywhere.
    fs::copy(path(root("main^")), path(root("main"))).unwrap();
    let before = opened.list_objects().unwrap();
    let error = prune(&opened, &refs(Depth::Parents(0)), &Silent).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!(
            "Corrupted dirtree object; checksum expected='{}'",
            root("main")
        )),
        "{error}"
    );
    assert_eq!(opened.list_objects().unwrap(), before);
}

#[test]
fn deltas_from_the_newest_commits_and_from_nothing_can_be_kept() {
    let directory = scratch();
    let repo = history(&osier(), directory.path());
    let rev = |rev: &str| osier().repo(&repo, ["rev-parse", rev]).line();
    let [main, parent, older] = ["main", "main^", "main^^"].map(rev);
    for source in [&["--from=main^", "--from=main^^"][..], &["--empty"]] {
        let generate = [&["static-delta", "generate", "main"], source].concat();
        osier().repo(&repo, generate).success();
    }
    osier().repo(&repo, ["static-delta", "generate", "main^"]).success();
    osier().repo(&repo, ["summary", "-u"]).success();
    let list = || {
        let list = osier().repo(&repo, ["static-delta", "list"]).success();
        list.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let from = |from: &str, to: &str| format!("{from}-{to}");
    let all = [main.clone(), from(&parent, &main), from(&older, &main), from(&older, &parent)];
    assert_eq!(list(), all.clone().into());
    let prune = |keep: &str| {
        let text = osier().repo(&repo, ["prune", "--deltas-keep", keep]).success();
        text.lines().last().unwrap().to_owned()
    };
    assert_eq!(prune("2"), "Deleted 0 static deltas");
    assert_eq!(prune("1"), "Deleted 1 static deltas");
    assert_eq!(list(), [&all[..2], &all[3..]].concat().into_iter().collect());
    let index = |to: &str| {
        let to = osier::Checksum::from_hex(to).unwrap();
        fs::read(repo.join(osier::delta_format::index_path(&to))).ok().map(|bytes| {
            let index = osier::delta_format::DeltaIndex::decode(&bytes).unwrap();
            index.deltas.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>()
        })
    };
    assert_eq!(index(&main).unwrap().len(), 2);
    assert_eq!(prune("0"), "Deleted 2 static deltas");
    assert_eq!(list(), [main.clone()].into());
    assert_eq!((index(&main), index(&parent)), (Some(vec![main]), None));
    let message = osier().repo(&repo, ["prune", "--no-prune", "--deltas-keep=1"]).failure();
    assert_eq!(message, "Cannot specify both --deltas-keep and --no-prune");
    let message = osier().repo(&repo, ["prune", "--deltas-keep=x"]).failure();
    assert_eq!(message, "Invalid number 'x'");
}
