// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! SMB 1 (MS-CIFS, MS-SMB) and SMB 2 and 3 (MS-SMB2) over the session service or bare TCP.
//!
//! A request and its response are a transaction; a file that is read or written is one of its own, from its first byte to
//! its close, and so is each call of DCE/RPC in a named pipe. Rooms: `tx`, `wire` (frames, texts), `v1` and `v2` (messages),
//! `auth` (who logs on), `transfer` (files in pieces), `pipe` (DCE/RPC), `log`, `detect`, `names`, `events`.
//!
//! A record is waited for whole up to [`MAX_RECORD`]; what reads or writes a file goes on as its bytes come. Behind a gap,
//! reading goes on at the next record that begins with SMB's mark. Must never decrypt: an encrypted or compressed record is
//! passed over. Limits: [`Choices`], [`MAX_RECORD`], [`MAX_OPEN`], [`MAX_TREES`], [`MAX_PENDING`], [`wire::MAX_NAME`].

pub mod auth;
pub mod detect;
pub mod events;
mod frames;
pub mod log;
pub mod names;
pub mod pipe;
pub mod transfer;
mod tx;
mod v1;
mod v2;
pub mod wire;

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

pub use self::tx::{About, Body, Created, FileId, Status, Tx};
use self::{
    auth::{Blob, Kerberos, Ntlm},
    events::Event,
    pipe::Pipe,
    transfer::{Queue, Transfer},
    wire::{FRAME, Frame},
};
use crate::{
    buffer::{Buffer, Field},
    config::Config,
    dcerpc::pdu,
    file::Files,
    protocol::{Cx, Input, Protocol, Step, own_txs},
    recent::Recent,
    tx::{DONE, Txs},
};

/// Bytes of a record that is waited for. Threat: a record of 16 MiB announced and never sent.
pub const MAX_RECORD: usize = 192 * 1024;
/// Bytes of a record that say whether it brings a part of a file, and of which.
const HEAD: usize = 128;
/// Open files that are remembered. Threat: files that are opened and never closed.
pub const MAX_OPEN: usize = 1024;
/// Trees that are remembered. Threat: tree connects without end.
pub const MAX_TREES: usize = 512;
/// Reads whose answer is awaited. Threat: reads that are never answered.
pub const MAX_PENDING: usize = 512;
/// Dialects of a negotiation that are kept. Threat: a list as long as a record.
pub const MAX_DIALECTS: usize = 64;

/// Choices: `app-layer.protocols.smb` and what EVE writes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `max-tx`: transactions of a flow that are open. Threat: requests that are never answered.
    pub max_tx: usize,
    /// `max-read-size`: a larger read is an event and its data no file; 0: any.
    pub max_read: u32,
    /// `max-write-size`: the same for writes.
    pub max_write: u32,
    /// `max-read-queue-size`, `max-read-queue-cnt`.
    pub read_queue: Queue,
    /// `max-write-queue-size`, `max-write-queue-cnt`.
    pub write_queue: Queue,
    /// `outputs.eve-log.types.smb.types`: kinds of transactions that are written, a bit for each of [`Body::KINDS`].
    pub written: u16,
}

impl Default for Choices {
    fn default() -> Self {
        let queue = Queue { size: 64 << 20, count: 64 };
        Self {
            max_tx: 1024,
            max_read: 16 << 20,
            max_write: 16 << 20,
            read_queue: queue,
            write_queue: queue,
            written: u16::MAX,
        }
    }
}

/// How a file is called that was opened before anything was seen.
const UNKNOWN: &[u8] = b"<unknown>";

/// What is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Dialect {
    #[default]
    Unknown,
    One(Vec<u8>),
    Two(u16),
}

/// A share in use.
#[derive(Debug, Default)]
struct Tree {
    name: Vec<u8>,
    pipe: bool,
}

/// An open file or pipe.
#[derive(Debug, Default)]
struct Open {
    name: Vec<u8>,
    share: Vec<u8>,
    pipe: Option<Box<Pipe>>,
    // The transactions of its bytes, by direction.
    txs: [Option<u64>; 2],
    // Whether it is known which of both it is.
    settled: bool,
    charged: u64,
}

