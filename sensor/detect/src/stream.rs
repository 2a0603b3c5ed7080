// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rules on the bytes of TCP streams: which rules look at the packet, which at the stream, and what a stream shows.
//!
//! As Suricata has it (user guide, "Protocol", `tcp-pkt` and `tcp-stream`, and the stream engine's "Inspection of raw
//! stream data"): contents of a `tcp` rule are looked for in acknowledged data, a chunk at a time, with the next packet
//! that goes the same way or at the flow's end; where the packet did not reach the stream, in the packet. Contents with a
//! place of their own (`offset`, `depth`, `startswith`) are looked for in both. Must never look at a byte as new twice.

use lagewarte_flow::{Direction, Stream};
use lagewarte_rules::ast::{PacketTest, PayloadTest, Proto, Rule};

use crate::payload::{Finds, Outcome, Program};

/// Where a rule looks for its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Looks {
    /// In the packet alone.
    Packet,
    /// In the stream; in the packet only where it is not in the stream.
    Stream,
    /// In the stream, and in the packet.
    Both,
    /// In the stream alone.
    StreamOnly,
}

impl Looks {
    pub(crate) fn of(rule: &Rule) -> Self {
        let contents = |t: &PayloadTest| match t {
            PayloadTest::Content(c) => c.offset.is_some() || c.depth.is_some() || c.startswith,
            _ => false,
        };
        let tcp = !matches!(
            rule.proto,
            Proto::TcpPkt
                | Proto::Udp
                | Proto::Icmp
                | Proto::Icmpv4
                | Proto::Icmpv6
                | Proto::Igmp
                | Proto::Sctp
                | Proto::Ether
                | Proto::Arp
        );
        // How much a stream holds is asked of the stream. But the sizes are those of the moment at which the bytes come: a
        // chunk that is looked at later has others, so that contents without a place of their own stay with the packet.
        let of_packet = |t: &PacketTest| !matches!(t, PacketTest::StreamSize(..));
        if rule.payload.is_empty() || !tcp || rule.flow.no_stream {
            Self::Packet
        } else if rule.proto == Proto::TcpStream || rule.flow.only_stream {
            Self::StreamOnly
        } else if rule.packet.iter().any(of_packet) || !rule.headers.is_empty() {
            Self::Packet
        } else if rule.payload.iter().any(contents) {
            Self::Both
        } else if rule.packet.is_empty() {
            Self::Stream
        } else {
            Self::Packet
        }
    }

    pub(crate) const fn at_stream(self) -> bool {
        !matches!(self, Self::Packet)
    }
}

/// What a packet gives rules to look at beside itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'s> {
    /// The stream, and the direction of it that is ready to be looked at.
    pub(crate) stream: Option<(&'s Stream, Direction)>,
    /// The packet's payload lies in the stream: rules that look there need not look at the packet.
    pub(crate) added: bool,
}

impl View<'_> {
    /// Runs a rule's contents over what is new in the stream.
    pub(crate) fn run(self, program: &Program, finds: &mut Finds) -> Outcome {
        let Some((stream, direction)) = self.stream else { return Outcome::NoMatch };
        let mut outcome = Outcome::NoMatch;
        for w in stream.raw_windows(direction) {
            match program.run_new(w.data, w.seen, finds) {
                Outcome::Match => return Outcome::Match,
                Outcome::GaveUp => outcome = Outcome::GaveUp,
                Outcome::NoMatch => {}
            }
        }
        outcome
    }
}
