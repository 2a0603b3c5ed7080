// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Tests on a packet's headers. A test on a field that the packet does not have fails, negated or not.
//!
//! Must never read a header by offset that the decoder did not prove to be there.

use lagewarte_decode::{Packet, Transport};
use lagewarte_flow::FlowRef;
use lagewarte_rules::ast::{BitMode, Csum, PacketTest, StreamSide};

use crate::inspect::payload;

/// Whether a test holds.
pub(crate) fn holds(test: &PacketTest, p: &Packet<'_>, flow: Option<&FlowRef<'_>>) -> bool {
    let Some(ip) = p.ip else {
        return matches!(test, PacketTest::DecodeEvent(name) if raised(p, name));
    };
    match test {
        PacketTest::Flags(mode, bits, ignored) => p.tcp().is_some_and(|t| bits_match(*mode, t.flags & !ignored, *bits)),
        PacketTest::Dsize(n) => n.matches(u32::try_from(payload(p).len()).unwrap_or(u32::MAX)),
        PacketTest::Itype(n) => p.icmp().is_some_and(|i| n.matches(i.kind.into())),
        PacketTest::Icode(n) => p.icmp().is_some_and(|i| n.matches(i.code.into())),
        PacketTest::Ttl(n) => n.matches(ip.ttl.into()),
        PacketTest::Id(id) => v4_word(&ip, 4).is_some_and(|w| w == *id),
        PacketTest::Tos(tos, not) => v4_word(&ip, 0).is_some_and(|w| (w as u8 == *tos) != *not),
        PacketTest::IpProto(n) => n.matches(ip.proto.into()),
        PacketTest::L3Proto(v6) => ip.src.is_ipv6() == *v6,
        PacketTest::SameIp => ip.src == ip.dst,
        PacketTest::Fragbits(mode, bits) => v4_word(&ip, 6).is_some_and(|w| bits_match(*mode, (w >> 13) as u8, *bits)),
        PacketTest::Fragoffset(n) => v4_word(&ip, 6).is_some_and(|w| n.matches((w & 0x1fff).into())),
        PacketTest::Seq(n) => p.tcp().is_some_and(|t| t.seq == *n),
        PacketTest::Ack(n) => p.tcp().is_some_and(|t| t.ack == *n),
        PacketTest::Window(n) => p.tcp().is_some_and(|t| n.matches(t.window.into())),
        PacketTest::IcmpId(n) => query(p).is_some_and(|(id, _)| id == *n),
        PacketTest::IcmpSeq(n) => query(p).is_some_and(|(_, seq)| seq == *n),
        PacketTest::DecodeEvent(name) => raised(p, name),
        PacketTest::StreamEvent(name) => flow.is_some_and(|f| {
            !f.events.is_empty() && f.events.iter().any(|e| e.name().strip_prefix("stream.") == Some(name))
        }),
        PacketTest::FlowAge(n) => flow.is_some_and(|f| {
            n.matches(u64::try_from(f.flow.last.secs().saturating_sub(f.flow.start.secs())).unwrap_or(0))
        }),
        PacketTest::FlowPackets(_, side, n) => {
            flow.is_some_and(|f| sides(*side, f.flow.sides.map(|s| n.matches(s.packets))))
        }
        PacketTest::FlowBytes(_, side, n) => {
            flow.is_some_and(|f| sides(*side, f.flow.sides.map(|s| n.matches(s.bytes))))
        }
        PacketTest::StreamSize(side, n) => {
            flow.and_then(FlowRef::sizes).is_some_and(|sizes| sides(*side, sizes.map(|s| n.matches(s))))
        }
        PacketTest::Ipopts(option) => ip_options(&ip).any(|o| option.is_none_or(|wanted| wanted == o)),
        PacketTest::TcpMss(n) => tcp_option(p, 2, 2).is_some_and(|v| n.matches(v)),
        PacketTest::TcpWscale(n) => tcp_option(p, 3, 1).is_some_and(|v| n.matches(v)),
        PacketTest::Icmpv6Mtu(n) => match p.transport {
            Transport::Icmpv6(i) if i.kind == 2 => n.matches(u32::from_be_bytes(i.rest).into()),
            _ => false,
        },
        PacketTest::IgmpType(n) => p.igmp().is_some_and(|i| n.matches(i.kind.into())),
        PacketTest::SctpVtag(n) => p.sctp().is_some_and(|s| n.matches(s.vtag.into())),
        PacketTest::SctpChunkType(n) => p.sctp().is_some_and(|s| s.chunks().any(|c| n.matches(c.kind.into()))),
        PacketTest::SctpChunkCount(n) => p.sctp().is_some_and(|s| n.matches(s.chunks().count() as u64)),
        PacketTest::VlanLayers(n) => n.matches(p.vlans.as_slice().len() as u64),
        PacketTest::VlanId(n, layer) => {
            let ids = p.vlans.as_slice();
            match layer {
                None => ids.iter().any(|id| n.matches((*id).into())),
                Some(l) => {
                    let at = usize::from(l.unsigned_abs());
                    let at = if *l < 0 { ids.len().checked_sub(at) } else { Some(at) };
                    at.and_then(|at| ids.get(at)).is_some_and(|id| n.matches((*id).into()))
                }
            }
        }
        PacketTest::Csum(which, valid) => csum(*which, p, *valid),
        PacketTest::FlowStart => flow.is_some_and(|f| f.flow.sides[f.direction.index()].packets == 1), // of two
        PacketTest::Reputation(t) => t.matches(ip.src, ip.dst),
        PacketTest::Country(t) => t.matches(ip.src, ip.dst),
        PacketTest::Rpc(program, version, procedure) => rpc(p).is_some_and(|[a, b, c]| {
            a == *program && version.is_none_or(|v| v == b) && procedure.is_none_or(|v| v == c)
        }),
    }
}

