// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A rule's tests on bytes, in its order, with backtracking: contents in their windows, patterns, numbers.
//!
//! What is relative and fails makes the content or pattern before it look for its next occurrence, as Suricata does. Must
//! never take more than [`MAX_STEPS`] searches for one rule on one buffer, and never look outside it.

use std::sync::{Arc, OnceLock};

use lagewarte_flow::printable;
use lagewarte_rules::{
    ast::{
        Asn1, Base64, Base64Mode, ByteExtract, ByteJump, ByteMath, ByteTest, Capture, CaptureTo, Content, Entropy,
        Interval, PayloadTest, Value,
    },
    dataset::Lookup,
};
use memchr::memmem;

use crate::{
    asn1, base64,
    bytes::{self, Variables},
    pcre::Pattern,
    prefilter::{SHORT, first_near},
    rarity,
};

/// Most searches for one rule on one packet (Suricata's `inspection-recursion-limit` is of this size). Threat: a payload
/// made so that relative contents match everywhere, and a rule retries without end.
pub const MAX_STEPS: u32 = 3_000;
/// Longest group that a `pcre` captures; the rest of a longer one is cut. Threat: a body kept whole with each alert.
pub const MAX_CAPTURED: usize = 4_096;

/// A rule's tests on bytes, ready to run.
#[derive(Debug)]
pub(crate) struct Program {
    steps: Box<[Step]>,
    /// A content has a place of its own, or there is none that must occur: only what is new is looked at.
    placed: bool,
    /// The content that is looked for before the others are: the rarest that must occur.
    rarest: Option<usize>,
    /// Whether that is worth it: it is not what the rule was found by.
    unsought: bool,
}

#[derive(Debug)]
enum Step {
    Content {
        /// Where letters may be in either case, in lower case.
        content: Content,
        needle: Needle,
    },
    Isdataat {
        negated: bool,
        relative: bool,
        at: Value,
    },
    Pcre {
        pattern: Pattern,
        negated: bool,
        relative: bool,
        captures: Vec<Capture>,
    },
    Test(ByteTest),
    Jump(ByteJump),
    Extract(ByteExtract),
    Math(ByteMath),
    Size(Interval),
    /// There is such a buffer: `absent` fails.
    Never,
    Base64 {
        bytes: Option<Value>,
        offset: Value,
        relative: bool,
        inner: Box<[Step]>,
    },
    Lookup(Lookup),
    Entropy(Entropy),
    Asn1(Asn1),
}

