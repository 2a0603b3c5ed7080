// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One TCP session: the handshake, then the tests that a receiver makes before it believes a segment.

use lagewarte_decode::{Tcp, flag};

use super::{
    Pickup, TcpState,
    events::{StreamEvent, StreamEvents},
    handshake::Try,
    options::Options,
};
use crate::flow::Direction;

/// How far off its expected place a reset is still believed where no window is known, and an acknowledgement in the
/// handshake. Threat: a blind reset that makes us look away; it must hit this window of the 2^32 sequence numbers.
pub(super) const BLIND_WINDOW: u32 = 1 << 17;
/// Shift assumed where the handshake was not seen: a window too large misses an oddity, one too small misses data.
pub(super) const UNKNOWN_SCALE: u8 = 14;

/// One side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Peer {
    pub(super) isn: u32,
    /// Next sequence number that it will send.
    pub(super) next: u32,
    /// Up to here the other side has acknowledged.
    pub(super) acked: u32,
    /// Bytes that it may send beyond `acked`.
    pub(super) window: u32,
    /// Shift of the windows that it announces.
    pub(super) scale: u8,
    pub(super) known: bool,
    pub(super) heard: bool,
    /// Number behind its FIN.
    pub(super) fin: Option<u32>,
    /// Its clock, as far as the other side goes by it.
    pub(super) clock: Option<u32>,
}

impl Peer {
    pub(super) fn begin(&mut self, p: &Tcp<'_>) {
        (self.isn, self.next, self.acked) = (p.seq, p.seq.wrapping_add(1), p.seq);
        (self.known, self.heard) = (true, true);
    }
    /// Known only from what the other side acknowledges.
    pub(super) fn guess(&mut self, ack: u32) {
        (self.isn, self.next, self.acked, self.known) = (ack.wrapping_sub(1), ack, ack, true);
    }
    /// What the other side's SYN/ACK acknowledges and announces; its window is not scaled yet (RFC 7323, section 2.2).
    pub(super) fn may_send(&mut self, p: &Tcp<'_>) {
        (self.acked, self.window) = (p.ack, p.window.into());
    }
    /// Last number that it may send, if it is known.
    const fn limit(&self) -> u32 {
        self.acked.wrapping_add(self.window)
    }
}

/// What a segment did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Step {
    /// Oddities.
    pub events: StreamEvents,
    /// Whether its payload is the stream's.
    pub data: bool,
    /// Whether what it acknowledges may be believed.
    pub acks: bool,
    /// Whether its FIN is.
    pub fin: bool,
    /// Whether its reset is.
    pub reset: bool,
}

/// A session as far as it was seen.
#[derive(Debug)]
pub(crate) struct Session {
    /// How far it is.
    pub(crate) state: TcpState,
    /// All flags that each side sent, by [`Direction::index`].
    pub(crate) flags: [u8; 2],
    pub(super) peers: [Peer; 2],
    /// Taken up without a handshake: who is the client is a guess.
    pub(crate) midstream: bool,
    /// Both sides tell their clocks.
    pub(super) clocks: bool,
    /// The handshake was signed.
    signed: bool,
    /// Both ends opened at once.
    pub(super) four_way: bool,
    reset_by: Option<Direction>,
    /// Other SYNs, before the answer; then other SYN/ACKs.
    pub(super) tries: Vec<Try>,
}

