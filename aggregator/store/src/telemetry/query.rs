// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The questions that may be asked, each within a [`Scope`].
//!
//! Counts of traffic, which rollups answer, are in [`super::traffic`]; how a scope is held, in [`super::ask`]. Tables of
//! operation (segments, gaps, quarantine) answer to no constituent. Must never build SQL from a caller's text. Limits:
//! [`super::limits`].

use std::collections::HashMap;

use clickhouse::Row;
use lagewarte_base::{
    id::{Epoch, EventId},
    time::Timestamp,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    columns::Table,
    insert::{Telemetry, TelemetryError},
    limits::Purpose::{Ingest, Page, Picture},
};
use crate::scope::Scope;

/// Health reports of a sensor in an hour.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct HourReports {
    /// The sensor.
    #[serde(with = "clickhouse::serde::uuid")]
    pub sensor: Uuid,
    /// Start of the hour of receipt, µs.
    pub hour_us: i64,
    /// Reports.
    pub reports: u64,
}

/// What a sensor last said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct SensorHealth {
    /// The sensor.
    #[serde(with = "clickhouse::serde::uuid")]
    pub sensor: Uuid,
    /// Receipt of its last report, µs.
    pub received_us: i64,
    /// The sensor's clock at that report, µs.
    pub event_us: i64,
    /// Seconds between its reports.
    pub interval_s: u32,
    /// How far it is behind its line, µs.
    pub lag_us: i64,
    /// Packets handed over by the kernel between its last two reports (since start where there is one only).
    pub packets: u64,
    /// Packets dropped by the kernel in the same span.
    pub drops: u64,
    /// SHA-256 of its rule set, hex.
    pub ruleset: String,
    /// Its software.
    pub version: String,
    /// State of its spool.
    pub spool_state: String,
}

/// A completed insert.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct SegmentInfo {
    /// Its id.
    pub segment: String,
    /// Earliest receipt, µs.
    pub first_received_us: i64,
    /// Latest receipt, µs.
    pub last_received_us: i64,
    /// When it was durable, µs.
    pub durable_us: i64,
    /// Its rows.
    pub rows: u64,
}

/// Alerts of one constituent, within a minute of the events, that share signature, external address and host.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct AlertGroup {
    /// sid.
    pub signature_id: u32,
    /// Message of the rule.
    pub signature: String,
    /// Priority of the rule; 0 where it has none.
    pub severity: u8,
    /// The rule's metadata `lagewarte_kind`; empty where it has none.
    pub kind: String,
    /// The rule's metadata `lagewarte_advice`; empty where it has none.
    pub advice: String,
    /// The other side's address; empty where there is none.
    pub external_ip: String,
    /// The constituent's address; a pseudonym, where [`AlertGroup::key`] names a key.
    pub host: String,
    /// Id of the key of the pseudonyms; empty where addresses are clear.
    pub key: String,
    /// Owner.
    pub constituent: String,
    /// They were late: they complete and never trigger.
    pub late: bool,
    /// First event, µs.
    pub first_us: i64,
    /// Last event, µs.
    pub last_us: i64,
    /// Alerts.
    pub alerts: u64,
    /// Ids of some of the events, as [`EventId`] writes them.
    pub events: Vec<String>,
}

/// One alert, for a list.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct AlertRow {
    /// The event's id: sensor.
    #[serde(with = "clickhouse::serde::uuid")]
    pub sensor: Uuid,
    /// The event's id: epoch.
    pub epoch: u64,
    /// The event's id: nonce.
    pub nonce: u64,
    /// The event's id: sequence.
    pub seq: u64,
    /// Owner.
    pub constituent: String,
    /// Event time, µs.
    pub event_us: i64,
    /// Receipt, µs.
    pub received_us: i64,
    /// sid.
    pub signature_id: u32,
    /// Message of the rule.
    pub signature: String,
    /// Category of the rule.
    pub category: String,
    /// Priority of the rule.
    pub severity: u8,
    /// Source address.
    pub src_ip: String,
    /// Destination address.
    pub dest_ip: String,
    /// Destination port.
    pub dest_port: u16,
    /// Transport protocol.
    pub proto: String,
    /// Which side is the constituent's.
    pub inner: String,
    /// The event.
    pub eve: String,
}

