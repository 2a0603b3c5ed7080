// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DNS over UDP and TCP, multicast DNS and LLMNR. Every message is a transaction of its own, as in Suricata: a request is
//! complete in the server's direction, a response in the client's, and the other direction has nothing to inspect.
//!
//! Must never wait for an answer to write a question. Limits: [`MAX_TXS`], a TCP message has 65,535 bytes at most by its
//! framing, and the caps of [`parser`].

pub mod detect;
pub mod events;
pub mod log;
pub mod names;
pub mod parser;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

pub use log::Choices;

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    frames,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};
use events::Event;
use parser::Message;

/// Most transactions of a flow that wait for detection. Threat: a flow of questions only, whose answers never come.
pub const MAX_TXS: usize = 512;

/// Which of the protocols with DNS messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of protocols")]
pub enum Kind {
    Dns,
    Mdns,
    Llmnr,
}

/// A flow's state.
#[derive(Debug)]
pub struct Dns {
    kind: Kind,
    txs: Txs<Tx>,
    /// Directions of a TCP flow in which bytes were lost: where the next message begins is not known.
    lost: [bool; 2],
}

/// One message.
#[derive(Debug)]
pub struct Tx {
    core: TxCore,
    /// What it says.
    pub message: Message,
    /// Which way it went.
    pub direction: Direction,
}

transaction!(Tx);

impl Tx {
    /// A message that another protocol's transaction carries, and which is shown with that one's number.
    pub(crate) fn carried(id: u64, message: Message, direction: Direction) -> Self {
        let mut core = TxCore::default();
        core.id = id;
        Self { core, message, direction }
    }
    /// Whether it is shown as a response: by its own bit; by its way where it says nothing else.
    pub const fn response(&self) -> bool {
        self.message.response()
    }
}

impl Dns {
    /// An empty state.
    pub const fn new(kind: Kind) -> Self {
        Self { kind, txs: Txs::new(MAX_TXS), lost: [false; 2] }
    }

    /// Which protocol it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    // Marks a message; over TCP its length in front does not belong to it.
    fn mark(&self, left: usize, len: usize, cx: &mut Cx<'_>) {
        if self.kind == Kind::Dns {
            cx.frame(frames::Kind::DnsPdu, left, len as u64);
            cx.frames_of(self.txs.total()); // where it is one, that is its number
        }
    }

    /// Takes one whole message. False where it is none.
    fn message(&mut self, bytes: &[u8], direction: Direction, cx: &mut Cx<'_>) -> bool {
        let Some(message) = parser::message(bytes) else { return false };
        let mut core = TxCore::default();
        if !cx.charge(&mut core.charged, size_of::<Tx>() + message.held()) {
            return true; // counted by the memory cap; the flow goes on
        }
        core.only = Some(direction);
        core.reach(direction, DONE);
        core.reach(direction.reverse(), DONE);
        let faults = message.faults;
        let to_server = direction == Direction::ToServer;
        // Multicast has no sides: its answers come unasked from anywhere.
        let sided = self.kind != Kind::Mdns;
        for (event, raised) in [
            (Event::MalformedData, faults.malformed),
            (Event::NotRequest, sided && to_server && message.response()),
            (Event::NotResponse, sided && !to_server && !message.response()),
            (Event::ZFlagSet, message.flags & 0x40 != 0),
            (Event::InvalidOpcode, message.opcode() >= 7),
            (Event::NameTooLong, faults.long_name),
            (Event::InfiniteLoop, faults.endless),
            (Event::TooManyLabels, faults.labels),
            (Event::InvalidAdditionals, faults.additionals),
            (Event::InvalidAuthorities, faults.authorities),
        ] {
            if raised {
                core.raise(event as u8);
            }
        }
        self.txs.push(Tx { core, message, direction });
        true
    }
}

impl Protocol for Dns {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = events::NAMES;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Input { direction, data, .. } = input;
        if input.datagram {
            self.mark(data.len(), data.len(), cx);
            return if self.message(data, direction, cx) { Step::Ok(data.len()) } else { Step::Error };
        }
        if data.is_empty() {
            return Step::Ok(0);
        }
        let [high, low, rest @ ..] = data else {
            return if input.eof { Step::Ok(data.len()) } else { Step::More { consumed: 0, needed: 2 } };
        };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        if std::mem::take(&mut self.lost[direction.index()]) && rest.get(..12).is_none_or(|h| !header(h)) {
            return Step::Error; // bytes were lost, and no message begins here
        }
        match rest.get(..len) {
            Some(message) => {
                self.mark(rest.len(), len, cx);
                self.message(message, direction, cx);
                Step::Ok(len + 2)
            }
            None if input.eof => Step::Ok(data.len()),
            None => Step::More { consumed: 0, needed: len + 2 },
        }
    }

    fn gap(&mut self, direction: Direction, _len: u64, _cx: &mut Cx<'_>) -> Step {
        self.lost[direction.index()] = true; // an index of two
        Step::Ok(0)
    }

    fn proto(&self) -> AppProto {
        match self.kind {
            Kind::Dns => AppProto::Dns,
            Kind::Mdns => AppProto::Mdns,
            Kind::Llmnr => AppProto::Llmnr,
        }
    }

    own_txs!();

    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        (direction == tx.direction).then(|| detect::buffer(self.kind, tx, buffer, index)).flatten()
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        (direction == tx.direction).then(|| detect::number(tx, field, index)).flatten()
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }

    fn event_type(&self, tx: &Tx, config: &Config) -> Option<(&'static str, Option<Direction>)> {
        let name = match self.kind {
            Kind::Dns if !config.dns.wants(tx) => return None,
            Kind::Dns => "dns",
            Kind::Mdns => "mdns",
            Kind::Llmnr => "llmnr",
        };
        // Version 2 names the client first, whoever speaks.
        let way = (self.kind != Kind::Dns || config.dns.version != 2).then_some(tx.direction);
        Some((name, way))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::event(self.kind, tx, &config.dns, w);
    }
    fn metadata(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::metadata(self.kind, tx, &config.dns, w);
    }
}

// Whether twelve bytes can be a message's header.
fn header(h: &[u8]) -> bool {
    match *h {
        [_, _, flags, _, qd_high, qd, an_high, _, ns_high, _, ar_high, _] => {
            let few = qd_high == 0 && qd <= 16 && an_high < 4 && ns_high < 4 && ar_high < 4;
            few && flags >> 3 & 15 <= 6
        }
        _ => false,
    }
}
