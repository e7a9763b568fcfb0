//! A repository to be damaged, and the ways to do it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use osier::repo::Repo;

use crate::support::{Program, is_root, osier, scratch};

/// The user as whom everything runs when the tests run as root, whom no permission would stop.
const NOBODY: u32 = 65534;

/// What an object is in the repository of a [`Subject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The commit that `main` points to.
    Tip,
    /// The parent of the tip.
    Parent,
    /// The detached metadata of the tip.
    Detached,
    /// The root of the tip, which the parent does not share.
    RootDirtree,
    /// A directory that both commits have.
    SubDirtree,
    /// The metadata of the roots.
    RootDirmeta,
    /// The metadata of the directory below, where a mode keeps them apart.
    SubDirmeta,
    /// A file of the tip that fits into memory.
    SmallFile,
    /// A file of both commits that is streamed.
    LargeFile,
    /// A symbolic link of both commits.
    Symlink,
}

impl Role {
    pub fn is_file(self) -> bool {
        matches!(self, Self::SmallFile | Self::LargeFile | Self::Symlink)
    }
}

/// An object that will be damaged.
#[derive(Clone, Debug)]
pub struct Piece {
    pub role: Role,
    /// Its checksum, or that of the commit that it belongs to.
    pub hex: String,
    /// Its path in the repository.
    pub path: String,
    /// The path of another object of its kind.
    pub other: String,
}

/// A repository `repo` with two commits of every kind of object. `target` is an empty one, and
/// `other` an archive that holds the same if the first is none.
pub struct Subject {
    directory: tempfile::TempDir,
    /// Runs osier in the directory that holds `repo`.
    pub program: Program,
    /// The same by its own name, by which it has commands that `ostree` has not.
    pub own: Program,
    pub pieces: Vec<Piece>,
}

/// A way to damage an object's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    Deleted,
    /// Cut off after so many bytes.
    Truncated(usize),
    /// Longer by so many bytes.
    Extended(usize),
    /// One bit is the other way round.
    Flipped(usize),
    /// Replaced by another object's file of the same kind.
    Swapped,
    /// There, but empty.
    Emptied,
    /// A directory has its name.
    Directory,
    /// No user may read it.
    Forbidden,
}

