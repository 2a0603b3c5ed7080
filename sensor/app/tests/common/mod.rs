// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A flow table and the application layer behind it, fed with packets.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{net::IpAddr, sync::Arc};

use lagewarte_app::{Apps, Config, LayerEvents, Mode, Moment, State};
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, Packet, RawFrame, Transport};
use lagewarte_event::eve::Record;
use lagewarte_flow::{
    AppProto, ChunkKind, Config as FlowConfig, Direction, Ended, Flow, FlowRef, FlowTable, Outcome, Pickup, Reason,
};
use lagewarte_testkit::{tcp, udp};
use serde_json::Value;

pub(crate) type End = (IpAddr, u16);
pub(crate) const TS: Direction = Direction::ToServer;
pub(crate) const TC: Direction = Direction::ToClient;
pub(crate) const CLIENT: End = (IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 40_000);
pub(crate) const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 9));
const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;

/// Stock choices, the template's protocol on port 4000, anomalies on.
pub(crate) fn config() -> Config {
    let mut c = Config::default();
    let t = c.of_mut(AppProto::Template);
    for over in [&mut t.tcp, &mut t.udp] {
        over.mode = Mode::On;
        over.ports = vec![(4000, 4000)];
    }
    c.anomalies = true;
    c
}

pub(crate) struct Rig {
    table: FlowTable,
    pub(crate) parts: Parts,
    n: u64,
    server: End,
    seq: [u32; 2],
}

