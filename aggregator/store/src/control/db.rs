// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Two databases behind one door: the same SQL text, the same parameters, the same rows.
//!
//! Only `$n` parameters, TEXT and BIGINT. Must never build SQL from data. Limits: [`MAX_CONNECTIONS`]; a statement waits
//! at most [`BUSY`] for another writer. A write transaction serialises writers on both databases by its first statement.

use std::{fs::OpenOptions, path::Path, str::FromStr, time::Duration};

use lagewarte_base::{ags::Ags, id::ConstituentId, tlp::Tlp};
use sqlx::{
    Column as _, Row as _, Sqlite, Transaction,
    postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow, Postgres},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use uuid::Uuid;

use super::ControlError;

/// Most connections of one process. Threat: one aggregator taking all of a shared PostgreSQL's connections.
pub(super) const MAX_CONNECTIONS: u32 = 8;
/// How long a statement waits for another writer, and a caller for a connection.
pub(super) const BUSY: Duration = Duration::from_secs(10);
/// How long until a file that is locked is tried again.
const AGAIN: Duration = Duration::from_millis(20);

/// A parameter.
#[derive(Clone, Debug)]
pub(super) enum Val {
    Text(Option<String>),
    Int(Option<i64>),
}

macro_rules! val_from {
    ($($t:ty => |$v:ident| $e:expr;)*) => {$(
        impl From<$t> for Val {
            fn from($v: $t) -> Self {
                $e
            }
        }
    )*};
}
val_from! {
    &str => |v| Self::Text(Some(v.to_owned()));
    String => |v| Self::Text(Some(v));
    &String => |v| Self::Text(Some(v.clone()));
    Option<String> => |v| Self::Text(v);
    Option<&str> => |v| Self::Text(v.map(str::to_owned));
    i64 => |v| Self::Int(Some(v));
    Option<i64> => |v| Self::Int(v);
    bool => |v| Self::Int(Some(i64::from(v)));
    Uuid => |v| Self::Text(Some(v.to_string()));
    Option<Uuid> => |v| Self::Text(v.map(|u| u.to_string()));
    &ConstituentId => |v| Self::Text(Some(v.as_str().to_owned()));
    Option<&ConstituentId> => |v| Self::Text(v.map(|c| c.as_str().to_owned()));
    Ags => |v| Self::Text(Some(v.as_str().to_owned()));
    Tlp => |v| Self::Text(Some(v.as_str().to_owned()));
}

/// Parameters in order of `$1`, `$2`, …
macro_rules! vals {
    ($($v:expr),* $(,)?) => { vec![$($crate::control::db::Val::from($v)),*] };
}
pub(super) use vals;

/// A row of either database; columns by name.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(super) fn opt_text(&self, column: &str) -> Result<Option<String>, ControlError> {
        Ok(match self {
            Self::Sqlite(r) => r.try_get(column)?,
            Self::Postgres(r) => r.try_get(column)?,
        })
    }
    pub(super) fn opt_int(&self, column: &str) -> Result<Option<i64>, ControlError> {
        Ok(match self {
            Self::Sqlite(r) => r.try_get(column)?,
            Self::Postgres(r) => r.try_get(column)?,
        })
    }
    pub(super) fn text(&self, column: &str) -> Result<String, ControlError> {
        self.opt_text(column)?.ok_or_else(|| self.corrupt(column, "is NULL"))
    }
    pub(super) fn int(&self, column: &str) -> Result<i64, ControlError> {
        self.opt_int(column)?.ok_or_else(|| self.corrupt(column, "is NULL"))
    }
    pub(super) fn flag(&self, column: &str) -> Result<bool, ControlError> {
        Ok(self.int(column)? != 0)
    }
    /// A text column read as `T`; what the code wrote it can read, so anything else is damage.
    pub(super) fn parse<T: FromStr>(&self, column: &str) -> Result<T, ControlError> {
        self.text(column)?.parse().map_err(|_| self.corrupt(column, "does not hold what its type wants"))
    }
    pub(super) fn opt_parse<T: FromStr>(&self, column: &str) -> Result<Option<T>, ControlError> {
        self.opt_text(column)?
            .map(|t| t.parse().map_err(|_| self.corrupt(column, "does not hold what its type wants")))
            .transpose()
    }
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, ControlError> {
        serde_json::from_str(&self.text(column)?).map_err(|e| self.corrupt(column, &e.to_string()))
    }
    fn corrupt(&self, column: &str, why: &str) -> ControlError {
        let known = match self {
            Self::Sqlite(r) => r.columns().iter().any(|c| c.name() == column),
            Self::Postgres(r) => r.columns().iter().any(|c| c.name() == column),
        };
        ControlError::Corrupt(format!("column {column} {}", if known { why } else { "is missing" }))
    }
}

