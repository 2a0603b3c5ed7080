// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The demo as a test: every attack reaches exactly the addressed constituents, through kills in mid-run.

use std::process::Command;

use serde_json::Value;

#[test]
fn every_attack_reaches_exactly_the_addressed_and_nothing_is_lost() {
    let xtask = lagewarte_e2e::binary("xtask", "xtask").expect("built");
    // With the programs that the tests were built with: it would build them again, without the tests' features.
    let built = xtask.parent().expect("in a folder");
    let out = Command::new(&xtask).args(["demo", "--once", "--json"]).env("LAGEWARTE_BIN_DIR", built).output();
    let out = out.expect("the demo starts");
    let text = String::from_utf8_lossy(&out.stdout);
    let last = text.lines().last().unwrap_or_default();
    let said = String::from_utf8_lossy(&out.stderr);
    let report: Value =
        serde_json::from_str(last).unwrap_or_else(|e| panic!("the last line is no JSON ({e}): {last}\n{said}"));
    println!("{report:#}");
    for key in [
        "events_produced",
        "events_stored",
        "events_dropped",
        "alerts_produced",
        "alerts_stored",
        "warnings",
        "acknowledgements",
        "latency_ms",
    ] {
        assert!(!report[key].is_null(), "the report lacks {key}");
    }
    let checks = report["checks"].as_object().expect("the report has checks");
    assert!(checks.len() >= 12, "a check was dropped: {checks:?}");
    let failed: Vec<_> = checks.iter().filter(|(_, v)| **v != Value::Bool(true)).map(|(k, _)| k).collect();
    assert!(failed.is_empty() && out.status.success(), "did not hold: {failed:?}\n{said}");
    // Four, four and three constituents; nobody else.
    assert_eq!((&report["acknowledgements"], &report["warnings"]), (&Value::from(11), &Value::from(3)));
}
