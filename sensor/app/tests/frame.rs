// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The frame around the parsers: finding the protocol, feeding, gaps, changes, ends, and every cap.

mod common;

use common::{CLIENT, Rig, SERVER, TC, TS, config};
use lagewarte_app::{
    Apps, Config, DETECT, Encrypted, MAX_CHANGES, Mode,
    file::{Asked, Hashes},
    frames::{Kind, Kinds},
    template,
};
use lagewarte_flow::AppProto;
use lagewarte_testkit::tcp;
use proptest::prelude::*;
use serde_json::{Value, json};

fn talk(r: &mut Rig) -> Vec<Value> {
    r.written().into_iter().filter(|e| e["event_type"] == "template").map(|e| e["template"].clone()).collect()
}

#[test]
fn a_transaction_is_written_when_it_is_complete_with_the_flows_ends() {
    let mut r = Rig::open(config(), 4000);
    r.send(TS, b"ask who\r\nask why\n");
    assert_eq!(r.written(), [] as [Value; 0]);
    r.send(TC, b"tell me\n");
    let [one] = &r.written()[..] else { panic!("one event") };
    assert_eq!(one["template"], json!({"request": "who", "response": "me"}));
    assert_eq!((&one["tx_id"], &one["src_ip"], &one["dest_port"]), (&json!(0), &json!("192.0.2.1"), &json!(4000)));
    assert_eq!(one["pkt_src"], "wire/pcap");
    r.finish();
    let rest = r.written();
    assert_eq!(rest[0]["template"], json!({"request": "why", "response": ""}));
    assert_eq!((&rest[0]["pkt_src"], rest[0].get("pcap_cnt")), (&json!("stream (flow timeout)"), None));
    assert_eq!((&r.flow()["app_proto"], &r.flow()["flow"]["tx_cnt"]), (&json!("template"), &json!(2)));
    assert_eq!(r.memuse(), 0, "everything is given back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn however_the_bytes_are_cut_the_transactions_are_the_same(
        lines in prop::collection::vec("[a-z]{0,12}", 1..6),
        cuts in prop::collection::vec(1usize..9, 1..40),
    ) {
        let text: Vec<u8> = lines.iter().flat_map(|l| format!("ask {l}\n").into_bytes()).collect();
        let answers: Vec<u8> = lines.iter().flat_map(|l| format!("tell {l}!\n").into_bytes()).collect();
        let mut r = Rig::open(config(), 4000);
        for (d, bytes) in [(TS, &text), (TC, &answers)] {
            let (mut at, mut n) = (0, 0);
            while at < bytes.len() {
                let to = (at + cuts[n % cuts.len()]).min(bytes.len());
                r.send(d, &bytes[at..to]);
                (at, n) = (to, n + 1);
            }
        }
        let want: Vec<Value> = lines.iter().map(|l| json!({"request": l, "response": format!("{l}!")})).collect();
        prop_assert_eq!(talk(&mut r), want);
        r.finish();
        prop_assert_eq!(r.memuse(), 0);
    }
}

#[test]
fn a_side_that_is_not_recognised_waits_for_the_other_up_to_a_cap() {
    let mut r = Rig::open(config(), 4000);
    r.send(TC, b"welcome, whoever you are\n");
    assert!(r.memuse() > 0, "held until the client says what it speaks");
    r.send(TS, b"ask who\n");
    assert_eq!(r.events(), ["APPLAYER_DETECT_PROTOCOL_ONLY_ONE_DIRECTION"]);
    r.send(TC, b"tell me\n");
    // The greeting is a line that the parser did not expect, before any transaction.
    assert_eq!(talk(&mut r), [json!({"request": "who", "response": "me"})]);

    let mut r = Rig::open(config(), 4000);
    r.send(TC, &[b'x'; 100_000]);
    assert_eq!(r.events(), [""; 0]);
    r.send(TC, b"x");
    assert_eq!((r.memuse(), r.events()), (0, vec!["APPLAYER_PROTO_DETECTION_SKIPPED"]));
    r.send(TS, b"ask who\n");
    r.finish();
    assert_eq!(r.written(), [] as [Value; 0]);
}

