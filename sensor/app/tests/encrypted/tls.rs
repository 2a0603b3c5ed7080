// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! TLS sessions out of the committed captures, cut in every way, and messages made by hand for what no client sends.

use crate::streams::{Stream, streams};
use lagewarte_app::tls::{
    cert::{Chain, MAX_CHAIN},
    events::{Event, Events},
    hello::{ClientHello, MAX_CIPHERS, MAX_EXTENSIONS, ServerHello},
    parser::MAX_MESSAGE,
    session::{ClientState, MAX_RECORDS_AT_ONCE, ServerState, Session, version_name},
};
use lagewarte_flow::Direction::{self, ToClient, ToServer};
use proptest::prelude::*;

const NAME: &str = "amt.musterstadt.example";
const CAPTURES: &[&str] = &[
    "tls/versions.pcap",
    "tls/resumed.pcap",
    "tls/client-certificate.pcap",
    "tls/refused.pcap",
    "tls/byte-by-byte.pcap",
];

fn whole(s: &Stream) -> Session {
    let mut session = Session::default();
    for (d, piece) in &s.pieces {
        session.data(*d, piece);
    }
    session
}

/// What an analyst reads of it.
fn told(s: &Session) -> String {
    let text = |b: Option<&Vec<u8>>| b.map(|b| String::from_utf8_lossy(b).into_owned());
    let chain = |c: &Option<Box<Chain>>| {
        c.as_ref().map(|c| {
            let names = c.alternative_names.iter().map(|n| String::from_utf8_lossy(n).into_owned()).collect::<Vec<_>>();
            (text(c.subject.as_ref()), text(c.issuer.as_ref()), names, c.certificates.len(), c.serial.clone())
        })
    };
    format!(
        "{} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?} {:?} {:?} {:?}",
        version_name(s.version),
        text(s.client.as_ref().and_then(|h| h.sni.as_ref())),
        s.client.as_ref().map(|h| &h.alpns),
        s.server.as_ref().map(|h| (&h.alpns, h.cipher)),
        chain(&s.server_chain),
        chain(&s.client_chain),
        s.ja3().map(|j| &j.hash),
        s.resumed,
        s.events,
        s.client_state,
        s.server_state,
        s.ja4(),
    )
}

fn sni(s: &Session) -> Option<&str> {
    std::str::from_utf8(s.client.as_ref()?.sni.as_deref()?).ok()
}

/// What `scenarios_tls.py` says that happens, connection by connection.
#[test]
fn the_captures_say_what_their_scenario_does() {
    let versions: Vec<_> = streams("tls/versions.pcap").iter().map(whole).collect();
    let seen: Vec<_> = versions.iter().map(|s| (version_name(s.version).into_owned(), sni(s))).collect();
    let want = [
        ("TLSv1", Some(NAME)),
        ("TLS 1.1", Some(NAME)),
        ("TLS 1.2", Some(NAME)),
        ("TLS 1.2", None),
        ("TLS 1.3", Some(NAME)),
        ("TLS 1.3", Some(NAME)),
        ("TLS 1.2", Some(NAME)),
        ("TLS 1.3", Some(NAME)),
    ];
    assert_eq!(seen.iter().map(|(v, n)| (v.as_str(), *n)).collect::<Vec<_>>(), want);
    for s in &versions {
        assert!(s.telling(true) && s.complete() && s.encrypted(), "{}", told(s));
        assert!(s.events.is_empty() && !s.resumed);
        match &s.server_chain {
            Some(c) => {
                assert_eq!(
                    c.subject.as_deref(),
                    Some(format!("C=DE, L=Musterstadt, O=Stadt Musterstadt, CN={NAME}").as_bytes())
                );
                assert_eq!(
                    c.issuer.as_deref(),
                    Some(b"C=DE, ST=Musterland, O=Musterland, OU=IT, CN=Musterland CA 1".as_slice())
                );
                assert_eq!(c.certificates.len(), 3);
                let names: Vec<_> = c.alternative_names.iter().map(|n| String::from_utf8_lossy(n)).collect();
                assert_eq!(
                    names,
                    [
                        NAME,
                        "*.musterstadt.example",
                        "10.20.1.10",
                        "edv@musterstadt.example",
                        "https://amt.musterstadt.example/"
                    ]
                );
                assert_eq!(c.not_after - c.not_before, 365 * 86_400);
                assert_eq!((c.serial.len(), c.fingerprint.len()), (59, 59));
            }
            None => assert_eq!(s.version, 0x0304, "only TLS 1.3 hides its certificate"),
        }
    }
    let alpn = |s: &Session| s.server.as_ref().map(|h| h.alpns.clone()).unwrap_or_default();
    assert_eq!(alpn(&versions[2]), [b"h2".to_vec()]);
    // The server that wants another group asked first; its real hello is what counts.
    assert!(!versions[5].server.as_ref().expect("a hello").is_retry());

    let resumed: Vec<_> =
        streams("tls/resumed.pcap").iter().map(whole).map(|s| (s.resumed, s.server_chain.is_some())).collect();
    // In TLS 1.3 a resumption cannot be told from a certificate that is encrypted.
    assert_eq!(resumed, [(false, true), (true, false), (false, true), (true, false), (false, false), (false, false)]);

    let asked: Vec<_> = streams("tls/client-certificate.pcap").iter().map(whole).collect();
    let client = asked[0].client_chain.as_ref().expect("the first client has one");
    assert_eq!(client.subject.as_deref(), Some(b"C=DE, O=Kreis Rabenfurt, CN=fachverfahren".as_slice()));
    assert_eq!(client.certificates.len(), 2);
    assert!(asked[1].client_chain.is_none() && asked[1].client_state == ClientState::HandshakeDone);

    let refused: Vec<_> = streams("tls/refused.pcap").iter().map(whole).collect();
    assert!(refused.iter().all(|s| !s.telling(false)), "nothing was agreed");
    let relayed = whole(&streams("tls/byte-by-byte.pcap")[0]);
    assert_eq!((sni(&relayed), relayed.version), (Some(NAME), 0x0303));
}

