// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Conversations as they come in pieces, and what is understood of them.

use std::io::Write;

use lagewarte_base::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    codec::{Bombs, MAX_BOMBS},
    protocol::Memory,
};

use Direction::{ToClient, ToServer};

struct Talk {
    http: Http1,
    config: Config,
    memory: Memory,
    changed: Option<AppProto>,
    stopped: bool,
    held: [Vec<u8>; 2],
}

impl Talk {
    fn new(config: Config) -> Self {
        let memory = Memory { cap: 64 << 20, ..Memory::default() };
        Self { http: Http1::default(), config, memory, changed: None, stopped: false, held: Default::default() }
    }
    // As the frame does: what is not consumed comes again, joined with what follows.
    fn say(&mut self, direction: Direction, bytes: &[u8], eof: bool) {
        if self.changed.is_some() || self.stopped {
            return;
        }
        let mut data = std::mem::take(&mut self.held[direction.index()]);
        data.extend_from_slice(bytes);
        let mut cx = Cx {
            time: Timestamp::default(),
            ports: (50_000, 80),
            config: &self.config,
            memory: &mut self.memory,
            change: None,
            encrypted: false,
            frames: Default::default(),
        };
        let mut at = 0;
        loop {
            match self.http.data(Input { direction, data: &data[at..], eof, datagram: false }, &mut cx) {
                Step::Ok(n) => {
                    at += n;
                    if let Some(c) = cx.change {
                        self.changed = Some(c.expected);
                        break;
                    }
                    if at >= data.len() {
                        break;
                    }
                    assert!(n > 0, "a step that does nothing");
                }
                Step::More { consumed, needed } => {
                    at += consumed;
                    assert!(needed > data.len() - at);
                    break;
                }
                Step::Error => {
                    self.stopped = true;
                    break;
                }
            }
        }
        self.held[direction.index()] = data[at.min(data.len())..].to_vec();
    }
    fn gap(&mut self, d: Direction, len: u64) {
        let mut cx = Cx {
            time: Timestamp::default(),
            ports: (50_000, 80),
            config: &self.config,
            memory: &mut self.memory,
            change: None,
            encrypted: false,
            frames: Default::default(),
        };
        self.held[d.index()].clear();
        assert_eq!(self.http.gap(d, len, &mut cx), Step::Ok(0));
    }
    fn summary(&self) -> Vec<String> {
        self.http.txs.iter().map(summary).collect()
    }
    fn events(&self) -> Vec<&'static str> {
        let all = self.http.txs.iter().flat_map(|t| t.core.events.iter());
        all.filter_map(|e| events::NAMES.get(usize::from(e)).copied()).collect()
    }
}

fn text(b: &[u8]) -> String {
    String::from_utf8_lossy(b).into_owned()
}

// Method, URI, status, bodies, files of a transaction.
fn summary(tx: &Tx) -> String {
    let mut s = match &tx.request {
        Some(r) => format!("{} {}", text(r.method()), text(r.uri())),
        None => "-".to_owned(),
    };
    if let Some(m) = tx.message(ToServer).filter(|m| m.wire_len > 0) {
        s += &format!(" <{}>", text(m.body.held()));
    }
    match &tx.response {
        Some(r) => s += &format!(" {} <{}>", text(r.status_text()), text(r.message.body.held())),
        None => s += " -",
    }
    for f in tx.files.iter() {
        s += &format!(" {}:{}:{}", text(&f.name), f.size, f.state.name());
    }
    if !tx.core.finished() {
        s += " open";
    }
    s
}

const GET: &[u8] = b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n";

// A response to a GET, in pieces of every size: what is understood is the same.
#[track_caller]
fn answer(response: &[u8], expected: &str) {
    answer_with(response, expected, Config::default());
}
#[track_caller]
fn answer_with(response: &[u8], expected: &str, config: Config) {
    for size in [usize::MAX, 1, 2, 3, 7] {
        let mut t = Talk::new(config.clone());
        t.say(ToServer, GET, false);
        let n = response.len().div_ceil(size.min(response.len().max(1)));
        for (i, part) in response.chunks(size.min(response.len().max(1))).enumerate() {
            t.say(ToClient, part, i + 1 == n);
        }
        assert_eq!(t.summary().first().map(String::as_str), Some(expected), "{:?} in pieces of {size}", text(response));
    }
}

fn gzip(b: &[u8]) -> Vec<u8> {
    let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    e.write_all(b).unwrap();
    e.finish().unwrap()
}

