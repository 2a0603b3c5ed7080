// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Opening: lock, ledger, what earlier lives left, a new epoch; and the clean end.
//!
//! Must never change a segment of an earlier life. Limits: reads each held segment once, one at a time.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    thread,
};

use lagewarte_base::{
    clock::Clock,
    fs::Fs,
    id::{Epoch, Uuid},
};

use crate::{
    EpochState, Inner, Options, Segment, Shared, Spool, State, Writer,
    format::{self, HEADER, Kind, parse_segment_name},
    ledger::{self, Line},
};

/// Largest file read while opening. Threat: a foreign file under a segment's name filling the memory.
const MAX_SEGMENT_READ: usize = 256 << 20;

/// Bytes of the file `ballast`, in whose place the ledger is written where the disk is full. Threat: a sensor that was killed
/// on a full disk cannot write its ledger, so it cannot start, so it never sends what fills the disk.
pub(crate) const BALLAST: usize = 64 << 10;

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds it.
    #[error(
        "the spool {0} is in use by another process; stop the other lagewarte-sensor, or give this one a state-dir of its own"
    )]
    Locked(PathBuf),
    /// The disk refuses.
    #[error(
        "the spool {dir} cannot be opened ({doing}): {source}; check that the directory is writable and the disk not full"
    )]
    Io {
        /// Where.
        dir: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// The options make no sense.
    #[error("the spool's {0}")]
    Options(&'static str),
}

impl Spool {
    /// Opens the spool in `dir`, creating it where it is missing, and begins a new epoch. Starts the committer thread.
    ///
    /// # Errors
    /// [`OpenError::Locked`] where another process holds it; [`OpenError::Io`] where the disk refuses.
    pub fn open(dir: &Path, options: Options, fs: Arc<dyn Fs>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let io = |doing| move |source| OpenError::Io { dir: dir.to_owned(), doing, source };
        if options.segment_bytes == 0 || options.quota_bytes < 2 * options.segment_bytes {
            return Err(OpenError::Options("quota must be at least twice its segment size, and neither may be 0"));
        }
        fs.ensure_dir(dir).map_err(io("creating the directory"))?;
        let lock = fs
            .lock(&dir.join("lock"))
            .map_err(io("taking the lock file"))?
            .ok_or_else(|| OpenError::Locked(dir.to_owned()))?;
        let held = load(fs.as_ref(), dir).map_err(io("reading what is held"))?;
        let counter = held.highest + 1;
        let (high, low) = Uuid::new_v4().as_u64_pair();
        // A v4 UUID has six fixed bits, in different places of its halves: the XOR is random in all of them.
        let epoch = Epoch { counter, nonce: high ^ low };
        let mut epochs = held.epochs;
        epochs.push(EpochState { line: Line { epoch, reserved: 0, acked: 0, end: None }, segments: VecDeque::new() });
        let used = epochs.iter().flat_map(|e| &e.segments).map(|s| s.len).sum();
        let budget = options.budget.clone();
        budget.take(used);
        let state_since_us = clock.now().micros();
        let inner = Arc::new(Inner {
            dir: dir.to_owned(),
            options,
            fs,
            clock,
            epoch,
            shared: Mutex::new(Shared {
                epochs,
                next: 1,
                reserved: 0,
                committed: 0,
                pending: Vec::new(),
                pending_first: 0,
                pending_records: 0,
                pending_begun_us: 0,
                gap: None,
                used,
                budget,
                state: State::Normal,
                state_since_us,
                entered: [0; 4],
                disk_failing: false,
                closed: false,
                appended: [0; 3],
                dropped: [0; 5],
                commits: 0,
                disk_errors: 0,
                last_error: None,
                on_commit: None,
            }),
            wake: Condvar::new(),
            writer: Mutex::new(Writer { file: None, name: String::new(), len: 0 }),
            _lock: lock,
        });
        inner.write_ledger(&mut inner.shared_lines()).map_err(io("writing the ledger"))?;
        inner.options.budget.join(&inner);
        let committer = if inner.options.committer {
            let inner = Arc::clone(&inner);
            let spawned = thread::Builder::new().name("spool-commit".into()).spawn(move || inner.commit_loop());
            Some(spawned.map_err(io("starting the committer thread"))?)
        } else {
            None
        };
        Ok(Self { inner, committer: Mutex::new(committer) })
    }

    /// Commits what waits, notes the clean end, and refuses everything after. Also done when the last owner drops it.
    pub fn close(&self) {
        {
            let mut shared = self.inner.shared();
            if shared.closed {
                return;
            }
            shared.closed = true;
        }
        self.inner.wake.notify_all();
        let thread = self.committer.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join(); // a panic there was already reported; closing goes on
        }
        self.inner.finish();
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.close();
    }
}

impl Inner {
    /// The lines of all epochs, the current one with what is reserved now.
    pub(crate) fn shared_lines(&self) -> Vec<Line> {
        let shared = self.shared();
        shared.epochs.iter().map(|e| e.line).collect()
    }

