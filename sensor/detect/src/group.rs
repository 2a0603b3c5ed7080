// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Groups: which rules can concern a packet at all, by transport, direction, zone and what the flow speaks, then by content
//! or port.
//!
//! The rules of a group are behind one matcher whatever their ports: one pass over the bytes is what costs, and a pattern
//! that occurs where the port is another fails at the header. Rules without a pattern are filed by port. Must never leave
//! out a rule that could match: ports, addresses and flow are tested again at verification. Limit: [`OWN`].

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use lagewarte_flow::AppProto;
use lagewarte_rules::{
    ast::{Content, FlowState, PacketTest, Proto},
    port::PortSet,
};
use rayon::prelude::*;

use crate::{
    app::{AppRule, Protocols},
    cache::Cache,
    entry::Drafted,
    matcher::Seen,
    prefilter::{Builder, Guard, Prefilter, SHORT, far, first, first_near, fixed, has_port, port_bits, ports},
    ranges::Ranges,
    rarity,
    stream::Looks,
    zones::{ByZone, Where, Zone, Zones},
};

/// A port list with more ports than this is treated as any port when rules are filed. Threat: `1024:` in a thousand rules
/// filling the index.
const WIDE: u32 = 1_024;
/// One with more than these guards nothing.
const MANY: u32 = 8_192;
/// What a content is worth at least that is looked for at its place, although it is short.
const PLACED: u32 = 6;
/// Ports of so much traffic that they guard nothing, either.
const BUSY: [u16; 3] = [80, 443, 445];
/// A content that is worth this much guards better than ports do.
const TELLING: u32 = 8;

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

/// Most protocols of one class and way that have a table of their own, each with all rules that ask for none. Threat: a set
/// with rules on every protocol beside thousands that ask for none.
const OWN: usize = 8;
/// A protocol that more than one in so many rules ask for has one.
const SHARE: usize = 32;

/// All groups of an engine.
#[derive(Debug)]
pub(crate) struct Groups {
    /// By class, then way.
    tables: Vec<ByZone<BySpoken<Arc<Table>>>>,
}

/// The rules of one class, way and zone: what speaks one protocol needs no rules on another.
#[derive(Debug)]
struct BySpoken<T> {
    own: Vec<(AppProto, T)>,
    /// Of all other protocols, of flows that say nothing, and of packets without a flow.
    other: T,
}

/// The rules of one class and way that zone and what a flow speaks let pass.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Entries behind a pattern, whatever their ports: those are tested at verification.
    patterns: Option<Prefilter>,
    /// Entries without a pattern to look for: candidates on every packet, where they are not filed by port.
    always: Vec<u32>,
    by_port: ByPort,
    /// Those that ask for contents: no candidates where there are no bytes.
    by_port_with_bytes: ByPort,
}

/// An entry, and what it is filed behind.
struct Filed<'r> {
    entry: u32,
    zones: Where,
    /// What the flow must speak one of.
    spoken: Protocols,
    behind: Behind<'r>,
}

