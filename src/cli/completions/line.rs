//! The parsed command line before the cursor.

#[cfg(feature = "compose")]
use std::path::Path;

#[cfg(feature = "compose")]
use osier::compose::ComposeConfig;

use super::shell_words::expanded;
#[cfg(feature = "compose")]
use crate::cli::context;

/// The kinds of names that the shell adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// None.
    #[default]
    Words,
    /// Those of all files.
    Files,
    /// Those of directories.
    Directories,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Files => "files",
            Self::Directories => "directories",
        }
    }
}

/// The parsed command line before the cursor.
pub(super) struct Line {
    /// The command's full name.
    pub(super) command: &'static str,
    /// Options that have a value.
    pub(super) options: Vec<(String, String)>,
    /// Arguments that are no options.
    pub(super) arguments: Vec<String>,
    /// Flags.
    pub(super) flags: Vec<String>,
}

impl Line {
    /// The last value of an option.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        self.options.iter().rev().find(|(name, _)| name == option).map(|(_, value)| value.as_str())
    }

    /// Whether a flag, or an option with a value, is there.
    pub(super) fn has(&self, option: &str) -> bool {
        self.flags.iter().any(|flag| flag == option) || self.value(option).is_some()
    }

    /// The repository given on the line.
    pub(super) fn repo(&self) -> Option<String> {
        let below = |sysroot: &str| format!("{}/ostree/repo", expanded(sysroot));
        let named = self.value("sysroot").map(below).or_else(|| self.value("repo").map(expanded));
        named.or_else(|| self.repo_of_compose())
    }
}

#[cfg(feature = "compose")]
impl Line {
    /// The repository that the configuration of a compose names.
    fn repo_of_compose(&self) -> Option<String> {
        let path = self.value("config").filter(|_| self.command.starts_with("compose "))?;
        let path = context::absolute(Path::new(&expanded(path))).ok()?;
        let (config, _) = ComposeConfig::read(&path).ok()?;
        config?.tree.repo.to_str().map(str::to_owned)
    }
}

#[cfg(not(feature = "compose"))]
impl Line {
    /// Not a compose command.
    fn repo_of_compose(&self) -> Option<String> {
        None
    }
}
