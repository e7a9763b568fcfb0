//! Plans a run of the tree stage, down to the command line.

use std::ffi::OsString;
use std::path::Path;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::process::{Call, shell_line_with};
use crate::refspec::RefName;
use crate::repo::{ListRefs, Repo};

use super::Surroundings;
use super::check::{Findings, Severity};
use super::config::{ComposeConfig, TreeConfig};
use super::decide::{CHANGED, COMMIT_ID, COMPOSE_JSON, LOCK_JSON, SELINUX_REMEDY};
use super::pending;
use super::preflight::{self, Served};
use super::signing::Keys;
use super::treefile::{Treefile, has_selinux_policy};
use super::trust;

/// The options besides the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeOptions {
    /// Make a commit even if nothing has changed.
    pub force: bool,
    /// Publish it. Otherwise it stays pending.
    pub publish: bool,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self { force: false, publish: true }
    }
}

/// A run that is ready to start.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The ref that is published.
    pub(crate) ref_name: RefName,
    /// The findings of the checks.
    pub(crate) findings: Findings,
    program: Call,
    /// The commit that rpm-ostree compares the new tree with by default.
    compares: Compares,
    options: TreeOptions,
}

/// What rpm-ostree uses as the previous commit by default: the one that the treefile's ref points
/// to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compares {
    /// The treefile has the ref that is published.
    ThisRef,
    /// The treefile has another ref.
    AnotherRef,
    /// The treefile has no ref: there is no previous commit, and the new one gets no parent.
    Nothing,
    /// There is no rpm-ostree to expand the treefile.
    Unknown,
}

impl Compares {
    fn new(treefile: Option<&Treefile>, published: &RefName) -> Self {
        match treefile.map(Treefile::ref_name) {
            None => Self::Unknown,
            Some(None) => Self::Nothing,
            Some(Some(name)) if name == published.as_str() => Self::ThisRef,
            Some(Some(_)) => Self::AnotherRef,
        }
    }
}

/// The state of the repository before the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Before {
    /// The commit that the ref points to.
    pub(crate) old: Option<Checksum>,
    /// The pending commit.
    pub(crate) pending: Option<Checksum>,
    /// Whether a remote has a ref of that name, which rpm-ostree uses when the repository has none.
    /// The pending ref is one of those.
    pub(crate) has_remote_ref: bool,
}

/// Variables that affect rpm-ostree; they are part of the report.
pub(crate) const RECORDED_VARIABLES: [&str; 3] =
    ["SOURCE_DATE_EPOCH", "RPMOSTREE_PRESERVE_TMPDIR", "RPMOSTREE_COMMIT_NO_TXN"];

/// The results of the checks before a run.
pub(super) struct Seen {
    /// rpm-ostree, if found.
    program: Option<Call>,
    /// The ref to publish.
    pub(super) name: RefName,
    compares: Compares,
}

/// Performs all checks before a run. A missing rpm-ostree is recorded with `severity`.
pub(super) fn look(
    config: &TreeConfig,
    surroundings: &Surroundings<'_>,
    served: Served,
    severity: Severity,
    findings: &mut Findings,
) -> Option<Seen> {
    let program = preflight::rpm_ostree(config, surroundings, severity, findings);
    let keys = Keys::look(&config.sign, surroundings, severity, findings);
    let repo = preflight::repository(config, surroundings, served, &keys, findings);
    findings.take(trust::check(&config.work));
    if let Some(delta) = &config.delta {
        findings.deltas = delta.sources();
        if delta.sign {
            findings.warning("[delta] sign: only osier can pull deltas that are signed");
        }
    }
    preflight::space(config, findings);
    preflight::files(config, findings);
    // Without rpm-ostree only the configuration has a ref; the missing program has been reported.
    if program.is_none() && config.ref_name.is_none() {
        return None;
    }
    let (name, treefile) =
        preflight::refs(config, program.as_ref(), &surroundings.interrupt, findings)?;
    if let Some(repo) = &repo
        && repo
            .list_aliases(None)
            .is_ok_and(|aliases| aliases.iter().any(|(alias, _)| *alias == name))
    {
        findings.error(format!(
            "{name} is an alias in {}; publish to the ref that it stands for",
            repo.path().display()
        ));
    }
    let is_first =
        repo.is_none_or(|repo| repo.read_local_ref(&name).is_ok_and(|commit| commit.is_none()));
    if is_first
        && treefile.as_ref().is_some_and(Treefile::uses_selinux)
        && !has_selinux_policy(Path::new("/"))
    {
        findings.warning(format!(
            "{}: there is no SELinux policy on this host, and rpm-ostree needs one to label the \
             first commit of a ref: {SELINUX_REMEDY}",
            config.treefile.display()
        ));
    }
    let compares = Compares::new(treefile.as_ref(), &name);
    Some(Seen { program, name, compares })
}

