// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The land of a soak: PostgreSQL, one engine with a keeper of its own, two aggregators behind a line, sensors behind a
//! wire; and how each of them is broken and mended. Must never repair anything that an operator would not.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use lagewarte_base::{
    clock::{Clock as _, SystemClock},
    id::Uuid,
    time::Timestamp,
};
use lagewarte_ingest::{Ca, Peer};
use lagewarte_store::control::{Control, testing::Db, testing::postgres_url};
use serde_json::{Value, json};

use super::{Plan, feed::BASE};
use crate::{
    Constituent, Line, NEAR, Process, Sensor, SensorRow, Wire, World, aggregator, get, output, register, root,
    root_user, sensor, wait_for,
};

/// How long a lease of the aggregators lasts here, and how long one is paused.
const LEASE: Duration = Duration::from_secs(10);
/// Kilobytes of the disk under one sensor's spool.
const SMALL_DISK_KB: u32 = 3 << 10;
const PATIENCE: Duration = Duration::from_secs(60);

const SENSORS: [SensorRow; 6] = [
    SensorRow { name: "gw-alt", id: "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f2c01", serves: &["alt"] },
    SensorRow { name: "gw-bach", id: "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f2c02", serves: &["bach"] },
    SensorRow { name: "gw-clus", id: "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f2c03", serves: &["clus"] },
    SensorRow { name: CLOCK, id: "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f2c04", serves: &["alt"] },
    SensorRow { name: CERTIFICATE, id: "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f2c05", serves: &["bach"] },
    SensorRow { name: DISK, id: "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f2c06", serves: &["clus"] },
];
/// Whose clock jumps, whose certificate ends, whose disk is small.
const CLOCK: &str = "gw-clock";
const CERTIFICATE: &str = "gw-certificate";
const DISK: &str = "gw-disk";
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// A sensor that tails a file.
pub(super) struct Gateway {
    pub(super) id: &'static str,
    pub(super) base: u64,
    pub(super) eve: PathBuf,
    sensor: Sensor,
    process: Process,
    /// What its ledger ever said: epoch and nonce, and the highest number reserved.
    reserved: BTreeMap<String, u64>,
}

/// Everything.
pub(super) struct Land {
    pub(super) sensors: Vec<Gateway>,
    pub(super) line: Line,
    pub(super) wire: Option<Wire>,
    small_disk: Option<SmallDisk>,
    /// Of each life of the engine: inserts, FileSync, DirectorySync, as last seen.
    pub(super) syncs: Vec<[u64; 3]>,
    worlds: [World; 2],
    engine: Process,
    engine_world: World,
    control_url: String,
    runtime: tokio::runtime::Runtime,
}

