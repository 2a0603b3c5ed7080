// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A file that is read or written in pieces, each with its offset: puts them in order for the file door.
//!
//! Must never hold more than the configured queue: a piece beyond it is not waited for, and what is missing before it
//! becomes a gap.

use std::collections::BTreeMap;

use lagewarte_flow::Direction;

use crate::{
    config::Config,
    file::{File, FileState, Files, Pieces},
    protocol::Cx,
};

/// Limits of one direction: `max-*-queue-size`, `max-*-queue-cnt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Bytes that wait for what is before them.
    pub size: usize,
    /// Pieces that wait.
    pub count: usize,
}

/// What was odd about a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Odd {
    /// It lies before what was taken already.
    pub overlap: bool,
    /// Too many bytes wait.
    pub size: bool,
    /// Too many pieces wait.
    pub count: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Transfer {
    files: Files,
    // Where in the file the next byte is wanted.
    next: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    held: usize,
    // Bytes charged for what waits.
    paid: u64,
}

impl Transfer {
    /// One that begins.
    pub fn new(name: &[u8], direction: Direction, config: &Config) -> Self {
        let mut files = Files::default();
        files.open(File::open(name, direction, &config.files, Pieces::default()));
        Self { files, ..Self::default() }
    }
    /// Its file, as the frame wants it.
    pub const fn files(&self) -> &Files {
        &self.files
    }
    /// The same, to be changed.
    pub const fn files_mut(&mut self) -> &mut Files {
        &mut self.files
    }
    /// Whether its file takes no more.
    pub fn ended(&self) -> bool {
        self.files.at(0).is_none_or(|f| f.state != FileState::Open)
    }

    /// Takes a piece; `begins`: it is the beginning of what one message brings. True: `file.data` has something new.
    pub fn piece(
        &mut self,
        offset: u64,
        bytes: &[u8],
        begins: bool,
        limits: &Queue,
        cx: &mut Cx<'_>,
        charged: &mut u64,
    ) -> (bool, Odd) {
        let result = self.take(offset, bytes, begins, limits, cx, charged);
        let mut back = self.paid.saturating_sub(self.held as u64);
        self.paid -= back;
        *charged = charged.saturating_sub(back);
        cx.release(&mut back);
        result
    }

    fn take(
        &mut self,
        offset: u64,
        bytes: &[u8],
        begins: bool,
        limits: &Queue,
        cx: &mut Cx<'_>,
        charged: &mut u64,
    ) -> (bool, Odd) {
        let mut odd = Odd::default();
        if bytes.is_empty() || self.ended() {
            return (false, odd);
        }
        if offset < self.next {
            odd.overlap = begins;
            let skip = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
            let news = bytes.get(skip..).is_some_and(|rest| self.push(rest));
            return (self.drain() || news, odd);
        }
        if offset == self.next {
            let news = self.push(bytes);
            return (self.drain() || news, odd);
        }
        odd.size = self.held.saturating_add(bytes.len()) > limits.size;
        odd.count = self.waiting.len() >= limits.count;
        if !odd.size && !odd.count && cx.charge(charged, bytes.len()) {
            self.paid += bytes.len() as u64;
            // Of two pieces at one place the longer one stays.
            let had = self.waiting.entry(offset).or_default();
            if had.len() < bytes.len() {
                self.held += bytes.len() - had.len();
                bytes.clone_into(had);
            }
            return (false, odd);
        }
        // No room to wait for what is missing: it goes as a gap, and what waited before this piece with it.
        let mut news = self.flush(offset);
        news |= self.skip_to(offset);
        news |= self.push(bytes);
        (self.drain() || news, odd)
    }

    /// So many bytes at a place will never come.
    pub fn lost(&mut self, offset: u64, len: u64) -> bool {
        let to = offset.saturating_add(len);
        if self.ended() || to <= self.next {
            return false;
        }
        let mut news = false;
        if offset <= self.next {
            news |= self.skip_to(to);
        }
        self.drain() || news
    }

