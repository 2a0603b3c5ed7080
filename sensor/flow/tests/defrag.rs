// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Behaviour of putting fragments together: every order, the policies against the published pattern, damage, caps.

use std::net::IpAddr;

use lagewarte_base::time::Timestamp;
use lagewarte_decode::{Checksum, Decoder, Event, Origin, PacketSource, RawFrame};
use lagewarte_flow::defrag::{ByHost, Config, Counters, Defrag, Outcome, Policy};
use lagewarte_testkit::udp;
use proptest::prelude::*;

fn ip(s: &str) -> IpAddr {
    s.parse().expect("literal")
}

/// One fragment of an IPv4 packet as a frame.
fn fragment4(id: u16, at: u16, more: bool, proto: u8, data: &[u8]) -> Vec<u8> {
    let mut f = udp((ip("192.0.2.1"), 1), (ip("198.51.100.7"), 2), b"");
    f.truncate(34);
    f.extend_from_slice(data);
    f[16..18].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
    f[18..20].copy_from_slice(&id.to_be_bytes());
    f[20..22].copy_from_slice(&((at / 8) | (u16::from(more) << 13)).to_be_bytes());
    f[23] = proto;
    f[24..26].fill(0);
    let sum = f[14..34].chunks(2).fold(0u32, |s, w| s + u32::from(w[0]) * 256 + u32::from(w[1]));
    f[24..26].copy_from_slice(&(!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes());
    f
}

/// One fragment of an IPv6 packet as a frame, behind a destination options header where `options`.
fn fragment6(id: u32, at: u16, more: bool, next: u8, options: bool, data: &[u8]) -> Vec<u8> {
    let mut f = udp((ip("2001:db8::1"), 1), (ip("2001:db8::2"), 2), b"");
    f.truncate(54);
    f[20] = if options { 60 } else { 44 };
    if options {
        f.extend_from_slice(&[44, 0, 1, 4, 0, 0, 0, 0]);
    }
    f.extend_from_slice(&[next, 0]);
    f.extend_from_slice(&(at | u16::from(more)).to_be_bytes());
    f.extend_from_slice(&id.to_be_bytes());
    f.extend_from_slice(data);
    let len = (f.len() - 54) as u16;
    f[18..20].copy_from_slice(&len.to_be_bytes());
    f
}

fn put(d: &mut Defrag, secs: i64, frame: &[u8]) -> Outcome {
    let time = Timestamp::from_parts(secs, 0);
    let raw = RawFrame { index: 1, time, linktype: 1, wire_len: frame.len() as u32, data: frame };
    d.packet(&Decoder::default().decode(raw))
}

fn names(o: &Outcome) -> Vec<&'static str> {
    o.events.iter().map(Event::name).collect()
}

/// A UDP datagram of both families in fragments of (begin, end), and the packet it is.
fn datagrams(cuts: &[usize]) -> Vec<(Vec<Vec<u8>>, Vec<u8>)> {
    let payload: Vec<u8> = (0..200u16).map(|i| i as u8).collect();
    let mut all = Vec::new();
    for (a, b) in [("192.0.2.1", "198.51.100.7"), ("2001:db8::1", "2001:db8::2")] {
        let frame = udp((ip(a), 5353), (ip(b), 5354), &payload);
        let v4 = ip(a).is_ipv4();
        let packet = frame[14..].to_vec();
        let body = &packet[if v4 { 20 } else { 40 }..];
        let mut edges = vec![0];
        edges.extend(cuts.iter().map(|c| c * 8).filter(|c| *c < body.len()));
        edges.push(body.len());
        edges.sort_unstable();
        edges.dedup();
        let part = |w: &[usize]| {
            let (data, at, more) = (&body[w[0]..w[1]], w[0] as u16, w[1] < body.len());
            if v4 { fragment4(77, at, more, 17, data) } else { fragment6(77, at, more, 17, false, data) }
        };
        all.push((edges.windows(2).map(part).collect(), packet));
    }
    all
}

