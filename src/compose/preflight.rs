//! Checks before the tree stage: programs, repository, space, and the files named in the
//! configuration.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use crate::error::{During, Error, Result};
use crate::process::{ANSWER_TIMEOUT, Call, Ending, Interrupt, ask};
use crate::refspec::RefName;
use crate::repo::{LockKind, Repo, RepoMode};
use crate::units::format_size;

use super::Surroundings;
use super::check::{Finding, Findings, Severity};
use super::config::TreeConfig;
use super::decide::read_json;
use super::locks::processes_with;
use super::publish::{self, SummaryState};
use super::regular::Links;
use super::signing::Keys;
use super::treefile::Treefile;

/// Options of rpm-ostree that are needed for the evidence.
const NEEDED_OPTIONS: [&str; 5] = [
    "--unified-core",
    "--cachedir",
    "--write-commitid-to",
    "--touch-if-changed",
    "--write-composejson-to",
];

/// The ref of the configuration, or else of the treefile: for a stage that needs rpm-ostree only
/// for that.
pub(crate) fn ref_name(
    config: &TreeConfig,
    surroundings: &Surroundings<'_>,
    findings: &mut Findings,
) -> Option<RefName> {
    if let Some(name) = &config.ref_name {
        return Some(name.clone());
    }
    let call = Call::new(&config.program, &surroundings.environment);
    let what_for = "the ref, which the configuration does not have";
    let call = findings.program(call, what_for, Severity::Error, &surroundings.interrupt)?;
    refs(config, Some(&call), &surroundings.interrupt, findings).map(|(name, _)| name)
}

/// Looks for rpm-ostree and what it needs; if it is missing, that is recorded with `severity`. It
/// is required if the configuration has no ref, because only rpm-ostree reads the treefile.
pub(crate) fn rpm_ostree(
    config: &TreeConfig,
    surroundings: &Surroundings<'_>,
    severity: Severity,
    findings: &mut Findings,
) -> Option<Call> {
    let interrupt = &surroundings.interrupt;
    let call = Call::new(&config.program, &surroundings.environment);
    let call = match (severity, &config.ref_name) {
        (Severity::Warning, None) => {
            let treefile = config.treefile.display();
            let what_for = format!(
                "reading the ref from {treefile} (or give --ref=REF, or `ref` in the configuration)"
            );
            findings.program(call, &what_for, Severity::Error, interrupt)?
        }
        _ => findings.program(call, "composing a tree", severity, interrupt)?,
    };
    let help = call.clone().args(["compose", "tree", "--help"]);
    if let Some(answer) = findings.take(ask(&help, ANSWER_TIMEOUT, interrupt)) {
        let help = String::from_utf8_lossy(&answer.stdout).into_owned() + &answer.stderr;
        let missing: Vec<&str> =
            NEEDED_OPTIONS.into_iter().filter(|option| !help.contains(option)).collect();
        if !missing.is_empty() {
            let found = findings.programs.values().find(|found| found.path == call.executable);
            let version = found.map_or("unknown", |found| found.version.as_str());
            let program = call.executable.display();
            findings.error(format!(
                "{program} {version} is too old: it does not know {}",
                missing.join(", ")
            ));
        }
    }
    sandbox(surroundings, findings);
    Some(call)
}

/// Checks what rpm-ostree's sandbox and cachedir need. It is an error only if something exists but
/// is refused: the program may bring its own, or run in a container that has it.
fn sandbox(surroundings: &Surroundings<'_>, findings: &mut Findings) {
    let bwrap = Call::new(&["bwrap".to_owned()], &surroundings.environment);
    let interrupt = &surroundings.interrupt;
    if let Some(call) =
        findings.program(bwrap, "the sandbox of rpm-ostree", Severity::Warning, interrupt)
    {
        let trial = call.args(["--ro-bind", "/", "/", "--unshare-pid", "true"]);
        match ask(&trial, ANSWER_TIMEOUT, interrupt) {
            Ok(answer) if answer.ending == Ending::Exit(0) => {}
            Ok(answer) => findings.error(format!(
                "bwrap cannot make a sandbox here: {}; a container needs the privileges for \
                 namespaces and mounts",
                answer.complaint()
            )),
            Err(error) => findings.error(error.chain()),
        }
    }
    let fuse = Path::new("/dev/fuse");
    if let Err(error) =
        fs::OpenOptions::new().read(true).write(true).open(fuse).during("opening", fuse)
    {
        let is_missing = error.io_kind() == Some(std::io::ErrorKind::NotFound);
        let severity = if is_missing || !rustix::process::geteuid().is_root() {
            Severity::Warning
        } else {
            Severity::Error
        };
        let message = format!("{}; rpm-ostree needs it for its cachedir", error.chain());
        findings.list.push(Finding { severity, message });
    }
    if !rustix::process::geteuid().is_root() {
        findings
            .warning("not running as root: rpm-ostree will fail when it sets the owners of files");
    }
}

