// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What can be wrong with a packet: a closed list of reasons, named as Suricata names its decoder events
//! (user guide, "Decoder events"), so that rules and EVE readers keep working.
//!
//! Must never hold text from the network: a reason is a constant, so that counters by reason are bounded.

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $kind:ident,)*) => {
        /// One reason. Whether it makes the packet unusable says [`Event::invalidates`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is documented by its event name in the Suricata user guide")]
        pub enum Event { $($variant,)* }

        impl Event {
            /// Every event, in the order of the discriminant.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The full name, e.g. `decoder.ipv4.trunc_pkt`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => concat!("decoder.", $name),)* }
            }
            /// Whether nothing past the damaged layer may be believed: the packet then has no flow.
            pub const fn invalidates(self) -> bool {
                match self { $(Self::$variant => $kind,)* }
            }
        }
    };
}

const INVALID: bool = true;
const NOTED: bool = false;

events! {
    EthernetPktTooSmall = "ethernet.pkt_too_small" INVALID,
    EthernetUnknownEthertype = "ethernet.unknown_ethertype" NOTED,
    ArpPktTooSmall = "arp.pkt_too_small" INVALID,
    ArpUnsupportedHardware = "arp.unsupported_hardware" NOTED,
    ArpUnsupportedProtocol = "arp.unsupported_protocol" NOTED,
    ArpInvalidHardwareSize = "arp.invalid_hardware_size" INVALID,
    ArpInvalidProtocolSize = "arp.invalid_protocol_size" INVALID,
    ArpUnsupportedOpcode = "arp.unsupported_opcode" NOTED,
    SllPktTooSmall = "sll.pkt_too_small" INVALID,
    Sll2PktTooSmall = "sll2.pkt_too_small" INVALID,
    LtnullPktTooSmall = "ltnull.pkt_too_small" INVALID,
    LtnullUnsupportedType = "ltnull.unsupported_type" INVALID,
    IprawInvalidIpVersion = "ipraw.invalid_ip_version" INVALID,
    VlanHeaderTooSmall = "vlan.header_too_small" INVALID,
    VlanUnknownType = "vlan.unknown_type" INVALID,
    VlanTooManyLayers = "vlan.too_many_layers" INVALID,
    Ipv4PktTooSmall = "ipv4.pkt_too_small" INVALID,
    Ipv4HlenTooSmall = "ipv4.hlen_too_small" INVALID,
    Ipv4IplenSmallerThanHlen = "ipv4.iplen_smaller_than_hlen" INVALID,
    Ipv4TruncPkt = "ipv4.trunc_pkt" INVALID,
    Ipv4WrongIpVersion = "ipv4.wrong_ip_version" INVALID,
    Ipv4OptInvalidLen = "ipv4.opt_invalid_len" NOTED,
    Ipv4OptMalformed = "ipv4.opt_malformed" NOTED,
    Ipv4OptDuplicate = "ipv4.opt_duplicate" NOTED,
    Ipv4OptUnknown = "ipv4.opt_unknown" NOTED,
    Ipv4Icmpv6 = "ipv4.icmpv6" INVALID,
    Ipv4UnknownProtocol = "ipv4.unknown_protocol" NOTED,
    Ipv4FragPktTooLarge = "ipv4.frag_pkt_too_large" NOTED,
    Ipv4FragOverlap = "ipv4.frag_overlap" NOTED,
    Ipv4FragIgnored = "ipv4.frag_ignored" NOTED,
    Ipv6PktTooSmall = "ipv6.pkt_too_small" INVALID,
    Ipv6TruncPkt = "ipv6.trunc_pkt" INVALID,
    Ipv6WrongIpVersion = "ipv6.wrong_ip_version" INVALID,
    Ipv6TruncExthdr = "ipv6.trunc_exthdr" INVALID,
    Ipv6ExthdrDuplFh = "ipv6.exthdr_dupl_fh" NOTED,
    Ipv6ExthdrUselessFh = "ipv6.exthdr_useless_fh" NOTED,
    Ipv6ExthdrDuplRh = "ipv6.exthdr_dupl_rh" NOTED,
    Ipv6ExthdrDuplHh = "ipv6.exthdr_dupl_hh" NOTED,
    Ipv6ExthdrDuplDh = "ipv6.exthdr_dupl_dh" NOTED,
    Ipv6ExthdrDuplAh = "ipv6.exthdr_dupl_ah" NOTED,
    Ipv6ExthdrInvalidOptlen = "ipv6.exthdr_invalid_optlen" INVALID,
    Ipv6ExthdrAhResNotNull = "ipv6.exthdr_ah_res_not_null" NOTED,
    Ipv6HopoptsUnknownOpt = "ipv6.hopopts_unknown_opt" NOTED,
    Ipv6HopoptsOnlyPadding = "ipv6.hopopts_only_padding" NOTED,
    Ipv6DstoptsUnknownOpt = "ipv6.dstopts_unknown_opt" NOTED,
    Ipv6DstoptsOnlyPadding = "ipv6.dstopts_only_padding" NOTED,
    Ipv6RhType0 = "ipv6.rh_type_0" NOTED,
    Ipv6ZeroLenPadn = "ipv6.zero_len_padn" NOTED,
    Ipv6FhNonZeroReservedField = "ipv6.fh_non_zero_reserved_field" NOTED,
    Ipv6DataAfterNoneHeader = "ipv6.data_after_none_header" NOTED,
    Ipv6UnknownNextHeader = "ipv6.unknown_next_header" NOTED,
    Ipv6Icmpv4 = "ipv6.icmpv4" INVALID,
    Ipv6FragInvalidLength = "ipv6.frag_invalid_length" NOTED,
    Ipv6FragPktTooLarge = "ipv6.frag_pkt_too_large" NOTED,
    Ipv6FragOverlap = "ipv6.frag_overlap" NOTED,
    Ipv6FragIgnored = "ipv6.frag_ignored" NOTED,
    Ipv6Ipv4InIpv6TooSmall = "ipv6.ipv4_in_ipv6_too_small" INVALID,
    Ipv6Ipv4InIpv6WrongVersion = "ipv6.ipv4_in_ipv6_wrong_version" INVALID,
    Ipv6Ipv6InIpv6TooSmall = "ipv6.ipv6_in_ipv6_too_small" INVALID,
    Ipv6Ipv6InIpv6WrongVersion = "ipv6.ipv6_in_ipv6_wrong_version" INVALID,
    Icmpv4PktTooSmall = "icmpv4.pkt_too_small" INVALID,
    Icmpv4UnknownType = "icmpv4.unknown_type" NOTED,
    Icmpv4UnknownCode = "icmpv4.unknown_code" NOTED,
    Icmpv4Ipv4TruncPkt = "icmpv4.ipv4_trunc_pkt" NOTED,
    Icmpv4Ipv4UnknownVer = "icmpv4.ipv4_unknown_ver" NOTED,
    Icmpv6PktTooSmall = "icmpv6.pkt_too_small" INVALID,
    Icmpv6UnknownType = "icmpv6.unknown_type" NOTED,
    Icmpv6UnknownCode = "icmpv6.unknown_code" NOTED,
    Icmpv6UnassignedType = "icmpv6.unassigned_type" NOTED,
    Icmpv6ExperimentationType = "icmpv6.experimentation_type" NOTED,
    Icmpv6Ipv6UnknownVersion = "icmpv6.ipv6_unknown_version" NOTED,
    Icmpv6Ipv6TruncPkt = "icmpv6.ipv6_trunc_pkt" NOTED,
    Icmpv6MldMessageWithInvalidHl = "icmpv6.mld_message_with_invalid_hl" NOTED,
    TcpPktTooSmall = "tcp.pkt_too_small" INVALID,
    TcpHlenTooSmall = "tcp.hlen_too_small" INVALID,
    TcpInvalidOptlen = "tcp.invalid_optlen" INVALID,
    TcpOptInvalidLen = "tcp.opt_invalid_len" NOTED,
    TcpOptDuplicate = "tcp.opt_duplicate" NOTED,
    UdpPktTooSmall = "udp.pkt_too_small" INVALID,
    UdpHlenTooSmall = "udp.hlen_too_small" INVALID,
    UdpLenInvalid = "udp.len_invalid" INVALID,
    SctpPktTooSmall = "sctp.pkt_too_small" INVALID,
    EspPktTooSmall = "esp.pkt_too_small" INVALID,
    PppPktTooSmall = "ppp.pkt_too_small" INVALID,
    PppVjuPktTooSmall = "ppp.vju_pkt_too_small" INVALID,
    PppIp4PktTooSmall = "ppp.ip4_pkt_too_small" INVALID,
    PppIp6PktTooSmall = "ppp.ip6_pkt_too_small" INVALID,
    PppWrongType = "ppp.wrong_type" INVALID,
    PppUnsupProto = "ppp.unsup_proto" NOTED,
    PppoePktTooSmall = "pppoe.pkt_too_small" INVALID,
    PppoeWrongCode = "pppoe.wrong_code" INVALID,
    PppoeMalformedTags = "pppoe.malformed_tags" NOTED,
    GrePktTooSmall = "gre.pkt_too_small" INVALID,
    GreWrongVersion = "gre.wrong_version" INVALID,
    GreVersion0Recur = "gre.version0_recur" INVALID,
    GreVersion0Flags = "gre.version0_flags" INVALID,
    GreVersion0HdrTooBig = "gre.version0_hdr_too_big" INVALID,
    GreVersion0MalformedSreHdr = "gre.version0_malformed_sre_hdr" INVALID,
    GreVersion1Chksum = "gre.version1_chksum" INVALID,
    GreVersion1Route = "gre.version1_route" INVALID,
    GreVersion1Ssr = "gre.version1_ssr" INVALID,
    GreVersion1Recur = "gre.version1_recur" INVALID,
    GreVersion1Flags = "gre.version1_flags" INVALID,
    GreVersion1NoKey = "gre.version1_no_key" INVALID,
    GreVersion1WrongProtocol = "gre.version1_wrong_protocol" INVALID,
    GreVersion1HdrTooBig = "gre.version1_hdr_too_big" INVALID,
    VntagHeaderTooSmall = "vntag.header_too_small" INVALID,
    VntagUnknownType = "vntag.unknown_type" INVALID,
    Ieee8021ahHeaderTooSmall = "ieee8021ah.header_too_small" INVALID,
    DcePktTooSmall = "dce.pkt_too_small" INVALID,
    MplsHeaderTooSmall = "mpls.header_too_small" INVALID,
    MplsPktTooSmall = "mpls.pkt_too_small" INVALID,
    MplsBadLabelRouterAlert = "mpls.bad_label_router_alert" INVALID,
    MplsBadLabelImplicitNull = "mpls.bad_label_implicit_null" INVALID,
    MplsBadLabelReserved = "mpls.bad_label_reserved" INVALID,
    MplsUnknownPayloadType = "mpls.unknown_payload_type" INVALID,
    VxlanUnknownPayloadType = "vxlan.unknown_payload_type" NOTED,
    GeneveUnknownPayloadType = "geneve.unknown_payload_type" NOTED,
    ErspanHeaderTooSmall = "erspan.header_too_small" NOTED,
    ErspanUnsupportedVersion = "erspan.unsupported_version" NOTED,
    ErspanTooManyVlanLayers = "erspan.too_many_vlan_layers" NOTED,
    ChdlcPktTooSmall = "chdlc.pkt_too_small" INVALID,
    NshHeaderTooSmall = "nsh.header_too_small" INVALID,
    NshUnsupportedVersion = "nsh.unsupported_version" INVALID,
    NshBadHeaderLength = "nsh.bad_header_length" INVALID,
    NshReservedType = "nsh.reserved_type" INVALID,
    NshUnsupportedType = "nsh.unsupported_type" INVALID,
    NshUnknownPayload = "nsh.unknown_payload" INVALID,
    TooManyLayers = "too_many_layers" INVALID,
}

