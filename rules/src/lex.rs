// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A rule file to rule texts, a rule text to header fields and options. Knows no keyword.
//!
//! Lines end with LF or CRLF; a leading byte order mark is skipped; `#` opens a comment line; a `\` at the end of a line
//! continues it. Must never panic on any bytes. Limits: [`crate::limits::MAX_RULE_BYTES`], [`crate::limits::MAX_OPTIONS`].

use std::borrow::Cow;

use crate::limits::{MAX_OPTIONS, MAX_RULE_BYTES};

/// One rule's text, or why it cannot be one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Logical<'a> {
    /// First line, from 1.
    pub(crate) line: u32,
    /// Joined and trimmed.
    pub(crate) text: Result<Cow<'a, str>, String>,
}

/// The rules of a file, in order, comments and blank lines left out.
pub(crate) fn logical_lines(bytes: &[u8]) -> Vec<Logical<'_>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut out = Vec::new();
    let mut open: Option<(u32, Cow<'_, [u8]>)> = None;
    for (n, raw) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = u32::try_from(n + 1).unwrap_or(u32::MAX);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        if open.is_none() {
            let t = raw.trim_ascii_start();
            if t.is_empty() || t[0] == b'#' {
                continue;
            }
        }
        let (body, continues) = match raw.trim_ascii_end().strip_suffix(b"\\") {
            Some(b) => (b, true),
            None => (raw, false),
        };
        open = Some(match open.take() {
            None => (line, Cow::Borrowed(body)),
            Some((first, mut so_far)) => {
                // Past the cap nothing more is kept: enough to know that it is too long.
                if so_far.len() <= MAX_RULE_BYTES {
                    so_far.to_mut().extend_from_slice(body);
                }
                (first, so_far)
            }
        });
        if !continues && let Some((first, body)) = open.take() {
            out.push(finish(first, body));
        }
    }
    if let Some((first, body)) = open {
        out.push(finish(first, body));
    }
    out
}

fn finish(line: u32, body: Cow<'_, [u8]>) -> Logical<'_> {
    if body.len() > MAX_RULE_BYTES {
        return Logical { line, text: Err(format!("the rule is longer than {MAX_RULE_BYTES} bytes")) };
    }
    let text = match body {
        Cow::Borrowed(b) => std::str::from_utf8(b).map(|s| Cow::Borrowed(s.trim())).map_err(|e| e.valid_up_to()),
        Cow::Owned(b) => {
            String::from_utf8(b).map(|s| Cow::Owned(s.trim().to_owned())).map_err(|e| e.utf8_error().valid_up_to())
        }
    };
    Logical {
        line,
        text: text.map_err(|at| {
            format!(
                "byte {} of the rule is not UTF-8; write such bytes in `content` as hex between bars, as |E4|",
                at + 1
            )
        }),
    }
}

/// Header fields and options, borrowed from the text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) action: &'a str,
    pub(crate) proto: &'a str,
    pub(crate) src: &'a str,
    pub(crate) src_port: &'a str,
    pub(crate) direction: &'a str,
    pub(crate) dest: &'a str,
    pub(crate) dest_port: &'a str,
    /// Name as written, value without outer blanks.
    pub(crate) options: Vec<(&'a str, Option<&'a str>)>,
}

/// Takes a rule's text apart.
///
/// # Errors
/// A sentence for the rule's writer.
pub(crate) fn parts(text: &str) -> Result<Parts<'_>, String> {
    let mut rest = text;
    let mut field = |what: &str| {
        let (token, tail) = token(rest);
        if token.is_empty() || token.starts_with('(') {
            return Err(format!(
                "the header ends before its {what}; it is: action protocol source ports -> destination ports (options)"
            ));
        }
        rest = tail;
        Ok(token)
    };
    let action = field("action")?;
    let proto = field("protocol")?;
    let src = field("source addresses")?;
    let src_port = field("source ports")?;
    let direction = field("direction (-> or <>)")?;
    let dest = field("destination addresses")?;
    let dest_port = field("destination ports")?;
    let body = rest.trim();
    let body = body.strip_prefix('(').ok_or("the options must begin with `(` after a blank")?;
    let body = body.strip_suffix(')').ok_or("the rule must end with `)`; is a quote or a line left open?")?;
    Ok(Parts { action, proto, src, src_port, direction, dest, dest_port, options: options(body)? })
}

/// The `sid` option's number, wherever a broken rule still shows one.
pub(crate) fn sid_hint(text: &str) -> Option<u32> {
    text.match_indices("sid").find_map(|(i, _)| {
        let before = text[..i].chars().next_back();
        let rest = text[i + 3..].trim_start().strip_prefix(':')?.trim_start();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |n| &rest[..n]);
        if before.is_none_or(|c| c.is_ascii_whitespace() || c == ';' || c == '(') { digits.parse().ok() } else { None }
    })
}

