//! A disk that is full, at every write: a small file system in memory whose size grows step by step
//! until a command gets through, the same with the number of files that it can hold, and strace
//! failing each call by itself.
//!
//! Each time the error says what is wrong, refs and objects are as they were (or as they should
//! become), and once there is room the same command brings the repository to the very state that it
//! reaches elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::stage::{Operation, State, check_between, commit, stage, words};
use crate::support::{
    Output, Program, can_trace, copy_all, long_tests, needs_root, osier, scratch, skip,
};

/// What a file system in memory needs for a page of a file or a directory, in bytes.
const PAGE: u64 = 4096;

/// Bounds of a file system.
#[derive(Clone, Copy, Debug)]
enum Room {
    /// So many pages more than what is there.
    Pages(u64),
    /// So many files more than what is there.
    Files(u64),
}

#[test]
fn a_commit_to_an_archive_survives_a_full_disk() {
    grow("archive", |rev| commit(&rev("main")));
}

#[test]
fn a_commit_to_a_bare_user_repository_survives_a_full_disk() {
    grow("bare-user", |rev| commit(&rev("main")));
}

#[test]
fn a_pull_survives_a_full_disk() {
    grow("empty", |_| words("pull-local --untrusted bare-user main side"));
}

#[test]
fn a_summary_survives_a_full_disk() {
    grow("archive", |_| words("summary -u"));
}

#[test]
fn a_checkout_survives_a_full_disk() {
    grow("archive", |_| words("checkout -U --union main out"));
}

#[test]
fn refs_survive_a_full_disk() {
    grow("archive", |_| words("refs --create=fresh/and/deep main --force"));
}

/// Runs the command in more and more room until there is enough.
fn grow(repo: &'static str, call: impl Fn(&dyn Fn(&str) -> String) -> Vec<String> + Send) {
    if !needs_root() {
        return;
    }
    let directory = scratch();
    let before = directory.path().join("before");
    fs::create_dir(&before).unwrap();
    stage(&before);
    for name in ["archive", "bare-user", "empty"] {
        // The limits that a repository sets itself come much earlier.
        osier()
            .repo(&before.join(name), ["config", "set", "core.min-free-space-percent", "0"])
            .success();
    }
    let call = call(&|rev| osier().repo(&before.join("archive"), ["rev-parse", rev]).line());
    let operation = Operation { repo, call };
    let after = directory.path().join("after");
    copy_all(&before, &after);
    operation.program(&after).run(operation.arguments()).success();
    let sides = (State::of(&before, repo), State::of(&after, repo));

    thread::scope(|scope| {
        let disks = scope.spawn(|| {
            // The mounts are seen by this thread and what it starts, and go away with it.
            let apart = unshare(CloneFlags::CLONE_NEWNS);
            let none = None::<&str>;
            match apart
                .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
            {
                Ok(()) => Some(
                    [Room::Pages, Room::Files]
                        .map(|of| until_enough(directory.path(), &operation, &sides, of)),
                ),
                Err(_) => None,
            }
        });
        match disks.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            Some([pages, files]) => {
                println!("{:?}: {pages} sizes, {files} numbers of files", operation.call)
            }
            None => skip("no right to mount"),
        }
    });
    let calls = every_call_fails(directory.path(), &operation, &sides);
    println!("{:?}: {calls} failing calls", operation.call);
}

/// Returns in how many rooms the command was tried.
fn until_enough(
    directory: &Path,
    operation: &Operation,
    sides: &(State, State),
    room: fn(u64) -> Room,
) -> u64 {
    let (mut step, mut tried) = (0, 0);
    loop {
        tried += 1;
        let (room, at) = (room(step), directory.join("disk"));
        let disk = Disk::mount(&at, &directory.join("before"));
        disk.leave(room);
        let output = operation.program(&at).run(operation.arguments());
        let what = format!("{:?} with {room:?}", operation.call);
        judge(&output, "No space left on device", &what);
        check_between(&at.join(operation.repo), &sides.0, &sides.1, &what);
        disk.make_room();
        operation.finish(&at, &sides.1, &what);
        drop(disk);
        if output.status == 0 {
            return tried;
        }
        assert!(step < 1000, "there is never enough room: {output:?}");
        step += if long_tests() { 1 } else { 1 + tried * 4 };
    }
}

/// Fails one call after the other; returns how many there are.
fn every_call_fails(directory: &Path, operation: &Operation, sides: &(State, State)) -> u64 {
    if !can_trace() {
        return 0;
    }
    let strace = Program::other("strace", "strace");
    let mut tried = 0;
    for (calls, error, message) in [
        ("write", "ENOSPC", "No space left on device"),
        ("mkdir,mkdirat", "ENOSPC", "No space left on device"),
        ("rename,renameat,renameat2,linkat", "ENOSPC", "No space left on device"),
        ("fsync,fdatasync,syncfs", "EIO", "Input/output error"),
    ] {
        let mut number = 1;
        loop {
            let at = directory.join("work");
            let _ = fs::remove_dir_all(&at);
            copy_all(&directory.join("before"), &at);
            let strace = strace.clone().in_directory(&at).with("RAYON_NUM_THREADS", "2");
            let output =
                strace.run(operation.traced(calls, &format!("error={error}:when={number}")));
            let what = format!("{:?} with {error} at {calls} {number}", operation.call);
            // The call that failed may have been the one that was to tell so.
            let silent = output.status == 1 && output.stderr.is_empty() && calls == "write";
            if !silent {
                judge(&output, message, &what);
            }
            check_between(&at.join(operation.repo), &sides.0, &sides.1, &what);
            operation.finish(&at, &sides.1, &what);
            if output.status == 0 {
                break;
            }
            tried += 1;
            number += if long_tests() { 1 } else { 3 * number };
        }
    }
    tried
}

/// It went well, or it says what is wrong.
#[track_caller]
fn judge(output: &Output, message: &str, what: &str) {
    output.assert_no_panic();
    let reported = String::from_utf8_lossy(&output.stderr);
    let clear = reported.lines().any(|line| line.starts_with("error: ") && line.contains(message));
    assert!(output.status == 0 || (output.status == 1 && clear), "{what}: {output:?}");
}

/// A file system in memory that is unmounted with the value.
struct Disk(PathBuf);

impl Disk {
    /// Mounts it with a copy of what is in `content`.
    fn mount(at: &Path, content: &Path) -> Self {
        let _ = fs::create_dir(at);
        mount(Some("none"), at, Some("tmpfs"), MsFlags::empty(), Some("size=64m,nr_inodes=100000"))
            .unwrap();
        let disk = Self(at.to_owned());
        copy_all(&content.join("."), at);
        disk
    }

    /// Leaves only so much room.
    fn leave(&self, room: Room) {
        let used = rustix::fs::statvfs(&self.0).unwrap();
        let pages = used.f_blocks - used.f_bfree;
        let files = used.f_files - used.f_ffree;
        self.remount(&match room {
            Room::Pages(more) => format!("size={}", (pages + more) * PAGE),
            Room::Files(more) => format!("nr_inodes={}", files + more),
        });
    }

    fn make_room(&self) {
        self.remount("size=64m,nr_inodes=100000");
    }

    fn remount(&self, options: &str) {
        let none = None::<&str>;
        mount(none, &self.0, none, MsFlags::MS_REMOUNT, Some(options)).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
