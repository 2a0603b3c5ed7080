// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Reading what is committed, and deleting what is acknowledged.
//!
//! Must never show a byte that is not fsynced, skip a number silently, or delete an unacknowledged one. Limits: a cursor
//! holds one segment in memory.

use std::{io, ops::RangeInclusive};

use lagewarte_base::id::Epoch;

use crate::{
    EpochState, GapReason, Inner, Segment, Shared, Spool, Writer,
    format::{self, HEADER, Kind},
};

/// After so many failures to read a segment its numbers are a gap `corrupt`: a dead sector must not hold up the rest.
const READ_TRIES: u32 = 3;

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub seq: u64,
    /// The caller's bytes.
    pub data: Vec<u8>,
}

/// Numbers without a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First and last number.
    pub range: RangeInclusive<u64>,
    /// Why.
    pub reason: GapReason,
}

/// A step through an epoch: every number from the cursor's old place to its new one is in one record or one gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Records, ascending.
    pub records: Vec<Stored>,
    /// Gaps, ascending.
    pub gaps: Vec<Gap>,
    /// The last number covered; 0 where nothing was ever read.
    pub up_to: u64,
    /// The epoch is finished and nothing follows. Never true of the current epoch.
    pub end: bool,
}

impl Chunk {
    /// Whether it covers no number.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.gaps.is_empty()
    }
}

/// A place in an epoch.
#[derive(Debug)]
pub struct Cursor {
    epoch: Epoch,
    next: u64,
    name: String,
    buffer: Vec<u8>,
    /// File offset of the buffer's first byte.
    base: u64,
    pos: usize,
    failures: u32,
}

impl Cursor {
    /// Behind number `after` of this epoch; 0 for its beginning.
    pub fn new(epoch: Epoch, after: u64) -> Self {
        Self {
            epoch,
            next: after.saturating_add(1),
            name: String::new(),
            buffer: Vec::new(),
            base: 0,
            pos: 0,
            failures: 0,
        }
    }

    /// The last number it has covered; 0 at the beginning.
    pub fn place(&self) -> u64 {
        self.next - 1
    }

    /// Loads what is committed behind the present place of this segment.
    fn load(&mut self, inner: &Inner, segment: &Segment) -> io::Result<()> {
        if self.name != segment.name {
            self.name.clone_from(&segment.name);
            (self.base, self.pos) = (HEADER as u64, 0);
            self.buffer.clear();
        }
        let have = self.base + self.buffer.len() as u64;
        if have >= segment.len {
            return Ok(());
        }
        let from = self.base + self.pos as u64;
        let max = usize::try_from(segment.len - from).unwrap_or(usize::MAX);
        self.buffer = inner.fs.read(&inner.dir.join(&segment.name), from, max)?;
        (self.base, self.pos) = (from, 0);
        Ok(())
    }
}

impl Spool {
    /// Epochs that still hold something unacknowledged, oldest first; the current one is always the last.
    pub fn epochs(&self) -> Vec<Epoch> {
        let shared = self.inner.shared();
        shared.epochs.iter().map(|e| e.line.epoch).collect()
    }

    /// Reads on from the cursor: committed records only, at most `max_records` (gaps count as well) and about `max_bytes` (one record at least).
    /// An empty chunk means that there is nothing more now.
    ///
    /// # Errors
    /// Where the disk cannot be read; after [`READ_TRIES`] such errors the segment's numbers become a gap.
    pub fn read(&self, cursor: &mut Cursor, max_bytes: usize, max_records: usize) -> io::Result<Chunk> {
        let mut chunk = Chunk { up_to: cursor.next - 1, ..Chunk::default() };
        let mut bytes = 0;
        loop {
            let (segment, finish) = {
                let shared = self.inner.shared();
                let Some(state) = shared.epochs.iter().find(|e| e.line.epoch == cursor.epoch) else {
                    chunk.end = true; // acknowledged to its end meanwhile
                    return Ok(chunk);
                };
                let finish = (cursor.epoch != self.inner.epoch).then(|| (state.end(), state.line.end.is_some()));
                (state.segments.iter().find(|s| s.last >= cursor.next).cloned(), finish)
            };
            let Some(segment) = segment else {
                if let Some((end, clean)) = finish {
                    let reason = if clean { GapReason::Corrupt } else { GapReason::Crash };
                    chunk.gap(cursor, end, reason);
                    chunk.end = true;
                }
                return Ok(chunk);
            };
            if let Err(e) = cursor.load(&self.inner, &segment) {
                cursor.failures += 1;
                if cursor.failures < READ_TRIES {
                    return if chunk.is_empty() { Err(e) } else { Ok(chunk) };
                }
                tracing::warn!(segment = %segment.name, error = %e, "a spool segment cannot be read; its numbers are reported as a gap");
                chunk.gap(cursor, segment.last, GapReason::Corrupt);
            }
            cursor.failures = 0;
            while cursor.next <= segment.last {
                if chunk.records.len() + chunk.gaps.len() >= max_records || bytes >= max_bytes {
                    return Ok(chunk);
                }
                let Some((entry, pos)) = format::next_entry(&cursor.buffer, cursor.pos, 0) else {
                    chunk.gap(cursor, segment.last, GapReason::Corrupt);
                    break;
                };
                if entry.last < cursor.next {
                    cursor.pos = pos;
                    continue;
                }
                let (seq, last) = (entry.seq, entry.last);
                let found = match entry.kind {
                    Kind::Record(_) => Ok(entry.payload.to_vec()),
                    Kind::Gap(reason) => Err(reason),
                };
                chunk.gap(cursor, seq - 1, GapReason::Corrupt);
                match found {
                    Ok(data) => {
                        bytes += data.len();
                        chunk.records.push(Stored { seq, data });
                        (cursor.next, chunk.up_to) = (last + 1, last);
                    }
                    Err(reason) => chunk.gap(cursor, last, reason),
                }
                cursor.pos = pos;
            }
        }
    }

