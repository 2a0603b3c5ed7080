// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Pieces of a TLS connection (way and kind, length, bytes): memory stays bounded, and cutting a piece in two changes nothing.
//! The same as a conversation; see `talk`.
use lagewarte_app::tls::{Tls, session::Session};
use lagewarte_flow::Direction;

use crate::talk::Talk;

/// Runs one input.
pub(crate) fn run(input: &[u8]) {
    let (mut whole, mut cut, mut rest) = (Session::default(), Session::default(), input);
    let mut talk = Talk::of(Tls::default(), 443, false);
    while let Some((&[how, n, m], tail)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_le_bytes([n, m]));
        let d = if how & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        if how & 2 != 0 {
            rest = tail;
            assert_eq!(whole.gap(d, len as u64), cut.gap(d, len as u64));
            talk.lose(d, len as u64);
            continue;
        }
        let (piece, tail) = tail.split_at(tail.len().min(len));
        rest = tail;
        let (a, b) = piece.split_at(piece.len() / 2);
        whole.data(d, piece);
        cut.data(d, a);
        cut.data(d, b);
        talk.say(d, piece, rest.is_empty());
        assert!(whole.memory() < 2 << 20);
    }
    assert_eq!(whole.client, cut.client);
    assert_eq!((whole.version, whole.telling(true)), (cut.version, cut.telling(true)));
    talk.end();
}
