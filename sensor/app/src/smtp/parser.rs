// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! SMTP (RFC 5321) line by line: commands with what they name, replies with their code.
//!
//! Must never keep anything.

/// A command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// EHLO or HELO, and the name given; empty where there is none.
    Helo(&'a [u8]),
    /// MAIL FROM and the path.
    Mail(&'a [u8]),
    /// RCPT TO and the path.
    Rcpt(&'a [u8]),
    /// DATA.
    Data,
    /// BDAT (RFC 3030): bytes that follow, and whether they are the last; None: no length that can be read.
    Bdat(Option<(u64, bool)>),
    /// RSET.
    Rset,
    /// STARTTLS.
    Starttls,
    /// QUIT.
    Quit,
    /// Any other line.
    Other,
}

/// Reads a command line.
pub fn command(line: &[u8]) -> Command<'_> {
    let after = |word: &[u8]| match line.split_at_checked(word.len()) {
        Some((head, tail)) if head.eq_ignore_ascii_case(word) => Some(tail),
        _ => None,
    };
    if let Some(name) = after(b"EHLO").or_else(|| after(b"HELO")) {
        return Command::Helo(word(name));
    }
    if let Some(path) = after(b"MAIL FROM") {
        return Command::Mail(path_of(path));
    }
    if let Some(path) = after(b"RCPT TO") {
        return Command::Rcpt(path_of(path));
    }
    if after(b"STARTTLS").is_some() {
        return Command::Starttls;
    }
    if after(b"DATA").is_some_and(|t| t.first().is_none_or(|b| b.is_ascii_whitespace())) {
        return Command::Data;
    }
    if let Some(rest) = after(b"BDAT") {
        let mut words = rest.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty());
        let len = words.next().and_then(|w| std::str::from_utf8(w).ok()).and_then(|w| w.parse::<u32>().ok());
        let last = words.next().is_some_and(|w| w.eq_ignore_ascii_case(b"LAST"));
        return Command::Bdat(len.map(|n| (n.into(), last)));
    }
    if after(b"RSET").is_some() {
        return Command::Rset;
    }
    if after(b"QUIT").is_some() {
        return Command::Quit;
    }
    Command::Other
}

/// The first word, after blanks.
fn word(rest: &[u8]) -> &[u8] {
    rest.trim_ascii_start().split(u8::is_ascii_whitespace).next().unwrap_or_default()
}

/// The path behind a colon: to the first blank that is not within angle brackets.
fn path_of(rest: &[u8]) -> &[u8] {
    let rest = rest.trim_ascii_start();
    let rest = rest.strip_prefix(b":").unwrap_or(rest).trim_ascii_start();
    if rest.starts_with(b"<")
        && let Some(end) = memchr::memchr(b'>', rest)
    {
        return rest.get(..=end).unwrap_or_default();
    }
    word(rest)
}

/// A reply line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Its code.
    pub code: u16,
    /// Further lines of the same reply follow.
    pub more: bool,
    /// What stands behind.
    pub text: &'a [u8],
}

/// Codes that servers use (RFC 5321, 4.2.3, RFC 4954, RFC 3207, RFC 1846, and those of common servers).
const CODES: &[u16] = &[
    211, 214, 220, 221, 235, 250, 251, 252, 334, 354, 401, 402, 421, 435, 450, 451, 452, 454, 455, 500, 501, 502, 503,
    504, 511, 521, 522, 525, 530, 534, 535, 538, 541, 543, 550, 551, 552, 553, 554, 555, 556,
];

/// Reads a reply line; None where it is none.
pub fn reply(line: &[u8]) -> Option<Reply<'_>> {
    let (&[a, b, c], rest) = line.split_first_chunk()?;
    let digit = |d: u8| d.is_ascii_digit().then(|| u16::from(d - b'0'));
    let code = digit(a)? * 100 + digit(b)? * 10 + digit(c)?;
    CODES.contains(&code).then(|| Reply {
        code,
        more: rest.first() == Some(&b'-'),
        text: rest.get(1..).unwrap_or_default().trim_ascii(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_told_in_any_case_with_what_they_name() {
        for (line, want) in [
            (&b"EHLO client.example"[..], Command::Helo(b"client.example")),
            (b"helo  a b", Command::Helo(b"a")),
            (b"ehlo", Command::Helo(b"")),
            (b"MAIL FROM:<a@b.example> SIZE=9", Command::Mail(b"<a@b.example>")),
            (b"mail from: <a b@c>", Command::Mail(b"<a b@c>")),
            (b"MAIL FROM:a@b x", Command::Mail(b"a@b")),
            (b"MAIL FROM:<>", Command::Mail(b"<>")),
            (b"rcpt to:<x@y>", Command::Rcpt(b"<x@y>")),
            (b"DATA", Command::Data),
            (b"data ", Command::Data),
            (b"DATABASE", Command::Other),
            (b"BDAT 86 LAST", Command::Bdat(Some((86, true)))),
            (b"bdat 0", Command::Bdat(Some((0, false)))),
            (b"BDAT many", Command::Bdat(None)),
            (b"BDAT 99999999999999999999", Command::Bdat(None)),
            (b"staRttLs", Command::Starttls),
            (b"RSET", Command::Rset),
            (b"quit", Command::Quit),
            (b"", Command::Other),
            (b"AUTH PLAIN AGEAYg==", Command::Other),
        ] {
            assert_eq!(command(line), want, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn replies_have_a_code_that_is_one() {
        assert_eq!(reply(b"250-PIPELINING"), Some(Reply { code: 250, more: true, text: b"PIPELINING" }));
        assert_eq!(reply(b"354"), Some(Reply { code: 354, more: false, text: b"" }));
        for bad in [&b"25"[..], b"", b"472 no", b"4.7.0 later", b"abc", b"999 x"] {
            assert_eq!(reply(bad), None, "{}", bad.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(data: Vec<u8>) {
            let _ = (command(&data), reply(&data));
        }
    }
}
