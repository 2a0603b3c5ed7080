// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `tail`: ships what an existing Suricata writes, through the same door and the same spool as our own events.
//!
//! # What is promised
//! - A line is shipped when it is whole. The place in the file is kept (`tail-<hash>.json` in the state directory, fsync and
//!   rename) only after the spool has made its record durable, so that a crash loses nothing.
//! - After a crash the lines between the kept place and the crash are read again. Those whose records the spool still
//!   holds are recognised by their released content and not shipped a second time. A line is shipped twice only where
//!   its record was already acknowledged and deleted before the place was kept (the spool deletes whole segments only,
//!   and never the one that is being written), or where profile, assignment or keys were changed in between.
//! - Rotation by rename: the old file is read to its end, then the new one, and, after a pause, whatever was rotated
//!   meanwhile. Truncation (`copytruncate`): reading begins anew; lines written between the last read and the copy are
//!   lost to us, as that way of rotating loses them. Compressed files are not read.
//! - Where the spool has no room, reading waits; the file holds the events.
//!
//! Must never move on past a line that is neither in the spool nor counted.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use lagewarte_base::{
    fs::{Fs as _, RealFs},
    id::Epoch,
};
use lagewarte_event::{Class, Envelope, Message as _};
use lagewarte_spool::{Cursor, GapReason, Pair, Priority, Spool};
use lagewarte_uplink::priority;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::{release::Released, shipper::Shipped, station::Station};

pub mod follow;
pub mod lines;

use follow::{Follow, PAUSE, Taker};
use lines::Place;

/// The place is kept after so many lines at the latest: bounds what is read again after a crash.
pub const LINES_A_STEP: usize = 1000;
/// Most records looked at after a crash. More than a step can leave; the rest would be shipped again.
pub const MAX_RECOVERED: usize = 4 * LINES_A_STEP;

/// Released content of records that each spool took after the place was last kept, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    urgent: VecDeque<Vec<u8>>,
    bulk: VecDeque<Vec<u8>>,
}

impl Recovered {
    /// Those of one priority's spool.
    fn of(&mut self, priority: Priority) -> &mut VecDeque<Vec<u8>> {
        match priority {
            Priority::Alert | Priority::Health => &mut self.urgent,
            Priority::Bulk => &mut self.bulk,
        }
    }
}

/// What is kept on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    file: PathBuf,
    place: Place,
    /// The urgent spool's last number when the place was kept.
    epoch: Epoch,
    seq: u64,
    /// The same of bulk. Missing in files of the time when there was one spool.
    #[serde(default)]
    bulk: Option<(Epoch, u64)>,
}

/// The place of one file, kept in the state directory.
pub struct Position {
    path: PathBuf,
    file: PathBuf,
    kept: Option<Kept>,
}

impl Position {
    /// Reads the kept place of `file`.
    ///
    /// # Errors
    /// Where there is one that cannot be read.
    pub fn load(state_dir: &Path, file: &Path) -> anyhow::Result<Self> {
        let hash = digest::digest(&digest::SHA256, file.as_os_str().as_encoded_bytes());
        let path = state_dir.join(format!("tail-{}.json", hex::encode(&hash.as_ref()[..8])));
        let kept = match RealFs.read(&path, 0, 64 << 10) {
            Ok(bytes) => Some(serde_json::from_slice(&bytes).with_context(|| {
                format!("{} is damaged: remove it to begin anew (events may then be sent twice)", path.display())
            })?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        };
        Ok(Self { path, file: file.to_owned(), kept })
    }

    fn keep(&mut self, place: Place, urgent: (Epoch, u64), bulk: (Epoch, u64)) -> io::Result<()> {
        let kept = Kept { file: self.file.clone(), place, epoch: urgent.0, seq: urgent.1, bulk: Some(bulk) };
        let text = serde_json::to_string_pretty(&kept).unwrap_or_default(); // plain fields cannot fail
        RealFs.replace(&self.path, text.as_bytes(), false)?;
        self.kept = Some(kept);
        Ok(())
    }

    /// What the spool took after the place was kept: the released content of lines that will be read again. Called before
    /// the uplink starts, so that nothing of it is acknowledged meanwhile.
    ///
    /// # Errors
    /// Where the spool cannot be read.
    pub fn recovered(&self, spools: &Pair) -> io::Result<Recovered> {
        let Some(kept) = &self.kept else { return Ok(Recovered::default()) };
        // Without a word about bulk, it was not there yet: all of it came later.
        let bulk = kept.bulk.unwrap_or((Epoch { counter: 0, nonce: 0 }, 0));
        Ok(Recovered {
            urgent: Self::behind(spools.urgent(), kept.epoch, kept.seq)?,
            bulk: Self::behind(spools.bulk(), bulk.0, bulk.1)?,
        })
    }

    fn behind(spool: &Spool, kept: Epoch, seq: u64) -> io::Result<VecDeque<Vec<u8>>> {
        let mut found = VecDeque::new();
        // Later epochs too: a `run` on the same state directory, or a tail that crashed before its first step.
        for epoch in spool.epochs().into_iter().filter(|e| e.counter >= kept.counter && *e != spool.epoch()) {
            let mut cursor = Cursor::new(epoch, if epoch == kept { seq } else { 0 });
            loop {
                let chunk = spool.read(&mut cursor, 1 << 20, LINES_A_STEP)?;
                if chunk.is_empty() || found.len() >= MAX_RECOVERED {
                    break;
                }
                let envelopes = chunk.records.iter().filter_map(|r| Envelope::decode(r.data.as_slice()).ok());
                found.extend(envelopes.map(|e| e.eve));
            }
        }
        found.truncate(MAX_RECOVERED);
        Ok(found)
    }
}

/// A running tail.
pub struct Tail<'s> {
    follow: Follow<'s>,
    out: Out<'s>,
}

