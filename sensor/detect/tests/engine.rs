// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the engine does beyond single keywords: rule types, actions, order, limits, reload, and the alert as EVE.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: what they build is theirs")]

mod common;

use common::{CLIENT, End, Frame, Rig, SERVER, alerts, at, dns, icmp, patched, rules, session, sids, tcp, udp};
use lagewarte_detect::{Engine, MAX_CANDIDATES, Ordered, Output};
use serde_json::json;

fn exchange(n: usize) -> Vec<Frame> {
    (0..n).flat_map(|_| [udp(CLIENT, SERVER, b"ask"), udp(SERVER, CLIENT, b"answer")]).collect()
}

#[test]
fn rules_on_addresses_and_ports_alone_are_looked_at_once_for_each_direction() {
    for (rule, want) in [
        ("alert ip any any -> any any (sid:1;)", &[(1, 1), (1, 2)][..]),
        ("alert ip 10.0.0.0/8 any -> any any (sid:1;)", &[(1, 1)]),
        ("alert udp any any -> any 80 (sid:1;)", &[(1, 1)]),
        ("alert udp any any -> any 81 (sid:1;)", &[]),
        ("alert tcp any any -> any any (sid:1;)", &[]),
        ("alert ip any any -> any any (ip_proto:17; flowbits:set,x; sid:1;)", &[(1, 1), (1, 2)]),
        // With a negated address or another test: every packet.
        ("alert ip !192.0.2.0/24 any -> any any (sid:1;)", &[(1, 1), (1, 3), (1, 5)]),
        ("alert ip any any -> any any (ttl:64; sid:1;)", &[(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)]),
        ("alert udp any any -> any any (flow:to_client; sid:1;)", &[(1, 2), (1, 4), (1, 6)]),
    ] {
        assert_eq!(sids(&alerts(rule, &exchange(3))), want, "{rule}");
    }
}

#[test]
fn headers_select_by_address_port_and_direction() {
    for (header, want) in [
        ("udp any 40000 -> any any", &[(1, 1)][..]),
        ("udp any [1:39999,40001:] -> any 80", &[]),
        ("udp 192.0.2.1 any <> 10.0.0.1 40000", &[(1, 1), (1, 2)]),
        ("udp any any <> any 80", &[(1, 1), (1, 2)]),
        ("udp [10.0.0.0/8,!10.0.0.1] any -> any any", &[]),
        ("ipv6 any any -> any any", &[]),
        ("ipv4 any any -> any any", &[(1, 1), (1, 2)]),
        ("icmp any any -> any any", &[]),
        ("pkthdr any any -> any any", &[(1, 1), (1, 2)]),
    ] {
        let rule = format!("alert {header} (dsize:>0; sid:1;)");
        assert_eq!(sids(&alerts(&rule, &exchange(1))), want, "{header}");
    }
    // A TCP header too damaged to be read: an IP packet with port 0 on both sides and no flow.
    let mut damaged = tcp(CLIENT, SERVER, "S", 1, 0, b"");
    damaged.bytes[14 + 20 + 12] = 0xf0;
    for (header, want) in [
        ("ip any any -> any any", &[(1, 1)][..]),
        ("tcp any 0 -> any [0:10]", &[(1, 1)]),
        ("tcp any any -> any 80", &[]),
        ("udp any any -> any any", &[]),
    ] {
        assert_eq!(
            sids(&alerts(&format!("alert {header} (sid:1;)"), std::slice::from_ref(&damaged))),
            want,
            "{header}"
        );
    }
    assert_eq!(sids(&alerts("alert tcp any any -> any any (flags:S; sid:1;)", &[damaged])), []);
    // A fragment has no ports, and is of its protocol all the same.
    let fragment = [patched(udp(CLIENT, SERVER, b"x"), 6, &[0, 9])];
    assert_eq!(sids(&alerts("alert udp any any -> any any (ttl:64; sid:1;)", &fragment)), [(1, 1)]);
    assert_eq!(sids(&alerts("alert udp any any -> any 80 (ttl:64; sid:1;)", &fragment)), []);
}

