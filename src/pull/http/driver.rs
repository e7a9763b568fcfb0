//! The one thread that decides what is asked for next.
//!
//! ```text
//! plan ──> driver ──> client (its own thread) ──┐
//!            ^  <──── heads of answers  ────────┘
//!            │  ────> workers: small bodies, verified and written
//!            │  ────> a thread for each large body
//!            └─────── what has become of each
//! ```
//!
//! Memory: the plan has one name for each object that is known. Of bodies at most those of the
//! requests under way are in memory, each small ([`Task::request`]), and [`MOST_WAITING`] more
//! that wait for a worker; larger ones stream.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver as Events, RecvTimeoutError, Sender, channel};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use super::delay::{Delayed, Pause};
use super::delta::Delta;
use super::flights::{Flights, Landing};
use super::receive::Received;
use super::tally::Tally;
use super::task::{Task, What};
use super::watch::Watch;
use super::window::Window;
use super::work::{Event, Job, Work, serve, spawn};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::http::{HttpError, HttpErrorKind, Request, Response};
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event as Progressed, Transfer};
use crate::pull::dry_run::Purpose;
use crate::pull::plan::Plan;
use crate::pull::space::Space;
use crate::pull::{ObjectTotals, PullStats};
use crate::remote::attempts::Next;
use crate::remote::origin::{self, dice};
use crate::repo::Repo;

/// Small bodies that wait for a worker at most; no more requests are made until there are fewer.
const MOST_WAITING: usize = 128;
/// Parts of deltas under way at most: each takes memory for what is decompressed.
const MOST_PARTS: usize = 2;
/// Objects that the plan hands out at a time. What is found meanwhile may be more urgent.
const HANDED_OUT: usize = 32;
/// How often what has come is reported when nothing else happens.
const LOOK: Duration = Duration::from_millis(500);

/// Gets everything that the plan wants.
///
/// # Errors
/// The first one. What is under way then is given up.
pub(super) fn run(
    work: &Work<'_, '_>,
    plan: Plan,
    deltas: Vec<Arc<Delta>>,
    space: Space,
) -> Result<Outcome> {
    let workers = thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    let (events, incoming) = channel();
    let (jobs, waiting) = channel();
    let waiting = Mutex::new(waiting);
    let view = work.receiver.transaction.view()?;
    thread::scope(|scope| {
        for _ in 0..workers {
            let (events, waiting) = (events.clone(), &waiting);
            spawn(scope, move || serve(work, waiting, &events))?;
        }
        let mut driver = Driver {
            work,
            scope,
            view,
            plan,
            stats: PullStats::default(),
            missing: ObjectTotals::default(),
            tally: Tally::new(work.progress, Arc::clone(&work.receiver.shared)),
            space,
            watch: Watch::new(work.checks.options.idle_limit),
            window: Window::new(work.checks.options.max_requests),
            events,
            jobs,
            urgent: Vec::new(),
            ready: Vec::new(),
            delayed: Delayed::default(),
            pause: Pause::default(),
            parts: VecDeque::new(),
            parts_under_way: 0,
            parts_left: HashMap::new(),
            flights: Flights::default(),
            waiting: 0,
            streaming: 0,
        };
        let result = deltas
            .into_iter()
            .try_for_each(|delta| driver.begin_delta(&delta))
            .and_then(|()| driver.run(&incoming));
        // After an error bodies that still come are of no use.
        work.receiver.shared.stopped.store(true, Ordering::Relaxed);
        let Driver { plan, stats, missing, .. } = driver;
        result.map(|()| Outcome { plan, stats, missing })
    })
}

/// What has come, or of what is only counted, what is missing.
pub(super) struct Outcome {
    pub(super) plan: Plan,
    pub(super) stats: PullStats,
    pub(super) missing: ObjectTotals,
}

pub(super) struct Driver<'scope, 'env, 'w, 'r> {
    pub(super) work: &'env Work<'w, 'r>,
    scope: &'scope Scope<'scope, 'env>,
    /// The repository with what is staged.
    pub(super) view: Repo,
    pub(super) plan: Plan,
    pub(super) stats: PullStats,
    /// Of a pull that only counts.
    pub(super) missing: ObjectTotals,
    pub(super) tally: Tally<'w>,
    pub(super) space: Space,
    watch: Watch,
    window: Window,
    events: Sender<Event>,
    pub(super) jobs: Sender<Job>,
    /// Tasks that come before all others.
    pub(super) urgent: Vec<Task>,
    /// Objects that the plan has handed out.
    ready: Vec<ObjectName>,
    delayed: Delayed,
    pause: Pause,
    /// Parts of deltas that are still to be asked for.
    pub(super) parts: VecDeque<Task>,
    /// Parts that come or are executed, without inlined ones.
    parts_under_way: usize,
    /// How many parts of the delta to a commit are missing.
    pub(super) parts_left: HashMap<Checksum, usize>,
    flights: Flights,
    /// Small bodies at the workers.
    pub(super) waiting: usize,
    /// Large bodies that come.
    streaming: usize,
}

