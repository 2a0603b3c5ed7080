// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Header fields: put together from folded lines, and what those say that describe a part (RFC 2045, 2183, 2231).

use super::{Fault, Faults, MAX_BOUNDARY, MAX_NAME};

/// One field of a message's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in lower case.
    pub name: Vec<u8>,
    /// Its value, unfolded, without blanks around it.
    pub value: Vec<u8>,
}

/// A field whose lines are still coming.
#[derive(Debug, Default)]
pub(super) struct Folded {
    name: Vec<u8>,
    value: Vec<u8>,
    there: bool,
    cut: bool,
}

/// Parameters of one field that are looked at. Threat: a field of nothing but parameters.
const MAX_PARAMETERS: usize = 64;

impl Folded {
    pub(super) fn begin(&mut self, name: &[u8], value: &[u8], most: usize) {
        let name = name.trim_ascii();
        self.name.clear();
        self.value.clear();
        self.name.extend(name.iter().take(MAX_NAME).map(u8::to_ascii_lowercase));
        (self.there, self.cut) = (true, false);
        self.extend(value, most);
    }
    /// Takes a further line, its blanks in front included (RFC 5322, 2.2.3), up to `most` bytes of the whole.
    pub(super) fn extend(&mut self, line: &[u8], most: usize) {
        if !self.there {
            return;
        }
        let room = most.saturating_sub(self.value.len());
        self.cut |= line.len() > room;
        self.value.extend_from_slice(line.get(..line.len().min(room)).unwrap_or_default());
    }
    pub(super) fn take(&mut self) -> Option<(Vec<u8>, Vec<u8>, bool)> {
        if !std::mem::take(&mut self.there) {
            return None;
        }
        let value = self.value.trim_ascii().to_vec();
        self.value.clear();
        Some((std::mem::take(&mut self.name), value, self.cut))
    }
    pub(super) fn held(&self) -> usize {
        self.name.len() + self.value.len()
    }
}

/// What a header says of the part behind it.
#[derive(Debug, Default)]
pub(super) struct Entity {
    /// `type/subtype` in lower case; empty where nothing is said.
    kind: Vec<u8>,
    encoding: Vec<u8>,
    boundary: Option<Vec<u8>>,
    filename: Option<Vec<u8>>,
    /// The `name` of the content type: second to a file name.
    name: Option<Vec<u8>>,
    attachment: bool,
}

/// What a part is to the reader.
#[derive(Debug)]
pub(super) enum Disposition {
    Multipart(Vec<u8>),
    Message,
    File(Vec<u8>),
    Text,
    Other,
}

impl Entity {
    pub(super) fn field(&mut self, name: &[u8], value: &[u8], faults: &mut Faults) {
        match name {
            b"content-type" => {
                let (kind, rest) = token(value);
                self.kind = kind.to_ascii_lowercase();
                let all = parameters(rest);
                if let Some(mut boundary) = parameter(&all, b"boundary") {
                    if boundary.len() > MAX_BOUNDARY {
                        faults.set(Fault::LongBoundary);
                        boundary.truncate(MAX_BOUNDARY);
                    }
                    self.boundary = Some(boundary).filter(|b| !b.is_empty());
                }
                self.name = parameter(&all, b"name");
            }
            b"content-disposition" => {
                let (kind, rest) = token(value);
                self.attachment = kind.eq_ignore_ascii_case(b"attachment");
                self.filename = parameter(&parameters(rest), b"filename");
            }
            b"content-transfer-encoding" => self.encoding = token(value).0.to_ascii_lowercase(),
            _ => {}
        }
    }

    pub(super) fn encoding(&self) -> &[u8] {
        &self.encoding
    }
    pub(super) fn digest(&self) -> bool {
        self.kind == b"multipart/digest"
    }

    /// What the part is; `digest`: one of a digest's, which are messages where they do not say.
    pub(super) fn disposition(&self, digest: bool) -> Disposition {
        if self.kind.starts_with(b"multipart/")
            && let Some(b) = &self.boundary
        {
            return Disposition::Multipart(b.clone());
        }
        if self.kind == b"message/rfc822" || (digest && self.kind.is_empty()) {
            return Disposition::Message;
        }
        if let Some(name) = self.filename.as_ref().or(self.name.as_ref()) {
            return Disposition::File(name.clone());
        }
        match &*self.kind {
            b"" | b"text/plain" | b"text/html" if !self.attachment => Disposition::Text,
            _ => Disposition::Other,
        }
    }
}