proptest! {
    /// Whatever the order, and whatever comes twice: the whole packet comes out, once, and decodes as if it had never
    /// been cut.
    #[test]
    fn any_order_gives_the_packet(
        cuts in prop::collection::vec(1usize..26, 1..6),
        order in Just(()).prop_perturb(|(), mut rng| rng.random::<u64>()),
        twice: bool,
    ) {
        for (mut fragments, whole) in datagrams(&cuts) {
            let n = fragments.len();
            if n < 2 {
                continue;
            }
            let mut seed = order;
            for i in (1..n).rev() {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                fragments.swap(i, (seed >> 33) as usize % (i + 1));
            }
            let mut d = Defrag::new(Config::default());
            let mut out = Vec::new();
            for (i, f) in fragments.iter().enumerate() {
                if twice && i + 1 < n {
                    prop_assert!(put(&mut d, 1, f).whole.is_none());
                }
                let o = put(&mut d, 1, f);
                prop_assert_eq!(o.whole.is_some(), i + 1 == n, "after the last fragment, whichever it is");
                out.extend(o.whole);
            }
            let [packet] = &out[..] else { panic!("{out:?}") };
            let frame = |data| RawFrame { index: 1, time: Timestamp::default(), linktype: 1, wire_len: 0, data };
            let p = Decoder::default().rebuilt(frame(packet), Origin::default());
            prop_assert_eq!(packet.len(), whole.len());
            prop_assert_eq!(p.ports(), Some((5353, 5354)));
            prop_assert_eq!((p.checksum, p.source), (Checksum::Good, PacketSource::Defrag));
            prop_assert!(p.events.is_empty());
            prop_assert_eq!(&packet[packet.len() - 208..], &whole[whole.len() - 208..]);
            prop_assert_eq!((d.active(), d.counters().memuse), (0, 0), "nothing stays behind");
        }
    }

    /// Against a model that knows nothing of pieces: an array of owners, byte by byte.
    #[test]
    fn overlaps_are_resolved_as_a_byte_array_would(
        parts in prop::collection::vec((0u16..12, 1u16..6), 1..10),
        policy in prop::sample::select(vec![Policy::Bsd, Policy::BsdRight, Policy::Linux, Policy::Windows, Policy::Solaris, Policy::First, Policy::Last]),
    ) {
        let mut model: Vec<Option<(u8, (u16, u16))>> = vec![None; 24];
        let mut d = Defrag::new(Config { policy: ByHost::new(policy), ..Config::default() });
        let end = 20;
        for (n, (at, len)) in parts.iter().enumerate() {
            let new = (*at, at + len);
            for unit in new.0..new.1 {
                let slot = &mut model[usize::from(unit)];
                let wins = match *slot {
                    None => true,
                    Some((_, old)) => match policy {
                        Policy::First => false,
                        Policy::Last => true,
                        Policy::Bsd => old.0 > new.0,
                        Policy::BsdRight => old.0 <= new.0,
                        Policy::Linux => old.0 >= new.0,
                        Policy::Windows => new.0 < old.0 && new.1 > old.1,
                        Policy::Solaris => new.0 < old.0 && new.1 >= old.1,
                    },
                };
                if wins {
                    *slot = Some((n as u8 + 1, new));
                }
            }
            prop_assert!(put(&mut d, 1, &fragment4(9, at * 8, true, 253, &vec![n as u8 + 1; usize::from(*len) * 8])).whole.is_none());
        }
        // What is missing is filled, unit by unit; the last one ends the datagram.
        let mut whole = None;
        for unit in 0..=end {
            if model[usize::from(unit)].is_none() {
                let o = put(&mut d, 1, &fragment4(9, unit * 8, unit < end, 253, &[0xee; 8]));
                prop_assert!(whole.is_none());
                whole = o.whole;
                model[usize::from(unit)] = Some((0xee, (0, 0)));
            }
        }
        let whole = whole.expect("complete");
        let got: Vec<u8> = whole[20..].chunks(8).map(|c| c[0]).collect();
        let want: Vec<u8> = model[..=usize::from(end)].iter().map(|m| m.expect("filled").0).collect();
        prop_assert_eq!(got, want);
    }
}

