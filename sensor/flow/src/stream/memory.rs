// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The memory of one worker's streams: what is in use, what the caps are, and buffers waiting to be used again.
//!
//! Must never let more be in use than a cap says: whoever wants to store asks first.

use super::Config;

/// Empty buffers kept for use again. Threat: none in use, and memory held by the ghosts of a burst.
const MAX_SPARE: usize = 256;
/// A buffer larger than this is not kept.
const MAX_SPARE_BYTES: usize = 16 << 10;

/// What the streams' memory did, named as in EVE `stats.tcp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryCounters {
    /// Bytes of buffers in use: `tcp.reassembly_memuse`.
    pub reassembly_memuse: u64,
    /// The most that it was.
    pub reassembly_peak: u64,
    /// Segments whose bytes were not stored since the cap was reached: `tcp.segment_memcap_drop`.
    pub segment_memcap_drop: u64,
}

/// The memory of one worker's streams.
#[derive(Debug)]
pub struct Memory {
    cap: usize,
    used: usize,
    spare: Vec<Vec<u8>>,
    pub(crate) counters: MemoryCounters,
}

impl Memory {
    /// This worker's share of the cap: one of `workers`.
    pub fn new(cfg: &Config, workers: usize) -> Self {
        Self {
            cap: usize::try_from(cfg.reassembly_memcap).unwrap_or(usize::MAX) / workers.max(1),
            used: 0,
            spare: Vec::new(),
            counters: MemoryCounters::default(),
        }
    }
    /// What it did so far.
    pub const fn counters(&self) -> MemoryCounters {
        self.counters
    }
    /// Whether so many bytes more are within the cap.
    pub(crate) const fn allows(&self, more: usize) -> bool {
        self.used.saturating_add(more) <= self.cap
    }
    /// Something that was charged with `before` bytes is now charged with `after`.
    pub(crate) fn moved(&mut self, before: usize, after: usize) {
        self.used = self.used.saturating_sub(before).saturating_add(after);
        self.counters.reassembly_memuse = self.used as u64;
        self.counters.reassembly_peak = self.counters.reassembly_peak.max(self.used as u64);
    }
    /// A buffer to fill.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }
    /// A buffer that is not needed any more.
    pub(crate) fn give_back(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < MAX_SPARE && (1..=MAX_SPARE_BYTES).contains(&buffer.capacity()) {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}
