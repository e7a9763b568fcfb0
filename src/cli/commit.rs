//! `commit`: makes a commit of directories, tar archives and other commits.

use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Zoned;
use osier::commit::{
    Bindings, CommitOptions, CommitOutcome, Description, HardLinks, Parent, Reading, Source,
    StatCacheOptions, TarOptions, commit,
};
use osier::error::During;
use osier::gvariant::{Dict, Value};
use osier::labels::{Epoch, Policy};
use osier::refspec::Refspec;
use osier::repo::{OpenOptions, Repo};
use osier::source::{Modifier, SkipList, StatOverride};
use osier::{Checksum, date, input, keyfile};
use serde_json::json;

use super::clock;
use super::context::{self, Context};
use super::editor::{self, Message};
use super::error::Failure;
use super::json;
use super::options::{OWN_OPTIONS, integer, path};
use super::output::Output;
use super::signing::Signing;
use super::values;

/// The options of `commit`, in the order of its help.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Parent commit checksum, or "none"
    #[arg(long, value_name = "COMMIT")]
    parent: Option<String>,
    /// One line subject
    #[arg(short, long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Full description
    #[arg(short = 'm', long, value_name = "BODY")]
    body: Option<String>,
    /// Commit message from FILE path
    #[arg(short = 'F', long, value_name = "FILE", value_parser = path())]
    body_file: Option<PathBuf>,
    /// Use an editor to write the commit message
    #[arg(short, long)]
    editor: bool,
    /// Branch
    #[arg(short, long, value_name = "BRANCH")]
    branch: Option<String>,
    /// Create a commit without writing a ref
    #[arg(long)]
    orphan: bool,
    /// Do not write any ref bindings
    #[arg(long)]
    no_bindings: bool,
    /// Add a ref to ref binding commit metadata
    #[arg(long, value_name = "BRANCH")]
    bind_ref: Vec<String>,
    /// Start from the given commit as a base (no modifiers apply)
    #[arg(long, value_name = "REV")]
    base: Option<String>,
    /// Overlay the given argument as a tree
    #[arg(long, value_name = "dir=PATH or tar=TARFILE or ref=COMMIT")]
    tree: Vec<String>,
    /// Add a key/value pair to metadata
    #[arg(long, value_name = "KEY=VALUE")]
    add_metadata_string: Vec<String>,
    /// Add a key/value pair to metadata, where the KEY is a string, and VALUE is in GVariant Text
    /// Format
    #[arg(long, value_name = "KEY=VALUE")]
    add_metadata: Vec<String>,
    /// Keep metadata KEY and its associated VALUE from parent
    #[arg(long, value_name = "KEY")]
    keep_metadata: Vec<String>,
    /// Add a key/value pair to detached metadata
    #[arg(long, value_name = "KEY=VALUE")]
    add_detached_metadata_string: Vec<String>,
    /// Set file ownership user id
    #[arg(long, value_name = "UID", value_parser = integer)]
    owner_uid: Option<i32>,
    /// Set file ownership group id
    #[arg(long, value_name = "GID", value_parser = integer)]
    owner_gid: Option<i32>,
    /// Canonicalize permissions in the same way bare-user does for hardlinked files
    #[arg(long)]
    canonical_permissions: bool,
    /// Flag this commit as a bootable OSTree (e.g. contains a Linux kernel)
    #[arg(long)]
    bootable: bool,
    /// Ensure executable files are not writable
    #[arg(long)]
    mode_ro_executables: bool,
    /// Do not import extended attributes
    #[arg(long)]
    no_xattrs: bool,
    /// Set SELinux labels based on policy in root filesystem PATH (may be /)
    #[arg(long, value_name = "PATH", value_parser = path())]
    selinux_policy: Option<PathBuf>,
    /// Set SELinux labels based on first --tree argument
    #[arg(short = 'P', long)]
    selinux_policy_from_base: bool,
    /// Label as in the given epoch: from 1 on, /usr/etc is labeled as /etc
    #[arg(long, value_name = "EPOCH", value_parser = integer)]
    selinux_labeling_epoch: Option<i32>,
    /// Optimize for commits of trees composed of hardlinks into the repository
    #[arg(long)]
    link_checkout_speedup: bool,
    /// Assume hardlinked objects are unmodified.  Implies --link-checkout-speedup
    #[arg(short = 'I', long)]
    devino_canonical: bool,
    /// When loading tar archives, automatically create parent directories as needed
    #[arg(long)]
    tar_autocreate_parents: bool,
    /// When loading tar archives, use REGEX,REPLACEMENT against path names
    #[arg(long, value_name = "REGEX,REPLACEMENT")]
    tar_pathname_filter: Option<String>,
    /// If the contents are unchanged from previous commit, do nothing
    #[arg(long)]
    skip_if_unchanged: bool,
    /// File containing list of modifications to make to permissions
    #[arg(long, value_name = "PATH", value_parser = path())]
    statoverride: Option<PathBuf>,
    /// File containing list of files to skip
    #[arg(long, value_name = "PATH", value_parser = path())]
    skip_list: Option<PathBuf>,
    /// Consume (delete) content after commit (for local directories)
    #[arg(long)]
    consume: bool,
    /// Output more information in a KEY: VALUE format
    #[arg(long)]
    table_output: bool,
    /// GPG Key ID to sign the commit with
    #[arg(long, value_name = "KEY-ID")]
    gpg_sign: Vec<String>,
    /// GPG Homedir to use when looking for keyrings
    #[arg(long, value_name = "HOMEDIR")]
    gpg_homedir: Option<String>,
    /// Sign the commit with
    #[arg(long, value_name = "KEY_ID")]
    sign: Vec<String>,
    /// Sign the commit with each key of a file
    #[arg(long, value_name = "PATH", value_parser = path())]
    sign_from_file: Vec<PathBuf>,
    /// Signature type to use (defaults to 'ed25519')
    #[arg(long, value_name = "NAME")]
    sign_type: Option<String>,
    /// Generate size information along with commit metadata
    #[arg(long)]
    generate_sizes: bool,
    /// Add the digest of the commit's composefs image to its metadata
    #[arg(long)]
    generate_composefs_metadata: bool,
    #[arg(long, hide = true)]
    disable_fsync: bool,
    /// Specify how to invoke fsync()
    #[arg(long, value_name = "POLICY", value_parser = values::fsync_policy)]
    fsync: Option<bool>,
    /// Override the timestamp of the commit
    #[arg(long, value_name = "TIMESTAMP")]
    timestamp: Option<String>,
    /// Do not read files again that have not changed since a commit with this option; FILE
    /// remembers them (default: tmp/cache/stat-cache in the repository)
    #[arg(long, value_name = "FILE", require_equals = true, value_parser = path(), help_heading = OWN_OPTIONS)]
    stat_cache: Option<Option<PathBuf>>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    #[arg(value_parser = path())]
    paths: Vec<PathBuf>,
}

