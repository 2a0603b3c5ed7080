// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Packed batches: what goes in comes out, nothing unpacks to more than it says, and a released dictionary never changes.

use lagewarte_event::{
    Batch, Class, Envelope, MAX_BATCH_BYTES, Message as _, Packed,
    pack::{PLAIN, choose, offered, pack, unpack},
};
use proptest::prelude::*;

fn alert(seq: u64) -> Envelope {
    let eve = format!(
        r#"{{"timestamp":"2026-11-26T09:14:{:02}.123456+0000","flow_id":{},"event_type":"alert","src_ip":"203.0.113.{}","src_port":{},"dest_ip":"10.1.2.3","dest_port":22,"proto":"TCP","community_id":"1:hO+sN4H+MG5MY/8hIrXPqc4ZQz4=","app_proto":"ssh","direction":"to_server","alert":{{"action":"allowed","gid":1,"signature_id":{},"rev":1,"signature":"Another rule that was not trained on","category":"Attempted Administrator Privilege Gain","severity":1}}}}"#,
        seq % 60,
        seq * 7_919_191_919,
        seq % 250,
        1024 + seq % 60_000,
        9_000_000 + seq % 40
    );
    Envelope {
        seq,
        class: Class::Alert.into(),
        event_type: "alert".into(),
        event_us: 1_795_684_000_000_000 + seq as i64,
        observed_us: 1_795_684_000_000_100 + seq as i64,
        spooled_us: 1_795_684_000_000_200 + seq as i64,
        ruleset: vec![0xab; 32],
        constituent: "auenstadt".into(),
        profile: "alerts-only@1".into(),
        eve: eve.into_bytes(),
    }
}

fn batch(n: u64) -> Batch {
    Batch { epoch: 1, nonce: 2, sent_us: 3, events: (1..=n).map(alert).collect(), gaps: vec![] }
}

/// SHA-256 of the dictionaries as they were released: one that changed would make every old sensor's batches unreadable.
#[test]
fn a_released_dictionary_never_changes() {
    let released = [("eve-100001.zdict", "54e067a269fc6b30ed16c9e608009a604bf1aef4fdfbf73feb148e3bde0a4e7e")];
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("dictionaries");
    for (name, sha256) in released {
        let bytes = std::fs::read(dir.join(name)).unwrap();
        assert_eq!(hex::encode(ring::digest::digest(&ring::digest::SHA256, &bytes)), sha256, "{name}");
        // zstd's own header: magic, then the id that the file's name and the wire carry.
        assert_eq!(bytes[..4], 0xEC30_A437u32.to_le_bytes());
        let id = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
        assert_eq!(name, format!("eve-{id}.zdict"));
        assert!(offered().contains(&id));
    }
    assert_eq!(offered().len(), released.len() + 1);
}

#[test]
fn the_best_common_dictionary_is_chosen_and_none_is_no_obstacle() {
    assert_eq!(choose(&offered()), Some(100_001));
    assert_eq!(choose(&[PLAIN]), Some(PLAIN), "an aggregator that is older or newer");
    assert_eq!(choose(&[7, 100_001, 100_002]), Some(100_001));
    assert_eq!(choose(&[7]), None);
    assert_eq!(choose(&[]), None, "a sensor that cannot pack");
}

#[test]
fn one_alert_packs_well_with_the_dictionary_only() {
    let one = batch(1);
    let size = one.encoded_len();
    let with = pack(&one, 100_001).unwrap().zstd.len();
    let without = pack(&one, PLAIN).unwrap().zstd.len();
    // Measured when it was trained: see docs/uplink.md.
    assert!(with * 2 < size && with * 3 < without * 2, "{size} bytes: {with} with, {without} without");
}

#[test]
fn nothing_unpacks_to_more_than_it_says_or_than_the_cap() {
    let good = pack(&batch(3), 100_001).unwrap();
    assert_eq!(unpack(&good).unwrap(), batch(3));
    assert_eq!(unpack(&Packed { size: good.size - 1, ..good.clone() }), Err("packed-damaged"));
    assert_eq!(unpack(&Packed { size: good.size + 1, ..good.clone() }), Err("packed-damaged"));
    assert_eq!(unpack(&Packed { dictionary: 5, ..good.clone() }), Err("packed-dictionary"));
    assert_eq!(unpack(&Packed { dictionary: PLAIN, ..good.clone() }), Err("packed-damaged"), "the frame names its own");
    // A bomb: a few bytes that are 64 MiB of zeros.
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    assert!(bomb.len() < 10_000);
    let of = |size: usize| Packed { dictionary: PLAIN, size: size as u32, zstd: bomb.clone() };
    assert_eq!(unpack(&of(64 << 20)), Err("packed-too-large"));
    assert_eq!(unpack(&of(MAX_BATCH_BYTES)), Err("packed-damaged"));
    assert_eq!(unpack(&of(0)), Err("packed-damaged"));
}

proptest! {
    #[test]
    fn no_bytes_panic(dictionary in prop_oneof![Just(PLAIN), Just(100_001), any::<u32>()], size in 0u32..5_000_000, zstd: Vec<u8>) {
        let _ = unpack(&Packed { dictionary, size, zstd });
    }

    #[test]
    fn what_goes_in_comes_out(n in 0u64..50, dictionary in prop_oneof![Just(PLAIN), Just(100_001)]) {
        prop_assert_eq!(unpack(&pack(&batch(n), dictionary).unwrap()).unwrap(), batch(n));
    }
}