// Of what holds for the client's side and for the server's.
const fn sides(side: StreamSide, [client, server]: [bool; 2]) -> bool {
    match side {
        StreamSide::Client => client,
        StreamSide::Server => server,
        StreamSide::Both => client && server,
        StreamSide::Either => client || server,
    }
}

// Numbers of the options of an IPv4 header.
fn ip_options<'a>(ip: &lagewarte_decode::Ip<'a>) -> impl Iterator<Item = u8> + use<'a> {
    let header = if ip.src.is_ipv4() { ip.header } else { &[] };
    options(header.get(20..).unwrap_or_default()).map(|(kind, _)| kind)
}

// Kind and value of options as IPv4 and TCP have them: 0 ends the list, 1 fills it, others have a length.
fn options(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let (&kind, after) = rest.split_first()?;
        if kind < 2 {
            rest = if kind == 0 { &[] } else { after };
            return Some((kind, &[][..]));
        }
        let len = usize::from(*after.first()?);
        let value = rest.get(2..len)?;
        rest = rest.get(len..)?;
        Some((kind, value))
    })
}

// The number in a TCP option of this kind and length.
fn tcp_option(p: &Packet<'_>, kind: u8, len: usize) -> Option<u64> {
    let header = p.tcp()?.header.get(20..)?;
    let (_, value) = options(header).find(|(k, v)| *k == kind && v.len() == len)?;
    Some(value.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

// Also where streams take segments with any checksum (`-k none`) the keyword asks for itself, as Suricata does.
fn csum(which: Csum, p: &Packet<'_>, valid: bool) -> bool {
    let v4 = p.ip.is_some_and(|ip| ip.src.is_ipv4());
    let holds = match (which, p.transport) {
        (Csum::Ipv4, _) => p.ip_checksum(),
        (Csum::Tcpv4, Transport::Tcp(_)) | (Csum::Udpv4, Transport::Udp(_)) if v4 => p.transport_checksum(),
        (Csum::Tcpv6, Transport::Tcp(_)) | (Csum::Udpv6, Transport::Udp(_)) if !v4 => p.transport_checksum(),
        (Csum::Icmpv4, Transport::Icmpv4(_)) | (Csum::Icmpv6, Transport::Icmpv6(_)) => p.transport_checksum(),
        (Csum::Igmp, Transport::Igmp(_)) => p.transport_checksum(),
        _ => None,
    };
    holds == Some(valid)
}

// Program, version and procedure of a SunRPC call (RFC 5531, 9); over TCP a record's mark stands before it (11).
fn rpc(p: &Packet<'_>) -> Option<[u32; 3]> {
    let message = match p.transport {
        Transport::Tcp(_) => p.payload.get(4..)?,
        Transport::Udp(_) => p.payload,
        _ => return None,
    };
    let word = |i: usize| message.get(i * 4..i * 4 + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
    // Its number, then call (0) and the version of RPC itself (2).
    (word(1)? == 0 && word(2)? == 2).then_some([word(3)?, word(4)?, word(5)?])
}

fn raised(p: &Packet<'_>, name: &str) -> bool {
    p.events.iter().any(|e| e.name().strip_prefix("decoder.") == Some(name))
}

fn bits_match(mode: BitMode, have: u8, want: u8) -> bool {
    match mode {
        // None wanted (`flags:0`): with a modifier it still asks whether there are none.
        BitMode::Not if want == 0 => have != 0,
        BitMode::All if want == 0 => have == 0,
        BitMode::Exact => have == want,
        BitMode::All => have & want == want,
        BitMode::Any => have & want != 0,
        BitMode::Not => have & want != want,
    }
}

// Two bytes of an IPv4 header; None in IPv6.
fn v4_word(ip: &lagewarte_decode::Ip<'_>, at: usize) -> Option<u16> {
    if !ip.src.is_ipv4() {
        return None;
    }
    ip.header.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

// Identifier and sequence number of the messages that have them: echo, timestamp, information, address mask (RFC 792,
// RFC 950), echo of ICMPv6 (RFC 4443).
fn query(p: &Packet<'_>) -> Option<(u16, u16)> {
    let i = match p.transport {
        Transport::Icmpv4(i) if matches!(i.kind, 0 | 8 | 13..=18) => i,
        Transport::Icmpv6(i) if matches!(i.kind, 128 | 129) => i,
        _ => return None,
    };
    let [a, b, c, d] = i.rest;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}
