// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Banner, packets before encryption, and KEXINIT (RFC 4253, 4.2, 6, 7.1).
//!
//! Pure: bytes to values. Must never ask for more than [`MAX_PACKET`].

use lagewarte_base::reader::Reader;
use md5::{Digest as _, Md5};

/// Longest banner that is none too long (RFC 4253, 4.2).
pub const MAX_BANNER: usize = 255;
/// Longest packet that is read (RFC 4253, 6.1, asks for 35,000). Threat: a length of 4 GiB announced.
pub const MAX_PACKET: usize = 64 * 1024;
/// Bytes before what a message says: length of the packet, of its padding, and the message's number.
pub const RECORD_HEADER: usize = 6;
/// Message: what a side offers.
pub const KEXINIT: u8 = 20;
/// Message: what follows is encrypted.
pub const NEWKEYS: u8 = 21;

/// A banner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Banner {
    /// Version of the protocol.
    pub proto: Vec<u8>,
    /// Software, without comment.
    pub software: Vec<u8>,
}

impl Banner {
    /// Bytes held.
    pub const fn len(&self) -> usize {
        self.proto.len() + self.software.len()
    }
    /// Whether it says nothing.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads `SSH-version-software comment`.
pub fn banner(line: &[u8]) -> Option<Banner> {
    let line = line.get(..MAX_BANNER).unwrap_or(line);
    let rest = line.strip_prefix(b"SSH-")?;
    let dash = memchr::memchr(b'-', rest)?;
    let (proto, software) = rest.split_at(dash); // a place in it
    let software = software.get(1..).unwrap_or_default();
    let software = software.split(|b| matches!(b, b' ' | b'\r' | b'\n')).next().unwrap_or_default();
    (!proto.is_empty()).then(|| Banner { proto: proto.to_vec(), software: software.to_vec() })
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A packet.
    Ok {
        /// Its message.
        kind: u8,
        /// What follows the message's number, without padding.
        payload: &'a [u8],
        /// Its length with everything.
        consumed: usize,
    },
    /// So many bytes are wanted.
    More(usize),
    /// So many bytes long, lengths and all: not read.
    Long(u64),
    /// No packet.
    Error,
}

/// Reads a packet that is not encrypted.
pub fn packet(data: &[u8]) -> Packet<'_> {
    let mut r = Reader::new(data);
    let Some(len) = r.u32() else { return Packet::More(5) };
    if len < 2 {
        return Packet::Error;
    }
    let len = len as usize;
    if len > MAX_PACKET {
        return Packet::Long(len as u64 + 4);
    }
    let Some(body) = r.take(len) else { return Packet::More(len + 4) };
    match body {
        [padding, kind, rest @ ..] => match rest.len().checked_sub(usize::from(*padding)) {
            Some(n) => Packet::Ok { kind: *kind, payload: rest.get(..n).unwrap_or_default(), consumed: len + 4 },
            None => Packet::Error,
        },
        _ => Packet::Error,
    }
}

/// The ten lists of KEXINIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer<'a>([&'a [u8]; 10]);

/// Reads KEXINIT, behind its number.
pub fn offer(payload: &[u8]) -> Option<Offer<'_>> {
    let mut r = Reader::new(payload);
    r.take(16)?; // the cookie
    let mut lists: [&[u8]; 10] = [&[]; 10];
    for list in &mut lists {
        let len = r.u32()?;
        *list = r.take(len as usize)?;
    }
    Some(Offer(lists))
}

impl Offer<'_> {
    /// The text of the fingerprint: key exchange, encryption, MAC and compression of the side's own direction.
    pub fn hassh(&self, server: bool) -> Vec<u8> {
        let [kex, _, enc_c, enc_s, mac_c, mac_s, zip_c, zip_s, ..] = self.0;
        let parts = if server { [kex, enc_s, mac_s, zip_s] } else { [kex, enc_c, mac_c, zip_c] };
        parts.join(&b';')
    }
}

/// MD5 in hex.
pub fn md5_hex(text: &[u8]) -> String {
    hex::encode(Md5::digest(text))
}
