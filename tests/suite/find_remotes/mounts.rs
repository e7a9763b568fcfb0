//! Repositories on mounts.

use std::os::unix::fs::{chown, symlink};
use std::sync::Mutex;

use osier::http::Proxies;
use osier::progress::{Event, Silent};
use osier::pull::{
    FetchOptions, FindOptions, Finder, FoundRemote, find_remotes, pull_from_remotes,
};
use osier::refspec::{CollectionId, CollectionRef, RefName};
use osier::remote::Trust;
use osier::remote::attempts::Retry;
use osier::remote::origin::OriginOptions;
use osier::repo::{OpenOptions, Repo};

use super::*;

fn wanted(names: &[&str]) -> Vec<CollectionRef> {
    let of = |name: &&str| CollectionRef {
        collection: CollectionId::parse(APPS).unwrap(),
        name: RefName::parse(name).unwrap(),
    };
    names.iter().map(of).collect()
}

/// What is found on mounts by a repository that has nothing but the key of the collection.
fn find(scene: &Scene, mounts: &[&str], names: &[&str]) -> Vec<FoundRemote> {
    let repo = Repo::open(&scene.path("finder")).unwrap();
    let origin = OriginOptions {
        url: None,
        user_agent: "test".to_owned(),
        headers: Vec::new(),
        proxies: Proxies::default(),
        retry: Retry::default(),
        low_speed: None,
        gzip: false,
        now: 0,
        stores: None,
    };
    let trust = Trust { now: jiff::Timestamp::now().as_second(), ..Trust::default() };
    let options = FindOptions {
        finders: vec![Finder::Mount],
        mounts: mounts.iter().map(|mount| scene.path(mount)).collect(),
        cache: None,
        origin: &origin,
        trust: &trust,
        open: &OpenOptions::default(),
    };
    find_remotes(&repo, &wanted(names), &options).unwrap()
}

/// Commits that were found, with the names of their refs.
fn commits(found: &[FoundRemote]) -> Vec<(String, String)> {
    let refs = found.iter().flat_map(|remote| &remote.refs);
    let mut commits: Vec<_> = refs
        .filter_map(|(name, commit)| Some((name.name.to_string(), (*commit)?.to_hex())))
        .collect();
    commits.sort();
    commits
}

/// The scene with a stick that has `app1` and `app2`, and a repository that looks for them.
fn with_stick() -> Scene {
    let scene = Scene::new();
    scene.local("finder", &[("keys", "nowhere", APPS)]);
    fs::create_dir(scene.path("stick")).unwrap();
    scene.run("apps", &["create-usb", "stick", APPS, "app1", APPS, "app2"]).success();
    scene
}

#[test]
fn what_create_usb_writes_is_found_and_pulled() {
    let scene = with_stick();
    let found = find(&scene, &["stick", "absent"], &["app1", "zed", "app2"]);
    let expected = ["app1", "app2"].map(|name| (name.to_owned(), scene.rev("apps", name)));
    assert_eq!(commits(&found), expected);
    let [remote] = found.as_slice() else { panic!("{found:?}") };
    let path = fs::canonicalize(scene.path("stick/.ostree/repo")).unwrap();
    assert_eq!(remote.url, format!("file://{}", path.display()));
    let escaped = path.display().to_string().replace('/', "_2F");
    assert_eq!(remote.name, format!("file_3A_2F_2F{escaped}_keys"));
    assert_eq!(remote.finder.type_name(), "OstreeRepoFinderMount");
    assert_eq!((remote.finder.priority(), remote.keyring_remote.as_str()), (50, "keys"));
    assert!(remote.last_modified.unwrap() > 0);

    let repo = Repo::open(&scene.path("finder")).unwrap();
    let left = pull_from_remotes(&repo, &found, &FetchOptions::default(), &Silent);
    assert_eq!(left, []);
    let expected = expected.map(|(name, commit)| (format!("remotes/keys/{name}"), commit));
    assert_eq!(scene.refs("finder"), expected);
    scene.run("finder", &["fsck"]).success();
}

