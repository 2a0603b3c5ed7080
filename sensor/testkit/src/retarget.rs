// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Other addresses for a recorded capture, and several captures as one.
//!
//! Checksums are corrected by the difference (RFC 1624), so that right ones stay right and wrong ones stay wrong. MAC
//! addresses and payloads are left as they are, but for packets that ICMP errors quote. Must never change a length.

use std::{collections::BTreeMap, net::IpAddr};

use lagewarte_base::time::Timestamp;

use crate::{Capture, Error};

/// Which address becomes which; others stay. Both of a pair are of one IP version.
pub type Map = BTreeMap<IpAddr, IpAddr>;

/// A pcap file's bytes with the addresses of `map` exchanged.
///
/// # Errors
///
/// Where it is no whole pcap file, its link type is not Ethernet, or a pair mixes IP versions.
pub fn retarget(pcap: &[u8], map: &Map) -> Result<Vec<u8>, Error> {
    let mut capture = Capture::read(pcap)?;
    exchange(&mut capture, map)?;
    Ok(capture.write())
}

/// Several pcap files as one, in the order of time: each with its packets moved so that its first one is `offset`
/// microseconds after the first packet of the first file, and with its addresses exchanged.
///
/// # Errors
///
/// As [`retarget`], and where there is none.
pub fn compose(parts: &[(&[u8], i64, &Map)]) -> Result<Vec<u8>, Error> {
    let mut whole = Capture::ethernet();
    let mut zero = None;
    for (pcap, offset, map) in parts {
        let mut part = Capture::read(pcap)?;
        exchange(&mut part, map)?;
        let Some(first) = part.packets.iter().map(|p| p.time).min() else { continue };
        let zero = *zero.get_or_insert(first);
        let shift = zero.since(first).saturating_add(*offset);
        for p in &mut part.packets {
            p.time = Timestamp::from_micros(p.time.micros().saturating_add(shift));
        }
        whole.packets.append(&mut part.packets);
    }
    if zero.is_none() {
        return Err(Error("nothing to compose: no capture holds a packet".into()));
    }
    whole.packets.sort_by_key(|p| p.time); // stable: parts keep their own order
    Ok(whole.write())
}

fn exchange(capture: &mut Capture, map: &Map) -> Result<(), Error> {
    if capture.linktype != 1 {
        return Err(Error(format!("link type {}: only Ethernet (1) captures are retargeted", capture.linktype)));
    }
    if let Some((from, to)) = map.iter().find(|(a, b)| a.is_ipv4() != b.is_ipv4()) {
        return Err(Error(format!("{from} cannot become {to}: they are of different IP versions")));
    }
    for p in &mut capture.packets {
        frame(&mut p.data, map);
    }
    Ok(())
}

/// Changes a frame in place; what is too short to be read is left alone.
fn frame(data: &mut [u8], map: &Map) -> Option<()> {
    let mut at = 12;
    let mut kind = word(data, at)?;
    while matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
        at += 4;
        kind = word(data, at)?;
    }
    let rest = data.get_mut(at + 2..)?;
    match kind {
        0x0800 => v4(rest, map),
        0x86dd => v6(rest, map),
        0x0806 if rest.get(..8)? == [0, 1, 8, 0, 6, 4, 0, rest[7]] => {
            swap(rest, 14, 4, map);
            swap(rest, 24, 4, map);
            Some(())
        }
        _ => None,
    }
}

fn v4(data: &mut [u8], map: &Map) -> Option<()> {
    let hlen = usize::from(data.first()? & 15) * 4;
    let before: [u8; 8] = data.get(12..20)?.try_into().ok()?;
    swap(data, 12, 4, map);
    swap(data, 16, 4, map);
    let after: [u8; 8] = data.get(12..20)?.try_into().ok()?;
    correct(data, 10, &before, &after, false);
    let (proto, later_fragment) = (data[9], word(data, 6)? & 0x1fff != 0);
    if !later_fragment {
        transport(data.get_mut(hlen..)?, proto, &before, &after, map);
    }
    Some(())
}

fn v6(data: &mut [u8], map: &Map) -> Option<()> {
    let before: [u8; 32] = data.get(8..40)?.try_into().ok()?;
    swap(data, 8, 16, map);
    swap(data, 24, 16, map);
    let after: [u8; 32] = data.get(8..40)?.try_into().ok()?;
    let (mut proto, mut at) = (data[6], 40);
    loop {
        let len = match proto {
            0 | 43 | 60 => usize::from(*data.get(at + 1)?) * 8 + 8,
            51 => usize::from(*data.get(at + 1)?) * 4 + 8,
            44 if word(data, at + 2)? & 0xfff8 == 0 => 8,
            44 => return Some(()), // a later fragment has no transport header
            _ => break,
        };
        proto = *data.get(at)?;
        at += len;
    }
    transport(data.get_mut(at..)?, proto, &before, &after, map);
    Some(())
}

