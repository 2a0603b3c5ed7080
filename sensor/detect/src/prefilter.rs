// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which rules may match some bytes: for each rule the content that is looked for first, and the rules behind each content.
//!
//! Contents of one place are looked for there alone, those that can only lie near the beginning ([`NEAR`]) near it, so that
//! what is looked for everywhere stays small. Must never leave out a rule that could match.

use std::{collections::HashMap, hash::Hash};

use lagewarte_rules::ast::{Content, PayloadTest, Value};

use crate::{
    fixed::{self, Fixed, Found},
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

/// Contents to look for, and the entries behind each: at their only place, near the beginning, and everywhere.
#[derive(Debug)]
pub(crate) struct Prefilter {
    fixed: Option<(Fixed, Behind)>,
    near: Option<(Matcher, Behind)>,
    all: Option<(Matcher, Behind)>,
}

/// The entries behind each content.
#[derive(Debug)]
struct Behind {
    /// Where the entries behind each pattern begin; one more at the end.
    starts: Vec<u32>,
    entries: Vec<u32>,
}

/// A prefilter that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Builder<'r> {
    near: Vec<Near<'r>>,
    all: Numbered<Pattern>,
}

/// An entry of which contents lie near the beginning.
#[derive(Debug)]
struct Near<'r> {
    content: &'r Content,
    /// One that may lie anywhere.
    other: Option<&'r Content>,
    /// Those that have one place only.
    fixed: Vec<(&'r Content, usize)>,
    entry: u32,
}

#[derive(Debug)]
struct Numbered<P> {
    numbers: HashMap<P, u32>,
    /// (content, entry)
    pairs: Vec<(u32, u32)>,
}

impl<P> Default for Numbered<P> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), pairs: Vec::new() }
    }
}

/// What a prefilter is made of. Equal ones make equal prefilters.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    fixed: Listed<Found>,
    near: Listed<Pattern>,
    all: Listed<Pattern>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Listed<P> {
    contents: Vec<P>,
    /// (content, entry), in order.
    pairs: Vec<(u32, u32)>,
}

impl<'r> Builder<'r> {
    /// The content may lie anywhere.
    pub(crate) fn add(&mut self, content: &Content, entry: u32) {
        self.all.add(pattern(content), entry);
    }
    /// The content lies within the first [`NEAR`] bytes, or the rule does not match. `other` may lie anywhere; it is taken
    /// where it is rarer and many rules have the first. `fixed` are those that have one place only.
    pub(crate) fn add_near(
        &mut self,
        content: &'r Content,
        other: Option<&'r Content>,
        fixed: Vec<(&'r Content, usize)>,
        entry: u32,
    ) {
        self.near.push(Near { content, other, fixed, entry });
    }

    /// Decides what is looked for where.
    pub(crate) fn plan(mut self) -> Plan {
        let mut behind: HashMap<(&[u8], bool), usize> = HashMap::new();
        for n in &self.near {
            *behind.entry((&n.content.bytes, n.content.nocase)).or_default() += 1;
        }
        let (mut near, mut fixed) = (Numbered::default(), Numbered::default());
        let mut there = Vec::new();
        for n in self.near {
            let crowded = behind.get(&(&n.content.bytes[..], n.content.nocase)).is_some_and(|n| *n > CROWD);
            match n.other.filter(|o| crowded && rarity::of(&o.bytes) > rarity::of(&n.content.bytes)) {
                Some(other) => self.all.add(pattern(other), n.entry),
                None => there.push(n),
            }
        }
        let of = |n: &Near<'_>| -> Vec<fixed::Way> {
            n.fixed.iter().enumerate().flat_map(|(i, (c, at))| fixed::ways(i, *at, &c.bytes)).collect()
        };
        let ways: Vec<_> = there.iter().map(of).collect();
        for (n, way) in there.iter().zip(fixed::choose(&ways)) {
            match way.and_then(|w| Some(w.found(pattern(n.fixed.get(w.content())?.0)))) {
                Some(found) => fixed.add(found, n.entry),
                None => near.add(pattern(n.content), n.entry),
            }
        }
        Plan { fixed: fixed.listed(), near: near.listed(), all: self.all.listed() }
    }
}

fn pattern(c: &Content) -> Pattern {
    Pattern::new(&c.bytes, c.nocase)
}

impl Plan {
    /// None where nothing is looked for.
    pub(crate) fn build(&self) -> Option<Prefilter> {
        let fixed = Fixed::new(self.fixed.contents.clone()).map(|f| (f, self.fixed.behind()));
        let matcher = |l: &Listed<Pattern>| Some((Matcher::new(l.contents.clone())?, l.behind()));
        let (near, all) = (matcher(&self.near), matcher(&self.all));
        (fixed.is_some() || near.is_some() || all.is_some()).then_some(Prefilter { fixed, near, all })
    }
}

impl<P: Eq + Hash> Numbered<P> {
    fn add(&mut self, content: P, entry: u32) {
        let next = self.numbers.len() as u32; // fewer than there are rules
        let n = *self.numbers.entry(content).or_insert(next);
        self.pairs.push((n, entry));
    }

    fn listed(mut self) -> Listed<P> {
        let mut contents: Vec<(P, u32)> = self.numbers.into_iter().collect();
        contents.sort_unstable_by_key(|(_, n)| *n);
        self.pairs.sort_unstable();
        Listed { contents: contents.into_iter().map(|(c, _)| c).collect(), pairs: self.pairs }
    }
}

impl<P> Listed<P> {
    fn behind(&self) -> Behind {
        let starts = (0..=self.contents.len()).map(|n| self.pairs.partition_point(|(c, _)| (*c as usize) < n) as u32);
        Behind { starts: starts.collect(), entries: self.pairs.iter().map(|(_, e)| *e).collect() }
    }
}

impl Prefilter {
    /// Appends the entries whose content occurs. `begin` is where that begins from which contents with a place count.
    pub(crate) fn candidates(&self, data: &[u8], begin: usize, seen: &mut Seen, found: &mut Vec<u32>) {
        if data.is_empty() {
            return; // a bare acknowledgement, as every third packet is
        }
        let new = data.get(begin..).unwrap_or_default();
        if let Some((fixed, behind)) = &self.fixed {
            fixed.scan(new, |n| found.extend_from_slice(behind.of(n)));
        }
        if let Some((near, behind)) = &self.near {
            near.scan(new.get(..NEAR).unwrap_or(new), seen, |n| found.extend_from_slice(behind.of(n)));
        }
        if let Some((all, behind)) = &self.all {
            all.scan(data, seen, |n| found.extend_from_slice(behind.of(n)));
        }
    }
}

impl Behind {
    fn of(&self, content: usize) -> &[u32] {
        let range = self.starts.get(content).zip(self.starts.get(content + 1));
        range.and_then(|(from, to)| self.entries.get(*from as usize..*to as usize)).unwrap_or_default()
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

/// Those of them that have one place only, within the first [`NEAR`] bytes.
pub(crate) fn fixed(tests: &[PayloadTest]) -> Vec<(&Content, usize)> {
    let only = placed(tests).filter_map(|(c, place)| Some((c, place.only(c.bytes.len())?)));
    only.filter(|(c, at)| !c.bytes.is_empty() && at + c.bytes.len() <= NEAR).collect()
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
