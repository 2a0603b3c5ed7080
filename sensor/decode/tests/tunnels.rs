// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Packets in packets, and link headers that are not Ethernet's: what is found inside, what each kind of damage is
//! called, and that nesting ends.

use std::net::IpAddr;

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Counters, Decoder, Event, Packet, PacketSource, RawFrame, Route, Tunnel, owner};
use lagewarte_testkit::{udp, with_vlans};
use proptest::prelude::*;

const ETHERNET: u16 = 1;

fn raw(linktype: u16, data: &[u8]) -> RawFrame<'_> {
    RawFrame { index: 7, time: Timestamp::default(), linktype, wire_len: data.len() as u32, data }
}

fn ip(s: &str) -> IpAddr {
    s.parse().expect("literal")
}

/// The frame that is carried, and the IP packet in it.
fn frame4() -> Vec<u8> {
    udp((ip("10.9.0.1"), 1111), (ip("10.9.0.2"), 2222), b"inside")
}
fn frame6() -> Vec<u8> {
    udp((ip("2001:db8:9::1"), 1111), (ip("2001:db8:9::2"), 2222), b"inside")
}
fn packet4() -> Vec<u8> {
    frame4()[14..].to_vec()
}
fn packet6() -> Vec<u8> {
    frame6()[14..].to_vec()
}

/// An Ethernet frame with an IP packet of `proto` that carries `body`.
fn over4(proto: u8, body: &[u8]) -> Vec<u8> {
    let mut f = udp((ip("192.0.2.1"), 0), (ip("198.51.100.1"), 0), &vec![0; body.len().saturating_sub(8)]);
    f.truncate(34);
    f.extend_from_slice(body);
    f[16..18].copy_from_slice(&(20 + body.len() as u16).to_be_bytes());
    f[23] = proto;
    f[24..26].fill(0);
    let sum = f[14..34].chunks(2).fold(0u32, |s, w| s + u32::from(w[0]) * 256 + u32::from(w[1]));
    f[24..26].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    f
}
fn over6(proto: u8, body: &[u8]) -> Vec<u8> {
    let mut f = udp((ip("2001:db8::1"), 0), (ip("2001:db8::2"), 0), b"");
    f.truncate(54);
    f.extend_from_slice(body);
    f[18..20].copy_from_slice(&(body.len() as u16).to_be_bytes());
    f[20] = proto;
    f
}
fn over_udp(port: u16, body: &[u8]) -> Vec<u8> {
    udp((ip("192.0.2.1"), 40_000), (ip("198.51.100.1"), port), body)
}
fn ethertype(kind: u16, body: &[u8]) -> Vec<u8> {
    [&[2; 12][..], &kind.to_be_bytes(), body].concat()
}
fn gre(head: &[u8], body: &[u8]) -> Vec<u8> {
    over4(47, &[head, body].concat())
}

/// Every packet of a frame, outermost first.
fn all<'a>(d: &Decoder, linktype: u16, data: &'a [u8]) -> Vec<Packet<'a>> {
    let mut packets = vec![d.decode(raw(linktype, data))];
    while let Some(inner) = d.inner(&packets[packets.len() - 1]) {
        packets.push(inner);
    }
    packets
}

