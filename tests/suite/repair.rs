//! `fsck --repair`: a damaged repository is whole afterwards, or what is lost is named.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode};
use serde_json::{Value, json};

use super::json::shapes::{misfit, schemas};
use super::support::{
    Output, Program, Server, Snapshot, copy_all, differences, has_xattrs, is_root, osier_path,
    scratch, scratch_root, snapshot,
};

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Missing,
    Empty,
    Cut,
    Extended,
    Flipped,
    /// The file of another object.
    Other,
    Directory,
    Fifo,
    Link,
}

use Damage::*;

const ALL: [Damage; 9] = [Missing, Empty, Cut, Extended, Flipped, Other, Directory, Fifo, Link];

impl Damage {
    /// Damages a file as a disk does: what has other links to it has the damage, too.
    fn inflict(self, path: &Path) {
        let is_link = path.is_symlink();
        let bytes = if is_link { b"link".to_vec() } else { fs::read(path).unwrap() };
        if is_link || matches!(self, Missing | Directory | Fifo | Link) {
            fs::remove_file(path).unwrap();
        }
        match self {
            Missing => {}
            // It would not change.
            Empty | Cut if bytes.is_empty() => overwrite(path, b"not empty"),
            Empty => overwrite(path, b""),
            Cut => overwrite(path, &bytes[..bytes.len() / 2]),
            Extended => overwrite(path, &[&bytes[..], b"more"].concat()),
            Flipped => {
                let mut bytes = bytes;
                let middle = bytes.len() / 2;
                match bytes.get_mut(middle) {
                    Some(byte) => *byte ^= 1,
                    None => bytes.push(0),
                }
                overwrite(path, &bytes);
            }
            Other => overwrite(path, b"what another object has"),
            Directory => fs::create_dir_all(path.join("in/it")).unwrap(),
            Fifo => {
                let mode = Mode::from_raw_mode(0o644);
                rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap();
            }
            Link => symlink("nowhere", path).unwrap(),
        }
    }
}

fn overwrite(path: &Path, bytes: &[u8]) {
    if path.exists() {
        let mode = path.metadata().unwrap().permissions().mode();
        fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o200)).unwrap();
    }
    fs::write(path, bytes).unwrap();
}

struct Scene {
    directory: tempfile::TempDir,
    program: Program,
    /// From the first one on.
    commits: Vec<String>,
    /// `repo` before any damage.
    pristine: Snapshot,
}