/// What flows that end need.
pub(crate) struct Parts {
    pub(crate) apps: Apps,
    pub(crate) out: Vec<Record>,
    pub(crate) events: LayerEvents,
    /// `app_proto` and the like of flows that ended.
    pub(crate) flows: Vec<Value>,
    /// Frames that were kept for rules: what each is, its bytes, and whether it is whole.
    pub(crate) frames: Vec<(&'static str, Vec<u8>, bool)>,
    /// Of the last packet's flow: whether its bytes are taken to be encrypted from now on, and whether nothing of it is parsed.
    pub(crate) sealed: bool,
    pub(crate) over: bool,
}

impl Parts {
    fn stream(&mut self, f: &mut FlowRef<'_>, time: Timestamp) {
        let Self { apps, events, .. } = self;
        f.chunks(|f, c| {
            events.join(match c.kind {
                ChunkKind::Data => apps.tcp(f, c.direction, c.data, time),
                ChunkKind::Gap(n) => apps.tcp_gap(f, c.direction, n, time),
                ChunkKind::Depth => apps.tcp_depth(f, c.direction, time),
                ChunkKind::End => apps.tcp_end(f, c.direction, time),
            });
        });
    }
}

impl Ended for Parts {
    fn ending(&mut self, flow: &mut Flow, _: Reason, index: u64) {
        let time = flow.last;
        self.stream(&mut FlowRef::at_end(flow, TS), time);
        self.apps.finish(flow);
        let p =
            Packet::at_end(index, time, (flow.client, flow.client_port), (flow.server, flow.server_port), flow.proto);
        self.apps.write(flow, &Moment { packet: &p, direction: TS }, false, &mut self.out);
        self.apps.forget(flow);
    }
    fn record(&mut self, record: Record, _: &Flow) {
        self.flows.push(serde_json::from_str(&record.json).expect("a record is JSON"));
    }
}

impl Rig {
    pub(crate) fn new(config: Config, port: u16) -> Self {
        let pickup = Pickup { midstream: true, async_oneside: false };
        Self {
            table: FlowTable::new(Arc::new(FlowConfig { pickup, ..FlowConfig::default() }), 1),
            parts: Parts {
                apps: Apps::new(Arc::new(config), 1),
                out: Vec::new(),
                events: LayerEvents::default(),
                flows: Vec::new(),
                frames: Vec::new(),
                sealed: false,
                over: false,
            },
            n: 0,
            server: (SERVER, port),
            seq: [1000, 5000],
        }
    }
    /// With the TCP handshake done.
    pub(crate) fn open(config: Config, port: u16) -> Self {
        let mut r = Self::new(config, port);
        r.packet(&tcp(CLIENT, r.server, SYN, 1000, 0, b""));
        r.packet(&tcp(r.server, CLIENT, SYN | ACK, 5000, 1001, b""));
        r.packet(&tcp(CLIENT, r.server, ACK, 1001, 5001, b""));
        r.seq = [1001, 5001];
        r
    }
    /// Sends bytes, in segments, and has each acknowledged.
    pub(crate) fn send(&mut self, d: Direction, data: &[u8]) {
        for piece in data.chunks(1400) {
            self.segment(d, ACK, piece);
        }
    }
    /// Loses bytes that the other side has all the same.
    pub(crate) fn lose(&mut self, d: Direction, bytes: u32) {
        let me = d.index();
        self.seq[me] = self.seq[me].wrapping_add(bytes);
        self.acknowledge(d);
    }
    pub(crate) fn close(&mut self, d: Direction) {
        self.segment(d, ACK | FIN, b"");
    }
    fn segment(&mut self, d: Direction, flags: u8, data: &[u8]) {
        let (me, other) = (d.index(), d.reverse().index());
        let ends = [CLIENT, self.server];
        let frame = tcp(ends[me], ends[other], flags, self.seq[me], self.seq[other], data);
        self.packet(&frame);
        self.seq[me] = self.seq[me].wrapping_add(data.len() as u32 + u32::from(flags & FIN));
        self.acknowledge(d);
    }
    fn acknowledge(&mut self, d: Direction) {
        let (me, other) = (d.index(), d.reverse().index());
        let ends = [CLIENT, self.server];
        self.packet(&tcp(ends[other], ends[me], ACK, self.seq[other], self.seq[me], b""));
    }
    /// Sends a datagram.
    pub(crate) fn datagram(&mut self, d: Direction, data: &[u8]) {
        let ends = [CLIENT, self.server];
        self.packet(&udp(ends[d.index()], ends[d.reverse().index()], data));
    }
    pub(crate) fn packet(&mut self, frame: &[u8]) {
        self.n += 1;
        let raw = RawFrame {
            index: self.n,
            time: Timestamp::from_parts(1, 0),
            linktype: 1,
            wire_len: frame.len() as u32,
            data: frame,
        };
        let decoder = Decoder::default();
        let mut p = decoder.decode(raw);
        while let Some(inner) = decoder.inner(&p) {
            p = inner; // what a tunnel carries, and nothing of the tunnel itself
        }
        if let Outcome::Flow(mut f) = self.table.packet(&p, &mut self.parts) {
            if let Transport::Udp(_) = p.transport {
                let events = self.parts.apps.udp(&mut f, p.payload, p.time);
                self.parts.events.join(events);
            }
            self.parts.stream(&mut f, p.time);
            (self.parts.sealed, self.parts.over) = (f.flow.app.sealed, f.flow.app.over);
            if let Some(frames) = self.parts.apps.get_mut(f.flow).and_then(|app| app.frames.as_mut()) {
                let both = [TS, TC].map(|d| {
                    let all = frames.towards(d).iter();
                    all.map(|f| (f.kind.name(), f.bytes().to_vec(), f.complete())).collect::<Vec<_>>()
                });
                self.parts.frames.extend(both.concat());
            }
            let direction = f.direction;
            self.parts.apps.write(f.flow, &Moment { packet: &p, direction }, false, &mut self.parts.out);
            f.release();
        }
    }
    /// Ends every flow.
    pub(crate) fn finish(&mut self) -> &mut Self {
        self.table.finish(Timestamp::from_parts(1, 0), self.n, &mut self.parts);
        self
    }
    /// Names of the layer's events since the last call.
    pub(crate) fn events(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.parts.events).iter().map(|e| e.name()).collect()
    }
    /// What was written since the last call.
    pub(crate) fn written(&mut self) -> Vec<Value> {
        let records = std::mem::take(&mut self.parts.out);
        records.iter().map(|r| serde_json::from_str(&r.json).expect("an event is JSON")).collect()
    }
    /// The record of the only flow that ended.
    pub(crate) fn flow(&self) -> &Value {
        assert_eq!(self.parts.flows.len(), 1);
        &self.parts.flows[0]
    }
    /// Bytes that are still charged.
    pub(crate) fn memuse(&self) -> u64 {
        self.parts.apps.counters().memuse
    }
}

/// Whether a protocol is parsed by this crate.
pub(crate) fn parsed(p: AppProto) -> bool {
    State::events_of(p).is_some()
}