/// p50 and p99 of one hop, out of the stored times.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Hop {
    /// Where it begins and ends: read, spooled, sent, received, durable.
    pub hop: &'static str,
    /// Events measured.
    pub events: u64,
    /// Median, µs. Negative where the sensor's clock is ahead.
    pub p50_us: f64,
    /// 99th percentile, µs.
    pub p99_us: f64,
}

/// What is asked of the list of alerts.
#[derive(Clone, Debug, Default)]
pub struct AlertFilter {
    /// Only this signature.
    pub signature_id: Option<u32>,
    /// Only with this address on either side.
    pub ip: Option<std::net::IpAddr>,
}

/// The question behind [`Telemetry::alert_groups`]; `condition` is one of two texts of ours.
fn groups(condition: &str) -> String {
    format!(
        "SELECT signature_id, any(signature)::String AS signature, min(severity) AS severity, \
         any(metadata['lagewarte_kind'][1])::String AS kind, any(metadata['lagewarte_advice'][1])::String AS advice, \
         if(external = toIPv6('::'), '', replaceOne(toString(external), '::ffff:', '')) AS external_ip, \
         replaceOne(toString(inside), '::ffff:', '') AS host, pseudonym_key::String AS key, \
         constituent::String AS constituent, late, \
         toUnixTimestamp64Micro(min(event_us)) AS first_us, toUnixTimestamp64Micro(max(event_us)) AS last_us, count() AS alerts, \
         groupArray(3)(concat(toString(sensor), ':', toString(epoch), '-', leftPad(lower(hex(nonce)), 16, '0'), ':', toString(seq))) AS events \
         FROM (SELECT *, alert.external_ip AS external, multiIf(inner = 'src', src_ip, inner = 'none' AND src_ip != external, src_ip, dest_ip) AS inside, \
               intDiv(toUnixTimestamp64Micro(event_us), 60000000) AS minute FROM alert WHERE {condition}) \
         GROUP BY signature_id, external, inside, pseudonym_key, constituent, late, minute \
         ORDER BY first_us, signature_id, constituent, host LIMIT {{limit:UInt32}}"
    )
}

#[derive(Row, Deserialize)]
struct IdRow {
    #[serde(with = "clickhouse::serde::uuid")]
    sensor: Uuid,
    epoch: u64,
    nonce: u64,
    seq: u64,
}

#[derive(Row, Deserialize)]
struct Latency {
    events: u64,
    hops: Vec<Vec<f64>>,
}

/// Alerts whose times [`Telemetry::latency`] holds at once. Threat: a question over a busy day that needs gigabytes.
pub const MAX_MEASURED: u64 = 200_000;

/// Most epochs in one question of [`Telemetry::high_water`]; more are asked for in turn. Threat: as for
/// [`super::MAX_IDS`], with 140 bytes for each table and epoch.
pub const MAX_EPOCHS: usize = 100;

/// Tables that hold an event's id.
const WITH_IDS: [Table; 5] = [Table::Alert, Table::Flow, Table::Record, Table::Health, Table::Quarantine];

