// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `http`, field for field in Suricata's order. What a message does not have is left out.

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::Direction;

use super::{Choices, Tx, body::content_range, message::URI_NOT_SEEN};

/// Writes `"http":{...}` into an open object. `dump`: with all header fields, where that is chosen.
pub(crate) fn write(tx: &Tx, choices: &Choices, dump: bool, w: &mut JsonWriter) {
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
    if let Some(r) = &tx.request {
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
    if let Some(r) = &tx.response {
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
    if h2.is_none() || tx.response.is_some() {
        // As it went over the line, the framing of chunks with it.
        let length = tx.response.as_ref().map_or(0, |r| r.message.wire_len + r.message.framing_len);
        w.key("length").u64(length);
    }
    if dump {
        for (on, name, d) in [
            (choices.dump_request, "request_headers", Direction::ToServer),
            (choices.dump_response, "response_headers", Direction::ToClient),
        ] {
            if let Some(m) = tx.message(d).filter(|_| on || h2.is_some()) {
                w.key(name).open_array();
                for (name, value) in m.fields() {
                    w.open().key("name").bytes(name).key("value").bytes(value).close();
                }
                w.close_array();
            }
        }
    }
    if let Some(part) = h2 {
        write2(part, w);
    }
    w.close();
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
