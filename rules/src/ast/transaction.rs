// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a rule asks of a transaction beside the bytes of its buffers: numbers, events, files.

use super::FileTest;

/// A test on a transaction that is not on a buffer's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionTest {
    /// A number, by the name that the application layer has for it; with several instances one that fits is enough.
    Number {
        /// Its name.
        field: &'static str,
        /// What it must be.
        test: Interval,
    },
    /// A number, one of several; or with `none` none of them.
    OneOf {
        /// Its name.
        field: &'static str,
        /// Which.
        any: Vec<u64>,
        /// Whether it must be none of them.
        none: bool,
    },
    /// A number of several: the one at a place, or all of them.
    Nth {
        /// Its name.
        field: &'static str,
        /// What it must be.
        test: Interval,
        /// Which.
        which: Which,
    },
    /// Ranges of numbers, first and last one behind the other: one of them meets what is asked for.
    Range {
        /// Their name.
        field: &'static str,
        /// What one of them must meet.
        test: Interval,
    },
    /// Bits of a number: those of the mask must be (or with `negated` must not be) just these.
    Bits {
        /// Its name.
        field: &'static str,
        /// Which bits are looked at.
        mask: u64,
        /// What they must be.
        value: u64,
        /// Whether they must be otherwise.
        negated: bool,
    },
    /// `app-layer-event:<protocol>.<name>`.
    Event {
        /// EVE's name of the protocol.
        protocol: &'static str,
        /// The event's name.
        name: String,
    },
    /// A hook: the rule's direction of the transaction has come to this moment ([`crate::hooks`]).
    Hook {
        /// Its name.
        name: &'static str,
        /// Whether a rule that asks for nothing else alerts each time that more has come.
        repeats: bool,
    },
    /// `ftpbounce`: an FTP command PORT names another address than the client's.
    Bounce,
    /// On a file of its; all of a rule's on one and the same.
    File(FileTest),
}

/// Which of several numbers must pass (user guide, "Multi-integers").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    /// All of them, and there is one at least.
    All,
    /// All of them, if there are any.
    AllOrAbsent,
    /// One of them, or there is none.
    OrAbsent,
    /// The one at this place; below zero counted from the end.
    At(i32),
}

/// A test on a number of up to 64 bits: inside (or with `!` outside) of a range, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    /// Smallest.
    pub from: u64,
    /// Largest; smaller than `from` where nothing is inside.
    pub to: u64,
    /// Whether it must be outside.
    pub negated: bool,
}

impl Interval {
    /// Whether `n` passes.
    pub const fn matches(self, n: u64) -> bool {
        (self.from <= n && n <= self.to) != self.negated
    }
}
