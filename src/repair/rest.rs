//! What a repository has besides objects: refs, static deltas, the summary, and what is staged.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::RepairReport;
use crate::checksum::Checksum;
use crate::dir;
use crate::error::{During, Result};
use crate::gvariant::Dict;
use crate::repo::{RefFile, Repo, random_letters};
use crate::summary::store;

/// A file that is no object, and is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedFile {
    /// Its path in the repository.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// A directory of staged objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Its path in the repository.
    pub path: String,
    /// How many objects it has, unfinished ones included.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether a transaction is writing to it. Else the next one takes its objects over, or removes
    /// them.
    pub is_in_use: bool,
}

/// What is staged.
pub(super) fn staged(repo: &Repo) -> Result<Vec<Staged>> {
    let staged = repo.list_staged()?.into_iter();
    let staged = staged.map(|(name, (objects, bytes), is_in_use)| Staged {
        path: format!("tmp/{name}"),
        objects,
        bytes,
        is_in_use,
    });
    Ok(staged.collect())
}

/// Makes room for the 256 directories of objects: what is no directory in the place of one has no
/// objects, and goes to `tmp/`, where it expires.
pub(super) fn clear_the_way(repo: &Repo) -> Result<()> {
    for first in 0..=255u8 {
        let name = format!("{first:02x}");
        let path = repo.path().join("objects").join(&name);
        match dir::stat(repo.objects_dir(), &name) {
            Ok(stat) if dir::is_directory(&stat) => continue,
            Ok(_) => {}
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error).during("reading", path),
        }
        let aside = format!("damaged-{}", random_letters()?);
        let (from, to) = ((repo.objects_dir(), &name), (repo.tmp()?, &aside));
        dir::rename(from, to, RenameFlags::NOREPLACE).during("moving aside", path)?;
    }
    Ok(())
}

/// Moves a directory, which no file can replace, to `tmp/`.
fn set_aside_directory(repo: &Repo, name: &str) -> Result<()> {
    if !dir::stat(repo.dir(), name).is_ok_and(|stat| dir::is_directory(&stat)) {
        return Ok(());
    }
    let aside = format!("damaged-{}", random_letters()?);
    dir::rename((repo.dir(), name), (repo.tmp()?, &aside), RenameFlags::NOREPLACE)
        .during("moving aside", repo.path().join(name))
}

/// Refs with their names and commits, and those that cannot be read.
pub(super) type Refs = (Vec<(String, Checksum)>, Vec<DamagedFile>);

/// Reads the refs. Which commit a damaged one named nobody knows.
pub(super) fn refs(repo: &Repo) -> Result<Refs> {
    let (mut sound, mut damaged) = (Vec::new(), Vec::new());
    for (path, file) in repo.list_ref_files()? {
        match file {
            Ok(RefFile::Commit(commit)) => sound.push((shown(&path), commit)),
            // It is as sound as the ref that it leads to.
            Ok(RefFile::Alias(_)) => {}
            Err(error) => damaged.push(DamagedFile { path, message: error.chain() }),
        }
    }
    Ok((sound, damaged))
}

/// A ref by its path: as a refspec, or `(COLLECTION, REF)` for one of a mirror.
fn shown(path: &str) -> String {
    if let Some(name) = path.strip_prefix("refs/heads/") {
        return name.to_owned();
    }
    if let Some((remote, name)) = path.strip_prefix("refs/remotes/").and_then(|p| p.split_once('/'))
    {
        return format!("{remote}:{name}");
    }
    match path.strip_prefix("refs/mirrors/").and_then(|path| path.split_once('/')) {
        Some((collection, name)) => format!("({collection}, {name})"),
        None => path.to_owned(),
    }
}

/// Static deltas that are damaged. They can be made again.
#[cfg(feature = "delta")]
pub(super) fn deltas(repo: &Repo) -> Result<Vec<DamagedFile>> {
    let mut damaged = Vec::new();
    for name in crate::repo::deltas::list(repo)? {
        if let Err(error) = crate::delta::check(repo, &name) {
            let path = name.directory().display().to_string();
            damaged.push(DamagedFile { path, message: error.chain() });
        }
    }
    Ok(damaged)
}

#[cfg(not(feature = "delta"))]
pub(super) fn deltas(_: &Repo) -> Result<Vec<DamagedFile>> {
    Ok(Vec::new())
}

/// Makes a malformed summary again, unless it had a signature: whoever has the key does that.
pub(super) fn summary(repo: &Repo, is_dry: bool, report: &mut RepairReport) -> Result<()> {
    match store::load_bytes_if_present(repo) {
        Ok(None) => return Ok(()),
        Ok(Some(bytes)) if crate::summary::Summary::decode(&bytes).is_ok() => return Ok(()),
        _ => {}
    }
    let damaged = |message: String| DamagedFile { path: "summary".to_owned(), message };
    let reason = match store::is_signed(repo)? {
        true => Some("malformed, and signed: it has to be made and signed again".to_owned()),
        false if report.is_whole() => None,
        false => {
            Some("malformed; it can be made again when all refs and commits are whole".to_owned())
        }
    };
    match reason {
        Some(reason) => report.damaged_files.push(damaged(reason)),
        None => report.summary_made = true,
    }
    if report.summary_made && !is_dry {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        set_aside_directory(repo, "summary")?;
        crate::summary::regenerate(repo, &Dict::new(), now)?;
    }
    Ok(())
}