/// Checks the repository. `is_served` is whether it is published from, `keys` what signs its
/// summary.
pub(super) fn repository(
    config: &TreeConfig,
    surroundings: &Surroundings<'_>,
    is_served: Served,
    keys: &Keys,
    findings: &mut Findings,
) -> Option<Repo> {
    let path = &config.repo;
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        if !config.create_repo {
            findings.error(format!(
                "there is no repository {} (and create-repo is not set)",
                path.display()
            ));
        } else if let Some(existing) = existing_ancestor(path) {
            writable(&existing, findings);
        }
        return None;
    }
    let repo = match Repo::open_with(path, &surroundings.open) {
        Ok(repo) => repo,
        Err(_) if config.create_repo && may_become_a_repository(path) => {
            writable(path, findings);
            return None;
        }
        Err(error) => {
            findings.error(format!("{}: {}", path.display(), error.chain()));
            return None;
        }
    };
    let (name, mode) = (path.display(), repo.mode());
    match (mode, is_served) {
        (RepoMode::Archive, _) => {}
        (_, Served::Yes) => findings
            .error(format!("the repository {name} has mode {mode}, only archive can be served")),
        (_, Served::No) => {
            findings.warning(format!("the repository {name} has mode {mode} and cannot be served"))
        }
    }
    findings.take(repo.check_writable());
    writable(&path.join("objects"), findings);
    locked(&repo, findings);
    if is_served == Served::Yes {
        signatures(&repo, config, keys, findings);
        if let Some(push) = &config.push {
            push.problems(&repo).into_iter().for_each(|problem| findings.error(problem));
        }
    }
    match publish::state(&repo, keys) {
        Ok(SummaryState::Stale) => {
            findings.warning("the summary does not say what the refs say; publishing refreshes it")
        }
        Ok(SummaryState::Right | SummaryState::Missing | SummaryState::Unsigned) => {}
        Err(error) => findings.error(error.chain()),
    }
    Some(repo)
}

/// Checks whether the keys replace the signatures of the summary.
fn signatures(repo: &Repo, config: &TreeConfig, keys: &Keys, findings: &mut Findings) {
    let signature = match publish::load_signature(repo) {
        Ok(None) => return,
        Ok(Some(signature)) => signature,
        Err(error) => return findings.error(error.chain()),
    };
    if config.sign.is_empty() {
        return findings.error(publish::no_key(repo));
    }
    // Of keys that are missing, the finding has been made.
    for entry in keys.others(&signature).iter().filter(|_| !keys.is_empty()) {
        findings.warning(format!(
            "the summary of {} has signatures under {entry}, and no key in [sign] makes those: \
             publishing drops them",
            repo.path().display()
        ));
    }
}

/// Whether a repository is published from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// Clients pull from it.
    Yes,
    /// Something else is published from.
    No,
}

/// Whether a directory is empty, or holds only a repository whose creation was killed: `objects`
/// comes last.
fn may_become_a_repository(path: &Path) -> bool {
    let parts = ["config", ".config-new", "tmp", "extensions", "state", "refs"];
    let is_part = |entry: std::io::Result<fs::DirEntry>| {
        entry
            .is_ok_and(|entry| entry.file_name().to_str().is_some_and(|name| parts.contains(&name)))
    };
    fs::read_dir(path).is_ok_and(|mut entries| entries.all(is_part))
}

/// Records an exclusive lock of another process, which rpm-ostree would only notice after all its
/// work.
fn locked(repo: &Repo, findings: &mut Findings) {
    let path = repo.path().join(".lock");
    // Checking must not create the file.
    if path.exists() && repo.try_lock(LockKind::Shared).is_ok_and(|lock| lock.is_none()) {
        let message = format!(
            "{} is locked by {}; the run will wait for it",
            path.display(),
            processes_with(&path)
        );
        findings.warning(message);
    }
}

/// Records a directory that cannot be written to, regardless of root's privileges.
fn writable(directory: &Path, findings: &mut Findings) {
    match rustix::fs::statvfs(directory) {
        Ok(stat) if stat.f_flag.contains(StatVfsMountFlags::RDONLY) => {
            findings.error(format!(
                "{} is on a file system that is mounted read-only",
                directory.display()
            ));
        }
        Ok(_) => {
            if rustix::fs::access(directory, rustix::fs::Access::WRITE_OK).is_err() {
                findings.error(format!("{} cannot be written to", directory.display()));
            }
        }
        Err(error) => {
            findings.take(Err::<(), _>(error).during("looking at", directory));
        }
    }
}

/// The nearest existing parent directory.
fn existing_ancestor(path: &Path) -> Option<PathBuf> {
    path.ancestors().skip(1).find(|path| path.is_dir()).map(Path::to_owned)
}

