//! SELinux labels for files, from the policy of an operating system's tree.
//!
//! ```text
//! root           the files of the policy, in a directory or in a commit
//! file_contexts  which label a path has: patterns, and the order in which they count
//! ```
//!
//! The policy is `etc/selinux` of the tree, or `usr/etc/selinux`; its `config` says which of the
//! policies there is meant. The labels stand in `TYPE/contexts/files`, as text, and are read
//! without libselinux: selabel_file(5) describes the format.

mod file_contexts;
mod root;

use std::path::Path;

use crate::checksum::Checksum;
use crate::error::{Context, During, Error, OsError, Result};
use crate::gvariant::DecodeError;
use crate::object::{S_IFDIR, Xattrs};
use crate::repo::Repo;

use file_contexts::{FileContexts, Substitutions};
use root::Root;

/// The xattr that holds a label, with a NUL at its end.
const XATTR: &[u8] = b"security.selinux";

/// Which labels the files of a tree have.
#[derive(Debug)]
pub struct Policy {
    contexts: FileContexts,
    /// `file_contexts.subs`, the administrator's, comes before `file_contexts.subs_dist`.
    substitutions: [Substitutions; 2],
    epoch: Epoch,
}

/// How paths are mapped; later epochs change checksums, so they have to be requested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Epoch {
    /// Every path as it is.
    #[default]
    Zero,
    /// `/usr/etc` as the `/etc` that it becomes.
    One,
}

impl Policy {
    /// The policy of the tree in a directory; `None` if there is none, or it is disabled.
    ///
    /// # Errors
    /// When the policy is incomplete, or a line of it is malformed. A pattern is not looked into
    /// before it is needed.
    pub fn open(root: &Path) -> Result<Option<Self>> {
        std::fs::read_dir(root).calling("opendir", root)?;
        Self::load(&Root::Directory(root), &["etc/selinux", "usr/etc/selinux"])
    }

    /// The policy of the tree in a commit, where it is in `/usr/etc/selinux`.
    ///
    /// # Errors
    /// As [`Policy::open`], and what reading the commit says.
    pub fn of_commit(repo: &Repo, commit: &Checksum) -> Result<Option<Self>> {
        let commit = repo.load_commit(commit)?;
        Self::load(&Root::Commit(repo, &commit), &["usr/etc/selinux"])
            .context(|| "setting sepolicy from commit".into())
    }

    /// Takes paths in the way of an epoch.
    #[must_use]
    pub fn with_epoch(self, epoch: Epoch) -> Self {
        Self { epoch, ..self }
    }

    /// The label of a file: its absolute path in the tree without a slash at the end, its mode with
    /// type bits. `None` if the policy wants it without.
    ///
    /// # Errors
    /// When a pattern that might match the path is not one.
    pub fn label(&self, path: &str, mode: u32) -> Result<Option<&str>> {
        let malformed =
            |source: DecodeError| Error::Malformed { what: format!("labelling {path}"), source };
        let path = match (self.epoch, path.strip_prefix("/usr/etc")) {
            (Epoch::One, Some(rest)) if rest.is_empty() || rest.starts_with('/') => {
                &path["/usr".len()..]
            }
            _ => path,
        };
        // As upstream: policies say nothing about /proc, because it is always mounted over.
        let mut path = if path == "/proc" { "/mnt".to_owned() } else { path.to_owned() };
        for substitutions in &self.substitutions {
            if let Some(substituted) = substitutions.apply(&path) {
                path = substituted;
            }
        }
        self.contexts.lookup(&path, mode).map_err(malformed)
    }

    /// The xattrs of a file with its label in place of one that it may have had, in name order: old
    /// versions of upstream take the order in which an archive has them for that of the file's
    /// name. Without a label they stay as they are.
    ///
    /// # Errors
    /// As [`Policy::label`].
    pub fn labelled(&self, path: &str, mode: u32, xattrs: Xattrs) -> Result<Xattrs> {
        let Some(label) = self.label(path, mode)? else { return Ok(xattrs) };
        let label = [label.as_bytes(), b"\0"].concat();
        let labelled = xattrs.with(XATTR, label).map_err(|error| Error::failed(error.what))?;
        Ok(labelled.sorted())
    }

    /// Loads the policy from the first of the directories that is there.
    fn load(root: &Root<'_>, directories: &[&str]) -> Result<Option<Self>> {
        for directory in directories {
            if root.list(directory)?.is_some() {
                return Self::load_from(root, directory);
            }
        }
        Ok(None)
    }

