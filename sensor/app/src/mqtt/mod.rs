// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! MQTT 3.1, 3.1.1 and 5: a message and what answers it (CONNECT and CONNACK, PUBLISH and its acknowledgements, SUBSCRIBE
//! and SUBACK, ...) are a transaction; it goes the way of its first message, and rules see all of it there.
//!
//! A message is kept as it came and read when it is asked for. Must never wait for a message longer than
//! [`Choices::max_message`]: it is known by its kind and length only. Limits: [`MAX_TXS`], [`MAX_MESSAGES`].

pub mod detect;
pub mod log;
pub mod message;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use self::message::{Body, Head, kind};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    frames::Kind,
    protocol::{Cx, Input, Protocol, Skip, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Most transactions of a flow that are open. Threat: messages that are never acknowledged.
pub const MAX_TXS: usize = 512;
/// Most messages of a transaction. Threat: the same acknowledgement without end.
pub const MAX_MESSAGES: usize = 8;
/// Most that [`Choices::max_message`] may be: what is waited for must be held.
pub const MAX_MESSAGE: usize = 192 * 1024;

/// Choices: `app-layer.protocols.mqtt` and what EVE writes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `max-msg-length`: a longer message is passed over. Threat: a length of 256 MiB announced.
    pub max_message: usize,
    /// `passwords`: whether CONNECT's is written.
    pub passwords: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self { max_message: MAX_MESSAGE, passwords: true }
    }
}

/// Names of events, by number.
pub const EVENTS: &[&str] = &[
    "missing_connect",
    "missing_publish",
    "missing_subscribe",
    "missing_unsubscribe",
    "double_connect",
    "unintroduced_message",
    "invalid_qos_level",
    "missing_msg_id",
    "unassigned_msg_type",
    "malformed_traffic",
];

/// The events, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Event {
    MissingConnect,
    MissingPublish,
    MissingSubscribe,
    MissingUnsubscribe,
    DoubleConnect,
    UnintroducedMessage,
    InvalidQosLevel,
    MissingMsgId,
    UnassignedMsgType,
    MalformedTraffic,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// What it is.
    pub kind: u8,
    /// The lower bits of its first byte.
    pub flags: u8,
    /// Version that the flow speaks.
    pub version: u8,
    /// What follows its fixed header.
    pub bytes: Vec<u8>,
    /// Bytes passed over, where it was too long.
    pub skipped: Option<u64>,
}

impl Kept {
    /// Its quality of service.
    pub const fn qos(&self) -> u8 {
        self.flags >> 1 & 3
    }
    /// What it says; None where it is damaged or was passed over.
    pub fn body(&self) -> Option<Body<'_>> {
        self.skipped.is_none().then(|| message::body(self.kind, self.flags, self.version, &self.bytes)).flatten()
    }
    // The number that it is acknowledged by.
    fn id(&self) -> Option<u16> {
        match self.body()? {
            Body::Publish { id, .. } => id,
            Body::Ack { id, .. }
            | Body::Subscribe { id, .. }
            | Body::Unsubscribe { id, .. }
            | Body::Granted { id, .. } => Some(id),
            _ => None,
        }
    }
}

/// A message and what answered it.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// Whether the server began it.
    pub to_client: bool,
    /// The messages, in order.
    pub messages: Vec<Kept>,
}

impl Tx {
    const fn way(&self) -> Direction {
        if self.to_client { Direction::ToClient } else { Direction::ToServer }
    }
}

transaction!(Tx);

/// A flow's state.
#[derive(Debug)]
pub struct Mqtt {
    txs: Txs<Tx>,
    version: u8,
    connected: bool,
    skip: Skip,
}

impl Default for Mqtt {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS), version: 4, connected: false, skip: Skip::default() }
    }
}

impl Mqtt {
    fn message(&mut self, d: Direction, m: Kept, cx: &mut Cx<'_>) {
        let mut odd = Vec::new();
        if m.skipped.is_none() && m.body().is_none() {
            odd.push(Event::MalformedTraffic);
        }
        if m.kind == kind::PUBLISH && m.qos() == 3 {
            odd.push(Event::InvalidQosLevel);
        }
        let (answers, last, missing) = match m.kind {
            kind::CONNACK => (&[kind::CONNECT][..], true, Event::MissingConnect),
            // What does not go on, ends it: an acknowledgement may refuse.
            kind::PUBACK | kind::PUBCOMP => (&[kind::PUBLISH][..], true, Event::MissingPublish),
            kind::PUBREC | kind::PUBREL => (&[kind::PUBLISH][..], false, Event::MissingPublish),
            kind::SUBACK => (&[kind::SUBSCRIBE][..], true, Event::MissingSubscribe),
            kind::UNSUBACK => (&[kind::UNSUBSCRIBE][..], true, Event::MissingUnsubscribe),
            kind::PINGRESP => (&[kind::PINGREQ][..], true, Event::MissingMsgId),
            _ => return self.begin(d, m, odd, cx),
        };
        let id = m.id();
        let fits = |t: &&mut Tx| {
            !t.core.finished()
                && t.messages.first().is_some_and(|first| {
                    answers.contains(&first.kind) && (first.id() == id || first.skipped.is_some() || id.is_none())
                })
        };
        let size = size_of::<Kept>() + m.bytes.len();
        if m.kind == kind::CONNACK {
            self.connected = true;
        }
        let Some(tx) = self.txs.iter_mut().find(fits) else {
            if m.kind != kind::PINGRESP {
                odd.push(missing);
            }
            return self.push(d, m, odd, true, cx);
        };
        cx.frames_of(tx.core.id);
        odd.into_iter().for_each(|e| tx.core.raise(e as u8));
        if tx.messages.len() < MAX_MESSAGES && cx.charge(&mut tx.core.charged, size) {
            tx.messages.push(m);
        }
        if last {
            tx.core.finish();
        }
    }