/// What an entry is filed behind.
#[derive(Clone)]
enum Behind<'r> {
    /// A content near the beginning, or another one; with those that have one place only.
    Near(&'r Content, Option<&'r Content>, Vec<(&'r Content, usize)>),
    /// A content that may lie anywhere.
    Anywhere(&'r Content, Guard<'r>),
    /// The port of one side, of which the second is the destination; and whether it asks for contents.
    Port(usize, &'r PortSet, bool),
    Nothing,
}

/// Entries by the port of the destination or, where they name none, of the source.
#[derive(Debug, Default)]
struct ByPort {
    dest: Ports,
    src: Ports,
}

/// Entries by one port.
#[derive(Debug, Default)]
struct Ports {
    /// A bit for each port that has entries: most have none. None where none has.
    some: Option<Box<[u64; 1_024]>>,
    entries: Ranges<u16>,
}

impl Groups {
    pub(crate) fn new(entries: &[Drafted], zones: &Zones, prefilter: bool, cache: Option<&Cache>) -> Self {
        let keys: Vec<(Class, Way)> = CLASSES.into_iter().flat_map(|c| WAYS.map(|w| (c, w))).collect();
        let of = |(class, way)| {
            let all = (0u32..).zip(entries);
            if prefilter {
                tables(&all.filter_map(|(i, e)| filed(i, e, class, way)).collect::<Vec<_>>(), zones, cache)
            } else {
                let those = all.filter(|(_, e)| e.of_packets() && !e.address_only && looks_there(e, class));
                let other = Arc::new(Table::unfiltered(those.map(|(i, _)| i)));
                zones.each(|_| BySpoken { own: Vec::new(), other: Arc::clone(&other) })
            }
        };
        Self { tables: keys.into_par_iter().map(of).collect() }
    }

    /// `spoken`: what rules take the flow to speak, if there is one.
    pub(crate) fn table(&self, class: Class, way: Way, zone: Zone, spoken: AppProto) -> Option<&Table> {
        // new() made one for each pair, in this order.
        let tables = self.tables.get(class as usize * WAYS.len() + way as usize)?.of(zone)?;
        Some(tables.own.iter().find(|(p, _)| *p == spoken).map_or(&tables.other, |(_, t)| t))
    }
}

/// The tables of one class and way. Those that hold the same are one, whatever their zone and protocol.
fn tables(filed: &[Filed<'_>], zones: &Zones, cache: Option<&Cache>) -> ByZone<BySpoken<Arc<Table>>> {
    let lists = zones.each(|zone| BySpoken::new(filed.iter().filter(|f| f.zones.has(zone))));
    let all = lists.iter().flat_map(|l| l.own.iter().map(|(_, list)| list).chain([&l.other]));
    let distinct: Vec<&Vec<u32>> = all.collect::<HashSet<_>>().into_iter().collect();
    let table = |list: &Vec<u32>| {
        // In order, as the list is.
        Arc::new(Table::new(filed.iter().filter(|f| list.binary_search(&f.entry).is_ok()), cache))
    };
    let built: HashMap<&Vec<u32>, Arc<Table>> = distinct.into_par_iter().map(|list| (list, table(list))).collect();
    let of = |list: &Vec<u32>| built.get(list).map_or_else(Arc::default, Arc::clone);
    lists.map(|l| BySpoken { own: l.own.iter().map(|(p, list)| (*p, of(list))).collect(), other: of(&l.other) })
}

impl BySpoken<Vec<u32>> {
    /// Which entries, in order.
    fn new<'a, 'r: 'a>(filed: impl Iterator<Item = &'a Filed<'r>>) -> Self {
        let filed: Vec<&Filed<'_>> = filed.collect();
        let mut most: Vec<(usize, AppProto)> = AppProto::ALL
            .iter()
            .map(|p| (filed.iter().filter(|f| f.spoken != Protocols::ANY && f.spoken.has(*p)).count(), *p))
            .filter(|(n, _)| n * SHARE > filed.len())
            .collect();
        most.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
        most.truncate(OWN);
        let list = |takes: &dyn Fn(&Filed<'_>) -> bool| filed.iter().filter(|f| takes(f)).map(|f| f.entry).collect();
        Self {
            own: most.iter().map(|(_, p)| (*p, list(&|f| f.spoken.has(*p)))).collect(),
            other: list(&|f| f.spoken.others(most.iter().map(|(_, p)| *p))),
        }
    }
}

/// Where an entry is filed that concerns packets of this class and way; None where it does not.
fn filed(entry: u32, e: &Drafted, class: Class, way: Way) -> Option<Filed<'_>> {
    let ported = matches!(class, Class::Tcp | Class::TcpStream | Class::Udp | Class::Sctp);
    if !concerns(e, class, way) || !(ported || e.src_port.is_any() && e.dest_port.is_any()) {
        return None; // of another kind, or ports are wanted where there are none
    }
    // What is short, the writer's choice even, gives way to what is not: it would be filed by port, and asked of
    // every packet.
    let worth = |(), c: &Content| (c.bytes.len() >= SHORT, rarity::of(&c.bytes));
    let first = first(e.rule.payload.iter().map(|t| ((), t)), SHORT, worth);
    let long = |c: &&Content| c.bytes.len() >= SHORT;
    let at = fixed(&e.rule.payload);
    // At its place even what is short says more than a port.
    let tells = at.iter().any(|(c, _)| c.bytes.len() > 1 && rarity::of(&c.bytes) >= PLACED);
    // What a packet may be long says nothing of the stream that is looked at with it.
    let longest = longest(e).filter(|_| class != Class::TcpStream);
    let (content, close) = (first.map(|((), c)| c), first_near(&e.rule.payload, longest));
    let behind = match (close.filter(long), content.filter(long), close, content) {
        (Some(c), ..) => Behind::Near(c, content, at),
        (_, Some(c), ..) => Behind::Anywhere(c, guard(e, close, at)),
        (_, _, Some(c), _) if tells => Behind::Near(c, None, at),
        // A short pattern says less than a port.
        _ if !wide(&e.dest_port) => Behind::Port(1, &e.dest_port, content.is_some()),
        _ if !wide(&e.src_port) => Behind::Port(0, &e.src_port, content.is_some()),
        (_, _, Some(c), _) => Behind::Near(c, None, at),
        (.., Some(c)) => Behind::Anywhere(c, guard(e, None, at)),
        _ => Behind::Nothing,
    };
    Some(Filed { entry, zones: e.zones, spoken: e.app.as_deref().map_or(Protocols::ANY, AppRule::protocols), behind })
}

impl Table {
    fn unfiltered(entries: impl Iterator<Item = u32>) -> Self {
        Self { always: entries.collect(), ..Self::default() }
    }

    fn new<'a, 'r: 'a>(filed: impl Iterator<Item = &'a Filed<'r>>, cache: Option<&Cache>) -> Self {
        let mut table = Self::default();
        let mut patterns = Builder::default();
        let mut by_port = [const { [Vec::new(), Vec::new()] }; 2];
        for f in filed {
            match f.behind.clone() {
                Behind::Near(c, other, at) => patterns.add_near(c, other, at, f.entry),
                Behind::Anywhere(c, guard) => patterns.add(c, guard, f.entry),
                Behind::Port(side, ports, bytes) => by_port[usize::from(bytes)][side & 1].push((f.entry, ports)), // of two
                Behind::Nothing => table.always.push(f.entry),
            }
        }
        table.patterns = patterns.plan().build(cache);
        let [without, with] = by_port;
        for ([src, dest], to) in [(without, &mut table.by_port), (with, &mut table.by_port_with_bytes)] {
            for (list, to) in [(dest, &mut to.dest), (src, &mut to.src)] {
                match Ports::new(&list) {
                    Some(ports) => *to = ports,
                    None => table.always.extend(list.iter().map(|(i, _)| *i)),
                }
            }
        }
        table
    }

    /// Collects candidates for these bytes of a packet with these ports, or for a stream of which those from `begin` on are
    /// new.
    pub(crate) fn candidates(
        &self,
        ports: Option<(u16, u16)>,
        data: &[u8],
        begin: usize,
        seen: &mut Seen,
        found: &mut Vec<u32>,
    ) {
        found.extend_from_slice(&self.always);
        if let Some(ports) = ports {
            self.by_port.candidates(ports, found);
            if !data.is_empty() {
                self.by_port_with_bytes.candidates(ports, found);
            }
        }
        if let Some(p) = &self.patterns {
            p.candidates(ports, data, begin, seen, found);
        }
    }
}

impl ByPort {
    fn candidates(&self, (src, dest): (u16, u16), found: &mut Vec<u32>) {
        found.extend_from_slice(self.src.at(src));
        found.extend_from_slice(self.dest.at(dest));
    }
}

impl Ports {
    /// None where they are too many to be filed.
    fn new(entries: &[(u32, &PortSet)]) -> Option<Self> {
        let ranges: Vec<(u16, u16, u32)> =
            entries.iter().flat_map(|(i, p)| p.ranges().iter().map(|(a, b)| (*a, *b, *i))).collect();
        let some = (!ranges.is_empty()).then(|| port_bits(ranges.iter().map(|(a, b, _)| (*a, *b))));
        Some(Self { some, entries: Ranges::new(ranges, |n| n.checked_add(1))? })
    }

    fn at(&self, port: u16) -> &[u32] {
        match &self.some {
            Some(some) if has_port(some, port) => self.entries.at(port),
            _ => &[],
        }
    }
}

// The longest payload that `dsize` lets pass.
fn longest(e: &Drafted) -> Option<u32> {
    let bound = |t: &PacketTest| match t {
        PacketTest::Dsize(n) => n.most(),
        _ => None,
    };
    e.rule.packet.iter().filter_map(bound).min()
}

fn wide(p: &PortSet) -> bool {
    ports(p) > WIDE
}

// What must be there for a rule that is looked for everywhere; `close` is one of its contents near the beginning, `at` those
// that have one place only.
fn guard<'r>(e: &'r Drafted, close: Option<&'r Content>, at: Vec<(&'r Content, usize)>) -> Guard<'r> {
    let tells = |p: &PortSet| ports(p) <= MANY && !BUSY.iter().any(|busy| p.contains(*busy));
    let far = far(&e.rule.payload);
    let telling = |c: &&Content| rarity::of(&c.bytes) >= TELLING;
    match (close.filter(telling), far.filter(telling), close, far) {
        (Some(c), ..) => Guard::Near(c, at),
        (_, Some(c), ..) => Guard::Far(c),
        _ if tells(&e.src_port) => Guard::Ports(0, &e.src_port),
        _ if tells(&e.dest_port) => Guard::Ports(1, &e.dest_port),
        (_, _, Some(c), _) => Guard::Near(c, at),
        (.., Some(c)) => Guard::Far(c),
        _ => Guard::None,
    }
}

