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

/// Gives `run` an input whole, cut off anywhere, and with any one byte changed: lengths that lie, kinds that do not exist. In
/// one of more than 2,048 bytes at some 64 places only, as each run reads all of it.
pub fn damaged(bytes: &[u8], run: impl Fn(&[u8])) {
    run(bytes);
    let step = if bytes.len() > 2048 { bytes.len() / 64 } else { 1 };
    (0..bytes.len()).step_by(step).filter_map(|n| bytes.get(..n)).for_each(&run);
    for (n, is) in bytes.iter().enumerate().step_by(step) {
        for to in [0, 1, 0x7f, 0xff, is ^ 0x80, is.wrapping_add(1)] {
            let mut changed = bytes.to_vec();
            if let Some(b) = changed.get_mut(n) {
                *b = to;
            }
            run(&changed);
        }
    }
}
