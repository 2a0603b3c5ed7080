// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `run` beside an `eve.json` that the test writes: what the report of the day says, which packets lie beside it, what a
//! silence means, and what a kill loses.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's")]

mod common;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write as _,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    panic::{catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    process::Command,
};

use common::{Running, State, repo, scrape, sensor, stderr, text, until};
use lagewarte_base::{clock::Clock as _, clock::SystemClock};
use lagewarte_capture::{CaptureFile, Next, Source as _};
use serde_json::{Value, json};

const CAPTURE: &str = "rules/sets/tests/1100401-log4shell/fires.pcap";
const RULES: &str = "rules/sets/web.rules";
const SID: u64 = 1_100_401;

/// The file of the Suricata beside us.
struct Theirs {
    path: PathBuf,
    file: File,
    alerts: u64,
}

impl Theirs {
    fn new(state: &State) -> Self {
        let path = state.dir.path().join("eve.json");
        Self { file: File::create(&path).unwrap(), path, alerts: 0 }
    }
    fn line(&mut self, event: &Value) {
        self.file.write_all(format!("{event}\n").as_bytes()).unwrap();
    }
    /// Any line: it lives.
    fn lives(&mut self) {
        self.line(&json!({"timestamp": SystemClock.now().eve(), "event_type": "stats", "stats": {}}));
    }
    /// An alert of a rule on the flow of another alert, as Suricata writes it now.
    fn alert(&mut self, sid: u64, like: &Value) {
        let mut event = like.clone();
        event["timestamp"] = SystemClock.now().eve().into();
        event["alert"]["signature_id"] = sid.into();
        event["flow_id"] = 7.into();
        self.line(&event);
        self.alerts += 1;
    }
    /// As logrotate does.
    fn rotate(&mut self, to: &str) {
        fs::rename(&self.path, self.path.with_file_name(to)).unwrap();
        self.file = File::create(&self.path).unwrap();
    }
}

fn configure(state: &State, theirs: &Theirs, more: &str) {
    let eve = text(&theirs.path);
    state.configure(&format!(
        "  interval: 1\n{more}  shadow:\n    eve: {eve}\n    grace: 5\n    ring: 16mb\n    ignore: [42]\n"
    ));
}

fn start(state: &State) -> Running {
    let (capture, rules, config) = (text(&repo(CAPTURE)), text(&repo(RULES)), text(&state.config()));
    Running::start(&["run", "-r", &capture, "-S", &rules, "-c", &config, "-k", "none"], &state.log())
}

fn shadow(state: &State) -> PathBuf {
    state.path().join("shadow")
}

/// Reports are by day, UTC: what a test says of one holds where all of it happened on that day. A run that fails with
/// midnight in it says nothing; it is made again, on the day that has just begun.
fn on_one_day(test: fn()) {
    let today = || SystemClock.now().eve()[..10].to_owned();
    let began = today();
    match catch_unwind(test) {
        Err(_) if began != today() => test(),
        Err(failure) => resume_unwind(failure),
        Ok(()) => {}
    }
}

/// The only day there is.
fn day(state: &State) -> Option<PathBuf> {
    let days = fs::read_dir(shadow(state)).ok()?.map(|e| e.unwrap().path());
    days.filter(|p| p.is_dir() && p.file_name().is_some_and(|n| n != "ring")).max()
}

fn report(state: &State) -> Option<Value> {
    serde_json::from_slice(&fs::read(day(state)?.join("report.json")).ok()?).ok()
}

