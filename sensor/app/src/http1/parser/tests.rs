// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Heads as servers and clients send them, and as they send them to be misunderstood.

use proptest::prelude::*;

use super::*;

fn text(b: &[u8]) -> String {
    String::from_utf8_lossy(b).into_owned()
}

// The head at the beginning of `wire`: start line, `name=value` of each field, and what is left.
fn read(wire: &[u8], response: bool) -> (String, Vec<String>, String) {
    let end = end_of_head(wire, 0, response, true).expect("an end");
    let h = Head::read(&wire[..end], response);
    let fields = h.fields.iter().map(|f| format!("{}={}", text(h.get(f.name)), text(h.get(f.value)))).collect();
    (text(h.line()), fields, text(&wire[end..]))
}

fn check(wire: &str, response: bool, line: &str, fields: &[&str], rest: &str) {
    assert_eq!(
        read(wire.as_bytes(), response),
        (line.to_owned(), fields.iter().map(|f| (*f).to_owned()).collect(), rest.to_owned()),
        "of {wire:?}"
    );
}

#[test]
fn heads_of_honest_peers() {
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", false, "GET / HTTP/1.1", &["Host=a"], "rest");
    check("GET / HTTP/1.1\nHost: a\n\nrest", false, "GET / HTTP/1.1", &["Host=a"], "rest");
    check("HTTP/1.1 200 OK\r\nA:1\r\nB:  2 \r\n\r\n", true, "HTTP/1.1 200 OK", &["A=1", "B=2"], "");
    check("GET / HTTP/1.0\r\n\r\n", false, "GET / HTTP/1.0", &[], "");
}

#[test]
fn heads_with_odd_line_ends() {
    check("HTTP/1.1 200\rA: 1\rB: 2\r\n\r\nX", true, "HTTP/1.1 200", &["A=1", "B=2"], "X");
    check("HTTP/1.1 200\r\nA: 1\n\r\r\nX", true, "HTTP/1.1 200", &["A=1"], "X");
    check("HTTP/1.1 200\r\nA: 1\n\r\nX", true, "HTTP/1.1 200", &["A=1"], "X");
    check("HTTP/1.1 200\r\nA: 1\n \nX", true, "HTTP/1.1 200", &["A=1"], "X");
    check("HTTP/1.1 200\r\nA: 1\n\t\n\nX", true, "HTTP/1.1 200", &["A=1"], "X");
    check("HTTP/1.1 200\r\nA: 1\r\n \r\n\r\nX", true, "HTTP/1.1 200", &["A=1"], "X");
    // A client's lone CR is part of the value.
    check("GET / HTTP/1.1\r\nA: 1\rB: 2\r\n\r\nX", false, "GET / HTTP/1.1", &["A=1\rB: 2"], "X");
}

#[test]
fn folded_fields_are_joined() {
    check("H 1\r\nA: 1\r\n 2\r\n\t3\r\nB: 4\r\n\r\n", true, "H 1", &["A=1 2 3", "B=4"], "");
    check("H 1\r\nA\r\n : 1\r\n\r\n", true, "H 1", &["A=1"], "");
    check("H 1\r\nA:\r\n \r\n 1\r\n \r\nB: 2\r\n\r\n", true, "H 1", &["A=1", "B=2"], "");
    check("H 1\r\nA: 1\r\n\r \rB: 2\r\n\r\n", true, "H 1", &["A=1", "B=2"], "");
}

#[test]
fn damaged_fields_are_kept_and_noted() {
    let wire = b"H 1\r\njunk\r\n: x\r\nA b: y\r\nC : z\r\nD\0: w\r\n\0E: v\r\na B: again\r\n\r\n";
    let h = Head::read(wire, true);
    let names: Vec<_> = h.fields.iter().map(|f| text(h.get(f.name))).collect();
    assert_eq!(names, ["", "", "A b", "C", "D", "E", "a B"]);
    assert!(h.odd.missing_colon && h.odd.invalid_name && h.odd.repeated && !h.plain);
    assert_eq!(h.value(b"c"), Some(&b"z"[..]));
    assert!(Head::read(b"H 1\r\n A: 1\r\n\r\n", true).odd.bad_folding);
    let zeros = Head::read(b"H 1\r\nTransfer\0-encoding: chun\0ked\r\n\r\n", true);
    assert!(has_word(zeros.value(b"transfer-encoding").unwrap(), b"chunked"));
}

