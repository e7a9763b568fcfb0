//! Many builders at once, and builders that are killed.

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::world::World;
use crate::support::{Dice, long_tests};

const BUILDERS: usize = 8;

/// Eight repositories, each with a tree of its own under a branch.
fn builders(world: &World, branch: impl Fn(usize) -> String) -> Vec<(String, String)> {
    let build = |number: usize| {
        let repo = format!("builder{number}");
        world.run(&repo, &["init", "--mode=archive"]).success();
        fs::write(world.path().join("tree/dir/number"), number.to_string()).unwrap();
        let commit = world.commit(&repo, &branch(number), "tree");
        (repo, commit)
    };
    (0..BUILDERS).map(build).collect()
}

/// Pushes all of them at the same time; returns whether each has succeeded, and what it said.
fn push_all(world: &World, builders: &[(String, String)]) -> Vec<Result<String, String>> {
    thread::scope(|scope| {
        let push = |repo: &str| match world.push(repo, &[]) {
            output if output.status == 0 => Ok(output.success()),
            output => Err(output.failure()),
        };
        let pushes: Vec<_> =
            builders.iter().map(|(repo, _)| scope.spawn(move || push(repo))).collect();
        pushes.into_iter().map(|push| push.join().unwrap()).collect()
    })
}

#[test]
fn eight_builders_of_eight_refs_lose_nothing() {
    for world in World::each("archive") {
        let builders = builders(&world, |number| format!("branch/{number}"));
        // The first ones make the repository.
        for result in push_all(&world, &builders) {
            result.unwrap();
        }
        let refs: Vec<String> = (0..BUILDERS).map(|number| format!("branch/{number}")).collect();
        let expected: Vec<(&str, &str)> = refs
            .iter()
            .zip(&builders)
            .map(|(name, (_, commit))| (&name[..], &commit[..]))
            .collect();
        world.check(&expected);
    }
}

#[test]
fn of_eight_builders_of_one_ref_one_wins_and_the_others_are_told() {
    for world in World::each("archive") {
        let builders = builders(&world, |_| "main".to_owned());
        let results = push_all(&world, &builders);
        let winners: Vec<&String> = builders
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_ok())
            .map(|((_, commit), _)| commit)
            .collect();
        let [winner] = winners[..] else { panic!("{results:?}") };
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            let overtaken = format!("was moved to {winner} by somebody else meanwhile");
            let late = format!("the ref main is at {winner} in ");
            assert!(error.contains(&overtaken) || error.starts_with(&late), "{error}");
        }
        world.check(&[("main", winner)]);
    }
}

fn start(world: &World) -> Child {
    let mut command = std::process::Command::new(world.program().path);
    command.args(["push", "--repo=src", &world.url()]).current_dir(world.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_push_that_is_killed_leaves_the_old_state_and_the_next_goes_on() {
    let world = World::new("bare-user-only");
    let old = world.commit("src", "main", "tree");
    world.push("src", &[]).success();
    let mut dice = Dice::new(15);
    for number in 0..200 {
        fs::write(world.path().join(format!("tree/dir/{number}")), dice.bytes(5000)).unwrap();
    }
    fs::write(world.path().join("tree/huge"), dice.bytes(5_000_000)).unwrap();
    let new = world.commit("src", "main", "tree");
    crate::support::copy_all(&world.path().join("dst"), &world.path().join("before"));
    let restore = || {
        fs::remove_dir_all(world.path().join("dst")).unwrap();
        crate::support::copy_all(&world.path().join("before"), &world.path().join("dst"));
    };
    let started = Instant::now();
    assert!(start(&world).wait().unwrap().success());
    let time = started.elapsed();
    let mut cut_short = 0;
    for _ in 0..if long_tests() { 50 } else { 6 } {
        restore();
        let mut child = start(&world);
        thread::sleep(dice.moment(time + Duration::from_millis(5)));
        let _ = kill_process(Pid::from_child(&child), Signal::KILL);
        cut_short += u32::from(!child.wait().unwrap().success());
        let now = world.run("dst", &["rev-parse", "main"]).line();
        assert!(now == old || now == new, "{now}");
        world.run("dst", &["fsck"]).success();
        world.push("src", &[]).success();
        world.check(&[("main", &new)]);
        let staged = fs::read_dir(world.path().join("dst/tmp")).unwrap();
        let staged = staged.map(|entry| entry.unwrap().file_name()).filter(|name| name != "cache");
        assert_eq!(staged.count(), 0);
    }
    println!("{cut_short} pushes were cut short");
}
