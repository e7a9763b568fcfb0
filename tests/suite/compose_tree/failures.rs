//! The failure table: each row made to happen, and afterwards the old commit is served.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::world::{PENDING, REF, World};
use crate::support::{Program, is_root, osier_path, search_path_after, skip};

/// Fails at the check: nothing is written, and what is public stays as it is.
#[track_caller]
fn refused(world: &World, first: &str, mode: &str, words: &[&str]) {
    let (before, runs) = (world.public(), world.runs().len());
    let message = world.tree_with(mode, &[]).failure();
    for word in words {
        assert!(message.contains(word), "{message} does not say {word}");
    }
    assert_eq!((world.public(), world.runs().len()), (before, runs), "something was written");
    world.assert_served(first);
}

/// Fails in a run: ref and summary stay as they are, the next run succeeds. Returns the error.
#[track_caller]
fn fails(world: &World, first: &str, mode: &str) -> String {
    let before = world.public();
    let output = world.tree_with(mode, &[]);
    let message = output.clone().failure();
    assert_eq!(world.public(), before, "{output:?}");
    let report = world.report();
    assert_eq!(
        (&report["status"], report["error"].as_str()),
        (&json!("failed"), Some(message.as_str()))
    );
    world.assert_pulled(first);
    message
}

#[track_caller]
fn next_run_succeeds(world: &World, first: &str) {
    world.assert_served(first);
    world.tree(&[]).success();
    let second = world.public_commit().unwrap();
    assert_eq!(world.rev(&format!("{REF}^")).as_deref(), Some(first));
    world.assert_served(&second);
    world.assert_clean();
}

#[test]
fn a_program_that_is_missing_or_cannot_be_used_is_named_with_what_it_is_for() {
    let Some((world, first)) = World::composed() else { return };
    refused(
        &world,
        &first,
        "old",
        &["/bin/rpm-ostree 2025.1 is too old: it does not know --write-commitid-to"],
    );
    let program = world.path("bin/rpm-ostree");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let words = [program.to_str().unwrap(), "is not executable, needed for composing a tree"];
    refused(&world, &first, "", &words);
    fs::remove_file(&program).unwrap();
    refused(
        &world,
        &first,
        "",
        &["there is no program `rpm-ostree` on PATH, needed for composing a tree"],
    );
}

#[test]
fn a_broken_treefile_is_told_in_the_programs_own_words() {
    let Some((world, first)) = World::composed() else { return };
    let treefile = world.path("exampleos-host.json");
    let good = fs::read_to_string(&treefile).unwrap();
    for (text, words) in [
        ("{ \"ref\": ", "error: Loading treefile: Parsing treefile: "),
        (
            "{ \"include\": \"common.json\" }",
            "error: Loading treefile: Can't open file \"common.json\" for reading",
        ),
        ("{ \"packages\": [\"a\"] }", "there is no ref: neither `ref` in the configuration nor in"),
        ("{ \"ref\": \"a//b\" }", "Invalid ref name a//b"),
    ] {
        fs::write(&treefile, text).unwrap();
        refused(&world, &first, "", &[words]);
    }
    fs::remove_file(&treefile).unwrap();
    refused(&world, &first, "", &["exampleos-host.json: error: Loading treefile: Can't open file"]);
    fs::write(&treefile, good).unwrap();
    world.set_config("sped=1\n");
    refused(&world, &first, "", &["compose.conf: [compose] unknown key sped"]);
}

