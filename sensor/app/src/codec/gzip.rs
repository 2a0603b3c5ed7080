// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The header of a gzip member (RFC 1952), skipped byte by byte wherever it is cut.
//!
//! Must never keep bytes of it. Reserved flags are ignored as browsers ignore them.

/// Where in the header the next byte belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    at: u8,
    flags: u8,
    part: Part,
    extra: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Fixed,
    ExtraLength,
    Extra,
    Name,
    Comment,
    Checksum,
    Done,
}

const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;

impl Header {
    pub(super) const fn new() -> Self {
        Self { at: 0, flags: 0, part: Part::Fixed, extra: 0 }
    }

    /// Skips what of `data` belongs to the header. Ok(Some(n)): the member's deflate data begins at n. Ok(None): the
    /// header goes on. Err: this is no gzip.
    pub(super) fn skip(&mut self, data: &[u8]) -> Result<Option<usize>, ()> {
        for (i, &b) in data.iter().enumerate() {
            self.settle();
            if self.part == Part::Done {
                return Ok(Some(i));
            }
            match self.part {
                Part::Fixed => {
                    match (self.at, b) {
                        (0, 0x1f) | (1, 0x8b) | (2, 8) | (4.., _) => {}
                        (3, _) => self.flags = b,
                        _ => return Err(()),
                    }
                    self.at += 1;
                    if self.at == 10 {
                        self.enter(Part::ExtraLength);
                    }
                }
                Part::ExtraLength => {
                    self.extra = (self.extra >> 8) | (u16::from(b) << 8); // little end first
                    self.at += 1;
                    if self.at == 2 {
                        self.enter(Part::Extra);
                    }
                }
                Part::Extra => self.extra -= 1, // invariant: settle() leaves this part at 0
                Part::Name if b == 0 => self.enter(Part::Comment),
                Part::Comment if b == 0 => self.enter(Part::Checksum),
                Part::Name | Part::Comment | Part::Done => {}
                Part::Checksum => {
                    self.at += 1;
                    if self.at == 2 {
                        self.enter(Part::Done);
                    }
                }
            }
        }
        self.settle();
        Ok((self.part == Part::Done).then_some(data.len()))
    }

    fn enter(&mut self, part: Part) {
        self.part = part;
        self.at = 0;
    }
    // Leaves parts that the flags say are absent, or that are finished.
    fn settle(&mut self) {
        loop {
            match self.part {
                Part::ExtraLength if self.flags & FEXTRA == 0 => self.enter(Part::Name),
                Part::Extra if self.extra == 0 => self.enter(Part::Name),
                Part::Name if self.flags & FNAME == 0 => self.enter(Part::Comment),
                Part::Comment if self.flags & FCOMMENT == 0 => self.enter(Part::Checksum),
                Part::Checksum if self.flags & FHCRC == 0 => self.enter(Part::Done),
                _ => return,
            }
        }
    }
}
