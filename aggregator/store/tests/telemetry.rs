// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The telemetry store on the real engine: schema, exactly once, scopes, times.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashMap;

use common::{alert, anyone, ask, health, id, now, sensor, store};
use lagewarte_base::{id::Epoch, time::Timestamp};
use lagewarte_event::Gap;
use lagewarte_store::{
    scope::Scope,
    telemetry::{
        AlertFilter, MAX_EPOCHS, MAX_IDS, MAX_MEASURED, Rollup, Rows, Telemetry, TelemetryError,
        columns::{Table, create_table},
        extract, gap, quarantine,
    },
};

lagewarte_store::engine_in_tests!();

const MINUTE: i64 = 60_000_000;

fn at(us: i64) -> Timestamp {
    Timestamp::from_micros(us)
}

fn rows(segment: &str, events: &[(u128, u64, lagewarte_event::Envelope)], received: i64) -> Rows {
    let mut rows = Rows::new(segment, 3);
    for (sensor, seq, env) in events {
        rows.push(&extract(&id(*sensor, *seq), env, at(env.spooled_us + 1_000), at(received), &anyone).unwrap());
    }
    rows
}

#[tokio::test]
async fn the_schema_is_the_table_of_columns_and_the_second_run_applies_nothing() {
    let s = store(module_path!()).await;
    assert_eq!(s.telemetry.migrate().await.unwrap(), 0, "applied twice");
    let c = s.engine.connection();
    // What fresh tables out of columns.rs and rollup.rs look like, against what the migrations arrived at.
    let fresh: Vec<(String, String)> = Table::ALL
        .into_iter()
        .map(|t| (t.name().to_owned(), create_table(t)))
        .chain(Rollup::all().map(|r| (r.name(), r.create_table())))
        .chain(Rollup::all().map(|r| (r.view(), r.create_view())))
        .collect();
    for (name, create) in fresh {
        ask(&c, &create.replacen(&name, "fresh", 1)).await.unwrap();
        let text = |name: &str| {
            format!("SELECT create_table_query FROM system.tables WHERE database = 'lagewarte' AND name = '{name}'")
        };
        let (migrated, wanted) = (ask(&c, &text(&name)).await.unwrap(), ask(&c, &text("fresh")).await.unwrap());
        let without_name = |q: &str| q.split_once('(').map_or_else(String::new, |p| p.1.to_owned());
        assert_eq!(without_name(&migrated), without_name(&wanted), "{name}: it changed without a migration");
        assert!(!without_name(&wanted).is_empty());
        assert!(wanted.contains("fsync_after_insert = 1") || wanted.contains("MATERIALIZED VIEW"), "{wanted}");
        ask(&c, "DROP TABLE fresh SYNC").await.unwrap();
    }
}

#[tokio::test]
async fn a_store_of_another_past_is_refused_and_left_alone() {
    let s = store(module_path!()).await;
    let c = s.engine.connection();
    ask(&c, "INSERT INTO schema_version VALUES (4711, 'x', now64(6))").await.unwrap();
    assert!(matches!(s.telemetry.migrate().await, Err(TelemetryError::Newer { found: 4711, .. })));
    ask(&c, "TRUNCATE TABLE schema_version").await.unwrap();
    ask(&c, "INSERT INTO schema_version VALUES (1, 'another text', now64(6))").await.unwrap();
    assert!(matches!(s.telemetry.migrate().await, Err(TelemetryError::Changed(1))));
}

