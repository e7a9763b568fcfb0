//! Which repository a sender gets, where a key may only push below one directory: the command of
//! `authorized_keys` is `osier receive --root=DIR`, and ssh hands on what the sender asked for.

use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};
use crate::input::quotable;
use crate::process::words_of_shell_line;

/// The path in a command line that a sender has sent, `osier receive PATH`.
///
/// # Errors
/// When it is any other command.
pub fn path_of_command(line: &str) -> Result<String> {
    let words = words_of_shell_line(line).unwrap_or_default();
    match <[String; 3]>::try_from(words) {
        Ok([_, command, path]) if command == "receive" && !path.starts_with("--") => Ok(path),
        _ => Err(Error::failed(format!(
            "'{}' is not allowed here: only osier push is",
            quotable(line)
        ))),
    }
}

/// The repository below `root` that a sender means by a path, which begins there whether it is
/// absolute or not.
///
/// # Errors
/// When it would lead elsewhere, or into another repository.
pub fn below(root: &Path, path: &str) -> Result<PathBuf> {
    let refused =
        |why: &str| Err(Error::failed(format!("'{}' is not allowed here: {why}", quotable(path))));
    let mut found = root.to_owned();
    let mut names = 0;
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::CurDir => continue,
            Component::Normal(name) if !name.as_encoded_bytes().starts_with(b".") => {
                if is_repository(&found) {
                    return refused("it is within a repository");
                }
                found.push(name);
                names += 1;
            }
            _ => return refused("no name in it may begin with '.'"),
        }
        match found.symlink_metadata() {
            Ok(metadata) if !metadata.is_dir() => return refused("it leads elsewhere"),
            _ => {}
        }
    }
    match names {
        0 if !is_repository(root) => refused("it names no repository"),
        _ => Ok(found),
    }
}

fn is_repository(path: &Path) -> bool {
    path.join("objects").exists() || path.join("config").exists()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_a_push_may_be_asked_for() {
        for (line, path) in [
            ("osier receive /a/b", "/a/b"),
            ("osier receive 'a b'", "a b"),
            ("/opt/osier receive ./x", "./x"),
        ] {
            assert_eq!(path_of_command(line).unwrap(), path);
        }
        for line in [
            "",
            "sh",
            "osier prune x",
            "osier receive",
            "osier receive a b",
            "osier receive --root=/",
            "osier receive a; sh",
            "osier receive $(x)",
        ] {
            let expected = format!("'{line}' is not allowed here: only osier push is");
            assert_eq!(path_of_command(line).unwrap_err().chain(), expected);
        }
    }

    #[test]
    fn no_path_leads_out_of_the_root_or_into_a_repository() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("os/stable/objects")).unwrap();
        fs::create_dir_all(root.join("os/stable/refs/heads")).unwrap();
        std::os::unix::fs::symlink("/", root.join("link")).unwrap();
        for (path, expected) in
            [("/os/stable", "os/stable"), ("os/new", "os/new"), ("./os//./new/", "os/new")]
        {
            assert_eq!(below(root, path).unwrap(), root.join(expected));
        }
        for (path, why) in [
            ("..", "no name in it may begin with '.'"),
            ("/os/../../etc", "no name in it may begin with '.'"),
            (".ssh", "no name in it may begin with '.'"),
            ("link/tmp", "it leads elsewhere"),
            ("link", "it leads elsewhere"),
            ("os/stable/refs/heads/new", "it is within a repository"),
            ("os/stable/new", "it is within a repository"),
            ("/", "it names no repository"),
            ("", "it names no repository"),
        ] {
            let expected = format!("'{path}' is not allowed here: {why}");
            assert_eq!(below(root, path).unwrap_err().chain(), expected);
        }
        assert_eq!(below(&root.join("os/stable"), "/").unwrap(), root.join("os/stable"));
    }
}
