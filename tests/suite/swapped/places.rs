//! Each place that a command removes from or writes to, swapped for a link at a moment.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::moments::Place;
use crate::support::{can_trace, needs_user_xattrs, osier};

/// Runs osier in a directory; its line.
#[track_caller]
fn run(at: &Path, arguments: &[&str]) -> String {
    osier().in_directory(at).run(arguments).line()
}

#[track_caller]
fn commit(at: &Path, options: &[&str]) -> String {
    let call = ["--repo=repo", "commit", "--no-xattrs", "--canonical-permissions"];
    run(at, &[&call, options, &["--tree=dir=tree"]].concat())
}

/// A repository `repo` whose ref `main` has a parent, a ref `side/x`, and the tree `tree` in the
/// state of `main`.
fn repository(at: &Path, mode: &str) {
    run(at, &["--repo=repo", "init", &format!("--mode={mode}")]);
    fs::create_dir_all(at.join("tree/d")).unwrap();
    for (content, time) in [("one", "1"), ("two", "2")] {
        for name in ["d/a", "d/b", "top"] {
            fs::write(at.join("tree").join(name), format!("{content} {name}")).unwrap();
        }
        commit(at, &["--branch=main", &format!("--timestamp=@{time}")]);
    }
    run(at, &["--repo=repo", "refs", "--create=side/x", "main^"]);
}

/// A commit that no ref needs, of a tree with something of its own; its fan-out directory.
fn unneeded(at: &Path) -> (String, String) {
    fs::write(at.join("tree/d/unneeded"), "unneeded").unwrap();
    let commit = commit(at, &["--orphan", "--timestamp=@3"]);
    fs::remove_file(at.join("tree/d/unneeded")).unwrap();
    (fan_out("repo", &commit), commit)
}

/// The directory of an object.
fn fan_out(repo: &str, checksum: &str) -> String {
    format!("{repo}/objects/{}", &checksum[..2])
}

/// Makes something in `tmp` old enough to be cleaned away.
fn age(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(30 * 24 * 60 * 60);
    for entry in walkdir::WalkDir::new(path).contents_first(true) {
        File::open(entry.unwrap().path()).unwrap().set_modified(old).unwrap();
    }
}

#[test]
fn prune_removes_objects_and_deltas_behind_no_link() {
    if !can_trace() {
        return;
    }
    let mut objects = String::new();
    let delta = format!("repo/deltas/AA/{}", "A".repeat(41));
    let place = Place::new(|at| {
        repository(at, "archive");
        objects = unneeded(at).0;
        fs::create_dir_all(at.join(&delta)).unwrap();
        fs::write(at.join(&delta).join("superblock"), "superblock").unwrap();
    });
    place.attack(
        &["--repo=repo", "prune", "--refs-only"],
        &["repo"],
        &["repo/objects", &objects, "repo/deltas", "repo/deltas/AA", &delta],
    );
}

#[test]
fn prune_of_one_commit_leaves_tombstones_and_marks_behind_no_link() {
    if !can_trace() {
        return;
    }
    let mut gone = (String::new(), String::new());
    let place = Place::new(|at| {
        repository(at, "archive");
        run(at, &["--repo=repo", "config", "set", "core.tombstone-commits", "true"]);
        gone = unneeded(at);
        fs::write(at.join(format!("repo/state/{}.commitpartial", gone.1)), "").unwrap();
    });
    place.attack(
        &["--repo=repo", "prune", &format!("--delete-commit={}", gone.1)],
        &["repo"],
        &["repo/objects", &gone.0, "repo/state"],
    );
}

