//! The possible values of each option and argument.

use std::collections::BTreeSet;
use std::ffi::OsStr;

use clap::Arg;
use osier::gvariant::Dict;
use osier::repo::tree::{self, Node};
use osier::repo::{ListRefs, Repo, RepoMode};
use osier::{Checksum, remote};

use super::line::{Kind, Line};
use super::shell_words::expanded;
use crate::cli::context;
use crate::cli::error::Failure;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Anything; nothing can be offered.
    Anything,
    /// The name of a file.
    File,
    /// The name of a directory.
    Directory,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A ref of the repository.
    Ref,
    /// A ref, a remote's ref, or the beginning of a commit's checksum.
    Rev,
    /// The same, or a directory.
    RevOrDirectory,
    /// A commit's whole checksum.
    Commit,
    /// The same, or `none`.
    CommitOrNone,
    /// A ref, `=` and a number.
    RefAndDepth,
    /// A ref of the repository that is the first argument.
    RefOfSource,
    /// A static delta of the repository.
    Delta,
    /// The same, or a file.
    DeltaOrFile,
    /// A remote's name.
    Remote,
    /// A repository mode.
    Mode,
    /// A step of `bench`.
    Step,
    /// A shell.
    Shell,
    /// `dir=PATH`, `tar=FILE` or `ref=REV`.
    Tree,
    /// A path in the commit that is the first argument.
    PathInCommit,
    /// A group of the repository's config.
    ConfigGroup,
    /// A key of the repository's config: the last part if the group was given.
    ConfigKey,
    /// A key of the metadata of the commit that is the first argument.
    MetadataKey,
    /// The same of its detached metadata.
    DetachedMetadataKey,
    /// A key of the summary's metadata.
    SummaryKey,
}

/// The value of an option.
pub(super) fn of_option(line: &Line, option: &Arg) -> Value {
    let name = option
        .get_value_names()
        .and_then(|names| names.first())
        .map(AsRef::as_ref)
        .unwrap_or_default();
    match (line.command, option.get_long().unwrap_or_default()) {
        (_, "repo" | "sysroot" | "selinux-policy") => Value::Directory,
        ("find-remotes", "cache-dir") => Value::Directory,
        ("find-remotes", "finders") => Value::OneOf(&["config", "mount", "mount,config"]),
        (_, "mode") => Value::Mode,
        (_, "branch" | "bind-ref" | "only-branch") | ("refs", "create") => Value::Ref,
        (_, "base") => Value::Rev,
        (_, "parent") => Value::CommitOrNone,
        (_, "delete-commit" | "commit") => Value::Commit,
        (_, "retain-branch-depth") => Value::RefAndDepth,
        (_, "tree") if line.command == "commit" => Value::Tree,
        (_, "remote" | "gpg-verify-remote") => Value::Remote,
        (_, "fsync") => Value::OneOf(&["true", "false"]),
        ("sign", "keys-file" | "out") => Value::File,
        ("sign", "keys-dir") => Value::Directory,
        ("summary", "sign-type") => Value::OneOf(&["ed25519", "spki", "dummy", "gpg"]),
        ("static-delta apply-offline" | "static-delta verify", "keys-file") => Value::File,
        ("static-delta apply-offline" | "static-delta verify", "keys-dir") => Value::Directory,
        ("static-delta reindex", "to") => Value::Commit,
        ("static-delta generate", "from" | "to") => Value::Rev,
        ("static-delta generate", "filename" | "keys-file") => Value::File,
        ("static-delta generate", "set-endianness") => Value::OneOf(&["l", "B"]),
        (_, "sign-type") => Value::OneOf(&["ed25519", "spki", "dummy"]),
        (_, "sign-verify") => Value::OneOf(&[
            "ed25519=inline:",
            "ed25519=file:",
            "spki=inline:",
            "spki=file:",
            "dummy=inline:",
        ]),
        (_, "selinux-labeling-epoch") => Value::OneOf(&["0", "1"]),
        ("bench", "only") => Value::Step,
        ("config", "group") => Value::ConfigGroup,
        ("summary", "print-metadata-key") => Value::SummaryKey,
        (_, "print-metadata-key") => Value::MetadataKey,
        (_, "print-detached-metadata-key") => Value::DetachedMetadataKey,
        (_, "subpath") => Value::PathInCommit,
        (_, "prefix") => Value::Anything,
        _ => match name {
            "DIR" | "HOMEDIR" => Value::Directory,
            "FILE" | "PATH" => Value::File,
            _ => Value::Anything,
        },
    }
}

