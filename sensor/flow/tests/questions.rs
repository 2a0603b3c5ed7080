// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is asked of a flow and of its state: names, sides, whether it closes, its sizes, and what counters add up to.

#![expect(clippy::panic, reason = "a test file: helpers of the tests fail as the tests do")]

use std::{net::IpAddr, sync::Arc};

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, RawFrame};
use lagewarte_event::eve::Record;
use lagewarte_flow::{AppProto, AppState, Config, Direction, Exception, FlowTable, Outcome, Pickup};
use lagewarte_testkit::{icmp_echo, tcp, udp};

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
    fn with<T>(&mut self, frame: &[u8], ask: impl FnOnce(&mut lagewarte_flow::FlowRef<'_>) -> T) -> T {
        let wire_len = frame.len() as u32;
        let raw = RawFrame { index: 1, time: Timestamp::from_parts(1, 0), linktype: 1, wire_len, data: frame };
        let p = Decoder::default().decode(raw);
        let Outcome::Flow(mut f) = self.table.packet(&p, &mut self.records) else { panic!("no flow") };
        let answer = ask(&mut f);
        f.release();
        answer
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
