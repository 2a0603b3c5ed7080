// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Bodies on their way: codings undone, shown to detection piece by piece, and kept account of as files.
//!
//! A response's body is a file, a request's where it is a PUT or a POST; a form's parts are files of their own. Must never
//! keep more of a body than its window.

use lagewarte_flow::Direction;

use super::{
    Event, Http1, Tx,
    message::Request,
    multipart::{self, Form},
};
use crate::{
    codec::{Decoder, Oddities},
    file::{File, MAX_NAME, Pieces, Window},
    protocol::Cx,
};

/// A body on its way: its codings, and its form where it is one.
#[derive(Debug, Default)]
pub struct Flowing {
    decoder: Option<Box<Decoder>>,
    form: Option<Box<Form>>,
    // Behind a gap in coded bytes nothing can be decoded.
    lost: bool,
    // Its files do not end where its inspection does: rules store files, or they have no such limit.
    unlimited: bool,
}

impl Flowing {
    /// A body begins: chooses its decoder and its form.
    pub(crate) fn open(&mut self, tx: &mut Tx, d: Direction, cx: &Cx<'_>) {
        *self = Self::default();
        let Some(m) = tx.message(d) else { return };
        let mut odd = Oddities::default();
        let values = m.head.all(b"content-encoding").map(|f| m.head.get(f.value));
        self.decoder = Decoder::new(values, &cx.config.http.codec, &mut odd);
        if d == Direction::ToServer
            && let Some(boundary) = m.value(b"content-type").and_then(multipart::boundary)
        {
            self.form = Form::new(boundary).map(Box::new);
        }
        raise_odd(tx, odd);
    }

    /// Bytes of it, the transfer coding undone.
    pub(crate) fn push(&mut self, tx: &mut Tx, d: Direction, bytes: &[u8], cx: &mut Cx<'_>) {
        if bytes.is_empty() {
            return;
        }
        let Some(m) = tx.message_mut(d) else { return };
        let first = m.wire_len == 0;
        m.wire_len += bytes.len() as u64;
        if first && self.form.is_none() {
            open_file(tx, d, cx);
        }
        let before = held(tx) + self.memory();
        let files = &cx.config.files;
        self.unlimited = tx.h2.is_some() || files.store.is_some() && files.asked.store;
        let (unlimited, part_pieces) = (self.unlimited, cx.config.http.request);
        let mut sink = Sink { tx, d, form: self.form.as_deref_mut(), news: false, part_pieces, unlimited };
        let mut odd = Oddities::default();
        if first && cx.memory.bombs.spent(cx.time) && self.decoder.as_ref().is_some_and(|d| d.is_dear()) {
            self.decoder = None;
            cx.memory.bombs.undecoded += 1;
        }
        let bomb = self.decoder.as_ref().is_some_and(|d| d.is_bomb());
        match &mut self.decoder {
            _ if self.lost => {} // what was coded is not handed on as if it were not
            Some(decoder) => {
                decoder.push(bytes, &mut |out| sink.take(out, &cx.config.files));
                odd = decoder.odd;
            }
            None => sink.take(bytes, &cx.config.files),
        }
        let news = sink.news;
        if odd.bomb && !bomb {
            cx.memory.bombs.note(cx.time);
        }
        raise_odd(tx, odd);
        if news {
            tx.core.touch(d);
        }
        let grown = (held(tx) + self.memory()).saturating_sub(before);
        if grown > 0 && !cx.charge(&mut tx.core.charged, grown) {
            // The memory cap: this body is no longer kept, its size goes on being counted.
            self.lost = true;
            self.decoder = None;
            tx.files.finish(d); // what there is of a file is not the whole
        }
    }

    fn memory(&self) -> usize {
        self.decoder.as_ref().map_or(0, |d| d.memory())
    }

