// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The four states of a spool, and the bytes that spools share.
//!
//! ```text
//!            ≥ 50 %              ≥ 80 %, or the disk fails
//!  normal ───────────▶ warning ─────────────────────────────▶ full
//!    ▲  ▲                 │                                   │  ▲
//!    │  └─────────────────┘                < 75 %, and the    │  │ ≥ 80 %, or
//!    │        < 40 %                       disk takes writes  ▼  │ the disk fails
//!    └──────────────────────────────────────────────────── recovering
//!                            < 40 %
//! ```
//! From full below 40 % it goes on to normal at once; normal goes to full at once where the disk fails. Between two
//! thresholds a state stays, so that a line that is just fast enough does not make it flicker.
//!
//! Must never decide what is taken or refused: that is the quota by priority alone. The state says how it looks.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::Inner;

/// How full the spool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The line keeps up.
    #[default]
    Normal,
    /// Half of the quota is used: the line is down or too slow.
    Warning,
    /// Was full, takes everything again, and still holds much: what was refused meanwhile is a gap.
    Recovering,
    /// Something is refused, or nearly so: the quota of bulk is used up, or the disk cannot be written.
    Full,
}

impl State {
    /// All, in the order of their severity.
    pub const ALL: [Self; 4] = [Self::Normal, Self::Warning, Self::Recovering, Self::Full];

    /// The word in stats events and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Warning => "warning",
            Self::Full => "full",
            Self::Recovering => "recovering",
        }
    }

    /// The state that follows, at `used` of `quota` bytes.
    pub(crate) fn next(self, used: u64, quota: u64, disk_failing: bool) -> Self {
        let at = |percent: u64| used >= quota / 100 * percent;
        match self {
            _ if disk_failing || at(80) => Self::Full,
            Self::Full if at(75) => Self::Full,
            Self::Full | Self::Recovering if at(40) => Self::Recovering,
            Self::Normal if at(50) => Self::Warning,
            Self::Warning if at(40) => Self::Warning,
            _ => Self::Normal,
        }
    }
}

/// The bytes that several spools use of one quota, and which spools these are: they share a disk as well.
#[derive(Clone, Default)]
pub struct Budget {
    used: Arc<AtomicU64>,
    sharers: Arc<Mutex<Vec<Weak<Inner>>>>,
}

impl Budget {
    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }
    pub(crate) fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Relaxed);
    }
    pub(crate) fn free(&self, bytes: u64) {
        // Each spool gives back what it took, never more.
        self.used.fetch_sub(bytes, Relaxed);
    }
    /// One more spool that uses it.
    pub(crate) fn join(&self, spool: &Arc<Inner>) {
        let mut sharers = self.sharers.lock().unwrap_or_else(PoisonError::into_inner);
        sharers.retain(|s| s.strong_count() > 0);
        sharers.push(Arc::downgrade(spool));
    }
    /// The spools that use it.
    pub(crate) fn sharers(&self) -> Vec<Arc<Inner>> {
        self.sharers.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("used", &self.used()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arrow_of_the_drawing_and_no_other() {
        use State::{Full, Normal, Recovering, Warning};
        // Used percent, whether the disk fails; the state behind each, beginning at normal.
        let walks: &[&[(u64, bool, State)]] = &[
            &[
                (49, false, Normal),
                (50, false, Warning),
                (49, false, Warning),
                (40, false, Warning),
                (39, false, Normal),
            ],
            &[(79, false, Warning), (80, false, Full), (79, false, Full), (75, false, Full), (74, false, Recovering)],
            &[(80, false, Full), (74, false, Recovering), (79, false, Recovering), (80, false, Full)],
            &[
                (80, false, Full),
                (60, false, Recovering),
                (40, false, Recovering),
                (39, false, Normal),
                (50, false, Warning),
            ],
            &[(80, false, Full), (39, false, Normal)],
            &[(0, true, Full), (0, true, Full), (0, false, Normal)],
            &[(60, false, Warning), (60, true, Full), (60, false, Recovering), (60, true, Full)],
            &[(100, false, Full), (120, false, Full)],
        ];
        for walk in walks {
            let mut state = Normal;
            for (percent, failing, wanted) in *walk {
                state = state.next(percent * 1000, 100_000, *failing);
                assert_eq!(state, *wanted, "{percent} % of {walk:?}");
            }
        }
        assert!(Normal < Warning && Warning < Recovering && Recovering < Full);
    }
}
