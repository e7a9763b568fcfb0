//! A place with repositories to push from, and a directory to push to.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Output, Program, osier_path, ostree, scratch};

/// Repositories by their names, `src` and `other` of one mode; `dst` is what is pushed to. A tree
/// to commit is in `tree`.
pub struct World {
    directory: tempfile::TempDir,
    way: Way,
}

/// How `dst` is pushed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Directory,
    /// As if it were on another machine: `ssh` is a script that runs the command here.
    Ssh,
}

/// Stands in for ssh.
const SSH: &str = r#"#!/bin/sh
while [ $# -gt 2 ]; do shift; done
[ "$1" = host ] || { echo "no such host: $1" >&2; exit 255; }
exec /bin/sh -c "$2"
"#;

/// A file that is sent in pieces.
pub fn large() -> Vec<u8> {
    (0..700_000u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

impl World {
    pub fn new(mode: &str) -> Self {
        Self::by(Way::Directory, mode)
    }

    /// One for each way.
    pub fn each(mode: &str) -> [Self; 2] {
        [Way::Directory, Way::Ssh].map(|way| Self::by(way, mode))
    }

    pub fn by(way: Way, mode: &str) -> Self {
        let world = Self { directory: scratch(), way };
        world.script("ssh", SSH);
        let tree = world.path().join("tree");
        fs::create_dir_all(tree.join("dir")).unwrap();
        fs::write(tree.join("dir/text"), "text\n").unwrap();
        fs::write(tree.join("empty"), "").unwrap();
        fs::write(tree.join("large"), large()).unwrap();
        symlink("text", tree.join("dir/link")).unwrap();
        for repo in ["src", "other"] {
            world.run(repo, &["init", &format!("--mode={mode}")]).success();
        }
        world
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a program; returns its path.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        // Another thread may start a program at the same time, which would hold the file open.
        let written = self.path().join(format!("{name}.new"));
        fs::write(&written, text).unwrap();
        fs::set_permissions(&written, fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(&written, &path).unwrap();
        path
    }

    /// osier under its own name.
    pub fn program(&self) -> Program {
        let program = Program::other(osier_path(), "osier").in_directory(self.path());
        program.with("OSIER_SSH", self.path().join("ssh"))
    }

    pub fn run(&self, repo: &str, arguments: &[&str]) -> Output {
        self.program().repo(Path::new(repo), arguments)
    }

    /// Commits the tree; returns the commit.
    pub fn commit(&self, repo: &str, branch: &str, tree: &str) -> String {
        let call = ["commit", "-b", branch, "--canonical-permissions", "--no-xattrs", tree];
        self.run(repo, &call).line()
    }

    pub fn url(&self) -> String {
        self.url_of("dst")
    }

    pub fn url_of(&self, name: &str) -> String {
        let path = self.path().join(name);
        match self.way {
            Way::Directory => format!("file://{}", path.display()),
            Way::Ssh => format!("ssh://host{}", path.display()),
        }
    }

    /// Where clients find what is pushed.
    pub fn public(&self) -> String {
        format!("file://{}", self.path().join("dst").display())
    }

    /// What messages call the destination.
    pub fn place(&self) -> String {
        match self.way {
            Way::Directory => self.path().join("dst").display().to_string(),
            Way::Ssh => self.url(),
        }
    }

    pub fn push(&self, repo: &str, arguments: &[&str]) -> Output {
        self.push_to(repo, &self.url(), arguments)
    }

    pub fn push_to(&self, repo: &str, url: &str, arguments: &[&str]) -> Output {
        let receiver = format!("--receiver={}", osier_path());
        self.run(repo, &[&["push", url, &receiver], arguments].concat())
    }

    /// What a push prints as JSON.
    #[track_caller]
    pub fn document(&self, repo: &str, arguments: &[&str]) -> Value {
        let text = self.push(repo, &[&["--json"], arguments].concat()).success();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// What was pushed is whole, has these refs among others, and a summary that names all refs.
    #[track_caller]
    pub fn check(&self, refs: &[(&str, &str)]) {
        self.run("dst", &["fsck"]).success();
        if let Some(ostree) = ostree() {
            ostree.in_directory(self.path()).repo(Path::new("dst"), ["fsck"]).success();
        }
        for (name, commit) in refs {
            assert_eq!(self.run("dst", &["rev-parse", name]).line(), *commit);
        }
        let text = self.run("dst", &["summary", "--view", "--json"]).success();
        let summary: Value = serde_json::from_str(&text).unwrap();
        let named = summary["refs"].as_array().unwrap().iter();
        let named: Vec<(&str, &str)> = named
            .map(|entry| (entry["ref"].as_str().unwrap(), entry["commit"].as_str().unwrap()))
            .collect();
        let all = self.run("dst", &["refs", "--revision"]).success();
        let all: Vec<(&str, &str)> =
            all.lines().map(|line| line.split_once('\t').unwrap()).collect();
        assert_eq!(named, all);
    }

    /// The names of all objects, as in `ab/cdef.filez`, sorted.
    pub fn objects(&self, repo: &str) -> Vec<String> {
        let root = self.path().join(repo).join("objects");
        let files = walkdir::WalkDir::new(&root).sort_by_file_name().into_iter();
        let files = files.map(Result::unwrap).filter(|entry| entry.file_type().is_file());
        files
            .map(|entry| entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
            .collect()
    }

    /// The bytes of all objects.
    pub fn sizes(&self, repo: &str) -> u64 {
        let root = self.path().join(repo).join("objects");
        self.objects(repo).iter().map(|name| root.join(name).metadata().unwrap().len()).sum()
    }

    /// Writes a new pair of ed25519 keys to files; returns the public and the secret one.
    pub fn keys(&self) -> [PathBuf; 2] {
        self.program().run(["sign", "--generate-key", "--out", "key"]).success();
        ["key.pub", "key.sec"].map(|name| self.path().join(name))
    }
}
