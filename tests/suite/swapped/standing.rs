//! Links that stand in the place of something when a command begins: one case for each place that
//! is removed from or replaced.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::{
    Output, Program, Snapshot, differences, osier, osier_path, raw_snapshot, scratch,
};

/// A repository with two commits, the first of which nothing needs any more.
struct Scene {
    directory: tempfile::TempDir,
    repo: PathBuf,
}

impl Scene {
    fn new(mode: &str) -> Self {
        let directory = scratch();
        let repo = directory.path().join("repo");
        osier().repo(&repo, ["init", &format!("--mode={mode}")]).success();
        let scene = Self { directory, repo };
        for content in ["one", "two"] {
            fs::create_dir_all(scene.path("tree/d")).unwrap();
            fs::write(scene.path("tree/d/file"), content).unwrap();
            scene.commit("main").success();
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = osier().in_directory(self.directory.path()).repo(&self.repo, arguments);
        output.assert_no_panic();
        output
    }

    fn commit(&self, branch: &str) -> Output {
        self.run(&[
            "commit",
            "-b",
            branch,
            "--parent=none",
            "--no-xattrs",
            "--timestamp=@1",
            "--tree=dir=tree",
        ])
    }

    /// Moves a directory of the repository to `victim` and puts a link in its place; returns what
    /// is in it.
    fn swap(&self, name: &str) -> Snapshot {
        if !self.repo.join(name).exists() {
            fs::create_dir(self.repo.join(name)).unwrap();
            fs::write(self.repo.join(name).join("precious"), "precious").unwrap();
        }
        fs::rename(self.repo.join(name), self.path("victim")).unwrap();
        symlink(self.path("victim"), self.repo.join(name)).unwrap();
        raw_snapshot(&self.path("victim"))
    }

    fn swap_back(&self, name: &str) {
        fs::remove_file(self.repo.join(name)).unwrap();
        fs::rename(self.path("victim"), self.repo.join(name)).unwrap();
    }

    #[track_caller]
    fn assert_victim(&self, before: &Snapshot, what: &str) {
        let changed = differences(before, &raw_snapshot(&self.path("victim")));
        assert!(changed.is_empty(), "{what} changed {changed:?}");
    }
}

/// The program under its own name.
fn own() -> Program {
    Program::other(osier_path(), "osier")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The path of the only object with that extension that `main` does not need.
fn unneeded(scene: &Scene, extension: &str) -> PathBuf {
    let copy = scene.path("pruned");
    crate::support::copy_all(&scene.repo, &copy);
    osier().repo(&copy, ["prune", "--refs-only"]).success();
    let objects = walkdir::WalkDir::new(scene.repo.join("objects")).into_iter().map(Result::unwrap);
    let gone = objects
        .map(|entry| entry.path().strip_prefix(&scene.repo).unwrap().to_owned())
        .find(|path| {
            path.extension().is_some_and(|found| found == extension) && !copy.join(path).exists()
        });
    fs::remove_dir_all(copy).unwrap();
    gone.unwrap()
}

#[test]
fn prune_and_fsck_delete_no_object_behind_a_link() {
    let scene = Scene::new("archive");
    let object = unneeded(&scene, "filez");
    let fan_out = object.parent().unwrap().to_str().unwrap().to_owned();
    fs::write(scene.repo.join(&object), "damaged").unwrap();
    let before = scene.swap(&fan_out);
    for command in
        [&["prune", "--refs-only"][..], &["fsck", "--delete"], &["fsck", "-a", "--delete"]]
    {
        let refused = scene.run(command);
        assert_eq!(refused.status, 1, "{refused:?}");
        assert!(stderr(&refused).contains(&fan_out), "{refused:?}");
        scene.assert_victim(&before, "a command");
    }
    scene.swap_back(&fan_out);
    scene.run(&["prune", "--refs-only"]).success();
    assert!(!scene.repo.join(&object).exists());
}

#[test]
fn no_object_is_written_or_linked_behind_a_link() {
    for fsync in ["true", "false"] {
        let scene = Scene::new("bare-user-only");
        scene.run(&["config", "set", "core.fsync", fsync]).success();
        fs::create_dir(scene.path("victim")).unwrap();
        for first in 0..=255 {
            let path = scene.repo.join(format!("objects/{first:02x}"));
            if !path.exists() {
                symlink(scene.path("victim"), path).unwrap();
            }
        }
        let other = scene.path("other");
        osier().repo(&other, ["init", "--mode=bare-user-only"]).success();
        for number in 0..30 {
            fs::write(scene.path(&format!("tree/{number}")), format!("{number}")).unwrap();
        }
        let commit = ["commit", "-b", "new", "--no-xattrs", "--tree=dir=tree"];
        osier().in_directory(scene.directory.path()).repo(&other, commit).success();
        for refused in [scene.run(&commit), scene.run(&["pull-local", "other", "new"])] {
            assert_eq!(refused.status, 1, "{refused:?}");
            assert!(stderr(&refused).contains("objects/"), "{refused:?}");
        }
        assert_eq!(fs::read_dir(scene.path("victim")).unwrap().count(), 0, "fsync {fsync}");
        assert_eq!(scene.run(&["refs"]).line(), "main");
    }
}

#[test]
fn a_link_in_the_place_of_a_directory_of_the_repository_is_refused_by_name() {
    let scene = Scene::new("archive");
    let first = unneeded(&scene, "commit");
    let commit: String =
        first.with_extension("").iter().skip(1).map(|part| part.to_str().unwrap()).collect();
    let directories =
        ["objects", "refs", "refs/heads", "refs/remotes", "refs/mirrors", "state", "tmp", "deltas"];
    for name in directories.into_iter().chain(["delta-indexes"]) {
        let before = scene.swap(name);
        let delete = format!("--delete-commit={commit}");
        let commands: [&[&str]; 5] = [
            &["prune", "--refs-only"],
            &["prune", &delete],
            &["prune", "--static-deltas-only", &delete],
            &["fsck", "--delete"],
            &["commit", "-b", "new", "--no-xattrs", "--tree=dir=tree"],
        ];
        for command in commands {
            let refused = scene.run(command);
            assert_eq!(refused.status, 1, "{name} {command:?}: {refused:?}");
            let expected = format!("repo/{name} is a symbolic link");
            assert!(stderr(&refused).contains(&expected), "{name} {command:?}: {refused:?}");
            scene.assert_victim(&before, name);
        }
        for command in [
            &["refs", "--delete", "main"][..],
            &["refs", "--create=more", "main"],
            &["summary", "-u"],
        ] {
            scene.run(command);
            scene.assert_victim(&before, name);
        }
        scene.swap_back(name);
        for new in ["refs/heads/more", "summary"] {
            let _ = fs::remove_file(scene.repo.join(new));
        }
        if !scene.repo.join("refs/heads/main").exists() {
            scene.commit("main").success();
        }
    }
}

#[test]
fn a_delta_is_not_removed_behind_a_link() {
    let scene = Scene::new("archive");
    let digits = "A".repeat(41);
    let delta = scene.repo.join("deltas/AA").join(&digits);
    fs::create_dir_all(&delta).unwrap();
    fs::write(delta.join("superblock"), "precious").unwrap();
    let before = scene.swap("deltas/AA");
    let refused = scene.run(&["prune", "--refs-only"]);
    scene.assert_victim(&before, "prune");
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(stderr(&refused).contains("deltas/AA"), "{refused:?}");
    scene.swap_back("deltas/AA");
    scene.run(&["prune", "--refs-only"]).success();
    assert!(!delta.exists());
}

/// Files of the repository that are replaced or removed: a link in the place of one goes, what it
/// points to stays.
#[test]
fn files_of_the_repository_are_replaced_and_not_written_through() {
    let scene = Scene::new("archive");
    fs::create_dir(scene.path("victim")).unwrap();
    let cases: [(&str, &[&str]); 6] = [
        ("summary", &["summary", "-u"]),
        ("summary.sig", &["summary", "-u"]),
        ("config", &["config", "set", "core.x", "y"]),
        ("refs/heads/link", &["reset", "link", "main"]),
        ("origin.trustedkeys.gpg", &["remote", "delete", "origin"]),
        (".lock", &["prune", "--refs-only"]),
    ];
    for (name, command) in cases {
        scene
            .run(&[
                "remote",
                "add",
                "--if-not-exists",
                "--no-gpg-verify",
                "origin",
                "http://example.com",
            ])
            .success();
        let path = scene.repo.join(name);
        let content = fs::read(&path).unwrap_or_else(|_| b"precious".to_vec());
        let _ = fs::remove_file(&path);
        fs::write(scene.path("victim/file"), &content).unwrap();
        symlink(scene.path("victim/file"), &path).unwrap();
        let before = raw_snapshot(&scene.path("victim"));
        scene.run(command);
        scene.assert_victim(&before, name);
        if path.is_symlink() {
            fs::remove_file(&path).unwrap();
        }
        if name == "config" && !path.exists() {
            fs::write(&path, content).unwrap();
        }
    }
}

#[test]
fn a_file_of_the_remotes_directory_is_replaced_and_not_written_through() {
    let scene = Scene::new("archive");
    let remotes = scene.path("root/etc/ostree/remotes.d");
    fs::create_dir_all(&remotes).unwrap();
    fs::create_dir_all(scene.path("root/ostree")).unwrap();
    fs::create_dir(scene.path("victim")).unwrap();
    fs::write(scene.path("victim/file"), "[remote \"origin\"]\nurl=http://example.com/\n").unwrap();
    fs::rename(&scene.repo, scene.path("root/ostree/repo")).unwrap();
    let before = raw_snapshot(&scene.path("victim"));
    for command in
        [&["add", "--force", "origin", "http://other.example.com"][..], &["delete", "origin"]]
    {
        let _ = fs::remove_file(remotes.join("origin.conf"));
        symlink(scene.path("victim/file"), remotes.join("origin.conf")).unwrap();
        let sysroot = format!("--sysroot={}", scene.path("root").display());
        let arguments = [&["remote", command[0], &sysroot][..], &command[1..]].concat();
        osier().run(arguments).success();
        scene.assert_victim(&before, command[0]);
        assert!(!remotes.join("origin.conf").is_symlink(), "{command:?}");
    }
}

#[test]
fn what_is_written_outside_of_a_repository_goes_through_no_link() {
    let scene = Scene::new("archive");
    fs::create_dir_all(scene.path("victim/d")).unwrap();
    fs::write(scene.path("victim/d/file"), "precious").unwrap();
    let file = scene.path("victim/d/file");
    let before = raw_snapshot(&scene.path("victim"));
    // The image is put in the place of the link.
    symlink(&file, scene.path("image")).unwrap();
    scene.run(&["checkout", "--composefs", "main", "image"]);
    scene.assert_victim(&before, "checkout --composefs");
    symlink(&file, scene.path("out.tar")).unwrap();
    assert_eq!(scene.run(&["export", "main", "-o", "out.tar"]).status, 1);
    scene.assert_victim(&before, "export");
    fs::create_dir(scene.path("man")).unwrap();
    symlink(&file, scene.path("man/osier.1")).unwrap();
    own().run([std::ffi::OsStr::new("man"), scene.path("man").as_os_str()]).success();
    scene.assert_victim(&before, "man");
    assert!(fs::symlink_metadata(scene.path("man/osier.1")).unwrap().is_file());
    for overwrite in ["--union", "--union-add", "--union-identical"] {
        let out = scene.path("out");
        fs::create_dir(&out).unwrap();
        symlink(scene.path("victim/d"), out.join("d")).unwrap();
        scene.run(&["checkout", "-U", overwrite, "main", "out"]);
        scene.assert_victim(&before, overwrite);
        let _ = fs::remove_dir_all(&out);
    }
    let out = scene.path("out");
    fs::create_dir(&out).unwrap();
    symlink(scene.path("victim/d"), out.join("d")).unwrap();
    scene.run(&["checkout", "-U", "--union", "--whiteouts", "main", "out"]);
    scene.assert_victim(&before, "--union --whiteouts");
}

#[test]
fn init_and_the_cache_of_checkouts_write_through_no_link() {
    let scene = Scene::new("archive");
    fs::create_dir(scene.path("victim")).unwrap();
    fs::write(scene.path("victim/file"), "precious").unwrap();
    let before = raw_snapshot(&scene.path("victim"));
    let new = scene.path("new");
    fs::create_dir(&new).unwrap();
    symlink(scene.path("victim/file"), new.join(".config-new")).unwrap();
    symlink(scene.path("victim"), new.join("refs")).unwrap();
    osier().repo(&new, ["init", "--mode=bare-user"]);
    scene.assert_victim(&before, "init");
    scene.run(&["config", "set", "core.enable-uncompressed-cache", "true"]).success();
    symlink(scene.path("victim"), scene.repo.join("uncompressed-objects-cache")).unwrap();
    scene.run(&["checkout", "-U", "main", "out"]);
    scene.assert_victim(&before, "checkout -U");
}

/// None of the commands takes it for a summary, and a comparison says that it could not be read.
#[track_caller]
fn assert_refused(scene: &Scene, why: &str, commands: &[&[&str]]) {
    for command in commands {
        let refused = scene.run(command);
        assert_eq!(refused.status, 1, "{command:?}: {refused:?}");
        assert!(stderr(&refused).contains(why), "{command:?}: {refused:?}");
    }
    let compared = own().in_directory(scene.directory.path()).run(["compare", "repo", "copy"]);
    assert_eq!(compared.status, 2, "{compared:?}");
}

#[test]
fn a_summary_that_is_no_file_or_too_large_is_refused() {
    let scene = Scene::new("archive");
    let path: &Path = &scene.repo.join("summary");
    let commands: [&[&str]; 3] =
        [&["summary", "-v"], &["summary", "--raw"], &["summary", "--list-metadata-keys"]];
    scene.run(&["summary", "-u"]).success();
    crate::support::copy_all(&scene.repo, &scene.path("copy"));
    fs::remove_file(path).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert_refused(&scene, "summary): not a regular file", &commands);
    fs::remove_file(path).unwrap();
    fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
    assert_refused(&scene, "summary): larger than 134217728 bytes", &commands);
}
