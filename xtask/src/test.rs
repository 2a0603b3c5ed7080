// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Everything that CI checks, step by step; the first failure ends it with the step's name.
//!
//! Must never pass a step over in silence: what is not run is printed as not run, with the reason.

use std::{path::PathBuf, process::Command, time::Instant};

use anyhow::Context;

use crate::{
    engine, paths,
    run::{self, check},
    setup,
};

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only this step: fmt, clippy, unit, deny, conformance, damage, agreement, e2e.
    #[arg(long)]
    only: Option<String>,
}

type Step = (&'static str, fn() -> anyhow::Result<()>);

const STEPS: &[Step] = &[
    ("fmt", fmt),
    ("clippy", clippy),
    ("unit", unit),
    ("conformance", conformance),
    ("damage", damage),
    ("agreement", agreement),
    ("e2e", e2e),
    ("deny", deny),
];

/// Runs the steps.
pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    setup::ensure(setup::Need::Everything)?;
    let library = engine::ensure()?;
    let python = setup::python()?;
    let mut took = Vec::new();
    for (name, step) in STEPS.iter().filter(|(n, _)| args.only.as_deref().is_none_or(|o| o == *n)) {
        eprintln!("\n== {name}");
        let start = Instant::now();
        ENVIRONMENT.get_or_init(|| vec![("LAGEWARTE_ENGINE", library.clone()), ("LAGEWARTE_PYTHON", python.clone())]);
        step().with_context(|| format!("step {name} failed (alone: cargo xtask test --only {name})"))?;
        took.push(format!("{name} {:.0} s", start.elapsed().as_secs_f64()));
    }
    anyhow::ensure!(!took.is_empty(), "no step is called {:?}", args.only);
    eprintln!("\nall steps passed: {}", took.join(", "));
    Ok(())
}

static ENVIRONMENT: std::sync::OnceLock<Vec<(&'static str, PathBuf)>> = std::sync::OnceLock::new();

fn cargo(args: &[&str]) -> Command {
    let mut c = run::cargo(args);
    c.envs(ENVIRONMENT.get().into_iter().flatten().map(|(k, v)| (k, v)));
    c
}

fn fmt() -> anyhow::Result<()> {
    check(&mut cargo(&["fmt", "--all", "--check"]))
}

fn clippy() -> anyhow::Result<()> {
    check(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

fn unit() -> anyhow::Result<()> {
    run::build_bins()?;
    // All of them, also after a failure: a run is long, and one failure says little about the next.
    check(&mut cargo(&["test", "--workspace", "--exclude", "lagewarte-e2e", "--locked", "--no-fail-fast"]))
}

/// One after the other: each is a small world of its own on this machine. Of the whole workspace, as the unit tests are:
/// with `-p` cargo would choose other features for the dependencies and build them all again.
fn e2e() -> anyhow::Result<()> {
    let folder = paths::root().join("aggregator/e2e/tests");
    let mut names = Vec::new();
    for file in std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = file?.path();
        if path.extension().is_some_and(|e| e == "rs") {
            names.extend(path.file_stem().map(|n| n.to_string_lossy().into_owned()));
        }
    }
    anyhow::ensure!(!names.is_empty(), "no test in {}", folder.display());
    names.sort();
    let mut test = cargo(&["test", "--workspace", "--locked"]);
    for name in &names {
        test.args(["--test", name]);
    }
    check(test.args(["--", "--nocapture", "--test-threads", "1"]))
}

/// The detection cases beside the checkout, where they are: GPL data, so never part of it.
fn conformance() -> anyhow::Result<()> {
    crate::conformance::main(&crate::conformance::Args::default())
}

/// The committed captures, damaged some hundred times: the short form of what `benches/mutate.py` does by the ten thousand.
fn damage() -> anyhow::Result<()> {
    run::build_bins()?;
    check(
        Command::new("python3")
            .arg(paths::root().join("benches/mutate.py"))
            .arg("--sensor")
            .arg(paths::debug_dir().join("lagewarte-sensor"))
            .args(["--count", "500", "--keep"])
            .arg(paths::target_dir().join("damage-findings")),
    )
}

/// What the sensor reads in the committed captures against what tshark reads in them.
fn agreement() -> anyhow::Result<()> {
    run::build_bins()?;
    check(
        Command::new("python3")
            .arg(paths::root().join("rules/captures/agree.py"))
            .arg("--sensor")
            .arg(paths::debug_dir().join("lagewarte-sensor")),
    )
}

/// Licences, bans, sources. cargo-deny is built once into the cache; advisories need a database that is not reachable
/// everywhere, and are then printed as not run.
fn deny() -> anyhow::Result<()> {
    let home = paths::cache().join("cargo-deny");
    let program = home.join("bin/cargo-deny");
    if !program.is_file() {
        eprintln!("building cargo-deny once, into {}", home.display());
        check(
            cargo(&["install", "--quiet", "--locked", "--debug", "cargo-deny", "--root"])
                .arg(&home)
                .env("CARGO_TARGET_DIR", home.join("build")),
        )?;
        let _ = std::fs::remove_dir_all(home.join("build")); // only the program is kept
    }
    let deny = |checks: &[&str]| {
        let mut c = Command::new(&program);
        c.args(["--offline", "check", "--hide-inclusion-graph"]).args(checks).current_dir(paths::root());
        c
    };
    check(&mut deny(&["licenses", "bans", "sources"]))?;
    if check(Command::new(&program).args(["fetch", "db"]).current_dir(paths::root())).is_err() {
        eprintln!("not run: advisories (their database cannot be reached from here)");
        return Ok(());
    }
    check(&mut deny(&["advisories"]))
}
