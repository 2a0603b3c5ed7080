// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Datagrams of a QUIC connection (way, length, bytes), and the same bytes as frames and as a hello of Google's. The datagrams
//! also as a conversation; see `talk`.
use lagewarte_app::quic::{
    Quic,
    parser::{GoogleHello, frames},
    session::Session,
};
use lagewarte_flow::Direction;

use crate::talk::Talk;

/// Runs one input.
pub(crate) fn run(input: &[u8]) {
    frames(input, |_| {});
    let _ = GoogleHello::parse(input);
    let (mut session, mut rest) = (Session::default(), input);
    let mut talk = Talk::of(Quic::default(), 443, true);
    while let Some((&[how, n, m], tail)) = rest.split_first_chunk() {
        let (piece, tail) = tail.split_at(tail.len().min(u16::from_le_bytes([n, m]).into()));
        rest = tail;
        let d = if how & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        session.datagram(d, piece, drop);
        talk.say(d, piece, false);
        assert!(session.memory() < 1 << 20);
    }
    talk.end();
}