/// A request whose answer does not say what it is for.
#[derive(Clone, Copy, Debug)]
struct Pending {
    file: FileId,
    offset: u64,
    close: bool,
}

/// A part of a file that a record brings: of which file in which tree, where in it, and where in the record.
#[derive(Clone, Copy, Debug)]
struct Part {
    file: FileId,
    tree: (u64, u32),
    offset: u64,
    at: usize,
    len: usize,
}

/// What an offset and a length in a message point to; where the message is not all there, what is there of it.
fn there(message: &[u8], at: usize, len: usize) -> &[u8] {
    let rest = message.get(at..).unwrap_or_default();
    rest.get(..len).unwrap_or(rest)
}

/// What is left of a record that is not waited for.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    // The file that the next bytes belong to, where in it, and how many.
    file: Option<FileId>,
    offset: u64,
    left: u64,
    // Bytes that follow and are passed over.
    skip: u64,
}

/// A flow's state.
#[derive(Debug)]
pub struct Smb {
    txs: Txs<Tx>,
    dialect: Dialect,
    // Most that the server takes of a read and of a write, once it has said so.
    sizes: Option<(u32, u32)>,
    trees: Recent<(u64, u32), Tree>,
    open: Recent<FileId, Open>,
    pending: Recent<u64, Pending>,
    // The file that the record's first message opened, for those related to it.
    related: Option<FileId>,
    charged: u64,
    rest: [Rest; 2],
    lost: [bool; 2],
}

impl Default for Smb {
    fn default() -> Self {
        Self {
            txs: Txs::new(Choices::default().max_tx),
            dialect: Dialect::Unknown,
            sizes: None,
            trees: Recent::new(MAX_TREES),
            open: Recent::new(MAX_OPEN),
            pending: Recent::new(MAX_PENDING),
            related: None,
            charged: 0,
            rest: [Rest::default(); 2],
            lost: [false; 2],
        }
    }
}

impl Smb {
    /// Adds a transaction whose request is complete; None where its memory was not granted.
    fn push(&mut self, about: About, body: Body, held: usize, cx: &mut Cx<'_>) -> Option<&mut Tx> {
        let mut tx = Tx { about, body, ..Tx::default() };
        if !cx.charge(&mut tx.core.charged, size_of::<Tx>() + held) {
            return None;
        }
        tx.core.reach(Direction::ToServer, DONE);
        self.txs.limit(cx.config.smb.max_tx);
        Some(self.txs.push(tx))
    }

    /// Notes an event on the newest transaction.
    fn odd(&mut self, event: Event, cx: &mut Cx<'_>) {
        if self.txs.is_empty()
            && let Some(tx) = self.push(About::default(), Body::Odd, 0, cx)
        {
            tx.core.finish();
        }
        if let Some(tx) = self.txs.last() {
            tx.core.raise(event as u8);
        }
    }

    /// The transaction that a response answers.
    fn asked(&mut self, about: &About) -> Option<&mut Tx> {
        let fits = |t: &&mut Tx| {
            let a = &t.about;
            (a.version, a.message, a.command) == (about.version, about.message, about.command)
                && !matches!(t.body, Body::File { .. })
                && (t.core.progress(Direction::ToClient) < DONE || t.status.is_none())
        };
        self.txs.iter_mut().rev().find(fits)
    }

    /// Notes how a request ended; a call in a pipe goes on.
    fn answered(&mut self, about: &About, status: Status) {
        if let Some(tx) = self.asked(about) {
            tx.status = Some(status);
            if !matches!(tx.body, Body::Rpc { .. }) {
                tx.core.reach(Direction::ToClient, DONE);
            }
        }
    }

    /// Remembers an open file.
    fn opened(&mut self, id: FileId, mut open: Open, cx: &mut Cx<'_>) {
        let bytes = size_of::<Open>() + open.name.len() + open.share.len();
        let mut charged = 0;
        if !cx.charge(&mut charged, bytes) {
            return;
        }
        open.charged = charged;
        self.charged += charged;
        if let Some(gone) = self.open.put(id, open) {
            self.forget(gone, cx);
        }
    }
    fn forget(&mut self, mut open: Open, cx: &mut Cx<'_>) {
        self.charged = self.charged.saturating_sub(open.charged);
        cx.release(&mut open.charged);
    }

