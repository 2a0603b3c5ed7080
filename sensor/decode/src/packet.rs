// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A decoded packet: borrowed views into the frame, cheap to make, freely readable.
//!
//! Must never own packet bytes and never be partly checked: what a field shows has been proven to lie in the frame.

use std::net::IpAddr;

use lagewarte_base::time::Timestamp;

use crate::{arp::Arp, event::Events, igmp::Igmp, sctp::Sctp};

/// Most VLAN tags followed (Suricata's limit too). Threat: a frame that is nothing but tags.
pub const MAX_VLANS: usize = 3;

/// One packet with what could be understood of it.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// Number of the packet in the capture, from 1: EVE `pcap_cnt`.
    pub index: u64,
    /// Time of capture.
    pub time: Timestamp,
    /// The tcpdump.org LINKTYPE number of the frame.
    pub linktype: u16,
    /// The frame as captured.
    pub frame: &'a [u8],
    /// Length of the frame on the wire; larger than `frame` where the capture cut it.
    pub wire_len: u32,
    /// MAC addresses, where the link has them.
    pub ether: Option<Ether>,
    /// VLAN ids, outermost first.
    pub vlans: Vlans,
    /// The IP layer; None where there is none or it is damaged.
    pub ip: Option<Ip<'a>>,
    /// The layer above IP; None where there is none, it is damaged, or the packet is a fragment.
    pub transport: Transport<'a>,
    /// What the transport carries; for an unknown transport what IP carries; else empty.
    pub payload: &'a [u8],
    /// The ARP message, where it is one.
    pub arp: Option<Arp>,
    /// A packet that this one carries: [`crate::Decoder::inner`] decodes it.
    pub inner: Option<Inner<'a>>,
    /// How the packet came to be.
    pub source: PacketSource,
    /// The packet on the wire, where this one was carried by it or put together from fragments.
    pub root: Option<Root>,
    /// Bytes of the frame before the IP header; 0 where there is none.
    pub link_len: usize,
    /// How many tunnels it lies in: EVE `tunnel.depth`.
    pub depth: u8,
    /// Headers understood so far, those of the packets around it included.
    pub(crate) layers: u8,
    /// Link headers on the way to IP.
    pub links: Links,
    /// Result of the checksum test.
    pub checksum: Checksum,
    /// Everything that is odd or wrong with it.
    pub events: Events,
}

/// MAC addresses of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ether {
    /// Source.
    pub src: [u8; 6],
    /// Destination.
    pub dst: [u8; 6],
}

/// VLAN ids of a frame, at most [`MAX_VLANS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vlans {
    ids: [u16; MAX_VLANS],
    len: u8,
}

impl Vlans {
    /// The ids, outermost first.
    pub fn as_slice(&self) -> &[u16] {
        &self.ids[..usize::from(self.len)] // invariant: len <= MAX_VLANS, held by push
    }
    /// The outermost id.
    pub fn outer(&self) -> Option<u16> {
        self.as_slice().first().copied()
    }
    /// Adds an inner id; false where there is no room.
    pub fn push(&mut self, id: u16) -> bool {
        match self.ids.get_mut(usize::from(self.len)) {
            Some(slot) => {
                *slot = id;
                self.len += 1;
                true
            }
            None => false,
        }
    }
}

/// The IP layer.
#[derive(Clone, Copy, Debug)]
pub struct Ip<'a> {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Protocol of what is carried, behind IPv6 extension headers.
    pub proto: u8,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// The header: IPv4 with options, or the fixed 40 bytes of IPv6.
    pub header: &'a [u8],
    /// The whole packet from the header on, cut to IP's own length (no link padding).
    pub packet: &'a [u8],
    /// What IP carries; behind the IPv6 extension headers understood.
    pub payload: &'a [u8],
    /// Set where the packet is a part of a larger one.
    pub fragment: Option<Fragment>,
}

/// A fragment's place in its packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Offset in bytes.
    pub offset: u16,
    /// Whether more follow.
    pub more: bool,
    /// Identification.
    pub id: u32,
    /// Bytes of [`Ip::packet`] that stand before every fragment: the IPv4 header, or all of IPv6 before the fragment header.
    pub header_len: u16,
    /// Where in them IPv6 says that a fragment header follows; for IPv4 where the protocol stands.
    pub next_at: u16,
    /// The protocol behind the fragment header.
    pub next: u8,
}

