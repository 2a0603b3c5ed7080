// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Reload: on SIGUSR2 the rule files are read again, compiled beside the running set, and swapped in between two batches.
//!
//! No packet waits for it and none is lost; flows keep their flowbits, hosts their marks, thresholds their counts, data sets
//! what rules put into them. Must never replace a set that runs by one that cannot be compiled or that holds no rule, and
//! never leave the freeing of the old set to a worker. The configuration is not read again.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use lagewarte_detect::Engine;

use crate::{
    cli,
    config::Settings,
    pipeline::Options,
    station::{Rules, RulesNotice, Stop},
    wiring,
};

/// How long the old set is waited for: a worker holds it for one batch. Threat: a worker that hangs and a thread that waits
/// for it for ever; the set is then freed by whoever lets go last.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a reload needs.
pub(super) struct Reloader<'r> {
    pub(super) settings: &'r Settings,
    pub(super) engine: &'r cli::Engine,
    pub(super) options: Options,
    /// Where matchers are kept.
    pub(super) matchers: Option<PathBuf>,
    pub(super) running: Arc<ArcSwap<Engine>>,
    pub(super) notice: RulesNotice,
}

impl Reloader<'_> {
    /// Serves requests until the end.
    pub(super) fn serve(&self, requests: &Receiver<()>, over: &Stop) {
        while !over.asked() {
            match requests.recv_timeout(Duration::from_millis(200)) {
                Ok(()) => match self.reload() {
                    Ok(rules) => tracing::info!(
                        loaded = rules.loaded,
                        refused = rules.refused,
                        ruleset = hex::encode(&rules.sha256),
                        "the rules were read again"
                    ),
                    Err(e) => tracing::error!(error = format!("{e:#}"), "the old rules stay in force"),
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn reload(&self) -> anyhow::Result<Rules> {
        let before = self.running.load_full();
        let new = wiring::rules(self.settings, self.engine, &self.options, Some(&before), self.matchers.as_deref())?;
        super::refused_rules(&new.refused, self.engine.init_errors_fatal)?;
        anyhow::ensure!(
            new.loaded > 0 || before.is_empty(),
            "the rule files hold no rule that can run: check them with lagewarte-sensor rules check"
        );
        let rules = Rules { sha256: new.sha256.to_vec(), loaded: new.loaded, refused: new.refused.len() };
        self.running.store(new.engine);
        self.notice.in_force(&rules);
        let mut waited = Duration::ZERO;
        while Arc::strong_count(&before) > 1 && waited < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
            waited += Duration::from_millis(10);
        }
        Ok(rules)
    }
}
