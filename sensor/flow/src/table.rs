// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The flow table of one worker.
//!
//! Whether a flow is over is decided by its own last packet and its timeout, at look-up, at a sweep, or at the end; the
//! times of sweeps come from the dispatcher, so that any number of workers ends the same flows in the same way. Only
//! where the memory cap is hit does the result depend on the number of workers, since each has its share of the cap.
//!
//! Must never hold more than [`FlowTable::capacity`] flows.

use std::{collections::BTreeSet, hash::BuildHasher, mem, sync::Arc};

use hashbrown::{DefaultHashBuilder, HashTable};
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Checksum, Packet, Vlans};
use lagewarte_event::eve::Record;

use crate::{
    app::AppState,
    config::{Config, Exception, Exceptions, FullPolicy, Timeouts},
    flow::{DetectMarks, Direction, Flow, FlowBits, FlowInts, FlowRef, MAX_FLOWBITS, MAX_FLOWINTS, Side, State},
    key::{Key, Tuple, tuple},
    record::{Reason, netflow, record},
    stream::{Fed, Memory, feed},
    tags::{MAX_TAGS, Tags},
    tcp::TcpState,
    vars::FlowVars,
};

const NIL: u32 = u32::MAX;

/// Index entries, tree nodes and the growth of vectors, per flow, generously.
const INDEX_COST: usize = 96;

/// Bytes charged for one flow, everything it may come to hold included, so that the cap is never exceeded.
const FLOW_COST: usize =
    mem::size_of::<Option<Entry>>() + INDEX_COST + 4 * MAX_FLOWBITS + 8 * MAX_FLOWINTS + 32 * MAX_TAGS + 32;

/// What the table did, named as in EVE `stats.flow`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Flows begun.
    pub total: u64,
    /// Of them TCP.
    pub tcp: u64,
    /// Of them UDP.
    pub udp: u64,
    /// Of them ICMP.
    pub icmpv4: u64,
    /// Of them ICMPv6.
    pub icmpv6: u64,
    /// Flows in the table.
    pub active: u64,
    /// Packets that found the table full and got no flow.
    pub memcap: u64,
    /// Flows ended to make room.
    pub evicted: u64,
    /// Flows ended by a new connection on their 5-tuple.
    pub tcp_reuse: u64,
    /// Flows ended by timeout.
    pub timeout: u64,
    /// Flows ended because the capture did.
    pub shutdown: u64,
    /// Ended flows by [`State`].
    pub end: [u64; State::COUNT],
    /// Bytes charged for the flows in the table.
    pub memuse: u64,
    /// ICMP errors whose flow is not (or no longer) in the table.
    pub icmp_without_flow: u64,
}

impl Counters {
    /// Adds another worker's counts.
    pub fn add(&mut self, o: &Self) {
        for (mine, theirs) in [
            (&mut self.total, o.total),
            (&mut self.tcp, o.tcp),
            (&mut self.udp, o.udp),
            (&mut self.icmpv4, o.icmpv4),
            (&mut self.icmpv6, o.icmpv6),
            (&mut self.active, o.active),
            (&mut self.memcap, o.memcap),
            (&mut self.evicted, o.evicted),
            (&mut self.tcp_reuse, o.tcp_reuse),
            (&mut self.timeout, o.timeout),
            (&mut self.shutdown, o.shutdown),
            (&mut self.memuse, o.memuse),
            (&mut self.icmp_without_flow, o.icmp_without_flow),
        ] {
            *mine += theirs;
        }
        for (mine, theirs) in self.end.iter_mut().zip(o.end) {
            *mine += theirs;
        }
    }
}

/// What a packet found.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// Its flow.
    Flow(FlowRef<'a>),
    /// Packets of its kind have no flow.
    NoFlow,
    /// The table is full; the packet goes on without one.
    Full,
    /// The table is full and the policy says not to look at the packet.
    Drop,
}

/// What takes the flows that end.
pub trait Ended {
    /// A flow ends: the last chance for what hangs on it, before its record is written.
    fn ending(&mut self, flow: &mut Flow, why: Reason, index: u64) {
        let _ = (flow, why, index);
    }
    /// The record of a flow that ended.
    fn record(&mut self, record: Record, flow: &Flow);
}

impl Ended for Vec<Record> {
    fn record(&mut self, record: Record, _: &Flow) {
        self.push(record);
    }
}

