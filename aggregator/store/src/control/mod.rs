// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The control plane: small, transactional state of the aggregator, in SQLite (default) or PostgreSQL.
//!
//! Register (constituents, sensors, contacts, tokens), what the picture found (coverage, campaigns, levels), and the
//! warning workflow (warnings, deliveries, acknowledgements, audit). Must never hold telemetry. One SQL text per query
//! for both databases: `$n` parameters, TEXT and BIGINT only. Every write that spans rows is one transaction; writers
//! follow one another. Times are microseconds since the Unix epoch and come from the caller, so that tests own them.
//!
//! Functions are methods of [`Control`], grouped by module. Reads of constituents' data take a [`crate::Scope`].

pub mod audit;
mod backup;
pub mod campaigns;
pub mod coverage;
mod db;
pub mod deliveries;
pub mod lanes;
pub mod levels;
pub mod load;
mod migrations;
pub mod register;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod warnings;

use db::Pool;

/// The control plane's database. Cheap to clone: clones share the connections.
#[derive(Clone, Debug)]
pub struct Control {
    pool: Pool,
}

/// Why the control plane did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The database cannot be opened.
    #[error("cannot open the control database {url}: {why}; {hint}")]
    Open {
        /// Which, without its password.
        url: String,
        /// What the database said.
        why: String,
        /// What to do.
        hint: String,
    },
    /// The database refused a statement.
    #[error("control database: {0}")]
    Db(#[from] sqlx::Error),
    /// The schema is not one that this version can work with.
    #[error("control database: {0}")]
    Schema(String),
    /// A row holds what this version cannot read.
    #[error("control database is damaged: {0}")]
    Corrupt(String),
    /// There is no such thing.
    #[error("{what} {id} is not in the register")]
    Missing {
        /// What kind of thing: sensor, constituent, warning.
        what: &'static str,
        /// Its id or name, as asked.
        id: String,
    },
    /// The request contradicts what is stored.
    #[error("{0}")]
    Refused(String),
}

/// What the control plane's functions give.
pub type Result<T, E = ControlError> = std::result::Result<T, E>;

impl Control {
    /// Opens `sqlite:PATH` (made where it is not there) or `postgres://…`, and brings the schema up to date.
    ///
    /// # Errors
    /// [`ControlError::Open`] with what to do; [`ControlError::Schema`] where a newer version wrote the database.
    pub async fn open(url: &str) -> Result<Self> {
        let control = Self { pool: Pool::open(url).await? };
        control.migrate().await?;
        Ok(control)
    }

    /// Closes all connections; SQLite's write-ahead log is folded in.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether the database answers: for health checks.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn ping(&self) -> Result<()> {
        self.pool.row("SELECT n FROM counter WHERE name = 'register'", vec![]).await.map(|_| ())
    }
}

/// An enum whose values are stored as words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $v:ident = $w:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $w)] $v,)* }
        impl $name {
            /// Every value.
            pub const ALL: &[Self] = &[$(Self::$v,)*];
            /// The word stored and shown to machines.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$v => $w,)* }
            }
        }
        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(s: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.as_str() == s).ok_or_else(|| {
                    let all: Vec<_> = Self::ALL.iter().map(|v| v.as_str()).collect();
                    format!("{:?} is none of {}", s.chars().take(40).collect::<String>(), all.join(", "))
                })
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl From<$name> for $crate::control::db::Val {
            fn from(v: $name) -> Self {
                v.as_str().into()
            }
        }
    };
}
pub(crate) use words;
