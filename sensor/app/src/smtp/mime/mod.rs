// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A mail message (RFC 5322, MIME of RFC 2045 to 2049), line by line: its header fields, the attachments of all its parts
//! however deep, and the URLs in its text.
//!
//! Takes what a tolerant mail client takes: fields without a value, boundaries that are never closed, encodings that do
//! not hold. What is odd is a [`Fault`]. Must never keep a body: attachments go out piece by piece through [`Sink`], and
//! of text only what a URL needs. Limits: the constants below.

mod decode;
mod header;
mod url;

pub use header::{Field, addresses};
pub use url::{MAX_URL, MAX_URLS, Urls};

use decode::Decoder;
use header::{Disposition, Entity, Folded};

/// Most nested multiparts and messages. Threat: a message of nothing but parts in parts; each has a boundary to be
/// compared with every line.
pub const MAX_DEPTH: usize = 16;
/// Most header fields that are kept of a message. Threat: a header without end.
pub const MAX_FIELDS: usize = 256;
/// Most bytes of one field's value that are kept (Suricata's `header-value-depth`). Threat: as above.
pub const MAX_VALUE: usize = 2000;
/// Longest name of a field that is taken without a fault.
pub const MAX_NAME: usize = 75;
/// Longest boundary that is taken without a fault; longer ones are compared as far as this.
pub const MAX_BOUNDARY: usize = 254;
/// Longest file name that is kept.
pub const MAX_FILENAME: usize = 255;
/// Most attachments whose names are kept. Threat: a message with a million parts.
pub const MAX_ATTACHMENTS: usize = 128;
/// Longest line that is taken without a fault (RFC 5322, 2.1.1).
pub const MAX_LINE: usize = 998;
/// Longest line of an encoded body that is taken without a fault (RFC 2045, 6.7 and 6.8).
pub const MAX_ENCODED_LINE: usize = 76;

/// What is odd about a message. The order is that of the events of SMTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "each variant is an app-layer event of SMTP in the Suricata user guide")]
pub enum Fault {
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
}

/// A set of [`Fault`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults(u16);

impl Faults {
    /// Adds one.
    pub const fn set(&mut self, f: Fault) {
        self.0 |= 1 << f as u16;
    }
    /// Whether it is there.
    pub const fn has(self, f: Fault) -> bool {
        self.0 >> (f as u16) & 1 == 1
    }
    /// The numbers of those there are.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..16).filter(move |b| self.0 >> b & 1 == 1)
    }
}

/// Takes attachments.
pub trait Sink {
    /// One begins.
    fn open(&mut self, name: &[u8]);
    /// Its next bytes.
    fn data(&mut self, bytes: &[u8]);
    /// It has ended.
    fn close(&mut self);
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `mime.decode-base64`.
    pub base64: bool,
    /// `mime.decode-quoted-printable`.
    pub quoted_printable: bool,
    /// `mime.extract-urls`.
    pub urls: bool,
    /// `mime.extract-urls-schemes`: with the colon and slashes.
    pub schemes: Vec<String>,
    /// `mime.log-url-scheme`.
    pub log_scheme: bool,
    /// `mime.header-value-depth`.
    pub value_depth: usize,
    /// `mime.body-md5`: of the whole body as it came.
    pub body_md5: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            base64: true,
            quoted_printable: true,
            urls: true,
            schemes: vec!["http://".into()],
            log_scheme: false,
            value_depth: MAX_VALUE,
            body_md5: false,
        }
    }
}

/// Where in the message the reader stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// In a header.
    #[default]
    Header,
    /// In a body.
    Body,
    /// The message has ended.
    Done,
}

/// One multipart around the reader.
#[derive(Debug)]
struct Level {
    boundary: Vec<u8>,
    /// It is a `multipart/digest`, whose parts are messages where they do not say.
    digest: bool,
}

/// The reader.
#[derive(Debug, Default)]
pub struct Mime {
    state: State,
    /// The header field being put together.
    folded: Folded,
    /// What the header said so far of the part that it is of.
    entity: Entity,
    /// Headers of the message itself are kept; those of its parts only say what the parts are.
    in_part: bool,
    levels: Vec<Level>,
    fields: Vec<Field>,
    attachments: Vec<Vec<u8>>,
    urls: Urls,
    faults: Faults,
    decoder: Decoder,
    /// An attachment is open.
    open: bool,
    /// The part's text is looked through for URLs.
    text: bool,
    /// Line end of the line before, which belongs to the boundary where one follows.
    pending: &'static [u8],
    /// The piece before this one did not end its line.
    unfinished: bool,
    line_len: usize,
    scratch: Vec<u8>,
    md5: Option<Box<md5::Md5>>,
    body_md5: Option<String>,
}