#[test]
fn bodies_by_every_framing() {
    answer(b"HTTP/1.1 200 ok\r\nContent-Length: 4\r\n\r\nbody", "GET /f 200 <body> /f:4:CLOSED");
    answer(b"HTTP/1.1 200 ok\r\n\r\nbody", "GET /f 200 <body> /f:4:CLOSED");
    answer(
        b"HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\nT: r\r\n\r\n",
        "GET /f 200 <body> /f:4:CLOSED",
    );
    answer(b"HTTP/1.1 204 no\r\n\r\n", "GET /f 204 <>");
    answer(b"HTTP/1.1 200 ok\r\nContent-Length: 0\r\n\r\n", "GET /f 200 <>");
    // What ends before its time is closed all the same, as in libhtp.
    answer(b"HTTP/1.1 200 ok\r\nContent-Length: 9\r\n\r\nbody", "GET /f 200 <body> /f:4:CLOSED");
    answer(b"HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nbody", "GET /f 200 <body> /f:4:CLOSED");
    answer(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ok\r\nContent-Length: 4\r\n\r\nbody",
        "GET /f 200 <body> /f:4:CLOSED",
    );
}

#[test]
fn chunks_as_odd_servers_send_them() {
    const HEAD: &str = "HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunks in [
        "04\r\nbody\r\n0\r\n\r\n",
        "4 \r\nbody\r\n0\r\n\r\n",
        "4\r\r\nbody\r\n0\r\n\r\n",
        "4x\r\nbody\r\n0\r\n\r\n",
        "4\0\r\nbody\r\n0\r\n\r\n",
        " 4\r\nbody\r\n0\r\n\r\n",
        "\r\n4\r\nbody\r\n0\r\n\r\n",
        "\n\x0b4\r\nbody\r\n0\r\n\r\n",
        "4\nbody\n0\n\n",
        "4\r\nbody\r\n00\r\n\r\n",
        "4\r\nbody\r\n0x\r\n\r\n",
        "4\r\nbody\r\n0",
        "4\r\nbody\r\n0\n \n",
        "4\r\nbody\r\n0\r\nfoobar\r\n",
        "2\r\nbo2\r\ndy0\r\n\r\n",
    ] {
        answer(format!("{HEAD}{chunks}").as_bytes(), "GET /f 200 <body> /f:4:CLOSED");
    }
    // Not chunked at all.
    answer(format!("{HEAD}text").as_bytes(), "GET /f 200 <text> /f:4:CLOSED");
}

#[test]
fn transfer_encodings_that_mean_chunked() {
    for field in [
        "Transfer-Encoding: chUnked",
        "Transfer-Encoding: \r\n chunked",
        "Transfer-Encoding: chunked\r\n ",
        "Transfer-Encoding\r\n :\r\n chunked",
        "Transfer-Encoding: chunked;",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: x\r\n chunked",
        "Transfer-Encoding: lalala\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding:: chunked",
        "Transfer\0-encoding: chun\0ked",
        "Transfer-Encoding\x0b:\x0cchunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 99",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "\r \rTransfer-Encoding: chunked",
        "junk\r\nTransfer-Encoding: chunked",
    ] {
        let wire = format!("HTTP/1.1 200 ok\r\n{field}\r\n\r\n4\r\nbody\r\n0\r\n\r\n");
        answer(wire.as_bytes(), "GET /f 200 <body> /f:4:CLOSED");
    }
}

#[test]
fn content_lengths_that_lie() {
    answer(b"HTTP/1.1 200 ok\r\nContent-Length: 4\r\nContent-Length: 2\r\n\r\nbody", "GET /f 200 <body> /f:4:CLOSED");
    answer(b"HTTP/1.1 200 ok\r\nContent-Length: 4A\r\n\r\nbody", "GET /f 200 <body> /f:4:CLOSED");
    // What comes beyond the length is no response: it belongs to the body, when it comes at once.
    let mut t = Talk::new(Config::default());
    t.say(ToServer, GET, false);
    t.say(ToClient, b"HTTP/1.1 200 ok\r\nContent-Length: 2( 4)\r\n\r\nbody", true);
    assert_eq!(t.summary(), ["GET /f 200 <body> /f:4:CLOSED"]);
    assert_eq!(t.events(), ["INVALID_CONTENT_LENGTH_FIELD_IN_RESPONSE", "RESPONSE_BODY_UNEXPECTED"]);
}

