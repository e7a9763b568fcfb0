//! Paths of a commit that have a text in them.
//!
//! A request looks at some thousand paths and says where it stopped; the next one goes on there. So
//! none takes long, whatever the tree is like.

use super::rev::Target;
use crate::checksum::Checksum;
use crate::object::DirTree;
use crate::repo::Repo;
use crate::repo::tree::Descent;
use crate::serve::failure::Failure;
use crate::serve::link;
use crate::serve::view::{Hit, SearchView};

/// Hits on a page.
const PAGE_SIZE: usize = 200;
/// The most paths that are looked at in one request.
const MAX_SEEN: usize = 100_000;
/// The longest text that is looked for, in bytes.
const MAX_WANTED: usize = 256;

/// The paths below a directory, in the order of `ls -R`, that have `wanted` in them.
pub(in crate::serve) fn search(
    repo: &Repo,
    target: &Target,
    wanted: &str,
    after: Option<&str>,
) -> Result<SearchView, Failure> {
    if wanted.len() > MAX_WANTED {
        return Err(Failure::new(400, "the text to look for is too long"));
    }
    let pattern = Pattern::new(wanted);
    let commit = repo.load_commit(&target.commit)?;
    let mut position = Position::new(repo, commit.root_dirtree)?;
    if let Some(after) = after {
        position.seek(&link::names(after))?;
    }
    let mut view = SearchView {
        commit: target.commit,
        wanted: wanted.to_owned(),
        after: after.map(str::to_owned),
        hits: Vec::new(),
        seen: 0,
        next: None,
    };
    let mut last = None;
    while !wanted.is_empty() {
        if view.seen == MAX_SEEN || view.hits.len() == PAGE_SIZE {
            view.next = last;
            break;
        }
        let Some((path, is_directory)) = position.next()? else { break };
        view.seen += 1;
        if pattern.fits(&path) {
            view.hits.push(Hit { path: path.clone(), is_directory });
        }
        last = Some(path);
    }
    Ok(view)
}

/// Where a walk is.
struct Position<'r> {
    repo: &'r Repo,
    open: Vec<Open>,
    descent: Descent,
}

/// A directory whose entries before these have been passed.
struct Open {
    path: String,
    tree: DirTree,
    next_file: usize,
    next_dir: usize,
}

impl<'r> Position<'r> {
    fn new(repo: &'r Repo, root: Checksum) -> Result<Self, Failure> {
        let mut position = Self { repo, open: Vec::new(), descent: Descent::default() };
        position.enter(String::new(), &root)?;
        Ok(position)
    }

    fn enter(&mut self, path: String, dirtree: &Checksum) -> Result<(), Failure> {
        self.descent.enter(dirtree)?;
        let tree = self.repo.load_dirtree(dirtree)?;
        self.open.push(Open { path, tree, next_file: 0, next_dir: 0 });
        Ok(())
    }

    /// Goes behind a path that [`Position::next`] has given.
    fn seek(&mut self, names: &[&str]) -> Result<(), Failure> {
        for (place, name) in names.iter().enumerate() {
            let Some(open) = self.open.last_mut() else { break };
            let is_last = place + 1 == names.len();
            let file = open.tree.files.iter().position(|(file, _)| file == name);
            if let Some(file) = file.filter(|_| is_last) {
                open.next_file = file + 1;
                break;
            }
            let dir = open.tree.dirs.iter().position(|dir| dir.name == *name);
            let gone = || Failure::not_found("there is no such path to go on after");
            let dir = dir.ok_or_else(gone)?;
            open.next_file = open.tree.files.len();
            open.next_dir = dir + 1;
            let (path, dirtree) = (format!("{}/{name}", open.path), open.tree.dirs[dir].dirtree);
            self.enter(path, &dirtree)?;
        }
        Ok(())
    }

    /// The next path, and whether it is a directory; what is in it comes after it.
    fn next(&mut self) -> Result<Option<(String, bool)>, Failure> {
        while let Some(open) = self.open.last_mut() {
            if let Some((name, _)) = open.tree.files.get(open.next_file) {
                open.next_file += 1;
                return Ok(Some((format!("{}/{name}", open.path), false)));
            }
            if let Some(dir) = open.tree.dirs.get(open.next_dir) {
                open.next_dir += 1;
                let (path, dirtree) = (format!("{}/{}", open.path, dir.name), dir.dirtree);
                self.enter(path.clone(), &dirtree)?;
                return Ok(Some((path, true)));
            }
            self.open.pop();
            self.descent.leave();
        }
        Ok(None)
    }
}

/// What is looked for, in any case of ASCII letters.
struct Pattern {
    text: String,
    characters: Vec<char>,
    has_wildcards: bool,
    has_slash: bool,
}

impl Pattern {
    fn new(wanted: &str) -> Self {
        let text = wanted.to_ascii_lowercase();
        Self {
            characters: text.chars().collect(),
            text,
            has_wildcards: wanted.contains(['*', '?']),
            has_slash: wanted.contains('/'),
        }
    }

    /// Without `*` and `?`, whether the text is somewhere in the path. With them, whether it is the
    /// whole name, or the whole path if it has a slash.
    fn fits(&self, path: &str) -> bool {
        let path = path.to_ascii_lowercase();
        if !self.has_wildcards {
            return path.contains(&self.text);
        }
        let part = match path.rsplit_once('/') {
            Some((_, name)) if !self.has_slash => name,
            _ => &path,
        };
        is_match(&self.characters, &part.chars().collect::<Vec<char>>())
    }
}

/// `*` stands for any characters, `?` for one. Only the last `*` is gone back to.
fn is_match(pattern: &[char], text: &[char]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == text[from] => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                Some((place, tried)) => {
                    *tried += 1;
                    (at, from) = (*place + 1, *tried);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|wanted| *wanted == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_fit_patterns() {
        for (wanted, path, expected) in [
            ("conf", "/etc/fstab.CONF", true),
            ("etc/fs", "/etc/fstab", true),
            ("*.conf", "/etc/a.conf", true),
            ("*.conf", "/etc/a.conf.d", false),
            ("e*", "/etc/a", false),
            ("/etc/*", "/etc/a/b", true),
            ("?", "/etc/a", true),
            ("?", "/etc/ab", false),
            ("?", "/etc/é", true),
            ("a*b*c", "/aXbXbc", true),
            ("a*b*c", "/aXbXbd", false),
            ("*", "/x", true),
        ] {
            assert_eq!(Pattern::new(wanted).fits(path), expected, "{wanted} {path}");
        }
        // Patterns that would take for ever if every star were gone back to.
        assert!(!Pattern::new(&"*a".repeat(100)).fits(&format!("/{}", "a".repeat(99))));
    }
}
