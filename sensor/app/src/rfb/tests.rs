// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Greetings in the three versions, refusals, and what is damaged.

use proptest::prelude::*;

use super::*;
use crate::single::testing::{Talk, hostile};

use Direction::{ToClient, ToServer};

fn screen_bytes() -> Vec<u8> {
    [&[5, 0, 3, 32, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0][..], &[0, 0, 0, 4], b"desk"].concat()
}

// Who says what, in turn.
fn lines(minor: u8, kind: u8) -> Vec<(Direction, Vec<u8>)> {
    let hello = [b"RFB 003.00", &[b'0' + minor][..], b"\n"].concat();
    let mut out = vec![(ToClient, hello.clone()), (ToServer, hello)];
    if minor == 3 {
        out.push((ToClient, vec![0, 0, 0, kind]));
    } else {
        out.push((ToClient, vec![2, 1, 2]));
        out.push((ToServer, vec![kind]));
    }
    if kind == 2 {
        out.push((ToClient, vec![0xab; 16]));
        out.push((ToServer, vec![0xcd; 16]));
    }
    if kind == 2 || minor == 8 {
        out.push((ToClient, vec![0; 4]));
    }
    out.push((ToServer, vec![1]));
    out.push((ToClient, screen_bytes()));
    out
}

#[test]
fn every_version_and_kind_comes_to_its_screen_however_it_comes() {
    for minor in [3, 7, 8] {
        for kind in [1, 2] {
            for size in [1, 5, 100] {
                let mut t = Talk::<Rfb>::new();
                for (d, bytes) in lines(minor, kind) {
                    bytes.chunks(size).for_each(|p| t.say(d, p, false));
                }
                let json = t.json().concat();
                assert!(json.contains(&format!(r#""security_type":{kind}"#)), "3.{minor}: {json}");
                assert!(
                    json.contains(r#""framebuffer":{"width":1280,"height":800,"name":"desk""#),
                    "3.{minor}: {json}"
                );
                assert_eq!(json.contains(r#""challenge":"abababab"#), kind == 2);
                assert_eq!(json.contains(r#""security_result":"OK""#), kind == 2 || minor == 8);
                assert!(t.events().is_empty() && t.state.txs().at(0).is_some_and(|t| t.core.finished()));
                assert_eq!(t.buffer(0, Buffer::RfbName, ToClient, 0).as_deref(), Some("desk"));
                assert_eq!(t.number(0, Field::RfbSectype, ToServer, 0), Some(kind.into()));
            }
        }
    }
}

#[test]
fn a_refusal_has_its_reason() {
    let mut t = Talk::<Rfb>::new();
    t.say(ToClient, b"RFB 003.008\n", false);
    t.say(ToServer, b"RFB 003.008\n", false);
    t.say(ToClient, &[&[0, 0, 0, 0, 2][..], b"no"].concat(), false);
    assert!(t.json()[0].contains(r#""server_security_failure_reason":"no""#));
}

/// RealVNC's versions 4 and 5 offer and choose as 3.8 does.
#[test]
fn later_major_versions_go_on_as_3_8() {
    let mut t = Talk::<Rfb>::new();
    t.say(ToClient, b"RFB 004.001\n", false);
    t.say(ToServer, b"RFB 004.001\n", false);
    t.say(ToClient, &[7, 13, 5, 0x85, 6, 0x82, 2, 2], false);
    t.say(ToServer, &[13], false);
    let json = &t.json()[0];
    assert!(json.contains(r#""major":"004","minor":"001""#) && json.contains(r#""security_type":13"#), "{json}");
    assert_eq!(t.events(), ["unimplemented_security_type"]);
}

#[test]
fn what_is_damaged_is_an_event() {
    let mut t = Talk::<Rfb>::new();
    t.say(ToClient, b"RFB 003.008 ", false);
    assert!(t.stopped && t.events() == ["malformed_message"]);
    let mut t = Talk::<Rfb>::new();
    for (d, bytes) in lines(8, 1).into_iter().take(3) {
        t.say(d, &bytes, false);
    }
    t.say(ToServer, &[77], false);
    assert_eq!(t.events(), ["unimplemented_security_type"]);
    // Threat: a name of 4 GiB.
    let mut t = Talk::<Rfb>::new();
    let all = lines(8, 1);
    for (d, bytes) in &all[..all.len() - 1] {
        t.say(*d, bytes, false);
    }
    t.say(ToClient, &[&screen_bytes()[..20], &[255; 4]].concat(), false);
    assert!(t.stopped);
}

proptest! {
    #[test]
    fn any_bytes_and_every_truncation(minor in prop::sample::select(vec![3u8, 7, 8]), kind in 0u8..4,
        take in 0usize..10, pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..40)), 0..5),
        cut in 0usize..50) {
        let said = lines(minor, kind).into_iter().take(take).map(|(d, b)| (d == ToServer, b));
        hostile::<Rfb>(&said.chain(pieces).collect::<Vec<_>>(), cut, false);
    }
}