impl Telemetry {
    /// The last report of every sensor that reported after `since`; loss over its last two reports.
    ///
    /// # Errors
    /// The store's answer.
    pub async fn sensor_health(&self, scope: &Scope, since: Timestamp) -> Result<Vec<SensorHealth>, TelemetryError> {
        // Two reports a sensor: the counters since its start are cumulative, and a restart sets them to zero.
        const SQL: &str = "WITH arraySort(x -> -x.1, groupArray(2)((us, kp, kd))) AS r \
             SELECT sensor, max(us) AS received_us, argMax(eus, us) AS event_us, \
             argMax(interval_s, us) AS interval_s, argMax(lag_us, us) AS lag_us, \
             toUInt64(if(length(r) < 2 OR r[1].2 < r[2].2, r[1].2, r[1].2 - r[2].2)) AS packets, \
             toUInt64(if(length(r) < 2 OR r[1].3 < r[2].3, r[1].3, r[1].3 - r[2].3)) AS drops, \
             argMax(ruleset, us)::String AS ruleset, argMax(version, us)::String AS version, argMax(spool_state, us)::String AS spool_state \
             FROM (SELECT sensor, toUnixTimestamp64Micro(received_us) AS us, \
                   toUnixTimestamp64Micro(health.event_us) AS eus, interval_s, lag_us, kernel_packets AS kp, \
                   kernel_drops AS kd, ruleset, version, spool_state FROM health \
                   WHERE $SCOPE AND received_us >= fromUnixTimestamp64Micro({since:Int64}) \
                   ORDER BY us DESC, seq DESC LIMIT 2 BY sensor) \
             GROUP BY sensor ORDER BY sensor LIMIT {limit:UInt32}";
        self.all("health of the sensors", self.events(scope, Page, SQL)?.param("since", since.micros())).await
    }

    /// Health reports by sensor and hour of receipt in `[from, to)`: an hour with too few of them was not seen.
    ///
    /// # Errors
    /// The store's answer.
    pub async fn reports_by_hour(
        &self,
        scope: &Scope,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<HourReports>, TelemetryError> {
        const SQL: &str = "SELECT sensor, toInt64(toUnixTimestamp(toStartOfHour(received_us, 'UTC'))) * 1000000 AS hour_us, \
             count() AS reports FROM health WHERE $SCOPE AND received_us >= fromUnixTimestamp64Micro({from:Int64}) \
             AND received_us < fromUnixTimestamp64Micro({to:Int64}) \
             GROUP BY sensor, hour_us ORDER BY hour_us, sensor LIMIT {limit:UInt32}";
        let q = self.events(scope, Page, SQL)?.param("from", from.micros()).param("to", to.micros());
        self.all("reports by hour", q).await
    }

    /// Release profiles (`name@version`) in force: that of the newest event of each sensor that sent since `since`.
    ///
    /// # Errors
    /// The store's answer.
    pub async fn profiles(&self, scope: &Scope, since: Timestamp) -> Result<Vec<String>, TelemetryError> {
        const SQL: &str = "SELECT DISTINCT newest FROM (SELECT sensor, argMax(profile, us)::String AS newest FROM \
             (SELECT sensor, profile, received_us AS us FROM alert WHERE $SCOPE AND received_us >= fromUnixTimestamp64Micro({since:Int64}) \
             UNION ALL SELECT sensor, profile, received_us AS us FROM health WHERE $SCOPE \
             AND received_us >= fromUnixTimestamp64Micro({since:Int64})) GROUP BY sensor) ORDER BY newest LIMIT {limit:UInt32}";
        self.all("release profiles", self.events(scope, Page, SQL)?.param("since", since.micros())).await
    }

    /// Completed inserts that became durable at or after `since`, oldest first.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn segments(&self, scope: &Scope, since: Timestamp) -> Result<Vec<SegmentInfo>, TelemetryError> {
        // A replayed segment may stand twice where its token was forgotten: the first completion counts.
        const SQL: &str = "SELECT segment, toUnixTimestamp64Micro(min(s.first_received_us)) AS first_received_us, \
             toUnixTimestamp64Micro(max(s.last_received_us)) AS last_received_us, toUnixTimestamp64Micro(min(s.durable_us)) AS durable_us, \
             any(rows) AS rows FROM segment AS s WHERE s.durable_us >= fromUnixTimestamp64Micro({since:Int64}) \
             GROUP BY segment ORDER BY durable_us, segment LIMIT {limit:UInt32}";
        self.all("segments", self.operation(scope, Picture, SQL, "segment")?.param("since", since.micros())).await
    }

