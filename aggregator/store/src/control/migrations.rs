// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Versioned migrations of the control database: applied once each, in order, one transaction each.
//!
//! A migration is never edited after it was released: its checksum is stored and compared. A database that a newer
//! version wrote is refused, never touched.

use sha2::{Digest as _, Sha256};

use super::{
    Control, ControlError, Result,
    db::{Pool, Tx, vals},
};

const MIGRATIONS: &[(&str, &str)] = &[
    ("register", include_str!("migrations/0001_register.sql")),
    ("picture", include_str!("migrations/0002_picture.sql")),
    ("warning", include_str!("migrations/0003_warning.sql")),
    ("ingest", include_str!("migrations/0004_ingest.sql")),
];

impl Control {
    /// Brings the schema to this version's; gives how many steps that took (0 the second time).
    ///
    /// # Errors
    /// [`ControlError::Schema`] where a newer version wrote the database or an applied step was edited.
    pub async fn migrate(&self) -> Result<usize> {
        self.migrate_to(MIGRATIONS.len()).await
    }

    /// Runs `work` while no other aggregator of this database does: for migrations of the telemetry store, which has no
    /// lock of its own. Writers of SQLite wait meanwhile.
    ///
    /// # Errors
    /// The database's, before `work` has begun.
    pub async fn one_at_a_time<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let lock = self.locked().await?;
        let done = work.await;
        drop(lock);
        Ok(done)
    }

    /// A transaction that no two hold at once.
    async fn locked(&self) -> Result<Tx> {
        let mut tx = self.pool.begin_unlocked().await?;
        if matches!(self.pool, Pool::Postgres(_)) {
            // Two aggregators that start together: CREATE TABLE IF NOT EXISTS alone races in PostgreSQL.
            // The number is this project's own, "lagewart" in ASCII; the lock ends with the transaction.
            tx.execute("SELECT pg_advisory_xact_lock(7809632580889866868)", vec![]).await?;
        }
        Ok(tx)
    }

    async fn migrate_to(&self, last: usize) -> Result<usize> {
        let mut tx = self.locked().await?;
        tx.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration \
             (version BIGINT PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL)",
            vec![],
        )
        .await?;
        let applied = tx.rows("SELECT version, name, sha256 FROM schema_migration ORDER BY version", vec![]).await?;
        if applied.len() > MIGRATIONS.len() {
            return Err(ControlError::Schema(format!(
                "it is at schema {}, this version knows {}; a newer lagewarte-aggregator wrote it: run that one, \
                 or restore the backup made before the upgrade",
                applied.len(),
                MIGRATIONS.len()
            )));
        }
        for (row, (name, sql)) in applied.iter().zip(MIGRATIONS) {
            if row.text("sha256")? != checksum(sql) {
                return Err(ControlError::Schema(format!(
                    "its schema step {} ({name}) is not the one this version has; it was not written by a release",
                    row.int("version")?
                )));
            }
        }
        let mut steps = 0;
        for (i, (name, sql)) in MIGRATIONS.iter().enumerate().take(last).skip(applied.len()) {
            for statement in statements(sql) {
                tx.execute(&statement, vec![]).await?;
            }
            let version = i64::try_from(i + 1).unwrap_or(i64::MAX);
            tx.execute(
                "INSERT INTO schema_migration (version, name, sha256) VALUES ($1, $2, $3)",
                vals![version, *name, checksum(sql)],
            )
            .await?;
            steps += 1;
        }
        tx.commit().await?;
        Ok(steps)
    }
}

fn checksum(sql: &str) -> String {
    hex::encode(Sha256::digest(sql))
}

/// The statements of a file; its comments and literals hold no semicolon (checked by the test below).
fn statements(sql: &str) -> Vec<String> {
    let code: String = sql.lines().filter(|l| !l.trim_start().starts_with("--")).flat_map(|l| [l, "\n"]).collect();
    code.split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;
    use crate::control::testing::{Db, each_db};

    #[test]
    fn the_files_use_two_types_and_split_cleanly() {
        for (name, sql) in MIGRATIONS {
            for s in statements(sql) {
                let head = s.split_whitespace().next().unwrap();
                assert!(["CREATE", "INSERT"].contains(&head), "{name}: {s}");
                for foreign in ["INTEGER", "BYTEA", "BLOB", "SERIAL", "BOOLEAN", "TIMESTAMP", "JSON", "VARCHAR"] {
                    assert!(!s.contains(foreign), "{name}: {foreign} in {s}");
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_done_one_at_a_time_never_overlaps() {
        each_db(async |db: Db| {
            let url = db.url().await;
            let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let work = async || {
                let control = Control::open(&url).await.unwrap();
                let done = control.one_at_a_time(async {
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    7
                });
                done.await.unwrap()
            };
            assert_eq!(tokio::join!(work(), work(), work()), (7, 7, 7));
            assert_eq!(most.load(Ordering::SeqCst), 1);
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_second_run_takes_no_step_and_old_data_survives_each_step_forward() {
        each_db(async |db: Db| {
            for from in 0..=MIGRATIONS.len() {
                let control = db.empty().await;
                assert_eq!(control.migrate_to(from).await.unwrap(), from);
                if from > 0 {
                    let sql = "INSERT INTO constituent (id, name, kind, ags, population) \
                               VALUES ($1, 'Alt', 'municipality', '09162000', 5)";
                    control.pool.execute(sql, vals!["alt"]).await.unwrap();
                }
                assert_eq!(control.migrate().await.unwrap(), MIGRATIONS.len() - from);
                assert_eq!(control.migrate().await.unwrap(), 0);
                let kept = control.pool.row("SELECT name FROM constituent WHERE id = 'alt'", vec![]).await.unwrap();
                assert_eq!(kept.map(|r| r.text("name").unwrap()), (from > 0).then(|| "Alt".to_owned()));
                control.close().await;
            }
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn newer_and_edited_schemas_are_refused_and_left_alone() {
        each_db(async |db: Db| {
            let control = db.empty().await;
            control.migrate().await.unwrap();
            let edit = "UPDATE schema_migration SET sha256 = 'other' WHERE version = 2";
            control.pool.execute(edit, vec![]).await.unwrap();
            assert!(control.migrate().await.unwrap_err().to_string().contains("step 2 (picture)"));
            let newer = "INSERT INTO schema_migration (version, name, sha256) VALUES (99, 'x', 'x')";
            control.pool.execute(newer, vec![]).await.unwrap();
            assert!(control.migrate().await.unwrap_err().to_string().contains("a newer lagewarte-aggregator"));
            let n = control.pool.row("SELECT COUNT(*) AS n FROM schema_migration", vec![]).await.unwrap().unwrap();
            assert_eq!(n.int("n").unwrap(), MIGRATIONS.len() as i64 + 1);
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn aggregators_that_start_together_migrate_once() {
        each_db(async |db: Db| {
            let url = db.url().await;
            let starts: Vec<_> = (0..4)
                .map(|_| {
                    tokio::spawn({
                        let url = url.clone();
                        async move { Control::open(&url).await.map(|_| ()) }
                    })
                })
                .collect();
            for s in starts {
                s.await.unwrap().unwrap();
            }
        })
        .await;
    }
}
