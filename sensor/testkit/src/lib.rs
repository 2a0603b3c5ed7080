// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Packets and captures for tests, benches and the demo: a builder, a capture writer, and two tools that give a recorded
//! capture other addresses ([`retarget`]) and lay several over one another in time ([`compose`]).
//!
//! Must never be linked into a product's binary, and never shares code with the reader and decoder that it helps to
//! test: what it says of a capture is a second opinion.

mod builder;
mod capture;
pub mod generate;
mod retarget;

pub use builder::{Endpoint, Frame, Session, arp, icmp_echo, icmp_unreachable, tcp, udp, with_vlans};
pub use capture::{Capture, Packet};
pub use retarget::{Map, compose, retarget};

/// What is wrong with a capture given to a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