#[tokio::test]
async fn alerts_are_grouped_by_segment_with_their_evidence() {
    let s = store(module_path!()).await;
    let (t, n) = (&s.telemetry, now() / (60 * 1_000_000) * 60 * 1_000_000);
    let events = [
        (1, 1, alert("stadt-a", n + 1, 9, "203.0.113.7")),
        (1, 2, alert("stadt-a", n + 2, 9, "203.0.113.7")),
        (1, 3, alert("stadt-b", n + 3, 9, "203.0.113.7")),
    ];
    t.insert_segment(&rows("l/1", &events, n + 10)).await.unwrap();
    t.insert_segment(&rows("l/2", &[(2, 1, alert("stadt-b", n + 4, 9, "2001:db8::1"))], n + 10)).await.unwrap();
    let segments = t.segments(&Scope::System, at(n)).await.unwrap();
    let first = t.alert_groups_of(&Scope::System, &segments[..1]).await.unwrap();
    assert_eq!(first.len(), 2);
    let g = &first[0];
    assert_eq!(
        (g.signature_id, g.signature.as_str(), g.severity, g.kind.as_str()),
        (9, "LAGEWARTE test 9", 1, "bruteforce")
    );
    assert_eq!((g.external_ip.as_str(), g.host.as_str(), g.key.as_str()), ("203.0.113.7", "10.1.2.3", "k1"));
    assert_eq!((g.constituent.as_str(), g.late, g.first_us, g.last_us, g.alerts), ("stadt-a", false, n + 1, n + 2, 2));
    let mut events = g.events.clone();
    events.sort();
    assert_eq!(events, [id(1, 1).to_string(), id(1, 2).to_string()]);
    let all = t.alert_groups(&Scope::System, at(n - MINUTE), at(now() + MINUTE)).await.unwrap();
    assert_eq!(all.iter().map(|g| g.alerts).sum::<u64>(), 4);
    assert_eq!(t.alert_groups(&Scope::System, at(now() + MINUTE), at(now() + 2 * MINUTE)).await.unwrap(), []);
}

#[tokio::test]
async fn a_segment_counts_once_in_raw_and_rollup_however_often_it_is_sent() {
    let s = store(module_path!()).await;
    let (t, c, n) = (&s.telemetry, s.engine.connection(), now());
    let events: Vec<_> = (1..=50u64)
        .map(|i| {
            (
                1,
                i,
                if i % 10 == 0 {
                    health("stadt-a", n, i, 0)
                } else {
                    alert("stadt-a", n - MINUTE, 9_000_001, "203.0.113.7")
                },
            )
        })
        .collect();
    let first = rows("lane-3/1", &events, n);
    // Another segment with other rows in between, as after a crash with several lanes.
    let other = rows("lane-3/2", &[(2, 1, alert("stadt-b", n, 9_000_002, "203.0.113.7"))], n);
    for segment in [&first, &other, &first, &Rows::from_bytes(&first.to_bytes()).unwrap()] {
        t.insert_segment(segment).await.unwrap();
    }
    for (sql, want) in [
        ("SELECT count(), uniqExact(sensor, epoch, nonce, seq) FROM alert", "46\t46"),
        ("SELECT count() FROM health", "5"),
        ("SELECT sum(alerts) FROM alert_1h WHERE constituent = 'stadt-a'", "45"),
        ("SELECT sum(alerts) FROM alert_1h", "46"),
        ("SELECT segment, lane, rows FROM segment ORDER BY segment", "lane-3/1\t3\t50\nlane-3/2\t3\t1"),
    ] {
        assert_eq!(ask(&c, sql).await.unwrap(), want, "{sql}");
    }
}

#[tokio::test]
async fn a_raw_table_ahead_of_its_rollup_is_repaired_by_the_same_segment() {
    let s = store(module_path!()).await;
    let (t, c, n) = (&s.telemetry, s.engine.connection(), now());
    let segment = rows("lane-3/1", &[(1, 1, alert("stadt-a", n, 9_000_001, "203.0.113.7"))], n);
    // What a kill between the two leaves: raw written under the token, the view's target not.
    for r in Rollup::all() {
        ask(&c, &format!("DROP TABLE {} SYNC", r.view())).await.unwrap();
    }
    t.insert_segment(&segment).await.unwrap();
    for r in Rollup::all() {
        ask(&c, &r.create_view()).await.unwrap();
    }
    assert_eq!(ask(&c, "SELECT count(), (SELECT sum(alerts) FROM alert_1h) FROM alert").await.unwrap(), "1\t0");
    t.insert_segment(&segment).await.unwrap();
    assert_eq!(ask(&c, "SELECT count(), (SELECT sum(alerts) FROM alert_1h) FROM alert").await.unwrap(), "1\t1");
}

