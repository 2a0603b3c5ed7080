// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Transforms: what rules have made of a buffer's bytes before they look at them.
//!
//! What was made once is kept as long as the same bytes are looked at ([`Made`]): hundreds of rules want the same. Must never
//! make more bytes than it was given, but for one (the dot) and for unpacking, which has its own limit.

use std::{io::Read, sync::Arc};

use lagewarte_rules::{
    ast::{PcreFlags, Transform, XorKey},
    limits::MAX_UNPACKED,
};
use md5::{Digest, Md5};

use crate::{base64, pcre::Pattern};

/// Most results that are kept. Threat: a message with a thousand names against a hundred chains.
pub const MAX_MADE: usize = 4_096;

/// Transforms in the order in which they are done.
#[derive(Debug)]
pub(crate) struct Chain {
    steps: Vec<Transform>,
    /// The patterns of its `pcrexform`, by position in `steps`.
    patterns: Vec<Option<Pattern>>,
}

impl PartialEq for Chain {
    fn eq(&self, other: &Self) -> bool {
        self.steps == other.steps
    }
}

impl Chain {
    /// None where there is nothing to do.
    pub(crate) fn new(steps: &[Transform]) -> Option<Arc<Self>> {
        let pattern = |t: &Transform| match t {
            Transform::Pcre(source) => Some(Pattern::new(source, PcreFlags::default())),
            _ => None,
        };
        let chain = || Arc::new(Self { steps: steps.to_vec(), patterns: steps.iter().map(pattern).collect() });
        (!steps.is_empty()).then(chain)
    }

    pub(crate) fn apply(&self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for (step, pattern) in self.steps.iter().zip(&self.patterns) {
            out = one(step, pattern.as_ref(), out);
        }
        out
    }
}

fn one(step: &Transform, pattern: Option<&Pattern>, mut bytes: Vec<u8>) -> Vec<u8> {
    match step {
        Transform::DotPrefix => bytes.insert(0, b'.'),
        Transform::StripWhitespace => bytes.retain(|b| !is_space(*b)),
        Transform::CompressWhitespace => {
            let mut before = false;
            bytes.retain_mut(|b| {
                let space = is_space(*b);
                let keep = !(space && before);
                before = space;
                if space {
                    *b = b' ';
                }
                keep
            });
        }
        Transform::ToLowercase => bytes.make_ascii_lowercase(),
        Transform::ToUppercase => bytes.make_ascii_uppercase(),
        Transform::ToMd5 => return Md5::digest(&bytes).to_vec(),
        Transform::ToSha1 => return sha1::Sha1::digest(&bytes).to_vec(),
        Transform::ToSha256 => return sha2::Sha256::digest(&bytes).to_vec(),
        Transform::UrlDecode => return url_decode(&bytes),
        Transform::Xor { offset, key } => {
            let key = match key {
                XorKey::Written(key) => key.clone(),
                XorKey::Extract { bytes: n, from } => {
                    let from = usize::from(*from);
                    let Some(key) = bytes.get(from..from + usize::from(*n)) else { return bytes };
                    key.to_vec()
                }
            };
            let rest = bytes.iter_mut().skip((*offset).into());
            rest.zip(key.iter().cycle()).for_each(|(b, k)| *b ^= k);
        }
        Transform::Subslice(part) => return part.of(&bytes).to_vec(),
        Transform::Domain => return psl::domain(&bytes).map(|d| d.as_bytes().to_vec()).unwrap_or_default(),
        // Of a name that is a public suffix itself there is none, as Suricata has it.
        Transform::Tld => return psl::domain(&bytes).map(|d| d.suffix().as_bytes().to_vec()).unwrap_or_default(),
        Transform::HeaderLowercase => {
            let mut name = true;
            for b in &mut bytes {
                match b {
                    b'\n' => name = true,
                    b':' => name = false,
                    b if name => b.make_ascii_lowercase(),
                    _ => {}
                }
            }
        }
        Transform::StripPseudoHeaders => {
            return bytes
                .split_inclusive(|b| *b == b'\n')
                .filter(|l| l.first() != Some(&b':'))
                .flatten()
                .copied()
                .collect();
        }
        Transform::Pcre(_) => {
            let group = pattern.and_then(|p| p.captures(&bytes, 0, &[1]).into_iter().next().flatten());
            // Where nothing is captured the bytes stay as they are.
            return group.unwrap_or(bytes);
        }
        Transform::FromBase64 { bytes: most, offset, mode } => {
            let from = usize::try_from(*offset).unwrap_or(usize::MAX).min(bytes.len());
            let rest = bytes.get(from..).unwrap_or_default();
            let most = most.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX).min(rest.len());
            return base64::decode(rest.get(..most).unwrap_or_default(), *mode);
        }
        Transform::Gunzip(most) => return unpack(flate2::bufread::GzDecoder::new(&*bytes), *most),
        Transform::ZlibDeflate(most) => return unpack(flate2::bufread::ZlibDecoder::new(&*bytes), *most),
    }
    bytes
}