#[test]
fn every_cut_gives_the_same() {
    for name in CAPTURES {
        for s in streams(name) {
            let want = told(&whole(&s));
            let mut bytewise = Session::default();
            for (d, piece) in &s.pieces {
                for b in piece {
                    bytewise.data(*d, &[*b]);
                }
            }
            assert_eq!(told(&bytewise), want, "{name} {}", s.client_port);
        }
    }
}

#[test]
fn every_truncation_is_survived_and_says_no_more_than_the_whole() {
    for name in CAPTURES {
        for s in streams(name) {
            let full = whole(&s);
            for d in [ToServer, ToClient] {
                let bytes = s.side(d);
                let other = s.side(d.reverse());
                for n in (0..bytes.len().min(6000)).step_by(if n_is_large(&bytes) { 7 } else { 1 }) {
                    let mut cut = Session::default();
                    if d == ToClient {
                        cut.data(ToServer, &other);
                    }
                    assert!(cut.data(d, &bytes[..n]) || !full.events.is_empty());
                    cut.finish(d);
                    if let (Some(a), Some(b)) = (&cut.client, &full.client) {
                        assert_eq!(a, b);
                    }
                    if let (Some(a), Some(b)) = (&cut.server_chain, &full.server_chain) {
                        assert_eq!(a, b);
                    }
                }
            }
        }
    }
}

fn n_is_large(bytes: &[u8]) -> bool {
    bytes.len() > 1000
}

/// Messages cut inside: what stands before the cut is kept, and nothing is invented.
#[test]
fn every_truncation_of_a_message_keeps_its_beginning() {
    let stream = &streams("tls/versions.pcap")[2];
    let client = stream.side(ToServer);
    let body = &client[9..5 + usize::from(u16::from_be_bytes([client[3], client[4]]))];
    let all = ClientHello::parse(body).expect("a hello");
    assert!(all.events.is_empty());
    for n in 0..body.len() {
        let Some(cut) = ClientHello::parse(&body[..n]) else {
            assert!(n < 2);
            continue;
        };
        assert!(
            cut.events.has(Event::InvalidHandshakeMessage)
                || n == 35 + all.session_id.len() + 2 + 2 * all.ciphers.len() + 2,
            "{n}"
        );
        assert!(all.ciphers.starts_with(&cut.ciphers) && all.extensions.starts_with(&cut.extensions));
        assert!(cut.sni.is_none() || cut.sni == all.sni);
    }
    let server = stream.side(ToClient);
    let hello = &server[9..5 + usize::from(u16::from_be_bytes([server[3], server[4]]))];
    for n in 0..hello.len() {
        assert_eq!(ServerHello::parse(&hello[..n]).is_none(), n < 2);
    }
    let session = whole(stream);
    let der = &session.server_chain.as_ref().expect("a chain").certificates[0];
    let message = chain_message(&[der]);
    for n in 0..message.len() {
        let mut events = Events::default();
        let chain = Chain::parse(&message[..n], false, &mut events);
        assert!(!events.is_empty() && chain.subject.is_none(), "{n}");
    }
    // The certificate itself cut, its lengths around it right.
    for n in 0..der.len() {
        let mut events = Events::default();
        let chain = Chain::parse(&chain_message(&[&der[..n]]), false, &mut events);
        assert!(chain.subject.is_none() && chain.certificates.len() == 1 && (n == 0 || !events.is_empty()), "{n}");
    }
}