#[test]
fn a_packet_of_its_own_is_found_in_every_tunnel() {
    let (v4, v6, e) = (packet4(), packet6(), frame4());
    let erspan2 = [&[0x10, 0x00, 0x88, 0xbe, 0, 0, 0, 1][..], &[0x13, 0xe7, 0, 1, 0, 0, 0, 0], &e].concat();
    let erspan3 = [&[0x10, 0x00, 0x22, 0xeb, 0, 0, 0, 1][..], &[0x23, 0xe7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], &[0; 8], &e];
    for (what, frame, tunnel, vlan) in [
        ("GRE", gre(&[0, 0, 8, 0], &v4), Tunnel::Gre, None),
        (
            "GRE with checksum, key, sequence",
            gre(&[0xb0, 0, 0x86, 0xdd, 1, 1, 0, 0, 2, 2, 2, 2, 3, 3, 3, 3], &v6),
            Tunnel::Gre,
            None,
        ),
        ("GRE routed", gre(&[0x40, 0, 8, 0, 1, 1, 0, 0, 8, 0, 0, 4, 9, 9, 9, 9, 0, 0, 0, 0], &v4), Tunnel::Gre, None),
        ("GRE bridged", gre(&[0, 0, 0x65, 0x58], &e), Tunnel::Gre, None),
        ("GRE with a VLAN tag", gre(&[0, 0, 0x81, 0, 0, 5, 8, 0], &v4), Tunnel::Gre, Some(5)),
        (
            "PPTP",
            gre(&[0x30, 0x81, 0x88, 0x0b, 0, 9, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 3, 0, 0x21], &v4),
            Tunnel::Gre,
            None,
        ),
        ("ERSPAN I", gre(&[0, 0, 0x88, 0xbe], &e), Tunnel::Erspan, None),
        ("ERSPAN II", over4(47, &erspan2), Tunnel::Erspan, Some(0x3e7)),
        ("ERSPAN III", over4(47, &erspan3.concat()), Tunnel::Erspan, Some(0x3e7)),
        ("IPv4 in IPv4", over4(4, &v4), Tunnel::Ipv4InIpv4, None),
        ("6in4", over4(41, &v6), Tunnel::Ipv6InIpv4, None),
        ("4in6", over6(4, &v4), Tunnel::Ipv4InIpv6, None),
        ("IPv6 in IPv6", over6(41, &v6), Tunnel::Ipv6InIpv6, None),
        ("Teredo", over_udp(3544, &v6), Tunnel::Teredo, None),
        (
            "Teredo with where the sender was seen",
            over_udp(3544, &[&[0, 0, 1, 2, 3, 4, 5, 6], &v6[..]].concat()),
            Tunnel::Teredo,
            None,
        ),
        (
            "Teredo with both headers",
            over_udp(
                3544,
                &[&[0, 1, 1, 1, 7, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0, 0, 1, 2, 3, 4, 5, 6], &v6].concat(),
            ),
            Tunnel::Teredo,
            None,
        ),
        ("VXLAN", over_udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0], &e[..]].concat()), Tunnel::Vxlan, None),
        (
            "Geneve",
            over_udp(6081, &[&[1, 0, 0x65, 0x58, 0, 0, 1, 0, 9, 9, 9, 9], &e[..]].concat()),
            Tunnel::Geneve,
            None,
        ),
        (
            "Geneve without Ethernet",
            over_udp(6081, &[&[0, 0, 8, 0, 0, 0, 1, 0], &v4[..]].concat()),
            Tunnel::Geneve,
            None,
        ),
    ] {
        let d = Decoder::default();
        assert_eq!(d.route(ETHERNET, &frame), Route::Deep, "{what}");
        let packets = all(&d, ETHERNET, &frame);
        let [outer, inner] = &packets[..] else { panic!("{what}: {packets:?}") };
        assert!(outer.events.is_empty() && inner.events.is_empty(), "{what}: {packets:?}");
        assert_eq!((outer.inner.map(|i| i.tunnel), outer.source, outer.depth), (Some(tunnel), PacketSource::Wire, 0));
        assert_eq!((inner.source, inner.depth, inner.index), (PacketSource::Tunnel(tunnel), 1, 7), "{what}");
        assert_eq!((inner.ports(), inner.payload), (Some((1111, 2222)), &b"inside"[..]), "{what}");
        assert_eq!(inner.root, outer.as_root(), "{what}");
        assert_eq!(inner.vlans.outer(), vlan, "{what}");
        assert_eq!(
            owner(inner),
            owner(&d.decode(raw(ETHERNET, &if inner.ip.unwrap().src.is_ipv4() { frame4() } else { frame6() })))
        );
        let mut c = Counters::default();
        packets.iter().for_each(|p| c.count(p));
        let name = format!("{tunnel:?}").to_lowercase().replace("inipv", "_in_ipv");
        assert_eq!(c.named().find(|(n, _)| *n == name).map(|(_, n)| n), Some(1), "{name}");
        assert_eq!((c.pkts, c.bytes), (1, frame.len() as u64), "a frame is one packet, whatever it holds");
        // Cut anywhere, it decodes to something.
        for n in 0..frame.len() {
            all(&d, ETHERNET, &frame[..n]);
        }
    }
}

