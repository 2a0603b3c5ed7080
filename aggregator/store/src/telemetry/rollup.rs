// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The rollups: each traffic table counted by minute, five minutes and hour of the event, by materialized view.
//!
//! One description gives the table, its view, and the question that counts the same out of raw rows, so that a rollup
//! can be compared with raw and built again from it. Without addresses and ports: a rollup outlives its raw table. The
//! sensor is part of the key, so that whoever owns a sensor's lane rebuilds its rows without touching anybody else's.
//! Must never hold a measure that raw rows cannot give again exactly.

use std::fmt::Write as _;

use super::columns::{Column, DEDUP_WINDOW, Table, table_settings};

/// Rows that the engine reads at once, at least: a quarter of its default, since an owner's share of a block is small.
const GRANULE: u32 = 2048;

/// Width of a rollup's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// One minute.
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// One hour.
    Hour,
}

impl Step {
    /// Every width, finest first.
    pub const ALL: [Self; 3] = [Self::Minute, Self::FiveMinutes, Self::Hour];

    /// Seconds.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::FiveMinutes => 300,
            Self::Hour => 3600,
        }
    }

    /// Days that its buckets are kept. An event that comes later than that is not counted in it: it would expire at
    /// once, and a batch of old events would touch more partitions than the engine takes in one insert.
    pub const fn days(self) -> u32 {
        match self {
            Self::Minute => 7,
            Self::FiveMinutes => 90,
            Self::Hour => 400,
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Minute => "1m",
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
        }
    }

    const fn function(self) -> &'static str {
        match self {
            Self::Minute => "toStartOfMinute",
            Self::FiveMinutes => "toStartOfFiveMinutes",
            Self::Hour => "toStartOfHour",
        }
    }

    /// What rows lie by first, whoever owns them: a block of time that a state's question reads whole or not at all. Were
    /// they to lie by owner first, a day would be read with all the days of its partition, since an owner's share of them is
    /// smaller than what the engine reads at once. Longer blocks read more at their ends, shorter ones cost a single owner
    /// more.
    const fn block(self) -> &'static str {
        match self {
            // Only the ends of a span are asked of it.
            Self::Minute => "toStartOfHour(bucket)",
            Self::FiveMinutes | Self::Hour => "toStartOfInterval(bucket, toIntervalHour(6))",
        }
    }

    /// Sized to the days kept: at most 9, 32 and 59 partitions, below the 100 that one insert may touch.
    const fn partition(self) -> &'static str {
        match self {
            Self::Minute => "toYYYYMMDD(bucket)",
            Self::FiveMinutes => "toStartOfInterval(bucket, INTERVAL 3 DAY)",
            Self::Hour => "toMonday(bucket)",
        }
    }
}

/// What a rollup counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Column in the rollup.
    pub name: &'static str,
    /// How two rows of a bucket become one: `sum` or `max`.
    pub merge: &'static str,
    /// Type in ClickHouse.
    pub ty: &'static str,
    /// Out of the raw rows of a bucket.
    pub raw: &'static str,
    /// Out of one raw row.
    pub row: &'static str,
    /// What it says.
    pub doc: &'static str,
}

const fn sum(name: &'static str, raw: &'static str, row: &'static str, doc: &'static str) -> Measure {
    Measure { name, merge: "sum", ty: "UInt64", raw, row, doc }
}

const ALERTS: &[Measure] = &[
    sum("alerts", "count()", "toUInt64(1)", "Alerts."),
    sum("late_alerts", "countIf(late)", "toUInt64(late)", "Alerts that were late when they came."),
    Measure {
        name: "last_us",
        merge: "max",
        ty: "DateTime64(6, 'UTC')",
        raw: "max(event_us)",
        row: "event_us",
        doc: "Latest event of the bucket.",
    },
];
const FLOWS: &[Measure] = &[
    sum("flows", "count()", "toUInt64(1)", "Flows."),
    sum("alerted_flows", "countIf(alerted)", "toUInt64(alerted)", "Flows in which a rule fired."),
    sum("packets_toserver", "sum(pkts_toserver)", "pkts_toserver", "Packets to the server."),
    sum("packets_toclient", "sum(pkts_toclient)", "pkts_toclient", "Packets to the client."),
    sum("octets_toserver", "sum(bytes_toserver)", "bytes_toserver", "Bytes to the server."),
    sum("octets_toclient", "sum(bytes_toclient)", "bytes_toclient", "Bytes to the client."),
];
const RECORDS: &[Measure] = &[sum("events", "count()", "toUInt64(1)", "Events.")];

