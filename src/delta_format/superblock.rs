//! Superblocks.
//!
//! ```text
//! (a{sv}  t     ay    ay  COMMIT  ay       a(uayttay)  a(yaytt))
//!  meta   time  from  to  commit  parents  parts       fallbacks
//!
//! part       version, SHA-256 of the file, its size, bytes of the objects, objects: 33 bytes each
//! fallback   type, checksum, stored size, content size
//! ```
//!
//! The time is big-endian. Version and sizes of parts and fallbacks are in the order of
//! [`Endianness`].

use std::collections::HashMap;

use super::byte_order::looks_swapped;
use super::{ByteOrder, DeltaName, Endianness, PART_TYPE, bytes_in, checksum_in, object_type};
use crate::checksum::Checksum;
use crate::gvariant::{DecodeError, Dict, Encoder, Type, Variant};
use crate::object::{ObjectName, ObjectType};

/// The GVariant type of a superblock.
pub const SUPERBLOCK_TYPE: &str = "(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))";
/// The key of the byte order (`y`: `l` or `B`).
pub const ENDIANNESS: &str = "ostree.endianness";

/// The version of parts that is written, and the newest that is read.
const PART_VERSION: u32 = 0;

/// A superblock: where a delta leads from and to, and what it consists of.
#[derive(Clone, Debug)]
pub struct Superblock<'a> {
    /// Keys and values in their order.
    pub metadata: Vec<(&'a str, Variant<'a>)>,
    /// When the delta was made, in seconds since 1970.
    pub timestamp: u64,
    /// The commit that must be there already.
    pub from: Option<Checksum>,
    /// The commit that the delta leads to.
    pub to: Checksum,
    /// That commit. Whether it has this name has not been checked.
    pub commit: &'a [u8],
    /// Deltas to be applied before, 64 bytes each; always empty so far.
    pub parents: &'a [u8],
    /// The byte order of the numbers in what follows, which must fit the mark in the metadata.
    pub endianness: Endianness,
    /// The parts in order.
    pub parts: Vec<PartHeader<'a>>,
    /// Objects that are in no part.
    pub fallbacks: Vec<Fallback>,
}

/// What a superblock has about a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartHeader<'a> {
    /// The version of the format; see [`PartHeader::check_version`].
    pub version: u32,
    /// The SHA-256 of the part's file. An inlined part is not checked against it.
    pub checksum: Checksum,
    /// The size of the file in bytes.
    pub size: u64,
    /// Bytes of all objects, without symlinks.
    pub content_size: u64,
    /// The objects, in the order in which the operations yield them.
    pub objects: ObjectList<'a>,
}

/// An object that a client has to fetch by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The object.
    pub name: ObjectName,
    /// Its size in the repository that the delta was made in, in bytes.
    pub size: u64,
    /// The size of its content in bytes.
    pub content_size: u64,
}

