// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! NFS versions 2, 3 and 4 over ONC RPC, TCP and UDP: each call with its reply, who called, and which file was meant. Names of
//! handles are remembered from where they were looked up.
//!
//! Must never wait for a record longer than [`MAX_RECORD`]: of a longer one the beginning is read, the rest passed over.
//! Limits: [`MAX_TXS`], [`MAX_NAMES`].

pub mod log;
pub mod parser;
pub mod rpc;

use std::collections::VecDeque;

use lagewarte_base::reader::Reader;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use self::{
    parser::About,
    rpc::{Call, Header, Reply},
};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Skip, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Most calls that wait for their reply. Threat: a client that calls and never hears.
pub const MAX_TXS: usize = 1024;
/// Longest record that is waited for; of a longer one so much. Threat: a length of 2 GiB announced. What calls name stands
/// before what they write.
pub const MAX_RECORD: usize = 16 * 1024;
/// Most names of handles that a flow remembers; the oldest goes first. Threat: a client that looks up every file.
pub const MAX_NAMES: usize = 256;

/// Most files of a flow that are read or written at a time; the one that began first ends. Threat: a client that opens every
/// file and closes none.
pub const MAX_FILES: usize = 128;

/// Names of events, by number.
pub const EVENTS: &[&str] = &["malformed_data", "too_many_transactions"];
const MALFORMED: u8 = 0;
const TOO_MANY: u8 = 1;

/// Set in [`Field::NfsNamed`] for version 4, whose numbers are other ones.
pub const VERSION_4: u64 = 1 << 32;

/// A call and its reply.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// The call's header.
    pub call: Call,
    /// What it is about.
    pub about: About,
    /// CRC-32 of the handle.
    pub hash: u32,
    /// The name that the handle is known by, where the call has none.
    known: Option<Vec<u8>>,
    /// The reply's header.
    pub reply: Option<Reply>,
    /// The reply's status.
    pub status: Option<u32>,
    /// Where it reads or writes a file: how that goes on.
    pub file: Option<Parts>,
    // It is an event of something that is no call.
    odd: bool,
}

/// How a file is read or written: all calls on its handle, up to where it is closed or committed, are one transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Whether it is written.
    pub write: bool,
    /// Whether its beginning was seen.
    pub first: bool,
    /// Whether it was closed or committed, written so that no COMMIT follows, or read to its end.
    pub last: bool,
    /// Number of the last call.
    pub last_xid: u32,
    /// Calls.
    pub chunks: u64,
}

impl Parts {
    // Where a call reads or writes.
    fn of(call: &Call, about: &About) -> Option<Self> {
        let write = match (call.version, about.procedure) {
            (2 | 3, 6) | (4, 25) => false,
            (2, 8) | (3, 7) | (4, 38) => true,
            _ => return None,
        };
        let first = about.offset == Some(0);
        (!about.handle.is_empty()).then_some(Self { write, first, last: about.stored, last_xid: call.xid, chunks: 1 })
    }
}

impl Tx {
    /// The file's name.
    pub fn name(&self) -> Option<&[u8]> {
        self.about.name.as_deref().or(self.known.as_deref())
    }
    /// Whether it gives a file another name.
    pub const fn renames(&self) -> bool {
        matches!((self.call.version, self.about.procedure), (2, 11) | (3, 14) | (4, 29))
    }
}

transaction!(Tx);

/// A flow's state.
#[derive(Debug)]
pub struct Nfs {
    txs: Txs<Tx>,
    skip: Skip,
    // Bytes were lost: the next ones must look like a record.
    lost: [bool; 2],
    // What comes next is not the first fragment of a record.
    within: [bool; 2],
    names: VecDeque<(u32, Vec<u8>)>,
    charged: u64,
}

impl Default for Nfs {
    fn default() -> Self {
        Self {
            txs: Txs::new(MAX_TXS),
            skip: Skip::default(),
            lost: [false; 2],
            within: [false; 2],
            names: VecDeque::new(),
            charged: 0,
        }
    }
}

impl Nfs {
    // A message, or its beginning.
    fn message(&mut self, d: Direction, data: &[u8], whole: bool, cx: &mut Cx<'_>) {
        let mut r = Reader::new(data);
        match rpc::header(&mut r) {
            Some(Header::Call(call)) if d == Direction::ToServer => self.call(call, &mut r, whole, cx),
            Some(Header::Reply(reply)) if d == Direction::ToClient => self.reply(reply, &mut r, whole, cx),
            Some(_) => {} // another program, or a call back to the client (RFC 7530, 10.2.1)
            None => self.odd(d, cx),
        }
    }

