// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Base64 as rules have it decoded: out of the middle of something, often cut, seldom well padded (RFC 4648, RFC 2045).
//!
//! Must never give more bytes than it takes. No library does it: those that are lenient say where a fault is, and not
//! what stands before it in a group that is not whole.

use lagewarte_rules::ast::Base64Mode;

/// What these letters stand for.
pub(crate) fn decode(letters: &[u8], mode: Base64Mode) -> Vec<u8> {
    let mut out = Vec::with_capacity(letters.len() / 4 * 3 + 2);
    let (mut bits, mut have) = (0u32, 0u32);
    for &b in letters {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break, // padding: the end
            _ if mode == Base64Mode::Rfc2045 => continue,
            _ if mode == Base64Mode::Strict => return Vec::new(),
            _ => break,
        };
        bits = bits << 6 | u32::from(six);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8); // the eight bits above those that are left
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn foreign_letters_are_treated_by_mode() {
        let all = [Base64Mode::Strict, Base64Mode::Rfc4648, Base64Mode::Rfc2045];
        for (text, want) in [
            ("Zm9vYmFy", ["foobar"; 3]),
            ("Zm9vYg==", ["foob"; 3]),
            ("Zm9vYmE", ["fooba"; 3]),
            ("Zm9v Ym Fy", ["", "foo", "foobar"]),
            ("Zm\r\n9v", ["", "f", "foo"]),
            ("Zm9v=Ym", ["foo"; 3]),
            ("Z", [""; 3]),
            ("", [""; 3]),
        ] {
            for (mode, want) in all.into_iter().zip(want) {
                assert_eq!(decode(text.as_bytes(), mode), want.as_bytes(), "{text:?} {mode:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(bytes: Vec<u8>) {
            for mode in [Base64Mode::Strict, Base64Mode::Rfc4648, Base64Mode::Rfc2045] {
                prop_assert_eq!(&decode(STANDARD.encode(&bytes).as_bytes(), mode), &bytes);
            }
        }
    }
}
