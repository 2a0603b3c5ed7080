// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Messages of SMB 1 (MS-CIFS 2.2.4, MS-SMB 2.2.4), and what they change.
//!
//! Must never read outside a record: offsets count from its header, and every one is checked. Limit: [`MAX_CHAIN`].

use lagewarte_flow::Direction;

use super::{
    About, Body, Created, Dialect, Event, FileId, MAX_DIALECTS, Open, Part, Pending, Smb, Status, UNKNOWN, there, wire,
};
use crate::{ordered::Ordered, protocol::Cx};

/// Length of a record's header (MS-CIFS 2.2.3.1).
const HEADER: usize = 32;
/// Commands of one record that are read. Threat: a chain that leads in a circle.
const MAX_CHAIN: usize = 8;

const CLOSE: u8 = 0x04;
const RENAME: u8 = 0x07;
const WRITE: u8 = 0x0b;
const TRANS: u8 = 0x25;
const WRITE_AND_CLOSE: u8 = 0x2c;
const OPEN_ANDX: u8 = 0x2d;
const READ_ANDX: u8 = 0x2e;
const WRITE_ANDX: u8 = 0x2f;
const TRANS2: u8 = 0x32;
const NEGOTIATE: u8 = 0x72;
const SESSION_SETUP_ANDX: u8 = 0x73;
const LOGOFF_ANDX: u8 = 0x74;
const TREE_CONNECT_ANDX: u8 = 0x75;
const NT_CREATE_ANDX: u8 = 0xa2;
const LOCKING_ANDX: u8 = 0x24;
const NT_CANCEL: u8 = 0xa4;
const NO_MORE: u8 = 0xff;

const BUFFER_OVERFLOW: Status = Status::Nt(0x8000_0005);
const MORE_DATA: Status = Status::Dos(1, 234);

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    command: u8,
    status: Status,
    answer: bool,
    unicode: bool,
    tree: u16,
    user: u16,
    /// Process and multiplex: the same in request and response.
    message: u64,
}

impl Head {
    fn read(record: &[u8]) -> Option<Self> {
        let mut r = Ordered::little(record.get(4..HEADER)?);
        let command = r.u8()?;
        let status: [u8; 4] = r.array()?;
        let (flags, flags2, high) = (r.u8()?, r.u16()?, r.u16()?);
        r.take(10)?;
        let (tree, low, user, multiplex) = (r.u16()?, r.u16()?, r.u16()?, r.u16()?);
        let [class, _, a, b] = status;
        Some(Self {
            command,
            status: if flags2 & 0x4000 != 0 {
                Status::Nt(u32::from_le_bytes(status))
            } else {
                Status::Dos(class, u16::from_le_bytes([a, b]))
            },
            answer: flags & 0x80 != 0,
            unicode: flags2 & 0x8000 != 0,
            tree,
            user,
            message: u64::from(high) << 32 | u64::from(low) << 16 | u64::from(multiplex),
        })
    }
    const fn about(&self, command: u8) -> About {
        About {
            version: 1,
            command: command as u16,
            session: self.user as u64,
            tree: self.tree as u32,
            message: self.message,
        }
    }
}

/// A command's words and bytes.
#[derive(Clone, Copy, Debug)]
struct Block<'a> {
    words: &'a [u8],
    bytes: &'a [u8],
    // Where in the record the bytes begin: texts in UTF-16 begin at an even place.
    at: usize,
}

impl<'a> Block<'a> {
    fn read(record: &'a [u8], at: usize) -> Option<Self> {
        let mut r = Ordered::little(record.get(at..)?);
        let n = 2 * usize::from(r.u8()?);
        let words = r.take(n)?;
        let len = usize::from(r.u16()?);
        let bytes = r.rest();
        // A large read or write says less than it brings; anything else is cut to what it says.
        Some(Self { words, bytes: bytes.get(..len).unwrap_or(bytes), at: at + 3 + n })
    }
    fn words(&self) -> Ordered<'a> {
        Ordered::little(self.words)
    }
    /// The bytes from `from` on, without the byte that brings a text to an even place.
    fn text(&self, from: usize, unicode: bool) -> &'a [u8] {
        let from = from + usize::from(unicode && (self.at + from) % 2 == 1);
        self.bytes.get(from..).unwrap_or_default()
    }
}

const fn file(fid: u16) -> FileId {
    let mut id = [0; 16];
    let [low, high] = fid.to_le_bytes();
    (id[0], id[1]) = (low, high); // constant places in sixteen
    id
}