/// How a content is found.
#[derive(Debug)]
enum Needle {
    /// Made when it is first searched for: of tens of thousands a worker searches for few.
    Exact(OnceLock<Box<memmem::Finder<'static>>>),
    /// By its rarest byte, which lies there.
    AnyCase(usize),
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

/// What a rule has found out so far: kept from one place that it looks at to the next.
#[derive(Debug, Default)]
pub(crate) struct Finds {
    vars: Variables,
    /// Where a group goes, its name, and what it held.
    pub(crate) captured: Vec<(CaptureTo, String, Vec<u8>)>,
    /// What data sets say of entries that were found: the rule's key for it, and the JSON object.
    pub(crate) told: Vec<(Arc<str>, Arc<str>)>,
    /// Entropies that were asked for, of all rules: the buffer's name and the last value.
    pub(crate) entropies: Vec<(&'static str, f64)>,
    /// Searches that ended at a limit of PCRE, of all rules.
    pub(crate) limited: u64,
}

impl Finds {
    /// Says which byte of a number comes first in the call that is looked into.
    pub(crate) const fn order(&mut self, little: bool) {
        self.vars.little = little;
    }
    /// Begins a rule with so many variables.
    pub(crate) fn begin(&mut self, variables: u16) {
        self.vars.reset(variables);
        self.captured.clear();
        self.told.clear();
    }
}

impl Program {
    pub(crate) fn new(tests: &[PayloadTest]) -> Self {
        let placed = |t: &PayloadTest| match t {
            PayloadTest::Content(c) => c.offset.is_some() || c.depth.is_some() || c.startswith,
            PayloadTest::Pcre(_) | PayloadTest::Lookup(_) | PayloadTest::Entropy(_) => false,
            t => !t.relative(),
        };
        let positive = |t: &PayloadTest| match t {
            PayloadTest::Content(c) => !c.negated,
            PayloadTest::Pcre(p) => !p.negated,
            _ => false,
        };
        let placed = tests.iter().any(placed) || !tests.iter().any(positive);
        let steps: Box<[Step]> = tests.iter().filter_map(Step::new).collect();
        let must = |(i, step): (usize, &Step)| match step {
            Step::Content { content, .. } if !content.negated => Some((rarity::of(&content.bytes), i)),
            _ => None,
        };
        let contents: Vec<(u32, usize)> = steps.iter().enumerate().filter_map(must).collect();
        let rarest = contents.iter().max_by_key(|(worth, _)| *worth).copied();
        // Found by a content near the beginning that is less rare, it may hold nothing else.
        let unsought = contents.len() > 1
            && first_near(tests, None).is_some_and(|near| {
                near.bytes.len() >= SHORT && rarest.is_some_and(|(w, _)| w > rarity::of(&near.bytes))
            });
        let rarest = rarest.map(|(_, i)| i);
        Self { steps, placed, rarest, unsought }
    }

    /// Whether bytes may pass: they hold what is rarest of what must occur.
    pub(crate) fn may_pass(&self, bytes: &[u8]) -> bool {
        let Some(Step::Content { content, needle }) = self.rarest.and_then(|i| self.steps.get(i)) else { return true };
        needle.find(content, bytes).is_some()
    }

    /// Runs the tests on a window of a stream of which the first `seen` bytes were looked at before: what matches must
    /// reach into the new ones.
    pub(crate) fn run_new(&self, window: &[u8], seen: usize, finds: &mut Finds) -> Outcome {
        if seen == 0 || self.placed {
            return self.run(window.get(seen..).unwrap_or_default(), finds);
        }
        self.go(window, seen, true, finds)
    }

    /// Runs the tests on a payload. An empty one passes none, not even a negated one (as in Suricata); no tests always pass.
    pub(crate) fn run(&self, payload: &[u8], finds: &mut Finds) -> Outcome {
        if payload.is_empty() && !self.steps.is_empty() {
            return Outcome::NoMatch;
        }
        self.go(payload, 0, true, finds)
    }

    /// Runs the tests on a buffer, which may be empty. `whole`: nothing follows.
    pub(crate) fn run_buffer(&self, bytes: &[u8], whole: bool, finds: &mut Finds) -> Outcome {
        self.go(bytes, 0, whole, finds)
    }

    fn go(&self, bytes: &[u8], beyond: usize, whole: bool, finds: &mut Finds) -> Outcome {
        if self.unsought && !self.may_pass(bytes) {
            return Outcome::NoMatch;
        }
        let (kept, told) = (finds.captured.len(), finds.told.len());
        let mut run = Run { bytes, whole, steps: MAX_STEPS, beyond, finds };
        if run.all(&self.steps, 0, 0) {
            return Outcome::Match;
        }
        let gave_up = run.steps == 0;
        finds.captured.truncate(kept);
        finds.told.truncate(told);
        if gave_up { Outcome::GaveUp } else { Outcome::NoMatch }
    }
}

impl Step {
    fn new(t: &PayloadTest) -> Option<Self> {
        Some(match t {
            PayloadTest::Content(c) => {
                let (mut content, mut needle) = (c.clone(), Needle::Exact(OnceLock::new()));
                if c.nocase && c.bytes.iter().any(u8::is_ascii_alphabetic) {
                    content.bytes.make_ascii_lowercase();
                    needle = Needle::any_case(&content.bytes);
                }
                Self::Content { content, needle }
            }
            PayloadTest::Lookup(l) => Self::Lookup(l.clone()),
            PayloadTest::Entropy(e) => Self::Entropy(e.clone()),
            PayloadTest::Asn1(t) => Self::Asn1(*t),
            PayloadTest::Isdataat { negated, relative, at } => {
                Self::Isdataat { negated: *negated, relative: *relative, at: *at }
            }
            PayloadTest::Pcre(p) => Self::Pcre {
                pattern: Pattern::new(&p.pattern, p.flags),
                negated: p.negated,
                relative: p.relative,
                captures: p.captures.clone(),
            },
            PayloadTest::ByteTest(t) => Self::Test(*t),
            PayloadTest::ByteJump(t) => Self::Jump(*t),
            PayloadTest::ByteExtract(t) => Self::Extract(*t),
            PayloadTest::ByteMath(t) => Self::Math(*t),
            PayloadTest::Bsize(i) => Self::Size(*i),
            PayloadTest::Absent { or_else: false } => Self::Never,
            PayloadTest::Absent { or_else: true } => return None,
            PayloadTest::Base64(Base64 { bytes, offset, relative, tests }) => Self::Base64 {
                bytes: *bytes,
                offset: *offset,
                relative: *relative,
                inner: tests.iter().filter_map(Self::new).collect(),
            },
        })
    }

    /// Whether it counts from the match before.
    const fn relative(&self) -> bool {
        match self {
            Self::Content { content, .. } => content.relative(),
            Self::Isdataat { relative, .. } | Self::Pcre { relative, .. } | Self::Base64 { relative, .. } => *relative,
            Self::Test(t) => t.read.relative,
            Self::Asn1(t) => t.relative,
            Self::Jump(t) => t.read.relative,
            Self::Extract(t) => t.read.relative,
            Self::Math(t) => t.read.relative,
            Self::Size(_) | Self::Never | Self::Lookup(_) | Self::Entropy(_) => false,
        }
    }

    /// Whether it sets where the next one counts from, wherever the match before was.
    const fn stands_alone(&self) -> bool {
        match self {
            Self::Content { content, .. } => !content.negated && !content.relative(),
            Self::Pcre { negated, relative, .. } => !*negated && !*relative,
            Self::Jump(ByteJump { read, .. })
            | Self::Extract(ByteExtract { read, .. })
            | Self::Math(ByteMath { read, .. }) => !read.relative,
            _ => false,
        }
    }
}

/// A run over some bytes.
struct Run<'r> {
    bytes: &'r [u8],
    whole: bool,
    /// Searches that it may still do.
    steps: u32,
    /// Some match must end behind this place; 0 asks for nothing.
    beyond: usize,
    finds: &'r mut Finds,
}

impl Run<'_> {
    // `end`: where the match before ended; `reach`: the furthest that any did. Recursion is as deep as the rule has tests
    // (capped by the parser).
    fn all(&mut self, steps: &[Step], end: usize, reach: usize) -> bool {
        let Some((step, rest)) = steps.split_first() else { return self.beyond == 0 || reach > self.beyond };
        let len = i64::try_from(self.bytes.len()).unwrap_or(i64::MAX);
        let holds = match step {
            Step::Content { content, needle } if content.negated => {
                let (from, to) = self.window(content, end);
                self.steps > 0 && next(content, needle, self.bytes, from, to, &mut self.steps).is_none()
            }
            Step::Content { content, needle } => return self.content(content, needle, rest, end, reach),
            Step::Pcre { pattern, negated, relative, captures } => {
                let base = if *relative { end } else { 0 };
                if !negated {
                    return self.pcre(pattern, captures, base, rest, reach);
                }
                match pattern.find(self.bytes.get(base..).unwrap_or_default(), 0) {
                    Ok(found) => found.is_none(),
                    Err(_) => {
                        self.finds.limited += 1;
                        false
                    }
                }
            }
            Step::Isdataat { negated, relative, at } => {
                let at = self.finds.vars.value(*at);
                let there = match relative {
                    true => i64::try_from(end).unwrap_or(len).saturating_add(at) <= len,
                    false => at < len,
                };
                there != *negated
            }
            Step::Test(t) => bytes::test(t, self.bytes, end, &self.finds.vars),
            // What is relative counts from behind the number, as it does from behind a match.
            Step::Extract(t) => {
                let behind = bytes::extract(t, self.bytes, end, &mut self.finds.vars);
                return behind.is_some_and(|end| self.all(rest, end, reach));
            }
            Step::Math(t) => {
                let behind = bytes::math(t, self.bytes, end, &mut self.finds.vars);
                return behind.is_some_and(|end| self.all(rest, end, reach));
            }
            Step::Jump(t) => {
                let to = bytes::jump(t, self.bytes, end, &self.finds.vars);
                return to.is_some_and(|to| self.all(rest, to, reach));
            }
            // What grows has its size when it has ended; too large is too large before.
            Step::Size(i) => self.whole && i.matches(self.bytes.len() as u64),
            Step::Never => false,
            Step::Lookup(l) => {
                let found = l.run(self.bytes);
                if let (true, Some((key, json))) = (found, l.told(self.bytes)) {
                    self.finds.told.push((Arc::clone(key), json));
                }
                found
            }
            Step::Entropy(e) => self.entropy(e),
            Step::Asn1(t) => asn1::odd(t, self.bytes, end),
            Step::Base64 { bytes, offset, relative, inner } => self.decoded(*bytes, *offset, *relative, inner, end),
        };
        holds && self.all(rest, end, reach)
    }

    fn content(&mut self, c: &Content, needle: &Needle, rest: &[Step], end: usize, reach: usize) -> bool {
        let (mut from, to) = self.window(c, end);
        // Only where what follows refers to this match can a later occurrence change the result.
        let retry = self.beyond > 0 || matters_to(rest);
        while let Some(at) = next(c, needle, self.bytes, from, to, &mut self.steps) {
            let end = at + c.bytes.len();
            if self.all(rest, end, reach.max(end)) {
                return true;
            }
            if !retry || self.steps == 0 {
                return false;
            }
            from = at + 1;
        }
        false
    }

    fn pcre(&mut self, p: &Pattern, captures: &[Capture], base: usize, rest: &[Step], reach: usize) -> bool {
        let bytes = self.bytes;
        let Some(subject) = bytes.get(base..) else { return false };
        let retry = self.beyond > 0 || matters_to(rest);
        let mut from = 0;
        while let Some(left) = self.steps.checked_sub(1) {
            self.steps = left;
            let (start, stop) = match p.find(subject, from) {
                Ok(Some(found)) => found,
                Ok(None) => return false,
                Err(_) => {
                    self.finds.limited += 1;
                    return false;
                }
            };
            let kept = self.finds.captured.len();
            self.keep(p, captures, subject, from);
            if self.all(rest, base + stop, reach.max(base + stop)) {
                return true;
            }
            self.finds.captured.truncate(kept);
            if !retry {
                return false;
            }
            from = start + 1;
        }
        false
    }

    // Keeps the groups of a match; of a packet's `key` and `value` the one names the other.
    fn keep(&mut self, p: &Pattern, captures: &[Capture], subject: &[u8], from: usize) {
        if captures.is_empty() {
            return;
        }
        let groups: Vec<u16> = captures.iter().map(|c| c.group).collect();
        let mut key = None;
        for (c, held) in captures.iter().zip(p.captures(subject, from, &groups)) {
            let Some(mut held) = held else { continue };
            held.truncate(MAX_CAPTURED);
            let name = match (c.to, c.name.as_str()) {
                (CaptureTo::Packet, "key") => {
                    key = Some(printable(&held));
                    continue;
                }
                (CaptureTo::Packet, "value") => match key.take() {
                    Some(key) => key,
                    None => continue,
                },
                (_, name) => name.to_owned(),
            };
            self.finds.captured.push((c.to, name, held));
        }
    }

    // Kept as it was computed, whether it is what the rule wants or not: EVE shows the last.
    fn entropy(&mut self, e: &Entropy) -> bool {
        let at = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let Some(rest) = self.bytes.get(at(e.offset)..) else { return false };
        let Some(bytes) = e.bytes.map_or(Some(rest), |n| rest.get(..at(n))) else { return false };
        let value = entropy(bytes);
        match self.finds.entropies.iter_mut().find(|(name, _)| *name == e.name) {
            Some((_, had)) => *had = value,
            None => self.finds.entropies.push((e.name, value)),
        }
        e.test.matches(value)
    }

    fn decoded(&mut self, most: Option<Value>, offset: Value, relative: bool, inner: &[Step], end: usize) -> bool {
        let base = if relative { i64::try_from(end).unwrap_or(i64::MAX) } else { 0 };
        let from = usize::try_from(base.saturating_add(self.finds.vars.value(offset))).unwrap_or(usize::MAX);
        let Some(rest) = self.bytes.get(from..) else { return false };
        let most = most.map_or(rest.len(), |v| usize::try_from(self.finds.vars.value(v)).unwrap_or(0)).min(rest.len());
        let decoded = base64::decode(rest.get(..most).unwrap_or_default(), Base64Mode::Rfc4648);
        if decoded.is_empty() {
            return false;
        }
        let mut run = Run { bytes: &decoded, whole: self.whole, steps: self.steps, beyond: 0, finds: &mut *self.finds };
        let holds = run.all(inner, 0, 0);
        self.steps = run.steps;
        holds
    }

    // The bytes that may hold the pattern: [from, to).
    fn window(&self, c: &Content, end: usize) -> (usize, usize) {
        let len = self.bytes.len();
        let value = |v: Option<Value>| v.map(|v| self.finds.vars.value(v));
        let place = |n: i64| usize::try_from(n).unwrap_or(0);
        if c.relative() {
            let from = i64::try_from(end).unwrap_or(i64::MAX).saturating_add(value(c.distance).unwrap_or(0));
            (place(from), value(c.within).map_or(len, |w| place(from.saturating_add(w)).min(len)))
        } else if c.startswith {
            (0, c.bytes.len().min(len))
        } else {
            let from = value(c.offset).unwrap_or(0);
            (place(from), value(c.depth).map_or(len, |d| place(from.saturating_add(d)).min(len)))
        }
    }
}

// Shannon's, in bits a byte; of nothing it is 0.
fn entropy(bytes: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for b in bytes {
        counts[usize::from(*b)] += 1; // 256 of them
    }
    let all = bytes.len() as f64;
    let parts = counts.into_iter().filter(|n| *n > 0).map(|n| f64::from(n) / all);
    parts.fold(0.0, |sum, p| sum - p * p.log2())
}

// Whether a test looks at the match before, ahead of the next match that stands for itself.
fn matters_to(rest: &[Step]) -> bool {
    for step in rest {
        // A variable that is taken relative to a match changes what stands anywhere behind it.
        if step.relative() {
            return true;
        }
        if step.stands_alone() {
            return false;
        }
    }
    false
}

// The next occurrence in the window, at its end if the pattern must end the payload.
fn next(c: &Content, needle: &Needle, payload: &[u8], from: usize, to: usize, left: &mut u32) -> Option<usize> {
    *left = left.checked_sub(1)?;
    let n = c.bytes.len();
    if c.endswith {
        let at = payload.len().checked_sub(n)?;
        let here = payload.get(at..)?;
        let same = match needle {
            Needle::Exact(_) => here == c.bytes,
            Needle::AnyCase(_) => here.eq_ignore_ascii_case(&c.bytes),
        };
        return (same && at >= from && at + n <= to).then_some(at);
    }
    needle.find(c, payload.get(from..to)?).map(|at| at + from)
}

impl Needle {
    /// For a pattern in lower case that has letters.
    fn any_case(lower: &[u8]) -> Self {
        let rarest = lower.iter().enumerate().max_by_key(|(_, b)| rarity::byte(**b));
        Self::AnyCase(rarest.map_or(0, |(at, _)| at))
    }

