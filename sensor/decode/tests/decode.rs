// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Behaviour of the decoder: what it understands, what it calls each kind of damage, and that nothing breaks it.

use std::net::IpAddr;

use etherparse::{SlicedPacket, TransportSlice};
use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Checksum, Counters, Decoder, Event, Packet, RawFrame, Route, Transport, owner};
use lagewarte_testkit::{arp, icmp_echo, icmp_unreachable, tcp, udp, with_vlans};
use proptest::prelude::*;

const LINKTYPES: [u16; 15] = [0, 1, 9, 12, 14, 50, 51, 101, 104, 108, 113, 228, 229, 276, 147];

fn decode(linktype: u16, data: &[u8]) -> Packet<'_> {
    let wire_len = data.len() as u32;
    Decoder::default().decode(RawFrame { index: 1, time: Timestamp::default(), linktype, wire_len, data })
}

/// The hash of a frame that is one plain packet.
fn shard(linktype: u16, data: &[u8]) -> u64 {
    match Decoder::default().route(linktype, data) {
        Route::Plain(hash) => hash,
        Route::Deep => owner(&decode(linktype, data)),
    }
}

fn names(p: &Packet<'_>) -> Vec<&'static str> {
    p.events.iter().map(|e| e.name().trim_start_matches("decoder.")).collect()
}

fn ip(s: &str) -> IpAddr {
    s.parse().expect("literal")
}

fn a4() -> (IpAddr, u16) {
    (ip("192.0.2.1"), 40_000)
}
fn b4() -> (IpAddr, u16) {
    (ip("198.51.100.9"), 80)
}
fn a6() -> (IpAddr, u16) {
    (ip("2001:db8::1"), 40_000)
}
fn b6() -> (IpAddr, u16) {
    (ip("2001:db8::2"), 80)
}

/// One good frame of every kind.
fn good() -> Vec<Vec<u8>> {
    let mut all = vec![arp([192, 0, 2, 1], [192, 0, 2, 2])];
    for (a, b) in [(a4(), b4()), (a6(), b6())] {
        let segment = tcp(a, b, 24, 7, 9, b"payload");
        let datagram = udp(a, b, b"payload");
        all.push(icmp_echo(a.0, b.0, true, 5, 6, b"ping"));
        all.push(icmp_unreachable(b.0, a.0, 3, &datagram));
        for tags in [&[5][..], &[5, 6], &[5, 6, 7]] {
            all.push(with_vlans(&segment, tags));
        }
        all.extend([segment, datagram]);
    }
    all
}

#[test]
fn good_frames_have_no_events_good_checksums_and_their_fields() {
    let mut counters = Counters::default();
    for frame in good() {
        let p = decode(1, &frame);
        assert_eq!(names(&p), [""; 0], "{frame:02x?}");
        counters.count(&p);
        match p.transport {
            Transport::Tcp(t) => {
                assert_eq!(
                    (t.src_port, t.dst_port, t.seq, t.ack, t.flags, p.payload),
                    (40_000, 80, 7, 9, 24, &b"payload"[..])
                );
                assert_eq!(p.checksum, Checksum::Good);
            }
            Transport::Udp(u) => {
                assert_eq!(
                    (u.src_port, u.dst_port, p.payload, p.checksum),
                    (40_000, 80, &b"payload"[..], Checksum::Good)
                );
            }
            Transport::Icmpv4(i) | Transport::Icmpv6(i) => match i.quoted {
                Some(q) => assert_eq!((q.proto, q.src_port, q.dst_port), (17, 40_000, 80)),
                None => assert_eq!((i.rest, p.payload), ([0, 5, 0, 6], &b"ping"[..])),
            },
            _ => assert!(p.ip.is_none(), "only ARP has no transport"),
        }
    }
    assert_eq!((counters.pkts, counters.vlan, counters.vlan_qinq, counters.vlan_qinqinq), (15, 6, 4, 2));
    assert_eq!((counters.tcp, counters.udp, counters.icmpv4, counters.icmpv6), (8, 2, 2, 2));
    assert_eq!((counters.invalid, counters.bad_checksum, counters.ipv4, counters.ipv6), (0, 0, 7, 7));
}

#[test]
fn every_link_type_leads_to_the_same_packet() {
    let frame = udp(a4(), b4(), b"x");
    let (v4, v6) = (&frame[14..], &udp(a6(), b6(), b"x")[14..]);
    let sll = [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], v4].concat();
    let sll2 = [&[0x86, 0xdd, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], v6].concat();
    for (linktype, data, is_v4) in [
        (0, [&[2, 0, 0, 0], v4].concat(), true),
        (0, [&[0, 0, 0, 30], v6].concat(), false),
        (108, [&[0, 0, 0, 2], v4].concat(), true),
        (12, v4.to_vec(), true),
        (101, v6.to_vec(), false),
        (228, v4.to_vec(), true),
        (229, v6.to_vec(), false),
        (113, sll, true),
        (276, sll2, false),
    ] {
        let p = decode(linktype, &data);
        assert_eq!(p.ports(), Some((40_000, 80)), "link type {linktype}");
        assert_eq!(p.ip.map(|i| i.src.is_ipv4()), Some(is_v4));
        assert_eq!(shard(linktype, &data), shard(1, &if is_v4 { frame.clone() } else { udp(a6(), b6(), b"x") }));
    }
}

