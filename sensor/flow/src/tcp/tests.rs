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

/// Both ends open at once (RFC 9293, section 3.5, figure 8): each SYN is answered by a SYN/ACK with the number of the sender's own
/// SYN, or the client's acknowledgement alone is heard. What Suricata names of a wrong answer, and that it opens nothing.
/// The window of the server's SYN was not noted, so that the client's first data counted as outside of it, and was lost.
#[test]
fn both_ends_may_open_at_once() {
    let open = [(S, SYN, 900, 0, 0), (C, SYN | ACK, 100, 901, 0), (S, SYN | ACK, 900, 101, 0), (C, ACK, 101, 901, 10)];
    let (states, events) = play((SYN, 100, 0), &[&open[..], &[(S, ACK, 901, 111, 5)]].concat());
    assert_eq!(states, ["syn_sent", "syn_sent", "syn_recv", "established", "established", "established"]);
    assert!(events.is_empty(), "{events:?}");
    for first in [(C, ACK, 101, 901, 0), (C, ACK, 101, 901, 10)] {
        let rest = [open[0], first, (C, ACK, 101, 901, 10), (S, ACK, 901, 111, 5), (C, ACK, 111, 906, 10)];
        let (states, events) = play((SYN, 100, 0), &rest);
        assert_eq!((states[2], events), ("established", vec![]));
    }
    for (before, wrong, event) in [
        (1, (C, SYN | ACK, 100, 55, 0), "stream.4whs_synack_with_wrong_ack"),
        (1, (C, SYN | ACK, 105, 901, 0), "stream.4whs_synack_with_wrong_syn"),
        (1, (S, SYN | ACK, 900, 55, 0), "stream.4whs_synack_with_wrong_ack"),
        (1, (C, ACK, 90, 901, 0), "stream.4whs_wrong_seq"),
        (1, (C, ACK, 101, 55, 0), "stream.4whs_invalid_ack"),
        (2, (S, SYN | ACK, 900, 55, 0), "stream.4whs_synack_with_wrong_ack"),
        (2, (S, SYN | ACK, 950, 101, 0), "stream.4whs_synack_with_wrong_ack"),
    ] {
        let (states, events) = play((SYN, 100, 0), &[&open[..before], &[wrong]].concat());
        assert_eq!(events, [event], "{wrong:?}");
        assert_eq!(states[before + 1], states[before], "{wrong:?} changes nothing");
    }
}

/// A client may try with other numbers: ten further SYNs are remembered, and the answer to any of them opens (Suricata's
/// `stream.max-syn-queued`, 10). What comes beyond is an event, and an answer to it is none.
#[test]
fn the_answer_to_any_of_ten_further_syns_opens() {
    let syns = |n: u32| (1..=n).map(|i| (C, SYN, 100 + 1000 * i, 0, 0)).collect::<Vec<_>>();
    for answered in [0, 4, 10] {
        let isn = 100 + 1000 * answered;
        let open = [(S, SYN | ACK, 900, isn + 1, 0), (C, ACK, isn + 1, 901, 0)];
        let (states, events) = play((SYN, 100, 0), &[syns(10), open.to_vec()].concat());
        assert_eq!((states.last(), events.len()), (Some(&"established"), 0), "the answer to SYN {answered}");
    }
    let (states, events) = play((SYN, 100, 0), &[syns(11), vec![(S, SYN | ACK, 900, 11_101, 0)]].concat());
    assert_eq!(events, ["stream.3whs_syn_flood", "stream.3whs_synack_with_wrong_ack"]);
    assert_eq!(states.last(), Some(&"syn_sent"));
}

