// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Contents that can lie at one place only: one look at that place says whether they are there, and no byte elsewhere
//! matters.
//!
//! Must never miss a content at its place. Limits: [`MAX_LOOKS`] looks at the bytes, each of which meets at most
//! [`CROWD`] contents that begin alike.

use std::collections::{BTreeMap, HashMap};

use crate::{
    matcher::{Buckets, FOLD, Pattern},
    rarity,
};

/// Most places looked at. Threat: rules with a content at every offset, each of which would be a look at every packet.
const MAX_LOOKS: usize = 24;
/// What a look is worth: fewer contents are looked for with the others.
const WORTH: usize = 3;
/// Most contents of the same window at the same place; others are told apart by another window.
const CROWD: usize = 16;
/// Most windows of a content that are thought of.
const MAX_WINDOWS: usize = 32;

/// A place, and how many of the four bytes there are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    at: u8,
    bytes: u8,
}

/// A content, where it lies, and how it is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Found {
    place: Place,
    window: u32,
    /// Where the content begins.
    begin: u8,
    pattern: Pattern,
}

/// Where a content begins, its bytes, and whether case does not matter.
type Content<'r> = (u8, &'r [u8], bool);

/// One way to find a content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'r> {
    place: Place,
    window: u32,
    begin: u8,
    bytes: &'r [u8],
    nocase: bool,
    /// The content, and the window.
    worth: (u32, u32),
}

/// The ways to find these bytes where they begin at `begin`.
pub(crate) fn ways(begin: usize, bytes: &[u8], nocase: bool) -> Vec<Way<'_>> {
    let Ok(begin) = u8::try_from(begin) else { return Vec::new() };
    let content = rarity::of(bytes);
    let windows = bytes.windows(bytes.len().clamp(1, 4)).zip(begin..u8::MAX).take(MAX_WINDOWS);
    windows
        .map(|(w, at)| {
            let place = Place { at, bytes: w.len() as u8 }; // at most four
            let window = (le(w) | FOLD) & mask(place.bytes);
            let worth = (content, if w.len() == 4 { rarity::window(window) } else { 0 });
            Way { place, window, begin, bytes, nocase, worth }
        })
        .collect()
}

/// Chooses few places by which most of the rules are found, each given with its ways, and for each rule its way. None for
/// those that are not found there.
pub(crate) fn choose<'r>(rules: &[Vec<Way<'r>>]) -> Vec<Option<Way<'r>>> {
    let mut chosen: Vec<Place> = Vec::new();
    let places = |ways: &Vec<Way<'r>>| {
        let mut places: Vec<Place> = ways.iter().map(|w| w.place).collect();
        places.sort_unstable();
        places.dedup();
        places
    };
    let mut open: Vec<Vec<Place>> = rules.iter().map(places).collect();
    while chosen.len() < MAX_LOOKS {
        let mut served = BTreeMap::<Place, usize>::new();
        open.iter().flatten().for_each(|p| *served.entry(*p).or_default() += 1);
        let most = served.into_iter().max_by_key(|(p, n)| (*n, std::cmp::Reverse(*p))).filter(|(_, n)| *n >= WORTH);
        let Some((place, _)) = most else { break };
        chosen.push(place);
        open.retain(|places| !places.contains(&place));
    }
    // The contents of each window at each place.
    let mut alike: HashMap<(Place, u32), Vec<Content<'_>>> = HashMap::new();
    let mut choose = |ways: &Vec<Way<'r>>| {
        let free = |w: &&Way<'r>| {
            let those = alike.get(&(w.place, w.window));
            those.is_none_or(|those| those.len() < CROWD || those.contains(&w.content()))
        };
        // One that says much less than the rule's best is met too often.
        let best = ways.iter().map(|w| w.worth.0).max()?;
        let good = |w: &&Way<'r>| 2 * w.worth.0 >= best && chosen.contains(&w.place);
        let way = ways.iter().filter(good).filter(free).max_by_key(|w| w.worth).copied()?;
        let those = alike.entry((way.place, way.window)).or_default();
        if !those.contains(&way.content()) {
            those.push(way.content());
        }
        Some(way)
    };
    rules.iter().map(&mut choose).collect()
}

impl<'r> Way<'r> {
    const fn content(&self) -> Content<'r> {
        (self.begin, self.bytes, self.nocase)
    }
    pub(crate) fn found(self) -> Found {
        let pattern = Pattern::new(self.bytes, self.nocase);
        Found { place: self.place, window: self.window, begin: self.begin, pattern }
    }
}

/// A set of contents, each at its place.
#[derive(Debug)]
pub(crate) struct Fixed {
    looks: Vec<Look>,
    contents: Vec<Found>,
}

