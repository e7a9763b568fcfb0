//! `uncompressed-objects-cache/XX/….file`: the files of an archive as they are in user mode, for
//! checkouts to link to.

use std::os::fd::AsFd;

use rustix::io::Errno;

use super::HardLinks;
use super::context::{Checkout, Target};
use super::file::{Link, Origin};
use crate::dir::{self, Dir};
use crate::error::{Context, During, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::{FileObject, RepoMode, UNCOMPRESSED_CACHE, loose_path};

impl Checkout<'_> {
    pub(super) fn uses_cache(&self) -> bool {
        self.options.uncompressed_cache
            && self.user_mode
            && self.options.hard_links == HardLinks::WherePossible
            && self.repo.mode() == RepoMode::Archive
            && self.repo.config().enable_uncompressed_cache
            && self.repo.is_writable()
    }

    /// Links to the cached file, which is made if it is not there. Gives the object back if it has
    /// to be copied.
    pub(super) fn link_cached(
        &self,
        target: &Target,
        name: &str,
        object: FileObject,
    ) -> Result<Option<FileObject>> {
        let checksum = *object.checksum();
        let path = loose_path(&ObjectName::new(checksum, ObjectType::File), RepoMode::BareUser);
        let path = format!("{UNCOMPRESSED_CACHE}/{path}");
        let (parent, file_name) = path.rsplit_once('/').unwrap_or((".", &path));
        let link = || match Dir::on_the_way(self.repo.dir(), parent) {
            Ok(dir) => {
                let origin = Origin { dir: dir.as_fd(), name: file_name, shown: &path };
                self.link_to(target, name, &origin, &checksum)
            }
            Err(Errno::NOENT) => Ok(Link::Missing),
            Err(error) => Err(error).during("opening", self.repo.path().join(parent)),
        };
        let mut outcome = link()?;
        if matches!(outcome, Link::Missing) {
            self.fill_cache(&path, object)
                .context(|| format!("Unpacking loose object {checksum}"))?;
            outcome = link().context(|| {
                format!("Using new cached uncompressed hardlink of {checksum} to {name}")
            })?;
        } else if matches!(outcome, Link::Copy(_)) {
            return Ok(Some(object));
        }
        match outcome {
            Link::Done => Ok(None),
            Link::Copy(_) | Link::Missing => self.load(&checksum).map(Some),
        }
    }

    fn fill_cache(&self, path: &str, object: FileObject) -> Result<()> {
        let header = object.header.clone();
        let mut replacement = self.repo.start_replacement()?;
        self.write_content(object, &replacement.file, path)?;
        self.set_metadata(&replacement.file, &header).calling("fchmod", path)?;
        match replacement.place(path.as_ref()) {
            Err(Errno::NOENT) => {
                let parent = path.rsplit_once('/').map_or(path, |(parent, _)| parent);
                dir::make_dirs(self.repo.dir(), parent, 0o777).calling("mkdirat", parent)?;
                replacement.place(path.as_ref()).calling("renameat", path)
            }
            placed => placed.calling("renameat", path),
        }
    }
}