/// The length that a client states is not what it sends: what comes with the request belongs to it, and is asked for by
/// rules on a body where `Content-Length` says 0.
#[test]
fn what_comes_with_a_request_and_begins_no_other_is_its_body() {
    let of = |wire: &[u8]| {
        let mut t = Talk::new(Config::default());
        t.say(ToServer, wire, false);
        let odd = t.events().contains(&"REQUEST_BODY_UNEXPECTED");
        (t.http.txs.len(), odd, t.http.txs.at(0).unwrap().message(ToServer).unwrap().body.shown().map(<[u8]>::to_vec))
    };
    let body = |text: &[u8]| Some(text.to_vec());
    let post = |length: &str, rest: &str| format!("POST /p HTTP/1.1\r\nHost: h\r\n{length}\r\n{rest}").into_bytes();
    assert_eq!(of(&post("Content-Length: 0\r\n", "a=b\r\n{c")), (1, true, body(b"a=b\r\n{c")));
    assert_eq!(of(&post("", "\x01\x02")), (1, true, body(b"\x01\x02")));
    assert_eq!(of(&post("Content-Length: 1\r\n", "abc")), (1, true, body(b"abc")));
    assert_eq!(of(&post("Content-Length: 0\r\n", "a\nGET /f HTTP/1.1\r\nHost: h\r\n\r\n")), (2, true, body(b"a\n")));
    // What begins a request, or may yet, does not; nor do blank lines.
    for rest in ["GET /f HTTP/1.1\r\nHost: h\r\n\r\n", "get /f HTTP/1.1\r\nHost: h\r\n\r\n"] {
        let (count, odd, _) = of(&post("", rest));
        assert_eq!((count, odd), (2, false), "{rest}");
    }
    for rest in ["GE", "\r\n", "\r\n\r\nGET"] {
        let (count, odd, _) = of(&post("", rest));
        assert_eq!((count, odd), (1, false), "{rest:?}");
    }
}

#[test]
fn status_lines_as_odd_servers_send_them() {
    const REST: &str = "\r\nContent-Length: 4\r\n\r\nbody";
    for line in [
        "http/1.1 200 ok",
        "HTTP/1.2 200 ok",
        " HTTP/1.1 200 ok",
        "\0HTTP/1.1 200 ok",
        "HTTP/1\0.1 200 ok",
        "HTTP/1.1\x0b200\x0bok",
        "HTTP/1.1\t 200 ok",
        "\r\nHTTP/1.1 200 ok",
        " \r\n\t\r\nHTTP/1.1 200 ok",
        "foobar\r\nHTTP/1.1 200 ok",
        " SIP/2.0 200 ok\r\nHTTP/1.1 200 ok",
        "\n\rHTTP/1.1 200 ok",
        "HTTP/1.1 200\rX:y",
    ] {
        answer(format!("{line}{REST}").as_bytes(), "GET /f 200 <body> /f:4:CLOSED");
    }
    answer(b"HTTP/1.1 20x ok\r\nContent-Length: 4\r\n\r\nbody", "GET /f 20x <body> /f:4:CLOSED");
    answer(b"HTTP/1.1 101 ok\r\nContent-Length: 4\r\n\r\nbody", "GET /f 101 <body> /f:4:CLOSED");
    answer(b"body", "GET /f  <body> /f:4:CLOSED");
}

