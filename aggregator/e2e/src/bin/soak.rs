// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The soak as a program: `cargo xtask soak` builds the binaries and runs it. Exit code 1 where the contract did not hold.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use lagewarte_e2e::soak::{self, Plan};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let mut plan = Plan {
        name: "soak",
        kills: 300,
        at_least: Duration::ZERO,
        rate: 100,
        outage: Duration::from_secs(600),
        seed: fastrand::u64(..1_000_000),
    };
    let mut report: Option<PathBuf> = None;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        let number = || value.parse::<u64>().with_context(|| format!("{word} wants a number, and {value:?} is none"));
        match word.as_str() {
            "--kills" => plan.kills = u32::try_from(number()?)?,
            "--minutes" => plan.at_least = Duration::from_secs(60 * number()?),
            "--rate" => plan.rate = u32::try_from(number()?)?,
            "--outage" => plan.outage = Duration::from_secs(number()?),
            "--seed" => plan.seed = number()?,
            "--report" => report = Some(value.into()),
            _ => bail!("{word}? known are --kills, --minutes, --rate, --outage (seconds), --seed, --report FILE"),
        }
    }
    eprintln!("soak: seed {}, {} kills, engine away for {} s once", plan.seed, plan.kills, plan.outage.as_secs());
    let done = soak::run(&plan)?;
    if let Some(path) = report {
        soak::write(&done, &path)?;
    }
    println!("{done:#}");
    let failures = done["verdict"]["failures"].as_array().map_or(usize::MAX, Vec::len);
    Ok(failures == 0)
}