impl<'a> Superblock<'a> {
    /// Reads a superblock, not a signed one (see [`Signed`](super::Signed)).
    ///
    /// # Errors
    /// For bytes that are no superblock, `Invalid checksum of length 0 expected 32`; also for lists
    /// of objects that are none.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let view = Variant::new(Type::parse(SUPERBLOCK_TYPE)?, bytes);
        let mut members = view.children();
        let metadata = members.next();
        let timestamp = members.next().and_then(|time| time.as_u64()).map(u64::from_be);
        let from = members.next();
        let to = checksum_in(members.next())?;
        let from = source_in(from)?;
        let commit = members.next().map(|commit| commit.bytes()).unwrap_or_default();
        let parents = bytes_in(members.next());
        let entry = |entry: Variant<'a>| {
            let mut members = entry.children();
            Some((members.next()?.as_str()?, members.next()?.as_variant()?))
        };
        let metadata: Vec<_> =
            metadata.iter().flat_map(|metadata| metadata.children()).filter_map(entry).collect();
        let parts = members.next();
        let parts = || parts.iter().flat_map(|parts| parts.children());
        let endianness = endianness(&metadata, parts());
        let order = endianness.order();
        let parts = parts().map(|part| PartHeader::of_variant(part, order));
        let parts = parts.collect::<Result<_, _>>()?;
        let fallbacks = members.next();
        let fallbacks = fallbacks.iter().flat_map(|fallbacks| fallbacks.children());
        let fallbacks = fallbacks.map(|fallback| Fallback::of_variant(fallback, order));
        Ok(Self {
            metadata,
            timestamp: timestamp.unwrap_or_default(),
            from,
            to,
            commit,
            parents,
            endianness,
            parts,
            fallbacks: fallbacks.collect::<Result<_, _>>()?,
        })
    }

    /// Reads only which commit must be there already: upstream shows it of files that are no
    /// superblocks, too.
    ///
    /// # Errors
    /// `Invalid checksum of length N expected 32`
    pub fn decode_source(bytes: &[u8]) -> Result<Option<Checksum>, DecodeError> {
        source_in(Variant::new(Type::parse(SUPERBLOCK_TYPE)?, bytes).child(2))
    }

    /// Serialises the superblock.
    pub fn encode(&self) -> Vec<u8> {
        let order = self.endianness.order();
        let mut encoder = Encoder::new();
        let mut tuple = encoder.begin(8);
        let mut array = encoder.begin(8);
        for (key, value) in &self.metadata {
            let mut entry = encoder.begin(8);
            encoder.put_text(key);
            entry.end_child(&encoder);
            encoder.align(8);
            encoder.put(value.bytes());
            encoder.end_variant(value.ty().as_str());
            encoder.end_tuple(entry);
            array.end_child(&encoder);
        }
        encoder.end_array(array);
        tuple.end_child(&encoder);
        encoder.align(8);
        encoder.put(&self.timestamp.to_be_bytes());
        encoder.put(self.from.as_ref().map_or(&[][..], |from| from.as_bytes()));
        tuple.end_child(&encoder);
        encoder.put(self.to.as_bytes());
        tuple.end_child(&encoder);
        encoder.align(8);
        encoder.put(self.commit);
        tuple.end_child(&encoder);
        encoder.put(self.parents);
        tuple.end_child(&encoder);
        let mut array = encoder.begin(8);
        for part in &self.parts {
            part.encode_into(order, &mut encoder);
            array.end_child(&encoder);
        }
        encoder.end_array(array);
        tuple.end_child(&encoder);
        let mut array = encoder.begin(8);
        for fallback in &self.fallbacks {
            fallback.encode_into(order, &mut encoder);
            array.end_child(&encoder);
        }
        encoder.end_array(array);
        encoder.end_tuple(tuple);
        encoder.finish()
    }

    /// The delta's name.
    pub fn name(&self) -> DeltaName {
        DeltaName { from: self.from, to: self.to }
    }

    /// All inlined parts. Looking for one after the other would take long where there are many.
    pub fn inlined_parts(&self) -> InlinedParts<'a> {
        let directory = self.name().part_path(0);
        let directory = directory.strip_suffix('0').unwrap_or(&directory);
        let mut parts = HashMap::new();
        for (key, value) in &self.metadata {
            let number = key.strip_prefix(directory).and_then(|number| {
                // As it is written: without a sign or leading zeros.
                number.parse().ok().filter(|parsed: &usize| parsed.to_string() == number)
            });
            if let Some(number) = number {
                let is_part = value.ty().as_str() == PART_TYPE;
                parts.entry(number).or_insert(is_part.then(|| value.bytes()));
            }
        }
        InlinedParts(parts)
    }

    /// The bytes of an inlined part, as its file would have them.
    pub fn inlined_part(&self, number: usize) -> Option<&'a [u8]> {
        self.lookup(&self.name().part_path(number), PART_TYPE).map(|part| part.bytes())
    }

    /// The detached metadata of the commit.
    pub fn detached_metadata(&self) -> Option<Dict> {
        Dict::from_variant(self.lookup(&self.name().commitmeta_path(), Dict::TYPE)?)
    }

    fn lookup(&self, key: &str, ty: &str) -> Option<Variant<'a>> {
        lookup(&self.metadata, key, ty)
    }
}

/// The inlined parts of a superblock.
#[derive(Clone, Debug)]
pub struct InlinedParts<'a>(HashMap<usize, Option<&'a [u8]>>);

impl<'a> InlinedParts<'a> {
    /// As [`Superblock::inlined_part`].
    pub fn part(&self, number: usize) -> Option<&'a [u8]> {
        self.0.get(&number).copied().flatten()
    }
}

fn source_in(member: Option<Variant<'_>>) -> Result<Option<Checksum>, DecodeError> {
    match bytes_in(member) {
        [] => Ok(None),
        _ => checksum_in(member).map(Some),
    }
}

/// The first value of a key, if it is of that type.
fn lookup<'a>(metadata: &[(&str, Variant<'a>)], key: &str, ty: &str) -> Option<Variant<'a>> {
    let (_, value) = metadata.iter().find(|(name, _)| *name == key)?;
    (value.ty().as_str() == ty).then_some(*value)
}