// Whether the bytes of this class are those that the entry looks at.
fn looks_there(e: &Drafted, class: Class) -> bool {
    match class {
        Class::TcpStream => e.looks.at_stream(),
        Class::Tcp => matches!(e.looks, Looks::Packet | Looks::Both),
        _ => e.looks != Looks::StreamOnly,
    }
}

// Whether `ip_proto` lets packets of this class pass.
fn carried(e: &Drafted, class: Class) -> bool {
    let proto = match class {
        Class::Tcp | Class::TcpStream => 6,
        Class::Udp => 17,
        Class::Icmpv4 => 1,
        Class::Icmpv6 => 58,
        Class::Sctp => 132,
        Class::Other => return true,
    };
    e.rule.packet.iter().all(|t| !matches!(t, PacketTest::IpProto(n) if !n.matches(proto)))
}

fn concerns(e: &Drafted, place: Class, way: Way) -> bool {
    let (r, class) = (&e.rule, place);
    let class = match r.proto {
        Proto::Ip | Proto::Ipv4 | Proto::Ipv6 | Proto::Pkthdr | Proto::Ether => true,
        Proto::Tcp | Proto::TcpPkt | Proto::TcpStream => matches!(class, Class::Tcp | Class::TcpStream),
        Proto::Udp => class == Class::Udp,
        Proto::Icmp => matches!(class, Class::Icmpv4 | Class::Icmpv6),
        Proto::Icmpv4 => class == Class::Icmpv4,
        Proto::Icmpv6 => class == Class::Icmpv6,
        Proto::Igmp => class == Class::Other,
        Proto::Sctp => class == Class::Sctp,
        Proto::Arp => false, // looked at apart: it has no IP
        Proto::App => matches!(class, Class::Tcp | Class::TcpStream | Class::Udp),
    };
    let way = match way {
        Way::ToServer => !r.flow.to_client,
        Way::ToClient => !r.flow.to_server,
        Way::None => !r.flow.to_client && r.flow.state == FlowState::Any,
    };
    looks_there(e, place) && class && way && carried(e, place) && !e.address_only && e.of_packets()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, alert::Output};

    /// A hundred rules for each of these protocols, two hundred on TCP itself.
    fn engine(protocols: &[&str]) -> Engine {
        let rules = |(p, n): (&&str, u32)| {
            (0..n).map(|i| format!("alert {p} any any -> any any (content:\"{p}-{i:03}-\"; ")).collect()
        };
        let all: Vec<Vec<String>> = protocols.iter().map(|p| (p, 100)).chain([(&"tcp", 200)]).map(rules).collect();
        let text: String = (1..).zip(all.concat()).map(|(sid, rule)| format!("{rule}sid:{sid};)\n")).collect();
        let set = lagewarte_rules::parse(&[("t", text.as_bytes())], &lagewarte_rules::Options::default());
        assert_eq!(set.refused, []);
        Engine::new(set, Output::default()).unwrap()
    }

    /// The only one: the rules name no addresses.
    fn zone(engine: &Engine) -> Zone {
        engine.zones.of([10, 0, 0, 1].into(), [10, 0, 0, 2].into())
    }

    /// How many candidates there are in a stream that holds what all rules look for, of those on a protocol and of those on none.
    fn found(engine: &Engine, all: &str, spoken: AppProto) -> (usize, usize) {
        let mut found = Vec::new();
        let table = engine.groups.table(Class::TcpStream, Way::ToServer, zone(engine), spoken).unwrap();
        table.candidates(Some((4_000, 80)), all.as_bytes(), 0, &mut Seen::default(), &mut found);
        let of = |i: &&u32| engine.entries[**i as usize].rule.of_protocols;
        (found.iter().filter(of).count(), found.iter().filter(|i| !of(i)).count())
    }

    fn contents(protocols: &[&str]) -> String {
        let of = |p: &str, n: u32| (0..n).map(|i| format!("{p}-{i:03}-")).collect::<String>();
        protocols.iter().map(|p| of(p, 100)).chain([of("tcp", 200)]).collect()
    }

    #[test]
    fn a_flow_is_searched_for_the_rules_on_its_protocol_and_on_none() {
        let protocols = ["tls", "smtp"];
        let (engine, all) = (engine(&protocols), contents(&protocols));
        assert_eq!(found(&engine, &all, AppProto::Tls), (100, 200));
        assert_eq!(found(&engine, &all, AppProto::Smtp), (100, 200));
        for other in [AppProto::Unknown, AppProto::Failed, AppProto::Ssh] {
            assert_eq!(found(&engine, &all, other), (0, 200), "{other:?}");
        }
    }

    #[test]
    fn protocols_with_the_same_rules_share_a_table() {
        let (engine, all) = (engine(&["http"]), contents(&["http"]));
        let table = |p| engine.groups.table(Class::TcpStream, Way::ToServer, zone(&engine), p).map(std::ptr::from_ref);
        assert_eq!(table(AppProto::Http), table(AppProto::Http2));
        assert_ne!(table(AppProto::Http), table(AppProto::Tls));
        assert_eq!(found(&engine, &all, AppProto::Http2), (100, 200));
    }

    #[test]
    fn few_protocols_have_a_table_of_their_own_and_no_rule_of_the_others_is_left_out() {
        let protocols = ["tls", "smtp", "ftp", "ssh", "pgsql", "ldap", "rdp", "rfb", "mqtt", "modbus"];
        let (engine, all) = (engine(&protocols), contents(&protocols));
        let own = |p: &&AppProto| found(&engine, &all, **p) == (100, 200);
        let shared = |p: &&AppProto| found(&engine, &all, **p) == (100 * (protocols.len() - OWN), 200);
        assert_eq!(AppProto::ALL.iter().filter(own).count(), OWN);
        assert_eq!(AppProto::ALL.iter().filter(shared).count(), AppProto::ALL.len() - OWN);
    }
}