pub(super) fn run(mut args: Args, context: &mut Context) -> Result<(), Failure> {
    let disable_fsync = args.disable_fsync || args.fsync == Some(false);
    let repo =
        context.open_repo_with(&OpenOptions { disable_fsync, ..context::open_options()? })?;
    repo.check_writable()?;
    let with_table = mem::take(&mut args.table_output);
    let json = mem::take(&mut args.json);
    let options = into_options(args, &repo)?;
    let outcome = commit(&repo, &options, &context.transaction_progress(&repo, json))?;
    if json {
        return json::print(&document(&repo, options.branch.as_ref(), &outcome)?, &context.out);
    }
    match with_table {
        true => print_table(&outcome, &context.out),
        false => writeln!(context.out, "{}", outcome.commit),
    }
}

/// Converts the options, checking them in the order of ostree.
fn into_options(args: Args, repo: &Repo) -> Result<CommitOptions, Failure> {
    let Args {
        parent,
        subject,
        body,
        body_file,
        editor,
        branch,
        orphan,
        no_bindings,
        bind_ref,
        base,
        tree,
        add_metadata_string,
        add_metadata,
        keep_metadata,
        add_detached_metadata_string,
        owner_uid,
        owner_gid,
        canonical_permissions,
        bootable,
        mode_ro_executables,
        no_xattrs,
        link_checkout_speedup,
        devino_canonical,
        tar_autocreate_parents,
        tar_pathname_filter,
        skip_if_unchanged,
        statoverride,
        skip_list,
        consume,
        generate_sizes,
        generate_composefs_metadata,
        timestamp,
        stat_cache,
        paths,
        selinux_policy,
        selinux_policy_from_base,
        selinux_labeling_epoch,
        table_output: _,
        json: _,
        disable_fsync: _,
        fsync: _,
        gpg_sign,
        gpg_homedir,
        sign,
        sign_from_file,
        sign_type,
    } = args;
    let signing = Signing { gpg_sign, gpg_homedir, sign, sign_from_file, sign_type };
    let statoverride = statoverride.map(|path| StatOverride::read(&path)).transpose()?;
    let skip_list = skip_list.map(|path| SkipList::read(&path)).transpose()?;
    if branch.is_none() && !orphan {
        return Err(Failure::failed("A branch must be specified with --branch, or use --orphan"));
    }
    let parent = match parent {
        Some(text) => parse_parent(&text)?,
        // An orphan may have a branch: it starts a new history.
        None if orphan => Parent::None,
        None => Parent::OfBranch,
    };
    let target = branch.as_deref().map(Refspec::parse).transpose().map_err(failure)?;
    let mut metadata = Vec::new();
    for text in &add_metadata_string {
        let (key, value) = values::key_value(text)?;
        metadata.push((key.to_owned(), Value::string(value)));
    }
    for text in &add_metadata {
        let (key, value) = values::key_variant(text)?;
        metadata.push((key.to_owned(), value));
    }
    let mut detached_metadata = Dict::new();
    for text in &add_detached_metadata_string {
        let (key, value) = values::key_value(text)?;
        detached_metadata.push(key, Value::string(value));
    }
    for (option, id) in [("--owner-uid", owner_uid), ("--owner-gid", owner_gid)] {
        if canonical_permissions && id.is_some_and(|id| id > 0) {
            let message =
                format!("Cannot specify both --canonical-permissions and non-zero {option}");
            return Err(Failure::failed(message));
        }
    }
    if selinux_policy.is_some() && selinux_policy_from_base {
        return Err(Failure::failed(
            "Cannot specify both --selinux-policy and --selinux-policy-from-base",
        ));
    }
    let epoch = labeling_epoch(selinux_labeling_epoch)?;
    let message = match (editor, body_file) {
        (true, _) => editor::edit_message(branch.as_deref(), subject.as_deref())?,
        (false, Some(path)) => {
            Message { subject: subject.unwrap_or_default(), body: read_text(&path)? }
        }
        (false, None) => {
            Message { subject: subject.unwrap_or_default(), body: body.unwrap_or_default() }
        }
    };
    let policy = selinux_policy.map(|root| Policy::open(&root)).transpose()?.flatten();
    let base = base.map(|rev| repo.resolve_rev(&rev)).transpose()?;
    let tar = TarOptions {
        autocreate_parents: tar_autocreate_parents,
        pathname_filter: tar_pathname_filter,
    };
    let sources = match tree.is_empty() {
        true => {
            vec![Source::Directory(paths.into_iter().next().unwrap_or_else(|| PathBuf::from(".")))]
        }
        false => {
            tree.iter().map(|text| parse_source(text, &tar, repo)).collect::<Result<_, _>>()?
        }
    };
    let policy = if selinux_policy_from_base {
        policy_of_base(repo, base.as_ref(), &sources)?
    } else {
        policy
    };
    Ok(CommitOptions {
        branch: target,
        parent,
        base,
        sources,
        modifier: Modifier {
            // Negative numbers mean none.
            owner_uid: owner_uid.and_then(|id| u32::try_from(id).ok()),
            owner_gid: owner_gid.and_then(|id| u32::try_from(id).ok()),
            canonical_permissions,
            mode_ro_executables,
            no_xattrs,
            statoverride,
            skip_list,
        },
        selinux_policy: policy.map(|policy| Arc::new(policy.with_epoch(epoch))),
        reading: Reading {
            hard_links: match (devino_canonical, link_checkout_speedup) {
                (true, _) => HardLinks::Trust,
                (false, true) => HardLinks::Compare,
                (false, false) => HardLinks::Read,
            },
            consume,
            generate_sizes,
            stat_cache: stat_cache.map(stat_cache_options).transpose()?,
        },
        description: Description {
            subject: message.subject,
            body: message.body,
            timestamp: commit_time(timestamp.as_deref())?,
            metadata,
            keep_metadata,
            detached_metadata,
            bindings: if no_bindings { Bindings::None } else { Bindings::Refs(bind_ref) },
            bootable,
            composefs_digest: generate_composefs_metadata,
        },
        skip_if_unchanged,
        signers: signing.of_commit()?,
    })
}

