// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! TCP streams: segments become, for each direction, one run of bytes with its gaps, handed on in [`Chunk`]s.
//!
//! A byte is handed on once the other side has acknowledged it (a listening sensor cannot know earlier that it arrived),
//! or when the flow ends. In order and acknowledged, a byte is copied once, from the packet into the stream's buffer.
//! Must never hand on a byte twice or change one that was handed on, and never hold more than the caps of [`Memory`] allow:
//! what is over them is not stored, counted, and shows as a gap.

mod config;
mod feed;
mod half;
mod memory;
mod overlap;

pub use config::{Config, URGENT_LIMIT, Urgent};
pub use half::raw::{LOOK_BACK, Window};
pub use memory::{Memory, StreamCounters};
pub use overlap::Policy;

pub(crate) use feed::{Fed, feed};
pub(crate) use half::{Half, Stored};

use crate::flow::Direction;

/// A piece of one direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Which way the bytes went.
    pub direction: Direction,
    /// Offset of the first byte in its direction, from 0.
    pub offset: u64,
    /// The bytes; empty where the kind is not [`ChunkKind::Data`].
    pub data: &'a [u8],
    /// What it is.
    pub kind: ChunkKind,
}

/// What a [`Chunk`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkKind {
    /// Bytes.
    Data,
    /// So many bytes are missing from `offset` on: acknowledged and never seen, or not stored since a cap was reached.
    Gap(u64),
    /// `stream.reassembly.depth` is reached: more may come and will not be handed on. Nothing follows in this direction.
    Depth,
    /// FIN acknowledged, reset, or end of the flow. Nothing follows in this direction.
    End,
}

/// Both directions of a TCP session.
#[derive(Debug)]
pub struct Stream {
    pub(crate) halves: [Half; 2],
}

impl Stream {
    /// With the policies of the sides that receive each direction.
    pub(crate) fn new(policies: [Policy; 2]) -> Self {
        Self { halves: policies.map(Half::new) }
    }

    /// The next piece to hand on, if there is one: of either direction, in the order of its direction. Data that the
    /// caller cannot use yet it gives back with [`Self::give_back`].
    pub fn next_chunk(&mut self) -> Option<Chunk<'_>> {
        let side = self.halves.iter().position(Half::ready)?;
        self.halves.get_mut(side)?.next(Direction::of_side(side))
    }

    /// Keeps the last `bytes` of the latest data chunk of a direction: they come again at the front of the next chunk,
    /// once there is more (or the end). Giving back more than the chunk held gives back the chunk.
    pub fn give_back(&mut self, direction: Direction, bytes: usize) {
        self.half_mut(direction).give_back(bytes);
    }

    /// Whether bytes of a direction are missing for good: EVE `tcp.ts_gap` and `tc_gap`.
    pub fn gapped(&self, direction: Direction) -> bool {
        self.half(direction).gapped()
    }
    /// Most parts, far from each other, that a direction was stored in: EVE `tcp.ts_max_regions` and `tc_max_regions`.
    pub fn max_regions(&self, direction: Direction) -> u32 {
        self.half(direction).max_regions()
    }
    /// Urgent bytes taken out of a direction: EVE `tcp.ts_urgent_oob_data` and `tc_urgent_oob_data`.
    pub fn urgent_seen(&self, direction: Direction) -> u32 {
        self.half(direction).urgent_seen()
    }
    /// From here on at most so many bytes of a direction are put together, those handed on included; 0 is all. For
    /// protocols whose depth differs.
    pub fn set_depth(&mut self, direction: Direction, depth: u64) {
        self.half_mut(direction).set_depth(depth);
    }

    /// Whether rules are to look at a direction now: a chunk of it is acknowledged, a parser asked for it
    /// ([`Self::trigger_raw`]), or the session is `closing`.
    pub fn raw_ready(&self, direction: Direction, closing: bool) -> bool {
        self.half(direction).raw_ready(closing)
    }
    /// What rules have not looked at in a direction, each window without a gap. [`Self::raw_done`] once they have.
    pub fn raw_windows(&self, direction: Direction) -> impl Iterator<Item = Window<'_>> {
        self.half(direction).windows()
    }
    /// What is stored and acknowledged of a direction, looked at before or not, each part without a gap.
    pub fn raw_parts(&self, direction: Direction) -> impl Iterator<Item = &[u8]> {
        self.half(direction).parts()
    }
    /// Rules have looked at the windows of a direction.
    pub fn raw_done(&mut self, direction: Direction) {
        self.half_mut(direction).raw_done();
    }
    /// A message is complete: rules look at what is acknowledged of a direction without waiting for a whole chunk.
    pub fn trigger_raw(&mut self, direction: Direction) {
        self.half_mut(direction).trigger();
    }
    /// What is stored of a direction, for an alert to show: missing bytes as `[n bytes missing]`, at most `most` bytes.
    pub fn show(&self, direction: Direction, most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.half(direction).show(most, &mut out);
        out
    }

    /// Marks both directions as over: what is stored is handed on, acknowledged or not, then [`ChunkKind::End`].
    pub(crate) fn finish(&mut self) {
        for h in &mut self.halves {
            h.finish();
        }
    }

    /// Exchanges client and server.
    pub(crate) fn turn(&mut self) {
        self.halves.swap(0, 1);
    }

    /// Lets go of what was handed on.
    pub(crate) fn release(&mut self, memory: &mut Memory) {
        for h in &mut self.halves {
            h.release(memory);
        }
    }

    /// Bytes that the memory was told of.
    pub(crate) fn told(&self) -> usize {
        self.halves.iter().map(Half::told).sum()
    }

    fn half(&self, direction: Direction) -> &Half {
        let [a, b] = &self.halves;
        if direction == Direction::ToServer { a } else { b }
    }
    pub(crate) fn half_mut(&mut self, direction: Direction) -> &mut Half {
        let [a, b] = &mut self.halves;
        if direction == Direction::ToServer { a } else { b }
    }
}