    /// Writes the ledger, on a full disk in the place of the ballast. The caller holds the writer's lock, or nobody else
    /// knows the spool yet: so nobody takes the ballast's room in between.
    pub(crate) fn write_ledger(&self, lines: &mut [Line]) -> io::Result<()> {
        let path = self.dir.join("ledger");
        let text = ledger::write(lines);
        let mut written = self.fs.replace(&path, text.as_bytes(), true);
        if written.is_err() && self.fs.remove(&self.dir.join("ballast")).is_ok() {
            written = self.fs.replace(&path, text.as_bytes(), true);
        }
        self.lay_ballast();
        written
    }

    /// Lays the ballast down where it is missing; where there is no room for it, the next ledger tries again.
    fn lay_ballast(&self) {
        let path = self.dir.join("ballast");
        if self.fs.size(&path).is_ok_and(|n| n == BALLAST as u64) {
            return;
        }
        let laid = self.fs.create(&path, true).and_then(|mut f| {
            f.append(&vec![0x5a; BALLAST])?;
            f.sync()
        });
        if laid.and_then(|()| self.fs.sync_dir(&self.dir)).is_err() {
            let _ = self.fs.remove(&path); // half of it helps nobody
        }
    }

    fn finish(&self) {
        let committed = self.commit();
        let _writer = self.writer();
        {
            let mut shared = self.shared();
            let end = shared.next - 1;
            // For later ledgers, too: another spool may yet ask for the room of what is acknowledged here.
            if let (Ok(()), Some(last)) = (committed, shared.epochs.last_mut()) {
                last.line.end = Some(end);
            }
        }
        let mut lines = self.shared_lines();
        if let Err(e) = self.write_ledger(&mut lines) {
            self.shared().failed("noting the clean end", &e);
        }
    }
}

struct Held {
    epochs: Vec<EpochState>,
    highest: u64,
}

fn load(fs: &dyn Fs, dir: &Path) -> io::Result<Held> {
    let names = fs.list(dir)?;
    let mut epochs: BTreeMap<Epoch, EpochState> = BTreeMap::new();
    let mut highest = 0;
    if names.iter().any(|n| n == "ledger") {
        let bytes = fs.read(&dir.join("ledger"), 0, 64 << 20)?;
        match String::from_utf8(bytes).ok().and_then(|t| ledger::parse(&t)) {
            Some(lines) => {
                for line in lines {
                    highest = highest.max(line.epoch.counter);
                    epochs.insert(line.epoch, EpochState { line, segments: VecDeque::new() });
                }
            }
            None => {
                tracing::warn!(dir = %dir.display(), "the spool's ledger is unreadable; rebuilt from the segments, the end of the last epoch is unknown")
            }
        }
    }
    let firsts: Vec<(Epoch, u64)> = names.iter().filter_map(|n| parse_segment_name(n)).collect();
    for name in names {
        let path = dir.join(&name);
        if Path::new(&name).extension().is_some_and(|e| e == "tmp") {
            let _ = fs.remove(&path); // left by a crash between create and rename; worthless
            continue;
        }
        let Some((epoch, first)) = parse_segment_name(&name) else { continue };
        highest = highest.max(epoch.counter);
        let bytes = match fs.read(&path, 0, MAX_SEGMENT_READ) {
            Ok(bytes) => bytes,
            Err(e) => {
                // One bad sector must not stop the sensor: the file stays, its numbers become a gap.
                tracing::warn!(path = %path.display(), error = %e, "a spool segment cannot be read; its numbers are reported as a gap");
                continue;
            }
        };
        let state = epochs.entry(epoch).or_insert_with(|| EpochState {
            line: Line { epoch, reserved: 0, acked: 0, end: None },
            segments: VecDeque::new(),
        });
        let limit = firsts.iter().find(|(e, f)| *e == epoch && *f > first).map_or(u64::MAX, |(_, next)| next - 1);
        let segment = scan(&bytes, name, first, limit);
        if segment.last < first || segment.last <= state.line.acked {
            // Nothing sound in it, or acknowledged and its removal did not survive a power cut.
            let _ = fs.remove(&path); // tried again at the next start
            continue;
        }
        state.segments.push_back(segment);
    }
    // An epoch that never gave out a number, or is all acknowledged, is done.
    let epochs: Vec<EpochState> =
        epochs.into_values().filter(|e| e.end() > e.line.acked || !e.segments.is_empty()).collect();
    Ok(Held { epochs, highest })
}

/// What is sound in a segment, up to number `limit`: behind it a later segment holds the same records again, because a
/// failed commit was repeated there, and what is left of the failed one must not be read.
fn scan(bytes: &[u8], name: String, first: u64, limit: u64) -> Segment {
    let mut pos = HEADER.min(bytes.len());
    let mut segment = Segment { name, last: first.saturating_sub(1), len: pos as u64, records: 0, begun_us: 0 };
    while let Some((entry, next)) = format::next_entry(bytes, pos, segment.last).filter(|(e, _)| e.last <= limit) {
        if segment.begun_us == 0 {
            segment.begun_us = entry.at_us;
        }
        segment.records += u64::from(matches!(entry.kind, Kind::Record(_)));
        segment.last = entry.last;
        pos = next;
        segment.len = pos as u64;
    }
    segment
}
