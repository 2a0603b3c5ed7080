// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Messages of SMB 2 and 3 (MS-SMB2 2.2), and what they change.
//!
//! Must never read outside a message: offsets count from its header, and every one is checked. Limit: [`MAX_COMPOUND`].

use lagewarte_flow::Direction;

use super::{
    About, Body, Created, Dialect, Event, FileId, MAX_DIALECTS, Open, Part, Pending, Smb, Status, UNKNOWN, names,
    there, wire,
};
use crate::{ordered::Ordered, protocol::Cx};

/// Length of a message's header (MS-SMB2 2.2.1).
const HEADER: usize = 64;
/// Messages of one record that are read. Threat: a record of headers only.
pub(super) const MAX_COMPOUND: usize = 64;
/// The file that the record's first message opened (MS-SMB2 3.2.4.1.4).
const RELATED: FileId = [0xff; 16];

const NEGOTIATE: u16 = 0;
const SESSION_SETUP: u16 = 1;
const TREE_CONNECT: u16 = 3;
const CREATE: u16 = 5;
const CLOSE: u16 = 6;
const READ: u16 = 8;
const WRITE: u16 = 9;
const IOCTL: u16 = 11;
const CANCEL: u16 = 12;
const GET_INFO: u16 = 16;
const SET_INFO: u16 = 17;

const PENDING: u32 = 0x103;
const BUFFER_OVERFLOW: u32 = 0x8000_0005;
const PIPE_TRANSCEIVE: u32 = 0x0011_c017;

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u32,
    command: u16,
    answer: bool,
    asynchronous: bool,
    related: bool,
    next: usize,
    message: u64,
    tree: u32,
    session: u64,
}

impl Head {
    fn read(message: &[u8]) -> Option<Self> {
        let mut r = Ordered::little(message.get(..HEADER)?);
        r.take(8)?;
        let (status, command) = (r.u32()?, r.u16()?);
        r.u16()?;
        let (flags, next, number) = (r.u32()?, r.u32()? as usize, r.u64()?);
        r.u32()?;
        let (tree, session) = (r.u32()?, r.u64()?);
        Some(Self {
            status,
            command,
            answer: flags & 1 != 0,
            asynchronous: flags & 2 != 0,
            related: flags & 4 != 0,
            next,
            message: number,
            tree,
            session,
        })
    }
    const fn about(&self) -> About {
        About { version: 2, command: self.command, session: self.session, tree: self.tree, message: self.message }
    }
}

fn body(message: &[u8]) -> Option<Ordered<'_>> {
    message.get(HEADER..).map(Ordered::little)
}

// What an offset and a length point to that must be all there.
fn exactly(message: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    if len == 0 {
        return Some(&[]);
    }
    message.get(at..at.checked_add(len)?)
}

/// A write's data: file, offset in it, place in the message, length.
fn write_of(message: &[u8]) -> Option<(FileId, u64, usize, usize)> {
    let mut r = body(message)?;
    r.u16()?;
    let (at, len, offset, id) = (r.u16()?, r.u32()?, r.u64()?, r.array()?);
    Some((id, offset, at.into(), len as usize))
}

/// A read's data: place in the message, length.
fn data_of(message: &[u8]) -> Option<(usize, usize)> {
    let mut r = body(message)?;
    r.u16()?;
    let at = r.u8()?;
    r.u8()?;
    Some((at.into(), r.u32()? as usize))
}

impl Smb {
    /// Takes a record.
    pub(super) fn record2(&mut self, d: Direction, record: &[u8], cx: &mut Cx<'_>) {
        let mut rest = record;
        let mut before: Option<Head> = None;
        for _ in 0..MAX_COMPOUND {
            let Some(mut head) = Head::read(rest) else {
                self.odd(Event::MalformedData, cx);
                return;
            };
            // The next message begins behind this one's header, at a multiple of eight.
            let (message, after) = match head.next {
                0 => (rest, None),
                n => match rest.split_at_checked(n).filter(|(m, _)| m.len() >= HEADER) {
                    Some((message, after)) => (message, Some(after)),
                    None => (rest, Some(&[][..])),
                },
            };
            if let Some(b) = before.filter(|_| head.related) {
                (head.session, head.tree) = (b.session, b.tree);
            }
            match (head.answer, d) {
                (false, Direction::ToServer) => {
                    if self.request2(&head, message, cx).is_none() {
                        let tx = self.push(head.about(), Body::Generic, 0, cx);
                        if let Some(tx) = tx {
                            tx.core.raise(Event::MalformedData as u8);
                        }
                    }
                }
                (true, Direction::ToClient) => {
                    if self.response2(&head, message, cx).is_none() {
                        self.odd(Event::MalformedData, cx);
                    }
                }
                (true, Direction::ToServer) => self.odd(Event::ResponseToServer, cx),
                // What a server says unasked (MS-SMB2 2.2.23.1: an oplock breaks) has the flag of a response.
                (false, Direction::ToClient) => self.odd(Event::RequestToClient, cx),
            }
            before = Some(head);
            match after {
                Some(after) => rest = after,
                None => return,
            }
        }
    }

