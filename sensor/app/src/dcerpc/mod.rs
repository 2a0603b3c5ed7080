// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DCE/RPC (C706, MS-RPCE): over TCP as a stream of PDUs, over UDP in datagrams. What a named pipe of SMB carries uses the
//! same rooms [`pdu`] and [`call`].
//!
//! A call and its answer are a transaction: a bind and its acknowledgement, a request and its response, each put together
//! from fragments. Must never read what a call's parameters mean, and never decrypt. Behind a gap, reading goes on at the
//! next header that is one. Limits: [`Choices`], [`call::MAX_BOUND`], [`pdu::MAX_CONTEXTS`].

pub mod call;
pub mod log;
pub mod names;
pub mod pdu;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use self::{
    call::{Bound, Call, Interfaces},
    pdu::{Body, Context, HEAD, Head, Uuid, kind},
};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Choices: `app-layer.protocols.dcerpc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `max-tx`: transactions of a flow that are open. Threat: requests that are never answered.
    pub max_tx: usize,
    /// `max-stub-size`: bytes of a call's parameters, and of its results, that are kept. Threat: fragments without end.
    pub max_stub: usize,
}

impl Default for Choices {
    fn default() -> Self {
        Self { max_tx: 1024, max_stub: 1 << 20 }
    }
}

/// A call and its answer.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// Both.
    pub call: Call,
    /// Over UDP: the activity that it belongs to.
    pub activity: Option<Uuid>,
}

transaction!(Tx);

/// A flow's state.
#[derive(Debug)]
pub struct Dcerpc {
    txs: Txs<Tx>,
    interfaces: Interfaces,
    charged: u64,
    // Where the next PDU begins is not known.
    lost: [bool; 2],
}

impl Default for Dcerpc {
    fn default() -> Self {
        Self {
            txs: Txs::new(Choices::default().max_tx),
            interfaces: Interfaces::default(),
            charged: 0,
            lost: [false; 2],
        }
    }
}

impl Dcerpc {
    fn pdu(&mut self, d: Direction, head: &Head, body: &Body<'_>, cx: &mut Cx<'_>) {
        let up = d == Direction::ToServer;
        if !Call::is_of_one(head.kind, up) {
            return;
        }
        // What a server says answers the oldest call of that number that may be answered so.
        let fits = |t: &&mut Tx| t.core.progress(d) < DONE && t.call.takes(head, up);
        let found = self.txs.iter_mut().find(fits).map(|t| t.core.id);
        let id = match found {
            Some(id) => id,
            None => {
                let mut tx = Tx { call: Call::new(head, d), ..Tx::default() };
                if !cx.charge(&mut tx.core.charged, size_of::<Tx>()) {
                    return;
                }
                if !up {
                    tx.core.reach(Direction::ToServer, DONE); // what was asked was not seen
                }
                self.txs.limit(cx.config.dcerpc.max_tx);
                self.txs.push(tx).core.id
            }
        };
        let Some(tx) = self.txs.by_id(id) else { return };
        tx.call.heard(head, up);
        let mut charged = [tx.core.charged, self.charged];
        tx.call.fragment(head, body, d, false, cx, &mut charged[0]);
        tx.call.bind(body, &mut self.interfaces, cx, &mut charged);
        [tx.core.charged, self.charged] = charged;
        if head.last {
            tx.core.reach(d, DONE);
        } else {
            tx.core.touch(d);
        }
    }

    fn datagram(&mut self, d: Direction, data: &[u8], cx: &mut Cx<'_>) -> Step {
        let Some(p) = pdu::datagram(data) else { return Step::Error };
        let up = d == Direction::ToServer;
        let kind_fits =
            if up { p.kind == kind::REQUEST } else { matches!(p.kind, kind::RESPONSE | kind::FAULT | kind::REJECT) };
        if !kind_fits {
            return Step::Ok(data.len()); // pings, acknowledgements and cancels belong to calls and say nothing
        }
        let last = p.last || !p.fragment;
        let head =
            Head { version: (4, 0), kind: p.kind, first: false, last, little: p.little, len: 0, call: p.sequence };
        let fits = |t: &&mut Tx| t.activity == Some(p.activity) && t.call.id == p.sequence && t.core.progress(d) < DONE;
        let found = self.txs.iter_mut().find(fits).map(|t| t.core.id);
        let id = match found {
            Some(id) => id,
            None => {
                let mut tx = Tx { call: Call::new(&head, d), activity: Some(p.activity), ..Tx::default() };
                if !cx.charge(&mut tx.core.charged, size_of::<Tx>() + size_of::<Bound>()) {
                    return Step::Ok(data.len());
                }
                let context = Context { id: 0, uuid: p.interface, version: p.version };
                tx.call.interfaces.push(Bound { context, ack: None });
                self.txs.limit(cx.config.dcerpc.max_tx);
                self.txs.push(tx).core.id
            }
        };
        if let Some(tx) = self.txs.by_id(id) {
            tx.call.heard(&head, up);
            if up {
                tx.call.opnum = p.opnum;
            }
            tx.call.little[d.index()] = p.little;
            let mut charged = tx.core.charged;
            tx.call.take(d.index(), p.stub, cx, &mut charged);
            tx.core.charged = charged;
            if last {
                tx.core.reach(d, DONE);
            } else {
                tx.core.touch(d);
            }
        }
        Step::Ok(data.len())
    }
}

impl Protocol for Dcerpc {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = &[];

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let d = input.direction;
        if input.datagram {
            return self.datagram(d, input.data, cx);
        }
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            if rest.len() < HEAD {
                if input.eof {
                    break;
                }
                return Step::More { consumed: at, needed: HEAD };
            }
            let Some(head) = pdu::head(rest) else {
                if !self.lost[d.index()] {
                    return Step::Error;
                }
                at += 1; // behind a gap: a header is looked for
                continue;
            };
            let Some(whole) = rest.get(..head.len) else {
                if input.eof {
                    break;
                }
                return Step::More { consumed: at, needed: head.len };
            };
            self.lost[d.index()] = false;
            at += head.len;
            if let Some(body) = pdu::body(&head, whole) {
                self.pdu(d, &head, &body, cx);
            }
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, d: Direction, _: u64, _: &mut Cx<'_>) -> Step {
        self.lost[d.index()] = true;
        Step::Ok(0)
    }
    fn proto(&self) -> AppProto {
        AppProto::Dcerpc
    }
    fn charged(&self) -> u64 {
        self.charged
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        (index == 0).then(|| buffer_of(&tx.call, buffer, direction)).flatten()
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        number_of(&tx.call, field, direction, index)
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, _: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        Some(("dcerpc", None))
    }
    fn log(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        log::write(tx, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        log::write(tx, w);
    }
}

/// What rules may ask of a call, here and in a named pipe.
pub(crate) fn buffer_of(call: &Call, buffer: Buffer, direction: Direction) -> Option<&[u8]> {
    match buffer {
        Buffer::DcerpcStubData => {
            Some(call.stub[direction.index()].as_slice()).filter(|s| !s.is_empty()) // an index of two
        }
        _ => None,
    }
}

/// The same of numbers.
pub(crate) fn number_of(call: &Call, field: Field, direction: Direction, index: usize) -> Option<u64> {
    let half = |from: usize| {
        let bytes = call.interface()?.0.get(from..from + 8)?;
        Some(u64::from_be_bytes(bytes.try_into().ok()?))
    };
    match field {
        _ if index > 0 => None,
        // Whether numbers have their lower byte first.
        Field::DcerpcOrder => Some(u64::from(call.little[direction.index()])), // an index of two
        Field::DcerpcOpnum => call.operation().map(u64::from),
        Field::DcerpcIfaceHigh => half(0),
        Field::DcerpcIfaceLow => half(8),
        Field::DcerpcIfaceVersion => call.interface().map(|(_, v)| v.into()),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests;
