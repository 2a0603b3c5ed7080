// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! QUIC connections out of the committed capture: what their Initial packets say, whole, damaged, out of order.

use crate::streams::streams;
use lagewarte_app::quic::session::{Event, Message, Session};
use lagewarte_flow::Direction;
use proptest::prelude::*;

const NAME: &[u8] = b"amt.musterstadt.example";

fn all(pieces: &[(Direction, Vec<u8>)]) -> Vec<Message> {
    let (mut session, mut out) = (Session::default(), Vec::new());
    for (d, datagram) in pieces {
        session.datagram(*d, datagram, |m| out.push(m));
    }
    out
}

fn hellos(messages: &[Message]) -> Vec<&Message> {
    messages.iter().filter(|m| m.ja3.is_some()).collect()
}

/// What `scenarios_tls.py` says that happens: 1, 2, 1 with a retry, 1 with a hello of several packets.
#[test]
fn the_capture_says_what_its_scenario_does() {
    let flows = streams("quic/versions.pcap");
    let versions: Vec<_> = flows
        .iter()
        .map(|s| {
            let messages = all(&s.pieces);
            assert!(messages.iter().all(|m| m.event.is_none()), "{messages:?}");
            let said = hellos(&messages);
            for m in said.iter().filter(|m| m.to_server) {
                assert_eq!(m.sni.as_deref(), Some(NAME));
                assert!(m.ja4.as_ref().is_some_and(|j| j.starts_with("q13d")), "{:?}", m.ja4);
            }
            (
                said.first().map(|m| m.version),
                said.iter().filter(|m| m.to_server).count(),
                said.iter().filter(|m| !m.to_server).count(),
            )
        })
        .collect();
    // Behind a retry the client says hello again.
    assert_eq!(versions, [(Some(1), 1, 1), (Some(0x6b33_43cf), 1, 1), (Some(1), 2, 1), (Some(1), 1, 1)]);
    // Signature algorithms as numbers, versions by name.
    let first = all(&flows[0].pieces);
    for m in hellos(&first) {
        let said = |kind| m.extensions.iter().find(|e| e.kind == kind).map(|e| e.values.clone());
        assert_eq!(said(43), Some(vec![b"Tls13".to_vec()]), "{m:?}");
        let numbers = |v: Vec<Vec<u8>>| v.iter().all(|n| n.iter().all(u8::is_ascii_digit)) && !v.is_empty();
        assert!(said(13).is_none_or(numbers), "{m:?}");
        assert_eq!(said(13).is_some(), m.to_server);
    }
    let long = all(&flows[3].pieces);
    let hello = hellos(&long)[0];
    assert!(hello.extensions.iter().any(|e| e.kind == 16 && e.values.len() == 121), "{hello:?}");
}

/// Where the packet at a datagram's beginning ends: zeros behind it fill the datagram.
fn packet_end(datagram: &[u8]) -> usize {
    datagram.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1)
}

#[test]
fn every_truncation_of_a_datagram_is_survived_and_nothing_false_is_said() {
    for s in streams("quic/versions.pcap") {
        let (d, first) = &s.pieces[0];
        for n in 0..packet_end(first) {
            let said = all(&[(*d, first[..n].to_vec())]);
            assert!(hellos(&said).is_empty(), "a packet cut at {n} cannot be opened");
        }
    }
}

#[test]
fn a_hello_in_several_packets_comes_in_any_order() {
    let flow = &streams("quic/versions.pcap")[3];
    let client: Vec<_> = flow.pieces.iter().filter(|(d, _)| *d == Direction::ToServer).take(2).cloned().collect();
    assert!(hellos(&all(&client[..1])).is_empty(), "the scenario's hello is long");
    let want = hellos(&all(&client))[0].ja4.clone();
    let backwards: Vec<_> = client.iter().rev().cloned().collect();
    assert_eq!(hellos(&all(&backwards))[0].ja4, want);
    let doubled: Vec<_> = client.iter().flat_map(|p| [p.clone(), p.clone()]).collect();
    assert_eq!(hellos(&all(&doubled)).len(), 1);
    assert!(hellos(&all(&client[1..])).is_empty(), "without its beginning there is no hello");
}

#[test]
fn a_packet_that_does_not_open_is_named() {
    let flow = &streams("quic/versions.pcap")[0];
    let (d, mut first) = flow.pieces[0].clone();
    let last = packet_end(&first) - 1;
    first[last] ^= 1;
    assert_eq!(all(&[(d, first)]).iter().map(|m| m.event).collect::<Vec<_>>(), [Some(Event::FailedDecrypt)]);
    let damaged = all(&[(Direction::ToServer, vec![0xc0, 0, 0, 0, 1, 200, 1])]);
    assert_eq!(damaged.iter().map(|m| m.event).collect::<Vec<_>>(), [Some(Event::ErrorOnHeader)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn no_flipped_bit_panics(flow in 0usize..4, datagram in 0usize..6, at in 0usize..1300, bit in 0u8..8) {
        let flows = streams("quic/versions.pcap");
        let mut pieces = flows[flow].pieces.clone();
        let n = datagram % pieces.len();
        let len = pieces[n].1.len();
        pieces[n].1[at % len] ^= 1 << bit;
        all(&pieces);
    }
}
