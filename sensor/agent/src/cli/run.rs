// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `run`: packets from an interface, or from captures played as if live, through the pipeline and the door to the spool.
//!
//! Must never hand an event to anything but the [`Shipper`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{bail, ensure};
use arc_swap::ArcSwap;
use lagewarte_base::{clock::Clock, time::Timestamp};
use lagewarte_capture::{Live, Source};
use lagewarte_event::{
    Class,
    eve::{JsonWriter, Record},
};

use super::{Run, refused_rules, reload::Reloader};
use crate::{
    config::{self, Settings, Strictness},
    pipeline::{self, LiveOptions, Options, Paced, Played, Sink, Totals},
    shadow::{self, Shadow},
    shipper::Shipper,
    station::{self, Prepared, Station, Stop},
    telemetry::{Capture, Telemetry},
    wiring,
};

/// Seconds between two looks at the pipeline's counts.
const COUNT_S: u32 = 1;

impl Run {
    /// Runs it until a signal, or with `--once` to the end of the captures.
    ///
    /// # Errors
    /// What is missing or wrong at the start, or a line that went away.
    pub fn run(self) -> anyhow::Result<()> {
        let common = &self.engine.common;
        let loaded = config::load(common.config.as_deref(), &common.sets, Strictness::Refuse)?;
        loaded.warnings_text().iter().for_each(|w| eprintln!("{w}"));
        let settings = &loaded.settings;
        let interface = self.interface.clone().or_else(|| settings.interface.clone());
        let interface = interface.filter(|_| self.captures.is_empty());
        if interface.is_none() && self.captures.is_empty() {
            bail!("nothing to listen on: name an interface with -i or under af-packet.interface, or captures with -r");
        }
        let pace = self.pace.unwrap_or(1.0);
        ensure!(pace.is_finite() && pace > 0.0, "--pace {pace}: a number above 0 is wanted; 1 is as recorded");

        let prepared = Prepared::open(settings)?;
        let mut options = wiring::options(settings, &self.engine, interface.as_deref());
        let beside = settings.own.shadow.as_ref().map(|s| shadow::Prepared::open(s, options.decoder)).transpose()?;
        options.pcap_cnt = false;
        wiring::file_store(settings, &settings.own.state_dir, &mut options)?;
        let matchers = settings.matchers(Some(&settings.own.state_dir));
        let rules = wiring::rules(settings, &self.engine, &options, None, matchers.as_deref())?;
        refused_rules(&rules.refused, self.engine.init_errors_fatal)?;
        if rules.loaded == 0 {
            tracing::warn!("no rule is in force: name rule files under rule-files, or with -S");
        }
        let in_force =
            station::Rules { sha256: rules.sha256.to_vec(), loaded: rules.loaded, refused: rules.refused.len() };
        let running = Arc::new(ArcSwap::new(rules.engine));
        options.engine = Some(Arc::clone(&running));
        // Opened before the station starts, so that a missing interface is an error and not a blind sensor.
        let (mut source, clock) = self.source(settings, interface.as_deref(), pace)?;
        options.live = Some(LiveOptions { clock, interval_s: COUNT_S });

        let mut station = prepared.start(&in_force)?;
        let mut beside = beside.map(|b| b.start(station.clock(), station.telemetry())).transpose()?;
        if let Some(beside) = &mut beside {
            source = beside.tap(source);
        }
        let reloader = Reloader {
            settings,
            engine: &self.engine,
            options: Options { engine: None, live: None, ..options.clone() },
            matchers,
            running,
            notice: station.rules_notice(),
        };
        let requests = station.reloads();
        let mut out = Out {
            shipper: station.shared_shipper(),
            telemetry: Arc::clone(station.telemetry()),
            settings: settings.clone(),
            beside: beside.as_ref().map(Shadow::ours),
        };
        let over = Stop::default();
        let done = std::thread::scope(|threads| {
            if let Some(requests) = requests {
                let (reloader, over) = (&reloader, &over);
                threads.spawn(move || reloader.serve(&requests, over));
            }
            let done = pipeline::run(&mut *source, &options, &mut out, station.stop().flag());
            if let Ok(totals) = &done {
                out.count(totals);
                idle(&station, !self.captures.is_empty(), self.once);
            }
            over.ask();
            done
        });
        drop((source, out)); // who feeds the comparison
        if let Some(beside) = beside {
            beside.close();
        }
        station.close();
        done.map(|_| ())
    }

