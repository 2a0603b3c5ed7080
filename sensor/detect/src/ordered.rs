// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The ordered stage: `threshold`, `detection_filter`, `suppress`, `rate_filter` and `packet-alert-max`, over all workers'
//! matches in the order of packets, on packet time, so that the result is a single worker's.
//!
//! Must never hold more than [`MAX_TRACKED`] counts, and [`MAX_UNIQUE_TRACKED`] with ports. Where a table is full the oldest
//! count is forgotten: its key starts again, which can only report too much with `limit` and `both`, and too little with
//! `threshold` and `detection_filter`; how often that happened is counted.

use std::net::IpAddr;

use lagewarte_base::time::Timestamp;
use lagewarte_event::eve::Record;
use lagewarte_rules::{
    ast::{Action, Threshold, ThresholdKind, Track, UniqueOn},
    thresholds::{RateFilter, Side, Suppress},
};

use crate::{
    alert::{Candidate, Context},
    expiring::{Ends, Expiring},
};

/// Most counts held. Threat: a scan from (or to) millions of addresses against a rule that counts by address.
pub const MAX_TRACKED: usize = 1 << 20;
/// Most counts with the ports that were seen (`unique_on`). Threat: the same, with a port list for each address.
pub const MAX_UNIQUE_TRACKED: usize = 1 << 15;

/// The ordered stage.
#[derive(Debug)]
pub struct Ordered {
    counts: Expiring<Key, Count>,
    rates: Expiring<Key, Rate>,
    uniques: Expiring<Key, Unique>,
    packet: (u64, Option<i64>, bool),
    reported: u16,
    /// What happened so far.
    pub counters: OrderedCounters,
}

/// What the ordered stage did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderedCounters {
    /// Alerts reported: EVE `stats.detect.alert`.
    pub alert: u64,
    /// Matches that a threshold or a suppression kept back: `stats.detect.alerts_suppressed`.
    pub suppressed: u64,
    /// Alerts over `packet-alert-max`: `stats.detect.alert_queue_overflow`.
    pub overflow: u64,
    /// Counts forgotten since a table was full.
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

#[derive(Clone, Copy, Debug)]
struct Rate {
    window: Count,
    timeout: u32,
    /// Since when the other action is taken.
    active: Option<Timestamp>,
}

#[derive(Clone, Debug)]
struct Unique {
    start: Timestamp,
    seconds: u32,
    /// Ascending; one more than the rule's count at most.
    ports: Vec<u16>,
}

impl Ends for Count {
    fn over(&self, now: Timestamp) -> bool {
        beyond(self.start, self.seconds, now)
    }
}

impl Ends for Rate {
    fn over(&self, now: Timestamp) -> bool {
        self.window.over(now) && self.active.is_none_or(|since| beyond(since, self.timeout, now))
    }
}

impl Ends for Unique {
    fn over(&self, now: Timestamp) -> bool {
        beyond(self.start, self.seconds, now)
    }
}