/// The layer above IP.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// None that could be read.
    None,
    /// TCP.
    Tcp(Tcp<'a>),
    /// UDP.
    Udp(Udp<'a>),
    /// ICMP over IPv4.
    Icmpv4(Icmp<'a>),
    /// ICMP over IPv6.
    Icmpv6(Icmp<'a>),
    /// IGMP.
    Igmp(Igmp<'a>),
    /// SCTP.
    Sctp(Sctp<'a>),
    /// ESP: the security parameter index.
    Esp {
        /// SPI.
        spi: u32,
    },
    /// Another protocol ([`Ip::proto`]).
    Other,
}

/// A TCP header.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// The flags byte: CWR ECE URG ACK PSH RST SYN FIN from the top.
    pub flags: u8,
    /// Window, not scaled.
    pub window: u16,
    /// The header with options.
    pub header: &'a [u8],
}

/// A UDP header.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// The header.
    pub header: &'a [u8],
}

/// An ICMP or ICMPv6 header.
#[derive(Clone, Copy, Debug)]
pub struct Icmp<'a> {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Bytes 5 to 8: identifier and sequence number of an echo.
    pub rest: [u8; 4],
    /// The first eight bytes.
    pub header: &'a [u8],
    /// The packet that an error message quotes.
    pub quoted: Option<Quoted>,
}

/// Whose packet an ICMP error quotes, as that packet was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Source of the quoted packet.
    pub src: IpAddr,
    /// Destination of the quoted packet.
    pub dst: IpAddr,
    /// Its protocol.
    pub proto: u8,
    /// Its source port; 0 where it has none.
    pub src_port: u16,
    /// Its destination port; 0 where it has none.
    pub dst_port: u16,
}

/// A packet inside a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner<'a> {
    /// What it is carried by.
    pub tunnel: Tunnel,
    /// What stands first in `data`.
    pub carries: Carries,
    /// The carried packet.
    pub data: &'a [u8],
    /// VLAN id that the tunnel's header (ERSPAN) gives it.
    pub vlan: Option<u16>,
}

/// What carries a packet in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of protocols")]
pub enum Tunnel {
    Gre,
    Erspan,
    Ipv4InIpv4,
    Ipv6InIpv4,
    Ipv4InIpv6,
    Ipv6InIpv6,
    Teredo,
    Vxlan,
    Geneve,
}

/// What a carried packet begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of protocols")]
pub enum Carries {
    Ipv4,
    Ipv6,
    Ethernet,
    Arp,
    Ppp,
    /// A VLAN tag and what follows it.
    Vlan,
}

/// How a packet came to be: EVE `pkt_src`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketSource {
    /// Captured.
    #[default]
    Wire,
    /// Put together from fragments.
    Defrag,
    /// Taken out of a tunnel.
    Tunnel(Tunnel),
    /// Never sent: the end of a flow.
    FlowEnd,
}

impl PacketSource {
    /// EVE's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire/pcap",
            Self::Defrag => "defrag",
            Self::FlowEnd => "stream (flow timeout)",
            Self::Tunnel(Tunnel::Gre | Tunnel::Erspan) => "gre tunnel",
            Self::Tunnel(Tunnel::Ipv4InIpv4 | Tunnel::Ipv6InIpv4) => "ipv4 tunnel",
            Self::Tunnel(Tunnel::Ipv4InIpv6 | Tunnel::Ipv6InIpv6) => "ipv6 tunnel",
            Self::Tunnel(Tunnel::Teredo) => "teredo tunnel",
            Self::Tunnel(Tunnel::Vxlan) => "vxlan encapsulation",
            Self::Tunnel(Tunnel::Geneve) => "geneve encapsulation",
        }
    }
}

/// What events tell of the packet on the wire: EVE `tunnel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Ports; 0 where there are none.
    pub ports: (u16, u16),
    /// IP protocol.
    pub proto: u8,
}

/// Link headers of a packet, for the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links(u16);

/// One link header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of protocols")]
pub enum Link {
    Raw,
    Null,
    Sll,
    Sll2,
    Ppp,
    Pppoe,
    Chdlc,
    Mpls,
    Nsh,
    Vntag,
    Ieee8021ah,
    Dce,
    Arp,
}

impl Links {
    pub(crate) const fn set(&mut self, l: Link) {
        self.0 |= 1 << l as u16;
    }
    /// Whether there was one of that kind.
    pub const fn has(self, l: Link) -> bool {
        self.0 >> (l as u16) & 1 == 1
    }
}

