// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The multi-pattern matcher: one pass over a payload names the patterns that occur in it. The only place that knows
//! which matcher it is (aho-corasick); verification does not rely on positions, so that another can take its place.
//!
//! Must never miss an occurrence: a pattern found too often costs time, one missed costs an alert. Letters match in
//! either case; [`crate::payload`] decides exactly.

use aho_corasick::{AhoCorasick, MatchKind};

/// A set of patterns.
#[derive(Debug)]
pub(crate) struct Matcher {
    automaton: AhoCorasick,
}

impl Matcher {
    /// Compiles patterns; their numbers are their positions. None where there are none.
    ///
    /// # Errors
    /// More patterns than the automaton can number.
    pub(crate) fn new(patterns: &[Vec<u8>]) -> Result<Option<Self>, String> {
        if patterns.is_empty() {
            return Ok(None);
        }
        AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .build(patterns)
            .map(|automaton| Some(Self { automaton }))
            .map_err(|e| format!("the prefilter of {} patterns could not be built: {e}", patterns.len()))
    }

    /// Calls `hit` with the number of each pattern that occurs, possibly several times.
    pub(crate) fn scan(&self, payload: &[u8], mut hit: impl FnMut(usize)) {
        for m in self.automaton.find_overlapping_iter(payload) {
            hit(m.pattern().as_usize());
        }
    }
}

/// How much a pattern narrows the search: the rarer its bytes in traffic and the longer it is, the more.
pub(crate) fn rarity(pattern: &[u8]) -> u32 {
    // Bits of surprise, roughly: counted once for each byte, and no more than sixteen bytes' worth.
    pattern
        .iter()
        .take(16)
        .map(|b| match b {
            0 => 1,
            b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 3,
            0xff | b'\r' | b'\n' | b'/' | b'.' | b'-' | b':' | b'=' => 3,
            b'a'..=b'z' | b'0'..=b'9' => 4,
            b'A'..=b'Z' => 4, // letters are searched in either case
            _ => 6,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(patterns: &[&str], payload: &str) -> Vec<usize> {
        let p: Vec<Vec<u8>> = patterns.iter().map(|p| p.as_bytes().to_vec()).collect();
        let mut out = Vec::new();
        if let Some(m) = Matcher::new(&p).unwrap() {
            m.scan(payload.as_bytes(), |n| out.push(n));
        }
        out.sort_unstable();
        out.dedup();
        out
    }

    #[test]
    fn every_pattern_that_occurs_is_named() {
        assert_eq!(hits(&["abc", "bc", "c", "x", "ABCD"], "..aBcd"), [0, 1, 2, 4]);
        assert_eq!(hits(&[], "abc"), [] as [usize; 0]);
    }

    #[test]
    fn long_and_odd_patterns_are_rarer() {
        assert!(rarity(b"\x90\x90\x90\x90") > rarity(b"\0\0\0\0"));
        assert!(rarity(b"User-Agent") > rarity(b"GET "));
    }
}
