// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What an alert without a partner means: a difference, or that it could not be compared.
//!
//! It is no difference where the other side lost something in that time, or where theirs was silent: a Suricata that
//! stopped misses nothing that it could have seen. All of that is counted. Pure: told the time, touches no disk. Must never
//! count an alert twice or not at all.

use std::collections::{BTreeMap, BTreeSet};

use lagewarte_base::time::Timestamp;

use super::{
    cut::Job,
    day::{self, Day, Packets, Ring},
    window::{Alone, Pair, Side, Taken, Window},
};
use crate::{compare::Alert, telemetry::ShadowCounts};

/// Most files of packets a day. Threat: an engine that sees nothing any more, and a file for every flow.
pub const MAX_FILES: usize = 1000;
/// Most of them of one rule: one that differs on every flow leaves room for the others.
pub const MAX_FILES_OF_RULE: u32 = 20;
/// How long before the alert its flow is looked for where the alert does not say when the flow began.
const LOOK_BACK_US: i64 = 300_000_000;
/// Longest time between two looks at the clock that counts as having run: a host that slept did not.
const LONGEST_STEP_US: i64 = 60_000_000;

/// What is known of theirs.
#[derive(Clone, Copy, Debug)]
pub struct Theirs {
    /// When its last line was read.
    pub last_line: Timestamp,
    /// When it was last read to its end.
    pub read_to: Timestamp,
    /// Lines read so far.
    pub lines: u64,
}

/// The judge.
pub struct Judge {
    window: Window,
    grace_us: i64,
    ignored: BTreeSet<u32>,
    /// Today.
    pub day: Day,
    /// Yesterday, while its packets are still being cut out.
    pub before: Option<Day>,
    /// Since when there was something to compare with.
    started: Timestamp,
    last_tick: Timestamp,
    /// Up to where silence is counted.
    silent_to: Timestamp,
    /// Since when theirs is silent.
    pub silent_since: Option<Timestamp>,
    /// When a side last lost something.
    lost: [Option<Timestamp>; 2],
    lines: u64,
    ring: Ring,
    packets: [u64; 2],
    /// Files of packets asked for, by rule.
    asked: BTreeMap<u32, u32>,
    jobs: Vec<Job>,
    counts: ShadowCounts,
    /// Whether there is a difference or a silence that no report tells yet.
    pub news: bool,
    cuts: bool,
}

impl Judge {
    /// Begins at `now`, going on with `day`. `cuts`: whether packets are kept.
    pub fn new(day: Day, grace_us: i64, ignored: BTreeSet<u32>, cuts: bool, now: Timestamp) -> Self {
        let mut judge = Self {
            window: Window::new(grace_us),
            grace_us,
            ignored,
            day,
            before: None,
            started: now,
            last_tick: now,
            silent_to: now,
            silent_since: None,
            lost: [None; 2],
            lines: 0,
            ring: Ring::default(),
            packets: [0; 2],
            asked: BTreeMap::new(),
            jobs: Vec::new(),
            counts: ShadowCounts::default(),
            news: false,
            cuts,
        };
        for ((sid, _), open) in &judge.day.open {
            if matches!(open.packets, Packets::File { .. }) {
                *judge.asked.entry(*sid).or_default() += 1;
            }
        }
        judge
    }

    /// Counts since the start, for metrics.
    pub fn counts(&self) -> ShadowCounts {
        ShadowCounts { silent: self.silent_since.is_some(), ..self.counts.clone() }
    }

    /// Takes an alert.
    pub fn alert(&mut self, side: Side, alert: Alert, now: Timestamp) {
        self.day.side(side).came += 1;
        if self.ignored.contains(&alert.sid) {
            return self.not_compared(side, "ignored", 1);
        }
        // What theirs alerted on while nobody listened here.
        if side == Side::Theirs && alert.time.is_some_and(|t| t < self.started) {
            return self.not_compared(side, "before-start", 1);
        }
        let pair = (alert.sid, alert.flow.clone());
        if self.day.late(side, &pair) {
            self.counts.matched += 1;
            self.counts.late += 1;
            return;
        }
        match self.window.take(side, alert, now) {
            Taken::Matched => {
                self.day.matched(pair.0);
                self.counts.matched += 1;
            }
            Taken::Waits => {}
            Taken::Refused => {
                self.not_compared(side, "window-full", 1);
                self.lost[side.index()] = Some(now);
            }
        }
    }

    /// A side lost something: `alerts` of them where that is known.
    pub fn lost(&mut self, side: Side, reason: &str, alerts: u64, now: Timestamp) {
        self.lost[side.index()] = Some(now);
        *self.day.gaps.entry(reason.to_owned()).or_default() += alerts.max(1);
        if alerts > 0 {
            self.day.side(side).came += alerts;
            self.not_compared(side, reason, alerts);
        }
    }

    fn not_compared(&mut self, side: Side, reason: &str, n: u64) {
        self.day.side(side).not_compared(reason, n);
        self.counts.not_compared[side.index()] += n;
    }

