// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The spool: a durable queue on the sensor's disk between the stage that makes events and the line that carries them.
//!
//! # Constraints
//! - An appended record is lost only by a crash before its commit (at most [`Options::commit_ms`] or
//!   [`Options::commit_bytes`] of them), and then its number is reported as a gap. Nothing disappears without a number.
//! - Only fsynced records are read. Nothing unacknowledged is deleted, not for quota and not for a full disk: what does not
//!   fit is refused when it comes, lower priorities first, and the refusal is itself a numbered gap.
//! - Power may go at any moment; bits may rot; fsync may fail; the disk may fill. None of these stops the sensor.
//! - Memory is bounded ([`MAX_PENDING`], and one segment for a reader), whatever the length of the queue.
//! - One process at a time: a lock file, and a clear error for the second.
//!
//! Design, with what each choice is for: `docs/spool.md`.
//!
//! # Layout
//! ```text
//! spool/lock                                  held while a process uses the spool
//! spool/ballast                               64 KiB, in whose place the ledger is written on a full disk
//! spool/ledger                                text: one line an epoch: reserved, acknowledged, cleanly ended at
//! spool/<epoch>-<nonce>-<first seq>.spool     segments, append-only, 4 MiB each
//! segment = "LWSPOOL1" epoch nonce first-seq crc32, then entries
//! entry   = C5 1A | kind u8 | length u32 | seq u64 | appended_us i64 | crc32 | payload        (big-endian)
//! kind    = 1..3 record by priority (payload: the caller's bytes), 16.. gap by reason (payload: last seq u64)
//! ```
//!
//! # Write
//! [`Spool::open`] counts up the epoch, joins a random nonce and fsyncs both before the first number is given out. Numbers
//! are reserved in the ledger in blocks of [`RESERVE`], so that after a crash the spool knows which ones it may have given
//! away. [`Spool::append`] encodes into memory; the committer thread writes and fsyncs what has gathered after 50 ms or
//! 256 KiB. After a failed write or fsync the segment is given up at its last good length (a second fsync of the same file
//! would lie) and the same records go to a new one.
//!
//! # Read and delete
//! [`Spool::read`] moves a [`Cursor`] through one epoch: records and gaps, every number from 1 to the end exactly once.
//! Epochs are read in order ([`Spool::epochs`]). [`Spool::acknowledge`] removes whole segments once all their numbers are
//! acknowledged; the ledger learns it first. After a restart a partly acknowledged segment is offered again: the receiver
//! says in its Welcome where to go on.
//!
//! # Recovery
//! Recovery is reading: nothing is repaired or truncated, because every start writes into a new epoch. An entry that fails
//! its checksum is skipped up to the next sound one: numbers missing between sound entries are a gap `corrupt`; numbers
//! behind the last sound entry, up to the reservation, a gap `crash`.
//!
//! # What it never does
//! Looks inside a record. Sends. Decides by wall clock. Holds a lock while it waits for the disk, except the disk's own.

mod append;
mod format;
mod ledger;
mod open;
mod pair;
mod read;
mod state;

pub mod audit;

use std::{
    collections::VecDeque,
    fmt,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use lagewarte_base::{
    clock::Clock,
    fs::{AppendFile, Fs},
    id::Epoch,
};

pub use crate::{
    format::MAX_RECORD,
    open::OpenError,
    pair::Pair,
    read::{Chunk, Cursor, Gap, Stored},
    state::{Budget, State},
};

/// Sequence numbers reserved at a time. One ledger write (two fsyncs) for each; a crash reports at most so many as a gap.
pub const RESERVE: u64 = 16_384;
/// Most bytes waiting for a commit. Threat: a full or hanging disk turning the spool into unbounded memory.
pub const MAX_PENDING: usize = 4 << 20;

/// What the quota decides by: alerts go last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    /// May use the whole quota.
    Alert = 1,
    /// The sensor's word about itself: 90 % of the quota.
    Health = 2,
    /// Everything else: 80 % of the quota.
    Bulk = 3,
}

impl Priority {
    /// All, in the order of their value.
    pub const ALL: [Self; 3] = [Self::Alert, Self::Health, Self::Bulk];

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|p| *p as u8 == code)
    }
    /// Bytes of `quota` that records of this priority may fill.
    fn limit(self, quota: u64) -> u64 {
        match self {
            Self::Alert => quota,
            Self::Health => quota / 10 * 9,
            Self::Bulk => quota / 10 * 8,
        }
    }
}

