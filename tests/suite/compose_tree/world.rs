//! A place to compose in: a configuration, a treefile, packages, and a stand-in for rpm-ostree on
//! PATH.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{
    Output, Program, has_programs, osier_path, ostree, scratch, search_path_after,
};

pub const REF: &str = "exampleos/22/x86_64/host";
pub const PENDING: &str = "osier-pending:exampleos/22/x86_64/host";

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str = "[compose]
repo=repo
treefile=exampleos-host.json
cachedir=cache
work=work
create-repo=true
min-free-mib=1
lock-timeout=1s
";

const TREEFILE: &str = r#"{ "ref": "exampleos/22/${basearch}/host", "repos": ["base"], "packages": ["payload"],
  "automatic-version-prefix": "22" }
"#;

pub struct World {
    directory: tempfile::TempDir,
    program: Program,
}

/// What is public: the ref, and the summary with what makes mirrors fetch it anew.
#[derive(Debug, PartialEq, Eq)]
pub struct Public {
    commit: Option<String>,
    summary: Option<(Vec<u8>, i64, i64)>,
}

impl World {
    /// An empty directory with the configuration and one package; `None` where the stand-in cannot
    /// run.
    #[track_caller]
    pub fn new() -> Option<Self> {
        has_programs(&["python3"]).then(Self::make)
    }

