//! Pending commits, resuming, and the summary.

use std::fs;

use osier::repo::{LockKind, Repo};
use serde_json::json;

use super::world::{PENDING, REF, World};
use crate::support::ostree;

#[test]
fn an_unpublished_commit_outlives_a_prune_and_is_published_later() {
    let Some((world, first)) = World::composed() else { return };
    let before = world.public();
    world.change(2);
    let stdout = world.tree(&["--no-publish", "-q", "--json"]).success();
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["status"], &report["summary"]), (&json!("composed"), &json!(null)));
    let second = report["commit"].as_str().unwrap().to_owned();
    assert_eq!(world.rev(PENDING), Some(second.clone()));
    assert_eq!(world.public(), before);
    // Neither program's prune takes it.
    for program in ostree().into_iter().chain([world.osier().clone()]) {
        program.repo(&world.repo(), ["prune", "--refs-only", "--depth=0"]).success();
    }
    world.assert_served(&first);
    // Another compose may be at work in the cache.
    let cache = locked(&world.path("cache/.osier-compose.lock"), "somebody");
    let stdout = world.publish(&second).success();
    drop(cache);
    assert_eq!(stdout, format!("{REF} => {second} (22.1)\n"));
    assert_eq!(world.rev(PENDING), None);
    world.assert_served(&second);
    assert_eq!(world.report()["status"], "published");
    // Once more is once too often, and harmless.
    let before = world.public();
    assert_eq!(world.publish(&second).success(), format!("{REF} is unchanged: {second} (22.1)\n"));
    assert_eq!(world.public(), before);
}

