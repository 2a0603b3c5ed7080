// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The frames `request` and `response`: a message from its start line to the end of its body, as it stands on the wire.
//!
//! Must never change what is read: it looks at what a step of the machine did.

use lagewarte_flow::Direction;

use super::{Http1, parser, side::Phase};
use crate::{frames::Kind, protocol::Cx};

impl Http1 {
    /// Marks where a message begins and ends in `rest`, of which a step has read `n` bytes; `before`: the phase it began in.
    pub(super) fn mark(&mut self, d: Direction, before: Phase, (rest, n): (&[u8], usize), cx: &mut Cx<'_>) {
        let kind = if d == Direction::ToServer { Kind::HttpRequest } else { Kind::HttpResponse };
        if !cx.asks_frame(kind) {
            return;
        }
        let side = &mut self.sides[d.index()];
        let blank = |b: &u8| parser::is_space(*b) || *b == 0;
        let read = rest.get(..n).unwrap_or_default();
        let begun = before == Phase::Start
            && match d {
                Direction::ToServer => !read.iter().all(blank),
                // A body may come without any head.
                Direction::ToClient if n == 0 => side.phase == Phase::UntilClose,
                Direction::ToClient => parser::looks_like_response(rest) == Some(true),
            };
        if begun {
            cx.frame_begins(kind, rest.len() - read.iter().take_while(|b| blank(b)).count()); // within the rest
            cx.frames_of(side.last);
            side.marked = true;
        }
        if side.marked && matches!(side.phase, Phase::Start | Phase::Connect | Phase::Lost | Phase::Over) {
            cx.frame_ends(kind, rest.len() - read.len());
            side.marked = false;
        }
    }
}