const fn chained(command: u8) -> bool {
    matches!(
        command,
        LOCKING_ANDX
            | OPEN_ANDX
            | READ_ANDX
            | WRITE_ANDX
            | SESSION_SETUP_ANDX
            | LOGOFF_ANDX
            | TREE_CONNECT_ANDX
            | NT_CREATE_ANDX
    )
}

/// A write's file, offset in it, place of its data in the record, length.
fn write_of(w: Ordered<'_>, command: u8, block: &Block<'_>) -> Option<(FileId, u64, usize, usize)> {
    let mut w = w;
    match command {
        WRITE_ANDX => {
            w.take(4)?;
            let (fid, offset) = (w.u16()?, w.u32()?);
            w.take(8)?;
            let (high, low, at) = (w.u16()?, w.u16()?, w.u16()?);
            let upper = w.u32().unwrap_or(0);
            let len = usize::from(high) << 16 | usize::from(low);
            Some((file(fid), u64::from(upper) << 32 | u64::from(offset), at.into(), len))
        }
        _ => {
            let (fid, len, offset) = (w.u16()?, w.u16()?, w.u32()?);
            // A format and a length, or a byte of padding, before the data (MS-CIFS 2.2.4.12, 2.2.4.40).
            let before = if command == WRITE { 3 } else { 1 };
            Some((file(fid), offset.into(), block.at + before, len.into()))
        }
    }
}

/// The place of a read's data in the record, and its length.
fn data_of(block: &Block<'_>) -> Option<(usize, usize)> {
    let mut w = block.words();
    w.take(10)?;
    let (low, at, high) = (w.u16()?, w.u16()?, w.u16()?);
    Some((at.into(), usize::from(high) << 16 | usize::from(low)))
}

impl Smb {
    /// Takes a record.
    pub(super) fn record1(&mut self, d: Direction, record: &[u8], cx: &mut Cx<'_>) {
        let Some(head) = Head::read(record) else {
            self.odd(Event::MalformedData, cx);
            return;
        };
        match (head.answer, d) {
            (true, Direction::ToServer) => return self.odd(Event::ResponseToServer, cx),
            (false, Direction::ToClient) => return self.odd(Event::RequestToClient, cx),
            _ => {}
        }
        let (mut command, mut at) = (head.command, HEADER);
        for _ in 0..MAX_CHAIN {
            let block = Block::read(record, at);
            let done = match (&block, head.answer) {
                (Some(b), false) => self.request1(&head, command, b, record, cx),
                (Some(b), true) => self.response1(&head, command, b, record, cx),
                (None, _) => None,
            };
            if done.is_none() {
                if head.answer {
                    self.odd(Event::MalformedData, cx);
                    self.answered(&head.about(command), head.status);
                } else if let Some(tx) = self.push(head.about(command), Body::Generic, 0, cx) {
                    tx.core.raise(Event::MalformedData as u8);
                }
                return;
            }
            let Some(block) = block.filter(|b| chained(command) && b.words.len() >= 4) else { return };
            let mut w = block.words();
            let (Some(next), Some(_), Some(offset)) = (w.u8(), w.u8(), w.u16()) else { return };
            let offset = usize::from(offset);
            if next == NO_MORE || offset <= at {
                return;
            }
            (command, at) = (next, offset);
        }
    }

    /// Which part of a file a record brings that is not all there.
    pub(super) fn part1(&self, d: Direction, record: &[u8]) -> Option<Part> {
        let head = Head::read(record)?;
        if head.answer != (d == Direction::ToClient) {
            return None;
        }
        let block = Block::read(record, HEADER)?;
        let (file, offset, at, len) = match (head.command, d) {
            (WRITE_ANDX, Direction::ToServer) => write_of(block.words(), WRITE_ANDX, &block)?,
            (READ_ANDX, Direction::ToClient) if head.status.good() => {
                let asked = self.pending.get(&head.message)?;
                let (at, len) = data_of(&block)?;
                (asked.file, asked.offset, at, len)
            }
            _ => return None,
        };
        Some(Part { file, tree: (0, head.tree.into()), offset, at, len })
    }

