// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How fast and when the line may be used: a cap in bytes a second, and hours of the day for bulk.
//!
//! Must never hold an alert back for the sake of bulk: the cap is spent by urgent batches first, and hours are for bulk
//! only. Limits: [`MAX_HOURS`].

use std::{fmt, str::FromStr, time::Duration};

use lagewarte_base::{berlin, time::Timestamp};
use tokio::time::Instant;

/// Bytes added to each batch for gRPC, HTTP/2, TLS, TCP and IP, about.
pub(crate) const OVERHEAD: u64 = 150;
/// Smallest batch gathered, however small the cap.
pub(crate) const MIN_BATCH: usize = 4 << 10;
/// Most ranges of hours.
pub const MAX_HOURS: usize = 16;

/// A token bucket over the bytes of the line. It may be overdrawn by one batch, and is then waited for; over more than a
/// second the cap holds.
pub(crate) struct Pace {
    rate: Option<u64>,
    tokens: f64,
    at: Instant,
}

impl Pace {
    /// Bytes a second; None: as fast as the line.
    pub(crate) fn new(rate: Option<u64>, now: Instant) -> Self {
        let rate = rate.filter(|r| *r > 0);
        Self { rate, tokens: rate.unwrap_or(0) as f64, at: now }
    }

    /// How long until something may be sent; None: now.
    pub(crate) fn wait(&mut self, now: Instant) -> Option<Duration> {
        let rate = self.rate? as f64;
        self.tokens = rate.min(self.tokens + now.duration_since(self.at).as_secs_f64() * rate);
        self.at = now;
        // A millisecond more than nothing: a timer that fires a little early must not spin.
        (self.tokens <= 0.0).then(|| Duration::from_secs_f64(-self.tokens / rate) + Duration::from_millis(1))
    }

    /// So many bytes were handed to the line.
    pub(crate) fn spend(&mut self, bytes: u64) {
        if self.rate.is_some() {
            self.tokens -= (bytes + OVERHEAD) as f64;
        }
    }

    /// How much a batch gathers at most: about a second of the cap, so that an alert waits that long behind bulk at most.
    pub(crate) fn batch(&self, most: usize) -> usize {
        let second = self.rate.map_or(usize::MAX, |r| usize::try_from(r).unwrap_or(usize::MAX));
        most.min(second.max(MIN_BATCH))
    }
}

/// Hours of the day in which bulk is sent, in Germany's legal time: `22:00-06:00`. Empty: always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hours(Vec<(u16, u16)>);

/// A text that names no hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no range of hours: FROM-TO such as 22:00-06:00 is wanted, at most {MAX_HOURS} of them")]
pub struct HoursError(String);

impl Hours {
    /// Reads ranges; one that ends before it begins goes over midnight.
    ///
    /// # Errors
    /// [`HoursError`] names the first that is none.
    pub fn parse<'a>(ranges: impl IntoIterator<Item = &'a str>) -> Result<Self, HoursError> {
        let mut hours = Vec::new();
        for text in ranges {
            let bad = || HoursError(text.chars().take(40).collect());
            let (from, to) = text.split_once('-').ok_or_else(bad)?;
            let (from, to) = (minute(from).ok_or_else(bad)?, minute(to).ok_or_else(bad)?);
            if from == to || hours.len() == MAX_HOURS {
                return Err(bad());
            }
            hours.push((from, to));
        }
        Ok(Self(hours))
    }

    /// Whether bulk may be sent now. A clock beyond the calendar holds nothing back.
    pub fn open(&self, now: Timestamp) -> bool {
        self.0.is_empty() || berlin::minute_of_day(now).is_none_or(|m| self.holds(m))
    }

    fn holds(&self, minute: u16) -> bool {
        self.0.iter().any(
            |(from, to)| {
                if from < to { (*from..*to).contains(&minute) } else { minute >= *from || minute < *to }
            },
        )
    }
}

/// Minutes since midnight; 24:00 is the end of the day.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two = |t: &str| (t.len() == 2).then(|| u16::from_str(t).ok()).flatten();
    let (hour, minute) = (two(hour)?, two(minute)?);
    ((hour < 24 && minute < 60) || (hour, minute) == (24, 0)).then_some(hour * 60 + minute)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (from, to)) in self.0.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            write!(f, "{comma}{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn over_time_the_cap_holds_and_nothing_waits_without_need() {
        let begin = Instant::now();
        let mut pace = Pace::new(Some(10_000), begin);
        assert_eq!(pace.wait(Instant::now()), None);
        let mut sent = 0u64;
        while begin.elapsed() < Duration::from_secs(100) {
            match pace.wait(Instant::now()) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => {
                    pace.spend(5_000 - OVERHEAD);
                    sent += 5_000;
                }
            }
        }
        // A burst of one second, a hundred seconds, and one overdraft.
        assert!((990_000..=1_020_000).contains(&sent), "{sent}");
        assert_eq!(pace.batch(512 << 10), 10_000);
        assert_eq!(Pace::new(Some(10), begin).batch(512 << 10), MIN_BATCH);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_cap_nothing_waits() {
        for rate in [None, Some(0)] {
            let mut pace = Pace::new(rate, Instant::now());
            pace.spend(u64::MAX / 2);
            assert_eq!(pace.wait(Instant::now()), None);
            assert_eq!(pace.batch(512 << 10), 512 << 10);
        }
    }

    #[test]
    fn hours_are_german_and_may_go_over_midnight() {
        let at = |s: &str| Timestamp::parse_eve(s).expect("a test's own time");
        let night = Hours::parse(["22:00-06:00", "12:30-13:00"]).expect("hours");
        // Winter: UTC+1. Summer: UTC+2.
        for (utc, open) in [
            ("2026-01-15T20:59:59Z", false),
            ("2026-01-15T21:00:00Z", true),
            ("2026-07-15T20:00:00Z", true),
            ("2026-01-16T04:59:59Z", true),
            ("2026-01-16T05:00:00Z", false),
            ("2026-01-16T11:30:00Z", true),
            ("2026-01-16T12:00:00Z", false),
        ] {
            assert_eq!(night.open(at(utc)), open, "{utc}");
        }
        assert_eq!(night.to_string(), "22:00-06:00,12:30-13:00");
        assert!(Hours::default().open(at("2026-01-16T12:00:00Z")));
        assert!(Hours::parse(["00:00-24:00"]).expect("all day").open(at("2026-01-16T12:00:00Z")));
        for bad in ["", "22-06", "22:00", "24:01-06:00", "7:00-08:00", "08:00-08:00", "ab:cd-ef:gh", "22:00–06:00"] {
            assert!(Hours::parse([bad]).is_err(), "{bad}");
        }
        assert!(
            Hours::parse(["00:00-24:00"; MAX_HOURS]).is_ok() && Hours::parse(["00:00-24:00"; MAX_HOURS + 1]).is_err()
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String, us: i64) {
            if let Ok(hours) = Hours::parse([text.as_str()]) {
                hours.open(Timestamp::from_micros(us));
            }
        }
    }
}
