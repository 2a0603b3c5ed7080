// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `run` on played captures: alerts, health, metrics, what stays, and a clean end.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's")]

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use common::{Running, State, repo, scrape, sensor, stderr, stdout, text, until};
use lagewarte_base::signed::Purpose;

const CAPTURE: &str = "rules/sets/tests/1100401-log4shell/fires.pcap";
const RULES: &str = "rules/sets/web.rules";

fn start(state: &State, more: &[&str]) -> Running {
    let (capture, rules, config) = (text(&repo(CAPTURE)), text(&repo(RULES)), text(&state.config()));
    let args = [&["run", "-r", &capture, "--pace", "1000", "-S", &rules, "-c", &config], more].concat();
    Running::start(&args, &state.log())
}

fn alerts(state: &State) -> usize {
    state.released().iter().filter(|l| l.contains("\"class\":\"alert\"")).count()
}

fn value(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find(|l| l.strip_prefix(name).is_some_and(|r| r.starts_with(' ')))?.rsplit(' ').next()?.parse().ok()
}

/// The sum over all labels of a metric, those that `with` is true of.
fn sum(metrics: &str, name: &str, with: impl Fn(&str) -> bool) -> f64 {
    let lines = metrics.lines().filter(|l| l.starts_with(&format!("{name}{{")) && with(l));
    lines.map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

#[test]
fn a_played_attack_becomes_alerts_that_leak_nothing_and_can_be_resolved_at_home() {
    let state = State::new();
    let run = start(&state, &["-k", "none"]);
    until("three alerts", || (alerts(&state) == 3).then_some(()));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    let spooled = state.spooled();
    let found: Vec<serde_json::Value> =
        spooled.iter().filter(|e| e.event_type == "alert").map(|e| serde_json::from_slice(&e.eve).unwrap()).collect();
    assert_eq!(found.len(), 3);
    let pseudonym = found[0]["dest_ip"].as_str().unwrap();
    for alert in &found {
        assert_eq!(alert["alert"]["signature_id"], 1_100_401);
        assert_eq!(alert["src_ip"], "203.0.113.66");
        assert_eq!(alert["dest_ip"], pseudonym, "equal addresses stay equal");
        assert_eq!(alert["flow"]["dest_ip"], pseudonym);
        assert_eq!(alert["lagewarte"]["inner"], "dest");
        assert!(alert["community_id"].as_str().unwrap().starts_with("1:"));
        assert!(!alert.to_string().contains("10.20."), "{alert}");
    }
    assert!(spooled.iter().all(|e| e.event_us > 1_700_000_000_000_000 && e.spooled_us >= e.observed_us));
    assert!(spooled.iter().all(|e| e.ruleset.len() == 32));
    let events: Vec<_> = spooled.iter().map(|e| e.event_type.as_str()).collect();
    assert!(!events.contains(&"flow"), "flows stay under the default profile: {events:?}");

    let done = sensor(&["resolve", pseudonym, "-c", &text(&state.config())]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(stdout(&done).contains("10.20.1.10"), "{}", stdout(&done));
    assert!(stdout(&done).contains(found[0]["lagewarte"]["key"].as_str().unwrap()), "the key is named");
}

#[test]
fn a_wider_profile_that_the_house_signed_lets_more_out() {
    let state = State::new();
    let profile = "name: weit\nversion: 1\nclasses: [alert, health, flow]\ninner-addresses: clear\npayload: clear\nurl-query: clear\nmail-addresses: clear\nfile-names: clear\nuser-names: clear\n";
    state.write_signed("profile.yaml", Purpose::Profile, profile);
    let (payload, flow) = ("outputs.eve-log.types.alert.payload=yes", "outputs.eve-log.types.flow.enabled=yes");
    let run = start(&state, &["--set", payload, "--set", flow, "-k", "none"]);
    until("three alerts", || (alerts(&state) == 3).then_some(()));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    let spooled = state.spooled();
    assert!(spooled.iter().any(|e| e.event_type == "flow"), "the end of the run ends the flows");
    let all: String = spooled.iter().map(|e| String::from_utf8_lossy(&e.eve).into_owned()).collect();
    assert!(all.contains("10.20.1.10") && all.contains("\"payload\":"), "the control of the test above");
    assert!(spooled.iter().all(|e| e.profile == "weit@1"));
}

#[test]
fn health_says_what_the_sensor_did_and_metrics_balance() {
    let state = State::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    state.configure(&format!("  interval: 1\n  metrics:\n    listen: \"{free}\"\n"));
    let run = start(&state, &["-k", "none"]);
    until("three alerts", || (alerts(&state) == 3).then_some(()));
    let read = 30.0; // the capture's packets, by capinfos
    let metrics = until("the packets are counted", || {
        scrape(free).filter(|m| value(m, "lagewarte_sensor_packets_total").is_some_and(|n| n > 0.0))
    });
    assert!(metrics.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(value(&metrics, "lagewarte_sensor_packets_total"), Some(read));
    assert_eq!(sum(&metrics, "lagewarte_sensor_decoded_total", |l| l.contains("\"pkts\"")), read);
    // Every event that came to the door is in the spool or under a reason.
    let produced = sum(&metrics, "lagewarte_sensor_events_produced_total", |_| true);
    let released = sum(&metrics, "lagewarte_sensor_events_released_total", |_| true);
    let lost =
        sum(&metrics, "lagewarte_sensor_dropped_total", |l| l.contains("\"release\"") || l.contains("\"spool\""));
    assert!(produced >= 3.0 && released >= 3.0);
    assert_eq!(produced, released + lost, "{metrics}");
    assert_eq!(sum(&metrics, "lagewarte_sensor_events_produced_total", |l| l.contains("\"alert\"")), 3.0);
    assert_eq!(value(&metrics, "lagewarte_sensor_uplink_connected"), Some(0.0), "nobody answers in this test");
    assert_eq!(sum(&metrics, "lagewarte_sensor_spool_state", |l| l.contains("normal")), 1.0);
    let mut other = TcpStream::connect(free).unwrap();
    other.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");

    until("several health events", || {
        (state.released().iter().filter(|l| l.contains("\"health\"")).count() >= 3).then_some(())
    });
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    let health = state.spooled().into_iter().rfind(|e| e.event_type == "stats").unwrap();
    let health: serde_json::Value = serde_json::from_slice(&health.eve).unwrap();
    let stats = &health["stats"];
    assert_eq!(stats["capture"]["kernel_packets"], read);
    assert_eq!(stats["decoder"]["pkts"], read);
    let own = &stats["lagewarte"];
    assert_eq!(own["interval_s"], 1);
    assert_eq!(own["produced"]["alert"], 3);
    assert_eq!(own["ruleset"].as_str().unwrap().len(), 64);
    assert!(own["rules_loaded"].as_u64().unwrap() > 0 && own["rules_refused"] == 0);
    assert_eq!(own["spool"]["state"], "normal");
    let kept: u64 = ["flow", "protocol", "file"].iter().filter_map(|c| own["produced"][c].as_u64()).sum();
    assert!(own["produced"]["flow"].as_u64() > Some(0));
    assert_eq!(own["dropped"]["release.class"], kept, "what the default profile keeps in the house is counted: {own}");
}

#[test]
fn the_metrics_listener_keeps_its_bounds() {
    use lagewarte_agent::metrics::{MAX_CONNECTIONS, MAX_REQUEST};
    let state = State::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    state.configure(&format!("  metrics:\n    listen: \"{free}\"\n"));
    let _run = start(&state, &[]);
    until("metrics", || scrape(free));
    // A request without end is answered at the cap.
    let mut endless = TcpStream::connect(free).unwrap();
    endless.write_all(&vec![b'x'; MAX_REQUEST]).unwrap();
    let mut answer = String::new();
    endless.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    // While the slots are taken, the next one waits; when one is free, it is served.
    let mut idle: Vec<_> = (0..MAX_CONNECTIONS).map(|_| TcpStream::connect(free).unwrap()).collect();
    let mut next = TcpStream::connect(free).unwrap();
    next.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    next.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
    assert!(next.read(&mut [0; 1]).is_err(), "more than {MAX_CONNECTIONS} at once");
    idle.pop();
    next.set_read_timeout(None).unwrap();
    next.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("lagewarte_sensor_"), "{answer}");
}

#[test]
fn what_was_due_before_the_start_is_missed_as_on_a_live_line() {
    let state = State::new();
    let run = start(&state, &["--start-at", "1000000"]);
    until("a health event", || state.released().iter().any(|l| l.contains("\"health\"")).then_some(()));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    assert_eq!(alerts(&state), 0);
}

#[test]
fn the_release_log_survives_its_rotation() {
    let state = State::new();
    state.configure("  interval: 1\n");
    let run = start(&state, &["-k", "none"]);
    until("three alerts", || (alerts(&state) == 3).then_some(()));
    let old = state.dir.path().join("released.old");
    fs::rename(state.release_log(), &old).unwrap();
    let done = std::process::Command::new("kill").args(["-HUP", &run.0.id().to_string()]).status().unwrap();
    assert!(done.success());
    until("the new file is written", || (!state.released().is_empty()).then_some(()));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    let lines = fs::read_to_string(&old).unwrap().lines().count() + state.released().len();
    assert_eq!(lines, state.spooled().len(), "each record stands in the log once");
}
