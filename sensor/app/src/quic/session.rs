// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is known of one QUIC connection: the keys of its Initial packets, the hellos put together from CRYPTO frames, one
//! message for each packet that says something.
//!
//! Pure: a datagram of a direction in, messages out. Once a side's hello is known nothing of that side is read any more.
//! Limits: [`MAX_CRYPTO`] bytes and [`MAX_PIECES`] pieces of each side's hello.

use lagewarte_flow::Direction;
use md5::{Digest as _, Md5};

use super::{
    crypto::InitialKeys,
    log::tls_version,
    parser::{Frame, GoogleHello, Next, Packet, PacketType, Q046, frames, packet},
};
use crate::tls::{
    fingerprint::{Ja3, ja4},
    hello::{ClientHello, EXT_SIGNATURE_ALGORITHMS, EXT_SUPPORTED_VERSIONS, Extension, ServerHello},
};

/// Most bytes of a side's hello that are put together. Threat: offsets are 62 bits wide and nothing is acknowledged to us.
pub const MAX_CRYPTO: usize = 32 * 1024;
/// Most pieces with holes between them. Threat: a hello sent in pieces of one byte, from its end.
pub const MAX_PIECES: usize = 64;
/// Most packets of one datagram that are read. Threat: 300 empty packets in one datagram.
pub const MAX_PACKETS: usize = 16;

/// What can be wrong with QUIC traffic, by Suricata's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// An Initial packet that the keys do not open.
    FailedDecrypt,
    /// Frames that cannot be read.
    ErrorOnData,
    /// A header that cannot be read.
    ErrorOnHeader,
    /// A hello beyond our limits.
    CryptoFragTooLong,
}

impl Event {
    /// All, in the order of their numbers.
    pub const ALL: &'static [Self] =
        &[Self::FailedDecrypt, Self::ErrorOnData, Self::ErrorOnHeader, Self::CryptoFragTooLong];
    /// Names, by number.
    pub const NAMES: &'static [&'static str] = &[
        Self::FailedDecrypt.name(),
        Self::ErrorOnData.name(),
        Self::ErrorOnHeader.name(),
        Self::CryptoFragTooLong.name(),
    ];
    /// Name behind `quic.` in rules and in EVE `anomaly`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailedDecrypt => "failed_decrypt",
            Self::ErrorOnData => "error_on_data",
            Self::ErrorOnHeader => "error_on_header",
            Self::CryptoFragTooLong => "crypto_frag_too_long",
        }
    }
}

/// One packet that says something: the content of an EVE `quic` event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The packet's version.
    pub version: u32,
    /// Destination connection id.
    pub dcid: Vec<u8>,
    /// Source connection id.
    pub scid: Vec<u8>,
    /// Whether the client sent it.
    pub to_server: bool,
    /// The server name asked for.
    pub sni: Option<Vec<u8>>,
    /// The user agent (Google's QUIC).
    pub user_agent: Option<Vec<u8>>,
    /// Text and MD5 of the CYU fingerprint (Google's QUIC).
    pub cyu: Option<Ja3>,
    /// JA3 of the client or JA3S of the server.
    pub ja3: Option<Ja3>,
    /// JA4 of the client.
    pub ja4: Option<String>,
    /// The hello's extensions.
    pub extensions: Vec<Extension>,
    /// What was odd.
    pub event: Option<Event>,
}

/// One connection.
#[derive(Debug, Default)]
pub struct Session {
    keys: Option<Box<InitialKeys>>,
    hello: [Crypto; 2],
    known: [bool; 2],
}

/// A side's handshake stream.
#[derive(Debug, Default)]
struct Crypto {
    bytes: Vec<u8>,
    /// Ranges that are there, in order, not touching.
    pieces: Vec<(usize, usize)>,
}

impl Session {
    /// Reads a datagram. Each packet that says something is handed on.
    pub fn datagram(&mut self, direction: Direction, mut datagram: &[u8], mut each: impl FnMut(Message)) {
        for _ in 0..MAX_PACKETS {
            if datagram.is_empty() {
                return;
            }
            match packet(datagram) {
                Next::Short => return,
                Next::Long(..) if self.known[direction.index()] => return, // index() is 0 or 1
                Next::Damaged => {
                    if !self.known[direction.index()] {
                        each(Message {
                            to_server: direction == Direction::ToServer,
                            event: Some(Event::ErrorOnHeader),
                            ..Message::default()
                        });
                    }
                    return;
                }
                Next::Long(p, rest) => {
                    match self.packet(direction, &p) {
                        Ok(Some(m)) => each(m),
                        Ok(None) => {}
                        Err(e) => {
                            each(Message { event: Some(e), ..message(direction, &p) });
                            return;
                        }
                    }
                    datagram = rest;
                }
            }
        }
    }
    /// Whether both hellos are known: nothing more will be told.
    pub fn done(&self) -> bool {
        self.known == [true; 2]
    }
    /// Memory held, in bytes, roughly.
    pub fn memory(&self) -> usize {
        let crypto: usize = self.hello.iter().map(|c| c.bytes.capacity() + 16 * c.pieces.capacity()).sum();
        size_of::<Self>() + crypto + if self.keys.is_some() { size_of::<InitialKeys>() } else { 0 }
    }

