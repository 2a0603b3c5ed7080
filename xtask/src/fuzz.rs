// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Runs every fuzz target for some seconds, on the committed corpora; the first finding ends it.
//!
//! Not part of `cargo xtask test`. Uses the stable compiler with its nightly switches unlocked, which is what a sanitizer
//! needs. Must never write into a committed corpus: what it finds goes to the target directory.

use std::process::Command;

use anyhow::{Context, ensure};

use crate::{paths, run::check};

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only this target.
    #[arg(long)]
    only: Option<String>,
}

/// Folders of targets.
const FOLDERS: &[&str] = &[
    "rules/fuzz",
    "sensor/base/fuzz",
    "sensor/capture/fuzz",
    "sensor/decode/fuzz",
    "sensor/app/fuzz",
    "sensor/detect/fuzz",
    "sensor/spool/fuzz",
    "sensor/agent/fuzz",
    "aggregator/store/fuzz",
];

/// Every target with its folder, as the folders' manifests name them.
fn targets() -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut all = Vec::new();
    for folder in FOLDERS {
        let path = paths::root().join(folder).join("Cargo.toml");
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = |line: &str| Some(line.strip_prefix("path = \"fuzz_targets/")?.strip_suffix(".rs\"")?.to_owned());
        let found: Vec<_> = text.lines().filter_map(|l| Some((*folder, file(l.trim())?))).collect();
        ensure!(!found.is_empty(), "{} names no target", path.display());
        all.extend(found);
    }
    Ok(all)
}

/// Runs them.
pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let home = paths::cache().join("cargo-fuzz");
    let program = home.join("bin/cargo-fuzz");
    if !program.is_file() {
        eprintln!("building cargo-fuzz once, into {}", home.display());
        let install = ["install", "--quiet", "--locked", "--debug", "cargo-fuzz", "--root"];
        check(Command::new(&cargo).args(install).arg(&home).env("CARGO_TARGET_DIR", home.join("build")))?;
        let _ = std::fs::remove_dir_all(home.join("build")); // only the program is kept
    }
    let mut chosen = targets()?;
    chosen.retain(|(_, t)| args.only.as_deref().is_none_or(|o| o == t));
    ensure!(!chosen.is_empty(), "no target is called {:?}", args.only);
    let build = paths::target_dir().join("fuzz");
    for (folder, target) in &chosen {
        eprintln!("\n== {folder} {target}");
        let found = build.join("corpus").join(target);
        std::fs::create_dir_all(&found)?;
        check(
            Command::new(&program)
                .args(["fuzz", "run", "--fuzz-dir", folder, target])
                .arg(&found)
                .arg(paths::root().join(folder).join("corpus").join(target))
                .arg("--")
                .args([&format!("-max_total_time={}", args.seconds), "-timeout=10", "-rss_limit_mb=2048"])
                .current_dir(paths::root())
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_TARGET_DIR", &build),
        )
        .with_context(|| format!("{target} found something; its input lies in {folder}/artifacts/{target}"))?;
    }
    Ok(())
}
