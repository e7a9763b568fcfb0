//! The report of a run, and its JSON form.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::checksum::Checksum;
use crate::date;
use crate::delta::DeltaCost;
use crate::process::{Ending, Finished};

use super::unapplied::Unapplied;

/// The version of the report's format; fields are only ever added.
const SCHEMA: u32 = 1;

/// The steps of all runs; without a value, a run is at the first.
const STAGES: [&str; 16] = [
    "check",
    "lock",
    "recover",
    "compose",
    "pending",
    "verify",
    "sign",
    "delta",
    "publish",
    "read-back",
    "push",
    "prepare",
    "imagefactory",
    "inspect",
    "output",
    "done",
];

/// The status of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It is running, or was killed.
    #[default]
    Running,
    /// It was a dry run.
    DryRun,
    /// There was nothing new.
    Unchanged,
    /// There is a new commit, not published yet.
    Composed,
    /// There is a new commit, and the ref points to it.
    Published,
    /// There is a disk image.
    Built,
    /// It failed.
    Failed,
}

impl Status {
    const ALL: [Self; 7] = [
        Self::Running,
        Self::DryRun,
        Self::Unchanged,
        Self::Composed,
        Self::Published,
        Self::Built,
        Self::Failed,
    ];

    /// The name in the report.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::DryRun => "dry-run",
            Self::Unchanged => "unchanged",
            Self::Composed => "composed",
            Self::Published => "published",
            Self::Built => "built",
            Self::Failed => "failed",
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Its status.
    pub status: Status,
    /// Its current or last step.
    pub stage: &'static str,
    /// Its name; empty before it has a directory.
    pub run: String,
    /// The start time, in seconds since 1970.
    pub started: u64,
    /// The end time, in seconds since 1970.
    pub finished: Option<u64>,
    /// The repository.
    pub repo: PathBuf,
    /// The ref, once it is known.
    pub ref_name: Option<String>,
    /// The commit that the ref pointed to when the run started.
    pub old_commit: Option<Checksum>,
    /// The commit that this run made, or that the ref still points to.
    pub commit: Option<Checksum>,
    /// The version of that commit.
    pub version: Option<String>,
    /// Whether there is a new commit.
    pub changed: bool,
    /// Requested metadata that the unchanged commit does not have.
    pub unapplied: Vec<Unapplied>,
    /// The summary as served now.
    pub summary: Option<SummaryFacts>,
    /// What signed the commit, as `gpg:FINGERPRINT` or `ed25519:KEY`.
    pub signatures: Vec<String>,
    /// The static deltas to the commit; of a dry run, those that would be made.
    pub deltas: Vec<DeltaFacts>,
    /// Where the commit was pushed to; of a dry run, where it would be.
    pub pushes: Vec<PushFacts>,
    /// The programs that ran.
    pub commands: Vec<Command>,
    /// The programs that were found, with their versions.
    pub programs: BTreeMap<String, String>,
    /// The package lock file that this run wrote, relative to its directory.
    pub lockfile: Option<String>,
    /// rpm-ostree's description of the commit.
    pub compose: Option<Value>,
    /// The cache of rpm-ostree before it was run.
    pub cache: Option<CacheFacts>,
    /// Device and inode of the programs' temporary directory.
    pub temporary: Option<(u64, u64)>,
    /// Variables of the environment that change what programs do.
    pub environment: BTreeMap<String, String>,
    /// The disk image.
    pub image: Option<Value>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Why it failed.
    pub error: Option<String>,
}

/// What is known of the cache before a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFacts {
    /// Its path.
    pub path: PathBuf,
    /// rpm-ostree's work directories in it: any others after a kill belong to the run.
    pub before: Vec<String>,
}

/// The properties of the published summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryFacts {
    /// SHA-256 of the file.
    pub sha256: Checksum,
    /// Bytes of the file.
    pub size: u64,
    /// Whether it has a signature.
    pub signed: bool,
    /// What signed it, of the keys in the configuration.
    pub signatures: Vec<String>,
}

/// A static delta to the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeltaFacts {
    /// The commit that it starts from; `None` for nothing.
    pub from: Option<Checksum>,
    /// What a client fetches of it, in bytes; `None` if it is not there.
    pub bytes: Option<u64>,
    /// The number of its parts.
    pub parts: Option<u64>,
    /// The number of objects that are fetched by themselves.
    pub fallbacks: Option<u64>,
    /// Whether this run made it.
    pub made: bool,
    /// Why it could not be made.
    pub error: Option<String>,
}

/// A push of the published commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushFacts {
    /// The destination, as the configuration names it.
    pub to: String,
    /// The commit that the ref was set to there.
    pub old_commit: Option<Checksum>,
    /// Objects that were sent.
    pub objects_sent: u64,
    /// Files of static deltas that were sent.
    pub delta_files_sent: u64,
    /// Bytes of all that was sent.
    pub bytes_sent: u64,
    /// Why it failed.
    pub error: Option<String>,
}