// The next field: up to a blank that stands outside brackets.
fn token(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let mut depth = 0usize;
    for (i, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            c if c.is_ascii_whitespace() && depth == 0 => return text.split_at(i),
            _ => {}
        }
    }
    (text, "")
}

fn options(body: &str) -> Result<Vec<(&str, Option<&str>)>, String> {
    let mut out = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in body.char_indices() {
        if c == ';' && !escaped {
            let one = body[start..i].trim();
            start = i + 1;
            if one.is_empty() {
                return Err(String::from("an empty option (`;;`)"));
            }
            if out.len() == MAX_OPTIONS {
                return Err(format!("more than {MAX_OPTIONS} options"));
            }
            out.push(match one.split_once(':') {
                Some((name, value)) => (name.trim_end(), Some(value.trim())),
                None => (one, None),
            });
        }
        escaped = c == '\\' && !escaped;
    }
    let tail = body[start..].trim();
    if tail.is_empty() { Ok(out) } else { Err(format!("no `;` after the last option {tail:?}")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(file: &[u8]) -> Vec<(u32, String)> {
        logical_lines(file)
            .into_iter()
            .map(|l| (l.line, l.text.map_or_else(|e| format!("! {e}"), std::borrow::Cow::into_owned)))
            .collect()
    }

    #[test]
    fn lines_are_joined_comments_skipped_and_counted() {
        let file = b"\xef\xbb\xbf# a comment \\\r\n\r\nalert one \\\r\n  two\\\nthree\n#x\n  four  \n \\\n five";
        assert_eq!(texts(file), [(3, "alert one   twothree".into()), (7, "four".into()), (8, "five".into())]);
    }

    #[test]
    fn absurd_length_and_foreign_encodings_are_said() {
        let long = vec![b'a'; MAX_RULE_BYTES + 1];
        assert!(texts(&long)[0].1.contains("longer than"));
        let joined = [&vec![b'a'; MAX_RULE_BYTES][..], b"\\\n", &vec![b'a'; MAX_RULE_BYTES], b"\\\nb"].concat();
        assert!(texts(&joined)[0].1.contains("longer than"));
        assert!(texts(b"alert \xe4")[0].1.contains("byte 7"));
    }

    #[test]
    fn a_rule_comes_apart() {
        let p =
            parts(r#"alert tcp [10.0.0.1, 10.0.0.2] any <> !any $P ( content : "a\;b:c" ; nocase;sid:1;)"#).unwrap();
        assert_eq!(
            (p.action, p.proto, p.src, p.src_port, p.direction, p.dest, p.dest_port),
            ("alert", "tcp", "[10.0.0.1, 10.0.0.2]", "any", "<>", "!any", "$P")
        );
        assert_eq!(p.options, [("content", Some(r#""a\;b:c""#)), ("nocase", None), ("sid", Some("1"))]);
    }

    #[test]
    fn broken_shapes_are_said() {
        for (text, want) in [
            ("alert tcp any any -> any (sid:1;)", "destination ports"),
            ("alert tcp any any->any any (sid:1;)", "destination addresses"),
            ("alert tcp any any -> any any(sid:1;)", "begin with"),
            ("alert tcp any any -> any any (sid:1;", "end with"),
            ("alert tcp any any -> any any (sid:1)", "no `;`"),
            ("alert tcp any any -> any any (a;; sid:1;)", "empty option"),
            ("alert", "protocol"),
            ("alert tcp [10.0.0.1 any -> any any (sid:1;)", "source ports"),
        ] {
            let e = parts(text).unwrap_err();
            assert!(e.contains(want), "{text}: {e}");
        }
        let many = format!("alert ip any any -> any any ({})", "nocase;".repeat(MAX_OPTIONS + 1));
        assert!(parts(&many).unwrap_err().contains("options"));
    }

    #[test]
    fn the_sid_of_a_broken_rule_is_found() {
        assert_eq!(sid_hint("alert x (msg:\"sid:5\"; sid : 77; broken"), Some(77));
        assert_eq!(sid_hint("alert x (sid:99999999999;"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            for l in logical_lines(&bytes) {
                if let Ok(t) = l.text {
                    let _ = parts(&t);
                    let _ = sid_hint(&t);
                }
            }
        }
        #[test]
        fn no_text_panics(s in "(alert|pass) (tcp|ip) [\\[\\]a-z!$, ]{0,20} any (->|<>) any any \\([a-z:;\\\\\"|!ä ]{0,40}\\)?") {
            let _ = parts(&s);
            let _ = sid_hint(&s);
        }
    }
}