fn chain_message(ders: &[&[u8]]) -> Vec<u8> {
    let u24 = |n: usize| (n as u32).to_be_bytes()[1..].to_vec();
    let list: Vec<u8> = ders.iter().flat_map(|d| [u24(d.len()), d.to_vec()].concat()).collect();
    [u24(list.len()), list].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn records(kind: u8, content: &[u8]) -> Vec<u8> {
    content.chunks(16_384).flat_map(|c| [&[kind, 3, 3], &(c.len() as u16).to_be_bytes()[..], c].concat()).collect()
}

/// A hello with this session id and these extensions.
fn hello(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let list: Vec<u8> = extensions
        .iter()
        .flat_map(|(k, b)| [&k.to_be_bytes()[..], &(b.len() as u16).to_be_bytes(), b].concat())
        .collect();
    [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0], &(list.len() as u16).to_be_bytes(), &list].concat()
}

fn of(direction: Direction, bytes: &[u8]) -> Session {
    let mut s = Session::default();
    s.data(direction, bytes);
    s
}

#[test]
fn limits_of_a_hello_hold() {
    let many: Vec<u8> = (0..30_000u16).flat_map(u16::to_be_bytes).collect();
    let body = [&[3, 3][..], &[7; 32], &[0], &(many.len() as u16).to_be_bytes(), &many, &[1, 0]].concat();
    assert_eq!(ClientHello::parse(&body).expect("a hello").ciphers.len(), MAX_CIPHERS);
    let extensions: Vec<(u16, &[u8])> = (0..2000).map(|k| (1000 + k, b"".as_slice())).collect();
    assert_eq!(ClientHello::parse(&hello(&extensions)).expect("a hello").extensions.len(), MAX_EXTENSIONS);
}

#[test]
fn limits_of_a_chain_and_of_a_message_hold() {
    let mut events = Events::default();
    let chain = Chain::parse(&chain_message(&[b"x".as_slice(); 100]), false, &mut events);
    assert_eq!(chain.certificates.len(), MAX_CHAIN);
    assert!(events.has(Event::CertificateInvalidDer) || events.has(Event::CertificateInvalidLength));
    // Sixteen times the limit: cut, and the next message is found all the same.
    let mut s = Session::default();
    let huge = [message(11, &vec![0; 16 * MAX_MESSAGE]), message(14, b"")].concat();
    assert!(records(22, &huge).chunks(1400).all(|c| s.data(ToClient, c)));
    assert!(s.memory() < 2 * MAX_MESSAGE && s.events.has(Event::HandshakeInvalidLength));
    assert_eq!(s.server_state, ServerState::HelloDone);
}

/// A server may send its chain in hundreds of kilobytes of certificates behind its own: its own is told.
#[test]
fn a_chain_beyond_the_limit_is_read_as_far_as_it_was_kept() {
    let servers: Vec<Session> = streams("tls/versions.pcap").iter().map(whole).collect();
    let chain = servers.iter().find_map(|s| s.server_chain.as_ref()).expect("a server with a certificate");
    let own = chain.certificates.first().expect("its certificate");
    let filler = vec![0; 1000];
    let many: Vec<&[u8]> =
        std::iter::once(&own[..]).chain(std::iter::repeat_n(&filler[..], 2 * MAX_MESSAGE / 1000)).collect();
    let mut s = Session::default();
    assert!(records(22, &message(11, &chain_message(&many))).chunks(1400).all(|c| s.data(ToClient, c)));
    let told = s.server_chain.as_ref().expect("a chain");
    assert_eq!((&told.subject, &told.fingerprint), (&chain.subject, &chain.fingerprint));
    assert!(s.events.has(Event::HandshakeInvalidLength) && !s.events.has(Event::InvalidCertificate));
}

