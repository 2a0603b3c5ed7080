// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The fragments of one datagram: pieces that do not overlap, until they cover it.
//!
//! Must never keep a byte twice: what loses an overlap is dropped at once, so that a datagram costs at most its own
//! length and a piece of bookkeeping for each eight bytes.

use std::{collections::BTreeMap, mem};

use lagewarte_decode::{Fragment, Ip};

use super::policy::Policy;

/// A run of bytes of the datagram.
#[derive(Debug)]
struct Piece {
    data: Box<[u8]>,
    /// Begin and end of the fragment that brought it.
    fragment: (u32, u32),
}

/// Bytes charged for a piece beside its data: the tree's node, generously.
pub(super) const PIECE_COST: usize = mem::size_of::<Piece>() + 32;

/// One datagram in the making.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    pieces: BTreeMap<u32, Piece>,
    /// What stands before every fragment, from the first that begins the datagram.
    header: Option<Header>,
    /// The datagram's length, once its last fragment was seen.
    end: Option<u32>,
    covered: u32,
}

#[derive(Debug)]
struct Header {
    bytes: Box<[u8]>,
    next_at: usize,
    next: u8,
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Took {
    /// Its bytes, or those that won.
    In { overlap: bool },
    /// It contradicts the length that is known.
    Contradicts { overlap: bool },
}

impl Tracker {
    /// Bytes charged.
    pub(super) fn cost(&self) -> usize {
        self.pieces.len() * PIECE_COST
            + self.covered as usize
            + self.header.as_ref().map_or(0, |h| h.bytes.len() + mem::size_of::<Header>())
    }
    /// Pieces held.
    pub(super) fn pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Takes a fragment's bytes; `data` is not empty and ends within 65,535.
    pub(super) fn take(&mut self, ip: &Ip<'_>, f: &Fragment, data: &[u8], policy: Policy) -> Took {
        let (begin, end) = (u32::from(f.offset), u32::from(f.offset) + data.len() as u32);
        let furthest = self.pieces.last_key_value().map_or(0, |(at, p)| at + p.data.len() as u32);
        let contradicts = match (self.end, f.more) {
            (Some(known), false) => known != end,
            (Some(known), true) => known < end,
            (None, false) => furthest > end,
            (None, true) => false,
        };
        if contradicts {
            return Took::Contradicts { overlap: self.range(begin, end).next().is_some() };
        }
        if !f.more {
            self.end = Some(end);
        }
        if f.offset == 0 && self.header.is_none() {
            self.header = ip.packet.get(..f.header_len.into()).map(|bytes| Header {
                bytes: bytes.into(),
                next_at: f.next_at.into(),
                next: f.next,
            });
        }
        let overlap = self.insert((begin, end), data, policy);
        Took::In { overlap }
    }

    /// Where the pieces begin that have bytes in a range.
    fn range(&self, begin: u32, end: u32) -> impl Iterator<Item = u32> {
        let before = self.pieces.range(..begin).next_back().filter(|(at, p)| *at + p.data.len() as u32 > begin);
        let first = before.map_or(begin, |(at, _)| *at);
        self.pieces.range(first..end).map(|(at, _)| *at)
    }

    fn insert(&mut self, new: (u32, u32), data: &[u8], policy: Policy) -> bool {
        let (begin, end) = new;
        let hit: Vec<u32> = self.range(begin, end).collect();
        let mut cursor = begin;
        for &at in &hit {
            let Some(piece) = self.pieces.get(&at) else { continue };
            let piece_end = at + piece.data.len() as u32;
            if !policy.later_wins(piece.fragment, new) {
                self.put(cursor, at, new, data);
                cursor = cursor.max(piece_end);
                continue;
            }
            let Some(old) = self.pieces.remove(&at) else { continue };
            self.covered -= old.data.len() as u32;
            // What of it lies outside stays, and is still the earlier fragment's.
            if at < begin {
                self.keep(at, old.data.get(..(begin - at) as usize), old.fragment);
            }
            if piece_end > end {
                self.keep(end, old.data.get((end - at) as usize..), old.fragment);
            }
        }
        self.put(cursor, end, new, data);
        !hit.is_empty()
    }

    /// Keeps `from..to` of a new fragment's data, where there is anything.
    fn put(&mut self, from: u32, to: u32, new: (u32, u32), data: &[u8]) {
        if from < to {
            self.keep(from, data.get((from - new.0) as usize..(to - new.0) as usize), new);
        }
    }

    fn keep(&mut self, at: u32, data: Option<&[u8]>, fragment: (u32, u32)) {
        let Some(data) = data.filter(|d| !d.is_empty()) else { return };
        self.covered += data.len() as u32;
        self.pieces.insert(at, Piece { data: data.into(), fragment });
    }

    /// Whether every byte is there.
    pub(super) fn complete(&self) -> bool {
        self.header.is_some() && self.end == Some(self.covered)
    }

    /// The whole packet with a header that says so; None where it would be longer than a packet can be.
    pub(super) fn rebuild(&self, v4: bool) -> Option<Vec<u8>> {
        let header = self.header.as_ref()?;
        let carried = header.bytes.len() - if v4 { 0 } else { 40 } + self.covered as usize;
        let length = u16::try_from(carried).ok()?.to_be_bytes();
        let mut packet = Vec::with_capacity(header.bytes.len() + self.covered as usize);
        packet.extend_from_slice(&header.bytes);
        if v4 {
            packet.get_mut(2..4)?.copy_from_slice(&length);
            *packet.get_mut(6)? &= 0b1100_0000; // neither an offset nor more fragments
            *packet.get_mut(7)? = 0;
            packet.get_mut(10..12)?.fill(0);
            let sum = checksum(&packet).to_be_bytes();
            packet.get_mut(10..12)?.copy_from_slice(&sum);
        } else {
            packet.get_mut(4..6)?.copy_from_slice(&length);
            *packet.get_mut(header.next_at)? = header.next;
        }
        for piece in self.pieces.values() {
            packet.extend_from_slice(&piece.data);
        }
        Some(packet)
    }
}

/// RFC 791's checksum of a header, whose own field is zero.
fn checksum(header: &[u8]) -> u16 {
    let mut sum: u32 = header.chunks(2).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |&b| u32::from(b))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
