// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Every honoured keyword is honoured: for each there are cases that its absence breaks, and cases that its never holding
//! breaks. The loop runs over the registry, so that a keyword cannot be added without its cases.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: what they build is theirs")]

#[path = "common/bytes.rs"]
mod bytes;
mod common;
#[path = "common/web.rs"]
mod web;
#[path = "common/without.rs"]
mod without;

use common::{
    CLIENT, End, Frame, Rig, SERVER, at, dns, frame, icmp, ip, patched, rules, session, sids, tagged, tcp,
    two_requests, udp, with_ip_options,
};
use etherparse::TcpOptionElement::{MaximumSegmentSize, WindowScale};
use lagewarte_detect::Output;
use lagewarte_rules::{
    Rule,
    ast::{Number, PacketTest},
    registry::{DECODE_EVENTS, HONOURED},
};
use serde_json::Value;
use without::without;

/// Rules, frames, and what must come out: (sid, packet), and fields of the first alert.
#[derive(Clone)]
struct Case {
    keyword: &'static str,
    rules: &'static str,
    frames: Vec<Frame>,
    alerts: &'static [(u64, u64)],
    fields: &'static [(&'static str, &'static str)],
    /// Packets that are recorded.
    recorded: &'static [u64],
    /// How many events of transactions are written, where that is the matter.
    written: Option<usize>,
}

fn case(keyword: &'static str, rules: &'static str, frames: Vec<Frame>, alerts: &'static [(u64, u64)]) -> Case {
    Case { keyword, rules, frames, alerts, fields: &[], recorded: &[], written: None }
}

// UDP packets from the client with these payloads, one flow each.
fn texts(payloads: &[&str]) -> Vec<Frame> {
    let port = |i: usize| End(CLIENT.0, 40_000 + u16::try_from(i).unwrap());
    payloads.iter().enumerate().map(|(i, p)| udp(port(i), SERVER, p.as_bytes())).collect()
}

// TCP packets with these flags, one flow each.
fn flagged(flags: &[&str]) -> Vec<Frame> {
    let port = |i: usize| End(CLIENT.0, 40_000 + u16::try_from(i).unwrap());
    flags.iter().enumerate().map(|(i, f)| tcp(port(i), SERVER, f, 100, 200, b"")).collect()
}

const DNS: End = End([192, 0, 2, 53], 53);

fn question(name: &str, rrtype: u16) -> Frame {
    udp(CLIENT, DNS, &dns(0x0100, &[(name, rrtype)], &[]))
}

/// The first connection of a recorded capture, up to where the server's certificate is acknowledged, so much later.
fn handshake(later_ms: i64) -> Vec<Frame> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules/captures/tls/client-certificate.pcap");
    let capture = lagewarte_testkit::Capture::read(&std::fs::read(path).unwrap()).unwrap();
    // Frames count from the rig's beginning.
    let ms = |t: &lagewarte_testkit::Packet| t.time.micros() / 1000 - 1_700_000_000_000 + later_ms;
    capture.packets.iter().take(20).map(|p| Frame { ms: ms(p), bytes: p.data.clone() }).collect()
}

/// One request, acknowledged; what follows it goes the same way.
fn request(wire: &[u8]) -> Vec<Frame> {
    let server = End(SERVER.0, 80);
    let next = 1001 + u32::try_from(wire.len()).unwrap();
    let mut frames = session(CLIENT, server, &[(true, wire)]);
    frames.push(tcp(server, CLIENT, "A", 9001, next, b""));
    frames.push(tcp(CLIENT, server, "A", next, 9001, b""));
    frames
}

/// Three packets of the client and one of the server; rules of which the first must alert once, on the last.
fn counted(keyword: &'static str, holds: &str, does_not: &str) -> Case {
    let rules = format!("alert udp any any -> any any ({holds})\nalert udp any any -> any any ({does_not})");
    let frames = vec![
        udp(CLIENT, SERVER, b""),
        udp(SERVER, CLIENT, b"x"),
        udp(CLIENT, SERVER, b"y"),
        udp(CLIENT, SERVER, b"12345"),
    ];
    case(keyword, rules.leak(), frames, &[(1, 4)])
}

/// Rules of which the first must alert once, on the client's first packet behind its request.
fn http(keyword: &'static str, holds: &str, does_not: &str) -> Case {
    let rules = format!("alert http any any -> any any ({holds})\nalert http any any -> any any ({does_not})");
    let wire = b"POST /a%20b/x.pdf HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
    case(keyword, rules.leak(), request(wire), &[(1, 6)])
}

// A SYN with these options.
fn syn(options: &[etherparse::TcpOptionElement]) -> Frame {
    frame(|out| ip(CLIENT, SERVER, 64).tcp(1, 2, 3, 1024).syn().options(options).unwrap().write(out, b"").unwrap())
}

fn v6() -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    let (from, to) = ([0xfe; 16], [0xfd; 16]);
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv6(from, to, 64)
}

fn too_big(mtu: u32) -> Frame {
    frame(|out| v6().icmpv6(etherparse::Icmpv6Type::PacketTooBig { mtu }).write(out, b"").unwrap())
}

fn vlans(ids: &[u16]) -> Frame {
    tagged(udp(CLIENT, SERVER, b"x"), ids)
}

// A SunRPC call without credentials.
fn call(program: u32, version: u32, procedure: u32) -> Vec<u8> {
    [7, 0, 2, program, version, procedure].into_iter().flat_map(u32::to_be_bytes).collect()
}

// The packet, and the same with its checksum, which stands there, changed: one rule is for the one, one for the other.
fn csum(keyword: &'static str, at: usize, whole: Frame) -> Case {
    let mut broken = whole.clone();
    broken.bytes[at] ^= 0x55;
    let rules = format!(
        "alert ip any any -> any any ({keyword}:valid; sid:1;)\nalert ip any any -> any any ({keyword}:invalid; sid:2;)"
    );
    case(keyword, rules.leak(), vec![whole, broken], &[(1, 1), (2, 2)])
}

