//! Objects of a repository on this machine: by hard link, by copy, or by writing them anew.
//!
//! | | same owner and device | else, trusted | else, untrusted |
//! |---|---|---|---|
//! | metadata | link | copy | verify, copy |
//! | file, same mode | link | copy | `.filez`: verify the copy; else write anew |
//! | file, bare-user to bare-user-only | link (regular files) | write anew | write anew |
//! | file, other modes | write anew | write anew | write anew |
//!
//! Objects are compared with their checksums only if the source is not trusted; then what is
//! written anew is verified, too. Nothing is linked from a repository of another owner, who could
//! change the object later.

use rustix::io::Errno;

use crate::checksum::Checksum;
use crate::error::{Context, During, Error, Result};
use crate::map::FileBytes;
use crate::object::{ObjectName, ObjectType};
use crate::repo::{
    FileObject, Repo, RepoMode, Transaction, Trust, check_user_only_mode, verify_metadata,
};

/// Which files are taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileModes {
    /// Those that the repository can hold.
    #[default]
    Any,
    /// No regular files with mode bits that a bare-user-only repository refuses (setuid,
    /// world-writable).
    BareUserOnly,
}

/// Takes objects of one repository into another. May be called from many threads at once.
#[derive(Debug)]
pub(super) struct Importer<'t, 'r> {
    transaction: &'t Transaction<'r>,
    source: &'t Repo,
    trust: Trust,
    file_modes: FileModes,
    /// Whether links between the two are possible and wanted.
    links: bool,
}

impl<'t, 'r> Importer<'t, 'r> {
    /// Prepares to take over objects of `source`.
    ///
    /// # Errors
    /// When one of the repositories cannot be looked at.
    pub(super) fn new(
        transaction: &'t Transaction<'r>,
        source: &'t Repo,
        trust: Trust,
        file_modes: FileModes,
    ) -> Result<Self> {
        let stat = |repo: &Repo| {
            rustix::fs::fstat(repo.objects_dir()).during("reading", repo.path().join("objects"))
        };
        let (own, other) = (stat(transaction.repo())?, stat(source)?);
        let links = own.st_dev == other.st_dev && own.st_uid == other.st_uid;
        Ok(Self { transaction, source, trust, file_modes, links })
    }

    /// The same, but every object becomes a file of its own.
    pub(super) fn that_copies(self) -> Self {
        Self { links: false, ..self }
    }

    /// Whether files take no room, because they are links.
    pub(super) fn links_files(&self) -> bool {
        let (from, to) = (self.source.mode(), self.repo().mode());
        let is_same = from == to || (from, to) == (RepoMode::BareUser, RepoMode::BareUserOnly);
        self.links && is_same
    }

