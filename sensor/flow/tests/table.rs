// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Behaviour of the flow table: what is one flow, how it ends, what its record says, and that the cap holds.

use std::{net::IpAddr, sync::Arc};

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, Packet, RawFrame};
use lagewarte_event::eve::Record;
use lagewarte_flow::{Config, Direction, FlowTable, FullPolicy, Outcome};
use lagewarte_testkit::{Capture, Session, icmp_echo, icmp_unreachable, tcp, udp, with_vlans};
use proptest::prelude::*;
use serde_json::Value;

fn ip(s: &str) -> IpAddr {
    s.parse().expect("literal")
}

fn packet(index: u64, time: Timestamp, data: &[u8]) -> Packet<'_> {
    let raw = RawFrame { index, time, linktype: 1, wire_len: data.len() as u32, data };
    Decoder::default().decode(raw)
}

struct Run {
    table: FlowTable,
    index: u64,
    records: Vec<Record>,
    last: Timestamp,
}

impl Run {
    fn new(cfg: Config) -> Self {
        Self { table: FlowTable::new(Arc::new(cfg), 1), index: 0, records: Vec::new(), last: Timestamp::default() }
    }
    /// What a packet at `secs` found: direction, whether established, whether new.
    fn at(&mut self, secs: i64, frame: &[u8]) -> Option<(Direction, bool, bool)> {
        self.time(Timestamp::from_parts(secs, 0), frame)
    }
    fn time(&mut self, time: Timestamp, frame: &[u8]) -> Option<(Direction, bool, bool)> {
        self.index += 1;
        self.last = time;
        match self.table.packet(&packet(self.index, time, frame), &mut self.records) {
            Outcome::Flow(f) => Some((f.direction, f.established, f.new)),
            _ => None,
        }
    }
    fn finish(mut self) -> Vec<Value> {
        self.table.finish(self.last, self.index, &mut self.records);
        assert_eq!(self.table.counters().active, 0);
        self.values()
    }
    fn values(&self) -> Vec<Value> {
        self.records.iter().map(|r| serde_json::from_str(&r.json).expect("valid JSON")).collect()
    }
}

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;

#[test]
fn a_tcp_session_is_one_flow_with_the_record_that_eve_has() {
    let (client, server) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let mut c = Capture::ethernet();
    let mut s = Session::open(&mut c, client, server, Timestamp::from_parts(1_700_000_000, 500_000));
    s.client(b"GET / HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 200 OK\r\n\r\n").wait(2_000_000).close();
    let mut run = Run::new(Config { community_id: Some(0), ..Config::default() });
    for p in &c.packets {
        run.time(p.time, &p.data);
    }
    let records = run.finish();
    assert_eq!(records.len(), 1);
    let mut r = records[0].clone();
    assert!(r["flow_id"].as_i64().is_some_and(|id| id > 0 && id < 1 << 53));
    r["flow_id"] = 1.into();
    // Frames: 54 bytes without data, 72 and 73 with it.
    assert_eq!(
        r,
        serde_json::json!({
            "timestamp": "2023-11-14T22:13:22.509000+0000", "flow_id": 1, "event_type": "flow",
            "src_ip": "192.0.2.1", "src_port": 40000, "dest_ip": "198.51.100.9", "dest_port": 80, "proto": "TCP", "ip_v": 4,
            "community_id": lagewarte_flow::community_id(0, client.0, server.0, 6, (40000, 80)),
            "flow": {"pkts_toserver": 6, "pkts_toclient": 4, "bytes_toserver": 6 * 54 + 18, "bytes_toclient": 4 * 54 + 19,
                "start": "2023-11-14T22:13:20.500000+0000", "end": "2023-11-14T22:13:22.509000+0000", "age": 2,
                "state": "closed", "reason": "shutdown", "alerted": false},
            "tcp": {"tcp_flags": "1b", "tcp_flags_ts": "1b", "tcp_flags_tc": "1b", "syn": true, "fin": true, "psh": true,
                "ack": true, "state": "closed", "ts_max_regions": 1, "tc_max_regions": 1},
        })
    );
}

