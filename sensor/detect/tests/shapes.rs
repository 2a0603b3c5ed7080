// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the shape of a rule says, beside its keywords: action, protocol, hook, direction.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: what they build is theirs")]

mod common;

use common::{CLIENT, End, Frame, SERVER, patched, rules, sids, two_requests, udp};
use lagewarte_app::hooks;
use lagewarte_rules::{
    ast::{Action, FlowState},
    hooks::HOOKS,
};

// UDP packets from the client with these payloads, one flow each.
fn texts(payloads: &[&str]) -> Vec<Frame> {
    let port = |i: usize| End(CLIENT.0, 40_000 + u16::try_from(i).unwrap());
    payloads.iter().enumerate().map(|(i, p)| udp(port(i), SERVER, p.as_bytes())).collect()
}

#[test]
fn every_action_and_state_has_its_own_meaning() {
    let frames = texts(&["pass me", "report me"]);
    for (rule, want) in [
        (r#"alert udp any any -> any any (content:"me"; sid:1;)"#, &[(1, 1), (1, 2)][..]),
        (r#"drop udp any any -> any any (content:"pass"; sid:1;)"#, &[(1, 1)]),
        (r#"reject udp any any -> any any (content:"pass"; sid:1;)"#, &[(1, 1)]),
        (
            r#"alert udp any any -> any any (content:"me"; sid:1;)
               pass udp any any -> any any (content:"pass"; sid:2;)"#,
            &[(1, 2)],
        ),
    ] {
        assert_eq!(sids(&common::alerts(rule, &frames)), want, "{rule}");
    }
    assert!(Action::Pass < Action::Drop && Action::Drop < Action::Reject && Action::Reject < Action::Alert);
    // `stateless` wants a flow: a fragment has none.
    let rule = "alert udp any any -> any any (flow:stateless; sid:1;)";
    let frames = [udp(CLIENT, SERVER, b"x"), patched(udp(CLIENT, SERVER, b"x"), 6, &[0, 9])];
    assert_eq!(rules(rule).rules[0].flow.state, FlowState::Stateless);
    assert_eq!(sids(&common::alerts(rule, &frames)), [(1, 1)]);
}

#[test]
fn rules_on_arp_see_arp_and_nothing_else() {
    let message: Vec<u8> =
        [&[0xff; 6][..], &[2; 6], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &[2; 6], &[10, 0, 0, 1], &[0; 6], &[10, 0, 0, 2]]
            .concat();
    let mut odd = message.clone();
    odd[21] = 77;
    let frames = [
        Frame { ms: 0, bytes: message },
        udp(CLIENT, SERVER, b"x"),
        Frame { ms: 0, bytes: odd },
        udp(CLIENT, SERVER, b"x"),
    ];
    let rules = "alert arp any any -> any any (sid:1;)
                 alert arp any any -> any any (decode-event:arp.unsupported_opcode; sid:2;)";
    assert_eq!(sids(&common::alerts(rules, &frames)), [(1, 1), (1, 3), (2, 3)]);
    for refused in
        ["alert arp 10.0.0.1 any -> any any (sid:1;)", r#"alert arp any any -> any any (content:"x"; sid:1;)"#]
    {
        let set = lagewarte_rules::parse(&[("t", refused.as_bytes())], &lagewarte_rules::Options::default());
        assert_eq!(set.refused.len(), 1, "{refused}");
    }
}

#[test]
fn hooks_say_when_a_rule_is_looked_at() {
    let frames = two_requests();
    let rules = |hook: &str| format!("alert {hook} any any -> any any (sid:1;)");
    for (hook, want) in [
        // Of each direction the first packet.
        ("tcp:flow_start", &[1, 2][..]),
        ("ip:flow_start", &[1, 2]),
        // Once the other side acknowledged it, at the next packet that goes its way.
        ("http1:request_started", &[6, 8]),
        ("http:request_complete", &[6, 8]),
        ("http:response_complete", &[7, 9]),
        ("http1:request_line", &[6, 8]),
        ("http1:response_headers", &[7, 9]),
        ("http1:response_trailer", &[7, 9]),
    ] {
        let got: Vec<u64> = sids(&common::alerts(&rules(hook), &frames)).into_iter().map(|(_, n)| n).collect();
        assert_eq!(got, want, "{hook}");
    }
    // A body goes on for many packets; where all of it is there at once, or there is none, it is met once.
    assert_eq!(sids(&common::alerts(&rules("http1:response_body"), &frames)).len(), 2);
    let head: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n";
    let ask: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    let parts: Vec<(bool, Vec<u8>)> = [
        (true, ask),
        (false, head),
        (true, b""),
        (false, b"abc"),
        (true, b""),
        (false, b"def"),
        (true, b""),
        (false, b"ghi"),
    ]
    .into_iter()
    .map(|(client, bytes)| (client, bytes.to_vec()))
    .collect();
    let slow = common::small::stream(80, &parts);
    for (hook, times) in [("response_headers", 1), ("response_body", 3), ("response_trailer", 1), ("request_body", 1)] {
        let got = common::alerts(&rules(&format!("http1:{hook}")), &slow);
        assert_eq!(got.len(), times, "{hook}");
    }
    let said = "alert http:request_complete any any -> any any (flow:to_server; http.uri; content:\"/y\"; sid:1;)";
    assert_eq!(sids(&common::alerts(said, &frames)), [(1, 8)]);
    let both = "alert tcp:flow_start any any -> any any (flow:to_client; sid:1;)";
    assert_eq!(sids(&common::alerts(both, &frames)), [(1, 2)]);
}

#[test]
fn a_tls_session_comes_to_each_of_its_hooks_once_and_in_their_order() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules/captures/tls/client-certificate.pcap");
    let capture = lagewarte_testkit::Capture::read(&std::fs::read(path).unwrap()).unwrap();
    // The first connection: its client's port stands behind the headers of Ethernet and IPv4, whoever sends.
    let port = &capture.packets[0].data[34..36];
    let first = capture.packets.iter().filter(|p| &p.data[34..36] == port || &p.data[36..38] == port);
    let frames: Vec<Frame> = (0..).zip(first).map(|(ms, p)| Frame { ms, bytes: p.data.clone() }).collect();
    // The server's last one comes with the flow's end, which is not looked at here.
    let hooks = HOOKS.iter().filter(|h| h.of == Some("tls") && h.name != "server_finished");
    let hooks: Vec<_> = (1u64..).zip(hooks).collect();
    let rules: String =
        hooks.iter().map(|(sid, h)| format!("alert tls:{} any any -> any any (sid:{sid};)\n", h.name)).collect();
    let got = sids(&common::alerts(&rules, &frames));
    assert_eq!(got.len(), hooks.len(), "each once: {got:?}");
    for to_server in [true, false] {
        let of = |sid: u64| got.iter().find(|(s, _)| *s == sid).map(|(_, packet)| *packet).unwrap();
        let packets: Vec<u64> = hooks.iter().filter(|(_, h)| h.to_server == to_server).map(|(s, _)| of(*s)).collect();
        assert!(packets.is_sorted() && packets.first() < packets.last(), "{packets:?} of {got:?}");
    }
}

#[test]
fn hooks_are_moments_that_parsers_know() {
    for h in HOOKS {
        assert!(hooks::progress_at(h.name).is_some(), "{}", h.name);
    }
    for (hook, why) in [
        ("http:request_line", "rules on http, http2, doh2 have request_started"),
        ("http2:response_body", "request_started"),
        ("tls:client_hello", "client_hello_done"),
        ("dns:request_line", "request_started"),
        ("tcp:request_started", "flow_start"),
        ("pkthdr:request_started", "no transactions"),
        ("http1:all", "firewall"),
    ] {
        let text = format!("alert {hook} any any -> any any (sid:1;)");
        let set = lagewarte_rules::parse(&[("t", text.as_bytes())], &lagewarte_rules::Options::default());
        assert!(set.refused[0].reason.contains(why), "{hook}: {}", set.refused[0].reason);
    }
}

#[test]
fn a_rule_on_both_directions_of_a_transaction_alerts_once_for_it() {
    let frames = two_requests();
    for (options, alerts) in [
        (r#"http.uri; content:"/x"; http.stat_code; content:"200";"#, 1),
        (r#"http.uri; content:"/"; http.stat_code; content:"200"; fast_pattern;"#, 2),
        (r#"http.uri; content:"/"; fast_pattern; http.stat_code; content:"200";"#, 2),
        (r#"http.uri; content:"/x"; http.stat_code; content:"404";"#, 0),
        (r#"http.uri; content:"/z"; http.stat_code; content:"200"; fast_pattern;"#, 0),
    ] {
        // The header is about the client and the server, whoever sent the packet.
        let rule = format!("alert http 10.0.0.1 any => 192.0.2.1 80 ({options} sid:1;)");
        assert_eq!(common::alerts(&rule, &frames).len(), alerts, "{options}");
        let turned = format!("alert http 192.0.2.1 any => 10.0.0.1 any ({options} sid:1;)");
        assert_eq!(common::alerts(&turned, &frames).len(), 0, "{options}");
    }
}
