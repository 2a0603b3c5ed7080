// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which bytes of an HTTP/1 transaction rules look into.

use lagewarte_flow::Direction;

use super::{HEAD, Tx};
use crate::{
    buffer::{Buffer, Field},
    tx::DONE,
};

/// From which progress on a buffer is complete.
pub(crate) const fn buffer_at(b: Buffer) -> u8 {
    match b {
        Buffer::HttpRequestBody
        | Buffer::HttpResponseBody
        | Buffer::FileData
        | Buffer::FileName
        | Buffer::FileMagic => DONE,
        _ => HEAD,
    }
}

/// An instance of a buffer.
pub(crate) fn buffer(tx: &Tx, b: Buffer, d: Direction, index: usize) -> Option<&[u8]> {
    match b {
        Buffer::FileData => return file_data(tx, d, index),
        Buffer::FileName => return tx.files.towards(d).nth(index).map(|f| f.name.as_slice()),
        Buffer::FileMagic => return tx.files.magic(d, index),
        _ => {}
    }
    let m = tx.message(d)?;
    match b {
        Buffer::HttpRequestHeader | Buffer::HttpResponseHeader => return m.line(index),
        _ if index > 0 => return None,
        _ => {}
    }
    let server = d == Direction::ToServer;
    let value = |name: &str| m.value(name.as_bytes());
    let filled = |v: &'_ [u8]| !v.is_empty();
    match (b, d) {
        (Buffer::HttpHeader, _) => m.header(if server { b"cookie" } else { b"set-cookie" }),
        (Buffer::HttpHeaderRaw, _) => Some(m.head.raw_fields()).filter(|v| filled(v)),
        (Buffer::HttpHeaderNames, _) => m.names(),
        (Buffer::HttpStart, _) => Some(m.start()),
        (Buffer::HttpCookie, Direction::ToServer) => value("cookie"),
        (Buffer::HttpCookie, Direction::ToClient) => value("set-cookie"),
        (Buffer::HttpConnection, _) => value("connection"),
        (Buffer::HttpContentType, _) => value("content-type"),
        (Buffer::HttpContentLen, _) => value("content-length"),
        (Buffer::HttpProtocol, Direction::ToServer) => Some(tx.request.as_ref()?.protocol()).filter(|v| filled(v)),
        (Buffer::HttpProtocol, Direction::ToClient) => Some(tx.response.as_ref()?.protocol()).filter(|v| filled(v)),
        (Buffer::HttpUserAgent, Direction::ToServer) => value("user-agent"),
        (Buffer::HttpReferer, Direction::ToServer) => value("referer"),
        (Buffer::HttpAccept, Direction::ToServer) => value("accept"),
        (Buffer::HttpAcceptEnc, Direction::ToServer) => value("accept-encoding"),
        (Buffer::HttpAcceptLang, Direction::ToServer) => value("accept-language"),
        (Buffer::HttpHostRaw, Direction::ToServer) => value(":authority").filter(|_| tx.h2.is_some()).or(value("host")),
        (Buffer::HttpLocation, Direction::ToClient) => value("location"),
        (Buffer::HttpServer, Direction::ToClient) => value("server"),
        (Buffer::HttpUri, Direction::ToServer) => Some(tx.request.as_ref()?.uri()).filter(|v| filled(v)),
        (Buffer::HttpUriRaw, Direction::ToServer) => Some(tx.request.as_ref()?.uri_raw()).filter(|v| filled(v)),
        (Buffer::HttpMethod, Direction::ToServer) => Some(tx.request.as_ref()?.method()).filter(|v| filled(v)),
        (Buffer::HttpHost, Direction::ToServer) => Some(tx.request.as_ref()?.host()).filter(|v| filled(v)),
        (Buffer::HttpRequestLine, Direction::ToServer) | (Buffer::HttpResponseLine, Direction::ToClient) => {
            // Of HTTP/2, where Suricata makes the line, it ends as one on the wire would.
            Some(if tx.h2.is_some() { m.head.wire() } else { m.head.line() }).filter(|v| filled(v))
        }
        (Buffer::HttpStatCode, Direction::ToClient) => Some(tx.response.as_ref()?.status_text()).filter(|v| filled(v)),
        // HTTP/2 has none: the buffer is there and empty, as Suricata has it.
        (Buffer::HttpStatMsg, Direction::ToClient) if tx.h2.is_some() => Some(b""),
        (Buffer::HttpStatMsg, Direction::ToClient) => {
            Some(tx.response.as_ref()?.status_message()).filter(|v| filled(v))
        }
        (Buffer::HttpRequestBody, Direction::ToServer) | (Buffer::HttpResponseBody, Direction::ToClient) => {
            m.body.shown().filter(|v| filled(v))
        }
        _ => None,
    }
}

// The body, where it is the file; else the parts of a form.
fn file_data(tx: &Tx, d: Direction, index: usize) -> Option<&[u8]> {
    let m = tx.message(d)?;
    let parts = || tx.files.towards(d).filter(|f| f.has_window());
    let mut index = index;
    if d == Direction::ToClient || parts().next().is_none() {
        if d == Direction::ToServer && m.file.is_none() {
            return None;
        }
        if let Some(body) = m.body.shown().filter(|v| !v.is_empty()) {
            if index == 0 {
                return Some(body);
            }
            index -= 1;
        }
    }
    parts().filter_map(|f| f.window.shown()).nth(index)
}

/// An instance of a number.
pub(crate) fn number(tx: &Tx, f: Field, d: Direction, index: usize) -> Option<u64> {
    match f {
        _ if index > 0 || d == Direction::ToClient => None,
        Field::Urilen => Some(tx.request.as_ref()?.uri().len() as u64),
        Field::UrilenRaw => Some(tx.request.as_ref()?.uri_raw().len() as u64),
        _ => None,
    }
}
