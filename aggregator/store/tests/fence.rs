// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A lane that was shut out inserts nothing, not even what it had begun; what it left half-done is completed once.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use common::{alert, anyone, ask, id, now, store};
use lagewarte_base::time::Timestamp;
use lagewarte_store::{
    Scope,
    telemetry::{Connection, Repaired, Rollup, Rows, TelemetryError, extract},
};

lagewarte_store::engine_in_tests!();

fn rows(segment: &str, from: u64, to: u64) -> Rows {
    let mut rows = Rows::new(segment, 1);
    for seq in from..=to {
        let owner = ["auenstadt", "mittelau", "wehrmuende"][usize::try_from(seq % 3).unwrap()];
        let env = alert(owner, now(), 9_000_001, "203.0.113.9");
        let us = Timestamp::from_micros;
        rows.push(&extract(&id(1, seq), &env, us(now()), us(now()), &anyone).unwrap());
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_was_shut_out_inserts_nothing_and_others_go_on() {
    let s = store(module_path!()).await;
    let c = s.engine.connection();
    s.telemetry.insert_segment(&rows("00aa-1-7-1", 1, 10)).await.unwrap();
    s.telemetry.fence("00aa-1", 8).await.unwrap();
    s.telemetry.fence("00aa-1", 8).await.unwrap();
    let late = rows("00aa-1-7-2", 11, 20);
    assert!(matches!(s.telemetry.insert_segment(&late).await, Err(TelemetryError::Fenced { fence: 7, .. })));
    // Even what was durable before is refused: whoever asks must learn that its lease is lost.
    let again = s.telemetry.insert_segment(&rows("00aa-1-7-1", 1, 10)).await;
    assert!(matches!(again, Err(TelemetryError::Fenced { .. })), "{again:?}");
    assert_eq!(ask(&c, "SELECT count() FROM alert").await.unwrap(), "10");
    for other in ["00aa-1-8-1", "00aa-0-7-1", "00ab-1-7-1", "no such pattern"] {
        s.telemetry.insert_segment(&rows(other, 1, 10)).await.unwrap();
    }
    assert_eq!(ask(&c, "SELECT count() FROM alert").await.unwrap(), "50");
    assert_eq!(ask(&c, "SELECT count() FROM segment").await.unwrap(), "5");
}

/// An INSERT of 100,000 rows, guarded as [`lagewarte_store`]'s are, over a connection of its own: half of its body is sent,
/// and the engine runs it.
struct Begun {
    line: TcpStream,
    rest: Vec<u8>,
}

impl Begun {
    async fn start(c: &Connection, query_id: &str) -> Self {
        let sql = "INSERT INTO gap (sensor, epoch, nonce, received_us, reason, from_seq, to_seq, segment) \
                   SELECT generateUUIDv4(), 1, 1, now64(6), 'crash', n, n + 1, s FROM input('n UInt64, s String') \
                   WHERE throwIf((SELECT count() FROM fence WHERE lane = '00aa-1' AND below > 7) > 0, 'fenced') = 0 FORMAT RowBinary";
        let row = |n: u64| [&n.to_le_bytes()[..], &[200, 1], &[b'x'; 200]].concat();
        let body: Vec<u8> = (0..100_000).flat_map(row).collect();
        let escaped = |text: &str| text.bytes().map(|b| format!("%{b:02x}")).collect::<String>();
        let head = format!(
            "POST /?database={}&wait_end_of_query=1&query_id={}&query={} HTTP/1.1\r\n\
             Host: x\r\nX-ClickHouse-User: {}\r\nX-ClickHouse-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
            c.database,
            escaped(query_id),
            escaped(sql),
            c.user,
            c.password,
        );
        let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
        let (sent, rest) = body.split_at(body.len() / 2);
        let mut line = TcpStream::connect(c.url.trim_start_matches("http://")).unwrap();
        line.write_all(&[head.as_bytes(), &chunk(sent)].concat()).unwrap();
        let begun = format!("SELECT count() FROM system.processes WHERE query_id = '{query_id}'");
        // Not for one moment only: a statement that failed at once is in the list for a moment, too.
        let mut seen = 0;
        for _ in 0..200 {
            seen = if ask(c, &begun).await.unwrap() == "1" { seen + 1 } else { 0 };
            if seen > 5 {
                return Self { line, rest: [chunk(rest), chunk(b"")].concat() };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the engine does not run the statement");
    }

    /// Sends the rest; the answer's first line, or empty where the connection is gone.
    fn finish(mut self) -> String {
        let mut answer = [0; 1024];
        let n = self.line.write_all(&self.rest).and_then(|()| self.line.read(&mut answer)).unwrap_or(0);
        String::from_utf8_lossy(&answer[..n]).lines().next().unwrap_or_default().to_owned()
    }
}

/// The case that no check in the aggregator can hold: the statement has passed the fence, its sender is stopped in the
/// middle of the rows, and wakes when its lane is somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn an_insert_that_was_begun_before_the_fence_comes_to_nothing() {
    let s = store(module_path!()).await;
    let c = s.engine.connection();
    let woken = Begun::start(&c, "another/00aa-1/7/x").await.finish();
    assert!(woken.starts_with("HTTP/1.1 200"), "without a fence it is taken: {woken}");
    assert_eq!(ask(&c, "SELECT count() FROM gap").await.unwrap(), "100000");
    let sleeper = Begun::start(&c, "lagewarte/00aa-1/7/x").await;
    s.telemetry.fence("00aa-1", 8).await.unwrap();
    let running = "SELECT count() FROM system.processes WHERE query_id = 'lagewarte/00aa-1/7/x'";
    assert_eq!(ask(&c, running).await.unwrap(), "0", "none runs when the fence is up");
    let woken = sleeper.finish();
    assert!(!woken.starts_with("HTTP/1.1 200"), "{woken}");
    assert_eq!(ask(&c, "SELECT count() FROM gap").await.unwrap(), "100000");
}

/// How many alerts raw and each rollup count, and how many segments are whole.
const STATE: &str = "SELECT (SELECT count() FROM alert), (SELECT sum(alerts) FROM alert_1m), (SELECT sum(alerts) FROM alert_5m), \
                     (SELECT sum(alerts) FROM alert_1h), (SELECT count() FROM segment)";

/// Makes the view of a rollup fail, or work again.
async fn view(c: &Connection, works: bool) {
    let rollup = Rollup::all().find(|r| r.name() == "alert_5m").unwrap();
    let create = rollup.create_view();
    let fails = create.replacen("WHERE ", "WHERE throwIf(1) = 0 AND ", 1);
    assert_ne!(create, fails);
    ask(c, "DROP TABLE alert_5m_view SYNC").await.unwrap();
    ask(c, if works { &create } else { &fails }).await.unwrap();
}

/// Found by the soak: the rows of a half-done segment were inserted again under their token, and in a table of many parts
/// the engine did not know the token again. All of them were stored twice.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_lost_lane_left_half_done_is_completed_once() {
    let s = store(module_path!()).await;
    let c = s.engine.connection();
    let run = async |sql: &str| ask(&c, sql).await.unwrap();
    for _ in 0..2 {
        s.telemetry.insert_segment(&rows("00aa-1-7-1", 1, 60_000)).await.unwrap();
    }
    assert_eq!(run(STATE).await, "60000\t60000\t60000\t60000\t1");
    view(&c, false).await;
    assert!(s.telemetry.insert_segment(&rows("00aa-1-7-2", 60_001, 60_300)).await.is_err());
    view(&c, true).await;
    // Its rows lie apart by now, each owner's in another place of one large part.
    run("OPTIMIZE TABLE alert FINAL").await;
    let before = run(STATE).await;
    assert!(before.starts_with("60300\t") && before.contains("\t60000\t") && before.ends_with("\t1"), "{before}");

    s.telemetry.fence("00aa-1", 8).await.unwrap();
    let repaired = s.telemetry.repair(&Scope::System, "00aa-1", 8).await.unwrap();
    assert_eq!(run(STATE).await, "60300\t60300\t60300\t60300\t2");
    assert_eq!(repaired, Repaired { segments: 1, rows: 300 });
    assert_eq!(s.telemetry.repair(&Scope::System, "00aa-1", 8).await.unwrap(), Repaired::default());
    assert_eq!(run(STATE).await, "60300\t60300\t60300\t60300\t2");
    let nobody = Scope::Constituent("auenstadt".parse().unwrap());
    assert!(matches!(s.telemetry.repair(&nobody, "00aa-1", 8).await, Err(TelemetryError::Forbidden(_))));
}
