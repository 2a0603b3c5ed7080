// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The memory of one worker's streams: what is in use, what the caps are, and buffers waiting to be used again.
//!
//! Must never let more be in use than a cap says: whoever wants to store asks first.

use super::{Config, Stream};
use crate::tcp::Session;

/// Bytes charged for a session and the frame of its stream, the alternatives of its handshake included.
const SESSION_COST: usize = size_of::<Session>() + size_of::<Stream>() + 1024;

/// Empty buffers kept for use again. Threat: none in use, and memory held by the ghosts of a burst.
const MAX_SPARE: usize = 256;
/// A buffer larger than this is not kept.
const MAX_SPARE_BYTES: usize = 16 << 10;

/// What sessions and streams did, named as in EVE `stats.tcp`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounters {
    /// Sessions begun: `sessions`.
    pub sessions: u64,
    /// Sessions there are: `active_sessions`.
    pub active_sessions: u64,
    /// Sessions not followed since `stream.memcap` was reached: `ssn_memcap_drop`.
    pub ssn_memcap_drop: u64,
    /// Sessions taken up without a handshake: `midstream_pickups`.
    pub midstream_pickups: u64,
    /// Flows whose handshake is missing, to which `stream.midstream-policy` was applied.
    pub midstream_exceptions: u64,
    /// Segments with a wrong checksum, which changed nothing: `invalid_checksum`.
    pub invalid_checksum: u64,
    /// `syn`.
    pub syn: u64,
    /// `synack`.
    pub synack: u64,
    /// `rst`.
    pub rst: u64,
    /// Segments with the flag: `urg`.
    pub urg: u64,
    /// Urgent bytes taken out of their stream: `urgent_oob_data`.
    pub urgent_oob_data: u64,
    /// Segments whose bytes were not stored since the cap was reached: `segment_memcap_drop`.
    pub segment_memcap_drop: u64,
    /// Directions that went on beyond the depth: `stream_depth_reached`.
    pub depth_reached: u64,
    /// Runs of bytes that were acknowledged and never seen: `reassembly_gap`.
    pub reassembly_gap: u64,
    /// Segments over bytes that were there: `overlap`.
    pub overlap: u64,
    /// Of them, with other bytes: `overlap_diff_data`.
    pub overlap_diff_data: u64,
    /// Bytes of sessions: `memuse`.
    pub memuse: u64,
    /// Bytes of buffers in use: `reassembly_memuse`.
    pub reassembly_memuse: u64,
    /// The most that it was.
    pub reassembly_peak: u64,
}

impl StreamCounters {
    /// Adds another worker's counts.
    pub fn add(&mut self, o: &Self) {
        for (mine, theirs) in [
            (&mut self.sessions, o.sessions),
            (&mut self.active_sessions, o.active_sessions),
            (&mut self.ssn_memcap_drop, o.ssn_memcap_drop),
            (&mut self.midstream_pickups, o.midstream_pickups),
            (&mut self.midstream_exceptions, o.midstream_exceptions),
            (&mut self.invalid_checksum, o.invalid_checksum),
            (&mut self.syn, o.syn),
            (&mut self.synack, o.synack),
            (&mut self.rst, o.rst),
            (&mut self.urg, o.urg),
            (&mut self.urgent_oob_data, o.urgent_oob_data),
            (&mut self.segment_memcap_drop, o.segment_memcap_drop),
            (&mut self.depth_reached, o.depth_reached),
            (&mut self.reassembly_gap, o.reassembly_gap),
            (&mut self.overlap, o.overlap),
            (&mut self.overlap_diff_data, o.overlap_diff_data),
            (&mut self.memuse, o.memuse),
            (&mut self.reassembly_memuse, o.reassembly_memuse),
            (&mut self.reassembly_peak, o.reassembly_peak),
        ] {
            *mine += theirs;
        }
    }
}

/// The memory of one worker's streams.
#[derive(Debug)]
pub struct Memory {
    cap: usize,
    used: usize,
    sessions_cap: usize,
    /// Regions of a direction at most.
    pub(crate) max_regions: u32,
    spare: Vec<Vec<u8>>,
    pub(crate) counters: StreamCounters,
}

impl Memory {
    /// This worker's share of the cap: one of `workers`.
    pub fn new(cfg: &Config, workers: usize) -> Self {
        Self {
            cap: usize::try_from(cfg.reassembly_memcap).unwrap_or(usize::MAX) / workers.max(1),
            used: 0,
            sessions_cap: usize::try_from(cfg.memcap).unwrap_or(usize::MAX) / workers.max(1),
            max_regions: cfg.max_regions,
            spare: Vec::new(),
            counters: StreamCounters::default(),
        }
    }
    /// What it did so far.
    pub const fn counters(&self) -> StreamCounters {
        self.counters
    }
    /// A session wants to begin; false where `stream.memcap` is reached.
    pub(crate) const fn session_begins(&mut self) -> bool {
        let c = &mut self.counters;
        if (c.active_sessions as usize + 1) * SESSION_COST > self.sessions_cap {
            c.ssn_memcap_drop += 1;
            return false;
        }
        c.sessions += 1;
        c.active_sessions += 1;
        c.memuse = c.active_sessions * SESSION_COST as u64;
        true
    }
    /// A session is over.
    pub(crate) const fn session_ends(&mut self) {
        let c = &mut self.counters;
        c.active_sessions = c.active_sessions.saturating_sub(1);
        c.memuse = c.active_sessions * SESSION_COST as u64;
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
