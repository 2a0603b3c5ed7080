// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Content transfer encodings (RFC 2045, 6), across lines. What does not belong is skipped and told.

use super::{Choices, Fault};

/// How a body is encoded, and what is carried from one line to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Decoder {
    /// 7bit, 8bit, binary, or nothing that is known.
    #[default]
    Plain,
    /// Bits not yet written, and how many.
    Base64 { bits: u32, count: u8, ended: bool },
    /// A hard line end that waits: it is left out where the part ends with it.
    QuotedPrintable { pending: &'static [u8] },
}

impl Decoder {
    /// By the name of the encoding, in lower case.
    pub(super) fn of(name: &[u8], choices: &Choices) -> Self {
        match name {
            b"base64" if choices.base64 => Self::Base64 { bits: 0, count: 0, ended: false },
            b"quoted-printable" if choices.quoted_printable => Self::QuotedPrintable { pending: b"" },
            _ => Self::Plain,
        }
    }
    /// Whether it is more than the bytes as they are.
    pub(super) const fn encoded(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    /// Decodes a line, or a piece of one where `end` is empty.
    pub(super) fn line(&mut self, line: &[u8], end: &'static [u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        match self {
            Self::Plain => {
                out.extend_from_slice(line);
                out.extend_from_slice(end);
                Ok(())
            }
            Self::Base64 { bits, count, ended } => base64(line, bits, count, ended, out),
            Self::QuotedPrintable { pending } => {
                out.extend_from_slice(std::mem::take(pending));
                quoted_printable(line, end, pending, out)
            }
        }
    }

    /// The part ends: what is left over is written.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if let Self::Base64 { bits, count, .. } = self {
            leftover(*bits, *count, out);
        }
        *self = Self::Plain;
    }
}

/// What each character of base64 stands for; 255 for others.
const VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut all = [u8::MAX; 256];
    let mut i = 0;
    while i < 64 {
        all[alphabet[i] as usize] = i as u8;
        i += 1;
    }
    all
}

fn base64(line: &[u8], bits: &mut u32, count: &mut u8, ended: &mut bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut fine = true;
    let mut rest = line;
    // Groups of four, as lines are made of, one after the other.
    while *count == 0
        && let Some((four, after)) = rest.split_first_chunk::<4>()
        && let values = four.map(|b| VALUES[usize::from(b)])
        && values.iter().all(|v| *v < 64)
    {
        let [a, b, c, d] = values;
        out.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
        *ended = false;
        rest = after;
    }
    for &b in rest {
        let value = match (VALUES[usize::from(b)], b) {
            (value @ 0..64, _) => value,
            (_, b'=') => {
                leftover(*bits, *count, out);
                (*bits, *count, *ended) = (0, 0, true);
                continue;
            }
            (_, b' ' | b'\t') => continue,
            _ => {
                fine = false;
                continue;
            }
        };
        *ended = false; // another piece of base64 behind the padding is read on, as clients do
        *bits = *bits << 6 | u32::from(value);
        *count += 1;
        if *count == 4 {
            out.extend_from_slice(&[(*bits >> 16) as u8, (*bits >> 8) as u8, *bits as u8]);
            (*bits, *count) = (0, 0);
        }
    }
    if fine { Ok(()) } else { Err(Fault::InvalidBase64) }
}

/// Whole bytes of an unfinished group of four.
fn leftover(bits: u32, count: u8, out: &mut Vec<u8>) {
    match count {
        2 => out.push((bits >> 4) as u8),
        3 => out.extend_from_slice(&[(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => {}
    }
}

fn quoted_printable(
    line: &[u8],
    end: &'static [u8],
    pending: &mut &'static [u8],
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    // Blanks before a line's end are no part of it (RFC 2045, 6.7, rule 3).
    let body = if end.is_empty() { line } else { line.trim_ascii_end() };
    let mut rest = body;
    let mut fine = true;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (plain, coded) = rest.split_at(at);
        out.extend_from_slice(plain);
        match *coded {
            [_] => {
                // A soft line end: the next line goes on here.
                return if fine { Ok(()) } else { Err(Fault::InvalidQp) };
            }
            [_, high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(nibble(high) << 4 | nibble(low));
                rest = coded.get(3..).unwrap_or_default();
            }
            _ => {
                fine = false;
                out.push(b'=');
                rest = coded.get(1..).unwrap_or_default();
            }
        }
    }
    out.extend_from_slice(rest);
    *pending = end;
    if fine { Ok(()) } else { Err(Fault::InvalidQp) }
}

const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However it is broken into lines and pieces, and whatever blanks are between.
        #[test]
        fn base64_gives_what_was_encoded(
            data in prop::collection::vec(any::<u8>(), 0..200),
            pieces in prop::collection::vec((1usize..30, prop::sample::select(&["", " ", "\t", "   "][..])), 1..9),
        ) {
            let coded = BASE64_STANDARD.encode(&data);
            let (mut out, mut rest) = (Vec::new(), coded.as_bytes());
            let mut decoder = Decoder::Base64 { bits: 0, count: 0, ended: false };
            for (len, blank) in pieces.iter().cycle().take(coded.len() + 1) {
                let (piece, after) = rest.split_at((*len).min(rest.len()));
                prop_assert!(decoder.line(&[blank.as_bytes(), piece].concat(), b"\r\n", &mut out).is_ok());
                rest = after;
            }
            decoder.finish(&mut out);
            prop_assert_eq!(out, data);
        }
    }
}
