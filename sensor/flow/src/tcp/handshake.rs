// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The handshake of a session: which SYN is answered, by which SYN/ACK, and what is odd about either.

use lagewarte_decode::{Tcp, flag};

use super::{
    Pickup, Step, TcpState,
    events::StreamEvent,
    options::Options,
    session::{BLIND_WINDOW, Peer, Session, UNKNOWN_SCALE},
};
use crate::flow::Direction;

/// Other SYNs and SYN/ACKs of a handshake that are remembered until one is answered (Suricata's `max-syn-queued` and
/// `max-synack-queued`). Threat: a peer that sends them without end.
const MAX_SYNS: usize = 10;
const MAX_SYNACKS: usize = 5;

/// Another beginning of a side, waiting for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    peer: Peer,
    other_window: u32,
}

impl Session {
    pub(super) fn syn_sent(
        &mut self,
        from: Direction,
        p: &Tcp<'_>,
        o: &Options,
        pickup: Pickup,
        step: &mut Step,
    ) -> bool {
        let (syn, ack) = (p.flags & flag::SYN != 0, p.flags & flag::ACK != 0);
        match (from, syn, ack) {
            (Direction::ToServer, true, true) if self.peers[1].heard => {
                if p.ack != self.peers[1].isn.wrapping_add(1) {
                    step.events.set(StreamEvent::FourWaySynackWithWrongAck);
                } else if p.seq != self.peers[0].isn {
                    step.events.set(StreamEvent::FourWaySynackWithWrongSyn);
                } else {
                    (self.state, self.four_way) = (TcpState::SynRecv, true);
                    self.peers[1].may_send(p);
                }
                false
            }
            (Direction::ToServer, true, true) => {
                step.events.set(StreamEvent::SynackInWrongDirection);
                false
            }
            (Direction::ToClient, true, true) => {
                if !self.answers_syn(p.ack) {
                    let e = if self.peers[1].heard {
                        StreamEvent::FourWaySynackWithWrongAck
                    } else {
                        StreamEvent::SynackWithWrongAck
                    };
                    step.events.set(e);
                    return false;
                }
                self.tries.clear();
                self.answer(p, o);
                self.state = TcpState::SynRecv;
                step.acks = true;
                step.data = true;
                false
            }
            (Direction::ToServer, true, false) => {
                if p.seq != self.peers[0].isn {
                    if self.tries.len() == MAX_SYNS {
                        step.events.set(StreamEvent::SynFlood);
                        return false;
                    }
                    self.tries.push(Try { peer: self.peers[0], other_window: self.peers[1].window });
                    self.peers[0].begin(p);
                    self.peers[0].scale = o.scale.unwrap_or(0);
                    self.peers[0].clock = o.timestamp;
                }
                false
            }
            (Direction::ToClient, true, false) => {
                // Both ends open at once: how much the client may send is said here, and may be said nowhere else before it does.
                let [client, server] = &mut self.peers;
                server.begin(p);
                client.window = p.window.into();
                (client.scale, server.scale) = o.scale.map_or((0, 0), |shift| (client.scale, shift));
                self.clocks &= o.timestamp.is_some();
                server.clock = o.timestamp;
                false
            }
            (Direction::ToServer, false, true) => {
                let both_opened = self.peers[1].heard;
                if !pickup.async_oneside && !both_opened {
                    return false;
                }
                if p.seq.wrapping_sub(self.peers[0].isn.wrapping_add(1)) > BLIND_WINDOW {
                    let e =
                        if both_opened { StreamEvent::FourWayWrongSeq } else { StreamEvent::HandshakeAsyncWrongSeq };
                    step.events.set(e);
                    return false;
                }
                if both_opened && p.ack != self.peers[1].isn.wrapping_add(1) {
                    step.events.set(StreamEvent::FourWayInvalidAck);
                    return false;
                }
                if !both_opened {
                    self.peers[1].guess(p.ack);
                    self.peers[1].scale = UNKNOWN_SCALE;
                }
                self.state = TcpState::Established;
                true
            }
            _ => false,
        }
    }

    /// Whether a SYN/ACK acknowledges our SYN (and perhaps the data on it), or another SYN that then was the one.
    fn answers_syn(&mut self, ack: u32) -> bool {
        let fits = |p: &Peer| ack.wrapping_sub(p.isn.wrapping_add(1)) <= p.next.wrapping_sub(p.isn.wrapping_add(1));
        if fits(&self.peers[0]) {
            return true;
        }
        match self.tries.iter().find(|t| fits(&t.peer)) {
            Some(t) => {
                (self.peers[0], self.peers[1].window) = (t.peer, t.other_window);
                true
            }
            None => false,
        }
    }

