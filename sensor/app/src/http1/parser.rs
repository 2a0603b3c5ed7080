// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The head of an HTTP/1 message: where it ends, its start line, its header fields; as bytes stand on the wire, read with
//! the tolerance of a receiver that wants to understand rather than to refuse.
//!
//! Pure: bytes to ranges, no state, no I/O. A head is copied once; fields are ranges into that copy, and only folded
//! fields are written anew (behind the copy). Must never look at a byte twice where a search does. Limits:
//! [`MAX_HEAD`], [`MAX_FIELDS`], [`MAX_FIELD`].

use memchr::{memchr, memchr2};

/// Bytes of a head that are read at most. Threat: a peer that sends fields without end.
pub const MAX_HEAD: usize = 256 * 1024;
/// Fields of a head that are read at most; libhtp's limit. Threat: work per field.
pub const MAX_FIELDS: usize = 1024;
/// Length of a field, or of the start line, beyond which an event is raised (`meta-field-limit`).
pub const MAX_FIELD: usize = 18_432;

/// From where to where, in the head's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub from: u32,
    /// Behind the last.
    pub to: u32,
}

impl Span {
    const fn new(from: usize, to: usize) -> Self {
        Self { from: from as u32, to: to as u32 } // invariant: a head is below MAX_HEAD twice over
    }
    /// How long.
    pub const fn len(self) -> usize {
        self.to.saturating_sub(self.from) as usize
    }
    /// Whether empty.
    pub const fn is_empty(self) -> bool {
        self.to <= self.from
    }
}

/// A header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Without blanks around it; empty where there was no colon.
    pub name: Span,
    /// Without blanks around it, folds joined by one space.
    pub value: Span,
    /// For finding repetitions: of the lower-cased name.
    hash: u32,
    /// An earlier field has the same name.
    pub repeated: bool,
}

/// What was odd about a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadOddities {
    /// A field without a colon.
    pub missing_colon: bool,
    /// A field with a name that is not one.
    pub invalid_name: bool,
    /// A fold before any field.
    pub bad_folding: bool,
    /// A field longer than [`MAX_FIELD`].
    pub long: bool,
    /// More than [`MAX_FIELDS`]; the others are not read.
    pub many: bool,
    /// The same name again.
    pub repeated: bool,
}

/// A message's start line and fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    bytes: Vec<u8>,
    // Length of what stood on the wire; joined folds come behind it.
    wire: usize,
    /// The start line without its end.
    pub line: Span,
    /// Where the fields begin.
    pub fields_from: usize,
    /// The fields, in order.
    pub fields: Vec<Field>,
    /// What was odd.
    pub odd: HeadOddities,
    /// Whether every field stands on the wire as `Name: value\r\n`, none repeated: then the wire is the buffer.
    pub plain: bool,
}

impl Head {
    /// Reads a head that [`end_of_head`] has delimited. `response`: a lone CR ends a line, too.
    pub fn read(wire: &[u8], response: bool) -> Self {
        let mut head = Self { bytes: wire.to_vec(), wire: wire.len(), plain: true, ..Self::default() };
        let (line, next) = line_at(wire, 0, response);
        head.line = Span::new(0, line);
        head.odd.long |= line > MAX_FIELD;
        head.fields_from = next;
        head.read_fields(next, response);
        head.mark_repeated();
        head
    }