    /// Which part of a file a record brings that is not all there.
    pub(super) fn part2(&self, d: Direction, record: &[u8]) -> Option<Part> {
        let head = Head::read(record)?;
        if head.next != 0 || head.answer != (d == Direction::ToClient) {
            return None;
        }
        let (file, offset, at, len) = match (head.command, d) {
            (WRITE, Direction::ToServer) => write_of(record)?,
            (READ, Direction::ToClient) if head.status == 0 => {
                let asked = self.pending.get(&head.message)?;
                let (at, len) = data_of(record)?;
                (asked.file, asked.offset, at, len)
            }
            _ => return None,
        };
        Some(Part { file, tree: (head.session, head.tree), offset, at, len })
    }

    fn request2(&mut self, head: &Head, m: &[u8], cx: &mut Cx<'_>) -> Option<()> {
        let about = head.about();
        let mut r = body(m)?;
        match head.command {
            NEGOTIATE => {
                r.u16()?;
                let n = usize::from(r.u16()?);
                r.take(8)?;
                let client: FileId = r.array()?;
                r.take(8)?;
                let mut dialects = Vec::new();
                let mut bad = n == 0;
                for _ in 0..n.min(MAX_DIALECTS) {
                    match r.u16() {
                        Some(d) => dialects.push(names::dialect2(d).as_bytes().to_vec()),
                        None => bad = true,
                    }
                }
                let double = self.txs.iter().any(|t| t.about.version == 2 && matches!(t.body, Body::Negotiate { .. }));
                let client = (client != FileId::default()).then_some(client);
                let held = dialects.len() * 32;
                let tx = self.push(about, Body::Negotiate { dialects, client, server: None }, held, cx)?;
                if double {
                    tx.core.raise(Event::DuplicateNegotiate as u8);
                }
                if bad {
                    tx.core.raise(Event::NegotiateMalformedDialects as u8);
                }
            }
            SESSION_SETUP => {
                r.take(12)?;
                let (at, len) = (r.u16()?, r.u16()?);
                let (ntlm, kerberos, good) = Self::logon(there(m, at.into(), len.into()));
                let held = usize::from(len);
                let body = Body::Session { ntlm, kerberos, request: None, response: None };
                let tx = self.push(about, body, held, cx)?;
                if !good {
                    tx.core.raise(Event::MalformedNtlmsspRequest as u8);
                }
            }
            TREE_CONNECT => {
                r.take(4)?;
                let (at, len) = (r.u16()?, r.u16()?);
                let share = wire::utf16(exactly(m, at.into(), len.into())?);
                let held = share.len();
                self.push(about, Body::Tree { share, pipe: None, kind: None, service: [None, None] }, held, cx);
            }
            CREATE => {
                r.take(36)?;
                let (disposition, options) = (r.u32()?, r.u32()?);
                let (at, len) = (r.u16()?, r.u16()?);
                let name = wire::utf16(exactly(m, at.into(), len.into())?);
                let held = name.len();
                // FILE_DIRECTORY_FILE, FILE_DELETE_ON_CLOSE.
                let (directory, delete) = (options & 1 != 0, options & 0x1000 != 0);
                self.push(about, Body::Create { name, directory, disposition, delete, created: None }, held, cx);
            }
            CLOSE => {
                r.take(8)?;
                let id: FileId = r.array()?;
                if id == RELATED {
                    self.wait(head.message, Pending { file: id, offset: 0, close: true });
                } else {
                    self.closed(&id, cx);
                }
                self.push(about, Body::Generic, 0, cx);
            }
            READ => {
                r.take(4)?;
                let (len, offset, file) = (r.u32()?, r.u64()?, r.array()?);
                let most = cx.config.smb.max_read;
                if most != 0 && len > most || self.sizes.is_some_and(|(read, _)| read != 0 && len > read) {
                    self.odd(Event::ReadRequestTooLarge, cx);
                }
                self.wait(head.message, Pending { file, offset, close: false });
            }
            WRITE => {
                let (id, offset, at, len) = write_of(m)?;
                let bytes = there(m, at, len);
                if self.is_pipe(&id, (head.session, head.tree), bytes, cx) {
                    self.through(Direction::ToServer, &about, &id, bytes, None, cx);
                    return Some(());
                }
                let most = cx.config.smb.max_write as usize;
                if most != 0 && len > most || self.sizes.is_some_and(|(_, w)| w != 0 && len > w as usize) {
                    self.odd(Event::WriteRequestTooLarge, cx);
                }
                self.piece(Direction::ToServer, Some(&about), &id, offset, bytes, cx);
            }
            IOCTL => {
                r.u32()?;
                let (function, id, at, len) = (r.u32()?, r.array()?, r.u32()? as usize, r.u32()? as usize);
                let bytes = there(m, at, len);
                let rpc = function == PIPE_TRANSCEIVE
                    && self.is_pipe(&id, (head.session, head.tree), bytes, cx)
                    && self.through(Direction::ToServer, &about, &id, bytes, None, cx);
                if !rpc {
                    self.push(about, Body::Ioctl { function }, 0, cx);
                }
            }
            SET_INFO => {
                r.u16()?;
                let (kind, class, len, at) = (r.u8()?, r.u8()?, r.u32()? as usize, usize::from(r.u16()?));
                r.take(6)?;
                let id: FileId = r.array()?;
                let mut info = Ordered::little(exactly(m, at, len)?);
                let name = self.open.get(&id).map_or_else(|| UNKNOWN.to_vec(), |o| o.name.clone());
                let held = name.len();
                match (kind, class) {
                    // FileRenameInformation (MS-FSCC 2.4.37).
                    (1, 10) => {
                        info.take(16)?;
                        let len = info.u32()? as usize;
                        let to = wire::utf16(info.take(len)?);
                        let held = held + to.len();
                        self.push(about, Body::Rename { from: name, to }, held, cx);
                    }
                    // FileDispositionInformation (MS-FSCC 2.4.11).
                    (1, 13) => {
                        let delete = info.u8()? & 1 != 0;
                        let (kind, level) = (kind.into(), class.into());
                        self.push(about, Body::SetInfo { name, id: Some(id), kind, level, delete }, held, cx);
                    }
                    _ => {}
                }
            }
            // As in Suricata, what asks for information is no transaction, nor is a read or write of its own.
            GET_INFO => {}
            CANCEL => {
                // It is never answered (MS-SMB2 3.3.5.16).
                if let Some(tx) = self.push(about, Body::Generic, 0, cx) {
                    tx.core.finish();
                }
            }
            _ => drop(self.push(about, Body::Generic, 0, cx)),
        }
        Some(())
    }

