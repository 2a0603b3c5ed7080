// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is asked of a flow and of its state: names, sides, whether it closes, its sizes, and what counters add up to.

#![expect(clippy::panic, reason = "a test file: helpers of the tests fail as the tests do")]

use std::{net::IpAddr, sync::Arc};

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, RawFrame};
use lagewarte_event::eve::Record;
use lagewarte_flow::{
    AppProto, AppState, Config, Direction, Ended, Exception, Flow, FlowRef, FlowTable, Outcome, Pickup, Reason, State,
};
use lagewarte_testkit::{icmp_echo, tcp, udp};
use serde_json::{Value, json};

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;

fn ip(s: &str) -> IpAddr {
    s.parse().expect("literal")
}

struct Run {
    table: FlowTable,
    records: Vec<Record>,
}

impl Run {
    fn new(config: Config) -> Self {
        Self { table: FlowTable::new(Arc::new(config), 1), records: Vec::new() }
    }
    fn with<T>(&mut self, frame: &[u8], ask: impl FnOnce(&mut FlowRef<'_>) -> T) -> T {
        let wire_len = frame.len() as u32;
        let raw = RawFrame { index: 1, time: Timestamp::from_parts(1, 0), linktype: 1, wire_len, data: frame };
        let p = Decoder::default().decode(raw);
        let Outcome::Flow(mut f) = self.table.packet(&p, &mut self.records) else { panic!("no flow") };
        let answer = ask(&mut f);
        f.release();
        answer
    }
    /// The record of the only flow.
    fn record(mut self) -> Value {
        self.table.finish(Timestamp::from_parts(1, 0), 1, &mut self.records);
        assert_eq!(self.records.len(), 1);
        serde_json::from_str(&self.records[0].json).expect("valid JSON")
    }
}

#[test]
fn a_session_says_what_it_is_about_to_do_and_how_much_it_carried() {
    let (c, s) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let mut run = Run::new(Config::default());
    run.with(&tcp(c, s, 2, 100, 0, b""), |f| assert!(f.new && !f.closing() && !f.guessed()));
    run.with(&tcp(s, c, 18, 500, 101, b""), |f| assert_eq!(f.direction, TC));
    run.with(&tcp(c, s, 16, 101, 501, b""), |f| assert!(f.next_chunk().is_none()));
    run.with(&tcp(c, s, 24, 101, 501, b"hello"), |f| assert!(!f.closing()));
    let mut seen = Vec::new();
    run.with(&tcp(s, c, 16, 501, 106, b""), |f| f.chunks(|_, chunk| seen.push((chunk.direction, chunk.data.to_vec()))));
    assert_eq!(seen, [(TS, b"hello".to_vec())]);
    // SYN and five bytes of the client, SYN of the server.
    run.with(&tcp(s, c, 16, 501, 106, b""), |f| assert_eq!(f.sizes(), Some([6, 1])));
    run.with(&tcp(c, s, 17, 106, 501, b""), |f| assert!(f.closing()));
    run.with(&tcp(s, c, 17, 501, 107, b""), |f| assert!(f.closing()));
    // A datagram's flow has neither.
    let datagram = udp((ip("192.0.2.1"), 5), (ip("192.0.2.2"), 6), b"x");
    run.with(&datagram, |f| assert!(f.sizes().is_none() && !f.closing() && f.next_chunk().is_none()));
    let echo = icmp_echo(ip("2001:db8::1"), ip("2001:db8::2"), true, 1, 2, b"");
    assert!(run.with(&echo, |f| f.new));
    let reply = icmp_echo(ip("2001:db8::2"), ip("2001:db8::1"), false, 1, 2, b"");
    assert_eq!(run.with(&reply, |f| (f.new, f.direction)), (false, TC));
}

#[test]
fn a_flow_taken_up_in_its_middle_can_be_turned_round() {
    let (c, s) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let pickup = Pickup { midstream: true, async_oneside: false };
    let mut run = Run::new(Config { pickup, ..Config::default() });
    // The server's answer comes first: it is taken for the client.
    run.with(&tcp(s, c, 24, 501, 101, b"answer"), |f| {
        assert!(f.guessed() && f.direction == TS && f.flow.client == s.0);
        f.turn();
        assert!(f.direction == TC && f.flow.client == c.0 && f.flow.server_port == 80);
    });
    run.with(&tcp(c, s, 24, 101, 507, b"more"), |f| assert_eq!((f.new, f.direction), (false, TS)));
}

#[test]
fn the_clients_word_counts_where_the_sides_speak_differently() {
    use AppProto::{Failed, Http, Smtp, Unknown};
    for (client, server, tcp, want) in [
        (Http, Smtp, true, Http),
        (Http, Failed, true, Http),
        (Failed, Smtp, true, Smtp),
        (Unknown, Smtp, true, Smtp),
        (Failed, Failed, true, Failed),
        (Failed, Unknown, true, Unknown),
        (Unknown, Failed, false, Failed),
        (Unknown, Unknown, false, Unknown),
    ] {
        let mut a = AppState::default();
        a.decide(1, server, tcp);
        a.decide(0, client, tcp);
        a.decide(2, Http, tcp); // there is no third side
        assert_eq!(a.proto, want, "{client:?} {server:?} {tcp}");
    }
    assert_eq!((AppProto::by_name("dns"), AppProto::by_name("nonsense")), (Some(AppProto::Dns), None));
    assert!(AppProto::Dns.known() && !Failed.known() && !Unknown.known());
}

#[test]
fn names_are_those_of_the_configuration_and_of_eve() {
    for (word, name) in
        [("auto", "ignore"), ("drop-packet", "pass_packet"), ("bypass", "pass_flow"), ("reject", "pass_flow")]
    {
        assert_eq!(Exception::parse(word).map(Exception::name), Some(name));
    }
    assert_eq!(Exception::parse("sometimes"), None);
    assert_eq!((TS.name(), TC.name(), TS.reverse()), ("to_server", "to_client", TC));
}

#[test]
fn counts_of_workers_add_up() {
    let count = |n: u16| {
        let mut run = Run::new(Config::default());
        for port in 0..n {
            run.with(&tcp((ip("192.0.2.1"), 1000 + port), (ip("198.51.100.9"), 80), 2, 1, 0, b""), |_| {});
        }
        (run.table.counters(), run.table.stream_memory().counters(), run.table.capacity())
    };
    let ((mut a, mut streams, capacity), (b, others, _)) = (count(2), count(3));
    assert!(capacity > 5);
    a.add(&b);
    streams.add(&others);
    assert_eq!((a.total, a.tcp, a.udp, a.active), (5, 5, 0, 5));
    assert_eq!((streams.syn, streams.sessions, streams.rst), (5, 5, 0));
}

/// Rules that ask for addresses or the protocol alone are looked at once for each side. The marks for that stayed with the old
/// direction where the flow was turned round: such a rule was looked at twice for the server, and never for the client.
#[test]
fn what_was_done_for_a_side_stays_with_it_when_the_flow_is_turned_round() {
    let (c, s) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let pickup = Pickup { midstream: true, async_oneside: false };
    let mut run = Run::new(Config { pickup, ethernet: true, ..Config::default() });
    let macs = |mut frame: Vec<u8>, dest: u8, src: u8| {
        frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, dest, 2, 0, 0, 0, 0, src]);
        frame
    };
    // The server comes first; of its packets the second has another link address.
    run.with(&macs(tcp(s, c, 24, 501, 101, b"ab"), 1, 8), |f| f.flow.detect.addresses_done[f.direction.index()] = true);
    run.with(&macs(tcp(s, c, 24, 503, 101, b"cd"), 1, 9), |f| {
        f.flow.detect.protocol_done[f.direction.index()] = true;
        f.flow.app.sides[f.direction.index()] = AppProto::Http;
        f.turn();
        assert_eq!((f.direction, f.flow.app.sides), (TC, [AppProto::Unknown, AppProto::Http]));
        assert_eq!((f.flow.detect.addresses_done, f.flow.detect.protocol_done), ([false, true], [false, true]));
    });
    let r = run.record();
    assert_eq!(
        (&r["src_ip"], &r["ether"]["src_macs"], &r["ether"]["dest_macs"]),
        (&"192.0.2.1".into(), &json!(["02:00:00:00:00:01"]), &json!(["02:00:00:00:00:08", "02:00:00:00:00:09"]))
    );
}