#[test]
fn the_first_repository_that_has_a_ref_counts() {
    let scene = with_stick();
    let other = ["create-usb", "--destination-repo=elsewhere", "stick", APPS, "app1"];
    scene.run("apps", &other).success();
    // The link comes first.
    let found = find(&scene, &["stick"], &["app1", "app2"]);
    let places: Vec<_> = found.iter().map(|it| it.url.rsplit('/').next().unwrap()).collect();
    assert_eq!(places.len(), 2, "{found:?}");
    assert!(places.contains(&"elsewhere") && places.contains(&"repo"), "{places:?}");
    for remote in &found {
        assert_eq!(commits(std::slice::from_ref(remote)).len(), 1, "{remote:?}");
    }
}

#[test]
fn repositories_outside_of_the_mount_are_not_used() {
    let scene = with_stick();
    let targets = [
        scene.path("stick/.ostree/repo").display().to_string(),
        "../../stick/.ostree/repo".to_owned(),
    ];
    for target in targets {
        for place in [".ostree/repo", "ostree/repo", ".ostree/repos.d/00-generated"] {
            let path = scene.path("evil").join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(&target, &path).unwrap();
            assert_eq!(commits(&find(&scene, &["evil"], &["app1"])), [], "{place} {target}");
            fs::remove_dir_all(scene.path("evil")).unwrap();
        }
    }
    // The directories on the way, too.
    fs::create_dir(scene.path("evil")).unwrap();
    symlink("../stick/.ostree", scene.path("evil/.ostree")).unwrap();
    assert_eq!(commits(&find(&scene, &["evil"], &["app1"])), []);
    // Of the usual places one is on the stick itself, behind a link.
    symlink(".ostree", scene.path("stick/ostree")).unwrap();
    assert_eq!(commits(&find(&scene, &["stick"], &["app1"])).len(), 1);
}

#[test]
fn repositories_on_another_file_system_are_not_used() {
    let scene = with_stick();
    let device = |path: &Path| std::os::unix::fs::MetadataExt::dev(&fs::metadata(path).unwrap());
    let other = Path::new("/var/tmp");
    if !other.is_dir() || device(other) == device(scene.0.path()) {
        return super::super::support::skip("there is only one file system to write to");
    }
    // The mount point is above both of them.
    let path = tempfile::Builder::new().prefix("osier-test-").tempdir_in(other).unwrap();
    fs::create_dir_all(path.path().join(".ostree")).unwrap();
    symlink(scene.path("stick/.ostree/repo"), path.path().join(".ostree/repo")).unwrap();
    let mount = path.path().to_str().unwrap().to_owned();
    assert_eq!(commits(&find(&scene, &[&mount], &["app1"])), []);
}