#[test]
fn many_port_groups_find_what_one_by_one_would() {
    let mut text = String::new();
    let ranges = [(1, 100), (50, 150), (80, 80), (1024, 65_535), (40_000, 40_001), (79, 81)];
    for (i, (a, b)) in ranges.iter().enumerate() {
        text += &format!("alert udp any any -> any {a}:{b} (content:\"x\"; sid:{};)\n", i + 1);
        text += &format!("alert udp any {a}:{b} -> any any (content:\"x\"; sid:{};)\n", i + 11);
    }
    for port in [1, 49, 50, 79, 80, 81, 100, 101, 150, 151, 1023, 1024, 39_999, 40_000, 40_001, 65_535] {
        let got = sids(&alerts(&text, &[udp(End(CLIENT.0, 7), End(SERVER.0, port), b"xx")]));
        let mut want: Vec<u64> = Vec::new();
        for (i, (a, b)) in ranges.iter().enumerate() {
            want.extend((*a <= port && port <= *b).then_some(i as u64 + 1));
            want.extend((*a <= 7 && 7 <= *b).then_some(i as u64 + 11));
        }
        want.sort_unstable();
        let mut got: Vec<u64> = got.into_iter().map(|g| g.0).collect();
        got.sort_unstable();
        assert_eq!(got, want, "port {port}");
    }
}

