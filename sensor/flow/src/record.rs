// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A flow's end as an EVE `flow` event, and the flow's part of other events.
//!
//! Must never depend on anything but the flow itself and why it ended: the same flow gives the same bytes on any worker.

use lagewarte_base::time::Timestamp;
use lagewarte_event::{
    Class,
    eve::{Head, JsonWriter, Record},
};

use crate::{
    app::AppProto,
    community::community_id,
    config::{Config, Exceptions, Target},
    flow::{Direction, Flow},
};

/// Why a flow ended: EVE `flow.reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No packet for as long as its state allows.
    Timeout,
    /// Ended to make room.
    Forced,
    /// The capture ended.
    Shutdown,
    /// A new connection on the same 5-tuple.
    TcpReuse,
}

impl Reason {
    /// EVE's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Forced => "forced",
            Self::Shutdown => "shutdown",
            Self::TcpReuse => "tcp_reuse",
        }
    }
}

impl Flow {
    /// The flow's `community_id` under `seed`, made once.
    pub fn community_id(&mut self, seed: u16) -> &str {
        if self.community_id.is_none() {
            let ports = match self.icmp {
                Some((kind, code)) => (kind.into(), code.into()),
                None => (self.client_port, self.server_port),
            };
            self.community_id = Some(community_id(seed, self.client, self.server, self.proto, ports).into());
        }
        self.community_id.as_deref().unwrap_or_default() // set above
    }

    /// Writes `app_proto` and, where the sides differ, `app_proto_ts` and `app_proto_tc`. Of a side that tells nothing that
    /// is said only where the other told.
    pub fn write_app(&self, w: &mut JsonWriter) {
        if let Some(name) = self.app.proto.name() {
            w.key("app_proto").string(name);
        }
        for (side, key) in [(Direction::ToServer, "app_proto_ts"), (Direction::ToClient, "app_proto_tc")] {
            let proto = self.app.sides[side.index()];
            let waits = proto == AppProto::Failed && self.app.proto == AppProto::Unknown;
            if let Some(name) = proto.name().filter(|_| proto != self.app.proto && !waits) {
                w.key(key).string(name);
            }
        }
        for (key, proto) in [("app_proto_orig", self.app.original), ("app_proto_expected", self.app.expected)] {
            if let Some(name) = proto.name().filter(|_| proto != self.app.proto) {
                w.key(key).string(name);
            }
        }
    }

    /// Writes the counters and the start, which alerts and flow records have in their `flow` object.
    pub fn write_counts(&self, w: &mut JsonWriter) {
        let [ts, tc] = self.sides;
        w.key("pkts_toserver").u64(ts.packets).key("pkts_toclient").u64(tc.packets);
        w.key("bytes_toserver").u64(ts.bytes).key("bytes_toclient").u64(tc.bytes);
        w.key("start").time(self.start);
    }
}

/// The record of a flow that ended with `reason`, noticed at packet `index`.
pub(crate) fn record(f: &mut Flow, reason: Reason, index: u64, cfg: &Config) -> Record {
    let mut w = JsonWriter::with_capacity(768);
    begin(f, "flow", Direction::ToServer, cfg, &mut w);
    if f.proto == 50 {
        w.key("spi").u64(u64::from(f.client_port) << 16 | u64::from(f.server_port));
    }
    if let Some([client, server]) = f.all_macs().filter(|_| cfg.ethernet) {
        w.key("ether").open();
        for (key, macs) in [("dest_macs", server), ("src_macs", client)] {
            w.key(key).open_array();
            macs.into_iter().for_each(|m| {
                w.mac(m);
            });
            w.close_array();
        }
        w.close();
    }
    f.write_app(&mut w);
    w.key("flow").open();
    f.write_counts(&mut w);
    if f.bypassed() {
        // Those that the capture kept from this sensor: none, they are counted here.
        w.key("bypassed").open();
        for key in ["pkts_toserver", "pkts_toclient", "bytes_toserver", "bytes_toclient"] {
            w.key(key).u64(0);
        }
        w.close().key("bypass").string("local");
    }
    w.key("end").time(f.last).key("age").i64(f.last.secs().saturating_sub(f.start.secs()));
    w.key("state").string(f.state.name()).key("reason").string(reason.name()).key("alerted").bool(f.alerted);
    if f.detect.passed {
        w.key("action").string("pass");
    }
    if let Some(n) = f.app.tx_count {
        w.key("tx_cnt").u64(n);
    }
    exceptions(f, cfg, &mut w);
    w.close();
    if f.proto == 6 {
        tcp(f, &mut w);
    }
    w.close();
    made(f, "flow", Direction::ToServer, index, w)
}