/// Ships what is read, and keeps the place.
struct Out<'s> {
    station: &'s Station,
    position: Position,
    recovered: Recovered,
}

impl<'s> Tail<'s> {
    /// Goes on where the kept place says, or begins at the start or the end of the file.
    ///
    /// # Errors
    /// Where the file's directory cannot be read.
    pub fn new(station: &'s Station, position: Position, recovered: Recovered, from_end: bool) -> anyhow::Result<Self> {
        let kept = position.kept.as_ref().map(|k| &k.place);
        let (follow, found) = Follow::new(&position.file, kept, from_end, station.stop())?;
        if !found {
            station.telemetry().dropped("tail", "rotated-away");
            tracing::warn!(file = %position.file.display(), "the file that was read last is gone; what stood in it unread is lost");
        }
        Ok(Self { follow, out: Out { station, position, recovered } })
    }

    /// Reads until the station is asked to stop, or, with `once`, until the end of what stands there. Then everything
    /// shipped is durable and its place kept.
    ///
    /// # Errors
    /// Where a file cannot be read or the place cannot be kept.
    pub fn run(&mut self, once: bool) -> anyhow::Result<()> {
        self.follow.run(&mut self.out, once)
    }
}

impl Taker for Out<'_> {
    fn begun(&mut self, place: &Place) -> anyhow::Result<()> {
        if self.position.kept.is_none() {
            self.keep(place.clone())?; // so that a crash before the first step is recognised too
        }
        Ok(())
    }

    fn lost(&mut self, reason: &'static str) {
        self.station.telemetry().dropped("tail", reason);
    }

    fn reached(&mut self, place: &Place) -> anyhow::Result<()> {
        self.keep(place.clone())
    }

    /// Ships one line; false where the station was asked to stop before there was room.
    fn line(&mut self, line: &[u8]) -> bool {
        let station = self.station;
        let Ok(text) = std::str::from_utf8(line) else {
            station.telemetry().dropped("tail", "not-utf8");
            return true;
        };
        if text.trim().is_empty() {
            return true;
        }
        let observed = station.clock().now();
        let released = {
            let mut shipper = station.shipper();
            station.telemetry().produced(class_of(text));
            shipper.admit(text)
        };
        let Some(released) = released else { return true };
        if self.held_already(&released) {
            station.telemetry().dropped("tail", "already-spooled");
            return true;
        }
        loop {
            while !station.spool().has_room(priority(released.class)) {
                if station.stop().wait(PAUSE) {
                    return false;
                }
            }
            match station.shipper().spool(&released, observed, None) {
                Shipped::Refused(GapReason::Size) | Shipped::Spooled(_) | Shipped::Kept => return true,
                Shipped::Refused(_) => {
                    if station.stop().wait(PAUSE) {
                        return false;
                    }
                }
            }
        }
    }
}

impl Out<'_> {
    /// Whether the spool took this line's record before a crash.
    fn held_already(&mut self, released: &Released) -> bool {
        let recovered = self.recovered.of(priority(released.class));
        match recovered.iter().position(|eve| eve == released.eve.as_bytes()) {
            Some(at) => _ = recovered.drain(..=at),
            None => return false,
        }
        true
    }

    fn keep(&mut self, place: Place) -> anyhow::Result<()> {
        let spool = self.station.spool();
        // A disk that refuses is waited for: the records are in memory and the place is not moved on.
        while let Err(e) = spool.commit() {
            tracing::warn!(error = %e, "the spool cannot be made durable; waiting");
            if self.station.stop().wait(Duration::from_secs(1)) {
                return Ok(());
            }
        }
        let [urgent, bulk] = spool.both().map(|s| (s.epoch(), s.committed()));
        self.position.keep(place, urgent, bulk).map_err(|e| {
            anyhow!("cannot keep the place in {}: {}: {e}. Make room or rights in the state directory; nothing is lost, at the next start reading goes on at the last kept place", self.position.file.display(), self.position.path.display())
        })
    }
}

/// The class for the count of what came, before the door has looked.
fn class_of(text: &str) -> Class {
    #[derive(Deserialize)]
    struct Type {
        event_type: String,
    }
    serde_json::from_str::<Type>(text).map_or(Class::Unspecified, |t| Class::of(&t.event_type))
}
