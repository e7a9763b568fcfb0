//! `create-usb`, held against the real program, and on mounts that somebody else has prepared.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use super::support::{Output, Program, differences, needs_root, osier, ostree, scratch, snapshot};

const COLLECTION: &str = "org.example.Collection";

/// A directory with the repositories `repo` of a collection, without a summary, and `mount`.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(scratch());
        for directory in ["tree", "mount"] {
            fs::create_dir(scene.path(directory)).unwrap();
        }
        fs::write(scene.path("tree/file"), "content\n").unwrap();
        let id = format!("--collection-id={COLLECTION}");
        scene.run("repo", &["init", "--mode=bare-user-only", &id]).success();
        for (branch, time) in [("one", "@1"), ("two", "@2"), ("two", "@3")] {
            let call = ["commit", "-b", branch, "--timestamp", time, "--canonical-permissions"];
            scene.run("repo", &[&call[..], &["tree"]].concat()).success();
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, repo: &str, arguments: &[&str]) -> Output {
        osier().in_directory(self.0.path()).repo(Path::new(repo), arguments)
    }

    fn usb(&self, options: &[&str], refs: &[&str]) -> Output {
        self.usb_by(&osier(), "mount", (options, refs))
    }

    fn usb_by(&self, program: &Program, mount: &str, call: (&[&str], &[&str])) -> Output {
        let (options, refs) = call;
        let pairs: Vec<&str> = refs.iter().flat_map(|name| [COLLECTION, name]).collect();
        let call = [&["create-usb"], options, &[mount], &pairs].concat();
        program.clone().in_directory(self.0.path()).repo(Path::new("repo"), call)
    }

    fn rev(&self, rev: &str) -> String {
        self.run("repo", &["rev-parse", rev]).line()
    }

    /// The links to repositories on the mount, with their targets.
    fn links(&self) -> Vec<(String, String)> {
        let Ok(entries) = fs::read_dir(self.path("mount/.ostree/repos.d")) else {
            return Vec::new();
        };
        let mut links: Vec<_> = entries
            .map(Result::unwrap)
            .map(|entry| {
                let target = fs::read_link(entry.path()).unwrap().display().to_string();
                (entry.file_name().into_string().unwrap(), target)
            })
            .collect();
        links.sort();
        links
    }
}

#[test]
fn what_is_written_is_what_the_real_program_writes() {
    let Some(ostree) = ostree() else { return };
    let scene = Scene::new();
    fs::create_dir(scene.path("theirs")).unwrap();
    let parent = scene.rev("two^");
    let commit = format!("--commit={parent}");
    let calls: [(&[&str], &[&str]); 4] = [
        (&[], &["one", "two"]),
        (&["--destination-repo=some/place"], &["one"]),
        (&["--destination-repo=ostree/repo", "--disable-fsync"], &["two"]),
        (&[&commit], &["two"]),
    ];
    for call in calls {
        let ours = scene.usb_by(&osier(), "mount", call).success();
        let theirs = scene.usb_by(&ostree, "theirs", call).success();
        assert_eq!(ours, theirs.replace("‘theirs’", "‘mount’"));
    }
    for repo in [".ostree/repo", "some/place", "ostree/repo"] {
        let [ours, theirs] =
            ["mount", "theirs"].map(|mount| scene.path(&format!("{mount}/{repo}")));
        let found = differences(&snapshot(&theirs), &snapshot(&ours));
        assert!(found.is_empty(), "{repo}: {found:?}");
        let said = ostree.repo(&ours, ["fsck"]).success();
        assert!(
            said.ends_with("object fsck of 2 commits completed successfully - no errors found.\n")
                || said.ends_with(
                    "object fsck of 1 commits completed successfully - no errors found.\n"
                )
                || said.ends_with(
                    "object fsck of 3 commits completed successfully - no errors found.\n"
                ),
            "{said}"
        );
    }
    let expected = [("00-generated".to_owned(), "../../some/place".to_owned())];
    assert_eq!(scene.links(), expected);
    let mirrored = scene.path("mount/.ostree/repo/refs/mirrors/org.example.Collection/two");
    assert_eq!(fs::read_to_string(mirrored).unwrap().trim(), parent);
}