#[test]
fn each_kind_of_damage_has_its_name() {
    let (t4, u4, t6) = (tcp(a4(), b4(), 2, 1, 0, b""), udp(a4(), b4(), b"abc"), tcp(a6(), b6(), 2, 1, 0, b"abcdefgh"));
    let with = |frame: &[u8], changes: &[(usize, u8)]| {
        let mut f = frame.to_vec();
        for &(at, byte) in changes {
            f[at] = byte;
        }
        f
    };
    // An IPv6 frame with extension headers before the TCP segment.
    let extended = |first: u8, ext: &[u8]| {
        let mut f = t6.clone();
        f[20] = first;
        let len = u16::from_be_bytes([f[18], f[19]]) + ext.len() as u16;
        f[18..20].copy_from_slice(&len.to_be_bytes());
        f.splice(54..54, ext.iter().copied());
        f
    };
    for (what, frame, want) in [
        ("no Ethernet header", vec![0; 13], "ethernet.pkt_too_small"),
        ("unknown ethertype", with(&t4, &[(12, 0x88), (13, 0xb5)]), "ethernet.unknown_ethertype"),
        ("cut VLAN tag", with_vlans(&t4, &[5])[..16].to_vec(), "vlan.header_too_small"),
        ("unknown ethertype in a VLAN", with(&with_vlans(&t4, &[5]), &[(16, 0x88), (17, 0xb5)]), "vlan.unknown_type"),
        ("four tags", with_vlans(&t4, &[1, 2, 3, 4]), "vlan.too_many_layers"),
        ("short IPv4", t4[..33].to_vec(), "ipv4.pkt_too_small"),
        ("IPv4 of version 5", with(&t4, &[(14, 0x55)]), "ipv4.wrong_ip_version"),
        ("IPv4 header of 16 bytes", with(&t4, &[(14, 0x44)]), "ipv4.hlen_too_small"),
        ("total length below the header's", with(&t4, &[(16, 0), (17, 19)]), "ipv4.iplen_smaller_than_hlen"),
        ("total length beyond the frame", with(&t4, &[(17, 200)]), "ipv4.trunc_pkt"),
        ("ICMPv6 in IPv4", with(&t4, &[(23, 58)]), "ipv4.icmpv6"),
        ("short IPv6", t6[..53].to_vec(), "ipv6.pkt_too_small"),
        ("IPv6 of version 4", with(&t6, &[(14, 0x40)]), "ipv6.wrong_ip_version"),
        ("cut IPv6", t6[..t6.len() - 1].to_vec(), "ipv6.trunc_pkt"),
        ("ICMP in IPv6", with(&t6, &[(20, 1)]), "ipv6.icmpv4"),
        ("extension header beyond the packet", with(&t6, &[(20, 0), (54, 6), (55, 99)]), "ipv6.trunc_exthdr"),
        ("data after no next header", with(&t6, &[(20, 59)]), "ipv6.data_after_none_header"),
        ("unknown next header", with(&t6, &[(20, 200)]), "ipv6.unknown_next_header"),
        ("routing header 0", extended(43, &[6, 0, 0, 0, 0, 0, 0, 0]), "ipv6.rh_type_0"),
        ("only padding, hop by hop", extended(0, &[6, 0, 1, 4, 0, 0, 0, 0]), "ipv6.hopopts_only_padding"),
        ("only padding, destination", extended(60, &[6, 0, 0, 0, 0, 0, 0, 0]), "ipv6.dstopts_only_padding"),
        ("option beyond its header", extended(0, &[6, 0, 5, 9, 0, 0, 0, 0]), "ipv6.exthdr_invalid_optlen"),
        ("unknown hop-by-hop option", extended(0, &[6, 0, 0x3e, 4, 0, 0, 0, 0]), "ipv6.hopopts_unknown_opt"),
        ("fragment header of a whole packet", extended(44, &[6, 0, 0, 0, 0, 0, 0, 1]), "ipv6.exthdr_useless_fh"),
        (
            "two fragment headers",
            extended(44, &[44, 0, 0, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0, 1]),
            "ipv6.exthdr_dupl_fh",
        ),
        ("nothing behind the IPv6 header", with(&t6[..54], &[(18, 0), (19, 0)]), "ipv6.trunc_exthdr"),
        ("short TCP", with(&t4[..50], &[(17, 36)]), "tcp.pkt_too_small"),
        ("TCP header beyond the packet", with(&t4, &[(46, 0x60)]), "tcp.hlen_too_small"),
        ("TCP header of 16 bytes", with(&t4, &[(46, 0x40)]), "tcp.invalid_optlen"),
        ("short UDP", with(&u4[..40], &[(17, 26)]), "udp.hlen_too_small"),
        ("UDP length below its header", with(&u4, &[(39, 7)]), "udp.len_invalid"),
        ("UDP length beyond the packet", with(&u4, &[(39, 99)]), "udp.pkt_too_small"),
        ("short ICMP", with(&icmp_echo(a4().0, b4().0, true, 1, 1, b"")[..38], &[(17, 24)]), "icmpv4.pkt_too_small"),
        ("unknown ICMP type", with(&icmp_echo(a4().0, b4().0, true, 1, 1, b""), &[(34, 99)]), "icmpv4.unknown_type"),
        ("unknown ICMP code", with(&icmp_echo(a4().0, b4().0, true, 1, 1, b""), &[(35, 9)]), "icmpv4.unknown_code"),
        ("quote cut short", icmp_unreachable(b4().0, a4().0, 1, &u4[..20]), "icmpv4.ipv4_trunc_pkt"),
        ("unknown ICMPv6 code", with(&icmp_echo(a6().0, b6().0, true, 1, 1, b""), &[(55, 9)]), "icmpv6.unknown_code"),
        (
            "unassigned ICMPv6 type",
            with(&icmp_echo(a6().0, b6().0, true, 1, 1, b""), &[(54, 50)]),
            "icmpv6.unassigned_type",
        ),
    ] {
        let p = decode(1, &frame);
        assert!(names(&p).contains(&want), "{what}: {:?} is not {want}", names(&p));
        assert_eq!(p.events.invalid(), p.events.iter().any(Event::invalidates), "{what}");
    }
}

