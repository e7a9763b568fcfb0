//! Pulls over HTTP: osier and the machine's `ostree` get the same archive from a web server.
//!
//! ```text
//! nginx  the server
//! proxy  a line with a long round trip
//! ```
//!
//! The server is nginx on the loopback interface with a synthetic archive, once with HTTP/1.1 in
//! the clear, once with HTTP/2 over TLS. Each pull goes into a fresh repository in the mode
//! bare-user; then it is repeated with nothing left to do. Where the round trip is long, `ostree`
//! gets an archive with fewer objects, because it would take minutes otherwise; rates are compared
//! then.

mod nginx;
mod proxy;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{self, Measurement};
use super::side::Figures;
use super::synthetic;
use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::progress::Progress;
use crate::refspec::Refspec;
use crate::repo::{CommitState, Repo, Transaction};
use crate::summary;
use crate::trial::{Scratch, Steps};
use nginx::Nginx;
use proxy::Proxy;

/// The options of a measurement of pulls.
#[derive(Clone, Debug)]
pub struct RemoteOptions {
    /// The program under test.
    pub osier: PathBuf,
    /// The program to compare with; without one only osier is measured.
    pub ostree: Option<PathBuf>,
    /// The web server.
    pub nginx: PathBuf,
    /// The program that makes the certificate for TLS.
    pub openssl: PathBuf,
    /// An existing directory for repositories. A subdirectory is created in it and removed at the
    /// end.
    pub scratch: PathBuf,
    /// Objects in the archive, at least [`FEWEST_OBJECTS`].
    pub objects: u64,
    /// Round trips; 0 is the loopback interface as it is.
    pub rtts: Vec<Duration>,
    /// The protocols.
    pub protocols: Vec<Protocol>,
    /// The number of rounds; the report holds medians.
    pub rounds: usize,
}

/// The smallest archive that is measured.
pub const FEWEST_OBJECTS: u64 = 10;
/// `ostree` gets as many objects as come in about half a minute: it has three to six requests under
/// way in each round trip.
const OSTREE_OBJECTS_TIMES_MS: u64 = 150_000;
/// The branch that is pulled.
const BRANCH: &str = "main";
/// The remote that it is pulled from.
const REMOTE: &str = "origin";
/// What a small file takes on the disk, in bytes.
const FILE_BLOCK: u64 = 4096;

/// How the archive is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 in the clear.
    Http1,
    /// HTTP/2 over TLS.
    Http2,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Http1, Self::Http2];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
        }
    }

    /// As a heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2, TLS",
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct RemoteRow {
    /// How the archive is served.
    pub protocol: Protocol,
    /// The round trip that is added.
    pub rtt: Duration,
    /// Whether everything was there already.
    pub is_again: bool,
    /// The figures of osier.
    pub osier: Figures,
    /// Objects in the archive that osier pulled.
    pub objects: u64,
    /// The figures of `ostree` and the objects in its archive, if it took part.
    pub ostree: Option<(Figures, u64)>,
}

impl RemoteRow {
    /// Objects a second of osier, if it fetched any.
    pub fn rate(&self) -> Option<f64> {
        (!self.is_again).then(|| self.objects as f64 / self.osier.median.as_secs_f64())
    }

    /// Objects a second of `ostree`, if it fetched any.
    pub fn ostree_rate(&self) -> Option<f64> {
        let (figures, objects) = self.ostree.as_ref().filter(|_| !self.is_again)?;
        Some(*objects as f64 / figures.median.as_secs_f64())
    }

    /// How many times faster osier was: in objects a second, or in time where there were none.
    pub fn ratio(&self) -> Option<f64> {
        let (figures, _) = self.ostree.as_ref()?;
        match (self.rate(), self.ostree_rate()) {
            (Some(osier), Some(ostree)) => Some(osier / ostree),
            _ => Some(figures.median.as_secs_f64() / self.osier.median.as_secs_f64()),
        }
    }

    /// How many times faster osier means to be, where that is decided.
    pub fn goal(&self) -> Option<f64> {
        match (self.is_again, self.rtt.as_millis(), self.protocol) {
            (true, ..) => Some(1.0),
            (false, 0, _) => Some(3.0),
            (false, 100, Protocol::Http1) => Some(6.0),
            (false, 100, Protocol::Http2) => Some(15.0),
            _ => None,
        }
    }
}