    /// Alerts whose segment became durable in `[from, to]`, grouped for the search for campaigns; at most [`MAX_ROWS`]
    /// groups. Rows received more than seven days before that are not looked for.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent, who has no business with segments.
    pub async fn alert_groups(
        &self,
        scope: &Scope,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<AlertGroup>, TelemetryError> {
        const WHERE: &str = "segment IN (SELECT segment FROM segment WHERE durable_us >= fromUnixTimestamp64Micro({from:Int64}) \
             AND durable_us <= fromUnixTimestamp64Micro({to:Int64})) \
             AND received_us >= fromUnixTimestamp64Micro({from:Int64}) - INTERVAL 7 DAY \
             AND received_us <= fromUnixTimestamp64Micro({to:Int64})";
        let q = self
            .operation(scope, Picture, &groups(WHERE), "segments")?
            .param("from", from.micros())
            .param("to", to.micros());
        self.all("alerts by segment", q).await
    }

    /// The same for segments named one by one.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn alert_groups_of(
        &self,
        scope: &Scope,
        segments: &[SegmentInfo],
    ) -> Result<Vec<AlertGroup>, TelemetryError> {
        const WHERE: &str = "received_us >= fromUnixTimestamp64Micro({from:Int64}) \
             AND received_us <= fromUnixTimestamp64Micro({to:Int64}) AND segment IN {segments:Array(String)}";
        let (Some(from), Some(to)) =
            (segments.iter().map(|s| s.first_received_us).min(), segments.iter().map(|s| s.last_received_us).max())
        else {
            return Ok(Vec::new());
        };
        let names: Vec<&str> = segments.iter().map(|s| s.segment.as_str()).collect();
        let q = self
            .operation(scope, Picture, &groups(WHERE), "segments")?
            .param("from", from)
            .param("to", to)
            .param("segments", names);
        self.all("alerts of new segments", q).await
    }

    /// The newest alerts whose event lies in `[from, to)`.
    ///
    /// # Errors
    /// The store's answer.
    pub async fn alerts(
        &self,
        scope: &Scope,
        from: Timestamp,
        to: Timestamp,
        filter: &AlertFilter,
        n: u32,
    ) -> Result<Vec<AlertRow>, TelemetryError> {
        const SQL: &str = "SELECT sensor, epoch, nonce, seq, constituent::String AS constituent, \
             toUnixTimestamp64Micro(alert.event_us) AS event_us, toUnixTimestamp64Micro(alert.received_us) AS received_us, signature_id, \
             signature::String AS signature, category::String AS category, severity, \
             replaceOne(toString(alert.src_ip), '::ffff:', '') AS src_ip, replaceOne(toString(alert.dest_ip), '::ffff:', '') AS dest_ip, \
             dest_port, proto::String AS proto, inner::String AS inner, eve FROM alert \
             WHERE $SCOPE AND alert.event_us >= fromUnixTimestamp64Micro({from:Int64}) AND alert.event_us < fromUnixTimestamp64Micro({to:Int64}) \
             AND ({sid:UInt32} = 0 OR signature_id = {sid:UInt32}) \
             AND ({ip:String} = '' OR alert.src_ip = toIPv6OrDefault({ip:String}) OR alert.dest_ip = toIPv6OrDefault({ip:String})) \
             ORDER BY alert.event_us DESC, seq DESC LIMIT least({n:UInt32}, {limit:UInt32})";
        let q = self
            .events(scope, Page, SQL)?
            .param("from", from.micros())
            .param("to", to.micros())
            .param("sid", filter.signature_id.unwrap_or(0))
            .param("ip", filter.ip.map(|ip| ip.to_string()).unwrap_or_default())
            .param("n", n);
        self.all("alerts", q).await
    }

