// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Live capture from a real interface: a veth pair in a network namespace of its own, with one and with two handles.
//!
//! Needs root. Without it the test says on stderr that it did not run.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr},
    process::Command,
};

use lagewarte_capture::{Live, Next, Options, Source};
use lagewarte_testkit::udp;

/// Set in the copy of this test that runs inside the namespace.
const INSIDE: &str = "LAGEWARTE_TEST_INSIDE_NAMESPACE";
const FRAMES: u16 = 500;

#[test]
fn packets_of_a_veth_pair_are_captured_filtered_and_counted() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    if !root {
        // Not eprintln!: the test harness would swallow it.
        let _ =
            std::io::stderr().write_all(b"\nNOT RUN: live capture over a veth pair needs root (network namespaces)\n");
        return;
    }
    let this = std::env::current_exe().expect("own path");
    let out = Command::new("unshare")
        .args(["--net", "--"])
        .arg(this)
        .args(["--exact", "packets_of_a_veth_pair_are_captured_filtered_and_counted", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare is there");
    assert!(out.status.success(), "{}\n{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}

fn ip(args: &str) {
    let done = Command::new("ip").args(args.split(' ')).status().expect("ip is there");
    assert!(done.success(), "ip {args}");
}

fn frame(n: u16, port: u16) -> Vec<u8> {
    let [high, low] = n.to_be_bytes();
    // Addresses differ, so that fanout has something to share out.
    udp((IpAddr::from([10, 9, high, low]), 5000), (IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9)), port), &n.to_be_bytes())
}

fn inside() {
    ip("link add lw0 type veth peer name lw1");
    ip("link set lw0 up");
    ip("link set lw1 up");
    for handles in [1, 2] {
        let options = Options { filter: Some("udp dst port 53".into()), handles, ..Options::default() };
        let mut live = Live::open("lw1", &options).expect("lw1 can be opened");
        assert_eq!(live.interface(), Some("lw1"));
        let mut sender = pcap::Capture::from_device("lw0").expect("lw0").open().expect("lw0 can be opened");
        for n in 0..FRAMES {
            sender.sendpacket(frame(n, 53)).expect("sent");
            sender.sendpacket(frame(n, 54)).expect("sent"); // what the filter is to take out
        }
        let mut seen = Vec::new();
        let mut idle = 0;
        while seen.len() < usize::from(FRAMES) && idle < 200 {
            match live.next().expect("the interface stays") {
                Next::Frame(f) => {
                    assert_eq!((f.linktype, f.wire_len as usize), (1, f.data.len()));
                    assert!(f.time.secs() > 1_600_000_000);
                    seen.push(f.data.to_vec());
                }
                Next::Idle => idle += 1,
                Next::End => unreachable!("an interface does not end"),
            }
        }
        seen.sort();
        let mut sent: Vec<_> = (0..FRAMES).map(|n| frame(n, 53)).collect();
        sent.sort();
        assert!(seen == sent, "{handles} handles: {} of {FRAMES} frames, or others", seen.len());
        let stats = live.stats();
        assert_eq!((stats.received, stats.dropped), (FRAMES.into(), 0), "{handles} handles");
    }
    let e = Live::open("lw9", &Options::default()).err().expect("no such interface").to_string();
    assert!(e.contains("lw9") && e.contains("ip link"), "{e}");
    let e =
        Live::open("lw1", &Options { filter: Some("udp prt".into()), ..Options::default() }).err().expect("refused");
    assert!(e.to_string().contains("udp prt"), "{e}");
}
