// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Groups and prefilter change the cost of detection, never its result; and no rule makes that cost unbounded.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "helpers of tests: what they build is theirs; how long something takes is asked of the wall clock"
)]

mod common;

use std::time::{Duration, Instant};

use common::*;
use lagewarte_detect::{Engine, Output};
use proptest::prelude::*;

/// A content over few letters, so that generated rules match generated traffic.
fn content() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[abAB]{1,2}",
        "[abAB]{3,4}",
        "[abAB]{5,9}",
        Just(String::from("GET /")),
        Just(String::from("|00 00 00|"))
    ];
    let place = prop_oneof![
        4 => Just(""),
        1 => Just("offset:2;"),
        1 => Just("depth:9;"),
        // Around what the prefilter takes for near the beginning.
        1 => Just("depth:128;"),
        1 => Just("offset:120; depth:9;"),
        1 => Just("distance:1;"),
        1 => Just("within:6;"),
        1 => Just("startswith;"),
    ];
    (text, any::<bool>(), prop::bool::weighted(0.15), place).prop_map(|(text, nocase, negated, place)| {
        format!(
            "content:{}\"{text}\"; {} {place} ",
            if negated { "!" } else { "" },
            if nocase { "nocase;" } else { "" },
        )
    })
}

/// A rule without its sid.
fn rule() -> impl Strategy<Value = String> {
    let ports = || {
        prop_oneof![
            4 => Just("any"),
            1 => Just("80"),
            1 => Just("[79:81,40000]"),
            1 => Just("!80"),
            1 => Just("1024:"),
            1 => Just("4000"),
        ]
    };
    let flow = prop_oneof![
        3 => Just(""),
        1 => Just("flow:to_server;"),
        1 => Just("flow:to_client,established;"),
        1 => Just("flow:established,to_server;"),
    ];
    let extra = prop_oneof![
        6 => Just(""),
        1 => Just("dsize:>4;"),
        1 => Just("dsize:<129;"),
        1 => Just("dsize:120<>131;"),
        1 => Just("flowbits:set,a;"),
        1 => Just("flowbits:isset,a;"),
        1 => Just("flowbits:isnotset,a;"),
    ];
    let action = prop_oneof![9 => Just("alert"), 1 => Just("pass")];
    let arrow = prop_oneof![4 => Just("->"), 1 => Just("<>"), 1 => Just("=>")];
    let addresses = || {
        prop_oneof![
            2 => Just("any"),
            3 => Just("$HOME_NET"),
            3 => Just("$EXTERNAL_NET"),
            1 => Just("192.0.2.1"),
            1 => Just("[10.0.0.0/8,192.0.2.0/24]"),
            1 => Just("!10.0.0.1"),
        ]
    };
    let payload = (
        prop_oneof![
            3 => Just("tcp"),
            3 => Just("udp"),
            1 => Just("ip"),
            1 => Just("tcp-pkt"),
            1 => Just("tcp-stream"),
            // Into the bytes of a flow that speaks this, or not.
            1 => Just("http"),
            1 => Just("tls"),
        ],
        prop::collection::vec(content(), 0..3).prop_map(|c| c.concat()),
    );
    let buffer = prop_oneof![
        Just("http.uri"),
        Just("http.host"),
        Just("http.method"),
        Just("http.request_body"),
        Just("http.response_body"),
        Just("file.data"),
    ];
    let http = prop::collection::vec((buffer, prop::collection::vec(content(), 1..3)), 1..3);
    let part = |(b, c): &(&str, Vec<String>)| format!("{b}; {}", c.concat());
    let body = prop_oneof![
        3 => payload.prop_map(|(p, c)| (p, c)),
        3 => http.prop_map(move |parts| ("http", parts.iter().map(part).collect())),
    ];
    let from = (addresses(), ports()).prop_map(|(a, p)| format!("{a} {p}"));
    let to = (addresses(), ports()).prop_map(|(a, p)| format!("{a} {p}"));
    (action, body, from, arrow, to, flow, extra).prop_map(|(action, (proto, tests), from, arrow, to, flow, extra)| {
        format!("{action} {proto} {from} {arrow} {to} ({flow} {tests} {extra}")
    })
}

