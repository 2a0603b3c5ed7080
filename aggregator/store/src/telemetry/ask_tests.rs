// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Scopes and limits on the real engine, with texts that a careless author might write.

use super::*;
use crate::{
    engine::{Engine, testing},
    telemetry::Limits,
};

crate::engine_in_tests!();

async fn store() -> (Telemetry, Engine, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&testing::options(&dir.path().join("engine"), module_path!()).unwrap()).unwrap();
    let t = Telemetry::new(&engine.connection());
    t.migrate().await.unwrap();
    (t, engine, dir)
}

async fn words(t: &Telemetry, scope: &Scope, purpose: Purpose, sql: &str) -> Result<Vec<String>, TelemetryError> {
    t.all("words", t.events(scope, purpose, sql)?).await
}

#[tokio::test]
async fn the_engine_itself_shows_a_constituent_nothing_of_others() {
    let (t, _engine, _dir) = store().await;
    for table in ["alert", "health", "quarantine"] {
        let insert = format!(
            "INSERT INTO {table} (constituent, event_us, received_us, segment) \
             SELECT ['stadt-a', 'stadt-b'][number + 1], now64(6), now64(6), 'l/1' FROM numbers(2)"
        );
        t.run("rows", &insert).await.unwrap();
    }
    t.run("rows", "INSERT INTO segment (segment, durable_us) VALUES ('l/1', now64(6))").await.unwrap();
    // Texts that name the scope once and forget it elsewhere, or undo it.
    let own = Scope::Constituent("stadt-a".parse().unwrap());
    for (sql, want) in [
        (
            "SELECT toString(constituent) FROM alert WHERE $SCOPE UNION ALL SELECT toString(constituent) FROM alert",
            vec!["stadt-a"; 2],
        ),
        ("SELECT toString(constituent) FROM alert WHERE $SCOPE OR 1", vec!["stadt-a"]),
        ("SELECT toString(constituent) FROM health WHERE 1 OR $SCOPE", vec!["stadt-a"]),
        ("SELECT toString(constituent) FROM alert_1h WHERE 1 OR $SCOPE", vec!["stadt-a"]),
        ("SELECT toString(constituent) FROM quarantine WHERE 1 OR $SCOPE", vec![]),
        (
            "SELECT DISTINCT toString(h.constituent) FROM alert AS a CROSS JOIN health AS h WHERE 1 OR a.$SCOPE",
            vec!["stadt-a"],
        ),
        (
            "SELECT segment FROM segment, (SELECT any(constituent) AS constituent FROM alert) AS a WHERE 1 OR $SCOPE",
            vec![],
        ),
    ] {
        assert_eq!(words(&t, &own, Purpose::Page, sql).await.unwrap(), want, "{sql}");
    }
    for scope in [Scope::Land, Scope::System] {
        let sql = "SELECT toString(constituent) FROM alert WHERE $SCOPE ORDER BY 1";
        assert_eq!(words(&t, &scope, Purpose::Page, sql).await.unwrap(), ["stadt-a", "stadt-b"]);
        assert!(words(&t, &scope, Purpose::Page, "SELECT 'no scope'").await.is_err());
    }
    // Whoever is asked for is data, not SQL. The id's own grammar refuses quotes; were that ever loosened, this holds.
    assert!("a' OR '1".parse::<ConstituentId>().is_err());
}

#[tokio::test]
async fn a_question_beyond_its_limits_is_an_error_and_never_half_an_answer() {
    let (t, _engine, _dir) = store().await;
    let from = |sql: &str| format!("SELECT {sql} FROM numbers(5000000) WHERE $SCOPE OR number >= 0 LIMIT 200000");
    for (purpose, sql, why) in [
        (Purpose::Page, from("toString(length(groupArray(repeat('x', 1000))))"), "MEMORY_LIMIT_EXCEEDED"),
        (Purpose::Page, from("toString(number)"), "TOO_MANY_ROWS_OR_BYTES"),
        (Purpose::Upkeep, "INSERT INTO alert_1h (constituent) SELECT 'x' WHERE $SCOPE".into(), "READONLY"),
    ] {
        // The asker is the aggregator itself, for whom $SCOPE becomes 1.
        let e = words(&t, &Scope::System, purpose, &sql).await.expect_err(&sql);
        assert!(format!("{e:?}").contains(why), "{sql}: {e:?}");
    }
    for p in Purpose::ALL {
        let Limits { seconds, memory, rows, threads } = p.limits();
        assert!(seconds > 0 && memory >= 1 << 30 && rows <= MAX_ROWS && threads > 0, "{p:?}");
    }
}

#[tokio::test]
async fn a_question_that_takes_too_long_is_ended() {
    let (t, _engine, _dir) = store().await;
    // As the page's limit, on a second instead of ten: the engine sleeps, so that no machine is too fast.
    let sql = "SELECT toString(sum(sleepEachRow(0.2))) FROM numbers(100) WHERE $SCOPE SETTINGS max_block_size = 1";
    let q = t.events(&Scope::System, Purpose::Page, sql).unwrap().with_setting("max_execution_time", "1");
    let e = t.all::<String>("a long question", q).await.unwrap_err();
    assert!(format!("{e:?}").contains("TIMEOUT_EXCEEDED"), "{e:?}");
}