impl Mime {
    /// A reader at the beginning of a message.
    pub fn new() -> Self {
        Self::default()
    }
    /// Where it stands.
    pub const fn state(&self) -> State {
        self.state
    }
    /// The message's own header fields, in their order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }
    /// The first value of a field, by its name in lower case.
    pub fn field(&self, name: &[u8]) -> Option<&[u8]> {
        self.fields.iter().find(|f| f.name == name).map(|f| &*f.value)
    }
    /// Names of attachments, in their order.
    pub fn attachments(&self) -> &[Vec<u8>] {
        &self.attachments
    }
    /// What was found in text.
    pub const fn urls(&self) -> &Urls {
        &self.urls
    }
    /// What is odd.
    pub const fn faults(&self) -> Faults {
        self.faults
    }
    /// MD5 of the body, in hex, once the message has ended and where it was asked for.
    pub fn body_md5(&self) -> Option<&str> {
        self.body_md5.as_deref()
    }
    /// Bytes held, for the memory cap.
    pub fn held(&self) -> usize {
        let fields: usize = self.fields.iter().map(|f| f.name.len() + f.value.len() + size_of::<Field>()).sum();
        let names: usize = self.attachments.iter().map(|a| a.len() + size_of::<Vec<u8>>()).sum();
        size_of::<Self>() + fields + names + self.urls.held() + self.scratch.len() + self.folded.held()
    }

    /// Takes a line, or a piece of one: `end` is its line end, empty where the line goes on.
    pub fn line(&mut self, line: &[u8], end: &'static [u8], choices: &Choices, sink: &mut impl Sink) {
        let begins = !self.unfinished;
        self.unfinished = end.is_empty();
        self.line_len = if begins { line.len() } else { self.line_len.saturating_add(line.len()) };
        if self.line_len > MAX_LINE {
            self.faults.set(Fault::LongLine);
        }
        if let Some(md5) = &mut self.md5 {
            md5::Digest::update(&mut **md5, line);
            md5::Digest::update(&mut **md5, end);
        }
        match self.state {
            State::Done => {}
            State::Header => self.header(line, begins, choices, sink),
            State::Body => match if begins { self.boundary(line) } else { None } {
                Some((level, closes)) => self.part(level, closes, choices, sink),
                None => self.body(line, end, choices, sink),
            },
        }
    }

    /// The message ends.
    pub fn finish(&mut self, choices: &Choices, sink: &mut impl Sink) {
        if self.state == State::Header {
            self.field_ends(choices);
            self.header_ends(choices, sink);
        }
        if self.state != State::Done {
            self.part_ends(choices, sink);
            if let Some(md5) = self.md5.take() {
                self.body_md5 = Some(hex::encode(md5::Digest::finalize(*md5)));
            }
            self.state = State::Done;
        }
    }

    // ---- Headers

    fn header(&mut self, line: &[u8], begins: bool, choices: &Choices, sink: &mut impl Sink) {
        if !begins {
            return self.folded.extend(line, choices.value_depth);
        }
        if line.is_empty() {
            self.field_ends(choices);
            return self.header_ends(choices, sink);
        }
        if line[0] == b' ' || line[0] == b'\t' {
            return self.folded.extend(line, choices.value_depth); // not empty, above
        }
        // A boundary where a header should still be: the part had none, or no blank line ended it.
        if let Some((level, closes)) = self.boundary(line) {
            self.field_ends(choices);
            self.faults.set(Fault::MalformedMsg);
            return self.part(level, closes, choices, sink);
        }
        self.field_ends(choices);
        match memchr::memchr(b':', line) {
            Some(at) => {
                if at > MAX_NAME {
                    self.faults.set(Fault::LongHeaderName);
                }
                let (name, value) = line.split_at(at);
                self.folded.begin(name, value.get(1..).unwrap_or_default(), choices.value_depth);
            }
            None => {
                // Text where a field should be: it says nothing, and the header goes on.
                self.faults.set(Fault::MalformedMsg);
            }
        }
    }

    fn field_ends(&mut self, choices: &Choices) {
        let Some((name, value, cut)) = self.folded.take() else { return };
        if cut || value.len() > choices.value_depth {
            self.faults.set(Fault::LongHeaderValue);
        }
        self.entity.field(&name, &value, &mut self.faults);
        if !self.in_part && self.fields.len() < MAX_FIELDS {
            self.fields.push(Field { name, value });
        }
    }

