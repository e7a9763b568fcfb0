//! Objects that vanish while a command needs them: `rm` and pruners ask no reader, and readers take
//! no lock, as upstream's.
//!
//! strace stops the command behind some call of `openat`, so that what is removed goes at that very
//! moment. Whatever it is: the command ends with what it should make, or with an error that names a
//! removed object; what was there before is as it was, what is new is whole, no ref is set to
//! something incomplete, and the repository that is read is not touched.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::stage::{stage, words};
use crate::support::{
    Dice, Snapshot, can_trace, copy_all, differences, long_tests, needs_user_xattrs, osier, ostree,
    raw_snapshot, scratch, search_path,
};

/// No command takes longer, even when the machine does other things.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// A command that reads objects.
struct Reading {
    /// After `--repo=REPO`.
    call: &'static str,
    repo: &'static str,
    /// Where the objects are that vanish.
    source: &'static str,
    /// What it makes.
    made: &'static str,
}

/// What is removed while the command stands still.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// All objects, and the directories that they are in.
    Everything,
    /// All whose names end so, which are those of one kind.
    Kind(&'static str),
    /// One of them.
    One(u64),
    /// What a pruner removes when no ref is left.
    Pruned,
}

#[test]
fn a_checkout_tells_which_object_vanished_and_leaves_whole_files() {
    all_of(
        &Reading { call: "checkout -U main out", repo: "archive", source: "archive", made: "out" },
        1,
    );
}

#[test]
fn a_checkout_over_other_files_tells_which_object_vanished_and_leaves_each_old_or_new() {
    all_of(
        &Reading {
            call: "checkout -U --union main full",
            repo: "archive",
            source: "archive",
            made: "full",
        },
        2,
    );
}

#[test]
fn a_checkout_by_links_tells_which_object_vanished_and_leaves_each_file_old_or_new() {
    let call = "checkout -UH --union main full";
    all_of(&Reading { call, repo: "bare-user", source: "bare-user", made: "full" }, 3);
}

#[test]
fn a_composefs_image_is_not_made_of_objects_that_vanished() {
    all_of(
        &Reading {
            call: "checkout --composefs main out",
            repo: "archive",
            source: "archive",
            made: "out",
        },
        4,
    );
}

#[test]
fn an_export_tells_which_object_vanished() {
    all_of(
        &Reading {
            call: "export main -o made.tar",
            repo: "archive",
            source: "archive",
            made: "made.tar",
        },
        5,
    );
}

#[test]
fn a_pull_sets_no_ref_when_objects_of_its_source_vanish() {
    all_of(
        &Reading {
            call: "pull-local archive main",
            repo: "empty",
            source: "archive",
            made: "empty",
        },
        6,
    );
}

#[test]
fn a_pull_that_checks_everything_sets_no_ref_when_objects_of_its_source_vanish() {
    all_of(
        &Reading {
            call: "pull-local --untrusted archive main",
            repo: "empty",
            source: "archive",
            made: "empty",
        },
        7,
    );
}

#[test]
fn a_pull_between_modes_sets_no_ref_when_objects_of_its_source_vanish() {
    all_of(
        &Reading {
            call: "pull-local bare-user main",
            repo: "empty",
            source: "bare-user",
            made: "empty",
        },
        8,
    );
}

/// What a command works on, before it and after it when nothing vanishes.
struct Sides {
    source: Snapshot,
    /// The source without anything that a ref needs.
    pruned: Snapshot,
    old: Snapshot,
    new: Snapshot,
}

fn all_of(reading: &Reading, seed: u64) {
    if !can_trace() || !needs_user_xattrs() {
        return;
    }
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("before")).unwrap();
    stage(&at("before"));
    // Some of these names are in the commit, too.
    for name in ["mine", "folder-0/file-0", "folder-0/mine", "folder-1/file-1"] {
        let path = at("before/full").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"mine\n").unwrap();
    }
    copy_all(&at("before"), &at("after"));
    osier()
        .in_directory(at("after"))
        .repo(Path::new(reading.repo), reading.call.split(' '))
        .success();
    copy_all(&at("before"), &at("pruned"));
    prune(&at("pruned").join(reading.source));
    let sides = Sides {
        source: raw_snapshot(&at("before").join(reading.source)),
        pruned: raw_snapshot(&at("pruned").join(reading.source)),
        old: made(&at("before").join(reading.made)),
        new: made(&at("after").join(reading.made)),
    };

    let mut dice = Dice::new(seed);
    let (mut stops, mut failed) = (0, 0);
    let mut number = 1;
    loop {
        let kinds = [
            "commit",
            "dirtree",
            "dirmeta",
            if reading.source == "archive" { "filez" } else { "file" },
        ];
        let other = match dice.below(3) {
            0 => Loss::Kind(kinds[dice.below(4) as usize]),
            1 => Loss::One(dice.bits()),
            _ => Loss::Pruned,
        };
        let mut came_to_an_end = false;
        for loss in [Loss::Everything, other] {
            match round(directory.path(), reading, (number, loss), &sides) {
                None => came_to_an_end = true,
                Some(status) => (stops, failed) = (stops + 1, failed + u32::from(status == 1)),
            }
        }
        if came_to_an_end {
            break;
        }
        // The short form goes in growing steps.
        number += if long_tests() { 1 } else { 1 + number / 4 };
    }
    println!("{}: stopped {stops} times, {failed} errors", reading.call);
    assert!(failed >= 4 && stops > failed, "{stops} stops, {failed} errors");
}