fn sum(tally: &Value) -> u64 {
    tally["not_compared"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum()
}

fn balances(report: &Value) {
    for side in ["ours", "theirs"] {
        let n = |key: &str| report[side][key].as_u64().unwrap();
        let out = n("matched") + n("differing") + sum(&report[side]) + n("waiting");
        assert_eq!(n("carried") + n("came"), out, "{side}: {report}");
    }
}

/// Our alerts of the capture, as `replay` writes them: what a Suricata would say, too.
fn alerts(state: &State) -> Vec<Value> {
    let out = state.dir.path().join("out");
    let args = [&repo(CAPTURE), &repo(RULES), &out, &state.config()].map(|p| text(p));
    let done = sensor(&["replay", "-r", &args[0], "-S", &args[1], "-l", &args[2], "-c", &args[3], "-k", "none"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let eve = fs::read_to_string(out.join("eve.json")).unwrap();
    let all = eve.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
    all.filter(|e| e["event_type"] == "alert").collect()
}

/// Packets between the ends of an alert, by the reader of captures and by what stands at the places of IPv4 and TCP.
fn packets(path: &Path, alert: &Value) -> u64 {
    let mut file = CaptureFile::open(path, None).unwrap();
    let ports = ["src_port", "dest_port"].map(|k| alert[k].as_u64().unwrap() as u16);
    let mut n = 0;
    while let Next::Frame(f) = file.next().unwrap() {
        let at = 14 + usize::from(f.data[14] & 15) * 4;
        let port = |i: usize| u16::from_be_bytes([f.data[at + i], f.data[at + i + 1]]);
        n += u64::from([port(0), port(2)] == ports || [port(2), port(0)] == ports);
    }
    assert_eq!(file.stats().damage, None);
    n
}

fn all_packets(path: &Path) -> u64 {
    let mut file = CaptureFile::open(path, None).unwrap();
    std::iter::from_fn(|| matches!(file.next().unwrap(), Next::Frame(_)).then_some(())).count() as u64
}

#[test]
fn what_differs_stands_in_the_report_and_its_packets_lie_beside_it() {
    on_one_day(|| {
        let state = State::new();
        let ours = alerts(&state);
        assert_eq!(ours.len(), 3);
        let flows: BTreeSet<u64> = ours.iter().map(|a| a["src_port"].as_u64().unwrap()).collect();
        assert_eq!(flows.len(), 3, "three flows");
        let mut theirs = Theirs::new(&state);
        theirs.alert(SID, &ours[0]); // before anybody looked
        theirs.alerts = 0;
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        configure(&state, &theirs, &format!("  metrics:\n    listen: \"{free}\"\n"));
        let run = start(&state);
        until("the first report", || report(&state));
        // Theirs misses the second flow's alert, and has one of a rule that we do not have.
        theirs.alert(SID, &ours[0]);
        theirs.alert(SID, &ours[2]);
        theirs.alert(999, &ours[0]);
        theirs.alert(42, &ours[0]);
        let told = until("two differences with their packets", || {
            theirs.lives();
            report(&state).filter(|r| {
                let packets = r["packets"].as_array().unwrap();
                packets.len() == 2 && packets.iter().all(|p| p["file"].is_string())
            })
        });
        balances(&told);
        let numbers = |side: &str| ["came", "matched", "differing", "waiting"].map(|k| told[side][k].as_u64().unwrap());
        assert_eq!((numbers("ours"), numbers("theirs")), ([3, 2, 1, 0], [4, 2, 1, 0]));
        assert_eq!(told["theirs"]["not_compared"], json!({"ignored": 1}));
        assert_eq!((&told["up"]["packets"], &told["up"]["packets_lost"]), (&json!(30), &json!(0)));
        let differences: Vec<_> = told["comparison"]["differences"].as_array().unwrap().iter().collect();
        assert_eq!(differences.iter().map(|d| d["sid"].as_u64().unwrap()).collect::<Vec<_>>(), [999, SID]);
        let flow = &differences[1]["flows"][0];
        assert_eq!(
            (&flow["ours"], &flow["theirs"], differences[1]["flows"].as_array().unwrap().len()),
            (&json!(1), &json!(0), 1)
        );
        let ports = [&flow["a"]["port"], &flow["b"]["port"]];
        assert!(ports.contains(&&ours[1]["src_port"]), "{flow}");

        // The packets are those of the flow in the capture, all and no others.
        let day = day(&state).unwrap();
        for (sid, alert) in [(999, &ours[0]), (SID, &ours[1])] {
            let file = day.join(format!("{sid}-1.pcap"));
            let want = packets(&repo(CAPTURE), alert);
            assert!(want > 3);
            assert_eq!((packets(&file, alert), all_packets(&file)), (want, want));
            let entry = told["packets"].as_array().unwrap().iter().find(|p| p["sid"] == sid).unwrap().clone();
            assert_eq!((entry["packets"].as_u64(), &entry["whole"]), (Some(want), &json!(true)));
            match Command::new("tshark")
                .arg("-r")
                .arg(&file)
                .args(["-Y", "tcp", "-T", "fields", "-e", "tcp.port"])
                .output()
            {
                Ok(done) => {
                    let lines = String::from_utf8(done.stdout).unwrap();
                    let port = alert["src_port"].to_string();
                    assert_eq!(lines.lines().filter(|l| l.contains(&port)).count() as u64, want, "tshark: {lines}");
                }
                Err(_) => eprintln!("tshark not run: it is not installed (cargo xtask setup)"),
            }
        }
        let said = fs::read_to_string(day.join("report.txt")).unwrap();
        for want in [
            "ours: 3 alerts",
            "4 alerts",
            "1 ignored",
            "999-1.pcap: sid 999, TCP",
            "10.20.1.10:",
            "sid 1100401: 3 ours, 2 theirs",
        ] {
            assert!(said.contains(want), "{want} is missing in\n{said}");
        }

        let metrics = scrape(free).unwrap();
        for line in [
            "shadow_alerts_total{outcome=\"differing\",side=\"ours\"} 1",
            "shadow_alerts_total{outcome=\"matched\",side=\"theirs\"} 2",
            "shadow_alerts_total{outcome=\"not-compared\",side=\"theirs\"} 1",
            "shadow_theirs_silent 0",
            "shadow_ring_packets_total{outcome=\"written\"} 30", // the capture's, by capinfos
        ] {
            assert!(metrics.contains(&format!("lagewarte_sensor_{line}\n")), "{line} is missing in\n{metrics}");
        }
        assert_eq!(run.terminate(), Some(0), "{}", state.printed());

        // For the sensor's user only, and nothing of it leaves.
        for entry in fs::read_dir(&day).unwrap().map(|e| e.unwrap()) {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.path());
        }
        assert_eq!(fs::metadata(&day).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(shadow(&state).join("ring")).unwrap().count(), 0, "the ring ends with the process");
        let spooled = state.spooled();
        assert_eq!(spooled.iter().filter(|e| e.event_type == "alert").count(), 3);
        for e in &spooled {
            let eve = String::from_utf8_lossy(&e.eve);
            assert!(!eve.contains("shadow") && !eve.contains("10.20."), "{eve}");
        }
    });
}

#[test]
fn a_suricata_that_says_nothing_is_told_as_silence_and_not_as_agreement() {
    on_one_day(|| {
        let state = State::new();
        let theirs = Theirs::new(&state);
        fs::remove_file(&theirs.path).unwrap(); // it may come later
        configure(&state, &theirs, "");
        let run = start(&state);
        let told = until("our alerts are not compared", || {
            report(&state).filter(|r| r["ours"]["not_compared"]["theirs-silent"] == 3)
        });
        balances(&told);
        assert_eq!(told["ours"]["differing"], 0);
        assert!(told["up"]["theirs_silent_since"].is_string(), "{told}");
        assert_eq!(told["up"]["silences"], 1);
        let said = fs::read_to_string(day(&state).unwrap().join("report.txt")).unwrap();
        assert!(said.contains("THEIRS IS SILENT") && said.contains("3 theirs-silent"), "{said}");
        assert_eq!(run.terminate(), Some(0), "{}", state.printed());
        assert!(state.printed().contains("theirs is silent"), "{}", state.printed());
        let last = report(&state).unwrap();
        assert!(last["up"]["theirs_silent_s"].as_i64() > Some(5), "{last}");
        balances(&last);
    });
}

#[test]
fn a_kill_loses_who_waited_and_counts_each_line_of_theirs_once() {
    on_one_day(|| {
        let state = State::new();
        let ours = alerts(&state);
        let mut theirs = Theirs::new(&state);
        configure(&state, &theirs, "");
        let run = start(&state);
        until("the first report", || report(&state));
        let (mut sid, mut round) = (5000, 0);
        let mut write = |theirs: &mut Theirs, n: u64| {
            (0..n).for_each(|_| {
                sid += 1;
                theirs.alert(sid, &ours[0]);
            });
            round += 1;
            theirs.rotate(&format!("eve.json.{round}"));
        };
        write(&mut theirs, 300);
        let told = until("differences are told", || {
            theirs.lives();
            report(&state).filter(|r| r["theirs"]["differing"] == 300)
        });
        let many = told["packets"].as_array().unwrap().iter().filter(|p| p["none"] == "too-many-at-once").count();
        assert!(many > 100 && many < 300, "a pass has so many at most: {many}");
        // Some are told, some wait, some are on their way.
        write(&mut theirs, 200);
        write(&mut theirs, 1500);
        run.kill();
        let kept = report(&state).unwrap();
        balances(&kept);
        write(&mut theirs, 100); // while nobody looks
        let run = start(&state);
        let all = theirs.alerts;
        let told = until("what was written before is read", || {
            theirs.lives();
            report(&state).filter(|r| r["theirs"]["came"] == all)
        });
        balances(&told);
        assert_eq!(run.terminate(), Some(0), "{}", state.printed());
        let last = report(&state).unwrap();
        balances(&last);
        assert_eq!(last["theirs"]["came"], all, "each line once: {last}");
        assert_eq!((&last["up"]["restarts"], &last["theirs"]["waiting"]), (&json!(1), &json!(0)));
        let aside = &last["theirs"]["not_compared"];
        assert!(aside["before-start"].as_u64() >= Some(100), "{aside}");
        let names: Vec<_> = fs::read_dir(day(&state).unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(names.iter().all(|n| !n.to_string_lossy().ends_with(".part")), "{names:?}");
    });
}

#[test]
fn what_cannot_be_used_is_said_before_anything_starts() {
    let state = State::new();
    let (capture, config) = (text(&repo(CAPTURE)), text(&state.config()));
    let refused = |set: &str| {
        let done = sensor(&["run", "-r", &capture, "-c", &config, "--set", set]);
        assert!(!done.status.success());
        stderr(&done)
    };
    let said = refused("lagewarte.shadow.eve=/nowhere/at/all/eve.json");
    assert!(said.contains("lagewarte.shadow.eve") && said.contains("/nowhere/at/all/eve.json"), "{said}");
    let said = refused("lagewarte.shadow.ring=64mb");
    assert!(said.contains("no lagewarte.shadow.eve"), "{said}");
    let eve = state.dir.path().join("eve.json");
    fs::write(&eve, "").unwrap();
    let at = format!("lagewarte.shadow.eve={}", text(&eve));
    fs::create_dir(shadow(&state)).unwrap();
    fs::write(shadow(&state).join("state.json"), "{").unwrap();
    let said = refused(&at);
    assert!(said.contains("state.json is damaged"), "{said}");
    fs::remove_file(shadow(&state).join("state.json")).unwrap();
    let held = File::create(shadow(&state).join("lock")).unwrap();
    held.try_lock().unwrap();
    let said = refused(&at);
    assert!(said.contains("another sensor uses"), "{said}");
}