#[test]
fn a_greeting_byte_by_byte_is_looked_at_for_so_long_only() {
    // "ask " could still come until the cap; `GET ` cannot once another letter did.
    let mut r = Rig::open(config(), 4000);
    for b in b"ask who\n" {
        r.send(TS, &[*b]);
    }
    r.send(TC, b"tell me\n");
    assert_eq!(talk(&mut r).len(), 1);
    let mut r = Rig::open(Config::default(), 88);
    r.send(TS, &vec![0; DETECT]); // Kerberos over TCP begins so, and goes on otherwise
    r.send(TC, b"nothing that is known");
    assert_eq!(r.events(), [""; 0], "both sides were heard");
    r.finish();
    assert_eq!(r.flow()["app_proto"], "failed");
}

/// Suricata 7.0.10 says `failed` from 17 bytes of the client and 8 of the server on, and before that nothing.
#[test]
fn a_few_bytes_do_not_say_what_a_flow_does_not_speak() {
    for (client, server, proto) in
        [(16, 300, None), (17, 300, Some("failed")), (300, 7, None), (300, 8, Some("failed")), (300, 0, None)]
    {
        let mut r = Rig::open(Config::default(), 7777);
        r.send(TS, &vec![b'z'; client]);
        r.send(TC, &vec![b'y'; server]);
        assert_eq!(r.events(), [""; 0], "{client} {server}");
        r.finish();
        let f = r.flow();
        assert_eq!((f["app_proto"].as_str(), f.get("app_proto_ts"), f.get("app_proto_tc")), (proto, None, None));
        assert_eq!(r.memuse(), 0);
    }
    // Where the other side is known they are its parser's all the same.
    let mut r = Rig::open(config(), 80);
    r.send(TS, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    r.send(TC, b"page");
    assert_eq!(r.events(), [""; 0]);
    r.send(TC, b" after page");
    assert_eq!(r.events(), ["APPLAYER_DETECT_PROTOCOL_ONLY_ONE_DIRECTION"]);
    r.finish();
    assert_eq!((&r.flow()["app_proto"], &r.flow()["app_proto_tc"]), (&json!("http"), &json!("failed")));
}

#[test]
fn the_length_of_an_answer_is_that_on_the_line_and_its_files_is_not() {
    let mut r = Rig::open(config(), 80);
    r.send(TS, b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n");
    r.send(TC, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n");
    r.finish();
    let all = r.written();
    let of = |kind: &str| all.iter().find(|e| e["event_type"] == kind).expect("it is written");
    // Twice a line, two bytes and a line end, then the line of the last chunk.
    assert_eq!((&of("http")["http"]["length"], &of("fileinfo")["fileinfo"]["size"]), (&json!(17), &json!(4)));
}

#[test]
fn a_file_that_ends_with_its_direction_is_written_with_that_packet() {
    let mut r = Rig::open(config(), 80);
    r.send(TS, b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n");
    r.send(TC, b"HTTP/1.1 200 OK\r\n\r\npage");
    r.close(TC);
    let all = r.written();
    let info = all.iter().find(|e| e["event_type"] == "fileinfo").expect("with the client's acknowledgement");
    assert_eq!((&info["pkt_src"], &info["fileinfo"]["state"]), (&json!("wire/pcap"), &json!("CLOSED")));
}

/// Suricata 7.0.10: a file ends where its body is not inspected any more (`response-body-limit`), cut off where more comes.
#[test]
fn a_file_reaches_as_far_as_its_body_is_inspected() {
    for (len, size, state) in [(102_400, 102_400, "CLOSED"), (300_000, 102_400, "TRUNCATED")] {
        let mut r = Rig::open(config(), 80);
        r.send(TS, b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n");
        r.send(TC, format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").as_bytes());
        for part in vec![b'x'; len].chunks(1400) {
            r.send(TC, part);
        }
        r.finish();
        let all = r.written();
        let info = &all.iter().find(|e| e["event_type"] == "fileinfo").expect("a file")["fileinfo"];
        assert_eq!((&info["size"], &info["state"]), (&json!(size), &json!(state)));
    }
}

#[test]
fn sides_that_disagree_and_a_server_that_speaks_first_are_events() {
    let mut r = Rig::open(config(), 80);
    r.send(TS, b"GET / HTTP/1.1\r\n\r\n");
    r.send(TC, b"SSH-2.0-x\r\n");
    assert_eq!(r.events(), ["APPLAYER_MISMATCH_PROTOCOL_BOTH_DIRECTIONS"]);
    r.finish();
    let f = r.flow();
    assert_eq!((&f["app_proto"], &f["app_proto_tc"]), (&json!("http"), &json!("ssh")));

    let mut r = Rig::open(config(), 80);
    r.send(TC, b"HTTP/1.1 200 OK\r\n");
    assert_eq!(r.events(), ["APPLAYER_WRONG_DIRECTION_FIRST_DATA"]);
}

#[test]
fn of_a_flow_taken_up_in_its_middle_the_server_may_be_heard_first() {
    let mut r = Rig::new(config(), 80);
    r.send(TC, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage");
    assert_eq!(r.events(), [""; 0]);
    r.finish();
    let all = r.written();
    let http = all.iter().find(|e| e["event_type"] == "http").expect("the answer is written");
    assert_eq!((&http["http"]["status"], &http["dest_port"]), (&json!(200), &json!(80)));
}

#[test]
fn what_the_depth_cuts_off_is_no_whole_file() {
    let mut r = Rig::open(config(), 80);
    r.send(TS, b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n");
    // Without a length: the body goes on up to the connection's end.
    r.send(TC, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    r.send(TC, &vec![b'x'; (1 << 20) + 1000]); // the stock depth is 1 MiB
    r.finish();
    let all = r.written();
    let info = all.iter().find(|e| e["event_type"] == "fileinfo").expect("a file");
    assert_eq!(info["fileinfo"]["state"], "TRUNCATED");
}

#[test]
fn what_a_configuration_switches_off_is_not_there() {
    let query = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    for (mode, proto, written) in
        [(Mode::On, json!("dns"), 1), (Mode::DetectionOnly, json!("dns"), 0), (Mode::Off, json!("failed"), 0)]
    {
        let mut c = config();
        c.of_mut(AppProto::Dns).udp.mode = mode;
        let mut r = Rig::new(c, 53);
        r.datagram(TS, query);
        assert_eq!(r.written().len(), written, "{mode:?}");
        r.finish();
        assert_eq!(r.flow()["app_proto"], proto, "{mode:?}");
    }
    let mut c = config();
    c.of_mut(AppProto::Dns).udp.ports = vec![(5000, 5010)];
    c.types = Some(vec!["dns".to_owned()]);
    let mut r = Rig::new(c.clone(), 5005);
    r.datagram(TS, query);
    assert_eq!(r.written().len(), 1);
    c.types = Some(vec!["alert".to_owned()]);
    let mut r = Rig::new(c, 5005);
    r.datagram(TS, query);
    assert_eq!(r.written().len(), 0);
}

#[test]
fn a_gap_ends_a_protocol_that_cannot_find_its_place_again() {
    let mut r = Rig::open(config(), 4000);
    r.send(TS, b"ask who\nask wh");
    r.lose(TS, 10);
    assert_eq!(r.written(), [] as [Value; 0], "it may only be late");
    r.send(TS, b"ask again\n");
    assert_eq!(talk(&mut r), [json!({"request": "who", "response": ""})], "as complete as it will be");
    r.send(TC, b"tell me\n");
    assert_eq!(r.written(), [] as [Value; 0]);
    assert_eq!(r.parts.apps.counters().error[AppProto::Template as usize], [1, 0]);
    r.finish();
    assert_eq!((&r.flow()["app_proto"], r.memuse()), (&json!("template"), 0));
}

#[test]
fn a_flow_goes_on_as_what_it_announced() {
    let message = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
    let framed = [&(message.len() as u16).to_be_bytes()[..], message].concat();
    let mut c = config();
    c.of_mut(AppProto::Dns).tcp.ports = vec![(4000, 4000)];
    let mut r = Rig::open(c, 4000);
    r.send(TS, &[b"ask who\nbecome dns\n".as_slice(), &framed].concat());
    let kinds: Vec<Value> = r.written().iter().map(|e| e["event_type"].clone()).collect();
    assert_eq!(kinds, ["template", "dns"]);
    r.finish();
    let f = r.flow();
    assert_eq!((&f["app_proto"], &f["app_proto_orig"]), (&json!("dns"), &json!("template")));
    assert_eq!(f["flow"]["tx_cnt"], 2);
    assert_eq!(r.events(), [] as [&str; 0]);
    // TLS was announced and something else came.
    let mut r = Rig::open(config(), 4000);
    r.send(TS, b"ask who\nbecome tls\nGET / HTTP/1.1\r\n\r\n");
    assert_eq!(r.events(), ["APPLAYER_NO_TLS_AFTER_STARTTLS", "APPLAYER_UNEXPECTED_PROTOCOL"]);
    r.finish();
    let f = r.flow();
    assert_eq!(
        (&f["app_proto"], &f["app_proto_orig"], &f["app_proto_expected"]),
        (&json!("http"), &json!("template"), &json!("tls"))
    );
}

/// In Suricata a flow of RDP stays RDP when it goes on with TLS; where it is wanted, it is TLS then.
#[test]
fn rdp_goes_on_as_tls_where_that_is_wanted() {
    let request = b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0";
    let answer = b"\x03\0\0\x13\x0e\xd0\0\0\x12\x34\0\x02\0\x08\0\x01\0\0\0";
    // A hello that asks for `a.example`, one that takes TLS 1.3, and what is encrypted.
    let name = b"\0\0\0\x0e\0\x0c\0\0\x09a.example";
    let hello = [&b"\x03\x03"[..], &[7; 32], b"\0\0\x02\0\x2f\x01\0\0\x12", name].concat();
    let taken = [&b"\x03\x03"[..], &[7; 32], b"\0\x13\x01\0\0\x06\0\x2b\0\x02\x03\x04"].concat();
    let message =
        |kind: u8, body: &[u8]| [&[22, 3, 3, 0, body.len() as u8 + 4, kind, 0, 0, body.len() as u8], body].concat();
    for wanted in [false, true] {
        let mut c = Config::default();
        c.rdp.tls = wanted;
        let mut r = Rig::open(c, 3389);
        r.send(TS, request);
        r.send(TC, answer);
        r.send(TS, &message(1, &hello));
        r.send(TC, &[&message(2, &taken)[..], b"\x14\x03\x03\0\x01\x01", b"\x17\x03\x03\0\x01x"].concat());
        r.send(TS, b"\x14\x03\x03\0\x01\x01\x17\x03\x03\0\x01x");
        r.finish();
        let said: Vec<Value> = r.written();
        let kinds: Vec<_> = said.iter().map(|e| e["event_type"].as_str().unwrap_or_default()).collect();
        let f = r.flow();
        if wanted {
            assert_eq!(kinds, ["rdp", "rdp", "tls"]);
            assert_eq!((&said[2]["tls"]["sni"], &said[2]["tls"]["version"]), (&json!("a.example"), &json!("TLS 1.3")));
            assert_eq!((&f["app_proto"], &f["app_proto_orig"]), (&json!("tls"), &json!("rdp")));
        } else {
            assert_eq!(kinds, ["rdp", "rdp"]);
            assert_eq!((&f["app_proto"], f.get("app_proto_orig")), (&json!("rdp"), None));
        }
        assert_eq!((r.memuse(), r.events()), (0, vec![]));
    }
}

#[test]
fn a_flow_that_changes_without_end_is_given_up() {
    let mut r = Rig::open(config(), 4000);
    for _ in 0..2 * MAX_CHANGES {
        r.send(TS, b"ask a\nbecome template\n");
    }
    r.finish();
    assert_eq!(talk(&mut r).len(), usize::from(MAX_CHANGES));
    assert_eq!(r.memuse(), 0);
}

#[test]
fn questions_without_answers_are_ended_at_the_cap() {
    let mut r = Rig::open(config(), 4000);
    let many = template::MAX_TXS + 10;
    for n in 0..many {
        r.send(TS, format!("ask {n}\n").as_bytes());
    }
    let ended = talk(&mut r);
    assert_eq!(ended.len(), 10);
    assert_eq!(ended[0], json!({"request": "0", "response": ""}));
    r.finish();
    assert_eq!(talk(&mut r).len(), many - 10);
    assert_eq!(r.memuse(), 0);
}

#[test]
fn the_memory_cap_of_a_protocol_is_kept_and_counted() {
    let mut c = config();
    c.of_mut(AppProto::Template).memcap = 64;
    let mut r = Rig::open(c, 4000);
    for _ in 0..20 {
        r.send(TS, b"ask 0123456789abcdef\n");
    }
    assert!(r.memuse() <= 64, "{}", r.memuse());
    assert_eq!(r.parts.apps.counters().memcap, 16);
    r.finish();
    // What was not kept is missing in the event, and the transaction is there.
    assert_eq!(talk(&mut r).iter().filter(|t| t["request"] == "").count(), 16);
    assert_eq!(r.memuse(), 0);
}

#[test]
fn a_line_without_end_is_given_up() {
    let mut r = Rig::open(config(), 4000);
    r.send(TS, b"ask first\n");
    r.send(TS, &[b'x'; template::parser::MAX_LINE]);
    assert_eq!(r.parts.apps.counters().error[AppProto::Template as usize], [1, 0]);
    assert_eq!(talk(&mut r), [json!({"request": "first", "response": ""})]);
    assert_eq!(r.memuse(), 0);
}

#[test]
fn an_oddity_of_a_parser_is_an_anomaly_of_its_transaction() {
    let mut r = Rig::open(config(), 4000);
    r.send(TS, b"ask who\nwhat?\n");
    let [odd] = &r.written()[..] else { panic!("one event") };
    assert_eq!(
        (&odd["event_type"], &odd["tx_id"], &odd["anomaly"]),
        (
            &json!("anomaly"),
            &json!(0),
            &json!({"app_proto": "template", "type": "applayer", "event": "unexpected", "layer": "proto_parser"})
        )
    );
}

#[test]
fn a_connection_that_is_taken_up_at_its_answer_is_turned_round() {
    let mut r = Rig::new(config(), 80);
    r.packet(&tcp((SERVER, 80), CLIENT, 16, 5001, 1001, b"HTTP/1.1 200 OK\r\n"));
    r.packet(&tcp(CLIENT, (SERVER, 80), 16, 1001, 5018, b""));
    r.finish();
    assert_eq!((&r.flow()["src_ip"], &r.flow()["app_proto"]), (&json!("192.0.2.1"), &json!("http")));
}

#[test]
fn a_parser_hears_the_end_of_a_direction() {
    let mut r = Rig::open(config(), 4000);
    r.send(TS, b"ask who\nask cut off");
    r.close(TS);
    assert_eq!(r.memuse(), 3, "the half line is let go");
    r.finish();
    assert_eq!(talk(&mut r), [json!({"request": "who", "response": ""})]);
}

#[test]
fn line_ends_behind_a_proxys_answer_are_not_the_first_word_of_what_follows() {
    let mut r = Rig::open(config(), 8002);
    r.send(TS, b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n\n");
    r.send(TC, b"HTTP/1.1 200 OK\r\n\r\n\n");
    // Of a record its head is enough behind a CONNECT.
    r.send(TS, &[0x16, 3, 0, 0, 0, 0, 0, 0]);
    r.finish();
    assert_eq!((&r.flow()["app_proto"], &r.flow()["app_proto_orig"]), (&json!("tls"), &json!("http")));
}

#[test]
fn the_request_that_asks_for_http2_is_that_of_its_first_stream() {
    let mut r = Rig::open(config(), 80);
    r.send(TS, b"GET /x HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n");
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let ok = [0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88];
    let switch = b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n";
    r.send(TC, &[&switch[..], &settings, &ok].concat());
    r.send(TS, &[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat());
    r.finish();
    let all = r.written();
    let first = all.iter().find(|e| e["http"]["http2"]["stream_id"] == 1).expect("the first stream is written");
    let http = &first["http"];
    assert_eq!((&http["url"], &http["hostname"], &http["status"]), (&json!("/x"), &json!("h"), &json!(200)));
    assert_eq!(r.memuse(), 0);
}

#[test]
fn of_dns_over_http2_the_server_is_not_asked_what_it_speaks() {
    let mut r = Rig::open(config(), 80);
    let field = |name: &str, value: &str| {
        [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat() // both are short
    };
    // RFC 8484, 4.1.1: www.example.com A.
    let path = field(":path", "/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB");
    let head = [field(":method", "GET"), field(":authority", "h"), path].concat();
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let begin = [&[0, 0, head.len() as u8, 1, 5, 0, 0, 0, 1], &head[..]].concat();
    r.send(TS, &[&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings, &begin].concat());
    r.send(TC, &[&settings[..], &[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88]].concat());
    assert_eq!(r.events(), [""; 0]);
    r.finish();
    let flow = r.flow();
    assert_eq!((&flow["app_proto"], flow.get("app_proto_tc")), (&json!("doh2"), None));
    let all = r.written();
    assert!(
        all.iter().any(|e| e["http"]["http2"]["stream_id"] == 1 && e["http"]["status"] == 200),
        "it is read: {all:?}"
    );
}

const REQUEST: &[u8] = b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn what_rules_ask_of_files_holds_from_then_on() {
    let mut r = Rig::open(config(), 80);
    let before = r.parts.apps.config_handle();
    r.parts.apps.ask(Asked { hashes: Hashes { md5: true, ..Hashes::default() }, ..Asked::default() });
    assert!(r.parts.apps.config().files.asked.hashes.md5 && !before.files.asked.hashes.md5);
    r.send(TS, REQUEST);
    r.send(TC, RESPONSE);
    r.finish();
    let all = r.written();
    let file = all.iter().find(|e| e["event_type"] == "fileinfo").expect("a file");
    assert_eq!(file["fileinfo"]["md5"], "900150983cd24fb0d6963f7d28e17f72", "RFC 1321: of \"abc\"");
}

#[test]
fn frames_that_rules_ask_for_are_kept_and_no_others() {
    let mut asked = Kinds::default();
    asked.set(Kind::HttpResponse);
    for (kinds, want) in [(Kinds::default(), vec![]), (asked, vec![("response", RESPONSE.to_vec(), true)])] {
        let mut r = Rig::open(config(), 80);
        r.parts.apps.ask_frames(kinds);
        r.send(TS, REQUEST);
        r.send(TC, RESPONSE);
        assert_eq!(r.parts.frames, want);
        r.finish();
        assert_eq!((r.memuse(), r.parts.apps.counters().frames), (0, 0));
    }
}

#[test]
fn a_flow_of_which_both_beginnings_are_missing_is_not_recognised() {
    let mut r = Rig::open(config(), 4000);
    for d in [TS, TC] {
        r.lose(d, 10);
        r.send(d, b"ask who\n");
    }
    assert!(r.parts.over);
    r.finish();
    assert_eq!((&r.flow()["app_proto"], r.memuse()), (&json!("failed"), 0));
    assert_eq!(r.written(), [] as [Value; 0]);
}

/// Threat: many flows that each say a little of something unknown. What is held over all of them has a cap, beyond which a flow
/// is given up, and counted.
#[test]
fn what_all_flows_of_a_worker_hold_has_a_cap() {
    let mut r = Rig::open(config(), 4000);
    r.parts.apps = Apps::new(std::sync::Arc::new(config()), 1 << 20); // 64 bytes for each of a million workers
    r.send(TC, &[b'x'; 64]);
    assert_eq!((r.memuse(), r.parts.apps.counters().held), (64, 0));
    r.send(TC, b"x");
    assert_eq!(r.events(), ["APPLAYER_PROTO_DETECTION_SKIPPED"]);
    assert_eq!((r.memuse(), r.parts.apps.counters().held), (0, 1));
}

#[test]
fn an_empty_datagram_says_nothing_of_its_flow() {
    let mut r = Rig::new(config(), 53);
    r.datagram(TS, b"");
    r.datagram(TS, b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01");
    assert_eq!(r.written().len(), 1);
    r.finish();
    assert_eq!(r.flow()["app_proto"], "dns");
}

/// Suricata user guide, "Encrypted traffic": from the keys on (RFC 4253, section 7.3) SSH is encrypted; `track-only` keeps rules
/// from its payload, `bypass` besides parses it no more, `full` changes nothing.
#[test]
fn what_is_made_of_an_encrypted_session_is_configured() {
    let packet = |kind: u8, payload: &[u8]| {
        let len = (payload.len() + 6) as u32;
        [&len.to_be_bytes()[..], &[4, kind], payload, &[0; 4]].concat()
    };
    let offer = [vec![7; 16], vec![0; 4 * 10], vec![0; 5]].concat();
    for (encrypted, sealed, over) in
        [(Encrypted::TrackOnly, true, false), (Encrypted::Bypass, true, true), (Encrypted::Full, false, false)]
    {
        let mut c = config();
        c.of_mut(AppProto::Ssh).encrypted = encrypted;
        let mut r = Rig::open(c, 22);
        for d in [TS, TC] {
            r.send(d, b"SSH-2.0-Some_1\r\n");
            r.send(d, &packet(20, &offer));
        }
        r.send(TS, &packet(21, b""));
        assert_eq!((r.parts.sealed, r.parts.over), (false, false), "only one side has");
        r.send(TC, &packet(21, b""));
        assert_eq!((r.parts.sealed, r.parts.over), (sealed, over), "{encrypted:?}");
        r.send(TS, &[0xff; 300]);
        r.finish();
        let kinds: Vec<Value> = r.written().iter().map(|e| e["event_type"].clone()).collect();
        assert_eq!((kinds, &r.flow()["app_proto"], r.memuse()), (vec![json!("ssh")], &json!("ssh"), 0));
    }
}

/// RFC 6455, sections 1.3 and 5.7, with its own examples: after the upgrade both sides speak WebSocket, whatever their bytes are
/// like.
#[test]
fn an_upgrade_to_websocket_is_believed() {
    let request = concat!(
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    let response = concat!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    for (mode, frames) in [(Mode::On, 2), (Mode::DetectionOnly, 0)] {
        let mut c = config();
        c.of_mut(AppProto::Websocket).tcp.mode = mode;
        let mut r = Rig::open(c, 80);
        r.send(TS, request.as_bytes());
        r.send(TC, response.as_bytes());
        r.send(TS, &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
        r.send(TC, b"\x81\x05Hello");
        r.finish();
        let all = r.written();
        let texts: Vec<_> = all.iter().filter(|e| e["event_type"] == "websocket").map(|e| &e["websocket"]).collect();
        assert_eq!(texts.len(), frames, "{all:?}");
        assert!(texts.iter().all(|t| t["opcode"] == "text" && t["fin"] == true), "{texts:?}");
        assert_eq!((&r.flow()["app_proto"], &r.flow()["app_proto_orig"]), (&json!("websocket"), &json!("http")));
    }
}
