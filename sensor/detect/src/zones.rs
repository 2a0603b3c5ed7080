// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Zones: whether a packet comes from inside or outside of the addresses that rules name most (`$HOME_NET`, as a rule), and
//! whether it goes there. Rules on attacks from outside are not looked for in what the own hosts send.
//!
//! Must never leave out a rule that could match: addresses are tested again at verification. Limit: [`SPREAD`].

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use lagewarte_rules::{address::AddressSet, ast::Direction};

use crate::entry::Drafted;

/// A rule may stand in so many zones of four on average, five halves: in two it does where only its own side is named.
/// Threat: a set that hardly names addresses, of which every zone would hold all: four times the memory, and nothing saved.
const SPREAD: (usize, usize) = (5, 2);

/// How zones are told apart: not at all without a set.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    inside: Option<Arc<AddressSet>>,
}

/// Where a packet comes from and goes to. There is one alone where zones are not told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zone(u8);

/// In which zones an entry can match: a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Where(u8);

/// One for each zone.
#[derive(Debug)]
pub(crate) struct ByZone<T>(Box<[T]>);

impl Zones {
    /// Chooses what tells most of these rules apart, and notes in each where it can match.
    pub(crate) fn divide(entries: &mut [Drafted]) -> Self {
        let mut named: HashMap<&Arc<AddressSet>, usize> = HashMap::new();
        for set in entries.iter().flat_map(|e| [&e.src, &e.dest]).filter(|a| !a.is_any()) {
            *named.entry(set).or_default() += 1;
        }
        // By their addresses, too: which it is must not hang on the order of a hash table.
        let most = named.into_iter().max_by_key(|(set, n)| (*n, *set)).map(|(set, _)| Arc::clone(set));
        let zones = Self { inside: most };
        let places: Vec<Where> = entries.iter().map(|e| zones.place(e)).collect();
        let all: usize = places.iter().map(|w| w.0.count_ones() as usize).sum();
        if all * SPREAD.1 > entries.len() * SPREAD.0 {
            return Self::default();
        }
        entries.iter_mut().zip(places).for_each(|(e, place)| e.zones = place);
        zones
    }

    fn place(&self, e: &Drafted) -> Where {
        let Some(inside) = &self.inside else { return Where::ALL };
        let sides = |set: &AddressSet| [!set.within(inside), set.meets(inside)];
        let (src, dest) = (sides(&e.src), sides(&e.dest));
        let turns = e.rule.direction == Direction::Transaction; // it is about client and server, whoever sent the packet
        let can = |from: usize, to: usize| src[from] && dest[to] || turns && src[to] && dest[from]; // each 0 or 1
        Where((0..4).fold(0, |all, zone| all | u8::from(can(zone & 1, zone >> 1)) << zone))
    }

    /// The zone of a packet between these.
    pub(crate) fn of(&self, src: IpAddr, dest: IpAddr) -> Zone {
        let Some(inside) = &self.inside else { return Zone(0) };
        Zone(u8::from(inside.contains(src)) | u8::from(inside.contains(dest)) << 1)
    }

    fn all(&self) -> impl Iterator<Item = Zone> {
        (0..if self.inside.is_some() { 4 } else { 1 }).map(Zone)
    }

    /// Makes one for each.
    pub(crate) fn each<T>(&self, make: impl Fn(Zone) -> T) -> ByZone<T> {
        ByZone(self.all().map(make).collect())
    }
}

impl Where {
    /// What zones do not tell.
    pub(crate) const ALL: Self = Self(0b1111);

    pub(crate) const fn has(self, zone: Zone) -> bool {
        self.0 >> zone.0 & 1 == 1
    }
}

impl<T> ByZone<T> {
    pub(crate) fn of(&self, zone: Zone) -> Option<&T> {
        self.0.get(usize::from(zone.0))
    }

