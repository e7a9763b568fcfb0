//! `kill -9` and SIGINT, at random moments and before every system call that changes something.
//!
//! Whatever the moment: both programs' fsck is clean, each ref and the summary is the old one or
//! the new one, no object is lost that both states have; and the same command again brings the
//! repository to the very state that it reaches without interruption, with nothing left over in
//! `tmp/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::stage::{Operation, State, check_between, commit, stage, words};
use super::trace::record;
use crate::support::{
    Dice, Program, copy_all, has_xattrs, long_tests, needs_user_xattrs, osier, scratch,
    scratch_root, skip,
};

/// What ends the program.
#[derive(Clone, Copy, Debug)]
enum Blow<'a> {
    /// A signal after some time.
    After(Duration, Signal),
    /// `kill -9` before a thread's so many-th call of that name.
    BeforeCall(&'a str, u64),
}

#[test]
fn a_killed_commit_to_an_archive_is_as_if_it_had_not_begun_or_had_ended() {
    run_all(1, "archive", |rev| commit(&rev("main")));
}

#[test]
fn a_killed_commit_to_a_bare_user_repository_is_as_if_it_had_not_begun_or_had_ended() {
    if needs_user_xattrs() {
        run_all(2, "bare-user", |rev| commit(&rev("main")));
    }
}

#[test]
fn a_killed_checkout_can_be_finished() {
    run_all(3, "archive", |_| words("checkout -U --union --fsync=yes main out"));
}

#[test]
fn a_killed_pull_is_as_if_it_had_not_begun_or_had_ended() {
    run_all(4, "empty", |_| words("pull-local archive main side"));
}

#[test]
fn a_killed_prune_leaves_only_what_the_next_one_removes() {
    run_all(5, "archive", |_| words("prune --refs-only --depth=1"));
}

#[test]
fn a_killed_summary_is_the_old_one_or_the_new_one() {
    run_all(6, "archive", |_| words("summary -u"));
}

#[test]
fn a_killed_reset_is_as_if_it_had_not_begun_or_had_ended() {
    run_all(7, "archive", |rev| words(&format!("reset main {}", rev("main^"))));
}

#[test]
fn a_ref_is_created_or_not() {
    run_all(8, "archive", |_| words("refs --create=fresh/and/deep main --force"));
}

#[test]
fn a_ref_is_deleted_or_not() {
    run_all(9, "archive", |_| words("refs --delete side"));
}

fn run_all(seed: u64, repo: &'static str, call: impl Fn(&dyn Fn(&str) -> String) -> Vec<String>) {
    run_prepared(seed, repo, |_| (), call);
}

/// The same after something more was done in the directory.
pub fn run_prepared(
    seed: u64,
    repo: &'static str,
    prepare: impl Fn(&Path),
    call: impl Fn(&dyn Fn(&str) -> String) -> Vec<String>,
) {
    if !has_xattrs(scratch_root(), "user.osier") {
        return skip("one of the repositories is bare-user, which needs user xattrs");
    }
    let directory = scratch();
    let before = directory.path().join("before");
    fs::create_dir(&before).unwrap();
    stage(&before);
    prepare(&before);
    let call = call(&|rev| osier().repo(&before.join("archive"), ["rev-parse", rev]).line());
    let operation = Operation { repo, call };
    let after = directory.path().join("after");
    copy_all(&before, &after);
    let started = Instant::now();
    operation.program(&after).run(operation.arguments()).success();
    let time = started.elapsed();
    let sides = (State::of(&before, repo), State::of(&after, repo));

    let mut dice = Dice::new(seed);
    let rounds = if long_tests() { 60 } else { 4 };
    let mut finished = 0;
    for _ in 0..rounds {
        let signal = if dice.below(4) == 0 { Signal::INT } else { Signal::KILL };
        let blow = Blow::After(dice.moment(time), signal);
        finished += u32::from(round(directory.path(), &operation, blow, &sides));
    }
    let calls = before_calls(directory.path(), &operation, &sides);
    println!(
        "{:?}: {rounds} random moments ({finished} came too late), before {calls} calls",
        operation.call
    );
}

/// Kills before every changing call, in the short form before some; says how often.
fn before_calls(directory: &Path, operation: &Operation, sides: &(State, State)) -> u64 {
    let at = directory.join("work");
    let _ = fs::remove_dir_all(&at);
    copy_all(&directory.join("before"), &at);
    let arguments = operation.arguments();
    let Some(calls) = record(&at, &arguments.iter().map(String::as_str).collect::<Vec<_>>()) else {
        return 0;
    };
    let names: BTreeSet<&str> = calls.iter().map(|call| call.name.as_str()).collect();
    let mut killed = 0;
    for name in names {
        let mut number = 1;
        while !round(directory, operation, Blow::BeforeCall(name, number), sides) {
            killed += 1;
            // The short form goes in growing steps.
            number += if long_tests() { 1 } else { 3 * number };
        }
    }
    killed
}

/// One blow on a fresh copy and what must be true afterwards; whether the program had finished by
/// itself.
#[track_caller]
fn round(
    directory: &Path,
    operation: &Operation,
    blow: Blow<'_>,
    (old, new): &(State, State),
) -> bool {
    let at = directory.join("work");
    let _ = fs::remove_dir_all(&at);
    copy_all(&directory.join("before"), &at);
    let finished = strike(operation, &at, blow);
    let what = format!("{:?}, {blow:?}", operation.call);
    check_between(&at.join(operation.repo), old, new, &what);
    operation.finish(&at, new, &what);
    finished
}

fn strike(operation: &Operation, at: &Path, blow: Blow<'_>) -> bool {
    match blow {
        Blow::After(moment, signal) => {
            let mut child = operation.program(at).start(operation.arguments());
            thread::sleep(moment);
            let _ = kill_process(Pid::from_child(&child), signal);
            child.wait().unwrap().success()
        }
        Blow::BeforeCall(name, number) => {
            let strace = Program::other("strace", "strace")
                .in_directory(at)
                .with("RAYON_NUM_THREADS", "2")
                .with("SOURCE_DATE_EPOCH", "5");
            let output =
                strace.run(operation.traced(name, &format!("signal=SIGKILL:when={number}")));
            assert!(matches!(output.status, 0 | -9 | 137), "{output:?}");
            output.status == 0
        }
    }
}
