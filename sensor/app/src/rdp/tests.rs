// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Greetings of RDP: what is asked, agreed and told.

use proptest::prelude::*;

use super::*;
use crate::single::testing::{Talk, hostile};

use Direction::{ToClient, ToServer};

fn pdu(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[3, 0][..], &u16::try_from(body.len() + 4).unwrap().to_be_bytes(), &body].concat()
}
fn request() -> Vec<u8> {
    pdu(&[&[6, 0xe0, 0, 0, 0, 0, 0], b"Cookie: mstshash=A1\r\n", &[1, 0, 8, 0, 3, 0, 0, 0]])
}
fn connect() -> Vec<u8> {
    let wide = |t: &str, n: usize| {
        let mut out: Vec<u8> = t.encode_utf16().flat_map(u16::to_le_bytes).collect();
        out.resize(n, 0);
        out
    };
    let core = [
        &[4, 0, 8, 0, 0, 5, 0x20, 3, 1, 0xca, 3, 0xaa, 7, 4, 0, 0, 0x28, 0x0a, 0, 0][..],
        &wide("PC", 32),
        &[4, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0],
        &[0; 64],
        &[1, 0xca, 1, 0, 0, 0, 0, 0, 16, 0, 7, 0, 5, 0],
        &wide("id-1", 64),
    ]
    .concat();
    let net = [&[1, 0, 0, 0][..], b"rdpdr\0\0\0", &[0; 4]].concat();
    let block =
        |kind: u16, b: &[u8]| [&kind.to_le_bytes()[..], &u16::try_from(b.len() + 4).unwrap().to_le_bytes(), b].concat();
    pdu(&[&[2, 0xf0, 0x80, 0x7f, 0x65], b"...Duca", &[0x80, 0xff], &block(0xc001, &core), &block(0xc003, &net)])
}

