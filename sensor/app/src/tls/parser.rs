// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Records and handshake messages (RFC 8446, 5.1; RFC 5246, 6.2), and the records of SSL 2.0, out of the bytes of one
//! direction.
//!
//! Pure and resumable at any byte: everything given is consumed, and what is not wanted is skipped by its length without
//! being kept. Must never hold more than [`MAX_MESSAGE`] bytes, nor read past a record whose header is damaged.

use lagewarte_base::reader::Reader;

use super::events::Event;

/// Most bytes kept of one handshake message; a longer one is cut. Threat: a length field of three bytes claims 16 MiB.
pub const MAX_MESSAGE: usize = 128 * 1024;
/// Longest record: 2^14 bytes and what compression and encryption may add (RFC 5246, 6.2.3). Threat: a damaged header that
/// would have us skip what follows.
pub const MAX_RECORD: u16 = (1 << 14) + 2048;

/// Type of a ClientHello, ServerHello, ... message.
pub mod handshake {
    #![expect(missing_docs, reason = "names of the RFC")]
    pub const CLIENT_HELLO: u8 = 1;
    pub const SERVER_HELLO: u8 = 2;
    pub const CERTIFICATE: u8 = 11;
    pub const SERVER_KEY_EXCHANGE: u8 = 12;
    pub const CERTIFICATE_REQUEST: u8 = 13;
    pub const SERVER_HELLO_DONE: u8 = 14;
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
}

/// What was completed in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A handshake message in clear; its body is [`Records::message`] where the type is one that is kept.
    Handshake {
        /// The message's type.
        kind: u8,
        /// Whether [`MAX_MESSAGE`] or a gap cut the body.
        cut: bool,
    },
    /// A handshake record behind a change of cipher.
    Encrypted,
    /// ChangeCipherSpec.
    ChangeCipher,
    /// An alert in clear: level and description; None where it is not two bytes long.
    Alert(Option<(u8, u8)>),
    /// A heartbeat in clear.
    Heartbeat {
        /// 1 request, 2 response.
        kind: u8,
        /// Length of the payload as the message claims.
        claimed: u16,
        /// Length of the record.
        length: u16,
    },
    /// A heartbeat behind a change of cipher.
    EncryptedHeartbeat {
        /// Length of the record.
        length: u16,
    },
    /// The beginning of a record with application data.
    Data,
    /// A record of SSL 2.0: its type; what follows is [`Records::message`].
    V2(u8),
    /// The stream cannot be followed any further.
    Damage(Event),
}

/// Reads one direction.
#[derive(Debug, Default)]
pub struct Records {
    /// Whether what comes is encrypted: set by who saw the change of cipher.
    pub encrypted: bool,
    /// Whether the connection speaks SSL 2.0: then records may have its header.
    pub v2: bool,
    /// How many records have begun.
    pub count: u64,
    place: Place,
    /// Bytes of a record's header or of a short record.
    small: Collected<5>,
    /// Bytes of a message's header: it may be cut by records.
    head: Collected<4>,
    message: Vec<u8>,
    /// Bytes of the current message that are still to come; None between messages.
    missing: Option<u32>,
    kind: u8,
    cut: bool,
    version: u16,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Header,
    /// In a record of this type, with so many bytes to come and this whole length.
    Body {
        kind: u8,
        left: u16,
        length: u16,
    },
    V2 {
        left: u16,
    },
    Lost,
}

const CHANGE_CIPHER: u8 = 20;
const ALERT: u8 = 21;
/// Type of a record with handshake messages.
pub const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const HEARTBEAT: u8 = 24;

impl Records {
    /// Body of the message that the last [`Item`] told of.
    pub fn message(&self) -> &[u8] {
        &self.message
    }
    /// Version of the last record's header.
    pub const fn version(&self) -> u16 {
        self.version
    }
    /// Whether the direction cannot be followed any more.
    pub fn lost(&self) -> bool {
        self.place == Place::Lost
    }
    /// Memory held, in bytes.
    pub const fn memory(&self) -> usize {
        self.message.capacity()
    }
    /// Gives the message's memory back.
    pub fn shrink(&mut self) {
        self.message = Vec::new();
    }

