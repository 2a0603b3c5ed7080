// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Packets in packets: GRE (RFC 2784, 2890, 1701, PPTP's of RFC 2637) with ERSPAN I to III, IP in IP, Teredo (RFC 4380),
//! VXLAN (RFC 7348), Geneve (RFC 8926). Finds what is carried; decoding it is [`Decoder::inner`]'s.
//!
//! Must never call a datagram a tunnel by its port alone: each header is checked, and what fails stays a datagram.

use lagewarte_base::reader::Reader;

use crate::{
    decoder::Decoder,
    event::Event,
    ip::proto,
    link::ethertypes,
    packet::{Carries, Inner, Packet, Transport, Tunnel},
};

/// IPv4 (4) or IPv6 (41) straight in IP.
pub(crate) fn ip_in_ip<'a>(p: &mut Packet<'a>, number: u8, data: &'a [u8]) {
    let outer_v6 = p.ip.is_some_and(|ip| ip.src.is_ipv6());
    let version = data.first().map_or(0, |b| b >> 4);
    let (tunnel, carries) = match (number == proto::IPIP, outer_v6) {
        (true, false) => (Tunnel::Ipv4InIpv4, Carries::Ipv4),
        (false, false) => (Tunnel::Ipv6InIpv4, Carries::Ipv6),
        (true, true) if data.len() < 20 => return p.events.set(Event::Ipv6Ipv4InIpv6TooSmall),
        (true, true) if version != 4 => return p.events.set(Event::Ipv6Ipv4InIpv6WrongVersion),
        (false, true) if data.len() < 40 => return p.events.set(Event::Ipv6Ipv6InIpv6TooSmall),
        (false, true) if version != 6 => return p.events.set(Event::Ipv6Ipv6InIpv6WrongVersion),
        (true, true) => (Tunnel::Ipv4InIpv6, Carries::Ipv4),
        (false, true) => (Tunnel::Ipv6InIpv6, Carries::Ipv6),
    };
    p.inner = Some(Inner { tunnel, carries, data, vlan: None });
}

/// GRE's flag bits, of its first byte.
mod flag {
    pub(super) const CHECKSUM: u8 = 0x80;
    pub(super) const ROUTING: u8 = 0x40;
    pub(super) const KEY: u8 = 0x20;
    pub(super) const SEQUENCE: u8 = 0x10;
    pub(super) const STRICT: u8 = 0x08;
    pub(super) const RECURSION: u8 = 0x07;
}

/// GRE, and ERSPAN in it.
pub(crate) fn gre<'a>(p: &mut Packet<'a>, data: &'a [u8]) {
    let mut r = Reader::new(data);
    let (Some([flags, more]), Some(kind)) = (r.array::<2>(), r.u16()) else {
        return p.events.set(Event::GrePktTooSmall);
    };
    let body = match more & 7 {
        0 => gre_v0(&mut r, flags, more),
        1 => gre_v1(&mut r, flags, more, kind),
        _ => Err(Event::GreWrongVersion),
    };
    if let Err(e) = body {
        return p.events.set(e);
    }
    let rest = r.rest();
    let (tunnel, carries) = match kind {
        ethertypes::IPV4 => (Tunnel::Gre, Carries::Ipv4),
        ethertypes::IPV6 => (Tunnel::Gre, Carries::Ipv6),
        ethertypes::PPP => (Tunnel::Gre, Carries::Ppp),
        ethertypes::BRIDGE => (Tunnel::Gre, Carries::Ethernet),
        ethertypes::VLAN => (Tunnel::Gre, Carries::Vlan),
        ethertypes::ARP => (Tunnel::Gre, Carries::Arp),
        // Type I has no header of its own, and GRE then no sequence number.
        ethertypes::ERSPAN if flags & flag::SEQUENCE == 0 => (Tunnel::Erspan, Carries::Ethernet),
        ethertypes::ERSPAN | ethertypes::ERSPAN3 => return erspan(p, r),
        _ => return,
    };
    p.inner = Some(Inner { tunnel, carries, data: rest, vlan: None });
}

/// RFC 2784 and 2890, and the routing of RFC 1701.
fn gre_v0(r: &mut Reader<'_>, flags: u8, more: u8) -> Result<(), Event> {
    if flags & flag::RECURSION != 0 {
        return Err(Event::GreVersion0Recur);
    }
    if more & 0xf8 != 0 {
        return Err(Event::GreVersion0Flags);
    }
    let mut len = 0;
    if flags & (flag::CHECKSUM | flag::ROUTING) != 0 {
        len += 4;
    }
    len += 4 * (usize::from(flags & flag::KEY != 0) + usize::from(flags & flag::SEQUENCE != 0));
    r.take(len).ok_or(Event::GreVersion0HdrTooBig)?;
    if flags & flag::ROUTING != 0 {
        // Each entry is of four bytes at least: the walk ends with the packet.
        loop {
            let head = r.array::<4>().ok_or(Event::GreVersion0MalformedSreHdr)?;
            if head == [0, 0, 0, 0] || (head[0] == 0 && head[1] == 0 && head[3] == 0) {
                break;
            }
            r.take(head[3].into()).ok_or(Event::GreVersion0MalformedSreHdr)?;
        }
    }
    Ok(())
}

