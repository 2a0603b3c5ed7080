// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A table by key whose entries end at a time, and that never holds more than it may: where it is full the oldest goes.
//!
//! Must never look at any clock but the one it is given. Each use looks at two of the oldest entries, so that what is over
//! goes without a sweep; the queue of ages holds at most about twice as many as there are entries.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

use lagewarte_base::time::Timestamp;

/// What may be over.
pub(crate) trait Ends {
    /// Whether it is, at this time.
    fn over(&self, now: Timestamp) -> bool;
}

/// The table.
#[derive(Debug)]
pub(crate) struct Expiring<K, V> {
    /// With the number under which the key stands in the queue.
    map: HashMap<K, (u64, V)>,
    /// Keys by age; one that was taken out and put back stands under another number.
    queue: VecDeque<(u64, K)>,
    next: u64,
    most: usize,
    /// Entries that went before their time.
    pub(crate) forgotten: u64,
}

impl<K: Copy + Eq + Hash, V: Ends> Expiring<K, V> {
    /// Holding at most `most` entries.
    pub(crate) fn new(most: usize) -> Self {
        Self { map: HashMap::new(), queue: VecDeque::new(), next: 0, most: most.max(1), forgotten: 0 }
    }

    /// The entry, where it is there and not over.
    pub(crate) fn get(&self, key: &K, now: Timestamp) -> Option<&V> {
        self.map.get(key).map(|(_, v)| v).filter(|v| !v.over(now))
    }

    /// The entry, over or not, made where there is none.
    pub(crate) fn entry(&mut self, key: K, now: Timestamp, make: impl FnOnce() -> V) -> &mut V {
        self.forget(now);
        if !self.map.contains_key(&key) {
            self.make_room();
        }
        let (next, queue) = (&mut self.next, &mut self.queue);
        let (_, value) = self.map.entry(key).or_insert_with(|| {
            *next += 1;
            queue.push_back((*next, key));
            (*next, make())
        });
        value
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: &K) {
        self.map.remove(key);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.map.len()
    }

    fn forget(&mut self, now: Timestamp) {
        for _ in 0..2 {
            let Some((number, key)) = self.queue.pop_front() else { return };
            match self.map.get(&key) {
                Some((n, v)) if *n == number => {
                    if v.over(now) {
                        self.map.remove(&key);
                    } else {
                        self.queue.push_back((number, key));
                    }
                }
                _ => {} // taken out in the meantime
            }
        }
    }

    fn make_room(&mut self) {
        while self.map.len() >= self.most {
            let Some((number, key)) = self.queue.pop_front() else { return };
            if self.map.get(&key).is_some_and(|(n, _)| *n == number) {
                self.map.remove(&key);
                self.forgotten += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Ends for i64 {
        fn over(&self, now: Timestamp) -> bool {
            now.micros() >= *self
        }
    }

    fn t(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn what_is_over_goes_and_where_it_is_full_the_oldest() {
        let mut e: Expiring<u32, i64> = Expiring::new(3);
        for k in 0..3 {
            e.entry(k, t(0), || 10);
        }
        assert!(e.get(&0, t(9)).is_some() && e.get(&0, t(10)).is_none());
        // The walk of ages turned twice for each entry that was made.
        e.entry(9, t(0), || 10);
        assert_eq!((e.len(), e.forgotten), (3, 1));
        assert!(e.get(&9, t(0)).is_some());
        for k in 20..30 {
            e.entry(k, t(11), || 20);
        }
        assert!(e.get(&9, t(11)).is_none());
    }

    #[test]
    fn an_entry_put_in_and_out_for_ever_does_not_grow_the_queue() {
        let mut e: Expiring<u32, i64> = Expiring::new(64);
        for k in 0..32 {
            e.entry(k, t(0), || i64::MAX);
        }
        for _ in 0..10_000 {
            e.entry(99, t(0), || i64::MAX);
            e.remove(&99);
        }
        assert!(e.queue.len() <= 3 * 64, "{}", e.queue.len());
        assert_eq!((e.len(), e.forgotten), (32, 0));
    }
}
