// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How every question is put to the store: within a scope, within limits, reading only.
//!
//! A scope is held twice. The text of a question over events carries `$SCOPE`, which becomes the asker's condition; a text
//! without it is refused before it is sent. And a constituent's question goes with a filter on every table that the
//! engine itself applies wherever a table is read, so that a part of a text that forgot its condition still shows
//! nothing of others. Must never send a text of a caller's.

use clickhouse::{RowOwned, RowRead, query::Query};
use lagewarte_base::id::ConstituentId;

use super::{
    columns::{Source, Table},
    insert::{Telemetry, TelemetryError},
    limits::{MAX_ROWS, Purpose},
    rollup::Rollup,
};
use crate::scope::Scope;

impl Telemetry {
    /// A question over events: its text must name the scope.
    pub(super) fn events(&self, scope: &Scope, purpose: Purpose, sql: &str) -> Result<Query, TelemetryError> {
        if !sql.contains("$SCOPE") {
            return Err(TelemetryError::Forbidden("a question without a scope"));
        }
        Ok(match scope.only() {
            Some(c) => self
                .ask(purpose, &sql.replace("$SCOPE", "constituent = {scope:String}"))
                .param("scope", c.as_str())
                .with_setting("additional_table_filters", filters(&self.databases(), c)),
            None => self.ask(purpose, &sql.replace("$SCOPE", "1")),
        })
    }

    /// A question over tables of operation.
    pub(super) fn operation(
        &self,
        scope: &Scope,
        purpose: Purpose,
        sql: &str,
        what: &'static str,
    ) -> Result<Query, TelemetryError> {
        if scope.only().is_none() { Ok(self.ask(purpose, sql)) } else { Err(TelemetryError::Forbidden(what)) }
    }

    fn ask(&self, purpose: Purpose, sql: &str) -> Query {
        let mut q = self.client().query_raw(sql).param("limit", MAX_ROWS);
        for (name, value) in purpose.settings() {
            q = q.with_setting(name, value);
        }
        q.with_setting("readonly", "2") // 1 would refuse the settings beside it
    }

    /// Every database that a text could name: where questions go, and where the rows are.
    fn databases(&self) -> Vec<&str> {
        let mut all: Vec<&str> = vec![self.database()];
        all.extend(self.shards().iter().map(Self::database));
        all.dedup();
        all
    }

    pub(super) async fn all<T: RowOwned + RowRead>(
        &self,
        what: &'static str,
        q: Query,
    ) -> Result<Vec<T>, TelemetryError> {
        q.fetch_all().await.map_err(TelemetryError::store(what))
    }
}

/// The engine's own filter for a constituent: its rows of every table that knows owners, nothing of the others. In
/// quarantine the owner is only claimed, so that table is shut, too.
fn filters(databases: &[&str], only: &ConstituentId) -> String {
    // Twice quoted: a literal in an expression, and that expression as a value of the map.
    let literal = only.as_str().replace('\\', "\\\\").replace('\'', "\\'");
    let own = format!("constituent = '{literal}'").replace('\\', "\\\\").replace('\'', "\\'");
    let of = |t: &Table| {
        let owned = *t != Table::Quarantine && t.columns().any(|c| matches!(c.source, Source::Constituent));
        (t.name().to_owned(), if owned { own.as_str() } else { "0" })
    };
    let tables = Table::ALL.iter().map(of);
    let rollups = Rollup::all().map(|r| (r.name(), own.as_str()));
    let others = ["rebuild", "eviction", "schema_version"].map(|t| (t.to_owned(), "0"));
    let names: Vec<_> = tables.chain(rollups).chain(others).collect();
    let one = |d: &&str| names.iter().map(|(t, f)| format!("'{d}.{t}': '{f}'")).collect::<Vec<_>>();
    let all: Vec<String> = databases.iter().flat_map(one).collect();
    format!("{{{}}}", all.join(", "))
}

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;
