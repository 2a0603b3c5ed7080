// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The detection conformance cases: runs them, holds the result against the floor, writes the report by area.
//!
//! The cases are GPL data beside the checkout, never part of it. Must never commit what a case expects (the report names
//! cases, event types and counts only), and never lowers the floor.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{paths, run::check};

/// Arguments of `cargo xtask conformance`.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// The sensor to run; default: the development build, built first.
    #[arg(long)]
    sensor: Option<PathBuf>,
    /// Folder of the runner (`run.py`) and its cases.
    #[arg(long)]
    suite: Option<PathBuf>,
    /// Write docs/conformance.md, and raise the floor to this result.
    #[arg(long)]
    write: bool,
}

/// Where the floor stands: three figures that may only rise.
pub(crate) const FLOOR: &str = "xtask/conformance.floor";
const REPORT: &str = "docs/conformance.md";
/// Why cases do not pass, where somebody looked: `case: reason` a line, `#` begins a comment.
const WHY: &str = "xtask/conformance.why";

/// The figures that are held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures {
    /// Cases of stage `first` that pass.
    first: u32,
    /// Cases of all stages that pass.
    all: u32,
    /// Mean over areas of the share that passes, all stages.
    mean: f64,
}

impl Figures {
    /// Out of the floor file's text: `name = number` a line, `#` begins a comment.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut values = BTreeMap::new();
        for line in text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
            let (name, value) = line.split_once('=').with_context(|| format!("{line:?} is no `name = number`"))?;
            values.insert(name.trim(), value.trim().parse::<f64>().with_context(|| format!("in {line:?}"))?);
        }
        let of = |n: &str| values.get(n).copied().with_context(|| format!("{n} is missing"));
        Ok(Self { first: of("first")? as u32, all: of("all")? as u32, mean: of("mean")? })
    }
    fn text(&self) -> String {
        format!(
            "# Least results of the conformance cases; may only rise (`cargo xtask conformance --write`).\nfirst = {}\nall = {}\nmean = {:.3}\n",
            self.first, self.all, self.mean
        )
    }
    /// Which of the figures lies below `floor`.
    fn below(&self, floor: &Self) -> Vec<String> {
        let mut bad = Vec::new();
        for (name, mine, least) in [
            ("first", f64::from(self.first), f64::from(floor.first)),
            ("all", f64::from(self.all), f64::from(floor.all)),
            // Written with three digits.
            ("mean", self.mean + 0.0005, floor.mean),
        ] {
            if mine < least {
                bad.push(format!("{name} {mine:.3} is below {least:.3}"));
            }
        }
        bad
    }
    fn highest(&self, other: &Self) -> Self {
        Self { first: self.first.max(other.first), all: self.all.max(other.all), mean: self.mean.max(other.mean) }
    }
}

/// One case's result.
struct Case {
    name: String,
    area: String,
    stage: String,
    passed: bool,
    fault: String,
}

/// Runs the cases.
pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let suite = args.suite.clone().unwrap_or_else(|| paths::root().join("../shared/conformance"));
    if !suite.join("run.py").is_file() {
        eprintln!("not run: the conformance cases are not in {}", suite.display());
        return Ok(());
    }
    let sensor = match &args.sensor {
        Some(s) => s.clone(),
        None => {
            crate::run::build_bins()?;
            paths::debug_dir().join("lagewarte-sensor")
        }
    };
    let cases = cases(&suite, &sensor)?;
    let figures = figures(&cases);
    let floor_file = paths::root().join(FLOOR);
    let floor = Figures::parse(&fs::read_to_string(&floor_file)?).context(FLOOR)?;
    println!("{}", figures.text().lines().skip(1).collect::<Vec<_>>().join(", "));
    if args.write {
        fs::write(&floor_file, figures.highest(&floor).text())?;
        let why = why(&fs::read_to_string(paths::root().join(WHY))?, &cases)?;
        fs::write(paths::root().join(REPORT), report(&cases, &figures, &why))?;
    }
    let below = figures.below(&floor);
    ensure!(below.is_empty(), "conformance fell: {}", below.join(", "));
    Ok(())
}

fn cases(suite: &Path, sensor: &Path) -> anyhow::Result<Vec<Case>> {
    let folder = paths::target_dir().join("conformance");
    fs::create_dir_all(&folder)?;
    let results = folder.join("results.json");
    check(Command::new("python3").arg(suite.join("run.py")).arg("--sensor").arg(sensor).arg("--json").arg(&results))?;
    let results: BTreeMap<String, Value> = serde_json::from_slice(&fs::read(&results)?)?;
    ensure!(!results.is_empty(), "the runner reported no case");
    results
        .into_iter()
        .map(|(name, result)| {
            let case: Value = serde_json::from_slice(&fs::read(suite.join("cases").join(&name).join("case.json"))?)?;
            let text = |key: &str, default: &str| case[key].as_str().unwrap_or(default).to_owned();
            let faults = result["faults"].as_array().cloned().unwrap_or_default();
            Ok(Case {
                area: text("area", "other"),
                stage: text("stage", "first"),
                passed: result["ok"] == true,
                fault: faults.first().and_then(Value::as_str).map_or_else(String::new, fault),
                name,
            })
        })
        .collect()
}

/// `expected 2, got 0 of {...}` without what is expected; any other fault as it is.
fn fault(text: &str) -> String {
    let Some((counts, wanted)) = text.split_once(" of {") else {
        return text.chars().take(120).collect::<String>().replace('\n', " ");
    };
    let wanted: Value = serde_json::from_str(&format!("{{{wanted}")).unwrap_or_default();
    let event = wanted["event_type"].as_str().unwrap_or("event");
    format!("{event}: {counts}")
}