#[test]
fn each_side_of_a_flow_is_a_netflow_event_where_that_is_wished() {
    let (client, server) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let mut c = Capture::ethernet();
    let mut s = Session::open(&mut c, client, server, Timestamp::from_parts(1_700_000_000, 500_000));
    s.client(b"GET / HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 200 OK\r\n\r\n").wait(2_000_000).close();
    let mut run = Run::new(Config { records: false, netflow: true, ..Config::default() });
    for (n, p) in c.packets.iter().enumerate() {
        let mut frame = p.data.clone();
        if n == 3 {
            // The time to live of one of the client's, and the checksum of its head with it (RFC 1624).
            frame[22] = 7;
            let sum = u32::from(u16::from_be_bytes([frame[24], frame[25]])) + ((64 - 7) << 8);
            frame[24..26].copy_from_slice(&((sum & 0xffff) as u16 + (sum >> 16) as u16).to_be_bytes());
        }
        run.time(p.time, &frame);
    }
    run.at(1_700_000_001, &udp((client.0, 7), server, b"never answered"));
    let records = run.finish();
    let of = |r: &Value| {
        (r["src_ip"].clone(), r["src_port"].clone(), r["dest_port"].clone(), r["netflow"].clone(), r["tcp"].clone())
    };
    let times = |mut v: Value| {
        v["start"] = "2023-11-14T22:13:20.500000+0000".into();
        v["end"] = "2023-11-14T22:13:22.509000+0000".into();
        v["age"] = 2.into();
        v
    };
    let flags = serde_json::json!({"tcp_flags": "1b", "syn": true, "fin": true, "psh": true, "ack": true});
    let up = times(serde_json::json!({"pkts": 6, "bytes": 6 * 54 + 18, "min_ttl": 7, "max_ttl": 64}));
    let down = times(serde_json::json!({"pkts": 4, "bytes": 4 * 54 + 19, "min_ttl": 64, "max_ttl": 64}));
    let tcp: Vec<&Value> = records.iter().filter(|r| r["proto"] == "TCP").collect();
    assert_eq!(tcp.len(), 2);
    assert_eq!(of(tcp[0]), ("192.0.2.1".into(), 40_000.into(), 80.into(), up, flags.clone()));
    assert_eq!(of(tcp[1]), ("198.51.100.9".into(), 80.into(), 40_000.into(), down, flags));
    assert_eq!(tcp[0]["flow_id"], tcp[1]["flow_id"]);
    assert!(records.iter().all(|r| r["event_type"] == "netflow" && r["app_proto"] == "unknown"));
    assert_eq!(records.iter().filter(|r| r["proto"] == "UDP").count(), 1, "one side said nothing");
}

#[test]
fn establishment_is_what_was_known_before_a_tcp_packet_and_with_a_udp_answer() {
    let (a, b) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let mut run = Run::new(Config::default());
    assert_eq!(run.at(1, &tcp(a, b, 2, 100, 0, b"")), Some((TS, false, true)));
    assert_eq!(run.at(1, &tcp(b, a, 18, 500, 101, b"")), Some((TC, false, false)));
    assert_eq!(run.at(1, &tcp(a, b, 16, 101, 501, b"")), Some((TS, false, false)));
    assert_eq!(run.at(1, &tcp(a, b, 24, 101, 501, b"x")), Some((TS, true, false)));
    assert_eq!(run.at(1, &udp(a, b, b"q")), Some((TS, false, true)));
    assert_eq!(run.at(1, &udp(a, b, b"q")), Some((TS, false, false)));
    assert_eq!(run.at(1, &udp(b, a, b"r")), Some((TC, true, false)));
    let mut wrong = tcp((a.0, 7), b, 2, 100, 0, b"");
    wrong[51] ^= 1;
    assert_eq!(run.at(1, &wrong), Some((TS, false, true)));
    assert_eq!(run.table.stream_memory().counters().invalid_checksum, 1);
    let states: Vec<_> = run.finish().iter().map(|r| r["tcp"]["state"].as_str().unwrap_or("-").to_owned()).collect();
    assert_eq!(states, ["established", "-", "-"], "a segment with a wrong checksum begins no session");
}

#[test]
fn flows_end_by_the_timeout_of_their_state_and_protocol() {
    let (a, b) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    // (frames that bring the flow into its state, seconds that it lives)
    let syn = tcp(a, b, 2, 100, 0, b"");
    let open = vec![syn.clone(), tcp(b, a, 18, 500, 101, b""), tcp(a, b, 16, 101, 501, b"")];
    let mut closed = open.clone();
    closed.push(tcp(b, a, 20, 501, 101, b""));
    for (what, frames, lives) in [
        ("TCP new", vec![syn], 60),
        ("TCP established", open, 600),
        ("TCP closed", closed, 60),
        ("UDP new", vec![udp(a, b, b"q")], 30),
        ("UDP established", vec![udp(a, b, b"q"), udp(b, a, b"r")], 300),
        ("ICMP new", vec![icmp_echo(a.0, b.0, true, 1, 1, b"")], 30),
        ("ICMP established", vec![icmp_echo(a.0, b.0, true, 1, 1, b""), icmp_echo(b.0, a.0, false, 1, 1, b"")], 300),
    ] {
        for (later, reason) in [(lives, "shutdown"), (lives + 1, "timeout")] {
            // By a sweep, by the next packet of the 5-tuple, and at the end of the capture alike.
            let fill = || {
                let mut run = Run::new(Config::default());
                for f in &frames {
                    run.at(1000, f);
                }
                run
            };
            let mut swept = fill();
            swept.table.sweep(Timestamp::from_parts(1000 + later, 0), 9, &mut swept.records);
            assert_eq!(swept.records.is_empty(), reason == "shutdown", "{what} after {later} s, swept");
            let mut met = fill();
            met.at(1000 + later, frames.last().expect("a frame"));
            assert_eq!(met.records.is_empty(), reason == "shutdown", "{what} after {later} s, met");
            let mut ended = fill();
            ended.last = Timestamp::from_parts(1000 + later, 0);
            assert_eq!(ended.finish()[0]["flow"]["reason"], reason, "{what} after {later} s, at the end");
            if reason == "timeout" {
                let bytes = |r: &Run| r.records[0].json.clone();
                assert_eq!(bytes(&swept), bytes(&met), "{what}: the record does not depend on who noticed");
            }
        }
    }
}

