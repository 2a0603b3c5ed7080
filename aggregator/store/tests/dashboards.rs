// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The dashboards' every panel against the real engine, as Grafana's read-only user; the alert rules through promtool.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;
#[path = "common/grafana.rs"]
mod grafana;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::{alert, anyone, ask, health, id, now, store};
use lagewarte_base::time::Timestamp;
use lagewarte_event::Gap;
use lagewarte_store::telemetry::{Rows, extract, gap, quarantine};
use serde_json::Value;

lagewarte_store::engine_in_tests!();

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn dashboards() -> Vec<(String, Value)> {
    let dir = root().join("dashboards/grafana");
    let mut all: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|f| f.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .map(|p| {
            (
                p.file_name().unwrap().to_string_lossy().into_owned(),
                serde_json::from_str(&fs::read_to_string(&p).unwrap()).unwrap(),
            )
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(all.len() >= 2);
    all
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or_else(|| panic!("no {key} in {v}"))
}

/// Panels with their targets, rows left out.
fn panels(dashboard: &Value) -> Vec<&Value> {
    dashboard["panels"].as_array().unwrap().iter().filter(|p| text(p, "type") != "row").collect()
}

/// For the last day, in steps of a minute.
fn expand(sql: &str, constituent: Option<&str>) -> String {
    let to = now() / 1_000_000 + 60;
    grafana::expand(sql, to - 86_400, to, 60, constituent)
}

#[tokio::test]
async fn every_panel_answers_the_read_only_user_with_rows() {
    let s = store(module_path!()).await;
    let n = now() - 60_000_000;
    let at = |us: i64| Timestamp::from_micros(us);
    let mut rows = Rows::new("l/1", 0);
    for (i, env) in [
        alert("stadt-a", n, 7, "203.0.113.7"),
        alert("stadt-b", n, 7, "203.0.113.7"),
        alert("stadt-a", n - 1_200_000_000, 8, "2001:db8::1"),
        health("stadt-a", n, 1_000, 10),
        health("stadt-a", n + 30_000_000, 2_000, 20),
    ]
    .iter()
    .enumerate()
    {
        rows.push(&extract(&id(1, i as u64), env, at(n), at(n + 30_000_000), &anyone).unwrap());
    }
    let bad = alert("stadt-a", n, 7, "?");
    let poison = extract(&id(1, 8), &bad, at(n), at(n), &anyone).unwrap_err();
    rows.push(&quarantine(&id(1, 8), &bad, at(n), &poison));
    rows.push(&gap(&id(1, 0), &Gap { from_seq: 20, to_seq: 29, reason: "quota".into() }, at(n)));
    s.telemetry.insert_segment(&rows).await.unwrap();

    let c = s.engine.connection();
    ask(&c, "INSERT INTO eviction VALUES ('flow', '20260101', 5, 500, now64(6), now64(6))").await.unwrap();
    ask(
        &c,
        "INSERT INTO rebuild VALUES (generateUUIDv4(), 'alert', generateUUIDv4(), now64(6), now64(6), true, now64(6))",
    )
    .await
    .unwrap();
    let reader = s.engine.grafana();
    let mut asked = 0;
    for (file, dashboard) in dashboards() {
        let variables = dashboard["templating"]["list"].as_array().unwrap();
        for v in variables {
            let answer = ask(&reader, &expand(text(v, "query"), None)).await.unwrap();
            assert_eq!(answer, "stadt-a\nstadt-b", "{file}: variable {}", text(v, "name"));
        }
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().unwrap() {
                let Some(sql) = target["rawSql"].as_str() else { continue };
                for who in [None, Some("stadt-a")] {
                    let sql = expand(sql, who);
                    let title = text(panel, "title");
                    let answer = ask(&reader, &format!("{sql} FORMAT JSONCompact")).await;
                    let answer = answer.unwrap_or_else(|e| panic!("{file}, {title}: {e}\n{sql}"));
                    let json: Value = serde_json::from_str(&answer).unwrap();
                    let data = json["data"].as_array().unwrap();
                    assert!(!data.is_empty(), "{file}, {title}: no rows\n{sql}");
                    if text(panel, "type") == "stat" {
                        assert_ne!(data[0][0], "0", "{file}, {title}: nothing counted");
                    }
                    if target["format"] == 0 {
                        assert_eq!(json["meta"][0]["name"], "time", "{file}, {title}");
                    }
                    asked += 1;
                }
            }
        }
    }
    assert!(asked >= 30, "{asked}");
    // The loss panel shows the loss: 10 of 1,010 between the two reports.
    let (_, sensors) = dashboards().into_iter().find(|d| d.0 == "sensoren.json").unwrap();
    let all = panels(&sensors);
    let loss = all.iter().find(|p| text(p, "title") == "Paketverlust").unwrap();
    let answer =
        ask(&reader, &format!("SELECT max(Verlust) FROM ({})", expand(text(&loss["targets"][0], "rawSql"), None)))
            .await
            .unwrap();
    assert!((answer.parse::<f64>().unwrap() - 10.0 / 1_010.0).abs() < 1e-9, "{answer}");
}

#[test]
fn dashboards_are_well_formed() {
    let sources =
        fs::read_to_string(root().join("dashboards/grafana/provisioning/datasources/lagewarte.yaml")).unwrap();
    let mut uids = BTreeSet::new();
    for (file, d) in dashboards() {
        assert!(uids.insert(text(&d, "uid").to_owned()), "{file}: uid used twice");
        assert!(text(&d, "uid").len() <= 40, "{file}: Grafana takes 40 characters");
        let mut ids = BTreeSet::new();
        let mut cells = BTreeSet::new();
        for p in d["panels"].as_array().unwrap() {
            assert!(ids.insert(p["id"].as_u64().unwrap()), "{file}: panel id twice");
            let g = |k: &str| p["gridPos"][k].as_u64().unwrap();
            assert!(g("x") + g("w") <= 24, "{file}: {}", text(p, "title"));
            for x in g("x")..g("x") + g("w") {
                for y in g("y")..g("y") + g("h") {
                    assert!(cells.insert((x, y)), "{file}: {} overlaps", text(p, "title"));
                }
            }
        }
        for p in panels(&d) {
            assert!(!text(p, "description").is_empty(), "{file}: {}", text(p, "title"));
            for t in p["targets"].as_array().unwrap() {
                let uid = text(&t["datasource"], "uid");
                assert_eq!(uid, text(&p["datasource"], "uid"));
                assert!(sources.contains(&format!("uid: {uid}")), "{file}: {uid} is not provisioned");
                assert!(t["rawSql"].is_string() != t["expr"].is_string(), "{file}: {}", text(p, "title"));
            }
        }
    }
}

fn promtool(args: &[&str]) {
    let out = Command::new("promtool")
        .args(args)
        .current_dir(root().join("dashboards/prometheus"))
        .output()
        .expect("promtool, as `cargo xtask setup` installs it (apt-get install prometheus)");
    assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
}

#[test]
fn alert_rules_do_what_their_tests_say_and_panels_are_promql() {
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts_test.yml"]);
    let dir = tempfile::tempdir().unwrap();
    let mut rules = "groups:\n- name: panels\n  rules:\n".to_owned();
    for (i, expr) in expressions().iter().enumerate() {
        rules += &format!("  - record: panel:{i}\n    expr: {}\n", serde_json::to_string(expr).unwrap());
    }
    let file = dir.path().join("panels.yml");
    fs::write(&file, rules).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

/// PromQL of all panels.
fn expressions() -> Vec<String> {
    let all = dashboards();
    let of = |d: &Value| {
        let targets = panels(d).into_iter().flat_map(|p| p["targets"].as_array().unwrap());
        targets.filter_map(|t| t["expr"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let found: Vec<_> = all.iter().flat_map(|d| of(&d.1)).collect();
    assert!(found.len() >= 6);
    found
}

#[test]
fn every_metric_asked_for_is_made_by_the_code() {
    fn sources(dir: &Path, out: &mut String) {
        for e in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = e.path();
            if path.is_dir() && e.file_name() != "target" {
                sources(&path, out);
            } else if path.extension().is_some_and(|x| x == "rs") && !path.ends_with("tests/dashboards.rs") {
                out.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut code = String::new();
    sources(&root().join("aggregator"), &mut code);
    let mut asked = expressions().join(" ");
    asked += &fs::read_to_string(root().join("dashboards/prometheus/alerts.yml")).unwrap();
    let names: BTreeSet<&str> = asked
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|w| w.starts_with("lagewarte_") && *w != "lagewarte_")
        .collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let base = name.strip_suffix("_bucket").unwrap_or(name);
        let short = ["lagewarte_picture_", "lagewarte_ingest_"].iter().find_map(|p| base.strip_prefix(p));
        let made = code.contains(&format!("\"{base}\"")) || short.is_some_and(|s| code.contains(&format!("\"{s}\"")));
        assert!(made, "{name} is asked for and never made");
    }
}