/// Reads the reasons; one for a case that passes, or that is none, is an error.
fn why(text: &str, cases: &[Case]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut reasons = BTreeMap::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let (name, reason) = line.split_once(": ").with_context(|| format!("{WHY}: {line:?} is no `case: reason`"))?;
        let failing = cases.iter().any(|c| c.name == name && !c.passed);
        ensure!(failing, "{WHY}: {name} passes, or is no case; take its line out");
        reasons.insert(name.to_owned(), reason.trim().to_owned());
    }
    Ok(reasons)
}

fn figures(cases: &[Case]) -> Figures {
    let passed =
        |stage: Option<&str>| cases.iter().filter(|c| c.passed && stage.is_none_or(|s| s == c.stage)).count() as u32;
    Figures { first: passed(Some("first")), all: passed(None), mean: mean(cases.iter()) }
}

/// Mean over areas of the share that passes.
fn mean<'a>(cases: impl Iterator<Item = &'a Case>) -> f64 {
    let shares = areas(cases);
    shares.values().map(|(ok, all)| f64::from(*ok) / f64::from(*all)).sum::<f64>() / shares.len().max(1) as f64
}

fn areas<'a>(cases: impl Iterator<Item = &'a Case>) -> BTreeMap<&'a str, (u32, u32)> {
    let mut areas = BTreeMap::new();
    for c in cases {
        let (ok, all) = areas.entry(c.area.as_str()).or_insert((0, 0));
        *ok += u32::from(c.passed);
        *all += 1;
    }
    areas
}

fn report(cases: &[Case], figures: &Figures, why: &BTreeMap<String, String>) -> String {
    let first = cases.iter().filter(|c| c.stage == "first").count();
    let mut out = format!(
        "# Conformance\n\nWritten by `cargo xtask conformance --write`; do not edit.\n\nThe detection cases (captures, rules, expected events of \
         Suricata's public test suite) are not part of this\nrepository. Where they lie beside the checkout, `cargo xtask test --only \
         conformance` runs them; the figures in\n`{FLOOR}` may not fall.\n\n| | pass | of | share |\n|---|---|---|---|\n"
    );
    let mut line = |name: &str, ok: u32, all: usize| {
        let _ = writeln!(out, "| {name} | {ok} | {all} | {:.0} % |", 100.0 * f64::from(ok) / all.max(1) as f64); // into a String
    };
    line("stage first", figures.first, first);
    line("all stages", figures.all, cases.len());
    let first = mean(cases.iter().filter(|c| c.stage == "first"));
    let _ = write!(
        out,
        "\nMean over areas: {:.3}; over the areas of stage first, by its cases alone: {first:.3}.\n\n## Areas\n\n\
         | area | pass | of |\n|---|---|---|\n",
        figures.mean
    );
    let areas = areas(cases.iter());
    let mut sorted: Vec<_> = areas.iter().collect();
    sorted.sort_by_key(|(name, (_, all))| (u32::MAX - all, **name));
    for (name, (ok, all)) in &sorted {
        let _ = writeln!(out, "| {name} | {ok} | {all} |");
    }
    out.push_str("\n## What does not pass\n\nCases by area, each with its first deviation: the event type, how many were expected, how many came;\nand why, where somebody looked.\n");
    let failing: BTreeSet<&str> = cases.iter().filter(|c| !c.passed).map(|c| c.area.as_str()).collect();
    for (name, _) in sorted.iter().filter(|(name, _)| failing.contains(**name)) {
        let _ = write!(out, "\n### {name}\n\n");
        for c in cases.iter().filter(|c| !c.passed && c.area == ***name) {
            let reason = why.get(&c.name).map_or_else(String::new, |w| format!(". {w}"));
            let breadth = if c.stage == "first" { "" } else { " (breadth)" };
            let _ = writeln!(out, "- {}{breadth}: {}{reason}", c.name, c.fault);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(area: &str, stage: &str, passed: bool) -> Case {
        Case {
            name: "n".into(),
            area: area.into(),
            stage: stage.into(),
            passed,
            fault: "alert: expected 1, got 0".into(),
        }
    }

    #[test]
    fn figures_count_and_a_fall_is_named() {
        let cases = [case("a", "first", true), case("a", "first", false), case("b", "breadth", true)];
        let f = figures(&cases);
        assert_eq!(f, Figures { first: 1, all: 2, mean: 0.75 });
        assert_eq!(Figures::parse(&f.text()).expect("own text"), f);
        assert!(f.below(&f).is_empty());
        let higher = Figures { first: 2, ..f };
        assert_eq!(f.below(&higher), ["first 1.000 is below 2.000"]);
        assert_eq!(f.highest(&higher), higher);
        let mut cases = cases;
        cases[1].name = "m".into();
        let text = report(&cases, &f, &why("# of\nm: no parser", &cases).expect("read"));
        assert!(text.contains("| a | 1 | 2 |") && text.contains("### a") && !text.contains("### b"), "{text}");
        assert!(text.contains("0.750; over") && text.contains("alone: 0.500."), "{text}");
        assert!(text.contains("- m: alert: expected 1, got 0. no parser\n"), "{text}");
        assert!(why("n: passes", &cases).is_err() && why("what", &cases).is_err());
    }

    #[test]
    fn a_fault_keeps_no_expectation() {
        let text = r#"expected 2, got 0 of {"event_type": "tls", "tls.sni": "secret"}"#;
        assert_eq!(fault(text), "tls: expected 2, got 0");
        assert_eq!(fault("exit 1: broken"), "exit 1: broken");
    }
}
