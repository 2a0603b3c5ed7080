// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Whose turn it is: a worker that is to read or change what crosses flows waits until every packet before its own has been
//! looked at by whichever worker has it, so that any number of workers does what one would.
//!
//! Each worker says which packet it is at; that is one store a packet. Waiting is for the few packets on which a rule has
//! matched in all else and asks for a mark of `xbits` or the like. The worker with the earliest packet never waits, so that
//! there is no deadlock. On a live line patience has an end ([`MAX_NAPS`]). Must never guard memory: tables have their locks.

use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Naps of 50 µs after which a worker of a live line goes on out of turn, once for a batch; counted. Threat: one worker
/// kept busy by one large flow, and all others waiting for it while their queues overflow.
pub const MAX_NAPS: u32 = 400;

const NAP: Duration = Duration::from_micros(50);
/// Looks before the first nap.
const SPINS: u32 = 256;

// A position: the packet's number, its place among the packets of one frame, and behind the packets what flows' ends bring.
const RANK_SHIFT: u32 = 10;
const INDEX_SHIFT: u32 = 20;
const SWEEP_RANK: u64 = 0x3ff;

/// Where all workers are.
#[derive(Debug)]
pub struct Turns {
    at: Box<[Place]>,
    live: bool,
}

// A cache line each: they are written for every packet.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Place(AtomicU64);

/// One worker's place.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    worker: usize,
    /// Lost patience in this batch.
    hasty: Cell<bool>,
}

impl Turns {
    /// For so many workers; `live` ends patience.
    pub fn new(workers: usize, live: bool) -> Arc<Self> {
        Arc::new(Self { at: (0..workers).map(|_| Place::default()).collect(), live })
    }

    /// The place of a worker, counted from 0. None for the only one there is: it has nobody to wait for.
    pub fn of(self: &Arc<Self>, worker: usize) -> Option<Turn> {
        (self.at.len() > 1).then(|| Turn { turns: Arc::clone(self), worker, hasty: Cell::new(false) })
    }
}

impl Turn {
    fn put(&self, position: u64) {
        if let Some(place) = self.turns.at.get(self.worker) {
            place.0.store(position, Ordering::Release);
        }
    }

    /// The worker begins with a packet: its frame's number and its rank among the packets of the frame.
    pub fn begin(&self, index: u64, rank: u8) {
        self.put(index << INDEX_SHIFT | u64::from(rank) << RANK_SHIFT);
    }

    /// The worker begins with the flows that ended up to packet `index`: one worker after the other.
    pub fn sweep(&self, index: u64) {
        self.put(index << INDEX_SHIFT | SWEEP_RANK << RANK_SHIFT | (self.worker as u64).min(0x3ff));
    }

    /// The worker is done with everything up to packet `index`.
    pub fn end(&self, index: u64) {
        self.put(index.saturating_add(1) << INDEX_SHIFT);
        self.hasty.set(false);
    }

    /// Waits for all that comes before. False where it gave up.
    pub(crate) fn wait(&self) -> bool {
        let Some(mine) = self.turns.at.get(self.worker).map(|p| p.0.load(Ordering::Relaxed)) else { return true };
        if self.hasty.get() {
            return false;
        }
        let mut looks = 0u32;
        for (n, other) in self.turns.at.iter().enumerate() {
            while n != self.worker && other.0.load(Ordering::Acquire) < mine {
                looks = looks.saturating_add(1);
                if looks < SPINS / 4 {
                    std::hint::spin_loop();
                } else if looks < SPINS {
                    std::thread::yield_now();
                } else if self.turns.live && looks >= SPINS + MAX_NAPS {
                    self.hasty.set(true);
                    return false;
                } else {
                    std::thread::sleep(NAP);
                }
            }
        }
        true
    }
}

impl Drop for Turn {
    /// Nobody waits for a worker that has ended, however it did.
    fn drop(&mut self) {
        self.put(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_take_turns_whoever_has_them() {
        let turns = Turns::new(3, false);
        let done = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let (turn, done) = (turns.of(worker).expect("several"), &done);
                scope.spawn(move || {
                    // Every frame has a packet in a packet: the inner one is another worker's, and comes first.
                    for index in 1..=200u64 {
                        for rank in [254u8, 255] {
                            if (index + u64::from(rank)) % 3 == worker as u64 {
                                turn.begin(index, rank);
                                assert!(turn.wait());
                                done.lock().expect("whole").push((index, rank));
                            }
                        }
                    }
                    turn.sweep(200);
                    assert!(turn.wait());
                    done.lock().expect("whole").push((201, worker as u8));
                    turn.end(200);
                });
            }
        });
        let done = done.into_inner().expect("whole");
        assert_eq!(done.len(), 403);
        assert!(done.is_sorted(), "{done:?}");
    }

    #[test]
    fn a_live_line_loses_patience_once_for_a_batch_and_an_ended_worker_holds_nobody_up() {
        let turns = Turns::new(2, true);
        let (a, b) = (turns.of(0).expect("two"), turns.of(1).expect("two"));
        a.begin(1, 255);
        b.begin(2, 255);
        assert!(!b.wait() && !b.wait());
        b.end(2);
        b.begin(3, 255);
        drop(a);
        assert!(b.wait());
        assert!(Turns::new(1, true).of(0).is_none());
    }
}
