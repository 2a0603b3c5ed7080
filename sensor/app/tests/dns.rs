// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DNS: messages with every record type, every truncation, every cap, and what is written of them.

mod common;

use common::{CLIENT, Rig, SERVER, TC, TS, config};
use lagewarte_app::dns::parser::{self, Data, MAX_LABELS, MAX_NAME, MAX_TEXT};
use lagewarte_testkit::udp;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Writes a message.
#[derive(Clone, Default)]
struct Message(Vec<u8>);

impl Message {
    fn new(flags: u16, counts: [u16; 4]) -> Self {
        let mut m = Self(vec![0x12, 0x34]);
        m.0.extend(flags.to_be_bytes());
        counts.iter().for_each(|c| m.0.extend(c.to_be_bytes()));
        m
    }
    fn name(mut self, name: &str) -> Self {
        for label in name.split('.').filter(|l| !l.is_empty()) {
            self.0.push(label.len() as u8);
            self.0.extend(label.bytes());
        }
        self.0.push(0);
        self
    }
    fn bytes(mut self, b: &[u8]) -> Self {
        self.0.extend(b);
        self
    }
    fn query(self, name: &str, rrtype: u16) -> Self {
        self.name(name).bytes(&rrtype.to_be_bytes()).bytes(&[0, 1])
    }
    fn record(self, name: &str, rrtype: u16, data: &[u8]) -> Self {
        let len = (data.len() as u16).to_be_bytes();
        self.name(name).bytes(&rrtype.to_be_bytes()).bytes(&[0, 1, 0, 0, 0, 60]).bytes(&len).bytes(data)
    }
}

fn name(n: &str) -> Vec<u8> {
    Message::default().name(n).0
}

/// Of each type that is shown: its number, its data, and what EVE makes of it.
fn types() -> Vec<(u16, Vec<u8>, Value)> {
    let soa = [name("ns.a"), name("me.a"), [1u32, 2, 3, 4, 5].iter().flat_map(|n| n.to_be_bytes()).collect()].concat();
    vec![
        (1, vec![192, 0, 2, 7], json!({"rdata": "192.0.2.7"})),
        (
            28,
            [0x20, 1, 0xd, 0xb8].into_iter().chain([0; 12]).collect(),
            json!({"rdata": "2001:0db8:0000:0000:0000:0000:0000:0000"}),
        ),
        (5, name("c.example"), json!({"rdata": "c.example"})),
        (2, name("ns.example"), json!({"rdata": "ns.example"})),
        (12, name("p.example"), json!({"rdata": "p.example"})),
        (15, [vec![0, 10], name("m.example")].concat(), json!({"rdata": "m.example"})),
        (16, b"\x03abc\x02de".to_vec(), json!({"rdata": "abcde"})),
        (10, b"x\xffy".to_vec(), json!({"rdata": "x\\xffy"})),
        (
            33,
            [vec![0, 1, 0, 2, 0x13, 0xc4], name("s.example")].concat(),
            json!({"srv": {"priority": 1, "weight": 2, "port": 5060, "name": "s.example"}}),
        ),
        (44, vec![1, 2, 0xab, 0xcd], json!({"sshfp": {"fingerprint": "ab:cd", "algo": 1, "type": 2}})),
        (
            6,
            soa,
            json!({"soa": {"mname": "ns.a", "rname": "me.a", "serial": 1, "refresh": 2, "retry": 3, "expire": 4, "minimum": 5}}),
        ),
        (65, vec![0, 1, 0], json!({})),
    ]
}

#[test]
fn every_record_type_is_shown_as_suricata_shows_it() {
    for (rrtype, data, want) in types() {
        let m = Message::new(0x8180, [1, 1, 0, 0]).query("a.example", rrtype).record("a.example", rrtype, &data);
        let mut r = Rig::new(config(), 53);
        r.datagram(TS, &Message::new(0x0100, [1, 0, 0, 0]).query("a.example", rrtype).0);
        r.datagram(TC, &m.0);
        let [asked, told] = &r.written()[..] else { panic!("two events for {rrtype}") };
        assert_eq!((&asked["dns"]["type"], &told["dns"]["type"]), (&json!("request"), &json!("response")));
        assert_eq!((&asked["src_ip"], &told["src_ip"]), (&json!("192.0.2.1"), &json!("198.51.100.9")));
        let mut answer = told["dns"]["answers"][0].clone();
        let fields = answer.as_object_mut().expect("an object");
        for known in ["rrname", "rrtype", "ttl"] {
            fields.remove(known);
        }
        assert_eq!(answer, want, "{rrtype}");
        let grouped = &told["dns"]["grouped"];
        let of = |v: &Value| v.as_object().and_then(|o| o.values().next()).cloned();
        assert_eq!(grouped.as_object().and_then(|o| o.values().next()).map(|l| l[0].clone()), of(&want), "{rrtype}");
        // No byte of it may be missing without a note.
        for n in 0..m.0.len() {
            match parser::message(&m.0[..n]) {
                None => assert!(n < 12),
                Some(cut) => assert!(cut.faults.malformed, "{rrtype} cut at {n}"),
            }
        }
        let whole = parser::message(&m.0).expect("a message");
        assert_eq!(whole.faults, parser::Faults::default(), "{rrtype}");
    }
}