    fn header_ends(&mut self, choices: &Choices, sink: &mut impl Sink) {
        let digest = self.levels.last().is_some_and(|l| l.digest);
        let entity = std::mem::take(&mut self.entity);
        if !self.in_part && choices.body_md5 {
            self.md5 = Some(Box::default());
        }
        match entity.disposition(digest) {
            // A message in a message is read on as one, whatever encoding it claims: none but the plain ones is allowed
            // to it (RFC 2046, 5.2.1), and a filter that believed another would not see what a client shows.
            Disposition::Message if self.levels.len() < MAX_DEPTH => {
                self.in_part = true;
                self.state = State::Header;
                self.levels.push(Level { boundary: Vec::new(), digest: false });
                return;
            }
            Disposition::Multipart(boundary) if self.levels.len() < MAX_DEPTH => {
                self.in_part = true;
                self.levels.push(Level { boundary, digest: entity.digest() });
                self.decoder = Decoder::Plain;
                self.text = false;
            }
            Disposition::Message | Disposition::Multipart(_) => self.faults.set(Fault::ParseFailed), // too deep
            Disposition::File(mut name) => {
                if name.len() > MAX_FILENAME {
                    name.truncate(MAX_FILENAME);
                    self.faults.set(Fault::LongFilename);
                }
                self.decoder = Decoder::of(entity.encoding(), choices);
                sink.open(&name);
                if self.attachments.len() < MAX_ATTACHMENTS {
                    self.attachments.push(name);
                }
                self.open = true;
                self.text = false;
            }
            Disposition::Text => {
                self.decoder = Decoder::of(entity.encoding(), choices);
                self.text = choices.urls;
            }
            Disposition::Other => {
                self.decoder = Decoder::Plain;
                self.text = false;
            }
        }
        self.pending = b"";
        self.state = State::Body;
    }

    // ---- Bodies

    /// Which multipart a line is a boundary of (its place among [`Self::levels`]), and whether it closes it.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let rest = line.strip_prefix(b"--")?;
        for (at, level) in self.levels.iter().enumerate().rev() {
            if level.boundary.is_empty() {
                continue; // a message in a message has none
            }
            if let Some(tail) = rest.strip_prefix(&*level.boundary) {
                let tail = tail.trim_ascii_end();
                match tail {
                    b"" => return Some((at, false)),
                    b"--" => return Some((at, true)),
                    // A boundary may be the beginning of another one; one that was cut short for its length may not.
                    _ if level.boundary.len() >= MAX_BOUNDARY => return Some((at, tail.ends_with(b"--"))),
                    _ => {}
                }
            }
        }
        None
    }

    /// A boundary: what was open ends, and the next part begins.
    fn part(&mut self, level: usize, closes: bool, choices: &Choices, sink: &mut impl Sink) {
        self.part_ends(choices, sink);
        self.levels.truncate(if closes { level } else { level + 1 });
        self.in_part = true;
        self.entity = Entity::default();
        if closes {
            // What follows is the epilogue, until the next boundary of the multipart around it.
            self.decoder = Decoder::Plain;
            self.state = State::Body;
        } else {
            self.state = State::Header;
        }
    }

    fn part_ends(&mut self, choices: &Choices, sink: &mut impl Sink) {
        self.scratch.clear();
        self.decoder.finish(&mut self.scratch);
        if self.open {
            if !self.scratch.is_empty() {
                sink.data(&self.scratch);
            }
            sink.close();
        }
        if self.text {
            self.urls.text(&self.scratch, choices);
            self.urls.line_ends(choices);
        }
        self.open = false;
        self.text = false;
        self.pending = b"";
        self.scratch.clear();
    }

    fn body(&mut self, line: &[u8], end: &'static [u8], choices: &Choices, sink: &mut impl Sink) {
        if self.decoder.encoded() && self.line_len > MAX_ENCODED_LINE {
            self.faults.set(Fault::LongEncLine);
        }
        if !self.open && !self.text {
            return;
        }
        self.scratch.clear();
        if self.decoder.encoded() {
            if let Err(fault) = self.decoder.line(line, end, &mut self.scratch) {
                self.faults.set(fault);
            }
        } else if self.open {
            // Whole pieces go out as they come; the line end waits for what follows.
            if !self.pending.is_empty() {
                sink.data(self.pending);
            }
            if !line.is_empty() {
                sink.data(line);
            }
            self.pending = end;
            return;
        } else {
            self.scratch.extend_from_slice(line);
        }
        if self.open {
            if !self.scratch.is_empty() {
                sink.data(&self.scratch);
            }
        } else {
            self.urls.text(&self.scratch, choices);
            if !self.decoder.encoded() && !end.is_empty() {
                self.urls.line_ends(choices);
            }
        }
        self.scratch.clear();
    }
}

#[cfg(test)]
mod tests;
