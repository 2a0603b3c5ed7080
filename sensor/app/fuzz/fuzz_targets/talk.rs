// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A conversation for any protocol: each piece is a byte (direction, gap, length; for datagrams two bytes of
//! length more) and that many bytes. Nothing panics,
//! every step ends, what is kept stays within its cap, every transaction can be written as JSON and asked for everything.
use lagewarte_app::{Buffer, Config, Cx, Field, Input, Memory, Protocol, Step};
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::Direction;

/// Runs one input.
pub(crate) fn run<P: Protocol + Default>(input: &[u8], port: u16, datagram: bool) {
    let config = Config::default();
    let mut memory = Memory { cap: 1 << 20, ..Memory::default() };
    let mut state = P::default();
    let mut held: [Vec<u8>; 2] = Default::default();
    let mut rest = input;
    'talk: while let Some((control, tail)) = rest.split_first() {
        // A datagram is longer than six bits can say: two bytes of length follow.
        let (n, tail) = match tail {
            [high, low, tail @ ..] if datagram => (usize::from(u16::from_be_bytes([*high, *low])), tail),
            _ => (usize::from(control >> 2), tail),
        };
        let n = n.min(tail.len());
        let (piece, tail) = tail.split_at(n);
        rest = tail;
        let direction = if control & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        let mut cx = Cx::alone(&config, &mut memory, (50_000, port));
        if control & 2 != 0 && !datagram {
            held[direction.index()].clear();
            if state.gap(direction, n as u64, &mut cx) == Step::Error {
                break;
            }
            continue;
        }
        let mut data = if datagram { Vec::new() } else { std::mem::take(&mut held[direction.index()]) };
        data.extend_from_slice(piece);
        let eof = rest.is_empty() && !datagram;
        while !data.is_empty() {
            let mut cx = Cx::alone(&config, &mut memory, (50_000, port));
            match state.data(Input { direction, data: &data, eof, datagram }, &mut cx) {
                Step::Ok(n) => {
                    assert!(n > 0 && n <= data.len(), "each step does something");
                    data.drain(..n);
                }
                Step::More { consumed, needed } => {
                    assert!(needed > data.len() - consumed, "it waits for more than there is");
                    held[direction.index()] = data.split_off(consumed);
                    break;
                }
                Step::Error => break 'talk,
            }
        }
    }
    state.finish();
    assert!(memory.used <= memory.cap);
    let mut w = JsonWriter::new();
    for tx in state.txs().iter() {
        w.clear();
        w.open();
        state.log(tx, &config, &mut w);
        w.close();
        serde_json::from_str::<serde_json::Value>(w.as_str()).expect("valid JSON");
        for d in [Direction::ToServer, Direction::ToClient] {
            for b in Buffer::ALL {
                let _ = (state.buffer(tx, *b, d, 0), state.buffer(tx, *b, d, 1));
            }
            for f in Field::ALL {
                let _ = (state.number(tx, *f, d, 0), state.number(tx, *f, d, 1));
            }
        }
    }
}