    pub(crate) fn map<U>(&self, make: impl Fn(&T) -> U) -> ByZone<U> {
        ByZone(self.iter().map(make).collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use lagewarte_rules::{Options, Rule};

    use super::*;
    use crate::{alert::Output, entry::Remembers, marks::Names};

    fn drafted(headers: &[&str]) -> Vec<Drafted> {
        let rule = |(n, h): (usize, &&str)| {
            let answer = if h.contains("=>") { "http.stat_msg; content:\"efgh\";" } else { "" };
            format!("alert {h} (http.uri; content:\"abcd\"; {answer} sid:{};)\n", n + 1)
        };
        let text: String = headers.iter().enumerate().map(rule).collect();
        let set = lagewarte_rules::parse(&[("t", text.as_bytes())], &Options::default());
        assert_eq!(set.refused, []);
        let (hash, names) = (Arc::new([0; 32]), Names::default());
        let of =
            |rule: Arc<Rule>| Drafted::of(Arc::clone(&rule), Remembers::new(&rule, &names), &hash, &Output::default());
        set.rules.into_iter().flat_map(of).collect()
    }

    #[test]
    fn a_rule_stands_where_its_addresses_can_be() {
        let packets = [
            ("out", "10.0.0.1", "192.0.2.1"),
            ("in", "192.0.2.1", "10.0.0.1"),
            ("within", "10.0.0.1", "172.16.0.1"),
            ("past", "192.0.2.1", "2001:db8::1"),
        ];
        for (header, places) in [
            ("http $HOME_NET any -> $EXTERNAL_NET any", "out"),
            ("http $EXTERNAL_NET any -> $HOME_NET any", "in"),
            ("http $HOME_NET any -> any any", "out within"),
            ("http any any -> $HOME_NET any", "in within"),
            ("http any any -> $EXTERNAL_NET any", "out past"),
            ("http any any -> any any", "out in within past"),
            ("http 10.0.0.1 any -> any any", "out within"),
            ("http any any -> !10.0.0.1 any", "out in within past"),
            ("http any any -> [10.0.0.1,192.0.2.7] any", "out in within past"),
            ("http 192.0.2.1 any -> 192.0.2.2 any", "past"),
            ("http 2001:db8::1 any -> $HOME_NET any", "in"),
            ("http $HOME_NET any -> !10.0.0.0/9 any", "out within"),
            ("http $HOME_NET any => $EXTERNAL_NET any", "out in"),
        ] {
            let mut entries = drafted(&[&["http $HOME_NET any -> $HOME_NET any"; 9][..], &[header]].concat());
            let zones = Zones::divide(&mut entries);
            let place = entries.last().unwrap().zones;
            let zone = |from: &str, to: &str| zones.of(from.parse().unwrap(), to.parse().unwrap());
            let there = packets.iter().filter(|(_, from, to)| place.has(zone(from, to))).map(|(name, ..)| *name);
            assert_eq!(there.collect::<Vec<_>>().join(" "), places, "{header}");
        }
    }

    #[test]
    fn a_rule_both_ways_stands_in_the_zone_of_each() {
        let mut entries = drafted(&["http $HOME_NET any <> $EXTERNAL_NET any"]);
        let zones = Zones::divide(&mut entries);
        let [home, other] = ["10.0.0.1", "192.0.2.1"].map(|a| a.parse().unwrap());
        let at = |from, to| entries.iter().map(|e| e.zones.has(zones.of(from, to))).collect::<Vec<_>>();
        assert_eq!((at(home, other), at(other, home)), (vec![true, false], vec![false, true]));
        assert_eq!((at(home, home), at(other, other)), (vec![false, false], vec![false, false]));
    }

    #[test]
    fn a_set_that_hardly_names_addresses_is_not_divided() {
        let one_zone = |entries: &mut [Drafted]| Zones::divide(entries).all().count() == 1;
        let any = "http any any -> any any";
        let (some, one) = ("http $HOME_NET any -> any any", "http $HOME_NET any -> $HOME_NET any");
        for (headers, undivided) in [
            (vec![any; 3], true),
            (vec![any, any, one], true),
            (vec![any, some, one], false),
            (vec![any, some], true),
            // Five places for two rules are as many as there may be.
            (vec![any, one], false),
            (vec![any, some, any, one], true),
            (vec![some; 3], false),
        ] {
            let mut entries = drafted(&headers);
            assert_eq!(one_zone(&mut entries), undivided, "{headers:?}");
            assert!(!undivided || entries.iter().all(|e| e.zones == Where::ALL), "{headers:?}");
        }
        assert!(one_zone(&mut []), "no rules");
    }
}
