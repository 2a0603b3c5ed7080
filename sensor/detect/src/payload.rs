// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Tests on the payload: `content` with its windows, and `isdataat`, in the rule's order, with backtracking.
//!
//! A relative content that fails makes the content before it look for its next occurrence, as Suricata does. Must never
//! take more than [`MAX_STEPS`] searches for one rule on one packet, and never look outside the payload.

use lagewarte_rules::{
    ast::{Content, PayloadTest},
    dataset::Lookup,
};
use memchr::memmem;

/// Most searches for one rule on one packet (Suricata's `inspection-recursion-limit` is of this size). Threat: a payload
/// made so that relative contents match everywhere, and a rule retries without end.
pub const MAX_STEPS: u32 = 3_000;

/// A rule's payload tests, ready to run.
#[derive(Debug)]
pub(crate) struct Program {
    steps: Vec<Step>,
    /// A content has a place of its own, or there is none that must occur: only what is new is looked at.
    placed: bool,
}

#[derive(Debug)]
enum Step {
    Content { content: Content, needle: Needle },
    Isdataat { negated: bool, relative: bool, at: usize },
    Lookup(Lookup),
}

#[derive(Debug)]
enum Needle {
    Exact(Box<memmem::Finder<'static>>),
    /// Lower-cased bytes.
    AnyCase(Vec<u8>),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All tests hold.
    Match,
    /// One does not.
    NoMatch,
    /// Given up at [`MAX_STEPS`]; counted, and not a match.
    GaveUp,
}

impl Program {
    pub(crate) fn new(tests: &[PayloadTest]) -> Self {
        let steps = tests
            .iter()
            .map(|t| match t {
                PayloadTest::Content(c) => Step::Content {
                    needle: if c.nocase && c.bytes.iter().any(u8::is_ascii_alphabetic) {
                        Needle::AnyCase(c.bytes.to_ascii_lowercase())
                    } else {
                        Needle::Exact(Box::new(memmem::Finder::new(&c.bytes).into_owned()))
                    },
                    content: c.clone(),
                },
                PayloadTest::Lookup(l) => Step::Lookup(l.clone()),
                PayloadTest::Isdataat { negated, relative, at } => {
                    Step::Isdataat { negated: *negated, relative: *relative, at: usize::from(*at) }
                }
            })
            .collect();
        let placed = |t: &PayloadTest| match t {
            PayloadTest::Content(c) => c.offset.is_some() || c.depth.is_some() || c.startswith,
            PayloadTest::Isdataat { relative, .. } => !relative,
            PayloadTest::Lookup(_) => false,
        };
        let positive = |t: &PayloadTest| matches!(t, PayloadTest::Content(c) if !c.negated);
        Self { steps, placed: tests.iter().any(placed) || !tests.iter().any(positive) }
    }

    /// Runs the tests on a window of a stream of which the first `seen` bytes were looked at before: what matches must
    /// reach into the new ones.
    pub(crate) fn run_new(&self, window: &[u8], seen: usize) -> Outcome {
        if seen == 0 || self.placed {
            return self.run(window.get(seen..).unwrap_or_default());
        }
        self.go(window, seen)
    }

    /// Runs the tests. An empty payload passes none, not even a negated one (as in Suricata); no tests always pass.
    pub(crate) fn run(&self, payload: &[u8]) -> Outcome {
        if payload.is_empty() && !self.steps.is_empty() {
            return Outcome::NoMatch;
        }
        self.go(payload, 0)
    }

