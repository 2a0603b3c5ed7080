// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Transactions: what all protocols have in common of them, and the bounded list that a flow holds.
//!
//! Must never hold more than twice its cap: where too many are open the oldest ends, which its protocol tells by an event,
//! and is written with the next packet. Of more than the cap that one packet ends so, the oldest go unwritten. Marks of
//! detection are numbers that this crate does not understand.

use std::collections::VecDeque;

use lagewarte_flow::{Direction, FlowBits};

use crate::{file::store::Keep, protocol::Transaction};

/// The progress of a direction in which nothing follows.
pub const DONE: u8 = u8::MAX;

/// The frame's part of a transaction.
#[derive(Debug, Default)]
pub struct TxCore {
    /// Number in its flow, from 0: EVE `tx_id`.
    pub id: u64,
    /// How far each direction is, by [`Direction::index`]; the protocol's own steps, at last [`DONE`].
    progress: [u8; 2],
    /// Counts changes of a direction, so that detection looks again only where there is something new.
    revision: [u32; 2],
    /// Bytes came, by direction, since detection was here last, that need not be looked at: rules at a hook count them.
    more: [bool; 2],
    /// Set where it consists of one direction only: in the other one nothing is inspected.
    pub only: Option<Direction>,
    /// It stands beside the others of its flow, and is not counted with them.
    beside: bool,
    /// What is odd about it.
    pub events: Events,
    /// Whether its event was written.
    pub logged: bool,
    /// Which of its events were written as anomalies.
    pub events_logged: Events,
    /// What detection has done with it, by [`Direction::index`].
    pub marks: [Marks; 2],
    /// Rules on both of its directions that have alerted, each by the engine and its number there: they alert once.
    pub fired: Vec<(u64, u32)>,
    /// Marks that rules set on it (`xbits` with `track tx`).
    pub bits: FlowBits,
    /// Whether one of its files has ended and waits for a packet that goes its way, to be written.
    pub(crate) file_waits: bool,
    /// Which of its files are stored, as rules say.
    pub keep: Keep,
    /// Bytes charged for it.
    pub charged: u64,
}

/// What detection remembers of one direction of a transaction.
#[derive(Debug, Default)]
pub struct Marks {
    /// Which engine the numbers below belong to.
    pub engine: u64,
    /// The revision looked at last, plus one; 0 where it was never looked at.
    pub seen: u32,
    /// Buffers that the prefilter has scanned, by the engine's numbers.
    pub scanned: u128,
    /// Rules and how far they are.
    pub rules: Vec<(u32, u8)>,
    /// Nothing more can match.
    pub done: bool,
}

impl TxCore {
    /// How far a direction is.
    pub const fn progress(&self, d: Direction) -> u8 {
        self.progress[d.index()] // an index of two
    }
    /// Moves a direction on; never back.
    pub const fn reach(&mut self, d: Direction, progress: u8) {
        let i = d.index();
        if progress > self.progress[i] {
            self.progress[i] = progress;
            self.revision[i] = self.revision[i].wrapping_add(1);
        }
    }
    /// Says that buffers of a direction hold more than before, or that an event was raised.
    pub const fn touch(&mut self, d: Direction) {
        self.revision[d.index()] = self.revision[d.index()].wrapping_add(1);
    }
    /// Says that bytes came that go this way, whether buffers hold more or not.
    pub const fn came(&mut self, d: Direction) {
        self.more[d.index()] = true; // an index of two
    }
    /// Whether any came since this was asked last.
    pub const fn take_more(&mut self, d: Direction) -> bool {
        std::mem::replace(&mut self.more[d.index()], false)
    }
    /// Nothing follows in either direction.
    pub const fn finish(&mut self) {
        self.reach(Direction::ToServer, DONE);
        self.reach(Direction::ToClient, DONE);
    }
    /// Whether nothing follows in either direction.
    pub const fn finished(&self) -> bool {
        self.progress[0] == DONE && self.progress[1] == DONE
    }
    /// Notes an event; it counts for both directions.
    pub const fn raise(&mut self, event: u8) {
        self.events.set(event);
        self.touch(Direction::ToServer);
        self.touch(Direction::ToClient);
    }
    /// The revision of a direction.
    pub const fn revision(&self, d: Direction) -> u32 {
        self.revision[d.index()]
    }
    /// Whether detection has looked at a direction since it last changed.
    pub fn looked(&self, d: Direction) -> bool {
        let i = d.index();
        self.marks[i].seen == self.revision[i].wrapping_add(1)
    }
    /// Whether detection is done with a direction.
    pub fn inspected(&self, d: Direction) -> bool {
        self.marks[d.index()].done || self.only.is_some_and(|o| o != d)
    }
}

/// A set of a protocol's events, by their numbers; at most 128.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u128);

impl Events {
    /// Adds one.
    pub const fn set(&mut self, event: u8) {
        self.0 |= 1 << (event & 127);
    }
    /// Whether it is there.
    pub const fn has(self, event: u8) -> bool {
        self.0 >> (event & 127) & 1 == 1
    }
    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// Those there are, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..128).filter(move |e| self.has(*e))
    }
}

/// The transactions of a flow, oldest first.
#[derive(Debug)]
pub struct Txs<T> {
    list: VecDeque<T>,
    next: u64,
    most: usize,
    /// How many stand beside the others.
    beside: usize,
    /// Transactions that were ended because there were too many.
    pub crowded: u64,
    /// Bytes charged for transactions that had to go uninspected.
    lost: u64,
}

