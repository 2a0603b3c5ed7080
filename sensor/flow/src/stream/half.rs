// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One direction of a stream: what arrived, what is acknowledged, what was handed on.
//!
//! Offsets count from the first byte of the direction and never wrap; sequence numbers are only read at the door.
//! Bytes in order stand in one buffer; those ahead of a hole stand in blocks until the hole is filled or given up.

mod hand_on;
pub(crate) mod raw;

use std::{collections::VecDeque, mem};

use super::{Memory, Policy, overlap::Extent};

/// What one block ahead of a hole costs beside its bytes.
const BLOCK_COST: usize = mem::size_of::<Block>() + 16;

/// What a mark costs: the list of them doubles as it grows.
const MARK_COST: usize = 2 * mem::size_of::<Mark>();

/// A buffer larger than this is given back where no more than the next is left in it. Threat: memory held by flows that
/// had a burst and went silent.
const IDLE_BYTES: usize = 8 << 10;
const LITTLE_BYTES: usize = 1 << 10;
/// The same for marks.
const MANY_MARKS: usize = 64;

#[derive(Debug)]
struct Block {
    at: u64,
    data: Vec<u8>,
}

impl Block {
    fn to(&self) -> u64 {
        self.at + self.data.len() as u64
    }
}

/// Bytes still stored that came with one segment, and where that segment lay.
#[derive(Clone, Copy, Debug)]
struct Mark {
    own: Extent,
    segment: Extent,
}

/// What storing a segment's bytes did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Some bytes lay where there were some already.
    pub(crate) overlap: bool,
    /// And said something else.
    pub(crate) different: bool,
    /// Some bytes were not stored since memory is short, or the limit is reached.
    pub(crate) refused: bool,
    /// The limit of parts is reached.
    pub(crate) limit: bool,
    /// It lies before the stream's first byte.
    pub(crate) before: bool,
    /// Bytes that were not there before were stored.
    pub(crate) added: bool,
}

impl Stored {
    /// Both of two parts.
    pub(crate) const fn join(self, o: Self) -> Self {
        Self {
            overlap: self.overlap || o.overlap,
            different: self.different || o.different,
            refused: self.refused || o.refused,
            limit: self.limit || o.limit,
            before: self.before && o.before,
            added: self.added || o.added,
        }
    }
}

/// Parts of a stream with more than this between them are regions of their own (Suricata's measure).
const REGION: u64 = 1 << 18;
/// Urgent bytes waiting to be taken out. Threat: urgent data ahead of a hole, without end; more are left in the stream.
const MAX_URGENT: usize = 64;

/// One direction of a stream.
#[derive(Debug, Default)]
pub(crate) struct Half {
    /// Sequence number of the first byte, once it is known.
    base: Option<u32>,
    buffer: Vec<u8>,
    /// Bytes at the front of the buffer that are not needed any more.
    spent: usize,
    /// Offset of `buffer[spent]`.
    start: u64,
    /// Bytes ahead of a hole: by offset, apart from each other.
    ahead: VecDeque<Block>,
    ahead_bytes: usize,
    /// Whose the stored bytes are: by offset, apart from each other.
    marks: VecDeque<Mark>,
    /// Up to here the other side has acknowledged.
    acked: u64,
    /// Up to here bytes were taken by the caller.
    taken: u64,
    /// Up to here bytes were shown to the caller: never below `taken`.
    shown: u64,
    /// Highest offset seen.
    edge: u64,
    /// Offset of the FIN.
    fin: Option<u64>,
    /// Bytes from this offset on are not stored.
    depth: u64,
    /// Something arrived there.
    too_deep: bool,
    /// Bytes are handed on as they come, not when they are acknowledged.
    inline: bool,
    finished: bool,
    ended: bool,
    /// A hole was given up.
    gapped: bool,
    /// The hole that is there was told of.
    hole_told: bool,
    /// A hole was given up and not told of: the next acknowledgement does.
    untold: bool,
    regions: u32,
    policy: Policy,
    /// Offsets of urgent bytes that are to be taken out, ascending.
    urgent: Vec<u64>,
    urgent_seen: u32,
    /// Up to here rules have looked.
    raw: u64,
    /// No rule will look.
    unwatched: bool,
    /// Acknowledged bytes that rules wait for.
    chunk: u32,
    triggered: bool,
    /// Parts before holes that rules have not looked at.
    behind: VecDeque<Block>,
    behind_bytes: usize,
    /// Up to here bytes were let go.
    gone: u64,
    /// Bytes that the memory was told of.
    told: usize,
}