/// The argument at the cursor.
pub(super) fn of_argument(line: &Line) -> Value {
    match (line.command, line.arguments.len()) {
        ("cat" | "ls", 0) | ("checkout" | "export" | "log" | "show", 0) | ("rev-parse", _) => {
            Value::Rev
        }
        ("cat" | "ls", _) => Value::PathInCommit,
        ("checkout", 1) | ("commit" | "man" | "pull-local", 0) => Value::Directory,
        ("compare", 0 | 1) => Value::Directory,
        ("checksum", 0) => Value::File,
        ("create-usb", 0) => Value::Directory,
        ("completions", 0) => Value::Shell,
        ("compose publish", 0) => Value::Commit,
        ("config", 0) => Value::OneOf(&["get", "set", "unset"]),
        ("config", 1) => Value::ConfigKey,
        ("diff", 0 | 1) => Value::RevOrDirectory,
        ("pull-local", _) => Value::RefOfSource,
        ("refs", _) if line.has("create") => Value::Rev,
        ("refs", _) => Value::Ref,
        ("remote delete" | "remote show-url", 0) => Value::Remote,
        ("remote add-cookie" | "remote delete-cookie" | "remote list-cookies", 0) => Value::Remote,
        ("gpg-sign" | "sign", 0) => Value::Rev,
        ("static-delta apply-offline", 0) => Value::File,
        ("static-delta show" | "static-delta verify", 0) => Value::DeltaOrFile,
        ("static-delta delete", 0) => Value::Delta,
        ("static-delta generate", 0) => Value::Rev,
        ("reset", 0) => Value::Ref,
        ("reset", 1) => Value::Rev,
        _ => Value::Anything,
    }
}

/// The candidates for a value.
#[derive(Default)]
pub(super) struct Found {
    /// The part of the value before what is completed.
    pub(super) inner_prefix: String,
    pub(super) kind: Kind,
    pub(super) candidates: Vec<(String, String)>,
}

/// The most commits offered when nothing has been typed.
const MOST_COMMITS: usize = 100;

