// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DNP3 over TCP (IEEE 1815): link frames are put together to fragments, each of which is a transaction of its own
//! direction.
//!
//! Must never keep a fragment longer than [`MAX_FRAGMENT`]. After lost bytes it goes on at the next frame whose header holds.
//! Limits: [`MAX_TXS`], [`MAX_UNANSWERED`], [`Choices`].

pub mod link;
pub mod log;
pub mod objects;
pub mod parser;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use self::{
    link::{HEADER, Header, START},
    parser::{Fault, Message},
};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Longest fragment. Threat: a fragment that never ends.
pub const MAX_FRAGMENT: usize = 64 * 1024;
/// Most fragments of a flow that wait for detection. Threat: a flood of answers.
pub const MAX_TXS: usize = 512;
/// Requests without an answer after which further ones are not kept. Threat: a flood of requests.
pub const MAX_UNANSWERED: u32 = 32;

/// Choices: `app-layer.protocols.dnp3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `max-points`: most points of a fragment. Threat: a header that announces 2^32 of them.
    pub max_points: u32,
    /// `max-objects`: most objects of a fragment. Threat: a fragment of nothing but headers.
    pub max_objects: usize,
}

impl Default for Choices {
    fn default() -> Self {
        Self { max_points: 16_384, max_objects: 2_048 }
    }
}

/// Names of events, by number.
pub const EVENTS: &[&str] = &[
    "flooded",
    "len_too_small",
    "bad_link_crc",
    "bad_transport_crc",
    "unknown_object",
    "too_many_points",
    "too_many_objects",
    "too_long_reassembly",
];

/// The events, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Event {
    Flooded,
    LenTooSmall,
    BadLinkCrc,
    BadTransportCrc,
    UnknownObject,
    TooManyPoints,
    TooManyObjects,
    TooLongReassembly,
}

/// A fragment as a transaction.
#[derive(Debug)]
pub struct Tx {
    core: TxCore,
    /// Which way it went.
    pub direction: Direction,
    /// What it says; empty where it is an event only.
    pub message: Message,
}

transaction!(Tx);

// A fragment on its way.
#[derive(Debug, Default)]
struct Side {
    begun: Option<Header>,
    bytes: Vec<u8>,
    charged: u64,
}

/// A flow's state.
#[derive(Debug)]
pub struct Dnp3 {
    txs: Txs<Tx>,
    sides: [Side; 2],
    unanswered: u32,
}

impl Default for Dnp3 {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS), sides: Default::default(), unanswered: 0 }
    }
}

impl Dnp3 {
    // What the bytes at the beginning are worth: so many are done with. None where more are wanted, and how many.
    fn frame(&mut self, d: Direction, data: &[u8], cx: &mut Cx<'_>) -> Result<usize, usize> {
        if !data.starts_with(&START) {
            // Up to where a frame may begin.
            let next = memchr::memmem::find(data, &START);
            let half = data.len() - usize::from(data.last() == Some(&START[0]));
            return match next.unwrap_or(half) {
                0 => Err(data.len() + 1),
                n => Ok(n),
            };
        }
        let Some((header, holds)) = link::header(data) else { return Err(HEADER) };
        if !holds {
            self.odd(Event::BadLinkCrc, d, cx);
            return Ok(START.len());
        }
        if header.len < 5 {
            self.odd(Event::LenTooSmall, d, cx);
            return Ok(HEADER);
        }
        let whole = header.whole();
        let frame = data.get(..whole).ok_or(whole)?;
        // Only these two functions of an initiator carry user data (9.2.4.1.5).
        if header.control & 0x40 != 0 && matches!(header.control & 15, 3 | 4) {
            match link::user_data(frame) {
                None => self.odd(Event::BadTransportCrc, d, cx),
                Some(user) => self.segment(d, header, &user, cx),
            }
        }
        Ok(whole)
    }

    // A transport segment (8.2): the last, the first, a number.
    fn segment(&mut self, d: Direction, header: Header, user: &[u8], cx: &mut Cx<'_>) {
        let Some((&control, data)) = user.split_first() else { return self.odd(Event::LenTooSmall, d, cx) };
        let side = &mut self.sides[d.index()]; // an index of two
        if control & 0x40 != 0 {
            side.bytes.clear();
            cx.release(&mut side.charged);
            side.begun = Some(header);
        }
        let Some(begun) = side.begun else { return }; // its beginning was not seen
        if side.bytes.len() + data.len() > MAX_FRAGMENT {
            side.begun = None;
            side.bytes = Vec::new();
            cx.release(&mut side.charged);
            return self.odd(Event::TooLongReassembly, d, cx);
        }
        if !cx.charge(&mut side.charged, data.len()) {
            side.begun = None;
            return;
        }
        side.bytes.extend_from_slice(data);
        if control & 0x80 != 0 {
            side.begun = None;
            let bytes = std::mem::take(&mut side.bytes);
            cx.release(&mut side.charged);
            self.fragment(d, begun, bytes, cx);
        }
    }