    /// Up to which number everything of an epoch was acknowledged; 0 where nothing was, or the epoch is not held any more.
    pub fn acknowledged(&self, epoch: Epoch) -> u64 {
        let shared = self.inner.shared();
        shared.epochs.iter().find(|e| e.line.epoch == epoch).map_or(0, |e| e.line.acked)
    }

    /// Everything of `epoch` up to and including `up_to` is safe elsewhere: whole segments below are removed. Numbers that
    /// were never committed cannot be acknowledged; a too high `up_to` is cut.
    pub fn acknowledge(&self, epoch: Epoch, up_to: u64) {
        let inner = &*self.inner;
        {
            let mut shared = inner.shared();
            let committed = shared.committed;
            let Some(state) = shared.epochs.iter_mut().find(|e| e.line.epoch == epoch) else { return };
            let known = if epoch == inner.epoch { committed } else { state.end() };
            state.line.acked = state.line.acked.max(up_to.min(known));
            // On a failing disk the last segment may have been given up: looked at with the writer's lock held.
            if inner.removable(&shared, epoch, !shared.disk_failing).is_none() {
                return;
            }
        }
        inner.remove_acknowledged(&inner.writer(), epoch);
    }
}

impl Inner {
    /// Segments of an epoch that hold nothing unacknowledged, and whether the epoch is finished; None where there is neither.
    /// `writing`: the last one of the current epoch is being written, and is kept.
    fn removable(&self, shared: &Shared, epoch: Epoch, writing: bool) -> Option<(Vec<String>, bool)> {
        let current = epoch == self.epoch;
        let state = shared.epochs.iter().find(|e| e.line.epoch == epoch)?;
        let keep = usize::from(current && writing);
        let done = state.segments.iter().take_while(|s| s.last <= state.line.acked).count();
        let those = state.segments.iter().take(done.min(state.segments.len().saturating_sub(keep)));
        let names: Vec<String> = those.map(|s| s.name.clone()).collect();
        let finished = !current && state.line.acked >= state.end();
        (finished || !names.is_empty()).then_some((names, finished))
    }

    /// Removes what is acknowledged in all spools that share the quota, for the disk is full; whether there was any. Must be
    /// called without a lock: it takes each spool's.
    pub(crate) fn make_room(&self) -> bool {
        let mut made = false;
        for spool in self.options.budget.sharers() {
            let mut writer = spool.writer();
            // An open segment may hold nothing but what is acknowledged: no acknowledgement comes any more that would remove
            // it, and it may be what fills the disk. What follows begins a new one.
            let done = |e: &EpochState| e.segments.back().is_some_and(|s| s.last <= e.line.acked);
            if spool.shared().epochs.last().is_some_and(done) {
                writer.file = None;
            }
            made |= spool.remove_acknowledged(&writer, spool.epoch);
        }
        made
    }

    /// Removes what of an epoch is acknowledged; whether a segment was removed.
    fn remove_acknowledged(&self, writer: &Writer, epoch: Epoch) -> bool {
        let Some((names, finished)) = self.removable(&self.shared(), epoch, writer.file.is_some()) else {
            return false;
        };
        // The ledger first: a missing first segment must read as acknowledged, not as lost. Where a full disk refuses even
        // that, deleting is still right (it makes room), because the receiver's Welcome says the same.
        if let Err(e) = self.write_ledger(&mut self.shared_lines()) {
            self.shared().failed("noting what is acknowledged", &e);
        }
        let mut freed = Vec::new();
        for name in names {
            match self.fs.remove(&self.dir.join(&name)) {
                Ok(()) => freed.push(name),
                Err(e) if e.kind() == io::ErrorKind::NotFound => freed.push(name),
                Err(e) => self.shared().failed("removing an acknowledged segment", &e),
            }
        }
        let lines = {
            let mut shared = self.shared();
            let mut bytes = 0;
            if let Some(state) = shared.epochs.iter_mut().find(|e| e.line.epoch == epoch) {
                bytes = state.segments.iter().filter(|s| freed.contains(&s.name)).map(|s| s.len).sum();
                state.segments.retain(|s| !freed.contains(&s.name));
            }
            shared.free(bytes);
            self.step(&mut shared);
            if !finished {
                return !freed.is_empty();
            }
            shared.epochs.retain(|e| e.line.epoch != epoch);
            shared.epochs.iter().map(|e| e.line).collect::<Vec<_>>()
        };
        // Names first, then the ledger forgets the epoch: a segment must not come back under an epoch nobody knows.
        let forgotten = self.fs.sync_dir(&self.dir).and_then(|()| self.write_ledger(&mut lines.clone()));
        if let Err(e) = forgotten {
            self.shared().failed("forgetting a finished epoch", &e);
        }
        !freed.is_empty()
    }
}

impl Chunk {
    /// Covers everything from the cursor to `to`, if anything, as a gap.
    fn gap(&mut self, cursor: &mut Cursor, to: u64, reason: GapReason) {
        if to < cursor.next {
            return;
        }
        let from = cursor.next;
        cursor.next = to.saturating_add(1);
        self.up_to = to;
        match self.gaps.last_mut() {
            Some(g) if g.reason == reason && *g.range.end() + 1 == from => g.range = *g.range.start()..=to,
            _ => self.gaps.push(Gap { range: from..=to, reason }),
        }
    }
}
