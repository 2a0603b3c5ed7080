// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Sessions of versions 4 and 5, what is passed over, and what is damaged.

use proptest::prelude::*;

use super::*;
use crate::single::testing::{Talk, hostile};

use Direction::{ToClient, ToServer};

fn text(t: &str) -> Vec<u8> {
    [&u16::try_from(t.len()).unwrap().to_be_bytes(), t.as_bytes()].concat()
}
fn msg(kind: u8, flags: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    assert!(body.len() < 128);
    [&[kind << 4 | flags, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}
fn connect(version: u8) -> Vec<u8> {
    let properties: &[u8] = if version == 5 { &[3, 33, 0, 20] } else { &[] };
    msg(1, 0, &[&text("MQTT"), &[version, 0xc2, 0, 60], properties, &text("id"), &text("user"), &text("pass")])
}
fn connack(version: u8, code: u8) -> Vec<u8> {
    let tail: &[u8] = if version == 5 { &[7, 38, 0, 1, b'k', 0, 1, b'v'] } else { &[] };
    msg(2, 0, &[&[0, code], tail])
}

#[test]
fn a_session_however_it_comes() {
    for size in [1, 9, 500] {
        let mut t = Talk::<Mqtt>::new();
        let mut say = |d, parts: &[Vec<u8>]| parts.concat().chunks(size).for_each(|p| t.say(d, p, false));
        say(ToServer, &[connect(5)]);
        say(ToClient, &[connack(5, 0)]);
        say(
            ToServer,
            &[msg(8, 2, &[&[0, 7, 0], &text("a/b"), &[1], &text("c"), &[0]]), msg(3, 0, &[&text("t"), &[0], b"hello"])],
        );
        say(ToClient, &[msg(9, 0, &[&[0, 7, 0, 1, 0x87]]), msg(3, 0x0d, &[&text("t"), &[0, 9, 0], b"x"])]);
        say(ToServer, &[msg(6, 2, &[&[0, 9]]), msg(4, 0, &[&[0, 9]]), msg(14, 0, &[])]);
        assert_eq!(
            t.json(),
            [
                concat!(
                    r#"{"mqtt":{"connect":{"qos":0,"retain":false,"dup":false,"protocol_string":"MQTT","protocol_version":5,"flags":{"username":true,"password":true,"will_retain":false,"will":false,"clean_session":true},"#,
                    r#""client_id":"id","username":"user","password":"pass","properties":{"receive_maximum":20}},"#,
                    r#""connack":{"qos":0,"retain":false,"dup":false,"session_present":false,"return_code":0,"properties":{"k":"v"}}}}"#
                ),
                concat!(
                    r#"{"mqtt":{"subscribe":{"qos":1,"retain":false,"dup":false,"message_id":7,"topics":[{"topic":"a/b","qos":1},{"topic":"c","qos":0}]},"#,
                    r#""suback":{"qos":0,"retain":false,"dup":false,"message_id":7,"qos_granted":[1,135]}}}"#
                ),
                r#"{"mqtt":{"publish":{"qos":0,"retain":false,"dup":false,"topic":"t","message":"hello"}}}"#,
                concat!(
                    r#"{"mqtt":{"publish":{"qos":2,"retain":true,"dup":true,"topic":"t","message_id":9,"message":"x"},"#,
                    r#""pubrel":{"qos":1,"retain":false,"dup":false,"message_id":9},"puback":{"qos":0,"retain":false,"dup":false,"message_id":9}}}"#
                ),
                r#"{"mqtt":{"disconnect":{"qos":0,"retain":false,"dup":false,"reason_code":0}}}"#,
            ]
        );
        assert!(t.events().is_empty(), "{:?}", t.events());
        assert_eq!(t.buffer(1, Buffer::MqttSubscribeTopic, ToServer, 1).as_deref(), Some("c"));
        assert_eq!(t.buffer(3, Buffer::MqttPublishMessage, ToServer, 0), None, "it goes the other way");
        assert_eq!(t.number(1, Field::MqttReasonCode, ToServer, 1), Some(135));
        assert_eq!(t.number(0, Field::MqttProtocolVersion, ToServer, 0), Some(5));
    }
}

#[test]
fn what_does_not_fit_is_an_event() {
    for (d, wire, event) in [
        (ToClient, connack(4, 0), "missing_connect"),
        (ToServer, msg(3, 0, &[&text("t")]), "unintroduced_message"),
        (ToServer, msg(0, 0, &[]), "unassigned_msg_type"),
        (ToServer, msg(1, 0, &[b"\0\x04MQTT\x05\0\0\x3c\x7f"]), "malformed_traffic"),
        (ToServer, vec![0x30, 0xff, 0xff, 0xff, 0xff], "malformed_traffic"),
        (ToClient, msg(9, 0, &[&[0, 1, 0]]), "missing_subscribe"),
        (ToClient, msg(11, 0, &[&[0, 1]]), "missing_unsubscribe"),
        (ToClient, msg(4, 0, &[&[0, 1]]), "missing_publish"),
    ] {
        let mut t = Talk::<Mqtt>::new();
        t.say(d, &wire, false);
        assert!(t.events().contains(&event), "{event}: {:?}", t.events());
    }
    let mut t = Talk::<Mqtt>::new();
    t.say(ToServer, &[connect(4), connect(4), msg(3, 6, &[&text("t"), &[0, 1]])].concat(), false);
    assert!(t.events().contains(&"double_connect") && t.events().contains(&"invalid_qos_level"));
}

/// Threat: a length of 256 MiB announced; messages that are never acknowledged.
#[test]
fn what_is_long_or_open_is_bounded() {
    let mut t = Talk::<Mqtt>::new();
    t.say(ToServer, &[connect(4).as_slice(), &[0x32, 0xff, 0xff, 0xff, 0x7f], &[0; 4000]].concat(), false);
    assert!(t.json()[1].contains(r#""truncated":true,"skipped_length":268435460"#), "{:?}", t.json());
    let mut t = Talk::<Mqtt>::new();
    t.say(ToServer, &connect(4), false);
    for n in 0..3000u16 {
        t.say(ToServer, &msg(3, 2, &[&text("t"), &n.to_be_bytes()]), false);
    }
    assert!(t.state.txs().len() <= 2 * MAX_TXS);
}

proptest! {
    #[test]
    fn every_truncation_waits(version in 4u8..6) {
        let wire = connect(version);
        for n in 0..wire.len() {
            let mut t = Talk::<Mqtt>::new();
            t.say(ToServer, &wire[..n], false);
            prop_assert!(t.json().is_empty() && !t.stopped);
            prop_assert!(message::body(1, 0, 4, wire.get(2..n).unwrap_or_default()).is_none());
        }
    }
    #[test]
    fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
        Just(connect(5)), Just(connack(5, 0)),
        (0u8..16, 0u8..16, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(k, f, b)| msg(k, f, &[&b])),
        prop::collection::vec(any::<u8>(), 0..40)]), 0..9), cut in 0usize..150) {
        hostile::<Mqtt>(&pieces, cut, false);
    }
}
