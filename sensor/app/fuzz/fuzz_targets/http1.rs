// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A conversation in HTTP/1: each piece is a byte (direction, length, end, gap) and that many bytes. Nothing panics, every
//! step ends, every transaction can be written as JSON and asked for every buffer.
#![no_main]
use lagewarte_app::{Buffer, Config, Cx, Input, Memory, Protocol, Step, http1::Http1};
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::Direction;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let config = Config::default();
    let mut memory = Memory { cap: 1 << 20, ..Memory::default() };
    let mut http = Http1::default();
    let mut held: [Vec<u8>; 2] = Default::default();
    let mut rest = input;
    while let Some((control, tail)) = rest.split_first() {
        let n = usize::from(control >> 2).min(tail.len());
        let (piece, tail) = tail.split_at(n);
        rest = tail;
        let direction = if control & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        let mut cx = Cx::alone(&config, &mut memory, (50_000, 80));
        if control & 2 != 0 {
            held[direction.index()].clear();
            http.gap(direction, n as u64, &mut cx);
            continue;
        }
        let mut data = std::mem::take(&mut held[direction.index()]);
        data.extend_from_slice(piece);
        match http.data(Input { direction, data: &data, eof: rest.is_empty(), datagram: false }, &mut cx) {
            Step::Ok(n) => assert!(n <= data.len()),
            Step::More { consumed, needed } => {
                assert!(needed > data.len() - consumed);
                held[direction.index()] = data.split_off(consumed);
            }
            Step::Error => break,
        }
    }
    http.finish();
    let mut w = JsonWriter::new();
    for tx in http.txs().iter() {
        w.clear();
        w.open();
        http.log(tx, &config, &mut w);
        w.close();
        serde_json::from_str::<serde_json::Value>(w.as_str()).expect("valid JSON");
        for b in Buffer::ALL {
            for d in [Direction::ToServer, Direction::ToClient] {
                let _ = http.buffer(tx, *b, d, 0);
            }
        }
    }
});