#[test]
fn what_follows_in_a_packets_bytes_is_turned_with_the_flow() {
    let (c, s) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let pickup = Pickup { midstream: true, async_oneside: false };
    let mut run = Run::new(Config { pickup, ..Config::default() });
    run.with(&tcp(s, c, 24, 501, 101, b"ab"), |f| assert_eq!(f.direction, TS));
    run.with(&tcp(s, c, 24, 505, 101, b"ef"), |f| assert!(f.next_chunk().is_none()));
    // The client has all of it: two bytes, two that were not captured, two bytes.
    let mut seen = Vec::new();
    run.with(&tcp(c, s, 16, 101, 507, b""), |f| {
        f.chunks(|f, chunk| {
            seen.push((chunk.direction, chunk.offset, chunk.data.to_vec()));
            if f.flow.client == s.0 {
                f.turn();
            }
        });
    });
    assert_eq!(seen.first(), Some(&(TS, 0, b"ab".to_vec())), "as it was guessed");
    assert_eq!(seen.last(), Some(&(TC, 4, b"ef".to_vec())), "as it is known by then");
}

/// What becomes of a flow stands in its record, under EVE's names (Suricata user guide, "EVE JSON format", flow; "Bypass").
#[test]
fn a_record_says_what_the_flow_spoke_and_what_rules_did_with_it() {
    let nothing = json!({"pkts_toserver": 0, "pkts_toclient": 0, "bytes_toserver": 0, "bytes_toclient": 0});
    let datagram = udp((ip("192.0.2.1"), 5), (ip("192.0.2.2"), 6), b"x");
    let told = |ask: fn(&mut Flow)| {
        let mut run = Run::new(Config::default());
        run.with(&datagram, |f| ask(f.flow));
        run.record()
    };
    let app = |r: &Value| {
        ["app_proto", "app_proto_ts", "app_proto_tc", "app_proto_orig", "app_proto_expected"]
            .map(|key| r[key].as_str().unwrap_or("-").to_owned())
    };
    // (sides, what it spoke before, what it announced)
    for (sides, original, expected, want) in [
        ([AppProto::Unknown; 2], AppProto::Unknown, AppProto::Unknown, ["-", "-", "-", "-", "-"]),
        ([AppProto::Dns; 2], AppProto::Unknown, AppProto::Unknown, ["dns", "-", "-", "-", "-"]),
        ([AppProto::Dns, AppProto::Failed], AppProto::Unknown, AppProto::Unknown, ["dns", "-", "failed", "-", "-"]),
        ([AppProto::Failed, AppProto::Dns], AppProto::Unknown, AppProto::Unknown, ["dns", "failed", "-", "-", "-"]),
        ([AppProto::Http, AppProto::Smtp], AppProto::Unknown, AppProto::Unknown, ["http", "-", "smtp", "-", "-"]),
        ([AppProto::Tls; 2], AppProto::Smtp, AppProto::Tls, ["tls", "-", "-", "smtp", "-"]),
        ([AppProto::Http; 2], AppProto::Smtp, AppProto::Tls, ["http", "-", "-", "smtp", "tls"]),
        // A side that tells nothing, as long as the other may tell.
        ([AppProto::Failed, AppProto::Unknown], AppProto::Unknown, AppProto::Unknown, ["-", "-", "-", "-", "-"]),
    ] {
        let mut run = Run::new(Config::default());
        run.with(&datagram, |f| {
            f.flow.app.decide(0, sides[0], true);
            f.flow.app.decide(1, sides[1], true);
            (f.flow.app.original, f.flow.app.expected) = (original, expected);
        });
        assert_eq!(app(&run.record()), want, "{sides:?} {original:?} {expected:?}");
    }
    let plain = told(|_| ());
    for key in ["bypassed", "bypass", "action", "tx_cnt", "exception_policy"] {
        assert_eq!(plain["flow"].get(key), None, "{key}");
    }
    assert_eq!((&plain["flow"]["state"], &plain["flow"]["alerted"]), (&json!("new"), &json!(false)));
    let bypassed = told(Flow::bypass);
    assert_eq!(
        (&bypassed["flow"]["state"], &bypassed["flow"]["bypass"], &bypassed["flow"]["bypassed"]),
        (&json!("bypassed"), &json!("local"), &nothing)
    );
    assert_eq!(told(|f| f.detect.passed = true)["flow"]["action"], "pass");
    assert_eq!(told(|f| f.alerted = true)["flow"]["alerted"], true);
    assert_eq!(told(|f| f.app.tx_count = Some(7))["flow"]["tx_cnt"], 7);
}

