// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `backup` and `restore` of the real program: rows, rollups, marks and register are what they were.
#![expect(clippy::unwrap_used, reason = "helpers of tests: what fails here fails the test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use lagewarte_base::{
    id::{ConstituentId, Epoch, EventId, Uuid},
    time::Timestamp,
};
use lagewarte_event::{Class, Envelope};
use lagewarte_store::{
    Scope,
    engine::{Engine, Options},
    telemetry::{Place, Rows, Telemetry, columns::Table, extract},
};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lagewarte-aggregator");
const DAY: i64 = 86_400_000_000;

fn now() -> i64 {
    Timestamp::from(std::time::SystemTime::now()).micros()
}

struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(host.config(), format!("data-dir: {}\n", host.data().display())).unwrap();
        host
    }
    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
    fn config(&self) -> PathBuf {
        self.dir.path().join("aggregator.yaml")
    }
    fn run(&self, args: &[&str]) -> Output {
        let mut c = Command::new(PROGRAM);
        c.args(args).arg("--config").arg(self.config());
        c.env_remove("CLICKHOUSE_URL").env_remove("LAGEWARTE_CONTROL_URL").output().unwrap()
    }
    fn json(&self, args: &[&str]) -> Value {
        let out = self.run(&[args, &["--json"]].concat());
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        serde_json::from_slice(&out.stdout).unwrap()
    }
    fn refused(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert_eq!(out.status.code(), Some(1), "{args:?}: {}", String::from_utf8_lossy(&out.stdout));
        String::from_utf8_lossy(&out.stderr).into_owned()
    }
    /// The engine as `serve` runs it: what a command beside it finds.
    fn engine(&self) -> Engine {
        let mut options = Options::new(&self.data().join("engine"), None).unwrap();
        options.program = PROGRAM.into();
        Engine::start(&options).unwrap()
    }
}

fn register(dir: &Path) {
    for (file, text) in [
        (
            "constituents.csv",
            "id,name,kind,ags,population\na,Stadt A,municipality,09162000,\nb,Markt B,municipality,09162001,\n",
        ),
        ("networks.csv", "constituent,cidr\na,10.1.0.0/16\nb,10.2.0.0/16\n"),
        ("sensors.csv", "id,name,constituent,serves,interval_s\n,gw-a,a,b,10\n"),
        ("contacts.csv", "constituent,name,role,mail,phone\na,Anna,IT,it@a.example,\n"),
    ] {
        fs::write(dir.join(file), text).unwrap();
    }
}

fn segment(sensor: u128, n: i64, number: u64) -> Rows {
    let mut rows = Rows::new(&format!("l/{number}"), 0);
    let at = Timestamp::from_micros(n);
    let place = |_: Uuid, _: &ConstituentId| Some(Place { ags: None });
    for i in 1..=40u64 {
        let seq = number * 40 + i;
        let us = n - i as i64 * 60_000_000;
        let eve = format!(
            r#"{{"timestamp":"{}","event_type":"alert","src_ip":"203.0.113.7","dest_ip":"10.1.2.3","proto":"TCP","alert":{{"signature_id":{},"signature":"LAGEWARTE test","severity":1}}}}"#,
            Timestamp::from_micros(us).eve(),
            1 + i % 3
        );
        let env = Envelope {
            seq,
            class: Class::Alert as i32,
            event_type: "alert".into(),
            event_us: us,
            observed_us: us,
            spooled_us: us,
            ruleset: vec![7; 32],
            constituent: if i % 2 == 0 { "a".into() } else { "b".into() },
            profile: "alerts-only@1".into(),
            eve: eve.into_bytes(),
        };
        let id = EventId { sensor: Uuid::from_u128(sensor), epoch: Epoch { counter: 1, nonce: 9 }, seq };
        rows.push(&extract(&id, &env, at, at, &place).unwrap());
    }
    rows
}

/// Everything that is stored, as numbers and lists that another content would not give.
async fn state(t: &Telemetry, n: i64) -> (Vec<(String, u64)>, Vec<String>, String) {
    let (from, to) = (Timestamp::from_micros(n - DAY), Timestamp::from_micros(n + DAY));
    let sizes = t.sizes(&Scope::System).await.unwrap();
    // Rollups merge their rows in the background; their sums are compared below.
    let raw = |s: &&lagewarte_store::telemetry::TableSize| Table::ALL.iter().any(|t| t.name() == s.name);
    let rows: Vec<_> = sizes.iter().filter(raw).map(|s| (s.name.clone(), s.rows)).collect();
    let mut ids: Vec<String> =
        t.event_ids(&Scope::System, Table::Alert, from, to).await.unwrap().iter().map(ToString::to_string).collect();
    ids.sort();
    let mut more = format!("{:?}\n", t.alerts_by_hour(&Scope::Land, from, to).await.unwrap());
    more += &format!("{:?}\n", t.top_signatures(&Scope::Land, from, to, 100).await.unwrap());
    more += &format!("{:?}\n", t.segments(&Scope::System, from).await.unwrap());
    let epochs = [1, 2].map(|sensor| (Uuid::from_u128(sensor), Epoch { counter: 1, nonce: 9 }));
    let waters = t.high_water(&Scope::System, &epochs).await.unwrap();
    more += &format!("{:?}\n", epochs.map(|e| waters.get(&e)));
    for c in t.check_rollups(&Scope::System, Table::Alert, from, to).await.unwrap() {
        assert_eq!((c.differing, c.raw), (0, c.rolled), "{c:?}");
        more += &format!("{c:?}\n");
    }
    (rows, ids, more)
}

