// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DNS messages (RFC 1035, 4; 2782 SRV; 4255 SSHFP; 6891 OPT): bytes to a message, names uncompressed.
//!
//! Must never follow a pointer without end, never keep more text than [`MAX_TEXT`] of a message, and never fail on a part
//! that comes after one it could read: what was read is kept, and a note says what was not.

use lagewarte_base::reader::Reader;

/// Longest name kept, in bytes; the rest is cut and noted. Threat: pointers that let a name grow without end.
pub const MAX_NAME: usize = 1025;
/// Most labels of a name. Threat: names of empty work.
pub const MAX_LABELS: usize = 255;
/// Most pointers followed in a name. Threat: pointers in a circle.
pub const MAX_POINTERS: usize = 255;
/// Most bytes of names and texts of one message. Threat: 5,000 records of 12 bytes that each point to the same long name.
pub const MAX_TEXT: usize = 256 << 10;

/// Bytes within [`Message::text`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    from: u32,
    to: u32,
}

/// A name, its labels joined by dots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// Where it stands.
    pub span: Span,
    /// Whether it is longer than what was kept.
    pub truncated: bool,
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// What is asked for.
    pub name: Name,
    /// Record type.
    pub rrtype: u16,
    /// Class.
    pub class: u16,
}

/// A resource record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whose record.
    pub name: Name,
    /// Record type.
    pub rrtype: u16,
    /// Class.
    pub class: u16,
    /// Time to live, seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields as their RFCs name them")]
pub enum Data {
    A([u8; 4]),
    Aaaa([u8; 16]),
    /// CNAME, MX, NS, PTR.
    Name(Name),
    Soa {
        mname: Name,
        rname: Name,
        serial: u32,
        refresh: u32,
        retry: u32,
        expire: u32,
        minimum: u32,
    },
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Name,
    },
    Sshfp {
        algo: u8,
        kind: u8,
        fingerprint: Span,
    },
    Txt(Vec<Span>),
    /// NULL.
    Null(Span),
    /// OPT: option codes with their data.
    Opt(Vec<(u16, Span)>),
    /// Not shown.
    Other,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Identifier.
    pub id: u16,
    /// The flags word.
    pub flags: u16,
    /// Questions.
    pub queries: Vec<Query>,
    /// Answer section.
    pub answers: Vec<Answer>,
    /// Authority section.
    pub authorities: Vec<Answer>,
    /// Additional section.
    pub additionals: Vec<Answer>,
    /// All names and texts.
    text: Vec<u8>,
    /// What was found wrong.
    pub faults: Faults,
}

/// What was found wrong with a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a set of notes")]
pub struct Faults {
    /// Questions or answers could not be read to their end.
    pub malformed: bool,
    /// The authority section could not.
    pub authorities: bool,
    /// The additional section could not.
    pub additionals: bool,
    /// A name was cut at [`MAX_NAME`].
    pub long_name: bool,
    /// A name's pointers go in a circle.
    pub endless: bool,
    /// A name has more than [`MAX_LABELS`].
    pub labels: bool,
}

impl Message {
    /// The bytes of a span.
    pub fn bytes(&self, s: Span) -> &[u8] {
        self.text.get(s.from as usize..s.to as usize).unwrap_or_default()
    }
    /// Whether it is a response (QR).
    pub const fn response(&self) -> bool {
        self.flags & 0x8000 != 0
    }
    /// OPCODE.
    pub const fn opcode(&self) -> u8 {
        (self.flags >> 11 & 15) as u8
    }
    /// RCODE of the header.
    pub const fn rcode(&self) -> u8 {
        (self.flags & 15) as u8
    }
    /// Bytes that it holds, about.
    pub fn held(&self) -> usize {
        let records = self.answers.len() + self.authorities.len() + self.additionals.len();
        self.text.capacity() + self.queries.len() * size_of::<Query>() + records * size_of::<Answer>()
    }
}

/// Reads a message; None where there is no whole header.
pub fn message(bytes: &[u8]) -> Option<Message> {
    let mut r = Reader::new(bytes);
    let (id, flags) = (r.u16()?, r.u16()?);
    let counts = [r.u16()?, r.u16()?, r.u16()?, r.u16()?];
    let mut p = Parser { whole: bytes, out: Message { id, flags, ..Message::default() } };
    // Most messages hold one name, or a few that repeat it.
    p.out.text.reserve(64);
    for _ in 0..counts[0] {
        match p.query(&mut r) {
            Some(q) => p.out.queries.push(q),
            None => {
                p.out.faults.malformed = true;
                return Some(p.out);
            }
        }
    }
    let (answers, whole) = p.section(&mut r, counts[1]);
    p.out.answers = answers;
    if !whole {
        p.out.faults.malformed = true;
        return Some(p.out);
    }
    let (authorities, whole) = p.section(&mut r, counts[2]);
    p.out.authorities = authorities;
    if !whole {
        p.out.faults.authorities = true;
        return Some(p.out);
    }
    let (additionals, whole) = p.section(&mut r, counts[3]);
    p.out.additionals = additionals;
    p.out.faults.additionals = !whole;
    Some(p.out)
}

struct Parser<'a> {
    whole: &'a [u8],
    out: Message,
}

impl<'a> Parser<'a> {
    fn query(&mut self, r: &mut Reader<'a>) -> Option<Query> {
        let name = self.name(r)?;
        Some(Query { name, rrtype: r.u16()?, class: r.u16()? })
    }

