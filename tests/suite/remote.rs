//! Remotes: adding, deleting, listing them, held against the real program.

use std::fs;
use std::path::Path;

use osier::remote::{self, Absent, Existing, Setting};
use osier::repo::{Repo, RepoMode};

use crate::support::{Program, osier, ostree, scratch};

fn new_repo(path: &Path) -> Repo {
    Repo::create(path, RepoMode::Archive, None).unwrap();
    Repo::open(path).unwrap()
}

fn text(text: &str) -> Setting {
    Setting::Text(text.to_owned())
}

fn settings<const N: usize>(pairs: [(&str, Setting); N]) -> Vec<(String, Setting)> {
    pairs.into_iter().map(|(key, setting)| (key.to_owned(), setting)).collect()
}

/// Everything that a remote leaves in a repository.
fn left_behind(repo: &Path) -> (String, Vec<String>) {
    let mut names: Vec<_> = fs::read_dir(repo)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    (fs::read_to_string(repo.join("config")).unwrap(), names)
}

#[test]
fn calls_do_what_they_do_in_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let run = |program: &Program, name: &str| {
        let place = directory.path().join(name);
        fs::create_dir(&place).unwrap();
        let program = program.clone().in_directory(&place).with("OSTREE_DUMMY_SIGN_ENABLED", "1");
        let mut reported = Vec::new();
        let mut repo = 0;
        for line in include_str!("remote/calls.txt").lines().filter(|line| !line.starts_with('#')) {
            // An empty line begins anew.
            if line.is_empty() {
                repo += 1;
                new_repo(&place.join(format!("r{repo}")));
                continue;
            }
            let repo = format!("r{repo}");
            let call: Vec<String> =
                line.split(' ').map(|word| word.replace("REPO", &repo).replace("''", "")).collect();
            let output = program.run(&call);
            output.assert_no_panic();
            let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            let printed = printed
                .replace(program.path.to_str().unwrap(), "ostree")
                .replace(place.to_str().unwrap(), "PLACE");
            // osier's own option.
            let printed: Vec<_> = printed
                .split_inclusive('\n')
                .filter(|line| !line.starts_with("  --json "))
                .collect();
            reported.push((line, printed.concat(), output.status, left_behind(&place.join(repo))));
        }
        reported
    };
    let (expected, reported) = (run(&ostree, "theirs"), run(&osier(), "ours"));
    for (expected, reported) in expected.into_iter().zip(reported) {
        assert_eq!(reported, expected);
    }
}

#[test]
fn files_of_the_remotes_directory_are_remotes_too() {
    let directory = scratch();
    let sysroot = directory.path();
    fs::create_dir_all(sysroot.join("ostree")).unwrap();
    let path = sysroot.join("ostree/repo");
    let remotes = sysroot.join("etc/ostree/remotes.d");
    fs::create_dir_all(&remotes).unwrap();
    fs::write(remotes.join("a.conf"), "[remote \"a\"]\nurl=https://a\n").unwrap();
    fs::write(remotes.join("ignored.con"), "[remote \"b\"]\nurl=https://b\n").unwrap();
    let repo = new_repo(&path);
    let names = |repo: &Repo| {
        let list = remote::list(repo, Some(sysroot)).unwrap();
        list.into_iter().map(|remote| remote.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&repo), ["a"]);
    assert_eq!(
        remote::find(&repo, Some(sysroot), "a").unwrap().require_url().unwrap(),
        "https://a"
    );
    let url = settings([("url", text("https://b"))]);
    let error = remote::add(&repo, Some(sysroot), "a", &url, Existing::Refuse).unwrap_err().chain();
    let expected = format!(
        "Remote configuration for \"a\" already exists: {}",
        remotes.join("a.conf").display()
    );
    assert_eq!(error, expected);
    remote::add(&repo, Some(sysroot), "a", &url, Existing::Replace).unwrap();
    assert_eq!(
        fs::read_to_string(remotes.join("a.conf")).unwrap(),
        "[remote \"a\"]\nurl=https://b\n"
    );

    // Where a new one goes is for the config to say.
    remote::add(&repo, Some(sysroot), "in-config", &url, Existing::Refuse).unwrap();
    let config = fs::read_to_string(path.join("config")).unwrap();
    fs::write(
        path.join("config"),
        config.replace("[core]\n", "[core]\nadd-remotes-config-dir=true\n"),
    )
    .unwrap();
    let repo = Repo::open(&path).unwrap();
    remote::add(&repo, Some(sysroot), "in-file", &url, Existing::Refuse).unwrap();
    assert!(remotes.join("in-file.conf").exists());
    assert_eq!(names(&repo), ["a", "in-config", "in-file"]);
    remote::delete(&repo, Some(sysroot), "in-file", Absent::Refuse).unwrap();
    assert!(!remotes.join("in-file.conf").exists());

    fs::write(remotes.join("twice.conf"), "[remote \"in-config\"]\n").unwrap();
    let error = remote::list(&repo, Some(sysroot)).unwrap_err().chain();
    assert_eq!(error, "Multiple specifications found for remote \"in-config\"");
}