#[test]
fn the_first_commit_may_wait_too_and_a_newer_one_takes_its_place() {
    let Some(world) = World::new() else { return };
    world.tree(&["--no-publish"]).success();
    let first = world.rev(PENDING).unwrap();
    assert_eq!(world.public_commit(), None);
    world.change(2);
    let output = world.tree(&["--no-publish"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output.success();
    let second = world.rev(PENDING).unwrap();
    assert!(
        stderr.contains(&format!(
            "warning: an earlier run left the commit {first} unpublished as {PENDING}"
        )),
        "{stderr}"
    );
    assert!(stderr.contains(&format!("warning: {second} takes the place of {first}")), "{stderr}");
    // Libostree, and so rpm-ostree, would have taken the waiting commit for the published one.
    assert_eq!(world.rev(&format!("{second}^")), None);
    world.publish(PENDING).success();
    world.assert_served(&second);
}

#[test]
fn a_commit_that_does_not_follow_the_published_one_is_not_published() {
    let Some((world, _)) = World::composed() else { return };
    world.change(2);
    world.tree(&["--no-publish"]).success();
    let waiting = world.rev(PENDING).unwrap();
    // Somebody publishes something else in the meantime.
    let other =
        world.osier().repo(&world.repo(), ["commit", "-b", REF, "--tree=dir=packages"]).line();
    world.osier().repo(&world.repo(), ["summary", "-u"]).success();
    let before = world.public();
    let message = world.publish(PENDING).failure();
    let expected =
        format!("the commit {waiting} waits as {PENDING}: the parent of the commit {waiting} is ");
    assert!(
        message.starts_with(&expected) && message.ends_with(&format!(", expected is {other}")),
        "{message}"
    );
    assert_eq!(world.public(), before);
    assert_eq!(world.rev(PENDING), Some(waiting));
}

#[test]
fn an_unchanged_compose_refreshes_a_missing_summary() {
    let Some((world, first)) = World::composed() else { return };
    fs::remove_file(world.repo().join("summary")).unwrap();
    world.tree(&[]).success();
    assert_eq!(
        (&world.report()["status"], world.rev(REF)),
        (&json!("unchanged"), Some(first.clone()))
    );
    assert_eq!(
        world.report()["warnings"].as_array().unwrap().last().unwrap(),
        "the summary was missing and has been written"
    );
    world.assert_served(&first);
}

#[test]
fn an_unchanged_compose_refreshes_a_stale_summary_but_not_one_that_only_has_another_time() {
    let Some((world, first)) = World::composed() else { return };
    world.osier().repo(&world.repo(), ["refs", "--create=other", REF]).success();
    let output = world.tree(&[]);
    assert!(
        String::from_utf8_lossy(&output.stderr)
            .contains("warning: the summary does not say what the refs say")
    );
    output.success();
    let view = world.osier().repo(&world.repo(), ["summary", "--view"]).success();
    assert!(view.contains("* other\n"), "{view}");
    for program in ostree().into_iter().chain([world.osier().clone()]) {
        program.repo(&world.repo(), ["summary", "-u"]).success();
        // 2022.7 does not write all that 2026.4 writes: one refresh at most.
        world.tree(&[]).success();
        let before = world.public();
        world.tree(&[]).success();
        assert_eq!(world.public(), before);
    }
    world.assert_served(&first);
}

#[test]
fn composes_of_different_refs_share_a_repository() {
    let Some((world, _)) = World::composed() else { return };
    let others: Vec<World> = (0..3).filter_map(|_| World::new()).collect();
    let repo = world.repo();
    let repo = repo.to_str().unwrap();
    world.change(2);
    // Caches and work directories of their own; the patience of a minute, since they wait for each
    // other.
    let names: Vec<String> =
        (0..3).map(|number| format!("exampleos/22/x86_64/variant-{number}")).collect();
    for other in others.iter().chain([&world]) {
        let config = fs::read_to_string(other.path("compose.conf")).unwrap();
        fs::write(
            other.path("compose.conf"),
            config.replace("lock-timeout=1s", "lock-timeout=60s"),
        )
        .unwrap();
    }
    std::thread::scope(|scope| {
        for (other, name) in others.iter().zip(&names) {
            scope.spawn(move || other.tree(&["-q", "--repo", repo, "--ref", name]).success());
        }
        scope.spawn(|| world.tree(&["-q"]).success());
    });
    let view = world.osier().repo(&world.repo(), ["summary", "--view"]).success();
    for name in names.iter().map(String::as_str).chain([REF]) {
        assert!(view.contains(&format!("* {name}\n")), "{view}");
        assert!(view.contains(&world.rev(name).unwrap()), "{view}");
    }
    world.assert_served(&world.public_commit().unwrap());
}

#[test]
fn locks_are_waited_for_and_their_holders_named() {
    let Some((world, first)) = World::composed() else { return };
    let before = world.public();
    world.change(2);
    let runs = world.runs().len();
    let repo = Repo::open(&world.repo()).unwrap();
    let lock = repo.lock(LockKind::Exclusive).unwrap();
    let message = world.tree(&[]).failure();
    let own = format!("(process {})", std::process::id());
    let expected = format!("{}/.lock is locked by ", world.repo().display());
    assert!(message.starts_with(&expected) && message.contains(&own), "{message}");
    assert!(message.ends_with(" for more than 1 s"), "{message}");
    drop(lock);
    let cache = locked(&world.path("cache/.osier-compose.lock"), "builder-7, process 4711, run x");
    let message = world.tree(&[]).failure();
    assert!(
        message.contains("is locked by builder-7, process 4711, run x for more than 1 s"),
        "{message}"
    );
    drop(cache);
    assert_eq!((world.runs().len(), world.public()), (runs, before), "nothing was written");
    let publishing =
        locked(&world.repo().join(".osier-publish.lock"), "builder-8, process 1, run y");
    let message = world.tree(&[]).failure();
    assert!(
        message.contains("is locked by builder-8, process 1, run y for more than 1 s"),
        "{message}"
    );
    drop(publishing);
    let waiting = world.rev(PENDING).unwrap();
    assert!(
        message.starts_with(&format!("the commit {waiting} waits as {PENDING}: ")),
        "{message}"
    );
    world.assert_served(&first);
    world.publish(&waiting).success();
    world.assert_served(&waiting);
}

/// A file that somebody else has locked.
fn locked(path: &std::path::Path, holder: &str) -> fs::File {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;
    fs::write(path, holder).unwrap();
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    file
}