    fn call(&mut self, call: Call, r: &mut Reader<'_>, whole: bool, cx: &mut Cx<'_>) {
        let about = parser::call(call.version, call.procedure, r);
        let damaged = about.is_none() && whole;
        let about = about.unwrap_or_else(|| About { procedure: call.procedure, ..About::default() });
        let hash = crc32(&about.handle);
        let file = Parts::of(&call, &about);
        if let Some(more) = file
            && let Some(parts) = self.files(hash).find(|p| p.write == more.write)
        {
            parts.chunks += 1;
            parts.last_xid = more.last_xid;
            parts.first |= more.first;
            parts.last |= more.last;
            return;
        }
        match (call.version, about.procedure) {
            (3, 21) | (4, 5) => self.end(hash, false), // COMMIT
            (4, 4) => self.end(hash, true),            // CLOSE
            _ => {}
        }
        let mut tx = Tx { call, hash, file, ..Tx::default() };
        if about.name.is_none() && !about.handle.is_empty() {
            tx.known = self.names.iter().find(|(h, _)| *h == hash).map(|(_, name)| name.clone());
        }
        let text = |t: &Option<Vec<u8>>| t.as_ref().map_or(0, Vec::len);
        let machine = tx.call.credentials.unix.as_ref().map_or(0, |(m, ..)| m.len());
        let held = about.handle.len() + text(&about.name) + text(&about.to) + text(&tx.known) + machine;
        if !cx.charge(&mut tx.core.charged, size_of::<Tx>() + held) {
            return;
        }
        tx.about = about;
        if damaged {
            tx.core.raise(MALFORMED);
        }
        tx.core.reach(Direction::ToServer, DONE);
        self.push(tx);
        let open = |t: &&mut Tx| t.file.is_some() && !t.core.finished();
        if file.is_some() && self.txs.iter_mut().filter(open).count() > MAX_FILES {
            self.txs.iter_mut().find(open).into_iter().for_each(|t| t.core.finish());
        }
    }

    // What is open of a file.
    fn files(&mut self, hash: u32) -> impl Iterator<Item = &mut Parts> {
        let open = move |t: &&mut Tx| t.hash == hash && !t.core.finished();
        self.txs.iter_mut().filter(open).filter_map(|t| t.file.as_mut())
    }

    // A file is closed, or what was written of it is committed.
    fn end(&mut self, hash: u32, read: bool) {
        for t in self.txs.iter_mut().filter(|t| t.hash == hash && !t.core.finished()) {
            if let Some(parts) = t.file.as_mut().filter(|p| p.write || read) {
                parts.last = true;
                t.core.finish();
            }
        }
    }

    fn push(&mut self, tx: Tx) {
        let before = self.txs.crowded;
        self.txs.push(tx);
        if self.txs.crowded > before
            && let Some(tx) = self.txs.last()
        {
            tx.core.raise(TOO_MANY);
        }
    }

    fn reply(&mut self, reply: Reply, r: &mut Reader<'_>, whole: bool, cx: &mut Cx<'_>) {
        let open = |t: &&mut Tx| {
            let xid = t.file.map_or(t.call.xid, |p| p.last_xid);
            xid == reply.xid && !t.odd && t.core.progress(Direction::ToClient) < DONE
        };
        // What was called is not known, where the flow was taken up in its middle.
        let Some(tx) = self.txs.iter_mut().find(open) else { return };
        tx.reply = Some(reply);
        let mut given = None;
        if reply.accepted && reply.done && tx.call.procedure != 0 {
            match parser::reply(tx.call.version, tx.call.procedure, r) {
                Some(g) => {
                    tx.status = Some(g.status);
                    tx.file.iter_mut().for_each(|p| p.last |= g.end);
                    // What was looked up is what the event is about.
                    if let (Some(handle), (2, 4) | (3, 3)) = (&g.handle, (tx.call.version, tx.call.procedure)) {
                        tx.hash = crc32(handle);
                    }
                    given = g.handle.zip(tx.about.name.clone());
                }
                None if whole => tx.core.raise(MALFORMED),
                None => {}
            }
        } else if reply.accepted && reply.done {
            tx.status = Some(0); // NULL has no results; that it was done is one
        }
        if tx.file.is_none_or(|p| p.last) {
            tx.core.finish();
        }
        if let Some((handle, name)) = given {
            self.remember(crc32(&handle), name, cx);
        }
    }

    fn remember(&mut self, hash: u32, name: Vec<u8>, cx: &mut Cx<'_>) {
        self.names.retain(|(h, _)| *h != hash);
        if self.names.len() >= MAX_NAMES {
            self.names.pop_front();
        }
        self.names.push_back((hash, name));
        // The charge is made anew over what is held; where it is refused nothing is.
        cx.release(&mut self.charged);
        let size = self.names.iter().map(|(_, n)| n.len() + size_of::<(u32, Vec<u8>)>()).sum();
        if !cx.charge(&mut self.charged, size) {
            self.names.clear();
        }
    }

