// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `tail` on a file that is written, rotated, truncated and damaged while it reads, and killed at any moment.
//!
//! The count is taken from the spool by a reader of its own, not from what the process says.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's")]

mod common;

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use common::{Running, State, repo, text, until};

/// An alert that is told apart by its port and sid.
fn alert(n: u32) -> String {
    format!(
        "{{\"timestamp\":\"2026-11-21T06:13:48.{:06}+0000\",\"flow_id\":{n},\"event_type\":\"alert\",\"src_ip\":\"203.0.113.66\",\"src_port\":40000,\"dest_ip\":\"10.20.1.10\",\"dest_port\":80,\"proto\":\"TCP\",\"alert\":{{\"signature_id\":{n},\"gid\":1,\"rev\":1,\"signature\":\"s\",\"severity\":1}},\"payload\":\"S2FuYXJpZW52b2dlbA==\"}}\n",
        n % 1_000_000
    )
}

struct Eve {
    path: PathBuf,
    file: File,
}

impl Eve {
    fn new(dir: &Path) -> Self {
        let path = dir.join("eve.json");
        Self { file: File::create(&path).unwrap(), path }
    }
    fn write(&mut self, range: std::ops::Range<u32>) {
        let lines: String = range.map(alert).collect();
        self.file.write_all(lines.as_bytes()).unwrap();
    }
    /// As logrotate does: rename, and the writer opens the name anew.
    fn rotate(&mut self, to: &str) {
        fs::rename(&self.path, self.path.with_file_name(to)).unwrap();
        self.file = File::create(&self.path).unwrap();
    }
}

fn start(state: &State, eve: &Eve) -> Running {
    Running::start(&["tail", eve.path.to_str().unwrap(), "-c", state.config().to_str().unwrap()], &state.log())
}

/// How often each sid stands in the spool; the process must have ended.
fn sids(state: &State) -> BTreeMap<u64, u32> {
    let mut count = BTreeMap::new();
    for envelope in state.spooled().iter().filter(|e| e.event_type == "alert") {
        let eve: serde_json::Value = serde_json::from_slice(&envelope.eve).unwrap();
        *count.entry(eve["alert"]["signature_id"].as_u64().unwrap()).or_insert(0) += 1;
    }
    count
}

/// Every sid below `end` stands in the spool once, and no other.
fn assert_once_each(state: &State, end: u32) {
    let got = sids(state);
    let missing: Vec<_> = (0..u64::from(end)).filter(|n| !got.contains_key(n)).collect();
    assert!(missing.is_empty(), "lost: {missing:?}\n{}", state.printed());
    let odd: Vec<_> = got.iter().filter(|(sid, n)| **n > 1 || **sid >= u64::from(end)).collect();
    assert!(odd.is_empty(), "doubled or never written: {odd:?}\n{}", state.printed());
}

fn released(state: &State, n: u32) -> Option<()> {
    let mark = format!("\"signature_id\":{n},");
    state.released().iter().any(|l| l.contains(&mark)).then_some(())
}

/// The dropped counters of the last health event in the spool.
fn dropped(state: &State) -> serde_json::Value {
    let health: Vec<_> = state.spooled().into_iter().filter(|e| e.event_type == "stats").collect();
    let last: serde_json::Value = serde_json::from_slice(&health.last().unwrap().eve).unwrap();
    last["stats"]["lagewarte"]["dropped"].clone()
}

#[test]
fn lines_are_shipped_as_they_come_and_what_must_stay_stays() {
    let state = State::new();
    let mut eve = Eve::new(state.dir.path());
    eve.write(0..10);
    let run = start(&state, &eve);
    until("the first lines", || released(&state, 9));
    eve.write(10..20);
    eve.file.write_all(&alert(20).as_bytes()[..50]).unwrap();
    until("the next lines", || released(&state, 19));
    eve.file.write_all(&alert(20).as_bytes()[50..]).unwrap();
    until("a line whose end came later", || released(&state, 20));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    assert_once_each(&state, 21);
    for envelope in state.spooled() {
        let text = String::from_utf8(envelope.eve).unwrap();
        assert!(!text.contains("10.20.1.10") && !text.contains("S2FuYXJpZW52b2dlbA"), "{text}");
        assert_eq!((envelope.constituent.as_str(), envelope.profile.as_str()), ("rathaus", "alerts-only@1"));
        assert!(envelope.spooled_us >= envelope.observed_us && envelope.observed_us > 0);
    }
    // The record of what left says the same as the spool.
    assert_eq!(state.released().len(), state.spooled().len());
}

