// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Entries by ranges of numbers (addresses, ports): a number gives the entries of which a range holds it, by one search.
//!
//! Must never leave out an entry that holds the number. Limits: [`MAX_FILED`].

/// Most (range, rule) pairs in one index. Threat: overlapping ranges of many rules multiplying; what does not fit is tested
/// one by one.
const MAX_FILED: usize = 4_000_000;

/// Sorted starts of elementary ranges; each has the entries that hold there, as a slice of `filed`.
#[derive(Debug)]
pub(crate) struct Ranges<T> {
    starts: Vec<(T, u32, u32)>,
    filed: Vec<u32>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self { starts: Vec::new(), filed: Vec::new() }
    }
}

impl<T: Copy + Ord> Ranges<T> {
    /// `next`: the number after one. None where it would grow past MAX_FILED.
    pub(crate) fn new(ranges: Vec<(T, T, u32)>, next: impl Fn(T) -> Option<T>) -> Option<Self> {
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

    /// The entries that hold the number.
    pub(crate) fn at(&self, x: T) -> &[u32] {
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
