// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rules on frames: which bytes each frame has, when a rule alerts on it and how often, and what the alert says.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: what they build is theirs")]

mod common;

use common::{CLIENT, End, Frame, Rig, SERVER, dns, rules, sids, small::stream, tcp, udp};
use lagewarte_app::{
    frames::{Kind, MAX_BYTES, MAX_FRAMES},
    sip::MAX_BODY,
};
use lagewarte_detect::{MAX_FIRED, Output};
use lagewarte_flow::AppProto;
use lagewarte_rules::{buffers::Buffer, frames::FRAMES};
use proptest::prelude::*;
use serde_json::{Value, json};

type Pieces = Vec<(bool, Vec<u8>)>;

fn said(pieces: &[(bool, &[u8])]) -> Pieces {
    pieces.iter().map(|(client, bytes)| (*client, bytes.to_vec())).collect()
}

/// A conversation over TCP on a port, cut into segments of at most `size` bytes.
fn conversation(port: u16, pieces: &Pieces, size: usize) -> Vec<Frame> {
    let cut = pieces.iter().flat_map(|(client, bytes)| bytes.chunks(size).map(|c| (*client, c.to_vec())));
    stream(port, &cut.collect::<Vec<_>>())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x} ")).collect()
}

fn run(text: &str, frames: &[Frame]) -> Vec<Value> {
    let mut rig = Rig::new(rules(text), Output { packet_alert_max: 256, ..Output::default() });
    let mut alerts = rig.run(frames);
    alerts.extend(rig.finish());
    alerts
}

fn count(alerts: &[Value], sid: u64) -> usize {
    alerts.iter().filter(|a| a["alert"]["signature_id"] == sid).count()
}

const INVITE: &[u8] = b"INVITE sip:b@x SIP/2.0\r\nVia: a\r\nContent-Length: 5\r\n\r\nv=0\r\n";
const RINGING: &[u8] = b"SIP/2.0 183 Progress\r\nVia: a\r\nl: 4\r\n\r\nbody";
const CONNECT: &[u8] = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";
const POST: &[u8] = b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const MAIL: &[u8] = b"Subject: x\r\n\r\nhello\r\n";

fn nbss(record: &[u8]) -> Vec<u8> {
    [&[0, 0][..], &u16::try_from(record.len()).unwrap().to_be_bytes(), record].concat()
}

fn smb1() -> Vec<u8> {
    let head = [&b"\xffSMB\x72"[..], &[0; 27]].concat();
    [&head[..], b"\x00\x0c\x00\x02NT LM 0.12\0"].concat()
}

/// An SMB 2 message; `next` where another follows.
fn smb2(command: u8, answer: bool, next: u32, body: &[u8]) -> Vec<u8> {
    let mut head = [&b"\xfeSMB\x40\0"[..], &[0; 58]].concat();
    head[12] = command;
    head[16] = u8::from(answer);
    head[20..24].copy_from_slice(&next.to_le_bytes());
    [head, body.to_vec()].concat()
}

fn smb3() -> Vec<u8> {
    [&b"\xfdSMB"[..], &[7; 48], b"sealed"].concat()
}

fn ssh(kind: u8, text: &[u8]) -> Vec<u8> {
    let len = u32::try_from(text.len() + 6).unwrap(); // its own length, the kind, four bytes of padding
    [&len.to_be_bytes()[..], &[4, kind], text, &[0; 4]].concat()
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, 3, 1][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat()
}

fn hello() -> Vec<u8> {
    let body = [&b"\x03\x03"[..], &[9; 32], b"\0\0\x02\x13\x01\x01\0"].concat();
    [&[1, 0, 0][..], &[u8::try_from(body.len()).unwrap()], &body].concat()
}

fn mail() -> Pieces {
    let (c, s) = (true, false);
    said(&[
        (s, b"220 hi\r\n"),
        (c, b"HELO a\r\n"),
        (s, b"250 ok\r\n"),
        (c, b"MAIL FROM:<a@b>\r\n"),
        (s, b"250 ok\r\n"),
        (c, b"RCPT TO:<c@d>\r\n"),
        (s, b"250 ok\r\n"),
        (c, b"DATA\r\n"),
        (s, b"354 go\r\n"),
        (c, MAIL),
        (c, b".\r\n"),
        (s, b"250 ok\r\n"),
        (c, b"QUIT\r\n"),
        (s, b"221 bye\r\n"),
    ])
}

