//! Remotes: where a repository may pull from (docs/format.md, section 4).
//!
//! A remote is a group `[remote "NAME"]` in the repository's `config`, or in a `*.conf` file of the
//! remotes directory, which only a system's own repository has. Remotes of a parent repository
//! count as well; they cannot be changed.

#[cfg(feature = "http")]
pub mod attempts;
mod config;
pub mod cookies;
mod keyring;
#[cfg(feature = "gpg")]
pub mod keyrings;
#[cfg(feature = "http")]
pub mod metalink;
#[cfg(feature = "http")]
pub mod mirrorlist;
#[cfg(feature = "http")]
pub mod mirrors;
#[cfg(feature = "http")]
pub mod origin;
#[cfg(feature = "http")]
mod secrets;
#[cfg(feature = "http")]
pub mod stores;
#[cfg(feature = "http")]
mod transport;
#[cfg(feature = "gpg")]
mod verification;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::input;
use crate::keyfile::{KeyFile, text_of};
use crate::refspec::RemoteName;
use crate::repo::{ConfigEdit, Repo};

use config::{config_error, group_of};

pub use config::{
    ClientCertificate, KeyPlace, Location, RemoteConfig, SIGNATURE_TYPES, SecretFiles, SignVerify,
    Source, StoreSettings, Tls, Verification, VerificationKey, key,
};
pub use keyring::import_keys;
#[cfg(feature = "http")]
pub use transport::Transport;
#[cfg(feature = "gpg")]
pub use verification::{Demands, GpgDemands, Trust};

/// The remotes directory, below the root of a system.
const REMOTES_DIRECTORY: &str = "etc/ostree/remotes.d";
/// The repository of a system, below the root of the system.
pub const SYSTEM_REPO: &str = "ostree/repo";

/// A configured remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// The `*.conf` file that it is in; `None` for `config`.
    pub file: Option<PathBuf>,
    /// The remote's group as a file of its own, and behind it those of the parents' remotes of that
    /// name.
    layers: Vec<KeyFile>,
}

/// One option of a remote, as it is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A text.
    Text(String),
    /// `true` or `false`.
    Boolean(bool),
    /// Texts, each followed by `;`.
    List(Vec<String>),
}

/// What to do with an existing remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is an error.
    Refuse,
    /// It stays as it is.
    Keep,
    /// It is removed, with all its options.
    Replace,
}

/// What to do about a missing remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It is an error.
    Refuse,
    /// Nothing.
    Ignore,
}

impl Remote {
    /// What its keys say, those that are absent here as the parents' remotes of that name have
    /// them.
    ///
    /// # Errors
    /// With upstream's message for an invalid value.
    pub fn config(&self) -> Result<RemoteConfig> {
        RemoteConfig::parse(&self.name, &self.layers)
    }

    /// The value of `url` as it stands, without a look at the other keys. A remote with a metalink
    /// need not have one.
    ///
    /// # Errors
    /// When it cannot be read as a text.
    pub fn url(&self) -> Result<Option<String>> {
        config::url(&self.name, &self.layers)
    }

    /// [`Remote::url`] where there must be one.
    ///
    /// # Errors
    /// In upstream's words when it has no `url`.
    pub fn require_url(&self) -> Result<String> {
        let missing = || Error::failed(format!("No \"url\" option in remote \"{}\"", self.name));
        self.url()?.ok_or_else(missing)
    }
}

/// All remotes of a repository and its parents, sorted by name. `sysroot` is the system that the
/// repository was opened for, if it was.
///
/// # Errors
/// When the remotes directory cannot be read, or two of its files or it and the config have the
/// same remote.
pub fn list(repo: &Repo, sysroot: Option<&Path>) -> Result<Vec<Remote>> {
    let mut remotes = match repo.parent() {
        Some(parent) => by_name(list(parent, None)?),
        None => BTreeMap::new(),
    };
    let directory = Files::open(repo, sysroot)?;
    for (name, mut remote) in own(&repo.config().keyfile, directory.as_ref())? {
        let inherited = remotes.remove(&name).map(|remote| remote.layers);
        remote.layers.extend(inherited.unwrap_or_default());
        remotes.insert(name, remote);
    }
    Ok(remotes.into_values().collect())
}

