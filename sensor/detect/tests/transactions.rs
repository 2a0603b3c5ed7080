// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rules on transactions: which they are looked at on, when, how often, and what their alerts say.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: what they build is theirs")]

mod common;

use common::{CLIENT, End, Frame, Rig, SERVER, alerts, dns, rules, session, sids, tcp, udp};
use lagewarte_app::{Buffer, Field, LayerEvent, State};
use lagewarte_detect::{Engine, Output};
use lagewarte_flow::AppProto;
use lagewarte_rules::{
    buffers::{BUFFERS, PROTOCOLS},
    registry::{APP_EVENTS, LAYER_EVENTS},
};
use serde_json::Value;

const DNS: End = End([192, 0, 2, 53], 53);
const TEMPLATE: End = End([192, 0, 2, 1], 4000);

fn question(names: &[&str]) -> Frame {
    udp(CLIENT, DNS, &dns(0x0100, &names.iter().map(|n| (*n, 1)).collect::<Vec<_>>(), &[]))
}

fn answer(name: &str) -> Frame {
    udp(DNS, CLIENT, &dns(0x8180, &[(name, 1)], &[name]))
}

/// A session with the template's server, every byte acknowledged, both ways.
fn talk(lines: &[(bool, &str)]) -> Vec<Frame> {
    let segments: Vec<(bool, &[u8])> = lines.iter().map(|(c, l)| (*c, l.as_bytes())).collect();
    let sent = |client: bool| lines.iter().filter(|(c, _)| *c == client).map(|(_, l)| l.len()).sum::<usize>();
    let (a, b) = (1001 + u32::try_from(sent(true)).unwrap(), 9001 + u32::try_from(sent(false)).unwrap());
    let mut frames = session(CLIENT, TEMPLATE, &segments);
    frames.push(tcp(TEMPLATE, CLIENT, "A", b, a, b""));
    frames.push(tcp(CLIENT, TEMPLATE, "A", a, b, b""));
    frames.push(tcp(TEMPLATE, CLIENT, "A", b, a, b""));
    frames
}

#[test]
fn every_served_buffer_and_protocol_is_the_application_layers() {
    for b in BUFFERS.iter().filter(|b| !b.protocols.is_empty()) {
        assert!(Buffer::by_name(b.name).is_some(), "{} is no buffer of the application layer", b.name);
    }
    for p in PROTOCOLS {
        for name in p.protocols {
            assert!(AppProto::by_name(name).is_some(), "{name} is no protocol");
        }
    }
    for (protocol, names) in APP_EVENTS {
        let proto = AppProto::by_name(protocol).unwrap_or_else(|| panic!("{protocol}"));
        let events = State::events_of(proto).unwrap_or_else(|| panic!("{protocol} has no events"));
        let lower: Vec<String> = events.iter().map(|e| e.to_ascii_lowercase()).collect();
        assert_eq!(lower, *names, "{protocol}");
    }
    let layer: Vec<String> = LayerEvent::ALL.iter().map(|e| e.name().to_ascii_lowercase()).collect();
    assert_eq!(layer, LAYER_EVENTS);
    for name in ["dns.opcode", "dns.rcode", "dns.rrtype", "template.number", "tls.version", "ssl_version", "ssl_state"]
    {
        assert!(Field::by_name(name).is_some(), "{name}");
    }
}

