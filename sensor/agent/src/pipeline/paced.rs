// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Captures played as if they were a live line: times moved to the present, at a chosen speed.
//!
//! Several captures are merged by their packets' times. What was due before the process began is skipped, as a live line
//! would have been missed, and counted. Must never play a packet before it is due.

use std::{sync::Arc, time::Duration};

use lagewarte_base::{clock::Clock, time::Timestamp};
use lagewarte_capture::{CaptureFile, Error, Frame, Next, Source, Stats};

/// Longest wait before [`Next::Idle`]: how late a stop is noticed.
const WAIT: Duration = Duration::from_millis(50);

/// Captures being played.
pub struct Paced {
    files: Vec<Playing>,
    clock: Arc<dyn Clock>,
    /// When the first packet is due.
    start_at: Timestamp,
    /// When playing began: earlier packets are skipped.
    began: Timestamp,
    speed: f64,
    first: Option<Timestamp>,
    /// The file whose frame was given last.
    given: Option<usize>,
    skipped: u64,
}

struct Playing {
    file: CaptureFile,
    frame: Vec<u8>,
    /// Time, link type and length of the frame held; None where the file has ended.
    held: Option<(Timestamp, u16, u32)>,
}

impl Playing {
    fn advance(&mut self) -> Result<(), Error> {
        self.held = match self.file.next()? {
            Next::Frame(f) => {
                self.frame.clear();
                self.frame.extend_from_slice(f.data);
                Some((f.time, f.linktype, f.wire_len))
            }
            Next::Idle | Next::End => None,
        };
        Ok(())
    }
}

impl Paced {
    /// Plays `files` at `speed` (1 is as recorded) so that the first packet is due at `start_at`, or now.
    ///
    /// # Errors
    ///
    /// Where a file's first packet cannot be read through its filter.
    pub fn new(
        files: Vec<CaptureFile>,
        clock: Arc<dyn Clock>,
        speed: f64,
        start_at: Option<Timestamp>,
    ) -> Result<Self, Error> {
        let began = clock.now();
        let mut playing = Vec::with_capacity(files.len());
        for file in files {
            let mut p = Playing { file, frame: Vec::new(), held: None };
            p.advance()?;
            playing.push(p);
        }
        let first = playing.iter().filter_map(|p| p.held).map(|h| h.0).min();
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        let start_at = start_at.unwrap_or(began);
        Ok(Self { files: playing, clock, start_at, began, speed, first, given: None, skipped: 0 })
    }

    /// Packets that were due before playing began.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    fn due(&self, time: Timestamp) -> Timestamp {
        let since = time.since(self.first.unwrap_or(time)) as f64 / self.speed;
        // A float's cast saturates: a hostile timestamp gives a far time, not a wrong one.
        Timestamp::from_micros(self.start_at.micros().saturating_add(since as i64))
    }
}

impl Source for Paced {
    fn next(&mut self) -> Result<Next<'_>, Error> {
        if let Some(given) = self.given.take() {
            self.files[given].advance()?; // given is a place in files
        }
        let (at, due) = loop {
            let earliest = self.files.iter().enumerate().filter_map(|(i, p)| Some((p.held?.0, i))).min();
            let Some((time, at)) = earliest else { return Ok(Next::End) };
            let due = self.due(time);
            if due >= self.began {
                break (at, due);
            }
            self.skipped += 1;
            self.files[at].advance()?;
        };
        let wait = due.since(self.clock.now());
        if wait > 0 {
            std::thread::sleep(WAIT.min(Duration::from_micros(wait.unsigned_abs())));
            if due > self.clock.now() {
                return Ok(Next::Idle);
            }
        }
        self.given = Some(at);
        let Playing { frame, held, .. } = &self.files[at];
        let (linktype, wire_len) = held.map_or((0, 0), |(_, l, w)| (l, w)); // held: it was the earliest
        Ok(Next::Frame(Frame { time: due, linktype, wire_len, data: frame }))
    }

    fn stats(&mut self) -> Stats {
        let mut all = Stats::default();
        for p in &mut self.files {
            let s = p.file.stats();
            all.received += s.received;
            all.filtered += s.filtered;
            all.damage = all.damage.or(s.damage);
        }
        all.filtered += self.skipped;
        all
    }
}