fn transport(data: &mut [u8], proto: u8, before: &[u8], after: &[u8], map: &Map) {
    match proto {
        6 => correct(data, 16, before, after, false),
        17 => correct(data, 6, before, after, true),
        1 => quoted(data, map, matches!(data.first(), Some(3 | 4 | 5 | 11 | 12)), v4),
        58 => {
            correct(data, 2, before, after, false);
            quoted(data, map, matches!(data.first(), Some(1..=4)), v6);
        }
        _ => {}
    }
}

/// Changes the packet that an ICMP error quotes, and the message's checksum with it.
fn quoted(data: &mut [u8], map: &Map, error: bool, layer: fn(&mut [u8], &Map) -> Option<()>) {
    if !error || data.len() < 8 {
        return;
    }
    let before = data[8..].to_vec();
    let _ = layer(&mut data[8..], map); // a quoted packet is cut short: what is there is changed
    let after = data[8..].to_vec();
    correct(data, 2, &before, &after, false);
}

fn swap(data: &mut [u8], at: usize, len: usize, map: &Map) {
    let Some(place) = data.get_mut(at..at + len) else { return };
    let from = match <[u8; 4]>::try_from(&*place) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => match <[u8; 16]>::try_from(&*place) {
            Ok(v6) => IpAddr::from(v6),
            Err(_) => return,
        },
    };
    match map.get(&from) {
        Some(IpAddr::V4(to)) if len == 4 => place.copy_from_slice(&to.octets()),
        Some(IpAddr::V6(to)) if len == 16 => place.copy_from_slice(&to.octets()),
        _ => {}
    }
}

/// Corrects the checksum at `at` for words that changed: HC' = ~(~HC + ~m + m') (RFC 1624, equation 3).
fn correct(data: &mut [u8], at: usize, before: &[u8], after: &[u8], zero_is_none: bool) {
    let Some(old) = word(data, at) else { return };
    if zero_is_none && old == 0 {
        return;
    }
    let words = |b: &[u8], flip: u16| {
        b.chunks(2).map(|c| u64::from((u16::from_be_bytes([c[0], c.get(1).copied().unwrap_or(0)])) ^ flip)).sum::<u64>()
    };
    let mut sum = u64::from(!old) + words(before, 0xffff) + words(after, 0);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let mut new = !(sum as u16); // folded into 16 bits above
    if zero_is_none && new == 0 {
        new = 0xffff;
    }
    data[at..at + 2].copy_from_slice(&new.to_be_bytes()); // word() read them
}

fn word(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]))
}

