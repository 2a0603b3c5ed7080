// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How far a TCP conversation is (RFC 9293), from flags, sequence numbers, windows and options.
//!
//! Must never hold payload ([`crate::stream`] does). A packet that cannot belong to the session (wrong handshake numbers, a
//! reset far off, data outside the window) changes nothing and is an event.

mod events;
mod handshake;
mod options;
mod session;
#[cfg(test)]
mod tests;

pub use events::{StreamEvent, StreamEvents};
pub(crate) use session::{Session, Step};

use crate::flow::State;

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
    /// Whether one side at least has said goodbye.
    pub const fn closing(self) -> bool {
        !matches!(self, Self::SynSent | Self::SynRecv | Self::Established)
    }
    /// Whether a new SYN on the same 5-tuple begins a new flow.
    pub const fn over(self) -> bool {
        matches!(self, Self::TimeWait | Self::LastAck | Self::Closed)
    }
}

/// When a session may begin without a handshake; Suricata's `stream.midstream` and `stream.async-oneside`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pickup {
    /// Take up sessions whose handshake was not seen.
    pub midstream: bool,
    /// Believe sessions of which only one side is seen.
    pub async_oneside: bool,
}
