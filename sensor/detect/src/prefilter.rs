// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which rules may match some bytes: for each rule the content that is looked for first, and the rules behind each content.
//!
//! Must never leave out a rule that could match.

use std::collections::HashMap;

use lagewarte_rules::ast::{Content, PayloadTest};

use crate::{
    matcher::{Matcher, Pattern, Seen},
    rarity,
};

/// Contents to look for, and the entries behind each.
#[derive(Debug)]
pub(crate) struct Prefilter {
    matcher: Matcher,
    /// Where the entries behind each pattern begin; one more at the end.
    starts: Vec<u32>,
    entries: Vec<u32>,
}

/// A prefilter that is being put together.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    numbers: HashMap<Pattern, u32>,
    /// (pattern, entry)
    pairs: Vec<(u32, u32)>,
}

impl Builder {
    pub(crate) fn add(&mut self, content: &Content, entry: u32) {
        let next = self.numbers.len() as u32; // fewer than there are rules
        let n = *self.numbers.entry(Pattern::new(&content.bytes, content.nocase)).or_insert(next);
        self.pairs.push((n, entry));
    }

    /// None where nothing was added.
    pub(crate) fn build(mut self) -> Option<Prefilter> {
        let mut patterns: Vec<(Pattern, u32)> = self.numbers.into_iter().collect();
        patterns.sort_unstable_by_key(|(_, n)| *n);
        let matcher = Matcher::new(patterns.into_iter().map(|(p, _)| p).collect())?;
        self.pairs.sort_unstable();
        let starts = (0..=matcher.len()).map(|n| self.pairs.partition_point(|(p, _)| (*p as usize) < n) as u32);
        Some(Prefilter { starts: starts.collect(), matcher, entries: self.pairs.into_iter().map(|(_, e)| e).collect() })
    }
}

impl Prefilter {
    /// Appends the entries whose pattern occurs.
    pub(crate) fn candidates(&self, data: &[u8], seen: &mut Seen, found: &mut Vec<u32>) {
        self.matcher.scan(data, seen, |n| {
            if let (Some(from), Some(to)) = (self.starts.get(n), self.starts.get(n + 1))
                && let Some(entries) = self.entries.get(*from as usize..*to as usize)
            {
                found.extend_from_slice(entries);
            }
        });
    }
}

/// Of contents in several places the one to look for first: the writer's choice, else the rarest. None where every one is
/// negated.
pub(crate) fn first<'r, P: Clone>(
    tests: impl Iterator<Item = (P, &'r PayloadTest)> + Clone,
) -> Option<(P, &'r Content)> {
    let positive = tests.filter_map(|(place, t)| match t {
        PayloadTest::Content(c) if !c.negated && !c.bytes.is_empty() => Some((place, c)),
        _ => None,
    });
    positive.clone().find(|(_, c)| c.fast_pattern).or_else(|| positive.max_by_key(|(_, c)| rarity::of(&c.bytes)))
}