    fn go(&self, payload: &[u8], beyond: usize) -> Outcome {
        let mut left = Left { steps: MAX_STEPS, beyond };
        match run(&self.steps, payload, 0, 0, &mut left) {
            true => Outcome::Match,
            false if left.steps == 0 => Outcome::GaveUp,
            false => Outcome::NoMatch,
        }
    }
}

/// What a run may still do, and what it must reach.
struct Left {
    steps: u32,
    /// Some content must end behind this place; 0 asks for nothing.
    beyond: usize,
}

// `end`: where the match before ended; `reach`: the furthest that any did. Recursion is as deep as the rule has tests (capped by the parser).
fn run(steps: &[Step], payload: &[u8], end: usize, reach: usize, left: &mut Left) -> bool {
    let Some((step, rest)) = steps.split_first() else { return left.beyond == 0 || reach > left.beyond };
    match step {
        Step::Lookup(l) => l.run(payload) && run(rest, payload, end, reach, left),
        Step::Isdataat { negated, relative, at } => {
            let there = if *relative { end + at <= payload.len() } else { *at < payload.len() };
            there != *negated && run(rest, payload, end, reach, left)
        }
        Step::Content { content, needle } => {
            let (mut from, to) = window(content, payload.len(), end);
            if content.negated {
                let absent = left.steps > 0 && next(content, needle, payload, from, to, &mut left.steps).is_none();
                return absent && run(rest, payload, end, reach, left);
            }
            // Only where what follows refers to this match can a later occurrence change the result.
            let retry = left.beyond > 0 || matters_to(rest);
            while let Some(at) = next(content, needle, payload, from, to, &mut left.steps) {
                let end = at + content.bytes.len();
                if run(rest, payload, end, reach.max(end), left) {
                    return true;
                }
                if !retry || left.steps == 0 {
                    return false;
                }
                from = at + 1;
            }
            false
        }
    }
}

// Whether a test looks at the match before, ahead of the next match that stands for itself.
fn matters_to(rest: &[Step]) -> bool {
    for step in rest {
        match step {
            Step::Content { content, .. } if content.relative() => return true,
            Step::Content { content, .. } if !content.negated => return false,
            Step::Isdataat { relative: true, .. } => return true,
            _ => {}
        }
    }
    false
}

// The bytes that may hold the pattern: [from, to).
fn window(c: &Content, len: usize, end: usize) -> (usize, usize) {
    if c.relative() {
        let distance = i64::from(c.distance.unwrap_or(0));
        let end = i64::try_from(end).unwrap_or(i64::MAX);
        let from = usize::try_from(end + distance).unwrap_or(0);
        let to = match c.within {
            Some(w) => usize::try_from(end + distance + i64::from(w)).unwrap_or(0).min(len),
            None => len,
        };
        (from, to)
    } else if c.startswith {
        (0, c.bytes.len().min(len))
    } else {
        let from = usize::from(c.offset.unwrap_or(0));
        let to = c.depth.map_or(len, |d| (from + usize::from(d)).min(len));
        (from, to)
    }
}

// The next occurrence in the window, at its end if the pattern must end the payload.
fn next(c: &Content, needle: &Needle, payload: &[u8], from: usize, to: usize, left: &mut u32) -> Option<usize> {
    *left = left.checked_sub(1)?;
    let n = c.bytes.len();
    if c.endswith {
        let at = payload.len().checked_sub(n)?;
        let here = payload.get(at..)?;
        let same = match needle {
            Needle::Exact(f) => here == f.needle(),
            Needle::AnyCase(lower) => here.eq_ignore_ascii_case(lower),
        };
        return (same && at >= from && at + n <= to).then_some(at);
    }
    let hay = payload.get(from..to)?;
    let at = match needle {
        Needle::Exact(f) => f.find(hay),
        Needle::AnyCase(lower) => find_any_case(hay, lower),
    };
    at.map(|a| a + from)
}

fn find_any_case(hay: &[u8], lower: &[u8]) -> Option<usize> {
    let (&first, rest) = lower.split_first()?;
    let last = hay.len().checked_sub(lower.len())?;
    let starts = hay.get(..=last)?;
    let upper = first.to_ascii_uppercase();
    memchr::memchr2_iter(first, upper, starts)
        .find(|&i| hay.get(i + 1..i + lower.len()).is_some_and(|h| h.eq_ignore_ascii_case(rest)))
}

#[cfg(test)]
mod tests {
    use lagewarte_rules::Options;
    use proptest::prelude::*;

    use super::*;

    fn program(options: &str) -> Program {
        let text = format!("alert udp any any -> any any ({options} sid:1;)");
        let set = lagewarte_rules::parse(&[("t", text.as_bytes())], &Options::default());
        assert!(set.refused.is_empty(), "{options}: {:?}", set.refused);
        Program::new(&set.rules[0].payload)
    }

    fn matches(options: &str, payload: &[u8]) -> bool {
        program(options).run(payload) == Outcome::Match
    }

