// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Bytes that pass a list of tests: contents laid out where their modifiers put them, expressions made, numbers written.
//!
//! Every answer was checked with [`check::passes`]. Limits: places and seeds that are tried are few; a rule that needs more
//! gets no answer, and no wrong one.

use super::{
    byte::{Moved, value},
    check::{self, Values, place, window},
    model::{Content, Test},
    pcre,
    rng::Rng,
};

/// What the bytes are for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal<'a> {
    /// What they must pass.
    pub tests: &'a [Test],
    /// What stands before the first part that may stand anywhere.
    pub lead: &'a [u8],
    /// What stands between parts that may stand anywhere.
    pub between: &'a [u8],
    /// Bytes for the gaps, tried one after the other.
    pub filler: &'a [u8],
    /// Blanks at either end are lost.
    pub trimmed: bool,
    /// No shorter.
    pub least: usize,
}

#[derive(Clone, Debug, Default)]
struct Layout {
    cells: Vec<Option<u8>>,
    last: usize,
    least: usize,
    most: Option<usize>,
    values: Values,
}

const SEEDS: u64 = 12;
const LONGEST: usize = 20_000;
const WORK: u32 = 300;

/// Finds up to `n`, of different seeds.
pub(crate) fn variants(goal: &Goal<'_>, n: usize) -> Vec<Vec<u8>> {
    let (mut least, mut most) = (goal.least, None);
    for test in goal.tests {
        if let Test::Size(i) = test {
            if i.negated {
                least = least.max(usize::from(i.from == 0));
                continue;
            }
            least = least.max(usize::try_from(i.from).unwrap_or(0));
            if let Ok(to) = usize::try_from(i.to)
                && i.to < i64::from(u32::MAX)
            {
                most = Some(most.map_or(to, |m: usize| m.min(to)));
            }
        }
    }
    let order = order(goal.tests);
    let mut out = Vec::new();
    for seed in 0..SEEDS {
        let mut solver = Solver { goal, order: &order, rng: Rng(seed), seed, work: WORK, found: None };
        solver.go(0, Layout { least, most, ..Layout::default() });
        if let Some(bytes) = solver.found
            && !out.contains(&bytes)
        {
            out.push(bytes);
            if out.len() >= n {
                break;
            }
        }
    }
    out
}

// Chains (a test and those relative to it), those with the least freedom first; those that hold the end last.
fn order(tests: &[Test]) -> Vec<&Test> {
    let mut chains: Vec<(u8, Vec<&Test>)> = Vec::new();
    let mut variables = false;
    for test in tests {
        let (relative, rank) = match test {
            Test::Size(_) => continue,
            // What must not be is neither laid out nor what anything is counted from.
            Test::Content(c) if c.negated => continue,
            Test::Pcre(p) if p.negated => continue,
            Test::Content(c) => {
                let fixed = c.starts || c.depth.is_some() || c.offset.is_some();
                let rank = if c.ends {
                    4
                } else if fixed {
                    1
                } else {
                    3
                };
                (c.distance.is_some() || c.within.is_some(), rank)
            }
            Test::Pcre(p) => {
                let rank = if p.at_start() && !p.relative {
                    0
                } else if p.at_end() {
                    4
                } else {
                    3
                };
                (p.relative, rank)
            }
            Test::Reach(negated, relative, _) => (*relative, if *negated { 4 } else { 2 }),
            Test::Byte(b) => {
                variables |= !matches!(b.used, super::byte::Use::Test(..) | super::byte::Use::Jump { .. });
                (b.relative, 2)
            }
        };
        match chains.last_mut() {
            // What follows a jump is counted from where it lands, even if the jump itself was not relative.
            Some((was, chain)) if relative => {
                *was = if rank == 4 { 4 } else { *was };
                chain.push(test);
            }
            _ => chains.push((rank, vec![test])),
        }
    }
    if !variables {
        chains.sort_by_key(|(rank, _)| *rank);
    }
    chains.into_iter().flat_map(|(_, chain)| chain).collect()
}

struct Solver<'a> {
    goal: &'a Goal<'a>,
    order: &'a [&'a Test],
    rng: Rng,
    seed: u64,
    work: u32,
    found: Option<Vec<u8>>,
}

