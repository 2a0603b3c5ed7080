// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The embedded ClickHouse: the real server, as a supervised child process of the aggregator.
//!
//! [`Engine::start`] writes its configuration, starts the child ([`child_main`] behind the aggregator's hidden argument
//! `__engine`), waits until it answers, and starts it again if it dies. Standard input is the leash: when this process
//! closes the pipe, exits or is killed, the engine stops by itself. Must never listen beyond loopback, and never take a
//! failed start for a success: the library reports a locked path and a busy port with exit code 0.

#![expect(clippy::disallowed_methods, reason = "limits on waiting for a process; nothing here is on the packet path")]

mod child;
mod config;
mod host;
pub mod testing;

use std::{
    ffi::OsString,
    fmt, fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Deserialize;

pub use child::child_main;
pub use host::{
    CPU_VARIABLE, LIBRARY_SHA256, LIBRARY_SIZE, LIBRARY_VARIABLE, PACKAGE, TARBALL_INTEGRITY, VERSION, cached, check,
    library, verify,
};

use crate::telemetry::{Connection, DATABASE};

/// How long a start may take. Measured: 0.15 to 0.5 s; a store of many parts on a slow disk takes longer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a stop may take before the child is killed: open connections hold it for some seconds.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// How long to wait for an earlier engine on the same folder to end: it is ending where its aggregator was killed.
const LOCK_WAIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
/// Most of the engine's own words repeated in an error.
const STDERR_TAIL: usize = 2000;

/// Why the engine does not run, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No library.
    #[error(
        "the embedded ClickHouse is not at {0}: run `cargo xtask engine` to fetch it, or set CLICKHOUSE_URL to a ClickHouse server"
    )]
    Missing(PathBuf),
    /// Not the pinned library.
    #[error(
        "{path} is not the embedded ClickHouse {VERSION} ({why}): remove it and run `cargo xtask engine`, or set CLICKHOUSE_URL to a ClickHouse server"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What differs.
        why: String,
    },
    /// The CPU is too old.
    #[error(
        "this CPU has no {0}, which the embedded ClickHouse needs (x86-64-v3, Intel since 2013, AMD since 2015): set CLICKHOUSE_URL to a ClickHouse server on another machine"
    )]
    Cpu(&'static str),
    /// Not Linux on x86-64 with glibc.
    #[error(
        "the embedded ClickHouse runs on Linux, x86-64, with glibc only: set CLICKHOUSE_URL to a ClickHouse server"
    )]
    Platform,
    /// Another engine has the folder.
    #[error("another aggregator (engine process {holder}) uses {dir}: stop it, or give this one its own data-dir")]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// Its process id.
        holder: String,
    },
    /// The port is taken.
    #[error("port {0} on 127.0.0.1 is in use: choose another clickhouse.http-port, or 0 for any free one")]
    Port(u16),
    /// The folder cannot be written.
    #[error("cannot prepare {dir} for the engine: {source}")]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It started and failed.
    #[error("the embedded ClickHouse did not start ({why}); its log is {log}")]
    Failed {
        /// Its last words.
        why: String,
        /// Where to read more.
        log: PathBuf,
    },
}

/// What an engine is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// The engine's own folder; made if missing.
    pub dir: PathBuf,
    /// The library, from [`library`].
    pub library: PathBuf,
    /// Port on 127.0.0.1; 0 for any free one.
    pub http_port: u16,
    /// Program and first arguments that lead to [`child_main`].
    pub program: PathBuf,
    /// Arguments before the child's own.
    pub arguments: Vec<OsString>,
    /// Environment of the child beside the inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// How long to wait for an earlier engine on the same folder to end.
    pub lock_wait: Duration,
    /// The shards of which this engine is one; None: it stands alone.
    pub peers: Option<Peers>,
    /// Whether the passwords of the last start stay good: others than this process connect, and come back after a restart.
    pub keep_passwords: bool,
}

/// Engines of one machine that are the shards of one store. For tests of a cluster: a real one has a server each.
#[derive(Clone, Debug)]
pub struct Peers {
    /// Name of the cluster.
    pub cluster: String,
    /// What the engines know one another by.
    pub secret: String,
    /// This engine's own port for the others, on 127.0.0.1.
    pub tcp_port: u16,
    /// Every shard's, in the same order everywhere.
    pub shards: Vec<u16>,
}

impl Options {
    /// The aggregator's own way: this very program with the hidden argument `__engine`.
    ///
    /// # Errors
    /// [`EngineError`] where library, CPU or platform do not fit.
    pub fn new(dir: &Path, configured_library: Option<&Path>) -> Result<Self, EngineError> {
        let env = |name: &str| std::env::var(name).ok();
        check(&env)?;
        let library = library(configured_library, &env)?;
        let program = std::env::current_exe().map_err(|source| EngineError::Folder { dir: dir.to_owned(), source })?;
        Ok(Self {
            dir: dir.to_owned(),
            library,
            http_port: 0,
            program,
            arguments: vec!["__engine".into()],
            environment: Vec::new(),
            lock_wait: LOCK_WAIT,
            peers: None,
            keep_passwords: false,
        })
    }
}

