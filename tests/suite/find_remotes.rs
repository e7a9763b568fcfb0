//! `find-remotes`, held against the real program: remotes of the config, and repositories on
//! removable media, hostile ones among them.

mod mounts;

use std::fs;
use std::path::{Path, PathBuf};

use osier::gvariant::{Dict, Value};
use osier::summary::{Summary, SummaryRef, ref_key};

use super::support::{
    Output, Program, Server, golden, is_root, needs_root, osier, ostree, scratch,
};

const APPS: &str = "org.example.Apps";
const OS: &str = "org.example.Os";

/// A directory with repositories.
struct Scene(tempfile::TempDir);

impl Scene {
    /// The collections `apps` and `os`, signed, and `local`, whose remotes they are.
    fn new() -> Self {
        let scene = Self(scratch());
        fs::create_dir(scene.path("tree")).unwrap();
        fs::write(scene.path("tree/file"), "content\n").unwrap();
        for (name, collection) in [("apps", APPS), ("os", OS)] {
            let id = format!("--collection-id={collection}");
            scene.run(name, &["init", "--mode=archive", &id]).success();
        }
        for (number, name) in ["app1", "app2", "app3", "zed"].into_iter().enumerate() {
            scene.commit("apps", name, &format!("@{}", 10 + number));
        }
        scene.commit("os", "os/main", "@20");
        scene.update("apps");
        scene.update("os");
        scene.local("local", &[("apps-remote", "apps", APPS), ("os-remote", "os", OS)]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, repo: &str, arguments: &[&str]) -> Output {
        self.run_by(&osier(), repo, arguments)
    }

    fn run_by(&self, program: &Program, repo: &str, arguments: &[&str]) -> Output {
        program.clone().in_directory(self.0.path()).repo(Path::new(repo), arguments)
    }

    fn commit(&self, repo: &str, branch: &str, time: &str) -> String {
        let key = format!("--gpg-sign=file:{}", golden("keys/test.gpg.sec.asc").display());
        let subject = format!("--subject={branch}");
        let call =
            ["commit", "-b", branch, "--timestamp", time, &subject, "--no-xattrs", &key, "tree"];
        self.run(repo, &call).line()
    }

    fn unsigned(&self, repo: &str, branch: &str, time: &str) -> String {
        self.run(repo, &["commit", "-b", branch, "--timestamp", time, "--no-xattrs", "tree"]).line()
    }

    fn update(&self, repo: &str) {
        self.run(repo, &["summary", "--update"]).success();
    }

    /// A repository with remotes: their names, their repositories here or URLs, their collections.
    fn local(&self, name: &str, remotes: &[(&str, &str, &str)]) {
        self.run(name, &["init", "--mode=bare-user-only"]).success();
        let key = format!("--gpg-import={}", golden("keys/test.gpg.pub.asc").display());
        for (remote, place, collection) in remotes {
            let url = match place.starts_with("http") {
                true => (*place).to_owned(),
                false => format!("file://{}", self.path(place).display()),
            };
            let id = format!("--collection-id={collection}");
            let repo = format!("--repo={name}");
            let call = ["remote", "add", &repo, &id, &key, remote, &url];
            osier().in_directory(self.0.path()).run(call).success();
        }
    }

    /// The files of refs, with their content.
    fn refs(&self, repo: &str) -> Vec<(String, String)> {
        let root = self.path(repo).join("refs");
        let mut refs: Vec<_> = walkdir::WalkDir::new(&root)
            .into_iter()
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().is_file())
            .map(|entry| {
                let name = entry.path().strip_prefix(&root).unwrap().display().to_string();
                (name, fs::read_to_string(entry.path()).unwrap().trim().to_owned())
            })
            .collect();
        refs.sort();
        refs
    }

    fn rev(&self, repo: &str, rev: &str) -> String {
        self.run(repo, &["rev-parse", rev]).line()
    }

    /// Rewrites the summary of a repository.
    fn edit_summary(&self, repo: &str, edit: impl Fn(&mut SummaryRef)) {
        let path = self.path(repo).join("summary");
        let mut summary = Summary::decode(&fs::read(&path).unwrap()).unwrap();
        summary.refs.iter_mut().for_each(edit);
        fs::write(path, summary.encode()).unwrap();
    }
}

/// Metadata of a ref with that time.
fn with_time(time: u64) -> Dict {
    let mut metadata = Dict::new();
    metadata.push(ref_key::TIMESTAMP, Value::uint64(time.to_be()));
    metadata
}

