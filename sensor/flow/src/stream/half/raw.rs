// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules see of a direction: windows over the bytes not yet looked at, with a little of what was before them.

use super::{Half, Memory, REGION, part};

/// Bytes before the new ones that a window still shows, so that a pattern across two windows is found. Longer patterns
/// that lie across are missed.
pub const LOOK_BACK: u64 = 256;

/// A window over a direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window<'a> {
    /// Offset of the first byte in its direction.
    pub offset: u64,
    /// Bytes without a gap.
    pub data: &'a [u8],
    /// How many of them were shown before.
    pub seen: usize,
}

impl Half {
    /// Rules will (or will not) look at this direction.
    pub(crate) const fn watch(&mut self, raw: bool, chunk: u32) {
        self.unwatched = !raw;
        self.chunk = chunk;
    }

    /// What comes is to be looked at without waiting for a chunk of it.
    pub(crate) const fn trigger(&mut self) {
        self.triggered = true;
    }

    /// Whether there is enough to look at; `closing`: the session is about to end, and nothing more is waited for.
    pub(crate) fn raw_ready(&self, closing: bool) -> bool {
        if self.unwatched || !self.begun() {
            return false;
        }
        let to = self.raw_limit();
        let fresh = to.saturating_sub(self.raw);
        fresh > 0
            && (closing
                || self.finished
                || self.triggered
                || self.too_deep
                || self.fin.is_some()
                || fresh >= u64::from(self.chunk))
            && self.windows().next().is_some()
    }

    /// Up to where rules may look.
    fn raw_limit(&self) -> u64 {
        if self.finished {
            self.ahead.back().map_or_else(|| self.end(), super::Block::to)
        } else {
            self.limit().min(self.end())
        }
    }

    /// The windows there are, in order.
    pub(crate) fn windows(&self) -> impl Iterator<Item = Window<'_>> {
        let limit = self.raw_limit();
        let ordered = (self.start, self.buffer.get(self.spent..).unwrap_or_default());
        let behind = self.behind.iter().map(|b| (b.at, b.data.as_slice()));
        let ahead = self.ahead.iter().map(|b| (b.at, b.data.as_slice()));
        behind.chain([ordered]).chain(ahead).filter_map(move |(at, data)| {
            let to = (at + data.len() as u64).min(limit);
            let from = at.max(self.raw.saturating_sub(LOOK_BACK));
            (to > self.raw.max(from)).then(|| Window {
                offset: from,
                data: part(data, at, from, to),
                seen: usize::try_from(self.raw.saturating_sub(from)).unwrap_or(usize::MAX),
            })
        })
    }

    /// What is stored and may be looked at, seen before or not.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let limit = self.raw_limit();
        let ordered = (self.start, self.buffer.get(self.spent..).unwrap_or_default());
        let behind = self.behind.iter().map(|b| (b.at, b.data.as_slice()));
        behind.chain([ordered]).filter_map(move |(at, data)| {
            let to = (at + data.len() as u64).min(limit);
            (to > at).then(|| part(data, at, at, to))
        })
    }

    /// Rules have looked at the windows.
    pub(crate) fn raw_done(&mut self) {
        self.raw = self.raw.max(self.raw_limit());
        self.triggered = false;
    }

    /// Bytes before this offset need not be kept for rules.
    pub(super) fn raw_floor(&self) -> u64 {
        if self.unwatched { u64::MAX } else { self.raw.saturating_sub(LOOK_BACK) }
    }

    /// Puts the bytes before a hole aside that rules have not seen yet.
    pub(super) fn put_aside(&mut self) {
        let unseen = self.end() > self.raw && !self.unwatched;
        if unseen && self.buffer.len() > self.spent && self.behind.len() < MAX_BEHIND {
            let mut data = std::mem::take(&mut self.buffer);
            data.drain(..self.spent);
            self.behind_bytes += data.capacity();
            self.behind.push_back(super::Block { at: self.start, data });
        }
        self.buffer.clear();
        self.spent = 0;
    }

    /// Lets go of what was put aside and has been seen.
    pub(super) fn release_behind(&mut self, memory: &mut Memory) {
        while self.behind.front().is_some_and(|b| self.unwatched || b.to() <= self.raw) {
            let Some(b) = self.behind.pop_front() else { return };
            self.behind_bytes -= b.data.capacity();
            self.gone = self.gone.max(b.to());
            memory.give_back(b.data);
        }
    }

    /// Appends what is stored to `out`, missing bytes as `[n bytes missing]`, at most `most` bytes of it.
    pub(crate) fn show(&self, most: usize, out: &mut Vec<u8>) {
        let ordered = (self.start, self.buffer.get(self.spent..).unwrap_or_default());
        let behind = self.behind.iter().map(|b| (b.at, b.data.as_slice()));
        let ahead = self.ahead.iter().map(|b| (b.at, b.data.as_slice()));
        let mut at = self.gone;
        for (from, data) in behind.chain([ordered]).chain(ahead) {
            if data.is_empty() || out.len() >= most {
                continue;
            }
            if from > at {
                out.extend_from_slice(format!("[{} bytes missing]", from - at).as_bytes());
            }
            out.extend_from_slice(data);
            at = from + data.len() as u64;
        }
        out.truncate(most);
    }
}

/// Parts before holes that are put aside for rules. Threat: a stream of holes; the bytes before more of them are not
/// looked at as a stream.
const MAX_BEHIND: usize = 64;

const _: () = assert!(REGION > LOOK_BACK, "a window does not reach into another region");
