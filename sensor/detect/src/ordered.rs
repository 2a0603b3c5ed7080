// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The ordered stage: `threshold`, `detection_filter` and `packet-alert-max`, over all workers' matches in the order of
//! packets, on packet time, so that the result is a single worker's.
//!
//! Must never hold more than [`MAX_TRACKED`] counts. Where the table is full the oldest count is forgotten: its key starts
//! again, which can only report too much with `limit` and `both`, and too little with `threshold` and `detection_filter`;
//! how often that happened is counted.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use lagewarte_base::time::Timestamp;
use lagewarte_event::eve::Record;
use lagewarte_rules::ast::{Threshold, ThresholdKind, Track};

use crate::alert::Candidate;

/// Most counts held. Threat: a scan from (or to) millions of addresses against a rule that counts by address.
pub const MAX_TRACKED: usize = 1 << 20;

/// The ordered stage.
#[derive(Debug)]
pub struct Ordered {
    counts: HashMap<Key, Count>,
    /// Keys by age, for forgetting.
    queue: VecDeque<Key>,
    most: usize,
    packet: (u64, Option<i64>),
    reported: u16,
    /// What happened so far.
    pub counters: OrderedCounters,
}

/// What the ordered stage did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderedCounters {
    /// Alerts reported: EVE `stats.detect.alert`.
    pub alert: u64,
    /// Matches that a threshold kept back: `stats.detect.alerts_suppressed`.
    pub suppressed: u64,
    /// Alerts over `packet-alert-max`: `stats.detect.alert_queue_overflow`.
    pub overflow: u64,
    /// Counts forgotten since the table was full.
    pub forgotten: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    gid: u32,
    sid: u32,
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    Rule,
    Host(IpAddr),
    Pair(IpAddr, IpAddr),
    Flow(i64),
}

#[derive(Clone, Copy, Debug)]
struct Count {
    start: Timestamp,
    seconds: u32,
    n: u32,
    /// Backoff: the count that reports next.
    next: u64,
}

impl Default for Ordered {
    fn default() -> Self {
        Self::with_capacity(MAX_TRACKED)
    }
}

impl Ordered {
    /// Holding at most `most` counts.
    pub fn with_capacity(most: usize) -> Self {
        Self {
            counts: HashMap::new(),
            queue: VecDeque::new(),
            most: most.max(1),
            packet: (0, None),
            reported: 0,
            counters: OrderedCounters::default(),
        }
    }

    /// Takes a match, in the order of packets and of evaluation within a packet; the alert, if it is one.
    pub fn admit(&mut self, candidate: &Candidate) -> Option<Record> {
        // Flows that end together do so at the same packet; each has its own moment.
        let moment = (candidate.context.index, candidate.context.flow_id);
        if moment != self.packet {
            self.packet = moment;
            self.reported = 0;
        }
        if let Some(t) = candidate.info.threshold
            && !self.passes(candidate, t)
        {
            self.counters.suppressed += 1;
            return None;
        }
        if self.reported >= candidate.output.packet_alert_max {
            self.counters.overflow += 1;
            return None;
        }
        self.reported += 1;
        self.counters.alert += 1;
        Some(candidate.record())
    }

    fn passes(&mut self, candidate: &Candidate, t: Threshold) -> bool {
        let c = &candidate.context;
        let of = match (t.track, c.src, c.dest, c.flow_id) {
            (Track::Rule, ..) => Of::Rule,
            (Track::Src, Some(s), ..) => Of::Host(s),
            (Track::Dst, _, Some(d), _) => Of::Host(d),
            (Track::Both, Some(s), Some(d), _) => Of::Pair(s.min(d), s.max(d)), // either way round
            (Track::Flow, _, _, Some(id)) => Of::Flow(id),
            _ => return true, // nothing to count by: reported, rather than lost
        };
        let key = Key { gid: candidate.info.gid, sid: candidate.info.sid, of };
        self.forget(c.time);
        // A backoff counts over the flow's whole life.
        let seconds = if t.kind == ThresholdKind::Backoff { u32::MAX } else { t.seconds };
        let mut fresh = false;
        let count = self.counts.entry(key).or_insert_with(|| {
            fresh = true;
            Count { start: c.time, seconds, n: 0, next: t.count.into() }
        });
        if fresh {
            self.queue.push_back(key);
        }
        if t.kind == ThresholdKind::Backoff {
            count.n = count.n.saturating_add(1);
            if u64::from(count.n) != count.next {
                return false;
            }
            count.next = count.next.saturating_mul(t.seconds.into());
            return true;
        }
        if count.over(c.time) {
            count.start = c.time;
            count.n = 0;
        }
        count.n = count.n.saturating_add(1);
        match t.kind {
            ThresholdKind::Limit => count.n <= t.count,
            ThresholdKind::Both => count.n == t.count,
            ThresholdKind::DetectionFilter => count.n > t.count,
            ThresholdKind::Threshold | ThresholdKind::Backoff => {
                let due = count.n >= t.count;
                if due {
                    count.n = 0;
                }
                due
            }
        }
    }

    // Lets go of counts whose window is over, a few at a time, and of the oldest where the table is full.
    fn forget(&mut self, now: Timestamp) {
        for _ in 0..2 {
            let Some(key) = self.queue.pop_front() else { return };
            match self.counts.get(&key) {
                Some(c) if c.over(now) => {
                    self.counts.remove(&key);
                }
                Some(_) => self.queue.push_back(key),
                None => {}
            }
        }
        while self.counts.len() >= self.most {
            let Some(key) = self.queue.pop_front() else { return };
            if self.counts.remove(&key).is_some() {
                self.counters.forgotten += 1;
            }
        }
    }
}

impl Count {
    const fn over(&self, now: Timestamp) -> bool {
        now.since(self.start) > self.seconds as i64 * 1_000_000
    }
}
