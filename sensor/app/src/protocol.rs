// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What every protocol's folder offers the frame: bytes in, transactions out, buffers by name, EVE out.
//!
//! Must never read more than it is given, never keep bytes that [`Cx::charge`] did not grant, and never decide by time.

use lagewarte_base::time::Timestamp;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    codec::Bombs,
    config::Config,
    expect::Announced,
    file::Files,
    frames::{Kinds, Sink},
    tx::{TxCore, Txs},
};

/// What a protocol gets to read.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Which way it went.
    pub direction: Direction,
    /// Bytes in order: for TCP what was not consumed before and what came since, for UDP one datagram.
    pub data: &'a [u8],
    /// Nothing follows in this direction. Given once, perhaps with no data.
    pub eof: bool,
    /// Whether the flow is UDP.
    pub datagram: bool,
}

/// What a protocol did with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes are done with. Fewer than given: it is called again with the rest.
    Ok(usize),
    /// So many bytes are done with, and it is called again once `needed` bytes (from there on) are there.
    More {
        /// Done with.
        consumed: usize,
        /// Bytes to wait for, from the first one not consumed; at least one more than is there.
        needed: usize,
    },
    /// This flow is not parsed any further; its transactions are written as far as they came.
    Error,
}

/// What a protocol may use while it reads.
pub struct Cx<'a> {
    /// Time of the packet.
    pub time: Timestamp,
    /// The flow's ports: client's, server's.
    pub ports: (u16, u16),
    /// Choices of all protocols; each reads its own.
    pub config: &'a Config,
    pub(crate) memory: &'a mut Memory,
    pub(crate) change: Option<Change>,
    pub(crate) encrypted: bool,
    pub(crate) frames: Sink,
}

/// A protocol's wish that the flow goes on as something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was announced; Unknown where nothing was (CONNECT).
    pub expected: AppProto,
}

impl<'a> Cx<'a> {
    /// For a parser that runs alone: in a fuzz target or a benchmark.
    pub fn alone(config: &'a Config, memory: &'a mut Memory, ports: (u16, u16)) -> Self {
        Self {
            time: Timestamp::default(),
            ports,
            config,
            memory,
            change: None,
            encrypted: false,
            frames: Sink::default(),
        }
    }
    /// The same, where rules ask for every frame.
    pub fn marking(config: &'a Config, memory: &'a mut Memory, ports: (u16, u16)) -> Self {
        Self { frames: Sink::new(Kinds::all()), ..Self::alone(config, memory, ports) }
    }
}

impl Cx<'_> {
    /// Asks for `bytes` of this protocol's memory cap and notes them in `charged` (of a transaction or of the state), by
    /// which they are given back. False where the cap is reached: then nothing may be kept.
    pub fn charge(&mut self, charged: &mut u64, bytes: usize) -> bool {
        self.memory.charge(charged, bytes)
    }
    /// Gives back what was charged.
    pub fn release(&mut self, charged: &mut u64) {
        self.memory.used = self.memory.used.saturating_sub(std::mem::take(charged));
    }
    /// From the next byte on the flow speaks another protocol (STARTTLS, CONNECT, an upgrade). What was not consumed is
    /// looked at anew; this protocol is told nothing more.
    pub fn change(&mut self, expected: AppProto) {
        self.change = Some(Change { expected });
    }
    /// What follows in both directions is encrypted: `encryption-handling` says what is made of it.
    pub const fn encrypted(&mut self) {
        self.encrypted = true;
    }
}

/// Memory of one protocol in one worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Charged at present.
    pub used: u64,
    /// Most.
    pub cap: u64,
    /// Charges refused.
    pub refused: u64,
    /// Decompression bombs met.
    pub bombs: Bombs,
}

impl Memory {
    /// As [`Cx::charge`].
    pub(crate) const fn charge(&mut self, charged: &mut u64, bytes: usize) -> bool {
        let bytes = bytes as u64;
        if self.used.saturating_add(bytes) > self.cap {
            self.refused += 1;
            return false;
        }
        self.used += bytes;
        *charged += bytes;
        true
    }
}

/// Bytes of each direction that are passed over unread: what is left of a message that is too long to be waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skip([u64; 2]);

impl Skip {
    /// The next `len` bytes of a direction are passed over.
    pub const fn set(&mut self, d: Direction, len: u64) {
        self.0[d.index()] = len; // an index of two
    }
    /// How many of these bytes, the next of a direction, are passed over.
    pub fn over(&mut self, d: Direction, data: &[u8]) -> usize {
        let left = &mut self.0[d.index()]; // an index of two
        let n = data.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        *left -= n as u64;
        n
    }
    /// So many bytes are missing. Only where all of them were to be passed over is it known where the next message begins.
    pub fn gap(&mut self, d: Direction, len: u64) -> Step {
        let left = &mut self.0[d.index()]; // an index of two
        match left.checked_sub(len) {
            Some(rest) => {
                *left = rest;
                Step::Ok(0)
            }
            None => Step::Error,
        }
    }
}