fn stat_cache_options(file: Option<PathBuf>) -> Result<StatCacheOptions, Failure> {
    match file {
        Some(file) if file.file_name().is_none() => {
            Err(Failure::failed("--stat-cache= must name a file"))
        }
        file => Ok(StatCacheOptions { file, ..StatCacheOptions::default() }),
    }
}

fn labeling_epoch(number: Option<i32>) -> Result<Epoch, Failure> {
    match number {
        None | Some(0) => Ok(Epoch::Zero),
        Some(1) => Ok(Epoch::One),
        Some(other) => Err(Failure::failed(format!("Unknown SELinux labeling epoch: {other}"))),
    }
}

/// The policy of the base, or else of the first tree.
fn policy_of_base(
    repo: &Repo,
    base: Option<&Checksum>,
    sources: &[Source],
) -> Result<Option<Policy>, Failure> {
    Ok(match (base, sources.first()) {
        (Some(commit), _) | (None, Some(Source::Commit(commit))) => {
            Policy::of_commit(repo, commit)?
        }
        (None, Some(Source::Directory(path))) => Policy::open(path)?,
        (None, Some(Source::Tar(..))) => {
            return Err(Failure::failed("Cannot use --selinux-policy-from-base with tar"));
        }
        (None, None | Some(Source::Memory(_))) => None,
    })
}