#[test]
fn the_form_of_version_three_is_the_documented_one() {
    let mut r = Rig::new(config(), 53);
    let m = Message::new(0x8583, [1, 0, 1, 1]).query("no.example", 1);
    let soa = types().into_iter().find(|t| t.0 == 6).expect("an SOA").1;
    let m = m.record("example", 6, &soa).record("", 41, &[0, 10, 0, 2, 0xab, 0xcd]);
    r.datagram(TS, &Message::new(0x0140, [1, 0, 0, 0]).query("no.example", 1).0);
    r.datagram(TC, &m.0);
    let written: Vec<Value> = r.written().into_iter().filter(|e| e["event_type"] == "dns").collect();
    assert_eq!(
        written[0]["dns"],
        json!({"version": 3, "type": "request", "tx_id": 0, "id": 0x1234, "flags": "140", "rd": true, "z": true,
            "opcode": 0, "rcode": "NOERROR", "queries": [{"rrname": "no.example", "rrtype": "A"}]})
    );
    assert_eq!(
        written[1]["dns"],
        json!({"version": 3, "type": "response", "tx_id": 1, "id": 0x1234, "flags": "8583", "qr": true, "aa": true,
            "rd": true, "ra": true, "opcode": 0, "rcode": "NXDOMAIN",
            "queries": [{"rrname": "no.example", "rrtype": "A"}],
            "authorities": [{"rrname": "example", "rrtype": "SOA", "ttl": 60, "soa": {"mname": "ns.a", "rname": "me.a",
                "serial": 1, "refresh": 2, "retry": 3, "expire": 4, "minimum": 5}}],
            "additionals": [{"rrname": "", "rrtype": "OPT", "ttl": 60, "opt": [{"code": 10, "data": "abcd"}]}]})
    );
}

/// Suricata 7's user guide, "DNS": version 2 of the form, with one question beside the message's own members.
#[test]
fn the_form_of_version_two_is_the_documented_one() {
    let mut c = config();
    c.dns.version = 2;
    let mut r = Rig::new(c, 53);
    r.datagram(TS, &Message::new(0x0140, [1, 0, 0, 0]).query("no.example", 1).0);
    let soa = types().into_iter().find(|t| t.0 == 6).expect("an SOA").1;
    r.datagram(TC, &Message::new(0x8583, [1, 0, 1, 0]).query("no.example", 1).record("example", 6, &soa).0);
    let answer = Message::new(0x8180, [1, 1, 0, 0]).query("a.example", 1).record("a.example", 1, &[192, 0, 2, 7]);
    r.datagram(TC, &answer.0);
    let written: Vec<Value> =
        r.written().into_iter().filter(|e| e["event_type"] == "dns").map(|e| e["dns"].clone()).collect();
    assert_eq!(
        written,
        [
            json!({"version": 2, "type": "query", "id": 0x1234, "rrname": "no.example", "rrtype": "A", "tx_id": 0,
                "z": true, "opcode": 0}),
            json!({"version": 2, "type": "answer", "id": 0x1234, "flags": "8583", "qr": true, "aa": true, "rd": true,
                "ra": true, "opcode": 0, "rrname": "no.example", "rrtype": "A", "rcode": "NXDOMAIN",
                "authorities": [{"rrname": "example", "rrtype": "SOA", "ttl": 60, "soa": {"mname": "ns.a",
                    "rname": "me.a", "serial": 1, "refresh": 2, "retry": 3, "expire": 4, "minimum": 5}}]}),
            json!({"version": 2, "type": "answer", "id": 0x1234, "flags": "8180", "qr": true, "rd": true, "ra": true,
                "opcode": 0, "rrname": "a.example", "rrtype": "A", "rcode": "NOERROR",
                "answers": [{"rrname": "a.example", "rrtype": "A", "ttl": 60, "rdata": "192.0.2.7"}],
                "grouped": {"A": ["192.0.2.7"]}}),
        ]
    );
}

#[test]
fn names_that_go_in_circles_and_names_without_end_are_cut_and_told() {
    // A pointer to itself.
    let m = parser::message(&Message::new(0x0100, [1, 0, 0, 0]).bytes(&[0xc0, 12, 0, 1, 0, 1]).0).expect("a message");
    assert!(m.faults.endless && m.queries.len() == 1 && m.queries[0].name.truncated);
    // Labels whose sum is over the cap.
    let long = vec!["x".repeat(60); 20].join(".");
    let m = parser::message(&Message::new(0x0100, [1, 0, 0, 0]).query(&long, 1).0).expect("a message");
    assert!(m.faults.long_name && !m.faults.malformed);
    assert_eq!(m.bytes(m.queries[0].name.span).len(), MAX_NAME);
    assert_eq!(m.queries[0].rrtype, 1, "what follows the name is found");
    // More labels than a name may have.
    let many = vec!["x"; MAX_LABELS + 5].join(".");
    let m = parser::message(&Message::new(0x0100, [1, 0, 0, 0]).query(&many, 28).0).expect("a message");
    assert!(m.faults.labels && m.queries[0].rrtype == 28);
}