/// The candidates for the value typed so far. A repository that cannot be read has none.
pub(super) fn find(value: Value, typed: &str, line: &Line) -> Found {
    let open = || context::open_named(line.repo().as_deref().map(OsStr::new));
    let rev = || line.arguments.first().map(String::as_str).unwrap_or_default();
    let plain = |result: Result<Vec<(String, String)>, Failure>| Found {
        candidates: result.unwrap_or_default(),
        ..Found::default()
    };
    let with_kind = |kind| Found { kind, ..Found::default() };
    match value {
        Value::Anything => Found::default(),
        Value::File => with_kind(Kind::Files),
        Value::Directory => with_kind(Kind::Directories),
        Value::OneOf(words) => plain(Ok(bare(words.iter().copied()))),
        Value::Mode => plain(Ok(modes())),
        #[cfg(feature = "bench")]
        Value::Step => {
            plain(Ok(osier::bench::STEPS.iter().map(|step| pair(step.name, step.title)).collect()))
        }
        #[cfg(not(feature = "bench"))]
        Value::Step => Found::default(),
        Value::Shell => plain(Ok(bare(super::shells()))),
        Value::Ref => plain(open().and_then(|repo| refs(&repo))),
        Value::Rev => plain(open().and_then(|repo| revs(&repo, typed))),
        Value::RevOrDirectory => {
            Found { kind: Kind::Directories, ..plain(open().and_then(|repo| revs(&repo, typed))) }
        }
        Value::Commit => plain(open().and_then(|repo| commits(&repo, typed))),
        Value::CommitOrNone => {
            let mut found = plain(open().and_then(|repo| commits(&repo, typed)));
            found.candidates.push(pair("none", "no parent"));
            found
        }
        Value::RefAndDepth => {
            let mut found = plain(open().and_then(|repo| refs(&repo)));
            found.candidates.iter_mut().for_each(|(name, _)| name.push('='));
            found
        }
        Value::RefOfSource => {
            let source = line.arguments.first().map(|path| expanded(path)).unwrap_or_default();
            plain(context::open_named(Some(source.as_ref())).and_then(|repo| refs(&repo)))
        }
        Value::Delta => plain(open().and_then(|repo| deltas(&repo))),
        Value::DeltaOrFile => {
            Found { kind: Kind::Files, ..plain(open().and_then(|repo| deltas(&repo))) }
        }
        Value::Remote => plain(open().and_then(|repo| Ok(bare(remote::names(&repo)?)))),
        Value::Tree => tree(typed, line),
        Value::PathInCommit => plain(open().and_then(|repo| paths(&repo, rev(), typed))),
        Value::ConfigGroup => plain(open().map(|repo| bare(config_groups(&repo)))),
        Value::ConfigKey => plain(open().map(|repo| config_keys(&repo, line.value("group")))),
        Value::MetadataKey => plain(open().and_then(|repo| {
            let commits = commits_meant(&repo, rev())?;
            let metadata = commits.iter().map(|commit| Ok(repo.load_commit(commit)?.metadata));
            metadata_keys(metadata)
        })),
        Value::DetachedMetadataKey => plain(open().and_then(|repo| {
            let commits = commits_meant(&repo, rev())?;
            let metadata = commits
                .iter()
                .map(|commit| Ok(repo.load_detached_metadata(commit)?.unwrap_or_default()));
            metadata_keys(metadata)
        })),
        Value::SummaryKey => plain(open().and_then(|repo| {
            let summary = osier::summary::store::load(&repo)?;
            metadata_keys([Ok(summary.metadata)].into_iter())
        })),
    }
}

fn pair(text: impl Into<String>, about: &str) -> (String, String) {
    (text.into(), about.to_owned())
}

fn bare(texts: impl IntoIterator<Item = impl Into<String>>) -> Vec<(String, String)> {
    texts.into_iter().map(|text| pair(text, "")).collect()
}

/// The modes in which repositories are made.
fn modes() -> Vec<(String, String)> {
    let modes = [
        (RepoMode::Archive, "compressed files, to be served"),
        (RepoMode::Bare, "files with owners and xattrs, as root"),
        (RepoMode::BareUser, "owners and xattrs are recorded beside the content"),
        (RepoMode::BareUserOnly, "neither owners nor xattrs"),
    ];
    modes.iter().map(|(mode, about)| pair(mode_name(*mode), about)).collect()
}

/// A mode as in `init --mode`, where `archive-z2` has a shorter name.
fn mode_name(mode: RepoMode) -> &'static str {
    match mode {
        RepoMode::Archive => "archive",
        other => other.as_str(),
    }
}

fn deltas(repo: &Repo) -> Result<Vec<(String, String)>, Failure> {
    let names = osier::repo::deltas::list(repo)?;
    Ok(bare(names.into_iter().map(|name| name.to_string())))
}

fn refs(repo: &Repo) -> Result<Vec<(String, String)>, Failure> {
    Ok(bare(repo.list_ref_names(None, ListRefs::Full)?.iter().map(ToString::to_string)))
}

/// Refs, and commits once a part of one was typed.
fn revs(repo: &Repo, typed: &str) -> Result<Vec<(String, String)>, Failure> {
    if let Some(ancestors) = ancestors(repo, typed) {
        return Ok(ancestors);
    }
    let mut found = refs(repo)?;
    if !typed.is_empty() {
        found.extend(commits(repo, typed)?);
    }
    Ok(found)
}

/// For `REV^`: itself, and its parent if it has one.
fn ancestors(repo: &Repo, typed: &str) -> Option<Vec<(String, String)>> {
    if !typed.ends_with('^') {
        return None;
    }
    let about = |rev: &str| -> Option<(String, String)> {
        let commit = repo.load_commit(&repo.resolve_rev(rev).ok()?).ok()?;
        Some((rev.to_owned(), first_line(&commit.subject)))
    };
    Some([about(typed), about(&format!("{typed}^"))].into_iter().flatten().collect())
}

