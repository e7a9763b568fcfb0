//! Finds what uses an object: the commits that have it, where in their trees, and the refs whose
//! histories have these commits.
//!
//! All dirtrees of the repository are read once, to learn which lead to the object. Then only these
//! are followed from each commit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{Commit, DirTreeReader, ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::repo::tree::TreePath;
use crate::repo::{AtHole, ListRefs, ObjectSet, Reading, Repo, Walk, walk};
use crate::threads;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The name of the object.
    pub checksum: Checksum,
    /// Its type; `None` for any, as different objects hardly have the same checksum.
    pub object_type: Option<ObjectType>,
}

/// A commit that uses the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its name.
    pub commit: Checksum,
    /// When it was made, in seconds since 1970.
    pub timestamp: u64,
    /// The refs whose histories have it, sorted.
    pub refs: Vec<RefToUse>,
    /// Where the object is in its tree, in the order of `ls -R`: files and directories. Empty if
    /// the object is the commit itself.
    pub paths: Vec<String>,
    /// Whether there are more paths than were asked for.
    pub has_more: bool,
}

/// A ref whose history has a commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RefToUse {
    /// The ref, as a refspec, or `(COLLECTION, REF)` for one of a mirror.
    pub name: String,
    /// How many commits the ref is ahead of it.
    pub ahead: u64,
}

/// Types that commits and dirtrees refer to, and commits themselves.
const FINDABLE: [ObjectType; 4] =
    [ObjectType::File, ObjectType::DirTree, ObjectType::DirMeta, ObjectType::Commit];

impl Wanted {
    /// Parses `CHECKSUM` or `CHECKSUM.TYPE`, as errors and `fsck` name objects.
    ///
    /// # Errors
    /// When it is neither, or of a type that nothing refers to.
    pub fn parse(text: &str) -> Result<Self> {
        let (hex, extension) = match text.split_once('.') {
            Some((hex, extension)) => (hex, Some(extension)),
            None => (text, None),
        };
        let checksum = Checksum::from_hex(hex)
            .map_err(|_| Error::failed(format!("Invalid checksum '{hex}'")))?;
        let parse = |extension: &str| {
            let plain = if extension == "filez" { "file" } else { extension };
            FINDABLE.into_iter().find(|findable| findable.extension() == plain).ok_or_else(|| {
                Error::failed(format!("'{extension}' is no type of object that commits use"))
            })
        };
        Ok(Self { checksum, object_type: extension.map(parse).transpose()? })
    }

    fn is(self, checksum: &[u8; 32], object_type: ObjectType) -> bool {
        self.checksum.as_bytes() == checksum && self.object_type.is_none_or(|ty| ty == object_type)
    }

