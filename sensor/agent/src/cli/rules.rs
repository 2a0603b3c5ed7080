// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `rules check`, and how refused rules are told in every command.

use std::path::{Path, PathBuf};

use anyhow::bail;
use lagewarte_base::fs::{Fs as _, RealFs};
use lagewarte_rules::Refusal;

use super::Common;
use crate::{
    config::{self, Strictness},
    wiring,
};

/// Most refused rules written out by `replay` and `run`; `rules check` writes all.
const MAX_SHOWN: usize = 200;

/// Largest rule file that is read again to show a place. Threat: a thousand refused rules in a file of hundreds of
/// megabytes, read for each.
const MAX_READ_AGAIN: usize = 4 << 20;

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

pub(super) fn line(r: &Refusal) -> String {
    let sid = r.sid.map_or_else(String::new, |sid| format!(" sid {sid}:"));
    let keyword = if r.keyword.is_empty() { String::new() } else { format!(" {}:", r.keyword) };
    format!("{}:{}: rule refused:{sid}{keyword} {}", r.file, r.line, r.reason)
}

/// Most characters of a line that is shown; the place is in their middle.
const SHOWN: usize = 100;

/// The line in question with a caret under the place; empty where the file is gone or too large to be read again.
fn pointed(r: &Refusal) -> String {
    let Ok(bytes) = RealFs.read(Path::new(&r.file), 0, MAX_READ_AGAIN) else { return String::new() };
    let text = String::from_utf8_lossy(&bytes);
    let Some((line, column)) = lagewarte_rules::explain::locate(&text, r) else { return String::new() };
    let from = column.saturating_sub(SHOWN / 2).max(1) - 1;
    let shown: String = text
        .lines()
        .nth(line - 1)
        .unwrap_or_default()
        .chars()
        .skip(from)
        .take(SHOWN)
        .map(|c| if c.is_control() { ' ' } else { c }) // a tab is as wide as the caret's blank
        .collect();
    format!("\n  {line:>5} | {shown}\n        | {}^", " ".repeat(column - 1 - from))
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
    let set = wiring::load(files, &wiring::rule_options(&loaded.settings, None)?);
    let report = lagewarte_rules::Report::of(set);
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.refused.iter().for_each(|r| println!("{}{}", line(r), pointed(r)));
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
