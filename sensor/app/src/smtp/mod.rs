// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! SMTP (RFC 5321) with CHUNKING, pipelining and STARTTLS. A transaction is one mail: its envelope, and the message with
//! its attachments as files. Commands wait for their replies in a queue, so that a reply counts for the mail that its
//! command was about.
//!
//! Must never keep a message. Limits: [`MAX_COMMANDS`], [`MAX_RCPT`], [`MAX_TXS`], those of [`mime`], and the memory cap.

mod detect;
pub mod events;
mod frames;
mod log;
pub mod mime;
pub mod parser;

use std::collections::VecDeque;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

pub use log::Choices as LogChoices;

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    file::{File, Files, Pieces, Wanted},
    frames::Kind,
    line::{Cut, cut},
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};
use events::Event;
use mime::{Mime, Sink};
use parser::Command;

/// Most commands that wait for their replies. Threat: a client that never listens.
pub const MAX_COMMANDS: usize = 256;
/// Most recipients that are kept of a mail. Threat: a list of a million.
pub const MAX_RCPT: usize = 256;
/// Most bytes of a name or path that are kept.
pub const MAX_PATH: usize = 1024;
/// Most mails of a flow that wait for detection. Threat: a session of mails only.
pub const MAX_TXS: usize = 256;

/// What Suricata calls a mail as a whole.
const RAW: &[u8] = b"rawmsg";

/// Progress of the client's direction: it has said who it is.
pub(crate) const HELO: u8 = 1;
/// The envelope is complete.
pub(crate) const ENVELOPE: u8 = 2;
/// The message's header is complete.
pub(crate) const HEADER: u8 = 3;

/// Choices: `app-layer.protocols.smtp` and `outputs.eve-log.types.smtp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `mime.decode-mime`.
    pub decode: bool,
    /// `raw-extraction`, where mails are not read: a mail as it came, but for doubled dots, is the file [`RAW`].
    pub raw: bool,
    /// How messages are read.
    pub mime: mime::Choices,
    /// How `file.data` sees attachments: `inspected-tracker`.
    pub pieces: Pieces,
    /// What is written.
    pub log: LogChoices,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            decode: true,
            raw: false,
            mime: mime::Choices::default(),
            pieces: Pieces { limit: 100_000, least: 32 * 1024, back: 4096 },
            log: LogChoices::default(),
        }
    }
}

/// What waits for a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Helo,
    Data,
    /// The end of a message.
    Message,
    /// A chunk that is not the last.
    Chunk,
    Rset,
    Starttls,
    Other,
}

/// What the client's bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Commands,
    Data,
    Chunk {
        left: u64,
        last: bool,
    },
}

/// A flow's state.
#[derive(Debug)]
pub struct Smtp {
    txs: Txs<Tx>,
    helo: Option<Vec<u8>>,
    waiting: VecDeque<(Waiting, Option<u64>)>,
    mode: Mode,
    /// The number of the mail at work.
    current: Option<u64>,
    /// The server said that it takes commands without waiting.
    pipelining: bool,
    greeted: bool,
    /// A line that is too long is skipped to its end, by direction.
    skipping: [bool; 2],
    /// The piece of the message before this one did not end its line.
    unfinished: bool,
    /// The frame of the message has begun.
    marked: bool,
    charged: u64,
}

/// One mail.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// MAIL FROM.
    pub mail_from: Option<Vec<u8>>,
    /// RCPT TO.
    pub rcpt_to: Vec<Vec<u8>>,
    /// The message.
    pub mime: Option<Box<Mime>>,
    /// Its attachments.
    pub files: Files,
    /// The attachment that is coming.
    open: Option<usize>,
    /// Bytes of [`Self::mime`] that were charged.
    held: usize,
}

transaction!(Tx);

/// Where attachments go.
struct Attachments<'a> {
    files: &'a mut Files,
    open: &'a mut Option<usize>,
    wanted: &'a Wanted,
    pieces: Pieces,
    news: bool,
}

