// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! From the frame to the IP layer: Ethernet, VLAN tags, PPP, PPPoE, CHDLC, MPLS, NSH and the link types of captures.
//! All of these are the same packet still; what makes a packet of its own is in [`crate::tunnel`].
//!
//! Must never look past what the link header says. Link types: see [`supported`]; limits: [`MAX_LABELS`] and
//! [`Decoder::max_layers`].

use etherparse::{Ethernet2HeaderSlice, SingleVlanHeaderSlice};
use lagewarte_base::reader::Reader;

use crate::{
    arp,
    decoder::Decoder,
    event::Event,
    ip,
    packet::{Ether, Link, Packet},
};

/// Most MPLS labels walked. Threat: a frame that is nothing but labels.
pub const MAX_LABELS: usize = 16;

/// tcpdump.org LINKTYPE numbers.
pub(crate) mod types {
    pub(crate) const NULL: u16 = 0;
    pub(crate) const ETHERNET: u16 = 1;
    pub(crate) const PPP: u16 = 9;
    /// DLT_RAW as Linux and most others number it; files should have 101.
    pub(crate) const RAW_DLT: u16 = 12;
    /// DLT_RAW as OpenBSD numbers it.
    pub(crate) const RAW_OPENBSD: u16 = 14;
    pub(crate) const PPP_HDLC: u16 = 50;
    pub(crate) const PPP_ETHER: u16 = 51;
    pub(crate) const RAW: u16 = 101;
    pub(crate) const CHDLC: u16 = 104;
    pub(crate) const LOOP: u16 = 108;
    pub(crate) const LINUX_SLL: u16 = 113;
    pub(crate) const IPV4: u16 = 228;
    pub(crate) const IPV6: u16 = 229;
    pub(crate) const LINUX_SLL2: u16 = 276;
}

/// Ethertypes (IEEE registry; DCE and VN-tag as their vendors chose them).
pub(crate) mod ethertypes {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    pub(crate) const BRIDGE: u16 = 0x6558;
    pub(crate) const VLAN: u16 = 0x8100;
    pub(crate) const IPV6: u16 = 0x86dd;
    pub(crate) const PPP: u16 = 0x880b;
    pub(crate) const MPLS: u16 = 0x8847;
    pub(crate) const MPLS_MULTICAST: u16 = 0x8848;
    pub(crate) const PPPOE_DISCOVERY: u16 = 0x8863;
    pub(crate) const PPPOE_SESSION: u16 = 0x8864;
    pub(crate) const QINQ: u16 = 0x88a8;
    pub(crate) const ERSPAN: u16 = 0x88be;
    pub(crate) const ERSPAN3: u16 = 0x22eb;
    pub(crate) const PROVIDER_BACKBONE: u16 = 0x88e7;
    pub(crate) const DCE: u16 = 0x8903;
    pub(crate) const VNTAG: u16 = 0x8926;
    pub(crate) const NSH: u16 = 0x894f;
    pub(crate) const QINQ_OLD: u16 = 0x9100;
}

/// Whether frames of this LINKTYPE can be decoded.
pub const fn supported(linktype: u16) -> bool {
    linktype_name(linktype).is_some()
}

/// EVE's `packet_info.linktype_name` (libpcap's names); None where the LINKTYPE is not supported.
pub const fn linktype_name(linktype: u16) -> Option<&'static str> {
    Some(match linktype {
        types::NULL => "NULL",
        types::ETHERNET => "EN10MB",
        types::PPP => "PPP",
        types::RAW_DLT | types::RAW_OPENBSD | types::RAW => "RAW",
        types::PPP_HDLC => "PPP_SERIAL",
        types::PPP_ETHER => "PPP_ETHER",
        types::CHDLC => "C_HDLC",
        types::LOOP => "LOOP",
        types::LINUX_SLL => "LINUX_SLL",
        types::IPV4 => "IPv4",
        types::IPV6 => "IPv6",
        types::LINUX_SLL2 => "LINUX_SLL2",
        _ => return None,
    })
}