    #[test]
    fn windows_are_where_the_guide_says() {
        for (options, yes, no) in [
            (r#"content:"abc";"#, "xxabcxx", "xxabxc"),
            (r#"content:"aBc"; nocase;"#, "xxAbCxx", "xxabx"),
            (r#"content:"abc";"#, "abc", "ABC"),
            (r#"content:!"abc";"#, "ab", "xabcx"),
            (r#"content:"|61 62|c|0d 0a|";"#, "abc\r\n", "abc\n"),
            (r#"content:"abc"; offset:3;"#, "abcabc", "abcab"),
            (r#"content:"abc"; depth:4;"#, "xabc", "xxabc"),
            (r#"content:"abc"; offset:2; depth:4;"#, "xxxabc", "xxxxabc"),
            (r#"content:"abc"; startswith;"#, "abcx", "xabc"),
            (r#"content:"abc"; endswith;"#, "abcabc", "abcx"),
            (r#"content:"abc"; startswith; endswith;"#, "abc", "abcabc"),
            (r#"content:"abc"; offset:2; endswith;"#, "xxabc", "xabc"),
            (r#"content:"abc"; depth:4; endswith;"#, "xabc", "xxabc"),
            (r#"content:"a"; content:"b"; distance:0;"#, "ab", "ba"),
            (r#"content:"a"; content:"b"; distance:2;"#, "axxb", "axb"),
            (r#"content:"a"; content:"b"; distance:2; within:1;"#, "axxb", "axxxb"),
            (r#"content:"a"; content:"b"; within:3;"#, "axxb", "axxxb"),
            (r#"content:"xa"; content:"x"; distance:-2; within:1;"#, "xa", "ya"),
            (r#"content:"a"; content:"bc"; distance:0; endswith;"#, "abcbc", "abcb"),
            // The first a leads nowhere, the second does.
            (r#"content:"a"; content:"b"; within:1;"#, "axab", "axaxb"),
            (r#"content:"a"; content:"b"; distance:0; content:"c"; within:1;"#, "abxbc", "abxcb"),
            // Absolute contents do not refer to the one before.
            (r#"content:"b"; content:"a";"#, "ab", "b"),
            (r#"content:"a"; content:!"b"; within:2;"#, "axcb", "axb"),
            (r#"content:"a"; content:!"b"; distance:1; content:"c"; distance:1;"#, "abc", "axbc"),
            (r#"content:!"a"; offset:2;"#, "aa", "aaa"),
            (r#"isdataat:3;"#, "abcd", "abc"),
            (r#"isdataat:!3;"#, "abc", "abcd"),
            (r#"content:"a"; isdataat:3,relative;"#, "xabcd", "xabc"),
            (r#"content:"a"; isdataat:!1,relative;"#, "xa", "xab"),
            (r#"content:"a"; isdataat:!1,relative;"#, "axa", "axab"),
            (r#"isdataat:3,relative;"#, "abc", "ab"),
        ] {
            assert!(matches(options, yes.as_bytes()), "{options} matches {yes:?}");
            assert!(!matches(options, no.as_bytes()), "{options} does not match {no:?}");
        }
    }

    #[test]
    fn a_payload_made_to_retry_without_end_is_given_up() {
        let p = program(r#"content:"a"; content:"a"; distance:0; content:"a"; distance:0; content:"b"; distance:0;"#);
        assert_eq!(p.run(&[b'a'; 60_000]), Outcome::GaveUp);
    }

    proptest! {
        #[test]
        fn a_plain_content_is_a_plain_search(hay in "[abAB]{0,20}", needle in "[abAB]{1,3}", nocase: bool) {
            let flag = if nocase { "nocase;" } else { "" };
            let want = if nocase {
                hay.to_lowercase().contains(&needle.to_lowercase())
            } else {
                hay.contains(&needle)
            };
            prop_assert_eq!(matches(&format!("content:\"{needle}\"; {flag}"), hay.as_bytes()), want);
        }
        #[test]
        fn two_relative_contents_are_an_exhaustive_search(
            hay in "[abc]{0,12}", d in -4i32..5, w in 1i32..6,
        ) {
            let b = hay.as_bytes();
            let want = (0..b.len()).any(|i| b[i] == b'a' && (0..b.len()).any(|j| {
                let at = j as i32 - (i as i32 + 1);
                b[j] == b'b' && at >= d && at < d + w
            }));
            let got = matches(&format!("content:\"a\"; content:\"b\"; distance:{d}; within:{w};"), b);
            prop_assert_eq!(got, want);
        }
        #[test]
        fn no_payload_panics(hay: Vec<u8>, d in -2000i32..2000) {
            let _ = matches(&format!("content:\"|00|\"; content:!\"a\"; distance:{d}; within:9; isdataat:4,relative;"), &hay);
        }
    }
}