impl Sink for Attachments<'_> {
    fn open(&mut self, name: &[u8]) {
        *self.open = self.files.open(File::open(name, Direction::ToServer, self.wanted, self.pieces));
        self.news = true;
    }
    fn data(&mut self, bytes: &[u8]) {
        if let Some(file) = self.open.and_then(|i| self.files.at_mut(i)) {
            self.news |= file.push(bytes);
        }
    }
    fn close(&mut self) {
        if let Some(file) = self.open.take().and_then(|i| self.files.at_mut(i)) {
            file.close();
            self.news = true;
        }
    }
}

impl Tx {
    /// Whether it has anything of a mail.
    const fn enveloped(&self) -> bool {
        self.mail_from.is_some() || !self.rcpt_to.is_empty() || self.mime.is_some()
    }

    /// Feeds the reader of mail; `line` None ends the message.
    fn message(&mut self, line: Option<(&[u8], &'static [u8])>, cx: &mut Cx<'_>) {
        let config = cx.config;
        let choices = &config.smtp;
        let mut sink = Attachments {
            files: &mut self.files,
            open: &mut self.open,
            wanted: &config.files,
            pieces: choices.pieces,
            news: false,
        };
        let Some(mime) = &mut self.mime else {
            if choices.raw && !choices.decode {
                match line {
                    Some((line, end)) => {
                        if sink.open.is_none() {
                            sink.open(RAW);
                        }
                        sink.data(line);
                        sink.data(end);
                    }
                    None => sink.close(),
                }
                if sink.news {
                    self.core.touch(Direction::ToServer);
                }
            }
            return;
        };
        match line {
            Some((line, end)) => mime.line(line, end, &choices.mime, &mut sink),
            None => mime.finish(&choices.mime, &mut sink),
        }
        let news = sink.news;
        let (state, faults, held) = (mime.state(), mime.faults(), mime.held());
        if state != mime::State::Header {
            self.core.reach(Direction::ToServer, HEADER);
        }
        for event in faults.iter().map(|f| events::MIME + f) {
            if !self.core.events.has(event) {
                self.core.raise(event);
            }
        }
        if news {
            self.core.touch(Direction::ToServer);
        }
        if held > self.held {
            let more = held - self.held;
            if cx.charge(&mut self.core.charged, more) {
                self.held = held;
            } else {
                // Counted by the cap: what there is of the message stays, its rest is not read.
                if let Some(file) = self.open.take().and_then(|i| self.files.at_mut(i)) {
                    file.truncate();
                }
                self.mime = None;
            }
        }
    }
}

impl Default for Smtp {
    fn default() -> Self {
        Self {
            txs: Txs::new(MAX_TXS),
            helo: None,
            waiting: VecDeque::new(),
            mode: Mode::default(),
            current: None,
            pipelining: false,
            greeted: false,
            skipping: [false; 2],
            unfinished: false,
            marked: false,
            charged: 0,
        }
    }
}

impl Smtp {
    /// Who the client says it is.
    pub fn helo(&self) -> Option<&[u8]> {
        self.helo.as_deref()
    }

    /// The mail at work; None where there is none, or it is complete on the client's side.
    fn open(&mut self) -> Option<&mut Tx> {
        self.txs.by_id(self.current?).filter(|t| t.core.progress(Direction::ToServer) < DONE)
    }

    /// The mail at work, begun where there is none.
    fn tx(&mut self) -> Option<&mut Tx> {
        if self.open().is_none() {
            let tx = self.txs.push(Tx::default());
            self.current = Some(tx.core.id);
            if self.helo.is_some() {
                tx.core.reach(Direction::ToServer, HELO);
            }
        }
        self.txs.by_id(self.current?)
    }

    fn raise(&mut self, event: Event) {
        let current = self.current;
        match current.and_then(|id| self.txs.by_id(id)) {
            Some(tx) => tx.core.raise(event as u8),
            None => {
                if let Some(tx) = self.tx() {
                    tx.core.raise(event as u8);
                }
            }
        }
    }

