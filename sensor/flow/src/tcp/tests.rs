// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Sessions played segment by segment.

use lagewarte_decode::{Tcp, flag};

use super::{Pickup, Session, StreamEvent, TcpState};
use crate::flow::Direction;

fn seg(flags: u8, seq: u32, ack: u32) -> Tcp<'static> {
    Tcp { src_port: 1, dst_port: 2, seq, ack, flags, window: 1000, header: &[] }
}
const C: Direction = Direction::ToServer;
const S: Direction = Direction::ToClient;
const SYN: u8 = flag::SYN;
const ACK: u8 = flag::ACK;
const FIN: u8 = flag::FIN | flag::ACK;

/// Plays (direction, flags, seq, ack, len) and gives the state after each.
fn play(first: (u8, u32, u32), rest: &[(Direction, u8, u32, u32, usize)]) -> (Vec<&'static str>, Vec<&'static str>) {
    let (t, step) = Session::begin(&seg(first.0, first.1, first.2), 0, Pickup::default());
    let mut t = t.expect("a SYN begins").0;
    let mut states = vec![t.state.name()];
    let mut events: Vec<_> = step.events.iter().map(StreamEvent::name).collect();
    for &(d, f, s, a, l) in rest {
        let step = t.packet(d, &seg(f, s, a), l, Pickup::default());
        states.push(t.state.name());
        events.extend(step.events.iter().map(StreamEvent::name));
    }
    (states, events)
}

#[test]
fn a_session_goes_through_its_states() {
    let open = [(S, SYN | ACK, 900, 101, 0), (C, ACK, 101, 901, 0), (C, ACK, 101, 901, 10), (S, ACK, 901, 111, 5)];
    let client_closes = [(C, FIN, 111, 906, 0), (S, ACK, 906, 112, 0), (S, FIN, 906, 112, 0), (C, ACK, 112, 907, 0)];
    let (states, events) = play((SYN, 100, 0), &[open.as_slice(), &client_closes].concat());
    assert_eq!(
        states,
        [
            "syn_sent",
            "syn_recv",
            "established",
            "established",
            "established",
            "close_wait",
            "close_wait",
            "last_ack",
            "closed"
        ]
    );
    assert!(events.is_empty(), "{events:?}");
    let server_closes = [(S, FIN, 906, 111, 0), (C, ACK, 111, 907, 0), (C, FIN, 111, 907, 0), (S, ACK, 907, 112, 0)];
    let (states, _) = play((SYN, 100, 0), &[open.as_slice(), &server_closes].concat());
    assert_eq!(states[5..], ["fin_wait1", "fin_wait2", "time_wait", "closed"]);
    let both_close = [(S, FIN, 906, 111, 0), (C, FIN, 111, 906, 0), (S, ACK, 907, 112, 0)];
    let (states, _) = play((SYN, 100, 0), &[open.as_slice(), &both_close].concat());
    assert_eq!(states[5..], ["fin_wait1", "closing", "time_wait"]);
}

#[test]
fn a_closed_port_and_a_blind_reset_are_told_apart() {
    let (states, _) = play((SYN, 100, 0), &[(S, flag::RST | ACK, 0, 101, 0)]);
    assert_eq!(states, ["syn_sent", "closed"]);
    let open = [(S, SYN | ACK, 900, 101, 0), (C, ACK, 101, 901, 0)];
    let (states, events) = play((SYN, 100, 0), &[open.as_slice(), &[(S, flag::RST, 900 + (1 << 30), 0, 0)]].concat());
    assert_eq!(states.last(), Some(&"established"));
    assert_eq!(events, ["stream.rst_invalid_ack"]);
    let (states, _) = play((SYN, 100, 0), &[open.as_slice(), &[(S, flag::RST, 901, 0, 0)]].concat());
    assert_eq!(states.last(), Some(&"closed"));
}

/// An old connection of the same ports answers the SYN; the client refuses that answer, and its own attempt goes on. It was
/// taken for the end, and everything after it was lost to the parsers.
#[test]
fn a_client_that_refuses_an_old_connections_answer_goes_on() {
    let refuses = (C, flag::RST, 2_497_211_857, 0, 0);
    let open = [refuses, (C, SYN, 100, 0, 0), (S, SYN | ACK, 900, 101, 0), (C, ACK, 101, 901, 0)];
    let (states, events) = play((SYN, 100, 0), &open);
    assert_eq!(states.last(), Some(&"established"));
    assert_eq!(events, ["stream.rst_invalid_ack"]);
    let (states, _) = play((SYN, 100, 0), &[(C, flag::RST, 101, 0, 0)]);
    assert_eq!(states, ["syn_sent", "closed"], "it may take its SYN back");
}

#[test]
fn a_handshake_with_wrong_numbers_does_not_open() {
    let (states, events) = play((SYN, 100, 0), &[(S, SYN | ACK, 900, 55, 0), (C, SYN | ACK, 900, 101, 0)]);
    assert_eq!(states, ["syn_sent", "syn_sent", "syn_sent"]);
    assert_eq!(events, ["stream.3whs_synack_with_wrong_ack", "stream.3whs_synack_in_wrong_direction"]);
    let (states, events) = play((SYN, 100, 0), &[(S, SYN | ACK, 900, 101, 0), (C, ACK, 101, 5, 0)]);
    assert_eq!(states, ["syn_sent", "syn_recv", "syn_recv"]);
    assert_eq!(events, ["stream.3whs_right_seq_wrong_ack_evasion"]);
}

#[test]
fn without_a_handshake_there_is_no_session_unless_asked_for() {
    for (flags, event) in
        [(ACK, None), (FIN, Some(StreamEvent::FinButNoSession)), (flag::RST, Some(StreamEvent::RstButNoSession))]
    {
        let (t, step) = Session::begin(&seg(flags, 5, 6), 0, Pickup::default());
        assert!(t.is_none());
        assert_eq!(step.events.iter().next(), event);
    }
    let midstream = Pickup { midstream: true, async_oneside: false };
    let (t, step) = Session::begin(&seg(ACK, 5, 6), 10, midstream);
    assert!(step.data);
    assert_eq!(t.as_ref().map(|(t, r)| (t.state, *r)), Some((TcpState::Established, false)));
    let (t, _) = Session::begin(&seg(SYN | ACK, 5, 6), 0, midstream);
    assert_eq!(t.as_ref().map(|(t, r)| (t.state, *r)), Some((TcpState::SynRecv, true)));
}