struct Entry {
    flow: Flow,
    key: Key,
    hash: u64,
    /// Second at which the flow stands in `due`; never later than its end unless the end came nearer since.
    due: i64,
    older: u32,
    newer: u32,
}

/// The flow table of one worker.
pub struct FlowTable {
    cfg: Arc<Config>,
    hasher: DefaultHashBuilder,
    index: HashTable<u32>,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    due: BTreeSet<(i64, u32)>,
    oldest: u32,
    newest: u32,
    capacity: usize,
    counters: Counters,
    memory: Memory,
}

impl FlowTable {
    /// A table with this worker's share of the memory cap: one of `workers`.
    pub fn new(cfg: Arc<Config>, workers: usize) -> Self {
        let share = usize::try_from(cfg.memcap).unwrap_or(usize::MAX) / workers.max(1);
        Self {
            memory: Memory::new(&cfg.stream, workers),
            capacity: (share / FLOW_COST).clamp(1, NIL as usize - 1),
            cfg,
            hasher: DefaultHashBuilder::default(),
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            due: BTreeSet::new(),
            oldest: NIL,
            newest: NIL,
            counters: Counters::default(),
        }
    }
    /// Most flows that it will hold.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }
    /// What it did so far.
    pub const fn counters(&self) -> Counters {
        self.counters
    }
    /// What the memory of its streams did.
    pub const fn stream_memory(&self) -> &Memory {
        &self.memory
    }

