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
//! requests under way are in memory, each of at most [`SMALL`] bytes, and [`MOST_WAITING`] more
//! that wait for a worker; larger ones stream.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver as Events, RecvTimeoutError, Sender, channel};
use std::thread::{self, Scope};
use std::time::Instant;

use super::delay::{Delayed, Pause};
use super::delta::Delta;
use super::metadata::verify;
use super::receive::Received;
use super::task::{Task, What};
use super::window::Window;
use super::work::{Event, Job, Work, serve, spawn};
use crate::checksum::Checksum;
use crate::delta;
use crate::error::{Error, OfObject, Result};
use crate::http::{HttpError, HttpErrorKind, Request, Response};
use crate::map::FileBytes;
use crate::object::{Commit, ObjectName, ObjectType};
use crate::progress::Event as Progressed;
use crate::pull::checks::Candidate;
use crate::pull::plan::{Completeness, Plan, WantedCommit};
use crate::pull::{DeltaUse, PullStats};
use crate::remote::attempts::Next;
use crate::remote::origin::{self, dice};
use crate::repo::{CommitState, Repo, Trust};

/// Bodies of at most that many bytes are in memory as a whole.
const SMALL: usize = 64 << 10;
/// Small bodies that wait for a worker at most; no more requests are made until there are fewer.
const MOST_WAITING: usize = 128;
/// Parts of deltas under way at most: each takes memory for what is decompressed.
const MOST_PARTS: usize = 2;
/// Objects that the plan hands out at a time. What is found meanwhile may be more urgent.
const HANDED_OUT: usize = 32;

/// Gets everything that the plan wants.
///
/// # Errors
/// The first one. What is under way then is given up.
pub(super) fn run(
    work: &Work<'_, '_>,
    plan: Plan,
    deltas: Vec<Arc<Delta>>,
) -> Result<(Plan, PullStats)> {
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
            asked: 0,
            waiting: 0,
            streaming: 0,
        };
        let result = deltas
            .into_iter()
            .try_for_each(|delta| driver.begin_delta(&delta))
            .and_then(|()| driver.run(&incoming));
        // After an error bodies that still come are of no use.
        work.receiver.shared.stopped.store(true, Ordering::Relaxed);
        let Driver { plan, stats, .. } = driver;
        result.map(|()| (plan, stats))
    })
}

struct Driver<'scope, 'env, 'w, 'r> {
    work: &'env Work<'w, 'r>,
    scope: &'scope Scope<'scope, 'env>,
    /// The repository with what is staged.
    view: Repo,
    plan: Plan,
    stats: PullStats,
    window: Window,
    events: Sender<Event>,
    jobs: Sender<Job>,
    /// Tasks that come before all others.
    urgent: Vec<Task>,
    /// Objects that the plan has handed out.
    ready: Vec<ObjectName>,
    delayed: Delayed,
    pause: Pause,
    /// Parts of deltas that are still to be asked for.
    parts: VecDeque<Task>,
    /// Parts that come or are executed, without inlined ones.
    parts_under_way: usize,
    /// How many parts of the delta to a commit are missing.
    parts_left: HashMap<Checksum, usize>,
    /// Requests without an answer so far.
    asked: usize,
    /// Small bodies at the workers.
    waiting: usize,
    /// Large bodies that come.
    streaming: usize,
}

