// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `rules lint`, `rules explain`, `rules test` and `rules profile`, and `compare`: what those who write rules and those who
//! run them ask.
//!
//! Must never reach the spool or the network.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context as _, bail, ensure};
use arc_swap::ArcSwap;
use lagewarte_detect::{Engine, Output};
use lagewarte_event::eve::Record;
use lagewarte_rules::{
    Options as RuleOptions, RuleSet,
    explain::Explanation,
    lint::{Finding, Kind},
};
use serde::{Deserialize, Serialize};

use super::{Checksums, Common, Engine as EngineArgs};
use crate::{
    compare,
    config::{self, Settings, Strictness},
    pipeline::{self, Sink},
    wiring,
};

fn settings(common: &Common) -> anyhow::Result<Settings> {
    Ok(config::load(common.config.as_deref(), &common.sets, Strictness::Warn)?.settings)
}

/// Runs `rules lint`.
///
/// # Errors
/// Where the configuration is refused, or something is found and that is to be fatal.
pub(super) fn lint(files: &[PathBuf], json: bool, fatal: bool, common: &Common) -> anyhow::Result<()> {
    let set = wiring::load(files, &wiring::rule_options(&settings(common)?, None)?);
    let found = lagewarte_rules::lint::lint(&set);
    if json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        found.iter().for_each(|f| println!("{}", told(f)));
        println!("{} rules loaded, {} findings", set.rules.len(), found.len());
    }
    if fatal && !found.is_empty() {
        bail!("{} findings", found.len());
    }
    Ok(())
}

fn told(f: &Finding) -> String {
    let kind = match f.kind {
        Kind::Refused => "refused",
        Kind::DuplicateSid => "duplicate sid",
        Kind::NeverMatches => "never matches",
        Kind::Costly => "costly",
        Kind::NoEffect => "no effect",
        Kind::Nameless => "nameless",
        Kind::Odd => "odd",
    };
    let sid = f.sid.map_or_else(String::new, |s| format!(" sid {s}:"));
    let keyword = if f.keyword.is_empty() { String::new() } else { format!(" {}:", f.keyword) };
    format!("{}:{}: {kind}:{sid}{keyword} {}", f.file, f.line, f.message)
}

/// Runs `rules explain`.
///
/// # Errors
/// Where no rule has the sid; one that was refused is told with its reason.
pub(super) fn explain(sid: u32, files: &[PathBuf], json: bool, common: &Common) -> anyhow::Result<()> {
    let settings = settings(common)?;
    let files = if files.is_empty() { settings.rule_files.clone() } else { files.to_vec() };
    ensure!(!files.is_empty(), "name the rule files, or a configuration that does (-c)");
    let set = wiring::load(&files, &wiring::rule_options(&settings, None)?);
    let told: Vec<Explanation> = set.rules.iter().filter(|r| r.meta.sid == sid).map(|r| Explanation::of(r)).collect();
    if told.is_empty() {
        match set.refused.iter().find(|r| r.sid == Some(sid)) {
            Some(r) => bail!("the rule {sid} is refused: {}:{}: {}: {}", r.file, r.line, r.keyword, r.reason),
            None => bail!("no rule of these files has the sid {sid}"),
        }
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&told)?);
    } else {
        told.iter().for_each(|t| print!("{}", t.text()));
    }
    Ok(())
}

/// Counts alerts by sid, and keeps nothing else.
#[derive(Default)]
struct Counted(BTreeMap<u32, u64>);

impl Sink for Counted {
    fn record(&mut self, record: Record) -> anyhow::Result<()> {
        if record.event_type == "alert" {
            #[derive(Deserialize)]
            struct Event {
                alert: Alert,
            }
            #[derive(Deserialize)]
            struct Alert {
                signature_id: u32,
            }
            let event: Event = serde_json::from_str(&record.json)?;
            *self.0.entry(event.alert.signature_id).or_default() += 1;
        }
        Ok(())
    }
}

