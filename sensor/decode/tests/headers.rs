// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Options and extension headers with their oddities, ICMP's types, and what is asked of a packet: checksums, headers, names.

use std::net::IpAddr;

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{
    Arp, Counters, Decoder, Event, Events, Origin, Packet, PacketSource, Ports, RawFrame, Transport, Tunnel,
    linktype_name,
};
use lagewarte_testkit::{arp, icmp_echo, tcp, udp, with_vlans};

fn raw(linktype: u16, data: &[u8]) -> RawFrame<'_> {
    RawFrame { index: 1, time: Timestamp::default(), linktype, wire_len: data.len() as u32, data }
}
fn decode(linktype: u16, data: &[u8]) -> Packet<'_> {
    Decoder { checksums: false, ..Decoder::default() }.decode(raw(linktype, data))
}
fn names(p: &Packet<'_>) -> Vec<&'static str> {
    p.events.iter().map(|e| e.name().trim_start_matches("decoder.")).collect()
}
fn ip(s: &str) -> IpAddr {
    s.parse().expect("literal")
}

/// An IPv4 packet with these options (RFC 791, 3.1) before a UDP datagram without payload.
fn v4(options: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let header = 20 + options.len() as u8;
    let mut p = vec![0x40 | (header / 4), 0, 0, header + 8, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 9];
    p.extend_from_slice(options);
    p.extend([0x9c, 0x40, 0, 53, 0, 8, 0, 0]);
    p
}
/// An IPv6 packet whose first next header is this one, and what follows.
fn v6(next: u8, hops: u8, body: &[u8]) -> Vec<u8> {
    let address = |n: u8| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n];
    [&[0x60, 0, 0, 0, 0, body.len() as u8, next, hops][..], &address(1), &address(2), body].concat()
}
const UDP: &[u8] = &[0x9c, 0x40, 0, 53, 0, 8, 0, 0];

#[test]
fn options_of_ipv4_are_judged_one_by_one() {
    for (options, want) in [
        (&[][..], &[][..]),
        (&[1, 1, 1, 0], &[]),                                     // padding, the end
        (&[0, 7, 99, 1], &[]),                                    // nothing is read behind the end
        (&[148, 4, 0, 0], &[]),                                   // router alert (RFC 2113)
        (&[148, 3, 0, 0], &["ipv4.opt_invalid_len"]),             // which has four bytes
        (&[7, 7, 4, 0, 0, 0, 0, 0], &[]),                         // record route
        (&[7, 2, 0, 0], &["ipv4.opt_malformed"]),                 // without a pointer
        (&[7, 40, 4, 0], &["ipv4.opt_invalid_len"]),              // beyond the header
        (&[7, 1, 0, 0], &["ipv4.opt_invalid_len"]),               // shorter than its own length
        (&[1, 1, 1, 7], &["ipv4.opt_invalid_len"]),               // no length
        (&[136, 4, 0, 1, 136, 4, 0, 1], &["ipv4.opt_duplicate"]), // a stream's number twice
        (&[222, 4, 0, 0], &["ipv4.opt_unknown"]),
        (&[68, 4, 5, 0, 131, 3, 4, 0], &[]), // timestamp, loose source route
    ] {
        let data = v4(options);
        let p = decode(228, &data);
        assert_eq!(names(&p), want, "{options:?}");
        assert_eq!(p.ports(), Some((40_000, 53)), "{options:?}: an odd option hides nothing");
    }
}

