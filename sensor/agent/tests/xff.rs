// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The client behind a proxy, in the events of HTTP, of files and of alerts.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's")]

mod common;

use std::{fs, path::Path};

use common::{sensor, stderr, text};
use lagewarte_base::time::Timestamp;
use lagewarte_testkit::{Capture, tcp};
use serde_json::Value;

/// A request through a proxy, and its answer.
fn capture(path: &Path) {
    let (proxy, server) = (("192.0.2.1".parse().unwrap(), 40_000), ("198.51.100.9".parse().unwrap(), 80));
    let ask = b"GET /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 203.0.113.5, 203.0.113.6\r\nX-Real: 203.0.113.7\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
    let (a, b) = (1001 + ask.len() as u32, 5001 + answer.len() as u32);
    let mut out = Capture::ethernet();
    for (n, frame) in [
        tcp(proxy, server, 2, 1000, 0, b""),
        tcp(server, proxy, 18, 5000, 1001, b""),
        tcp(proxy, server, 16, 1001, 5001, b""),
        tcp(proxy, server, 24, 1001, 5001, ask),
        tcp(server, proxy, 24, 5001, a, answer),
        tcp(proxy, server, 16, a, b, b""),
        tcp(server, proxy, 17, b, a, b""),
        tcp(proxy, server, 17, a, b + 1, b""),
    ]
    .into_iter()
    .enumerate()
    {
        out.push(Timestamp::from_micros(1_700_000_000_000_000 + n as i64), frame);
    }
    fs::write(path, out.write()).unwrap();
}

fn replay(xff: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let [pcap, c, s, l] = ["x.pcap", "c.yaml", "a.rules", "out"].map(|n| text(&dir.path().join(n)));
    capture(Path::new(&pcap));
    fs::write(&c, format!("outputs:\n  - eve-log:\n{xff}")).unwrap();
    let rules = "alert http any any -> any any (http.uri; content:\"/x\"; sid:1;)\n\
                 alert http any any -> any any (http.stat_code; content:\"200\"; sid:2;)\n";
    fs::write(&s, rules).unwrap();
    let done = sensor(&["replay", "-r", &pcap, "-l", &l, "-c", &c, "-S", &s]);
    assert!(done.status.success() && stderr(&done).is_empty(), "{}", stderr(&done));
    let eve = fs::read_to_string(dir.path().join("out/eve.json")).unwrap();
    eve.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// Of the request's alert, the answer's, the HTTP event and the file: source, destination, what stands beside.
fn told(events: &[Value]) -> Vec<[String; 3]> {
    let is =
        |e: &&Value, kind: &str, sid: u64| e["event_type"] == kind && (sid == 0 || e["alert"]["signature_id"] == sid);
    [("alert", 1), ("alert", 2), ("http", 0), ("fileinfo", 0)]
        .map(|(kind, sid)| {
            let e = events.iter().find(|e| is(e, kind, sid)).unwrap();
            ["src_ip", "dest_ip", "xff"].map(|k| e[k].as_str().unwrap_or_default().to_owned())
        })
        .to_vec()
}

#[test]
fn the_client_behind_a_proxy_stands_beside_or_instead_and_only_where_asked() {
    const PROXY: &str = "192.0.2.1";
    const SERVER: &str = "198.51.100.9";
    let all = |client: &str, beside: &str| {
        let (up, down) = ([client, SERVER, beside], [SERVER, client, beside]);
        [up, down, up, down].map(|row| row.map(str::to_owned)).to_vec()
    };
    let section = |body: &str| format!("      xff:\n        enabled: yes\n{body}");
    for (xff, want) in [
        ("      xff:\n        enabled: no\n".to_owned(), all(PROXY, "")),
        (section(""), all(PROXY, "203.0.113.6")),
        (section("        deployment: forward\n"), all(PROXY, "203.0.113.5")),
        (section("        header: X-Real\n"), all(PROXY, "203.0.113.7")),
        (section("        header: X-Nothing\n"), all(PROXY, "")),
        (section("        mode: overwrite\n"), all("203.0.113.6", "")),
    ] {
        assert_eq!(told(&replay(&xff)), want, "{xff}");
    }
    // A type's own word is stronger.
    let own = "      types:\n        - alert:\n            xff:\n              enabled: yes\n              mode: overwrite\n        - http\n        - files\n";
    let events = told(&replay(own));
    assert_eq!(events[0], ["203.0.113.6", SERVER, ""]);
    assert_eq!(events[2], [PROXY, SERVER, ""]);
}
