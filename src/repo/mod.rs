//! The repository on disk.
//!
//! [`Repo`] opens, reads, writes, lists and moves refs; everything else is a free function that
//! takes one. The layout is in docs/format.md, section 3:
//!
//! ```text
//! config                        see `config`, `edit_config`, `create`
//! .lock                         see `lock`
//! objects/XX/YY....EXT          see `read::objects`, `read::file`; written through a `write::transaction`
//! refs/heads, remotes, mirrors  see `refs`
//! deltas, delta-indexes         see `deltas`
//! state/HEX.commitpartial       see `state`
//! tmp/                          see `write::staging`, `write::temporary`
//! summary                       see `crate::summary`
//! ```
//!
//! | folder | files |
//! | --- | --- |
//! | here | `config`, `edit_config`, `create`, `deltas` (names, digests, the index), `fan_out` (`objects/XX`), `lock`, `mode`, `state` (partial commits), `tombstones` |
//! | `read` | objects: `objects`, `file`, `bare`, `verified`, `xattrs`, `identity` (inodes), `presence` (a cache) |
//! | | commits: `tree` (paths in one), `walk` (in order), `reachable` (in parallel), `count`, `read_file` |
//! | `write` | a transaction: `transaction`, `staging`, `temporary`, `content`, `adopt`, `space`, `flush`, `view` |
//! | | of it: `expected` (under known names), `mark` (of unfinished files), `bare` (metadata of files), `encoders`, `pool`, `sizes`, `ref_updates` |
//! | | else: `replace` (whole files) |
//! | `refs` | `list`, `write`, `revs` (resolving what users type for a commit) |

mod config;
mod create;
pub mod deltas;
mod edit_config;
mod fan_out;
mod lock;
mod mode;
mod read;
mod refs;
mod state;
mod tombstones;
mod write;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustix::fs::{Access, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::deflate::Encoding;
use crate::dir::{self, Dir};
use crate::error::{Context, During, Error, Result};
use crate::input;
use crate::keyfile::KeyFile;
use crate::refspec::CollectionId;

use fan_out::FanOuts;

pub use config::{Config, MinFreeSpace};
pub use edit_config::ConfigEdit;
#[cfg(feature = "compose")]
pub(crate) use lock::try_lock;
pub use lock::{LockKind, RepoLock, UpdateLock};
pub use mode::RepoMode;
pub(crate) use read::count::count_files;
pub use read::file::FileObject;
pub(crate) use read::identity::UNCOMPRESSED_CACHE;
pub(crate) use read::objects::{MAX_METADATA_SIZE, loose_path};
pub use read::reachable::{AtHole, Holes, NO_VISITOR, ObjectSet, Reading, Walk};
pub use read::read_file::{FileContent, FileReader, read_file};
pub(crate) use read::verified::verify_metadata;
pub use read::xattrs::{read_xattrs, read_xattrs_at};
pub use read::{tree, walk};
pub use refs::list::{ListRefs, RefFile};
pub use refs::revs::Ancestry;
pub use state::CommitState;
pub use write::adopt::Adoptable;
pub(crate) use write::bare::check_user_only_mode;
pub use write::content::{ContentWriter, SourceFile};
pub use write::expected::Trust;
pub(crate) use write::replace::{Replacement, random_letters};
pub(crate) use write::space::Room;
pub use write::transaction::{Transaction, TransactionStats};

/// An open repository.
#[derive(Debug)]
pub struct Repo {
    dir: File,
    objects: File,
    fan_outs: FanOuts,
    /// Opened on first use, and the same directory from then on.
    tmp: OnceLock<Dir>,
    path: PathBuf,
    mode: RepoMode,
    /// As last read: when the repository was opened, or by an edit.
    config: RwLock<Arc<Config>>,
    parent: Option<Box<Repo>>,
    writable: bool,
    options: OpenOptions,
    lock_stack: lock::LockStack,
}

/// Settings that a program takes from its environment for the repositories it opens.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Used in the names of staging directories; the kernel's boot id if absent.
    pub boot_id: Option<String>,
    /// Do not create `tmp/cache`.
    pub skip_cache: bool,
    /// Write bare-split-xattrs repositories in upstream's experimental, incomplete way instead of
    /// refusing.
    pub write_bare_split_xattrs: bool,
    /// Fail just before a transaction is committed, as upstream's test suite requires.
    pub fail_before_commit: bool,
    /// Refuse a cached summary that is not valid instead of fetching it again, for tests.
    pub refuse_invalid_cache: bool,
    /// Sync nothing, as with `core.fsync=false`.
    pub disable_fsync: bool,
    /// Sync each file object by itself, as with `core.per-object-fsync=true`.
    pub per_object_fsync: bool,
    /// How file objects are compressed, overriding `archive.deflate`.
    pub deflate: Option<Encoding>,
}

/// How many parents of parents are followed, which stops a repository that is its own ancestor.
const MAX_PARENT_DEPTH: usize = 32;

/// The directories in which entries are removed and replaced.
const OWN_DIRECTORIES: [&str; 9] = [
    "objects",
    "refs",
    "refs/heads",
    "refs/remotes",
    "refs/mirrors",
    "state",
    "tmp",
    "deltas",
    "delta-indexes",
];

/// The largest `config` that is read, in bytes.
const MAX_CONFIG_SIZE: u64 = 16 << 20;

