// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What one day of comparing came to: the counts, and the differences by rule and flow.
//!
//! For each side: carried + came = matched + differing + Σ not compared + waiting. Days are UTC. Must never hold more than
//! [`MAX_DIFFERENCES`] pairs of rule and flow, or [`MAX_RULES`] rules; what does not fit is counted.

use std::collections::BTreeMap;

use lagewarte_base::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::window::{Pair, Side};
use crate::compare::{Alerts, Comparison};

/// Most pairs of rule and flow that differ, of a day. Threat: an engine that sees nothing any more, and a table of every
/// flow. What comes beyond is not compared.
pub const MAX_DIFFERENCES: usize = 1 << 14;
/// Most rules that are told by their sid. Threat: a foreign file with four thousand million of them. Alerts of others that
/// are alike on both sides are counted without it.
pub const MAX_RULES: usize = 1 << 16;

/// Why alerts of ours are not compared while theirs writes nothing.
pub const SILENT: &str = "theirs-silent";

/// One side's alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Waited when the day began.
    pub carried: u64,
    /// Came on this day.
    pub came: u64,
    /// Have their partner on the other side.
    pub matched: u64,
    /// Have none.
    pub differing: u64,
    /// Could not be compared, and why.
    pub not_compared: BTreeMap<String, u64>,
    /// Wait for their partner.
    pub waiting: u64,
}

impl Tally {
    /// One more that is not compared.
    pub fn not_compared(&mut self, reason: &str, n: u64) {
        *self.not_compared.entry(reason.to_owned()).or_default() += n;
    }
    /// Whether every alert is accounted for.
    pub fn balances(&self) -> bool {
        let out = self.matched + self.differing + self.not_compared.values().sum::<u64>() + self.waiting;
        self.carried + self.came == out
    }
}

/// What became of a difference's packets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packets {
    /// They are being cut out.
    Wanted,
    /// There are none, and why.
    None(String),
    /// They lie in a file beside the report.
    File {
        /// Its name.
        file: String,
        /// How many.
        packets: u64,
        /// Whether all that were found are in it; else the first of them.
        whole: bool,
    },
}

/// A pair of rule and flow on which the sides differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Alerts without a partner: of ours, of theirs. One of both is 0.
    pub alone: [u64; 2],
    /// Its packets.
    pub packets: Packets,
}

/// A day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    /// `YYYY-MM-DD`, UTC.
    pub day: String,
    /// Ours and theirs.
    pub sides: [Tally; 2],
    /// Partners that met after the grace.
    pub late: u64,
    /// Pairs of alerts that matched, by rule.
    pub matched: BTreeMap<u32, u64>,
    /// The same of rules beyond [`MAX_RULES`].
    pub matched_others: u64,
    /// Differences.
    #[serde(with = "list")]
    pub open: BTreeMap<Pair, Open>,
    /// Alerts of ours that are not compared because theirs was silent, at most [`MAX_DIFFERENCES`] pairs: should it wake up
    /// and tell its part, they are partners after all.
    #[serde(default, with = "list")]
    pub aside: BTreeMap<Pair, u64>,
    /// Lines of theirs that were read.
    pub lines: u64,
    /// Lines of theirs that could not be read, and other losses, by reason.
    pub gaps: BTreeMap<String, u64>,
    /// How long the comparison ran, microseconds.
    pub up_us: i64,
    /// How long theirs wrote nothing meanwhile, microseconds.
    pub silent_us: i64,
    /// How often it fell silent.
    pub silences: u64,
    /// How often the sensor began anew in the middle of the day.
    pub restarts: u64,
    /// Packets in the ring.
    pub ring: Ring,
    /// Packets that reached this sensor, and those that it did not look at: dropped by the kernel, or shed.
    #[serde(default)]
    pub packets: [u64; 2],
}

/// Packets on their way to the ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Written.
    pub written: u64,
    /// Dropped: the disk was slower than the line.
    pub queue_full: u64,
    /// Dropped: the disk refused them.
    pub disk: u64,
    /// Left out: of another link type than the first one.
    pub link_type: u64,
    /// How far back the ring reaches now, microseconds.
    #[serde(default)]
    pub reach_us: i64,
}

impl Ring {
    /// Adds what was counted since `before`.
    pub fn add(&mut self, now: &Self, before: &Self) {
        self.written += now.written.saturating_sub(before.written);
        self.queue_full += now.queue_full.saturating_sub(before.queue_full);
        self.disk += now.disk.saturating_sub(before.disk);
        self.link_type += now.link_type.saturating_sub(before.link_type);
        self.reach_us = now.reach_us;
    }
}