/// A program that ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Its command line.
    pub argv: Vec<OsString>,
    /// Its exit; `None` while it runs.
    pub finished: Option<Finished>,
    /// Its log, relative to the run's directory.
    pub log: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
}

impl Report {
    /// The report as a document.
    pub fn to_json(&self) -> Value {
        let commit = |commit: &Option<Checksum>| commit.as_ref().map(Checksum::to_hex);
        let commands: Vec<Value> = self.commands.iter().map(Command::to_json).collect();
        let summary = self.summary.as_ref().map(|summary| {
            json!({
                "sha256": summary.sha256.to_hex(), "size": summary.size, "signed": summary.signed,
                "signatures": summary.signatures,
            })
        });
        let cache = self
            .cache
            .as_ref()
            .map(|cache| json!({ "path": cache.path.to_string_lossy(), "before": cache.before }));
        let mut document = json!({
            "schema": SCHEMA,
            "status": self.status.as_str(),
            "stage": self.stage,
            "run": self.run,
            "started": iso(self.started),
            "finished": self.finished.and_then(iso),
            "repo": self.repo.to_string_lossy(),
            "ref": self.ref_name,
            "old_commit": commit(&self.old_commit),
            "commit": commit(&self.commit),
            "version": self.version,
            "changed": self.changed,
            "unapplied": self.unapplied.iter().map(Unapplied::to_json).collect::<Vec<_>>(),
            "summary": summary,
            "signatures": self.signatures,
            "deltas": self.deltas.iter().map(DeltaFacts::to_json).collect::<Vec<_>>(),
            "pushes": self.pushes.iter().map(PushFacts::to_json).collect::<Vec<_>>(),
            "commands": commands,
            "programs": self.programs,
            "lockfile": self.lockfile,
            "compose": self.compose,
            "environment": self.environment,
            "cache": cache,
            "warnings": self.warnings,
            "error": self.error,
        });
        if let Some((device, inode)) = self.temporary {
            document["tmp"] = json!({ "device": device, "inode": inode });
        }
        if let Some(image) = &self.image {
            document["image"] = image.clone();
        }
        document
    }
}

impl Report {
    /// Reads a document of [`Report::to_json`], from this version or an earlier one. Missing or
    /// invalid fields get their defaults, because others may have written the file.
    pub fn from_json(document: &Value) -> Self {
        let of = |name: &str| field(document, name);
        let text = |name: &str| of(name).as_str().map(str::to_owned);
        let commit = |name: &str| of(name).as_str().and_then(|hex| Checksum::from_hex(hex).ok());
        let pairs = |name: &str| -> BTreeMap<String, String> {
            let pairs = of(name).as_object().into_iter().flatten();
            pairs
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect()
        };
        let list = |name: &str| of(name).as_array().into_iter().flatten();
        let known = |value: &Value| (!value.is_null()).then(|| value.clone());
        let inode = |key: &str| of("tmp")[key].as_u64();
        Self {
            status: Status::ALL
                .into_iter()
                .find(|status| of("status") == status.as_str())
                .unwrap_or_default(),
            stage: STAGES.into_iter().find(|stage| of("stage") == stage).unwrap_or(STAGES[0]),
            run: text("run").unwrap_or_default(),
            started: seconds(of("started")).unwrap_or_default(),
            finished: seconds(of("finished")),
            repo: text("repo").unwrap_or_default().into(),
            ref_name: text("ref"),
            old_commit: commit("old_commit"),
            commit: commit("commit"),
            version: text("version"),
            changed: of("changed") == true,
            unapplied: list("unapplied").filter_map(Unapplied::from_json).collect(),
            summary: SummaryFacts::from_json(of("summary")),
            signatures: strings(of("signatures")),
            deltas: list("deltas").map(DeltaFacts::from_json).collect(),
            pushes: list("pushes").map(PushFacts::from_json).collect(),
            commands: list("commands").map(Command::from_json).collect(),
            programs: pairs("programs"),
            lockfile: text("lockfile"),
            compose: known(of("compose")),
            cache: of("cache")["path"].as_str().map(|path| CacheFacts {
                path: path.into(),
                before: strings(&of("cache")["before"]),
            }),
            temporary: inode("device").zip(inode("inode")),
            environment: pairs("environment"),
            image: Some(of("image")).filter(|image| image.is_object()).cloned(),
            warnings: strings(of("warnings")),
            error: text("error"),
        }
    }

    /// The planned path of the image, in the report of an image run.
    pub fn image_file(&self) -> Option<&Path> {
        self.image.as_ref()?["file"].as_str().map(Path::new)
    }
}

