// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The cheapest tests of an entry in a few bytes beside each other, so that most candidates fail without the entry being
//! fetched from memory.
//!
//! Must never close before an entry that could match: ports are compared by their hull, and the entry tests all of it again.

use lagewarte_flow::{Direction, FlowRef};
use lagewarte_rules::port::PortSet;

use crate::entry::{Entry, flow_fits, proto_takes};

/// What an entry asks of protocol, ports and flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    src: (u16, u16),
    dest: (u16, u16),
    /// A bit for each IP protocol and family.
    kinds: u16,
    /// A bit for each direction and state of a flow.
    flows: u8,
    any_ports: bool,
    /// Whether contents of the payload are asked for.
    payload: bool,
}

/// What a packet is, as far as gates ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    ports: Option<(u16, u16)>,
    kind: u16,
    flow: u8,
    sealed: bool,
}

/// IP protocols that rules tell apart, and one of the others.
const PROTOCOLS: [u8; 7] = [6, 17, 1, 58, 132, 2, 255];
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
        payload: false,
    };

    pub(crate) fn new(e: &Entry) -> Self {
        let mut gate = Self {
            src: hull(&e.src_port),
            dest: hull(&e.dest_port),
            kinds: 0,
            flows: 0,
            any_ports: e.src_port.is_any() && e.dest_port.is_any(),
            payload: !e.rule.payload.is_empty(),
        };
        for (n, proto) in PROTOCOLS.into_iter().enumerate() {
            for v6 in [false, true] {
                gate.kinds |= u16::from(proto_takes(e.rule.proto, proto, v6)) << (2 * n + usize::from(v6));
            }
        }
        for (n, (direction, established)) in FLOWS.into_iter().enumerate() {
            gate.flows |= u8::from(flow_fits(&e.rule.flow, direction, established)) << n;
        }
        gate
    }

    /// Closed before nothing but what no filter may let through.
    pub(crate) fn open(e: &Entry) -> Self {
        Self { payload: !e.rule.payload.is_empty(), ..Self::OPEN }
    }

    /// Whether the entry asks for contents of the payload.
    pub(crate) const fn payload(&self) -> bool {
        self.payload
    }

    pub(crate) fn lets(&self, k: Key) -> bool {
        let ports = match k.ports {
            Some((s, d)) => self.src.0 <= s && s <= self.src.1 && self.dest.0 <= d && d <= self.dest.1,
            None => self.any_ports,
        };
        ports && self.kinds & k.kind != 0 && self.flows & k.flow != 0 && !(self.payload && k.sealed)
    }
}

impl Key {
    pub(crate) fn new(ports: Option<(u16, u16)>, proto: u8, v6: bool, flow: Option<&FlowRef<'_>>) -> Self {
        let n = PROTOCOLS.iter().position(|p| *p == proto).unwrap_or(PROTOCOLS.len() - 1);
        let sealed = flow.is_some_and(|f| f.sealed);
        let flow = match flow.map(|f| (f.direction, f.established)) {
            None => 0,
            Some((Direction::ToServer, false)) => 1,
            Some((Direction::ToServer, true)) => 2,
            Some((Direction::ToClient, false)) => 3,
            Some((Direction::ToClient, true)) => 4,
        };
        Self { ports, kind: 1 << (2 * n + usize::from(v6)), flow: 1 << flow, sealed }
    }
}

fn hull(p: &PortSet) -> (u16, u16) {
    match (p.ranges().first(), p.ranges().last()) {
        (Some((from, _)), Some((_, to))) => (*from, *to),
        _ => (0, u16::MAX),
    }
}
