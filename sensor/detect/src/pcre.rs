// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Regular expressions: PCRE2, as Suricata uses it, with the same limits. The only place that knows the library.
//!
//! Patterns are compiled when they are first needed: of thousands a worker needs few, and a reload must not wait for all.
//! [`vet`] has tried each before. Must never let a pattern run on: [`MATCH_LIMIT`] and [`DEPTH_LIMIT`] hold for each search,
//! and a search that they end is counted and is no match, negated or not. Where memory may not be made executable (the
//! service's unit forbids it) PCRE2 interprets, which is slower and gives the same.

use std::sync::OnceLock;

use lagewarte_rules::{
    Refusal, Rule, RuleSet,
    ast::{BufferTest, PayloadTest, Pcre, PcreFlags, Transform},
};
use pcre2::bytes::{Regex, RegexBuilder};
use rayon::prelude::*;

/// Most steps of one search (Suricata's `pcre.match-limit`). Threat: `(a+)+$` against a long run of `a`.
pub const MATCH_LIMIT: u32 = 3_500;
/// Deepest nesting of one search where it is interpreted (Suricata's `pcre.match-limit-recursion`). Threat: as above.
pub const DEPTH_LIMIT: u32 = 1_500;

/// A pattern, compiled when it is first needed.
#[derive(Debug)]
pub(crate) struct Pattern {
    source: String,
    flags: PcreFlags,
    compiled: OnceLock<Option<Regex>>,
}

/// A search that ended at [`MATCH_LIMIT`] or [`DEPTH_LIMIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limited;

impl Pattern {
    pub(crate) fn new(source: &str, flags: PcreFlags) -> Self {
        Self { source: source.to_owned(), flags, compiled: OnceLock::new() }
    }

    fn regex(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| compile(&self.source, self.flags, true).ok()).as_ref()
    }

    /// Where it matches first, from this place on.
    pub(crate) fn find(&self, subject: &[u8], from: usize) -> Result<Option<(usize, usize)>, Limited> {
        let Some(regex) = self.regex().filter(|_| from <= subject.len()) else { return Ok(None) };
        match regex.find_at(subject, from) {
            Ok(found) => Ok(found.map(|m| (m.start(), m.end()))),
            Err(_) => Err(Limited),
        }
    }

    /// As [`Self::find`], and these groups of the match; None where one took no part.
    pub(crate) fn captures(&self, subject: &[u8], from: usize, groups: &[u16]) -> Vec<Option<Vec<u8>>> {
        let Some(regex) = self.regex().filter(|_| from <= subject.len()) else { return Vec::new() };
        let mut places = regex.capture_locations();
        match regex.captures_read_at(&mut places, subject, from) {
            Ok(Some(_)) => {
                let of = |g: &u16| places.get(usize::from(*g)).and_then(|(a, b)| subject.get(a..b));
                groups.iter().map(|g| of(g).map(<[u8]>::to_vec)).collect()
            }
            _ => Vec::new(),
        }
    }
}

// `fast`: for running; without for a trial only.
fn compile(source: &str, flags: PcreFlags, fast: bool) -> Result<Regex, String> {
    if source.trim_start().starts_with("(*") && source.contains("LIMIT_") {
        return Err(String::from("a pattern does not set its own limits; take the (*LIMIT_...) at its beginning away"));
    }
    let body =
        if flags.dollar_end && !flags.multi_line { ends_are_ends(source, flags.extended) } else { source.into() };
    let (open, close) = match (flags.anchored, flags.extended) {
        (true, true) => (r"\G(?:", "\n)"), // a comment at the end must not swallow the bracket
        (true, false) => (r"\G(?:", ")"),
        (false, _) => ("", ""),
    };
    let lazy = if flags.ungreedy { "(?U)" } else { "" };
    let text = format!("(*LIMIT_MATCH={MATCH_LIMIT})(*LIMIT_DEPTH={DEPTH_LIMIT}){open}{lazy}{body}{close}");
    let mut b = RegexBuilder::new();
    b.caseless(flags.caseless).multi_line(flags.multi_line).dotall(flags.dot_all).extended(flags.extended);
    if fast {
        b.jit_if_available(true);
    }
    b.build(&text).map_err(|e| {
        let before = text.len() - body.len() - close.len();
        let place =
            e.offset().and_then(|at| at.checked_sub(before)).map(|at| format!(" at byte {at}")).unwrap_or_default();
        format!("the pattern does not compile{place}: {}", e.to_string().trim_start_matches("PCRE2: "))
    })
}

