// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rollups against raw: compared exactly, and built again from raw where a lost journal left them behind.
//!
//! A rebuild deletes the touched buckets of one sensor (or of all) and counts them again. It is exact only while nobody
//! else inserts rows of that sensor: its caller owns the sensor's lane, or nothing is ingested at all. The sensor is part
//! of every rollup's key, so other sensors' rows in the same buckets are not touched. A rebuild that is cut short leaves
//! a row in the table `rebuild`, and [`Telemetry::finish_rebuilds`] does it again. Must never touch buckets whose raw
//! rows have expired: what is counted there cannot be counted again.

use clickhouse::{Row, query::Query};
use lagewarte_base::{id::Epoch, time::Timestamp};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    columns::Table,
    insert::{Telemetry, TelemetryError},
    limits::Purpose,
    rollup::Rollup,
};
use crate::scope::Scope;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// Events of a table whose buckets are to be built again: both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The raw table.
    pub table: Table,
    /// Whose events; None: everybody's, which is exact only while nothing is ingested.
    pub sensor: Option<Uuid>,
    /// Earliest event time.
    pub from: Timestamp,
    /// Latest event time.
    pub to: Timestamp,
}

/// How a rollup compares with its raw table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupCheck {
    /// The rollup's name.
    pub rollup: String,
    /// Rows that are not the same on both sides, in any measure. Zero: the rollup equals raw.
    pub differing: u64,
    /// What raw counts.
    pub raw: u64,
    /// What the rollup counts.
    pub rolled: u64,
}

#[derive(Row, Deserialize)]
struct Compared {
    differing: u64,
    raw: u64,
    rolled: u64,
}

#[derive(Row, Deserialize)]
struct Span {
    #[serde(with = "clickhouse::serde::uuid")]
    sensor: Uuid,
    from: i64,
    to: i64,
}

#[derive(Row, Deserialize)]
struct Begun {
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    source: String,
    #[serde(with = "clickhouse::serde::uuid")]
    sensor: Uuid,
    from: i64,
    to: i64,
}

