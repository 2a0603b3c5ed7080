// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `tls`: field names and order are Suricata's, the choice of fields is that of its configuration.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lagewarte_base::time::Timestamp;
use lagewarte_event::eve::JsonWriter;

use super::{
    cert::Chain,
    fingerprint::Ja3,
    session::{Session, version_name},
};

macro_rules! fields {
    ($($variant:ident = $name:literal,)*) => {
        /// A field, or a group of fields, of the event, as `custom` names it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is documented by its name in the Suricata user guide")]
        pub enum Part { $($variant,)* }
        impl Part {
            /// The field of that name.
            pub fn by_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

fields! {
    Subject = "subject",
    Issuer = "issuer",
    AlternativeNames = "subjectaltname",
    SessionResumed = "session_resumed",
    Serial = "serial",
    Fingerprint = "fingerprint",
    Sni = "sni",
    Version = "version",
    NotBefore = "not_before",
    NotAfter = "not_after",
    Certificate = "certificate",
    Chain = "chain",
    Ja3 = "ja3",
    Ja3s = "ja3s",
    Ja4 = "ja4",
    Client = "client",
    ClientCertificate = "client_certificate",
    ClientChain = "client_chain",
    ClientAlpns = "client_alpns",
    ServerAlpns = "server_alpns",
    ClientHandshake = "client_handshake",
    ServerHandshake = "server_handshake",
}

/// What is written: `outputs.eve-log.types.tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    parts: u32,
    /// Whether events of resumed sessions are written: `session-resumption`.
    pub session_resumption: bool,
}

impl Default for Choices {
    /// `extended: yes`, with JA3 and JA4.
    fn default() -> Self {
        use Part as P;
        let mut c = Self { parts: 0, session_resumption: true };
        for p in [
            P::Subject,
            P::Issuer,
            P::AlternativeNames,
            P::SessionResumed,
            P::Serial,
            P::Fingerprint,
            P::Sni,
            P::Version,
            P::NotBefore,
            P::NotAfter,
            P::Ja3,
            P::Ja3s,
            P::Ja4,
            P::Client,
            P::ClientAlpns,
            P::ServerAlpns,
        ] {
            c.set(p, true);
        }
        c
    }
}

impl Choices {
    /// `extended: no`.
    pub fn basic() -> Self {
        let mut c = Self::none();
        for p in [Part::Subject, Part::Issuer, Part::AlternativeNames, Part::SessionResumed] {
            c.set(p, true);
        }
        c
    }
    /// Nothing yet: `custom` adds.
    pub const fn none() -> Self {
        Self { parts: 0, session_resumption: true }
    }
    /// Writes a part, or leaves it out.
    pub const fn set(&mut self, part: Part, on: bool) {
        let bit = 1 << part as u8; // fewer than 32 parts
        self.parts = if on { self.parts | bit } else { self.parts & !bit };
    }
    const fn has(self, part: Part) -> bool {
        self.parts >> part as u8 & 1 == 1
    }
}

/// Writes the member `tls`. `from`: what the flow spoke before.
pub fn event(s: &Session, from: Option<&str>, choices: &Choices, w: &mut JsonWriter) {
    use Part as P;
    let on = |p: Part| choices.has(p);
    let server = s.server_chain.as_deref();
    w.key("tls").open();
    names(server, [on(P::Subject), on(P::Issuer)], w);
    if let Some(c) = server.filter(|c| on(P::AlternativeNames) && !c.alternative_names.is_empty()) {
        list("subjectaltname", &c.alternative_names, w);
    }
    if on(P::SessionResumed) && s.resumed {
        w.key("session_resumed").bool(true);
    }
    identity(server, [on(P::Serial), on(P::Fingerprint)], w);
    if let Some(sni) = s.client.as_ref().and_then(|h| h.sni.as_ref()).filter(|_| on(P::Sni)) {
        w.key("sni").bytes(sni);
    }
    if on(P::Version) {
        w.key("version").string(&version_name(s.spoken()));
    }
    validity(server, [on(P::NotBefore), on(P::NotAfter)], w);
    certificates(server, [on(P::Certificate), on(P::Chain)], w);
    ja3("ja3", on(P::Ja3).then(|| s.ja3()).flatten(), w);
    ja3("ja3s", on(P::Ja3s).then(|| s.ja3s()).flatten(), w);
    if let Some(ja4) = on(P::Ja4).then(|| s.ja4()).flatten() {
        w.key("ja4").string(ja4);
    }
    if let Some(h) = s.client.as_ref().filter(|h| on(P::ClientAlpns) && !h.alpns.is_empty()) {
        list("client_alpns", &h.alpns, w);
    }
    if let Some(h) = s.server.as_ref().filter(|h| on(P::ServerAlpns) && !h.alpns.is_empty()) {
        list("server_alpns", &h.alpns, w);
    }
    if on(P::ClientHandshake) {
        client_handshake(s, w);
    }
    if on(P::ServerHandshake) {
        server_handshake(s, w);
    }
    let client = s.client_chain.as_deref();
    if client.is_some() && [P::Client, P::ClientCertificate, P::ClientChain].into_iter().any(on) {
        w.key("client").open();
        names(client, [on(P::Client); 2], w);
        identity(client, [on(P::Client); 2], w);
        validity(client, [on(P::Client); 2], w);
        certificates(client, [on(P::ClientCertificate), on(P::ClientChain)], w);
        w.close();
    }
    if let Some(from) = from {
        w.key("from_proto").string(from);
    }
    w.close();
}

fn names(chain: Option<&Chain>, [subject, issuer]: [bool; 2], w: &mut JsonWriter) {
    if let Some(s) = chain.and_then(|c| c.subject.as_ref()).filter(|_| subject) {
        w.key("subject").bytes(s);
    }
    if let Some(s) = chain.and_then(|c| c.issuer.as_ref()).filter(|_| issuer) {
        w.key("issuerdn").bytes(s);
    }
}

fn identity(chain: Option<&Chain>, [serial, fingerprint]: [bool; 2], w: &mut JsonWriter) {
    if let Some(c) = chain.filter(|c| serial && !c.serial.is_empty()) {
        w.key("serial").string(&c.serial);
    }
    if let Some(c) = chain.filter(|c| fingerprint && !c.fingerprint.is_empty()) {
        w.key("fingerprint").string(&c.fingerprint);
    }
}

fn validity(chain: Option<&Chain>, [before, after]: [bool; 2], w: &mut JsonWriter) {
    let Some(c) = chain.filter(|c| c.subject.is_some()) else { return };
    if before {
        w.key("notbefore").string(&seconds(c.not_before));
    }
    if after {
        w.key("notafter").string(&seconds(c.not_after));
    }
}

/// `2026-03-02T08:00:00`, UTC.
fn seconds(s: i64) -> String {
    let mut text = Timestamp::from_micros(s.saturating_mul(1_000_000)).eve();
    text.truncate(19);
    text
}

fn certificates(chain: Option<&Chain>, [first, all]: [bool; 2], w: &mut JsonWriter) {
    let Some(c) = chain else { return };
    if let Some(der) = c.certificates.first().filter(|_| first) {
        w.key("certificate").string(&STANDARD.encode(der));
    }
    if all {
        w.key("chain").open_array();
        for der in &c.certificates {
            w.string(&STANDARD.encode(der));
        }
        w.close_array();
    }
}

fn ja3(key: &str, ja3: Option<&Ja3>, w: &mut JsonWriter) {
    if let Some(j) = ja3 {
        w.key(key).open().key("hash").string(&j.hash).key("string").string(&j.string).close();
    }
}

fn list(key: &str, values: &[Vec<u8>], w: &mut JsonWriter) {
    w.key(key).open_array();
    for v in values {
        w.bytes(v);
    }
    w.close_array();
}

fn numbers(key: &str, values: impl Iterator<Item = u16>, w: &mut JsonWriter) {
    w.key(key).open_array();
    for v in values {
        w.u64(v.into());
    }
    w.close_array();
}

fn client_handshake(s: &Session, w: &mut JsonWriter) {
    let Some(h) = &s.client else { return };
    w.key("client_handshake").open();
    w.key("version").string(&version_name(h.highest_version()));
    numbers("ciphers", h.ciphers.iter().copied(), w);
    numbers("exts", h.extensions.iter().map(|e| e.kind), w);
    numbers("sig_algs", h.signature_algorithms.iter().copied(), w);
    w.close();
}

fn server_handshake(s: &Session, w: &mut JsonWriter) {
    let Some(h) = &s.server else { return };
    w.key("server_handshake").open();
    w.key("version").string(&version_name(h.version)).key("cipher").u64(h.cipher.into());
    numbers("exts", h.extensions.iter().map(|e| e.kind), w);
    w.close();
}
