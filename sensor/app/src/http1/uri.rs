// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Normalisation of a request's URI: what `http.uri` sees.
//!
//! Path and query are percent-decoded, backslashes become slashes, repeated slashes one, dot segments are resolved; scheme,
//! host and user are left out unless all is asked for. Names of the choices are those of `libhtp.default-config`. A URI in
//! which nothing changes is not copied. Must never make a URI longer than it was, dots and slashes included.

use std::borrow::Cow;

use memchr::{memchr, memchr3_iter};

/// How URIs are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// `double-decode-path`.
    pub double_decode_path: bool,
    /// `double-decode-query`.
    pub double_decode_query: bool,
    /// `query-plusspace-decode`.
    pub query_plusspace_decode: bool,
    /// `uri-include-all`: scheme, user, host and port stay.
    pub include_all: bool,
    /// `path-convert-backslash-separators`.
    pub backslash: bool,
    /// `path-convert-lowercase`.
    pub lowercase: bool,
    /// `path-separators-compress`.
    pub compress: bool,
    /// `path-separators-decode`: an encoded slash is one.
    pub decode_separators: bool,
    /// `path-u-encoding-decode`: `%u` with four hexadecimal digits.
    pub u_encoding: bool,
    /// `path-nul-raw-terminates` and `path-nul-encoded-terminates`: the path ends at a zero byte.
    pub nul_terminates: bool,
}

impl Default for Choices {
    /// Those of personality IDS.
    fn default() -> Self {
        Self {
            double_decode_path: false,
            double_decode_query: false,
            query_plusspace_decode: false,
            include_all: false,
            backslash: true,
            lowercase: false,
            compress: true,
            decode_separators: true,
            u_encoding: true,
            nul_terminates: false,
        }
    }
}

/// A URI in its parts, as they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts<'a> {
    /// Without `://`.
    pub scheme: Option<&'a [u8]>,
    /// User, host and port.
    pub authority: Option<&'a [u8]>,
    /// The path.
    pub path: &'a [u8],
    /// Without `?`.
    pub query: Option<&'a [u8]>,
    /// Without `#`.
    pub fragment: Option<&'a [u8]>,
}

/// Takes a URI apart. `connect`: the whole of it is an authority.
pub fn parts(uri: &[u8], connect: bool) -> Parts<'_> {
    let mut p = Parts::default();
    if connect {
        p.authority = Some(uri);
        return p;
    }
    let mut rest = uri;
    if rest.first() != Some(&b'/')
        && let Some(colon) = memchr(b':', rest)
        && rest.get(colon + 1..colon + 3) == Some(b"//")
        && rest.get(..colon).is_some_and(|s| s.iter().all(u8::is_ascii_alphanumeric))
    {
        p.scheme = rest.get(..colon);
        let after = rest.get(colon + 3..).unwrap_or_default();
        let end = after.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end); // end <= len
        p.authority = Some(authority);
        rest = tail;
    }
    if let Some(hash) = memchr(b'#', rest) {
        p.fragment = rest.get(hash + 1..);
        rest = rest.get(..hash).unwrap_or_default();
    }
    if let Some(mark) = memchr(b'?', rest) {
        p.query = rest.get(mark + 1..);
        rest = rest.get(..mark).unwrap_or_default();
    }
    p.path = rest;
    p
}

/// A normalised URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal<'a> {
    /// What `http.uri` sees.
    pub uri: Cow<'a, [u8]>,
    /// How much of it is the path (from [`Self::path_from`]); what a file is named after.
    pub path_to: usize,
    /// Where the path begins: not 0 only with `uri-include-all`.
    pub path_from: usize,
    /// Decoding once leaves something that could be decoded again.
    pub double_encoded: bool,
}

