// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Each own rule fires on its capture exactly as often as its case says, with every own rule loaded and nothing else
//! firing; and no own rule fires on the same service in legitimate use or on an hour of background. Through the binary.
//!
//! The numbers in `case.json` follow from the rule and the scenario (rules/captures/README.md), not from a run.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const BACKGROUND_HOME_NET: &str = "[10.0.0.0/8,192.168.0.0/16,fc00::/7]";

fn rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules")
}

fn rule_files() -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(rules().join("sets"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "rules"))
        .collect();
    files.sort();
    assert!(files.len() >= 7, "the own rules are not where they should be");
    files
}

/// Alerts by sid of one replay with all own rules.
fn alerts(capture: &Path, home_net: &str) -> BTreeMap<u64, u64> {
    let out = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lagewarte-sensor"));
    command.args(["replay", "-k", "all", "-r"]).arg(capture).arg("-l").arg(out.path());
    for file in rule_files() {
        command.arg("-S").arg(file);
    }
    let classes = rules().join("sets/classification.config");
    for set in [
        format!("vars.address-groups.HOME_NET={home_net}"),
        "vars.address-groups.EXTERNAL_NET=!$HOME_NET".into(),
        format!("classification-file={}", classes.display()),
    ] {
        command.args(["--set", &set]);
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}: {}", capture.display(), String::from_utf8_lossy(&done.stderr));
    let mut counts = BTreeMap::new();
    for line in fs::read_to_string(out.path().join("eve.json")).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["event_type"] == "alert" {
            *counts.entry(event["alert"]["signature_id"].as_u64().unwrap()).or_default() += 1;
        }
    }
    counts
}

#[test]
fn every_own_rule_is_honoured() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lagewarte-sensor"));
    let out = command.args(["rules", "check", "--json"]).args(rule_files()).output().unwrap();
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(report["refused"], serde_json::json!([]));
    assert!(report["loaded"].as_u64() >= Some(38), "{report}");
}

#[test]
fn each_case_fires_as_stated_and_its_legitimate_twin_is_quiet() {
    let mut cases: Vec<_> = fs::read_dir(rules().join("sets/tests")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 36, "cases are missing");
    let mut wrong = Vec::new();
    for case in cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let said: Value = serde_json::from_slice(&fs::read(case.join("case.json")).unwrap()).unwrap();
        let (sid, fires) = (said["sid"].as_u64().unwrap(), said["fires"].as_u64().unwrap());
        let home_net = said["home_net"].as_str().unwrap();
        for (capture, wanted) in [("fires.pcap", BTreeMap::from([(sid, fires)])), ("quiet.pcap", BTreeMap::new())] {
            let found = alerts(&case.join(capture), home_net);
            if found != wanted {
                wrong.push(format!("{name}/{capture}: alerts by sid {found:?}, stated {wanted:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_hour_of_background_is_quiet() {
    assert_eq!(alerts(&rules().join("captures/background.pcap"), BACKGROUND_HOME_NET), BTreeMap::new());
}