    fn request1(&mut self, head: &Head, command: u8, b: &Block<'_>, record: &[u8], cx: &mut Cx<'_>) -> Option<()> {
        let about = head.about(command);
        let mut w = b.words();
        match command {
            NEGOTIATE => {
                let mut dialects = Vec::new();
                let mut rest = b.bytes;
                let mut bad = rest.is_empty();
                while let Some((2, tail)) = rest.split_first() {
                    let (name, after) = wire::ended(tail, false);
                    bad |= name.len() == tail.len();
                    rest = after;
                    if dialects.len() < MAX_DIALECTS {
                        dialects.push(name);
                    }
                }
                bad |= !rest.is_empty();
                let double = self.txs.iter().any(|t| t.about.version == 1 && matches!(t.body, Body::Negotiate { .. }));
                let tx =
                    self.push(about, Body::Negotiate { dialects, client: None, server: None }, b.bytes.len(), cx)?;
                if double {
                    tx.core.raise(Event::DuplicateNegotiate as u8);
                }
                if bad {
                    tx.core.raise(Event::NegotiateMalformedDialects as u8);
                }
            }
            SESSION_SETUP_ANDX => {
                w.take(4)?;
                w.take(10)?; // sizes and numbers
                // With extended security one blob, else two passwords and the names in clear (MS-SMB 2.2.4.6.1).
                let first = usize::from(w.u16()?);
                let blob = b.words.len() == 24;
                let skip = if blob { first } else { first + usize::from(w.u16()?) };
                let (ntlm, kerberos, good) =
                    if blob { Self::logon(there(b.bytes, 0, first)) } else { (None, None, true) };
                let mut rest = b.text(skip, head.unicode);
                if !blob {
                    let (_account, after) = wire::ended(rest, head.unicode);
                    let (_domain, after) = wire::ended(after, head.unicode);
                    rest = after;
                }
                let (os, after) = wire::ended(rest, head.unicode);
                let (lm, _) = wire::ended(after, head.unicode);
                let body = Body::Session { ntlm, kerberos, request: Some((os, lm)), response: None };
                let tx = self.push(about, body, b.bytes.len(), cx)?;
                if !good {
                    tx.core.raise(Event::MalformedNtlmsspRequest as u8);
                }
            }
            TREE_CONNECT_ANDX => {
                w.take(6)?;
                let password = usize::from(w.u16()?);
                let rest = b.text(password, head.unicode);
                let (share, after) = wire::ended(rest, head.unicode);
                let (service, _) = wire::ended(after, false);
                let held = b.bytes.len();
                self.push(
                    about,
                    Body::Tree { share, pipe: None, kind: None, service: [Some(service), None] },
                    held,
                    cx,
                );
            }
            NT_CREATE_ANDX => {
                w.take(5)?;
                let len = usize::from(w.u16()?);
                w.take(28)?;
                let (disposition, options) = (w.u32()?, w.u32()?);
                let name = wire::text(there(b.text(0, head.unicode), 0, len), head.unicode);
                let (directory, delete, held) = (options & 1 != 0, options & 0x1000 != 0, name.len());
                self.push(about, Body::Create { name, directory, disposition, delete, created: None }, held, cx);
            }
            OPEN_ANDX => {
                w.take(16)?;
                // What to do where it exists, and whether to create it (MS-CIFS 2.2.4.41.1).
                let disposition = match w.u16()? & 0x13 {
                    0x10 => 2,
                    0x11 => 3,
                    0x12 => 5,
                    2 => 4,
                    _ => 1,
                };
                let (name, _) = wire::ended(b.text(0, head.unicode), head.unicode);
                let held = name.len();
                let body = Body::Create { name, directory: false, disposition, delete: false, created: None };
                self.push(about, body, held, cx);
            }
            CLOSE => {
                self.closed(&file(w.u16()?), cx);
                self.push(about, Body::Generic, 0, cx);
            }
            READ_ANDX => {
                w.take(4)?;
                let (fid, offset, low) = (w.u16()?, w.u32()?, w.u16()?);
                w.u16()?;
                let high = w.u32()?;
                w.u16()?;
                let upper = w.u32().unwrap_or(0);
                // The upper half is a timeout of old clients where it is all ones (MS-SMB 2.2.4.2.1).
                let len = if high == u32::MAX { low.into() } else { high << 16 | u32::from(low) };
                if cx.config.smb.max_read != 0 && len > cx.config.smb.max_read {
                    self.odd(Event::ReadRequestTooLarge, cx);
                }
                let offset = u64::from(upper) << 32 | u64::from(offset);
                let _ = self.pending.put(head.message, Pending { file: file(fid), offset, close: false });
            }
            WRITE_ANDX | WRITE | WRITE_AND_CLOSE => {
                let (id, offset, at, len) = write_of(w, command, b)?;
                let bytes = there(record, at, len);
                if self.is_pipe(&id, (0, head.tree.into()), bytes, cx) {
                    self.through(Direction::ToServer, &about, &id, bytes, None, cx);
                } else {
                    if cx.config.smb.max_write != 0 && len > cx.config.smb.max_write as usize {
                        self.odd(Event::WriteRequestTooLarge, cx);
                    }
                    self.piece(Direction::ToServer, Some(&about), &id, offset, bytes, cx);
                }
                if command == WRITE_AND_CLOSE {
                    self.closed(&id, cx);
                }
            }
            RENAME => {
                let (from, after) = wire::ended(b.text(1, head.unicode), head.unicode);
                // A format before each name, and a byte where the second one would begin at an odd place.
                let at = b.bytes.len() - after.len();
                let (to, _) = wire::ended(b.text(at + 1, head.unicode), head.unicode);
                let held = from.len() + to.len();
                self.push(about, Body::Rename { from, to }, held, cx);
            }
            TRANS => {
                let t = Trans::read(w, record)?;
                // As in Suricata, only a call in it makes a transaction of it.
                if t.setup == 0x26 && self.is_pipe(&file(t.fid), (0, head.tree.into()), t.data, cx) {
                    self.through(Direction::ToServer, &about, &file(t.fid), t.data, None, cx);
                }
            }
            TRANS2 => {
                let t = Trans::read(w, record)?;
                if let Some(body) = self.set_info1(head, &t) {
                    self.push(about, body, t.data.len() + t.parameters.len(), cx);
                }
            }
            NT_CANCEL => {
                // It is never answered (MS-CIFS 3.3.5.53).
                if let Some(tx) = self.push(about, Body::Generic, 0, cx) {
                    tx.core.finish();
                }
            }
            _ => drop(self.push(about, Body::Generic, 0, cx)),
        }
        Some(())
    }

