// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One flow: who talks to whom, how far the conversation is, what was counted, and the little that rules may remember.
//!
//! Must never grow without bound: everything in here has a fixed size but the flowbits and counters, which are capped.

use std::net::IpAddr;

use lagewarte_base::time::Timestamp;
use lagewarte_decode::Vlans;

use crate::{
    app::AppState,
    config::Exceptions,
    stream::{Chunk, Memory, Stream},
    tags::Tags,
    tcp::Session,
    vars::FlowVars,
};

/// Most flowbits set on one flow. Threat: a rule set with thousands of bits and a peer that sets them all.
pub const MAX_FLOWBITS: usize = 32;

/// Most counters of rules on one flow. Threat: as of [`MAX_FLOWBITS`].
pub const MAX_FLOWINTS: usize = 16;

/// Which way a packet goes. The client is who began, as far as we saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

impl Direction {
    /// Index of the side that sends in this direction, for [`Flow::sides`].
    pub const fn index(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }
    /// The direction in which the side of this index sends: 0 the client, any other the server.
    pub const fn of_side(index: usize) -> Self {
        if index == 0 { Self::ToServer } else { Self::ToClient }
    }
    /// The other way.
    pub const fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
    /// EVE's name: `to_server` or `to_client`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ToServer => "to_server",
            Self::ToClient => "to_client",
        }
    }
}

/// A flow's state as EVE and the `flow` keyword name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum State {
    /// Only one side was heard, or the TCP handshake is not complete.
    #[default]
    New,
    /// Both sides were heard; for TCP, the handshake was.
    Established,
    /// TCP said goodbye.
    Closed,
    /// A rule with `bypass` took it: its packets are counted, and nothing else ([`Flow::bypass`]).
    Bypassed,
}

impl State {
    /// How many there are.
    pub const COUNT: usize = Self::Bypassed as usize + 1;

    /// EVE's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Established => "established",
            Self::Closed => "closed",
            Self::Bypassed => "bypassed",
        }
    }
}

/// What one side sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Side {
    /// Packets.
    pub packets: u64,
    /// Bytes of captured frames, as Suricata counts them.
    pub bytes: u64,
    /// The lowest and the highest time to live (hop limit) of its packets.
    pub ttl: (u8, u8),
}

/// One flow.
#[derive(Debug)]
pub struct Flow {
    /// EVE `flow_id`: from the 5-tuple, the VLANs and the start; positive, below 2^53.
    pub id: i64,
    /// EVE `parent_id`: the id of the flow that announced this one; 0 where none did.
    pub parent: i64,
    /// Who began.
    pub client: IpAddr,
    /// The other end.
    pub server: IpAddr,
    /// The client's port; for ESP the upper half of the SPI; 0 where there is none.
    pub client_port: u16,
    /// The server's port; for ESP the lower half of the SPI; 0 where there is none.
    pub server_port: u16,
    /// IP protocol number.
    pub proto: u8,
    /// VLAN ids of the first packet.
    pub vlans: Vlans,
    /// MAC addresses of the first packet that has some, as (client's, server's).
    pub macs: Option<([u8; 6], [u8; 6])>,
    /// Further MAC addresses of its packets, as (client's, server's), where they are written.
    pub(crate) more_macs: Option<Box<[Vec<[u8; 6]>; 2]>>,
    /// ICMP type and code of the first packet.
    pub icmp: Option<(u8, u8)>,
    /// ICMP type and code of the first answer.
    pub icmp_response: Option<(u8, u8)>,
    /// First packet.
    pub start: Timestamp,
    /// Latest packet.
    pub last: Timestamp,
    /// What each side sent, by [`Direction::index`].
    pub sides: [Side; 2],
    /// How far it is.
    pub state: State,
    /// Whether a rule fired on it.
    pub alerted: bool,
    /// What detection has done with it.
    pub detect: DetectMarks,
    /// Bits that rules set.
    pub flowbits: FlowBits,
    /// Counters that rules keep.
    pub flowints: FlowInts,
    /// Packets that rules asked to be recorded.
    pub tags: Tags,
    /// What rules captured.
    pub vars: FlowVars,
    /// What it speaks.
    pub app: AppState,
    /// What its two sides say, put together; None until TCP carries data.
    pub stream: Option<Box<Stream>>,
    /// Exception policies that were applied to it.
    pub exceptions: Exceptions,
    pub(crate) tcp: Option<Box<Session>>,
    /// No session for it: memory was short when it began.
    pub(crate) unfollowed: bool,
    /// Set once both directions were heard by packets that are no ICMP errors.
    pub(crate) heard: [bool; 2],
    /// EVE `community_id`, made when it is first asked for.
    pub(crate) community_id: Option<Box<str>>,
}

