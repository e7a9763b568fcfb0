//! The far end: does to a directory what a sender asks, and believes nothing of what it says.
//!
//! An object gets its name when it is verified, and a dirtree or commit only when everything that
//! it names has its own; a ref is set when its commit is there. So no sender can publish what is
//! not whole, whatever it sends or leaves out. Objects that were there before are not looked at
//! again.

use std::fs::File;

use super::super::destination::{Destination, Expected, Hold, Put};
use super::super::dir::Directory;
use super::batch::{self, BatchEnd};
use super::frame::{Fields, Kind, MAX_PAYLOAD, Payload};
use super::names::check_put;
use super::stream::{Beat, Input, Output, Patience, Peer, Shared, locked};
use crate::error::{Context, Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::MAX_METADATA_SIZE;
use crate::summary::store::MAX_SUMMARY_SIZE;

/// What a message says at most, in bytes.
const LONGEST_MESSAGE: usize = 8 << 10;

/// How receiving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The sender is done.
    Finished,
    /// The sender has given up.
    Abandoned,
    /// Something was refused, and the sender was told why.
    Refused,
}

/// Receives a push into a directory, from `input`, with answers to `output`.
///
/// # Errors
/// When the sender has gone, or says nothing any more. What it had sent whole is kept for the next
/// push.
pub fn receive(directory: &Directory, input: File, output: File) -> Result<Received> {
    serve(directory, (input, output), Patience::default())
}

/// Tells a sender that there is no place to push to, and why.
///
/// # Errors
/// When the sender has gone.
pub fn refuse(error: &Error, input: File, output: File) -> Result<()> {
    let peer = Peer::new("the sender", Patience::default());
    let output = Output::new(output, peer.clone());
    locked(&output).greet()?;
    Input::new(input, peer).greeting()?;
    tell(&output, error)
}

pub(super) fn serve(
    directory: &Directory,
    (input, output): (File, File),
    patience: Patience,
) -> Result<Received> {
    let peer = Peer::new("the sender", patience);
    let output = Output::new(output, peer.clone());
    locked(&output).greet()?;
    let mut input = Input::new(input, peer.clone());
    input.greeting()?;
    let _beat = Beat::start(&output, patience.beat)?;
    let mut far = Far { directory, output, hold: None };
    let ended = far.answer_all(&mut input);
    if let Err(error) = ended {
        return match tell(&far.output, &error) {
            Ok(()) => Ok(Received::Refused),
            // They are gone, or something is wrong with the connection: that is the error.
            Err(_) => Err(error),
        };
    }
    ended
}

fn tell(output: &Shared, error: &Error) -> Result<()> {
    let mut text = error.chain();
    let end = (0..=LONGEST_MESSAGE.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    let mut output = locked(output);
    output.frame(Kind::Refused, &Payload::default().text(&text)?.0)?;
    output.flush()
}

struct Far<'d> {
    directory: &'d Directory,
    output: Shared,
    /// Keeps prunes away until the sender is done.
    hold: Option<Hold<'d>>,
}

