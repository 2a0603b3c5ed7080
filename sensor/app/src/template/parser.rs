// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A line of the template's protocol: pure bytes to a message, bounded and resumable. Must never look past the bytes
//! given, and never call a line short that has all its bytes.

/// Longest line. Threat: a line without end.
pub const MAX_LINE: usize = 512;

/// What begins a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `ask `.
    Ask,
    /// `tell `.
    Tell,
    /// `become `: from the next byte on the flow speaks what is named.
    Become,
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A line.
    Ok {
        /// Its verb; None where it has none that is known.
        verb: Option<Verb>,
        /// The rest of it, without its end.
        text: &'a [u8],
        /// Its length with its end.
        consumed: usize,
    },
    /// The line is not complete.
    More,
    /// It is longer than any line may be.
    Error,
}

/// Reads a line.
pub fn line(bytes: &[u8]) -> Parsed<'_> {
    let seen = bytes.get(..MAX_LINE).unwrap_or(bytes);
    let Some(end) = seen.iter().position(|b| *b == b'\n') else {
        return if bytes.len() < MAX_LINE { Parsed::More } else { Parsed::Error };
    };
    let line = &bytes[..end]; // end is a position in bytes
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    const VERBS: [(&[u8], Verb); 3] = [(b"ask ", Verb::Ask), (b"tell ", Verb::Tell), (b"become ", Verb::Become)];
    let known = VERBS.iter().find_map(|(word, verb)| Some((Some(*verb), line.strip_prefix(*word)?)));
    let (verb, text) = known.unwrap_or((None, line));
    Parsed::Ok { verb, text, consumed: end + 1 }
}
