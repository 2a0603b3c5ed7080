// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The fault matrix at length: builds the binaries and runs `lagewarte-e2e`'s soak. Its short form is a test.
//!
//! Must never say that it went well where a fault that was planned could not be brought about: the report shows the count.

use std::{path::PathBuf, process::Command};

use crate::{
    engine, paths,
    run::{build_bins, check},
    setup,
};

/// Arguments of `cargo xtask soak`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// kill -9 so often at least, over all processes.
    #[arg(long, default_value_t = 300)]
    kills: u32,
    /// And go on for so many hours at least.
    #[arg(long, default_value_t = 0.0)]
    hours: f64,
    /// Events a second and sensor.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Seconds that the engine is away once.
    #[arg(long, default_value_t = 600)]
    outage: u32,
    /// The number that the plan follows from; without it one is chosen and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Writes the report to FILE.json and FILE.md.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// Runs it.
pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    setup::ensure(setup::Need::Everything)?;
    let library = engine::ensure()?;
    let python = setup::python()?;
    build_bins()?;
    let mut soak = Command::new(paths::debug_dir().join("soak"));
    soak.envs([("LAGEWARTE_ENGINE", library), ("LAGEWARTE_PYTHON", python)]);
    let minutes = (args.hours.max(0.0) * 60.0).round();
    for (name, value) in [
        ("--kills", args.kills.to_string()),
        ("--minutes", format!("{minutes:.0}")),
        ("--rate", args.rate.to_string()),
        ("--outage", args.outage.to_string()),
    ] {
        soak.args([name, &value]);
    }
    if let Some(seed) = args.seed {
        soak.args(["--seed", &seed.to_string()]);
    }
    if let Some(report) = &args.report {
        soak.arg("--report").arg(std::path::absolute(report)?);
    }
    check(&mut soak)
}
