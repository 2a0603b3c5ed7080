// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Latency under load: real sensors on paced captures make a given number of alerts a second, municipalities poll their
//! feeds and acknowledge, and every hop's p50 and p99 is printed.
//!
//! `cargo run -p lagewarte-e2e --bin load -- --rate 1000 --seconds 60`, with the two binaries built (measure with
//! `--release` ones: `LAGEWARTE_BIN_DIR=target/release`). Must never be read as a capacity test, and its figures hold for
//! an otherwise idle machine only. Limits: all processes on one machine, so that one clock gives all times.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, bail, ensure};
use lagewarte_e2e::{Constituent, Options, Process, Sensor, SensorRow, World, output, python, root, wait_for};
use serde_json::{Value, json};

/// Octet of the network, constituent, sensor.
const HALLS: [(&str, &str, &str, &str); 4] = [
    ("81", "alt", "gw-alt", "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f1b01"),
    ("82", "bach", "gw-bach", "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f1b02"),
    ("83", "clus", "gw-clus", "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f1b03"),
    ("84", "dorf", "gw-dorf", "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f1b04"),
];
/// As in municipality.py.
const FEED_POLL_MS: u64 = 500;
const CAMPAIGN_K: u32 = 4;

struct Args {
    rate: u32,
    seconds: u32,
    campaigns: u32,
}

fn args() -> anyhow::Result<Args> {
    let mut named =
        BTreeMap::from([("--rate".to_owned(), 1000), ("--seconds".to_owned(), 60), ("--campaigns".to_owned(), 25)]);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let Some(value) = named.get_mut(&word) else { bail!("{word}? known are --rate N, --seconds N, --campaigns N") };
        *value = words.next().and_then(|v| v.parse().ok()).with_context(|| format!("{word} wants a number"))?;
    }
    let a = Args { rate: named["--rate"], seconds: named["--seconds"], campaigns: named["--campaigns"] };
    ensure!(a.rate >= 4 && a.seconds >= 15, "at least --rate 4 and --seconds 15");
    Ok(a)
}

fn main() -> anyhow::Result<()> {
    let a = args()?;
    let mut w = World::new(Options {
        name: "load",
        constituents: vec![
            Constituent { id: "alt", ags: "97151001", networks: &["10.81.0.0/16"] },
            Constituent { id: "bach", ags: "97151002", networks: &["10.82.0.0/16"] },
            Constituent { id: "clus", ags: "97151003", networks: &["10.83.0.0/16"] },
            Constituent { id: "dorf", ags: "97151004", networks: &["10.84.0.0/16"] },
        ],
        sensors: HALLS
            .iter()
            .zip([&["alt"], &["bach"], &["clus"], &["dorf"]])
            .map(|((_, _, name, id), serves)| SensorRow { name, id, serves })
            .collect(),
        campaign_k: CAMPAIGN_K,
        more: String::new(),
    })?;
    eprintln!("starting the aggregator");
    w.start()?;
    let rules = w.dir.join("load.rules").to_string_lossy().into_owned();
    w.tool("load.py", &["rules", &rules, &a.campaigns.to_string()])?;
    eprintln!(
        "{} sensors, {} alerts a second together, {} s, {} campaigns",
        HALLS.len(),
        a.rate,
        a.seconds,
        a.campaigns
    );
    let mut readers = Vec::new();
    let mut prepared = Vec::new();
    for (n, (octet, constituent, name, _)) in HALLS.into_iter().enumerate() {
        let s = w.prepare(name, &format!("[10.{octet}.0.0/16]"), "")?;
        w.enrol(&s)?;
        let capture = s.dir.join("line.pcap").to_string_lossy().into_owned();
        let rate = f64::from(a.rate) / 4.0;
        let offset = format!("{:.1}", 0.1 * f64::from(u32::try_from(n)?));
        let (rate, seconds, campaigns) = (rate.to_string(), a.seconds.to_string(), a.campaigns.to_string());
        w.tool("load.py", &["capture", &capture, octet, &rate, &seconds, &campaigns, &offset])?;
        readers.push(reader(&w, constituent, a.seconds + 60)?);
        prepared.push((s, capture));
    }
    // All begin at the same moment, so that a campaign's last packet is known.
    let start = i64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_micros())? + 4_000_000;
    let mut running: Vec<(Process, Sensor)> = Vec::new();
    for (s, capture) in prepared {
        let start = start.to_string();
        let p = w.start_sensor(&s, &["run", "-r", &capture, "--start-at", &start, "-S", &rules])?;
        running.push((p, s));
    }
    let wanted = u64::from(a.rate / 4 * 4) * u64::from(a.seconds) + 4 * u64::from(a.campaigns);
    let patience = Duration::from_secs(u64::from(a.seconds) + 120);
    let mut stored = 0;
    let all = wait_for("every alert in the store", patience, || {
        std::thread::sleep(Duration::from_secs(1)); // the measurement must not be its own load
        stored = w.sql("SELECT count() FROM alert")?[0][0].parse()?;
        Ok(stored >= wanted)
    });
    std::thread::sleep(Duration::from_secs(5)); // mails and acknowledgements of the last campaign
    let mut report: Value = serde_json::from_str(&w.tool("load.py", &["report", &w.data_dir().to_string_lossy()])?)?;
    report["alerts_expected"] = json!(wanted);
    report["alerts_left_the_sensors"] = json!(left(&running)?);
    report["poll_intervals_ms"] = json!({
        "spool group commit": 50, "ingest flush": 100, "picture": 250, "feed (municipality's poll)": FEED_POLL_MS });
    drop((readers, running));
    println!("{}", serde_json::to_string_pretty(&report)?);
    all?;
    ensure!(stored == wanted, "{stored} alerts stored, {wanted} expected");
    Ok(())
}

fn reader(w: &World, constituent: &str, seconds: u32) -> anyhow::Result<Process> {
    let token = w.token(&["feed", "--constituent", constituent])?;
    let script = root().join("xtask/src/demo/municipality.py");
    let file = w.dir.join(format!("acknowledged-{constituent}.ndjson"));
    let arguments =
        [script.into(), w.http.clone().into(), token.into(), seconds.to_string().into(), file.into_os_string()];
    Process::start(&format!("gemeinde-{constituent}"), &python(), arguments, vec![], &w.logs())
}

/// Alerts in the sensors' own release logs, counted by `grep`.
fn left(running: &[(Process, Sensor)]) -> anyhow::Result<u64> {
    let mut n = 0;
    for (_, s) in running {
        ensure!(fs::exists(s.release_log())?, "{} has no release log", s.name);
        let text = output(std::process::Command::new("grep").args(["-c", "\"class\":\"alert\""]).arg(s.release_log()))?;
        n += text.trim().parse::<u64>()?;
    }
    Ok(n)
}