/// The results of a run.
#[derive(Clone, Debug)]
pub struct RemoteReport {
    /// The number of rounds.
    pub rounds: usize,
    /// Objects in the archive.
    pub objects: u64,
    /// The version that `ostree` reports.
    pub ostree_version: Option<String>,
    /// Two for each round trip and protocol.
    pub rows: Vec<RemoteRow>,
}

/// Measures pulls.
///
/// # Errors
/// When the server does not start; when one of the programs fails, or has not all objects
/// afterwards; `interrupted`, when the progress requests it. The server is ended and the scratch
/// directory removed first.
pub fn run_remote(options: &RemoteOptions, progress: &dyn Progress) -> Result<RemoteReport> {
    if options.rounds == 0 {
        return Err(Error::failed("at least one round is needed"));
    }
    if options.objects < FEWEST_OBJECTS {
        let message = format!("fewer than {FEWEST_OBJECTS} objects say nothing about pulls");
        return Err(Error::failed(message));
    }
    let ostree_version = options.ostree.as_deref().map(child::version).transpose()?.flatten();
    let mut programs = vec![("osier", options.osier.as_path())];
    programs.extend(options.ostree.as_deref().map(|ostree| ("ostree", ostree)));
    let mut sizes = vec![options.objects];
    if options.ostree.is_some() {
        sizes.extend(options.rtts.iter().map(|rtt| ostree_objects(*rtt, options.objects)));
    }
    sizes.sort_unstable();
    sizes.dedup();
    // The server has another working directory.
    let place = options.scratch.canonicalize().during("opening", &options.scratch)?;
    let scratch = Scratch::create(&place, "osier-bench", progress)?;
    let pulls = options.rtts.len() * options.protocols.len() * options.rounds * programs.len();
    let mut announced = Steps::new(progress, sizes.len() + pulls);
    let root = scratch.path.join("archives");
    fs::create_dir(&root).during("creating", &root)?;
    let mut archives = Vec::new();
    for objects in sizes {
        announced.begin(&format!("building the archive of {objects} objects"))?;
        let path = root.join(objects.to_string());
        archives.push(Archive { objects, commit: write_archive(&path, objects, progress)? });
    }
    let find = |objects| archives.iter().find(|archive| archive.objects == objects);
    let server =
        Nginx::start(&options.nginx, &options.openssl, &scratch.path.join("nginx"), &root)?;
    let mut rows = Vec::new();
    for rtt in &options.rtts {
        for protocol in &options.protocols {
            let mut runs = [const { Vec::new() }; 2];
            let target = server.address(*protocol);
            let proxy = match rtt.is_zero() {
                true => None,
                false => Some(Proxy::start(target, *rtt).during("starting", "a proxy")?),
            };
            let port = proxy.as_ref().map_or(target.port(), Proxy::port);
            for round in 0..options.rounds {
                // The programs alternate in going first.
                programs.rotate_left(1);
                for (name, program) in &programs {
                    let ms = rtt.as_millis();
                    let title = protocol.title();
                    announced.begin(&format!("{name}: pull, {title}, {ms} ms"))?;
                    let is_osier = *name == "osier";
                    let objects = match is_osier {
                        true => options.objects,
                        false => ostree_objects(*rtt, options.objects),
                    };
                    let Some(archive) = find(objects) else { continue };
                    let place = format!("{name}-{round}-{}-{ms}", protocol.name());
                    let pull = Pull {
                        program,
                        repo: scratch.path.join(place),
                        protocol: *protocol,
                        port,
                        archive,
                        certificate: &server.certificate,
                        progress,
                    };
                    runs[usize::from(!is_osier)].push(pull.run()?);
                }
            }
            let [osier, ostree] = runs;
            for is_again in [false, true] {
                let figures = |runs: &[[Measurement; 2]]| {
                    Figures::of(runs.iter().map(|runs| &runs[usize::from(is_again)]))
                };
                let compared = (figures(&ostree), ostree_objects(*rtt, options.objects));
                rows.push(RemoteRow {
                    protocol: *protocol,
                    rtt: *rtt,
                    is_again,
                    osier: figures(&osier),
                    objects: options.objects,
                    ostree: Some(compared).filter(|_| !ostree.is_empty()),
                });
            }
        }
    }
    Ok(RemoteReport { rounds: options.rounds, objects: options.objects, ostree_version, rows })
}