    /// Finds or begins the packet's flow and counts the packet. Records of flows that this ends go to `out`.
    pub fn packet(&mut self, p: &Packet<'_>, out: &mut dyn Ended) -> Outcome<'_> {
        let Some(t) = tuple(p) else { return Outcome::NoFlow };
        let vlans = if self.cfg.vlan_tracking { p.vlans } else { Vlans::default() };
        let depth = if self.cfg.depth_tracking { p.depth } else { 0 };
        let key = Key::new(&t, vlans, depth);
        let hash = self.hasher.hash_one(key);
        let mut found = self.find(hash, &key);
        if let Some(slot) = found {
            let why = self.slots[slot as usize].as_ref().and_then(|e| self.over(e, p, &t));
            if let Some(why) = why {
                self.end(slot, why, p.index, out);
                found = None;
            }
        }
        let (slot, new) = match found {
            Some(slot) => (slot, false),
            None if !t.begins => {
                self.counters.icmp_without_flow += 1;
                return Outcome::NoFlow;
            }
            None => {
                if self.index.len() >= self.capacity {
                    match self.cfg.full {
                        FullPolicy::EvictOldest => self.end(self.oldest, Reason::Forced, p.index, out),
                        FullPolicy::Ignore | FullPolicy::DropPacket => {
                            self.counters.memcap += 1;
                            return match self.cfg.full {
                                FullPolicy::DropPacket => Outcome::Drop,
                                _ => Outcome::Full,
                            };
                        }
                    }
                }
                (self.begin(p, &t, key, hash), true)
            }
        };
        self.touch(slot);
        match self.slots[slot as usize].as_mut() {
            Some(e) => {
                let Self { cfg, memory, .. } = self;
                Outcome::Flow(update(&mut e.flow, p, &t, new, cfg, memory))
            }
            None => Outcome::NoFlow, // cannot be: the slot was found or filled above
        }
    }

    /// Ends every flow that is over at `now`, a time that the dispatcher gives to all workers alike.
    pub fn sweep(&mut self, now: Timestamp, index: u64, out: &mut dyn Ended) {
        while let Some(&(due, slot)) = self.due.first() {
            if due > now.secs() {
                return;
            }
            let Some(e) = self.slots[slot as usize].as_mut() else {
                self.due.pop_first(); // cannot be: an ended flow is taken out
                continue;
            };
            let end = deadline(&e.flow, &self.cfg);
            if end < now {
                self.end(slot, Reason::Timeout, index, out);
            } else {
                self.due.pop_first();
                e.due = end.secs().max(due + 1);
                self.due.insert((e.due, slot));
            }
        }
    }

    /// Ends every flow because the capture did, `last` being the time of its last packet.
    pub fn finish(&mut self, last: Timestamp, index: u64, out: &mut dyn Ended) {
        for slot in 0..self.slots.len() {
            let why = match &self.slots[slot] {
                Some(e) if deadline(&e.flow, &self.cfg) < last => Reason::Timeout,
                Some(_) => Reason::Shutdown,
                None => continue,
            };
            self.end(slot as u32, why, index, out); // capacity keeps slots below 2^32
        }
    }

    fn find(&self, hash: u64, key: &Key) -> Option<u32> {
        self.index.find(hash, |&s| self.slots[s as usize].as_ref().is_some_and(|e| e.key == *key)).copied()
    }

    /// Why a flow that a packet found is no longer the packet's.
    fn over(&self, e: &Entry, p: &Packet<'_>, t: &Tuple) -> Option<Reason> {
        if deadline(&e.flow, &self.cfg) < p.time {
            return Some(Reason::Timeout);
        }
        let (tracker, segment) = (e.flow.tcp.as_ref()?, p.tcp().filter(|_| !t.quoted)?);
        (p.checksum != Checksum::Bad && tracker.reused_by(segment)).then_some(Reason::TcpReuse)
    }

    fn begin(&mut self, p: &Packet<'_>, t: &Tuple, key: Key, hash: u64) -> u32 {
        let c = &mut self.counters;
        c.total += 1;
        match t.proto {
            6 => c.tcp += 1,
            17 => c.udp += 1,
            1 => c.icmpv4 += 1,
            58 => c.icmpv6 += 1,
            _ => {}
        }
        let icmp = p.icmp().map(|i| (i.kind, i.code));
        let flow = Flow {
            id: key.id(p.time),
            client: t.src.0,
            server: t.dst.0,
            client_port: if icmp.is_some() { 0 } else { t.src.1 },
            server_port: if icmp.is_some() { 0 } else { t.dst.1 },
            proto: t.proto,
            vlans: p.vlans,
            macs: p.ether.map(|e| (e.src, e.dst)),
            more_macs: None,
            icmp,
            icmp_response: None,
            start: p.time,
            last: p.time,
            sides: [Side::default(); 2],
            state: State::New,
            alerted: false,
            parent: 0,
            detect: DetectMarks::default(),
            flowbits: FlowBits::default(),
            flowints: FlowInts::default(),
            tags: Tags::default(),
            vars: FlowVars::default(),
            app: AppState::default(),
            stream: None,
            exceptions: Exceptions::default(),
            tcp: None,
            unfollowed: false,
            heard: [false; 2],
            community_id: None,
        };
        let due = deadline(&flow, &self.cfg).secs();
        let entry = Entry { flow, key, hash, due, older: NIL, newer: NIL };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(entry);
                slot
            }
            None => {
                self.slots.push(Some(entry));
                (self.slots.len() - 1) as u32 // capacity keeps slots below 2^32
            }
        };
        self.due.insert((due, slot));
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |&s| slots[s as usize].as_ref().map_or(0, |e| e.hash));
        self.link_newest(slot);
        self.measure();
        slot
    }

    fn end(&mut self, slot: u32, why: Reason, index: u64, out: &mut dyn Ended) {
        self.unlink(slot);
        let Some(mut e) = self.slots.get_mut(slot as usize).and_then(Option::take) else { return };
        if let Ok(found) = self.index.find_entry(e.hash, |&s| s == slot) {
            found.remove();
        }
        self.due.remove(&(e.due, slot));
        self.free.push(slot);
        let c = &mut self.counters;
        *match why {
            Reason::Timeout => &mut c.timeout,
            Reason::Forced => &mut c.evicted,
            Reason::Shutdown => &mut c.shutdown,
            Reason::TcpReuse => &mut c.tcp_reuse,
        } += 1;
        c.end[e.flow.state as usize] += 1; // invariant: end has one place for each state
        self.measure();
        if let Some(s) = &mut e.flow.stream {
            s.finish();
            self.memory.moved(s.told(), 0);
        }
        if e.flow.tcp.is_some() {
            self.memory.session_ends();
        }
        out.ending(&mut e.flow, why, index);
        if self.cfg.records {
            let made = record(&mut e.flow, why, index, &self.cfg);
            out.record(made, &e.flow);
        }
        if self.cfg.netflow {
            for d in [Direction::ToServer, Direction::ToClient] {
                if let Some(made) = netflow(&mut e.flow, d, index, &self.cfg) {
                    out.record(made, &e.flow);
                }
            }
        }
    }

    fn measure(&mut self) {
        self.counters.active = self.index.len() as u64;
        self.counters.memuse = self.counters.active * FLOW_COST as u64;
    }

    // The list of flows by their latest packet, as links between slots.

    fn link_newest(&mut self, slot: u32) {
        let before = mem::replace(&mut self.newest, slot);
        if let Some(Some(e)) = self.slots.get_mut(slot as usize) {
            (e.older, e.newer) = (before, NIL);
        }
        match self.slots.get_mut(before as usize) {
            Some(Some(e)) => e.newer = slot,
            _ => self.oldest = slot,
        }
    }

    fn unlink(&mut self, slot: u32) {
        let Some(Some(e)) = self.slots.get(slot as usize) else { return };
        let (older, newer) = (e.older, e.newer);
        match self.slots.get_mut(older as usize) {
            Some(Some(e)) => e.newer = newer,
            _ => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(Some(e)) => e.older = older,
            _ => self.newest = older,
        }
    }

    fn touch(&mut self, slot: u32) {
        if self.newest != slot {
            self.unlink(slot);
            self.link_newest(slot);
        }
    }
}