    fn wait(&mut self, what: Waiting) {
        // None of these lets a command follow before its reply (RFC 2920, 3.1).
        if matches!(self.waiting.back(), Some((Waiting::Starttls | Waiting::Data, _))) {
            self.raise(Event::InvalidPipelinedSequence);
        }
        if self.waiting.len() < MAX_COMMANDS {
            self.waiting.push_back((what, self.current));
        }
    }

    fn command(&mut self, line: &[u8], cx: &mut Cx<'_>) {
        let command = parser::command(line);
        let closing = matches!(command, Command::Rset | Command::Quit);
        if self.open().is_none() && !(closing && self.current.is_some()) {
            self.tx();
        }
        if !self.greeted {
            self.raise(Event::NoServerWelcomeMessage);
        }
        match command {
            Command::Helo(name) => {
                if self.helo.is_some() {
                    self.raise(Event::DuplicateFields);
                } else if !name.is_empty() && cx.charge(&mut self.charged, name.len()) {
                    self.helo = Some(clipped(name));
                }
                if let Some(tx) = self.open() {
                    tx.core.reach(Direction::ToServer, HELO);
                    tx.core.touch(Direction::ToServer);
                }
                self.wait(Waiting::Helo);
            }
            Command::Mail(path) => {
                let Some(tx) = self.open() else { return };
                if tx.mail_from.is_some() {
                    self.raise(Event::DuplicateFields);
                } else if cx.charge(&mut tx.core.charged, path.len()) {
                    tx.mail_from = Some(clipped(path));
                    tx.core.touch(Direction::ToServer);
                }
                self.wait(Waiting::Other);
            }
            Command::Rcpt(path) => {
                let Some(tx) = self.open() else { return };
                if tx.rcpt_to.len() < MAX_RCPT && cx.charge(&mut tx.core.charged, path.len() + size_of::<Vec<u8>>()) {
                    tx.rcpt_to.push(clipped(path));
                    tx.core.touch(Direction::ToServer);
                }
                self.wait(Waiting::Other);
            }
            Command::Data => {
                self.begin_message(cx);
                self.wait(Waiting::Data);
                if self.pipelining {
                    self.mode = Mode::Data;
                }
            }
            Command::Bdat(None) => {
                self.raise(Event::BdatChunkLenExceeded);
                self.wait(Waiting::Other);
            }
            Command::Bdat(Some((left, last))) => {
                self.begin_message(cx);
                self.mode = Mode::Chunk { left, last };
                if left == 0 {
                    self.chunk_ends(last, cx);
                }
            }
            Command::Rset => {
                self.wait(Waiting::Rset);
                if let Some(tx) = self.open().filter(|t| t.enveloped()) {
                    tx.core.reach(Direction::ToServer, DONE);
                }
            }
            Command::Starttls => self.wait(Waiting::Starttls),
            Command::Quit | Command::Other => self.wait(Waiting::Other),
        }
    }

    fn begin_message(&mut self, cx: &Cx<'_>) {
        let decode = cx.config.smtp.decode;
        let Some(tx) = self.open() else { return };
        tx.core.reach(Direction::ToServer, ENVELOPE);
        if decode && tx.mime.is_none() {
            tx.mime = Some(Box::new(Mime::new()));
        }
        self.unfinished = false;
    }

    fn message_ends(&mut self, cx: &mut Cx<'_>) {
        self.mode = Mode::Commands;
        self.wait(Waiting::Message);
        if let Some(tx) = self.open() {
            tx.message(None, cx);
            tx.core.reach(Direction::ToServer, DONE);
        }
    }

    fn chunk_ends(&mut self, last: bool, cx: &mut Cx<'_>) {
        if last {
            self.message_ends(cx);
        } else {
            self.mode = Mode::Commands;
            self.wait(Waiting::Chunk);
        }
    }

