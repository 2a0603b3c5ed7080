// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Long headers (RFC 9000, 17.2; RFC 9369, 3.2), the frames of Initial packets, and the client hello of Google's QUIC 46.
//!
//! Pure. Short headers are seen but say nothing to one who has no keys. Must never read past the datagram.

use lagewarte_base::reader::Reader;

use super::crypto::V2;

/// Google's QUIC 46, the last that sends its hello in clear behind a long header.
pub const Q046: u32 = 0x5130_3436;
/// Most frames read of one packet. Threat: 1,400 frames of one byte in each packet of a flood; PADDING is run over at once.
pub const MAX_FRAMES: usize = 256;
/// Most tags read of a Google hello; clients send about 25.
pub const MAX_TAGS: usize = 64;

/// What a packet with a long header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of the RFC")]
pub enum PacketType {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    VersionNegotiation,
}

/// A packet with a long header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Its type; for versions we cannot read, Initial is never said.
    pub kind: PacketType,
    /// Version; 0 in a version negotiation.
    pub version: u32,
    /// Destination connection id.
    pub dcid: &'a [u8],
    /// Source connection id.
    pub scid: &'a [u8],
    /// The packet from its first byte to the end of its payload.
    pub bytes: &'a [u8],
    /// Where the packet number, or in a Google packet the payload, begins in `bytes`.
    pub number_at: usize,
}

/// The next packet of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A long header, and what follows its packet.
    Long(Packet<'a>, &'a [u8]),
    /// A short header; the datagram's rest is its payload.
    Short,
    /// Neither.
    Damaged,
}

/// Reads the packet at the beginning of `datagram`.
pub fn packet(datagram: &[u8]) -> Next<'_> {
    match datagram.first() {
        Some(first) if first & 0x80 == 0 => Next::Short,
        _ => long(datagram).map_or(Next::Damaged, |(p, rest)| Next::Long(p, rest)),
    }
}

fn long(datagram: &[u8]) -> Option<(Packet<'_>, &[u8])> {
    let mut r = Reader::new(datagram);
    let first = r.u8()?;
    let version = r.u32()?;
    if version == Q046 {
        return google(datagram, first, r);
    }
    let n = r.u8()?;
    let dcid = r.take(n.into())?;
    let n = r.u8()?;
    let scid = r.take(n.into())?;
    let at = |r: &Reader<'_>| datagram.len() - r.rest().len(); // r stands inside datagram
    let whole = |kind, number_at| Packet { kind, version, dcid, scid, bytes: datagram, number_at };
    if version == 0 {
        return Some((whole(PacketType::VersionNegotiation, at(&r)), &[]));
    }
    // RFC 9369, 3.2: version 2 numbers the types anew.
    let number = if version == V2 { (first >> 4).wrapping_sub(1) & 3 } else { first >> 4 & 3 };
    let kind = match number {
        0 => PacketType::Initial,
        1 => PacketType::ZeroRtt,
        2 => PacketType::Handshake,
        _ => return Some((whole(PacketType::Retry, at(&r)), &[])),
    };
    if kind == PacketType::Initial {
        let token = varint(&mut r)?;
        r.take(usize::try_from(token).ok()?)?;
    }
    let length = usize::try_from(varint(&mut r)?).ok()?;
    let number_at = at(&r);
    r.take(length)?;
    let (bytes, rest) = datagram.split_at(at(&r)); // r stands inside datagram
    Some((Packet { bytes, ..whole(kind, number_at) }, rest))
}

/// Google's long header: the lengths of both ids share a byte; the packet ends with the datagram. Initial packets are
/// encrypted with no key at all, behind twelve bytes of hash.
fn google<'a>(datagram: &'a [u8], first: u8, mut r: Reader<'a>) -> Option<(Packet<'a>, &'a [u8])> {
    let lengths = r.u8()?;
    let len = |nibble: u8| if nibble == 0 { 0 } else { usize::from(nibble) + 3 };
    let dcid = r.take(len(lengths >> 4))?;
    let scid = r.take(len(lengths & 15))?;
    r.take(usize::from(first & 3) + 1)?;
    let kind = if first >> 4 & 3 == 0 { PacketType::Initial } else { PacketType::Handshake };
    if kind == PacketType::Initial {
        r.take(12)?;
    }
    let number_at = datagram.len() - r.rest().len(); // r stands inside datagram
    Some((Packet { kind, version: Q046, dcid, scid, bytes: datagram, number_at }, &[]))
}

