// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `tail EVE.json`: see [`crate::tail`].

use std::time::Duration;

use anyhow::Context as _;

use super::{From, Tail};
use crate::{
    config::{self, Strictness},
    station::{Prepared, Rules, Station},
    tail::{self, Position},
};

impl Tail {
    /// Runs it, until a signal, or with `--once` until everything is acknowledged.
    ///
    /// # Errors
    /// What is missing or wrong at the start, or a file that can no longer be read.
    pub fn run(self) -> anyhow::Result<()> {
        let loaded = config::load(self.common.config.as_deref(), &self.common.sets, Strictness::Refuse)?;
        loaded.warnings_text().iter().for_each(|w| eprintln!("{w}"));
        let settings = &loaded.settings;
        let dir = self
            .file
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .map_or_else(|| ".".into(), std::path::Path::to_owned);
        let dir = dir.canonicalize().with_context(|| {
            format!("there is no directory {}: name the eve.json that Suricata writes", dir.display())
        })?;
        let file = dir.join(self.file.file_name().context("name a file, not a directory")?);
        let prepared = Prepared::open(settings)?;
        let position = Position::load(&settings.own.state_dir, &file)?;
        let recovered = position.recovered(&prepared.spool).context("reading the spool")?;
        let station = prepared.start(&Rules::default())?;
        let done = follow(&station, position, recovered, &self);
        station.close();
        done
    }
}

fn follow(station: &Station, position: Position, recovered: tail::Recovered, how: &Tail) -> anyhow::Result<()> {
    let mut tail = tail::Tail::new(station, position, recovered, how.from == From::End)?;
    tail.run(how.once)?;
    // What was shipped goes out before the process ends; an aggregator that is away is waited for.
    while how.once && station.spool().status().records > 0 && !station.stop().wait(Duration::from_millis(20)) {}
    Ok(())
}
