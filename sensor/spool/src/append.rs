// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Appending and the group commit.
//!
//! Must never give out a number that is not reserved on disk, nor call a record committed before its fsync. Limits:
//! [`MAX_PENDING`] bytes wait in memory; beyond that the appender commits itself, and on a failing disk refuses.

use std::{io, mem, sync::MutexGuard, time::Duration};

use crate::{
    Dropped, GapReason, Inner, MAX_PENDING, MAX_RECORD, OpenGap, Priority, RESERVE, Segment, Shared, Spool, Writer,
    format,
};

/// Pause of the committer after a failed commit, so that a full disk is not hammered.
const RETRY: Duration = Duration::from_secs(1);

impl Spool {
    /// Appends one record and returns its sequence number. `make` gets the number and gives the bytes; it runs under the
    /// spool's lock and should only encode. The record is durable after the next commit, at most
    /// [`crate::Options::commit_ms`] later.
    ///
    /// # Errors
    /// [`Dropped`] with the reason. A refused record still takes a number, reported as a gap, so that the receiver can
    /// count it; only where not even numbers can be reserved any more (disk full for long) there is the count alone.
    pub fn append(&self, priority: Priority, make: impl FnOnce(u64) -> Vec<u8>) -> Result<u64, Dropped> {
        let inner = &*self.inner;
        let mut shared = inner.shared();
        if shared.next > shared.reserved {
            drop(shared);
            let reserved = inner.with_room(|| inner.reserve());
            shared = inner.shared();
            if reserved.is_err() {
                return Err(shared.refuse(GapReason::Disk));
            }
        }
        if shared.pending.len() >= MAX_PENDING && !shared.disk_failing {
            drop(shared);
            let _ = inner.commit(); // a failure is noted there and refused below
            shared = inner.shared();
        }
        if shared.closed || shared.pending.len() >= MAX_PENDING {
            return Err(shared.refuse_numbered(GapReason::Disk, inner.clock.now().micros()));
        }
        if shared.budget.used() >= priority.limit(inner.options.quota_bytes) {
            inner.step(&mut shared);
            return Err(shared.refuse_numbered(GapReason::Quota, inner.clock.now().micros()));
        }
        let at_us = inner.clock.now().micros();
        let seq = shared.next;
        let payload = make(seq);
        if payload.len() > MAX_RECORD {
            return Err(shared.refuse_numbered(GapReason::Size, at_us));
        }
        shared.put_gap(at_us);
        shared.begin(seq, at_us);
        let before = shared.pending.len();
        format::put_record(&mut shared.pending, priority, seq, at_us, &payload);
        let grown = (shared.pending.len() - before) as u64;
        shared.take(grown);
        shared.pending_records += 1;
        shared.next += 1;
        shared.appended[priority as usize - 1] += 1;
        inner.step(&mut shared);
        let wake = before == 0 || shared.pending.len() >= inner.options.commit_bytes;
        drop(shared);
        if wake {
            inner.wake.notify_all();
        }
        Ok(seq)
    }

    /// Commits what waits, now. The committer thread does the same by time and size.
    ///
    /// # Errors
    /// Where the disk refuses; nothing is lost then, and the next commit tries again.
    pub fn commit(&self) -> io::Result<()> {
        self.inner.commit()
    }
}

impl Shared {
    fn refuse(&mut self, reason: GapReason) -> Dropped {
        self.dropped[reason as usize] += 1;
        Dropped(reason)
    }

    fn refuse_numbered(&mut self, reason: GapReason, at_us: i64) -> Dropped {
        if self.next > self.reserved {
            return self.refuse(reason);
        }
        match &mut self.gap {
            Some(gap) if gap.reason == reason && gap.to + 1 == self.next => gap.to = self.next,
            _ => {
                self.put_gap(at_us);
                self.gap = Some(OpenGap { reason, from: self.next, to: self.next });
            }
        }
        self.next += 1;
        self.refuse(reason)
    }

    /// Writes the open gap in front of what comes next.
    fn put_gap(&mut self, at_us: i64) {
        if let Some(gap) = self.gap.take() {
            self.begin(gap.from, at_us);
            let before = self.pending.len();
            format::put_gap(&mut self.pending, gap.reason, gap.from, gap.to, at_us);
            let grown = (self.pending.len() - before) as u64;
            self.take(grown);
        }
    }

    fn begin(&mut self, seq: u64, at_us: i64) {
        if self.pending.is_empty() {
            self.pending_first = seq;
            self.pending_begun_us = at_us;
        }
    }
}

impl Inner {
    /// Waits for work and commits it, until the spool is closed.
    pub(crate) fn commit_loop(&self) {
        let mut failed = false;
        loop {
            let shared = self.shared();
            let idle = |s: &mut Shared| !s.closed && s.pending.is_empty();
            let shared = self.wake.wait_while(shared, idle).unwrap_or_else(std::sync::PoisonError::into_inner);
            if shared.closed {
                return; // close() commits the rest
            }
            let pause = if failed { RETRY } else { Duration::from_millis(self.options.commit_ms) };
            let gathering = |s: &mut Shared| !s.closed && (failed || s.pending.len() < self.options.commit_bytes);
            drop(self.wake.wait_timeout_while(shared, pause, gathering));
            failed = self.commit().is_err();
        }
    }

