// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How far a TCP conversation is (RFC 9293), from flags and the numbers of the handshake. State names are EVE's.
//!
//! Must never hold payload: there is no reassembly in this step, only the next expected sequence number of each side.
//! A packet that cannot belong to the session (wrong handshake numbers, a reset far off) changes nothing and is an event.

use lagewarte_decode::{Tcp, flag};

use crate::flow::{Direction, State};

/// TCP's states as EVE `tcp.state` names them. A FIN of the client leads to close_wait, one of the server to fin_wait1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of RFC 9293, section 3.3.2")]
pub enum TcpState {
    SynSent,
    SynRecv,
    Established,
    FinWait1,
    FinWait2,
    TimeWait,
    LastAck,
    CloseWait,
    Closing,
    Closed,
}

impl TcpState {
    /// EVE's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SynSent => "syn_sent",
            Self::SynRecv => "syn_recv",
            Self::Established => "established",
            Self::FinWait1 => "fin_wait1",
            Self::FinWait2 => "fin_wait2",
            Self::TimeWait => "time_wait",
            Self::LastAck => "last_ack",
            Self::CloseWait => "close_wait",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
    /// The flow state that follows.
    pub const fn flow_state(self) -> State {
        match self {
            Self::SynSent | Self::SynRecv => State::New,
            Self::Established | Self::FinWait1 | Self::FinWait2 | Self::CloseWait | Self::Closing => State::Established,
            Self::TimeWait | Self::LastAck | Self::Closed => State::Closed,
        }
    }
    /// Whether a new SYN on the same 5-tuple begins a new flow.
    pub const fn over(self) -> bool {
        matches!(self, Self::TimeWait | Self::LastAck | Self::Closed)
    }
}

macro_rules! stream_events {
    ($($variant:ident = $name:literal,)*) => {
        /// What is odd about a segment in its session; named as Suricata's stream events.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each variant is documented by its event name in the Suricata user guide")]
        pub enum StreamEvent { $($variant,)* }
        impl StreamEvent {
            /// Every event.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// Full name, e.g. `stream.fin_but_no_session`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => concat!("stream.", $name),)* }
            }
        }
    };
}

stream_events! {
    SynackInWrongDirection = "3whs_synack_in_wrong_direction",
    SynackWithWrongAck = "3whs_synack_with_wrong_ack",
    SynackResendWithDiffSeq = "3whs_synack_resend_with_diff_seq",
    WrongSeqWrongAck = "3whs_wrong_seq_wrong_ack",
    EstSynackResend = "est_synack_resend",
    EstSynackToserver = "est_synack_toserver",
    EstSynResend = "est_syn_resend",
    EstSynResendDiffSeq = "est_syn_resend_diff_seq",
    EstSynToclient = "est_syn_toclient",
    FinButNoSession = "fin_but_no_session",
    RstButNoSession = "rst_but_no_session",
    RstInvalidAck = "rst_invalid_ack",
    PktBrokenAck = "pkt_broken_ack",
}

/// A set of stream events of one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamEvents(u32);

impl StreamEvents {
    /// Adds one.
    pub const fn set(&mut self, e: StreamEvent) {
        self.0 |= 1 << e as u8;
    }
    /// Whether it is there.
    pub const fn has(self, e: StreamEvent) -> bool {
        self.0 >> (e as u8) & 1 == 1
    }
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Those there are.
    pub fn iter(self) -> impl Iterator<Item = StreamEvent> {
        StreamEvent::ALL.iter().copied().filter(move |&e| self.has(e))
    }
}

const _: () = assert!(StreamEvent::ALL.len() <= 32, "StreamEvents holds 32 bits");

/// How far off its expected place a reset is still believed. Threat: a blind reset that makes us look away; it must
/// hit this window of the 2^32 sequence numbers.
const RST_WINDOW: u32 = 1 << 17;

/// A session as far as it was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tracker {
    /// How far it is.
    pub state: TcpState,
    /// All flags that each side sent, by [`Direction::index`].
    pub flags: [u8; 2],
    isn: [u32; 2],
    /// Next sequence number that each side will send.
    next: [u32; 2],
    known: [bool; 2],
    fin: [Option<u32>; 2],
    /// Taken up without a handshake: who is the client is a guess.
    pub(crate) midstream: bool,
}

/// What a segment did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Step {
    /// Oddities.
    pub events: StreamEvents,
    /// Whether its payload is the next in its direction and the session is open.
    pub in_order: bool,
    /// Whether it belongs to the session, so that its payload is the stream's.
    pub valid: bool,
}