/// What stands there, a file or a directory with all that is in it; nothing is nothing.
fn made(path: &Path) -> Snapshot {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => raw_snapshot(path),
        Ok(_) => {
            let parent = raw_snapshot(path.parent().unwrap());
            let name = path.file_name().unwrap().to_str().unwrap();
            parent.into_iter().filter(|(path, _)| path == name).collect()
        }
        Err(_) => Snapshot::new(),
    }
}

/// Removes something behind that many calls of a thread, and says what must be true then. `None` if
/// there are fewer.
fn round(
    directory: &Path,
    reading: &Reading,
    (number, loss): (u32, Loss),
    sides: &Sides,
) -> Option<i32> {
    let at = directory.join("work");
    let source = at.join(reading.source);
    let what = format!("{}, stopped behind call {number}, {loss:?}", reading.call);
    let attempt = || {
        let _ = fs::remove_dir_all(&at);
        copy_all(&directory.join("before"), &at);
        let mut removed = None;
        let status =
            run_stopped(&at, reading, number, &what, &mut || removed = Some(remove(&source, loss)));
        (status, removed, fs::read_to_string(at.join("reported")).unwrap())
    };
    // strace itself fails now and then when a thread ends while it is stopped.
    let mut attempts = (0..5).map(|_| attempt());
    let done = attempts.find(|(_, _, reported)| !reported.contains("strace: ptrace("));
    let (status, removed, reported) =
        done.unwrap_or_else(|| panic!("{what}: strace fails each time"));
    assert!(
        !reported.contains("panicked") && (0..=1).contains(&status),
        "{what}: {status}: {reported}"
    );
    let Some(removed) = removed else {
        assert_eq!(status, 0, "{what}: {reported}");
        return None;
    };
    let found = made(&at.join(reading.made));
    if status == 0 {
        assert_same(&sides.new, &found, &what);
    } else {
        let error = reported.lines().rev().find_map(|line| line.strip_prefix("error: "));
        let error =
            error.unwrap_or_else(|| panic!("{what}: no error: {reported}")).replace('/', "");
        let no_ref = matches!(loss, Loss::Pruned) && error.contains("Refspec 'main' not found");
        assert!(
            no_ref || removed.iter().any(|hex| error.contains(hex)),
            "{what}: names nothing removed: {reported}"
        );
        match reading.made {
            "empty" => pulled_nothing_by_halves(&at, &what),
            // As upstream's, an archive is written while it is read; its end is missing.
            "made.tar" => {}
            _ => assert_each_old_or_new(&found, sides, &what),
        }
    }
    let left = raw_snapshot(&source);
    match loss {
        Loss::Pruned => assert_same(&sides.pruned, &left, &what),
        _ => {
            let is_removed =
                |path: &str| removed.iter().any(|hex| path.replace('/', "").contains(hex));
            let is_directory =
                |path: &str| matches!(loss, Loss::Everything) && path.len() <= "objects/00".len();
            let mut changed = differences(&sides.source, &left);
            changed.retain(|line| {
                let (path, how) = line.split_once(": ").unwrap();
                !(how == "only on the left" && (is_removed(path) || is_directory(path)))
            });
            assert!(changed.is_empty(), "{what}: the source was changed: {changed:?}");
        }
    }
    Some(status)
}

/// Removes objects of a repository; the checksums in their names.
fn remove(repo: &Path, loss: Loss) -> BTreeSet<String> {
    let all: Vec<PathBuf> = walkdir::WalkDir::new(repo.join("objects"))
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_type().is_dir())
        .map(walkdir::DirEntry::into_path)
        .collect();
    let chosen: Vec<&PathBuf> = match loss {
        Loss::Everything | Loss::Pruned => all.iter().collect(),
        Loss::Kind(kind) => {
            all.iter().filter(|path| path.extension().is_some_and(|end| end == kind)).collect()
        }
        Loss::One(number) => vec![&all[(number % all.len() as u64) as usize]],
    };
    match loss {
        Loss::Pruned => prune(repo),
        Loss::Everything => {
            for entry in fs::read_dir(repo.join("objects")).unwrap() {
                fs::remove_dir_all(entry.unwrap().path()).unwrap();
            }
        }
        Loss::Kind(_) | Loss::One(_) => {
            chosen.iter().for_each(|path| fs::remove_file(path).unwrap())
        }
    }
    let hex = |path: &&PathBuf| {
        let directory = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
        format!("{directory}{}", path.file_stem().unwrap().to_str().unwrap())
    };
    chosen.iter().map(hex).collect()
}