    /// A head put together from a line, its end included, and fields (HTTP/2); nothing of it stands on the wire like that.
    pub fn from_fields<'f>(line: &[u8], fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Self {
        let mut head = Self { bytes: line.to_vec(), wire: line.len(), ..Self::default() };
        head.line = Span::new(0, line.strip_suffix(b"\r\n").unwrap_or(line).len());
        head.fields_from = line.len();
        for (name, value) in fields.take(MAX_FIELDS) {
            let at = head.bytes.len();
            head.bytes.extend_from_slice(name);
            let middle = head.bytes.len();
            head.bytes.extend_from_slice(value);
            let value = Span::new(middle, head.bytes.len());
            let hash = name.iter().fold(HASH, |h, b| hash(h, *b));
            head.fields.push(Field { name: Span::new(at, middle), value, hash, repeated: false });
        }
        head.mark_repeated();
        head
    }

    fn read_fields(&mut self, from: usize, response: bool) {
        let mut at = from;
        while at < self.wire {
            let (mut end, mut next) = line_at(self.wire(), at, response);
            let start = at;
            let first = self.bytes[at]; // at < wire
            if self.rest_is_end(at, response) {
                break;
            }
            if end == at && !self.is_fold(next) {
                // A lone empty line in the middle of a damaged head.
                self.plain = false;
                at = next;
                continue;
            }
            if self.fields.len() >= MAX_FIELDS {
                self.odd.many = true;
                return;
            }
            if is_blank(first) && self.fields.is_empty() {
                self.odd.bad_folding = true;
                self.plain = false;
            }
            if self.is_fold(next) && !self.rest_is_end(next, response) {
                // Joined behind the wire's bytes, one space for each fold.
                self.plain = false;
                let joined = self.bytes.len();
                self.copy_trimmed(start, end);
                while self.is_fold(next) && !self.rest_is_end(next, response) {
                    let from = next;
                    (end, next) = line_at(self.wire(), from, response);
                    if self.bytes.len() > joined {
                        self.bytes.push(b' ');
                    }
                    self.copy_trimmed(from, end);
                }
                if self.bytes.len() > joined {
                    self.field(joined, self.bytes.len());
                }
            } else {
                self.field(start, end);
                let expected = self.bytes.get(end..next) == Some(b"\r\n");
                self.plain &= expected && self.fields.last().is_some_and(|f| self.is_plain(f, start, end));
            }
            at = next;
        }
    }

    // A line that goes on the field before it.
    fn is_fold(&self, at: usize) -> bool {
        at < self.wire && self.bytes.get(at).copied().is_some_and(is_blank)
    }
    // A blank line behind which nothing follows but the end.
    fn rest_is_end(&self, at: usize, response: bool) -> bool {
        let (end, next) = line_at(self.wire(), at, response);
        next >= self.wire && self.wire().get(at..end).is_some_and(|l| l.iter().all(|b| is_blank(*b)))
    }
    fn copy_trimmed(&mut self, from: usize, to: usize) {
        let Span { from, to } = trim(&self.bytes, from, to);
        self.bytes.extend_from_within(from as usize..to as usize); // trim() stays within
    }
    fn is_plain(&self, f: &Field, start: usize, end: usize) -> bool {
        f.name.from as usize == start
            && f.value.to as usize == end
            && !f.name.is_empty()
            && f.name.to + 2 == f.value.from
            && self.bytes.get(f.name.to as usize + 1) == Some(&b' ')
    }

    fn field(&mut self, from: usize, to: usize) {
        self.odd.long |= to - from > MAX_FIELD;
        let bytes = self.bytes.get(from..to).unwrap_or_default();
        let (name, value) = match memchr(b':', bytes) {
            Some(colon) => {
                let mut name = trim(&self.bytes, from, from + colon);
                // Zeros around a name are no part of it.
                while name.to > name.from && self.bytes.get(name.to as usize - 1) == Some(&0) {
                    name.to -= 1;
                }
                while name.from < name.to && self.bytes.get(name.from as usize) == Some(&0) {
                    name.from += 1;
                }
                name = trim(&self.bytes, name.from as usize, name.to as usize);
                (name, trim(&self.bytes, from + colon + 1, to))
            }
            None => {
                self.odd.missing_colon = true;
                (Span::new(from, from), trim(&self.bytes, from, to))
            }
        };
        let mut hashed = HASH;
        let mut token = true;
        for b in self.get(name).iter().filter(|b| **b != 0) {
            hashed = hash(hashed, *b);
            token &= is_token(*b);
        }
        self.odd.invalid_name |= !token || name.is_empty();
        self.fields.push(Field { name, value, hash: hashed, repeated: false });
    }

    fn mark_repeated(&mut self) {
        if self.fields.len() <= 32 {
            for i in 1..self.fields.len() {
                let (before, rest) = self.fields.split_at(i);
                let Some(f) = rest.first() else { return };
                let same = before.iter().any(|b| b.hash == f.hash && self.same_name(b, f));
                self.note(i, same);
            }
            return;
        }
        let mut order: Vec<(u32, u32)> = self.fields.iter().enumerate().map(|(i, f)| (f.hash, i as u32)).collect(); // MAX_FIELDS fit
        order.sort_unstable();
        for pair in order.windows(2) {
            let [(a, i), (b, j)] = *pair else { return };
            let same = a == b
                && self
                    .fields
                    .get(i as usize)
                    .zip(self.fields.get(j as usize))
                    .is_some_and(|(x, y)| self.same_name(x, y));
            self.note(j as usize, same);
        }
    }
    fn same_name(&self, a: &Field, b: &Field) -> bool {
        !a.name.is_empty() && same_word(self.get(a.name), self.get(b.name))
    }
    fn note(&mut self, i: usize, same: bool) {
        if same && let Some(f) = self.fields.get_mut(i) {
            f.repeated = true;
            self.odd.repeated = true;
            self.plain = false;
        }
    }

    /// The bytes of a span.
    pub fn get(&self, s: Span) -> &[u8] {
        self.bytes.get(s.from as usize..s.to as usize).unwrap_or_default()
    }
    /// What stood on the wire, start line and end included.
    pub fn wire(&self) -> &[u8] {
        self.bytes.get(..self.wire).unwrap_or_default()
    }
    /// The start line.
    pub fn line(&self) -> &[u8] {
        self.get(self.line)
    }
    /// The fields as they stand on the wire, with the empty line at the end.
    pub fn raw_fields(&self) -> &[u8] {
        self.wire().get(self.fields_from..).unwrap_or_default()
    }
    /// The first field of that name (lower case).
    pub fn find(&self, name: &[u8]) -> Option<&Field> {
        self.fields.iter().find(|f| self.is_named(f, name))
    }
    /// All fields of that name (lower case), in order.
    pub fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a Field> + use<'a> {
        self.fields.iter().filter(move |f| self.is_named(f, name))
    }
    fn is_named(&self, f: &Field, name: &[u8]) -> bool {
        f.name.len() >= name.len() && same_word(self.get(f.name), name)
    }
    /// The value of the first field of that name (lower case).
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.find(name).map(|f| self.get(f.value))
    }
    /// How many bytes it holds.
    pub fn size(&self) -> usize {
        self.bytes.capacity() + self.fields.capacity() * size_of::<Field>()
    }
}