/// What the checksums say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Checksum {
    /// Not tested: switched off (`-k none`), cut by the capture, or nothing to test.
    #[default]
    Untested,
    /// All tested ones hold.
    Good,
    /// One does not: a receiver would have dropped the packet.
    Bad,
}

/// TCP flag bits as they stand in [`Tcp::flags`].
#[expect(missing_docs, reason = "names of RFC 9293, section 3.1")]
pub mod flag {
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const PSH: u8 = 8;
    pub const ACK: u8 = 16;
    pub const URG: u8 = 32;
    pub const ECE: u8 = 64;
    pub const CWR: u8 = 128;
}

impl Packet<'_> {
    /// A packet that was never sent: the moment at which a flow ends, with the flow's ends as seen from one side.
    pub fn at_end(index: u64, time: Timestamp, from: (IpAddr, u16), to: (IpAddr, u16), proto: u8) -> Packet<'static> {
        let (src_port, dst_port) = (from.1, to.1);
        let transport = match proto {
            6 => Transport::Tcp(Tcp { src_port, dst_port, seq: 0, ack: 0, flags: flag::ACK, window: 0, header: &[] }),
            17 => Transport::Udp(Udp { src_port, dst_port, header: &[] }),
            _ => Transport::None,
        };
        Packet {
            index,
            time,
            linktype: 101,
            frame: &[],
            wire_len: 0,
            ether: None,
            vlans: Vlans::default(),
            ip: Some(Ip {
                src: from.0,
                dst: to.0,
                proto,
                ttl: 64,
                header: &[],
                payload: &[],
                packet: &[],
                fragment: None,
            }),
            transport,
            payload: &[],
            arp: None,
            inner: None,
            source: PacketSource::FlowEnd,
            root: None,
            link_len: 0,
            depth: 0,
            layers: 0,
            links: Links::default(),
            checksum: Checksum::Untested,
            events: Events::default(),
        }
    }
    /// Whether it is one of [`Self::at_end`].
    pub const fn never_sent(&self) -> bool {
        matches!(self.source, PacketSource::FlowEnd)
    }
    /// Source and destination port, for transports that have them.
    pub const fn ports(&self) -> Option<(u16, u16)> {
        match self.transport {
            Transport::Tcp(Tcp { src_port, dst_port, .. })
            | Transport::Udp(Udp { src_port, dst_port, .. })
            | Transport::Sctp(Sctp { src_port, dst_port, .. }) => Some((src_port, dst_port)),
            _ => None,
        }
    }
    /// The ICMP or ICMPv6 header.
    pub const fn icmp(&self) -> Option<&Icmp<'_>> {
        match &self.transport {
            Transport::Icmpv4(i) | Transport::Icmpv6(i) => Some(i),
            _ => None,
        }
    }
    /// What events of a packet inside this one tell of it.
    pub fn as_root(&self) -> Option<Root> {
        let ip = self.ip.as_ref()?;
        Some(Root { src: ip.src, dst: ip.dst, ports: self.ports().unwrap_or_default(), proto: ip.proto })
    }
    /// Whether the IPv4 header's checksum holds, tested now; None where there is none.
    pub fn ip_checksum(&self) -> Option<bool> {
        self.ip.filter(|ip| ip.src.is_ipv4()).map(|ip| crate::ip::checksum(ip.header))
    }
    /// Whether the transport's checksum holds, tested now; None where there is none.
    pub fn transport_checksum(&self) -> Option<bool> {
        let ip = self.ip?;
        crate::transport::checksum(self, ip.proto, ip.payload)
    }
    /// The Ethernet header, without tags; None where the frame does not begin with one.
    pub fn ether_header(&self) -> Option<&[u8]> {
        self.ether.filter(|_| self.linktype == crate::link::types::ETHERNET).and_then(|_| self.frame.get(..14))
    }
    /// The SCTP packet.
    pub const fn sctp(&self) -> Option<&Sctp<'_>> {
        match &self.transport {
            Transport::Sctp(s) => Some(s),
            _ => None,
        }
    }
    /// The IGMP message.
    pub const fn igmp(&self) -> Option<&Igmp<'_>> {
        match &self.transport {
            Transport::Igmp(i) => Some(i),
            _ => None,
        }
    }
    /// The TCP header.
    pub const fn tcp(&self) -> Option<&Tcp<'_>> {
        match &self.transport {
            Transport::Tcp(t) => Some(t),
            _ => None,
        }
    }
}
