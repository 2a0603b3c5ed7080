// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What `run` and `tail` have in common: identity, orders, spool, uplink, health events, metrics, signals.
//!
//! Everything that can be wrong is found out before the first event: nothing is started halfway. Must never let the process
//! end with records in memory: [`Station::close`] commits them, offers them to the aggregator, and leaves the rest on disk.

use std::{
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use lagewarte_base::{
    clock::{Clock, SystemClock},
    fs::RealFs,
};
use lagewarte_event::Class;
use lagewarte_spool::{Pair, State};
use lagewarte_uplink::{Identity, Uplink};
use tokio::runtime::Runtime;

use crate::{
    config::Settings,
    health::{self, About},
    metrics,
    release::{Release, files},
    shipper::{ReleaseLog, Shipper},
    telemetry::Telemetry,
};

/// What rules are in force; for health events.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// SHA-256 of the set; empty where no rules run.
    pub sha256: Vec<u8>,
    /// How many run.
    pub loaded: usize,
    /// How many do not.
    pub refused: usize,
}

/// Says which rules are in force, in health events and envelopes.
pub struct RulesNotice {
    about: Arc<Mutex<About>>,
    shipper: Arc<Mutex<Shipper>>,
}

impl RulesNotice {
    /// These are, from now on.
    pub fn in_force(&self, rules: &Rules) {
        lock(&self.shipper).ruleset.clone_from(&rules.sha256);
        let mut about = lock(&self.about);
        about.ruleset = hex::encode(&rules.sha256);
        (about.rules_loaded, about.rules_refused) = (rules.loaded, rules.refused);
    }
}

/// The state of everything, at one moment.
pub struct Snapshot {
    /// Counters.
    pub telemetry: Arc<Telemetry>,
    /// The spool.
    pub spool: lagewarte_spool::Status,
    /// The uplink.
    pub uplink: lagewarte_uplink::Status,
    /// What does not change.
    pub about: About,
}

/// Asked to end: by a signal, or by the end of the source.
#[derive(Debug, Default)]
pub struct Stop {
    asked: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

impl Stop {
    /// Asks for the end.
    pub fn ask(&self) {
        self.asked.store(true, Relaxed);
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner)); // nobody is between the check and the wait
        self.wake.notify_all();
    }
    /// Whether the end was asked for.
    pub fn asked(&self) -> bool {
        self.asked.load(Relaxed)
    }
    /// The flag itself, for loops that look at it.
    pub fn flag(&self) -> &AtomicBool {
        &self.asked
    }
    /// Waits for the end to be asked for, at most so long; whether it was.
    pub fn wait(&self, at_most: Duration) -> bool {
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.asked() {
            drop(self.wake.wait_timeout(guard, at_most)); // woken early: the caller's loop looks again
        }
        self.asked()
    }
}

/// The running station.
pub struct Station {
    runtime: Runtime,
    uplink: Arc<Mutex<Option<Uplink>>>,
    spool: Pair,
    shipper: Arc<Mutex<Shipper>>,
    telemetry: Arc<Telemetry>,
    clock: Arc<dyn Clock>,
    stop: Arc<Stop>,
    about: Arc<Mutex<About>>,
    reloads: Option<Receiver<()>>,
    heartbeat: Option<JoinHandle<()>>,
}

