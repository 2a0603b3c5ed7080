// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which rules may match some bytes: for each rule the content that is looked for first, and the rules behind each content.
//!
//! Contents that can only lie near the beginning ([`NEAR`]) are looked for there alone, so that what is looked for
//! everywhere stays small. Must never leave out a rule that could match.

use std::collections::HashMap;

use lagewarte_rules::ast::{Content, PayloadTest, Value};

use crate::{
    matcher::{Matcher, Pattern, Seen},
    rarity,
};

/// How many bytes are near the beginning.
const NEAR: usize = 128;
/// A pattern shorter than this does not tell enough to be preferred to a port, or to a longer one.
pub(crate) const SHORT: usize = 4;
/// What a content near the beginning must be worth ([`rarity::of`]) to be looked for there alone.
const WORTH: u32 = 2;
/// Where more rules than this have the same content near the beginning, each is looked for by its other one instead: what a
/// thousand rules on DNS begin with is in every question.
const CROWD: usize = 4;

/// Contents to look for, and the entries behind each: near the beginning, and everywhere.
#[derive(Debug)]
pub(crate) struct Prefilter {
    near: Option<Set>,
    all: Option<Set>,
}

#[derive(Debug)]
struct Set {
    matcher: Matcher,
    /// Where the entries behind each pattern begin; one more at the end.
    starts: Vec<u32>,
    entries: Vec<u32>,
}

/// A prefilter that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Builder<'r> {
    /// The content, another that may lie anywhere, the entry.
    near: Vec<(&'r Content, Option<&'r Content>, u32)>,
    all: Numbered,
}

#[derive(Debug, Default)]
struct Numbered {
    numbers: HashMap<Pattern, u32>,
    /// (pattern, entry)
    pairs: Vec<(u32, u32)>,
}

/// What a prefilter is made of. Equal ones make equal prefilters.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    near: Listed,
    all: Listed,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Listed {
    patterns: Vec<Pattern>,
    /// (pattern, entry), in order.
    pairs: Vec<(u32, u32)>,
}

impl<'r> Builder<'r> {
    /// The content may lie anywhere.
    pub(crate) fn add(&mut self, content: &Content, entry: u32) {
        self.all.add(content, entry);
    }
    /// The content lies within the first [`NEAR`] bytes, or the rule does not match. `other` may lie anywhere; it is taken
    /// where it is rarer and many rules have the first.
    pub(crate) fn add_near(&mut self, content: &'r Content, other: Option<&'r Content>, entry: u32) {
        self.near.push((content, other, entry));
    }

    /// Decides what is looked for where.
    pub(crate) fn plan(mut self) -> Plan {
        let mut behind: HashMap<(&[u8], bool), usize> = HashMap::new();
        for (c, ..) in &self.near {
            *behind.entry((&c.bytes, c.nocase)).or_default() += 1;
        }
        let mut near = Numbered::default();
        for (content, other, entry) in &self.near {
            let crowded = behind.get(&(&content.bytes[..], content.nocase)).is_some_and(|n| *n > CROWD);
            match other.filter(|o| crowded && rarity::of(&o.bytes) > rarity::of(&content.bytes)) {
                Some(other) => self.all.add(other, *entry),
                None => near.add(content, *entry),
            }
        }
        Plan { near: near.listed(), all: self.all.listed() }
    }
}

impl Plan {
    /// None where nothing is looked for.
    pub(crate) fn build(&self) -> Option<Prefilter> {
        let (near, all) = (self.near.build(), self.all.build());
        (near.is_some() || all.is_some()).then_some(Prefilter { near, all })
    }
}

impl Numbered {
    fn add(&mut self, content: &Content, entry: u32) {
        let next = self.numbers.len() as u32; // fewer than there are rules
        let n = *self.numbers.entry(Pattern::new(&content.bytes, content.nocase)).or_insert(next);
        self.pairs.push((n, entry));
    }

    fn listed(mut self) -> Listed {
        let mut patterns: Vec<(Pattern, u32)> = self.numbers.into_iter().collect();
        patterns.sort_unstable_by_key(|(_, n)| *n);
        self.pairs.sort_unstable();
        Listed { patterns: patterns.into_iter().map(|(p, _)| p).collect(), pairs: self.pairs }
    }
}

impl Listed {
    fn build(&self) -> Option<Set> {
        let matcher = Matcher::new(self.patterns.clone())?;
        let starts = (0..=matcher.len()).map(|n| self.pairs.partition_point(|(p, _)| (*p as usize) < n) as u32);
        Some(Set { starts: starts.collect(), matcher, entries: self.pairs.iter().map(|(_, e)| *e).collect() })
    }
}