impl<T: Transaction> Txs<T> {
    /// Holding at most `most` that are not finished.
    pub const fn new(most: usize) -> Self {
        Self { list: VecDeque::new(), next: 0, most, beside: 0, crowded: 0, lost: 0 }
    }
    /// Says anew how many may be open.
    pub(crate) const fn limit(&mut self, most: usize) {
        self.most = most;
    }
    /// Adds one, with the next number. Where there are too many, the oldest that is open ends.
    pub fn push(&mut self, tx: T) -> &mut T {
        let counted = self.list.len() - self.beside;
        if counted >= self.most {
            let mut open = self.list.iter_mut().filter(|t| !t.core().finished());
            if let Some(oldest) = open.next()
                && open.count() + 1 >= self.most
            {
                oldest.core_mut().finish();
                self.crowded += 1;
            }
        }
        if counted >= self.most.saturating_mul(2) {
            self.forget(|t| t.finished() && !t.beside);
        }
        self.add(tx)
    }
    /// Adds one that is finished and stands beside the others: it ends none of them, and they do not make it go. Of these
    /// `most` are held.
    pub(crate) fn push_beside(&mut self, mut tx: T, most: usize) {
        tx.core_mut().finish();
        tx.core_mut().beside = true;
        if self.beside >= most {
            self.forget(|t| t.beside);
        }
        self.beside += 1;
        self.add(tx);
    }
    // Finished but neither written nor inspected, since no packet came that way: the oldest goes all the same.
    fn forget(&mut self, which: impl Fn(&TxCore) -> bool) {
        let place = self.list.iter().position(|t| which(t.core()));
        if let Some(tx) = place.and_then(|p| self.list.remove(p)) {
            self.lost += tx.core().charged;
            self.beside -= usize::from(tx.core().beside);
        }
    }
    fn add(&mut self, mut tx: T) -> &mut T {
        tx.core_mut().id = self.next;
        self.next += 1;
        let at = self.list.len();
        self.list.push_back(tx);
        &mut self.list[at] // pushed above
    }
    /// How many there were.
    pub const fn total(&self) -> u64 {
        self.next
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
    /// By place in the list.
    pub fn at(&self, place: usize) -> Option<&T> {
        self.list.get(place)
    }
    /// By place in the list, to be changed.
    pub fn at_mut(&mut self, place: usize) -> Option<&mut T> {
        self.list.get_mut(place)
    }
    /// By number.
    pub fn by_id(&mut self, id: u64) -> Option<&mut T> {
        let place = self.list.binary_search_by_key(&id, |t| t.core().id).ok()?;
        self.list.get_mut(place)
    }
    /// The newest.
    pub fn last(&mut self) -> Option<&mut T> {
        self.list.back_mut()
    }
    /// All of them, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.list.iter()
    }
    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.list.iter_mut()
    }
    /// Drops those that nothing waits for; gives the bytes that were charged for them. `inspecting`: whether detection
    /// looks at them.
    pub(crate) fn clean(&mut self, inspecting: bool) -> u64 {
        let over = |t: &T| {
            let c = t.core();
            let inspected = c.inspected(Direction::ToServer) && c.inspected(Direction::ToClient);
            c.finished() && c.logged && !c.file_waits && (inspected || !inspecting)
        };
        let mut freed = std::mem::take(&mut self.lost);
        if self.list.iter().any(over) {
            self.list.retain(|t| {
                let gone = over(t);
                freed += if gone { t.core().charged } else { 0 };
                self.beside -= usize::from(gone && t.core().beside);
                !gone
            });
        }
        freed
    }
    /// Bytes charged for all that are held.
    pub fn charged(&self) -> u64 {
        self.lost + self.list.iter().map(|t| t.core().charged).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use Direction::{ToClient, ToServer};

    #[test]
    fn a_direction_goes_forward_only_and_detection_looks_where_there_is_news() {
        let mut c = TxCore::default();
        let look = |c: &mut TxCore, d: Direction| c.marks[d.index()].seen = c.revision(d) + 1;
        assert!(!c.looked(ToServer), "never looked at");
        look(&mut c, ToServer);
        look(&mut c, ToClient);
        c.reach(ToServer, 3);
        assert!(!c.looked(ToServer) && c.looked(ToClient));
        look(&mut c, ToServer);
        c.reach(ToServer, 3);
        c.reach(ToServer, 2);
        assert!(c.progress(ToServer) == 3 && c.looked(ToServer), "nothing new");
        c.touch(ToClient);
        assert!(c.looked(ToServer) && !c.looked(ToClient));
        look(&mut c, ToClient);
        assert!(c.events.is_empty());
        c.raise(5); // an event is both directions' matter
        assert!(!c.looked(ToServer) && !c.looked(ToClient) && c.events.has(5) && !c.events.is_empty());
        assert!(!c.finished());
        c.finish();
        assert!(c.finished() && c.progress(ToClient) == DONE);
    }

    #[test]
    fn bytes_that_came_are_told_once_and_one_way() {
        let mut c = TxCore::default();
        c.came(ToServer);
        c.came(ToServer);
        assert_eq!((c.take_more(ToClient), c.take_more(ToServer), c.take_more(ToServer)), (false, true, false));
    }

    #[test]
    fn a_direction_that_the_transaction_does_not_have_is_inspected() {
        let mut c = TxCore { only: Some(ToServer), ..TxCore::default() };
        assert!(c.inspected(ToClient) && !c.inspected(ToServer));
        c.marks[0].done = true;
        assert!(c.inspected(ToServer));
    }
}
