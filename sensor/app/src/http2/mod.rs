// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! HTTP/2: frames, header blocks, bodies; each stream is a transaction with the buffers of HTTP/1.
//!
//! Rooms: `parser` (frames), `hpack` (header blocks), `doh` (DNS in it), `events`. What a transaction keeps, its bodies, files, buffers and
//! EVE are those of [`crate::http1`]. Frames of the connection (SETTINGS, PING, GOAWAY, WINDOW_UPDATE of stream 0) are
//! transactions of their own, as Suricata has them, beside the streams. Must never keep more than [`MAX_TXS`] open streams,
//! [`MAX_CONTROLS`] frames of the connection or a header block beyond [`MAX_BLOCK`]. After a header block that cannot be decoded
//! the table of that direction is lost, and with it the fields of that direction; frames and bodies go on.

pub mod doh;
pub mod events;
pub mod hpack;
pub mod parser;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use self::{
    events::Event,
    parser::{Frame, kind},
};
use crate::{
    buffer::{Buffer, Field},
    config::{Config, Mode},
    dns,
    file::Files,
    http1::{self, Flowing, Tx},
    protocol::{Cx, Input, Protocol, Step, Transaction as _, own_txs},
    tx::{DONE, Txs},
};

/// Most streams of a flow that are open. Threat: a client that opens and never ends.
pub const MAX_TXS: usize = 512;
/// Most frames of the connection that wait to be inspected and written. Threat: PING and SETTINGS without end, and no packet
/// that lets them go. The oldest goes; streams stay.
pub const MAX_CONTROLS: usize = 512;
/// Bytes of a header block at most, CONTINUATION frames and all. Threat: CONTINUATION without end.
pub const MAX_BLOCK: usize = 64 * 1024;
/// Kinds of frames that a transaction notes in each direction.
pub const MAX_NOTED: usize = 64;

/// What a transaction has of HTTP/2 beside what HTTP/1 has.
#[derive(Debug, Default)]
pub struct Part {
    /// Its stream.
    pub stream: u32,
    /// Settings, by [`Direction::index`].
    pub settings: [Vec<(u16, u32)>; 2],
    /// Error codes of RST_STREAM and GOAWAY.
    pub error: [Option<u32>; 2],
    /// Weight.
    pub priority: [Option<u8>; 2],
    /// Window increments.
    pub window: [Option<u32>; 2],
    /// Sizes of the dynamic table that its header blocks stated.
    pub updates: [Vec<usize>; 2],
    /// Kinds of its frames, in order.
    pub frames: [Vec<u8>; 2],
    /// DNS that it carries.
    pub doh: Option<Box<doh::Doh>>,
    flowing: [Flowing; 2],
}

#[derive(Debug, Default)]
struct Side {
    table: hpack::Decoder,
    // The table is lost.
    broken: bool,
    // A header block that goes on: stream of its transaction, whether the stream ends with it, the bytes.
    block: Option<(u32, bool, Vec<u8>)>,
    // A DATA frame on its way: stream, bytes left, padding behind, whether the stream ends with it.
    data: Option<(u32, usize, usize, bool)>,
    // A payload that is not read.
    skip: usize,
    began: bool,
}

/// A flow's state.
#[derive(Debug)]
pub struct Http2 {
    txs: Txs<Tx>,
    sides: [Side; 2],
    /// The highest stream that the client began.
    highest: u32,
    /// A stream of it carried DNS.
    dns: bool,
}

impl Default for Http2 {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS), sides: [Side::default(), Side::default()], highest: 0, dns: false }
    }
}

