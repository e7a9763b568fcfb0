//! The state shared by the parts of a checkout.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use super::CheckoutOptions;
use crate::checksum::Checksum;
use crate::object::DirMeta;
use crate::progress::Progress;
use crate::repo::tree::TreePath;
use crate::repo::{Repo, RepoMode};

/// A running checkout.
pub(super) struct Checkout<'c> {
    pub(super) repo: &'c Repo,
    pub(super) options: &'c CheckoutOptions,
    pub(super) progress: &'c dyn Progress,
    /// The commit's owners and xattrs are not set. Repositories that keep neither always work this
    /// way.
    pub(super) user_mode: bool,
    pub(super) skipped: HashSet<&'c str>,
    /// What SELinux labels go by before the path from the root of the checkout, if any are to be
    /// set.
    pub(super) label_prefix: Option<String>,
    /// Most directories of a tree share a few dirmeta objects.
    pub(super) dirmetas: Mutex<HashMap<Checksum, Arc<DirMeta>>>,
    /// Whether it is worth asking the file system to share blocks.
    pub(super) may_reflink: AtomicBool,
    pub(super) counters: Counters,
}

impl<'c> Checkout<'c> {
    pub(super) fn new(
        repo: &'c Repo,
        options: &'c CheckoutOptions,
        progress: &'c dyn Progress,
    ) -> Self {
        Self {
            repo,
            options,
            progress,
            user_mode: options.user_mode || repo.mode() == RepoMode::BareUserOnly,
            skipped: options
                .skip_list
                .iter()
                .flat_map(|list| list.paths())
                .map(String::as_str)
                .collect(),
            label_prefix: None,
            dirmetas: Mutex::default(),
            may_reflink: AtomicBool::new(true),
            counters: Counters::default(),
        }
    }
}

/// Counts of what was done so far.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) linked: AtomicU64,
    pub(super) copied: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// A directory that files are put into.
pub(super) struct Target {
    pub(super) dir: File,
    /// Whether this checkout created it. Then no one else is reading it yet, and no names are
    /// taken.
    pub(super) is_new: bool,
    /// From the directory that is checked out.
    pub(super) path: TreePath,
}
