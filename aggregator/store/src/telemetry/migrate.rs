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
];

/// Newest version of the schema.
pub const SCHEMA_VERSION: u32 = 2;

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
    /// call. Safe to call from several aggregators at once.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Newer`] and [`TelemetryError::Changed`] where the store is not of this
    /// program's past. Nothing is dropped in any case.
    pub async fn migrate(&self) -> Result<usize, TelemetryError> {
        self.migrate_to(SCHEMA_VERSION).await
    }

    /// Brings the schema to an older version of this program's past: for tests that upgrade from it. Never down.
    ///
    /// # Errors
    /// As [`Telemetry::migrate`].
    pub async fn migrate_to(&self, version: u32) -> Result<usize, TelemetryError> {
        self.migrate_with(&MIGRATIONS[..(version as usize).min(MIGRATIONS.len())]).await
    }

    async fn migrate_with(&self, migrations: &[Migration]) -> Result<usize, TelemetryError> {
        let database = self.database();
        // The database may not exist yet: this one statement runs outside it.
        let create = self.client().clone().with_database("system");
        create
            .query(&format!("CREATE DATABASE IF NOT EXISTS {database}"))
            .execute()
            .await
            .map_err(TelemetryError::store("creating the database"))?;
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
            for statement in statements(m.sql) {
                self.run(format!("migration {}", m.version), statement).await?;
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

    async fn run(&self, what: impl Into<String>, sql: &str) -> Result<(), TelemetryError> {
        // Raw: a question mark in a comment is no parameter.
        self.client().query_raw(sql).execute().await.map_err(TelemetryError::store(what))
    }
}

/// The statements of a migration: separated by a line that ends with a semicolon; lines of comment are dropped.
fn statements(sql: &str) -> impl Iterator<Item = &str> {
    sql.split(";\n")
        .map(str::trim)
        .map(|s| {
            let mut rest = s;
            while let Some(line) = rest.strip_prefix("--") {
                rest = line.split_once('\n').map_or("", |(_, next)| next.trim_start());
            }
            rest
        })
        .filter(|s| !s.is_empty())
}

#[cfg(test)]
#[path = "migrate_tests.rs"]
mod tests;
