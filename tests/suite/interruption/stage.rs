//! Repositories to interrupt commands on, and what must be true of them afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use osier::Checksum;
use osier::repo::{ListRefs, Repo};

use crate::support::{
    Program, Snapshot, differences, masked_summary, osier, ostree, raw_snapshot, snapshot,
};

/// A command in a directory as [`stage`] makes it.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The repository in the directory.
    pub repo: &'static str,
    pub call: Vec<String>,
}

/// A repository at rest.
pub struct State {
    refs: BTreeMap<String, Checksum>,
    summary: Option<Vec<u8>>,
    snapshot: Snapshot,
    /// What was checked out, if anything.
    out: Snapshot,
}

/// Makes a directory with trees and repositories to work on.
///
/// `archive` and `bare-user` hold three commits of `main`, the refs `side` and `late` (which the
/// summary does not know yet), and commits that no ref needs; `empty` is a fresh archive.
pub fn stage(at: &Path) {
    for (tree, text) in
        [("first", "one"), ("second", "two"), ("third", "three"), ("fourth", "four")]
    {
        for file in 0..24 {
            let folder = at.join(tree).join(format!("folder-{}", file % 5));
            fs::create_dir_all(&folder).unwrap();
            let same = if file % 2 == 0 { "same" } else { text };
            fs::write(
                folder.join(format!("file-{file}")),
                format!("{same} {file}\n").repeat(file * 37),
            )
            .unwrap();
        }
    }
    let run = |repo: &str, arguments: &[&str]| {
        osier().in_directory(at).repo(Path::new(repo), arguments).line()
    };
    run("empty", &["init", "--mode=archive"]);
    for mode in ["archive", "bare-user"] {
        run(mode, &["init", &format!("--mode={mode}")]);
        let commit = |place: &str, time: &str, tree: &str| {
            let tree = format!("--tree=dir={tree}");
            run(
                mode,
                &[
                    "commit",
                    place,
                    "--canonical-permissions",
                    "--no-xattrs",
                    "--no-bindings",
                    time,
                    &tree,
                ],
            )
        };
        commit("--branch=main", "--timestamp=@1", "first");
        commit("--branch=main", "--timestamp=@2", "second");
        commit("--branch=main", "--timestamp=@3", "first");
        run(mode, &["refs", "--create=side", "main^"]);
        run(mode, &["summary", "-u"]);
        run(mode, &["refs", "--create=late", "main"]);
        for time in ["--timestamp=@7", "--timestamp=@8", "--timestamp=@9"] {
            let tree = at.join("third");
            fs::write(tree.join("time"), time).unwrap();
            commit("--orphan", time, "third");
        }
        fs::remove_file(at.join("third/time")).unwrap();
    }
}

impl Operation {
    pub fn program(&self, at: &Path) -> Program {
        osier().in_directory(at).with("RAYON_NUM_THREADS", "2").with("SOURCE_DATE_EPOCH", "5")
    }

    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![format!("--repo={}", self.repo)];
        arguments.extend(self.call.iter().cloned());
        arguments
    }

    /// The arguments of strace that run the command with something injected into its system calls.
    pub fn traced(&self, calls: &str, inject: &str) -> Vec<String> {
        let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{inject}"));
        let options = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let mut arguments: Vec<String> = options.map(str::to_owned).into();
        arguments.push(osier().path.to_str().unwrap().to_owned());
        arguments.extend(self.arguments());
        arguments
    }

    /// Runs the command once more, which must bring the repository to the state `new` and leave
    /// nothing behind.
    #[track_caller]
    pub fn finish(&self, at: &Path, new: &State, what: &str) {
        let again = self.program(at).run(self.arguments());
        assert_eq!(again.status, 0, "{what}: the next run: {again:?}");
        let reached = State::of(at, self.repo);
        let missing = differences(&new.snapshot, &reached.snapshot);
        assert!(missing.is_empty(), "{what}: the next run does not reach the end: {missing:?}");
        let mut missing = differences(&new.out, &reached.out);
        // As with upstream, a directory that is there already keeps the mode that it has, which is
        // a provisional one.
        missing.retain(|line| !line.contains(": mode 40"));
        assert!(missing.is_empty(), "{what}: the checkout is not what it should be: {missing:?}");
        // What a command without a transaction leaves is the next transaction's to clean.
        osier()
            .in_directory(at)
            .repo(Path::new(self.repo), ["commit", "--orphan", "--tree=dir=first"])
            .success();
        let litter = litter(&at.join(self.repo).join("tmp"));
        assert!(litter.is_empty(), "{what}: left over: {litter:?}");
    }
}

impl State {
    pub fn of(directory: &Path, repo: &str) -> Self {
        let path = directory.join(repo);
        let out = directory.join("out");
        Self {
            refs: refs(&path),
            summary: summary(&path),
            snapshot: snapshot(&path),
            out: if out.exists() { raw_snapshot(&out) } else { Snapshot::new() },
        }
    }
}

fn refs(repo: &Path) -> BTreeMap<String, Checksum> {
    let refs = Repo::open(repo).unwrap().list_refs(None, ListRefs::Full).unwrap();
    refs.into_iter().map(|(refspec, commit)| (refspec.to_string(), commit)).collect()
}

fn summary(repo: &Path) -> Option<Vec<u8>> {
    fs::read(repo.join("summary")).ok().map(|bytes| masked_summary(&bytes))
}

/// What must be true of a repository that was left in between.
#[track_caller]
pub fn check_between(repo: &Path, old: &State, new: &State, what: &str) {
    for program in [Some(osier()), ostree()].into_iter().flatten() {
        let output = program.repo(repo, ["fsck", "--quiet"]);
        assert_eq!(output.status, 0, "{what}: {output:?}");
    }
    let found = refs(repo);
    for name in old.refs.keys().chain(new.refs.keys()).chain(found.keys()) {
        let commit = found.get(name);
        let known = commit == old.refs.get(name) || commit == new.refs.get(name);
        assert!(known, "{what}: the ref {name} is neither old nor new: {commit:?}");
    }
    let found = summary(repo);
    assert!(
        found == old.summary || found == new.summary,
        "{what}: the summary is neither old nor new"
    );
    let found = snapshot(repo);
    for (path, entry) in old.snapshot.iter().filter(|(path, _)| path.starts_with("objects/")) {
        let kept = found.get(path) == Some(entry) || !new.snapshot.contains_key(path);
        assert!(kept, "{what}: {path} is lost or changed");
    }
}

fn litter(tmp: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(tmp).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| !path.ends_with("cache")).collect()
}

/// `commit` on top of that parent; the same whatever was done of it before.
pub fn commit(parent: &str) -> Vec<String> {
    let options =
        "commit --branch=main --canonical-permissions --no-xattrs --timestamp=@4 --tree=dir=fourth";
    words(&format!("{options} --parent={parent} --add-detached-metadata-string=detached=x"))
}

pub fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}
