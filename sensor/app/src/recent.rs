// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A map that holds a number of entries at most: a new one takes the place of the oldest. For what a parser must remember
//! by a number that its peers choose (files, trees, requests).
//!
//! Must never be iterated for output: its order is not the protocol's.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    map: HashMap<K, (u64, V)>,
    // Keys in the order in which they came, each with its entry's number: one that was taken out is still here.
    order: VecDeque<(K, u64)>,
    most: usize,
    next: u64,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    /// Holding at most `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self { map: HashMap::new(), order: VecDeque::new(), most: most.max(1), next: 0 }
    }
    /// Puts one in; what had to go for it: the one of that key, or the oldest.
    #[must_use]
    pub(crate) fn put(&mut self, key: K, value: V) -> Option<V> {
        if let Some((_, had)) = self.map.get_mut(&key) {
            return Some(std::mem::replace(had, value));
        }
        self.next += 1;
        self.map.insert(key, (self.next, value));
        self.order.push_back((key, self.next));
        let mut gone = None;
        while self.map.len() > self.most
            && let Some((oldest, number)) = self.order.pop_front()
        {
            if self.map.get(&oldest).is_some_and(|(n, _)| *n == number) {
                gone = self.take(&oldest);
            }
        }
        if self.order.len() > 2 * self.most {
            let map = &self.map;
            self.order.retain(|(k, number)| map.get(k).is_some_and(|(n, _)| n == number));
        }
        gone
    }
    /// The one of a key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key).map(|(_, v)| v)
    }
    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key).map(|(_, v)| v)
    }
    /// Takes one out.
    pub(crate) fn take(&mut self, key: &K) -> Option<V> {
        self.map.remove(key).map(|(_, v)| v)
    }
    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_oldest_goes() {
        let mut r = Recent::new(2);
        assert_eq!((r.put(1, 'a'), r.put(2, 'b'), r.put(1, 'c'), r.put(3, 'd')), (None, None, Some('a'), Some('c')));
        assert_eq!((r.get(&1), r.get(&3)), (None, Some(&'d')));
        assert_eq!((r.take(&2), r.len()), (Some('b'), 1));
    }

    proptest! {
        #[test]
        fn it_is_bounded_and_forgets_nothing_else(ops in prop::collection::vec((0u8..9, any::<bool>()), 0..200)) {
            let mut r = Recent::new(4);
            for (key, put) in ops {
                if put {
                    let before = r.len();
                    let had = r.get(&key).is_some();
                    let gone = r.put(key, key);
                    prop_assert_eq!(gone.is_some(), had || before == 4);
                    prop_assert_eq!(r.get(&key), Some(&key));
                } else {
                    prop_assert!(r.take(&key).is_none_or(|v| v == key));
                }
                prop_assert!(r.map.len() <= 4 && r.order.len() <= 8);
            }
        }
    }
}