impl Flow {
    /// EVE `parent_id`.
    pub fn parent_id(&self) -> Option<i64> {
        (self.parent != 0).then_some(self.parent)
    }

    /// From the next packet on the flow is neither followed nor parsed nor looked at by rules (Suricata user guide, "Bypass").
    pub const fn bypass(&mut self) {
        self.state = State::Bypassed;
        self.detect.settled = true;
    }

    /// Whether [`Self::bypass`] was said.
    pub fn bypassed(&self) -> bool {
        self.state == State::Bypassed
    }

    /// Exchanges client and server.
    pub(crate) fn turn(&mut self) {
        std::mem::swap(&mut self.client, &mut self.server);
        std::mem::swap(&mut self.client_port, &mut self.server_port);
        self.sides.swap(0, 1);
        self.heard.swap(0, 1);
        self.detect.addresses_done.swap(0, 1);
        self.detect.protocol_done.swap(0, 1);
        self.macs = self.macs.map(|(a, b)| (b, a));
        if let Some(more) = &mut self.more_macs {
            more.swap(0, 1);
        }
    }

    /// Notes the MAC addresses of a packet, as (client's, server's).
    pub(crate) fn note_macs(&mut self, macs: ([u8; 6], [u8; 6])) {
        let first = *self.macs.get_or_insert(macs);
        for (side, (mac, first)) in [(macs.0, first.0), (macs.1, first.1)].into_iter().enumerate() {
            if mac == first {
                continue;
            }
            let more = &mut self.more_macs.get_or_insert_default()[side]; // one of two
            if more.len() < MAX_MACS - 1 && !more.contains(&mac) {
                more.push(mac);
            }
        }
    }

    /// The MAC addresses of both ends, in the order in which they were seen, by [`Direction::index`].
    pub(crate) fn all_macs(&self) -> Option<[Vec<[u8; 6]>; 2]> {
        let (client, server) = self.macs?;
        let with = |first: [u8; 6], side: usize| {
            let more = self.more_macs.as_deref().and_then(|m| m.get(side)).map_or(&[][..], Vec::as_slice);
            [&[first], more].concat()
        };
        Some([with(client, 0), with(server, 1)])
    }
}

/// Most MAC addresses of each end that a flow lists. Threat: a sender that changes its address with each packet.
pub const MAX_MACS: usize = 8;

/// What detection remembers of a flow beside the flowbits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DetectMarks {
    /// Directions, by [`Direction::index`], in which address-only rules were looked at: they are once for each.
    pub addresses_done: [bool; 2],
    /// Directions, by [`Direction::index`], in which rules on the protocol alone were looked at: once its side is known.
    pub protocol_done: [bool; 2],
    /// A pass, drop or reject rule took the whole flow: no rule looks at it any more.
    pub settled: bool,
    /// It was a pass rule that did.
    pub passed: bool,
}

/// A packet's flow, and how the packet lies in it.
#[derive(Debug)]
pub struct FlowRef<'a> {
    /// The flow, already counting this packet.
    pub flow: &'a mut Flow,
    /// Which way the packet goes.
    pub direction: Direction,
    /// Whether the flow was established *before* this packet: what `flow:established` asks.
    pub established: bool,
    /// Whether the packet began the flow.
    pub new: bool,
    /// What is odd about the packet in its stream.
    pub events: crate::tcp::StreamEvents,
    /// Whether its payload was put into the stream, where rules see it.
    pub added: bool,
    /// Whether an exception policy keeps rules from looking at the packet.
    pub excepted: bool,
    /// Whether the flow's bytes were known to be encrypted *before* this packet: rules do not look into its payload.
    pub sealed: bool,
    pub(crate) memory: Option<&'a mut Memory>,
}

