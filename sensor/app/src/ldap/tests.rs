// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Requests and responses in pairs, StartTLS, and what is damaged.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::single::testing::{Talk, hostile};

use Direction::{ToClient, ToServer};

pub(super) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    [&[tag, 0x82][..], &u16::try_from(content.len()).unwrap().to_be_bytes(), &content].concat()
}
fn envelope(id: u8, op: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &[&[2, 1, id], &tlv(0x60 | op, parts)])
}
fn text(t: &str) -> Vec<u8> {
    tlv(4, &[t.as_bytes()])
}
fn search(id: u8) -> Vec<u8> {
    let head = [&[10, 1, 2][..], &[10, 1, 0], &[2, 1, 9], &[2, 1, 30], &[1, 1, 0], &[0x87, 1, b'x']].concat();
    envelope(id, 3, &[&text("dc=a"), &head, &tlv(0x30, &[&text("cn"), &text("*")])])
}
fn entry(id: u8) -> Vec<u8> {
    let attribute = tlv(0x30, &[&text("cn"), &tlv(0x31, &[&text("one"), &text("two")])]);
    envelope(id, 4, &[&text("cn=one,dc=a"), &tlv(0x30, &[&attribute])])
}
fn done(id: u8, op: u8, code: u8) -> Vec<u8> {
    envelope(id, op, &[&[10, 1, code], &text("dc=m"), &text("said")])
}

#[test]
fn a_search_and_its_responses_however_they_come() {
    for size in [1, 11, 1000] {
        let mut t = Talk::<Ldap>::new();
        [search(2), envelope(3, 2, &[])].concat().chunks(size).for_each(|p| t.say(ToServer, p, false));
        [entry(2), done(2, 5, 4)].concat().chunks(size).for_each(|p| t.say(ToClient, p, false));
        assert_eq!(
            t.json(),
            [
                concat!(
                    r#"{"ldap":{"request":{"message_id":2,"operation":"search_request","search_request":{"base_object":"dc=a","scope":2,"deref_alias":0,"size_limit":9,"time_limit":30,"types_only":false,"attributes":["cn","*"]}},"#,
                    r#""responses":[{"message_id":2,"operation":"search_result_entry","search_result_entry":{"base_object":"cn=one,dc=a","attributes":[{"type":"cn","values":["one","two"]}]}},"#,
                    r#"{"message_id":2,"operation":"search_result_done","search_result_done":{"result_code":"size_limit_exceeded","matched_dn":"dc=m","message":"said"}}]}}"#
                ),
                r#"{"ldap":{"request":{"message_id":3,"operation":"unbind_request"}}}"#,
            ]
        );
        for (b, d, i, want) in [
            (Buffer::LdapRequestDn, ToServer, 0, Some("dc=a")),
            (Buffer::LdapRequestAttributeType, ToServer, 1, Some("*")),
            (Buffer::LdapResponsesDn, ToClient, 0, Some("cn=one,dc=a")),
            (Buffer::LdapResponsesDn, ToClient, 1, Some("dc=m")),
            (Buffer::LdapResponsesMessage, ToClient, 0, Some("")),
            (Buffer::LdapResponsesMessage, ToClient, 1, Some("said")),
            (Buffer::LdapResponsesAttributeType, ToClient, 0, Some("cn")),
            (Buffer::LdapResponsesAttributeType, ToClient, 1, None),
        ] {
            assert_eq!(t.buffer(0, b, d, i).as_deref(), want, "{} {i}", b.name());
        }
        let numbers = [Field::LdapResponsesCount, Field::LdapResponsesResultCode, Field::LdapResponsesOperation];
        assert_eq!(numbers.map(|f| t.number(0, f, ToClient, 0)), [Some(2), Some(4), Some(4)]);
        assert!(t.events().is_empty() && t.state.txs().iter().all(|t| t.core.finished()));
    }
}