/// The names of all remotes, sorted.
///
/// # Errors
/// As [`list`].
pub fn names(repo: &Repo) -> Result<Vec<String>> {
    Ok(list(repo, None)?.into_iter().map(|remote| remote.name).collect())
}

/// The remote with that name.
///
/// # Errors
/// In upstream's words when there is none; as [`list`].
pub fn find(repo: &Repo, sysroot: Option<&Path>, name: &str) -> Result<Remote> {
    list(repo, sysroot)?
        .into_iter()
        .find(|remote| remote.name == name)
        .ok_or_else(|| not_found(name))
}

/// Adds a remote with its options, in their order; an option given twice has the last value in the
/// first place.
///
/// # Errors
/// For a name that no remote can have; for a remote that is there already, unless `existing` allows
/// that; when the config cannot be written.
pub fn add(
    repo: &Repo,
    sysroot: Option<&Path>,
    name: &str,
    settings: &[(String, Setting)],
    existing: Existing,
) -> Result<()> {
    RemoteName::parse(name)?;
    repo.edit_config(|keyfile| {
        let directory = Files::open(repo, sysroot)?;
        match (own(keyfile, directory.as_ref())?.remove(name), existing) {
            (Some(remote), Existing::Refuse) => {
                let place =
                    remote.file.map_or("(in config)".to_owned(), |file| file.display().to_string());
                return Err(Error::failed(format!(
                    "Remote configuration for \"{name}\" already exists: {place}"
                )));
            }
            (Some(_), Existing::Keep) => return Ok(ConfigEdit::Keep),
            (Some(Remote { file: Some(file), .. }), Existing::Replace) => {
                if let (Some(directory), Some(file)) = (&directory, file.file_name()) {
                    directory.write(file, name, settings)?;
                }
                return Ok(ConfigEdit::Keep);
            }
            (Some(Remote { file: None, .. }), Existing::Replace) => {
                keyfile.remove_group(&group_of(name));
            }
            (None, _) => {
                let wanted =
                    keyfile.get_bool("core", "add-remotes-config-dir").map_err(config_error)?;
                if let Some(directory) = directory.filter(|_| wanted.unwrap_or(is_system(repo))) {
                    directory.write(format!("{name}.conf").as_ref(), name, settings)?;
                    return Ok(ConfigEdit::Keep);
                }
            }
        }
        apply(keyfile, name, settings)?;
        Ok(ConfigEdit::Write)
    })
}

/// Deletes a remote and its keyring.
///
/// # Errors
/// For a remote that is not there or is a parent's, unless `absent` allows that; when it cannot be
/// deleted.
pub fn delete(repo: &Repo, sysroot: Option<&Path>, name: &str, absent: Absent) -> Result<()> {
    RemoteName::parse(name)?;
    let mut is_absent = false;
    repo.edit_config(|keyfile| {
        let directory = Files::open(repo, sysroot)?;
        match own(keyfile, directory.as_ref())?.remove(name).map(|remote| remote.file) {
            None => {
                is_absent = true;
                Ok(ConfigEdit::Keep)
            }
            Some(Some(file)) => {
                if let (Some(directory), Some(last)) = (&directory, file.file_name()) {
                    dir::remove_file(&directory.dir, last).during("removing", &file)?;
                }
                Ok(ConfigEdit::Keep)
            }
            Some(None) => {
                keyfile.remove_group(&group_of(name));
                Ok(ConfigEdit::Write)
            }
        }
    })?;
    match absent {
        Absent::Ignore if is_absent => return Ok(()),
        Absent::Refuse if is_absent => return Err(not_found(name)),
        _ => {}
    }
    let keyring = keyring::path(repo, name);
    match dir::remove_file(repo.dir(), keyring::file_name(name)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).during("removing", keyring),
    }
}

/// The remotes directory, which stays the same from the first look into it to the last change.
struct Files {
    dir: Dir,
    path: PathBuf,
}