/// A number of one to eight bytes (RFC 9000, 16).
pub fn varint(r: &mut Reader<'_>) -> Option<u64> {
    let first = *r.rest().first()?;
    let n = 1usize << (first >> 6);
    let bytes = r.take(n)?;
    Some(bytes.iter().skip(1).fold(u64::from(first & 0x3f), |v, b| v << 8 | u64::from(*b)))
}

/// What an Initial packet carries, as far as it says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A piece of the handshake.
    Crypto(u64, &'a [u8]),
    /// PADDING, PING, ACK, CONNECTION_CLOSE.
    Other,
}

/// Hands each frame on, in order. False where the payload is damaged: what stood before was handed on.
pub fn frames<'a>(payload: &'a [u8], mut each: impl FnMut(Frame<'a>)) -> bool {
    let mut r = Reader::new(payload);
    for _ in 0..MAX_FRAMES {
        let padding = r.rest().iter().take_while(|b| **b == 0).count();
        let _ = r.take(padding); // no more than there is
        if r.is_empty() {
            return true;
        }
        match frame(&mut r) {
            Some(f) => each(f),
            None => return false,
        }
    }
    true
}

fn frame<'a>(r: &mut Reader<'a>) -> Option<Frame<'a>> {
    match varint(r)? {
        1 => {}
        kind @ (2 | 3) => {
            let (_largest, _delay, ranges, _first) = (varint(r)?, varint(r)?, varint(r)?, varint(r)?);
            // Each range takes two bytes at least, so that the payload bounds the loop.
            for _ in 0..ranges {
                let (_gap, _length) = (varint(r)?, varint(r)?);
            }
            if kind == 3 {
                let (_ect0, _ect1, _ce) = (varint(r)?, varint(r)?, varint(r)?);
            }
        }
        6 => {
            let (offset, length) = (varint(r)?, varint(r)?);
            return Some(Frame::Crypto(offset, r.take(usize::try_from(length).ok()?)?));
        }
        0x1c => {
            let (_error, _frame, reason) = (varint(r)?, varint(r)?, varint(r)?);
            r.take(usize::try_from(reason).ok()?)?;
        }
        _ => return None,
    }
    Some(Frame::Other)
}

/// The hello of a client of Google's QUIC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GoogleHello {
    /// Tags in their order.
    pub tags: Vec<[u8; 4]>,
    /// SNI.
    pub sni: Option<Vec<u8>>,
    /// UAID.
    pub user_agent: Option<Vec<u8>>,
}

impl GoogleHello {
    /// The text of the CYU fingerprint: version and tags, `46,PAD-SNI-...`.
    pub fn cyu(&self) -> String {
        let mut s = String::from("46,");
        for (i, tag) in self.tags.iter().enumerate() {
            if i > 0 {
                s.push('-');
            }
            let end = tag.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
            s.extend(tag.iter().take(end).map(|b| if b.is_ascii_graphic() { char::from(*b) } else { '.' }));
        }
        s
    }
    /// Out of the payload of an Initial packet: a STREAM frame on stream 1 with a CHLO message.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut r = Reader::new(payload);
        loop {
            let kind = r.u8()?;
            match kind {
                0 => {}
                // 1 f d ooo ss: end, length present, bytes of the offset, bytes of the stream's id.
                0x80..=0xff => {
                    r.take(usize::from(kind & 3) + 1)?;
                    r.take(match kind >> 2 & 7 {
                        0 => 0,
                        n => usize::from(n) + 1,
                    })?;
                    let mut data = if kind & 0x20 != 0 {
                        let n = r.u16()?;
                        r.sub(n.into())?
                    } else {
                        r
                    };
                    return Self::message(&mut data);
                }
                _ => return None,
            }
        }
    }
    fn message(r: &mut Reader<'_>) -> Option<Self> {
        if r.array::<4>()? != *b"CHLO" {
            return None;
        }
        let [a, b, _, _] = r.array::<4>()?;
        let count = usize::from(u16::from_le_bytes([a, b]));
        let mut ends = Vec::new();
        for _ in 0..count {
            let (tag, end) = (r.array::<4>()?, u32::from_le_bytes(r.array()?));
            if ends.len() < MAX_TAGS {
                ends.push((tag, end));
            }
        }
        let mut hello = Self::default();
        let mut begin = 0;
        for (tag, end) in ends {
            let value = r.rest().get(begin as usize..end as usize);
            match &tag {
                b"SNI\0" => hello.sni = value.map(<[u8]>::to_vec),
                b"UAID" => hello.user_agent = value.map(<[u8]>::to_vec),
                _ => {}
            }
            hello.tags.push(tag);
            begin = end;
        }
        Some(hello)
    }
}
