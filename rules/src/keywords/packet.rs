// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Keywords on header fields. Suricata user guide, "IP Keywords", "TCP keywords", "ICMP Keywords".

use super::{none, number, wanted};
use crate::{
    ast::{BitMode, Number, PacketTest},
    draft::Draft,
};

pub(crate) fn dsize(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    if d.packet.iter().any(|t| matches!(t, PacketTest::Dsize(_))) {
        return Err(String::from("it is given twice; write a range"));
    }
    push(d, PacketTest::Dsize(range(value, 65_535)?))
}

pub(crate) fn itype(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::Itype(range(value, 255)?))
}

pub(crate) fn icode(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::Icode(range(value, 255)?))
}

pub(crate) fn ttl(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::Ttl(range(value, 255)?))
}

pub(crate) fn id(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::Id(short(value)?))
}

pub(crate) fn tos(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let (not, v) = match v.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, v),
    };
    let n = match v.strip_prefix(['x', 'X']) {
        Some(hex) => u8::from_str_radix(hex, 16).map_err(|_| format!("{v:?} is not a byte in hex, as x1F"))?,
        None => u8::try_from(number(v, 0, 255)?).unwrap_or(u8::MAX),
    };
    push(d, PacketTest::Tos(n, not))
}

// Names of the IANA registry that rules use.
const PROTOCOLS: &[(&str, u32)] = &[
    ("hopopt", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ipv4", 4),
    ("ipip", 4),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("udp", 17),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("icmp6", 58),
    ("eigrp", 88),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("l2tp", 115),
    ("sctp", 132),
];

pub(crate) fn ip_proto(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let (op, name) = match v.as_bytes().first() {
        Some(b'!' | b'<' | b'>') => (v.as_bytes().first(), v.get(1..).unwrap_or_default().trim_start()),
        _ => (None, v),
    };
    let n = match PROTOCOLS.iter().find(|(p, _)| p.eq_ignore_ascii_case(name)) {
        Some((_, n)) => *n,
        None => number(name, 0, 255).map_err(|e| format!("{e}, nor a protocol name that is known here"))?,
    };
    let test = match op {
        Some(b'!') => Number::Ne(n),
        Some(b'<') => Number::Lt(n),
        Some(b'>') => Number::Gt(n),
        _ => Number::Eq(n),
    };
    let others =
        d.packet.iter().any(|t| matches!(t, PacketTest::IpProto(o) if matches!(o, Number::Eq(_)) || op.is_none()));
    if others {
        return Err(String::from("an exact protocol cannot go with another ip_proto"));
    }
    push(d, PacketTest::IpProto(test))
}

pub(crate) fn l3_proto(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let v6 = match v.to_ascii_lowercase().as_str() {
        "ipv4" | "ip4" => false,
        "ipv6" | "ip6" => true,
        _ => return Err(format!("{v:?} is neither `ipv4` nor `ipv6`")),
    };
    push(d, PacketTest::L3Proto(v6))
}

pub(crate) fn sameip(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    none(value)?;
    push(d, PacketTest::SameIp)
}

pub(crate) fn flags(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let (wanted_bits, ignored) = match v.split_once(',') {
        Some((w, i)) => (w.trim(), Some(i.trim())),
        None => (v, None),
    };
    let (mode, letters) = mode(wanted_bits)?;
    let bits = if letters == "0" { 0 } else { tcp_bits(letters)? };
    let ignored = ignored.map_or(Ok(0), tcp_bits)?;
    push(d, PacketTest::Flags(mode, bits, ignored))
}

fn tcp_bits(letters: &str) -> Result<u8, String> {
    if letters.is_empty() {
        return Err(String::from("it wants letters of F S R P A U E C (or 1 and 2 for C and E), or 0 for none"));
    }
    letters.chars().try_fold(0u8, |bits, c| {
        Ok(bits
            | match c {
                'F' => 0x01,
                'S' => 0x02,
                'R' => 0x04,
                'P' => 0x08,
                'A' => 0x10,
                'U' => 0x20,
                'E' | '2' => 0x40,
                'C' | '1' => 0x80,
                other => {
                    return Err(format!(
                        "{other:?} is none of the TCP flags F S R P A U E C (capitals), 1, 2, or 0 alone"
                    ));
                }
            })
    })
}

pub(crate) fn fragbits(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let (mode, letters) = mode(wanted(value)?)?;
    if letters.is_empty() {
        return Err(String::from("it wants letters of M (more fragments), D (do not fragment), R (reserved)"));
    }
    let bits = letters.chars().try_fold(0u8, |bits, c| {
        Ok(bits
            | match c {
                'M' | 'm' => 1,
                'D' | 'd' => 2,
                'R' | 'r' => 4,
                other => return Err(format!("{other:?} is none of M, D, R")),
            })
    })?;
    push(d, PacketTest::Fragbits(mode, bits))
}

/// The decoder events that can be asked for: those that the sensor's decoder raises. The engine's tests hold the two lists
/// together.
pub const DECODE_EVENTS: &[&str] = &[
    "ethernet.pkt_too_small",
    "ethernet.unknown_ethertype",
    "arp.pkt_too_small",
    "arp.unsupported_hardware",
    "arp.unsupported_protocol",
    "arp.invalid_hardware_size",
    "arp.invalid_protocol_size",
    "arp.unsupported_opcode",
    "sll.pkt_too_small",
    "sll2.pkt_too_small",
    "ltnull.pkt_too_small",
    "ltnull.unsupported_type",
    "ipraw.invalid_ip_version",
    "vlan.header_too_small",
    "vlan.unknown_type",
    "vlan.too_many_layers",
    "ipv4.pkt_too_small",
    "ipv4.hlen_too_small",
    "ipv4.iplen_smaller_than_hlen",
    "ipv4.trunc_pkt",
    "ipv4.wrong_ip_version",
    "ipv4.opt_invalid_len",
    "ipv4.opt_malformed",
    "ipv4.opt_duplicate",
    "ipv4.opt_unknown",
    "ipv4.icmpv6",
    "ipv4.unknown_protocol",
    "ipv4.frag_pkt_too_large",
    "ipv4.frag_overlap",
    "ipv4.frag_ignored",
    "ipv6.pkt_too_small",
    "ipv6.trunc_pkt",
    "ipv6.wrong_ip_version",
    "ipv6.trunc_exthdr",
    "ipv6.exthdr_dupl_fh",
    "ipv6.exthdr_useless_fh",
    "ipv6.exthdr_dupl_rh",
    "ipv6.exthdr_dupl_hh",
    "ipv6.exthdr_dupl_dh",
    "ipv6.exthdr_dupl_ah",
    "ipv6.exthdr_invalid_optlen",
    "ipv6.exthdr_ah_res_not_null",
    "ipv6.hopopts_unknown_opt",
    "ipv6.hopopts_only_padding",
    "ipv6.dstopts_unknown_opt",
    "ipv6.dstopts_only_padding",
    "ipv6.rh_type_0",
    "ipv6.zero_len_padn",
    "ipv6.fh_non_zero_reserved_field",
    "ipv6.data_after_none_header",
    "ipv6.unknown_next_header",
    "ipv6.icmpv4",
    "ipv6.frag_invalid_length",
    "ipv6.frag_pkt_too_large",
    "ipv6.frag_overlap",
    "ipv6.frag_ignored",
    "ipv6.ipv4_in_ipv6_too_small",
    "ipv6.ipv4_in_ipv6_wrong_version",
    "ipv6.ipv6_in_ipv6_too_small",
    "ipv6.ipv6_in_ipv6_wrong_version",
    "icmpv4.pkt_too_small",
    "icmpv4.unknown_type",
    "icmpv4.unknown_code",
    "icmpv4.ipv4_trunc_pkt",
    "icmpv4.ipv4_unknown_ver",
    "icmpv6.pkt_too_small",
    "icmpv6.unknown_type",
    "icmpv6.unknown_code",
    "icmpv6.unassigned_type",
    "icmpv6.experimentation_type",
    "icmpv6.ipv6_unknown_version",
    "icmpv6.ipv6_trunc_pkt",
    "icmpv6.mld_message_with_invalid_hl",
    "tcp.pkt_too_small",
    "tcp.hlen_too_small",
    "tcp.invalid_optlen",
    "tcp.opt_invalid_len",
    "tcp.opt_duplicate",
    "udp.pkt_too_small",
    "udp.hlen_too_small",
    "udp.len_invalid",
    "sctp.pkt_too_small",
    "esp.pkt_too_small",
    "ppp.pkt_too_small",
    "ppp.vju_pkt_too_small",
    "ppp.ip4_pkt_too_small",
    "ppp.ip6_pkt_too_small",
    "ppp.wrong_type",
    "ppp.unsup_proto",
    "pppoe.pkt_too_small",
    "pppoe.wrong_code",
    "pppoe.malformed_tags",
    "gre.pkt_too_small",
    "gre.wrong_version",
    "gre.version0_recur",
    "gre.version0_flags",
    "gre.version0_hdr_too_big",
    "gre.version0_malformed_sre_hdr",
    "gre.version1_chksum",
    "gre.version1_route",
    "gre.version1_ssr",
    "gre.version1_recur",
    "gre.version1_flags",
    "gre.version1_no_key",
    "gre.version1_wrong_protocol",
    "gre.version1_hdr_too_big",
    "vntag.header_too_small",
    "vntag.unknown_type",
    "ieee8021ah.header_too_small",
    "dce.pkt_too_small",
    "mpls.header_too_small",
    "mpls.pkt_too_small",
    "mpls.bad_label_router_alert",
    "mpls.bad_label_implicit_null",
    "mpls.bad_label_reserved",
    "mpls.unknown_payload_type",
    "vxlan.unknown_payload_type",
    "geneve.unknown_payload_type",
    "erspan.header_too_small",
    "erspan.unsupported_version",
    "erspan.too_many_vlan_layers",
    "chdlc.pkt_too_small",
    "nsh.header_too_small",
    "nsh.unsupported_version",
    "nsh.bad_header_length",
    "nsh.reserved_type",
    "nsh.unsupported_type",
    "nsh.unknown_payload",
    "too_many_layers",
];

pub(crate) fn decode_event(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let name = v.strip_prefix("decoder.").unwrap_or(v);
    if !DECODE_EVENTS.contains(&name) {
        return Err(format!("{name:?} is not an event that this version's decoder raises"));
    }
    push(d, PacketTest::DecodeEvent(name.to_owned()))
}

pub(crate) fn engine_event(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    match v.split_once('.') {
        Some(("decoder", _)) => decode_event(d, value),
        Some(("stream", _)) => super::stream::stream_event(d, value),
        _ => Err(format!("{v:?} is no event's whole name: it begins with `decoder.` or `stream.`")),
    }
}

// One of `+ * !` before or after the letters.
fn mode(v: &str) -> Result<(BitMode, &str), String> {
    let of = |c| match c {
        '+' => Some(BitMode::All),
        '*' => Some(BitMode::Any),
        '!' => Some(BitMode::Not),
        _ => None,
    };
    let before = v.chars().next().and_then(of);
    let v = if before.is_some() { v.get(1..).unwrap_or_default() } else { v };
    let after = v.chars().next_back().and_then(of);
    let v = if after.is_some() { v.get(..v.len() - 1).unwrap_or_default() } else { v };
    match (before, after) {
        (Some(_), Some(_)) => Err(String::from("it takes one modifier of + * !")),
        (one, None) | (None, one) => Ok((one.unwrap_or(BitMode::Exact), v.trim())),
    }
}

pub(crate) fn fragoffset(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let test = match (v.strip_prefix('<'), v.strip_prefix('>')) {
        (Some(n), _) => Number::Lt(number(n, 0, 65_535)?),
        (_, Some(n)) => Number::Gt(number(n, 0, 65_535)?),
        _ => Number::Eq(number(v, 0, 65_535)?),
    };
    push(d, PacketTest::Fragoffset(test))
}

pub(crate) fn seq(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::Seq(number(wanted(value)?, 0, u32::MAX)?))
}

