// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One engine, one register, and sensors that are enrolled as real ones are.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lagewarte_base::{
    clock::{Clock, SystemClock},
    fs::RealFs,
    id::{EventId, Uuid},
    time::Timestamp,
    token::EnrolmentToken,
};
use lagewarte_event::{Class, Envelope, Message as _};
use lagewarte_ingest::{Ingest, Options};
use lagewarte_spool::{Options as SpoolOptions, Priority, Spool};
use lagewarte_store::{
    control::{
        Control, load,
        tokens::{NewToken, TokenKind},
    },
    engine::{Engine, testing},
    telemetry::{Connection, Telemetry},
};
use lagewarte_uplink::{Identity, Options as UplinkOptions, Uplink};

pub(crate) struct World {
    pub(crate) connection: Connection,
    pub(crate) telemetry: Telemetry,
    pub(crate) control: Control,
    pub(crate) engine: Engine,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn now() -> i64 {
    SystemClock.now().micros()
}

/// The register of the fictional Land that the project ships.
pub(crate) async fn register(control: &Control) {
    let land = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards/land");
    let files = load::read(&land).unwrap();
    control.load_register(&files, false, "test", now()).await.unwrap();
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine_dir = dir.path().join("engine");
        let options = testing::options(&engine_dir, "real").unwrap();
        let engine = tokio::task::spawn_blocking(move || Engine::start(&options).unwrap()).await.unwrap();
        let connection = engine.connection();
        let telemetry = Telemetry::new(&connection);
        telemetry.migrate().await.unwrap();
        let control = Control::open(&control_url(dir.path())).await.unwrap();
        register(&control).await;
        Self { connection, telemetry, control, engine, dir }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            flush: Duration::from_millis(20),
            lease: Duration::from_secs(2),
            ..Options::new(self.dir.path().join("data"))
        }
    }

    pub(crate) async fn ingest(&self, options: Options) -> (Ingest, prometheus::Registry) {
        let registry = prometheus::Registry::new();
        let clock = Arc::new(SystemClock);
        let ingest =
            Ingest::start(options, self.telemetry.clone(), self.control.clone(), &registry, clock).await.unwrap();
        (ingest, registry)
    }

    /// A token for the sensor of this name, as the CLI issues it.
    pub(crate) async fn token(&self, ingest: &Ingest, name: &str, expires_us: Option<i64>) -> EnrolmentToken {
        let sensor = self.control.sensor_named(name).await.unwrap();
        let new = NewToken {
            kind: TokenKind::Enrol,
            constituent: None,
            sensor: Some(sensor.id),
            expires_us,
            label: "test".into(),
        };
        let secret = self.control.issue_token(&new, "test", now()).await.unwrap();
        ingest.enrolment_token(*secret.bytes())
    }

    pub(crate) async fn enrol(&self, ingest: &Ingest, name: &str) -> PathBuf {
        let token = self.token(ingest, name, None).await;
        let dir = self.dir.path().join(name).join("identity");
        lagewarte_uplink::enrol(&token, &dir).await.unwrap();
        dir
    }

    /// One value or table of the store, tab-separated.
    pub(crate) async fn ask(&self, sql: &str) -> String {
        let client = clickhouse::Client::default()
            .with_url(&self.connection.url)
            .with_user(&self.connection.user)
            .with_password(&self.connection.password)
            .with_database(&self.connection.database)
            .with_setting("wait_end_of_query", "1");
        let bytes = client.query_raw(sql).fetch_bytes("TSV").unwrap().collect().await.unwrap();
        String::from_utf8_lossy(&bytes).trim_end().to_owned()
    }

    /// Ids of all rows of a table, doubled ones twice.
    pub(crate) async fn ids(&self, table: &str) -> Vec<String> {
        let sql = format!(
            "SELECT concat(toString(sensor), ':', toString(epoch), '-', lower(hex(nonce)), ':', toString(seq)) AS id FROM {table} ORDER BY id"
        );
        let text = self.ask(&sql).await;
        text.lines().map(|l| l.parse::<EventId>().unwrap_or_else(|_| panic!("{l}")).to_string()).collect()
    }
}

pub(crate) fn control_url(dir: &Path) -> String {
    format!("sqlite:{}", dir.join("control.db").display())
}

/// A sensor process: spool and uplink.
pub(crate) struct Sensor {
    pub(crate) spool: Arc<Spool>,
    pub(crate) uplink: Uplink,
    pub(crate) id: Uuid,
}

impl Sensor {
    pub(crate) fn start(identity: &Path, spool: &Path) -> Self {
        let identity = Identity::load(identity).unwrap();
        let id = identity.enrolment().sensor;
        let clock = Arc::new(SystemClock);
        let spool = Spool::open(spool, SpoolOptions::default(), Arc::new(RealFs), clock.clone()).unwrap();
        let spool = Arc::new(spool);
        let options = UplinkOptions {
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_millis(300),
            ..UplinkOptions::default()
        };
        let uplink = Uplink::start(Arc::clone(&spool), identity, options, clock);
        Self { spool, uplink, id }
    }

    /// Appends an alert; gives its id as text.
    pub(crate) fn alert(&self, constituent: &str) -> String {
        let seq = self.spool.append(Priority::Alert, |seq| alert(seq, constituent, now()).encode_to_vec()).unwrap();
        EventId { sensor: self.id, epoch: self.spool.epoch(), seq }.to_string()
    }

    /// Waits until everything is acknowledged.
    pub(crate) async fn drained(&self) {
        let spool = &self.spool;
        until("everything is acknowledged", async || {
            let committed = spool.commit().is_ok(); // first: what is not committed is not counted
            committed && spool.epochs() == [spool.epoch()] && spool.status().records == 0
        })
        .await;
    }
}

pub(crate) fn alert(seq: u64, constituent: &str, us: i64) -> Envelope {
    let eve = format!(
        r#"{{"timestamp":"{}","flow_id":77,"event_type":"alert","src_ip":"203.0.113.9","src_port":4444,"dest_ip":"10.1.2.3","dest_port":22,"proto":"TCP","community_id":"1:x","app_proto":"ssh","direction":"to_server","alert":{{"action":"allowed","gid":1,"signature_id":9000001,"rev":1,"signature":"LAGEWARTE test","category":"Attempted Administrator Privilege Gain","severity":1}}}}"#,
        Timestamp::from_micros(us).eve()
    );
    envelope(seq, constituent, us, "alert", eve)
}

pub(crate) fn envelope(seq: u64, constituent: &str, us: i64, event_type: &str, eve: String) -> Envelope {
    Envelope {
        seq,
        class: Class::of(event_type) as i32,
        event_type: event_type.into(),
        event_us: us,
        observed_us: us,
        spooled_us: us,
        ruleset: vec![0xab; 32],
        constituent: constituent.into(),
        profile: "alerts-only@1".into(),
        eve: eve.into_bytes(),
    }
}

/// Polls until it is so; fails after two minutes, which only a hang takes.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..2400 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never came true: {what}");
}

/// The sum of a metric over its labels; `label` picks those that contain it.
pub(crate) fn metric(registry: &prometheus::Registry, name: &str, label: &str) -> f64 {
    let name = format!("lagewarte_ingest_{name}");
    let families = registry.gather();
    let family = families.iter().find(|f| f.name() == name);
    let metrics = family.map(|f| f.get_metric()).unwrap_or_default();
    metrics
        .iter()
        .filter(|m| label.is_empty() || m.get_label().iter().any(|l| l.value() == label))
        .map(|m| m.get_counter().get_value() + m.get_gauge().get_value())
        .sum()
}