/// A station whose spool is open and whose uplink does not send yet; `tail` looks into the spool here.
pub struct Prepared {
    identity: Identity,
    release: Release,
    /// The spools of this state directory.
    pub spool: Pair,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl Prepared {
    /// Reads identity and orders and opens the spool.
    ///
    /// # Errors
    /// What is missing or wrong, and what to do.
    pub fn open(settings: &Settings) -> anyhow::Result<Self> {
        let state = settings.own.state_dir.as_path();
        if !state.is_dir() {
            return Err(anyhow!(
                "there is no state directory {}: name it under lagewarte.state-dir, or enrol this sensor (lagewarte-sensor enrol TOKEN), which makes it",
                state.display()
            ));
        }
        let identity = Identity::load(&state.join("identity"))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        if identity.not_after() <= clock.now() {
            return Err(anyhow!(
                "this sensor's certificate ended on {}: ask the CERT for a new token, move {} away and run: lagewarte-sensor enrol TOKEN",
                identity.not_after(),
                state.join("identity").display()
            ));
        }
        // The lock first: two processes must not decide about one state directory.
        let options = lagewarte_spool::Options { quota_bytes: settings.own.spool_quota, ..Default::default() };
        let spool = Pair::open(&state.join("spool"), options, Arc::new(RealFs), Arc::clone(&clock))?;
        let orders = files::read(state, identity.enrolment().sensor, &settings.own.trusted_keys)?;
        let release = Release::new(orders, state, settings.eve.community_id.unwrap_or(0))?;
        Ok(Self { identity, release, spool, settings: settings.clone(), clock })
    }

    /// Starts uplink, health events, metrics and signals.
    ///
    /// # Errors
    /// A busy metrics port, a release log that cannot be opened.
    pub fn start(self, rules: &Rules) -> anyhow::Result<Station> {
        let Self { identity, release, spool, settings, clock } = self;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("uplink")
            .enable_all()
            .build()
            .context("cannot start threads for the uplink")?;
        let listener = settings.own.metrics.map(|listen| runtime.block_on(metrics::bind(listen))).transpose()?;
        let log = settings.own.release_log.as_deref().map(open_log).transpose()?;
        let interval_s =
            settings.own.interval.map_or(identity.enrolment().interval_s.clamp(1, 3600), |i| i.as_secs() as u32);
        let about = About {
            started: clock.now(),
            interval_s,
            ruleset: hex::encode(&rules.sha256),
            rules_loaded: rules.loaded,
            rules_refused: rules.refused,
        };
        let sensor = identity.enrolment().sensor;
        tracing::info!(%sensor, assignment = release.assignment_label(), profile = release.profile_label(), "orders in force");
        let options = lagewarte_uplink::Options {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            assignment: release.assignment_label().to_owned(),
            interval_s,
            proxy: settings.own.uplink.proxy()?,
            rate: settings.own.uplink.rate,
            bulk_hours: settings.own.uplink.bulk_hours.clone(),
            ..Default::default()
        };
        let uplink = {
            let _inside = runtime.enter();
            Arc::new(Mutex::new(Some(Uplink::start(&spool, identity, options, Arc::clone(&clock)))))
        };
        let telemetry = Arc::new(Telemetry::default());
        let shipper = Shipper {
            release,
            spool: spool.clone(),
            sensor,
            ruleset: rules.sha256.clone(),
            clock: Arc::clone(&clock),
            telemetry: Arc::clone(&telemetry),
            log,
        };
        let mut station = Station {
            runtime,
            uplink,
            spool,
            shipper: Arc::new(Mutex::new(shipper)),
            telemetry,
            clock,
            stop: Arc::new(Stop::default()),
            about: Arc::new(Mutex::new(about)),
            reloads: None,
            heartbeat: None,
        };
        station.watch_signals()?;
        if let Some(listener) = listener {
            station.runtime.spawn(metrics::serve(listener, station.snapshots()));
        }
        station.start_heartbeat()?;
        Ok(station)
    }
}

fn open_log(path: &Path) -> anyhow::Result<ReleaseLog> {
    ReleaseLog::open(path).with_context(|| {
        format!(
            "cannot write the release log {}: make its directory writable, or change lagewarte.release-log",
            path.display()
        )
    })
}

impl Station {
    /// The way out.
    pub fn shipper(&self) -> MutexGuard<'_, Shipper> {
        lock(&self.shipper)
    }
    /// The way out, to share with another thread.
    pub fn shared_shipper(&self) -> Arc<Mutex<Shipper>> {
        Arc::clone(&self.shipper)
    }
    /// The spools.
    pub fn spool(&self) -> &Pair {
        &self.spool
    }
    /// Counters.
    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }
    /// The sensor's clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }
    /// Whether the end was asked for.
    pub fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    /// Requests to read the rules again (SIGUSR2), for whoever can; once.
    pub fn reloads(&mut self) -> Option<Receiver<()>> {
        self.reloads.take()
    }
    /// What says which rules are in force, to share with another thread.
    pub fn rules_notice(&self) -> RulesNotice {
        RulesNotice { about: Arc::clone(&self.about), shipper: Arc::clone(&self.shipper) }
    }

    fn snapshots(&self) -> Arc<dyn Fn() -> Snapshot + Send + Sync> {
        let (telemetry, spool, about) = (Arc::clone(&self.telemetry), self.spool.clone(), Arc::clone(&self.about));
        let uplink = Arc::clone(&self.uplink);
        Arc::new(move || Snapshot {
            telemetry: Arc::clone(&telemetry),
            spool: spool.status(),
            uplink: lock(&uplink).as_ref().map(Uplink::status).unwrap_or_default(),
            about: lock(&about).clone(),
        })
    }

    fn start_heartbeat(&mut self) -> anyhow::Result<()> {
        let (stop, shipper, clock) = (Arc::clone(&self.stop), Arc::clone(&self.shipper), Arc::clone(&self.clock));
        let (snapshot, spool) = (self.snapshots(), self.spool.clone());
        let beat = move || {
            loop {
                let asked = stop.asked(); // then this is the last word
                let now = snapshot();
                let told: State = now.spool.state;
                say(&shipper, &*clock, &now);
                if asked {
                    return;
                }
                let interval = now.about.interval_s;
                // The wait may end early; the clock that counts is monotonic.
                let mut left = Duration::from_secs(interval.into());
                // A spool that fills up or empties is told at once, not at the end of the interval.
                while !left.is_zero() && !stop.asked() && spool.status().state == told {
                    let step = left.min(Duration::from_secs(1));
                    stop.wait(step);
                    left = left.saturating_sub(step);
                }
            }
        };
        let thread = std::thread::Builder::new().name("health".into()).spawn(beat).context("cannot start a thread")?;
        self.heartbeat = Some(thread);
        Ok(())
    }

    fn watch_signals(&mut self) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let _inside = self.runtime.enter();
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let (mut term, mut int, mut hup) =
            (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?);
        let mut usr2 = listen(SignalKind::user_defined2())?;
        // One that waits is enough: the reload that follows reads what is there then.
        let (reload, reloads) = sync_channel(1);
        self.reloads = Some(reloads);
        let (stop, shipper) = (Arc::clone(&self.stop), Arc::clone(&self.shipper));
        self.runtime.spawn(async move {
            loop {
                tokio::select! {
                    _ = term.recv() => stop.ask(),
                    _ = int.recv() => stop.ask(),
                    _ = usr2.recv() => {
                        let _ = reload.try_send(()); // full: one waits already; gone: nobody reloads here
                    }
                    _ = hup.recv() => {
                        let mut shipper = lock(&shipper);
                        if let Some(Err(e)) = shipper.log.as_mut().map(ReleaseLog::reopen) {
                            tracing::error!(error = %e, "the release log cannot be opened again; the old file is written on");
                        }
                    }
                }
            }
        });
        Ok(())
    }

    /// Says the last word, makes everything durable, offers it to the aggregator for a moment, and ends.
    pub fn close(mut self) {
        self.stop.ask();
        if let Some(thread) = self.heartbeat.take() {
            let _ = thread.join(); // a panic there was already reported
        }
        if let Err(e) = self.spool.commit() {
            tracing::error!(error = %e, "the last records could not be made durable");
        }
        let Self { runtime, uplink, spool, .. } = self;
        let running = lock(&uplink).take();
        if let Some(uplink) = running {
            runtime.block_on(uplink.stop());
        }
        runtime.shutdown_timeout(Duration::from_secs(1));
        spool.close();
        let left = spool.status();
        tracing::info!(records = left.records, "ended; records that wait in the spool go out at the next start");
    }
}

fn say(shipper: &Mutex<Shipper>, clock: &dyn Clock, s: &Snapshot) {
    let now = clock.now();
    let event = health::event(now, &s.about, &s.telemetry, &s.spool, &s.uplink);
    lock(shipper).ship(Class::Health, &event, now, None);
}

/// A lock that a panicked thread left behind is used on: counters and the spool keep their own invariants.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