macro_rules! bound {
    ($sql:expr, $vals:expr) => {{
        let mut q = sqlx::query($sql);
        for v in $vals {
            q = match v {
                Val::Text(t) => q.bind(t),
                Val::Int(i) => q.bind(i),
            };
        }
        q
    }};
}

/// Connections to either database.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    pub(super) async fn open(url: &str) -> Result<Self, ControlError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(|e| cannot_open(url, &e))?;
            let pool = PgPoolOptions::new()
                .max_connections(MAX_CONNECTIONS)
                .acquire_timeout(BUSY)
                .connect_with(options)
                .await
                .map_err(|e| cannot_open(url, &e))?;
            return Ok(Self::Postgres(pool));
        }
        let Some(path) = url.strip_prefix("sqlite:").map(|p| p.strip_prefix("//").unwrap_or(p)) else {
            return Err(ControlError::Open {
                url: redacted(url),
                why: "it begins with neither sqlite: nor postgres:".into(),
                hint: "write control.url as sqlite:/path/to/control.db or postgres://user@host/database".into(),
            });
        };
        // Contacts and token hashes: nobody but the aggregator's user reads this file, whatever the umask.
        private_file(Path::new(path)).map_err(|e| cannot_open(url, &sqlx::Error::Io(e)))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .foreign_keys(true);
        let pool = SqlitePoolOptions::new().max_connections(MAX_CONNECTIONS).acquire_timeout(BUSY);
        // Of several who find a new file one makes it a write-ahead log; for that SQLite does not wait by itself.
        let mut waited = Duration::ZERO;
        loop {
            match pool.clone().connect_with(options.clone()).await {
                Ok(pool) => return Ok(Self::Sqlite(pool)),
                Err(e) if locked(&e) && waited < BUSY => {
                    waited += AGAIN;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(e) => return Err(cannot_open(url, &e)),
            }
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(p) => p.close().await,
            Self::Postgres(p) => p.close().await,
        }
    }

    pub(super) async fn rows(&self, sql: &str, vals: Vec<Val>) -> Result<Vec<Row>, ControlError> {
        Ok(match self {
            Self::Sqlite(p) => bound!(sql, vals).fetch_all(p).await?.into_iter().map(Row::Sqlite).collect(),
            Self::Postgres(p) => bound!(sql, vals).fetch_all(p).await?.into_iter().map(Row::Postgres).collect(),
        })
    }
    pub(super) async fn row(&self, sql: &str, vals: Vec<Val>) -> Result<Option<Row>, ControlError> {
        Ok(match self {
            Self::Sqlite(p) => bound!(sql, vals).fetch_optional(p).await?.map(Row::Sqlite),
            Self::Postgres(p) => bound!(sql, vals).fetch_optional(p).await?.map(Row::Postgres),
        })
    }
    /// Rows changed.
    pub(super) async fn execute(&self, sql: &str, vals: Vec<Val>) -> Result<u64, ControlError> {
        Ok(match self {
            Self::Sqlite(p) => bound!(sql, vals).execute(p).await?.rows_affected(),
            Self::Postgres(p) => bound!(sql, vals).execute(p).await?.rows_affected(),
        })
    }

    /// A transaction without the writers' lock: for migrations, which make the table that the lock stands in.
    pub(super) async fn begin_unlocked(&self) -> Result<Tx, ControlError> {
        Ok(match self {
            // IMMEDIATE: a deferred one that turns into a writer later fails with BUSY without waiting.
            Self::Sqlite(p) => Tx::Sqlite(p.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(p) => Tx::Postgres(p.begin().await?),
        })
    }

    /// A write transaction. Writers follow one another, so that what is read inside stays true until the commit.
    pub(super) async fn begin(&self) -> Result<Tx, ControlError> {
        let mut tx = self.begin_unlocked().await?;
        tx.execute("UPDATE counter SET n = n + 1 WHERE name = 'write'", vec![]).await?;
        Ok(tx)
    }
}