impl<'scope, 'env> Driver<'scope, 'env, '_, '_> {
    fn run(&mut self, incoming: &Events<Event>) -> Result<()> {
        loop {
            self.ask_all()?;
            let under_way = self.asked + self.waiting + self.streaming;
            let later = [self.delayed.next_due(), self.pause.until()].into_iter().flatten().min();
            if under_way == 0 && later.is_none() {
                return Ok(());
            }
            let event = match later {
                None => incoming.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(later) => {
                    incoming.recv_timeout(later.saturating_duration_since(Instant::now()))
                }
            };
            match event {
                Ok(event) => self.handle(event)?,
                Err(RecvTimeoutError::Timeout) => {}
                // The driver has a sender itself.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    /// Makes as many requests as are allowed now.
    fn ask_all(&mut self) -> Result<()> {
        let now = Instant::now();
        if !self.pause.is_over(now) {
            return Ok(());
        }
        while self.asked + self.streaming < self.window.size() && self.waiting < MOST_WAITING {
            match self.next_task(now)? {
                Some(task) => self.ask(task),
                None => break,
            }
        }
        Ok(())
    }

    /// Asks for what a delta consists of. Its commit is scanned when all its parts are there.
    fn begin_delta(&mut self, delta: &Arc<Delta>) -> Result<()> {
        let transaction = self.work.receiver.transaction;
        let superblock = delta.superblock()?;
        for fallback in &superblock.fallbacks {
            if !transaction.was_present(&fallback.name)? {
                self.urgent.push(Task::new(What::Object(fallback.name), None));
            }
        }
        self.parts_left.insert(delta.name.to, superblock.parts.len());
        let inlined = superblock.inlined_parts();
        for (number, header) in superblock.parts.iter().enumerate() {
            let is_inlined = inlined.part(number).is_some();
            if delta::is_present(transaction, header)? {
                self.stats.delta_parts_fetched += u64::from(!is_inlined);
                self.part_is_done(delta);
            } else if is_inlined {
                self.waiting += 1;
                // The workers live as long as the driver.
                let _ = self.jobs.send(Job::Inlined(Arc::clone(delta), number));
            } else {
                let what = What::Part(Arc::clone(delta), number);
                self.parts.push_back(Task::new(what, Some(header.size)));
            }
        }
        if superblock.parts.is_empty() {
            self.plan.want(&delta.name.to, &delta.want);
        }
        Ok(())
    }

    fn part_is_done(&mut self, delta: &Delta) {
        let Some(left) = self.parts_left.get_mut(&delta.name.to) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.plan.want(&delta.name.to, &delta.want);
        }
    }

    /// A part cannot be had. What it should have brought comes object by object, unless only deltas
    /// may be used.
    fn part_has_failed(
        &mut self,
        delta: &Delta,
        number: Option<usize>,
        error: Error,
    ) -> Result<()> {
        if self.work.checks.options.deltas == DeltaUse::Required {
            return Err(error);
        }
        let part = number.map_or("an inlined part".to_owned(), |number| format!("part {number}"));
        let name = delta.name;
        let warning = format!(
            "warning: {part} of the static delta {name} is not used, its objects are fetched: {}",
            error.chain()
        );
        self.work.progress.event(Progressed::Warning(&warning));
        self.part_is_done(delta);
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
                return Ok(Some(Task::new(What::Detached(wanted), None)));
            }
        }
        loop {
            if self.ready.is_empty() {
                self.ready = self.plan.take(HANDED_OUT);
            }
            let Some(name) = self.ready.pop() else { return Ok(None) };
            if !self.is_present(&name)? {
                let Some(cache) = self.work.cache_with(&name)? else {
                    return Ok(Some(Task::new(What::Object(name), None)));
                };
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
                _ => self.arrived(&name, &[])?,
            }
        }
    }

    /// Whether an object is there. Only deltas bring objects before they are looked for.
    fn is_present(&self, name: &ObjectName) -> Result<bool> {
        match self.parts_left.is_empty() {
            true => self.work.receiver.transaction.was_present(name),
            false => self.work.receiver.transaction.is_present(name),
        }
    }

    /// An object is stored now.
    fn arrived(&mut self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let before = self.plan.files_found();
        self.plan.arrived(name, bytes)?;
        let progress = self.work.progress;
        if name.object_type == ObjectType::File {
            progress.event(Progressed::Advanced { steps: 1, bytes: 0 });
        }
        let found = self.plan.files_found();
        if found != before {
            progress.event(Progressed::Total { steps: found, bytes: None });
        }
        Ok(())
    }

    fn ask(&mut self, mut task: Task) {
        task.asked = Instant::now();
        let places = task.places(self.work.origin);
        let events = self.events.clone();
        let Some(url) = places.urls.into_iter().nth(places.mirror) else {
            let error = HttpError::new("", HttpErrorKind::Invalid, "no place to look for it");
            let _ = events.send(Event::Answered(task, Err(error)));
            self.asked += 1;
            return;
        };
        let request = Request { limit: places.limit, collect: SMALL, ..Request::get(url) };
        self.asked += 1;
        let deliver = move |answer| {
            // After an error the driver is gone.
            let _ = events.send(Event::Answered(task, answer));
        };
        self.work.origin.transport().submit(request, Box::new(deliver));
    }