    pub(crate) fn commit(&self) -> io::Result<()> {
        self.with_room(|| self.try_commit())
    }

    /// Does something on the disk; where it refuses, once more if what is acknowledged made room.
    fn with_room(&self, doing: impl Fn() -> io::Result<()>) -> io::Result<()> {
        doing().or_else(|e| if self.make_room() { doing() } else { Err(e) })
    }

    fn try_commit(&self) -> io::Result<()> {
        let mut writer = self.writer();
        let (bytes, first, records, begun_us, last) = {
            let mut shared = self.shared();
            // A gap that still grows is written with the next record, or when the spool closes: refusing must not fill
            // the disk with notes about refusing.
            if shared.closed {
                let now = self.clock.now().micros();
                shared.put_gap(now);
            }
            if shared.pending.is_empty() {
                return Ok(());
            }
            let last = shared.gap.as_ref().map_or(shared.next, |g| g.from) - 1;
            let bytes = mem::take(&mut shared.pending);
            (bytes, shared.pending_first, mem::take(&mut shared.pending_records), shared.pending_begun_us, last)
        };
        let written = self.write(&mut writer, &bytes, first);
        let mut shared = self.shared();
        match written {
            Ok(begun_now) => {
                let Some(current) = shared.epochs.last_mut() else { return Ok(()) }; // the current epoch is always there
                if begun_now {
                    let name = writer.name.clone();
                    current.segments.push_back(Segment { name, last, len: 0, records: 0, begun_us });
                    shared.take(format::HEADER as u64);
                }
                let Some(current) = shared.epochs.last_mut() else { return Ok(()) };
                if let Some(s) = current.segments.back_mut() {
                    (s.last, s.len, s.records) = (last, writer.len, s.records + records);
                }
                shared.committed = last;
                shared.commits += 1;
                shared.disk_failing = false;
                self.step(&mut shared);
                let low = shared.reserved - (shared.next - 1) < RESERVE / 2;
                if let Some(hook) = &shared.on_commit {
                    hook();
                }
                drop(shared);
                if low {
                    let _ = self.extend(&writer); // noted there; the appender asks again when it must
                }
                Ok(())
            }
            Err(e) => {
                shared.disk_failing = true;
                self.step(&mut shared);
                shared.failed("writing a segment", &e);
                let younger = mem::replace(&mut shared.pending, bytes);
                shared.pending.extend_from_slice(&younger);
                shared.pending_first = first;
                shared.pending_begun_us = begun_us;
                shared.pending_records += records;
                Err(e)
            }
        }
    }

    /// Writes and fsyncs; says whether a segment was begun. On an error the segment is given up at its last good length.
    fn write(&self, writer: &mut Writer, bytes: &[u8], first: u64) -> io::Result<bool> {
        let begin = writer.file.is_none() || writer.len >= self.options.segment_bytes;
        if begin {
            writer.name = format::segment_name(self.epoch, first);
            writer.len = 0;
            writer.file = None;
            writer.file = Some(self.fs.create(&self.dir.join(&writer.name), true)?);
        }
        let Some(file) = writer.file.as_mut() else { return Err(io::Error::other("no segment is open")) };
        let head = if begin { format::header(self.epoch, first) } else { Vec::new() };
        let result = file
            .append(&head)
            .and_then(|()| file.append(bytes))
            .and_then(|()| file.sync())
            .and_then(|()| if begin { self.fs.sync_dir(&self.dir) } else { Ok(()) });
        if let Err(e) = result {
            // Gives the space back; if this fails too, readers stop at the committed length, and skip doubled numbers.
            let _ = file.truncate(writer.len);
            writer.file = None;
            if begin {
                let _ = self.fs.remove(&self.dir.join(&writer.name));
            }
            return Err(e);
        }
        writer.len += (head.len() + bytes.len()) as u64;
        Ok(begin)
    }

    /// Reserves numbers for an appender that has none left.
    fn reserve(&self) -> io::Result<()> {
        let writer = self.writer();
        let enough = {
            let shared = self.shared();
            shared.next <= shared.reserved // another thread was faster
        };
        if enough { Ok(()) } else { self.extend(&writer) }
    }

    fn extend(&self, _held: &MutexGuard<'_, Writer>) -> io::Result<()> {
        let mut lines = self.shared_lines();
        let reserved = self.shared().reserved + RESERVE;
        if let Some(line) = lines.last_mut() {
            line.reserved = reserved;
        }
        let written = self.write_ledger(&mut lines);
        let mut shared = self.shared();
        match written {
            Ok(()) => {
                shared.reserved = reserved;
                if let Some(e) = shared.epochs.last_mut() {
                    e.line.reserved = reserved;
                }
                Ok(())
            }
            Err(e) => {
                shared.failed("reserving numbers", &e);
                Err(e)
            }
        }
    }
}
