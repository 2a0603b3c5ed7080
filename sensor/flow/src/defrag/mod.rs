// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Puts fragments of IPv4 and IPv6 together, as the host that they are sent to would.
//!
//! One for the whole sensor: fragments pass through it in the order of packets, before packets are dealt to workers, so
//! that the result, at its caps too, does not depend on how many workers there are.
//!
//! Must never read a clock, and never hold more than its configuration allows: at the cap of memory, datagrams or pieces
//! the datagram that would time out next makes room, counted. Limits: [`Config::memcap`], [`Config::trackers`],
//! [`Config::max_frags`].

mod policy;
mod tracker;

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    net::IpAddr,
};

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Checksum, Event, Events, Packet, Vlans};

pub use policy::{ByHost, Policy};
use tracker::{Took, Tracker};

/// Choices, with Suricata's names (`defrag.*`) and the values of its stock configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Most bytes held: `memcap`. Threat: fragments that nobody completes.
    pub memcap: u64,
    /// Most datagrams in the making: `trackers`. Threat: as above, with one small fragment each.
    pub trackers: usize,
    /// Most pieces held: `max-frags`. Threat: datagrams of eight bytes a fragment.
    pub max_frags: usize,
    /// Seconds after its last fragment at which a datagram is given up, by destination: `timeout`, `host-config`.
    pub timeout: ByHost<u32>,
    /// Who wins overlaps, by destination: `host-os-policy`.
    pub policy: ByHost<Policy>,
    /// Whether VLAN ids tell datagrams apart: `vlan.use-for-tracking`.
    pub vlan_tracking: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memcap: 32 << 20,
            trackers: 65_535,
            max_frags: 65_535,
            timeout: ByHost::new(60),
            policy: ByHost::new(Policy::default()),
            vlan_tracking: true,
        }
    }
}

/// What happened, named as in EVE `stats.defrag`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Fragments of IPv4, then of IPv6.
    pub fragments: [u64; 2],
    /// Packets put together, of IPv4, then of IPv6.
    pub reassembled: [u64; 2],
    /// Datagrams given up by timeout.
    pub timeout: u64,
    /// Datagrams given up to make room.
    pub hard_reuse: u64,
    /// Of them for another datagram.
    pub max_trackers_reached: u64,
    /// Of them for another piece.
    pub max_frags_reached: u64,
    /// Of them for memory.
    pub memcap_reached: u64,
    /// Fragments that overlapped others.
    pub overlaps: u64,
    /// Fragments that reach beyond the longest packet.
    pub too_large: u64,
    /// Fragments not used: empty, of a wrong length, or against what is known of the datagram.
    pub ignored: u64,
    /// Fragments not used since their header's checksum is wrong.
    pub bad_checksum: u64,
    /// Bytes held.
    pub memuse: u64,
    /// Most bytes ever held.
    pub memuse_peak: u64,
}

/// What a fragment did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is odd about it among the others of its datagram.
    pub events: Events,
    /// The packet that it completed.
    pub whole: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    src: IpAddr,
    dst: IpAddr,
    id: u32,
    /// IPv4 tells datagrams apart by it; IPv6 does not (RFC 8200, 4.5).
    proto: u8,
    vlans: Vlans,
    depth: u8,
}

#[derive(Debug)]
struct Entry {
    tracker: Tracker,
    /// Its place in the order of timeouts.
    due: (i64, u64),
}

/// Bytes charged for a datagram beside its pieces: an entry of the map and of the order, generously.
const ENTRY_COST: usize = mem::size_of::<Entry>() + 2 * mem::size_of::<Key>() + 64;

/// The stage.
#[derive(Debug)]
pub struct Defrag {
    cfg: Config,
    datagrams: HashMap<Key, Entry>,
    order: BTreeMap<(i64, u64), Key>,
    pieces: usize,
    next: u64,
    counters: Counters,
}

impl Defrag {
    /// An empty one.
    pub fn new(cfg: Config) -> Self {
        Self {
            cfg,
            datagrams: HashMap::new(),
            order: BTreeMap::new(),
            pieces: 0,
            next: 0,
            counters: Counters::default(),
        }
    }
    /// What happened so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }
    /// Datagrams in the making.
    pub fn active(&self) -> usize {
        self.datagrams.len()
    }

