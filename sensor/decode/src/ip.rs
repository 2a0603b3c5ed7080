// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! IPv4 and IPv6 (RFC 791, RFC 8200): lengths checked as Suricata checks them, options and extension headers walked.
//!
//! Must never believe a length before comparing it with what was captured. A packet shorter than its own length field
//! is truncated and gets no transport.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{
    Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice,
    checksum::u64_16bit_word,
    err::ipv4::{HeaderError, HeaderSliceError},
};

use crate::{
    decoder::Decoder,
    event::{Event, Events},
    igmp,
    packet::{Checksum, Fragment, Ip, Packet, Transport},
    sctp, transport, tunnel,
};

/// Most IPv6 extension headers walked. Threat: a packet that is nothing but extension headers.
pub const MAX_EXTENSIONS: usize = 16;

/// IP protocol numbers (IANA).
pub(crate) mod proto {
    pub(crate) const HOPOPTS: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const IGMP: u8 = 2;
    pub(crate) const IPIP: u8 = 4;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const IPV6: u8 = 41;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const GRE: u8 = 47;
    pub(crate) const ESP: u8 = 50;
    pub(crate) const AH: u8 = 51;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const NONE: u8 = 59;
    pub(crate) const DSTOPTS: u8 = 60;
    pub(crate) const SCTP: u8 = 132;
    pub(crate) const MOBILITY: u8 = 135;
    pub(crate) const HIP: u8 = 139;
    pub(crate) const SHIM6: u8 = 140;
}

pub(crate) fn v4<'a>(d: &Decoder, p: &mut Packet<'a>, data: &'a [u8]) {
    if !d.layer(p) {
        return;
    }
    p.link_len = p.frame.len() - data.len(); // data is always the frame's end
    let h = match Ipv4HeaderSlice::from_slice(data) {
        Ok(h) => h,
        Err(e) => {
            return p.events.set(match e {
                _ if data.len() < 20 => Event::Ipv4PktTooSmall,
                HeaderSliceError::Content(HeaderError::UnexpectedVersion { .. }) => Event::Ipv4WrongIpVersion,
                HeaderSliceError::Content(HeaderError::HeaderLengthSmallerThanHeader { .. }) => Event::Ipv4HlenTooSmall,
                HeaderSliceError::Len(_) => Event::Ipv4TruncPkt,
            });
        }
    };
    let (total, hlen) = (usize::from(h.total_len()), h.slice().len());
    if total < hlen {
        return p.events.set(Event::Ipv4IplenSmallerThanHlen);
    }
    let (Some(packet), Some(payload)) = (data.get(..total), data.get(hlen..total)) else {
        return p.events.set(Event::Ipv4TruncPkt);
    };
    if hlen > 20 {
        v4_options(&mut p.events, h.options());
    }
    let fragment = h.is_fragmenting_payload().then(|| Fragment {
        offset: h.fragments_offset().value().wrapping_mul(8),
        more: h.more_fragments(),
        id: h.identification().into(),
        header_len: hlen as u16, // at most 60
        next_at: 9,
        next: h.protocol().0,
    });
    p.ip = Some(Ip {
        src: IpAddr::V4(Ipv4Addr::from(h.source())),
        dst: IpAddr::V4(Ipv4Addr::from(h.destination())),
        proto: h.protocol().0,
        ttl: h.ttl(),
        header: h.slice(),
        packet,
        payload,
        fragment,
    });
    if d.checksums {
        p.checksum = if checksum(h.slice()) { Checksum::Good } else { Checksum::Bad };
    }
    if fragment.is_some() {
        return; // what puts fragments together gives the whole packet back to the decoder
    }
    match h.protocol().0 {
        proto::ICMPV6 => p.events.set(Event::Ipv4Icmpv6),
        number => upper(d, p, number, payload),
    }
    if !matches!(
        h.protocol().0,
        proto::ICMP
            | proto::IGMP
            | proto::TCP
            | proto::UDP
            | proto::GRE
            | proto::SCTP
            | proto::ESP
            | proto::IPIP
            | proto::IPV6
            | proto::ICMPV6
    ) {
        p.events.set(Event::Ipv4UnknownProtocol);
    }
}

/// Whether the checksum of an IPv4 header holds.
pub(crate) fn checksum(header: &[u8]) -> bool {
    u64_16bit_word::ones_complement(u64_16bit_word::add_slice(0, header)) == 0
}

/// Options of IPv4 by number: expected length, 0 where it varies.
fn v4_option_len(kind: u8) -> Option<usize> {
    match kind {
        7 | 68 | 131 | 137 | 130 | 133 | 134 => Some(0), // RR, timestamp, LSRR, SSRR, security, E-SEC, CIPSO
        136 | 148 => Some(4),                            // stream id, router alert
        _ => None,
    }
}

