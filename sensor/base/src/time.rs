// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Points in time: microseconds since the Unix epoch, UTC, as EVE writes them.
//!
//! Must never panic on any i64: a capture's timestamps are hostile input; out-of-range values are clamped when written.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};

/// Microseconds since 1970-01-01T00:00:00Z; negative before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

const EVE: &[BorrowedFormatItem<'static>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+0000");
const EVE_IN: &[BorrowedFormatItem<'static>] = format_description!(
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond][offset_hour sign:mandatory][offset_minute]"
);
// 0001-01-01 and 9999-12-31T23:59:59.999999: what four digits of a year can say.
const MIN_MICROS: i64 = -62_135_596_800_000_000;
const MAX_MICROS: i64 = 253_402_300_799_999_999;

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_micros(us: i64) -> Self {
        Self(us)
    }
    /// From seconds and microseconds, as a capture file has them; saturates.
    pub const fn from_parts(secs: i64, micros: i64) -> Self {
        Self(secs.saturating_mul(1_000_000).saturating_add(micros))
    }
    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }
    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
    /// This much later; saturates.
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
    }
    /// Microseconds from `earlier` to here; negative where `earlier` is later; saturates.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
    /// EVE's form: `2026-01-02T03:04:05.000006+0000`, always UTC.
    pub fn eve(self) -> String {
        let us = self.0.clamp(MIN_MICROS, MAX_MICROS);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(us) * 1000)
            .ok()
            .and_then(|t| t.format(EVE).ok())
            .unwrap_or_else(|| String::from("1970-01-01T00:00:00.000000+0000")) // cannot be: clamped above
    }
    /// Reads EVE's form with any offset; None where it is anything else.
    pub fn parse_eve(s: &str) -> Option<Self> {
        if s.len() > 40 {
            return None; // no timestamp is longer; keeps the parser off hostile text
        }
        let t = OffsetDateTime::parse(s, EVE_IN)
            .or_else(|_| OffsetDateTime::parse(s, &time::format_description::well_known::Rfc3339))
            .ok()?
            .to_offset(UtcOffset::UTC);
        i64::try_from(t.unix_timestamp_nanos().div_euclid(1000)).ok().map(Self)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(t: SystemTime) -> Self {
        match t.duration_since(UNIX_EPOCH) {
            Ok(d) => Self(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)),
            Err(e) => Self(i64::try_from(e.duration().as_micros()).map_or(i64::MIN, |us| -us)),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.eve())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.eve())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn eve_form_is_written_and_read_back() {
        let t = Timestamp::from_parts(1_767_323_045, 6);
        assert_eq!(t.eve(), "2026-01-02T03:04:05.000006+0000");
        assert_eq!(Timestamp::parse_eve(&t.eve()), Some(t));
        assert_eq!(Timestamp::parse_eve("2026-01-02T04:04:05.000006+0100"), Some(t));
        assert_eq!(Timestamp::parse_eve("2026-01-02T03:04:05.000006Z"), Some(t));
        assert_eq!(Timestamp::parse_eve("yesterday"), None);
    }

    proptest! {
        #[test]
        fn no_value_panics(us: i64) {
            let t = Timestamp::from_micros(us);
            prop_assert_eq!(t.eve().len(), 31);
            if (MIN_MICROS..=MAX_MICROS).contains(&us) {
                prop_assert_eq!(Timestamp::parse_eve(&t.eve()), Some(t));
            }
        }
        #[test]
        fn no_text_panics(s in ".{0,60}") {
            let _ = Timestamp::parse_eve(&s);
        }
    }
}