#[test]
fn extension_headers_of_ipv6_are_walked_and_judged() {
    let h = |next: u8, rest: [u8; 6]| [&[next, 0][..], &rest].concat();
    let alert = [5, 2, 0, 0, 0, 0]; // router alert, two bytes of padding
    for (first, headers, want) in [
        (0, h(17, alert), &[][..]),
        (43, [h(43, [4, 0, 0, 0, 0, 0]), h(17, [4, 0, 0, 0, 0, 0])].concat(), &["ipv6.exthdr_dupl_rh"]),
        (0, [h(0, alert), h(17, alert)].concat(), &["ipv6.exthdr_dupl_hh"]),
        (60, [h(60, alert), h(17, alert)].concat(), &[]), // once before a routing header, once at the end
        (60, [h(60, alert), h(60, alert), h(17, alert)].concat(), &["ipv6.exthdr_dupl_dh"]),
        (60, h(17, [0x3e, 4, 0, 0, 0, 0]), &["ipv6.dstopts_unknown_opt"]),
        (0, h(17, [5, 1, 0, 1, 1, 0]), &["ipv6.exthdr_invalid_optlen"]), // a router alert has two bytes
        (0, h(17, [0xc2, 4, 0, 1, 0, 0]), &[]),                          // jumbo payload
        (0, h(17, [1, 0, 5, 2, 0, 0]), &["ipv6.zero_len_padn"]),
        (60, h(17, [0, 0, 0, 0, 0, 5]), &["ipv6.exthdr_invalid_optlen"]), // a kind without a length
        // An authentication header with an index, a number and four bytes (RFC 4302, 2).
        (51, [&[17, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9][..]].concat(), &[]),
        (51, [&[17, 2, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9][..]].concat(), &["ipv6.exthdr_ah_res_not_null"]),
        (
            51,
            [
                &[51, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9][..],
                &[17, 2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9, 9],
            ]
            .concat(),
            &["ipv6.exthdr_dupl_ah"],
        ),
        (44, vec![17, 9, 0, 0, 0, 0, 0, 1], &["ipv6.exthdr_useless_fh", "ipv6.fh_non_zero_reserved_field"]),
    ] {
        let data = v6(first, 64, &[&headers[..], UDP].concat());
        let p = decode(229, &data);
        assert_eq!(names(&p), want, "{headers:02x?}");
        assert_eq!(p.ports(), Some((40_000, 53)), "{headers:02x?}: the datagram behind is found");
        // Cut anywhere in the extension headers.
        for n in 0..headers.len() {
            let cut = v6(first, 64, &headers[..n]);
            assert!(decode(229, &cut).ports().is_none(), "{headers:02x?} cut at {n}");
        }
    }
    // Nothing follows, and says so; headers without end.
    assert_eq!(names(&decode(229, &v6(59, 64, &[]))), [""; 0]);
    let endless: Vec<u8> = h(60, alert).repeat(20);
    assert!(names(&decode(229, &v6(60, 64, &endless))).contains(&"ipv6.trunc_exthdr"));
    // A fragment that others follow has a length of eights.
    let fragment = [&[17, 0, 0, 1, 0, 0, 0, 7][..], &[0; 9]].concat();
    let data = v6(44, 64, &fragment);
    let p = decode(229, &data);
    assert_eq!(names(&p), ["ipv6.frag_invalid_length"]);
    let f = p.ip.unwrap().fragment.unwrap();
    assert_eq!((f.offset, f.more, f.id, f.next), (0, true, 7, 17));
    // What has no ports: mobility, host identity, shim.
    for number in [135, 139, 140] {
        assert_eq!(names(&decode(229, &v6(number, 64, &[59, 0, 0, 0, 0, 0, 0, 0]))), [""; 0], "{number}");
    }
}

