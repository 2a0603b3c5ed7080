// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Captures played as if they were a live line: their times moved, a past caught up at a chosen speed.
//!
//! The distances between packets stay as recorded, so that whatever counts by time counts as on the line; only the wall
//! time at which a packet of the past is handed out is nearer to its neighbour's. [`Played`] is the clock of such a line:
//! it runs at that speed until it meets the present. Several captures are merged by their packets' times. What was due before the process began is skipped, as a live line
//! would have been missed, and counted. Must never play a packet before it is due.

use std::{sync::Arc, time::Duration};

use lagewarte_base::{clock::Clock, time::Timestamp};
use lagewarte_capture::{CaptureFile, Error, Frame, Next, Source, Stats};

/// Longest wait before [`Next::Idle`]: how late a stop is noticed.
const WAIT: Duration = Duration::from_millis(50);

/// The clock of a played line: behind the present where the line begins in the past, and catching up.
pub struct Played {
    clock: Arc<dyn Clock>,
    /// Time of the line's first packet.
    start_at: Timestamp,
    /// Wall time at which playing begins.
    play_at: Timestamp,
    /// Wall time at which this clock was made: what was due earlier was missed.
    began: Timestamp,
    speed: f64,
}

impl Played {
    /// A line whose first packet has the time `start_at`, played from `play_at` on (both: now, where not given). While the
    /// line is behind `clock` it runs `speed` times as fast; a `speed` below 1 is slower than recorded all along.
    pub fn new(clock: Arc<dyn Clock>, speed: f64, start_at: Option<Timestamp>, play_at: Option<Timestamp>) -> Self {
        let began = clock.now();
        let play_at = play_at.or(start_at).unwrap_or(began);
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        Self { start_at: start_at.unwrap_or(play_at), play_at, began, speed, clock }
    }

    /// Wall time at which the line's time is `at`.
    fn due(&self, at: Timestamp) -> Timestamp {
        // A float's cast saturates: a hostile timestamp gives a far time, not a wrong one.
        let since = (at.since(self.start_at) as f64 / self.speed) as i64;
        at.max(Timestamp::from_micros(self.play_at.micros().saturating_add(since)))
    }
}

impl Clock for Played {
    fn now(&self) -> Timestamp {
        let wall = self.clock.now();
        let since = (wall.since(self.play_at) as f64 * self.speed) as i64;
        wall.min(Timestamp::from_micros(self.start_at.micros().saturating_add(since)))
    }
}

/// Captures being played.
pub struct Paced {
    files: Vec<Playing>,
    line: Arc<Played>,
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
    /// Plays `files` on `line`.
    ///
    /// # Errors
    ///
    /// Where a file's first packet cannot be read through its filter.
    pub fn new(files: Vec<CaptureFile>, line: Arc<Played>) -> Result<Self, Error> {
        let mut playing = Vec::with_capacity(files.len());
        for file in files {
            let mut p = Playing { file, frame: Vec::new(), held: None };
            p.advance()?;
            playing.push(p);
        }
        let first = playing.iter().filter_map(|p| p.held).map(|h| h.0).min();
        Ok(Self { files: playing, line, first, given: None, skipped: 0 })
    }

    /// Packets that were due before playing began.
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Where a packet's recorded time is on the played line.
    fn moved(&self, time: Timestamp) -> Timestamp {
        let since = time.since(self.first.unwrap_or(time));
        Timestamp::from_micros(self.line.start_at.micros().saturating_add(since))
    }
}

impl Source for Paced {
    fn next(&mut self) -> Result<Next<'_>, Error> {
        if let Some(given) = self.given.take() {
            self.files[given].advance()?; // given is a place in files
        }
        let (at, time, due) = loop {
            let earliest = self.files.iter().enumerate().filter_map(|(i, p)| Some((p.held?.0, i))).min();
            let Some((time, at)) = earliest else { return Ok(Next::End) };
            let time = self.moved(time);
            let due = self.line.due(time);
            if due >= self.line.began {
                break (at, time, due);
            }
            self.skipped += 1;
            self.files[at].advance()?;
        };
        let wait = due.since(self.line.clock.now());
        if wait > 0 {
            std::thread::sleep(WAIT.min(Duration::from_micros(wait.unsigned_abs())));
            if due > self.line.clock.now() {
                return Ok(Next::Idle);
            }
        }
        self.given = Some(at);
        let Playing { frame, held, .. } = &self.files[at];
        let (linktype, wire_len) = held.map_or((0, 0), |(_, l, w)| (l, w)); // held: it was the earliest
        Ok(Next::Frame(Frame { time, linktype, wire_len, data: frame }))
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

#[cfg(test)]
mod tests {
    use lagewarte_base::clock::ManualClock;

    use super::*;

    const fn at(s: i64) -> Timestamp {
        Timestamp::from_parts(s, 0)
    }

    #[test]
    fn a_line_from_the_past_catches_up_and_then_keeps_time() {
        let wall = Arc::new(ManualClock::new(at(10_000)));
        // An hour at 400 times the speed: nine seconds.
        let line = Played::new(Arc::clone(&wall) as Arc<dyn Clock>, 400.0, Some(at(6_400)), Some(at(10_000)));
        for (packet, due) in [(6_400, 10_000), (6_800, 10_001), (10_000, 10_009), (10_009, 10_009), (10_050, 10_050)] {
            assert_eq!(line.due(at(packet)).secs(), due, "{packet}");
        }
        for (now, shown) in [(10_000, 6_400), (10_001, 6_800), (10_009, 10_000), (10_010, 10_010), (11_000, 11_000)] {
            wall.set(at(now));
            assert_eq!(line.now().secs(), shown, "{now}");
        }
    }

    #[test]
    fn without_times_a_line_begins_now_and_a_hostile_time_does_not_panic() {
        let wall = Arc::new(ManualClock::new(at(50)));
        let line = Played::new(wall, f64::NAN, None, None);
        assert_eq!((line.start_at, line.play_at, line.began), (at(50), at(50), at(50)));
        for t in [i64::MIN, i64::MAX] {
            let _ = line.due(Timestamp::from_micros(t));
        }
    }
}
