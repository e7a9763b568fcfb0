//! `remote`: a group of commands.

mod add;
mod add_cookie;
mod delete;
mod delete_cookie;
#[cfg(feature = "pull")]
mod fetched;
mod gpg_import;
mod gpg_list_keys;
mod list;
mod list_cookies;
#[cfg(feature = "pull")]
mod refs;
mod show_url;
#[cfg(feature = "pull")]
mod summary;

use std::path::{Path, PathBuf};

use osier::error::{Context as _, During as _};
use osier::repo::Repo;

#[cfg(not(feature = "pull"))]
use super::builtin::left_out;
use super::builtin::{Builtin, Commands, RepoOption, command};
use super::context::{self, Context};
use super::error::Failure;

/// The commands, in the order of ostree's help.
pub(super) static COMMANDS: Commands = &[
    command!(
        add,
        "remote add",
        "NAME [metalink=|mirrorlist=]URL [BRANCH...]",
        "Add a remote repository",
        RepoOption::Unknown
    ),
    command!(delete, "remote delete", "NAME", "Delete a remote repository", RepoOption::Unknown),
    command!(show_url, "remote show-url", "NAME", "Show remote repository URL", RepoOption::Known),
    command!(list, "remote list", "", "List remote repository names", RepoOption::Known),
    command!(
        gpg_import,
        "remote gpg-import",
        "NAME [KEY-ID...]",
        "Import GPG keys",
        RepoOption::Known
    ),
    command!(
        gpg_list_keys,
        "remote gpg-list-keys",
        "NAME",
        "Show remote GPG keys",
        RepoOption::Known
    ),
    command!(
        add_cookie,
        "remote add-cookie",
        "NAME DOMAIN PATH COOKIE_NAME VALUE",
        "Add a cookie to remote",
        RepoOption::Known
    ),
    command!(
        delete_cookie,
        "remote delete-cookie",
        "NAME DOMAIN PATH COOKIE_NAME",
        "Remove one cookie from remote",
        RepoOption::Known
    ),
    command!(
        list_cookies,
        "remote list-cookies",
        "NAME",
        "Show remote repository cookies",
        RepoOption::Known
    ),
    #[cfg(feature = "pull")]
    command!(refs, "remote refs", "NAME", "List remote refs", RepoOption::Known),
    #[cfg(not(feature = "pull"))]
    left_out("remote refs", "this osier is built without the feature 'pull'"),
    #[cfg(feature = "pull")]
    command!(summary, "remote summary", "NAME", "Show remote summary", RepoOption::Known),
    #[cfg(not(feature = "pull"))]
    left_out("remote summary", "this osier is built without the feature 'pull'"),
];

/// A repository, and its sysroot if any.
struct Place {
    repo: Repo,
    sysroot: Option<PathBuf>,
}

impl Place {
    /// Opens the repository of `--sysroot` if that is given, else the one of `--repo`.
    fn open(context: &Context, sysroot: Option<&Path>) -> Result<Self, Failure> {
        let Some(sysroot) = sysroot else {
            let repo = context.open_writable_repo()?;
            let sysroot = std::env::var_os("OSTREE_SYSROOT").map(PathBuf::from);
            // The variable only applies to the repository that it names.
            let is_below = |sysroot: &PathBuf| {
                let own = repo.path().canonicalize().ok();
                own.is_some() && sysroot.join("ostree/repo").canonicalize().ok() == own
            };
            return Ok(Self { sysroot: sysroot.filter(is_below), repo });
        };
        let sysroot = std::path::absolute(sysroot).during("finding", sysroot)?;
        std::fs::read_dir(&sysroot)
            .calling("opendir", &sysroot)
            .context(|| "loading sysroot".to_owned())?;
        let repo = Repo::open_with(&sysroot.join("ostree/repo"), &context::open_options()?)?;
        repo.check_writable()?;
        Ok(Self { repo, sysroot: Some(sysroot) })
    }

    fn sysroot(&self) -> Option<&Path> {
        self.sysroot.as_deref()
    }
}