fn v4_options(events: &mut Events, mut options: &[u8]) {
    let mut seen = [0u64; 4];
    while let Some((&kind, rest)) = options.split_first() {
        match kind {
            0 => return, // end of list
            1 => {
                options = rest;
                continue;
            }
            _ => {}
        }
        let Some(&len) = rest.first() else { return events.set(Event::Ipv4OptInvalidLen) };
        let len = usize::from(len);
        let Some(next) = options.get(len.max(2)..).filter(|_| len >= 2) else {
            return events.set(Event::Ipv4OptInvalidLen);
        };
        match v4_option_len(kind) {
            None => events.set(Event::Ipv4OptUnknown),
            Some(fixed) if fixed != 0 && fixed != len => events.set(Event::Ipv4OptInvalidLen),
            Some(_) if len < 3 => events.set(Event::Ipv4OptMalformed),
            Some(_) => {
                let (word, bit) = (usize::from(kind >> 6), 1u64 << (kind & 63));
                if seen[word] & bit != 0 {
                    events.set(Event::Ipv4OptDuplicate);
                }
                seen[word] |= bit;
            }
        }
        options = next;
    }
}

pub(crate) fn v6<'a>(d: &Decoder, p: &mut Packet<'a>, data: &'a [u8]) {
    if !d.layer(p) {
        return;
    }
    p.link_len = p.frame.len() - data.len(); // data is always the frame's end
    if data.len() < 40 {
        return p.events.set(Event::Ipv6PktTooSmall);
    }
    let Ok(h) = Ipv6HeaderSlice::from_slice(data) else {
        return p.events.set(Event::Ipv6WrongIpVersion);
    };
    let total = 40 + usize::from(h.payload_length());
    let (Some(packet), Some(payload)) = (data.get(..total), data.get(40..total)) else {
        return p.events.set(Event::Ipv6TruncPkt);
    };
    let mut ip = Ip {
        src: IpAddr::V6(Ipv6Addr::from(h.source())),
        dst: IpAddr::V6(Ipv6Addr::from(h.destination())),
        proto: h.next_header().0,
        ttl: h.hop_limit(),
        header: h.slice(),
        packet,
        payload,
        fragment: None,
    };
    let upper_layer = extensions(&mut p.events, &mut ip);
    p.ip = Some(ip);
    if !upper_layer || ip.fragment.is_some() {
        return;
    }
    match ip.proto {
        proto::ICMP => p.events.set(Event::Ipv6Icmpv4),
        proto::TCP | proto::UDP | proto::ICMPV6 | proto::SCTP | proto::ESP | proto::IPIP | proto::IPV6 | proto::GRE => {
            upper(d, p, ip.proto, ip.payload);
        }
        proto::MOBILITY | proto::HIP | proto::SHIM6 => upper(d, p, ip.proto, ip.payload),
        other => {
            p.events.set(Event::Ipv6UnknownNextHeader);
            upper(d, p, other, ip.payload);
        }
    }
}

/// Walks the extension headers: leaves `ip.proto` and `ip.payload` at the upper layer. False where there is none.
fn extensions(events: &mut Events, ip: &mut Ip<'_>) -> bool {
    let (mut routing, mut hop_by_hop, mut destination, mut auth, mut fragment) = (0, 0, 0, 0, 0);
    let mut next_at = 6; // in the fixed header
    for _ in 0..MAX_EXTENSIONS {
        if ip.proto != proto::NONE && ip.payload.len() < 2 {
            events.set(Event::Ipv6TruncExthdr); // a header was promised and there is none
            return false;
        }
        match ip.proto {
            proto::NONE => {
                if !ip.payload.is_empty() {
                    events.set(Event::Ipv6DataAfterNoneHeader);
                }
                return false;
            }
            proto::HOPOPTS | proto::DSTOPTS | proto::ROUTING => {
                let Ok(ext) = Ipv6RawExtHeaderSlice::from_slice(ip.payload) else {
                    events.set(Event::Ipv6TruncExthdr);
                    return false;
                };
                match ip.proto {
                    proto::ROUTING => {
                        routing += 1;
                        if routing > 1 {
                            events.set(Event::Ipv6ExthdrDuplRh);
                        } else if ext.payload().first() == Some(&0) {
                            events.set(Event::Ipv6RhType0);
                        }
                    }
                    proto::HOPOPTS => {
                        hop_by_hop += 1;
                        if hop_by_hop > 1 {
                            events.set(Event::Ipv6ExthdrDuplHh);
                        } else {
                            v6_options(events, ext.payload(), true);
                        }
                    }
                    _ => {
                        destination += 1; // twice is allowed: before a routing header and at the end (RFC 8200, 4.1)
                        if destination > 2 {
                            events.set(Event::Ipv6ExthdrDuplDh);
                        } else {
                            v6_options(events, ext.payload(), false);
                        }
                    }
                }
                next_at = at(ip) as u16;
                advance(ip, ext.next_header().0, ext.slice().len());
            }
            proto::AH => {
                // Zero payload length is below the header's own minimum; etherparse refuses it, Suricata too.
                let Ok(ext) = etherparse::IpAuthHeaderSlice::from_slice(ip.payload) else {
                    events.set(Event::Ipv6TruncExthdr);
                    return false;
                };
                auth += 1;
                if auth > 1 {
                    events.set(Event::Ipv6ExthdrDuplAh);
                } else if ext.slice().get(2..4) != Some(&[0, 0]) {
                    events.set(Event::Ipv6ExthdrAhResNotNull);
                }
                next_at = at(ip) as u16;
                advance(ip, ext.next_header().0, ext.slice().len());
            }
            proto::FRAGMENT => {
                let Ok(ext) = Ipv6FragmentHeaderSlice::from_slice(ip.payload) else {
                    events.set(Event::Ipv6TruncExthdr);
                    return false;
                };
                if ext.slice().get(1) != Some(&0) {
                    events.set(Event::Ipv6FhNonZeroReservedField);
                }
                fragment += 1;
                if fragment > 1 {
                    events.set(Event::Ipv6ExthdrDuplFh);
                    next_at = at(ip) as u16;
                    advance(ip, ext.next_header().0, 8);
                    continue;
                }
                let len = ip.payload.len();
                let offset = ext.fragment_offset().value().wrapping_mul(8);
                if !ext.is_fragmenting_payload() {
                    events.set(Event::Ipv6ExthdrUselessFh);
                    next_at = at(ip) as u16;
                    advance(ip, ext.next_header().0, 8);
                    continue;
                }
                if ext.more_fragments() && !len.is_multiple_of(8) {
                    events.set(Event::Ipv6FragInvalidLength);
                }
                ip.fragment = Some(Fragment {
                    offset,
                    more: ext.more_fragments(),
                    id: ext.identification(),
                    header_len: at(ip) as u16,
                    next_at,
                    next: ext.next_header().0,
                });
                advance(ip, ext.next_header().0, 8);
                return true;
            }
            _ => return true,
        }
    }
    events.set(Event::Ipv6TruncExthdr); // more extension headers than any sender needs
    false
}

