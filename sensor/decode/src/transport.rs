// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! TCP (RFC 9293), UDP (RFC 768), ICMP (RFC 792), ICMPv6 (RFC 4443), and of ESP what names the flow.
//!
//! Must never follow a quoted packet further than its ports.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{TcpHeaderSlice, UdpHeaderSlice, checksum::u64_16bit_word};
use lagewarte_base::reader::Reader;

use crate::{
    decoder::Decoder,
    event::{Event, Events},
    ip::proto,
    packet::{Checksum, Icmp, Packet, Quoted, Tcp, Transport, Udp},
    tunnel,
};

pub(crate) fn tcp<'a>(p: &mut Packet<'a>, data: &'a [u8]) {
    let h = match TcpHeaderSlice::from_slice(data) {
        Ok(h) => h,
        Err(_) => {
            let short = data.get(12).is_some_and(|b| b >> 4 < 5);
            return p.events.set(match data.len() {
                0..20 => Event::TcpPktTooSmall,
                _ if short => Event::TcpInvalidOptlen,
                _ => Event::TcpHlenTooSmall,
            });
        }
    };
    let (header, payload) = data.split_at(h.slice().len()); // the header lies in data: etherparse proved it
    if header.len() > 20 {
        tcp_options(&mut p.events, &header[20..]);
    }
    p.transport = Transport::Tcp(Tcp {
        src_port: h.source_port(),
        dst_port: h.destination_port(),
        seq: h.sequence_number(),
        ack: h.acknowledgment_number(),
        flags: header[13],
        window: h.window_size(),
        header,
    });
    p.payload = payload;
}

fn tcp_options(events: &mut Events, mut options: &[u8]) {
    if options.starts_with(&[1, 1, 8, 10]) && options.len() == 12 {
        return; // what nearly every segment carries: two NOPs and a timestamp
    }
    let mut seen = 0u16;
    while let Some((&kind, rest)) = options.split_first() {
        match kind {
            0 => return,
            1 => {
                options = rest;
                continue;
            }
            _ => {}
        }
        let Some(&len) = rest.first() else { return };
        let Some(next) = options.get(usize::from(len).max(2)..).filter(|_| len >= 2) else {
            return events.set(Event::TcpOptInvalidLen);
        };
        let right = match kind {
            2 => len == 4,
            3 => len == 3,
            4 => len == 2,
            5 => len == 2 || (len >= 10 && (len - 2) % 8 == 0), // a SACK without blocks is odd and harmless
            8 => len == 10,
            _ => true,
        };
        if !right {
            events.set(Event::TcpOptInvalidLen);
        } else if matches!(kind, 2..=5 | 8) {
            if seen & 1 << kind != 0 {
                events.set(Event::TcpOptDuplicate);
            }
            seen |= 1 << kind;
        }
        options = next;
    }
}

pub(crate) fn udp<'a>(d: &Decoder, p: &mut Packet<'a>, data: &'a [u8]) {
    let Ok(h) = UdpHeaderSlice::from_slice(data) else {
        return p.events.set(Event::UdpHlenTooSmall);
    };
    let len = usize::from(h.length());
    if len < 8 {
        return p.events.set(Event::UdpLenInvalid);
    }
    let Some(payload) = data.get(8..len) else {
        return p.events.set(Event::UdpPktTooSmall);
    };
    let (src_port, dst_port) = (h.source_port(), h.destination_port());
    p.transport = Transport::Udp(Udp { src_port, dst_port, header: h.slice() });
    p.payload = payload;
    tunnel::udp(d, p);
}

pub(crate) fn esp<'a>(p: &mut Packet<'a>, data: &'a [u8]) {
    let mut r = Reader::new(data);
    match (r.u32(), r.u32()) {
        (Some(spi), Some(_)) => {
            p.transport = Transport::Esp { spi };
            p.payload = r.rest();
        }
        _ => p.events.set(Event::EspPktTooSmall),
    }
}

fn icmp<'a>(data: &'a [u8]) -> Option<(Icmp<'a>, &'a [u8])> {
    let (header, payload) = data.split_at_checked(8)?;
    let rest = [header[4], header[5], header[6], header[7]];
    Some((Icmp { kind: header[0], code: header[1], rest, header, quoted: None }, payload))
}

/// Highest code of each ICMP type (IANA registry); None for a type that is not one.
fn icmpv4_codes(kind: u8) -> Option<u8> {
    Some(match kind {
        0 | 4 | 8 | 13..=18 => 0,
        3 => 15,
        5 => 3,
        9 => 16, // 0 and 16 are assigned; those between are let through
        10 => 0,
        11 => 1,
        12 => 2,
        _ => return None,
    })
}

pub(crate) fn icmpv4<'a>(p: &mut Packet<'a>, data: &'a [u8]) {
    let Some((mut i, payload)) = icmp(data) else { return p.events.set(Event::Icmpv4PktTooSmall) };
    match icmpv4_codes(i.kind) {
        None => p.events.set(Event::Icmpv4UnknownType),
        Some(most) if i.code > most => p.events.set(Event::Icmpv4UnknownCode),
        Some(_) if matches!(i.kind, 3 | 4 | 5 | 11 | 12) && !payload.is_empty() => match quoted_v4(payload) {
            Ok(q) => i.quoted = q,
            Err(e) => p.events.set(e),
        },
        Some(_) => {}
    }
    p.transport = Transport::Icmpv4(i);
    // A timestamp message has three timestamps in its header (RFC 792); the other types end theirs after eight bytes.
    p.payload = if matches!(i.kind, 13 | 14) { payload.get(12..).unwrap_or_default() } else { payload };
}