fn parse_parent(text: &str) -> Result<Parent, Failure> {
    match (text, text.parse()) {
        ("none", _) => Ok(Parent::None),
        (_, Ok(commit)) => Ok(Parent::Commit(commit)),
        (_, Err(_)) => Err(Failure::failed(format!("Invalid rev {text}"))),
    }
}

/// `dir=PATH`, `tar=FILE` or `ref=REV`.
fn parse_source(text: &str, tar: &TarOptions, repo: &Repo) -> Result<Source, Failure> {
    match text.split_once('=') {
        Some(("dir", path)) => Ok(Source::Directory(path.into())),
        Some(("tar", "-")) => Ok(Source::Tar(None, tar.clone())),
        Some(("tar", path)) => Ok(Source::Tar(Some(path.into()), tar.clone())),
        Some(("ref", rev)) => Ok(Source::Commit(repo.resolve_rev(rev)?)),
        Some((kind, _)) => {
            Err(Failure::failed(format!("Invalid tree type specification '{kind}'")))
        }
        None => Err(Failure::failed(format!("Missing type in tree specification '{text}'"))),
    }
}

/// The file with the body of the commit message.
fn read_text(path: &Path) -> Result<String, Failure> {
    let bytes = input::read_named(path).calling("openat", path)?;
    Ok(keyfile::text_of(&bytes).map_err(failure)?.to_owned())
}

/// Seconds since 1970: as given by the user, else by the environment, else now. Earlier times wrap
/// around, as upstream.
fn commit_time(timestamp: Option<&str>) -> Result<u64, Failure> {
    match timestamp {
        Some(text) => Ok(date::parse(text, &Zoned::now()).map_err(failure)?.cast_unsigned()),
        None => clock::commit_time(),
    }
}

fn failure(error: impl ToString) -> Failure {
    Failure::failed(error.to_string())
}

/// The outcome as JSON. For a skipped commit it is not known what would have been written.
fn document(
    repo: &Repo,
    branch: Option<&Refspec>,
    outcome: &CommitOutcome,
) -> Result<serde_json::Value, Failure> {
    let CommitOutcome { commit, skipped, stats, stat_cache } = outcome;
    let parent = repo.load_commit(commit)?.parent;
    let statistics = json!({
        "metadata_objects_total": stats.metadata_objects_total,
        "metadata_objects_written": stats.metadata_objects_written,
        "content_objects_total": stats.content_objects_total,
        "content_objects_written": stats.content_objects_written,
        "content_bytes_written": stats.content_bytes_written,
        "devino_cache_hits": stats.devino_cache_hits,
        "stat_cache_hits": stat_cache.as_ref().map(|stat_cache| stat_cache.hits),
    });
    Ok(json!({
        "commit": commit.to_hex(),
        "parent": parent.as_ref().map(Checksum::to_hex),
        "ref": branch.map(ToString::to_string),
        "skipped": skipped,
        "statistics": if *skipped { None } else { Some(statistics) },
    }))
}

fn print_table(outcome: &CommitOutcome, out: &Output) -> Result<(), Failure> {
    let CommitOutcome { commit, skipped: _, stats, stat_cache } = outcome;
    writeln!(out, "Commit: {commit}")?;
    writeln!(out, "Metadata Total: {}", stats.metadata_objects_total)?;
    writeln!(out, "Metadata Written: {}", stats.metadata_objects_written)?;
    writeln!(out, "Content Total: {}", stats.content_objects_total)?;
    writeln!(out, "Content Written: {}", stats.content_objects_written)?;
    writeln!(out, "Content Cache Hits: {}", stats.devino_cache_hits)?;
    writeln!(out, "Content Bytes Written: {}", stats.content_bytes_written)?;
    // A line that ostree does not print is only printed for an option that ostree does not have.
    match stat_cache {
        Some(stat_cache) => writeln!(out, "Stat Cache Hits: {}", stat_cache.hits),
        None => Ok(()),
    }
}