#[test]
fn a_sandbox_that_is_refused_is_told_with_its_cause() {
    let Some((world, first)) = World::composed() else { return };
    let bwrap = world.path("bin/bwrap");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && echo bubblewrap 0.8.0 && exit\necho bwrap: \
        No permissions >&2\nexit 1\n";
    fs::write(&bwrap, script).unwrap();
    fs::set_permissions(&bwrap, fs::Permissions::from_mode(0o755)).unwrap();
    refused(
        &world,
        &first,
        "",
        &["bwrap cannot make a sandbox here: bwrap: No permissions; a container needs"],
    );
    fs::remove_file(&bwrap).unwrap();
    world.change(2);
    let message = fails(&world, &first, "bwrap");
    assert!(message.starts_with("rpm-ostree failed: error: bwrap test failed, see "), "{message}");
    assert!(
        message.ends_with("a container needs the privileges for namespaces and mounts)"),
        "{message}"
    );
    let message = fails(&world, &first, "fuse");
    assert!(
        message.ends_with(
            "(it needs /dev/fuse and the right to mount with it; a container must be given both)"
        ),
        "{message}"
    );
    next_run_succeeds(&world, &first);
}

#[test]
fn a_repository_that_cannot_be_published_from_is_refused() {
    let Some((world, first)) = World::composed() else { return };
    let repo = world.repo();
    let away = world.path("away");
    fs::rename(&repo, &away).unwrap();
    let config = fs::read_to_string(world.path("compose.conf")).unwrap();
    let without = config.replace("create-repo=true\n", "");
    fs::write(world.path("compose.conf"), &without).unwrap();
    let message = world.tree(&[]).failure();
    assert_eq!(
        message,
        format!("there is no repository {} (and create-repo is not set)", repo.display())
    );
    fs::write(&repo, "").unwrap();
    let message = world.tree(&[]).failure();
    assert!(message.starts_with(&format!("{}: opening repo: ", repo.display())), "{message}");
    fs::remove_file(&repo).unwrap();
    world.osier().repo(&repo, ["init", "--mode=bare-user-only"]).success();
    let message = world.tree(&[]).failure();
    let expected = format!(
        "the repository {} has mode bare-user-only, only archive can be served",
        repo.display()
    );
    assert_eq!(message, expected);
    fs::remove_dir_all(&repo).unwrap();
    fs::rename(&away, &repo).unwrap();
    if is_root() {
        // Permissions do not stop root; a file system does.
        let bind = |arguments: &[&str]| {
            Command::new("mount").args(arguments).status().is_ok_and(|s| s.success())
        };
        let path = repo.to_str().unwrap();
        if bind(&["--bind", path, path]) {
            let read_only = bind(&["-o", "remount,bind,ro", path]);
            let output = world.tree(&[]);
            Command::new("umount").arg(path).status().unwrap();
            assert!(read_only);
            let message = output.failure();
            assert!(message.contains("Read-only file system"), "{message}");
            assert!(
                message.contains(&format!(
                    "{path}/objects is on a file system that is mounted read-only"
                )),
                "{message}"
            );
        } else {
            skip("cannot mount, so no read-only file system to try");
        }
    }
    world.assert_served(&first);
}

#[test]
fn an_alias_is_not_published_to() {
    let Some((world, first)) = World::composed() else { return };
    world.osier().repo(&world.repo(), ["refs", "--create=latest", "--alias", REF]).success();
    world.osier().repo(&world.repo(), ["summary", "-u"]).success();
    let message = world.tree(&["--ref=latest"]).failure();
    assert!(message.starts_with("latest is an alias in "), "{message}");
    world.change(2);
    world.tree(&[]).success();
    let second = world.public_commit().unwrap();
    assert_ne!(second, first);
    let summary = world.osier().repo(&world.repo(), ["summary", "--view"]).success();
    assert_eq!(summary.matches(second.as_str()).count(), 2, "{summary}");
}

