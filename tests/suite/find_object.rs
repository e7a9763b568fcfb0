//! `find-object`: the commits, refs and paths that use an object.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::json::shapes::{misfit, schemas};
use super::support::{Program, osier_path, scratch};

struct Scene {
    directory: tempfile::TempDir,
    program: Program,
    /// From the first one on.
    commits: Vec<String>,
}

/// Three commits on `main`: the file `same` is in all, twice in the second; `other` has the second
/// as its tip.
fn scene() -> Scene {
    let directory = scratch();
    let program = Program::other(osier_path(), "osier");
    let (repo, tree) = (directory.path().join("repo"), directory.path().join("tree"));
    program.repo(&repo, ["init", "--mode=bare-user-only"]).success();
    fs::create_dir_all(tree.join("usr/share/deep")).unwrap();
    fs::write(tree.join("same"), "same\n").unwrap();
    let mut commits = Vec::new();
    for number in 1..=3 {
        if number == 2 {
            fs::write(tree.join("usr/share/deep/copy"), "same\n").unwrap();
        } else {
            let _ = fs::remove_file(tree.join("usr/share/deep/copy"));
        }
        fs::write(tree.join("usr/number"), number.to_string()).unwrap();
        let arguments =
            ["commit", "-b", "main", &format!("--timestamp=@{number}"), tree.to_str().unwrap()];
        commits.push(program.repo(&repo, arguments).line());
    }
    program.repo(&repo, ["refs", "--create=other", &commits[1]]).success();
    Scene { directory, program, commits }
}

impl Scene {
    fn repo(&self) -> PathBuf {
        self.directory.path().join("repo")
    }

    /// The checksum in the listing of a path.
    fn checksum(&self, commit: &str, path: &str) -> String {
        let listed = self.program.repo(&self.repo(), ["ls", "-d", "-C", commit, path]).line();
        listed.split(' ').rfind(|word| word.len() == 64).unwrap().to_owned()
    }

    fn find(&self, arguments: &[&str]) -> String {
        self.program.repo(&self.repo(), ["find-object"].iter().chain(arguments)).success()
    }
}

#[test]
fn commits_are_listed_with_refs_and_paths() {
    let scene = scene();
    let [first, second, third] = &scene.commits[..] else { panic!() };
    let same = scene.checksum("main", "/same");
    let expected = format!(
        "commit {third}\n  in main\n  /same\n\
         commit {second}\n  in main, 1 commit ago\n  in other\n  /same\n  /usr/share/deep/copy\n\
         commit {first}\n  in main, 2 commits ago\n  in other, 1 commit ago\n  /same\n"
    );
    assert_eq!(scene.find(&[&same]), expected);
    assert_eq!(scene.find(&[&format!("{same}.filez")]), expected);
    let limited = scene.find(&["--limit=1", &same]);
    assert!(limited.contains("  in other\n  /same\n  and more, see --limit\n"), "{limited}");
    // As a type that it is not.
    let not_there = scene.program.repo(&scene.repo(), ["find-object", &format!("{same}.dirtree")]);
    let message = not_there.failure();
    assert_eq!(message, format!("{same}.dirtree is not in the repository, and nothing uses it"));
}

#[test]
fn directories_and_commits_are_found_too() {
    let scene = scene();
    let [first, second, third] = &scene.commits[..] else { panic!() };
    let found: Value = serde_json::from_str(&scene.find(&["--json", first])).unwrap();
    let schemas = schemas();
    assert_eq!(misfit(&schemas, &schemas["find-object"], &found), None);
    assert_eq!(
        found,
        json!({"object": first, "is_present": true, "commits": [{
            "commit": first, "timestamp": 1, "paths": [], "has_more_paths": false,
            "refs": [{"ref": "main", "ahead": 2}, {"ref": "other", "ahead": 1}],
        }]})
    );
    // All directories have the same owner and mode.
    let listed = scene.program.repo(&scene.repo(), ["ls", "-d", "-C", "main", "/usr"]).line();
    let checksums: Vec<&str> = listed.split(' ').filter(|word| word.len() == 64).collect();
    let [dirtree, dirmeta] = checksums[..] else { panic!("{listed}") };
    let of_dirmeta = scene.find(&[dirmeta]);
    assert!(
        of_dirmeta.contains("\n  /\n  /usr\n  /usr/share\n  /usr/share/deep\n"),
        "{of_dirmeta}"
    );
    assert_eq!(scene.find(&[dirtree]), format!("commit {third}\n  in main\n  /usr\n"));
    // Without refs.
    for name in ["main", "other"] {
        scene.program.repo(&scene.repo(), ["refs", "--delete", name]).success();
    }
    let copy = "  /same\n  /usr/share/deep/copy\n";
    let same = scene.checksum(second, "/same");
    let found = scene.find(&[&same]);
    assert!(found.contains(&format!("commit {second}\n  in no ref\n{copy}")), "{found}");
}

/// Objects of a repository with an extension.
fn objects(repo: &Path, extension: &str) -> Vec<PathBuf> {
    let fan_outs = fs::read_dir(repo.join("objects")).unwrap().map(|entry| entry.unwrap().path());
    let files = fan_outs.flat_map(|path| fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
    files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[test]
fn what_is_missing_or_damaged_still_has_uses() {
    let scene = scene();
    let same = scene.checksum("main", "/same");
    let (first, rest) = same.split_at(2);
    fs::remove_file(scene.repo().join(format!("objects/{first}/{rest}.file"))).unwrap();
    assert!(scene.find(&[&same]).contains("  /usr/share/deep/copy\n"));
    let unused = "0".repeat(64);
    let output = scene.program.repo(&scene.repo(), ["find-object", &unused]);
    let message = format!("{unused} is not in the repository, and nothing uses it");
    assert_eq!(output.failure(), message);
    for path in objects(&scene.repo(), "dirtree") {
        fs::write(&path, "x").unwrap();
    }
    let output = scene.program.repo(&scene.repo(), ["find-object", &same]);
    output.assert_no_panic();
    assert_eq!(output.status, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains(".dirtree"), "{output:?}");
    for (arguments, message) in [
        (&["find-object", "abc"][..], "Invalid checksum 'abc'"),
        (&["find-object", "--limit=0", &unused], "--limit must be at least 1"),
        (
            &["find-object", &format!("{unused}.commitmeta")],
            "'commitmeta' is no type of object that commits use",
        ),
    ] {
        assert_eq!(scene.program.repo(&scene.repo(), arguments).failure(), message);
    }
}
