// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which worker a frame belongs to: a symmetric hash over the address pair, read without decoding.
//!
//! Must agree with the flow table: all packets of one flow, its fragments, and the ICMPv4 "unreachable" errors that
//! quote it (and belong to it, as in Suricata) give the same number. Ports are left out: fragments do not have them.

use std::net::IpAddr;

use crate::{
    decoder::{ethertype, network_layer},
    ip::proto,
    transport::quoted_v4,
};

/// A number that is equal for both directions of a conversation; 0 where the frame has no readable addresses.
pub fn shard(linktype: u16, frame: &[u8]) -> u64 {
    match network_layer(linktype, frame) {
        Some((ethertype::IPV4, data)) => v4(data).unwrap_or(0),
        Some((ethertype::IPV6, data)) => v6(data).unwrap_or(0),
        _ => 0,
    }
}

fn v4(data: &[u8]) -> Option<u64> {
    let h = data.first_chunk::<20>()?;
    let hlen = usize::from(h[0] & 15) * 4;
    if h[9] == proto::ICMP && u16::from_be_bytes([h[6], h[7]]) & 0x3fff == 0 {
        let icmp = data.get(hlen..).unwrap_or_default();
        if icmp.first() == Some(&3)
            && let Some(Ok(Some(q))) = icmp.get(8..).map(quoted_v4)
        {
            return Some(mix(q.src, q.dst));
        }
    }
    let word = |at: usize| u64::from(u32::from_be_bytes([h[at], h[at + 1], h[at + 2], h[at + 3]]));
    Some(finish(word(12), word(16)))
}

fn v6(data: &[u8]) -> Option<u64> {
    let h = data.first_chunk::<40>()?;
    let mut addresses = [[0; 16]; 2];
    addresses[0].copy_from_slice(&h[8..24]);
    addresses[1].copy_from_slice(&h[24..40]);
    Some(mix(addresses[0].into(), addresses[1].into()))
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