#[test]
fn a_new_connection_on_an_old_tuple_is_a_new_flow() {
    let (a, b) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let mut run = Run::new(Config::default());
    run.at(1, &tcp(a, b, 2, 100, 0, b""));
    run.at(1, &tcp(b, a, 20, 0, 101, b""));
    assert_eq!(run.at(2, &tcp(a, b, 2, 100, 0, b"")), Some((TS, true, false)), "the same SYN again is no new flow");
    assert_eq!(run.at(2, &tcp(a, b, 2, 7777, 0, b"")), Some((TS, false, true)));
    let reasons: Vec<_> = run.finish().iter().map(|r| r["flow"]["reason"].as_str().unwrap_or("-").to_owned()).collect();
    assert_eq!(reasons, ["tcp_reuse", "shutdown"]);
}

#[test]
fn vlans_tell_flows_apart_unless_told_not_to() {
    let frame = udp((ip("192.0.2.1"), 1), (ip("192.0.2.2"), 2), b"q");
    for (tracking, flows) in [(true, 3), (false, 1)] {
        let mut run = Run::new(Config { vlan_tracking: tracking, ..Config::default() });
        run.at(1, &frame);
        run.at(1, &with_vlans(&frame, &[6]));
        run.at(1, &with_vlans(&frame, &[1, 10]));
        let records = run.finish();
        assert_eq!(records.len(), flows);
        if tracking {
            assert_eq!(
                (&records[1]["vlan"], &records[2]["vlan"]),
                (&serde_json::json!([6]), &serde_json::json!([1, 10]))
            );
        }
    }
}

#[test]
fn an_icmp_error_belongs_to_the_flow_that_it_quotes_and_never_begins_one() {
    let (a, b) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 53));
    let query = udp(a, b, b"q");
    let error = icmp_unreachable(ip("203.0.113.1"), a.0, 3, &query);
    let mut run = Run::new(Config::default());
    assert_eq!(run.at(1, &error), None);
    assert_eq!(run.table.counters().icmp_without_flow, 1);
    run.at(1, &query);
    assert_eq!(run.at(2, &error), Some((TC, false, false)));
    let records = run.finish();
    assert_eq!(records.len(), 1);
    let f = &records[0]["flow"];
    assert_eq!((&f["pkts_toserver"], &f["pkts_toclient"], &f["state"]), (&1.into(), &1.into(), &"new".into()));
}

#[test]
fn an_echo_and_its_reply_are_one_flow_with_both_types() {
    for (a, b, types) in [("192.0.2.1", "192.0.2.2", (8, 0)), ("2001:db8::1", "2001:db8::2", (128, 129))] {
        let mut run = Run::new(Config::default());
        run.at(1, &icmp_echo(ip(a), ip(b), true, 1, 1, b""));
        assert_eq!(run.at(1, &icmp_echo(ip(b), ip(a), false, 1, 1, b"")), Some((TC, true, false)));
        let r = &run.finish()[0];
        assert_eq!((&r["icmp_type"], &r["response_icmp_type"]), (&types.0.into(), &types.1.into()));
    }
}

/// A table that holds a handful of flows only.
fn small(full: FullPolicy) -> (Run, usize) {
    let run = Run::new(Config { memcap: 8192, full, ..Config::default() });
    let capacity = run.table.capacity();
    assert!((2..20).contains(&capacity), "{capacity}");
    (run, capacity)
}

