//! Refs, and what differs between the commits that they name.

use std::collections::HashSet;

use super::fields::{self, FieldDifference};
use super::objects::content;
use super::{Comparison, Pair, Place, Subject, Verdict, both, merged};
use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::DirTree;
use crate::repo::RefFile;
use crate::repo::tree::Descent;

pub(super) fn compare(comparison: &mut Comparison<'_, '_>) -> Result<()> {
    let (first, second) = (comparison.first.list_ref_files()?, comparison.second.list_ref_files()?);
    let mut explained = HashSet::new();
    for place in merged(first, second, |(name, _)| name.clone()) {
        comparison.report.refs += 1;
        match place {
            Place::One(side, (name, file)) => match file {
                Ok(_) => comparison.found(Subject::Ref(name), Verdict::OnlyIn(side))?,
                Err(error) => comparison.unknown(Subject::Ref(name), side, &error)?,
            },
            Place::Both((name, one), (_, other)) => match both(one, other) {
                Ok((RefFile::Commit(one), RefFile::Commit(other))) if one != other => {
                    let walk = &mut Walk { comparison, name: &name, explained: &mut explained };
                    walk.commits((one, other))?;
                }
                Ok((one, other)) if one != other => {
                    let shown = |file: RefFile| match file {
                        RefFile::Commit(commit) => format!("commit {commit}"),
                        RefFile::Alias(target) => format!("alias of {target}"),
                    };
                    let field = FieldDifference::new("target", shown(one), shown(other));
                    comparison.found(Subject::Ref(name), Verdict::Different(vec![field]))?;
                }
                Ok(_) => {}
                Err(verdict) => comparison.found(Subject::Ref(name), verdict)?,
            },
        }
    }
    Ok(())
}

/// Goes through the two commits of a ref side by side.
struct Walk<'w, 'c, 's> {
    comparison: &'w mut Comparison<'c, 's>,
    name: &'w str,
    /// Pairs of commits and dirtrees that some ref has led to before.
    explained: &'w mut HashSet<Pair>,
}

impl Walk<'_, '_, '_> {
    fn commits(&mut self, (one, other): Pair) -> Result<()> {
        let (first, second) = (self.comparison.first, self.comparison.second);
        let subject = Subject::Ref(self.name.to_owned());
        let mut differences = vec![FieldDifference::new("commit", one, other)];
        match both(first.load_commit(&one), second.load_commit(&other)) {
            Ok((one_commit, other_commit)) => {
                differences.extend(fields::commit(&one_commit, &other_commit).map(|field| field.within("commit.")));
                self.comparison.found(subject, Verdict::Different(differences))?;
                if self.explained.insert((one, other)) {
                    let dirtrees = (one_commit.root_dirtree, other_commit.root_dirtree);
                    let dirmetas = (one_commit.root_dirmeta, other_commit.root_dirmeta);
                    self.directories("/", dirtrees, dirmetas, &mut Default::default())?;
                }
                Ok(())
            }
            Err(verdict) => {
                self.comparison.found(subject.clone(), Verdict::Different(differences))?;
                self.comparison.found(subject, verdict)
            }
        }
    }

    fn directories(
        &mut self,
        path: &str,
        dirtrees: Pair,
        dirmetas: Pair,
        descents: &mut (Descent, Descent),
    ) -> Result<()> {
        let (first, second) = (self.comparison.first, self.comparison.second);
        if dirmetas.0 != dirmetas.1 {
            let loaded = both(first.load_dirmeta(&dirmetas.0), second.load_dirmeta(&dirmetas.1));
            self.tell(path, loaded.map(|(one, other)| fields::dirmeta(&one, &other)))?;
        }
        if dirtrees.0 == dirtrees.1 || !self.explained.insert(dirtrees) {
            return Ok(());
        }
        if let Err(verdict) = both(descents.0.enter(&dirtrees.0), descents.1.enter(&dirtrees.1)) {
            return self.comparison.found(self.subject(path), verdict);
        }
        match both(first.load_dirtree(&dirtrees.0), second.load_dirtree(&dirtrees.1)) {
            Ok((one, other)) => self.entries(path, one, other, descents)?,
            Err(verdict) => self.comparison.found(self.subject(path), verdict)?,
        }
        descents.0.leave();
        descents.1.leave();
        Ok(())
    }

    fn entries(&mut self, path: &str, one: DirTree, other: DirTree, descents: &mut (Descent, Descent)) -> Result<()> {
        for place in merged(entries(one), entries(other), |entry| entry.0.clone()) {
            match place {
                Place::One(side, (name, _)) => {
                    let path = child(path, &name);
                    self.comparison.found(self.subject(&path), Verdict::OnlyIn(side))?;
                }
                Place::Both((name, one), (_, other)) => {
                    let path = child(path, &name);
                    match (one, other) {
                        (Entry::File(one), Entry::File(other)) if one == other => {}
                        (Entry::File(one), Entry::File(other)) => self.files(&path, (one, other))?,
                        (Entry::Directory(tree, meta), Entry::Directory(other_tree, other_meta)) => {
                            self.directories(&path, (tree, other_tree), (meta, other_meta), descents)?;
                        }
                        (one, other) => {
                            let field = FieldDifference::new("type", one.kind(), other.kind());
                            self.comparison.found(self.subject(&path), Verdict::Different(vec![field]))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn files(&mut self, path: &str, (one, other): Pair) -> Result<()> {
        let (first, second) = (self.comparison.first, self.comparison.second);
        let loaded = both(first.load_file(&one), second.load_file(&other));
        self.tell(
            path,
            loaded.map(|(one, other)| fields::header(&one.header, &other.header).or_else(|| content(one, other))),
        )
    }

    /// Tells of two objects of other names at a path. Where no field differs, one of them is not what its name says, which
    /// the comparison of objects finds.
    fn tell(&mut self, path: &str, found: Result<Option<FieldDifference>, Verdict>) -> Result<()> {
        let verdict = match found {
            Ok(field) => Verdict::Different(field.into_iter().collect()),
            Err(verdict) => verdict,
        };
        self.comparison.found(self.subject(path), verdict)
    }

    fn subject(&self, path: &str) -> Subject {
        Subject::Path { name: self.name.to_owned(), path: path.to_owned() }
    }
}

#[derive(Clone, Copy)]
enum Entry {
    File(Checksum),
    Directory(Checksum, Checksum),
}

impl Entry {
    fn kind(self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Directory(..) => "directory",
        }
    }
}

/// Files and directories by name.
fn entries(tree: DirTree) -> Vec<(String, Entry)> {
    let files = tree.files.into_iter().map(|(name, file)| (name, Entry::File(file)));
    let dirs = tree.dirs.into_iter().map(|dir| (dir.name, Entry::Directory(dir.dirtree, dir.dirmeta)));
    let mut entries: Vec<_> = files.chain(dirs).collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    entries
}

fn child(path: &str, name: &str) -> String {
    if path == "/" { format!("/{name}") } else { format!("{path}/{name}") }
}
