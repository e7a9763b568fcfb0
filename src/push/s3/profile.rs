//! The files of the AWS tools: `~/.aws/credentials` and `~/.aws/config`.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, OsError, Result};
use crate::input::read_named;

/// The settings of a profile that a push needs.
pub(super) type Profile = BTreeMap<String, String>;

/// Reads a profile from the two files, as far as they are there; the credentials count before the
/// config.
///
/// # Errors
/// When a file cannot be read, or (unless it is the default) the profile is in neither.
pub(super) fn load(files: &Files, name: Option<&str>) -> Result<Profile> {
    let wanted = name.unwrap_or("default");
    let in_config = match wanted {
        "default" => wanted.to_owned(),
        other => format!("profile {other}"),
    };
    let (mut profile, mut found) = (Profile::new(), false);
    for (path, section) in [(&files.config, in_config.as_str()), (&files.credentials, wanted)] {
        let Some(text) = path.as_deref().map(read).transpose()?.flatten() else { continue };
        if let Some(settings) = section_of(&text, section) {
            found = true;
            profile.extend(settings);
        }
    }
    match (found, name) {
        (false, Some(name)) => Err(Error::failed(format!(
            "there is no profile '{}' in the files of the AWS tools",
            crate::input::quotable(name)
        ))),
        _ => Ok(profile),
    }
}

/// Where the files are.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    pub(super) config: Option<PathBuf>,
    pub(super) credentials: Option<PathBuf>,
}

fn read(path: &Path) -> Result<Option<String>> {
    match read_named(path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => {
            Err(Error::Io { action: "reading", path: path.to_owned(), source: OsError(source) })
        }
    }
}

/// The settings below a heading; indented lines belong to the setting above, which is none of ours.
fn section_of(text: &str, wanted: &str) -> Option<Profile> {
    let (mut settings, mut inside) = (None, false);
    for line in text.lines() {
        let heading = line.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(heading) = heading {
            inside = heading.split_whitespace().eq(wanted.split_whitespace());
            if inside {
                settings.get_or_insert_with(Profile::new);
            }
            continue;
        }
        let is_setting = !line.starts_with([' ', '\t', '#', ';']);
        if let (true, true, Some((key, value))) = (inside, is_setting, line.split_once('='))
            && let Some(settings) = &mut settings
        {
            settings.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_read_from_both_files() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let files = Files {
            config: write(
                "config",
                "[default]\nregion = here\n[profile  ci]\nregion=there\ns3 =\n  region = nested\n# region = x\n",
            ),
            credentials: write(
                "credentials",
                "[default]\naws_access_key_id = A\n\n[ci]\naws_access_key_id=C\naws_secret_access_key = s=t\n",
            ),
        };
        let default = load(&files, None).unwrap();
        assert_eq!((&default["region"][..], &default["aws_access_key_id"][..]), ("here", "A"));
        let ci = load(&files, Some("ci")).unwrap();
        assert_eq!(
            (&ci["region"][..], &ci["aws_access_key_id"][..], &ci["aws_secret_access_key"][..]),
            ("there", "C", "s=t")
        );
        let error = load(&files, Some("none")).unwrap_err().chain();
        assert_eq!(error, "there is no profile 'none' in the files of the AWS tools");
        assert!(load(&Files::default(), None).unwrap().is_empty());
    }
}