/// Drafts of TLS 1.3 before 16 said 0x0304 in the hello itself, and had neither a session id nor a compression method in it.
#[test]
fn a_servers_hello_of_an_early_draft_is_read() {
    let body = [&[3, 4][..], &[7; 32], &[0xc0, 0x2b], &[0, 8], &[0, 40, 0, 4, 0, 23, 0, 0]].concat();
    let s = of(ToClient, &records(22, &message(2, &body)));
    let hello = s.server.as_ref().expect("a hello");
    assert_eq!((hello.cipher, hello.extensions.len(), hello.legacy_version), (0xc02b, 1, 0x0304));
    assert_eq!(version_name(s.version), "TLS 1.3 draft-<16");
    assert!(s.events.is_empty() && s.telling(true));
}

/// At the flow's end a client without an answer is told of, if it knows of tickets; the version is what the server speaks.
#[test]
fn a_client_that_nobody_answered_is_told_of_where_it_knows_tickets() {
    let with = of(ToServer, &records(22, &message(1, &hello(&[(35, b"")]))));
    assert!(with.telling(true) && !with.telling(false) && !with.resumed);
    assert_eq!((version_name(with.version), version_name(with.spoken())), ("TLS 1.2".into(), "UNDETERMINED".into()));
    assert!(!of(ToServer, &records(22, &message(1, &hello(&[(10, b"")])))).telling(true));
    let mut refused = with;
    refused.data(ToClient, &[21, 3, 1, 0, 2, 2, 40]);
    assert!(refused.telling(true) && refused.spoken() == 0x0301, "the alert's record names a version");
}

#[test]
fn too_many_records_at_once_end_the_reading() {
    let empty = [23, 3, 3, 0, 0];
    let mut s = Session::default();
    assert!(s.data(ToServer, &empty.repeat(MAX_RECORDS_AT_ONCE as usize)));
    assert!(!s.data(ToServer, &empty.repeat(MAX_RECORDS_AT_ONCE as usize + 1)));
    assert!(s.events.has(Event::TooManyRecords));
}

#[test]
fn damaged_headers_are_named_and_end_the_reading() {
    for (bytes, want) in [
        ([99, 3, 3, 0, 1].as_slice(), Event::InvalidRecordType),
        (&[22, 9, 3, 0, 1], Event::InvalidRecordVersion),
        (&[22, 3, 3, 0xff, 0xff], Event::InvalidRecordLength),
        (&[0x80, 0, 1, 0, 2], Event::InvalidSslv2Header),
    ] {
        let mut s = Session::default();
        assert!(!s.data(ToServer, bytes), "{bytes:?}");
        assert!(s.events.has(want), "{bytes:?}: {:?}", s.events);
        assert!(!s.data(ToServer, &records(22, &message(1, &hello(&[])))), "nothing is read behind it");
    }
    assert!(of(ToServer, &[21, 3, 3, 0, 3, 1, 1, 1]).events.has(Event::InvalidAlert));
}

#[test]
fn odd_server_names_are_named() {
    let event = |extensions: &[(u16, &[u8])]| of(ToServer, &records(22, &message(1, &hello(extensions)))).events;
    let name = [0, 4, 0, 0, 1, b'a'].as_slice();
    assert!(event(&[(0, name)]).is_empty());
    assert!(event(&[(0, name), (0, name)]).has(Event::MultipleSniExtensions));
    assert!(event(&[(0, &[0, 4, 7, 0, 1, b'a'])]).has(Event::InvalidSniType));
    assert!(event(&[(0, &[0, 4, 0, 0, 9, b'a'])]).has(Event::InvalidSniLength));
}

#[test]
fn heartbeats_are_weighed() {
    let beat =
        |kind: u8, claimed: u16, carried: usize| [&[kind], &claimed.to_be_bytes()[..], &vec![0; carried]].concat();
    let of_record = |content: &[u8]| of(ToServer, &records(24, content)).events;
    let good = of_record(&beat(1, 4, 20));
    assert!(good.has(Event::Heartbeat) && !good.has(Event::InvalidHeartbeat) && !good.has(Event::OverflowHeartbeat));
    assert!(of_record(&beat(1, 0x4000, 0)).has(Event::OverflowHeartbeat));
    assert!(of_record(&beat(1, 4, 5)).has(Event::InvalidHeartbeat));
    // Behind the change of cipher only lengths speak.
    let mut s = Session::default();
    for d in [ToServer, ToClient] {
        s.data(d, &records(20, &[1]));
    }
    s.data(ToServer, &records(24, &[0; 40]));
    s.data(ToClient, &records(24, &[0; 40]));
    assert!(!s.events.has(Event::LeakingHeartbeat));
    s.data(ToServer, &records(24, &[0; 40]));
    s.data(ToClient, &records(24, &[0; 4000]));
    assert!(s.events.has(Event::LeakingHeartbeat));
}