#[test]
fn each_type_of_icmp_has_its_codes() {
    // Type, a code that it has, one that it has not, how the first is called where it is odd.
    for (kind, good, bad) in
        [(0, 0, 1), (3, 15, 16), (5, 3, 4), (9, 16, 17), (10, 0, 1), (11, 1, 2), (12, 2, 3), (18, 0, 1)]
    {
        for (code, want) in [(good, &[][..]), (bad, &["icmpv4.unknown_code"])] {
            let mut data = v4(&[]);
            (data[9], data[20], data[21]) = (1, kind, code);
            assert_eq!(names(&decode(228, &data)), want, "{kind} {code}");
        }
    }
    for (kind, code, hops, want) in [
        (1, 8, 64, &[][..]),
        (1, 9, 64, &["icmpv6.unknown_code"]),
        (3, 1, 64, &[]),
        (4, 10, 64, &[]),
        (138, 255, 64, &[]),
        (139, 2, 64, &[]),
        (139, 3, 64, &["icmpv6.unknown_code"]),
        (100, 0, 64, &["icmpv6.experimentation_type"]),
        (201, 0, 64, &["icmpv6.experimentation_type"]),
        (99, 0, 64, &["icmpv6.unassigned_type"]),
        (160, 0, 64, &["icmpv6.unassigned_type"]),
        (0, 0, 64, &["icmpv6.unknown_type"]),
        (127, 0, 64, &["icmpv6.unknown_type"]),
        (131, 0, 1, &[]),
        (131, 0, 64, &["icmpv6.mld_message_with_invalid_hl"]),
    ] {
        let data = v6(58, hops, &[kind, code, 0, 0, 0, 0, 0, 0]);
        assert_eq!(names(&decode(229, &data)), want, "{kind} {code}");
    }
    // What an error quotes has to be of its own version.
    let about = |quoted: &[u8]| v6(58, 64, &[&[1, 0, 0, 0, 0, 0, 0, 0][..], quoted].concat());
    let whole = v6(17, 64, UDP);
    assert_eq!(names(&decode(229, &about(&whole[..39]))), ["icmpv6.ipv6_trunc_pkt"]);
    assert_eq!(names(&decode(229, &about(&v4(&[0; 20])))), ["icmpv6.ipv6_unknown_version"]);
    let data = about(&whole);
    let quoted = decode(229, &data).icmp().unwrap().quoted.unwrap();
    assert_eq!((quoted.proto, quoted.src_port, quoted.dst_port), (17, 40_000, 53));
    // A timestamp has twelve bytes more in its header (RFC 792).
    let mut stamp = v4(&[0; 12]);
    (stamp[0], stamp[9], stamp[20]) = (0x45, 1, 13);
    assert_eq!(decode(228, &stamp).payload, b"", "{stamp:?}");
    assert_eq!(
        names(&decode(228, &{
            let mut p = v4(&[]);
            (p[3], p[9]) = (24, 50);
            p.truncate(24);
            p
        })),
        ["esp.pkt_too_small"]
    );
}

#[test]
fn a_packet_answers_what_is_asked_of_it() {
    let (a, b) = ((ip("192.0.2.1"), 40_000), (ip("198.51.100.9"), 80));
    let segment = tcp(a, b, 2, 7, 0, b"");
    let p = decode(1, &segment);
    assert_eq!((p.ip_checksum(), p.transport_checksum()), (Some(true), Some(true)));
    assert_eq!((p.ether_header().map(<[u8]>::len), p.tcp().map(|t| t.seq)), (Some(14), Some(7)));
    assert!(p.icmp().is_none() && p.sctp().is_none() && p.igmp().is_none() && !p.never_sent());
    let root = p.as_root().unwrap();
    assert_eq!((root.src, root.dst, root.ports, root.proto), (a.0, b.0, (40_000, 80), 6));
    let mut broken = segment.clone();
    broken[25] ^= 1; // the header's checksum
    broken[51] ^= 1; // the segment's
    let p = decode(1, &broken);
    assert_eq!((p.ip_checksum(), p.transport_checksum()), (Some(false), Some(false)));
    let echo = icmp_echo(a.0, b.0, true, 1, 2, b"");
    let p = decode(1, &echo);
    assert_eq!((p.ports(), p.icmp().map(|i| i.kind), p.transport_checksum()), (None, Some(8), Some(true)));
    assert!(p.tcp().is_none());
    // A datagram may have no checksum (RFC 768); of IPv6 there is none in the header.
    assert_eq!(decode(228, &v4(&[])).transport_checksum(), None);
    let v6 = udp((ip("2001:db8::1"), 1), (ip("2001:db8::2"), 2), b"");
    assert_eq!((decode(1, &v6).ip_checksum(), decode(1, &v6).transport_checksum()), (None, Some(true)));
    // Not a frame of Ethernet, not a packet at all.
    assert_eq!(decode(101, &segment[14..]).ether_header(), None);
    let cut = decode(1, &segment[..14]);
    assert!(cut.as_root().is_none() && cut.ip_checksum().is_none() && cut.transport_checksum().is_none());
    // The end of a flow.
    for (proto, ports) in [(6, Some((40_000, 80))), (17, Some((40_000, 80))), (1, None)] {
        let p = Packet::at_end(9, Timestamp::default(), a, b, proto);
        assert!(p.never_sent() && p.ports() == ports && p.source.name() == "stream (flow timeout)", "{proto}");
    }
}

