// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Sessions, identities and services, built by hand after volume 2, chapter 2.

use proptest::prelude::*;

use super::{
    parser::{Header, MAX_ASKED, MAX_SEGMENTS, MAX_SERVICES},
    *,
};
use crate::single::testing::{Talk, hostile};

use Direction::{ToClient, ToServer};

fn wire(command: u16, session: u32, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap();
    [&command.to_le_bytes()[..], &len.to_le_bytes(), &session.to_le_bytes(), &[0; 16], body].concat()
}
/// Connected data that carries this service.
fn unit(session: u32, cip: &[u8]) -> Vec<u8> {
    let len = u16::try_from(cip.len() + 2).unwrap().to_le_bytes();
    let items = [&[2, 0, 0xa1, 0, 4, 0, 1, 2, 3, 4, 0xb1, 0][..], &len, &[9, 0], cip].concat();
    wire(0x70, session, &[&[0; 6][..], &items].concat())
}
/// Reads attribute 3 of instance 1 of class 2, and attributes 5 and 6 of instance 1 of class 0x173.
fn several() -> Vec<u8> {
    let first = [14, 3, 0x20, 2, 0x24, 1, 0x30, 3];
    let second = [3, 3, 0x21, 0, 0x73, 1, 0x24, 1, 2, 0, 5, 0, 6, 0];
    [&[10, 2, 0x20, 2, 0x24, 1, 2, 0, 6, 0, 14, 0][..], &first, &second].concat()
}
fn answered() -> Vec<u8> {
    [&[0x8a, 0, 0x1e, 0, 2, 0, 6, 0, 10, 0][..], &[0x8e, 0, 0, 0], &[0x83, 0, 1, 1, 0x07, 0x01]].concat()
}

