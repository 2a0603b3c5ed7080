// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! URLs in the text of a mail: what follows a scheme up to the first byte that cannot be in one.
//!
//! Must never hold more than [`MAX_URLS`] of at most [`MAX_URL`] bytes, nor more of a line than that.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Choices;

/// Most URLs that are kept. Threat: a mail of nothing else.
pub const MAX_URLS: usize = 256;
/// Longest URL that is kept. Threat: a line without end.
pub const MAX_URL: usize = 1024;

/// What was found.
#[derive(Debug, Default)]
pub struct Urls {
    list: Vec<Vec<u8>>,
    /// The end of a line whose end is not there yet.
    line: Vec<u8>,
    /// One names an IPv4 address.
    pub ipv4: bool,
    /// One names an IPv6 address.
    pub ipv6: bool,
    /// One leads to a program for Windows.
    pub exe: bool,
}

impl Urls {
    /// The URLs; those of one line from its end to its beginning, as Suricata has them.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.list.iter().map(Vec::as_slice)
    }
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// By number.
    pub fn at(&self, i: usize) -> Option<&[u8]> {
        self.list.get(i).map(Vec::as_slice)
    }
    pub(super) fn held(&self) -> usize {
        self.line.len() + self.list.iter().map(|u| u.len() + size_of::<Vec<u8>>()).sum::<usize>()
    }

    /// Takes text, which may end anywhere.
    pub(super) fn text(&mut self, text: &[u8], choices: &Choices) {
        let mut rest = text;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, tail) = rest.split_at(at);
            self.push(line);
            self.line_ends(choices);
            rest = tail.get(1..).unwrap_or_default();
        }
        self.push(rest);
    }

    fn push(&mut self, text: &[u8]) {
        let room = (MAX_URL * 8).saturating_sub(self.line.len());
        self.line.extend_from_slice(text.get(..text.len().min(room)).unwrap_or_default());
    }

    /// The line is whole.
    pub(super) fn line_ends(&mut self, choices: &Choices) {
        let line = std::mem::take(&mut self.line);
        if memchr::memchr(b':', &line).is_some() {
            let lower = line.to_ascii_lowercase();
            for scheme in &choices.schemes {
                for at in memchr::memmem::rfind_iter(&lower, scheme.as_bytes()) {
                    let rest = line.get(at + scheme.len()..).unwrap_or_default();
                    let end = rest.iter().position(|b| !fits(*b)).unwrap_or(rest.len()).min(MAX_URL);
                    let url = rest.get(..end).unwrap_or_default();
                    if !url.is_empty() && self.list.len() < MAX_URLS {
                        self.note(url);
                        let scheme = if choices.log_scheme { scheme.as_bytes() } else { b"" };
                        self.list.push([scheme, url].concat());
                    }
                }
            }
        }
        self.line = line;
        self.line.clear();
    }

    fn note(&mut self, url: &[u8]) {
        let end = url.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(url.len());
        let (host, path) = url.split_at(end);
        let path = path.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
        self.exe |= path.to_ascii_lowercase().ends_with(b".exe");
        let host = std::str::from_utf8(host).unwrap_or_default();
        let bare = host.split(':').next().unwrap_or_default();
        self.ipv4 |= bare.parse::<Ipv4Addr>().is_ok();
        let bracketed = host.strip_prefix('[').and_then(|h| h.split(']').next()).unwrap_or(host);
        self.ipv6 |= bracketed.parse::<Ipv6Addr>().is_ok();
    }
}

/// Whether a byte can stand in a URL as people write them (RFC 3986, 2, and whatever is no ASCII).
fn fits(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b >= 0x80 || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b)
}
