// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Calls over TCP and UDP, in fragments, in any pieces, behind gaps, and damaged.

use proptest::prelude::*;

use super::*;
use crate::single::testing::{Talk, hostile};

use Direction::{ToClient, ToServer};

const SVCCTL: [u8; 16] = [0x81, 0xbb, 0x7a, 0x36, 0x44, 0x98, 0xf1, 0x35, 0xad, 0x32, 0x98, 0xf0, 0x38, 0, 0x10, 3];

/// A PDU in little-endian order.
pub(crate) fn pdu(kind: u8, flags: u8, call: u32, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let len = u16::try_from(HEAD + body.len()).unwrap();
    [&[5, 0, kind, flags, 0x10, 0, 0, 0], &len.to_le_bytes()[..], &[0, 0], &call.to_le_bytes(), &body].concat()
}
pub(crate) fn bind(kind: u8, call: u32, context: u8) -> Vec<u8> {
    let syntax = [0; 20];
    pdu(kind, 3, call, &[&[0; 8], &[1, 0, 0, 0], &[context, 0, 1, 0], &SVCCTL, &[2, 0, 0, 0], &syntax])
}
pub(crate) fn ack(kind: u8, call: u32, result: u8) -> Vec<u8> {
    pdu(kind, 3, call, &[&[0; 8], &[4, 0], b"135\0", &[0, 0], &[1, 0, 0, 0], &[result, 0, 0, 0], &[0; 20]])
}
pub(crate) fn request(flags: u8, call: u32, context: u8, opnum: u8, stub: &[u8]) -> Vec<u8> {
    pdu(0, flags, call, &[&[0; 4], &[context, 0, opnum, 0], stub])
}
pub(crate) fn response(flags: u8, call: u32, stub: &[u8]) -> Vec<u8> {
    pdu(2, flags, call, &[&[0; 8], stub])
}

#[test]
fn a_conversation_however_it_comes() {
    for size in [1, 7, 30, 5000] {
        let mut t = Talk::<Dcerpc>::new();
        let mut say = |d, parts: &[Vec<u8>]| parts.concat().chunks(size).for_each(|p| t.say(d, p, false));
        say(ToServer, &[bind(11, 1, 0)]);
        say(ToClient, &[ack(12, 1, 0)]);
        say(ToServer, &[request(1, 2, 0, 12, b"abc"), request(2, 2, 0, 12, b"defg")]);
        say(ToClient, &[response(3, 2, b"xy")]);
        say(ToServer, &[bind(14, 3, 1)]);
        say(ToClient, &[ack(15, 3, 2)]);
        say(ToServer, &[request(3, 3, 1, 0, b"q"), pdu(16, 3, 3, &[&[0; 4]])]);
        say(ToClient, &[pdu(3, 3, 3, &[&[0; 16]])]);
        assert_eq!(
            t.json(),
            [
                concat!(
                    r#"{"dcerpc":{"request":"BIND","interfaces":[{"uuid":"367abb81-9844-35f1-ad32-98f038001003","version":"2.0","#,
                    r#""ack_result":0,"ack_reason":0,"service":"svcctl"}],"response":"BINDACK","call_id":1,"rpc_version":"5.0"}}"#
                ),
                concat!(
                    r#"{"dcerpc":{"request":"REQUEST","req":{"opnum":12,"frag_cnt":2,"stub_data_size":7},"#,
                    r#""interfaces":[{"uuid":"367abb81-9844-35f1-ad32-98f038001003","version":"2.0","ack_result":0,"ack_reason":0,"#,
                    r#""service":"svcctl","procedure":"RCreateServiceW"}],"response":"RESPONSE","res":{"frag_cnt":1,"stub_data_size":10},"#,
                    r#""call_id":2,"rpc_version":"5.0"}}"#
                ),
                concat!(
                    r#"{"dcerpc":{"request":"ALTER_CONTEXT","interfaces":[{"uuid":"367abb81-9844-35f1-ad32-98f038001003","version":"2.0","#,
                    r#""ack_result":2,"ack_reason":0,"service":"svcctl"}],"response":"ALTER_CONTEXT_RESP","call_id":3,"rpc_version":"5.0"}}"#
                ),
                concat!(
                    r#"{"dcerpc":{"request":"REQUEST","req":{"opnum":0,"frag_cnt":1,"stub_data_size":1},"#,
                    r#""interfaces":[{"uuid":"367abb81-9844-35f1-ad32-98f038001003","version":"2.0","ack_result":2,"ack_reason":0,"#,
                    r#""service":"svcctl","procedure":"RCloseServiceHandle"}],"response":"FAULT","call_id":3,"rpc_version":"5.0"}}"#
                ),
            ],
            "in pieces of {size}"
        );
        assert_eq!(t.buffer(1, Buffer::DcerpcStubData, ToServer, 0).as_deref(), Some("abcdefg"));
        assert_eq!(t.number(1, Field::DcerpcOpnum, ToServer, 0), Some(12));
        assert_eq!(t.number(1, Field::DcerpcIfaceHigh, ToServer, 0), Some(0x367a_bb81_9844_35f1));
        assert_eq!(t.number(1, Field::DcerpcIfaceLow, ToClient, 0), Some(0xad32_98f0_3800_1003));
        assert_eq!(t.number(1, Field::DcerpcIfaceVersion, ToServer, 0), Some(2));
        // What was refused is no interface, and a bind is no operation.
        assert_eq!(t.number(3, Field::DcerpcIfaceHigh, ToServer, 0), None);
        assert_eq!(t.number(0, Field::DcerpcOpnum, ToServer, 0), None);
        assert_eq!(t.number(1, Field::DcerpcOrder, ToServer, 0), Some(1), "the lower byte first");
    }
}

