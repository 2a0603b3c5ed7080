// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Matchers kept on disk: `run` has them in its state directory, `replay` where it is told to, and nothing wrong with them
//! stops either.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's")]

mod common;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use common::{Running, State, repo, sensor, stderr, text, until};

const CAPTURE: &str = "rules/sets/tests/1100401-log4shell/fires.pcap";
const FILE: &str = "lagewarte-matchers.bin";

/// Rules on UDP and on HTTP, one of which is changed.
fn write(file: &Path, changed: &str) {
    let rules = (1..50).fold(String::new(), |mut all, n| {
        let word = if n == 9 { changed } else { "word" };
        let _ = writeln!(all, "alert udp any any -> any any (content:\"{word} {n:03}\"; sid:{n};)");
        let _ = writeln!(all, "alert http any any -> any any (http.uri; content:\"/page/{n:03}\"; sid:1{n:03};)");
        all
    });
    fs::write(file, rules).unwrap();
}

/// What each loading said of its matchers: known and new.
fn told(printed: &str) -> Vec<(u32, u32)> {
    let lines = printed.lines().filter_map(|l| l.split_once("matchers compiled known=")?.1.split_once(" new="));
    lines.map(|(known, new)| (known.parse().unwrap(), new.parse().unwrap())).collect()
}

#[test]
fn run_knows_them_after_a_reload_and_a_restart() {
    let state = State::new();
    let rules = state.dir.path().join("own.rules");
    write(&rules, "word");
    let (capture, file, config) = (text(&repo(CAPTURE)), text(&rules), text(&state.config()));
    let args = ["run", "-r", &capture, "--pace", "1000", "-S", &file, "-c", &config, "-k", "none"];
    let said = |n: usize| until("it is said", || Some(told(&state.printed())).filter(|t| t.len() == n));
    let run = Running::start(&args, &state.log());
    let [(0, all)] = said(1)[..] else { panic!("{}", state.printed()) };
    assert!(all > 3, "{}", state.printed());
    until("it runs", || (!state.released().is_empty()).then_some(()));
    write(&rules, "work");
    assert!(Command::new("kill").arg("-USR2").arg(run.0.id().to_string()).status().unwrap().success());
    let (known, new) = said(2)[1];
    // To the server, to the client, and without a flow.
    assert_eq!((known, new), (all - 3, 3));
    until("the rules are read again", || state.printed().contains("the rules were read again").then_some(()));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    assert!(state.path().join("matchers").join(FILE).is_file());

    let run = Running::start(&args, &state.log());
    assert_eq!(said(3)[2], (all, 0));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    // Off.
    let run = Running::start(&[&args[..], &["--set", "detect.sgh-mpm-caching=no"]].concat(), &state.log());
    let told_before = state.released().len();
    until("it runs", || (state.released().len() > told_before).then_some(()));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
    assert_eq!(told(&state.printed()).len(), 3);
}

/// A replay of the capture, with these settings.
fn replay(dir: &Path, sets: &[String]) -> Output {
    let (capture, rules, out) = (text(&repo(CAPTURE)), text(&dir.join("own.rules")), text(&dir.join("out")));
    let mut args = vec!["replay", "-r", &capture, "-S", &rules, "-l", &out];
    sets.iter().for_each(|s| args.extend(["--set", s]));
    let out = sensor(&args);
    assert!(out.status.success(), "{}", stderr(&out));
    out
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

#[test]
fn replay_keeps_them_only_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    write(&at("own.rules"), "word");
    let path = |to: &Path| format!("detect.sgh-mpm-caching-path={}", text(to));
    let on = |is: &str| format!("detect.sgh-mpm-caching={is}");
    for sets in [vec![], vec![on("yes")], vec![on("no"), path(&at("kept"))]] {
        assert!(told(&stderr(&replay(dir.path(), &sets))).is_empty(), "{sets:?}");
        assert_eq!(names(dir.path()), [at("out"), at("own.rules")], "{sets:?}");
        assert_eq!(names(&at("out")), [at("out").join("eve.json")]);
    }
    let [(0, all)] = told(&stderr(&replay(dir.path(), &[path(&at("kept"))])))[..] else { panic!("nothing is told") };
    let again = [path(&at("kept")), on("yes")];
    assert_eq!(told(&stderr(&replay(dir.path(), &again))), [(all, 0)]);

    // Damage: said, and mended.
    let file = at("kept").join(FILE);
    let mut bytes = fs::read(&file).unwrap();
    bytes[100] ^= 1;
    fs::write(&file, bytes).unwrap();
    let out = stderr(&replay(dir.path(), &again));
    assert_eq!(told(&out), [(0, all)]);
    assert_eq!(out.matches("WARN").count(), 1, "{out}");
    assert!(out.contains(FILE) && out.contains("damaged"), "{out}");
    assert_eq!(told(&stderr(&replay(dir.path(), &again))), [(all, 0)]);

    // A place that is none.
    let out = stderr(&replay(dir.path(), &[path(&at("own.rules"))]));
    assert_eq!(told(&out), [(0, all)]);
    assert!(out.contains("detect.sgh-mpm-caching-path") && out.contains("own.rules"), "{out}");
}
