// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! FTP: the control connection here, data connections in [`data`]. A transaction is a command with its replies; what the
//! server says unasked is one without a command.
//!
//! A transfer's command tells which connection will carry it ([`crate::expect`]). Control and data connection have the same
//! address pair, so that both come to one worker. Limits: [`MAX_REPLIES`], [`MAX_TXS`], lines as in [`crate::line`].

pub mod data;
pub mod events;
mod log;
pub mod parser;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    expect::{Announced, Transfer},
    line::{Cut, cut},
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};
use events::Event;

/// Most lines of replies that are kept of a transaction. Threat: a server that never ends its reply.
pub const MAX_REPLIES: usize = 64;
/// Most transactions of a flow that wait for a reply or for detection. Threat: a client that never listens.
pub const MAX_TXS: usize = 1024;

/// Progress of the client's direction: the command is there. It is done with the reply, which tells about it too.
const COMMAND: u8 = 1;

/// Who opens data connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The server: PORT, EPRT.
    Active,
    /// The client: PASV, EPSV.
    Passive,
}

/// A flow's state.
#[derive(Debug)]
pub struct Ftp {
    txs: Txs<Tx>,
    /// Where the next data connection goes: who listens, and on which port.
    next: Option<(Mode, u16)>,
    /// Data connections that the frame does not know of yet.
    announced: Vec<Announced>,
    /// A reply of several lines is coming, until this code comes without a hyphen.
    within: Option<[u8; 3]>,
    /// A line that is too long is skipped to its end, by direction.
    skipping: [bool; 2],
}

/// A command and its replies.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// The command's word in upper case; empty where the server spoke unasked, or no word was said.
    pub command: Vec<u8>,
    /// What followed it.
    pub data: Vec<u8>,
    /// Lines of the reply.
    pub replies: Vec<Vec<u8>>,
    /// Codes of the reply.
    pub codes: Vec<Vec<u8>>,
    /// A reply came.
    pub replied: bool,
    /// The port that was told for a data connection.
    pub port: Option<u16>,
    /// Who opens it.
    pub mode: Option<Mode>,
    /// The command's line was too long.
    pub command_truncated: bool,
    /// A reply's line was too long.
    pub reply_truncated: bool,
}

transaction!(Tx);

impl Default for Ftp {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS), next: None, announced: Vec::new(), within: None, skipping: [false; 2] }
    }
}

/// Commands that use a data connection.
const TRANSFERS: &[&[u8]] = &[b"RETR", b"STOR", b"STOU", b"APPE", b"LIST", b"NLST", b"MLSD"];

impl Ftp {
    fn command(&mut self, line: &[u8], truncated: bool, cx: &mut Cx<'_>) {
        let parsed = parser::command(line);
        let mut tx = Tx { command_truncated: truncated, ..Tx::default() };
        if truncated {
            tx.core.raise(Event::RequestCommandTooLong as u8);
        }
        if cx.charge(&mut tx.core.charged, size_of::<Tx>() + parsed.word.len() + parsed.data.len()) {
            tx.data = parsed.data.to_vec();
            tx.command.clone_from(&parsed.word);
        }
        match &*parsed.word {
            b"PORT" | b"EPRT" => {
                self.next = parser::announced(&parsed.word, parsed.data).map(|p| (Mode::Active, p));
                tx.mode = Some(Mode::Passive); // until the server agrees
            }
            b"PASV" | b"EPSV" => tx.mode = Some(Mode::Passive),
            word if TRANSFERS.contains(&word) => {
                if let Some((mode, port)) = self.next.take() {
                    let transfer = Transfer { command: parsed.word.clone(), name: parsed.data.to_vec() };
                    self.announced.push(Announced { to_client: mode == Mode::Active, port, transfer });
                }
            }
            _ => {}
        }
        tx.core.reach(Direction::ToServer, COMMAND);
        self.txs.push(tx);
    }