#[test]
fn the_network_is_tried_again_and_a_depsolve_failure_is_not() {
    let Some((world, first)) = World::composed() else { return };
    world.set_config("attempts=2\n");
    world.change(2);
    let message = fails(&world, &first, "network");
    assert!(
        message
            .starts_with("attempt 2 of 2: rpm-ostree failed: error: Updating rpm-md repo 'base'"),
        "{message}"
    );
    assert_eq!(world.report()["commands"].as_array().unwrap().len(), 2);
    let output = world.tree_with("depsolve", &[]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let shown =
        format!("the end of {}:\n", world.runs().pop().unwrap().join("rpm-ostree.log").display());
    assert!(stderr.contains(&shown), "{stderr}");
    assert!(
        stderr
            .contains("\n    - nothing provides /bin/sh needed by payload-1-1.noarch from base\n"),
        "{stderr}"
    );
    let message = output.failure();
    let expected = "rpm-ostree failed: error: Could not depsolve transaction; 1 problem detected: \
        Problem: conflicting requests - nothing provides /bin/sh needed by payload-1-1.noarch from \
        base";
    assert_eq!(message, expected);
    assert_eq!(world.report()["commands"].as_array().unwrap().len(), 1);
    fs::remove_file(world.path("cache/attempts")).unwrap();
    world.tree_with("network-once", &[]).success();
    let second = world.public_commit().unwrap();
    let commands = world.report()["commands"].clone();
    assert_eq!((&commands[0]["exit"], &commands[1]["exit"]), (&json!(1), &json!(0)));
    assert_eq!(
        (&commands[1]["attempt"], &commands[1]["log"]),
        (&json!(2), &json!("rpm-ostree-2.log"))
    );
    world.assert_served(&second);
}

#[test]
fn a_container_that_may_not_use_fuse_is_told_before_anything_is_written() {
    let Some((world, first)) = World::composed() else { return };
    // A device on a file system without devices is one that nobody may open; the machine's own may
    // not be there at all.
    let script = "mkdir devices dev && mount -t tmpfs -o nodev osier-test devices &&
                  mknod devices/fuse c 10 229 &&
                  mount -t tmpfs osier-test dev &&
                  mknod -m 666 dev/null c 1 3 && mknod -m 666 dev/urandom c 1 9 &&
                  touch dev/fuse && mount --bind devices/fuse dev/fuse &&
                  mkdir dev/shm && mount --bind /dev/shm dev/shm &&
                  mount --rbind dev /dev || exit 99
                  exec \"$0\" compose tree --config=compose.conf";
    let shell = Program::other("unshare", "unshare").in_directory(world.path(""));
    let path = search_path_after(&world.path("bin"));
    let output = shell.with("PATH", path).run(["--mount", "sh", "-c", script, osier_path()]);
    if output.status == 99 || !is_root() {
        return skip("cannot mount, so no /dev/fuse that may not be opened");
    }
    let runs = world.runs().len();
    let message = output.failure();
    assert!(
        message
            .contains("opening /dev/fuse: Permission denied; rpm-ostree needs it for its cachedir"),
        "{message}"
    );
    assert_eq!(world.runs().len(), runs);
    world.assert_served(&first);
}

#[test]
fn a_full_disk_is_told_with_what_is_free_where() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    let config = fs::read_to_string(world.path("compose.conf")).unwrap();
    fs::write(
        world.path("compose.conf"),
        config.replace("min-free-mib=1", "min-free-mib=999999999"),
    )
    .unwrap();
    let words = [
        "the repository ",
        "the cachedir ",
        "the work directory ",
        "free, needed are 1.0",
        "(min-free-mib)",
    ];
    refused(&world, &first, "", &words);
    fs::write(world.path("compose.conf"), config).unwrap();
    let message = fails(&world, &first, "full");
    assert!(
        message.starts_with(&format!("out of space (repository {}: ", world.repo().display())),
        "{message}"
    );
    assert!(message.contains(" free; needed are 1.0"), "{message}");
    assert!(
        message.ends_with("error: Writing content object: fallocate: No space left on device"),
        "{message}"
    );
    next_run_succeeds(&world, &first);
}

