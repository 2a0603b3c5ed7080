// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The pipeline as a whole: the same events for any number of workers, nothing lost uncounted, damage survived.

use std::{
    io::Cursor,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use arc_swap::ArcSwap;
use lagewarte_agent::pipeline::{self, Anomalies, LiveOptions, Options, Paced, Played, Sink, Totals};
use lagewarte_base::{
    clock::{Clock, ManualClock, SystemClock},
    time::Timestamp,
};
use lagewarte_capture::{CaptureFile, Next, Source};
use lagewarte_detect::{Engine, Output};
use lagewarte_event::eve::Record;
use lagewarte_testkit::{Capture, Map, Session, compose, icmp_echo, icmp_unreachable, tcp, udp, with_vlans};
use proptest::prelude::*;

#[derive(Default)]
struct Collected(Vec<Record>);

impl Sink for Collected {
    fn record(&mut self, record: Record) -> anyhow::Result<()> {
        self.0.push(record);
        Ok(())
    }
}

const RULES: &str = r#"
alert tcp any any -> any any (msg:"get"; flow:established,to_server; content:"GET "; flowbits:set,got; sid:1;)
alert tcp any any -> any any (msg:"answer"; flow:established,to_client; flowbits:isset,got; content:"200"; sid:2;)
alert udp any any -> any any (msg:"by source"; content:"q"; threshold:type limit, track by_src, count 2, seconds 60; sid:3;)
alert tcp any any -> any any (msg:"scan"; flags:S; detection_filter:track by_dst, count 3, seconds 30; sid:4;)
alert icmp any any -> any any (msg:"ping"; itype:8; sid:5;)
alert udp any any -> any any (msg:"marks its source"; content:"q"; xbits:set,asked,track ip_src,expire 5; noalert; sid:6;)
alert icmp any any -> any any (msg:"pings after it asked"; itype:8; xbits:isset,asked,track ip_src; sid:7;)
alert tcp any any -> any any (msg:"turns the server"; flags:S; xbits:toggle,seen,track ip_dst; sid:8;)
alert tcp any any -> any any (msg:"while it is turned"; flags:S; xbits:isset,seen,track ip_dst; flowbits:set,odd; sid:9;)
alert tcp any any -> any any (msg:"records a host"; flags:S; tag:host,3,packets,src; noalert; sid:10;)
"#;

fn options(workers: usize, rules: bool) -> Options {
    let engine = rules.then(|| {
        let set = lagewarte_rules::parse(&[("test.rules", RULES.as_bytes())], &lagewarte_rules::Options::default());
        assert!(set.refused.is_empty(), "{:?}", set.refused);
        let output = Output { tagged_packets: true, ..Output::default() };
        Arc::new(ArcSwap::from_pointee(Engine::new(set, output).expect("compiles")))
    });
    let anomalies = Anomalies { decode: true, stream: true, applayer: true, packethdr: false };
    Options { workers, anomalies, engine, ..Options::file() }
}

fn replay(pcap: &[u8], workers: usize, rules: bool) -> anyhow::Result<(Vec<Record>, Totals)> {
    let mut source = CaptureFile::from_reader(Box::new(Cursor::new(pcap.to_vec())), "test".into(), None)?;
    let mut sink = Collected::default();
    let totals = pipeline::run(&mut source, &options(workers, rules), &mut sink, &AtomicBool::new(false))?;
    Ok((sink.0, totals))
}

fn lines(records: &[Record]) -> Vec<&str> {
    records.iter().map(|r| r.json.as_str()).collect()
}

/// Replays with 1, 2 and 4 workers, and once more with 2, and holds them against one another.
fn alike(pcap: &[u8], rules: bool) -> (Vec<Record>, Totals) {
    let one = replay(pcap, 1, rules).expect("one worker");
    for workers in [2, 4, 2] {
        let many = replay(pcap, workers, rules).expect("many workers");
        assert_eq!(lines(&one.0), lines(&many.0), "{workers} workers, in the same order too");
        assert_eq!((one.1.read, &one.1.decoder, one.1.ordered), (many.1.read, &many.1.decoder, many.1.ordered));
    }
    let t = &one.1;
    assert_eq!(t.read, t.decoder.pkts + t.shed + t.unsupported, "what came in was decoded or counted as dropped");
    one
}

fn ip(n: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, n])
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + micros)
}

