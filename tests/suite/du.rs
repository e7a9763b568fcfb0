//! `du`: what refs, commits and directories take, and what they share.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::json::shapes::{misfit, schemas};
use super::support::{Program, osier_path, scratch};

struct Scene {
    directory: tempfile::TempDir,
    program: Program,
}

impl Scene {
    /// Refs `main`, with two commits, and `other`, which shares a directory with it.
    fn new(mode: &str) -> Self {
        let directory = scratch();
        let scene = Self { directory, program: Program::other(osier_path(), "osier") };
        scene.program.repo(&scene.repo(), ["init", &format!("--mode={mode}")]).success();
        scene.write("shared/file", 10_000);
        scene.write("main/old", 1000);
        scene.commit("main", 1);
        scene.write("main/new", 2000);
        scene.commit("main", 2);
        fs::remove_dir_all(scene.path("tree/main")).unwrap();
        scene.write("other", 4000);
        scene.commit("other", 3);
        scene
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    fn write(&self, relative: &str, size: usize) {
        let path = self.path("tree").join(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![b'x'; size]).unwrap();
    }

    fn commit(&self, branch: &str, time: u64) {
        let (time, tree) = (format!("--timestamp=@{time}"), self.path("tree"));
        let options = ["commit", "-b", branch, "--canonical-permissions", "--no-xattrs", &time];
        self.program.repo(&self.repo(), options.iter().chain(&[tree.to_str().unwrap()])).line();
    }

    fn du(&self, arguments: &[&str]) -> Value {
        let arguments = ["du", "--json"].iter().chain(arguments);
        let text = self.program.repo(&self.repo(), arguments).success();
        let document = serde_json::from_str(&text).unwrap();
        let schemas = schemas();
        assert_eq!(misfit(&schemas, &schemas["du"], &document), None, "{document}");
        document
    }
}

/// The sum of the sizes of what is below a directory, for files with an ending.
fn bytes_below(path: &Path, counts: fn(&str) -> bool) -> (u64, u64) {
    let (mut count, mut bytes) = (0, 0);
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let below = bytes_below(&path, counts);
            (count, bytes) = (count + below.0, bytes + below.1);
        } else if counts(path.to_str().unwrap()) {
            (count, bytes) = (count + 1, bytes + path.metadata().unwrap().len());
        }
    }
    (count, bytes)
}

fn objects(value: &Value) -> u64 {
    value["objects"].as_u64().unwrap()
}

#[test]
fn refs_share_objects_and_have_some_for_themselves() {
    for mode in ["archive", "bare-user-only"] {
        let scene = Scene::new(mode);
        let usage = scene.du(&[]);
        let [main, other] = &usage["rows"].as_array().unwrap()[..] else { panic!("{usage}") };
        assert_eq!([&main["ref"], &other["ref"]], ["main", "other"]);
        // main: 2 commits; 2 roots, 2 x main/, shared/; 1 dirmeta; 3 files.
        assert_eq!(objects(&main["amount"]), 11);
        // other: 1 commit; root, shared/; 1 dirmeta; 2 files.
        assert_eq!(objects(&other["amount"]), 6);
        // Without shared/, its file and the dirmeta.
        assert_eq!(objects(&main["exclusive"]), 8);
        assert_eq!(objects(&other["exclusive"]), 3);
        assert_eq!(objects(&usage["rows_together"]), 14);
        let (count, bytes) = bytes_below(&scene.path("repo/objects"), |_| true);
        assert_eq!(
            usage["repository"],
            json!({"objects": count, "bytes": bytes, "inflated_bytes": null})
        );
        assert_eq!(usage["rows_together"], usage["repository"]);
        assert_eq!(objects(&usage["in_no_ref"]), 0);
        // All others count for what is exclusive, whatever is shown.
        let alone = scene.du(&["main"]);
        assert_eq!(alone["rows"].as_array().unwrap()[..], *std::slice::from_ref(main));
        assert_eq!(alone["rows_together"], main["amount"]);
        let inflated = scene.du(&["--inflated", "other"]);
        let content = inflated["rows"][0]["amount"]["inflated_bytes"].as_u64().unwrap();
        assert!((14_000..15_000).contains(&content), "{inflated}");
        scene.program.repo(&scene.repo(), ["refs", "--delete", "other"]).success();
        let rest = scene.du(&[]);
        assert_eq!(rest["in_no_ref"], other["exclusive"]);
        assert_eq!(rest["rows"][0]["exclusive"], rest["rows"][0]["amount"]);
    }
}

