// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The machine of one direction: start line and fields, body by its framing, and back; with what a receiver does when the
//! framing is wrong.
//!
//! Must never wait for bytes of which a receiver would not wait, and consume at least one byte or change its phase in
//! every step.

use lagewarte_flow::{AppProto, Direction};
use memchr::memchr;

use super::{
    Event, Flowing, HEAD, Http1, Tx,
    head::{Framing, choose_host, framing, request_events, response_events},
    message::{Message, Request, Response},
    parser::{self, Head},
    uri,
};
use crate::{
    protocol::{Cx, Step, Transaction as _},
    tx::DONE,
};

/// A line that states a chunk's size, or stands where a status line should, is read to this length. Threat: a line
/// without end.
const MAX_LINE: usize = 4096;

/// What is read next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// A start line.
    #[default]
    Start,
    /// So many bytes of a body.
    Fixed(u64),
    /// A line with a chunk's size.
    ChunkLine,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// What ends a chunk.
    ChunkEnd,
    /// Fields behind the last chunk.
    Trailer,
    /// A body to the end of the stream.
    UntilClose,
    /// The line of a request without protocol was read; fields may follow all the same.
    Simple,
    /// CONNECT was asked: nothing is read before the answer.
    Connect,
    /// Bytes are missing and with them the place: a start line is looked for.
    Lost,
    /// Nothing is read any more.
    Over,
}

/// State of one direction.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) phase: Phase,
    // Bytes of the present head that were searched for its end.
    searched: usize,
    /// Transaction of which a message is read.
    pub(super) tx: Option<u64>,
    /// The present body.
    pub(super) flowing: Flowing,
    /// An offer to change the protocol (`Upgrade`) in the present request.
    upgrade: bool,
    /// The frame of the present message has begun.
    pub(super) marked: bool,
    /// Transaction of the message that began last.
    pub(super) last: u64,
}

// What a step did.
enum Did {
    // Consumed so much; go on.
    Ate(usize),
    // Wants more than there is.
    Wants,
    // Cannot go on at all.
    Stops,
}

