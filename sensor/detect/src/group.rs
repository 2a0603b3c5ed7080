// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Groups: which rules can concern a packet at all, by transport, direction and port.
//!
//! Rules with few ports stand in a group for each port range, all others in one for any port; a packet looks into at most
//! three. Must never leave out a rule that could match: ports, addresses and flow are tested again at verification.

use std::collections::HashMap;

use lagewarte_rules::{
    ast::{Content, FlowState, PayloadTest, Proto, Rule},
    port::PortSet,
};
use rayon::prelude::*;

use crate::{
    entry::Entry,
    prefilter::{Matcher, rarity},
    stream::Looks,
};

/// A port list with more ports than this is treated as any port when rules are grouped. Threat: `1024:` in a thousand
/// rules copying their patterns into every group.
const WIDE: u32 = 1_024;

/// What a packet carries, as far as groups tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Tcp,
    Udp,
    Icmpv4,
    Icmpv6,
    Sctp,
    Other,
    /// Bytes of a TCP stream.
    TcpStream,
}

const CLASSES: [Class; 7] =
    [Class::Tcp, Class::Udp, Class::Icmpv4, Class::Icmpv6, Class::Sctp, Class::Other, Class::TcpStream];

/// Which way a packet goes, as far as groups tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
    /// A packet without a flow.
    None,
}

const WAYS: [Way; 3] = [Way::ToServer, Way::ToClient, Way::None];

/// All groups of an engine.
#[derive(Debug)]
pub(crate) struct Groups {
    /// By class, then way.
    tables: Vec<Table>,
}

/// The groups of one class and way.
#[derive(Debug, Default)]
pub(crate) struct Table {
    any: Group,
    by_dest: Ports,
    by_src: Ports,
}

#[derive(Debug, Default)]
struct Ports {
    /// Where each range begins, and its group; a range ends where the next begins.
    starts: Vec<(u16, Option<usize>)>,
    groups: Vec<Group>,
}

/// Rules that are looked at together.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// Entries without a pattern to look for: candidates on every packet.
    always: Vec<u32>,
    matcher: Option<Matcher>,
    /// Entries behind each pattern of the matcher.
    behind: Vec<Vec<u32>>,
}

impl Groups {
    pub(crate) fn new(entries: &[Entry]) -> Result<Self, String> {
        let keys: Vec<(Class, Way)> = CLASSES.into_iter().flat_map(|c| WAYS.map(|w| (c, w))).collect();
        let tables: Result<Vec<Table>, String> =
            keys.into_par_iter().map(|(class, way)| Table::new(entries, class, way)).collect();
        Ok(Self { tables: tables? })
    }

    pub(crate) fn table(&self, class: Class, way: Way) -> &Table {
        // Invariant: new() made one for each pair, in this order.
        &self.tables[class as usize * WAYS.len() + way as usize]
    }

    /// How many patterns the largest group has, for scratch space.
    pub(crate) fn most_patterns(&self) -> usize {
        self.tables.iter().flat_map(Table::groups).map(|g| g.behind.len()).max().unwrap_or(0)
    }
}

impl Table {
    fn new(entries: &[Entry], class: Class, way: Way) -> Result<Self, String> {
        let ported = matches!(class, Class::Tcp | Class::TcpStream | Class::Udp | Class::Sctp);
        let (mut any, mut by_dest, mut by_src) = (Vec::new(), Vec::new(), Vec::new());
        for (i, e) in entries.iter().enumerate().filter(|(_, e)| concerns(e, class, way)) {
            let i = u32::try_from(i).map_err(|_| String::from("too many rules"))?;
            if !(ported || e.src_port.is_any() && e.dest_port.is_any()) {
                continue; // ports are wanted where there are none
            }
            if !wide(&e.dest_port) {
                by_dest.push((i, &*e.dest_port));
            } else if !wide(&e.src_port) {
                by_src.push((i, &*e.src_port));
            } else {
                any.push(i);
            }
        }
        Ok(Self {
            any: Group::new(entries, any)?,
            by_dest: Ports::new(entries, &by_dest)?,
            by_src: Ports::new(entries, &by_src)?,
        })
    }

    fn groups(&self) -> impl Iterator<Item = &Group> {
        self.by_dest.groups.iter().chain(&self.by_src.groups).chain([&self.any])
    }

    /// The groups that a packet with these ports looks into.
    pub(crate) fn of(&self, ports: Option<(u16, u16)>) -> impl Iterator<Item = &Group> {
        let (src, dest) = match ports {
            Some((s, d)) => (self.by_src.at(s), self.by_dest.at(d)),
            None => (None, None),
        };
        [Some(&self.any), src, dest].into_iter().flatten()
    }
}

