// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The model of a protocol's folder: a protocol of lines, `ask <text>` from the client and `tell <text>` from the server;
//! `become <protocol>` stands for STARTTLS and the like.
//! It is off unless configured, and kept alive by the tests, so that a new protocol begins from something that works.
//!
//! Rooms: `parser` (bytes to messages), `mod` (state and transactions), `log` (EVE), `detect` (buffers), `events`. Must
//! never grow into a real protocol. Limits: [`MAX_TXS`], [`parser::MAX_LINE`].

pub mod detect;
pub mod events;
pub mod log;
pub mod parser;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};
use events::Event;
use parser::{Parsed, Verb};

/// Most transactions that wait for their answer. Threat: a client that asks and asks.
pub const MAX_TXS: usize = 256;

/// A flow's state.
#[derive(Debug)]
pub struct Template {
    txs: Txs<Tx>,
}

impl Default for Template {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS) }
    }
}

/// A question and its answer.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// What was asked.
    pub request: Vec<u8>,
    /// What was told.
    pub response: Vec<u8>,
}

transaction!(Tx);

impl Template {
    fn line(&mut self, verb: Option<Verb>, text: &[u8], direction: Direction, cx: &mut Cx<'_>) {
        match (direction, verb) {
            (Direction::ToServer, Some(Verb::Ask)) => {
                let mut tx = Tx::default();
                if cx.charge(&mut tx.core.charged, text.len()) {
                    tx.request = text.to_vec();
                }
                tx.core.reach(Direction::ToServer, DONE);
                self.txs.push(tx);
            }
            (Direction::ToClient, Some(Verb::Tell)) => {
                let open = self.txs.iter_mut().find(|t| t.core.progress(Direction::ToClient) < DONE);
                let Some(tx) = open else { return };
                if cx.charge(&mut tx.core.charged, text.len()) {
                    tx.response = text.to_vec();
                }
                tx.core.reach(Direction::ToClient, DONE);
            }
            (Direction::ToServer, Some(Verb::Become)) => {
                cx.change(std::str::from_utf8(text).ok().and_then(AppProto::by_name).unwrap_or_default());
            }
            _ => {
                if let Some(tx) = self.txs.last() {
                    tx.core.raise(Event::Unexpected as u8);
                }
            }
        }
    }
}

impl Protocol for Template {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = events::NAMES;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        match parser::line(input.data) {
            Parsed::Ok { verb, text, consumed } => {
                self.line(verb, text, input.direction, cx);
                Step::Ok(consumed)
            }
            // What has no end when nothing follows was cut off.
            Parsed::More if input.eof => Step::Ok(input.data.len()),
            Parsed::More => Step::More { consumed: 0, needed: input.data.len() + 1 },
            Parsed::Error => Step::Error,
        }
    }
    fn gap(&mut self, _: Direction, _: u64, _: &mut Cx<'_>) -> Step {
        Step::Error // where the next line begins is not known
    }
    fn proto(&self) -> AppProto {
        AppProto::Template
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        detect::buffer(tx, buffer, direction, index)
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        detect::number(tx, field, direction, index)
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, _: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        Some(("template", None))
    }
    fn log(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        log::write(tx, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        log::write(tx, w);
    }
}
