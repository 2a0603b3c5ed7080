// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What each rule costs, where that was asked for ([`crate::Output::profile`]): how often it was verified, how long that
//! took, how often it matched.
//!
//! Must never decide anything: the clock is read for the figures alone.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use crate::engine::Engine;

/// Counts of one entry.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    checks: AtomicU64,
    nanos: AtomicU64,
    matches: AtomicU64,
}

/// What one rule cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Its group.
    pub gid: u32,
    /// Its number.
    pub sid: u32,
    /// How often it was verified: its prefilter found something, or it has none.
    pub checks: u64,
    /// How long that took, nanoseconds.
    pub nanos: u64,
    /// How often it matched.
    pub matches: u64,
}

/// One entry being verified.
pub(crate) struct Stopwatch<'e> {
    running: Option<(&'e Counts, Instant)>,
}

impl Engine {
    /// Starts the watch for an entry; nothing where profiles are not wanted.
    #[expect(clippy::disallowed_methods, reason = "figures of a profile, nothing is decided by them")]
    pub(crate) fn watch(&self, entry: u32) -> Stopwatch<'_> {
        let counts = self.profile.as_deref().and_then(|all| all.get(entry as usize));
        Stopwatch { running: counts.map(|c| (c, Instant::now())) }
    }

    /// What each rule cost that was verified at least once.
    pub fn profile(&self) -> Vec<Cost> {
        let mut by_rule: BTreeMap<(u32, u32), Cost> = BTreeMap::new();
        for (entry, counts) in self.entries.iter().zip(self.profile.as_deref().unwrap_or_default()) {
            let (gid, sid) = (entry.info.gid, entry.info.sid);
            let cost = by_rule.entry((gid, sid)).or_insert(Cost { gid, sid, ..Cost::default() });
            cost.checks += counts.checks.load(Ordering::Relaxed);
            cost.nanos += counts.nanos.load(Ordering::Relaxed);
            cost.matches += counts.matches.load(Ordering::Relaxed);
        }
        by_rule.into_values().filter(|c| c.checks > 0).collect()
    }
}

impl Stopwatch<'_> {
    /// Stops it.
    pub(crate) fn stop(self, matched: bool) {
        let Some((counts, begun)) = self.running else { return };
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        counts.checks.fetch_add(1, Ordering::Relaxed);
        counts.nanos.fetch_add(nanos, Ordering::Relaxed);
        counts.matches.fetch_add(u64::from(matched), Ordering::Relaxed);
    }
}
