//! The measured steps: a table, in the order in which they run.
//!
//! A step works on one of the [`REPOS`] that each program has in each round. The table also lists
//! the steps that it depends on, so that any selection of steps can run.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

use super::child::Measurement;
use super::place::Place;
use super::sample;
use super::synthetic;
use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::progress::Progress;
use crate::repo::{ListRefs, Repo};
use crate::summary::Summary;
use crate::trial::check_interrupt;

/// The branch that is committed.
pub(super) const BRANCH: &str = "bench";

/// The branch of the commit that is compared with [`BRANCH`].
const CHANGED_BRANCH: &str = "changed";

/// The repositories that each program has, with their modes.
pub(super) const REPOS: [(&str, &str); 5] = [
    ("archive", "archive"),
    ("cached", "archive"),
    ("bare-user", "bare-user"),
    ("pulled", "bare-user"),
    ("verified", "archive"),
];

/// The repository of the step `prune`, which is a copy and not made by the program.
pub(super) const PRUNABLE: &str = "prunable";

/// A kind of work to measure.
#[derive(Debug)]
pub struct Step {
    /// The short name, which `--only` takes.
    pub name: &'static str,
    /// The description for readers.
    pub title: &'static str,
    /// The goal: how many times faster than `ostree` osier should be.
    pub goal: f64,
    /// Whether the content of the whole tree passes through the program.
    pub handles_content: bool,
    /// Whether the cost depends on the tree. The others are measured with an empty one if no tree
    /// is needed otherwise.
    pub is_of_tree: bool,
    /// For work that `ostree` cannot do: the step to compare with instead.
    pub(super) ostree_has: Option<&'static str>,
    /// The repository that the program works on.
    pub(super) repo: &'static str,
    /// Steps that must have run before.
    pub(super) needs: &'static [&'static str],
    /// Prepares the step, unmeasured.
    pub(super) prepare: fn(&Place<'_>) -> Result<()>,
    /// The command.
    pub(super) arguments: fn(&Place<'_>) -> Vec<String>,
    /// The result in which all programs and rounds must agree.
    pub(super) outcome: fn(&Place<'_>, &Measurement) -> Result<String>,
}

const NOTHING: fn(&Place<'_>) -> Result<()> = |_| Ok(());

/// The defaults of most steps.
const COMMON: Step = Step {
    name: "",
    title: "",
    goal: 1.0,
    handles_content: false,
    is_of_tree: true,
    ostree_has: None,
    repo: "archive",
    needs: &[],
    prepare: NOTHING,
    arguments: |_| Vec::new(),
    outcome: |_, measured| Ok(measured.stdout.trim().to_owned()),
};

/// All steps.
pub static STEPS: [Step; 15] = [
    Step {
        name: "commit",
        title: "first commit, archive",
        goal: 5.0,
        handles_content: true,
        arguments: |place| commit(place, BRANCH, &[]),
        ..COMMON
    },
    Step {
        name: "again",
        title: "same tree again, archive",
        goal: 50.0,
        handles_content: true,
        needs: &["commit"],
        arguments: |place| commit(place, BRANCH, &[]),
        ..COMMON
    },
    Step {
        name: "stat-cache",
        title: "same tree, stat cache",
        goal: 100.0,
        handles_content: true,
        ostree_has: Some("again"),
        repo: "cached",
        needs: &["again"],
        // The cache has to be filled first.
        prepare: |place| place.run("cached", &commit(place, BRANCH, &["--stat-cache"])),
        arguments: |place| commit(place, BRANCH, &["--stat-cache"]),
        ..COMMON
    },
    Step {
        name: "commit-bare-user",
        title: "first commit, bare-user",
        goal: 5.0,
        handles_content: true,
        repo: "bare-user",
        arguments: |place| commit(place, BRANCH, &[]),
        ..COMMON
    },
    Step {
        name: "fsck",
        title: "fsck, archive",
        goal: 4.5,
        handles_content: true,
        needs: &["commit"],
        arguments: |_| words(&["fsck", "-q"]),
        // The number of progress lines depends on how long the programs take.
        outcome: |_, measured| Ok(measured.stdout.lines().last().unwrap_or_default().to_owned()),
        ..COMMON
    },
    Step {
        name: "checkout",
        title: "checkout -U, archive",
        goal: 3.5,
        handles_content: true,
        needs: &["commit"],
        arguments: |place| checkout(place, &["-U", "--disable-cache"], "checkout"),
        outcome: |place, _| tree_size(&place.path("checkout")),
        ..COMMON
    },
    Step {
        name: "checkout-links",
        title: "checkout -U -H, bare-user",
        repo: "bare-user",
        needs: &["commit-bare-user"],
        arguments: |place| checkout(place, &["-U", "-H"], "checkout-links"),
        outcome: |place, _| tree_size(&place.path("checkout-links")),
        ..COMMON
    },
    Step {
        name: "pull-local",
        title: "pull-local, to bare-user",
        goal: 2.0,
        handles_content: true,
        repo: "pulled",
        needs: &["commit"],
        arguments: |place| pull(place, &[]),
        outcome: |place, _| repo_content(&place.path("pulled")),
        ..COMMON
    },
    Step {
        name: "pull-untrusted",
        title: "pull-local --untrusted",
        goal: 1.8,
        handles_content: true,
        repo: "verified",
        needs: &["commit"],
        arguments: |place| pull(place, &["--untrusted"]),
        outcome: |place, _| repo_content(&place.path("verified")),
        ..COMMON
    },
    Step {
        name: "export",
        title: "export, archive",
        goal: 1.5,
        handles_content: true,
        needs: &["commit"],
        arguments: |place| {
            words(&["export", &format!("--output={}", place.path("export.tar").display()), BRANCH])
        },
        outcome: |place, _| tar_content(&place.path("export.tar")),
        ..COMMON
    },
    Step {
        name: "diff",
        title: "diff of two commits",
        repo: "bare-user",
        needs: &["commit-bare-user"],
        prepare: commit_changed,
        arguments: |_| words(&["diff", BRANCH, CHANGED_BRANCH]),
        outcome: |_, measured| Ok(digest(&measured.stdout)),
        ..COMMON
    },
    Step {
        name: "ls",
        title: "ls -R",
        needs: &["commit"],
        arguments: |_| words(&["ls", "-R", BRANCH]),
        outcome: |_, measured| Ok(digest(&measured.stdout)),
        ..COMMON
    },
    Step {
        name: "log",
        title: "log",
        is_of_tree: false,
        needs: &["commit"],
        arguments: |_| words(&["log", BRANCH]),
        outcome: |_, measured| Ok(digest(&measured.stdout)),
        ..COMMON
    },
    Step {
        name: "summary",
        title: "summary -u, many refs",
        is_of_tree: false,
        goal: 3.0,
        needs: &["commit"],
        prepare: |place| synthetic::write_refs(&place.path("archive"), BRANCH, place.refs),
        arguments: |_| words(&["summary", "-u"]),
        outcome: |place, _| summary_content(&place.path("archive/summary")),
        ..COMMON
    },
    Step {
        name: "prune",
        title: "prune, many objects",
        is_of_tree: false,
        goal: 5.0,
        repo: PRUNABLE,
        prepare: |place| link_tree(place.prunable, &place.path(PRUNABLE), place.progress),
        arguments: |_| words(&["prune", "--refs-only"]),
        ..COMMON
    },
];

/// The step with this name.
pub fn find(name: &str) -> Result<&'static Step> {
    STEPS.iter().find(|step| step.name == name).ok_or_else(|| {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        Error::failed(format!("no step is called '{name}'; there are {}", names.join(", ")))
    })
}

/// These steps and their dependencies, in the order of the table; all steps if none is named.
pub(super) fn selection(names: &[String]) -> Result<Vec<&'static Step>> {
    let mut wanted: Vec<&str> =
        if names.is_empty() { STEPS.iter().map(|step| step.name).collect() } else { Vec::new() };
    for name in names {
        wanted.push(find(name)?.name);
    }
    // Dependencies precede a step.
    let mut steps = Vec::new();
    for step in STEPS.iter().rev() {
        if wanted.contains(&step.name) {
            wanted.extend(step.needs);
            steps.push(step);
        }
    }
    steps.reverse();
    Ok(steps)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn commit(place: &Place<'_>, branch: &str, more: &[&str]) -> Vec<String> {
    let tree = format!("--tree=dir={}", place.tree.display());
    [
        &words(&["commit", "-b", branch, "-s", "Benchmark", "--timestamp=@1", &tree])[..],
        &words(more),
    ]
    .concat()
}

fn checkout(place: &Place<'_>, options: &[&str], destination: &str) -> Vec<String> {
    let destination = place.path(destination).display().to_string();
    [&words(&["checkout"])[..], &words(options), &words(&[BRANCH, &destination])].concat()
}

fn pull(place: &Place<'_>, options: &[&str]) -> Vec<String> {
    let source = place.path("archive").display().to_string();
    [&words(&["pull-local"])[..], &words(options), &words(&[&source, BRANCH])].concat()
}

/// Commits the tree once more, every tenth file with another mode.
fn commit_changed(place: &Place<'_>) -> Result<()> {
    let path = place.path("modes");
    let mut modes = String::new();
    let entries = WalkDir::new(place.tree).sort_by_file_name().into_iter().filter_map(|entry| {
        let entry = entry.ok()?;
        let name = entry.path().strip_prefix(place.tree).ok()?.to_str()?.to_owned();
        // The format of the list cannot express other names.
        (entry.file_type().is_file() && !name.contains(char::is_whitespace)).then_some(name)
    });
    for name in entries.step_by(10) {
        // The set-user-ID bit, in decimal.
        modes.push_str(&format!("+2048 /{name}\n"));
    }
    fs::write(&path, modes).during("writing", &path)?;
    let option = format!("--statoverride={}", path.display());
    place.run("bare-user", &commit(place, CHANGED_BRANCH, &[&option]))
}

/// Makes directories, and hard links to all files.
fn link_tree(from: &Path, to: &Path, progress: &dyn Progress) -> Result<()> {
    for entry in WalkDir::new(from) {
        check_interrupt(progress)?;
        let entry = entry.map_err(std::io::Error::from).during("reading", from)?;
        let path = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        if entry.file_type().is_dir() {
            fs::create_dir(&path).during("creating", &path)?;
        } else {
            fs::hard_link(entry.path(), &path).during("linking", &path)?;
        }
    }
    Ok(())
}

fn tree_size(tree: &Path) -> Result<String> {
    let size = sample::measure_tree(tree)?;
    Ok(format!(
        "{} files, {} symlinks, {} directories, {} bytes",
        size.files, size.symlinks, size.directories, size.bytes
    ))
}

/// All objects by name, and what the refs point to.
fn repo_content(path: &Path) -> Result<String> {
    let repo = Repo::open(path)?;
    let mut objects: Vec<String> = repo.list_objects()?.iter().map(ToString::to_string).collect();
    objects.sort_unstable();
    let refs = repo.list_refs(None, ListRefs::Full)?;
    let refs: Vec<String> =
        refs.iter().map(|(name, commit)| format!("{name} -> {commit}")).collect();
    Ok(format!("{} objects, {}; {}", objects.len(), digest(&objects.concat()), refs.join(", ")))
}

/// The content of an archive, regardless of which equal files are stored as hard links: newer
/// versions of `ostree` do that, older ones store each file.
fn tar_content(path: &Path) -> Result<String> {
    let file = fs::File::open(path).during("opening", path)?;
    let mut archive = tar::Archive::new(std::io::BufReader::new(file));
    let (mut sizes, mut members, mut bytes) = (HashMap::new(), 0_u64, 0_u64);
    for entry in archive.entries_with_seek().during("reading", path)? {
        let entry = entry.during("reading", path)?;
        let target = entry.link_name_bytes().filter(|_| entry.header().entry_type().is_hard_link());
        let size = target.map_or(entry.size(), |target| sizes.get(&*target).copied().unwrap_or(0));
        sizes.insert(entry.path_bytes().into_owned(), size);
        members += 1;
        bytes += size;
    }
    Ok(format!("{members} members, {bytes} bytes"))
}

fn summary_content(path: &Path) -> Result<String> {
    let bytes = fs::read(path).during("reading", path)?;
    let summary = Summary::decode(&bytes)
        .map_err(|source| Error::Malformed { what: path.display().to_string(), source })?;
    let refs: Vec<String> =
        summary.refs.iter().map(|found| format!("{} {}\n", found.name, found.commit)).collect();
    Ok(format!("{} refs, {}", refs.len(), digest(&refs.concat())))
}

/// A placeholder for a long text.
fn digest(text: &str) -> String {
    format!("{} bytes with the checksum {}", text.len(), Checksum::of(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(steps: &[&'static Step]) -> Vec<&'static str> {
        steps.iter().map(|step| step.name).collect()
    }

    #[test]
    fn what_a_step_needs_is_run_with_it_and_before_it() {
        let selected = |names: &[&str]| selection(&words(names)).unwrap();
        assert_eq!(names(&selected(&["stat-cache"])), ["commit", "again", "stat-cache"]);
        assert_eq!(names(&selected(&["log", "commit"])), ["commit", "log"]);
        assert_eq!(names(&selected(&["prune"])), ["prune"]);
        assert_eq!(selected(&[]).len(), STEPS.len());
    }

    #[test]
    fn an_unknown_step_is_refused_with_the_names_of_all() {
        let message = find("comit").unwrap_err().to_string();
        assert!(
            message.starts_with("no step is called 'comit'; there are commit, again, stat-cache, "),
            "{message}"
        );
    }

    #[test]
    fn the_table_names_only_what_there_is() {
        for (place, step) in STEPS.iter().enumerate() {
            let before = &STEPS[..place];
            assert!(
                before.iter().all(|other| other.name != step.name),
                "{} stands there twice",
                step.name
            );
            for needed in step.needs.iter().chain(&step.ostree_has) {
                assert!(
                    before.iter().any(|other| other.name == *needed),
                    "{} needs {needed}",
                    step.name
                );
            }
            let repos = REPOS.iter().map(|(name, _)| *name).chain([PRUNABLE]);
            assert!(
                repos.into_iter().any(|repo| repo == step.repo),
                "{} has no repository",
                step.name
            );
        }
    }
}