#[test]
fn every_dns_buffer_holds_what_it_is_named_for() {
    let frames = [question(&["ask.example"]), udp(DNS, CLIENT, &dns(0x8180, &[("ask.example", 1)], &["tell.example"]))];
    for (rule, want) in [
        (r#"dns.query; content:"ask.example"; startswith; endswith;"#, &[(1, 1)][..]),
        (r#"dns_query; content:"ask.example";"#, &[(1, 1)]),
        (r#"dns.queries.rrname; content:"ask.example";"#, &[(1, 1), (1, 2)]),
        (r#"dns.query.name; content:"ask.example"; "#, &[(1, 1), (1, 2)]),
        (r#"dns.answers.rrname; content:"tell.example";"#, &[(1, 2)]),
        (r#"dns.answer.name; content:"ask.example";"#, &[]),
        (r#"dns.response.rrname; content:"tell";"#, &[(1, 2)]),
        (r#"dns.authorities.rrname; content:"tell";"#, &[]),
        (r#"dns.additionals.rrname; content:"tell";"#, &[]),
        (r#"dns.query; content:!"other";"#, &[(1, 1)]),
        (r#"dns.query; content:!"ask";"#, &[]),
    ] {
        let text = format!("alert dns any any -> any any ({rule} sid:1;)");
        assert_eq!(sids(&alerts(&text, &frames)), want, "{rule}");
    }
}

#[test]
fn each_instance_of_a_buffer_is_looked_at_for_itself() {
    let frames = [question(&["abc.example", "def.example"])];
    for (rule, want) in [
        (r#"dns.query; content:"abc"; content:"def";"#, &[][..]),
        (r#"dns.query; content:"abc"; dns.query; content:"def";"#, &[(1, 1)]),
        (r#"dns.query; content:"def"; content:!"abc";"#, &[(1, 1)]),
    ] {
        let text = format!("alert dns any any -> any any ({rule} sid:1;)");
        assert_eq!(sids(&alerts(&text, &frames)), want, "{rule}");
    }
}

#[test]
fn an_alert_on_a_transaction_names_it_and_shows_it() {
    let rule = r#"alert dns any any -> any any (dns.queries.rrname; content:"example"; sid:1;)"#;
    let out = alerts(rule, &[question(&["a.example"]), answer("a.example")]);
    assert_eq!((out[0]["tx_id"].as_u64(), out[1]["tx_id"].as_u64()), (Some(0), Some(1)));
    assert_eq!(out[0]["dns"]["queries"][0]["rrname"], "a.example");
    assert_eq!((&out[0]["direction"], &out[1]["direction"]), (&"to_server".into(), &"to_client".into()));
    assert_eq!(out[1]["dns"]["answers"][0]["rdata"], "192.0.2.9");
    assert_eq!(out[1]["src_ip"], "192.0.2.53");
    assert_eq!(out[0]["app_proto"], "dns");
}

#[test]
fn a_transaction_alerts_once_and_in_its_own_direction() {
    let frames = talk(&[(true, "ask who\n"), (false, "tell me\n"), (true, "ask why\n"), (false, "tell not\n")]);
    for (rule, want) in [
        // Acknowledged by packet 5; the next packet of the client is 6.
        (r#"template.buffer; content:"who"; flow:to_server;"#, &[(1, 6)][..]),
        (r#"template.buffer; content:"w";"#, &[(1, 6), (1, 9)]),
        (r#"template.buffer; content:"me"; flow:to_client;"#, &[(1, 7)]),
        (r#"template.buffer; content:"me"; flow:to_server;"#, &[]),
        // Both of one transaction: a number of the question, and its text.
        (r#"template.number:3; template.buffer; content:"why"; flow:to_server;"#, &[(1, 9)]),
        (r#"template.number:4; template.buffer; content:"why"; flow:to_server;"#, &[]),
    ] {
        let text = format!("alert template any any -> any any ({rule} sid:1;)");
        assert_eq!(sids(&alerts(&text, &frames)), want, "{rule}");
    }
}

#[test]
fn a_rule_is_about_its_protocol() {
    let text = r#"alert dns any any -> any any (content:"example"; sid:1;)
        alert http any any -> any any (content:"example"; sid:2;)
        alert udp any any -> any any (content:"example"; sid:3;)
        alert template any any -> any any (template.buffer; content:"example"; sid:4;)
        alert udp any any -> any any (dns.query; content:"example"; sid:5;)
        alert tcp any any -> any any (dns.query; content:"example"; sid:6;)"#;
    let out = sids(&alerts(text, &[question(&["a.example"])]));
    assert_eq!(out, [(1, 1), (3, 1), (5, 1)]);
}

#[test]
fn a_pass_on_a_transaction_settles_its_flow() {
    let text = r#"pass dns any any -> any any (dns.query; content:"good"; sid:1;)
        alert dns any any -> any any (dns.query; content:"example"; sid:2;)"#;
    let out = alerts(text, &[question(&["good.example"]), question(&["bad.example"])]);
    assert_eq!(sids(&out), []);
    let other = udp(End(CLIENT.0, 41_000), DNS, &dns(0x0100, &[("bad.example", 1)], &[]));
    assert_eq!(sids(&alerts(text, &[question(&["good.example"]), other])), [(2, 2)]);
}

#[test]
fn flowbits_are_set_and_read_by_rules_on_transactions() {
    let text = r#"alert dns any any -> any any (dns.query; content:"first"; flowbits:set,a; noalert; sid:1;)
        alert dns any any -> any any (dns.query; content:"second"; flowbits:isset,a; sid:2;)"#;
    let (first, second) = (question(&["first.example"]), question(&["second.example"]));
    assert_eq!(sids(&alerts(text, &[first.clone(), second.clone()])), [(2, 2)]);
    assert_eq!(sids(&alerts(text, &[second, first])), []);
}

#[test]
fn an_event_of_the_flows_protocol_is_matched_on_its_packet() {
    let text = "alert tcp any any -> any any (app-layer-event:applayer_mismatch_protocol_both_directions; sid:1;)";
    let mut frames = session(CLIENT, SERVER, &[(true, b"GET / HTTP/1.1\r\n\r\n"), (false, b"SSH-2.0-x\r\n")]);
    frames.push(tcp(CLIENT, SERVER, "A", 1019, 9012, b""));
    assert_eq!(sids(&alerts(text, &frames)), [(1, 6)]);
}

#[test]
fn a_reload_forgets_what_an_older_set_thought_of_a_transaction() {
    let one = rules(r#"alert template any any -> any any (template.buffer; content:"who"; sid:1;)"#);
    let two = rules(r#"alert template any any -> any any (template.buffer; content:"me"; flow:to_client; sid:2;)"#);
    let frames = talk(&[(true, "ask who\n"), (false, "tell me\n")]);
    let mut rig = Rig::new(one, Output::default());
    let mut found = sids(&rig.run(&frames[..7]));
    rig.engine = Engine::with(two, Output::default(), Some(&rig.engine), None).unwrap();
    found.extend(sids(&rig.run(&frames[7..])));
    assert_eq!(found, [(1, 7), (2, 8)]);
}

#[test]
fn shares_and_calls_are_looked_into() {
    for (rule, port, said, want) in [
        (r#"smb.share; content:"\\\\fs|5c|data"; startswith;"#, 445, common::small::share(), &[(1, 6)][..]),
        (r#"smb_share; content:!"fs";"#, 445, common::small::share(), &[]),
        (r#"smb.named_pipe; content:"data";"#, 445, common::small::share(), &[]),
        // A call is looked into both ways, over TCP and in a pipe; the answer is acknowledged by packet 8.
        (r#"dce_stub_data; content:"ab"; endswith;"#, 135, common::small::call(), &[(1, 8)]),
        (r#"dcerpc.stub_data; content:"|00 00 00 00 00 00 00 00|"; bsize:8;"#, 135, common::small::call(), &[(1, 9)]),
        (r#"dcerpc.opnum:12; dcerpc.stub_data; content:"zz";"#, 135, common::small::call(), &[]),
    ] {
        let text = format!("alert tcp any any -> any any ({rule} sid:1;)");
        assert_eq!(sids(&alerts(&text, &common::small::stream(port, &said))), want, "{rule}");
    }
}

#[test]
fn an_alert_names_the_files_that_go_its_way() {
    let request = b"POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let server = End(SERVER.0, 80);
    let (asked, answered) =
        (1001 + u32::try_from(request.len()).unwrap(), 9001 + u32::try_from(response.len()).unwrap());
    let mut frames = session(CLIENT, server, &[(true, request), (false, response)]);
    frames.push(tcp(CLIENT, server, "A", asked, answered, b""));
    frames.push(tcp(server, CLIENT, "A", answered, asked, b""));
    for (rule, size) in [("http.method; content:\"POST\";", 3), ("http.stat_code; content:\"200\";", 2)] {
        let out = alerts(&format!("alert http any any -> any any ({rule} sid:1;)"), &frames);
        let sizes: Vec<&Value> = out.iter().flat_map(|a| a["files"].as_array().unwrap()).map(|f| &f["size"]).collect();
        assert_eq!((out.len(), sizes), (1, vec![&Value::from(size)]), "{rule}");
    }
}

/// The body is "abc", a text.
#[test]
fn the_kind_of_a_file_is_a_buffer_and_a_test_of_that_file() {
    let wire = b"POST /x.pdf HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    let (server, next) = (End(SERVER.0, 80), 1001 + u32::try_from(wire.len()).unwrap());
    let mut frames = session(CLIENT, server, &[(true, wire)]);
    frames.push(tcp(server, CLIENT, "A", 9001, next, b""));
    frames.push(tcp(CLIENT, server, "A", next, 9001, b""));
    for (rule, hit) in [
        (r#"file.magic; content:"ASCII text"; startswith; endswith;"#, true),
        (r#"file.magic; content:"ascii";"#, false), // a sticky buffer minds the case
        (r#"file.magic; content:!"PDF document";"#, true),
        (r#"filemagic:"ascii TEXT"; fileext:"pdf";"#, true),
        (r#"filemagic:"ascii TEXT"; fileext:"txt";"#, false),
        (r#"filemagic:!"PDF document"; fileext:"pdf";"#, true),
        (r#"filemagic:!"text";"#, false),
        (r#"filemagic:"PDF document";"#, false),
    ] {
        let out = alerts(&format!("alert http any any -> any any ({rule} sid:1;)"), &frames);
        assert_eq!(out.len(), usize::from(hit), "{rule}");
        assert!(out.iter().all(|a| a["files"][0]["magic"] == "ASCII text"), "{rule}");
    }
    // Where no rule asks it is not told.
    let out = alerts("alert http any any -> any any (fileext:\"pdf\"; sid:1;)", &frames);
    assert_eq!((out.len(), out[0]["files"][0].get("magic")), (1, None));
}
