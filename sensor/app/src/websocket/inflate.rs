// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! permessage-deflate (RFC 7692): messages of one direction inflated with the window that they share.
//!
//! Must never give more than it is asked for, and never go on after it stopped short: what follows refers to what is
//! missing. A sender that keeps no context is understood too: its messages refer to nothing.

use flate2::{Decompress, FlushDecompress, Status};

/// Bytes that the window of a direction takes, its tables and all.
pub(super) const WINDOW: usize = 48 * 1024;

/// What ends a message and is not sent (RFC 7692, 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The window of one direction.
#[derive(Debug, Default)]
pub(super) struct Inflate {
    stream: Option<Box<Decompress>>,
    lost: bool,
}

impl Inflate {
    /// Something was left out: nothing of this direction is inflated any more.
    pub(super) fn lose(&mut self) {
        self.lost = true;
        self.stream = None;
    }

    /// A message inflated, and whether it was cut at `most` bytes. None where it is no deflate, or the window is lost.
    pub(super) fn message(&mut self, bytes: &[u8], most: usize) -> Option<(Vec<u8>, bool)> {
        if self.lost {
            return None;
        }
        let stream = self.stream.get_or_insert_with(|| Box::new(Decompress::new(false)));
        let mut out = Vec::new();
        for part in [bytes, &TAIL] {
            let mut rest = part;
            while !rest.is_empty() {
                let before = (stream.total_in(), out.len());
                // Room for one byte more than is wanted tells a message of just that size from a longer one.
                out.reserve((most + 1 - out.len()).min(4096));
                let Ok(status) = stream.decompress_vec(rest, &mut out, FlushDecompress::Sync) else {
                    self.lose();
                    return None;
                };
                let eaten = usize::try_from(stream.total_in() - before.0).unwrap_or(usize::MAX);
                rest = rest.get(eaten..).unwrap_or_default();
                if out.len() > most {
                    out.truncate(most);
                    self.lose();
                    return Some((out, true));
                }
                if status == Status::StreamEnd {
                    // A last block: the next message begins anew.
                    self.stream = None;
                    return Some((out, false));
                }
                if eaten == 0 && out.len() == before.1 {
                    break;
                }
            }
        }
        Some((out, false))
    }
}
