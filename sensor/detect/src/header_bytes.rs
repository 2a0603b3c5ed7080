// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Headers and addresses as bytes: `ipv4.hdr`, `tcp.hdr`, `ip.src` and the like, one packet at a time.
//!
//! Must never show bytes that the decoder did not prove to be the header.

use std::{net::IpAddr, sync::Arc};

use lagewarte_decode::{Packet, Transport};
use lagewarte_rules::ast::BufferTest;

use crate::{
    engine::Work,
    payload::{Outcome, Program},
    transform::Chain,
};

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderBytes {
    IpSrc,
    IpDst,
    Ipv4,
    Ipv6,
    Tcp,
    Udp,
    Icmpv4,
    Icmpv6,
    Igmp,
    Sctp,
    SctpData,
    Ether,
}

impl HeaderBytes {
    fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "ip.src" => Self::IpSrc,
            "ip.dst" => Self::IpDst,
            "ipv4.hdr" => Self::Ipv4,
            "ipv6.hdr" => Self::Ipv6,
            "tcp.hdr" => Self::Tcp,
            "udp.hdr" => Self::Udp,
            "icmpv4.hdr" => Self::Icmpv4,
            "icmpv6.hdr" => Self::Icmpv6,
            "igmp.hdr" => Self::Igmp,
            "sctp.hdr" => Self::Sctp,
            "sctp.chunk_data" => Self::SctpData,
            "ether.hdr" => Self::Ether,
            _ => return None,
        })
    }

    // The address that it is, if it is one, in the order of the wire: 4 bytes or 16.
    fn address(self, p: &Packet<'_>) -> Option<([u8; 16], usize)> {
        let ip = match self {
            Self::IpSrc => p.ip?.src,
            Self::IpDst => p.ip?.dst,
            _ => return None,
        };
        Some(match ip {
            IpAddr::V6(ip) => (ip.octets(), 16),
            IpAddr::V4(ip) => {
                let mut bytes = [0; 16];
                bytes[..4].copy_from_slice(&ip.octets()); // 4 of 16
                (bytes, 4)
            }
        })
    }

    // The `index`-th of its kind; most headers there is one of.
    fn of<'p>(self, p: &'p Packet<'_>, index: usize) -> Option<&'p [u8]> {
        match self {
            Self::SctpData => return p.sctp()?.user_data().nth(index),
            _ if index > 0 => return None,
            Self::Ether => return p.ether_header(),
            _ => {}
        }
        let ip = p.ip?;
        let bytes = match (self, p.transport) {
            (Self::Ipv4, _) if ip.src.is_ipv4() => ip.header,
            // With its extension headers.
            (Self::Ipv6, _) if ip.src.is_ipv6() => ip.packet.get(..ip.packet.len().checked_sub(ip.payload.len())?)?,
            (Self::Tcp, Transport::Tcp(t)) => t.header,
            (Self::Udp, Transport::Udp(u)) => u.header,
            (Self::Icmpv4, Transport::Icmpv4(i)) => ip.payload.get(..icmp_len(i.kind, i.rest)).unwrap_or(i.header),
            (Self::Icmpv6, Transport::Icmpv6(i)) => i.header,
            (Self::Igmp, Transport::Igmp(i)) => i.message,
            (Self::Sctp, Transport::Sctp(s)) => s.packet,
            _ => return None,
        };
        (!bytes.is_empty()).then_some(bytes)
    }
}

// Length of an ICMP header: more than eight bytes where the type's own fields are longer (RFC 792, RFC 950, RFC 1256).
fn icmp_len(kind: u8, [count, words, ..]: [u8; 4]) -> usize {
    match kind {
        9 => 8 + usize::from(count) * usize::from(words) * 4, // router advertisement: its addresses
        13 | 14 => 20,                                        // three timestamps
        17 | 18 => 12,                                        // an address mask
        _ => 8,
    }
}

/// What a rule looks for in a header.
#[derive(Debug)]
pub(crate) struct HeaderRule {
    header: HeaderBytes,
    chain: Option<Arc<Chain>>,
    program: Program,
}

impl HeaderRule {
    pub(crate) fn new(t: &BufferTest) -> Option<Self> {
        let header = HeaderBytes::by_name(t.buffer.name)?;
        Some(Self { header, chain: Chain::new(&t.transforms), program: Program::new(&t.tests) })
    }

    pub(crate) fn holds(&self, p: &Packet<'_>, work: &mut Work) -> bool {
        let mut index = 0;
        let address = self.header.address(p);
        let whole = address.as_ref().and_then(|(bytes, len)| bytes.get(..*len));
        while let Some(bytes) = whole.filter(|_| index == 0).or_else(|| self.header.of(p, index)) {
            let bytes = match &self.chain {
                Some(chain) => work.made_headers.of((self.header, index), chain, bytes),
                None => bytes,
            };
            if self.program.run_buffer(bytes, true, &mut work.finds) == Outcome::Match {
                return true;
            }
            index += 1;
        }
        false
    }
}