    /// A line of a message, or a piece of one.
    fn message_line(&mut self, line: &[u8], end: &'static [u8], cx: &mut Cx<'_>) {
        let begins = !self.unfinished;
        self.unfinished = end.is_empty();
        if begins && self.mode == Mode::Data {
            if line == b"." && !end.is_empty() {
                return self.message_ends(cx);
            }
            // A dot in front is doubled on the way (RFC 5321, 4.5.2).
            if let Some(rest) = line.strip_prefix(b".").filter(|_| line.len() > 1) {
                if let Some(tx) = self.open() {
                    tx.message(Some((rest, end)), cx);
                }
                return;
            }
        }
        if let Some(tx) = self.open() {
            tx.message(Some((line, end)), cx);
        }
    }

    /// A whole reply line. False where it is none.
    fn reply(&mut self, line: &[u8], cx: &mut Cx<'_>) -> bool {
        let Some(reply) = parser::reply(line) else {
            self.raise(Event::InvalidReply);
            return false;
        };
        let Some(&(what, id)) = self.waiting.front() else {
            if self.greeted {
                self.raise(Event::UnableToMatchReplyWithRequest);
            } else if reply.code != 220 {
                self.raise(Event::InvalidReply);
            }
            self.greeted |= !reply.more;
            return true;
        };
        self.greeted = true;
        if what == Waiting::Helo && reply.code == 250 && reply.text.eq_ignore_ascii_case(b"PIPELINING") {
            self.pipelining = true;
        }
        if reply.more {
            return true;
        }
        self.waiting.pop_front();
        let good = reply.code / 100 == 2;
        let mut ends = None;
        match what {
            Waiting::Data if reply.code == 354 => self.mode = Mode::Data,
            Waiting::Data => {
                self.raise(Event::DataCommandRejected);
                if self.pipelining && self.mode == Mode::Data {
                    self.mode = Mode::Commands;
                }
            }
            Waiting::Message => ends = id,
            Waiting::Rset if good => ends = id,
            // An accepted greeting discards the envelope (RFC 5321, 4.1.4).
            Waiting::Helo if good => ends = id,
            Waiting::Starttls if reply.code == 220 => {
                if let Some(tx) = id.and_then(|id| self.txs.by_id(id)) {
                    tx.core.finish();
                }
                cx.change(AppProto::Tls);
            }
            Waiting::Starttls => self.raise(Event::TlsRejected),
            Waiting::Helo | Waiting::Rset | Waiting::Chunk | Waiting::Other => {}
        }
        if let Some(tx) = ends.and_then(|id| self.txs.by_id(id)).filter(|t| t.enveloped()) {
            tx.core.finish();
        }
        true
    }

    fn client(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Input { data, eof, .. } = input;
        if let Mode::Chunk { left, last } = self.mode {
            // Never wait for a line beyond the chunk.
            let here = data.get(..data.len().min(usize::try_from(left).unwrap_or(usize::MAX))).unwrap_or_default();
            if here.is_empty() {
                return Step::Ok(0);
            }
            let whole = here.len() as u64 == left;
            let (line, end, consumed) = match cut(here, eof || whole) {
                Cut::Line { line, end, consumed } => (line, end, consumed),
                Cut::Piece(piece) => (piece, &b""[..], piece.len()),
                Cut::More => return Step::More { consumed: 0, needed: data.len() + 1 },
            };
            self.message_line(line, end, cx);
            let left = left - consumed as u64;
            self.mode = Mode::Chunk { left, last };
            if left == 0 {
                self.chunk_ends(last, cx);
            }
            return Step::Ok(consumed);
        }
        match cut(data, eof) {
            Cut::More if data.is_empty() => Step::Ok(0),
            Cut::More => Step::More { consumed: 0, needed: data.len() + 1 },
            Cut::Line { line, end, consumed } => {
                if self.mode == Mode::Data {
                    self.message_piece(line, end, data.len(), cx);
                } else {
                    frames::line(Kind::SmtpCommandLine, self.skipping[0], (data.len(), Some(consumed)), cx);
                    if !std::mem::take(&mut self.skipping[0]) {
                        self.command(line, cx);
                    }
                }
                cx.frames_of(self.current);
                Step::Ok(consumed)
            }
            Cut::Piece(piece) => {
                if self.mode == Mode::Data {
                    self.message_piece(piece, b"", data.len(), cx);
                } else {
                    frames::line(Kind::SmtpCommandLine, self.skipping[0], (data.len(), None), cx);
                    if !std::mem::replace(&mut self.skipping[0], true) {
                        self.command(piece, cx);
                        self.raise(Event::MaxCommandLineLenExceeded);
                    }
                }
                cx.frames_of(self.current);
                Step::Ok(piece.len())
            }
        }
    }