#[test]
fn a_session_and_services_in_pairs_however_they_come() {
    for size in [1, 7, 1000] {
        let mut t = Talk::<Enip>::new();
        let up = [wire(0x65, 0, &[1, 0, 0, 0]), unit(7, &several()), wire(0x66, 7, &[])].concat();
        let down = [wire(0x65, 7, &[1, 0, 0, 0]), unit(7, &answered()), unit(8, &[0x8e, 0, 0, 0])].concat();
        up.chunks(size).for_each(|p| t.say(ToServer, p, false));
        down.chunks(size).for_each(|p| t.say(ToClient, p, false));
        let json = t.json();
        assert_eq!(
            json[0],
            concat!(
                r#"{"enip":{"request":{"command":"register_session","status":"success","register_session":{"protocol_version":1,"options":0}},"#,
                r#""response":{"command":"register_session","status":"success","register_session":{"protocol_version":1,"options":0}}}}"#
            )
        );
        assert_eq!(json.len(), 4, "the last answer has no question: {json:?}");
        assert!(json[1].contains(concat!(
            r#""cip":{"service":"unknown-10","path":[{"segment_type":"class","value":2},{"segment_type":"instance","value":1}],"#,
            r#""class_name":"unknown-2","multiple":[{"service":"unknown-14","#
        )));
        assert!(json[1].contains(r#"{"service":"unknown-3","status":"unknown-1","status_extended":"0701"}"#));
        let all = |f, d| (0..).map_while(|i| t.number(1, f, d, i)).collect::<Vec<_>>();
        assert_eq!(all(Field::EnipCommand, ToServer), [0x70]);
        assert_eq!(all(Field::EnipCipClass, ToServer), [2, 2, 0x173]);
        assert_eq!(all(Field::EnipCipInstance, ToServer), [1, 1, 1]);
        assert_eq!(all(Field::EnipCipAttribute, ToServer), [3, 5, 6]);
        assert_eq!(all(Field::EnipCipStatus, ToClient), [0x1e, 0, 1]);
        assert_eq!(all(Field::EnipCipExtendedstatus, ToClient), [0x107]);
        let [s, c, f] = [3 << 32, asked::HAS_CLASS | 0x173 << 16, asked::HAS_ATTRIBUTE];
        assert!(all(Field::CipService, ToServer).ends_with(&[s, s | c, s | c | f | 5, s | c | f | 6]));
        assert_eq!(all(Field::CipService, ToClient), [10 << 32, 14 << 32, 3 << 32]);
    }
}

#[test]
fn a_device_says_what_it_is_and_what_it_offers() {
    let name = b"PLC-5";
    let identity =
        [&[1, 0][..], &[0; 16], &[1, 0, 14, 0, 0x36, 0, 20, 11, 0x30, 0, 0x78, 0x56, 0x34, 0x12, 5], name, &[3]]
            .concat();
    let list = |kind: u16, item: &[u8]| {
        [&[1, 0][..], &kind.to_le_bytes(), &u16::try_from(item.len()).unwrap().to_le_bytes(), item].concat()
    };
    let mut t = Talk::<Enip>::new();
    t.say(ToServer, &wire(0x63, 0, &[]), true);
    t.say(ToClient, &wire(0x63, 0, &list(0x0c, &identity)), true);
    t.say(ToServer, &wire(4, 0, &[]), true);
    t.say(ToClient, &wire(4, 0, &list(0x100, b"\x01\0\x20\x01Communications\0\0")), true);
    let json = t.json();
    assert!(json[0].contains(concat!(
        r#""identity":{"protocol_version":1,"revision":"20.11","vendor_id":"unknown-1","device_type":"unknown-14","product_code":54,"#,
        r#""status":48,"serial":305419896,"product_name":"PLC-5","state":3}"#
    )));
    assert!(
        json[1]
            .contains(r#""list_services":{"protocol_version":1,"capabilities":288,"service_name":"Communications"}"#)
    );
    for (place, field, want) in [
        (0, Field::EnipProtocolVersion, 1),
        (0, Field::EnipRevision, 20 << 8 | 11),
        (0, Field::EnipIdentityStatus, 48),
        (0, Field::EnipState, 3),
        (0, Field::EnipSerial, 0x1234_5678),
        (0, Field::EnipProductCode, 54),
        (0, Field::EnipDeviceType, 14),
        (0, Field::EnipVendorId, 1),
        (0, Field::EnipStatus, 0),
        (1, Field::EnipCapabilities, 288),
        (1, Field::EnipProtocolVersion, 1),
    ] {
        assert_eq!(t.number(place, field, ToClient, 0), Some(want), "{field:?}");
    }
    assert_eq!(t.buffer(0, Buffer::EnipProductName, ToClient, 0).as_deref(), Some("PLC-5"));
    assert_eq!(t.buffer(1, Buffer::EnipServiceName, ToClient, 0).as_deref(), Some("Communications"));
    assert_eq!(t.buffer(1, Buffer::EnipServiceName, ToServer, 0), None);
}

#[test]
fn what_is_damaged_is_an_event_and_a_cut_frame_waits() {
    let whole = unit(1, &several());
    for n in 0..whole.len() {
        let mut t = Talk::<Enip>::new();
        t.say(ToServer, &whole[..n], false);
        assert_eq!((t.json().len(), t.stopped), (0, false), "{n} bytes wait");
    }
    for cip in [&several()[..13], &[0x8e, 0][..], &[3, 9, 0x20]] {
        let mut t = Talk::<Enip>::new();
        t.say(ToServer, &unit(1, cip), false);
        assert_eq!(t.events(), ["invalid_pdu"], "{cip:?}");
    }
}

#[test]
fn caps_hold() {
    // Threat: a message of nothing but services, all of them the same one.
    let many = [&[10, 0][..], &2000u16.to_le_bytes(), &[2, 0].repeat(2000), &[14, 0]].concat();
    let Message { content: Content::Cip(all), .. } =
        parser::message(Header { command: 0x70, ..Header::default() }, &unit(1, &many)[HEADER..], false)
    else {
        panic!("it carries services")
    };
    assert_eq!(all.len(), MAX_SERVICES);
    // Threat: many services that are the same bytes: a list of attributes behind a path of classes.
    let one = [&[3, 32][..], &[0x20, 1].repeat(32), &32u16.to_le_bytes(), &[9, 0].repeat(32)].concat();
    let many = [&[10, 0][..], &100u16.to_le_bytes(), &[202, 0].repeat(100), &one].concat();
    let m = parser::message(Header { command: 0x70, ..Header::default() }, &unit(1, &many)[HEADER..], false);
    assert!(m.damaged, "more than the message holds");
    let alone = [&[10, 0][..], &1u16.to_le_bytes(), &[4, 0], &one].concat();
    let m = parser::message(Header { command: 0x70, ..Header::default() }, &unit(1, &alone)[HEADER..], false);
    assert!(!m.damaged);
    // Itself, and each of 32 classes alone and with each of 32 attributes.
    let s = 3 * asked::SERVICE;
    assert_eq!(m.asked.len(), MAX_ASKED, "of 1 + 32 * 33");
    assert_eq!(
        m.asked[1..4],
        [s, s | asked::HAS_CLASS | 1 << 16, s | asked::HAS_CLASS | asked::HAS_ATTRIBUTE | 1 << 16 | 9]
    );
    // Threat: a path of nothing but segments.
    let long = [&[14, 250][..], &[0x20, 1].repeat(250)].concat();
    let mut t = Talk::<Enip>::new();
    t.say(ToServer, &unit(1, &long), false);
    assert_eq!(t.number(0, Field::EnipCipClass, ToServer, MAX_SEGMENTS), None);
    assert_eq!(t.number(0, Field::EnipCipClass, ToServer, MAX_SEGMENTS - 1), Some(1));
    // Threat: questions that are never answered.
    let mut t = Talk::<Enip>::new();
    t.say(ToServer, &wire(0x63, 0, &[]).repeat(MAX_TXS + 1), false);
    assert_eq!(t.events(), ["too_many_transactions"]);
}

proptest! {
    #[test]
    fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
        Just(unit(1, &several())), Just(unit(1, &answered())),
        (prop::sample::select(vec![4u16, 0x63, 0x65, 0x6f, 0x70]), prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(c, b)| wire(c, 1, &b)),
        prop::collection::vec(any::<u8>(), 0..60).prop_map(|b| unit(1, &b)),
        prop::collection::vec(any::<u8>(), 0..60)]), 0..7), cut in 0usize..120, datagram: bool) {
        hostile::<Enip>(&pieces, cut, datagram);
    }
}
