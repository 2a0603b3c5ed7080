// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any bytes as an EVE event of somebody's Suricata: what leaves is JSON, of a class that the profile lets out, without a
//! payload and with neither end an inner address.
#![no_main]
use std::{cell::RefCell, net::IpAddr};

use lagewarte_agent::release::{CLASSES, Orders, Release};
use lagewarte_base::{
    assignment::{Assignment, Owner},
    id::Uuid,
    profile::Profile,
};
use serde_json::Value;

thread_local! {
    static DOOR: RefCell<(Release, tempfile::TempDir)> = RefCell::new(door());
}

fn door() -> (Release, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    let assignment = Assignment {
        name: "t".into(),
        version: 1,
        sensor: Uuid::nil(),
        default: "rathaus".parse().expect("an id"),
        owners: vec![Owner {
            constituent: "rathaus".parse().expect("an id"),
            networks: ["192.0.2.0/24", "2001:db8::/32"].map(|n| n.parse().expect("a network")).to_vec(),
            vlans: vec![7],
        }],
    };
    let profile = Profile { classes: CLASSES.map(str::to_owned).to_vec(), ..Profile::alerts_only() };
    (Release::new(Orders { assignment, profile }, dir.path(), 0).expect("opens"), dir)
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let eve = String::from_utf8_lossy(input);
    DOOR.with_borrow_mut(|(door, _)| {
        let Ok(out) = door.event(&eve) else { return };
        let Ok(Value::Object(left)) = serde_json::from_str(&out.eve) else { panic!("not JSON: {}", out.eve) };
        for gone in ["payload", "payload_printable", "packet", "ether"] {
            assert!(!left.contains_key(gone), "{gone} left: {}", out.eve);
        }
        for end in ["src_ip", "dest_ip"] {
            let Some(ip) = left.get(end).and_then(Value::as_str).and_then(|a| a.parse::<IpAddr>().ok()) else { continue };
            let came: Value = serde_json::from_str(&eve).expect("it passed");
            let was = came[end].as_str().and_then(|a| a.parse::<IpAddr>().ok());
            let inner = match was {
                Some(IpAddr::V4(a)) => a.octets()[..3] == [192, 0, 2],
                Some(IpAddr::V6(a)) => a.segments()[..2] == [0x2001, 0xdb8],
                None => false,
            };
            assert!(!inner || Some(ip) != was, "{end} left in clear: {}", out.eve);
        }
    });
});
