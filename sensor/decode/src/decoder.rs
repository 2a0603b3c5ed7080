// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! From the frame to the IP layer: link headers and VLAN tags, then [`crate::ip`].
//!
//! Must never look past what the link header says. Link types: see [`supported`].

use etherparse::{Ethernet2HeaderSlice, SingleVlanHeaderSlice};
use lagewarte_base::{reader::Reader, time::Timestamp};

use crate::{
    event::{Event, Events},
    ip,
    packet::{Checksum, Ether, Packet, Transport, Tunnel, Vlans},
};

/// A frame as a capture source gives it.
#[derive(Clone, Copy, Debug)]
pub struct RawFrame<'a> {
    /// Number in the capture, from 1.
    pub index: u64,
    /// Time of capture.
    pub time: Timestamp,
    /// tcpdump.org LINKTYPE number.
    pub linktype: u16,
    /// Length on the wire.
    pub wire_len: u32,
    /// The bytes captured.
    pub data: &'a [u8],
}

/// tcpdump.org LINKTYPE numbers.
pub(crate) mod link {
    pub(crate) const NULL: u16 = 0;
    pub(crate) const ETHERNET: u16 = 1;
    /// DLT_RAW as Linux and most others number it; files should have 101.
    pub(crate) const RAW_DLT: u16 = 12;
    /// DLT_RAW as OpenBSD numbers it.
    pub(crate) const RAW_OPENBSD: u16 = 14;
    pub(crate) const RAW: u16 = 101;
    pub(crate) const LOOP: u16 = 108;
    pub(crate) const LINUX_SLL: u16 = 113;
    pub(crate) const IPV4: u16 = 228;
    pub(crate) const IPV6: u16 = 229;
    pub(crate) const LINUX_SLL2: u16 = 276;
}

pub(crate) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800;
    pub(crate) const ARP: u16 = 0x0806;
    pub(crate) const VLAN: u16 = 0x8100;
    pub(crate) const IPV6: u16 = 0x86dd;
    pub(crate) const MPLS: u16 = 0x8847;
    pub(crate) const MPLS_MULTICAST: u16 = 0x8848;
    pub(crate) const PPPOE_DISCOVERY: u16 = 0x8863;
    pub(crate) const PPPOE_SESSION: u16 = 0x8864;
    pub(crate) const QINQ: u16 = 0x88a8;
    pub(crate) const QINQ_OLD: u16 = 0x9100;
}

/// Whether frames of this LINKTYPE can be decoded.
pub const fn supported(linktype: u16) -> bool {
    linktype_name(linktype).is_some()
}

/// EVE's `packet_info.linktype_name` (libpcap's names); None where the LINKTYPE is not supported.
pub const fn linktype_name(linktype: u16) -> Option<&'static str> {
    Some(match linktype {
        link::NULL => "NULL",
        link::ETHERNET => "EN10MB",
        link::RAW_DLT | link::RAW_OPENBSD | link::RAW => "RAW",
        link::LOOP => "LOOP",
        link::LINUX_SLL => "LINUX_SLL",
        link::IPV4 => "IPv4",
        link::IPV6 => "IPv6",
        link::LINUX_SLL2 => "LINUX_SLL2",
        _ => return None,
    })
}

/// Decodes frames. Holds the choices; has no state.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// Whether checksums are tested; false is Suricata's `-k none`.
    pub checksums: bool,
}

