// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! SDP (RFC 8866): what a session is to carry, as the body of a SIP message says it. Bytes to lines, and what rules and
//! events ask of them (Suricata user guide, "SDP Keywords").
//!
//! A description begins with version, origin and name (RFC 8866, 5), or it is none; what follows may come in any order.
//! Values are as they stand in the body. Must never keep more than [`MAX_LINES`] lines.

use lagewarte_event::eve::JsonWriter;

use crate::buffer::Buffer;

/// Most lines of a description; those behind are not looked at. Threat: a body of nothing but attributes.
pub const MAX_LINES: usize = 512;

/// A description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sdp {
    text: Vec<u8>,
    lines: Vec<Line>,
    /// How many of the lines, from the first on, are of the session; the others are of its media.
    of_session: usize,
}

/// A letter, and where its value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line {
    letter: u8,
    from: u32,
    to: u32,
}

/// What lines a buffer is: of the session or of its media, and by which letter.
const fn lines_of(buffer: Buffer) -> Option<(bool, u8)> {
    Some(match buffer {
        Buffer::SdpOrigin => (true, b'o'),
        Buffer::SdpSessionName => (true, b's'),
        Buffer::SdpSessionInfo => (true, b'i'),
        Buffer::SdpUri => (true, b'u'),
        Buffer::SdpEmail => (true, b'e'),
        Buffer::SdpPhoneNumber => (true, b'p'),
        Buffer::SdpConnectionData => (true, b'c'),
        Buffer::SdpBandwidth => (true, b'b'),
        Buffer::SdpTime => (true, b't'),
        Buffer::SdpRepeatTime => (true, b'r'),
        Buffer::SdpTimezone => (true, b'z'),
        Buffer::SdpEncryptionKey => (true, b'k'),
        Buffer::SdpAttribute => (true, b'a'),
        Buffer::SdpMediaMedia => (false, b'm'),
        Buffer::SdpMediaSessionInfo => (false, b'i'),
        Buffer::SdpMediaConnectionData => (false, b'c'),
        Buffer::SdpMediaEncryptionKey => (false, b'k'),
        _ => return None,
    })
}

/// Reads a description: lines of a letter, `=` and a value, until one that is none. None where it does not begin as one.
pub fn read(body: &[u8]) -> Option<Sdp> {
    let mut sdp = Sdp { text: body.to_vec(), ..Sdp::default() };
    let mut at = 0;
    for raw in body.split_inclusive(|b| *b == b'\n').take(MAX_LINES) {
        let line = raw.strip_suffix(b"\n").unwrap_or(raw);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let [letter @ b'a'..=b'z', b'=', ..] = *line else { break };
        let (from, to) = (u32::try_from(at + 2).ok()?, u32::try_from(at + line.len()).ok()?);
        sdp.lines.push(Line { letter, from, to });
        at += raw.len();
    }
    sdp.of_session = sdp.lines.iter().position(|l| l.letter == b'm').unwrap_or(sdp.lines.len());
    let begins = |letters: &[u8]| letters.iter().eq(sdp.lines.iter().take(letters.len()).map(|l| &l.letter));
    begins(b"vos").then_some(sdp)
}

impl Sdp {
    fn value(&self, l: &Line) -> &[u8] {
        self.text.get(l.from as usize..l.to as usize).unwrap_or_default()
    }
    fn session(&self) -> &[Line] {
        self.lines.get(..self.of_session).unwrap_or_default()
    }
    fn media(&self) -> &[Line] {
        self.lines.get(self.of_session..).unwrap_or_default()
    }

    /// The `index`-th value of a buffer.
    pub fn buffer(&self, buffer: Buffer, index: usize) -> Option<&[u8]> {
        let (of_session, letter) = lines_of(buffer)?;
        let lines = if of_session { self.session() } else { self.media() };
        lines.iter().filter(|l| l.letter == letter).map(|l| self.value(l)).nth(index)
    }

    /// Bytes that it holds.
    pub fn held(&self) -> usize {
        self.text.len() + self.lines.len() * size_of::<Line>()
    }

