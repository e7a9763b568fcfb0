//! Refs of collections on removable media, where `find-remotes` looks for them.
//!
//! ```text
//! MOUNT/.ostree/repo                  an archive with the refs in refs/mirrors/, and a summary
//! MOUNT/DEST                          the same elsewhere, with
//! MOUNT/.ostree/repos.d/NN-generated  a link to it: ../../DEST
//! ```
//!
//! Whoever made the file system may have put links into it. Everything is reached from the
//! descriptor of the mount point and no link is followed on the way, so nothing is written outside.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::io::Errno;

use super::{PullOptions, PullStats, Want, pull_local};
use crate::checksum::Checksum;
use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::gvariant::Dict;
use crate::progress::Progress;
use crate::refspec::CollectionRef;
use crate::repo::{OpenOptions, Repo, RepoMode, Trust};
use crate::summary;

/// Where a repository is put unless the user says otherwise, below the mount point.
pub const USB_REPO: &str = ".ostree/repo";
/// Where it is found without a link.
const STANDARD_PLACES: [&str; 2] = [USB_REPO, "ostree/repo"];
/// The directory of links to repositories elsewhere, below the mount point.
pub(super) const LINKS: &str = ".ostree/repos.d";
/// From a link's directory to the mount point.
const UP: &str = "../../";
/// How many names of links there are.
const MOST_LINKS: u32 = 100;
const DIRECTORY_MODE: u32 = 0o755;

/// What to put on removable media.
#[derive(Clone, Debug)]
pub struct UsbOptions {
    /// The refs to copy.
    pub refs: Vec<CollectionRef>,
    /// The commit of the only ref, instead of what the repository says.
    pub commit: Option<Checksum>,
    /// The repository on the mount, relative to the mount point or below it.
    pub destination: PathBuf,
    /// The time of the summary, in seconds since 1970.
    pub now: u64,
    /// How the repository there is opened.
    pub open: OpenOptions,
}

/// Copies refs of collections from `repo` into an archive on the file system that is mounted at
/// `mount`, and brings its summary up to date. The archive is created if it is not there.
///
/// # Errors
/// When the destination is not on that file system, is reached through a link, or is `repo`; when a
/// ref is not there, its commit is bound to another one, or something cannot be written.
pub fn create_usb(
    repo: &Repo,
    mount: &Path,
    options: &UsbOptions,
    progress: &dyn Progress,
) -> Result<PullStats> {
    let root = Dir::open(mount).calling("opendir", mount)?;
    let relative = relative(mount, &options.destination)?;
    let path = mount.join(&relative);
    let directory = make_dirs(&root, &relative, &path)?;
    let stat = |dir: &Dir| rustix::fs::fstat(dir).during("examining", &path);
    let place = stat(&directory)?;
    if place.st_dev != stat(&root)?.st_dev {
        return Err(not_below());
    }
    let source = rustix::fs::fstat(repo.dir()).during("examining", repo.path())?;
    if dir::identity(&place) == dir::identity(&source) {
        return Err(Error::UsbDestination { must: "not be the source repository" });
    }
    let destination = Repo::create_in(directory, &path, RepoMode::Archive, &options.open)?;
    destination.refuse_links()?;
    if destination.parent().is_some() {
        return Err(Error::failed(format!(
            "{} has a parent repository, so what is copied would not be complete",
            path.display()
        )));
    }
    destination.check_writable()?;
    let want = |name: &CollectionRef| match options.commit {
        Some(commit) => Want::CollectionRefAt(name.clone(), commit),
        None => Want::CollectionRef(name.clone()),
    };
    let pull = PullOptions {
        wanted: options.refs.iter().map(want).collect(),
        mirror: true,
        trust: Trust::Trusted,
        ..PullOptions::default()
    };
    let stats = pull_local(&destination, repo, &pull, progress)?;
    summary::regenerate(&destination, &Dict::new(), options.now)?;
    if !STANDARD_PLACES.iter().any(|standard| relative == Path::new(standard)) {
        link(&root, mount, &relative)?;
    }
    Ok(stats)
}

