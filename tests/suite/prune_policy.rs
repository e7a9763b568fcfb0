//! `prune --policy`: what the rules of a file keep, while others write.

mod races;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use osier::fsck::{FsckOptions, fsck};
use osier::progress::{Event, Silent};
use osier::prune::{Pace, Policy, PolicyOptions, PolicyReport, prune_by_policy};
use osier::repo::{CommitState, Repo};
use serde_json::Value;

use crate::support::{osier, ostree, scratch, snapshot};

const DAY: u64 = 86_400;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A repository with its commits, by their subjects.
struct World {
    directory: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { directory: scratch() };
        osier().repo(&world.path(), ["init", "--mode=archive"]).success();
        world
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("repo")
    }

    fn repo(&self) -> Repo {
        Repo::open(&self.path()).unwrap()
    }

    /// A commit of a file of its own, and of one that all have; so many days old.
    fn commit(&self, subject: &str, days: u64, arguments: &[&str]) -> String {
        let tree = self.directory.path().join("tree");
        fs::create_dir_all(tree.join("usr")).unwrap();
        fs::write(tree.join("usr/own"), subject).unwrap();
        fs::write(tree.join("usr/all"), "all").unwrap();
        let (timestamp, tree) =
            (format!("--timestamp=@{}", now() - days * DAY), tree.to_str().unwrap());
        let common =
            ["commit", "--no-xattrs", "--canonical-permissions", "-s", subject, &timestamp];
        osier().repo(&self.path(), [&common, arguments, &[tree]].concat()).line()
    }

    /// So many commits of a ref, one a day, the last one of today.
    fn history(&self, name: &str, number: u64) {
        for day in (0..number).rev() {
            self.commit(&format!("{name}~{day}"), day, &["-b", name]);
        }
    }

    /// The subjects of all commits that are there.
    fn subjects(&self) -> BTreeSet<String> {
        let repo = self.repo();
        let commits = repo.list_commits_starting_with("").unwrap();
        commits.iter().map(|commit| repo.load_commit(commit).unwrap().subject).collect()
    }

    /// Prunes so long after now that nothing is young, or with a guard of so many seconds.
    fn prune(&self, policy: &str, guard: u64) -> PolicyReport {
        prune_by_policy(&self.repo(), &options(policy, guard), &Silent).unwrap()
    }

    #[track_caller]
    fn assert_whole(&self) {
        let report = fsck(&self.repo(), &FsckOptions::default(), &Silent).unwrap();
        assert!(!report.corrupted);
        // Nothing else is left.
        let plain = osier().repo(&self.path(), ["prune"]).success();
        assert!(plain.ends_with("No unreachable objects\n"), "{plain}");
    }
}