fn traffic() -> impl Strategy<Value = Vec<Frame>> {
    let bytes = || {
        prop_oneof![
            2 => "[abAB]{0,14}",
            1 => "GET /[abAB]{0,9}",
            1 => Just(String::from("\0\0\0ab\0")),
            2 => (110usize..130, "[abAB]{5,14}").prop_map(|(before, text)| format!("{}{text}", "x".repeat(before))),
        ]
    };
    // From the own network out, into it, within it, and past it.
    let inside = End([192, 168, 7, 7], 80);
    let ends = prop_oneof![
        4 => Just((CLIENT, SERVER)),
        2 => Just((End(SERVER.0, 40_000), End(CLIENT.0, 80))),
        1 => Just((CLIENT, inside)),
        1 => Just((End([198, 51, 100, 9], 40_000), SERVER)),
    ];
    let datagrams = prop::collection::vec((bytes(), any::<bool>()), 0..4);
    let plain = prop::collection::vec((any::<bool>(), bytes()), 0..5)
        .prop_map(|all| all.into_iter().map(|(c, b)| (c, b.into_bytes())).collect::<Vec<_>>());
    // Bodies in pieces: each is looked at as it comes.
    let body = || prop::collection::vec(bytes(), 1..4);
    let http = ("[abAB]{0,9}", "[ab]{1,9}", body(), body()).prop_map(|(uri, host, up, down)| {
        let len = |body: &[String]| body.iter().map(String::len).sum::<usize>();
        let request = format!("POST /{uri} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", len(&up));
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", len(&down));
        let side = |client: bool, head: String, body: Vec<String>| {
            [head].into_iter().chain(body).map(move |part| (client, part.into_bytes()))
        };
        side(true, request, up).chain(side(false, response, down)).collect()
    });
    (datagrams, prop_oneof![plain, http], ends).prop_map(|(datagrams, talk, (client, server))| {
        let datagram = |(b, back): (String, bool)| {
            if back { udp(server, client, b.as_bytes()) } else { udp(client, server, b.as_bytes()) }
        };
        let mut frames: Vec<Frame> = datagrams.into_iter().map(datagram).collect();
        let talk: Vec<(bool, &[u8])> =
            talk.iter().map(|(c, b)| (*c, b.as_slice())).filter(|(_, b)| !b.is_empty()).collect();
        frames.extend(session(client, server, &talk));
        frames
    })
}

/// A rule without its sid on a content that may lie anywhere, most of which something else must go with that is near the
/// beginning, or a port.
fn guarded() -> impl Strategy<Value = String> {
    let place = prop_oneof![
        Just("startswith;"),
        Just("offset:1; depth:2;"),
        Just("depth:9;"),
        Just("depth:130;"),
        Just("offset:3; depth:300;"),
        Just("offset:600; depth:40;"),
        Just("offset:600; depth:41;"),
    ];
    let guard = ("[abAB]{2}|a-[aB]|[ab]{4,6}", any::<bool>(), place).prop_map(|(text, nocase, place)| {
        format!("content:\"{text}\"; {} {place}", if nocase { "nocase;" } else { "" })
    });
    let port =
        prop_oneof![4 => Just("any"), 1 => Just("80"), 1 => Just("4000"), 1 => Just("40000"), 1 => Just("1024:")];
    let guard = prop_oneof![6 => guard, 1 => Just(String::new())];
    let proto = prop_oneof![2 => Just("tcp"), 2 => Just("udp"), 1 => Just("tcp-pkt")];
    (proto, port.clone(), port, guard, "[abAB]{4,6}", any::<bool>()).prop_map(
        |(proto, src, dest, guard, text, nocase)| {
            let nocase = if nocase { "nocase;" } else { "" };
            format!("alert {proto} any {src} -> any {dest} ({guard} content:\"{text}\"; {nocase} fast_pattern;")
        },
    )
}

/// What the filtered engine finds is what one finds that verifies every rule; and it verifies no more.
fn filters_change_nothing(rules: &[String], frames: &[Frame]) -> Result<(), TestCaseError> {
    let text: String = rules.iter().enumerate().map(|(i, r)| format!("{r} sid:{};)\n", i + 1)).collect();
    // What the language refuses (a distance without a match before it in a buffer, say) is not in question here.
    let set = || {
        let mut set = lagewarte_rules::parse(&[("g.rules", text.as_bytes())], &lagewarte_rules::Options::default());
        set.refused.clear();
        set
    };
    let output = || Output { packet_alert_max: 100, ..Output::default() };
    let mut filtered = Rig::new(set(), output());
    let mut all = Rig::new(set(), output());
    all.engine = Engine::unfiltered(set(), output()).unwrap();
    let (mut got, mut want) = (filtered.run(frames), all.run(frames));
    got.extend(filtered.finish());
    want.extend(all.finish());
    prop_assert_eq!(got, want, "{}", text);
    prop_assert!(filtered.scratch.counters.verified <= all.scratch.counters.verified);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn groups_and_prefilter_give_what_verifying_every_rule_gives(
        rules in prop::collection::vec(rule(), 1..30), frames in traffic(),
    ) {
        filters_change_nothing(&rules, &frames)?;
    }

    #[test]
    fn guards_change_nothing(
        rules in prop::collection::vec(guarded(), 1..40),
        payloads in prop::collection::vec((any::<bool>(), "[abAB]{0,9}|a-[abAB]{4,9}", 0usize..3, "[abAB]{0,9}"), 1..5),
    ) {
        let payload = |begin: &str, gap: usize, end: &str| [begin, &"x".repeat(gap * 300), end].concat();
        let all: Vec<(bool, String)> = payloads.iter().map(|(c, a, gap, b)| (*c, payload(a, *gap, b))).collect();
        let mut frames: Vec<Frame> = all.iter()
            .map(|(c, b)| if *c { udp(CLIENT, SERVER, b.as_bytes()) } else { udp(SERVER, CLIENT, b.as_bytes()) })
            .collect();
        let talk: Vec<(bool, &[u8])> =
            all.iter().map(|(c, b)| (*c, b.as_bytes())).filter(|(_, b)| !b.is_empty()).collect();
        frames.extend(session(CLIENT, SERVER, &talk));
        filters_change_nothing(&rules, &frames)?;
    }
}

