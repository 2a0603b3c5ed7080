// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Frames, and the way of a packet from the decoder to the alert, for the tests of detection.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod below;
pub(crate) mod known;
pub(crate) mod small;

use std::sync::Arc;

use etherparse::PacketBuilder;
use lagewarte_app::{Apps, LayerEvents, Mode, Moment};
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, Packet, RawFrame, Transport};
use lagewarte_detect::{Candidate, Engine, Ordered, Output, Scratch};
use lagewarte_event::eve::Record;
use lagewarte_flow::{AppProto, ChunkKind, Config, Direction, Ended, Flow, FlowRef, FlowTable, Outcome, Reason};
use lagewarte_rules::{RuleSet, ast::PacketTest};
use serde_json::Value;

/// A frame and when it was seen, in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) ms: i64,
    pub(crate) bytes: Vec<u8>,
}

/// An end of a conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End(pub(crate) [u8; 4], pub(crate) u16);

/// Where rules of the tests stand: beside the lists that they name.
const RULE_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/test.rules");

pub(crate) const CLIENT: End = End([10, 0, 0, 1], 40_000);
pub(crate) const SERVER: End = End([192, 0, 2, 1], 80);

/// A frame out of a builder's packet.
pub(crate) fn frame(build: impl FnOnce(&mut Vec<u8>)) -> Frame {
    let mut bytes = Vec::new();
    build(&mut bytes);
    Frame { ms: 0, bytes }
}

pub(crate) fn ip(from: End, to: End, ttl: u8) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv4(from.0, to.0, ttl)
}

pub(crate) fn udp(from: End, to: End, payload: &[u8]) -> Frame {
    frame(|out| ip(from, to, 64).udp(from.1, to.1).write(out, payload).unwrap())
}

/// A TCP segment; flags as letters.
pub(crate) fn tcp(from: End, to: End, flags: &str, seq: u32, ack: u32, payload: &[u8]) -> Frame {
    let mut b = ip(from, to, 64).tcp(from.1, to.1, seq, 8192);
    for f in flags.chars() {
        b = match f {
            'F' => b.fin(),
            'S' => b.syn(),
            'R' => b.rst(),
            'P' => b.psh(),
            'A' => b.ack(ack),
            'U' => b.urg(0),
            'E' => b.ece(),
            'C' => b.cwr(),
            other => panic!("no flag {other}"),
        };
    }
    frame(|out| b.write(out, payload).unwrap())
}

pub(crate) fn icmp(from: End, to: End, kind: u8, code: u8, rest: [u8; 4], payload: &[u8]) -> Frame {
    frame(|out| ip(from, to, 64).icmpv4_raw(kind, code, rest).write(out, payload).unwrap())
}

/// A handshake and then segments from the client (true) or the server.
pub(crate) fn session(client: End, server: End, segments: &[(bool, &[u8])]) -> Vec<Frame> {
    let (mut a, mut b) = (1000u32, 9000u32);
    let mut out = vec![
        tcp(client, server, "S", a, 0, b""),
        tcp(server, client, "SA", b, a + 1, b""),
        tcp(client, server, "A", a + 1, b + 1, b""),
    ];
    a += 1;
    b += 1;
    for (from_client, data) in segments {
        let len = u32::try_from(data.len()).unwrap();
        if *from_client {
            out.push(tcp(client, server, "PA", a, b, data));
            a += len;
        } else {
            out.push(tcp(server, client, "PA", b, a, data));
            b += len;
        }
    }
    out
}

/// Two requests and their answers, acknowledged.
pub(crate) fn two_requests() -> Vec<Frame> {
    let server = End(SERVER.0, 80);
    let ask = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".as_slice();
    let (one, two) = (ask("x"), ask("y"));
    let mut frames = session(CLIENT, server, &[(true, &one), (false, answer), (true, &two), (false, answer)]);
    let [asked, answered] = [one.len() + two.len(), 2 * answer.len()].map(|n| u32::try_from(n).unwrap());
    frames.push(tcp(CLIENT, server, "A", 1001 + asked, 9001 + answered, b""));
    frames.push(tcp(server, CLIENT, "A", 9001 + answered, 1001 + asked, b""));
    frames
}

