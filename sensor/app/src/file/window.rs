// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The part of a growing body or file that detection is shown: piece after piece, each overlapping the one before.
//!
//! Nothing is shown before enough has come or the body has ended, so that a body is not searched again for every packet.
//! Must never hold more than a piece, its look-back and what came since.

/// How a body is inspected; names of `libhtp.default-config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// Bytes that are inspected at most, from the body's beginning; 0: all (`*-body-limit`).
    pub limit: u64,
    /// Bytes that must have come before an unfinished body is looked at (`*-body-minimal-inspect-size`).
    pub least: usize,
    /// Bytes of look-back (`*-body-inspect-window`).
    pub back: usize,
}

impl Default for Pieces {
    fn default() -> Self {
        Self { limit: 0, least: 32 * 1024, back: 16 * 1024 }
    }
}

/// Bytes that are kept at most where detection does not keep up, or does not look. Threat: a small packet that unpacks to
/// very much.
pub const MAX_UNSEEN: usize = 1 << 20;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Window {
    data: Vec<u8>,
    // Offset of the first byte of `data` in the body.
    start: u64,
    // What of `data` is shown.
    shown: (usize, usize),
    // How far detection has looked.
    looked: usize,
    total: u64,
    closed: bool,
}

impl Window {
    /// Takes the next bytes. True: there is something new to see.
    pub fn push(&mut self, bytes: &[u8], pieces: &Pieces) -> bool {
        let room = match pieces.limit {
            0 => usize::MAX,
            limit => usize::try_from(limit.saturating_sub(self.total)).unwrap_or(usize::MAX),
        };
        self.total += bytes.len() as u64;
        let taken = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        if taken.is_empty() {
            return false;
        }
        // What was looked at goes, up to the look-back; so does what nobody looks at.
        let mut keep_from = self.looked.saturating_sub(pieces.back);
        if self.data.len() > MAX_UNSEEN {
            keep_from = keep_from.max(self.data.len() - MAX_UNSEEN / 2);
        }
        if keep_from > pieces.least.max(4096) {
            self.data.drain(..keep_from);
            self.start += keep_from as u64;
            self.looked = self.looked.saturating_sub(keep_from);
            self.shown = (self.shown.0.saturating_sub(keep_from), self.shown.1.saturating_sub(keep_from));
        }
        self.data.extend_from_slice(taken);
        let full = pieces.limit != 0 && self.total >= pieces.limit;
        if full || self.data.len() - self.shown.1 >= pieces.least.max(1) {
            return self.show(pieces);
        }
        false
    }

    /// Detection has looked at what is shown: it need not be shown again.
    pub fn looked(&mut self) {
        self.looked = self.shown.1;
    }

    /// The body has ended. True: there is something new to see.
    pub fn close(&mut self, pieces: &Pieces) -> bool {
        !std::mem::replace(&mut self.closed, true) && self.show(pieces)
    }

    // A gap: what comes behind it does not go on what came before.
    pub(crate) fn cut(&mut self, missing: u64, pieces: &Pieces) -> bool {
        let news = self.show(pieces);
        self.total += missing;
        news
    }

    fn show(&mut self, pieces: &Pieces) -> bool {
        if self.shown.1 == self.data.len() {
            return false;
        }
        self.shown = (self.looked.saturating_sub(pieces.back), self.data.len());
        true
    }

    /// What is to be seen now; None: nothing yet. An empty body is seen when it has ended.
    pub fn shown(&self) -> Option<&[u8]> {
        if self.shown.1 == 0 && !self.closed {
            return None;
        }
        self.data.get(self.shown.0..self.shown.1)
    }
    /// Where in the body what is shown begins.
    pub fn offset(&self) -> u64 {
        self.start + self.shown.0 as u64
    }
    /// Bytes of the body so far, kept or not.
    pub fn total(&self) -> u64 {
        self.total
    }
    /// All bytes that are still held.
    pub fn held(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Pieces = Pieces { limit: 0, least: 100, back: 10 };

    #[test]
    fn a_small_body_is_seen_once_when_it_ends() {
        let mut w = Window::default();
        assert!(!w.push(&[1; 60], &P));
        assert_eq!(w.shown(), None);
        assert!(w.close(&P));
        assert_eq!(w.shown(), Some(&[1; 60][..]));
        assert!(!w.close(&P));
    }

    #[test]
    fn a_large_body_is_seen_in_overlapping_pieces_and_is_not_kept() {
        let body: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        for size in [1, 7, 60, 99, 100, 101, 5000, 20_000] {
            let (mut w, mut seen, mut looks, mut most) = (Window::default(), 0u64, 0, 0);
            let mut look = |w: &Window| {
                let (at, piece) = (w.offset(), w.shown().unwrap());
                assert!(seen == 0 || at + 10 == seen, "look-back of {} at {at}, seen {seen}", size);
                assert_eq!(piece, &body[at as usize..at as usize + piece.len()]);
                seen = at + piece.len() as u64;
                looks += 1;
            };
            for part in body.chunks(size) {
                w.looked();
                if w.push(part, &P) {
                    look(&w);
                }
                most = most.max(w.held().len());
            }
            w.looked();
            if w.close(&P) {
                look(&w);
            }
            assert_eq!(seen, body.len() as u64);
            assert!(looks <= body.len() / 100 + 1, "each byte is seen about once");
            assert!(most <= 2 * 4096 + 2 * size.max(110), "{most} held");
        }
    }

    #[test]
    fn what_nobody_has_looked_at_is_still_shown_but_not_without_end() {
        let mut w = Window::default();
        for _ in 0..5 {
            w.push(&[7; 150], &P);
        }
        assert_eq!((w.offset(), w.shown().map(<[u8]>::len)), (0, Some(750)));
        for _ in 0..3000 {
            w.push(&[7; 1000], &P);
            assert!(w.held().len() <= MAX_UNSEEN + 1000);
        }
        assert_eq!(w.total(), 3_000_750);
    }

    #[test]
    fn the_limit_ends_it() {
        let p = Pieces { limit: 150, ..P };
        let mut w = Window::default();
        assert!(w.push(&[1; 120], &p));
        assert!(w.push(&[2; 120], &p), "the limit shows the rest");
        assert_eq!(w.shown().unwrap().iter().filter(|b| **b == 2).count(), 30);
        assert!(!w.push(&[3; 1000], &p) && !w.close(&p));
        assert_eq!((w.total(), w.held().len()), (1240, 150));
    }
}
