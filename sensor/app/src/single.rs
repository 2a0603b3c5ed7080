// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What protocols have in common of which every message is a transaction of its own direction: SIP, NTP, TFTP and others.
//!
//! A protocol of this kind says how a message is read, what is asked of it and how it is written ([`Kind`]); everything
//! else is here. Must never wait for more than a kind asks for, and never keep a message that memory was not granted for.
//! Limit: [`MAX_TXS`].

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Step, Transaction, own_txs},
    tx::{DONE, Events, TxCore, Txs},
};

/// Most messages of a flow that wait for detection. Threat: a flood of messages one way.
pub const MAX_TXS: usize = 512;

/// What the bytes are.
#[derive(Debug)]
pub enum Read<M> {
    /// A message, and what is odd about it.
    Message(M, usize, Events),
    /// So many bytes that are none.
    Skip(usize),
    /// So many bytes are wanted; more than there are.
    More(usize),
    /// Not this protocol; what is odd, where that is an event of a message that is none.
    Error(Option<(M, u8)>),
}

/// A protocol of this kind. Its value is what a flow holds beside its transactions.
pub trait Kind: std::fmt::Debug + Default {
    /// A message.
    type Message: std::fmt::Debug;
    /// Which protocol.
    const PROTO: AppProto;
    /// Names of its events, by number.
    const EVENTS: &'static [&'static str];
    /// Its event type and the member that it writes.
    const NAME: &'static str;
    /// Whether the object has the transaction's number, from 1, too.
    const NUMBERED: bool = false;

    /// Reads the message at the beginning of the bytes; of a datagram the whole one.
    fn read(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Read<Self::Message>;
    /// Bytes are missing: true where it is known how to go on.
    fn gap(&mut self, _d: Direction, _len: u64) -> bool {
        false
    }
    /// Bytes that a message holds.
    fn held(message: &Self::Message) -> usize;
    /// The `index`-th instance of a buffer.
    fn buffer(message: &Self::Message, buffer: Buffer, d: Direction, index: usize) -> Option<&[u8]>;
    /// The `index`-th instance of a number.
    fn number(message: &Self::Message, field: Field, index: usize) -> Option<u64>;
    /// Whether an event is written of it, and whether its ends are those of its direction (else the client's first).
    fn written(_message: &Self::Message, _config: &Config) -> (bool, bool) {
        (true, true)
    }
    /// Writes the members of the protocol's object.
    fn log(message: &Self::Message, config: &Config, w: &mut JsonWriter);
}

/// A message as a transaction.
#[derive(Debug)]
pub struct Tx<M> {
    core: TxCore,
    /// What it says.
    pub message: M,
    /// Which way it went.
    pub direction: Direction,
}

impl<M> Transaction for Tx<M> {
    fn core(&self) -> &TxCore {
        &self.core
    }
    fn core_mut(&mut self) -> &mut TxCore {
        &mut self.core
    }
}

/// A flow's state.
#[derive(Debug)]
pub struct Single<K: Kind> {
    kind: K,
    txs: Txs<Tx<K::Message>>,
}

impl<K: Kind> Default for Single<K> {
    fn default() -> Self {
        Self { kind: K::default(), txs: Txs::new(MAX_TXS) }
    }
}

impl<K: Kind> Single<K> {
    // The number of its transaction; None where there is none.
    fn keep(&mut self, message: K::Message, events: Events, direction: Direction, cx: &mut Cx<'_>) -> Option<u64> {
        let mut core = TxCore::default();
        if !cx.charge(&mut core.charged, size_of::<Tx<K::Message>>() + K::held(&message)) {
            return None; // counted by the memory cap; the flow goes on
        }
        events.iter().for_each(|e| core.raise(e));
        core.only = Some(direction);
        core.finish();
        Some(self.txs.push(Tx { core, message, direction }).core.id)
    }
}