    fn fragment(&mut self, d: Direction, link: Header, bytes: Vec<u8>, cx: &mut Cx<'_>) {
        let mut m = Message { link, bytes, ..Message::default() };
        let short = m.bytes.len() < if m.is_response() { 4 } else { 2 };
        let mut odd = Vec::new();
        if short {
            return self.odd(Event::LenTooSmall, d, cx);
        }
        if !m.is_response() && m.function() == 0 {
            return; // a confirmation says no more than that something came
        }
        if m.is_response() {
            self.unanswered = self.unanswered.saturating_sub(1);
        } else if !matches!(m.function(), 6 | 8 | 10 | 12) {
            // What asks for no answer is not waited for.
            self.unanswered = self.unanswered.saturating_add(1);
            match self.unanswered.saturating_sub(MAX_UNANSWERED) {
                0 => {}
                1 => odd.push(Event::Flooded),
                _ => return,
            }
        }
        let mut objects = Vec::new();
        let seen = &mut |o: &parser::Object| objects.push(u16::from_be_bytes([o.group, o.variation]));
        match parser::walk(m.function(), m.body(), &cx.config.dnp3, seen, &mut |_| {}) {
            Ok(()) => m.complete = true,
            Err(Fault::Unknown) => odd.push(Event::UnknownObject),
            Err(Fault::Points) => odd.push(Event::TooManyPoints),
            Err(Fault::Objects) => odd.push(Event::TooManyObjects),
            Err(Fault::Short) => {}
        }
        m.objects = objects;
        self.keep(d, m, &odd, cx);
    }

    fn odd(&mut self, event: Event, d: Direction, cx: &mut Cx<'_>) {
        self.keep(d, Message::default(), &[event], cx);
    }

    fn keep(&mut self, d: Direction, message: Message, odd: &[Event], cx: &mut Cx<'_>) {
        let mut core = TxCore::default();
        if !cx.charge(&mut core.charged, size_of::<Tx>() + message.bytes.len() + 2 * message.objects.len()) {
            return; // counted by the memory cap; the flow goes on
        }
        odd.iter().for_each(|e| core.raise(*e as u8));
        core.only = Some(d);
        core.finish();
        self.txs.push(Tx { core, direction: d, message });
    }
}

impl Protocol for Dnp3 {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = EVENTS;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            match self.frame(input.direction, rest, cx) {
                Ok(n) => at += n,
                Err(_) if input.eof => break,
                Err(needed) => return Step::More { consumed: at, needed },
            }
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, d: Direction, _: u64, cx: &mut Cx<'_>) -> Step {
        // The fragment on its way is lost; the next frame is looked for.
        let side = &mut self.sides[d.index()]; // an index of two
        side.begun = None;
        side.bytes = Vec::new();
        cx.release(&mut side.charged);
        Step::Ok(0)
    }
    fn proto(&self) -> AppProto {
        AppProto::Dnp3
    }
    fn charged(&self) -> u64 {
        self.sides.iter().map(|s| s.charged).sum()
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, d: Direction, index: usize) -> Option<&'a [u8]> {
        let there = d == tx.direction && index == 0 && buffer == Buffer::Dnp3Data && !tx.message.bytes.is_empty();
        there.then_some(&tx.message.bytes)
    }
    fn number(&self, tx: &Tx, field: Field, d: Direction, index: usize) -> Option<u64> {
        let m = &tx.message;
        if d != tx.direction || m.bytes.is_empty() {
            return None;
        }
        match field {
            Field::Dnp3Obj => m.objects.get(index).map(|o| u64::from(*o)),
            _ if index > 0 => None,
            Field::Dnp3Func => Some(m.function().into()),
            Field::Dnp3Ind => m.indications().map(u64::from),
            _ => None,
        }
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        (!tx.message.bytes.is_empty()).then_some(("dnp3", None))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        log::write(&tx.message, &config.dnp3, w);
    }
    fn metadata(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::metadata(&tx.message, &config.dnp3, w);
    }
}

#[cfg(test)]
mod tests;