impl Solver<'_> {
    fn go(&mut self, at: usize, layout: Layout) -> bool {
        self.work = self.work.saturating_sub(1);
        if self.work == 0 || !super::work::spend(20 + (layout.cells.len() / 4) as u32) {
            return false;
        }
        let Some(test) = self.order.get(at) else { return self.finish(&layout) };
        match test {
            Test::Content(c) => {
                for place in self.places(c, &layout) {
                    if !super::work::spend(1 + (layout.cells.len() / 8) as u32) {
                        return false;
                    }
                    let mut next = layout.clone();
                    if next.put(place, &c.bytes, c.nocase) {
                        next.last = place + c.bytes.len();
                        if c.ends && !next.end_here(next.last) {
                            continue;
                        }
                        if self.go(at + 1, next) {
                            return true;
                        }
                    }
                }
                false
            }
            Test::Pcre(p) => self.pcre(at, p, &layout),
            Test::Reach(negated, relative, n) => {
                let Some(n) = value(n, &layout.values).and_then(|n| usize::try_from(n).ok()) else { return false };
                let to = if *relative { layout.last } else { 0 } + n;
                let mut next = layout;
                if *negated {
                    let Some(most) = to.checked_sub(1) else { return false };
                    next.most = Some(next.most.map_or(most, |m| m.min(most)));
                } else {
                    next.least = next.least.max(to);
                }
                self.go(at + 1, next)
            }
            Test::Byte(b) => self.byte(at, b, &layout),
            Test::Size(_) => self.go(at + 1, layout),
        }
    }

    // Where a content could go, the likeliest first.
    fn places(&self, c: &Content, layout: &Layout) -> Vec<usize> {
        let size = c.bytes.len();
        let used = layout.cells.len();
        let bound = layout.most.unwrap_or(usize::MAX / 4);
        let open = Content { ends: false, ..c.clone() };
        let Some((from, to)) = window(&open, bound, layout.last, &layout.values) else { return Vec::new() };
        let to = to.min(bound);
        let Some(last) = to.checked_sub(size).filter(|l| *l >= from) else { return Vec::new() };
        let free = c.distance.is_none() && c.within.is_none();
        if c.ends {
            let exact = layout.most.filter(|m| *m <= layout.least);
            let lead = if c.bytes.starts_with(self.goal.lead) { 0 } else { self.goal.lead.len() };
            let alone = if used == 0 && free { lead } else { from };
            let ends = match exact {
                Some(end) => vec![end],
                None => vec![
                    alone + size,
                    layout.least.max(used),
                    layout.least.max(used) + size,
                    layout.last + size,
                    from + size,
                ],
            };
            return ends
                .into_iter()
                .filter(|e| *e >= used)
                .filter_map(|e| e.checked_sub(size))
                .chain((used.saturating_sub(size)..used + 8).filter(|_| exact.is_none()))
                .filter(|p| (from..=last).contains(p))
                .collect();
        }
        let mut out: Vec<usize> = Vec::new();
        // There already?
        if used >= size {
            out.extend((from..=last.min(used - size)).filter(|p| layout.holds(*p, c)).take(6));
        }
        if free && c.offset.is_none() && c.depth.is_none() && !c.starts {
            let lead = if used == 0 && !c.bytes.starts_with(self.goal.lead) { self.goal.lead.len() } else { 0 };
            let blank = self.goal.trimmed && used == 0 && c.bytes.first().is_some_and(u8::is_ascii_whitespace);
            let lead = lead.max(usize::from(blank));
            let gap = if used > 0 && !c.bytes.starts_with(self.goal.between) { self.goal.between.len() } else { 0 };
            out.extend([used + lead + gap, used]);
        }
        out.extend((from..=last).take(24));
        out.extend((used.max(from)..=last).take(4));
        out
    }

    fn pcre(&mut self, at: usize, p: &pcre::Pcre, layout: &Layout) -> bool {
        let wishes = self.wishes(layout);
        super::work::spend((wishes.len() * layout.cells.len() / 4) as u32);
        for round in 0..4u64 {
            let free = self.seed + round > 0;
            let plain = pcre::make(p, &mut self.rng.clone(), free, &[]);
            let missing: Vec<Vec<u8>> =
                wishes.iter().filter(|w| !plain.bytes.windows(w.len()).any(|x| x == w.as_slice())).cloned().collect();
            let whole = p.at_start() || p.at_end() || self.seed % 2 == 1;
            let made = if whole && round % 2 == 0 { pcre::make(p, &mut self.rng, free, &missing) } else { plain };
            self.rng.next();
            let size = made.bytes.len();
            let base = if p.relative { layout.last } else { 0 };
            let used = layout.cells.len();
            let mut places: Vec<usize> = if made.start {
                vec![base]
            } else if p.relative {
                (base..base + 4).chain([used.max(base)]).collect()
            } else {
                // Over what is there already, or behind it.
                let over = (0..used).filter(|s| layout.fits(*s, &made.bytes, false)).take(3);
                over.chain([used + if used > 0 { self.goal.between.len() } else { self.goal.lead.len() }, used])
                    .collect()
            };
            if made.end {
                let end = layout.least.max(used);
                places.extend(end.checked_sub(size).filter(|p| *p >= base && !made.start));
            }
            for place in places {
                let mut next = layout.clone();
                if next.put(place, &made.bytes, false) {
                    next.last = place + size;
                    if made.end && !next.end_here(place + size) {
                        continue;
                    }
                    if self.go(at + 1, next) {
                        return true;
                    }
                }
            }
        }
        false
    }

    // Contents that are not there yet.
    fn wishes(&self, layout: &Layout) -> Vec<Vec<u8>> {
        let contents = self.goal.tests.iter().filter_map(|t| match t {
            Test::Content(c) if !c.negated => Some(c),
            _ => None,
        });
        let there = |c: &Content| (0..layout.cells.len()).any(|p| layout.holds(p, c));
        let mut out: Vec<Vec<u8>> = contents.filter(|c| !there(c)).map(|c| c.bytes.clone()).collect();
        out.dedup();
        out
    }

    fn byte(&mut self, at: usize, b: &super::byte::ByteTest, layout: &Layout) -> bool {
        let Some((from, count)) = place(b, layout.last, &layout.values) else { return false };
        if count > 32 {
            return false;
        }
        let there: Option<Vec<u8>> = (from..from + count).map(|i| layout.cells.get(i).copied().flatten()).collect();
        let tries: Vec<Vec<u8>> = match there {
            Some(bytes) => vec![bytes],
            None => b.tries(&layout.values).into_iter().filter_map(|n| b.written(n, count)).collect(),
        };
        for bytes in tries {
            if !super::work::spend(1 + (layout.cells.len() / 8) as u32) {
                return false;
            }
            let mut next = layout.clone();
            if !next.put(from, &bytes, false) {
                continue;
            }
            let Some(n) = b.number(&bytes) else { continue };
            let len = next.cells.len().max(next.least);
            match b.apply(n, from + count, len, &mut next.values) {
                None => continue,
                Some(Moved::Stays) => {}
                Some(Moved::Behind) => next.last = from + count,
                Some(Moved::To(to)) => {
                    next.last = to;
                    next.least = next.least.max(to);
                }
            }
            if self.go(at + 1, next) {
                return true;
            }
        }
        false
    }

    // Gaps are filled, and the whole is checked.
    fn finish(&mut self, layout: &Layout) -> bool {
        let len = layout.cells.len().max(layout.least);
        if len > LONGEST || layout.most.is_some_and(|m| len > m) {
            return false;
        }
        let extra = if layout.most.is_none() { 3 } else { 0 };
        for extra in 0..=extra {
            for (turn, filler) in self.goal.filler.iter().enumerate() {
                if !super::work::spend(20 + (len / 2) as u32) {
                    return false;
                }
                let mut bytes: Vec<u8> = Vec::with_capacity(len + extra);
                for i in 0..len + extra {
                    let lead = (i < self.goal.lead.len()).then(|| self.goal.lead[i]);
                    let set = layout.cells.get(i).copied().flatten();
                    bytes.push(set.or(lead).unwrap_or(*filler));
                }
                // Between two parts stands what the goal says.
                let gap = self.goal.between;
                if !gap.is_empty() && turn == 0 {
                    for i in 1..len.saturating_sub(gap.len()) {
                        let open = (i..i + gap.len()).all(|j| layout.cells.get(j).is_some_and(Option::is_none));
                        let tight = layout.cells.get(i - 1).is_some_and(Option::is_some)
                            && layout.cells.get(i + gap.len()).is_some_and(Option::is_some);
                        if open && tight {
                            bytes[i..i + gap.len()].copy_from_slice(gap);
                        }
                    }
                }
                if self.goal.trimmed && bytes.trim_ascii().len() != bytes.len() {
                    continue;
                }
                if check::passes(&bytes, self.goal.tests) {
                    self.found = Some(bytes);
                    return true;
                }
            }
        }
        false
    }
}