/// Sessions, queries, scans and errors of several hosts, laid over one another, longer than one batch.
fn busy() -> Vec<u8> {
    let mut parts = Vec::new();
    for host in 1..=24u8 {
        let mut c = Capture::ethernet();
        let mut s = Session::open(&mut c, (ip(host), 40_000), (ip(100), 80), at(i64::from(host) * 700));
        for _ in 0..6 {
            s.client(b"GET /x HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 200 OK\r\n\r\n").wait(31_000_000);
        }
        s.close();
        for n in 0..8u16 {
            let t = at(i64::from(n) * 9_000_000 + i64::from(host));
            let query = udp((ip(host), 1000 + n), (ip(101), 53), b"q");
            c.push(t, query.clone());
            c.push(t, icmp_unreachable(ip(99), ip(host), 3, &query));
            c.push(t, tcp((ip(host), 2000), (ip(102), n), 2, 5, 0, b""));
            c.push(t, icmp_echo(ip(host), ip(103), true, n, n, b"x"));
            c.push(t, with_vlans(&query, &[u16::from(host)]));
        }
        c.packets.sort_by_key(|p| p.time);
        parts.push(c.write());
    }
    let none = Map::new();
    let parts: Vec<_> = parts.iter().map(|p| (p.as_slice(), 0, &none)).collect();
    compose(&parts).expect("composed")
}

#[test]
fn any_number_of_workers_gives_the_same_events() {
    let (records, totals) = alike(&busy(), true);
    assert!(totals.read > 1024, "several batches: {}", totals.read);
    let count = |kind: &str| records.iter().filter(|r| r.event_type == kind).count() as u64;
    let alerts = |sid: &str| records.iter().filter(|r| r.json.contains(&format!("\"signature_id\":{sid},"))).count();
    assert_eq!(count("flow"), totals.flow.total);
    assert_eq!(count("alert"), totals.ordered.alert);
    // 24 hosts with six requests and answers; two of 16 queries a host in 60 s, and two more in the next window; 24 x 8
    // pings.
    assert_eq!((alerts("1"), alerts("2"), alerts("5")), (144, 144, 192));
    assert_eq!(alerts("3"), 24 * 4);
    assert!(alerts("4") > 0 && totals.ordered.suppressed > 0);
    // Each host asks before it pings. Each SYN to the scanned host turns its mark, whichever worker has it; the rule that
    // turns is looked at first.
    assert_eq!(alerts("7"), 192);
    assert!(count("packet") > 24, "each host sends SYNs, and then something else");
    assert_eq!((alerts("8"), alerts("9")), (24 + 192, (24 + 192) / 2));
}

#[test]
fn of_too_many_alerts_on_one_packet_the_first_in_evaluation_order_are_reported() {
    let rules = r#"
alert http any any -> any any (http.uri; content:"/a"; priority:3; sid:1;)
alert http any any -> any any (http.uri; content:"/az"; priority:1; sid:2;)
"#;
    let set = lagewarte_rules::parse(&[("t.rules", rules.as_bytes())], &lagewarte_rules::Options::default());
    let engine = Engine::new(set, Output::default()).expect("compiles");
    let options = Options { engine: Some(Arc::new(ArcSwap::from_pointee(engine))), ..Options::file() };
    // Twenty requests in one segment; the last is the gravest.
    let requests = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n".repeat(19) + "GET /az HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut c = Capture::ethernet();
    Session::open(&mut c, (ip(1), 40_000), (ip(2), 80), at(0)).client(requests.as_bytes()).close();
    let mut source = CaptureFile::from_reader(Box::new(Cursor::new(c.write())), "t".into(), None).expect("a capture");
    let mut sink = Collected::default();
    let totals = pipeline::run(&mut source, &options, &mut sink, &AtomicBool::new(false)).expect("runs");
    let alerts: Vec<&Record> = sink.0.iter().filter(|r| r.event_type == "alert").collect();
    assert_eq!((alerts.len() as u64, totals.ordered.overflow), (15, 6));
    assert!(alerts[0].json.contains("\"signature_id\":2,") && alerts[0].json.contains("\"tx_id\":19,"));
}