/// Decodes the frame of a packet by its link type.
pub(crate) fn frame(d: &Decoder, p: &mut Packet<'_>) {
    let data = p.frame;
    match p.linktype {
        types::ETHERNET => ethernet(d, p, data),
        types::RAW | types::RAW_DLT | types::RAW_OPENBSD => {
            p.links.set(Link::Raw);
            match data.first().map(|b| b >> 4) {
                Some(4) => ip::v4(d, p, data),
                Some(6) => ip::v6(d, p, data),
                None => p.events.set(Event::Ipv4PktTooSmall),
                Some(_) => p.events.set(Event::IprawInvalidIpVersion),
            }
        }
        types::IPV4 => ip::v4(d, p, data),
        types::IPV6 => ip::v6(d, p, data),
        // The family stands in the byte order of the machine that captured (NULL) or in network order (LOOP); the
        // values are small, so that reading both ways is safe.
        types::NULL | types::LOOP => {
            p.links.set(Link::Null);
            match data.split_first_chunk::<4>() {
                Some((&family, rest)) => match u32::from_be_bytes(family).min(u32::from_le_bytes(family)) {
                    2 => ip::v4(d, p, rest),
                    10 | 24 | 28 | 30 => ip::v6(d, p, rest),
                    _ => p.events.set(Event::LtnullUnsupportedType),
                },
                None => p.events.set(Event::LtnullPktTooSmall),
            }
        }
        types::PPP | types::PPP_HDLC => ppp(d, p, data),
        types::PPP_ETHER => pppoe_session(d, p, data),
        types::CHDLC => {
            p.links.set(Link::Chdlc);
            match data.split_first_chunk::<4>() {
                Some((h, rest)) => ethertype(d, p, u16::from_be_bytes([h[2], h[3]]), rest),
                None => p.events.set(Event::ChdlcPktTooSmall),
            }
        }
        types::LINUX_SLL => {
            p.links.set(Link::Sll);
            match data.split_first_chunk::<16>() {
                Some((h, rest)) => ethertype(d, p, u16::from_be_bytes([h[14], h[15]]), rest),
                None => p.events.set(Event::SllPktTooSmall),
            }
        }
        types::LINUX_SLL2 => {
            p.links.set(Link::Sll2);
            match data.split_first_chunk::<20>() {
                Some((h, rest)) => ethertype(d, p, u16::from_be_bytes([h[0], h[1]]), rest),
                None => p.events.set(Event::Sll2PktTooSmall),
            }
        }
        // Sources refuse other link types before the first frame.
        _ => p.events.set(Event::EthernetUnknownEthertype),
    }
}

pub(crate) fn ethernet<'a>(d: &Decoder, p: &mut Packet<'a>, data: &'a [u8]) {
    match Ethernet2HeaderSlice::from_slice(data) {
        Ok(h) => {
            p.ether.get_or_insert(Ether { src: h.source(), dst: h.destination() });
            ethertype(d, p, h.ether_type().0, data.get(14..).unwrap_or_default());
        }
        Err(_) => p.events.set(Event::EthernetPktTooSmall),
    }
}

/// What follows an ethertype. Calls itself through the headers below it, each of which counts as a layer.
pub(crate) fn ethertype<'a>(d: &Decoder, p: &mut Packet<'a>, first: u16, data: &'a [u8]) {
    if !d.layer(p) {
        return;
    }
    let (mut kind, mut data) = (first, data);
    while matches!(kind, ethertypes::VLAN | ethertypes::QINQ | ethertypes::QINQ_OLD) {
        let Ok(tag) = SingleVlanHeaderSlice::from_slice(data) else {
            return p.events.set(Event::VlanHeaderTooSmall);
        };
        if !p.vlans.push(tag.vlan_identifier().value()) {
            return p.events.set(Event::VlanTooManyLayers);
        }
        if !d.layer(p) {
            return;
        }
        kind = tag.ether_type().0;
        data = data.get(4..).unwrap_or_default();
    }
    match kind {
        ethertypes::IPV4 => ip::v4(d, p, data),
        ethertypes::IPV6 => ip::v6(d, p, data),
        ethertypes::ARP => {
            p.links.set(Link::Arp);
            arp::message(p, data);
        }
        ethertypes::MPLS | ethertypes::MPLS_MULTICAST => mpls(d, p, data),
        ethertypes::PPPOE_DISCOVERY => pppoe_discovery(p, data),
        ethertypes::PPPOE_SESSION => pppoe_session(d, p, data),
        ethertypes::NSH => nsh(d, p, data),
        ethertypes::VNTAG => {
            p.links.set(Link::Vntag);
            match data.split_first_chunk::<6>() {
                Some((h, rest)) => match u16::from_be_bytes([h[4], h[5]]) {
                    kind @ (ethertypes::IPV4
                    | ethertypes::IPV6
                    | ethertypes::ARP
                    | ethertypes::PPPOE_DISCOVERY
                    | ethertypes::PPPOE_SESSION
                    | ethertypes::VLAN
                    | ethertypes::QINQ
                    | ethertypes::QINQ_OLD) => ethertype(d, p, kind, rest),
                    _ => p.events.set(Event::VntagUnknownType),
                },
                None => p.events.set(Event::VntagHeaderTooSmall),
            }
        }
        ethertypes::PROVIDER_BACKBONE => {
            // Priority and service instance, then the customer's Ethernet header.
            p.links.set(Link::Ieee8021ah);
            match data.split_first_chunk::<18>() {
                Some((h, rest)) => ethertype(d, p, u16::from_be_bytes([h[16], h[17]]), rest),
                None => p.events.set(Event::Ieee8021ahHeaderTooSmall),
            }
        }
        ethertypes::DCE => {
            p.links.set(Link::Dce);
            match data.get(2..).filter(|rest| rest.len() >= 14) {
                Some(rest) => ethernet(d, p, rest),
                None => p.events.set(Event::DcePktTooSmall),
            }
        }
        _ if p.vlans.outer().is_some() => p.events.set(Event::VlanUnknownType),
        _ => p.events.set(Event::EthernetUnknownEthertype),
    }
}

