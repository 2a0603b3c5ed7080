// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Backup and restore of the telemetry, by the engine itself, into two archives on the engine's own machine.
//!
//! Completed inserts are taken first and rows after them, so that a segment that the backup calls complete has all its
//! rows in it. Raw tables and rollups are not taken at one instant while ingest goes on: after a restore the buckets of
//! what came last are counted again out of raw. Must never replace a store that holds rows unless told to.

use std::path::Path;

use clickhouse::Row;
use lagewarte_base::time::Timestamp;
use serde::Deserialize;

use super::{
    columns::Table,
    insert::{Telemetry, TelemetryError},
    limits::Purpose,
    repair::Touched,
    rollup::Rollup,
};
use crate::scope::Scope;

/// Archive of the completed inserts.
const COMPLETED: &str = "completed.tar";
/// Archive of everything else.
const ROWS: &str = "rows.tar";
/// How long before a backup began an insert may have begun that it cut: an insert ends or fails within minutes.
const UNCERTAIN_US: i64 = 3_600_000_000;

#[derive(Row, Deserialize)]
struct Span {
    rows: u64,
    from: i64,
    to: i64,
}

#[derive(Row, Deserialize)]
struct Name {
    name: String,
    engine: String,
}

impl Telemetry {
    /// Files that a backup of this store consists of, relative to the folder it is made in.
    pub fn archives(&self) -> Vec<String> {
        let nodes = self.shards().len();
        let of = |n: usize| [COMPLETED, ROWS].map(|f| if nodes == 1 { f.to_owned() } else { format!("shard-{n}-{f}") });
        (0..nodes).flat_map(of).collect()
    }

    /// Writes the archives into `dir`, a folder on the engine's machine below its `backups.allowed_path`; `dir` must not
    /// hold them yet. Ingest may go on meanwhile.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn backup(&self, scope: &Scope, dir: &Path) -> Result<(), TelemetryError> {
        if scope.only().is_some() {
            return Err(TelemetryError::Forbidden("a backup"));
        }
        let archives = self.archives();
        for (shard, files) in self.shards().iter().zip(archives.chunks(2)) {
            let [completed, rows] = files else { continue };
            let db = shard.database();
            let sql = format!("BACKUP TABLE {db}.segment TO {}", file(dir, completed)?);
            shard.upkeep("backup of completed inserts", &sql).await?;
            let sql = format!("BACKUP DATABASE {db} EXCEPT TABLES {db}.segment TO {}", file(dir, rows)?);
            shard.upkeep("backup of rows", &sql).await?;
        }
        Ok(())
    }

    /// Puts the archives of `dir` in the place of what is there, brings the schema forward, and counts again what came in
    /// the last hour before `made`, when the backup began. Nothing may be inserted meanwhile.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Holds`] where the store has rows and `replace` is not set;
    /// [`TelemetryError::Forbidden`] for a constituent.
    pub async fn restore(
        &self,
        scope: &Scope,
        dir: &Path,
        made: Timestamp,
        replace: bool,
    ) -> Result<(), TelemetryError> {
        if scope.only().is_some() {
            return Err(TelemetryError::Forbidden("a restore"));
        }
        for shard in self.shards() {
            shard.create_database().await?;
        }
        let sizes = self.sizes(scope).await?;
        let held: u64 = sizes.iter().filter(|s| s.name != "schema_version").map(|s| s.rows).sum();
        if held > 0 && !replace {
            return Err(TelemetryError::Holds(held));
        }
        let archives = self.archives();
        for (shard, files) in self.shards().iter().zip(archives.chunks(2)) {
            let [completed, rows] = files else { continue };
            shard.clear().await?;
            let db = shard.database();
            let sql = format!("RESTORE TABLE {db}.segment FROM {}", file(dir, completed)?);
            shard.upkeep("restore of completed inserts", &sql).await?;
            let sql = format!("RESTORE DATABASE {db} EXCEPT TABLES {db}.segment FROM {}", file(dir, rows)?);
            shard.upkeep("restore of rows", &sql).await?;
        }
        self.migrate().await?;
        for table in Table::ALL.into_iter().filter(|t| Rollup::of(*t).next().is_some()) {
            self.recount(scope, table, Timestamp::from_micros(made.micros().saturating_sub(UNCERTAIN_US))).await?;
        }
        Ok(())
    }

    /// Builds the buckets again that hold rows received since then.
    async fn recount(&self, scope: &Scope, table: Table, since: Timestamp) -> Result<(), TelemetryError> {
        let sql = format!(
            "SELECT count() AS rows, toUnixTimestamp64Micro(min(event_us)) AS from, toUnixTimestamp64Micro(max(event_us)) AS to \
             FROM {} WHERE received_us >= fromUnixTimestamp64Micro({}) LIMIT {{limit:UInt32}}",
            table.name(),
            since.micros()
        );
        let spans: Vec<Span> =
            self.all("what came last", self.operation(scope, Purpose::Upkeep, &sql, "a restore")?).await?;
        for s in spans.iter().filter(|s| s.rows > 0) {
            let (from, to) = (Timestamp::from_micros(s.from), Timestamp::from_micros(s.to));
            self.rebuild_rollups(scope, &Touched { table, sensor: None, from, to }).await?;
        }
        Ok(())
    }

    /// Drops every table of the database, views first.
    async fn clear(&self) -> Result<(), TelemetryError> {
        const SQL: &str = "SELECT t.name AS name, t.engine AS engine FROM system.tables AS t WHERE database = {db:String} \
             ORDER BY engine != 'MaterializedView', name LIMIT {limit:UInt32}";
        let q = self.operation(&Scope::System, Purpose::Upkeep, SQL, "tables")?.param("db", self.database());
        let tables: Vec<Name> = self.all("tables", q).await?;
        for t in tables {
            let kind = if t.engine == "MaterializedView" { "VIEW" } else { "TABLE" };
            let quoted = t.name.replace('`', "\\`");
            self.upkeep("dropping what is replaced", &format!("DROP {kind} IF EXISTS `{quoted}` SYNC")).await?;
        }
        Ok(())
    }

    async fn upkeep(&self, what: &str, sql: &str) -> Result<(), TelemetryError> {
        // The answer is a row with the backup's id: read whole.
        let mut cursor = self.client().query_raw(sql).fetch_bytes("TSV").map_err(TelemetryError::store(what))?;
        cursor.collect().await.map(drop).map_err(TelemetryError::store(what))
    }
}

/// `File('…')`, where the path can be written into a text at all.
fn file(dir: &Path, name: &str) -> Result<String, TelemetryError> {
    let path = dir.join(name);
    match path.to_str() {
        Some(p) if !p.contains(['\'', '\\', '\0']) => Ok(format!("File('{p}')")),
        _ => Err(TelemetryError::Url(format!(
            "{} has a quote, a backslash or other than UTF-8 in its name; choose another folder",
            path.display()
        ))),
    }
}
