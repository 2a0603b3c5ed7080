// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Behaviour of the reader of mail: structure, encodings, names, URLs, faults, and every way of cutting its input.

use proptest::prelude::*;

use super::*;

/// Attachments as they come out.
#[derive(Debug, Default, PartialEq, Eq)]
struct Files(Vec<(String, Vec<u8>, bool)>);

impl Sink for Files {
    fn open(&mut self, name: &[u8]) {
        assert!(self.0.last().is_none_or(|f| f.2), "the one before has ended");
        self.0.push((String::from_utf8_lossy(name).into_owned(), Vec::new(), false));
    }
    fn data(&mut self, bytes: &[u8]) {
        let last = self.0.last_mut().expect("opened before");
        assert!(!bytes.is_empty() && !last.2);
        last.1.extend_from_slice(bytes);
    }
    fn close(&mut self) {
        self.0.last_mut().expect("opened before").2 = true;
    }
}

/// Feeds text, lines in pieces of at most `piece` bytes.
fn feed(text: &[u8], piece: usize, choices: &Choices) -> (Mime, Files) {
    let (mut m, mut files) = (Mime::new(), Files::default());
    let mut rest = text;
    while !rest.is_empty() {
        let at = memchr::memchr(b'\n', rest);
        let (line, end, tail): (_, &'static [u8], _) = match at {
            Some(at) => match rest[..at].strip_suffix(b"\r") {
                Some(line) => (line, b"\r\n", &rest[at + 1..]),
                None => (&rest[..at], b"\n", &rest[at + 1..]),
            },
            None => (rest, b"", &rest[rest.len()..]),
        };
        let mut line = line;
        while line.len() > piece {
            m.line(&line[..piece], b"", choices, &mut files);
            line = &line[piece..];
        }
        m.line(line, end, choices, &mut files);
        rest = tail;
    }
    m.finish(choices, &mut files);
    (m, files)
}

fn read(text: &str) -> (Mime, Files) {
    feed(text.replace('\n', "\r\n").as_bytes(), usize::MAX, &Choices::default())
}

fn names(m: &Mime) -> Vec<Fault> {
    use Fault::*;
    [
        ParseFailed,
        MalformedMsg,
        InvalidBase64,
        InvalidQp,
        LongLine,
        LongEncLine,
        LongHeaderName,
        LongHeaderValue,
        LongBoundary,
        LongFilename,
    ]
    .into_iter()
    .filter(|f| m.faults().has(*f))
    .collect()
}

const NESTED: &str = "From: \"Doe, Jane\" <jane@a.example>\nTo: x@b.example,\n \"y, z\" <y@b.example>\nSubject: nested\n\
    Content-Type: multipart/mixed; boundary=\"outer\"\n\npreamble\n--outer\n\
    Content-Type: multipart/alternative;\n\tboundary=outerinner\n\n--outerinner\nContent-Type: text/plain\n\n\
    See http://one.example/a and HTTP://two.example/b.\n--outerinner\nContent-Type: text/html\n\
    Content-Transfer-Encoding: quoted-printable\n\n<a href=3D\"http://three.exam=\nple/c.exe\">\n--outerinner--\n\
    --outer\nContent-Type: application/pdf; name=\"a.pdf\"\nContent-Transfer-Encoding: base64\n\n\
    SGVsbG8s\nIHdvcmxk\nIQ==\n--outer\n\
    Content-Disposition: attachment; filename=b.txt\n\nline one\nline two\n--outer\n\
    Content-Type: message/rfc822\n\nFrom: in@c.example\nContent-Disposition: attachment; filename=\"in ner.bin\"\n\n\
    deep\n--outer--\nepilogue http://no.example/\n";

#[test]
fn parts_of_parts_give_their_attachments_and_text_its_urls() {
    let (m, files) = read(NESTED);
    let want = [("a.pdf", &b"Hello, world!"[..]), ("b.txt", b"line one\r\nline two"), ("in ner.bin", b"deep")];
    assert_eq!(files.0, want.map(|(n, d)| (n.to_owned(), d.to_vec(), true)));
    assert_eq!(m.attachments(), want.map(|(n, _)| n.as_bytes().to_vec()));
    let urls: Vec<_> = m.urls().iter().map(String::from_utf8_lossy).collect();
    assert_eq!(urls, ["two.example/b.", "one.example/a", "three.example/c.exe"], "of a line from its end");
    assert!(m.urls().exe && !m.urls().ipv4 && !m.urls().ipv6);
    assert_eq!(m.field(b"subject"), Some(&b"nested"[..]));
    let to: Vec<_> = addresses(m.field(b"to").expect("there")).map(String::from_utf8_lossy).collect();
    assert_eq!(to, ["x@b.example", "\"y, z\" <y@b.example>"]);
    assert_eq!(m.fields().len(), 4, "fields of parts are not the message's");
    assert_eq!((m.state(), names(&m)), (State::Done, vec![]));
}