impl Session {
    /// Begins a session with its first segment; None where that segment begins none. `true` in the answer says that
    /// the sender is the server (a SYN/ACK taken up in midstream).
    pub(crate) fn begin(p: &Tcp<'_>, len: usize, pickup: Pickup) -> (Option<(Self, bool)>, Step) {
        let mut step = Step::default();
        if broken_ack(p) {
            step.events.set(StreamEvent::PktBrokenAck);
        }
        let kind = p.flags & (flag::SYN | flag::ACK | flag::RST | flag::FIN);
        let (state, reversed) = match kind {
            flag::SYN => (TcpState::SynSent, false),
            _ if kind & flag::RST != 0 => {
                step.events.set(StreamEvent::RstButNoSession);
                return (None, step);
            }
            _ if kind & (flag::SYN | flag::FIN) == flag::SYN | flag::FIN => {
                step.events.set(StreamEvent::FinSyn);
                return (None, step);
            }
            _ if kind & flag::FIN != 0 && !pickup.midstream => {
                step.events.set(StreamEvent::FinButNoSession);
                return (None, step);
            }
            _ if kind & flag::ACK == 0 || !pickup.midstream => return (None, step),
            _ if kind & flag::SYN != 0 => (TcpState::SynRecv, true),
            _ => (TcpState::Established, false),
        };
        let mut s = Self {
            state,
            flags: [0; 2],
            peers: [Peer::default(); 2],
            midstream: kind != flag::SYN,
            clocks: false,
            signed: false,
            four_way: false,
            reset_by: None,
            tries: Vec::new(),
        };
        let from = if reversed { Direction::ToClient } else { Direction::ToServer };
        let [mine, other] = s.sides(from);
        let o = Options::of(p.header);
        if kind & flag::SYN != 0 {
            mine.begin(p);
            mine.scale = o.scale.unwrap_or(0);
            mine.clock = o.timestamp;
        } else {
            mine.guess(p.seq);
            mine.heard = true;
            mine.scale = UNKNOWN_SCALE;
        }
        mine.next = mine.next.max_after(mine.next.wrapping_add(len as u32)); // len < 2^16
        if p.flags & flag::ACK != 0 {
            other.guess(p.ack);
            other.scale = UNKNOWN_SCALE;
        }
        other.window = u32::from(p.window);
        s.signed = o.signed;
        s.clocks = o.timestamp.is_some();
        s.flags[from.index()] |= p.flags;
        step.data = true;
        step.acks = true;
        if kind & flag::FIN != 0 {
            s.finish(from, p, len);
            step.fin = true;
        }
        (Some((s, reversed)), step)
    }

    /// Whether this segment, on this session, is the beginning of another one.
    pub(crate) const fn reused_by(&self, p: &Tcp<'_>) -> bool {
        self.state.over()
            && p.flags & (flag::SYN | flag::ACK | flag::RST | flag::FIN) == flag::SYN
            && self.peers[0].isn != p.seq
    }

    /// The number behind a side's FIN, where it was heard.
    pub(crate) fn fin(&self, d: Direction) -> Option<u32> {
        self.peers[d.index()].fin // an index of two
    }

    /// Sequence numbers of each side's first byte, where they are known.
    pub(crate) fn first(&self) -> [Option<u32>; 2] {
        self.peers.map(|p| p.known.then_some(p.isn.wrapping_add(1)))
    }

    /// Bytes that each side sent as its numbers say, SYN and FIN included: what `stream_size` compares.
    pub(crate) fn sizes(&self) -> [u32; 2] {
        self.peers.map(|p| if p.known { p.next.wrapping_sub(p.isn) } else { 0 })
    }

    /// Whether only the sender of `from` was heard so far.
    pub(crate) fn alone(&self, from: Direction) -> bool {
        !self.peers[from.reverse().index()].heard // an index of two
    }

    /// Moves on by one segment.
    pub(crate) fn packet(&mut self, from: Direction, p: &Tcp<'_>, len: usize, pickup: Pickup) -> Step {
        let mut step = Step::default();
        let has = |f: u8| p.flags & f != 0;
        self.flags[from.index()] |= p.flags; // also those of segments that change nothing, as Suricata reports them
        if broken_ack(p) {
            step.events.set(StreamEvent::PktBrokenAck);
        }
        let o = if p.header.len() > 20 { Options::of(p.header) } else { Options::default() };
        if has(flag::RST) {
            self.reset(from, p, &o, &mut step);
            if step.reset && len > 0 {
                step.events.set(StreamEvent::RstWithData);
            }
            return step;
        }
        if has(flag::SYN) && has(flag::FIN) {
            step.events.set(StreamEvent::FinSyn);
            return step;
        }
        if self.state == TcpState::Closed {
            if len > 0 && self.reset_by == Some(from) {
                step.events.set(StreamEvent::SuspectedRstInject);
            }
            return step;
        }
        if self.clocks && !has(flag::SYN) && self.too_old(from, &o) {
            step.events.set(StreamEvent::PktInvalidTimestamp);
            return step;
        }
        let go_on = match self.state {
            TcpState::SynSent => self.syn_sent(from, p, &o, pickup, &mut step),
            TcpState::SynRecv => self.syn_recv(from, p, &o, &mut step),
            _ if has(flag::SYN) => {
                self.late_syn(from, p, &mut step);
                false
            }
            _ => true,
        };
        if go_on {
            self.segment(from, p, len, &o, pickup, &mut step);
        }
        step
    }

