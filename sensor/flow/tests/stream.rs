// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the streams of a flow hand on: the bytes that a receiver would have, in order, with their gaps.

use std::{net::IpAddr, sync::Arc};

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Decoder, RawFrame};
use lagewarte_event::eve::Record;
use lagewarte_flow::{ChunkKind, Config, Direction, Ended, Flow, FlowTable, Outcome, Reason};
use lagewarte_testkit::tcp;

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
}

impl Run {
    fn new(cfg: Config) -> Self {
        Self { table: FlowTable::new(Arc::new(cfg), 1), n: 0, taken: Taken::default() }
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
        self.n += 1;
        let raw = RawFrame {
            index: self.n,
            time: Timestamp::from_parts(1, 0),
            linktype: 1,
            wire_len: frame.len() as u32,
            data: frame,
        };
        let p = Decoder::default().decode(raw);
        let mut seen = Vec::new();
        if let Outcome::Flow(mut f) = self.table.packet(&p, &mut self.taken) {
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
    assert_eq!(r.take(), [mark(TS, 9, ChunkKind::Gap(5))]);
    r.client(ACK, 1010, 5001, b"late!later");
    r.server(ACK, 5001, 1020, b"");
    assert_eq!(r.take(), [data(TS, 14, b"later")]);
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
    let got = r.take();
    assert!(matches!(got[0].3, ChunkKind::Data) && got[0].2.len().is_multiple_of(1000) && got[0].2.len() <= 4000);
    assert_eq!(got[1..], [mark(TS, got[0].2.len() as u64, ChunkKind::Gap(20_000 - got[0].2.len() as u64))]);
}
