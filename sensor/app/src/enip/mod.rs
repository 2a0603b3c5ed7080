// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EtherNet/IP over TCP and UDP: each request with its response, and the CIP services that they carry.
//!
//! Must never wait for more than a frame, whose length is a number of 16 bits. Limits: [`MAX_TXS`], and those of [`parser`].

pub mod log;
pub mod parser;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use self::parser::{Content, HEADER, Identity, Message, Segment, Services, command};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Most requests that wait for their response. Threat: a client that asks and never hears.
pub const MAX_TXS: usize = 256;

/// Names of events, by number.
pub const EVENTS: &[&str] = &["too_many_transactions", "invalid_pdu"];
const TOO_MANY: u8 = 0;
const INVALID: u8 = 1;

/// Of a number for `cip_service`: service, class and attribute in one, each with a bit that says whether there is one.
pub mod asked {
    /// Where the service stands.
    pub const SERVICE: u64 = 1 << 32;
    /// Where the class stands.
    pub const CLASS: u64 = 1 << 16;
    /// There is a class.
    pub const HAS_CLASS: u64 = 1 << 40;
    /// There is an attribute.
    pub const HAS_ATTRIBUTE: u64 = 1 << 41;
}

/// A request and its response.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// The request, where one was seen.
    pub request: Option<Message>,
    /// The response.
    pub response: Option<Message>,
}

impl Tx {
    const fn side(&self, d: Direction) -> Option<&Message> {
        match d {
            Direction::ToServer => self.request.as_ref(),
            Direction::ToClient => self.response.as_ref(),
        }
    }
}

transaction!(Tx);

/// A flow's state.
#[derive(Debug)]
pub struct Enip {
    txs: Txs<Tx>,
}

impl Default for Enip {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS) }
    }
}

impl Enip {
    fn take(&mut self, d: Direction, m: Message, cx: &mut Cx<'_>) {
        let size = m.held();
        let damaged = m.damaged;
        let h = m.header;
        // A session's number is the server's answer to its registration.
        let asked = |t: &&mut Tx| {
            t.response.is_none()
                && t.core.progress(Direction::ToClient) < DONE
                && t.request.as_ref().is_some_and(|r| {
                    r.header.command == h.command
                        && (h.command == command::REGISTER_SESSION || r.header.session == h.session)
                })
        };
        if d == Direction::ToClient
            && let Some(tx) = self.txs.iter_mut().find(asked)
        {
            if cx.charge(&mut tx.core.charged, size) {
                tx.response = Some(m);
            }
            if damaged {
                tx.core.raise(INVALID);
            }
            tx.core.reach(Direction::ToClient, DONE);
            return;
        }
        let mut tx = Tx::default();
        if !cx.charge(&mut tx.core.charged, size_of::<Tx>() + size) {
            return;
        }
        if damaged {
            tx.core.raise(INVALID);
        }
        tx.core.reach(d, DONE);
        match d {
            Direction::ToServer => {
                tx.request = Some(m);
                // These have no answer.
                if matches!(h.command, command::NOP | command::UNREGISTER_SESSION) {
                    tx.core.only = Some(d);
                    tx.core.finish();
                }
            }
            Direction::ToClient => {
                tx.response = Some(m);
                tx.core.only = Some(d);
                tx.core.finish();
            }
        }
        let before = self.txs.crowded;
        self.txs.push(tx);
        if self.txs.crowded > before
            && let Some(tx) = self.txs.last()
        {
            tx.core.raise(TOO_MANY);
        }
    }
}

impl Protocol for Enip {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = EVENTS;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            let header = parser::header(rest);
            let whole = header.map_or(HEADER, |h| HEADER + usize::from(h.length));
            let (Some(header), Some(body)) = (header, rest.get(HEADER..whole)) else {
                if input.eof || input.datagram {
                    break;
                }
                return Step::More { consumed: at, needed: whole };
            };
            at += whole;
            let message = parser::message(header, body, input.direction == Direction::ToClient);
            self.take(input.direction, message, cx);
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, _: Direction, _: u64, _: &mut Cx<'_>) -> Step {
        Step::Error // where the next frame begins is not known
    }
    fn proto(&self) -> AppProto {
        AppProto::Enip
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, d: Direction, index: usize) -> Option<&'a [u8]> {
        match (buffer, &tx.side(d)?.content) {
            (Buffer::EnipProductName, Content::Identity(i)) if index == 0 => Some(&i.name),
            (Buffer::EnipServiceName, Content::Services(s)) if index == 0 => Some(&s.name),
            _ => None,
        }
    }
    fn number(&self, tx: &Tx, field: Field, d: Direction, index: usize) -> Option<u64> {
        number(tx.side(d)?, field, index)
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        (tx.request.is_some() || tx.response.is_some()).then_some(("enip", None))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        self.metadata(tx, config, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        log::write(tx, w);
    }
}

fn number(m: &Message, field: Field, index: usize) -> Option<u64> {
    let segments = |of: fn(&Segment) -> bool| {
        m.services().iter().flat_map(|s| &s.path).filter(move |p| of(p)).map(|p| u64::from(p.value)).nth(index)
    };
    match field {
        Field::CipService => m.asked.get(index).copied(),
        Field::EnipCipClass => segments(Segment::is_class),
        Field::EnipCipInstance => segments(Segment::is_instance),
        Field::EnipCipAttribute => m.services().iter().flat_map(|s| s.named()).nth(index).map(u64::from),
        Field::EnipCipStatus => m.services().iter().filter(|s| s.response).nth(index).map(|s| s.status.into()),
        Field::EnipCipExtendedstatus => {
            m.services().iter().filter_map(|s| s.extended.first()).nth(index).map(|n| u64::from(*n))
        }
        _ if index > 0 => None,
        Field::EnipCommand => Some(m.header.command.into()),
        Field::EnipStatus => Some(m.header.status.into()),
        _ => match &m.content {
            Content::Session(version, _) if field == Field::EnipProtocolVersion => Some((*version).into()),
            Content::Identity(i) => of_identity(i, field),
            Content::Services(s) => of_services(s, field),
            _ => None,
        },
    }
}

fn of_identity(i: &Identity, field: Field) -> Option<u64> {
    Some(match field {
        Field::EnipProtocolVersion => i.protocol_version.into(),
        Field::EnipRevision => u64::from(i.revision.0) << 8 | u64::from(i.revision.1),
        Field::EnipIdentityStatus => i.status.into(),
        Field::EnipState => i.state.into(),
        Field::EnipSerial => i.serial.into(),
        Field::EnipProductCode => i.product.into(),
        Field::EnipDeviceType => i.device.into(),
        Field::EnipVendorId => i.vendor.into(),
        _ => return None,
    })
}

fn of_services(s: &Services, field: Field) -> Option<u64> {
    Some(match field {
        Field::EnipProtocolVersion => s.protocol_version.into(),
        Field::EnipCapabilities => s.capabilities.into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