    fn sides(&mut self, from: Direction) -> [&mut Peer; 2] {
        let [a, b] = &mut self.peers;
        if from == Direction::ToServer { [a, b] } else { [b, a] }
    }

    /// PAWS (RFC 7323): the sender's clock has gone back.
    fn too_old(&mut self, from: Direction, o: &Options) -> bool {
        let [mine, _] = self.sides(from);
        matches!((o.timestamp, mine.clock), (Some(now), Some(recent)) if (now.wrapping_sub(recent) as i32) < 0)
    }

    /// A segment without SYN or RST, once the handshake is done: both sides are known by now, if by what the other acknowledged.
    fn segment(&mut self, from: Direction, p: &Tcp<'_>, len: usize, o: &Options, pickup: Pickup, step: &mut Step) {
        let names = names(self.state);
        let free = self.midstream || pickup.async_oneside && self.alone(from);
        let has = |f: u8| p.flags & f != 0;
        let [mine, other] = self.sides(from);
        if free && !mine.heard {
            let (window, scale) = (mine.window, mine.scale);
            mine.guess(p.seq);
            (mine.window, mine.scale) = (window, scale);
        }
        mine.heard = true;
        let end = p.seq.wrapping_add(len as u32); // len < 2^16
        if has(flag::ACK) {
            let most = other.next.max_after(other.limit());
            if other.heard && p.ack.after(most) && !(free && other.window == 0) {
                step.events.set(if has(flag::FIN) { names.fin_ack } else { names.invalid_ack });
                step.events.set(StreamEvent::PktInvalidAck);
                return;
            }
        }
        let keepalive = len <= 1 && p.seq == mine.next.wrapping_sub(1) && !has(flag::FIN);
        let fin_end = end.wrapping_add(1);
        let last = if has(flag::FIN) { fin_end } else { end };
        let old = if len > 0 { !last.after(mine.acked) } else { mine.acked.after(last) };
        if !keepalive && old && !free && !end.after(mine.next) {
            step.events.set(if len > 0 { StreamEvent::PktSpuriousRetransmission } else { names.before });
            return;
        }
        let probe = len == 1 && mine.window == 0 && p.seq == mine.next;
        if end.after(mine.limit()) && !free && !probe && (len > 0 || end.after(mine.next)) {
            step.events.set(names.window);
            return;
        }
        if mine.fin.is_some_and(|f| end.after(f)) {
            step.events.set(names.window);
            return;
        }
        if has(flag::FIN) && (mine.fin.is_some_and(|f| f != fin_end) || mine.next.after(fin_end)) {
            step.events.set(names.fin);
            return;
        }
        if has(flag::ACK) {
            let window = u32::from(p.window) << mine.scale; // at most 14
            let newer = !other.acked.after(p.ack);
            let shrunk = other.window.saturating_sub(window);
            let gained = p.ack.wrapping_sub(other.acked);
            // Ahead of everything that was seen, and yet it takes back more than it acknowledges.
            if newer && shrunk > gained && p.ack.after(other.next) && p.seq.after(mine.next) && len == 0 {
                step.events.set(StreamEvent::PktBadWindowUpdate);
                return;
            }
            if newer {
                (other.acked, other.window) = (p.ack, window);
            }
            if !other.heard {
                other.next = other.next.max_after(p.ack);
            }
        }
        if let Some(now) = o.timestamp
            && !p.seq.after(mine.acked)
        {
            mine.clock = Some(now);
        }
        step.acks = has(flag::ACK);
        step.data = !keepalive;
        mine.next = mine.next.max_after(end);
        if has(flag::FIN) {
            step.fin = true;
            self.finish(from, p, len);
        } else if has(flag::ACK) && other.fin == Some(p.ack) {
            self.state = match (self.state, from) {
                (TcpState::FinWait1, Direction::ToServer) => TcpState::FinWait2,
                (TcpState::Closing, _) => TcpState::TimeWait,
                (TcpState::LastAck, Direction::ToServer) | (TcpState::TimeWait, _) => TcpState::Closed,
                (same, _) => same,
            };
        }
    }