impl<K: Kind> Protocol for Single<K> {
    type Tx = Tx<K::Message>;
    const EVENTS: &'static [&'static str] = K::EVENTS;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let mut at = 0;
        while let Some(data) = input.data.get(at..).filter(|r| !r.is_empty()) {
            match self.kind.read(Input { data, ..input }, cx) {
                Read::Message(message, n, events) => {
                    let tx = self.keep(message, events, input.direction, cx);
                    cx.frames_of(tx);
                    at += n.max(1); // a message of no bytes would be one without end
                    if cx.change.is_some() {
                        return Step::Ok(at.min(input.data.len()));
                    }
                }
                Read::Skip(n) => at += n.max(1),
                // A datagram is whole, and what ends here was cut off.
                Read::More(_) if input.datagram || input.eof => break,
                Read::More(needed) => return Step::More { consumed: at, needed: needed.max(data.len() + 1) },
                Read::Error(odd) => {
                    if let Some((message, event)) = odd {
                        let mut events = Events::default();
                        events.set(event);
                        self.keep(message, events, input.direction, cx);
                    }
                    // What one datagram is, says nothing of the next.
                    return if input.datagram { Step::Ok(input.data.len()) } else { Step::Error };
                }
            }
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, direction: Direction, len: u64, _: &mut Cx<'_>) -> Step {
        if self.kind.gap(direction, len) { Step::Ok(0) } else { Step::Error }
    }
    fn proto(&self) -> AppProto {
        K::PROTO
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Self::Tx, buffer: Buffer, d: Direction, index: usize) -> Option<&'a [u8]> {
        (d == tx.direction).then(|| K::buffer(&tx.message, buffer, d, index)).flatten()
    }
    fn number(&self, tx: &Self::Tx, field: Field, d: Direction, index: usize) -> Option<u64> {
        (d == tx.direction).then(|| K::number(&tx.message, field, index)).flatten()
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Self::Tx, config: &Config) -> Option<(&'static str, Option<Direction>)> {
        let (written, own_way) = K::written(&tx.message, config);
        written.then_some((K::NAME, own_way.then_some(tx.direction)))
    }
    fn log(&self, tx: &Self::Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        self.metadata(tx, config, w);
    }
    fn metadata(&self, tx: &Self::Tx, config: &Config, w: &mut JsonWriter) {
        w.key(K::NAME).open();
        if K::NUMBERED {
            w.key("tx_id").u64(tx.core.id + 1);
        }
        K::log(&tx.message, config, w);
        w.close();
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A conversation of such a protocol for its tests.
    use super::*;
    use crate::protocol::Memory;

    /// What is said, in pieces, and what came of it.
    #[derive(Debug)]
    pub(crate) struct Talk<P: Protocol + Default> {
        pub(crate) state: P,
        pub(crate) config: Config,
        pub(crate) memory: Memory,
        held: [Vec<u8>; 2],
        pub(crate) stopped: bool,
    }

    impl<P: Protocol + Default> Talk<P> {
        pub(crate) fn new() -> Self {
            let memory = Memory { cap: 1 << 20, ..Memory::default() };
            let state = P::default();
            Self { state, config: Config::default(), memory, held: Default::default(), stopped: false }
        }
        pub(crate) fn say(&mut self, direction: Direction, bytes: &[u8], datagram: bool) {
            self.hear(direction, bytes, datagram, false);
        }
        pub(crate) fn end(&mut self) {
            for d in [Direction::ToServer, Direction::ToClient] {
                self.hear(d, b"", false, true);
            }
            self.state.finish();
        }
        fn hear(&mut self, direction: Direction, bytes: &[u8], datagram: bool, eof: bool) {
            if self.stopped {
                return;
            }
            let mut data = std::mem::take(&mut self.held[direction.index()]);
            data.extend_from_slice(bytes);
            // As the frame does: again with the rest, as long as something is consumed.
            while !data.is_empty() || eof {
                let mut cx = Cx::marking(&self.config, &mut self.memory, (50_000, 5_000));
                match self.state.data(Input { direction, data: &data, eof, datagram }, &mut cx) {
                    Step::Ok(n) => {
                        assert!(n > 0 || data.is_empty(), "nothing was done");
                        data.drain(..n);
                    }
                    Step::More { consumed, needed } => {
                        assert!(needed > data.len() - consumed, "it waits for what is there");
                        data.drain(..consumed);
                        break;
                    }
                    Step::Error => self.stopped = true,
                }
                if self.stopped || data.is_empty() {
                    break;
                }
            }
            if !datagram && !eof {
                self.held[direction.index()] = data;
            }
        }
        /// Every transaction as EVE would write it.
        pub(crate) fn json(&self) -> Vec<String> {
            let write = |tx: &P::Tx| {
                let mut w = JsonWriter::new();
                w.open();
                self.state.metadata(tx, &self.config, &mut w);
                w.close();
                w.finish()
            };
            self.state.txs().iter().map(write).collect()
        }
        pub(crate) fn events(&self) -> Vec<&'static str> {
            let all = self.state.txs().iter().flat_map(|t| t.core().events.iter());
            all.filter_map(|e| P::EVENTS.get(usize::from(e)).copied()).collect()
        }
        /// A buffer of a transaction.
        pub(crate) fn buffer(&self, place: usize, b: Buffer, d: Direction, i: usize) -> Option<String> {
            let tx = self.state.txs().at(place)?;
            self.state.buffer(tx, b, d, i).map(|v| String::from_utf8_lossy(v).into_owned())
        }
        /// A number of a transaction.
        pub(crate) fn number(&self, place: usize, f: Field, d: Direction, i: usize) -> Option<u64> {
            self.state.number(self.state.txs().at(place)?, f, d, i)
        }
    }

    /// Whatever the bytes: no panic, every step ends, what is written is JSON, and what was charged is given back.
    pub(crate) fn hostile<P: Protocol + Default>(pieces: &[(bool, Vec<u8>)], cut: usize, datagram: bool) {
        let mut t = Talk::<P>::new();
        for (up, bytes) in pieces {
            let d = if *up { Direction::ToServer } else { Direction::ToClient };
            t.say(d, &bytes[..bytes.len().min(cut)], datagram);
        }
        t.end();
        for json in t.json() {
            serde_json::from_str::<serde_json::Value>(&json).unwrap_or_else(|e| panic!("{e}: {json}"));
        }
        for tx in t.state.txs().iter() {
            assert!(tx.core().finished());
            for d in [Direction::ToServer, Direction::ToClient] {
                for b in Buffer::ALL {
                    let _ = t.state.buffer(tx, *b, d, 0);
                }
                for f in Field::ALL {
                    let _ = t.state.number(tx, *f, d, 0);
                }
            }
        }
        assert_eq!(t.memory.used, t.state.txs().charged() + t.state.charged(), "charges fit");
    }
}