impl SummaryFacts {
    fn from_json(document: &Value) -> Option<Self> {
        let sha256 = Checksum::from_hex(document["sha256"].as_str()?).ok()?;
        Some(Self {
            sha256,
            size: document["size"].as_u64()?,
            signed: document["signed"].as_bool()?,
            signatures: strings(&document["signatures"]),
        })
    }
}

impl DeltaFacts {
    /// One that is not there.
    pub(super) fn planned(from: Option<Checksum>) -> Self {
        Self { from, ..Self::default() }
    }

    /// One that is there.
    pub(super) fn of(cost: &DeltaCost) -> Self {
        Self {
            from: cost.name.from,
            bytes: Some(cost.bytes()),
            parts: Some(cost.parts),
            fallbacks: Some(cost.fallbacks),
            ..Self::default()
        }
    }

    fn from_json(document: &Value) -> Self {
        let number = |key: &str| document[key].as_u64();
        Self {
            from: document["from"].as_str().and_then(|hex| Checksum::from_hex(hex).ok()),
            bytes: number("bytes"),
            parts: number("parts"),
            fallbacks: number("fallbacks"),
            made: document["made"] == true,
            error: document["error"].as_str().map(str::to_owned),
        }
    }

    fn to_json(&self) -> Value {
        let Self { from, bytes, parts, fallbacks, made, error } = self;
        json!({
            "from": from.map(|from| from.to_hex()), "bytes": bytes, "parts": parts, "fallbacks": fallbacks,
            "made": made, "error": error,
        })
    }
}

impl PushFacts {
    /// One that has not begun.
    pub(super) fn planned(to: &str) -> Self {
        Self { to: to.to_owned(), ..Self::default() }
    }

    /// One that failed, and why.
    pub(super) fn failed(to: &str, error: String) -> Self {
        Self { error: Some(error), ..Self::planned(to) }
    }

    fn from_json(document: &Value) -> Self {
        let number = |key: &str| document[key].as_u64().unwrap_or_default();
        Self {
            to: document["to"].as_str().unwrap_or_default().to_owned(),
            old_commit: document["old_commit"]
                .as_str()
                .and_then(|hex| Checksum::from_hex(hex).ok()),
            objects_sent: number("objects_sent"),
            delta_files_sent: number("delta_files_sent"),
            bytes_sent: number("bytes_sent"),
            error: document["error"].as_str().map(str::to_owned),
        }
    }

    fn to_json(&self) -> Value {
        let Self { to, old_commit, objects_sent, delta_files_sent, bytes_sent, error } = self;
        json!({
            "to": to, "old_commit": old_commit.map(|commit| commit.to_hex()),
            "objects_sent": objects_sent, "delta_files_sent": delta_files_sent,
            "bytes_sent": bytes_sent, "error": error,
        })
    }
}

impl Command {
    fn from_json(document: &Value) -> Self {
        let number =
            |key: &str| document[key].as_i64().and_then(|number| i32::try_from(number).ok());
        let ending = number("exit").map(Ending::Exit).or(number("signal").map(Ending::Signal));
        let time = document["seconds"]
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let argv = document["argv"].as_array().into_iter().flatten();
        Self {
            argv: argv.filter_map(|word| word.as_str().map(OsString::from)).collect(),
            // A report does not record whether we ended it.
            finished: ending.zip(time).map(|(ending, time)| Finished {
                ending,
                stopped: None,
                time,
            }),
            log: document["log"].as_str().unwrap_or_default().to_owned(),
            attempt: document["attempt"]
                .as_u64()
                .and_then(|attempt| attempt.try_into().ok())
                .unwrap_or_default(),
        }
    }

    fn to_json(&self) -> Value {
        let argv: Vec<_> = self.argv.iter().map(|word| word.to_string_lossy()).collect();
        let (exit, signal) = match self.finished.map(|finished| finished.ending) {
            None => (None, None),
            Some(Ending::Exit(status)) => (Some(status), None),
            Some(Ending::Signal(signal)) => (None, Some(signal)),
        };
        // A precision of a tenth of a second is enough.
        let seconds =
            self.finished.map(|finished| (finished.time.as_secs_f64() * 10.0).round() / 10.0);
        json!({
            "argv": argv, "exit": exit, "signal": signal, "seconds": seconds, "log": self.log, "attempt": self.attempt,
        })
    }
}

/// A field of a report on disk. Reports of earlier versions have hyphens in their keys where there
/// are underscores now.
pub fn field<'r>(report: &'r Value, name: &str) -> &'r Value {
    report.get(name).unwrap_or_else(|| &report[name.replace('_', "-").as_str()])
}

