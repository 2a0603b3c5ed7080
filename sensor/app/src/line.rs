// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Lines of the protocols that speak in lines.
//!
//! Must never wait for the end of a line beyond [`MAX_LINE`].

/// Longest line that is read as one (Suricata's limit too). Threat: a line without end.
pub(crate) const MAX_LINE: usize = 4096;

/// The next line of what has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut<'a> {
    /// A line and its end: `\n` or `\r\n`.
    Line {
        /// Without its end.
        line: &'a [u8],
        /// The end; empty where nothing follows.
        end: &'static [u8],
        /// Bytes, the end included.
        consumed: usize,
    },
    /// A piece of a line that is too long to wait for.
    Piece(&'a [u8]),
    /// More is needed.
    More,
}

/// Cuts the next line off. `eof`: what has come is all.
pub(crate) fn cut(data: &[u8], eof: bool) -> Cut<'_> {
    let look = data.get(..data.len().min(MAX_LINE)).unwrap_or_default();
    match memchr::memchr(b'\n', look) {
        Some(at) => {
            let line = data.get(..at).unwrap_or_default();
            match line.strip_suffix(b"\r") {
                Some(line) => Cut::Line { line, end: b"\r\n", consumed: at + 1 },
                None => Cut::Line { line, end: b"\n", consumed: at + 1 },
            }
        }
        None if data.len() >= MAX_LINE => {
            // A carriage return may belong to a line end that is not there yet.
            Cut::Piece(look.strip_suffix(b"\r").unwrap_or(look))
        }
        None if eof && !data.is_empty() => Cut::Line { line: data, end: b"", consumed: data.len() },
        None => Cut::More,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the bytes come, the lines are the same.
        #[test]
        fn cutting_loses_nothing(data in prop::collection::vec(prop::sample::select(vec![b'a', b'\r', b'\n']), 0..64)) {
            let (mut rest, mut seen) = (&data[..], Vec::new());
            loop {
                match cut(rest, true) {
                    Cut::Line { line, end, consumed } => {
                        prop_assert_eq!(line.len() + end.len(), consumed);
                        seen.extend_from_slice(line);
                        seen.extend_from_slice(end);
                        rest = &rest[consumed..];
                    }
                    Cut::Piece(p) => {
                        seen.extend_from_slice(p);
                        rest = &rest[p.len()..];
                    }
                    Cut::More => break,
                }
            }
            prop_assert_eq!(seen, data);
        }

        #[test]
        fn no_bytes_break_it(data: Vec<u8>) {
            let _ = (cut(&data, false), cut(&data, true));
        }
    }

    /// Threat: a line without end.
    #[test]
    fn a_long_line_comes_in_pieces() {
        assert_eq!(cut(&[b'a'; MAX_LINE - 1], false), Cut::More);
        assert_eq!(cut(&[b'a'; MAX_LINE + 9], false), Cut::Piece(&[b'a'; MAX_LINE]));
        let mut data = [b'a'; MAX_LINE];
        data[MAX_LINE - 1] = b'\r';
        assert_eq!(cut(&data, false), Cut::Piece(&[b'a'; MAX_LINE - 1]));
    }
}
