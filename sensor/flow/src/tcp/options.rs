// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The TCP options that a session depends on: window scale, timestamps, Fast Open, and whether the segment is signed.
//!
//! Must never read past the header; damaged options end the list (the decoder names the damage).

/// Largest shift that RFC 7323 allows.
const MAX_SCALE: u8 = 14;
const HEADER: usize = 20;

/// What a header's options say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) scale: Option<u8>,
    /// The sender's clock.
    pub(crate) timestamp: Option<u32>,
    /// Fast Open, by its own number or the experimental one.
    pub(crate) fast_open: bool,
    /// MD5 signature or authentication option.
    pub(crate) signed: bool,
}

impl Options {
    /// From a TCP header.
    pub(crate) fn of(header: &[u8]) -> Self {
        let mut found = Self::default();
        let mut rest = header.get(HEADER..).unwrap_or_default();
        while let [kind, tail @ ..] = rest {
            match kind {
                0 => break,
                1 => {
                    rest = tail;
                    continue;
                }
                _ => {}
            }
            let Some(len) = tail.first().map(|l| usize::from(*l)).filter(|l| *l >= 2) else { break };
            let Some(value) = rest.get(2..len) else { break };
            match (kind, value) {
                (3, [shift]) => found.scale = Some((*shift).min(MAX_SCALE)),
                (8, [a, b, c, d, _, _, _, _]) => found.timestamp = Some(u32::from_be_bytes([*a, *b, *c, *d])),
                (34, _) | (254 | 253, [0xf9, 0x89, ..]) => found.fast_open = true,
                (19 | 29, _) => found.signed = true,
                _ => {}
            }
            rest = rest.get(len..).unwrap_or_default();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[u8]) -> Options {
        Options::of(&[&[0; HEADER], options].concat())
    }

    #[test]
    fn options_are_read_and_damage_ends_them() {
        let o = of(&[2, 4, 5, 180, 3, 3, 7, 1, 8, 10, 0, 0, 1, 2, 0, 0, 0, 0, 34, 2]);
        assert_eq!(o, Options { scale: Some(7), timestamp: Some(258), fast_open: true, signed: false });
        assert_eq!(of(&[3, 3, 99]).scale, Some(MAX_SCALE));
        assert!(of(&[29, 4, 1, 1]).signed && of(&[254, 4, 0xf9, 0x89]).fast_open);
        for damaged in [&[3][..], &[3, 0, 7], &[3, 9, 7], &[0, 3, 3, 7], &[8, 3, 1]] {
            assert_eq!(of(damaged), Options::default());
        }
        assert_eq!(Options::of(&[1, 2, 3]), Options::default());
    }
}