    /// Takes a packet that may be a fragment; one that is none does nothing.
    pub fn packet(&mut self, p: &Packet<'_>) -> Outcome {
        let mut out = Outcome::default();
        let Some((ip, f)) = p.ip.as_ref().and_then(|ip| Some((ip, ip.fragment?))) else { return out };
        let v4 = ip.src.is_ipv4();
        let family = usize::from(!v4);
        self.counters.fragments[family] += 1; // family is 0 or 1
        self.expire(p.time);
        if p.events.invalid() {
            self.counters.ignored += 1;
            return out;
        }
        if p.checksum == Checksum::Bad {
            self.counters.bad_checksum += 1;
            return out;
        }
        // A fragment that others follow holds whole units of eight bytes: what is beyond them a receiver of IPv4 leaves
        // out, and one of IPv6 discards the fragment (RFC 8200, 4.5).
        let rest = if f.more { ip.payload.len() % 8 } else { 0 };
        let data = ip.payload.get(..ip.payload.len() - rest).unwrap_or_default();
        if data.is_empty() || (rest != 0 && !v4) {
            self.counters.ignored += 1;
            return out;
        }
        let header = usize::from(f.header_len) - if v4 { 0 } else { 40 };
        if header + usize::from(f.offset) + data.len() > usize::from(u16::MAX) {
            self.counters.too_large += 1;
            out.events.set(if v4 { Event::Ipv4FragPktTooLarge } else { Event::Ipv6FragPktTooLarge });
            return out;
        }
        let key = Key {
            src: ip.src,
            dst: ip.dst,
            id: f.id,
            proto: if v4 { f.next } else { 0 },
            vlans: if self.cfg.vlan_tracking { p.vlans } else { Vlans::default() },
            depth: p.depth,
        };
        let policy = self.cfg.policy.of(ip.dst);
        let due = p.time.micros().saturating_add(i64::from(self.cfg.timeout.of(ip.dst)) * 1_000_000);
        let mut entry = match self.datagrams.remove(&key) {
            Some(entry) => {
                self.forget(&entry);
                entry
            }
            None => {
                while self.datagrams.len() >= self.cfg.trackers.max(1) && self.evict() {
                    self.counters.max_trackers_reached += 1;
                }
                Entry { tracker: Tracker::default(), due: (0, 0) }
            }
        };
        let took = entry.tracker.take(ip, &f, data, policy);
        match took {
            Took::In { overlap: false } => {}
            Took::In { overlap: true } | Took::Contradicts { overlap: true } => {
                self.counters.overlaps += 1;
                out.events.set(if v4 { Event::Ipv4FragOverlap } else { Event::Ipv6FragOverlap });
            }
            Took::Contradicts { overlap: false } => {
                out.events.set(if v4 { Event::Ipv4FragIgnored } else { Event::Ipv6FragIgnored });
            }
        }
        self.counters.ignored += u64::from(matches!(took, Took::Contradicts { .. }));
        if entry.tracker.complete() {
            match entry.tracker.rebuild(v4) {
                Some(whole) => {
                    self.counters.reassembled[family] += 1; // family is 0 or 1
                    out.whole = Some(whole);
                }
                None => {
                    self.counters.too_large += 1;
                    out.events.set(if v4 { Event::Ipv4FragPktTooLarge } else { Event::Ipv6FragPktTooLarge });
                }
            }
            return out;
        }
        self.make_room(&entry.tracker);
        self.next += 1;
        entry.due = (due, self.next);
        self.remember(key, entry);
        out
    }

    /// Gives up what timed out before `now`.
    fn expire(&mut self, now: Timestamp) {
        while let Some((&(due, _), &key)) = self.order.first_key_value()
            && due < now.micros()
        {
            if let Some(entry) = self.datagrams.remove(&key) {
                self.forget(&entry);
                self.counters.timeout += 1;
            } else {
                self.order.pop_first(); // cannot be: both hold the same datagrams
            }
        }
    }

    fn make_room(&mut self, wanted: &Tracker) {
        let cost = (wanted.cost() + ENTRY_COST) as u64;
        while self.pieces + wanted.pieces() > self.cfg.max_frags.max(1) && self.evict() {
            self.counters.max_frags_reached += 1;
        }
        while self.counters.memuse + cost > self.cfg.memcap && self.evict() {
            self.counters.memcap_reached += 1;
        }
    }

    /// Gives up the datagram that would time out next; false where there is none.
    fn evict(&mut self) -> bool {
        let Some((_, &key)) = self.order.first_key_value() else { return false };
        let Some(entry) = self.datagrams.remove(&key) else { return false };
        self.forget(&entry);
        self.counters.hard_reuse += 1;
        true
    }

    fn forget(&mut self, entry: &Entry) {
        self.order.remove(&entry.due);
        self.pieces -= entry.tracker.pieces();
        self.counters.memuse -= (entry.tracker.cost() + ENTRY_COST) as u64;
    }

    fn remember(&mut self, key: Key, entry: Entry) {
        self.order.insert(entry.due, key);
        self.pieces += entry.tracker.pieces();
        self.counters.memuse += (entry.tracker.cost() + ENTRY_COST) as u64;
        self.counters.memuse_peak = self.counters.memuse_peak.max(self.counters.memuse);
        self.datagrams.insert(key, entry);
    }
}
