//! Taking objects over from another repository: by hard link, by copy, or by writing them anew.
//!
//! | | same owner and device | else, trusted | else, untrusted |
//! |---|---|---|---|
//! | metadata | link | copy | verify, copy |
//! | file, same mode | link | copy | `.filez`: verify the copy; else write anew |
//! | file, bare-user to bare-user-only | link (regular files) | write anew | write anew |
//! | file, other modes | write anew | write anew | write anew |
//!
//! What is written anew is always compared with its checksum; what is linked or copied only if the source is not trusted.
//! Nothing is linked from a repository of another owner, who could change the object later.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::content::ContentWriter;
use super::transaction::Transaction;
use crate::checksum::{Checksum, Hasher};
use crate::error::{Context, During, Error, OfObject, Result};
use crate::map::FileBytes;
use crate::object::{Commit, DirMeta, DirTree, ObjectName, ObjectType};
use crate::repo::read::bare;
use crate::repo::read::file::FileObject;
use crate::repo::read::objects::loose_path;
use crate::repo::{Repo, RepoMode};

/// Whether objects of a repository are taken for what their names say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Yes.
    #[default]
    Trusted,
    /// Each is compared with its checksum first.
    Untrusted,
}

/// Which files are taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileModes {
    /// Those that the repository can hold.
    #[default]
    Any,
    /// No regular files with mode bits that a bare-user-only repository refuses (setuid, world-writable).
    BareUserOnly,
}

/// Takes objects of one repository into another. May be called from many threads at once.
#[derive(Debug)]
pub struct Importer<'t, 'r> {
    transaction: &'t Transaction<'r>,
    source: &'t Repo,
    trust: Trust,
    file_modes: FileModes,
    /// Whether links between the two are possible and wanted.
    links: bool,
    present: [OnceLock<HashSet<ObjectName>>; 256],
}

impl<'t, 'r> Importer<'t, 'r> {
    /// Prepares to take over objects of `source`.
    ///
    /// # Errors
    /// When one of the repositories cannot be looked at.
    pub fn new(
        transaction: &'t Transaction<'r>,
        source: &'t Repo,
        trust: Trust,
        file_modes: FileModes,
    ) -> Result<Self> {
        let stat = |repo: &Repo| rustix::fs::fstat(repo.objects_dir()).during("reading", repo.path().join("objects"));
        let (own, other) = (stat(transaction.repo())?, stat(source)?);
        let links = own.st_dev == other.st_dev && own.st_uid == other.st_uid;
        let present = std::array::from_fn(|_| OnceLock::new());
        Ok(Self { transaction, source, trust, file_modes, links, present })
    }

    /// Whether the object was in the repository, a parent of it or the staging directory before anything was taken over.
    /// Each directory of objects is listed once, when it is first asked about, which is much quicker than to look for
    /// every object.
    ///
    /// # Errors
    /// When a directory cannot be listed.
    pub fn is_present(&self, name: &ObjectName) -> Result<bool> {
        let first = name.checksum.as_bytes()[0];
        let slot = &self.present[usize::from(first)];
        if let Some(listed) = slot.get() {
            return Ok(listed.contains(name));
        }
        let mut names = HashSet::new();
        let mut repo = Some(self.transaction.repo());
        while let Some(listed) = repo {
            names.extend(listed.list_objects_starting_with(first)?);
            repo = listed.parent();
        }
        names.extend(self.transaction.list_staged(first)?);
        // Another thread may have been quicker, with the same names.
        Ok(slot.get_or_init(|| names).contains(name))
    }

    /// Takes over a metadata object and returns its bytes.
    ///
    /// # Errors
    /// When the source does not have it, it is not what its name says (if that is asked for), or cannot be written.
    pub fn metadata(&self, name: &ObjectName) -> Result<FileBytes> {
        if name.object_type == ObjectType::Commit {
            self.transaction.remove_tombstone(&name.checksum)?;
        }
        let bytes = match (self.source.load_metadata(name), self.trust) {
            (Err(Error::MissingMetadata { object }), Trust::Trusted) => return Err(not_there(&object)),
            (loaded, Trust::Trusted) => loaded?,
            (loaded, Trust::Untrusted) => loaded
                .and_then(|bytes| verify_metadata(name, &bytes).map(|()| bytes))
                .context(|| format!("fsck {name}"))?,
        };
        if !self.link(name)? {
            self.transaction.import_metadata_bytes(name, &bytes)?;
        }
        Ok(bytes)
    }

    /// The bytes of a metadata object that [is present](Importer::is_present), or else is in the source.
    ///
    /// # Errors
    /// When it is in neither.
    pub fn load_present(&self, name: &ObjectName) -> Result<FileBytes> {
        match self.transaction.repo().load_metadata(name) {
            // It is only staged so far.
            Err(Error::MissingMetadata { .. }) => self.source.load_metadata(name),
            loaded => loaded,
        }
    }

