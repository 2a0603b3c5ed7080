// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A whole fleet on one aggregator: thousands of simulated sensors, each enrolled by itself and with a certificate of its
//! own, send alerts to a real aggregator with its embedded engine, lose it by kill -9, and come back.
//!
//! `cargo run -p lagewarte-e2e --bin fleet -- --sensors 2056 --rate 200 --seconds 60`, with both binaries built (measure
//! with `--release` programs: `LAGEWARTE_BIN_DIR=target/release`). Prints JSON: CPU and peak memory by process, the time in
//! which the fleet connects and comes back, p50 and p99 from an event's append to its durable acknowledgement, and whether
//! every event is stored once. `--prefill N` measures the uplink alone: the spools hold N events before the line opens.
//!
//! A simulated sensor is the sensor's own spool and uplink; what would be before them (packets, rules) is not there. All
//! share one process, one machine and one disk with the aggregator: the figures are an upper bound of what the aggregator
//! needs. Must never touch anything outside its folders under the target directory and (spools) `--spools`. Limits:
//! [`MAX_SENSORS`].

#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a measuring program: wall time and an answer")]

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use lagewarte_base::{
    clock::{Clock as _, SystemClock},
    fs::RealFs,
    id::Epoch,
    token::EnrolmentToken,
};
use lagewarte_e2e::{Usage, World, children, descriptors_limit, usage};
use lagewarte_event::{Class, Envelope, Message as _};
use lagewarte_spool::{Options as SpoolOptions, Priority, Spool};
use lagewarte_uplink::{Identity, OnAck, Options, Uplink, enrol};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// The aggregator's own bound on connections is a little above.
const MAX_SENSORS: u64 = 4_000;
/// Enrolments at once; commands of the register at once.
const HANDS: usize = 4;
/// Longest wait for the fleet to connect, or to be drained.
const PATIENCE: Duration = Duration::from_secs(600);

struct Args {
    sensors: u64,
    rate: u64,
    seconds: u64,
    prefill: u64,
    spools: PathBuf,
}

fn args() -> anyhow::Result<Args> {
    let mut named = BTreeMap::from([
        ("--sensors".to_owned(), 2056),
        ("--rate".to_owned(), 200),
        ("--seconds".to_owned(), 60),
        ("--prefill".to_owned(), 0),
    ]);
    // Thousands of sensors have thousands of disks: in memory none is another's.
    let mut spools = PathBuf::from("/dev/shm/lagewarte-fleet");
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} wants a value"));
        if word == "--spools" {
            spools = value()?.into();
            continue;
        }
        let known = "--sensors N, --rate EVENTS_A_SECOND, --seconds N, --prefill N, --spools FOLDER";
        let Some(number) = named.get_mut(&word) else { bail!("{word}? known are {known}") };
        *number = value()?.parse().with_context(|| format!("{word} wants a number"))?;
    }
    let a = Args {
        sensors: named["--sensors"],
        rate: named["--rate"],
        seconds: named["--seconds"],
        prefill: named["--prefill"],
        spools,
    };
    ensure!((1..=MAX_SENSORS).contains(&a.sensors), "--sensors 1 to {MAX_SENSORS}");
    ensure!(a.rate > 0 && a.seconds > 0, "--rate and --seconds above 0");
    let (needed, limit) = (a.sensors * 4 + 100, descriptors_limit()?);
    ensure!(needed <= limit, "{needed} open files are needed and {limit} allowed: ulimit -n {needed}");
    Ok(a)
}