#[test]
fn both_stores_come_back_as_they_were() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (host, n) = (Host::new(), now());
    register(host.dir.path());
    host.json(&["register", "load", host.dir.path().to_str().unwrap()]);
    let registered = host.json(&["register", "list"]);
    let backup = host.dir.path().join("backup");
    let name = backup.to_str().unwrap();

    let engine = host.engine();
    let before = runtime.block_on(async {
        let t = Telemetry::new(&engine.connection());
        t.migrate().await.unwrap();
        for number in 0..5 {
            t.insert_segment(&segment(1, n, number)).await.unwrap();
        }
        t.insert_segment(&segment(2, n, 7)).await.unwrap();
        state(&t, n).await
    });
    assert_eq!(before.1.len(), 240);
    // While it runs.
    let manifest = host.json(&["backup", name]);
    assert_eq!(manifest["files"].as_array().unwrap().len(), 3, "{manifest}");
    assert!(host.refused(&["backup", name]).contains("is not empty"));
    assert!(fs::read_dir(host.data().join("engine/backups")).unwrap().next().is_none(), "nothing is left there");
    assert_eq!(host.json(&["store", "check"])[0]["differing"], 0);

    // What comes after the backup is what a restore loses.
    runtime.block_on(async {
        Telemetry::new(&engine.connection()).insert_segment(&segment(1, n, 50)).await.unwrap();
    });
    fs::write(
        host.dir.path().join("constituents.csv"),
        "id,name,kind,ags,population\na,Stadt A neu,municipality,09162000,\nb,Markt B,municipality,09162001,\n",
    )
    .unwrap();
    host.json(&["register", "load", host.dir.path().to_str().unwrap()]);
    assert_ne!(host.json(&["register", "list"]), registered);
    assert!(host.refused(&["restore", name, "--replace"]).contains("an aggregator runs"));
    engine.stop();
    assert!(host.refused(&["restore", name]).contains("--replace"));

    // A backup that is not whole is refused before anything is touched.
    let damaged = host.dir.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    for f in fs::read_dir(&backup).unwrap().flatten() {
        fs::copy(f.path(), damaged.join(f.file_name())).unwrap();
    }
    let mut bytes = fs::read(damaged.join("rows.tar")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(damaged.join("rows.tar"), bytes).unwrap();
    let said = host.refused(&["restore", damaged.to_str().unwrap(), "--replace"]);
    assert!(said.contains("rows.tar") && said.contains("not the file that was backed up"), "{said}");
    fs::remove_file(damaged.join("manifest.json")).unwrap();
    assert!(host.refused(&["restore", damaged.to_str().unwrap(), "--replace"]).contains("no whole backup"));

    // On the same host, and on a new one.
    fs::create_dir_all(host.data().join("journal/lane-0")).unwrap();
    fs::write(host.data().join("journal/lane-0/marks"), "of a store that is gone").unwrap();
    let fresh = Host::new();
    for (host, args) in [(&host, vec!["restore", name, "--replace"]), (&fresh, vec!["restore", name])] {
        let said = host.json(&args);
        let aside = said["journals"].as_str().map(PathBuf::from);
        assert_eq!(
            aside.as_deref().map(|a| a.join("lane-0/marks").exists()),
            (host.data() != fresh.data()).then_some(true)
        );
        assert!(!host.data().join("journal").exists());
        assert_eq!(host.json(&["register", "list"]), registered);
        let engine = host.engine();
        let after = runtime.block_on(async {
            let t = Telemetry::new(&engine.connection());
            assert_eq!(t.migrate().await.unwrap(), 0);
            state(&t, n).await
        });
        assert_eq!(after, before);
        engine.stop();
    }
}

#[test]
fn the_ddl_of_a_cluster_is_printed_and_a_wrong_configuration_is_refused() {
    let host = Host::new();
    let ddl = host.json(&["cluster", "ddl", "--replicated"]);
    assert!(ddl["statements"].as_array().unwrap().len() > 40);
    let text = String::from_utf8(host.run(&["cluster", "configuration", "--shards", "3"]).stdout).unwrap();
    assert_eq!(text.matches("<shard><internal_replication>").count(), 3);
    fs::write(host.config(), "clickhouse: {url: 'http://a', shards: ['http://b']}\n").unwrap();
    assert!(host.refused(&["config"]).contains("clickhouse.shards"));
    fs::write(host.config(), "clickhouse: {max-gib: 0}\n").unwrap();
    assert!(host.refused(&["config"]).contains("clickhouse.max-gib"));
}
