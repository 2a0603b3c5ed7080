// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Datagrams of a QUIC connection (way, length, bytes), and the same bytes as frames and as a hello of Google's.
#![no_main]
use lagewarte_app::quic::{
    parser::{GoogleHello, frames},
    session::Session,
};
use lagewarte_flow::Direction;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    frames(input, |_| {});
    let _ = GoogleHello::parse(input);
    let (mut session, mut rest) = (Session::default(), input);
    while let Some((&[how, n, m], tail)) = rest.split_first_chunk() {
        let (piece, tail) = tail.split_at(tail.len().min(u16::from_le_bytes([n, m]).into()));
        rest = tail;
        let d = if how & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        session.datagram(d, piece, drop);
        assert!(session.memory() < 1 << 20);
    }
});
