// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules remember, compiled: counters of flows (`flowint`), and marks on hosts, pairs and transactions (`xbits`,
//! `hostbits`).
//!
//! Marks on hosts and pairs cross flows: one table for all workers, used in turn ([`crate::Turns`]), that outlives a reload.
//! Must never hold more than [`MAX_MARKS`] marks: where it is full the oldest goes, counted.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use lagewarte_base::time::Timestamp;
use lagewarte_decode::Packet;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{Flow, FlowBits};
use lagewarte_rules::{
    Rule,
    marks::{Flowint, FlowintOp, Operand, Xbit, XbitOp, XbitTrack},
};

use crate::{
    engine::{Counters, Scratch},
    expiring::{Ends, Expiring},
};

/// Most marks on hosts and pairs. Threat: a scan from millions of addresses against a rule that marks its source.
pub const MAX_MARKS: usize = 1 << 18;

/// What a name is the name of: each has its own names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    Flowbit,
    Flowint,
    Xbit,
    TxBit,
}

/// Numbers of names, kept across reloads, since flows and marks live on.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashMap<(Space, String), u32>>);

impl Names {
    pub(crate) fn number(&self, space: Space, name: &str) -> u32 {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(map.len()).unwrap_or(u32::MAX);
        *map.entry((space, name.to_owned())).or_insert(next)
    }

    /// All names so far, by their numbers.
    pub(crate) fn list(&self) -> Known {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = vec![String::new(); map.len()];
        for ((_, name), number) in map.iter() {
            if let Some(slot) = out.get_mut(*number as usize) {
                slot.clone_from(name);
            }
        }
        Known(out)
    }
}

/// Names by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Known(Vec<String>);

impl Known {
    fn name(&self, number: u32) -> Option<&str> {
        self.0.get(number as usize).map(String::as_str)
    }

    /// What rules set on the flow, captured and measured. Bits named `traffic/id/...` and `traffic/label/...` say what the
    /// traffic is, and stand by themselves (user guide, "EVE JSON Output", metadata).
    pub(crate) fn remembered(&self, flow: &Flow) -> Remembered {
        let mut out = Remembered::default();
        let kinds = ["traffic/id/", "traffic/label/"];
        let named = flow.flowbits.iter().filter_map(|b| self.name(b));
        let (traffic, bits): (Vec<&str>, Vec<&str>) = named.partition(|n| kinds.iter().any(|k| n.starts_with(k)));
        let counters: Vec<(&str, u32)> =
            flow.flowints.iter().filter_map(|(n, v)| self.name(n).map(|name| (name, v))).collect();
        if !traffic.is_empty() {
            let mut w = JsonWriter::with_capacity(64);
            w.open();
            for (kind, key) in kinds.into_iter().zip(["id", "label"]) {
                let of: Vec<&str> = traffic.iter().filter_map(|n| n.strip_prefix(kind)).collect();
                if !of.is_empty() {
                    w.key(key).open_array();
                    of.iter().for_each(|n| {
                        w.string(n);
                    });
                    w.close_array();
                }
            }
            w.close();
            out.traffic = w.finish();
        }
        if bits.is_empty() && counters.is_empty() && flow.vars.is_empty() {
            return out;
        }
        let mut w = JsonWriter::with_capacity(128);
        w.open();
        if !counters.is_empty() {
            w.key("flowints").open();
            for (name, v) in counters {
                w.key(name).u64(v.into());
            }
            w.close();
        }
        if !bits.is_empty() {
            w.key("flowbits").open_array();
            for b in bits {
                w.string(b);
            }
            w.close_array();
        }
        flow.vars.write(&mut w);
        out.metadata = w.finish();
        out
    }
}

/// What rules left on a flow, as members of its events.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    /// The object `traffic`, or empty.
    traffic: String,
    /// The object `metadata` without its closing brace, or empty.
    metadata: String,
}

