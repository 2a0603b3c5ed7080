// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What makes two packets the same flow: the 5-tuple without its direction, and the VLANs.
//!
//! Must never depend on which side is seen first. For ICMP the type and its counterpart stand in for the ports, so that
//! a request and its reply are one flow; for ESP the SPI does.

use std::net::IpAddr;

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Packet, Quoted, Sctp, Transport, Vlans};

/// One end.
pub(crate) type End = (IpAddr, u16);

/// A flow's name in the table: the lower end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    low: End,
    high: End,
    proto: u8,
    vlans: Vlans,
    /// Tunnels around it: the same addresses inside and outside are two flows.
    depth: u8,
}

/// The ends of a packet as it was sent, and the flow it names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tuple {
    pub(crate) src: End,
    pub(crate) dst: End,
    pub(crate) proto: u8,
    /// The packet is an ICMP error; the ends are those of the packet that it quotes.
    pub(crate) quoted: bool,
    /// Whether a packet like this may begin a flow.
    pub(crate) begins: bool,
}

impl Key {
    pub(crate) fn new(t: &Tuple, vlans: Vlans, depth: u8) -> Self {
        let (low, high) = if t.src <= t.dst { (t.src, t.dst) } else { (t.dst, t.src) };
        Self { low, high, proto: t.proto, vlans, depth }
    }

    /// EVE `flow_id` of a flow with this key that began at `start`: positive, below 2^53.
    pub(crate) fn id(&self, start: Timestamp) -> i64 {
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        let mut eat = |word: u64| {
            x = (x ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
            x ^= x >> 32;
        };
        for (ip, port) in [self.low, self.high] {
            match ip {
                IpAddr::V4(v4) => eat(u32::from(v4).into()),
                IpAddr::V6(v6) => {
                    let n = u128::from(v6);
                    eat((n >> 64) as u64);
                    eat(n as u64);
                }
            }
            eat(port.into());
        }
        eat(self.proto.into());
        for &v in self.vlans.as_slice() {
            eat(u64::from(v) | 1 << 16);
        }
        eat(start.micros() as u64);
        eat(self.depth.into());
        i64::try_from(x >> 11).map_or(1, |id| id.max(1))
    }
}

/// The reply type of an ICMP request type and the other way round; None for messages without one (RFC 792, 950, 1256).
pub(crate) const fn icmpv4_counterpart(kind: u8) -> Option<u8> {
    Some(match kind {
        0 => 8,
        8 => 0,
        9 => 10,
        10 => 9,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        17 => 18,
        18 => 17,
        _ => return None,
    })
}

/// The same for ICMPv6 (RFC 4443, 2710, 4861, 4620, 6275).
pub(crate) const fn icmpv6_counterpart(kind: u8) -> Option<u8> {
    Some(match kind {
        128 => 129,
        129 => 128,
        130 => 131,
        131 => 130,
        133 => 134,
        134 => 133,
        135 => 136,
        136 => 135,
        139 => 140,
        140 => 139,
        144 => 145,
        145 => 144,
        _ => return None,
    })
}

/// Stands in for the port of a side that cannot answer: no ICMP type is 256.
const NO_COUNTERPART: u16 = 256;

/// The tuple of a packet; None where packets of its kind have no flow.
pub(crate) fn tuple(p: &Packet<'_>) -> Option<Tuple> {
    let ip = p.ip.as_ref()?;
    if p.events.invalid() {
        return None;
    }
    let ends =
        |a: u16, b: u16| Tuple { src: (ip.src, a), dst: (ip.dst, b), proto: ip.proto, quoted: false, begins: true };
    match &p.transport {
        Transport::Tcp(t) => Some(ends(t.src_port, t.dst_port)),
        Transport::Udp(u) => Some(ends(u.src_port, u.dst_port)),
        Transport::Sctp(Sctp { src_port, dst_port, .. }) => Some(ends(*src_port, *dst_port)),
        // One direction only: the answer has another SPI. Both halves stand on the sender's side.
        Transport::Esp { spi } => Some(ends((spi >> 16) as u16, *spi as u16)),
        Transport::Icmpv4(i) => match (i.kind, i.quoted) {
            (3, Some(Quoted { src, dst, proto, src_port, dst_port })) if matches!(proto, 6 | 17 | 132) => {
                Some(Tuple { src: (src, src_port), dst: (dst, dst_port), proto, quoted: true, begins: false })
            }
            (3 | 4 | 5 | 11 | 12, _) => None, // errors never begin a flow
            (kind, _) => Some(ends(kind.into(), icmpv4_counterpart(kind).map_or(NO_COUNTERPART, u16::from))),
        },
        Transport::Icmpv6(i) => Some(ends(i.kind.into(), icmpv6_counterpart(i.kind).map_or(NO_COUNTERPART, u16::from))),
        Transport::None | Transport::Igmp(_) | Transport::Other => None, // IGMP goes to a group, and no answer comes back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_its_answer_name_each_other() {
        for of in [icmpv4_counterpart as fn(u8) -> Option<u8>, icmpv6_counterpart] {
            for kind in 0..=255 {
                assert_eq!(of(kind).map(of), of(kind).map(|_| Some(kind)), "{kind}");
            }
        }
        // RFC 792, RFC 4443, RFC 4861.
        assert_eq!((icmpv4_counterpart(8), icmpv4_counterpart(3), icmpv4_counterpart(13)), (Some(0), None, Some(14)));
        assert_eq!(
            (icmpv6_counterpart(128), icmpv6_counterpart(135), icmpv6_counterpart(1)),
            (Some(129), Some(136), None)
        );
    }
}
