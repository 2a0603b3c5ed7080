// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the streams of a flow hand on: the bytes that a receiver would have, in order, with their gaps.

use std::{net::IpAddr, sync::Arc};

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, RawFrame};
use lagewarte_event::eve::Record;
use lagewarte_flow::{ChunkKind, Config, Direction, Ended, Flow, FlowTable, Outcome, Reason};
use lagewarte_testkit::tcp;
use proptest::prelude::*;

const TS: Direction = Direction::ToServer;
const TC: Direction = Direction::ToClient;
const CLIENT: (IpAddr, u16) = (IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 40_000);
const SERVER: (IpAddr, u16) = (IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 9)), 80);
const SYN: u8 = 2;
const ACK: u8 = 16;
const FIN: u8 = 1;
const RST: u8 = 4;

/// A piece as it was handed on.
type Piece = (Direction, u64, Vec<u8>, ChunkKind);

#[derive(Default)]
struct Taken(Vec<Piece>);

impl Ended for Taken {
    fn ending(&mut self, flow: &mut Flow, _: Reason, _: u64) {
        while let Some(c) = flow.stream.as_mut().and_then(|s| s.next_chunk()) {
            self.0.push((c.direction, c.offset, c.data.to_vec(), c.kind));
        }
    }
    fn record(&mut self, _: Record, _: &Flow) {}
}

struct Run {
    table: FlowTable,
    n: u64,
    taken: Taken,
    events: Vec<&'static str>,
}

impl Run {
    fn new(cfg: Config) -> Self {
        Self { table: FlowTable::new(Arc::new(cfg), 1), n: 0, taken: Taken::default(), events: Vec::new() }
    }
    /// With the handshake done: the client's first byte has number 1001, the server's 5001.
    fn open(cfg: Config) -> Self {
        let mut r = Self::new(cfg);
        r.client(SYN, 1000, 0, b"");
        r.server(SYN | ACK, 5000, 1001, b"");
        r.client(ACK, 1001, 5001, b"");
        assert_eq!(r.take(), []);
        r
    }
    fn client(&mut self, flags: u8, seq: u32, ack: u32, data: &[u8]) {
        self.packet(&tcp(CLIENT, SERVER, flags, seq, ack, data));
    }
    fn server(&mut self, flags: u8, seq: u32, ack: u32, data: &[u8]) {
        self.packet(&tcp(SERVER, CLIENT, flags, seq, ack, data));
    }
    fn packet(&mut self, frame: &[u8]) {
        self.feed(frame, true);
    }
    /// A packet whose checksum is not looked at.
    fn unchecked(&mut self, frame: &[u8]) {
        self.feed(frame, false);
    }
    fn feed(&mut self, frame: &[u8], checksums: bool) {
        self.n += 1;
        let raw = RawFrame {
            index: self.n,
            time: Timestamp::from_parts(1, 0),
            linktype: 1,
            wire_len: frame.len() as u32,
            data: frame,
        };
        let p = Decoder { checksums, ..Decoder::default() }.decode(raw);
        let mut seen = Vec::new();
        if let Outcome::Flow(mut f) = self.table.packet(&p, &mut self.taken) {
            self.events.extend(f.events.iter().map(lagewarte_flow::StreamEvent::name));
            while let Some(c) = f.next_chunk() {
                seen.push((c.direction, c.offset, c.data.to_vec(), c.kind));
            }
            f.release();
        }
        self.taken.0.append(&mut seen);
    }
    fn take(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.taken.0)
    }
    /// What was odd since this was asked last.
    fn odd(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.events)
    }
    fn finish(&mut self) -> Vec<Piece> {
        self.table.finish(Timestamp::from_parts(1, 0), self.n, &mut self.taken);
        self.take()
    }
}

fn data(d: Direction, offset: u64, bytes: &[u8]) -> Piece {
    (d, offset, bytes.to_vec(), ChunkKind::Data)
}