    /// Looks at the clock: gives up who waited long enough, counts the time, begins a new day. Gives the day that is over.
    pub fn tick(&mut self, now: Timestamp, theirs: Theirs, ring: Ring) -> Option<Day> {
        self.day.lines += theirs.lines.saturating_sub(self.lines);
        self.lines = theirs.lines;
        self.day.ring.add(&ring, &self.ring);
        self.ring = ring;
        self.day.up_us += now.since(self.last_tick).clamp(0, LONGEST_STEP_US);
        self.last_tick = now;
        if now.since(theirs.last_line) > self.grace_us {
            let from = self.silent_to.max(theirs.last_line);
            self.day.silent_us = (self.day.silent_us + now.since(from).max(0)).min(self.day.up_us);
            self.silent_to = now;
            if self.silent_since.is_none() {
                self.silent_since = Some(theirs.last_line);
                self.day.silences += 1;
                self.news = true;
            }
        } else {
            self.silent_since = None;
        }
        while let Some(alone) = self.window.give_up(now, theirs.read_to) {
            self.judged(alone, theirs, now);
        }
        let today = day::of(now);
        // A clock that is set back does not begin a day anew.
        (today > self.day.day).then(|| self.next(today))
    }

    /// Packets that reached this sensor since its start, and those that it did not look at.
    pub fn packets(&mut self, seen: [u64; 2]) {
        for (day, (now, before)) in self.day.packets.iter_mut().zip(seen.iter().zip(self.packets)) {
            *day += now.saturating_sub(before);
        }
        self.packets = seen;
    }

    fn judged(&mut self, Alone { side, alert, came }: Alone, theirs: Theirs, now: Timestamp) {
        let lost = |s: Side| self.lost[s.index()].is_some_and(|l| l.since(came) >= -self.grace_us);
        let pair: Pair = (alert.sid, alert.flow.clone());
        if side == Side::Ours && theirs.last_line <= came {
            if !self.day.set_aside(&pair) {
                self.lost[Side::Ours.index()] = Some(now); // its partner may come yet
            }
            self.counts.not_compared[Side::Ours.index()] += 1;
            self.news = true;
            return;
        }
        let reason = match side {
            Side::Ours if lost(Side::Theirs) => Some("theirs-gap"),
            Side::Theirs if lost(Side::Ours) => Some("ours-gap"),
            _ => None,
        };
        if let Some(reason) = reason {
            return self.not_compared(side, reason, 1);
        }
        match self.day.differs(side, &pair) {
            None => self.not_compared(side, "too-many-differences", 1),
            Some(new) => {
                self.counts.differing[side.index()] += 1;
                self.news = true;
                if new {
                    self.want_packets(pair, &alert, came, now);
                }
            }
        }
    }

    fn want_packets(&mut self, pair: Pair, alert: &Alert, came: Timestamp, now: Timestamp) {
        let of_rule = self.asked.get(&pair.0).copied().unwrap_or(0);
        let all: u64 = self.asked.values().map(|n| u64::from(*n)).sum();
        let refused = [
            (!self.cuts, "no-ring"),
            (of_rule >= MAX_FILES_OF_RULE, "enough-of-this-rule"),
            (all >= MAX_FILES as u64, "enough-of-this-day"),
        ];
        if let Some((_, reason)) = refused.into_iter().find(|(refused, _)| *refused) {
            let today = self.day.day.clone();
            return self.cut(&today, &pair, Packets::None(reason.into()));
        }
        *self.asked.entry(pair.0).or_default() += 1;
        let at = alert.time.unwrap_or(came);
        let from = alert.since.unwrap_or_else(|| Timestamp::from_micros(at.micros().saturating_sub(LOOK_BACK_US)));
        self.jobs.push(Job { day: self.day.day.clone(), pair, from: from.min(at), to: now });
    }

    /// Cuttings to be made.
    pub fn jobs(&mut self) -> Vec<Job> {
        std::mem::take(&mut self.jobs)
    }

    /// What became of the packets of a difference.
    pub fn cut(&mut self, day: &str, pair: &Pair, packets: Packets) {
        let days = std::iter::once(&mut self.day).chain(self.before.as_mut());
        if let Some(open) = days.filter(|d| d.day == day).find_map(|d| d.open.get_mut(pair)) {
            open.packets = packets;
            self.news = true;
        }
    }

    /// The counts of those who wait, into today's.
    pub fn note_waiting(&mut self) {
        for (side, n) in self.day.sides.iter_mut().zip(self.window.waiting()) {
            side.waiting = n;
        }
    }

    fn next(&mut self, today: String) -> Day {
        self.note_waiting();
        let mut new = Day::new(today);
        for (new, old) in new.sides.iter_mut().zip(&self.day.sides) {
            new.carried = old.waiting;
        }
        self.asked.clear();
        let old = std::mem::replace(&mut self.day, new);
        self.before = (old.wanted() > 0).then(|| old.clone());
        old
    }

    /// The end: who still waits cannot be compared.
    pub fn end(&mut self) {
        while let Some(alone) = self.window.drain() {
            self.not_compared(alone.side, "ended", 1);
        }
        self.note_waiting();
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