#[test]
fn a_plain_head_is_its_own_buffer() {
    assert!(Head::read(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n", false).plain);
    for odd in ["Host:a\r\n", "Host:  a\r\n", "Host: a\n", "Host: a \r\n", "Host: a\r\n b\r\n", "A: 1\r\na: 1\r\n"] {
        let wire = format!("GET / HTTP/1.1\r\n{odd}\r\n");
        assert!(!Head::read(wire.as_bytes(), false).plain, "{odd:?}");
    }
}

#[test]
fn fields_are_bounded() {
    let mut wire = b"GET / HTTP/1.1\r\n".to_vec();
    for i in 0..MAX_FIELDS + 10 {
        wire.extend_from_slice(format!("N{}: v\r\n", i / 2).as_bytes());
    }
    wire.extend_from_slice(b"\r\n");
    let h = Head::read(&wire, false);
    assert_eq!((h.fields.len(), h.odd.many, h.odd.repeated), (MAX_FIELDS, true, true));
    assert_eq!(h.fields.iter().filter(|f| f.repeated).count(), MAX_FIELDS / 2);
    let long = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(MAX_FIELD));
    assert!(Head::read(long.as_bytes(), false).odd.long);
}

#[test]
fn request_lines() {
    let check = |line: &str, method: &str, uri: &str, protocol: &str| {
        let (r, l) = (request_line(line.as_bytes()), line.as_bytes());
        let get = |s: Span| text(&l[s.from as usize..s.to as usize]);
        assert_eq!(
            (get(r.method), get(r.uri), get(r.protocol)),
            (method.into(), uri.into(), protocol.into()),
            "{line:?}"
        );
        r
    };
    check("GET / HTTP/1.1", "GET", "/", "HTTP/1.1");
    check("GET /", "GET", "/", "");
    check("GET", "GET", "", "");
    check("", "", "", "");
    assert!(check("  GET / HTTP/1.1", "GET", "/", "HTTP/1.1").leading);
    assert!(check("GET\t/ HTTP/1.1", "GET", "/", "HTTP/1.1").odd_method_end);
    assert!(check("GET /  HTTP/1.1", "GET", "/", "HTTP/1.1").odd_uri_end);
    check("GET /a b c HTTP/1.1", "GET", "/a b c", "HTTP/1.1");
    check("GET /a b", "GET", "/a", "b");
    check("GET / HTTP/1.1  ", "GET", "/", "HTTP/1.1");
}

#[test]
fn status_lines() {
    let check = |line: &str, status: &str, message: &str, number: Option<u16>| {
        let (s, l) = (status_line(line.as_bytes()), line.as_bytes());
        let get = |s: Span| text(&l[s.from as usize..s.to as usize]);
        assert_eq!((get(s.status), get(s.message), s.number(l)), (status.into(), message.into(), number), "{line:?}");
    };
    check("HTTP/1.1 200 OK", "200", "OK", Some(200));
    check("HTTP/1.1 404 Not Found", "404", "Not Found", Some(404));
    check("HTTP/1.1\x0b200\x0bok", "200", "ok", Some(200));
    check("HTTP/1.1 20x ok", "20x", "ok", None);
    check("HTTP/1.1 0200 ok", "0200", "ok", None);
    check("HTTP/1.1 20", "20", "", None);
    check("HTTP/1.1", "", "", None);
    check("HTTP/1.1 200", "200", "", Some(200));
}

#[test]
fn lengths_chunks_versions() {
    for (value, n, odd) in [
        ("68", Some(68), false),
        ("68 34", Some(68), true),
        ("(68) 34", Some(68), true),
        ("34( 68)", Some(34), true),
        ("68.9", Some(68), true),
        ("", None, true),
        ("abc", None, true),
        ("99999999999999999999999", None, false),
    ] {
        assert_eq!(content_length(value.as_bytes()), (n, odd), "{value}");
    }
    for (line, size) in [
        ("f", Some((15, false))),
        ("00f", Some((15, false))),
        ("F\r", Some((15, false))),
        (" 5", Some((5, false))),
        ("\x0bf", Some((15, false))),
        ("f x", Some((15, true))),
        ("5;ext=1", Some((5, true))),
        ("fx", Some((15, true))),
        ("x", None),
        ("", None),
        ("-1", None),
        ("ffffffffff", None),
        ("fffffffffffffffffffffffff", None),
    ] {
        assert_eq!(chunk_size(line.as_bytes()), size, "{line:?}");
    }
    for (word, v) in [
        ("HTTP/1.1", Some(11)),
        ("http/1.0", Some(10)),
        ("HTTP/1\0.1", Some(11)),
        ("HTTP/2", None),
        ("SIP/2.0", None),
        ("", None),
    ] {
        assert_eq!(version(word.as_bytes()), v, "{word}");
    }
    assert_eq!(looks_like_response(b"HTTP/1.1"), Some(true));
    assert_eq!(looks_like_response(b" \r\n\0hTTp"), Some(true));
    assert_eq!(looks_like_response(b"HT"), None);
    assert_eq!(looks_like_response(b" \r\n"), None);
    assert_eq!(looks_like_response(b"X5O!"), Some(false));
}

#[test]
fn authorities() {
    let check = |t: &str, host: &str, port: Option<u16>, invalid: bool| {
        let a = authority(t.as_bytes());
        assert_eq!((text(a.host).as_str(), a.port, a.invalid), (host, port, invalid), "{t}");
    };
    check("example.com", "example.com", None, false);
    check("example.com:8080", "example.com", Some(8080), false);
    check("u:p@example.com.", "example.com.", None, false); // as Suricata 7 shows it
    check("[::1]:443", "[::1]", Some(443), false);
    check("[::1]", "[::1]", None, false);
    check("a b", "a b", None, true);
    check("a:99999", "a", None, true);
    check("a..b", "a..b", None, true);
    check("[zz]", "[zz]", None, true);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(data in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), Just(b':'), Just(0u8), any::<u8>()], 0..200), response: bool) {
        let head = Head::read(&data, response);
        for f in &head.fields {
            let _ = (head.get(f.name), head.get(f.value));
        }
        let _ = (request_line(&data), status_line(&data).number(&data), chunk_size(&data), content_length(&data), authority(&data), version(&data), looks_like_response(&data));
    }

    // However a head is cut, its end is found at the same place.
    #[test]
    fn the_end_is_found_in_pieces(fields in prop::collection::vec("[A-Za-z]{1,8}: ?[ -~]{0,12}(\r\n|\n)", 0..6), cut in 0usize..200) {
        let wire = format!("GET / HTTP/1.1\r\n{}\r\nbody", fields.concat());
        let whole = end_of_head(wire.as_bytes(), 0, false, false).unwrap();
        let cut = cut.min(whole);
        let early = end_of_head(&wire.as_bytes()[..cut], 0, false, false);
        prop_assert!(early.is_none() || early == Some(whole));
        prop_assert_eq!(end_of_head(wire.as_bytes(), resume(cut), false, false), Some(whole));
    }
}