impl Http2 {
    fn step(&mut self, d: Direction, data: &[u8], cx: &mut Cx<'_>) -> Step {
        let i = d.index();
        let side = &mut self.sides[i]; // an index of two
        if side.skip > 0 {
            let n = data.len().min(side.skip);
            side.skip -= n;
            return Step::Ok(n);
        }
        if let Some((stream, left, pad, end)) = side.data {
            let n = data.len().min(left);
            side.data = (n < left).then_some((stream, left - n, pad, end));
            if n == left {
                side.skip = pad;
            }
            self.body(d, stream, data.get(..n).unwrap_or_default(), cx);
            if n == left && end {
                self.end_of_stream(d, stream, cx);
            }
            return Step::Ok(n);
        }
        if !std::mem::replace(&mut side.began, true) && d == Direction::ToServer {
            let n = parser::PREFACE.len().min(data.len());
            if data.get(..n) == parser::PREFACE.get(..n) {
                if n < parser::PREFACE.len() {
                    side.began = false;
                    return Step::More { consumed: 0, needed: parser::PREFACE.len() };
                }
                return Step::Ok(n);
            }
            self.odd(d, Event::InvalidClientMagic, cx);
        }
        let Some(frame) = parser::frame(data) else {
            return Step::More { consumed: 0, needed: parser::HEAD };
        };
        self.frame(d, frame, data.get(parser::HEAD..).unwrap_or_default(), cx)
    }

    fn frame(&mut self, d: Direction, frame: Frame, rest: &[u8], cx: &mut Cx<'_>) -> Step {
        let i = d.index();
        if frame.kind > kind::CONTINUATION {
            // An extension's frame, or no HTTP/2 at all.
            if frame.len > parser::MAX_FRAME {
                self.odd(d, Event::InvalidFrameHeader, cx);
                return Step::Error;
            }
            self.sides[i].skip = frame.len;
            return Step::Ok(parser::HEAD);
        }
        if frame.kind == kind::DATA {
            return self.data_frame(d, frame, rest, cx);
        }
        if frame.len > parser::MAX_FRAME {
            self.odd(d, Event::LongFrameData, cx);
            self.sides[i].skip = frame.len;
            self.sides[i].broken |= matches!(frame.kind, kind::HEADERS | kind::CONTINUATION | kind::PUSH_PROMISE);
            return Step::Ok(parser::HEAD);
        }
        let Some(payload) = rest.get(..frame.len) else {
            return Step::More { consumed: 0, needed: parser::HEAD + frame.len };
        };
        if frame.kind == kind::HEADERS {
            let (had, begins) = (self.find(frame.stream).is_some(), d == Direction::ToServer);
            let again = begins && !had && frame.stream != 0 && frame.stream <= self.highest;
            if begins {
                self.highest = self.highest.max(frame.stream);
            }
            // Its first frame is noted too.
            if let Some(tx) = self.stream(frame.stream, cx).filter(|_| again) {
                tx.core_mut().raise(Event::StreamIdReuse as u8);
            }
        }
        self.note(d, frame);
        let read = match frame.kind {
            kind::HEADERS => match parser::headers(payload, frame.flags) {
                Some((block, weight)) => {
                    let end = frame.flags & parser::END_STREAM != 0;
                    self.begin_block(d, frame.stream, end, block, frame.flags, cx);
                    if let (Some(w), Some(p)) = (weight, self.part(frame.stream)) {
                        p.priority[i] = Some(w);
                    }
                    true
                }
                None => false,
            },
            kind::CONTINUATION => {
                self.go_on_block(d, payload, frame.flags, cx);
                true
            }
            kind::PUSH_PROMISE => match parser::push_promise(payload, frame.flags) {
                Some((promised, block)) => {
                    self.begin_block(d, promised, false, block, frame.flags, cx);
                    true
                }
                None => false,
            },
            kind::RST_STREAM => match parser::number(payload, 0) {
                Some(code) => {
                    if let Some(p) = self.part(frame.stream) {
                        p.error[i] = Some(code);
                    }
                    self.end_of_stream(Direction::ToServer, frame.stream, cx);
                    self.end_of_stream(Direction::ToClient, frame.stream, cx);
                    true
                }
                None => false,
            },
            kind::SETTINGS if frame.flags & parser::END_STREAM == 0 => {
                let settings: Vec<_> = parser::settings(payload).take(MAX_NOTED).collect();
                if let Some((_, size)) = settings.iter().rev().find(|(id, _)| *id == 1) {
                    // What this side allows, the other one's table may use.
                    self.sides[1 - i].table.allow(*size);
                }
                self.control(d, frame, cx, |p| p.settings[i] = settings);
                payload.len() % 6 == 0
            }
            kind::GOAWAY => {
                let code = parser::number(payload, 4);
                self.control(d, frame, cx, |p| p.error[i] = code);
                code.is_some()
            }
            kind::WINDOW_UPDATE => {
                let n = parser::number(payload, 0);
                if frame.stream == 0 {
                    self.control(d, frame, cx, |p| p.window[i] = n);
                } else if let Some(p) = self.part(frame.stream) {
                    p.window[i] = n;
                }
                n.is_some()
            }
            kind::PRIORITY => {
                // A stream that is not opened yet may have a place in the order.
                let weight = payload.get(4).copied().filter(|_| payload.len() == 5);
                if let (Some(w), Some(tx)) = (weight, self.stream(frame.stream, cx))
                    && let Some(p) = tx.h2.as_deref_mut()
                {
                    p.priority[i] = Some(w);
                }
                weight.is_some()
            }
            kind::PING if frame.stream == 0 => {
                self.control(d, frame, cx, |_| {});
                true
            }
            _ => true,
        };
        if !read {
            // Kinds with a length of their own (RFC 9113, 6.3, 6.4, 6.8, 6.9).
            let fixed = matches!(frame.kind, kind::PRIORITY | kind::RST_STREAM | kind::GOAWAY | kind::WINDOW_UPDATE);
            self.odd(d, if fixed { Event::InvalidFrameLength } else { Event::InvalidFrameData }, cx);
        }
        Step::Ok(parser::HEAD + frame.len)
    }