    /// Whether the repository has it.
    ///
    /// # Errors
    /// When the operating system cannot determine it.
    pub fn is_present(self, repo: &Repo) -> Result<bool> {
        for object_type in FINDABLE {
            if self.is(self.checksum.as_bytes(), object_type)
                && repo.has_object(&ObjectName::new(self.checksum, object_type))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Finds the commits that use an object, the youngest first, and gives each to `found`, with
/// `most_paths` of its paths at most. Commits that no ref leads to are among them. Objects that are
/// missing are passed over; ones that are damaged are warned of.
///
/// # Errors
/// When a ref or a commit cannot be read, and those of `found`.
pub fn find_object<E: From<Error>>(
    repo: &Repo,
    wanted: Wanted,
    most_paths: usize,
    progress: &dyn Progress,
    found: &mut dyn FnMut(Use) -> Result<(), E>,
) -> Result<(), E> {
    let commits = repo.list_commits_starting_with("")?;
    progress.event(Event::Started { task: "looking at trees", total: None });
    let ways = Ways::find(repo, wanted, &commits, progress);
    progress.event(Event::Finished);
    let ways = ways?;
    let refs = refs_by_commit(repo)?;
    let mut users = Vec::new();
    for commit in commits {
        let name = ObjectName::new(commit, ObjectType::Commit);
        let decoded = repo.load_commit(&commit)?;
        if ways.lead_on(&name) || wanted.is(commit.as_bytes(), ObjectType::Commit) {
            users.push((decoded.timestamp, commit));
        }
    }
    users.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
    for (timestamp, commit) in users {
        let (paths, has_more) = match ways.lead_on(&ObjectName::new(commit, ObjectType::Commit)) {
            true => ways.paths(repo, &repo.load_commit(&commit)?, most_paths)?,
            false => (Vec::new(), false),
        };
        let refs = refs.get(&commit).cloned().unwrap_or_default();
        found(Use { commit, timestamp, refs, paths, has_more })?;
    }
    Ok(())
}

/// The refs whose histories have each commit.
fn refs_by_commit(repo: &Repo) -> Result<BTreeMap<Checksum, Vec<RefToUse>>> {
    let own = repo.list_refs(None, ListRefs::Full)?.into_iter();
    let own = own.map(|(refspec, commit)| (refspec.to_string(), commit));
    let mirrored = repo.list_collection_refs(None)?.into_iter();
    let mirrored = mirrored.map(|(name, commit)| (name.to_string(), commit));
    let mut refs: BTreeMap<Checksum, Vec<RefToUse>> = BTreeMap::new();
    for (name, tip) in own.chain(mirrored) {
        for (step, ahead) in walk::history(repo, &tip).zip(0..) {
            let commit = match step {
                Ok((commit, _)) => commit,
                // A ref to nothing leads to no use.
                Err(Error::MissingMetadata { .. }) => break,
                Err(error) => return Err(error),
            };
            refs.entry(commit).or_default().push(RefToUse { name: name.clone(), ahead });
        }
    }
    refs.values_mut().for_each(|refs| refs.sort_unstable());
    Ok(refs)
}

/// The commits and dirtrees that lead to the object.
struct Ways {
    wanted: Wanted,
    leading: HashSet<ObjectName>,
}

impl Ways {
    fn find(
        repo: &Repo,
        wanted: Wanted,
        commits: &[Checksum],
        progress: &dyn Progress,
    ) -> Result<Self> {
        let reached = ObjectSet::new();
        let users: Mutex<Users> = Mutex::default();
        let visitor = |name: &ObjectName, bytes: &[u8]| {
            let (below, uses_it) = references(wanted, name, bytes);
            let mut users = users.lock().unwrap_or_else(PoisonError::into_inner);
            users.direct.extend(uses_it.then_some(*name));
            for dirtree in below {
                users.of.entry(dirtree).or_default().push(*name);
            }
        };
        let at_hole = |_: &ObjectName, error: &Error| match error {
            Error::MissingMetadata { .. } => AtHole::Skip,
            _ => AtHole::Report,
        };
        let walk = Walk {
            repo,
            reached: &reached,
            reading: Reading::AsStored,
            at_hole: &at_hole,
            visitor: &visitor,
        };
        for (_, error) in threads::run(|| walk.commits(commits))? {
            progress.event(Event::Warning(&error.chain()));
        }
        let Users { direct, of } = users.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut leading = HashSet::new();
        let mut waiting = direct;
        while let Some(name) = waiting.pop() {
            if leading.insert(name) {
                waiting.extend(of.get(&name.checksum).into_iter().flatten());
            }
        }
        Ok(Self { wanted, leading })
    }

    /// Whether a commit or dirtree leads to the object.
    fn lead_on(&self, name: &ObjectName) -> bool {
        self.leading.contains(name)
    }

    /// Where the object is in the tree of a commit, and whether it is elsewhere, too.
    fn paths(&self, repo: &Repo, commit: &Commit, most: usize) -> Result<(Vec<String>, bool)> {
        let mut paths = Vec::new();
        let root = (commit.root_dirtree, commit.root_dirmeta);
        let mut waiting = vec![(TreePath::default(), root.0, root.1)];
        while let Some((path, dirtree, dirmeta)) = waiting.pop() {
            if self.wanted.is(dirtree.as_bytes(), ObjectType::DirTree)
                || self.wanted.is(dirmeta.as_bytes(), ObjectType::DirMeta)
            {
                paths.push(path.text());
            }
            let name = ObjectName::new(dirtree, ObjectType::DirTree);
            if self.lead_on(&name) {
                path.check_depth()?;
                self.look_into(&repo.load_metadata(&name)?, &path, (&mut paths, &mut waiting));
            }
            if paths.len() > most {
                paths.truncate(most);
                return Ok((paths, true));
            }
        }
        Ok((paths, false))
    }

    /// Adds what is found in a directory, and what is to be looked into next.
    fn look_into(&self, bytes: &[u8], path: &TreePath, (paths, waiting): Findings<'_>) {
        // The first reading has found it sound.
        let Ok(reader) = DirTreeReader::new(bytes) else { return };
        for file in reader.files().flatten() {
            if self.wanted.is(file.checksum, ObjectType::File) {
                paths.push(path.child_text(file.name));
            }
        }
        let begin = waiting.len();
        for dir in reader.dirs().flatten() {
            let dirtree = Checksum::from_bytes(*dir.dirtree);
            let leads = self.lead_on(&ObjectName::new(dirtree, ObjectType::DirTree))
                || self.wanted.is(dir.dirtree, ObjectType::DirTree)
                || self.wanted.is(dir.dirmeta, ObjectType::DirMeta);
            if leads {
                waiting.push((path.child(dir.name), dirtree, Checksum::from_bytes(*dir.dirmeta)));
            }
        }
        // The last one is taken first.
        waiting[begin..].reverse();
    }
}

/// The paths that were found, and the directories to look into: path, dirtree, dirmeta.
type Findings<'f> = (&'f mut Vec<String>, &'f mut Vec<(TreePath, Checksum, Checksum)>);

/// What refers to what, as it is found.
#[derive(Default)]
struct Users {
    /// Commits and dirtrees that refer to the object.
    direct: Vec<ObjectName>,
    /// Commits and dirtrees that refer to each dirtree.
    of: HashMap<Checksum, Vec<ObjectName>>,
}

/// The dirtrees that a commit or dirtree refers to, and whether it refers to the object.
fn references(wanted: Wanted, name: &ObjectName, bytes: &[u8]) -> (Vec<Checksum>, bool) {
    let is_dir = |dirtree: &[u8; 32], dirmeta: &[u8; 32]| {
        wanted.is(dirtree, ObjectType::DirTree) || wanted.is(dirmeta, ObjectType::DirMeta)
    };
    if name.object_type == ObjectType::Commit {
        let Ok(Commit { root_dirtree, root_dirmeta, .. }) = Commit::decode(bytes) else {
            return (Vec::new(), false);
        };
        return (vec![root_dirtree], is_dir(root_dirtree.as_bytes(), root_dirmeta.as_bytes()));
    }
    let Ok(reader) = DirTreeReader::new(bytes) else { return (Vec::new(), false) };
    let mut files = reader.files().flatten();
    let mut uses_it = files.any(|file| wanted.is(file.checksum, ObjectType::File));
    let mut below = Vec::new();
    for dir in reader.dirs().flatten() {
        uses_it |= is_dir(dir.dirtree, dir.dirmeta);
        below.push(Checksum::from_bytes(*dir.dirtree));
    }
    (below, uses_it)
}
