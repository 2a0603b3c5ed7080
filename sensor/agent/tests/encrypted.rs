// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `encryption-handling`: what rules see of sessions once they are encrypted, on recorded sessions of real clients.

#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

mod common;

use std::{collections::BTreeMap, fs};

use common::{repo, sensor, stderr, text};

/// On the payload of packets; on the stream; on what parsers found; on headers alone.
const RULES: &str = r#"
alert tcp-pkt any any -> any any (msg:"a byte of a packet"; dsize:>0; content:"|00|"; sid:1;)
alert tcp-stream any any -> any any (msg:"a record of data"; content:"|17 03 03|"; sid:2;)
alert tls any any -> any any (msg:"a name"; tls.sni; content:"musterstadt"; sid:3;)
alert tcp any any -> any any (msg:"a packet that says something"; flow:established; dsize:>0; sid:4;)
alert tcp-pkt any any -> any any (msg:"a byte that is not there"; flow:established; dsize:>0; content:!"|00 11 22 33 44|"; sid:5;)
"#;

/// Alerts by sid, and events of the protocol.
fn replay(capture: &str, proto: &str, handling: Option<&str>) -> (BTreeMap<u64, usize>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("test.rules");
    fs::write(&rules, RULES).unwrap();
    let mut args: Vec<String> =
        ["replay", "-k", "none", "-r", &text(&repo(capture)), "-S", &text(&rules), "-l", &text(dir.path())]
            .map(String::from)
            .into();
    if let Some(h) = handling {
        args.extend(["--set".into(), format!("app-layer.protocols.{proto}.encryption-handling={h}")]);
    }
    let out = sensor(&args);
    assert!(out.status.success() && !stderr(&out).contains("refused"), "{}", stderr(&out));
    let (mut alerts, mut events) = (BTreeMap::new(), 0);
    for line in fs::read_to_string(dir.path().join("eve.json")).unwrap().lines() {
        let e: serde_json::Value = serde_json::from_str(line).unwrap();
        events += usize::from(e["event_type"] == proto);
        if let Some(sid) = e["alert"]["signature_id"].as_u64() {
            *alerts.entry(sid).or_default() += 1;
        }
    }
    (alerts, events)
}

#[test]
fn contents_are_not_looked_for_in_what_is_encrypted_unless_that_is_asked_for() {
    for (capture, proto) in
        [("rules/captures/tls/versions.pcap", "tls"), ("rules/sets/tests/1100101-ssh-bruteforce/quiet.pcap", "ssh")]
    {
        let (track, events) = replay(capture, proto, None);
        assert!(events > 0);
        assert_eq!(replay(capture, proto, Some("default")), (track.clone(), events));
        assert_eq!(replay(capture, proto, Some("track-only")), (track.clone(), events));
        let (full, full_events) = replay(capture, proto, Some("full"));
        let (bypass, bypass_events) = replay(capture, proto, Some("bypass"));
        assert_eq!((full_events, bypass_events), (events, events), "{proto}: its events are the same");
        assert_eq!(track, bypass, "{proto}: rules see the same");
        for sid in [1, 5] {
            assert!(track[&sid] < full[&sid], "{proto}: {sid}: {track:?}, {full:?}");
        }
        // Headers and what parsers found are no payload.
        for sid in [3, 4] {
            assert_eq!(track.get(&sid), full.get(&sid), "{proto}: {sid}");
        }
        assert_eq!(full[&4], full[&5], "{proto}: in full every packet that says something is looked into");
    }
}
