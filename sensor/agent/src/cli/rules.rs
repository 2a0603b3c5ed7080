// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `rules check`, and how refused rules are told in every command.

use std::path::PathBuf;

use anyhow::bail;
use lagewarte_rules::Refusal;

use super::Common;
use crate::{
    config::{self, Strictness},
    wiring,
};

/// Most refused rules written out by `replay` and `run`; `rules check` writes all.
const MAX_SHOWN: usize = 200;

/// Tells refused rules on stderr.
///
/// # Errors
/// Where there are any and they are to be fatal.
pub(super) fn refused_rules(refused: &[Refusal], fatal: bool) -> anyhow::Result<()> {
    refused.iter().take(MAX_SHOWN).for_each(|r| eprintln!("{}", line(r)));
    if refused.len() > MAX_SHOWN {
        eprintln!("… and {} more; lagewarte-sensor rules check FILE shows all", refused.len() - MAX_SHOWN);
    }
    if fatal && !refused.is_empty() {
        bail!("{} refused and --init-errors-fatal was given: nothing was started", rules(refused.len()));
    }
    Ok(())
}

fn line(r: &Refusal) -> String {
    let sid = r.sid.map_or_else(String::new, |sid| format!(" sid {sid}:"));
    let keyword = if r.keyword.is_empty() { String::new() } else { format!(" {}:", r.keyword) };
    format!("{}:{}: rule refused:{sid}{keyword} {}", r.file, r.line, r.reason)
}

fn rules(n: usize) -> String {
    if n == 1 { "1 rule".into() } else { format!("{n} rules") }
}

/// Runs `rules check`.
///
/// # Errors
/// Where the configuration is refused, or rules are and that is to be fatal.
pub(super) fn check(files: &[PathBuf], json: bool, fatal: bool, common: &Common) -> anyhow::Result<()> {
    let loaded = config::load(common.config.as_deref(), &common.sets, Strictness::Warn)?;
    let report = lagewarte_rules::check(files, &wiring::rule_options(&loaded.settings)?);
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.refused.iter().for_each(|r| println!("{}", line(r)));
        report.warnings.iter().for_each(|r| println!("{}", line(r).replacen("rule refused", "warning", 1)));
        println!(
            "{} would run, {} would not. Hash of the set: {}",
            rules(report.loaded),
            report.refused.len(),
            report.sha256
        );
    }
    if fatal && !report.refused.is_empty() {
        bail!("{} refused", rules(report.refused.len()));
    }
    Ok(())
}