/// Removes the refs and all that they needed.
fn prune(repo: &Path) {
    let program = ostree().unwrap_or_else(osier);
    for name in ["main", "side", "late"] {
        program.repo(repo, ["refs", "--delete", name]).success();
    }
    program.repo(repo, ["prune", "--refs-only"]).success();
}

/// Runs the command under strace, which stops it behind a thread's so many-th `openat`; `meanwhile`
/// happens before it goes on. Returns its exit status.
fn run_stopped(
    at: &Path,
    reading: &Reading,
    number: u32,
    what: &str,
    meanwhile: &mut dyn FnMut(),
) -> i32 {
    let mut command = Command::new("strace");
    let inject = format!("inject=openat:signal=SIGSTOP:when={number}");
    command.args(["-f", "-qq", "-o", "calls", "-e", "trace=openat", "-e", &inject]);
    command.arg(&osier().path).arg(format!("--repo={}", reading.repo)).args(words(reading.call));
    command
        .env_clear()
        .env("PATH", search_path())
        .env("HOME", "/nonexistent")
        .env("LC_ALL", "C.UTF-8");
    command
        .env("RAYON_NUM_THREADS", "2")
        .current_dir(at)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.stderr(File::create(at.join("reported")).unwrap());
    let mut child = command.spawn().unwrap();
    let started = Instant::now();
    let is_over = |child: &mut Child, traced: Option<Pid>| {
        if started.elapsed() > TIME_LIMIT {
            let _ = traced.map(|pid| kill_process(pid, Signal::KILL));
            let _ = child.kill();
            panic!("{what}: hangs");
        }
        thread::sleep(Duration::from_millis(1));
        child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    };
    let log = at.join("calls");
    let traced = loop {
        let calls = fs::read_to_string(&log).unwrap_or_default();
        if calls.contains("--- stopped by SIGSTOP ---") {
            // The first call is the main thread's, whose number is the process'.
            let number = calls.split(' ').next().and_then(|number| number.parse().ok());
            break number.and_then(Pid::from_raw).unwrap();
        }
        if let Some(status) = is_over(&mut child, None) {
            return status;
        }
    };
    meanwhile();
    loop {
        // Other threads stop it again when they come to their own call of that number.
        let _ = kill_process(traced, Signal::CONT);
        if let Some(status) = is_over(&mut child, Some(traced)) {
            return status;
        }
    }
}

#[track_caller]
fn assert_same(expected: &Snapshot, found: &Snapshot, what: &str) {
    let changed = differences(expected, found);
    assert!(changed.is_empty(), "{what}: {changed:?}");
}

/// Every file is what it was or what it should become, and nothing that was there is gone.
#[track_caller]
fn assert_each_old_or_new(found: &Snapshot, sides: &Sides, what: &str) {
    for (path, entry) in found {
        // A directory gets its mode when everything in it is there.
        let is_directory = entry.mode & 0o170_000 == 0o040_000;
        let known = [&sides.old, &sides.new].into_iter().filter_map(|side| side.get(path));
        let mut known = known
            .map(|known| known == entry || (is_directory && known.mode & 0o170_000 == 0o040_000));
        assert!(known.any(|known| known), "{what}: {path} is neither old nor new");
    }
    let lost: Vec<_> = sides.old.keys().filter(|path| !found.contains_key(*path)).collect();
    assert!(lost.is_empty(), "{what}: {lost:?} is gone");
}

/// There is no ref; what came is whole, and with the source whole again the rest comes, too.
#[track_caller]
fn pulled_nothing_by_halves(at: &Path, what: &str) {
    let repo = at.join("empty");
    assert!(
        !repo.join("refs/heads/main").exists(),
        "{what}: the ref was set in spite of the error"
    );
    for program in [Some(osier()), ostree()].into_iter().flatten() {
        let output = program.repo(&repo, ["fsck", "--quiet"]);
        assert_eq!(output.status, 0, "{what}: {output:?}");
    }
    let again = osier()
        .in_directory(at)
        .repo(Path::new("empty"), ["pull-local", "../before/archive", "main"]);
    assert_eq!(again.status, 0, "{what}: the next pull: {again:?}");
    osier().repo(&repo, ["fsck", "--quiet"]).success();
    let left: Vec<_> =
        fs::read_dir(repo.join("tmp")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["cache"], "{what}: left over");
}
