// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Main mode of version 1 and the first exchange of version 2, built by hand after their specifications.

use proptest::prelude::*;

use super::{
    parser::{MAX_DATA, MAX_PROPOSALS, Message, message},
    *,
};
use crate::single::testing::{Talk as Conversation, hostile};

use Direction::{ToClient, ToServer};

/// A payload with its generic header.
fn payload(next: u8, content: &[u8]) -> Vec<u8> {
    [&[next, 0][..], &u16::try_from(content.len() + 4).unwrap().to_be_bytes(), content].concat()
}
/// A message: first payload, version, exchange, flags.
fn wire(head: [u8; 4], responder: bool, payloads: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payloads.len() + 28).unwrap().to_be_bytes();
    [&[1; 8][..], &if responder { [2; 8] } else { [0; 8] }, &head, &[0, 0, 0, 0], &len, payloads].concat()
}
/// An association of version 1 with these transforms.
fn association(next: u8, transforms: &[Vec<u8>]) -> Vec<u8> {
    let inner: Vec<u8> = transforms
        .iter()
        .enumerate()
        .flat_map(|(i, t)| {
            let last = if i + 1 == transforms.len() { 0 } else { 3 };
            payload(last, &[&[1, 1, 0, 0], &t[..]].concat())
        })
        .collect();
    let count = u8::try_from(transforms.len()).unwrap();
    let proposal = payload(0, &[&[1, 1, 0, count], &inner[..]].concat());
    payload(next, &[&[0, 0, 0, 1, 0, 0, 0, 1], &proposal[..]].concat())
}
// AES, SHA-1, a shared key, group 2, seconds, a day, 128 bits.
const CHOICE: &[u8] = &[
    0x80, 1, 0, 7, 0x80, 2, 0, 2, 0x80, 3, 0, 1, 0x80, 4, 0, 2, 0x80, 11, 0, 1, 0, 12, 0, 4, 0, 1, 0x51, 0x80, 0x80,
    14, 0, 128,
];

fn main_mode() -> Vec<(Direction, Vec<u8>)> {
    let vendor = payload(0, &[0x4a, 0x13]);
    let keys = [payload(10, &[7; 128]), payload(0, &[8; 20])].concat();
    vec![
        (
            ToServer,
            wire([1, 0x10, 2, 0], false, &[association(13, &[CHOICE.to_vec(), vec![0x80, 1, 0, 5]]), vendor].concat()),
        ),
        (ToClient, wire([1, 0x10, 2, 0], true, &association(0, &[CHOICE.to_vec()]))),
        (ToServer, wire([4, 0x10, 2, 0], true, &keys)),
        (ToServer, wire([5, 0x10, 2, 1], true, &[0xaa; 40])),
    ]
}