impl<'scope, 'env> Driver<'scope, 'env, '_, '_> {
    fn run(&mut self, incoming: &Events<Event>) -> Result<()> {
        loop {
            self.ask_all()?;
            let under_way = self.flights.len() + self.waiting + self.streaming;
            let later = [self.delayed.next_due(), self.pause.until()].into_iter().flatten().min();
            if under_way == 0 && later.is_none() {
                return Ok(());
            }
            let wait = later.map_or(LOOK, |later| later.saturating_duration_since(Instant::now()));
            let event = incoming.recv_timeout(wait.min(LOOK));
            if self.tally.look() {
                self.report();
                self.overtake();
            }
            match event {
                Ok(event) => {
                    self.watch.stirs();
                    self.handle(event)?;
                }
                Err(RecvTimeoutError::Timeout) if later.is_none() && self.only_waits() => {
                    let bytes = self.work.receiver.shared.transferred.load(Ordering::Relaxed);
                    // Those that wait for bodies would wait on.
                    let end = |_: &Error| self.work.origin.transport().end();
                    self.watch.check(bytes).inspect_err(end)?;
                }
                Err(RecvTimeoutError::Timeout) => self.watch.stirs(),
                // The driver has a sender itself.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Says how far it is.
    fn report(&self) {
        let PullStats { metadata_objects_fetched, content_objects_fetched, .. } = self.stats;
        let files = self.plan.files_found().saturating_sub(self.tally.files_present);
        let transfer = Transfer {
            fetched: metadata_objects_fetched + content_objects_fetched,
            wanted: metadata_objects_fetched + files,
            grows: self.plan.grows(),
            requests: (self.flights.len() + self.streaming) as u64,
            unwritten: self.waiting as u64,
            bytes: self.work.receiver.shared.transferred.load(Ordering::Relaxed),
            parts: (self.stats.delta_parts_fetched, self.tally.parts),
            part_bytes: self.tally.part_bytes,
        };
        self.work.progress.event(Progressed::Transfer(transfer));
    }

    /// Whether all that is under way waits for the network.
    fn only_waits(&self) -> bool {
        let reading = self.work.receiver.shared.reading.load(Ordering::Relaxed);
        self.waiting == 0 && self.streaming == reading
    }

    /// Makes as many requests as are allowed now.
    fn ask_all(&mut self) -> Result<()> {
        let now = Instant::now();
        if !self.pause.is_over(now) {
            return Ok(());
        }
        while self.flights.len() + self.streaming < self.window.size()
            && self.waiting < MOST_WAITING
        {
            match self.next_task(now)? {
                Some(task) => self.ask(task),
                None => break,
            }
        }
        Ok(())
    }

    fn next_task(&mut self, now: Instant) -> Result<Option<Task>> {
        if self.parts_under_way < MOST_PARTS
            && let Some(task) = self.parts.pop_front()
        {
            self.parts_under_way += 1;
            return Ok(Some(task));
        }
        if let Some(task) = self.urgent.pop().or_else(|| self.delayed.pop(now)) {
            return Ok(Some(task));
        }
        while let Some(wanted) = self.plan.next_commit() {
            if !self.commit_from_cache(&wanted)? {
                return Ok(Some(Task::new(self.work.origin, What::Detached(wanted), None)));
            }
        }
        loop {
            if self.ready.is_empty() {
                self.ready = self.plan.take(HANDED_OUT);
            }
            let Some(name) = self.ready.pop() else { return Ok(None) };
            if !self.work.has(&name, !self.parts_left.is_empty())? {
                let cache = self.work.cache_with(&name)?;
                if self.work.purpose == Purpose::Count && self.count(&name, cache)? {
                    continue;
                }
                let Some(cache) = cache else {
                    return Ok(Some(Task::new(self.work.origin, What::Object(name), None)));
                };
                self.tally.files_present += u64::from(name.object_type == ObjectType::File);
                self.waiting += 1;
                // The workers live as long as the driver.
                let _ = self.jobs.send(Job::Import(name, cache));
                if self.waiting < MOST_WAITING {
                    continue;
                }
                return Ok(None);
            }
            // A dirtree may be there without what it lists.
            match name.object_type {
                ObjectType::DirTree => {
                    let bytes = self.view.load_metadata(&name)?;
                    self.arrived(&name, &bytes)?;
                }
                object_type => {
                    self.tally.files_present += u64::from(object_type == ObjectType::File);
                    self.arrived(&name, &[])?;
                }
            }
        }
    }

    /// Counts an object instead of getting it, and says whether it is done with: of metadata that
    /// no local cache has the bytes are needed.
    fn count(&mut self, name: &ObjectName, cache: Option<usize>) -> Result<bool> {
        match (name.object_type, cache) {
            (ObjectType::File, None) => self.missing.add_file_of_unknown_size(),
            (ObjectType::File, Some(_)) => {}
            (_, Some(cache)) => {
                let bytes = self.work.caches[cache].load(name)?;
                self.arrived(name, &bytes)?;
                return Ok(true);
            }
            (_, None) => return Ok(false),
        }
        self.arrived(name, &[])?;
        Ok(true)
    }

    /// An object is stored now.
    fn arrived(&mut self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.plan.arrived(name, bytes)?;
        if name.object_type == ObjectType::File {
            self.tally.file_is_there();
        } else {
            self.tally.found(self.plan.files_found());
        }
        Ok(())
    }

    fn ask(&mut self, mut task: Task) {
        task.asked = Instant::now();
        task.begun = match task.is_anew {
            true => None,
            false => self.work.receiver.begun(&task.kind()),
        };
        let (url, mirror) = (task.attempts.url(&task.path()), task.attempts.mirror());
        task.number = self.watch.begins(url.as_ref());
        if let Some(url) = url {
            self.submit(task.number, mirror, task.request(url));
        } else {
            let error = HttpError::new("", HttpErrorKind::Invalid, "no place to look for it");
            let _ = self.events.send(Event::Answered(task.number, mirror, Err(error)));
        }
        self.flights.begins(task.number, task);
    }

    fn submit(&self, number: u64, mirror: usize, request: Request) {
        let events = self.events.clone();
        let deliver = move |answer| {
            // After an error the driver is gone.
            let _ = events.send(Event::Answered(number, mirror, answer));
        };
        self.work.origin.transport().submit(request, Box::new(deliver));
    }

    /// Asks other mirrors for what takes too long.
    fn overtake(&mut self) {
        for (number, mirror) in self.flights.late(Instant::now()) {
            let Some(task) = self.flights.task(number) else { continue };
            if let Some(url) = task.attempts.mirrors().file(mirror, &task.path()) {
                log::debug!("{url} is asked for, because another mirror takes long");
                self.submit(number, mirror, task.request(url));
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Answered(number, mirror, Ok(response)) => {
                // Else another mirror was faster.
                let Some(flight) = self.flights.answered(number, mirror) else { return Ok(()) };
                if response.body.is_whole() {
                    self.watch.ends(number);
                }
                self.answered(flight.landed_at(mirror), response)
            }
            Event::Answered(number, mirror, Err(error)) => {
                match self.flights.failed(number, mirror) {
                    Landing::Overtaken => Ok(()),
                    Landing::GoesOn => {
                        log::debug!("{error}; another mirror is asked already");
                        Ok(())
                    }
                    Landing::Last(flight) => {
                        self.watch.ends(number);
                        self.failed(flight.crashed(), &error)
                    }
                }
            }
            Event::Worked(task, received) => {
                self.waiting -= 1;
                self.done(task, received)
            }
            Event::Streamed(task, received) => {
                self.streaming -= 1;
                self.watch.ends(task.number);
                self.done(task, received)
            }
            Event::Inlined(delta, applied) => {
                self.waiting -= 1;
                match applied {
                    Ok(_) => {
                        self.part_is_done(&delta);
                        Ok(())
                    }
                    Err(error) => self.part_has_failed(&delta, None, error),
                }
            }
            Event::Imported(name, received) => {
                self.waiting -= 1;
                self.imported(&name, received?)
            }
        }
    }

    fn answered(&mut self, task: Task, response: Response) -> Result<()> {
        self.window.answered(response.http2);
        self.pause.answered();
        if !response.body.is_whole() {
            self.streaming += 1;
            let (work, events) = (self.work, self.events.clone());
            return spawn(self.scope, move || {
                let mut task = task;
                let received = work.receive(&mut task, response);
                let _ = events.send(Event::Streamed(task, received));
            });
        }
        if let What::Object(_) | What::Commit(..) | What::Part(..) = task.what {
            self.waiting += 1;
            // The workers live as long as the driver.
            let _ = self.jobs.send(Job::Body(Box::new((task, response))));
            return Ok(());
        }
        let mut task = task;
        let received = self.work.receive(&mut task, response)?;
        self.received(task.what, received)
    }

    fn failed(&mut self, mut task: Task, error: &HttpError) -> Result<()> {
        match error.kind {
            HttpErrorKind::Busy(429 | 503, after) => {
                let counts = self.pause.complained(task.asked, after);
                if counts {
                    self.window.complained();
                }
            }
            HttpErrorKind::Stalled => self.window.complained(),
            HttpErrorKind::Status(206 | 416) if task.begun.is_some() => {
                // The file has become shorter, what there is of it is all, or the server cannot
                // count.
                self.work.receiver.forget(&task.kind());
                task.is_anew = true;
                self.urgent.push(task);
                return Ok(());
            }
            HttpErrorKind::Unreachable => _ = self.pause.complained(task.asked, None),
            _ => {}
        }
        match task.attempts.failed(error, self.work.origin.retry(), dice()) {
            Next::Again(wait) => {
                log::debug!("{error}; again in {wait:?}");
                self.tally.retry(error, wait);
                self.delayed.add(task, wait);
                Ok(())
            }
            Next::Absent => self.absent(task, error),
            Next::GiveUp => match task.what {
                What::Part(delta, number) => {
                    self.parts_under_way -= 1;
                    self.part_has_failed(&delta, Some(number), origin::failed(error))
                }
                _ => Err(origin::failed(error)),
            },
        }
    }

    /// The server does not have a file.
    fn absent(&mut self, task: Task, error: &HttpError) -> Result<()> {
        match task.what {
            What::Detached(wanted) => self.detached(wanted, None),
            What::Commit(wanted, _) if wanted.is_parent => {
                match self.work.tombstones {
                    true => {
                        self.urgent.push(Task::new(self.work.origin, What::Tombstone(wanted), None))
                    }
                    false => self.plan.commit_is_absent(&wanted),
                }
                Ok(())
            }
            What::Part(delta, number) => {
                self.parts_under_way -= 1;
                self.part_has_failed(&delta, Some(number), origin::failed(error))
            }
            _ => Err(origin::failed(error)),
        }
    }

    fn done(&mut self, task: Task, received: Result<Received>) -> Result<()> {
        match (task.what, received) {
            (What::Part(delta, number), received) => {
                self.parts_under_way -= 1;
                match received {
                    Ok(_) => {
                        let size = delta.part_size(number);
                        self.tally.part_bytes.0 = self.tally.part_bytes.0.saturating_add(size);
                        self.stats.delta_parts_fetched += 1;
                        self.part_is_done(&delta);
                        Ok(())
                    }
                    Err(error) => self.part_has_failed(&delta, Some(number), error),
                }
            }
            (what, received) => self.received(what, received?),
        }
    }

    fn received(&mut self, what: What, received: Received) -> Result<()> {
        match (what, received) {
            (What::Detached(wanted), Received::Bytes(bytes)) => {
                self.stats.metadata_objects_fetched += 1;
                self.detached(wanted, Some(bytes))
            }
            (What::Commit(wanted, detached), Received::Bytes(bytes)) => {
                self.stats.metadata_objects_fetched += 1;
                self.commit(&wanted, &bytes, detached)
            }
            (What::Tombstone(wanted), Received::Bytes(_)) => {
                // As upstream, which only makes sure that there is one.
                self.stats.metadata_objects_fetched += 1;
                self.plan.commit_is_absent(&wanted);
                Ok(())
            }
            (What::Object(name), Received::Bytes(bytes)) => {
                self.stats.metadata_objects_fetched += 1;
                if self.work.purpose == Purpose::Count {
                    self.missing.add_metadata(&bytes);
                }
                self.arrived(&name, &bytes)
            }
            (What::Object(name), Received::Stored(content)) => {
                self.stats.content_objects_fetched += 1;
                self.stats.content_bytes_written += content;
                self.arrived(&name, &[])
            }
            // Only files are stored without a look at their bytes, and parts are done elsewhere.
            (_, Received::Stored(_) | Received::Applied) | (What::Part(..), _) => Ok(()),
        }
    }

    fn imported(&mut self, name: &ObjectName, received: Received) -> Result<()> {
        match received {
            Received::Bytes(bytes) => {
                self.stats.metadata_objects_imported += 1;
                self.arrived(name, &bytes)
            }
            Received::Stored(content) => {
                self.stats.content_objects_imported += 1;
                self.stats.content_bytes_written += content;
                self.arrived(name, &[])
            }
            // Nothing else is imported.
            Received::Applied => Ok(()),
        }
    }
}
