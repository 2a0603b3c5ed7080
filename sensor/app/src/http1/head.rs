// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a head says of its message: how the body is framed, which host is asked for, what is odd.
//!
//! Must never move a direction on: that is for the machine that read the head.

use lagewarte_flow::Direction;

use super::{
    Event, Tx,
    message::{Message, Request, Response},
    parser, uri,
};
use crate::tx::TxCore;

/// How a body's length is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Chunked,
    Length(u64),
    None,
}

/// How the length of this message's body is known, and what is odd about it.
pub(super) fn framing(m: &Message, tx: &mut Tx, d: Direction) -> Framing {
    let to_server = d == Direction::ToServer;
    let lengths = m.head.all(b"content-length").count();
    let length = m.head.find(b"content-length").map(|f| parser::content_length(m.head.get(f.value)));
    if lengths > 1 {
        tx.raise(if to_server {
            Event::DuplicateContentLengthInRequest
        } else {
            Event::DuplicateContentLengthInResponse
        });
    }
    if let Some(coding) = m.value(b"transfer-encoding") {
        if parser::has_word(coding, b"chunked") {
            if !coding.eq_ignore_ascii_case(b"chunked") {
                tx.raise(if to_server {
                    Event::InvalidTransferEncodingInRequest
                } else {
                    Event::ResponseAbnormalTransferEncoding
                });
            }
            if !to_server && parser::version(m.head.line().get(..8).unwrap_or_default()).is_some_and(|v| v < 11) {
                tx.raise(Event::ResponseChunkedOldProto);
            }
            return Framing::Chunked;
        }
        tx.raise(if to_server {
            Event::InvalidTransferEncodingInRequest
        } else {
            Event::InvalidTransferEncodingInResponse
        });
    }
    match length {
        None => Framing::None,
        Some((n, odd)) => {
            if odd || n.is_none() {
                tx.raise(if to_server {
                    Event::InvalidContentLengthInRequest
                } else {
                    Event::InvalidContentLengthInResponse
                });
            }
            n.map_or(Framing::None, Framing::Length)
        }
    }
}

/// What is odd about a request's head.
pub(super) fn request_events(core: &mut TxCore, r: &Request) {
    let (m, odd) = (&r.message, &r.message.head.odd);
    let authorization = m.value(b"authorization");
    let known = |v: &[u8]| {
        let scheme = v.split(|b| *b == b' ').next().unwrap_or_default();
        [&b"basic"[..], b"digest", b"bearer"].iter().any(|s| scheme.eq_ignore_ascii_case(s))
    };
    for (is, e) in [
        (odd.missing_colon, Event::RequestFieldMissingColon),
        (odd.invalid_name, Event::RequestHeaderInvalid),
        (odd.bad_folding, Event::InvalidRequestFieldFolding),
        (odd.long, Event::RequestFieldTooLong),
        (odd.many, Event::RequestTooManyHeaders),
        (odd.repeated, Event::RequestHeaderRepetition),
        (r.line.leading, Event::RequestLineLeadingWhitespace),
        (r.line.odd_method_end, Event::MethodDelimNonCompliant),
        (r.line.odd_uri_end, Event::UriDelimNonCompliant),
        (r.line.uri.is_empty(), Event::RequestLineInvalid),
        (authorization.is_some_and(|v| !known(v)), Event::AuthUnrecognized),
    ] {
        if is {
            core.raise(e as u8);
        }
    }
}

/// What is odd about a response's head.
pub(super) fn response_events(core: &mut TxCore, r: &Response) {
    let odd = &r.message.head.odd;
    let byteranges = r.message.value(b"content-type").is_some_and(|v| parser::has_word(v, b"multipart/byteranges"));
    for (is, e) in [
        (odd.missing_colon, Event::ResponseFieldMissingColon),
        (odd.invalid_name, Event::ResponseHeaderInvalid),
        (odd.bad_folding, Event::InvalidResponseFieldFolding),
        (odd.long, Event::ResponseFieldTooLong),
        (odd.many, Event::ResponseTooManyHeaders),
        (odd.repeated, Event::ResponseHeaderRepetition),
        (parser::version(r.protocol()).is_none(), Event::ResponseInvalidProtocol),
        (r.status.is_none(), Event::ResponseInvalidStatus),
        (byteranges, Event::ResponseMultipartByteranges),
    ] {
        if is {
            core.raise(e as u8);
        }
    }
}

/// The host that was asked for: the URI's, else the field's; and what is odd about the two.
pub(super) fn choose_host(tx: &mut Tx, r: &mut Request, uri: &[u8], connect: bool, port: u16) {
    let of_uri = uri::parts(uri, connect).authority.map(|a| parser::authority(a));
    let field = r.message.head.value(b"host").map(<[u8]>::to_vec);
    let of_field = field.as_deref().map(parser::authority);
    let repeated = r.message.head.all(b"host").nth(1).is_some();
    let new_protocol = parser::version(r.protocol()).is_some_and(|v| v >= 11);
    for (is, e) in [
        (of_uri.is_some_and(|a| a.invalid), Event::UriHostInvalid),
        (of_uri.is_some_and(|a| a.invalid_port), Event::InvalidAuthorityPort),
        (of_field.is_some_and(|a| a.invalid), Event::HeaderHostInvalid),
        (of_field.is_some_and(|a| a.invalid_port), Event::InvalidServerPort),
        (of_field.is_none() && new_protocol, Event::MissingHostHeader),
    ] {
        if is {
            tx.raise(e);
        }
    }
    let differ = of_uri.zip(of_field).is_some_and(|(u, f)| !u.rootless().eq_ignore_ascii_case(f.rootless()));
    if repeated || differ {
        tx.raise(Event::HostHeaderAmbiguous);
    }
    let chosen = of_uri.or(of_field);
    if let Some(a) = chosen {
        if a.port.is_some_and(|p| p != port) && !connect {
            tx.raise(Event::RequestServerPortMismatch);
        }
        r.set_host(&a);
    }
}
