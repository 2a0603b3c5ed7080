// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What holds the store in bounds, on the real engine: the size cap. Scopes and limits of
//! questions are tested beside `ask.rs`, which holds them.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{fs, path::Path};

use common::{ask, now, store};
use lagewarte_base::{clock::ManualClock, time::Timestamp};
use lagewarte_store::{
    scope::Scope,
    telemetry::{AlertFilter, KEEP_DAYS, ORDER_OF_DELETION, TableSize, Telemetry, Touched, columns::Table},
};

lagewarte_store::engine_in_tests!();

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

fn at(us: i64) -> Timestamp {
    Timestamp::from_micros(us)
}

fn sources() -> Vec<(String, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/telemetry");
    let files = fs::read_dir(dir)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "rs") && !p.ends_with("ask_tests.rs"));
    files.map(|p| (p.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&p).unwrap())).collect()
}

#[test]
fn no_question_goes_to_the_engine_but_through_the_scope() {
    // The client is the telemetry module's own, and these files alone may use it: ask.rs puts questions within a scope;
    // the others change the schema, insert, or repair, and return no rows of constituents.
    let may = [
        "ask.rs",
        "backup.rs",
        "cluster.rs",
        "fence.rs",
        "insert.rs",
        "isolate.rs",
        "migrate.rs",
        "query.rs",
        "repair.rs",
    ];
    for (file, text) in sources() {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let uses =
            code.matches("client()").count() + code.matches(".query(").count() + code.matches("query_raw(").count();
        assert!(uses == 0 || may.contains(&file.as_str()), "{file} asks the engine by itself");
        if file == "query.rs" {
            assert_eq!(uses, 2, "query.rs: version() alone asks by itself");
        }
    }
    let (_, insert) = sources().into_iter().find(|(f, _)| f == "insert.rs").unwrap();
    assert!(insert.contains("pub(super) fn client(&self)"));
}

#[tokio::test]
async fn the_size_cap_drops_the_oldest_first_in_its_order_and_never_what_is_not_named() {
    let s = store(module_path!()).await;
    let (c, n) = (s.engine.connection(), now());
    // Ten days of everything, as many partitions; a table of evidence that no order names.
    ask(&c, "CREATE TABLE evidence (constituent String, received_us DateTime64(6)) ENGINE = MergeTree PARTITION BY toYYYYMMDD(received_us) ORDER BY constituent").await.unwrap();
    ask(&c, "INSERT INTO evidence SELECT 'a', now64(6) - toIntervalDay(number) FROM numbers(10)").await.unwrap();
    for (table, more) in
        [("alert", "signature_id, "), ("flow", "age_s, "), ("record", "flow_id, "), ("health", "uptime_s, ")]
    {
        ask(&c, &format!("INSERT INTO {table} (constituent, event_us, received_us, {more}eve) SELECT 'a', now64(6) - toIntervalDay(number % 10), now64(6) - toIntervalDay(number % 10), number, randomPrintableASCII(400) FROM numbers(20000)")).await.unwrap();
    }
    let t = Telemetry::with_clock(&c, std::sync::Arc::new(ManualClock::new(at(n))));
    t.migrate().await.unwrap();
    let system = Scope::System;
    let size = |all: &[TableSize], name: &str| all.iter().find(|s| s.name == name).map_or(0, |s| s.bytes);
    let before = t.sizes(&system).await.unwrap();
    let total: u64 = before.iter().map(|s| s.bytes).sum();
    assert!(size(&before, "flow") > 1_000_000 && total > 8_000_000, "{before:?}");
    let oldest = before.iter().find(|s| s.name == "flow").unwrap().oldest_us;
    assert!((n - 10 * DAY..=n - 8 * DAY).contains(&oldest), "{oldest}");

    // Nothing to do.
    assert_eq!(t.enforce_cap(&system, Some(total)).await.unwrap(), (vec![], 0));
    // One byte too many: the oldest partition of the first table, alone.
    let (evicted, over) = t.enforce_cap(&system, Some(total - 1)).await.unwrap();
    assert_eq!((evicted.len(), over), (1, 0));
    assert_eq!(evicted[0].table, ORDER_OF_DELETION[0]);
    assert!(evicted[0].rows == 2_000 && evicted[0].bytes > 100_000, "{evicted:?}");
    assert_eq!(
        ask(&c, "SELECT count(), min(received_us) > now64(6) - INTERVAL 9 DAY FROM flow").await.unwrap(),
        "18000\t1"
    );
    // Far too large: everything in the order, but for the newest days, and what no order names.
    let (evicted, over) = t.enforce_cap(&system, Some(0)).await.unwrap();
    let order: Vec<usize> =
        evicted.iter().map(|e| ORDER_OF_DELETION.iter().position(|o| *o == e.table).unwrap()).collect();
    assert!(order.is_sorted(), "{evicted:?}");
    assert!(over > 0, "it says what it could not free");
    assert_eq!(ask(&c, "SELECT count() FROM evidence").await.unwrap(), "10");
    assert_eq!(ask(&c, "SELECT sum(alerts) FROM alert_1h").await.unwrap(), "20000", "hourly counts of alerts stay");
    for table in ["alert", "flow", "record", "health"] {
        let days = ask(
            &c,
            &format!(
                "SELECT uniqExact(toDate(received_us)), max(received_us) > now64(6) - INTERVAL 1 DAY FROM {table}"
            ),
        )
        .await
        .unwrap();
        let (kept, newest) = days.split_once('\t').unwrap();
        assert!(kept.parse::<i64>().unwrap() >= KEEP_DAYS && newest == "1", "{table}: {days}");
    }
    // Counted and shown.
    let shown =
        ask(&c, "SELECT name, sum(rows) FROM eviction WHERE name IN ('flow', 'alert') GROUP BY name ORDER BY name")
            .await
            .unwrap();
    let left = |t: &str| format!("SELECT 20000 - count() FROM {t}");
    let want =
        format!("alert\t{}\nflow\t{}", ask(&c, &left("alert")).await.unwrap(), ask(&c, &left("flow")).await.unwrap());
    assert_eq!(shown, want);
    // Nobody asks the minutes of a day that went: five days ago the answer comes from the hours.
    let (from, to) = (n - 5 * DAY - 30 * MINUTE, n - 5 * DAY + 30 * MINUTE);
    let counted: u64 =
        t.top_signatures(&Scope::Land, at(from), at(to), 100_000).await.unwrap().iter().map(|s| s.alerts).sum();
    assert_eq!(counted, 2_000);
    let listed = t.alerts(&Scope::Land, at(n - MINUTE), at(n + MINUTE), &AlertFilter::default(), 5).await.unwrap();
    assert_eq!(listed.len(), 5, "the newest alerts are there");
    // Without a cap, the disk's free space decides; here there is enough.
    assert_eq!(t.enforce_cap(&system, None).await.unwrap(), (vec![], 0));
    // A rebuild leaves alone what raw can no longer count.
    let all = Touched { table: Table::Alert, sensor: None, from: at(n - 10 * DAY), to: at(n) };
    t.rebuild_rollups(&system, &all).await.unwrap();
    assert_eq!(ask(&c, "SELECT sum(alerts) FROM alert_1h").await.unwrap(), "20000");
    assert!(t.enforce_cap(&Scope::Constituent("a".parse().unwrap()), Some(0)).await.is_err());
    assert!(t.sizes(&Scope::Constituent("a".parse().unwrap())).await.is_err());
}