    /// Writes the members of the object `sdp`.
    pub fn log(&self, w: &mut JsonWriter) {
        let first = [
            (b'o', "origin"),
            (b's', "session_name"),
            (b'i', "session_info"),
            (b'u', "uri"),
            (b'e', "email"),
            (b'p', "phone_number"),
            (b'c', "connection_data"),
        ];
        self.texts(self.session(), &first, w);
        self.list(self.session(), b'b', "bandwidths", w);
        self.times(w);
        self.texts(self.session(), &[(b'z', "timezone"), (b'k', "encryption_key")], w);
        self.list(self.session(), b'a', "attributes", w);
        if self.media().is_empty() {
            return;
        }
        w.key("media_descriptions").open_array();
        let mut rest = self.media();
        while let Some((name, more)) = rest.split_first() {
            let own = more.iter().position(|l| l.letter == b'm').unwrap_or(more.len());
            let (own, next) = more.split_at(own); // a place in it
            w.open().key("media").bytes(self.value(name));
            self.texts(own, &[(b'i', "media_info"), (b'c', "connection_data")], w);
            self.list(own, b'b', "bandwidths", w);
            self.texts(own, &[(b'k', "encryption_key")], w);
            self.list(own, b'a', "attributes", w);
            w.close();
            rest = next;
        }
        w.close_array();
    }

    // Of several of one letter the first is written.
    fn texts(&self, lines: &[Line], names: &[(u8, &str)], w: &mut JsonWriter) {
        for (letter, name) in names {
            if let Some(l) = lines.iter().find(|l| l.letter == *letter) {
                w.key(name).bytes(self.value(l));
            }
        }
    }

    fn list(&self, lines: &[Line], letter: u8, name: &str, w: &mut JsonWriter) {
        let mut those = lines.iter().filter(|l| l.letter == letter).peekable();
        if those.peek().is_some() {
            w.key(name).open_array();
            for l in those {
                w.bytes(self.value(l));
            }
            w.close_array();
        }
    }