/// How many of so many objects `ostree` pulls.
fn ostree_objects(rtt: Duration, objects: u64) -> u64 {
    let ms = u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX);
    let fewer = OSTREE_OBJECTS_TIMES_MS.checked_div(ms).unwrap_or(objects);
    objects.min(fewer.max(FEWEST_OBJECTS))
}

/// An archive that is served.
struct Archive {
    objects: u64,
    commit: Checksum,
}

/// Writes an archive with so many objects, and its summary.
fn write_archive(path: &Path, objects: u64, progress: &dyn Progress) -> Result<Checksum> {
    let repo = synthetic::create(path)?;
    let mut transaction = Transaction::begin(&repo)?;
    let commit = synthetic::write_objects(&transaction, 0..objects, "pulled", progress)?;
    transaction.set_ref(synthetic::local(BRANCH)?, Some(commit));
    transaction.commit()?;
    summary::update(&repo, &summary::UpdateOptions { now: 1, ..Default::default() })?;
    Ok(commit)
}

/// One program that pulls into a repository of its own.
struct Pull<'p> {
    program: &'p Path,
    repo: PathBuf,
    protocol: Protocol,
    port: u16,
    archive: &'p Archive,
    certificate: &'p Path,
    progress: &'p dyn Progress,
}

impl Pull<'_> {
    /// The first pull, and one with nothing to do.
    fn run(&self) -> Result<[Measurement; 2]> {
        fs::create_dir(&self.repo).during("creating", &self.repo)?;
        self.command(&["init".to_owned(), "--mode=bare-user".to_owned()])?;
        let mut add = vec!["remote".to_owned(), "add".to_owned(), "--no-gpg-verify".to_owned()];
        let scheme = match self.protocol {
            Protocol::Http1 => "http",
            Protocol::Http2 => {
                add.push(format!("--set=tls-ca-path={}", self.certificate.display()));
                "https"
            }
        };
        add.push(REMOTE.to_owned());
        add.push(format!("{scheme}://127.0.0.1:{}/{}", self.port, self.archive.objects));
        self.command(&add)?;
        child::warm_memory(self.archive.objects.saturating_mul(FILE_BLOCK));
        let pull = ["pull", REMOTE, BRANCH].map(str::to_owned);
        let first = self.command(&pull)?;
        self.check()?;
        Ok([first, self.command(&pull)?])
    }

    fn command(&self, arguments: &[String]) -> Result<Measurement> {
        child::run(self.program, &self.repo, arguments, self.progress)
    }

    /// Verifies that everything is there.
    fn check(&self) -> Result<()> {
        let repo = Repo::open(&self.repo)?;
        let name = synthetic::local(BRANCH)?.name;
        let refspec = Refspec::parse(&format!("{REMOTE}:{name}"))
            .map_err(|error| Error::failed(error.to_string()))?;
        let commit = repo.resolve_rev(&refspec.to_string())?;
        let state = repo.commit_state(&commit)?;
        let objects = repo.list_objects()?.len() as u64;
        let expected = (self.archive.commit, self.archive.objects);
        if state == CommitState::Complete && (commit, objects) == expected {
            return Ok(());
        }
        let (program, missing) = (self.program.display(), expected.1.saturating_sub(objects));
        Err(Error::failed(format!("{program} has not pulled everything: {missing} are missing")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(milliseconds: u64) -> Figures {
        Figures { median: Duration::from_millis(milliseconds), ..Figures::default() }
    }

    #[test]
    fn ostree_gets_fewer_objects_over_a_long_line() {
        let objects = |ms| ostree_objects(Duration::from_millis(ms), 60_000);
        assert_eq!([0, 1, 100, 1_000_000].map(objects), [60_000, 60_000, 1500, 10]);
        assert_eq!(ostree_objects(Duration::from_millis(100), 12), 12);
    }

    #[test]
    fn rates_are_compared_where_objects_differ_and_times_where_there_are_none() {
        let row = RemoteRow {
            protocol: Protocol::Http2,
            rtt: Duration::from_millis(100),
            is_again: false,
            osier: figures(10_000),
            objects: 10_000,
            ostree: Some((figures(2000), 100)),
        };
        assert_eq!((row.rate(), row.ostree_rate()), (Some(1000.0), Some(50.0)));
        assert_eq!((row.ratio(), row.goal()), (Some(20.0), Some(15.0)));
        let again = RemoteRow { is_again: true, ..row };
        assert_eq!((again.rate(), again.ostree_rate()), (None, None));
        assert_eq!((again.ratio(), again.goal()), (Some(0.2), Some(1.0)));
    }
}
