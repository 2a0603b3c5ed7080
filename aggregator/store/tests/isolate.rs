// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rows that the real engine refuses: they go to quarantine with its words, the rest is stored once.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{alert, anyone, ask, id, now, store};
use lagewarte_base::time::Timestamp;
use lagewarte_store::telemetry::{Isolated, Rows, extract};

lagewarte_store::engine_in_tests!();

fn rows(segment: &str, sids: impl Iterator<Item = u32>) -> Rows {
    let mut rows = Rows::new(segment, 1);
    let us = Timestamp::from_micros;
    for (seq, sid) in (1..).zip(sids) {
        let env = alert("auenstadt", now(), sid, "203.0.113.9");
        rows.push(&extract(&id(1, seq), &env, us(now()), us(now()), &anyone).unwrap());
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_refuses_goes_to_quarantine_and_the_rest_is_stored_once() {
    let s = store(module_path!()).await;
    let c = s.engine.connection();
    ask(&c, "ALTER TABLE alert ADD CONSTRAINT no_666 CHECK signature_id != 666").await.unwrap();
    let segment = rows("00aa-0-1-1", (0..300).map(|n| if n == 17 || n == 250 { 666 } else { n + 1000 }));
    let refused = s.telemetry.insert_segment(&segment).await.unwrap_err();
    assert!(refused.refuses_rows(), "{refused}");
    for _ in 0..2 {
        // The second time as after a crash: the same.
        let (_, done) = s.telemetry.insert_isolating(&segment).await.unwrap();
        assert_eq!(done, Isolated { refused: 2, ..Isolated::default() });
        let counts = "SELECT (SELECT count() FROM alert), (SELECT countDistinct(seq) FROM alert), \
                      (SELECT sum(alerts) FROM alert_1h), (SELECT count() FROM segment)";
        assert_eq!(ask(&c, counts).await.unwrap(), "298\t298\t298\t1");
        let aside = "SELECT seq, reason, position(detail, 'no_666') > 0, position(eve, '666') > 0, segment FROM quarantine ORDER BY seq";
        let want = "18\trefused-by-store\t1\t1\t00aa-0-1-1\n251\trefused-by-store\t1\t1\t00aa-0-1-1";
        assert_eq!(ask(&c, aside).await.unwrap(), want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_everything_is_no_reason_to_put_everything_aside() {
    let s = store(module_path!()).await;
    let c = s.engine.connection();
    ask(&c, "ALTER TABLE alert ADD CONSTRAINT nothing CHECK signature_id = 0").await.unwrap();
    let segment = rows("00aa-0-1-1", 1000..1150);
    assert!(s.telemetry.insert_isolating(&segment).await.unwrap_err().refuses_rows());
    assert_eq!(ask(&c, "SELECT count() FROM alert").await.unwrap(), "0");
    ask(&c, "ALTER TABLE alert DROP CONSTRAINT nothing").await.unwrap();
    ask(&c, "DROP TABLE segment").await.unwrap();
    assert!(
        !s.telemetry.insert_segment(&segment).await.unwrap_err().refuses_rows(),
        "a table that is missing is not the rows' fault"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_only_a_view_refuses_are_stored_once_and_said_to_be_behind() {
    let s = store(module_path!()).await;
    let c = s.engine.connection();
    ask(&c, "CREATE TABLE own (n UInt64) ENGINE = SummingMergeTree ORDER BY n").await.unwrap();
    let view = "CREATE MATERIALIZED VIEW own_view TO own AS SELECT seq AS n FROM alert WHERE throwIf(seq = 5) = 0";
    ask(&c, view).await.unwrap();
    let segment = rows("00aa-0-1-1", 1000..1010);
    assert!(s.telemetry.insert_segment(&segment).await.unwrap_err().refuses_rows());
    let (_, done) = s.telemetry.insert_isolating(&segment).await.unwrap();
    assert_eq!(done, Isolated { behind: 10, ..Isolated::default() });
    assert_eq!(ask(&c, "SELECT count() FROM alert").await.unwrap(), "10");
}