/// MPLS (RFC 3032) to the bottom of its stack. What follows names itself by its first four bits.
fn mpls<'a>(d: &Decoder, p: &mut Packet<'a>, data: &'a [u8]) {
    p.links.set(Link::Mpls);
    if !d.layer(p) {
        return;
    }
    let mut r = Reader::new(data);
    for _ in 0..MAX_LABELS {
        let Some(entry) = r.u32() else { return p.events.set(Event::MplsHeaderTooSmall) };
        if entry & 0x100 == 0 {
            continue; // not the bottom of the stack
        }
        let rest = r.rest();
        match entry >> 12 {
            0 => return ip::v4(d, p, rest),
            1 => return p.events.set(Event::MplsBadLabelRouterAlert),
            2 => return ip::v6(d, p, rest),
            3 => return p.events.set(Event::MplsBadLabelImplicitNull),
            4..16 => return p.events.set(Event::MplsBadLabelReserved),
            _ => {}
        }
        return match rest.first().map(|b| b >> 4) {
            None => p.events.set(Event::MplsPktTooSmall),
            Some(4) => ip::v4(d, p, rest),
            Some(6) => ip::v6(d, p, rest),
            Some(0) => match rest.get(4..) {
                Some(frame) => ethernet(d, p, frame), // behind the control word of a pseudowire (RFC 4448)
                None => p.events.set(Event::MplsPktTooSmall),
            },
            Some(_) => p.events.set(Event::MplsUnknownPayloadType),
        };
    }
    p.events.set(Event::TooManyLayers);
}

/// PPPoE (RFC 2516) while a session is being found: nothing is carried but tags.
fn pppoe_discovery(p: &mut Packet<'_>, data: &[u8]) {
    p.links.set(Link::Pppoe);
    let mut r = Reader::new(data);
    let (Some(_), Some(code), Some(_), Some(len)) = (r.u8(), r.u8(), r.u16(), r.u16()) else {
        return p.events.set(Event::PppoePktTooSmall);
    };
    if !matches!(code, 0x09 | 0x07 | 0x19 | 0x65 | 0xa7) {
        return p.events.set(Event::PppoeWrongCode);
    }
    let Some(mut tags) = r.sub(len.into()) else { return p.events.set(Event::PppoeMalformedTags) };
    while !tags.is_empty() {
        let (Some(_), Some(n)) = (tags.u16(), tags.u16()) else { return p.events.set(Event::PppoeMalformedTags) };
        if tags.take(n.into()).is_none() {
            return p.events.set(Event::PppoeMalformedTags);
        }
    }
}

fn pppoe_session<'a>(d: &Decoder, p: &mut Packet<'a>, data: &'a [u8]) {
    p.links.set(Link::Pppoe);
    if !d.layer(p) {
        return;
    }
    match data.get(6..).filter(|rest| rest.len() >= 2) {
        Some(rest) => ppp(d, p, rest),
        None => p.events.set(Event::PppoePktTooSmall),
    }
}

