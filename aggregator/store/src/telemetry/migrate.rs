// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Versioned migrations: frozen SQL texts, forward only, idempotent.
//!
//! Each statement can be repeated, so that a migration cut by a crash is completed by the next start; the table
//! `schema_version` records what was applied with the text's SHA-256. Must never change a released text: a new version
//! is a new file, and its result must equal [`super::columns`] (held by a test on the real engine).

use clickhouse::Row;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::insert::{Telemetry, TelemetryError};

/// One step of the schema.
struct Migration {
    version: u32,
    sql: &'static str,
}

/// Every version ever released, in order.
const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, sql: include_str!("migrations/0001_tables.sql") },
    Migration { version: 2, sql: include_str!("migrations/0002_pseudonym_key.sql") },
    Migration { version: 3, sql: include_str!("migrations/0003_rollups.sql") },
    Migration { version: 4, sql: include_str!("migrations/0004_fence.sql") },
    Migration { version: 5, sql: include_str!("migrations/0005_rollups_by_time.sql") },
];

/// Newest version of the schema.
pub const SCHEMA_VERSION: u32 = 5;

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_version (version UInt32, sha256 String, \
     applied_us DateTime64(6, 'UTC')) ENGINE = MergeTree ORDER BY version \
     SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

#[derive(Row, Deserialize)]
struct Applied {
    version: u32,
    sha256: String,
}

