// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Flows that another flow announced: FTP's data connections.
//!
//! A flow that comes to the announced listener from the announced peer is taken for it, once. Both have the address pair of
//! the flow that announced them, and so come to its worker: the result does not depend on how many there are, but at the
//! cap. Must never hold more than [`MAX_EXPECTED`], nor longer than [`EXPIRES_S`] of packet time.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
};

use lagewarte_base::time::Timestamp;
use lagewarte_flow::Flow;

/// Most announced flows of a worker; the oldest makes room. Threat: a client that announces and never comes.
pub const MAX_EXPECTED: usize = 4096;
/// Seconds after which an announcement is forgotten.
pub const EXPIRES_S: i64 = 60;
/// Longest name that is kept.
const MAX_NAME: usize = 1024;

/// What was announced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// The command.
    pub command: Vec<u8>,
    /// What it names.
    pub name: Vec<u8>,
}

/// A flow that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The client of the flow that announces it listens; else its server.
    pub to_client: bool,
    /// On this port.
    pub port: u16,
    /// What it will carry.
    pub transfer: Transfer,
}

/// Who listens where, for whom.
type Key = (IpAddr, u16, IpAddr);

/// An announcement: when, its number, by which flow.
#[derive(Debug)]
struct Entry {
    since: Timestamp,
    number: u64,
    parent: i64,
    transfer: Transfer,
}

/// The table of one worker.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    table: HashMap<Key, Entry>,
    order: VecDeque<(u64, Key)>,
    next: u64,
}

impl Expected {
    /// Notes what a flow announces.
    pub(crate) fn add(&mut self, by: &Flow, a: Announced, now: Timestamp) {
        let (listener, peer) = if a.to_client { (by.client, by.server) } else { (by.server, by.client) };
        self.insert((listener, a.port, peer), by.id, a.transfer, now);
    }

    fn insert(&mut self, key: Key, parent: i64, mut transfer: Transfer, since: Timestamp) {
        transfer.name.truncate(MAX_NAME);
        self.next += 1;
        self.table.insert(key, Entry { since, number: self.next, parent, transfer });
        self.order.push_back((self.next, key));
        // The order may hold what was announced anew since: at most as much again.
        while self.table.len() > MAX_EXPECTED || self.order.len() > 2 * MAX_EXPECTED {
            let Some((number, key)) = self.order.pop_front() else { return };
            if self.table.get(&key).is_some_and(|e| e.number == number) {
                self.table.remove(&key);
            }
        }
    }

    /// Takes the announcement of a flow, where there is one, and says which flow announced it.
    pub(crate) fn take(&mut self, f: &Flow, now: Timestamp) -> Option<(Transfer, i64)> {
        if self.table.is_empty() {
            return None;
        }
        // A flow that was taken up in its middle may have its sides exchanged.
        let found = [(f.server, f.server_port, f.client), (f.client, f.client_port, f.server)]
            .iter()
            .find_map(|key| self.table.remove(key));
        found.filter(|e| now.since(e.since) <= EXPIRES_S * 1_000_000).map(|e| (e.transfer, e.parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    /// Threat: announcements that nobody follows.
    #[test]
    fn the_table_is_bounded_and_the_oldest_makes_room() {
        let mut e = Expected::default();
        for n in 0..20_000u32 {
            e.insert((ip(n % 9000), 5, ip(1)), 1, Transfer::default(), Timestamp::default());
            assert!(e.table.len() <= MAX_EXPECTED && e.order.len() <= 2 * MAX_EXPECTED);
        }
        assert!(!e.table.contains_key(&(ip(2000), 5, ip(1))) && e.table.contains_key(&(ip(1999), 5, ip(1))));
    }
}
