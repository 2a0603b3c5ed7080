// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Sessions of versions 4 and 5, what is passed over, and what is damaged.

use proptest::prelude::*;
use serde_json::{Value, json};

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
                    r#""pubrel":{"qos":1,"retain":false,"dup":false,"message_id":9,"reason_code":0},"puback":{"qos":0,"retain":false,"dup":false,"message_id":9,"reason_code":0}}}"#
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

fn told(t: &Talk<Mqtt>, place: usize, what: &str) -> Value {
    let mut one = serde_json::from_str::<Value>(&t.json()[place]).unwrap()["mqtt"][what].take();
    for flag in ["qos", "retain", "dup"] {
        one.as_object_mut().unwrap_or_else(|| panic!("{what}: {:?}", t.json())).remove(flag);
    }
    one
}

/// MQTT 5.0, table 2-4: each property by its number and form.
#[test]
fn each_property_of_version_5_has_its_name_and_form() {
    let bytes = [0, 2, b'a', b'b'];
    for (id, value, name, want) in [
        (1, &[1][..], "payload_format_indicator", json!(1)),
        (2, &[0, 1, 0, 0], "message_expiry_interval", json!(65_536)),
        (3, &bytes, "content_type", json!("ab")),
        (8, &bytes, "response_topic", json!("ab")),
        (9, &bytes, "correlation_data", json!("ab")),
        (11, &[0x80, 1], "subscription_identifier", json!(128)),
        (17, &[0, 0, 0, 9], "session_expiry_interval", json!(9)),
        (18, &bytes, "assigned_client_identifier", json!("ab")),
        (19, &[1, 0], "server_keep_alive", json!(256)),
        (21, &bytes, "authentication_method", json!("ab")),
        (22, &bytes, "authentication_data", json!("ab")),
        (23, &[0], "request_problem_information", json!(0)),
        (24, &[0, 0, 0, 9], "will_delay_interval", json!(9)),
        (25, &[1], "request_response_information", json!(1)),
        (26, &bytes, "response_information", json!("ab")),
        (28, &bytes, "server_reference", json!("ab")),
        (31, &bytes, "reason_string", json!("ab")),
        (33, &[1, 0], "receive_maximum", json!(256)),
        (34, &[1, 0], "topic_alias_maximum", json!(256)),
        (35, &[1, 0], "topic_alias", json!(256)),
        (36, &[1], "maximum_qos", json!(1)),
        (37, &[1], "retain_available", json!(1)),
        (38, &[0, 1, b'k', 0, 1, b'v'], "k", json!("v")),
        (39, &[0, 1, 0, 0], "maximum_packet_size", json!(65_536)),
        (40, &[1], "wildcard_subscription_available", json!(1)),
        (41, &[1], "subscription_identifier_available", json!(1)),
        (42, &[1], "shared_subscription_available", json!(1)),
    ] {
        let mut t = Talk::<Mqtt>::new();
        // Twice: of a property that may be there once the first counts.
        let all = [&[id], value, &[id], value].concat();
        t.say(ToServer, &connect(5), false);
        t.say(ToClient, &connack(5, 0), false);
        t.say(ToServer, &msg(3, 0, &[&text("t"), &[u8::try_from(all.len()).unwrap()], &all, b"x"]), false);
        let publish = told(&t, 1, "publish");
        assert_eq!(publish, json!({"topic": "t", "message": "x", "properties": {name: want}}), "{id}");
        assert!(t.events().is_empty(), "{id}: {:?}", t.events());
    }
}

/// MQTT 5.0, sections 3.1.3 (the will), 3.10, 3.11 (unsubscribing), 3.14 and 3.15 (goodbye, authentication).
#[test]
fn wills_and_reasons_are_told_and_passwords_where_the_operator_says_so() {
    for (passwords, password) in [(true, Some("pass")), (false, None)] {
        let mut t = Talk::<Mqtt>::new();
        t.config.mqtt.passwords = passwords;
        let will = [&[5, 24, 0, 0, 0, 7][..], &text("gone"), &text("bye")].concat();
        let flags = 0x80 | 0x40 | 0x20 | 4;
        let head = [text("MQTT"), vec![5, flags, 0, 60, 0], text("id")].concat();
        t.say(ToServer, &msg(1, 0, &[&head, &will, &text("user"), &text("pass")]), false);
        let mut want = json!({
            "protocol_string": "MQTT", "protocol_version": 5, "client_id": "id", "username": "user",
            "flags": {"username": true, "password": true, "will_retain": true, "will": true, "clean_session": false},
            "will": {"topic": "gone", "message": "bye", "properties": {"will_delay_interval": 7}},
        });
        if let Some(password) = password {
            want["password"] = json!(password);
        }
        assert_eq!(told(&t, 0, "connect"), want);
    }
    let mut t = Talk::<Mqtt>::new();
    t.say(ToServer, &connect(5), false);
    t.say(ToServer, &msg(10, 2, &[&[0, 7, 0], &text("a"), &text("b")]), false);
    t.say(ToClient, &msg(11, 0, &[&[0, 7, 0, 0, 17]]), false);
    t.say(ToClient, &msg(15, 0, &[&[0x18, 5, 21, 0, 2, b'm', b'e']]), false);
    t.say(ToServer, &msg(14, 0, &[&[4, 4, 31, 0, 1, b'r']]), false);
    assert_eq!(told(&t, 1, "unsubscribe"), json!({"message_id": 7, "topics": ["a", "b"]}));
    assert_eq!(told(&t, 1, "unsuback"), json!({"message_id": 7, "reason_codes": [0, 17]}));
    assert_eq!(told(&t, 2, "auth"), json!({"reason_code": 24, "properties": {"authentication_method": "me"}}));
    assert_eq!(told(&t, 3, "disconnect"), json!({"reason_code": 4, "properties": {"reason_string": "r"}}));
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