#[test]
fn output_is_the_real_programs() {
    let Some(ostree) = ostree() else { return };
    let scene = Scene::new();
    let calls: [&[&str]; 14] = [
        &[APPS, "app1"],
        &[APPS, "nope"],
        &[OS, "os/main", APPS, "zed", APPS, "nope", APPS, "app3", "org.example.No", "app1"],
        &["--finders=mount,config", APPS, "app2", APPS, "app1", APPS, "app3", OS, "os/main"],
        &["--finders=mount", APPS, "app1"],
        &[],
        &["a"],
        &["a", "b", "c"],
        &["a", "b"],
        &[APPS, "b//"],
        &["--mirror", "a", "b"],
        &["--finders=", APPS, "app1"],
        &["--finders=config,config", APPS, "app1"],
        &["--finders=bogus", "--cache-dir=/nonexistent", APPS, "app1"],
    ];
    for arguments in calls {
        let call = [&["find-remotes"], arguments].concat();
        let [ours, theirs] = [&osier(), &ostree].map(|it| scene.run_by(it, "local", &call));
        assert_eq!(ours.status, theirs.status, "{ours:?}{theirs:?}");
        assert_eq!(ours.stdout, theirs.stdout, "{ours:?}{theirs:?}");
        let last = |output: &Output| {
            String::from_utf8_lossy(&output.stderr).lines().last().map(str::to_owned)
        };
        assert_eq!(last(&ours), last(&theirs), "{arguments:?}");
    }
}

#[test]
fn pulls_set_the_refs_that_the_real_program_sets() {
    let Some(ostree) = ostree() else { return };
    for options in [&["--pull"][..], &["--pull", "--mirror"]] {
        let scene = Scene::new();
        scene.local("theirs", &[("apps-remote", "apps", APPS), ("os-remote", "os", OS)]);
        let refs = [APPS, "app1", OS, "os/main", APPS, "nope", APPS, "app2"];
        let call = [&["find-remotes"], options, &refs].concat();
        let ours = scene.run("local", &call).success();
        assert_eq!(ours, scene.run_by(&ostree, "theirs", &call).success());
        assert!(ours.ends_with("\nPulled 4/4 refs successfully.\n"), "{ours}");
        let set = scene.refs("local");
        assert_eq!(set.len(), 3, "{set:?}");
        assert_eq!(set, scene.refs("theirs"));
        let mirrored = set.iter().all(|(name, _)| name.starts_with("mirrors/org.example."));
        assert_eq!(mirrored, options.len() == 2, "{set:?}");
    }
}

#[test]
fn commits_without_a_signature_of_the_remotes_key_are_not_pulled() {
    let scene = Scene::new();
    scene.unsigned("apps", "app2", "@30");
    scene.update("apps");
    // What the configuration says of signatures does not count here.
    let config = fs::read_to_string(scene.path("local/config")).unwrap();
    let config = config.replace("url=", "gpg-verify=false\nurl=");
    fs::write(scene.path("local/config"), config).unwrap();
    let call = ["find-remotes", "--pull", OS, "os/main", APPS, "app1", APPS, "app2", APPS, "zed"];
    let output = scene.run("local", &call);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let reason = "warning: pulling from apps-remote: Commit ";
    assert!(stderr.starts_with(reason), "{stderr}");
    assert!(stderr.contains("GPG verification enabled, but no signatures found"), "{stderr}");
    let message = output.failure();
    assert!(message.starts_with("Failed to pull some refs from the remotes: ("), "{message}");
    for name in ["app1", "app2", "zed"] {
        assert!(message.contains(&format!("({APPS}, {name})")), "{message}");
    }
    assert_eq!(
        scene.refs("local"),
        [("remotes/os-remote/os/main".to_owned(), scene.rev("os", "os/main"))]
    );
}