    /// Takes over the detached metadata of a commit, if the source has any; returns its size in bytes.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn detached_metadata(&self, commit: &Checksum) -> Result<u64> {
        let name = ObjectName::new(*commit, ObjectType::CommitMeta);
        let bytes = match self.source.load_metadata(&name) {
            Ok(bytes) => bytes,
            Err(Error::MissingMetadata { .. }) => return Ok(0),
            Err(error) => return Err(error),
        };
        self.transaction.import_metadata_bytes(&name, &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// Takes over a file object and returns how many bytes of content had to be written.
    ///
    /// # Errors
    /// As [`Importer::metadata`]; also for modes that the repository or [`FileModes`] refuses.
    pub fn file(&self, checksum: &Checksum) -> Result<u64> {
        let name = ObjectName::new(*checksum, ObjectType::File);
        let (from, to) = (self.source.mode(), self.transaction.repo().mode());
        if self.file_modes == FileModes::BareUserOnly {
            bare::check_user_only_mode(&name, &self.source.load_file(checksum)?.header)?;
        }
        let links = match (from, to) {
            (RepoMode::BareUser, RepoMode::BareUserOnly) if self.links => {
                let header = self.source.load_file(checksum)?.header;
                bare::check_user_only_mode(&name, &header).context(writing)?;
                !header.is_symlink()
            }
            _ => from == to && self.links,
        };
        if links {
            if self.trust == Trust::Untrusted {
                self.source.load_file(checksum)?.verify().context(|| format!("fsck content object {checksum}"))?;
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
        let counts_as_copy = from == to || (from, to) == (RepoMode::BareUser, RepoMode::BareUserOnly);
        Ok(if counts_as_copy && self.trust == Trust::Trusted { 0 } else { size })
    }

    fn link(&self, name: &ObjectName) -> Result<bool> {
        if !self.links {
            return Ok(false);
        }
        // What is in a parent of the source cannot be found under the name; it is copied.
        let path = loose_path(name, self.source.mode());
        match self.transaction.link_object(self.source.objects_dir(), &path, name) {
            Ok(()) | Err(Errno::EXIST) => Ok(true),
            Err(Errno::NOENT) if self.source.parent().is_none() => Err(not_there(name)),
            Err(Errno::NOENT | Errno::XDEV | Errno::MLINK | Errno::PERM | Errno::NOTSUP) => Ok(false),
            Err(error) => Err(error).during("linking", name.to_string()),
        }
    }

    /// Copies a `.filez` as it is. An untrusted one is verified where nobody else can change it any more.
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
        let mut temporary = self.transaction.create_object(name)?;
        let copied = std::io::copy(&mut file, &mut temporary.file).during("copying", name.to_string())?;
        self.transaction.take_space(copied)?;
        let mut written = 0;
        if self.trust == Trust::Untrusted {
            let copy = temporary.reopen()?;
            written = FileObject::of_archive_file(copy, *name, || self.transaction.repo().path().join("tmp"))?
                .verify()
                .context(writing)?;
        }
        temporary.place_readable(name)?;
        self.transaction.count_copied_file(written);
        Ok(written)
    }

    fn write_anew(&self, name: &ObjectName, object: FileObject) -> Result<()> {
        let repo = self.transaction.repo();
        if repo.mode() == RepoMode::BareUserOnly {
            bare::check_user_only_mode(name, &object.header)?;
        }
        if object.header.is_symlink() {
            return self.transaction.import_symlink(name, object);
        }
        let mut writer = ContentWriter::begin_as(name, self.transaction, object.header.clone(), object.size)?;
        object.read_chunks(&mut |chunk| writer.write(chunk))?;
        writer.finish_as(name)
    }
}

fn writing() -> String {
    "Writing content object".to_owned()
}

/// How upstream tells that an object is not in the source: it only hears of it when it links.
fn not_there(name: &ObjectName) -> Error {
    Error::failed(format!("Importing {name}: linkat: No such file or directory"))
}

fn verify_metadata(name: &ObjectName, bytes: &[u8]) -> Result<()> {
    let actual = Checksum::of(bytes);
    if actual != name.checksum {
        return Err(Error::CorruptedObject { object: *name, actual });
    }
    match name.object_type {
        ObjectType::Commit => Commit::decode(bytes).map(drop),
        ObjectType::DirTree => DirTree::decode(bytes).map(drop),
        ObjectType::DirMeta => DirMeta::decode(bytes).map(drop),
        _ => Ok(()),
    }
    .of_object(*name)
}

/// The parts that only a transaction can do.
impl Transaction<'_> {
    /// Gives a file of another repository on the same file system a name here, too.
    fn link_object(&self, objects: BorrowedFd<'_>, path: &str, name: &ObjectName) -> Result<(), Errno> {
        let target_path = loose_path(name, self.repo.mode());
        let target = self.object_target(&target_path[..2])?;
        rustix::fs::linkat(objects, path, target, &target_path, AtFlags::empty())
    }

    /// Makes a symlink object, or what stands for one.
    fn import_symlink(&self, name: &ObjectName, object: FileObject) -> Result<()> {
        let header = object.header.clone();
        // Content behind a symlink is no part of the object; it shows that the file was damaged.
        object.read_chunks(&mut |_| Ok(()))?;
        let mut hasher = Hasher::new();
        hasher.update(&header.content_header());
        let actual = hasher.finish();
        if actual != name.checksum {
            return Err(Error::CorruptedObject { object: *name, actual });
        }
        self.write_bytes(&header, b"").map(drop)
    }
}
