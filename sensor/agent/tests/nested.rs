// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Tunnels and fragments through the pipeline: each packet in a packet has its flow and its alerts, both layers stand in
//! the event, and the number of workers changes nothing, wherever the parts of a packet come from.

use std::{
    io::Cursor,
    net::IpAddr,
    sync::{Arc, atomic::AtomicBool},
};

use arc_swap::ArcSwap;
use lagewarte_agent::pipeline::{self, Anomalies, Options, Sink, Totals};
use lagewarte_base::time::Timestamp;
use lagewarte_capture::CaptureFile;
use lagewarte_detect::{Engine, Output};
use lagewarte_event::eve::Record;
use lagewarte_testkit::{Capture, tcp, udp};
use serde_json::{Value, json};

#[derive(Default)]
struct Collected(Vec<Record>);

impl Sink for Collected {
    fn record(&mut self, record: Record) -> anyhow::Result<()> {
        self.0.push(record);
        Ok(())
    }
}

fn replay(pcap: &[u8], workers: usize, rules: &str) -> (Vec<Value>, Totals) {
    let set = lagewarte_rules::parse(&[("test.rules", rules.as_bytes())], &lagewarte_rules::Options::default());
    assert!(set.refused.is_empty(), "{:?}", set.refused);
    let engine = Some(Arc::new(ArcSwap::from_pointee(Engine::new(set, Output::default()).expect("compiles"))));
    let anomalies = Anomalies { decode: true, stream: true, applayer: true, packethdr: false };
    let options = Options { workers, anomalies, engine, ..Options::file() };
    let mut source =
        CaptureFile::from_reader(Box::new(Cursor::new(pcap.to_vec())), "test".into(), None).expect("a capture");
    let mut sink = Collected::default();
    let totals = pipeline::run(&mut source, &options, &mut sink, &AtomicBool::new(false)).expect("replayed");
    assert_eq!(totals.read, totals.decoder.pkts + totals.shed + totals.unsupported);
    (sink.0.iter().map(|r| serde_json::from_str(&r.json).expect("JSON")).collect(), totals)
}

/// The same with 1, 2, 3 and 8 workers.
fn alike(pcap: &[u8], rules: &str) -> (Vec<Value>, Totals) {
    let one = replay(pcap, 1, rules);
    for workers in [2, 3, 8] {
        let many = replay(pcap, workers, rules);
        assert_eq!(one.0, many.0, "{workers} workers, in the same order too");
        assert_eq!((&one.1.decoder, one.1.defrag), (&many.1.decoder, many.1.defrag), "{workers} workers");
    }
    one
}

fn host(net: u8, n: u8) -> IpAddr {
    IpAddr::from([10, net, 0, n])
}

/// An Ethernet frame with an IPv4 packet that carries `body`.
fn over(src: IpAddr, dst: IpAddr, proto: u8, body: &[u8]) -> Vec<u8> {
    let mut f = udp((src, 0), (dst, 0), b"");
    f.truncate(34);
    f.extend_from_slice(body);
    f[16..18].copy_from_slice(&(20 + body.len() as u16).to_be_bytes());
    f[23] = proto;
    sum(f)
}

fn sum(mut f: Vec<u8>) -> Vec<u8> {
    f[24..26].fill(0);
    let sum = f[14..34].chunks(2).fold(0u32, |s, w| s + u32::from(w[0]) * 256 + u32::from(w[1]));
    f[24..26].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    f
}

/// An IPv4 frame cut into fragments of at most `units` times eight bytes.
fn cut(frame: &[u8], id: u16, units: usize) -> Vec<Vec<u8>> {
    let body = &frame[34..];
    let parts = body.chunks(units * 8).enumerate().map(|(i, part)| {
        let mut f = [&frame[..34], part].concat();
        let at = i * units;
        let more = at * 8 + part.len() < body.len();
        f[16..18].copy_from_slice(&(20 + part.len() as u16).to_be_bytes());
        f[18..20].copy_from_slice(&id.to_be_bytes());
        f[20..22].copy_from_slice(&(at as u16 | u16::from(more) << 13).to_be_bytes());
        sum(f)
    });
    parts.collect()
}

fn vxlan(outer: (IpAddr, IpAddr), port: u16, frame: &[u8]) -> Vec<u8> {
    udp((outer.0, port), (outer.1, 4789), &[&[8, 0, 0, 0, 0, 0, 1, 0], frame].concat())
}

fn capture(frames: Vec<Vec<u8>>) -> Vec<u8> {
    let mut c = Capture::ethernet();
    for (n, f) in frames.into_iter().enumerate() {
        c.push(Timestamp::from_micros(1_700_000_000_000_000 + n as i64 * 1000), f);
    }
    c.write()
}