/// When a flow is over if nothing more comes.
fn deadline(f: &Flow, cfg: &Config) -> Timestamp {
    let t: &Timeouts = match f.proto {
        6 => &cfg.tcp,
        17 => &cfg.udp,
        1 | 58 => &cfg.icmp,
        _ => &cfg.default,
    };
    let secs = match f.state {
        State::New => t.new,
        State::Established | State::Bypassed => t.established,
        State::Closed => t.closed,
    };
    Timestamp::from_micros(f.last.micros().saturating_add(i64::from(secs) * 1_000_000))
}

fn update<'f>(
    f: &'f mut Flow,
    p: &Packet<'_>,
    t: &Tuple,
    new: bool,
    cfg: &Config,
    memory: &'f mut Memory,
) -> FlowRef<'f> {
    let mut direction = direction(f, p, t);
    let tcp_before = f.tcp.as_ref().is_some_and(|t| !matches!(t.state, TcpState::SynSent | TcpState::SynRecv));
    let bypassed = f.bypassed();
    let mut established = f.state == State::Established || tcp_before || bypassed;
    let mut fed = Fed::default();
    if let Some(segment) = p.tcp().filter(|_| !t.quoted && !bypassed) {
        fed = feed(f, direction, p, segment, cfg, memory);
        if fed.turned {
            direction = direction.reverse();
        }
        if fed.exception == Some(Exception::Flow) {
            f.detect.settled = true;
        }
    }
    if !new && p.time > f.last {
        f.last = p.time;
    }
    if let Some(e) = p.ether.filter(|_| cfg.ethernet && !t.quoted) {
        let to_server = direction == Direction::ToServer;
        f.note_macs(if to_server { (e.src, e.dst) } else { (e.dst, e.src) });
    }
    let sealed = f.app.sealed;
    let side = &mut f.sides[direction.index()];
    if let Some(ip) = &p.ip {
        side.ttl = match side.packets {
            0 => (ip.ttl, ip.ttl),
            _ => (side.ttl.0.min(ip.ttl), side.ttl.1.max(ip.ttl)),
        };
    }
    side.packets += 1;
    side.bytes += p.frame.len() as u64;
    if !t.quoted {
        f.heard[direction.index()] = true;
        if f.proto != 6 && f.heard == [true; 2] && !bypassed {
            f.state = State::Established;
            established = true;
        }
        if direction == Direction::ToClient && f.icmp_response.is_none() {
            f.icmp_response = p.icmp().map(|i| (i.kind, i.code));
        }
    }
    FlowRef {
        flow: f,
        direction,
        established,
        new,
        events: fed.step.events,
        added: fed.added,
        excepted: fed.exception == Some(Exception::Packet),
        sealed,
        memory: Some(memory),
    }
}

fn direction(f: &Flow, p: &Packet<'_>, t: &Tuple) -> Direction {
    let from_client = if t.quoted {
        // Whoever sends the error: the client itself, or somebody who answers it.
        p.ip.is_some_and(|ip| ip.src == f.client)
    } else if f.icmp.is_some() {
        t.src.0 == f.client
    } else {
        t.src == (f.client, f.client_port)
    };
    if from_client { Direction::ToServer } else { Direction::ToClient }
}
