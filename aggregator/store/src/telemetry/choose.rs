// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which table answers a question: the one place where it is decided.
//!
//! The span asked for is cut into slices: whole hours out of the hourly rollup, what is left at both ends out of the
//! finer ones, and only the rest out of raw. So the answer is exact for any span and reads as few rows as it can. A
//! column that no rollup has (an address, a port) leaves raw alone. Must never take a table for a time that it no longer
//! covers: expired, or taken by the size cap.

use std::{collections::BTreeMap, fmt::Write as _};

use lagewarte_base::time::Timestamp;

use super::{
    columns::Table,
    extract::MAX_AHEAD_US,
    rollup::{Rollup, Step},
};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// From when on each table is whole, by its name: the end of what the size cap took. Tables that lost nothing are absent.
pub(super) type Horizons = BTreeMap<String, i64>;

/// A part of the span, `[from, to)` in µs, and who answers for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// None: the raw table.
    pub(super) step: Option<Step>,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// Cuts `[from, to)`. `wants` are the columns and measures of the question, named as in the
/// rollup; `at` is the time of bucket or event.
///
/// Where raw rows of an end have expired, the span grows to whole hours: older than that, nothing finer is known.
pub(super) fn slices(
    source: Table,
    wants: &[&str],
    (from, to): (Timestamp, Timestamp),
    now: Timestamp,
    horizons: &Horizons,
) -> Vec<Slice> {
    let (mut from, mut to) = (from.micros(), to.micros());
    let evicted = |name: &str| horizons.get(name).copied().unwrap_or(i64::MIN);
    let fits = Rollup::of(source).next().is_some_and(|r| wants.iter().all(|w| has(r, w)));
    let mut out = Vec::new();
    if fits {
        let raw_from = (now.micros() - i64::from(source.days()) * DAY).max(evicted(source.name()));
        let hour = Step::Hour.seconds() * SECOND;
        if from < raw_from {
            from = floor(from, hour);
        }
        if to < raw_from {
            to = ceil(to, hour);
        }
        // A day of margin: partitions are whole days, and an event may be a day older than its receipt here says.
        let whole: Vec<_> = Rollup::of(source)
            .map(|r| (r.step, (now.micros() - i64::from(r.step.days() - 1) * DAY).max(evicted(&r.name()))))
            .collect();
        cover(&whole, from, to, &mut out);
    } else if from < to {
        out.push(Slice { step: None, from, to });
    }
    out
}

/// Covers `[from, to)` with the last (coarsest) of `steps`, and its ends with the ones before it.
fn cover(steps: &[(Step, i64)], from: i64, to: i64, out: &mut Vec<Slice>) {
    if from >= to {
        return;
    }
    let Some(((step, whole_from), finer)) = steps.split_last() else {
        out.push(Slice { step: None, from, to });
        return;
    };
    let width = step.seconds() * SECOND;
    // Hours are the last resort: they are taken for what is older than everything else, too.
    let first = if *step == Step::Hour { from } else { from.max(*whole_from) };
    let (a, b) = (ceil(first, width), floor(to, width));
    if a >= b {
        return cover(finer, from, to, out);
    }
    cover(finer, from, a, out);
    out.push(Slice { step: Some(*step), from: a, to: b });
    cover(finer, b, to, out);
}

/// Rows of all slices with the columns `wants`, as a subquery; each part carries `$SCOPE`. Measures come unmerged: the
/// question sums them (`max` for times).
pub(super) fn rows(source: Table, wants: &[&str], slices: &[Slice]) -> String {
    let mut sql = String::new();
    for s in slices {
        if !sql.is_empty() {
            sql.push_str(" UNION ALL ");
        }
        let measures = Rollup::of(source).next().map_or(&[][..], Rollup::measures);
        let columns: Vec<String> = wants
            .iter()
            .map(|w| match measures.iter().find(|m| m.name == *w) {
                _ if *w == "at" => format!("{} AS at", if s.step.is_none() { "event_us" } else { "bucket" }),
                Some(m) if s.step.is_none() => format!("{} AS {w}", m.row),
                Some(m) => format!("{w}::{} AS {w}", m.ty),
                None => (*w).to_owned(),
            })
            .collect();
        let columns = columns.join(", ");
        // Writing to a String cannot fail; numbers only are written into the text.
        let _ = match s.step {
            Some(step) => write!(
                sql,
                "SELECT {columns} FROM {} WHERE $SCOPE AND bucket >= toDateTime({}, 'UTC') AND bucket < toDateTime({}, 'UTC')",
                Rollup { source, step }.name(),
                s.from.div_euclid(SECOND),
                s.to.div_euclid(SECOND)
            ),
            // No event is further ahead of its receipt: older partitions are left out.
            None => write!(
                sql,
                "SELECT {columns} FROM {} WHERE $SCOPE AND event_us >= fromUnixTimestamp64Micro({from}) \
                 AND event_us < fromUnixTimestamp64Micro({}) AND received_us >= fromUnixTimestamp64Micro({})",
                source.name(),
                s.to,
                s.from.saturating_sub(MAX_AHEAD_US),
                from = s.from,
            ),
        };
    }
    format!("({sql})")
}

fn has(r: Rollup, name: &str) -> bool {
    ["constituent", "sensor", "at"].contains(&name)
        || r.dimensions().contains(&name)
        || r.measures().iter().any(|m| m.name == name)
}

fn floor(t: i64, width: i64) -> i64 {
    t.div_euclid(width).saturating_mul(width)
}

