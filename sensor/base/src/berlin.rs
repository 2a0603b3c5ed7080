// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Points in time as German pages, mails and warnings write them: legal time in Germany, DD.MM.YYYY, HH:MM Uhr.
//!
//! Legal time is UTC+1, from the last Sunday of March 01:00 UTC to the last Sunday of October 01:00 UTC it is UTC+2
//! (directive 2000/84/EC, in force since 2002; earlier years get the same rule). Must never be stored or compared:
//! an hour occurs twice each October. Limits: times outside the years 1 to 9999 are written as `unbekannt`.

use time::{Date, Month, OffsetDateTime, Time, UtcOffset, Weekday};

use crate::time::Timestamp;

const MICROS: i128 = 1_000;

fn local(t: Timestamp) -> Option<OffsetDateTime> {
    let utc = OffsetDateTime::from_unix_timestamp_nanos(i128::from(t.micros()) * MICROS).ok()?;
    let change =
        |month| last_sunday(utc.year(), month).map(|d| d.with_time(Time::MIDNIGHT).assume_utc() + time::Duration::HOUR);
    let summer = change(Month::March)? <= utc && utc < change(Month::October)?;
    utc.checked_to_offset(UtcOffset::from_hms(if summer { 2 } else { 1 }, 0, 0).ok()?)
}

fn last_sunday(year: i32, month: Month) -> Option<Date> {
    // March and October both have 31 days.
    let last = Date::from_calendar_date(year, month, 31).ok()?;
    if last.weekday() == Weekday::Sunday {
        Some(last)
    } else {
        last.checked_sub(time::Duration::days(i64::from(last.weekday().number_days_from_sunday())))
    }
}

/// `21.11.2026, 06:05 Uhr`.
pub fn date_time(t: Timestamp) -> String {
    local(t).map_or_else(
        || String::from("unbekannt"),
        |l| format!("{:02}.{:02}.{:04}, {:02}:{:02} Uhr", l.day(), u8::from(l.month()), l.year(), l.hour(), l.minute()),
    )
}

/// `21.11.2026`.
pub fn date(t: Timestamp) -> String {
    local(t).map_or_else(
        || String::from("unbekannt"),
        |l| format!("{:02}.{:02}.{:04}", l.day(), u8::from(l.month()), l.year()),
    )
}

/// `06:05:09 Uhr`, for what happened today.
pub fn clock(t: Timestamp) -> String {
    local(t).map_or_else(
        || String::from("unbekannt"),
        |l| format!("{:02}:{:02}:{:02} Uhr", l.hour(), l.minute(), l.second()),
    )
}

/// The hour of the day, 0 to 23, for the axis of a timeline; None outside the years that can be written.
pub fn hour(t: Timestamp) -> Option<u8> {
    local(t).map(OffsetDateTime::hour)
}

/// Minutes since midnight, 0 to 1439; None outside the years that can be written.
pub fn minute_of_day(t: Timestamp) -> Option<u16> {
    local(t).map(|l| u16::from(l.hour()) * 60 + u16::from(l.minute()))
}

/// How long something is ago, in words that stay true while somebody reads: `gerade eben`, `vor 5 Minuten`, `vor 3 Tagen`.
pub fn ago(now: Timestamp, then: Timestamp) -> String {
    let secs = now.since(then) / 1_000_000;
    let (n, one, many) = match secs {
        ..5 => return String::from("gerade eben"),
        5..120 => (secs, "Sekunde", "Sekunden"),
        120..7_200 => (secs / 60, "Minute", "Minuten"),
        7_200..172_800 => (secs / 3_600, "Stunde", "Stunden"),
        _ => (secs / 86_400, "Tag", "Tagen"),
    };
    format!("vor {n} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(s: &str) -> Timestamp {
        Timestamp::parse_eve(s).expect("a test's own time")
    }

    #[test]
    fn summer_begins_and_ends_as_the_directive_says() {
        // 2026: 29 March and 25 October are the last Sundays (calendar of the year).
        for (utc, german) in [
            ("2026-01-15T11:00:00Z", "15.01.2026, 12:00 Uhr"),
            ("2026-03-29T00:59:59Z", "29.03.2026, 01:59 Uhr"),
            ("2026-03-29T01:00:00Z", "29.03.2026, 03:00 Uhr"),
            ("2026-10-25T00:59:59Z", "25.10.2026, 02:59 Uhr"),
            ("2026-10-25T01:00:00Z", "25.10.2026, 02:00 Uhr"),
            ("2026-12-31T23:30:00Z", "01.01.2027, 00:30 Uhr"),
            ("2024-03-31T01:00:00Z", "31.03.2024, 03:00 Uhr"), // the 31st itself is a Sunday
        ] {
            assert_eq!(date_time(at(utc)), german, "{utc}");
        }
        assert_eq!(clock(at("2026-07-01T22:03:04Z")), "00:03:04 Uhr");
        assert_eq!(date(at("2026-07-01T22:03:04Z")), "02.07.2026");
        assert_eq!(hour(at("2026-07-01T22:03:04Z")), Some(0));
    }

    #[test]
    fn how_long_ago() {
        let now = Timestamp::from_parts(1_000_000, 0);
        for (secs, want) in [
            (0, "gerade eben"),
            (-60, "gerade eben"),
            (5, "vor 5 Sekunden"),
            (119, "vor 119 Sekunden"),
            (120, "vor 2 Minuten"),
            (7_199, "vor 119 Minuten"),
            (7_200, "vor 2 Stunden"),
            (172_800, "vor 2 Tagen"),
        ] {
            assert_eq!(ago(now, Timestamp::from_parts(1_000_000 - secs, 0)), want);
        }
    }

    proptest! {
        #[test]
        fn no_value_panics(us: i64, other: i64) {
            let t = Timestamp::from_micros(us);
            prop_assert!(!date_time(t).is_empty() && !clock(t).is_empty() && !date(t).is_empty());
            prop_assert!(!ago(t, Timestamp::from_micros(other)).is_empty());
            let _ = (hour(t), minute_of_day(t));
        }
    }
}
