// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Stored files through the binary: which are kept, under which name, and that none is where nobody asked.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's")]

mod common;

use std::{fs, path::Path, process::Command};

use common::{repo, sensor, stderr, text};
use serde_json::Value;

/// A web server's pages, loaded by a real client.
const CAPTURE: &str = "rules/sets/tests/1100413-webshell-answer/quiet.pcap";

fn replay(dir: &Path, config: &str, rules: &str) -> Vec<Value> {
    fs::write(dir.join("c.yaml"), config).unwrap();
    fs::write(dir.join("a.rules"), rules).unwrap();
    let [c, s, l] = ["c.yaml", "a.rules", "out"].map(|n| text(&dir.join(n)));
    let done = sensor(&["replay", "-r", &text(&repo(CAPTURE)), "-l", &l, "-c", &c, "-S", &s, "--init-errors-fatal"]);
    assert!(done.status.success(), "{}", stderr(&done));
    let eve = fs::read_to_string(dir.join("out/eve.json")).unwrap();
    eve.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn stored(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().map(Result::unwrap) {
        match entry.path() {
            p if p.is_dir() => names.extend(stored(&p)),
            p => names.push(p.file_name().unwrap().to_string_lossy().into_owned()),
        }
    }
    names.sort();
    names
}

const ON: &str = "outputs:\n  - file-store:\n      enabled: yes\n";

#[test]
fn a_rule_stores_what_it_matched_under_the_files_own_hash() {
    let dir = tempfile::tempdir().unwrap();
    let rule = "alert http any any -> any any (flow:to_client; filesize:>0; filestore; noalert; sid:1;)\n";
    let events = replay(dir.path(), ON, rule);
    let infos: Vec<&Value> = events.iter().filter(|e| e["event_type"] == "fileinfo").map(|e| &e["fileinfo"]).collect();
    let mut want: Vec<String> = infos
        .iter()
        .filter(|f| f["stored"] == true)
        .map(|f| f["sha256"].as_str().expect("what is stored has its hash").to_owned())
        .collect();
    want.sort();
    want.dedup();
    assert!(!want.is_empty() && infos.iter().all(|f| f["stored"] == (f["size"] != 0)), "{infos:?}");
    let folder = dir.path().join("out/filestore");
    assert_eq!(stored(&folder), want);
    for name in want {
        // An independent reader of the bytes.
        let sum = Command::new("sha256sum").arg(folder.join(&name[..2]).join(&name)).output().unwrap();
        assert!(String::from_utf8_lossy(&sum.stdout).starts_with(&name));
    }
    let stats = events.iter().find(|e| e["event_type"] == "stats").unwrap();
    assert_eq!(stats["stats"]["file_store"]["not_stored"], 0);
}

#[test]
fn nothing_is_stored_where_nobody_asked_and_everything_where_the_operator_did() {
    for (config, rules, any) in [
        ("", "alert http any any -> any any (filestore; sid:1;)\n", false),
        (ON, "alert http any any -> any any (filestore; filename:\"no such name\"; sid:1;)\n", false),
        (ON, "alert http any any -> any any (file.name; content:\"/\"; sid:1;)\n", false),
        ("outputs:\n  - file-store:\n      enabled: yes\n      force-filestore: yes\n", "", true),
        (ON, "alert http any any -> any any (filestore:both,flow; sid:1;)\n", true),
        (ON, "alert http any any -> any any (filestore:response,tx; sid:1;)\n", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let events = replay(dir.path(), config, rules);
        let told = events.iter().any(|e| e["fileinfo"]["stored"] == true);
        let files = stored(&dir.path().join("out/filestore"));
        assert_eq!((told, !files.is_empty()), (any, any), "{rules}");
    }
}

#[test]
fn a_list_of_hashes_is_beside_its_rule_file() {
    let dir = tempfile::tempdir().unwrap();
    let force =
        "outputs:\n  - eve-log:\n      types:\n        - files:\n            force-hash: [md5]\n        - alert\n";
    let events = replay(dir.path(), force, "");
    let known = events.iter().find_map(|e| e["fileinfo"]["md5"].as_str()).unwrap();
    fs::write(dir.path().join("known.md5"), format!("{known}  a page\n")).unwrap();
    let rules = "alert http any any -> any any (filemd5:known.md5; sid:1;)\n\
                 alert http any any -> any any (filemd5:!known.md5; sid:2;)\n";
    let events = replay(dir.path(), "", rules);
    let with = |sid: u64, known: bool, md5: &str| {
        events
            .iter()
            .filter(|e| e["alert"]["signature_id"] == sid)
            .all(|e| e["files"].as_array().unwrap().iter().any(|f| (f["md5"] == md5) == known))
    };
    assert!(events.iter().any(|e| e["alert"]["signature_id"] == 1));
    assert!(with(1, true, known) && with(2, false, known));
}

#[test]
fn the_kind_of_a_file_is_told_where_the_operator_or_a_rule_asks() {
    const FILES: &str =
        "outputs:\n  - eve-log:\n      types:\n        - files:\n            force-magic: yes\n        - alert\n";
    const STORE: &str = "outputs:\n  - file-store:\n      enabled: yes\n      force-magic: yes\n";
    let rule = "alert http any any -> any any (filemagic:\"ascii TEXT\"; sid:1;)\n";
    for (config, rules, any) in [("", "", false), (FILES, "", true), (STORE, "", true), ("", rule, true)] {
        let dir = tempfile::tempdir().unwrap();
        let events = replay(dir.path(), config, rules);
        let infos = events.iter().filter(|e| e["event_type"] == "fileinfo").map(|e| &e["fileinfo"]);
        let whole: Vec<&Value> = infos.filter(|f| f["size"] != 0).collect();
        assert!(!whole.is_empty() && whole.iter().all(|f| f["magic"].is_string() == any), "{config}{rules}: {whole:?}");
        for alert in events.iter().filter(|e| e["event_type"] == "alert") {
            assert!(alert["files"][0]["magic"].as_str().unwrap().contains("ASCII text"), "{alert}");
        }
        assert_eq!(events.iter().any(|e| e["event_type"] == "alert"), !rules.is_empty());
    }
}