    fn data_frame(&mut self, d: Direction, frame: Frame, rest: &[u8], cx: &mut Cx<'_>) -> Step {
        if frame.stream == 0 {
            self.odd(d, Event::DataStreamZero, cx);
        }
        let (mut head, mut pad) = (parser::HEAD, 0);
        if frame.flags & parser::PADDED != 0 && frame.len > 0 {
            let Some(p) = rest.first() else {
                return Step::More { consumed: 0, needed: parser::HEAD + 1 };
            };
            pad = usize::from(*p);
            head += 1;
        }
        self.note(d, frame);
        let payload = (frame.len + parser::HEAD).saturating_sub(head);
        let left = payload.checked_sub(pad).unwrap_or_else(|| {
            pad = payload;
            0
        });
        let end = frame.flags & parser::END_STREAM != 0;
        let side = &mut self.sides[d.index()];
        if left == 0 {
            side.skip = pad;
            if end {
                self.end_of_stream(d, frame.stream, cx);
            }
        } else {
            side.data = Some((frame.stream, left, pad, end));
        }
        Step::Ok(head)
    }

    // --- header blocks ---

    fn begin_block(&mut self, d: Direction, stream: u32, end: bool, block: &[u8], flags: u8, cx: &mut Cx<'_>) {
        if flags & parser::END_HEADERS == 0 {
            self.sides[d.index()].block = Some((stream, end, block.to_vec()));
            return;
        }
        self.block(d, stream, end, block, cx);
    }

    fn go_on_block(&mut self, d: Direction, more: &[u8], flags: u8, cx: &mut Cx<'_>) {
        let side = &mut self.sides[d.index()];
        let Some((stream, end, mut bytes)) = side.block.take() else {
            return self.odd(d, Event::ExtraHeaderData, cx);
        };
        if bytes.len() + more.len() > MAX_BLOCK {
            side.broken = true;
            return self.odd(d, Event::ReassemblyLimitReached, cx);
        }
        bytes.extend_from_slice(more);
        if flags & parser::END_HEADERS == 0 {
            side.block = Some((stream, end, bytes));
        } else {
            self.block(d, stream, end, &bytes, cx);
        }
    }

