// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The sensor's count of itself: what was seen, made, let out and lost, and why. Feeds health events and metrics.
//!
//! The conservation law is kept here: every event produced is released or stands under a reason. Must never name an
//! address, and reasons are a bounded set given by the code, never text from the network.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use lagewarte_event::Class;

use crate::shadow::day::Ring;

/// All classes, in the order of their wire numbers.
pub const CLASSES: [Class; 7] =
    [Class::Unspecified, Class::Alert, Class::Health, Class::Flow, Class::Anomaly, Class::Protocol, Class::File];

/// Counters of one process. All are totals since its start.
#[derive(Debug, Default)]
pub struct Telemetry {
    produced: [AtomicU64; 7],
    released: [AtomicU64; 7],
    dropped: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    capture: Mutex<Capture>,
    release_log_errors: AtomicU64,
    shadow: Mutex<Option<(ShadowCounts, Ring)>>,
}

/// What the shadow mode counted, totals since the start. Goes to the metrics, never to health events.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ShadowCounts {
    /// Pairs of alerts, one of each side.
    pub matched: u64,
    /// Among them those whose partner came after the grace; one of them was counted as differing or not compared before.
    pub late: u64,
    /// Alerts without a partner: of ours, of theirs.
    pub differing: [u64; 2],
    /// Alerts that could not be compared.
    pub not_compared: [u64; 2],
    /// Whether theirs writes nothing.
    pub silent: bool,
}

/// What the packet side counted, as last reported.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Packets that the kernel saw for us, or that a file held.
    pub packets: u64,
    /// Packets that the kernel dropped.
    pub drops: u64,
    /// The `stats` object of the pipeline, as EVE has it; a JSON object.
    pub stats: Option<serde_json::Value>,
    /// Losses by stage and reason.
    pub dropped: BTreeMap<(&'static str, &'static str), u64>,
}

impl Telemetry {
    /// An event came to the door.
    pub fn produced(&self, class: Class) {
        self.produced[index(class)].fetch_add(1, Relaxed);
    }
    /// An event is in the spool.
    pub fn released(&self, class: Class) {
        self.released[index(class)].fetch_add(1, Relaxed);
    }
    /// Something was lost or withheld.
    pub fn dropped(&self, stage: &'static str, reason: &'static str) {
        *self.dropped.lock().unwrap_or_else(PoisonError::into_inner).entry((stage, reason)).or_default() += 1;
    }
    /// The release log could not be written.
    pub fn release_log_error(&self) {
        self.release_log_errors.fetch_add(1, Relaxed);
    }
    /// What the packet side counted so far; replaces the earlier report.
    pub fn set_capture(&self, capture: Capture) {
        *self.capture.lock().unwrap_or_else(PoisonError::into_inner) = capture;
    }

    /// What the shadow mode counted so far; replaces the earlier report.
    pub fn set_shadow(&self, counts: ShadowCounts, ring: Ring) {
        *self.shadow.lock().unwrap_or_else(PoisonError::into_inner) = Some((counts, ring));
    }

    /// What the shadow mode counted, where it runs.
    pub fn shadow(&self) -> Option<(ShadowCounts, Ring)> {
        self.shadow.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// What the packet side counted.
    pub fn capture(&self) -> Capture {
        self.capture.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// Events that came to the door, by class name; classes without any are left out.
    pub fn produced_by_class(&self) -> Vec<(&'static str, u64)> {
        by_class(&self.produced)
    }
    /// Events in the spool, by class name.
    pub fn released_by_class(&self) -> Vec<(&'static str, u64)> {
        by_class(&self.released)
    }
    /// Everything lost or withheld, by stage and reason, the packet side's losses among them.
    pub fn dropped_by_reason(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        let mut all = self.dropped.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (key, n) in self.capture().dropped {
            *all.entry(key).or_default() += n;
        }
        all
    }
    /// How often the release log could not be written.
    pub fn release_log_errors(&self) -> u64 {
        self.release_log_errors.load(Relaxed)
    }
}

fn by_class(counters: &[AtomicU64; 7]) -> Vec<(&'static str, u64)> {
    let all = CLASSES.iter().zip(counters).map(|(class, n)| (class.name(), n.load(Relaxed)));
    all.filter(|(_, n)| *n > 0).collect()
}

fn index(class: Class) -> usize {
    CLASSES.iter().position(|c| *c == class).unwrap_or(0) // every class stands in the list
}
