// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which worker a packet belongs to: a symmetric hash over its address pair.
//!
//! Most frames hold one whole packet, and [`Decoder::route`] tells their hash without decoding. A fragment, or a packet
//! in a packet, is [`Route::Deep`]: it must be decoded, and each packet in it belongs to the worker of its own pair
//! ([`owner`]). So all packets of a flow come to one worker, whatever they came in.
//!
//! Must agree with the flow table: all packets of one flow and the ICMPv4 "unreachable" errors that quote it (and belong
//! to it, as in Suricata) give the same number. Ports are left out, so that conversations of two hosts stay together.

use std::net::IpAddr;

use crate::{
    decoder::Decoder,
    ip::proto,
    link::{ethertypes, network_layer},
    packet::{Packet, Transport},
    transport::unreachable_v4,
};

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// It is one whole packet, or none that has an owner: the hash of its pair.
    Plain(u64),
    /// It is a fragment, or holds packets in packets, or needs a closer look.
    Deep,
}

/// A number that is equal for both directions of a conversation; 0 where the packet has no readable addresses.
pub fn owner(p: &Packet<'_>) -> u64 {
    match (&p.transport, &p.ip) {
        (Transport::Icmpv4(i), Some(_)) if i.kind == 3 && i.quoted.is_some() => {
            i.quoted.map_or(0, |q| mix(q.src, q.dst))
        }
        (_, Some(ip)) => mix(ip.src, ip.dst),
        (_, None) => 0,
    }
}

impl Decoder {
    /// Where a frame goes, read without decoding. Agrees with [`owner`] for plain frames that are sound.
    pub fn route(&self, linktype: u16, frame: &[u8]) -> Route {
        match network_layer(linktype, frame) {
            Some((ethertypes::IPV4, data)) => self.route_v4(data).unwrap_or(Route::Plain(0)),
            Some((ethertypes::IPV6, data)) => self.route_v6(data).unwrap_or(Route::Plain(0)),
            None | Some((ethertypes::ARP, _)) => Route::Plain(0),
            Some(_) => Route::Deep,
        }
    }

    fn route_v4(&self, data: &[u8]) -> Option<Route> {
        let h = data.first_chunk::<20>()?;
        if u16::from_be_bytes([h[6], h[7]]) & 0x3fff != 0 {
            return Some(Route::Deep);
        }
        let total = usize::from(u16::from_be_bytes([h[2], h[3]])).min(data.len());
        let payload = || data.get(usize::from(h[0] & 15) * 4..total).unwrap_or_default();
        match h[9] {
            proto::ICMP => {
                if let Some(q) = unreachable_v4(payload()) {
                    return Some(Route::Plain(mix(q.src, q.dst)));
                }
            }
            proto::UDP if self.tunnel_port(payload()) => return Some(Route::Deep),
            proto::IPIP | proto::IPV6 | proto::GRE => return Some(Route::Deep),
            _ => {}
        }
        let word = |at: usize| u64::from(u32::from_be_bytes([h[at], h[at + 1], h[at + 2], h[at + 3]]));
        Some(Route::Plain(finish(word(12), word(16))))
    }

    fn route_v6(&self, data: &[u8]) -> Option<Route> {
        let h = data.first_chunk::<40>()?;
        match h[6] {
            proto::TCP | proto::ICMPV6 | proto::NONE => {}
            proto::UDP if !self.tunnel_port(data.get(40..).unwrap_or_default()) => {}
            _ => return Some(Route::Deep),
        }
        let mut addresses = [[0; 16]; 2];
        addresses[0].copy_from_slice(&h[8..24]);
        addresses[1].copy_from_slice(&h[24..40]);
        Some(Route::Plain(mix(addresses[0].into(), addresses[1].into())))
    }

    /// Whether a UDP datagram has a port on which tunnels are looked for.
    fn tunnel_port(&self, datagram: &[u8]) -> bool {
        let Some(&[a, b, c, d]) = datagram.first_chunk::<4>() else { return false };
        [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
            .into_iter()
            .any(|p| self.vxlan.has(p) || self.geneve.has(p) || self.teredo.has(p))
    }
}

fn mix(a: IpAddr, b: IpAddr) -> u64 {
    let word = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => u64::from(u32::from(v4)),
        IpAddr::V6(v6) => {
            let n = u128::from(v6);
            ((n >> 64) as u64).rotate_left(17) ^ n as u64
        }
    };
    finish(word(a), word(b))
}

/// Symmetric in its arguments, and well spread in its low bits.
fn finish(a: u64, b: u64) -> u64 {
    let mut x = a.wrapping_add(b) ^ (a ^ b).rotate_left(32);
    x = (x ^ x >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ x >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}