impl Http1 {
    pub(super) fn run(&mut self, d: Direction, data: &[u8], eof: bool, cx: &mut Cx<'_>) -> Step {
        let mut at = 0;
        loop {
            let rest = data.get(at..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let before = self.sides[d.index()].phase; // an index of two
            let did = self.step(d, rest, eof, cx);
            if let Did::Ate(n) = did {
                self.mark(d, before, (rest, n), cx);
            }
            match did {
                Did::Ate(0) if before == self.sides[d.index()].phase => break, // a step that does nothing is the last
                Did::Ate(n) => {
                    at += n;
                    if n > 0 {
                        self.sides[d.index()].searched = 0;
                    }
                    if cx.change.is_some() {
                        return Step::Ok(at);
                    }
                }
                Did::Wants if eof => {
                    at = data.len();
                    break;
                }
                Did::Wants => return Step::More { consumed: at, needed: rest.len() + 1 },
                Did::Stops => return Step::Error,
            }
        }
        if eof {
            self.cut_off(d);
        }
        Step::Ok(at)
    }

    fn step(&mut self, d: Direction, data: &[u8], eof: bool, cx: &mut Cx<'_>) -> Did {
        match self.sides[d.index()].phase {
            Phase::Start if d == Direction::ToServer => self.request_head(data, eof, cx),
            Phase::Start => self.response_head(data, eof, cx),
            Phase::Simple => self.after_simple(data, eof, cx),
            Phase::Fixed(left) => {
                let n = data.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.body(d, data.get(..n).unwrap_or_default(), cx);
                self.sides[d.index()].phase = Phase::Fixed(left - n as u64); // n <= left
                let rest = data.get(n..).unwrap_or_default();
                Did::Ate(n + if n as u64 == left { self.end_of_body(d, rest, cx) } else { 0 })
            }
            Phase::ChunkLine => self.chunk_line(d, data, eof),
            Phase::Chunk(left) => {
                let n = data.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.body(d, data.get(..n).unwrap_or_default(), cx);
                self.sides[d.index()].phase =
                    if n as u64 == left { Phase::ChunkEnd } else { Phase::Chunk(left - n as u64) };
                Did::Ate(n)
            }
            Phase::ChunkEnd => {
                let n = match data {
                    [b'\r', b'\n', ..] => 2,
                    [b'\r'] if !eof => return Did::Wants,
                    [b'\n' | b'\r', ..] => 1,
                    _ => 0,
                };
                self.sides[d.index()].phase = Phase::ChunkLine;
                self.framed(d, n)
            }
            Phase::Trailer => self.trailer(d, data, eof),
            Phase::UntilClose => {
                self.body(d, data, cx);
                Did::Ate(data.len())
            }
            // Line ends too many are no part of what goes through the tunnel.
            Phase::Connect if matches!(data.first(), Some(b'\r' | b'\n')) => Did::Ate(1),
            Phase::Connect => Did::Wants,
            Phase::Lost => self.find_start(d, data),
            Phase::Over => Did::Ate(data.len()),
        }
    }

    // --- requests ---

    fn request_head(&mut self, data: &[u8], eof: bool, cx: &mut Cx<'_>) -> Did {
        let skip = data.iter().position(|b| !matches!(b, b'\r' | b'\n' | 0)).unwrap_or(data.len());
        if skip > 0 {
            return Did::Ate(skip);
        }
        let Some(lf) = memchr(b'\n', data) else {
            if !eof {
                return if data.len() > parser::MAX_HEAD { self.too_long(Direction::ToServer, cx) } else { Did::Wants };
            }
            self.new_request(data, true, b"", cx);
            if let Some(tx) = self.txs.last() {
                tx.raise(Event::RequestLineIncomplete);
            }
            return Did::Ate(data.len());
        };
        let line = data.get(..lf).unwrap_or_default();
        let parts = parser::request_line(line);
        if parts.protocol.is_empty() && !parts.uri.is_empty() {
            // HTTP/0.9, or a forgotten protocol: what follows tells.
            self.new_request(data.get(..=lf).unwrap_or_default(), false, b"", cx);
            self.sides[0].phase = Phase::Simple;
            return Did::Ate(lf + 1);
        }
        let searched = parser::resume(self.sides[0].searched);
        match parser::end_of_head(data, searched, false, eof) {
            Some(end) => {
                let (head, rest) = data.split_at_checked(end).unwrap_or((data, b""));
                Did::Ate(end + self.new_request(head, true, rest, cx))
            }
            None if eof => {
                self.new_request(data, true, b"", cx);
                Did::Ate(data.len())
            }
            None if data.len() > parser::MAX_HEAD => self.too_long(Direction::ToServer, cx),
            None => {
                self.sides[0].searched = data.len();
                Did::Wants
            }
        }
    }

    fn too_long(&mut self, d: Direction, cx: &mut Cx<'_>) -> Did {
        let mut tx = Tx::default();
        let _ = cx.charge(&mut tx.core.charged, size_of::<Tx>());
        tx.raise(if d == Direction::ToServer { Event::RequestFieldTooLong } else { Event::ResponseFieldTooLong });
        tx.core.finish();
        self.txs.push(tx);
        Did::Stops
    }

    // A request without protocol: fields, or nothing more.
    fn after_simple(&mut self, data: &[u8], eof: bool, cx: &mut Cx<'_>) -> Did {
        let line = data.get(..memchr(b'\n', data).unwrap_or(data.len())).unwrap_or_default();
        let field = memchr(b':', line).is_some_and(|c| {
            line.get(..c).is_some_and(|n| {
                !n.is_empty() && n.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_')
            })
        });
        let blank = !line.is_empty() && line.iter().all(|b| parser::is_space(*b)) && line.contains(&b' ');
        if blank && let Some(tx) = self.sides[0].tx.and_then(|id| self.txs.by_id(id)) {
            tx.raise(Event::RequestLineMissingProtocol);
        }
        if !field {
            self.end_of_message(Direction::ToServer);
            self.sides[0].phase = Phase::Over;
            return Did::Ate(0);
        }
        let Some(end) = parser::end_of_head(data, 0, false, eof).or_else(|| eof.then_some(data.len())) else {
            return if data.len() > parser::MAX_HEAD { self.too_long(Direction::ToServer, cx) } else { Did::Wants };
        };
        let id = self.sides[0].tx;
        let Some(tx) = id.and_then(|id| self.txs.by_id(id)) else {
            self.sides[0].phase = Phase::Over;
            return Did::Ate(0);
        };
        tx.raise(Event::RequestLineMissingProtocol);
        let mut wire = tx.request.as_ref().map(|r| r.message.head.wire().to_vec()).unwrap_or_default();
        wire.extend_from_slice(data.get(..end).unwrap_or_default());
        self.fill_request(&wire, true, b"", cx);
        Did::Ate(end)
    }

    // How much of the rest belongs to it, too.
    fn new_request(&mut self, wire: &[u8], complete: bool, rest: &[u8], cx: &mut Cx<'_>) -> usize {
        let mut tx = Tx::default();
        let granted = cx.charge(&mut tx.core.charged, size_of::<Tx>() + 2 * wire.len());
        let id = self.txs.push(tx).core().id;
        (self.sides[0].tx, self.sides[0].last) = (Some(id), id);
        // Where the memory cap is reached the request is known to have been, and nothing else of it.
        self.fill_request(if granted { wire } else { b"" }, complete, rest, cx)
    }

    fn fill_request(&mut self, wire: &[u8], complete: bool, rest: &[u8], cx: &mut Cx<'_>) -> usize {
        let choices = &cx.config.http;
        let Some(tx) = self.sides[0].tx.and_then(|id| self.txs.by_id(id)) else { return 0 };
        let head = Head::read(wire, false);
        let line = parser::request_line(head.line());
        let connect = head.get(line.method).eq_ignore_ascii_case(b"CONNECT");
        let raw_uri = head.get(line.uri).to_vec();
        let normal = uri::normalise(&raw_uri, connect, &choices.uri);
        let double_encoded = normal.double_encoded;
        let mut request = Request::new(Message::new(head, choices.request), line, &normal);
        request_events(&mut tx.core, &request);
        if double_encoded {
            tx.raise(Event::DoubleEncodedUri);
        }
        choose_host(tx, &mut request, &raw_uri, connect, cx.ports.1);
        let framing = framing(&request.message, tx, Direction::ToServer);
        let upgrade = request.message.value(b"upgrade").is_some();
        tx.request = Some(request);
        tx.core.reach(Direction::ToServer, HEAD);
        self.sides[0].upgrade = upgrade;
        if !complete {
            return 0;
        }
        if connect {
            self.end_of_message(Direction::ToServer);
            self.sides[0].phase = Phase::Connect;
            return 0;
        }
        match framing {
            Framing::Chunked => self.begin_body(Direction::ToServer, Phase::ChunkLine, cx),
            Framing::Length(n) if n > 0 => self.begin_body(Direction::ToServer, Phase::Fixed(n), cx),
            // What is offered to be spoken instead may follow at once.
            Framing::Length(_) | Framing::None if upgrade => self.end_of_message(Direction::ToServer),
            Framing::Length(_) | Framing::None => {
                if !rest.is_empty() {
                    self.begin_body(Direction::ToServer, Phase::Fixed(0), cx);
                }
                return self.end_of_body(Direction::ToServer, rest, cx);
            }
        }
        0
    }

    // --- responses ---

    fn response_head(&mut self, data: &[u8], eof: bool, cx: &mut Cx<'_>) -> Did {
        match parser::looks_like_response(data) {
            None if eof || data.len() > MAX_LINE => Did::Ate(data.len()), // blanks
            None => Did::Wants,
            Some(false) => self.no_status_line(data, eof, cx),
            Some(true) => {
                let start = data.iter().position(|b| !parser::is_space(*b) && *b != 0).unwrap_or(0);
                let searched = parser::resume(self.sides[1].searched).max(start);
                let end = match parser::end_of_head(data, searched, true, eof) {
                    Some(end) => end,
                    None if eof => data.len(),
                    None if data.len() > parser::MAX_HEAD => return self.too_long(Direction::ToClient, cx),
                    None => {
                        self.sides[1].searched = data.len();
                        return Did::Wants;
                    }
                };
                let rest = data.get(end..).unwrap_or_default();
                self.new_response(data.get(start..end).unwrap_or_default(), rest, cx);
                if cx.change.is_some_and(|c| c.expected == AppProto::Unknown) {
                    let more = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
                    return Did::Ate(end + more);
                }
                Did::Ate(end)
            }
        }
    }

    // Where a status line should stand, something else does: a line before it, or a body without any head.
    fn no_status_line(&mut self, data: &[u8], eof: bool, cx: &mut Cx<'_>) -> Did {
        match memchr(b'\n', data) {
            Some(lf) => match data.get(lf + 1) {
                Some(b'H' | b'h') => return Did::Ate(lf + 1),
                None if !eof => return Did::Wants,
                _ => {}
            },
            None if !eof && data.len() <= MAX_LINE => return Did::Wants,
            None => {}
        }
        if !self.answered(cx) {
            self.sides[1].phase = Phase::Over;
            return Did::Ate(0);
        }
        let pieces = cx.config.http.response;
        if let Some(tx) = self.sides[1].tx.and_then(|id| self.txs.by_id(id)) {
            tx.response = Some(Response { message: Message::new(Head::default(), pieces), ..Response::default() });
            tx.raise(Event::ResponseInvalidProtocol);
            tx.core.reach(Direction::ToClient, HEAD);
        }
        self.begin_body(Direction::ToClient, Phase::UntilClose, cx);
        Did::Ate(0)
    }

    // Finds the transaction that the next response answers, or makes one. False where there can be none.
    fn answered(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.sides[0].phase == Phase::Simple {
            self.end_of_message(Direction::ToServer);
            self.sides[0].phase = Phase::Over;
        }
        let open =
            |t: &&mut Tx| t.request.is_some() && t.response.is_none() && t.core.progress(Direction::ToClient) < DONE;
        if let Some(tx) = self.txs.iter_mut().find(open) {
            (self.sides[1].tx, self.sides[1].last) = (Some(tx.core.id), tx.core.id);
            return true;
        }
        let mut tx = Tx::default();
        if !cx.charge(&mut tx.core.charged, size_of::<Tx>()) {
            return false;
        }
        tx.raise(Event::UnableToMatchResponse);
        tx.core.reach(Direction::ToServer, DONE);
        let id = self.txs.push(tx).core().id;
        (self.sides[1].tx, self.sides[1].last) = (Some(id), id);
        true
    }

    fn new_response(&mut self, wire: &[u8], rest: &[u8], cx: &mut Cx<'_>) {
        if !self.answered(cx) {
            self.sides[1].phase = Phase::Over;
            return;
        }
        let pieces = cx.config.http.response;
        let Some(tx) = self.sides[1].tx.and_then(|id| self.txs.by_id(id)) else { return };
        let granted = cx.charge(&mut tx.core.charged, 2 * wire.len());
        let head = Head::read(if granted { wire } else { b"" }, true);
        let line = parser::status_line(head.line());
        let status = line.number(head.line());
        let response = Response { message: Message::new(head, pieces), line, status };
        let has_length = response.message.value(b"content-length").is_some();
        let has_coding = response.message.value(b"transfer-encoding").is_some();
        if status == Some(100) && !has_coding && !has_length {
            // An interim response: the real one follows.
            tx.continues = tx.continues.saturating_add(1);
            if tx.continues > 1 {
                tx.raise(Event::ContinueAlreadySeen);
            }
            return;
        }
        response_events(&mut tx.core, &response);
        let framing = framing(&response.message, tx, Direction::ToClient);
        let method = tx.request.as_ref().map(Request::method).unwrap_or_default();
        let (connect, head_only) = (method.eq_ignore_ascii_case(b"CONNECT"), method.eq_ignore_ascii_case(b"HEAD"));
        let switching = (status == Some(101) && !has_length && !has_coding)
            .then(|| response.message.value(b"upgrade").map(<[u8]>::to_ascii_lowercase))
            .flatten();
        tx.response = Some(response);
        tx.core.reach(Direction::ToClient, HEAD);
        if connect {
            if status.is_some_and(|s| (200..300).contains(&s)) {
                self.end_of_message(Direction::ToClient);
                cx.change(AppProto::Unknown);
                return;
            }
            if self.sides[0].phase == Phase::Connect {
                self.sides[0].phase = Phase::Start;
            }
        }
        if let Some(to) = switching
            && self.sides[0].upgrade
        {
            self.end_of_message(Direction::ToClient);
            let has = |w: &[u8]| memchr::memmem::find(&to, w).is_some();
            cx.change(if has(b"websocket") {
                AppProto::Websocket
            } else if has(b"h2c") {
                AppProto::Http2
            } else {
                AppProto::Unknown
            });
            return;
        }
        match framing {
            _ if head_only || status.is_some_and(|s| s == 204 || s == 304) => {
                self.begin_body(Direction::ToClient, Phase::Fixed(0), cx);
                self.end_of_body(Direction::ToClient, rest, cx);
            }
            Framing::Chunked => self.begin_body(Direction::ToClient, Phase::ChunkLine, cx),
            Framing::Length(n) => {
                self.begin_body(Direction::ToClient, Phase::Fixed(n), cx);
                if n == 0 {
                    self.end_of_body(Direction::ToClient, rest, cx);
                }
            }
            Framing::None if status.is_some_and(|s| s < 200) => self.end_of_message(Direction::ToClient),
            Framing::None => self.begin_body(Direction::ToClient, Phase::UntilClose, cx),
        }
    }

    // --- bodies ---

    fn begin_body(&mut self, d: Direction, phase: Phase, cx: &mut Cx<'_>) {
        self.sides[d.index()].phase = phase;
        self.open_body(d, cx);
    }

    // So much as was stated has come. A response that goes on with what is no status line goes on with its body; what
    // came with a request and begins no other belongs to it. How much of the rest that is.
    fn end_of_body(&mut self, d: Direction, rest: &[u8], cx: &mut Cx<'_>) -> usize {
        let stray = if d == Direction::ToServer { parser::stray(rest) } else { 0 };
        if stray > 0 {
            if let Some(tx) = self.sides[0].tx.and_then(|id| self.txs.by_id(id)) {
                tx.raise(Event::RequestBodyUnexpected);
            }
            self.body(d, rest.get(..stray).unwrap_or_default(), cx);
        }
        if d == Direction::ToClient && parser::looks_like_response(rest) == Some(false) && !next_line_is_status(rest) {
            if let Some(tx) = self.sides[1].tx.and_then(|id| self.txs.by_id(id)) {
                tx.raise(Event::ResponseBodyUnexpected);
            }
            self.sides[1].phase = Phase::UntilClose;
            return 0;
        }
        self.end_of_message(d);
        stray
    }

    // So many bytes belong to chunks, and not to what is in them.
    fn framed(&mut self, d: Direction, n: usize) -> Did {
        let tx = self.sides[d.index()].tx.and_then(|id| self.txs.by_id(id));
        if let Some(m) = tx.and_then(|tx| tx.message_mut(d)) {
            m.framing_len += n as u64;
        }
        Did::Ate(n)
    }

    fn chunk_line(&mut self, d: Direction, data: &[u8], eof: bool) -> Did {
        let to_server = d == Direction::ToServer;
        let (line, next) = match memchr(b'\n', data) {
            Some(lf) => (data.get(..lf).unwrap_or_default(), lf + 1),
            None if !eof && data.len() <= MAX_LINE => return Did::Wants,
            None => (data, data.len()),
        };
        if line.iter().all(|b| parser::is_space(*b)) {
            return self.framed(d, next);
        }
        let tx = self.sides[d.index()].tx.and_then(|id| self.txs.by_id(id));
        match parser::chunk_size(line) {
            Some((size, more)) => {
                if more && let Some(tx) = tx {
                    tx.raise(if to_server { Event::RequestChunkExtension } else { Event::ResponseChunkExtension });
                }
                self.sides[d.index()].phase = if size == 0 { Phase::Trailer } else { Phase::Chunk(size) };
                self.framed(d, next)
            }
            None => {
                // Not chunked at all, as some servers do: the rest is the body.
                if let Some(tx) = tx {
                    tx.raise(if to_server { Event::InvalidRequestChunkLen } else { Event::InvalidResponseChunkLen });
                }
                self.sides[d.index()].phase = Phase::UntilClose;
                Did::Ate(0)
            }
        }
    }

    fn trailer(&mut self, d: Direction, data: &[u8], eof: bool) -> Did {
        let (line, next) = match memchr(b'\n', data) {
            Some(lf) => (data.get(..lf).unwrap_or_default(), lf + 1),
            None if !eof && data.len() <= parser::MAX_FIELD => return Did::Wants,
            None => (data, data.len()),
        };
        if line.iter().all(|b| *b == b'\r') {
            self.end_of_message(d);
        }
        Did::Ate(next)
    }

    // The message has ended as its framing says.
    pub(super) fn end_of_message(&mut self, d: Direction) {
        self.close_body(d);
        self.sides[d.index()].phase = Phase::Start;
        let Some(tx) = self.sides[d.index()].tx.take().and_then(|id| self.txs.by_id(id)) else { return };
        tx.core.reach(d, DONE);
    }

    // The direction has ended in whatever phase it is.
    pub(super) fn cut_off(&mut self, d: Direction) {
        self.sides[d.index()].phase = Phase::Over;
        // What came of a body is a file that has ended, as in libhtp, whatever length was stated.
        self.close_body(d);
        if let Some(tx) = self.sides[d.index()].tx.take().and_then(|id| self.txs.by_id(id)) {
            tx.core.reach(d, DONE);
        }
    }

    // --- gaps ---

    pub(super) fn lost(&mut self, d: Direction, len: u64, cx: &mut Cx<'_>) {
        let i = d.index();
        self.sides[i].searched = 0;
        self.sides[i].marked = false; // a frame ends at a gap
        match self.sides[i].phase {
            Phase::Fixed(left) if len < left => {
                self.body_gap(d, len, cx);
                self.sides[i].phase = Phase::Fixed(left - len);
            }
            Phase::Fixed(left) if len == left => {
                self.body_gap(d, len, cx);
                self.end_of_message(d);
            }
            Phase::Chunk(left) if len < left => {
                self.body_gap(d, len, cx);
                self.sides[i].phase = Phase::Chunk(left - len);
            }
            Phase::UntilClose => self.body_gap(d, len, cx),
            Phase::Over => {}
            Phase::Fixed(left) => {
                self.body_gap(d, left, cx);
                self.end_of_message(d);
                self.sides[i].phase = Phase::Lost;
            }
            Phase::Chunk(_) | Phase::ChunkLine | Phase::ChunkEnd | Phase::Trailer => {
                self.body_gap(d, len, cx);
                self.end_of_message(d);
                self.sides[i].phase = Phase::Lost;
            }
            Phase::Start | Phase::Simple | Phase::Connect | Phase::Lost => {
                self.cut_off(d);
                self.sides[i].phase = Phase::Lost;
            }
        }
    }

    // Behind a gap: the next line that begins a message.
    fn find_start(&mut self, d: Direction, data: &[u8]) -> Did {
        let mut at = 0;
        loop {
            let rest = data.get(at..).unwrap_or_default();
            let lf = memchr(b'\n', rest);
            let line = rest.get(..lf.unwrap_or(rest.len())).unwrap_or_default();
            let found = match d {
                Direction::ToClient => line.starts_with(b"HTTP/"),
                Direction::ToServer => {
                    let l = parser::request_line(line);
                    let protocol = line.get(l.protocol.from as usize..l.protocol.to as usize).unwrap_or_default();
                    !l.uri.is_empty() && parser::version(protocol).is_some()
                }
            };
            if found {
                self.sides[d.index()].phase = Phase::Start;
                return Did::Ate(at);
            }
            match lf {
                Some(n) => at += n + 1,
                None => return Did::Ate(data.len()),
            }
        }
    }
}

// A stray line before the next response.
fn next_line_is_status(rest: &[u8]) -> bool {
    memchr(b'\n', rest).is_some_and(|lf| rest.get(lf + 1..).is_some_and(|r| r.starts_with(b"HTTP/")))
}