    /// So many bytes of it are missing.
    pub(crate) fn gap(&mut self, tx: &mut Tx, d: Direction, len: u64, cx: &mut Cx<'_>) {
        self.lost |= self.decoder.is_some();
        let Some(m) = tx.message_mut(d) else { return };
        let first = m.wire_len == 0;
        m.wire_len += len;
        // A file of which the beginning is missing, or all, went over the line all the same.
        if first && len > 0 && self.form.is_none() && cx.charge(&mut tx.core.charged, size_of::<File>()) {
            open_file(tx, d, cx);
        }
        let Some(m) = tx.message_mut(d) else { return };
        let pieces = m.pieces;
        let mut news = m.body.cut(len, &pieces);
        for f in tx.files.iter_mut().filter(|f| f.direction() == d) {
            news |= f.gap(len);
        }
        if news {
            tx.core.touch(d);
        }
    }

    /// It ends. `whole`: as its framing says.
    pub(crate) fn close(self, tx: &mut Tx, d: Direction, whole: bool) {
        let mut form = self.form;
        let nothing = crate::file::Wanted::default();
        let (unlimited, part_pieces) = (self.unlimited, Pieces::default());
        let mut sink = Sink { tx, d, form: form.as_deref_mut(), news: false, part_pieces, unlimited };
        if let Some(mut decoder) = self.decoder.filter(|_| !self.lost) {
            decoder.finish(&mut |out| sink.take(out, &nothing));
            let odd = decoder.odd;
            raise_odd(sink.tx, odd);
        }
        let tx = sink.tx;
        if let Some(form) = &mut form {
            form.finish(&mut tx.files);
            for e in form.events() {
                tx.raise(e);
            }
        }
        let Some(m) = tx.message_mut(d) else { return };
        let pieces = m.pieces;
        m.body.close(&pieces);
        for f in tx.files.iter_mut().filter(|f| f.direction() == d) {
            let _ = if whole { f.close() } else { f.truncate() };
        }
        tx.core.touch(d);
    }
}

impl Http1 {
    // The transaction whose message is read in this direction, with what flows there.
    fn flowing(&mut self, d: Direction) -> Option<(&mut Tx, &mut Flowing)> {
        let side = &mut self.sides[d.index()]; // an index of two
        let tx = side.tx.and_then(|id| self.txs.by_id(id))?;
        Some((tx, &mut side.flowing))
    }
    pub(super) fn open_body(&mut self, d: Direction, cx: &Cx<'_>) {
        if let Some((tx, flowing)) = self.flowing(d) {
            flowing.open(tx, d, cx);
        }
    }
    pub(super) fn body(&mut self, d: Direction, bytes: &[u8], cx: &mut Cx<'_>) {
        if let Some((tx, flowing)) = self.flowing(d) {
            tx.core.came(d);
            flowing.push(tx, d, bytes, cx);
        }
    }
    pub(super) fn body_gap(&mut self, d: Direction, len: u64, cx: &mut Cx<'_>) {
        if let Some((tx, flowing)) = self.flowing(d) {
            flowing.gap(tx, d, len, cx);
        }
    }
    pub(super) fn close_body(&mut self, d: Direction) {
        if let Some((tx, flowing)) = self.flowing(d) {
            std::mem::take(flowing).close(tx, d, true);
        }
    }
}

struct Sink<'t, 'f> {
    tx: &'t mut Tx,
    d: Direction,
    form: Option<&'f mut Form>,
    news: bool,
    part_pieces: Pieces,
    unlimited: bool,
}