impl Plan {
    /// Plans a run.
    ///
    /// # Errors
    /// Everything that keeps it from starting, in one error.
    pub(crate) fn make(
        config: &ComposeConfig,
        options: TreeOptions,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self> {
        Self::make_with(&config.tree, options, surroundings, Severity::Error)
    }

    /// Plans a dry run: the programs need not be installed.
    ///
    /// # Errors
    /// As [`Plan::make`].
    pub(crate) fn make_dry(
        config: &ComposeConfig,
        options: TreeOptions,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self> {
        Self::make_with(&config.tree, options, surroundings, Severity::Warning)
    }

    fn make_with(
        config: &TreeConfig,
        options: TreeOptions,
        surroundings: &Surroundings<'_>,
        severity: Severity,
    ) -> Result<Self> {
        let mut findings = Findings::default();
        let served = if options.publish { Served::Yes } else { Served::No };
        let seen = look(config, surroundings, served, severity, &mut findings);
        surroundings.interrupt.check()?;
        let findings = findings.into_result()?;
        let Seen { program, name, compares } =
            seen.ok_or_else(|| Error::failed("the run cannot be planned"))?;
        Ok(Self {
            program: program
                .unwrap_or_else(|| Call::unsought(&config.program, &surroundings.environment)),
            ref_name: name,
            compares,
            findings,
            options,
        })
    }

    /// Whether the commit is to be published.
    pub(crate) fn publishes(&self) -> bool {
        self.options.publish
    }

    /// The parent that the new commit must have.
    pub(crate) fn parent(&self, config: &TreeConfig, before: Before) -> Option<Checksum> {
        before.old.filter(|_| !wants_no_parent(config))
    }

    /// The command line, with `run` as the directory of the run.
    pub(crate) fn call(&self, config: &TreeConfig, run: &Path, before: Before) -> Call {
        let option = |name: &str, path: &Path| {
            let mut argument = OsString::from(format!("{name}="));
            argument.push(path);
            argument
        };
        let mut call = self.program.clone().args(["compose", "tree", "--unified-core"]).args([
            option("--repo", &config.repo),
            option("--cachedir", &config.cachedir),
            option("--write-commitid-to", &run.join(COMMIT_ID)),
            option("--touch-if-changed", &run.join(CHANGED)),
            option("--write-composejson-to", &run.join(COMPOSE_JSON)),
        ]);
        if let Some(version) = &config.version {
            call = call.arg(format!("--add-metadata-string=version={version}"));
        }
        call = call.args(
            config
                .metadata
                .iter()
                .map(|(key, value)| format!("--add-metadata-string={key}={value}")),
        );
        call = call.arg(option("--ex-write-lockfile-to", &run.join(LOCK_JSON)));
        call = call.args(config.lockfiles.iter().map(|path| option("--ex-lockfile", path)));
        if config.lockfile_strict {
            call = call.arg("--ex-lockfile-strict");
        }
        // By default rpm-ostree uses the treefile's ref as the previous commit, and without such a
        // ref any remote's of that name.
        let (mut force, mut parent) = (self.options.force, Vec::new());
        match (before.old, self.compares) {
            (Some(_), Compares::ThisRef) | (None, Compares::Nothing) => {}
            (Some(old), _) => {
                parent.push(format!("--previous-commit={old}"));
                if !wants_no_parent(config) {
                    parent.push(format!("--parent={old}"));
                }
            }
            (None, Compares::ThisRef | Compares::Unknown) if !before.has_remote_ref => {}
            (None, _) => {
                force = true;
                if !wants_no_parent(config) {
                    parent.push("--no-parent".to_owned());
                }
            }
        }
        if force {
            call = call.arg("--force-nocache");
        }
        call = call.args(parent).args(&config.extra_args).arg(&config.treefile);
        for (name, value) in variables(config, run) {
            call = call.variable(name, value);
        }
        call
    }

    /// The command line of a dry run for a shell, with its environment variables.
    pub(crate) fn shell_line(&self, config: &TreeConfig, before: Before) -> String {
        self.run_line(config, &config.work.join("RUN"), before)
    }

    /// The whole plan; `run` is the directory of the run.
    pub(crate) fn describe(&self, config: &TreeConfig, run: &Path, before: Before) -> String {
        let name = self.ref_name.as_str();
        let or_none =
            |commit: Option<Checksum>| commit.map_or("none".to_owned(), |commit| commit.to_hex());
        let (old, parent) = (or_none(before.old), or_none(self.parent(config, before)));
        let then = if self.options.publish { "published" } else { "not published" };
        let (repo, line) = (config.repo.display(), self.run_line(config, run, before));
        format!("{name} in {repo}, {then}; previous commit: {old}, parent: {parent}; {line}")
    }

    /// The same with `run` as the directory of the run.
    pub(crate) fn run_line(&self, config: &TreeConfig, run: &Path, before: Before) -> String {
        shell_line_with(&variables(config, run), &self.call(config, run, before).argv)
    }
}

/// Whether the configuration asks for commits without parent.
pub(crate) fn wants_no_parent(config: &TreeConfig) -> bool {
    config.extra_args.iter().any(|argument| argument == "--no-parent")
}

/// The variables set for rpm-ostree.
fn variables(config: &TreeConfig, run: &Path) -> Vec<(&'static str, OsString)> {
    let mut variables = vec![("LC_ALL", "C.UTF-8".into()), ("TMPDIR", run.join("tmp").into())];
    if let Some(seconds) = config.source_date_epoch {
        variables.push(("SOURCE_DATE_EPOCH", seconds.to_string().into()));
    }
    variables
}

/// The state of the repository before a run; empty if it does not exist yet.
///
/// # Errors
/// When its refs cannot be read.
pub(crate) fn before(
    config: &TreeConfig,
    surroundings: &Surroundings<'_>,
    name: &RefName,
) -> Result<Before> {
    if !config.repo.join("config").exists() {
        return Ok(Before::default());
    }
    let repo = Repo::open_with(&config.repo, &surroundings.open)?;
    let has_remote_ref = has_remote_ref(&repo, name)?;
    Ok(Before {
        old: repo.read_local_ref(name)?,
        pending: pending::read(&repo, name)?,
        has_remote_ref,
    })
}

/// Whether any remote has a ref of that name.
///
/// # Errors
/// When the refs cannot be listed.
pub(crate) fn has_remote_ref(repo: &Repo, name: &RefName) -> Result<bool> {
    let refs = repo.list_ref_names(None, ListRefs::Full)?;
    Ok(refs.iter().any(|refspec| refspec.remote.is_some() && refspec.name == *name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str, options: TreeOptions, compares: Compares, before: Before) -> String {
        let text =
            format!("[compose]\nrepo=repo\ntreefile=t.json\ncachedir=cache\nwork=work\n{text}");
        let config = ComposeConfig::parse(&text, Path::new("/os")).unwrap().tree;
        let plan = Plan {
            ref_name: RefName::parse("os/host").unwrap(),
            findings: Findings::default(),
            program: Call::unsought(&config.program, &[]),
            compares,
            options,
        };
        plan.shell_line(&config, before)
    }

    const START: &str = "env LC_ALL=C.UTF-8 TMPDIR=/os/work/RUN/tmp rpm-ostree compose tree \
        --unified-core --repo=/os/repo --cachedir=/os/cache \
        --write-commitid-to=/os/work/RUN/commitid --touch-if-changed=/os/work/RUN/changed \
        --write-composejson-to=/os/work/RUN/compose.json";
    const LOCK: &str = "--ex-write-lockfile-to=/os/work/RUN/lock.json";

    #[test]
    fn the_command_line_is_the_one_of_the_specification() {
        let line = planned("", TreeOptions::default(), Compares::ThisRef, Before::default());
        assert_eq!(line, format!("{START} {LOCK} /os/t.json"));
        let text = "version=22 beta\nmetadata=a=1;b=$x\nlockfiles=l.json;/m.json\n\
            lockfile-strict=true\nsource-date-epoch=7\nextra-args=--cache-only\nprogram=podman run \
            rpm-ostree\n";
        let line = planned(
            text,
            TreeOptions { force: true, ..TreeOptions::default() },
            Compares::ThisRef,
            Before::default(),
        );
        let start =
            START.replace("/tmp rpm-ostree", "/tmp SOURCE_DATE_EPOCH=7 podman run rpm-ostree");
        let expected = format!(
            "{start} '--add-metadata-string=version=22 beta' --add-metadata-string=a=1 \
             '--add-metadata-string=b=$x' {LOCK} --ex-lockfile=/os/l.json --ex-lockfile=/m.json \
             --ex-lockfile-strict --force-nocache --cache-only /os/t.json"
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn what_came_before_is_said_where_rpm_ostree_would_take_something_else_for_it() {
        let old = Checksum::of(b"old");
        let (published, waiting) = (
            Before { old: Some(old), ..Before::default() },
            Before { old: None, pending: Some(old), has_remote_ref: true },
        );
        let pulled = Before { has_remote_ref: true, ..Before::default() };
        use Compares::{AnotherRef, Nothing, ThisRef, Unknown};
        let afresh = " --force-nocache --no-parent".to_owned();
        for (compares, before, extra, expected) in [
            (ThisRef, published, "", String::new()),
            (AnotherRef, published, "", format!(" --previous-commit={old} --parent={old}")),
            (AnotherRef, published, "--no-parent", format!(" --previous-commit={old} --no-parent")),
            (Nothing, published, "", format!(" --previous-commit={old} --parent={old}")),
            (Nothing, published, "--no-parent", format!(" --previous-commit={old} --no-parent")),
            (Unknown, published, "", format!(" --previous-commit={old} --parent={old}")),
            (AnotherRef, Before::default(), "", afresh.clone()),
            (Nothing, Before::default(), "", String::new()),
            (Nothing, pulled, "", String::new()),
            (Unknown, Before::default(), "", String::new()),
            (ThisRef, waiting, "", afresh.clone()),
            (ThisRef, pulled, "", afresh.clone()),
            (Unknown, pulled, "", afresh),
            (ThisRef, Before { old: Some(old), ..waiting }, "", String::new()),
        ] {
            let text =
                if extra.is_empty() { String::new() } else { format!("extra-args={extra}\n") };
            let line = planned(&text, TreeOptions::default(), compares, before);
            assert_eq!(line, format!("{START} {LOCK}{expected} /os/t.json"));
        }
    }
}