/// The destination as a path of plain names below the mount point.
fn relative(mount: &Path, destination: &Path) -> Result<PathBuf> {
    if destination.as_os_str().is_empty() {
        return Err(Errno::NOENT).calling("mkdir", destination);
    }
    let below = match destination.is_absolute() {
        true => destination.strip_prefix(mount).map_err(|_| not_below())?,
        false => destination,
    };
    let mut relative = PathBuf::new();
    for component in below.components() {
        match component {
            Component::Normal(name) => relative.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(not_below());
            }
        }
    }
    Ok(relative)
}

fn not_below() -> Error {
    Error::UsbDestination { must: "be a descendent of MOUNT-PATH" }
}

fn make_dirs(root: &Dir, relative: &Path, path: &Path) -> Result<Dir> {
    match dir::make_dirs(root, relative, DIRECTORY_MODE) {
        Err(Errno::LOOP | Errno::NOTDIR) => Err(Error::failed(format!(
            "{}: a symbolic link or a file is in the way",
            path.display()
        ))),
        made => made.during("creating", path),
    }
}

/// Links to the repository from where it is looked for, unless a link is there.
fn link(root: &Dir, mount: &Path, relative: &Path) -> Result<()> {
    let path = mount.join(LINKS);
    let links = make_dirs(root, Path::new(LINKS), &path)?;
    for name in dir::names(&links).during("listing", &path)? {
        // What is no link has no target.
        let Ok(target) = rustix::fs::readlinkat(&links, &name, Vec::new()) else { continue };
        if leads_to(&OsString::from_vec(target.into_bytes()), relative) {
            return Ok(());
        }
    }
    let mut target = OsString::from(UP);
    target.push(if relative.as_os_str().is_empty() { Path::new(".") } else { relative });
    for number in 0..MOST_LINKS {
        let name = format!("{number:02}-generated");
        match rustix::fs::symlinkat(&target, &links, &name) {
            Err(Errno::EXIST) => {}
            made => return made.during("creating", path.join(name)),
        }
    }
    Err(Error::failed("Could not find an unused symlink name for the repository"))
}

/// Whether the target of a link in [`LINKS`] is this path below the mount point.
fn leads_to(target: &OsString, relative: &Path) -> bool {
    let Some(target) = target.as_bytes().strip_prefix(UP.as_bytes()) else { return false };
    let target = Path::new(std::ffi::OsStr::from_bytes(target));
    let names = target.components().filter(|component| *component != Component::CurDir);
    names.eq(relative.components())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_below_the_mount_or_refused() {
        let of = |destination: &str| relative(Path::new("/mnt/stick"), Path::new(destination));
        let accepted = [
            (".ostree/repo/", ".ostree/repo"),
            ("./a//b", "a/b"),
            (".", ""),
            ("/mnt/stick/a", "a"),
        ];
        for (destination, expected) in accepted {
            assert_eq!(of(destination).unwrap(), Path::new(expected), "{destination}");
        }
        for destination in ["../a", "a/../b", "/mnt/other", "/mnt/stick/../other", "/mnt/sticky"] {
            let message = of(destination).unwrap_err().to_string();
            assert_eq!(message, "--destination-repo must be a descendent of MOUNT-PATH");
        }
    }

    #[test]
    fn links_to_the_same_place_are_recognised() {
        let is_link = |target: &str| leads_to(&target.into(), Path::new("sub/deep"));
        assert!(
            ["../../sub/deep", "../../sub/deep/", "../.././sub//deep"].into_iter().all(is_link)
        );
        assert!(
            !["../../sub", "../sub/deep", "/sub/deep", "../../sub/deep/.."]
                .into_iter()
                .any(is_link)
        );
    }
}
