// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rules that are replaced while packets flow: no packet lost or judged twice, what ran stays provable, memory comes back.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's")]

mod common;

use std::{
    fmt::Write as _,
    fs,
    io::Cursor,
    net::IpAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use common::{Running, State, repo, text, until};
use lagewarte_agent::pipeline::{self, Options, Sink};
use lagewarte_base::time::Timestamp;
use lagewarte_capture::{CaptureFile, Next, Source, Stats};
use lagewarte_detect::{Engine, Output};
use lagewarte_event::eve::Record;
use lagewarte_testkit::{Capture, icmp_echo};

fn engine(text: &str) -> Engine {
    let set = lagewarte_rules::parse(&[("test.rules", text.as_bytes())], &lagewarte_rules::Options::default());
    assert!(set.refused.is_empty(), "{:?}", set.refused);
    Engine::new(set, Output::default()).unwrap()
}

/// Puts the other rules in force when so many events have come.
struct Swapping {
    engine: Arc<ArcSwap<Engine>>,
    next: Option<Engine>,
    records: Vec<Record>,
    swapped: Arc<AtomicBool>,
}

/// A capture that waits in its middle until the other rules are in force: else all of it may have been looked at before.
struct Halting {
    file: CaptureFile,
    given: u16,
    swapped: Arc<AtomicBool>,
}

impl Source for Halting {
    fn next(&mut self) -> Result<Next<'_>, lagewarte_capture::Error> {
        if self.given == PINGS / 2 && !self.swapped.load(Ordering::Acquire) {
            return Ok(Next::Idle);
        }
        self.given = self.given.saturating_add(1);
        self.file.next()
    }
    fn stats(&mut self) -> Stats {
        self.file.stats()
    }
}

const PINGS: u16 = 6_000;

impl Sink for Swapping {
    fn record(&mut self, record: Record) -> anyhow::Result<()> {
        self.records.push(record);
        if self.records.len() == 100
            && let Some(next) = self.next.take()
        {
            self.engine.store(Arc::new(next));
            self.swapped.store(true, Ordering::Release);
        }
        Ok(())
    }
}

#[test]
fn a_reload_under_way_loses_no_packet_and_judges_none_twice() {
    let host = |n: u8| IpAddr::from([10, 0, 0, n]);
    let mut capture = Capture::ethernet();
    for n in 0..PINGS {
        let t = Timestamp::from_micros(1_700_000_000_000_000 + i64::from(n) * 1_000);
        capture.push(t, icmp_echo(host(n as u8), host(255), true, n, n, b"x"));
    }
    let pcap = capture.write();
    let rule = |sid| format!("alert icmp any any -> any any (itype:8; sid:{sid};)");
    for workers in [1, 2, 4] {
        let (before, after) = (engine(&rule(1)), engine(&rule(2)));
        let hashes = [*before.sha256(), *after.sha256()];
        let engine = Arc::new(ArcSwap::from_pointee(before));
        let options = Options { workers, engine: Some(Arc::clone(&engine)), ..Options::file() };
        let swapped = Arc::new(AtomicBool::new(false));
        let mut sink = Swapping { engine, next: Some(after), records: Vec::new(), swapped: Arc::clone(&swapped) };
        let file = CaptureFile::from_reader(Box::new(Cursor::new(pcap.clone())), "t".into(), None).unwrap();
        let mut source = Halting { file, given: 0, swapped };
        let totals = pipeline::run(&mut source, &options, &mut sink, &AtomicBool::new(false)).unwrap();
        assert_eq!((totals.read, totals.decoder.pkts), (u64::from(PINGS), u64::from(PINGS)));
        let alerts: Vec<&Record> = sink.records.iter().filter(|r| r.event_type == "alert").collect();
        assert_eq!(alerts.len(), usize::from(PINGS), "{workers} workers");
        for (sid, hash) in [1, 2].into_iter().zip(hashes) {
            let of: Vec<_> = alerts.iter().filter(|r| r.json.contains(&format!("\"signature_id\":{sid},"))).collect();
            assert!(!of.is_empty(), "{workers} workers, sid {sid}");
            assert!(of.iter().all(|r| r.ruleset == Some(hash)), "an alert names the set that made it");
        }
    }
}

fn signal(run: &Running) {
    assert!(Command::new("kill").arg("-USR2").arg(run.0.id().to_string()).status().unwrap().success());
}

/// Resident memory in KiB.
fn resident(run: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", run.0.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn rules_are_read_again_on_a_signal_and_memory_comes_back() {
    let state = State::new();
    state.configure("  interval: 1\n");
    let file = state.dir.path().join("own.rules");
    let write = |generation: u32, n: u32| {
        let rules = (0..n).fold(String::new(), |mut all, sid| {
            let test = format!("content:\"pattern {generation} of {sid}\"; http.uri; content:\"/{sid}/{generation}\";");
            let _ = writeln!(all, "alert http any any -> any any (msg:\"{generation}\"; {test} sid:{};)", sid + 1);
            all
        });
        fs::write(&file, rules).unwrap();
    };
    write(0, 4_000);
    let (capture, rules, config) =
        (text(&repo("rules/sets/tests/1100401-log4shell/fires.pcap")), text(&file), text(&state.config()));
    let run = Running::start(
        &["run", "-r", &capture, "--pace", "1000", "-S", &rules, "-c", &config, "-k", "none"],
        &state.log(),
    );
    let read_again = |n: usize| {
        until("the rules are read again", || {
            (state.printed().matches("the rules were read again").count() == n).then_some(())
        });
    };
    until("it runs", || (!state.released().is_empty()).then_some(()));
    let mut levels = Vec::new();
    for generation in 1..=15 {
        write(generation, 4_000);
        signal(&run);
        read_again(generation as usize);
        levels.push(resident(&run));
    }
    // Two sets side by side, in the arenas of several threads, are the level, which moves with what the allocator has not given
    // back yet; a set that stayed each time would double it.
    let (level, last) = (levels.iter().take(5).max(), levels.iter().skip(10).min());
    assert!(last.zip(level).is_some_and(|(last, level)| *last < level + level / 2), "fifteen reloads: {levels:?} KiB");

    // What cannot run replaces nothing.
    fs::write(&file, "alert http any any -> any any (no_such_keyword; sid:1;)\n").unwrap();
    signal(&run);
    until("it is refused", || state.printed().contains("the old rules stay in force").then_some(()));
    let told = state.released().len();
    until("two more health events", || (state.released().len() >= told + 2).then_some(()));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());

    let health = state.spooled();
    let sets: Vec<String> = health
        .iter()
        .filter(|e| e.event_type == "stats")
        .map(|e| {
            let event: serde_json::Value = serde_json::from_slice(&e.eve).unwrap();
            event["stats"]["lagewarte"]["ruleset"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(sets.len() >= 3 && sets.first() != sets.last(), "health events name the set in force: {sets:?}");
    assert_eq!(hex::encode(&health.last().unwrap().ruleset), *sets.last().unwrap(), "and so do envelopes");
}
