// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DNS as EVE writes it: version 3, version 2 where the configuration asks for it, and multicast DNS and LLMNR with their
//! lower-case form. Field names and order are Suricata's.

use lagewarte_event::eve::JsonWriter;

use super::{
    Kind, Tx, names,
    parser::{Answer, Data, Message, Name},
};

/// What is written of DNS: `outputs.eve-log.types.dns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `version`: 3, or 2 for readers that have not changed.
    pub version: u8,
    /// `requests` (`query`).
    pub requests: bool,
    /// `responses` (`answer`).
    pub responses: bool,
    /// `formats`: each record.
    pub detailed: bool,
    /// `formats`: records by type.
    pub grouped: bool,
    /// `types`: record types of which events are written; None: all.
    pub types: Option<Vec<u16>>,
}

impl Default for Choices {
    fn default() -> Self {
        Self { version: 3, requests: true, responses: true, detailed: true, grouped: true, types: None }
    }
}

impl Choices {
    /// Whether the event of this message is written.
    pub fn wants(&self, tx: &Tx) -> bool {
        let m = &tx.message;
        let way = if tx.response() { self.responses } else { self.requests };
        let of_type = self
            .types
            .as_ref()
            .is_none_or(|types| m.queries.iter().any(|q| types.contains(&q.rrtype)) || m.queries.is_empty());
        way && of_type
    }
}

/// The member of an event.
pub fn event(kind: Kind, tx: &Tx, choices: &Choices, w: &mut JsonWriter) {
    match kind {
        Kind::Dns if choices.version == 2 => two(tx, choices, w),
        Kind::Dns => three(tx, choices, w),
        Kind::Mdns => plain("mdns", tx, w),
        Kind::Llmnr => plain("llmnr", tx, w),
    }
}

/// The member of an alert.
pub fn metadata(kind: Kind, tx: &Tx, choices: &Choices, w: &mut JsonWriter) {
    event(kind, tx, choices, w);
}

fn three(tx: &Tx, choices: &Choices, w: &mut JsonWriter) {
    let m = &tx.message;
    w.key("dns").open().key("version").u64(3);
    w.key("type").string(if tx.response() { "response" } else { "request" });
    w.key("tx_id").u64(tx.core.id).key("id").u64(m.id.into());
    flags(m, w);
    rcode(m, w);
    if !m.queries.is_empty() {
        w.key("queries").open_array();
        for q in &m.queries {
            w.open();
            name(m, "rrname", q.name, w);
            w.key("rrtype");
            rrtype(q.rrtype, false, w);
            w.close();
        }
        w.close_array();
    }
    if tx.response() {
        if choices.detailed {
            records("answers", m, &m.answers, w);
        }
        if choices.grouped && !m.answers.is_empty() {
            grouped(m, w);
        }
    }
    records("authorities", m, &m.authorities, w);
    records("additionals", m, &m.additionals, w);
    w.close();
}

fn two(tx: &Tx, choices: &Choices, w: &mut JsonWriter) {
    let m = &tx.message;
    let first = m.queries.first();
    w.key("dns").open().key("version").u64(2);
    if tx.response() {
        w.key("type").string("answer").key("id").u64(m.id.into());
        flags(m, w);
        if let Some(q) = first {
            name(m, "rrname", q.name, w);
            w.key("rrtype");
            rrtype(q.rrtype, false, w);
        }
        rcode(m, w);
        if choices.detailed {
            records("answers", m, &m.answers, w);
        }
        if choices.grouped && !m.answers.is_empty() {
            grouped(m, w);
        }
        records("authorities", m, &m.authorities, w);
    } else {
        w.key("type").string("query").key("id").u64(m.id.into());
        if let Some(q) = first {
            name(m, "rrname", q.name, w);
            w.key("rrtype");
            rrtype(q.rrtype, false, w);
        }
        w.key("tx_id").u64(tx.core.id);
        if m.flags & 0x40 != 0 {
            w.key("z").bool(true);
        }
        w.key("opcode").u64(m.opcode().into());
    }
    w.close();
}