/// One command of FTP, answered. Rules of which the first must alert once.
fn ftp(keyword: &'static str, holds: &str, does_not: &str) -> Case {
    let rules = format!("alert ftp any any -> any any ({holds})\nalert ftp any any -> any any ({does_not})");
    let server = End(SERVER.0, 21);
    let (greeting, command, answer) = (b"220 ready\r\n", b"PORT 192,0,2,1,4,1\r\n", b"200 ok\r\n");
    let mut frames = session(CLIENT, server, &[(false, greeting), (true, command), (false, answer)]);
    frames.push(tcp(CLIENT, server, "A", 1001 + 20, 9001 + 11 + 8, b""));
    frames.push(tcp(server, CLIENT, "A", 9001 + 11 + 8, 1001 + 20, b""));
    // The client acknowledges the answer with packet 7: then the command is answered.
    case(keyword, rules.leak(), frames, &[(1, 7)])
}

/// Rules of which the first must alert once: on the first packet of the server after its hello was acknowledged to its end.
fn tls(keyword: &'static str, holds: &str, does_not: &str) -> Case {
    let rule = |options: &str| format!("alert tls any any -> any any ({options})\n");
    let text: &'static str = Box::leak((rule(holds) + &rule(does_not)).into_boxed_str());
    case(keyword, text, handshake(0), &[(1, 14)])
}

/// Two SSH peers that name themselves, each acknowledged: the client is rules' to look at with packet 6, the server with 7.
fn banners() -> Vec<Frame> {
    let server = End(SERVER.0, 22);
    let (ours, theirs) = (b"SSH-1.99-Cisco-1.25\r\n", b"SSH-2.0-OpenSSH_9.6\r\n");
    let mut frames = session(CLIENT, server, &[(true, ours), (false, theirs)]);
    frames.push(tcp(CLIENT, server, "A", 1001 + 21, 9001 + 21, b""));
    frames.push(tcp(server, CLIENT, "A", 9001 + 21, 1001 + 21, b""));
    frames
}

fn udp_rule(options: &str) -> String {
    format!("alert udp any any -> any any ({options} sid:1;)")
}

/// Those below, and those of the small protocols.
fn cases() -> Vec<Case> {
    let small =
        common::small::cases().into_iter().chain(common::below::cases()).map(|(keyword, rules, frames, packet)| {
            let alerts: &'static [(u64, u64)] = Box::leak(Box::new([(1, packet)]));
            case(keyword, rules.leak(), frames, alerts)
        });
    own_cases().into_iter().chain(small).collect()
}

