// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Backup of the telemetry while rows come in, and its restore into another engine.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    collections::BTreeSet,
    fs,
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering},
};

use common::{alert, anyone, ask, id, now, store};
use lagewarte_base::time::Timestamp;
use lagewarte_store::{
    scope::Scope,
    telemetry::{Rows, TelemetryError, columns::Table, extract},
};

lagewarte_store::engine_in_tests!();

const DAY: i64 = 86_400_000_000;

fn segment(n: i64, number: u64) -> Rows {
    let mut rows = Rows::new(&format!("l/{number}"), 0);
    let at = Timestamp::from_micros(n);
    for i in 0..50 {
        let env = alert(if i % 2 == 0 { "stadt-a" } else { "stadt-b" }, n - i * 1_000_000, 7, "203.0.113.7");
        rows.push(&extract(&id(1, number * 50 + i as u64 + 1), &env, at, at, &anyone).unwrap());
    }
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_while_rows_come_in_is_whole_after_the_restore() {
    let s = store(module_path!()).await;
    let (n, made) = (now(), Timestamp::from_micros(now()));
    for number in 0..20 {
        s.telemetry.insert_segment(&segment(n, number)).await.unwrap();
    }
    // Rows come in from here on, until the backup is done.
    let stop = Arc::new(AtomicBool::new(false));
    let inserts = tokio::spawn({
        let (t, stop) = (s.telemetry.clone(), stop.clone());
        async move {
            let mut number = 20;
            while !stop.load(Ordering::Relaxed) {
                t.insert_segment(&segment(n, number)).await.unwrap();
                number += 1;
            }
            number
        }
    });
    let folder = s.dir.path().join("engine/backups/b1");
    s.telemetry.backup(&Scope::System, &folder).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(inserts.await.unwrap() > 20, "nothing came in meanwhile");
    assert!(s.telemetry.backup(&Scope::System, &folder).await.is_err(), "a backup is never overwritten");
    assert!(s.telemetry.backup(&Scope::Constituent("a".parse().unwrap()), &folder).await.is_err());

    let other = store(module_path!()).await;
    let (t, c) = (&other.telemetry, other.engine.connection());
    let place = other.dir.path().join("engine/backups/b1");
    fs::create_dir_all(&place).unwrap();
    for a in t.archives() {
        fs::copy(folder.join(&a), place.join(&a)).unwrap();
    }
    t.insert_segment(&segment(n, 999)).await.unwrap();
    let system = Scope::System;
    let refused = t.restore(&system, &place, made, false).await.unwrap_err();
    assert!(matches!(refused, TelemetryError::Holds(rows) if rows > 50), "{refused}");
    assert_eq!(ask(&c, "SELECT count() FROM alert").await.unwrap(), "50", "a refused restore changes nothing");
    t.restore(&system, &place, made, true).await.unwrap();

    // Every segment that is called complete has all its rows, once; and the rollups are what raw counts.
    let complete: BTreeSet<String> =
        ask(&c, "SELECT segment FROM segment").await.unwrap().lines().map(str::to_owned).collect();
    assert!(complete.len() >= 20 && !complete.contains("l/999"), "{complete:?}");
    let rows = ask(&c, "SELECT segment, count(), uniqExact(seq) FROM alert GROUP BY segment").await.unwrap();
    let whole: BTreeSet<String> =
        rows.lines().filter(|l| l.ends_with("\t50\t50")).map(|l| l.split('\t').next().unwrap().to_owned()).collect();
    assert!(complete.is_subset(&whole), "complete {complete:?}, whole {whole:?}");
    for check in t
        .check_rollups(&system, Table::Alert, Timestamp::from_micros(n - DAY), Timestamp::from_micros(n + DAY))
        .await
        .unwrap()
    {
        assert_eq!((check.differing, check.raw), (0, check.rolled), "{check:?}");
        assert!(check.raw >= 1_000);
    }
    // And it takes rows again: once each, rollups included.
    let before = ask(&c, "SELECT count(), (SELECT sum(alerts) FROM alert_1m) FROM alert").await.unwrap();
    for _ in 0..2 {
        t.insert_segment(&segment(n, 5_000)).await.unwrap();
    }
    let plus = |t: &str| {
        t.split('\t').map(|n| n.parse::<u64>().unwrap() + 50).map(|n| n.to_string()).collect::<Vec<_>>().join("\t")
    };
    assert_eq!(ask(&c, "SELECT count(), (SELECT sum(alerts) FROM alert_1m) FROM alert").await.unwrap(), plus(&before));
    assert_eq!(t.migrate().await.unwrap(), 0);
}
