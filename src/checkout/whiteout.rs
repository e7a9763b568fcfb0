//! Files that stand for the absence of others, as container layers have them.
//!
//! `.wh.NAME` says that a lower layer's NAME is gone, `.wh..wh..opq` that nothing of the directory
//! is to be seen. Overlayfs says the same by a character device 0:0, which no commit can hold: it
//! is stored as `.ostree-wh.NAME`.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;

use super::context::{Checkout, Target};
use super::{Overwrite, copy, existing};
use crate::checksum::Checksum;
use crate::error::{Context, During, Error, Result};
use crate::object::{FileHeader, PERMISSION_BITS};
use crate::repo::Repo;

const PREFIX: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";
const PASSTHROUGH_PREFIX: &str = ".ostree-wh.";

/// Whether the name says that the whole directory is hidden.
pub(super) fn is_opaque(name: &str) -> bool {
    name == OPAQUE
}

/// The NAME of a `.ostree-wh.NAME`.
pub(super) fn passthrough_name(name: &str) -> Option<&str> {
    name.strip_prefix(PASSTHROUGH_PREFIX)
}

/// Removes what the whiteouts among the files of a directory name, and takes them from the list.
pub(super) fn apply(
    repo: &Repo,
    dir: BorrowedFd<'_>,
    files: &mut Vec<&(String, Checksum)>,
) -> Result<()> {
    let mut index = 0;
    while let Some((name, checksum)) = files.get(index).copied() {
        let Some(hidden) = name.strip_prefix(PREFIX) else {
            index += 1;
            continue;
        };
        // Only regular files have a meaning.
        if repo.load_file(checksum)?.header.is_symlink() {
            index += 1;
            continue;
        }
        files.remove(index);
        if is_opaque(name) {
            continue;
        }
        match hidden {
            "" => return Err(Error::failed("Invalid empty whiteout ''")),
            "." | ".." => return Err(Error::failed(format!("Invalid whiteout '{hidden}'"))),
            _ => existing::remove_all(dir, Path::new(hidden))?,
        }
        // Upstream processes the names in order: earlier ones are checked out and removed again.
        if let Some(before) = files[..index].iter().position(|(name, _)| name == hidden) {
            files.remove(before);
            index -= 1;
        }
    }
    Ok(())
}

impl Checkout<'_> {
    /// Makes the device that hides `name` from the layers below.
    pub(super) fn whiteout_device(
        &self,
        target: &Target,
        name: &str,
        header: &FileHeader,
    ) -> Result<()> {
        match name {
            "" => return Err(Error::failed("Invalid empty overlayfs whiteout ''")),
            "." | ".." => {
                return Err(Error::failed(format!("Invalid overlayfs whiteout '{name}'")));
            }
            _ => {}
        }
        let dir = &target.dir;
        let mode = Mode::from_raw_mode(header.mode & PERMISSION_BITS);
        let make = || rustix::fs::mknodat(dir, name, FileType::CharacterDevice, mode, 0);
        let mut made = make();
        if made == Err(Errno::EXIST) {
            match self.options.overwrite {
                Overwrite::UnionAdd => return Ok(()),
                Overwrite::Union => {
                    rustix::fs::unlinkat(dir, name, AtFlags::empty()).calling("unlink", name)?;
                    made = make();
                }
                Overwrite::UnionIdentical if self.is_same_device(target, name, header)? => {
                    return Ok(());
                }
                Overwrite::UnionIdentical | Overwrite::Nothing => {}
            }
        }
        made.map_err(|error| {
            Error::failed(format!("Creating whiteout char device: {}", std::io::Error::from(error)))
        })?;
        if !self.user_mode {
            use std::os::fd::AsFd;
            copy::set_symlink_metadata(dir.as_fd(), name, header)
                .calling("lsetxattr", name)
                .context(|| "Setting xattrs for whiteout char device".to_owned())?;
        }
        // The umask applied when the device was created.
        rustix::fs::chmodat(dir, name, mode, AtFlags::empty()).calling("fchmodat", name)?;
        self.count_copied(0);
        Ok(())
    }

    fn is_same_device(&self, target: &Target, name: &str, header: &FileHeader) -> Result<bool> {
        let stat = rustix::fs::statat(&target.dir, name, AtFlags::SYMLINK_NOFOLLOW)
            .calling("fstatat", name)?;
        let is_whiteout =
            FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0;
        let has_owner = self.user_mode || (stat.st_uid, stat.st_gid) == (header.uid, header.gid);
        Ok(is_whiteout
            && has_owner
            && stat.st_mode & PERMISSION_BITS == header.mode & PERMISSION_BITS)
    }
}