pub(crate) fn ack(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::Ack(number(wanted(value)?, 0, u32::MAX)?))
}

pub(crate) fn window(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    let v = wanted(value)?;
    let test = match v.strip_prefix('!') {
        Some(n) => Number::Ne(number(n, 0, 65_535)?),
        None => Number::Eq(number(v, 0, 65_535)?),
    };
    push(d, PacketTest::Window(test))
}

pub(crate) fn icmp_id(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::IcmpId(short(value)?))
}

pub(crate) fn icmp_seq(d: &mut Draft<'_>, value: Option<&str>) -> Result<(), String> {
    push(d, PacketTest::IcmpSeq(short(value)?))
}

fn push(d: &mut Draft<'_>, test: PacketTest) -> Result<(), String> {
    d.packet.push(test);
    Ok(())
}

fn short(value: Option<&str>) -> Result<u16, String> {
    let n = number(wanted(value)?, 0, 65_535)?;
    Ok(u16::try_from(n).unwrap_or(u16::MAX))
}

// `n =n !n <n <=n >n >=n a<>b a-b`, blanks allowed around the numbers.
fn range(value: Option<&str>, max: u32) -> Result<Number, String> {
    let v = wanted(value)?;
    for sign in ["<>", "-"] {
        if let Some((a, b)) = v.split_once(sign) {
            let (a, b) = (number(a, 0, max)?, number(b, 0, max)?);
            return if b > a + 1 {
                Ok(Number::Between(a, b))
            } else {
                Err(format!("there is no number between {a} and {b} (both ends are excluded): it could never match"))
            };
        }
    }
    for (sign, make) in [
        ("<=", Number::Le as fn(u32) -> Number),
        (">=", Number::Ge),
        ("<", Number::Lt),
        (">", Number::Gt),
        ("!", Number::Ne),
        ("=", Number::Eq),
    ] {
        if let Some(n) = v.strip_prefix(sign) {
            let test = make(number(n, 0, max)?);
            return match test {
                Number::Lt(0) => Err(String::from("no number is below 0: it could never match")),
                Number::Gt(n) if n == max => Err(format!("no number is above {max} here: it could never match")),
                test => Ok(test),
            };
        }
    }
    Ok(Number::Eq(number(v, 0, max)?))
}
