// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The soak: two aggregators, one engine, several sensors under load, and everything that can break breaks again and
//! again; at the end every event is accounted for, by code that shares nothing with the product.
//!
//! Which fault comes when follows from one number, the seed; what the processes make of it does not, so a seed repeats
//! the plan and not the run. Must never call a run good that produced nothing, or in which a planned fault never came.
//! Limits: all on one machine; kill -9 leaves the page cache alone, so power cuts are tested on the faulty filesystem
//! (spool and journal), not here.

mod faults;
mod feed;
mod land;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

pub use faults::Fault;
use faults::Faults;
use land::Land;

/// What a soak is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Folder under `target/e2e`.
    pub name: &'static str,
    /// kill -9 so often at least, over all processes.
    pub kills: u32,
    /// And go on so long at least.
    pub at_least: Duration,
    /// Events a second and sensor.
    pub rate: u32,
    /// How long the engine is away once.
    pub outage: Duration,
    /// The number that everything follows from.
    pub seed: u64,
}

/// How long everything may take to be stored once nothing breaks any more.
const SETTLE: Duration = Duration::from_secs(180);

/// Runs it; the report, whose `verdict.failures` is empty where the contract held.
///
/// # Errors
/// Where the world cannot be built, or a process cannot be started again.
pub fn run(plan: &Plan) -> anyhow::Result<Value> {
    let begun = Instant::now();
    let mut land = Land::build(plan)?;
    let feed = feed::Feed::start(land.sensors.iter().map(|s| s.eve.clone()).collect(), plan.rate)?;
    let mut faults = Faults::new(plan);
    while faults.kills() < plan.kills || begun.elapsed() < plan.at_least || !faults.all_happened() {
        faults.next(&mut land)?;
        land.look()?;
    }
    let fed = feed.stop()?;
    let calm = Instant::now();
    eprintln!(
        "soak: {} lines fed, {} kills; waiting until everything is stored",
        fed.iter().sum::<u64>(),
        faults.kills()
    );
    land.calm()?;
    let settled = land.settle(&fed, SETTLE)?;
    let settle_s = calm.elapsed().as_secs_f64();
    let input = json!({
        "sensors": land.sensors.iter().zip(&fed).map(|(s, n)| json!({
            "id": s.id, "base": s.base, "fed": n, "ledgers": s.reserved(), "spool": s.spool() })).collect::<Vec<_>>(),
        "syncs": land.syncs,
    });
    land.stop_sensors();
    let verdict = land.verdict(&input)?;
    let wire = land.take_down();
    ensure!(fed.iter().all(|n| *n > 0), "a sensor was fed nothing: this run shows nothing");
    Ok(json!({
        "seed": plan.seed,
        "seconds": begun.elapsed().as_secs(),
        "rate_per_sensor": plan.rate,
        "sensors": fed.len(),
        "lines_fed": fed.iter().sum::<u64>(),
        "kills": faults.kills(),
        "faults": faults.counts(),
        "wire": wire,
        "settled": settled,
        "settle_seconds": settle_s,
        "verdict": verdict,
    }))
}

/// The report for people, in Markdown.
pub fn markdown(report: &Value) -> String {
    let mut md = String::new();
    let faults: BTreeMap<String, u64> = serde_json::from_value(report["faults"].clone()).unwrap_or_default();
    let _ = writeln!(
        md, // writing to a String cannot fail; likewise below
        "seed {}, {} s, {} sensors at {} events/s each, {} events, {} kills\n\n| fault | times |\n|---|---|",
        report["seed"],
        report["seconds"],
        report["sensors"],
        report["rate_per_sensor"],
        report["lines_fed"],
        report["kills"]
    );
    for (name, n) in faults {
        let _ = writeln!(md, "| {name} | {n} |");
    }
    let _ = writeln!(md, "\n| at the end | |\n|---|---|");
    if let Value::Object(verdict) = &report["verdict"] {
        for (name, value) in verdict {
            let _ = writeln!(md, "| {} | {value} |", name.replace('_', " "));
        }
    }
    md
}

/// Writes the report: JSON beside Markdown of the same name.
///
/// # Errors
/// Where the files cannot be written.
pub fn write(report: &Value, path: &std::path::Path) -> anyhow::Result<()> {
    let write = |path: &std::path::Path, text: String| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write(&path.with_extension("json"), format!("{report:#}\n"))?;
    write(&path.with_extension("md"), markdown(report))
}