#[test]
fn a_real_suricatas_events_pass_the_same_door() {
    let state = State::new();
    let eve = repo("rules/captures/foreign-eve.json");
    let run = Running::start(&["tail", &text(&eve), "-c", &text(&state.config())], &state.log());
    let wanted = fs::read_to_string(&eve).unwrap().lines().filter(|l| l.contains("\"event_type\":\"alert\"")).count();
    let alerts = |state: &State| state.released().iter().filter(|l| l.contains("\"class\":\"alert\"")).count();
    until("all alerts", || (alerts(&state) == wanted).then_some(()));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    assert!(wanted > 0);
    let spooled = state.spooled();
    assert_eq!(spooled.iter().filter(|e| e.event_type == "alert").count(), wanted);
    assert!(
        spooled.iter().all(|e| matches!(e.event_type.as_str(), "alert" | "stats")),
        "only what the profile lets out"
    );
    let all: String = spooled.iter().map(|e| String::from_utf8_lossy(&e.eve).into_owned()).collect();
    assert!(all.contains("203.0.113.66") && !all.contains("10.20."), "outer addresses in clear, inner ones not");
}

#[test]
fn bad_lines_are_counted_and_passed() {
    let state = State::new();
    let mut eve = Eve::new(state.dir.path());
    eve.write(0..2);
    eve.file.write_all(b"{broken\n\n\xff\xfe\n[1]\n{\"event_type\":\"alert\"}\n").unwrap();
    eve.file.write_all(&vec![b'x'; (1 << 20) + 7]).unwrap();
    eve.file.write_all(b"\n").unwrap();
    eve.write(2..4);
    let run = start(&state, &eve);
    until("the last line", || released(&state, 3));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    assert_once_each(&state, 4);
    let dropped = dropped(&state);
    for (reason, n) in [("release.not-eve", 2), ("tail.not-utf8", 1), ("release.time", 1), ("tail.line-too-long", 1)] {
        assert_eq!(dropped[reason], n, "{reason}: {dropped}");
    }
}

#[test]
fn rotation_and_truncation_lose_nothing_that_was_written_whole() {
    let state = State::new();
    let mut eve = Eve::new(state.dir.path());
    eve.write(0..100);
    let run = start(&state, &eve);
    until("before", || released(&state, 99));
    // The writer is late: it writes to the renamed file before it opens the new one.
    fs::rename(&eve.path, eve.path.with_file_name("eve.json.1")).unwrap();
    eve.write(100..200);
    eve.file = File::create(&eve.path).unwrap();
    eve.write(200..300);
    until("after the rotation", || released(&state, 299));
    eve.file = OpenOptions::new().write(true).truncate(true).open(&eve.path).unwrap();
    // The reader has to see the truncated file once; it looks twenty times a second.
    until("the truncation is noticed", || state.printed().contains("truncated").then_some(()));
    eve.write(300..400);
    until("after the truncation", || released(&state, 399));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());

    // Rotated twice while nobody reads.
    eve.write(400..450);
    eve.rotate("eve.json.3");
    eve.write(450..500);
    eve.rotate("eve.json.2");
    eve.write(500..550);
    let run = start(&state, &eve);
    until("all that was rotated meanwhile", || released(&state, 549));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    assert_once_each(&state, 550);
}

#[test]
fn killed_at_any_moment_nothing_is_lost_and_nothing_doubled() {
    let state = State::new();
    let mut eve = Eve::new(state.dir.path());
    let mut next = 0;
    for round in 0..12u32 {
        eve.write(next..next + 500);
        next += 500;
        let run = start(&state, &eve);
        // Some rounds die before anything is read, some in the middle, some behind a rotation.
        let at = next - 500 + (round * 97) % 500;
        if round % 4 != 0 {
            until("some progress", || released(&state, at));
        }
        if round % 5 == 4 {
            eve.rotate(&format!("eve.json.{round}"));
        }
        run.kill();
    }
    eve.write(next..next + 10);
    next += 10;
    let run = start(&state, &eve);
    until("the end", || released(&state, next - 1));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    assert_once_each(&state, next);
}
