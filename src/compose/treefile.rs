//! The treefile, as rpm-ostree expands it: `compose tree --print-only` prints JSON with includes and variables resolved.
//! Nothing here reads YAML.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{During, Error, Result};
use crate::keyfile::{KeyFile, text_of};

use super::call::Call;
use super::check::Findings;
use super::program::{ANSWER_TIMEOUT, Ending, Interrupt, ask};
use super::regular::{self, Links};

/// The longest treefile or `.repo` file, in bytes.
const LONGEST: u64 = 4 << 20;

/// An expanded treefile.
#[derive(Clone, Debug, PartialEq)]
pub struct Treefile(Value);

impl Treefile {
    /// Lets rpm-ostree expand a treefile; `call` is rpm-ostree with its leading arguments.
    ///
    /// # Errors
    /// When it is no regular file or longer than 4 MiB; the program's own `error:` line; `interrupted`.
    pub fn expand(call: Call, treefile: &Path, interrupt: &Interrupt) -> Result<Self> {
        regular::check(treefile, LONGEST)?;
        let call = call.args(["compose", "tree", "--print-only"]).arg(treefile);
        let answer = ask(&call, ANSWER_TIMEOUT, interrupt)?;
        if answer.ending != Ending::Exit(0) {
            return Err(Error::failed(format!("{}: {}", treefile.display(), answer.complaint())));
        }
        match serde_json::from_slice(&answer.stdout) {
            Ok(value @ Value::Object(_)) => Ok(Self(value)),
            Ok(_) => Err(Error::failed(format!("{}: rpm-ostree printed no object", treefile.display()))),
            Err(error) => Err(Error::failed(format!("{}: rpm-ostree printed no JSON: {error}", treefile.display()))),
        }
    }

    /// The ref that rpm-ostree composes.
    pub fn ref_name(&self) -> Option<&str> {
        self.0["ref"].as_str()
    }

    /// Notes what is odd in it. `sets_version` is whether the configuration gives a version.
    pub fn check(&self, path: &Path, sets_version: bool, findings: &mut Findings) {
        let name = path.display();
        let is_empty = |key: &str| self.0[key].as_array().is_none_or(Vec::is_empty);
        if is_empty("packages") && is_empty("repo-packages") {
            findings.warning(format!("{name}: there are no packages"));
        }
        if self.0.get("gpg-key").is_some() {
            findings.warning(format!("{name}: gpg-key signs before the commit is verified; leave it out"));
        }
        if sets_version && self.0.get("automatic-version-prefix").is_some() {
            findings.warning(format!("{name}: the version of the configuration wins over automatic-version-prefix"));
        }
        let Some(wanted) = self.0["repos"].as_array() else { return };
        let wanted = wanted.iter().filter_map(Value::as_str).map(str::to_owned);
        match package_repositories(path.parent().unwrap_or(Path::new("."))) {
            Ok(known) => {
                for id in wanted.filter(|id| !known.contains(id)) {
                    findings.warning(format!("{name}: no .repo file beside it has the package repository [{id}]"));
                }
            }
            Err(error) => findings.warning(error.chain()),
        }
    }
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
    fn what_is_odd_in_a_treefile_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tree.json");
        fs::write(directory.path().join("a.repo"), "[base]\nbaseurl=http://p/\n[updates]\nenabled=0\n").unwrap();
        fs::write(directory.path().join("b.repos"), "[extra]\n").unwrap();
        let messages = |value: Value, sets_version| {
            let mut findings = Findings::default();
            Treefile(value).check(&path, sets_version, &mut findings);
            assert_eq!(findings.messages(Severity::Error).count(), 0);
            let prefix = format!("{}: ", path.display());
            findings.messages(Severity::Warning).map(|text| text.replace(&prefix, "")).collect::<Vec<_>>()
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
