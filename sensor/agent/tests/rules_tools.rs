// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The tools for those who write rules, through the binary: what they print, and how they end.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's")]

mod common;

use std::{fs, path::Path};

use common::{repo, sensor, stderr, stdout, text};
use serde_json::Value;

const CAPTURE: &str = "rules/sets/tests/1100401-log4shell/fires.pcap";
const QUIET: &str = "rules/sets/tests/1100401-log4shell/quiet.pcap";

fn written(dir: &Path, name: &str, content: &str) -> String {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    text(&path)
}

#[test]
fn check_shows_the_place_of_what_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "alert udp any any -> any any (msg:\"a\"; nonsense:1; sid:1;)\n";
    let done = sensor(&["rules", "check", &written(dir.path(), "a.rules", rules)]);
    let out = stdout(&done);
    let lines: Vec<&str> = out.lines().collect();
    let at = lines.iter().position(|l| l.contains("    1 | alert udp")).unwrap();
    assert_eq!(lines[at + 1].find('^').unwrap(), lines[at].find("nonsense").unwrap(), "{out}");
}

#[test]
fn lint_and_explain_tell_in_text_and_json() {
    let dir = tempfile::tempdir().unwrap();
    let rules = "alert tcp any any -> any any (msg:\"m\"; content:\"abcd\"; flowbits:isset,never; rev:1; classtype:trojan-activity; sid:7;)\n";
    let file = written(dir.path(), "a.rules", rules);
    let done = sensor(&["rules", "lint", &file]);
    assert!(done.status.success() && stdout(&done).contains("never matches: sid 7: flowbits:"), "{}", stdout(&done));
    let done = sensor(&["rules", "lint", "--json", "--fatal", &file]);
    assert_eq!(done.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&found[0]["kind"], &found[0]["sid"]), (&Value::from("never-matches"), &Value::from(7)));
    let done = sensor(&["rules", "explain", "7", &file]);
    assert!(stdout(&done).contains("named marks on the flow"), "{}", stdout(&done));
    let told: Value = serde_json::from_slice(&sensor(&["rules", "explain", "--json", "7", &file]).stdout).unwrap();
    assert_eq!(told[0]["options"].as_array().unwrap().len(), 6);
    let done = sensor(&["rules", "explain", "8", &file]);
    assert!(!done.status.success() && stderr(&done).contains("sid 8"), "{}", stderr(&done));
}

#[test]
fn test_and_profile_run_rules_on_captures() {
    let dir = tempfile::tempdir().unwrap();
    let good = "alert http any any -> any any (msg:\"g\"; http.user_agent; content:\"jndi\"; nocase; sid:1;)\n\
                alert tcp any any -> any any (msg:\"s\"; flags:S; noalert; sid:2;)\n";
    let rules = written(dir.path(), "cases/good/a.rules", good);
    fs::copy(repo(CAPTURE), dir.path().join("cases/good/fires.pcap")).unwrap();
    let folder = text(&dir.path().join("cases"));
    let profile = sensor(&["rules", "profile", "--json", "-r", &text(&repo(CAPTURE)), &rules]);
    let rows: Value = serde_json::from_slice(&profile.stdout).unwrap();
    let of = |sid: u64| rows.as_array().unwrap().iter().find(|r| r["sid"] == sid).cloned().unwrap_or_default();
    assert!(of(2)["matches"].as_u64() > Some(0) && of(2)["alerts"] == 0, "{rows}");
    // What the rule does on the two captures is told by a replay.
    let fires = |capture: &str| {
        let out = dir.path().join("out");
        sensor(&["replay", "-k", "none", "-r", &text(&repo(capture)), "-l", &text(&out), "-S", &rules]);
        fs::read_to_string(out.join("eve.json")).unwrap().lines().filter(|l| l.contains("\"signature_id\":1,")).count()
    };
    let (on_attack, on_quiet) = (fires(CAPTURE), fires(QUIET));
    assert_eq!(on_quiet, 0);
    let done = sensor(&["rules", "test", &folder]);
    assert_eq!(done.status.success(), on_attack > 0, "{}", stdout(&done));
    // A folder that says otherwise fails, and says how.
    written(dir.path(), "cases/wrong/case.json", r#"{"sid": 1, "fires": 99}"#);
    fs::copy(repo(CAPTURE), dir.path().join("cases/wrong/fires.pcap")).unwrap();
    let done = sensor(&["rules", "test", "--json", "-S", &rules, &folder]);
    assert_eq!(done.status.code(), Some(1));
    let tested: Value = serde_json::from_slice(&done.stdout).unwrap();
    let fault = tested[1]["faults"][0].as_str().unwrap();
    assert!(fault.contains(&format!("{on_attack} alerts of sid 1, wanted 99")), "{fault}");
}

#[test]
fn compare_says_which_rules_differ_and_ends_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let line = |sid: u32| {
        format!(
            "{{\"event_type\":\"alert\",\"src_ip\":\"192.0.2.1\",\"src_port\":1,\"dest_ip\":\"192.0.2.2\",\"dest_port\":2,\"proto\":\"UDP\",\"alert\":{{\"signature_id\":{sid}}}}}\n"
        )
    };
    let ours = written(dir.path(), "ours.json", &(line(1) + &line(2)));
    let theirs = written(dir.path(), "theirs.json", &(line(1) + &line(2) + &line(2)));
    let done = sensor(&["compare", &ours, &theirs, "--at-least", "97"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(stdout(&done).contains("sid 2: 1 ours, 2 theirs"), "{}", stdout(&done));
    let done = sensor(&["compare", &ours, &theirs, "--json", "--ignore", "2", "--at-least", "97"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let c: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&c["sids"], &c["differences"]), (&Value::from(1), &serde_json::json!([])));
}