/// A small file system in the place of a directory, until this is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where nothing can be mounted.
    fn mount(path: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let options = format!("size={size},mode=755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "osier-test"])
            .arg(path)
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            skip("cannot mount, so no small file system to fill");
            return None;
        }
        Some(Self(path.to_owned()))
    }

    fn grow(&self) {
        let status =
            Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_repository_whose_file_system_is_full_gets_no_partial_object() {
    let Some(world) = World::new() else { return };
    let Some(disk) = SmallDisk::mount(&world.repo(), "2m") else { return };
    world.tree(&[]).success();
    let first = world.public_commit().unwrap();
    let objects = |world: &World| {
        let files =
            walkdir::WalkDir::new(world.repo().join("objects")).into_iter().map(Result::unwrap);
        let mut files: Vec<_> =
            files.filter(|f| f.file_type().is_file()).map(|f| f.path().to_owned()).collect();
        files.sort();
        files
    };
    let before = objects(&world);
    // Nothing that compression makes small.
    let noise: Vec<u8> =
        (0..100_000u32).flat_map(|n| *osier::Checksum::of(&n.to_le_bytes()).as_bytes()).collect();
    fs::write(world.path("packages/noise"), noise).unwrap();
    let message = fails(&world, &first, "");
    assert!(
        message.starts_with(&format!("out of space (repository {}: ", world.repo().display())),
        "{message}"
    );
    assert!(message.contains(" free; needed are 1.0"), "{message}");
    assert_eq!(objects(&world), before);
    disk.grow();
    world.assert_served(&first);
    world.tree(&[]).success();
    world.assert_served(&world.public_commit().unwrap());
    assert_eq!(world.rev(&format!("{REF}^")), Some(first));
}

#[test]
fn a_work_directory_that_is_full_stops_the_run_and_nothing_else() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    fs::remove_dir_all(world.path("work")).unwrap();
    let Some(disk) = SmallDisk::mount(&world.path("work"), "256k") else { return };
    let before = world.public();
    let config = fs::read_to_string(world.path("compose.conf")).unwrap();
    fs::write(world.path("compose.conf"), config.replace("min-free-mib=1", "min-free-mib=0"))
        .unwrap();
    let message = world.tree_with("noisy", &["-q"]).failure();
    assert!(
        message.contains("No space left on device") || message.contains("rpm-ostree failed"),
        "{message}"
    );
    assert_eq!(world.public(), before);
    world.assert_served(&first);
    disk.grow();
    world.tree(&[]).success();
    let second = world.public_commit().unwrap();
    assert_eq!(world.rev(&format!("{REF}^")), Some(first));
    world.assert_served(&second);
}

#[test]
fn a_damaged_cache_is_told_with_its_cure() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    let message = fails(&world, &first, "old-cache");
    assert!(
        message.ends_with("(its cache was damaged by a crash of the machine; delete the cachedir)"),
        "{message}"
    );
    fs::remove_dir_all(world.path("cache")).unwrap();
    next_run_succeeds(&world, &first);
}

#[test]
fn an_exit_status_of_0_is_not_believed_alone() {
    for (mode, words) in [
        ("no-commitid", "but there is `changed` and no `commitid` in "),
        ("no-changed", "but there is `commitid` and no `changed` in "),
        ("ids", " and `compose.json` says ffff"),
        (
            "lost",
            "rpm-ostree says that it made \
             0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, which is not",
        ),
    ] {
        let Some((world, first)) = World::composed() else { return };
        world.change(2);
        let message = fails(&world, &first, mode);
        assert!(message.contains(words), "{mode}: {message}");
        assert_eq!(world.rev(PENDING), None, "{mode}");
        if mode != "lost" {
            let warnings = world.report()["warnings"].to_string();
            assert!(
                warnings.contains("which nothing names: the next prune takes it"),
                "{mode}: {warnings}"
            );
        }
        next_run_succeeds(&world, &first);
    }
}

