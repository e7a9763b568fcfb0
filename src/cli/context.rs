//! The context of a command, and how it finds its repository.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::{env, fs};

use osier::deflate::Encoding;
use osier::error::During;
use osier::progress::Progress;
use osier::remote::SYSTEM_REPO;
use osier::repo::{OpenOptions, Repo};

use super::error::Failure;
use super::interrupt;
use super::name::stands_in_for_ostree;
use super::options::Parsed;
use super::output::Output;
use super::progress::Display;
use super::suggest;

/// The context of a command.
pub(super) struct Context {
    /// Standard output.
    pub(super) out: Output,
    /// The value of `--repo`.
    repo: Option<OsString>,
    /// Whether the program is called `ostree`.
    is_ostree: bool,
}

impl Context {
    /// For a command that is about to run.
    pub(super) fn new(program: &str, out: Output, parsed: &Parsed) -> Self {
        let repo = parsed.matches.try_get_one::<OsString>("repo").ok().flatten().cloned();
        Self { out, repo, is_ostree: stands_in_for_ostree(program) }
    }

    /// Whether the program stands in for `ostree`.
    pub(super) fn is_ostree(&self) -> bool {
        self.is_ostree
    }

    /// The failure with this message about an unknown word. It suggests a known word, unless the
    /// program stands in for `ostree`.
    pub(super) fn unknown_word(&self, message: String, typed: &str, known: &[&str]) -> Failure {
        let hint = if self.is_ostree { String::new() } else { suggest::hint(typed, known) };
        Failure::failed(message + &hint)
    }

    /// Shows the user the progress of an operation.
    pub(super) fn progress(&self) -> impl Progress + use<> {
        self.display().that_leaves_nothing()
    }

    /// The same, with only warnings and bars, for a command that prints JSON.
    pub(super) fn quiet_progress(&self) -> impl Progress + use<> {
        self.display().without_lines().that_leaves_nothing()
    }

    /// For an operation that handles signals.
    pub(super) fn display(&self) -> Display {
        Display::new(self.out.clone())
    }

    /// For a transaction in `repo`: if interrupted, it reports what it leaves behind.
    pub(super) fn transaction_progress(&self, repo: &Repo, json: bool) -> Display {
        let path = repo.path().to_owned();
        self.display_for(json).that_leaves(move || interrupt::about_staging(&path))
    }

    /// The same, with standard output left to JSON if that is requested.
    pub(super) fn progress_for(&self, json: bool) -> impl Progress + use<> {
        self.display_for(json).that_leaves_nothing()
    }

    pub(super) fn display_for(&self, json: bool) -> Display {
        if json { self.display().without_lines() } else { self.display() }
    }

    /// Opens the repository of the command.
    pub(super) fn open_repo(&self) -> Result<Repo, Failure> {
        self.open_repo_with(&open_options()?)
    }

    /// The same, with options other than those of the environment.
    pub(super) fn open_repo_with(&self, options: &OpenOptions) -> Result<Repo, Failure> {
        Ok(Repo::open_with(&self.repo_path()?, options)?)
    }

    /// Opens the repository, and makes sure that it may be written to.
    pub(super) fn open_writable_repo(&self) -> Result<Repo, Failure> {
        let repo = self.open_repo()?;
        repo.check_writable()?;
        Ok(repo)
    }

    /// The absolute path of the command's repository, whether or not it exists.
    pub(super) fn repo_path(&self) -> Result<PathBuf, Failure> {
        path_of(self.repo.as_deref())
    }
}

/// Opens the repository that a command with this `--repo` would work on.
pub(super) fn open_named(repo: Option<&OsStr>) -> Result<Repo, Failure> {
    Ok(Repo::open_with(&path_of(repo)?, &open_options()?)?)
}

fn path_of(repo: Option<&OsStr>) -> Result<PathBuf, Failure> {
    let path = match repo {
        Some(path) => PathBuf::from(path),
        None => discover(|name| env::var_os(name)).ok_or_else(no_repo)?,
    };
    absolute(&path)
}

/// The absolute path of a repository that the user named.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let current = env::current_dir().during("finding", "the current directory")?;
    Ok(normalized(&current.join(path)))
}

/// The environment's options for opening a repository.
pub(super) fn open_options() -> Result<OpenOptions, Failure> {
    Ok(OpenOptions {
        boot_id: env::var("OSTREE_BOOTID").ok(),
        skip_cache: env::var_os("OSTREE_SKIP_CACHE").is_some(),
        write_bare_split_xattrs: env::var_os("OSTREE_EXP_WRITE_BARE_SPLIT_XATTRS").is_some(),
        fail_before_commit: is_test_error("pre-commit"),
        refuse_invalid_cache: is_test_error("invalid-cache"),
        deflate: encoding()?,
        ..OpenOptions::default()
    })
}

/// Whether the environment asks for an error that upstream's tests look for.
fn is_test_error(name: &str) -> bool {
    env::var_os("OSTREE_REPO_TEST_ERROR").is_some_and(|value| value == name)
}

/// How file objects are compressed, as set in the environment.
fn encoding() -> Result<Option<Encoding>, Failure> {
    let Some(name) = env::var_os("OSIER_DEFLATE") else { return Ok(None) };
    let encoding = name.to_str().and_then(Encoding::parse);
    let message = || {
        format!("invalid OSIER_DEFLATE '{}', it can be 'fast' or 'zlib'", name.to_string_lossy())
    };
    encoding.map(Some).ok_or_else(|| Failure::failed(message()))
}

fn no_repo() -> Failure {
    Failure::Incomplete("Command requires a --repo argument".to_owned())
}

/// The repository of a command without `--repo`: the current directory if it is one, else the one
/// that the environment names, else the system's.
fn discover(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if Path::new("objects").is_dir() && Path::new("config").is_file() {
        return Some(PathBuf::from("."));
    }
    let candidate = match variable("OSTREE_REPO") {
        Some(path) => PathBuf::from(path),
        None => Path::new(variable("OSTREE_SYSROOT").as_deref().unwrap_or(OsStr::new("/")))
            .join(SYSTEM_REPO),
    };
    let is_missing = fs::metadata(candidate.join("objects"))
        .is_err_and(|error| error.kind() == ErrorKind::NotFound);
    // Any other problem is reported when it is opened.
    (!is_missing).then_some(candidate)
}

/// An absolute path without `.`, `..` and doubled slashes, symbolic links not followed: how
/// upstream names files in its messages.
fn normalized(path: &Path) -> PathBuf {
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                result.pop();
            }
            other => result.push(other),
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalized_without_looking_at_the_disk() {
        let cases = [
            ("/a/./b/../c", "/a/c"),
            ("/../a", "/a"),
            ("//a///b/", "/a/b"),
            ("/", "/"),
            ("/a/..", "/"),
        ];
        for (path, expected) in cases {
            assert_eq!(normalized(Path::new(path)), Path::new(expected), "{path}");
        }
    }
}