/// One protocol. Its state is what a flow holds; everything here is called by the frame.
pub trait Protocol {
    /// Its transactions.
    type Tx: Transaction;
    /// Names of its app-layer events, by number; as EVE and `app-layer-event` write them, without the protocol.
    const EVENTS: &'static [&'static str];
    /// Progress, by [`Direction::index`], from which on a transaction is written.
    const LOG_AT: [u8; 2] = [crate::tx::DONE; 2];
    /// One side's words end what the other has said before: rules on the stream look at that without waiting for a whole
    /// chunk. Not so of FTP's control connection and of SMB, as in Suricata 7.
    const ANSWERS: bool = true;
    /// Reads on.
    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step;
    /// So many bytes are missing in a direction. [`Step::Ok`] where it can go on.
    fn gap(&mut self, direction: Direction, len: u64, cx: &mut Cx<'_>) -> Step;
    /// Which protocol this state is.
    fn proto(&self) -> AppProto;
    /// Bytes charged for the state itself, beside its transactions.
    fn charged(&self) -> u64 {
        0
    }
    /// Flows between the same hosts that were announced since it was asked last.
    fn announced(&mut self) -> Vec<Announced> {
        Vec::new()
    }
    /// Nothing follows, in either direction: every transaction is as complete as it will be.
    fn finish(&mut self) {
        self.txs_mut().iter_mut().for_each(|t| t.core_mut().finish());
    }
    /// Its transactions.
    fn txs(&self) -> &Txs<Self::Tx>;
    /// The same, to be changed.
    fn txs_mut(&mut self) -> &mut Txs<Self::Tx>;
    /// The `index`-th instance of a buffer; None where there is none (any more) in this direction.
    fn buffer<'a>(&'a self, tx: &'a Self::Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]>;
    /// The `index`-th instance of a number.
    fn number(&self, tx: &Self::Tx, field: Field, direction: Direction, index: usize) -> Option<u64>;
    /// Progress from which on a buffer is complete.
    fn buffer_at(buffer: Buffer, direction: Direction) -> u8;
    /// Progress from which on a number is there.
    fn number_at(field: Field, direction: Direction) -> u8;
    /// The event type of a transaction and which way its event goes (None: from the client to the server). None where it
    /// is not written.
    fn event_type(&self, tx: &Self::Tx, config: &Config) -> Option<(&'static str, Option<Direction>)>;
    /// Writes the members of its event (`"dns":{...}`) into an open object.
    fn log(&self, tx: &Self::Tx, config: &Config, w: &mut JsonWriter);
    /// The value of a header field of a request, where it has such.
    fn header<'a>(&'a self, _tx: &'a Self::Tx, _name: &[u8]) -> Option<&'a [u8]> {
        None
    }
    /// The files of a transaction, where it may have some.
    fn files<'a>(&'a self, _tx: &'a Self::Tx) -> Option<&'a Files> {
        None
    }
    /// The files of the transaction at that place, to be changed.
    fn files_mut(&mut self, _place: usize) -> Option<&mut Files> {
        None
    }
    /// Writes the members that an alert on it carries.
    fn metadata(&self, tx: &Self::Tx, config: &Config, w: &mut JsonWriter) {
        self.log(tx, config, w);
    }
}

/// What every transaction has.
pub trait Transaction {
    /// The frame's part of it.
    fn core(&self) -> &TxCore;
    /// The same, to be changed.
    fn core_mut(&mut self) -> &mut TxCore;
}

/// `transaction!(Tx)`: a transaction that keeps the frame's part of it in its member `core`.
macro_rules! transaction {
    ($tx:ty) => {
        impl $crate::protocol::Transaction for $tx {
            fn core(&self) -> &$crate::tx::TxCore {
                &self.core
            }
            fn core_mut(&mut self) -> &mut $crate::tx::TxCore {
                &mut self.core
            }
        }
    };
}

/// `own_txs!()` in an `impl Protocol`: a state that keeps its transactions in its member `txs`.
macro_rules! own_txs {
    () => {
        fn txs(&self) -> &$crate::tx::Txs<Self::Tx> {
            &self.txs
        }
        fn txs_mut(&mut self) -> &mut $crate::tx::Txs<Self::Tx> {
            &mut self.txs
        }
    };
}

pub(crate) use {own_txs, transaction};

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    #[test]
    fn a_gap_is_bridged_only_inside_what_is_passed_over() {
        let mut skip = Skip::default();
        assert_eq!(skip.gap(ToServer, 1), Step::Error);
        skip.set(ToServer, 10);
        assert_eq!((skip.over(ToServer, b"abc"), skip.over(ToClient, b"abc")), (3, 0));
        assert_eq!((skip.gap(ToServer, 8), skip.gap(ToServer, 5)), (Step::Error, Step::Ok(0)));
        assert_eq!((skip.over(ToServer, b"abc"), skip.over(ToServer, b"abc")), (2, 0), "then the next message begins");
    }
}