#[cfg(test)]
mod tests {
    use etherparse::{LaxSlicedPacket, NetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    use super::*;
    use crate::{Endpoint, arp, icmp_echo, icmp_unreachable, tcp, udp, with_vlans};

    fn ip(s: &str) -> IpAddr {
        s.parse().expect("literal")
    }

    /// Whether all checksums of a frame hold, by etherparse's own arithmetic.
    fn sound(frame: &[u8]) -> bool {
        let p = SlicedPacket::from_ethernet(frame).expect("a whole frame");
        match (p.net, p.transport) {
            (Some(NetSlice::Ipv4(n)), t) => {
                let h = n.header().to_header();
                let good = h.calc_header_checksum() == h.header_checksum;
                good && match t {
                    Some(TransportSlice::Tcp(t)) => t.calc_checksum_ipv4(h.source, h.destination) == Ok(t.checksum()),
                    Some(TransportSlice::Udp(u)) => {
                        u.to_header().calc_checksum_ipv4_raw(h.source, h.destination, u.payload()) == Ok(u.checksum())
                    }
                    Some(TransportSlice::Icmpv4(i)) => {
                        etherparse::checksum::Sum16BitWords::new().add_slice(i.slice()).ones_complement() == 0
                    }
                    _ => false,
                }
            }
            (Some(NetSlice::Ipv6(n)), t) => {
                let (s, d) = (n.header().source(), n.header().destination());
                match t {
                    Some(TransportSlice::Tcp(t)) => t.calc_checksum_ipv6(s, d) == Ok(t.checksum()),
                    Some(TransportSlice::Udp(u)) => {
                        u.to_header().calc_checksum_ipv6_raw(s, d, u.payload()) == Ok(u.checksum())
                    }
                    Some(TransportSlice::Icmpv6(i)) => i.is_checksum_valid(s, d),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    fn frames(a: Endpoint, b: Endpoint, payload: &[u8]) -> Vec<Vec<u8>> {
        let segment = tcp(a, b, 24, 5, 6, payload);
        let datagram = udp(a, b, payload);
        vec![
            icmp_unreachable(b.0, a.0, 3, &datagram),
            icmp_unreachable(b.0, a.0, 1, &segment),
            icmp_echo(a.0, b.0, true, 1, 2, payload),
            with_vlans(&segment, &[7, 8]),
            segment,
            datagram,
        ]
    }

    #[test]
    fn addresses_change_everywhere_and_checksums_stay_right() {
        let map: Map = [(ip("192.0.2.1"), ip("10.250.251.252")), (ip("2001:db8::1"), ip("fd00:ffff::abcd"))].into();
        for (a, b) in [(ip("192.0.2.1"), ip("198.51.100.9")), (ip("2001:db8::1"), ip("2001:db8::2"))] {
            for frame in frames((a, 40_000), (b, 80), b"odd") {
                assert!(sound(&frame), "built: {frame:02x?}");
                let mut changed = frame.clone();
                super::frame(&mut changed, &map);
                assert!(sound(&changed), "changed: {changed:02x?}");
                let holds = |ip: IpAddr| {
                    let octets = match ip {
                        IpAddr::V4(v) => v.octets().to_vec(),
                        IpAddr::V6(v) => v.octets().to_vec(),
                    };
                    changed.windows(octets.len()).any(|w| w == octets)
                };
                assert!(!holds(a) && holds(map[&a]) && holds(b), "{changed:02x?}");
            }
        }
        let mut request = arp([192, 0, 2, 1], [192, 0, 2, 9]);
        super::frame(&mut request, &map);
        assert_eq!(request, arp([10, 250, 251, 252], [192, 0, 2, 9]));
    }

    #[test]
    fn parts_are_laid_over_one_another_by_time() {
        let at = |s| Timestamp::from_parts(s, 0);
        let (a, b) = ((ip("192.0.2.1"), 1), (ip("192.0.2.2"), 2));
        let mut x = Capture::ethernet();
        x.push(at(100), udp(a, b, b"1")).push(at(110), udp(a, b, b"3"));
        let mut y = Capture::ethernet();
        y.push(at(5000), udp(a, b, b"2")).push(at(5060), udp(a, b, b"4"));
        let map: Map = [(a.0, ip("192.0.2.77"))].into();
        let whole = compose(&[(&x.write(), 0, &Map::new()), (&y.write(), 4_000_000, &map)]).expect("composed");
        let whole = Capture::read(&whole).expect("read");
        let seen: Vec<_> =
            whole.packets.iter().map(|p| (p.time.secs(), *p.data.last().expect("data"), p.data[29])).collect();
        assert_eq!(seen, [(100, b'1', 1), (104, b'2', 77), (110, b'3', 1), (164, b'4', 77)]);
        assert!(compose(&[]).is_err());
        assert!(retarget(b"no capture", &map).is_err());
        assert!(retarget(&x.write(), &[(a.0, ip("::1"))].into()).is_err());
    }

    proptest! {
        #[test]
        fn any_payload_and_any_address_keep_checksums_right(payload in prop::collection::vec(any::<u8>(), 0..60), to: [u8; 4]) {
            let a = ip("192.0.2.1");
            let map: Map = [(a, IpAddr::from(to))].into();
            for mut frame in frames((a, 1), (ip("198.51.100.9"), 2), &payload) {
                super::frame(&mut frame, &map);
                prop_assert!(sound(&frame));
            }
        }
        #[test]
        fn no_frame_panics(mut data: Vec<u8>, kind in prop::sample::select(vec![[8u8, 0], [0x86, 0xdd], [8, 6], [0x81, 0]])) {
            if data.len() > 14 {
                data[12..14].copy_from_slice(&kind);
            }
            let map: Map = [(IpAddr::from([0, 0, 0, 0]), IpAddr::from([1, 2, 3, 4]))].into();
            let len = data.len();
            super::frame(&mut data, &map);
            let _ = LaxSlicedPacket::from_ethernet(&data);
            prop_assert_eq!(data.len(), len);
        }
    }
}
