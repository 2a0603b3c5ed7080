// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Measures events per second sustained to durable rows: `--example sustain -- SECONDS SENSORS`.
//!
//! Real spools, uplinks over mutual TLS, ingest and the embedded engine, all on this machine, in three processes: sensors,
//! ingest, engine. Prints rate, delay, memory every 30 seconds and CPU seconds by process; then the first segments of the
//! run are inserted once more, out of copies of the journal's files, into an engine of their own that does nothing else.
//! Not a test: it asserts nothing about time.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measuring program")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use lagewarte_base::{
    clock::{Clock as _, SystemClock},
    fs::RealFs,
    time::Timestamp,
    token::EnrolmentToken,
};
use lagewarte_event::{Class, Envelope, Message as _};
use lagewarte_ingest::{Budget, Ingest, LANES, Options, Step};
use lagewarte_spool::{Priority, Spool};
use lagewarte_store::{
    control::{
        Control, load,
        tokens::{NewToken, TokenKind},
    },
    engine::{Engine, Options as EngineOptions, child_main},
    telemetry::{Connection, Rows, Telemetry},
};
use lagewarte_uplink::{Identity, Uplink};

/// Segments copied for the engine alone.
const COPIES: usize = 60;
const SAMPLE: Duration = Duration::from_secs(30);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("__engine") => std::process::exit(child_main(std::env::args_os().skip(2))),
        Some("__ingest") => return runtime().block_on(ingest(Path::new(&args[2]))),
        _ => {}
    }
    let number = |i: usize, default: u64| args.get(i).map_or(default, |a| a.parse().unwrap());
    let (seconds, sensors) = (number(1, 20), number(2, 4));
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::start(&EngineOptions::new(&dir.path().join("engine"), None).unwrap()).unwrap();
    runtime().block_on(run(dir.path(), &engine, seconds, sensors));
    engine.stop();
    let alone = Engine::start(&EngineOptions::new(&dir.path().join("alone"), None).unwrap()).unwrap();
    runtime().block_on(replay(dir.path(), &alone));
    alone.stop();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

const NAMES: [&str; 4] = ["MEASURE_URL", "MEASURE_USER", "MEASURE_PASSWORD", "MEASURE_DATABASE"];