#[test]
fn fsck_deletes_and_marks_behind_no_link() {
    if !can_trace() {
        return;
    }
    let mut objects = String::new();
    let place = Place::new(|at| {
        repository(at, "archive");
        let all = walkdir::WalkDir::new(at.join("repo/objects")).sort_by_file_name();
        let all = all.into_iter().map(|entry| entry.unwrap().into_path());
        let damaged = all.filter(|path| path.extension().is_some_and(|e| e == "filez")).last();
        let damaged = damaged.unwrap();
        fs::write(&damaged, "damaged").unwrap();
        objects = damaged.parent().unwrap().strip_prefix(at).unwrap().to_str().unwrap().to_owned();
    });
    place.attack(
        &["--repo=repo", "fsck", "--delete"],
        &["repo"],
        &["repo/objects", &objects, "repo/state"],
    );
}

#[test]
fn a_commit_stages_and_cleans_behind_no_link() {
    if !can_trace() {
        return;
    }
    let mut objects = String::new();
    let place = Place::new(|at| {
        repository(at, "archive");
        fs::write(at.join("tree/d/new"), "new").unwrap();
        fs::create_dir_all(at.join("repo/tmp/litter/d")).unwrap();
        for name in ["f", "d/f"] {
            fs::write(at.join("repo/tmp/litter").join(name), "litter").unwrap();
        }
        age(&at.join("repo/tmp/litter"));
        let probe = commit(at, &["--orphan", "--timestamp=@4"]);
        run(at, &["--repo=repo", "prune", "--refs-only"]);
        fs::create_dir_all(at.join(fan_out("repo", &probe))).unwrap();
        objects = fan_out("repo", &probe);
        fs::create_dir_all(at.join("repo/tmp/litter/d")).unwrap();
        for name in ["f", "d/f"] {
            fs::write(at.join("repo/tmp/litter").join(name), "litter").unwrap();
        }
        age(&at.join("repo/tmp/litter"));
    });
    let call = ["--repo=repo", "commit", "--no-xattrs", "--canonical-permissions"];
    let call = [&call[..], &["--orphan", "--timestamp=@4", "--tree=dir=tree"]].concat();
    place.attack(
        &call,
        &["repo"],
        &["repo/tmp", "repo/tmp/litter", "repo/tmp/litter/d", "repo/objects", &objects],
    );
}