#[test]
fn a_bypassed_flow_is_counted_and_not_followed() {
    let (c, s) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let mut run = Run::new(Config::default());
    run.with(&tcp(c, s, 2, 100, 0, b""), |f| f.flow.bypass());
    run.with(&tcp(s, c, 18, 500, 101, b""), |f| assert!(f.flow.bypassed() && f.flow.detect.settled));
    run.with(&tcp(c, s, 24, 101, 501, b"hello"), |f| assert!(f.next_chunk().is_none() && f.flow.stream.is_none()));
    let r = run.record();
    assert_eq!(
        (&r["flow"]["state"], &r["flow"]["pkts_toserver"], &r["flow"]["pkts_toclient"]),
        (&json!("bypassed"), &json!(2), &json!(1))
    );
}

/// ESP has no ports: its two ways have an SPI each (RFC 4303, section 2.1), which the record names.
#[test]
fn an_esp_flow_is_told_by_its_spi() {
    let mut run = Run::new(Config::default());
    let mut frame = udp((ip("192.0.2.1"), 0), (ip("192.0.2.2"), 0), b"\0\0\0\x01sealed");
    frame[23] = 50; // ESP; what follows is its SPI and its sequence number
    frame[34..42].copy_from_slice(&[0xc0, 0xff, 0xee, 1, 0, 0, 0, 1]);
    let sum = (14..34)
        .step_by(2)
        .filter(|i| *i != 24)
        .fold(0u32, |a, i| a + u32::from(frame[i]) * 256 + u32::from(frame[i + 1]));
    frame[24..26].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    run.with(&frame, |f| assert!(f.new));
    let r = run.record();
    assert_eq!((&r["proto"], &r["spi"], r.get("src_port")), (&json!("ESP"), &json!(0xc0ff_ee01_u32), None));
}

