//! Compares refs, and the commits that they point to.

use std::collections::HashSet;

use super::fields::{self, FieldDifference};
use super::objects::content;
use super::{Comparison, Pair, Place, Subject, Verdict, both, merged};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::DirTree;
use crate::repo::RefFile;
use crate::repo::tree::Descent;

/// The most pairs of directories that are remembered; two crafted repositories could have any
/// number.
const MAX_PAIRS: usize = 1 << 22;

pub(super) fn compare(comparison: &mut Comparison<'_, '_>) -> Result<()> {
    compare_within(comparison, MAX_PAIRS)
}

fn compare_within(comparison: &mut Comparison<'_, '_>, max_pairs: usize) -> Result<()> {
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
                    let walk =
                        &mut Walk { comparison, name: &name, explained: &mut explained, max_pairs };
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

/// Walks the two commits of a ref side by side.
struct Walk<'w, 'c, 's> {
    comparison: &'w mut Comparison<'c, 's>,
    name: &'w str,
    /// Pairs of commits and dirtrees that some ref has led to before.
    explained: &'w mut HashSet<Pair>,
    /// The most that are remembered: [`MAX_PAIRS`].
    max_pairs: usize,
}

impl Walk<'_, '_, '_> {
    fn commits(&mut self, (one, other): Pair) -> Result<()> {
        let (first, second) = (self.comparison.first, self.comparison.second);
        let subject = Subject::Ref(self.name.to_owned());
        let mut differences = vec![FieldDifference::new("commit", one, other)];
        match both(first.load_commit(&one), second.load_commit(&other)) {
            Ok((one_commit, other_commit)) => {
                differences.extend(
                    fields::commit(&one_commit, &other_commit).map(|field| field.within("commit.")),
                );
                self.comparison.found(subject, Verdict::Different(differences))?;
                if self.explained.insert((one, other)) {
                    let dirtrees = (one_commit.root_dirtree, other_commit.root_dirtree);
                    let dirmetas = (one_commit.root_dirmeta, other_commit.root_dirmeta);
                    self.directories(dirtrees, dirmetas)?;
                }
                Ok(())
            }
            Err(verdict) => {
                self.comparison.found(subject.clone(), Verdict::Different(differences))?;
                self.comparison.found(subject, verdict)
            }
        }
    }

    /// Walks two directories with everything in them. A list instead of recursion: commits may be
    /// deep.
    fn directories(&mut self, dirtrees: Pair, dirmetas: Pair) -> Result<()> {
        let mut path = "/".to_owned();
        let mut descents = <(Descent, Descent)>::default();
        let mut levels = Vec::new();
        levels.extend(self.enter(&path, dirtrees, dirmetas, &mut descents)?);
        while let Some(Level { path_len, places }) = levels.last_mut() {
            path.truncate(*path_len);
            let Some(place) = places.next() else {
                levels.pop();
                descents.0.leave();
                descents.1.leave();
                continue;
            };
            let (Place::One(_, (name, _)) | Place::Both((name, _), _)) = &place;
            if path.len() > 1 {
                path.push('/');
            }
            path.push_str(name);
            match place {
                Place::One(side, _) => {
                    self.comparison.found(self.subject(&path), Verdict::OnlyIn(side))?
                }
                Place::Both((_, Entry::File(one)), (_, Entry::File(other))) if one == other => {}
                Place::Both((_, Entry::File(one)), (_, Entry::File(other))) => {
                    self.files(&path, (one, other))?
                }
                Place::Both(
                    (_, Entry::Directory(tree, meta)),
                    (_, Entry::Directory(other_tree, other_meta)),
                ) => {
                    let (dirtrees, dirmetas) = ((tree, other_tree), (meta, other_meta));
                    levels.extend(self.enter(&path, dirtrees, dirmetas, &mut descents)?);
                }
                Place::Both((_, one), (_, other)) => {
                    let field = FieldDifference::new("type", one.kind(), other.kind());
                    self.comparison.found(self.subject(&path), Verdict::Different(vec![field]))?;
                }
            }
        }
        Ok(())
    }

    /// Compares two directories, and returns their entries if these have to be compared.
    fn enter(
        &mut self,
        path: &str,
        dirtrees: Pair,
        dirmetas: Pair,
        descents: &mut (Descent, Descent),
    ) -> Result<Option<Level>> {
        let (first, second) = (self.comparison.first, self.comparison.second);
        if dirmetas.0 != dirmetas.1 {
            let loaded = both(first.load_dirmeta(&dirmetas.0), second.load_dirmeta(&dirmetas.1));
            self.report(path, loaded.map(|(one, other)| fields::dirmeta(&one, &other)))?;
        }
        if dirtrees.0 == dirtrees.1 || !self.explained.insert(dirtrees) {
            return Ok(None);
        }
        if self.explained.len() > self.max_pairs {
            return Err(Error::failed(format!(
                "more than {} pairs of directories to compare",
                self.max_pairs
            )));
        }
        let entered = descents.0.enter(&dirtrees.0);
        let entered = both(entered, descents.1.enter(&dirtrees.1));
        let loaded = entered
            .and_then(|_| both(first.load_dirtree(&dirtrees.0), second.load_dirtree(&dirtrees.1)));
        match loaded {
            Ok((one, other)) => {
                let places =
                    merged(entries(one), entries(other), |entry| entry.0.clone()).into_iter();
                Ok(Some(Level { path_len: path.len(), places }))
            }
            Err(verdict) => {
                descents.0.leave();
                descents.1.leave();
                self.comparison.found(self.subject(path), verdict)?;
                Ok(None)
            }
        }
    }

    fn files(&mut self, path: &str, (one, other): Pair) -> Result<()> {
        let (first, second) = (self.comparison.first, self.comparison.second);
        let loaded = both(first.load_file(&one), second.load_file(&other));
        self.report(
            path,
            loaded.map(|(one, other)| {
                fields::header(&one.header, &other.header).or_else(|| content(one, other))
            }),
        )
    }

    /// Reports two objects of different names at a path. If no field differs, one of them does not
    /// match its name, which the comparison of objects reports.
    fn report(
        &mut self,
        path: &str,
        found: Result<Option<FieldDifference>, Verdict>,
    ) -> Result<()> {
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

/// The remaining entries of two directories.
struct Level {
    /// Their path, without a trailing slash except for the root.
    path_len: usize,
    places: std::vec::IntoIter<Place<(String, Entry)>>,
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
    let dirs =
        tree.dirs.into_iter().map(|dir| (dir.name, Entry::Directory(dir.dirtree, dir.dirmeta)));
    let mut entries: Vec<_> = files.chain(dirs).collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    entries
}

#[cfg(test)]
mod tests {
    use super::super::{CompareOptions, CompareReport, Finding};
    use super::*;
    use crate::commit::{CommitOptions, Description, Source, commit};
    use crate::progress::Silent;
    use crate::refspec::Refspec;
    use crate::repo::{Repo, RepoMode};
    use crate::source::{Attributes, MemoryTree};

    #[test]
    fn pairs_of_directories_have_a_limit() {
        let scratch = tempfile::tempdir().unwrap();
        let repo = |content: &str| {
            let repo = Repo::create(&scratch.path().join(content), RepoMode::Archive, None);
            let repo = repo.unwrap();
            let mut tree = MemoryTree::new();
            for name in ["a", "b", "c", "d"] {
                let path = format!("{name}/{name}");
                tree.add_file(&path, content, Attributes::new(0o644)).unwrap();
            }
            let options = CommitOptions {
                branch: Some(Refspec::parse("main").unwrap()),
                sources: vec![Source::Memory(tree)],
                ..CommitOptions::new(Description::new(1))
            };
            commit(&repo, &options, &Silent).unwrap();
            repo
        };
        let (first, second) = (repo("one"), repo("other"));
        let compared = |max_pairs| {
            let mut paths = Vec::new();
            let mut sink = |finding: Finding| {
                let subject = finding.subject.to_string();
                paths.push(subject.trim_start_matches("refs/heads/").to_owned());
                Ok(())
            };
            let mut comparison = Comparison {
                first: &first,
                second: &second,
                options: &CompareOptions::default(),
                sink: &mut sink,
                report: CompareReport::default(),
            };
            let result = compare_within(&mut comparison, max_pairs);
            (paths, result.map_err(|error| error.to_string()))
        };
        // The commits, their roots, and four directories.
        let (paths, result) = compared(6);
        assert_eq!(result, Ok(()));
        assert_eq!(paths, ["main", "main:/a/a", "main:/b/b", "main:/c/c", "main:/d/d"]);
        let (paths, result) = compared(5);
        assert_eq!(result.unwrap_err(), "more than 5 pairs of directories to compare");
        assert_eq!(paths, ["main", "main:/a/a", "main:/b/b", "main:/c/c"]);
    }
}
