//! What was typed before the cursor, sorted out.

use super::shell_words::expanded;

/// Which names the shell adds.
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

/// What was typed before the cursor, sorted out.
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

    /// The repository that the line names.
    pub(super) fn repo(&self) -> Option<String> {
        let below = |sysroot: &str| format!("{}/ostree/repo", expanded(sysroot));
        self.value("sysroot").map(below).or_else(|| self.value("repo").map(expanded))
    }
}
