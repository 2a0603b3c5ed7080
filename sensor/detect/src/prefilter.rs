// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which rules may match some bytes: for each rule the content that is looked for first, and the rules behind each content.
//!
//! Contents of one place are looked for there alone, those that can only lie near the beginning ([`NEAR`]) near it, so that
//! what is looked for everywhere stays small. Where most of the rest can only occur beside such a content, or at some ports,
//! all of it is looked for only after one of those was met (a guard), and else what has no guard. Must never leave out a
//! rule that could match.

use std::{collections::HashMap, hash::Hash};

use aho_corasick::packed;
use lagewarte_rules::{
    ast::{Content, PayloadTest, Value},
    port::PortSet,
};

use crate::{
    cache::Cache,
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

/// How many bytes a guard may be from the beginning.
const FAR: usize = 640;
/// Most byte strings that are searched for together as guards beyond [`NEAR`]. Threat: a rule for each of a thousand more.
const MAX_FAR: usize = 32;
/// One in so many contents that are looked for everywhere may have no guard; where more have none, guards save nothing.
const GUARDED: usize = 3;
/// Stands among the entries behind a guard for all those that are looked for everywhere.
const GUARD: u32 = u32::MAX;

/// Contents to look for, and the entries behind each: at their only place, near the beginning, and everywhere.
#[derive(Debug)]
pub(crate) struct Prefilter {
    fixed: Option<(Fixed, Behind)>,
    near: Option<(Matcher, Behind)>,
    all: Option<(Matcher, Behind)>,
    guarded: Option<Guarded>,
}

/// What is looked for everywhere is looked for only where one of its guards is.
#[derive(Debug)]
struct Guarded {
    /// A bit for each port, of the source and of the destination.
    ports: [Box<[u64; 1_024]>; 2],
    /// Guards within the first [`FAR`] bytes, or parts of them. None where there are none.
    far: Option<packed::Searcher>,
    /// Of what is looked for everywhere that which has no guard.
    bare: Option<(Matcher, Behind)>,
}

/// What must be there wherever a rule matches that is looked for everywhere.
#[derive(Clone, Debug)]
pub(crate) enum Guard<'r> {
    None,
    /// A content near the beginning, and those of the rule that have one place only.
    Near(&'r Content, Vec<(&'r Content, usize)>),
    /// A content within the first [`FAR`] bytes.
    Far(&'r Content),
    /// Ports of the source (0) or the destination (1).
    Ports(usize, &'r PortSet),
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
    /// The content, its guard, the entry.
    all: Vec<(&'r Content, Guard<'r>, u32)>,
}

/// An entry of which contents lie near the beginning, or [`GUARD`].
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
    guards: Option<Guards>,
}

/// What [`Guarded`] is made of.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Guards {
    ports: [Vec<(u16, u16)>; 2],
    far: Vec<Vec<u8>>,
    bare: Listed<Pattern>,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Listed<P> {
    contents: Vec<P>,
    /// (content, entry), in order.
    pairs: Vec<(u32, u32)>,
}

impl<P> Default for Listed<P> {
    fn default() -> Self {
        Self { contents: Vec::new(), pairs: Vec::new() }
    }
}

impl<'r> Builder<'r> {
    /// The content may lie anywhere.
    pub(crate) fn add(&mut self, content: &'r Content, guard: Guard<'r>, entry: u32) {
        self.all.push((content, guard, entry));
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
        let mut there = Vec::new();
        for n in std::mem::take(&mut self.near) {
            let crowded = behind.get(&(&n.content.bytes[..], n.content.nocase)).is_some_and(|n| *n > CROWD);
            match n.other.filter(|o| crowded && rarity::of(&o.bytes) > rarity::of(&n.content.bytes)) {
                Some(other) => self.add(other, Guard::Near(n.content, n.fixed), n.entry),
                None => there.push(n),
            }
        }
        let mut all = Numbered::default();
        self.all.iter().for_each(|(content, _, entry)| all.add(pattern(content), *entry));
        let guards = self.guards(all.numbers.len(), &mut there);
        let (mut near, mut fixed) = (Numbered::default(), Numbered::default());
        let of = |n: &Near<'r>| n.fixed.iter().flat_map(|(c, at)| fixed::ways(*at, &c.bytes, c.nocase)).collect();
        let ways: Vec<Vec<fixed::Way<'r>>> = there.iter().map(of).collect();
        for (n, way) in there.iter().zip(fixed::choose(&ways)) {
            match way {
                Some(way) => fixed.add(way.found(), n.entry),
                None => near.add(pattern(n.content), n.entry),
            }
        }
        Plan { fixed: fixed.listed(), near: near.listed(), all: all.listed(), guards }
    }

    /// The guards of what is looked for everywhere, so many contents, if they are worth it; those near the beginning go to
    /// `there`.
    fn guards(self, contents: usize, there: &mut Vec<Near<'r>>) -> Option<Guards> {
        if self.all.iter().all(|(_, guard, _)| matches!(guard, Guard::None)) {
            return None;
        }
        let mut guards = Guards::default();
        let (mut near, mut bare) = (Vec::new(), Numbered::default());
        for (content, guard, entry) in self.all {
            match guard {
                Guard::Near(content, fixed) => near.push(Near { content, other: None, fixed, entry: GUARD }),
                Guard::Far(c) => {
                    let some = spellings(c);
                    let more = some.iter().filter(|s| !guards.far.contains(s)).count();
                    match guards.far.len() + more <= MAX_FAR {
                        true => guards.far.extend(some),
                        false => bare.add(pattern(content), entry),
                    }
                }
                Guard::Ports(side, ports) => guards.ports[side & 1].extend(ports.ranges()),
                Guard::None => bare.add(pattern(content), entry),
            }
        }
        guards.bare = bare.listed();
        guards.far.sort_unstable();
        guards.far.dedup();
        if guards.bare.contents.len() * GUARDED > contents {
            return None;
        }
        there.extend(near);
        guards.ports.iter_mut().for_each(|p| {
            p.sort_unstable();
            p.dedup();
        });
        Some(guards)
    }
}