impl Half {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, regions: 1, ..Self::default() }
    }
    pub(crate) const fn gapped(&self) -> bool {
        self.gapped
    }
    pub(crate) const fn max_regions(&self) -> u32 {
        self.regions
    }
    pub(crate) const fn urgent_seen(&self) -> u32 {
        self.urgent_seen
    }
    pub(crate) const fn too_deep(&self) -> bool {
        self.too_deep
    }
    pub(crate) fn set_depth(&mut self, depth: u64) {
        self.depth = if depth == 0 { u64::MAX } else { depth.max(self.end()) };
    }
    /// Whether an acknowledgement just now said that bytes are missing for good.
    pub(crate) fn begins_gap(&mut self) -> bool {
        let begins = !self.finished && !self.ended && !self.hole_told && self.hole().is_some();
        self.hole_told |= begins;
        self.gapped |= begins;
        mem::take(&mut self.untold) || begins
    }
    /// Begins the direction: its first byte has this sequence number. Once only.
    pub(crate) fn begin(&mut self, first: u32, depth: u64) {
        if self.base.is_none() {
            self.base = Some(first);
            self.depth = if depth == 0 { u64::MAX } else { depth };
        }
    }
    pub(crate) const fn set_inline(&mut self, inline: bool) {
        self.inline = inline;
    }
    pub(crate) const fn begun(&self) -> bool {
        self.base.is_some()
    }
    /// Bytes of memory in use.
    fn charged(&self) -> usize {
        let blocks = self.ahead.len() + self.behind.len();
        let bytes = self.buffer.capacity() + self.ahead_bytes + self.behind_bytes;
        bytes + blocks * BLOCK_COST + self.marks.len() * MARK_COST
    }

    /// The offset that a sequence number stands for: the one nearest to where the direction is. None before its first byte.
    fn offset(&self, seq: u32) -> Option<u64> {
        let near = self.edge.max(self.end());
        let there = self.base?.wrapping_add(near as u32); // offsets wrap as sequence numbers do
        near.checked_add_signed(i64::from(seq.wrapping_sub(there) as i32)) // the sign says before or behind
    }

    /// Where the bytes in order end.
    fn end(&self) -> u64 {
        self.start + (self.buffer.len() - self.spent) as u64 // invariant: spent <= buffer.len()
    }

    /// The other side acknowledged everything before `seq`.
    pub(crate) fn acknowledge(&mut self, seq: u32) {
        let Some(mut to) = self.offset(seq) else { return };
        if let Some(fin) = self.fin {
            to = to.min(fin + 1);
        }
        self.acked = self.acked.max(to);
    }

    /// The direction ends before `seq`.
    pub(crate) fn fin(&mut self, seq: u32) {
        if let (None, Some(at)) = (self.fin, self.offset(seq)) {
            self.fin = Some(at);
        }
    }

    /// What is stored is to be handed on without waiting for anything.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
    }

    /// Stores a segment's bytes.
    pub(crate) fn store(&mut self, seq: u32, data: &[u8], memory: &mut Memory) -> Stored {
        let mut done = Stored::default();
        let Some(_) = self.base else { return done };
        self.release(memory);
        if self.ended || data.is_empty() {
            return done;
        }
        let (from, data) = match self.offset(seq) {
            Some(at) => (at, data),
            None => {
                // Begins before the first byte.
                let before = self.base.unwrap_or(seq).wrapping_sub(seq) as usize;
                let Some(rest) = data.get(before..).filter(|r| !r.is_empty()) else {
                    done.before = true;
                    return done;
                };
                (0, rest)
            }
        };
        let to = from + data.len() as u64;
        self.edge = self.edge.max(to);
        let data = if to > self.depth {
            self.too_deep = true;
            data.get(..usize::try_from(self.depth.saturating_sub(from)).unwrap_or(usize::MAX)).unwrap_or_default()
        } else {
            data
        };
        if data.is_empty() {
            return done;
        }
        let segment = Extent { from, to: from + data.len() as u64 };
        if from == self.end() && self.ahead.is_empty() {
            if self.append(data, memory) {
                self.marks.push_back(Mark { own: segment, segment });
                done.added = true;
            } else {
                done.refused = true;
            }
        } else {
            self.overlay(segment, data, memory, &mut done);
        }
        self.take_out_urgent();
        self.settle(memory);
        if done.refused && !done.limit {
            memory.counters.segment_memcap_drop += 1;
        }
        done
    }

    /// Appends to the bytes in order; false where memory is short.
    fn append(&mut self, data: &[u8], memory: &mut Memory) -> bool {
        if self.buffer.capacity() == 0 {
            let spare = memory.buffer();
            if !memory.allows(MARK_COST + spare.capacity()) {
                memory.give_back(spare);
                return false;
            }
            self.buffer = spare;
            self.settle(memory);
        }
        // Moved together only where that frees half of it, so that a byte is moved once at most, on average.
        if self.buffer.len() + data.len() > self.buffer.capacity() && self.spent > self.buffer.len() / 2 {
            self.buffer.drain(..self.spent);
            self.spent = 0;
        }
        let needed = self.buffer.len() + data.len();
        if needed > self.buffer.capacity() {
            let roomy = needed.max(2 * self.buffer.capacity()).next_multiple_of(512);
            let Some(size) = grown(self.buffer.capacity(), [roomy, needed], MARK_COST, memory) else { return false };
            self.buffer.reserve_exact(size - self.buffer.len());
        }
        self.buffer.extend_from_slice(data);
        true
    }

    /// Stores bytes that do not simply come next.
    fn overlay(&mut self, segment: Extent, data: &[u8], memory: &mut Memory, done: &mut Stored) {
        // What was shown cannot change any more.
        let floor = self.shown.max(self.start);
        let mut at = segment.from.max(self.start);
        let mut fresh = Vec::new();
        let first = self.marks.partition_point(|m| m.own.to <= at);
        let mut i = first;
        while at < segment.to {
            let (to, winner) = match self.marks.get(i) {
                Some(m) if m.own.from <= at => {
                    i += 1;
                    let to = m.own.to.min(segment.to);
                    done.overlap = true;
                    if self.differs(at, part(data, segment.from, at, to)) {
                        done.different = true;
                    }
                    (to, self.policy.later_wins(segment, m.segment))
                }
                Some(m) => (m.own.from.min(segment.to), true),
                None => (segment.to, true),
            };
            if winner && to > floor {
                fresh.push(Extent { from: at.max(floor), to });
            }
            at = to;
        }
        for e in fresh {
            if !self.within_regions(e, memory.max_regions) {
                (done.refused, done.limit) = (true, true);
            } else if self.write(e.from, part(data, segment.from, e.from, e.to), memory) {
                done.added = true;
                self.claim(Mark { own: e, segment });
            } else {
                done.refused = true;
            }
        }
        self.close_up();
    }

    /// Whether these bytes lie in or near what is stored, or may be a region of their own.
    fn within_regions(&mut self, new: Extent, most: u32) -> bool {
        let before = self.ahead.iter().rev().find(|b| b.at <= new.from).map_or_else(|| self.end(), Block::to);
        if new.from.saturating_sub(before) < REGION {
            return true;
        }
        let mut at = self.end();
        let mut regions = 2u32; // the one in order and the new one
        for b in &self.ahead {
            regions += u32::from(b.at - at >= REGION);
            at = b.to();
        }
        if regions > most {
            return false;
        }
        self.regions = self.regions.max(regions);
        true
    }

    /// The byte with this number is urgent and not the stream's.
    pub(crate) fn urgent(&mut self, seq: u32) {
        let Some(at) = self.offset(seq).filter(|a| *a >= self.shown.max(self.start)) else { return };
        if let Err(i) = self.urgent.binary_search(&at)
            && self.urgent.len() < MAX_URGENT
        {
            self.urgent.insert(i, at);
        }
    }

    /// Takes urgent bytes that are in order now out of the stream: everything behind moves up by one.
    fn take_out_urgent(&mut self) {
        while let Some(at) = self.urgent.first().copied().filter(|a| *a < self.end()) {
            self.urgent.remove(0);
            if at < self.shown || at < self.start {
                continue;
            }
            self.buffer.remove(self.spent + (at - self.start) as usize); // it lies below the end
            self.urgent_seen = self.urgent_seen.saturating_add(1);
            self.base = self.base.map(|b| b.wrapping_add(1));
            let behind = |o: &mut u64| *o -= u64::from(*o > at);
            self.marks.iter_mut().for_each(|m| {
                [&mut m.own.from, &mut m.own.to, &mut m.segment.from, &mut m.segment.to].into_iter().for_each(behind);
            });
            self.marks.retain(|m| m.own.from < m.own.to);
            self.ahead.iter_mut().for_each(|b| behind(&mut b.at));
            self.urgent.iter_mut().for_each(behind);
            [&mut self.acked, &mut self.edge].into_iter().for_each(behind);
            self.fin.iter_mut().for_each(behind);
        }
    }

    /// Whether stored bytes, where there are any, differ from these.
    fn differs(&self, at: u64, data: &[u8]) -> bool {
        let to = at + data.len() as u64;
        let same = |from: u64, stored: &[u8]| {
            let (a, b) = (at.max(from), to.min(from + stored.len() as u64));
            a >= b || part(stored, from, a, b) == part(data, at, a, b)
        };
        let ordered = self.buffer.get(self.spent..).unwrap_or_default();
        !(same(self.start, ordered) && self.ahead.iter().take_while(|b| b.at < to).all(|b| same(b.at, &b.data)))
    }

    /// Puts bytes in their place, over what is there and into holes.
    fn write(&mut self, mut at: u64, mut data: &[u8], memory: &mut Memory) -> bool {
        let end = self.end();
        if at < end {
            let n = data.len().min((end - at) as usize); // at least the buffer's length
            let (now, later) = data.split_at(n);
            let place = self.spent + (at - self.start) as usize;
            if let Some(slot) = self.buffer.get_mut(place..place + n) {
                slot.copy_from_slice(now);
            }
            (at, data) = (at + n as u64, later);
        }
        let mut i = self.ahead.partition_point(|b| b.to() <= at);
        while !data.is_empty() {
            self.settle(memory);
            match self.ahead.get_mut(i) {
                Some(b) if b.at <= at => {
                    let place = (at - b.at) as usize;
                    let n = data.len().min(b.data.len() - place);
                    let (now, later) = data.split_at(n);
                    b.data[place..place + n].copy_from_slice(now); // place + n <= its length
                    (at, data) = (at + n as u64, later);
                    i += 1;
                }
                next => {
                    let room = next.map_or(u64::MAX, |b| b.at - at);
                    let n = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                    let (now, later) = data.split_at(n);
                    if !memory.allows(2 * n + BLOCK_COST + 2 * MARK_COST) {
                        return false;
                    }
                    match i.checked_sub(1).and_then(|p| self.ahead.get_mut(p)).filter(|b| b.to() == at) {
                        Some(before) => {
                            let had = before.data.capacity();
                            let needed = before.data.len() + n;
                            if needed > had {
                                let sizes = [needed.max(2 * had), needed];
                                let size = grown(had, sizes, BLOCK_COST + 2 * MARK_COST, memory).unwrap_or(needed);
                                before.data.reserve_exact(size - before.data.len());
                            }
                            before.data.extend_from_slice(now);
                            self.ahead_bytes += before.data.capacity() - had;
                        }
                        None => {
                            let block = Block { at, data: now.to_vec() };
                            self.ahead_bytes += block.data.capacity();
                            self.ahead.insert(i, block);
                            i += 1;
                        }
                    }
                    (at, data) = (at + n as u64, later);
                }
            }
        }
        true
    }

    /// Notes whose the bytes of a stretch are now.
    fn claim(&mut self, new: Mark) {
        let first = self.marks.partition_point(|m| m.own.to <= new.own.from);
        let mut keep: [Option<Mark>; 2] = [None; 2];
        let mut last = first;
        while let Some(m) = self.marks.get(last).filter(|m| m.own.from < new.own.to) {
            if m.own.from < new.own.from {
                keep[0] = Some(Mark { own: Extent { from: m.own.from, to: new.own.from }, ..*m });
            }
            if m.own.to > new.own.to {
                keep[1] = Some(Mark { own: Extent { from: new.own.to, to: m.own.to }, ..*m });
            }
            last += 1;
        }
        self.marks.drain(first..last);
        for m in [keep[1], Some(new), keep[0]].into_iter().flatten() {
            self.marks.insert(first, m);
        }
    }

    /// Moves blocks that are in order now into the buffer.
    fn close_up(&mut self) {
        let mut end = self.end();
        let in_order = self.ahead.iter().take_while(|b| (b.at == end).then(|| end = b.to()).is_some());
        let (blocks, bytes) = in_order.fold((0, 0), |(n, bytes), b| (n + 1, bytes + b.data.len()));
        if blocks > 0 && self.buffer.len() > self.spent {
            // The blocks' own memory, let go below, was asked for; no more than that is taken.
            self.buffer.reserve_exact(bytes);
        }
        for i in 0..blocks {
            let Some(mut block) = self.ahead.pop_front() else { return };
            self.ahead_bytes -= block.data.capacity();
            if i == 0 && self.buffer.len() == self.spent {
                self.spent = 0;
                self.buffer = block.data;
                self.buffer.reserve_exact(bytes - self.buffer.len());
            } else {
                self.buffer.append(&mut block.data);
            }
        }
    }

    /// Lets go of what nobody needs any more.
    pub(crate) fn release(&mut self, memory: &mut Memory) {
        self.release_behind(memory);
        let needed = self.taken.min(self.raw_floor());
        if needed <= self.start {
            self.settle(memory);
            return;
        }
        self.gone = self.gone.max(needed);
        let n = usize::try_from(needed - self.start).unwrap_or(usize::MAX).min(self.buffer.len() - self.spent);
        self.spent += n;
        self.start += n as u64;
        while self.marks.front().is_some_and(|m| m.own.to <= self.start) {
            self.marks.pop_front();
        }
        if self.spent == self.buffer.len() {
            self.spent = 0;
            memory.give_back(mem::take(&mut self.buffer));
        } else if self.buffer.capacity() > IDLE_BYTES && self.buffer.len() - self.spent <= LITTLE_BYTES {
            // What rules may look back at does not hold on to the buffer of a burst.
            let mut little = Vec::with_capacity(LITTLE_BYTES);
            little.extend_from_slice(self.buffer.get(self.spent..).unwrap_or_default());
            self.spent = 0;
            memory.give_back(mem::replace(&mut self.buffer, little));
        }
        if self.marks.capacity() > MANY_MARKS && self.marks.len() < MANY_MARKS / 4 {
            self.marks.shrink_to(MANY_MARKS / 4);
        }
        self.settle(memory);
    }

    /// Tells the memory what is in use now.
    fn settle(&mut self, memory: &mut Memory) {
        let now = self.charged();
        if now != self.told {
            memory.moved(self.told, now);
            self.told = now;
        }
    }

    /// Bytes that the memory was told of.
    pub(crate) const fn told(&self) -> usize {
        self.told
    }
}

/// To which of two sizes a buffer of `had` bytes may grow, with so much beside it: doubling keeps the copies few; where memory
/// is short the exact size will do.
fn grown(had: usize, [roomy, needed]: [usize; 2], beside: usize, memory: &Memory) -> Option<usize> {
    [roomy, needed].into_iter().find(|size| memory.allows(beside + size - had))
}

/// The bytes `from..to` of data that begins at `base`.
fn part(data: &[u8], base: u64, from: u64, to: u64) -> &[u8] {
    let at = |o: u64| usize::try_from(o.saturating_sub(base)).unwrap_or(usize::MAX);
    data.get(at(from)..at(to)).unwrap_or_default()
}