/// The day of a time, `YYYY-MM-DD`, UTC.
pub fn of(time: Timestamp) -> String {
    time.eve().get(..10).unwrap_or_default().to_owned()
}

impl Day {
    /// An empty one.
    pub fn new(day: String) -> Self {
        Self { day, ..Self::default() }
    }

    /// One side's counts.
    pub const fn side(&mut self, side: Side) -> &mut Tally {
        &mut self.sides[side.index()]
    }

    /// Two partners met.
    pub fn matched(&mut self, sid: u32) {
        self.sides.iter_mut().for_each(|s| s.matched += 1);
        if self.matched.len() < MAX_RULES || self.matched.contains_key(&sid) {
            *self.matched.entry(sid).or_default() += 1;
        } else {
            self.matched_others += 1;
        }
    }

    /// Sets an alert of ours aside: theirs was silent. False where it cannot be remembered.
    pub fn set_aside(&mut self, pair: &Pair) -> bool {
        let room = self.aside.len() < MAX_DIFFERENCES || self.aside.contains_key(pair);
        if room {
            *self.aside.entry(pair.clone()).or_default() += 1;
        }
        self.side(Side::Ours).not_compared(SILENT, 1);
        room
    }

    /// Takes an alert whose partner was given up earlier on this day; false where there is none.
    pub fn late(&mut self, side: Side, pair: &Pair) -> bool {
        let other = side.other();
        if let Some(open) = self.open.get_mut(pair).filter(|o| o.alone[other.index()] > 0) {
            open.alone[other.index()] -= 1;
            self.side(other).differing -= 1;
        } else if side == Side::Theirs
            && let Some(n) = self.aside.get_mut(pair)
        {
            *n -= 1;
            if *n == 0 {
                self.aside.remove(pair);
            }
            let reasons = &mut self.side(Side::Ours).not_compared;
            if let Some(n) = reasons.get_mut(SILENT) {
                *n -= 1;
            }
            reasons.retain(|_, n| *n > 0);
        } else {
            return false;
        }
        self.late += 1;
        self.matched(pair.0);
        true
    }

    /// An alert has no partner. None where there is no room for its pair; else whether the pair is new.
    pub fn differs(&mut self, side: Side, pair: &Pair) -> Option<bool> {
        let new = !self.open.contains_key(pair);
        if new && self.open.len() >= MAX_DIFFERENCES {
            return None;
        }
        let open = self.open.entry(pair.clone()).or_insert_with(|| Open { alone: [0; 2], packets: Packets::Wanted });
        open.alone[side.index()] += 1;
        self.side(side).differing += 1;
        Some(new)
    }

    /// What [`crate::compare`] says of the alerts that were compared, with at most so many flows of a rule. The flows'
    /// numbers are of alerts without a partner.
    ///
    /// # Errors
    /// Never within this day's caps.
    pub fn comparison(&self, flows: usize) -> anyhow::Result<Comparison> {
        let mut sides = [Alerts::default(), Alerts::default()];
        for side in &mut sides {
            self.matched.iter().for_each(|(sid, n)| side.alike(*sid, *n));
            side.alerts += self.matched_others;
        }
        for ((sid, flow), open) in &self.open {
            for (side, n) in sides.iter_mut().zip(open.alone).filter(|(_, n)| *n > 0) {
                side.add(*sid, flow.clone(), n)?;
            }
        }
        let [ours, theirs] = &sides;
        Ok(Comparison::new(ours, theirs, flows))
    }

    /// Pairs whose packets are still being cut out.
    pub fn wanted(&self) -> usize {
        self.open.values().filter(|o| o.packets == Packets::Wanted).count()
    }

    /// Goes on after a restart: who waited then has lost what it waited for, and so have the packets.
    pub fn resumed(&mut self) {
        self.restarts += 1;
        for side in &mut self.sides {
            let waited = std::mem::take(&mut side.waiting);
            if waited > 0 {
                side.not_compared("restart", waited);
            }
        }
        for open in self.open.values_mut().filter(|o| o.packets == Packets::Wanted) {
            open.packets = Packets::None("restart".into());
        }
    }
}

/// A map whose keys are no texts, as a list.
mod list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Pair;

    pub(super) fn serialize<S: Serializer, V: Serialize>(map: &BTreeMap<Pair, V>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(map)
    }
    pub(super) fn deserialize<'d, D: Deserializer<'d>, V: Deserialize<'d>>(
        d: D,
    ) -> Result<BTreeMap<Pair, V>, D::Error> {
        Ok(Vec::<(Pair, V)>::deserialize(d)?.into_iter().collect())
    }
}
