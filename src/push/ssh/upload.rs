//! Sending a batch: what it is made of is offered in large pieces, and what is wanted of it is sent
//! one item after the other, while another thread reads what the far end says of them.

use std::io::Read;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::connection::Connection;
use super::frame::{Fields, Kind, Payload};
use super::stream::{Input, locked};
use crate::error::{During, Error, Result};
use crate::object::ObjectType;
use crate::push::destination::{Batch, Body, Item};
use crate::threads;

/// So many items are offered at a time: each of these takes a round trip.
const OFFERED: usize = 4096;
/// A file of at most that many bytes is read before it is sent.
const SMALL: u64 = 1 << 20;
/// How much of a larger one is read at a time, in bytes.
const CHUNK: usize = 128 << 10;

/// Sends a batch; all of it is there when this returns.
pub(super) fn upload(connection: &Connection, batch: &Batch<'_>) -> Result<()> {
    let mut input = connection.input();
    let input = &mut *input;
    let (wanted, offers) = mpsc::channel();
    let (sent, answered) = thread::scope(|scope| {
        let listener = || {
            let answered = listen(connection, batch, input, wanted);
            if answered.is_err() {
                // Whoever writes waits for nobody any more.
                connection.peer.end();
            }
            answered
        };
        let listening = thread::Builder::new().name("answers".to_owned());
        let listening = match listening.spawn_scoped(scope, listener).during("starting", "a thread")
        {
            Ok(listening) => listening,
            Err(error) => return (Err(error), Ok(())),
        };
        let sent = send(connection, batch, &offers);
        if let Err(Stopped::Here(error)) = sent {
            let error = connection.give_up(error);
            let _ = listening.join();
            return (Err(error), Ok(()));
        }
        if sent.is_err() {
            connection.peer.hurry();
        }
        let answered = listening.join();
        (Ok(()), answered.unwrap_or_else(|_| Err(Error::failed("the listener is gone"))))
    });
    sent.and(answered).inspect_err(|_| connection.peer.end())
}

/// Why sending has stopped.
enum Stopped {
    /// Something is wrong here.
    Here(Error),
    /// The far end takes nothing any more; the listener knows why.
    There,
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
}

fn send(
    connection: &Connection,
    batch: &Batch<'_>,
    offers: &Receiver<Vec<u8>>,
) -> std::result::Result<(), Stopped> {
    frames(connection, &[(Kind::Begin, &[])])?;
    for (number, some) in batch.items.chunks(OFFERED).enumerate() {
        let offer = some.iter().try_fold(Payload::default(), Payload::item)?;
        frames(connection, &[(Kind::Offer, &offer.0)])?;
        let wanted = offers.recv().map_err(|_| Stopped::There)?;
        let is_wanted =
            |index: usize| wanted.get(index / 8).is_some_and(|bits| bits >> (index % 8) & 1 == 1);
        let mut items = Vec::new();
        for (index, item) in some.iter().enumerate() {
            match is_wanted(index) {
                true => items.push((number * OFFERED + index, item)),
                false => (batch.done)(item, 0),
            }
        }
        send_items(connection, batch, &items)?;
    }
    frames(connection, &[(Kind::Commit, &[])])
}

/// Files in parallel, everything else in its order: the far end wants to find what it names.
fn send_items(
    connection: &Connection,
    batch: &Batch<'_>,
    items: &[(usize, &Item)],
) -> std::result::Result<(), Stopped> {
    let gone = std::sync::atomic::AtomicBool::new(false);
    let send = |(number, item): &(usize, &Item)| match send_item(connection, batch, *number, item) {
        Err(Stopped::Here(error)) => Err(error),
        Err(Stopped::There) => {
            gone.store(true, std::sync::atomic::Ordering::Relaxed);
            Err(Error::failed("the far end is gone"))
        }
        Ok(()) => Ok(()),
    };
    let is_file = |item: &Item| match item {
        Item::Object(name) => name.object_type == ObjectType::File,
        Item::Delta(_) => true,
    };
    let sent = match items.iter().all(|(_, item)| is_file(item)) {
        true => threads::run(|| threads::for_each_in_order(items, send)),
        false => items.iter().try_for_each(send),
    };
    match gone.into_inner() {
        true => Err(Stopped::There),
        false => sent.map_err(Stopped::Here),
    }
}

fn send_item(
    connection: &Connection,
    batch: &Batch<'_>,
    number: usize,
    item: &Item,
) -> std::result::Result<(), Stopped> {
    if connection.peer.is_over() {
        return Err(Stopped::There);
    }
    let mut body = (batch.load)(item)?;
    let mut bytes = Vec::new();
    let during = || item.path();
    body.by_ref().take(SMALL).read_to_end(&mut bytes).during("reading", during())?;
    let number = u32::try_from(number).map_err(|_| Error::failed("there are too many items"))?;
    let header = Payload::default().small_number(number);
    let mut output = locked(&connection.output);
    output.frame(Kind::Item, &header.0).and_then(|()| output.bytes(&bytes)).map_err(gone)?;
    let mut length = bytes.len() as u64;
    if length == SMALL {
        bytes.resize(CHUNK, 0);
        loop {
            let read = read_some(&mut body, &mut bytes).during("reading", during())?;
            if read == 0 {
                break;
            }
            length += read as u64;
            output.frame(Kind::Bytes, &bytes[..read]).map_err(gone)?;
        }
    }
    output.frame(Kind::End, &Payload::default().number(length).0).map_err(gone)
}

fn read_some(body: &mut Body, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match body.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn frames(connection: &Connection, all: &[(Kind, &[u8])]) -> std::result::Result<(), Stopped> {
    let mut output = locked(&connection.output);
    for (kind, payload) in all {
        output.frame(*kind, payload).map_err(gone)?;
    }
    output.flush().map_err(gone)
}

fn gone(_: Error) -> Stopped {
    Stopped::There
}

/// Reads what the far end says until it has all of the batch.
fn listen(
    connection: &Connection,
    batch: &Batch<'_>,
    input: &mut Input,
    wanted: Sender<Vec<u8>>,
) -> Result<()> {
    let mut kept = vec![false; batch.items.len()];
    let mut offered = 0;
    loop {
        match connection.answer(input)? {
            Kind::Done => return Ok(()),
            Kind::Wanted if offered < batch.items.len() => {
                let length = OFFERED.min(batch.items.len() - offered);
                offered += length;
                if input.payload().len() != length.div_ceil(8) {
                    return Err(connection.unexpected(Kind::Wanted));
                }
                let _ = wanted.send(input.payload().to_vec());
            }
            Kind::Kept => {
                let mut fields = Fields(input.payload());
                let number = fields.small_number().map(|number| number as usize);
                let said = number.and_then(|number| Ok((number, fields.number()?)));
                let (number, bytes) = said.map_err(|error| connection.peer.broken(&error))?;
                match kept.get_mut(number) {
                    Some(kept) if !*kept => *kept = true,
                    _ => return Err(connection.unexpected(Kind::Kept)),
                }
                (batch.done)(&batch.items[number], bytes);
            }
            kind => return Err(connection.unexpected(kind)),
        }
    }
}