impl Telemetry {
    /// Where the events `from..=to` of an epoch lie in time, for each table with rollups that holds any of them: what
    /// [`Telemetry::rebuild_rollups`] takes.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn touched(
        &self,
        scope: &Scope,
        sensor: Uuid,
        epoch: Epoch,
        from: u64,
        to: u64,
    ) -> Result<Vec<Touched>, TelemetryError> {
        const ONES: &str = "sensor = {sensor:UUID} AND epoch = {epoch:UInt64} AND nonce = {nonce:UInt64} \
             AND seq BETWEEN {from:UInt64} AND {to:UInt64}";
        let bind = |q: Query| {
            let q = q.param("sensor", sensor.to_string()).param("epoch", epoch.counter).param("nonce", epoch.nonce);
            q.param("from", from).param("to", to)
        };
        self.touched_by(scope, ONES, bind).await
    }

    /// Counts the buckets that a segment touches again out of raw. Exact only while nobody inserts for its sensors: its lane
    /// must be shut out, and they not yet free.
    ///
    /// # Errors
    /// As [`Telemetry::rebuild_rollups`].
    pub(super) async fn count_again(&self, scope: &Scope, segment: &str) -> Result<(), TelemetryError> {
        let bind = |q: Query| q.param("segment", segment);
        for touched in self.touched_by(scope, "segment = {segment:String}", bind).await? {
            self.rebuild_rollups(scope, &touched).await?;
        }
        Ok(())
    }

    /// Where the rows that meet `condition` (one of our own texts) lie in time: for each table with rollups and each sensor.
    async fn touched_by(
        &self,
        scope: &Scope,
        condition: &str,
        bind: impl Fn(Query) -> Query,
    ) -> Result<Vec<Touched>, TelemetryError> {
        let mut out = Vec::new();
        for table in rolled_up() {
            let sql = format!(
                "SELECT sensor, toUnixTimestamp64Micro(min(event_us)) AS from, toUnixTimestamp64Micro(max(event_us)) AS to \
                 FROM {} WHERE {condition} GROUP BY sensor ORDER BY sensor LIMIT {{limit:UInt32}}",
                table.name()
            );
            let q = bind(self.operation(scope, Purpose::Ingest, &sql, "touched buckets")?);
            let spans: Vec<Span> = self.all("touched buckets", q).await?;
            let us = Timestamp::from_micros;
            out.extend(spans.iter().map(|s| Touched { table, sensor: Some(s.sensor), from: us(s.from), to: us(s.to) }));
        }
        Ok(out)
    }

    /// Counts the touched buckets of every rollup again out of raw, exactly: see the module for what must hold meanwhile.
    /// Can be repeated. Buckets whose raw rows have expired stay as they are.
    ///
    /// # Errors
    /// The store's answer, some buckets then being short until this, or [`Telemetry::finish_rebuilds`], has succeeded;
    /// [`TelemetryError::Forbidden`] for a constituent.
    pub async fn rebuild_rollups(&self, scope: &Scope, touched: &Touched) -> Result<(), TelemetryError> {
        if scope.only().is_some() {
            return Err(TelemetryError::Forbidden("rollups"));
        }
        let id = Uuid::new_v4();
        for shard in self.shards() {
            shard.note(id, touched, false).await?;
            shard.rebuild(touched).await?;
            shard.note(id, touched, true).await?;
        }
        Ok(())
    }

    /// Does again what was cut short: of the sensors for which `mine` says yes (None: a rebuild of all sensors). Gives
    /// how many. To be called before the first insert of a lane that was taken over or found anew.
    ///
    /// # Errors
    /// As [`Telemetry::rebuild_rollups`].
    pub async fn finish_rebuilds(
        &self,
        scope: &Scope,
        mine: impl Fn(Option<Uuid>) -> bool,
    ) -> Result<usize, TelemetryError> {
        const SQL: &str = "SELECT id, any(source)::String AS source, any(r.sensor) AS sensor, \
             toUnixTimestamp64Micro(any(from_us)) AS from, toUnixTimestamp64Micro(any(to_us)) AS to \
             FROM rebuild AS r GROUP BY id HAVING NOT max(done) ORDER BY id LIMIT {limit:UInt32}";
        let mut done = 0;
        for shard in self.shards() {
            let q = shard.operation(scope, Purpose::Ingest, SQL, "rebuilds")?;
            let begun: Vec<Begun> = shard.all("unfinished rebuilds", q).await?;
            for b in begun {
                let sensor = (!b.sensor.is_nil()).then_some(b.sensor);
                let Some(table) = rolled_up().find(|t| t.name() == b.source).filter(|_| mine(sensor)) else { continue };
                let (from, to) = (Timestamp::from_micros(b.from), Timestamp::from_micros(b.to));
                let touched = Touched { table, sensor, from, to };
                shard.rebuild(&touched).await?;
                shard.note(b.id, &touched, true).await?;
                done += 1;
            }
        }
        Ok(done)
    }

    /// Compares each rollup of `table` with raw, bucket by bucket and key by key, for events of `[from, to)` widened to
    /// whole hours. Exact while nothing is being inserted, and for times that both sides still hold.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn check_rollups(
        &self,
        scope: &Scope,
        table: Table,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<RollupCheck>, TelemetryError> {
        let mut out: Vec<RollupCheck> = Vec::new();
        let (from, to) = (floor(from.micros(), 3600), ceil(to.micros(), 3600));
        for shard in self.shards() {
            for r in Rollup::of(table) {
                let Some(first) = r.measures().first() else { continue };
                let columns = r.measures().iter().fold(r.key(), |k, m| format!("{k}, {}", m.name));
                let sql = format!(
                    "SELECT countIf(c != 2) AS differing, sum(a) AS raw, sum(b) AS rolled FROM (\
                     SELECT {columns}, count() AS c, sumIf({m}, side = 0) AS a, sumIf({m}, side = 1) AS b FROM (\
                     SELECT *, 0 AS side FROM ({}) UNION ALL SELECT *, 1 AS side FROM ({})) GROUP BY {columns}) \
                     LIMIT {{limit:UInt32}}",
                    r.raw_counts(&format!(" AND {}", span("event_us", from, to))),
                    r.merged(&span("bucket", from, to)),
                    m = first.name,
                );
                let q = shard.operation(scope, Purpose::Upkeep, &sql, "rollups")?;
                let c: Vec<Compared> = shard.all("rollups against raw", q).await?;
                let c = c.into_iter().next().unwrap_or(Compared { differing: 0, raw: 0, rolled: 0 });
                match out.iter_mut().find(|o| o.rollup == r.name()) {
                    Some(o) => {
                        o.differing += c.differing;
                        o.raw += c.raw;
                        o.rolled += c.rolled;
                    }
                    None => {
                        out.push(RollupCheck { rollup: r.name(), differing: c.differing, raw: c.raw, rolled: c.rolled })
                    }
                }
            }
        }
        Ok(out)
    }

    async fn rebuild(&self, touched: &Touched) -> Result<(), TelemetryError> {
        let source = touched.table;
        // An event may be a day ahead of its receipt, by which raw rows expire: a day more than they are kept.
        let evicted = self.horizons().get(source.name()).copied().unwrap_or(i64::MIN);
        let raw_from = (self.now().micros() - i64::from(source.days() - 1) * DAY).max(evicted.saturating_add(DAY));
        let of = touched.sensor.map(|s| format!(" AND sensor = '{s}'")).unwrap_or_default();
        for r in Rollup::of(source) {
            let width = r.step.seconds();
            let from = floor(touched.from.micros(), width).max(ceil(raw_from, width));
            let to = floor(touched.to.micros(), width).saturating_add(width * SECOND);
            if from >= to {
                continue;
            }
            let name = r.name();
            let delete = format!("DELETE FROM {name} WHERE {}{of}", span("bucket", from, to));
            let measures: Vec<&str> = r.measures().iter().map(|m| m.name).collect();
            let insert = format!(
                "INSERT INTO {name} ({}, {}) {}",
                r.key(),
                measures.join(", "),
                r.raw_counts(&format!(" AND {}{of}", span("event_us", from, to)))
            );
            for sql in [&delete, &insert] {
                let mut q = self.client().query_raw(sql);
                for (setting, value) in Purpose::Upkeep.settings() {
                    q = q.with_setting(setting, value);
                }
                q.with_setting("lightweight_deletes_sync", "2")
                    .with_setting("mutations_sync", "2")
                    // The same count may have been inserted before: it must not be taken for a repeated insert.
                    .with_setting("insert_deduplicate", "0")
                    .with_setting("async_insert", "0")
                    .with_setting("max_partitions_per_insert_block", "0")
                    .execute()
                    .await
                    .map_err(TelemetryError::store(format!("rebuilding {name}")))?;
            }
        }
        Ok(())
    }

    async fn note(&self, id: Uuid, t: &Touched, done: bool) -> Result<(), TelemetryError> {
        let sql = format!(
            "INSERT INTO rebuild (id, source, sensor, from_us, to_us, done, at_us) SETTINGS async_insert = 0 \
             VALUES ('{id}', '{}', '{}', fromUnixTimestamp64Micro({}), fromUnixTimestamp64Micro({}), {done}, now64(6))",
            t.table.name(),
            t.sensor.unwrap_or(Uuid::nil()),
            t.from.micros(),
            t.to.micros(),
        );
        self.run("noting a rebuild", &sql).await
    }
}

/// Tables that have rollups.
pub(super) fn rolled_up() -> impl Iterator<Item = Table> {
    Table::ALL.into_iter().filter(|t| Rollup::of(*t).next().is_some())
}

/// The condition `[from, to)` on a column; whole seconds for buckets.
fn span(column: &str, from: i64, to: i64) -> String {
    if column == "bucket" {
        let (from, to) = (from.div_euclid(SECOND), to.div_euclid(SECOND));
        return format!("bucket >= toDateTime({from}, 'UTC') AND bucket < toDateTime({to}, 'UTC')");
    }
    format!("{column} >= fromUnixTimestamp64Micro({from}) AND {column} < fromUnixTimestamp64Micro({to})")
}

fn floor(us: i64, seconds: i64) -> i64 {
    us.div_euclid(seconds * SECOND).saturating_mul(seconds * SECOND)
}

fn ceil(us: i64, seconds: i64) -> i64 {
    floor(us.saturating_add(seconds * SECOND - 1), seconds)
}