impl Subject {
    pub fn new(mode: &str) -> Self {
        let directory = scratch();
        let at = directory.path();
        let mut program = osier().in_directory(at);
        if is_root() {
            fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
            // Where the tests are built may be out of the user's reach.
            fs::copy(&program.path, at.join("ostree")).unwrap();
            program.path = at.join("ostree");
        }
        symlink(&program.path, at.join("osier")).unwrap();
        let mut own = Program::other(at.join("osier"), "osier").in_directory(at);
        for (tree, content) in [("old", "old content\n"), ("new", "new content\n")] {
            fs::create_dir_all(at.join(tree).join("sub")).unwrap();
            fs::write(at.join(tree).join("small"), content.repeat(40)).unwrap();
            fs::write(at.join(tree).join("large"), large()).unwrap();
            fs::write(at.join(tree).join("sub/inner"), b"inner\n").unwrap();
            symlink("small", at.join(tree).join("link")).unwrap();
            symlink("elsewhere", at.join(tree).join("sub/link")).unwrap();
            fs::set_permissions(at.join(tree).join("sub"), fs::Permissions::from_mode(0o700))
                .unwrap();
        }
        fs::create_dir_all(at.join("repo")).unwrap();
        fs::create_dir_all(at.join("target")).unwrap();
        fs::create_dir_all(at.join("other")).unwrap();
        fs::create_dir_all(at.join("extra")).unwrap();
        fs::write(at.join("extra/more"), b"more\n").unwrap();
        if is_root() {
            let owner = format!("{NOBODY}:{NOBODY}");
            Program::other("chown", "chown").run(["-R", &owner, at.to_str().unwrap()]).success();
            program = program.for_user(NOBODY);
            own = own.for_user(NOBODY);
        }
        let run = |repo: &str, arguments: &[&str]| program.repo(Path::new(repo), arguments).line();
        run("repo", &["init", &format!("--mode={mode}")]);
        run("target", &["init", &format!("--mode={mode}")]);
        run("other", &["init", "--mode=archive"]);
        let commit = ["commit", "-b", "main", "--no-xattrs", "--no-bindings"];
        let detached = "--add-detached-metadata-string=detached=x";
        run("repo", &[&commit[..], &["--timestamp=@1", "--tree=dir=old"]].concat());
        run("repo", &[&commit[..], &["--timestamp=@2", detached, "--tree=dir=new"]].concat());
        // Something for prune to remove.
        let orphan = ["commit", "--orphan", "--no-xattrs", "--timestamp=@3", "--tree=dir=extra"];
        let orphan = run("repo", &orphan);
        // The metadata makes sure that the next `summary -u` changes it, in the same second, too.
        run("repo", &["summary", "-u", "--add-metadata=made='before'"]);
        if mode != "archive" {
            run("other", &["pull-local", "--depth=-1", "repo", "main", &orphan]);
            fs::copy(at.join("repo/summary"), at.join("other/summary")).unwrap();
        }
        let pieces = pieces(&at.join("repo"), &orphan);
        Self { directory, program, own, pieces }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// Makes the user as whom everything runs the owner.
    pub fn give_away(&self, path: &Path) {
        if is_root() {
            std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

/// More than is held in memory, and neither noise nor very regular.
fn large() -> Vec<u8> {
    (0..300_000_u32).flat_map(|number| (number.wrapping_mul(number) >> 7).to_be_bytes()).collect()
}

fn pieces(repo: &Path, orphan: &str) -> Vec<Piece> {
    let opened = Repo::open(repo).unwrap();
    let tip = opened.resolve_rev("main").unwrap();
    let commit = opened.load_commit(&tip).unwrap();
    let root = opened.load_dirtree(&commit.root_dirtree).unwrap();
    let file = |name: &str| root.files.iter().find(|(other, _)| other == name).unwrap().1;
    let sub = &root.dirs[0];
    let below = opened.load_dirtree(&sub.dirtree).unwrap();
    let orphan = opened.load_commit(&osier::Checksum::from_hex(orphan).unwrap()).unwrap();
    let path = |checksum: osier::Checksum, kind: &str| {
        let hex = checksum.to_hex();
        let path = format!("objects/{}/{}.{kind}", &hex[..2], &hex[2..]);
        if repo.join(format!("{path}z")).exists() { format!("{path}z") } else { path }
    };
    let parent = commit.parent.unwrap();
    let mut all = vec![
        (Role::Tip, tip, "commit", parent),
        (Role::Parent, parent, "commit", tip),
        (Role::Detached, tip, "commitmeta", tip),
        (Role::RootDirtree, commit.root_dirtree, "dirtree", sub.dirtree),
        (Role::SubDirtree, sub.dirtree, "dirtree", orphan.root_dirtree),
        (Role::RootDirmeta, commit.root_dirmeta, "dirmeta", sub.dirmeta),
        (Role::SmallFile, file("small"), "file", file("large")),
        (Role::LargeFile, file("large"), "file", file("small")),
        (Role::Symlink, file("link"), "file", below.files[1].1),
    ];
    if sub.dirmeta != commit.root_dirmeta {
        all.push((Role::SubDirmeta, sub.dirmeta, "dirmeta", commit.root_dirmeta));
    }
    let piece = |(role, checksum, kind, other): (Role, osier::Checksum, &str, osier::Checksum)| {
        Piece { role, hex: checksum.to_hex(), path: path(checksum, kind), other: path(other, kind) }
    };
    all.into_iter().map(piece).collect()
}

impl Damage {
    /// All that can be done to an object, with up to `flips` flipped bits and some more lengths if
    /// those are many.
    pub fn all_of(repo: &Path, piece: &Piece, flips: usize) -> Vec<Self> {
        let path = repo.join(&piece.path);
        let real_link = path.is_symlink();
        let length = bytes_of(&path).len();
        let mut all = vec![
            Self::Deleted,
            Self::Emptied,
            Self::Directory,
            Self::Extended(1),
            Self::Truncated(length / 2),
        ];
        if !real_link {
            all.push(Self::Forbidden);
        }
        let equal_other = repo.join(&piece.other).symlink_metadata().is_err()
            || (bytes_of(&repo.join(&piece.other)) == bytes_of(&path));
        if !equal_other {
            all.push(Self::Swapped);
        }
        let bits = length * 8;
        let step = (bits / flips.max(1)).max(1) | 1;
        all.extend((step / 2..bits).step_by(step).take(flips).map(Self::Flipped));
        if flips > 4 {
            let mut cuts = vec![1, 4, 8, 9, length.saturating_sub(2), length.saturating_sub(1)];
            cuts.retain(|cut| *cut < length && *cut != length / 2);
            cuts.sort_unstable();
            cuts.dedup();
            all.extend(cuts.into_iter().map(Self::Truncated));
            all.push(Self::Extended(1000));
        }
        all
    }

    /// Damages the object in that repository.
    pub fn inflict(self, repo: &Path, piece: &Piece) {
        let path = repo.join(&piece.path);
        let metadata = path.symlink_metadata().unwrap();
        let mut bytes = bytes_of(&path);
        match self {
            Self::Deleted => return fs::remove_file(&path).unwrap(),
            Self::Forbidden => {
                return fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
            }
            Self::Directory => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
                return own(&path, &metadata);
            }
            Self::Swapped => {
                fs::remove_file(&path).unwrap();
                return crate::support::copy_all(&repo.join(&piece.other), &path);
            }
            Self::Truncated(length) => bytes.truncate(length),
            Self::Extended(by) => bytes.extend(std::iter::repeat_n(b'A', by)),
            Self::Flipped(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
            Self::Emptied => bytes.clear(),
        }
        if !metadata.is_symlink() {
            // Through the file that is there, which keeps mode, owner and xattrs.
            return fs::write(&path, bytes).unwrap();
        }
        fs::remove_file(&path).unwrap();
        // A target cannot be empty or hold a NUL.
        if bytes.is_empty() || bytes.contains(&0) {
            fs::write(&path, bytes).unwrap();
        } else {
            symlink(std::ffi::OsStr::from_bytes(&bytes), &path).unwrap();
        }
        own(&path, &metadata);
    }
}

fn own(path: &Path, like: &fs::Metadata) {
    std::os::unix::fs::lchown(path, Some(like.uid()), Some(like.gid())).unwrap();
}

/// The content of a file, or the target of a link.
fn bytes_of(path: &Path) -> Vec<u8> {
    match fs::read_link(path) {
        Ok(target) => target.into_os_string().into_encoded_bytes(),
        Err(_) => fs::read(path).unwrap(),
    }
}