#[test]
fn a_dsize_is_about_the_packet_and_not_about_the_stream_that_is_looked_at_with_it() {
    let set = || rules(r#"alert tcp-stream any any -> any any (content:"evil"; dsize:<129; sid:1;)"#);
    let long = ["x".repeat(140), String::from("evil")].concat();
    let frames = session(CLIENT, SERVER, &[(false, long.as_bytes())]);
    let found = |mut rig: Rig| rig.run(&frames).len() + rig.finish().len();
    let mut all = Rig::new(set(), Output::default());
    all.engine = Engine::unfiltered(set(), Output::default()).unwrap();
    assert_eq!((found(Rig::new(set(), Output::default())), found(all)), (1, 1));
}

/// How long a rule set takes over a megabyte, in packets of one flow.
fn cost(text: &str, byte: u8) -> (Duration, lagewarte_detect::Counters) {
    let payload = vec![byte; 1_400];
    let frames: Vec<Frame> = (0..750).map(|_| udp(CLIENT, SERVER, &payload)).collect();
    let mut rig = Rig::new(rules(text), Output::default());
    let begun = Instant::now();
    rig.run(&frames);
    (begun.elapsed(), rig.scratch.counters)
}

/// A generous bound for an unoptimised build on a busy machine: what is not bounded takes minutes.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn contents_of_one_byte_cost_one_search_each() {
    // Every byte there is, and most of them a thousand times over in other rules.
    let text: String = (0..2_000)
        .map(|i| format!("alert udp any any -> any any (content:\"|{:02x}|\"; sid:{};)\n", i % 256, i + 1))
        .collect();
    let (took, counters) = cost(&text, b'a');
    // The eight rules of this byte are verified, once a packet.
    assert_eq!(counters.verified, 8 * 750);
    assert!(took < SOON, "{took:?}");
}

#[test]
fn contents_that_match_everywhere_are_compared_once_a_packet() {
    let text: String = (0..2_000)
        .map(|i| format!("alert udp any any -> any any (content:\"{}{i:04}\"; sid:{};)\n", "a".repeat(40), i + 1))
        .chain([format!("alert udp any any -> any any (content:\"{}\"; noalert; sid:9999;)\n", "a".repeat(40))])
        .collect();
    let (took, counters) = cost(&text, b'a');
    assert_eq!(counters.verified, 750);
    assert!(took < SOON, "{took:?}");
}

#[test]
fn thousands_of_ports_in_thousands_of_rules_neither_grow_nor_slow_the_index() {
    // 500 ports each, no two neighbours: 250,000 ranges twice over.
    let ports: Vec<String> = (0..500).map(|p| (p * 2 + 1).to_string()).collect();
    let list = ports.join(",");
    let text: String = (0..1_000)
        .map(|i| format!("alert udp any any -> any [{list},{}] (dsize:>1500; sid:{};)\n", 2_000 + i, i + 1))
        .collect();
    let begun = Instant::now();
    let (_, counters) = cost(&text, b'a'); // to port 80
    assert_eq!(counters.verified, 0);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_rule_is_not_asked_where_cheaper_things_say_that_it_cannot_match() {
    for (rule, why) in [
        ("alert dns any any -> 192.0.2.1 any (sid:1;)", "the flow speaks HTTP"),
        (
            r#"alert tcp any any -> any 80 (content:"T /"; fast_pattern; content:"nowhere"; sid:1;)"#,
            "the writer's choice is short, and the other content is not there",
        ),
        (r#"alert tcp any any -> any 80 (content:"GET /"; depth:5; dsize:5000; sid:1;)"#, "no packet is so long"),
        (
            r#"alert tcp any any -> any 80 (content:"T "; offset:3; depth:2; sid:1;)"#,
            "what is asked of one place is elsewhere",
        ),
        (
            r#"alert http any any -> any any (http.method; content:"GET"; http.uri; content:"/q"; sid:1;)"#,
            "a method is that of most requests",
        ),
        (r#"alert http $EXTERNAL_NET any -> $HOME_NET any (http.uri; content:"/x"; sid:1;)"#, "it is on what comes in"),
        (r#"alert tcp $EXTERNAL_NET any -> $HOME_NET any (content:"GET /"; sid:1;)"#, "it is on what comes in"),
        (
            r#"alert http any any -> any any (http.stat_code; content:"200"; http.server; content:"no"; sid:1;)"#,
            "a status is that of most responses",
        ),
    ] {
        let mut rig = Rig::new(rules(rule), Output::default());
        assert!(rig.run(&two_requests()).is_empty(), "{rule}");
        assert_eq!(rig.scratch.counters.verified, 0, "{rule}: {why}");
    }
}
