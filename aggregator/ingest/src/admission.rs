// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Admission by constituent: a budget of events and bytes a second for each, so that one that floods starves no other.
//!
//! A bucket of [`BURST`] is filled at the configured rate; a batch is let in while there is anything in it, and may leave
//! it in debt. Own sensors wait, and their spools keep; a foreign sender is told when to come again. Nothing is dropped
//! here. Must never keep a bucket for a name that a sender made up. Limits: one bucket for each constituent of the
//! register, and one for all other names. Each aggregator has budgets of its own.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What a bucket holds, in seconds of its rate: a sensor that was offline may bring what it has.
pub const BURST: u32 = 2;

/// A constituent's budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Events a second. Default 20,000: a fifth of what two cores insert.
    pub events: u32,
    /// Bytes a second. Default 32 MiB.
    pub bytes: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { events: 20_000, bytes: 32 << 20 }
    }
}

#[derive(Debug)]
struct Bucket {
    events: f64,
    bytes: f64,
    at: Instant,
}

/// The buckets.
#[derive(Debug)]
pub(crate) struct Admission {
    budget: Budget,
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl Admission {
    pub(crate) fn new(budget: Budget) -> Self {
        Self { budget, buckets: Mutex::default() }
    }

    /// Takes a batch's events and bytes from a constituent's bucket. None: let in; else how long until it can be.
    pub(crate) fn take(&self, constituent: &str, events: u64, bytes: u64) -> Option<Duration> {
        let (rate_events, rate_bytes) = (f64::from(self.budget.events), f64::from(self.budget.bytes));
        let burst = f64::from(BURST);
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(constituent.to_owned()).or_insert(Bucket {
            events: rate_events * burst,
            bytes: rate_bytes * burst,
            at: now,
        });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.at = now;
        bucket.events = (bucket.events + passed * rate_events).min(rate_events * burst);
        bucket.bytes = (bucket.bytes + passed * rate_bytes).min(rate_bytes * burst);
        if bucket.events > 0.0 && bucket.bytes > 0.0 {
            bucket.events -= events as f64;
            bucket.bytes -= bytes as f64;
            return None;
        }
        let seconds = (-bucket.events / rate_events).max(-bucket.bytes / rate_bytes).max(0.0);
        Some(Duration::from_secs_f64(seconds) + Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_floods_waits_at_its_rate_and_nobody_else_does() {
        let admission = Admission::new(Budget { events: 100, bytes: 1 << 20 });
        let begun = Instant::now();
        let mut taken = 0;
        while begun.elapsed() < Duration::from_secs(60) {
            match admission.take("flooder", 50, 1) {
                None => taken += 50,
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
        assert!(admission.take("quiet", 1, 1).is_none(), "nobody else's bucket is touched");
        assert!((6_000..=6_300).contains(&taken), "60 s at 100 and a burst of 200, at most one batch more: {taken}");
        assert!(admission.take("another", 10_000, 1).is_none(), "a batch larger than the bucket is let in");
        assert!(admission.take("another", 1, 1).is_some_and(|w| w > Duration::from_secs(90)), "and paid for");
        assert!(admission.take("bytes", 1, 10 << 20).is_none());
        assert!(admission.take("bytes", 1, 1).is_some_and(|w| w > Duration::from_secs(7)), "by bytes as well");
    }
}