#[test]
fn a_full_table_does_what_its_policy_says_and_never_holds_more() {
    let query = |i: usize| udp((IpAddr::from([10, 0, (i >> 8) as u8, i as u8]), 1), (ip("192.0.2.2"), 53), b"q");
    let (mut run, capacity) = small(FullPolicy::EvictOldest);
    for i in 0..capacity {
        run.at(1, &query(i));
    }
    run.at(1, &query(0)); // the oldest is now the second
    assert_eq!(run.at(1, &query(capacity)), Some((TS, false, true)));
    assert_eq!((run.records.len(), run.table.counters().evicted), (1, 1));
    assert_eq!(
        (&run.values()[0]["src_ip"], &run.values()[0]["flow"]["reason"]),
        (&"10.0.0.1".into(), &"forced".into())
    );
    for i in 0..1000 {
        run.at(2, &query(i));
        assert!(run.table.counters().active <= capacity as u64);
        assert!(run.table.counters().memuse <= 8192);
    }
    let (total, records) = (run.table.counters().total, run.finish());
    assert_eq!(records.len() as u64, total, "every flow has its record");

    for policy in [FullPolicy::Ignore, FullPolicy::DropPacket] {
        let (mut run, capacity) = small(policy);
        for i in 0..capacity + 5 {
            run.at(1, &query(i));
        }
        assert_eq!((run.table.counters().memcap, run.table.counters().evicted), (5, 0));
        assert_eq!(run.at(1, &query(0)), Some((TS, false, false)), "flows in the table go on");
        let outcome = matches!(
            run.table.packet(&packet(99, Timestamp::from_parts(1, 0), &query(900)), &mut run.records),
            Outcome::Drop
        );
        assert_eq!(outcome, policy == FullPolicy::DropPacket);
    }
}

#[test]
fn policies_have_suricatas_names_and_others_are_refused() {
    for (name, want) in [
        ("auto", Some(FullPolicy::EvictOldest)),
        ("ignore", Some(FullPolicy::Ignore)),
        ("drop-packet", Some(FullPolicy::DropPacket)),
        ("reject", None),
        ("bypass", None),
    ] {
        assert_eq!(FullPolicy::parse(name), want, "{name}");
    }
}

proptest! {
    /// Whatever comes in whatever order and time: each packet is counted in one flow, each flow has one record.
    #[test]
    fn packets_are_conserved(steps in prop::collection::vec((0u8..4, 0u8..4, 0u8..5, 0i64..2000, any::<u8>()), 0..200), cap in 4096u64..40_000) {
        let mut run = Run::new(Config { memcap: cap, ..Config::default() });
        let (mut counted, mut t) = (0, 1000);
        for (src, dst, kind, wait, flags) in steps {
            t += wait - 900;
            let (a, b) = ((IpAddr::from([10, 0, 0, src]), 1000), (IpAddr::from([10, 0, 0, dst]), 1000));
            let frame = match kind {
                0 => udp(a, b, b"x"),
                1 | 2 => tcp(a, b, flags & 0x17, u32::from(flags), 1, b"y"),
                3 => icmp_echo(a.0, b.0, flags & 1 == 0, 1, 1, b""),
                _ => icmp_unreachable(a.0, b.0, 1, &udp(b, a, b"x")),
            };
            counted += u64::from(run.at(t, &frame).is_some());
            if flags & 0xe0 == 0 {
                let at = Timestamp::from_parts(t, 0);
                run.table.sweep(at, run.index, &mut run.records);
            }
        }
        let total = run.table.counters().total;
        let records = run.finish();
        prop_assert_eq!(records.len() as u64, total);
        let packets: u64 = records.iter().map(|r| r["flow"]["pkts_toserver"].as_u64().unwrap_or(0) + r["flow"]["pkts_toclient"].as_u64().unwrap_or(0)).sum();
        prop_assert_eq!(packets, counted);
    }
}

#[test]
fn a_flow_lists_the_link_addresses_of_its_ends_up_to_a_cap() {
    let (a, b) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let mut run = Run::new(Config { ethernet: true, ..Config::default() });
    // The source's address ends with the number, the destination's is one and the same.
    let from = |mut frame: Vec<u8>, n: u8| {
        frame[..6].copy_from_slice(&[2, 0, 0, 0, 1, 0]);
        frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, n]);
        frame
    };
    for n in 1..30 {
        run.at(1, &from(udp(a, b, b"q"), n));
    }
    run.at(1, &from(udp(b, a, b"r"), 99));
    let ether = run.finish()[0]["ether"].clone();
    let macs = |key: &str| ether[key].as_array().map(|l| l.iter().filter_map(|m| m.as_str()).collect::<Vec<_>>());
    assert_eq!(macs("dest_macs"), Some(vec!["02:00:00:00:01:00", "02:00:00:00:00:63"]));
    let clients = macs("src_macs").unwrap();
    assert_eq!((clients.len(), clients[0]), (lagewarte_flow::MAX_MACS, "02:00:00:00:00:01"));
}