fn endianness<'a>(
    metadata: &[(&str, Variant<'a>)],
    parts: impl Iterator<Item = Variant<'a>>,
) -> Endianness {
    if let Some(mark) = lookup(metadata, ENDIANNESS, "y").and_then(|mark| mark.as_byte()) {
        return ByteOrder::of_mark(mark).map_or(Endianness::Unknown, Endianness::Marked);
    }
    let sizes = parts.map(|part| {
        let mut members = part.children().skip(2);
        let mut number = || members.next().and_then(|size| size.as_u64()).unwrap_or_default();
        let (size, content_size) = (number(), number());
        (size, content_size, bytes_in(members.next()).len() / OBJECT_BYTES)
    });
    if looks_swapped(sizes) { Endianness::Guessed } else { Endianness::Unknown }
}

impl<'a> PartHeader<'a> {
    fn of_variant(header: Variant<'a>, order: ByteOrder) -> Result<Self, DecodeError> {
        let mut members = header.children();
        let version = members.next().and_then(|version| version.as_u32()).unwrap_or_default();
        let checksum = checksum_in(members.next())?;
        let mut number =
            || order.u64(members.next().and_then(|number| number.as_u64()).unwrap_or_default());
        Ok(Self {
            version: order.u32(version),
            checksum,
            size: number(),
            content_size: number(),
            objects: ObjectList::decode(bytes_in(members.next()))?,
        })
    }

    fn encode_into(&self, order: ByteOrder, encoder: &mut Encoder) {
        let mut tuple = encoder.begin(8);
        encoder.put(&order.u32(self.version).to_le_bytes());
        encoder.put(self.checksum.as_bytes());
        tuple.end_child(encoder);
        encoder.align(8);
        encoder.put(&order.u64(self.size).to_le_bytes());
        encoder.put(&order.u64(self.content_size).to_le_bytes());
        encoder.put(self.objects.0);
        encoder.end_tuple(tuple);
    }

    /// # Errors
    /// `Delta part has too new version N`, when the part cannot be applied.
    pub fn check_version(&self) -> Result<(), DecodeError> {
        match self.version {
            PART_VERSION => Ok(()),
            version => Err(DecodeError::new(format!("Delta part has too new version {version}"))),
        }
    }
}

impl Fallback {
    fn of_variant(fallback: Variant<'_>, order: ByteOrder) -> Result<Self, DecodeError> {
        let mut members = fallback.children();
        let number = members.next().and_then(|number| number.as_byte()).unwrap_or_default();
        let checksum = checksum_in(members.next())?;
        let mut size =
            || order.u64(members.next().and_then(|number| number.as_u64()).unwrap_or_default());
        let name = ObjectName::new(checksum, object_type(number)?);
        Ok(Self { name, size: size(), content_size: size() })
    }

    fn encode_into(&self, order: ByteOrder, encoder: &mut Encoder) {
        let mut tuple = encoder.begin(8);
        encoder.put(&[self.name.object_type as u8]);
        encoder.put(self.name.checksum.as_bytes());
        tuple.end_child(encoder);
        encoder.align(8);
        encoder.put(&order.u64(self.size).to_le_bytes());
        encoder.put(&order.u64(self.content_size).to_le_bytes());
        encoder.end_tuple(tuple);
    }

    /// The file that is to be fetched.
    ///
    /// # Errors
    /// `Found metadata object as fallback: HEX.TYPE`.
    pub fn file(&self) -> Result<Checksum, DecodeError> {
        match self.name.object_type {
            ObjectType::File => Ok(self.name.checksum),
            _ => Err(DecodeError::new(format!("Found metadata object as fallback: {}", self.name))),
        }
    }
}

/// Bytes of an object in a list: the number of its type, and its checksum.
const OBJECT_BYTES: usize = 33;

/// The objects of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectList<'a>(&'a [u8]);

impl<'a> ObjectList<'a> {
    /// Reads a list.
    ///
    /// # Errors
    /// `Invalid checksum array length N`, `Invalid object type 'N'`.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        if !bytes.len().is_multiple_of(OBJECT_BYTES) {
            let what = format!("Invalid checksum array length {}", bytes.len());
            return Err(DecodeError::new(what));
        }
        for object in bytes.chunks_exact(OBJECT_BYTES) {
            object_type(object[0])?;
        }
        Ok(Self(bytes))
    }

    /// The bytes of a list with these objects.
    pub fn encode(objects: &[ObjectName]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(objects.len() * OBJECT_BYTES);
        for object in objects {
            bytes.push(object.object_type as u8);
            bytes.extend_from_slice(object.checksum.as_bytes());
        }
        bytes
    }

    /// The bytes of the list.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The number of objects.
    pub fn len(&self) -> usize {
        self.0.len() / OBJECT_BYTES
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One object.
    pub fn get(&self, index: usize) -> Option<ObjectName> {
        let start = index.checked_mul(OBJECT_BYTES)?;
        let [number, checksum @ ..] = self.0.get(start..start.checked_add(OBJECT_BYTES)?)? else {
            return None;
        };
        let object_type = object_type(*number).ok()?;
        Some(ObjectName::new(Checksum::from_slice(checksum)?, object_type))
    }

    /// The objects in order.
    pub fn iter(&self) -> impl Iterator<Item = ObjectName> + use<'a> {
        let list = *self;
        (0..list.len()).filter_map(move |index| list.get(index))
    }
}
