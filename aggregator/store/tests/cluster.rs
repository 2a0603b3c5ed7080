// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A store of two shards, each a real engine: inserts go to the sensor's shard, questions see both.
//!
//! Replication and `ON CLUSTER` cannot run on embedded engines: their DDL is parsed by the engine, and no more.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashMap;

use common::{alert, anyone, ask, health, id, now, sensor};
use lagewarte_base::{id::Epoch, time::Timestamp};
use lagewarte_event::Envelope;
use lagewarte_store::{
    engine::{Engine, Peers, testing},
    scope::Scope,
    telemetry::{
        AlertFilter, Connection, Rows, SCHEMA_VERSION, Telemetry, TelemetryError, cluster, columns::Table, extract,
    },
};

lagewarte_store::engine_in_tests!();

const MINUTE: i64 = 60_000_000;

fn at(us: i64) -> Timestamp {
    Timestamp::from_micros(us)
}

struct Cluster {
    telemetry: Telemetry,
    engines: Vec<Engine>,
    _dir: tempfile::TempDir,
}

fn start(shards: usize) -> Cluster {
    let dir = tempfile::tempdir().unwrap();
    let ports: Vec<u16> = (0..shards).map(|_| testing::free_port()).collect();
    let engines: Vec<Engine> = ports
        .iter()
        .map(|port| {
            let mut options = testing::options(&dir.path().join(port.to_string()), module_path!()).unwrap();
            options.peers =
                Some(Peers { cluster: "land".into(), secret: "s3cret".into(), tcp_port: *port, shards: ports.clone() });
            Engine::start(&options).unwrap()
        })
        .collect();
    let nodes: Vec<Connection> = engines.iter().map(Engine::connection).collect();
    Cluster { telemetry: Telemetry::sharded(&nodes, "land").unwrap(), engines, _dir: dir }
}

fn rows(segment: &str, lane: u32, events: &[(u128, u64, Envelope)], n: i64) -> Rows {
    let mut rows = Rows::new(segment, lane);
    for (sensor, seq, env) in events {
        rows.push(&extract(&id(*sensor, *seq), env, at(n), at(n), &anyone).unwrap());
    }
    rows
}

#[tokio::test]
async fn two_shards_are_written_apart_and_read_as_one() {
    let c = start(2);
    let (t, n) = (&c.telemetry, now() / MINUTE * MINUTE);
    assert_eq!(t.migrate().await.unwrap(), SCHEMA_VERSION as usize);
    assert_eq!(t.migrate().await.unwrap(), 0);
    let events = |s: u128| -> Vec<_> {
        (1..=30)
            .map(|i| (s, i, alert(if i % 3 == 0 { "stadt-b" } else { "stadt-a" }, n - i as i64, 7, "203.0.113.7")))
            .collect()
    };
    let (first, second) = (rows("l0/1", 0, &events(1), n), rows("l1/1", 1, &events(2), n));
    for segment in [&first, &second, &first, &second] {
        t.insert_segment(segment).await.unwrap();
    }
    t.insert_segment(&rows("l0/2", 0, &[(1, 99, health("stadt-a", n, 5, 0))], n)).await.unwrap();

    // Written to the sensor's shard and nowhere else, once.
    for (engine, s) in c.engines.iter().zip([1, 2]) {
        let own = ask(&engine.connection(), "SELECT count(), any(sensor), uniqExact(sensor) FROM alert").await.unwrap();
        assert_eq!(own, format!("30\t{}\t1", sensor(s)));
        assert_eq!(ask(&engine.connection(), "SELECT sum(alerts) FROM alert_5m").await.unwrap(), "30");
    }
    // Read as one, through every kind of question: rollups, raw, joins and subqueries over both shards.
    let (from, to) = (at(n - 60 * MINUTE), at(n + MINUTE));
    let system = Scope::System;
    let top = t.top_signatures(&Scope::Land, from, to, 10).await.unwrap();
    assert_eq!((top.len(), top[0].alerts, top[0].constituents), (1, 60, 2));
    let hours = t.alerts_by_hour(&Scope::Land, from, to).await.unwrap();
    assert_eq!(hours.iter().map(|h| h.alerts).sum::<u64>(), 60);
    assert_eq!(t.alerts(&Scope::Land, from, to, &AlertFilter::default(), 100).await.unwrap().len(), 60);
    let segments = t.segments(&system, from).await.unwrap();
    assert_eq!(segments.iter().map(|s| s.segment.as_str()).collect::<Vec<_>>().len(), 3);
    let groups = t.alert_groups(&system, from, at(now() + MINUTE)).await.unwrap();
    assert_eq!(groups.iter().map(|g| g.alerts).sum::<u64>(), 60);
    let hops = t.latency(&system, from, to).await.unwrap();
    assert_eq!(hops.iter().map(|h| h.events).max(), Some(60));
    assert_eq!(t.sensor_health(&system, from).await.unwrap().len(), 1);
    let epoch = Epoch { counter: 1, nonce: 0xabcd };
    let key = (sensor(2), epoch);
    assert_eq!(t.high_water(&system, &[key]).await.unwrap(), HashMap::from([(key, 30)]));
    assert_eq!(t.existing(&system, sensor(2), epoch, 29, 40).await.unwrap(), [29, 30]);
    assert_eq!(t.event_ids(&system, Table::Alert, from, to).await.unwrap().len(), 60);
    // Within a scope.
    let own = Scope::Constituent("stadt-b".parse().unwrap());
    assert_eq!(t.alerts(&own, from, to, &AlertFilter::default(), 100).await.unwrap().len(), 20);
    assert_eq!(t.top_signatures(&own, from, to, 10).await.unwrap()[0].alerts, 20);

    // Repair on the sensor's shard, comparison on all.
    for engine in &c.engines {
        ask(&engine.connection(), "TRUNCATE TABLE alert_1m").await.unwrap();
    }
    let differing = async || -> u64 {
        let all = t.check_rollups(&system, Table::Alert, from, to).await.unwrap();
        assert_eq!(all.iter().map(|c| c.raw).collect::<Vec<_>>(), [60; 3]);
        all.iter().map(|c| c.differing).sum()
    };
    assert!(differing().await > 0);
    for s in [1, 2] {
        for touched in t.touched(&system, sensor(s), epoch, 1, 100).await.unwrap() {
            t.rebuild_rollups(&system, &touched).await.unwrap();
        }
    }
    assert_eq!(differing().await, 0);
    let sizes = t.sizes(&system).await.unwrap();
    assert_eq!(sizes.iter().find(|s| s.name == "alert").map(|s| s.rows), Some(60));

    // The dashboards' user reads all shards, too.
    let grafana = Connection { database: cluster::read_database("lagewarte"), ..c.engines[1].grafana() };
    assert_eq!(
        ask(&grafana, "SELECT sum(alerts), (SELECT count() FROM segment) FROM alert_1h").await.unwrap(),
        "60\t3"
    );
}