fn mark(d: Direction, offset: u64, kind: ChunkKind) -> Piece {
    (d, offset, Vec::new(), kind)
}

#[test]
fn bytes_are_handed_on_when_they_are_acknowledged_and_once() {
    let mut r = Run::open(Config::default());
    r.client(ACK, 1001, 5001, b"GET ");
    r.client(ACK, 1005, 5001, b"/");
    assert_eq!(r.take(), []);
    r.server(ACK, 5001, 1005, b"");
    assert_eq!(r.take(), [data(TS, 0, b"GET ")]);
    r.client(ACK, 1001, 5001, b"GET "); // again
    r.server(ACK, 5001, 1006, b"200");
    assert_eq!(r.take(), [data(TS, 4, b"/")]);
    r.client(ACK | FIN, 1006, 5004, b"!");
    assert_eq!(r.take(), [data(TC, 0, b"200")]);
    r.server(ACK | FIN, 5004, 1008, b"");
    assert_eq!(r.take(), [data(TS, 5, b"!"), mark(TS, 6, ChunkKind::End)]);
    r.client(ACK, 1008, 5005, b"");
    assert_eq!(r.take(), [mark(TC, 3, ChunkKind::End)]);
    assert_eq!(r.finish(), []);
    assert_eq!(r.table.stream_memory().counters().reassembly_memuse, 0);
}

/// Both ends open at once (RFC 9293, section 3.5): what the client then said first was lost.
#[test]
fn bytes_of_a_session_that_both_ends_opened_are_handed_on() {
    let mut r = Run::new(Config::default());
    r.client(SYN, 1000, 0, b"");
    r.server(SYN, 5000, 0, b"");
    r.client(SYN | ACK, 1000, 5001, b"");
    r.server(SYN | ACK, 5000, 1001, b"");
    r.client(ACK, 1001, 5001, b"GET ");
    r.server(ACK, 5001, 1005, b"page");
    r.client(ACK, 1005, 5005, b"");
    assert_eq!(r.take(), [data(TS, 0, b"GET "), data(TC, 0, b"page")]);
    assert_eq!(r.odd(), [""; 0]);
}

#[test]
fn inline_bytes_are_handed_on_as_they_come_and_holes_only_when_they_are_acknowledged() {
    let mut config = Config::default();
    config.stream.inline = true;
    let mut r = Run::open(config);
    r.client(ACK, 1001, 5001, b"abc");
    assert_eq!(r.take(), [data(TS, 0, b"abc")]);
    r.client(ACK, 1007, 5001, b"ghi");
    assert_eq!(r.take(), [], "a hole may be filled yet");
    r.client(ACK, 1004, 5001, b"def");
    assert_eq!(r.take(), [data(TS, 3, b"defghi")]);
    r.client(ACK, 1013, 5001, b"mno");
    r.server(ACK, 5001, 1016, b"");
    assert_eq!(r.take(), [mark(TS, 9, ChunkKind::Gap(3)), data(TS, 12, b"mno")]);
    r.client(ACK | FIN, 1016, 5001, b"!");
    assert_eq!(r.take(), [data(TS, 15, b"!"), mark(TS, 16, ChunkKind::End)]);
}

#[test]
fn segments_out_of_order_wait_for_the_one_before() {
    let mut r = Run::open(Config::default());
    r.client(ACK, 1004, 5001, b"def");
    r.client(ACK, 1010, 5001, b"jkl");
    r.client(ACK, 1007, 5001, b"ghi");
    r.server(ACK, 5001, 1001, b"");
    assert_eq!(r.take(), []);
    r.client(ACK, 1001, 5001, b"abc");
    r.server(ACK, 5001, 1013, b"");
    assert_eq!(r.take(), [data(TS, 0, b"abcdefghijkl")]);
}

