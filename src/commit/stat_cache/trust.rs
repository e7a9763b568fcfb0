//! How far the times of an inode can be relied on, and who reads its xattrs.
//!
//! Local Linux file systems give an inode a new ctime with every change of content, owner, mode and
//! xattrs. Network file systems answer from caches of their own, FUSE and others as they please,
//! FAT has no ctime: none of these is trusted. In two cases the times vouch for everything but the
//! xattrs, which are read then: memory file systems, also under an overlay, give no new ctime for
//! xattrs before Linux 6.1, and SELinux may report other labels than the inode has.

use std::fs;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use rustix::fs::{Mode, OFlags};

use crate::checksum::{Checksum, Hasher};
use crate::error::{During, Error, Result};
use crate::progress::{Event, Progress};
use crate::source::Directory;

/// What the times of an inode vouch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commit) enum Trust {
    /// Nothing.
    Nothing,
    /// Content, owner and mode.
    Content,
    /// Xattrs, too.
    Everything,
}

/// Numbers of file systems, from Linux' `magic.h` and, for the last two, their own sources.
const EXT: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;
const BTRFS: u64 = 0x9123_683e;
const F2FS: u64 = 0xf2f5_2010;
const TMPFS: u64 = 0x0102_1994;
const OVERLAY: u64 = 0x794c_7630;
const BCACHEFS: u64 = 0xca45_1a4e;
const ZFS: u64 = 0x2fc1_2fc1;

/// Since this version of Linux an xattr of a file in memory changes its ctime.
const TMPFS_STAMPS_XATTRS: (u32, u32) = (6, 1);
/// Exists when SELinux is in use.
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// What is known about the devices seen so far: rarely more than one.
#[derive(Debug)]
pub(super) struct Devices {
    known: RwLock<Vec<(u64, Trust)>>,
    has_selinux: bool,
    kernel: (u32, u32),
}

impl Devices {
    pub(super) fn new() -> Self {
        let uname = rustix::system::uname();
        let kernel = version(&uname.release().to_string_lossy());
        Self { known: RwLock::default(), has_selinux: Path::new(SELINUX).exists(), kernel }
    }

    /// How far the times of a file on `device` can be relied on; the file is `name` in `directory`.
    pub(super) fn trust(
        &self,
        directory: &Directory,
        name: &str,
        device: u64,
        progress: &dyn Progress,
    ) -> Trust {
        let find = |known: &[(u64, Trust)]| {
            known.iter().find(|(other, _)| *other == device).map(|(_, trust)| *trust)
        };
        if let Some(trust) = find(&self.known.read().unwrap_or_else(PoisonError::into_inner)) {
            return trust;
        }
        // The directory may be on another device: files can be mounted.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let answer = rustix::fs::openat(directory, name, flags, Mode::empty()).and_then(|file| {
            Ok((rustix::fs::fstat(&file)?.st_dev, rustix::fs::fstatfs(&file)?.f_type as u64))
        });
        let kind = match answer {
            Ok((answered, kind)) if answered == device => kind & 0xffff_ffff,
            // It was replaced meanwhile; the next file of the device will show.
            _ => return Trust::Nothing,
        };
        let trust = self.trust_in(kind);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if find(&known).is_none() {
            known.push((device, trust));
            if trust == Trust::Nothing {
                let shown = directory.shown_path(name);
                let what = format!(
                    "stat cache not used for {shown} and all on its file system (type {kind:#x})"
                );
                progress.event(Event::Warning(&what));
            }
        }
        trust
    }

    fn trust_in(&self, kind: u64) -> Trust {
        let everything = match kind {
            EXT | XFS | BTRFS | F2FS | BCACHEFS | ZFS => true,
            TMPFS | OVERLAY => self.kernel >= TMPFS_STAMPS_XATTRS,
            _ => return Trust::Nothing,
        };
        if everything && !self.has_selinux { Trust::Everything } else { Trust::Content }
    }
}

/// The two numbers that a release such as `6.1.0-13-amd64` starts with.
fn version(release: &str) -> (u32, u32) {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What decides which xattrs a process is shown, and how: `trusted.*` only with a capability,
/// access control lists in the numbers of its user namespace.
#[derive(Debug)]
pub(super) struct Reader(Checksum);

impl Reader {
    pub(super) fn of_this_process() -> Result<Self> {
        let path = "/proc/self/status";
        let status = fs::read_to_string(path).during("reading", path)?;
        let capabilities = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .ok_or_else(|| Error::failed(format!("{path} says nothing of capabilities")))?;
        let path = "/proc/self/ns/user";
        let namespace = fs::read_link(path).during("reading", path)?;
        let mut hasher = Hasher::new();
        for part in [capabilities.trim(), &namespace.to_string_lossy()] {
            hasher.update(part.as_bytes());
            hasher.update(b"\n");
        }
        Ok(Self(hasher.finish()))
    }

    pub(super) fn digest(&self) -> &Checksum {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_start_with_two_numbers() {
        for (release, expected) in [
            ("6.1.0-13-amd64", (6, 1)),
            ("5.15-rc1", (5, 15)),
            ("10.2", (10, 2)),
            ("6", (6, 0)),
            ("", (0, 0)),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
    }

    #[test]
    fn only_file_systems_that_stamp_every_change_are_relied_on() {
        let devices =
            |kernel, has_selinux| Devices { known: RwLock::default(), has_selinux, kernel };
        for (kind, kernel, has_selinux, expected) in [
            (EXT, (4, 0), false, Trust::Everything),
            (EXT, (6, 18), true, Trust::Content),
            (TMPFS, (6, 1), false, Trust::Everything),
            (TMPFS, (6, 0), false, Trust::Content),
            (OVERLAY, (5, 15), false, Trust::Content),
            (0x6969, (6, 18), false, Trust::Nothing),
            (0x4d44, (6, 18), false, Trust::Nothing),
        ] {
            assert_eq!(
                devices(kernel, has_selinux).trust_in(kind),
                expected,
                "{kind:#x} {kernel:?} {has_selinux}"
            );
        }
    }
}
