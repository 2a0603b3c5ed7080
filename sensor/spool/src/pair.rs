// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The two spools of a sensor: what is urgent (alerts, health) and bulk, so that bulk that has to wait for its hours never
//! stands in front of an alert. Each has its own numbers and epochs; both share one quota, in which alerts go last.
//!
//! Must never put an alert into bulk. `DIR` holds the urgent one, `DIR/bulk` the other.

use std::{io, path::Path, sync::Arc};

use lagewarte_base::{clock::Clock, fs::Fs, id::Epoch};

use crate::{Budget, Dropped, OpenError, Options, Priority, Spool, Status};

/// Two spools under one quota. Clones share them.
#[derive(Clone, Debug)]
pub struct Pair {
    urgent: Arc<Spool>,
    bulk: Arc<Spool>,
}

impl Pair {
    /// Opens both; `options.budget` is set here.
    ///
    /// # Errors
    /// As [`Spool::open`].
    pub fn open(dir: &Path, options: Options, fs: Arc<dyn Fs>, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let options = Options { budget: Budget::default(), ..options };
        let urgent = Spool::open(dir, options.clone(), Arc::clone(&fs), Arc::clone(&clock))?;
        let bulk = Spool::open(&dir.join("bulk"), options, fs, clock)?;
        Ok(Self { urgent: Arc::new(urgent), bulk: Arc::new(bulk) })
    }

    /// The spool of alerts and health.
    pub fn urgent(&self) -> &Arc<Spool> {
        &self.urgent
    }
    /// The spool of everything else.
    pub fn bulk(&self) -> &Arc<Spool> {
        &self.bulk
    }
    /// Both.
    pub fn both(&self) -> [&Arc<Spool>; 2] {
        [&self.urgent, &self.bulk]
    }
    /// The one for this priority.
    pub fn of(&self, priority: Priority) -> &Arc<Spool> {
        match priority {
            Priority::Alert | Priority::Health => &self.urgent,
            Priority::Bulk => &self.bulk,
        }
    }

    /// Appends to the spool of this priority; the record's epoch and number.
    ///
    /// # Errors
    /// As [`Spool::append`].
    pub fn append(&self, priority: Priority, make: impl FnOnce(u64) -> Vec<u8>) -> Result<(Epoch, u64), Dropped> {
        let spool = self.of(priority);
        spool.append(priority, make).map(|seq| (spool.epoch(), seq))
    }
    /// Whether a record of this priority would be taken now.
    pub fn has_room(&self, priority: Priority) -> bool {
        self.of(priority).has_room(priority)
    }
    /// Commits both.
    ///
    /// # Errors
    /// The first that the disk refuses; the other is committed all the same.
    pub fn commit(&self) -> io::Result<()> {
        let urgent = self.urgent.commit();
        self.bulk.commit().and(urgent)
    }
    /// Closes both.
    pub fn close(&self) {
        self.urgent.close();
        self.bulk.close();
    }

    /// How both stand together: sums, the worse state, the older record. `committed_seq` is the urgent one's.
    pub fn status(&self) -> Status {
        let (u, b) = (self.urgent.status(), self.bulk.status());
        let sum = |a: u64, b: u64| a + b;
        Status {
            state: u.state.max(b.state),
            state_since_us: if b.state > u.state { b.state_since_us } else { u.state_since_us },
            entered: std::array::from_fn(|i| u.entered[i].max(b.entered[i])), // both see the same quota
            records: u.records + b.records,
            bytes: u.bytes + b.bytes,
            oldest_us: u.oldest_us.into_iter().chain(b.oldest_us).min(),
            appended: std::array::from_fn(|i| sum(u.appended[i], b.appended[i])), // same lengths
            dropped: std::array::from_fn(|i| sum(u.dropped[i], b.dropped[i])),
            committed_seq: u.committed_seq,
            commits: u.commits + b.commits,
            disk_errors: u.disk_errors + b.disk_errors,
            last_error: u.last_error.or(b.last_error),
        }
    }
}
