// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The ledger: the one small file that says which epochs exist, what is reserved, acknowledged and cleanly ended.
//!
//! Replaced whole (write, fsync, rename, fsync of the directory), so that a power cut leaves the old or the new. Text, so
//! that a person can read it. Must never grow with events: one line an epoch that still holds something.

use std::fmt::Write as _;

use lagewarte_base::id::Epoch;

/// One epoch's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) epoch: Epoch,
    /// No sequence number above this was ever given out.
    pub(crate) reserved: u64,
    /// Everything up to here was acknowledged when the line was written.
    pub(crate) acked: u64,
    /// The last number given out, where the spool was closed cleanly.
    pub(crate) end: Option<u64>,
}

const TITLE: &str = "lagewarte-spool-ledger 1";

/// The ledger's text.
pub(crate) fn write(lines: &[Line]) -> String {
    let mut out = format!("{TITLE}\n");
    for l in lines {
        let end = l.end.map_or_else(|| "-".to_owned(), |e| e.to_string());
        let _ = writeln!(
            out, // writing to a String cannot fail
            "epoch {} nonce {:016x} reserved {} acked {} end {end}",
            l.epoch.counter,
            l.epoch.nonce,
            l.reserved,
            l.acked
        );
    }
    let crc = crc32fast::hash(out.as_bytes());
    let _ = writeln!(out, "crc {crc:08x}");
    out
}

/// Reads it back; None where the checksum or any word is wrong.
pub(crate) fn parse(text: &str) -> Option<Vec<Line>> {
    let body = text.len().checked_sub(13)?;
    let (body, tail) = (text.get(..body)?, text.get(body..)?);
    let crc = u32::from_str_radix(tail.strip_prefix("crc ")?.strip_suffix('\n')?, 16).ok()?;
    if crc != crc32fast::hash(body.as_bytes()) {
        return None;
    }
    body.strip_prefix(TITLE)?.strip_prefix('\n')?.lines().map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let words: Vec<&str> = text.split(' ').collect();
    let ["epoch", counter, "nonce", nonce, "reserved", reserved, "acked", acked, "end", end] = words[..] else {
        return None;
    };
    Some(Line {
        epoch: Epoch { counter: counter.parse().ok()?, nonce: u64::from_str_radix(nonce, 16).ok()? },
        reserved: reserved.parse().ok()?,
        acked: acked.parse().ok()?,
        end: if end == "-" { None } else { Some(end.parse().ok()?) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_every_truncation_or_flip_is_refused() {
        let lines = [
            Line { epoch: Epoch { counter: 1, nonce: 2 }, reserved: 30, acked: 4, end: Some(29) },
            Line { epoch: Epoch { counter: 2, nonce: u64::MAX }, reserved: 0, acked: 0, end: None },
        ];
        let text = write(&lines);
        assert_eq!(parse(&text).as_deref(), Some(&lines[..]));
        assert_eq!(parse(&write(&[])), Some(Vec::new()));
        for n in 0..text.len() {
            assert_eq!(parse(&text[..n]), None, "cut at {n}");
            let mut bad = text.clone().into_bytes();
            bad[n] ^= 1;
            assert_eq!(String::from_utf8(bad).ok().and_then(|t| parse(&t)), None, "flip at {n}");
        }
    }
}