#[test]
fn main_mode_of_version_1() {
    let mut t = Conversation::<Ike>::new();
    main_mode().iter().for_each(|(d, m)| t.say(*d, m, true));
    assert_eq!(t.events(), [""; 0]);
    let json = t.json();
    let chosen = concat!(
        r#""alg_enc":"EncAesCbc","alg_enc_raw":7,"alg_hash":"HashSha","alg_hash_raw":2,"#,
        r#""alg_auth":"AuthPreSharedKey","alg_auth_raw":1,"alg_dh":"GroupAlternate1024BitModpGroup","alg_dh_raw":2,"#,
        r#""sa_life_type":"LifeTypeSeconds","sa_life_type_raw":1,"sa_life_duration":"Unknown","sa_life_duration_raw":86400,"#,
        r#""sa_key_length":"Unknown","sa_key_length_raw":128"#
    );
    let head = concat!(
        r#"{"ike":{"version_major":1,"version_minor":0,"init_spi":"0101010101010101","resp_spi":"0202020202020202","#,
        r#""message_id":0,"exchange_type":2,"#
    );
    assert!(json[1].starts_with(&format!("{head}{chosen}")), "{}", json[1]);
    assert!(json[1].contains(r#""payload":["SecurityAssociation","Proposal","Transform"]"#), "{}", json[1]);
    assert!(
        json[0].contains(&format!(r#""proposals":[{{{chosen}}},{{"alg_enc":"EncTripleDesCbc","alg_enc_raw":5}}]"#))
    );
    assert!(!json[0].contains(r#""exchange_type":2,"alg_enc""#), "what is proposed was not chosen");
    assert!(json[0].contains(r#""vendor_ids":["4a13"]"#) && json[2].contains(r#""server":{},"vendor_ids":[]"#));
    assert!(json[2].contains(chosen) && !json[2].contains("proposals"), "the choice holds, the proposal was said once");
    let tail = r#""payload":["Identification"],"ikev1":{"doi":1,"encrypted_payloads":true}}}"#;
    assert!(json[3].contains(chosen) && json[3].ends_with(tail), "{}", json[3]);
    assert!(
        json[2].contains(r#""nonce_payload":"0808080808080808080808080808080808080808","nonce_payload_length":20"#)
    );

    t.config.ike.extended = true;
    assert!(t.json()[0].contains(r#""exchange_type":2,"exchange_type_verbose":"Identity Protection","#));

    assert_eq!(t.buffer(0, Buffer::IkeInitSpi, ToServer, 0).as_deref(), Some("0101010101010101"));
    assert_eq!(t.buffer(0, Buffer::IkeVendor, ToServer, 0).as_deref(), Some("4a13"));
    assert_eq!(t.buffer(0, Buffer::IkeInitSpi, ToClient, 0), None);
    assert_eq!(t.number(2, Field::IkeKeyExchangePayloadLength, ToServer, 0), Some(128));
    assert_eq!(t.number(2, Field::IkeNoncePayloadLength, ToServer, 0), Some(20));
    let all =
        |place| (0..).map_while(|i| t.number(place, Field::IkeChosenSaAttribute, ToClient, i)).collect::<Vec<_>>();
    assert_eq!(all(1)[..2], [1 << 32 | 7, 2 << 32 | 2]);
    assert_eq!(t.number(0, Field::IkeChosenSaAttribute, ToServer, 0), None);
}

/// The first answer of version 2 with these (type, id) transforms.
fn sa_init(transforms: &[(u8, u16)]) -> Vec<u8> {
    let inner: Vec<u8> =
        transforms.iter().flat_map(|(kind, id)| payload(3, &[&[*kind, 0][..], &id.to_be_bytes()].concat())).collect();
    let proposal = payload(0, &[&[1, 1, 0, u8::try_from(transforms.len()).unwrap()], &inner[..]].concat());
    let notify = payload(0, &[0, 0, 0x40, 4]);
    wire([33, 0x20, 34, 0x20], true, &[payload(41, &proposal), notify].concat())
}

/// As Suricata 7.0.10 writes version 2: the payloads as each says what follows it, the responder's choice with all that it
/// says from there on, and nothing for what was not chosen.
#[test]
fn version_2_lists_every_payload_and_what_is_chosen_so_far() {
    let mut t = Conversation::<Ike>::new();
    let cookie = payload(0, &[0, 0, 0x40, 6]);
    t.say(ToClient, &wire([41, 0x20, 34, 0x20], true, &cookie), true);
    t.say(ToClient, &sa_init(&[(1, 12), (2, 5), (3, 12), (4, 14), (5, 1)]), true);
    let twice = [payload(41, &[0, 0, 0x40, 4]), payload(0, &[0, 0, 0x40, 5])].concat();
    t.say(ToServer, &wire([41, 0x20, 34, 8], false, &twice), true);
    t.say(ToClient, &wire([46, 0x20, 35, 0x20], true, &payload(43, &[9; 40])), true);
    let none = r#""alg_enc":"ENCR_NULL","alg_auth":"NONE","alg_prf":"PRF_NULL","alg_dh":"None","alg_esn":"NoESN""#;
    let chosen = concat!(
        r#""alg_enc":"ENCR_AES_CBC","alg_auth":"AUTH_HMAC_SHA2_256_128","#,
        r#""alg_prf":"PRF_HMAC_SHA2_256","alg_dh":"Modp2048","alg_esn":"ESN""#
    );
    let json = t.json();
    assert!(
        json[0].contains(r#""payload":["Notify","NoNextPayload"],"ikev2":{"errors":0,"notify":["COOKIE"]}"#),
        "{}",
        json[0]
    );
    assert!(json[2].contains(r#""role":"initiator","payload":["Notify","Notify","NoNextPayload"]"#), "{}", json[2]);
    assert!(json[3].contains(chosen) && !json[3].contains("notify"), "{}", json[3]);
    assert!(json[3].contains(r#""payload":["EncryptedAndAuthenticated","VendorID"]"#), "{}", json[3]);
    let mut first = Conversation::<Ike>::new();
    first.say(ToClient, &wire([41, 0x20, 34, 0x20], true, &cookie), true);
    assert!(first.json()[0].contains(none), "{}", first.json()[0]);
}

#[test]
fn version_2_and_what_is_weak_in_it() {
    let mut t = Conversation::<Ike>::new();
    t.say(ToClient, &sa_init(&[(1, 12), (2, 5), (3, 12), (4, 14)]), true);
    assert_eq!(t.events(), [""; 0]);
    assert!(t.json()[0].contains(concat!(
        r#""exchange_type":34,"role":"responder","alg_enc":"ENCR_AES_CBC","alg_auth":"AUTH_HMAC_SHA2_256_128","#,
        r#""alg_prf":"PRF_HMAC_SHA2_256","alg_dh":"Modp2048","alg_esn":"NoESN","#,
        r#""payload":["SecurityAssociation","Notify","NoNextPayload"],"#
    )));
    assert!(t.json()[0].contains(r#""ikev2":{"errors":0,"notify":["NAT_DETECTION_SOURCE_IP"]}"#));
    for (transform, event) in [
        ((1, 3), "weak_crypto_enc"),
        ((1, 11), "no_encryption"),
        ((2, 1), "weak_crypto_prf"),
        ((3, 0), "weak_crypto_noauth"),
        ((3, 1), "weak_crypto_auth"),
        ((4, 0), "weak_crypto_nodh"),
        ((4, 2), "weak_crypto_dh"),
    ] {
        let mut t = Conversation::<Ike>::new();
        t.say(ToServer, &sa_init(&[transform]), true);
        assert_eq!(t.events(), [""; 0], "proposed is not chosen");
        t.say(ToClient, &sa_init(&[transform]), true);
        assert_eq!(t.events(), [event]);
    }
}

#[test]
fn proposals_that_are_none_and_more_than_one_answer_are_events() {
    let events = |d, m: &[u8]| {
        let mut t = Conversation::<Ike>::new();
        t.say(d, m, true);
        t.events()
    };
    let two = wire([1, 0x10, 2, 0], true, &association(0, &[CHOICE.to_vec(), CHOICE.to_vec()]));
    assert_eq!(events(ToClient, &two), ["multiple_server_proposal"]);
    assert_eq!(events(ToServer, &two), [""; 0]);
    assert_eq!(events(ToServer, &wire([1, 0x10, 2, 0], true, &association(0, &[]))), ["invalid_proposal"]);
    let mut other = wire([1, 0x10, 2, 0], true, &association(0, &[CHOICE.to_vec()]));
    other[28 + 4 + 8 + 4 + 1] = 77; // the proposal's protocol
    assert_eq!(events(ToServer, &other), ["unknown_proposal"]);
}

#[test]
fn behind_nat_esp_is_no_ike_and_the_marker_is_passed_over() {
    let mut t = Conversation::<Ike>::new();
    let one = &main_mode()[0].1;
    t.say(ToServer, &[&[0; 4][..], one].concat(), true);
    assert_eq!(t.json().len(), 1);
    let mut memory = crate::Memory { cap: 1 << 20, ..crate::Memory::default() };
    let (config, mut state) = (Config::default(), Ike::default());
    let mut cx = Cx::alone(&config, &mut memory, (50_000, NAT));
    let esp = Input { direction: ToServer, data: &[9; 60], eof: false, datagram: true };
    assert_eq!((state.data(esp, &mut cx), state.txs().len()), (Step::Ok(60), 0));
}

#[test]
fn every_truncation_is_damaged_and_keeps_what_came_before() {
    for (d, whole) in main_mode() {
        assert!(message(&whole).is_some_and(|m| !m.damaged));
        for n in 0..whole.len() {
            match message(&whole[..n]) {
                None => assert!(n < 28),
                Some(m) => assert!(m.damaged && m.version == (1, 0) && n >= 28, "{n} {d:?}"),
            }
        }
    }
    let mut t = Conversation::<Ike>::new();
    t.say(ToServer, &[1; 20], true);
    assert_eq!(
        (t.events(), t.state.event_type(t.state.txs().at(0).unwrap(), &t.config)),
        (vec!["malformed_data"], None)
    );
}

#[test]
fn caps_hold() {
    // Threat: a key as long as a datagram.
    let long = wire([4, 0x10, 2, 0], true, &payload(0, &[7; 60_000]));
    assert_eq!(message(&long).unwrap().key.len(), MAX_DATA);
    // Threat: nothing but transforms.
    let many = wire([1, 0x10, 2, 0], true, &association(0, &vec![vec![0x80, 1, 0, 7]; 255]));
    assert_eq!(message(&many).unwrap().proposals.len(), MAX_PROPOSALS);
    // Threat: nothing but payload headers.
    let chain = wire([12, 0x10, 2, 0], true, &payload(12, b"").repeat(1000));
    assert!(message(&chain).unwrap().damaged);
    // Threat: another key in each message.
    let mut t = Conversation::<Ike>::new();
    t.memory.cap = 8 << 20;
    for n in 0u32..3000 {
        let key = payload(0, &[&n.to_be_bytes()[..], &[7; 200]].concat());
        t.say(ToServer, &wire([4, 0x10, 2, 0], true, &key), true);
        assert!(t.state.charged() <= MAX_KEPT as u64 && t.state.txs().len() <= 2 * MAX_TXS);
        // Regression: after some keys no other one was remembered.
        assert_eq!(t.state.talk.sides[0].key[..4], n.to_be_bytes());
    }
    assert_eq!(Message::default().held(), 32);
}

proptest! {
    #[test]
    fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
        prop::sample::select(main_mode()).prop_map(|(_, m)| m),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|b| wire([1, 0x10, 2, 0], true, &b)),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(|b| wire([33, 0x20, 34, 0], true, &b)),
        prop::collection::vec(any::<u8>(), 0..80)]), 0..6), cut in 0usize..400) {
        hostile::<Ike>(&pieces, cut, true);
    }
}