#[test]
fn wrong_checksums_are_bad_and_not_tested_when_switched_off() {
    let header = 25; // last byte of the IPv4 header's checksum
    for (frame, at) in [
        (tcp(a4(), b4(), 16, 1, 1, b"abc"), header),
        (tcp(a4(), b4(), 16, 1, 1, b"abc"), 56),
        (udp(a4(), b4(), b"abc"), 43),
        (tcp(a6(), b6(), 16, 1, 1, b"abc"), 75),
        (udp(a6(), b6(), b"abc"), 63),
        (icmp_echo(a4().0, b4().0, true, 1, 2, b"x"), 42),
        (icmp_echo(a6().0, b6().0, true, 1, 2, b"x"), 62),
    ] {
        assert_eq!(decode(1, &frame).checksum, Checksum::Good);
        let mut wrong = frame.clone();
        wrong[at] ^= 1;
        assert_eq!(decode(1, &wrong).checksum, Checksum::Bad, "{at} of {wrong:02x?}");
        let raw = RawFrame { index: 1, time: Timestamp::default(), linktype: 1, wire_len: 99, data: &wrong };
        assert_eq!(Decoder { checksums: false, ..Decoder::default() }.decode(raw).checksum, Checksum::Untested);
    }
    let mut none = udp(a4(), b4(), b"abc");
    none[40..42].fill(0);
    assert_ne!(decode(1, &none).checksum, Checksum::Bad, "a UDP sender may leave the checksum out");
}

#[test]
fn fragments_are_recognised_and_go_where_their_flow_is() {
    let mut first = udp(a4(), b4(), &[0; 64]);
    first[20] = 0x20; // more fragments
    let mut later = first.clone();
    later[21] = 8;
    for frame in [&first, &later] {
        let p = decode(1, frame);
        assert!(p.ip.is_some_and(|i| i.fragment.is_some()) && matches!(p.transport, Transport::None));
        assert_eq!(shard(1, frame), shard(1, &udp(b4(), a4(), b"")), "fragments go where their flow is");
    }
}