fn options(policy: &str, guard: u64) -> PolicyOptions {
    // What is written in the same tick of the clock as the prune begins is kept.
    std::thread::sleep(Duration::from_millis(20));
    PolicyOptions {
        policy: Policy::parse("policy", policy.as_bytes()).unwrap(),
        guard: Duration::from_secs(guard),
        now: now() + if guard == 0 { 1 } else { 0 },
        dry_run: false,
        pace: Pace { pause: Duration::from_millis(1), ..Pace::default() },
    }
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_first_rule_that_matches_a_ref_says_how_many_and_how_young_commits_stay() {
    let world = World::new();
    for name in ["a/x", "a/y/z", "b", "c"] {
        world.history(name, 4);
    }
    let report = world.prune(
        "[refs \"a/*\"]\nkeep=2\n[refs \"a/**\"]\nkeep=1\nkeep-younger-than=36h\n\
         [refs \"b\"]\nkeep-younger-than=1m\n",
        0,
    );
    let kept = ["a/x~0", "a/x~1", "a/y/z~0", "a/y/z~1", "b~0", "c~0", "c~1", "c~2", "c~3"];
    assert_eq!(world.subjects(), names(&kept));
    let rows: Vec<_> = report
        .rows
        .iter()
        .map(|row| (row.commits_kept, row.commits_deleted, row.objects_deleted))
        .collect();
    // Each commit has a commit, two dirtrees and a file of its own.
    assert_eq!(rows, [(2, 2, 8), (2, 2, 8), (1, 3, 12), (4, 0, 0), (0, 0, 0), (0, 0, 0)]);
    assert_eq!((report.commits_deleted, report.objects_deleted), (7, 28));
    let sizes: u64 = report.rows.iter().map(|row| row.bytes_freed).sum();
    assert!(sizes > 0 && sizes == report.bytes_freed);
    world.assert_whole();
}

#[test]
fn tagged_commits_stay_and_stay_when_nothing_leads_to_them_any_more() {
    let world = World::new();
    for day in (0..6).rev() {
        let mut arguments = vec!["-b", "main"];
        if day == 3 {
            arguments.push("--add-metadata-string=release=39");
        }
        if day == 4 {
            arguments.push("--add-detached-metadata-string=channel=stable");
        }
        if day == 5 {
            arguments.push("--add-metadata-string=channel=beta");
        }
        world.commit(&format!("main~{day}"), day, &arguments);
    }
    let policy = "[refs \"main\"]\nkeep=1\nkeep-tagged=release;channel=stable\n";
    for _ in 0..2 {
        world.prune(policy, 0);
        assert_eq!(world.subjects(), names(&["main~0", "main~3", "main~4"]));
    }
    // The rule is for refs that the commit was made for.
    world.prune("[refs \"other\"]\nkeep=1\nkeep-tagged=release\n[refs \"main\"]\nkeep=1\n", 0);
    assert_eq!(world.subjects(), names(&["main~0"]));
    world.assert_whole();
}

#[test]
fn refs_of_remotes_and_mirrors_and_aliases_count() {
    let world = World::new();
    world.history("one", 2);
    world.history("two", 2);
    world.history("three", 2);
    let path = world.path();
    let run = |arguments: &[&str]| drop(osier().repo(&path, arguments).success());
    run(&["refs", "--create=origin:one", "one"]);
    run(&["refs", "--delete", "one"]);
    let mirrors = path.join("refs/mirrors/org.example.Os");
    fs::create_dir_all(&mirrors).unwrap();
    fs::rename(path.join("refs/heads/two"), mirrors.join("two")).unwrap();
    run(&["refs", "--alias", "--create=stable", "three"]);
    world.prune("[refs \"one\"]\nkeep=1\n[refs \"two\"]\nkeep=1\n", 0);
    assert_eq!(world.subjects().len(), 6);
    world.prune("[refs \"origin:*\"]\nkeep=1\n[refs \"org.example.Os:*\"]\nkeep=1\n", 0);
    assert_eq!(world.subjects(), names(&["one~0", "two~0", "three~0", "three~1"]));
    world.prune("[refs \"three\"]\nkeep=1\n", 0);
    assert_eq!(world.subjects(), names(&["one~0", "two~0", "three~0"]));
    world.assert_whole();
}

#[test]
fn what_no_ref_leads_to_stays_while_it_is_young() {
    let world = World::new();
    world.history("main", 2);
    world.commit("imported", 900, &["--orphan"]);
    let file = world.path().join("objects/00");
    fs::create_dir_all(&file).unwrap();
    fs::write(file.join(format!("{}.filez", "0".repeat(62))), "x").unwrap();
    let policy = "[refs \"*\"]\nkeep=1\n";
    let report = world.prune(policy, 3600);
    assert_eq!(world.subjects(), names(&["main~0", "imported"]));
    assert_eq!((report.commits_deleted, report.objects_young), (1, 1));
    assert!(!fsck(&world.repo(), &FsckOptions::default(), &Silent).unwrap().corrupted);
    let mut later = options(policy, 3600);
    later.now += 3602;
    let report = prune_by_policy(&world.repo(), &later, &Silent).unwrap();
    assert_eq!(world.subjects(), names(&["main~0"]));
    assert_eq!((report.objects_deleted, report.objects_young), (4 + 1, 0));
    world.assert_whole();
}

#[test]
fn what_is_left_is_what_the_real_program_leaves() {
    let Some(ostree) = ostree() else { return };
    let world = World::new();
    world.history("main", 4);
    world.history("other", 3);
    world.repo().enable_tombstones().unwrap();
    let second = world.repo().resolve_rev("main^^").unwrap();
    world.repo().mark_commit(&second, CommitState::Partial).unwrap();
    let (path, theirs) = (world.path(), world.directory.path().join("theirs"));
    crate::support::copy_all(&path, &theirs);
    world.prune("[refs \"**\"]\nkeep=2\n", 0);
    ostree.repo(&theirs, ["prune", "--refs-only", "--depth=1"]).success();
    fs::remove_file(path.join("tmp/cache/reachability")).unwrap();
    crate::support::assert_same_repository(&path, &theirs);
}

#[test]
fn deltas_stay_by_the_commits_they_lead_to_and_come_from() {
    let world = World::new();
    world.history("main", 4);
    world.history("other", 2);
    let path = world.path();
    let rev = |rev: &str| osier().repo(&path, ["rev-parse", rev]).line();
    let [m0, m1, m2, m3] = ["main", "main^", "main^^", "main^^^"].map(rev);
    let (o0, o1) = (rev("other"), rev("other^"));
    for (from, to) in [(&m1, &m0), (&m2, &m0), (&m3, &m0), (&m2, &m1), (&m3, &m2), (&o1, &o0)] {
        let from = format!("--from={from}");
        osier().repo(&path, ["static-delta", "generate", &from, to]).success();
    }
    osier().repo(&path, ["static-delta", "generate", "--empty", &m0]).success();
    osier().repo(&path, ["config", "set", "core.auto-update-summary", "true"]).success();
    osier().repo(&path, ["summary", "-u"]).success();
    let list = || {
        let text = osier().repo(&path, ["static-delta", "list"]).success();
        text.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let name = |from: &str, to: &str| format!("{from}-{to}");
    let report = world.prune("[refs \"main\"]\nkeep=3\n[deltas \"main\"]\nkeep=2\nsources=1\n", 0);
    // The one to the oldest commit that stays is of a commit that the rule leaves out.
    let expected = [m0.clone(), name(&m1, &m0), name(&m2, &m1), name(&o1, &o0)];
    assert_eq!(list(), expected.into_iter().collect());
    assert_eq!((report.deltas_deleted, report.rows[0].deltas_deleted), (3, 3));
    // Neither the indexes nor the summary name what is gone.
    let summary = osier().repo(&path, ["summary", "-v", "--json"]).success();
    assert!(!summary.contains(&name(&m2, &m0)) && summary.contains(&name(&m1, &m0)), "{summary}");
    let indexes = osier().repo(&path, ["static-delta", "indexes"]).success();
    assert_eq!(indexes.lines().count(), 3, "{indexes}");
    // Without a rule for them, those to commits that go go.
    world.prune("[refs \"**\"]\nkeep=1\n", 0);
    assert_eq!(list(), [m0.clone(), name(&m1, &m0), name(&o1, &o0)].into_iter().collect());
}

#[test]
fn the_cache_is_used_and_losing_it_costs_nothing_but_time() {
    let world = World::new();
    world.history("main", 5);
    let policy = |keep: u32| format!("[refs \"*\"]\nkeep={keep}\n");
    world.prune(&policy(4), 0);
    let cache = world.path().join("tmp/cache/reachability");
    let before = fs::read(&cache).unwrap();
    // Its numbers are those of the commits that are left.
    assert_eq!(before[21..25], 4u32.to_le_bytes());
    world.prune(&policy(4), 0);
    assert_eq!(fs::read(&cache).unwrap(), before);

    // Nothing is read that the cache knows.
    let repo = world.repo();
    let root = repo.load_commit(&repo.resolve_rev("main").unwrap()).unwrap().root_dirtree.to_hex();
    let dirtree = world.path().join(format!("objects/{}/{}.dirtree", &root[..2], &root[2..]));
    let bytes = fs::read(&dirtree).unwrap();
    fs::write(&dirtree, "damaged").unwrap();
    world.prune(&policy(3), 0);
    let good = fs::read(&cache).unwrap();
    for damage in [&b""[..], b"osier reachability 1\n", &good[..good.len() - 1], b"\0\0\0\0"] {
        fs::write(&cache, damage).unwrap();
        let error = prune_by_policy(&repo, &options(&policy(2), 0), &Silent).unwrap_err().chain();
        assert!(error.starts_with("Corrupted dirtree object;"), "{error}");
        assert_eq!(world.subjects().len(), 3, "nothing has been removed");
    }
    fs::write(&dirtree, bytes).unwrap();
    world.prune(&policy(2), 0);
    assert_eq!(world.subjects(), names(&["main~0", "main~1"]));
    world.assert_whole();
    // Commits that come are added.
    world.commit("next", 0, &["-b", "main"]);
    world.prune(&policy(2), 0);
    assert_eq!(world.subjects(), names(&["main~0", "next"]));
    world.assert_whole();
}

#[test]
fn a_commit_that_lacks_something_on_purpose_is_pruned_too_and_not_cached() {
    let world = World::new();
    world.history("main", 3);
    let repo = world.repo();
    let tip = repo.resolve_rev("main").unwrap();
    let root = repo.load_commit(&tip).unwrap().root_dirtree.to_hex();
    let file = world.path().join(format!("objects/{}/{}.dirtree", &root[..2], &root[2..]));
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let policy = "[refs \"*\"]\nkeep=2\n";
    let error = prune_by_policy(&repo, &options(policy, 0), &Silent).unwrap_err().chain();
    assert_eq!(error, format!("No such metadata object {root}.dirtree"));
    repo.mark_commit(&tip, CommitState::Partial).unwrap();
    // What is below what is missing cannot be known, and is as good as in no commit.
    world.prune(policy, 3600);
    assert_eq!(world.subjects(), names(&["main~0", "main~1"]));
    let cache = fs::read(world.path().join("tmp/cache/reachability")).unwrap();
    assert_eq!(cache[21..25], 1u32.to_le_bytes());
    // What was missing comes, and what it lists stays.
    fs::write(&file, bytes).unwrap();
    repo.mark_commit(&tip, CommitState::Complete).unwrap();
    world.prune("[refs \"*\"]\nkeep=1\n", 0);
    assert_eq!(world.subjects(), names(&["main~0"]));
    world.assert_whole();
}

#[test]
fn a_dry_run_shows_each_rule_and_changes_nothing() {
    let world = World::new();
    world.history("main", 3);
    world.history("other", 1);
    world.commit("orphan", 0, &["--orphan"]);
    let file = world.directory.path().join("policy.conf");
    fs::write(&file, "[refs \"main\"]\nkeep=1\n").unwrap();
    let option = format!("--policy={}", file.display());
    let run = |arguments: &[&str]| {
        let common = ["prune", &option, "--keep-unreferenced-younger-than=0"];
        osier().repo(&world.path(), [&common[..], arguments].concat()).success()
    };
    let before = snapshot(&world.path());
    let text = run(&["--dry-run"]);
    assert!(snapshot(&world.path()) == before);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0].join(" "), "KEPT DELETED OBJECTS DELTAS WOULD FREE COMMITS OF");
    let row = |number: usize| (rows[number][..4].join(" "), rows[number][6..].join(" "));
    assert_eq!(row(1), ("1 2 8 0".to_owned(), "main".to_owned()));
    assert_eq!(row(2), ("1 0 0 0".to_owned(), "(other refs)".to_owned()));
    assert_eq!(row(3), ("0 1 4 0".to_owned(), "(in no ref)".to_owned()));
    assert_eq!(row(4), ("0 0 0 0".to_owned(), "(in no commit)".to_owned()));
    assert!(text.contains("\nTotal objects: 22\nWould delete: 12 objects, freeing "), "{text}");

    let dry: Value = serde_json::from_str(&run(&["--dry-run", "--json"])).unwrap();
    let mut wet: Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!((&dry["dry_run"], &wet["dry_run"]), (&true.into(), &false.into()));
    wet["dry_run"] = true.into();
    assert_eq!(dry, wet);
    assert_eq!(wet["rules"][0]["pattern"], "main");
    assert!(run(&[]).ends_with("Total objects: 10\nNo unreachable objects\n"));
}