#[tokio::test]
async fn a_shard_that_is_down_is_an_error_and_never_half_a_state() {
    let mut c = start(2);
    c.telemetry.migrate().await.unwrap();
    let n = now();
    drop(c.engines.pop());
    let span = (at(n - MINUTE), at(n + MINUTE));
    assert!(c.telemetry.alerts(&Scope::Land, span.0, span.1, &AlertFilter::default(), 10).await.is_err());
    let there = rows("l0/1", 0, &[(1, 1, alert("a", n, 7, "203.0.113.7"))], n);
    let gone = rows("l1/1", 1, &[(2, 1, alert("a", n, 7, "203.0.113.7"))], n);
    assert!(c.telemetry.insert_segment(&there).await.is_ok(), "the other shard goes on");
    assert!(c.telemetry.insert_segment(&gone).await.is_err(), "and nothing goes to a shard that is not its own");
}

#[tokio::test]
async fn what_cannot_run_here_is_at_least_read_by_the_engine() {
    let s = common::store(module_path!()).await;
    let c = s.engine.connection();
    for replicated in [false, true] {
        let all = cluster::ddl("lagewarte", "land", replicated);
        assert!(all.len() > 40);
        for sql in all {
            // Parsed, and written again by the engine: a word it does not know would be an error.
            let quoted = sql.replace('\\', "\\\\").replace('\'', "\\'");
            let answer = ask(&c, &format!("SELECT formatQuerySingleLine('{quoted}')")).await;
            let answer = answer.unwrap_or_else(|e| unreachable!("{e}\n{sql}"));
            assert!(answer.contains("ON CLUSTER land") || sql.starts_with("INSERT"), "{answer}");
        }
    }
    // The same check refuses what is no SQL.
    assert!(ask(&c, "SELECT formatQuerySingleLine('CREATE TABLE x ON CLUSTER (')").await.is_err());
}

#[test]
fn a_cluster_without_a_node_or_of_different_databases_is_refused() {
    let node = |db: &str| Connection {
        url: "http://127.0.0.1:1".into(),
        user: String::new(),
        password: String::new(),
        database: db.into(),
    };
    for (nodes, cluster) in
        [(vec![], "land"), (vec![node("a"), node("b")], "land"), (vec![node("a")], "l'and"), (vec![node("a")], "")]
    {
        assert!(matches!(Telemetry::sharded(&nodes, cluster), Err(TelemetryError::Url(_))));
    }
}