    fn odd(&mut self, d: Direction, cx: &mut Cx<'_>) {
        let mut tx = Tx { odd: true, ..Tx::default() };
        if cx.charge(&mut tx.core.charged, size_of::<Tx>()) {
            tx.core.raise(MALFORMED);
            tx.core.only = Some(d);
            tx.core.finish();
            self.push(tx);
        }
    }

    // A record's fragment, or that more is wanted: how many bytes are done with.
    fn record(&mut self, d: Direction, data: &[u8], cx: &mut Cx<'_>) -> Result<usize, usize> {
        let (last, len) = rpc::mark(data).ok_or(4usize)?;
        let waited = len.min(MAX_RECORD);
        let body = data.get(4..4 + waited).ok_or(4 + waited)?;
        let within = std::mem::replace(&mut self.within[d.index()], !last); // an index of two
        // Only the first fragment has a header.
        if !within {
            self.message(d, body, last && waited == len, cx);
        }
        self.skip.set(d, (len - waited) as u64);
        Ok(4 + waited)
    }
}

impl Protocol for Nfs {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = EVENTS;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let d = input.direction;
        if input.datagram {
            self.message(d, input.data, true, cx);
            return Step::Ok(input.data.len());
        }
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            let passed = self.skip.over(d, rest);
            if passed > 0 {
                at += passed;
                continue;
            }
            if self.lost[d.index()] {
                match begins(rest, d) {
                    Some(true) => self.lost[d.index()] = false,
                    Some(false) => return Step::Error,
                    None if input.eof => break,
                    None => return Step::More { consumed: at, needed: rest.len() + 1 },
                }
            }
            match self.record(d, rest, cx) {
                Ok(n) => at += n,
                Err(_) if input.eof => break,
                Err(needed) => return Step::More { consumed: at, needed },
            }
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, d: Direction, len: u64, _: &mut Cx<'_>) -> Step {
        if self.skip.gap(d, len) == Step::Error {
            self.skip.set(d, 0);
            (self.lost[d.index()], self.within[d.index()]) = (true, false);
        }
        Step::Ok(0)
    }
    fn proto(&self) -> AppProto {
        AppProto::Nfs
    }
    fn charged(&self) -> u64 {
        self.charged
    }
    own_txs!();
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, d: Direction, index: usize) -> Option<&'a [u8]> {
        if buffer != Buffer::FileName || d != Direction::ToServer {
            return None;
        }
        [tx.name(), tx.about.to.as_deref()].into_iter().flatten().nth(index)
    }
    fn number(&self, tx: &Tx, field: Field, d: Direction, index: usize) -> Option<u64> {
        if index > 0 || d != Direction::ToServer || tx.odd {
            return None;
        }
        match field {
            Field::NfsVersion => Some(tx.call.version.into()),
            Field::NfsProcedure => Some(tx.about.procedure.into()),
            Field::NfsNamed => Some(u64::from(tx.about.procedure) | if tx.call.version >= 4 { VERSION_4 } else { 0 }),
            _ => None,
        }
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        let way = if tx.reply.is_some() { Direction::ToClient } else { Direction::ToServer };
        // A client asks for attributes before all it does: as in Suricata rules see it, the log does not.
        let attributes = tx.call.version < 4 && tx.call.procedure == 1;
        (!tx.odd && !attributes).then_some(("nfs", Some(way)))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        self.metadata(tx, config, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        log::write(tx, tx.core.id + 1, w);
    }
}

/// Whether a record of NFS begins here: its mark and an RPC header. None where more bytes would tell.
pub fn begins(data: &[u8], d: Direction) -> Option<bool> {
    match rpc::mark(data) {
        Some((_, len)) => {
            if len < 24 {
                Some(false)
            } else {
                call_or_reply(data.get(4..)?, d)
            }
        }
        None => (data.first().is_some_and(|b| b & 0x7f != 0)).then_some(false), // no record of 16 MiB and more
    }
}

/// Whether a message is a call of NFS, or a reply, as its direction wants. None where more bytes would tell.
pub fn call_or_reply(message: &[u8], d: Direction) -> Option<bool> {
    let mut r = Reader::new(message);
    r.u32()?;
    let kind = r.u32()?;
    match d {
        Direction::ToServer => {
            let (rpc, program, version) = (r.u32()?, r.u32()?, r.u32()?);
            Some(kind == 0 && rpc == 2 && program == rpc::NFS && (2..=4).contains(&version))
        }
        // Accepted with a verifier, or denied for one of two reasons.
        Direction::ToClient => match (kind, r.u32()?) {
            (1, 0) => {
                let (flavour, len) = (r.u32()?, r.u32()?);
                Some(flavour <= 6 && len <= 400)
            }
            (1, 1) => Some(r.u32()? <= 1),
            _ => Some(false),
        },
    }
}

// CRC-32 (ISO 3309), by which handles are told apart in events.
fn crc32(data: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(data);
    crc.sum()
}

#[cfg(test)]
mod tests;