#[test]
fn arp_is_read_inside_tunnels_too() {
    let who_has = [0, 1, 8, 0, 6, 4, 0, 1, 2, 2, 2, 2, 2, 2, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 2];
    let framed = [&[0xff; 6][..], &[2; 6], &[8, 6], &who_has].concat();
    for (what, frame) in [
        ("GRE", gre(&[0, 0, 8, 6], &who_has)),
        ("VXLAN", over_udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0], &framed[..]].concat())),
        ("Geneve", over_udp(6081, &[&[0, 0, 8, 6, 0, 0, 1, 0], &who_has[..]].concat())),
    ] {
        let packets = all(&Decoder::default(), ETHERNET, &frame);
        let [outer, inner] = &packets[..] else { panic!("{what}: {packets:?}") };
        assert_eq!(inner.arp.map(|a| (a.opcode, a.dst.1)), Some((1, [192, 0, 2, 2])), "{what}");
        assert!(inner.ip.is_none() && outer.events.is_empty() && inner.events.is_empty(), "{what}");
    }
}

#[test]
fn link_headers_lead_to_the_packet() {
    let (v4, v6, e) = (packet4(), packet6(), frame4());
    let cat = |head: &[u8], body: &[u8]| [head, body].concat();
    for (what, linktype, frame, counter) in [
        ("PPP", 9, cat(&[0xff, 3, 0, 0x21], &v4), "ppp"),
        ("PPP, compressed", 9, cat(&[0x57], &v6), "ppp"),
        ("PPP in HDLC", 50, cat(&[0xff, 3, 0, 0x57], &v6), "ppp"),
        ("PPPoE", 51, cat(&[0x11, 0, 0, 1, 0, 60, 0, 0x21], &v4), "pppoe"),
        ("PPPoE in Ethernet", 1, ethertype(0x8864, &cat(&[0x11, 0, 0, 1, 0, 60, 0, 0x57], &v6)), "pppoe"),
        ("Cisco HDLC", 104, cat(&[0x0f, 0, 8, 0], &v4), "chdlc"),
        ("MPLS", 1, ethertype(0x8847, &cat(&[0, 1, 0, 64, 0, 2, 1, 64], &v4)), "mpls"),
        ("MPLS, explicit null", 1, ethertype(0x8847, &cat(&[0, 0, 0x21, 64], &v6)), "mpls"),
        ("MPLS pseudowire", 1, ethertype(0x8847, &cat(&[0, 2, 1, 64, 0, 0, 0, 0], &e)), "mpls"),
        (
            "NSH, fixed context",
            1,
            ethertype(0x894f, &cat(&[&[0, 6, 1, 1, 0, 0, 1, 2][..], &[0; 16]].concat(), &v4)),
            "nsh",
        ),
        ("NSH, Ethernet", 1, ethertype(0x894f, &cat(&[0, 2, 2, 3, 0, 0, 1, 2], &e)), "nsh"),
        ("VN-tag", 1, ethertype(0x8926, &cat(&[0, 0, 0, 0, 8, 0], &v4)), "vntag"),
        ("provider backbone", 1, ethertype(0x88e7, &[&[0; 16][..], &[8, 0], &v4].concat()), "ieee8021ah"),
        ("FabricPath", 1, ethertype(0x8903, &cat(&[0, 0], &e)), "dce"),
        ("raw", 101, v4.clone(), "raw"),
        ("loopback", 0, cat(&[2, 0, 0, 0], &v4), "null"),
    ] {
        let d = Decoder::default();
        let p = d.decode(raw(linktype, &frame));
        assert_eq!((p.ports(), p.payload), (Some((1111, 2222)), &b"inside"[..]), "{what}: {p:?}");
        assert!(p.events.is_empty() && p.inner.is_none() && p.depth == 0, "{what}");
        let mut c = Counters::default();
        c.count(&p);
        assert_eq!(c.named().find(|(n, _)| *n == counter).map(|(_, n)| n), Some(1), "{what}");
        for n in 0..frame.len() {
            all(&d, linktype, &frame[..n]);
        }
    }
}

