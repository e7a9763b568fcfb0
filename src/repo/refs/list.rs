//! Reads refs: files below `refs/` that hold a commit's checksum (docs/format.md, section 12).

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use rustix::fs::{Access, AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::checksum::Checksum;
use crate::error::{Context, During, Error, Result};
use crate::refspec::{CollectionId, CollectionRef, RefName, Refspec, RemoteName, is_fragment};
use crate::repo::Repo;
use crate::{input, threads};

/// How listed refs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListRefs {
    /// In full: `exampleos/x86_64/host`, `remote:exampleos/x86_64/host`.
    Full,
    /// Without the requested prefix: `x86_64/host`.
    BelowPrefix,
}

/// The content of a file below `refs/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefFile {
    /// The commit that the ref names.
    Commit(Checksum),
    /// It is a symlink in `refs/heads`, to this ref there.
    Alias(String),
}

/// Deeper directories are not searched, which stops loops of symlinks.
const MAX_DEPTH: usize = 128;

/// A buffer size in bytes: a ref file has 65 bytes, and most of those written by hand are shorter
/// than this, too.
const USUAL_REF: usize = 256;
/// The number of refs in one piece of work, from which a second thread pays off.
const REFS_AT_A_TIME: usize = 64;
/// The most that is read of a ref file.
const LONGEST_REF: u64 = 1 << 20;

impl Repo {
    /// Lists refs of `refs/heads` and `refs/remotes` with their commits, sorted by their spelling.
    /// A `prefix` is a ref, a directory of refs, or either with `remote:` before it; one that names
    /// nothing gives an empty list.
    ///
    /// # Errors
    /// For an invalid prefix, for a ref whose content is not a checksum, and, when all are listed,
    /// for a repository without `refs/heads` or `refs/remotes`.
    pub fn list_refs(
        &self,
        prefix: Option<&str>,
        spelling: ListRefs,
    ) -> Result<Vec<(Refspec, Checksum)>> {
        let read = |(refspec, path): (Refspec, String)| self.read_listed(&path, refspec);
        let listed = self.listed_refs(prefix, spelling).and_then(|refs| {
            // All are read, so that the first of several errors is reported.
            let read: Vec<_> = match refs.len() {
                ..REFS_AT_A_TIME => refs.into_iter().map(read).collect(),
                _ => threads::run(|| {
                    Ok(refs.into_par_iter().with_min_len(REFS_AT_A_TIME).map(read).collect())
                })?,
            };
            read.into_iter().filter_map(Result::transpose).collect()
        });
        listed.context(|| "Listing refs".to_owned())
    }

    /// Lists refs as [`Repo::list_refs`], without reading them.
    ///
    /// # Errors
    /// As [`Repo::list_refs`], except for the content of refs.
    pub fn list_ref_names(&self, prefix: Option<&str>, spelling: ListRefs) -> Result<Vec<Refspec>> {
        let listed = self.listed_refs(prefix, spelling).context(|| "Listing refs".to_owned())?;
        Ok(listed.into_iter().map(|(refspec, _)| refspec).collect())
    }

    /// Refs and their files, sorted.
    fn listed_refs(
        &self,
        prefix: Option<&str>,
        spelling: ListRefs,
    ) -> Result<Vec<(Refspec, String)>> {
        let mut refs = Vec::new();
        match prefix {
            None => {
                self.require_ref_directory("refs/heads")?;
                self.require_ref_directory("refs/remotes")?;
                self.list_all_below("refs/heads", None, &mut refs)?;
                for remote in self.remotes_with_refs()? {
                    self.list_all_below(
                        &format!("refs/remotes/{remote}"),
                        Some(&remote),
                        &mut refs,
                    )?;
                }
            }
            Some(prefix) => self.list_below(prefix, spelling, &mut refs)?,
        }
        refs.sort_unstable();
        Ok(refs)
    }

    /// Adds the refs below a directory, which belong to `remote` if one is given.
    fn list_all_below(
        &self,
        base: &str,
        remote: Option<&RemoteName>,
        refs: &mut Vec<(Refspec, String)>,
    ) -> Result<()> {
        for name in self.ref_names(Path::new(base))? {
            let path = format!("{base}/{name}");
            refs.push((Refspec { remote: remote.cloned(), name }, path));
        }
        Ok(())
    }