    /// Reads on in `data` until something is complete; None when all of it is consumed.
    pub fn next(&mut self, data: &mut &[u8]) -> Option<Item> {
        loop {
            let item = match self.place {
                Place::Lost => {
                    *data = &[];
                    return None;
                }
                Place::Header => self.header(data)?,
                Place::Body { kind, left, length } => self.body(data, kind, left, length),
                Place::V2 { left } => self.v2_body(data, left),
            };
            match item {
                Progress::Done(item) => {
                    if matches!(item, Item::Damage(_)) {
                        self.place = Place::Lost;
                    }
                    return Some(item);
                }
                Progress::On => {}
                Progress::Starved => return None,
            }
        }
    }
    /// `len` bytes are missing here. Inside a record that is skipped, or inside a message, they are counted off; anything
    /// else loses the direction.
    pub fn gap(&mut self, len: u64) {
        let next = match (self.place, u16::try_from(len)) {
            (Place::Body { kind, left, length }, Ok(n)) if n <= left && self.small.is_empty() => {
                let in_clear = kind == HANDSHAKE && !self.encrypted;
                let missing = self.missing.and_then(|m| m.checked_sub(n.into())).filter(|m| *m > 0);
                match (in_clear, missing) {
                    // The message goes on behind the gap.
                    (true, Some(rest)) => (self.missing, self.cut) = (Some(rest), true),
                    (true, None) => return self.place = Place::Lost,
                    (false, _) if matches!(kind, CHANGE_CIPHER | ALERT) => return self.place = Place::Lost,
                    (false, _) => {}
                }
                Place::Body { kind, left: left - n, length }
            }
            _ => Place::Lost,
        };
        self.place = next;
    }

    fn header(&mut self, data: &mut &[u8]) -> Option<Progress> {
        let [first, second, third, ..] = self.small.fill(data, 3)?;
        let modern = matches!(first, CHANGE_CIPHER..=HEARTBEAT) && second == 3;
        if !modern && (self.v2 || self.count == 0 && matches!(third, 1 | 4) && first & 0x80 != 0) {
            return Some(self.v2_header(first, second, third));
        }
        let [kind, major, minor, a, b] = self.small.take(data, 5)?;
        let length = u16::from_be_bytes([a, b]);
        self.count += 1;
        Some(if !matches!(kind, CHANGE_CIPHER..=HEARTBEAT) {
            Progress::Done(Item::Damage(Event::InvalidRecordType))
        } else if major != 3 {
            Progress::Done(Item::Damage(Event::InvalidRecordVersion))
        } else if length > MAX_RECORD {
            Progress::Done(Item::Damage(Event::InvalidRecordLength))
        } else {
            self.version = u16::from_be_bytes([major, minor]);
            self.place = Place::Body { kind, left: length, length };
            if kind == DATA { Progress::Done(Item::Data) } else { Progress::On }
        })
    }

    /// Header of two bytes, or of three with padding (the SSL 2.0 draft, 1.1); in the first, `third` is of the body.
    fn v2_header(&mut self, first: u8, second: u8, third: u8) -> Progress {
        self.count += 1;
        let (mask, body) = if first & 0x80 != 0 { (0x7f, true) } else { (0x3f, false) };
        let length = u16::from_be_bytes([first & mask, second]);
        self.message.clear();
        self.small = Collected::default();
        if length == 0 {
            return Progress::Done(Item::Damage(Event::InvalidSslv2Header));
        }
        if body {
            self.message.push(third);
        }
        self.place = Place::V2 { left: length - u16::from(body) }; // length is not 0
        Progress::On
    }

    fn v2_body(&mut self, data: &mut &[u8], left: u16) -> Progress {
        let (now, rest) = data.split_at(data.len().min(left.into()));
        *data = rest;
        if !self.encrypted {
            self.message.extend_from_slice(now); // 32,767 bytes at most
        }
        let left = left - now.len() as u16; // now is no longer than left
        if left > 0 {
            self.place = Place::V2 { left };
            return Progress::Starved;
        }
        self.place = Place::Header;
        match self.message.first() {
            Some(_) if self.encrypted => Progress::On,
            Some(&kind) => {
                self.message.remove(0);
                Progress::Done(Item::V2(kind))
            }
            None => Progress::On,
        }
    }

    fn body(&mut self, data: &mut &[u8], kind: u8, left: u16, length: u16) -> Progress {
        let whole = left == length;
        match kind {
            HANDSHAKE if !self.encrypted => return self.handshake(data, left, length),
            ALERT if !self.encrypted => {
                if length != 2 {
                    if whole && length > 0 && data.is_empty() {
                        return Progress::Starved;
                    }
                    if whole {
                        self.take(data, kind, left, length);
                        return Progress::Done(Item::Alert(None));
                    }
                } else {
                    let Some([level, description, ..]) = self.small.take(data, 2) else { return Progress::Starved };
                    self.place = Place::Header;
                    return Progress::Done(Item::Alert(Some((level, description))));
                }
            }
            HEARTBEAT if whole && !self.encrypted && length >= 3 => {
                let Some([request, a, b, ..]) = self.small.take(data, 3) else { return Progress::Starved };
                self.skip_to(kind, left - 3, length); // left is length, which is 3 or more
                return Progress::Done(Item::Heartbeat { kind: request, claimed: u16::from_be_bytes([a, b]), length });
            }
            _ => {}
        }
        if left > 0 && data.is_empty() {
            return Progress::Starved;
        }
        self.take(data, kind, left, length);
        match kind {
            _ if !whole => Progress::On,
            CHANGE_CIPHER => Progress::Done(Item::ChangeCipher),
            HANDSHAKE => Progress::Done(Item::Encrypted),
            HEARTBEAT if self.encrypted => Progress::Done(Item::EncryptedHeartbeat { length }),
            HEARTBEAT => Progress::Done(Item::Heartbeat { kind: 0, claimed: 0, length }),
            _ => Progress::On,
        }
    }