/// The answer to a CONNECT ends HTTP; the question's bytes are looked at with the packet behind it.
#[test]
fn what_was_said_before_a_change_of_protocol_is_a_matter_of_rules_on_that() {
    let rules = br#"
alert http any any -> any any (flow:established,to_server; content:"CONNECT "; depth:8; content:":25 HTTP/"; sid:1;)
alert tls any any -> any any (flow:established,to_server; content:"CONNECT "; sid:2;)
"#;
    let set = lagewarte_rules::parse(&[("t.rules", rules)], &lagewarte_rules::Options::default());
    let engine = Engine::new(set, Output::default()).expect("compiles");
    let options = Options { engine: Some(Arc::new(ArcSwap::from_pointee(engine))), ..Options::file() };
    let mut c = Capture::ethernet();
    let mut s = Session::open(&mut c, (ip(1), 40_000), (ip(2), 80), at(0));
    s.client(b"CONNECT mail.example:25 HTTP/1.1\r\nHost: mail.example\r\n\r\n").server(b"HTTP/1.1 200 OK\r\n\r\n");
    s.client(b"EHLO x\r\n").close();
    let mut source = CaptureFile::from_reader(Box::new(Cursor::new(c.write())), "t".into(), None).expect("a capture");
    let mut sink = Collected::default();
    pipeline::run(&mut source, &options, &mut sink, &AtomicBool::new(false)).expect("runs");
    let alerts: Vec<&Record> = sink.0.iter().filter(|r| r.event_type == "alert").collect();
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0].json.contains("\"signature_id\":1,"), "{}", alerts[0].json);
}

#[test]
fn an_alert_on_a_streams_bytes_shows_the_only_transaction_where_it_may_be_guessed() {
    let told = |guess_transaction: bool, asked: &str| -> String {
        let rule = br#"alert tcp any any -> any any (flow:to_server; content:"needle"; sid:1;)"#;
        let set = lagewarte_rules::parse(&[("t.rules", rule)], &lagewarte_rules::Options::default());
        let engine = Engine::new(set, Output { guess_transaction, ..Output::default() }).expect("compiles");
        let options = Options { engine: Some(Arc::new(ArcSwap::from_pointee(engine))), ..Options::file() };
        let mut c = Capture::ethernet();
        let mut s = Session::open(&mut c, (ip(1), 40_000), (ip(2), 80), at(0));
        s.client(asked.as_bytes()).server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").close();
        let mut source =
            CaptureFile::from_reader(Box::new(Cursor::new(c.write())), "t".into(), None).expect("a capture");
        let mut sink = Collected::default();
        pipeline::run(&mut source, &options, &mut sink, &AtomicBool::new(false)).expect("runs");
        let alerts: Vec<Record> = sink.0.into_iter().filter(|r| r.event_type == "alert").collect();
        assert_eq!(alerts.len(), 1);
        alerts[0].json.clone()
    };
    let ask = "GET /needle HTTP/1.1\r\nHost: h\r\n\r\n";
    let one = told(true, ask);
    assert!(one.contains(r#""tx_id":0,"tx_guessed":true,"#) && one.contains(r#""url":"/needle""#), "{one}");
    for (guess, asked) in [(false, ask.to_owned()), (true, ask.repeat(2))] {
        let none = told(guess, &asked);
        assert!(!none.contains("tx_id") && !none.contains("tx_guessed") && !none.contains("url"), "{none}");
    }
}

#[test]
fn a_flow_says_whether_an_alert_was_reported_on_it() {
    let mut c = Capture::ethernet();
    for (n, source) in [1u8, 1, 1, 2].into_iter().enumerate() {
        c.push(at(n as i64), udp((ip(source), 1000 + n as u16), (ip(9), 53), b"q"));
    }
    // Rule 3 reports two flows of a source; the third of host 1 is kept back.
    let (records, _) = alike(&c.write(), true);
    let flow = |port: u16| {
        let r = records.iter().find(|r| r.event_type == "flow" && r.json.contains(&format!("\"src_port\":{port},")));
        r.expect("its flow").json.contains("\"alerted\":true")
    };
    assert_eq!([flow(1000), flow(1001), flow(1002), flow(1003)], [true, true, false, true]);
}

/// Captures recorded by others, where they are at hand.
#[test]
fn recorded_captures_give_the_same_events_too() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    let mut folders = vec![root.join("../shared/conformance/cases"), root.join("rules/captures")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "pcap") && entry.metadata().is_ok_and(|m| m.len() < 1 << 20)
            {
                found.push(path);
            }
        }
    }
    found.sort();
    for path in &found {
        let pcap = std::fs::read(path).expect("readable");
        let (one, totals) = replay(&pcap, 1, false).unwrap_or_else(|e| panic!("{}: {e:#}", path.display()));
        for workers in [2, 4] {
            let many = replay(&pcap, workers, false).expect("as with one worker");
            assert_eq!(lines(&one), lines(&many.0), "{} with {workers} workers", path.display());
        }
        assert_eq!(totals.read, totals.decoder.pkts + totals.unsupported, "{}", path.display());
    }
}