#[test]
fn malformed_summaries_refs_and_repositories_are_passed_over() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 9] = [
        ("no summary", |repo| fs::remove_file(repo.join("summary")).unwrap()),
        ("garbage", |repo| fs::write(repo.join("summary"), [0xff; 100]).unwrap()),
        ("a pipe", |repo| {
            fs::remove_file(repo.join("summary")).unwrap();
            Program::other("mkfifo", "mkfifo").run([repo.join("summary")]).success();
        }),
        ("no config", |repo| fs::remove_file(repo.join("config")).unwrap()),
        ("a bad ref", |repo| {
            fs::write(repo.join("refs/mirrors/org.example.Apps/app1"), "no checksum").unwrap();
        }),
        ("a ref that is a directory", |repo| {
            fs::remove_file(repo.join("refs/mirrors/org.example.Apps/app1")).unwrap();
            fs::create_dir(repo.join("refs/mirrors/org.example.Apps/app1")).unwrap();
        }),
        ("a linked directory", |repo| {
            fs::rename(repo.join("refs"), repo.join("r")).unwrap();
            symlink("r", repo.join("refs")).unwrap();
        }),
        ("a parent", |repo| {
            let config = fs::read_to_string(repo.join("config")).unwrap();
            let parent = repo.parent().unwrap().parent().unwrap().parent().unwrap().join("apps");
            let parent = format!("{config}parent={}\n", parent.display());
            fs::write(repo.join("config"), parent).unwrap();
        }),
        ("the object of a commit is gone", |repo| {
            let commit = fs::read_to_string(repo.join("refs/mirrors/org.example.Apps/app1"));
            let (first, rest) = commit.as_ref().unwrap().trim().split_at(2);
            fs::remove_file(repo.join(format!("objects/{first}/{rest}.commit"))).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let scene = with_stick();
        damage(&scene.path("stick/.ostree/repo"));
        assert_eq!(commits(&find(&scene, &["stick"], &["app1"])), [], "{what}");
        // A sound one behind it is found all the same.
        fs::create_dir(scene.path("second")).unwrap();
        scene.run("apps", &["create-usb", "second", APPS, "app1"]).success();
        assert_eq!(commits(&find(&scene, &["stick", "second"], &["app1"])).len(), 1, "{what}");
    }
}

#[test]
fn times_in_the_summary_of_a_mount_are_not_believed() {
    let scene = with_stick();
    super::super::support::copy_all(&scene.path("stick"), &scene.path("older"));
    let newest = scene.commit("apps", "app1", "@100");
    scene.update("apps");
    scene.run("apps", &["create-usb", "stick", APPS, "app1"]).success();
    let path = scene.path("older/.ostree/repo/summary");
    let text = fs::read(&path).unwrap();
    // The old commit's time, 10, becomes one of the far future.
    let key = b"ostree.commit.timestamp\0\0\0\0\0\0\0\0\x0a";
    let at = text.windows(key.len()).position(|window| window == key).unwrap();
    let mut text = text;
    text[at + key.len() - 5] = 1;
    fs::write(&path, text).unwrap();
    let found = find(&scene, &["older", "stick"], &["app1"]);
    assert_eq!(commits(&found), [("app1".to_owned(), newest)]);
}

#[test]
fn commits_that_the_remotes_key_has_not_signed_are_not_offered() {
    let scene = with_stick();
    scene.unsigned("apps", "app1", "@100");
    scene.update("apps");
    scene.run("apps", &["create-usb", "stick", APPS, "app1"]).success();
    let found = commits(&find(&scene, &["stick"], &["app1", "app2"]));
    assert_eq!(found, [("app2".to_owned(), scene.rev("apps", "app2"))]);
}

#[test]
fn objects_of_a_mount_are_verified_whoever_owns_it() {
    let scene = with_stick();
    if is_root() {
        for entry in walkdir::WalkDir::new(scene.path("stick")) {
            chown(entry.unwrap().path(), Some(65534), Some(65534)).unwrap();
        }
    }
    let found = find(&scene, &["stick"], &["app1"]);
    assert_eq!(commits(&found).len(), 1);
    for entry in walkdir::WalkDir::new(scene.path("stick/.ostree/repo/objects")) {
        let path = entry.unwrap().into_path();
        if path.extension().is_some_and(|kind| kind == "dirtree") {
            let mut bytes = fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        }
    }
    let repo = Repo::open(&scene.path("finder")).unwrap();
    let said = Mutex::new(Vec::new());
    let progress = |event: Event<'_>| {
        if let Event::Warning(text) = event {
            said.lock().unwrap().push(text.to_owned());
        }
    };
    let left = pull_from_remotes(&repo, &found, &FetchOptions::default(), &progress);
    assert_eq!(left, wanted(&["app1"]));
    let said = said.into_inner().unwrap();
    assert!(said.len() == 1 && said[0].contains("Corrupted dirtree object"), "{said:?}");
    assert_eq!(scene.refs("finder"), []);
}
