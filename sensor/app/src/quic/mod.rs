// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! QUIC 1 and 2, drafts 23 to 34, and Google's QUIC 46: what their packets say before both hellos are known. Each packet
//! that says something is a transaction of its own, as in Suricata.
//!
//! Must never try to read what is encrypted with keys of the connection. Limits: those of [`session`] and [`parser`].

pub mod crypto;
pub mod detect;
pub mod log;
pub mod parser;
pub mod session;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};
use session::{Event, Message, Session};

/// Most transactions of a flow that wait for detection. Threat: a flow of handshake packets whose hello never comes.
pub const MAX_TXS: usize = 64;

/// A flow's state.
#[derive(Debug)]
pub struct Quic {
    session: Session,
    charged: u64,
    txs: Txs<Tx>,
}

/// One packet.
#[derive(Debug)]
pub struct Tx {
    core: TxCore,
    /// What it says.
    pub message: Message,
    /// The version as rules see it: four bytes.
    pub version: [u8; 4],
}

transaction!(Tx);

impl Tx {
    const fn direction(&self) -> Direction {
        if self.message.to_server { Direction::ToServer } else { Direction::ToClient }
    }
}

impl Default for Quic {
    fn default() -> Self {
        Self { session: Session::default(), charged: 0, txs: Txs::new(MAX_TXS) }
    }
}

impl Protocol for Quic {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = Event::NAMES;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let (session, txs) = (&mut self.session, &mut self.txs);
        let direction = input.direction;
        session.datagram(direction, input.data, |message| {
            let mut core = TxCore::default();
            let extensions: usize =
                message.extensions.iter().map(|e| 64 + e.values.iter().map(Vec::len).sum::<usize>()).sum();
            let texts = [&message.sni, &message.user_agent].into_iter().flatten().map(Vec::len).sum::<usize>();
            if !cx.charge(&mut core.charged, size_of::<Tx>() + 512 + extensions + texts) {
                return; // counted by the memory cap; the flow goes on
            }
            core.only = Some(direction);
            core.finish();
            if let Some(e) = message.event {
                core.raise(e as u8);
            }
            txs.push(Tx { core, version: message.version.to_be_bytes(), message });
        });
        let memory = session.memory() as u64;
        let more = memory.saturating_sub(self.charged);
        let mut back = self.charged.saturating_sub(memory);
        self.charged -= back;
        cx.release(&mut back);
        if more > 0 && !cx.charge(&mut self.charged, more as usize) {
            return Step::Error;
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, _: Direction, _: u64, _: &mut Cx<'_>) -> Step {
        Step::Ok(0) // datagrams have no gaps
    }
    fn proto(&self) -> AppProto {
        AppProto::Quic
    }
    fn charged(&self) -> u64 {
        self.charged
    }
    own_txs!();

    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        (direction == tx.direction() && index == 0).then(|| detect::buffer(tx, buffer)).flatten()
    }
    fn number(&self, _: &Tx, _: Field, _: Direction, _: usize) -> Option<u64> {
        None
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }

    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        Some(("quic", Some(tx.direction())))
    }
    fn log(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        log::event(&tx.message, w);
    }
}

#[cfg(test)]
mod tests;
