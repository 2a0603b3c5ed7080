// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How large the store is, and what goes first where it grows beyond its cap.
//!
//! Whole partitions are dropped, oldest first, in the order of [`ORDER_OF_DELETION`]; what is not named there is never
//! dropped (the hourly counts of alerts, gaps, completed inserts, the schema's own tables). Each partition is written to the
//! table `eviction` before it goes, so that nobody asks a table for a time that it no longer has, and pages can say what is
//! missing. Must never drop the newest [`KEEP_DAYS`] days of any table.

use clickhouse::Row;
use serde::Deserialize;

use super::{
    choose::Horizons,
    insert::{Telemetry, TelemetryError},
    limits::Purpose,
};
use crate::scope::Scope;

/// What goes first: bulk before alerts, what other tables also count before what they do not.
pub const ORDER_OF_DELETION: [&str; 13] = [
    "flow",
    "record",
    "flow_1m",
    "record_1m",
    "alert_1m",
    "health",
    "flow_5m",
    "record_5m",
    "quarantine",
    "alert_5m",
    "flow_1h",
    "record_1h",
    "alert",
];
/// Days that stay whatever the cap says: the picture reads them, and inserts go into them.
pub const KEEP_DAYS: i64 = 2;
/// Share of the disk that stays free where no cap is set: ClickHouse needs room to merge.
const FREE_SHARE: u64 = 10;

/// A table's share of the store.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct TableSize {
    /// Its name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Start of its oldest partition, µs.
    pub oldest_us: i64,
}

/// A partition that was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// Its table.
    pub table: String,
    /// The partition, as the engine names it.
    pub partition: String,
    /// Rows in it.
    pub rows: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

#[derive(Row, Deserialize)]
struct Partition {
    name: String,
    id: String,
    partition: String,
    rows: u64,
    bytes: u64,
    until_us: i64,
}

#[derive(Row, Deserialize)]
struct Disk {
    total: u64,
    free: u64,
}

#[derive(Row, Deserialize)]
struct Taken {
    name: String,
    until_us: i64,
}