pub(crate) fn icmpv6<'a>(p: &mut Packet<'a>, data: &'a [u8]) {
    let Some((mut i, payload)) = icmp(data) else { return p.events.set(Event::Icmpv6PktTooSmall) };
    let most = match i.kind {
        1 => Some(8),
        3 => Some(1),
        4 => Some(10),
        2 | 128..=137 | 141..=153 => Some(0),
        138 => Some(255),
        139 | 140 => Some(2),
        100 | 101 | 200 | 201 => {
            p.events.set(Event::Icmpv6ExperimentationType);
            None
        }
        5..=99 | 102..=126 | 160..=199 | 202..=254 => {
            p.events.set(Event::Icmpv6UnassignedType);
            None
        }
        _ => {
            p.events.set(Event::Icmpv6UnknownType);
            None
        }
    };
    if most.is_some_and(|m| i.code > m) {
        p.events.set(Event::Icmpv6UnknownCode);
    } else if matches!(i.kind, 1..=4) && !payload.is_empty() {
        match quoted_v6(payload) {
            Ok(q) => i.quoted = q,
            Err(e) => p.events.set(e),
        }
    }
    if matches!(i.kind, 130..=132) && p.ip.is_some_and(|ip| ip.ttl != 1) {
        p.events.set(Event::Icmpv6MldMessageWithInvalidHl); // RFC 2710, 3: hop limit 1
    }
    p.transport = Transport::Icmpv6(i);
    p.payload = payload;
}

/// What an ICMPv4 "unreachable" error quotes; None where [`icmpv4`] would not take it for one.
pub(crate) fn unreachable_v4(data: &[u8]) -> Option<Quoted> {
    let (i, payload) = icmp(data)?;
    let sound = i.kind == 3 && icmpv4_codes(3).is_some_and(|most| i.code <= most);
    if sound { quoted_v4(payload).ok().flatten() } else { None }
}

fn quoted_v4(data: &[u8]) -> Result<Option<Quoted>, Event> {
    let Some(h) = data.first_chunk::<20>() else { return Err(Event::Icmpv4Ipv4TruncPkt) };
    if h[0] >> 4 != 4 {
        return Err(Event::Icmpv4Ipv4UnknownVer);
    }
    let src = IpAddr::V4(Ipv4Addr::new(h[12], h[13], h[14], h[15]));
    let dst = IpAddr::V4(Ipv4Addr::new(h[16], h[17], h[18], h[19]));
    let hlen = usize::from(h[0] & 15) * 4;
    Ok(quoted(src, dst, h[9], data.get(hlen.max(20)..).unwrap_or_default()))
}

pub(crate) fn quoted_v6(data: &[u8]) -> Result<Option<Quoted>, Event> {
    let mut r = Reader::new(data);
    let (Some(h), Some(src), Some(dst)) = (r.array::<8>(), r.array::<16>(), r.array::<16>()) else {
        return Err(Event::Icmpv6Ipv6TruncPkt);
    };
    if h[0] >> 4 != 6 {
        return Err(Event::Icmpv6Ipv6UnknownVersion);
    }
    Ok(quoted(Ipv6Addr::from(src).into(), Ipv6Addr::from(dst).into(), h[6], r.rest()))
}

fn quoted(src: IpAddr, dst: IpAddr, number: u8, data: &[u8]) -> Option<Quoted> {
    let (src_port, dst_port) = match number {
        proto::TCP | proto::UDP | proto::SCTP => {
            let mut r = Reader::new(data);
            (r.u16()?, r.u16()?)
        }
        _ => (0, 0),
    };
    Some(Quoted { src, dst, proto: number, src_port, dst_port })
}

/// Tests the checksum of a whole transport; leaves `Untested` where there is none.
pub(crate) fn verify(p: &mut Packet<'_>, number: u8, data: &[u8]) {
    if let Some(good) = checksum(p, number, data) {
        p.checksum = if good { Checksum::Good } else { Checksum::Bad };
    }
}

/// Whether the checksum of a whole transport holds; None where there is none.
pub(crate) fn checksum(p: &Packet<'_>, number: u8, data: &[u8]) -> Option<bool> {
    let ip = p.ip?;
    let (start, data) = match p.transport {
        Transport::Tcp(_) => (pseudo_header(ip.src, ip.dst, number, data.len()), data),
        Transport::Udp(u) => {
            if u.header.get(6..8) == Some(&[0, 0]) {
                return None; // the sender made none (RFC 768)
            }
            let datagram = data.get(..8 + p.payload.len())?;
            (pseudo_header(ip.src, ip.dst, number, datagram.len()), datagram)
        }
        Transport::Icmpv4(_) | Transport::Igmp(_) => (0, data),
        Transport::Icmpv6(_) => (pseudo_header(ip.src, ip.dst, number, data.len()), data),
        _ => return None,
    };
    Some(u64_16bit_word::ones_complement(u64_16bit_word::add_slice(start, data)) == 0)
}

fn pseudo_header(src: IpAddr, dst: IpAddr, number: u8, len: usize) -> u64 {
    use u64_16bit_word::{add_2bytes, add_4bytes, add_slice};
    // A transport's length fits in 32 bits: frames are bounded by the capture.
    let sum = add_4bytes(add_2bytes(0, [0, number]), (len as u32).to_be_bytes());
    match (src, dst) {
        (IpAddr::V4(a), IpAddr::V4(b)) => add_4bytes(add_4bytes(sum, a.octets()), b.octets()),
        (IpAddr::V6(a), IpAddr::V6(b)) => add_slice(add_slice(sum, &a.octets()), &b.octets()),
        _ => sum, // cannot be: both come from one header
    }
}