impl Files {
    /// `None` where there is none.
    fn open(repo: &Repo, sysroot: Option<&Path>) -> Result<Option<Self>> {
        let Some(path) = remotes_directory(repo, sysroot) else { return Ok(None) };
        match Dir::open(&path) {
            Ok(dir) => Ok(Some(Self { dir, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).during("listing", path),
        }
    }

    /// The names of the files that may have remotes, sorted.
    fn names(&self) -> Result<Vec<OsString>> {
        let mut names = dir::names(&self.dir).during("listing", &self.path)?;
        names.retain(|name| {
            let is_file = || {
                rustix::fs::statat(&self.dir, name, AtFlags::empty()).is_ok_and(|stat| {
                    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                })
            };
            Path::new(name).extension().is_some_and(|extension| extension == "conf") && is_file()
        });
        names.sort_unstable();
        Ok(names)
    }

    /// Replaces a file by one with that remote.
    fn write(&self, file: &OsStr, name: &str, settings: &[(String, Setting)]) -> Result<()> {
        let mut keyfile = KeyFile::new();
        apply(&mut keyfile, name, settings)?;
        // What it writes first has a name that does not end in `.conf` and is not read as a remote.
        input::replace_in(&self.dir, file, keyfile.to_string().as_bytes())
            .during("writing", self.path.join(file))
    }
}

/// The remotes of the repository itself, whose config is `keyfile`.
fn own(keyfile: &KeyFile, directory: Option<&Files>) -> Result<BTreeMap<String, Remote>> {
    let mut remotes = by_name(in_keyfile(keyfile, None).collect());
    let Some(directory) = directory else { return Ok(remotes) };
    for name in directory.names()? {
        let file = directory.path.join(&name);
        let bytes = input::read_stored(&directory.dir, &name, input::MAX_INPUT_SIZE)
            .during("reading", &file)?;
        let keyfile = text_of(&bytes).and_then(KeyFile::parse);
        let keyfile = keyfile
            .map_err(|source| Error::Malformed { what: file.display().to_string(), source })?;
        for remote in in_keyfile(&keyfile, Some(&file)) {
            if remotes.contains_key(&remote.name) {
                let name = remote.name;
                return Err(Error::failed(format!(
                    "Multiple specifications found for remote \"{name}\""
                )));
            }
            remotes.insert(remote.name.clone(), remote);
        }
    }
    Ok(remotes)
}

fn by_name(remotes: Vec<Remote>) -> BTreeMap<String, Remote> {
    remotes.into_iter().map(|remote| (remote.name.clone(), remote)).collect()
}

fn in_keyfile(keyfile: &KeyFile, file: Option<&Path>) -> impl Iterator<Item = Remote> {
    let names = keyfile.groups().filter_map(name_of_group);
    names.map(move |name| {
        // Each remote takes its own group along and nothing else.
        let mut own = keyfile.clone();
        for group in keyfile.groups().filter(|group| name_of_group(group) != Some(name)) {
            own.remove_group(group);
        }
        Remote { name: name.to_owned(), file: file.map(Path::to_owned), layers: vec![own] }
    })
}

fn remotes_directory(repo: &Repo, sysroot: Option<&Path>) -> Option<PathBuf> {
    match sysroot {
        Some(sysroot) => Some(sysroot.join(REMOTES_DIRECTORY)),
        None => is_system(repo).then(|| Path::new("/").join(REMOTES_DIRECTORY)),
    }
}

/// Whether this is the repository of the running system.
fn is_system(repo: &Repo) -> bool {
    let identity =
        |path: &Path| fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    identity(repo.path())
        .is_some_and(|own| identity(&Path::new("/").join(SYSTEM_REPO)) == Some(own))
}

fn apply(keyfile: &mut KeyFile, name: &str, settings: &[(String, Setting)]) -> Result<()> {
    let group = group_of(name);
    for (key, setting) in settings {
        let changed = match setting {
            Setting::Text(text) => keyfile.set_string(&group, key, text),
            Setting::Boolean(value) => keyfile.set_bool(&group, key, *value),
            Setting::List(members) => keyfile.set_list(&group, key, members),
        };
        changed.map_err(config_error)?;
    }
    Ok(())
}

/// The name in a group of a config file, as in `remote "origin"`.
fn name_of_group(group: &str) -> Option<&str> {
    group.strip_prefix("remote \"")?.strip_suffix('"').filter(|name| !name.is_empty())
}

fn not_found(name: &str) -> Error {
    Error::failed(format!("Remote \"{name}\" not found"))
}
