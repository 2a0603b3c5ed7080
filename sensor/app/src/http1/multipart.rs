// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Forms of several parts (`multipart/form-data`, RFC 7578): each part with a file name is a file.
//!
//! Must never hold more than one delimiter and one part's head ([`MAX_PART_HEAD`]) of a body.

use lagewarte_flow::Direction;
use memchr::memmem;

use super::{
    events::Event,
    parser::{Head, has_word, is_space},
};
use crate::file::{File, Files, MAX_NAME, Pieces, Wanted};

/// Bytes of a part's head that are read. Threat: a part that is nothing but head.
pub const MAX_PART_HEAD: usize = 16 * 1024;
/// Longest boundary: RFC 2046 allows 70; some clients use more.
pub const MAX_BOUNDARY: usize = 200;

/// A form that is read.
#[derive(Debug)]
pub struct Form {
    // CRLF, two dashes and the boundary.
    delimiter: Vec<u8>,
    // What may yet become a delimiter, or a part's head so far.
    held: Vec<u8>,
    place: Place,
    // The file that the present part is.
    file: Option<usize>,
    invalid_head: bool,
    no_file_data: bool,
    long_name: bool,
    unfinished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    // Before the first delimiter.
    Preamble,
    // Behind a delimiter: the end, or a line's end.
    Behind,
    Head,
    Data,
    // Behind the last delimiter.
    End,
}

impl Form {
    /// A form with this boundary; None where it is none that a form can have.
    pub fn new(boundary: &[u8]) -> Option<Self> {
        if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
            return None;
        }
        Some(Self {
            delimiter: [b"\r\n--", boundary].concat(),
            // A delimiter at the very beginning has no line end before it.
            held: b"\r\n".to_vec(),
            place: Place::Preamble,
            file: None,
            invalid_head: false,
            no_file_data: false,
            long_name: false,
            unfinished: false,
        })
    }

    /// Takes the next bytes of the body. True: `file.data` has something new.
    pub fn push(&mut self, bytes: &[u8], files: &mut Files, wanted: &Wanted, pieces: Pieces) -> bool {
        self.held.extend_from_slice(bytes);
        let mut news = false;
        loop {
            match self.place {
                Place::Preamble | Place::Data => match memmem::find(&self.held, &self.delimiter) {
                    Some(at) => {
                        news |= self.data(at, files);
                        news |= self.end_part(files);
                        self.held.drain(..at + self.delimiter.len());
                        self.place = Place::Behind;
                    }
                    None => {
                        // What is left may be the beginning of a delimiter.
                        let sure = self.held.len().saturating_sub(self.delimiter.len() - 1);
                        news |= self.data(sure, files);
                        self.held.drain(..sure);
                        return news;
                    }
                },
                Place::Behind => {
                    if self.held.starts_with(b"--") {
                        self.place = Place::End;
                        continue;
                    }
                    if self.held.len() < 2 {
                        return news;
                    }
                    let Some(lf) = memchr::memchr(b'\n', &self.held) else {
                        if self.held.len() > MAX_PART_HEAD {
                            self.place = Place::End;
                            self.invalid_head = true;
                            continue;
                        }
                        return news;
                    };
                    self.held.drain(..=lf);
                    self.place = Place::Head;
                }
                Place::Head => {
                    let empty = self.held.starts_with(b"\r\n");
                    let end = if empty { Some(2) } else { memmem::find(&self.held, b"\r\n\r\n").map(|i| i + 4) };
                    match end {
                        Some(end) => {
                            self.open_part(end, files, wanted, pieces);
                            // The line end of an empty part's delimiter is the head's.
                            self.held.drain(..end - 2);
                            self.place = Place::Data;
                            if !self.held.starts_with(&self.delimiter) {
                                self.held.drain(..2.min(self.held.len()));
                            }
                        }
                        None if self.held.len() > MAX_PART_HEAD => {
                            self.invalid_head = true;
                            self.place = Place::Data;
                        }
                        None => return news,
                    }
                }
                Place::End => {
                    self.held.clear();
                    return news;
                }
            }
        }
    }

    /// Nothing more is read of the body: the part that is open is truncated. True: `file.data` has something new.
    pub fn cut(&mut self, files: &mut Files) -> bool {
        if self.place == Place::End {
            return false;
        }
        let mut news = self.data(self.held.len(), files);
        news |= self.file.take().and_then(|i| files.at_mut(i)).is_some_and(File::truncate);
        self.place = Place::End;
        self.held = Vec::new();
        news
    }

    /// The body has ended: the part that is open ends, too.
    pub fn finish(&mut self, files: &mut Files) {
        if self.place != Place::End {
            self.unfinished = true;
            self.cut(files);
        }
    }

    /// What was odd.
    pub fn events(&self) -> impl Iterator<Item = Event> + use<> {
        [
            (self.invalid_head, Event::MultipartInvalidHeader),
            (self.no_file_data, Event::MultipartNoFiledata),
            (self.long_name, Event::FileNameTooLong),
            (self.unfinished, Event::MultipartGenericError),
        ]
        .into_iter()
        .filter_map(|(is, e)| is.then_some(e))
    }

    fn data(&mut self, n: usize, files: &mut Files) -> bool {
        if self.place != Place::Data {
            return false;
        }
        let bytes = self.held.get(..n).unwrap_or_default();
        self.file.and_then(|i| files.at_mut(i)).is_some_and(|f| f.push(bytes))
    }

    fn end_part(&mut self, files: &mut Files) -> bool {
        let Some(f) = self.file.take().and_then(|i| files.at_mut(i)) else { return false };
        self.no_file_data |= f.size == 0;
        f.close() || f.size > 0
    }

    fn open_part(&mut self, end: usize, files: &mut Files, wanted: &Wanted, pieces: Pieces) {
        // A head of fields only: read as one with an empty start line.
        let wire = [b"\r\n", self.held.get(..end).unwrap_or_default()].concat();
        let head = Head::read(&wire, false);
        self.invalid_head |= head.odd.missing_colon;
        let Some(name) = head.value(b"content-disposition").and_then(filename) else { return };
        self.long_name |= name.len() > MAX_NAME;
        self.file = files.open(File::open(&name, Direction::ToServer, wanted, pieces));
    }
}