/// Normalises a URI.
pub fn normalise<'a>(uri: &'a [u8], connect: bool, c: &Choices) -> Normal<'a> {
    let p = parts(uri, connect);
    if connect {
        return Normal { uri: Cow::Borrowed(uri), path_from: 0, path_to: uri.len(), double_encoded: false };
    }
    let path_plain = !needs_work(p.path) && !c.lowercase;
    let query_plain =
        p.query.is_none_or(|q| memchr(b'%', q).is_none() && !(c.query_plusspace_decode && q.contains(&b'+')));
    if path_plain && query_plain && (p.authority.is_none() || c.include_all) {
        let from = if p.authority.is_none() { 0 } else { uri.len() - tail_len(&p) };
        return Normal {
            uri: Cow::Borrowed(uri),
            path_from: from,
            path_to: from + p.path.len(),
            double_encoded: false,
        };
    }
    let mut out = Vec::with_capacity(uri.len());
    if c.include_all
        && let (Some(scheme), Some(authority)) = (p.scheme, p.authority)
    {
        out.extend_from_slice(scheme);
        out.extend_from_slice(b"://");
        out.extend_from_slice(authority);
    }
    let path_from = out.len();
    let mut double_encoded = false;
    if path_plain {
        out.extend_from_slice(p.path);
    } else {
        let mut path = decode_path(p.path, c);
        double_encoded |= has_encoded(&path);
        if c.double_decode_path {
            path = decode_path(&path, c);
        }
        resolve_dots(&path, &mut out);
    }
    let path_to = out.len();
    if let Some(query) = p.query {
        out.push(b'?');
        let at = out.len();
        decode_query(query, c, &mut out);
        double_encoded |= out.get(at..).is_some_and(has_encoded);
        if c.double_decode_query {
            let once = out.split_off(at);
            decode_query(&once, c, &mut out);
        }
    }
    if let Some(fragment) = p.fragment {
        out.push(b'#');
        out.extend_from_slice(fragment);
    }
    Normal { uri: Cow::Owned(out), path_from, path_to, double_encoded }
}

fn tail_len(p: &Parts<'_>) -> usize {
    p.path.len() + p.query.map_or(0, |q| q.len() + 1) + p.fragment.map_or(0, |f| f.len() + 1)
}

// Whether anything in a path could change: escapes, backslashes, doubled slashes, dot segments, zeros.
fn needs_work(path: &[u8]) -> bool {
    if memchr3_iter(b'%', b'\\', 0, path).next().is_some() {
        return true;
    }
    memchr::memchr_iter(b'/', path).any(|i| matches!(path.get(i + 1), Some(b'/' | b'.')))
}

fn has_encoded(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'%', bytes).any(|i| hex_pair(bytes, i + 1).is_some())
}

fn hex_pair(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16));
    Some((digit(at)? * 16 + digit(at + 1)?) as u8) // two hexadecimal digits
}

// One escape at `at` (which holds %): the byte and the length of the escape.
fn escape(bytes: &[u8], at: usize, u: bool) -> Option<(u8, usize)> {
    if u && matches!(bytes.get(at + 1), Some(b'u' | b'U')) {
        let (high, low) = (hex_pair(bytes, at + 2)?, hex_pair(bytes, at + 4)?);
        return Some((best_fit(high, low), 6));
    }
    hex_pair(bytes, at + 1).map(|b| (b, 3))
}

// A code point of two bytes as the one byte that it looks like: Latin-1, full-width forms; else `?`.
const fn best_fit(high: u8, low: u8) -> u8 {
    match (high, low) {
        (0, b) => b,
        (0xff, b @ 0x01..=0x5e) => b + 0x20,
        _ => b'?',
    }
}

fn decode_path(path: &[u8], c: &Choices) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some(&b) = path.get(at) {
        let (mut byte, n) = match b {
            b'%' => match escape(path, at, c.u_encoding) {
                Some((b'/' | b'\\', _)) if !c.decode_separators => (b'%', 1),
                Some(decoded) => decoded,
                None => (b'%', 1),
            },
            other => (other, 1),
        };
        at += n;
        if byte == 0 && c.nul_terminates {
            break;
        }
        if byte == b'\\' && c.backslash {
            byte = b'/';
        }
        if c.lowercase {
            byte = byte.to_ascii_lowercase();
        }
        if byte == b'/' && c.compress && out.last() == Some(&b'/') {
            continue;
        }
        out.push(byte);
    }
    out
}