fn own_cases() -> Vec<Case> {
    let one = |keyword, options: &str, frames, alerts| {
        let text: &'static str = Box::leak(udp_rule(options).into_boxed_str());
        case(keyword, text, frames, alerts)
    };
    let named =
        |keyword, options: &'static str, fields| Case { fields, ..one(keyword, options, texts(&["x"]), &[(1, 1)]) };
    let echo = |kind, code, id: u16, seq: u16| {
        let [[a, b], [c, d]] = [id.to_be_bytes(), seq.to_be_bytes()];
        icmp(CLIENT, SERVER, kind, code, [a, b, c, d], b"ping")
    };
    let stamped = |ms: &[i64]| ms.iter().map(|t| at(*t, udp(CLIENT, SERVER, b"x"))).collect::<Vec<_>>();
    let bytes = |changes: &[(usize, &[u8])]| {
        changes.iter().map(|(at, b)| patched(udp(CLIENT, SERVER, b"x"), *at, b)).collect::<Vec<_>>()
    };
    let with_ttl = |ttl| frame(|out| ip(CLIENT, SERVER, ttl).udp(1, 2).write(out, b"x").unwrap());
    let here = vec![
        named("msg", r#"msg:"a\;b\"c";"#, &[("alert.signature", "a;b\"c")]),
        named("sid", "", &[("alert.signature_id", "1")]),
        named("rev", "rev:7;", &[("alert.rev", "7")]),
        named("gid", "gid:5;", &[("alert.gid", "5")]),
        named(
            "classtype",
            "classtype:web-application-attack;",
            &[("alert.category", "Web Application Attack"), ("alert.severity", "1")],
        ),
        named("priority", "classtype:web-application-attack; priority:4;", &[("alert.severity", "4")]),
        named("metadata", "metadata:k a, k b, other c d;", &[("alert.metadata", r#"{"k":["a","b"],"other":["c d"]}"#)]),
        named("target", "target:dest_ip;", &[("alert.target.ip", "192.0.2.1"), ("alert.source.ip", "10.0.0.1")]),
        named(
            "reference",
            "reference:cve,2021-44228; reference:url,cert.example/x;",
            &[(
                "alert.references",
                r#"["https://cve.mitre.org/cgi-bin/cvename.cgi?name=2021-44228","https://cert.example/x"]"#,
            )],
        ),
        case(
            "bypass",
            r#"alert udp any any -> any any (content:"a"; bypass; sid:1;)
               alert udp any any -> any any (content:"b"; sid:2;)"#,
            ["ab", "b"].iter().map(|p| udp(CLIENT, SERVER, p.as_bytes())).collect(),
            &[(1, 1), (2, 1)],
        ),
        case(
            "noalert",
            r#"alert udp any any -> any any (content:"x"; flowbits:set,a; noalert; sid:1;)
               alert udp any any -> any any (flowbits:isset,a; sid:2;)"#,
            texts(&["x"]),
            &[(2, 1)],
        ),
        case(
            "alert",
            r#"pass udp any any -> any any (content:"x"; alert; sid:1;)
               alert udp any any -> any any (dsize:>0; sid:2;)"#,
            texts(&["x", "y"]),
            &[(1, 1), (2, 2)],
        ),
        one("content", r#"content:"ab|00|c";"#, texts(&["xab\0cx", "abc", "AB\0C"]), &[(1, 1)]),
        one("content", r#"content:!"abc";"#, texts(&["xabcx", "abx"]), &[(1, 2)]),
        one("nocase", r#"content:"aBc"; nocase;"#, texts(&["xAbCx", "abx"]), &[(1, 1)]),
        one("offset", r#"content:"abc"; offset:3;"#, texts(&["abcabc", "abcab"]), &[(1, 1)]),
        one("depth", r#"content:"abc"; depth:4;"#, texts(&["xabc", "xxabc"]), &[(1, 1)]),
        one("distance", r#"content:"a"; content:"b"; distance:2;"#, texts(&["axxb", "axb", "bxa"]), &[(1, 1)]),
        one("within", r#"content:"a"; content:"b"; within:2;"#, texts(&["axb", "axxb"]), &[(1, 1)]),
        one("startswith", r#"content:"abc"; startswith;"#, texts(&["abcx", "xabc"]), &[(1, 1)]),
        one("endswith", r#"content:"abc"; endswith;"#, texts(&["xabc", "abcx"]), &[(1, 1)]),
        one("rawbytes", r#"content:"abc"; rawbytes;"#, texts(&["xabc", "x"]), &[(1, 1)]),
        one(
            "fast_pattern",
            r#"content:"abc"; content:"longer one"; fast_pattern:1,3;"#,
            texts(&["abc longer one", "abc"]),
            &[(1, 1)],
        ),
        one("prefilter", "dsize:1; prefilter;", texts(&["a", "ab"]), &[(1, 1)]),
        one("isdataat", "isdataat:2;", texts(&["abc", "ab"]), &[(1, 1)]),
        one("isdataat", r#"content:"a"; isdataat:!1,relative;"#, texts(&["ab", "xa"]), &[(1, 2)]),
        one("dsize", "dsize:2<>5;", texts(&["ab", "abc", "abcd", "abcde"]), &[(1, 2), (1, 3)]),
        one("dsize", "dsize:0;", texts(&["", "a"]), &[(1, 1)]),
        case(
            "flags",
            "alert tcp any any -> any any (flags:SF,CE; sid:1;)
             alert tcp any any -> any any (tcp.flags:+A; sid:2;)
             alert tcp any any -> any any (flags:*RU; sid:3;)
             alert tcp any any -> any any (flags:!SF; sid:4;)
             alert tcp any any -> any any (flags:0; sid:5;)",
            flagged(&["SFC", "S", "SA", "R", "SFP", ""]),
            &[(1, 1), (4, 2), (2, 3), (4, 3), (3, 4), (4, 4), (4, 6), (5, 6)],
        ),
        case(
            "itype",
            "alert icmp any any -> any any (itype:>8; sid:1;)",
            vec![echo(8, 0, 1, 1), echo(13, 0, 1, 1)],
            &[(1, 2)],
        ),
        case(
            "icode",
            "alert icmp any any -> any any (icode:1; sid:1;)",
            vec![echo(11, 0, 0, 0), echo(11, 1, 0, 0)],
            &[(1, 2)],
        ),
        one("ttl", "ttl:<5;", vec![with_ttl(5), with_ttl(4)], &[(1, 2)]),
        one("id", "id:258;", bytes(&[(4, &[2, 1]), (4, &[1, 2])]), &[(1, 2)]),
        one("tos", "tos:x1C;", bytes(&[(1, &[8]), (1, &[0x1c])]), &[(1, 2)]),
        one("tos", "tos:!8;", bytes(&[(1, &[8]), (1, &[0x1c])]), &[(1, 2)]),
        case(
            "ip_proto",
            "alert ip any any -> any any (ip_proto:!tcp; sid:1;)",
            vec![udp(CLIENT, SERVER, b"x"), tcp(CLIENT, SERVER, "S", 1, 0, b"")],
            &[(1, 1)],
        ),
        case(
            "l3_proto",
            "alert ip any any -> any any (l3_proto:ipv4; sid:1;)",
            vec![too_big(1500), udp(CLIENT, SERVER, b"x")],
            &[(1, 2)],
        ),
        case(
            "l3_proto",
            "alert ip any any -> any any (l3_proto:IP6; sid:1;)",
            vec![too_big(1500), udp(CLIENT, SERVER, b"x")],
            &[(1, 1)],
        ),
        one("sameip", "sameip;", vec![udp(CLIENT, End(CLIENT.0, 9), b"x"), udp(CLIENT, SERVER, b"x")], &[(1, 1)]),
        one("fragbits", "fragbits:D;", bytes(&[(6, &[0, 0]), (6, &[0x40, 0])]), &[(1, 2)]),
        one("fragoffset", "fragoffset:>1;", bytes(&[(6, &[0, 2]), (6, &[0, 1])]), &[(1, 1)]),
        case(
            "seq",
            "alert tcp any any -> any any (seq:7; sid:1;)",
            vec![tcp(CLIENT, SERVER, "A", 8, 7, b""), tcp(CLIENT, SERVER, "A", 7, 8, b"")],
            &[(1, 2)],
        ),
        case(
            "ack",
            "alert tcp any any -> any any (tcp.ack:8; sid:1;)",
            vec![tcp(CLIENT, SERVER, "A", 8, 7, b""), tcp(CLIENT, SERVER, "A", 7, 8, b"")],
            &[(1, 2)],
        ),
        case(
            "window",
            "alert tcp any any -> any any (window:!8192; sid:1;)",
            vec![
                tcp(CLIENT, SERVER, "S", 7, 0, b""),
                frame(|out| ip(CLIENT, SERVER, 64).tcp(1, 2, 3, 1024).syn().write(out, b"").unwrap()),
            ],
            &[(1, 2)],
        ),
        case(
            "icmp_id",
            "alert icmp any any -> any any (icmp_id:7; sid:1;)",
            vec![echo(8, 0, 8, 7), echo(8, 0, 7, 8)],
            &[(1, 2)],
        ),
        case(
            "icmp_seq",
            "alert icmp any any -> any any (icmp_seq:8; sid:1;)",
            vec![echo(8, 0, 8, 7), echo(8, 0, 7, 8)],
            &[(1, 2)],
        ),
        case(
            "tcp.mss",
            "alert tcp any any -> any any (tcp.mss:<536; sid:1;)",
            vec![syn(&[MaximumSegmentSize(1460)]), syn(&[MaximumSegmentSize(535)]), syn(&[WindowScale(7)])],
            &[(1, 2)],
        ),
        case(
            "tcp.wscale",
            "alert tcp any any -> any any (tcp.wscale:7; sid:1;)",
            vec![syn(&[WindowScale(8)]), syn(&[WindowScale(7)]), syn(&[MaximumSegmentSize(7)])],
            &[(1, 2)],
        ),
        one(
            "ipopts",
            "ipopts:rr;",
            vec![
                with_ip_options(udp(CLIENT, SERVER, b"x"), &[0x94, 4, 0, 0]),
                with_ip_options(udp(CLIENT, SERVER, b"x"), &[1, 7, 3, 4]),
                udp(CLIENT, SERVER, b"x"),
            ],
            &[(1, 2)],
        ),
        one(
            "ipopts",
            "ipopts:any;",
            vec![udp(CLIENT, SERVER, b"x"), with_ip_options(udp(CLIENT, SERVER, b"x"), &[0x94, 4, 0, 0])],
            &[(1, 2)],
        ),
        case(
            "icmpv6.mtu",
            "alert icmpv6 any any -> any any (icmpv6.mtu:<1280; sid:1;)",
            vec![too_big(1280), too_big(1279)],
            &[(1, 2)],
        ),
        one("vlan.layers", "vlan.layers:2;", vec![vlans(&[]), vlans(&[5]), vlans(&[5, 6])], &[(1, 3)]),
        case(
            "vlan.id",
            "alert udp any any -> any any (vlan.id:5; sid:1;)
             alert udp any any -> any any (vlan.id:5,0; sid:2;)
             alert udp any any -> any any (vlan.id:5,-1; sid:3;)
             alert udp any any -> any any (vlan.id:!5,1; sid:4;)",
            vec![vlans(&[5, 6]), vlans(&[6, 5]), vlans(&[])],
            &[(1, 1), (2, 1), (4, 1), (1, 2), (3, 2)],
        ),
        csum("ipv4-csum", 24, udp(CLIENT, SERVER, b"x")),
        csum("udpv4-csum", 40, udp(CLIENT, SERVER, b"x")),
        csum("tcpv4-csum", 50, tcp(CLIENT, SERVER, "S", 1, 0, b"")),
        csum("icmpv4-csum", 36, echo(8, 0, 1, 1)),
        csum("icmpv6-csum", 56, too_big(1280)),
        csum("udpv6-csum", 60, frame(|out| v6().udp(1, 2).write(out, b"x").unwrap())),
        csum("tcpv6-csum", 70, frame(|out| v6().tcp(1, 2, 3, 4).syn().write(out, b"").unwrap())),
        case(
            "rpc",
            "alert ip any any -> any any (rpc:100009,*,*; sid:1;)
             alert ip any any -> any any (rpc:100009,1,*; sid:2;)
             alert ip any any -> any any (rpc:100009,2,7; sid:3;)",
            vec![
                udp(CLIENT, SERVER, &call(100_009, 1, 6)),
                udp(CLIENT, SERVER, &call(100_009, 2, 7)),
                udp(CLIENT, SERVER, &call(100_000, 2, 7)),
                tcp(CLIENT, SERVER, "PA", 1, 1, &[&[0x80, 0, 0, 24][..], &call(100_009, 3, 0)].concat()),
            ],
            &[(1, 1), (2, 1), (1, 2), (3, 2), (1, 4)],
        ),
        case(
            "iprep",
            "alert udp any any -> any any (dsize:1; iprep:src,CnC,>,20; sid:1;)
             alert udp any any -> any any (dsize:1; iprep:both,CnC,>=,20; sid:2;)
             alert udp any any -> any any (dsize:1; iprep:any,Scan,isset; sid:3;)
             alert udp any any -> any any (dsize:1; iprep:both,Scan,isnotset; sid:4;)
             alert udp any any -> any any (dsize:1; iprep:dst,Scan,<,50; sid:5;)",
            vec![udp(CLIENT, SERVER, b"a"), udp(SERVER, DNS, b"b"), udp(DNS, SERVER, b"c")],
            &[(2, 1), (3, 1), (1, 2), (4, 2), (4, 3)],
        ),
        // Rules on nothing but addresses are asked once for each direction of a flow.
        case(
            "iprep",
            "alert ip any any -> any any (iprep:src,CnC,=,20; sid:1;)",
            vec![udp(CLIENT, SERVER, b"a"), udp(CLIENT, SERVER, b"b"), udp(SERVER, CLIENT, b"c")],
            &[(1, 1)],
        ),
        case(
            "geoip",
            "alert udp any any -> any any (geoip:src,DE,AT; sid:1;)
             alert udp any any -> any any (geoip:both,fr; sid:2;)
             alert udp any any -> any any (geoip:any,!FR,AT; sid:3;)
             alert udp any any -> any any (geoip:dst,!DE; sid:4;)",
            vec![
                udp(CLIENT, SERVER, b"a"),
                udp(SERVER, DNS, b"b"),
                // Of which nothing is known.
                udp(End([198, 51, 100, 1], 1), End([198, 51, 100, 2], 2), b"c"),
            ],
            &[(1, 1), (3, 1), (4, 1), (2, 2), (4, 2)],
        ),
        case(
            "decode-event",
            "alert pkthdr any any -> any any (decode-event:ipv4.trunc_pkt; sid:1;)
             alert pkthdr any any -> any any (decode-event:icmpv4.unknown_type; sid:2;)",
            vec![
                Frame { bytes: udp(CLIENT, SERVER, b"cut off").bytes[..36].to_vec(), ms: 0 },
                udp(CLIENT, SERVER, b"whole"),
                echo(77, 0, 0, 0),
            ],
            &[(1, 1), (2, 3)],
        ),
        case(
            "stream-event",
            "alert tcp any any -> any any (stream-event:est_syn_resend; sid:1;)",
            [session(CLIENT, SERVER, &[]), vec![tcp(CLIENT, SERVER, "S", 1000, 0, b"")]].concat(),
            &[(1, 4)],
        ),
        case(
            "stream_size",
            "alert tcp any any -> any any (dsize:>0; stream_size:client,>,3; sid:1;)
             alert tcp any any -> any any (dsize:>0; stream_size:both,=,3; sid:2;)
             alert tcp any any -> any any (dsize:>0; stream_size:either,<,3; sid:3;)
             alert tcp any any -> any any (dsize:>0; stream_size:server,!=,1; sid:4;)",
            session(CLIENT, SERVER, &[(true, b"ab"), (false, b"cd"), (true, b"efgh")]),
            &[(3, 4), (2, 5), (4, 5), (1, 6), (4, 6)],
        ),
        case(
            "flow",
            "alert tcp any any -> any any (flow:established,to_server; sid:1;)
             alert tcp any any -> any any (flow:to_client; sid:2;)
             alert tcp any any -> any any (flow:not_established; sid:3;)",
            session(CLIENT, SERVER, &[(true, b"hello"), (false, b"hi")]),
            &[(3, 1), (2, 2), (3, 2), (3, 3), (1, 4), (2, 5)],
        ),
        case(
            "flowbits",
            r#"alert udp any any -> any any (content:"on"; flowbits:set,a; sid:1;)
               alert udp any any -> any any (content:"off"; flowbits:unset,a; sid:2;)
               alert udp any any -> any any (content:"turn"; flowbits:toggle,a; sid:3;)
               alert udp any any -> any any (content:"?"; flowbits:isset,a|never; sid:4;)
               alert udp any any -> any any (content:"?"; flowbits:isnotset,a; sid:5;)
               alert udp any any -> any any (content:"on"; flowbits:set,b; flowbits:noalert; sid:6;)"#,
            ["?", "on?", "off?", "turn?", "turn?"].map(|t| udp(CLIENT, SERVER, t.as_bytes())).to_vec(),
            &[(5, 1), (1, 2), (4, 2), (2, 3), (5, 3), (3, 4), (4, 4), (3, 5), (5, 5)],
        ),
        case(
            "flow.age",
            "alert udp any any -> any any (flow.age:>=2; sid:1;)",
            stamped(&[0, 1_900, 2_000]),
            &[(1, 3)], // whole seconds of the clock, as the flow record counts them
        ),
        counted("flow.pkts", "flow.pkts:toserver,>1; flow.pkts:either,3; sid:1;", "flow.pkts:both,2<>5; sid:2;"),
        counted("flow.pkts_toserver", "flow.pkts_toserver:3; sid:1;", "flow.pkts_toserver:>3; sid:2;"),
        counted(
            "flow.pkts_toclient",
            "dsize:5; flow.pkts_toclient:1; sid:1;",
            "dsize:5; flow.pkts_toclient:!1; sid:2;",
        ),
        counted("flow.bytes", "dsize:5; flow.bytes:toserver,>100; sid:1;", "dsize:5; flow.bytes:both,>100; sid:2;"),
        counted(
            "flow.bytes_toserver",
            "dsize:5; flow.bytes_toserver:132; sid:1;",
            "dsize:5; flow.bytes_toserver:!132; sid:2;",
        ),
        counted(
            "flow.bytes_toclient",
            "dsize:5; flow.bytes_toclient:43; sid:1;",
            "dsize:5; flow.bytes_toclient:<43; sid:2;",
        ),
        Case {
            recorded: &[2, 3],
            ..one(
                "tag",
                r#"content:"a"; tag:session,2,packets;"#,
                [
                    udp(CLIENT, SERVER, b"a"),
                    udp(SERVER, CLIENT, b"b"),
                    udp(CLIENT, SERVER, b"c"),
                    udp(CLIENT, SERVER, b"d"),
                ]
                .to_vec(),
                &[(1, 1)],
            )
        },
        Case {
            recorded: &[3, 4],
            ..one(
                "tag",
                r#"content:"a"; tag:host,5,seconds,src;"#,
                vec![
                    udp(CLIENT, SERVER, b"a"),
                    udp(SERVER, DNS, b"not the host's"),
                    at(4_000, udp(DNS, CLIENT, b"b")),
                    at(5_000, udp(CLIENT, DNS, b"c")),
                    at(5_001, udp(CLIENT, DNS, b"d")),
                ],
                &[(1, 1)],
            )
        },
        Case {
            recorded: &[2],
            ..one(
                "tag",
                r#"content:"a"; tag:host,50,bytes;"#, // a frame has 43
                vec![udp(CLIENT, SERVER, b"a"), udp(SERVER, DNS, b"b"), udp(DNS, SERVER, b"c")],
                &[(1, 1)],
            )
        },
        Case {
            written: Some(1),
            ..case(
                "config",
                r#"config dns any any -> any any (dns.query; content:"quiet"; config:logging disable, type tx, scope tx; sid:1;)
                   alert dns any any -> any any (dns.query; content:"quiet"; sid:2;)"#,
                vec![question("quiet.example", 1), question("loud.example", 1)],
                &[(2, 1)],
            )
        },
        case(
            "dataset",
            r#"alert dns any any -> any any (dns.query; dataset:set,seen,type string,memcap 1mb; sid:1;)
               alert dns any any -> any any (dns.query; content:"two"; dataset:isset,seen; sid:2;)
               alert dns any any -> any any (dns.query; content:"four"; dataset:isnotset,other,type string; sid:3;)
               alert dns any any -> any any (dns.query; content:"gone"; dataset:unset,seen; sid:4;)"#,
            ["one", "one", "two", "gone.x", "four", "gone.x"].map(|n| question(n, 1)).to_vec(),
            // Each name once; what was put in is there for rules behind; what was taken out is not.
            &[(1, 1), (1, 3), (2, 3), (1, 4), (4, 4), (1, 5), (3, 5), (1, 6), (4, 6)],
        ),
        case(
            "domain",
            r#"alert dns any any -> any any (dns.query; domain; content:"b.co.uk"; startswith; endswith; sid:1;)"#,
            ["www.b.co.uk", "b.co.uk.example", "co.uk"].map(|n| question(n, 1)).to_vec(),
            &[(1, 1)],
        ),
        case(
            "tld",
            r#"alert dns any any -> any any (dns.query; tld; content:"co.uk"; startswith; endswith; sid:1;)"#,
            ["www.b.co.uk", "b.co.uk.example", "co.uk"].map(|n| question(n, 1)).to_vec(),
            &[(1, 1)],
        ),
        Case {
            fields: &[("metadata.entropy.content", "2")],
            ..one("entropy", "entropy:bytes 4, offset 1, value 1.9-2.1;", texts(&["xabcd", "xaaaa", "xabc"]), &[(1, 1)])
        },
        case(
            "dataset",
            "alert udp any any -> any any (dsize:>0; ip.src; dataset:set,hosts-seen,type ip; sid:1;)
             alert udp any any -> any any (dsize:>0; ip.dst; dataset:isset,hosts-seen; sid:2;)",
            vec![udp(CLIENT, SERVER, b"a"), udp(CLIENT, SERVER, b"b"), udp(SERVER, CLIENT, b"c")],
            &[(1, 1), (1, 3), (2, 3)],
        ),
        // What the set says of the address and of the name stands in the alert.
        Case {
            fields: &[("alert.context.host.note", "one"), ("alert.context.from.note", "client")],
            ..case(
                "dataset",
                concat!(
                    "alert dns any any -> any any (dns.query; dotprefix; ",
                    "dataset:isset,known,type string,match subdomain,load known.json,format ndjson,value_key name,context_key host,remove_key; ",
                    "ip.src; dataset:isset,hosts,type ip,load hosts.json,format json,array_key in.hosts,value_key ip,context_key from; sid:1;)\n",
                    "alert dns any any -> any any (dns.query; dataset:isset,known; sid:2;)\n",
                    "alert dns any any -> any any (dns.query; content:\"two\"; ip.dst; dataset:isnotset,hosts; sid:3;)",
                ),
                ["one.example", "a.b.one.example", "two.example"].map(|n| question(n, 1)).to_vec(),
                // Without dotprefix a name does not begin with the dot of its own entry.
                &[(1, 1), (1, 2), (2, 2), (3, 3)],
            )
        },
        case(
            "datarep",
            concat!(
                "alert dns any any -> any any (dns.query; datarep:names,>,100,load names.csv,type string; sid:1;)\n",
                "alert dns any any -> any any (dns.query; datarep:names,<,100; sid:2;)\n",
                "alert dns any any -> any any (dns.query; datarep:names,==,50; sid:3;)",
            ),
            ["bad.example", "mild.example", "unknown.example"].map(|n| question(n, 1)).to_vec(),
            &[(1, 1), (2, 2), (3, 2)],
        ),
        case(
            "engine-event",
            "alert tcp any any -> any any (engine-event:stream.est_syn_resend; sid:1;)",
            [session(CLIENT, SERVER, &[]), vec![tcp(CLIENT, SERVER, "S", 1000, 0, b"")]].concat(),
            &[(1, 4)],
        ),
        case(
            "flowint",
            r#"alert udp any any -> any any (content:"a"; flowint:n,isnotset; flowint:n,=,1; sid:1;)
               alert udp any any -> any any (content:"b"; flowint:n,isset; flowint:n,+,2; sid:2;)
               alert udp any any -> any any (content:"c"; flowint:n,-,2; flowint:m,+,1; sid:3;)
               alert udp any any -> any any (content:"?"; flowint:n,>,2; sid:4;)
               alert udp any any -> any any (content:"?"; flowint:n,>=,3; flowint:n,<=,3; flowint:n,!=,4; sid:5;)
               alert udp any any -> any any (content:"?"; flowint:n,==,m; sid:6;)
               alert udp any any -> any any (content:"?"; flowint:n,<,m; sid:7;)"#,
            ["?", "b", "a", "a", "b", "?", "c", "?", "c?"].map(|t| udp(CLIENT, SERVER, t.as_bytes())).to_vec(),
            &[(1, 3), (2, 5), (4, 6), (5, 6), (3, 7), (6, 8), (3, 9), (4, 9)], // 1 - 2 wraps
        ),
        case(
            "xbits",
            r#"alert udp any any -> any any (content:"mark"; xbits:set,x,track ip_src,expire 10; sid:1;)
               alert udp any any -> any any (content:"clear"; xbits:unset,x,track ip_dst; sid:2;)
               alert udp any any -> any any (content:"turn"; xbits:toggle,x,track ip_src; xbits:noalert; sid:3;)
               alert udp any any -> any any (content:"?"; xbits:isset,x,track ip_src; sid:4;)
               alert udp any any -> any any (content:"?"; xbits:isset,x,track ip_dst; sid:5;)
               alert udp any any -> any any (content:"?"; xbits:isnotset,x,track ip_src; sid:6;)
               alert udp any any -> any any (content:"mark"; xbits:set,y,track ip_pair; sid:7;)
               alert udp any any -> any any (content:"?"; xbits:isset,y,track ip_pair; sid:8;)"#,
            vec![
                udp(CLIENT, SERVER, b"mark"),
                udp(CLIENT, DNS, b"?"),
                udp(DNS, CLIENT, b"?"),
                at(11_000, udp(SERVER, CLIENT, b"?")),
                at(12_000, udp(CLIENT, SERVER, b"turn")),
                at(13_000, udp(CLIENT, DNS, b"?")),
                at(14_000, udp(DNS, CLIENT, b"clear")),
                at(31_000, udp(CLIENT, SERVER, b"?")),
            ],
            &[(1, 1), (7, 1), (4, 2), (5, 3), (6, 3), (6, 4), (8, 4), (4, 6), (2, 7), (6, 8)],
        ),
        case(
            "xbits",
            r#"alert http any any -> any any (http.uri; content:"x"; xbits:set,asked,track tx; noalert; sid:1;)
               alert http any any -> any any (http.stat_code; content:"200"; xbits:isset,asked,track tx; sid:2;)
               alert http any any -> any any (http.stat_code; content:"200"; xbits:isnotset,asked,track tx; sid:3;)"#,
            two_requests(),
            // The server's packet after the one in which the client acknowledges the answer.
            &[(2, 7), (3, 9)],
        ),
        case(
            "hostbits",
            r#"alert udp any any -> any any (content:"mark"; hostbits:set,x; sid:1;)
               alert udp any any -> any any (content:"?"; hostbits:isset,x,src; sid:2;)
               alert udp any any -> any any (content:"?"; hostbits:isset,x,dst; sid:3;)
               alert udp any any -> any any (content:"?"; hostbits:isnotset,x,src; sid:4;)
               alert udp any any -> any any (content:"clear"; hostbits:unset,x,dst; sid:5;)
               alert udp any any -> any any (content:"turn"; hostbits:toggle,x,src,5; sid:6;)
               alert udp any any -> any any (content:"on"; hostbits:set,y; hostbits:noalert; sid:7;)"#,
            vec![
                udp(CLIENT, SERVER, b"mark on"),
                at(300_000, udp(CLIENT, DNS, b"?")),
                at(300_000, udp(DNS, CLIENT, b"?")),
                at(300_001, udp(CLIENT, DNS, b"?")),
                at(301_000, udp(CLIENT, SERVER, b"turn")),
                at(306_000, udp(CLIENT, SERVER, b"?")),
                at(306_000, udp(DNS, CLIENT, b"clear")),
                at(306_000, udp(CLIENT, SERVER, b"?")),
            ],
            &[(1, 1), (2, 2), (3, 3), (4, 3), (4, 4), (6, 5), (2, 6), (5, 7), (4, 8)],
        ),
        one(
            "threshold",
            "dsize:1; threshold:type limit, track by_src, count 2, seconds 10;",
            stamped(&[0, 1, 2, 10_001]),
            &[(1, 1), (1, 2), (1, 4)],
        ),
        one(
            "threshold",
            "dsize:1; threshold:type threshold, track by_dst, count 2, seconds 10;",
            stamped(&[0, 1, 2, 3]),
            &[(1, 2), (1, 4)],
        ),
        one(
            "threshold",
            "dsize:1; threshold:type both, track by_both, count 2, seconds 10;",
            stamped(&[0, 1, 2, 3]),
            &[(1, 2)],
        ),
        one(
            "threshold",
            "dsize:1; threshold:type both, track by_rule, count 3, seconds 10;",
            stamped(&[0, 1, 2, 3]),
            &[(1, 3)],
        ),
        one(
            "threshold",
            "dsize:1; threshold:type backoff, track by_flow, count 1, multiplier 2;",
            stamped(&[0, 1, 2, 3, 4, 5, 6, 7]),
            &[(1, 1), (1, 2), (1, 4), (1, 8)],
        ),
        case(
            "pkt_data",
            r#"alert dns any any -> any any (dns.query; content:"example"; pkt_data; content:"|07|example"; sid:1;)"#,
            vec![question("example.org", 1)],
            &[(1, 1)],
        ),
        case(
            "app-layer-protocol",
            "alert udp any any -> any any (app-layer-protocol:dns; sid:1;)
             alert udp any any -> any any (app-layer-protocol:!dns; sid:2;)
             alert udp any any -> any any (app-layer-protocol:failed; sid:3;)
             alert udp any any -> any any (app-layer-protocol:dns,to_client; sid:4;)
             alert udp any any -> any any (app-layer-protocol:dns,either; sid:5;)",
            vec![question("example.org", 1), udp(CLIENT, End(SERVER.0, 9), b"nothing known")],
            &[(1, 1), (5, 1), (2, 2), (3, 2)],
        ),
        case(
            "app-layer-event",
            "alert dns any any -> any any (app-layer-event:dns.z_flag_set; sid:1;)
             alert dns any any -> any any (app-layer-event:dns.invalid_opcode; sid:2;)",
            vec![
                udp(CLIENT, DNS, &dns(0x0140, &[("a.b", 1)], &[])),
                udp(End(CLIENT.0, 40_001), DNS, &dns(0x0100, &[("a.b", 1)], &[])),
            ],
            &[(1, 1)],
        ),
        case(
            "dns.opcode",
            "alert dns any any -> any any (dns.opcode:2; sid:1;)
             alert dns any any -> any any (dns_opcode:!2; sid:2;)",
            vec![udp(CLIENT, DNS, &dns(0x1000, &[("a.b", 1)], &[])), question("a.b", 1)],
            &[(1, 1), (2, 2)],
        ),
        case(
            "dns.rcode",
            "alert dns any any -> any any (flow:to_client; dns.rcode:NXDOMAIN; sid:1;)",
            vec![
                question("a.b", 1),
                udp(DNS, CLIENT, &dns(0x8183, &[("a.b", 1)], &[])),
                udp(DNS, CLIENT, &dns(0x8180, &[("a.b", 1)], &["a.b"])),
            ],
            &[(1, 2)],
        ),
        case(
            "dns.rrtype",
            "alert dns any any -> any any (dns.rrtype:28; sid:1;)",
            vec![question("a.b", 1), question("a.b", 28)],
            &[(1, 2)],
        ),
        case(
            "requires",
            r#"alert udp any any -> any any (requires:feature ja4, version >= 7.0.3, keyword tls.sni; content:"x"; sid:1;)"#,
            texts(&["x"]),
            &[(1, 1)],
        ),
        tls("tls.version", "flow:to_client; tls.version:1.2; sid:1;", "flow:to_client; tls.version:1.3; sid:2;"),
        tls(
            "ssl_version",
            "flow:to_client; ssl_version:tls1.2,tls1.3; sid:1;",
            "flow:to_client; ssl_version:!tls1.2; sid:2;",
        ),
        tls(
            "ssl_state",
            "flow:to_client; ssl_state:server_hello; sid:1;",
            "flow:to_client; ssl_state:!server_hello; sid:2;",
        ),
        tls(
            "tls.cert_chain_len",
            "flow:to_client; tls.cert_chain_len:3; sid:1;",
            "flow:to_client; tls.cert_chain_len:>3; sid:2;",
        ),
        tls(
            "tls_cert_notbefore",
            "flow:to_client; tls_cert_notbefore:<2027; sid:1;",
            "flow:to_client; tls_cert_notbefore:>2027; sid:2;",
        ),
        tls(
            "tls_cert_notafter",
            "flow:to_client; tls_cert_notafter:2027<>2028; sid:1;",
            "flow:to_client; tls_cert_notafter:<2027; sid:2;",
        ),
        tls("tls_cert_valid", "flow:to_client; tls_cert_valid; sid:1;", "flow:to_client; tls_cert_expired; sid:2;"),
        Case {
            frames: handshake(2 * 365 * 86_400_000),
            ..tls(
                "tls_cert_expired",
                "flow:to_client; tls_cert_expired; sid:1;",
                "flow:to_client; tls_cert_valid; sid:2;",
            )
        },
        tls(
            "tls.subject",
            r#"flow:to_client; tls.subject:"CN=amt."; sid:1;"#,
            r#"flow:to_client; tls.subject:!"CN=amt."; sid:2;"#,
        ),
        tls(
            "tls.issuerdn",
            r#"flow:to_client; tls.issuerdn:"CN=Musterland CA 1"; sid:1;"#,
            r#"flow:to_client; tls.issuerdn:"CN=amt."; sid:2;"#,
        ),
        tls(
            "tls.fingerprint",
            r#"flow:to_client; tls.fingerprint:":"; sid:1;"#,
            r#"flow:to_client; tls.fingerprint:"no"; sid:2;"#,
        ),
        case(
            "ssh.protoversion",
            "alert ssh any any -> any any (ssh.protoversion:2_compat; sid:1;)
             alert ssh any any -> any any (ssh.protoversion:1.99; sid:2;)
             alert ssh any any -> any any (ssh.protoversion:2; sid:3;)",
            banners(),
            &[(1, 6), (2, 6), (1, 7)],
        ),
        case(
            "ssh.softwareversion",
            r#"alert ssh any any -> any any (ssh.softwareversion:"Cisco"; sid:1;)
               alert ssh any any -> any any (ssh.softwareversion:"cisco"; sid:2;)"#,
            banners(),
            &[(1, 6)],
        ),
        http("uricontent", r#"uricontent:"/a b/x."; sid:1;"#, r#"uricontent:"%20"; sid:2;"#),
        http("urilen", "urilen:10; sid:1;", "urilen:10,raw; sid:2;"),
        ftp("ftp.dynamic_port", "ftp.dynamic_port:1025; sid:1;", "ftp.dynamic_port:1026; sid:2;"),
        ftp("ftpbounce", "ftpbounce; sid:1;", "ftpbounce; ftp.dynamic_port:1026; sid:2;"),
        ftp("ftp.reply_received", "ftp.reply_received:yes; sid:1;", "ftp.reply_received:no; sid:2;"),
        http("filesize", "filesize:2<>4; sid:1;", "filesize:>1KB; sid:2;"),
        http("filename", r#"filename:"B/X."; sid:1;"#, r#"filename:!"x.pdf"; sid:2;"#),
        http("fileext", r#"fileext:"PDF"; sid:1;"#, r#"fileext:"pd"; sid:2;"#),
        http("filemagic", r#"filemagic:"ascii TEXT"; sid:1;"#, r#"filemagic:!"text"; sid:2;"#),
        // The body is "abc", and the lists hold its hashes (RFC 1321, FIPS 180).
        http("filemd5", "filemd5:abc.md5; sid:1;", "filemd5:!abc.md5; sid:2;"),
        http("filesha1", "filesha1:abc.sha1; sid:1;", "filesha1:!abc.sha1; sid:2;"),
        http("filesha256", "filesha256:abc.sha256; sid:1;", "filesha256:!abc.sha256; sid:2;"),
        http("filestore", "filestore; sid:1;", "filesize:>3; filestore; sid:2;"),
        case(
            "template.number",
            "alert template any any -> any any (template.number:>3; sid:1;)",
            session(CLIENT, End(SERVER.0, 4000), &[(true, b"ask abc\n"), (false, b"tell x\n"), (true, b"ask abcd\n")])
                .into_iter()
                .chain([
                    tcp(End(SERVER.0, 4000), CLIENT, "A", 9008, 1018, b""),
                    tcp(CLIENT, End(SERVER.0, 4000), "A", 1018, 9008, b""),
                ])
                .collect(),
            &[(1, 8)],
        ),
        one(
            "detection_filter",
            "dsize:1; detection_filter:track by_dst, count 2, seconds 10, unique_on src_port;",
            [texts(&["a", "b"]), texts(&["a", "b", "c", "d"]), vec![at(11_000, udp(CLIENT, SERVER, b"x"))]].concat(),
            &[(1, 5), (1, 6)],
        ),
        one(
            "detection_filter",
            "dsize:1; detection_filter:track by_src, count 2, seconds 10;",
            stamped(&[0, 1, 2, 3]),
            &[(1, 3), (1, 4)],
        ),
    ];
    [here, bytes::cases(), web::cases()].concat()
}

fn outcome(c: &Case, change: impl Fn(&mut Rule)) -> Result<(), String> {
    let mut set = rules(c.rules);
    set.rules.iter_mut().for_each(|r| change(std::sync::Arc::make_mut(r)));
    let mut rig = Rig::new(set, Output { tagged_packets: true, references: true, ..Output::default() });
    let alerts = rig.run(&c.frames);
    if rig.recorded != c.recorded {
        return Err(format!("{}: recorded {:?}, wanted {:?}", c.keyword, rig.recorded, c.recorded));
    }
    if let Some(n) = c.written.filter(|n| *n != rig.written.len()) {
        return Err(format!("{}: {} events written, wanted {n}", c.keyword, rig.written.len()));
    }
    if sids(&alerts) != c.alerts {
        return Err(format!("{}: {}: alerts {:?}, wanted {:?}", c.keyword, c.rules, sids(&alerts), c.alerts));
    }
    for (path, want) in c.fields {
        let got = path.split('.').fold(&alerts[0], |v, key| &v[key]);
        let got = match got {
            Value::String(s) => s.clone(),
            other => other.to_string(),
        };
        if got != *want {
            return Err(format!("{}: {path} is {got}, wanted {want}", c.keyword));
        }
    }
    Ok(())
}

#[test]
fn every_case_holds() {
    for c in cases() {
        outcome(&c, |_| {}).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn every_honoured_keyword_has_a_case_that_breaks_without_it_and_one_that_breaks_when_it_never_holds() {
    // By definition without an effect on what matches or is reported.
    const NO_EFFECT: [&str; 4] = ["requires", "rawbytes", "fast_pattern", "prefilter"];
    let cases = cases();
    for k in HONOURED {
        let own: Vec<&Case> = cases.iter().filter(|c| c.keyword == k.name).collect();
        assert!(!own.is_empty(), "{} has no case", k.name);
        let breaks = own.iter().any(|c| outcome(c, |r| without(k.name, r)).is_err());
        assert_eq!(breaks, !NO_EFFECT.contains(&k.name), "{} taken out: is it noticed?", k.name);
        let breaks = own.iter().any(|c| outcome(c, |r| r.packet.push(PacketTest::Dsize(Number::Lt(0)))).is_err());
        assert!(breaks, "{} never holding is not noticed", k.name);
    }
}

#[test]
fn the_decoder_events_of_the_language_are_the_decoders() {
    let ours: Vec<&str> =
        lagewarte_decode::Event::ALL.iter().filter_map(|e| e.name().strip_prefix("decoder.")).collect();
    assert_eq!(ours, DECODE_EVENTS);
}
