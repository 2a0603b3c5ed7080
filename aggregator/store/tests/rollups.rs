// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rollups on the real engine: equal to raw, rebuilt exactly, chosen where they are the smallest table.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{alert, anomaly, anyone, ask, flow, id, now, sensor, store};
use lagewarte_base::{id::Epoch, time::Timestamp};
use lagewarte_event::Envelope;
use lagewarte_store::{
    scope::Scope,
    telemetry::{Connection, Rollup, Rows, Telemetry, Touched, columns::Table, extract},
};

lagewarte_store::engine_in_tests!();

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn at(us: i64) -> Timestamp {
    Timestamp::from_micros(us)
}

/// Events of two sensors and three owners over two hours, all three kinds.
fn mixed(n: i64) -> Vec<(u128, u64, Envelope)> {
    let owners = ["stadt-a", "stadt-b", "markt-c"];
    let mut out = Vec::new();
    for i in 0..300u64 {
        let owner = owners[i as usize % 3];
        let us = n - i as i64 * 24_000_000;
        let env = match i % 5 {
            0 => flow(owner, us, 1_000 + i),
            1 => anomaly(owner, us),
            k => alert(owner, us, 9_000_000 + k as u32, "203.0.113.7"),
        };
        out.push((u128::from(i % 2) + 1, i + 1, env));
    }
    out
}

fn rows(segment: &str, events: &[(u128, u64, Envelope)], received: i64) -> Rows {
    let mut rows = Rows::new(segment, 3);
    for (sensor, seq, env) in events {
        rows.push(&extract(&id(*sensor, *seq), env, at(env.spooled_us + 1_000), at(received), &anyone).unwrap());
    }
    rows
}

/// Rows of all rollups that differ from raw over the last days, and what raw counts in all.
async fn compare(t: &Telemetry, days: i64) -> (u64, u64) {
    let (mut differing, mut raw) = (0, 0);
    for table in [Table::Alert, Table::Flow, Table::Record] {
        let all = t.check_rollups(&Scope::System, table, at(now() - days * DAY), at(now() + DAY)).await.unwrap();
        assert_eq!(all.len(), 3, "{table:?}");
        for c in all {
            differing += c.differing;
            raw += c.raw;
            assert!(c.differing > 0 || c.raw == c.rolled, "{c:?}");
        }
    }
    (differing, raw)
}

async fn total(c: &Connection, rollup: &str, measure: &str) -> String {
    ask(c, &format!("SELECT sum({measure}) FROM {rollup}")).await.unwrap()
}

#[tokio::test]
async fn every_rollup_equals_raw_and_a_repeated_segment_changes_nothing() {
    let s = store(module_path!()).await;
    let (t, c, n) = (&s.telemetry, s.engine.connection(), now());
    let events = mixed(n);
    let (first, second) = (rows("l/1", &events[..200], n), rows("l/2", &events[200..], n));
    for segment in [&first, &second, &first] {
        t.insert_segment(segment).await.unwrap();
    }
    assert_eq!(compare(t, 1).await, (0, 900), "300 events, each in three rollups");
    for step in ["1m", "5m", "1h"] {
        assert_eq!(total(&c, &format!("alert_{step}"), "alerts").await, "180");
        assert_eq!(total(&c, &format!("flow_{step}"), "flows").await, "60");
        assert_eq!(total(&c, &format!("record_{step}"), "events").await, "60");
    }
    let octets =
        ask(&c, "SELECT sum(bytes_toserver), (SELECT sum(octets_toserver) FROM flow_1h) FROM flow").await.unwrap();
    let (raw, rolled) = octets.split_once('\t').unwrap();
    assert!(raw == rolled && raw.parse::<u64>().unwrap() > 60_000, "{octets}");
    // The comparison sees a single row too many, one too few, and one with another measure.
    ask(&c, "INSERT INTO alert_5m (constituent, bucket, alerts) VALUES ('x', now(), 1)").await.unwrap();
    assert_eq!(compare(t, 1).await.0, 1);
    ask(&c, "ALTER TABLE alert_1m DELETE WHERE 1 SETTINGS mutations_sync = 2").await.unwrap();
    assert!(compare(t, 1).await.0 > 100);
}