    /// Where the content occurs first.
    fn find(&self, c: &Content, hay: &[u8]) -> Option<usize> {
        match self {
            Self::Exact(finder) => {
                finder.get_or_init(|| Box::new(memmem::Finder::new(&c.bytes).into_owned())).find(hay)
            }
            Self::AnyCase(at) => {
                let lower = &c.bytes;
                let byte = *lower.get(*at)?;
                // The places where that byte can lie.
                let last = hay.len().checked_sub(lower.len())?;
                let places = hay.get(*at..=last + at)?;
                memchr::memchr2_iter(byte, byte.to_ascii_uppercase(), places)
                    .find(|&i| hay.get(i..i + lower.len()).is_some_and(|h| h.eq_ignore_ascii_case(lower)))
            }
        }
    }
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
        let mut finds = Finds::default();
        finds.begin(8);
        program(options).run(payload, &mut finds) == Outcome::Match
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
            (r#"pcre:"/b+c/";"#, "abbc", "ab"),
            (r#"pcre:!"/b+c/";"#, "ab", "abbc"),
            (r#"content:"a"; pcre:"/^b/R";"#, "xab", "axb"),
            (r#"content:"a"; pcre:"/^b/R";"#, "axab", "axb"),
            (r#"content:"a"; pcre:!"/^b/R";"#, "ax", "ab"),
            (r#"content:"a"; pcre:"/b/R";"#, "axb", "ba"),
            (r#"pcre:"/a./"; content:"b"; within:1;"#, "a.ccaxb", "a.cb"),
            (r#"pcre:"/^a/"; isdataat:!1,relative;"#, "a", "aa"),
            (r#"pcre:"/a$/"; isdataat:1,relative;"#, "ba\n", "ba"),
            (r#"byte_test:2,>,258,0;"#, "\x01\x03", "\x01\x02"),
            (r#"byte_test:2,=,0x0201,0,little;"#, "\x01\x02", "\x02\x01"),
            (r#"byte_test:1,!&,0x0f,1;"#, "\x01\x10", "\x10\x01"),
            (r#"byte_test:1,^,7,0;"#, "\x06", "\x07"),
            (r#"byte_test:1,=,3,0,bitmask 0x30;"#, "\x3f", "\x03"),
            (r#"byte_test:1,>,1,5;"#, "aaaaaa", "aaaaa"),
            (r#"content:"n="; byte_test:3,>=,100,0,relative,string,dec;"#, "n=100", "n=099"),
            (r#"content:"n="; byte_test:2,=,26,-4,relative,string,hex;"#, "1An=", "1Bn="),
            // The first n leads nowhere, the second does.
            (r#"content:"n"; byte_test:1,=,5,0,relative,string,dec;"#, "n4n5", "n4n6"),
            (r#"byte_jump:1,0,string,dec; content:"a"; within:1;"#, "2xxa", "2xa"),
            (r#"byte_jump:1,0,relative; content:"a"; distance:0; within:1;"#, "\x01xa", "\x01a"),
            (r#"byte_jump:1,0,from_beginning; isdataat:!2,relative;"#, "\x02bc", "\x01bc"),
            (r#"byte_jump:0,0,from_end,post_offset -2; content:"a"; within:1;"#, "bbab", "baab.b"),
            (r#"byte_jump:1,0,multiplier 2,align; content:"a"; within:1;"#, "\x01xxxxa", "\x01xxa"),
            (r#"byte_jump:1,0;"#, "\x01a", "\x02a"),
            (r#"byte_extract:1,0,n; content:"a"; distance:0; within:1;"#, "xa", "ax"),
            (
                r#"byte_math:bytes 1, offset 0, oper +, rvalue 1, result n; content:"a"; distance:0; within:1;"#,
                "xa",
                "ax",
            ),
            (r#"byte_test:0,=,123,0,string,dec;"#, "123x", "12x3"),
            (r#"byte_jump:0,0,string,dec; content:"a"; within:1;"#, "02xxa", "02xa"),
            (r#"byte_jump:1,0,bitmask 0x0f; content:"a"; within:1;"#, "\x31xa", "\x32xa"),
            (r#"byte_extract:1,0,n,string,dec; content:"a"; offset:n; depth:1;"#, "3xxa", "2xxa"),
            (r#"byte_extract:1,0,n; byte_test:1,=,n,1;"#, "\x05\x05", "\x05\x06"),
            (r#"byte_extract:1,0,n,multiplier 2,align 4; isdataat:n;"#, "\x01xxxx", "\x01xxx"),
            (r#"content:"l"; byte_extract:1,0,n,relative; content:"a"; distance:n; within:1;"#, "l\x02xxa", "l\x01xxa"),
            (r#"byte_extract:1,0,n,string,dec; byte_test:n,=,7,1,string,dec;"#, "207", "200"),
            (r#"byte_extract:1,0,n,string,dec; byte_jump:n,1,string,dec; content:"a"; within:1;"#, "201xa", "203xa"),
            (r#"byte_math:bytes 1, offset 0, oper +, rvalue 2, result n; byte_test:1,=,n,1;"#, "\x01\x03", "\x01\x02"),
            (r#"byte_math:bytes 1, offset 0, oper -, rvalue 1, result n, string dec; isdataat:n;"#, "3xx", "3x"),
            (r#"byte_math:bytes 1, offset 0, oper <<, rvalue 2, result n; byte_test:1,=,n,1;"#, "\x01\x04", "\x01\x02"),
            (r#"byte_math:bytes 1, offset 0, oper /, rvalue 2, result n; byte_test:1,=,n,1;"#, "\x08\x04", "\x08\x08"),
            (
                r#"byte_extract:1,0,m; byte_math:bytes 1, offset 1, oper *, rvalue m, result n, bitmask 0x0ff0; byte_test:1,=,n,2;"#,
                "\x02\x30\x06",
                "\x02\x30\x60",
            ),
            (r#"base64_decode; base64_data; content:"foo"; startswith;"#, "Zm9v", "Zm9"),
            (
                r#"content:"x="; base64_decode:bytes 4, offset 1, relative; base64_data; content:"foo"; endswith;"#,
                "x=?Zm9vYmFy",
                "x=Zm9v",
            ),
            (r#"base64_decode; base64_data; bsize:>3; pcre:"/^f.*r$/";"#, "Zm9vYmFy", "Zm9v"),
        ] {
            assert!(matches(options, yes.as_bytes()), "{options} matches {yes:?}");
            assert!(program(options).may_pass(yes.as_bytes()), "{options} may pass {yes:?}");
            assert!(!matches(options, no.as_bytes()), "{options} does not match {no:?}");
        }
    }

    #[test]
    fn a_payload_made_to_retry_without_end_is_given_up() {
        let p = program(r#"content:"a"; content:"a"; distance:0; content:"a"; distance:0; content:"b"; distance:0;"#);
        assert_eq!(p.run(&[b'a'; 60_000], &mut Finds::default()), Outcome::GaveUp);
    }

    proptest! {
        #[test]
        fn a_plain_content_is_a_plain_search(hay in "[abAB./]{0,20}", needle in "[abAB./]{1,3}", nocase: bool) {
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
