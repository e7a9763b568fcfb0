//! `fsck --repair`: fetches again what is damaged or missing. `ostree` has no such option.

use std::path::Path;
#[cfg(feature = "gpg")]
use std::sync::Arc;

use osier::checksum::Checksum;
use osier::find_object::Use;
use osier::fsck::Fault;
use osier::progress::Progress;
use osier::pull::{PullOptions, Supply};
use osier::refspec::CollectionId;
use osier::remote::RemoteConfig;
#[cfg(feature = "http")]
use osier::remote::origin::local_path;
use osier::remote::{self, Remote};
use osier::repair::{
    DamagedFile, Lost, RepairOptions, RepairReport, Restored, Source, Staged, repair,
};
use osier::repo::Repo;
use osier::units::format_size;
use serde_json::{Value, json};

use super::context::{self, Context};
use super::error::Failure;
use super::json;

/// Paths of a lost object that are listed for each commit.
const MOST_PATHS: usize = 1000;

/// What the options say.
pub(super) struct Request {
    /// Remotes, paths and URLs.
    pub(super) from: Vec<String>,
    pub(super) dry_run: bool,
    pub(super) resume: bool,
    pub(super) quiet: bool,
    pub(super) json: bool,
}

/// A source of objects, opened.
struct Opened<'p> {
    name: String,
    place: Place<'p>,
    collection: Option<CollectionId>,
    options: PullOptions,
}

enum Place<'p> {
    Repo(Box<Repo>),
    #[cfg(feature = "pull")]
    Server(Box<osier::remote::origin::Origin<'p>>),
    #[cfg(not(feature = "pull"))]
    #[expect(dead_code, reason = "gives the lifetime a use")]
    Never(&'p std::convert::Infallible),
}

pub(super) fn run(repo: &Repo, request: Request, context: &Context) -> Result<(), Failure> {
    let Request { from, dry_run, resume, quiet, json } = request;
    let progress = context.progress_for(json || quiet);
    let opened: Vec<Opened<'_>> =
        from.iter().map(|from| open(repo, from, &progress)).collect::<Result<_, _>>()?;
    let sources: Vec<Source<'_>> = opened.iter().map(source).collect();
    let options = RepairOptions { dry_run, resume, most_paths: MOST_PATHS };
    let report = repair(repo, &sources, &options, &progress)?;
    if json {
        json::print(&document(&report, &from, dry_run), &context.out)?;
    } else {
        context.out.write_str(&text(&report, &from, (dry_run, quiet)))?;
    }
    verdict(&report, dry_run)
}

fn source<'o>(opened: &'o Opened<'o>) -> Source<'o> {
    let supply = match &opened.place {
        Place::Repo(repo) => Supply::Repo(repo),
        #[cfg(feature = "pull")]
        Place::Server(origin) => Supply::Server(origin),
        #[cfg(not(feature = "pull"))]
        Place::Never(never) => match **never {},
    };
    let (name, options) = (opened.name.clone(), opened.options.clone());
    Source { name, supply, collection: opened.collection.clone(), options }
}

/// Opens a source: a remote of the repository, else a URL or the path of a repository.
fn open<'p>(repo: &Repo, from: &str, progress: &'p dyn Progress) -> Result<Opened<'p>, Failure> {
    let local = |path: &Path| -> Result<Opened<'p>, Failure> {
        let place = Place::Repo(Box::new(Repo::open_with(path, &context::open_options()?)?));
        let (name, options) = (from.to_owned(), PullOptions::default());
        Ok(Opened { name, place, collection: None, options })
    };
    if from.contains("://") {
        let config = RemoteConfig::of_url(from)?;
        if let Some(path) = local_path(&config, None) {
            return local(&path);
        }
        let place = connect(repo, "", &config, progress)?;
        let (name, options) = (from.to_owned(), PullOptions::default());
        return Ok(Opened { name, place, collection: None, options });
    }
    if remote::names(repo)?.iter().any(|name| name == from) {
        return of_remote(repo, &remote::find(repo, None, from)?, progress);
    }
    let path = context::absolute(Path::new(from))?;
    match path.try_exists() {
        Ok(true) => local(&path),
        _ => Err(Failure::failed(format!("{from}: neither a remote nor a repository"))),
    }
}

