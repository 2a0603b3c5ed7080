// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Behaviour of the file reader: both formats, both byte orders, every truncation, arbitrary damage.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

/// (seconds, sub-second units, wire length, data)
type Packet<'a> = (u32, u32, u32, &'a [u8]);

fn pcap(big: bool, magic: u32, linktype: u32, packets: &[Packet<'_>]) -> Vec<u8> {
    let w = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut f = [w(magic), if big { [0, 2, 0, 4] } else { [2, 0, 4, 0] }, w(0), w(0), w(262_144), w(linktype)].concat();
    for (secs, part, wire, data) in packets {
        f.extend([w(*secs), w(*part), w(data.len() as u32), w(*wire)].concat());
        f.extend_from_slice(data);
    }
    f
}

fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let w = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let len = body.len() as u32 + 12;
    [w(kind).as_slice(), &w(len), &body, &w(len)].concat()
}

fn section(big: bool) -> Vec<u8> {
    let w = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let version = if big { [0, 1, 0, 0] } else { [1, 0, 0, 0] };
    block(big, 0x0a0d_0d0a, &[w(0x1a2b_3c4d), version, [0xff; 4], [0xff; 4]].concat())
}

fn interface(big: bool, linktype: u16, options: &[(u16, &[u8])]) -> Vec<u8> {
    let h = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let mut body = [h(linktype), h(0)].concat();
    body.extend([0; 4]);
    for (code, value) in options {
        body.extend([h(*code), h(value.len() as u16)].concat());
        body.extend_from_slice(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    block(big, 1, &body)
}

fn enhanced(big: bool, interface: u32, units: u64, wire: u32, data: &[u8]) -> Vec<u8> {
    let w = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
    let head = [w(interface), w((units >> 32) as u32), w(units as u32), w(data.len() as u32), w(wire)].concat();
    block(big, 6, &[head.as_slice(), data].concat())
}

type Read = (Vec<(i64, u16, u32, Vec<u8>)>, Stats);

fn read(bytes: &[u8]) -> Result<Read, Error> {
    read_filtered(bytes, None)
}

fn read_filtered(bytes: &[u8], filter: Option<&str>) -> Result<Read, Error> {
    let filter = filter.map(Filter::new).transpose()?;
    let mut f = CaptureFile::from_reader(Box::new(Cursor::new(bytes.to_vec())), "test".into(), filter)?;
    let mut packets = Vec::new();
    loop {
        match f.next()? {
            Next::Frame(p) => packets.push((p.time.micros(), p.linktype, p.wire_len, p.data.to_vec())),
            Next::Idle => panic!("a file is never idle"),
            Next::End => return Ok((packets, f.stats())),
        }
    }
}

#[test]
fn pcap_of_both_byte_orders_and_resolutions() {
    for big in [false, true] {
        for (magic, part) in [(0xa1b2_c3d4, 6), (0xa1b2_3c4d, 6999)] {
            let f = pcap(big, magic, 1, &[(100, part, 2000, b"abc"), (101, 0, 3, b"xyz")]);
            let (packets, stats) = read(&f).unwrap();
            assert_eq!(
                packets,
                [(100_000_006, 1, 2000, b"abc".to_vec()), (101_000_000, 1, 3, b"xyz".to_vec())],
                "{big} {magic:x}"
            );
            assert_eq!(stats, Stats { received: 2, ..Stats::default() });
        }
    }
}

#[test]
fn pcapng_with_sections_interfaces_resolutions_and_all_packet_blocks() {
    for big in [false, true] {
        let w = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let offset = if big { 1000i64.to_be_bytes() } else { 1000i64.to_le_bytes() };
        let f = [
            section(big),
            block(big, 5, b"a block that nobody asked for"),
            interface(big, 1, &[(2, b"eth0"), (9, &[9])]),
            interface(big, 101, &[(14, &offset)]),
            interface(big, 113, &[(9, &[0x80 | 10])]),
            enhanced(big, 0, 5_000_001_999, 60, b"nanos"),
            enhanced(big, 1, 7_000_003, 4, b"late"),
            enhanced(big, 2, 3 << 10 | 512, 9, b"binary"),
            block(big, 3, &[w(6).as_slice(), b"simple"].concat()),
            section(!big),
            interface(!big, 228, &[]),
            enhanced(!big, 0, 42, 1, b"z"),
        ]
        .concat();
        let (packets, stats) = read(&f).unwrap();
        assert_eq!(stats.damage, None);
        assert_eq!(
            packets,
            [
                (5_000_001, 1, 60, b"nanos".to_vec()),
                (1_007_000_003, 101, 4, b"late".to_vec()),
                (3_500_000, 113, 9, b"binary".to_vec()),
                (3_500_000, 1, 6, b"simple".to_vec()),
                (42, 228, 1, b"z".to_vec()),
            ]
        );
    }
}

#[test]
fn damage_is_named_with_its_offset_and_what_came_before_is_kept() {
    let good = pcap(false, 0xa1b2_c3d4, 1, &[(1, 0, 3, b"abc")]);
    let mut long = good.clone();
    long.extend([1u32, 0, MAX_FRAME + 1, 60].map(u32::to_le_bytes).concat());
    let ng = [section(false), interface(false, 1, &[]), enhanced(false, 0, 1, 3, b"abc")].concat();
    let mut odd = ng.clone();
    odd.extend([6u32, 13, 0, 0].map(u32::to_le_bytes).concat());
    let mut huge = ng.clone();
    huge.extend([6u32, 0xffff_fffc, 0, 0].map(u32::to_le_bytes).concat());
    let mut skipped = ng.clone();
    skipped.extend([99u32, 0xffff_fffc, 0, 0].map(u32::to_le_bytes).concat());
    let stranger = [ng.clone(), enhanced(false, 7, 1, 3, b"abc")].concat();
    let mut tail = ng.clone();
    tail.extend(enhanced(false, 0, 1, 3, b"abc"));
    let at = tail.len() - 1;
    tail[at] ^= 1;
    for (file, reason, offset) in [
        (&long, "record_too_long", good.len()),
        (&good[..good.len() - 1].to_vec(), "truncated_packet", 24),
        (&good[..30].to_vec(), "truncated_record_header", 24),
        (&odd, "block_length", ng.len()),
        (&huge, "block_too_long", ng.len()),
        (&skipped, "truncated_block", skipped.len()),
        (&stranger, "unknown_interface", ng.len()),
        (&tail, "block_length_differs", ng.len()),
    ] {
        let (packets, stats) = read(file).unwrap();
        assert_eq!(stats.damage, Some(Damage { reason, offset: offset as u64 }));
        assert_eq!(
            packets.len(),
            usize::from(!reason.starts_with("truncated_p") && !reason.starts_with("truncated_r"))
        );
    }
}

#[test]
fn what_is_no_capture_is_an_error_that_says_so() {
    for (bytes, says) in [
        (b"".as_slice(), "empty"),
        (b"GET / HTTP/1.1\r\n\r\n aaaaaaaaaaaa", "47 45 54 20"),
        (b"\xd4\xc3\xb2\xa1", "d4 c3"),
    ] {
        let e = read(bytes).unwrap_err().to_string();
        assert!(e.contains(says) && e.contains("neither a pcap nor a pcapng"), "{e}");
    }
    let e = CaptureFile::open(Path::new("/nowhere/at/all.pcap"), None).err().unwrap().to_string();
    assert!(e.contains("/nowhere/at/all.pcap") && e.contains("No such file"), "{e}");
}

#[test]
fn a_filter_takes_out_what_it_does_not_name_and_a_wrong_one_is_refused() {
    // Two IPv4/UDP frames, ports 53 and 54.
    let frame = |port: u8| {
        let mut f = vec![0; 12];
        f.extend([
            8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x30, 0x39, 0, port, 0, 8, 0, 0,
        ]);
        f
    };
    let (a, b) = (frame(53), frame(54));
    let ethernet = pcap(false, 0xa1b2_c3d4, 1, &[(1, 0, 42, &a), (2, 0, 42, &b)]);
    let raw = pcap(false, 0xa1b2_c3d4, 101, &[(1, 0, 28, &a[14..]), (2, 0, 28, &b[14..])]);
    for file in [ethernet, raw] {
        let (packets, stats) = read_filtered(&file, Some("udp port 53")).unwrap();
        assert_eq!((packets.len(), stats.received, stats.filtered), (1, 2, 1));
        assert_eq!(packets[0].0, 1_000_000);
    }
    let e = Filter::new("udp prot 53").err().unwrap().to_string();
    assert!(e.contains("udp prot 53") && e.contains("syntax error"), "{e}");
}

#[test]
fn every_truncation_gives_what_is_whole() {
    let pcap = pcap(true, 0xa1b2_c3d4, 1, &[(1, 0, 3, b"abc"), (2, 0, 5, b"defgh")]);
    let ng =
        [section(true), interface(true, 1, &[]), enhanced(true, 0, 1, 3, b"abc"), enhanced(true, 0, 2, 5, b"defgh")]
            .concat();
    for file in [&pcap, &ng] {
        let mut seen = 0;
        for n in 24..=file.len() {
            let (packets, stats) = read(&file[..n]).unwrap();
            assert!(packets.len() >= seen, "more bytes never give fewer packets");
            seen = packets.len();
            assert_eq!(stats.received, seen as u64);
        }
        assert_eq!(seen, 2);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_or_hang(
        head in prop::sample::select(vec![
            b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x01\x00\x00\x00".to_vec(),
            section(false),
            [section(true), interface(true, 1, &[(9, &[0xff])])].concat(),
        ]),
        tail: Vec<u8>,
    ) {
        let bytes = [head, tail].concat();
        let (packets, _) = read(&bytes).unwrap();
        prop_assert!(packets.len() <= bytes.len());
    }
    #[test]
    fn damage_anywhere_keeps_the_bound(at in 0usize..400, value: u8) {
        let mut f = [section(false), interface(false, 1, &[(9, &[6])])].concat();
        for i in 0..5 {
            f.extend(enhanced(false, 0, i, 5, b"defgh"));
        }
        let at = at % f.len();
        f[at] = value;
        if let Ok((packets, _)) = read(&f) {
            prop_assert!(packets.len() <= 5);
        }
    }
}
