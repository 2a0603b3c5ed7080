// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The binary `lagewarte-aggregator`: command line, configuration, wiring.
//!
//! Glue only: every decision is in the rooms it wires. Errors go to standard error, one sentence that says what is
//! wrong, where, and what to do; answers go to standard output. Exit code 0: done; 1: not done; 2: wrong command line.

mod cli;
mod commands;
pub mod config;
mod loops;
mod metrics;
mod serve;
mod start;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;

/// First argument under which this program is the embedded ClickHouse: the aggregator's own child, not for people.
pub const ENGINE_ARGUMENT: &str = "__engine";

/// The whole program.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    if args.get(1).is_some_and(|a| a == ENGINE_ARGUMENT) {
        let code = lagewarte_store::engine::child_main(args.into_iter().skip(2));
        return u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    let cli = match cli::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print(); // nobody to tell where the terminal is gone
            return u8::try_from(e.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    match commands::run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}