// FNV-1a over the lower-cased name.
const HASH: u32 = 0x811c_9dc5;
const fn hash(h: u32, b: u8) -> u32 {
    (h ^ b.to_ascii_lowercase() as u32).wrapping_mul(0x0100_0193)
}

/// Whether two words are the same but for case and zero bytes.
pub fn same_word(a: &[u8], b: &[u8]) -> bool {
    if a.len() == b.len() && a.eq_ignore_ascii_case(b) {
        return true;
    }
    if memchr(0, a).is_none() && memchr(0, b).is_none() {
        return false;
    }
    let clean = |s: &[u8]| s.iter().filter(|c| **c != 0).map(u8::to_ascii_lowercase).collect::<Vec<_>>();
    clean(a) == clean(b)
}

/// Whether a word stands in a text, whatever the case and the zeros in between. `word` in lower case.
pub fn has_word(text: &[u8], word: &[u8]) -> bool {
    let plain = text.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word));
    plain
        || (memchr(0, text).is_some() && {
            let clean: Vec<u8> = text.iter().filter(|c| **c != 0).map(u8::to_ascii_lowercase).collect();
            clean.windows(word.len()).any(|w| w == word)
        })
}

/// Where the head ends that begins at 0: behind the empty line. None: not yet there. `from`: nothing before it needs to be
/// searched again (a value that was returned by [`resume`]).
///
/// An empty line is LF or CRLF behind a line's end, or the damaged LF CR CR LF; a response may also end its head by a line
/// of one blank and LF where the next byte is no LF.
pub fn end_of_head(data: &[u8], from: usize, response: bool, eof: bool) -> Option<usize> {
    let mut at = from;
    while let Some(i) = data.get(at..).and_then(|d| memchr(b'\n', d)) {
        let after = at + i + 1;
        match data.get(after..).unwrap_or_default() {
            [b'\n', ..] => return Some(after + 1),
            [b'\r', b'\n', ..] => return Some(after + 2),
            [b'\r', b'\r', b'\n', ..] => return Some(after + 3),
            [b' ' | b'\t', b'\n'] if eof => return Some(after + 2),
            [b' ' | b'\t', b'\n', next, ..] if response && *next != b'\n' => return Some(after + 2),
            _ => {}
        }
        at = after;
    }
    None
}