    fn handle(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Answered(task, answer) => {
                self.asked -= 1;
                match answer {
                    Ok(response) => self.answered(task, response),
                    Err(error) => self.failed(task, &error),
                }
            }
            Event::Worked(task, received) => {
                self.waiting -= 1;
                self.done(task, received)
            }
            Event::Streamed(task, received) => {
                self.streaming -= 1;
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
                let received = work.receive(&task, response);
                let _ = events.send(Event::Streamed(task, received));
            });
        }
        if let What::Object(_) | What::Part(..) = task.what {
            self.waiting += 1;
            // The workers live as long as the driver.
            let _ = self.jobs.send(Job::Body(Box::new((task, response))));
            return Ok(());
        }
        let received = self.work.receive(&task, response)?;
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
            HttpErrorKind::Unreachable => _ = self.pause.complained(task.asked, None),
            _ => {}
        }
        let places = task.places(self.work.origin);
        match task.attempts.failed(error, places.urls.len(), &places.retry, dice()) {
            Next::Again(wait) => {
                log::debug!("{error}; again in {wait:?}");
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
                    true => self.urgent.push(Task::new(What::Tombstone(wanted), None)),
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

    /// Takes over a commit with its detached metadata if a local cache has it and the repository
    /// does not.
    fn commit_from_cache(&mut self, wanted: &WantedCommit) -> Result<bool> {
        let name = ObjectName::new(wanted.commit, ObjectType::Commit);
        if self.work.receiver.transaction.was_present(&name)? {
            return Ok(false);
        }
        let Some(number) = self.work.cache_with(&name)? else { return Ok(false) };
        let cache = &self.work.caches[number];
        let bytes = cache.load(&name)?;
        let detached = cache.load_detached_metadata(&wanted.commit)?;
        self.commit(wanted, &bytes, detached)?;
        self.stats.metadata_objects_imported += 1;
        Ok(true)
    }

    /// The detached metadata of a commit have come, if there are any. A commit that is there is
    /// checked with them; another one is asked for.
    fn detached(&mut self, wanted: WantedCommit, detached: Option<FileBytes>) -> Result<()> {
        let name = ObjectName::new(wanted.commit, ObjectType::Commit);
        // A superblock may have brought it.
        if !self.is_present(&name)? {
            let size = self.work.sizes.get(&wanted.commit).copied();
            self.urgent.push(Task::new(What::Commit(wanted, detached), size));
            return Ok(());
        }
        let bytes = self.view.load_metadata(&name)?;
        let commit = Commit::decode(&bytes).of_object(name)?;
        let stored = match &detached {
            Some(_) => None,
            None => self.stored_detached(&wanted.commit)?,
        };
        self.work.checks.check(&Candidate {
            wanted: &wanted,
            bytes: &bytes,
            commit: &commit,
            detached: detached.as_deref().or(stored.as_deref()),
            is_stored: true,
        })?;
        self.store_detached(&wanted.commit, detached.as_deref())?;
        let completeness = match self.view.commit_state(&wanted.commit)? {
            CommitState::Complete => Completeness::Complete,
            CommitState::Partial | CommitState::PartialFsck => Completeness::Partial,
        };
        self.plan.commit_arrived(&wanted.commit, &commit, completeness)
    }

    /// A commit has come. Nothing is written before all there is to be looked at was.
    fn commit(
        &mut self,
        wanted: &WantedCommit,
        bytes: &[u8],
        detached: Option<FileBytes>,
    ) -> Result<()> {
        let name = ObjectName::new(wanted.commit, ObjectType::Commit);
        verify(&name, bytes)?;
        let commit = Commit::decode(bytes).of_object(name)?;
        let new = detached.as_deref();
        let candidate =
            Candidate { wanted, bytes, commit: &commit, detached: new, is_stored: false };
        self.work.checks.check(&candidate)?;
        let transaction = self.work.receiver.transaction;
        let repo = transaction.repo();
        // A mark left by fsck has more information than ours.
        if repo.commit_state(&wanted.commit)? == CommitState::Complete {
            repo.mark_commit(&wanted.commit, CommitState::Partial)?;
        }
        self.store_detached(&wanted.commit, detached.as_deref())?;
        transaction.write_metadata_as(&name, bytes, Trust::Trusted)?;
        self.plan.commit_arrived(&wanted.commit, &commit, Completeness::Partial)
    }

    /// The detached metadata of a commit that are there, also if they are only staged.
    fn stored_detached(&self, commit: &Checksum) -> Result<Option<FileBytes>> {
        match self.view.load_metadata(&ObjectName::new(*commit, ObjectType::CommitMeta)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::MissingMetadata { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn store_detached(&self, commit: &Checksum, detached: Option<&[u8]>) -> Result<()> {
        let Some(bytes) = detached else { return Ok(()) };
        let name = ObjectName::new(*commit, ObjectType::CommitMeta);
        self.work.receiver.transaction.write_metadata_as(&name, bytes, Trust::Trusted)
    }
}