    fn load_from(root: &Root<'_>, directory: &str) -> Result<Option<Self>> {
        let config = format!("{directory}/config");
        let Some(text) = root.read(&config)? else { return Ok(None) };
        let Some(kind) = chosen(&text)
            .map_err(|what| Error::failed(format!("{}: {what}", root.shown(&config))))?
        else {
            return Ok(None);
        };
        let directory = format!("{directory}/{kind}");
        let in_policy = || format!("With policy root '{}'", root.shown(&directory));
        let read = |name: &str| root.read(&format!("{directory}/contexts/files/{name}"));
        let malformed = |source| Error::Malformed { what: in_policy(), source };
        // Later files count more.
        let mut texts = Vec::new();
        for name in ["file_contexts", "file_contexts.homedirs", "file_contexts.local"] {
            match read(name)? {
                Some(text) => texts.push((name, text)),
                None if texts.is_empty() => {
                    let missing = OsError(std::io::Error::from_raw_os_error(
                        rustix::io::Errno::NOENT.raw_os_error(),
                    ));
                    return Err(Error::failed(format!(
                        "{}: selabel_open(SELABEL_CTX_FILE): {missing}",
                        in_policy()
                    )));
                }
                None => {}
            }
        }
        let policy = Self {
            contexts: FileContexts::parse(&texts).map_err(malformed)?,
            substitutions: [
                Substitutions::parse(&read("file_contexts.subs")?.unwrap_or_default()),
                Substitutions::parse(&read("file_contexts.subs_dist")?.unwrap_or_default()),
            ],
            epoch: Epoch::default(),
        };
        if policy.label("/", S_IFDIR)?.is_none() {
            let what = format!(
                "{}: Failed to look up context of /: No such file or directory",
                in_policy()
            );
            return Err(Error::failed(what));
        }
        // Nothing of it is needed, but upstream takes a policy without it for a broken one.
        let binaries = format!("{directory}/policy");
        let what = match root.list(&binaries)? {
            Some(names) if names.iter().any(|name| name.starts_with("policy.")) => {
                return Ok(Some(policy));
            }
            Some(_) => "Could not find binary policy file".to_owned(),
            None => format!("opendir({}): No such file or directory", root.shown(&binaries)),
        };
        Err(Error::failed(format!("While calculating SELinux checksum: {what}")))
    }
}

/// The type of the policy that a `config` chooses; `None` if SELinux is not to be used.
fn chosen(config: &[u8]) -> Result<Option<String>, &'static str> {
    let config = String::from_utf8_lossy(config);
    let last = |key: &str| config.lines().filter_map(|line| line.strip_prefix(key)).next_back();
    let state = last("SELINUX=").unwrap_or_default().to_ascii_lowercase();
    if !["enforcing", "permissive"].iter().any(|used| state.starts_with(used)) {
        return Ok(None);
    }
    match last("SELINUXTYPE=") {
        Some(kind) => Ok(Some(kind.trim_end().to_owned())),
        None => Err("no SELINUXTYPE"),
    }
}

#[cfg(test)]
mod tests {
    use super::chosen;

    /// As `ostree commit --selinux-policy` takes them, except that it is brought down by a missing
    /// type.
    #[test]
    fn the_config_chooses_a_policy_or_none() {
        for (config, expected) in [
            ("SELINUX=enforcing\nSELINUXTYPE=foo\n", Ok(Some("foo"))),
            ("#x\nSELINUXTYPE=foo  \nSELINUX=Permissive # c", Ok(Some("foo"))),
            ("SELINUX=enforcing\nSELINUXTYPE=bar\nSELINUXTYPE=foo\n", Ok(Some("foo"))),
            ("SELINUX=enforcing\nSELINUXTYPE=\n", Ok(Some(""))),
            ("SELINUXTYPE=foo\n", Ok(None)),
            ("SELINUX=\nSELINUXTYPE=foo\n", Ok(None)),
            ("SELINUX=disabled\nSELINUXTYPE=foo\n", Ok(None)),
            ("SELINUX = enforcing\nSELINUXTYPE=foo\n", Ok(None)),
            ("selinux=enforcing\nselinuxtype=foo\n", Ok(None)),
            ("SELINUX=enforcing\n#SELINUXTYPE=foo\n SELINUXTYPE=foo\n", Err("no SELINUXTYPE")),
        ] {
            assert_eq!(
                chosen(config.as_bytes()),
                expected.map(|kind| kind.map(str::to_owned)),
                "{config}"
            );
        }
    }
}