/// At a flow's end rules ask about it once more from each side, and no packet belongs to it.
#[test]
fn a_flow_at_its_end_is_asked_from_either_side() {
    struct Asked(Vec<(Direction, bool, Option<[u32; 2]>)>);
    impl Ended for Asked {
        fn ending(&mut self, flow: &mut Flow, reason: Reason, _: u64) {
            assert_eq!(reason, Reason::Shutdown);
            for d in [TS, TC] {
                let mut f = FlowRef::at_end(flow, d);
                f.release(); // nothing is lent to it
                assert!(!f.new && !f.added && !f.excepted && !f.sealed && f.events.is_empty());
                self.0.push((f.direction, f.established, f.sizes()));
            }
        }
        fn record(&mut self, _: Record, flow: &Flow) {
            assert_ne!(flow.state, State::Closed);
        }
    }
    let (c, s) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let handshake = [tcp(c, s, 2, 100, 0, b""), tcp(s, c, 18, 500, 101, b""), tcp(c, s, 16, 101, 501, b"")];
    for (frames, established, sizes) in [(1, false, [1, 0]), (3, true, [1, 1])] {
        let mut run = Run::new(Config::default());
        for frame in &handshake[..frames] {
            run.with(frame, |_| ());
        }
        let mut asked = Asked(Vec::new());
        run.table.finish(Timestamp::from_parts(1, 0), 1, &mut asked);
        assert_eq!(asked.0, [(TS, established, Some(sizes)), (TC, established, Some(sizes))]);
    }
}