/// The word before the first semicolon, and what follows that.
fn token(value: &[u8]) -> (&[u8], &[u8]) {
    let at = memchr::memchr(b';', value).unwrap_or(value.len());
    let (word, rest) = value.split_at(at);
    (word.trim_ascii(), rest.get(1..).unwrap_or_default())
}

/// `name=value` pairs between semicolons; quoted values may hold any byte, a backslash before it taken off.
fn parameters(mut rest: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    while !rest.is_empty() && all.len() < MAX_PARAMETERS {
        rest = rest.trim_ascii_start();
        let Some(at) = rest.iter().position(|b| matches!(b, b'=' | b';')) else { return all };
        let (name, after) = rest.split_at(at);
        let name = name.trim_ascii().to_ascii_lowercase();
        if after.first() == Some(&b';') {
            rest = after.get(1..).unwrap_or_default(); // a word without a value
            continue;
        }
        let after = after.get(1..).unwrap_or_default().trim_ascii_start();
        let mut value = Vec::new();
        if let Some(quoted) = after.strip_prefix(b"\"") {
            let mut bytes = quoted.iter().enumerate();
            let mut end = quoted.len();
            while let Some((i, &b)) = bytes.next() {
                match b {
                    b'"' => {
                        end = i + 1;
                        break;
                    }
                    b'\\' => value.extend(bytes.next().map(|(_, &b)| b)),
                    _ => value.push(b),
                }
            }
            let tail = quoted.get(end..).unwrap_or_default();
            rest = memchr::memchr(b';', tail).and_then(|at| tail.get(at + 1..)).unwrap_or_default();
        } else {
            let end = memchr::memchr(b';', after).unwrap_or(after.len());
            let (plain, tail) = after.split_at(end);
            value.extend_from_slice(plain.trim_ascii());
            rest = tail.get(1..).unwrap_or_default();
        }
        all.push((name, value));
    }
    all
}

/// A parameter by its name: as it is, or encoded or in numbered pieces as RFC 2231 has it.
fn parameter(all: &[(Vec<u8>, Vec<u8>)], name: &[u8]) -> Option<Vec<u8>> {
    let get = |wanted: &[u8]| all.iter().find(|(n, _)| n == wanted).map(|(_, v)| v.as_slice());
    if let Some(v) = get(name) {
        return Some(v.to_vec());
    }
    if let Some(v) = get(&[name, b"*"].concat()) {
        return Some(percent(charset_off(v)));
    }
    let mut whole: Option<Vec<u8>> = None;
    for n in 0..MAX_PARAMETERS {
        let key = [name, b"*", n.to_string().as_bytes()].concat();
        let piece = match (get(&key), get(&[&key[..], b"*"].concat())) {
            (Some(v), _) => v.to_vec(),
            (None, Some(v)) => percent(if n == 0 { charset_off(v) } else { v }),
            (None, None) => break,
        };
        whole.get_or_insert_default().extend_from_slice(&piece);
    }
    whole
}

/// What stands behind `charset'language'`.
fn charset_off(value: &[u8]) -> &[u8] {
    let mut quotes = value.iter().enumerate().filter(|(_, b)| **b == b'\'').map(|(i, _)| i);
    match (quotes.next(), quotes.next()) {
        (Some(_), Some(second)) => value.get(second + 1..).unwrap_or_default(),
        _ => value,
    }
}

fn percent(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&b, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|h| std::str::from_utf8(h).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex.filter(|_| b == b'%') {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(b);
                rest = tail;
            }
        }
    }
    out
}

/// The addresses of a list: cut at commas outside quotes, without blanks around them; empty ones are left out.
pub fn addresses(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    value
        .split(move |&b| {
            quoted ^= b == b'"';
            b == b',' && !quoted
        })
        .map(<[u8]>::trim_ascii)
        .filter(|a| !a.is_empty())
}
