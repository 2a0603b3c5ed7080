// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Plays the plan: sensors on their lines, the foreign Suricata writing, things killed in mid-run, and what came of it.

use std::{collections::BTreeSet, fs, io::Write as _, process::Command, time::Duration};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use lagewarte_e2e::{Process, wait_for};

use super::{
    now_us,
    plan::{self, ATTACKS},
    seconds,
    world::{Land, network},
};

/// How the story is told.
pub(crate) struct Told {
    /// Wall time at which the attacks begin, microseconds.
    pub(crate) zero: i64,
    /// How fast the hour before is played.
    pub(crate) speed: f64,
    /// Whether processes are killed in mid-run.
    pub(crate) kills: bool,
}

/// Longest that a sensor may be silent before the page must say so.
const BLIND_WITHIN_S: f64 = 180.0;

/// Something that happens at its second.
enum Happening {
    ForeignLine(String),
    Silence,
    KillSensor,
    KillAggregator,
    KillEngine,
}

/// Plays to the end and measures.
pub(crate) fn play(land: &mut Land, told: &Told, say: &dyn Fn(&str)) -> anyhow::Result<Value> {
    say("the hour before: legitimate traffic at every sensor");
    let mut sensors = start_sensors(land, told)?;
    let readers: Vec<String> = land.feed_tokens.keys().cloned().collect();
    let mut municipalities = Vec::new();
    for c in &readers {
        municipalities.push(land.start_municipality(c, 300.0)?);
    }
    let silent_since = happen(land, told, &mut sensors, say)?;
    say("waiting for every warning to be acknowledged");
    let expected: usize = ATTACKS.iter().filter(|a| a.warned).map(|a| a.at.len()).sum();
    let patience = Duration::from_secs(40);
    let all_read = wait_for("acknowledgement of every warning", patience, || {
        Ok(readers.iter().map(|c| acknowledged(land, c)).sum::<usize>() >= expected)
    });
    say("waiting for the silent sensor to be shown as blind");
    let blind_after = blind(land, silent_since)?;
    // Read while everything still stands as it was told.
    let lagebild = land.lagebild()?;
    say("stopping the sensors, which empty their spools");
    for (_, s) in &mut sensors {
        s.stop(Duration::from_secs(20));
    }
    drop(municipalities);
    let mut report = land.measure(told.zero)?;
    report["blind_after_s"] = blind_after;
    report["maps"] = maps(&lagebild);
    report["all_acknowledged_in_time"] = all_read.is_ok().into();
    report["attacks"] = attacks();
    report["checks"] = checks(&report);
    if let Some(p) = &mut land.world.aggregator {
        p.stop(Duration::from_secs(15));
    }
    Ok(report)
}

/// Plays for people: goes on until the user ends it.
pub(crate) fn watch(land: &mut Land, told: &Told, say: &dyn Fn(&str)) -> anyhow::Result<()> {
    let mut sensors = start_sensors(land, told)?;
    happen(land, told, &mut sensors, say)?;
    say("The story is told; everything keeps running. Ctrl-C ends it.");
    loop {
        std::thread::sleep(Duration::from_secs(1));
        if let Some(p) = &mut land.world.aggregator {
            p.alive()?;
        }
    }
}

fn start_sensors(land: &Land, told: &Told) -> anyhow::Result<Vec<(String, Process)>> {
    land.gateways.iter().map(|g| Ok((g.name.clone(), land.start_sensor(g, told.zero, told.speed)?))).collect()
}

