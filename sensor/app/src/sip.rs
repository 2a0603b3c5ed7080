// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! SIP (RFC 3261) over UDP and TCP: start line and header fields of each message, and what a session is to carry
//! ([`crate::sdp`]); another body is passed over, and seen as a frame only. Requests are those of the client, responses those
//! of the server.
//!
//! Must never keep a message's head beyond [`MAX_HEAD`] or [`MAX_FIELDS`] fields, nor wait for a body beyond [`MAX_BODY`].

use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    frames::Kind as Frame,
    protocol::{Cx, Input, Skip, Step},
    sdp::{self, Sdp},
    single::{Kind, Read, Single},
    tx::Events,
};

/// Longest head. Threat: fields without end.
pub const MAX_HEAD: usize = 64 * 1024;
/// Longest body that a message over TCP is waited for with, and that is looked at. Threat: a length announced and never sent,
/// for which the message itself would not be seen.
pub const MAX_BODY: u64 = 128 * 1024;
/// Most fields of a message.
pub const MAX_FIELDS: usize = 256;

/// A flow's state.
pub type Sip = Single<Messages>;

/// What a flow remembers: how much of a body is still to come.
#[derive(Debug, Default)]
pub struct Messages {
    body: Skip,
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    head: Vec<u8>,
    line: Span,
    // Method, URI and version, or version, code and reason.
    parts: [Span; 3],
    response: bool,
    fields: Vec<(Name, Span)>,
    body: u64,
    sdp: Option<Sdp>,
}

type Span = (u32, u32);

/// Fields that rules can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    From,
    To,
    Via,
    UserAgent,
    ContentType,
    ContentLength,
}

// RFC 3261, 7.3.3: names and their short forms.
const NAMES: &[(&[u8], Name)] = &[
    (b"from", Name::From),
    (b"f", Name::From),
    (b"to", Name::To),
    (b"t", Name::To),
    (b"via", Name::Via),
    (b"v", Name::Via),
    (b"user-agent", Name::UserAgent),
    (b"content-type", Name::ContentType),
    (b"c", Name::ContentType),
    (b"content-length", Name::ContentLength),
    (b"l", Name::ContentLength),
];

impl Message {
    fn get(&self, s: Span) -> &[u8] {
        self.head.get(s.0 as usize..s.1 as usize).unwrap_or_default()
    }
    fn all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.fields.iter().filter(move |(n, _)| *n == name).map(|(_, s)| self.get(*s))
    }
    // RFC 3264, 5: the body's type; parameters may follow.
    fn of_session(&self) -> bool {
        let of_type = |v: &[u8]| v.split(|b| *b == b';').next().map(|t| t.trim_ascii().to_ascii_lowercase());
        self.all(Name::ContentType).next().and_then(of_type).is_some_and(|t| t == b"application/sdp")
    }
}

/// Reads the head of a message, its empty line included. None where it is no head.
pub fn message(head: &[u8]) -> Option<Message> {
    let mut m = Message { head: head.to_vec(), ..Message::default() };
    let mut at = 0usize;
    let mut lines = head.split_inclusive(|b| *b == b'\n').map(|raw| {
        let line = raw.strip_suffix(b"\n").unwrap_or(raw);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let from = at;
        at += raw.len();
        (from, line)
    });
    let (from, line) = lines.next()?;
    let span = |from: usize, len: usize| (from as u32, (from + len) as u32); // a head has fewer than 2^32 bytes
    m.line = span(from, line.len());
    let first = line.iter().position(|b| *b == b' ')?;
    let rest = line.get(first + 1..)?;
    m.response = line.starts_with(b"SIP/");
    // A response's reason may hold spaces; a request's URI may not.
    let second = match m.response {
        true => rest.iter().position(|b| *b == b' ').unwrap_or(rest.len()),
        false => rest.iter().rposition(|b| *b == b' ')?,
    };
    let third = rest.get(second + 1..).unwrap_or_default();
    m.parts = [span(from, first), span(from + first + 1, second), span(from + line.len() - third.len(), third.len())];
    let version = m.get(m.parts[if m.response { 0 } else { 2 }]);
    if !version.starts_with(b"SIP/") || m.get(m.parts[0]).is_empty() {
        return None;
    }
    for (from, line) in lines {
        if line.is_empty() || m.fields.len() >= MAX_FIELDS {
            break;
        }
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        let (name, value) = line.split_at(colon); // a place in it
        let name = name.trim_ascii_end();
        let Some((_, name)) = NAMES.iter().find(|(n, _)| name.eq_ignore_ascii_case(n)) else { continue };
        let value = value.get(1..).unwrap_or_default();
        let text = value.trim_ascii_start();
        let start = from + colon + 1 + value.len() - text.len();
        m.fields.push((*name, span(start, text.trim_ascii_end().len())));
    }
    let length = m.all(Name::ContentLength).next().and_then(|v| std::str::from_utf8(v).ok()?.parse().ok());
    m.body = length.unwrap_or(0);
    Some(m)
}