/// From where [`end_of_head`] has to search again once more bytes are there.
pub fn resume(searched: usize) -> usize {
    searched.saturating_sub(4)
}

// The end of the line that begins at `from`, without and with what ends it.
fn line_at(data: &[u8], from: usize, response: bool) -> (usize, usize) {
    let rest = data.get(from..).unwrap_or_default();
    if response {
        let Some(i) = memchr2(b'\r', b'\n', rest) else { return (data.len(), data.len()) };
        return match rest.get(i..).unwrap_or_default() {
            [b'\r', b'\n', ..] => (from + i, from + i + 2),
            [b'\r', b'\r', b'\n', ..] => (from + i, from + i + 3),
            _ => (from + i, from + i + 1),
        };
    }
    match memchr(b'\n', rest) {
        None => (data.len(), data.len()),
        Some(i) => {
            let line = rest.get(..i).unwrap_or_default();
            let end = line.iter().rposition(|b| *b != b'\r').map_or(0, |p| p + 1);
            (from + end, from + i + 1)
        }
    }
}

const fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

/// Space as receivers see it: space, tab, vertical tab, form feed, CR and LF.
pub const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | 0x0b | 0x0c | b'\r' | b'\n')
}

const fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(b, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

fn trim(bytes: &[u8], mut from: usize, mut to: usize) -> Span {
    to = to.min(bytes.len());
    while from < to && is_space(bytes[from]) {
        from += 1; // from < to <= len
    }
    while to > from && is_space(bytes[to - 1]) {
        to -= 1;
    }
    Span::new(from.min(to), to)
}

/// A request line in its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestLine {
    /// The method.
    pub method: Span,
    /// The URI as it stands.
    pub uri: Span,
    /// The protocol; empty in HTTP/0.9.
    pub protocol: Span,
    /// There was a blank before the method.
    pub leading: bool,
    /// What separates method and URI is not one space.
    pub odd_method_end: bool,
    /// What separates URI and protocol is not one space.
    pub odd_uri_end: bool,
}

/// Takes a request line apart. A URI with spaces in it goes as far as the last word that looks like a protocol.
pub fn request_line(line: &[u8]) -> RequestLine {
    let mut r = RequestLine::default();
    let start = line.iter().position(|b| !is_space(*b) && *b != 0).unwrap_or(line.len());
    r.leading = start > 0;
    let end = line.iter().rposition(|b| !is_space(*b)).map_or(start, |p| p + 1).max(start);
    let word_end = |from: usize| (from..end).find(|i| line.get(*i).copied().is_some_and(is_space)).unwrap_or(end);
    let skip = |from: usize| (from..end).find(|i| line.get(*i).copied().is_some_and(|b| !is_space(b))).unwrap_or(end);
    let method_end = word_end(start);
    r.method = Span::new(start, method_end);
    let uri = skip(method_end);
    r.odd_method_end = uri < end && line.get(method_end..uri) != Some(b" ");
    let mut uri_end = word_end(uri);
    let mut protocol = skip(uri_end);
    if protocol < end && !looks_like_protocol(line.get(protocol..end).unwrap_or_default()) {
        // Spaces in the URI: the protocol is the last word, if it is one.
        let last =
            line.get(uri..end).and_then(|l| l.iter().rposition(|b| is_space(*b))).map_or(protocol, |p| uri + p + 1);
        if looks_like_protocol(line.get(last..end).unwrap_or_default()) {
            protocol = last;
            uri_end = line
                .get(uri..last)
                .and_then(|l| l.iter().rposition(|b| !is_space(*b)))
                .map_or(uri_end, |p| uri + p + 1);
        }
    }
    r.uri = Span::new(uri, uri_end);
    r.protocol = Span::new(protocol, end);
    r.odd_uri_end = protocol < end && line.get(uri_end..protocol) != Some(b" ");
    r
}

