// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! An independent client reads what was written: clickhouse-connect (Python), every table, every column.

mod common;

use std::{path::PathBuf, process::Command};

use common::{alert, anomaly, anyone, flow, health, id, now, sensor, store};
use lagewarte_base::time::Timestamp;
use lagewarte_event::Gap;
use lagewarte_store::telemetry::{Rollup, Rows, columns::Table, extract, gap, quarantine};
use serde_json::{Value, json};

lagewarte_store::engine_in_tests!();

/// `LAGEWARTE_PYTHON`, else the project's environment in the cache, else `python3`.
fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")));
    let own = cache.map(|c| c.join("lagewarte/venv/bin/python")).filter(|p| p.exists());
    std::env::var_os("LAGEWARTE_PYTHON").map(PathBuf::from).or(own).unwrap_or_else(|| "python3".into())
}

#[tokio::test]
async fn clickhouse_connect_reads_every_table() {
    let s = store(module_path!()).await;
    let n = now() / 1_000_000 * 1_000_000 + 123_456;
    let at = Timestamp::from_micros(n);
    let mut rows = Rows::new("l/1", 0);
    let events = [
        (1, alert("stadt-a", n, 7, "203.0.113.7")),
        (2, alert("stadt-b", n, 7, "2001:db8::1")),
        (3, alert("stadt-a", n, 8, "203.0.113.7")),
        (4, health("stadt-a", n, 10, 0)),
        (5, flow("stadt-a", n, 100)),
        (6, anomaly("stadt-a", n)),
    ];
    for (seq, env) in &events {
        rows.push(&extract(&id(1, *seq), env, at, at, &anyone).unwrap());
    }
    let bad = alert("stadt-a", n, 7, "?");
    let poison = extract(&id(1, 8), &bad, at, at, &anyone).unwrap_err();
    rows.push(&quarantine(&id(1, 8), &bad, at, &poison));
    rows.push(&gap(&id(1, 0), &Gap { from_seq: 20, to_seq: 29, reason: "quota".into() }, at));
    s.telemetry.insert_segment(&rows).await.unwrap();

    let grafana = s.engine.grafana();
    let port = grafana.url.rsplit_once(':').unwrap().1.to_owned();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tools/read_tables.py");
    let out = Command::new(python()).args([script, &port, &grafana.password]).output().unwrap();
    assert!(
        out.status.success(),
        "{}\n(clickhouse-connect comes with the environment that `cargo xtask test` makes)",
        String::from_utf8_lossy(&out.stderr)
    );
    let read: Value = serde_json::from_slice(&out.stdout).unwrap();
    for (table, want) in
        [("alert", 3), ("health", 1), ("quarantine", 1), ("gap", 1), ("segment", 1), ("flow", 1), ("record", 1)]
    {
        assert_eq!(read[table]["rows"], want, "{table}");
    }
    for t in Table::ALL {
        assert_eq!(read[t.name()]["columns"], t.columns().count(), "{t:?}");
    }
    for r in Rollup::all() {
        assert!(read[r.name()]["columns"].as_u64().unwrap() > 5, "{}", r.name());
    }
    assert_eq!(
        read["first"],
        json!({"sensor": sensor(1).to_string(), "constituent": "stadt-a", "event_us": n, "src_ip": "203.0.113.7",
               "dest_port": 22, "late": false, "signature_id": 7, "kind": ["bruteforce"], "eve_type": "alert"})
    );
    assert_eq!(read["rollup"], 3);
    assert_eq!(read["by_constituent"], json!([["stadt-a", 2], ["stadt-b", 1]]));
    assert_eq!(read["writes"], false);
}