impl Sink<'_, '_> {
    // Bytes of a body, all codings undone.
    fn take(&mut self, out: &[u8], wanted: &crate::file::Wanted) {
        let looked = self.tx.core.looked(self.d);
        let Some(m) = self.tx.message_mut(self.d) else { return };
        let pieces = m.pieces;
        if looked {
            m.body.looked();
        }
        let within = match pieces.limit {
            limit if limit > 0 && !self.unlimited => {
                out.len().min(usize::try_from(limit.saturating_sub(m.body.total())).unwrap_or(usize::MAX))
            }
            _ => out.len(),
        };
        // A file reaches as far as the body is inspected, and is cut off by what comes behind that.
        let part = out.get(..within).unwrap_or_default();
        self.news |= m.body.push(out, &pieces);
        if let Some(i) = m.file
            && let Some(f) = self.tx.files.at_mut(i)
        {
            let _ = if within == 0 && !out.is_empty() { f.truncate() } else { f.push(part) };
        }
        if let Some(form) = &mut self.form {
            self.news |= form.push(part, &mut self.tx.files, wanted, self.part_pieces);
            if within < out.len() {
                self.news |= form.cut(&mut self.tx.files);
            }
        }
    }
}

fn held(tx: &Tx) -> usize {
    let bodies = [Direction::ToServer, Direction::ToClient];
    let of = |w: &Window| w.held().len();
    bodies.iter().filter_map(|d| tx.message(*d)).map(|m| of(&m.body)).sum::<usize>()
        + tx.files.iter().map(|f| of(&f.window) + f.magic.held() + size_of::<File>()).sum::<usize>()
}

// The file that a body is, where it is one.
fn open_file(tx: &mut Tx, d: Direction, cx: &Cx<'_>) {
    let request = match &tx.request {
        Some(r) => r,
        // The request of a stream that began with an upgrade is the one that asked for it.
        None if tx.h2.is_some() && d == Direction::ToClient => &Request::default(),
        None => return,
    };
    let name = match d {
        Direction::ToServer => {
            if !request.method().eq_ignore_ascii_case(b"PUT") && !request.method().eq_ignore_ascii_case(b"POST") {
                return;
            }
            request.path().to_vec()
        }
        Direction::ToClient => {
            let stated = tx.response.as_ref().and_then(|r| r.message.value(b"content-disposition"));
            stated.and_then(multipart::filename).unwrap_or_else(|| request.path().to_vec())
        }
    };
    let stated = tx.message(d).and_then(|m| m.value(b"content-range"));
    let range = stated.and_then(content_range);
    let range_invalid = range.is_none() && stated.is_some_and(|v| !without_range(v));
    let name_long = name.len() > MAX_NAME;
    // Its bytes are seen in the body's window.
    let mut file = File::open(&name, d, &cx.config.files, Pieces::default());
    file.without_window();
    file.range = range.map(|(a, b, _)| (a, b));
    let at = tx.files.open(file);
    if name_long {
        tx.raise(Event::FileNameTooLong);
    }
    if range_invalid {
        tx.raise(Event::RangeInvalid);
    }
    if let Some(m) = tx.message_mut(d) {
        m.file = at;
    }
}

// `bytes */1234`: an answer to a request for bytes that there are not (RFC 9110, 14.4).
fn without_range(value: &[u8]) -> bool {
    value.trim_ascii().strip_prefix(b"bytes").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"*/"))
}

/// First and last byte, and the whole's size where it is stated, of a `Content-Range`.
pub(super) fn content_range(value: &[u8]) -> Option<(u64, u64, Option<u64>)> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let rest = text.strip_prefix("bytes")?.trim_start();
    let (range, size) = rest.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    let size: Option<u64> = size.trim().parse().ok();
    (from <= to && size.is_none_or(|s| to < s)).then_some((from, to, size))
}

fn raise_odd(tx: &mut Tx, odd: Oddities) {
    for (is, e) in [
        (odd.too_many_layers, Event::TooManyEncodingLayers),
        (odd.abnormal, Event::AbnormalCeHeader),
        (odd.failed, Event::GzipDecompressionFailed),
        (odd.bomb, Event::CompressionBomb),
        (odd.lzma_memory, Event::LzmaMemlimitReached),
        (odd.double_lzma, Event::CompressionBombDoubleLzma),
    ] {
        if is {
            tx.raise(e);
        }
    }
}
