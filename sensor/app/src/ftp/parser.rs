// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! FTP (RFC 959, 2428, 2228) line by line: commands, replies, and where data connections go.
//!
//! Must never keep anything.

/// A command line: its word in upper case, and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command<'a> {
    /// The word; empty where the line begins with none. Two words for `AUTH TLS`.
    pub word: Vec<u8>,
    /// What follows the first blank.
    pub data: &'a [u8],
}

/// Longest word of a command: `XSHA512` and its like are shorter.
const MAX_WORD: usize = 16;

/// Reads a command line.
pub fn command(line: &[u8]) -> Command<'_> {
    // Telnet's negotiation may stand before a command that interrupts (RFC 959, 4.1.3).
    let line = line.trim_ascii_start();
    let line = match line {
        [0xff, 0xf4, 0xff, 0xf2, rest @ ..] | [0xff, 0xf4, rest @ ..] | [0xff, 0xf2, rest @ ..] => rest,
        line => line,
    };
    let end = line.iter().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    if word.is_empty() || word.len() > MAX_WORD || rest.first().is_some_and(|b| !b.is_ascii_whitespace()) {
        return Command { word: Vec::new(), data: line };
    }
    let (word, data) = (word.to_ascii_uppercase(), rest.trim_ascii_start());
    // Suricata's name of the command has both words.
    if word == b"AUTH" && data.eq_ignore_ascii_case(b"TLS") {
        return Command { word: b"AUTH TLS".to_vec(), data: &[] };
    }
    Command { word, data }
}

/// The port that PORT or EPRT tells.
pub fn announced(word: &[u8], data: &[u8]) -> Option<u16> {
    if word == b"PORT" { port(data) } else { eprt(data) }
}

/// A reply line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// Its code, as it stands; None for a line within a longer reply.
    pub code: Option<&'a [u8]>,
    /// Further lines of the same reply follow.
    pub more: bool,
    /// What stands behind the code.
    pub text: &'a [u8],
}

/// Reads a reply line.
pub fn reply(line: &[u8]) -> Reply<'_> {
    match line.split_at_checked(3) {
        Some((code, rest))
            if code.iter().all(u8::is_ascii_digit) && rest.first().is_none_or(|b| matches!(b, b' ' | b'-')) =>
        {
            Reply { code: Some(code), more: rest.first() == Some(&b'-'), text: rest.get(1..).unwrap_or_default() }
        }
        _ => Reply { code: None, more: false, text: line },
    }
}

/// The port of PORT's argument and of PASV's reply: six numbers, the last two of them (RFC 959, 4.1.2).
pub fn port(text: &[u8]) -> Option<u16> {
    numbers(text).map(|n| u16::from_be_bytes([n[4], n[5]]))
}

/// The address of the same.
pub fn address(text: &[u8]) -> Option<[u8; 4]> {
    numbers(text).map(|n| [n[0], n[1], n[2], n[3]])
}

fn numbers(text: &[u8]) -> Option<[u8; 6]> {
    let begin = text.iter().position(u8::is_ascii_digit)?;
    let text = text.get(begin..)?;
    let end = text.iter().position(|b| !b.is_ascii_digit() && *b != b',').unwrap_or(text.len());
    let mut out = [0; 6];
    let mut parts = text.get(..end)?.split(|b| *b == b',');
    for slot in &mut out {
        *slot = decimal(parts.next()?)?;
    }
    parts.next().is_none().then_some(out)
}

fn decimal<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The port of EPRT's argument, `|1|192.0.2.1|6275|` (RFC 2428, 2).
pub fn eprt(text: &[u8]) -> Option<u16> {
    let text = text.trim_ascii();
    let (mark, _) = text.split_first()?;
    let mut parts = text.split(|b| b == mark);
    decimal(parts.nth(3)?).filter(|p| *p != 0)
}

/// The port of EPSV's reply, `(|||6446|)` (RFC 2428, 3).
pub fn epsv(text: &[u8]) -> Option<u16> {
    let begin = memchr::memchr(b'(', text)?;
    let inner = text.get(begin + 1..)?;
    let (mark, _) = inner.split_first()?;
    let mut parts = inner.split(|b| b == mark);
    decimal(parts.nth(3)?).filter(|p| *p != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_and_replies() {
        for (line, word, data) in [
            (&b"RETR temp.txt"[..], &b"RETR"[..], &b"temp.txt"[..]),
            (b"retr  a b", b"RETR", b"a b"),
            (b"QUIT", b"QUIT", b""),
            (b"\xff\xf4\xff\xf2ABOR", b"ABOR", b""),
            (b"", b"", b""),
            (b"\x16\x03\x01", b"", b"\x16\x03\x01"),
            (b"a-b c", b"", b"a-b c"),
        ] {
            assert_eq!(command(line), Command { word: word.to_vec(), data }, "{}", line.escape_ascii());
        }
        for (line, code, more, text) in [
            (&b"220 (vsFTPd 3.0.3)"[..], Some(&b"220"[..]), false, &b"(vsFTPd 3.0.3)"[..]),
            (b"211-Features:", Some(b"211"), true, b"Features:"),
            (b" MDTM", None, false, b" MDTM"),
            (b"226", Some(b"226"), false, b""),
            (b"22", None, false, b"22"),
            (b"2263x", None, false, b"2263x"),
        ] {
            assert_eq!(reply(line), Reply { code, more, text });
        }
    }

    #[test]
    fn ports_in_every_form() {
        assert_eq!(port(b"192,168,0,13,234,10"), Some(59_914));
        assert_eq!(address(b"192,168,0,13,234,10"), Some([192, 168, 0, 13]));
        assert_eq!(port(b"Entering Passive Mode (2,2,2,2,185,13)."), Some(47_373));
        assert_eq!(port(b"Entering Passive Mode 2,2,2,2,185,13"), Some(47_373));
        assert_eq!(epsv(b"Entering Extended Passive Mode (|||58612|)"), Some(58_612));
        assert_eq!(eprt(b"|1|132.235.1.2|6275|"), Some(6275));
        assert_eq!(eprt(b"|2|1080::8:800:200C:417A|5282|"), Some(5282));
        for bad in [&b""[..], b"1,2,3", b"1,2,3,4,5,6,7", b"300,1,1,1,1,1", b"1,2,3,4,,6", b"none"] {
            assert_eq!(port(bad), None, "{}", bad.escape_ascii());
        }
        for bad in [&b""[..], b"(", b"(|||", b"(|||0|)", b"(|||99999|)", b"|1|", b"|||x|"] {
            assert_eq!((epsv(bad), eprt(bad)), (None, None), "{}", bad.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(data: Vec<u8>) {
            let _ = (command(&data), reply(&data), port(&data), address(&data), eprt(&data), epsv(&data));
        }
    }
}