fn looks_like_protocol(word: &[u8]) -> bool {
    word.get(..5).is_some_and(|w| w.eq_ignore_ascii_case(b"HTTP/")) && memchr2(b' ', b'\t', word).is_none()
}

/// A status line in its parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusLine {
    /// The protocol.
    pub protocol: Span,
    /// The status as it stands.
    pub status: Span,
    /// The reason.
    pub message: Span,
}

impl StatusLine {
    /// The status as a number of three digits; None where it is none.
    pub fn number(&self, line: &[u8]) -> Option<u16> {
        let text = line.get(self.status.from as usize..self.status.to as usize)?;
        let digits = text.iter().filter(|b| **b != 0);
        let n = digits.clone().try_fold(0u16, |n, d| {
            d.is_ascii_digit().then(|| n.saturating_mul(10).saturating_add(u16::from(*d - b'0')))
        })?;
        (digits.count() == 3 && n >= 100).then_some(n)
    }
}

/// Takes a status line apart; parts that are missing are empty.
pub fn status_line(line: &[u8]) -> StatusLine {
    let n = line.len();
    let word = |from: usize| {
        let start = (from..n).find(|i| line.get(*i).copied().is_some_and(|b| !is_space(b) && b != 0)).unwrap_or(n);
        let end = (start..n).find(|i| line.get(*i).copied().is_some_and(is_space)).unwrap_or(n);
        (start, end)
    };
    let protocol = word(0);
    let status = word(protocol.1);
    let rest = word(status.1).0;
    StatusLine {
        protocol: Span::new(protocol.0, protocol.1),
        status: Span::new(status.0, status.1),
        message: trim(line, rest, n),
    }
}

/// The version a protocol names, as 10 or 11; 9 for HTTP/0.9; None where it is none of these.
pub fn version(protocol: &[u8]) -> Option<u8> {
    let clean: Vec<u8> = protocol.iter().copied().filter(|b| *b != 0 && !is_space(*b)).take(16).collect();
    let (name, number) = clean.split_at_checked(5)?;
    if !name.eq_ignore_ascii_case(b"HTTP/") {
        return None;
    }
    match number {
        b"1.1" => Some(11),
        b"1.0" => Some(10),
        b"0.9" => Some(9),
        _ => None,
    }
}

/// Whether bytes begin like a response, blanks and zeros before it aside. None: too short to tell.
pub fn looks_like_response(data: &[u8]) -> Option<bool> {
    let start = data.iter().position(|b| !is_space(*b) && *b != 0)?;
    let rest = data.get(start..)?;
    let n = rest.len().min(4);
    let same = rest.get(..n)?.eq_ignore_ascii_case(b"HTTP".get(..n)?);
    if same && n < 4 { None } else { Some(same) }
}

/// How much of what follows a request's end belongs to it all the same: lines that begin no request, as a client sends
/// them that states too short a length, or none. Blank lines belong to nothing.
pub fn stray(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(data) = rest.get(at..).filter(|d| !d.is_empty()) {
        let lf = memchr(b'\n', data);
        let line = data.get(..lf.unwrap_or(data.len())).unwrap_or_default();
        let word = line.split(|b| is_space(*b) || *b == 0).next().unwrap_or_default();
        let parts = request_line(line);
        let protocol = line.get(parts.protocol.from as usize..parts.protocol.to as usize).unwrap_or_default();
        // Empty, too: a blank line, or one that begins with a blank.
        if word.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b'-' | b'_')) || version(protocol).is_some() {
            break;
        }
        at += lf.map_or(data.len(), |n| n + 1);
    }
    at
}