    /// Skips what is here of the record.
    fn take(&mut self, data: &mut &[u8], kind: u8, left: u16, length: u16) {
        let n = data.len().min(left.into());
        *data = &data[n..]; // n is no more than its length
        self.skip_to(kind, left - n as u16, length); // n is no more than left
    }
    fn skip_to(&mut self, kind: u8, left: u16, length: u16) {
        self.place = if left == 0 { Place::Header } else { Place::Body { kind, left, length } };
    }

    /// Messages may begin and end anywhere in records.
    fn handshake(&mut self, data: &mut &[u8], left: u16, length: u16) -> Progress {
        let kind = HANDSHAKE;
        let here = data.len().min(left.into());
        let (mut now, rest) = data.split_at(here);
        let before = now.len();
        let done = self.message_part(&mut now);
        let used = before - now.len();
        *data = if now.is_empty() { rest } else { &data[used..] }; // used is no more than here
        self.skip_to(kind, left - used as u16, length); // used is no more than left
        match done {
            Some(item) => Progress::Done(item),
            None if self.place == Place::Header => Progress::On,
            None => Progress::Starved,
        }
    }
    fn message_part(&mut self, now: &mut &[u8]) -> Option<Item> {
        if self.missing.is_none() {
            let [kind, a, b, c] = self.head.take(now, 4)?;
            self.kind = kind;
            self.cut = false;
            self.message.clear();
            self.missing = Some(u32::from_be_bytes([0, a, b, c]));
        }
        let missing = self.missing?;
        let n = now.len().min(missing as usize);
        let (part, rest) = now.split_at(n);
        *now = rest;
        let wanted = matches!(self.kind, handshake::CLIENT_HELLO | handshake::SERVER_HELLO | handshake::CERTIFICATE);
        if wanted {
            let room = MAX_MESSAGE - self.message.len(); // never longer than MAX_MESSAGE
            self.message.extend_from_slice(&part[..n.min(room)]);
            self.cut |= n > room;
        }
        let missing = missing - n as u32; // n is no more than missing
        self.missing = (missing > 0).then_some(missing);
        (missing == 0).then_some(Item::Handshake { kind: self.kind, cut: self.cut })
    }
}

/// The first bytes of something, kept until there are enough.
#[derive(Clone, Copy, Debug)]
struct Collected<const N: usize> {
    bytes: [u8; N],
    have: u8,
}

impl<const N: usize> Default for Collected<N> {
    fn default() -> Self {
        Self { bytes: [0; N], have: 0 }
    }
}

impl<const N: usize> Collected<N> {
    const fn is_empty(&self) -> bool {
        self.have == 0
    }
    /// Fills up to `want` (N at most) bytes; None while there are fewer.
    fn fill(&mut self, data: &mut &[u8], want: u8) -> Option<[u8; N]> {
        while self.have < want {
            let (first, rest) = data.split_first()?;
            *self.bytes.get_mut(usize::from(self.have))? = *first;
            self.have += 1;
            *data = rest;
        }
        Some(self.bytes)
    }
    /// The same, and begins again.
    fn take(&mut self, data: &mut &[u8], want: u8) -> Option<[u8; N]> {
        let all = self.fill(data, want)?;
        self.have = 0;
        Some(all)
    }
}

enum Progress {
    Done(Item),
    On,
    /// All data is consumed.
    Starved,
}

/// ClientHello of SSL 2.0 (also sent by newer clients to say that they can do more): version and cipher specs.
pub fn v2_client_hello(body: &[u8]) -> Option<(u16, Vec<u32>)> {
    let mut r = Reader::new(body);
    let (version, ciphers, session, challenge) = (r.u16()?, r.u16()?, r.u16()?, r.u16()?);
    let mut list = r.sub(ciphers.into())?;
    r.take(session.into())?;
    r.take(challenge.into())?;
    let mut out = Vec::new();
    while let (true, Some([a, b, c])) = (out.len() < super::hello::MAX_CIPHERS, list.array::<3>()) {
        out.push(u32::from_be_bytes([0, a, b, c]));
    }
    Some((version, out))
}

/// ServerHello of SSL 2.0: version and certificate.
pub fn v2_server_hello(body: &[u8]) -> Option<(u16, &[u8])> {
    let mut r = Reader::new(body);
    let (_hit, _kind, version) = (r.u8()?, r.u8()?, r.u16()?);
    let (certificate, _ciphers, _connection) = (r.u16()?, r.u16()?, r.u16()?);
    Some((version, r.take(certificate.into())?))
}