    fn wait(&mut self, message: u64, pending: Pending) {
        let _ = self.pending.put(message, pending);
    }

    fn response2(&mut self, head: &Head, m: &[u8], cx: &mut Cx<'_>) -> Option<()> {
        if head.status == PENDING && head.asynchronous {
            return Some(()); // its answer follows
        }
        let about = head.about();
        let status = Status::Nt(head.status);
        let good = head.status == 0;
        match head.command {
            NEGOTIATE if good => self.negotiated2(&about, m, cx)?,
            TREE_CONNECT if good => {
                let mut r = body(m)?;
                r.u16()?;
                let kind = r.u8()?;
                let mut share = Vec::new();
                if let Some(tx) = self.asked(&about)
                    && let Body::Tree { share: name, pipe, kind: k, .. } = &mut tx.body
                {
                    (*k, *pipe) = (Some(kind), Some(kind == 2));
                    tx.about.tree = head.tree;
                    share.clone_from(name);
                }
                self.connected(&about, head.tree, &share, kind == 2, cx);
            }
            CREATE if good => self.created2(head, m, cx)?,
            READ if good || head.status == BUFFER_OVERFLOW => self.read2(head, m, status, cx)?,
            READ | CLOSE => {
                if let Some(p) = self.pending.take(&head.message)
                    && let Some(id) = self.related.filter(|_| p.close)
                {
                    self.closed(&id, cx);
                }
            }
            IOCTL if good || head.status == BUFFER_OVERFLOW => {
                let mut r = body(m)?;
                r.u32()?;
                let function = r.u32()?;
                let id: FileId = r.array()?;
                r.take(8)?;
                let (at, len) = (r.u32()? as usize, r.u32()? as usize);
                let bytes = there(m, at, len);
                if function == PIPE_TRANSCEIVE && self.is_pipe(&id, (head.session, head.tree), bytes, cx) {
                    self.through(Direction::ToClient, &about, &id, bytes, Some(status), cx);
                }
            }
            SESSION_SETUP => {
                if let Some(tx) = self.asked(&about) {
                    tx.about.session = head.session; // the server gives the number
                }
            }
            _ => {}
        }
        self.answered(&about, status);
        Some(())
    }