#[test]
fn a_flow_in_tunnels_of_changing_ends_is_one_flow_with_any_number_of_workers() {
    let mut frames = Vec::new();
    for conversation in 0..12u8 {
        let (c, s) = ((host(1, conversation), 40_000), (host(2, conversation), 80));
        for (n, f) in [
            tcp(c, s, 2, 9, 0, b""),
            tcp(s, c, 18, 99, 10, b""),
            tcp(c, s, 16, 10, 100, b""),
            tcp(c, s, 24, 10, 100, b"inside"),
        ]
        .into_iter()
        .enumerate()
        {
            // Each packet comes through other gateways; of some the outer packet is cut, of some the inner one too.
            let gates = (host(3, n as u8 + conversation), host(4, conversation));
            let packet = &f[14..];
            let gre = || over(gates.0, gates.1, 47, &[&[0, 0, 8, 0], packet].concat());
            let id = u16::from(conversation) * 16 + n as u16;
            match conversation % 4 {
                0 => frames.push(vxlan(gates, 1000 + n as u16, &f)),
                1 => frames.extend(cut(&gre(), id, 2)),
                2 => frames.extend(cut(&f, id, 1).iter().map(|part| vxlan(gates, 5, part))),
                _ => frames.extend(cut(&f, id, 1).iter().flat_map(|part| {
                    let gre = over(gates.0, gates.1, 47, &[&[0, 0, 8, 0], &part[14..]].concat());
                    cut(&gre, u16::from_be_bytes([part[18], part[21]]) ^ 0x8000, 1)
                })),
            }
        }
    }
    let rules = r#"alert tcp-pkt any any -> any 80 (msg:"in"; flow:established,to_server; content:"inside"; sid:1;)
                   alert udp any any -> any 4789 (msg:"out"; dsize:>0; sid:2;)
                   alert ip any any -> any any (msg:"gre"; ip_proto:47; flow:no_frag; fragbits:!M; fragoffset:0; sid:3;)"#;
    let (events, totals) = alike(&capture(frames), rules);
    let flows: Vec<_> = events.iter().filter(|e| e["event_type"] == "flow" && e["proto"] == "TCP").collect();
    assert_eq!(flows.len(), 12);
    for f in &flows {
        assert_eq!((&f["flow"]["pkts_toserver"], &f["flow"]["pkts_toclient"]), (&json!(3), &json!(1)), "{f}");
    }
    let alerts = |sid| events.iter().filter(|e| e["alert"]["signature_id"] == sid).collect::<Vec<_>>();
    let inside = alerts(1);
    assert_eq!(inside.len(), 12);
    for a in &inside {
        let (tunnel, outer) = (&a["tunnel"], if a["tunnel"]["proto"] == "UDP" { json!(4789) } else { json!(0) });
        assert_eq!(
            (&tunnel["dest_port"], &tunnel["depth"], &tunnel["pkt_src"]),
            (&outer, &json!(1), &json!("wire/pcap")),
            "{a}"
        );
        assert_eq!(tunnel["pcap_cnt"], a["pcap_cnt"]);
        assert!(tunnel["src_ip"].as_str().expect("an address").starts_with("10.3.0."), "{a}");
        assert!(a["src_ip"].as_str().expect("an address").starts_with("10.1.0."), "{a}");
    }
    let sources = |name: &str| inside.iter().filter(|a| a["pkt_src"] == name).count();
    assert_eq!((sources("vxlan encapsulation"), sources("gre tunnel"), sources("defrag")), (3, 3, 6));
    assert!(!alerts(2).is_empty(), "the tunnel's own datagrams are looked at as well");
    let t = totals.defrag;
    assert!(t.reassembled[0] > 36 && t.memuse == 0 && t.hard_reuse + t.timeout + t.ignored == 0, "{t:?}");
}

#[test]
fn a_rule_tells_packets_put_together_from_others_and_sees_what_was_odd() {
    let whole = udp((host(1, 1), 5), (host(1, 2), 6), b"0123456789abcdef");
    let mut frames = cut(&whole, 7, 1);
    frames.insert(1, frames[0].clone());
    frames.push(whole);
    frames.push(over(host(1, 1), host(1, 2), 253, b"unknown"));
    let rules = r#"alert udp any any -> any 6 (flow:only_frag; content:"456789ab"; sid:1;)
                   alert udp any any -> any 6 (flow:no_frag; content:"456789ab"; sid:2;)
                   alert pkthdr any any -> any any (decode-event:ipv4.frag_overlap; sid:3;)
                   alert ip any any -> any any (decode-event:ipv4.unknown_protocol; sid:4;)"#;
    let (events, _) = alike(&capture(frames), rules);
    let alerts: Vec<_> = events
        .iter()
        .filter(|e| e["event_type"] == "alert")
        .map(|e| (e["alert"]["signature_id"].as_u64(), e["pcap_cnt"].as_u64(), e["pkt_src"].as_str()))
        .collect();
    let want = [(3, 2, "wire/pcap"), (1, 4, "defrag"), (2, 5, "wire/pcap"), (4, 6, "wire/pcap")];
    assert_eq!(alerts, want.map(|(sid, n, src)| (Some(sid), Some(n), Some(src))));
    let anomalies: Vec<_> =
        events.iter().filter(|e| e["event_type"] == "anomaly").map(|e| e["anomaly"]["event"].as_str()).collect();
    assert_eq!(anomalies, [Some("decoder.ipv4.frag_overlap"), Some("decoder.ipv4.unknown_protocol")]);
}

/// A rule that passes what a tunnel carries has spoken before the tunnel is looked at, whoever owns which.
#[test]
fn what_is_carried_is_looked_at_first() {
    let frames =
        (0..20).map(|n| vxlan((host(5, n), host(6, n)), 9, &udp((host(7, n), 1), (host(8, n), 2), b"in"))).collect();
    let rules = r#"alert udp any any -> any 2 (content:"in"; sid:1;)
                   alert udp any any -> any 4789 (content:"in"; sid:2;)"#;
    let (events, _) = alike(&capture(frames), rules);
    let alerts: Vec<_> = events
        .iter()
        .filter(|e| e["event_type"] == "alert")
        .map(|e| (e["pcap_cnt"].as_u64(), e["alert"]["signature_id"].as_u64()))
        .collect();
    let want: Vec<_> = (1..=20).flat_map(|n| [(Some(n), Some(1)), (Some(n), Some(2))]).collect();
    assert_eq!(alerts, want);
}