    fn packet(&mut self, direction: Direction, p: &Packet<'_>) -> Result<Option<Message>, Event> {
        let side = direction.index();
        match p.kind {
            PacketType::Initial if p.version == Q046 => Ok(Some(self.google(direction, p))),
            PacketType::Initial => {
                if p.number_at == p.bytes.len() {
                    return Ok(Some(message(direction, p)));
                }
                let Some(payload) = self.open(direction, p)? else { return Ok(Some(message(direction, p))) };
                let crypto = &mut self.hello[side]; // index() is 0 or 1
                let (mut fits, mut some) = (true, false);
                let whole = frames(&payload, |f| {
                    if let Frame::Crypto(offset, data) = f {
                        some = true;
                        fits &= crypto.add(offset, data);
                    }
                });
                if !fits {
                    self.hello[side] = Crypto::default();
                    self.known[side] = true;
                    return Err(Event::CryptoFragTooLong);
                }
                match crypto.hello() {
                    Some(hello) => {
                        let m = hello_message(message(direction, p), hello);
                        self.hello[side] = Crypto::default();
                        self.known[side] = true;
                        self.free_keys();
                        m.map(Some).ok_or(Event::ErrorOnData)
                    }
                    None if !whole => Err(Event::ErrorOnData),
                    // The rest of the hello is awaited.
                    None if some => Ok(None),
                    None => Ok(Some(message(direction, p))),
                }
            }
            PacketType::Retry => {
                // The client begins again, with new keys from the server's id.
                if direction == Direction::ToClient {
                    self.keys = None;
                    self.hello = Default::default();
                    self.known = [false; 2];
                }
                Ok(Some(message(direction, p)))
            }
            _ => Ok(Some(message(direction, p))),
        }
    }

    /// None where there are no keys to open it with.
    fn open(&mut self, direction: Direction, p: &Packet<'_>) -> Result<Option<Vec<u8>>, Event> {
        let client = direction == Direction::ToServer;
        if self.keys.is_none() && client {
            self.keys = InitialKeys::new(p.version, p.dcid).map(Box::new);
        }
        let Some(keys) = &mut self.keys else { return Ok(None) };
        if let Some(payload) = keys.open(direction, p.bytes, p.number_at) {
            return Ok(Some(payload));
        }
        if client {
            // Another connection over the same ports, or one whose beginning was lost.
            if let Some(mut new) = InitialKeys::new(p.version, p.dcid)
                && let Some(payload) = new.open(direction, p.bytes, p.number_at)
            {
                **keys = new;
                self.hello = Default::default();
                return Ok(Some(payload));
            }
        }
        Err(Event::FailedDecrypt)
    }
    fn free_keys(&mut self) {
        if self.done() {
            self.keys = None;
        }
    }
    fn google(&mut self, direction: Direction, p: &Packet<'_>) -> Message {
        let mut m = message(direction, p);
        if let Some(hello) = p.bytes.get(p.number_at..).and_then(GoogleHello::parse) {
            self.known[direction.index()] = true; // index() is 0 or 1
            let string = hello.cyu();
            let hash = hex::encode(Md5::digest(string.as_bytes()));
            m.cyu = Some(Ja3 { string, hash });
            m.sni = hello.sni;
            m.user_agent = hello.user_agent;
        }
        m
    }
}

fn message(direction: Direction, p: &Packet<'_>) -> Message {
    Message {
        version: p.version,
        dcid: p.dcid.to_vec(),
        scid: p.scid.to_vec(),
        to_server: direction == Direction::ToServer,
        ..Message::default()
    }
}

