//! Checks that only we control a directory whose content decides what is killed, unmounted, removed
//! and renamed.
//!
//! Root and the user of this process are trusted. Neither the directory nor a link on the way to it
//! may be another user's, no one else may write to it or rename a part of its path: a directory on
//! the way that others can write to must be sticky, as `/tmp` is.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{During, Error, Result};
use crate::process::shell_line;

/// The limit of links on the way, beyond which they form a loop.
const MOST_LINKS: usize = 40;

/// Refuses a directory that others control. Missing parts of the path are allowed.
///
/// # Errors
/// When others control it, with the reason; when it cannot be checked.
pub(super) fn check(directory: &Path) -> Result<()> {
    let path = std::path::absolute(directory).during("finding", directory)?;
    let refused = |at: &Path, why: String, remedy: Option<String>| {
        let whose = if at == path { String::new() } else { format!("{} ", at.display()) };
        let or_elsewhere = "set `work` to a directory that only you can write to";
        let remedy = remedy
            .map_or(or_elsewhere.to_owned(), |remedy| format!("run `{remedy}`, or {or_elsewhere}"));
        Err(Error::failed(format!("{} is not trusted: {whose}{why}: {remedy}", path.display())))
    };
    let names = |path: &Path| {
        path.iter().filter(|name| *name != "/").map(OsStr::to_owned).collect::<Vec<_>>()
    };
    let mut left: VecDeque<OsString> = names(&path).into();
    let mut reached = PathBuf::from("/");
    let mut links = 0;
    loop {
        let metadata = match fs::symlink_metadata(&reached) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            metadata => metadata.during("looking at", &reached)?,
        };
        // The owner of the root directory can do everything.
        if reached != Path::new("/")
            && let Some(why) = foreign(metadata.uid())
        {
            return refused(&reached, why, None);
        }
        if metadata.is_symlink() {
            let target = fs::read_link(&reached).during("reading", &reached)?;
            links += 1;
            if links > MOST_LINKS {
                return refused(&reached, "is a circle of links".to_owned(), None);
            }
            reached.pop();
            if target.is_absolute() {
                reached = PathBuf::from("/");
            }
            names(&target).into_iter().rev().for_each(|name| left.push_front(name));
        } else if let Some(why) = open_to_others(metadata.mode()) {
            let is_sticky = metadata.mode() & 0o1000 != 0;
            if left.is_empty() || !is_sticky {
                let remedy =
                    shell_line(&[OsStr::new("chmod"), OsStr::new("go-w"), reached.as_os_str()]);
                return refused(&reached, why, Some(remedy));
            }
        }
        match left.pop_front() {
            None => return Ok(()),
            Some(name) if name == ".." => drop(reached.pop()),
            Some(name) => reached.push(name),
        }
    }
}

/// Why others control something with this owner and mode.
pub(super) fn reason(owner: u32, mode: u32) -> Option<String> {
    foreign(owner).or_else(|| open_to_others(mode))
}

fn foreign(owner: u32) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    (owner != 0 && owner != own).then(|| format!("belongs to the user {owner}"))
}

fn open_to_others(mode: u32) -> Option<String> {
    let who = match (mode & 0o020 != 0, mode & 0o002 != 0) {
        (false, false) => return None,
        (_, true) => "everybody",
        (true, false) => "its group",
    };
    Some(format!("can be written to by {who} (mode {:04o})", mode & 0o7777))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    #[test]
    fn only_a_directory_that_nobody_else_controls_is_trusted() {
        let scratch = tempfile::tempdir().unwrap();
        let (above, work) = (scratch.path().join("above"), scratch.path().join("above/work"));
        fs::create_dir_all(&work).unwrap();
        let mode = |path: &Path, mode: u32| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap()
        };
        let message = |path: &Path| check(path).map_err(|error| error.chain()).unwrap_err();
        let (shown, shown_above) = (work.display(), above.display());
        let elsewhere = "set `work` to a directory that only you can write to";
        check(&work).unwrap();
        check(&work.join("not/yet")).unwrap();
        for (bits, who) in [
            (0o775, "its group"),
            (0o757, "everybody"),
            (0o1777, "everybody"),
            (0o2775, "its group"),
        ] {
            mode(&work, bits);
            let why = format!(
                "can be written to by {who} (mode {bits:04o}): run `chmod go-w {shown}`, or \
                 {elsewhere}"
            );
            assert_eq!(message(&work), format!("{shown} is not trusted: {why}"));
        }
        mode(&work, 0o755);
        mode(&above, 0o777);
        let why = format!(
            "can be written to by everybody (mode 0777): run `chmod go-w {shown_above}`, or \
             {elsewhere}"
        );
        assert_eq!(message(&work), format!("{shown} is not trusted: {shown_above} {why}"));
        // As in /tmp, others cannot rename what is not theirs.
        mode(&above, 0o1777);
        check(&work).unwrap();
        mode(&above, 0o755);
        let link = scratch.path().join("link");
        symlink("above/../above", &link).unwrap();
        check(&link.join("work")).unwrap();
        mode(&above, 0o777);
        assert!(message(&link.join("work")).ends_with(&why));
        mode(&above, 0o755);
        symlink("circle", scratch.path().join("circle")).unwrap();
        assert!(
            message(&scratch.path().join("circle/work"))
                .ends_with(&format!("is a circle of links: {elsewhere}"))
        );
        if rustix::process::geteuid().is_root() {
            chown(&work, Some(65534), None).unwrap();
            assert_eq!(
                message(&work),
                format!("{shown} is not trusted: belongs to the user 65534: {elsewhere}")
            );
            chown(&work, Some(0), None).unwrap();
            std::os::unix::fs::lchown(&link, Some(65534), None).unwrap();
            assert!(
                message(&link.join("work"))
                    .ends_with(&format!("/link belongs to the user 65534: {elsewhere}"))
            );
        }
    }
}