/// The six fragments of Shankar and Paxson ("Active Mapping", 2003), as each system puts them together.
#[test]
fn the_published_pattern_comes_out_as_published() {
    for (system, want) in [
        ("bsd", "111442333666"),
        ("bsd-right", "144422555666"),
        ("linux", "111442555666"),
        ("first", "111422333666"),
        ("last", "144442555666"),
    ] {
        let policy = ByHost::new(Policy::of_host(system).expect(system));
        let mut d = Defrag::new(Config { policy, ..Config::default() });
        let mut whole = None;
        for (at, len, byte, more) in [
            (0, 3, '1', true),
            (4, 2, '2', true),
            (6, 3, '3', true),
            (1, 4, '4', true),
            (6, 3, '5', true),
            (9, 3, '6', false),
        ] {
            let o = put(&mut d, 1, &fragment4(5, at * 8, more, 253, &vec![byte as u8; len * 8]));
            assert_eq!(names(&o), if matches!(byte, '4' | '5') { vec!["decoder.ipv4.frag_overlap"] } else { vec![] });
            whole = o.whole;
        }
        let got: String = whole.expect("complete")[20..].chunks(8).map(|c| char::from(c[0])).collect();
        assert_eq!(got, want, "{system}");
        assert_eq!(d.counters().overlaps, 2);
    }
    // Where only Windows and Solaris differ: a fragment that begins before another and ends where it does.
    for (system, want) in [("windows", "211"), ("solaris", "222")] {
        let policy = ByHost::new(Policy::of_host(system).expect(system));
        let mut d = Defrag::new(Config { policy, ..Config::default() });
        put(&mut d, 1, &fragment4(5, 8, false, 253, &[b'1'; 16]));
        let o = put(&mut d, 1, &fragment4(5, 0, true, 253, &[b'2'; 24]));
        let got: String = o.whole.expect("complete")[20..].chunks(8).map(|c| char::from(c[0])).collect();
        assert_eq!(got, want, "{system}");
    }
}

#[test]
fn headers_before_the_fragment_header_stay() {
    let body = udp((ip("2001:db8::1"), 7), (ip("2001:db8::2"), 8), &[1; 24])[54..].to_vec();
    let mut d = Defrag::new(Config::default());
    assert!(put(&mut d, 1, &fragment6(3, 16, false, 17, true, &body[16..])).whole.is_none());
    let whole = put(&mut d, 1, &fragment6(3, 0, true, 17, true, &body[..16])).whole.expect("complete");
    assert_eq!((whole[6], whole[40], whole.len()), (60, 17, 48 + body.len()), "options, then what was fragmented");
    let raw = RawFrame { index: 1, time: Timestamp::default(), linktype: 1, wire_len: 0, data: &whole };
    let p = Decoder::default().rebuilt(raw, Origin::default());
    assert_eq!((p.ports(), p.checksum), (Some((7, 8)), Checksum::Good));
}

#[test]
fn what_no_receiver_takes_is_not_taken() {
    let mut d = Defrag::new(Config::default());
    let frag = |at, more, len| fragment4(1, at, more, 253, &vec![7; len]);
    assert_eq!(names(&put(&mut d, 1, &frag(65_528, false, 100))), ["decoder.ipv4.frag_pkt_too_large"]);
    assert_eq!(
        names(&put(&mut d, 1, &fragment6(1, 65_528, false, 17, false, &[0; 64]))),
        ["decoder.ipv6.frag_pkt_too_large"]
    );
    assert!(put(&mut d, 1, &frag(0, true, 0)).whole.is_none());
    put(&mut d, 1, &fragment6(1, 0, true, 17, false, &[0; 13]));
    assert_eq!((d.active(), d.counters().too_large, d.counters().ignored), (0, 2, 2));
    // Against a length that is known.
    put(&mut d, 1, &frag(8, false, 8));
    assert_eq!(names(&put(&mut d, 1, &frag(16, true, 8))), ["decoder.ipv4.frag_ignored"]);
    assert_eq!(names(&put(&mut d, 1, &frag(16, false, 8))), ["decoder.ipv4.frag_ignored"]);
    assert_eq!(names(&put(&mut d, 1, &frag(8, false, 4))), ["decoder.ipv4.frag_overlap"]);
    assert_eq!(put(&mut d, 1, &frag(0, true, 8)).whole.map(|w| w.len()), Some(36));
    // A wrong header checksum.
    let mut wrong = frag(0, true, 8);
    wrong[25] ^= 1;
    put(&mut d, 1, &wrong);
    assert_eq!((d.counters().bad_checksum, d.active()), (1, 0));
    // IPv4 takes whole units of a fragment that others follow.
    put(&mut d, 1, &frag(0, true, 13));
    assert_eq!(put(&mut d, 1, &frag(8, false, 4)).whole.map(|w| w.len()), Some(32));
}