/// A second SYN/ACK with another number: five are remembered (Suricata's `stream.max-synack-queued`), and the one that the
/// client acknowledges counts.
#[test]
fn the_client_chooses_among_five_further_answers() {
    let answers = |n: u32| (0..=n).map(|i| (S, SYN | ACK, 900 + 1_000_000 * i, 101, 0)).collect::<Vec<_>>();
    let resent = "stream.3whs_synack_resend_with_diff_seq";
    for chosen in [0, 3, 5] {
        let number = 901 + 1_000_000 * chosen;
        // The server's data with the chosen number is its stream.
        let rest = [(C, ACK, 101, number, 0), (S, ACK, number, 101, 5), (C, ACK, 101, number + 5, 0)];
        let (states, events) = play((SYN, 100, 0), &[answers(5), rest.to_vec()].concat());
        assert_eq!(states.last(), Some(&"established"), "answer {chosen}");
        assert_eq!(events, [resent; 5], "answer {chosen}");
    }
    let (states, events) = play((SYN, 100, 0), &[answers(6), vec![(C, ACK, 101, 6_000_901, 0)]].concat());
    assert_eq!(events[5..], [resent, "stream.3whs_synack_flood", "stream.3whs_right_seq_wrong_ack_evasion"]);
    assert_eq!(states.last(), Some(&"syn_recv"));
}

/// A SYN or SYN/ACK that does not fit is named as Suricata's rules for stream events name it (`stream-events.rules`), by how far
/// the session is, and changes nothing.
#[test]
fn a_syn_out_of_its_place_is_named_and_changes_nothing() {
    let answered = vec![(S, SYN | ACK, 900, 101, 0)];
    let open = [answered.clone(), vec![(C, ACK, 101, 901, 0)]].concat();
    let closing = [open.clone(), vec![(C, FIN, 101, 901, 0)]].concat();
    for (before, odd, event) in [
        (&answered, (C, SYN | ACK, 100, 901, 0), Some("stream.3whs_synack_toserver_on_syn_recv")),
        (&answered, (C, SYN, 100, 0, 0), None),
        (&answered, (C, SYN, 150, 0, 0), Some("stream.3whs_syn_resend_diff_seq_on_syn_recv")),
        (&answered, (S, SYN, 900, 0, 0), Some("stream.3whs_syn_toclient_on_syn_recv")),
        (&answered, (S, SYN | ACK, 900, 101, 0), None),
        (&answered, (S, SYN | ACK, 900, 200, 0), Some("stream.3whs_synack_resend_with_diff_ack")),
        (&open, (C, SYN | ACK, 100, 901, 0), Some("stream.est_synack_toserver")),
        (&open, (S, SYN | ACK, 950, 101, 0), Some("stream.est_synack_resend_with_diff_seq")),
        (&open, (S, SYN | ACK, 900, 200, 0), Some("stream.est_synack_resend_with_diff_ack")),
        (&open, (S, SYN | ACK, 900, 101, 0), Some("stream.est_synack_resend")),
        (&open, (S, SYN, 900, 0, 0), Some("stream.est_syn_toclient")),
        (&open, (C, SYN, 100, 0, 0), Some("stream.est_syn_resend")),
        (&open, (C, SYN, 150, 0, 0), Some("stream.est_syn_resend_diff_seq")),
        (&closing, (C, SYN, 100, 0, 0), Some("stream.shutdown_syn_resend")),
        (&closing, (C, SYN | flag::FIN, 102, 0, 0), Some("stream.fin_syn")),
    ] {
        let (states, events) = play((SYN, 100, 0), &[before.as_slice(), &[odd]].concat());
        assert_eq!(events, event.as_slice(), "{odd:?} where it is {:?}", states[before.len()]);
        assert_eq!(states[before.len() + 1], states[before.len()], "{odd:?}");
    }
}

/// A header of 20 bytes with these options behind it.
fn header(options: &[u8]) -> Vec<u8> {
    [&[0; 20], options].concat()
}