#[test]
fn what_is_acknowledged_and_was_never_seen_is_a_gap() {
    let mut r = Run::open(Config::default());
    r.client(ACK, 1001, 5001, b"abc");
    r.client(ACK, 1007, 5001, b"ghi");
    r.server(ACK, 5001, 1010, b"");
    assert_eq!(r.take(), [data(TS, 0, b"abc"), mark(TS, 3, ChunkKind::Gap(3)), data(TS, 6, b"ghi")]);
    r.server(ACK, 5001, 1015, b"");
    assert_eq!(r.take(), [], "nothing is behind it: the segment may only have been captured late");
    r.client(ACK, 1010, 5001, b"late!later");
    r.server(ACK, 5001, 1020, b"");
    let late: Vec<u8> = r.take().into_iter().flat_map(|p| p.2).collect();
    assert_eq!(late, b"late!later");
}

// What is odd here, and on which packet, is what Suricata 7.0.10 says of the same segments.

#[test]
fn a_gap_is_told_with_what_is_behind_it_and_once() {
    let mut r = Run::open(Config::default());
    r.client(ACK, 1001, 5001, b"abc");
    r.server(ACK, 5001, 1010, b"");
    r.client(ACK, 1010, 5001, b"jkl");
    assert_eq!(r.odd(), [""; 0]);
    r.server(ACK, 5001, 1013, b"");
    assert_eq!(r.odd(), ["stream.reassembly_seq_gap"]);
}

/// A FIN that came before the other side's first byte was once forgotten, and then counted as a missing byte.
#[test]
fn a_goodbye_before_the_first_byte_is_no_gap() {
    let mut r = Run::open(Config::default());
    r.server(ACK | FIN, 5001, 1001, b"");
    r.client(ACK, 1001, 5002, b"");
    r.client(ACK, 1001, 5002, b"QUIT");
    r.server(ACK, 5002, 1005, b"");
    assert_eq!(r.odd(), [""; 0]);
    assert_eq!(r.take(), [mark(TC, 0, ChunkKind::End), data(TS, 0, b"QUIT")]);
}

#[test]
fn a_segment_that_comes_twice_is_odd_only_where_the_session_closes() {
    let mut r = Run::open(Config::default());
    r.client(ACK, 1001, 5001, b"abc");
    r.client(ACK, 1001, 5001, b"abc");
    assert_eq!(r.odd(), [""; 0]);
    r.server(ACK | FIN, 5001, 1001, b"");
    r.client(ACK, 1001, 5002, b"abc");
    assert_eq!(r.odd(), ["stream.pkt_retransmission"]);
}

#[test]
fn a_number_acknowledged_without_the_flag_is_odd_on_any_segment() {
    let mut r = Run::new(Config::default());
    r.client(SYN, 1000, 77, b"");
    assert_eq!(r.odd(), ["stream.pkt_broken_ack"]);
    let mut r = Run::open(Config::default());
    r.client(RST, 1001, 77, b"");
    assert_eq!(r.odd(), ["stream.pkt_broken_ack"]);
}

#[test]
fn a_reset_with_data_is_odd() {
    let mut r = Run::open(Config::default());
    r.server(RST, 5001, 0, b"Access Denied");
    assert_eq!(r.odd(), ["stream.rst_with_data"]);
}

#[test]
fn a_reset_and_the_end_of_the_flow_hand_on_what_is_there() {
    for reset in [true, false] {
        let mut r = Run::open(Config::default());
        r.client(ACK, 1001, 5001, b"abc");
        r.client(ACK, 1007, 5001, b"ghi");
        let got = if reset {
            r.server(RST | ACK, 5001, 1004, b"");
            r.take()
        } else {
            r.finish()
        };
        let want = [
            data(TS, 0, b"abc"),
            mark(TS, 3, ChunkKind::Gap(3)),
            data(TS, 6, b"ghi"),
            mark(TS, 9, ChunkKind::End),
            mark(TC, 0, ChunkKind::End),
        ];
        assert_eq!(got, want);
        assert_eq!(r.finish(), []);
    }
}

