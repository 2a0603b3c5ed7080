// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Address-only rules: thousands of them must cost a new flow two searches, not thousands of tests.
//!
//! Each rule is filed by the one of its sides that holds fewer ranges and is not `any`; a lookup returns a superset that
//! is verified like every candidate. Must never leave out a rule that could match.

use std::net::IpAddr;

use lagewarte_rules::address::AddressSet;

use crate::entry::Entry;

/// Most (range, rule) pairs in one index. Threat: overlapping ranges of many rules multiplying; what does not fit is tested
/// one by one.
const MAX_FILED: usize = 4_000_000;

/// The index.
#[derive(Debug, Default)]
pub(crate) struct Index {
    src: Side,
    dest: Side,
    /// Tested for every new flow.
    rest: Vec<u32>,
}

#[derive(Debug, Default)]
struct Side {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

// Sorted starts of elementary ranges; each has the entries that hold there, as a slice of `filed`.
#[derive(Debug)]
struct Ranges<T> {
    starts: Vec<(T, u32, u32)>,
    filed: Vec<u32>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self { starts: Vec::new(), filed: Vec::new() }
    }
}

impl Index {
    pub(crate) fn new(entries: &[Entry]) -> Self {
        let mut index = Self::default();
        let (mut src, mut dest): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for (i, e) in entries.iter().enumerate().filter(|(_, e)| e.address_only) {
            let Ok(i) = u32::try_from(i) else { continue }; // Groups::new refuses such a set
            let ranges = |a: &AddressSet| a.v4().len() + a.v6().len();
            match (e.src.is_any(), e.dest.is_any()) {
                (true, true) => index.rest.push(i),
                (false, true) => src.push(i),
                (true, false) => dest.push(i),
                (false, false) if ranges(&e.src) <= ranges(&e.dest) => src.push(i),
                (false, false) => dest.push(i),
            }
        }
        for (list, of_src) in [(src, true), (dest, false)] {
            let set = |i: &u32| entries.get(*i as usize).map(|e| if of_src { &e.src } else { &e.dest });
            let v4 = list.iter().flat_map(|i| set(i).into_iter().flat_map(|a| a.v4()).map(|(a, b)| (*a, *b, *i)));
            let v6 = list.iter().flat_map(|i| set(i).into_iter().flat_map(|a| a.v6()).map(|(a, b)| (*a, *b, *i)));
            match (Ranges::new(v4.collect(), |n| n.checked_add(1)), Ranges::new(v6.collect(), |n| n.checked_add(1))) {
                (Some(v4), Some(v6)) if of_src => index.src = Side { v4, v6 },
                (Some(v4), Some(v6)) => index.dest = Side { v4, v6 },
                _ => index.rest.extend(list),
            }
        }
        index
    }

    /// Candidates for a flow between these.
    pub(crate) fn candidates(&self, src: IpAddr, dest: IpAddr, found: &mut Vec<u32>) {
        found.extend_from_slice(&self.rest);
        found.extend_from_slice(self.src.at(src));
        found.extend_from_slice(self.dest.at(dest));
    }
}

impl Side {
    fn at(&self, ip: IpAddr) -> &[u32] {
        match ip {
            IpAddr::V4(a) => self.v4.at(u32::from(a)),
            IpAddr::V6(a) => self.v6.at(u128::from(a)),
        }
    }
}

impl<T: Copy + Ord> Ranges<T> {
    // None where it would grow past MAX_FILED.
    fn new(ranges: Vec<(T, T, u32)>, next: impl Fn(T) -> Option<T>) -> Option<Self> {
        // A sweep over beginnings and ends; `open` are the entries that hold at the current point.
        let mut events: Vec<(T, bool, u32)> = Vec::with_capacity(ranges.len() * 2);
        for (a, b, i) in ranges {
            events.push((a, true, i));
            if let Some(end) = next(b) {
                events.push((end, false, i));
            }
        }
        events.sort_unstable();
        let mut open = std::collections::BTreeMap::<u32, u32>::new();
        let mut out = Self::default();
        let mut events = events.into_iter().peekable();
        while let Some((at, begins, i)) = events.next() {
            let count = open.entry(i).or_default();
            if begins {
                *count += 1;
            } else {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    open.remove(&i);
                }
            }
            if events.peek().is_none_or(|e| e.0 > at) {
                if out.filed.len() + open.len() > MAX_FILED {
                    return None;
                }
                let from = u32::try_from(out.filed.len()).ok()?;
                out.filed.extend(open.keys());
                out.starts.push((at, from, u32::try_from(out.filed.len()).ok()?));
            }
        }
        Some(out)
    }

    fn at(&self, x: T) -> &[u32] {
        let i = self.starts.partition_point(|(start, ..)| *start <= x);
        i.checked_sub(1)
            .and_then(|i| self.starts.get(i))
            .and_then(|(_, from, to)| self.filed.get(*from as usize..*to as usize))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_lookup_is_the_ranges_that_hold_the_point(
            ranges in prop::collection::vec((0u32..100, 0u32..30), 0..20),
            top: bool,
            x in 0u32..140,
        ) {
            let lift = |n: u32| if top { u32::MAX - 140 + n } else { n };
            let ranges: Vec<_> =
                ranges.iter().enumerate().map(|(i, (a, n))| (lift(*a), lift(a + n), i as u32 / 2)).collect();
            let index = Ranges::new(ranges.clone(), |n| n.checked_add(1)).unwrap();
            let mut want: Vec<u32> =
                ranges.iter().filter(|(a, b, _)| *a <= lift(x) && lift(x) <= *b).map(|r| r.2).collect();
            want.sort_unstable();
            want.dedup();
            prop_assert_eq!(index.at(lift(x)), &want[..]);
        }
    }

    #[test]
    fn overlaps_that_multiply_are_not_filed() {
        let many: Vec<(u32, u32, u32)> = (0..3000).map(|i| (i, 1_000_000 + i, i)).collect();
        assert!(Ranges::new(many, |n| n.checked_add(1)).is_none());
    }
}
