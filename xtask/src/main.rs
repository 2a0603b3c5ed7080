// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Project commands: `cargo xtask setup | engine | test | conformance | coverage | fuzz | soak | demo`.
//!
//! Must never be needed at run time of the product, and never change a source file unasked.
#![expect(clippy::disallowed_methods, reason = "a build tool measures wall time; nothing here is on the packet path")]

mod conformance;
mod coverage;
mod demo;
mod engine;
mod fuzz;
mod paths;
mod run;
mod setup;
mod soak;
mod test;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Lagewarte's project commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what the machine lacks (through apt where this is root, else prints the command) and the engine.
    Setup,
    /// Fetches and verifies the embedded ClickHouse engine; prints its path.
    Engine,
    /// Everything that CI checks.
    Test(test::Args),
    /// The detection conformance cases: result, floor, report.
    Conformance(conformance::Args),
    /// Which lines of the parsers their own tests run: table, floor, report.
    Coverage(coverage::Args),
    /// Every fuzz target for some seconds.
    Fuzz(fuzz::Args),
    /// Everything breaks again and again under load, and at the end every event is accounted for.
    Soak(soak::Args),
    /// The whole chain on one machine: engine, aggregator, sensors on real captures, warnings.
    Demo(demo::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Setup => setup::ensure(setup::Need::Everything).and_then(|()| engine::ensure().map(drop)),
        Command::Engine => engine::ensure().map(|p| println!("{}", p.display())),
        Command::Test(args) => test::main(&args),
        Command::Conformance(args) => conformance::main(&args),
        Command::Coverage(args) => coverage::main(&args),
        Command::Fuzz(args) => fuzz::main(&args),
        Command::Soak(args) => soak::main(&args),
        Command::Demo(args) => demo::main(&args),
    }
}