/// Why numbers have no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum GapReason {
    /// Given out but not committed when the process or the power ended, or never given out.
    Crash = 0,
    /// Refused: the quota of its priority was used up.
    Quota = 1,
    /// Refused: the disk could not be written (full, failing).
    Disk = 2,
    /// Refused: larger than [`MAX_RECORD`].
    Size = 3,
    /// Written, but unreadable later.
    Corrupt = 4,
}

impl GapReason {
    /// All, in the order of their value.
    pub const ALL: [Self; 5] = [Self::Crash, Self::Quota, Self::Disk, Self::Size, Self::Corrupt];

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|r| *r as u8 == code)
    }
    /// The word on the wire and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Quota => "quota",
            Self::Disk => "disk",
            Self::Size => "size",
            Self::Corrupt => "corrupt",
        }
    }
}

/// An append was refused; it is counted, and wherever a number was left it is a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the spool refused the record: {}", .0.name())]
pub struct Dropped(pub GapReason);

/// How the spool behaves. The defaults suit a gateway.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes on disk, all segments together. Default 1 GiB: about two million alerts.
    pub quota_bytes: u64,
    /// What counts against the quota. Spools that share one share the quota. Default: one of its own.
    pub budget: Budget,
    /// A segment is closed at this size. Default 4 MiB.
    pub segment_bytes: u64,
    /// Longest wait of a record for its fsync, milliseconds. Default 50.
    pub commit_ms: u64,
    /// Commit earlier at this many waiting bytes. Default 256 KiB.
    pub commit_bytes: usize,
    /// Run the committer thread. Tests that commit by hand switch it off.
    pub committer: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            quota_bytes: 1 << 30,
            budget: Budget::default(),
            segment_bytes: 4 << 20,
            commit_ms: 50,
            commit_bytes: 256 << 10,
            committer: true,
        }
    }
}

/// What the spool says of itself, for stats events and metrics.
#[derive(Clone, Debug)]
pub struct Status {
    /// How full.
    pub state: State,
    /// Since when, sensor's clock, microseconds.
    pub state_since_us: i64,
    /// How often each state was entered since the start (order of [`State::ALL`]).
    pub entered: [u64; 4],
    /// Committed records not yet acknowledged (gaps not counted).
    pub records: u64,
    /// Bytes of all segments and of what waits for its commit.
    pub bytes: u64,
    /// When the oldest held segment was begun, sensor's clock, microseconds; None where nothing is held.
    pub oldest_us: Option<i64>,
    /// Records accepted since the start, by priority (order of [`Priority::ALL`]).
    pub appended: [u64; 3],
    /// Refused since the start, by reason (order of [`GapReason::ALL`]).
    pub dropped: [u64; 5],
    /// Last number that is fsynced in the current epoch.
    pub committed_seq: u64,
    /// Group commits that succeeded since the start.
    pub commits: u64,
    /// Group commits, reservations and deletions that failed since the start.
    pub disk_errors: u64,
    /// The last of these errors.
    pub last_error: Option<String>,
}

/// One segment on disk, as far as it is committed.
#[derive(Clone, Debug)]
struct Segment {
    name: String,
    last: u64,
    len: u64,
    records: u64,
    begun_us: i64,
}

/// One epoch that still holds something; the current one is the last of all.
#[derive(Clone, Debug)]
struct EpochState {
    line: ledger::Line,
    segments: VecDeque<Segment>,
}

impl EpochState {
    /// The last number of a finished epoch.
    fn end(&self) -> u64 {
        let written = self.segments.back().map_or(0, |s| s.last);
        self.line.end.unwrap_or(self.line.reserved).max(written)
    }
}

struct OpenGap {
    reason: GapReason,
    from: u64,
    to: u64,
}