impl Remembered {
    /// Appends them to an event that is not closed yet, with the packet's own `pktvars`, a list or empty.
    pub(crate) fn write(&self, json: &mut String, packet: &str) {
        if !self.traffic.is_empty() {
            json.extend([",\"traffic\":", &self.traffic]);
        }
        if self.metadata.is_empty() && packet.is_empty() {
            return;
        }
        json.push_str(",\"metadata\":");
        json.push_str(if self.metadata.is_empty() { "{" } else { &self.metadata });
        if !packet.is_empty() {
            if !self.metadata.is_empty() {
                json.push(',');
            }
            json.extend(["\"pktvars\":", packet]);
        }
        json.push('}');
    }
}

/// Marks on hosts and pairs.
#[derive(Debug)]
pub(crate) struct Hosts(Mutex<Expiring<Key, Until>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    name: u32,
    of: Of,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    Host(IpAddr),
    Pair(IpAddr, IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Until(Timestamp);

impl Ends for Until {
    fn over(&self, now: Timestamp) -> bool {
        now > self.0
    }
}

impl Hosts {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Expiring::new(most))))
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Expiring<Key, Until>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A rule's counters and marks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    counter_tests: Vec<Counter>,
    counter_changes: Vec<Counter>,
    tests: Vec<Mark>,
    changes: Vec<Mark>,
    tx_tests: Vec<Mark>,
    tx_changes: Vec<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    name: u32,
    op: FlowintOp,
    value: Value,
}

#[derive(Clone, Copy, Debug)]
enum Value {
    Number(u32),
    Counter(u32),
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    name: u32,
    op: XbitOp,
    track: XbitTrack,
    expire: u32,
}

impl Counter {
    fn new(f: &Flowint, names: &Names) -> Self {
        let number = |n: &str| names.number(Space::Flowint, n);
        let value = match &f.value {
            Operand::Number(n) => Value::Number(*n),
            Operand::Counter(name) => Value::Counter(number(name)),
        };
        Self { name: number(&f.name), op: f.op, value }
    }

    fn value(&self, flow: &Flow) -> u32 {
        match self.value {
            Value::Number(n) => n,
            Value::Counter(name) => flow.flowints.get(name).unwrap_or(0),
        }
    }

    fn holds(&self, flow: &Flow) -> bool {
        let with = self.value(flow);
        match (self.op, flow.flowints.get(self.name)) {
            (FlowintOp::Isset, had) => had.is_some(),
            (FlowintOp::Isnotset, had) => had.is_none(),
            (_, None) => false,
            (FlowintOp::Lt, Some(n)) => n < with,
            (FlowintOp::Le, Some(n)) => n <= with,
            (FlowintOp::Gt, Some(n)) => n > with,
            (FlowintOp::Ge, Some(n)) => n >= with,
            (FlowintOp::Eq, Some(n)) => n == with,
            (FlowintOp::Ne, Some(n)) => n != with,
            (FlowintOp::Set | FlowintOp::Add | FlowintOp::Sub, Some(_)) => true,
        }
    }

    /// False where the flow holds no more counters. They are 32 bits wide and wrap, as Suricata's do.
    fn change(&self, flow: &mut Flow) -> bool {
        let with = self.value(flow);
        let new = match (self.op, flow.flowints.get(self.name)) {
            (FlowintOp::Add, had) => had.unwrap_or(0).wrapping_add(with),
            (FlowintOp::Sub, Some(had)) => had.wrapping_sub(with),
            (FlowintOp::Sub, None) => return true,
            _ => with,
        };
        flow.flowints.set(self.name, new)
    }
}

impl Mark {
    fn new(x: &Xbit, names: &Names) -> Self {
        let space = if x.track == XbitTrack::Tx { Space::TxBit } else { Space::Xbit };
        Self { name: names.number(space, &x.name), op: x.op, track: x.track, expire: x.expire }
    }

    fn key(&self, src: IpAddr, dest: IpAddr) -> Key {
        let of = match self.track {
            XbitTrack::Src | XbitTrack::Tx => Of::Host(src),
            XbitTrack::Dst => Of::Host(dest),
            XbitTrack::Pair => Of::Pair(src.min(dest), src.max(dest)),
        };
        Key { name: self.name, of }
    }
}