impl Layout {
    fn fits(&self, at: usize, bytes: &[u8], nocase: bool) -> bool {
        self.most.is_none_or(|m| at + bytes.len() <= m)
            && bytes.iter().enumerate().all(|(i, b)| {
                self.cells
                    .get(at + i)
                    .copied()
                    .flatten()
                    .is_none_or(|c| c == *b || (nocase && c.eq_ignore_ascii_case(b)))
            })
    }

    fn put(&mut self, at: usize, bytes: &[u8], nocase: bool) -> bool {
        if at + bytes.len() > LONGEST || !self.fits(at, bytes, nocase) {
            return false;
        }
        if self.cells.len() < at + bytes.len() {
            self.cells.resize(at + bytes.len(), None);
        }
        for (cell, b) in self.cells[at..].iter_mut().zip(bytes) {
            cell.get_or_insert(*b);
        }
        true
    }

    fn holds(&self, at: usize, c: &Content) -> bool {
        c.bytes.iter().enumerate().all(|(i, b)| {
            self.cells
                .get(at + i)
                .copied()
                .flatten()
                .is_some_and(|x| x == *b || (c.nocase && x.eq_ignore_ascii_case(b)))
        })
    }

    fn end_here(&mut self, end: usize) -> bool {
        if self.cells.len() > end || self.least > end || self.most.is_some_and(|m| m < end) {
            return false;
        }
        (self.most, self.least) = (Some(end), end);
        true
    }
}
