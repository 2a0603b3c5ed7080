// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The frames `command_line` and `response_line`, each with its line end, and `data`, the message behind DATA (Suricata user
//! guide, "SMTP Keywords", frames). The chunks of BDAT are none.
//!
//! Must never wait for the end of a line.

use super::{Mode, Smtp};
use crate::{frames::Kind, protocol::Cx};

impl Smtp {
    /// [`Self::message_line`] of DATA, with its frame: it ends before the dot.
    pub(super) fn message_piece(&mut self, line: &[u8], end: &'static [u8], left: usize, cx: &mut Cx<'_>) {
        self.message_line(line, end, cx);
        match (self.mode == Mode::Data, self.marked) {
            (true, false) => cx.frame_begins(Kind::SmtpData, left),
            (false, true) => cx.frame_ends(Kind::SmtpData, left),
            _ => {}
        }
        self.marked = self.mode == Mode::Data;
    }
}

/// Marks a line with its end, which begins where so many bytes are left; or a piece of one, whose end is not there. `goes_on`:
/// pieces came before.
pub(super) fn line(kind: Kind, goes_on: bool, (left, len): (usize, Option<usize>), cx: &mut Cx<'_>) {
    match (goes_on, len) {
        (false, Some(len)) => cx.frame(kind, left, len as u64),
        (false, None) => cx.frame_begins(kind, left),
        (true, Some(len)) => cx.frame_ends(kind, left - len), // the line is part of what is left
        (true, None) => {}
    }
}