#[test]
fn what_a_caller_gives_back_comes_again_with_more() {
    let mut r = Run::open(Config::default());
    r.client(ACK, 1001, 5001, b"abc");
    let frame = tcp(SERVER, CLIENT, ACK, 5001, 1004, b"");
    let raw = RawFrame { index: 9, time: Timestamp::from_parts(1, 0), linktype: 1, wire_len: 54, data: &frame };
    let Outcome::Flow(mut f) = r.table.packet(&Decoder::default().decode(raw), &mut r.taken) else {
        panic!("it has a flow")
    };
    assert_eq!(f.next_chunk().map(|c| c.data), Some(b"abc".as_slice()));
    f.flow.stream.as_mut().expect("a stream").give_back(TS, 2);
    assert_eq!(f.next_chunk(), None);
    f.release();
    r.client(ACK, 1004, 5001, b"de");
    r.server(ACK, 5001, 1006, b"");
    assert_eq!(r.take(), [data(TS, 1, b"bcde")]);
}

#[test]
fn beyond_the_depth_nothing_is_handed_on() {
    let mut cfg = Config::default();
    cfg.stream.depth = 5;
    let mut r = Run::open(cfg);
    r.client(ACK, 1001, 5001, b"abc");
    r.client(ACK, 1004, 5001, b"defg");
    r.server(ACK, 5001, 1008, b"");
    assert_eq!(r.take(), [data(TS, 0, b"abcde"), mark(TS, 5, ChunkKind::Depth)]);
    r.client(ACK, 1008, 5001, b"hij");
    r.server(ACK, 5001, 1011, b"");
    assert_eq!(r.finish(), [mark(TC, 0, ChunkKind::End)]);
}

#[test]
fn what_is_over_the_memory_cap_is_not_stored_and_counted() {
    let mut cfg = Config::default();
    cfg.stream.reassembly_memcap = 4096;
    let mut r = Run::open(cfg);
    for i in 0..20 {
        r.client(ACK, 1001 + 1000 * i, 5001, &[b'x'; 1000]);
    }
    let m = r.table.stream_memory().counters();
    assert!(m.segment_memcap_drop >= 16 && m.reassembly_peak <= 4096, "{m:?}");
    r.server(ACK, 5001, 21_001, b"");
    r.client(ACK, 21_001, 5001, b"y");
    r.server(ACK, 5001, 21_002, b"");
    let got = r.take();
    assert!(matches!(got[0].3, ChunkKind::Data) && got[0].2.len().is_multiple_of(1000) && got[0].2.len() <= 4000);
    let kept = got[0].2.len() as u64;
    assert_eq!(got[1..], [mark(TS, kept, ChunkKind::Gap(20_000 - kept)), data(TS, 20_000, b"y")]);
}

/// What a receiver does: the earlier segment's byte stays (RFC 9293 leaves it open; this model takes the first), what it
/// has in order it acknowledges.
struct Receiver {
    bytes: Vec<Option<u8>>,
}

impl Receiver {
    fn take(&mut self, at: usize, data: &[u8]) {
        if self.bytes.len() < at + data.len() {
            self.bytes.resize(at + data.len(), None);
        }
        for (slot, b) in self.bytes[at..].iter_mut().zip(data) {
            slot.get_or_insert(*b);
        }
    }
    fn in_order(&self) -> usize {
        self.bytes.iter().take_while(|b| b.is_some()).count()
    }
}