/// PPTP's GRE (RFC 2637, 4.1).
fn gre_v1(r: &mut Reader<'_>, flags: u8, more: u8, kind: u16) -> Result<(), Event> {
    for (bit, event) in [
        (flag::CHECKSUM, Event::GreVersion1Chksum),
        (flag::ROUTING, Event::GreVersion1Route),
        (flag::STRICT, Event::GreVersion1Ssr),
        (flag::RECURSION, Event::GreVersion1Recur),
    ] {
        if flags & bit != 0 {
            return Err(event);
        }
    }
    if more & 0x78 != 0 {
        return Err(Event::GreVersion1Flags);
    }
    if kind != ethertypes::PPP {
        return Err(Event::GreVersion1WrongProtocol);
    }
    if flags & flag::KEY == 0 {
        return Err(Event::GreVersion1NoKey);
    }
    let acknowledged = more & 0x80 != 0;
    let len = 4 + 4 * (usize::from(flags & flag::SEQUENCE != 0) + usize::from(acknowledged));
    r.take(len).map(|_| ()).ok_or(Event::GreVersion1HdrTooBig)
}

/// ERSPAN II and III (draft-foschiano-erspan): 8 bytes, or 12 with 8 more where its last bit says so.
fn erspan<'a>(p: &mut Packet<'a>, mut r: Reader<'a>) {
    let Some(h) = r.array::<8>() else { return p.events.set(Event::ErspanHeaderTooSmall) };
    match h[0] >> 4 {
        1 => {}
        2 => {
            let Some(tail) = r.array::<4>() else { return p.events.set(Event::ErspanHeaderTooSmall) };
            if tail[3] & 1 == 1 && r.take(8).is_none() {
                return p.events.set(Event::ErspanHeaderTooSmall);
            }
        }
        _ => return p.events.set(Event::ErspanUnsupportedVersion),
    }
    let id = u16::from_be_bytes([h[0], h[1]]) & 0xfff;
    let vlan = (id > 0).then_some(id);
    p.inner = Some(Inner { tunnel: Tunnel::Erspan, carries: Carries::Ethernet, data: r.rest(), vlan });
}

/// Tunnels over UDP. The packet is a sound datagram already, whatever follows.
pub(crate) fn udp(d: &Decoder, p: &mut Packet<'_>) {
    let Transport::Udp(u) = p.transport else { return };
    if d.vxlan.has(u.dst_port) || d.vxlan.has(u.src_port) {
        vxlan(p);
    } else if d.geneve.has(u.dst_port) || d.geneve.has(u.src_port) {
        geneve(p);
    } else if d.teredo.has(u.dst_port) || d.teredo.has(u.src_port) {
        teredo(p);
    }
}

fn vxlan(p: &mut Packet<'_>) {
    let Some((h, data)) = p.payload.split_first_chunk::<8>() else { return };
    // The flag that says that there is an id; the reserved bits must be ignored (RFC 7348, 5).
    if h[0] & 0x08 == 0 || data.len() < 14 {
        return;
    }
    match u16::from_be_bytes([data[12], data[13]]) {
        ethertypes::ARP
        | ethertypes::IPV4
        | ethertypes::IPV6
        | ethertypes::VLAN
        | ethertypes::QINQ
        | ethertypes::QINQ_OLD
        | ethertypes::MPLS
        | ethertypes::MPLS_MULTICAST
        | ethertypes::NSH => {
            p.inner = Some(Inner { tunnel: Tunnel::Vxlan, carries: Carries::Ethernet, data, vlan: None });
        }
        _ => p.events.set(Event::VxlanUnknownPayloadType),
    }
}

fn geneve(p: &mut Packet<'_>) {
    let mut r = Reader::new(p.payload);
    let (Some(h), true) = (r.array::<8>(), p.payload.len() >= 8 + 14) else { return };
    if h[0] >> 6 != 0 || r.take(usize::from(h[0] & 0x3f) * 4).is_none() {
        return;
    }
    let carries = match u16::from_be_bytes([h[2], h[3]]) {
        ethertypes::BRIDGE => Carries::Ethernet,
        ethertypes::IPV4 => Carries::Ipv4,
        ethertypes::IPV6 => Carries::Ipv6,
        ethertypes::ARP => Carries::Arp,
        _ => return p.events.set(Event::GeneveUnknownPayloadType),
    };
    p.inner = Some(Inner { tunnel: Tunnel::Geneve, carries, data: r.rest(), vlan: None });
}

fn teredo(p: &mut Packet<'_>) {
    let mut r = Reader::new(p.payload);
    // An authentication header may come first, then where the sender was seen (RFC 4380, 5.1.1).
    if r.rest().starts_with(&[0, 1]) {
        let (Some(_), Some(id), Some(auth)) = (r.u16(), r.u8(), r.u8()) else { return };
        if r.take(usize::from(id) + usize::from(auth) + 9).is_none() {
            return;
        }
    }
    if r.rest().starts_with(&[0, 0]) && r.take(8).is_none() {
        return;
    }
    let data = r.rest();
    let Some(h) = data.first_chunk::<40>() else { return };
    // A bubble carries nothing but its header; anything else fills the datagram exactly.
    if h[0] >> 4 == 6 && usize::from(u16::from_be_bytes([h[4], h[5]])) == data.len() - 40 {
        p.inner = Some(Inner { tunnel: Tunnel::Teredo, carries: Carries::Ipv6, data, vlan: None });
    }
}
