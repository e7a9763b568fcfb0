//! Frames over two pipes, without waiting for ever: whoever has nothing to say says so now and
//! then, so silence means that the other end is gone, or stuck.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::frame::{GREETING, HEADER, Kind, MAX_PAYLOAD, VERSION};
use crate::error::{During, Error, Result};
use crate::input::quotable;

/// How often a wait looks whether it is over.
const SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
/// A blocking pipe that can be written to takes this many bytes at once (PIPE_BUF).
const CHUNK: usize = 4096;
/// The longest first line, in bytes.
const LONGEST_GREETING: usize = 256;

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without a byte from the other end.
    pub(super) silence: Duration,
    /// Between two signs of life.
    pub(super) beat: Duration,
    /// With nothing but signs of life, where an answer is due.
    pub(super) stuck: Duration,
    /// Until the first line has come. Somebody may have to type a password before.
    pub(super) greeting: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(60),
            beat: Duration::from_secs(10),
            stuck: Duration::from_secs(3600),
            greeting: Duration::from_secs(300),
        }
    }
}

/// Who is at the other end, and whether it is over with them.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// What messages call them.
    pub(super) name: String,
    pub(super) patience: Patience,
    /// Ends all waiting.
    pub(super) over: Arc<AtomicBool>,
    /// Signs of life do not count any more.
    is_hurried: Arc<AtomicBool>,
}

impl Peer {
    pub(super) fn new(name: &str, patience: Patience) -> Self {
        Self { name: name.to_owned(), patience, over: Arc::default(), is_hurried: Arc::default() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Nothing can be said any more, so no answer is worth a long wait.
    pub(super) fn hurry(&self) {
        self.is_hurried.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.is_hurried.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::failed(format!("{} {what}", self.name))
    }

    /// Waits until a pipe is ready, or has been closed.
    fn wait(&self, pipe: &File, flags: PollFlags, most: Duration) -> Result<()> {
        let started = Instant::now();
        loop {
            if self.is_over() {
                return Err(Error::failed(format!("the connection to {} is closed", self.name)));
            }
            match poll(&mut [PollFd::new(pipe, flags)], Some(&SLICE)) {
                Ok(1..) => return Ok(()),
                Ok(0) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).during("waiting for", &self.name),
            }
            if started.elapsed() >= most {
                return Err(self.error(format!("has not answered for {} s", most.as_secs())));
            }
        }
    }

    /// The other end does not keep to the protocol.
    pub(super) fn broken(&self, error: &Error) -> Error {
        self.error(format!("does not keep to the protocol: {}", error.chain()))
    }
}

/// What comes from the other end.
#[derive(Debug)]
pub(super) struct Input {
    from: File,
    pub(super) peer: Peer,
    buffer: Vec<u8>,
    start: usize,
    payload: Vec<u8>,
}

impl Input {
    pub(super) fn new(from: File, peer: Peer) -> Self {
        Self { from, peer, buffer: Vec::new(), start: 0, payload: Vec::new() }
    }

    /// The payload of the frame that came last.
    pub(super) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Reads the first line, and returns the version to speak.
    ///
    /// # Errors
    /// When it is none, or of a version that is not spoken here.
    pub(super) fn greeting(&mut self) -> Result<u32> {
        let line = loop {
            let waiting = &self.buffer[self.start..];
            if let Some(length) = waiting.iter().position(|byte| *byte == b'\n') {
                let line = waiting[..length].to_vec();
                self.start += length + 1;
                break line;
            }
            if waiting.len() > LONGEST_GREETING || !self.fill(self.peer.patience.greeting)? {
                break self.buffer[self.start..].to_vec();
            }
        };
        let text = String::from_utf8_lossy(&line[..line.len().min(LONGEST_GREETING)]);
        let version = text.strip_prefix(GREETING).and_then(|rest| rest.split(' ').next());
        match version.and_then(|version| version.parse::<u32>().ok()) {
            Some(0) => Err(self.peer.error("speaks version 0, which there is not")),
            Some(version) => Ok(version.min(VERSION)),
            None if text.is_empty() => Err(self.peer.error("said nothing")),
            None => Err(self.peer.error(format!(
                "answered '{}', which is no greeting of osier: nothing else may be printed there",
                quotable(&text)
            ))),
        }
    }

    /// Reads a frame; `None` at the end.
    ///
    /// # Errors
    /// When the end comes within one, nothing comes for too long, or it is none.
    pub(super) fn next(&mut self) -> Result<Option<Kind>> {
        let started = Instant::now();
        loop {
            while self.buffer.len() - self.start < HEADER {
                if !self.fill(self.peer.patience.silence)? {
                    return match self.buffer.len() == self.start {
                        true => Ok(None),
                        false => Err(self.peer.error("ended in the middle")),
                    };
                }
            }
            let kind = self.frame()?;
            if kind != Kind::Alive {
                return Ok(Some(kind));
            }
            let most = match self.peer.is_hurried() {
                true => self.peer.patience.silence,
                false => self.peer.patience.stuck,
            };
            if started.elapsed() >= most {
                let time = most.as_secs();
                return Err(self.peer.error(format!("has been busy for more than {time} s")));
            }
        }
    }

