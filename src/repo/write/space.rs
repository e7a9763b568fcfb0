//! The free space that a transaction must leave (docs/format.md, section 15).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{During, Error, Result};
use crate::repo::{MinFreeSpace, Repo};
use crate::units::format_size;

/// Counts down the blocks that a transaction may still use.
#[derive(Debug)]
pub(in crate::repo) struct SpaceBudget {
    limit: MinFreeSpace,
    block_size: u64,
    blocks_left: AtomicU64,
}

/// The space on the file system of a repository that may be filled.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    limit: MinFreeSpace,
    block_size: u64,
    blocks: u64,
}

impl Repo {
    /// Looks how much space there is now, without what has to stay free.
    ///
    /// # Errors
    /// When the operating system cannot determine it.
    pub(crate) fn room(&self) -> Result<Room> {
        let limit = self.config().min_free_space;
        let stat =
            rustix::fs::fstatvfs(self.dir()).during("reading the free space of", self.path())?;
        let block_size = stat.f_frsize.max(1);
        let reserved = match limit {
            MinFreeSpace::None => 0,
            MinFreeSpace::Percent(percent) => {
                (stat.f_blocks as f64 * (f64::from(percent) / 100.0)) as u64
            }
            MinFreeSpace::Mebibytes(size) => size.saturating_mul(1 << 20) / block_size,
        };
        let free = if rustix::process::geteuid().is_root() { stat.f_bfree } else { stat.f_bavail };
        Ok(Room { limit, block_size, blocks: free.saturating_sub(reserved) })
    }
}

impl Room {
    /// All of it, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(self.block_size)
    }

    /// What has to stay free, in words.
    pub(crate) fn reserved(&self) -> Option<String> {
        (self.limit != MinFreeSpace::None).then(|| self.limit.to_string())
    }

    /// What a file of that many bytes takes at least: where something has to stay free a
    /// transaction counts blocks, else the file system may pack small files.
    pub(crate) fn taken_by(&self, bytes: u64) -> u64 {
        match self.limit {
            MinFreeSpace::None => bytes,
            _ => blocks_of(bytes, self.block_size).saturating_mul(self.block_size),
        }
    }
}

impl SpaceBudget {
    /// Checks the file system; `None` when no space has to stay free.
    pub(in crate::repo) fn of(repo: &Repo) -> Result<Option<Self>> {
        if repo.config().min_free_space == MinFreeSpace::None {
            return Ok(None);
        }
        let Room { limit, block_size, blocks } = repo.room()?;
        Ok(Some(Self { limit, block_size, blocks_left: AtomicU64::new(blocks) }))
    }

    /// Reserves the blocks that `bytes` of content need.
    pub(in crate::repo) fn take(&self, bytes: u64) -> Result<()> {
        let blocks = self.blocks_of(bytes);
        let taken = self
            .blocks_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(blocks));
        match taken {
            Ok(_) => Ok(()),
            Err(_) => {
                let size = format_size(blocks.saturating_mul(self.block_size));
                Err(Error::MinFreeSpace { limit: self.limit.to_string(), size })
            }
        }
    }

    /// Releases the blocks: the object existed already.
    pub(in crate::repo) fn give_back(&self, bytes: u64) {
        self.blocks_left.fetch_add(self.blocks_of(bytes), Ordering::Relaxed);
    }

    fn blocks_of(&self, bytes: u64) -> u64 {
        blocks_of(bytes, self.block_size)
    }
}

fn blocks_of(bytes: u64, block_size: u64) -> u64 {
    bytes / block_size + 1
}

impl std::fmt::Display for MinFreeSpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("no min-free-space"),
            Self::Percent(percent) => write!(f, "min-free-space-percent '{percent}%'"),
            Self::Mebibytes(size) => write!(f, "min-free-space-size {size}MB"),
        }
    }
}
