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
use osier::sign::VerificationKeys;

use super::builtin::{Builtin, Commands, RepoOption, command};
use super::elsewhere::KEY_DIRECTORIES;
use super::error::Failure;
use super::options::path;
use super::signing;

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

/// Where public keys come from, besides the arguments.
#[derive(clap::Args)]
struct KeyOptions {
    /// Signature type to use (defaults to 'ed25519')
    #[arg(long, value_name = "NAME")]
    sign_type: Option<String>,
    /// Read key(s) from file
    #[arg(long, value_name = "NAME", value_parser = path())]
    keys_file: Option<PathBuf>,
    /// Redefine system-wide directories with public and revoked keys for verification
    #[arg(long, value_name = "NAME", value_parser = path())]
    keys_dir: Option<PathBuf>,
}

/// What to do when the directories of the system have no key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WithoutKeys {
    Refuse,
    GoOn,
}

impl KeyOptions {
    /// The keys, `inline` ones first; `None` when there are none and that is accepted.
    fn load(
        &self,
        inline: &[String],
        without: WithoutKeys,
    ) -> Result<Option<VerificationKeys>, Failure> {
        let mut keys = VerificationKeys::new(signing::engine(self.sign_type.as_deref())?);
        for key in inline {
            keys.add_inline(key).map_err(osier::Error::from)?;
        }
        let loaded = match (&self.keys_file, &self.keys_dir) {
            (Some(file), _) => keys.load_file(file),
            (None, Some(directory)) if inline.is_empty() => {
                keys.load_directories(std::slice::from_ref(directory))
            }
            (None, None) if inline.is_empty() => {
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