    fn list_below(
        &self,
        prefix: &str,
        spelling: ListRefs,
        refs: &mut Vec<(Refspec, String)>,
    ) -> Result<()> {
        // A remote alone stands for all its refs. Upstream writes these as `REMOTE:./NAME`, which
        // names no ref.
        let alone = prefix.strip_suffix('.').unwrap_or(prefix).strip_suffix(':');
        if let Some(remote) = alone.and_then(|remote| RemoteName::parse(remote).ok()) {
            return self.list_all_below(&format!("refs/remotes/{remote}"), Some(&remote), refs);
        }
        let refspec = Refspec::parse(prefix)?;
        let directory = match &refspec {
            Refspec { remote: Some(remote), name } => format!("refs/remotes/{remote}/{name}"),
            Refspec { remote: None, name } => format!("refs/heads/{name}"),
        };
        match is_directory(&self.path().join(&directory))? {
            Some(true) => {}
            Some(false) => {
                refs.push((refspec, directory));
                return Ok(());
            }
            None => return Ok(()),
        }
        for name in self.ref_names(Path::new(&directory))? {
            let path = format!("{directory}/{name}");
            let name = match spelling {
                ListRefs::Full => RefName::parse(&format!("{}/{name}", refspec.name))?,
                ListRefs::BelowPrefix => name,
            };
            refs.push((Refspec { remote: refspec.remote.clone(), name }, path));
        }
        Ok(())
    }

    /// Lists refs with the collection they belong to, sorted: those in `refs/heads` if the
    /// repository has a collection, mirrored ones, and those of remotes whose collection is
    /// configured. Only `collection`'s if one is given.
    ///
    /// # Errors
    /// As [`Repo::list_refs`].
    pub fn list_collection_refs(
        &self,
        collection: Option<&CollectionId>,
    ) -> Result<Vec<(CollectionRef, Checksum)>> {
        let mut bases = Vec::new();
        if let Some(own) = self.collection_id() {
            bases.push((own, "refs/heads".to_owned()));
        }
        for name in self.subdirectories("refs/mirrors")? {
            if let Ok(id) = CollectionId::parse(&name) {
                bases.push((id, format!("refs/mirrors/{name}")));
            }
        }
        for remote in self.remotes_with_refs()? {
            let group = format!("remote \"{remote}\"");
            let id =
                self.config().keyfile.get_raw(&group, "collection-id").map(CollectionId::parse);
            if let Some(Ok(id)) = id {
                bases.push((id, format!("refs/remotes/{remote}")));
            }
        }
        let mut refs = BTreeMap::new();
        for (id, base) in bases {
            if collection.is_some_and(|wanted| *wanted != id) {
                continue;
            }
            for name in self.ref_names(Path::new(&base))? {
                let path = format!("{base}/{name}");
                if let Some(commit) = self.read_ref(Path::new(&path))? {
                    // A mirrored ref may also be a remote's: the first one found wins.
                    refs.entry(CollectionRef { collection: id.clone(), name }).or_insert(commit);
                }
            }
        }
        Ok(refs.into_iter().collect())
    }