#[tokio::test]
async fn a_rebuild_counts_one_sensors_buckets_again_and_touches_no_others() {
    let s = store(module_path!()).await;
    let (t, c, n) = (&s.telemetry, s.engine.connection(), now());
    let system = Scope::System;
    t.insert_segment(&rows("l/1", &mixed(n), n)).await.unwrap();
    // What a kill leaves when the journal is lost as well: raw written, the rollups not.
    for r in Rollup::all() {
        ask(&c, &format!("DROP TABLE {} SYNC", r.view())).await.unwrap();
    }
    let lost: Vec<_> =
        (0..40).map(|i| (1, 1_000 + i, alert("stadt-a", n - i as i64 * MINUTE, 77, "203.0.113.9"))).collect();
    t.insert_segment(&rows("l/lost", &lost, n)).await.unwrap();
    for r in Rollup::all() {
        ask(&c, &r.create_view()).await.unwrap();
    }
    assert!(compare(t, 1).await.0 > 0);
    // Sensor 2's buckets are made wrong on purpose: a rebuild of sensor 1 must leave them so.
    let wrong = format!(
        "INSERT INTO alert_1h (constituent, bucket, sensor, signature_id, alerts) VALUES ('stadt-a', toStartOfHour(now()), '{}', 1, 5)",
        sensor(2)
    );
    ask(&c, &wrong).await.unwrap();

    let epoch = Epoch { counter: 1, nonce: 0xabcd };
    let touched = t.touched(&system, sensor(1), epoch, 1_000, 2_000).await.unwrap();
    assert_eq!(touched.len(), 1);
    assert_eq!((touched[0].table, touched[0].from, touched[0].to), (Table::Alert, at(n - 39 * MINUTE), at(n)));
    for _ in 0..2 {
        // Twice: the same count inserted again must not be taken for a repeated insert and dropped.
        for touched in &touched {
            t.rebuild_rollups(&system, touched).await.unwrap();
        }
        assert_eq!(compare(t, 1).await.0, 1, "sensor 2's wrong row is still there");
    }
    assert_eq!(total(&c, "alert_1m", "alerts").await, "220");
    // And a new segment in the same buckets still counts once.
    let more: Vec<_> =
        (0..5).map(|i| (1, 3_000 + i, alert("stadt-a", n - i as i64 * MINUTE, 77, "203.0.113.9"))).collect();
    for _ in 0..2 {
        t.insert_segment(&rows("l/3", &more, n)).await.unwrap();
    }
    assert_eq!(total(&c, "alert_1m", "alerts").await, "225");
    // Everybody's: the wrong row goes.
    let all = Touched { table: Table::Alert, sensor: None, from: at(n - 3 * 60 * MINUTE), to: at(n + MINUTE) };
    t.rebuild_rollups(&system, &all).await.unwrap();
    assert_eq!(compare(t, 1).await.0, 0);
    assert_eq!(t.finish_rebuilds(&system, |_| true).await.unwrap(), 0, "nothing was cut short");
    assert!(t.touched(&system, sensor(1), epoch, 50_000, 60_000).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_rebuild_that_was_cut_short_is_done_again_by_its_owner() {
    let s = store(module_path!()).await;
    let (t, c, n) = (&s.telemetry, s.engine.connection(), now());
    t.insert_segment(&rows("l/1", &mixed(n), n)).await.unwrap();
    // As a kill between the two leaves it: noted, buckets deleted, nothing counted again.
    ask(&c, &format!("INSERT INTO rebuild VALUES (generateUUIDv4(), 'alert', '{}', now64(6) - INTERVAL 3 HOUR, now64(6), false, now64(6))", sensor(1)))
        .await
        .unwrap();
    for r in ["alert_1m", "alert_5m", "alert_1h"] {
        ask(&c, &format!("DELETE FROM {r} WHERE sensor = '{}'", sensor(1))).await.unwrap();
    }
    assert!(compare(t, 1).await.0 > 0);
    assert_eq!(t.finish_rebuilds(&Scope::System, |s| s == Some(sensor(2))).await.unwrap(), 0, "not its sensor");
    assert_eq!(t.finish_rebuilds(&Scope::System, |s| s == Some(sensor(1))).await.unwrap(), 1);
    assert_eq!(compare(t, 1).await.0, 0);
    assert_eq!(t.finish_rebuilds(&Scope::System, |_| true).await.unwrap(), 0);
}

#[tokio::test]
async fn events_of_every_age_go_in_with_one_insert_and_each_rollup_takes_what_it_keeps() {
    let s = store(module_path!()).await;
    let (t, c, n) = (&s.telemetry, s.engine.connection(), now());
    // An attacker's clock, or a sensor that was off line for a year: every day of the last 399 in one segment.
    let old: Vec<_> =
        (0..400u64).map(|d| (1, d + 1, alert("stadt-a", n - d as i64 * DAY + 30 * MINUTE, 1, "203.0.113.7"))).collect();
    t.insert_segment(&rows("l/1", &old, n)).await.unwrap();
    assert_eq!(ask(&c, "SELECT count() FROM alert").await.unwrap(), "400");
    assert_eq!(total(&c, "alert_1h", "alerts").await, "400");
    assert_eq!(total(&c, "alert_5m", "alerts").await, "91");
    assert_eq!(total(&c, "alert_1m", "alerts").await, "8");
    assert_eq!(compare(t, 6).await.0, 0);
}

#[tokio::test]
async fn the_answer_is_raws_whichever_tables_it_came_from() {
    let s = store(module_path!()).await;
    let (t, c, n) = (&s.telemetry, s.engine.connection(), now());
    t.insert_segment(&rows("l/1", &mixed(n), n)).await.unwrap();
    let own = Scope::Constituent("stadt-a".parse().unwrap());
    for (from, to) in [
        (n - 2 * 60 * MINUTE - 17_123_456, n - 3_000_001),
        (n - 90 * MINUTE, n - 30 * MINUTE),
        (n - 50_000_000, n + 1),
        (n - 3 * DAY, n + DAY),
        (n, n),
    ] {
        for (scope, condition) in [(&Scope::Land, "1"), (&own, "constituent = 'stadt-a'")] {
            let got = t.top_signatures(scope, at(from), at(to), 10).await.unwrap();
            let text: Vec<String> = got
                .iter()
                .map(|s| {
                    format!("{}\t{}\t{}\t{}\t{}", s.signature_id, s.signature, s.alerts, s.constituents, s.last_us)
                })
                .collect();
            let want = ask(
                &c,
                &format!(
                    "SELECT signature_id, any(signature), count() AS n, uniqExact(constituent), toUnixTimestamp64Micro(max(event_us)) FROM alert \
                     WHERE {condition} AND event_us >= fromUnixTimestamp64Micro({from}) AND event_us < fromUnixTimestamp64Micro({to}) \
                     GROUP BY signature_id ORDER BY n DESC, signature_id LIMIT 10"
                ),
            )
            .await
            .unwrap();
            assert_eq!(text.join("\n"), want, "{scope:?} {from} {to}");
        }
    }
    // It was the rollups that answered: with raw gone, whole hours still count.
    let hour = 60 * MINUTE;
    let (from, to) = (n / hour * hour - hour, n / hour * hour);
    let before = t.top_signatures(&Scope::Land, at(from), at(to), 10).await.unwrap();
    ask(&c, "TRUNCATE TABLE alert").await.unwrap();
    assert!(!before.is_empty());
    assert_eq!(t.top_signatures(&Scope::Land, at(from), at(to), 10).await.unwrap(), before);
}
