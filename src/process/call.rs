//! The command line of an external program: which file it is, its arguments, its environment.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, Result};

/// A command line and its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The program as the user calls it, and its arguments. Never empty.
    pub argv: Vec<OsString>,
    /// The path of the executable; it is not looked up in `PATH`.
    pub executable: PathBuf,
    /// All variables of its environment; none are inherited.
    pub environment: Vec<(OsString, OsString)>,
}

impl Call {
    /// A call of what `program` names, with its leading arguments, on the `PATH` of the
    /// environment.
    ///
    /// # Errors
    /// When there is no such program, or it cannot be executed.
    pub fn new(program: &[String], environment: &[(OsString, OsString)]) -> Result<Self> {
        let name = program.first().map_or("", String::as_str);
        Ok(Self {
            executable: find(name, environment)?,
            argv: program.iter().map(OsString::from).collect(),
            environment: environment.to_vec(),
        })
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The same for a program that need not be there, for a command line that is only shown.
    pub fn unsought(program: &[String], environment: &[(OsString, OsString)]) -> Self {
        let argv: Vec<OsString> = program.iter().map(OsString::from).collect();
        Self {
            executable: argv.first().map(PathBuf::from).unwrap_or_default(),
            argv,
            environment: environment.to_vec(),
        }
    }

    /// In a process group of its own, without input.
    pub(super) fn command(&self) -> Command {
        let mut command = self.attended();
        command.stdin(Stdio::null()).process_group(0);
        command
    }

    /// In the process group of its caller, whose user it may ask something.
    pub(super) fn attended(&self) -> Command {
        let mut command = Command::new(&self.executable);
        if let Some(name) = self.argv.first() {
            command.arg0(name);
        }
        command
            .args(self.argv.iter().skip(1))
            .env_clear()
            .envs(self.environment.iter().map(|(n, v)| (n, v)));
        command
    }
}

/// Finds an executable: a name with a slash is a path, any other is looked for on the environment's
/// `PATH`.
///
/// # Errors
/// When there is none, or none that may be executed.
pub fn find(name: &str, environment: &[(OsString, OsString)]) -> Result<PathBuf> {
    let is_file = |path: &Path| path.metadata().is_ok_and(|metadata| metadata.is_file());
    let is_executable = |path: &Path| {
        path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
    };
    let candidates: Vec<PathBuf> = if name.contains('/') {
        vec![name.into()]
    } else {
        let path = environment
            .iter()
            .find(|(name, _)| name == "PATH")
            .map_or(OsStr::new(""), |(_, value)| value);
        // An empty entry would stand for the current directory, which is never intended.
        let directories =
            std::env::split_paths(path).filter(|directory| !directory.as_os_str().is_empty());
        directories.map(|directory| directory.join(name)).collect()
    };
    let files: Vec<&PathBuf> = candidates.iter().filter(|path| is_file(path)).collect();
    match (files.iter().find(|path| is_executable(path)), files.first()) {
        (Some(path), _) => Ok((**path).clone()),
        (None, Some(path)) => Err(Error::failed(format!("{} is not executable", path.display()))),
        (None, None) if name.contains('/') => {
            Err(Error::failed(format!("there is no program {name}")))
        }
        (None, None) => Err(Error::failed(format!("there is no program `{name}` on PATH"))),
    }
}

/// A command line that a shell takes apart as it was.
pub fn shell_line(argv: &[impl AsRef<OsStr>]) -> String {
    argv.iter()
        .map(|word| shell_word(&word.as_ref().to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The same with what is set in its environment before.
pub fn shell_line_with(set: &[(&str, OsString)], argv: &[impl AsRef<OsStr>]) -> String {
    let assignment = |(name, value): &(&str, OsString)| {
        let mut assignment = OsString::from(format!("{name}="));
        assignment.push(value);
        shell_line(&[assignment])
    };
    let set: Vec<String> = set.iter().map(assignment).collect();
    format!("env {} {}", set.join(" "), shell_line(argv))
}

fn shell_word(word: &str) -> String {
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Takes a command line apart that [`shell_line`] has made. Nothing else that a shell knows is
/// understood: `None`.
pub fn words_of_shell_line(line: &str) -> Option<Vec<String>> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            ' ' => words.extend(word.take()),
            '\'' => {
                let (quoted, after) = rest.split_once('\'')?;
                word.get_or_insert_default().push_str(quoted);
                rest = after;
            }
            '\\' => {
                rest = rest.strip_prefix('\'')?;
                word.get_or_insert_default().push('\'');
            }
            c if is_plain(c) => word.get_or_insert_default().push(c),
            _ => return None,
        }
    }
    words.extend(word);
    Some(words)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Interrupt, ask};
    use super::*;

    #[test]
    fn programs_are_found_on_the_path_or_by_their_own() {
        let directory = tempfile::tempdir().unwrap();
        let environment = [("PATH".into(), directory.path().into())];
        let program = directory.path().join("tool");
        let message = |name: &str| find(name, &environment).unwrap_err().to_string();
        assert_eq!(message("tool"), "there is no program `tool` on PATH");
        assert_eq!(message("/nowhere/tool"), "there is no program /nowhere/tool");
        std::fs::write(&program, "").unwrap();
        assert_eq!(message("tool"), format!("{} is not executable", program.display()));
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(find("tool", &environment).unwrap(), program);
        assert_eq!(find(program.to_str().unwrap(), &[]).unwrap(), program);
        assert_eq!(
            find("Cargo.toml", &[]).unwrap_err().to_string(),
            "there is no program `Cargo.toml` on PATH"
        );
    }

    #[test]
    fn a_shell_gets_back_what_was_quoted() {
        let words =
            ["a/b=c,d:e@f%g+h-i_j.k", "", "a b", "it's", "$x", "\"", "é", "{}", "a\nb", "\\", "~"];
        let line = shell_line(&words);
        assert!(line.starts_with("a/b=c,d:e@f%g+h-i_j.k '' 'a b' 'it'\\''s' '$x'"), "{line}");
        let program = ["sh".to_owned(), "-c".to_owned(), format!("printf '%s\\0' {line}")];
        let call = Call::new(&program, &[("PATH".into(), "/usr/bin:/bin".into())]).unwrap();
        let answer = ask(&call, Duration::from_secs(60), &Interrupt::default()).unwrap();
        assert_eq!(String::from_utf8(answer.stdout).unwrap(), words.join("\0") + "\0");
        assert_eq!(words_of_shell_line(&line).unwrap(), words);
        for line in ["a;b", "$x", "`x`", "\"x\"", "a\\b", "'open", "a>b", "~", "a\nb", "a|b"] {
            assert_eq!(words_of_shell_line(line), None, "{line}");
        }
    }
}