#[test]
fn codings() {
    let z = gzip(b"body");
    let with = |field: &str, body: &[u8]| {
        [format!("HTTP/1.1 200 ok\r\n{field}\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    };
    answer(&with("Content-Encoding: gzip", &z), "GET /f 200 <body> /f:4:CLOSED");
    answer(&with("Content-Encoding : gzip", &z), "GET /f 200 <body> /f:4:CLOSED");
    answer(&with("Content-Encoding:\r gzip", &z), "GET /f 200 <body> /f:4:CLOSED");
    answer(&with("Content-Encoding: identity\r\nContent-Encoding: gzip", &z), "GET /f 200 <body> /f:4:CLOSED");
    answer(&with("Content-Encoding: gzip,deflate", &z), "GET /f 200 <body> /f:4:CLOSED");
    answer(&with("Content-Encoding: gzip", b"body"), "GET /f 200 <body> /f:4:CLOSED");
    answer(&with("Content-Encoding: gzip, gzip", &gzip(&z)), "GET /f 200 <body> /f:4:CLOSED");
}

#[test]
fn pipelined_requests_meet_their_responses() {
    for size in [1, 5, 1000] {
        let mut t = Talk::new(Config::default());
        let requests = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcHEAD /c HTTP/1.1\r\nHost: h\r\n\r\n";
        let responses = b"HTTP/1.1 200 ok\r\nContent-Length: 1\r\n\r\nAHTTP/1.1 404 no\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nB\r\n0\r\n\r\nHTTP/1.1 200 ok\r\nContent-Length: 99\r\n\r\n";
        requests.chunks(size).for_each(|p| t.say(ToServer, p, false));
        responses.chunks(size).for_each(|p| t.say(ToClient, p, false));
        assert_eq!(
            t.summary(),
            ["GET /a 200 <A> /a:1:CLOSED", "POST /b <abc> 404 <B> /b:3:CLOSED /b:1:CLOSED", "HEAD /c 200 <>"]
        );
        assert!(t.events().is_empty(), "{:?}", t.events());
    }
}

#[test]
fn tunnels_and_upgrades_are_handed_on() {
    let mut t = Talk::new(Config::default());
    t.say(ToServer, b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", false);
    t.say(ToServer, b"\x16\x03\x01", false);
    assert_eq!(t.held[0], b"\x16\x03\x01", "nothing is read before the answer");
    t.say(ToClient, b"HTTP/1.1 200 go\r\n\r\n", false);
    assert_eq!((t.changed, t.summary()), (Some(AppProto::Unknown), vec!["CONNECT h:443 200 <>".to_owned()]));

    let mut t = Talk::new(Config::default());
    t.say(ToServer, b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", false);
    t.say(ToClient, b"HTTP/1.1 407 no\r\nContent-Length: 0\r\n\r\n", false);
    t.say(ToServer, GET, false);
    assert_eq!((t.changed, t.http.txs.len()), (None, 2));

    for (to, proto) in [("websocket", AppProto::Websocket), ("h2c", AppProto::Http2)] {
        let mut t = Talk::new(Config::default());
        t.say(ToServer, format!("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: {to}\r\n\r\n").as_bytes(), false);
        t.say(ToClient, format!("HTTP/1.1 101 go\r\nUpgrade: {to}\r\n\r\nrest").as_bytes(), false);
        assert_eq!((t.changed, t.held[1].as_slice()), (Some(proto), &b"rest"[..]));
    }
}

#[test]
fn requests_as_odd_clients_send_them() {
    let one = |wire: &[u8]| {
        let mut t = Talk::new(Config::default());
        t.say(ToServer, wire, true);
        (t.summary().join("; "), t.events())
    };
    assert_eq!(one(b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n"), ("GET / - open".into(), vec![]));
    assert_eq!(one(b"GET /\r\n").0, "GET / - open");
    assert_eq!(one(b"GET /\r\nHost: h\r\n\r\n").1, ["REQUEST_LINE_MISSING_PROTOCOL"]);
    assert_eq!(one(b"GET / HTTP/1.1\r\n\r\n").1, ["MISSING_HOST_HEADER"]);
    assert_eq!(
        one(b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n").1,
        ["HOST_HEADER_AMBIGUOUS", "REQUEST_HEADER_REPETITION"]
    );
    assert_eq!(one(b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n").1, ["HOST_HEADER_AMBIGUOUS"]);
    assert_eq!(one(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n").1, ["REQUEST_HEADER_HOST_INVALID"]);
    assert_eq!(one(b"GET / HTTP/1.1\r\nHost: h:81\r\n\r\n").1, ["REQUEST_SERVER_PORT_TCP_PORT_MISMATCH"]);
    assert_eq!(
        one(b" GET\t/  HTTP/1.1\r\nHost: h\r\n\r\n").1,
        ["METHOD_DELIM_NON_COMPLIANT", "URI_DELIM_NON_COMPLIANT", "REQUEST_LINE_LEADING_WHITESPACE"]
    );
    assert_eq!(one(b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Magic x\r\n\r\n").1, ["REQUEST_AUTH_UNRECOGNIZED"]);
    assert_eq!(one(b"GET / HT").1, ["REQUEST_LINE_INCOMPLETE"]);
    assert_eq!(
        one(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n1;e\r\na\r\nzz\r\n"),
        (
            "POST / <azz\r\n> - /:5:CLOSED open".into(),
            vec!["INVALID_REQUEST_CHUNK_LEN", "INVALID_TRANSFER_ENCODING_VALUE_IN_REQUEST", "REQUEST_CHUNK_EXTENSION"]
        )
    );
}

#[test]
fn a_response_without_its_request() {
    let mut t = Talk::new(Config::default());
    t.say(ToClient, b"HTTP/1.1 200 ok\r\nContent-Length: 1\r\n\r\nx", false);
    assert_eq!(t.summary(), ["- 200 <x>"]);
    assert_eq!(t.events(), ["UNABLE_TO_MATCH_RESPONSE_TO_REQUEST"]);
}

#[test]
fn uploads() {
    let form = b"--XX\r\nContent-Disposition: form-data; filename=\"a.txt\"\r\n\r\nalpha\r\n--XX--\r\n";
    let head = format!(
        "POST /up HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=XX\r\nContent-Length: {}\r\n\r\n",
        form.len()
    );
    for size in [1, 9, 1000] {
        let mut t = Talk::new(Config::default());
        [head.as_bytes(), form].concat().chunks(size).for_each(|p| t.say(ToServer, p, false));
        let tx = t.http.txs.at(0).unwrap();
        assert_eq!(
            tx.files.iter().map(|f| (text(&f.name), f.size, f.state.name())).collect::<Vec<_>>(),
            [("a.txt".to_owned(), 5, "CLOSED")]
        );
        assert_eq!(detect::buffer(tx, Buffer::FileData, ToServer, 0), Some(&b"alpha"[..]));
        assert_eq!(detect::buffer(tx, Buffer::HttpRequestBody, ToServer, 0), Some(&form[..]));
    }
    let mut t = Talk::new(Config::default());
    t.say(ToServer, b"PUT /d/x.bin HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", false);
    assert_eq!(t.summary(), ["PUT /d/x.bin <abc> - /d/x.bin:3:CLOSED open"]);
}

#[test]
fn gaps() {
    // Inside a body of known length: the message goes on behind it.
    let mut t = Talk::new(Config::default());
    t.say(ToServer, GET, false);
    t.say(ToServer, GET, false);
    t.say(ToClient, b"HTTP/1.1 200 ok\r\nContent-Length: 10\r\n\r\nab", false);
    t.gap(ToClient, 6);
    t.say(ToClient, b"yzHTTP/1.1 200 ok\r\nContent-Length: 1\r\n\r\nx", false);
    assert_eq!(t.summary(), ["GET /f 200 <abyz> /f:10:TRUNCATED", "GET /f 200 <x> /f:1:CLOSED"]);
    // Beyond it: the next start line is looked for.
    let mut t = Talk::new(Config::default());
    t.say(ToServer, GET, false);
    t.say(ToServer, GET, false);
    t.say(ToClient, b"HTTP/1.1 200 ok\r\nContent-Length: 4\r\n\r\nab", false);
    t.gap(ToClient, 60);
    t.say(ToClient, b"rest of something\r\nHTTP/1.1 200 ok\r\nContent-Length: 1\r\n\r\nx", false);
    assert_eq!(t.summary(), ["GET /f 200 <ab> /f:4:TRUNCATED", "GET /f 200 <x> /f:1:CLOSED"]);
    // From the first byte of a body on: there was a file all the same.
    for missing in [4, 10] {
        let mut t = Talk::new(Config::default());
        t.say(ToServer, GET, false);
        t.say(ToClient, b"HTTP/1.1 200 ok\r\nContent-Length: 10\r\n\r\n", false);
        t.gap(ToClient, missing);
        t.say(ToClient, &b"0123456789"[missing as usize..], false);
        assert!(t.summary()[0].ends_with(" /f:10:TRUNCATED"), "{:?}", t.summary());
    }
}

#[test]
fn buffers_of_a_request() {
    let mut t = Talk::new(Config::default());
    t.say(ToServer, b"GET http://Host.Example:8080/a%20b?c=d HTTP/1.1\r\nHost: Host.Example:8080\r\nCookie: k=v\r\nUser-Agent: U\r\nAccept: a\r\nAccept: b\r\n\r\n", false);
    let tx = t.http.txs.at(0).unwrap();
    for (b, expected) in [
        (Buffer::HttpMethod, "GET"),
        (Buffer::HttpUri, "/a b?c=d"),
        (Buffer::HttpUriRaw, "http://Host.Example:8080/a%20b?c=d"),
        (Buffer::HttpProtocol, "HTTP/1.1"),
        (Buffer::HttpHost, "host.example"),
        (Buffer::HttpHostRaw, "Host.Example:8080"),
        (Buffer::HttpCookie, "k=v"),
        (Buffer::HttpUserAgent, "U"),
        (Buffer::HttpAccept, "a, b"),
        (Buffer::HttpHeader, "Host: Host.Example:8080\r\nUser-Agent: U\r\nAccept: a, b\r\n"),
        (Buffer::HttpHeaderNames, "\r\nHost\r\nCookie\r\nUser-Agent\r\nAccept\r\n\r\n"),
        (Buffer::HttpRequestLine, "GET http://Host.Example:8080/a%20b?c=d HTTP/1.1"),
        (Buffer::HttpRequestHeader, "Host: Host.Example:8080"),
    ] {
        assert_eq!(detect::buffer(tx, b, ToServer, 0).map(text).as_deref(), Some(expected), "{}", b.name());
        assert_eq!(detect::buffer(tx, b, ToClient, 0), None, "{} of a response that is not there", b.name());
    }
    assert_eq!(detect::buffer(tx, Buffer::HttpReferer, ToServer, 0), None);
    assert_eq!(detect::buffer(tx, Buffer::HttpRequestHeader, ToServer, 3).map(text).as_deref(), Some("Accept: a, b"));
    assert_eq!(detect::number(tx, Field::Urilen, ToServer, 0), Some(8));
}

#[test]
fn a_plain_head_is_not_copied_for_its_buffers() {
    let mut t = Talk::new(Config::default());
    t.say(ToServer, b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: U\r\n\r\n", false);
    let tx = t.http.txs.at(0).unwrap();
    let wire = tx.message(ToServer).unwrap().head.wire().as_ptr_range();
    for b in [Buffer::HttpHeader, Buffer::HttpHeaderRaw, Buffer::HttpUri, Buffer::HttpRequestHeader] {
        let bytes = detect::buffer(tx, b, ToServer, 0).unwrap();
        assert!(wire.contains(&bytes.as_ptr()), "{}", b.name());
    }
    assert_eq!(detect::buffer(tx, Buffer::HttpHeader, ToServer, 0), Some(&b"Host: h\r\nUser-Agent: U\r\n"[..]));
    assert_eq!(
        detect::buffer(tx, Buffer::HttpStart, ToServer, 0),
        Some(&b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: U\r\n\r\n"[..])
    );
}

#[test]
fn endless_heads_end() {
    let mut t = Talk::new(Config::default());
    t.say(ToServer, b"GET / HTTP/1.1\r\n", false);
    for _ in 0..1000 {
        t.say(ToServer, &[b"A: ", [b'x'; 990].as_slice(), b"\r\n"].concat(), false);
        assert!(t.held[0].len() <= parser::MAX_HEAD + 1000);
    }
    assert!(t.stopped);
    assert_eq!(t.events(), ["REQUEST_FIELD_TOO_LONG"]);
}

#[test]
fn pipelines_without_answers_are_bounded() {
    let mut t = Talk::new(Config::default());
    for _ in 0..10_000 {
        t.say(ToServer, GET, false);
    }
    assert!(t.http.txs.len() <= 2 * MAX_TXS);
}

#[test]
fn ports_ranges_and_names_that_are_none_are_events() {
    let long = "n".repeat(crate::file::MAX_NAME + 1);
    for (request, answer, event) in [
        ("GET http://h:99999/ HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "", "INVALID_AUTHORITY_PORT"),
        ("GET / HTTP/1.1\r\nHost: h:x\r\n\r\n".to_owned(), "", "INVALID_SERVER_PORT_IN_REQUEST"),
        (format!("PUT /{long} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na"), "", "FILE_NAME_TOO_LONG"),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), "Content-Range: bytes 9-0/10", "RANGE_INVALID"),
    ] {
        let mut t = Talk::new(Config::default());
        t.say(ToServer, request.as_bytes(), false);
        t.say(ToClient, format!("HTTP/1.1 206 P\r\n{answer}\r\nContent-Length: 1\r\n\r\na").as_bytes(), false);
        assert!(t.events().contains(&event), "{event}: {:?}", t.events());
    }
    for good in ["GET http://h:80/ HTTP/1.1\r\nHost: h:80\r\n\r\n", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"] {
        let mut t = Talk::new(Config::default());
        t.say(ToServer, good.as_bytes(), false);
        t.say(ToClient, b"HTTP/1.1 416 R\r\nContent-Range: bytes */10\r\nContent-Length: 1\r\n\r\na", false);
        assert_eq!(t.events(), [""; 0], "{good}");
    }
}

// 64 MiB of zeros as a brotli stream that asks for a window of 16 MiB.
fn brotli_bomb() -> Vec<u8> {
    hex::decode(
        "cfffff7ff82700e2b14020f7fe9ffffffff04f00c4610180eefd3fffffffe19f0088c32200ddfbfffcffffc73f0110870500baf7ff",
    )
    .unwrap()
}

/// Threat: bodies of 53 bytes of which each costs 28 ms of CPU.
#[test]
fn after_many_bombs_in_a_second_brotli_is_not_undone_for_the_rest_of_it() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 53\r\nContent-Encoding: ";
    let mut t = Talk::new(Config::default());
    t.memory.cap = 1 << 40;
    let answer = |t: &mut Talk, coding: &str, body: &[u8]| {
        t.say(ToServer, b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n", false);
        t.say(ToClient, format!("{HEAD}{coding}\r\n\r\n").as_bytes(), false);
        t.say(ToClient, body, false);
    };
    for _ in 0..MAX_BOMBS + 3 {
        answer(&mut t, "br", &brotli_bomb());
    }
    assert_eq!(t.events().iter().filter(|e| **e == "COMPRESSION_BOMB").count(), MAX_BOMBS as usize);
    assert_eq!(t.memory.bombs.undecoded, 3);
    answer(&mut t, "gzip", &[b'x'; 53]);
    assert_eq!(t.memory.bombs.undecoded, 3, "other codings are undone as before");
    let at = |ms: i64| Timestamp::from_micros(ms * 1000);
    let mut bombs = Bombs::default();
    (0..MAX_BOMBS).for_each(|_| bombs.note(at(1000)));
    assert_eq!([at(999), at(1000), at(1999), at(2000)].map(|t| bombs.spent(t)), [false, true, true, false]);
    bombs.note(at(2000));
    assert!(!bombs.spent(at(2000)), "a second of its own");
}

#[test]
fn a_decoders_window_counts_for_the_memory_cap() {
    let body = brotli_bomb();
    let mut t = Talk::new(Config::default());
    t.memory.cap = 8 << 20;
    t.say(ToServer, b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n", false);
    t.say(ToClient, b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 53\r\n\r\n", false);
    t.say(ToClient, &body, false);
    assert!(t.memory.used <= t.memory.cap && t.memory.refused > 0);
    let file = t.http.txs().at(0).and_then(|tx| tx.files.at(0)).expect("a file");
    assert_eq!(file.state, crate::file::FileState::Truncated, "what was left out is not said to be whole");
}

#[test]
fn the_memory_cap_holds() {
    let mut t = Talk::new(Config::default());
    t.memory.cap = 200_000;
    t.config.http.response.limit = 0;
    t.say(ToServer, GET, false);
    t.say(ToClient, b"HTTP/1.1 200 ok\r\n\r\n", false);
    for _ in 0..10_000 {
        t.say(ToClient, &[b'x'; 1000], false);
    }
    t.say(ToClient, b"", true);
    assert!(t.memory.used <= t.memory.cap && t.memory.refused > 0);
    let tx = t.http.txs.at(0).unwrap();
    assert!(tx.message(ToClient).unwrap().body.held().len() < 400_000);
    assert_eq!(tx.message(ToClient).unwrap().wire_len, 10_000_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // Any two streams, in any pieces, with a gap: no panic, and steps that end.
    #[test]
    fn any_bytes(parts in prop::collection::vec((any::<bool>(), prop_oneof![
        Just(b"GET / HTTP/1.1\r\n".to_vec()), Just(b"HTTP/1.1 200 ok\r\n".to_vec()), Just(b"\r\n".to_vec()),
        Just(b"Content-Length: 5\r\n".to_vec()), Just(b"Transfer-Encoding: chunked\r\n".to_vec()), Just(b"5\r\nhello\r\n0\r\n\r\n".to_vec()),
        Just(b"Content-Encoding: gzip\r\n".to_vec()), Just(b"CONNECT a:1 HTTP/1.0\r\n\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..30)]), 0..20), gap in 0usize..20) {
        let mut t = Talk::new(Config::default());
        for (i, (up, bytes)) in parts.iter().enumerate() {
            let d = if *up { ToServer } else { ToClient };
            if i == gap && !t.stopped && t.changed.is_none() {
                t.gap(d, 7);
            }
            t.say(d, bytes, false);
        }
        t.say(ToServer, b"", true);
        t.say(ToClient, b"", true);
        t.http.finish();
        prop_assert!(t.http.txs.iter().all(|tx| tx.core.finished()));
        let mut w = JsonWriter::new();
        for tx in t.http.txs.iter() {
            w.clear();
            w.open();
            t.http.log(tx, &t.config, &mut w);
            for b in Buffer::ALL {
                for d in [ToServer, ToClient] {
                    let _ = detect::buffer(tx, *b, d, 0);
                }
            }
        }
    }

    // However a conversation is cut, the same is understood of it.
    #[test]
    fn pieces_make_no_difference(cuts in prop::collection::vec(1usize..40, 1..30)) {
        let response = [b"HTTP/1.1 200 ok\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\nX: y\r\n z\r\n\r\n".as_slice(),
            &{ let z = gzip(&[b"some text ".repeat(30), b"end".to_vec()].concat());
               let mut c = Vec::new();
               for part in z.chunks(11) { c.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes()); c.extend_from_slice(part); c.extend_from_slice(b"\r\n"); }
               c.extend_from_slice(b"0\r\n\r\n"); c }].concat();
        let run = |cuts: &[usize]| {
            let mut t = Talk::new(Config::default());
            let (mut request, mut response) = (GET, response.as_slice());
            let mut sizes = cuts.iter().cycle();
            while !request.is_empty() {
                let n = (*sizes.next().unwrap()).min(request.len());
                t.say(ToServer, &request[..n], false);
                request = &request[n..];
            }
            while !response.is_empty() {
                let n = (*sizes.next().unwrap()).min(response.len());
                t.say(ToClient, &response[..n], false);
                response = &response[n..];
            }
            (t.summary(), t.events())
        };
        prop_assert_eq!(run(&cuts), run(&[usize::MAX]));
    }
}

// The second of Suricata's user guide, "EVE JSON Format", event type http; checked against Suricata 7.0.10.
#[test]
fn what_is_written_is_chosen() {
    let mut t = Talk::new(Config::default());
    t.say(
        ToServer,
        b"POST /a HTTP/1.1\r\nHost: h\r\nUser-Agent: u\r\nCookie: c=1\r\nX-A: 1\r\nReferer: r\r\nContent-Length: 3\r\n\r\na\0c",
        false,
    );
    t.say(ToClient, b"HTTP/1.1 200 OK\r\nServer: s\r\nContent-Length: 2\r\n\r\nok", false);
    let tx = t.http.txs.iter().next().unwrap();
    let short = r#""hostname":"h","url":"/a","http_user_agent":"u""#;
    let long = r#","http_refer":"r","http_method":"POST","protocol":"HTTP/1.1","status":200,"length":2"#;
    let custom = concat!(
        r#","request_headers":[{"name":"Cookie","value":"c=1"}]"#,
        r#","response_headers":[{"name":"Server","value":"s"}]"#
    );
    let printable = r#","http_request_body_printable":"a.c","http_response_body_printable":"ok""#;
    let base64 = r#","http_request_body":"YQBj","http_response_body":"b2s=""#;
    let names: Vec<String> = ["cookie", "server", "user-agent", "host"].map(String::from).into();
    let all = Written { custom: names, body: true, body_printable: true, ..Written::default() };
    for (written, event, alert) in [
        (Written::default(), format!("{short}{long}"), format!("{short}{long}")),
        (Written { extended: false, ..Written::default() }, short.to_owned(), format!("{short}{long}")),
        (all, format!("{short}{long}{custom}"), format!("{short}{long}{printable}{base64}")),
    ] {
        t.config.http_written = written;
        for (of, want) in [(log::Of::Event, event), (log::Of::Alert, alert)] {
            let mut w = JsonWriter::new();
            w.open();
            log::write(tx, &t.config.http_written, of, &mut w);
            w.close();
            assert_eq!(w.as_str(), format!(r#"{{"http":{{{want}}}}}"#), "{of:?} {:?}", t.config.http_written);
        }
    }
}

// Threat: many alerts on one transaction, each with a whole body.
#[test]
fn of_a_long_body_an_alert_shows_its_beginning() {
    let mut t = Talk::new(Config::default());
    t.config.http_written = Written { body_printable: true, ..Written::default() };
    t.say(
        ToServer,
        format!("POST / HTTP/1.0\r\nContent-Length: 40000\r\n\r\n{}", "x".repeat(40_000)).as_bytes(),
        false,
    );
    let mut w = JsonWriter::new();
    w.open();
    log::write(t.http.txs.iter().next().unwrap(), &t.config.http_written, log::Of::Alert, &mut w);
    assert_eq!(w.as_str().matches('x').count(), 32 * 1024);
}
