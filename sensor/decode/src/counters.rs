// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Counts of what was decoded, by layer and by reason, named as in EVE `stats.decoder`.
//!
//! Must never have a key from the network: every counter is named here.

use crate::{
    event::Event,
    packet::{Checksum, Packet, Transport, Tunnel},
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
    /// GRE, recognised and not entered.
    gre = "gre",
    /// IPv4 in IP, recognised and not entered.
    ipv4_in_ip = "ipv4_in_ip",
    /// IPv6 in IP, recognised and not entered.
    ipv6_in_ip = "ipv6_in_ip",
    /// VXLAN, recognised and not entered.
    vxlan = "vxlan",
    /// Geneve, recognised and not entered.
    geneve = "geneve",
    /// Teredo, recognised and not entered.
    teredo = "teredo",
    /// MPLS, recognised and not entered.
    mpls = "mpls",
    /// PPPoE, recognised and not entered.
    pppoe = "pppoe",
    /// Fragments of IPv4 and IPv6, not put together in this step.
    fragments = "fragments",
    /// Packets with a wrong checksum (only where checksums are tested).
    bad_checksum = "bad_checksum",
    /// Frames that the capture cut short of their length on the wire.
    cut = "cut",
}

impl Counters {
    /// Counts one packet.
    pub fn count(&mut self, p: &Packet<'_>) {
        self.pkts += 1;
        self.bytes += p.frame.len() as u64;
        self.max_pkt_size = self.max_pkt_size.max(p.frame.len() as u64);
        self.cut += u64::from(p.frame.len() < p.wire_len as usize);
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
            Transport::Sctp { .. } => self.sctp += 1,
            Transport::Esp { .. } => self.esp += 1,
            Transport::None | Transport::Other => {}
        }
        match p.tunnel {
            None => {}
            Some(Tunnel::Gre) => self.gre += 1,
            Some(Tunnel::IpInIp) => self.ipv4_in_ip += 1,
            Some(Tunnel::Ipv6InIp) => self.ipv6_in_ip += 1,
            Some(Tunnel::Vxlan) => self.vxlan += 1,
            Some(Tunnel::Geneve) => self.geneve += 1,
            Some(Tunnel::Teredo) => self.teredo += 1,
            Some(Tunnel::Mpls) => self.mpls += 1,
            Some(Tunnel::Pppoe) => self.pppoe += 1,
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
