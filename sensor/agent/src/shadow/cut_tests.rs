// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is cut out of the ring: the packets of the flow, all of them, no others, and within bounds.

use std::os::unix::fs::PermissionsExt as _;

use lagewarte_testkit::{self as builder, Capture, Session};

use super::*;
use crate::{
    compare::{Line, line},
    shadow::day,
};

const T0: Timestamp = Timestamp::from_parts(1_767_312_000, 0);

struct Bench {
    dir: tempfile::TempDir,
    cutter: Cutter,
}

/// A ring that holds these packets.
fn bench(capture: &Capture) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::open(&dir.path().join("ring")).unwrap();
    let (mut tap, writer) = ring::ends(Arc::clone(&index), 64 << 20);
    let writing = std::thread::spawn(move || writer.run());
    for p in &capture.packets {
        tap.frame(&Frame { time: p.time, linktype: 1, wire_len: p.wire_len, data: &p.data });
    }
    tap.flush();
    drop(tap);
    writing.join().unwrap();
    assert_eq!(index.counts().written, capture.packets.len() as u64);
    let cutter = Cutter { dir: dir.path().to_owned(), index, decoder: Decoder::default(), day_bytes: 64 << 20 };
    Bench { dir, cutter }
}

fn job(sid: u32, proto: &str, a: (&str, u16), b: (&str, u16)) -> Job {
    let text = format!(
        "{{\"event_type\":\"alert\",\"src_ip\":\"{}\",\"src_port\":{},\"dest_ip\":\"{}\",\"dest_port\":{},\"proto\":\"{proto}\",\"alert\":{{\"signature_id\":{sid}}}}}",
        a.0, a.1, b.0, b.1
    );
    let Line::Alert(alert) = line(text.as_bytes()) else { panic!("no alert") };
    Job { day: day::of(T0), pair: (sid, alert.flow), from: T0, to: T0.plus(Duration::from_secs(3600)) }
}

fn end(text: &str) -> builder::Endpoint {
    let (ip, port) = text.rsplit_once(':').unwrap();
    (ip.parse().unwrap(), port.parse().unwrap())
}

fn read(b: &Bench, name: &str) -> Vec<Vec<u8>> {
    let path = b.dir.path().join(day::of(T0)).join(name);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut file = CaptureFile::open(&path, None).unwrap();
    let mut out = Vec::new();
    while let Next::Frame(f) = file.next().unwrap() {
        out.push(f.data.to_vec());
    }
    assert_eq!(file.stats().damage, None);
    out
}