/// Rules over a capture, one worker; alerts by sid.
fn replayed(capture: &Path, settings: &Settings, engine: Arc<ArcSwap<Engine>>) -> anyhow::Result<BTreeMap<u32, u64>> {
    let args = EngineArgs {
        common: Common::default(),
        only_rules: Vec::new(),
        more_rules: Vec::new(),
        checksums: Some(Checksums::None),
        runmode: None,
        workers: Some(1),
        init_errors_fatal: false,
        bpf: Vec::new(),
    };
    let mut options = wiring::options(settings, &args, None);
    options.engine = Some(engine);
    let mut source = wiring::capture(capture, settings, &args)?;
    let mut counted = Counted::default();
    pipeline::run(&mut source, &options, &mut counted, &AtomicBool::new(false))
        .with_context(|| format!("replaying {}", capture.display()))?;
    Ok(counted.0)
}

fn compiled(set: RuleSet, output: Output) -> anyhow::Result<Arc<ArcSwap<Engine>>> {
    let engine = Engine::new(set, output).map_err(anyhow::Error::msg).context("compiling the rules")?;
    Ok(Arc::new(ArcSwap::from_pointee(engine)))
}

/// What became of a rule's folder.
#[derive(Debug, Serialize)]
struct Tested {
    folder: String,
    passed: bool,
    /// What is wrong, a sentence each.
    faults: Vec<String>,
}

/// `case.json` of a rule's folder; what is not there is told by the folder's files.
#[derive(Debug, Default, Deserialize)]
struct Case {
    sid: Option<u32>,
    /// How often it fires on `fires.pcap`; at least once where it is not said.
    fires: Option<u64>,
    home_net: Option<String>,
}

/// Runs `rules test`.
///
/// # Errors
/// Where a folder cannot be read, or a rule does not do what its folder says.
pub(super) fn test(folder: &Path, files: &[PathBuf], json: bool, common: &Common) -> anyhow::Result<()> {
    let settings = settings(common)?;
    let mut folders: Vec<PathBuf> = std::fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder {}", folder.display()))?
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| p.is_dir())
        .collect();
    folders.sort();
    ensure!(!folders.is_empty(), "{} has no folders; each is to hold a rule with its captures", folder.display());
    let mut tested = Vec::new();
    for path in folders {
        let faults = tested_folder(&path, files, &settings).unwrap_or_else(|e| vec![format!("{e:#}")]);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !json {
            println!("{name}: {}", if faults.is_empty() { "passed" } else { "FAILED" });
            faults.iter().for_each(|f| println!("  {f}"));
        }
        tested.push(Tested { folder: name, passed: faults.is_empty(), faults });
    }
    let failed = tested.iter().filter(|t| !t.passed).count();
    if json {
        println!("{}", serde_json::to_string_pretty(&tested)?);
    } else {
        println!("{} passed, {failed} failed", tested.len() - failed);
    }
    ensure!(failed == 0, "{failed} of {} folders failed", tested.len());
    Ok(())
}

fn tested_folder(folder: &Path, files: &[PathBuf], settings: &Settings) -> anyhow::Result<Vec<String>> {
    let named = |ending: &str| -> anyhow::Result<Vec<PathBuf>> {
        let all = std::fs::read_dir(folder)?.filter_map(|e| e.ok().map(|e| e.path()));
        let mut out: Vec<PathBuf> =
            all.filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().ends_with(ending))).collect();
        out.sort();
        Ok(out)
    };
    let case: Case = match std::fs::read(folder.join("case.json")) {
        Ok(bytes) => serde_json::from_slice(&bytes).context("case.json")?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Case::default(),
        Err(e) => return Err(e).context("case.json"),
    };
    let mut options: RuleOptions = wiring::rule_options(settings, None)?;
    if let Some(net) = &case.home_net {
        options.variables.set_address("HOME_NET", net);
        options.variables.set_address("EXTERNAL_NET", "!$HOME_NET");
    }
    let own = named(".rules")?;
    let set = wiring::load(if own.is_empty() { files } else { &own }, &options);
    let mut faults: Vec<String> =
        if own.is_empty() { Vec::new() } else { set.refused.iter().map(super::rules::line).collect() };
    let sids: BTreeSet<u32> = match case.sid {
        Some(sid) => BTreeSet::from([sid]),
        None if own.is_empty() => bail!("neither a rule file nor a case.json with a sid"),
        None => set.rules.iter().filter(|r| !r.noalert).map(|r| r.meta.sid).collect(),
    };
    let (fires, quiet) = (named("fires.pcap")?, named("quiet.pcap")?);
    ensure!(!fires.is_empty(), "no capture whose name ends in fires.pcap, on which the rule must fire");
    for sid in sids.iter().filter(|sid| !set.rules.iter().any(|r| r.meta.sid == **sid)) {
        faults.push(format!("no rule with sid {sid} is loaded"));
    }
    let engine = compiled(set, Output::default())?;
    for capture in fires.iter().chain(&quiet) {
        let alerts = replayed(capture, settings, Arc::clone(&engine))?;
        let name = capture.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for sid in &sids {
            let n = alerts.get(sid).copied().unwrap_or(0);
            let wrong = match (quiet.contains(capture), case.fires) {
                (true, _) => (n > 0).then_some(String::from("none")),
                (false, Some(wanted)) => (n != wanted).then(|| wanted.to_string()),
                (false, None) => (n == 0).then_some(String::from("at least one")),
            };
            faults.extend(wrong.map(|wanted| format!("{name}: {n} alerts of sid {sid}, wanted {wanted}")));
        }
    }
    Ok(faults)
}