    /// Ids of all events of `table` that were received in `[from, to)`, ordered; at most [`MAX_ROWS`].
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn event_ids(
        &self,
        scope: &Scope,
        table: Table,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<EventId>, TelemetryError> {
        if !WITH_IDS.contains(&table) {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT sensor, epoch, nonce, seq FROM {} WHERE received_us >= fromUnixTimestamp64Micro({{from:Int64}}) \
             AND received_us < fromUnixTimestamp64Micro({{to:Int64}}) ORDER BY sensor, epoch, nonce, seq LIMIT {{limit:UInt32}}",
            table.name()
        );
        let q = self.operation(scope, Ingest, &sql, "event ids")?.param("from", from.micros()).param("to", to.micros());
        let rows: Vec<IdRow> = self.all("event ids", q).await?;
        Ok(rows
            .into_iter()
            .map(|r| EventId { sensor: r.sensor, epoch: Epoch { counter: r.epoch, nonce: r.nonce }, seq: r.seq })
            .collect())
    }

    /// Highest sequence number stored of each of these epochs, over all tables, where there is any: what a lost journal is
    /// repaired by. Lower numbers may still be missing; [`Telemetry::existing`] says which. One question for hundreds costs
    /// little more than for one.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn high_water(
        &self,
        scope: &Scope,
        epochs: &[(Uuid, Epoch)],
    ) -> Result<HashMap<(Uuid, Epoch), u64>, TelemetryError> {
        let mut waters = HashMap::new();
        for some in epochs.chunks(MAX_EPOCHS) {
            waters.extend(self.high_water_of(scope, some).await?);
        }
        Ok(waters)
    }

    async fn high_water_of(
        &self,
        scope: &Scope,
        epochs: &[(Uuid, Epoch)],
    ) -> Result<impl Iterator<Item = ((Uuid, Epoch), u64)>, TelemetryError> {
        // UUIDs and numbers only: nothing of a sensor's own words stands in the statement. The sensors stand there by
        // themselves, since they have an index.
        let sensors = epochs.iter().map(|(s, _)| format!("toUUID('{s}')")).collect::<Vec<_>>().join(", ");
        let keys = epochs.iter().map(|(s, e)| format!("(toUUID('{s}'), {}, {})", e.counter, e.nonce));
        let keys = keys.collect::<Vec<_>>().join(", ");
        let each = |name: &str, seq: &str| {
            format!(
                "SELECT sensor, epoch, nonce, max({seq}) AS seq FROM {name} WHERE sensor IN ({sensors}) \
                 AND (sensor, epoch, nonce) IN ({keys}) GROUP BY sensor, epoch, nonce"
            )
        };
        let tables = WITH_IDS.iter().map(|t| each(t.name(), "seq")).chain([each("gap", "to_seq")]);
        let sql = format!(
            "SELECT sensor, epoch, nonce, max(seq) AS seq FROM ({}) GROUP BY sensor, epoch, nonce LIMIT {{limit:UInt32}}",
            tables.collect::<Vec<_>>().join(" UNION ALL ")
        );
        let rows: Vec<IdRow> = self.all("high water", self.operation(scope, Ingest, &sql, "high water")?).await?;
        Ok(rows.into_iter().map(|r| ((r.sensor, Epoch { counter: r.epoch, nonce: r.nonce }), r.seq)))
    }