    /// Notes the server's SYN/ACK.
    fn answer(&mut self, p: &Tcp<'_>, o: &Options) {
        let [client, server] = &mut self.peers;
        server.begin(p);
        // Both or none: a scale counts only where both sides offered one.
        match o.scale {
            Some(shift) => server.scale = shift,
            None => client.scale = 0,
        }
        self.clocks &= o.timestamp.is_some();
        server.clock = o.timestamp;
        client.may_send(p);
    }

    pub(super) fn syn_recv(&mut self, from: Direction, p: &Tcp<'_>, o: &Options, step: &mut Step) -> bool {
        let (syn, ack) = (p.flags & flag::SYN != 0, p.flags & flag::ACK != 0);
        match (from, syn, ack) {
            (Direction::ToServer, true, true) => {
                step.events.set(StreamEvent::SynackToserverOnSynRecv);
                false
            }
            (Direction::ToClient, true, true) if self.four_way => {
                // The second half of a handshake that both ends began.
                if p.ack == self.peers[0].isn.wrapping_add(1) && p.seq == self.peers[1].isn {
                    self.state = TcpState::Established;
                    self.peers[0].may_send(p);
                } else {
                    step.events.set(StreamEvent::FourWaySynackWithWrongAck);
                }
                false
            }
            (Direction::ToClient, true, true) => {
                let [client, server] = &self.peers;
                if p.ack.wrapping_sub(client.isn.wrapping_add(1)) > client.next.wrapping_sub(client.isn.wrapping_add(1))
                {
                    step.events.set(StreamEvent::SynackResendWithDiffAck);
                } else if p.seq != server.isn {
                    step.events.set(StreamEvent::SynackResendWithDiffSeq);
                    if self.tries.len() == MAX_SYNACKS {
                        step.events.set(StreamEvent::SynackFlood);
                    } else {
                        let mut peer = Peer { scale: o.scale.unwrap_or(0), clock: o.timestamp, ..*server };
                        peer.begin(p);
                        self.tries.push(Try { peer, other_window: p.window.into() });
                    }
                }
                false
            }
            (Direction::ToServer, true, false) => {
                if p.seq != self.peers[0].isn {
                    step.events.set(StreamEvent::SynResendDiffSeqOnSynRecv);
                }
                false
            }
            (Direction::ToClient, true, false) => {
                step.events.set(StreamEvent::SynToclientOnSynRecv);
                false
            }
            (Direction::ToServer, false, _) => {
                let [client, server] = self.peers;
                let fits = |s: &Peer| p.ack.wrapping_sub(s.isn.wrapping_add(1)) < BLIND_WINDOW;
                if ack
                    && !fits(&server)
                    && let Some(t) = self.tries.iter().find(|t| fits(&t.peer)).copied()
                {
                    (self.peers[1], self.peers[0].window) = (t.peer, t.other_window);
                }
                let acks = ack && fits(&self.peers[1]);
                let in_place = !client.heard || p.seq.wrapping_sub(client.isn) < BLIND_WINDOW;
                if !acks || !in_place {
                    step.events.set(if in_place && p.seq == client.next {
                        StreamEvent::HandshakeRightSeqWrongAckEvasion
                    } else {
                        StreamEvent::WrongSeqWrongAck
                    });
                    return false;
                }
                self.tries = Vec::new();
                self.state = TcpState::Established;
                true
            }
            (Direction::ToClient, false, _) => {
                // The client's acknowledgement was not captured, or the server need not wait for it (Fast Open).
                let server = &self.peers[1];
                if !ack || p.seq.wrapping_sub(server.isn) >= BLIND_WINDOW {
                    step.events.set(StreamEvent::WrongSeqWrongAck);
                    return false;
                }
                self.state = TcpState::Established;
                true
            }
        }
    }

    /// A SYN where the handshake is done.
    pub(super) fn late_syn(&mut self, from: Direction, p: &Tcp<'_>, step: &mut Step) {
        let [client, server] = &self.peers;
        let e = match (self.state, from, p.flags & flag::ACK != 0) {
            (TcpState::Established, Direction::ToServer, true) => StreamEvent::EstSynackToserver,
            (TcpState::Established, Direction::ToClient, true) if p.seq != server.isn => {
                StreamEvent::EstSynackResendWithDiffSeq
            }
            (TcpState::Established, Direction::ToClient, true) if p.ack != client.isn.wrapping_add(1) => {
                StreamEvent::EstSynackResendWithDiffAck
            }
            (TcpState::Established, Direction::ToClient, true) => StreamEvent::EstSynackResend,
            (TcpState::Established, Direction::ToClient, false) => StreamEvent::EstSynToclient,
            (TcpState::Established, Direction::ToServer, false) if p.seq == client.isn => StreamEvent::EstSynResend,
            (TcpState::Established, Direction::ToServer, false) => StreamEvent::EstSynResendDiffSeq,
            _ => StreamEvent::ShutdownSynResend,
        };
        step.events.set(e);
    }
}
