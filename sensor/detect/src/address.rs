// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Address-only rules: thousands of them must cost a new flow two searches, not thousands of tests.
//!
//! Each rule is filed by the one of its sides that holds fewer addresses (and is not `any`); a lookup returns a superset that
//! is verified like every candidate. Must never leave out a rule that could match.

use std::net::IpAddr;

use lagewarte_rules::address::AddressSet;

use crate::{entry::Drafted, ranges::Ranges};

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

impl Index {
    pub(crate) fn new(entries: &[Drafted]) -> Self {
        let mut index = Self::default();
        let (mut src, mut dest): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for (i, e) in entries.iter().enumerate().filter(|(_, e)| e.address_only) {
            let Ok(i) = u32::try_from(i) else { continue }; // Engine::build refuses such a set
            match (e.src.is_any(), e.dest.is_any()) {
                (true, true) => index.rest.push(i),
                (false, true) => src.push(i),
                (true, false) => dest.push(i),
                (false, false) if breadth(&e.src) <= breadth(&e.dest) => src.push(i),
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

// How much of the address space a set holds, both families counted alike.
fn breadth(a: &AddressSet) -> u128 {
    let v4: u128 = a.v4().iter().map(|(a, b)| u128::from(b - a) + 1).sum();
    let v6 = a.v6().iter().map(|(a, b)| b - a).fold(0u128, u128::saturating_add);
    v4 + (v6 >> 96)
}

impl Side {
    fn at(&self, ip: IpAddr) -> &[u32] {
        match ip {
            IpAddr::V4(a) => self.v4.at(u32::from(a)),
            IpAddr::V6(a) => self.v6.at(u128::from(a)),
        }
    }
}