    /// Which of the sequence numbers `from..=to` of an epoch are stored (quarantine included), ascending.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn existing(
        &self,
        scope: &Scope,
        sensor: Uuid,
        epoch: Epoch,
        from: u64,
        to: u64,
    ) -> Result<Vec<u64>, TelemetryError> {
        let each = |t: &Table| {
            format!(
                "SELECT seq FROM {} WHERE sensor = {{sensor:UUID}} AND epoch = {{epoch:UInt64}} AND nonce = {{nonce:UInt64}} \
                 AND seq BETWEEN {{from:UInt64}} AND {{to:UInt64}}",
                t.name()
            )
        };
        let union = WITH_IDS.iter().map(each).collect::<Vec<_>>().join(" UNION ALL ");
        let sql = format!("SELECT DISTINCT seq FROM ({union}) ORDER BY seq LIMIT {{limit:UInt32}}");
        let q = self
            .operation(scope, Ingest, &sql, "existing ids")?
            .param("sensor", sensor.to_string())
            .param("epoch", epoch.counter)
            .param("nonce", epoch.nonce)
            .param("from", from)
            .param("to", to);
        self.all("existing ids", q).await
    }

    /// p50 and p99 of each hop of the alerts received in `[from, to)`: read → spooled → sent → received → durable, and
    /// the whole way; alerts that took longer than a day to become durable are left out. Exact up to [`MAX_MEASURED`] alerts;
    /// of more, a sample by id that is about as large at most. Sensor and aggregator have a clock each; a hop between them carries
    /// their difference.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn latency(&self, scope: &Scope, from: Timestamp, to: Timestamp) -> Result<Vec<Hop>, TelemetryError> {
        const HOPS: [(&str, &str); 5] = [
            ("read→spooled", "p - r"),
            ("spooled→sent", "s - p"),
            ("sent→received", "a - s"),
            ("received→durable", "z - a"),
            ("read→durable", "z - r"),
        ];
        const RECEIVED: &str = "alert.received_us >= fromUnixTimestamp64Micro({from:Int64}) \
             AND alert.received_us < fromUnixTimestamp64Micro({to:Int64})";
        let quantiles = HOPS.map(|(_, us)| format!("quantilesExact(0.5, 0.99)({us})::Array(Float64)")).join(", ");
        let sql = format!(
            "WITH toUnixTimestamp64Micro(observed_us) AS r, toUnixTimestamp64Micro(spooled_us) AS p, \
             toUnixTimestamp64Micro(sent_us) AS s, toUnixTimestamp64Micro(alert.received_us) AS a, d.us AS z, \
             (SELECT intDiv(count(), {MAX_MEASURED}) + 1 FROM alert WHERE {RECEIVED}) AS every \
             SELECT count() AS events, [{quantiles}] AS hops \
             FROM alert INNER JOIN (SELECT segment, toUnixTimestamp64Micro(min(durable_us)) AS us FROM segment \
             WHERE durable_us >= fromUnixTimestamp64Micro({{from:Int64}}) AND durable_us < fromUnixTimestamp64Micro({{to:Int64}}) + INTERVAL 1 DAY \
             GROUP BY segment) AS d ON alert.segment = d.segment \
             WHERE {RECEIVED} AND cityHash64(sensor, epoch, nonce, seq) % every = 0 LIMIT {{limit:UInt32}}"
        );
        let q = self.operation(scope, Picture, &sql, "latency")?.param("from", from.micros()).param("to", to.micros());
        let rows: Vec<Latency> = self.all("latency", q).await?;
        let Some(l) = rows.into_iter().next().filter(|l| l.events > 0) else { return Ok(Vec::new()) };
        let pairs =
            l.hops.iter().map(|h| (h.first().copied().unwrap_or(f64::NAN), h.get(1).copied().unwrap_or(f64::NAN)));
        Ok(HOPS
            .into_iter()
            .zip(pairs)
            .map(|((hop, _), (p50_us, p99_us))| Hop { hop, events: l.events, p50_us, p99_us })
            .collect())
    }

    /// Events in quarantine that were received in `[from, to)`, by reason.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn quarantined(
        &self,
        scope: &Scope,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(String, u64)>, TelemetryError> {
        const SQL: &str = "SELECT reason::String AS reason, count() AS events FROM quarantine \
             WHERE received_us >= fromUnixTimestamp64Micro({from:Int64}) AND received_us < fromUnixTimestamp64Micro({to:Int64}) \
             GROUP BY reason ORDER BY reason LIMIT {limit:UInt32}";
        let q =
            self.operation(scope, Picture, SQL, "quarantine")?.param("from", from.micros()).param("to", to.micros());
        self.all("quarantine", q).await
    }

    /// Whether the store answers; its version.
    ///
    /// # Errors
    /// The store's answer.
    pub async fn version(&self) -> Result<String, TelemetryError> {
        // Outside our database: a new server does not have it yet.
        self.client()
            .clone()
            .with_database("system")
            .query("SELECT version()")
            .fetch_one()
            .await
            .map_err(TelemetryError::store("asking for its version"))
    }
}