#[test]
fn a_capture_cut_anywhere_gives_what_is_whole() {
    let pcap = {
        let mut c = Capture::ethernet();
        let mut s = Session::open(&mut c, (ip(1), 1), (ip(2), 80), at(0));
        s.client(b"GET / HTTP/1.1\r\n\r\n").close();
        c.write()
    };
    for n in 24..pcap.len() {
        let (records, totals) = replay(&pcap[..n], 2, true).expect("a cut capture is no error");
        assert_eq!(totals.decoder.pkts, totals.read);
        assert_eq!(totals.capture.damage.is_some(), Capture::read(&pcap[..n]).is_err());
        assert_eq!(records.iter().filter(|r| r.event_type == "flow").count() as u64, totals.flow.total);
    }
}

#[test]
fn a_failing_sink_stops_everything_in_good_order() {
    struct Full(u32);
    impl Sink for Full {
        fn record(&mut self, _: Record) -> anyhow::Result<()> {
            self.0 += 1;
            anyhow::ensure!(self.0 < 5, "no space left");
            Ok(())
        }
    }
    for workers in [1, 3] {
        let mut source = CaptureFile::from_reader(Box::new(Cursor::new(busy())), "test".into(), None).expect("opened");
        let e = pipeline::run(&mut source, &options(workers, true), &mut Full(0), &AtomicBool::new(false));
        assert!(e.expect_err("the sink is full").to_string().contains("no space left"));
    }
}

#[test]
fn a_link_type_that_nobody_can_decode_is_counted_and_stops_nothing() {
    let mut c = Capture::ethernet();
    c.linktype = 147;
    c.push(at(0), vec![1, 2, 3]);
    let (records, totals) = replay(&c.write(), 1, false).expect("goes on");
    assert_eq!((totals.read, totals.unsupported, totals.unsupported_linktype), (1, 1, 147));
    assert!(records.is_empty(), "nothing was looked at");
}

