// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Streams, blocks, bodies, and what is damaged.

use lagewarte_base::time::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::protocol::Memory;

use Direction::{ToClient, ToServer};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() as u32).to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

// A literal field without indexing.
fn field(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

fn request() -> Vec<u8> {
    [
        field(":method", "GET"),
        field(":scheme", "https"),
        field(":path", "/a%20b"),
        field(":authority", "Host.Example:8080"),
        field("user-agent", "U"),
        field("cookie", "k=v"),
    ]
    .concat()
}
fn response() -> Vec<u8> {
    [field(":status", "200"), field("content-type", "text/plain")].concat()
}

struct Talk {
    http: Http2,
    config: Config,
    memory: Memory,
    held: [Vec<u8>; 2],
    stopped: bool,
}

impl Talk {
    fn new() -> Self {
        let memory = Memory { cap: 64 << 20, ..Memory::default() };
        Self { http: Http2::default(), config: Config::default(), memory, held: Default::default(), stopped: false }
    }
    fn say(&mut self, direction: Direction, bytes: &[u8], eof: bool) {
        if self.stopped {
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
        match self.http.data(Input { direction, data: &data, eof, datagram: false }, &mut cx) {
            Step::Ok(n) => assert_eq!(n, data.len()),
            Step::More { consumed, needed } => {
                assert!(needed > data.len() - consumed);
                self.held[direction.index()] = data[consumed..].to_vec();
            }
            Step::Error => self.stopped = true,
        }
    }
    fn events(&self) -> Vec<&'static str> {
        let all = self.http.txs.iter().flat_map(|t| t.core().events.iter());
        all.filter_map(|e| events::NAMES.get(usize::from(e)).copied()).collect()
    }
    fn json(&self, place: usize) -> String {
        let mut w = JsonWriter::new();
        w.open();
        self.http.log(self.http.txs.at(place).unwrap(), &self.config, &mut w);
        w.close();
        w.finish()
    }
    fn buffer(&self, place: usize, b: Buffer, d: Direction, i: usize) -> Option<String> {
        let tx = self.http.txs.at(place)?;
        self.http.buffer(tx, b, d, i).map(|b| String::from_utf8_lossy(b).into_owned())
    }
}

fn up() -> Vec<u8> {
    [
        parser::PREFACE.to_vec(),
        frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
        frame(kind::HEADERS, 5, 1, &request()),
    ]
    .concat()
}
fn down() -> Vec<u8> {
    [frame(kind::HEADERS, 4, 1, &response()), frame(kind::DATA, 8, 1, b"\x02bo\0\0"), frame(kind::DATA, 1, 1, b"dy")]
        .concat()
}

#[test]
fn a_stream_is_a_transaction_with_the_buffers_of_http() {
    for size in [1, 3, 10, 10_000] {
        let mut t = Talk::new();
        up().chunks(size).for_each(|p| t.say(ToServer, p, false));
        down().chunks(size).for_each(|p| t.say(ToClient, p, false));
        assert!(t.http.txs.iter().all(|t| t.core().finished()));
        assert_eq!(
            t.json(1),
            concat!(
                r#"{"tx_id":1,"http":{"version":"2","hostname":"host.example","http_port":8080,"url":"/a%20b","http_user_agent":"U","http_content_type":"text/plain","http_method":"GET","status":200,"length":4,"#,
                r#""request_headers":[{"name":":method","value":"GET"},{"name":":scheme","value":"https"},{"name":":path","value":"/a%20b"},{"name":":authority","value":"Host.Example:8080"},{"name":"user-agent","value":"U"},{"name":"cookie","value":"k=v"}],"#,
                r#""response_headers":[{"name":":status","value":"200"},{"name":"content-type","value":"text/plain"}],"http2":{"stream_id":1,"request":{},"response":{}}}}"#
            )
        );
        assert!(t.json(0).contains(r#""http2":{"stream_id":0,"request":{"settings":[{"settings_id":"SETTINGSMAXCONCURRENTSTREAMS","settings_value":100}]},"response":{}}"#), "{}", t.json(0));
        for (b, d, expected) in [
            (Buffer::HttpMethod, ToServer, "GET"),
            (Buffer::HttpUri, ToServer, "/a b"),
            (Buffer::HttpHost, ToServer, "host.example"),
            (Buffer::HttpUserAgent, ToServer, "U"),
            (Buffer::HttpCookie, ToServer, "k=v"),
            (Buffer::HttpProtocol, ToServer, "HTTP/2"),
            (Buffer::Http2HeaderName, ToServer, ":method"),
            (Buffer::HttpStatCode, ToClient, "200"),
            (Buffer::HttpStatMsg, ToClient, ""),
            (Buffer::HttpRequestLine, ToServer, "GET /a%20b HTTP/2\r\n"),
            (Buffer::HttpResponseLine, ToClient, "HTTP/2 200\r\n"),
            (Buffer::HttpContentType, ToClient, "text/plain"),
            (Buffer::FileData, ToClient, "body"),
        ] {
            assert_eq!(t.buffer(1, b, d, 0).as_deref(), Some(expected), "{} in pieces of {size}", b.name());
        }
        let tx = t.http.txs.at(1).unwrap();
        let kinds: Vec<_> = (0..4).map_while(|i| t.http.number(tx, Field::Http2Frametype, ToClient, i)).collect();
        assert_eq!(kinds, [1, 0, 0]);
        assert_eq!(tx.files.at(0).map(|f| (f.size, f.state.name())), Some((4, "CLOSED")));
        assert!(t.events().is_empty(), "{:?}", t.events());
    }
}

#[test]
fn continuations_promises_resets() {
    let mut t = Talk::new();
    let r = request();
    t.say(
        ToServer,
        &[
            parser::PREFACE,
            &frame(kind::HEADERS, 1, 1, &r[..10]),
            &frame(kind::CONTINUATION, 0, 1, &r[10..20]),
            &frame(kind::CONTINUATION, 4, 1, &r[20..]),
        ]
        .concat(),
        false,
    );
    assert_eq!(t.buffer(0, Buffer::HttpUriRaw, ToServer, 0).as_deref(), Some("/a%20b"));
    t.say(ToClient, &frame(kind::PUSH_PROMISE, 4, 1, &[&[0, 0, 0, 2], &r[..]].concat()), false);
    assert_eq!(t.buffer(1, Buffer::HttpMethod, ToServer, 0).as_deref(), Some("GET"));
    t.say(ToClient, &frame(kind::RST_STREAM, 0, 1, &[0, 0, 0, 8]), false);
    let tx = t.http.txs.at(0).unwrap();
    assert_eq!((tx.core().finished(), t.http.number(tx, Field::Http2Errorcode, ToClient, 0)), (true, Some(8)));
    assert!(t.json(0).contains(r#""response":{"error_code":"CANCEL"}"#), "{}", t.json(0));
}

#[test]
fn what_is_damaged_is_an_event() {
    for (wire, event) in [
        (frame(kind::HEADERS, 4, 1, &[0x80]), "invalid_header"),
        (frame(kind::CONTINUATION, 4, 1, &[0x82]), "extra_header_data"),
        (frame(kind::HEADERS, 12, 1, &[200, 0x82]), "invalid_frame_data"),
        (frame(kind::DATA, 0, 0, b"x"), "data_stream_zero"),
        (frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0]), "invalid_frame_length"),
        (frame(kind::HEADERS, 4, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), "header_integer_overflow"),
        (
            frame(kind::HEADERS, 4, 1, &[field(":authority", "u@h"), field(":method", "GET")].concat()),
            "userinfo_in_uri",
        ),
        (
            frame(
                kind::HEADERS,
                4,
                1,
                &[field(":authority", "a"), field(":method", "GET"), field("host", "b")].concat(),
            ),
            "authority_host_mismatch",
        ),
    ] {
        let mut t = Talk::new();
        t.say(ToServer, &[parser::PREFACE, &wire].concat(), false);
        assert_eq!(t.events(), [event]);
    }
    let mut t = Talk::new();
    t.say(ToServer, b"not the preface at all", false);
    assert_eq!(t.events(), ["invalid_frame_header", "invalid_client_magic"]);
}

#[test]
fn blocks_without_end_are_bounded() {
    let mut t = Talk::new();
    t.say(ToServer, &[parser::PREFACE, &frame(kind::HEADERS, 0, 1, &[0; 100])].concat(), false);
    for _ in 0..100 {
        t.say(ToServer, &frame(kind::CONTINUATION, 0, 1, &[0; 1000]), false);
        assert!(t.http.sides[0].block.as_ref().is_none_or(|b| b.2.len() <= MAX_BLOCK));
    }
    assert!(t.events().contains(&"reassembly_limit_reached"));
}

#[test]
fn streams_without_end_are_bounded() {
    let mut t = Talk::new();
    t.say(ToServer, parser::PREFACE, false);
    for n in 0..5_000u32 {
        t.say(ToServer, &frame(kind::HEADERS, 4, 2 * n + 1, &request()), false);
        t.say(ToServer, &frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]), false);
    }
    let is = |t: &&Tx| t.core().only.is_some();
    let controls = t.http.txs.iter().filter(is).count();
    let open = t.http.txs.iter().filter(|t| !t.core().finished()).count();
    assert_eq!((controls, open, t.http.txs.len() - controls), (MAX_CONTROLS, MAX_TXS, 2 * MAX_TXS));
    // Of both, the newest.
    let ids: Vec<u64> = t.http.txs.iter().filter(is).map(|t| t.core().id).collect();
    assert_eq!((ids[0], ids[MAX_CONTROLS - 1]), (10_000 - 2 * MAX_CONTROLS as u64 + 1, 9_999));
    assert_eq!(t.memory.used, t.http.txs.charged(), "what went is given back");
}

/// Frames of the connection once counted as streams: five hundred of them ended the open ones, a thousand forgot them.
#[test]
fn frames_of_the_connection_end_no_streams() {
    let mut t = Talk::new();
    t.say(ToServer, &up(), false);
    t.say(ToClient, &frame(kind::HEADERS, 4, 1, &response()), false);
    for n in 0..3 * MAX_CONTROLS {
        let d = if n % 2 == 0 { ToServer } else { ToClient };
        t.say(d, &frame(kind::PING, 0, 0, &[0; 8]), false);
        t.say(d, &frame(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]), false);
        t.say(d, &frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), false);
    }
    assert_eq!(t.http.txs.len(), MAX_CONTROLS + 1);
    t.say(ToClient, &frame(kind::DATA, 1, 1, b"body"), false);
    let place = t.http.txs.iter().position(|t| t.core().only.is_none()).unwrap();
    let tx = t.http.txs.at(place).unwrap();
    assert_eq!((tx.core().id, tx.core().finished()), (1, true));
    assert_eq!(tx.files.at(0).map(|f| (f.size, f.state.name())), Some((4, "CLOSED")));
    assert!(t.json(place).contains(r#""length":4"#), "{}", t.json(place));
    assert!(t.events().is_empty(), "{:?}", t.events());
}

/// Streams that are over but wait to be written are not open ones.
#[test]
fn streams_that_are_over_end_no_streams() {
    let mut t = Talk::new();
    t.say(ToServer, &[parser::PREFACE, &frame(kind::HEADERS, 5, 1, &request())].concat(), false);
    for n in 1..3 * MAX_TXS as u32 {
        t.say(ToServer, &frame(kind::HEADERS, 5, 2 * n + 1, &request()), false);
        t.say(ToClient, &frame(kind::HEADERS, 5, 2 * n + 1, &response()), false);
    }
    assert_eq!(t.http.txs.len(), 2 * MAX_TXS);
    t.say(ToClient, &frame(kind::HEADERS, 5, 1, &response()), false);
    assert!(t.http.txs.at(0).is_some_and(|t| t.core().id == 0 && t.response.is_some()));
    assert!(t.events().is_empty(), "{:?}", t.events());
}

#[test]
fn more_open_streams_than_are_kept_are_an_event() {
    let mut t = Talk::new();
    t.say(ToServer, parser::PREFACE, false);
    for n in 0..MAX_TXS as u32 {
        t.say(ToServer, &frame(kind::HEADERS, 4, 2 * n + 1, &request()), false);
    }
    assert_eq!(t.events(), [""; 0]);
    t.say(ToServer, &frame(kind::HEADERS, 4, 2 * MAX_TXS as u32 + 1, &request()), false);
    assert_eq!(t.events(), ["too_many_streams"]);
}

#[test]
fn a_stream_that_was_there_before_is_begun_again() {
    let mut t = Talk::new();
    t.say(ToServer, &[parser::PREFACE, &frame(kind::HEADERS, 5, 3, &request())].concat(), false);
    t.say(ToClient, &frame(kind::HEADERS, 5, 3, &response()), false);
    // A priority for a stream that is over is allowed; so is a further stream.
    t.say(ToServer, &frame(kind::PRIORITY, 0, 3, &[0, 0, 0, 0, 9]), false);
    t.say(ToServer, &frame(kind::HEADERS, 5, 5, &request()), false);
    t.say(ToServer, &frame(kind::HEADERS, 0, 7, &request()[..5]), false);
    t.say(ToServer, &frame(kind::CONTINUATION, 4, 7, &request()[5..]), false);
    assert_eq!(t.events(), [""; 0]);
    t.say(ToServer, &frame(kind::HEADERS, 5, 1, &request()), false);
    assert_eq!(t.events(), ["stream_id_reuse"]);
}

#[test]
fn a_range_that_is_none_is_an_event() {
    for (range, events) in [
        ("bytes 0-3/9", &[][..]),
        ("bytes */9", &[]),
        ("bytes 3-0/9", &["invalid_range"]),
        ("bytes 0-9/9", &["invalid_range"]),
    ] {
        let mut t = Talk::new();
        t.say(ToServer, &up(), false);
        let head = [response(), field("content-range", range)].concat();
        t.say(ToClient, &[frame(kind::HEADERS, 4, 1, &head), frame(kind::DATA, 1, 1, b"abcd")].concat(), false);
        assert_eq!(t.events(), events, "{range}");
    }
}

#[test]
fn a_gap_inside_data_is_a_gap_in_the_file() {
    let mut t = Talk::new();
    t.say(ToServer, &up(), false);
    let wire = [frame(kind::HEADERS, 4, 1, &response()), frame(kind::DATA, 1, 1, b"0123456789")].concat();
    let (head, tail) = wire.split_at(wire.len() - 8);
    t.say(ToClient, head, false);
    let mut cx = Cx {
        time: Timestamp::default(),
        ports: (1, 2),
        config: &t.config,
        memory: &mut t.memory,
        change: None,
        encrypted: false,
        frames: Default::default(),
    };
    assert_eq!(t.http.gap(ToClient, 5, &mut cx), Step::Ok(0));
    t.say(ToClient, &tail[5..], false);
    let f = t.http.txs.at(1).unwrap().files.at(0).unwrap();
    assert_eq!((f.size, f.gaps, f.state.name()), (10, true, "TRUNCATED"));
}

proptest! {
    #[test]
    fn any_bytes(parts in prop::collection::vec((any::<bool>(), prop_oneof![
        Just(up()), Just(down()),
        (0u8..12, any::<u8>(), 0u32..4, prop::collection::vec(any::<u8>(), 0..30)).prop_map(|(k, f, s, p)| frame(k, f, s, &p)),
        prop::collection::vec(any::<u8>(), 0..30)]), 0..12)) {
        let mut t = Talk::new();
        for (up, bytes) in &parts {
            t.say(if *up { ToServer } else { ToClient }, bytes, false);
        }
        t.say(ToServer, b"", true);
        t.http.finish();
        prop_assert!(t.http.txs.iter().all(|t| t.core().finished()));
        for i in 0..t.http.txs.len() {
            let _ = t.json(i);
        }
    }
}
