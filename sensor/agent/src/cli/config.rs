// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `config check`, `config reference`.

use clap::Subcommand;

use super::Common;
use crate::config::{self, Strictness};

/// Work on the configuration.
#[derive(Subcommand, Debug)]
pub enum Config {
    /// Read a configuration as `run` would and say what is wrong with it
    Check {
        /// Configuration
        #[command(flatten)]
        common: Common,
    },
    /// Print the reference of all keys as Markdown
    Reference,
}

impl Config {
    /// Runs it.
    ///
    /// # Errors
    /// Where the configuration is refused.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Check { common } => {
                let loaded = config::load(common.config.as_deref(), &common.sets, Strictness::Refuse)?;
                loaded.warnings_text().iter().for_each(|w| eprintln!("{w}"));
                println!("The configuration is fine.");
            }
            Self::Reference => print!("{}", config::reference::markdown()),
        }
        Ok(())
    }
}
