// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a rule asks of a packet's headers, of its flow and of the stream. Suricata user guide, "Meta", "IP", "TCP", "Flow" keywords.

use std::net::IpAddr;

use super::Interval;
use crate::{country::CountryTest, reputation::ReputationTest};

/// A test on a number: Suricata's integer syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Number {
    /// `n`
    Eq(u32),
    /// `!n`
    Ne(u32),
    /// `<n`
    Lt(u32),
    /// `<=n`
    Le(u32),
    /// `>n`
    Gt(u32),
    /// `>=n`
    Ge(u32),
    /// `a<>b` and `a-b`: both ends excluded.
    Between(u32, u32),
}

impl Number {
    /// Whether `n` passes.
    pub const fn matches(self, n: u32) -> bool {
        match self {
            Self::Eq(a) => n == a,
            Self::Ne(a) => n != a,
            Self::Lt(a) => n < a,
            Self::Le(a) => n <= a,
            Self::Gt(a) => n > a,
            Self::Ge(a) => n >= a,
            Self::Between(a, b) => n > a && n < b,
        }
    }

    /// The largest number that passes; None where there is no bound.
    pub const fn most(self) -> Option<u32> {
        match self {
            Self::Eq(n) | Self::Le(n) => Some(n),
            Self::Lt(n) | Self::Between(_, n) => Some(n.saturating_sub(1)),
            Self::Ne(_) | Self::Gt(_) | Self::Ge(_) => None,
        }
    }

    /// The smallest number that passes; 0 where there is no bound.
    pub const fn least(self) -> u32 {
        match self {
            Self::Eq(n) | Self::Ge(n) => n,
            Self::Gt(n) | Self::Between(n, _) => n.saturating_add(1),
            Self::Ne(_) | Self::Lt(_) | Self::Le(_) => 0,
        }
    }
}

/// How a set of bits is compared (`flags`, `fragbits`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BitMode {
    /// These and no others.
    Exact,
    /// `+`: these, others do not matter.
    All,
    /// `*`: any of these.
    Any,
    /// `!`: not all of these.
    Not,
}

/// A test on one header field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PacketTest {
    /// `flags`: mode, bits wanted, bits ignored.
    Flags(BitMode, u8, u8),
    /// `dsize`: length of the packet's payload.
    Dsize(Number),
    /// `itype`.
    Itype(Number),
    /// `icode`.
    Icode(Number),
    /// `ttl`: IPv4 TTL or IPv6 hop limit.
    Ttl(Number),
    /// `id`: IPv4 identification.
    Id(u16),
    /// `tos`: IPv4 type of service byte; true: not this one.
    Tos(u8, bool),
    /// `ip_proto`.
    IpProto(Number),
    /// `l3_proto`: IPv6, else IPv4.
    L3Proto(bool),
    /// `sameip`.
    SameIp,
    /// `fragbits` over the three flag bits of IPv4 (R 4, D 2, M 1).
    Fragbits(BitMode, u8),
    /// `fragoffset`, in units of 8 bytes.
    Fragoffset(Number),
    /// `seq`, `tcp.seq`.
    Seq(u32),
    /// `ack`, `tcp.ack`.
    Ack(u32),
    /// `window`, `tcp.window`.
    Window(Number),
    /// `icmp_id` of an echo, timestamp, information or address mask message.
    IcmpId(u16),
    /// `icmp_seq` of the same.
    IcmpSeq(u16),
    /// `decode-event`: the decoder raised this event on the packet.
    DecodeEvent(String),
    /// `stream-event`: the packet is odd in its session in this way.
    StreamEvent(String),
    /// `stream_size`: bytes of the session so far, by sequence numbers.
    StreamSize(StreamSide, Number),
    /// `flow.age`: whole seconds between the flow's first packet and this one.
    FlowAge(Interval),
    /// `flow.pkts` in its forms, of which this is the keyword: packets so far, this one included.
    FlowPackets(&'static str, StreamSide, Interval),
    /// `flow.bytes` in its forms, of which this is the keyword: bytes of frames so far.
    FlowBytes(&'static str, StreamSide, Interval),
    /// `ipopts`: an IPv4 option of this number is there; None: any is.
    Ipopts(Option<u8>),
    /// `tcp.mss`
    TcpMss(Interval),
    /// `tcp.wscale`
    TcpWscale(Interval),
    /// `icmpv6.mtu` of a Packet Too Big message.
    Icmpv6Mtu(Interval),
    /// `vlan.id` of a layer: counted from the outermost, or with a negative number from the innermost; None: of any.
    VlanId(Interval, Option<i8>),
    /// `igmp.type`.
    IgmpType(Interval),
    /// `sctp.vtag`: verification tag.
    SctpVtag(Interval),
    /// `sctp.chunk_type` of any chunk.
    SctpChunkType(Interval),
    /// `sctp.chunk_cnt`: number of chunks.
    SctpChunkCount(Interval),
    /// `vlan.layers`: how many tags the packet has.
    VlanLayers(Interval),
    /// `ipv4-csum` and the like: which, and whether it must hold.
    Csum(Csum, bool),
    /// The hook `flow_start`: the first packet that goes its way in its flow.
    FlowStart,
    /// `iprep`
    Reputation(ReputationTest),
    /// `geoip`
    Country(CountryTest),
    /// `rpc`: a SunRPC call's program, version and procedure; None: any.
    Rpc(u32, Option<u32>, Option<u32>),
}

/// A checksum of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the keyword of its name")]
pub enum Csum {
    Ipv4,
    Tcpv4,
    Tcpv6,
    Udpv4,
    Udpv6,
    Icmpv4,
    Icmpv6,
    Igmp,
}

/// Which of a packet's addresses is asked for (`iprep`, `geoip`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ends {
    /// `src`
    Src,
    /// `dst`
    Dest,
    /// `both`: each of them.
    Both,
    /// `any`: one of them at least.
    Any,
}