// Multicast DNS and LLMNR: names in lower case, each record's data under its type.
fn plain(member: &str, tx: &Tx, w: &mut JsonWriter) {
    let m = &tx.message;
    w.key(member).open();
    w.key("type").string(if tx.response() { "response" } else { "request" });
    w.key("id").u64(m.id.into());
    bits(m, w);
    w.key("opcode").u64(m.opcode().into());
    if m.rcode() != 0 {
        w.key("rcode");
        match names::rcode(m.rcode()) {
            Some(n) => w.string(&n.to_ascii_lowercase()),
            None => w.u64(m.rcode().into()),
        };
    }
    if !m.queries.is_empty() {
        w.key("queries").open_array();
        for q in &m.queries {
            w.open();
            name(m, "rrname", q.name, w);
            w.key("rrtype");
            rrtype(q.rrtype, true, w);
            w.close();
        }
        w.close_array();
    }
    for (key, list) in [("answers", &m.answers), ("authorities", &m.authorities), ("additionals", &m.additionals)] {
        if list.is_empty() {
            continue;
        }
        w.key(key).open_array();
        for a in list {
            w.open();
            name(m, "rrname", a.name, w);
            let kind = names::rrtype(a.rrtype).map(str::to_ascii_lowercase);
            w.key("rrtype");
            rrtype(a.rrtype, true, w);
            if let Some(kind) = kind {
                match &a.data {
                    Data::A(ip) => drop(w.key(&kind).ip((*ip).into())),
                    Data::Aaaa(ip) => drop(w.key(&kind).ip((*ip).into())),
                    Data::Name(n) => name(m, &kind, *n, w),
                    Data::Txt(texts) => {
                        w.key(&kind).open_array();
                        for t in texts {
                            w.bytes(m.bytes(*t));
                        }
                        w.close_array();
                    }
                    _ => data(m, &a.data, w),
                }
            }
            w.close();
        }
        w.close_array();
    }
    w.close();
}

fn bits(m: &Message, w: &mut JsonWriter) {
    for (bit, key) in [(0x8000, "qr"), (0x0400, "aa"), (0x0200, "tc"), (0x0100, "rd"), (0x0080, "ra"), (0x0040, "z")] {
        if m.flags & bit != 0 {
            w.key(key).bool(true);
        }
    }
}

fn flags(m: &Message, w: &mut JsonWriter) {
    w.key("flags").string(&format!("{:x}", m.flags));
    bits(m, w);
    w.key("opcode").u64(m.opcode().into());
}

fn rcode(m: &Message, w: &mut JsonWriter) {
    w.key("rcode");
    match names::rcode(m.rcode()) {
        Some(n) => w.string(n),
        None => w.string(&m.rcode().to_string()),
    };
}

fn rrtype(n: u16, lower: bool, w: &mut JsonWriter) {
    match names::rrtype(n) {
        Some(t) if lower => w.string(&t.to_ascii_lowercase()),
        Some(t) => w.string(t),
        None => w.string(&n.to_string()),
    };
}

fn name(m: &Message, key: &str, n: Name, w: &mut JsonWriter) {
    w.key(key).bytes(m.bytes(n.span));
    if n.truncated {
        w.key(&format!("{key}_truncated")).bool(true);
    }
}

fn records(key: &str, m: &Message, list: &[Answer], w: &mut JsonWriter) {
    if list.is_empty() {
        return;
    }
    w.key(key).open_array();
    for a in list {
        w.open();
        name(m, "rrname", a.name, w);
        w.key("rrtype");
        rrtype(a.rrtype, false, w);
        w.key("ttl").u64(a.ttl.into());
        data(m, &a.data, w);
        w.close();
    }
    w.close_array();
}