/// Lets everything happen at its second; gives the time at which the silent sensor fell silent.
fn happen(land: &mut Land, told: &Told, sensors: &mut [(String, Process)], say: &dyn Fn(&str)) -> anyhow::Result<i64> {
    let mut list = foreign_lines(land, told)?;
    list.push((plan::SILENT.1, Happening::Silence));
    if told.kills {
        list.push((plan::KILLED_SENSOR.1, Happening::KillSensor));
        list.push((plan::KILLED_AGGREGATOR, Happening::KillAggregator));
        list.push((plan::KILLED_ENGINE, Happening::KillEngine));
    }
    list.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut silent_since = 0;
    for (at, what) in list {
        sleep_until(told.zero + seconds(at));
        match what {
            Happening::ForeignLine(line) => {
                writeln!(fs::File::options().append(true).open(land.foreign_eve()?)?, "{line}")?;
            }
            Happening::Silence => {
                say(&format!("{} goes silent", plan::SILENT.0));
                sensor(sensors, plan::SILENT.0)?.kill();
                silent_since = now_us();
            }
            Happening::KillSensor => {
                say(&format!("kill -9 of the sensor {}; it is started again", plan::KILLED_SENSOR.0));
                sensor(sensors, plan::KILLED_SENSOR.0)?.kill_and_restart()?;
            }
            Happening::KillAggregator => {
                say("kill -9 of the aggregator; it is started again");
                land.world.aggregator.as_mut().context("no aggregator")?.kill_and_restart()?;
                land.world.wait_for_aggregator()?;
            }
            Happening::KillEngine => {
                say("kill -9 of the engine; the aggregator starts it again");
                kill_engine(land)?;
            }
        }
        for (name, s) in sensors.iter_mut() {
            s.alive().with_context(|| format!("sensor {name}"))?;
        }
    }
    sleep_until(told.zero + seconds(plan::LENGTH));
    Ok(silent_since)
}

/// The engine is the aggregator's child.
fn kill_engine(land: &Land) -> anyhow::Result<()> {
    let parent = land.world.aggregator.as_ref().and_then(Process::id).context("no aggregator")?;
    let killed = Command::new("pkill").args(["-KILL", "-P", &parent.to_string()]).status()?;
    ensure!(killed.success(), "the aggregator {parent} has no engine to kill");
    Ok(())
}

fn sensor<'a>(sensors: &'a mut [(String, Process)], name: &str) -> anyhow::Result<&'a mut Process> {
    sensors.iter_mut().find(|(n, _)| n == name).map(|(_, p)| p).with_context(|| format!("no sensor {name}"))
}

/// The lines of a real Suricata's eve.json, moved to this constituent, attacker and hour.
fn foreign_lines(land: &Land, told: &Told) -> anyhow::Result<Vec<(f64, Happening)>> {
    let g = land.gateways.iter().find(|g| g.name == plan::FOREIGN).context("no sensor with a foreign eve.json")?;
    let constituent = g.serves.first().context("serves nobody")?;
    let attack = ATTACKS
        .iter()
        .find(|a| a.at.iter().any(|(c, _)| c == constituent))
        .context("no attack at the foreign sensor")?;
    let at = attack.at.iter().find(|(c, _)| c == constituent).map_or(0.0, |(_, at)| *at);
    let n = network(constituent)?;
    let text = fs::read_to_string(crate::paths::root().join("rules/captures/foreign-eve.json"))?;
    let mut text = text.replace("\"10.20.", &format!("\"10.{n}."));
    for recorded in plan::RECORDED_ATTACKERS {
        text = text.replace(&format!("\"{recorded}\""), &format!("\"{}\"", attack.attacker));
    }
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut event: Value = serde_json::from_str(line)?;
        let second = at + 0.02 * f64::from(u32::try_from(lines.len()).unwrap_or(0));
        event["timestamp"] = eve_time(told.zero + seconds(second)).into();
        lines.push((second, Happening::ForeignLine(event.to_string())));
    }
    Ok(lines)
}

/// EVE's form of a time.
fn eve_time(us: i64) -> String {
    lagewarte_base::time::Timestamp::from_micros(us).eve()
}

fn sleep_until(us: i64) {
    if let Ok(left) = u64::try_from(us - now_us()) {
        std::thread::sleep(Duration::from_micros(left));
    }
}

/// How many different warnings this constituent's own process has acknowledged.
fn acknowledged(land: &Land, constituent: &str) -> usize {
    let text = fs::read_to_string(land.acknowledged(constituent)).unwrap_or_default();
    let ids: BTreeSet<_> = text
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok()?["warning"].as_str().map(str::to_owned))
        .collect();
    ids.len()
}

