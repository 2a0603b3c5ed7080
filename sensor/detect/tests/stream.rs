// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Contents in the bytes of streams: where they are looked for, when, and how often that alerts.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: what they build is theirs")]

mod common;

use common::{CLIENT, Frame, Rig, SERVER, rules, session, tcp};
use lagewarte_detect::Output;
use serde_json::Value;

/// (sid, packet; 0 at the flow's end) of alerts, those at the end last.
fn found(text: &str, frames: &[Frame]) -> Vec<(u64, u64)> {
    let mut rig = Rig::new(rules(text), Output::default());
    let mut alerts = rig.run(frames);
    alerts.extend(rig.finish());
    let of = |a: &Value| (a["alert"]["signature_id"].as_u64().unwrap(), a["pcap_cnt"].as_u64().unwrap_or(0));
    alerts.iter().map(of).collect()
}

/// A handshake, then what the client sends, each piece acknowledged.
fn sent(pieces: &[&[u8]]) -> Vec<Frame> {
    let mut frames = session(CLIENT, SERVER, &[]);
    let mut seq = 1001;
    for p in pieces {
        frames.push(tcp(CLIENT, SERVER, "PA", seq, 9001, p));
        seq += u32::try_from(p.len()).unwrap();
        frames.push(tcp(SERVER, CLIENT, "A", 9001, seq, b""));
    }
    frames
}