    fn server(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Input { data, eof, .. } = input;
        match cut(data, eof) {
            Cut::More if data.is_empty() => Step::Ok(0),
            Cut::More => Step::More { consumed: 0, needed: data.len() + 1 },
            Cut::Line { line, consumed, .. } => {
                frames::line(Kind::SmtpResponseLine, self.skipping[1], (data.len(), Some(consumed)), cx);
                cx.frames_of(self.waiting.front().and_then(|(_, id)| *id));
                if std::mem::take(&mut self.skipping[1]) || self.reply(line, cx) {
                    Step::Ok(consumed)
                } else {
                    Step::Error
                }
            }
            Cut::Piece(piece) => {
                frames::line(Kind::SmtpResponseLine, self.skipping[1], (data.len(), None), cx);
                cx.frames_of(self.waiting.front().and_then(|(_, id)| *id));
                if !std::mem::replace(&mut self.skipping[1], true) {
                    self.raise(Event::MaxReplyLineLenExceeded);
                    if !self.reply(piece, cx) {
                        return Step::Error;
                    }
                }
                Step::Ok(piece.len())
            }
        }
    }
}

fn clipped(path: &[u8]) -> Vec<u8> {
    path.get(..path.len().min(MAX_PATH)).unwrap_or_default().to_vec()
}

impl Protocol for Smtp {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = events::NAMES;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        match input.direction {
            Direction::ToServer => self.client(input, cx),
            Direction::ToClient => self.server(input, cx),
        }
    }

    fn gap(&mut self, direction: Direction, len: u64, _: &mut Cx<'_>) -> Step {
        match (direction, self.mode) {
            // Of a message a part is missing: it goes on, the attachment is cut off here.
            (Direction::ToServer, Mode::Data) => {
                if let Some(tx) = self.open() {
                    if let Some(file) = tx.open.and_then(|i| tx.files.at_mut(i)) {
                        file.gap(len);
                    }
                    tx.core.touch(Direction::ToServer);
                }
                self.unfinished = true;
                // A frame ends at a gap, and what follows is not its beginning.
                self.marked = true;
                Step::Ok(0)
            }
            (Direction::ToServer, Mode::Chunk { left, last }) if left > len => {
                self.mode = Mode::Chunk { left: left - len, last };
                Step::Ok(0)
            }
            _ => Step::Error, // which command a reply is for is not known any more
        }
    }

    fn proto(&self) -> AppProto {
        AppProto::Smtp
    }
    fn charged(&self) -> u64 {
        self.charged
    }
    fn finish(&mut self) {
        for tx in self.txs.iter_mut() {
            tx.files.finish(Direction::ToServer);
            tx.core.finish();
        }
    }
    own_txs!();
    fn files<'a>(&'a self, tx: &'a Tx) -> Option<&'a Files> {
        Some(&tx.files)
    }
    fn files_mut(&mut self, place: usize) -> Option<&mut Files> {
        self.txs.at_mut(place).map(|t| &mut t.files)
    }
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        detect::buffer(self, tx, buffer, direction, index)
    }
    fn number(&self, _: &Tx, _: Field, _: Direction, _: usize) -> Option<u64> {
        None
    }
    fn buffer_at(buffer: Buffer, _: Direction) -> u8 {
        detect::buffer_at(buffer)
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, _: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        Some(("smtp", None))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::event(self, tx, &config.smtp.log, w);
    }
    fn metadata(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        log::members(self, tx, &config.smtp.log, w);
    }
}

#[cfg(test)]
mod tests;
