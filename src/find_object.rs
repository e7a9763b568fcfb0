//! Finds what uses an object: the commits that have it, where in their trees, and the refs whose
//! histories have these commits.
//!
//! All dirtrees of the repository are read once, to learn which lead to the object. Then only these
//! are followed from each commit.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{Commit, DirTreeReader, ObjectName, ObjectType};
use crate::progress::{Event, Progress, Silent};
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

/// What is looked for at the same time.
enum Sought<'s> {
    One(Wanted),
    These(&'s BTreeSet<ObjectName>),
}

impl Sought<'_> {
    /// The object that is meant by a checksum found in a place of that type.
    fn find(&self, checksum: &[u8; 32], object_type: ObjectType) -> Option<ObjectName> {
        let name = ObjectName::new(Checksum::from_bytes(*checksum), object_type);
        let is_sought = match self {
            Self::One(wanted) => wanted.is(checksum, object_type),
            Self::These(names) => names.contains(&name),
        };
        is_sought.then_some(name)
    }

    fn has(&self, checksum: &[u8; 32], object_type: ObjectType) -> bool {
        self.find(checksum, object_type).is_some()
    }

    /// How many different objects can be found.
    fn count(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::These(names) => names.len(),
        }
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
    let ways = Ways::find(repo, Sought::One(wanted), &commits, progress);
    progress.event(Event::Finished);
    let ways = ways?;
    let refs = refs_by_commit(repo, refs_of(repo)?, AtDamage::Fail)?;
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
        let by_object = match ways.lead_on(&ObjectName::new(commit, ObjectType::Commit)) {
            true => ways.paths(repo, &repo.load_commit(&commit)?, most_paths)?,
            false => Paths::new(),
        };
        let (paths, has_more) = limited(by_object.into_values().flatten().collect(), most_paths);
        let refs = refs.get(&commit).cloned().unwrap_or_default();
        found(Use { commit, timestamp, refs, paths, has_more })?;
    }
    Ok(())
}

/// Finds what uses each of some objects, as far as it can be seen: commits and dirtrees that are
/// missing or damaged are passed over. A commit uses itself, with time 0 if it cannot be read.
/// `refs` are those that are looked at, with their commits.
///
/// # Errors
/// When a directory of objects cannot be listed.
pub(crate) fn uses_of(
    repo: &Repo,
    objects: &BTreeSet<ObjectName>,
    refs: Vec<(String, Checksum)>,
    most_paths: usize,
) -> Result<BTreeMap<ObjectName, Vec<Use>>> {
    let commits = repo.list_commits_starting_with("")?;
    let ways = Ways::find(repo, Sought::These(objects), &commits, &Silent)?;
    let refs = refs_by_commit(repo, refs, AtDamage::Stop)?;
    let refs_to = |commit: &Checksum| refs.get(commit).cloned().unwrap_or_default();
    let mut uses: BTreeMap<ObjectName, Vec<Use>> = BTreeMap::new();
    for name in objects {
        if matches!(name.object_type, ObjectType::Commit | ObjectType::CommitMeta) {
            let commit = name.checksum;
            let timestamp = repo.load_commit(&commit).map_or(0, |commit| commit.timestamp);
            let (paths, has_more, refs) = (Vec::new(), false, refs_to(&commit));
            uses.entry(*name).or_default().push(Use { commit, timestamp, refs, paths, has_more });
        }
    }
    for commit in commits {
        let Ok(decoded) = repo.load_commit(&commit) else { continue };
        if !ways.lead_on(&ObjectName::new(commit, ObjectType::Commit)) {
            continue;
        }
        for (name, paths) in ways.paths(repo, &decoded, most_paths)? {
            let ((paths, has_more), refs) = (limited(paths, most_paths), refs_to(&commit));
            let timestamp = decoded.timestamp;
            uses.entry(name).or_default().push(Use { commit, timestamp, refs, paths, has_more });
        }
    }
    for uses in uses.values_mut() {
        uses.sort_unstable_by(|a, b| b.timestamp.cmp(&a.timestamp).then(a.commit.cmp(&b.commit)));
    }
    Ok(uses)
}

