// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is known of one TLS connection: hellos, certificates, fingerprints, how far the handshake has come.
//!
//! Pure: bytes of a direction in, fields out; no clock, no output. Limits: those of [`super::parser`], [`super::hello`] and
//! [`super::cert`]; what is kept of a connection is bounded by two chains and two hellos.

use std::cell::OnceCell;

use lagewarte_flow::Direction;

use super::{
    cert::Chain,
    events::{Event, Events},
    fingerprint::{Ja3, ja4},
    hello::{ClientHello, ServerHello},
    parser::{Item, Records, handshake, v2_client_hello, v2_server_hello},
};

/// Most records in one piece of the stream. Threat: 13,000 empty records in one segment cost more than they tell.
pub const MAX_RECORDS_AT_ONCE: u64 = 255;

/// How far the client's side has come; the order is the order of the handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClientState {
    /// Nothing complete yet.
    #[default]
    InProgress,
    /// The hello was seen.
    HelloDone,
    /// The certificate was seen, or none was asked for.
    CertDone,
    /// Everything from here on is encrypted.
    HandshakeDone,
    /// The side has ended.
    Finished,
}

/// How far the server's side has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServerState {
    /// Nothing complete yet.
    #[default]
    InProgress,
    /// The hello was seen.
    Hello,
    /// The certificate was seen.
    CertDone,
    /// The hello's end was seen.
    HelloDone,
    /// Everything from here on is encrypted.
    HandshakeDone,
    /// The side has ended.
    Finished,
}

/// Which messages were seen: what `ssl_state` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of messages")]
pub struct Seen {
    pub client_hello: bool,
    pub server_hello: bool,
    pub client_key_exchange: bool,
    pub server_key_exchange: bool,
}

/// One connection.
#[derive(Debug, Default)]
pub struct Session {
    /// The client's (first) hello.
    pub client: Option<Box<ClientHello>>,
    /// The server's hello; a request to try again only until the real one comes.
    pub server: Option<Box<ServerHello>>,
    /// Certificates of the server.
    pub server_chain: Option<Box<Chain>>,
    /// Certificates of the client.
    pub client_chain: Option<Box<Chain>>,
    /// The version spoken so far as it is known: the server's choice, else the client's `legacy_version`; 0 before.
    pub version: u16,
    /// Whether an earlier session was taken up again.
    pub resumed: bool,
    /// What was odd.
    pub events: Events,
    /// How far the client is.
    pub client_state: ClientState,
    /// How far the server is.
    pub server_state: ServerState,
    /// Messages seen.
    pub seen: Seen,
    records: [Records; 2],
    certificate_asked: bool,
    data_seen: bool,
    changed: [bool; 2],
    heartbeat_sent: Option<u16>,
    /// Of the two hellos, once they are asked for.
    ja3: OnceCell<Box<Ja3>>,
    ja3s: OnceCell<Box<Ja3>>,
    ja4: OnceCell<String>,
}

/// Whether a version is TLS 1.3, a draft of it included (RFC 8446, 4.2.1; Facebook's and Google's variants of drafts).
pub const fn is_13(version: u16) -> bool {
    version == 0x0304 || matches!(version >> 8, 0x7e | 0x7f | 0xfb)
}

impl Session {
    /// JA3 of the client; made when it is asked for, as all fingerprints are.
    pub fn ja3(&self) -> Option<&Ja3> {
        let hello = self.client.as_deref()?;
        Some(self.ja3.get_or_init(|| Box::new(Ja3::client(hello))))
    }

    /// JA3S of the server.
    pub fn ja3s(&self) -> Option<&Ja3> {
        let hello = self.server.as_deref()?;
        Some(self.ja3s.get_or_init(|| Box::new(Ja3::server(hello))))
    }

    /// JA4 of the client.
    pub fn ja4(&self) -> Option<&str> {
        let hello = self.client.as_deref()?;
        Some(self.ja4.get_or_init(|| ja4(hello, false)))
    }