/// Byte strings of which one is there wherever the content is: the content, or where case does not matter all spellings of
/// those four of its bytes that have the fewest.
fn spellings(c: &Content) -> Vec<Vec<u8>> {
    if !c.nocase {
        return vec![c.bytes.clone()];
    }
    let windows = c.bytes.windows(c.bytes.len().clamp(1, 4));
    let part = windows.min_by_key(|w| w.iter().filter(|b| b.is_ascii_alphabetic()).count()).unwrap_or_default();
    part.iter().fold(vec![Vec::new()], |begun, b| {
        let mut cases = vec![b.to_ascii_lowercase(), b.to_ascii_uppercase()];
        cases.dedup();
        begun.iter().flat_map(|s| cases.iter().map(move |b| [s.as_slice(), &[*b]].concat())).collect()
    })
}

/// How many ports a rule names.
pub(crate) fn ports(p: &PortSet) -> u32 {
    p.ranges().iter().map(|(a, b)| u32::from(*b) - u32::from(*a) + 1).sum()
}

fn pattern(c: &Content) -> Pattern {
    Pattern::new(&c.bytes, c.nocase)
}

impl Plan {
    /// None where nothing is looked for. `cache`: as [`Matcher::new`] takes it.
    pub(crate) fn build(&self, cache: Option<&Cache>) -> Option<Prefilter> {
        let fixed = Fixed::new(self.fixed.contents.clone()).map(|f| (f, self.fixed.behind()));
        let matcher = |l: &Listed<Pattern>| Some((Matcher::new(l.contents.clone(), cache)?, l.behind()));
        let (near, all) = (matcher(&self.near), matcher(&self.all));
        let guarded = self.guards.as_ref().and_then(|g| {
            let far = packed::Searcher::new(&g.far);
            // Where the processor has not what a searcher needs nothing is guarded.
            (far.is_some() || g.far.is_empty()).then(|| Guarded {
                ports: g.ports.each_ref().map(|ranges| port_bits(ranges.iter().copied())),
                far,
                bare: matcher(&g.bare),
            })
        });
        (fixed.is_some() || near.is_some() || all.is_some()).then_some(Prefilter { fixed, near, all, guarded })
    }
}

/// A bit for each of these ports.
pub(crate) fn port_bits(ranges: impl Iterator<Item = (u16, u16)>) -> Box<[u64; 1_024]> {
    let mut bits = Box::new([0; 1_024]);
    for port in ranges.flat_map(|(from, to)| from..=to) {
        bits[usize::from(port >> 6)] |= 1 << (port & 63); // 10 bits
    }
    bits
}

/// Whether a port is one of them.
pub(crate) const fn has_port(bits: &[u64; 1_024], port: u16) -> bool {
    bits[(port >> 6) as usize] >> (port & 63) & 1 == 1 // 10 bits
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
        self.pairs.dedup();
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
    /// Appends the entries whose content occurs. `begin` is where that begins from which contents with a place count;
    /// `ports` are those of source and destination, where there are any.
    pub(crate) fn candidates(
        &self,
        ports: Option<(u16, u16)>,
        data: &[u8],
        begin: usize,
        seen: &mut Seen,
        found: &mut Vec<u32>,
    ) {
        if data.is_empty() {
            return; // a bare acknowledgement, as every third packet is
        }
        let new = data.get(begin..).unwrap_or_default();
        let mut open = self.guarded.as_ref().is_none_or(|g| g.at(ports));
        let mut hit = |entries: &[u32]| match entries {
            // The last of them, in order.
            [entries @ .., GUARD] => {
                open = true;
                found.extend_from_slice(entries);
            }
            entries => found.extend_from_slice(entries),
        };
        if let Some((fixed, behind)) = &self.fixed {
            fixed.scan(new, |n| hit(behind.of(n)));
        }
        if let Some((near, behind)) = &self.near {
            near.scan(new.get(..NEAR).unwrap_or(new), seen, |n| hit(behind.of(n)));
        }
        let far = self.guarded.as_ref().and_then(|g| g.far.as_ref());
        if let Some(far) = far.filter(|_| !open) {
            open = far.find(new.get(..FAR).unwrap_or(new)).is_some();
        }
        let everywhere = if open { &self.all } else { self.guarded.as_ref().map_or(&None, |g| &g.bare) };
        if let Some((matcher, behind)) = everywhere {
            matcher.scan(data, seen, |n| found.extend_from_slice(behind.of(n)));
        }
    }
}

impl Guarded {
    /// Whether a guard is one of these ports.
    fn at(&self, ports: Option<(u16, u16)>) -> bool {
        let [src, dest] = &self.ports;
        ports.is_some_and(|(s, d)| has_port(src, s) || has_port(dest, d))
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
pub(crate) fn first<'r, P: Copy, W: Ord>(
    tests: impl Iterator<Item = (P, &'r PayloadTest)> + Clone,
    least: usize,
    worth: impl Fn(P, &Content) -> W,
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

/// The rarest of those that end within the first [`FAR`] bytes.
pub(crate) fn far(tests: &[PayloadTest]) -> Option<&Content> {
    let all = placed(tests).filter(|(c, place)| c.bytes.len() > 1 && place.to.is_some_and(|to| to <= FAR as i64));
    all.map(|(c, _)| c).max_by_key(|c| rarity::of(&c.bytes))
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