    /// Lists aliases (refs in `refs/heads` that are symlinks) with the refs they stand for, sorted;
    /// all, or those at or below `prefix`.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn list_aliases(&self, prefix: Option<&str>) -> Result<Vec<(RefName, String)>> {
        self.listed_aliases(prefix).context(|| "Listing refs".to_owned())
    }

    fn listed_aliases(&self, prefix: Option<&str>) -> Result<Vec<(RefName, String)>> {
        let mut aliases = Vec::new();
        if prefix.is_none() {
            self.require_ref_directory("refs/heads")?;
            self.require_ref_directory("refs/remotes")?;
        }
        for name in self.ref_names(Path::new("refs/heads"))? {
            let wanted = prefix.is_none_or(|prefix| {
                name.as_str()
                    .strip_prefix(prefix)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            });
            let path = self.path().join("refs/heads").join(name.as_str());
            if let (true, Ok(target)) = (wanted, fs::read_link(&path)) {
                let target = target.to_string_lossy().into_owned();
                aliases.push((name, target.trim_start_matches("../").to_owned()));
            }
        }
        Ok(aliases)
    }

    /// All refs of this repository itself as files (`refs/heads/main`, `refs/remotes/origin/main`,
    /// `refs/mirrors/org.example/main`), sorted. An invalid ref has its error in its place.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn list_ref_files(&self) -> Result<Vec<(String, Result<RefFile>)>> {
        let mut files = Vec::new();
        for base in ["refs/heads", "refs/mirrors", "refs/remotes"] {
            for name in self.ref_names(Path::new(base))? {
                let path = format!("{base}/{name}");
                let target = match base {
                    "refs/heads" => fs::read_link(self.path().join(&path)).ok(),
                    _ => None,
                };
                let file = match target {
                    Some(target) => Ok(RefFile::Alias(
                        target.to_string_lossy().trim_start_matches("../").to_owned(),
                    )),
                    None => self
                        .read_ref(Path::new(&path))
                        .and_then(|commit| {
                            commit.ok_or(Error::RefNotFound { refspec: name.to_string() })
                        })
                        .map(RefFile::Commit),
                };
                files.push((path, file));
            }
        }
        files.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(files)
    }

    /// The commit that a ref of `refs/heads` of this repository itself names; none for a directory
    /// of refs.
    ///
    /// # Errors
    /// When its content is no checksum.
    pub fn read_local_ref(&self, name: &RefName) -> Result<Option<Checksum>> {
        let path = Path::new("refs/heads").join(name.as_str());
        if is_directory(&self.path().join(&path))? == Some(true) {
            Ok(None)
        } else {
            self.read_ref(&path)
        }
    }

    /// The commit of a ref of a collection, be it one of the repository's own refs or a mirrored
    /// one. Those of remotes do not count.
    ///
    /// # Errors
    /// When the file cannot be read or holds no checksum.
    pub fn read_collection_ref(&self, wanted: &CollectionRef) -> Result<Option<Checksum>> {
        let CollectionRef { collection, name } = wanted;
        if self.collection_id().as_ref() == Some(collection)
            && let Some(commit) = self.read_local_ref(name)?
        {
            return Ok(Some(commit));
        }
        self.read_ref(Path::new(&format!("refs/mirrors/{collection}/{name}")))
    }

    /// The commit in a ref file, named relative to the repository; `None` when there is no such
    /// file.
    pub(in crate::repo) fn read_ref(&self, path: &Path) -> Result<Option<Checksum>> {
        match read_file(self.dir(), path) {
            Ok(content) => {
                let text = String::from_utf8_lossy(&content);
                let text = text.trim_end_matches(|c: char| c.is_ascii_whitespace());
                // The error quotes its input, which may be anything here.
                Checksum::from_hex(text)
                    .or_else(|_| Checksum::from_hex(&input::quotable(text)))
                    .map(Some)
                    .map_err(Error::from)
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            Err(error) => {
                let name = path.components().skip(2).collect::<PathBuf>();
                Err(Error::refused(format!("Couldn't open ref '{}'", name.display()), error))
            }
        }
    }

    /// A repository that has lost its refs must not look like one without refs: a prune would
    /// delete everything.
    fn require_ref_directory(&self, path: &str) -> Result<()> {
        rustix::fs::accessat(self.dir(), path, Access::READ_OK, AtFlags::EACCESS)
            .calling("opendir", path)
    }

    /// A ref that disappeared since it was listed is an error: the list would be wrong without it.
    /// `None` for a temporary file of `ostree` that has been renamed meanwhile.
    fn read_listed(&self, path: &str, refspec: Refspec) -> Result<Option<(Refspec, Checksum)>> {
        match self.read_ref(Path::new(path)).context(|| path.to_owned())? {
            Some(commit) => Ok(Some((refspec, commit))),
            None if is_unplaced(path) => Ok(None),
            None => Err(Error::RefNotFound { refspec: refspec.to_string() }),
        }
    }

    /// The names of all refs below a directory, relative to it, sorted.
    pub(in crate::repo) fn ref_names(&self, base: &Path) -> Result<Vec<RefName>> {
        let mut names = Vec::new();
        let root = self.path().join(base);
        let walk = walkdir::WalkDir::new(&root).min_depth(1).max_depth(MAX_DEPTH);
        // Invalid fragments are skipped.
        let entries = walk.into_iter().filter_entry(|entry| {
            entry.depth() == 0 || entry.file_name().to_str().is_some_and(is_fragment)
        });
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error)
                    if error
                        .io_error()
                        .is_some_and(|error| error.kind() == ErrorKind::NotFound) =>
                {
                    continue;
                }
                Err(error) => {
                    let path = error.path().unwrap_or(&root).to_owned();
                    return Err(std::io::Error::from(error)).during("listing", path);
                }
            };
            // As upstream, only files and links are refs.
            if !(entry.file_type().is_file() || entry.file_type().is_symlink()) {
                continue;
            }
            let relative = entry.path().strip_prefix(&root).ok().and_then(Path::to_str);
            names.extend(relative.and_then(|name| RefName::parse(name).ok()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The remotes that have a directory of refs, sorted.
    pub(in crate::repo) fn remotes_with_refs(&self) -> Result<Vec<RemoteName>> {
        let names = self.subdirectories("refs/remotes")?;
        Ok(names.iter().filter_map(|name| RemoteName::parse(name).ok()).collect())
    }

    fn subdirectories(&self, path: &str) -> Result<Vec<String>> {
        let path = self.path().join(path);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).during("listing", path),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.during("listing", &path)?;
            // Treating an inaccessible one as missing would hide its refs, and a prune would delete
            // their commits.
            if is_directory(&entry.path())? == Some(true) {
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Whether the path leads to a directory; `None` when it does not exist.
fn is_directory(path: &Path) -> Result<Option<bool>> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.is_dir())),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => Ok(None),
            _ => Err(error).during("looking for", path),
        },
    }
}