/// The bytes of a direction out of the pieces; every piece begins where the one before ended.
fn bytes_of(d: Direction, pieces: &[Piece]) -> Vec<u8> {
    let mut out = Vec::new();
    for (_, offset, bytes, kind) in pieces.iter().filter(|p| p.0 == d) {
        assert_eq!(*offset, out.len() as u64, "pieces follow each other");
        assert!(!matches!(kind, ChunkKind::Gap(_)), "nothing is missing: {kind:?} at {offset}");
        out.extend_from_slice(bytes);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any order, overlap and repetition of a stream's segments that the receiver takes, acknowledged now and then, from
    /// any initial number (wrapping included), gives the receiver's bytes; and so does every policy, since segments of one
    /// sender agree.
    #[test]
    fn any_delivery_of_a_stream_gives_the_receivers_bytes(
        stream in proptest::collection::vec(any::<u8>(), 1..400),
        cuts in proptest::collection::vec((0usize..400, 1usize..120), 1..30),
        acks in proptest::collection::vec(any::<bool>(), 64),
        isn: u32,
        near_wrap: bool,
        policy in 0usize..13,
    ) {
        let isn = if near_wrap { u32::MAX - (isn % 300) } else { isn };
        let policies = ["bsd", "windows", "linux", "old-linux", "solaris", "hpux10", "hpux11", "irix", "macos", "vista",
            "windows2k3", "first", "last"];
        let mut cfg = Config::default();
        let all = "0.0.0.0/0".parse().expect("literal");
        cfg.stream.hosts.add(all, lagewarte_flow::Policy::parse(policies[policy]).expect("a policy"));
        let mut r = Run::new(cfg);
        r.client(SYN, isn, 0, b"");
        r.server(SYN | ACK, 5000, isn.wrapping_add(1), b"");
        r.client(ACK, isn.wrapping_add(1), 5001, b"");
        let mut model = Receiver { bytes: Vec::new() };
        // The segments given, then what is still missing, in small pieces.
        let given = cuts.iter().map(|(at, n)| (at % stream.len(), *n));
        let rest = (0..stream.len()).step_by(50).map(|at| (at, 50));
        for (i, (at, n)) in given.chain(rest).enumerate() {
            let data = &stream[at..(at + n).min(stream.len())];
            r.client(ACK, isn.wrapping_add(1 + at as u32), 5001, data);
            model.take(at, data);
            if acks[i % acks.len()] {
                let ack = isn.wrapping_add(1 + model.in_order() as u32);
                r.server(ACK, 5001, ack, b"");
                prop_assert_eq!(bytes_of(TS, &r.taken.0).len(), model.in_order());
            }
        }
        let end = isn.wrapping_add(1 + stream.len() as u32);
        r.client(ACK | FIN, end, 5001, b"");
        r.server(ACK | FIN, 5001, end.wrapping_add(1), b"");
        prop_assert_eq!(bytes_of(TS, &r.taken.0), stream);
        prop_assert_eq!(r.taken.0.last().map(|p| p.3), Some(ChunkKind::End));
        r.finish();
        prop_assert_eq!(r.table.stream_memory().counters().reassembly_memuse, 0);
    }

    /// Where segments do not agree, nothing that was handed on changes, nothing comes twice, and each byte is one that
    /// some segment had in that place.
    #[test]
    fn a_byte_handed_on_was_sent_in_its_place(
        segments in proptest::collection::vec((0usize..60, proptest::collection::vec(any::<u8>(), 1..20), any::<bool>()), 1..40),
        policy in 0usize..13,
    ) {
        let policies = ["bsd", "windows", "linux", "old-linux", "solaris", "hpux10", "hpux11", "irix", "macos", "vista",
            "windows2k3", "first", "last"];
        let mut cfg = Config::default();
        let all = "0.0.0.0/0".parse().expect("literal");
        cfg.stream.hosts.add(all, lagewarte_flow::Policy::parse(policies[policy]).expect("a policy"));
        let mut r = Run::open(cfg);
        let mut model = Receiver { bytes: Vec::new() };
        for (at, data, ack) in &segments {
            r.client(ACK, 1001 + *at as u32, 5001, data);
            model.take(*at, data);
            if *ack {
                r.server(ACK, 5001, 1001 + model.in_order() as u32, b"");
            }
        }
        r.server(ACK, 5001, 1001 + model.in_order() as u32, b"");
        let got = bytes_of(TS, &r.taken.0);
        prop_assert_eq!(got.len(), model.in_order());
        for (i, b) in got.iter().enumerate() {
            let sent = segments.iter().any(|(at, data, _)| i.checked_sub(*at).and_then(|k| data.get(k)) == Some(b));
            prop_assert!(sent, "byte {} is {}", i, b);
        }
    }

    /// No run of segments panics, breaks a cap, or leaves memory behind.
    #[test]
    fn no_run_of_segments_breaks_the_caps(
        run in proptest::collection::vec(
            (any::<bool>(), any::<u8>(), 0u32..3000, 0u32..3000, 0usize..600, any::<u16>()), 0..120),
        midstream: bool,
        raw: bool,
    ) {
        let mut cfg = Config::default();
        cfg.pickup.midstream = midstream;
        cfg.stream.reassembly_memcap = 16 << 10;
        cfg.stream.depth = 2000;
        cfg.stream.raw = raw;
        let mut r = Run::new(cfg);
        for (client, flags, seq, ack, len, urgent) in run {
            let (a, b) = if client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
            // SYN and RST are rarer than chance would have it, so that sessions live.
            let flags = if seq % 7 == 0 { flags } else { flags & !(SYN | RST) | ACK };
            let mut frame = tcp(a, b, flags, seq, ack, &vec![7; len]);
            frame[52..54].copy_from_slice(&(urgent % 700).to_be_bytes());
            frame[50..52].fill(0);
            r.unchecked(&frame);
            prop_assert!(r.table.stream_memory().counters().reassembly_peak <= 16 << 10);
        }
        r.finish();
        let c = r.table.stream_memory().counters();
        prop_assert_eq!((c.reassembly_memuse, c.active_sessions), (0, 0));
    }
}

#[test]
fn who_wins_an_overlap_is_the_receivers_policy() {
    // First "abcd" at 4, then the later segment; both wait for the first four bytes.
    for (at, later, wins) in [
        (1004u32, b"ABCD".as_slice(), &["last", "old-linux", "solaris", "hpux11"][..]),
        (
            1003,
            b"xABCD",
            &[
                "last",
                "bsd",
                "windows",
                "linux",
                "old-linux",
                "solaris",
                "hpux10",
                "hpux11",
                "irix",
                "macos",
                "windows2k3",
            ],
        ),
        (1004, b"ABCDx", &["last", "linux", "old-linux", "solaris", "hpux11"]),
        (1005, b"BCDx", &["last", "solaris", "hpux11"]),
        (1005, b"BC", &["last"]),
        (1005, b"BCD", &["last"]),
    ] {
        for name in [
            "first",
            "last",
            "bsd",
            "windows",
            "linux",
            "old-linux",
            "solaris",
            "hpux10",
            "hpux11",
            "irix",
            "macos",
            "vista",
            "windows2k3",
        ] {
            let mut cfg = Config::default();
            let server = "198.51.100.9/32".parse().expect("literal");
            cfg.stream.hosts.add(server, lagewarte_flow::Policy::parse(name).expect("a policy"));
            let mut r = Run::open(cfg);
            r.client(ACK, 1005, 5001, b"abcd");
            r.client(ACK, at + 1, 5001, later);
            assert_eq!(r.table.stream_memory().counters().overlap_diff_data, 1, "{name} {at}");
            r.client(ACK, 1001, 5001, b"0123");
            r.server(ACK, 5001, 1009, b"");
            let got = bytes_of(TS, &r.take());
            let overlapped: String = got[4..].iter().map(|b| char::from(*b)).collect();
            let new_wins = overlapped.bytes().any(|b| b.is_ascii_uppercase());
            assert_eq!(new_wins, wins.contains(&name), "{name}: {overlapped} after {:?} at {at}", later);
        }
    }
}

#[test]
fn urgent_bytes_are_out_of_band_by_default() {
    let urg = |policy: &str, second: bool| {
        let mut cfg = Config::default();
        cfg.stream.urgent = lagewarte_flow::Urgent::parse(policy).expect("a policy");
        let mut r = Run::open(cfg);
        let mut frame = tcp(CLIENT, SERVER, ACK | 32, 1001, 5001, b"abXcd");
        frame[52..54].copy_from_slice(&3u16.to_be_bytes());
        if second {
            r.client(ACK, 1006, 5001, b"ef"); // before the urgent one
        }
        r.unchecked(&frame);
        if !second {
            r.client(ACK, 1006, 5001, b"ef");
        }
        r.server(ACK, 5001, 1008, b"");
        r.take()
    };
    for second in [false, true] {
        assert_eq!(urg("oob", second), [data(TS, 0, b"abcdef")], "{second}");
        assert_eq!(urg("inline", second), [data(TS, 0, b"abXcdef")]);
        assert_eq!(urg("gap", second), [data(TS, 0, b"ab"), mark(TS, 2, ChunkKind::Gap(1)), data(TS, 3, b"cdef")]);
        assert_eq!(urg("drop", second), [mark(TS, 0, ChunkKind::Gap(5)), data(TS, 5, b"ef")]);
    }
}

#[test]
fn a_flood_of_half_open_connections_stays_below_the_cap_of_sessions() {
    let mut cfg = Config::default();
    cfg.stream.memcap = 1 << 20;
    cfg.stream.memcap_policy = lagewarte_flow::Exception::Packet;
    let mut r = Run::new(cfg);
    for port in 1..=20_000u16 {
        r.packet(&tcp((CLIENT.0, port), SERVER, SYN, 7, 0, b""));
        let c = r.table.stream_memory().counters();
        assert!(c.memuse <= 1 << 20, "{} bytes of {} sessions", c.memuse, c.active_sessions);
    }
    let c = r.table.stream_memory().counters();
    assert!(c.sessions > 100 && c.sessions + c.ssn_memcap_drop == 20_000, "{c:?}");
    r.finish();
    assert_eq!(r.table.stream_memory().counters().active_sessions, 0);
}

#[test]
fn endless_segments_ahead_of_a_hole_stay_below_the_cap_of_buffers() {
    let mut cfg = Config::default();
    cfg.stream.reassembly_memcap = 1 << 20;
    cfg.stream.depth = 0;
    let mut r = Run::open(cfg);
    // The window is 64240: over and over through it, a byte here and there.
    for i in 0..40_000u32 {
        r.client(ACK, 1001 + 1 + (i * 7919) % 64_000, 5001, b"x");
        if i % 1000 == 0 {
            let c = r.table.stream_memory().counters();
            assert!(c.reassembly_peak <= 1 << 20, "{c:?}");
        }
    }
    let c = r.table.stream_memory().counters();
    assert!(c.reassembly_peak <= 1 << 20 && c.segment_memcap_drop > 0, "{c:?}");
    r.finish();
    assert_eq!(r.table.stream_memory().counters().reassembly_memuse, 0);
}

#[test]
fn regions_far_apart_are_limited() {
    let mut cfg = Config::default();
    cfg.pickup.midstream = true;
    cfg.stream.max_regions = 4;
    cfg.stream.depth = 0;
    let mut r = Run::new(cfg);
    r.client(ACK, 1001, 5001, b"a");
    for i in 1..=10u32 {
        r.client(ACK, 1001 + i * (1 << 19), 5001, b"far");
    }
    let got = r.finish();
    let parts = got.iter().filter(|p| p.0 == TS && p.3 == ChunkKind::Data).count();
    assert_eq!(parts, 4, "{got:?}");
}