impl Far<'_> {
    fn answer_all(&mut self, input: &mut Input) -> Result<Received> {
        loop {
            let Some(kind) = input.next()? else {
                return Err(Error::failed("the sender ended without saying so"));
            };
            match kind {
                Kind::Finish => return Ok(Received::Finished),
                Kind::Abandon => return Ok(Received::Abandoned),
                Kind::Begin => match batch::take(self.directory, input, &self.output)? {
                    BatchEnd::Kept => self.answer(Kind::Done, &[])?,
                    BatchEnd::Abandoned => return Ok(Received::Abandoned),
                },
                Kind::Put => self.put(input)?,
                kind => self.look(kind, input)?,
            }
        }
    }

    fn answer(&self, kind: Kind, payload: &[u8]) -> Result<()> {
        let mut output = locked(&self.output);
        output.frame(kind, payload)?;
        output.flush()
    }

    /// Answers what changes nothing.
    fn look(&mut self, kind: Kind, input: &Input) -> Result<()> {
        let mut fields = Fields(input.payload());
        match kind {
            Kind::ListRefs => {
                fields.end()?;
                self.list_refs()
            }
            Kind::ListObjects => {
                fields.end()?;
                self.list_objects()
            }
            Kind::Read => {
                let limit = fields.number()?;
                while !fields.is_empty() {
                    self.read(fields.text()?, limit)?;
                }
                locked(&self.output).flush()
            }
            Kind::Hold => {
                fields.end()?;
                self.hold = Some(self.directory.hold()?);
                self.answer(Kind::Done, &[])
            }
            kind => {
                let what = Error::failed(format!("{kind:?} is not expected here"));
                Err(input.peer.broken(&what))
            }
        }
    }

    fn list_refs(&self) -> Result<()> {
        let mut output = locked(&self.output);
        let mut names = Payload::default();
        for name in self.directory.list_refs()? {
            names = names.text(name.as_str())?;
            if names.0.len() > MAX_PAYLOAD / 2 {
                output.frame(Kind::Names, &std::mem::take(&mut names).0)?;
            }
        }
        if !names.0.is_empty() {
            output.frame(Kind::Names, &names.0)?;
        }
        output.frame(Kind::Done, &[])?;
        output.flush()
    }

    fn list_objects(&self) -> Result<()> {
        let mut names = Vec::new();
        let is_sent = |name: &ObjectName| {
            use ObjectType::{Commit, DirMeta, DirTree, File};
            matches!(name.object_type, File | DirTree | DirMeta | Commit)
        };
        self.directory.list_objects(&mut |name| names.extend(Some(name).filter(is_sent)))?;
        let mut output = locked(&self.output);
        for some in names.chunks(4096) {
            let payload = some.iter().fold(Payload::default(), Payload::object);
            output.frame(Kind::Names, &payload.0)?;
        }
        output.frame(Kind::Done, &[])?;
        output.flush()
    }

    fn read(&self, name: &str, limit: u64) -> Result<()> {
        let limit = limit.min(MAX_METADATA_SIZE.max(MAX_SUMMARY_SIZE));
        let stored = self.directory.read(&[name.to_owned()], limit)?.pop().flatten();
        let mut output = locked(&self.output);
        let Some(stored) = stored else { return output.frame(Kind::Missing, &[]) };
        let header = Payload::default().text(&stored.version.0)?.number(stored.bytes.len() as u64);
        output.frame(Kind::Stored, &header.0)?;
        output.bytes(&stored.bytes)
    }

    fn put(&self, input: &mut Input) -> Result<()> {
        let (name, expected, size) =
            put_header(input.payload()).map_err(|error| input.peer.broken(&error))?;
        if size > MAX_SUMMARY_SIZE {
            let message = format!("{name} of {size} bytes is longer than {MAX_SUMMARY_SIZE}");
            return Err(Error::failed(message));
        }
        // A short one is no reason to reserve what was announced.
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            match input.next()? {
                Some(Kind::Bytes) => bytes.extend_from_slice(input.payload()),
                _ => return Err(Error::failed(format!("{name} was not sent whole"))),
            }
        }
        if bytes.len() as u64 > size {
            return Err(Error::failed(format!("{name} has more than {size} bytes")));
        }
        check_put(self.directory.found(), &name, &bytes).context(|| format!("writing {name}"))?;
        match self.directory.put_if(&name, &bytes, &expected)? {
            Put::Done => self.answer(Kind::Done, &[]),
            Put::Lost => self.answer(Kind::Lost, &[]),
        }
    }
}

fn put_header(payload: &[u8]) -> Result<(String, Expected, u64)> {
    let mut fields = Fields(payload);
    let header = (fields.text()?.to_owned(), fields.expected()?, fields.number()?);
    fields.end()?;
    Ok(header)
}
