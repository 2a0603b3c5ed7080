// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! HTTP/1 (and 0.9) with the tolerance of a sensor: what a receiver might understand is understood, and what is odd about
//! it is an event.
//!
//! Rooms: `parser` (heads), `uri` (normalisation), `head` (what a head says), `side` (the machine of one direction),
//! `message` (what a transaction keeps), `body` (codings, files, forms), `log`, `detect`, `events`, `choices`. Requests and
//! responses are paired in order. Must never keep bytes of a body beyond its window, and never go on when a head is longer
//! than [`parser::MAX_HEAD`]. Limits: [`MAX_TXS`] and those of the rooms.

mod body;
pub mod choices;
pub mod detect;
pub mod events;
mod frames;
mod head;
pub mod log;
pub mod message;
pub mod multipart;
pub mod parser;
mod side;
pub mod uri;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

pub use self::{body::Flowing, choices::Choices, log::Written};
use self::{
    events::Event,
    message::{Request, Response},
    side::Side,
};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    file::Files,
    http2,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{TxCore, Txs},
};

/// Most transactions of a flow that are open; libhtp's. Threat: a client that pipelines and never reads.
pub const MAX_TXS: usize = 512;

/// The start line and the fields are there.
pub const HEAD: u8 = 1;

/// A request and its response.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// The request, where one was seen.
    pub request: Option<Request>,
    /// The response, where one was seen.
    pub response: Option<Response>,
    /// Files of both.
    pub files: Files,
    /// Interim responses (100) seen.
    continues: u8,
    /// What HTTP/2 has beside, where it is that.
    pub h2: Option<Box<http2::Part>>,
}

transaction!(Tx);

impl Tx {
    fn raise(&mut self, e: Event) {
        let number = match (e, &self.h2) {
            (e, None) => e as u8,
            (Event::GzipDecompressionFailed | Event::CompressionBomb, Some(_)) => {
                http2::events::Event::FailedDecompression as u8
            }
            (Event::RangeInvalid, Some(_)) => http2::events::Event::InvalidRange as u8,
            // HTTP/2 has no such event.
            _ => return,
        };
        if !self.core.events.has(number) {
            self.core.raise(number);
        }
    }

    /// Of an HTTP/2 stream.
    pub(crate) fn of_http2(part: http2::Part) -> Self {
        Self { h2: Some(Box::new(part)), ..Self::default() }
    }

    /// Takes the fields of an HTTP/2 header block as the message's head; fields behind a body are not looked at. What is
    /// odd about them.
    pub(crate) fn head2(
        &mut self,
        d: Direction,
        fields: &[http2::hpack::Field],
        cx: &Cx<'_>,
    ) -> Vec<http2::events::Event> {
        let mut odd = Vec::new();
        if self.message(d).is_some() && self.message(d).is_some_and(|m| !m.head.fields.is_empty()) {
            return odd;
        }
        let value = |name: &[u8]| fields.iter().find(|f| f.name == name).map(|f| f.value.as_slice());
        match d {
            Direction::ToServer => {
                let path = value(b":path").unwrap_or_default();
                let method = value(b":method").unwrap_or_default();
                let line = [method, b" ", path, b" HTTP/2\r\n"].concat();
                let head =
                    parser::Head::from_fields(&line, fields.iter().map(|f| (f.name.as_slice(), f.value.as_slice())));
                let parts = parser::request_line(head.line());
                let normal = uri::normalise(path, false, &cx.config.http.uri);
                let mut r = Request::new(message::Message::new(head, cx.config.http.request), parts, &normal);
                let authority = value(b":authority");
                let host = value(b"host");
                if let Some(a) = authority.or(host) {
                    if a.contains(&b'@') {
                        odd.push(http2::events::Event::UserinfoInUri);
                    }
                    r.set_host(&parser::authority(a));
                }
                if authority.zip(host).is_some_and(|(a, h)| !a.eq_ignore_ascii_case(h)) {
                    odd.push(http2::events::Event::AuthorityHostMismatch);
                }
                self.request = Some(r);
            }
            Direction::ToClient => {
                let line = [&b"HTTP/2 "[..], value(b":status").unwrap_or_default(), b"\r\n"].concat();
                let head =
                    parser::Head::from_fields(&line, fields.iter().map(|f| (f.name.as_slice(), f.value.as_slice())));
                let parts = parser::status_line(head.line());
                let status = parts.number(head.line());
                let message = message::Message::new(head, cx.config.http.response);
                self.response = Some(Response { message, line: parts, status });
            }
        }
        self.core.reach(d, HEAD);
        odd
    }
    /// The DNS message that an HTTP/2 stream carries this way.
    pub(crate) fn carried(&self, d: Direction) -> Option<&crate::dns::Tx> {
        self.h2.as_deref()?.doh.as_deref()?.messages[d.index()].as_deref() // an index of two
    }
    /// The message that goes this way.
    pub fn message(&self, d: Direction) -> Option<&message::Message> {
        match d {
            Direction::ToServer => self.request.as_ref().map(|r| &r.message),
            Direction::ToClient => self.response.as_ref().map(|r| &r.message),
        }
    }
    fn message_mut(&mut self, d: Direction) -> Option<&mut message::Message> {
        match d {
            Direction::ToServer => self.request.as_mut().map(|r| &mut r.message),
            Direction::ToClient => self.response.as_mut().map(|r| &mut r.message),
        }
    }
}