impl Prefilter {
    /// Appends the entries whose pattern occurs. `begin` is where that begins from which contents with a place count.
    pub(crate) fn candidates(&self, data: &[u8], begin: usize, seen: &mut Seen, found: &mut Vec<u32>) {
        if data.is_empty() {
            return; // a bare acknowledgement, as every third packet is
        }
        if let Some(near) = &self.near {
            let new = data.get(begin..).unwrap_or_default();
            near.candidates(new.get(..NEAR).unwrap_or(new), seen, found);
        }
        if let Some(all) = &self.all {
            all.candidates(data, seen, found);
        }
    }
}

impl Set {
    fn candidates(&self, data: &[u8], seen: &mut Seen, found: &mut Vec<u32>) {
        self.matcher.scan(data, seen, |n| {
            if let (Some(from), Some(to)) = (self.starts.get(n), self.starts.get(n + 1))
                && let Some(entries) = self.entries.get(*from as usize..*to as usize)
            {
                found.extend_from_slice(entries);
            }
        });
    }
}

/// Of contents in several places the one to look for first: the writer's choice, if it has `least` bytes, else that of most
/// `worth`. None where every one is negated.
pub(crate) fn first<'r, P: Copy>(
    tests: impl Iterator<Item = (P, &'r PayloadTest)> + Clone,
    least: usize,
    worth: impl Fn(P, &Content) -> u32,
) -> Option<(P, &'r Content)> {
    let positive = tests.filter_map(|(place, t)| match t {
        PayloadTest::Content(c) if !c.negated && !c.bytes.is_empty() => Some((place, c)),
        _ => None,
    });
    let chosen = positive.clone().find(|(_, c)| c.fast_pattern && c.bytes.len() >= least);
    chosen.or_else(|| positive.max_by_key(|(place, c)| worth(*place, c)))
}

/// The same among contents that lie within the first [`NEAR`] bytes wherever the rule matches: the rarest of them that is
/// worth looking for. `longest`: no more bytes than these are looked at.
pub(crate) fn first_near(tests: &[PayloadTest], longest: Option<u32>) -> Option<&Content> {
    let all = longest.is_some_and(|n| n as usize <= NEAR);
    placed(tests)
        .filter(|(_, place)| all || place.to.is_some_and(|to| to <= NEAR as i64))
        .map(|(c, _)| (rarity::of(&c.bytes), c))
        .filter(|(worth, _)| *worth >= WORTH)
        .max_by_key(|(w, _)| *w)
        .map(|(_, c)| c)
}

/// Where a content can lie, as far as that is known before the bytes are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Where it begins at the earliest.
    from: Option<i64>,
    /// Where it ends at the latest.
    to: Option<i64>,
}

impl Place {
    /// The only place where a content of so many bytes can begin; None where there are several.
    pub(crate) fn only(self, len: usize) -> Option<usize> {
        let from =
            self.from.filter(|from| self.to.zip(i64::try_from(len).ok()).is_some_and(|(to, n)| to - from == n))?;
        usize::try_from(from).ok()
    }
}

/// The contents that must occur, each with where it can lie wherever the rule matches.
pub(crate) fn placed(tests: &[PayloadTest]) -> impl Iterator<Item = (&Content, Place)> {
    // Where the match before ends: at the earliest, and at the latest.
    let mut before = (Some(0), Some(0));
    tests.iter().filter_map(move |test| match test {
        PayloadTest::Content(c) if !c.negated => {
            let place = place(c, before);
            let n = i64::try_from(c.bytes.len()).ok();
            before = (place.from.zip(n).map(|(from, n)| from.saturating_add(n)), place.to);
            Some((c, place))
        }
        // What moves nothing.
        PayloadTest::Content(_) | PayloadTest::Isdataat { .. } | PayloadTest::ByteTest(_) | PayloadTest::Bsize(_) => {
            None
        }
        _ => {
            before = (None, None);
            None
        }
    })
}

fn place(c: &Content, before: (Option<i64>, Option<i64>)) -> Place {
    let number = |v: Option<Value>, or: Option<i64>| v.map_or(or, Value::number);
    let sum = |a: Option<i64>, b: Option<i64>| a.zip(b).map(|(a, b)| a.saturating_add(b));
    if c.relative() {
        let distance = number(c.distance, Some(0));
        let to = sum(sum(before.1, distance), number(c.within, None));
        Place { from: sum(before.0, distance), to }
    } else if c.startswith {
        Place { from: Some(0), to: i64::try_from(c.bytes.len()).ok() }
    } else {
        let from = number(c.offset, Some(0));
        Place { from, to: sum(from, number(c.depth, None)) }
    }
}
