// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Counts of what was decoded, by layer and by reason, named as in EVE `stats.decoder`.
//!
//! Must never have a key from the network: every counter is named here.

use crate::{
    event::Event,
    packet::{Checksum, Link, Links, Packet, PacketSource, Transport, Tunnel},
};

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)*) => {
        /// What a worker decoded. Sums over workers by [`Counters::add`].
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
            /// Largest frame seen, bytes.
            pub max_pkt_size: u64,
            events: [u64; Event::ALL.len()],
        }
        impl Default for Counters {
            fn default() -> Self {
                Self { $($field: 0,)* max_pkt_size: 0, events: [0; Event::ALL.len()] }
            }
        }
        impl Counters {
            /// Name below `decoder.` and value of each counter that is no event.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field),)* ("max_pkt_size", self.max_pkt_size)].into_iter()
            }
            /// Adds another worker's counts.
            pub fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
                self.max_pkt_size = self.max_pkt_size.max(other.max_pkt_size);
                for (mine, theirs) in self.events.iter_mut().zip(other.events) {
                    *mine += theirs;
                }
            }
        }
    };
}

counters! {
    /// Packets decoded, sound or not.
    pkts = "pkts",
    /// Bytes captured of them.
    bytes = "bytes",
    /// Packets that a damaged layer made unusable.
    invalid = "invalid",
    /// IPv4 packets.
    ipv4 = "ipv4",
    /// IPv6 packets.
    ipv6 = "ipv6",
    /// Frames with MAC addresses.
    ethernet = "ethernet",
    /// TCP packets.
    tcp = "tcp",
    /// UDP packets.
    udp = "udp",
    /// SCTP packets.
    sctp = "sctp",
    /// ESP packets.
    esp = "esp",
    /// ICMP packets.
    icmpv4 = "icmpv4",
    /// ICMPv6 packets.
    icmpv6 = "icmpv6",
    /// Frames with one VLAN tag or more.
    vlan = "vlan",
    /// Frames with two tags or more.
    vlan_qinq = "vlan_qinq",
    /// Frames with three tags.
    vlan_qinqinq = "vlan_qinqinq",
    /// IP packets without a link header.
    raw = "raw",
    /// Loopback frames.
    null = "null",
    /// Linux cooked frames.
    sll = "sll",
    /// Linux cooked frames of the second kind.
    sll2 = "sll2",
    /// ARP.
    arp = "arp",
    /// PPP.
    ppp = "ppp",
    /// PPPoE.
    pppoe = "pppoe",
    /// Cisco HDLC.
    chdlc = "chdlc",
    /// Packets behind MPLS labels.
    mpls = "mpls",
    /// Packets behind a network service header.
    nsh = "nsh",
    /// Frames with a VN-tag.
    vntag = "vntag",
    /// Frames with a provider backbone header.
    ieee8021ah = "ieee8021ah",
    /// FabricPath frames.
    dce = "dce",
    /// GRE with a packet in it.
    gre = "gre",
    /// ERSPAN with a frame in it.
    erspan = "erspan",
    /// IPv4 in IPv4.
    ipv4_in_ipv4 = "ipv4_in_ipv4",
    /// IPv6 in IPv4.
    ipv6_in_ipv4 = "ipv6_in_ipv4",
    /// IPv4 in IPv6.
    ipv4_in_ipv6 = "ipv4_in_ipv6",
    /// IPv6 in IPv6.
    ipv6_in_ipv6 = "ipv6_in_ipv6",
    /// VXLAN with a frame in it.
    vxlan = "vxlan",
    /// Geneve with a packet in it.
    geneve = "geneve",
    /// Teredo with a packet in it.
    teredo = "teredo",
    /// Fragments of IPv4 and IPv6.
    fragments = "fragments",
    /// Packets with a wrong checksum (only where checksums are tested).
    bad_checksum = "bad_checksum",
    /// Frames that the capture cut short of their length on the wire.
    cut = "cut",
}

impl Counters {
    /// Counts one packet. Frames are counted by the packet on the wire, layers by the packet that has them.
    pub fn count(&mut self, p: &Packet<'_>) {
        if p.source == PacketSource::Wire {
            self.pkts += 1;
            self.bytes += p.frame.len() as u64;
            self.max_pkt_size = self.max_pkt_size.max(p.frame.len() as u64);
            self.cut += u64::from(p.frame.len() < p.wire_len as usize);
        }
        self.ethernet += u64::from(p.ether.is_some());
        let tags = p.vlans.as_slice().len();
        self.vlan += u64::from(tags > 0);
        self.vlan_qinq += u64::from(tags > 1);
        self.vlan_qinqinq += u64::from(tags > 2);
        if let Some(ip) = &p.ip {
            if ip.src.is_ipv4() {
                self.ipv4 += 1;
            } else {
                self.ipv6 += 1;
            }
            self.fragments += u64::from(ip.fragment.is_some());
        }
        match p.transport {
            Transport::Tcp(_) => self.tcp += 1,
            Transport::Udp(_) => self.udp += 1,
            Transport::Icmpv4(_) => self.icmpv4 += 1,
            Transport::Icmpv6(_) => self.icmpv6 += 1,
            Transport::Sctp(_) => self.sctp += 1,
            Transport::Esp { .. } => self.esp += 1,
            Transport::None | Transport::Igmp(_) | Transport::Other => {}
        }
        match p.inner.map(|i| i.tunnel) {
            None => {}
            Some(Tunnel::Gre) => self.gre += 1,
            Some(Tunnel::Erspan) => self.erspan += 1,
            Some(Tunnel::Ipv4InIpv4) => self.ipv4_in_ipv4 += 1,
            Some(Tunnel::Ipv6InIpv4) => self.ipv6_in_ipv4 += 1,
            Some(Tunnel::Ipv4InIpv6) => self.ipv4_in_ipv6 += 1,
            Some(Tunnel::Ipv6InIpv6) => self.ipv6_in_ipv6 += 1,
            Some(Tunnel::Vxlan) => self.vxlan += 1,
            Some(Tunnel::Geneve) => self.geneve += 1,
            Some(Tunnel::Teredo) => self.teredo += 1,
        }
        if p.links != Links::default() {
            for (link, n) in [
                (Link::Raw, &mut self.raw),
                (Link::Null, &mut self.null),
                (Link::Sll, &mut self.sll),
                (Link::Sll2, &mut self.sll2),
                (Link::Arp, &mut self.arp),
                (Link::Ppp, &mut self.ppp),
                (Link::Pppoe, &mut self.pppoe),
                (Link::Chdlc, &mut self.chdlc),
                (Link::Mpls, &mut self.mpls),
                (Link::Nsh, &mut self.nsh),
                (Link::Vntag, &mut self.vntag),
                (Link::Ieee8021ah, &mut self.ieee8021ah),
                (Link::Dce, &mut self.dce),
            ] {
                *n += u64::from(p.links.has(link));
            }
        }
        self.bad_checksum += u64::from(p.checksum == Checksum::Bad);
        if !p.events.is_empty() {
            self.invalid += u64::from(p.events.invalid());
            for e in p.events.iter() {
                self.events[e as usize] += 1; // invariant: the array is as long as the list of events
            }
        }
    }
    /// Events that happened, with their counts.
    pub fn events(&self) -> impl Iterator<Item = (Event, u64)> {
        Event::ALL.iter().copied().zip(self.events).filter(|&(_, n)| n > 0)
    }
}
