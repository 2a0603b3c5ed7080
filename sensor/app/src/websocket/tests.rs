// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Frames, fragments, masks, compression, and what is cut.

use flate2::{Compress, Compression, FlushCompress};
use lagewarte_base::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::protocol::Memory;

use Direction::{ToClient, ToServer};

fn frame(first: u8, mask: Option<u32>, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let bit = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        n @ 0..=125 => out.push(bit | n as u8),
        n => {
            out.push(bit | 126);
            out.extend((n as u16).to_be_bytes());
        }
    }
    out.extend(mask.map(u32::to_be_bytes).iter().flatten());
    let mut body = payload.to_vec();
    parser::unmask(&mut body, mask);
    out.extend(body);
    out
}

struct Talk {
    ws: Websocket,
    config: Config,
    memory: Memory,
    held: [Vec<u8>; 2],
}

impl Talk {
    fn new() -> Self {
        let memory = Memory { cap: 1 << 20, ..Memory::default() };
        Self { ws: Websocket::default(), config: Config::default(), memory, held: Default::default() }
    }
    fn cx<'a>(config: &'a Config, memory: &'a mut Memory) -> Cx<'a> {
        Cx {
            time: Timestamp::default(),
            ports: (1, 80),
            config,
            memory,
            change: None,
            encrypted: false,
            frames: Default::default(),
        }
    }
    fn say(&mut self, d: Direction, bytes: &[u8]) {
        let mut data = std::mem::take(&mut self.held[d.index()]);
        data.extend_from_slice(bytes);
        let mut cx = Self::cx(&self.config, &mut self.memory);
        match self.ws.data(Input { direction: d, data: &data, eof: false, datagram: false }, &mut cx) {
            Step::Ok(n) => assert_eq!(n, data.len()),
            Step::More { consumed, needed } => {
                assert!(needed > data.len() - consumed);
                self.held[d.index()] = data[consumed..].to_vec();
            }
            Step::Error => panic!("a frame is never refused"),
        }
    }
    fn payloads(&self) -> Vec<(u8, Vec<u8>)> {
        self.ws.txs.iter().map(|t| (t.head.opcode, t.payload.clone())).collect()
    }
    fn events(&self) -> Vec<&'static str> {
        let all = self.ws.txs.iter().flat_map(|t| t.core.events.iter());
        all.filter_map(|e| events::NAMES.get(usize::from(e)).copied()).collect()
    }
}

#[test]
fn frames_are_unmasked_however_they_come() {
    for size in [1, 2, 5, 1000] {
        let mut t = Talk::new();
        let wire = [frame(0x81, Some(0x0102_0304), b"hello"), frame(0x8a, None, b""), frame(0x82, None, &[7; 300])];
        wire.concat().chunks(size).for_each(|p| t.say(ToServer, p));
        assert_eq!(t.payloads(), [(1, b"hello".to_vec()), (10, vec![]), (2, vec![7; 300])]);
        let tx = t.ws.txs.at(0).unwrap();
        assert_eq!(detect::number(tx, Field::WebsocketMask, ToServer, 0), Some(0x0102_0304));
        assert_eq!(detect::number(tx, Field::WebsocketFlags, ToServer, 0), Some(0x80));
        assert_eq!(detect::number(tx, Field::WebsocketOpcode, ToClient, 0), None, "it went the other way");
        assert_eq!(t.memory.used, t.ws.txs().charged() + t.ws.charged());
    }
}

#[test]
fn the_last_fragment_carries_the_message() {
    let mut t = Talk::new();
    let wire = [
        frame(0x01, None, b"one "),
        frame(0x89, None, b"ping"),
        frame(0x00, None, b"two "),
        frame(0x80, None, b"three"),
    ];
    t.say(ToClient, &wire.concat());
    assert_eq!(
        t.payloads(),
        [(1, b"one ".to_vec()), (9, b"ping".to_vec()), (0, b"two ".to_vec()), (1, b"one two three".to_vec())]
    );
    assert_eq!(t.ws.charged(), 0, "what was kept for the message is given back");
}

