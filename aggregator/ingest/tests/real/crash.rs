// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Exactly once: ingest dies at every point between journal and acknowledgement, the engine is killed, the journal is
//! lost; at the end each id is stored once, in the raw table and in the rollup.
//!
//! The aggregator that dies is a process of its own: this test program again, with variables that say what to be.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lagewarte_base::clock::SystemClock;
use lagewarte_event::{Class, Message as _};
use lagewarte_ingest::{Ingest, Options, Step};
use lagewarte_spool::{Priority, audit};
use lagewarte_store::{
    control::Control,
    telemetry::{Connection, Telemetry},
};

use crate::world::{Sensor, World, control_url, envelope, metric, now, until};

const CHILD: &str = "LAGEWARTE_TEST_INGEST";

/// The aggregator's process, where the parent asks for one; nothing otherwise.
#[test]
fn ingest_child() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let var = |name: &str| std::env::var(format!("{CHILD}_{name}")).unwrap();
    let connection =
        Connection { url: var("URL"), user: var("USER"), password: var("PASSWORD"), database: var("DATABASE") };
    let step = match var("STEP").as_str() {
        "journaled" => Some(Step::Journaled),
        "inserted" => Some(Step::Inserted),
        "completed" => Some(Step::Completed),
        _ => None,
    };
    let after: usize = var("AFTER").parse().unwrap();
    let seen = AtomicUsize::new(0);
    let end = var("END");
    let mut options = Options {
        uplink_listen: var("UPLINK").parse().unwrap(),
        flush: Duration::from_millis(10),
        flush_rows: 50,
        // Longer than a process may be kept waiting on a busy machine, or it is taken over while it lives.
        lease: Duration::from_secs(4),
        doubled_wait: Duration::from_secs(20),
        ..Options::new(PathBuf::from(&dir).join(var("DATA")))
    };
    options.observe = Some(Arc::new(move |at| {
        if Some(at) == step && seen.fetch_add(1, Ordering::SeqCst) + 1 == after {
            if end == "abort" {
                std::process::abort(); // no destructor runs, nothing is flushed
            }
            let own = std::process::id().to_string();
            Command::new("kill").args(["-STOP", &own]).status().unwrap();
            // The signal stops every thread, though not at once: no step is taken meanwhile.
            std::thread::sleep(Duration::from_millis(200));
        }
    }));
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let control = Control::open(&var("CONTROL")).await.unwrap();
        let registry = prometheus::Registry::new();
        let clock = Arc::new(SystemClock);
        let ingest = Ingest::start(options, Telemetry::new(&connection), control, &registry, clock).await.unwrap();
        ingest.lost().await;
        std::process::exit(3);
    });
}

/// What an aggregator's process is to be.
pub(crate) struct Life<'a> {
    /// Folder of its data, in the world's.
    pub(crate) data: &'a str,
    pub(crate) control: &'a str,
    /// Where in a segment's life it ends, at the how many-th segment.
    pub(crate) step: &'a str,
    pub(crate) after: usize,
    /// How: `abort` or `stop` (paused by SIGSTOP).
    pub(crate) end: &'a str,
    pub(crate) uplink: &'a str,
}

fn spawn(world: &World, uplink: &str, step: &str, after: usize) -> Child {
    let control = control_url(world.dir.path());
    spawn_life(world, &Life { data: "data", control: &control, step, after, end: "abort", uplink })
}