#[test]
fn refs_only_has_the_guard_too_and_other_choices_do_not_go_with_a_policy() {
    let world = World::new();
    world.history("main", 3);
    world.commit("orphan", 0, &["--orphan"]);
    let run =
        |arguments: &[&str]| osier().repo(&world.path(), [&["prune"][..], arguments].concat());
    let text = run(&["--refs-only", "--depth=1", "--keep-unreferenced-younger-than=1h"]).success();
    assert!(text.starts_with("Total objects: 18\nDeleted 4 objects, "), "{text}");
    assert_eq!(world.subjects(), names(&["main~0", "main~1", "orphan"]));
    run(&["--refs-only", "--keep-unreferenced-younger-than=0"]).success();
    assert_eq!(world.subjects(), names(&["main~0", "main~1"]));
    for other in ["--depth=1", "--keep-younger-than=now", "--commit-only", "--deltas-keep=1"] {
        let message = run(&["--policy=p", other]).failure();
        assert_eq!(message, "with --policy only the policy decides what is kept");
    }
    assert_eq!(
        run(&["--keep-unreferenced-younger-than=1h"]).failure(),
        "--keep-unreferenced-younger-than goes with --policy or --refs-only"
    );
    assert_eq!(
        run(&["--refs-only", "--keep-unreferenced-younger-than=soon"]).failure(),
        "Invalid duration 'soon'; write 12h, 30d or 12w"
    );
    let message = run(&["--policy=/none/such"]).failure();
    assert_eq!(message, "reading /none/such: No such file or directory (os error 2)");
}

#[test]
fn at_no_moment_is_there_a_commit_without_what_it_needs() {
    let world = World::new();
    world.history("main", 5);
    osier().repo(&world.path(), ["config", "set", "core.locking", "false"]).success();
    let path: &Path = &world.path();
    let steps = std::sync::Mutex::new(0);
    let progress = |event: Event<'_>| {
        if let Event::Advanced { .. } = event {
            *steps.lock().unwrap() += 1;
            let report = fsck(&Repo::open(path).unwrap(), &FsckOptions::default(), &Silent);
            assert!(!report.unwrap().corrupted);
        }
    };
    let threads = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let options = options("[refs \"*\"]\nkeep=1\n", 0);
    threads.install(|| prune_by_policy(&world.repo(), &options, &progress).unwrap());
    assert_eq!(steps.into_inner().unwrap(), 16);
    world.assert_whole();
}