/// When a session may begin without a handshake; Suricata's `stream.midstream` and `stream.async-oneside`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pickup {
    /// Take up sessions whose handshake was not seen.
    pub midstream: bool,
    /// Believe sessions of which only one side is seen.
    pub async_oneside: bool,
}

impl Tracker {
    /// Begins a session with its first segment; None where that segment begins none. `reversed` in the answer says that
    /// the sender is the server (a SYN/ACK taken up in midstream).
    pub(crate) fn begin(p: &Tcp<'_>, len: usize, pickup: Pickup) -> (Option<(Self, bool)>, Step) {
        let mut step = Step::default();
        let kind = p.flags & (flag::SYN | flag::ACK | flag::RST | flag::FIN);
        let mut t = Self {
            state: TcpState::SynSent,
            flags: [0; 2],
            isn: [0; 2],
            next: [0; 2],
            known: [false; 2],
            fin: [None; 2],
            midstream: kind != flag::SYN,
        };
        let reversed = match kind {
            flag::SYN => false,
            _ if kind & flag::RST != 0 => {
                step.events.set(StreamEvent::RstButNoSession);
                return (None, step);
            }
            _ if kind & flag::FIN != 0 && !pickup.midstream => {
                step.events.set(StreamEvent::FinButNoSession);
                return (None, step);
            }
            _ if kind & flag::ACK == 0 || !pickup.midstream => return (None, step),
            _ if kind & flag::SYN != 0 => {
                t.state = TcpState::SynRecv;
                true
            }
            _ => {
                t.state = TcpState::Established;
                false
            }
        };
        let from = if reversed { Direction::ToClient } else { Direction::ToServer };
        let (me, other) = (from.index(), from.reverse().index());
        // Taken up in the middle, the stream begins here.
        t.isn[me] = if kind & flag::SYN != 0 { p.seq } else { p.seq.wrapping_sub(1) };
        t.known[me] = true;
        t.next[me] = p.seq;
        if p.flags & flag::ACK != 0 {
            t.next[other] = p.ack;
            t.isn[other] = p.ack.wrapping_sub(1);
            t.known[other] = true;
        }
        t.flags[me] |= p.flags;
        step.in_order = t.advance(me, p, len) && t.state == TcpState::Established;
        step.valid = true;
        if kind & flag::FIN != 0 {
            t.finish(from, p, len);
        }
        (Some((t, reversed)), step)
    }

    /// Whether this segment, on this session, is the beginning of another one.
    pub(crate) const fn reused_by(&self, p: &Tcp<'_>) -> bool {
        self.state.over()
            && p.flags & (flag::SYN | flag::ACK | flag::RST | flag::FIN) == flag::SYN
            && self.isn[0] != p.seq
    }