impl Land {
    pub(super) fn build(plan: &Plan) -> anyhow::Result<Self> {
        let dir = crate::paths::target().join("e2e").join(plan.name);
        let _ = fs::remove_dir_all(&dir); // the last run's
        let files = dir.join("register");
        register::write(
            &files,
            &[
                Constituent { id: "alt", ags: "97151001", networks: &["10.77.0.0/16"] },
                Constituent { id: "bach", ags: "97151002", networks: &["10.78.0.0/16"] },
                Constituent { id: "clus", ags: "97151003", networks: &["10.79.0.0/16"] },
            ],
            &SENSORS,
        )?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        eprintln!("soak: PostgreSQL, the engine, two aggregators");
        let control_url = runtime.block_on(Db::Postgres(postgres_url()).url());

        let engine_world = World::in_folder(dir.join("engine"), files.clone(), 3, String::new())?;
        let args: [OsString; 4] =
            ["engine".into(), "serve".into(), "--config".into(), engine_world.config().into_os_string()];
        let mut engine = Process::start("engine", &aggregator()?, args, vec![], &engine_world.logs())?;
        let url = engine_url(&mut engine)?;
        let env = vec![
            ("CLICKHOUSE_URL".to_owned(), OsString::from(&url)),
            ("LAGEWARTE_CONTROL_URL".to_owned(), OsString::from(&control_url)),
        ];
        let listener = TcpListener::bind("0.0.0.0:0")?;
        let line_port = listener.local_addr()?.port();
        let wire = match Wire::possible() {
            true => {
                let tool = root().join("aggregator/e2e/tools/wire.py");
                Some(Wire::lay(&engine_world.python, &tool, &dir, &engine_world.logs(), plan.seed)?)
            }
            false => {
                eprintln!("soak: not root, so there is no bad wire: frames are not dropped, doubled or reordered");
                None
            }
        };
        let host = if wire.is_some() { NEAR } else { "127.0.0.1" };
        let more = String::new();
        let mut worlds = [
            World::in_folder(dir.join("a"), files.clone(), 3, more.clone())?,
            World::in_folder(dir.join("b"), files, 3, more)?,
        ];
        let [a, b] = &mut worlds;
        b.mails_of(a);
        for w in [&mut *a, b] {
            w.env.clone_from(&env);
            w.reached_at(host, line_port)?;
        }
        a.start()?;
        // One CA for both, as the documentation asks for.
        output(Command::new("cp").arg("-a").arg(a.data_dir().join("ca")).arg(b.data_dir()))?;
        b.start_aggregator()?;
        let line = Line::start(listener, worlds.iter().map(World::uplink_address).collect())?;

        let (mut sensors, mut small_disk) = (Vec::new(), None);
        for (n, row) in SENSORS.iter().enumerate() {
            let [a, _] = &worlds;
            let s = a.prepare(row.name, "[10.77.0.0/16, 10.78.0.0/16, 10.79.0.0/16]", "")?;
            a.enrol(&s)?;
            let eve = s.dir.join("eve.json");
            fs::write(&eve, "")?;
            if row.name == DISK && root_user() {
                small_disk = Some(SmallDisk::mount(s.state().join("spool"))?);
            }
            let process = start(a, &s, &eve, wire.as_ref())?;
            sensors.push(Gateway {
                id: row.id,
                base: BASE * (n as u64 + 1),
                eve,
                sensor: s,
                process,
                reserved: BTreeMap::new(),
            });
        }
        let mut land = Self {
            sensors,
            line,
            wire,
            small_disk,
            syncs: Vec::new(),
            worlds,
            engine,
            engine_world,
            control_url,
            runtime,
        };
        land.syncs.push([0; 3]);
        Ok(land)
    }

    /// Looks after everything: notes what the ledgers say, starts again what has ended by itself (as a service manager
    /// does), reads the engine's counters.
    pub(super) fn look(&mut self) -> anyhow::Result<()> {
        for s in &mut self.sensors {
            s.note();
            if s.process.revive()? {
                eprintln!("soak: {} had ended by itself", s.sensor.name);
            }
        }
        self.look_after_servers()?;
        if let Ok(now) = self.events()
            && let Some(last) = self.syncs.last_mut()
        {
            if now[0] < last[0] {
                self.syncs.push(now); // another life of the engine
            } else {
                *last = now;
            }
        }
        Ok(())
    }

    /// Starts again what has ended by itself of engine and aggregators: one that lost its lease, one that started while
    /// the engine was away.
    fn look_after_servers(&mut self) -> anyhow::Result<()> {
        self.engine.revive()?;
        for w in &mut self.worlds {
            if let Some(a) = &mut w.aggregator
                && a.revive()?
            {
                eprintln!("soak: an aggregator had ended by itself and is started again");
            }
        }
        Ok(())
    }

    /// Inserts, FileSync and DirectorySync of this life of the engine.
    fn events(&self) -> anyhow::Result<[u64; 3]> {
        let rows = self.sql_as_ingest(
            "SELECT sumIf(value, event = 'InsertQuery'), sumIf(value, event = 'FileSync'), \
             sumIf(value, event = 'DirectorySync') FROM system.events",
        )?;
        let row = rows.first().context("no row")?;
        let n = |i: usize| row.get(i).and_then(|v| v.parse().ok()).unwrap_or(0);
        Ok([n(0), n(1), n(2)])
    }