impl<'a> FlowRef<'a> {
    /// A flow at its end, as seen from one side: no packet belongs to it.
    pub fn at_end(flow: &'a mut Flow, direction: Direction) -> Self {
        let established = flow.state != State::New;
        let events = crate::tcp::StreamEvents::default();
        let (new, added, excepted, sealed) = (false, false, false, flow.app.sealed);
        FlowRef { flow, direction, established, new, events, added, excepted, sealed, memory: None }
    }
    /// Whether the session says goodbye: rules do not wait for more of it.
    pub fn closing(&self) -> bool {
        use crate::tcp::TcpState as T;
        let state = self.flow.tcp.as_ref().map(|s| s.state);
        matches!(state, Some(T::LastAck | T::CloseWait | T::Closing | T::Closed))
    }
    /// Bytes that client and server sent by their sequence numbers, SYN and FIN included: what `stream_size` compares.
    pub fn sizes(&self) -> Option<[u32; 2]> {
        self.flow.tcp.as_ref().map(|s| s.sizes())
    }
    /// The next piece of the flow's stream that this packet brought to be handed on: call until there is none, before the
    /// next packet.
    pub fn next_chunk(&mut self) -> Option<Chunk<'_>> {
        self.flow.stream.as_mut()?.next_chunk()
    }
    /// Hands on every piece of the flow's stream that is ready. Where the taker turns the flow round, what follows is
    /// turned with it.
    pub fn chunks(&mut self, mut take: impl FnMut(&mut Self, Chunk<'_>)) {
        let Some(mut stream) = self.flow.stream.take() else { return };
        loop {
            let before = self.direction;
            match stream.next_chunk() {
                Some(chunk) => take(self, chunk),
                None => break,
            }
            if self.direction != before {
                stream.turn();
            }
        }
        self.flow.stream = Some(stream);
    }
    /// Lets go of stream bytes that nobody needs any more. Call once the packet has been inspected; where it is not
    /// called, the next packet of the flow does it.
    pub fn release(&mut self) {
        if let (Some(s), Some(memory)) = (&mut self.flow.stream, &mut self.memory) {
            s.release(memory);
        }
    }
    /// Whether the flow was taken up in its middle, so that who is the client is a guess.
    pub fn guessed(&self) -> bool {
        self.flow.tcp.as_ref().is_some_and(|t| t.midstream)
    }
    /// Exchanges client and server, where the guess turns out to be wrong.
    pub fn turn(&mut self) {
        self.flow.turn();
        if let Some(t) = &mut self.flow.tcp {
            t.turn();
        }
        if let Some(s) = &mut self.flow.stream {
            s.turn();
        }
        self.flow.app.turn();
        self.direction = self.direction.reverse();
    }
}

/// The flowbits of a flow, by the rule set's numbers for their names. Sorted, without an allocation until one is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowBits(Vec<u32>);

impl FlowBits {
    /// Sets one; false where it was set or there is no room ([`MAX_FLOWBITS`]).
    pub fn set(&mut self, bit: u32) -> bool {
        match self.0.binary_search(&bit) {
            Err(at) if self.0.len() < MAX_FLOWBITS => {
                self.0.insert(at, bit);
                true
            }
            _ => false,
        }
    }
    /// Whether it is set.
    pub fn has(&self, bit: u32) -> bool {
        self.0.binary_search(&bit).is_ok()
    }
    /// Clears one.
    pub fn unset(&mut self, bit: u32) {
        if let Ok(at) = self.0.binary_search(&bit) {
            self.0.remove(at);
        }
    }
    /// Sets it where it is not set, clears it where it is.
    pub fn toggle(&mut self, bit: u32) {
        if self.has(bit) {
            self.unset(bit);
        } else {
            self.set(bit);
        }
    }
    /// Those that are set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }
}

/// The counters of a flow, by the rule set's numbers for their names. Sorted, without an allocation until one is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowInts(Vec<(u32, u32)>);

impl FlowInts {
    /// Gives a counter a value; false where there is no room ([`MAX_FLOWINTS`]).
    pub fn set(&mut self, name: u32, value: u32) -> bool {
        match self.0.binary_search_by_key(&name, |(n, _)| *n) {
            Ok(at) => {
                if let Some(slot) = self.0.get_mut(at) {
                    slot.1 = value;
                }
                true
            }
            Err(at) if self.0.len() < MAX_FLOWINTS => {
                self.0.insert(at, (name, value));
                true
            }
            Err(_) => false,
        }
    }
    /// A counter's value, where it is set.
    pub fn get(&self, name: u32) -> Option<u32> {
        let at = self.0.binary_search_by_key(&name, |(n, _)| *n).ok()?;
        self.0.get(at).map(|(_, v)| *v)
    }
    /// Those that are set, with their values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flowbits_are_a_set_with_a_cap() {
        let mut b = FlowBits::default();
        assert!(b.set(7) && b.set(3) && !b.set(7));
        b.toggle(3);
        b.toggle(9);
        assert_eq!(b.iter().collect::<Vec<_>>(), [7, 9]);
        b.unset(7);
        b.unset(8);
        assert!(!b.has(7) && b.has(9));
        for i in 0..1000 {
            b.set(i);
        }
        assert_eq!(b.iter().count(), MAX_FLOWBITS);
    }

    #[test]
    fn counters_are_a_map_with_a_cap() {
        let mut c = FlowInts::default();
        assert_eq!(c.get(7), None);
        assert!(c.set(7, 1) && c.set(3, 2) && c.set(7, 5));
        assert_eq!(c.iter().collect::<Vec<_>>(), [(3, 2), (7, 5)]);
        let taken = (0..1000u32).filter(|i| c.set(*i, 9)).count();
        assert_eq!((taken, c.iter().count()), (MAX_FLOWINTS, MAX_FLOWINTS));
        assert_eq!((c.get(7), c.get(999)), (Some(9), None));
    }
}