fn data(m: &Message, d: &Data, w: &mut JsonWriter) {
    match d {
        Data::A(ip) => drop(w.key("rdata").ip((*ip).into())),
        Data::Aaaa(ip) => drop(w.key("rdata").ip((*ip).into())),
        Data::Name(n) => name(m, "rdata", *n, w),
        Data::Txt(texts) => {
            let all: Vec<u8> = texts.iter().flat_map(|t| m.bytes(*t)).copied().collect();
            w.key("rdata").bytes(&all);
        }
        Data::Null(s) => drop(w.key("rdata").bytes(m.bytes(*s))),
        Data::Soa { .. } => {
            w.key("soa");
            soa(m, d, w);
        }
        Data::Srv { .. } => {
            w.key("srv");
            srv(m, d, w);
        }
        Data::Sshfp { .. } => {
            w.key("sshfp");
            sshfp(m, d, w);
        }
        Data::Opt(options) => {
            if !options.is_empty() {
                w.key("opt").open_array();
                for (code, s) in options {
                    w.open().key("code").u64((*code).into());
                    w.key("data").string(&hex(m.bytes(*s), "")).close();
                }
                w.close_array();
            }
        }
        Data::Other => {}
    }
}

fn soa(m: &Message, d: &Data, w: &mut JsonWriter) {
    let Data::Soa { mname, rname, serial, refresh, retry, expire, minimum } = d else { return };
    w.open();
    name(m, "mname", *mname, w);
    name(m, "rname", *rname, w);
    w.key("serial").u64((*serial).into()).key("refresh").u64((*refresh).into()).key("retry").u64((*retry).into());
    w.key("expire").u64((*expire).into()).key("minimum").u64((*minimum).into()).close();
}

fn srv(m: &Message, d: &Data, w: &mut JsonWriter) {
    let Data::Srv { priority, weight, port, target } = d else { return };
    w.open().key("priority").u64((*priority).into()).key("weight").u64((*weight).into());
    w.key("port").u64((*port).into());
    name(m, "name", *target, w);
    w.close();
}

fn sshfp(m: &Message, d: &Data, w: &mut JsonWriter) {
    let Data::Sshfp { algo, kind, fingerprint } = d else { return };
    w.open().key("fingerprint").string(&hex(m.bytes(*fingerprint), ":"));
    w.key("algo").u64((*algo).into()).key("type").u64((*kind).into()).close();
}

fn hex(bytes: &[u8], between: &str) -> String {
    let mut out = String::with_capacity(bytes.len() * 3);
    for (i, b) in bytes.iter().enumerate() {
        if i > 0 {
            out.push_str(between);
        }
        for n in [b >> 4, b & 15] {
            out.push(char::from_digit(n.into(), 16).unwrap_or('0')); // a nibble is below 16
        }
    }
    out
}

// Answers by type.
fn grouped(m: &Message, w: &mut JsonWriter) {
    const TYPES: [u16; 11] = [1, 28, 5, 15, 2, 12, 16, 10, 6, 33, 44];
    w.key("grouped").open();
    for t in TYPES {
        let mut some = false;
        for a in m.answers.iter().filter(|a| a.rrtype == t && a.data != Data::Other) {
            if !std::mem::replace(&mut some, true) {
                w.key(names::rrtype(t).unwrap_or_default()).open_array();
            }
            match &a.data {
                Data::A(ip) => drop(w.ip((*ip).into())),
                Data::Aaaa(ip) => drop(w.ip((*ip).into())),
                Data::Name(n) => drop(w.bytes(m.bytes(n.span))),
                Data::Txt(texts) => {
                    let all: Vec<u8> = texts.iter().flat_map(|t| m.bytes(*t)).copied().collect();
                    w.bytes(&all);
                }
                Data::Null(s) => drop(w.bytes(m.bytes(*s))),
                Data::Soa { .. } => soa(m, &a.data, w),
                Data::Srv { .. } => srv(m, &a.data, w),
                Data::Sshfp { .. } => sshfp(m, &a.data, w),
                Data::Opt(_) | Data::Other => {}
            }
        }
        if some {
            w.close_array();
        }
    }
    w.close();
}