    /// Remembers a share.
    fn connected(&mut self, about: &About, tree: u32, name: &[u8], pipe: bool, cx: &mut Cx<'_>) {
        if cx.charge(&mut self.charged, size_of::<Tree>() + name.len())
            && let Some(gone) = self.trees.put((about.session, tree), Tree { name: name.to_vec(), pipe })
        {
            let mut back = (size_of::<Tree>() + gone.name.len()) as u64;
            self.charged = self.charged.saturating_sub(back);
            cx.release(&mut back);
        }
    }

    /// Whether what goes to or comes from an open file goes through a pipe. Where its tree was not seen, the first bytes
    /// tell.
    fn is_pipe(&mut self, id: &FileId, tree: (u64, u32), bytes: &[u8], cx: &mut Cx<'_>) -> bool {
        if self.open.get(id).is_none() {
            let settled = self.trees.get(&tree).is_some();
            let pipe = self.trees.get(&tree).is_some_and(|t| t.pipe).then(Box::default);
            let share = self.trees.get(&tree).map(|t| t.name.clone()).unwrap_or_default();
            self.opened(*id, Open { name: UNKNOWN.to_vec(), share, pipe, settled, ..Open::default() }, cx);
        }
        let Some(open) = self.open.get_mut(id) else { return false };
        if !open.settled && !bytes.is_empty() {
            open.settled = true;
            open.pipe = pdu::head(bytes).map(|_| Box::default());
        }
        open.pipe.is_some()
    }

    /// A file is closed: its transfers end. Whether there were some.
    fn closed(&mut self, id: &FileId, cx: &mut Cx<'_>) -> bool {
        let Some(open) = self.open.take(id) else { return false };
        let mut any = false;
        for number in open.txs.into_iter().flatten() {
            let Some(tx) = self.txs.by_id(number) else { continue };
            let Body::File { transfer, .. } = &mut tx.body else { continue };
            any = true;
            transfer.end(true);
            tx.status = Some(Status::Nt(0));
            tx.core.finish();
        }
        if open.pipe.is_some() {
            // Calls that were not answered will not be.
            let of = |t: &&mut Tx| matches!(&t.body, Body::Rpc { id: of, .. } if of == id);
            self.txs.iter_mut().filter(of).for_each(|t| t.core.finish());
        }
        self.forget(open, cx);
        any
    }

    /// Takes a piece of a file that is read or written; `begins`: a message brings it, and it is not the rest of one.
    fn piece(&mut self, d: Direction, about: Option<&About>, id: &FileId, offset: u64, bytes: &[u8], cx: &mut Cx<'_>) {
        let side = d.index();
        let Some(open) = self.open.get(id) else { return };
        let known = open.txs[side].filter(|n| self.txs.by_id(*n).is_some_and(|t| !t.core.finished()));
        let number = match (known, about) {
            (Some(n), _) => n,
            (None, Some(about)) => {
                let transfer = Transfer::new(&open.name, d, cx.config);
                let (name, share) = (open.name.clone(), open.share.clone());
                let held = name.len() + share.len();
                let mut tx = Tx { about: *about, body: Body::File { id: *id, name, share, transfer }, ..Tx::default() };
                if !cx.charge(&mut tx.core.charged, size_of::<Tx>() + held) {
                    return;
                }
                self.txs.limit(cx.config.smb.max_tx);
                let n = self.txs.push(tx).core.id;
                if let Some(open) = self.open.get_mut(id) {
                    open.txs[side] = Some(n);
                }
                n
            }
            (None, None) => return,
        };
        let Some(tx) = self.txs.by_id(number) else { return };
        let Body::File { transfer, .. } = &mut tx.body else { return };
        let smb = &cx.config.smb;
        let (queue, events) = match d {
            Direction::ToServer => (smb.write_queue, [Event::WriteQueueSizeExceeded, Event::WriteQueueCntExceeded]),
            Direction::ToClient => (smb.read_queue, [Event::ReadQueueSizeExceeded, Event::ReadQueueCntExceeded]),
        };
        let mut charged = tx.core.charged;
        let (news, odd) = transfer.piece(offset, bytes, about.is_some(), &queue, cx, &mut charged);
        tx.core.charged = charged;
        for (is, event) in [(odd.overlap, Event::FileOverlap), (odd.size, events[0]), (odd.count, events[1])] {
            if is {
                tx.core.raise(event as u8);
            }
        }
        if news {
            tx.core.touch(d);
        }
    }