#[test]
fn failures_are_those_of_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let scene = Scene::new();
    let one = scene.rev("one");
    let commit = format!("--commit={one}");
    let calls: [&[&str]; 11] = [
        &[],
        &["mount"],
        &["mount", "a"],
        &["mount", "a", "b", "c"],
        &["mount", "a", "b"],
        &["mount", COLLECTION, "b//"],
        &["absent", "a", "b"],
        &["--commit=x", "mount", COLLECTION, "one", COLLECTION, "two"],
        &["mount", COLLECTION, "none"],
        &["--destination-repo=../repo", "mount", COLLECTION, "one"],
        &[&commit, "mount", COLLECTION, "two"],
    ];
    for arguments in calls {
        let call = [&["create-usb"], arguments].concat();
        let at = scene.0.path();
        let theirs = ostree.clone().in_directory(at).repo(Path::new("repo"), &call).failure();
        let ours = scene.run("repo", &call).failure();
        match arguments.first() {
            // Upstream follows it, and finds out that it is the source.
            Some(&"--destination-repo=../repo") => {
                assert_eq!(theirs, "--destination-repo must not be the source repository");
                assert_eq!(ours, "--destination-repo must be a descendent of MOUNT-PATH");
            }
            _ => assert_eq!(ours, theirs, "{arguments:?}"),
        }
    }
    assert_eq!(scene.usb(&["--commit=x"], &["one"]).failure(), "Invalid rev x");
}

#[test]
fn a_link_to_the_repository_is_recognised() {
    let scene = Scene::new();
    for destination in ["sub/deep", "./sub//deep/", "sub/deep"] {
        let option = format!("--destination-repo={destination}");
        scene.usb(&[&option], &["one"]).success();
        let expected = [("00-generated".to_owned(), "../../sub/deep".to_owned())];
        assert_eq!(scene.links(), expected, "{destination}");
    }
    scene.usb(&["--destination-repo=other"], &["one"]).success();
    assert_eq!(scene.links()[1], ("01-generated".to_owned(), "../../other".to_owned()));
    for number in 2..100 {
        fs::write(scene.path(&format!("mount/.ostree/repos.d/{number:02}-generated")), "").unwrap();
    }
    scene.usb(&["--destination-repo=other"], &["one"]).success();
    let refused = scene.usb(&["--destination-repo=third"], &["one"]).failure();
    assert_eq!(refused, "Could not find an unused symlink name for the repository");
}