fn ceil(t: i64, width: i64) -> i64 {
    floor(t.saturating_add(width - 1), width)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3600 * SECOND;
    const MINUTE: i64 = 60 * SECOND;
    /// 2026-06-01T00:00:00Z.
    const NOW: i64 = 1_780_272_000 * SECOND;

    fn cut(wants: &[&str], from: i64, to: i64) -> Vec<(Option<Step>, i64, i64)> {
        let span = (Timestamp::from_micros(from), Timestamp::from_micros(to));
        let all = slices(Table::Alert, wants, span, Timestamp::from_micros(NOW), &Horizons::new());
        all.into_iter().map(|s| (s.step, s.from - NOW, s.to - NOW)).collect()
    }

    #[test]
    fn whole_hours_come_from_the_hourly_table_and_ends_from_finer_ones() {
        use Step::{FiveMinutes, Hour, Minute};
        for (from, to, want) in [
            (-24 * HOUR, 0, vec![(Some(Hour), -24 * HOUR, 0)]),
            (-10 * MINUTE, -5 * MINUTE, vec![(Some(FiveMinutes), -10 * MINUTE, -5 * MINUTE)]),
            (-4 * MINUTE, -MINUTE, vec![(Some(Minute), -4 * MINUTE, -MINUTE)]),
            (-30 * SECOND, -SECOND, vec![(None, -30 * SECOND, -SECOND)]),
            (0, 0, vec![]),
            (5, 1, vec![]),
            (
                -2 * HOUR - 6 * MINUTE - SECOND,
                30 * SECOND,
                vec![
                    (None, -2 * HOUR - 6 * MINUTE - SECOND, -2 * HOUR - 6 * MINUTE),
                    (Some(Minute), -2 * HOUR - 6 * MINUTE, -2 * HOUR - 5 * MINUTE),
                    (Some(FiveMinutes), -2 * HOUR - 5 * MINUTE, -2 * HOUR),
                    (Some(Hour), -2 * HOUR, 0),
                    (None, 0, 30 * SECOND),
                ],
            ),
        ] {
            assert_eq!(cut(&["constituent", "alerts"], NOW + from, NOW + to), want, "{from} {to}");
        }
    }

    #[test]
    fn minutes_are_not_asked_of_a_table_that_forgot_them() {
        // 30 days back: the table of minutes holds 7.
        let from = NOW - 30 * DAY;
        let want = vec![(Some(Step::FiveMinutes), -30 * DAY + 5 * MINUTE, -30 * DAY + 10 * MINUTE)];
        assert_eq!(cut(&["alerts"], from + 5 * MINUTE, from + 10 * MINUTE), want);
        assert_eq!(cut(&["alerts"], from + MINUTE, from + 4 * MINUTE)[0].0, None);
        // 200 days back: raw has expired, whole hours are what is left.
        let from = NOW - 200 * DAY;
        assert_eq!(
            cut(&["alerts"], from + 7 * MINUTE, from + HOUR + MINUTE),
            vec![(Some(Step::Hour), -200 * DAY, -200 * DAY + 2 * HOUR)]
        );
    }

    #[test]
    fn an_address_leaves_raw_alone_and_so_does_a_table_without_rollups() {
        assert_eq!(cut(&["external_ip", "alerts"], NOW - HOUR, NOW), vec![(None, -HOUR, 0)]);
        let span = (Timestamp::from_micros(NOW - HOUR), Timestamp::from_micros(NOW));
        let all = slices(Table::Health, &["constituent"], span, Timestamp::from_micros(NOW), &Horizons::new());
        assert_eq!(all, [Slice { step: None, from: NOW - HOUR, to: NOW }]);
    }

    #[test]
    fn what_the_size_cap_took_is_not_asked_for() {
        let horizons = Horizons::from([("alert_1m".to_owned(), NOW - HOUR), ("alert_5m".to_owned(), NOW - HOUR)]);
        let span =
            (Timestamp::from_micros(NOW - 2 * HOUR + MINUTE), Timestamp::from_micros(NOW - 2 * HOUR + 9 * MINUTE));
        let all = slices(Table::Alert, &["alerts"], span, Timestamp::from_micros(NOW), &horizons);
        assert_eq!(all.iter().map(|s| s.step).collect::<Vec<_>>(), [None]);
    }

    #[test]
    fn every_slice_carries_the_scope() {
        let all = slices(
            Table::Alert,
            &["alerts"],
            (Timestamp::from_micros(NOW - 3 * HOUR - 61), Timestamp::from_micros(NOW - 1)),
            Timestamp::from_micros(NOW),
            &Horizons::new(),
        );
        assert!(all.len() > 3);
        assert_eq!(rows(Table::Alert, &["alerts"], &all).matches("$SCOPE").count(), all.len());
    }

    proptest! {
        #[test]
        fn slices_follow_one_another_without_gap_or_overlap(back in 0i64..420 * DAY, long in 0i64..40 * DAY) {
            let (from, to) = (NOW - back, NOW - back + long);
            let all = cut(&["alerts", "signature"], from, to);
            for pair in all.windows(2) {
                prop_assert_eq!(pair[0].2, pair[1].1);
            }
            if let (Some(first), Some(last)) = (all.first(), all.last()) {
                prop_assert!(first.1 + NOW <= from && last.2 + NOW >= to && from - (first.1 + NOW) < HOUR && last.2 + NOW - to < HOUR);
                for (step, a, b) in &all {
                    if let Some(step) = step {
                        prop_assert_eq!((a + NOW) % (step.seconds() * SECOND), 0);
                        prop_assert_eq!((b + NOW) % (step.seconds() * SECOND), 0);
                    }
                }
            } else {
                prop_assert!(from >= to);
            }
        }
    }
}
