// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the store holds already, by id: for events whose journal is not here, and for senders that repeat themselves.
//!
//! Must never be asked without bounds: a question names its epoch and numbers, or its ids and the time of their events.

use std::collections::HashSet;

use lagewarte_base::{
    id::{ConstituentId, Epoch},
    time::Timestamp,
};
use uuid::Uuid;

use super::{
    columns::Table,
    insert::{Telemetry, TelemetryError},
    limits::Purpose,
};
use crate::Scope;

/// Most ids in one question; more are asked for in turn. Threat: a statement larger than the engine reads, which is 128 KiB
/// (`http_max_field_value_size`): an id of the longest numbers is 46 bytes, and stands there once for each table.
pub const MAX_IDS: usize = 500;

impl Telemetry {
    /// Gaps of an epoch that touch the numbers `from..=to`, as first and last number.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn existing_gaps(
        &self,
        scope: &Scope,
        sensor: Uuid,
        epoch: Epoch,
        from: u64,
        to: u64,
    ) -> Result<Vec<(u64, u64)>, TelemetryError> {
        const SQL: &str = "SELECT DISTINCT from_seq, to_seq FROM gap WHERE sensor = {sensor:UUID} AND epoch = {epoch:UInt64} \
             AND nonce = {nonce:UInt64} AND to_seq >= {from:UInt64} AND from_seq <= {to:UInt64} \
             ORDER BY from_seq LIMIT {limit:UInt32}";
        let q = self.operation(scope, Purpose::Ingest, SQL, "existing gaps")?;
        let q = q.param("sensor", sensor.to_string()).param("epoch", epoch.counter).param("nonce", epoch.nonce);
        self.all("existing gaps", q.param("from", from).param("to", to)).await
    }

    /// Which of `ids` (nonce and number within epoch 0) of a sensor without numbers are stored. Their events belong to
    /// `constituent` and happened in `[from, to]`: the store looks there, and in quarantine.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn existing_ids(
        &self,
        scope: &Scope,
        sensor: Uuid,
        constituent: &ConstituentId,
        ids: &[(u64, u64)],
        (from, to): (Timestamp, Timestamp),
    ) -> Result<HashSet<(u64, u64)>, TelemetryError> {
        let mut found = HashSet::new();
        for some in ids.chunks(MAX_IDS) {
            // Numbers only: nothing of the sender's own words stands in the statement.
            let list = some.iter().map(|(n, s)| format!("({n}, {s})")).collect::<Vec<_>>().join(", ");
            let each = |t: &Table| {
                let place = match t {
                    Table::Quarantine => "",
                    Table::Health => "AND {0}.event_us BETWEEN low AND high",
                    _ => "AND constituent = {constituent:String} AND {0}.event_us BETWEEN low AND high",
                };
                format!(
                    "SELECT nonce, seq FROM {0} WHERE sensor = {{sensor:UUID}} AND epoch = 0 AND (nonce, seq) IN ({list}) {1}",
                    t.name(),
                    place.replace("{0}", t.name())
                )
            };
            let tables = [Table::Alert, Table::Flow, Table::Record, Table::Health, Table::Quarantine];
            let union = tables.iter().map(each).collect::<Vec<_>>().join(" UNION ALL ");
            let sql = format!(
                "WITH fromUnixTimestamp64Micro({{from:Int64}}) AS low, fromUnixTimestamp64Micro({{to:Int64}}) AS high \
                 SELECT DISTINCT nonce, seq FROM ({union}) LIMIT {{limit:UInt32}}"
            );
            let q = self.operation(scope, Purpose::Ingest, &sql, "existing ids")?.param("sensor", sensor.to_string());
            let q = q.param("constituent", constituent.as_str()).param("from", from.micros()).param("to", to.micros());
            found.extend(self.all::<(u64, u64)>("existing ids", q).await?);
        }
        Ok(found)
    }
}