#[test]
fn records_that_all_point_to_one_long_name_do_not_multiply_it() {
    let long = vec!["y".repeat(63); 15].join(".");
    let mut m = Message::new(0x8180, [1, 3000, 0, 0]).query(&long, 1);
    for _ in 0..3000 {
        m = m.bytes(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4]);
    }
    let m = parser::message(&m.0).expect("a message");
    assert!(m.faults.malformed);
    assert!(m.held() < 2 * MAX_TEXT + 3000 * 200, "{}", m.held());
}

#[test]
fn tcp_messages_are_found_however_they_are_cut_and_after_a_gap() {
    let one = Message::new(0x0100, [1, 0, 0, 0]).query("one.example", 1).0;
    let framed = [&(one.len() as u16).to_be_bytes()[..], &one].concat();
    let mut r = Rig::open(config(), 53);
    for b in framed.iter().chain(&framed) {
        r.send(TS, &[*b]);
    }
    assert_eq!(r.written().len(), 2);
    r.lose(TS, 100);
    r.send(TS, &framed);
    assert_eq!(r.written().len(), 1, "a message begins behind the gap");
    r.lose(TS, 100);
    r.send(TS, &[0xff; 40]);
    r.send(TS, &framed);
    assert_eq!(r.written().len(), 0, "none does, and where the next begins is not known");
    r.finish();
    assert_eq!(r.memuse(), 0);
}

#[test]
fn a_flow_that_begins_with_an_answer_is_turned_round() {
    let mut r = Rig::new(config(), 53);
    r.packet(&udp((SERVER, 53), CLIENT, &Message::new(0x8180, [1, 0, 0, 0]).query("a.example", 1).0));
    r.finish();
    assert_eq!(r.flow()["src_ip"], "192.0.2.1");
    assert_eq!(r.written()[0]["src_ip"], "198.51.100.9");
}

#[test]
fn each_oddity_is_an_anomaly() {
    for (flags, to_server, want) in [
        (0x0140, true, "z_flag_set"),
        (0x4900, true, "invalid_opcode"),
        (0x8180, true, "not_a_request"),
        (0x0100, false, "not_a_response"),
    ] {
        let mut r = Rig::new(config(), 53);
        r.datagram(TS, &Message::new(0x0100, [1, 0, 0, 0]).query("a.example", 1).0);
        r.datagram(TC, &Message::new(0x8180, [1, 0, 0, 0]).query("a.example", 1).0);
        r.written();
        let d = if to_server { TS } else { TC };
        r.datagram(d, &Message::new(flags, [1, 0, 0, 0]).query("a.example", 1).0);
        let events: Vec<Value> =
            r.written().iter().map(|e| e["anomaly"]["event"].clone()).filter(|e| !e.is_null()).collect();
        assert_eq!(events, [want]);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_none(bytes: Vec<u8>) {
        if let Some(m) = parser::message(&bytes) {
            prop_assert!(m.held() <= 2 * MAX_TEXT + bytes.len() * 64 + 4096);
        }
    }

    #[test]
    fn what_is_written_is_read(
        id: u16, flags: u16,
        names in prop::collection::vec("[a-z0-9-]{1,20}(\\.[a-z]{1,10}){0,4}", 1..5),
        cut in 0usize..400,
    ) {
        let mut m = Message::new(flags, [1, names.len() as u16, 0, 0]);
        m.0[..2].copy_from_slice(&id.to_be_bytes());
        m = m.query(&names[0], 5);
        for n in &names {
            let data = name(n);
            m = m.record(n, 5, &data);
        }
        let read = parser::message(&m.0).expect("a message");
        prop_assert_eq!((read.id, read.flags), (id, flags));
        let got: Vec<(&[u8], &[u8])> = read.answers.iter().map(|a| match &a.data {
            Data::Name(n) => (read.bytes(a.name.span), read.bytes(n.span)),
            other => panic!("{other:?}"),
        }).collect();
        let want: Vec<(&[u8], &[u8])> = names.iter().map(|n| (n.as_bytes(), n.as_bytes())).collect();
        prop_assert_eq!(got, want);
        // A part of it gives a part of it, in order, and a note.
        if let Some(part) = m.0.get(..cut).filter(|part| part.len() < m.0.len()).and_then(parser::message) {
            prop_assert!(part.faults.malformed);
            prop_assert!(part.answers.len() < names.len());
            prop_assert_eq!(&part.answers[..], &read.answers[..part.answers.len()]);
        }
    }
}