#[test]
fn answers_say_what_was_chosen_or_why_nothing_was() {
    for (kind, number, want) in [
        (2, 0, r#""protocol":"rdp""#),
        (2, 1, r#""protocol":"ssl""#),
        (2, 2, r#""protocol":"hybrid""#),
        (2, 4, r#""protocol":"rds_tls""#),
        (2, 8, r#""protocol":"hybrid_ex""#),
        // MS-RDPBCGR 2.2.1.2.2.
        (3, 1, r#""error_code":1,"reason":"ssl required by server""#),
        (3, 2, r#""error_code":2,"reason":"ssl not allowed by server""#),
        (3, 3, r#""error_code":3,"reason":"ssl cert not on server""#),
        (3, 4, r#""error_code":4,"reason":"inconsistent flags""#),
        (3, 5, r#""error_code":5,"reason":"hybrid required by server""#),
        (3, 6, r#""error_code":6,"reason":"ssl with user auth required by server""#),
    ] {
        let mut t = Talk::<Rdp>::new();
        t.say(ToClient, &pdu(&[&[14, 0xd0, 0, 0, 0x12, 0x34, 0, kind, 0x1f, 8, 0, number, 0, 0, 0]]), false);
        let supports =
            r#""server_supports":["extended_client_data","dynvc_gfx","restricted_admin","redirected_authentication"],"#;
        let supports = if kind == 2 { supports } else { "" };
        assert_eq!(t.json(), [format!(r#"{{"rdp":{{"tx_id":1,"event_type":"initial_response",{supports}{want}}}}}"#)]);
    }
    // What nobody defined is not named (as Suricata 7.0.10 has it).
    for (kind, flags, number, want) in
        [(2, 0, 9, ""), (3, 0, 7, ""), (2, 0x20, 0, ""), (2, 4, 9, r#","server_supports":[]"#)]
    {
        let mut t = Talk::<Rdp>::new();
        t.say(ToClient, &pdu(&[&[14, 0xd0, 0, 0, 0x12, 0x34, 0, kind, flags, 8, 0, number, 0, 0, 0]]), false);
        assert_eq!(t.json(), [format!(r#"{{"rdp":{{"tx_id":1,"event_type":"initial_response"{want}}}}}"#)]);
    }
}

#[test]
fn what_a_client_says_may_be_odd() {
    let with = |at: usize, bytes: &[u8]| {
        // From the core's first byte on.
        let mut wire = connect();
        let core = wire.windows(4).position(|w| w == b"Duca").unwrap() + 4 + 2 + 4;
        wire[core + at..core + at + bytes.len()].copy_from_slice(bytes);
        let mut t = Talk::<Rdp>::new();
        t.say(ToServer, &wire, false);
        t.json().concat()
    };
    for (at, bytes, want) in [
        (0, &[12, 0, 8, 0][..], r#""version":"v10.7""#),
        (0, &[9, 9, 9, 9], r#""version":"unknown""#),
        (12, &[9, 4, 0, 0], r#""keyboard_layout":"en-US""#),
        (12, &[0x1e, 4, 4, 0], r#""keyboard_layout":"unknown""#),
        (16, &[0x65, 0x45, 0, 0], r#""build":"unknown""#),
        (16, &[0x63, 0x45, 0, 0], r#""build":"Windows 10 RS5""#),
        (16, &[0xb1, 0x1d, 0, 0], r#""build":"Windows 7 SP1""#),
        (52, &[7, 0, 0, 0], r#""keyboard_type":"jp""#),
        (52, &[9, 0, 0, 0], r#""client_name":"PC","function_keys":12"#),
        (128, &[0, 0xca, 1, 0, 0, 0, 0, 0, 0, 0], r#""color_depth":4"#),
        (128, &[1, 0xca, 1, 0, 0, 0, 0, 0, 0, 0], r#""color_depth":8"#),
        (128, &[2, 0xca, 1, 0, 0, 0, 0, 0, 0, 0], r#""color_depth":15"#),
        (128, &[3, 0xca, 1, 0, 0, 0, 0, 0, 0, 0], r#""color_depth":16"#),
        (128, &[4, 0xca, 1, 0, 0, 0, 0, 0, 0, 0], r#""color_depth":24"#),
    ] {
        let json = with(at, bytes);
        assert!(json.contains(want), "{json} lacks {want}");
    }
    // Flags of the first request (2.2.1.1.1), and one without a cookie's name.
    for (cookie, flags, want) in [
        (&b""[..], 3, r#""flags":["restricted_admin_mode_required","redirected_authentication_mode_required"]"#),
        (b"Cookie: mstshash=me\r\n", 8, r#""cookie":"me","flags":["correlation_info_present"]"#),
        (b"Cookie: other=me\r\n", 0, r#""event_type":"initial_request"}"#),
    ] {
        let mut t = Talk::<Rdp>::new();
        t.say(ToServer, &pdu(&[&[6, 0xe0, 0, 0, 0, 0, 0], cookie, &[1, flags, 8, 0, 3, 0, 0, 0]]), false);
        assert!(t.json()[0].contains(want), "{:?} lacks {want}", t.json());
    }
    // A frame shorter than its own header ends it; behind a gap nothing is read.
    let mut t = Talk::<Rdp>::new();
    t.say(ToServer, &[3, 0, 0, 5, 0, 0xe0], false);
    assert!(t.stopped && t.json().is_empty());
}

#[test]
fn a_greeting_however_it_comes() {
    for size in [1, 7, 1000] {
        let mut t = Talk::<Rdp>::new();
        request().chunks(size).for_each(|p| t.say(ToServer, p, false));
        pdu(&[&[6, 0xd0, 0, 0, 0x12, 0x34, 0]]).chunks(size).for_each(|p| t.say(ToClient, p, false));
        connect().chunks(size).for_each(|p| t.say(ToServer, p, false));
        pdu(&[&[2, 0xf0, 0x80, 0x7f, 0x66, 1, 2]]).chunks(size).for_each(|p| t.say(ToClient, p, false));
        t.say(ToServer, b"anything that follows", false);
        assert_eq!(
            t.json(),
            [
                r#"{"rdp":{"tx_id":1,"event_type":"initial_request","cookie":"A1"}}"#,
                r#"{"rdp":{"tx_id":2,"event_type":"initial_response"}}"#,
                concat!(
                    r#"{"rdp":{"tx_id":3,"event_type":"connect_request","client":{"version":"v5","desktop_width":1280,"desktop_height":800,"color_depth":16,"#,
                    r#""keyboard_layout":"de-DE","build":"Windows XP","client_name":"PC","keyboard_type":"enhanced","function_keys":12,"product_id":1,"#,
                    r#""capabilities":["support_errinfo_pdf","support_statusinfo_pdu"],"id":"id-1"},"channels":["rdpdr"]}}"#
                ),
                r#"{"rdp":{"tx_id":4,"event_type":"connect_response"}}"#,
            ]
        );
    }
}

/// Made for this test: subject `CN=a`, serial 00:c8:bc:d2.
const CERTIFICATE: &str = concat!(
    "3082011c3081cfa003020102020400c8bcd2300506032b6570300c310a300806035504030c0161301e170d3236313132373139353335395a",
    "170d3336313132343139353335395a300c310a300806035504030c0161302a300506032b65700321004118ae2402aecf66bcabefa08b630b",
    "66b43c9a59e8f19822aa9bd09cca22dce5a3533051301d0603551d0e04160414614598f90f3328d948eea4b48be4cb5e74a57103301f0603",
    "551d23041830168014614598f90f3328d948eea4b48be4cb5e74a57103300f0603551d130101ff040530030101ff300506032b6570034100",
    "80bb0c2ec444b25a453f05da1555c4591e4f451ceca9295e5dfa892fbbc8f505511e298e082c2c5b88945a87abfedc7974d62526c7a5c2ff",
    "73d1f4b6c7cc760e",
);

/// Where TLS is agreed on, the flow stays RDP, and what the server's certificates are is told.
#[test]
fn the_certificates_of_tls_are_told_by_their_serials() {
    let answer = pdu(&[&[14, 0xd0, 0, 0, 0, 0, 0, 2, 0, 8, 0, 1, 0, 0, 0]]);
    let record =
        |kind: u8, body: &[u8]| [&[kind, 3, 3][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), body].concat();
    let message =
        |kind: u8, body: &[u8]| [&[kind][..], &u32::try_from(body.len()).unwrap().to_be_bytes()[1..], body].concat();
    let u24 = |n: usize| u32::try_from(n).unwrap().to_be_bytes()[1..].to_vec();
    let der: Vec<u8> =
        CERTIFICATE.as_bytes().chunks(2).map(|c| u8::from_str_radix(str::from_utf8(c).unwrap(), 16).unwrap()).collect();
    let list = [&u24(der.len())[..], &der].concat();
    let certificate = message(11, &[&u24(list.len())[..], &list].concat());
    let plain = message(2, &[&[3, 3][..], &[7; 32], &[0, 0, 0x2f, 0]].concat());
    let newest = message(2, &[&[3, 3][..], &[7; 32], &[0, 0x13, 1, 0, 0, 6, 0, 43, 0, 2, 3, 4]].concat());
    let serial = r#"{"rdp":{"tx_id":2,"event_type":"tls_handshake","x509_serials":["c8bcd2"]}}"#;
    for size in [1, 50, 5000] {
        let mut t = Talk::<Rdp>::new();
        t.say(ToClient, &answer, false);
        let records = [record(22, &plain), record(22, &certificate), record(20, &[1])].concat();
        records.chunks(size).for_each(|p| t.say(ToClient, p, false));
        t.say(ToServer, &record(22, b"not looked at"), false);
        assert_eq!(t.json()[1..], [serial]);
    }
    // In one record; behind a hello of TLS 1.3, or what is no handshake, there is nothing to be read.
    for (records, told) in [
        (record(22, &[plain.clone(), certificate.clone()].concat()), 2),
        ([record(22, &newest), record(22, &certificate)].concat(), 1),
        ([record(23, b"x"), record(22, &certificate)].concat(), 1),
        (b"no TLS at all".to_vec(), 1),
        (record(22, &certificate[..100]), 1),
    ] {
        let mut t = Talk::<Rdp>::new();
        t.say(ToClient, &answer, false);
        t.say(ToClient, &records, false);
        assert_eq!(t.json().len(), told, "{:?}", t.json());
    }
}

#[test]
fn every_truncation_is_no_client() {
    let wire = connect();
    let whole = message(ToServer, &wire[4..]).unwrap();
    for n in 4..wire.len() {
        assert!(message(ToServer, &wire[4..n]).is_none_or(|m| m != whole));
    }
}

proptest! {
    #[test]
    fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
        Just(request()), Just(connect()), prop::collection::vec(any::<u8>(), 0..60).prop_map(|b| pdu(&[&b])),
        prop::collection::vec(any::<u8>(), 0..40)]), 0..7), cut in 0usize..300) {
        hostile::<Rdp>(&pieces, cut, false);
    }
}