    /// Reads what a side sent. All of it is consumed; false when the direction cannot be followed any more.
    pub fn data(&mut self, direction: Direction, mut data: &[u8]) -> bool {
        let side = direction.index();
        let before = self.records[side].count; // index() is 0 or 1
        while let Some(item) = self.records[side].next(&mut data) {
            self.item(direction, item);
            if self.records[side].count - before > MAX_RECORDS_AT_ONCE {
                self.events.set(Event::TooManyRecords);
                return false;
            }
        }
        !self.records[side].lost()
    }
    /// `len` bytes of a side are missing. False when the direction cannot be followed any more.
    pub fn gap(&mut self, direction: Direction, len: u64) -> bool {
        let records = &mut self.records[direction.index()];
        records.gap(len);
        !records.lost()
    }
    /// A side has ended, or will not be looked at any more.
    pub fn finish(&mut self, direction: Direction) {
        match direction {
            Direction::ToServer => self.client_state = ClientState::Finished,
            Direction::ToClient => self.server_state = ServerState::Finished,
        }
        self.records[direction.index()].shrink();
    }
    /// Whether a side has sent application data: what follows is encrypted.
    pub const fn encrypted(&self) -> bool {
        self.data_seen
    }
    /// Whether all is known that an EVE `tls` event says.
    pub fn complete(&self) -> bool {
        self.client_state >= ClientState::CertDone && self.server_state >= ServerState::CertDone
    }
    /// Whether there is something to say in an EVE `tls` event: a certificate, or TLS 1.3, which encrypts its
    /// certificates; with `resumption` also a session taken up again, or one that may be: the client knows of tickets.
    /// The last says at the flow's end what a client wanted whom nobody answered.
    pub fn telling(&self, resumption: bool) -> bool {
        let resumable = self.resumed || self.client.as_ref().is_some_and(|c| c.knows_tickets);
        resumption && resumable
            || self.server.is_some() && is_13(self.version)
            || self.server_chain.as_ref().is_some_and(|c| c.subject.is_some() && c.issuer.is_some())
    }
    /// The version that the server speaks: of its hello, else of its records' headers; 0 where it has said nothing.
    pub fn spoken(&self) -> u16 {
        let answered = self.server.is_some() || self.seen.server_hello;
        if answered { self.version } else { self.records[Direction::ToClient.index()].version() } // index() is 0 or 1
    }
    /// Memory held, in bytes, roughly.
    pub fn memory(&self) -> usize {
        let chain = |c: &Option<Box<Chain>>| {
            c.as_ref().map_or(0, |c| c.certificates.iter().chain(&c.alternative_names).map(|b| b.len() + 24).sum())
        };
        let hello = self.client.as_ref().map_or(0, |h| 512 + 2 * h.ciphers.len() + 32 * h.extensions.len());
        let records: usize = self.records.iter().map(Records::memory).sum();
        size_of::<Self>() + hello + records + chain(&self.client_chain) + chain(&self.server_chain)
    }