    // TRANS2_SET_PATH_INFORMATION and TRANS2_SET_FILE_INFORMATION that rename or delete (MS-CIFS 2.2.6.7, 2.2.6.9).
    fn set_info1(&self, head: &Head, t: &Trans<'_>) -> Option<Body> {
        let mut p = Ordered::little(t.parameters);
        let (level, name, id) = match t.setup {
            6 => {
                let level = p.u16()?;
                p.u32()?;
                (level, wire::text(p.rest(), head.unicode), None)
            }
            8 => {
                let id = file(p.u16()?);
                let name = self.open.get(&id).map_or_else(|| UNKNOWN.to_vec(), |o| o.name.clone());
                (p.u16()?, name, Some(id))
            }
            _ => return None,
        };
        let mut data = Ordered::little(t.data);
        match level {
            // The classes of MS-FSCC, passed through (MS-SMB 2.2.2.3.5).
            1010 => {
                data.take(8)?;
                let len = data.u32()? as usize;
                Some(Body::Rename { from: name, to: wire::utf16(data.take(len)?) })
            }
            0x102 | 1013 => Some(Body::SetInfo { name, id, kind: t.setup, level, delete: data.u8()? & 1 != 0 }),
            _ => None,
        }
    }

    fn response1(&mut self, head: &Head, command: u8, b: &Block<'_>, record: &[u8], cx: &mut Cx<'_>) -> Option<()> {
        let about = head.about(command);
        let good = head.status.good();
        let mut w = b.words();
        match command {
            NEGOTIATE if good && !b.words.is_empty() => self.negotiated1(&about, b, cx)?,
            SESSION_SETUP_ANDX if b.words.len() >= 6 => {
                let blob = if b.words.len() == 8 {
                    w.take(6)?;
                    usize::from(w.u16()?)
                } else {
                    0
                };
                let (os, after) = wire::ended(b.text(blob, head.unicode), head.unicode);
                let (lm, _) = wire::ended(after, head.unicode);
                let user = head.user;
                if let Some(tx) = self.asked(&about)
                    && let Body::Session { response, .. } = &mut tx.body
                    && cx.charge(&mut tx.core.charged, os.len() + lm.len())
                {
                    *response = Some((os, lm));
                    tx.about.session = user.into();
                }
            }
            TREE_CONNECT_ANDX if good => {
                let (service, _) = wire::ended(b.bytes, false);
                let pipe = service == b"IPC";
                let mut name = Vec::new();
                if let Some(tx) = self.asked(&about)
                    && let Body::Tree { share, pipe: is, service: s, .. } = &mut tx.body
                {
                    *is = Some(pipe);
                    s[1] = Some(service.get(..service.len().min(16)).unwrap_or_default().to_vec());
                    tx.about.tree = head.tree.into();
                    name.clone_from(share);
                }
                // The tree's number is the connection's, whoever uses it.
                self.connected(&About { session: 0, ..about }, head.tree.into(), &name, pipe, cx);
            }
            NT_CREATE_ANDX if good => {
                w.take(5)?;
                let fid = w.u16()?;
                w.u32()?;
                let times = [w.u64()?, w.u64()?, w.u64()?, w.u64()?].map(wire::unix);
                w.take(12)?;
                let size = w.u64()?;
                self.created1(head, &about, Created { times, size, id: file(fid) }, cx);
            }
            OPEN_ANDX if good => {
                w.take(4)?;
                let fid = w.u16()?;
                w.u16()?;
                let (written, size) = (w.u32()?, w.u32()?);
                let times = [0, 0, written.into(), 0];
                self.created1(head, &about, Created { times, size: size.into(), id: file(fid) }, cx);
            }
            READ_ANDX => {
                let asked = self.pending.take(&head.message);
                let read = good || matches!(head.status, BUFFER_OVERFLOW | MORE_DATA);
                if let Some(asked) = asked.filter(|_| read) {
                    let (at, len) = data_of(b)?;
                    let bytes = there(record, at, len);
                    if self.is_pipe(&asked.file, (0, head.tree.into()), bytes, cx) {
                        self.through(Direction::ToClient, &about, &asked.file, bytes, Some(head.status), cx);
                    } else {
                        if cx.config.smb.max_read != 0 && len > cx.config.smb.max_read as usize {
                            self.odd(Event::ReadResponseTooLarge, cx);
                        }
                        self.piece(Direction::ToClient, Some(&about), &asked.file, asked.offset, bytes, cx);
                    }
                }
            }
            TRANS if good || matches!(head.status, BUFFER_OVERFLOW | MORE_DATA) => {
                let pipe = self.asked(&about).and_then(|tx| match &tx.body {
                    Body::Rpc { id, .. } => Some(*id),
                    _ => None,
                });
                if let Some(id) = pipe {
                    w.take(12)?;
                    let (len, at) = (usize::from(w.u16()?), usize::from(w.u16()?));
                    self.through(Direction::ToClient, &about, &id, there(record, at, len), Some(head.status), cx);
                }
            }
            _ => {}
        }
        self.answered(&about, head.status);
        Some(())
    }