#[test]
fn destinations_outside_of_the_mount_are_refused_and_nothing_is_made_there() {
    let scene = Scene::new();
    let absolute = scene.path("outside").display().to_string();
    for destination in ["../outside", "a/../../outside", &absolute] {
        let option = format!("--destination-repo={destination}");
        let message = scene.usb(&[&option], &["one"]).failure();
        assert_eq!(message, "--destination-repo must be a descendent of MOUNT-PATH");
    }
    let inside = scene.path("mount/in").display().to_string();
    let mount = scene.path("mount").display().to_string();
    let option = format!("--destination-repo={inside}");
    scene.usb_by(&osier(), &mount, (&[&option], &["one"])).success();
    assert_eq!(scene.links(), [("00-generated".to_owned(), "../../in".to_owned())]);
    let mut there: Vec<_> = fs::read_dir(scene.0.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    there.sort();
    assert_eq!(there, ["mount", "repo", "tree"]);
}

#[test]
fn another_file_system_below_the_mount_is_refused() {
    let scene = Scene::new();
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    if device(scene.0.path()) == device(Path::new("/")) {
        return super::support::skip("there is no second file system");
    }
    let below = scene.path("mount/stick");
    let option = format!("--destination-repo={}", below.strip_prefix("/").unwrap().display());
    let message = scene.usb_by(&osier(), "/", (&[&option], &["one"])).failure();
    assert_eq!(message, "--destination-repo must be a descendent of MOUNT-PATH");
    assert!(fs::read_dir(below).unwrap().next().is_none());
}

#[test]
fn links_on_the_mount_lead_nothing_out_of_it() {
    // What is a link, where it leads, and whether a repository is there before.
    let cases = [
        (".ostree", "../victim", false),
        (".ostree/repo", "../../victim", false),
        (".ostree/repo/objects", "../../../victim", true),
        (".ostree/repo/refs", "../../../victim", true),
        (".ostree/repo/refs/mirrors", "../../../../victim", true),
        (".ostree/repo/refs/mirrors/org.example.Collection", "../../../../../victim", true),
        (".ostree/repo/tmp", "../../../victim", true),
        (".ostree/repo/state", "../../../victim", true),
        (".ostree/repo/.lock", "../../../victim/lock", true),
        (".ostree/repo/summary", "../../../victim/summary", true),
    ];
    for (link, target, exists) in cases {
        let scene = Scene::new();
        fs::create_dir(scene.path("victim")).unwrap();
        let path = scene.path("mount").join(link);
        if exists {
            scene.usb(&[], &["one"]).success();
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(&path);
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, &path).unwrap();
        scene.usb(&[], &["two"]).assert_no_panic();
        let left: Vec<_> = fs::read_dir(scene.path("victim")).unwrap().collect();
        assert!(left.is_empty(), "{link}: {left:?}");
    }
    let scene = Scene::new();
    fs::create_dir_all(scene.path("victim")).unwrap();
    fs::create_dir_all(scene.path("mount/.ostree")).unwrap();
    symlink("../../victim", scene.path("mount/.ostree/repos.d")).unwrap();
    let message = scene.usb(&["--destination-repo=other"], &["one"]).failure();
    assert_eq!(message, "mount/.ostree/repos.d: a symbolic link or a file is in the way");
    assert!(fs::read_dir(scene.path("victim")).unwrap().next().is_none());
}

#[test]
fn a_repository_with_a_parent_is_refused() {
    let scene = Scene::new();
    scene.usb(&[], &["one"]).success();
    let config = scene.path("mount/.ostree/repo/config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}parent={}\n", scene.path("repo").display())).unwrap();
    let message = scene.usb(&[], &["two"]).failure();
    assert_eq!(
        message,
        "mount/.ostree/repo has a parent repository, so what is copied would not be complete"
    );
}

#[test]
fn a_repository_of_another_owner_is_an_error_that_names_it() {
    if !needs_root() {
        return;
    }
    let scene = Scene::new();
    scene.usb(&[], &["one"]).success();
    let all = scene.0.path().as_os_str();
    Program::other("chmod", "chmod").run(["-R".as_ref(), "go=rX".as_ref(), all]).success();
    let message = scene.usb_by(&osier().for_user(65534), "mount", (&[], &["two"])).failure();
    assert_eq!(
        message,
        "Cannot write to repository: mount/.ostree/repo/objects: Permission denied"
    );
}

#[test]
fn refs_of_a_source_are_those_of_its_summary_if_it_has_one() {
    let scene = Scene::new();
    scene.run("repo", &["summary", "--update"]).success();
    let call = ["commit", "-b", "three", "--timestamp=@9", "--canonical-permissions", "tree"];
    scene.run("repo", &call).success();
    let message = scene.usb(&[], &["three"]).failure();
    assert_eq!(message, format!("No such branch ({COLLECTION}, three) in repository summary"));
    fs::remove_file(scene.path("repo/summary")).unwrap();
    scene.usb(&[], &["three"]).success();
    let message = scene.usb(&[], &["four"]).failure();
    assert_eq!(message, format!("Collection–ref ({COLLECTION}, four) not found"));
}