/// A remote of the repository, with what it demands of signatures.
fn of_remote<'p>(
    repo: &Repo,
    remote: &Remote,
    progress: &'p dyn Progress,
) -> Result<Opened<'p>, Failure> {
    let config = remote.config()?;
    if let Some(state) = &config.unconfigured_state {
        return Err(Failure::failed(format!("remote unconfigured-state: {state}")));
    }
    if let Some(backend) = &config.custom_backend {
        let name = &remote.name;
        return Err(Failure::failed(format!(
            "Cannot fetch via libostree - remote '{name}' uses custom backend '{backend}'"
        )));
    }
    let options = PullOptions {
        #[cfg(feature = "gpg")]
        demands: Arc::new(remote::Demands::of_remote(repo, None, remote, &super::trust::trust())?),
        ..PullOptions::default()
    };
    let place = match local_path(&config, None) {
        Some(path) => Place::Repo(Box::new(Repo::open_with(&path, &context::open_options()?)?)),
        None => connect(repo, &remote.name, &config, progress)?,
    };
    let collection = config.collection()?;
    Ok(Opened { name: remote.name.clone(), place, collection, options })
}

/// Without HTTP no URL of a remote is read, so [`connect`] refuses it.
#[cfg(not(feature = "http"))]
fn local_path(_: &RemoteConfig, _: Option<&str>) -> Option<std::path::PathBuf> {
    None
}

#[cfg(feature = "pull")]
fn connect<'p>(
    repo: &Repo,
    name: &str,
    config: &RemoteConfig,
    progress: &'p dyn Progress,
) -> Result<Place<'p>, Failure> {
    use osier::remote::origin::Origin;
    let origin = Origin::open(repo, name, config, &super::origin::options(), progress)?;
    Ok(Place::Server(Box::new(origin)))
}

#[cfg(not(feature = "pull"))]
fn connect<'p>(
    _: &Repo,
    _: &str,
    _: &RemoteConfig,
    _: &'p dyn Progress,
) -> Result<Place<'p>, Failure> {
    Err(Failure::failed("this osier is built without the feature 'pull'"))
}

/// The failure of the command.
fn verdict(report: &RepairReport, dry_run: bool) -> Result<(), Failure> {
    let RepairReport { restored, lost, damaged_files, summary_made, .. } = report;
    let mut parts = Vec::new();
    if !lost.is_empty() {
        parts.push(format!("{} lost", counted(lost.len(), "object")));
    }
    if !damaged_files.is_empty() {
        parts.push(format!("{} damaged", counted(damaged_files.len(), "file")));
    }
    let to_do = restored.len() + usize::from(*summary_made);
    if dry_run && to_do > 0 {
        parts.push(format!("{} to restore", counted(to_do, "file")));
    }
    match parts.is_empty() {
        true => Ok(()),
        false => Err(Failure::failed(format!("the repository is not whole: {}", parts.join(", ")))),
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::Missing => "missing",
        Fault::Corrupted => "corrupted",
        Fault::Unreadable => "unreadable",
        Fault::Binding => "binding",
        Fault::Damaged => "damaged",
    }
}