    fn block(&mut self, d: Direction, stream: u32, end: bool, bytes: &[u8], cx: &mut Cx<'_>) {
        let side = &mut self.sides[d.index()];
        let decoded = if side.broken { Ok(Vec::new()) } else { side.table.block(bytes) };
        let fields = match decoded {
            Ok(fields) => fields,
            Err(e) => {
                side.broken = true;
                let what = match e {
                    hpack::Error::Number => Event::HeaderIntegerOverflow,
                    _ => Event::InvalidHeader,
                };
                self.odd(d, what, cx);
                Vec::new()
            }
        };
        // A promise carries a request, though it comes from the server.
        let asks = fields.iter().any(|f| f.name == b":method");
        let way = if asks { Direction::ToServer } else { d };
        let updates = self.sides[d.index()].table.updates().to_vec();
        let Some(tx) = self.stream(stream, cx) else { return };
        if let Some(p) = tx.h2.as_deref_mut().filter(|p| p.updates[way.index()].len() < MAX_NOTED) {
            p.updates[way.index()].extend(updates);
        }
        let size: usize = fields.iter().map(|f| f.name.len() + f.value.len() + 32).sum();
        if !cx.charge(&mut tx.core_mut().charged, 2 * size) {
            return;
        }
        let odd = tx.head2(way, &fields, cx);
        if let Some(mut flowing) = tx.h2.as_deref_mut().map(|p| std::mem::take(&mut p.flowing[way.index()])) {
            flowing.open(tx, way, cx);
            if let Some(p) = tx.h2.as_deref_mut() {
                p.flowing[way.index()] = flowing;
            }
        }
        for e in odd {
            tx.core_mut().raise(e as u8);
        }
        let speaks = cx.config.mode(AppProto::Doh2, true) == Mode::On && doh::begin(tx, way, cx);
        self.dns |= speaks;
        if way != d {
            self.end_of_stream(way, stream, cx);
        } else if end {
            self.end_of_stream(d, stream, cx);
        }
    }

    /// Takes the request with which HTTP/1 was left: the client has said all of the first stream.
    pub(crate) fn upgraded(&mut self, fields: &[hpack::Field], cx: &mut Cx<'_>) {
        const FIRST: u32 = 1;
        let size: usize = fields.iter().map(|f| f.name.len() + f.value.len() + 32).sum();
        let Some(tx) = self.stream(FIRST, cx) else { return };
        if !cx.charge(&mut tx.core_mut().charged, 2 * size) {
            return;
        }
        for e in tx.head2(Direction::ToServer, fields, cx) {
            tx.core_mut().raise(e as u8);
        }
        self.highest = FIRST;
        self.end_of_stream(Direction::ToServer, FIRST, cx);
    }

    // --- streams ---