const fn beyond(start: Timestamp, seconds: u32, now: Timestamp) -> bool {
    now.since(start) > seconds as i64 * 1_000_000
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
            counts: Expiring::new(most),
            rates: Expiring::new(most),
            uniques: Expiring::new(most.min(MAX_UNIQUE_TRACKED)),
            packet: (0, None, false),
            reported: 0,
            counters: OrderedCounters::default(),
        }
    }

    /// Takes a match, in the order of packets and of evaluation within a packet; the alert, if it is one.
    pub fn admit(&mut self, candidate: &Candidate) -> Option<Record> {
        // Flows that end together do so at the same packet; each has its own moment, which is not that packet's.
        let c = &candidate.context;
        let moment = (c.index, c.flow_id, c.ended);
        if moment != self.packet {
            self.packet = moment;
            self.reported = 0;
        }
        let info = &candidate.info;
        let kept_back = info.suppress.iter().any(|s| concerns(s, &candidate.context))
            || info.threshold.is_some_and(|t| !self.passes(candidate, t));
        let action = if kept_back { None } else { self.action(candidate) };
        self.counters.forgotten = self.counts.forgotten + self.rates.forgotten + self.uniques.forgotten;
        let Some(action) = action else {
            self.counters.suppressed += 1;
            return None;
        };
        if self.reported >= candidate.output.packet_alert_max {
            self.counters.overflow += 1;
            return None;
        }
        self.reported += 1;
        self.counters.alert += 1;
        Some(candidate.record(action))
    }

    /// The rule's action, or that of its rate filter; None where that lets the packet pass.
    fn action(&mut self, candidate: &Candidate) -> Option<Action> {
        let own = candidate.info.action;
        let Some(r) = candidate.info.rate else { return Some(own) };
        match self.rate(candidate, r) {
            true if r.action == Action::Pass => None,
            true => Some(r.action),
            false => Some(own),
        }
    }

    // Whether the rate filter is active for this match.
    fn rate(&mut self, candidate: &Candidate, r: RateFilter) -> bool {
        let Some(key) = Key::of(candidate, r.track) else { return false };
        let now = candidate.context.time;
        let window = Count { start: now, seconds: r.seconds, n: 0, next: 0 };
        let rate = self.rates.entry(key, now, || Rate { window, timeout: r.timeout, active: None });
        match rate.active {
            Some(since) if !beyond(since, r.timeout, now) => return true,
            Some(_) => *rate = Rate { window, timeout: r.timeout, active: None },
            None if rate.window.over(now) => rate.window = window,
            None => {}
        }
        rate.window.n = rate.window.n.saturating_add(1);
        let too_many = rate.window.n > r.count;
        if too_many {
            rate.active = Some(now);
        }
        too_many
    }

    fn passes(&mut self, candidate: &Candidate, t: Threshold) -> bool {
        let now = candidate.context.time;
        let Some(key) = Key::of(candidate, t.track) else { return true }; // nothing to count by: reported, not lost
        if let Some(unique) = t.unique {
            return self.differ(candidate, key, t, unique);
        }
        // A backoff counts over the flow's whole life.
        let seconds = if t.kind == ThresholdKind::Backoff { u32::MAX } else { t.seconds };
        let count = self.counts.entry(key, now, || Count { start: now, seconds, n: 0, next: t.count.into() });
        if t.kind == ThresholdKind::Backoff {
            count.n = count.n.saturating_add(1);
            if u64::from(count.n) != count.next {
                return false;
            }
            count.next = count.next.saturating_mul(t.seconds.into());
            return true;
        }
        if count.over(now) {
            count.start = now;
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

    // More ports than the rule's count have been seen in the window.
    fn differ(&mut self, candidate: &Candidate, key: Key, t: Threshold, unique: UniqueOn) -> bool {
        let now = candidate.context.time;
        let Some((src, dest)) = candidate.context.ports else { return false };
        let port = if unique == UniqueOn::SrcPort { src } else { dest };
        let seen = self.uniques.entry(key, now, || Unique { start: now, seconds: t.seconds, ports: Vec::new() });
        if seen.over(now) {
            seen.start = now;
            seen.ports.clear();
        }
        let most = t.count as usize;
        if let Err(at) = seen.ports.binary_search(&port)
            && seen.ports.len() <= most
        {
            seen.ports.insert(at, port);
        }
        seen.ports.len() > most
    }
}

impl Key {
    // None where the packet has not what is counted by.
    fn of(candidate: &Candidate, track: Track) -> Option<Self> {
        let c = &candidate.context;
        let of = match (track, c.src, c.dest, c.flow_id) {
            (Track::Rule, ..) => Of::Rule,
            (Track::Src, Some(s), ..) => Of::Host(s),
            (Track::Dst, _, Some(d), _) => Of::Host(d),
            (Track::Both, Some(s), Some(d), _) => Of::Pair(s.min(d), s.max(d)), // either way round
            (Track::Flow, _, _, Some(id)) => Of::Flow(id),
            _ => return None,
        };
        Some(Self { gid: candidate.info.gid, sid: candidate.info.sid, of })
    }
}

fn concerns(s: &Suppress, c: &Context) -> bool {
    let Some((side, of)) = &s.of else { return true };
    let has = |ip: Option<IpAddr>| ip.is_some_and(|ip| of.contains(ip));
    match side {
        Side::Src => has(c.src),
        Side::Dst => has(c.dest),
        Side::Either => has(c.src) || has(c.dest),
    }
}