impl Marks {
    pub(crate) fn new(rule: &Rule, names: &Names) -> Self {
        let counters = |changes: bool| {
            let those = rule.flowints.iter().filter(|f| f.op.changes() == changes);
            those.map(|f| Counter::new(f, names)).collect()
        };
        let marks = |tx: bool, changes: bool| {
            let those = rule.xbits.iter().filter(|x| (x.track == XbitTrack::Tx) == tx && x.op.changes() == changes);
            those.map(|x| Mark::new(x, names)).collect()
        };
        Self {
            counter_tests: counters(false),
            counter_changes: counters(true),
            tests: marks(false, false),
            changes: marks(false, true),
            tx_tests: marks(true, false),
            tx_changes: marks(true, true),
        }
    }

    /// Whether the flow's counters are as asked; without a flow there are none.
    pub(crate) fn counters_hold(&self, flow: Option<&Flow>) -> bool {
        self.counter_tests.is_empty() || flow.is_some_and(|f| self.counter_tests.iter().all(|c| c.holds(f)))
    }

    /// Whether the marks on hosts and pairs are as asked. Waits for its turn: to be asked last.
    pub(crate) fn hold(&self, p: &Packet<'_>, hosts: &Hosts, s: &mut Scratch) -> bool {
        if self.tests.is_empty() {
            return true;
        }
        let Some(ip) = p.ip else { return false };
        s.take_turn();
        let table = hosts.table();
        self.tests.iter().all(|m| table.get(&m.key(ip.src, ip.dst), p.time).is_some() == (m.op == XbitOp::Isset))
    }

    /// Whether the marks on the transaction are as asked.
    pub(crate) fn tx_hold(&self, bits: &FlowBits) -> bool {
        self.tx_tests.iter().all(|m| bits.has(m.name) == (m.op == XbitOp::Isset))
    }

    /// The rule matched: counters of the flow.
    pub(crate) fn count(&self, flow: &mut Flow, counters: &mut Counters) {
        for c in &self.counter_changes {
            counters.flowbits_full += u64::from(!c.change(flow));
        }
    }

    /// The rule matched: marks on hosts and pairs.
    pub(crate) fn mark(&self, p: &Packet<'_>, hosts: &Hosts, s: &mut Scratch) {
        if self.changes.is_empty() {
            return;
        }
        let Some(ip) = p.ip else { return };
        s.take_turn();
        let mut table = hosts.table();
        let before = table.forgotten;
        for m in &self.changes {
            let key = m.key(ip.src, ip.dst);
            let set = match m.op {
                XbitOp::Toggle => table.get(&key, p.time).is_none(),
                op => op == XbitOp::Set,
            };
            if set {
                let until = Timestamp::from_micros(p.time.micros().saturating_add(i64::from(m.expire) * 1_000_000));
                *table.entry(key, p.time, || Until(until)) = Until(until);
            } else {
                table.remove(&key);
            }
        }
        s.counters.marks_forgotten += table.forgotten - before;
    }

    /// The rule matched: marks on the transaction.
    pub(crate) fn tx_mark(&self, bits: &mut FlowBits, counters: &mut Counters) {
        for m in &self.tx_changes {
            match m.op {
                XbitOp::Set => {
                    bits.set(m.name);
                    counters.flowbits_full += u64::from(!bits.has(m.name));
                }
                XbitOp::Toggle => bits.toggle(m.name),
                _ => bits.unset(m.name),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_a_table_with_a_cap() {
        let hosts = Hosts::new(100);
        let mut table = hosts.table();
        let now = Timestamp::from_micros(1);
        for n in 0..1000u32 {
            table.entry(Key { name: 0, of: Of::Host(IpAddr::from(n.to_be_bytes())) }, now, || Until(now));
        }
        assert_eq!(table.forgotten, 900);
    }

    #[test]
    fn each_kind_of_memory_has_its_own_names() {
        let names = Names::default();
        let all: Vec<u32> = [Space::Flowbit, Space::Flowint, Space::Xbit, Space::TxBit]
            .into_iter()
            .map(|s| names.number(s, "a"))
            .collect();
        assert_eq!(all, [0, 1, 2, 3]);
        assert_eq!(names.number(Space::Flowint, "a"), 1);
    }
}
