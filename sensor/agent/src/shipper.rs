// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! From a finished event to the spool: through the release door, into an envelope, with a number, and into the release log.
//!
//! Must never append what the door did not give, and never lose an event without counting it. One at a time, behind a lock.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use lagewarte_base::{
    clock::Clock,
    id::{EventId, Uuid},
    time::Timestamp,
};
use lagewarte_event::{Class, Envelope, Message as _};
use lagewarte_spool::{Dropped, GapReason, Pair};
use lagewarte_uplink::priority;

use crate::{
    release::{Release, Released, Withheld},
    telemetry::Telemetry,
};

/// The way out of the sensor.
pub struct Shipper {
    /// The door.
    pub release: Release,
    /// Where released events go.
    pub spool: Pair,
    /// This sensor.
    pub sensor: Uuid,
    /// SHA-256 of the rule set in force; empty where no rules run.
    pub ruleset: Vec<u8>,
    /// The sensor's clock.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub telemetry: Arc<Telemetry>,
    /// The municipality's record of what left.
    pub log: Option<ReleaseLog>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    /// It is in the spool under this number.
    Spooled(u64),
    /// The profile keeps it, or it is none; counted.
    Kept,
    /// The spool refused it; counted, and a gap with its reason stands in its place.
    Refused(GapReason),
}

impl Shipper {
    /// Ships one EVE object that was read at `observed`; `ruleset` is the hash of the set that made it, where a rule did.
    pub fn ship(&mut self, class: Class, eve: &str, observed: Timestamp, ruleset: Option<&[u8; 32]>) -> Shipped {
        self.telemetry.produced(class);
        if !self.release.lets_out(class) {
            self.telemetry.dropped("release", "class"); // most events, and not worth reading
            return Shipped::Kept;
        }
        match self.admit(eve) {
            Some(released) => self.spool(&released, observed, ruleset),
            None => Shipped::Kept,
        }
    }

    /// Asks the door; what it keeps is counted.
    pub fn admit(&mut self, eve: &str) -> Option<Released> {
        match self.release.event(eve) {
            Ok(released) => Some(released),
            Err(withheld) => {
                if let Withheld::Key(e) = &withheld {
                    tracing::error!(error = %e, "an event was held back: its pseudonym key cannot be used");
                }
                self.telemetry.dropped("release", withheld.reason());
                None
            }
        }
    }

    /// Puts what the door gave into the spool.
    pub fn spool(&mut self, released: &Released, observed: Timestamp, ruleset: Option<&[u8; 32]>) -> Shipped {
        let envelope = |seq| {
            let envelope = Envelope {
                seq,
                class: released.class.into(),
                event_type: released.event_type.clone(),
                event_us: released.event.micros(),
                observed_us: observed.micros(),
                spooled_us: self.clock.now().micros(),
                ruleset: ruleset.map_or_else(|| self.ruleset.clone(), |set| set.to_vec()),
                constituent: released.constituent.to_string(),
                profile: self.release.profile_label().to_owned(),
                eve: released.eve.clone().into_bytes(),
            };
            envelope.encode_to_vec()
        };
        match self.spool.append(priority(released.class), envelope) {
            Ok((epoch, seq)) => {
                self.telemetry.released(released.class);
                let id = EventId { sensor: self.sensor, epoch, seq };
                if let Some((log, e)) =
                    self.log.as_mut().and_then(|log| log.write(id, released).err().map(|e| (log, e)))
                {
                    // One line for a lasting fault: the counter says how often.
                    if self.telemetry.release_log_errors() == 0 {
                        tracing::error!(file = %log.path.display(), error = %e, "the release log cannot be written; events go on leaving");
                    }
                    self.telemetry.release_log_error();
                }
                Shipped::Spooled(seq)
            }
            Err(Dropped(reason)) => {
                self.telemetry.dropped("spool", reason.name());
                Shipped::Refused(reason)
            }
        }
    }
}

/// NDJSON of everything handed to the spool: `{"id","class","constituent","eve"}`.
#[derive(Debug)]
pub struct ReleaseLog {
    path: PathBuf,
    file: File,
}

impl ReleaseLog {
    /// Opens it for appending; readable by its owner and group only.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Opens the file of this name again, after it was rotated away.
    ///
    /// # Errors
    /// The system's; the old file stays open then.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = Self::open(&self.path)?.file;
        Ok(())
    }

    fn write(&mut self, id: EventId, released: &Released) -> io::Result<()> {
        // The EVE object is put in as it is: it is JSON already. Id, class and constituent have no character to escape.
        let line = format!(
            "{{\"id\":\"{id}\",\"class\":\"{}\",\"constituent\":\"{}\",\"eve\":{}}}\n",
            released.class.name(),
            released.constituent,
            released.eve
        );
        self.file.write_all(line.as_bytes())
    }
}
