//! Repositories on removable media.
//!
//! On each mounted file system are looked at, in this order, what the links in `.ostree/repos.d`
//! lead to, and the usual places. The first repository that has a ref counts.
//!
//! Whoever made the file system may have put anything there. A repository must be on that file
//! system: its path without links is found out first, and is then opened from the descriptor of the
//! mount point with no link on the way. Its summary is not believed: the times of commits are those
//! of the commits themselves, whose signatures are verified first.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::summary::{Scope, offer};
use super::{Candidate, FindOptions, Finder, Listed, Place, gpg_of, usable};
use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::pull::usb::{LINKS, USB_REPO};
use crate::refspec::{CollectionId, CollectionRef, RemoteName};
use crate::remote::{self, Demands};
use crate::repo::{OpenOptions, Repo};
use crate::sign::Policy;
use crate::summary::store;

/// Where a repository may be, below the mount point, besides where links lead.
const PLACES: [&str; 3] = [USB_REPO, "ostree/repo", "var/lib/flatpak/repo"];
/// The most links that are followed on one file system.
const MOST_LINKS: usize = 100;
/// What stays as it is in an escaped text.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A collection with the remote whose keys verify it.
type Keyring = (CollectionId, RemoteName);

/// The repositories on the given mounts that have wanted refs, one for each remote whose keys
/// verify them.
pub(super) fn find(
    repo: &Repo,
    wanted: &[CollectionRef],
    options: &FindOptions<'_>,
) -> Result<Vec<Candidate>> {
    let keyrings = keyrings(repo, wanted)?;
    let mut candidates = Vec::new();
    for mount in &options.mounts {
        let mut left: BTreeSet<&CollectionRef> = wanted.iter().collect();
        let sources = usable(&mount.display().to_string(), repositories(mount, repo, options.open));
        for source in sources.into_iter().flatten() {
            let has = |name: &&CollectionRef| {
                source.read_collection_ref(name).is_ok_and(|commit| commit.is_some())
            };
            let here: Vec<&CollectionRef> = left.iter().copied().filter(has).collect();
            left.retain(|name| !here.contains(name));
            let mut used = BTreeSet::new();
            for (collection, remote) in &keyrings {
                let is_here = here.iter().any(|name| name.collection == *collection);
                if is_here && used.insert(remote) {
                    let keyring = (collection.clone(), remote.clone());
                    let found = candidate(repo, &source, keyring, (wanted, &here, options));
                    candidates
                        .extend(usable(&source.path().display().to_string(), found).flatten());
                }
            }
        }
    }
    Ok(candidates)
}

/// The first configured remote of each collection.
fn keyrings(repo: &Repo, wanted: &[CollectionRef]) -> Result<Vec<Keyring>> {
    let mut keyrings: Vec<Keyring> = Vec::new();
    for remote in remote::list(repo, None)? {
        let collection = usable(&remote.name, remote.config().and_then(|c| c.collection()));
        let name = usable(&remote.name, RemoteName::parse(&remote.name).map_err(Error::from));
        let (Some(Some(collection)), Some(name)) = (collection, name) else { continue };
        let is_wanted = wanted.iter().any(|wanted| wanted.collection == collection);
        if is_wanted && keyrings.iter().all(|(known, _)| *known != collection) {
            keyrings.push((collection, name));
        }
    }
    Ok(keyrings)
}