/// A flow's state.
#[derive(Debug)]
pub struct Http1 {
    txs: Txs<Tx>,
    sides: [Side; 2],
}

impl Default for Http1 {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS), sides: [Side::default(), Side::default()] }
    }
}

impl Http1 {
    /// The last request, as HTTP/2 would begin its head: where the client asks for HTTP/2 it is that of the first stream
    /// (RFC 7540, 3.2). Its other fields are looked at in HTTP/1 and not again, as in Suricata.
    pub(crate) fn upgraded(&self) -> Vec<http2::hpack::Field> {
        let Some(r) = self.txs.iter().last().and_then(|t| t.request.as_ref()) else { return Vec::new() };
        let host = r.message.value(b"host").map(|host| (&b":authority"[..], host));
        let line = [(&b":method"[..], r.method()), (&b":path"[..], r.uri_raw())];
        let field = |(name, value): (&[u8], &[u8])| http2::hpack::Field { name: name.to_vec(), value: value.to_vec() };
        line.into_iter().chain(host).map(field).collect()
    }
}

impl Protocol for Http1 {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = events::NAMES;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        self.run(input.direction, input.data, input.eof, cx)
    }
    fn gap(&mut self, direction: Direction, len: u64, cx: &mut Cx<'_>) -> Step {
        self.lost(direction, len, cx);
        Step::Ok(0)
    }
    fn proto(&self) -> AppProto {
        AppProto::Http
    }
    fn finish(&mut self) {
        for d in [Direction::ToServer, Direction::ToClient] {
            self.cut_off(d);
        }
        for tx in self.txs.iter_mut() {
            tx.files.finish(Direction::ToServer);
            tx.files.finish(Direction::ToClient);
            tx.core.finish();
        }
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        detect::buffer(tx, buffer, direction, index)
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        detect::number(tx, field, direction, index)
    }
    fn buffer_at(buffer: Buffer, _: Direction) -> u8 {
        detect::buffer_at(buffer)
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        HEAD
    }
    fn header<'a>(&'a self, tx: &'a Tx, name: &[u8]) -> Option<&'a [u8]> {
        tx.request.as_ref()?.message.value(name)
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        (tx.request.is_some() || tx.response.is_some()).then_some(("http", None))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        log::write(tx, &config.http_written, log::Of::Event, w);
    }
    fn metadata(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::write(tx, &config.http_written, log::Of::Alert, w);
    }
    fn files<'a>(&'a self, tx: &'a Tx) -> Option<&'a Files> {
        Some(&tx.files)
    }
    fn files_mut(&mut self, place: usize) -> Option<&mut Files> {
        self.txs.at_mut(place).map(|t| &mut t.files)
    }
}

#[cfg(test)]
mod tests;