#[test]
fn a_rule_looks_at_the_packet_the_stream_or_both() {
    let frames = sent(&[b"split con", b"tent here"]);
    for (rule, want) in [
        // Across two segments: only in the stream, which is looked at when the flow ends.
        (r#"alert tcp any any -> any any (content:"content"; sid:1;)"#, &[(1, 0)][..]),
        (r#"alert ip any any -> any any (content:"content"; sid:1;)"#, &[(1, 0)]),
        (r#"alert tcp-stream any any -> any any (content:"content"; sid:1;)"#, &[(1, 0)]),
        (r#"alert tcp any any -> any any (flow:only_stream; content:"content"; sid:1;)"#, &[(1, 0)]),
        (r#"alert tcp-pkt any any -> any any (content:"content"; sid:1;)"#, &[]),
        (r#"alert tcp any any -> any any (flow:no_stream; content:"content"; sid:1;)"#, &[]),
        // Within one segment.
        (r#"alert tcp any any -> any any (content:"split"; sid:1;)"#, &[(1, 0)]),
        (r#"alert tcp-pkt any any -> any any (content:"split"; sid:1;)"#, &[(1, 4)]),
        (r#"alert tcp any any -> any any (flow:no_stream; content:"split"; sid:1;)"#, &[(1, 4)]),
        (r#"alert tcp any any -> any any (content:"split"; dsize:9; sid:1;)"#, &[(1, 4)]),
        // With a place of its own: in the packet, and in the stream.
        (r#"alert tcp any any -> any any (content:"split"; startswith; sid:1;)"#, &[(1, 4), (1, 0)]),
        (r#"alert tcp any any -> any any (content:"tent"; startswith; sid:1;)"#, &[(1, 6)]),
        // What is asked of the stream's size changes nothing of that, but keeps other contents with the packet.
        (
            r#"alert tcp any any -> any any (stream_size:client,<,50; content:"split"; startswith; sid:1;)"#,
            &[(1, 4), (1, 0)],
        ),
        (r#"alert tcp any any -> any any (stream_size:client,<,50; content:"split"; sid:1;)"#, &[(1, 4)]),
        // The other direction has nothing.
        (r#"alert tcp any any -> any any (flow:to_client; content:"split"; sid:1;)"#, &[]),
    ] {
        assert_eq!(found(rule, &frames), want, "{rule}");
    }
}

#[test]
fn a_segment_that_is_not_the_streams_is_looked_at_as_a_packet() {
    let rule = r#"alert tcp any any -> any any (content:"outside"; sid:1;)"#;
    let mut frames = session(CLIENT, SERVER, &[]);
    frames.push(tcp(CLIENT, SERVER, "PA", 2_000_000, 9001, b"outside the window"));
    assert_eq!(found(rule, &frames), [(1, 4)]);
    // Without a session too.
    assert_eq!(found(rule, &[tcp(CLIENT, SERVER, "PA", 5, 6, b"outside of any")]), [(1, 1)]);
}

#[test]
fn chunks_are_looked_at_once_and_what_lies_across_is_found() {
    // Each piece fills a chunk: looked at with the client's next packet.
    let piece = |mark: &str| [mark.as_bytes(), &[b'.'; 2560], mark.as_bytes()].concat();
    let (a, b) = (piece("needle"), piece("other"));
    let frames = sent(&[&a, &b, b"dle tail"]);
    let rule = r#"alert tcp any any -> any any (content:"needle"; sid:1;)"#;
    assert_eq!(found(rule, &frames), [(1, 6)], "once for a chunk, and not again as it is looked back at");
    let across = r#"alert tcp any any -> any any (content:"needle"; content:"other"; distance:0; within:5; sid:1;)"#;
    assert_eq!(found(across, &frames), [(1, 8)]);
    let across = r#"alert tcp any any -> any any (content:"otherdle"; sid:1;)"#;
    assert_eq!(found(across, &frames), [(1, 0)]);
    // What must not occur is judged in each part for itself.
    let absent = r#"alert tcp-stream any any -> any any (flow:to_server; content:!"needle"; sid:1;)"#;
    assert_eq!(found(absent, &frames), [(1, 8), (1, 0)]);
}

#[test]
fn an_alert_on_a_stream_shows_it_with_its_gaps() {
    let mut frames = session(CLIENT, SERVER, &[]);
    frames.push(tcp(CLIENT, SERVER, "PA", 1001, 9001, b"VERY"));
    frames.push(tcp(CLIENT, SERVER, "PA", 1009, 9001, b"DATA"));
    frames.push(tcp(SERVER, CLIENT, "A", 9001, 1013, b""));
    let output = Output { payload_printable: true, packet: true, ..Output::default() };
    let mut rig = Rig::new(rules(r#"alert tcp-stream any any -> any any (content:"DATA"; sid:1;)"#), output);
    assert!(rig.run(&frames).is_empty());
    let alerts = rig.finish();
    assert_eq!(alerts.len(), 1);
    let a = &alerts[0];
    assert_eq!(a["payload_printable"], "VERY[4 bytes missing]DATA");
    assert_eq!(
        (&a["stream"], &a["pkt_src"], &a["direction"]),
        (&1.into(), &"stream (flow timeout)".into(), &"to_server".into())
    );
    assert!(a.get("packet").is_none());
}

#[test]
fn the_stream_events_of_the_language_are_the_sessions() {
    let ours: Vec<&str> =
        lagewarte_flow::StreamEvent::ALL.iter().filter_map(|e| e.name().strip_prefix("stream.")).collect();
    assert_eq!(ours, lagewarte_rules::registry::STREAM_EVENTS);
    // Found by the rules that are distributed with Suricata: they write these two longer than events are called.
    for name in ["3whs_synack_resend_with_different_ack", "est_synack_resend_with_different_ack"] {
        rules(&format!("alert tcp any any -> any any (stream-event:{name}; sid:1;)"));
    }
}

/// Suricata 7.0.10 alerts on wrong checksums under `-k none`, too: that says only what streams are made of.
#[test]
fn checksums_are_asked_for_where_streams_take_any() {
    let text = "alert tcp any any -> any any (tcpv4-csum:invalid; sid:1;)\n\
                alert tcp any any -> any any (tcpv4-csum:valid; sid:2;)";
    let mut rig = Rig::new(rules(text), Output::default());
    rig.any_checksum();
    let whole = tcp(CLIENT, SERVER, "S", 1, 0, b"");
    let mut broken = whole.clone();
    broken.bytes[50] ^= 0x55;
    let sids: Vec<Value> = rig.run(&[whole, broken]).iter().map(|a| a["alert"]["signature_id"].clone()).collect();
    assert_eq!(sids, [Value::from(2), Value::from(1)]);
}