/// How a command beside a running aggregator reaches its engine; None where none runs on this folder.
pub fn beside(dir: &Path) -> Option<Connection> {
    let lock = fs::File::open(dir.join("engine.lock")).ok()?;
    if lock.try_lock_shared().is_ok() {
        return None; // nobody holds it
    }
    let text = fs::read_to_string(dir.join("credentials.json")).ok()?;
    let read: serde_json::Value = serde_json::from_str(&text).ok()?;
    let word = |key: &str| read.get(key).and_then(|v| v.as_str()).map(str::to_owned);
    Some(Connection { url: word("url")?, user: "ingest".into(), password: word("ingest")?, database: DATABASE.into() })
}

/// Passwords of the two users, made at each start unless [`Options::keep_passwords`] is set.
#[derive(Clone, Deserialize)]
struct Passwords {
    ingest: String,
    grafana: String,
}

impl Passwords {
    fn random() -> Result<Self, std::io::Error> {
        let one = || {
            let mut bytes = [0; 24];
            SystemRandom::new()
                .fill(&mut bytes)
                .map_err(|_| std::io::Error::other("no random bytes from the system"))?;
            Ok::<_, std::io::Error>(URL_SAFE_NO_PAD.encode(bytes))
        };
        Ok(Self { ingest: one()?, grafana: one()? })
    }
    /// Those of the last start; new ones where there was none.
    fn kept(dir: &Path) -> Result<Self, std::io::Error> {
        match fs::read(dir.join("credentials.json")) {
            Ok(json) => Ok(serde_json::from_slice(&json)?),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Self::random(),
            Err(e) => Err(e),
        }
    }
}

/// A running engine. Dropping it stops it.
pub struct Engine {
    shared: Arc<Shared>,
    port: u16,
    passwords: Passwords,
    watch: Option<JoinHandle<()>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine(127.0.0.1:{})", self.port)
    }
}

struct Shared {
    state: Mutex<State>,
    stop: Condvar,
    restarts: AtomicU64,
}

struct State {
    child: Option<Child>,
    stopping: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves no half-changed state: each change is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Starts the engine and returns when it answers. Blocks up to a minute: call it from `spawn_blocking` or before the
    /// runtime.
    ///
    /// # Errors
    /// [`EngineError`], each with what to do.
    pub fn start(options: &Options) -> Result<Self, EngineError> {
        let folder = |source| EngineError::Folder { dir: options.dir.clone(), source };
        fs::create_dir_all(&options.dir).map_err(folder)?;
        let dir = options.dir.canonicalize().map_err(folder)?;
        let mut options = Options { dir, ..options.clone() };
        let passwords = if options.keep_passwords { Passwords::kept(&options.dir) } else { Passwords::random() };
        let passwords = passwords.map_err(folder)?;
        let begun = Instant::now();
        let (child, port) = loop {
            match launch(&options, &passwords) {
                Err(EngineError::Locked { .. }) if begun.elapsed() < options.lock_wait => thread::sleep(POLL * 10),
                other => break other?,
            }
        };
        options.http_port = port; // a restart must come back where everyone looks for it
        let shared = Arc::new(Shared {
            state: Mutex::new(State { child: Some(child), stopping: false }),
            stop: Condvar::new(),
            restarts: AtomicU64::new(0),
        });
        let watch = thread::Builder::new()
            .name("engine-watch".into())
            .spawn({
                let (shared, passwords) = (shared.clone(), passwords.clone());
                move || supervise(&shared, &options, &passwords)
            })
            .map_err(folder)?;
        Ok(Self { shared, port, passwords, watch: Some(watch) })
    }

    /// Where and as whom ingest and picture connect. Good for the engine's whole life, restarts included.
    pub fn connection(&self) -> Connection {
        self.user("ingest", &self.passwords.ingest)
    }

    /// The read-only user of the dashboards.
    pub fn grafana(&self) -> Connection {
        self.user("grafana", &self.passwords.grafana)
    }

    fn user(&self, user: &str, password: &str) -> Connection {
        Connection {
            url: format!("http://127.0.0.1:{}", self.port),
            user: user.into(),
            password: password.into(),
            database: DATABASE.into(),
        }
    }

    /// How often it died and was started again.
    pub fn restarts(&self) -> u64 {
        self.shared.restarts.load(Ordering::Relaxed)
    }

    /// Process id of the running child; None while it is being started again.
    pub fn pid(&self) -> Option<u32> {
        self.shared.state().child.as_ref().map(Child::id)
    }