#[test]
fn sources_link_types_and_opcodes_have_the_names_of_eve() {
    for (tunnel, name) in [
        (Tunnel::Gre, "gre tunnel"),
        (Tunnel::Erspan, "gre tunnel"),
        (Tunnel::Ipv6InIpv4, "ipv4 tunnel"),
        (Tunnel::Ipv4InIpv6, "ipv6 tunnel"),
        (Tunnel::Teredo, "teredo tunnel"),
        (Tunnel::Vxlan, "vxlan encapsulation"),
        (Tunnel::Geneve, "geneve encapsulation"),
    ] {
        assert_eq!(PacketSource::Tunnel(tunnel).name(), name);
    }
    assert_eq!((PacketSource::Wire.name(), PacketSource::Defrag.name()), ("wire/pcap", "defrag"));
    for (linktype, name) in [
        (0, "NULL"),
        (1, "EN10MB"),
        (12, "RAW"),
        (104, "C_HDLC"),
        (113, "LINUX_SLL"),
        (228, "IPv4"),
        (276, "LINUX_SLL2"),
    ] {
        assert_eq!(linktype_name(linktype), Some(name));
    }
    assert_eq!(linktype_name(147), None);
    let frame = arp([192, 0, 2, 1], [192, 0, 2, 2]);
    let one = decode(1, &frame).arp.unwrap();
    for (opcode, name) in
        [(1, Some("request")), (2, Some("reply")), (3, Some("request_reverse")), (10, Some("arp_nak")), (5, None)]
    {
        assert_eq!(Arp { opcode, ..one }.opcode_name(), name);
    }
}

#[test]
fn what_was_put_together_has_the_links_of_its_last_fragment() {
    let frame = with_vlans(&udp((ip("192.0.2.1"), 1), (ip("198.51.100.9"), 2), b"abc"), &[7]);
    let decoder = Decoder::default();
    let p = decoder.decode(raw(1, &frame));
    let again = decoder.rebuilt(raw(1, &frame), Origin::of(&p));
    assert_eq!((again.source, again.payload, again.vlans), (PacketSource::Defrag, &b"abc"[..], p.vlans));
    assert_eq!(again.root.map(|r| r.src), Some(ip("192.0.2.1")));
    let v6 = udp((ip("2001:db8::1"), 1), (ip("2001:db8::2"), 2), b"abc");
    let again = decoder.rebuilt(raw(1, &v6), Origin::of(&decoder.decode(raw(1, &v6))));
    assert!(matches!(again.transport, Transport::Udp(_)) && again.payload == b"abc");
    // Where nothing is left behind the link header.
    let none = decoder.rebuilt(raw(1, &v6[..10]), Origin::of(&decoder.decode(raw(1, &v6))));
    assert!(none.ip.is_none() && none.events.has(Event::Ipv4PktTooSmall));
}

#[test]
fn ports_events_and_counts_add_up() {
    let mut ports = Ports::default();
    assert!((1..=4).all(|p| ports.push(p)) && !ports.push(5), "four at most");
    assert!(ports.has(4) && !ports.has(5) && !ports.has(0));
    assert_eq!(ports.iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    let mut events = Events::default();
    let mut other = Events::default();
    events.set(Event::Ipv4TruncPkt);
    other.set(Event::TooManyLayers);
    events.add(other);
    assert!(events.has(Event::Ipv4TruncPkt) && events.has(Event::TooManyLayers) && !events.is_empty());
    let (a, b) = (tcp((ip("192.0.2.1"), 1), (ip("192.0.2.2"), 2), 2, 1, 0, b""), arp([192, 0, 2, 1], [192, 0, 2, 2]));
    let (mut one, mut two) = (Counters::default(), Counters::default());
    one.count(&decode(1, &a));
    two.count(&decode(1, &b));
    two.count(&decode(1, &a[..20]));
    one.add(&two);
    let of = |name: &str| one.named().find(|(n, _)| *n == name).map(|(_, v)| v);
    assert_eq!((of("pkts"), of("tcp"), of("arp"), of("invalid")), (Some(3), Some(1), Some(1), Some(1)));
    assert_eq!(of("max_pkt_size"), Some(a.len().max(b.len()) as u64));
    assert_eq!(one.events().map(|(e, n)| (e.name(), n)).collect::<Vec<_>>(), [("decoder.ipv4.pkt_too_small", 1)]);
}