    /// Bytes of a file that will not come.
    fn missing(&mut self, d: Direction, id: &FileId, offset: u64, len: u64) {
        let number = self.open.get(id).and_then(|o| o.txs[d.index()]);
        if let Some(tx) = number.and_then(|n| self.txs.by_id(n))
            && let Body::File { transfer, .. } = &mut tx.body
            && transfer.lost(offset, len)
        {
            tx.core.touch(d);
        }
    }

    /// What a security blob of the client says; None where it is damaged.
    fn logon(data: &[u8]) -> (Option<Ntlm>, Option<Kerberos>, bool) {
        match auth::blob(data) {
            Blob::Ntlm(n) => (Some(n), None, true),
            Blob::Kerberos(k) => (None, Some(k), true),
            Blob::Other => (None, None, true),
            Blob::BadNtlm => (None, None, false),
        }
    }

    /// Takes a record, whole or as much of it as there is where it brings a part of a file.
    fn record(&mut self, d: Direction, record: &[u8], cx: &mut Cx<'_>) {
        self.related = None;
        match record {
            [0xff, b'S', b'M', b'B', ..] => self.record1(d, record, cx),
            [0xfe, b'S', b'M', b'B', ..] => self.record2(d, record, cx),
            // Encrypted (MS-SMB2 2.2.41) or compressed (2.2.42).
            [0xfc | 0xfd, b'S', b'M', b'B', ..] => {}
            _ => self.odd(Event::MalformedData, cx),
        }
    }

    /// Which part of which file a record brings that is not all there.
    fn part(&self, d: Direction, record: &[u8]) -> Option<Rest> {
        let part = match record {
            [0xff, b'S', b'M', b'B', ..] => self.part1(d, record),
            [0xfe, b'S', b'M', b'B', ..] => self.part2(d, record),
            _ => None,
        }?;
        let Part { file, tree, offset, at, len } = part;
        // A pipe's bytes are read whole.
        let bytes = there(record, at, len);
        let pipe = match self.open.get(&file) {
            Some(o) if o.settled => o.pipe.is_some(),
            _ => self.trees.get(&tree).map_or_else(|| pdu::head(bytes).is_some(), |t| t.pipe),
        };
        (record.len() >= at && !pipe).then_some(Rest {
            file: Some(file),
            offset: offset.saturating_add(bytes.len() as u64),
            left: (len - bytes.len()) as u64,
            skip: 0,
        })
    }

    /// Takes what belongs to a record that was not waited for; how many bytes of `data` that is.
    fn go_on(&mut self, d: Direction, data: &[u8], cx: &mut Cx<'_>) -> usize {
        let rest = self.rest[d.index()]; // an index of two
        let n = |most: u64| data.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        if rest.left > 0 {
            let n = n(rest.left);
            if let Some(id) = rest.file {
                self.piece(d, None, &id, rest.offset, data.get(..n).unwrap_or_default(), cx);
            }
            let r = &mut self.rest[d.index()];
            r.left -= n as u64;
            r.offset = r.offset.saturating_add(n as u64);
            return n;
        }
        let n = n(rest.skip);
        self.rest[d.index()].skip -= n as u64;
        n
    }
}

