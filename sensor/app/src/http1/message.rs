// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A request or a response as a transaction keeps it: its head, its body's window, and what rules and EVE make of them,
//! made when first asked for and kept.
//!
//! Must never copy what stands on the wire as it is wanted.

use std::cell::OnceCell;

use super::parser::{self, Head, RequestLine, Span, StatusLine};
use crate::file::{Pieces, Window};

/// What requests and responses have in common.
#[derive(Debug, Default)]
pub struct Message {
    /// Start line and fields.
    pub head: Head,
    /// Bytes of the body on the wire, the transfer coding undone, content codings not.
    pub wire_len: u64,
    /// Bytes of the transfer coding around it: lines with chunks' sizes and what ends chunks.
    pub framing_len: u64,
    /// The body as rules see it: codings undone.
    pub body: Window,
    /// How its body is inspected.
    pub pieces: Pieces,
    /// Which of the transaction's files its body is.
    pub file: Option<usize>,
    derived: Derived,
}

#[derive(Debug, Default)]
struct Derived {
    lines: OnceCell<Lines>,
    header: OnceCell<Vec<u8>>,
    names: OnceCell<Vec<u8>>,
    start: OnceCell<Vec<u8>>,
    merged: OnceCell<Vec<(usize, Vec<u8>)>>,
}

#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Message {
    /// With this head.
    pub fn new(head: Head, pieces: Pieces) -> Self {
        Self { head, pieces, ..Self::default() }
    }

    /// The value of a field (name in lower case); of repeated ones all, joined by `, ` as libhtp does.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        if !self.head.odd.repeated {
            return self.head.value(name);
        }
        let first = self.head.find(name)?;
        let merged = self.merged();
        let at = self.head.fields.iter().position(|f| std::ptr::eq(f, first))?;
        match merged.binary_search_by_key(&at, |(i, _)| *i) {
            Ok(i) => merged.get(i).map(|(_, v)| v.as_slice()),
            Err(_) => Some(self.head.get(first.value)),
        }
    }

    // Values of repeated fields, by the place of the first.
    fn merged(&self) -> &[(usize, Vec<u8>)] {
        self.derived.merged.get_or_init(|| {
            let mut all: Vec<(usize, Vec<u8>)> = Vec::new();
            for f in self.head.fields.iter().filter(|f| f.repeated) {
                let name = self.head.get(f.name);
                let first = self.head.fields.iter().position(|o| parser::same_word(self.head.get(o.name), name));
                let Some(first) = first else { continue };
                let at = match all.binary_search_by_key(&first, |(i, _)| *i) {
                    Ok(at) => at,
                    Err(at) => {
                        let value = self.head.fields.get(first).map(|f| self.head.get(f.value).to_vec());
                        all.insert(at, (first, value.unwrap_or_default()));
                        at
                    }
                };
                if let Some((_, value)) = all.get_mut(at) {
                    value.extend_from_slice(b", ");
                    value.extend_from_slice(self.head.get(f.value));
                }
            }
            all
        })
    }

    fn lines(&self) -> &Lines {
        self.derived.lines.get_or_init(|| {
            let mut l = Lines::default();
            for (i, f) in self.head.fields.iter().enumerate().filter(|(_, f)| !f.repeated) {
                let from = l.bytes.len();
                let merged = self.merged_at(i);
                l.bytes.extend_from_slice(self.head.get(f.name));
                l.bytes.extend_from_slice(b": ");
                l.bytes.extend_from_slice(merged.unwrap_or_else(|| self.head.get(f.value)));
                l.spans.push(Span { from: from as u32, to: l.bytes.len() as u32 }); // no longer than the head
                l.bytes.extend_from_slice(b"\r\n");
            }
            l
        })
    }
    fn merged_at(&self, i: usize) -> Option<&[u8]> {
        if !self.head.odd.repeated {
            return None;
        }
        let merged = self.merged();
        let at = merged.binary_search_by_key(&i, |(i, _)| *i).ok()?;
        merged.get(at).map(|(_, v)| v.as_slice())
    }

    // The fields as `Name: value` CRLF, all of them.
    fn all_lines(&self) -> &[u8] {
        if self.head.plain {
            let raw = self.head.raw_fields();
            return raw.strip_suffix(b"\r\n").filter(|r| r.is_empty() || r.ends_with(b"\r\n")).unwrap_or(raw);
        }
        &self.lines().bytes
    }

    /// `http.header`: all fields but the cookies. None where there is no field.
    pub fn header(&self, cookie: &[u8]) -> Option<&[u8]> {
        if self.head.fields.is_empty() {
            return None;
        }
        if self.head.find(cookie).is_none() {
            return Some(self.all_lines());
        }
        Some(self.derived.header.get_or_init(|| {
            let mut out = Vec::new();
            for (i, f) in self.head.fields.iter().enumerate() {
                if f.repeated || parser::same_word(self.head.get(f.name), cookie) {
                    continue;
                }
                out.extend_from_slice(self.head.get(f.name));
                out.extend_from_slice(b": ");
                out.extend_from_slice(self.merged_at(i).unwrap_or_else(|| self.head.get(f.value)));
                out.extend_from_slice(b"\r\n");
            }
            out
        }))
    }

    /// `http.request_header`, `http.response_header`: the `index`-th field as `Name: value`.
    pub fn line(&self, index: usize) -> Option<&[u8]> {
        if self.head.plain {
            let f = self.head.fields.get(index)?;
            return Some(self.head.get(Span { from: f.name.from, to: f.value.to }));
        }
        let lines = self.lines();
        let s = lines.spans.get(index)?;
        lines.bytes.get(s.from as usize..s.to as usize)
    }

    /// `http.header_names`: the names, in CRLF.
    pub fn names(&self) -> Option<&[u8]> {
        if self.head.fields.is_empty() {
            return None;
        }
        Some(self.derived.names.get_or_init(|| {
            let mut out = b"\r\n".to_vec();
            for f in self.head.fields.iter().filter(|f| !f.repeated) {
                out.extend_from_slice(self.head.get(f.name));
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"\r\n");
            out
        }))
    }

    /// `http.start`: start line and fields, with the empty line.
    pub fn start(&self) -> &[u8] {
        self.derived.start.get_or_init(|| {
            let mut out = self.head.line().to_vec();
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(self.all_lines());
            out.extend_from_slice(b"\r\n");
            out
        })
    }

    /// Names and values as EVE dumps them: every field as it came.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.head.fields.iter().map(|f| (self.head.get(f.name), self.head.get(f.value)))
    }
}