#[test]
fn each_kind_of_damage_has_its_name() {
    let v4 = packet4();
    for (frame, want) in [
        (over4(253, b"hello"), "ipv4.unknown_protocol"),
        (over6(4, b"short"), "ipv6.ipv4_in_ipv6_too_small"),
        (over6(4, &packet6()), "ipv6.ipv4_in_ipv6_wrong_version"),
        (over6(41, &v4), "ipv6.ipv6_in_ipv6_too_small"),
        (over6(41, &[0x45; 60]), "ipv6.ipv6_in_ipv6_wrong_version"),
        (gre(&[0, 0], &[]), "gre.pkt_too_small"),
        (gre(&[0, 2, 8, 0], &v4), "gre.wrong_version"),
        (gre(&[1, 0, 8, 0], &v4), "gre.version0_recur"),
        (gre(&[0, 8, 8, 0], &v4), "gre.version0_flags"),
        (gre(&[0x20, 0, 8, 0], &[]), "gre.version0_hdr_too_big"),
        (gre(&[0x40, 0, 8, 0, 0, 0, 0, 0], &[8, 0, 0, 99]), "gre.version0_malformed_sre_hdr"),
        (gre(&[0xa0, 1, 0x88, 0x0b], &v4), "gre.version1_chksum"),
        (gre(&[0x60, 1, 0x88, 0x0b], &v4), "gre.version1_route"),
        (gre(&[0x28, 1, 0x88, 0x0b], &v4), "gre.version1_ssr"),
        (gre(&[0x21, 1, 0x88, 0x0b], &v4), "gre.version1_recur"),
        (gre(&[0x20, 9, 0x88, 0x0b], &v4), "gre.version1_flags"),
        (gre(&[0x20, 1, 8, 0], &v4), "gre.version1_wrong_protocol"),
        (gre(&[0, 1, 0x88, 0x0b], &v4), "gre.version1_no_key"),
        (gre(&[0x20, 1, 0x88, 0x0b], &[]), "gre.version1_hdr_too_big"),
        (gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 0], &[0x10]), "erspan.header_too_small"),
        (gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 0], &[0x70; 9]), "erspan.unsupported_version"),
        (
            over_udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0], &ethertype(0x1234, &v4)[..]].concat()),
            "vxlan.unknown_payload_type",
        ),
        (over_udp(6081, &[&[0, 0, 0x12, 0x34, 0, 0, 1, 0], &v4[..]].concat()), "geneve.unknown_payload_type"),
        (ethertype(0x8847, &[0, 1]), "mpls.header_too_small"),
        (ethertype(0x8847, &[0, 2, 1, 64]), "mpls.pkt_too_small"),
        (ethertype(0x8847, &[0, 0, 0x11, 64, 0x45]), "mpls.bad_label_router_alert"),
        (ethertype(0x8847, &[0, 0, 0x31, 64, 0x45]), "mpls.bad_label_implicit_null"),
        (ethertype(0x8847, &[0, 0, 0x51, 64, 0x45]), "mpls.bad_label_reserved"),
        (ethertype(0x8847, &[0, 2, 1, 64, 0x95]), "mpls.unknown_payload_type"),
        (ethertype(0x8863, &[0x11, 9, 0]), "pppoe.pkt_too_small"),
        (ethertype(0x8863, &[0x11, 8, 0, 0, 0, 0]), "pppoe.wrong_code"),
        (ethertype(0x8863, &[0x11, 9, 0, 0, 0, 5, 1, 1, 0, 9, 0]), "pppoe.malformed_tags"),
        (ethertype(0x8864, &[0x11, 0, 0, 0, 0, 0, 0]), "pppoe.pkt_too_small"),
        (ethertype(0x8864, &[0x11, 0, 0, 0, 0, 0, 0, 0x21, 1]), "ppp.ip4_pkt_too_small"),
        (ethertype(0x8864, &[0x11, 0, 0, 0, 0, 0, 0, 0x57, 1]), "ppp.ip6_pkt_too_small"),
        (ethertype(0x8864, &[0x11, 0, 0, 0, 0, 0, 0, 0x2f, 1]), "ppp.vju_pkt_too_small"),
        (ethertype(0x8864, &[0x11, 0, 0, 0, 0, 0, 0xc0, 0x21, 1]), "ppp.unsup_proto"),
        (ethertype(0x8864, &[0x11, 0, 0, 0, 0, 0, 0x12, 0x34, 1]), "ppp.wrong_type"),
        (ethertype(0x894f, &[0; 7]), "nsh.header_too_small"),
        (ethertype(0x894f, &[0x40, 2, 2, 1, 0, 0, 0, 0]), "nsh.unsupported_version"),
        (ethertype(0x894f, &[0, 9, 2, 1, 0, 0, 0, 0]), "nsh.bad_header_length"),
        (ethertype(0x894f, &[0, 2, 0, 1, 0, 0, 0, 0]), "nsh.reserved_type"),
        (ethertype(0x894f, &[0, 2, 5, 1, 0, 0, 0, 0]), "nsh.unsupported_type"),
        (ethertype(0x894f, &[0, 2, 2, 9, 0, 0, 0, 0]), "nsh.unknown_payload"),
        (ethertype(0x8926, &[0; 5]), "vntag.header_too_small"),
        (ethertype(0x8926, &[0; 6]), "vntag.unknown_type"),
        (ethertype(0x88e7, &[0; 17]), "ieee8021ah.header_too_small"),
        (ethertype(0x8903, &[0; 15]), "dce.pkt_too_small"),
    ] {
        let p = Decoder::default().decode(raw(ETHERNET, &frame));
        let names: Vec<_> = p.events.iter().map(|e| e.name().trim_start_matches("decoder.")).collect();
        assert_eq!(names, [want]);
        assert!(p.inner.is_none(), "{want}");
    }
    for (linktype, want) in [(9, "ppp.pkt_too_small"), (104, "chdlc.pkt_too_small")] {
        let p = Decoder::default().decode(raw(linktype, &[0]));
        assert_eq!(p.events.iter().map(|e| e.name().trim_start_matches("decoder.")).collect::<Vec<_>>(), [want]);
    }
    // Of ERSPAN's own VLAN id and three tags inside one is too many.
    let tagged = with_vlans(&frame4(), &[1, 2, 3]);
    let frame = gre(&[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1][..], &[0x10, 5, 0, 0, 0, 0, 0, 0]].concat(), &tagged);
    assert!(all(&Decoder::default(), ETHERNET, &frame)[1].events.has(Event::VlanTooManyLayers));
}