#[test]
fn the_staging_of_a_killed_commit_is_taken_over_behind_no_link() {
    if !can_trace() {
        return;
    }
    let mut staging = String::new();
    let call = [
        "--repo=repo",
        "commit",
        "--no-xattrs",
        "--canonical-permissions",
        "--branch=main",
        "--timestamp=@4",
        "--tree=dir=tree",
    ];
    let place = Place::new(|at| {
        repository(at, "archive");
        fs::write(at.join("tree/d/new"), "new").unwrap();
        // Killed when the objects are about to be moved to their places.
        let mut strace = std::process::Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=syncfs,renameat,renameat2"]);
        strace.args(["-e", "inject=syncfs,renameat,renameat2:signal=SIGKILL:when=1"]);
        strace.arg(osier().path).args(call).current_dir(at).status().unwrap();
        let names = fs::read_dir(at.join("repo/tmp")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_staging = |name: &String| name.starts_with("staging-") && !name.ends_with("lock");
        staging = format!("repo/tmp/{}", names.into_iter().find(is_staging).unwrap());
    });
    place.attack(&call, &[], &["repo/tmp", &staging]);
}

#[test]
fn the_stat_cache_is_replaced_behind_no_link() {
    if !can_trace() {
        return;
    }
    let place = Place::new(|at| {
        repository(at, "archive");
        age(&at.join("tree"));
        commit(at, &["--branch=main", "--stat-cache"]);
        fs::write(at.join("tree/d/new"), "new").unwrap();
        age(&at.join("tree/d"));
    });
    place.attack(
        &["--repo=repo", "commit", "--no-xattrs", "--branch=main", "--stat-cache", "tree"],
        &["repo"],
        &["repo/tmp", "repo/tmp/cache"],
    );
}

#[test]
fn consume_removes_a_source_behind_no_link() {
    if !can_trace() {
        return;
    }
    for mode in ["archive", "bare-user-only"] {
        let place = Place::new(|at| {
            run(at, &["--repo=repo", "init", &format!("--mode={mode}")]);
            fs::create_dir_all(at.join("above/source/d/e")).unwrap();
            for name in ["a", "d/a", "d/e/a"] {
                fs::write(at.join("above/source").join(name), name).unwrap();
            }
        });
        place.attack(
            &["--repo=repo", "commit", "--no-xattrs", "--branch=m", "--consume", "above/source"],
            &["above", "above/source"],
            &["above/source/d", "above/source/d/e"],
        );
    }
}

#[test]
fn refs_are_written_and_deleted_behind_no_link() {
    if !can_trace() {
        return;
    }
    let place = Place::new(|at| repository(at, "archive"));
    let (heads, side) = ("repo/refs/heads", "repo/refs/heads/side");
    place.attack(
        &["--repo=repo", "refs", "--create=side/y", "main"],
        &["repo"],
        &["repo/refs", heads, side, "repo/refs/heads/side/y"],
    );
    place.attack(
        &["--repo=repo", "refs", "--delete", "side/x"],
        &["repo"],
        &["repo/refs", heads, side, "repo/refs/heads/side/x"],
    );
    place.attack(
        &["--repo=repo", "refs", "-A", "--create=side/alias", "main"],
        &[],
        &["repo/refs", heads, side],
    );
    place.attack(&["--repo=repo", "reset", "main", "main^"], &[], &[heads, "repo/refs/heads/main"]);
}

#[test]
fn config_and_keyrings_are_replaced_and_removed_behind_no_link() {
    if !can_trace() {
        return;
    }
    let place = Place::new(|at| {
        repository(at, "archive");
        let url = "http://example.com";
        run(at, &["--repo=repo", "remote", "add", "--no-gpg-verify", "origin", url]);
        fs::write(at.join("repo/origin.trustedkeys.gpg"), "keys").unwrap();
    });
    let config = "repo/config";
    place.attack(&["--repo=repo", "config", "set", "core.x", "y"], &["repo"], &[config]);
    place.attack(&["--repo=repo", "config", "unset", "core.mode"], &["repo"], &[config]);
    place.attack(
        &["--repo=repo", "remote", "add", "--no-gpg-verify", "other", "http://example.com"],
        &["repo"],
        &[config],
    );
    place.attack(
        &["--repo=repo", "remote", "delete", "origin"],
        &["repo"],
        &[config, "repo/origin.trustedkeys.gpg"],
    );
}

#[test]
fn files_of_remotes_are_replaced_and_removed_behind_no_link() {
    if !can_trace() {
        return;
    }
    let place = Place::new(|at| {
        repository(at, "archive");
        fs::create_dir_all(at.join("root/etc/ostree/remotes.d")).unwrap();
        fs::create_dir_all(at.join("root/ostree")).unwrap();
        fs::rename(at.join("repo"), at.join("root/ostree/repo")).unwrap();
        let old = "[remote \"old\"]\nurl=http://example.com/\n";
        fs::write(at.join("root/etc/ostree/remotes.d/old.conf"), old).unwrap();
    });
    let remotes = "root/etc/ostree/remotes.d";
    place.attack(
        &["remote", "add", "--sysroot=root", "--force", "old", "http://other.example.com"],
        &[remotes],
        &["root/etc/ostree/remotes.d/old.conf"],
    );
    place.attack(
        &["remote", "delete", "--sysroot=root", "old"],
        &[remotes],
        &["root/etc/ostree/remotes.d/old.conf"],
    );
}

#[test]
fn the_summary_is_replaced_behind_no_link() {
    if !can_trace() {
        return;
    }
    let place = Place::new(|at| {
        repository(at, "archive");
        run(at, &["--repo=repo", "summary", "-u"]);
        fs::write(at.join("repo/summary.sig"), "signature").unwrap();
        run(at, &["--repo=repo", "refs", "--create=new", "main"]);
    });
    place.attack(
        &["--repo=repo", "summary", "-u"],
        &["repo"],
        &["repo/summary", "repo/summary.sig"],
    );
}

#[test]
fn init_makes_a_repository_behind_no_link() {
    if !can_trace() {
        return;
    }
    let place = Place::new(|at| fs::create_dir(at.join("new")).unwrap());
    place.attack(
        &["--repo=new", "init", "--mode=archive"],
        &["new"],
        &["new/objects", "new/refs", "new/refs/heads", "new/tmp", "new/config"],
    );
}

#[test]
fn a_pull_writes_behind_no_link() {
    if !can_trace() {
        return;
    }
    let mut objects = String::new();
    let place = Place::new(|at| {
        repository(at, "archive");
        run(at, &["--repo=other", "init", "--mode=archive"]);
        let commit = run(at, &["--repo=repo", "rev-parse", "main"]);
        objects = fan_out("other", &commit);
        fs::create_dir_all(at.join(&objects)).unwrap();
    });
    place.attack(
        &["--repo=other", "pull-local", "repo", "main"],
        &["other"],
        &["other/tmp", "other/objects", &objects, "other/state", "other/refs/heads"],
    );
}

#[test]
fn a_checkout_writes_behind_no_link() {
    if !can_trace() || !needs_user_xattrs() {
        return;
    }
    for (mode, options) in [("archive", "-U"), ("bare-user", "-UH"), ("bare-user", "-UC")] {
        let place = Place::new(|at| {
            repository(at, mode);
            fs::create_dir_all(at.join("full/d")).unwrap();
            for name in ["d/a", "d/mine", "top"] {
                fs::write(at.join("full").join(name), "mine").unwrap();
            }
        });
        place.attack(&["--repo=repo", "checkout", options, "main", "out"], &["out"], &["out/d"]);
        for union in ["--union", "--union-add"] {
            place.attack(
                &["--repo=repo", "checkout", options, union, "main", "full"],
                &["full"],
                &["full/d", "full/d/a", "full/top"],
            );
        }
    }
}

#[test]
fn whiteouts_remove_behind_no_link() {
    if !can_trace() {
        return;
    }
    let place = Place::new(|at| {
        repository(at, "archive");
        for name in ["d/.wh.gone", "d/.wh.folder", ".wh.e"] {
            fs::write(at.join("tree").join(name), "").unwrap();
        }
        commit(at, &["--branch=main", "--timestamp=@4"]);
        for directory in ["full/d/folder/inner", "full/e/inner", "full/top/inner"] {
            fs::create_dir_all(at.join(directory)).unwrap();
            fs::write(at.join(directory).join("file"), "mine").unwrap();
        }
        fs::write(at.join("full/d/gone"), "mine").unwrap();
    });
    place.attack(
        &["--repo=repo", "checkout", "-U", "--union", "--whiteouts", "main", "full"],
        &["full"],
        &["full/d", "full/d/folder", "full/d/folder/inner", "full/e", "full/top"],
    );
}

#[test]
fn the_cache_of_checkouts_is_written_behind_no_link() {
    if !can_trace() {
        return;
    }
    let place = Place::new(|at| {
        repository(at, "archive");
        run(at, &["--repo=repo", "config", "set", "core.enable-uncompressed-cache", "true"]);
        run(at, &["--repo=repo", "checkout", "-U", "main^", "first"]);
    });
    place.attack(
        &["--repo=repo", "checkout", "-U", "main", "out"],
        &["repo"],
        &["repo/uncompressed-objects-cache"],
    );
}

#[test]
fn images_archives_and_pages_are_written_behind_no_link() {
    if !can_trace() {
        return;
    }
    let place = Place::new(|at| {
        repository(at, "archive");
        fs::create_dir(at.join("made")).unwrap();
        fs::write(at.join("made/old"), "old").unwrap();
    });
    place.attack(
        &["--repo=repo", "checkout", "--composefs", "main", "made/image"],
        &["made"],
        &["made/image"],
    );
    place.attack(&["--repo=repo", "export", "main", "-o", "made/tar"], &[], &["made/tar"]);
    place.own().attack(&["man", "made"], &["made"], &["made/osier.1"]);
}