#[test]
fn commits_and_directories_have_rows_of_their_own() {
    let scene = Scene::new("archive");
    let usage = scene.du(&["--commits", "main"]);
    let rows = usage["rows"].as_array().unwrap();
    let rev = |rev: &str| scene.program.repo(&scene.repo(), ["rev-parse", rev]).line();
    let commits: Vec<&Value> = rows.iter().map(|row| &row["commit"]).collect();
    assert_eq!(commits, [&json!(rev("main")), &json!(rev("main^"))]);
    // The commit, its root, its main/, and a file of its own.
    let exclusive: Vec<u64> = rows.iter().map(|row| objects(&row["exclusive"])).collect();
    assert_eq!(exclusive, [4, 3]);
    let usage = scene.du(&["--max-depth=1", "--inflated", "main"]);
    let rows = usage["rows"].as_array().unwrap().iter();
    let rows: Vec<(&str, u64)> =
        rows.map(|row| (row["path"].as_str().unwrap(), objects(&row["amount"]))).collect();
    // Dirtrees, the dirmeta and files.
    assert_eq!(rows, [("/", 7), ("/main", 4), ("/shared", 3)]);
    assert_eq!(objects(&usage["rows_together"]), 7);
    let usage = scene.du(&["--max-depth=0", "main", "other"]);
    assert_eq!(usage["rows"].as_array().unwrap().len(), 2);
    // What an update brings: the commit, its root, main/ and the new file.
    let usage = scene.du(&["--since=main^", "main"]);
    assert_eq!(objects(&usage["rows"][0]["amount"]), 4);
    assert_eq!(objects(&scene.du(&["--since=main", "main"])["rows_together"]), 0);
}

#[test]
fn the_table_is_for_people_and_bad_calls_are_refused() {
    let scene = Scene::new("archive");
    let text = scene.program.repo(&scene.repo(), ["du"]).success();
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["OBJECTS", "ON", "DISK", "EXCLUSIVE", "OF"]);
    assert_eq!((lines[1][0], lines[1].last()), ("11", Some(&"main")));
    assert_eq!((lines[2][0], lines[2].last()), ("6", Some(&"other")));
    assert_eq!(lines[3][0], "14");
    assert!(lines[4].ends_with(&["in", "no", "ref"]), "{text}");
    let commits = scene.program.repo(&scene.repo(), ["du", "--commits"]).success();
    assert!(commits.lines().nth(1).unwrap().ends_with(" in main"), "{commits}");
    for (arguments, message) in [
        (&["du", "--commits", "--max-depth=1"][..], "--commits and --max-depth conflict"),
        (&["du", "--max-depth=-1"], "--max-depth must be at least 0"),
        (&["du", "nope"], "Refspec 'nope' not found"),
    ] {
        assert_eq!(scene.program.repo(&scene.repo(), arguments).failure(), message);
    }
    // What is gone takes nothing, what is damaged is warned of.
    let damaged = scene.path("repo/objects");
    let find = |ending: &str| {
        let fan_outs = fs::read_dir(&damaged).unwrap().map(|entry| entry.unwrap().path());
        let mut files =
            fan_outs.flat_map(|path| fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        files.find(|path| path.to_str().unwrap().ends_with(ending)).unwrap()
    };
    fs::remove_file(find(".filez")).unwrap();
    assert_eq!(objects(&scene.du(&[])["repository"]), 13);
    let dirtree = find(".dirtree");
    fs::write(&dirtree, "x").unwrap();
    let output = scene.program.repo(&scene.repo(), ["du"]);
    output.assert_no_panic();
    assert_eq!(output.status, 0, "{output:?}");
    let name = dirtree.file_name().unwrap().to_str().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains(name), "{output:?}");
}