impl Scene {
    /// `repo` with two commits on `main`, and `sound`, an archive that has both. Both have detached
    /// metadata.
    fn new(mode: &str) -> Self {
        let directory = scratch();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("usr/share/deep")).unwrap();
        fs::write(tree.join("usr/share/deep/file"), "some content\n".repeat(40)).unwrap();
        fs::write(tree.join("usr/empty"), "").unwrap();
        symlink("share", tree.join("usr/link")).unwrap();
        let program = Program::other(osier_path(), "osier").in_directory(directory.path());
        let (repo, pulled) = (Path::new("repo"), Path::new("pulled"));
        program.repo(repo, ["init", &format!("--mode={mode}")]).success();
        let mut commits = Vec::new();
        for number in 1..=2 {
            fs::write(tree.join("usr/number"), number.to_string()).unwrap();
            let timestamp = format!("--timestamp=@{number}");
            let commit = [
                "commit",
                "-b",
                "main",
                &timestamp,
                "--canonical-permissions",
                "--no-xattrs",
                "--add-detached-metadata-string=k=v",
                "tree",
            ];
            commits.push(program.repo(repo, commit).line());
        }
        program.repo(pulled, ["init", "--mode=archive"]).success();
        program.repo(pulled, ["pull-local", "--depth=-1", "repo"]).success();
        // The one that was pulled has the same files: damage is in both.
        copy_all(&directory.path().join("pulled"), &directory.path().join("sound"));
        let pristine = snapshot(&directory.path().join("repo"));
        Self { directory, program, commits, pristine }
    }

    fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// The files of all objects in a repository, those of one extension if one is given.
    fn objects(&self, repo: &str, extension: Option<&str>) -> Vec<PathBuf> {
        let files = walkdir::WalkDir::new(self.path(repo).join("objects")).sort_by_file_name();
        let files = files.into_iter().map(|entry| entry.unwrap().into_path());
        let wanted = |path: &PathBuf| {
            let of_object = path.extension().filter(|_| !path.is_dir());
            of_object.is_some_and(|found| extension.is_none_or(|wanted| found == wanted))
        };
        files.filter(wanted).collect()
    }

    fn repair(&self, arguments: &[&str]) -> Output {
        let output =
            self.program.repo(Path::new("repo"), ["fsck", "--repair"].iter().chain(arguments));
        output.assert_no_panic();
        output
    }

    fn repair_json(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.repair(&[&["--json"], arguments].concat());
        let document: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let schemas = schemas();
        assert_eq!(misfit(&schemas, &schemas["fsck --repair"], &document), None, "{document}");
        assert_eq!(document["ok"], output.status == 0, "{document}");
        (output.status, document)
    }

    /// Nothing but what no source could bring is different from before the damage.
    #[track_caller]
    fn assert_whole(&self, what: &str) {
        let mut after = snapshot(&self.path("repo"));
        after.retain(|path, _| !path.starts_with("tmp/"));
        let mut before = self.pristine.clone();
        before.retain(|path, _| !path.starts_with("tmp/"));
        for side in [&mut before, &mut after] {
            side.remove("config");
        }
        let changed = differences(&before, &after);
        assert!(changed.is_empty(), "{what}: {changed:?}");
        self.program.repo(Path::new("repo"), ["fsck", "--all"]).success();
    }
}

fn modes() -> Vec<&'static str> {
    let mut modes = vec!["archive", "bare-user-only"];
    if has_xattrs(scratch_root(), "user.test") {
        modes.push("bare-user");
    }
    if is_root() {
        modes.push("bare");
    }
    modes
}

#[test]
fn every_damage_of_every_object_in_every_mode_is_repaired() {
    let mut cases = 0;
    for mode in modes() {
        let scene = Scene::new(mode);
        copy_all(&scene.path("repo"), &scene.path("before"));
        for (number, damage) in ALL.into_iter().enumerate() {
            fs::remove_dir_all(scene.path("repo")).unwrap();
            copy_all(&scene.path("before"), &scene.path("repo"));
            // Without syncing, objects appear at once; else they are staged.
            let sync = if number % 4 < 2 { "true" } else { "false" };
            scene.program.repo(Path::new("repo"), ["config", "set", "core.fsync", sync]).success();
            // Now all objects at once, now every other one.
            let objects = scene.objects("repo", None);
            for object in objects.iter().skip(number % 2).step_by(1 + number % 2) {
                // Without detached metadata a commit is whole: nothing says that it had any. An
                // empty one has no keys.
                let is_detached = object.extension().is_some_and(|found| found == "commitmeta");
                if is_detached && matches!(damage, Missing | Empty | Extended | Flipped | Cut) {
                    continue;
                }
                damage.inflict(object);
                cases += 1;
            }
            let output = scene.repair(&["--from=sound"]);
            assert_eq!(output.status, 0, "{mode} {damage:?}: {output:?}");
            scene.assert_whole(&format!("{mode} {damage:?}"));
        }
    }
    println!("{cases} damaged objects");
    assert!(cases > 200, "only {cases}");
}