    fn find(&mut self, stream: u32) -> Option<&mut Tx> {
        let is = |t: &&mut Tx| !t.core().finished() && t.h2.as_ref().is_some_and(|p| p.stream == stream && stream != 0);
        self.txs.iter_mut().rev().find(is)
    }
    fn part(&mut self, stream: u32) -> Option<&mut Part> {
        self.find(stream)?.h2.as_deref_mut()
    }
    // The transaction of a stream, new where there is none yet.
    fn stream(&mut self, stream: u32, cx: &mut Cx<'_>) -> Option<&mut Tx> {
        if stream == 0 {
            return None;
        }
        if self.find(stream).is_none() {
            let mut tx = Tx::of_http2(Part { stream, ..Part::default() });
            if !cx.charge(&mut tx.core_mut().charged, size_of::<Tx>() + size_of::<Part>()) {
                return None;
            }
            let crowded = self.txs.crowded;
            self.txs.push(tx);
            if self.txs.crowded > crowded
                && let Some(tx) = self.txs.last()
            {
                tx.core_mut().raise(Event::TooManyStreams as u8);
            }
        }
        self.find(stream)
    }
    // A frame that is a transaction of its own.
    fn control(&mut self, d: Direction, frame: Frame, cx: &mut Cx<'_>, fill: impl FnOnce(&mut Part)) {
        let mut part = Part { stream: frame.stream, ..Part::default() };
        fill(&mut part);
        part.frames[d.index()].push(frame.kind);
        let mut tx = Tx::of_http2(part);
        if cx.charge(&mut tx.core_mut().charged, size_of::<Tx>() + size_of::<Part>() + MAX_NOTED) {
            tx.core_mut().only = Some(d);
            self.txs.push_beside(tx, MAX_CONTROLS);
        }
    }
    fn odd(&mut self, d: Direction, e: Event, cx: &mut Cx<'_>) {
        if self.txs.is_empty() {
            self.control(d, Frame { len: 0, kind: u8::MAX, flags: 0, stream: 0 }, cx, |_| {});
        }
        if let Some(tx) = self.txs.last() {
            tx.core_mut().raise(e as u8);
        }
    }
    fn note(&mut self, d: Direction, frame: Frame) {
        let Some(tx) = self.find(frame.stream) else { return };
        let full = match tx.h2.as_deref_mut() {
            Some(p) if p.frames[d.index()].len() < MAX_NOTED => {
                p.frames[d.index()].push(frame.kind);
                false
            }
            _ => true,
        };
        if full && !tx.core().events.has(Event::TooManyFrames as u8) && frame.kind != kind::DATA {
            tx.core_mut().raise(Event::TooManyFrames as u8);
        }
    }

    fn body(&mut self, d: Direction, stream: u32, bytes: &[u8], cx: &mut Cx<'_>) {
        let Some(tx) = self.find(stream) else { return };
        let Some(mut flowing) = tx.h2.as_deref_mut().map(|p| std::mem::take(&mut p.flowing[d.index()])) else { return };
        flowing.push(tx, d, bytes, cx);
        doh::push(tx, d, bytes, cx);
        if let Some(p) = tx.h2.as_deref_mut() {
            p.flowing[d.index()] = flowing;
        }
    }
    fn end_of_stream(&mut self, d: Direction, stream: u32, cx: &mut Cx<'_>) {
        if let Some(tx) = self.find(stream) {
            close(tx, d, true);
            doh::end(tx, d, cx);
            tx.core_mut().reach(d, DONE);
        }
    }
}

fn close(tx: &mut Tx, d: Direction, whole: bool) {
    if let Some(flowing) = tx.h2.as_deref_mut().map(|p| std::mem::take(&mut p.flowing[d.index()])) {
        flowing.close(tx, d, whole);
    }
}

