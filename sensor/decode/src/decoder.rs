// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The decoder's choices, and what it is given: a frame, or a packet that was inside another or put together.
//!
//! Must never follow more headers than [`Decoder::max_layers`], those of the packets around a packet included: however
//! packets are nested, decoding one frame ends.

use lagewarte_base::time::Timestamp;

use crate::{
    event::{Event, Events},
    ip, link,
    packet::{Carries, Checksum, Inner, Links, Packet, PacketSource, Root, Transport, Tunnel, Vlans},
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

/// What a packet put together from fragments has from them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Origin {
    /// VLAN ids.
    pub vlans: Vlans,
    /// MAC addresses.
    pub ether: Option<crate::packet::Ether>,
    /// The packet on the wire.
    pub root: Option<Root>,
    /// Tunnels around it.
    pub depth: u8,
    /// Bytes before its IP header: the completing fragment's link header.
    pub link_len: usize,
    layers: u8,
}

impl Origin {
    /// Of the packet that completes `fragment`'s datagram.
    pub fn of(fragment: &Packet<'_>) -> Self {
        Self {
            vlans: fragment.vlans,
            ether: fragment.ether,
            root: fragment.root.or_else(|| fragment.as_root()),
            depth: fragment.depth,
            link_len: fragment.link_len,
            layers: fragment.layers,
        }
    }
}

/// Ports on which a tunnel over UDP is looked for, at most [`Ports::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    list: [u16; Ports::MAX],
    len: u8,
}

impl Ports {
    /// Most ports of one kind of tunnel.
    pub const MAX: usize = 4;
    /// Just this one.
    pub const fn one(port: u16) -> Self {
        Self { list: [port, 0, 0, 0], len: 1 }
    }
    /// Adds one; false where there is no room.
    pub fn push(&mut self, port: u16) -> bool {
        let Some(slot) = self.list.get_mut(usize::from(self.len)) else { return false };
        *slot = port;
        self.len += 1;
        true
    }
    /// Whether it is one of them.
    pub fn has(&self, port: u16) -> bool {
        self.list.iter().take(usize::from(self.len)).any(|&p| p == port)
    }
    /// The ports.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.list.into_iter().take(usize::from(self.len))
    }
}

/// Decodes frames. Holds the choices; has no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoder {
    /// Whether checksums are tested; false is Suricata's `-k none`.
    pub checksums: bool,
    /// `decoder.max-layers`: most headers of a frame, tunnels included. Threat: a frame that is nothing but headers.
    pub max_layers: u8,
    /// `decoder.teredo.ports`; none where it is not enabled.
    pub teredo: Ports,
    /// `decoder.vxlan.ports`; none where it is not enabled.
    pub vxlan: Ports,
    /// `decoder.geneve.ports`; none where it is not enabled.
    pub geneve: Ports,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            checksums: true,
            max_layers: 16,
            teredo: Ports::one(3544),
            vxlan: Ports::one(4789),
            geneve: Ports::one(6081),
        }
    }
}

impl Decoder {
    /// Decodes one frame as far as it goes; a packet that it carries is left to [`Self::inner`].
    pub fn decode<'a>(&self, f: RawFrame<'a>) -> Packet<'a> {
        let mut p = blank(f, Origin::default());
        link::frame(self, &mut p);
        p
    }

    /// Decodes a packet that was put together from fragments. The frame is the link header of the fragment that completed
    /// it, which is not looked at again, and the IP packet.
    pub fn rebuilt<'a>(&self, f: RawFrame<'a>, origin: Origin) -> Packet<'a> {
        let mut p = blank(f, origin);
        p.source = PacketSource::Defrag;
        let data = f.data.get(origin.link_len..).unwrap_or_default();
        match data.first().map(|b| b >> 4) {
            Some(6) => ip::v6(self, &mut p, data),
            _ => ip::v4(self, &mut p, data),
        }
        p
    }

    /// Decodes the packet that `outer` carries. None where it carries none, or where what looked like one (Teredo) is none.
    pub fn inner<'a>(&self, outer: &Packet<'a>) -> Option<Packet<'a>> {
        let Inner { tunnel, carries, data, vlan } = outer.inner?;
        let linktype = if carries == Carries::Ethernet { link::types::ETHERNET } else { link::types::RAW_DLT };
        let wire_len = data.len() as u32; // a frame's length fits: captures are bounded
        let frame = RawFrame { index: outer.index, time: outer.time, linktype, wire_len, data };
        let mut p = blank(
            frame,
            Origin {
                vlans: Vlans::default(),
                ether: None,
                root: outer.root.or_else(|| outer.as_root()),
                depth: outer.depth.saturating_add(1),
                link_len: 0,
                layers: outer.layers,
            },
        );
        p.source = PacketSource::Tunnel(tunnel);
        if let Some(id) = vlan {
            p.vlans.push(id);
        }
        match carries {
            Carries::Ipv4 => ip::v4(self, &mut p, data),
            Carries::Ipv6 => ip::v6(self, &mut p, data),
            Carries::Ethernet => link::ethernet(self, &mut p, data),
            Carries::Arp => link::ethertype(self, &mut p, link::ethertypes::ARP, data),
            Carries::Ppp => link::ppp(self, &mut p, data),
            Carries::Vlan => link::ethertype(self, &mut p, link::ethertypes::VLAN, data),
        }
        (tunnel != Tunnel::Teredo || p.ip.is_some()).then_some(p)
    }

    /// Counts one more header; false, and noted, where it is one too many.
    pub(crate) fn layer(&self, p: &mut Packet<'_>) -> bool {
        if p.layers >= self.max_layers {
            p.events.set(Event::TooManyLayers);
            return false;
        }
        p.layers += 1;
        true
    }
}

fn blank<'a>(f: RawFrame<'a>, o: Origin) -> Packet<'a> {
    Packet {
        index: f.index,
        time: f.time,
        linktype: f.linktype,
        frame: f.data,
        wire_len: f.wire_len,
        ether: o.ether,
        vlans: o.vlans,
        ip: None,
        transport: Transport::None,
        payload: &[],
        arp: None,
        inner: None,
        source: PacketSource::Wire,
        root: o.root,
        link_len: 0,
        depth: o.depth,
        layers: o.layers,
        links: Links::default(),
        checksum: Checksum::Untested,
        events: Events::default(),
    }
}