/// The aggregator's process. Says where it listens in a file, and ends when it is killed.
async fn ingest(dir: &Path) {
    let [url, user, password, database] = NAMES.map(|n| std::env::var(n).unwrap());
    let control = Control::open(&control_url(dir)).await.unwrap();
    let telemetry = Telemetry::new(&Connection { url, user, password, database });
    let (journal, copies) = (dir.join("data/journal"), dir.join("copies"));
    std::fs::create_dir_all(&copies).unwrap();
    let copied = AtomicUsize::new(0);
    let copy = move |step| {
        if step != Step::Journaled || copied.load(Ordering::Relaxed) >= COPIES {
            return;
        }
        for lane in 0..LANES {
            for file in std::fs::read_dir(journal.join(format!("lane-{lane}"))).unwrap().flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                // A second name for the same bytes: whichever lane comes first names it.
                if name.ends_with(".segment")
                    && std::fs::hard_link(file.path(), copies.join(format!("{lane}-{name}"))).is_ok()
                {
                    copied.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    };
    let budget = Budget { events: u32::MAX, bytes: u32::MAX };
    let options = Options { observe: Some(Arc::new(copy)), budget, ..Options::new(dir.join("data")) };
    let registry = prometheus::Registry::new();
    let ingest = Ingest::start(options, telemetry, control, &registry, Arc::new(SystemClock)).await.unwrap();
    std::fs::write(dir.join("token.tmp"), ingest.enrolment_token([0; 32]).to_string()).unwrap();
    std::fs::rename(dir.join("token.tmp"), dir.join("token")).unwrap();
    ingest.lost().await;
}

fn control_url(dir: &Path) -> String {
    format!("sqlite:{}", dir.join("control.db").display())
}

fn spawn(dir: &Path, c: &Connection) -> Child {
    let values = [&c.url, &c.user, &c.password, &c.database];
    Command::new(std::env::current_exe().unwrap())
        .arg("__ingest")
        .arg(dir)
        .envs(NAMES.into_iter().zip(values))
        .spawn()
        .unwrap()
}

async fn run(dir: &Path, engine: &Engine, seconds: u64, sensors: u64) {
    let telemetry = Telemetry::new(&engine.connection());
    telemetry.migrate().await.unwrap();
    let control = Control::open(&control_url(dir)).await.unwrap();
    let land = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards/land");
    let now = || SystemClock.now().micros();
    control.load_register(&load::read(&land).unwrap(), false, "measure", now()).await.unwrap();
    let clock = Arc::new(SystemClock);
    let mut child = spawn(dir, &engine.connection());
    let token: EnrolmentToken = loop {
        match std::fs::read_to_string(dir.join("token")) {
            Ok(text) => break text.parse().unwrap(),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
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
        let token = EnrolmentToken { secret: *secret.bytes(), ..token.clone() };
        lagewarte_uplink::enrol(&token, &identity).await.unwrap();
        let spool = dir.join(format!("{}-spool", sensor.name));
        let spool = Spool::open(&spool, lagewarte_spool::Options::default(), Arc::new(RealFs), clock.clone());
        let spool = Arc::new(spool.unwrap());
        let uplink = Uplink::start(
            Arc::clone(&spool),
            Identity::load(&identity).unwrap(),
            lagewarte_uplink::Options::default(),
            clock.clone(),
        );
        running.push((spool, uplink, sensor.constituent.to_string()));
    }
    let pids = [std::process::id(), child.id(), engine.pid().unwrap()];
    let cpu_before = pids.map(cpu);
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
    let mut sampled = Instant::now();
    while feeders.iter().any(|f| !f.is_finished()) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if sampled.elapsed() >= SAMPLE {
            sampled = Instant::now();
            let [sensors, ingest, engine] = pids.map(rss_mib);
            println!(
                "{:>5.0} s: MiB resident: sensors {sensors}, ingest {ingest}, engine {engine}",
                begun.elapsed().as_secs_f64()
            );
        }
    }
    let appended: u64 = feeders.into_iter().map(|f| f.join().unwrap()).sum();
    for (spool, ..) in &running {
        spool.commit().unwrap();
        while spool.status().records > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    let cpu_after = pids.map(cpu);
    let us = Timestamp::from_micros;
    let hops = telemetry.latency(&lagewarte_store::Scope::System, us(0), us(now() + 1_000_000)).await;
    println!(
        "{appended} alerts of {} bytes of EVE, {sensors} sensors: {:.0} events/s to durable over {took:.1} s",
        alert(1, "x").eve.len(),
        appended as f64 / took
    );
    let per_million = |i: usize| (cpu_after[i] - cpu_before[i]) / appended as f64 * 1e6;
    println!(
        "CPU seconds per million events: sensors with generator {:.1}, ingest {:.1}, engine {:.1}",
        per_million(0),
        per_million(1),
        per_million(2)
    );
    println!("{hops:?}");
    for (_, uplink, _) in running {
        uplink.stop().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The copied segments into an engine that has nothing else to do; what it costs there is the measure of ingest's share.
async fn replay(dir: &Path, engine: &Engine) {
    let telemetry = Telemetry::new(&engine.connection());
    telemetry.migrate().await.unwrap();
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir.join("copies")).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    let (mut rows, mut bytes) = (0, 0);
    let pid = engine.pid().unwrap();
    let before = cpu(pid);
    for file in &files {
        // As `journal.rs` writes it: magic, checksum, marks of 48 bytes each, rows.
        let content = std::fs::read(file).unwrap();
        let marks = u32::from_be_bytes(content[12..16].try_into().unwrap()) as usize;
        let segment = Rows::from_bytes(&content[16 + 48 * marks..]).unwrap();
        telemetry.insert_segment(&segment).await.unwrap();
        rows += segment.len();
        bytes += segment.size() as u64;
    }
    println!(
        "engine alone, the same {} segments of {} rows on average, {} bytes a row encoded: {:.1} CPU seconds per million",
        files.len(),
        rows / files.len().max(1) as u64,
        bytes / rows.max(1),
        (cpu(pid) - before) / rows as f64 * 1e6
    );
}

fn rss_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
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