/// Cost and matches of one rule.
#[derive(Debug, Serialize)]
struct Profiled {
    sid: u32,
    gid: u32,
    /// Alerts after thresholds.
    alerts: u64,
    /// How often it was verified.
    checks: u64,
    /// How often it matched.
    matches: u64,
    /// Time spent on verifying it.
    micros: u64,
    msg: String,
}

/// Runs `rules profile`.
///
/// # Errors
/// Where capture or configuration cannot be read.
pub(super) fn profile(
    capture: &Path,
    files: &[PathBuf],
    json: bool,
    most: usize,
    common: &Common,
) -> anyhow::Result<()> {
    let settings = settings(common)?;
    let files = if files.is_empty() { settings.rule_files.clone() } else { files.to_vec() };
    ensure!(!files.is_empty(), "name the rule files, or a configuration that does (-c)");
    let set = wiring::load(&files, &wiring::rule_options(&settings, None)?);
    let refused = set.refused.len();
    let names: BTreeMap<(u32, u32), String> =
        set.rules.iter().map(|r| ((r.meta.gid, r.meta.sid), r.meta.msg.clone())).collect();
    let engine = compiled(set, Output { profile: true, ..Output::default() })?;
    let alerts = replayed(capture, &settings, Arc::clone(&engine))?;
    let mut rows: Vec<Profiled> = engine
        .load()
        .profile()
        .into_iter()
        .map(|c| Profiled {
            sid: c.sid,
            gid: c.gid,
            alerts: alerts.get(&c.sid).copied().unwrap_or(0),
            checks: c.checks,
            matches: c.matches,
            micros: c.nanos / 1000,
            msg: names.get(&(c.gid, c.sid)).cloned().unwrap_or_default(),
        })
        .collect();
    rows.sort_by_key(|r| std::cmp::Reverse((r.micros, r.checks)));
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!("{:>10} {:>10} {:>10} {:>8}  {:<12} msg", "µs", "checks", "matches", "alerts", "sid");
    for r in rows.iter().take(most) {
        println!("{:>10} {:>10} {:>10} {:>8}  {:<12} {}", r.micros, r.checks, r.matches, r.alerts, r.sid, r.msg);
    }
    println!("{} rules were looked at, {} loaded, {refused} refused", rows.len(), names.len());
    Ok(())
}

/// Runs `compare`.
///
/// # Errors
/// Where a file cannot be read, or fewer rules agree than wanted.
pub(super) fn compared(
    [ours, theirs]: [&Path; 2],
    ignored: &[u32],
    most: usize,
    at_least: Option<f64>,
    json: bool,
) -> anyhow::Result<()> {
    let c = compare::files(ours, theirs, &ignored.iter().copied().collect(), most)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&c)?);
    } else {
        print!("{}", c.text());
    }
    if let Some(wanted) = at_least {
        let got = c.agreement();
        ensure!(got >= wanted, "{got:.1} % of the rules have the same number of alerts, {wanted} % are wanted");
    }
    Ok(())
}
