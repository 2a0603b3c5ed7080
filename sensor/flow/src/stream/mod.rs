// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! TCP streams: segments become, for each direction, one run of bytes with its gaps, handed on in [`Chunk`]s.
//!
//! A byte is handed on once the other side has acknowledged it (a listening sensor cannot know earlier that it arrived),
//! or when the flow ends. In order and acknowledged, a byte is copied once, from the packet into the stream's buffer.
//! Must never hand on a byte twice or change one that was handed on, and never hold more than the caps of [`Memory`] allow:
//! what is over them is not stored, counted, and shows as a gap.

mod half;
mod memory;
mod overlap;

pub use memory::{Memory, MemoryCounters};
pub use overlap::Policy;

pub(crate) use half::Half;

use crate::flow::Direction;

/// Choices of stream reassembly, with Suricata's names and the values of its stock configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes for the sessions of all workers together: `stream.memcap`.
    pub memcap: u64,
    /// Bytes for the buffers of all workers together: `stream.reassembly.memcap`.
    pub reassembly_memcap: u64,
    /// Bytes of each direction that are put together; 0 is all: `stream.reassembly.depth`.
    pub depth: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { memcap: 64 << 20, reassembly_memcap: 256 << 20, depth: 1 << 20 }
    }
}

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
#[derive(Debug, Default)]
pub struct Stream {
    pub(crate) halves: [Half; 2],
}

impl Stream {
    /// The next piece to hand on, if there is one: of either direction, in the order of its direction. Data that the
    /// caller cannot use yet it gives back with [`Self::give_back`].
    pub fn next_chunk(&mut self) -> Option<Chunk<'_>> {
        let side = self.halves.iter().position(Half::ready)?;
        let direction = if side == 0 { Direction::ToServer } else { Direction::ToClient };
        self.halves.get_mut(side)?.next(direction)
    }

    /// Keeps the last `bytes` of the latest data chunk of a direction: they come again at the front of the next chunk,
    /// once there is more (or the end). Giving back more than the chunk held gives back the chunk.
    pub fn give_back(&mut self, direction: Direction, bytes: usize) {
        self.half_mut(direction).give_back(bytes);
    }

    /// Bytes of a direction seen so far, from its first: what `stream_size` compares.
    pub fn size(&self, direction: Direction) -> u64 {
        self.half(direction).size()
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