// Where the head ends, its empty line included.
fn end_of_head(data: &[u8]) -> Option<usize> {
    let crlf = memchr::memmem::find(data, b"\r\n\r\n").map(|at| at + 4);
    let lf = memchr::memmem::find(data, b"\n\n").map(|at| at + 2);
    crlf.into_iter().chain(lf).min()
}

// Marks the frames of the message at the beginning of `data`; where its head ends, and how long its body is.
fn mark(m: &Message, data: &[u8], (end, body): (usize, u64), cx: &mut Cx<'_>) {
    let [line, headers, text] = match m.response {
        false => [Frame::SipRequestLine, Frame::SipRequestHeaders, Frame::SipRequestBody],
        true => [Frame::SipResponseLine, Frame::SipResponseHeaders, Frame::SipResponseBody],
    };
    let head = data.get(..end).unwrap_or_default();
    let first = memchr::memchr(b'\n', head).map_or(head.len(), |at| at + 1);
    // The empty line belongs to neither.
    let fields = head.get(first..).unwrap_or_default();
    let empty = [&b"\r\n\r\n"[..], b"\n\n"].iter().find(|e| head.ends_with(e)).map_or(0, |e| e.len() / 2);
    cx.frame(Frame::SipPdu, data.len(), (end as u64).saturating_add(body));
    cx.frame(line, data.len(), first as u64);
    cx.frame(headers, data.len() - first, fields.len().saturating_sub(empty) as u64); // within the head
    cx.frame(text, data.len() - end, body);
}