    fn negotiated1(&mut self, about: &About, b: &Block<'_>, cx: &mut Cx<'_>) -> Option<()> {
        let mut w = b.words();
        let chosen = usize::from(w.u16()?);
        // NT LM 0.12 with extended security names the server (MS-SMB 2.2.4.5.2.1).
        let extended = b.words.len() == 34 && w.take(17).is_some() && w.u32()? & 0x8000_0000 != 0;
        let guid: Option<FileId> = b.bytes.first_chunk().copied().filter(|_| extended);
        let tx = self.asked(about)?;
        let Body::Negotiate { dialects, server, .. } = &mut tx.body else { return Some(()) };
        *server = guid;
        let dialect = dialects.get(chosen).cloned();
        if let Some(name) = dialect
            && cx.charge(&mut self.charged, name.len())
        {
            let mut back = match &self.dialect {
                Dialect::One(had) => had.len() as u64,
                _ => 0,
            };
            self.charged = self.charged.saturating_sub(back);
            cx.release(&mut back);
            self.dialect = Dialect::One(name);
        }
        Some(())
    }

    fn created1(&mut self, head: &Head, about: &About, made: Created, cx: &mut Cx<'_>) {
        let id = made.id;
        let mut name = UNKNOWN.to_vec();
        if let Some(tx) = self.asked(about)
            && let Body::Create { name: wanted, created, .. } = &mut tx.body
        {
            name.clone_from(wanted);
            *created = Some(made);
        }
        let known = self.trees.get(&(0, head.tree.into()));
        let share = known.map(|t| t.name.clone()).unwrap_or_default();
        let (settled, pipe) = (known.is_some(), known.is_some_and(|t| t.pipe).then(Box::default));
        self.opened(id, Open { name, share, pipe, settled, ..Open::default() }, cx);
    }
}

/// A transaction's parts (MS-CIFS 2.2.4.33.1).
#[derive(Clone, Copy, Debug)]
struct Trans<'a> {
    /// The first word of its setup: which function.
    setup: u16,
    /// The second one: of a pipe's function the file.
    fid: u16,
    parameters: &'a [u8],
    data: &'a [u8],
}

impl<'a> Trans<'a> {
    fn read(words: Ordered<'_>, record: &'a [u8]) -> Option<Self> {
        let mut w = words;
        w.take(18)?;
        let (plen, pat, dlen, dat) = (w.u16()?, w.u16()?, w.u16()?, w.u16()?);
        let n = w.u8()?;
        w.u8()?;
        let setup = if n > 0 { w.u16()? } else { 0 };
        let fid = if n > 1 { w.u16()? } else { 0 };
        let part = |at: u16, len: u16| there(record, at.into(), len.into());
        Some(Self { setup, fid, parameters: part(pat, plen), data: part(dat, dlen) })
    }
}
