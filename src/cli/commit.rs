//! `commit`: makes a commit of directories, tar archives and other commits.

use std::path::PathBuf;

use super::context::Context;
use super::editor;
use super::error::Failure;
use super::options::{integer, path};
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
    /// Add a key/value pair to metadata, where the KEY is a string, and VALUE is in GVariant Text Format
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
    #[arg(value_parser = path())]
    paths: Vec<PathBuf>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    context.open_writable_repo()?;
    let _ = (args, editor::edit_message);
    Err(Failure::failed("commit: not supported yet"))
}
