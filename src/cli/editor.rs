//! The commit message from the user's editor.

use std::env;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use osier::error::During;
use osier::input;

use super::error::Failure;

/// How many names are tried for the file.
const MOST_NAMES: u32 = 100;

/// A commit message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// One line.
    pub(super) subject: String,
    /// The rest, without blank lines at both ends.
    pub(super) body: String,
}

/// Lets the user write the message of a commit to `branch`, starting from a subject.
pub(super) fn edit_message(
    branch: Option<&str>,
    subject: Option<&str>,
) -> Result<Message, Failure> {
    let file = TemporaryFile::create(&template(branch, subject))?;
    run_editor(&file.path)?;
    let bytes = input::read_named(&file.path).during("reading", &file.path)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::failed("Invalid UTF-8"))?;
    parse_message(&text)
        .ok_or_else(|| Failure::failed("Aborting commit due to empty commit subject."))
}

/// The initial text in the editor.
fn template(branch: Option<&str>, subject: Option<&str>) -> String {
    let mut text = "\n\
        # Write the message of this commit: the first line is its subject, all others\n\
        # are its body. Lines that start with '#' are left out. Without a subject\n\
        # nothing is committed.\n"
        .to_owned();
    if let Some(branch) = branch {
        text.push_str(&format!("#\n# Branch: {branch}\n"));
    }
    if let Some(subject) = subject {
        text.push_str(&format!("{subject}\n"));
    }
    text
}

/// Subject and body of what the user wrote; `None` without a subject.
fn parse_message(text: &str) -> Option<Message> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim_ascii_end);
    let subject = lines.find(|line| !line.is_empty())?.to_owned();
    let body: Vec<&str> = lines.skip_while(|line| line.is_empty()).collect();
    Some(Message { subject, body: body.join("\n").trim_end_matches('\n').to_owned() })
}

fn run_editor(file: &Path) -> Result<(), Failure> {
    let editor = ["OSTREE_EDITOR", "VISUAL", "EDITOR"].into_iter().find_map(env::var_os);
    let editor = editor.unwrap_or_else(|| OsString::from("vi"));
    // The shell splits the variable, which may contain options; the file name is a separate
    // argument.
    let mut script = editor.clone();
    script.push(" \"$1\"");
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg("sh").arg(file);
    let status = command.status().during("running", "/bin/sh")?;
    if status.success() {
        return Ok(());
    }
    let how = match status.code() {
        Some(code) => format!("exited with code {code}"),
        None => "killed by a signal".to_owned(),
    };
    // Upstream leaves no space between the two sentences.
    Err(Failure::failed(format!(
        "There was a problem with the editor '{}'Child process {how}",
        editor.display()
    )))
}

/// A file that is removed when it goes out of scope.
struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    /// Writes a new file that only its owner may read.
    fn create(text: &str) -> Result<Self, Failure> {
        let mut number = 0;
        let (path, mut file) = loop {
            let path = env::temp_dir().join(format!("osier-message.{}.{number}", process::id()));
            let mut options = OpenOptions::new();
            match options.write(true).create_new(true).mode(0o600).open(&path) {
                // Other users can create files there.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && number < MOST_NAMES => {
                    number += 1
                }
                opened => break (path.clone(), opened.during("creating", &path)?),
            }
        };
        let temporary = Self { path };
        file.write_all(text.as_bytes()).during("writing", &temporary.path)?;
        Ok(temporary)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // A leftover in the directory for temporary files does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_the_subject_and_the_rest_the_body() {
        // The results of ostree for these texts.
        let cases = [
            ("a", "a", ""),
            ("a\n\nb", "a", "b"),
            ("a\nb\n\nc\n", "a", "b\n\nc"),
            ("\n\na", "a", ""),
            ("\n  \n a\n", " a", ""),
            ("a\n\n\n\n  b\n", "a", "  b"),
            ("a\n b\n#c\nd  \n \n\n", "a", " b\nd"),
            ("a\r\nb\r\n", "a", "b"),
            (" #x\na", " #x", "a"),
            ("a\n\n\n#c\n\n\nb\n#\n\n", "a", "b"),
            ("a\n b  \nc \n\n \nd\t\n", "a", " b\nc\n\n\nd"),
            (" a \n  \n \n b", " a", " b"),
            ("a\n\u{c}\nb", "a", "b"),
        ];
        for (text, subject, body) in cases {
            let expected = Message { subject: subject.to_owned(), body: body.to_owned() };
            assert_eq!(parse_message(text), Some(expected), "{text:?}");
        }
    }

    #[test]
    fn without_a_subject_there_is_no_message() {
        for text in ["", "\n", "#x\n", "  \n", &template(Some("main"), None)] {
            assert_eq!(parse_message(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_template_names_the_branch_and_keeps_the_subject() {
        assert!(template(Some("main"), None).contains("\n# Branch: main\n"));
        let expected = Message { subject: "s".to_owned(), body: "t".to_owned() };
        assert_eq!(parse_message(&template(None, Some("s\nt"))), Some(expected));
    }
}