/// A set of events of one packet: three words, no allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events([u64; WORDS]);

const WORDS: usize = 3;

const fn place(e: Event) -> (usize, u64) {
    ((e as usize) / 64, 1 << (e as usize % 64)) // invariant: WORDS words hold every event, asserted below
}

impl Events {
    /// Adds one.
    pub const fn set(&mut self, e: Event) {
        let (word, bit) = place(e);
        self.0[word] |= bit;
    }
    /// Adds all of `other`.
    pub fn add(&mut self, other: Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
    }
    /// Whether it is there.
    pub const fn has(self, e: Event) -> bool {
        let (word, bit) = place(e);
        self.0[word] & bit != 0
    }
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0[0] | self.0[1] | self.0[2] == 0
    }
    /// Those there are, in the order of [`Event::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Event> {
        Event::ALL.iter().copied().filter(move |&e| self.has(e))
    }
    /// Whether one of them makes the packet unusable.
    pub fn invalid(self) -> bool {
        const MASK: Events = {
            let (mut mask, mut i) = (Events([0; WORDS]), 0);
            while i < Event::ALL.len() {
                if Event::ALL[i].invalidates() {
                    mask.set(Event::ALL[i]);
                }
                i += 1;
            }
            mask
        };
        self.0.iter().zip(MASK.0).any(|(have, mask)| have & mask != 0)
    }
}

const _: () = assert!(Event::ALL.len() <= 64 * WORDS, "Events holds a bit for every event");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_knows_what_invalidates() {
        for &e in Event::ALL {
            let mut s = Events::default();
            assert!(s.is_empty() && !s.invalid());
            s.set(e);
            assert_eq!(s.iter().collect::<Vec<_>>(), [e]);
            assert_eq!(s.invalid(), e.invalidates(), "{}", e.name());
        }
    }

    #[test]
    fn names_are_unique_and_of_the_known_form() {
        let mut names: Vec<_> = Event::ALL.iter().map(|e| e.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Event::ALL.len());
        assert!(
            names
                .iter()
                .all(|n| n.starts_with("decoder.") && (n.matches('.').count() == 2 || *n == "decoder.too_many_layers"))
        );
    }
}