/// Seconds from the silence until the site's own API says blind; null where it never does.
fn blind(land: &Land, since: i64) -> anyhow::Result<Value> {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a demo")]
    let passed = || (now_us() - since) as f64 / 1e6;
    while passed() < BLIND_WITHIN_S {
        if land.coverage_of(plan::SILENT.0)?.as_deref() == Some("blind") {
            return Ok(json!((passed() * 10.0).round() / 10.0));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Ok(Value::Null)
}

/// What the two maps of the Lagebild page show: municipalities drawn by level and by coverage, and the silent one.
fn maps(page: &str) -> Value {
    let titles: Vec<&str> =
        page.split("<title").skip(1).filter_map(|t| t.split_once('>')?.1.split('<').next()).collect();
    // The timeline's bars have titles too: they count alarms.
    let by_level = titles.iter().filter(|t| t.contains(": ") && t.contains(", ") && !t.contains(" Alarme")).count();
    let by_coverage = titles.iter().filter(|t| t.contains(": ") && !t.contains(", ")).count();
    json!({ "by_level": by_level, "by_coverage": by_coverage, "silent_is_blind": titles.contains(&plan::SILENT_ON_MAP) })
}

/// The plan, for the report: what each attack must bring.
fn attacks() -> Value {
    let one = |a: &plan::Attack| {
        let at: Vec<_> = a.at.iter().map(|(c, _)| *c).collect();
        (a.name.to_owned(), json!({ "sid": a.sid, "constituents": at, "warned": a.warned }))
    };
    ATTACKS.iter().map(one).collect::<serde_json::Map<_, _>>().into()
}

/// What must hold, each by name. The expectations come from the plan, the facts from the measurement.
fn checks(report: &Value) -> Value {
    let strings = |v: &Value| -> BTreeSet<String> {
        v.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
    };
    let keys = |v: &Value| {
        v.as_object()
            .into_iter()
            .flatten()
            .filter(|(_, l)| l.as_array().is_some_and(|l| !l.is_empty()))
            .map(|(k, _)| k.clone())
            .collect::<BTreeSet<_>>()
    };
    // Who must be warned, attack by attack.
    let wanted: Vec<BTreeSet<String>> =
        ATTACKS.iter().filter(|a| a.warned).map(|a| a.at.iter().map(|(c, _)| (*c).to_owned()).collect()).collect();
    let should: BTreeSet<String> = wanted.iter().flatten().cloned().collect();
    let warnings = report["warning"].as_array().cloned().unwrap_or_default();
    let exact =
        |channel: &str| warnings.iter().all(|w| strings(&w[channel]) == strings(&w["warned"])) && !warnings.is_empty();
    // Each attack's constituents are exactly those of one warning, and no warning has others.
    let each_attack = wanted.iter().all(|w| warnings.iter().any(|x| strings(&x["warned"]) == *w));
    let attacks_only = warnings.iter().all(|x| wanted.contains(&strings(&x["warned"])));
    json!({
        "every_attack_has_its_warning": each_attack,
        "no_other_warning": attacks_only,
        "feed_reached_exactly_the_addressed": exact("by_feed") && keys(&report["read_by_municipality"]) == should,
        "mail_reached_exactly_the_addressed": exact("by_mail") && keys(&report["mails_received"]) == should,
        "all_acknowledged": exact("acknowledged"),
        "no_alert_in_the_hour_before": report["alerts_in_background_hour"] == 0,
        "alerts_stored_are_alerts_produced": report["alerts_missing"] == json!([]) && report["alerts_produced"] != 0,
        "nothing_twice": report["duplicates"] == 0,
        "every_loss_explained": report["dropped_by_reason"].get("UNEXPLAINED").is_none(),
        "rollup_equals_raw": report["rollup_alerts"] == report["alerts_stored"],
        "silent_is_blind_in_time": report["blind_after_s"].is_number(),
        "maps_show_every_municipality": report["maps"]["by_level"] == plan::MUNICIPALITIES
            && report["maps"]["by_coverage"] == plan::MUNICIPALITIES
            && report["maps"]["silent_is_blind"] == true,
    })
}

/// Prints the report; an error where a check does not hold.
pub(crate) fn print(report: &Value, took: Duration, as_json: bool) -> anyhow::Result<()> {
    let mut report = report.clone();
    report["seconds"] = json!(took.as_secs());
    let failed: Vec<_> = report["checks"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, v)| **v != Value::Bool(true))
        .map(|(k, _)| k.clone())
        .collect();
    if as_json {
        println!("{report}");
    } else {
        println!("{}", serde_json::to_string_pretty(&report)?);
    }
    ensure!(failed.is_empty(), "these did not hold: {}", failed.join(", "));
    Ok(())
}
