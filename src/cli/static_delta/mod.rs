//! `static-delta`: a group of commands.

mod apply_offline;
mod delete;
mod generate;
mod indexes;
mod list;
mod reindex;
mod show;
mod verify;

use std::path::{Path, PathBuf};

use osier::delta::DeltaFile;
use osier::repo::Repo;
use osier::sign::{Engine, VerificationKeys};

use super::builtin::{Builtin, Commands, RepoOption, command};
use super::elsewhere::KEY_DIRECTORIES;
use super::error::Failure;

/// The commands, in the order of ostree's help.
pub(super) static COMMANDS: Commands = &[
    command!(list, "static-delta list", "", "List static delta files", RepoOption::Known),
    command!(show, "static-delta show", "", "Dump information on a delta", RepoOption::Known),
    command!(delete, "static-delta delete", "", "Remove a delta", RepoOption::Known),
    command!(
        generate,
        "static-delta generate",
        "[TO]",
        "Generate static delta files",
        RepoOption::Known
    ),
    command!(
        apply_offline,
        "static-delta apply-offline",
        "",
        "Apply static delta file",
        RepoOption::Known
    ),
    command!(
        verify,
        "static-delta verify",
        "STATIC-DELTA-FILE [KEY-ID...]",
        "Verify static delta signatures",
        RepoOption::Known
    ),
    command!(indexes, "static-delta indexes", "", "List static delta indexes", RepoOption::Known),
    command!(
        reindex,
        "static-delta reindex",
        "",
        "Regenerate static delta indexes",
        RepoOption::Known
    ),
];

/// Opens the delta that the user names: the file of a superblock if there is a `/` in it, else a
/// delta of the repository.
fn open(repo: &Repo, named: &str) -> Result<DeltaFile, Failure> {
    match named.contains('/') {
        true => Ok(DeltaFile::open_superblock(repo, Path::new(named))?),
        false => {
            let name = named.parse().map_err(osier::Error::InvalidChecksum)?;
            Ok(DeltaFile::of_repo(repo, &name)?)
        }
    }
}

/// Where public keys come from.
struct KeySources<'a> {
    inline: &'a [String],
    file: Option<&'a Path>,
    directory: Option<&'a Path>,
}

/// What to do when the directories of the system have no key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WithoutKeys {
    Refuse,
    GoOn,
}

impl KeySources<'_> {
    /// The keys; `None` when there are none and that is accepted.
    fn load(
        &self,
        engine: Engine,
        without: WithoutKeys,
    ) -> Result<Option<VerificationKeys>, Failure> {
        let mut keys = VerificationKeys::new(engine);
        for key in self.inline {
            keys.add_inline(key).map_err(osier::Error::from)?;
        }
        let loaded = match (self.file, self.directory) {
            (Some(file), _) => keys.load_file(file),
            (None, Some(directory)) if self.inline.is_empty() => {
                keys.load_directories(&[directory.to_owned()])
            }
            (None, None) if self.inline.is_empty() => {
                let directories = KEY_DIRECTORIES.map(PathBuf::from);
                let loaded = keys.load_directories(&directories);
                if loaded.is_err() && keys.is_empty() && without == WithoutKeys::GoOn {
                    return Ok(None);
                }
                loaded
            }
            _ => Ok(()),
        };
        loaded.map_err(osier::Error::from)?;
        Ok(Some(keys))
    }
}