/// Everything in memory; never locked during I/O.
struct Shared {
    epochs: Vec<EpochState>,
    next: u64,
    reserved: u64,
    committed: u64,
    pending: Vec<u8>,
    pending_first: u64,
    pending_records: u64,
    pending_begun_us: i64,
    gap: Option<OpenGap>,
    used: u64,
    budget: Budget,
    state: State,
    state_since_us: i64,
    entered: [u64; 4],
    disk_failing: bool,
    closed: bool,
    appended: [u64; 3],
    dropped: [u64; 5],
    commits: u64,
    disk_errors: u64,
    last_error: Option<String>,
    on_commit: Option<Box<dyn Fn() + Send + Sync>>,
}

/// The disk's side; held during I/O. Taken before [`Shared`], never after.
struct Writer {
    file: Option<Box<dyn AppendFile>>,
    name: String,
    len: u64,
}

struct Inner {
    dir: PathBuf,
    options: Options,
    fs: Arc<dyn Fs>,
    clock: Arc<dyn Clock>,
    epoch: Epoch,
    shared: Mutex<Shared>,
    wake: Condvar,
    writer: Mutex<Writer>,
    _lock: Box<dyn Send + Sync>,
}

/// The spool. Cheap to share behind an `Arc`; all methods take `&self`.
pub struct Spool {
    inner: Arc<Inner>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl Spool {
    /// This life's epoch.
    pub fn epoch(&self) -> Epoch {
        self.inner.epoch
    }

    /// Whether a record of this priority would be taken now. For sources that can wait (a file being tailed).
    pub fn has_room(&self, priority: Priority) -> bool {
        let shared = self.inner.shared();
        !shared.closed && !shared.disk_failing && shared.budget.used() < priority.limit(self.inner.options.quota_bytes)
    }

    /// The last number of the current epoch that is fsynced; 0 where none is.
    pub fn committed(&self) -> u64 {
        self.inner.shared().committed
    }

    /// Calls `hook` after each commit, from the committing thread; it must not block. Replaces an earlier hook.
    pub fn on_commit(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.inner.shared().on_commit = Some(Box::new(hook));
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        let mut shared = self.inner.shared();
        self.inner.step(&mut shared);
        let held = shared.epochs.iter().flat_map(|e| e.segments.iter().map(move |s| (e.line.acked, s)));
        let held = held.filter(|(acked, s)| s.last > *acked);
        let records = held.clone().map(|(acked, s)| s.records.min(s.last - acked)).sum();
        let oldest_us = held.map(|(_, s)| s.begun_us).next();
        Status {
            state: shared.state,
            state_since_us: shared.state_since_us,
            entered: shared.entered,
            records,
            bytes: shared.used,
            oldest_us,
            appended: shared.appended,
            dropped: shared.dropped,
            committed_seq: shared.committed,
            commits: shared.commits,
            disk_errors: shared.disk_errors,
            last_error: shared.last_error.clone(),
        }
    }
}

impl Shared {
    fn take(&mut self, bytes: u64) {
        self.used += bytes;
        self.budget.take(bytes);
    }
    fn free(&mut self, bytes: u64) {
        let bytes = bytes.min(self.used);
        self.used -= bytes;
        self.budget.free(bytes);
    }

    fn failed(&mut self, doing: &str, e: &std::io::Error) {
        self.disk_errors += 1;
        let text = format!("{doing}: {e}");
        // One line for a lasting fault, not one for each attempt.
        if self.last_error.as_ref() != Some(&text) {
            tracing::warn!(error = %text, "spool cannot use its disk; held records are safe, new ones may be refused");
        }
        self.last_error = Some(text);
    }
}

impl Inner {
    /// Moves the state on, after anything that may change it.
    fn step(&self, shared: &mut Shared) {
        let next = shared.state.next(shared.budget.used(), self.options.quota_bytes, shared.disk_failing);
        if next == shared.state {
            return;
        }
        let worse = next > shared.state;
        let (from, to, used) = (shared.state.name(), next.name(), shared.budget.used());
        if worse {
            tracing::warn!(from, to, used, quota = self.options.quota_bytes, "spool state");
        } else {
            tracing::info!(from, to, used, quota = self.options.quota_bytes, "spool state");
        }
        shared.state = next;
        shared.state_since_us = self.clock.now().micros();
        if let Some(n) = State::ALL.iter().position(|s| *s == next).and_then(|i| shared.entered.get_mut(i)) {
            *n += 1;
        }
    }
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("dir", &self.inner.dir).field("epoch", &self.inner.epoch).finish_non_exhaustive()
    }
}
