// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Groups: which rules can concern a packet at all, by transport and direction, then by content or port.
//!
//! The rules of a group are behind one matcher whatever their ports: one pass over the bytes is what costs, and a pattern
//! that occurs where the port is another fails at the header. Rules without a pattern are filed by port. Must never leave
//! out a rule that could match: ports, addresses and flow are tested again at verification.

use lagewarte_rules::{
    ast::{Content, FlowState, PacketTest, Proto},
    port::PortSet,
};
use rayon::prelude::*;

use crate::{
    entry::Drafted,
    matcher::Seen,
    prefilter::{Builder, Guard, Prefilter, SHORT, far, first, first_near, fixed, has_port, port_bits, ports},
    ranges::Ranges,
    rarity,
    stream::Looks,
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

/// All groups of an engine.
#[derive(Debug)]
pub(crate) struct Groups {
    /// By class, then way.
    tables: Vec<Table>,
}

/// The rules of one class and way.
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
    pub(crate) fn new(entries: &[Drafted], prefilter: bool) -> Result<Self, String> {
        u32::try_from(entries.len()).map_err(|_| String::from("too many rules"))?;
        let keys: Vec<(Class, Way)> = CLASSES.into_iter().flat_map(|c| WAYS.map(|w| (c, w))).collect();
        Ok(Self { tables: keys.into_par_iter().map(|(c, w)| Table::new(entries, c, w, prefilter)).collect() })
    }

    pub(crate) fn table(&self, class: Class, way: Way) -> &Table {
        // Invariant: new() made one for each pair, in this order.
        &self.tables[class as usize * WAYS.len() + way as usize]
    }
}

impl Table {
    fn new(entries: &[Drafted], class: Class, way: Way, prefilter: bool) -> Self {
        let ported = matches!(class, Class::Tcp | Class::TcpStream | Class::Udp | Class::Sctp);
        let mut table = Self::default();
        let mut patterns = Builder::default();
        let mut by_port = [const { (Vec::new(), Vec::new()) }; 2];
        for (i, e) in (0u32..).zip(entries) {
            if !prefilter {
                if e.of_packets() && !e.address_only && looks_there(e, class) {
                    table.always.push(i);
                }
                continue;
            }
            if !concerns(e, class, way) || !(ported || e.src_port.is_any() && e.dest_port.is_any()) {
                continue; // of another kind, or ports are wanted where there are none
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
            let (by_dest, by_src) = &mut by_port[usize::from(content.is_some())]; // of two
            match (close.filter(long), content.filter(long), close, content) {
                (Some(c), ..) => patterns.add_near(c, content, at, i),
                (_, Some(c), ..) => patterns.add(c, guard(e, close, at), i),
                (_, _, Some(c), _) if tells => patterns.add_near(c, None, at, i),
                // A short pattern says less than a port.
                _ if !wide(&e.dest_port) => by_dest.push((i, &*e.dest_port)),
                _ if !wide(&e.src_port) => by_src.push((i, &*e.src_port)),
                (_, _, Some(c), _) => patterns.add_near(c, None, at, i),
                (.., Some(c)) => patterns.add(c, guard(e, None, at), i),
                _ => table.always.push(i),
            }
        }
        table.patterns = patterns.plan().build();
        let [without, with] = by_port;
        for ((dest, src), to) in [(without, &mut table.by_port), (with, &mut table.by_port_with_bytes)] {
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