    fn finish(&mut self, from: Direction, p: &Tcp<'_>, len: usize) {
        let [mine, other] = self.sides(from);
        let end = p.seq.wrapping_add(len as u32).wrapping_add(1);
        mine.fin.get_or_insert(end);
        mine.next = mine.next.max_after(end);
        let acked = p.flags & flag::ACK != 0 && other.fin == Some(p.ack);
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

    fn reset(&mut self, from: Direction, p: &Tcp<'_>, o: &Options, step: &mut Step) {
        if o.signed && !self.signed {
            // Hosts that know nothing of signatures drop it.
            step.events.set(StreamEvent::SuspectedRstInject);
            return;
        }
        let acks = p.flags & flag::ACK != 0;
        let fits = if self.state == TcpState::SynSent {
            // The answer of a closed port acknowledges the SYN. A client may take its SYN back, with the number after it; one
            // with another number answers a segment of an older connection and ends nothing (RFC 9293, 3.10.7.3).
            match from {
                Direction::ToServer => p.seq.wrapping_sub(self.peers[0].isn) <= 1,
                Direction::ToClient => p.ack.wrapping_sub(self.peers[0].isn) < BLIND_WINDOW,
            }
        } else {
            let [mine, other] = self.sides(from);
            let far = mine.window.max(BLIND_WINDOW / 2);
            let in_window = p.seq.wrapping_sub(mine.next.wrapping_sub(BLIND_WINDOW / 2)) < far + BLIND_WINDOW / 2;
            let sane = !acks || !other.heard || !p.ack.after(other.next.max_after(other.limit()));
            in_window && sane
        };
        if !fits {
            step.events.set(StreamEvent::RstInvalidAck);
            return;
        }
        if self.state != TcpState::Closed {
            self.reset_by = Some(from);
        }
        self.state = TcpState::Closed;
        step.reset = true;
        step.acks = acks;
    }

    /// Exchanges client and server.
    pub(crate) fn turn(&mut self) {
        self.flags.swap(0, 1);
        self.peers.swap(0, 1);
        self.reset_by = self.reset_by.map(Direction::reverse);
        self.state = match self.state {
            TcpState::CloseWait => TcpState::FinWait1,
            TcpState::FinWait1 => TcpState::CloseWait,
            same => same,
        };
    }
}

/// A number is acknowledged, and the flag says that nothing is.
const fn broken_ack(p: &Tcp<'_>) -> bool {
    p.flags & flag::ACK == 0 && p.ack != 0
}

/// What the oddities of a segment are called in a state.
struct Names {
    invalid_ack: StreamEvent,
    fin_ack: StreamEvent,
    window: StreamEvent,
    fin: StreamEvent,
    before: StreamEvent,
}

const fn names(state: TcpState) -> Names {
    use StreamEvent as E;
    let (invalid_ack, window, fin, before) = match state {
        TcpState::FinWait1 => (E::Fin1InvalidAck, E::Fin1AckWrongSeq, E::Fin1FinWrongSeq, E::EstPktBeforeLastAck),
        TcpState::FinWait2 => (E::Fin2InvalidAck, E::Fin2AckWrongSeq, E::Fin2FinWrongSeq, E::EstPktBeforeLastAck),
        TcpState::Closing => {
            (E::ClosingInvalidAck, E::ClosingAckWrongSeq, E::ClosingAckWrongSeq, E::ClosingAckWrongSeq)
        }
        TcpState::CloseWait => {
            let (outside, before) = (E::ClosewaitAckOutOfWindow, E::ClosewaitPktBeforeLastAck);
            (E::ClosewaitInvalidAck, outside, E::ClosewaitFinOutOfWindow, before)
        }
        TcpState::LastAck => {
            (E::LastackInvalidAck, E::LastackAckWrongSeq, E::LastackAckWrongSeq, E::LastackAckWrongSeq)
        }
        TcpState::TimeWait => {
            (E::TimewaitInvalidAck, E::TimewaitAckWrongSeq, E::TimewaitAckWrongSeq, E::TimewaitAckWrongSeq)
        }
        _ => (E::EstInvalidAck, E::EstPacketOutOfWindow, E::FinOutOfWindow, E::EstPktBeforeLastAck),
    };
    let fin_ack = if matches!(state, TcpState::Established) { E::FinInvalidAck } else { invalid_ack };
    Names { invalid_ack, fin_ack, window, fin, before }
}

/// Order of sequence numbers: the nearer way round.
trait Sequence: Copy {
    /// Whether it lies behind the other.
    fn after(self, other: Self) -> bool;
    /// The later of two.
    fn max_after(self, other: Self) -> Self;
}

impl Sequence for u32 {
    fn after(self, other: Self) -> bool {
        (self.wrapping_sub(other) as i32) > 0 // the sign says which is nearer
    }
    fn max_after(self, other: Self) -> Self {
        if other.after(self) { other } else { self }
    }
}