/// The texts of a list.
fn strings(value: &Value) -> Vec<String> {
    let texts = value.as_array().into_iter().flatten();
    texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// A time as [`iso`] writes it, in seconds since 1970.
fn seconds(time: &Value) -> Option<u64> {
    let time: jiff::Timestamp = time.as_str()?.parse().ok()?;
    u64::try_from(time.as_second()).ok()
}

pub(super) fn iso(seconds: u64) -> Option<String> {
    i64::try_from(seconds).ok().and_then(date::format_iso)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_underscores_and_those_of_earlier_versions_are_read() {
        let image = json!({ "virtual_size": 1 });
        let report = Report { image: Some(image), ..Report::default() }.to_json();
        for document in [&report, &report["image"]] {
            let keys = document.as_object().unwrap().keys();
            let with_hyphen: Vec<&String> = keys.filter(|key| key.contains('-')).collect();
            assert_eq!(with_hyphen, [""; 0]);
        }
        assert!(report.get("old_commit").is_some());
        let (new, old) =
            (json!({ "old_commit": "new", "old-commit": "old" }), json!({ "old-commit": "old" }));
        assert_eq!(
            (field(&new, "old_commit"), field(&old, "old_commit")),
            (&json!("new"), &json!("old"))
        );
        assert_eq!(
            (field(&old, "image"), field(&Value::Null, "image")),
            (&Value::Null, &Value::Null)
        );
    }

    #[test]
    fn a_report_is_read_back_as_it_was() {
        let time = Duration::from_millis(1500);
        let finished = |ending| Some(Finished { ending, stopped: None, time });
        let command = |finished| Command {
            argv: vec!["a".into()],
            finished,
            log: "a.log".into(),
            attempt: 2,
        };
        let commands = [None, finished(Ending::Exit(3)), finished(Ending::Signal(9))].map(command);
        let (sha256, pair) = (Checksum::of(b"summary"), ("a".to_owned(), "b".to_owned()));
        let unapplied = |found: Option<&str>| Unapplied {
            key: "version".to_owned(),
            wanted: "2".to_owned(),
            found: found.map(str::to_owned),
        };
        let full = Report {
            status: Status::Failed,
            stage: "verify",
            run: "RUN".to_owned(),
            started: 1_700_000_000,
            finished: Some(1_700_000_001),
            repo: "/repo".into(),
            ref_name: Some("os/host".to_owned()),
            old_commit: Some(Checksum::of(b"old")),
            commit: Some(Checksum::of(b"new")),
            version: Some("1".to_owned()),
            changed: true,
            unapplied: vec![unapplied(None), unapplied(Some("1"))],
            summary: Some(SummaryFacts {
                sha256,
                size: 7,
                signed: true,
                signatures: vec!["gpg:KEY".to_owned()],
            }),
            signatures: vec!["gpg:KEY".to_owned()],
            deltas: vec![
                DeltaFacts {
                    from: Some(Checksum::of(b"old")),
                    bytes: Some(3),
                    parts: Some(2),
                    fallbacks: Some(1),
                    made: true,
                    error: None,
                },
                DeltaFacts { error: Some("no".to_owned()), ..DeltaFacts::planned(None) },
            ],
            pushes: vec![
                PushFacts {
                    to: "store".to_owned(),
                    old_commit: Some(Checksum::of(b"old")),
                    objects_sent: 4,
                    delta_files_sent: 5,
                    bytes_sent: 6,
                    error: None,
                },
                PushFacts::failed("ssh://host/os", "no".to_owned()),
            ],
            commands: commands.into(),
            programs: [pair.clone()].into(),
            lockfile: Some("lock.json".to_owned()),
            compose: Some(json!({ "ostree-commit": "x" })),
            cache: Some(CacheFacts {
                path: "/cache".into(),
                before: vec!["rpm-ostree-compose.x".to_owned()],
            }),
            temporary: Some((1, 2)),
            environment: [pair].into(),
            image: Some(json!({ "file": "/images/a.qcow2" })),
            warnings: vec!["w".to_owned()],
            error: Some("e".to_owned()),
        };
        assert_eq!(full.image_file(), Some(Path::new("/images/a.qcow2")));
        let nothing = Report { stage: "check", ..Report::default() };
        for report in [full, nothing.clone()] {
            assert_eq!(Report::from_json(&report.to_json()), report);
        }
        for odd in [
            Value::Null,
            json!([]),
            json!({ "commands": 1, "tmp": [], "started": -1, "stage": "unheard-of" }),
        ] {
            assert_eq!(Report::from_json(&odd), nothing);
        }
        let odd = Report::from_json(
            &json!({ "commands": [{ "exit": 0, "seconds": -1e300 }], "old-commit": "x" }),
        );
        assert_eq!((odd.commands[0].finished, odd.old_commit), (None, None));
    }
}