#[test]
fn what_is_no_directory_in_the_place_of_one_makes_way() {
    for damage in [Fifo, Link, Other] {
        let scene = Scene::new("archive");
        let (first, _) = scene.commits[1].split_at(2);
        let directory = scene.path(format!("repo/objects/{first}"));
        fs::remove_dir_all(&directory).unwrap();
        match damage {
            Other => fs::write(&directory, "a file").unwrap(),
            Link => symlink(scene.path("sound/objects"), &directory).unwrap(),
            _ => {
                let mode = Mode::from_raw_mode(0o644);
                rustix::fs::mknodat(CWD, &directory, FileType::Fifo, mode, 0).unwrap();
            }
        }
        let sound = snapshot(&scene.path("sound"));
        let output = scene.repair(&["--from=sound"]);
        assert_eq!(output.status, 0, "{damage:?}: {output:?}");
        scene.assert_whole(&format!("{damage:?}"));
        assert!(differences(&sound, &snapshot(&scene.path("sound"))).is_empty(), "{damage:?}");
    }
}

#[test]
fn what_is_lost_is_named_by_commits_refs_and_paths() {
    let scene = Scene::new("archive");
    let checksum = |path: &str| {
        let listed = scene.program.repo(Path::new("repo"), ["ls", "-d", "-C", "main", path]).line();
        listed.split(' ').rfind(|word| word.len() == 64).unwrap().to_owned()
    };
    let (number, deep) = (checksum("/usr/number"), checksum("/usr/share/deep/file"));
    let file = |checksum: &str| {
        scene.path(format!("repo/objects/{}/{}.filez", &checksum[..2], &checksum[2..]))
    };
    Missing.inflict(&file(&number));
    Flipped.inflict(&file(&deep));
    let before = snapshot(&scene.path("repo"));
    let (status, document) = scene.repair_json(&[]);
    assert_eq!(status, 1);
    let user = |number: usize, ahead: u64, path: &str| {
        json!({
            "commit": scene.commits[number],
            "refs": [{"ref": "main", "ahead": ahead}],
            "paths": [path],
            "has_more_paths": false,
        })
    };
    let mut found = document["lost"].as_array().unwrap().iter();
    let message = &found.find(|lost| lost["object"] == deep).unwrap()["message"];
    assert!(message.as_str().unwrap().contains(&deep), "{message}");
    let mut lost = [
        json!({
            "object": number,
            "type": "file",
            "fault": "missing",
            "message": format!("Object missing: {number}.file"),
            "reasons": [],
            "uses": [user(1, 0, "/usr/number")],
        }),
        json!({
            "object": deep,
            "type": "file",
            "fault": "corrupted",
            "message": message,
            "reasons": [],
            "uses": [
                user(1, 0, "/usr/share/deep/file"),
                user(0, 1, "/usr/share/deep/file"),
            ],
        }),
    ];
    lost.sort_by_key(|lost| lost["object"].as_str().unwrap().to_owned());
    assert_eq!(document["lost"], json!(lost));
    assert_eq!(document["restored"], json!([]));
    // Nothing is deleted; both commits are marked as damaged.
    let mut after = snapshot(&scene.path("repo"));
    after.retain(|path, _| !path.starts_with("state/"));
    let mut expected = before;
    expected.retain(|path, _| !path.starts_with("state/"));
    assert!(differences(&expected, &after).is_empty());
    for commit in &scene.commits {
        let mark = fs::read(scene.path(format!("repo/state/{commit}.commitpartial"))).unwrap();
        assert_eq!(mark, b"f");
    }
    let output = scene.repair(&[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = format!(
        "lost {number}.file (missing)\n  commit {}\n    in main\n    /usr/number\n",
        scene.commits[1]
    );
    assert!(text.contains(&expected), "{text}");
    assert!(text.contains("    in main, 1 commit ago\n    /usr/share/deep/file\n"), "{text}");
    assert_eq!(output.failure(), "the repository is not whole: 2 objects lost");
    // The marks go when all is there again.
    assert_eq!(scene.repair(&["--from=sound"]).status, 0);
    scene.assert_whole("found after all");
}

#[test]
fn sources_are_tried_in_order_and_a_damaged_one_is_passed_over() {
    let scene = Scene::new("archive");
    copy_all(&scene.path("sound"), &scene.path("poor"));
    let files = scene.objects("poor", Some("filez"));
    Flipped.inflict(&files[0]);
    Missing.inflict(&files[1]);
    // The detached metadata of the older commit are what shows that it was there.
    for object in scene.objects("repo", None) {
        if object.extension().is_some_and(|found| found != "commitmeta") {
            Missing.inflict(&object);
        }
    }
    let (status, document) = scene.repair_json(&["--from=poor"]);
    assert_eq!(status, 1);
    let lost: BTreeSet<String> = document["lost"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lost| lost["object"].as_str().unwrap().to_owned())
        .collect();
    let checksum = |path: &Path| {
        let text = path.with_extension("").display().to_string().replace('/', "");
        text[text.len() - 64..].to_owned()
    };
    let expected: BTreeSet<String> = files[..2].iter().map(|path| checksum(path)).collect();
    assert_eq!(lost, expected, "{document}");
    let damaged = document["lost"].as_array().unwrap();
    let damaged = damaged.iter().find(|lost| lost["object"] == checksum(&files[0])).unwrap();
    let reason = damaged["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("poor: "), "{reason}");
    let (status, document) = scene.repair_json(&["--from=poor", "--from=sound"]);
    assert_eq!(status, 0);
    let from = |restored: &Value| restored["source"].as_str().unwrap().to_owned();
    let restored = document["restored"].as_array().unwrap();
    assert_eq!(restored.iter().map(from).collect::<Vec<_>>(), ["sound", "sound"]);
    scene.assert_whole("two sources");
    let output = scene.repair(&["--from=nowhere"]);
    assert_eq!(output.failure(), "nowhere: neither a remote nor a repository");
}

#[test]
fn a_dry_run_lists_what_would_come_and_changes_nothing() {
    let scene = Scene::new("archive");
    let file = scene.objects("repo", Some("filez")).remove(0);
    let size = file.metadata().unwrap().len();
    Flipped.inflict(&file);
    let before = snapshot(&scene.path("repo"));
    let (status, document) = scene.repair_json(&["--dry-run", "--from=sound"]);
    assert_eq!(status, 1);
    let restored = document["restored"].as_array().unwrap();
    assert_eq!(restored.len(), 1, "{document}");
    assert_eq!((&restored[0]["bytes"], &restored[0]["fault"]), (&json!(size), &json!("corrupted")));
    assert!(differences(&before, &snapshot(&scene.path("repo"))).is_empty());
    for arguments in [&["fsck", "--dry-run"][..], &["fsck", "--from=sound"]] {
        let output = scene.program.repo(Path::new("repo"), arguments);
        assert!(output.failure().contains("--from and --dry-run need --repair"));
    }
    let conflict = scene.repair(&["--delete"]).failure();
    assert!(conflict.contains("--repair conflicts with --delete"), "{conflict}");
}

#[test]
fn a_server_and_a_remote_bring_objects_and_the_demands_of_the_remote_count() {
    let scene = Scene::new("bare-user-only");
    let server = Server::start(&scene.path("sound"));
    for object in scene.objects("repo", None) {
        Other.inflict(&object);
    }
    let (status, document) = scene.repair_json(&[&format!("--from={}", server.url)]);
    assert_eq!(status, 0, "{document}");
    scene.assert_whole("over HTTP");
    // Only what was damaged is asked for, each object once.
    let asked = server.paths();
    let unique: BTreeSet<&String> = asked.iter().collect();
    assert_eq!(unique.len(), asked.len(), "{asked:?}");
    let file = scene.objects("repo", Some("file")).remove(0);
    let number = server.paths().len();
    Missing.inflict(&file);
    assert_eq!(scene.repair(&[&format!("--from={}", server.url)]).status, 0);
    assert_eq!(server.paths().len(), number + 1, "{:?}", &server.paths()[number..]);
    // A commit without the signature that the remote demands stays away; content does not need any.
    let repo = Path::new("repo");
    let add = ["remote", "add", "--no-sign-verify", "origin", &server.url];
    scene.program.repo(repo, add).success();
    let set = |value: &str| {
        let group = ["config", "set", "--group=remote \"origin\"", "gpg-verify", value];
        scene.program.repo(repo, group).success()
    };
    set("true");
    Missing.inflict(&file);
    assert_eq!(scene.repair(&["--from=origin"]).status, 0);
    for commit in scene.objects("repo", Some("commit")) {
        Missing.inflict(&commit);
    }
    let (status, document) = scene.repair_json(&["--from=origin"]);
    assert_eq!(status, 1);
    let lost = document["lost"].as_array().unwrap();
    assert_eq!(lost.len(), 1, "{document}");
    assert_eq!(
        (&lost[0]["object"], &lost[0]["type"]),
        (&json!(scene.commits[1]), &json!("commit"))
    );
    let reason = lost[0]["reasons"][0].as_str().unwrap();
    assert!(reason.starts_with("origin: ") && reason.contains("GPG"), "{reason}");
    set("false");
    assert_eq!(scene.repair(&["--from=origin"]).status, 0);
}

#[test]
fn a_checkout_of_hard_links_keeps_the_file_that_it_has() {
    let scene = Scene::new("bare-user-only");
    let out = scene.path("out");
    let checkout = ["checkout", "-U", "-H", "main", out.to_str().unwrap()];
    scene.program.repo(Path::new("repo"), checkout).success();
    let linked = out.join("usr/share/deep/file");
    Flipped.inflict(&linked);
    let damaged = (fs::read(&linked).unwrap(), linked.metadata().unwrap().ino());
    assert_eq!(scene.repair(&["--from=sound"]).status, 0);
    scene.assert_whole("linked");
    assert_eq!((fs::read(&linked).unwrap(), linked.metadata().unwrap().ino()), damaged);
}

#[test]
fn a_repair_that_is_killed_leaves_nothing_worse() {
    let scene = Scene::new("archive");
    for object in scene.objects("repo", None) {
        if object.extension().is_some_and(|found| found != "commitmeta") {
            Flipped.inflict(&object);
        }
    }
    let damaged = || {
        let (_, document) = scene.repair_json(&["--dry-run", "--from=sound"]);
        document["restored"].as_array().unwrap().len()
    };
    let (mut kills, started) = (0, Instant::now());
    for wait in (0..).step_by(3) {
        let call = ["fsck", "--repo=repo", "--repair", "--from=sound"];
        let mut child = scene.program.start(call);
        std::thread::sleep(Duration::from_millis(wait));
        let is_done = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        child.wait().unwrap();
        // No file is half an object: what is there is as it was, or sound.
        let wrong = scene.program.repo(Path::new("repo"), ["fsck", "--all", "--json"]);
        let found: Value = serde_json::from_slice(&wrong.stdout).unwrap();
        let is_whole = found["ok"] == true;
        assert!(!is_whole || damaged() == 0, "{found}");
        if is_done {
            assert!(is_whole, "{found}");
            break;
        }
        kills += 1;
        assert!(started.elapsed() < Duration::from_secs(60), "{kills} kills");
    }
    assert_eq!(scene.repair(&["--from=sound"]).status, 0);
    scene.assert_whole("killed");
}

#[test]
fn damaged_refs_deltas_and_summaries_are_named_and_a_summary_is_made_again() {
    let scene = Scene::new("archive");
    let repo = Path::new("repo");
    scene.program.repo(repo, ["summary", "-u"]).success();
    fs::write(scene.path("repo/summary"), "garbage").unwrap();
    let (status, document) = scene.repair_json(&[]);
    assert_eq!((status, &document["summary_made"]), (0, &json!(true)));
    let viewed = scene.program.repo(repo, ["summary", "--view"]).success();
    assert!(viewed.contains("* main"), "{viewed}");
    // One that was signed has to be signed again.
    fs::write(scene.path("repo/summary"), "garbage").unwrap();
    fs::write(scene.path("repo/summary.sig"), "signature").unwrap();
    let (status, document) = scene.repair_json(&[]);
    assert_eq!((status, &document["damaged_files"][0]["path"]), (1, &json!("summary")));
    assert_eq!(fs::read(scene.path("repo/summary")).unwrap(), b"garbage");
    fs::remove_file(scene.path("repo/summary.sig")).unwrap();

    scene.program.repo(repo, ["static-delta", "generate", "--empty", "main"]).success();
    let superblock = walkdir::WalkDir::new(scene.path("repo/deltas"));
    let superblock = superblock.into_iter().map(|entry| entry.unwrap().into_path());
    let superblock = { superblock }.find(|path| path.ends_with("superblock")).unwrap();
    Cut.inflict(&superblock);
    fs::write(scene.path("repo/refs/heads/bad"), "no checksum\n").unwrap();
    let (status, document) = scene.repair_json(&[]);
    assert_eq!(status, 1);
    let files = document["damaged_files"].as_array().unwrap();
    let paths: Vec<&str> = files.iter().map(|file| file["path"].as_str().unwrap()).collect();
    let delta = superblock.parent().unwrap().strip_prefix(scene.path("repo")).unwrap();
    assert_eq!(paths[..2], ["refs/heads/bad", delta.to_str().unwrap()], "{document}");
}

#[test]
fn partial_commits_are_named_and_what_they_lack_is_no_damage() {
    let scene = Scene::new("archive");
    fs::remove_dir_all(scene.path("repo")).unwrap();
    let repo = Path::new("repo");
    scene.program.repo(repo, ["init", "--mode=archive"]).success();
    scene.program.repo(repo, ["pull-local", "--commit-metadata-only", "sound", "main"]).success();
    let (status, document) = scene.repair_json(&["--from=sound"]);
    assert_eq!((status, &document["partial"]), (0, &json!([scene.commits[1]])));
    assert_eq!(document["restored"], json!([]));
    let checked = scene.program.repo(repo, ["fsck", "--json"]).success();
    let checked: Value = serde_json::from_str(&checked).unwrap();
    assert_eq!(checked["partial"], json!([scene.commits[1]]));
    let text = scene.repair(&[]).success();
    assert!(text.contains(&format!("partial commit {}\n", scene.commits[1])), "{text}");
}

#[test]
fn what_is_staged_is_reported() {
    let scene = Scene::new("archive");
    let staged = scene.path("repo/tmp/staging-boot-ABCDEF/osier/ab");
    fs::create_dir_all(&staged).unwrap();
    fs::write(staged.join(format!("{}.dirtree", "0".repeat(62))), "12345").unwrap();
    let (status, document) = scene.repair_json(&[]);
    let expected = json!([{
        "path": "tmp/staging-boot-ABCDEF",
        "objects": 1,
        "bytes": 5,
        "is_in_use": false,
    }]);
    assert_eq!((status, &document["staged"]), (0, &expected));
}

#[test]
fn a_lost_or_damaged_record_of_an_interrupted_check_only_costs_time() {
    let scene = Scene::new("archive");
    let record = scene.path("repo/tmp/cache/fsck-progress");
    for bytes in [&b""[..], b"garbage", b"osier fsck 1\n"] {
        fs::write(&record, bytes).unwrap();
        Flipped.inflict(&scene.objects("repo", Some("filez"))[0]);
        let found = scene.program.repo(Path::new("repo"), ["fsck", "--all", "--resume"]);
        assert_eq!(found.failure(), "Repository corruption encountered");
        assert!(!record.exists(), "the check was complete");
        fs::write(&record, bytes).unwrap();
        assert_eq!(scene.repair(&["--resume", "--from=sound"]).status, 0);
        assert!(!record.exists());
    }
    scene.assert_whole("resumed");
}