    /// Stops the engine cleanly: closes its standard input and waits. Drop clients first, open connections hold it.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let child = {
            let mut state = self.shared.state();
            state.stopping = true;
            state.child.take()
        };
        self.shared.stop.notify_all();
        if let Some(mut child) = child {
            drop(child.stdin.take());
            if !ended(&mut child, STOP_LIMIT) {
                tracing::warn!("the engine did not stop within {} s; killed", STOP_LIMIT.as_secs());
                let _ = child.kill();
                let _ = child.wait();
            }
        }
        if let Some(watch) = self.watch.take() {
            let _ = watch.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts the engine again whenever it died, with a growing pause, until told to stop.
fn supervise(shared: &Shared, options: &Options, passwords: &Passwords) {
    let mut pause = POLL;
    let mut state = shared.state();
    loop {
        if state.stopping {
            return;
        }
        let died = match &mut state.child {
            Some(child) => matches!(child.try_wait(), Ok(Some(_)) | Err(_)),
            None => true,
        };
        if !died {
            pause = POLL;
            state = wait(shared, state, Duration::from_millis(100));
            continue;
        }
        state.child = None;
        drop(state);
        tracing::error!("the embedded ClickHouse ended unexpectedly; starting it again");
        let launched = launch(options, passwords);
        state = shared.state();
        match launched {
            Ok((child, _)) => {
                shared.restarts.fetch_add(1, Ordering::Relaxed);
                state.child = Some(child);
                if state.stopping {
                    // Stopped while it was starting: Engine::end saw no child, so it is ours to end.
                    let mut child = state.child.take();
                    drop(state);
                    if let Some(child) = &mut child {
                        drop(child.stdin.take());
                        if !ended(child, STOP_LIMIT) {
                            let _ = child.kill();
                            let _ = child.wait();
                        }
                    }
                    return;
                }
            }
            Err(e) => {
                tracing::error!("{e}");
                state = wait(shared, state, pause);
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

fn wait<'a>(shared: &'a Shared, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
    shared.stop.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
}

/// Starts one child and waits for its port file *and* an answer to a question as `ingest`.
fn launch(options: &Options, passwords: &Passwords) -> Result<(Child, u16), EngineError> {
    let dir = &options.dir;
    let folder = |source| EngineError::Folder { dir: dir.clone(), source };
    let log = dir.join("engine.log");
    let failed = |why: String| EngineError::Failed { why, log: log.clone() };
    if options.http_port != 0 && TcpStream::connect((Ipv4Addr::LOCALHOST, options.http_port)).is_ok() {
        return Err(EngineError::Port(options.http_port));
    }
    config::write(dir, options.http_port, passwords, options.peers.as_ref()).map_err(folder)?;
    // A name of its own for each start: an old file can never be taken for this engine's.
    let port_file = dir.join(format!("http.port.{:016x}", fastrand::u64(..)));
    let stderr_path = dir.join("engine.stderr");
    let stderr = fs::File::create(&stderr_path).map_err(folder)?;
    let mut child = Command::new(&options.program)
        .args(&options.arguments)
        .args([options.library.as_os_str(), dir.as_os_str(), port_file.as_os_str()])
        .envs(options.environment.iter().map(|(k, v)| (k, v)))
        .current_dir(dir) // the library makes folders where it stands
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(stderr)
        .process_group(0) // Ctrl-C is for the aggregator, which first drains and then stops the engine
        .spawn()
        .map_err(folder)?;
    let words = || {
        let bytes = fs::read(&stderr_path).unwrap_or_default();
        let tail = &bytes[bytes.len().saturating_sub(STDERR_TAIL)..];
        String::from_utf8_lossy(tail).trim().to_owned()
    };
    let begun = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(match status.code() {
                Some(child::EXIT_LOCKED) => {
                    let holder = fs::read_to_string(dir.join("engine.lock")).unwrap_or_default().trim().to_owned();
                    EngineError::Locked { dir: dir.clone(), holder }
                }
                Some(child::EXIT_LIBRARY) => EngineError::Foreign { path: options.library.clone(), why: words() },
                _ if words().contains("Address already in use") => EngineError::Port(options.http_port),
                _ => failed(format!("{status}; {}", words())),
            });
        }
        if let Some(port) = fs::read_to_string(&port_file).ok().and_then(|t| t.trim().parse::<u16>().ok())
            && answers(port, &passwords.ingest)
        {
            let _ = fs::remove_file(&port_file);
            config::credentials(dir, Some(port), passwords).map_err(folder)?;
            return Ok((child, port));
        }
        if begun.elapsed() > START_LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(failed(format!("no answer within {} s; {}", START_LIMIT.as_secs(), words())));
        }
        thread::sleep(POLL);
    }
}

/// Whether *our* engine answers there: it alone knows this start's password.
fn answers(port: u16, password: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let limit = Duration::from_secs(5);
        let mut s = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), limit)?;
        s.set_read_timeout(Some(limit))?;
        s.set_write_timeout(Some(limit))?;
        write!(
            s,
            "GET /?query=SELECT%20'lagewarte' HTTP/1.0\r\nHost: localhost\r\nX-ClickHouse-User: ingest\r\nX-ClickHouse-Key: {password}\r\n\r\n"
        )?;
        let mut answer = String::new();
        s.take(64 << 10).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|a| a.contains(" 200 ") && a.trim_end().ends_with("lagewarte"))
}

fn ended(child: &mut Child, limit: Duration) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if !matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        thread::sleep(POLL);
    }
    false
}