    /// Moves on by one segment.
    pub(crate) fn packet(&mut self, from: Direction, p: &Tcp<'_>, len: usize, pickup: Pickup) -> Step {
        let mut step = Step::default();
        let (me, other) = (from.index(), from.reverse().index());
        let has = |f: u8| p.flags & f != 0;
        self.flags[me] |= p.flags; // also those of segments that change nothing, as Suricata reports them
        if !has(flag::ACK) && p.ack != 0 && !has(flag::SYN | flag::RST) {
            step.events.set(StreamEvent::PktBrokenAck);
        }
        if has(flag::RST) {
            if self.rst_fits(from, p) {
                self.state = TcpState::Closed;
                step.valid = true;
            } else {
                step.events.set(StreamEvent::RstInvalidAck);
            }
            return step;
        }
        match (self.state, has(flag::SYN), has(flag::ACK)) {
            (TcpState::SynSent, true, true) => {
                if from == Direction::ToServer {
                    step.events.set(StreamEvent::SynackInWrongDirection);
                    return step;
                }
                if p.ack != self.isn[0].wrapping_add(1) && p.ack != self.next[0] {
                    step.events.set(StreamEvent::SynackWithWrongAck);
                    return step;
                }
                self.start(me, p);
                self.state = TcpState::SynRecv;
            }
            (TcpState::SynSent, true, false) => {
                if from == Direction::ToServer {
                    // A repeated SYN; where it has another number, the later one is what the server answers.
                    self.start(me, p);
                } else {
                    self.start(me, p); // both ends opened at once
                }
            }
            (TcpState::SynSent, false, true) => {
                let both_opened = self.known[1];
                if from == Direction::ToServer && (pickup.async_oneside || both_opened) {
                    if !self.known[1] {
                        self.next[1] = p.ack;
                        self.isn[1] = p.ack.wrapping_sub(1);
                        self.known[1] = true;
                    }
                    self.state = TcpState::Established;
                } else {
                    return step;
                }
            }
            (TcpState::SynSent, false, false) => return step,
            (TcpState::SynRecv, true, true) => {
                if from == Direction::ToServer {
                    step.events.set(StreamEvent::SynackInWrongDirection);
                    return step;
                }
                if p.seq != self.isn[1] {
                    step.events.set(StreamEvent::SynackResendWithDiffSeq);
                    return step;
                }
            }
            (TcpState::SynRecv, true, false) => return step,
            (TcpState::SynRecv, false, _) if from == Direction::ToServer => {
                let fits = has(flag::ACK) && p.ack.wrapping_sub(self.isn[1].wrapping_add(1)) < RST_WINDOW;
                let in_place = !self.known[0] || p.seq.wrapping_sub(self.isn[0]) < RST_WINDOW;
                if !fits || !in_place {
                    step.events.set(StreamEvent::WrongSeqWrongAck);
                    return step;
                }
                if !self.known[0] {
                    self.next[0] = p.seq;
                    self.known[0] = true;
                }
                self.state = TcpState::Established;
            }
            (TcpState::SynRecv, false, _) => {}
            (TcpState::Closed, ..) => {}
            (_, true, ack) => {
                step.events.set(match (from, ack) {
                    (Direction::ToServer, true) => StreamEvent::EstSynackToserver,
                    (Direction::ToClient, true) => StreamEvent::EstSynackResend,
                    (Direction::ToClient, false) => StreamEvent::EstSynToclient,
                    (Direction::ToServer, false) if p.seq == self.isn[0] => StreamEvent::EstSynResend,
                    (Direction::ToServer, false) => StreamEvent::EstSynResendDiffSeq,
                });
                return step;
            }
            _ => {}
        }
        let open = !matches!(self.state, TcpState::SynSent | TcpState::Closed);
        step.in_order = self.advance(me, p, len) && open;
        step.valid = open;
        if has(flag::FIN) {
            self.finish(from, p, len);
        } else if has(flag::ACK) && self.fin[other].is_some_and(|f| p.ack == f) {
            self.state = match (self.state, from) {
                (TcpState::FinWait1, Direction::ToServer) => TcpState::FinWait2,
                (TcpState::Closing, _) => TcpState::TimeWait,
                (TcpState::LastAck, Direction::ToServer) | (TcpState::TimeWait, _) => TcpState::Closed,
                (same, _) => same,
            };
        }
        step
    }

    /// Sequence numbers of each side's first byte, where they are known.
    pub(crate) fn first(&self) -> [Option<u32>; 2] {
        [0, 1].map(|i| self.known[i].then_some(self.isn[i].wrapping_add(1)))
    }

    /// Exchanges client and server.
    pub(crate) fn turn(&mut self) {
        self.flags.swap(0, 1);
        self.isn.swap(0, 1);
        self.next.swap(0, 1);
        self.known.swap(0, 1);
        self.fin.swap(0, 1);
        self.state = match self.state {
            TcpState::CloseWait => TcpState::FinWait1,
            TcpState::FinWait1 => TcpState::CloseWait,
            same => same,
        };
    }

    fn start(&mut self, me: usize, p: &Tcp<'_>) {
        self.isn[me] = p.seq;
        self.next[me] = p.seq;
        self.known[me] = true;
    }

    /// Moves the expected number on; true where the segment was exactly the next one.
    fn advance(&mut self, me: usize, p: &Tcp<'_>, len: usize) -> bool {
        let ends = p.seq.wrapping_add(len as u32).wrapping_add(u32::from(p.flags & flag::SYN != 0)); // len < 2^16
        let in_order = p.seq == self.next[me];
        if ends.wrapping_sub(self.next[me]) < 1 << 31 {
            self.next[me] = ends;
        }
        in_order
    }

    fn finish(&mut self, from: Direction, p: &Tcp<'_>, len: usize) {
        let (me, other) = (from.index(), from.reverse().index());
        let end = p.seq.wrapping_add(len as u32).wrapping_add(1);
        self.fin[me].get_or_insert(end);
        let acked = self.fin[other].is_some_and(|f| p.flags & flag::ACK != 0 && p.ack == f);
        self.state = match (self.state, from) {
            (TcpState::Established | TcpState::SynRecv | TcpState::SynSent, Direction::ToServer) => TcpState::CloseWait,
            (TcpState::Established | TcpState::SynRecv | TcpState::SynSent, Direction::ToClient) => TcpState::FinWait1,
            (TcpState::FinWait1, Direction::ToServer) if acked => TcpState::TimeWait,
            (TcpState::FinWait1, Direction::ToServer) => TcpState::Closing,
            (TcpState::FinWait2, Direction::ToServer) => TcpState::TimeWait,
            (TcpState::CloseWait, Direction::ToClient) => TcpState::LastAck,
            (same, _) => same,
        };
    }