fn text(report: &RepairReport, from: &[String], (dry_run, quiet): (bool, bool)) -> String {
    let RepairReport { commits, partial, restored, lost, damaged_files, summary_made, staged } =
        report;
    let mut text = String::new();
    let mut line = |line: String| text.push_str(&format!("{line}\n"));
    if !quiet {
        let verb = if dry_run { "would restore" } else { "restored" };
        for Restored { object, fault, source, bytes } in restored {
            let size = bytes.map(|bytes| format!(", {}", plain_size(bytes))).unwrap_or_default();
            line(format!("{verb} {object} ({}) from {}{size}", fault_name(*fault), from[*source]));
        }
        if *summary_made {
            line(format!("{verb} summary"));
        }
        for commit in partial {
            line(format!("partial commit {commit}"));
        }
        for Staged { path, objects, bytes, is_in_use } in staged {
            let state = if *is_in_use { "in use" } else { "left behind" };
            let (objects, bytes) = (counted(*objects as usize, "object"), plain_size(*bytes));
            line(format!("staged in {path}: {objects}, {bytes}, {state}"));
        }
    }
    for Lost { object, fault, message: _, reasons, uses } in lost {
        line(format!("lost {object} ({})", fault_name(*fault)));
        for reason in reasons {
            line(format!("  {reason}"));
        }
        for user in uses {
            line(format!("  commit {}", user.commit));
            for used in &user.refs {
                line(format!("    in {}", ref_text(&used.name, used.ahead)));
            }
            for path in &user.paths {
                line(format!("    {path}"));
            }
            if user.has_more {
                line("    and more".to_owned());
            }
        }
    }
    for DamagedFile { path, message } in damaged_files {
        line(format!("damaged {path}: {message}"));
    }
    if report.is_whole() && !dry_run {
        line(format!("{}, all whole", counted(*commits as usize, "commit")));
    }
    text
}

/// A size without the space that cannot break.
fn plain_size(bytes: u64) -> String {
    format_size(bytes).replace('\u{a0}', " ")
}

fn ref_text(name: &str, ahead: u64) -> String {
    match ahead {
        0 => name.to_owned(),
        1 => format!("{name}, 1 commit ago"),
        ahead => format!("{name}, {ahead} commits ago"),
    }
}

fn document(report: &RepairReport, from: &[String], dry_run: bool) -> Value {
    let RepairReport { commits, partial, restored, lost, damaged_files, summary_made, staged } =
        report;
    let restored = restored.iter().map(|Restored { object, fault, source, bytes }| {
        json!({
            "object": object.checksum.to_hex(),
            "type": object.object_type.extension(),
            "fault": fault_name(*fault),
            "source": from[*source],
            "bytes": bytes,
        })
    });
    let files = damaged_files.iter();
    let files =
        files.map(|DamagedFile { path, message }| json!({"path": path, "message": message}));
    let staged = staged.iter().map(|Staged { path, objects, bytes, is_in_use }| {
        json!({"path": path, "objects": objects, "bytes": bytes, "is_in_use": is_in_use})
    });
    json!({
        "ok": verdict(report, dry_run).is_ok(),
        "dry_run": dry_run,
        "commits": commits,
        "partial": partial.iter().map(Checksum::to_hex).collect::<Vec<_>>(),
        "restored": restored.collect::<Vec<_>>(),
        "lost": lost.iter().map(lost_document).collect::<Vec<_>>(),
        "damaged_files": files.collect::<Vec<_>>(),
        "summary_made": summary_made,
        "staged": staged.collect::<Vec<_>>(),
    })
}

fn lost_document(lost: &Lost) -> Value {
    let Lost { object, fault, message, reasons, uses } = lost;
    let uses = uses.iter().map(|Use { commit, timestamp: _, refs, paths, has_more }| {
        let refs = refs.iter().map(|used| json!({"ref": used.name, "ahead": used.ahead}));
        json!({
            "commit": commit.to_hex(),
            "refs": refs.collect::<Vec<_>>(),
            "paths": paths,
            "has_more_paths": has_more,
        })
    });
    json!({
        "object": object.checksum.to_hex(),
        "type": object.object_type.extension(),
        "fault": fault_name(*fault),
        "message": message,
        "reasons": reasons,
        "uses": uses.collect::<Vec<_>>(),
    })
}
