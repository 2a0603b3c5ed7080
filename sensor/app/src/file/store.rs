// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The door through which files go that are to be kept: bytes go out as they come, and nothing of them is held here.
//!
//! Where they go to is the binary's matter ([`Store`]). Whether a file is kept is known at its end at the latest: by what
//! rules said of it, of its transaction or of its flow. Must never decide that something leaves the sensor.

use std::fmt::Debug;

use lagewarte_flow::Direction;

/// A place for files.
pub trait Store: Debug + Send + Sync {
    /// A file begins. None where there is no room for one more.
    fn begin(&self) -> Option<Box<dyn Storing>>;
}

/// A file on its way into the store. Dropped before it was kept it leaves nothing behind.
pub trait Storing: Debug + Send + Sync {
    /// Its next bytes. Where they cannot be taken, the file will not be kept.
    fn write(&mut self, bytes: &[u8]);
    /// It has ended and is kept, under this name; its number, or None where it could not be kept.
    fn keep(self: Box<Self>, sha256: &[u8; 32]) -> Option<u64>;
}

/// Which files of a transaction or a flow are kept, by [`Direction::index`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep([bool; 2]);

impl Keep {
    /// Those that go this way.
    pub const fn add(&mut self, d: Direction) {
        self.0[d.index()] = true; // an index of two
    }
    /// Those of both.
    pub const fn join(&mut self, other: Self) {
        self.0 = [self.0[0] || other.0[0], self.0[1] || other.0[1]]; // two each
    }
    /// Whether those that go this way are kept.
    pub const fn has(self, d: Direction) -> bool {
        self.0[d.index()]
    }
}