#[test]
fn a_conversation_and_the_errors_about_it_have_one_shard() {
    let (out, back) = (tcp(a4(), b4(), 2, 1, 0, b""), tcp(b4(), a4(), 18, 1, 2, b""));
    let router = icmp_unreachable(ip("203.0.113.77"), a4().0, 1, &out);
    assert_eq!(shard(1, &out), shard(1, &back));
    assert_eq!(shard(1, &out), shard(1, &router), "an ICMP error goes where the flow is that it quotes");
    assert_eq!(shard(1, &out), shard(1, &with_vlans(&out, &[3, 4])));
    assert_eq!(shard(1, &tcp(a6(), b6(), 2, 1, 0, b"")), shard(1, &udp(b6(), a6(), b"")));
    let spread: std::collections::BTreeSet<_> =
        (0..64u8).map(|i| shard(1, &udp((IpAddr::from([10, 0, 0, i]), 1), b4(), b"")) % 4).collect();
    assert_eq!(spread.len(), 4, "neighbouring addresses are spread over the workers");
}

#[test]
fn every_truncation_decodes_to_something() {
    for frame in good() {
        for n in 0..=frame.len() {
            for linktype in LINKTYPES {
                let p = decode(linktype, &frame[..n]);
                assert!(p.payload.len() <= n);
                plain_is_plain(linktype, &frame[..n]);
                let _ = shard(linktype, &frame[..n]);
            }
        }
    }
}

/// What the narrow look calls a plain packet is one for the decoder, and its owner is the same.
fn plain_is_plain(linktype: u16, data: &[u8]) {
    let p = decode(linktype, data);
    if let Route::Plain(hash) = Decoder::default().route(linktype, data) {
        assert!(p.inner.is_none() && p.ip.is_none_or(|ip| ip.fragment.is_none()), "{p:?}");
        assert!(p.ip.is_none() || hash == owner(&p), "{p:?}");
    }
}

/// A good frame with some bytes changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(good()), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6)).prop_map(
        |(mut frame, changes)| {
            for (at, byte) in changes {
                let at = at.index(frame.len());
                frame[at] = byte;
            }
            frame
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_break_it(data: Vec<u8>, linktype in prop::sample::select(LINKTYPES.to_vec())) {
        let p = decode(linktype, &data);
        prop_assert!(p.payload.len() <= data.len());
        let mut c = Counters::default();
        c.count(&p);
        plain_is_plain(linktype, &data);
        prop_assert_eq!(c.invalid, u64::from(p.events.invalid()));
        let _ = shard(linktype, &data);
    }

    /// Where etherparse's strict whole-packet decoder understands a frame, so do we, in the same way.
    #[test]
    fn etherparse_agrees(frame in mutated()) {
        let ours = decode(1, &frame);
        let Ok(theirs) = SlicedPacket::from_ethernet(&frame) else { return Ok(()) };
        if theirs.is_ip_payload_fragmented() || ours.events.invalid() {
            return Ok(());
        }
        match theirs.transport {
            Some(TransportSlice::Tcp(t)) if ours.ip.is_some() => {
                let mine = ours.tcp().expect("TCP too");
                prop_assert_eq!((mine.src_port, mine.dst_port, mine.seq), (t.source_port(), t.destination_port(), t.sequence_number()));
                prop_assert_eq!(ours.payload, t.payload());
            }
            Some(TransportSlice::Udp(u)) if ours.ip.is_some() => {
                prop_assert_eq!(ours.ports(), Some((u.source_port(), u.destination_port())));
                prop_assert_eq!(ours.payload, u.payload());
            }
            _ => {}
        }
    }

    /// The dispatcher's narrow reading agrees with the decoder's: what becomes one flow goes to one worker.
    #[test]
    fn a_packet_and_its_answer_share_a_shard(frame in mutated()) {
        let p = decode(1, &frame);
        let (Some(ip), Some((s, d))) = (p.ip, p.ports()) else { return Ok(()) };
        plain_is_plain(1, &frame);
        if matches!(p.transport, Transport::Tcp(_)) && p.inner.is_none() && ip.src.is_ipv4() == ip.dst.is_ipv4() {
            let answer = tcp((ip.dst, d), (ip.src, s), 16, 1, 1, b"");
            prop_assert_eq!(shard(1, &frame), shard(1, &answer));
        }
    }
}