    /// Where packets come from, and the clock of that line.
    fn source(
        &self,
        settings: &Settings,
        interface: Option<&str>,
        pace: f64,
    ) -> anyhow::Result<(Box<dyn Source + Send>, Arc<dyn Clock>)> {
        let clock: Arc<dyn Clock> = Arc::new(lagewarte_base::clock::SystemClock);
        if let Some(interface) = interface {
            let bpf = if self.engine.bpf.is_empty() { settings.bpf.clone() } else { Some(self.engine.bpf.join(" ")) };
            let options = lagewarte_capture::Options { filter: bpf, ..Default::default() };
            return Ok((Box::new(Live::open(interface, &options)?), clock));
        }
        let files = self.captures.iter().map(|path| wiring::capture(path, settings, &self.engine));
        let files = files.collect::<anyhow::Result<Vec<_>>>()?;
        let [start_at, play_at] = [self.start_at, self.play_at].map(|t| t.map(Timestamp::from_micros));
        let line = Arc::new(Played::new(clock, pace, start_at, play_at));
        Ok((Box::new(Paced::new(files, Arc::clone(&line))?), line))
    }
}

/// A played capture that has ended is a line gone quiet: the sensor goes on saying that it lives.
fn idle(station: &Station, played: bool, once: bool) {
    while played && !once && !station.stop().wait(Duration::from_secs(1)) {}
    // What was made goes out before the process ends; an aggregator that is away is waited for.
    while once && !station.stop().asked() {
        let held = station.spool().commit().is_err() || station.spool().status().records > 0;
        if !held {
            return;
        }
        station.stop().wait(Duration::from_millis(20));
    }
}

/// The pipeline's sink.
struct Out {
    shipper: Arc<Mutex<Shipper>>,
    telemetry: Arc<Telemetry>,
    settings: Settings,
    /// The comparison with another engine: it takes alerts as they are.
    beside: Option<shadow::Ours>,
}

impl Out {
    fn shipper(&self) -> MutexGuard<'_, Shipper> {
        self.shipper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, t: &Totals) {
        let mut w = JsonWriter::with_capacity(2048);
        w.open();
        pipeline::write_stats(&mut w, t, 0); // uptime is written by the health event
        w.close();
        let stats = serde_json::from_str(&w.finish()).ok();
        let mut dropped = BTreeMap::new();
        for (stage, reason, n) in [
            ("capture", "kernel", t.capture.dropped),
            ("dispatch", "queue-full", t.shed),
            ("decode", "link-type", t.unsupported),
            ("decode", "invalid", t.decoder.named().find(|(n, _)| *n == "invalid").map_or(0, |(_, n)| n)),
            ("flow", "evicted", t.flow.evicted),
            ("flow", "memcap", t.flow_dropped),
            ("detect", "candidates", t.detect.dropped),
            ("detect", "packet-alert-max", t.ordered.overflow),
            ("app", "magic-limited", t.app.magic_limited),
            ("app", "magic-failed", t.app.magic_failed),
            ("detect", "gave-up", t.detect.gave_up),
            ("detect", "pcre-limited", t.detect.pcre_limited),
            ("detect", "thresholds-forgotten", t.ordered.forgotten),
            ("detect", "marks-forgotten", t.detect.marks_forgotten),
            ("detect", "marks-out-of-turn", t.detect.out_of_turn),
        ] {
            if n > 0 {
                dropped.insert((stage, reason), n);
            }
        }
        self.telemetry.set_capture(Capture {
            packets: t.capture.received.max(t.read),
            drops: t.capture.dropped,
            stats,
            dropped,
        });
    }
}

impl Sink for Out {
    fn record(&mut self, record: Record) -> anyhow::Result<()> {
        if record.class != Class::Alert || self.settings.eve.alert {
            let Record { class, json, observed, ruleset, .. } = &record;
            self.shipper().ship(*class, json, *observed, ruleset.as_ref());
        }
        if let Some(beside) = self.beside.as_ref().filter(|_| record.event_type == "alert") {
            beside.take(&record.json);
        }
        Ok(())
    }

    fn totals(&mut self, totals: &Totals, _now: Timestamp) -> anyhow::Result<()> {
        self.count(totals);
        Ok(())
    }
}
