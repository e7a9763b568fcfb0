//! A directory of another machine as a destination: this end.

use super::address::{Address, SshOptions};
use super::connection::Connection;
use super::frame::{Fields, Kind, MAX_PAYLOAD, Payload};
use super::stream::{Input, Output, Patience, Peer};
use super::upload;
use crate::error::{Error, Result};
use crate::object::ObjectName;
use crate::process::Partner;
use crate::process::partner::OnLine;
use crate::push::destination::{
    Batch, Conditions, Destination, Expected, Hold, Put, Stored, Version,
};
use crate::refspec::RefName;

/// More names than this are not listed: they must not fill the memory.
const MOST_OBJECTS: usize = 50_000_000;
const MOST_REFS: usize = 1_000_000;
/// How much the files of one request have together, beyond what each may have, in bytes.
const MOST_READ: u64 = 256 << 20;
/// An archive of another machine, which is created there when the first file is written.
pub struct Machine {
    name: String,
    connection: Connection,
}

impl Machine {
    /// Starts ssh, and osier at the far end. `on_line` gets what comes from there to standard
    /// error, line by line.
    ///
    /// # Errors
    /// When there is no ssh, the machine cannot be reached or has no osier, or that is too old or
    /// finds no place to push to.
    pub fn connect(address: &Address, options: &SshOptions, on_line: OnLine) -> Result<Self> {
        let host = address.host().to_owned();
        let named: OnLine = Box::new(move |line| on_line(&format!("{host}: {line}")));
        let (partner, stdin, stdout) = Partner::start(&address.call(options)?, named)?;
        let peer = Peer::new(address.host(), Patience::default());
        let output = Output::of_own_pipe(stdin, peer.clone())?;
        let connection = Connection::begin(Input::new(stdout, peer), output, Some(partner))?;
        Ok(Self::over(address.to_string(), connection))
    }

    pub(super) fn over(name: String, connection: Connection) -> Self {
        Self { name, connection }
    }

    /// Reads names until the end of the list.
    fn names(
        &self,
        input: &mut Input,
        mut each: impl FnMut(&mut Fields<'_>) -> Result<()>,
    ) -> Result<()> {
        loop {
            match self.connection.answer(input)? {
                Kind::Done => return Ok(()),
                Kind::Names => {
                    let mut fields = Fields(input.payload());
                    if fields.is_empty() {
                        return Err(self.connection.unexpected(Kind::Names));
                    }
                    while !fields.is_empty() {
                        each(&mut fields).map_err(|error| self.connection.peer.broken(&error))?;
                    }
                }
                kind => return Err(self.connection.unexpected(kind)),
            }
        }
    }

    fn stored(&self, input: &mut Input, name: &str, limit: u64) -> Result<Option<Stored>> {
        match self.connection.answer(input)? {
            Kind::Missing => return Ok(None),
            Kind::Stored => {}
            kind => return Err(self.connection.unexpected(kind)),
        }
        let mut fields = Fields(input.payload());
        let header = fields.text().and_then(|version| Ok((version.to_owned(), fields.number()?)));
        let (version, size) = header.map_err(|error| self.connection.peer.broken(&error))?;
        if size > limit {
            let message = format!("{}: {name} is larger than {limit} bytes", self.name);
            return Err(Error::failed(message));
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            match self.connection.answer(input)? {
                Kind::Bytes if !input.payload().is_empty() => {
                    bytes.extend_from_slice(input.payload());
                }
                kind => return Err(self.connection.unexpected(kind)),
            }
        }
        match bytes.len() as u64 == size {
            true => Ok(Some(Stored { bytes, version: Version(version) })),
            false => Err(self
                .connection
                .peer
                .broken(&Error::failed(format!("{name} is longer than announced")))),
        }
    }

    fn count(&self, number: &mut usize, most: usize) -> Result<()> {
        *number += 1;
        match *number > most {
            true => Err(Error::failed(format!("more than {most} are listed"))),
            false => Ok(()),
        }
    }

    /// Reads as many files as fit into a request.
    fn read_some(
        &self,
        names: &[String],
        limit: u64,
        left: &mut u64,
    ) -> Result<Vec<Option<Stored>>> {
        let mut request = Payload::default().number(limit);
        for name in names {
            request = request.text(name)?;
        }
        let take = |input: &mut Input| {
            let mut read = Vec::new();
            for name in names {
                let stored = self.stored(input, name, limit.min(*left))?;
                let size = stored.as_ref().map_or(0, |stored| stored.bytes.len() as u64);
                *left = left.saturating_sub(size);
                read.push(stored);
            }
            Ok(read)
        };
        self.connection.ask(|output| output.frame(Kind::Read, &request.0), take)
    }
}

impl Destination for Machine {
    fn name(&self) -> &str {
        &self.name
    }

    fn list_refs(&self) -> Result<Vec<RefName>> {
        let (mut names, mut number) = (Vec::new(), 0);
        let take = |input: &mut Input| {
            self.names(input, |fields| {
                self.count(&mut number, MOST_REFS)?;
                names.push(RefName::parse(fields.text()?)?);
                Ok(())
            })
        };
        self.connection.ask(|output| output.frame(Kind::ListRefs, &[]), take)?;
        Ok(names)
    }

    fn list_objects(&self, found: &mut dyn FnMut(ObjectName)) -> Result<()> {
        let mut number = 0;
        let take = |input: &mut Input| {
            self.names(input, |fields| {
                self.count(&mut number, MOST_OBJECTS)?;
                found(fields.object()?);
                Ok(())
            })
        };
        self.connection.ask(|output| output.frame(Kind::ListObjects, &[]), take)
    }

    fn read(&self, names: &[String], limit: u64) -> Result<Vec<Option<Stored>>> {
        let (mut read, mut left) = (Vec::with_capacity(names.len()), limit + MOST_READ);
        let mut rest = names;
        while !rest.is_empty() {
            let mut length = 0;
            let fits = |name: &&String| {
                length += name.len() + 2;
                length < MAX_PAYLOAD / 2
            };
            let (some, others) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            read.append(&mut self.read_some(some, limit, &mut left)?);
            rest = others;
        }
        Ok(read)
    }

    fn upload(&self, batch: &Batch<'_>) -> Result<()> {
        upload::upload(&self.connection, batch)
    }

    fn put_if(&self, name: &str, bytes: &[u8], expected: &Expected) -> Result<Put> {
        let header = Payload::default().text(name)?.expected(expected)?.number(bytes.len() as u64);
        let request = |output: &mut Output| {
            output.frame(Kind::Put, &header.0)?;
            output.bytes(bytes)
        };
        self.connection.ask(request, |input| match self.connection.answer(input)? {
            Kind::Done => Ok(Put::Done),
            Kind::Lost => Ok(Put::Lost),
            kind => Err(self.connection.unexpected(kind)),
        })
    }

    /// The far end compares and writes under a lock.
    fn probe(&self, _: &str, _: &Stored) -> Result<Conditions> {
        Ok(Conditions::Honoured)
    }

    /// The far end holds until the connection ends.
    fn hold(&self) -> Result<Hold<'_>> {
        self.connection.ask(
            |output| output.frame(Kind::Hold, &[]),
            |input| self.connection.expect_done(input),
        )?;
        Ok(Hold::default())
    }
}
