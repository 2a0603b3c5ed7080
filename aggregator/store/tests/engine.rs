// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The embedded engine as a process: start, stop, death, locks, ports, and who may do what.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};

use common::{alert, anyone, ask, id, now, store};
use lagewarte_base::time::Timestamp;
use lagewarte_store::{
    engine::{Engine, EngineError, LIBRARY_SIZE, testing},
    telemetry::{Rows, Telemetry, extract},
};

lagewarte_store::engine_in_tests!();

/// Waits for a condition; the limit is only there so that a failure ends.
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..1500 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never: {what}");
}

fn alive(pid: u32) -> bool {
    // A zombie has ended; only its parent has not noticed yet.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}

fn segment(name: &str) -> Rows {
    let n = now();
    let mut rows = Rows::new(name, 0);
    let at = Timestamp::from_micros(n);
    rows.push(&extract(&id(1, 1), &alert("stadt-a", n, 7, "203.0.113.7"), at, at, &anyone).unwrap());
    rows
}

#[tokio::test]
async fn it_stops_cleanly_and_comes_back_with_its_data_and_its_query_log() {
    let s = store(module_path!()).await;
    s.telemetry.insert_segment(&segment("l/1")).await.unwrap();
    let (pid, dir) = (s.engine.pid().unwrap(), s.dir);
    let (telemetry, engine) = (s.telemetry, s.engine);
    drop(telemetry);
    engine.stop();
    assert!(!alive(pid));
    let options = testing::options(&dir.path().join("engine"), module_path!()).unwrap();
    for round in 0..2 {
        let engine = Engine::start(&options).unwrap();
        let c = engine.connection();
        assert_eq!(Telemetry::new(&c).migrate().await.unwrap(), 0);
        assert_eq!(ask(&c, "SELECT count() FROM alert").await.unwrap(), "1", "round {round}");
        // Broken after the first restart where the system database is in memory only.
        until("the query log takes rows", || {
            let ask = ask(&c, "SELECT count() > 0 FROM system.query_log WHERE query LIKE '%FROM alert%'");
            std::thread::scope(|s| s.spawn(|| runtime().block_on(ask)).join().unwrap()).is_ok_and(|a| a == "1")
        });
        let log = fs::read_to_string(dir.path().join("engine/engine.log")).unwrap_or_default();
        assert!(!log.contains("<Error>"), "{log}");
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn killed_it_is_started_again_where_everyone_looks_for_it() {
    let s = store(module_path!()).await;
    let first = segment("l/1");
    s.telemetry.insert_segment(&first).await.unwrap();
    for round in 1..=2 {
        let pid = s.engine.pid().unwrap();
        kill(pid);
        until("a new engine", || s.engine.restarts() == round && s.engine.pid().is_some_and(|p| p != pid));
        // The same connection: same port, same password; and the segment again is the same segment.
        // The first one may meet a connection of the engine that is gone, and is repeated as ingest would.
        let mut tries = 0;
        while s.telemetry.insert_segment(&first).await.is_err() {
            tries += 1;
            assert!(tries < 10, "does not come back");
        }
        s.telemetry.insert_segment(&segment(&format!("l/{}", round + 1))).await.unwrap();
        let count = ask(&s.engine.connection(), "SELECT count(), (SELECT sum(alerts) FROM alert_1h) FROM alert").await;
        assert_eq!(count.unwrap(), format!("{0}\t{0}", round + 1));
    }
}

const PARENT: &str = "LAGEWARTE_TEST_PARENT";

/// The aggregator's part in the next test: starts an engine, says its process id, waits to be killed.
#[test]
fn parent_to_be_killed() {
    let Some(dir) = std::env::var_os(PARENT) else { return };
    let dir = std::path::PathBuf::from(dir);
    let engine = Engine::start(&testing::options(&dir.join("engine"), module_path!()).unwrap()).unwrap();
    fs::write(dir.join("pid.new"), engine.pid().unwrap().to_string()).unwrap();
    fs::rename(dir.join("pid.new"), dir.join("pid")).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn it_ends_with_its_aggregator_and_the_next_one_gets_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "parent_to_be_killed", "--nocapture"])
        .env(PARENT, dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let read = || fs::read_to_string(dir.path().join("pid")).ok()?.parse::<u32>().ok();
    until("the engine of the parent", || read().is_some());
    let pid = read().unwrap();
    assert!(alive(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    // At once: the old engine may still be ending, and the start waits for it.
    let engine = Engine::start(&testing::options(&dir.path().join("engine"), module_path!()).unwrap()).unwrap();
    assert!(!alive(pid));
    assert_ne!(engine.pid(), Some(pid));
}

#[tokio::test]
async fn a_folder_in_use_and_a_busy_port_are_told_from_a_start() {
    let s = store(module_path!()).await;
    let mut options = testing::options(&s.dir.path().join("engine"), module_path!()).unwrap();
    options.lock_wait = Duration::ZERO;
    let e = Engine::start(&options).unwrap_err();
    let holder = s.engine.pid().unwrap().to_string();
    assert!(matches!(&e, EngineError::Locked { holder: h, .. } if *h == holder), "{e}");
    assert!(e.to_string().contains("data-dir"), "{e}");
    // It does no harm to the one that runs.
    assert_eq!(ask(&s.engine.connection(), "SELECT 1").await.unwrap(), "1");

    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    options.dir = s.dir.path().join("other");
    options.http_port = port;
    let e = Engine::start(&options).unwrap_err();
    assert!(matches!(e, EngineError::Port(p) if p == port), "{e}");
    assert!(e.to_string().contains(&port.to_string()) && e.to_string().contains("clickhouse.http-port"), "{e}");
    drop(taken);
    assert!(Engine::start(&options).unwrap().connection().url.ends_with(&format!(":{port}")));
}

#[test]
fn a_library_that_is_none_and_a_folder_that_is_none_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let fake = dir.path().join("libchdb.so");
    fs::File::create(&fake).unwrap().set_len(LIBRARY_SIZE).unwrap(); // a sparse file of zeros
    let mut options = testing::options(&dir.path().join("engine"), module_path!()).unwrap();
    options.library.clone_from(&fake);
    let e = Engine::start(&options).unwrap_err().to_string();
    assert!(e.contains("libchdb.so") && e.contains("cargo xtask engine"), "{e}");

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    options.dir = file.join("engine");
    let e = Engine::start(&options).unwrap_err();
    assert!(matches!(e, EngineError::Folder { .. }), "{e}");
}

#[tokio::test]
async fn nobody_but_the_two_users_gets_in_and_each_does_its_part_only() {
    let s = store(module_path!()).await;
    s.telemetry.insert_segment(&segment("l/1")).await.unwrap();
    let (ingest, grafana) = (s.engine.connection(), s.engine.grafana());
    let as_user = |user: &str, password: &str| {
        let mut c = ingest.clone();
        (c.user, c.password) = (user.into(), password.into());
        c
    };
    for (user, password) in
        [("default", ""), ("ingest", ""), ("ingest", "x"), ("grafana", ""), ("nobody", ""), ("", "")]
    {
        assert!(ask(&as_user(user, password), "SELECT 1").await.is_err(), "{user:?} with {password:?}");
    }
    // Without a user of ours there is no way to a query at all, whatever the parameters say.
    let client = |query: &'static str, user: Option<&'static str>| {
        let url = ingest.url.clone();
        async move {
            let c = clickhouse::Client::default().with_url(format!("{url}/{query}"));
            let c = if let Some(u) = user { c.with_header("Authorization", u) } else { c };
            c.query("SELECT currentUser()").fetch_one::<String>().await
        }
    };
    assert!(client("", None).await.is_err());
    assert!(client("?user=default", None).await.is_err());
    assert!(client("", Some("Basic ZGVmYXVsdDo=")).await.is_err(), "default with an empty password");

    assert_eq!(ask(&grafana, "SELECT count() FROM alert").await.unwrap(), "1");
    assert_eq!(ask(&grafana, "SELECT count() FROM alert SETTINGS max_execution_time = 20").await.unwrap(), "1");
    for sql in [
        "INSERT INTO alert (seq) VALUES (1)",
        "ALTER TABLE alert DELETE WHERE 1",
        "TRUNCATE TABLE alert",
        "DROP TABLE alert",
        "CREATE TABLE lagewarte.x (a UInt8) ENGINE = Memory",
        "CREATE DATABASE x",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM `/etc/passwd`",
        "SELECT * FROM default.`/etc/passwd`",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString', 'l String')",
        "SELECT * FROM remote('127.0.0.1', lagewarte.alert)",
        "SELECT query FROM system.query_log",
        "SELECT query FROM system.processes WHERE user != 'grafana' AND throwIf(count() OVER () > 0)",
        "SELECT name FROM system.users",
        "SELECT * FROM system.server_settings",
        "SYSTEM SHUTDOWN",
        "SYSTEM STOP MERGES lagewarte.alert",
        "KILL QUERY WHERE 1",
        "SET readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 100000",
        "SELECT 1 SETTINGS max_memory_usage = 100000000000",
        "SELECT 1 SETTINGS allow_ddl = 1",
    ] {
        let answer = ask(&grafana, sql).await;
        assert!(
            answer.is_err() || sql.contains("system.processes") && answer.as_deref() == Ok(""),
            "{sql}: {answer:?}"
        );
    }
    for sql in [
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "CREATE DATABASE other",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString', 'l String')",
        "SYSTEM SHUTDOWN",
    ] {
        assert!(ask(&ingest, sql).await.is_err(), "{sql}");
    }
    assert_eq!(ask(&ingest, "SELECT count() FROM alert").await.unwrap(), "1");
}

#[tokio::test]
async fn it_listens_on_loopback_only_and_its_secrets_are_its_owners() {
    let s = store(module_path!()).await;
    let port: u16 = s.engine.connection().url.rsplit_once(':').unwrap().1.parse().unwrap();
    let hex = format!(":{port:04X}");
    let listening = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(file).unwrap_or_default();
        let fields = text.lines().map(|l| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        fields.filter(|f| f.len() > 3 && f[3] == "0A" && f[1].ends_with(&hex)).map(|f| f[1].clone()).collect()
    };
    assert_eq!(listening("/proc/net/tcp"), [format!("0100007F{hex}")]);
    assert!(listening("/proc/net/tcp6").is_empty());
    for file in ["config.xml", "users.xml", "credentials.json"] {
        let mode = fs::metadata(s.dir.path().join("engine").join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let users = fs::read_to_string(s.dir.path().join("engine/users.xml")).unwrap();
    assert!(!users.contains(&s.engine.connection().password), "only its hash");
}