    fn sql(&self, query: &str) -> anyhow::Result<Vec<Vec<String>>> {
        self.engine_world.sql(query)
    }

    /// As the user that may read the engine's own counters.
    fn sql_as_ingest(&self, query: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let dir = self.engine_world.data_dir();
        let text = self.engine_world.tool("sql.py", &[&dir.to_string_lossy(), query, "ingest"])?;
        Ok(serde_json::from_str(&text)?)
    }

    pub(super) fn kill_sensor(&mut self, n: usize) -> anyhow::Result<()> {
        let s = &mut self.sensors[n]; // chosen below the length
        s.process.kill();
        s.note();
        s.process.revive().map(drop)
    }

    pub(super) fn kill_aggregator(&mut self, n: usize) -> anyhow::Result<()> {
        self.worlds[n].aggregator.as_mut().map_or(Ok(()), Process::kill_and_restart)
    }

    /// The engine's process, not its keeper; false where it is just being started.
    pub(super) fn kill_engine(&mut self) -> anyhow::Result<bool> {
        let Some(keeper) = self.engine.id() else { return Ok(false) };
        let children = format!("/proc/{keeper}/task/{keeper}/children");
        let mut pids = fs::read_to_string(children).unwrap_or_default();
        if pids.trim().is_empty() {
            // Started by another thread of the keeper.
            pids = output(Command::new("pgrep").args(["-P", &keeper.to_string()])).unwrap_or_default();
        }
        let Some(pid) = pids.split_whitespace().next() else { return Ok(false) };
        Ok(Command::new("kill").args(["-KILL", pid]).status()?.success())
    }

    pub(super) fn engine_down(&mut self, outage: Duration) -> anyhow::Result<()> {
        eprintln!("soak: the engine is away for {} s", outage.as_secs());
        self.engine.stop(Duration::from_secs(30));
        let end = Instant::now() + outage;
        while Instant::now() < end {
            sleep(Duration::from_secs(1).min(outage));
            for s in &mut self.sensors {
                s.note();
            }
        }
        self.engine.revive().map(drop)
    }

    pub(super) fn pause_aggregator(&mut self, n: usize) -> anyhow::Result<()> {
        let Some(a) = self.worlds[n].aggregator.as_ref() else { bail!("no aggregator") };
        ensure!(a.signal("STOP"), "the aggregator could not be stopped");
        sleep(LEASE * 3);
        ensure!(a.signal("CONT"), "the aggregator could not be woken");
        Ok(())
    }

    pub(super) fn jump_clock(&mut self, seconds: i64) -> anyhow::Result<()> {
        let s = self.named(CLOCK)?;
        Ok(fs::write(clock_file(&s.sensor), format!("{seconds:+}\n"))?)
    }