#[test]
fn a_pass_takes_the_packet_or_the_flow() {
    let talk = session(CLIENT, SERVER, &[(true, b"pass this"), (true, b"and then"), (false, b"answer")]);
    let report = "alert tcp any any -> any any (dsize:>0; sid:9;)\n";
    for (pass, want) in [
        // On the packet, since dsize asks for packets.
        (r#"pass tcp any any -> any any (content:"pass"; dsize:>0; sid:1;)"#, &[(9, 5), (9, 6)][..]),
        // On the stream, and so on the flow; contents with a place of their own are looked for in the packet too.
        (r#"pass tcp any any -> any any (content:"pass"; depth:4; sid:1;)"#, &[]),
        // Without one only in the stream, which is looked at later than these packets.
        (r#"pass tcp any any -> any any (content:"pass"; sid:1;)"#, &[(9, 4), (9, 5), (9, 6)]),
        ("pass ip 10.0.0.1 any -> any any (sid:1;)", &[]),
        ("pass ip 10.0.0.2 any -> any any (sid:1;)", &[(9, 4), (9, 5), (9, 6)]),
        ("pass tcp any any -> any any (flow:to_server; sid:1;)", &[(9, 6)]),
        // A drop on the flow ends inspection too, after its own packet.
        ("drop ip any any -> 192.0.2.1 any (sid:1;)", &[(1, 1)]),
        (r#"drop tcp any any -> any any (content:"pass"; depth:4; sid:1;)"#, &[(1, 4), (9, 4)]),
    ] {
        assert_eq!(sids(&alerts(&format!("{report}{pass}"), &talk)), want, "{pass}");
    }
}

#[test]
fn alerts_of_a_packet_come_by_action_flowbits_and_priority() {
    let text = r#"
        alert udp any any -> any any (dsize:3; priority:3; sid:1;)
        alert udp any any -> any any (dsize:3; priority:1; sid:2;)
        alert udp any any -> any any (dsize:3; priority:1; sid:3;)
        alert udp any any -> any any (flowbits:isset,x; sid:4;)
        alert udp any any -> any any (dsize:3; flowbits:set,x; priority:4; sid:5;)
        drop udp any any -> any any (dsize:3; priority:9; sid:6;)"#;
    let got: Vec<u64> = sids(&alerts(text, &exchange(1)[..1])).into_iter().map(|s| s.0).collect();
    assert_eq!(got, [6, 5, 4, 2, 3, 1]);
}

#[test]
fn one_packet_has_at_most_packet_alert_max_alerts_after_thresholds() {
    let mut text = String::new();
    for sid in 1..=20 {
        let limit = if sid <= 10 { "threshold:type limit, track by_rule, count 1, seconds 60;" } else { "" };
        text += &format!("alert udp any any -> any any (dsize:>0; {limit} sid:{sid};)\n");
    }
    let mut rig = Rig::new(rules(&text), Output { packet_alert_max: 12, ..Output::default() });
    let got = sids(&rig.run(&exchange(1)));
    assert_eq!(got.iter().filter(|s| s.1 == 1).count(), 12);
    assert_eq!(got.iter().filter(|s| s.1 == 2).map(|s| s.0).collect::<Vec<_>>(), (11..=20).collect::<Vec<_>>());
    let c = rig.ordered.counters;
    assert_eq!((c.alert, c.overflow, c.suppressed), (22, 8, 10));
}

#[test]
fn a_set_that_matches_a_packet_hundreds_of_times_is_capped_and_counted() {
    let text: String = (1..=MAX_CANDIDATES + 7)
        .fold(String::new(), |t, sid| t + &format!("alert udp any any -> any any (dsize:>0; sid:{sid};)\n"));
    let mut rig = Rig::new(rules(&text), Output::default());
    assert_eq!(rig.matches(&udp(CLIENT, SERVER, b"x")).len(), MAX_CANDIDATES);
    assert_eq!(rig.scratch.counters.dropped, 7);
}

#[test]
fn counts_are_capped_and_the_oldest_is_forgotten() {
    let text =
        "alert udp any any -> any any (dsize:>0; threshold:type limit, track by_src, count 1, seconds 3600; sid:1;)";
    let from = |n: u8| udp(End([10, 0, 0, n], 1), SERVER, b"x");
    let mut rig = Rig::new(rules(text), Output::default());
    rig.ordered = Ordered::with_capacity(4);
    let first = rig.run(&(1..=8).map(from).collect::<Vec<_>>());
    assert_eq!(first.len(), 8);
    assert_eq!(rig.ordered.counters.forgotten, 4);
    // The newest is still known, the oldest begins again.
    assert_eq!(sids(&rig.run(&[from(8), from(1)])), [(1, 10)]);
}

#[test]
fn thresholds_see_all_workers_matches_in_packet_order() {
    let text =
        "alert udp any any -> any any (dsize:>0; threshold:type threshold, track by_dst, count 3, seconds 60; sid:1;)";
    let frames: Vec<Frame> = (1..=9).map(|n| at(n, udp(End([10, 0, 0, n as u8], 1), SERVER, b"x"))).collect();
    let single = sids(&Rig::new(rules(text), Output::default()).run(&frames));
    assert_eq!(single, [(1, 3), (1, 6), (1, 9)]);
    // Two workers, each with every other packet; the ordered stage takes their matches by packet.
    let mut workers = [Rig::new(rules(text), Output::default()), Rig::new(rules(text), Output::default())];
    let mut matches = Vec::new();
    for (i, f) in frames.iter().enumerate() {
        for (w, rig) in workers.iter_mut().enumerate() {
            let mine = rig.matches(f); // the other's packets only move its count of packets
            matches.extend(mine.into_iter().filter(|_| i % 2 == w));
        }
    }
    matches.sort_by_key(|m| m.packet_index());
    let mut ordered = Ordered::default();
    let got = matches.iter().filter_map(|m| ordered.admit(m)).map(|r| (1, r.packet_index)).collect::<Vec<_>>();
    assert_eq!(got, single);
}

#[test]
fn a_reload_keeps_the_flows_bits() {
    let before = r#"alert udp any any -> any any (content:"ask"; flowbits:set,asked; sid:1;)"#;
    let after = r#"alert udp any any -> any any (dsize:>0; flowbits:set,other; noalert; sid:2;)
                   alert udp any any -> any any (content:"answer"; flowbits:isset,asked; sid:3;)"#;
    let mut rig = Rig::new(rules(before), Output::default());
    let frames = exchange(1);
    assert_eq!(sids(&rig.run(&frames[..1])), [(1, 1)]);
    rig.engine = Engine::with(rules(after), Output::default(), Some(&rig.engine), None).unwrap();
    assert_eq!(sids(&rig.run(&frames[1..])), [(3, 2)]);
}

#[test]
fn a_reload_keeps_what_rules_put_into_data_sets() {
    let put = r#"alert dns any any -> any any (dns.query; dataset:set,asked,type string; sid:1;)"#;
    let ask = r#"alert dns any any -> any any (dns.query; dataset:isset,asked,type string; sid:2;)"#;
    let question = || vec![udp(CLIENT, End(SERVER.0, 53), &dns(0x100, &[("amt.example", 1)], &[]))];
    let mut rig = Rig::new(rules(put), Output::default());
    assert_eq!(sids(&rig.run(&question())), [(1, 1)]);
    let mut options = lagewarte_rules::Options::default();
    options.data.follow(rig.engine.data());
    let set = lagewarte_rules::parse(&[("t", ask.as_bytes())], &options);
    rig.engine = Engine::with(set, Output::default(), Some(&rig.engine), None).unwrap();
    assert_eq!(sids(&rig.run(&question())), [(2, 2)]);
}

#[test]
fn an_alert_is_suricatas_eve() {
    let text = r#"alert tcp any any -> any 80 (msg:"Web \"attack\""; flow:established,to_server; content:"evil"; offset:1;
        classtype:web-application-attack; target:dest_ip; metadata:created_at 2026_01_01, tag a, tag b; gid:3; sid:77; rev:2;)"#
        .replace('\n', "");
    let output = Output {
        payload: true,
        payload_printable: true,
        ethernet: true,
        verdict: true,
        community_id: Some(0),
        ..Output::default()
    };
    let mut rig = Rig::new(rules(&text), output);
    let mut got = rig.run(&session(CLIENT, SERVER, &[(true, b"\0evil\r\n")]));
    let alert = got.pop().unwrap();
    assert!(got.is_empty());
    assert!(alert["flow_id"].as_i64().is_some_and(|id| id > 0));
    let want = json!({
        "timestamp": "2023-11-14T22:13:20.000000+0000",
        "flow_id": alert["flow_id"],
        "pcap_cnt": 4,
        "event_type": "alert",
        "src_ip": "10.0.0.1", "src_port": 40000, "dest_ip": "192.0.2.1", "dest_port": 80, "proto": "TCP", "ip_v": 4,
        "pkt_src": "wire/pcap",
        "community_id": alert["community_id"],
        "alert": {
            "action": "allowed", "gid": 3, "signature_id": 77, "rev": 2, "signature": "Web \"attack\"",
            "category": "Web Application Attack", "severity": 1,
            "source": {"ip": "10.0.0.1", "port": 40000}, "target": {"ip": "192.0.2.1", "port": 80},
            "metadata": {"created_at": ["2026_01_01"], "tag": ["a", "b"]}
        },
        "verdict": {"action": "alert"},
        "ether": {"src_mac": "02:00:00:00:00:01", "dest_mac": "02:00:00:00:00:02"},
        "direction": "to_server",
        "flow": {
            "pkts_toserver": 3, "pkts_toclient": 1, "bytes_toserver": 169, "bytes_toclient": 54,
            "start": "2023-11-14T22:13:20.000000+0000",
            "src_ip": "10.0.0.1", "dest_ip": "192.0.2.1", "src_port": 40000, "dest_port": 80
        },
        "payload": "AGV2aWwNCg==", "payload_printable": ".evil\r\n", "stream": 0
    });
    assert_eq!(alert, want);
    assert!(alert["community_id"].as_str().is_some_and(|c| c.starts_with("1:")));
}

#[test]
fn an_alert_on_icmp_and_one_without_a_flow_say_what_they_know() {
    let text = "reject icmp any any -> any any (itype:8; sid:1;)\nalert udp any any -> any any (fragoffset:9; sid:2;)";
    let got = alerts(text, &[icmp(CLIENT, SERVER, 8, 0, [0; 4], b"x"), patched(udp(CLIENT, SERVER, b"x"), 6, &[0, 9])]);
    assert_eq!(sids(&got), [(1, 1), (2, 2)]);
    assert_eq!((&got[0]["icmp_type"], &got[0]["icmp_code"]), (&json!(8), &json!(0)));
    assert_eq!(got[0]["alert"]["action"], "blocked");
    assert!(got[0].get("src_port").is_none() && got[1].get("flow").is_none() && got[1].get("flow_id").is_none());
}

#[test]
fn a_flow_is_marked_alerted() {
    let mut rig = Rig::new(rules(r#"alert udp any any -> any any (content:"ask"; sid:1;)"#), Output::default());
    rig.run(&exchange(1));
    let mut records = Vec::new();
    rig.table.finish(lagewarte_base::time::Timestamp::from_micros(i64::MAX), 3, &mut records);
    assert!(records[0].json.contains("\"alerted\":true"), "{}", records[0].json);
}

#[test]
fn an_empty_set_is_an_engine_that_finds_nothing() {
    let engine = Engine::new(rules(""), Output::default()).unwrap();
    assert!(engine.is_empty());
    assert_eq!(alerts("", &[tcp(CLIENT, SERVER, "S", 1, 0, b"")]).len(), 0);
}

/// What is below TCP and UDP, and frames whatever they carry.
#[test]
fn rules_on_igmp_sctp_and_frames_look_at_what_they_are_about() {
    let data = |text: &[u8]| [&[0; 12][..], text].concat();
    let sctp = common::below::sctp(&[(0, &data(b"one.")), (0, &data(b"two."))]);
    let arp = common::frame(|out| {
        out.extend([0xff; 6]);
        out.extend([2, 2, 2, 2, 2, 2, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2, 192, 0, 2, 1]);
        out.extend([0, 0, 0, 0, 0, 0, 192, 0, 2, 2]);
    });
    let frames = [common::below::igmp(0x16), sctp, arp];
    for (rule, want) in [
        ("alert igmp any any -> any any (sid:1;)", &[(1, 1)][..]),
        ("alert igmp any any -> 224.0.0.1 any (igmp.hdr; content:\"|16|\"; startswith; bsize:8; sid:1;)", &[(1, 1)]),
        ("alert sctp any any -> any any (sctp.hdr; content:\"two.\"; endswith; sid:1;)", &[(1, 2)]),
        ("alert sctp any 7 -> any 9 (content:\"one.\"; startswith; dsize:4; sid:1;)", &[(1, 2)]),
        ("alert sctp any any -> any any (content:\"two.\"; sid:1;)", &[]),
        ("alert sctp any any -> any any (sctp.chunk_data; content:\"two.\"; startswith; sid:1;)", &[(1, 2)]),
        ("alert sctp any any -> any any (sctp.chunk_data; to_uppercase; content:\"TWO.\"; sid:1;)", &[(1, 2)]),
        ("alert udp any any -> any any (sid:1;)", &[]),
        ("alert ether any any -> any any (ether.hdr; content:\"|08 06|\"; offset:12; depth:2; sid:1;)", &[(1, 3)]),
        ("alert ether any any -> any any (ether.hdr; content:\"|08 00|\"; offset:12; sid:1;)", &[(1, 1), (1, 2)]),
        ("alert ether any any -> any any (sid:1;)", &[(1, 1), (1, 2), (1, 3)]),
        ("alert arp any any -> any any (sid:1;)", &[(1, 3)]),
    ] {
        assert_eq!(sids(&alerts(rule, &frames)), want, "{rule}");
    }
    let all = alerts("alert ip any any -> any any (ttl:>0; sid:1;)", &frames);
    assert_eq!(all[0]["igmp"], serde_json::json!({"version": 2, "type": 0x16}));
    assert_eq!(
        all[1]["sctp"],
        serde_json::json!({
            "vtag": 5, "chunk_types": ["data", "data"], "chunk_cnt": 2, "has_init": false, "has_init_ack": false,
            "has_data": true, "has_abort": false
        })
    );
}