fn decode_query(query: &[u8], c: &Choices, out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&b) = query.get(at) {
        let (byte, n) = match b {
            b'%' => escape(query, at, c.u_encoding).unwrap_or((b'%', 1)),
            b'+' if c.query_plusspace_decode => (b' ', 1),
            other => (other, 1),
        };
        out.push(byte);
        at += n;
    }
}

// RFC 3986, 5.2.4.
fn resolve_dots(path: &[u8], out: &mut Vec<u8>) {
    let base = out.len();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(r) = rest.strip_prefix(b"../").or_else(|| rest.strip_prefix(b"./")) {
            rest = r;
        } else if rest.starts_with(b"/./") {
            rest = rest.get(2..).unwrap_or_default();
        } else if rest == b"/." {
            rest = b"/";
        } else if rest.starts_with(b"/../") || rest == b"/.." {
            rest = if rest.len() == 3 { b"/" } else { rest.get(3..).unwrap_or_default() };
            let cut = out.get(base..).and_then(|o| memchr::memrchr(b'/', o)).unwrap_or(0);
            out.truncate(base + cut);
        } else if rest == b"." || rest == b".." {
            rest = b"";
        } else {
            let first = usize::from(rest.first() == Some(&b'/'));
            let end = rest.get(first..).and_then(|r| memchr(b'/', r)).map_or(rest.len(), |i| i + first);
            let (segment, tail) = rest.split_at(end); // end <= len
            out.extend_from_slice(segment);
            rest = tail;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expected: &str) {
        let n = normalise(uri.as_bytes(), false, &Choices::default());
        assert_eq!(String::from_utf8_lossy(&n.uri), expected, "of {uri}");
    }

    #[test]
    fn uris_as_rules_see_them() {
        check("/", "/");
        check("/a/b?c=d", "/a/b?c=d");
        check("/%2e%2e/etc/%70asswd", "/etc/passwd");
        check("/a//b///c", "/a/b/c");
        check("/a/./b/../c", "/a/c");
        check("/a\\b", "/a/b");
        check("/a%2fb", "/a/b");
        check("/a%5cb", "/a/b");
        check("/%u0041%uFF21", "/AA");
        check("/100%", "/100%");
        check("/%zz", "/%zz");
        check("/x?a=%41&b=1+2", "/x?a=A&b=1+2");
        check("/x?a=../b//c", "/x?a=../b//c");
        check("/%2541", "/%41");
        check("/a/..", "/");
        check("/../..", "/");
        check("http://host:80/a?b", "/a?b");
        check("http://host?b", "?b");
        check("*", "*");
        check("foo.cgi?x", "foo.cgi?x");
        check("/x#frag%41", "/x#frag%41");
    }

    #[test]
    fn double_decoding_is_a_choice() {
        let twice = Choices { double_decode_path: true, double_decode_query: true, ..Choices::default() };
        assert_eq!(&*normalise(b"/%2541?%2542", false, &twice).uri, b"/A?B");
        let once = normalise(b"/%2541?%2542", false, &Choices::default());
        assert_eq!((&*once.uri, once.double_encoded), (&b"/%41?%42"[..], true));
    }

    #[test]
    fn nothing_to_do_copies_nothing_and_nothing_grows() {
        assert!(matches!(normalise(b"/index.html?a=b", false, &Choices::default()).uri, Cow::Borrowed(_)));
        for i in 0..4096u32 {
            // Every word of these bytes up to six.
            let alphabet = b"/.%2\\aue";
            let word: Vec<u8> = (0..4).map(|k| alphabet[(i >> (3 * k)) as usize & 7]).collect();
            assert!(normalise(&word, false, &Choices::default()).uri.len() <= word.len());
        }
    }

    #[test]
    fn a_path_is_found_for_naming_a_file() {
        let n = normalise(b"http://h/a/b.txt?x=y", false, &Choices::default());
        assert_eq!(n.uri.get(n.path_from..n.path_to), Some(&b"/a/b.txt"[..]));
        let all = Choices { include_all: true, ..Choices::default() };
        let n = normalise(b"http://h/a/b.txt?x=y", false, &all);
        assert_eq!(
            (&*n.uri, n.uri.get(n.path_from..n.path_to)),
            (&b"http://h/a/b.txt?x=y"[..], Some(&b"/a/b.txt"[..]))
        );
    }
}