    /// Gives a sensor a certificate that ends in some seconds, waits until it cannot connect any more, enrols it again.
    pub(super) fn expire_certificate(&mut self) -> anyhow::Result<()> {
        let ca_dir = self.worlds[0].data_dir().join("ca");
        let ca = Ca::load_or_create(&ca_dir, SystemClock.now())?;
        let identity = self.named(CERTIFICATE)?.sensor.state().join("identity");
        let id: Uuid = self.named(CERTIFICATE)?.id.parse()?;
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let csr = rcgen::CertificateParams::default().serialize_request(&key)?;
        let now = SystemClock.now().micros();
        let issued = ca.sensor(csr.der(), id, 1, Timestamp::from_micros(now - 86_400_000_000 + 8_000_000))?;
        let peer = Peer::of(&issued.certificate).context("the certificate just made cannot be read")?;
        let control = self.runtime.block_on(Control::open(&self.control_url))?;
        self.runtime.block_on(control.activate_sensor(id, &peer.serial, peer.not_after.micros(), now))?;
        self.runtime.block_on(control.close());
        let s = self.named(CERTIFICATE)?;
        s.process.kill();
        s.note();
        fs::write(identity.join("key.pem"), key.serialize_pem())?;
        let certificate = pem::encode(&pem::Pem::new("CERTIFICATE", issued.certificate.to_vec()));
        fs::write(identity.join("certificate.pem"), certificate)?;
        s.process.revive()?;
        sleep(Duration::from_secs(12)); // it ends while the sensor delivers
        // The operator enrols it again, as the sensor's error says.
        s.process.kill();
        s.note();
        fs::rename(&identity, identity.with_extension("ended"))?;
        let name = s.sensor.name.clone();
        let config = s.sensor.config();
        let again = |w: &World| -> anyhow::Result<()> {
            let token = w.enrolment_token(&name)?;
            output(Command::new(sensor()?).args(["enrol", &token]).arg("-c").arg(&config)).map(drop)
        };
        let mut last = None;
        for _ in 0..40 {
            self.look_after_servers()?; // the fault before may have ended one of them
            match again(&self.worlds[0]) {
                Ok(()) => {
                    last = None;
                    break;
                }
                Err(e) => last = Some(e), // it was killed a moment ago, or waits for the engine
            }
            sleep(Duration::from_secs(1));
        }
        if let Some(e) = last {
            return Err(e.context("the sensor with the ended certificate could not be enrolled again"));
        }
        self.named(CERTIFICATE)?.process.revive().map(drop)
    }

    /// Cuts the line until the small disk under a spool is full and the sensor says so; false where there is none.
    pub(super) fn fill_disk(&mut self) -> anyhow::Result<bool> {
        if self.small_disk.is_none() {
            return Ok(false);
        }
        let n = self.sensors.iter().position(|s| s.sensor.name == DISK).context("no such sensor")?;
        let before = self.sensors[n].process.log().matches("No space left").count();
        self.line.cut();
        let full = wait_for("the small disk being full", Duration::from_secs(240), || {
            for s in &mut self.sensors {
                s.note();
            }
            Ok(self.sensors[n].process.log().matches("No space left").count() > before)
        });
        self.line.mend();
        full.map(|()| true)
    }

    fn named(&mut self, name: &str) -> anyhow::Result<&mut Gateway> {
        self.sensors.iter_mut().find(|s| s.sensor.name == name).with_context(|| format!("no sensor {name}"))
    }

    /// Nothing breaks any more; everything that should run does.
    pub(super) fn calm(&mut self) -> anyhow::Result<()> {
        self.line.mend();
        self.line.slow(0);
        self.look()?;
        let health: Vec<String> = self.worlds.iter().map(|w| format!("{}/healthz", w.http)).collect();
        wait_for("both aggregators being healthy", PATIENCE, || {
            self.look()?;
            Ok(health.iter().all(|url| get(url, None).is_ok()))
        })
    }

    /// Waits until every line is in the store; whether it came to that.
    pub(super) fn settle(&mut self, fed: &[u64], patience: Duration) -> anyhow::Result<bool> {
        let wanted: u64 = fed.iter().sum();
        let end = Instant::now() + patience;
        while Instant::now() < end {
            self.look()?;
            if let Ok(rows) = self.sql(&format!("SELECT count() FROM alert WHERE signature_id > {BASE}"))
                && rows.first().and_then(|r| r.first()?.parse::<u64>().ok()).is_some_and(|n| n >= wanted)
            {
                sleep(Duration::from_secs(3)); // the last acknowledgements and health events
                return Ok(true);
            }
            sleep(Duration::from_secs(1));
        }
        Ok(false)
    }

    pub(super) fn stop_sensors(&mut self) {
        for s in &mut self.sensors {
            s.process.stop(Duration::from_secs(20));
            s.note();
        }
    }