#[test]
fn names_of_files_come_in_every_form() {
    for (fields, want) in [
        ("Content-Disposition: attachment; filename=plain.txt", "plain.txt"),
        ("Content-Disposition: attachment; filename=\"quo\\\"ted; name.txt\"; size=3", "quo\"ted; name.txt"),
        ("Content-Disposition: inline; filename*=utf-8'de'%C3%BCber.txt", "über.txt"),
        ("Content-Disposition: attachment;\n filename*0=one;\n filename*1=two.zip", "onetwo.zip"),
        ("Content-Disposition: attachment; filename*0*=us-ascii''a%20; filename*1=\"b%20\"", "a b%20"),
        ("Content-Type: application/x; NAME = typed.bin", "typed.bin"),
        ("Content-Type: text/plain; name=second\nContent-Disposition: attachment; filename=first", "first"),
        ("Content-Disposition: attachment; ; x; =; filename=odd", "odd"),
    ] {
        let (m, files) = read(&format!("{fields}\n\nx\n"));
        assert_eq!(m.attachments(), [want.as_bytes()], "{fields}");
        assert_eq!(files.0, [(want.to_owned(), b"x".to_vec(), true)]);
    }
}

#[test]
fn encodings_are_read_as_far_as_they_hold() {
    let file = |encoding: &str, body: &str| {
        let head = "Content-Disposition: attachment; filename=f\nContent-Transfer-Encoding: ";
        let (m, mut files) = read(&format!("{head}{encoding}\n\n{body}"));
        (files.0.remove(0).1, names(&m))
    };
    assert_eq!(file("BASE64", "TQ==\n"), (b"M".to_vec(), vec![]));
    assert_eq!(file("base64", "TWE=TWFu\n"), (b"MaMan".to_vec(), vec![]), "padding in the middle");
    assert_eq!(file("base64", "T W\nF\nu"), (b"Man".to_vec(), vec![]));
    assert_eq!(file("base64", "TW*Fu\n"), (b"Man".to_vec(), vec![Fault::InvalidBase64]));
    assert_eq!(file("base64", "TWFuTQ\n"), (b"ManM".to_vec(), vec![]), "without padding");
    assert_eq!(file("quoted-printable", "a=3D=\nb  \nc=\n"), (b"a=b\r\nc".to_vec(), vec![]));
    assert_eq!(file("quoted-printable", "a=ZZ\n"), (b"a=ZZ".to_vec(), vec![Fault::InvalidQp]));
    assert_eq!(file("x-unknown", "as is\n"), (b"as is".to_vec(), vec![]));
    let long = "QUJD".repeat(30);
    assert_eq!(file("base64", &long), (b"ABC".repeat(30), vec![Fault::LongEncLine]));
}

#[test]
fn what_is_odd_is_named_and_read_all_the_same() {
    let multi =
        |boundary: &str, inside: &str| format!("Content-Type: multipart/mixed; boundary={boundary}\n\n{inside}");
    let long = "b".repeat(300);
    for (text, want) in [
        (format!("{}: x\n\nbody\n", "n".repeat(80)), vec![Fault::LongHeaderName]),
        (format!("Subject: {}\n\nbody\n", "s".repeat(900)), vec![]),
        (
            format!("Subject: {}\n {}\n {}\n\n", "s".repeat(900), "s".repeat(900), "s".repeat(900)),
            vec![Fault::LongHeaderValue],
        ),
        (format!("A: b\n\n{}\n", "l".repeat(1000)), vec![Fault::LongLine]),
        (
            multi(&long, &format!("--{long}\nContent-Disposition: attachment; filename=a\n\nin\n--{long}--\n")),
            vec![Fault::LongBoundary],
        ),
        ("no field here\nA: b\n\n".into(), vec![Fault::MalformedMsg]),
        (multi("x", "--x\nContent-Type: text/plain\n--x\n\nbody\n--x--\n"), vec![Fault::MalformedMsg]),
        (format!("Content-Disposition: attachment; filename={}\n\nx\n", "f".repeat(300)), vec![Fault::LongFilename]),
    ] {
        let (m, _) = read(&text);
        assert_eq!(names(&m), want, "{}", text.get(..60).unwrap_or(&text));
        assert_eq!(m.state(), State::Done);
    }
    let (m, files) =
        read(&multi(&long, &format!("--{long}\nContent-Disposition: attachment; filename=a\n\nin\n--{long}--\n")));
    assert_eq!((files.0.len(), m.attachments().len()), (1, 1), "parts behind a long boundary are found");
}