/// The same frame with some bytes of its IPv4 header changed and its checksum made anew.
pub(crate) fn patched(mut f: Frame, at: usize, bytes: &[u8]) -> Frame {
    const IP: usize = 14;
    f.bytes[IP + at..IP + at + bytes.len()].copy_from_slice(bytes);
    f.bytes[IP + 10..IP + 12].fill(0);
    let mut sum: u32 = f.bytes[IP..IP + 20].chunks(2).map(|c| u32::from(u16::from_be_bytes([c[0], c[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    f.bytes[IP + 10..IP + 12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    f
}

/// The same frame with these options behind its IPv4 header; a multiple of four bytes.
pub(crate) fn with_ip_options(mut f: Frame, options: &[u8]) -> Frame {
    const IP: usize = 14;
    f.bytes.splice(IP + 20..IP + 20, options.iter().copied());
    let words = u8::try_from(options.len() / 4).unwrap();
    let total = u16::from_be_bytes([f.bytes[IP + 2], f.bytes[IP + 3]]) + u16::try_from(options.len()).unwrap();
    f.bytes[IP] += words;
    f.bytes[IP + 2..IP + 4].copy_from_slice(&total.to_be_bytes());
    f
}

/// The same frame with VLAN tags, the outermost first.
pub(crate) fn tagged(mut f: Frame, ids: &[u16]) -> Frame {
    for id in ids.iter().rev() {
        let [a, b] = id.to_be_bytes();
        f.bytes.splice(12..12, [0x81, 0, a, b]);
    }
    f
}

/// The same frame with a time.
pub(crate) fn at(ms: i64, f: Frame) -> Frame {
    Frame { ms, ..f }
}

/// Rules as text; panics where one is refused.
pub(crate) fn rules(text: &str) -> RuleSet {
    let set = lagewarte_rules::parse(&[(RULE_FILE, text.as_bytes())], &known::options());
    assert!(set.refused.is_empty(), "{:?}", set.refused);
    set
}

/// A DNS message: flags, names asked for with their type, names answered (A, 192.0.2.9).
pub(crate) fn dns(flags: u16, asked: &[(&str, u16)], answered: &[&str]) -> Vec<u8> {
    let name = |n: &str| -> Vec<u8> {
        let labels = n.split('.').flat_map(|l| [&[u8::try_from(l.len()).unwrap()], l.as_bytes()].concat());
        labels.chain([0]).collect()
    };
    let mut out = vec![0, 7];
    out.extend(flags.to_be_bytes());
    for n in [asked.len(), answered.len(), 0, 0] {
        out.extend(u16::try_from(n).unwrap().to_be_bytes());
    }
    for (n, t) in asked {
        out.extend(name(n));
        out.extend(t.to_be_bytes());
        out.extend([0, 1]);
    }
    for n in answered {
        out.extend(name(n));
        out.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9]);
    }
    out
}

/// Stock choices, with the template's protocol on port 4000.
fn app_config() -> Arc<lagewarte_app::Config> {
    let mut config = lagewarte_app::Config::default();
    let template = config.of_mut(AppProto::Template);
    for over in [&mut template.tcp, &mut template.udp] {
        over.mode = Mode::On;
        over.ports = vec![(4000, 4000)];
    }
    Arc::new(config)
}

/// Everything behind the decoder, for one worker.
pub(crate) struct Rig {
    pub(crate) engine: Engine,
    pub(crate) table: FlowTable,
    pub(crate) apps: Apps,
    pub(crate) scratch: Scratch,
    pub(crate) ordered: Ordered,
    /// Packets that were recorded for a tag.
    pub(crate) recorded: Vec<u64>,
    /// Events of transactions that were written.
    pub(crate) written: Vec<Record>,
    /// Whether checksums are tested: where a rule asks for them.
    checksums: bool,
    index: u64,
}

impl Rig {
    pub(crate) fn new(mut set: RuleSet, output: Output) -> Self {
        lagewarte_detect::vet(&mut set);
        assert!(set.refused.is_empty(), "{:?}", set.refused);
        let asks = |t: &PacketTest| matches!(t, PacketTest::Csum(..));
        let checksums = set.rules.iter().any(|r| r.packet.iter().any(asks));
        let engine = Engine::new(set, output).unwrap();
        let mut apps = Apps::new(app_config(), 1);
        apps.ask(engine.asked());
        apps.ask_frames(engine.frames());
        Self {
            checksums,
            engine,
            table: FlowTable::new(Arc::new(Config::default()), 1),
            apps,
            scratch: Scratch::default(),
            ordered: Ordered::default(),
            recorded: Vec::new(),
            written: Vec::new(),
            index: 0,
        }
    }

    /// Streams take segments with any checksum from now on: `-k none`.
    pub(crate) fn any_checksum(&mut self) {
        self.checksums = false;
    }

    /// The matches of one frame, before the ordered stage.
    pub(crate) fn matches(&mut self, f: &Frame) -> Vec<Candidate> {
        self.index += 1;
        let p = Decoder { checksums: self.checksums, ..Decoder::default() }.decode(RawFrame {
            index: self.index,
            time: Timestamp::from_micros(1_700_000_000_000_000 + f.ms * 1000),
            linktype: 1,
            wire_len: u32::try_from(f.bytes.len()).unwrap(),
            data: &f.bytes,
        });
        let mut records = Vec::new();
        let mut outcome = self.table.packet(&p, &mut records);
        let mut flow = match &mut outcome {
            Outcome::Flow(f) => Some(f),
            _ => None,
        };
        let mut layer = LayerEvents::default();
        if let Some(f) = flow.as_deref_mut() {
            if let Transport::Udp(_) = p.transport {
                layer = self.apps.udp(f, p.payload, p.time);
            }
            f.chunks(|f, c| {
                layer.join(match c.kind {
                    ChunkKind::Data => self.apps.tcp(f, c.direction, c.data, p.time),
                    ChunkKind::Gap(n) => self.apps.tcp_gap(f, c.direction, n, p.time),
                    ChunkKind::Depth => self.apps.tcp_depth(f, c.direction, p.time),
                    ChunkKind::End => self.apps.tcp_end(f, c.direction, p.time),
                });
            });
        }
        let mut out = Vec::new();
        self.recorded.extend(self.engine.tagged(&p, flow.as_deref_mut(), &mut self.scratch).map(|r| r.packet_index));
        self.engine.inspect(&p, flow.as_deref_mut(), layer, &mut self.scratch, &mut out);
        if let Some(f) = flow {
            let config = self.apps.config_handle();
            if let Some(app) = self.apps.get_mut(f.flow) {
                self.engine.inspect_transactions(&p, f, app, &config, &mut self.scratch, &mut out);
                self.engine.inspect_frames(&p, f, app, &config, &mut self.scratch, &mut out);
            }
            if f.flow.app.slot != 0 {
                let moment = Moment { packet: &p, direction: f.direction };
                self.apps.write(f.flow, &moment, true, &mut self.written);
            }
        }
        out
    }

    /// The alerts where all flows end now.
    pub(crate) fn finish(&mut self) -> Vec<Value> {
        let Self { engine, apps, scratch, .. } = self;
        let mut ending = Ending { engine, apps, scratch, out: Vec::new() };
        self.table.finish(Timestamp::from_micros(1_700_000_000_000_000), self.index, &mut ending);
        let out = ending.out;
        let alerts = out.iter().filter_map(|c| self.ordered.admit(c));
        alerts.map(|r| serde_json::from_str(&r.json).expect("an alert is JSON")).collect()
    }

    /// The alerts of a run.
    pub(crate) fn run(&mut self, frames: &[Frame]) -> Vec<Value> {
        let mut alerts = Vec::new();
        for f in frames {
            for c in self.matches(f) {
                alerts.extend(self.ordered.admit(&c).map(|r| serde_json::from_str(&r.json).expect("an alert is JSON")));
            }
        }
        alerts
    }
}

/// What a flow's end gives rules to look at.
struct Ending<'r> {
    engine: &'r Engine,
    apps: &'r mut Apps,
    scratch: &'r mut Scratch,
    out: Vec<Candidate>,
}

impl Ended for Ending<'_> {
    fn ending(&mut self, flow: &mut Flow, _: Reason, index: u64) {
        let ends = [(flow.client, flow.client_port), (flow.server, flow.server_port)];
        for (direction, from, to) in [(Direction::ToServer, ends[0], ends[1]), (Direction::ToClient, ends[1], ends[0])]
        {
            let p = Packet::at_end(index, flow.last, from, to, flow.proto);
            let f = &mut FlowRef::at_end(flow, direction);
            self.engine.inspect(&p, Some(f), LayerEvents::default(), self.scratch, &mut self.out);
        }
        self.apps.finish(flow);
        let config = self.apps.config_handle();
        for (direction, from, to) in [(Direction::ToServer, ends[0], ends[1]), (Direction::ToClient, ends[1], ends[0])]
        {
            let Some(app) = self.apps.get_mut(flow) else { return };
            let p = Packet::at_end(index, flow.last, from, to, flow.proto);
            let f = &mut FlowRef::at_end(flow, direction);
            self.engine.inspect_frames(&p, f, app, &config, self.scratch, &mut self.out);
        }
    }
    fn record(&mut self, _: Record, _: &Flow) {}
}

/// The alerts that rules give on frames.
pub(crate) fn alerts(text: &str, frames: &[Frame]) -> Vec<Value> {
    Rig::new(rules(text), Output::default()).run(frames)
}

/// (sid, packet) of alerts, in order.
pub(crate) fn sids(alerts: &[Value]) -> Vec<(u64, u64)> {
    let of = |a: &Value| (a["alert"]["signature_id"].as_u64(), a["pcap_cnt"].as_u64());
    alerts.iter().map(of).map(|(s, n)| (s.unwrap(), n.unwrap())).collect()
}