impl Ends {
    /// From its word.
    ///
    /// # Errors
    /// A sentence for the rule's writer.
    pub fn parse(word: &str) -> Result<Self, String> {
        Ok(match word {
            "src" => Self::Src,
            "dst" => Self::Dest,
            "both" => Self::Both,
            "any" => Self::Any,
            other => return Err(format!("{other:?} is none of src, dst, both, any")),
        })
    }

    /// Whether a test holds of those that are asked for.
    pub fn hold(self, src: IpAddr, dest: IpAddr, test: impl Fn(IpAddr) -> bool) -> bool {
        match self {
            Self::Src => test(src),
            Self::Dest => test(dest),
            Self::Both => test(src) && test(dest),
            Self::Any => test(src) || test(dest),
        }
    }
}

/// Whose bytes or packets are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamSide {
    /// `client`
    Client,
    /// `server`
    Server,
    /// `both`: of each.
    Both,
    /// `either`: of at least one.
    Either,
}

impl PacketTest {
    /// The keyword's name in the registry.
    pub const fn keyword(&self) -> &'static str {
        match self {
            Self::Flags(..) => "flags",
            Self::Dsize(_) => "dsize",
            Self::Itype(_) => "itype",
            Self::Icode(_) => "icode",
            Self::Ttl(_) => "ttl",
            Self::Id(_) => "id",
            Self::Tos(..) => "tos",
            Self::IpProto(_) => "ip_proto",
            Self::L3Proto(_) => "l3_proto",
            Self::SameIp => "sameip",
            Self::Fragbits(..) => "fragbits",
            Self::Fragoffset(_) => "fragoffset",
            Self::Seq(_) => "seq",
            Self::Ack(_) => "ack",
            Self::Window(_) => "window",
            Self::IcmpId(_) => "icmp_id",
            Self::IcmpSeq(_) => "icmp_seq",
            Self::DecodeEvent(_) => "decode-event",
            Self::StreamEvent(_) => "stream-event",
            Self::StreamSize(..) => "stream_size",
            Self::FlowAge(_) => "flow.age",
            Self::FlowPackets(keyword, ..) | Self::FlowBytes(keyword, ..) => keyword,
            Self::Ipopts(_) => "ipopts",
            Self::TcpMss(_) => "tcp.mss",
            Self::TcpWscale(_) => "tcp.wscale",
            Self::Icmpv6Mtu(_) => "icmpv6.mtu",
            Self::VlanId(..) => "vlan.id",
            Self::VlanLayers(_) => "vlan.layers",
            Self::Csum(Csum::Ipv4, _) => "ipv4-csum",
            Self::Csum(Csum::Tcpv4, _) => "tcpv4-csum",
            Self::Csum(Csum::Tcpv6, _) => "tcpv6-csum",
            Self::Csum(Csum::Udpv4, _) => "udpv4-csum",
            Self::Csum(Csum::Udpv6, _) => "udpv6-csum",
            Self::Csum(Csum::Icmpv4, _) => "icmpv4-csum",
            Self::Csum(Csum::Icmpv6, _) => "icmpv6-csum",
            Self::Csum(Csum::Igmp, _) => "igmp-csum",
            Self::IgmpType(_) => "igmp.type",
            Self::SctpVtag(_) => "sctp.vtag",
            Self::SctpChunkType(_) => "sctp.chunk_type",
            Self::SctpChunkCount(_) => "sctp.chunk_cnt",
            Self::FlowStart => "flow_start",
            Self::Reputation(_) => "iprep",
            Self::Country(_) => "geoip",
            Self::Rpc(..) => "rpc",
        }
    }
}