/// Whether this is a temporary name that `ostree` gives to ref files in their directory: `tmp.` and
/// six letters or digits.
fn is_unplaced(path: &str) -> bool {
    let name = path.rsplit('/').next().and_then(|name| name.strip_prefix("tmp."));
    name.is_some_and(|rest| {
        rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// Reads a ref file below `dir`, mostly with one system call.
fn read_file(dir: BorrowedFd<'_>, path: &Path) -> std::io::Result<Vec<u8>> {
    // A pipe in a ref's place must not block.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = fs::File::from(rustix::fs::openat(dir, path, flags, Mode::empty())?);
    let mut content = vec![0; USUAL_REF];
    let read = file.read_at(&mut content, 0);
    if let Ok(length @ 1..USUAL_REF) = read {
        content.truncate(length);
        return Ok(content);
    }
    // Only now is the kind of the file worth a call.
    let file = input::require_regular(file)?;
    read?;
    content.clear();
    file.take(LONGEST_REF).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::RepoMode;

    #[test]
    fn a_ref_that_vanishes_is_an_error_unless_it_was_on_its_way_to_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let repo = Repo::create(&directory.path().join("repo"), RepoMode::Archive, None).unwrap();
        let refspec = |name: &str| Refspec::parse(name).unwrap();
        let read = |name: &str| repo.read_listed(&format!("refs/heads/{name}"), refspec(name));
        assert_eq!(read("tmp.UAopz9").unwrap(), None);
        assert_eq!(read("folder/tmp.UAopzB").unwrap(), None);
        for name in ["main", "tmp.UAopz", "tmp.UAopzBC", "tmp.UAop-B", "tmp.UAopzB/main"] {
            assert_eq!(read(name).unwrap_err().to_string(), format!("Refspec '{name}' not found"));
        }
        let commit = Checksum::of(b"commit");
        std::fs::write(repo.path().join("refs/heads/tmp.UAopzB"), format!("{commit}\n")).unwrap();
        assert_eq!(read("tmp.UAopzB").unwrap(), Some((refspec("tmp.UAopzB"), commit)));
    }
}