/// A rollup: a traffic table in buckets of one width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rollup {
    /// The raw table it counts.
    pub source: Table,
    /// Width of its buckets.
    pub step: Step,
}

impl Rollup {
    /// Every rollup.
    pub fn all() -> impl Iterator<Item = Self> {
        Table::ALL.into_iter().flat_map(Self::of)
    }

    /// The rollups of a table, finest first; none for tables that are not rolled up.
    pub fn of(source: Table) -> impl Iterator<Item = Self> {
        let steps: &[Step] = if dimensions(source).is_empty() { &[] } else { &Step::ALL };
        steps.iter().map(move |step| Self { source, step: *step })
    }

    /// The table's name.
    pub fn name(self) -> String {
        format!("{}_{}", self.source.name(), self.step.suffix())
    }

    /// The materialized view that fills it.
    pub fn view(self) -> String {
        format!("{}_view", self.name())
    }

    /// What it tells apart beside owner, bucket and sensor, in the order of its key.
    pub fn dimensions(self) -> &'static [&'static str] {
        dimensions(self.source)
    }

    /// What it counts.
    pub fn measures(self) -> &'static [Measure] {
        match self.source {
            Table::Alert => ALERTS,
            Table::Flow => FLOWS,
            Table::Record => RECORDS,
            Table::Health | Table::Quarantine | Table::Gap | Table::Segment => &[],
        }
    }

    /// Its key: owner, bucket, sensor, dimensions.
    pub fn key(self) -> String {
        let mut key = String::from("constituent, bucket, sensor");
        for d in self.dimensions() {
            let _ = write!(key, ", {d}"); // writing to a String cannot fail
        }
        key
    }

    /// The `CREATE TABLE`. Migrations must arrive at the same (held by a test).
    pub fn create_table(self) -> String {
        let mut sql = format!("CREATE TABLE IF NOT EXISTS {} (\n", self.name());
        for name in ["constituent", "bucket", "sensor"].iter().chain(self.dimensions()) {
            let _ = match raw_column(self.source, name) {
                Some(c) => {
                    writeln!(sql, "    {name} {} COMMENT '{}',", c.ty.sql(), c.doc.replace('\'', "''"))
                }
                None => writeln!(
                    sql,
                    "    bucket DateTime('UTC') COMMENT 'Start of the bucket, by event time.' CODEC(Delta(4), ZSTD(1)),"
                ),
            };
        }
        for m in self.measures() {
            let codec = if m.ty.starts_with("DateTime") { " CODEC(ZSTD(1))" } else { "" };
            let _ = writeln!(
                sql,
                "    {} SimpleAggregateFunction({}, {}) COMMENT '{}'{codec},",
                m.name, m.merge, m.ty, m.doc
            );
        }
        sql.truncate(sql.trim_end_matches(",\n").len());
        let _ = write!(
            sql,
            "\n) ENGINE = AggregatingMergeTree\nPARTITION BY {}\nPRIMARY KEY ({block}, constituent)\nORDER BY ({block}, {})\n\
             TTL bucket + INTERVAL {} DAY\nSETTINGS index_granularity = {GRANULE}, {}",
            self.step.partition(),
            self.key(),
            self.step.days(),
            table_settings(),
            // The index must not know the bucket by itself: the engine would then look at it there, behind the owner, and
            // not turn a condition on it into one on the block.
            block = self.step.block(),
        );
        sql
    }

    /// The `CREATE MATERIALIZED VIEW`. Deduplicated with its source: both tables have the window, the insert asks for it.
    pub fn create_view(self) -> String {
        format!("CREATE MATERIALIZED VIEW IF NOT EXISTS {} TO {} AS\n{}", self.view(), self.name(), self.raw_counts(""))
    }

    /// Counts raw rows as the view does; `condition` is one of our own texts, beginning with ` AND`, or empty.
    pub(super) fn raw_counts(self, condition: &str) -> String {
        let mut select = format!("SELECT constituent, {}(event_us) AS bucket, sensor", self.step.function());
        for d in self.dimensions() {
            let _ = write!(select, ", {d}");
        }
        for m in self.measures() {
            let _ = write!(select, ", {} AS {}", m.raw, m.name);
        }
        format!("{select}\nFROM {} WHERE {}{condition}\nGROUP BY {}", self.source.name(), self.counted(), self.key())
    }

    /// Which raw rows it counts: those that came while their bucket was kept.
    pub(super) fn counted(self) -> String {
        format!("event_us >= received_us - INTERVAL {} DAY", self.step.days())
    }

    /// Its rows, one for each key; `condition` as in [`Rollup::raw_counts`] but without the leading ` AND`.
    pub(super) fn merged(self, condition: &str) -> String {
        let mut select = format!("SELECT {}", self.key());
        for m in self.measures() {
            let _ = write!(select, ", {}(r.{}) AS {}", m.merge, m.name, m.name);
        }
        format!("{select} FROM {} AS r WHERE {condition} GROUP BY {}", self.name(), self.key())
    }
}

