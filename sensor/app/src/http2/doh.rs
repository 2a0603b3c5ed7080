// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DNS over HTTP/2 (RFC 8484): which streams carry it, and the messages that they carry.
//!
//! A message is a body of its content type, or a request's `dns` parameter. Must never hold more than [`MAX_MESSAGE`] bytes
//! of one; a longer one is an event and is not read.

use base64::Engine as _;
use lagewarte_flow::Direction;

use super::events::Event;
use crate::{
    dns::{self, parser},
    http1::Tx,
    protocol::{Cx, Transaction as _},
};

/// Longest DNS message. Threat: a body without end that says it is one.
pub const MAX_MESSAGE: usize = u16::MAX as usize;

const TYPE: &[u8] = b"application/dns-message";

/// What a stream has of DNS.
#[derive(Debug, Default)]
pub struct Doh {
    // Bodies on their way, by direction; None where the direction carries none (any more).
    bodies: [Option<Vec<u8>>; 2],
    /// Messages, by [`Direction::index`].
    pub messages: [Option<Box<dns::Tx>>; 2],
}

/// A message's head has come: whether its body is DNS, and what a request asks for in its path. True: the stream speaks it.
pub(super) fn begin(tx: &mut Tx, d: Direction, cx: &mut Cx<'_>) -> bool {
    let Some(m) = tx.message(d) else { return false };
    let body = m.value(b"content-type").is_some_and(is_dns);
    let asked = match &tx.request {
        Some(r) if d == Direction::ToServer => dns_parameter(r.uri_raw()),
        _ => None,
    };
    if !body && asked.is_none() {
        return false;
    }
    let Some(part) = tx.h2.as_deref_mut() else { return false };
    let doh = part.doh.get_or_insert_default();
    if body {
        doh.bodies[d.index()] = Some(Vec::new()); // an index of two
    }
    match asked {
        Some(Ok(bytes)) => message(tx, d, &bytes, cx),
        Some(Err(e)) => tx.core_mut().raise(e as u8),
        None => {}
    }
    true
}

/// Bytes of a body.
pub(super) fn push(tx: &mut Tx, d: Direction, bytes: &[u8], cx: &mut Cx<'_>) {
    let Some(doh) = tx.h2.as_deref_mut().and_then(|p| p.doh.as_deref_mut()) else { return };
    let Some(mut body) = doh.bodies[d.index()].take() else { return };
    if body.len() + bytes.len() > MAX_MESSAGE {
        return tx.core_mut().raise(too_long(d) as u8);
    }
    if cx.charge(&mut tx.core_mut().charged, bytes.len()) {
        body.extend_from_slice(bytes);
        if let Some(doh) = tx.h2.as_deref_mut().and_then(|p| p.doh.as_deref_mut()) {
            doh.bodies[d.index()] = Some(body);
        }
    }
}

/// Bytes of a body are missing: it cannot be read.
pub(super) fn gap(tx: &mut Tx, d: Direction) {
    if let Some(doh) = tx.h2.as_deref_mut().and_then(|p| p.doh.as_deref_mut()) {
        doh.bodies[d.index()] = None;
    }
}

/// A body has ended.
pub(super) fn end(tx: &mut Tx, d: Direction, cx: &mut Cx<'_>) {
    let doh = tx.h2.as_deref_mut().and_then(|p| p.doh.as_deref_mut());
    if let Some(body) = doh.and_then(|doh| doh.bodies[d.index()].take()) {
        message(tx, d, &body, cx);
    }
}

fn message(tx: &mut Tx, d: Direction, bytes: &[u8], cx: &mut Cx<'_>) {
    let Some(message) = parser::message(bytes) else { return };
    if !cx.charge(&mut tx.core_mut().charged, size_of::<dns::Tx>() + message.held()) {
        return;
    }
    let id = tx.core().id;
    if let Some(doh) = tx.h2.as_deref_mut().and_then(|p| p.doh.as_deref_mut()) {
        doh.messages[d.index()] = Some(Box::new(dns::Tx::carried(id, message, d)));
    }
    tx.core_mut().touch(d);
}

const fn too_long(d: Direction) -> Event {
    match d {
        Direction::ToServer => Event::DnsRequestTooLong,
        Direction::ToClient => Event::DnsResponseTooLong,
    }
}

fn is_dns(value: &[u8]) -> bool {
    value.split(|b| *b == b';').next().is_some_and(|v| v.trim_ascii().eq_ignore_ascii_case(TYPE))
}

// The message in the path of a GET (RFC 8484, 4.1): base64url without padding.
fn dns_parameter(path: &[u8]) -> Option<Result<Vec<u8>, Event>> {
    let query = path.splitn(2, |b| *b == b'?').nth(1)?;
    let value = query.split(|b| *b == b'&').find_map(|p| p.strip_prefix(b"dns="))?;
    if value.len() / 4 * 3 > MAX_MESSAGE {
        return Some(Err(Event::DnsRequestTooLong));
    }
    let text = value.strip_suffix(b"==").or_else(|| value.strip_suffix(b"=")).unwrap_or(value);
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?;
    // Any path may have such a parameter: it is DNS where it is a message.
    parser::message(&bytes).filter(|m| !m.queries.is_empty()).is_some().then_some(Ok(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_get_holds_a_message() {
        // RFC 8484, 4.1.1: www.example.com A.
        let path = b"/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB";
        let bytes = dns_parameter(path).unwrap().unwrap();
        let m = parser::message(&bytes).unwrap();
        assert_eq!(m.bytes(m.queries[0].name.span), b"www.example.com");
        assert!(dns_parameter(b"/x?dns=yes").is_none());
        assert!(dns_parameter(b"/x").is_none());
        let long = [&b"/dns-query?dns="[..], &[b'A'; 90_000]].concat();
        assert!(matches!(dns_parameter(&long), Some(Err(Event::DnsRequestTooLong))));
        assert!(is_dns(b"Application/DNS-message; x=y") && !is_dns(b"text/plain"));
    }
}