fn hello_message(mut m: Message, (kind, body): (u8, &[u8])) -> Option<Message> {
    if m.to_server && kind == 1 {
        let hello = ClientHello::parse(body)?;
        m.ja3 = Some(Ja3::client(&hello));
        m.ja4 = Some(ja4(&hello, true));
        m.sni = hello.sni;
        m.extensions = hello.extensions;
        let algorithms = hello.signature_algorithms.iter().map(|n| n.to_string().into_bytes());
        told(&mut m.extensions, EXT_SIGNATURE_ALGORITHMS, algorithms);
        let versions = hello.versions.iter().map(|v| tls_version(*v).into_bytes());
        told(&mut m.extensions, EXT_SUPPORTED_VERSIONS, versions);
    } else if !m.to_server && kind == 2 {
        let hello = ServerHello::parse(body)?;
        m.ja3 = Some(Ja3::server(&hello));
        m.extensions = hello.extensions;
        told(&mut m.extensions, EXT_SUPPORTED_VERSIONS, std::iter::once(tls_version(hello.version).into_bytes()));
    } else {
        return None;
    }
    Some(m)
}

// What an extension says, as the event has it.
fn told(extensions: &mut [Extension], kind: u16, values: impl Iterator<Item = Vec<u8>>) {
    if let Some(e) = extensions.iter_mut().find(|e| e.kind == kind) {
        e.values = values.collect();
    }
}

impl Crypto {
    /// Adds a piece; the first bytes win where pieces overlap. False beyond the limits.
    fn add(&mut self, offset: u64, data: &[u8]) -> bool {
        let Ok(begin) = usize::try_from(offset) else { return false };
        let Some(end) = begin.checked_add(data.len()).filter(|e| *e <= MAX_CRYPTO) else { return false };
        if data.is_empty() {
            return true;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        // What is there stays: copy into the holes only.
        let mut at = begin;
        for &(b, e) in &self.pieces {
            if at < b && at < end {
                let to = b.min(end);
                self.bytes[at..to].copy_from_slice(&data[at - begin..to - begin]); // begin <= at < to <= end <= len
            }
            at = at.max(e);
        }
        if at < end {
            self.bytes[at..end].copy_from_slice(&data[at - begin..]); // begin <= at < end <= len
        }
        self.pieces.push((begin, end));
        self.pieces.sort_unstable();
        self.pieces.dedup_by(|next, kept| {
            let touching = next.0 <= kept.1;
            if touching {
                kept.1 = kept.1.max(next.1);
            }
            touching
        });
        self.pieces.len() <= MAX_PIECES
    }
    /// The first message, once it is complete: its type and its body.
    fn hello(&self) -> Option<(u8, &[u8])> {
        let there = match self.pieces.first() {
            Some(&(0, end)) => self.bytes.get(..end)?,
            _ => return None,
        };
        let (&[kind, a, b, c], rest) = there.split_first_chunk::<4>()?;
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Some((kind, rest.get(..len)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Pieces in any order, doubled and overlapping, give the message once all of it is there.
        #[test]
        fn pieces_give_the_message(body in prop::collection::vec(any::<u8>(), 0..300), cuts in prop::collection::vec((0usize..304, 1usize..80), 0..60)) {
            let mut stream = vec![1, 0, (body.len() >> 8) as u8, body.len() as u8];
            stream.extend(&body);
            let mut crypto = Crypto::default();
            let mut there = vec![false; stream.len()];
            for (at, len) in cuts {
                let (from, to) = (at.min(stream.len()), (at + len).min(stream.len()));
                prop_assert!(crypto.add(from as u64, &stream[from..to]));
                there[from..to].fill(true);
                let complete = there.iter().all(|t| *t);
                prop_assert_eq!(crypto.hello(), complete.then_some((1, &body[..])));
            }
        }
        #[test]
        fn no_datagram_panics(datagrams in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..8)) {
            let mut s = Session::default();
            for (client, d) in datagrams {
                let direction = if client { Direction::ToServer } else { Direction::ToClient };
                let mut long = vec![0xc0, 0, 0, 0, 1];
                long.extend(&d);
                s.datagram(direction, &long, drop);
                s.datagram(direction, &d, drop);
            }
        }
    }

    #[test]
    fn the_limits_of_a_hello_hold() {
        let mut c = Crypto::default();
        assert!(!c.add(u64::MAX, &[1]));
        assert!(!c.add(MAX_CRYPTO as u64, &[1]));
        assert!(c.add(MAX_CRYPTO as u64 - 1, &[1]));
        let mut c = Crypto::default();
        let fits = (0..=MAX_PIECES as u64).map(|i| c.add(i * 2 + 8, &[0])).collect::<Vec<_>>();
        assert_eq!(fits.iter().filter(|f| **f).count(), MAX_PIECES);
        assert_eq!(fits.last(), Some(&false));
    }
}