    fn frame(&mut self) -> Result<Kind> {
        let header = &self.buffer[self.start..self.start + HEADER];
        let length = header.iter().skip(1).fold(0usize, |sum, byte| sum << 8 | *byte as usize);
        let kind = Kind::from_byte(header[0]).ok_or_else(|| {
            self.peer.broken(&Error::failed(format!("there is no frame of kind {}", header[0])))
        })?;
        if length > MAX_PAYLOAD {
            let what = Error::failed(format!("a frame of {length} bytes is too long"));
            return Err(self.peer.broken(&what));
        }
        self.start += HEADER;
        self.payload.clear();
        while self.payload.len() < length {
            let waiting = &self.buffer[self.start..];
            let taken = waiting.len().min(length - self.payload.len());
            self.payload.extend_from_slice(&waiting[..taken]);
            self.start += taken;
            let is_whole = self.payload.len() == length;
            if !is_whole && !self.fill(self.peer.patience.silence)? {
                return Err(self.peer.error("ended in the middle"));
            }
        }
        Ok(kind)
    }

    /// Reads more into the buffer; `false` at the end.
    fn fill(&mut self, most: Duration) -> Result<bool> {
        let left = self.buffer.len() - self.start;
        self.buffer.copy_within(self.start.., 0);
        self.start = 0;
        self.buffer.resize(left + (64 << 10), 0);
        let read = loop {
            let waited = self.peer.wait(&self.from, PollFlags::IN, most);
            let read = waited.map(|()| self.from.read(&mut self.buffer[left..]));
            match read {
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let length = *read.as_ref().ok().and_then(|read| read.as_ref().ok()).unwrap_or(&0);
        self.buffer.truncate(left + length);
        read?.map_err(|error| self.peer.error(format!("cannot be heard: {error}")))?;
        Ok(length > 0)
    }
}

/// What goes to the other end.
#[derive(Debug)]
pub(super) struct Output {
    to: File,
    /// How much is written at once, so that it does not block.
    chunk: usize,
    peer: Peer,
    waiting: Vec<u8>,
    last: Instant,
}

/// The output of both the one who answers and the one who gives signs of life.
pub(super) type Shared = Arc<Mutex<Output>>;

pub(super) fn locked(output: &Mutex<Output>) -> MutexGuard<'_, Output> {
    output.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Output {
    /// Over a pipe that others may have, too.
    pub(super) fn new(to: File, peer: Peer) -> Shared {
        let last = Instant::now();
        Arc::new(Mutex::new(Self { to, chunk: CHUNK, peer, waiting: Vec::new(), last }))
    }

    /// Over a pipe that nobody else writes to.
    ///
    /// # Errors
    /// When it cannot be made to not block.
    pub(super) fn of_own_pipe(to: File, peer: Peer) -> Result<Shared> {
        rustix::fs::fcntl_setfl(&to, OFlags::NONBLOCK).during("preparing", &peer.name)?;
        let output = Self::new(to, peer);
        locked(&output).chunk = usize::MAX;
        Ok(output)
    }

    /// # Errors
    /// As [`Output::flush`].
    pub(super) fn greet(&mut self) -> Result<()> {
        self.waiting.extend_from_slice(format!("{GREETING}{VERSION}\n").as_bytes());
        self.flush()
    }

    /// Adds a frame. It may wait for others, until [`Output::flush`].
    ///
    /// # Errors
    /// As [`Output::flush`].
    pub(super) fn frame(&mut self, kind: Kind, payload: &[u8]) -> Result<()> {
        debug_assert!(payload.len() <= MAX_PAYLOAD, "{kind:?} of {}", payload.len());
        self.waiting.push(kind as u8);
        self.waiting.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        self.waiting.extend_from_slice(payload);
        match self.waiting.len() >= 64 << 10 {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Adds a small frame that may wait a little.
    ///
    /// # Errors
    /// As [`Output::flush`].
    pub(super) fn soon(&mut self, kind: Kind, payload: &[u8]) -> Result<()> {
        self.frame(kind, payload)?;
        match self.waiting.len() >= CHUNK / 2 {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Adds bytes, in as many frames as they need.
    ///
    /// # Errors
    /// As [`Output::flush`].
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        bytes.chunks(MAX_PAYLOAD).try_for_each(|chunk| self.frame(Kind::Bytes, chunk))
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// When the other end is gone, or takes nothing for too long.
    pub(super) fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = &waiting[..];
        while !rest.is_empty() {
            self.peer.wait(&self.to, PollFlags::OUT, self.peer.patience.silence)?;
            match self.to.write(&rest[..rest.len().min(self.chunk)]) {
                Ok(length) => rest = &rest[length..],
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                // Not the error itself: a closed pipe means something else to the program.
                Err(error) => return Err(self.peer.error(format!("takes nothing: {error}"))),
            }
        }
        self.last = Instant::now();
        self.waiting = waiting;
        self.waiting.clear();
        Ok(())
    }
}

/// Gives signs of life as long as it lives.
#[derive(Debug)]
pub(super) struct Beat {
    _stop: Sender<()>,
}

impl Beat {
    /// # Errors
    /// When no thread can be created.
    pub(super) fn start(output: &Shared, every: Duration) -> Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let output = Arc::downgrade(output);
        let beat = move || {
            while stopped.recv_timeout(every / 2) == Err(RecvTimeoutError::Timeout) {
                if !sign_of_life(&output, every) {
                    return;
                }
            }
        };
        let spawned = thread::Builder::new().name("beat".to_owned()).spawn(beat);
        spawned.during("starting", "the thread that keeps the connection")?;
        Ok(Self { _stop: stop })
    }
}

/// Writes one unless something was written lately; `false` once that makes no sense any more.
fn sign_of_life(output: &Weak<Mutex<Output>>, every: Duration) -> bool {
    let Some(output) = output.upgrade() else { return false };
    // Whoever holds it is writing.
    let Ok(mut output) = output.try_lock() else { return true };
    if output.last.elapsed() < every / 2 {
        return true;
    }
    output.frame(Kind::Alive, &[]).and_then(|()| output.flush()).is_ok()
}