fn candidate(
    repo: &Repo,
    source: &Repo,
    (collection, remote): Keyring,
    (wanted, here, options): (&[CollectionRef], &[&CollectionRef], &FindOptions<'_>),
) -> Result<Option<Candidate>> {
    let Some(bytes) = store::load_bytes_if_present(source)? else { return Ok(None) };
    let offer = offer(&bytes, wanted, Scope::Only(&collection))?;
    let usable = |(name, listed): (&CollectionRef, Option<Listed>)| {
        let listed = listed.filter(|_| here.contains(&name))?;
        Some(Listed { timestamp: None, ..listed })
    };
    let listed: Vec<_> = wanted.iter().zip(offer.listed).map(usable).collect();
    let url = format!("file://{}", source.path().display());
    let commits = Policy { gpg: gpg_of(repo, remote.as_str(), options), ..Policy::default() };
    let source = Repo::open_in(
        Dir::beneath(source.dir(), ".").calling("opendir", source.path())?,
        source.path(),
        source.options(),
    )?;
    Ok(Some(Candidate {
        finder: Finder::Mount,
        name: dynamic_name(&url, remote.as_str()),
        keyring_remote: remote,
        url,
        last_modified: offer.last_modified,
        listed,
        place: Place::Repo(Box::new(source)),
        demands: Arc::new(Demands { commits, ..Demands::default() }),
    }))
}

/// The name that upstream gives to a remote that is not configured.
fn dynamic_name(url: &str, keyring_remote: &str) -> String {
    let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string().replace('%', "_");
    format!("{}_{}", escape(url), escape(keyring_remote))
}

/// The usable repositories of a mounted file system, except `own`.
fn repositories(mount: &Path, own: &Repo, options: &OpenOptions) -> Result<Vec<Repo>> {
    let mount = fs::canonicalize(mount).during("finding", mount)?;
    let root = Dir::open(&mount).calling("opendir", &mount)?;
    let mut places: Vec<PathBuf> = Vec::new();
    if let Ok(links) = Dir::beneath(&root, LINKS) {
        let mut names = dir::names(&links).during("listing", mount.join(LINKS))?;
        names.sort();
        names.truncate(MOST_LINKS);
        places.extend(names.into_iter().map(|name| Path::new(LINKS).join(name)));
    }
    places.extend(PLACES.map(PathBuf::from));
    let mut known = vec![identity(own)?];
    let mut repositories = Vec::new();
    for place in places {
        let path = mount.join(&place);
        let opened = open(&mount, &root, &place, options);
        let Some(source) = usable(&path.display().to_string(), opened) else { continue };
        let identity = identity(&source)?;
        if !known.contains(&identity) {
            known.push(identity);
            repositories.push(source);
        }
    }
    Ok(repositories)
}

fn identity(repo: &Repo) -> Result<(u64, u64)> {
    Ok(dir::identity(&rustix::fs::fstat(repo.dir()).during("examining", repo.path())?))
}

/// Opens a repository that is on the same file system as the mount point.
fn open(mount: &Path, root: &Dir, place: &Path, options: &OpenOptions) -> Result<Repo> {
    let path = fs::canonicalize(mount.join(place)).during("finding", mount.join(place))?;
    let outside = || Error::failed(format!("{} is not on {}", path.display(), mount.display()));
    let relative = path.strip_prefix(mount).map_err(|_| outside())?;
    let directory = Dir::beneath(root, relative).calling("opendir", &path)?;
    let device = |dir: &Dir| rustix::fs::fstat(dir).map(|stat| stat.st_dev);
    if device(&directory).during("examining", &path)? != device(root).during("examining", mount)? {
        return Err(outside());
    }
    let repo = Repo::open_in(directory, &path, options)?;
    repo.refuse_links()?;
    match repo.parent() {
        // Its objects would come from anywhere.
        Some(_) => Err(Error::failed("it has a parent repository")),
        None => Ok(repo),
    }
}

/// The mount points of removable media that a user may see: those below `/media` and the user's
/// directory of `/run/media`, and those marked `x-gvfs-show`. `mountinfo` is the kernel's list,
/// `utab` that of libmount.
pub fn removable_mounts(mountinfo: &[u8], utab: &[u8], user: Option<&str>) -> Vec<PathBuf> {
    let shown = marked(utab);
    let of_user = user.map(|user| Path::new("/run/media").join(user));
    let mut mounts: Vec<(PathBuf, bool)> = Vec::new();
    for line in mountinfo.split(|byte| *byte == b'\n') {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let (Some(point), Some(dash)) = (fields.get(4), fields.iter().position(|f| *f == b"-"))
        else {
            continue;
        };
        let point = unescape(point);
        let is_system = fields.get(dash + 1).is_none_or(|kind| SYSTEM.contains(kind));
        let is_below = |directory: &Path| point.starts_with(directory) && point != directory;
        let is_removable = is_below(Path::new("/media"))
            || of_user.as_deref().is_some_and(is_below)
            || shown.contains(&point);
        // What is mounted over it later hides what was there before.
        mounts.retain(|(other, _)| !other.starts_with(&point));
        mounts.push((point, is_removable && !is_system));
    }
    mounts.into_iter().filter(|(_, is_removable)| *is_removable).map(|(point, _)| point).collect()
}

/// File systems that hold no user's files.
const SYSTEM: [&[u8]; 22] = [
    b"autofs",
    b"binfmt_misc",
    b"bpf",
    b"cgroup",
    b"cgroup2",
    b"configfs",
    b"debugfs",
    b"devpts",
    b"devtmpfs",
    b"efivarfs",
    b"fusectl",
    b"hugetlbfs",
    b"mqueue",
    b"overlay",
    b"proc",
    b"pstore",
    b"ramfs",
    b"rpc_pipefs",
    b"securityfs",
    b"sysfs",
    b"tmpfs",
    b"tracefs",
];

/// The mount points in a list of libmount that have the option.
fn marked(utab: &[u8]) -> BTreeSet<PathBuf> {
    let mut points = BTreeSet::new();
    for line in utab.split(|byte| *byte == b'\n') {
        let field = |name: &[u8]| {
            line.split(|byte| *byte == b' ').find_map(|field| field.strip_prefix(name))
        };
        let has_option = field(b"OPTS=").is_some_and(|options| {
            options.split(|byte| *byte == b',').any(|o| o == b"x-gvfs-show")
        });
        points.extend(field(b"TARGET=").filter(|_| has_option).map(unescape));
    }
    points
}

/// Blanks and a few other characters are written as a backslash and three octal digits.
fn unescape(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { after.get(3..).unwrap_or_default() } else { after };
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_remotes_on_mounts_are_upstreams() {
        assert_eq!(
            dynamic_name("file:///mnt/.ostree/repo", "remote1"),
            "file_3A_2F_2F_2Fmnt_2F.ostree_2Frepo_remote1"
        );
    }

    #[test]
    fn removable_media_are_told_from_the_system() {
        let mountinfo = b"22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
            23 22 8:17 / /media/me/my\\040stick rw shared:2 master:1 - vfat /dev/sdb1 rw\n\
            24 22 8:18 / /media/me/hidden rw - ext4 /dev/sdb2 rw\n\
            25 22 0:30 / /media/me/hidden rw - tmpfs tmpfs rw\n\
            26 22 8:19 / /run/media/me/two rw - ext4 /dev/sdb3 rw\n\
            27 22 8:20 / /run/media/other/three rw - ext4 /dev/sdb4 rw\n\
            28 22 8:21 / /srv/four rw - ext4 /dev/sdb5 rw\n\
            29 22 8:22 / /srv/five rw - ext4 /dev/sdb6 rw\n\
            garbage\n30 22\n";
        let utab = b"SRC=/dev/sdb5 TARGET=/srv/four ROOT=/ OPTS=uhelper=x,x-gvfs-show\n\
            SRC=/dev/sdb6 TARGET=/srv/five ROOT=/ OPTS=x-gvfs-hide\n";
        let found = removable_mounts(mountinfo, utab, Some("me"));
        let expected = ["/media/me/my stick", "/run/media/me/two", "/srv/four"];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(removable_mounts(b"", b"", None), Vec::<PathBuf>::new());
    }
}