#[test]
fn identification_protocol_addresses_and_family_tell_datagrams_apart() {
    let mut d = Defrag::new(Config::default());
    put(&mut d, 1, &fragment4(1, 0, true, 17, &[1; 8]));
    put(&mut d, 1, &fragment4(2, 8, false, 17, &[1; 8]));
    put(&mut d, 1, &fragment4(1, 8, false, 6, &[1; 8]));
    put(&mut d, 1, &fragment6(1, 8, false, 17, false, &[1; 8]));
    assert_eq!((d.active(), d.counters().reassembled), (4, [0, 0]));
    assert!(put(&mut d, 1, &fragment4(1, 8, false, 17, &[1; 8])).whole.is_some());
    // IPv6 is told apart without the protocol.
    assert!(put(&mut d, 1, &fragment6(1, 0, true, 6, false, &[1; 8])).whole.is_some());
}

#[test]
fn datagrams_time_out_on_packet_time_by_destination() {
    let mut timeout = ByHost::new(60);
    timeout.add("198.51.100.0/24".parse().expect("literal"), 30);
    let mut d = Defrag::new(Config { timeout, ..Config::default() });
    let first = fragment4(1, 0, true, 17, &[1; 8]);
    put(&mut d, 100, &first);
    put(&mut d, 100, &fragment6(1, 0, true, 17, false, &[1; 8]));
    put(&mut d, 129, &fragment4(1, 8, true, 17, &[1; 8])); // keeps it
    put(&mut d, 158, &fragment4(9, 0, true, 17, &[1; 8]));
    assert_eq!((d.active(), d.counters().timeout), (3, 0));
    assert!(put(&mut d, 160, &fragment4(1, 16, false, 17, &[1; 8])).whole.is_none(), "it came too late");
    assert_eq!(d.counters().timeout, 1);
    put(&mut d, 161, &fragment6(2, 0, true, 17, false, &[1; 8]));
    assert_eq!(d.counters().timeout, 2, "a minute for who is not named");
}

/// Threat: millions of fragments that nobody completes. Each cap is hit, holds, and is counted.
#[test]
fn a_flood_stays_below_every_cap() {
    let small = Config { memcap: 1 << 20, trackers: 500, max_frags: 900, ..Config::default() };
    for (cfg, ids, units, reached) in [
        (Config { trackers: 1 << 20, max_frags: 1 << 20, ..small.clone() }, 1u32 << 20, 1u32, 0),
        (Config { memcap: 1 << 30, max_frags: 1 << 20, ..small.clone() }, 1 << 20, 1, 1),
        (Config { memcap: 1 << 30, trackers: 1 << 20, ..small }, 16, 8000, 2),
    ] {
        let mut d = Defrag::new(cfg.clone());
        let mut n = 0u32;
        for _ in 0..300_000 {
            n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (id, at) = ((n >> 8) % ids, ((n >> 4) % units * 8) as u16);
            put(&mut d, 1, &fragment6(id, at, true, 17, false, &[1; 8]));
            assert!(d.counters().memuse <= cfg.memcap && d.active() <= cfg.trackers);
        }
        let Counters { memcap_reached, max_trackers_reached, max_frags_reached, hard_reuse, memuse_peak, .. } =
            d.counters();
        let counts = [memcap_reached, max_trackers_reached, max_frags_reached];
        assert!(counts[reached] > 0, "{counts:?}");
        assert_eq!(hard_reuse, counts.iter().sum::<u64>());
        assert!(memuse_peak > 0 && memuse_peak <= cfg.memcap);
        assert_eq!(d.counters().fragments, [0, 300_000]);
    }
}