#[derive(Debug)]
struct Look {
    place: Place,
    /// (window, content)
    windows: Buckets<(u32, u32)>,
}

impl Fixed {
    /// Their numbers are their positions. None where there are none.
    pub(crate) fn new(contents: Vec<Found>) -> Option<Self> {
        let mut places: Vec<Place> = contents.iter().map(|c| c.place).collect();
        places.sort_unstable();
        places.dedup();
        let looks: Vec<Look> = places.into_iter().map(|place| Look::new(place, &contents)).collect();
        (!looks.is_empty()).then_some(Self { looks, contents })
    }

    /// Calls `hit` with the number of each content that is at its place, once.
    pub(crate) fn scan(&self, data: &[u8], mut hit: impl FnMut(usize)) {
        for look in &self.looks {
            let Some(rest) = data.get(usize::from(look.place.at)..) else { break };
            let window = rest.first_chunk().map_or_else(|| le(rest), |w| u32::from_le_bytes(*w));
            for number in look.at((window | FOLD) & mask(look.place.bytes)) {
                let content = self.contents.get(number as usize);
                let here = |c: &Found| {
                    let found = data.get(usize::from(c.begin)..).and_then(|d| d.get(..c.pattern.len()));
                    found.is_some_and(|found| c.pattern.is(found))
                };
                if content.is_some_and(here) {
                    hit(number as usize);
                }
            }
        }
    }
}

impl Look {
    fn new(place: Place, contents: &[Found]) -> Self {
        let here = (0u32..).zip(contents).filter(|(_, c)| c.place == place);
        Self { place, windows: Buckets::of(here.map(|(n, c)| (c.window, n)).collect(), |(window, _)| *window) }
    }

    #[inline]
    fn at(&self, window: u32) -> impl Iterator<Item = u32> {
        self.windows.at(window).iter().filter(move |(w, _)| *w == window).map(|(_, n)| *n)
    }
}

/// The first four bytes; those that are not there are zero.
fn le(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |all, b| all << 8 | u32::from(*b))
}

const fn mask(bytes: u8) -> u32 {
    u32::MAX >> (32 - 8 * bytes as u32) // one to four
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(contents: &[(usize, Vec<u8>, bool)]) -> (Vec<Option<Way<'_>>>, Option<Fixed>) {
        let ways: Vec<Vec<Way<'_>>> = contents.iter().map(|(at, c, nocase)| ways(*at, c, *nocase)).collect();
        let chosen = choose(&ways);
        let fixed = Fixed::new(chosen.iter().flatten().map(|w| w.found()).collect());
        (chosen, fixed)
    }

    proptest! {
        /// Those that are chosen are named where they are, and only there.
        #[test]
        fn a_content_is_found_at_its_place_alone(
            contents in prop::collection::vec((0usize..12, prop::collection::vec(prop::sample::select(&b"aA@`\0 b"[..]), 1..7), any::<bool>()), 1..40),
            data in prop::collection::vec(prop::sample::select(&b"aA@`\0 b"[..]), 0..24),
        ) {
            let (chosen, fixed) = set(&contents);
            let here = |(at, c, nocase): &(usize, Vec<u8>, bool)| data.get(*at..).and_then(|d| d.get(..c.len()))
                .is_some_and(|d| if *nocase { d.eq_ignore_ascii_case(c) } else { d == c });
            let of_chosen = contents.iter().zip(&chosen).filter(|(_, w)| w.is_some()).map(|(c, _)| c);
            let want: Vec<usize> = of_chosen.enumerate().filter(|(_, c)| here(c)).map(|(n, _)| n).collect();
            let mut got = Vec::new();
            if let Some(fixed) = fixed {
                fixed.scan(&data, |n| got.push(n));
            }
            got.sort_unstable();
            prop_assert_eq!(got, want);
        }
    }

    #[test]
    fn places_and_contents_that_begin_alike_are_few() {
        // A content at each of two hundred places, three of each.
        let many: Vec<_> = (0..600).map(|i| (i % 200, format!("{i:04}").into_bytes(), false)).collect();
        let (_, fixed) = set(&many);
        assert_eq!(fixed.map(|f| f.looks.len()), Some(MAX_LOOKS));
        let alike: Vec<_> = (0..100).map(|i| (0, format!("same{i:02}").into_bytes(), false)).collect();
        let (chosen, _) = set(&alike);
        let at_once = |w: u32| chosen.iter().flatten().filter(|c| c.window == w).count();
        assert!(chosen.iter().flatten().all(|c| at_once(c.window) <= CROWD));
        assert!(chosen.iter().flatten().count() > 0);
    }
}
