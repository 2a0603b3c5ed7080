// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Measures extraction and durable inserts on the embedded engine: `cargo run --release -p lagewarte-store --example
//! insert_rate`. Every insert is synced, every row counts once in raw table and rollup. Must never be taken for a test:
//! it asserts only that all rows arrived.

#![expect(clippy::disallowed_methods, reason = "measures wall time")]

use std::{path::Path, time::Instant};

use anyhow::{Context, ensure};
use lagewarte_base::{
    clock::{Clock, SystemClock},
    id::{ConstituentId, Epoch, EventId, Uuid},
    time::Timestamp,
};
use lagewarte_event::{Class, Envelope};
use lagewarte_store::{
    Scope,
    engine::{Engine, Options, child_main},
    telemetry::{Place, Rows, Telemetry, extract},
};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|a| a == "__engine") {
        std::process::exit(child_main(args));
    }
    let dir = std::env::temp_dir().join(format!("lagewarte-insert-rate-{}", std::process::id()));
    let result =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(measure(&dir));
    std::fs::remove_dir_all(&dir).ok();
    result
}

async fn measure(dir: &Path) -> anyhow::Result<()> {
    let engine = Engine::start(&Options::new(&dir.join("engine"), None)?)?;
    let telemetry = Telemetry::new(&engine.connection());
    telemetry.migrate().await?;
    let now = SystemClock.now();

    let sample = event(1, now);
    let n = 50_000u64;
    let begun = Instant::now();
    let mut rows = Rows::new("extraction", 0);
    for seq in 1..=n {
        rows.push(&row(seq, &sample, now)?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "extraction: {:.0} events/s on one thread; EVE {} bytes, encoded {} bytes an event",
        n as f64 / seconds,
        sample.eve.len(),
        rows.size() as u64 / n
    );

    let mut seq = n;
    for (per_segment, lanes, total) in [
        (10, 1, 500),
        (100, 1, 5_000),
        (1_000, 1, 50_000),
        (1_000, 4, 50_000),
        (10_000, 1, 200_000),
        (10_000, 4, 200_000),
    ] {
        let mut segments = Vec::new();
        for s in 0..total / per_segment {
            let mut rows = Rows::new(&format!("{per_segment}/{lanes}/{s}"), 0);
            for _ in 0..per_segment {
                seq += 1;
                rows.push(&row(seq, &event(seq, now), now)?);
            }
            segments.push(rows);
        }
        let segments = std::sync::Arc::new(segments);
        let begun = Instant::now();
        let tasks: Vec<_> = (0..lanes)
            .map(|lane| {
                let (telemetry, segments) = (telemetry.clone(), segments.clone());
                tokio::spawn(async move {
                    for rows in segments.iter().skip(lane).step_by(lanes) {
                        telemetry.insert_segment(rows).await?;
                    }
                    Ok::<_, lagewarte_store::telemetry::TelemetryError>(())
                })
            })
            .collect();
        for t in tasks {
            t.await??;
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "insert: {per_segment:>6} rows a segment, {lanes} lanes: {:>7.0} rows/s, {:>5.1} segments/s, {:>6.1} ms a segment",
            f64::from(total) / seconds,
            f64::from(total / per_segment) / seconds,
            seconds * 1000.0 * lanes as f64 / f64::from(total / per_segment)
        );
    }
    let hour = 3_600_000_000;
    let (from, to) = (Timestamp::from_micros(now.micros() - 2 * hour), Timestamp::from_micros(now.micros() + 2 * hour));
    let counted: u64 = telemetry.alerts_by_hour(&Scope::System, from, to).await?.iter().map(|h| h.alerts).sum();
    ensure!(counted == seq - n, "{counted} in the rollup, {} sent", seq - n);
    let answer =
        clickhouse(&engine, "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE table = 'alert' AND active")
            .await?;
    println!("on disk: {answer:.0} bytes a row (table alert)");
    let syncs = clickhouse(
        &engine,
        "SELECT toFloat64(sum(value)) FROM system.events WHERE event IN ('FileSync', 'DirectorySync')",
    )
    .await?;
    println!("file and directory syncs: {syncs:.0}");
    Ok(())
}

async fn clickhouse(engine: &Engine, sql: &str) -> anyhow::Result<f64> {
    let c = engine.connection();
    let client = clickhouse::Client::default().with_url(c.url).with_user(c.user).with_password(c.password);
    client.query(sql).fetch_one().await.context("asking the engine")
}

fn row(seq: u64, env: &Envelope, now: Timestamp) -> anyhow::Result<lagewarte_store::telemetry::Row> {
    let id = EventId { sensor: Uuid::from_u128(u128::from(seq % 50)), epoch: Epoch { counter: 1, nonce: 7 }, seq };
    let place = |_: Uuid, _: &ConstituentId| Some(Place { ags: "09162000".parse().ok() });
    Ok(extract(&id, env, now, now, &place)?)
}

/// An alert of ordinary width, with varying addresses, owner and signature.
fn event(seq: u64, now: Timestamp) -> Envelope {
    let us = now.micros() - (seq % 3_600) as i64 * 1_000_000;
    let eve = format!(
        r#"{{"timestamp":"{}","flow_id":{},"in_iface":"eth0","event_type":"alert","src_ip":"203.0.{}.{}","src_port":{},"dest_ip":"10.{}.{}.5","dest_port":22,"proto":"TCP","ip_v":4,"pkt_src":"wire/pcap","community_id":"1:LQU9qZlK+B5F3KDmev6m5PMibrg={}","alert":{{"action":"allowed","gid":1,"signature_id":{},"rev":1,"signature":"LAGEWARTE many SSH logins from one address","category":"Logins that look like guessing","severity":2,"metadata":{{"lagewarte_kind":["ssh_bruteforce"],"lagewarte_advice":["passwords"]}}}},"app_proto":"ssh","direction":"to_server","flow":{{"pkts_toserver":12,"pkts_toclient":11,"bytes_toserver":2312,"bytes_toclient":3120,"start":"{}"}},"lagewarte":{{"inner":"dest","key":"k-2026-01"}}}}"#,
        Timestamp::from_micros(us).eve(),
        seq * 7_919,
        seq / 250 % 250,
        seq % 250,
        1024 + seq % 60_000,
        seq % 60,
        seq / 60 % 250,
        seq,
        1_100_101 + seq % 30,
        Timestamp::from_micros(us - 2_000_000).eve(),
    );
    Envelope {
        seq,
        class: Class::Alert as i32,
        event_type: "alert".into(),
        event_us: us,
        observed_us: us,
        spooled_us: us,
        ruleset: vec![7; 32],
        constituent: format!("gemeinde-{}", seq % 60),
        profile: "alerts-only@1".into(),
        eve: eve.into_bytes(),
    }
}
