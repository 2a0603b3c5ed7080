// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `http`, field for field in Suricata's order. What a message does not have is left out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{Direction, printable};

use super::{Tx, body::content_range, detect, message::URI_NOT_SEEN};
use crate::buffer::Buffer;

/// Most bytes of a body that an alert shows. Threat: many alerts on one transaction, each with a whole body.
const MAX_BODY: usize = 32 * 1024;

/// Header fields that stand by themselves, and are not among those that [`Written::custom`] asks for.
const OWN: [&str; 3] = ["host", "user-agent", "x-forwarded-for"];

/// What is written: `outputs.eve-log.types.http`, and `http-body` of `types.alert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `extended`: who linked here, method, protocol, status, redirection and length. Alerts have them always.
    pub extended: bool,
    /// `custom`: further header fields, by name.
    pub custom: Vec<String>,
    /// `dump-all-headers`: of requests, of responses.
    pub dump: [bool; 2],
    /// `http-body`: bodies in alerts, in base64.
    pub body: bool,
    /// `http-body-printable`.
    pub body_printable: bool,
}

impl Default for Written {
    fn default() -> Self {
        Self { extended: true, custom: Vec::new(), dump: [false; 2], body: false, body_printable: false }
    }
}

/// What an `http` object is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// An event of its own.
    Event,
    /// An alert.
    Alert,
}

/// Writes `"http":{...}` into an open object.
pub(crate) fn write(tx: &Tx, written: &Written, of: Of, w: &mut JsonWriter) {
    let extended = written.extended || of == Of::Alert;
    w.key("http").open();
    let h2 = tx.h2.as_deref();
    if h2.is_some() {
        w.key("version").string("2");
    }
    if let Some(r) = &tx.request {
        if !r.host().is_empty() {
            w.key("hostname").bytes(r.host());
        }
        if let Some(port) = r.port {
            w.key("http_port").u64(port.into());
        }
        if !r.uri_raw().is_empty() {
            w.key("url").bytes(r.uri_raw());
        }
        if let Some(agent) = r.message.value(b"user-agent") {
            w.key("http_user_agent").bytes(agent);
        }
        if let Some(xff) = r.message.value(b"x-forwarded-for") {
            w.key("xff").bytes(xff);
        }
    } else if h2.is_none() {
        w.key("url").bytes(URI_NOT_SEEN);
    }
    if let Some(r) = &tx.response {
        if let Some(kind) = r.message.value(b"content-type") {
            let kind = kind.split(|b| *b == b';').next().unwrap_or_default();
            w.key("http_content_type").bytes(kind);
        }
        if let Some(range) = r.message.value(b"content-range") {
            w.key("content_range").open().key("raw").bytes(range);
            if let Some((start, end, size)) = content_range(range) {
                w.key("start").u64(start).key("end").u64(end);
                if let Some(size) = size {
                    w.key("size").u64(size);
                }
            }
            w.close();
        }
    }
    if let Some(r) = tx.request.as_ref().filter(|_| extended) {
        if let Some(referer) = r.message.value(b"referer") {
            w.key("http_refer").bytes(referer);
        }
        if !r.method().is_empty() {
            w.key("http_method").bytes(r.method());
        }
        if !r.protocol().is_empty() && h2.is_none() {
            w.key("protocol").bytes(r.protocol());
        }
    }
    if let Some(r) = tx.response.as_ref().filter(|_| extended) {
        if let Some(status) = r.status {
            w.key("status").u64(status.into());
        } else if !r.status_text().is_empty() {
            w.key("status_string").bytes(r.status_text());
        }
        if r.status.is_some_and(|s| (300..400).contains(&s))
            && let Some(to) = r.message.value(b"location")
        {
            w.key("redirect").bytes(to);
        }
    }
    if extended && (h2.is_none() || tx.response.is_some()) {
        // As it went over the line, the framing of chunks with it.
        let length = tx.response.as_ref().map_or(0, |r| r.message.wire_len + r.message.framing_len);
        w.key("length").u64(length);
    }
    if of == Of::Event || h2.is_some() {
        for (all, name, d) in [
            (written.dump[0], "request_headers", Direction::ToServer), // of two
            (written.dump[1], "response_headers", Direction::ToClient),
        ] {
            let all = all || h2.is_some();
            let Some(m) = tx.message(d).filter(|_| all || !written.custom.is_empty()) else { continue };
            let is = |name: &[u8], of: &str| name.eq_ignore_ascii_case(of.as_bytes());
            let asked =
                |name: &[u8]| written.custom.iter().any(|c| is(name, c)) && !OWN.iter().any(|own| is(name, own));
            w.key(name).open_array();
            for (name, value) in m.fields().filter(|(name, _)| all || asked(name)) {
                w.open().key("name").bytes(name).key("value").bytes(value).close();
            }
            w.close_array();
        }
    }
    if of == Of::Alert && h2.is_none() {
        bodies(tx, written, w);
    }
    if let Some(part) = h2 {
        write2(part, w);
    }
    w.close();
}

// What is shown to rules of both bodies.
fn bodies(tx: &Tx, written: &Written, w: &mut JsonWriter) {
    let shown = |b, d| detect::buffer(tx, b, d, 0).filter(|v| !v.is_empty()).map(|v| v.get(..MAX_BODY).unwrap_or(v));
    let request = shown(Buffer::HttpRequestBody, Direction::ToServer);
    let response = shown(Buffer::HttpResponseBody, Direction::ToClient);
    if written.body_printable {
        for (key, body) in [("http_request_body_printable", request), ("http_response_body_printable", response)] {
            if let Some(body) = body {
                w.key(key).string(&printable(body));
            }
        }
    }
    if written.body {
        for (key, body) in [("http_request_body", request), ("http_response_body", response)] {
            if let Some(body) = body {
                w.key(key).string(&STANDARD.encode(body));
            }
        }
    }
}

// The `http2` object: stream, and what other frames than HEADERS and DATA said.
fn write2(part: &crate::http2::Part, w: &mut JsonWriter) {
    use crate::http2::parser::{error_name, setting_name};
    w.key("http2").open().key("stream_id").u64(part.stream.into());
    for (name, i) in [("request", 0), ("response", 1)] {
        w.key(name).open();
        // Arrays of two, by direction.
        if !part.settings[i].is_empty() {
            w.key("settings").open_array();
            for (id, value) in &part.settings[i] {
                w.open().key("settings_id");
                match setting_name(*id) {
                    Some(n) => w.string(n),
                    None => w.string(&format!("SETTINGSUNKNOWN({id})")),
                };
                w.key("settings_value").u64((*value).into()).close();
            }
            w.close_array();
        }
        if let Some(code) = part.error[i] {
            w.key("error_code");
            match error_name(code) {
                Some(n) => w.string(n),
                None => w.u64(code.into()),
            };
        }
        if let Some(p) = part.priority[i] {
            w.key("priority").u64(p.into());
        }
        w.close();
    }
    w.close();
}
