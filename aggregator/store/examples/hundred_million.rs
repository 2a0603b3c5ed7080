// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A state's month in the store, and how long the questions of pages and dashboards take on it.
//!
//! `cargo run --release -p lagewarte-store --example hundred_million -- [ROWS [DAYS [DIR]]]` (default 100,000,000 alerts over
//! 30 days of 2,056 constituents; fewer of both keep a day as full as it is). The engine makes the rows itself: constituents, signatures (3,000) and external
//! addresses (2 million) by a Zipf-like law, event JSON of about 770 bytes that differs in every row. All rollups are
//! filled by their views, as by ingest. Needs 25 GB and leaves 30 free, or does not begin; DIR (default: a new folder below
//! the temporary one) is removed at the end, unless `KEEP` is set. A DIR that holds all its rows is asked again; one whose
//! making was cut is refused, since nobody knows what is half there. Must never be taken for a test: it fails only where a
//! rollup does not equal raw.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, clippy::panic, reason = "a measurement: what fails ends it")]

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use lagewarte_base::{
    clock::{Clock as _, ManualClock, SystemClock},
    time::Timestamp,
};
use lagewarte_store::{
    Scope,
    engine::{Engine, Options, child_main},
    telemetry::{AlertFilter, Connection, Telemetry, columns::Table},
};

#[path = "../tests/common/grafana.rs"]
mod grafana;

const DAY: i64 = 86_400_000_000;
const CONSTITUENTS: u64 = 2_056;
/// Rows of one insert.
const CHUNK: u64 = 1_000_000;
/// Bytes of the disk that are left free.
const KEEP_FREE: u64 = 30_000_000_000;
/// Aims of the house: p95 in milliseconds.
const AIM_ONE: f64 = 200.0;
const AIM_LAND: f64 = 1_000.0;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    if first.as_ref().is_some_and(|a| a == "__engine") {
        std::process::exit(child_main(args));
    }
    let number = |a: OsString| a.to_str().and_then(|a| a.parse().ok()).expect("ROWS and DAYS are numbers");
    let size = Size { rows: first.map_or(100_000_000, number), days: args.next().map_or(30, number) };
    let given = args.next().map(PathBuf::from);
    let dir = given.unwrap_or_else(|| std::env::temp_dir().join(format!("lagewarte-month-{}", std::process::id())));
    let keep = std::env::var_os("KEEP").is_some();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(&dir, size));
    if !keep {
        fs::remove_dir_all(&dir).unwrap();
    }
}

/// How much is made.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Size {
    rows: u64,
    days: u64,
}