/// The boundary of a `multipart/form-data` content type; None where it is another type.
pub fn boundary(content_type: &[u8]) -> Option<&[u8]> {
    if !has_word(content_type, b"multipart/form-data") {
        return None;
    }
    parameter(content_type, b"boundary")
}

/// The file name that a `Content-Disposition` states.
pub fn filename(disposition: &[u8]) -> Option<Vec<u8>> {
    let name = parameter(disposition, b"filename")?;
    let mut out = Vec::with_capacity(name.len());
    let mut bytes = name.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        // An escaped quote or backslash.
        match (b, bytes.peek()) {
            (b'\\', Some(next @ (b'"' | b'\\'))) => {
                out.push(*next);
                bytes.next();
            }
            _ => out.push(b),
        }
    }
    (!out.is_empty()).then_some(out)
}

// The value of a parameter, quotes removed, wherever it stands behind a semicolon or at the beginning.
fn parameter<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|r| r.len() > name.len()) {
        let behind = at == 0 || text.get(at - 1).is_some_and(|b| *b == b';' || is_space(*b));
        if behind
            && rest.get(..name.len()).is_some_and(|w| w.eq_ignore_ascii_case(name))
            && let Some(value) = rest.get(name.len()..).map(<[u8]>::trim_ascii_start).and_then(|v| v.strip_prefix(b"="))
        {
            let value = value.trim_ascii_start();
            return Some(match value.strip_prefix(b"\"") {
                Some(quoted) => {
                    let mut escaped = false;
                    let end = quoted.iter().position(|b| {
                        let end = *b == b'"' && !escaped;
                        escaped = *b == b'\\' && !escaped;
                        end
                    });
                    quoted.get(..end.unwrap_or(quoted.len())).unwrap_or_default()
                }
                None => {
                    let end = value.iter().position(|b| *b == b';' || is_space(*b)).unwrap_or(value.len());
                    value.get(..end).unwrap_or_default()
                }
            });
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], size: usize) -> (Vec<(String, String)>, Vec<Event>) {
        let mut form = Form::new(b"XX").unwrap();
        let mut files = Files::default();
        for part in body.chunks(size) {
            form.push(part, &mut files, &Wanted::default(), Pieces::default());
        }
        form.finish(&mut files);
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (files.iter().map(|f| (text(&f.name), text(f.window.held()))).collect(), form.events().collect())
    }

    #[test]
    fn a_form_with_files() {
        let body = b"preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--XX\r\n\
            Content-Disposition: form-data; name=\"f\"; filename=\"one.txt\"\r\nContent-Type: text/plain\r\n\r\n\
            first\r\n--X\r\nfile\r\n--XX\r\ncontent-disposition: form-data; filename=two.bin\r\n\r\n\0\x01\r\n--XX--\r\nepilogue";
        for size in [1, 2, 3, 5, 8, 13, 1000] {
            let (files, events) = read(body, size);
            let expected = [("one.txt", "first\r\n--X\r\nfile"), ("two.bin", "\0\x01")];
            assert_eq!(files, expected.map(|(a, b)| (a.to_owned(), b.to_owned())), "in pieces of {size}");
            assert!(events.is_empty());
        }
    }

    #[test]
    fn a_form_from_its_first_byte_and_empty_parts() {
        let body = b"--XX\r\nContent-Disposition: form-data; filename=\"e\"\r\n\r\n\r\n--XX\r\n\r\n\r\n--XX--";
        for size in [1, 4, 1000] {
            let (files, events) = read(body, size);
            assert_eq!(files, [("e".to_owned(), String::new())], "in pieces of {size}");
            assert_eq!(events, [Event::MultipartNoFiledata]);
        }
    }

    #[test]
    fn a_form_that_breaks_off_keeps_what_came() {
        let (files, events) = read(b"--XX\r\nContent-Disposition: form-data; filename=\"e\"\r\n\r\nabc", 7);
        assert_eq!(files, [("e".to_owned(), "abc".to_owned())]);
        assert_eq!(events, [Event::MultipartGenericError]);
    }

    #[test]
    fn a_head_without_end_is_not_held() {
        let mut form = Form::new(b"XX").unwrap();
        let mut files = Files::default();
        form.push(b"--XX\r\n", &mut files, &Wanted::default(), Pieces::default());
        for _ in 0..100 {
            form.push(&[b'a'; 1000], &mut files, &Wanted::default(), Pieces::default());
            assert!(form.held.len() <= MAX_PART_HEAD + 1000);
        }
        assert!(form.events().any(|e| e == Event::MultipartInvalidHeader));
    }

    #[test]
    fn parameters() {
        for (text, name) in [
            ("attachment; filename=\"a.txt\"", Some("a.txt")),
            ("attachment; filename=a.txt; x=y", Some("a.txt")),
            ("attachment;FileName = \"a b.txt\"", Some("a b.txt")),
            ("attachment; filename=\"a\\\"b\"", Some("a\"b")),
            ("attachment; filename=\"open", Some("open")),
            ("attachment; xfilename=\"no\"", None),
            ("attachment", None),
            ("attachment; filename=\"\"", None),
        ] {
            assert_eq!(filename(text.as_bytes()).as_deref(), name.map(str::as_bytes), "{text}");
        }
        assert_eq!(boundary(b"multipart/form-data; boundary=----WebKit"), Some(&b"----WebKit"[..]));
        assert_eq!(boundary(b"multipart/mixed; boundary=a"), None);
    }
}