    fn negotiated2(&mut self, about: &About, m: &[u8], cx: &mut Cx<'_>) -> Option<()> {
        let mut r = body(m)?;
        r.take(4)?;
        let dialect = r.u16()?;
        r.u16()?;
        let server: FileId = r.array()?;
        r.take(8)?;
        let (read, write) = (r.u32()?, r.u32()?);
        self.dialect = Dialect::Two(dialect);
        self.sizes = Some((read, write));
        // A server may answer SMB 1's negotiate in SMB 2 (MS-SMB2 3.3.5.3.1).
        let ours = |t: &&mut super::Tx| matches!(t.body, Body::Negotiate { server: None, .. }) && t.status.is_none();
        let known = self.asked(about).map(|t| t.core.id);
        let number = known.or_else(|| self.txs.iter_mut().rev().find(ours).map(|t| t.core.id));
        let (most_read, most_write) = (cx.config.smb.max_read, cx.config.smb.max_write);
        if let Some(tx) = number.and_then(|n| self.txs.by_id(n)) {
            if let Body::Negotiate { server: s, .. } = &mut tx.body {
                *s = Some(server);
            }
            tx.status = Some(Status::Nt(0));
            tx.core.reach(Direction::ToClient, crate::tx::DONE);
            for (said, most, event) in [
                (read, most_read, Event::NegotiateMaxReadSizeTooLarge),
                (write, most_write, Event::NegotiateMaxWriteSizeTooLarge),
            ] {
                if most != 0 && said > most {
                    tx.core.raise(event as u8);
                }
            }
        }
        Some(())
    }

    fn created2(&mut self, head: &Head, m: &[u8], cx: &mut Cx<'_>) -> Option<()> {
        let mut r = body(m)?;
        r.take(8)?;
        let times = [r.u64()?, r.u64()?, r.u64()?, r.u64()?].map(wire::unix);
        r.u64()?;
        let size = r.u64()?;
        r.take(8)?;
        let id: FileId = r.array()?;
        self.related = Some(id);
        let about = head.about();
        let (mut name, mut tree) = (UNKNOWN.to_vec(), head.tree);
        if let Some(tx) = self.asked(&about)
            && let Body::Create { name: wanted, created, .. } = &mut tx.body
        {
            name.clone_from(wanted);
            tree = tx.about.tree;
            *created = Some(Created { times, size, id });
        }
        let known = self.trees.get(&(head.session, tree));
        let share = known.map(|t| t.name.clone()).unwrap_or_default();
        let (settled, pipe) = (known.is_some(), known.is_some_and(|t| t.pipe).then(Box::default));
        self.opened(id, Open { name, share, pipe, settled, ..Open::default() }, cx);
        Some(())
    }

    fn read2(&mut self, head: &Head, m: &[u8], status: Status, cx: &mut Cx<'_>) -> Option<()> {
        let asked = self.pending.take(&head.message);
        let (at, len) = data_of(m)?;
        let bytes = there(m, at, len);
        let Some(asked) = asked else { return Some(()) };
        let id = if asked.file == RELATED { self.related? } else { asked.file };
        let about = head.about();
        if self.is_pipe(&id, (head.session, head.tree), bytes, cx) {
            let call = self.through(Direction::ToClient, &about, &id, bytes, Some(status), cx);
            // An asynchronous answer names no tree (MS-SMB2 2.2.1.1): what it brings and is no call is a file's, as in Suricata.
            if call || !head.asynchronous {
                return Some(());
            }
        }
        let most = cx.config.smb.max_read as usize;
        if most != 0 && len > most {
            self.odd(Event::ReadResponseTooLarge, cx);
        }
        self.piece(Direction::ToClient, Some(&about), &id, asked.offset, bytes, cx);
        Some(())
    }
}
