//! The treefile, as rpm-ostree expands it: `compose tree --print-only` prints JSON with includes
//! and variables resolved. Nothing here reads YAML.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{During, Error, Result};
use crate::keyfile::{KeyFile, text_of};
use crate::process::{ANSWER_TIMEOUT, Call, Ending, Interrupt, ask};

use super::check::Findings;
use super::regular::{self, Links};

/// The largest treefile or `.repo` file, in bytes.
const LONGEST: u64 = 4 << 20;

/// An expanded treefile.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Treefile(Value);

impl Treefile {
    /// Has rpm-ostree expand a treefile; `call` is rpm-ostree with its leading arguments.
    ///
    /// # Errors
    /// When it is not a regular file or is larger than 4 MiB; the program's own `error:` line;
    /// `interrupted`.
    pub(crate) fn expand(call: Call, treefile: &Path, interrupt: &Interrupt) -> Result<Self> {
        regular::check(treefile, LONGEST)?;
        let call = call.args(["compose", "tree", "--print-only"]).arg(treefile);
        let answer = ask(&call, ANSWER_TIMEOUT, interrupt)?;
        if answer.ending != Ending::Exit(0) {
            return Err(Error::failed(format!("{}: {}", treefile.display(), answer.complaint())));
        }
        match serde_json::from_slice(&answer.stdout) {
            Ok(value @ Value::Object(_)) => Ok(Self(value)),
            Ok(_) => {
                Err(Error::failed(format!("{}: rpm-ostree printed no object", treefile.display())))
            }
            Err(error) => Err(Error::failed(format!(
                "{}: rpm-ostree printed no JSON: {error}",
                treefile.display()
            ))),
        }
    }

    /// The ref that rpm-ostree composes.
    pub(crate) fn ref_name(&self) -> Option<&str> {
        self.0["ref"].as_str()
    }

    /// Whether files are labelled with an SELinux policy, which is the default.
    pub(crate) fn uses_selinux(&self) -> bool {
        self.0["selinux"].as_bool() != Some(false)
    }

    /// Records suspicious settings. `sets_version` is whether the configuration gives a version.
    pub(crate) fn check(&self, path: &Path, sets_version: bool, findings: &mut Findings) {
        let name = path.display();
        let is_empty = |key: &str| self.0[key].as_array().is_none_or(Vec::is_empty);
        if is_empty("packages") && is_empty("repo-packages") {
            findings.warning(format!("{name}: there are no packages"));
        }
        if self.0.get("gpg-key").is_some() {
            findings.warning(format!(
                "{name}: gpg-key signs before the commit is verified; leave it out"
            ));
        }
        if sets_version && self.0.get("automatic-version-prefix").is_some() {
            findings.warning(format!(
                "{name}: the version of the configuration wins over automatic-version-prefix"
            ));
        }
        let Some(wanted) = self.0["repos"].as_array() else { return };
        let wanted = wanted.iter().filter_map(Value::as_str).map(str::to_owned);
        match package_repositories(path.parent().unwrap_or(Path::new("."))) {
            Ok(known) => {
                for id in wanted.filter(|id| !known.contains(id)) {
                    findings.warning(format!(
                        "{name}: no .repo file beside it has the package repository [{id}]"
                    ));
                }
            }
            Err(error) => findings.warning(error.chain()),
        }
    }
}

/// Whether the system at `root` has a usable SELinux policy: it is not disabled, and its contexts
/// exist.
pub(crate) fn has_selinux_policy(root: &Path) -> bool {
    ["etc/selinux", "usr/etc/selinux"].iter().any(|directory| {
        let directory = root.join(directory);
        let config = fs::read_to_string(directory.join("config")).unwrap_or_default();
        let value = |key: &str| {
            config.lines().rev().find_map(|line| line.trim().strip_prefix(key)).map(str::trim)
        };
        let is_disabled = value("SELINUX=").is_none_or(|mode| mode == "disabled");
        let policy = value("SELINUXTYPE=").filter(|policy| !policy.is_empty() && !is_disabled);
        policy.is_some_and(|policy| {
            directory.join(policy).join("contexts/files/file_contexts").is_file()
        })
    })
}

/// The ids of the package repositories that the `.repo` files of a directory have.
fn package_repositories(directory: &Path) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for entry in fs::read_dir(directory).during("listing", directory)? {
        let path = entry.during("listing", directory)?.path();
        if path.extension().is_none_or(|extension| extension != "repo") {
            continue;
        }
        let bytes = regular::read(&path, Links::Follow, LONGEST)?;
        let malformed = |source| Error::Malformed { what: path.display().to_string(), source };
        let file = KeyFile::parse(text_of(&bytes).map_err(malformed)?).map_err(malformed)?;
        ids.extend(file.groups().map(str::to_owned));
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check::Severity;
    use super::*;

    #[test]
    fn a_policy_counts_when_it_is_enabled_and_there() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc/selinux");
        assert!(!has_selinux_policy(root.path()));
        fs::create_dir_all(etc.join("targeted/contexts/files")).unwrap();
        fs::write(
            etc.join("config"),
            "# SELINUX=enforcing\nSELINUX=permissive\nSELINUXTYPE=targeted\n",
        )
        .unwrap();
        assert!(!has_selinux_policy(root.path()));
        fs::write(etc.join("targeted/contexts/files/file_contexts"), "").unwrap();
        assert!(has_selinux_policy(root.path()));
        for config in [
            "SELINUX=disabled\nSELINUXTYPE=targeted\n",
            "SELINUX=enforcing\n",
            "SELINUXTYPE=targeted\n",
            "",
        ] {
            fs::write(etc.join("config"), config).unwrap();
            assert!(!has_selinux_policy(root.path()), "{config}");
        }
        assert!(
            Treefile(json!({})).uses_selinux()
                && Treefile(json!({ "selinux": true })).uses_selinux()
        );
        assert!(!Treefile(json!({ "selinux": false })).uses_selinux());
    }

    #[test]
    fn what_is_odd_in_a_treefile_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tree.json");
        fs::write(
            directory.path().join("a.repo"),
            "[base]\nbaseurl=http://p/\n[updates]\nenabled=0\n",
        )
        .unwrap();
        fs::write(directory.path().join("b.repos"), "[extra]\n").unwrap();
        let messages = |value: Value, sets_version| {
            let mut findings = Findings::default();
            Treefile(value).check(&path, sets_version, &mut findings);
            assert_eq!(findings.messages(Severity::Error).count(), 0);
            let prefix = format!("{}: ", path.display());
            findings
                .messages(Severity::Warning)
                .map(|text| text.replace(&prefix, ""))
                .collect::<Vec<_>>()
        };
        let good = json!({ "ref": "os/host", "packages": ["bash"], "repos": ["base", "updates"] });
        assert_eq!(messages(good, true), [""; 0]);
        let odd = json!({ "repos": ["extra"], "packages": [], "gpg-key": "1", "automatic-version-prefix": "22" });
        let expected = [
            "there are no packages",
            "gpg-key signs before the commit is verified; leave it out",
            "the version of the configuration wins over automatic-version-prefix",
            "no .repo file beside it has the package repository [extra]",
        ];
        assert_eq!(messages(odd.clone(), true), expected);
        assert_eq!(messages(odd, false).len(), 3);
        assert_eq!(Treefile(json!({ "ref": 1 })).ref_name(), None);
    }
}
