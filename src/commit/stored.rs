//! Trees of commits -> file and dirmeta objects, where the metadata of files and directories may be
//! changed.

use std::sync::Arc;

use super::context::{Ingest, header, ownership_of_header};
use super::tree::{Done, Tree};
use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::{DirMeta, ObjectType};
use crate::progress::Event;
use crate::repo::tree::{TreePath, check_object_depth, contains_itself};
use crate::source::Ownership;
use crate::threads::{Fold, Opened, fold, pieces};

/// A directory of the commit with its parents.
struct Place {
    above: Option<Arc<Place>>,
    dirtree: Checksum,
    path: TreePath,
}

impl Drop for Place {
    fn drop(&mut self) {
        // A loop instead of recursion.
        let mut above = self.above.take();
        while let Some(mut place) = above.and_then(Arc::into_inner) {
            above = place.above.take();
        }
    }
}

impl Place {
    fn check(&self) -> Result<()> {
        check_object_depth(self.path.depth(), &self.dirtree)?;
        let mut above = std::iter::successors(self.above.as_ref(), |place| place.above.as_ref());
        if above.any(|place| place.dirtree == self.dirtree) {
            Err(contains_itself(&self.dirtree))
        } else {
            Ok(())
        }
    }
}

enum Part {
    Directory { name: String, place: Place, dirmeta: Checksum, existing: Tree, was_there: bool },
    Files(Arc<Place>, Vec<(String, Checksum)>),
}

/// A directory that is overlaid onto another one.
struct Open {
    name: String,
    tree: Tree,
}

struct Stored<'s, 'i, 'r>(&'s Ingest<'i, 'r>);

impl Ingest<'_, '_> {
    /// Overlays the tree of a stored directory onto `tree`, running every file and directory
    /// through the filter.
    pub(super) fn stored(
        &self,
        dirtree: &Checksum,
        dirmeta: &Checksum,
        tree: Tree,
    ) -> Result<Tree> {
        let place = Place { above: None, dirtree: *dirtree, path: TreePath::default() };
        let root = Part::Directory {
            name: String::new(),
            place,
            dirmeta: *dirmeta,
            existing: tree,
            was_there: true,
        };
        Done::root(fold(&Stored(self), root)?)
    }

    fn stored_file(&self, path: &str, checksum: &Checksum) -> Result<Option<Checksum>> {
        let object = self.transaction.repo().load_file(checksum)?;
        let Some(recorded) = self.filter.apply(path, ownership_of_header(&object.header))? else {
            return Ok(None);
        };
        let xattrs =
            self.labelled(path, recorded.mode, self.xattrs(|| Ok(object.header.xattrs.clone()))?)?;
        let header = header(recorded, xattrs, object.header.symlink_target.clone());
        self.progress.event(Event::Advanced { steps: 1, bytes: object.size });
        self.transaction.write_object(&header, object).map(Some)
    }
}

impl Fold for Stored<'_, '_, '_> {
    type Part = Part;
    type Open = Open;
    type Folded = Vec<Done>;

    fn open(&self, part: Part) -> Result<Opened<Open, Part, Vec<Done>>> {
        let Self(ingest) = self;
        let (name, place, dirmeta, mut tree, was_there) = match part {
            Part::Files(place, files) => {
                let stored = |(name, checksum): (String, Checksum)| {
                    let stored = ingest.stored_file(&place.path.child_text(&name), &checksum)?;
                    Ok(stored.map_or(Done::Nothing, |checksum| Done::File(name, checksum)))
                };
                return files.into_iter().map(stored).collect::<Result<_>>().map(Opened::Whole);
            }
            Part::Directory { name, place, dirmeta, existing, was_there } => {
                (name, place, dirmeta, existing, was_there)
            }
        };
        let repo = ingest.transaction.repo();
        let meta = repo.load_dirmeta(&dirmeta)?;
        let found = Ownership { uid: meta.uid, gid: meta.gid, mode: meta.mode };
        let path = place.path.text();
        let Some(recorded) = ingest.filter.apply(&path, found)? else {
            return Ok(Opened::Whole(vec![if was_there {
                Done::Directory(name, tree)
            } else {
                Done::Nothing
            }]));
        };
        place.check()?;
        let xattrs = ingest.labelled(&path, recorded.mode, ingest.xattrs(|| Ok(meta.xattrs))?)?;
        let meta = DirMeta { uid: recorded.uid, gid: recorded.gid, mode: recorded.mode, xattrs };
        tree.dirmeta =
            Some(ingest.transaction.write_metadata(ObjectType::DirMeta, &meta.encode())?);
        let contents = repo.load_dirtree(&place.dirtree)?;
        let place = Arc::new(place);
        let mut parts: Vec<Part> =
            pieces(contents.files).map(|files| Part::Files(place.clone(), files)).collect();
        for dir in contents.dirs {
            let was_there = tree.has_directory(&dir.name);
            let existing = tree.take_directory(repo, &dir.name)?;
            let path = place.path.child(&dir.name);
            let place = Place { above: Some(place.clone()), dirtree: dir.dirtree, path };
            parts.push(Part::Directory {
                name: dir.name,
                place,
                dirmeta: dir.dirmeta,
                existing,
                was_there,
            });
        }
        Ok(Opened::Parts(Open { name, tree }, parts))
    }

    fn close(&self, Open { name, mut tree }: Open, below: Vec<Vec<Done>>) -> Result<Vec<Done>> {
        tree.put_all(below.into_iter().flatten())?;
        Ok(vec![Done::Directory(name, tree)])
    }
}
