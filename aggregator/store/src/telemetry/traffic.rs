// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Counts of traffic: the questions that rollups answer.
//!
//! Each says which columns it wants; [`super::choose`] decides which tables give them. Must never name a rollup itself.

use clickhouse::Row;
use lagewarte_base::time::Timestamp;
use serde::Deserialize;

use super::{
    choose,
    columns::Table,
    insert::{Telemetry, TelemetryError},
    limits::Purpose,
};
use crate::scope::Scope;

const HOUR_US: i64 = 3_600_000_000;

/// Alerts of a constituent in an hour.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct HourCount {
    /// Owner.
    pub constituent: String,
    /// Start of the hour of the events, µs.
    pub hour_us: i64,
    /// Alerts.
    pub alerts: u64,
}

/// Alerts of a signature.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct SignatureCount {
    /// sid.
    pub signature_id: u32,
    /// Message of the rule.
    pub signature: String,
    /// Alerts.
    pub alerts: u64,
    /// Constituents that saw it.
    pub constituents: u64,
    /// Latest event, µs.
    pub last_us: i64,
}

impl Telemetry {
    /// Alerts by constituent and hour of the event, for every hour that `[from, to)` touches.
    ///
    /// # Errors
    /// The store's answer.
    pub async fn alerts_by_hour(
        &self,
        scope: &Scope,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<HourCount>, TelemetryError> {
        let whole = |us: i64| Timestamp::from_micros(us.div_euclid(HOUR_US).saturating_mul(HOUR_US));
        let span = (whole(from.micros()), whole(to.micros().saturating_add(HOUR_US - 1)));
        let sql = format!(
            "SELECT constituent::String AS constituent, toInt64(toUnixTimestamp(toStartOfHour(at))) * 1000000 AS hour_us, \
             sum(r.alerts) AS alerts FROM {} AS r GROUP BY constituent, hour_us ORDER BY hour_us, constituent LIMIT {{limit:UInt32}}",
            match self.rows(Table::Alert, &["constituent", "at", "alerts"], span) {
                Some(rows) => rows,
                None => return Ok(Vec::new()),
            }
        );
        self.all("alerts by hour", self.events(scope, Purpose::Page, &sql)?).await
    }

    /// The signatures with the most alerts whose event lies in `[from, to)`.
    ///
    /// # Errors
    /// The store's answer.
    pub async fn top_signatures(
        &self,
        scope: &Scope,
        from: Timestamp,
        to: Timestamp,
        n: u32,
    ) -> Result<Vec<SignatureCount>, TelemetryError> {
        const WANTS: &[&str] = &["constituent", "signature_id", "signature", "alerts", "last_us"];
        let Some(rows) = self.rows(Table::Alert, WANTS, (from, to)) else { return Ok(Vec::new()) };
        // Twice over the same rows: who saw it is counted for the few signatures of the answer only, since counting
        // distinct owners costs most of the time; by a hash, which is made once for each owner of a block of rows.
        let sql = format!(
            "SELECT signature_id, any(r.signature)::String AS signature, sum(r.alerts) AS alerts, \
             uniqExact(cityHash64(r.constituent)) AS constituents, toUnixTimestamp64Micro(max(r.last_us)) AS last_us FROM {rows} AS r \
             WHERE signature_id IN (SELECT t.signature_id FROM {rows} AS t GROUP BY t.signature_id \
             ORDER BY sum(t.alerts) DESC, t.signature_id LIMIT least({{n:UInt32}}, {{limit:UInt32}})) \
             GROUP BY signature_id ORDER BY alerts DESC, signature_id LIMIT least({{n:UInt32}}, {{limit:UInt32}})"
        );
        self.all("top signatures", self.events(scope, Purpose::Page, &sql)?.param("n", n)).await
    }

    /// Rows of the smallest tables that have `wants` (`at`: the time of bucket or event); None for an empty span.
    fn rows(&self, source: Table, wants: &[&str], span: (Timestamp, Timestamp)) -> Option<String> {
        let slices = choose::slices(source, wants, span, self.now(), &self.horizons());
        (!slices.is_empty()).then(|| choose::rows(source, wants, &slices))
    }
}