// `$` as `\z`, outside of classes, quotes and comments.
fn ends_are_ends(source: &str, extended: bool) -> String {
    let mut out = String::with_capacity(source.len() + 8);
    let (mut class, mut quote, mut comment) = (false, false, false);
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                out.push(c);
                let next = chars.next();
                match next {
                    Some('Q') if !quote => quote = true,
                    Some('E') => quote = false,
                    _ => {}
                }
                out.extend(next);
                continue;
            }
            _ if quote => {}
            '\n' => comment = false,
            _ if comment => {}
            '[' if !class => {
                class = true;
                out.push(c);
                // A bracket that stands first closes nothing.
                if chars.peek() == Some(&'^') {
                    out.extend(chars.next());
                }
                if chars.peek() == Some(&']') {
                    out.extend(chars.next());
                }
                continue;
            }
            ']' => class = false,
            '#' if extended && !class => comment = true,
            '$' if !class => {
                out.push_str(r"\z");
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// Tries every pattern of a set; rules with one that does not compile are refused. Before [`crate::Engine::new`], and
/// wherever it is said what would load.
pub fn vet(set: &mut RuleSet) {
    let refused: Vec<Option<Refusal>> = set
        .rules
        .par_iter()
        .map(|r| {
            trial(r).err().map(|(keyword, reason)| Refusal {
                file: r.place.file.to_string(),
                line: r.place.line,
                sid: Some(r.meta.sid),
                keyword: keyword.to_owned(),
                reason,
            })
        })
        .collect();
    if refused.iter().all(Option::is_none) {
        return;
    }
    let mut fates = refused.iter();
    set.rules.retain(|_| fates.next().is_none_or(Option::is_none));
    set.refused.extend(refused.into_iter().flatten());
    set.seal();
}

fn trial(rule: &Rule) -> Result<(), (&'static str, String)> {
    tests(&rule.payload)?;
    for b in rule.buffers.iter().chain(&rule.headers).chain(&rule.frames) {
        transforms(b)?;
        tests(&b.tests)?;
    }
    Ok(())
}

fn tests(list: &[PayloadTest]) -> Result<(), (&'static str, String)> {
    list.iter().try_for_each(|t| match t {
        PayloadTest::Pcre(Pcre { pattern, flags, captures, .. }) => {
            let regex = compile(pattern, *flags, false).map_err(|e| ("pcre", e))?;
            let groups = regex.capture_names().len() - 1; // the first is the whole
            match captures.iter().find(|c| usize::from(c.group) > groups) {
                Some(c) => Err(("pcre", format!("there is no group for {}: the pattern has {groups}", c.name))),
                None => Ok(()),
            }
        }
        PayloadTest::Base64(b) => tests(&b.tests),
        _ => Ok(()),
    })
}

fn transforms(b: &BufferTest) -> Result<(), (&'static str, String)> {
    b.transforms.iter().try_for_each(|t| match t {
        Transform::Pcre(pattern) => {
            let regex = compile(pattern, PcreFlags::default(), false).map_err(|e| ("pcrexform", e))?;
            match regex.capture_names().len() {
                2 => Ok(()),
                n => Err(("pcrexform", format!("the pattern must have one group, and has {}", n - 1))),
            }
        }
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(source: &str, flags: PcreFlags, subject: &str) -> Option<(usize, usize)> {
        compile(source, flags, false).unwrap();
        let got = Pattern::new(source, flags).find(subject.as_bytes(), 0).unwrap();
        let slow = compile(source, flags, false).unwrap().find(subject.as_bytes()).unwrap();
        assert_eq!(got, slow.map(|m| (m.start(), m.end())), "interpreted and compiled agree: {source}");
        got
    }

    #[test]
    fn letters_change_what_a_pattern_means() {
        let none = PcreFlags::default();
        for (source, flags, subject, want) in [
            ("B", none, "ab", None),
            ("B", PcreFlags { caseless: true, ..none }, "ab", Some((1, 2))),
            ("a.b", none, "a\nb", None),
            ("a.b", PcreFlags { dot_all: true, ..none }, "a\nb", Some((0, 3))),
            ("^b", none, "a\nb", None),
            ("^b", PcreFlags { multi_line: true, ..none }, "a\nb", Some((2, 3))),
            ("a b # c", PcreFlags { extended: true, ..none }, "ab", Some((0, 2))),
            ("a b # c", PcreFlags { extended: true, anchored: true, ..none }, "xab", None),
            ("b", PcreFlags { anchored: true, ..none }, "ab", None),
            ("a|b", PcreFlags { anchored: true, ..none }, "bx", Some((0, 1))),
            ("a$", none, "a\n", Some((0, 1))),
            ("a$", PcreFlags { dollar_end: true, ..none }, "a\n", None),
            ("a$", PcreFlags { dollar_end: true, ..none }, "a", Some((0, 1))),
            (r"[$a]\$\Q$\E", PcreFlags { dollar_end: true, ..none }, "$$$", Some((0, 3))),
            ("a+", none, "aaa", Some((0, 3))),
            ("a+", PcreFlags { ungreedy: true, ..none }, "aaa", Some((0, 1))),
            // What no linear matcher has: looking around, and back.
            ("a(?!b)", none, "abac", Some((2, 3))),
            ("(?<=b)c", none, "bc", Some((1, 2))),
            (r"(.)\1", none, "abccd", Some((2, 4))),
            (r"\xff", none, "", None),
        ] {
            assert_eq!(find(source, flags, subject), want, "{source} {flags:?} in {subject:?}");
        }
    }

    #[test]
    fn a_catastrophic_pattern_ends_at_the_limit() {
        let subject = [b"a".repeat(40), b"b".to_vec()].concat();
        let p = Pattern::new("^(a+)+$", PcreFlags::default());
        assert_eq!(p.find(&subject, 0), Err(Limited));
        let slow = compile("^(a+)+$", PcreFlags::default(), false).unwrap();
        assert!(slow.find(&subject).is_err(), "interpreted too");
    }

    #[test]
    fn a_pattern_cannot_raise_its_limits() {
        for source in ["(*LIMIT_MATCH=4000000000)^(a+)+$", "(*UTF)(*LIMIT_DEPTH=9)a"] {
            assert!(compile(source, PcreFlags::default(), false).unwrap_err().contains("limits"), "{source}");
        }
    }

    #[test]
    fn what_does_not_compile_is_refused_with_its_place() {
        let text = concat!(
            "alert udp any any -> any any (pcre:\"/a(b/\"; sid:1;)\n",
            "alert udp any any -> any any (pcre:\"/a(b)/,pkt:one,pkt:two\"; sid:2;)\n",
            "alert dns any any -> any any (dns.query; pcrexform:\"ab\"; content:\"a\"; sid:3;)\n",
            "alert udp any any -> any any (pcre:\"/a(b)/\"; sid:4;)\n",
        );
        let mut set = lagewarte_rules::parse(&[("t", text.as_bytes())], &lagewarte_rules::Options::default());
        let before = set.sha256;
        assert_eq!(set.refused, []);
        vet(&mut set);
        assert_eq!(set.rules.iter().map(|r| r.meta.sid).collect::<Vec<_>>(), [4]);
        let said: Vec<_> = set.refused.iter().map(|r| (r.line, r.keyword.as_str())).collect();
        assert_eq!(said, [(1, "pcre"), (2, "pcre"), (3, "pcrexform")]);
        assert!(set.refused[0].reason.contains("at byte 3"), "{}", set.refused[0].reason);
        assert_ne!(set.sha256, before, "the hash stands for what is loaded");
    }
}
