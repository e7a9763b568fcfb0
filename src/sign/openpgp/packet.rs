//! Packets of OpenPGP (RFC 9580, section 4.2): headers of both kinds, and bodies of a known length.
//!
//! ```text
//! old  10tttt00 L             new  11tttttt L                  L < 192
//!      10tttt01 L L                11tttttt L L                192..=8383
//!      10tttt10 L L L L            11tttttt ff L L L L
//! ```
//! Partial and indeterminate lengths are for data; nothing that is read here may have them.

/// The tags of the packets that matter here.
pub(super) const SIGNATURE: u8 = 2;
pub(super) const SECRET_KEY: u8 = 5;
pub(super) const PUBLIC_KEY: u8 = 6;
pub(super) const SECRET_SUBKEY: u8 = 7;
pub(super) const MARKER: u8 = 10;
pub(super) const TRUST: u8 = 12;
pub(super) const USER_ID: u8 = 13;
pub(super) const PUBLIC_SUBKEY: u8 = 14;
pub(super) const USER_ATTRIBUTE: u8 = 17;

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'b> {
    /// What kind it is.
    pub tag: u8,
    /// What is behind the header.
    pub body: &'b [u8],
    /// Where it begins in the bytes that were given.
    pub offset: usize,
}

/// What follows is no packet, or has no known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPacket;

/// The packets of a stream, one after the other; the first that cannot be read ends it.
pub(super) struct Packets<'b> {
    rest: &'b [u8],
    offset: usize,
}

impl<'b> Packets<'b> {
    pub(super) fn of(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }
}

impl<'b> Iterator for Packets<'b> {
    type Item = Result<Packet<'b>, NoPacket>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let Some((tag, header, length)) = header(self.rest) else {
            self.rest = &[];
            return Some(Err(NoPacket));
        };
        let after = self.rest.get(header..).and_then(|behind| behind.split_at_checked(length));
        let Some((body, rest)) = after else {
            self.rest = &[];
            return Some(Err(NoPacket));
        };
        let packet = Packet { tag, body, offset: self.offset };
        self.offset += header + length;
        self.rest = rest;
        Some(Ok(packet))
    }
}

/// The tag, the length of the header and that of the body.
fn header(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let first = *bytes.first()?;
    if first & 0x80 == 0 {
        return None;
    }
    if first & 0x40 != 0 {
        let (length, body) = new_length(bytes.get(1..)?)?;
        return Some((first & 0x3f, 1 + length, body));
    }
    let size = match first & 3 {
        0 => 1,
        1 => 2,
        2 => 4,
        _ => return None,
    };
    Some((first >> 2 & 15, 1 + size, be(bytes.get(1..1 + size)?)))
}

/// A length as new packets and subpackets have it: how many bytes it takes, and what it says.
/// Packets have partial lengths in the place of subpackets' second kind from 224 on; both are
/// refused.
fn new_length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.first()? {
        short @ 0..192 => Some((1, usize::from(short))),
        high @ 192..224 => {
            Some((2, (usize::from(high - 192) << 8) + usize::from(*bytes.get(1)?) + 192))
        }
        255 => Some((5, be(bytes.get(1..5)?))),
        _ => None,
    }
}

/// The length of a subpacket: how many bytes it takes, and what it says.
pub(super) fn subpacket_length(bytes: &[u8]) -> Option<(usize, usize)> {
    match *bytes.first()? {
        high @ 224..=254 => {
            Some((2, (usize::from(high - 192) << 8) + usize::from(*bytes.get(1)?) + 192))
        }
        _ => new_length(bytes),
    }
}

/// A number, big-endian.
pub(super) fn be(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// Four bytes at an offset, as a number.
pub(super) fn be32(bytes: &[u8], offset: usize) -> Option<u32> {
    let four = bytes.get(offset..)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*four))
}

/// Writes a packet with a header of the old kind, as gpg does for all that has one.
pub(super) fn write(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    let first = 0x80 | tag << 2;
    let length = body.len() as u32;
    match length.to_be_bytes() {
        [0, 0, 0, short] if tag < 16 => out.extend([first, short]),
        [0, 0, high, low] if tag < 16 => out.extend([first | 1, high, low]),
        four if tag < 16 => {
            out.push(first | 2);
            out.extend(four);
        }
        // Tags above 15 do not fit into the old header.
        four => {
            out.extend([0xc0 | tag, 0xff]);
            out.extend(four);
        }
    }
    out.extend_from_slice(body);
}

/// A multiprecision integer without its leading zeros, and what is behind it. One of more bits than
/// gpg reads is none.
pub(super) fn mpi(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    const MOST_BITS: usize = 16384;
    let bits = be(bytes.get(..2)?);
    if bits > MOST_BITS {
        return None;
    }
    let (number, rest) = bytes.get(2..)?.split_at_checked(bits.div_ceil(8))?;
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    Some((number.get(zeros..)?, rest))
}

/// Writes a multiprecision integer.
pub(super) fn write_mpi(out: &mut Vec<u8>, number: &[u8]) {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    let bits = number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize);
    out.extend((bits as u16).to_be_bytes());
    out.extend_from_slice(number);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_apart_with_either_header() {
        let bytes = b"\x98\x01K\xcd\x02UV\xb1\x00\x01T\xc2\xff\x00\x00\x00\x00";
        let found: Vec<_> = Packets::of(bytes).map(|packet| packet.unwrap()).collect();
        let expected = [(6, &b"K"[..], 0), (13, b"UV", 3), (12, b"T", 7), (2, b"", 11)];
        let expected = expected.map(|(tag, body, offset)| Packet { tag, body, offset });
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_no_packet_ends_the_stream() {
        for bad in [
            &b"no packets"[..],
            b"\x98",
            b"\x98\x05K",
            b"\x9b\x01",
            b"\xc6\xe0K",
            b"\xc6\xff\xff\xff\xff\xff",
        ] {
            let bytes = [b"\x98\x01K", bad].concat();
            let found: Vec<_> = Packets::of(&bytes).collect();
            let first = Packet { tag: 6, body: b"K", offset: 0 };
            assert_eq!(found, [Ok(first), Err(NoPacket)], "{bad:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for (tag, length) in [(2, 3), (2, 300), (2, 70_000), (17, 3)] {
            let mut bytes = Vec::new();
            write(&mut bytes, tag, &vec![7; length]);
            let packets: Vec<_> = Packets::of(&bytes).collect();
            assert_eq!(packets, [Ok(Packet { tag, body: &vec![7; length], offset: 0 })]);
        }
    }

    #[test]
    fn integers_lose_their_leading_zeros() {
        assert_eq!(mpi(b"\x00\x09\x01\xffrest"), Some((&b"\x01\xff"[..], &b"rest"[..])));
        assert_eq!(mpi(b"\x00\x10\x00\xff"), Some((&b"\xff"[..], &b""[..])));
        assert_eq!(mpi(b"\x00\x00"), Some((&b""[..], &b""[..])));
        for bad in [&b"\x00"[..], b"\x00\x09\x01", b"\x40\x01"] {
            assert_eq!(mpi(bad), None, "{bad:?}");
        }
        let mut bytes = Vec::new();
        write_mpi(&mut bytes, b"\x00\x01\xff");
        assert_eq!(bytes, b"\x00\x09\x01\xff");
    }
}