async fn measure(dir: &Path, size: Size) {
    // Written when all rows are there: what they are, and the day after the last one, at whose beginning questions are asked.
    let marker = dir.join("complete");
    let what = format!("{size:?} ");
    let complete = fs::read_to_string(&marker).ok();
    let complete: Option<i64> = complete.map(|t| {
        let today = t.strip_prefix(&what).and_then(|t| t.trim().parse().ok());
        today.unwrap_or_else(|| panic!("{} holds {t}, not {what}", dir.display()))
    });
    assert!(complete.is_some() || !dir.exists(), "{} is half made: remove it, or name another", dir.display());
    let engine = Engine::start(&Options::new(&dir.join("engine"), None).unwrap()).unwrap();
    let c = engine.connection();
    let today = complete.unwrap_or(SystemClock.now().micros().div_euclid(DAY) * DAY);
    let t = Telemetry::with_clock(&c, Arc::new(ManualClock::new(Timestamp::from_micros(today))));
    t.migrate().await.unwrap();
    println!("load of the machine at the beginning: {}", load());
    if complete.is_none() {
        make(&c, size, today).await;
        fs::write(&marker, format!("{what}{today}")).unwrap();
    }
    // Completed inserts of the last day, which one panel joins: a lane closes one each 250 ms.
    ask(&c, "TRUNCATE TABLE segment").await;
    ask(&c, &format!("INSERT INTO segment (lane, rows, first_received_us, last_received_us, durable_us, segment) SELECT 0, count(), min(received_us), max(received_us), max(received_us) + 0.1, segment FROM alert WHERE received_us >= fromUnixTimestamp64Micro({}) GROUP BY segment", today - DAY)).await;
    let waiting = Instant::now();
    while ask(&c, "SELECT value FROM system.metrics WHERE metric = 'Merge'").await != "0"
        && waiting.elapsed().as_secs() < 600
    {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
    println!("waited {:.0} s for merges", waiting.elapsed().as_secs_f64());
    println!(
        "cardinalities: {}",
        ask(&c, "SELECT uniq(constituent), uniq(signature_id), uniq(external_ip), round(avg(length(eve))) FROM alert")
            .await
            .replace('\t', " / ")
    );
    sizes(&t, size.days).await;
    println!("rollups against raw, 6 days (zero is right):");
    for check in t.check_rollups(&Scope::System, Table::Alert, at(today - 6 * DAY), at(today)).await.unwrap() {
        println!(
            "  {:<10} raw {:>10} rollup {:>10} differing {}",
            check.rollup, check.raw, check.rolled, check.differing
        );
        assert_eq!((check.differing, check.raw), (0, check.rolled));
    }
    let mut runs = Vec::new();
    questions(&t, &c, today, size.days, &mut runs).await;
    panels(&engine.grafana(), today, &mut runs).await;
    report(&c, &runs).await;
    drop(t);
    engine.stop();
}

/// What the system says of its load: figures of a busy machine are none of an idle one.
fn load() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

async fn make(c: &Connection, Size { rows, days }: Size, today: i64) {
    let free: u64 = ask(c, "SELECT min(unreserved_space) FROM system.disks").await.parse().unwrap();
    // 175 bytes a row, and room for merges.
    let need = rows * 250 + KEEP_FREE;
    assert!(free > need, "{} MB are free, {} MB are wanted", free >> 20, need >> 20);
    let begun = Instant::now();
    let mut made = 0;
    while made < rows {
        let n = CHUNK.min(rows - made);
        // Days fill one after another, oldest first, as they come.
        let back = days - made * days / rows;
        ask(c, &insert(today - back as i64 * DAY, n, made)).await;
        made += n;
        if (made / CHUNK).is_multiple_of(10) || made == rows {
            eprintln!("{made} rows, {:.0} s", begun.elapsed().as_secs_f64());
        }
    }
    println!("made {rows} rows in {:.0} s", begun.elapsed().as_secs_f64());
}

async fn sizes(t: &Telemetry, days: u64) {
    println!("| table | rows | MB | bytes a row | rows a day |\n| --- | --- | --- | --- | --- |");
    let (mut all, mut alerts) = (0, 0);
    for s in t.sizes(&Scope::System).await.unwrap().iter().filter(|s| s.rows > 100) {
        println!(
            "| {} | {} | {} | {:.1} | {} |",
            s.name,
            s.rows,
            s.bytes / 1_000_000,
            s.bytes as f64 / s.rows as f64,
            s.rows / days
        );
        all += s.bytes;
        if s.name == "alert" {
            alerts = s.rows;
        }
    }
    println!("all tables: {:.1} bytes an event on disk", all as f64 / alerts as f64);
}

/// One question that was asked: when, and how long the asker waited.
struct Run {
    what: String,
    one: bool,
    begun_us: i64,
    wall_ms: f64,
}

/// Runs a question for each of `askers` twice; the first of all is left out.
async fn time<F: AsyncFn(&Scope)>(runs: &mut Vec<Run>, what: &str, askers: &[Scope], f: F) {
    let Some(first) = askers.first() else { return };
    f(first).await;
    for scope in askers.iter().chain(askers) {
        let one = matches!(scope, Scope::Constituent(_));
        run(runs, what, one, f(scope)).await;
    }
}

async fn run<T>(runs: &mut Vec<Run>, what: &str, one: bool, asked: impl Future<Output = T>) {
    let (begun_us, begun) = (SystemClock.now().micros(), Instant::now());
    asked.await;
    runs.push(Run { what: what.to_owned(), one, begun_us, wall_ms: begun.elapsed().as_secs_f64() * 1000.0 });
}

/// Prints the table, with what the engine's own log says of each question's cost.
async fn report(c: &Connection, runs: &[Run]) {
    let since = runs.first().map_or(0, |r| r.begun_us);
    tokio::time::sleep(std::time::Duration::from_secs(9)).await; // the log is written every 7.5 seconds
    let log = ask(c, &format!("SELECT toUnixTimestamp64Micro(query_start_time_microseconds), (ProfileEvents['UserTimeMicroseconds'] + ProfileEvents['SystemTimeMicroseconds']) / 1000, read_rows FROM system.query_log WHERE type = 'QueryFinish' AND query_kind = 'Select' AND query_start_time_microseconds >= fromUnixTimestamp64Micro({since}) ORDER BY 1")).await;
    let log: Vec<Vec<f64>> = log.lines().map(|l| l.split('\t').map(|f| f.parse().unwrap()).collect()).collect();
    println!("| question | asker | runs | wall p50 ms | wall p95 ms | CPU p50 ms | CPU p95 ms | rows read | aim |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for same in runs.chunk_by(|a, b| (&a.what, a.one) == (&b.what, b.one)) {
        let (mut wall, mut cpu, mut read) = (Vec::new(), Vec::new(), 0.0f64);
        for r in same {
            let (from, to) = (r.begun_us as f64, r.begun_us as f64 + r.wall_ms * 1000.0);
            let logged: Vec<_> = log.iter().filter(|l| (from..to).contains(&l[0])).collect();
            wall.push(r.wall_ms);
            cpu.push(logged.iter().map(|l| l[1]).sum());
            read = read.max(logged.iter().map(|l| l[2]).sum());
        }
        let at = |times: &mut Vec<f64>, q: f64| {
            times.sort_by(f64::total_cmp);
            times[((times.len() as f64 * q).ceil() as usize).clamp(1, times.len()) - 1]
        };
        let (who, aim) = if same[0].one { ("one", AIM_ONE) } else { ("Land", AIM_LAND) };
        let p95 = at(&mut wall, 0.95);
        println!(
            "| {} | {who} | {} | {:.0} | {p95:.0} | {:.0} | {:.0} | {read} | {} |",
            same[0].what,
            wall.len(),
            at(&mut wall, 0.5),
            at(&mut cpu, 0.5),
            at(&mut cpu, 0.95),
            if p95 < aim { "" } else { "missed" }
        );
    }
    println!("load of the machine at the end: {}", load());
}

/// Constituents from the largest to the smallest, evenly by rank.
fn constituents() -> Vec<String> {
    (0..20u64).map(|i| format!("gemeinde-{:04}", 1 + i * (CONSTITUENTS - 2) / 19)).collect()
}

async fn questions(t: &Telemetry, c: &Connection, today: i64, days: u64, runs: &mut Vec<Run>) {
    let own: Vec<Scope> = constituents().iter().map(|c| Scope::Constituent(c.parse().unwrap())).collect();
    let land = vec![Scope::Land; 6];
    // An address that attacks everywhere, and one that was seen a few times.
    let ip = |order: &str| {
        format!(
            "SELECT replaceOne(toString(external_ip), '::ffff:', '') FROM alert WHERE received_us >= fromUnixTimestamp64Micro({}) GROUP BY external_ip HAVING count() >= 5 ORDER BY count() {order} LIMIT 1",
            today - DAY
        )
    };
    let (common, rare) = (ask(c, &ip("DESC")).await, ask(c, &ip("ASC")).await);
    // No whole hours: the ends come from finer tables and from raw.
    let to = at(today - 433_123_456);
    for (who, askers) in [("one", &own), ("Land", &land)] {
        let day = at(to.micros() - DAY);
        let days = days - 1;
        let month = at(to.micros() - days as i64 * DAY);
        time(runs, "alerts by hour, a day", askers, async |s| drop(t.alerts_by_hour(s, day, to).await.unwrap())).await;
        if who == "one" {
            time(runs, &format!("alerts by hour, {days} days"), askers, async |s| {
                drop(t.alerts_by_hour(s, month, to).await.unwrap())
            })
            .await;
        }
        time(runs, "top signatures, a day", askers, async |s| drop(t.top_signatures(s, day, to, 20).await.unwrap()))
            .await;
        if who == "one" {
            time(runs, &format!("top signatures, {days} days"), askers, async |s| {
                drop(t.top_signatures(s, month, to, 20).await.unwrap())
            })
            .await;
        }
        let any = AlertFilter::default();
        time(runs, "newest 100 alerts, a day", askers, async |s| drop(t.alerts(s, day, to, &any, 100).await.unwrap()))
            .await;
        let sid = AlertFilter { signature_id: Some(2_000_007), ip: None };
        time(runs, "newest 100 alerts of a signature, a day", askers, async |s| {
            drop(t.alerts(s, day, to, &sid, 100).await.unwrap())
        })
        .await;
        for (kind, ip) in [("common", &common), ("rare", &rare)] {
            let of = AlertFilter { signature_id: None, ip: ip.parse().ok() };
            let what = format!("newest 100 alerts of a {kind} address");
            time(runs, &format!("{what}, a day"), askers, async |s| {
                drop(t.alerts(s, day, to, &of, 100).await.unwrap())
            })
            .await;
            if who == "one" || kind == "rare" {
                time(runs, &format!("{what}, {days} days"), askers, async |s| {
                    drop(t.alerts(s, month, to, &of, 100).await.unwrap())
                })
                .await;
            }
        }
    }
    let epoch = lagewarte_base::id::Epoch { counter: 1, nonce: 7 };
    let sensors = |n: u64| (100..100 + n).map(|i| format!("00000000-0000-4000-8000-{i:012}").parse().unwrap());
    let sensor: lagewarte_base::id::Uuid = sensors(1).next().unwrap();
    for n in [1, 200] {
        let keys: Vec<_> = sensors(n).map(|s| (s, epoch)).collect();
        time(runs, &format!("high water of {n} epochs (ingest)"), &land, async |_| {
            drop(t.high_water(&Scope::System, &keys).await.unwrap())
        })
        .await;
    }
    time(runs, "10,000 ids of a sensor (ingest)", &land, async |_| {
        drop(t.existing(&Scope::System, sensor, epoch, 1, 10_000).await.unwrap())
    })
    .await;
}

async fn panels(c: &Connection, today: i64, runs: &mut Vec<Run>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dashboards/grafana/lagebild.json");
    let dashboard: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let to = today / 1_000_000 - 433;
    for p in dashboard["panels"].as_array().unwrap() {
        for target in p["targets"].as_array().into_iter().flatten() {
            let Some(sql) = target["rawSql"].as_str() else { continue };
            for one in [true, false] {
                let askers: Vec<Option<String>> =
                    if one { constituents().into_iter().map(Some).collect() } else { vec![None; 6] };
                let what = format!("panel „{}“, a day", p["title"].as_str().unwrap_or_default());
                for (i, who) in askers.iter().chain(&askers).enumerate() {
                    let sql = grafana::expand(sql, to - 86_400, to, 60, who.as_deref());
                    if i > 0 {
                        run(runs, &what, one, ask(c, &sql)).await;
                    } else {
                        ask(c, &sql).await;
                    }
                }
            }
        }
    }
}

async fn ask(c: &Connection, sql: &str) -> String {
    let client = clickhouse::Client::default()
        .with_url(&c.url)
        .with_user(&c.user)
        .with_password(&c.password)
        .with_database(&c.database)
        .with_setting("wait_end_of_query", "1");
    let mut cursor = client.query_raw(sql).fetch_bytes("TSV").unwrap();
    String::from_utf8_lossy(&cursor.collect().await.unwrap()).trim_end().to_owned()
}

fn at(us: i64) -> Timestamp {
    Timestamp::from_micros(us)
}

/// One chunk of alerts of the day that begins at `day`.
fn insert(day: i64, rows: u64, made: u64) -> String {
    // A uniform number in [0, 1), another for each tag.
    let u = |tag: u32| format!("(rand({tag}) / 4294967296.)");
    let eve = [
        r#"'{"timestamp":"'"#, "ts", r#"'","flow_id":'"#, "toString(flow)", r#"',"in_iface":"eth0","event_type":"alert","src_ip":"'"#, "ext",
        r#"'","src_port":'"#, "toString(sp)", r#"',"dest_ip":"'"#, "inside", r#"'","dest_port":'"#, "toString(dp)",
        r#"',"proto":"TCP","ip_v":4,"pkt_src":"wire/pcap","community_id":"1:'"#, "cid",
        r#"'","alert":{"action":"allowed","gid":1,"signature_id":'"#, "toString(2000000 + s)", r#"',"rev":1,"signature":"'"#, "sig",
        r#"'","category":"'"#, "cat", r#"'","severity":2,"metadata":{"lagewarte_kind":["scan"],"confidence":["Medium"]}},"app_proto":"ssh","direction":"to_server","flow":{"pkts_toserver":'"#,
        "toString(rand(12) % 50)", r#"',"pkts_toclient":'"#, "toString(rand(13) % 50)", r#"',"bytes_toserver":'"#, "toString(rand(14) % 50000)",
        r#"',"bytes_toclient":'"#, "toString(rand(15) % 90000)", r#"',"start":"'"#, "ts", r#"'"},"lagewarte":{"inner":"dest","key":"k-2026-01"}}'"#,
    ]
    .join(", ");
    format!(
        "INSERT INTO alert (sensor, epoch, nonce, seq, constituent, ags, kreis, class, event_type, event_us, observed_us, spooled_us, sent_us, \
         received_us, ruleset, profile, late, src_ip, dest_ip, src_port, dest_port, proto, inner, external_ip, flow_id, community_id, app_proto, \
         pseudonym_key, signature_id, gid, rev, signature, category, severity, action, direction, metadata, eve, segment) \
         WITH toUInt32(pow({CONSTITUENTS} + 0.999, {u1})) AS c, toUInt32(pow(2999.999, {u2})) AS s, toUInt32(pow(1999999.0, {u3})) AS x, \
         fromUnixTimestamp64Micro({day} + toInt64(rand64(5) % {DAY}), 'UTC') AS t, toString(t) AS ts, rand64(11) AS flow, \
         IPv4NumToString(toUInt32(cityHash64(x) % 3221225472 + 16777216)) AS ext, 1024 + rand(7) % 60000 AS sp, \
         concat('10.', toString(c % 200), '.', toString(rand(6) % 16), '.', toString(rand(4) % 254)) AS inside, \
         [22, 443, 445, 80, 3389, 25, 53, 8080][1 + s % 8] AS dp, base64Encode(reinterpretAsFixedString(rand64(8))) AS half, concat(half, half) AS cid, \
         concat('ET SCAN signature of the emerging threats set number ', toString(s), ' seen from outside') AS sig, \
         ['Attempted Administrator Privilege Gain', 'Misc activity', 'A Network Trojan was detected', 'Potentially Bad Traffic'][1 + s % 4] AS cat \
         SELECT toUUID(concat('00000000-0000-4000-8000-', leftPad(toString(c), 12, '0'))), 1, 7, {made} + number + 1, \
         concat('gemeinde-', leftPad(toString(c), 4, '0')), concat('09', leftPad(toString(100000 + c), 6, '0')), \
         concat('09', leftPad(toString(100 + c % 96), 3, '0')), 'alert', 'alert', t, t, t, t, t + toIntervalMicrosecond(rand(9) % 2000000), \
         'a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90', 'alerts-only@1', rand(10) % 100 = 0, toIPv6(ext), toIPv6(inside), \
         toUInt16(sp), dp, if(s % 9 = 0, 'UDP', 'TCP'), 'dest', toIPv6(ext), flow, concat('1:', cid), \
         ['ssh', 'tls', 'smb', 'http', 'rdp', 'smtp', 'dns', 'http'][1 + s % 8], 'k-2026-01', 2000000 + s, 1, 1, sig, cat, 1 + s % 3, 'allowed', \
         'to_server', map('lagewarte_kind', [['ssh_bruteforce', 'scan', 'exploit'][1 + s % 3]], 'confidence', ['Medium']), \
         concat({eve}), concat('a1b2c3d4e5f60718/', toString(c % 4), '/1/', toString(intDiv(toUnixTimestamp64Micro(t), 250000))) FROM numbers({rows}) \
         SETTINGS max_threads = 2, max_insert_threads = 1, min_insert_block_size_rows = {CHUNK}, min_insert_block_size_bytes = 0, \
         max_partitions_per_insert_block = 0, insert_deduplicate = 0, async_insert = 0, max_execution_time = 0",
        u1 = u(1),
        u2 = u(2),
        u3 = u(3),
    )
}