const fn dimensions(source: Table) -> &'static [&'static str] {
    match source {
        Table::Alert => &["signature_id", "signature", "category", "severity", "ags", "kreis"],
        Table::Flow => &["proto", "app_proto", "ags", "kreis"],
        Table::Record => &["class", "event_type", "anomaly_type", "anomaly_event", "app_proto", "ags", "kreis"],
        Table::Health | Table::Quarantine | Table::Gap | Table::Segment => &[],
    }
}

fn raw_column(source: Table, name: &str) -> Option<&'static Column> {
    source.columns().find(|c| c.name == name)
}

/// The rollups' part of `docs/columns.md`.
pub(super) fn documentation() -> String {
    let mut md = format!(
        "\n## Rollups\n\nFilled by materialized views, without addresses and ports. Measures are merged in the background: \
         always ask with `sum(...)` or `max(...)` and GROUP BY. Each remembers {DEDUP_WINDOW} inserts as its source does.\n\n\
         | table | of | bucket | kept | partition | block |\n| --- | --- | --- | --- | --- | --- |\n"
    );
    for r in Rollup::all() {
        let _ = writeln!(
            md,
            "| `{}` | `{}` | {} s | {} days | `{}` | `{}` |",
            r.name(),
            r.source.name(),
            r.step.seconds(),
            r.step.days(),
            r.step.partition(),
            r.step.block()
        );
    }
    for source in Table::ALL {
        let Some(r) = Rollup::of(source).next() else { continue };
        let _ = write!(
            md,
            "\n### Rollups of {}\n\nSorted by block, then `{}`.\n\n| column | type | meaning |\n| --- | --- | --- |\n",
            source.name(),
            r.key()
        );
        for name in ["constituent", "sensor"].iter().chain(r.dimensions()) {
            if let Some(c) = raw_column(source, name) {
                let _ = writeln!(md, "| `{name}` | {} | {} |", c.ty.sql(), c.doc);
            }
        }
        let _ = writeln!(md, "| `bucket` | DateTime('UTC') | Start of the bucket, by event time. |");
        for m in r.measures() {
            let _ = writeln!(md, "| `{}` | {}, {} | {} |", m.name, m.merge, m.ty, m.doc);
        }
    }
    md
}

#[cfg(test)]
mod tests {
    use super::{super::columns::Type, *};

    #[test]
    fn a_rollup_has_no_address_no_port_and_only_columns_of_its_source() {
        let mut names: Vec<String> = Rollup::all().map(Rollup::name).collect();
        assert_eq!(names.len(), 9);
        assert_eq!(names.first().map(String::as_str), Some("alert_1m"));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 9);
        for r in Rollup::all() {
            for d in r.dimensions() {
                let c = raw_column(r.source, d).unwrap_or_else(|| unreachable!("{d} is no column of {:?}", r.source));
                assert!(c.ty != Type::Ip && !d.contains("port") && !d.contains("community"), "{d}");
            }
            assert!(!r.measures().is_empty());
        }
    }

    #[test]
    fn an_insert_of_events_of_every_age_stays_below_the_engines_hundred_partitions() {
        // An event may be a day ahead; one partition more where the span begins within one.
        for (step, days) in [(Step::Minute, 1), (Step::FiveMinutes, 3), (Step::Hour, 7)] {
            assert!((step.days() + 1).div_ceil(days) + 1 < 100, "{step:?}");
        }
    }
}