pub(crate) fn spawn_life(world: &World, life: &Life<'_>) -> Child {
    let c = &world.connection;
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::ingest_child", "--nocapture"])
        .env(CHILD, world.dir.path())
        .envs(
            [("URL", &c.url), ("USER", &c.user), ("PASSWORD", &c.password), ("DATABASE", &c.database)]
                .map(|(k, v)| (format!("{CHILD}_{k}"), v)),
        )
        .env(format!("{CHILD}_UPLINK"), life.uplink)
        .env(format!("{CHILD}_STEP"), life.step)
        .env(format!("{CHILD}_AFTER"), life.after.to_string())
        .env(format!("{CHILD}_END"), life.end)
        .env(format!("{CHILD}_DATA"), life.data)
        .env(format!("{CHILD}_CONTROL"), life.control)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub(crate) async fn ended(child: &mut Child) {
    until("the aggregator died", async || child.try_wait().unwrap().is_some()).await;
}

/// Enrols at an aggregator of this process, which then makes room for those that die. Gives identities and the address.
async fn enrolled(world: &World, names: &[&str]) -> (Vec<PathBuf>, String) {
    let (ingest, _) = world.ingest(world.options()).await;
    let mut identities = Vec::new();
    for name in names {
        identities.push(world.enrol(&ingest, name).await);
    }
    let address = ingest.uplink_address().to_string();
    ingest.stop(Duration::from_secs(10)).await;
    (identities, address)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_stored_once_wherever_the_aggregator_dies() {
    let world = World::new().await;
    let (identities, address) = enrolled(&world, &["gw-auenstadt", "gw-wehrmuende"]).await;
    let mut sent = BTreeSet::new();
    let mut sensors: Vec<Sensor> = Vec::new();
    for (i, identity) in identities.iter().enumerate() {
        sensors.push(Sensor::start(identity, &world.dir.path().join(format!("spool{i}"))));
    }
    let owners = ["auenstadt", "wehrmuende"];
    for round in 0..3 {
        for step in ["journaled", "inserted", "completed"] {
            let mut child = spawn(&world, &address, step, 1 + round);
            // Feed until it dies: the more segments it has begun, the later the point.
            while child.try_wait().unwrap().is_none() {
                for (sensor, owner) in sensors.iter().zip(owners) {
                    sent.extend((0..20).map(|_| sensor.alert(owner)));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                assert!(sent.len() < 500_000, "{step} {round}: the aggregator never died");
            }
        }
        // And killed from outside, wherever it is.
        let mut child = spawn(&world, &address, "never", 0);
        let before = sensors[0].uplink.status().connections;
        until("a sensor is connected", async || sensors[0].uplink.status().connections > before).await;
        for (sensor, owner) in sensors.iter().zip(owners) {
            sent.extend((0..300).map(|_| sensor.alert(owner)));
        }
        child.kill().unwrap();
        ended(&mut child).await;
        // A sensor restarts too: a new epoch, the old one is sent to its end.
        let old = sensors.remove(0);
        old.uplink.stop().await;
        old.spool.close();
        drop(old.spool);
        let fresh = Sensor::start(&identities[0], &world.dir.path().join("spool0"));
        sensors.insert(0, fresh);
    }
    // What the spools hold, read by other code than the uplink's, is part of what was sent.
    for i in 0..2 {
        for held in audit::list(&world.dir.path().join(format!("spool{i}"))).unwrap() {
            let event = lagewarte_event::Envelope::decode(held.data.as_slice()).unwrap();
            assert_eq!((event.seq, event.class), (held.seq, Class::Alert as i32));
        }
    }
    let mut last = spawn(&world, &address, "never", 0);
    for sensor in &sensors {
        sensor.drained().await;
    }
    let stored = world.ids("alert").await;
    let unique: BTreeSet<String> = stored.iter().cloned().collect();
    assert_eq!(unique.len(), stored.len(), "stored more than once");
    assert_eq!(unique, sent, "stored is not what was sent");
    let rollup =
        world.ask("SELECT constituent, sum(alerts) FROM alert_1h GROUP BY constituent ORDER BY constituent").await;
    let raw = world.ask("SELECT constituent, count() FROM alert GROUP BY constituent ORDER BY constituent").await;
    assert_eq!(rollup, raw, "the rollup is not the raw count");
    assert_eq!(world.ask("SELECT count() FROM quarantine").await, "0");
    let segments = world.ask("SELECT count(), countDistinct(segment) FROM segment").await;
    let (all, distinct) = segments.split_once('\t').unwrap();
    assert_eq!(all, distinct, "a segment was completed twice");
    eprintln!("{} events, {} segments, 12 deaths", sent.len(), all);
    last.kill().unwrap();
    ended(&mut last).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_journal_and_a_killed_engine_double_nothing() {
    let world = World::new().await;
    let (ingest, registry) = world.ingest(world.options()).await;
    let identity = world.enrol(&ingest, "gw-auenstadt").await;
    let address = ingest.uplink_address();
    let sensor = Sensor::start(&identity, &world.dir.path().join("spool"));
    let mut sent: BTreeSet<String> = (0..500).map(|_| sensor.alert("auenstadt")).collect();
    sensor.drained().await;

    // The engine is killed and comes back; meanwhile events wait, nothing is acknowledged that is not stored.
    let pid = world.engine.pid().unwrap();
    Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    sent.extend((0..500).map(|_| sensor.alert("auenstadt")));
    sensor.drained().await;
    assert!(world.engine.restarts() >= 1);
    assert_eq!(world.ids("alert").await.into_iter().collect::<BTreeSet<_>>(), sent);
    let law = metric(&registry, "events_stored_total", "")
        + metric(&registry, "events_duplicate_total", "")
        + metric(&registry, "events_quarantined_total", "")
        + metric(&registry, "events_in_flight", "");
    assert_eq!(
        metric(&registry, "events_received_total", ""),
        law,
        "received = stored + duplicate + quarantined + in flight"
    );

    // The journal is lost. What was acknowledged the sensor does not send again, and reports no gap for it either.
    ingest.stop(Duration::from_secs(20)).await;
    sent.extend((0..100).map(|_| sensor.alert("auenstadt")));
    sensor.spool.commit().unwrap();
    std::fs::remove_dir_all(world.dir.path().join("data/journal")).unwrap();
    let mut options = world.options();
    options.uplink_listen = address;
    let (ingest, registry) = world.ingest(options).await;
    sensor.drained().await;
    let stored = world.ids("alert").await;
    assert_eq!(stored.len(), sent.len(), "doubled or lost");
    assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), sent);
    assert_eq!(metric(&registry, "events_duplicate_total", ""), 0.0);
    assert_eq!(metric(&registry, "events_stored_total", ""), 100.0);
    assert_eq!(metric(&registry, "gap_numbers_total", ""), 0.0, "what was acknowledged is no gap");
    sensor.uplink.stop().await;
    ingest.stop(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_event_goes_to_quarantine_with_its_reason_and_blocks_nothing() {
    let world = World::new().await;
    let (ingest, registry) = world.ingest(world.options()).await;
    let identity = world.enrol(&ingest, "gw-auenstadt").await;
    let sensor = Sensor::start(&identity, &world.dir.path().join("spool"));
    let put = |constituent: &str, us: i64, kind: &str, eve: &str| {
        let make = |seq| envelope(seq, constituent, us, kind, eve.to_owned()).encode_to_vec();
        sensor.spool.append(Priority::Alert, make).unwrap();
    };
    let good = |n: usize| (0..n).map(|_| sensor.alert("auenstadt")).collect::<Vec<_>>();
    let mut sent = good(10);
    put("auenstadt", now(), "alert", "{\"event_type\":\"alert\""); // cut off
    put("wehrmuende", now(), "stats", "{\"event_type\":\"stats\",\"stats\":{}}"); // not its own
    put("nobody-at-all", now(), "stats", "{\"event_type\":\"stats\",\"stats\":{}}");
    let month = 30 * 86_400_000_000;
    put("auenstadt", now() + month, "flow", "{\"event_type\":\"flow\"}"); // next month
    put("auenstadt", now() + month, "stats", "{\"event_type\":\"stats\",\"stats\":{}}"); // a wrong clock must not blind us
    put("auenstadt", now(), "stats", &"[".repeat(100));
    sent.extend(good(10));
    sensor.drained().await;
    assert_eq!(world.ids("alert").await.len(), sent.len());
    let reasons = world.ask("SELECT reason, count() FROM quarantine GROUP BY reason ORDER BY reason").await;
    assert_eq!(reasons, "implausible-time\t1\nnot-its-owner\t2\nnot-json\t1\ntoo-deep\t1");
    assert_eq!(world.ask("SELECT count() FROM health WHERE event_us > now() + INTERVAL 20 DAY").await, "1");
    assert_eq!(metric(&registry, "events_quarantined_total", ""), 5.0);
    assert_eq!(metric(&registry, "events_quarantined_total", "not-its-owner"), 2.0);
    assert_eq!(metric(&registry, "events_received_total", ""), 26.0);
    sensor.uplink.stop().await;
    ingest.stop(Duration::from_secs(10)).await;
}
