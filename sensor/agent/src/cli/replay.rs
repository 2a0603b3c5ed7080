// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `replay`: a capture file through the pipeline into OUTDIR/eve.json, as it is: not pseudonymised, nothing leaves.
//!
//! Must never reach the spool or the network.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context as _, anyhow};
use arc_swap::ArcSwap;
use lagewarte_event::{Class, eve::Record};

use super::{Replay, refused_rules};
use crate::{
    config::{self, Strictness},
    pipeline::{self, Sink},
    wiring,
};

/// Writes events as lines.
struct Lines {
    file: BufWriter<File>,
    path: PathBuf,
    alerts: bool,
}

impl Lines {
    fn failed(&self, e: &std::io::Error) -> anyhow::Error {
        anyhow!(
            "cannot write {}: {e}. Make room, or name another directory with -l; what was written until here is whole but for its last line",
            self.path.display()
        )
    }
}

impl Sink for Lines {
    fn record(&mut self, record: Record) -> anyhow::Result<()> {
        if record.class == Class::Alert && !self.alerts {
            return Ok(());
        }
        let written = self.file.write_all(record.json.as_bytes()).and_then(|()| self.file.write_all(b"\n"));
        written.map_err(|e| self.failed(&e))
    }
}

impl Replay {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let common = &self.engine.common;
        let loaded = config::load(common.config.as_deref(), &common.sets, Strictness::Warn)?;
        loaded.warnings_text().iter().for_each(|w| eprintln!("{w}"));
        let settings = &loaded.settings;
        let mut options = wiring::options(settings, &self.engine, None);
        let mut source = wiring::capture(&self.capture, settings, &self.engine)?;
        options.decoder.checksums = wiring::checksums(&self.capture, settings, &self.engine)?;
        let rules = wiring::rules(settings, &self.engine, &options, None, settings.matchers(None).as_deref())?;
        refused_rules(&rules.refused, self.engine.init_errors_fatal)?;
        options.engine = Some(Arc::new(ArcSwap::new(rules.engine)));
        std::fs::create_dir_all(&self.out).with_context(|| {
            format!("cannot make the directory {}: name one that can be written with -l", self.out.display())
        })?;
        wiring::file_store(settings, &self.out, &mut options)?;
        let path = self.out.join(&settings.eve.filename);
        let file = File::create(&path).with_context(|| {
            format!("cannot write {}: name a directory that can be written with -l", path.display())
        })?;
        let file = BufWriter::with_capacity(1 << 18, file);
        if !settings.eve.enabled {
            eprintln!("outputs.eve-log.enabled is off: {} stays empty", path.display());
            return Ok(());
        }
        let mut sink = Lines { file, path, alerts: settings.eve.alert };
        let totals = pipeline::run(&mut source, &options, &mut sink, &AtomicBool::new(false))
            .with_context(|| format!("replaying {}", self.capture.display()))?;
        if settings.eve.stats && settings.stats {
            sink.record(pipeline::stats_record(&totals, None))?;
        }
        sink.file.flush().map_err(|e| sink.failed(&e))?;
        if totals.unsupported > 0 {
            let why = lagewarte_capture::Error::LinkType(
                self.capture.display().to_string(),
                totals.unsupported_linktype.into(),
            );
            eprintln!("{why}; {} frames were counted and not looked at", totals.unsupported);
        }
        if let Some(d) = &totals.capture.damage {
            eprintln!(
                "{}: damaged at byte {} ({}): the {} packets before it were processed, what follows cannot be read. Record it again, or cut it with editcap",
                self.capture.display(),
                d.offset,
                d.reason,
                totals.read
            );
        }
        Ok(())
    }
}