    fn rst_fits(&self, from: Direction, p: &Tcp<'_>) -> bool {
        let me = from.index();
        if self.state == TcpState::SynSent {
            // The answer of a closed port acknowledges the SYN; a client may take its SYN back.
            return from == Direction::ToServer || p.ack.wrapping_sub(self.isn[0]) < RST_WINDOW;
        }
        !self.known[me] || p.seq.wrapping_sub(self.next[me].wrapping_sub(RST_WINDOW / 2)) < RST_WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seg(flags: u8, seq: u32, ack: u32) -> Tcp<'static> {
        Tcp { src_port: 1, dst_port: 2, seq, ack, flags, window: 1000, header: &[] }
    }
    const C: Direction = Direction::ToServer;
    const S: Direction = Direction::ToClient;
    const SYN: u8 = flag::SYN;
    const ACK: u8 = flag::ACK;
    const FIN: u8 = flag::FIN | flag::ACK;

    /// Plays (direction, flags, seq, ack, len) and gives the state after each.
    fn play(
        first: (u8, u32, u32),
        rest: &[(Direction, u8, u32, u32, usize)],
    ) -> (Vec<&'static str>, Vec<&'static str>) {
        let (t, step) = Tracker::begin(&seg(first.0, first.1, first.2), 0, Pickup::default());
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
        let client_closes =
            [(C, FIN, 111, 906, 0), (S, ACK, 906, 112, 0), (S, FIN, 906, 112, 0), (C, ACK, 112, 907, 0)];
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
        let server_closes =
            [(S, FIN, 906, 111, 0), (C, ACK, 111, 907, 0), (C, FIN, 111, 907, 0), (S, ACK, 907, 112, 0)];
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
        let (states, events) =
            play((SYN, 100, 0), &[open.as_slice(), &[(S, flag::RST, 900 + (1 << 30), 0, 0)]].concat());
        assert_eq!(states.last(), Some(&"established"));
        assert_eq!(events, ["stream.rst_invalid_ack"]);
        let (states, _) = play((SYN, 100, 0), &[open.as_slice(), &[(S, flag::RST, 901, 0, 0)]].concat());
        assert_eq!(states.last(), Some(&"closed"));
    }

    #[test]
    fn a_handshake_with_wrong_numbers_does_not_open() {
        let (states, events) = play((SYN, 100, 0), &[(S, SYN | ACK, 900, 55, 0), (C, SYN | ACK, 900, 101, 0)]);
        assert_eq!(states, ["syn_sent", "syn_sent", "syn_sent"]);
        assert_eq!(events, ["stream.3whs_synack_with_wrong_ack", "stream.3whs_synack_in_wrong_direction"]);
        let (states, events) = play((SYN, 100, 0), &[(S, SYN | ACK, 900, 101, 0), (C, ACK, 101, 5, 0)]);
        assert_eq!(states, ["syn_sent", "syn_recv", "syn_recv"]);
        assert_eq!(events, ["stream.3whs_wrong_seq_wrong_ack"]);
    }

    #[test]
    fn without_a_handshake_there_is_no_session_unless_asked_for() {
        for (flags, event) in
            [(ACK, None), (FIN, Some(StreamEvent::FinButNoSession)), (flag::RST, Some(StreamEvent::RstButNoSession))]
        {
            let (t, step) = Tracker::begin(&seg(flags, 5, 6), 0, Pickup::default());
            assert!(t.is_none());
            assert_eq!(step.events.iter().next(), event);
        }
        let midstream = Pickup { midstream: true, async_oneside: false };
        let (t, step) = Tracker::begin(&seg(ACK, 5, 6), 10, midstream);
        assert!(step.in_order);
        assert_eq!(t.map(|(t, r)| (t.state, r)), Some((TcpState::Established, false)));
        let (t, _) = Tracker::begin(&seg(SYN | ACK, 5, 6), 0, midstream);
        assert_eq!(t.map(|(t, r)| (t.state, r)), Some((TcpState::SynRecv, true)));
    }
}