    fn make() -> Self {
        let directory = scratch();
        let path = directory.path();
        fs::create_dir_all(path.join("bin")).unwrap();
        fs::create_dir_all(path.join("packages")).unwrap();
        let program = path.join("bin/rpm-ostree");
        fs::copy(
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/compose_tree/rpm-ostree"),
            &program,
        )
        .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("compose.conf"), CONFIG).unwrap();
        fs::write(path.join("exampleos-host.json"), TREEFILE).unwrap();
        fs::write(path.join("base.repo"), "[base]\nbaseurl=http://packages.example.org/\n")
            .unwrap();
        fs::write(path.join("packages/payload"), "payload 1\n".repeat(1000)).unwrap();
        let osier = osier_path();
        let program = Program::other(osier, "osier")
            .with("PATH", search_path_after(&path.join("bin")))
            .with("OSIER", osier)
            .with("STANDIN_RECORD", path.join("record"))
            .in_directory(path);
        Self { directory, program }
    }

    /// The same after a first compose; returns its commit, too.
    #[track_caller]
    pub fn composed() -> Option<(Self, String)> {
        let world = Self::new()?;
        world.tree(&[]).success();
        let commit = world.rev(REF).unwrap();
        Some((world, commit))
    }

    /// Another world of which everything is as in this one.
    pub fn copied(&self) -> Self {
        let world = Self::make();
        let from = format!("{}/.", self.directory.path().display());
        let status =
            Command::new("cp").arg("-a").arg(from).arg(world.directory.path()).status().unwrap();
        assert!(status.success());
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    /// osier itself.
    pub fn osier(&self) -> &Program {
        &self.program
    }

    pub fn set_config(&self, lines: &str) {
        fs::write(self.path("compose.conf"), format!("{CONFIG}{lines}")).unwrap();
    }

    /// Another version of the package: the next compose has something new.
    pub fn change(&self, version: u32) {
        fs::write(self.path("packages/payload"), format!("payload {version}\n").repeat(1000))
            .unwrap();
    }

    pub fn tree(&self, arguments: &[&str]) -> Output {
        self.program.run([&["compose", "tree", "--config=compose.conf"], arguments].concat())
    }

    /// `compose tree` while the stand-in behaves in that way.
    pub fn tree_with(&self, mode: &str, arguments: &[&str]) -> Output {
        let program = self.program.clone().with("STANDIN_MODE", mode);
        program.run([&["compose", "tree", "--config=compose.conf"], arguments].concat())
    }

    pub fn publish(&self, commit: &str) -> Output {
        self.program.run(["compose", "publish", "--config=compose.conf", commit])
    }

    /// Starts `compose tree` without waiting for its end.
    pub fn spawn(&self, mode: &str) -> Child {
        let mut command = Command::new(&self.program.path);
        let variables: Vec<(OsString, OsString)> = vec![
            ("PATH".into(), search_path_after(&self.path("bin"))),
            ("OSIER".into(), osier_path().into()),
            ("STANDIN_MODE".into(), mode.into()),
        ];
        command
            .args(["compose", "tree", "--config=compose.conf"])
            .current_dir(self.directory.path())
            .env_clear();
        command.envs(variables).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits until the stand-in of the newest run sleeps; returns its process.
    pub fn wait_for_sleep(&self) -> i32 {
        let started = Instant::now();
        loop {
            assert!(started.elapsed() < PATIENCE, "the stand-in does not come to its sleep");
            let asleep = self
                .runs()
                .pop()
                .map(|run| fs::read_to_string(run.join("asleep")).unwrap_or_default());
            match asleep.and_then(|text| text.parse().ok()) {
                Some(process) => return process,
                None => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    pub fn rev(&self, rev: &str) -> Option<String> {
        let output = self.program.repo(&self.repo(), ["rev-parse", rev]);
        (output.status == 0).then(|| output.line())
    }

    /// What the public ref names, and nothing else of that name.
    pub fn public_commit(&self) -> Option<String> {
        let path = self.repo().join("refs/heads").join(REF);
        fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
    }

    pub fn public(&self) -> Public {
        let summary = self.repo().join("summary");
        let summary = fs::read(&summary).ok().map(|bytes| {
            let metadata = summary.metadata().unwrap();
            (bytes, metadata.mtime(), metadata.mtime_nsec())
        });
        Public { commit: self.public_commit(), summary }
    }

    /// The directories of the runs, oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("work")).into_iter().flatten();
        let mut runs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        // Two runs of a second have names in any order.
        runs.sort_by_key(|run| run.metadata().and_then(|metadata| metadata.created()).ok());
        runs
    }

    /// The report of the newest run.
    pub fn report(&self) -> Value {
        report_of(&self.runs().pop().expect("there was a run"))
    }

    /// The calls that the stand-in recorded.
    pub fn calls(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path("record")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Whatever went wrong: `commit` is served as before, the repository is sound, and a client
    /// gets the tree.
    #[track_caller]
    pub fn assert_served(&self, commit: &str) {
        assert_eq!(self.public_commit().as_deref(), Some(commit), "the ref");
        self.program.repo(&self.repo(), ["fsck", "--quiet"]).success();
        self.assert_pulled(commit);
    }

    /// A client gets the tree of `commit` by the name of the ref, with the real program where there
    /// is one.
    #[track_caller]
    pub fn assert_pulled(&self, commit: &str) {
        let client = tempfile::tempdir_in(self.directory.path()).unwrap();
        let path = client.path().join("client");
        let program = ostree().unwrap_or_else(crate::support::osier);
        program.repo(&path, ["init", "--mode=bare-user-only"]).success();
        program
            .repo(&path, ["pull-local", "--untrusted", self.repo().to_str().unwrap(), REF])
            .success();
        assert_eq!(program.repo(&path, ["rev-parse", REF]).line(), commit);
        program.repo(&path, ["fsck", "--quiet"]).success();
        let summary = self.program.repo(&self.repo(), ["summary", "--view"]).success();
        assert!(summary.contains(&format!("* {REF}\n")) && summary.contains(commit), "{summary}");
    }

    /// Nothing of the run is left where osier lives on.
    #[track_caller]
    pub fn assert_clean(&self) {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.directory.path().to_str().unwrap()), "{mounts}");
        for entry in fs::read_dir(self.path("cache")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(!name.starts_with("rpm-ostree-compose."), "{name} is left in the cache");
        }
        for run in self.runs() {
            assert!(!run.join("tmp").exists(), "{} has a tmp", run.display());
        }
        let marks: Vec<_> = fs::read_dir(self.repo().join("state"))
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert!(marks.is_empty(), "{marks:?}");
    }
}

pub fn report_of(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("report.json")).unwrap()).unwrap()
}

/// Whether a process is there and no zombie.
pub fn is_alive(process: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}