/// What one side of a flow that ended sent: EVE `netflow` (Suricata user guide, "EVE JSON Format"). None where that is
/// nothing.
pub(crate) fn netflow(f: &mut Flow, d: Direction, index: u64, cfg: &Config) -> Option<Record> {
    let side = f.sides[d.index()];
    if side.packets == 0 {
        return None;
    }
    let mut w = JsonWriter::with_capacity(512);
    begin(f, "netflow", d, cfg, &mut w);
    w.key("app_proto").string(f.app.proto.name().unwrap_or("unknown"));
    w.key("netflow").open().key("pkts").u64(side.packets).key("bytes").u64(side.bytes);
    w.key("start").time(f.start).key("end").time(f.last);
    w.key("age").i64(f.last.secs().saturating_sub(f.start.secs()));
    w.key("min_ttl").u64(side.ttl.0.into()).key("max_ttl").u64(side.ttl.1.into()).close();
    if f.proto == 6 {
        let flags = f.tcp.as_ref().map_or(0, |t| t.flags[d.index()]);
        w.key("tcp").open().key("tcp_flags").string(&format!("{flags:02x}"));
        named_flags(flags, &mut w);
        w.close();
    }
    w.close();
    Some(made(f, "netflow", d, index, w))
}

// What all records of flows begin with, from the side that sends in this direction.
fn begin(f: &mut Flow, event_type: &'static str, d: Direction, cfg: &Config, w: &mut JsonWriter) {
    let ports = matches!(f.proto, 6 | 17 | 132);
    if let Some(seed) = cfg.community_id {
        f.community_id(seed);
    }
    let ends = [(f.client, f.client_port), (f.server, f.server_port)];
    let (from, to) = (ends[d.index()], ends[d.reverse().index()]); // indices of two
    w.head(&Head {
        time: f.last,
        flow_id: Some(f.id),
        parent_id: f.parent_id(),
        in_iface: cfg.in_iface.as_deref(),
        event_type,
        vlans: f.vlans.as_slice(),
        src: Some(from.0),
        src_port: ports.then_some(from.1),
        dest: Some(to.0),
        dest_port: ports.then_some(to.1),
        proto: Some(f.proto),
        icmp: f.icmp,
        response_icmp: f.icmp_response,
        community_id: f.community_id.as_deref(),
        ..Head::default()
    });
}

fn made(f: &Flow, event_type: &'static str, d: Direction, index: u64, w: JsonWriter) -> Record {
    let ends = [f.client, f.server];
    Record {
        class: Class::Flow,
        event_type,
        event: f.last,
        observed: Timestamp::default(),
        packet_index: index,
        vlan: f.vlans.outer(),
        src: Some(ends[d.index()]), // indices of two
        dest: Some(ends[d.reverse().index()]),
        ruleset: None,
        json: w.finish(),
    }
}

fn exceptions(f: &Flow, cfg: &Config, w: &mut JsonWriter) {
    if f.exceptions == Exceptions::default() {
        return;
    }
    let stream = &cfg.stream;
    w.key("exception_policy").open_array();
    for (target, name, policy) in [
        (Target::Midstream, "stream_midstream", stream.midstream_policy),
        (Target::SessionMemcap, "stream_memcap", stream.memcap_policy),
        (Target::ReassemblyMemcap, "stream_reassembly", stream.reassembly_policy),
    ] {
        if f.exceptions.has(target) {
            w.open().key("target").string(name).key("policy").string(policy.name()).close();
        }
    }
    w.close_array();
}

fn named_flags(flags: u8, w: &mut JsonWriter) {
    for (bit, name) in ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"].into_iter().enumerate() {
        if flags >> bit & 1 == 1 {
            w.key(name).bool(true);
        }
    }
}

fn tcp(f: &Flow, w: &mut JsonWriter) {
    let sides = f.tcp.as_ref().map_or([0; 2], |t| t.flags);
    w.key("tcp").open();
    for (key, flags) in [("tcp_flags", sides[0] | sides[1]), ("tcp_flags_ts", sides[0]), ("tcp_flags_tc", sides[1])] {
        w.key(key).string(&format!("{flags:02x}"));
    }
    named_flags(sides[0] | sides[1], w);
    if let Some(t) = &f.tcp {
        w.key("state").string(t.state.name());
        let (ts, tc) = (Direction::ToServer, Direction::ToClient);
        let stream = f.stream.as_deref();
        for (d, key) in [(tc, "tc_gap"), (ts, "ts_gap")] {
            if stream.is_some_and(|s| s.gapped(d)) {
                w.key(key).bool(true);
            }
        }
        for (d, key) in [(ts, "ts_max_regions"), (tc, "tc_max_regions")] {
            w.key(key).u64(stream.map_or(1, |s| s.max_regions(d)).into());
        }
        for (d, key) in [(ts, "ts_urgent_oob_data"), (tc, "tc_urgent_oob_data")] {
            let n = stream.map_or(0, |s| s.urgent_seen(d));
            if n > 0 {
                w.key(key).u64(n.into());
            }
        }
    }
    w.close();
}