/// A reset with a signature (RFC 2385, RFC 5925) on a session that is not signed: hosts that know no signatures ignore the
/// option, others drop the segment. It ends nothing here; where the handshake was signed, it does.
#[test]
fn a_signed_reset_ends_signed_sessions_only() {
    let md5 = header(&[&[19, 18][..], &[7; 16], &[1, 1]].concat());
    for (handshake, events, state) in
        [(Vec::new(), vec!["stream.suspected_rst_inject"], "established"), (md5.clone(), Vec::new(), "closed")]
    {
        let syn = Tcp { header: &handshake, ..seg(SYN, 100, 0) };
        let (t, _) = Session::begin(&syn, 0, Pickup::default());
        let mut t = t.expect("a SYN begins").0;
        t.packet(S, &Tcp { header: &handshake, ..seg(SYN | ACK, 900, 101) }, 0, Pickup::default());
        t.packet(C, &Tcp { header: &handshake, ..seg(ACK, 101, 901) }, 0, Pickup::default());
        let step = t.packet(S, &Tcp { header: &md5, ..seg(flag::RST, 901, 0) }, 0, Pickup::default());
        assert_eq!(step.events.iter().map(StreamEvent::name).collect::<Vec<_>>(), events);
        assert_eq!(step.events.is_empty(), events.is_empty());
        assert_eq!((t.state.name(), step.reset), (state, state == "closed"));
    }
}

/// An acknowledgement ahead of all that was seen, from a number ahead of all that was seen, that takes back more of the window
/// than it acknowledges ("shrinking the window", RFC 9293, section 3.8.6): Suricata's `pkt_bad_window_update`. It changes nothing.
#[test]
fn a_window_that_is_taken_back_ahead_of_everything_is_not_believed() {
    let (t, _) = Session::begin(&seg(SYN, 100, 0), 0, Pickup::default());
    let mut t = t.expect("a SYN begins").0;
    for (d, p, len) in [(S, seg(SYN | ACK, 900, 101), 0), (C, seg(ACK, 101, 901), 0), (S, seg(ACK, 901, 101), 0)] {
        assert!(t.packet(d, &p, len, Pickup::default()).events.is_empty());
    }
    let shrunk = |window| Tcp { window, ..seg(ACK, 110, 911) };
    let step = t.packet(C, &shrunk(10), 0, Pickup::default());
    assert_eq!(step.events.iter().map(StreamEvent::name).collect::<Vec<_>>(), ["stream.pkt_bad_window_update"]);
    assert!(!step.acks);
    // Taking back as many as it acknowledges keeps the window's end where it was.
    let step = t.packet(C, &shrunk(990), 0, Pickup::default());
    assert!(step.events.is_empty() && step.acks, "{:?}", step.events);
}

/// Where who is the client was a guess, states are told from the other end once it is turned round: the first goodbye of the
/// server is `fin_wait1`, that of the client `close_wait`.
#[test]
fn a_session_turned_round_names_its_goodbye_from_the_other_end() {
    let midstream = Pickup { midstream: true, async_oneside: false };
    for (first, by, before, after) in [
        (C, FIN, "close_wait", "fin_wait1"),
        (S, FIN, "fin_wait1", "close_wait"),
        (S, ACK, "established", "established"),
    ] {
        let (t, _) = Session::begin(&seg(ACK, 100, 900), 10, midstream);
        let mut t = t.expect("taken up").0;
        t.packet(S, &seg(ACK, 900, 110), 0, midstream);
        let (seq, ack) = if first == C { (110, 900) } else { (900, 110) };
        t.packet(first, &seg(by, seq, ack), 0, midstream);
        assert_eq!(t.state.name(), before);
        t.turn();
        assert_eq!(t.state.name(), after);
    }
}

/// Where only the client is captured (`stream.async-oneside`), its first acknowledgement opens, and tells the server's number.
#[test]
fn of_a_side_that_is_not_heard_the_number_is_known_from_what_is_acknowledged() {
    let one_side = Pickup { midstream: false, async_oneside: true };
    let (t, _) = Session::begin(&seg(SYN, 100, 0), 0, one_side);
    let mut t = t.expect("a SYN begins").0;
    assert_eq!((t.first(), t.sizes()), ([Some(101), None], [1, 0]));
    let step = t.packet(C, &seg(ACK, 99, 901), 0, one_side);
    assert_eq!(step.events.iter().map(StreamEvent::name).collect::<Vec<_>>(), ["stream.3whs_async_wrong_seq"]);
    assert_eq!(t.state, TcpState::SynSent);
    t.packet(C, &seg(ACK, 101, 901), 0, one_side);
    assert_eq!((t.first(), t.sizes(), t.state), ([Some(101), Some(901)], [1, 1], TcpState::Established));
}
