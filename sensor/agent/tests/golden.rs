// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Golden events: what the sensor writes of recorded clients and servers, protocol by protocol. Through the binary.
//!
//! Commands, codes, fingerprints and numbers in the golden files were compared with tshark's when they were written; where
//! one changes, compare it again before the file is changed.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::{fs, path::Path, process::Command};

use serde_json::Value;

/// The events of a capture that are of these types, reduced to the members that the golden line has.
fn events(capture: &Path, golden: &[Value]) -> Vec<Value> {
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lagewarte-sensor"));
    let done = command.args(["replay", "-k", "all", "-r"]).arg(capture).arg("-l").arg(out.path()).output().unwrap();
    assert!(done.status.success(), "{}: {}", capture.display(), String::from_utf8_lossy(&done.stderr));
    let written = fs::read_to_string(out.path().join("eve.json")).unwrap();
    let events = written.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    let wanted = |e: &Value| golden.iter().any(|g| g["event_type"] == e["event_type"]);
    events
        .filter(wanted)
        .map(|mut e| {
            let noise = ["timestamp", "flow_id", "proto", "ip_v", "pkt_src"];
            e.as_object_mut().unwrap().retain(|k, _| !noise.contains(&k.as_str()));
            e
        })
        .collect()
}

#[test]
fn recorded_sessions_give_their_golden_events() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (case, capture) in [
        ("1100101-ssh-bruteforce", "quiet"),
        ("1100102-rdp-bruteforce", "quiet"),
        ("1100206-ntp-monlist", "quiet"),
        ("1100305-tftp-download", "fires"),
        ("1100701-ftp-cleartext", "quiet"),
        ("1100702-pop3-cleartext", "fires"),
        ("1100707-smtp-plain-cleartext", "fires"),
    ] {
        let golden = fs::read_to_string(here.join("tests/golden").join(case).with_extension("golden")).unwrap();
        let golden: Vec<Value> = golden.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
        assert!(!golden.is_empty(), "{case} expects nothing");
        let capture = here.join("../../rules/sets/tests").join(case).join(capture).with_extension("pcap");
        assert_eq!(events(&capture, &golden), golden, "{case}");
    }
}