impl Kind for Messages {
    type Message = Message;
    const PROTO: AppProto = AppProto::Sip;
    const EVENTS: &'static [&'static str] = &[];
    const NAME: &'static str = "sip";

    fn read(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Read<Message> {
        let data = input.data;
        let passed = self.body.over(input.direction, data);
        if passed > 0 {
            return Read::Skip(passed);
        }
        // Line ends keep a connection open.
        let blank = data.iter().take_while(|b| matches!(b, b'\r' | b'\n' | 0)).count();
        if blank > 0 {
            return Read::Skip(blank);
        }
        let end = match end_of_head(data) {
            Some(end) => end,
            None if input.datagram => data.len(),
            None if data.len() > MAX_HEAD => return Read::Error(None),
            None => return Read::More(data.len() + 1),
        };
        let Some(mut m) = message(data.get(..end.min(MAX_HEAD)).unwrap_or_default()) else { return Read::Error(None) };
        let body = if input.datagram { (data.len() - end) as u64 } else { m.body }; // a head is part of what it was read from
        // Requests go to the server and responses to the client: what comes the other way is not looked at, as in Suricata.
        let astray = m.response != (input.direction == Direction::ToClient);
        let of_session = m.of_session();
        if !astray && body <= MAX_BODY && (of_session || cx.asks_frames(AppProto::Sip)) {
            let whole = end + body as usize; // at most MAX_BODY more
            if !input.eof && whole > data.len() {
                return Read::More(whole);
            }
            if of_session {
                m.sdp = sdp::read(data.get(end..whole.min(data.len())).unwrap_or_default());
            }
        }
        let consumed = if input.datagram { data.len() } else { end };
        if !input.datagram {
            self.body.set(input.direction, m.body);
        }
        if astray {
            return Read::Skip(consumed);
        }
        mark(&m, data, (end, body), cx);
        Read::Message(m, consumed, Events::default())
    }
    fn gap(&mut self, d: Direction, len: u64) -> bool {
        self.body.gap(d, len) != Step::Error
    }
    fn held(m: &Message) -> usize {
        m.head.len() + m.fields.len() * size_of::<(Name, Span)>() + m.sdp.as_ref().map_or(0, Sdp::held)
    }
    fn buffer(m: &Message, buffer: Buffer, _: Direction, index: usize) -> Option<&[u8]> {
        if let Some(value) = m.sdp.as_ref().and_then(|s| s.buffer(buffer, index)) {
            return Some(value);
        }
        let name = match buffer {
            Buffer::SipFrom => Name::From,
            Buffer::SipTo => Name::To,
            Buffer::SipVia => Name::Via,
            Buffer::SipUserAgent => Name::UserAgent,
            Buffer::SipContentType => Name::ContentType,
            Buffer::SipContentLength => Name::ContentLength,
            _ if index > 0 => return None,
            _ => {
                let [first, second, third] = m.parts;
                let span = match (buffer, m.response) {
                    (Buffer::SipMethod, false) | (Buffer::SipProtocol, true) => first,
                    (Buffer::SipUri, false) | (Buffer::SipStatCode, true) => second,
                    (Buffer::SipProtocol, false) | (Buffer::SipStatMsg, true) => third,
                    (Buffer::SipRequestLine, false) | (Buffer::SipResponseLine, true) => m.line,
                    _ => return None,
                };
                return Some(m.get(span)).filter(|v| !v.is_empty());
            }
        };
        m.all(name).nth(index)
    }
    fn number(_: &Message, _: Field, _: usize) -> Option<u64> {
        None
    }
    fn log(m: &Message, _: &Config, w: &mut JsonWriter) {
        let [first, second, third] = m.parts.map(|s| m.get(s));
        if m.response {
            w.key("version").bytes(first).key("code").bytes(second).key("reason").bytes(third);
            w.key("response_line").bytes(m.get(m.line));
        } else {
            w.key("method").bytes(first).key("uri").bytes(second).key("version").bytes(third);
            w.key("request_line").bytes(m.get(m.line));
        }
        if let Some(sdp) = &m.sdp {
            w.key("sdp").open();
            sdp.log(w);
            w.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::single::testing::{Talk, hostile};

    use Direction::{ToClient, ToServer};

    const INVITE: &[u8] = b"INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nv: SIP/2.0/UDP b\r\nf: <sip:a@x>\r\nTO :<sip:b@x> \r\nContent-Length: 5\r\n\r\nv=0\r\n";
    const OK: &[u8] = b"SIP/2.0 200 All right\r\nl: 0\r\n\r\n";

    #[test]
    fn messages_over_tcp_however_they_come() {
        for size in [1, 9, 1000] {
            let mut t = Talk::<Sip>::new();
            [b"\r\n\r\n", INVITE, INVITE].concat().chunks(size).for_each(|p| t.say(ToServer, p, false));
            OK.chunks(size).for_each(|p| t.say(ToClient, p, false));
            let ask = r#"{"sip":{"method":"INVITE","uri":"sip:b@x","version":"SIP/2.0","request_line":"INVITE sip:b@x SIP/2.0"}}"#;
            let tell = r#"{"sip":{"version":"SIP/2.0","code":"200","reason":"All right","response_line":"SIP/2.0 200 All right"}}"#;
            assert_eq!(t.json(), [ask, ask, tell]);
            for (b, d, i, want) in [
                (Buffer::SipVia, ToServer, 1, Some("SIP/2.0/UDP b")),
                (Buffer::SipVia, ToServer, 2, None),
                (Buffer::SipFrom, ToServer, 0, Some("<sip:a@x>")),
                (Buffer::SipTo, ToServer, 0, Some("<sip:b@x>")),
                (Buffer::SipProtocol, ToServer, 0, Some("SIP/2.0")),
                (Buffer::SipContentLength, ToServer, 0, Some("5")),
                (Buffer::SipStatCode, ToServer, 0, None),
            ] {
                assert_eq!(t.buffer(0, b, d, i).as_deref(), want, "{}", b.name());
            }
            assert_eq!(t.buffer(2, Buffer::SipStatMsg, ToClient, 0).as_deref(), Some("All right"));
        }
    }

    const SDP: &[u8] = b"v=0\r\no=a 1 1 IN IP4 192.0.2.1\r\ns=-\r\nm=audio 4000 RTP/AVP 0\r\n";

    fn with_body(kind: &str, length: usize, body: &[u8]) -> Vec<u8> {
        let head = format!("INVITE sip:b@x SIP/2.0\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    #[test]
    fn a_body_that_describes_a_session_is_read_whole() {
        for (kind, is) in [("application/sdp", true), ("Application/SDP; charset=x", true), ("text/plain", false)] {
            let message = with_body(kind, SDP.len(), SDP);
            for (size, datagram) in [(7, false), (4000, false), (4000, true)] {
                let mut t = Talk::<Sip>::new();
                [&message[..], &message].concat().chunks(size).for_each(|p| t.say(ToServer, p, datagram));
                let json = t.json();
                assert_eq!(
                    json[0].contains(r#""sdp":{"origin":"a 1 1 IN IP4 192.0.2.1","session_name":"-","#),
                    is,
                    "{json:?}"
                );
                assert_eq!(json.len(), if datagram { 1 } else { 2 }, "what follows the body is a message: {json:?}");
                let media = t.buffer(0, Buffer::SdpMediaMedia, ToServer, 0);
                assert_eq!(media.as_deref(), is.then_some("audio 4000 RTP/AVP 0"));
            }
        }
    }

    /// Threat: a length announced and never sent.
    #[test]
    fn a_body_beyond_the_cap_is_not_waited_for() {
        let mut t = Talk::<Sip>::new();
        t.say(ToServer, &with_body("application/sdp", MAX_BODY as usize, SDP), false);
        assert!(t.json().is_empty(), "it waits for the rest");
        let mut t = Talk::<Sip>::new();
        t.say(ToServer, &with_body("application/sdp", MAX_BODY as usize + 1, SDP), false);
        assert!(!t.json()[0].contains("sdp"), "it is passed over");
        // A datagram is as long as it is.
        let mut t = Talk::<Sip>::new();
        t.say(ToServer, &with_body("application/sdp", 5000, SDP), true);
        assert!(t.json()[0].contains(r#""media":"audio"#));
    }

    #[test]
    fn every_truncation_waits_or_is_a_datagram_of_its_own() {
        for n in 0..INVITE.len() {
            let mut t = Talk::<Sip>::new();
            t.say(ToServer, &INVITE[..n], true);
            t.say(ToServer, INVITE, true);
            assert!(!t.stopped && !t.json().is_empty(), "the next datagram is read");
        }
    }

    /// Threat: fields without end.
    #[test]
    fn a_head_without_end_is_given_up() {
        let mut t = Talk::<Sip>::new();
        t.say(ToServer, b"INVITE sip:b@x SIP/2.0\r\n", false);
        for _ in 0..10_000 {
            t.say(ToServer, b"Via: abcdefghi\r\n", false);
        }
        assert!(t.stopped);
        let many = [&b"INVITE sip:b@x SIP/2.0\r\n"[..], &b"v:a\r\n".repeat(1000), b"\r\n"].concat();
        assert_eq!(message(&many).map(|m| m.fields.len()), Some(MAX_FIELDS));
    }

    proptest! {
        #[test]
        fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
            Just(INVITE.to_vec()), Just(OK.to_vec()), Just(with_body("application/sdp", SDP.len(), SDP)), prop::collection::vec(any::<u8>(), 0..70)]), 0..6),
            cut in 0usize..200, datagram: bool) {
            hostile::<Sip>(&pieces, cut, datagram);
        }
    }
}