// As C's isspace.
const fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t'..=b'\r')
}

fn url_decode(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&b, tail)) = rest.split_first() {
        let hex = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        rest = tail;
        match (b, tail) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(h), Some(l)) => {
                    out.push(h << 4 | l);
                    rest = after;
                }
                _ => out.push(b),
            },
            _ => out.push(b),
        }
    }
    out
}

// What can be unpacked, up to the limit; what follows a fault is lost.
fn unpack(from: impl Read, most: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut part = [0; 4096];
    let mut from = from.take(most.min(MAX_UNPACKED).into());
    while let Ok(n) = from.read(&mut part) {
        if n == 0 {
            break;
        }
        out.extend_from_slice(part.get(..n).unwrap_or_default());
    }
    out
}

/// What was made of the buffers that are looked at now. `K` names one: it must be cleared where the bytes change.
#[derive(Debug)]
pub(crate) struct Made<K> {
    list: Vec<(K, Arc<Chain>, Vec<u8>)>,
    /// The last result where the list is full.
    spare: Vec<u8>,
}

impl<K> Default for Made<K> {
    fn default() -> Self {
        Self { list: Vec::new(), spare: Vec::new() }
    }
}

impl<K: PartialEq> Made<K> {
    /// Forgets all: other bytes are looked at.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    /// What the chain makes of these bytes.
    pub(crate) fn of<'m>(&'m mut self, key: K, chain: &Arc<Chain>, bytes: &[u8]) -> &'m [u8] {
        let at = self.list.iter().position(|(k, c, _)| *k == key && (Arc::ptr_eq(c, chain) || c == chain));
        let at = match at {
            Some(at) => at,
            None if self.list.len() < MAX_MADE => {
                self.list.push((key, Arc::clone(chain), chain.apply(bytes)));
                self.list.len() - 1
            }
            None => {
                self.spare = chain.apply(bytes);
                return &self.spare;
            }
        };
        self.list.get(at).map_or(&[], |(.., made)| made)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use lagewarte_rules::ast::Subslice;
    use proptest::prelude::*;

    use super::*;

    fn apply(steps: &[Transform], bytes: &[u8]) -> Vec<u8> {
        Chain::new(steps).unwrap().apply(bytes)
    }

    #[test]
    fn each_makes_what_the_guide_says() {
        let xor = |offset, key: &[u8]| Transform::Xor { offset, key: XorKey::Written(key.to_vec()) };
        let extract = |bytes, from| XorKey::Extract { bytes, from };
        let part = |offset, bytes, truncate| Transform::Subslice(Subslice { offset, bytes, truncate });
        let b64 = |bytes, offset| Transform::FromBase64 { bytes, offset, mode: Default::default() };
        for (step, from, want) in [
            (Transform::DotPrefix, "a.example", ".a.example"),
            (Transform::StripWhitespace, " a\t\r\nb\x0b\x0cc ", "abc"),
            (Transform::CompressWhitespace, "a \t\r\nb  c ", "a b c "),
            (Transform::ToLowercase, "aBÄ", "abÄ"),
            (Transform::ToUppercase, "aBä", "ABä"),
            (Transform::UrlDecode, "a+b%2fc%zz%4", "a b/c%zz%4"),
            (xor(0, &[1, 2]), "abc", "``b"),
            (xor(2, &[1, 2]), "abcde", "abbfd"),
            (xor(9, &[1, 2]), "abc", "abc"),
            (Transform::Xor { offset: 1, key: extract(1, 0) }, "\u{1}`c", "\u{1}ab"),
            (Transform::Xor { offset: 0, key: extract(2, 1) }, "aab", "\0\u{3}\u{3}"),
            (Transform::Xor { offset: 0, key: extract(2, 2) }, "abc", "abc"), // no key, no change
            (part(1, None, false), "abc", "bc"),
            (part(-2, Some(1), false), "abc", "b"),
            (part(1, Some(-1), false), "abcd", "bc"),
            (part(3, Some(-3), false), "abcd", "bc"), // the ends the other way round
            (part(-4, None, false), "abc", ""),
            (part(-4, None, true), "abc", "abc"),
            (part(1, Some(3), false), "abc", ""),
            (part(1, Some(3), true), "abc", "bc"),
            (part(4, None, true), "abc", ""),
            (part(0, Some(-4), false), "abc", ""),
            (part(2, Some(-4), true), "abc", "ab"),
            (part(i32::MAX, Some(i32::MAX), true), "abc", ""),
            (part(i32::MIN, Some(i32::MIN), true), "abc", ""),
            (Transform::Domain, "www.example.co.uk", "example.co.uk"),
            (Transform::Domain, "co.uk", ""),
            (Transform::Domain, "", ""),
            (Transform::Tld, "www.example.co.uk", "co.uk"),
            (Transform::Tld, "co.uk", ""),
            (Transform::Tld, "a.b.no-such-suffix", "no-such-suffix"),
            (Transform::HeaderLowercase, "A: B:C\r\nD: E", "a: B:C\r\nd: E"),
            (Transform::StripPseudoHeaders, ":a: b\r\nc: :d\r\n:e\r\n", "c: :d\r\n"),
            (Transform::Pcre("a(.)c".into()), "xabcx", "b"),
            (Transform::Pcre("a(.)c".into()), "nothing", "nothing"),
            (b64(None, 6), "/?arg=dGhpc2lzYXRlc3QK", "thisisatest\n"),
            (b64(Some(6), 6), "/?arg=dGhpc2lzYXRlc3QK", "this"),
            (b64(None, 60), "abc", ""),
        ] {
            assert_eq!(apply(std::slice::from_ref(&step), from.as_bytes()), want.as_bytes(), "{step:?}");
        }
        assert_eq!(hex(&apply(&[Transform::ToMd5], b"abc")), "900150983cd24fb0d6963f7d28e17f72"); // RFC 1321
        let want = "a9993e364706816aba3e25717850c26c9cd0d89d"; // FIPS 180
        assert_eq!(hex(&apply(&[Transform::ToSha1], b"abc")), want);
        let want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&apply(&[Transform::ToSha256], b"abc")), want);
        assert_eq!(apply(&[Transform::ToUppercase, Transform::DotPrefix], b"a"), b".A", "in order");
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn a_bomb_is_unpacked_up_to_the_limit_only() {
        let zeros = vec![0; 1 << 20];
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gz.write_all(&zeros).unwrap();
        let gz = gz.finish().unwrap();
        assert_eq!(apply(&[Transform::Gunzip(1024)], &gz).len(), 1024);
        let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        z.write_all(b"some text").unwrap();
        let z = z.finish().unwrap();
        assert_eq!(apply(&[Transform::ZlibDeflate(1024)], &z), b"some text");
        assert_eq!(apply(&[Transform::ZlibDeflate(4)], &z), b"some");
        assert_eq!(apply(&[Transform::Gunzip(1024)], b"not packed"), b"");
    }

    #[test]
    fn what_was_made_is_kept_until_the_bytes_change() {
        let (a, b) = (Chain::new(&[Transform::DotPrefix]).unwrap(), Chain::new(&[Transform::DotPrefix]).unwrap());
        let mut made = Made::default();
        assert_eq!(made.of(1, &a, b"x"), b".x");
        assert_eq!(made.of(1, &b, b"ignored: the key says it is the same"), b".x");
        assert_eq!(made.of(2, &b, b"y"), b".y");
        made.clear();
        assert_eq!(made.of(1, &b, b"z"), b".z");
        for n in 0..MAX_MADE + 10 {
            made.of(n, &a, b"n");
        }
        assert_eq!(made.list.len(), MAX_MADE);
        assert_eq!(made.of(MAX_MADE + 99, &a, b"more"), b".more");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_none_make_many(bytes: Vec<u8>, n in 0u32..40) {
            for step in [
                Transform::StripWhitespace, Transform::CompressWhitespace, Transform::UrlDecode,
                Transform::Xor { offset: 3, key: XorKey::Extract { bytes: 3, from: 1 } },
                Transform::Subslice(Subslice { offset: -5, bytes: Some(3), truncate: n % 2 == 0 }),
                Transform::Domain, Transform::Tld,
                Transform::HeaderLowercase, Transform::StripPseudoHeaders, Transform::Pcre("(.*)".into()),
                Transform::FromBase64 { bytes: Some(n), offset: n, mode: Default::default() },
            ] {
                prop_assert!(apply(&[step], &bytes).len() <= bytes.len());
            }
            prop_assert!(apply(&[Transform::Gunzip(n)], &bytes).len() <= n as usize);
        }
    }
}