#[tokio::test]
async fn an_acknowledged_insert_is_synced_to_disk() {
    let s = store(module_path!()).await;
    let (c, n) = (s.engine.connection(), now());
    let synced =
        "SELECT sumIf(value, event = 'FileSync') > 0, sumIf(value, event = 'DirectorySync') > 0 FROM system.events";
    let count = "SELECT sumIf(value, event = 'FileSync'), sumIf(value, event = 'DirectorySync') FROM system.events";
    let before = ask(&c, count).await.unwrap();
    s.telemetry.insert_segment(&rows("l/1", &[(1, 1, alert("a", n, 1, "203.0.113.7"))], n)).await.unwrap();
    let after = ask(&c, count).await.unwrap();
    assert_eq!(ask(&c, synced).await.unwrap(), "1\t1");
    let pair = |t: &str| t.split('\t').map(|n| n.parse::<u64>().unwrap()).collect::<Vec<_>>();
    assert!(pair(&after).iter().zip(pair(&before)).all(|(a, b)| *a > b), "{before} -> {after}");
}

#[tokio::test]
async fn values_arrive_in_their_columns() {
    let s = store(module_path!()).await;
    let (c, n) = (s.engine.connection(), now() / 1_000_000 * 1_000_000);
    let mut old = alert("stadt-a", n - 20 * MINUTE, 7, "2001:db8::1");
    old.eve = String::from_utf8(old.eve).unwrap().replace(r#""inner":"dest""#, r#""inner":"none""#).into_bytes();
    let mut set = rows("l/1", &[(1, 1, alert("stadt-a", n, 9_000_001, "203.0.113.7")), (1, 2, old)], n + 5_000);
    let bad = alert("stadt-a", n, 8, "not an address");
    let poison = extract(&id(1, 3), &bad, at(n), at(n), &anyone).unwrap_err();
    set.push(&quarantine(&id(1, 3), &bad, at(n), &poison));
    set.push(&gap(&id(1, 0), &Gap { from_seq: 4, to_seq: 6, reason: "crash".into() }, at(n)));
    s.telemetry.insert_segment(&set).await.unwrap();
    for (sql, want) in [
        (
            "SELECT sensor, epoch, nonce, constituent, ags, kreis, class, event_type, late, src_ip, dest_ip, src_port, dest_port, proto, inner, external_ip, flow_id, app_proto FROM alert WHERE seq = 1",
            "00000000-0000-0000-0000-00005e500001\t1\t43981\tstadt-a\t09162000\t09162\talert\talert\tfalse\t::ffff:203.0.113.7\t::ffff:10.1.2.3\t4444\t22\tTCP\tdest\t::ffff:203.0.113.7\t77\tssh",
        ),
        (
            "SELECT signature_id, gid, rev, signature, severity, action, direction, metadata['lagewarte_kind'], segment, ruleset = repeat('ab', 32), profile FROM alert WHERE seq = 1",
            "9000001\t1\t2\tLAGEWARTE test 9000001\t1\tallowed\tto_server\t['bruteforce']\tl/1\t1\talerts-only@1",
        ),
        (
            "SELECT toUnixTimestamp64Micro(observed_us) - toUnixTimestamp64Micro(event_us), toUnixTimestamp64Micro(spooled_us) - toUnixTimestamp64Micro(event_us), toUnixTimestamp64Micro(sent_us) - toUnixTimestamp64Micro(event_us), toUnixTimestamp64Micro(received_us) - toUnixTimestamp64Micro(event_us) FROM alert WHERE seq = 1",
            "1000\t2000\t3000\t5000",
        ),
        ("SELECT late, external_ip, inner FROM alert WHERE seq = 2", "true\t2001:db8::1\tnone"),
        (
            "SELECT seq, reason, detail, position(eve, 'not an address') > 0 FROM quarantine",
            "3\twrong-type\tsrc_ip is no IPv6\t1",
        ),
        ("SELECT from_seq, to_seq, reason FROM gap", "4\t6\tcrash"),
    ] {
        assert_eq!(ask(&c, sql).await.unwrap(), want, "{sql}");
    }
}

#[tokio::test]
async fn a_constituent_sees_its_own_rows_and_nothing_else() {
    let s = store(module_path!()).await;
    let (t, n) = (&s.telemetry, now());
    let events = [
        (1, 1, alert("stadt-a", n - 1, 9_000_001, "203.0.113.7")),
        (1, 2, alert("stadt-b", n - 2, 9_000_002, "203.0.113.7")),
        (1, 3, health("stadt-a", n, 10, 0)),
        (2, 1, health("stadt-b", n, 10, 0)),
    ];
    t.insert_segment(&rows("l/1", &events, n)).await.unwrap();
    let (from, to) = (at(n - 60 * MINUTE), at(n + MINUTE));
    let segments = t.segments(&Scope::System, from).await.unwrap();
    assert_eq!(segments.len(), 1);
    for (scope, who) in [
        (Scope::Constituent("stadt-a".parse().unwrap()), vec!["stadt-a"]),
        (Scope::Constituent("stadt-b".parse().unwrap()), vec!["stadt-b"]),
        (Scope::Constituent("x-or-1".parse().unwrap()), vec![]),
        (Scope::Land, vec!["stadt-a", "stadt-b"]),
    ] {
        let sorted = |mut v: Vec<String>| {
            v.sort();
            v
        };
        let hours = t.alerts_by_hour(&scope, from, to).await.unwrap();
        assert_eq!(sorted(hours.into_iter().map(|h| h.constituent).collect()), who, "{scope:?} by hour");
        let alerts = t.alerts(&scope, from, to, &AlertFilter::default(), 10).await.unwrap();
        assert_eq!(sorted(alerts.into_iter().map(|a| a.constituent).collect()), who, "{scope:?} alerts");
        assert_eq!(t.sensor_health(&scope, from).await.unwrap().len(), who.len(), "{scope:?} health");
        let top = t.top_signatures(&scope, from, to, 10).await.unwrap();
        assert_eq!(top.iter().map(|s| s.alerts).sum::<u64>(), who.len() as u64, "{scope:?} signatures");
    }
    let own = Scope::Constituent("stadt-a".parse().unwrap());
    let forbidden = |e: TelemetryError| assert!(matches!(e, TelemetryError::Forbidden(_)), "{e}");
    forbidden(t.segments(&own, from).await.unwrap_err());
    forbidden(t.alert_groups(&own, from, to).await.unwrap_err());
    forbidden(t.alert_groups_of(&own, &segments).await.unwrap_err());
    forbidden(t.event_ids(&own, Table::Alert, from, to).await.unwrap_err());
    forbidden(t.high_water(&own, &[(sensor(1), Epoch { counter: 1, nonce: 1 })]).await.unwrap_err());
    forbidden(t.existing(&own, sensor(1), Epoch { counter: 1, nonce: 0xabcd }, 1, 9).await.unwrap_err());
    forbidden(t.latency(&own, from, to).await.unwrap_err());
    forbidden(t.quarantined(&own, from, to).await.unwrap_err());
}

#[tokio::test]
async fn lists_filter_by_signature_and_by_either_address() {
    let s = store(module_path!()).await;
    let (t, n) = (&s.telemetry, now());
    let events = [
        (1, 1, alert("a", n - 3, 1, "203.0.113.7")),
        (1, 2, alert("a", n - 2, 2, "203.0.113.8")),
        (1, 3, alert("b", n - 1, 1, "2001:db8::8")),
    ];
    t.insert_segment(&rows("l/1", &events, n)).await.unwrap();
    for (signature_id, ip, want) in [
        (None, None, vec![3, 2, 1]),
        (Some(1), None, vec![3, 1]),
        (None, Some("203.0.113.8"), vec![2]),
        (None, Some("2001:db8::8"), vec![3]),
        (None, Some("10.1.2.3"), vec![3, 2, 1]),
        (Some(2), Some("203.0.113.7"), vec![]),
    ] {
        let filter = AlertFilter { signature_id, ip: ip.map(|i| i.parse().unwrap()) };
        let got = t.alerts(&Scope::Land, at(n - MINUTE), at(n + MINUTE), &filter, 10).await.unwrap();
        assert_eq!(got.iter().map(|a| a.seq).collect::<Vec<_>>(), want, "{filter:?}");
    }
    let two = t.alerts(&Scope::Land, at(n - MINUTE), at(n + MINUTE), &AlertFilter::default(), 2).await.unwrap();
    assert_eq!(two.len(), 2);
}

#[tokio::test]
async fn what_is_stored_of_an_epoch_is_known_by_id() {
    let s = store(module_path!()).await;
    let (t, n) = (&s.telemetry, now());
    let mut set = rows(
        "l/1",
        &[(1, 1, alert("a", n, 1, "203.0.113.7")), (1, 3, health("a", n, 1, 0)), (2, 9, health("a", n, 1, 0))],
        n,
    );
    let bad = alert("a", n, 1, "?");
    let poison = extract(&id(1, 4), &bad, at(n), at(n), &anyone).unwrap_err();
    set.push(&quarantine(&id(1, 4), &bad, at(n), &poison));
    set.push(&gap(&id(1, 0), &Gap { from_seq: 7, to_seq: 8, reason: "quota".into() }, at(n)));
    t.insert_segment(&set).await.unwrap();
    let epoch = Epoch { counter: 1, nonce: 0xabcd };
    // The other sensor has one number of that epoch, the last has none, and no epoch is taken for another.
    let other = Epoch { counter: 2, nonce: 0xabcd };
    let epochs = [(sensor(1), epoch), (sensor(2), epoch), (sensor(3), epoch), (sensor(1), other)];
    let waters = t.high_water(&Scope::System, &epochs).await.unwrap();
    assert_eq!(waters, HashMap::from([(epochs[0], 8), (epochs[1], 9)]));
    assert_eq!(t.existing(&Scope::System, sensor(1), epoch, 1, 100).await.unwrap(), [1, 3, 4]);
    assert_eq!(t.existing(&Scope::System, sensor(1), epoch, 2, 3).await.unwrap(), [3]);
    assert_eq!(t.existing(&Scope::System, sensor(1), Epoch { counter: 1, nonce: 1 }, 1, 100).await.unwrap(), [0u64; 0]);
    assert_eq!(t.event_ids(&Scope::System, Table::Alert, at(n - 1), at(n + 1)).await.unwrap(), [id(1, 1)]);
    assert_eq!(t.quarantined(&Scope::System, at(n - 1), at(n + 1)).await.unwrap(), [("wrong-type".to_owned(), 1)]);
}

#[tokio::test]
async fn hops_are_measured_from_the_stored_times() {
    let s = store(module_path!()).await;
    let n = now();
    let clock = std::sync::Arc::new(lagewarte_base::clock::ManualClock::new(at(n + 50_000)));
    let t = Telemetry::with_clock(&s.engine.connection(), clock);
    let events: Vec<_> = (1..=100).map(|i| (1, i, alert("a", n, 1, "203.0.113.7"))).collect();
    t.insert_segment(&rows("l/1", &events, n + 10_000)).await.unwrap();
    let hops = t.latency(&Scope::System, at(n), at(n + MINUTE)).await.unwrap();
    let got: Vec<_> = hops.iter().map(|h| (h.hop, h.events, h.p50_us as i64, h.p99_us as i64)).collect();
    // observed n+1000, spooled n+2000, sent n+3000, received n+10000, durable n+50000
    assert_eq!(
        got,
        [
            ("read→spooled", 100, 1_000, 1_000),
            ("spooled→sent", 100, 1_000, 1_000),
            ("sent→received", 100, 7_000, 7_000),
            ("received→durable", 100, 40_000, 40_000),
            ("read→durable", 100, 49_000, 49_000),
        ]
    );
    assert_eq!(t.latency(&Scope::System, at(n + MINUTE), at(n + 2 * MINUTE)).await.unwrap(), []);
}

#[tokio::test]
async fn the_longest_questions_by_id_are_read_by_the_engine() {
    let s = store(module_path!()).await;
    let far = |i: usize| u64::MAX - i as u64;
    let ids: Vec<_> = (0..=MAX_IDS).map(|i| (far(i), far(i))).collect();
    let owner = "a".repeat(64).parse().unwrap();
    let times = (at(now() - MINUTE), at(now()));
    let found = s.telemetry.existing_ids(&Scope::System, sensor(1), &owner, &ids, times).await.unwrap();
    assert!(found.is_empty());
    let epochs: Vec<_> = (0..=MAX_EPOCHS).map(|i| (sensor(1), Epoch { counter: far(i), nonce: far(i) })).collect();
    assert!(s.telemetry.high_water(&Scope::System, &epochs).await.unwrap().is_empty());
}

#[tokio::test]
async fn hops_of_a_busy_day_are_measured_on_a_sample_of_bounded_size() {
    let s = store(module_path!()).await;
    let (c, n, rows) = (s.engine.connection(), now(), 2 * MAX_MEASURED + 50_000);
    // Each alert is sent 0 to 999 µs after it was spooled, whatever else is the same.
    let alerts = format!(
        "INSERT INTO alert (sensor, epoch, nonce, seq, constituent, event_us, observed_us, spooled_us, sent_us, received_us, segment) \
         WITH fromUnixTimestamp64Micro({n}) AS t SELECT '{}', 1, 2, number, 'stadt-a', t, t, t, \
         t + toIntervalMicrosecond(number % 1000), t + INTERVAL 1 SECOND, 'l/1' FROM numbers({rows})",
        sensor(1)
    );
    ask(&c, &alerts).await.unwrap();
    ask(
        &c,
        &format!(
            "INSERT INTO segment (segment, durable_us) SELECT 'l/1', fromUnixTimestamp64Micro({n}) + INTERVAL 3 SECOND"
        ),
    )
    .await
    .unwrap();
    let hops = s.telemetry.latency(&Scope::System, at(n), at(n + MINUTE)).await.unwrap();
    let sent = hops.iter().find(|h| h.hop == "spooled→sent").unwrap();
    // A third of them, since half would still be more than may be held.
    assert!((rows / 3).abs_diff(sent.events) < rows / 100, "{sent:?}");
    assert!((490.0..510.0).contains(&sent.p50_us) && (985.0..=995.0).contains(&sent.p99_us), "{sent:?}");
    let durable = hops.iter().find(|h| h.hop == "received→durable").unwrap();
    assert_eq!((durable.p50_us, durable.p99_us), (2_000_000.0, 2_000_000.0));
}

#[tokio::test]
async fn health_is_the_last_report_with_the_loss_since_the_one_before() {
    let s = store(module_path!()).await;
    let (t, n) = (&s.telemetry, now());
    t.insert_segment(&rows("l/1", &[(1, 1, health("a", n - 2 * MINUTE, 1_000, 10))], n - 2 * MINUTE)).await.unwrap();
    t.insert_segment(&rows(
        "l/2",
        &[(1, 2, health("a", n - MINUTE, 3_000, 110)), (2, 1, health("a", n, 500, 5))],
        n - MINUTE,
    ))
    .await
    .unwrap();
    // Sensor 2 started again: its counters begin at zero.
    t.insert_segment(&rows("l/3", &[(2, 2, health("a", n, 40, 1))], n)).await.unwrap();
    let h = t.sensor_health(&Scope::System, at(n - 60 * MINUTE)).await.unwrap();
    let got: Vec<_> =
        h.iter().map(|h| (h.sensor, h.packets, h.drops, h.received_us - n, h.interval_s, h.lag_us)).collect();
    assert_eq!(got, [(sensor(1), 2_000, 100, -MINUTE, 30, 1_500), (sensor(2), 40, 1, 0, 30, 1_500)]);
}