impl Telemetry {
    /// Size of every table.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn sizes(&self, scope: &Scope) -> Result<Vec<TableSize>, TelemetryError> {
        // Partitions are dates or days as numbers; tables without one count as from now.
        const SQL: &str = "SELECT table::String AS name, sum(p.rows) AS rows, sum(p.bytes_on_disk) AS bytes, \
             toUnixTimestamp64Micro(min(ifNull(toDateTime64(parseDateTimeBestEffortOrNull(partition, 'UTC'), 6, 'UTC'), now64(6, 'UTC')))) AS oldest_us \
             FROM system.parts AS p WHERE database = {db:String} AND active GROUP BY name ORDER BY name LIMIT {limit:UInt32}";
        let mut all: Vec<TableSize> = Vec::new();
        for shard in self.shards() {
            let q = shard.operation(scope, Purpose::Upkeep, SQL, "sizes")?.param("db", shard.database());
            let sizes: Vec<TableSize> = shard.all("sizes", q).await?;
            for s in sizes {
                match all.iter_mut().find(|a| a.name == s.name) {
                    Some(a) => {
                        a.rows += s.rows;
                        a.bytes += s.bytes;
                        a.oldest_us = a.oldest_us.min(s.oldest_us);
                    }
                    None => all.push(s),
                }
            }
        }
        Ok(all)
    }

    /// Drops partitions until the store is below `cap` bytes on each shard; without a cap until a tenth of the disk is
    /// free. Gives what was dropped, and by how many bytes the store is still too large, which only a person can change.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn enforce_cap(&self, scope: &Scope, cap: Option<u64>) -> Result<(Vec<Evicted>, u64), TelemetryError> {
        let (mut evicted, mut over) = (Vec::new(), 0);
        for shard in self.shards() {
            let (e, o) = shard.enforce(scope, cap).await?;
            evicted.extend(e);
            over += o;
        }
        self.load_horizons().await?;
        Ok((evicted, over))
    }

    /// Reads what the size cap took, so that no question is put to a table for that time. Part of every migration.
    pub(super) async fn load_horizons(&self) -> Result<(), TelemetryError> {
        const SQL: &str = "SELECT e.name::String AS name, toUnixTimestamp64Micro(max(e.until_us)) AS until_us FROM eviction AS e \
             GROUP BY name ORDER BY name LIMIT {limit:UInt32}";
        let mut horizons = Horizons::new();
        for shard in self.shards() {
            let taken: Vec<Taken> =
                shard.all("evictions", shard.operation(&Scope::System, Purpose::Upkeep, SQL, "evictions")?).await?;
            for t in taken {
                let h = horizons.entry(t.name).or_insert(t.until_us);
                *h = (*h).max(t.until_us);
            }
        }
        for shard in self.shards() {
            shard.set_horizons(horizons.clone());
        }
        self.set_horizons(horizons);
        Ok(())
    }

    async fn enforce(&self, scope: &Scope, cap: Option<u64>) -> Result<(Vec<Evicted>, u64), TelemetryError> {
        const DISK: &str =
            "SELECT sum(total_space) AS total, sum(free_space) AS free FROM system.disks LIMIT {limit:UInt32}";
        const PARTITIONS: &str = "SELECT table::String AS name, partition_id::String AS id, any(p.partition)::String AS partition, \
             sum(p.rows) AS rows, sum(p.bytes_on_disk) AS bytes, \
             toUnixTimestamp64Micro(toDateTime64(parseDateTimeBestEffortOrZero(any(p.partition), 'UTC'), 6, 'UTC') + \
             toIntervalDay(multiIf(table LIKE '%\\\\_5m', 3, table LIKE '%\\\\_1h', 7, 1))) AS until_us \
             FROM system.parts AS p WHERE database = {db:String} AND active GROUP BY table, partition_id \
             ORDER BY until_us, id LIMIT {limit:UInt32}";
        let q = self.operation(scope, Purpose::Upkeep, PARTITIONS, "partitions")?.param("db", self.database());
        let partitions: Vec<Partition> = self.all("partitions", q).await?;
        let held: u64 = partitions.iter().map(|p| p.bytes).sum();
        let cap = match cap {
            Some(cap) => cap,
            None => {
                let disks: Vec<Disk> =
                    self.all("disks", self.operation(scope, Purpose::Upkeep, DISK, "disks")?).await?;
                let d = disks.into_iter().next().unwrap_or(Disk { total: 0, free: u64::MAX });
                held.saturating_add(d.free).saturating_sub(d.total / FREE_SHARE)
            }
        };
        let mut over = held.saturating_sub(cap);
        let newest = self.now().micros() - KEEP_DAYS * 86_400_000_000;
        let mut evicted = Vec::new();
        for table in ORDER_OF_DELETION {
            for p in partitions.iter().filter(|p| p.name == table && p.until_us <= newest) {
                if over == 0 {
                    break;
                }
                self.evict(p).await?;
                over = over.saturating_sub(p.bytes);
                let (table, partition) = (p.name.clone(), p.partition.clone());
                evicted.push(Evicted { table, partition, rows: p.rows, bytes: p.bytes });
            }
        }
        Ok((evicted, over))
    }

    async fn evict(&self, p: &Partition) -> Result<(), TelemetryError> {
        // Names come from our own list, the partition from the engine: dates and hashes.
        let plain = |s: &str| s.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | ' ' | ':' | '_' | '.'));
        if !plain(&p.id) || !plain(&p.partition) {
            return Err(TelemetryError::Forbidden("a partition with such a name"));
        }
        let note = format!(
            "INSERT INTO eviction (name, partition, rows, bytes, until_us, at_us) SETTINGS async_insert = 0 \
             VALUES ('{}', '{}', {}, {}, fromUnixTimestamp64Micro({}), now64(6))",
            p.name, p.partition, p.rows, p.bytes, p.until_us
        );
        self.run("noting an eviction", &note).await?;
        self.run(
            format!("dropping {} of {}", p.partition, p.name),
            &format!("ALTER TABLE {} DROP PARTITION ID '{}'", p.name, p.id),
        )
        .await
    }
}
