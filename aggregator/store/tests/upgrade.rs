// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Migrations on the real engine: from every past version, with that version's rows, to one and the same state.
//!
//! `fixtures/schema-N.sql` holds rows as a program of version N wrote them. A new version needs one (held here).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{fs, path::Path};

use common::{alert, anyone, ask, id, now};
use lagewarte_base::time::Timestamp;
use lagewarte_event::Gap;
use lagewarte_store::{
    scope::Scope,
    telemetry::{Connection, Rows, SCHEMA_VERSION, columns::Table, extract, gap},
};

lagewarte_store::engine_in_tests!();

/// Every table and view as the engine describes it.
async fn schema(c: &Connection) -> String {
    ask(c, "SELECT name, create_table_query FROM system.tables WHERE database = 'lagewarte' ORDER BY name")
        .await
        .unwrap()
}

async fn load(c: &Connection, version: u32) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/schema-{version}.sql"));
    let text = fs::read_to_string(&path).unwrap_or_else(|e| unreachable!("{}: {e}", path.display()));
    for statement in text.split(";\n") {
        let sql: Vec<&str> = statement.lines().filter(|l| !l.starts_with("--")).collect();
        if sql.iter().any(|l| !l.trim().is_empty()) {
            ask(c, &sql.join("\n")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn every_past_version_comes_forward_with_its_rows_to_one_state() {
    let mut wanted: Option<String> = None;
    for version in (1..=SCHEMA_VERSION).rev() {
        eprintln!("from version {version}");
        let s = common::engine_only(module_path!());
        let (t, c, n) = (&s.telemetry, s.engine.connection(), now());
        assert_eq!(t.migrate_to(version).await.unwrap(), version as usize);
        load(&c, version).await;
        // A crash before the newest step was recorded: it is repeated on top of its own result.
        ask(&c, &format!("ALTER TABLE schema_version DELETE WHERE version = {version} SETTINGS mutations_sync = 2"))
            .await
            .unwrap();
        // A segment that waits in a journal since before the upgrade.
        let mut waiting = Rows::new("l/1", 0);
        waiting.push(&gap(
            &id(1, 0),
            &Gap { from_seq: 400, to_seq: 401, reason: "crash".into() },
            Timestamp::from_micros(n),
        ));
        let journal = waiting.to_bytes();

        assert_eq!(t.migrate().await.unwrap(), (SCHEMA_VERSION - version) as usize + 1);
        assert_eq!(t.migrate().await.unwrap(), 0, "the second run applies nothing");

        let is = schema(&c).await;
        let want = wanted.get_or_insert_with(|| is.clone());
        assert_eq!(&is, want, "from version {version} the schema is another");
        t.insert_segment(&Rows::from_bytes(&journal).unwrap()).await.unwrap();
        let mut rows = Rows::new("l/2", 0);
        let fresh = alert("stadt-a", n, 9_000_001, "203.0.113.7");
        let at = Timestamp::from_micros(n);
        rows.push(&extract(&id(1, 500), &fresh, at, at, &anyone).unwrap());
        t.insert_segment(&rows).await.unwrap();
        for (sql, want) in [
            ("SELECT count(), uniqExact(seq), countIf(pseudonym_key = 'k1') > 0 FROM alert", "41\t41\t1"),
            ("SELECT count() FROM flow", "30"),
            ("SELECT count() FROM record", "20"),
            ("SELECT count() FROM health", "1"),
            ("SELECT reason, detail FROM quarantine", "wrong-type\tsrc_ip is no IPv6"),
            ("SELECT sum(to_seq - from_seq + 1) FROM gap", "11"),
            ("SELECT count() FROM segment", "3"),
            // Raw and, once each, the hour that only the old counts remember.
            ("SELECT sum(alerts) FROM alert_1h", "46"),
            ("SELECT sum(alerts) FROM alert_1h WHERE bucket < now() - INTERVAL 190 DAY", "5"),
            ("SELECT sum(octets_toserver) FROM flow_5m", "9000"),
        ] {
            assert_eq!(ask(&c, sql).await.unwrap(), want, "from version {version}: {sql}");
        }
        let day = 24 * 3_600_000_000;
        for table in [Table::Alert, Table::Flow, Table::Record] {
            let (from, to) = (Timestamp::from_micros(n - day), Timestamp::from_micros(n + day));
            for check in t.check_rollups(&Scope::System, table, from, to).await.unwrap() {
                assert_eq!((check.differing, check.raw), (0, check.rolled), "from version {version}: {check:?}");
                assert!(check.raw > 0);
            }
        }
    }
}