#[test]
fn the_old_hello_is_read() {
    // SSL 2.0's form: message 1, version, three cipher specs, no session, a challenge of sixteen bytes.
    let old = |version: u16| {
        let body =
            [&[1][..], &version.to_be_bytes(), &[0, 9, 0, 0, 0, 16], &[1, 0, 0x80, 7, 0, 0xc0, 0, 0, 4], &[9; 16]]
                .concat();
        [&[0x80, body.len() as u8][..], &body].concat()
    };
    let mut s = of(ToServer, &old(2));
    assert_eq!((s.version, s.client_state), (2, ClientState::HelloDone));
    let der = whole(&streams("tls/versions.pcap")[0]).server_chain.expect("a chain").certificates[0].clone();
    let length = (der.len() as u16).to_be_bytes();
    let body = [&[4, 0, 1, 0, 2][..], &length, &[0, 3, 0, 16], &der, &[1, 0, 0x80], &[5; 16]].concat();
    let record = [&(0x8000 | body.len() as u16).to_be_bytes()[..], &body].concat();
    for b in record {
        assert!(s.data(ToClient, &[b]));
    }
    assert!(s.telling(true) && s.complete() && s.events.is_empty(), "{}", told(&s));
    // A newer client that begins the old way is answered the new way.
    let mut s = of(ToServer, &old(0x0301));
    assert!(s.data(ToClient, &streams("tls/versions.pcap")[0].side(ToClient)));
    assert!(s.telling(true) && s.version == 0x0301);
}

#[test]
fn a_gap_in_data_is_passed_and_one_in_a_header_is_not() {
    let stream = &streams("tls/versions.pcap")[2];
    let mut s = whole(stream);
    // A record of application data of which the middle is lost.
    s.data(ToClient, &[23, 3, 3, 1, 0, 1, 2, 3]);
    assert!(s.gap(ToClient, 200) && s.data(ToClient, &[0; 53]) && s.data(ToClient, &records(23, b"more")));
    assert!(!s.gap(ToClient, 10), "between records nobody knows where the next begins");
    // In a message the gap is counted off, and the message is cut.
    let server = stream.side(ToClient);
    let mut s = of(ToServer, &stream.side(ToServer));
    let at = 800; // inside the first certificate
    s.data(ToClient, &server[..at]);
    assert!(s.gap(ToClient, 100));
    s.data(ToClient, &server[at + 100..]);
    assert!(s.events.has(Event::HandshakeInvalidLength) && s.server_state == ServerState::HandshakeDone);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_gives_the_same(which in 0usize..8, seed: u64) {
        let all = streams("tls/versions.pcap");
        let s = &all[which % all.len()];
        let mut rng = fastrand(seed);
        let mut cut = Session::default();
        for (d, piece) in &s.pieces {
            let mut rest = piece.as_slice();
            while !rest.is_empty() {
                let n = (rng() % 40 + 1).min(rest.len());
                cut.data(*d, &rest[..n]);
                rest = &rest[n..];
            }
        }
        prop_assert_eq!(told(&cut), told(&whole(s)));
    }
    #[test]
    fn no_bytes_panic(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300), any::<Option<u16>>()), 0..8)) {
        let mut s = Session::default();
        for (client, bytes, gap) in pieces {
            let d = if client { ToServer } else { ToClient };
            s.data(d, &bytes);
            s.data(d, &records(22, &bytes));
            if let Some(n) = gap {
                s.gap(d, n.into());
            }
            prop_assert!(s.memory() < 1 << 20);
        }
    }
    #[test]
    fn no_flipped_bit_panics(at in 0usize..4000, bit in 0u8..8) {
        for s in streams("tls/client-certificate.pcap") {
            for d in [ToServer, ToClient] {
                let mut bytes = s.side(d);
                let n = at % bytes.len();
                bytes[n] ^= 1 << bit;
                let mut session = Session::default();
                session.data(d, &bytes);
                let _ = (session.telling(true), session.memory());
            }
        }
    }
}

fn fastrand(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    }
}
