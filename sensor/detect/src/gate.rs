// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The cheapest tests of an entry in a few bytes beside each other, so that most candidates fail without the entry being
//! fetched from memory.
//!
//! Must never close before an entry that could match: ports are compared by their hull, and the entry tests all of it again.

use lagewarte_decode::Packet;
use lagewarte_flow::{Direction, FlowRef};
use lagewarte_rules::{
    ast::{PacketTest, PayloadTest},
    port::PortSet,
};

use crate::{
    app::{AppRule, Protocols},
    entry::{Drafted, flow_fits, proto_takes},
    inspect::{payload, ports},
    prefilter::placed,
    stream::View,
};

/// What an entry asks of protocols, ports and flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    src: (u16, u16),
    dest: (u16, u16),
    /// A bit for each IP protocol and family.
    kinds: u16,
    /// A bit for each direction and state of a flow.
    flows: u8,
    any_ports: bool,
    /// The protocols of which the flow must speak one.
    spoken: Protocols,
    /// Whether contents of the payload are asked for.
    payload: bool,
    /// How long the payload is at least and at most.
    size: (u16, u16),
    head: Head,
}

/// What the first eight bytes of a payload must be, and in which bits; the first byte is the lowest.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    bits: u64,
    mask: u64,
}

/// What a packet is, as far as gates ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    ports: Option<(u16, u16)>,
    kind: u16,
    flow: u8,
    spoken: Protocols,
    sealed: bool,
    /// Of the payload; one that no `dsize` can tell from the largest is that.
    size: u16,
    /// The first bytes of the packet's payload and of what is new in the stream; those that are not there are zero.
    heads: [u64; 2],
    /// There are more beginnings than [`Self::heads`] has places.
    more: bool,
}

/// IP protocols that rules tell apart, and one of the others.
const PROTOCOLS: [u8; 7] = [6, 17, 1, 58, 132, 2, OTHERS];
/// Stands for those that are not in the list.
const OTHERS: u8 = 255;
/// Directions and states that rules tell apart.
const FLOWS: [(Direction, Option<bool>); 5] = [
    (Direction::ToServer, None),
    (Direction::ToServer, Some(false)),
    (Direction::ToServer, Some(true)),
    (Direction::ToClient, Some(false)),
    (Direction::ToClient, Some(true)),
];

impl Gate {
    const OPEN: Self = Self {
        src: (0, u16::MAX),
        dest: (0, u16::MAX),
        kinds: u16::MAX,
        flows: u8::MAX,
        any_ports: true,
        spoken: Protocols::ANY,
        payload: false,
        size: (0, u16::MAX),
        head: Head { bits: 0, mask: 0 },
    };

    pub(crate) fn new(e: &Drafted) -> Self {
        let mut gate = Self {
            src: hull(&e.src_port),
            dest: hull(&e.dest_port),
            kinds: 0,
            flows: 0,
            any_ports: e.src_port.is_any() && e.dest_port.is_any(),
            spoken: e.app.as_deref().map_or(Protocols::ANY, AppRule::protocols),
            payload: !e.rule.payload.is_empty(),
            size: size(&e.rule.packet),
            head: Head::of(&e.rule.payload),
        };
        let asked =
            |proto: u8| e.rule.packet.iter().all(|t| !matches!(t, PacketTest::IpProto(n) if !n.matches(proto.into())));
        for (n, proto) in PROTOCOLS.into_iter().enumerate() {
            let asked = proto == OTHERS || asked(proto);
            for v6 in [false, true] {
                gate.kinds |= u16::from(asked && proto_takes(e.rule.proto, proto, v6)) << (2 * n + usize::from(v6));
            }
        }
        for (n, (direction, established)) in FLOWS.into_iter().enumerate() {
            gate.flows |= u8::from(flow_fits(&e.rule.flow, direction, established)) << n;
        }
        gate
    }

    /// Closed before nothing but what no filter may let through.
    pub(crate) fn open(e: &Drafted) -> Self {
        Self { payload: !e.rule.payload.is_empty(), ..Self::OPEN }
    }

    /// Whether the entry asks for contents of the payload.
    pub(crate) const fn payload(&self) -> bool {
        self.payload
    }

    pub(crate) fn lets(&self, k: &Key) -> bool {
        let ports = match k.ports {
            Some((s, d)) => self.src.0 <= s && s <= self.src.1 && self.dest.0 <= d && d <= self.dest.1,
            None => self.any_ports,
        };
        ports
            && self.kinds & k.kind != 0
            && self.flows & k.flow != 0
            && self.spoken.meets(k.spoken)
            && !(self.payload && k.sealed)
            && self.size.0 <= k.size
            && k.size <= self.size.1
            && (k.more || k.heads.iter().any(|h| (h ^ self.head.bits) & self.head.mask == 0))
    }
}

impl Head {
    /// What contents at a place of their own say of the first bytes: wherever the rule matches, they are there.
    fn of(tests: &[PayloadTest]) -> Self {
        let mut head = Self::default();
        for (c, place) in placed(tests) {
            for (i, b) in (place.only(c.bytes.len()).unwrap_or(8)..8).zip(&c.bytes) {
                let care = if c.nocase && b.is_ascii_alphabetic() { !0x20 } else { 0xff };
                head.mask |= u64::from(care) << (8 * i);
                head.bits |= u64::from(b & care) << (8 * i);
            }
        }
        head
    }
}

impl Key {
    pub(crate) fn new(p: &Packet<'_>, (proto, v6): (u8, bool), flow: Option<&FlowRef<'_>>, view: View<'_>) -> Self {
        let n = PROTOCOLS.iter().position(|p| *p == proto).unwrap_or(PROTOCOLS.len() - 1);
        let sealed = flow.is_some_and(|f| f.sealed);
        let spoken = flow.map_or(Protocols::NONE, |f| Protocols::one(f.flow.app.spoken()));
        let flow = match flow.map(|f| (f.direction, f.established)) {
            None => 0,
            Some((Direction::ToServer, false)) => 1,
            Some((Direction::ToServer, true)) => 2,
            Some((Direction::ToClient, false)) => 3,
            Some((Direction::ToClient, true)) => 4,
        };
        let mut windows = view.stream.iter().flat_map(|(stream, d)| stream.raw_windows(*d));
        let stream = windows.next().map_or(0, |w| first_eight(w.data.get(w.seen..).unwrap_or_default()));
        Self {
            ports: ports(p),
            kind: 1 << (2 * n + usize::from(v6)),
            flow: 1 << flow,
            spoken,
            sealed,
            size: clamped(payload(p).len()),
            heads: [first_eight(payload(p)), stream],
            more: windows.next().is_some(),
        }
    }
}

fn first_eight(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => bytes.iter().rev().fold(0, |all, b| all << 8 | u64::from(*b)),
    }
}

/// The sizes that every `dsize` lets pass, and perhaps some more.
fn size(tests: &[PacketTest]) -> (u16, u16) {
    let sizes = tests.iter().filter_map(|t| match t {
        PacketTest::Dsize(n) => Some(n),
        _ => None,
    });
    sizes.fold((0, u16::MAX), |(least, most), n| {
        (least.max(clamped(n.least() as usize)), n.most().map_or(most, |n| most.min(clamped(n as usize))))
    })
}

fn clamped(n: usize) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

fn hull(p: &PortSet) -> (u16, u16) {
    match (p.ranges().first(), p.ranges().last()) {
        (Some((from, _)), Some((_, to))) => (*from, *to),
        _ => (0, u16::MAX),
    }
}
