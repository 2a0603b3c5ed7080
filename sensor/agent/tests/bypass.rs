// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `bypass`: behind a match the flow's packets are counted, and nothing else. What comes out was compared with Suricata 7.0.10
//! on the same packets.

mod common;

use std::fs;

use common::{sensor, stderr, text};
use lagewarte_base::time::Timestamp;
use lagewarte_testkit::{Capture, Session, udp};
use serde_json::{Value, json};

const RULES: &str = r#"
alert udp any any -> any any (content:"same"; bypass; sid:1;)
alert udp any any -> any any (content:"s"; sid:2;)
alert http any any -> any any (http.method; content:"GET"; bypass; sid:3;)
alert http any any -> any any (http.method; content:"POST"; sid:4;)
alert tcp any any -> any any (flow:to_client,established; content:"HTTP/1.1"; sid:5;)
"#;

#[test]
fn behind_a_match_the_flow_is_counted_only() {
    let dir = tempfile::tempdir().unwrap();
    let (client, server) = (("192.0.2.1".parse().unwrap(), 40_000), ("198.51.100.9".parse().unwrap(), 80));
    let start = Timestamp::from_micros(1_700_000_000_000_000);
    let mut capture = Capture::ethernet();
    capture.push(start, udp(client, server, b"same"));
    capture.push(start, udp(server, client, b"s2"));
    capture.push(start, udp(client, server, b"s3"));
    let mut session = Session::open(&mut capture, client, server, start);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    session.client(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").server(answer);
    session.client(b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").server(answer).close();
    let packets = capture.packets.len() as u64 - 3;
    let (pcap, rules) = (dir.path().join("in.pcap"), dir.path().join("test.rules"));
    fs::write(&pcap, capture.write()).unwrap();
    fs::write(&rules, RULES).unwrap();
    let out = sensor(&["replay", "-r", &text(&pcap), "-S", &text(&rules), "-l", &text(dir.path())]);
    assert!(out.status.success() && !stderr(&out).contains("refused"), "{}", stderr(&out));
    let eve = fs::read_to_string(dir.path().join("eve.json")).unwrap();
    let events: Vec<Value> = eve.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let of = |kind: &str| events.iter().filter(|e| e["event_type"] == kind).collect::<Vec<_>>();
    let mut sids: Vec<_> = of("alert").iter().map(|e| e["alert"]["signature_id"].as_u64().unwrap()).collect();
    sids.sort_unstable();
    assert_eq!(sids, [1, 2, 3], "on one packet each rule is asked, behind it none");
    let http = of("http");
    assert_eq!(http.len(), 1, "{http:?}");
    assert_eq!(http[0]["http"]["url"], "/a");
    let flows = of("flow");
    assert_eq!(flows.len(), 2);
    for flow in flows {
        let (f, tcp) = (&flow["flow"], flow["proto"] == "TCP");
        assert_eq!((&f["state"], &f["bypass"]), (&json!("bypassed"), &json!("local")), "{flow}");
        let n = |key: &str| f[key].as_u64().unwrap();
        assert_eq!(n("pkts_toserver") + n("pkts_toclient"), if tcp { packets } else { 3 }, "{flow}");
    }
}
