//! Others write while a policy is applied.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use osier::fsck::{FsckOptions, fsck};
use osier::progress::{Event, Silent};
use osier::prune::prune_by_policy;

use super::{World, names, options};
use crate::support::{Dice, Program, long_tests, osier, ostree};

/// Prunes, and does something between the time at which all is known that goes, and the first
/// removal.
fn prune_with(
    world: &World,
    policy: &str,
    meanwhile: impl Fn() + Sync,
) -> osier::prune::PolicyReport {
    let is_done = AtomicBool::new(false);
    let progress = |event: Event<'_>| {
        if matches!(event, Event::Started { task: "deleting objects", .. })
            && !is_done.swap(true, Ordering::Relaxed)
        {
            meanwhile();
        }
    };
    let report = prune_by_policy(&world.repo(), &options(policy, 0), &progress).unwrap();
    assert!(is_done.into_inner());
    assert!(!fsck(&world.repo(), &FsckOptions::default(), &Silent).unwrap().corrupted);
    report
}

const NEWEST: &str = "[refs \"*\"]\nkeep=1\n";

#[test]
fn a_commit_that_gets_a_ref_meanwhile_stays() {
    let world = World::new();
    world.history("main", 4);
    let report = prune_with(&world, NEWEST, || {
        osier().repo(&world.path(), ["refs", "--create=saved", "main^^"]).success();
    });
    assert_eq!(world.subjects(), names(&["main~0", "main~2"]));
    assert_eq!((report.commits_deleted, report.objects_deleted), (2, 8));
    world.assert_whole();
}

#[test]
fn what_a_new_commit_has_found_in_place_stays_whether_a_ref_leads_to_it_or_not() {
    for arguments in [&["-b", "new"][..], &["--orphan"]] {
        let world = World::new();
        world.history("main", 4);
        // The same tree as one that goes, in another commit.
        prune_with(&world, NEWEST, || {
            world.commit("main~2", 0, arguments);
        });
        assert_eq!(world.subjects(), names(&["main~0", "main~2"]));
        world.assert_whole();
    }
}

#[test]
fn a_partial_commit_that_is_completed_meanwhile_keeps_what_it_has_found_in_place() {
    let world = World::new();
    world.history("main", 2);
    let repo = world.repo();
    let tip = repo.resolve_rev("main").unwrap();
    let root = repo.load_commit(&tip).unwrap().root_dirtree.to_hex();
    let file = world.path().join(format!("objects/{}/{}.dirtree", &root[..2], &root[2..]));
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    repo.mark_commit(&tip, osier::repo::CommitState::Partial).unwrap();
    prune_with(&world, NEWEST, || {
        fs::write(&file, &bytes).unwrap();
        repo.mark_commit(&tip, osier::repo::CommitState::Complete).unwrap();
    });
    assert_eq!(world.subjects(), names(&["main~0"]));
    world.assert_whole();
}

/// Committers, pulls and pruners in one repository, osier and the real program mixed.
#[test]
fn committers_pulls_and_pruners_lose_nothing() {
    let world = World::new();
    let time = Duration::from_secs(if long_tests() { 180 } else { 3 });
    let path = world.path();
    let (started, prunes, slowest) = (Instant::now(), AtomicU32::new(0), AtomicU32::new(0));
    let goes_on = || started.elapsed() < time;
    let programs: Vec<Program> = [Some(osier()), ostree()].into_iter().flatten().collect();
    let policy = world.directory.path().join("policy.conf");
    fs::write(&policy, "[refs \"**\"]\nkeep=2\n").unwrap();
    let run = |program: &Program, arguments: &[&str]| {
        let began = Instant::now();
        let output = program.repo(&path, arguments);
        slowest.fetch_max(began.elapsed().as_millis() as u32, Ordering::Relaxed);
        output
    };
    let commit = |program: &Program, place: &str, dice: &mut Dice| {
        let tree = world.directory.path().join(format!("tree{}", place.replace('/', "-")));
        fs::create_dir_all(tree.join("folder")).unwrap();
        // From few contents, so that what goes is needed again.
        for file in 0..8 {
            fs::write(tree.join("folder").join(file.to_string()), dice.below(4).to_string())
                .unwrap();
        }
        let tree = tree.to_str().unwrap().to_owned();
        let place = if place == "orphan" { "--orphan".into() } else { format!("--branch={place}") };
        run(program, &["commit", &place, "--no-xattrs", "--canonical-permissions", &tree]).line()
    };
    let last: Vec<(String, String)> = thread::scope(|scope| {
        let (commit, run, goes_on, programs) = (&commit, &run, &goes_on, &programs);
        let committers: Vec<_> = (0..4u64)
            .map(|number| {
                let program = &programs[number as usize % programs.len()];
                scope.spawn(move || {
                    let (name, mut dice) = (format!("refs/{number}"), Dice::new(number + 1));
                    let mut last = commit(program, &name, &mut dice);
                    while goes_on() {
                        last = commit(program, &name, &mut dice);
                        commit(program, "orphan", &mut dice);
                        thread::sleep(Duration::from_millis(30));
                    }
                    (name, last)
                })
            })
            .collect();
        // Pulls from a repository of its own, to which the same is committed.
        let source = world.directory.path().join("source");
        scope.spawn(move || {
            osier().repo(&source, ["init", "--mode=archive"]).success();
            let tree = source.with_extension("tree");
            fs::create_dir_all(&tree).unwrap();
            let mut dice = Dice::new(50);
            while goes_on() {
                for file in 0..8 {
                    fs::write(tree.join(file.to_string()), dice.below(4).to_string()).unwrap();
                }
                let tree = tree.to_str().unwrap();
                let arguments = ["commit", "-b", "pulled", "--no-xattrs", tree];
                osier().repo(&source, arguments).success();
                run(&osier(), &["pull-local", source.to_str().unwrap(), "pulled"]).success();
            }
        });
        for _ in 0..2 {
            let (policy, prunes) = (format!("--policy={}", policy.display()), &prunes);
            let path = &path;
            scope.spawn(move || {
                while goes_on() || prunes.load(Ordering::Relaxed) == 0 {
                    let guard = "--keep-unreferenced-younger-than=1s";
                    osier().repo(path, ["prune", &policy, guard]).success();
                    prunes.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        committers.into_iter().map(|committer| committer.join().unwrap()).collect()
    });
    for (name, last) in last {
        assert_eq!(osier().repo(&path, ["rev-parse", &name]).line(), last, "{name}");
    }
    for program in &programs {
        program.repo(&path, ["fsck", "--quiet"]).success();
    }
    println!(
        "{} prunes in {:?}; the longest a writer took: {} ms",
        prunes.load(Ordering::Relaxed),
        started.elapsed(),
        slowest.load(Ordering::Relaxed)
    );
}
