//! What commits reach, taken from a repository on this machine.

use std::collections::HashSet;

use rayon::prelude::*;

use super::PullStats;
use crate::checksum::Checksum;
use crate::error::{OfObject, Result};
use crate::object::{DirTreeReader, ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::repo::Importer;

/// The tree of a commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    pub(super) dirtree: Checksum,
    pub(super) dirmeta: Checksum,
}

/// What one dirtree refers to, and whether it had to be imported.
struct Level {
    files: Vec<Checksum>,
    dirs: Vec<Root>,
    imported: bool,
}

/// Imports the trees with all that they reach. Dirtrees are read even if they are there: they may have come with a pull
/// that was cut short.
pub(super) fn import_trees(
    importer: &Importer<'_, '_>,
    roots: Vec<Root>,
    stats: &mut PullStats,
    progress: &dyn Progress,
) -> Result<()> {
    let (mut dirtrees, mut dirmetas, mut files) = (HashSet::new(), HashSet::new(), HashSet::new());
    let mut level = roots;
    while !level.is_empty() {
        dirmetas.extend(level.iter().map(|root| root.dirmeta));
        let new: Vec<Checksum> = level.iter().map(|root| root.dirtree).filter(|tree| dirtrees.insert(*tree)).collect();
        let read: Vec<Level> =
            new.par_iter().map(|dirtree| import_dirtree(importer, dirtree)).collect::<Result<_>>()?;
        level = Vec::new();
        for Level { files: found, dirs, imported } in read {
            files.extend(found);
            level.extend(dirs);
            stats.metadata_objects_imported += u64::from(imported);
        }
    }
    stats.metadata_objects_imported += import_dirmetas(importer, dirmetas)?;
    let files = Vec::from_iter(files);
    import_files(importer, files, stats, progress)
}

fn import_dirtree(importer: &Importer<'_, '_>, dirtree: &Checksum) -> Result<Level> {
    let name = ObjectName::new(*dirtree, ObjectType::DirTree);
    let imported = !importer.is_present(&name)?;
    let bytes = if imported { importer.metadata(&name)? } else { importer.load_present(&name)? };
    let reader = DirTreeReader::new(&bytes).of_object(name)?;
    let mut level = Level { files: Vec::new(), dirs: Vec::new(), imported };
    for file in reader.files() {
        level.files.push(Checksum::from_bytes(*file.of_object(name)?.checksum));
    }
    for dir in reader.dirs() {
        let dir = dir.of_object(name)?;
        level
            .dirs
            .push(Root { dirtree: Checksum::from_bytes(*dir.dirtree), dirmeta: Checksum::from_bytes(*dir.dirmeta) });
    }
    Ok(level)
}

fn import_dirmetas(importer: &Importer<'_, '_>, dirmetas: HashSet<Checksum>) -> Result<u64> {
    let mut names: Vec<_> = dirmetas.into_iter().map(|dirmeta| ObjectName::new(dirmeta, ObjectType::DirMeta)).collect();
    names.sort_unstable();
    let counts = names.par_iter().map(|name| -> Result<u64> {
        if importer.is_present(name)? {
            return Ok(0);
        }
        importer.metadata(name).map(|_| 1)
    });
    counts.try_reduce(|| 0, |a, b| Ok(a + b))
}

fn import_files(
    importer: &Importer<'_, '_>,
    mut files: Vec<Checksum>,
    stats: &mut PullStats,
    progress: &dyn Progress,
) -> Result<()> {
    // Neighbours are in one directory.
    files.par_sort_unstable();
    progress.event(Event::Total { steps: files.len() as u64, bytes: None });
    let counts = files.par_iter().map(|file| -> Result<(u64, u64)> {
        if importer.is_present(&ObjectName::new(*file, ObjectType::File))? {
            progress.event(Event::Advanced { steps: 1, bytes: 0 });
            return Ok((0, 0));
        }
        let bytes = importer.file(file)?;
        progress.event(Event::Advanced { steps: 1, bytes });
        Ok((1, bytes))
    });
    let (objects, bytes) = counts.try_reduce(|| (0, 0), |a, b| Ok((a.0 + b.0, a.1 + b.1)))?;
    stats.content_objects_imported += objects;
    stats.content_bytes_written += bytes;
    Ok(())
}