#[test]
fn remotes_of_a_parent_are_seen_and_left_alone() {
    let directory = scratch();
    let parent = new_repo(&directory.path().join("parent"));
    let url = settings([("url", text("https://parent"))]);
    remote::add(&parent, None, "theirs", &url, Existing::Refuse).unwrap();
    let path = directory.path().join("r");
    new_repo(&path);
    let config = fs::read_to_string(path.join("config")).unwrap();
    fs::write(path.join("config"), format!("{config}parent={}\n", parent.path().display()))
        .unwrap();
    let repo = Repo::open(&path).unwrap();
    assert_eq!(remote::names(&repo).unwrap(), ["theirs"]);
    let error = remote::delete(&repo, None, "theirs", Absent::Refuse).unwrap_err();
    assert_eq!(error.chain(), "Remote \"theirs\" not found");
    let url = settings([("url", text("https://own"))]);
    remote::add(&repo, None, "theirs", &url, Existing::Refuse).unwrap();
    let own = remote::find(&Repo::open(&path).unwrap(), None, "theirs").unwrap();
    assert_eq!(own.require_url().unwrap(), "https://own");
}

#[test]
fn json_has_stable_names() {
    let directory = scratch();
    let path = directory.path().join("r");
    let repo = new_repo(&path);
    let url = settings([("url", text("https://a"))]);
    remote::add(&repo, None, "a", &url, Existing::Refuse).unwrap();
    let backend = settings([("custom-backend", text("x"))]);
    remote::add(&Repo::open(&path).unwrap(), None, "b", &backend, Existing::Refuse).unwrap();
    let document = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&osier().repo(&path, arguments).success()).unwrap()
    };
    let remotes = serde_json::json!({ "remotes": [{ "name": "a", "url": "https://a" }, { "name": "b", "url": null }] });
    assert_eq!(document(&["remote", "list", "--json"]), remotes);
    let pruned = serde_json::json!({ "objects_total": 0, "objects_deleted": 0, "bytes_freed": 0, "dry_run": true });
    assert_eq!(document(&["prune", "--json", "--no-prune"]), pruned);
}

#[test]
fn a_key_that_is_absent_here_is_the_parents() {
    let directory = scratch();
    let (parent, child) = (directory.path().join("parent"), directory.path().join("child"));
    new_repo(&parent);
    new_repo(&child);
    let parent_path = parent.to_str().unwrap();
    for program in [Some(osier()), ostree()].into_iter().flatten() {
        fs::write(
            parent.join("config"),
            "[core]\nrepo_version=1\nmode=archive-z2\n\n[remote \"o\"]\nurl=http://p\n",
        )
        .unwrap();
        let own = "[remote \"o\"]\ngpg-verify=false\n";
        let config =
            format!("[core]\nrepo_version=1\nmode=archive-z2\nparent={parent_path}\n\n{own}");
        fs::write(child.join("config"), config).unwrap();
        assert_eq!(
            program.repo(&child, ["remote", "show-url", "o"]).line(),
            "http://p",
            "{program:?}"
        );
        assert_eq!(
            program.repo(&child, ["remote", "list", "-u"]).line(),
            "o  http://p",
            "{program:?}"
        );
    }
    let config = remote::find(&Repo::open(&child).unwrap(), None, "o").unwrap().config().unwrap();
    assert!(!config.verification.gpg);
    assert_eq!(config.location, remote::Location::Url(remote::Source::Base("http://p".to_owned())));
}
