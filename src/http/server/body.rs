//! The body of an answer on its way, read piece by piece.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;
use tokio::time::Sleep;

use super::exchange::{Answer, Part, Stream};

/// What is read from a file at a time, in bytes.
const PIECE_SIZE: u64 = 64 << 10;
/// What a body that is cut has to leave before the connection is closed.
const TIME_TO_LEAVE: Duration = Duration::from_millis(50);

/// The body of an answer.
pub(super) struct Outgoing {
    parts: VecDeque<Part>,
    /// What the client has been promised and has not got, in bytes; `None` for content whose length
    /// is not known.
    promised: Option<u64>,
    /// What is still sent of it.
    allowed: u64,
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    leaving: Option<Pin<Box<Sleep>>>,
}

impl Outgoing {
    pub(super) fn new(answer: Answer) -> Self {
        let promised = answer.length();
        let allowed = answer.cut.or(promised).unwrap_or(u64::MAX);
        Self { parts: answer.body.into(), promised, allowed, reading: None, leaving: None }
    }

    fn sent(&mut self, bytes: Bytes) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let length = bytes.len() as u64;
        self.promised = self.promised.map(|promised| promised.saturating_sub(length));
        self.allowed = self.allowed.saturating_sub(length);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(reading) = &mut this.reading {
            let read = ready!(Pin::new(reading).poll(context));
            this.reading = None;
            return match read.map_err(io::Error::other).flatten() {
                // Only a stream without a length has a piece with nothing in it: its end.
                Ok(bytes) if bytes.is_empty() => {
                    this.parts.pop_front();
                    Pin::new(this).poll_frame(context)
                }
                Ok(bytes) => this.sent(bytes.into()),
                Err(error) => Poll::Ready(Some(Err(error))),
            };
        }
        if this.promised == Some(0) {
            return Poll::Ready(None);
        }
        if this.allowed == 0 {
            // What was sent before is on its way when this is polled again.
            let leaving =
                this.leaving.get_or_insert_with(|| Box::pin(tokio::time::sleep(TIME_TO_LEAVE)));
            ready!(leaving.as_mut().poll(context));
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        while this.parts.front().is_some_and(|part| part.length() == Some(0)) {
            this.parts.pop_front();
        }
        match this.parts.front_mut() {
            Some(Part::Bytes(bytes, range)) => {
                let length = (range.end - range.start).min(this.allowed).min(PIECE_SIZE);
                let (from, to) = (range.start, range.start + length);
                range.start = to;
                let piece = usize::try_from(from).ok().zip(usize::try_from(to).ok());
                let piece = piece.and_then(|(from, to)| bytes.get(from..to));
                let piece = Bytes::copy_from_slice(piece.unwrap_or_default());
                this.sent(piece)
            }
            Some(Part::File(file, range)) => {
                let length = (range.end - range.start).min(this.allowed).min(PIECE_SIZE);
                let (file, offset) = (Arc::clone(file), range.start);
                range.start += length;
                this.reading =
                    Some(tokio::task::spawn_blocking(move || read(&file, offset, length)));
                Pin::new(this).poll_frame(context)
            }
            Some(Part::Stream(stream, left)) => {
                let most = left.unwrap_or(PIECE_SIZE).min(this.allowed).min(PIECE_SIZE);
                let (stream, is_known) = (stream.clone(), left.is_some());
                *left = left.map(|left| left - most);
                this.reading =
                    Some(tokio::task::spawn_blocking(move || read_on(&stream, most, is_known)));
                Pin::new(this).poll_frame(context)
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.promised == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.promised.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Reads exactly that many bytes: a file that has become shorter is an error.
fn read(file: &File, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// Reads the next bytes of a stream: so many if it `must` have them, else at most so many.
fn read_on(stream: &Stream, most: u64, must: bool) -> io::Result<Vec<u8>> {
    let mut content = stream.0.lock().unwrap_or_else(PoisonError::into_inner);
    let mut bytes = Vec::with_capacity(usize::try_from(most).map_err(io::Error::other)?);
    (&mut *content).take(most).read_to_end(&mut bytes)?;
    match must && (bytes.len() as u64) < most {
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok(bytes),
    }
}
