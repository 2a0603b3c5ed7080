// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `replay`: a capture file through the pipeline into OUTDIR/eve.json, as it is: not pseudonymised, nothing leaves.
//!
//! Must never reach the spool or the network.

use std::{
    fs::File,
    io::{BufWriter, Write},
    sync::atomic::AtomicBool,
};

use anyhow::Context;
use lagewarte_event::eve::Record;

use super::Replay;
use crate::{
    config::{self, Strictness},
    pipeline::{self, Sink},
    wiring,
};

/// Writes events as lines.
struct Lines(BufWriter<File>);

impl Sink for Lines {
    fn record(&mut self, record: Record) -> anyhow::Result<()> {
        self.0.write_all(record.json.as_bytes())?;
        Ok(self.0.write_all(b"\n")?)
    }
}

impl Replay {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let common = &self.engine.common;
        let loaded = config::load(common.config.as_deref(), &common.sets, Strictness::Warn)?;
        for warning in loaded.warnings_text() {
            eprintln!("lagewarte-sensor: {warning}");
        }
        let settings = &loaded.settings;
        let mut options = wiring::options(settings, &self.engine, None);
        let mut source = wiring::capture(&self.capture, settings, &self.engine)?;
        options.decoder.checksums = wiring::checksums(&self.capture, settings, &self.engine)?;
        let rules = wiring::rules(settings, &self.engine, &options)?;
        for r in &rules.refused {
            eprintln!("lagewarte-sensor: {}:{}: refused: {}: {}", r.file, r.line, r.keyword, r.reason);
        }
        if self.engine.init_errors_fatal && !rules.refused.is_empty() {
            anyhow::bail!("{} rules refused and --init-errors-fatal given; nothing was replayed", rules.refused.len());
        }
        options.engine = Some(rules.engine);
        std::fs::create_dir_all(&self.out).with_context(|| format!("making {}", self.out.display()))?;
        let path = self.out.join(&settings.eve.filename);
        let file = File::create(&path).with_context(|| format!("writing {}", path.display()))?;
        let mut sink = Lines(BufWriter::with_capacity(1 << 18, file));
        let totals = pipeline::run(&mut source, &options, &mut sink, &AtomicBool::new(false))
            .with_context(|| format!("replaying {}", self.capture.display()))?;
        if settings.eve.stats {
            sink.record(pipeline::stats_record(&totals, None))?;
        }
        sink.0.flush().with_context(|| format!("writing {}", path.display()))?;
        if let Some(d) = &totals.capture.damage {
            eprintln!(
                "lagewarte-sensor: {}: damaged at byte {} ({}); the {} packets before it were processed",
                self.capture.display(),
                d.offset,
                d.reason,
                totals.read
            );
        }
        Ok(())
    }
}