fn upgrade() -> Pieces {
    said(&[
        (true, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        (false, b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ])
}

/// What is said on a port, and which frames there are in it: protocol, name, the bytes of each.
struct Talk {
    port: u16,
    pieces: Pieces,
    frames: Vec<(&'static str, &'static str, Vec<Vec<u8>>)>,
}

fn talks() -> Vec<Talk> {
    let own = |all: &[&[u8]]| all.iter().map(|b| b.to_vec()).collect::<Vec<_>>();
    let question = dns(0x0100, &[("ask.example", 1)], &[]);
    let answer = dns(0x8180, &[("ask.example", 1)], &["ask.example"]);
    let framed = |m: &[u8]| [&u16::try_from(m.len()).unwrap().to_be_bytes()[..], m].concat();
    let (one, two) = (smb2(0, false, 72, b"8 bytes!"), smb2(3, false, 0, b"tree"));
    let (first, second, third) = (smb1(), [one.clone(), two.clone()].concat(), smb3());
    let (kex, new) = (ssh(20, &[0; 60]), ssh(21, b""));
    let (client, data) = (record(22, &hello()), record(23, b"secret"));
    let [masked, plain] = [&b"\x81\x82\x01\x02\x03\x04ig"[..], b"\x81\x05hello"];
    vec![
        Talk {
            port: 53,
            pieces: vec![(true, framed(&question)), (false, framed(&answer))],
            frames: vec![("dns", "pdu", vec![question, answer])],
        },
        Talk {
            port: 80,
            pieces: said(&[(true, GET), (false, PLAIN), (true, POST), (false, CHUNKED)]),
            frames: vec![("http1", "request", own(&[GET, POST])), ("http1", "response", own(&[PLAIN, CHUNKED]))],
        },
        Talk {
            port: 1883,
            pieces: said(&[(true, CONNECT), (false, b"\x20\x02\0\0")]),
            frames: vec![
                ("mqtt", "pdu", own(&[CONNECT, b"\x20\x02\0\0"])),
                ("mqtt", "header", own(&[&CONNECT[..2], b"\x20\x02"])),
                ("mqtt", "data", own(&[&CONNECT[2..], b"\0\0"])),
            ],
        },
        Talk {
            port: 5060,
            pieces: said(&[(true, INVITE), (false, RINGING)]),
            frames: vec![
                ("sip", "pdu", own(&[INVITE, RINGING])),
                ("sip", "request.line", own(&[b"INVITE sip:b@x SIP/2.0\r\n"])),
                ("sip", "request.headers", own(&[b"Via: a\r\nContent-Length: 5\r\n"])),
                ("sip", "request.body", own(&[b"v=0\r\n"])),
                ("sip", "response.line", own(&[b"SIP/2.0 183 Progress\r\n"])),
                ("sip", "response.headers", own(&[b"Via: a\r\nl: 4\r\n"])),
                ("sip", "response.body", own(&[b"body"])),
            ],
        },
        Talk {
            port: 445,
            pieces: vec![(true, nbss(&first)), (true, nbss(&second)), (true, nbss(&third))],
            frames: vec![
                ("smb", "nbss.pdu", vec![nbss(&first), nbss(&second), nbss(&third)]),
                ("smb", "nbss.hdr", [&first, &second, &third].map(|r| nbss(r)[..4].to_vec()).to_vec()),
                ("smb", "nbss.data", vec![first.clone(), second, third.clone()]),
                ("smb", "smb1.pdu", vec![first.clone()]),
                ("smb", "smb1.hdr", vec![first[..32].to_vec()]),
                ("smb", "smb1.data", vec![first[32..].to_vec()]),
                ("smb", "smb2.pdu", vec![one.clone(), two.clone()]),
                ("smb", "smb2.hdr", vec![one[..64].to_vec(), two[..64].to_vec()]),
                ("smb", "smb2.data", own(&[b"8 bytes!", b"tree"])),
                ("smb", "smb3.pdu", vec![third.clone()]),
                ("smb", "smb3.hdr", vec![third[..52].to_vec()]),
                ("smb", "smb3.data", own(&[b"sealed"])),
            ],
        },
        Talk {
            port: 25,
            pieces: mail(),
            frames: vec![
                (
                    "smtp",
                    "command_line",
                    own(&[b"HELO a\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n", b"QUIT\r\n"]),
                ),
                ("smtp", "data", own(&[MAIL])),
                (
                    "smtp",
                    "response_line",
                    own(&[b"220 hi\r\n", b"354 go\r\n", b"221 bye\r\n"])
                        .into_iter()
                        .chain(vec![b"250 ok\r\n".to_vec(); 4])
                        .collect(),
                ),
            ],
        },
        Talk {
            port: 22,
            pieces: vec![
                (false, b"SSH-2.0-a\r\n".to_vec()),
                (true, b"SSH-2.0-b\r\n".to_vec()),
                (true, kex.clone()),
                (false, new.clone()),
            ],
            frames: vec![
                ("ssh", "record_pdu", vec![kex.clone(), new.clone()]),
                ("ssh", "record_hdr", vec![kex[..6].to_vec(), new[..6].to_vec()]),
                ("ssh", "record_data", vec![kex[6..].to_vec(), new[6..].to_vec()]),
            ],
        },
        Talk {
            port: 443,
            pieces: vec![(true, [client.clone(), data.clone()].concat())],
            frames: vec![
                ("tls", "pdu", vec![client.clone(), data.clone()]),
                ("tls", "hdr", vec![client[..5].to_vec(), data[..5].to_vec()]),
                ("tls", "data", vec![hello(), b"secret".to_vec()]),
            ],
        },
        Talk {
            port: 80,
            pieces: [upgrade(), said(&[(true, masked), (false, plain)])].concat(),
            frames: vec![
                ("websocket", "pdu", own(&[masked, plain])),
                ("websocket", "header", own(&[&masked[..6], &plain[..2]])),
                ("websocket", "data", own(&[b"ig", b"hello"])),
            ],
        },
    ]
}

#[test]
fn the_frames_of_the_language_are_the_application_layers() {
    let ours: Vec<(&str, &str)> = Kind::ALL.iter().map(|k| (k.proto().name().unwrap(), k.name())).collect();
    let theirs = |f: &Buffer| AppProto::by_name(f.protocols[0]).and_then(|p| Kind::by_name(p, f.name)).is_some();
    assert!(FRAMES.iter().all(theirs));
    assert_eq!(ours.len(), FRAMES.len());
}

/// However its bytes come, a frame is what its protocol says, and each is looked at once.
#[test]
fn every_frame_has_its_bytes_and_no_others() {
    let mut known: Vec<(&str, &str)> = Vec::new();
    for talk in talks() {
        for (protocol, name, frames) in &talk.frames {
            known.push((protocol, name));
            let all = format!("alert tcp any any -> any any (frame:{protocol}.{name}; bsize:>0; sid:1;)\n");
            let each: String = frames
                .iter()
                .zip(2..)
                .map(|(bytes, sid)| {
                    let content = hex(bytes);
                    format!("alert tcp any any -> any any (frame:{protocol}.{name}; content:\"|{content}|\"; startswith; endswith; sid:{sid};)\n")
                })
                .collect();
            for size in [1, 7, 1400] {
                let alerts = run(&(all.clone() + &each), &conversation(talk.port, &talk.pieces, size));
                assert_eq!(count(&alerts, 1), frames.len(), "{protocol}.{name} in segments of {size}");
                for (bytes, sid) in frames.iter().zip(2..) {
                    let same = frames.iter().filter(|f| *f == bytes).count();
                    assert_eq!(
                        count(&alerts, sid),
                        same,
                        "{protocol}.{name} in segments of {size}: {}",
                        bytes.escape_ascii()
                    );
                }
            }
        }
    }
    for f in FRAMES {
        let protocol = if f.protocols[0] == "http" { "http1" } else { f.protocols[0] };
        assert!(known.contains(&(protocol, f.name)), "{protocol}.{} has no conversation", f.name);
    }
}

#[test]
fn a_datagram_is_a_frame_and_has_no_place_in_a_stream() {
    let frames = [udp(CLIENT, End(SERVER.0, 5060), INVITE), udp(End(SERVER.0, 5060), CLIENT, RINGING)];
    let text = r#"alert sip any any -> any any (flow:to_server; frame:request.body; content:"v=0"; sid:1;)
        alert sip any any -> any any (flow:to_server; frame:response.body; content:"body"; sid:2;)
        alert sip any any -> any any (flow:to_client; frame:response.body; content:"body"; sid:3;)"#;
    let alerts = run(text, &frames);
    assert_eq!(sids(&alerts), [(1, 1), (3, 2)]);
    assert_eq!(
        alerts[0]["frame"],
        json!({"type": "request.body", "id": 1, "direction": "toserver", "length": 5, "complete": true, "tx_id": 0})
    );
    assert_eq!((&alerts[0]["tx_id"], &alerts[0]["sip"]["method"]), (&json!(0), &json!("INVITE")));
}

#[test]
fn an_alert_says_which_frame_it_is_about() {
    let text = r#"alert websocket any any -> any any (flow:to_client; frame:data; content:"hello"; sid:1;)"#;
    let pieces = [upgrade(), said(&[(false, b"\x81\x05hello")])].concat();
    let head = pieces[1].1.len() as u64;
    let output = Output { payload_printable: true, ..Output::default() };
    let alerts = Rig::new(rules(text), output).run(&conversation(80, &pieces, 1400));
    assert_eq!(
        alerts[0]["frame"],
        json!({"type": "data", "id": 1, "direction": "toclient", "stream_offset": head + 2, "length": 5,
            "complete": true, "tx_id": 0, "payload_printable": "hello"})
    );
    assert_eq!(alerts[0]["websocket"]["opcode"], "text");
}

/// A rule judges what there is as soon as nothing that follows can change it, and once.
#[test]
fn a_frame_is_looked_at_as_it_grows_and_alerts_once() {
    let text = r#"alert http any any -> any any (frame:http1.request; content:"needle"; sid:1;)
        alert http any any -> any any (frame:http1.request; content:!"haystack"; sid:2;)
        alert http any any -> any any (frame:http1.request; content:"end"; endswith; sid:3;)"#;
    let request = b"POST /needle HTTP/1.1\r\nHost: h\r\nContent-Length: 4000\r\n\r\n";
    let body = [&[b'x'; 3997][..], b"end"].concat();
    // The server acknowledges what has come before the rest of the body comes.
    let segments: [(bool, &[u8]); 6] = [
        (true, request),
        (true, &body[..1400]),
        (true, &body[1400..2800]),
        (false, b""),
        (true, &body[2800..3000]),
        (true, &body[3000..]),
    ];
    let frames = stream(80, &said(&segments));
    let alerts = run(text, &frames);
    let at = |sid: u64| alerts.iter().find(|a| a["alert"]["signature_id"] == sid).unwrap();
    assert_eq!([1, 2, 3].map(|sid| count(&alerts, sid)), [1, 1, 1]);
    assert_eq!((&at(1)["frame"]["complete"], &at(3)["frame"]["complete"]), (&json!(false), &json!(true)));
    assert!(at(1)["pcap_cnt"].as_u64() < at(3)["pcap_cnt"].as_u64());
}

/// Behind a gap a frame does not go on; of one that was cut off only what came is judged, and never its end.
#[test]
fn a_gap_ends_a_frame() {
    let text = r#"alert http any any -> any any (frame:http1.request; content:"head"; sid:1;)
        alert http any any -> any any (frame:http1.request; content:"tail"; sid:2;)
        alert http any any -> any any (frame:http1.request; content:!"tail"; sid:3;)
        alert http any any -> any any (frame:http1.request; content:!"other"; endswith; sid:4;)
        alert http any any -> any any (frame:http1.request; bsize:<9000; sid:5;)"#;
    let server = End(SERVER.0, 80);
    let request = b"POST /head HTTP/1.1\r\nHost: h\r\nContent-Length: 300\r\n\r\n";
    let seq = 1001 + u32::try_from(request.len()).unwrap();
    let mut frames = common::session(CLIENT, server, &[(true, request)]);
    frames.push(tcp(CLIENT, server, "PA", seq + 100, 9001, &[b"tail".as_slice(), &[b'x'; 196]].concat()));
    // The server acknowledges what the sensor never saw.
    frames.push(tcp(server, CLIENT, "A", 9001, seq + 300, b""));
    frames.push(tcp(CLIENT, server, "A", seq + 300, 9001, b""));
    let alerts = run(text, &frames);
    assert_eq!([1, 2, 3, 4, 5].map(|sid| count(&alerts, sid)), [1, 0, 1, 0, 0]);
}

#[test]
fn a_frame_that_is_open_at_the_flows_end_is_looked_at_as_far_as_it_came() {
    let text = r#"alert http any any -> any any (frame:http1.request; content:!"tail"; sid:1;)
        alert http any any -> any any (frame:http1.request; content:"x"; endswith; sid:2;)"#;
    let frames = conversation(80, &said(&[(true, b"POST /h HTTP/1.1\r\nContent-Length: 9\r\n\r\nxxx")]), 1400);
    let mut rig = Rig::new(rules(text), Output::default());
    assert_eq!(sids(&rig.run(&frames)), []);
    let alerts = rig.finish();
    assert_eq!((count(&alerts, 1), count(&alerts, 2)), (1, 0));
    assert_eq!(alerts[0]["frame"]["complete"], false);
}

#[test]
fn a_rule_on_frames_asks_for_header_flow_and_marks_like_any_other() {
    let text = r#"alert sip any any -> any 5061 (frame:pdu; content:"INVITE"; sid:1;)
        alert sip any any -> any any (flow:to_client; frame:pdu; content:"INVITE"; sid:2;)
        alert sip any any -> any any (frame:pdu; content:"INVITE"; flowbits:set,seen; noalert; sid:3;)
        alert sip any any -> any any (frame:request.line; content:"INVITE"; flowbits:isset,seen; sid:4;)
        alert sip any any -> any any (frame:request.line; content:"INVITE"; flowbits:isset,never; sid:5;)
        pass sip any any -> any any (frame:pdu; content:"BYE"; sid:6;)
        alert sip any any -> any any (frame:request.line; to_lowercase; content:"bye"; sid:7;)"#;
    let to = End(SERVER.0, 5060);
    let bye = b"BYE sip:b@x SIP/2.0\r\n\r\n";
    assert_eq!(sids(&run(text, &[udp(CLIENT, to, INVITE), udp(CLIENT, to, bye)])), [(4, 1)]);
}

#[test]
fn nothing_is_kept_that_no_rule_asks_for() {
    for (text, kept) in [
        (r#"alert sip any any -> any any (sip.method; content:"INVITE"; sid:1;)"#, false),
        (r#"alert http any any -> any any (frame:http1.request; content:"x"; sid:1;)"#, false),
        (r#"alert sip any any -> any any (frame:response.body; content:"x"; sid:1;)"#, false),
        (r#"alert sip any any -> any any (frame:request.body; content:"x"; sid:1;)"#, true),
    ] {
        let mut rig = Rig::new(rules(text), Output::default());
        rig.run(&[udp(CLIENT, End(SERVER.0, 5060), INVITE)]);
        assert_eq!(rig.scratch.counters.frames > 0, kept, "{text}");
    }
}

/// Threat: a length announced and never sent, for which the message itself would not be seen.
#[test]
fn a_body_of_sip_is_waited_for_up_to_its_cap() {
    let text = r#"alert sip any any -> any any (frame:request.line; content:"INVITE"; sid:1;)"#;
    for (len, seen) in [(MAX_BODY, 0), (MAX_BODY + 1, 1)] {
        let head = format!("INVITE sip:b@x SIP/2.0\r\nContent-Length: {len}\r\n\r\n");
        let pieces = said(&[(true, head.as_bytes()), (true, b"the beginning of it")]);
        let alerts = Rig::new(rules(text), Output::default()).run(&conversation(5060, &pieces, 1400));
        assert_eq!(alerts.len(), seen, "{len}");
    }
}

/// Threat: a message of many megabytes that comes in small pieces. Rules see its beginning; its end is not judged.
#[test]
fn a_frame_is_kept_up_to_its_cap() {
    let text = r#"alert http any any -> any any (frame:http1.request; content:"early"; sid:1;)
        alert http any any -> any any (frame:http1.request; content:"late"; sid:2;)
        alert http any any -> any any (frame:http1.request; content:"x"; endswith; sid:3;)"#;
    let body = [&b"early"[..], &vec![b'x'; MAX_BYTES], b"late"].concat();
    let request = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len());
    // The server acknowledges as the bytes come.
    let pieces = [request.as_bytes()].into_iter().chain(body.chunks(1400)).flat_map(|p| [(true, p), (false, &b""[..])]);
    let frames = stream(80, &said(&pieces.collect::<Vec<_>>()));
    let mut rig = Rig::new(rules(text), Output::default());
    let mut alerts = rig.run(&frames);
    alerts.extend(rig.finish());
    assert_eq!([1, 2, 3].map(|sid| count(&alerts, sid)), [1, 0, 0]);
    assert_eq!(rig.apps.counters().frames, 1, "it is counted");
}

/// Threat: the smallest messages without end, one way, and no packet that goes their way for them to be looked at.
#[test]
fn so_many_frames_wait_and_no_more() {
    let text = r#"alert websocket any any -> any any (flow:to_client; frame:pdu; content:"|81 01 78|"; sid:1;)"#;
    let many = b"\x81\x01x".repeat(MAX_FRAMES + 9);
    let pieces = [upgrade(), vec![(false, many)]].concat();
    let mut rig = Rig::new(rules(text), Output { packet_alert_max: u16::MAX, ..Output::default() });
    // All of them are read with one acknowledgement of the client's, and looked at with the server's next packet.
    rig.run(&conversation(80, &pieces, 1400));
    assert_eq!((rig.scratch.counters.frames, rig.apps.counters().frames), (MAX_FRAMES as u64, 9));
}

/// Threat: a frame that grows byte by byte, against thousands of rules that match it.
#[test]
fn so_many_rules_alert_on_a_frame_and_no_more() {
    let rule =
        |sid: usize| format!("alert sip any any -> any any (frame:pdu; content:\"INVITE\"; noalert; sid:{sid};)\n");
    let text: String = (1..=MAX_FIRED + 5).map(rule).collect();
    let mut rig = Rig::new(rules(&text), Output::default());
    rig.run(&[udp(CLIENT, End(SERVER.0, 5060), INVITE)]);
    assert_eq!(rig.scratch.counters.crowded, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whether a rule alerts depends on the frame's bytes alone, and not on how they came.
    #[test]
    fn segments_change_nothing(body in "[abc]{0,40}", size in 1usize..60, other in 1usize..60) {
        let text = r#"alert http any any -> any any (frame:http1.request; content:"ab"; content:"c"; distance:1; sid:1;)
            alert http any any -> any any (frame:http1.request; content:!"ba"; sid:2;)
            alert http any any -> any any (frame:http1.request; content:"a"; endswith; sid:3;)
            alert http any any -> any any (frame:http1.request; pcre:"/c$/"; sid:4;)
            alert http any any -> any any (frame:http1.request; content:"a"; isdataat:!3,relative; sid:5;)
            alert http any any -> any any (frame:http1.request; to_uppercase; content:"BC"; sid:6;)"#;
        let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let pieces = said(&[(true, request.as_bytes()), (false, PLAIN)]);
        let of = |size| {
            let alerts = run(text, &conversation(80, &pieces, size));
            [1, 2, 3, 4, 5, 6].map(|sid| count(&alerts, sid))
        };
        prop_assert_eq!(of(size), of(other));
    }
}
