//! Extended attributes, `a(ayay)`: names, each with a NUL, and values.

use std::collections::HashSet;

use crate::gvariant::{DecodeError, Encoder, Type, Variant};

/// The GVariant type of extended attributes.
pub(super) const XATTRS_TYPE: &str = "a(ayay)";

/// Extended attributes in the order in which they stand in an object. Names are without the NUL
/// that ends them there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Xattrs(Vec<(Vec<u8>, Vec<u8>)>);

impl Xattrs {
    /// No attributes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Attributes in the order given, which may be any. All sources of attributes go through here,
    /// so that no object is written that cannot be read.
    ///
    /// # Errors
    /// When a name is empty, contains a NUL, or comes twice.
    pub fn from_pairs(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Result<Self, DecodeError> {
        for (index, (name, _)) in pairs.iter().enumerate() {
            check_name(name, index)?;
        }
        if pairs.len() > 1 {
            let mut seen = HashSet::with_capacity(pairs.len());
            if let Some(index) = pairs.iter().position(|(name, _)| !seen.insert(name.as_slice())) {
                return Err(DecodeError::new(format!("Duplicate xattr name, index={index}")));
            }
        }
        Ok(Self(pairs))
    }

    /// Attributes that may be wrong, for tests of what reads them.
    #[cfg(test)]
    pub(super) fn unchecked(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        Self(pairs)
    }

    /// The same attributes in name order, in which names of objects are computed.
    #[must_use]
    pub fn sorted(&self) -> Self {
        let mut pairs = self.0.clone();
        pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
        Self(pairs)
    }

    /// The same attributes, with this value in place of one that the name may have had.
    ///
    /// # Errors
    /// As [`Xattrs::from_pairs`].
    pub fn with(mut self, name: &[u8], value: Vec<u8>) -> Result<Self, DecodeError> {
        self.0.retain(|(other, _)| other != name);
        check_name(name, self.0.len())?;
        self.0.push((name.to_vec(), value));
        Ok(self)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of attributes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// The value of the first attribute with that name.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Serialises the attributes in their order.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.encode_into(&mut encoder);
        encoder.finish()
    }

    /// Writes the attributes in their order where the next value belongs.
    pub(super) fn encode_into(&self, encoder: &mut Encoder) {
        let mut array = encoder.begin(1);
        for (name, value) in self.iter() {
            let mut pair = encoder.begin(1);
            encoder.put(name);
            encoder.put(&[0]);
            pair.end_child(encoder);
            encoder.put(value);
            encoder.end_tuple(pair);
            array.end_child(encoder);
        }
        encoder.end_array(array);
    }

    /// Reads serialised attributes, which must be in normal form, with whole names. Any order will
    /// do.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::of_variant(Variant::decode(Type::parse(XATTRS_TYPE)?, bytes)?)
    }

    /// Copies the attributes that a view shows.
    pub fn of_variant(view: Variant<'_>) -> Result<Self, DecodeError> {
        let mut pairs = Vec::new();
        for (index, pair) in view.children().enumerate() {
            let mut members = pair.children().map(|member| member.as_bytes().unwrap_or_default());
            let name = match members.next() {
                Some([name @ .., 0]) => name,
                _ => return Err(invalid_name(index)),
            };
            check_name(name, index)?;
            pairs.push((name.to_vec(), members.next().unwrap_or_default().to_vec()));
        }
        Ok(Self(pairs))
    }

    /// Refuses attributes that are not strictly in name order, as upstream does for directories.
    pub(super) fn check_order(&self) -> Result<(), DecodeError> {
        for (index, pair) in self.0.windows(2).enumerate() {
            let [(previous, _), (current, _)] = pair else { continue };
            let index = index + 1;
            let message = match previous.cmp(current) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => format!("Duplicate xattr name, index={index}"),
                std::cmp::Ordering::Greater => {
                    let (previous, current) =
                        (String::from_utf8_lossy(previous), String::from_utf8_lossy(current));
                    format!(
                        "Incorrectly sorted xattr name (prev={previous}, cur={current}), \
                         index={index}"
                    )
                }
            };
            return Err(DecodeError::new(message));
        }
        Ok(())
    }
}

/// Requires of a name what its form in objects demands, where a NUL ends it.
fn check_name(name: &[u8], index: usize) -> Result<(), DecodeError> {
    if name.is_empty() || name.contains(&0) { Err(invalid_name(index)) } else { Ok(()) }
}

fn invalid_name(index: usize) -> DecodeError {
    DecodeError::new(format!("Invalid xattr name (empty or missing NUL) index={index}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_serialise_as_in_the_formats_document() {
        let xattrs = Xattrs::from_pairs(vec![(b"user.k".to_vec(), b"v".to_vec())]).unwrap();
        assert_eq!(xattrs.encode(), b"user.k\0v\x07\x09");
        assert_eq!(Xattrs::decode(b"user.k\0v\x07\x09"), Ok(xattrs));
        assert_eq!((Xattrs::new().encode(), Xattrs::decode(b"")), (Vec::new(), Ok(Xattrs::new())));
    }

    #[test]
    fn the_order_is_kept_until_it_is_sorted() {
        let pair = |name: &[u8]| (name.to_vec(), Vec::new());
        let xattrs = Xattrs::from_pairs(vec![pair(b"b"), pair(b"a")]).unwrap();
        assert_eq!(Xattrs::decode(&xattrs.encode()), Ok(xattrs.clone()));
        assert_eq!(Ok(xattrs.sorted()), Xattrs::from_pairs(vec![pair(b"a"), pair(b"b")]));
        assert_eq!((xattrs.get(b"a"), xattrs.get(b"c")), (Some(&[][..]), None));
    }

    #[test]
    fn a_name_without_its_nul_is_refused() {
        let message = "Invalid xattr name (empty or missing NUL) index=0";
        for bytes in [&b"av\x01\x03"[..], b"\0v\x01\x03", b"a\0b\0v\x04\x06"] {
            assert_eq!(Xattrs::decode(bytes).unwrap_err().what, message, "{bytes:?}");
        }
    }

    #[test]
    fn names_that_no_object_can_hold_are_refused_from_every_source() {
        let message = |names: &[&[u8]]| {
            let pairs = names.iter().map(|name| (name.to_vec(), b"v".to_vec())).collect();
            Xattrs::from_pairs(pairs).map(drop).map_err(|error| error.what)
        };
        let invalid =
            |index| Err(format!("Invalid xattr name (empty or missing NUL) index={index}"));
        assert_eq!(message(&[b"user.b", b"user.a", b"user.\xff"]), Ok(()));
        assert_eq!(message(&[b""]), invalid(0));
        assert_eq!(message(&[b"user.a", b"user.a\0b"]), invalid(1));
        assert_eq!(message(&[b"user.a", b"\0"]), invalid(1));
        assert_eq!(message(&[b"b", b"a", b"b"]), Err("Duplicate xattr name, index=2".to_owned()));
    }
}