#[test]
fn a_datagram_on_a_tunnels_port_is_no_tunnel_for_that() {
    for (port, body) in [
        (4789, &[0u8; 40][..]),
        (4789, &[8; 8]),
        (6081, &[0xff; 40]),
        (6081, &[0x3f; 22]),
        (3544, b"GET / HTTP/1.0"),
        (3544, &[0x60; 41]),
        (3544, &[0, 1, 255, 255]),
    ] {
        let frame = over_udp(port, body);
        let packets = all(&Decoder::default(), ETHERNET, &frame);
        assert_eq!((packets.len(), packets[0].payload), (1, body), "{port}");
        assert!(packets[0].events.is_empty());
    }
    // Switched off, a tunnel is a datagram, and its frames need no closer look.
    let frame = over_udp(4789, &[&[8, 0, 0, 0, 0, 0, 1, 0], &frame4()[..]].concat());
    let off = Decoder { vxlan: lagewarte_decode::Ports::default(), ..Decoder::default() };
    assert_eq!((all(&off, ETHERNET, &frame).len(), off.route(ETHERNET, &frame) == Route::Deep), (1, false));
}

/// Threat: a frame that is nothing but headers.
#[test]
fn nesting_ends_at_the_limit_and_is_counted() {
    let mut packet = packet4();
    for _ in 0..60 {
        packet = over4(4, &packet)[14..].to_vec();
    }
    let frame = ethertype(0x0800, &packet);
    let d = Decoder::default();
    let packets = all(&d, ETHERNET, &frame);
    assert_eq!(packets.len(), 16, "the Ethernet header and fifteen of IP, and the one that was not read");
    assert!(packets[15].events.has(Event::TooManyLayers) && packets[15].events.invalid() && packets[15].ip.is_none());
    assert!(packets[..15].iter().all(|p| p.events.is_empty()));
    assert_eq!(packets[15].depth, 15);
    let labels = ethertype(0x8847, &[0u8; 400]);
    assert!(d.decode(raw(ETHERNET, &labels)).events.has(Event::TooManyLayers));
    let few = Decoder { max_layers: 3, ..d };
    assert_eq!(all(&few, ETHERNET, &frame).len(), 3);
}

proptest! {
    #[test]
    fn no_bytes_break_it(
        proto in prop::sample::select(vec![4u8, 41, 47]),
        head in prop::sample::select(vec![vec![], vec![0, 0, 8, 0], vec![0, 0, 0x88, 0xbe], vec![0x10, 0, 0x88, 0xbe, 0, 0, 0, 1], vec![0, 0, 0x65, 0x58]]),
        ports in prop::sample::select(vec![3544u16, 4789, 6081]),
        kind in prop::sample::select(vec![0x8847u16, 0x8863, 0x8864, 0x8926, 0x894f, 0x88e7, 0x8903, 0x8100]),
        body: Vec<u8>,
    ) {
        let d = Decoder::default();
        for frame in [over4(proto, &[head, body.clone()].concat()), over_udp(ports, &body), ethertype(kind, &body)] {
            let packets = all(&d, ETHERNET, &frame);
            prop_assert!(packets.len() <= d.max_layers.into());
            prop_assert!(packets.iter().all(|p| p.payload.len() <= frame.len()));
        }
    }
}