/// The commit of a rev that was typed; without one, those of all refs.
fn commits_meant(repo: &Repo, rev: &str) -> Result<Vec<Checksum>, Failure> {
    if !rev.is_empty() {
        return Ok(vec![repo.resolve_rev(rev)?]);
    }
    let mut commits: Vec<Checksum> =
        repo.list_refs(None, ListRefs::Full)?.into_iter().map(|(_, commit)| commit).collect();
    commits.sort_unstable();
    commits.dedup();
    commits.truncate(MOST_COMMITS);
    Ok(commits)
}

/// The keys of dictionaries, each once.
fn metadata_keys(
    dictionaries: impl Iterator<Item = Result<Dict, Failure>>,
) -> Result<Vec<(String, String)>, Failure> {
    let mut keys = BTreeSet::new();
    for dictionary in dictionaries {
        keys.extend(dictionary?.iter().map(|(key, _)| key.to_owned()));
    }
    Ok(bare(keys))
}

/// Commits with their subjects.
fn commits(repo: &Repo, typed: &str) -> Result<Vec<(String, String)>, Failure> {
    if !typed.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Ok(Vec::new());
    }
    let mut commits = repo.list_commits_starting_with(typed)?;
    commits.truncate(MOST_COMMITS);
    let about = |commit: &Checksum| {
        repo.load_commit(commit).map(|commit| first_line(&commit.subject)).unwrap_or_default()
    };
    Ok(commits.iter().map(|commit| (commit.to_hex(), about(commit))).collect())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().replace(char::is_control, " ")
}

fn tree(typed: &str, line: &Line) -> Found {
    let inside = |prefix: &str, found: Found| Found {
        inner_prefix: format!("{prefix}{}", found.inner_prefix),
        ..found
    };
    match typed.split_once('=') {
        Some(("dir", path)) => inside("dir=", find(Value::Directory, path, line)),
        Some(("tar", path)) => inside("tar=", find(Value::File, path, line)),
        Some(("ref", rev)) => inside("ref=", find(Value::Rev, rev, line)),
        _ => {
            let kinds = [("dir=", "a directory"), ("tar=", "an archive"), ("ref=", "a commit")];
            Found {
                candidates: kinds.iter().map(|(kind, about)| pair(*kind, about)).collect(),
                ..Found::default()
            }
        }
    }
}

/// The entries of the directory that was typed, with a slash after directories.
fn paths(repo: &Repo, rev: &str, typed: &str) -> Result<Vec<(String, String)>, Failure> {
    let directory = typed.rfind('/').map_or("", |end| &typed[..=end]);
    let commit = repo.load_commit(&repo.resolve_rev(rev)?)?;
    let place =
        tree::lookup(repo, &Node::root_of(&commit), &format!("/{}", directory.trim_matches('/')))?;
    let Node::Directory { dirtree, .. } = place.node else { return Ok(Vec::new()) };
    let dirtree = repo.load_dirtree(&dirtree)?;
    // Relative paths start at the root, but people type the slash.
    let start = if typed.is_empty() { "/" } else { directory };
    let dirs = dirtree.dirs.iter().map(|dir| pair(format!("{start}{}/", dir.name), ""));
    let files = dirtree.files.iter().map(|(name, _)| pair(format!("{start}{name}"), ""));
    Ok(dirs.chain(files).collect())
}

fn config_groups(repo: &Repo) -> Vec<String> {
    repo.config().keyfile.groups().map(str::to_owned).collect()
}

fn config_keys(repo: &Repo, group: Option<&str>) -> Vec<(String, String)> {
    let config = repo.config();
    let keyfile = &config.keyfile;
    match group {
        Some(group) => bare(keyfile.keys(group).map(str::to_owned)),
        // A group with a dot in its name cannot be given that way.
        None => {
            let groups = keyfile.groups().filter(|group| !group.contains('.'));
            bare(
                groups
                    .flat_map(|group| keyfile.keys(group).map(move |key| format!("{group}.{key}"))),
            )
        }
    }
}