    fn item(&mut self, direction: Direction, item: Item) {
        let to_server = direction == Direction::ToServer;
        match item {
            Item::Handshake { kind, cut } => self.handshake(direction, kind, cut),
            Item::ChangeCipher => self.change_cipher(direction),
            Item::Alert(None) => self.events.set(Event::InvalidAlert),
            Item::Alert(Some(_)) | Item::Encrypted => {}
            Item::Heartbeat { kind, claimed, length } => {
                self.events.set(Event::Heartbeat);
                // Payload, padding of at least 16 bytes (RFC 6520, 4).
                let room = length.saturating_sub(3);
                if matches!(kind, 1 | 2) && claimed > room {
                    self.events.set(Event::OverflowHeartbeat);
                } else if !matches!(kind, 1 | 2) || claimed == 0 || room - claimed < 16 {
                    self.events.set(Event::InvalidHeartbeat); // claimed is no more than room here
                }
            }
            Item::EncryptedHeartbeat { length } => match (to_server, self.heartbeat_sent) {
                (true, _) => self.heartbeat_sent = Some(length),
                (false, Some(sent)) => {
                    if length > sent {
                        self.events.set(Event::LeakingHeartbeat);
                    }
                    self.heartbeat_sent = None;
                }
                (false, None) => {}
            },
            Item::Data => {
                self.data_seen = true;
                // Without having seen a change of cipher: taken up in the middle, or TLS 1.3.
                if to_server {
                    self.client_state = self.client_state.max(ClientState::HandshakeDone);
                } else {
                    self.server_state = self.server_state.max(ServerState::HandshakeDone);
                }
            }
            Item::V2(kind) => self.v2(direction, kind),
            Item::Damage(e) => self.events.set(e),
        }
    }

    fn handshake(&mut self, direction: Direction, kind: u8, cut: bool) {
        let to_server = direction == Direction::ToServer;
        if cut {
            self.events.set(Event::HandshakeInvalidLength);
        }
        let side = direction.index();
        match kind {
            handshake::CLIENT_HELLO if to_server => {
                let body = self.records[side].message(); // index() is 0 or 1
                self.seen.client_hello = true;
                match ClientHello::parse(body) {
                    None => self.events.set(Event::InvalidHandshakeMessage),
                    Some(hello) => {
                        self.events.add(hello.events);
                        // A second hello answers a request to try again, or is no one's: the first is the client's.
                        if self.client.is_none() {
                            if self.version == 0 {
                                self.version = hello.version;
                            }
                            self.client = Some(Box::new(hello));
                        }
                    }
                }
                self.client_state = self.client_state.max(ClientState::HelloDone);
            }
            handshake::SERVER_HELLO if !to_server => {
                match ServerHello::parse(self.records[side].message()) {
                    None => self.events.set(Event::InvalidHandshakeMessage),
                    Some(hello) => self.server_hello(hello),
                }
                self.seen.server_hello = true;
            }
            handshake::CERTIFICATE => {
                let mut events = Events::default();
                let chain = Chain::parse(self.records[side].message(), cut, &mut events);
                if !events.is_empty() {
                    events.set(Event::InvalidHandshakeMessage);
                    self.events.add(events);
                }
                // A client that has none answers with an empty chain.
                let chain = (!chain.certificates.is_empty()).then(|| Box::new(chain));
                if to_server {
                    self.client_chain = self.client_chain.take().or(chain);
                    self.client_state = self.client_state.max(ClientState::CertDone);
                } else {
                    self.server_chain = self.server_chain.take().or(chain);
                    self.server_state = self.server_state.max(ServerState::CertDone);
                }
                self.records[side].shrink();
            }
            handshake::CERTIFICATE_REQUEST if !to_server => self.certificate_asked = true,
            handshake::SERVER_HELLO_DONE if !to_server => {
                self.server_state = self.server_state.max(ServerState::HelloDone);
                if !self.certificate_asked {
                    self.client_state = self.client_state.max(ClientState::CertDone);
                }
            }
            handshake::CLIENT_KEY_EXCHANGE if to_server => {
                self.seen.client_key_exchange = true;
                // A client without a certificate may send none at all.
                self.client_state = self.client_state.max(ClientState::CertDone);
            }
            handshake::SERVER_KEY_EXCHANGE if !to_server => self.seen.server_key_exchange = true,
            _ => {}
        }
    }

