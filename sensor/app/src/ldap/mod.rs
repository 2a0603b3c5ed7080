// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! LDAP (RFC 4511) over TCP and UDP: each request with its responses, paired by message id. After StartTLS the flow goes
//! on as TLS.
//!
//! A message is kept as it came, up to [`MAX_KEPT`] bytes, and read when it is asked for. Must never wait for a message
//! longer than [`MAX_MESSAGE`]. Limits: [`MAX_TXS`], [`MAX_RESPONSES`].

pub mod detect;
pub mod log;
pub mod op;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    ber::{self, Element, Head, INTEGER, SEQUENCE},
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Skip, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Most requests that wait for their responses. Threat: a client that asks and never reads.
pub const MAX_TXS: usize = 256;
/// Responses of a request that are kept; the others are counted only. Threat: a search that finds everything.
pub const MAX_RESPONSES: usize = 128;
/// Bytes of a message that are kept; a longer one is known by its operation only.
pub const MAX_KEPT: usize = 32 * 1024;
/// Longest message; what is longer is passed over. Threat: a length of 4 GiB announced.
pub const MAX_MESSAGE: usize = 128 * 1024;

/// Names of events, by number.
pub const EVENTS: &[&str] = &["invalid_data", "request_not_found"];
const INVALID: u8 = 0;
const NOT_FOUND: u8 = 1;

/// Of a message: its operation and what that holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Number of the operation.
    pub op: u8,
    /// The message's id.
    pub id: i64,
    /// What the operation holds.
    pub content: Vec<u8>,
}

/// A request and its responses.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// The request, where one was seen.
    pub request: Option<Kept>,
    /// The responses.
    pub responses: Vec<Kept>,
    /// Responses in all.
    pub count: u64,
}

transaction!(Tx);

/// A flow's state.
#[derive(Debug)]
pub struct Ldap {
    txs: Txs<Tx>,
    skip: Skip,
}

impl Default for Ldap {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS), skip: Skip::default() }
    }
}

/// Reads a whole message.
pub fn message(bytes: &[u8]) -> Option<Kept> {
    let outer = Element::first(bytes).filter(|e| e.tag == SEQUENCE)?;
    let mut parts = outer.elements();
    let id = parts.next().filter(|e| e.tag == INTEGER)?.number()?;
    let op = parts.next().filter(|e| e.tag & 0xc0 == 0x40)?;
    let content = op.content.get(..op.content.len().min(MAX_KEPT)).unwrap_or_default();
    Some(Kept { op: op.tag & 0x1f, id, content: content.to_vec() })
}

impl Ldap {
    fn odd(&mut self, event: u8, d: Direction, cx: &mut Cx<'_>) {
        let mut tx = Tx::default();
        if cx.charge(&mut tx.core.charged, size_of::<Tx>()) {
            tx.core.raise(event);
            tx.core.only = Some(d);
            tx.core.finish();
            self.txs.push(tx);
        }
    }

    fn request(&mut self, m: Kept, cx: &mut Cx<'_>) {
        let mut tx = Tx::default();
        if !cx.charge(&mut tx.core.charged, size_of::<Tx>() + m.content.len()) {
            return;
        }
        let unanswered = matches!(m.op, op::UNBIND | op::ABANDON);
        tx.request = Some(m);
        tx.core.reach(Direction::ToServer, DONE);
        if unanswered {
            tx.core.reach(Direction::ToClient, DONE);
        }
        self.txs.push(tx);
    }

    fn response(&mut self, m: Kept, cx: &mut Cx<'_>) {
        let open = |t: &&mut Tx| {
            t.request.as_ref().is_some_and(|r| r.id == m.id) && t.core.progress(Direction::ToClient) < DONE
        };
        let size = size_of::<Kept>() + m.content.len();
        let Some(tx) = self.txs.iter_mut().find(open) else {
            let mut tx = Tx::default();
            if cx.charge(&mut tx.core.charged, size_of::<Tx>() + size) {
                tx.core.raise(NOT_FOUND);
                tx.core.only = Some(Direction::ToClient);
                tx.count = 1;
                tx.responses.push(m);
                tx.core.finish();
                self.txs.push(tx);
            }
            return;
        };
        let last = !matches!(m.op, op::ENTRY | op::REFERENCE | op::INTERMEDIATE);
        let tls = m.op == op::EXTENDED_RESPONSE
            && op::result(&m.content).is_some_and(|r| r.code == 0)
            && tx.request.as_ref().is_some_and(|r| op::extended_name(r) == Some(op::START_TLS));
        tx.count += 1;
        if tx.responses.len() < MAX_RESPONSES && cx.charge(&mut tx.core.charged, size) {
            tx.responses.push(m);
        }
        if last {
            tx.core.reach(Direction::ToClient, DONE);
        }
        if tls {
            cx.change(AppProto::Tls);
        }
    }
}

impl Protocol for Ldap {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = EVENTS;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let d = input.direction;
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            let passed = self.skip.over(d, rest);
            if passed > 0 {
                at += passed;
                continue;
            }
            let len = match ber::head(rest) {
                Head::Is(SEQUENCE, head, len) => head + len,
                Head::More if input.eof || input.datagram => break,
                Head::More => return Step::More { consumed: at, needed: rest.len() + 1 },
                _ => {
                    self.odd(INVALID, d, cx);
                    return if input.datagram { Step::Ok(input.data.len()) } else { Step::Error };
                }
            };
            if len > MAX_MESSAGE {
                self.skip.set(d, len as u64);
                continue;
            }
            let Some(bytes) = rest.get(..len) else {
                if input.eof || input.datagram {
                    break;
                }
                return Step::More { consumed: at, needed: len };
            };
            at += len;
            match message(bytes) {
                Some(m) if op::is_response(m.op) => self.response(m, cx),
                Some(m) => self.request(m, cx),
                None => self.odd(INVALID, d, cx),
            }
            if cx.change.is_some() {
                return Step::Ok(at);
            }
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, d: Direction, len: u64, _: &mut Cx<'_>) -> Step {
        self.skip.gap(d, len)
    }
    fn proto(&self) -> AppProto {
        AppProto::Ldap
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
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        (tx.request.is_some() || !tx.responses.is_empty()).then_some(("ldap", None))
    }
    fn log(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        log::write(tx, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        log::write(tx, w);
    }
}

#[cfg(test)]
mod tests;