/// Where in the packet the walk stands: the payload is always its end. Fits in 16 bits: [`MAX_EXTENSIONS`] of at most
/// 2048 bytes each, behind 40.
const fn at(ip: &Ip<'_>) -> usize {
    ip.packet.len() - ip.payload.len()
}

fn advance(ip: &mut Ip<'_>, next: u8, by: usize) {
    ip.proto = next;
    ip.payload = ip.payload.get(by..).unwrap_or_default();
}

/// Options of a hop-by-hop or destination header (RFC 8200, 4.2).
fn v6_options(events: &mut Events, mut options: &[u8], hop_by_hop: bool) {
    let (mut padding, mut other) = (0, 0);
    while let Some((&kind, rest)) = options.split_first() {
        if kind == 0 {
            padding += 1;
            options = rest;
            continue;
        }
        let Some((&len, body)) = rest.split_first() else { return events.set(Event::Ipv6ExthdrInvalidOptlen) };
        let Some(next) = body.get(usize::from(len)..) else { return events.set(Event::Ipv6ExthdrInvalidOptlen) };
        let least = match kind {
            1 => {
                padding += 1;
                if len == 0 {
                    events.set(Event::Ipv6ZeroLenPadn);
                }
                0
            }
            5 => 2,     // router alert
            0xc2 => 4,  // jumbo payload
            0xc9 => 16, // home address
            _ => {
                events.set(if hop_by_hop { Event::Ipv6HopoptsUnknownOpt } else { Event::Ipv6DstoptsUnknownOpt });
                0
            }
        };
        if len < least {
            return events.set(Event::Ipv6ExthdrInvalidOptlen);
        }
        if kind != 1 && kind != 0xc2 {
            other += 1;
        }
        options = next;
    }
    if padding > 0 && other == 0 {
        events.set(if hop_by_hop { Event::Ipv6HopoptsOnlyPadding } else { Event::Ipv6DstoptsOnlyPadding });
    }
}

fn upper<'a>(d: &Decoder, p: &mut Packet<'a>, number: u8, data: &'a [u8]) {
    match number {
        proto::TCP => transport::tcp(p, data),
        proto::UDP => transport::udp(d, p, data),
        proto::ICMP => transport::icmpv4(p, data),
        proto::ICMPV6 => transport::icmpv6(p, data),
        proto::IGMP => igmp::message(p, data),
        proto::SCTP => sctp::packet(p, data),
        proto::ESP => transport::esp(p, data),
        _ => {
            p.transport = Transport::Other;
            p.payload = data;
            match number {
                proto::IPIP | proto::IPV6 => tunnel::ip_in_ip(p, number, data),
                proto::GRE => tunnel::gre(p, data),
                _ => {}
            }
        }
    }
    if d.checksums && p.checksum != Checksum::Bad {
        transport::verify(p, number, data);
    }
}