    /// It ends; `closed`: as its protocol says. What waits is taken with gaps.
    pub fn end(&mut self, closed: bool) -> bool {
        let news = self.flush(u64::MAX);
        let Some(f) = self.files.at_mut(0) else { return news };
        (if closed { f.close() } else { f.truncate() }) || news
    }

    fn push(&mut self, bytes: &[u8]) -> bool {
        self.next = self.next.saturating_add(bytes.len() as u64);
        self.files.at_mut(0).is_some_and(|f| f.push(bytes))
    }
    fn skip_to(&mut self, offset: u64) -> bool {
        let missing = offset.saturating_sub(self.next);
        self.next = self.next.max(offset);
        missing > 0 && self.files.at_mut(0).is_some_and(|f| f.gap(missing))
    }
    // Takes what waits where it goes on.
    fn drain(&mut self) -> bool {
        let mut news = false;
        while let Some(entry) = self.waiting.first_entry().filter(|e| *e.key() <= self.next) {
            let (offset, bytes) = entry.remove_entry();
            self.held = self.held.saturating_sub(bytes.len());
            let skip = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
            news |= bytes.get(skip..).is_some_and(|rest| !rest.is_empty() && self.push(rest));
        }
        news
    }
    // Takes what waits before a place, with gaps.
    fn flush(&mut self, before: u64) -> bool {
        let mut news = false;
        while let Some(offset) = self.waiting.first_key_value().map(|(o, _)| *o).filter(|o| *o < before) {
            news |= self.skip_to(offset);
            news |= self.drain();
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Memory;

    const LIMITS: Queue = Queue { size: 10, count: 2 };

    /// What the file holds after pieces, and what was odd.
    fn run(pieces: &[(u64, &str)]) -> (Vec<u8>, bool, Odd) {
        let (config, mut memory, mut charged) = (Config::default(), Memory { cap: 100, ..Memory::default() }, 0);
        let mut cx = Cx::alone(&config, &mut memory, (1, 445));
        let mut t = Transfer::new(b"f", Direction::ToServer, &config);
        let mut all = Odd::default();
        for (offset, bytes) in pieces {
            let (_, odd) = t.piece(*offset, bytes.as_bytes(), true, &LIMITS, &mut cx, &mut charged);
            all.overlap |= odd.overlap;
            all.size |= odd.size;
            all.count |= odd.count;
            assert!(t.held <= LIMITS.size && t.waiting.len() <= LIMITS.count);
        }
        t.end(true);
        let f = t.files().at(0).unwrap();
        (f.window.held().to_vec(), f.gaps, all)
    }

    #[test]
    fn pieces_come_in_any_order_and_wait_within_limits() {
        let none = Odd::default();
        assert_eq!(run(&[(0, "ab"), (2, "cd")]), (b"abcd".to_vec(), false, none));
        assert_eq!(run(&[(2, "cd"), (0, "ab")]), (b"abcd".to_vec(), false, none));
        assert_eq!(run(&[(0, "abc"), (1, "XXd")]), (b"abcd".to_vec(), false, Odd { overlap: true, ..none }));
        // What never came is a gap.
        assert_eq!(run(&[(0, "ab"), (5, "f")]), (b"abf".to_vec(), true, none));
        // Threat: pieces that wait for ever.
        assert_eq!(run(&[(5, "fffffffffff")]), (b"fffffffffff".to_vec(), true, Odd { size: true, ..none }));
        assert_eq!(run(&[(9, "j"), (7, "h"), (3, "d")]), (b"dhj".to_vec(), true, Odd { count: true, ..none }));
    }

    #[test]
    fn lost_bytes_are_a_gap_where_they_were_wanted() {
        let (config, mut memory, mut charged) = (Config::default(), Memory { cap: 100, ..Memory::default() }, 0);
        let mut cx = Cx::alone(&config, &mut memory, (1, 445));
        let mut t = Transfer::new(b"f", Direction::ToServer, &config);
        t.piece(0, b"ab", true, &LIMITS, &mut cx, &mut charged);
        t.piece(4, b"ef", true, &LIMITS, &mut cx, &mut charged);
        t.lost(2, 2);
        assert_eq!(t.files().at(0).map(|f| (f.gaps, f.size)), Some((true, 6)));
    }
}