/// The three directories of a run that fill up, with their names.
fn places(config: &TreeConfig) -> [(&'static str, &Path); 3] {
    [("repository", &config.repo), ("cachedir", &config.cachedir), ("work directory", &config.work)]
}

/// The free space at a path that may not exist yet, in bytes.
fn free_space(path: &Path) -> Result<u64> {
    let there = if path.is_dir() { Some(path.to_owned()) } else { existing_ancestor(path) };
    let there = there
        .ok_or_else(|| Error::failed(format!("there is no directory above {}", path.display())))?;
    let stat = rustix::fs::statvfs(&there).during("reading the free space of", &there)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Checks free space and the location of directories.
pub(crate) fn space(config: &TreeConfig, findings: &mut Findings) {
    for (name, path) in places(config) {
        enough_space(name, path, config.min_free_mib, findings);
    }
    let inside = |inner: &Path, outer: &Path| inner.starts_with(outer);
    for (name, path) in &places(config)[1..] {
        if inside(path, &config.repo) {
            findings.error(format!("the {name} {} lies in the repository", path.display()));
        }
    }
}

/// Records if less than `needed` MiB are free at a path that may not exist yet.
fn enough_space(name: &str, path: &Path, needed: u64, findings: &mut Findings) {
    let needed = needed << 20;
    match free_space(path) {
        Ok(free) if free < needed => findings.error(format!(
            "the {name} {} has {} free, needed are {} (min-free-mib)",
            path.display(),
            format_size(free),
            format_size(needed)
        )),
        Ok(_) => {}
        Err(error) => findings.error(error.chain()),
    }
}

/// Checks a directory that an image run creates or writes to, to avoid failing there after an hour.
/// Returns whether it can contain anything.
pub(crate) fn output(name: &str, path: &Path, needed_mib: u64, findings: &mut Findings) -> bool {
    // Below a file nothing can exist.
    let is_missing =
        path.metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    if !is_missing && !path.is_dir() {
        findings.error(format!("the {name} {} is no directory", path.display()));
        return false;
    }
    let there = if is_missing { existing_ancestor(path) } else { Some(path.to_owned()) };
    there.iter().for_each(|there| writable(there, findings));
    enough_space(name, path, needed_mib, findings);
    true
}

/// The free space after a run ran out of it: of the directories with less than needed, or of all if
/// there are none any more.
pub(crate) fn describe_space(config: &TreeConfig) -> String {
    let needed = config.min_free_mib << 20;
    let describe = |(name, path): (&str, &Path)| match free_space(path) {
        Ok(free) => {
            (free < needed, format!("{name} {}: {} free", path.display(), format_size(free)))
        }
        Err(error) => (true, error.chain()),
    };
    let described = places(config).map(describe);
    let is_known = described.iter().any(|(is_short, _)| *is_short);
    let shown: Vec<String> = described
        .into_iter()
        .filter(|(is_short, _)| *is_short || !is_known)
        .map(|(_, text)| text)
        .collect();
    format!("{}; needed are {} (min-free-mib)", shown.join(", "), format_size(needed))
}

/// Checks the files named in the configuration.
pub(crate) fn files(config: &TreeConfig, findings: &mut Findings) {
    for path in &config.lockfiles {
        match read_json(path, Links::Follow) {
            Ok(document) if document["packages"].is_object() => {}
            Ok(_) => findings
                .error(format!("{} is no package lock file: it has no packages", path.display())),
            Err(error) => findings.error(error.chain()),
        }
    }
    // Mirrors must be able to read everything that is published.
    if config.umask & 0o055 != 0 {
        findings.warning(format!(
            "with umask {:04o} others cannot read what is published",
            config.umask
        ));
    }
}

/// The ref to publish, and the treefile as rpm-ostree expands it. Without rpm-ostree only the
/// configuration is used.
pub(crate) fn refs(
    config: &TreeConfig,
    program: Option<&Call>,
    interrupt: &Interrupt,
    findings: &mut Findings,
) -> Option<(RefName, Option<Treefile>)> {
    let path = &config.treefile;
    let treefile = match program {
        Some(call) => Some(findings.take(Treefile::expand(call.clone(), path, interrupt))?),
        None => {
            findings.take(fs::metadata(path).during("reading", path))?;
            None
        }
    };
    if let Some(treefile) = &treefile {
        treefile.check(path, config.version.is_some(), findings);
    }
    let name = match (&config.ref_name, treefile.as_ref().and_then(Treefile::ref_name)) {
        (Some(name), _) => Some(name.clone()),
        (None, Some(name)) => findings.take(RefName::parse(name).map_err(Error::from)),
        (None, None) => {
            findings.error(format!(
                "there is no ref: neither `ref` in the configuration nor in {}",
                path.display()
            ));
            None
        }
    }?;
    Some((name, treefile))
}