#[test]
fn a_commit_that_is_not_what_it_should_be_is_kept_and_not_published() {
    for (mode, words) in [
        ("partial", " is partial: there is "),
        ("missing", " is not whole: Couldn't find file object '"),
        ("truncated", " is not whole: fsck content object "),
        ("parent", ", expected is "),
        ("version", "the version of the commit "),
    ] {
        let Some((world, first)) = World::composed() else { return };
        world.set_config("version=22.3\n");
        world.change(2);
        let message = fails(&world, &first, mode);
        assert!(message.contains(words), "{mode}: {message}");
        assert_eq!(world.report()["stage"], "verify");
        let waiting = world.rev(PENDING).unwrap();
        assert!(
            message.starts_with(&format!("the commit {waiting} waits as {PENDING}: the ")),
            "{mode}: {message}"
        );
        if mode == "parent" {
            let expected =
                format!("the parent of the commit {waiting} is none, expected is {first}");
            assert!(message.ends_with(&expected), "{message}");
        }
        let output = world.publish(&waiting);
        if mode == "version" {
            // It is asked of a run, not of a commit that is given by name.
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            output.success();
            assert!(
                stderr.contains("version of the commit is 0.wrong, the configuration says 22.3"),
                "{stderr}"
            );
            world.assert_served(&waiting);
        } else {
            assert_eq!(output.failure(), message);
            assert_eq!(world.public_commit(), Some(first), "{mode}");
            // The damage is in the new commit alone, and a check of the repository tells it.
            let fsck = world.osier().repo(&world.repo(), ["fsck", "--quiet"]);
            assert_eq!(
                fsck.status != 0,
                matches!(mode, "missing" | "truncated"),
                "{mode}: {fsck:?}"
            );
        }
    }
}

#[test]
fn a_ref_that_somebody_else_moved_stays_where_it_is() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    let message = world.tree_with("move", &[]).failure();
    let (moved, waiting) = (world.public_commit().unwrap(), world.rev(PENDING).unwrap());
    assert_ne!(moved, first);
    let expected = format!(
        "the commit {waiting} waits as {PENDING}: {REF} moved from {first} to {moved} while \
         {waiting} was composed; it stays there"
    );
    assert_eq!(message, expected);
    assert_eq!(
        (&world.report()["commit"], &world.report()["status"]),
        (&json!(waiting), &json!("failed"))
    );
    world.assert_served(&moved);
    world.change(3);
    world.tree(&[]).success();
    assert_eq!(world.rev(&format!("{REF}^")), Some(moved));
}

#[test]
fn a_ref_to_a_missing_commit_must_be_repaired_first() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    let lost = world.repo().join("refs/heads/lost");
    fs::write(&lost, format!("{}\n", "5".repeat(64))).unwrap();
    let before = world.public();
    let message = world.tree(&[]).failure();
    assert_eq!(
        message,
        format!(
            "the ref lost names the commit {}, which is missing: repair it first",
            "5".repeat(64)
        )
    );
    assert_eq!(world.public(), before);
    fs::remove_file(lost).unwrap();
    next_run_succeeds(&world, &first);
}

#[test]
fn a_clock_that_goes_back_is_told_and_does_not_stop_the_publishing() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    let output = world.tree_with("clock", &[]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output.success();
    assert!(
        stderr.contains("warning: the new commit is of 2001-09-09T01:46:40Z, its parent of "),
        "{stderr}"
    );
    let second = world.public_commit().unwrap();
    assert_eq!(world.rev(&format!("{REF}^")), Some(first));
    world.assert_served(&second);
}

#[test]
fn files_of_an_older_run_do_not_put_the_ref_back() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    world.tree(&[]).success();
    let second = world.public_commit().unwrap();
    // The outputs of the first run, where others look for theirs.
    let (old, work) = (world.runs()[0].clone(), world.path("work"));
    for name in ["commitid", "changed", "compose.json"] {
        fs::copy(old.join(name), work.join(name)).unwrap();
        symlink(old.join(name), world.path(name)).unwrap();
    }
    assert_eq!(fs::read_to_string(old.join("commitid")).unwrap(), first);
    let before = world.public();
    world.tree(&[]).success();
    assert_eq!(world.public(), before);
    world.assert_served(&second);
}