/// At most that many paths, and whether there are more.
fn limited(mut paths: Vec<String>, most: usize) -> (Vec<String>, bool) {
    let has_more = paths.len() > most;
    paths.truncate(most);
    (paths, has_more)
}

/// All refs, as they are shown, with their commits.
fn refs_of(repo: &Repo) -> Result<Vec<(String, Checksum)>> {
    let own = repo.list_refs(None, ListRefs::Full)?.into_iter();
    let own = own.map(|(refspec, commit)| (refspec.to_string(), commit));
    let mirrored = repo.list_collection_refs(None)?.into_iter();
    Ok(own.chain(mirrored.map(|(name, commit)| (name.to_string(), commit))).collect())
}

/// What happens at a commit of a history that is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtDamage {
    Fail,
    /// The history ends there.
    Stop,
}

/// The refs whose histories have each commit.
fn refs_by_commit(
    repo: &Repo,
    tips: Vec<(String, Checksum)>,
    at_damage: AtDamage,
) -> Result<BTreeMap<Checksum, Vec<RefToUse>>> {
    let mut refs: BTreeMap<Checksum, Vec<RefToUse>> = BTreeMap::new();
    for (name, tip) in tips {
        if at_damage == AtDamage::Stop {
            // It names the commit, whatever is there.
            refs.entry(tip).or_default().push(RefToUse { name: name.clone(), ahead: 0 });
        }
        for (step, ahead) in walk::history(repo, &tip).zip(0..) {
            let commit = match step {
                Ok((commit, decoded)) => {
                    // The parent may be damaged, and is named by this one.
                    let parent = decoded.parent.filter(|_| at_damage == AtDamage::Stop);
                    if let Some(parent) = parent {
                        let ahead = ahead + 1;
                        refs.entry(parent)
                            .or_default()
                            .push(RefToUse { name: name.clone(), ahead });
                    }
                    commit
                }
                // A ref to nothing leads to no use.
                Err(Error::MissingMetadata { .. }) => break,
                Err(_) if at_damage == AtDamage::Stop => break,
                Err(error) => return Err(error),
            };
            if at_damage == AtDamage::Fail {
                refs.entry(commit).or_default().push(RefToUse { name: name.clone(), ahead });
            }
        }
    }
    refs.values_mut().for_each(|refs| refs.sort_unstable());
    Ok(refs)
}

/// The commits and dirtrees that lead to the object.
struct Ways<'s> {
    sought: Sought<'s>,
    leading: HashSet<ObjectName>,
}