#[test]
fn datagrams_belong_to_activities() {
    let datagram = |kind: u8, flags: u8, activity: u8, sequence: u8, stub: &[u8]| {
        let len = u16::try_from(stub.len()).unwrap();
        [
            &[4, kind, flags, 0, 0x10, 0, 0, 0][..],
            &[0; 16],
            &SVCCTL,
            &[activity; 16],
            &[0; 4],
            &[2, 0, 0, 0],
            &[sequence, 0, 0, 0],
            &[15, 0],
            &[0xff; 4],
            &len.to_le_bytes(),
            &[0; 4],
            stub,
        ]
        .concat()
    };
    let mut t = Talk::<Dcerpc>::new();
    t.say(ToServer, &datagram(0, 4, 7, 1, b"ab"), true);
    t.say(ToServer, &datagram(0, 0, 8, 1, b"other"), true);
    t.say(ToServer, &datagram(0, 6, 7, 1, b"cd"), true);
    t.say(ToClient, &datagram(7, 0, 7, 1, b""), true);
    t.say(ToClient, &datagram(2, 0, 7, 1, b"xyz"), true);
    assert_eq!(
        t.json(),
        [
            concat!(
                r#"{"dcerpc":{"request":"REQUEST","req":{"opnum":15,"frag_cnt":2,"stub_data_size":4},"#,
                r#""interfaces":[{"uuid":"367abb81-9844-35f1-ad32-98f038001003","version":"2.0","service":"svcctl","procedure":"ROpenSCManagerW"}],"#,
                r#""response":"RESPONSE","res":{"frag_cnt":1,"stub_data_size":3},"#,
                r#""activityuuid":"07070707-0707-0707-0707-070707070707","seqnum":1,"rpc_version":"4.0"}}"#
            ),
            concat!(
                r#"{"dcerpc":{"request":"REQUEST","req":{"opnum":15,"frag_cnt":1,"stub_data_size":5},"#,
                r#""interfaces":[{"uuid":"367abb81-9844-35f1-ad32-98f038001003","version":"2.0","service":"svcctl","procedure":"ROpenSCManagerW"}],"#,
                r#""response":"UNREPLIED","activityuuid":"08080808-0808-0808-0808-080808080808","seqnum":1,"rpc_version":"4.0"}}"#
            ),
        ]
    );
    let whole = datagram(0, 0, 1, 1, b"");
    assert!((0..whole.len()).all(|n| pdu::datagram(&whole[..n]).is_none()), "a datagram that is cut off is none");
    t.say(ToServer, &whole[..60], true);
    assert!(t.stopped);
}

#[test]
fn behind_a_gap_it_goes_on_and_damage_stops_it() {
    let mut t = Talk::<Dcerpc>::new();
    t.say(ToServer, &bind(11, 1, 0), false);
    let mut cx = Cx::alone(&t.config, &mut t.memory, (1, 135));
    assert_eq!(t.state.gap(ToServer, 100, &mut cx), Step::Ok(0));
    t.say(ToServer, &[&b"tail of what was lost"[..], &request(3, 9, 0, 1, b"s")].concat(), false);
    assert!(t.json()[1].contains(r#""opnum":1"#) && t.json()[1].contains("svcctl"), "{:?}", t.json());
    // Without a gap, bytes that are no PDU end it.
    t.say(ToServer, b"GET / HTTP/1.1\r\n\r\n", false);
    assert!(t.stopped);
}

/// Threat: fragments, calls and contexts without end.
#[test]
fn everything_is_bounded() {
    let mut t = Talk::<Dcerpc>::new();
    t.config.dcerpc.max_stub = 1000;
    t.config.dcerpc.max_tx = 50;
    for flags in [1].into_iter().chain([0; 9]) {
        t.say(ToServer, &request(flags, 1, 0, 1, &[b'x'; 300]), false);
    }
    assert!(t.json()[0].contains(r#""frag_cnt":10,"stub_data_size":3000"#));
    assert_eq!(t.buffer(0, Buffer::DcerpcStubData, ToServer, 0).map(|b| b.len()), Some(1000));
    for call in 0..400 {
        t.say(ToServer, &request(3, call, 0, 1, b""), false);
    }
    assert!(t.state.txs().len() <= 100);
    for context in 0..=u8::MAX {
        t.say(ToServer, &bind(14, 500 + u32::from(context), context), false);
        t.say(ToServer, &bind(14, 900 + u32::from(context), context), false);
    }
    assert_eq!(t.state.charged() as usize, call::MAX_BOUND * size_of::<Bound>());
}

proptest! {
    #[test]
    fn every_truncation_waits(n in 0usize..60) {
        let wire = request(3, 1, 0, 1, &[7; 36]);
        let mut t = Talk::<Dcerpc>::new();
        t.say(ToServer, &wire[..n.min(wire.len() - 1)], false);
        prop_assert!(t.json().is_empty() && !t.stopped);
    }
    #[test]
    fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
        Just(bind(11, 1, 0)), Just(ack(12, 1, 0)),
        (0u8..21, any::<u8>(), 0u32..4, prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(k, f, c, b)| pdu(k, f, c, &[&b])),
        prop::collection::vec(any::<u8>(), 0..90)]), 0..9), cut in 0usize..150, datagram: bool) {
        hostile::<Dcerpc>(&pieces, cut, datagram);
    }
}