fn main() -> anyhow::Result<()> {
    let a = args()?;
    let name = if a.prefill > 0 { "fleet-uplink" } else { "fleet" };
    let target = std::env::current_exe()?.ancestors().nth(2).context("where this program is")?.to_owned();
    let dir = target.join("e2e").join(name);
    let register = dir.with_extension("register");
    write_register(&register, a.sensors)?;
    let mut world = World::in_folder(dir, register, 1_000_000, String::new())?;
    let _ = fs::remove_dir_all(&a.spools); // the last run's
    world.start()?;
    let began = Instant::now();
    let tokens = tokens(&world, a.sensors)?;
    eprintln!("{} tokens in {:.1} s", tokens.len(), began.elapsed().as_secs_f64());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let began = Instant::now();
    let identities = runtime.block_on(enrol_all(&world.dir.join("identities"), tokens))?;
    let enrol_s = began.elapsed().as_secs_f64();
    eprintln!("{} sensors enrolled in {enrol_s:.1} s", identities.len());
    let report = runtime.block_on(async {
        if a.prefill > 0 {
            prefilled(&world, &a, &identities).await
        } else {
            fleet(&mut world, &a, &identities, enrol_s).await
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
    let _ = fs::remove_dir_all(&a.spools);
    let report = report?;
    println!("{}", serde_json::to_string_pretty(&report)?);
    ensure!(report["stored_once"] == true, "not every event is stored once");
    Ok(())
}

fn constituent(n: u64) -> String {
    format!("gemeinde-{n:04}")
}

fn write_register(dir: &Path, sensors: u64) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    let mut c = "id,name,kind,ags,population\n".to_owned();
    let mut nets = "constituent,cidr\n".to_owned();
    let mut k = "constituent,name,role,mail,phone\n".to_owned();
    let mut s = "id,name,constituent,serves,interval_s\n".to_owned();
    for n in 0..sensors {
        let id = constituent(n);
        // A Land that is none (97), up to seven Bezirke of ten Kreise.
        writeln!(
            c,
            "{id},Gemeinde {n},municipality,97{}{:02}{:03},5000",
            1 + n / 1000,
            51 + n / 100 % 10,
            1 + n % 100
        )?;
        writeln!(nets, "{id},10.{}.{}.0/24", n / 256, n % 256)?;
        writeln!(k, "{id},Uwe Gerken,IT-Verantwortung,it@{id}.example,+49 30 23125 001")?;
        writeln!(s, "0d0b9f3a-5f0a-4c1e-9a53-{n:012x},gw-{n},{id},{id},30")?;
    }
    for (file, text) in [("constituents.csv", c), ("networks.csv", nets), ("contacts.csv", k), ("sensors.csv", s)] {
        fs::write(dir.join(file), text)?;
    }
    Ok(())
}

/// An enrolment token for each, from the command line that an operator would use.
fn tokens(world: &World, sensors: u64) -> anyhow::Result<Vec<EnrolmentToken>> {
    let next = AtomicUsize::new(0);
    let made = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..HANDS)
            .map(|_| {
                scope.spawn(|| -> anyhow::Result<()> {
                    loop {
                        let n = next.fetch_add(1, Relaxed);
                        if n as u64 >= sensors {
                            return Ok(());
                        }
                        let token = world.enrolment_token(&format!("gw-{n}"))?;
                        lock(&made).insert(n, token.parse()?);
                    }
                })
            })
            .collect();
        hands.into_iter().try_for_each(|h| h.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    Ok(made.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect())
}

async fn enrol_all(dir: &Path, tokens: Vec<EnrolmentToken>) -> anyhow::Result<Vec<PathBuf>> {
    let hands = Arc::new(Semaphore::new(4 * HANDS));
    let mut tasks = Vec::new();
    for (n, token) in tokens.into_iter().enumerate() {
        let (hands, dir) = (Arc::clone(&hands), dir.join(n.to_string()));
        tasks.push(tokio::spawn(async move {
            let _hand = hands.acquire_owned().await?;
            enrol(&token, &dir).await?;
            anyhow::Ok(dir)
        }));
    }
    let mut identities = Vec::new();
    for task in tasks {
        identities.push(task.await??);
    }
    Ok(identities)
}

/// Acknowledged delays, microseconds.
type Delays = Arc<Mutex<Vec<u64>>>;

struct Sensor {
    owner: String,
    spool: Arc<Spool>,
    /// Numbers on their way and when they were appended.
    waiting: Arc<Mutex<VecDeque<(u64, Instant)>>>,
    uplink: Option<Uplink>,
    identity: Option<Identity>,
}

impl Sensor {
    fn open(n: usize, identity: &Path, spools: &Path) -> anyhow::Result<Self> {
        // Commits are made by the feeder: thousands of committer threads are no part of any sensor.
        let options = SpoolOptions { committer: false, ..SpoolOptions::default() };
        let spool = Spool::open(&spools.join(n.to_string()), options, Arc::new(RealFs), Arc::new(SystemClock))?;
        Ok(Self {
            owner: constituent(n as u64),
            spool: Arc::new(spool),
            waiting: Arc::default(),
            uplink: None,
            identity: Some(Identity::load(identity)?),
        })
    }

    fn connect(&mut self, delays: &Delays) -> anyhow::Result<()> {
        let identity = self.identity.take().context("connected already")?;
        let (waiting, delays, epoch) = (Arc::clone(&self.waiting), Arc::clone(delays), self.spool.epoch());
        let on_ack = move |of: Epoch, up_to: u64| {
            if of != epoch {
                return;
            }
            let mut waiting = lock(&waiting);
            while let Some((_, at)) = waiting.pop_front_if(|(seq, _)| *seq <= up_to) {
                lock(&delays).push(u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
        };
        let options = Options { on_ack: Some(OnAck(Arc::new(on_ack))), ..Options::default() };
        self.uplink = Some(Uplink::start(Arc::clone(&self.spool), identity, options, Arc::new(SystemClock)));
        Ok(())
    }

    fn append(&self) -> anyhow::Result<()> {
        let mut waiting = lock(&self.waiting); // before the append: an acknowledgement may be faster than this thread
        let seq = self.spool.append(Priority::Alert, |seq| alert(seq, &self.owner).encode_to_vec())?;
        waiting.push_back((seq, Instant::now()));
        Ok(())
    }

    fn connected(&self) -> bool {
        self.uplink.as_ref().is_some_and(Uplink::connected)
    }
}

async fn poll(what: &str, mut ready: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<f64> {
    let began = Instant::now();
    while !ready()? {
        ensure!(began.elapsed() < PATIENCE, "{what} did not happen within {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(began.elapsed().as_secs_f64())
}

fn processes(world: &World) -> anyhow::Result<(Usage, Usage)> {
    let aggregator = world.aggregator.as_ref().and_then(lagewarte_e2e::Process::id).context("no aggregator")?;
    let mut engine = Usage::default();
    for child in children(aggregator)? {
        engine += usage(child)?;
    }
    Ok((usage(aggregator)?, engine))
}

async fn fleet(world: &mut World, a: &Args, identities: &[PathBuf], enrol_s: f64) -> anyhow::Result<Value> {
    let delays = Delays::default();
    let sensors = identities.iter().enumerate().map(|(n, i)| Sensor::open(n, i, &a.spools));
    let mut sensors = sensors.collect::<anyhow::Result<Vec<_>>>()?;
    let own_before = usage(std::process::id())?;
    let idle = processes(world)?;
    for s in &mut sensors {
        s.connect(&delays)?;
    }
    let connect_s = poll("the fleet's connecting", || Ok(sensors.iter().all(Sensor::connected))).await?;
    let connected = processes(world)?;
    eprintln!("connected in {connect_s:.1} s");
    let sensors = Arc::new(sensors);
    let stop = Arc::new(AtomicBool::new(false));
    let feeder = tokio::spawn(feed(Arc::clone(&sensors), a.rate, Arc::clone(&stop)));

    tokio::time::sleep(Duration::from_secs(a.seconds)).await;
    let steady = percentiles(&std::mem::take(&mut *lock(&delays)));
    let steady_use = processes(world)?;
    eprintln!("steady: {steady}; kill -9");
    let aggregator = world.aggregator.as_mut().context("no aggregator")?;
    aggregator.kill_and_restart()?;
    let restarted = Instant::now();
    poll("the fleet's noticing", || Ok(!sensors.iter().any(Sensor::connected))).await?;
    world.wait_for_aggregator()?;
    let healthy_s = restarted.elapsed().as_secs_f64();
    poll("the fleet's return", || Ok(sensors.iter().all(Sensor::connected))).await?;
    let reconnect_s = restarted.elapsed().as_secs_f64();
    eprintln!("the aggregator was healthy after {healthy_s:.1} s, the fleet back after {reconnect_s:.1} s");
    tokio::time::sleep(Duration::from_secs(a.seconds / 2 + 1)).await;
    stop.store(true, Relaxed);
    let sent = feeder.await??;
    drain(&sensors).await?;
    let after = percentiles(&lock(&delays));
    let (mut aggregator, mut engine) = steady_use;
    let last = processes(world)?;
    aggregator += last.0;
    engine += last.1;
    let (stored, stored_once) = compare(world, &sensors)?;
    Ok(json!({
        "sensors": sensors.len(),
        "events_a_second": a.rate,
        "seconds": a.seconds,
        "enrol_s": round(enrol_s),
        "connect_s": round(connect_s),
        "connect_cpu_s": { "aggregator": round(connected.0.cpu_s - idle.0.cpu_s), "engine": round(connected.1.cpu_s - idle.1.cpu_s) },
        "steady_cpu_share": {
            "aggregator": round((steady_use.0.cpu_s - connected.0.cpu_s) / a.seconds as f64),
            "engine": round((steady_use.1.cpu_s - connected.1.cpu_s) / a.seconds as f64),
        },
        "append_to_durable_acknowledgement_ms": { "steady": steady, "from_the_kill_on": after },
        "restart": { "healthy_s": round(healthy_s), "fleet_back_s": round(reconnect_s) },
        "processes": {
            "aggregator": aggregator.json(),
            "engine": engine.json(),
            "all_sensors": usage(std::process::id())?.since(own_before).json(),
        },
        "events": sent,
        "stored": stored,
        "stored_once": stored_once,
    }))
}

/// Appends events over all sensors in turn and commits each spool as its committer would, until it is stopped.
async fn feed(sensors: Arc<Vec<Sensor>>, rate: u64, stop: Arc<AtomicBool>) -> anyhow::Result<u64> {
    let began = Instant::now();
    let mut sent = 0u64;
    while !stop.load(Relaxed) {
        let due = (began.elapsed().as_secs_f64() * rate as f64) as u64;
        let (sensors, from) = (Arc::clone(&sensors), sent);
        sent = tokio::task::spawn_blocking(move || {
            for n in from..due {
                // Another order each round, so that no lane gets its sensors in a row.
                let i = (n.wrapping_mul(7919) % sensors.len() as u64) as usize;
                if let Some(s) = sensors.get(i) {
                    s.append()?;
                    s.spool.commit()?;
                }
            }
            anyhow::Ok(due.max(from))
        })
        .await??;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(sent)
}

async fn drain(sensors: &[Sensor]) -> anyhow::Result<f64> {
    poll("everything acknowledged", || Ok(sensors.iter().all(|s| s.spool.status().records == 0))).await
}

/// The store's ids against what was appended: each epoch's numbers are 1 to its last, each once.
fn compare(world: &World, sensors: &[Sensor]) -> anyhow::Result<(u64, bool)> {
    let rows =
        world.sql("SELECT toUInt64(nonce), count(), uniqExact(seq), min(seq), max(seq) FROM alert GROUP BY nonce")?;
    let mut stored = 0;
    let mut by_epoch = HashMap::new();
    for row in &rows {
        let cells = row.iter().map(|c| c.parse::<u64>()).collect::<Result<Vec<_>, _>>()?;
        let [nonce, count, distinct, min, max] = cells[..] else { bail!("a row of five was asked for: {row:?}") };
        stored += count;
        by_epoch.insert(nonce, (count, distinct, min, max));
    }
    let mut good = true;
    for s in sensors {
        let n = s.spool.committed();
        let wanted = (n > 0).then_some((n, n, 1, n));
        let found = by_epoch.remove(&s.spool.epoch().nonce);
        if found != wanted {
            eprintln!("{}: {found:?} stored, {wanted:?} appended", s.owner);
            good = false;
        }
    }
    Ok((stored, good && by_epoch.is_empty()))
}

/// The uplink alone: everything is in the spools before the line opens.
async fn prefilled(world: &World, a: &Args, identities: &[PathBuf]) -> anyhow::Result<Value> {
    let sensors = identities.iter().enumerate().map(|(n, i)| Sensor::open(n, i, &a.spools));
    let mut sensors = sensors.collect::<anyhow::Result<Vec<_>>>()?;
    let mut record_bytes = 0;
    for n in 0..a.prefill {
        let s = sensors.get((n % a.sensors) as usize).context("a sensor")?;
        s.spool.append(Priority::Alert, |seq| {
            let bytes = alert(seq, &s.owner).encode_to_vec();
            record_bytes += bytes.len();
            bytes
        })?;
    }
    sensors.iter().try_for_each(|s| s.spool.commit())?;
    let before = (usage(std::process::id())?, processes(world)?);
    let began = Instant::now();
    for s in &mut sensors {
        s.connect(&Delays::default())?;
    }
    drain(&sensors).await?;
    let seconds = began.elapsed().as_secs_f64();
    let after = (usage(std::process::id())?, processes(world)?);
    let status: Vec<_> = sensors.iter().filter_map(|s| s.uplink.as_ref().map(Uplink::status)).collect();
    let million = |s: f64| round(s * 1e6 / a.prefill as f64);
    let (stored, stored_once) = compare(world, &sensors)?;
    Ok(json!({
        "sensors": sensors.len(),
        "events": a.prefill,
        "record_bytes": record_bytes as u64 / a.prefill,
        "wire_bytes": status.iter().map(|s| s.sent_wire_bytes).sum::<u64>() / a.prefill,
        "sent_events": status.iter().map(|s| s.sent_events).sum::<u64>(),
        "events_a_second": (a.prefill as f64 / seconds) as u64,
        "cpu_s_per_million_events": {
            "uplink": million(after.0.cpu_s - before.0.cpu_s),
            "aggregator": million(after.1.0.cpu_s - before.1.0.cpu_s),
            "engine": million(after.1.1.cpu_s - before.1.1.cpu_s),
        },
        "stored": stored,
        "stored_once": stored_once,
    }))
}

fn percentiles(delays: &[u64]) -> Value {
    let mut sorted = delays.to_vec();
    sorted.sort_unstable();
    let at = |p: usize| {
        sorted.get((sorted.len() * p / 100).min(sorted.len().saturating_sub(1))).map(|us| *us as f64 / 1000.0)
    };
    json!({ "events": sorted.len(), "p50": at(50), "p99": at(99), "max": sorted.last().map(|us| *us as f64 / 1000.0) })
}

fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn alert(seq: u64, constituent: &str) -> Envelope {
    let now = SystemClock.now();
    let noise = fastrand::u64(..);
    let eve = format!(
        r#"{{"timestamp":"{}","flow_id":{},"event_type":"alert","src_ip":"203.0.113.{}","src_port":{},"dest_ip":"10.1.2.3","dest_port":22,"proto":"TCP","community_id":"1:{noise:016x}{:011x}=","app_proto":"ssh","direction":"to_server","alert":{{"action":"allowed","gid":1,"signature_id":{},"rev":1,"signature":"LAGEWARTE brute force on SSH","category":"Attempted Administrator Privilege Gain","severity":1,"metadata":{{"lagewarte_kind":["bruteforce"]}}}},"flow":{{"pkts_toserver":12,"pkts_toclient":11,"bytes_toserver":1200,"bytes_toclient":1900,"start":"2026-01-02T03:04:05.000006+0000"}},"lagewarte":{{"inner":"dest","key":"k1"}}}}"#,
        now.eve(),
        noise >> 11,
        noise % 250,
        1024 + noise % 60_000,
        fastrand::u64(..1 << 44),
        9_000_000 + seq % 40,
    );
    Envelope {
        seq,
        class: Class::Alert.into(),
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