    fn server_hello(&mut self, hello: ServerHello) {
        self.events.add(hello.events);
        if self.server.as_ref().is_some_and(|known| !known.is_retry()) {
            return;
        }
        self.version = hello.version;
        self.ja3s = OnceCell::new(); // the hello before was a request to try again
        if !hello.is_retry() {
            self.server_state = self.server_state.max(ServerState::Hello);
            if is_13(hello.version) {
                self.server_state = self.server_state.max(ServerState::HandshakeDone);
                self.client_state = self.client_state.max(ClientState::HandshakeDone);
                self.records.iter_mut().for_each(|r| r.encrypted = true);
            } else if let Some(client) = &self.client {
                self.resumed |= !hello.session_id.is_empty() && hello.session_id == client.session_id;
            }
        }
        self.server = Some(Box::new(hello));
    }

    fn change_cipher(&mut self, direction: Direction) {
        let side = direction.index();
        // In TLS 1.3 it means nothing: between a request to try again and the second hello it comes in clear.
        if self.server.as_ref().is_some_and(|s| is_13(s.version)) {
            return;
        }
        self.records[side].encrypted = true;
        self.changed[side] = true;
        match direction {
            Direction::ToServer => self.client_state = self.client_state.max(ClientState::HandshakeDone),
            Direction::ToClient => {
                // The server goes on without a certificate: it took the client's ticket.
                let ticket = self.client.as_ref().is_some_and(|c| c.ticket);
                if self.server.is_some() && self.server_chain.is_none() && ticket {
                    self.resumed = true;
                }
                if self.resumed && self.server_chain.is_none() {
                    self.client_state = self.client_state.max(ClientState::CertDone);
                }
                self.server_state = self.server_state.max(ServerState::HandshakeDone);
            }
        }
    }

    fn v2(&mut self, direction: Direction, kind: u8) {
        let side = direction.index();
        let body = self.records[side].message(); // index() is 0 or 1
        match (direction, kind) {
            (Direction::ToServer, 1) => match v2_client_hello(body) {
                Some((version, _)) => {
                    self.seen.client_hello = true;
                    self.version = version;
                    self.client_state = self.client_state.max(ClientState::HelloDone);
                    // A newer client that says hello the old way is answered the new way.
                    self.records.iter_mut().for_each(|r| r.v2 = version < 0x0300);
                }
                None => self.events.set(Event::InvalidSslv2Header),
            },
            (Direction::ToClient, 4) => match v2_server_hello(body) {
                Some((version, certificate)) => {
                    self.seen.server_hello = true;
                    self.version = version;
                    if !certificate.is_empty() {
                        self.server_chain = Some(Box::new(Chain::of_one(certificate, &mut self.events)));
                    }
                    self.server_state = self.server_state.max(ServerState::HandshakeDone);
                    self.client_state = self.client_state.max(ClientState::CertDone);
                }
                None => self.events.set(Event::InvalidSslv2Header),
            },
            (Direction::ToServer, 2) => {
                // The master key: from here on the client encrypts, and the server with its next record.
                self.seen.client_key_exchange = true;
                self.records.iter_mut().for_each(|r| r.encrypted = true);
                self.client_state = self.client_state.max(ClientState::HandshakeDone);
            }
            (_, 0) => self.events.set(Event::ErrorMessage),
            _ => self.events.set(Event::InvalidSslRecord),
        }
    }
}

/// EVE's name of a version.
pub fn version_name(version: u16) -> std::borrow::Cow<'static, str> {
    match version {
        0 => "UNDETERMINED",
        0x0002 => "SSLv2",
        0x0300 => "SSLv3",
        0x0301 => "TLSv1",
        0x0302 => "TLS 1.1",
        0x0303 => "TLS 1.2",
        0x0304 => "TLS 1.3",
        0xfb17 => "TLS 1.3 draft-23-fb",
        0xfb1a => "TLS 1.3 draft-26-fb",
        0x7e02 => "TLS 1.3 draft-02-google",
        0x7f01..=0x7f0f => "TLS 1.3 draft-<16",
        v @ 0x7f10..=0x7f1c => return format!("TLS 1.3 draft-{}", v & 0xff).into(),
        v => return format!("0x{v:04x}").into(),
    }
    .into()
}