/// A transaction on either database; rolled back where it is dropped without [`Tx::commit`].
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    pub(super) async fn rows(&mut self, sql: &str, vals: Vec<Val>) -> Result<Vec<Row>, ControlError> {
        Ok(match self {
            Self::Sqlite(t) => bound!(sql, vals).fetch_all(&mut **t).await?.into_iter().map(Row::Sqlite).collect(),
            Self::Postgres(t) => bound!(sql, vals).fetch_all(&mut **t).await?.into_iter().map(Row::Postgres).collect(),
        })
    }
    pub(super) async fn row(&mut self, sql: &str, vals: Vec<Val>) -> Result<Option<Row>, ControlError> {
        Ok(match self {
            Self::Sqlite(t) => bound!(sql, vals).fetch_optional(&mut **t).await?.map(Row::Sqlite),
            Self::Postgres(t) => bound!(sql, vals).fetch_optional(&mut **t).await?.map(Row::Postgres),
        })
    }
    pub(super) async fn execute(&mut self, sql: &str, vals: Vec<Val>) -> Result<u64, ControlError> {
        Ok(match self {
            Self::Sqlite(t) => bound!(sql, vals).execute(&mut **t).await?.rows_affected(),
            Self::Postgres(t) => bound!(sql, vals).execute(&mut **t).await?.rows_affected(),
        })
    }
    /// Where the register changed: whoever holds a [`super::register::Directory`] sees a new revision.
    pub(super) async fn register_changed(&mut self) -> Result<(), ControlError> {
        self.execute("UPDATE counter SET n = n + 1 WHERE name = 'register'", vec![]).await.map(|_| ())
    }
    pub(super) async fn commit(self) -> Result<(), ControlError> {
        match self {
            Self::Sqlite(t) => t.commit().await?,
            Self::Postgres(t) => t.commit().await?,
        }
        Ok(())
    }
}

fn private_file(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(|_| ())
}

/// The URL without its password: errors are shown and logged.
pub(super) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.split_once('@') {
        Some((user, host)) => format!("{scheme}://{}@{host}", user.split(':').next().unwrap_or_default()),
        None => url.to_owned(),
    }
}

/// SQLITE_BUSY: another holds the file.
fn locked(e: &sqlx::Error) -> bool {
    e.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "5")
}

fn cannot_open(url: &str, e: &sqlx::Error) -> ControlError {
    let hint = if url.starts_with("postgres") {
        "check that PostgreSQL runs, that the database exists and that the user of control.url may log in"
    } else {
        "check that the folder exists, that this user may write there, and that the disk is not full"
    };
    ControlError::Open { url: redacted(url), why: e.to_string(), hint: hint.into() }
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn a_password_never_shows() {
        for (url, want) in [
            ("postgres://u:secret@h/db", "postgres://u@h/db"),
            ("postgres://u@h/db", "postgres://u@h/db"),
            ("sqlite:/var/lib/x.db", "sqlite:/var/lib/x.db"),
            ("postgres:///db?host=/run", "postgres:///db?host=/run"),
        ] {
            assert_eq!(redacted(url), want);
        }
    }
}