/// A request.
#[derive(Debug, Default)]
pub struct Request {
    /// Head and body.
    pub message: Message,
    /// Its line in parts.
    pub line: RequestLine,
    // The normalised URI where it differs from what stands in the line.
    uri: Option<Vec<u8>>,
    path: (usize, usize),
    host: Vec<u8>,
    /// Port of the host, where one is stated.
    pub port: Option<u16>,
}

/// What libhtp calls the URI of a request that was not seen; EVE writes it.
pub const URI_NOT_SEEN: &[u8] = b"/libhtp::request_uri_not_seen";

impl Request {
    pub(super) fn new(message: Message, line: RequestLine, normal: &super::uri::Normal<'_>) -> Self {
        let uri = match &normal.uri {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(v) => Some(v.clone()),
        };
        Self { message, line, uri, path: (normal.path_from, normal.path_to), host: Vec::new(), port: None }
    }
    pub(super) fn set_host(&mut self, a: &parser::Authority<'_>) {
        self.host = a.host.to_ascii_lowercase();
        self.port = a.port;
    }
    /// `http.method`.
    pub fn method(&self) -> &[u8] {
        self.message.head.get(self.line.method)
    }
    /// `http.uri.raw`.
    pub fn uri_raw(&self) -> &[u8] {
        self.message.head.get(self.line.uri)
    }
    /// `http.uri`.
    pub fn uri(&self) -> &[u8] {
        self.uri.as_deref().unwrap_or_else(|| self.uri_raw())
    }
    /// The path alone, normalised.
    pub fn path(&self) -> &[u8] {
        self.uri().get(self.path.0..self.path.1).unwrap_or_default()
    }
    /// `http.protocol`.
    pub fn protocol(&self) -> &[u8] {
        self.message.head.get(self.line.protocol)
    }
    /// `http.host`: in lower case, without port.
    pub fn host(&self) -> &[u8] {
        &self.host
    }
}

/// A response.
#[derive(Debug, Default)]
pub struct Response {
    /// Head and body.
    pub message: Message,
    /// Its line in parts.
    pub line: StatusLine,
    /// The status, where it is one.
    pub status: Option<u16>,
}

impl Response {
    /// `http.protocol`.
    pub fn protocol(&self) -> &[u8] {
        self.message.head.get(self.line.protocol)
    }
    /// `http.stat_code`.
    pub fn status_text(&self) -> &[u8] {
        self.message.head.get(self.line.status)
    }
    /// `http.stat_msg`.
    pub fn status_message(&self) -> &[u8] {
        self.message.head.get(self.line.message)
    }
}