    fn reply(&mut self, line: &[u8], truncated: bool, cx: &mut Cx<'_>) {
        let reply = parser::reply(line);
        let code: Option<[u8; 3]> = reply.code.and_then(|c| c.try_into().ok());
        // Within a reply of several lines only its own code ends it (RFC 959, 4.2).
        let ends = match (self.within, code) {
            (Some(open), Some(code)) => open == code && !reply.more,
            (Some(_), None) | (None, None) => false,
            (None, Some(_)) => !reply.more,
        };
        if self.within.is_none() && reply.more {
            self.within = code;
        } else if ends {
            self.within = None;
        }
        if !self.txs.iter().any(|t| t.core.progress(Direction::ToClient) < DONE) {
            self.txs.push(Tx::default()); // unasked: the greeting, or that the server goes away
        }
        let Some(tx) = self.txs.iter_mut().find(|t| t.core.progress(Direction::ToClient) < DONE) else { return };
        if truncated {
            tx.reply_truncated = true;
            tx.core.raise(Event::ResponseCommandTooLong as u8);
        }
        tx.replied = true;
        if tx.replies.len() < MAX_REPLIES
            && cx.charge(&mut tx.core.charged, reply.text.len() + 2 * size_of::<Vec<u8>>() + 3)
        {
            if let Some(code) = reply.code {
                tx.codes.push(code.to_vec());
            }
            if !reply.text.is_empty() {
                tx.replies.push(reply.text.to_vec());
            }
        }
        tx.core.touch(Direction::ToClient);
        if let Some(code) = code.filter(|_| ends) {
            let told = match (&*tx.command, &code) {
                (b"PASV", b"227") => parser::port(reply.text).map(|p| (Mode::Passive, p)),
                (b"EPSV", b"229") => parser::epsv(reply.text).map(|p| (Mode::Passive, p)),
                (word @ (b"PORT" | b"EPRT"), [b'2', ..]) => {
                    parser::announced(word, &tx.data).map(|p| (Mode::Active, p))
                }
                _ => None,
            };
            if matches!((&*tx.command, code[0]), (b"PORT" | b"EPRT", b'4' | b'5')) {
                self.next = None;
            }
            if let Some((mode, port)) = told {
                (tx.mode, tx.port) = (Some(mode), Some(port));
                if mode == Mode::Passive {
                    self.next = told; // what the client tells counts from its command on
                }
            }
            if tx.command.starts_with(b"AUTH") && &code == b"234" {
                tx.core.finish();
                return cx.change(AppProto::Tls);
            }
            // A preliminary reply is followed by another one.
            if code[0] != b'1' {
                tx.core.finish();
            }
        } else if code.is_none() && self.within.is_none() && !tx.command.is_empty() {
            // No reply of FTP, but all that comes to this command: the next one answers the next.
            tx.core.finish();
        }
    }
}

impl Protocol for Ftp {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = events::NAMES;
    const ANSWERS: bool = false;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Input { direction, data, eof, .. } = input;
        let side = direction.index(); // of two
        let (line, truncated, consumed) = match cut(data, eof) {
            Cut::More if data.is_empty() => return Step::Ok(0),
            Cut::More => return Step::More { consumed: 0, needed: data.len() + 1 },
            Cut::Line { consumed, .. } if std::mem::take(&mut self.skipping[side]) => return Step::Ok(consumed),
            Cut::Line { line, consumed, .. } => (line, false, consumed),
            Cut::Piece(piece) if std::mem::replace(&mut self.skipping[side], true) => return Step::Ok(piece.len()),
            Cut::Piece(piece) => (piece, true, piece.len()),
        };
        match direction {
            Direction::ToServer => self.command(line, truncated, cx),
            Direction::ToClient => self.reply(line, truncated, cx),
        }
        Step::Ok(consumed)
    }

    fn gap(&mut self, direction: Direction, _: u64, _: &mut Cx<'_>) -> Step {
        // The next line end begins anew; a reply that was lost leaves its command open until the next one.
        self.skipping[direction.index()] = true; // of two
        self.within = None;
        Step::Ok(0)
    }

    fn announced(&mut self) -> Vec<Announced> {
        std::mem::take(&mut self.announced)
    }
    fn proto(&self) -> AppProto {
        AppProto::Ftp
    }
    own_txs!();

    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        let one = |v: &'a [u8]| (index == 0 && !v.is_empty()).then_some(v);
        match (buffer, direction) {
            (Buffer::FtpCommand, Direction::ToServer) => one(&tx.command),
            (Buffer::FtpCommandData, Direction::ToServer) => one(&tx.data),
            (Buffer::FtpReply, Direction::ToClient) => tx.replies.get(index).map(Vec::as_slice),
            (Buffer::FtpCompletionCode, Direction::ToClient) => tx.codes.get(index).map(Vec::as_slice),
            (Buffer::FtpMode, Direction::ToServer) => one(tx.mode?.name().as_bytes()),
            _ => None,
        }
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        match (field, direction) {
            (Field::FtpDynamicPort, Direction::ToServer) if index == 0 => tx.port.map(u64::from),
            (Field::FtpPortAddress, Direction::ToServer) if index == 0 && tx.command == b"PORT" => {
                parser::address(&tx.data).map(|a| u32::from_be_bytes(a).into())
            }
            (Field::FtpReplyReceived, Direction::ToServer) if index == 0 && !tx.command.is_empty() => {
                Some(tx.replied.into())
            }
            _ => None,
        }
    }
    fn buffer_at(buffer: Buffer, _: Direction) -> u8 {
        match buffer {
            Buffer::FtpCommand | Buffer::FtpCommandData => COMMAND,
            _ => DONE,
        }
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, _: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        Some(("ftp", None))
    }
    fn log(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        log::write(tx, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        log::write(tx, w);
    }
}

#[cfg(test)]
mod tests;