/// Threat: parts in parts, headers, attachments and URLs without end. Every cap is hit and holds.
#[test]
fn caps_hold() {
    let mut deep = String::new();
    for n in 0..40 {
        deep.push_str(&format!("Content-Type: multipart/mixed; boundary=b{n}.\n\n--b{n}.\n"));
    }
    let (m, _) = read(&deep);
    assert!(m.levels.len() <= MAX_DEPTH && names(&m).contains(&Fault::ParseFailed));
    let (m, _) = read(&format!("{}\n", "A: b\n".repeat(1000)));
    assert_eq!(m.fields().len(), MAX_FIELDS);
    let part = "--x\nContent-Disposition: attachment; filename=f\n\ny\n";
    let (m, files) = read(&format!("Content-Type: multipart/mixed; boundary=x\n\n{}", part.repeat(500)));
    assert_eq!((m.attachments().len(), files.0.len()), (MAX_ATTACHMENTS, 500));
    let (m, _) = read(&format!("\n{}", "http://a.example/\n".repeat(1000)));
    assert_eq!(m.urls().iter().count(), url::MAX_URLS);
    let (m, _) = read(&format!("\nhttp://{}\n", "u".repeat(5000)));
    assert_eq!(m.urls().at(0).map(<[u8]>::len), Some(url::MAX_URL));
    assert!(m.held() < 64 << 10);
}

#[test]
fn schemes_hosts_and_the_body_as_configured() {
    let choices = Choices {
        schemes: vec!["http://".into(), "ftp://".into()],
        log_scheme: true,
        body_md5: true,
        base64: false,
        ..Choices::default()
    };
    let text = b"Subject: x\r\n\r\nftp://192.0.2.1/x.EXE?q http://[2001:db8::1]:80/ https://no.example\r\n";
    let (m, _) = feed(text, usize::MAX, &choices);
    let urls: Vec<_> = m.urls().iter().map(String::from_utf8_lossy).collect();
    assert_eq!(urls, ["http://[2001:db8::1]:80/", "ftp://192.0.2.1/x.EXE?q"]);
    assert!(m.urls().exe && m.urls().ipv4 && m.urls().ipv6);
    let body = &text[14..];
    assert_eq!(m.body_md5(), Some(&*hex::encode(<md5::Md5 as md5::Digest>::digest(body))));
    let (m, _) = feed(text, usize::MAX, &Choices { urls: false, ..Choices::default() });
    assert!(m.urls().is_empty() && m.body_md5().is_none());
}

proptest! {
    /// However long lines are cut, the same comes out.
    #[test]
    fn pieces_of_lines_give_the_same(piece in 60usize..200) {
        let text = NESTED.replace('\n', "\r\n");
        let whole = feed(text.as_bytes(), usize::MAX, &Choices::default());
        let cut = feed(text.as_bytes(), piece, &Choices::default());
        prop_assert_eq!(whole.1, cut.1);
        prop_assert_eq!(whole.0.fields(), cut.0.fields());
    }

    /// Every truncation ends in good order.
    #[test]
    fn every_truncation_ends(n in 0usize..1200) {
        let text = NESTED.replace('\n', "\r\n");
        let (m, files) = feed(&text.as_bytes()[..n.min(text.len())], usize::MAX, &Choices::default());
        prop_assert_eq!(m.state(), State::Done);
        prop_assert!(files.0.iter().all(|f| f.2));
    }

    #[test]
    fn no_bytes_break_it(lines in prop::collection::vec(prop::sample::select(vec![
        "Content-Type: multipart/mixed; boundary=x", "Content-Type: message/rfc822", "", "--x", "--x--", "--",
        "Content-Disposition: attachment; filename=\"", "Content-Transfer-Encoding: base64", "=", "SGk=", "a: b", ":", " fold",
        "Content-Transfer-Encoding: quoted-printable", "=3", "http://", "Content-Type: multipart/digest; boundary=\"y", "--y",
    ]), 0..40), junk: Vec<u8>, piece in 1usize..90) {
        let mut text = lines.join("\r\n").into_bytes();
        text.extend_from_slice(b"\r\n");
        text.extend_from_slice(&junk);
        let (m, files) = feed(&text, piece, &Choices::default());
        prop_assert_eq!(m.state(), State::Done);
        prop_assert!(files.0.iter().all(|f| f.2));
        prop_assert!(files.0.iter().map(|f| f.1.len()).sum::<usize>() <= text.len());
    }
}
