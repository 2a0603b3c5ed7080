// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The rules of the house that a compiler does not hold: module headers, licences, dependency direction, `unsafe`.

#![expect(clippy::unwrap_used, reason = "a test file: helpers of the tests fail as the tests do")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every file git tracks.
fn tracked() -> Vec<String> {
    let out = Command::new("git").args(["ls-files"]).current_dir(root()).output().unwrap();
    assert!(out.status.success(), "git ls-files failed");
    let files: Vec<_> = String::from_utf8(out.stdout).unwrap().lines().map(str::to_owned).collect();
    assert!(files.len() > 50, "this test must see the tree");
    files.into_iter().filter(|f| root().join(f).is_file()).collect()
}

fn read(file: &str) -> String {
    String::from_utf8_lossy(&fs::read(root().join(file)).unwrap()).into_owned()
}

#[test]
fn every_source_file_opens_with_its_licence_and_every_module_with_its_purpose() {
    let mut bad = Vec::new();
    for f in tracked().iter().filter(|f| f.ends_with(".rs")) {
        let text = read(f);
        if !text.lines().take(5).any(|l| l.contains("SPDX-License-Identifier: EUPL-1.2")) {
            bad.push(format!("{f}: no SPDX licence in the first lines"));
        }
        if !text.lines().take(6).any(|l| l.starts_with("//!")) {
            bad.push(format!("{f}: no //! header"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn files_stay_rooms() {
    // Two ideas in one file show as length. A generated or table file is no exception.
    let long: Vec<_> = tracked()
        .into_iter()
        .filter(|f| f.ends_with(".rs"))
        .map(|f| (read(&f).lines().count(), f))
        .filter(|(n, _)| *n > 1000)
        .collect();
    assert!(long.is_empty(), "over 1000 lines: {long:?}");
}

#[test]
fn nothing_unfinished_or_switched_off() {
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ign", "ore"),
        concat!("FIX", "ME"),
        concat!("#[should", "_panic"),
    ];
    let mut bad = Vec::new();
    for f in tracked().iter().filter(|f| f.ends_with(".rs")) {
        for (n, line) in read(f).lines().enumerate() {
            if words.iter().any(|w| line.contains(w)) {
                bad.push(format!("{f}:{}: {line}", n + 1));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn unsafe_lives_in_two_rooms_only() {
    let allowed = ["sensor/capture/src/", "aggregator/store/src/engine"];
    let mut bad = Vec::new();
    for f in tracked()
        .iter()
        .filter(|f| f.ends_with(".rs") && !allowed.iter().any(|a| f.starts_with(a)) && *f != "xtask/tests/tidy.rs")
    {
        for (n, line) in read(f).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            // The keyword has its block or item behind it, or the line's end; the word in a text (a page's policy) has not.
            let keyword = |rest: &str| {
                rest.is_empty() || ["{", "(", "fn ", "impl", "extern", "trait"].iter().any(|k| rest.starts_with(k))
            };
            if code.match_indices("unsafe").any(|(at, w)| keyword(code[at + w.len()..].trim_start())) {
                bad.push(format!("{f}:{}: {line}", n + 1));
            }
        }
    }
    assert!(bad.is_empty(), "unsafe outside capture and the engine loader:\n{}", bad.join("\n"));
}

#[test]
fn no_machine_path_or_registry_host_is_committed() {
    let hosts =
        ["registry.npmjs", "static.crates", "index.crates", "files.pythonhosted", "deb.debian", concat!("/wo", "rk/")];
    let mut bad = Vec::new();
    for f in tracked()
        .iter()
        .filter(|f| !f.ends_with(".lock") && !f.ends_with(".pcap") && *f != "deny.toml" && *f != "xtask/tests/tidy.rs")
    {
        for (n, line) in read(f).lines().enumerate() {
            if hosts.iter().any(|h| line.contains(h)) {
                bad.push(format!("{f}:{}: {}", n + 1, line.chars().take(120).collect::<String>()));
            }
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Who may use whom, by name without the prefix. What is not here may not be.
const MAY_USE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("event", &["base"]),
    ("rules", &["base", "event"]),
    ("capture", &["base"]),
    ("decode", &["base"]),
    ("spool", &["base"]),
    ("flow", &["base", "event", "decode"]),
    ("app", &["base", "event", "decode", "flow"]),
    ("detect", &["base", "event", "decode", "flow", "app", "rules"]),
    ("uplink", &["base", "event", "spool"]),
    ("agent", &["base", "event", "rules", "capture", "decode", "flow", "app", "detect", "spool", "uplink"]),
    ("testkit", &["base"]),
    ("store", &["base", "event", "rules"]),
    ("ingest", &["base", "event", "rules", "store"]),
    ("picture", &["base", "event", "rules", "store"]),
    ("warn", &["base", "event", "rules", "store", "picture"]),
    ("deliver", &["base", "event", "rules", "store", "picture", "warn"]),
    ("web", &["base", "event", "rules", "store", "picture", "warn", "deliver"]),
    ("server", &["base", "event", "rules", "store", "ingest", "picture", "warn", "deliver", "web"]),
    // spool and uplink for the simulated sensors of its fleet, ingest and store for a certificate that is about to expire and
    // the throw-away PostgreSQL of its soak: the tests go through the binaries.
    ("e2e", &["base", "event", "rules", "spool", "uplink", "testkit", "ingest", "store"]),
    ("benches", &["base", "event", "rules", "capture", "decode", "flow", "app", "detect", "spool", "agent", "testkit"]),
    ("xtask", &["base", "testkit", "e2e"]),
];
/// What the aggregator must not link: a matcher is the sensor's work.
const NO_MATCHER: &[&str] = &["store", "ingest", "picture", "warn", "deliver", "web", "server"];

#[test]
fn dependencies_follow_the_way_of_a_packet() {
    let metadata = cargo_metadata::MetadataCommand::new().manifest_path(root().join("Cargo.toml")).exec().unwrap();
    let short = |n: &str| n.strip_prefix("lagewarte-").unwrap_or(n).to_owned();
    let may: BTreeMap<_, BTreeSet<_>> = MAY_USE.iter().map(|(k, v)| (*k, v.iter().copied().collect())).collect();
    let mut bad = Vec::new();
    let mut seen = BTreeSet::new();
    for p in metadata.workspace_packages() {
        let name = short(p.name.as_str());
        seen.insert(name.clone());
        let Some(allowed) = may.get(name.as_str()) else {
            bad.push(format!("{name} has no line in MAY_USE"));
            continue;
        };
        for d in &p.dependencies {
            let test_only = d.kind == cargo_metadata::DependencyKind::Development;
            if d.path.is_some() && !test_only && !allowed.contains(short(&d.name).as_str()) {
                bad.push(format!("{name} must not use {}", short(&d.name)));
            }
            if NO_MATCHER.contains(&name.as_str())
                && !test_only
                && ["aho-corasick", "hyperscan", "pcre2"].contains(&d.name.as_str())
            {
                bad.push(format!("{name} links the matcher {}", d.name));
            }
        }
    }
    let missing: Vec<_> = may.keys().filter(|k| !seen.contains(**k)).collect();
    assert!(missing.is_empty(), "in MAY_USE but not in the workspace: {missing:?}");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn the_conformance_floor_never_falls() {
    let file = "xtask/conformance.floor";
    let git = |args: &[&str]| {
        let out = Command::new("git").args(args).current_dir(root()).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let figures = |text: &str| -> BTreeMap<String, f64> {
        text.lines()
            .filter(|l| !l.starts_with('#'))
            .filter_map(|l| l.split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().parse().unwrap()))
            .collect()
    };
    let now = figures(&read(file));
    assert_eq!(now.keys().collect::<Vec<_>>(), ["all", "first", "mean"]);
    // A shallow clone knows fewer versions; those it knows hold.
    for commit in git(&["log", "--format=%H", "--", file]).lines() {
        for (name, was) in figures(&git(&["show", &format!("{commit}:{file}")])) {
            assert!(now[&name] >= was, "{name} was {was} in {commit} and is {} now", now[&name]);
        }
    }
}