impl Protocol for Http2 {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = events::NAMES;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            match self.step(input.direction, rest, cx) {
                Step::Ok(n) => at += n,
                Step::More { .. } if input.eof => break,
                Step::More { consumed, needed } => return Step::More { consumed: at + consumed, needed },
                Step::Error => return Step::Error,
            }
        }
        if input.eof {
            for tx in self.txs.iter_mut().filter(|t| !t.core().finished()) {
                close(tx, input.direction, false);
                tx.core_mut().reach(input.direction, DONE);
            }
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, d: Direction, len: u64, cx: &mut Cx<'_>) -> Step {
        // Only inside DATA is it known where the next frame begins.
        let side = &mut self.sides[d.index()];
        let n = usize::try_from(len).unwrap_or(usize::MAX);
        if n <= side.skip {
            side.skip -= n;
            return Step::Ok(0);
        }
        let Some((stream, left, pad, end)) = side.data.filter(|(_, left, ..)| n < *left) else { return Step::Error };
        side.data = Some((stream, left - n, pad, end));
        if let Some(tx) = self.find(stream)
            && let Some(mut flowing) = tx.h2.as_deref_mut().map(|p| std::mem::take(&mut p.flowing[d.index()]))
        {
            flowing.gap(tx, d, len, cx);
            doh::gap(tx, d);
            if let Some(p) = tx.h2.as_deref_mut() {
                p.flowing[d.index()] = flowing;
            }
        }
        Step::Ok(0)
    }
    fn proto(&self) -> AppProto {
        if self.dns { AppProto::Doh2 } else { AppProto::Http2 }
    }
    fn finish(&mut self) {
        for tx in self.txs.iter_mut() {
            close(tx, Direction::ToServer, false);
            close(tx, Direction::ToClient, false);
            tx.core_mut().finish();
        }
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        match buffer {
            Buffer::Http2HeaderName => {
                let m = tx.message(direction)?;
                m.fields().nth(index).map(|(name, _)| name)
            }
            Buffer::HttpProtocol if index == 0 => tx.message(direction).map(|_| &b"HTTP/2"[..]),
            _ => match tx.carried(direction) {
                Some(message) if buffer.name().starts_with("dns.") => {
                    dns::detect::buffer(dns::Kind::Dns, message, buffer, index)
                }
                _ => http1::detect::buffer(tx, buffer, direction, index),
            },
        }
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        let p = tx.h2.as_deref()?;
        let i = direction.index();
        let one = |n: Option<u64>| n.filter(|_| index == 0);
        match field {
            Field::Http2Frametype => p.frames[i].get(index).map(|k| u64::from(*k)),
            Field::Http2Errorcode => one(p.error[i].map(u64::from)),
            Field::Http2Priority => one(p.priority[i].map(u64::from)),
            Field::Http2Window => one(p.window[i].map(u64::from)),
            Field::Http2SizeUpdate => p.updates[i].get(index).map(|n| *n as u64),
            // The setting's number in front of its value, as the rules ask for them.
            Field::Http2Settings => p.settings[i].get(index).map(|(id, v)| u64::from(*id) << 32 | u64::from(*v)),
            Field::DnsOpcode | Field::DnsRcode | Field::DnsRrtype => {
                dns::detect::number(tx.carried(direction)?, field, index)
            }
            _ => http1::detect::number(tx, field, direction, index),
        }
    }
    fn buffer_at(buffer: Buffer, _: Direction) -> u8 {
        if buffer.name().starts_with("dns.") { DONE } else { http1::detect::buffer_at(buffer) }
    }
    fn number_at(field: Field, _: Direction) -> u8 {
        match field {
            Field::Urilen | Field::UrilenRaw => http1::HEAD,
            _ => DONE,
        }
    }
    fn header<'a>(&'a self, tx: &'a Tx, name: &[u8]) -> Option<&'a [u8]> {
        tx.request.as_ref()?.message.value(name)
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        let said = |p: &Part| {
            (0..2).any(|i| !p.settings[i].is_empty() || p.error[i].is_some() || p.priority[i].is_some()) // of two
        };
        let worth = tx.request.is_some() || tx.response.is_some() || tx.h2.as_deref().is_some_and(said);
        let carries = [Direction::ToServer, Direction::ToClient].iter().any(|d| tx.carried(*d).is_some());
        worth.then_some((if carries { "doh2" } else { "http" }, None))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core().id);
        write(tx, config, http1::log::Of::Event, w);
    }
    fn metadata(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        write(tx, config, http1::log::Of::Alert, w);
    }
    fn files<'a>(&'a self, tx: &'a Tx) -> Option<&'a Files> {
        Some(&tx.files)
    }
    fn files_mut(&mut self, place: usize) -> Option<&mut Files> {
        self.txs.at_mut(place).map(|t| &mut t.files)
    }
}

fn write(tx: &Tx, config: &Config, of: http1::log::Of, w: &mut JsonWriter) {
    http1::log::write(tx, &config.http_written, of, w);
    // What was answered, which says what was asked too; else what was asked.
    if let Some(message) = tx.carried(Direction::ToClient).or_else(|| tx.carried(Direction::ToServer)) {
        dns::log::event(dns::Kind::Dns, message, &config.dns, w);
    }
}

#[cfg(test)]
mod tests;