/// The length that a `Content-Length` states: the first number in it. The flag: there is more than the number.
pub fn content_length(value: &[u8]) -> (Option<u64>, bool) {
    let Some(start) = value.iter().position(u8::is_ascii_digit) else { return (None, true) };
    let digits = value.get(start..).unwrap_or_default();
    let end = digits.iter().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    let n = digits
        .get(..end)
        .unwrap_or_default()
        .iter()
        .try_fold(0u64, |n, d| n.checked_mul(10)?.checked_add(u64::from(*d - b'0')));
    (n, start > 0 || end < digits.len())
}

/// The size that a chunk's line states, and whether something follows it. Blanks and zeros before it are skipped. None:
/// there is no size.
pub fn chunk_size(line: &[u8]) -> Option<(u64, bool)> {
    let start = line.iter().position(|b| !is_space(*b) && *b != 0)?;
    let rest = line.get(start..)?;
    let end = rest.iter().position(|b| !b.is_ascii_hexdigit()).unwrap_or(rest.len());
    if end == 0 {
        return None;
    }
    let mut n = 0u64;
    for d in rest.get(..end)? {
        let digit = char::from(*d).to_digit(16)?;
        n = n.checked_mul(16)?.checked_add(u64::from(digit))?;
    }
    // libhtp's bound: what does not fit 31 bits is no size.
    (n <= i32::MAX as u64).then(|| (n, rest.get(end..).unwrap_or_default().iter().any(|b| !is_space(*b))))
}

/// A host with its port, as in `Host` and in a URI's authority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Without port and without the user; with the dot of the root, where it is written.
    pub host: &'a [u8],
    /// The port, where one is stated and valid.
    pub port: Option<u16>,
    /// A port is stated that is none.
    pub invalid_port: bool,
    /// The host has bytes that no host has, or the port is none.
    pub invalid: bool,
}

/// Takes an authority apart.
pub fn authority(text: &[u8]) -> Authority<'_> {
    let text = text.trim_ascii();
    let text = text.iter().rposition(|b| *b == b'@').and_then(|at| text.get(at + 1..)).unwrap_or(text);
    let (host, port) = if text.first() == Some(&b'[') {
        match memchr(b']', text) {
            Some(close) => {
                let (host, rest) = text.split_at(close + 1); // close < len
                (host, rest.strip_prefix(b":"))
            }
            None => (text, None),
        }
    } else {
        match memchr(b':', text) {
            Some(colon) => (text.get(..colon).unwrap_or_default(), text.get(colon + 1..)),
            None => (text, None),
        }
    };
    let number = port.and_then(|p| std::str::from_utf8(p).ok()?.trim().parse::<u16>().ok()).filter(|p| *p != 0);
    let invalid_port = port.is_some() && number.is_none();
    let mut a = Authority { host, port: number, invalid_port, invalid: invalid_port };
    a.invalid |= !valid_host(a.rootless());
    a
}

impl Authority<'_> {
    /// The host without the dot of the root. It belongs to the name that rules ask for, but not to what is compared.
    pub fn rootless(&self) -> &[u8] {
        self.host.strip_suffix(b".").unwrap_or(self.host)
    }
}

fn valid_host(host: &[u8]) -> bool {
    if host.is_empty() || host.len() > 255 {
        return false;
    }
    if let Some(inner) = host.strip_prefix(b"[") {
        return inner
            .strip_suffix(b"]")
            .is_some_and(|i| std::str::from_utf8(i).is_ok_and(|t| t.parse::<std::net::Ipv6Addr>().is_ok()));
    }
    host.split(|b| *b == b'.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_')
    })
}

#[cfg(test)]
mod tests;
