// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A real engine with the real schema for one test, and events as sensors send them.

#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test program uses its part")]

use lagewarte_base::{
    id::{ConstituentId, Epoch, EventId},
    time::Timestamp,
};
use lagewarte_event::{Class, Envelope};
use lagewarte_store::{
    engine::{Engine, testing},
    telemetry::{Place, Telemetry},
};
use uuid::Uuid;

/// Engine and store; the folder goes with it.
pub(crate) struct Store {
    pub(crate) telemetry: Telemetry,
    pub(crate) engine: Engine,
    pub(crate) dir: tempfile::TempDir,
}

/// Starts an engine and brings the schema up.
pub(crate) async fn store(module: &str) -> Store {
    let store = engine_only(module);
    store.telemetry.migrate().await.unwrap();
    store
}

/// Starts an engine without any schema.
pub(crate) fn engine_only(module: &str) -> Store {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&testing::options(&dir.path().join("engine"), module).unwrap()).unwrap();
    Store { telemetry: Telemetry::new(&engine.connection()), engine, dir }
}

/// One row as the grafana or ingest user sees it, tab-separated.
pub(crate) async fn ask(connection: &lagewarte_store::telemetry::Connection, sql: &str) -> Result<String, String> {
    let client = clickhouse::Client::default()
        .with_url(&connection.url)
        .with_user(&connection.user)
        .with_password(&connection.password)
        .with_database(&connection.database)
        .with_setting("wait_end_of_query", "1");
    let mut cursor = client.query_raw(sql).fetch_bytes("TSV").map_err(|e| e.to_string())?;
    let bytes = cursor.collect().await.map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// The n-th sensor.
pub(crate) fn sensor(n: u128) -> Uuid {
    Uuid::from_u128(0x5e50_0000 + n)
}

/// An event's id.
pub(crate) fn id(sensor_number: u128, seq: u64) -> EventId {
    EventId { sensor: sensor(sensor_number), epoch: Epoch { counter: 1, nonce: 0xabcd }, seq }
}

/// Every sensor may speak for everyone, and everyone lies in Kreis 09162.
pub(crate) fn anyone(_: Uuid, _: &ConstituentId) -> Option<Place> {
    Some(Place { ags: Some("09162000".parse().unwrap()) })
}

/// An alert at `us` on a host of `constituent`, from `external`.
pub(crate) fn alert(constituent: &str, us: i64, sid: u32, external: &str) -> Envelope {
    let eve = format!(
        r#"{{"timestamp":"{}","flow_id":77,"event_type":"alert","src_ip":"{external}","src_port":4444,"dest_ip":"10.1.2.3","dest_port":22,"proto":"TCP","community_id":"1:x","app_proto":"ssh","direction":"to_server","alert":{{"action":"allowed","gid":1,"signature_id":{sid},"rev":2,"signature":"LAGEWARTE test {sid}","category":"Attempted Administrator Privilege Gain","severity":1,"metadata":{{"lagewarte_kind":["bruteforce"]}}}},"lagewarte":{{"inner":"dest","key":"k1"}}}}"#,
        Timestamp::from_micros(us).eve()
    );
    envelope(constituent, us, "alert", eve)
}

/// A report of a sensor's health.
pub(crate) fn health(constituent: &str, us: i64, packets: u64, drops: u64) -> Envelope {
    let eve = format!(
        r#"{{"event_type":"stats","stats":{{"uptime":10,"capture":{{"kernel_packets":{packets},"kernel_drops":{drops}}},"decoder":{{"pkts":{packets},"bytes":1}},"lagewarte":{{"version":"0.1.0","interval_s":30,"ruleset":"00","rules_loaded":12,"rules_refused":0,"spool":{{"state":"normal","records":0,"bytes":0,"oldest_us":0}},"lag_us":1500}}}}}}"#
    );
    envelope(constituent, us, "stats", eve)
}

/// A flow.
pub(crate) fn flow(constituent: &str, us: i64, bytes: u64) -> Envelope {
    let eve = format!(
        r#"{{"timestamp":"{}","flow_id":7,"event_type":"flow","src_ip":"203.0.113.7","src_port":4444,"dest_ip":"10.1.2.3","dest_port":22,"proto":"TCP","app_proto":"ssh","flow":{{"pkts_toserver":3,"pkts_toclient":2,"bytes_toserver":{bytes},"bytes_toclient":20,"age":1,"state":"closed","reason":"timeout","alerted":true}},"lagewarte":{{"inner":"dest"}}}}"#,
        Timestamp::from_micros(us).eve()
    );
    envelope(constituent, us, "flow", eve)
}

/// An anomaly.
pub(crate) fn anomaly(constituent: &str, us: i64) -> Envelope {
    let eve = format!(
        r#"{{"timestamp":"{}","event_type":"anomaly","src_ip":"203.0.113.7","dest_ip":"10.1.2.3","proto":"TCP","anomaly":{{"type":"stream","event":"stream.pkt_broken_ack"}},"lagewarte":{{"inner":"dest"}}}}"#,
        Timestamp::from_micros(us).eve()
    );
    envelope(constituent, us, "anomaly", eve)
}

/// Any event.
pub(crate) fn envelope(constituent: &str, us: i64, event_type: &str, eve: String) -> Envelope {
    Envelope {
        seq: 0,
        class: Class::of(event_type) as i32,
        event_type: event_type.into(),
        event_us: us,
        observed_us: us + 1_000,
        spooled_us: us + 2_000,
        ruleset: vec![0xab; 32],
        constituent: constituent.into(),
        profile: "alerts-only@1".into(),
        eve: eve.into_bytes(),
    }
}

/// 2026-06-01T10:00:00Z would age out of no table of a young store; tests use the present instead.
pub(crate) fn now() -> i64 {
    Timestamp::from(std::time::SystemTime::now()).micros()
}