/// RFC 4511, sections 4.2 to 4.11 (`increment`: RFC 4525), in the words of Suricata's user guide, "LDAP".
#[test]
fn each_request_is_told_with_its_parts() {
    let set = |values: &[&str]| tlv(0x31, &[&values.iter().flat_map(|v| text(v)).collect::<Vec<_>>()]);
    let attribute = |name: &str, values: &[&str]| tlv(0x30, &[&text(name), &set(values)]);
    let change = |how: u8, name: &str, values: &[&str]| tlv(0x30, &[&[10, 1, how], &attribute(name, values)]);
    let changes = [
        change(0, "a", &["1", "2"]),
        change(1, "b", &[]),
        change(2, "c", &["3"]),
        change(3, "d", &["4"]),
        change(9, "e", &[]),
    ];
    let primitive = |op: u8, content: &[u8]| tlv(0x30, &[&[2, 1, 7], &tlv(0x40 | op, &[content])]);
    for (wire, operation, want) in [
        (
            envelope(7, 0, &[&[2, 1, 3], &text("cn=me"), &tlv(0xa3, &[&text("GSS-SPNEGO"), &text("x")])]),
            "bind_request",
            json!({"version": 3, "name": "cn=me", "sasl": {"mechanism": "GSS-SPNEGO"}}),
        ),
        (
            envelope(7, 0, &[&[2, 1, 3], &text("cn=me"), &tlv(0x80, &[b"password"])]),
            "bind_request",
            json!({"version": 3, "name": "cn=me"}),
        ),
        (
            envelope(7, 6, &[&text("cn=x"), &tlv(0x30, &[&changes.concat()])]),
            "modify_request",
            json!({"object": "cn=x", "changes": [
                {"operation": "add", "modification_type": "a", "modification_values": ["1", "2"]},
                {"operation": "delete", "modification_type": "b", "modification_values": []},
                {"operation": "replace", "modification_type": "c", "modification_values": ["3"]},
                {"operation": "increment", "modification_type": "d", "modification_values": ["4"]},
                {"operation": "unknown", "modification_type": "e", "modification_values": []},
            ]}),
        ),
        (
            envelope(7, 8, &[&text("cn=x"), &tlv(0x30, &[&attribute("a", &["1"])])]),
            "add_request",
            json!({"entry": "cn=x", "attributes": [{"name": "a", "values": ["1"]}]}),
        ),
        (primitive(10, b"cn=x"), "del_request", json!({"dn": "cn=x"})),
        (
            envelope(7, 12, &[&text("cn=x"), &text("cn=y"), &[1, 1, 0xff], &tlv(0x80, &[b"dc=b"])]),
            "mod_dn_request",
            json!({"entry": "cn=x", "new_rdn": "cn=y", "delete_old_rdn": true, "new_superior": "dc=b"}),
        ),
        (
            envelope(7, 12, &[&text("cn=x"), &text("cn=y"), &[1, 1, 0]]),
            "mod_dn_request",
            json!({"entry": "cn=x", "new_rdn": "cn=y", "delete_old_rdn": false}),
        ),
        (
            envelope(7, 14, &[&text("cn=x"), &tlv(0x30, &[&text("a"), &text("1")])]),
            "compare_request",
            json!({"entry": "cn=x", "attribute_value_assertion": {"description": "a", "value": "1"}}),
        ),
        (primitive(16, &[5]), "abandon_request", json!({"message_id": 5})),
        (
            envelope(7, 23, &[&tlv(0x80, &[b"1.2.3"]), &tlv(0x81, &[b"v"])]),
            "extended_request",
            json!({"name": "1.2.3", "value": "v"}),
        ),
    ] {
        let mut t = Talk::<Ldap>::new();
        t.say(ToServer, &wire, false);
        let told: Value = serde_json::from_str(&t.json()[0]).unwrap();
        let request = &told["ldap"]["request"];
        assert_eq!((&request["operation"], &request["message_id"]), (&json!(operation), &json!(7)));
        assert_eq!(request[operation], want, "{operation}");
        assert!(t.events().is_empty(), "{operation}: {:?}", t.events());
    }
    let mut t = Talk::<Ldap>::new();
    t.say(ToServer, &envelope(7, 23, &[&tlv(0x80, &[b"1.2.3"])]), false);
    let result = [&[10, 1, 99][..], &text(""), &text("no")].concat();
    t.say(ToClient, &envelope(7, 24, &[&result, &tlv(0x8a, &[b"1.2.4"]), &tlv(0x8b, &[b"w"])]), false);
    let told: Value = serde_json::from_str(&t.json()[0]).unwrap();
    assert_eq!(
        told["ldap"]["responses"][0]["extended_response"],
        json!({"result_code": "unknown(99)", "matched_dn": "", "message": "no", "name": "1.2.4", "value": "w"})
    );
}

#[test]
fn start_tls_changes_the_protocol_where_the_server_agrees() {
    for (code, changes) in [(0, true), (2, false)] {
        let mut ldap = Ldap::default();
        let (config, mut memory) = (Config::default(), crate::Memory { cap: 1 << 20, ..Default::default() });
        let mut cx = Cx::alone(&config, &mut memory, (1, 389));
        let ask = envelope(1, 23, &[&tlv(0x80, &[op::START_TLS])]);
        for (direction, data) in [(ToServer, ask), (ToClient, done(1, 24, code))] {
            ldap.data(Input { direction, data: &data, eof: false, datagram: false }, &mut cx);
        }
        assert_eq!(cx.change.is_some_and(|c| c.expected == AppProto::Tls), changes);
    }
}

#[test]
fn what_is_damaged_or_unasked_is_an_event() {
    let mut t = Talk::<Ldap>::new();
    t.say(ToClient, &done(9, 5, 0), false);
    t.say(ToServer, &tlv(0x30, &[b"\x04\x01x"]), false);
    t.say(ToServer, b"GET /", false);
    assert!(t.stopped);
    assert_eq!(t.events(), ["request_not_found", "invalid_data", "invalid_data"]);
    let wire = search(1);
    assert!((0..wire.len()).all(|n| message(&wire[..n]).is_none()));
}

/// Threat: a search that finds everything; messages of 4 GiB.
#[test]
fn what_is_kept_is_bounded() {
    let mut t = Talk::<Ldap>::new();
    t.say(ToServer, &search(2), false);
    for _ in 0..1000 {
        t.say(ToClient, &entry(2), false);
    }
    let tx = t.state.txs().at(0).unwrap();
    assert_eq!((tx.responses.len(), tx.count), (MAX_RESPONSES, 1000));
    t.say(ToClient, &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], false);
    for _ in 0..100 {
        t.say(ToClient, &[0; 1000], false);
    }
    assert!(!t.stopped);
}

proptest! {
    #[test]
    fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
        Just(search(2)), Just(entry(2)), Just(done(2, 5, 0)),
        (0u8..26, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(op, b)| envelope(2, op, &[&b])),
        prop::collection::vec(any::<u8>(), 0..40)]), 0..9), cut in 0usize..150, datagram: bool) {
        hostile::<Ldap>(&pieces, cut, datagram);
    }
}