impl<'s> Ways<'s> {
    fn find(
        repo: &Repo,
        sought: Sought<'s>,
        commits: &[Checksum],
        progress: &dyn Progress,
    ) -> Result<Self> {
        let reached = ObjectSet::new();
        let users: Mutex<Users> = Mutex::default();
        let visitor = |name: &ObjectName, bytes: &[u8]| {
            let (below, uses_it) = references(&sought, name, bytes);
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
            reading: match sought {
                Sought::One(_) => Reading::AsStored,
                // What a damaged dirtree refers to, no commit has.
                Sought::These(_) => Reading::Verified,
            },
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
        Ok(Self { sought, leading })
    }

    /// Whether a commit or dirtree leads to the object.
    fn lead_on(&self, name: &ObjectName) -> bool {
        self.leading.contains(name)
    }

    /// Where each object is in the tree of a commit: one path more than `most` if there are more.
    fn paths(&self, repo: &Repo, commit: &Commit, most: usize) -> Result<Paths> {
        let mut found = Found { paths: Paths::new(), most };
        let root = (commit.root_dirtree, commit.root_dirmeta);
        let mut waiting = vec![(TreePath::default(), root.0, root.1)];
        while let Some((path, dirtree, dirmeta)) = waiting.pop() {
            let dir = [(dirtree, ObjectType::DirTree), (dirmeta, ObjectType::DirMeta)];
            for (checksum, object_type) in dir {
                if let Some(name) = self.sought.find(checksum.as_bytes(), object_type) {
                    found.push(name, path.text());
                }
            }
            let name = ObjectName::new(dirtree, ObjectType::DirTree);
            if self.lead_on(&name) {
                path.check_depth()?;
                self.look_into(&repo.load_metadata(&name)?, &path, (&mut found, &mut waiting));
            }
            if self.sought.count() == 1 && found.paths.values().any(|paths| paths.len() > most) {
                break;
            }
        }
        Ok(found.paths)
    }

    /// Adds what is found in a directory, and what is to be looked into next.
    fn look_into(&self, bytes: &[u8], path: &TreePath, (found, waiting): Findings<'_>) {
        // The first reading has found it sound.
        let Ok(reader) = DirTreeReader::new(bytes) else { return };
        for file in reader.files().flatten() {
            if let Some(name) = self.sought.find(file.checksum, ObjectType::File) {
                found.push(name, path.child_text(file.name));
            }
        }
        let begin = waiting.len();
        for dir in reader.dirs().flatten() {
            let dirtree = Checksum::from_bytes(*dir.dirtree);
            let leads = self.lead_on(&ObjectName::new(dirtree, ObjectType::DirTree))
                || self.sought.has(dir.dirtree, ObjectType::DirTree)
                || self.sought.has(dir.dirmeta, ObjectType::DirMeta);
            if leads {
                waiting.push((path.child(dir.name), dirtree, Checksum::from_bytes(*dir.dirmeta)));
            }
        }
        // The last one is taken first.
        waiting[begin..].reverse();
    }
}

/// The paths of objects in one tree.
type Paths = BTreeMap<ObjectName, Vec<String>>;

/// What is found in a tree.
struct Found {
    paths: Paths,
    most: usize,
}

impl Found {
    fn push(&mut self, name: ObjectName, path: String) {
        let paths = self.paths.entry(name).or_default();
        if paths.len() <= self.most {
            paths.push(path);
        }
    }
}

/// What is found, and the directories to look into: path, dirtree, dirmeta.
type Findings<'f> = (&'f mut Found, &'f mut Vec<(TreePath, Checksum, Checksum)>);

/// What refers to what, as it is found.
#[derive(Default)]
struct Users {
    /// Commits and dirtrees that refer to the object.
    direct: Vec<ObjectName>,
    /// Commits and dirtrees that refer to each dirtree.
    of: HashMap<Checksum, Vec<ObjectName>>,
}

/// The dirtrees that a commit or dirtree refers to, and whether it refers to the object.
fn references(sought: &Sought<'_>, name: &ObjectName, bytes: &[u8]) -> (Vec<Checksum>, bool) {
    let is_dir = |dirtree: &[u8; 32], dirmeta: &[u8; 32]| {
        sought.has(dirtree, ObjectType::DirTree) || sought.has(dirmeta, ObjectType::DirMeta)
    };
    if name.object_type == ObjectType::Commit {
        let Ok(Commit { root_dirtree, root_dirmeta, .. }) = Commit::decode(bytes) else {
            return (Vec::new(), false);
        };
        return (vec![root_dirtree], is_dir(root_dirtree.as_bytes(), root_dirmeta.as_bytes()));
    }
    let Ok(reader) = DirTreeReader::new(bytes) else { return (Vec::new(), false) };
    let mut files = reader.files().flatten();
    let mut uses_it = files.any(|file| sought.has(file.checksum, ObjectType::File));
    let mut below = Vec::new();
    for dir in reader.dirs().flatten() {
        uses_it |= is_dir(dir.dirtree, dir.dirmeta);
        below.push(Checksum::from_bytes(*dir.dirtree));
    }
    (below, uses_it)
}
