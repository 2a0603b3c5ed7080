// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Keywords on what not every packet has: options of IP and TCP, tags, checksums, a SunRPC call. Suricata user guide, "IP
//! Keywords", "TCP keywords", "ICMP Keywords", "SCTP Keywords", "VLAN Keywords", "Payload Keywords" (`rpc`).

use lagewarte_event::names::SCTP_CHUNKS;

use super::{app::interval, number, wanted};
use crate::{
    ast::{Csum, PacketTest},
    draft::Draft,
};

fn push(d: &mut Draft<'_>, test: PacketTest) -> Result<(), String> {
    d.packet.push(test);
    Ok(())
}

/// Options of IPv4 by the names that rules have for them (IANA, "IP Option Numbers").
const IP_OPTIONS: &[(&str, u8)] = &[
    ("rr", 7),
    ("eol", 0),
    ("nop", 1),
    ("ts", 68),
    ("sec", 130),
    ("esec", 133),
    ("lsrr", 131),
    ("ssrr", 137),
    ("satid", 136),
    ("rtralt", 148),
];

/// `ipopts:lsrr`
pub(crate) fn ipopts(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    if d.packet.iter().any(|t| matches!(t, PacketTest::Ipopts(_))) {
        return Err(String::from("a rule asks for one option"));
    }
    let option = match IP_OPTIONS.iter().find(|(n, _)| n.eq_ignore_ascii_case(v)) {
        Some((_, n)) => Some(*n),
        None if v.eq_ignore_ascii_case("any") => None,
        None => return Err(format!("{v:?} is none of rr, eol, nop, ts, sec, esec, lsrr, ssrr, satid, rtralt, any")),
    };
    push(d, PacketTest::Ipopts(option))
}

pub(crate) fn tcp_mss(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::TcpMss(interval(wanted(value)?, 65_535, &[])?))
}

pub(crate) fn tcp_wscale(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::TcpWscale(interval(wanted(value)?, 255, &[])?))
}

pub(crate) fn icmpv6_mtu(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::Icmpv6Mtu(interval(wanted(value)?, u32::MAX.into(), &[])?))
}

pub(crate) fn igmp_type(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::IgmpType(interval(wanted(value)?, 255, &[])?))
}

pub(crate) fn sctp_vtag(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::SctpVtag(interval(wanted(value)?, u32::MAX.into(), &[])?))
}

/// `sctp.chunk_type:init_ack`, `sctp.chunk_type:!data`
pub(crate) fn sctp_chunk_type(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::SctpChunkType(interval(wanted(value)?, 255, SCTP_CHUNKS)?))
}

pub(crate) fn sctp_chunk_cnt(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::SctpChunkCount(interval(wanted(value)?, 65_535, &[])?))
}

/// `vlan.id:>100` or with a layer from -3 to 2: `vlan.id:100,0`
pub(crate) fn vlan_id(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let (test, layer) = match v.split_once(',') {
        Some((t, l)) => (t, Some(l.trim())),
        None => (v, None),
    };
    let layer = match layer {
        None | Some("any") => None,
        Some(l) => {
            let n = l.parse().ok().filter(|n| (-3..=2).contains(n));
            Some(n.ok_or_else(|| format!("{l:?} is no layer; 0 to 2 from the outermost, -1 to -3 from the innermost"))?)
        }
    };
    push(d, PacketTest::VlanId(interval(test, 4095, &[])?, layer))
}

pub(crate) fn vlan_layers(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::VlanLayers(interval(wanted(value)?, 3, &[])?))
}

macro_rules! csums {
    ($($name:ident => $csum:ident,)*) => {
        $(pub(crate) fn $name(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
            csum(d, Csum::$csum, value)
        })*
    };
}

csums! {
    ipv4_csum => Ipv4,
    tcpv4_csum => Tcpv4,
    tcpv6_csum => Tcpv6,
    udpv4_csum => Udpv4,
    udpv6_csum => Udpv6,
    icmpv4_csum => Icmpv4,
    icmpv6_csum => Icmpv6,
    igmp_csum => Igmp,
}

fn csum(d: &mut Draft<'_>, which: Csum, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let valid = match v.trim_matches('"').to_ascii_lowercase().as_str() {
        "valid" => true,
        "invalid" => false,
        _ => return Err(format!("{v:?} is neither valid nor invalid")),
    };
    push(d, PacketTest::Csum(which, valid))
}

/// `rpc:100009,*,*`
pub(crate) fn rpc(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let mut parts = wanted(value)?.split(',').map(str::trim);
    let program = number(parts.next().unwrap_or_default(), 0, u32::MAX)?;
    let mut or_any = || match parts.next() {
        None | Some("*") => Ok(None),
        Some(n) => number(n, 0, u32::MAX).map(Some).map_err(|e| format!("{e}, nor *")),
    };
    let (version, procedure) = (or_any()?, or_any()?);
    match parts.next() {
        Some(more) => Err(format!("{more:?} is one too many: it wants program, version, procedure")),
        None => push(d, PacketTest::Rpc(program, version, procedure)),
    }
}