    // A message that answers nothing.
    fn begin(&mut self, d: Direction, m: Kept, mut odd: Vec<Event>, cx: &mut Cx<'_>) {
        if m.kind == 0 {
            odd.push(Event::UnassignedMsgType);
            return self.push(d, m, odd, true, cx);
        }
        if m.kind == kind::CONNECT {
            let open = |t: &Tx| t.messages.first().is_some_and(|f| f.kind == kind::CONNECT);
            if self.connected || self.txs.iter().any(open) {
                odd.push(Event::DoubleConnect);
            }
            if let Some(Body::Connect { version, .. }) = m.body() {
                self.version = version;
            }
        } else if !self.connected && !matches!(m.kind, kind::AUTH) {
            odd.push(Event::UnintroducedMessage);
        }
        let acknowledged = match m.kind {
            kind::PUBLISH => m.qos() > 0,
            kind::CONNECT | kind::SUBSCRIBE | kind::UNSUBSCRIBE | kind::PINGREQ => true,
            _ => false,
        };
        self.push(d, m, odd, !acknowledged, cx);
    }

    fn push(&mut self, d: Direction, m: Kept, odd: Vec<Event>, complete: bool, cx: &mut Cx<'_>) {
        let mut tx = Tx { to_client: d == Direction::ToClient, ..Tx::default() };
        if !cx.charge(&mut tx.core.charged, size_of::<Tx>() + size_of::<Kept>() + m.bytes.len()) {
            return;
        }
        tx.core.only = Some(d);
        tx.messages.push(m);
        odd.into_iter().for_each(|e| tx.core.raise(e as u8));
        if complete {
            tx.core.finish();
        }
        let id = self.txs.push(tx).core.id;
        cx.frames_of(id);
    }
}

impl Protocol for Mqtt {
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
            let (kind, flags, head, len) = match message::head(rest) {
                Head::Is(kind, flags, head, len) => (kind, flags, head, len),
                Head::More if input.eof => break,
                Head::More => return Step::More { consumed: at, needed: rest.len() + 1 },
                Head::Bad => {
                    let m = Kept { version: self.version, skipped: Some(0), ..Kept::default() };
                    self.push(d, m, vec![Event::MalformedTraffic], true, cx);
                    return Step::Error;
                }
            };
            let version = self.version;
            let marks = |cx: &mut Cx<'_>| {
                cx.frame(Kind::MqttPdu, rest.len(), (head + len) as u64);
                cx.frame(Kind::MqttHeader, rest.len(), head as u64);
                cx.frame(Kind::MqttData, rest.len() - head, len as u64); // a head is part of what it was read from
            };
            if len > cx.config.mqtt.max_message {
                marks(cx);
                self.skip.set(d, len as u64);
                at += head;
                let skipped = Some((head + len) as u64);
                self.message(d, Kept { kind, flags, version, bytes: Vec::new(), skipped }, cx);
                continue;
            }
            let Some(bytes) = rest.get(head..head + len) else {
                if input.eof {
                    break;
                }
                return Step::More { consumed: at, needed: head + len };
            };
            at += head + len;
            marks(cx);
            self.message(d, Kept { kind, flags, version, bytes: bytes.to_vec(), skipped: None }, cx);
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, d: Direction, len: u64, _: &mut Cx<'_>) -> Step {
        self.skip.gap(d, len)
    }
    fn proto(&self) -> AppProto {
        AppProto::Mqtt
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        (direction == tx.way()).then(|| detect::buffer(tx, buffer, index)).flatten()
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        (direction == tx.way()).then(|| detect::number(tx, field, index)).flatten()
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        let known = tx.messages.iter().any(|m| log::kind_name(m.kind).is_some());
        known.then_some(("mqtt", Some(tx.way())))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        log::write(tx, &config.mqtt, w);
    }
    fn metadata(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::write(tx, &config.mqtt, w);
    }
}

#[cfg(test)]
mod tests;
