// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The two hello messages of TLS (RFC 8446, 4.1; RFC 5246, 7.4.1), as they stand in TCP records and in QUIC.
//!
//! Pure: bytes in, fields out. A damaged hello is data: what stands before the damage is kept, and [`ClientHello::events`]
//! says what was wrong. Must never keep more than the caps below of one message.

use lagewarte_base::reader::Reader;

use super::events::{Event, Events};

/// Most cipher suites kept of a hello. Threat: 32,767 suites in each of a million hellos; a client sends about 30.
pub const MAX_CIPHERS: usize = 512;
/// Most extensions kept of a hello. Threat: as with the suites; a client sends about 20.
pub const MAX_EXTENSIONS: usize = 256;
/// Most entries kept of each list inside an extension (groups, formats, algorithms, versions, protocols).
pub const MAX_LIST: usize = 128;

const EXT_SERVER_NAME: u16 = 0;
const EXT_GROUPS: u16 = 10;
const EXT_POINT_FORMATS: u16 = 11;
/// Number of the extension of that name.
pub const EXT_SIGNATURE_ALGORITHMS: u16 = 13;
const EXT_ALPN: u16 = 16;
const EXT_SESSION_TICKET: u16 = 35;
/// Number of the extension of that name.
pub const EXT_SUPPORTED_VERSIONS: u16 = 43;

/// One extension as it stands in the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// IANA's number.
    pub kind: u16,
    /// What EVE `quic.extensions` lists: the server's name, the protocols; empty for all others.
    pub values: Vec<Vec<u8>>,
}

/// What a client proposes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// `legacy_version`.
    pub version: u16,
    /// 32 bytes of random.
    pub random: [u8; 32],
    /// The session id, 32 bytes at most.
    pub session_id: Vec<u8>,
    /// Cipher suites in their order.
    pub ciphers: Vec<u16>,
    /// Extensions in their order.
    pub extensions: Vec<Extension>,
    /// The server name asked for.
    pub sni: Option<Vec<u8>>,
    /// Application protocols in their order.
    pub alpns: Vec<Vec<u8>>,
    /// Elliptic curves and groups.
    pub groups: Vec<u16>,
    /// Formats of points.
    pub point_formats: Vec<u8>,
    /// Signature algorithms.
    pub signature_algorithms: Vec<u16>,
    /// Versions of the extension, as they stand.
    pub versions: Vec<u16>,
    /// Whether a session ticket was sent along.
    pub ticket: bool,
    /// Whether the extension of session tickets is there at all, be it empty.
    pub knows_tickets: bool,
    /// What was wrong.
    pub events: Events,
}

/// What a server chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// `legacy_version`.
    pub legacy_version: u16,
    /// The version that is spoken: the extension's, else `legacy_version`.
    pub version: u16,
    /// 32 bytes of random.
    pub random: [u8; 32],
    /// The session id, 32 bytes at most.
    pub session_id: Vec<u8>,
    /// The cipher suite.
    pub cipher: u16,
    /// Extensions in their order.
    pub extensions: Vec<Extension>,
    /// The application protocol chosen.
    pub alpns: Vec<Vec<u8>>,
    /// What was wrong.
    pub events: Events,
}

/// Random of a HelloRetryRequest (RFC 8446, 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What stands for the drafts of TLS 1.3 before 16, which said 0x0304 themselves; its final form says 0x0303 in that place.
pub const BEFORE_DRAFT_16: u16 = 0x7f01;

impl ServerHello {
    /// Whether this asks the client to try again.
    pub fn is_retry(&self) -> bool {
        self.random == RETRY
    }
    /// The body of a ServerHello message, without its header of four bytes. None where it ends before its version.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut r = Reader::new(body);
        let version = r.u16()?;
        let mut hello = Self { legacy_version: version, version, ..Self::default() };
        if hello.fields(&mut r).is_none() {
            hello.events.set(Event::InvalidHandshakeMessage);
        }
        Some(hello)
    }
    fn fields(&mut self, r: &mut Reader<'_>) -> Option<()> {
        self.random = r.array()?;
        // The first drafts of TLS 1.3 (up to 21) have neither a session id nor a compression method here.
        let old_draft = self.legacy_version >> 8 == 0x7f || self.legacy_version == 0x0304;
        if self.legacy_version == 0x0304 {
            self.version = BEFORE_DRAFT_16;
        }
        if !old_draft {
            self.session_id = session_id(r)?;
        }
        self.cipher = r.u16()?;
        if !old_draft {
            r.u8()?;
        }
        extensions(r, &mut self.events, |kind, mut body, values, _| {
            match kind {
                EXT_ALPN => {
                    alpns(&mut body, &mut self.alpns);
                    values.clone_from(&self.alpns);
                }
                EXT_SUPPORTED_VERSIONS => self.version = body.u16().unwrap_or(self.version),
                _ => {}
            }
            self.extensions.push(Extension { kind, values: std::mem::take(values) });
        })
    }
}