#[test]
fn captures_are_played_when_they_are_due_merged_and_late_ones_are_skipped() {
    let part = |host: u8, times: &[i64]| {
        let mut c = Capture::ethernet();
        for &t in times {
            c.push(at(t), udp((ip(host), 1), (ip(9), 2), b"q"));
        }
        CaptureFile::from_reader(Box::new(Cursor::new(c.write())), "test".into(), None).expect("opened")
    };
    let now = Timestamp::from_micros(5_000_000_000);
    let clock = Arc::new(ManualClock::new(now));
    // Begun 3 s ago: what was due then is past, what was recorded at 4, 10 and 12 s is to come.
    let files = vec![part(1, &[0, 10_000_000]), part(2, &[4_000_000, 12_000_000])];
    let start = Timestamp::from_micros(now.micros() - 3_000_000);
    let line = Arc::new(Played::new(clock.clone(), 1.0, Some(start), None));
    let mut paced = Paced::new(files, line).expect("opened");
    assert!(matches!(paced.next(), Ok(Next::Idle)));
    assert_eq!(paced.skipped(), 1);
    for (wait, host, due) in [(1_000_000, 2, 1_000_000), (6_000_000, 1, 7_000_000), (2_000_000, 2, 9_000_000)] {
        clock.advance(wait - 1);
        assert!(matches!(paced.next(), Ok(Next::Idle)), "not before it is due");
        clock.advance(1);
        match paced.next() {
            Ok(Next::Frame(f)) => {
                assert_eq!((f.time.micros() - now.micros(), f.data[29]), (due, host));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(paced.next(), Ok(Next::End)));
    assert_eq!(paced.stats().received, 4);
}

#[test]
fn a_live_line_ticks_and_nothing_is_lost_uncounted() {
    struct Ticks(u64, Vec<u64>);
    impl Sink for Ticks {
        fn record(&mut self, record: Record) -> anyhow::Result<()> {
            self.0 += u64::from(record.event_type == "flow");
            // A line played at 100 times its speed has a clock of 100 µs.
            assert!(record.observed.since(record.event) >= -100 || record.event_type == "flow");
            Ok(())
        }
        fn totals(&mut self, totals: &Totals, _: Timestamp) -> anyhow::Result<()> {
            self.1.push(totals.read);
            Ok(())
        }
    }
    for workers in [1, 2] {
        let file = CaptureFile::from_reader(Box::new(Cursor::new(busy())), "test".into(), None).expect("opened");
        // Some three minutes of traffic from the past, caught up in two seconds.
        let now = SystemClock.now();
        let start = Timestamp::from_micros(now.micros() - 250_000_000);
        let clock = Arc::new(Played::new(Arc::new(SystemClock), 100.0, Some(start), Some(now)));
        let mut source = Paced::new(vec![file], clock.clone()).expect("opened");
        let mut options = options(workers, true);
        options.live = Some(LiveOptions { clock, interval_s: 1 });
        let mut sink = Ticks(0, Vec::new());
        let totals = pipeline::run(&mut source, &options, &mut sink, &AtomicBool::new(false)).expect("ran");
        assert_eq!(totals.read, totals.decoder.pkts + totals.shed + totals.unsupported);
        assert_eq!(totals.read, totals.capture.received - source.skipped());
        assert_eq!(sink.0, totals.flow.total);
        assert!(!sink.1.is_empty() && sink.1.is_sorted(), "{:?}", sink.1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    /// Whatever the packets and their times: one, two and four workers agree.
    #[test]
    fn workers_agree_on_anything(
        steps in prop::collection::vec((1u8..6, 1u8..6, 0u8..7, -2_000_000i64..40_000_000, any::<u8>()), 0..700),
    ) {
        let mut c = Capture::ethernet();
        let mut t = 0;
        for (src, dst, kind, wait, x) in steps {
            t += wait;
            let (a, b) = ((ip(src), 1000 + u16::from(x & 1)), (ip(dst), 80));
            let frame = match kind {
                0 => udp(a, b, b"q"),
                1 => tcp(a, b, 2, u32::from(x), 0, b""),
                2 => tcp(b, a, 18, 7, u32::from(x) + 1, b""),
                3 => tcp(a, b, x & 0x1f, u32::from(x) + 1, 8, b"GET / HTTP/1.1"),
                4 => icmp_unreachable(a.0, b.0, 1, &udp(b, a, b"q")),
                5 => {
                    let mut f = udp(a, b, b"fragmented");
                    f[20] |= 0x20;
                    f
                }
                _ => vec![x; usize::from(x)],
            };
            c.push(at(t), frame);
        }
        alike(&c.write(), true);
    }
}
