// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Measures events per second sustained to durable rows: `--example sustain -- SECONDS SENSORS`.
//!
//! Real spools, uplinks over mutual TLS, ingest and the embedded engine, all on this machine; sensors and ingest share one
//! process. Prints the rate, the delay, and CPU seconds by process. Not a test: it asserts nothing about time.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measuring program")]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use lagewarte_base::{
    clock::{Clock as _, SystemClock},
    fs::RealFs,
    time::Timestamp,
};
use lagewarte_event::{Class, Envelope, Message as _};
use lagewarte_ingest::{Ingest, Options};
use lagewarte_spool::{Priority, Spool};
use lagewarte_store::{
    control::{
        Control, load,
        tokens::{NewToken, TokenKind},
    },
    engine::{Engine, Options as EngineOptions, child_main},
    telemetry::Telemetry,
};
use lagewarte_uplink::{Identity, Uplink};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).is_some_and(|a| a == "__engine") {
        std::process::exit(child_main(std::env::args_os().skip(2)));
    }
    let number = |i: usize, default: u64| args.get(i).map_or(default, |a| a.parse().unwrap());
    let (seconds, sensors) = (number(1, 20), number(2, 4));
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&EngineOptions::new(&dir.path().join("engine"), None).unwrap()).unwrap();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run(
        dir.path(),
        &engine,
        seconds,
        sensors,
    ));
    engine.stop();
}

async fn run(dir: &Path, engine: &Engine, seconds: u64, sensors: u64) {
    let telemetry = Telemetry::new(&engine.connection());
    telemetry.migrate().await.unwrap();
    let control = Control::open(&format!("sqlite:{}", dir.join("control.db").display())).await.unwrap();
    let land = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards/land");
    let now = || SystemClock.now().micros();
    control.load_register(&load::read(&land).unwrap(), false, "measure", now()).await.unwrap();
    let registry = prometheus::Registry::new();
    let clock = Arc::new(SystemClock);
    let ingest =
        Ingest::start(Options::new(dir.join("data")), telemetry.clone(), control.clone(), &registry, clock.clone())
            .await
            .unwrap();
    let mut running = Vec::new();
    let listed = control.sensors(&lagewarte_store::Scope::System).await.unwrap();
    for sensor in listed.into_iter().take(usize::try_from(sensors).unwrap()) {
        let new = NewToken {
            kind: TokenKind::Enrol,
            constituent: None,
            sensor: Some(sensor.id),
            expires_us: None,
            label: String::new(),
        };
        let secret = control.issue_token(&new, "measure", now()).await.unwrap();
        let identity = dir.join(&sensor.name);
        lagewarte_uplink::enrol(&ingest.enrolment_token(*secret.bytes()), &identity).await.unwrap();
        let spool = Arc::new(
            Spool::open(
                &dir.join(format!("{}-spool", sensor.name)),
                lagewarte_spool::Options::default(),
                Arc::new(RealFs),
                clock.clone(),
            )
            .unwrap(),
        );
        let uplink = Uplink::start(
            Arc::clone(&spool),
            Identity::load(&identity).unwrap(),
            lagewarte_uplink::Options::default(),
            clock.clone(),
        );
        running.push((spool, uplink, sensor.constituent.to_string()));
    }
    let cpu_before = (cpu(std::process::id()), cpu(engine.pid().unwrap()));
    let begun = Instant::now();
    let feeders: Vec<_> = running
        .iter()
        .map(|(spool, _, owner)| {
            let (spool, owner) = (Arc::clone(spool), owner.clone());
            std::thread::spawn(move || {
                let mut n = 0u64;
                while begun.elapsed().as_secs() < seconds {
                    // The quota is the brake: a spool that is a tenth full waits for its line.
                    if spool.status().bytes > 64 << 20 {
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                    for _ in 0..100 {
                        spool.append(Priority::Alert, |seq| alert(seq, &owner).encode_to_vec()).unwrap();
                        n += 1;
                    }
                }
                n
            })
        })
        .collect();
    let mut appended = 0;
    for f in feeders {
        appended += tokio::task::spawn_blocking(move || f.join().unwrap()).await.unwrap();
    }
    for (spool, ..) in &running {
        spool.commit().unwrap();
        while spool.status().records > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let cpu_after = (cpu(std::process::id()), cpu(engine.pid().unwrap()));
    let us = Timestamp::from_micros;
    let hops = telemetry.latency(&lagewarte_store::Scope::System, us(0), us(now() + 1_000_000)).await.unwrap();
    println!(
        "{appended} alerts of {} bytes of EVE, {sensors} sensors: {:.0} events/s to durable over {took:.1} s",
        alert(1, "x").eve.len(),
        appended as f64 / took
    );
    println!(
        "CPU seconds per million events: sensors and ingest {:.1}, engine {:.1}",
        (cpu_after.0 - cpu_before.0) / appended as f64 * 1e6,
        (cpu_after.1 - cpu_before.1) / appended as f64 * 1e6
    );
    for family in
        registry.gather().iter().filter(|f| f.name().contains("insert_seconds") || f.name().contains("segment_rows"))
    {
        let h = family.get_metric()[0].get_histogram();
        println!(
            "{}: {} of {:.3} on average",
            family.name(),
            h.get_sample_count(),
            h.get_sample_sum() / h.get_sample_count() as f64
        );
    }
    println!("{hops:?}");
    for (_, uplink, _) in running {
        uplink.stop().await;
    }
    ingest.stop(Duration::from_secs(10)).await;
}

/// CPU seconds of a process (proc(5): utime and stime, in ticks of 10 ms).
fn cpu(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn alert(seq: u64, constituent: &str) -> Envelope {
    let now = SystemClock.now();
    let eve = format!(
        r#"{{"timestamp":"{}","flow_id":{seq},"event_type":"alert","src_ip":"203.0.113.{}","src_port":4444,"dest_ip":"10.1.2.3","dest_port":22,"proto":"TCP","community_id":"1:hO+sN4H+MG5MY/8hIrXPqc4ZQz4=","app_proto":"ssh","direction":"to_server","alert":{{"action":"allowed","gid":1,"signature_id":{},"rev":1,"signature":"LAGEWARTE brute force on SSH","category":"Attempted Administrator Privilege Gain","severity":1,"metadata":{{"lagewarte_kind":["bruteforce"]}}}},"flow":{{"pkts_toserver":12,"pkts_toclient":11,"bytes_toserver":1200,"bytes_toclient":1900,"start":"2026-01-02T03:04:05.000006+0000"}},"lagewarte":{{"inner":"dest","key":"k1"}}}}"#,
        now.eve(),
        seq % 250,
        9_000_000 + seq % 40,
    );
    Envelope {
        seq,
        class: Class::Alert as i32,
        event_type: "alert".into(),
        event_us: now.micros(),
        observed_us: now.micros(),
        spooled_us: now.micros(),
        ruleset: vec![0xab; 32],
        constituent: constituent.into(),
        profile: "alerts-only@1".into(),
        eve: eve.into_bytes(),
    }
}