impl Protocol for Smb {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = events::NAMES;
    const ANSWERS: bool = false;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let (d, side) = (input.direction, input.direction.index());
        let mut at = 0;
        while let Some(data) = input.data.get(at..).filter(|r| !r.is_empty()) {
            let n = self.go_on(d, data, cx);
            if n > 0 {
                at += n;
                continue;
            }
            if self.lost[side] {
                match wire::resync(data) {
                    Some(n) => at += n,
                    None if input.eof => break,
                    None => {
                        // The mark may be cut in two.
                        at += data.len() - data.len().min(2 * FRAME - 1);
                        return Step::More { consumed: at, needed: 2 * FRAME };
                    }
                }
                self.lost[side] = false;
                continue;
            }
            let Some(head) = data.first_chunk::<FRAME>() else {
                if input.eof {
                    break;
                }
                return Step::More { consumed: at, needed: FRAME };
            };
            let len = match wire::frame(*head) {
                Frame::Message(len) => len,
                Frame::Other(len) => {
                    at += FRAME;
                    self.rest[side] = Rest { skip: len as u64, ..Rest::default() };
                    continue;
                }
                Frame::Bad => {
                    self.odd(Event::MalformedData, cx);
                    self.lost[side] = true;
                    at += 1;
                    continue;
                }
            };
            let there = data.get(FRAME..).unwrap_or_default();
            if let Some(whole) = there.get(..len) {
                frames::mark(data, len, cx);
                self.record(d, whole, cx);
                at += FRAME + len;
                continue;
            }
            // Not all there: a part of a file is taken as it comes, anything else is waited for.
            if there.len() >= HEAD.min(len) || input.eof {
                if let Some(mut rest) = self.part(d, there) {
                    let taken = there.len();
                    frames::mark(data, len, cx);
                    self.record(d, there, cx);
                    rest.skip = (len - taken) as u64 - rest.left.min((len - taken) as u64);
                    rest.left = rest.left.min((len - taken) as u64);
                    self.rest[side] = rest;
                    at = input.data.len();
                    continue;
                }
                if len > MAX_RECORD {
                    frames::mark(data, len, cx);
                    self.odd(Event::RecordOverflow, cx);
                    at += FRAME;
                    self.rest[side] = Rest { skip: len as u64, ..Rest::default() };
                    continue;
                }
            }
            if input.eof {
                break;
            }
            let needed = if there.len() < HEAD.min(len) { HEAD.min(len) } else { len };
            return Step::More { consumed: at, needed: FRAME + needed };
        }
        Step::Ok(input.data.len())
    }

    fn gap(&mut self, d: Direction, len: u64, _: &mut Cx<'_>) -> Step {
        let rest = self.rest[d.index()]; // an index of two
        if let Some(id) = rest.file.filter(|_| rest.left > 0) {
            self.missing(d, &id, rest.offset, len.min(rest.left));
        }
        let r = &mut self.rest[d.index()];
        let left = len.min(r.left);
        r.left -= left;
        r.offset = r.offset.saturating_add(left);
        let skip = (len - left).min(r.skip);
        r.skip -= skip;
        // A gap that ends within what is passed over anyway is none; any other may begin or end within a record.
        self.lost[d.index()] |= len > left + skip;
        Step::Ok(0)
    }
    fn proto(&self) -> AppProto {
        AppProto::Smb
    }
    fn charged(&self) -> u64 {
        self.charged
    }
    fn finish(&mut self) {
        for tx in self.txs.iter_mut() {
            if let Body::File { transfer, .. } = &mut tx.body
                && !transfer.ended()
            {
                transfer.end(false);
                tx.core.touch(Direction::ToServer);
                tx.core.touch(Direction::ToClient);
            }
            tx.core.finish();
        }
    }
    own_txs!();
    fn files<'a>(&'a self, tx: &'a Tx) -> Option<&'a Files> {
        match &tx.body {
            Body::File { transfer, .. } => Some(transfer.files()),
            _ => None,
        }
    }
    fn files_mut(&mut self, place: usize) -> Option<&mut Files> {
        match &mut self.txs.at_mut(place)?.body {
            Body::File { transfer, .. } => Some(transfer.files_mut()),
            _ => None,
        }
    }
    fn buffer<'a>(&'a self, tx: &'a Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&'a [u8]> {
        detect::buffer(tx, buffer, direction, index)
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        detect::number(tx, field, direction, index)
    }
    fn buffer_at(buffer: Buffer, _: Direction) -> u8 {
        match buffer {
            Buffer::FileName => 0, // known when the file begins
            _ => DONE,
        }
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Tx, config: &Config) -> Option<(&'static str, Option<Direction>)> {
        let kind = tx.body.kind()?;
        (config.smb.written >> kind & 1 == 1).then_some(("smb", None))
    }
    fn log(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        log::write(self, tx, w);
    }
}

#[cfg(test)]
mod tests;