    /// The repository that objects are taken into.
    pub(super) fn repo(&self) -> &'r Repo {
        self.transaction.repo()
    }

    /// Whether the object was there before anything was taken over.
    ///
    /// # Errors
    /// When the operating system cannot determine it.
    pub(super) fn is_present(&self, name: &ObjectName) -> Result<bool> {
        self.transaction.was_present(name)
    }

    /// Whether the object is in the source.
    ///
    /// # Errors
    /// When the operating system cannot determine it.
    pub(super) fn is_in_source(&self, name: &ObjectName) -> Result<bool> {
        self.source.has_object(name)
    }

    /// The bytes of a metadata object of the source, verified if it is not trusted. Nothing is
    /// written.
    ///
    /// # Errors
    /// When the source does not have it, or (if that is asked for) it is not what its name says.
    pub(super) fn load(&self, name: &ObjectName) -> Result<FileBytes> {
        match (self.source.load_metadata(name), self.trust) {
            (Err(Error::MissingMetadata { object }), Trust::Trusted) => Err(not_there(&object)),
            (loaded, Trust::Trusted) => loaded,
            (loaded, Trust::Untrusted) => loaded
                .and_then(|bytes| verify_metadata(name, &bytes).map(|()| bytes))
                .context(|| format!("fsck {name}")),
        }
    }

    /// Stores a metadata object that was [loaded](Importer::load).
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn store(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        if self.link(name)? {
            return self.transaction.comes_back(name);
        }
        self.transaction.write_metadata_as(name, bytes, Trust::Trusted)
    }

    /// Takes over a metadata object and returns its bytes.
    ///
    /// # Errors
    /// As [`Importer::load`] and [`Importer::store`].
    pub(super) fn metadata(&self, name: &ObjectName) -> Result<FileBytes> {
        let bytes = self.load(name)?;
        self.store(name, &bytes)?;
        Ok(bytes)
    }

    /// The bytes of a metadata object that [is present](Importer::is_present), or else is in the
    /// source.
    ///
    /// # Errors
    /// When it is in neither.
    pub(super) fn load_present(&self, name: &ObjectName) -> Result<FileBytes> {
        match self.repo().load_metadata(name) {
            // It is only staged so far.
            Err(Error::MissingMetadata { .. }) => self.source.load_metadata(name),
            loaded => loaded,
        }
    }

    /// The detached metadata of a commit, if the source has any. Nothing is written.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn load_detached_metadata(&self, commit: &Checksum) -> Result<Option<FileBytes>> {
        match self.source.load_metadata(&ObjectName::new(*commit, ObjectType::CommitMeta)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::MissingMetadata { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores the detached metadata of a commit that has been verified; it replaces what was there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn store_detached_metadata(&self, commit: &Checksum, bytes: &[u8]) -> Result<()> {
        let name = ObjectName::new(*commit, ObjectType::CommitMeta);
        self.transaction.write_metadata_as(&name, bytes, Trust::Trusted)
    }

    /// Takes over a file object and returns how many bytes of content had to be written.
    ///
    /// # Errors
    /// As [`Importer::metadata`]; also for modes that the repository or [`FileModes`] refuses.
    pub(super) fn file(&self, checksum: &Checksum) -> Result<u64> {
        let name = ObjectName::new(*checksum, ObjectType::File);
        let (from, to) = (self.source.mode(), self.transaction.repo().mode());
        if self.file_modes == FileModes::BareUserOnly {
            check_user_only_mode(&name, &self.source.load_file(checksum)?.header)?;
        }
        let links = match (from, to) {
            (RepoMode::BareUser, RepoMode::BareUserOnly) if self.links => {
                let header = self.source.load_file(checksum)?.header;
                check_user_only_mode(&name, &header).context(writing)?;
                !header.is_symlink()
            }
            _ => from == to && self.links,
        };
        if links {
            if self.trust == Trust::Untrusted {
                self.source
                    .load_file(checksum)?
                    .verify()
                    .context(|| format!("fsck content object {checksum}"))?;
            }
            if self.link(&name)? {
                return Ok(0);
            }
        }
        if (from, to) == (RepoMode::Archive, RepoMode::Archive) {
            return self.copy_filez(&name);
        }
        let object = self.source.load_file(checksum)?;
        let size = object.size;
        self.write_anew(&name, object).context(writing)?;
        // Upstream copies these without looking at them, and does not count the bytes.
        let counts_as_copy =
            from == to || (from, to) == (RepoMode::BareUser, RepoMode::BareUserOnly);
        Ok(if counts_as_copy && self.trust == Trust::Trusted { 0 } else { size })
    }

    fn link(&self, name: &ObjectName) -> Result<bool> {
        if !self.links {
            return Ok(false);
        }
        // What is in a parent of the source cannot be found under the name; it is copied.
        match self.transaction.link_from(self.source, name) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) if self.source.parent().is_none() => Err(not_there(name)),
            Err(Errno::NOENT | Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::NOTSUP) => {
                Ok(false)
            }
            Err(error) => Err(error).during("linking", name.to_string()),
        }
    }

    /// Copies a `.filez` unchanged. An untrusted one is verified where no one else can change it
    /// any more.
    fn copy_filez(&self, name: &ObjectName) -> Result<u64> {
        let mut repo = self.source;
        let mut file = loop {
            match (repo.open_own_object(name)?, repo.parent()) {
                (Some(file), _) => break file,
                (None, Some(parent)) if parent.mode() == RepoMode::Archive => repo = parent,
                (None, Some(_)) => {
                    let object = self.source.load_file(&name.checksum)?;
                    let size = object.size;
                    return self.write_anew(name, object).context(writing).map(|()| size);
                }
                (None, None) => return Err(not_there(name)),
            }
        };
        let filez = self.transaction.receive_filez(name, &mut file)?;
        let mut written = 0;
        if self.trust == Trust::Untrusted {
            written = filez.open()?.verify().context(writing)?;
        }
        filez.place(written)?;
        Ok(written)
    }

    fn write_anew(&self, name: &ObjectName, object: FileObject) -> Result<()> {
        let (header, size) = (object.header.clone(), object.size);
        let read = |sink: &mut dyn FnMut(&[u8]) -> Result<()>| object.read_chunks(sink).map(drop);
        match self.trust {
            Trust::Untrusted => self.transaction.write_file_as(name, &header, size, read),
            Trust::Trusted => self.transaction.copy_file_as(name, &header, size, read),
        }
    }
}

fn writing() -> String {
    "Writing content object".to_owned()
}

/// Upstream's error for an object missing in the source, which it notices only when it links.
fn not_there(name: &ObjectName) -> Error {
    Error::failed(format!("Importing {name}: linkat: No such file or directory"))
}
