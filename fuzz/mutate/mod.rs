//! Mutators that know a format: most of their results are well-formed, so that the fuzzer gets past
//! checksums, lengths and framing offsets; now and then they change bytes blindly, for what is not
//! well-formed.
//!
//! The inputs that the fuzzer keeps are the real format, so seeds are real files, and a finding can
//! be looked at.

mod archive;
mod delta;
mod stat_cache;
mod value;
mod xz;

use osier::gvariant::{Dict, Type, Variant};
use osier::object::{COMMIT_TYPE, DIRMETA_TYPE, DIRTREE_TYPE, FileHeader, SUMMARY_TYPE};

use super::targets::typed;
pub use delta::{bspatch, delta_part, delta_superblock};
pub use xz::xz;

/// Changes bytes blindly, to no more than so many: libFuzzer's own mutations.
pub type Plain<'p> = &'p mut dyn FnMut(&mut Vec<u8>, usize);

/// Numbers that follow from the fuzzer's seed.
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u32) -> Self {
        Self(u64::from(seed) << 1 | 1)
    }

    /// A number below `bound`, 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        // Marsaglia's xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound.max(1)
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A mutator: bytes, the most that may come out, a source of randomness, and libFuzzer's mutations.
pub type Mutator = fn(&[u8], usize, &mut Random, Plain<'_>) -> Vec<u8>;

fn blindly(bytes: &[u8], most: usize, plain: Plain<'_>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    plain(&mut bytes, most);
    bytes
}

/// A value of the type.
pub fn of_type(
    ty: &str,
    bytes: &[u8],
    most: usize,
    random: &mut Random,
    plain: Plain<'_>,
) -> Vec<u8> {
    let parsed = Type::parse(ty).and_then(|ty| Variant::decode(ty, bytes));
    let Ok(view) = parsed else { return blindly(bytes, most, plain) };
    if random.one_in(6) {
        return blindly(bytes, most, plain);
    }
    let mutated = value::mutated(view, most, random, plain).into_bytes();
    if mutated.len() <= most { mutated } else { blindly(bytes, most, plain) }
}

macro_rules! objects {
    ($($name:ident: $ty:expr),*) => {$(
        #[doc = concat!("What the target `", stringify!($name), "` takes.")]
        pub fn $name(bytes: &[u8], most: usize, random: &mut Random, plain: Plain<'_>) -> Vec<u8> {
            of_type($ty, bytes, most, random, plain)
        }
    )*};
}

objects!(
    commit: COMMIT_TYPE, detached: Dict::TYPE, dirmeta: DIRMETA_TYPE, dirtree: DIRTREE_TYPE, summary: SUMMARY_TYPE
);

/// What the target `gvariant` takes: a type, a NUL, and the value.
pub fn typed_value(bytes: &[u8], most: usize, random: &mut Random, plain: Plain<'_>) -> Vec<u8> {
    match typed(bytes) {
        Some((ty, value)) if !random.one_in(4) => {
            let most = most.saturating_sub(ty.as_str().len() + 1);
            let value = of_type(ty.as_str(), value, most, random, plain);
            [ty.as_str().as_bytes(), b"\0", &value].concat()
        }
        _ => blindly(bytes, most, plain),
    }
}

/// A file of an archive repository: its header as a value, with the length before it, or its
/// content.
pub fn filez(bytes: &[u8], most: usize, random: &mut Random, plain: Plain<'_>) -> Vec<u8> {
    const HEADER_TYPE: &str = "(tuuuusa(ayay))";
    let parts = bytes.split_first_chunk().and_then(|(prefix, rest)| {
        let length = FileHeader::decode_prefix(*prefix, bytes.len() as u64).ok()?;
        rest.split_at_checked(length)
    });
    let Some((header, content)) = parts.filter(|_| !random.one_in(8)) else {
        return blindly(bytes, most, plain);
    };
    let mut header = header.to_vec();
    let mut content = content.to_vec();
    if random.one_in(2) {
        let most = most.saturating_sub(FileHeader::PREFIX_BYTES + content.len());
        header = of_type(HEADER_TYPE, &header, most, random, plain);
    } else {
        plain(&mut content, most.saturating_sub(FileHeader::PREFIX_BYTES + header.len()));
    }
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), &[0; 4], &header[..], &content].concat()
}

/// The records of an extended header: changed blindly, or with one more.
pub fn pax(bytes: &[u8], most: usize, random: &mut Random, plain: Plain<'_>) -> Vec<u8> {
    if random.one_in(2) {
        return blindly(bytes, most, plain);
    }
    let record = archive::record(random);
    let mut mutated = bytes.to_vec();
    if mutated.len() + record.len() <= most {
        mutated.splice(..0, record);
    }
    mutated
}

/// An archive: changed blindly or given more headers, then with the checksums of its headers put
/// right.
pub fn archive(bytes: &[u8], most: usize, random: &mut Random, plain: Plain<'_>) -> Vec<u8> {
    let mut mutated = bytes.to_vec();
    if random.one_in(4) {
        archive::extend(&mut mutated, most, random);
    } else {
        mutated = blindly(bytes, most, plain);
    }
    if !random.one_in(8) {
        archive::put_right(&mut mutated);
    }
    mutated
}

/// A stat cache: changed blindly below its checksum, then with number, order and checksum of its
/// records put right.
pub fn stat_cache(bytes: &[u8], most: usize, random: &mut Random, plain: Plain<'_>) -> Vec<u8> {
    if random.one_in(8) {
        return blindly(bytes, most, plain);
    }
    let mut body = stat_cache::body(bytes);
    if !random.one_in(4) {
        plain(&mut body, most.saturating_sub(stat_cache::CHECKSUM_LEN));
    }
    if !random.one_in(8) {
        stat_cache::put_right(&mut body, most, random);
    }
    stat_cache::seal(&mut body);
    body
}
