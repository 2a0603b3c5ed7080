// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! SSH: the banners of both sides, and what each offers for the key exchange, as a fingerprint (hassh). One transaction a
//! flow; once both sides have switched to their new keys nothing of it is read.
//!
//! Rooms: `parser` (banner, packets, KEXINIT), `log`, `detect`, `events`. Must never wait for a packet longer than
//! [`parser::MAX_PACKET`], and never guess behind a gap where the next packet begins.

pub mod detect;
pub mod events;
pub mod log;
pub mod parser;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use self::{
    events::Event,
    parser::{Banner, Offer, Packet},
};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    frames::Kind,
    line::{self, Cut},
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// The banner is there.
pub const BANNER: u8 = 1;
/// What the side offers is there.
pub const OFFERED: u8 = 2;
/// Lines of a server before its banner that are skipped. Threat: a server that never comes to it.
const MAX_PREFACE: u8 = 32;

/// What a side said.
#[derive(Debug, Default)]
pub struct Said {
    /// Its banner.
    pub banner: Option<Banner>,
    /// What it offers: the fingerprint's text and its MD5 in hex.
    pub hassh: Option<(Vec<u8>, String)>,
}

/// The transaction of a flow.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// By [`Direction::index`].
    pub said: [Said; 2],
}

transaction!(Tx);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Banner,
    Packets,
    // So much of a packet is left that is not read.
    Skip(u64),
    // New keys, or the place is lost.
    Over,
}

/// A flow's state.
#[derive(Debug)]
pub struct Ssh {
    txs: Txs<Tx>,
    phases: [Phase; 2],
    prefaces: u8,
}

impl Default for Ssh {
    fn default() -> Self {
        Self { txs: Txs::new(1), phases: [Phase::Banner; 2], prefaces: 0 }
    }
}

impl Ssh {
    fn step(&mut self, d: Direction, data: &[u8], eof: bool, cx: &mut Cx<'_>) -> Step {
        let i = d.index(); // an index of two
        match self.phases[i] {
            Phase::Over => Step::Ok(data.len()),
            Phase::Skip(left) => {
                let n = data.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - n as u64; // n <= left
                self.phases[i] = if left == 0 { Phase::Packets } else { Phase::Skip(left) };
                Step::Ok(n)
            }
            Phase::Banner => self.banner(d, data, eof, cx),
            Phase::Packets => match self.marked(data, cx) {
                Packet::More(needed) => Step::More { consumed: 0, needed },
                Packet::Error => {
                    self.raise(Event::InvalidRecord);
                    self.phases[i] = Phase::Over;
                    self.reach(d, DONE);
                    Step::Ok(data.len())
                }
                Packet::Long(len) => {
                    self.raise(Event::LongKexRecord);
                    self.phases[i] = Phase::Skip(len);
                    Step::Ok(0)
                }
                Packet::Ok { kind, payload, consumed } => {
                    match kind {
                        parser::KEXINIT => self.offer(d, parser::offer(payload), cx),
                        parser::NEWKEYS => {
                            self.phases[i] = Phase::Over;
                            self.reach(d, DONE);
                            if self.phases == [Phase::Over; 2] {
                                cx.encrypted();
                            }
                        }
                        _ => {}
                    }
                    Step::Ok(consumed)
                }
            },
        }
    }

    // The packet at the beginning of the bytes, its frames marked: header, with padding's length and the message's number;
    // what follows that, padding included; all of it.
    fn marked<'d>(&self, data: &'d [u8], cx: &mut Cx<'_>) -> Packet<'d> {
        let packet = parser::packet(data);
        let len = match packet {
            Packet::Ok { consumed, .. } => consumed as u64,
            Packet::Long(len) => len,
            Packet::More(_) | Packet::Error => return packet,
        };
        cx.frame(Kind::SshRecordHdr, data.len(), parser::RECORD_HEADER as u64);
        cx.frame(Kind::SshRecordPdu, data.len(), len);
        if let Some(left) = data.len().checked_sub(parser::RECORD_HEADER) {
            cx.frame(Kind::SshRecordData, left, len.saturating_sub(parser::RECORD_HEADER as u64));
        }
        cx.frames_of(0);
        packet
    }