#[test]
fn a_flows_packets_are_cut_out_and_no_others() {
    let mut c = Capture::ethernet();
    Session::open(&mut c, end("10.0.0.1:1000"), end("192.0.2.1:80"), T0).client(b"GET /").server(b"200").close();
    let one = c.packets.len();
    // The same addresses, another port; the same ports, another address; the same ends over UDP.
    Session::open(&mut c, end("10.0.0.1:1001"), end("192.0.2.1:80"), T0).client(b"GET /");
    Session::open(&mut c, end("10.0.0.2:1000"), end("192.0.2.1:80"), T0).client(b"GET /");
    c.push(T0, builder::udp(end("10.0.0.1:1000"), end("192.0.2.1:80"), b"x"));
    let tagged = builder::with_vlans(&builder::tcp(end("192.0.2.1:80"), end("10.0.0.1:1000"), 16, 9, 9, b"late"), &[5]);
    c.push(T0.plus(Duration::from_secs(5)), tagged);
    c.push(T0, builder::icmp_echo("10.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap(), true, 1, 1, b"x"));
    c.push(T0.plus(Duration::from_secs(4000)), builder::udp(end("10.0.0.1:1000"), end("192.0.2.1:80"), b"too late"));
    let b = bench(&c);
    let jobs = [
        job(7, "TCP", ("192.0.2.1", 80), ("10.0.0.1", 1000)),
        job(7, "UDP", ("10.0.0.1", 1000), ("192.0.2.1", 80)),
        job(8, "ICMP", ("10.0.0.1", 0), ("192.0.2.1", 0)),
        job(9, "TCP", ("10.0.0.9", 1), ("192.0.2.1", 80)),
        Job { from: Timestamp::from_micros(0), ..job(9, "TCP", ("10.0.0.9", 2), ("192.0.2.1", 80)) },
    ];
    let done = b.cutter.pass(&jobs);
    let file = |file: &str, packets| Packets::File { file: file.into(), packets, whole: true };
    let none = |why: &str| Packets::None(why.into());
    let want = [
        file("7-1.pcap", one as u64 + 1),
        file("7-2.pcap", 1),
        file("8-1.pcap", 1),
        none("not-found"),
        none("ring-too-short"),
    ];
    assert_eq!(done, want);
    let mut own: Vec<Vec<u8>> = c.packets[..one].iter().map(|p| p.data.clone()).collect();
    own.extend(c.packets.iter().find(|p| p.data.ends_with(b"late")).map(|p| p.data.clone()));
    assert_eq!(read(&b, "7-1.pcap"), own);
    // The next one of a rule has the next name, and nothing half is left.
    assert_eq!(b.cutter.pass(&jobs[..1]), [file("7-3.pcap", one as u64 + 1)]);
    let day = fs::read_dir(b.dir.path().join(day::of(T0))).unwrap();
    assert!(day.map(|e| e.unwrap().path()).all(|p| p.extension().unwrap() == "pcap"));
}

#[test]
fn what_a_tunnel_carries_and_fragments_are_the_flows_too() {
    let mut c = Capture::ethernet();
    let inner = builder::udp(end("10.0.0.1:1000"), end("192.0.2.1:53"), b"asked");
    let vxlan = [&[8, 0, 0, 0, 0, 0, 1, 0], inner.as_slice()].concat();
    c.push(T0, builder::udp(end("172.16.0.1:5000"), end("172.16.0.2:4789"), &vxlan));
    let mut fragment = builder::udp(end("10.0.0.1:1000"), end("192.0.2.1:53"), &[7; 64]);
    fragment[20..22].copy_from_slice(&[0, 5]); // IPv4's fragment offset
    c.push(T0, fragment);
    c.push(T0, builder::udp(end("10.0.0.1:1001"), end("192.0.2.1:53"), b"another"));
    let b = bench(&c);
    let jobs = [
        job(7, "UDP", ("192.0.2.1", 53), ("10.0.0.1", 1000)),
        job(8, "UDP", ("172.16.0.1", 5000), ("172.16.0.2", 4789)),
    ];
    let packets: Vec<u64> = b
        .cutter
        .pass(&jobs)
        .into_iter()
        .map(|p| if let Packets::File { packets, .. } = p { packets } else { 0 })
        .collect();
    assert_eq!(packets, [2, 1]);
    assert_eq!(read(&b, "7-1.pcap"), c.packets[..2].iter().map(|p| p.data.clone()).collect::<Vec<_>>());
}

#[test]
fn a_file_and_a_day_have_their_bounds() {
    let mut c = Capture::ethernet();
    let packet = |n: u16| builder::udp(end("10.0.0.1:1000"), end(&format!("192.0.2.{n}:53")), &[7; 1000]);
    for n in 0..FILE_BYTES / 1000 + 10 {
        c.push(T0.plus(Duration::from_millis(n)), packet(1));
    }
    c.push(T0, packet(2));
    c.push(T0, packet(3));
    let mut b = bench(&c);
    let to = |n: u16| job(u32::from(n), "UDP", ("10.0.0.1", 1000), (&format!("192.0.2.{n}"), 53));
    let done = b.cutter.pass(&[to(1), to(2)]);
    let Packets::File { whole: false, packets, .. } = done[0] else { panic!("{done:?}") };
    assert!(packets > 3000 && size(&b.dir.path().join(day::of(T0))) < FILE_BYTES + 2000);
    assert!(matches!(done[1], Packets::File { whole: true, packets: 1, .. }));
    b.cutter.day_bytes = FILE_BYTES + 1000;
    assert_eq!(b.cutter.pass(&[to(3)]), [Packets::None("day-full".into())]);
    // A folder that cannot be made loses the packets, and says so.
    b.cutter.day_bytes = 64 << 20;
    b.cutter.dir = b.dir.path().join("ring/0000000001.pcap");
    assert_eq!(b.cutter.pass(&[to(3)]), [Packets::None("disk".into())]);
}