impl Decoder {
    /// Decodes one frame as far as it goes.
    pub fn decode<'a>(&self, f: RawFrame<'a>) -> Packet<'a> {
        let mut p = Packet {
            index: f.index,
            time: f.time,
            linktype: f.linktype,
            frame: f.data,
            wire_len: f.wire_len,
            ether: None,
            vlans: Vlans::default(),
            ip: None,
            transport: Transport::None,
            payload: &[],
            tunnel: None,
            checksum: Checksum::Untested,
            events: Events::default(),
        };
        self.link(&mut p);
        p
    }

    fn link(&self, p: &mut Packet<'_>) {
        let data = p.frame;
        match p.linktype {
            link::ETHERNET => match Ethernet2HeaderSlice::from_slice(data) {
                Ok(h) => {
                    p.ether = Some(Ether { src: h.source(), dst: h.destination() });
                    self.ethertype(p, h.ether_type().0, data.get(14..).unwrap_or_default());
                }
                Err(_) => p.events.set(Event::EthernetPktTooSmall),
            },
            link::RAW | link::RAW_DLT | link::RAW_OPENBSD => match data.first().map(|b| b >> 4) {
                Some(4) => ip::v4(self, p, data),
                Some(6) => ip::v6(self, p, data),
                None => p.events.set(Event::Ipv4PktTooSmall),
                Some(_) => p.events.set(Event::IprawInvalidIpVersion),
            },
            link::IPV4 => ip::v4(self, p, data),
            link::IPV6 => ip::v6(self, p, data),
            // The family stands in the byte order of the machine that captured (NULL) or in network order (LOOP); the
            // values are small, so that reading both ways is safe.
            link::NULL | link::LOOP => match data.split_first_chunk::<4>() {
                Some((&family, rest)) => match u32::from_be_bytes(family).min(u32::from_le_bytes(family)) {
                    2 => ip::v4(self, p, rest),
                    10 | 24 | 28 | 30 => ip::v6(self, p, rest),
                    _ => p.events.set(Event::LtnullUnsupportedType),
                },
                None => p.events.set(Event::LtnullPktTooSmall),
            },
            link::LINUX_SLL => match data.split_first_chunk::<16>() {
                Some((h, rest)) => self.ethertype(p, u16::from_be_bytes([h[14], h[15]]), rest),
                None => p.events.set(Event::SllPktTooSmall),
            },
            link::LINUX_SLL2 => match data.split_first_chunk::<20>() {
                Some((h, rest)) => self.ethertype(p, u16::from_be_bytes([h[0], h[1]]), rest),
                None => p.events.set(Event::Sll2PktTooSmall),
            },
            // Sources refuse other link types before the first frame.
            _ => p.events.set(Event::EthernetUnknownEthertype),
        }
    }

    fn ethertype<'a>(&self, p: &mut Packet<'a>, first: u16, data: &'a [u8]) {
        let (mut kind, mut data) = (first, data);
        while matches!(kind, ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD) {
            let Ok(tag) = SingleVlanHeaderSlice::from_slice(data) else {
                return p.events.set(Event::VlanHeaderTooSmall);
            };
            if !p.vlans.push(tag.vlan_identifier().value()) {
                return p.events.set(Event::VlanTooManyLayers);
            }
            kind = tag.ether_type().0;
            data = data.get(4..).unwrap_or_default();
        }
        match kind {
            ethertype::IPV4 => ip::v4(self, p, data),
            ethertype::IPV6 => ip::v6(self, p, data),
            ethertype::ARP => {}
            ethertype::MPLS | ethertype::MPLS_MULTICAST => p.tunnel = Some(Tunnel::Mpls),
            ethertype::PPPOE_DISCOVERY | ethertype::PPPOE_SESSION => p.tunnel = Some(Tunnel::Pppoe),
            _ if p.vlans.outer().is_some() => p.events.set(Event::VlanUnknownType),
            _ => p.events.set(Event::EthernetUnknownEthertype),
        }
    }
}

/// Ethertype behind link header and tags, and what follows it; None where the link is damaged or has no ethertype.
/// The narrow way for [`crate::shard`]; `ip_version` stands in for the ethertype where the link has none.
pub(crate) fn network_layer(linktype: u16, data: &[u8]) -> Option<(u16, &[u8])> {
    let mut r = Reader::new(data);
    let mut kind = match linktype {
        link::ETHERNET => {
            r.take(12)?;
            r.u16()?
        }
        link::LINUX_SLL => {
            r.take(14)?;
            r.u16()?
        }
        link::LINUX_SLL2 => {
            let kind = r.u16()?;
            r.take(18)?;
            kind
        }
        link::NULL | link::LOOP => {
            r.take(4)?;
            by_version(r.rest())?
        }
        _ => by_version(data)?,
    };
    while matches!(kind, ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD) {
        r.take(2)?;
        kind = r.u16()?;
    }
    Some((kind, r.rest()))
}

fn by_version(data: &[u8]) -> Option<u16> {
    match data.first()? >> 4 {
        4 => Some(ethertype::IPV4),
        6 => Some(ethertype::IPV6),
        _ => None,
    }
}