impl ClientHello {
    /// The body of a ClientHello message, without its header of four bytes. None where it ends before its version.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let mut r = Reader::new(body);
        let mut hello = Self { version: r.u16()?, ..Self::default() };
        if hello.fields(&mut r).is_none() {
            hello.events.set(Event::InvalidHandshakeMessage);
        }
        Some(hello)
    }
    /// The highest version proposed: of the extension, else `legacy_version`.
    pub fn highest_version(&self) -> u16 {
        self.versions.iter().copied().filter(|v| !is_grease(*v)).max().unwrap_or(self.version)
    }
    fn fields(&mut self, r: &mut Reader<'_>) -> Option<()> {
        self.random = r.array()?;
        self.session_id = session_id(r)?;
        let len = r.u16()?;
        u16s(&mut r.sub(len.into())?, MAX_CIPHERS, &mut self.ciphers);
        let compressions = r.u8()?;
        r.take(compressions.into())?;
        let mut events = self.events;
        let done = extensions(r, &mut events, |kind, mut body, values, events| {
            match kind {
                EXT_SERVER_NAME => self.server_name(body, values, events),
                EXT_GROUPS => list16(&mut body, &mut self.groups),
                EXT_SIGNATURE_ALGORITHMS => list16(&mut body, &mut self.signature_algorithms),
                EXT_POINT_FORMATS => {
                    let len = body.u8().unwrap_or(0).into();
                    let list = body.take(len).unwrap_or(body.rest());
                    self.point_formats.extend(list.iter().take(MAX_LIST));
                }
                EXT_ALPN => {
                    alpns(&mut body, &mut self.alpns);
                    values.clone_from(&self.alpns);
                }
                EXT_SESSION_TICKET => (self.ticket, self.knows_tickets) = (!body.is_empty(), true),
                EXT_SUPPORTED_VERSIONS => {
                    let len = body.u8().unwrap_or(0).into();
                    let mut list = body.sub(len).unwrap_or(body);
                    u16s(&mut list, MAX_LIST, &mut self.versions);
                }
                _ => {}
            }
            self.extensions.push(Extension { kind, values: std::mem::take(values) });
        });
        self.events = events;
        done
    }
    /// RFC 6066, 3: a list of names with their kind; only kind 0, a host, was ever defined.
    fn server_name(&mut self, mut body: Reader<'_>, values: &mut Vec<Vec<u8>>, events: &mut Events) {
        if self.extensions.iter().any(|e| e.kind == EXT_SERVER_NAME) {
            events.set(Event::MultipleSniExtensions);
            return;
        }
        if body.is_empty() {
            return;
        }
        let name = (|| {
            let mut list = match body.u16() {
                Some(n) => body.sub(n.into())?,
                None => return None,
            };
            if list.u8()? != 0 {
                events.set(Event::InvalidSniType);
                return Some(None);
            }
            let len = list.u16()?;
            Some(Some(list.take(len.into())?))
        })();
        match name {
            None => events.set(Event::InvalidSniLength),
            Some(None) => {}
            Some(Some(name)) => {
                self.sni = Some(name.to_vec());
                values.push(name.to_vec());
            }
        }
    }
}

/// Values that clients send so that servers stay tolerant (RFC 8701); no fingerprint counts them.
pub const fn is_grease(v: u16) -> bool {
    v & 0x0f0f == 0x0a0a && v >> 8 == v & 0xff
}

fn session_id(r: &mut Reader<'_>) -> Option<Vec<u8>> {
    match r.u8()? {
        n @ 0..=32 => r.take(n.into()).map(<[u8]>::to_vec),
        _ => None,
    }
}

/// Walks over the extensions; a hello may end before them. None where a length reaches outside its parent.
fn extensions<'a>(
    r: &mut Reader<'a>,
    events: &mut Events,
    mut each: impl FnMut(u16, Reader<'a>, &mut Vec<Vec<u8>>, &mut Events),
) -> Option<()> {
    if r.is_empty() {
        return Some(());
    }
    let len = r.u16()?;
    let mut list = r.sub(len.into())?;
    let mut values = Vec::new();
    for _ in 0..MAX_EXTENSIONS {
        if list.is_empty() {
            break;
        }
        let kind = list.u16()?;
        let len = list.u16()?;
        let body = list.sub(len.into())?;
        each(kind, body, &mut values, events);
    }
    Some(())
}

fn u16s(r: &mut Reader<'_>, most: usize, into: &mut Vec<u16>) {
    while let (true, Some(v)) = (into.len() < most, r.u16()) {
        into.push(v);
    }
}

fn list16(body: &mut Reader<'_>, into: &mut Vec<u16>) {
    let len = body.u16().unwrap_or(0).into();
    let mut list = body.sub(len).unwrap_or(*body);
    u16s(&mut list, MAX_LIST, into);
}

fn alpns(body: &mut Reader<'_>, into: &mut Vec<Vec<u8>>) {
    let len = body.u16().unwrap_or(0).into();
    let mut list = body.sub(len).unwrap_or(*body);
    while into.len() < MAX_LIST {
        let Some(name) = list.u8().and_then(|n| list.take(n.into())) else { break };
        if !name.is_empty() {
            into.push(name.to_vec());
        }
    }
}