/// PPP (RFC 1661) with or without HDLC's address and control (RFC 1662), and with a compressed protocol field.
pub(crate) fn ppp<'a>(d: &Decoder, p: &mut Packet<'a>, data: &'a [u8]) {
    p.links.set(Link::Ppp);
    if !d.layer(p) {
        return;
    }
    let mut r = Reader::new(data.strip_prefix(&[0xff, 0x03]).unwrap_or(data));
    let protocol = match r.rest().first() {
        Some(b) if b & 1 == 1 => r.u8().map(u16::from),
        _ => r.u16(),
    };
    let Some(protocol) = protocol else { return p.events.set(Event::PppPktTooSmall) };
    let rest = r.rest();
    match protocol {
        0x21 if rest.len() < 20 => p.events.set(Event::PppIp4PktTooSmall),
        0x57 if rest.len() < 40 => p.events.set(Event::PppIp6PktTooSmall),
        0x2f if rest.len() < 20 => p.events.set(Event::PppVjuPktTooSmall),
        0x21 => ip::v4(d, p, rest),
        0x57 => ip::v6(d, p, rest),
        // Van Jacobson's uncompressed TCP (RFC 1144) stands as an IPv4 packet but for its protocol field, which holds
        // a slot's number: of the addresses and lengths all is there, of the protocol nothing.
        0x2f => p.events.set(Event::PppUnsupProto),
        // Control protocols and network protocols of the registry (IANA, PPP DLL Protocol Numbers).
        0x23..=0x4f
        | 0x51..=0x55
        | 0x59
        | 0x5b
        | 0xfb
        | 0xfd
        | 0x201
        | 0x203
        | 0x281
        | 0x283
        | 0x8001..=0x80ff
        | 0xc021
        | 0xc023
        | 0xc025
        | 0xc027
        | 0xc223
        | 0xc227 => p.events.set(Event::PppUnsupProto),
        _ => p.events.set(Event::PppWrongType),
    }
}

/// Network service header (RFC 8300).
fn nsh<'a>(d: &Decoder, p: &mut Packet<'a>, data: &'a [u8]) {
    p.links.set(Link::Nsh);
    if !d.layer(p) {
        return;
    }
    let Some(h) = data.first_chunk::<8>() else { return p.events.set(Event::NshHeaderTooSmall) };
    let (version, len, metadata, next) = (h[0] >> 6, usize::from(h[1] & 0x3f) * 4, h[2] & 0x0f, h[3]);
    if version != 0 {
        return p.events.set(Event::NshUnsupportedVersion);
    }
    let rest = match data.get(len..) {
        Some(rest) if len >= 8 && (metadata != 1 || len == 24) => rest,
        _ => return p.events.set(Event::NshBadHeaderLength),
    };
    match metadata {
        0 => return p.events.set(Event::NshReservedType),
        1 | 2 => {}
        _ => return p.events.set(Event::NshUnsupportedType),
    }
    match next {
        1 => ip::v4(d, p, rest),
        2 => ip::v6(d, p, rest),
        3 => ethernet(d, p, rest),
        _ => p.events.set(Event::NshUnknownPayload),
    }
}

/// Ethertype behind link header and tags, and what follows it; None where the link is damaged or has no ethertype.
/// The narrow way for [`crate::shard`]; the IP version stands in for the ethertype where the link has none.
pub(crate) fn network_layer(linktype: u16, data: &[u8]) -> Option<(u16, &[u8])> {
    let mut r = Reader::new(data);
    let mut kind = match linktype {
        types::ETHERNET => {
            r.take(12)?;
            r.u16()?
        }
        types::LINUX_SLL => {
            r.take(14)?;
            r.u16()?
        }
        types::LINUX_SLL2 => {
            let kind = r.u16()?;
            r.take(18)?;
            kind
        }
        types::NULL | types::LOOP => {
            r.take(4)?;
            by_version(r.rest())?
        }
        types::CHDLC => {
            r.take(2)?;
            r.u16()?
        }
        types::PPP | types::PPP_HDLC => ethertypes::PPP,
        types::PPP_ETHER => ethertypes::PPPOE_SESSION,
        _ => by_version(data)?,
    };
    while matches!(kind, ethertypes::VLAN | ethertypes::QINQ | ethertypes::QINQ_OLD) {
        r.take(2)?;
        kind = r.u16()?;
    }
    Some((kind, r.rest()))
}

fn by_version(data: &[u8]) -> Option<u16> {
    match data.first()? >> 4 {
        4 => Some(ethertypes::IPV4),
        6 => Some(ethertypes::IPV6),
        _ => None,
    }
}