impl Ports {
    fn new(entries: &[Entry], rules: &[(u32, &PortSet)]) -> Result<Self, String> {
        let mut bounds: Vec<u32> = rules
            .iter()
            .flat_map(|(_, p)| p.ranges().iter().flat_map(|(a, b)| [u32::from(*a), u32::from(*b) + 1]))
            .filter(|b| *b <= u32::from(u16::MAX))
            .collect();
        bounds.push(0);
        bounds.sort_unstable();
        bounds.dedup();
        let mut known: HashMap<Vec<u32>, usize> = HashMap::new();
        let mut sets: Vec<Vec<u32>> = Vec::new();
        let mut starts = Vec::with_capacity(bounds.len());
        for b in bounds {
            let port = u16::try_from(b).unwrap_or(u16::MAX); // filtered above
            let set: Vec<u32> = rules.iter().filter(|(_, p)| p.contains(port)).map(|(i, _)| *i).collect();
            let group = if set.is_empty() {
                None
            } else {
                Some(*known.entry(set).or_insert_with_key(|set| {
                    sets.push(set.clone());
                    sets.len() - 1
                }))
            };
            starts.push((port, group));
        }
        let groups: Result<Vec<Group>, String> = sets.into_par_iter().map(|s| Group::new(entries, s)).collect();
        Ok(Self { starts, groups: groups? })
    }

    fn at(&self, port: u16) -> Option<&Group> {
        let i = self.starts.partition_point(|(start, _)| *start <= port).checked_sub(1)?;
        let (_, group) = self.starts.get(i)?;
        self.groups.get((*group)?)
    }
}

impl Group {
    fn new(entries: &[Entry], rules: Vec<u32>) -> Result<Self, String> {
        let mut group = Self::default();
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        let mut numbers: HashMap<Vec<u8>, usize> = HashMap::new();
        for i in rules {
            let best = entries.get(i as usize).and_then(|e| fast_pattern(&e.rule));
            match best {
                None => group.always.push(i),
                Some(c) => {
                    let n = *numbers.entry(c.bytes.to_ascii_lowercase()).or_insert_with_key(|lower| {
                        patterns.push(lower.clone());
                        group.behind.push(Vec::new());
                        patterns.len() - 1
                    });
                    group.behind[n].push(i); // pushed together with the pattern
                }
            }
        }
        group.matcher = Matcher::new(&patterns)?;
        Ok(group)
    }

    /// Collects candidates for this payload. `seen` has a mark for each pattern, all below `mark` before.
    pub(crate) fn candidates(&self, payload: &[u8], seen: &mut [u32], mark: u32, found: &mut Vec<u32>) {
        found.extend_from_slice(&self.always);
        if payload.is_empty() {
            return;
        }
        if let Some(m) = &self.matcher {
            m.scan(payload, |n| {
                if let (Some(s), Some(rules)) = (seen.get_mut(n), self.behind.get(n))
                    && *s != mark
                {
                    *s = mark;
                    found.extend_from_slice(rules);
                }
            });
        }
    }
}

/// The content that is looked for first: the writer's choice, else the rarest. None where every content is negated.
fn fast_pattern(rule: &Rule) -> Option<&Content> {
    let mut positive = rule.payload.iter().filter_map(|t| match t {
        PayloadTest::Content(c) if !c.negated => Some(c),
        _ => None,
    });
    positive.clone().find(|c| c.fast_pattern).or_else(|| positive.by_ref().max_by_key(|c| rarity(&c.bytes)))
}

fn wide(p: &PortSet) -> bool {
    p.ranges().iter().map(|(a, b)| u32::from(*b) - u32::from(*a) + 1).sum::<u32>() > WIDE
}

fn concerns(e: &Entry, class: Class, way: Way) -> bool {
    let r = &e.rule;
    let place = match class {
        Class::TcpStream => e.looks.at_stream(),
        Class::Tcp => matches!(e.looks, Looks::Packet | Looks::Both),
        _ => e.looks != Looks::StreamOnly,
    };
    let class = match r.proto {
        Proto::Ip | Proto::Ipv4 | Proto::Ipv6 | Proto::Pkthdr => true,
        Proto::Tcp | Proto::TcpPkt | Proto::TcpStream => matches!(class, Class::Tcp | Class::TcpStream),
        Proto::Udp => class == Class::Udp,
        Proto::Icmp => matches!(class, Class::Icmpv4 | Class::Icmpv6),
        Proto::Icmpv4 => class == Class::Icmpv4,
        Proto::Icmpv6 => class == Class::Icmpv6,
        Proto::Arp => false, // looked at apart: it has no IP
        Proto::App => matches!(class, Class::Tcp | Class::TcpStream | Class::Udp),
    };
    let way = match way {
        Way::ToServer => !r.flow.to_client,
        Way::ToClient => !r.flow.to_server,
        Way::None => !r.flow.to_client && r.flow.state == FlowState::Any,
    };
    place && class && way && !e.address_only && e.of_packets()
}