    fn banner(&mut self, d: Direction, data: &[u8], eof: bool, cx: &mut Cx<'_>) -> Step {
        let i = d.index();
        let (line, consumed) = match line::cut(data, eof) {
            Cut::Line { line, consumed, .. } => (line, consumed),
            Cut::Piece(piece) => (piece, piece.len()),
            Cut::More => return Step::More { consumed: 0, needed: data.len() + 1 },
        };
        if d == Direction::ToClient && !line.starts_with(b"SSH-") && self.prefaces < MAX_PREFACE {
            self.prefaces += 1; // RFC 4253, 4.2: lines may come before it
            return Step::Ok(consumed);
        }
        let long = line.len() > parser::MAX_BANNER;
        match parser::banner(line) {
            Some(banner) => {
                if let Some(tx) = self.tx(cx)
                    && cx.charge(&mut tx.core.charged, banner.len())
                {
                    tx.said[i].banner = Some(banner);
                }
                if long {
                    self.raise(Event::LongBanner);
                }
                self.phases[i] = Phase::Packets;
                self.reach(d, BANNER);
                Step::Ok(consumed)
            }
            None => {
                let _ = self.tx(cx);
                self.raise(Event::InvalidBanner);
                Step::Error
            }
        }
    }

    fn offer(&mut self, d: Direction, offer: Option<Offer<'_>>, cx: &mut Cx<'_>) {
        let Some(offer) = offer else { return self.raise(Event::InvalidRecord) };
        let text = offer.hassh(d == Direction::ToClient);
        if cx.config.ssh.hassh
            && let Some(tx) = self.txs.last()
            && tx.said[d.index()].hassh.is_none()
            && cx.charge(&mut tx.core.charged, text.len() + 32)
        {
            let hash = parser::md5_hex(&text);
            tx.said[d.index()].hassh = Some((text, hash));
        }
        self.reach(d, OFFERED);
    }

    // The flow's transaction.
    fn tx(&mut self, cx: &mut Cx<'_>) -> Option<&mut Tx> {
        if self.txs.total() == 0 {
            let mut tx = Tx::default();
            if !cx.charge(&mut tx.core.charged, size_of::<Tx>()) {
                return None;
            }
            self.txs.push(tx);
        }
        self.txs.last()
    }
    fn raise(&mut self, e: Event) {
        if let Some(tx) = self.txs.last() {
            tx.core.raise(e as u8);
        }
    }
    fn reach(&mut self, d: Direction, progress: u8) {
        if let Some(tx) = self.txs.last() {
            tx.core.reach(d, progress);
        }
    }
}

impl Protocol for Ssh {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = events::NAMES;
    const LOG_AT: [u8; 2] = [OFFERED; 2];

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            match self.step(input.direction, rest, input.eof, cx) {
                Step::Ok(n) => at += n,
                Step::More { .. } if input.eof => break,
                Step::More { needed, .. } => return Step::More { consumed: at, needed },
                Step::Error => return Step::Error,
            }
        }
        if input.eof {
            self.reach(input.direction, DONE);
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, d: Direction, len: u64, _: &mut Cx<'_>) -> Step {
        match &mut self.phases[d.index()] {
            Phase::Over => {}
            Phase::Skip(left) if len <= *left => *left -= len,
            phase => {
                *phase = Phase::Over; // where the next packet begins is not known
                self.reach(d, DONE);
            }
        }
        Step::Ok(0)
    }
    fn proto(&self) -> AppProto {
        AppProto::Ssh
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        detect::buffer(tx, buffer, direction, index)
    }
    fn number(&self, _: &Tx, _: Field, _: Direction, _: usize) -> Option<u64> {
        None
    }
    fn buffer_at(buffer: Buffer, _: Direction) -> u8 {
        match buffer {
            Buffer::SshProto | Buffer::SshSoftware => BANNER,
            _ => OFFERED,
        }
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        tx.said.iter().any(|s| s.banner.is_some()).then_some(("ssh", None))
    }
    fn log(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        log::write(tx, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        log::write(tx, w);
    }
}

/// Choices: `app-layer.protocols.ssh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `hassh`: whether fingerprints are made.
    pub hassh: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self { hassh: true }
    }
}

#[cfg(test)]
mod tests;