    // The records that could be read, and whether those were all.
    fn section(&mut self, r: &mut Reader<'a>, count: u16) -> (Vec<Answer>, bool) {
        let mut out = Vec::new();
        for _ in 0..count {
            match self.answer(r) {
                Some(a) => out.push(a),
                None => return (out, false),
            }
        }
        (out, true)
    }

    fn answer(&mut self, r: &mut Reader<'a>) -> Option<Answer> {
        let name = self.name(r)?;
        let (rrtype, class, ttl) = (r.u16()?, r.u16()?, r.u32()?);
        let len = r.u16()?;
        let data = r.take(len.into())?;
        Some(Answer { name, rrtype, class, ttl, data: self.data(rrtype, data)? })
    }

    fn data(&mut self, rrtype: u16, data: &'a [u8]) -> Option<Data> {
        // A record without data says nothing, of whatever type (RFC 2136 uses such).
        if data.is_empty() {
            return Some(Data::Other);
        }
        let mut r = Reader::new(data);
        Some(match rrtype {
            1 => r.array().map_or(Data::Other, Data::A),
            28 => r.array().map_or(Data::Other, Data::Aaaa),
            2 | 5 | 12 => Data::Name(self.name(&mut r)?),
            15 => {
                r.u16()?; // preference
                Data::Name(self.name(&mut r)?)
            }
            6 => Data::Soa {
                mname: self.name(&mut r)?,
                rname: self.name(&mut r)?,
                serial: r.u32()?,
                refresh: r.u32()?,
                retry: r.u32()?,
                expire: r.u32()?,
                minimum: r.u32()?,
            },
            33 => Data::Srv { priority: r.u16()?, weight: r.u16()?, port: r.u16()?, target: self.name(&mut r)? },
            44 => {
                let (algo, kind) = (r.u8()?, r.u8()?);
                Data::Sshfp { algo, kind, fingerprint: self.keep(r.rest())? }
            }
            16 => {
                let mut texts = Vec::new();
                while !r.is_empty() {
                    let n = r.u8()?;
                    texts.push(self.keep(r.take(n.into())?)?);
                }
                Data::Txt(texts)
            }
            10 => Data::Null(self.keep(data)?),
            41 => {
                let mut options = Vec::new();
                while !r.is_empty() {
                    let (code, n) = (r.u16()?, r.u16()?);
                    options.push((code, self.keep(r.take(n.into())?)?));
                }
                Data::Opt(options)
            }
            _ => Data::Other,
        })
    }

    fn keep(&mut self, bytes: &[u8]) -> Option<Span> {
        let from = self.out.text.len();
        if from + bytes.len() > MAX_TEXT {
            return None;
        }
        self.out.text.extend_from_slice(bytes);
        Some(Span { from: from as u32, to: self.out.text.len() as u32 }) // MAX_TEXT is below 2^32
    }

    // A name (RFC 1035, 4.1.4). None where the message ends in it, or a label's kind is unknown.
    fn name(&mut self, r: &mut Reader<'a>) -> Option<Name> {
        let from = self.out.text.len();
        let mut name = Name::default();
        let mut jumped: Option<Reader<'a>> = None;
        let (mut labels, mut pointers) = (0, 0);
        loop {
            let at = match &mut jumped {
                Some(there) => there,
                None => &mut *r,
            };
            let n = at.u8()?;
            match n >> 6 {
                0 if n == 0 => break,
                0 => {
                    let label = at.take(n.into())?;
                    labels += 1;
                    if labels > MAX_LABELS {
                        self.out.faults.labels = true;
                        name.truncated = true;
                        // The rest is passed over where it stands in place; behind a pointer there is nothing to pass.
                        if jumped.is_none() {
                            pass(r)?;
                        }
                        break;
                    }
                    if !name.truncated {
                        name.truncated = !self.label(from, label);
                        self.out.faults.long_name |= name.truncated;
                    }
                    if name.truncated && jumped.is_some() {
                        break;
                    }
                }
                3 => {
                    let low = at.u8()?;
                    pointers += 1;
                    if pointers > MAX_POINTERS {
                        self.out.faults.endless = true;
                        name.truncated = true;
                        break;
                    }
                    let target = usize::from(n & 0x3f) << 8 | usize::from(low);
                    jumped = Some(Reader::new(self.whole.get(target..)?));
                    if name.truncated {
                        break;
                    }
                }
                _ => return None,
            }
            if self.out.text.len() > MAX_TEXT {
                return None;
            }
        }
        name.span = Span { from: from as u32, to: self.out.text.len() as u32 }; // MAX_TEXT is below 2^32
        Some(name)
    }

    // Appends a label to the name that begins at `from`; false where it had to be cut.
    fn label(&mut self, from: usize, label: &[u8]) -> bool {
        let text = &mut self.out.text;
        if text.len() > from {
            text.push(b'.');
        }
        let room = MAX_NAME.saturating_sub(text.len() - from);
        text.extend_from_slice(label.get(..room).unwrap_or(label));
        text.truncate(from + MAX_NAME);
        label.len() <= room
    }
}

// Passes over the rest of a name.
fn pass(r: &mut Reader<'_>) -> Option<()> {
    loop {
        let n = r.u8()?;
        match n >> 6 {
            0 if n == 0 => return Some(()),
            0 => {
                r.take(n.into())?;
            }
            3 => {
                r.u8()?;
                return Some(());
            }
            _ => return None,
        }
    }
}