#[test]
fn the_newest_commit_of_all_remotes_is_found_and_the_next_remote_helps_out() {
    let scene = Scene::new();
    fs::create_dir(scene.path("all")).unwrap();
    for copy in ["old", "broken"] {
        super::support::copy_all(&scene.path("apps"), &scene.path(copy));
    }
    let newest = scene.commit("apps", "app1", "@40");
    scene.update("apps");
    let remotes = [("a-old", "old", APPS), ("b-broken", "broken", APPS), ("c-new", "apps", APPS)];
    scene.local("many", &remotes);
    let found = scene.run("many", &["find-remotes", APPS, "app1"]).success();
    let expected = format!("Result 0: file://{}\n", scene.path("apps").display());
    assert!(found.starts_with(&expected), "{found}");
    assert!(found.contains(&format!(" = {newest}\n")) && !found.contains("Result 1"), "{found}");

    // A repository that lists the newest commit and does not have it.
    fs::copy(scene.path("apps/summary"), scene.path("broken/summary")).unwrap();
    let output = scene.run("many", &["find-remotes", "--pull", APPS, "app1"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("warning: pulling from b-broken: "), "{stderr}");
    let found = output.success();
    assert!(found.contains("Result 1: ") && found.ends_with("Pulled 1/1 refs successfully.\n"));
    assert_eq!(scene.refs("many"), [("remotes/c-new/app1".to_owned(), newest)]);
}

#[test]
fn a_time_that_no_summary_gives_is_that_of_a_signed_commit() {
    let scene = Scene::new();
    super::support::copy_all(&scene.path("apps"), &scene.path("other"));
    let newest = scene.commit("apps", "app1", "@40");
    scene.update("apps");
    let server = Server::start(&scene.path("apps"));
    scene.edit_summary("apps", |entry| entry.metadata = Dict::new());
    let remotes = [("other", "other", APPS), ("timeless", server.url.as_str(), APPS)];
    scene.local("two", &remotes);
    let found = scene.run("two", &["find-remotes", APPS, "app1"]).success();
    assert!(found.starts_with(&format!("Result 0: {}\n", server.url)), "{found}");
    assert!(found.contains(&format!("    - ({APPS}, app1) = {newest}\n")), "{found}");
    assert!(scene.path("two/objects").read_dir().unwrap().next().is_none());

    let unsigned = scene.unsigned("apps", "app1", "@50");
    scene.update("apps");
    scene.edit_summary("apps", |entry| entry.metadata = Dict::new());
    let found = scene.run("two", &["find-remotes", APPS, "app1"]).success();
    assert!(!found.contains(&unsigned), "{found}");
    assert!(found.contains(&scene.rev("other", "app1")), "{found}");
}

#[test]
fn remotes_that_contradict_an_earlier_one_or_have_no_usable_summary_are_left_out() {
    let scene = Scene::new();
    for copy in ["liar", "empty", "garbage"] {
        super::support::copy_all(&scene.path("apps"), &scene.path(copy));
    }
    scene.edit_summary("liar", |entry| entry.metadata = with_time(1 << 40));
    fs::remove_file(scene.path("empty/summary")).unwrap();
    fs::write(scene.path("garbage/summary"), "garbage").unwrap();
    let remotes = [
        ("a-apps", "apps", APPS),
        ("b-liar", "liar", APPS),
        ("c-empty", "empty", APPS),
        ("d-garbage", "garbage", APPS),
        ("e-absent", "absent", APPS),
        ("f-dead", "http://127.0.0.1:1", APPS),
    ];
    scene.local("many", &remotes);
    let found = scene.run("many", &["find-remotes", APPS, "app1"]).success();
    assert!(found.contains(" - Keyring: a-apps.trustedkeys.gpg\n"), "{found}");
    assert!(!found.contains("Result 1"), "{found}");
}

#[test]
fn a_server_is_asked_for_its_summary_and_then_for_what_is_missing() {
    let scene = Scene::new();
    let server = Server::start(&scene.path("apps"));
    scene.local("client", &[("web", &server.url, APPS)]);
    scene.run("client", &["find-remotes", APPS, "app1"]).success();
    assert_eq!(server.paths(), ["/summary.sig", "/summary"]);
    let found = scene.run("client", &["find-remotes", "--pull", APPS, "app1"]).success();
    assert!(found.ends_with("\n1/1 refs were found.\nPulled 1/1 refs successfully.\n"), "{found}");
    let commit = scene.rev("apps", "app1");
    assert_eq!(scene.refs("client"), [("remotes/web/app1".to_owned(), commit.clone())]);
    let asked = server.paths();
    let object = |ending: &str| format!("/objects/{}/{}.{ending}", &commit[..2], &commit[2..]);
    // Between them are the config and the index of deltas.
    assert_eq!(asked[6..8], [object("commitmeta"), object("commit")]);
    scene.run("client", &["fsck"]).success();
}

#[test]
fn lan_is_refused_and_in_the_config_a_warning() {
    let scene = Scene::new();
    let refused = scene.run("local", &["find-remotes", "--finders=config,lan", APPS, "app1"]);
    let message = "LAN repo finder requested but ostree was compiled without Avahi support";
    assert_eq!(refused.failure(), message);
    scene.run("local", &["config", "set", "core.default-repo-finders", "lan"]).success();
    let output = scene.run("local", &["find-remotes", APPS, "app1"]);
    let warning =
        "warning: the finder 'lan' of core.default-repo-finders is not supported\n".as_bytes();
    assert_eq!(output.stderr, warning);
    assert_eq!(output.success(), "No results.\n");
}

#[test]
fn a_repository_that_cannot_be_written_is_enough_to_look() {
    if !needs_root() {
        return;
    }
    let scene = Scene::new();
    let user = osier().for_user(65534);
    super::support::Program::other("chmod", "chmod")
        .run(["-R".as_ref(), "go=rX".as_ref(), scene.0.path().as_os_str()])
        .success();
    let found = scene.run_by(&user, "local", &["find-remotes", APPS, "app1"]).success();
    assert!(found.ends_with("\n1/1 refs were found.\n"), "{found}");
    let message = scene.run_by(&user, "local", &["find-remotes", "--pull", APPS, "app1"]).failure();
    assert!(message.starts_with("Cannot write to repository: "), "{message}");
    assert!(is_root());
}