    /// What `tools/verdict.py` finds, over the store's tables, the ledgers and the engine's counters.
    pub(super) fn verdict(&self, input: &Value) -> anyhow::Result<Value> {
        let input = json!({ "engine": self.engine_world.data_dir(), "run": input });
        let text = self.engine_world.tool("verdict.py", &[&input.to_string()])?;
        serde_json::from_str(&text).with_context(|| format!("the verdict is no JSON: {text}"))
    }

    pub(super) fn take_down(self) -> Option<String> {
        let Self { sensors, wire, worlds, engine, small_disk, .. } = self;
        drop(sensors);
        drop(small_disk);
        drop(worlds);
        drop(engine);
        wire.map(Wire::take_down)
    }
}

impl Gateway {
    /// What its ledger ever reserved, by epoch.
    pub(super) fn reserved(&self) -> &BTreeMap<String, u64> {
        &self.reserved
    }

    /// Its spool's folder.
    pub(super) fn spool(&self) -> PathBuf {
        self.sensor.state().join("spool")
    }

    /// Reads the ledger: the text file that says which numbers may have been given out.
    fn note(&mut self) {
        let spool = self.spool();
        let texts =
            [spool.join("ledger"), spool.join("bulk/ledger")].map(|p| fs::read_to_string(p).unwrap_or_default());
        for line in texts.iter().flat_map(|t| t.lines()) {
            let words: Vec<&str> = line.split(' ').collect();
            let ["epoch", epoch, "nonce", nonce, "reserved", reserved, "acked", _, "end", end] = words[..] else {
                continue;
            };
            let highest = end.parse::<u64>().or_else(|_| reserved.parse()).unwrap_or(0);
            self.reserved.insert(format!("{epoch}-{nonce}"), highest);
        }
    }
}

/// A file system of a few megabytes in the run's own folder; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&folder)?;
        let size = format!("size={SMALL_DISK_KB}k");
        output(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "lagewarte-soak"]).arg(&folder))?;
        Ok(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = output(Command::new("umount").arg("-l").arg(&self.0)); // it is the run's own folder
    }
}

fn clock_file(s: &Sensor) -> PathBuf {
    s.dir.join("clock")
}

/// Starts a sensor that tails: behind the wire, one of them under a false clock.
fn start(w: &World, s: &Sensor, eve: &Path, wire: Option<&Wire>) -> anyhow::Result<Process> {
    let mut words: Vec<OsString> = wire.map(|w| w.prefix().map(OsString::from).to_vec()).unwrap_or_default();
    let mut env = Vec::new();
    if s.name == CLOCK {
        ensure!(Path::new(FAKETIME).exists(), "{FAKETIME} is not there: apt-get install -y faketime");
        fs::write(clock_file(s), "+0\n")?;
        env = vec![
            ("LD_PRELOAD".to_owned(), FAKETIME.into()),
            ("FAKETIME_TIMESTAMP_FILE".to_owned(), clock_file(s).into_os_string()),
            ("FAKETIME_CACHE_DURATION".to_owned(), "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".into()),
            ("DONT_FAKE_MONOTONIC".to_owned(), "1".into()),
        ];
    }
    words.push(sensor()?.into_os_string());
    words.extend(["tail".into(), eve.into(), "-c".into(), s.config().into_os_string()]);
    let program = words.remove(0);
    Process::start(&s.name, Path::new(&program), words, env, &w.logs())
}

/// What the engine's keeper printed.
fn engine_url(keeper: &mut Process) -> anyhow::Result<String> {
    let mut url = None;
    wait_for("the engine's start", PATIENCE, || {
        keeper.alive()?;
        url = keeper.log().lines().find_map(|l| l.strip_prefix("CLICKHOUSE_URL=").map(str::to_owned));
        Ok(url.is_some())
    })?;
    url.context("the engine printed no URL")
}
