// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Handing on: what is acknowledged, in order, each byte once, with the holes that will not be filled any more.

use super::Half;
use crate::{
    flow::Direction,
    stream::{Chunk, ChunkKind},
};

impl Half {
    /// Up to where bytes may be handed on.
    pub(super) fn limit(&self) -> u64 {
        match (self.finished, self.inline) {
            (true, _) => u64::MAX,
            (false, true) => self.fin.unwrap_or(u64::MAX),
            (false, false) => self.acknowledged(),
        }
    }

    // Up to where the other side has acknowledged.
    fn acknowledged(&self) -> u64 {
        self.acked.min(self.fin.unwrap_or(u64::MAX))
    }

    /// Where a hole that will not be filled any more ends: there are bytes behind it, and the other side has all of it. What
    /// was acknowledged and has nothing behind it may only be late: captures show an acknowledgement before its segment.
    pub(super) fn hole(&self) -> Option<u64> {
        let end = self.end();
        let next = self.ahead.front()?.at;
        let to = next.min(self.depth);
        (to > end && (self.finished || self.acknowledged() >= next)).then_some(to)
    }

    /// Whether the direction is over, and how.
    fn over(&self) -> Option<ChunkKind> {
        let end = self.end();
        if self.too_deep && end >= self.depth && self.shown >= end {
            Some(ChunkKind::Depth)
        } else if self.finished || self.fin.is_some_and(|f| (self.inline || self.acked > f) && end >= f) {
            Some(ChunkKind::End)
        } else {
            None
        }
    }

    pub(crate) fn ready(&self) -> bool {
        self.begun()
            && !self.ended
            && (self.limit().min(self.end()) > self.shown || self.hole().is_some() || self.over().is_some())
    }

    pub(crate) fn next(&mut self, direction: Direction) -> Option<Chunk<'_>> {
        if self.ended {
            return None;
        }
        let to = self.limit().min(self.end());
        let offset = self.taken;
        if to > self.shown {
            (self.taken, self.shown) = (to, to);
            return Some(Chunk { direction, offset, data: self.stored(offset, to), kind: ChunkKind::Data });
        }
        if let Some(to) = self.hole() {
            self.put_aside();
            (self.taken, self.shown, self.start) = (to, to, to);
            self.untold |= !self.hole_told && !self.finished;
            (self.gapped, self.hole_told) = (true, false);
            while self.marks.front().is_some_and(|m| m.own.to <= to) {
                self.marks.pop_front();
            }
            if self.ahead.front().is_some_and(|b| b.at == to)
                && let Some(block) = self.ahead.pop_front()
            {
                self.ahead_bytes -= block.data.capacity();
                self.buffer = block.data;
                self.close_up();
            }
            return Some(Chunk { direction, offset, data: &[], kind: ChunkKind::Gap(to - offset) });
        }
        let kind = self.over()?;
        self.ended = true;
        let to = self.shown;
        self.taken = to;
        Some(Chunk { direction, offset, data: self.stored(offset, to), kind })
    }

    pub(crate) fn give_back(&mut self, bytes: usize) {
        self.taken = self.taken.saturating_sub(bytes as u64).max(self.start);
    }

    fn stored(&self, from: u64, to: u64) -> &[u8] {
        let at = |o: u64| self.spent + usize::try_from(o.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.buffer.get(at(from)..at(to)).unwrap_or_default()
    }
}
