// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A conversation for any protocol: each piece is a byte (direction, gap, length; for datagrams two bytes of
//! length more) and that many bytes. Nothing panics,
//! every step ends, what is kept stays within its cap and is what was charged, every transaction can be written as JSON and
//! asked for everything.
#![allow(dead_code, reason = "each target uses a part of it")]
use lagewarte_app::{Buffer, Config, Cx, Field, Input, Memory, Protocol, Step};
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::Direction;

/// A conversation on its way.
pub(crate) struct Talk<P> {
    state: P,
    config: Config,
    memory: Memory,
    held: [Vec<u8>; 2],
    port: u16,
    datagram: bool,
    over: bool,
}

impl<P: Protocol> Talk<P> {
    /// One that begins.
    pub(crate) fn of(state: P, port: u16, datagram: bool) -> Self {
        let memory = Memory { cap: 1 << 20, ..Memory::default() };
        Self { state, config: Config::default(), memory, held: Default::default(), port, datagram, over: false }
    }

    /// Bytes that come; `eof`: they are the last ones.
    pub(crate) fn say(&mut self, direction: Direction, piece: &[u8], eof: bool) {
        if self.over {
            return;
        }
        let held = &mut self.held[direction.index()];
        let mut data = if self.datagram { Vec::new() } else { std::mem::take(held) };
        data.extend_from_slice(piece);
        while !data.is_empty() {
            let mut cx = Cx::marking(&self.config, &mut self.memory, (50_000, self.port));
            let input = Input { direction, data: &data, eof, datagram: self.datagram };
            match self.state.data(input, &mut cx) {
                Step::Ok(n) => {
                    assert!(n > 0 && n <= data.len(), "each step does something");
                    data.drain(..n);
                }
                Step::More { consumed, needed } => {
                    assert!(needed > data.len() - consumed, "it waits for more than there is");
                    self.held[direction.index()] = data.split_off(consumed);
                    break;
                }
                Step::Error => {
                    self.over = true;
                    break;
                }
            }
        }
        assert!(self.memory.used <= self.memory.cap);
    }

    /// Bytes that do not come.
    pub(crate) fn lose(&mut self, direction: Direction, n: u64) {
        if self.over || self.datagram {
            return;
        }
        self.held[direction.index()].clear();
        let mut cx = Cx::marking(&self.config, &mut self.memory, (50_000, self.port));
        self.over = self.state.gap(direction, n, &mut cx) == Step::Error;
    }

    /// Nothing follows.
    pub(crate) fn end(mut self) {
        self.state.finish();
        let (state, config) = (&self.state, &self.config);
        assert_eq!(self.memory.used, state.txs().charged() + state.charged(), "what is charged is held");
        let mut w = JsonWriter::new();
        for tx in state.txs().iter() {
            let (event, _) = state.event_type(tx, config).unwrap_or_default();
            assert!(event.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            for write in [P::log, P::metadata] {
                w.clear();
                w.open();
                write(state, tx, config, &mut w);
                w.close();
                serde_json::from_str::<serde_json::Value>(w.as_str()).expect("valid JSON");
            }
            let _ = state.files(tx);
            for d in [Direction::ToServer, Direction::ToClient] {
                for b in Buffer::ALL {
                    let _ = (state.buffer(tx, *b, d, 0), state.buffer(tx, *b, d, 1), P::buffer_at(*b, d));
                }
                for f in Field::ALL {
                    let _ = (state.number(tx, *f, d, 0), state.number(tx, *f, d, 1), P::number_at(*f, d));
                }
            }
        }
    }
}

/// Runs one input.
pub(crate) fn run<P: Protocol + Default>(input: &[u8], port: u16, datagram: bool) {
    let mut talk = Talk::of(P::default(), port, datagram);
    let mut rest = input;
    while let Some((control, tail)) = rest.split_first() {
        // A datagram is longer than six bits can say: two bytes of length follow.
        let (n, tail) = match tail {
            [high, low, tail @ ..] if datagram => (usize::from(u16::from_be_bytes([*high, *low])), tail),
            _ => (usize::from(control >> 2), tail),
        };
        let n = n.min(tail.len());
        let (piece, tail) = tail.split_at(n);
        rest = tail;
        let direction = if control & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        if control & 2 != 0 && !datagram {
            talk.lose(direction, n as u64);
        } else {
            talk.say(direction, piece, rest.is_empty() && !datagram);
        }
    }
    talk.end();
}