#[test]
fn compressed_messages_share_a_window() {
    let mut c = Compress::new(Compression::best(), false);
    let mut deflate = |text: &[u8]| {
        let mut out = Vec::with_capacity(1000);
        c.compress_vec(text, &mut out, FlushCompress::Sync).unwrap();
        out.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec()
    };
    let (one, two) = (deflate(b"a message that is said twice"), deflate(b"a message that is said twice"));
    assert!(two.len() < 12, "it refers to the first");
    let mut t = Talk::new();
    t.say(ToServer, &frame(0xc1, Some(9), &one));
    t.say(ToServer, &frame(0x41, Some(8), &two[..3]));
    t.say(ToServer, &frame(0x80, Some(8), &two[3..]));
    let said = t.payloads();
    assert_eq!(said[0].1, b"a message that is said twice");
    assert_eq!(said[2], said[0]);
}

/// Threat: a message that inflates to a thousand times its size.
#[test]
fn a_bomb_is_cut_and_its_direction_is_no_longer_inflated() {
    let mut c = Compress::new(Compression::best(), false);
    let mut out = Vec::with_capacity(1 << 20);
    c.compress_vec(&vec![b'a'; 10 << 20], &mut out, FlushCompress::Sync).unwrap();
    let mut t = Talk::new();
    for piece in out.chunks(60_000) {
        t.say(ToServer, &frame(0xc1, None, piece));
    }
    let said = t.payloads();
    assert_eq!(said[0].1.len(), t.config.websocket.max_payload);
    assert!(t.events().contains(&"reassembly_limit_reached"));
    t.say(ToServer, &frame(0xc1, None, b"as it came"));
    assert_eq!(t.payloads().last().unwrap().1, b"as it came");
}

/// Threat: a frame of 2^63 bytes; fragments without end.
#[test]
fn payloads_without_end_are_bounded() {
    let mut t = Talk::new();
    t.say(ToServer, &[0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    for _ in 0..100 {
        t.say(ToServer, &[0; 4096]);
    }
    assert!(t.ws.charged() <= t.config.websocket.max_payload as u64);
    for _ in 0..5000 {
        t.say(ToClient, &frame(0x02, None, &[1; 100]));
        t.say(ToClient, &frame(0x00, None, &[1; 100]));
    }
    assert!(t.ws.txs.len() <= 2 * MAX_TXS);
    assert!(t.memory.used <= t.memory.cap);
    // Regression: each fragment of one message was charged until its end, kept or not.
    let mut t = Talk::new();
    t.say(ToServer, &frame(0x01, None, &[1; 100]));
    for _ in 0..500 {
        t.say(ToServer, &frame(0x00, None, &[1; 1000]));
        assert!(t.ws.charged() <= t.config.websocket.max_payload as u64);
    }
}

#[test]
fn a_gap_inside_a_payload_is_noted_and_elsewhere_ends_the_flow() {
    let mut t = Talk::new();
    let wire = frame(0x81, None, b"0123456789");
    t.say(ToClient, &wire[..5]);
    let mut cx = Talk::cx(&t.config, &mut t.memory);
    assert_eq!(t.ws.gap(ToClient, 4, &mut cx), Step::Ok(0));
    t.say(ToClient, &wire[9..]);
    assert_eq!((t.payloads()[0].1.as_slice(), t.events().as_slice()), (&b"012789"[..], &["skip_end_of_payload"][..]));
    let mut cx = Talk::cx(&t.config, &mut t.memory);
    assert_eq!(t.ws.gap(ToClient, 4, &mut cx), Step::Error);
}

proptest! {
    #[test]
    fn every_truncation_of_a_head_waits(first: u8, mask: Option<u32>, payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let wire = frame(first, mask, &payload);
        let (head, n) = parser::head(&wire).unwrap();
        prop_assert_eq!(head.len, payload.len() as u64);
        for cut in 0..n {
            prop_assert_eq!(parser::head(&wire[..cut]), None);
        }
    }
    #[test]
    fn any_bytes(parts in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 0..12)) {
        let mut t = Talk::new();
        for (up, bytes) in &parts {
            t.say(if *up { ToServer } else { ToClient }, bytes);
        }
        let mut w = JsonWriter::new();
        for tx in t.ws.txs.iter() {
            w.clear();
            w.open();
            t.ws.log(tx, &t.config, &mut w);
            w.close();
            prop_assert!(serde_json::from_str::<serde_json::Value>(w.as_str()).is_ok());
        }
    }
}