impl Repo {
    /// Opens the repository at `path`.
    ///
    /// # Errors
    /// When it is missing, or its `config` is unusable; the error starts with `opening repo`.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &OpenOptions::default())
    }

    /// Opens the repository at `path` with settings from the environment.
    ///
    /// # Errors
    /// As [`Repo::open`].
    pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Self> {
        Self::open_at_depth(path, options, 0)
    }

    fn open_at_depth(path: &Path, options: &OpenOptions, depth: usize) -> Result<Self> {
        let opened = || {
            let dir = Dir::open(path).calling("opendir", path)?;
            Self::open_inner(dir.into(), path, options, depth)
        };
        opened().context(|| "opening repo".to_owned())
    }

    /// The repository in a directory that was opened by that path.
    pub(crate) fn open_in(dir: Dir, path: &Path, options: &OpenOptions) -> Result<Self> {
        Self::open_inner(dir.into(), path, options, 0).context(|| "opening repo".to_owned())
    }

    fn open_inner(dir: File, path: &Path, options: &OpenOptions, depth: usize) -> Result<Self> {
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let objects = rustix::fs::openat(&dir, "objects", directory, Mode::empty())
            .calling("opendir", "objects")?;
        fan_out::make_room(objects.as_fd());
        let config = Config::from_keyfile(read_config(&dir)?)?.with(options);
        let parent = match &config.parent {
            None => None,
            Some(parent) if depth >= MAX_PARENT_DEPTH => {
                let message =
                    format!("too many parent repositories, the last is '{}'", parent.display());
                return Err(Error::failed(message));
            }
            Some(parent) => {
                let repo = Self::open_at_depth(parent, options, depth + 1).context(|| {
                    format!("While checking parent repository '{}'", parent.display())
                })?;
                Some(Box::new(repo))
            }
        };
        let writable =
            rustix::fs::accessat(&objects, ".", Access::WRITE_OK, AtFlags::EACCESS).is_ok();
        let repo = Self {
            dir,
            objects: objects.into(),
            fan_outs: FanOuts::default(),
            tmp: OnceLock::new(),
            path: path.to_owned(),
            mode: config.mode,
            config: RwLock::new(Arc::new(config)),
            parent,
            writable,
            options: options.clone(),
            lock_stack: lock::LockStack::default(),
        };
        if writable {
            repo.ensure_directory("tmp")?;
            if !options.skip_cache {
                repo.ensure_directory("tmp/cache")?;
            }
        }
        Ok(repo)
    }

    /// The path that the repository was opened at.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The repository's directory.
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// The `objects` directory.
    pub(crate) fn objects_dir(&self) -> BorrowedFd<'_> {
        self.objects.as_fd()
    }

    /// How file objects are stored.
    pub fn mode(&self) -> RepoMode {
        self.mode
    }

    /// The `config` as of opening the repository, or of the last edit by this process.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The parent repository, if there is one.
    pub fn parent(&self) -> Option<&Repo> {
        self.parent.as_deref()
    }

    /// The collection that the repository's own refs belong to.
    pub fn collection_id(&self) -> Option<CollectionId> {
        self.config().collection_id.clone()
    }

    /// Whether permissions allow writing objects.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// The environment settings that the repository was opened with.
    pub fn options(&self) -> &OpenOptions {
        &self.options
    }

    /// # Errors
    /// The operating system's error when `objects` cannot be written to.
    pub fn check_writable(&self) -> Result<()> {
        rustix::fs::accessat(&self.objects, ".", Access::WRITE_OK, AtFlags::EACCESS)
            .during("Cannot write to repository:", self.path.join("objects"))
    }

    /// Refuses a repository in which a directory that files are removed from is a link, because the
    /// target may not belong to the repository.
    pub(crate) fn refuse_links(&self) -> Result<()> {
        for name in OWN_DIRECTORIES {
            let is_link = dir::stat(&self.dir, name)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
            if is_link {
                let path = self.path.join(name);
                return Err(Error::failed(format!("{} is a symbolic link", path.display())));
            }
        }
        Ok(())
    }

    /// The directory `tmp`, which must not be a link. Once opened it stays the same directory.
    pub(crate) fn tmp(&self) -> Result<BorrowedFd<'_>> {
        if let Some(tmp) = self.tmp.get() {
            return Ok(tmp.as_fd());
        }
        let tmp = Dir::beneath(&self.dir, "tmp").calling("opendir", self.path.join("tmp"))?;
        Ok(self.tmp.get_or_init(|| tmp).as_fd())
    }

    fn ensure_directory(&self, name: &str) -> Result<()> {
        match dir::make_dir(&self.dir, name, 0o775) {
            // Anything else in place of the directory is reported when something is written.
            Ok(()) | Err(Errno::EXIST | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(error) => Err(error).calling("mkdirat", name),
        }
    }
}

/// Reads the `config` in the directory of a repository.
fn read_config(dir: impl AsFd) -> Result<KeyFile> {
    let text = input::read_stored(dir, "config", MAX_CONFIG_SIZE).calling("openat", "config")?;
    let text = String::from_utf8(text).map_err(|_| {
        Error::failed("Couldn't parse config file: Key file contains text that is not valid UTF-8")
    })?;
    KeyFile::parse(&text).map_err(|source| Error::Malformed {
        what: "Couldn't parse config file".to_owned(),
        source,
    })
}
