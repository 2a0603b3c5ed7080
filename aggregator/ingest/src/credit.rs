// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Credit: how much a sensor may send before something of it is durable. The contract is `Credit` in the `.proto`.
//!
//! A stream begins with a window of credit and gets back what becomes durable, so that whatever slows the store, the
//! journal or the admission slows the sensor, which keeps its events in its spool. The window shrinks as sensors connect:
//! together they shall not hold more than half of the memory that is there for all.
//!
//! Must never take a grant back, or grant less than the largest batch of one event: a sensor would wait for ever. Limits:
//! [`MIN_WINDOW_BYTES`] to [`WINDOW_BYTES`], [`WINDOW_EVENTS`]. Where thousands of sensors fill even the smallest window at
//! once, the permits of [`crate::session`] are the bound, and reading waits.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lagewarte_base::id::Epoch;
use lagewarte_event::{Credit, server_frame};

use crate::{Options, session::WINDOW_BYTES};

/// Smallest window of a stream. More than a quarter of itself (what a sensor gathers into a batch) plus the largest record
/// of a spool (512 KiB).
pub const MIN_WINDOW_BYTES: u64 = 1 << 20;
/// Events and gaps that a stream may have unacknowledged. Threat: small rows making the journal's segments long.
pub const WINDOW_EVENTS: u64 = 20_000;

/// The window of a stream while so many sensors are connected, bytes.
pub(crate) fn window(options: &Options, connected: usize) -> u64 {
    let share = options.total_bytes / 2 / connected.max(1);
    u64::try_from(share).unwrap_or(u64::MAX).clamp(MIN_WINDOW_BYTES, WINDOW_BYTES)
}

/// A total, as it is granted, spent or repaid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    bytes: u64,
    events: u64,
}

impl Amount {
    /// As the sensor is told.
    pub(crate) fn frame(self, epoch: Epoch) -> server_frame::Frame {
        server_frame::Frame::Credit(Credit {
            epoch: epoch.counter,
            nonce: epoch.nonce,
            bytes: self.bytes,
            events: self.events,
        })
    }
}

/// The credit of one epoch in one connection.
#[derive(Debug)]
pub(crate) struct Account(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    granted: Amount,
    spent: Amount,
    repaid: Amount,
    /// Last number and cost of each batch that is not yet durable.
    flight: VecDeque<(u64, Amount)>,
}

impl Account {
    /// With a first credit of this window.
    pub(crate) fn new(window: u64) -> Self {
        let granted = Amount { bytes: window, events: WINDOW_EVENTS };
        Self(Mutex::new(Books { granted, ..Books::default() }))
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is granted, in all: bytes and events.
    pub(crate) fn granted(&self) -> (u64, u64) {
        let granted = self.books().granted;
        (granted.bytes, granted.events)
    }

    /// A batch came, whose last number is `last`.
    ///
    /// # Errors
    /// `beyond-credit`: the word for the protocol error.
    pub(crate) fn spend(&self, last: u64, bytes: u64, events: u64) -> Result<(), &'static str> {
        let mut books = self.books();
        books.spent.bytes += bytes; // bounded by the grant, which is checked below
        books.spent.events += events;
        if books.spent.bytes > books.granted.bytes || books.spent.events > books.granted.events {
            return Err("beyond-credit");
        }
        books.flight.push_back((last, Amount { bytes, events }));
        Ok(())
    }

    /// Everything up to `durable` is durable: what is granted now, where that is more than before.
    pub(crate) fn repay(&self, durable: u64, window: u64) -> Option<Amount> {
        let mut books = self.books();
        while let Some((_, cost)) = books.flight.pop_front_if(|(last, _)| *last <= durable) {
            books.repaid.bytes += cost.bytes;
            books.repaid.events += cost.events;
        }
        let granted = Amount {
            bytes: books.granted.bytes.max(books.repaid.bytes + window),
            events: books.granted.events.max(books.repaid.events + WINDOW_EVENTS),
        };
        let more = granted != books.granted;
        books.granted = granted;
        more.then_some(granted)
    }
}

#[cfg(test)]
mod tests {
    use lagewarte_event::MAX_BATCH_EVENTS;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_window_shrinks_with_the_fleet_and_never_below_the_largest_event() {
        let options = Options::new(std::path::PathBuf::new());
        assert_eq!(window(&options, 0), WINDOW_BYTES);
        assert_eq!(window(&options, 32), WINDOW_BYTES);
        assert_eq!(window(&options, 64), 2 << 20);
        assert_eq!(window(&options, 4_200), MIN_WINDOW_BYTES);
        assert!(WINDOW_EVENTS >= MAX_BATCH_EVENTS as u64);
    }

    #[test]
    fn beyond_credit_is_noticed_at_the_byte_and_at_the_event() {
        let a = Account::new(1000);
        assert_eq!(a.spend(1, 1000, 1), Ok(()));
        assert_eq!(a.spend(2, 1, 1), Err("beyond-credit"));
        let a = Account::new(1000);
        assert_eq!(a.spend(1, 1, WINDOW_EVENTS), Ok(()));
        assert_eq!(a.spend(2, 0, 1), Err("beyond-credit"));
    }

    #[test]
    fn credit_comes_back_with_durability_and_follows_the_window() {
        let a = Account::new(1000);
        a.spend(10, 600, 10).unwrap();
        a.spend(20, 400, 10).unwrap();
        assert_eq!(a.repay(9, 1000), None, "half of a batch is none");
        assert_eq!(a.repay(10, 1000), Some(Amount { bytes: 1600, events: WINDOW_EVENTS + 10 }));
        // The fleet has grown: what is repaid is kept until the smaller window is reached.
        assert_eq!(a.repay(20, 600).map(|g| g.bytes), Some(1600));
        a.spend(30, 600, 1).unwrap();
        assert_eq!(a.repay(30, 600).map(|g| g.bytes), Some(2200));
    }

    proptest! {
        #[test]
        fn what_is_held_is_never_more_than_the_largest_window(steps in proptest::collection::vec((1u64..500, 500u64..2000, any::<bool>()), 1..200)) {
            let a = Account::new(2000);
            let (mut spent, mut durable, mut last) = (0, 0, 0);
            for (bytes, window, repay) in steps {
                if spent + bytes <= a.granted().0 {
                    last += 1;
                    spent += bytes;
                    prop_assert_eq!(a.spend(last, bytes, 1), Ok(()));
                } else if repay {
                    durable = last;
                }
                let before = a.granted();
                a.repay(durable, window);
                prop_assert!(a.granted() >= before);
                let held: u64 = a.books().flight.iter().map(|(_, c)| c.bytes).sum();
                prop_assert!(held <= 2000);
            }
        }
    }
}