    // A time, and when it is repeated.
    fn times(&self, w: &mut JsonWriter) {
        let mut those = self.session().iter().enumerate().filter(|(_, l)| l.letter == b't').peekable();
        if those.peek().is_none() {
            return;
        }
        w.key("time_descriptions").open_array();
        for (at, time) in those {
            w.open().key("time").bytes(self.value(time));
            if let Some(repeat) = self.session().get(at + 1).filter(|l| l.letter == b'r') {
                w.key("repeat_time").bytes(self.value(repeat));
            }
            w.close();
        }
        w.close_array();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of RFC 8866, 5, with a key and bandwidths.
    const WHOLE: &[u8] = b"v=0\r\no=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\ns=Call to John Smith\r\n\
        i=SDP Offer #1\r\nu=http://www.jdoe.example.com/home.html\r\ne=Jane Doe <jane@jdoe.example.com>\r\n\
        p=+1 617 555-6011\r\nc=IN IP4 198.51.100.1\r\nb=AS:84\r\nb=TIAS:64000\r\nt=3034423619 3042462419\r\n\
        r=604800 3600 0 90000\r\nt=0 0\r\nz=2882844526 -1h 2898848070 0\r\nk=prompt\r\na=recvonly\r\na=charset:UTF-8\r\n\
        m=audio 49170 RTP/AVP 0\r\ni=Voice\r\nm=video 51372 RTP/AVP 99\r\nc=IN IP6 2001:db8::2\r\nb=AS:66\r\nk=clear:x\r\n\
        a=rtpmap:99 h263-1998/90000\r\n";

    fn written(sdp: &Sdp) -> serde_json::Value {
        let mut w = JsonWriter::with_capacity(256);
        w.open();
        sdp.log(&mut w);
        w.close();
        serde_json::from_str(w.as_str()).unwrap()
    }

    #[test]
    fn every_line_is_asked_for_and_written() {
        let sdp = read(WHOLE).unwrap();
        for (buffer, index, want) in [
            (Buffer::SdpOrigin, 0, Some("jdoe 3724394400 3724394405 IN IP4 198.51.100.1")),
            (Buffer::SdpSessionName, 0, Some("Call to John Smith")),
            (Buffer::SdpSessionInfo, 0, Some("SDP Offer #1")),
            (Buffer::SdpSessionInfo, 1, None), // that of a medium is another
            (Buffer::SdpUri, 0, Some("http://www.jdoe.example.com/home.html")),
            (Buffer::SdpEmail, 0, Some("Jane Doe <jane@jdoe.example.com>")),
            (Buffer::SdpPhoneNumber, 0, Some("+1 617 555-6011")),
            (Buffer::SdpConnectionData, 0, Some("IN IP4 198.51.100.1")),
            (Buffer::SdpBandwidth, 1, Some("TIAS:64000")),
            (Buffer::SdpTime, 1, Some("0 0")),
            (Buffer::SdpRepeatTime, 0, Some("604800 3600 0 90000")),
            (Buffer::SdpTimezone, 0, Some("2882844526 -1h 2898848070 0")),
            (Buffer::SdpEncryptionKey, 0, Some("prompt")),
            (Buffer::SdpAttribute, 1, Some("charset:UTF-8")),
            (Buffer::SdpAttribute, 2, None),
            (Buffer::SdpMediaMedia, 1, Some("video 51372 RTP/AVP 99")),
            (Buffer::SdpMediaSessionInfo, 0, Some("Voice")),
            (Buffer::SdpMediaConnectionData, 0, Some("IN IP6 2001:db8::2")),
            (Buffer::SdpMediaEncryptionKey, 0, Some("clear:x")),
            (Buffer::SipVia, 0, None),
        ] {
            assert_eq!(sdp.buffer(buffer, index), want.map(str::as_bytes), "{} {index}", buffer.name());
        }
        assert_eq!(
            written(&sdp),
            serde_json::json!({
                "origin": "jdoe 3724394400 3724394405 IN IP4 198.51.100.1",
                "session_name": "Call to John Smith",
                "session_info": "SDP Offer #1",
                "uri": "http://www.jdoe.example.com/home.html",
                "email": "Jane Doe <jane@jdoe.example.com>",
                "phone_number": "+1 617 555-6011",
                "connection_data": "IN IP4 198.51.100.1",
                "bandwidths": ["AS:84", "TIAS:64000"],
                "time_descriptions": [
                    {"time": "3034423619 3042462419", "repeat_time": "604800 3600 0 90000"},
                    {"time": "0 0"},
                ],
                "timezone": "2882844526 -1h 2898848070 0",
                "encryption_key": "prompt",
                "attributes": ["recvonly", "charset:UTF-8"],
                "media_descriptions": [
                    {"media": "audio 49170 RTP/AVP 0", "media_info": "Voice"},
                    {
                        "media": "video 51372 RTP/AVP 99",
                        "connection_data": "IN IP6 2001:db8::2",
                        "bandwidths": ["AS:66"],
                        "encryption_key": "clear:x",
                        "attributes": ["rtpmap:99 h263-1998/90000"],
                    },
                ],
            })
        );
    }

    #[test]
    fn what_does_not_begin_as_one_is_none() {
        for (body, is) in [
            (&b"v=0\no=a\ns=b"[..], true),
            (b"v=0\r\no=a\r\n", false),
            (b"o=a\r\nv=0\r\ns=b\r\n", false),
            (b"\r\nv=0\r\no=a\r\ns=b\r\n", false),
            (b"V=0\r\no=a\r\ns=b\r\n", false),
            (b"<xml/>", false),
            (b"", false),
        ] {
            assert_eq!(read(body).is_some(), is, "{}", body.escape_ascii());
        }
        // It ends at what is no line of one.
        assert_eq!(read(b"v=0\no=a\ns=b\nno\na=x").unwrap().buffer(Buffer::SdpAttribute, 0), None);
    }

    /// Threat: a body of nothing but attributes.
    #[test]
    fn lines_beyond_the_cap_are_not_looked_at() {
        let body = [&b"v=0\no=a\ns=b\n"[..], &b"a=x\n".repeat(2 * MAX_LINES)].concat();
        let sdp = read(&body).unwrap();
        assert_eq!(sdp.lines.len(), MAX_LINES);
        assert_eq!(sdp.held(), body.len() + MAX_LINES * size_of::<Line>());
    }

    proptest! {
        #[test]
        fn any_body_is_read_and_written(cut in 0..WHOLE.len(), other: u8, at in 0..WHOLE.len(), any in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut body = WHOLE[..cut].to_vec();
            if let Some(b) = body.get_mut(at) {
                *b = other;
            }
            for body in [body, any] {
                if let Some(sdp) = read(&body) {
                    written(&sdp);
                    for b in Buffer::ALL {
                        let all = (0..).map_while(|i| sdp.buffer(*b, i)).count();
                        prop_assert!(all <= sdp.lines.len());
                    }
                }
            }
        }
    }
}