impl Telemetry {
    /// Brings the schema to this program's version and returns how many migrations were applied: zero at the second
    /// call. One at a time: several aggregators take turns by [`crate::control::Control::one_at_a_time`].
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Newer`] and [`TelemetryError::Changed`] where the store is not of this
    /// program's past. Nothing is dropped in any case.
    pub async fn migrate(&self) -> Result<usize, TelemetryError> {
        let done = self.migrate_to(SCHEMA_VERSION).await?;
        self.load_horizons().await?;
        Ok(done)
    }

    /// Brings the schema to an older version of this program's past: for tests that upgrade from it. Never down.
    ///
    /// # Errors
    /// As [`Telemetry::migrate`].
    pub async fn migrate_to(&self, version: u32) -> Result<usize, TelemetryError> {
        let steps = &MIGRATIONS[..(version as usize).min(MIGRATIONS.len())];
        let mut done = 0;
        for shard in self.shards() {
            done = done.max(shard.migrate_with(steps).await?);
        }
        if let Some(cluster) = self.cluster_name() {
            for shard in self.shards() {
                for statement in super::cluster::distributed(shard.database(), cluster) {
                    shard.run("distributed tables", &statement).await?;
                }
            }
        }
        Ok(done)
    }

    /// Makes the database where it is not there yet.
    pub(super) async fn create_database(&self) -> Result<(), TelemetryError> {
        // This one statement runs outside it.
        let create = self.client().clone().with_database("system");
        create
            .query(&format!("CREATE DATABASE IF NOT EXISTS {}", self.database()))
            .execute()
            .await
            .map_err(TelemetryError::store("creating the database"))
    }

    async fn migrate_with(&self, migrations: &[Migration]) -> Result<usize, TelemetryError> {
        self.create_database().await?;
        self.run("creating schema_version", VERSIONS).await?;
        let applied: Vec<Applied> = self
            .client()
            .query("SELECT version, any(sha256) AS sha256 FROM schema_version GROUP BY version ORDER BY version")
            .fetch_all()
            .await
            .map_err(TelemetryError::store("reading schema_version"))?;
        let known = migrations.last().map_or(0, |m| m.version);
        if let Some(newer) = applied.iter().find(|a| a.version > known) {
            return Err(TelemetryError::Newer { found: newer.version, known });
        }
        let mut done = 0;
        for m in migrations {
            let sha256 = hex::encode(Sha256::digest(m.sql));
            if let Some(a) = applied.iter().find(|a| a.version == m.version) {
                if a.sha256 != sha256 {
                    return Err(TelemetryError::Changed(m.version));
                }
                continue;
            }
            for (guard, statement) in statements(m.sql) {
                if self.holds(guard).await? {
                    self.run(format!("migration {}", m.version), statement).await?;
                }
            }
            let record = format!(
                "INSERT INTO schema_version SETTINGS async_insert = 0 VALUES ({}, '{sha256}', now64(6))",
                m.version
            );
            self.run(format!("recording migration {}", m.version), &record).await?;
            done += 1;
        }
        Ok(done)
    }

    pub(super) async fn run(&self, what: impl Into<String>, sql: &str) -> Result<(), TelemetryError> {
        // Raw: a question mark in a comment is no parameter.
        self.client().query_raw(sql).execute().await.map_err(TelemetryError::store(what))
    }

    /// Whether the statement behind this guard is to be run.
    async fn holds(&self, guard: Guard<'_>) -> Result<bool, TelemetryError> {
        let (sql, table, column) = match guard {
            Guard::Always => return Ok(true),
            Guard::Table(t) => {
                ("SELECT count() FROM system.tables WHERE database = {db:String} AND name = {table:String}", t, "")
            }
            Guard::Column(t, c) => (
                "SELECT count() FROM system.columns WHERE database = {db:String} AND table = {table:String} AND name = {column:String}",
                t,
                c,
            ),
            Guard::Sorted(t, c) => (
                "SELECT count() FROM system.tables WHERE database = {db:String} AND name = {table:String} \
                 AND startsWith(sorting_key, {column:String}) AND NOT startsWith(engine, 'Replicated')",
                t,
                c,
            ),
        };
        let q = self.client().query_raw(sql).param("db", self.database()).param("table", table).param("column", column);
        // All of the answer: one that is left half read is an error in the engine's log.
        let n: Vec<u64> = q.fetch_all().await.map_err(TelemetryError::store("looking at the schema"))?;
        Ok(n.first().is_some_and(|n| *n > 0))
    }
}

/// The `CREATE TABLE`s of the tables that no description in code gives: the schema's own, and those of upkeep.
pub(super) fn own_tables() -> Vec<String> {
    let created = |m: &Migration| {
        let all = statements(m.sql).map(|(_, s)| s.to_owned());
        all.filter(|s| OWN.iter().any(|t| s.starts_with(&format!("CREATE TABLE IF NOT EXISTS {t} "))))
            .collect::<Vec<_>>()
    };
    std::iter::once(VERSIONS.to_owned()).chain(MIGRATIONS.iter().flat_map(created)).collect()
}

/// Tables of upkeep, as migrations make them.
pub(super) const OWN: [&str; 3] = ["rebuild", "eviction", "fence"];

/// What `schema_version` holds after every migration.
pub(super) fn versions() -> impl Iterator<Item = (u32, String)> {
    MIGRATIONS.iter().map(|m| (m.version, hex::encode(Sha256::digest(m.sql))))
}

/// On what a statement depends, as the line before it says: `-- if table NAME`, `-- if column TABLE.NAME`, or
/// `-- if sorted TABLE.NAME` for a table that lies by this column first and is not replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard<'a> {
    Always,
    Table(&'a str),
    Column(&'a str, &'a str),
    Sorted(&'a str, &'a str),
}

/// The statements of a migration: separated by a line that ends with a semicolon; lines of comment are dropped, but for
/// the guards among them.
fn statements(sql: &str) -> impl Iterator<Item = (Guard<'_>, &str)> {
    sql.split(";\n")
        .map(str::trim)
        .map(|s| {
            let (mut guard, mut rest) = (Guard::Always, s);
            while let Some(comment) = rest.strip_prefix("--") {
                let (line, next) = comment.split_once('\n').unwrap_or((comment, ""));
                if let Some(table) = line.trim().strip_prefix("if table ") {
                    guard = Guard::Table(table);
                } else if let Some((table, column)) =
                    line.trim().strip_prefix("if column ").and_then(|c| c.split_once('.'))
                {
                    guard = Guard::Column(table, column);
                } else if let Some((table, column)) =
                    line.trim().strip_prefix("if sorted ").and_then(|c| c.split_once('.'))
                {
                    guard = Guard::Sorted(table, column);
                }
                rest = next.trim_start();
            }
            (guard, rest)
        })
        .filter(|(_, s)| !s.is_empty())
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;
