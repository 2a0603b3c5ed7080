// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The table of keys is the keys that are read, its defaults are the defaults, and faults name key and remedy.

use std::collections::BTreeSet;

use super::*;

const EXAMPLE: &str = include_str!("../../lagewarte-aggregator.yaml");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/aggregator-config.md");

/// YAML that sets one key, with what its section needs beside it.
fn alone(key: &str, value: &str) -> String {
    let mut yaml = value.to_owned();
    for (depth, part) in key.split('.').rev().enumerate() {
        let mail = depth == 1 && part == "mail";
        let needed: Vec<_> = [("smtp", "smtp://localhost"), ("from", "a@b.example")]
            .iter()
            .filter(|(k, _)| mail && key != format!("mail.{k}"))
            .map(|(k, v)| format!(", {k}: '{v}'"))
            .collect();
        yaml = if depth == 0 { format!("{part}: {yaml}") } else { format!("{part}: {{{yaml}{}}}", needed.concat()) };
    }
    yaml
}

/// The keys that are really read, asked of the parser itself: it lists them where an unknown one stands.
fn read_keys(prefix: &str, found: &mut BTreeSet<String>) {
    let unknown = if prefix.is_empty() { "zzz: 1".into() } else { alone(&format!("{prefix}.zzz"), "1") };
    let e = Config::parse(&unknown).expect_err("an unknown key is refused").to_string();
    let Some((_, list)) = e.split_once("expected ").filter(|_| e.contains("unknown field `zzz`")) else {
        found.insert(prefix.to_owned());
        return;
    };
    for key in list.split('`').skip(1).step_by(2) {
        read_keys(&if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }, found);
    }
}

#[test]
fn the_table_names_every_key_that_is_read_and_no_other() {
    let mut read = BTreeSet::new();
    read_keys("", &mut read);
    let named: BTreeSet<String> = KEYS.iter().map(|k| k.name.to_owned()).collect();
    assert_eq!(named, read);
}

#[test]
fn the_tables_defaults_are_the_defaults_and_its_examples_change_something() {
    let default = format!("{:?}", Config::default());
    for k in KEYS {
        let parsed = |value: &str| match Config::parse(&alone(k.name, value)) {
            Ok(c) => format!("{c:?}"),
            Err(e) => unreachable!("{} = {value}: {e}", k.name),
        };
        // Section mail is there or not; its defaults hold where it is.
        let base = if k.name.starts_with("mail.") { parsed_mail() } else { default.clone() };
        if !k.default.is_empty() {
            assert_eq!(parsed(k.default), base, "{}", k.name);
        }
        assert_ne!(parsed(&quoted(k.example)), base, "{}", k.name);
    }
}

/// Section mail with what it needs and nothing else.
fn parsed_mail() -> String {
    format!("{:?}", Config::parse("mail: {smtp: 'smtp://localhost', from: 'a@b.example'}").expect("is right"))
}

/// Values inside `{}` need quotes where they hold what YAML reads.
fn quoted(value: &str) -> String {
    if value.starts_with('[') || value.parse::<u64>().is_ok() || value == "true" {
        value.into()
    } else {
        format!("'{value}'")
    }
}

#[test]
fn the_example_file_has_every_key_and_is_right() {
    let config = Config::parse(EXAMPLE).expect("the example is right");
    assert_eq!(config.warn.policies.len(), 1);
    let value: serde_json::Value = serde_yaml_ng::from_str(EXAMPLE).expect("is YAML");
    for k in KEYS {
        let found = k.name.split('.').try_fold(&value, |v, part| v.get(part));
        assert!(found.is_some(), "{} is missing in the example", k.name);
    }
}

#[test]
fn the_documentation_is_current() {
    let now = documentation();
    if std::env::var_os("LAGEWARTE_WRITE_DOCS").is_some() {
        std::fs::write(DOCUMENT, &now).expect("writes docs/aggregator-config.md");
    }
    let stored = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert_eq!(stored, now, "run this test once with LAGEWARTE_WRITE_DOCS=1 and commit docs/aggregator-config.md");
}

#[test]
fn faults_name_the_key_the_place_and_what_would_be_right() {
    for (yaml, want) in [
        ("htp: {}", "unknown field `htp`, expected one of `data-dir`, `http`"),
        ("http:\n  listn: 1", "http: unknown field `listn`, expected `listen` or `public-url` at line 2"),
        ("http: {listen: here}", "http.listen: invalid socket address"),
        (
            "http: {public-url: lage.example.de}",
            "http.public-url: \"lage.example.de\" is no address; it begins with http:// or",
        ),
        (
            "uplink: {public-url: 'http://h:1'}",
            "uplink.public-url: \"http://h:1\" is no address; it begins with https://",
        ),
        ("uplink: {names: []}", "uplink.names: is empty"),
        ("http: {listen: '127.0.0.1:9464'}", "metrics.listen: 127.0.0.1:9464 is another listener's already"),
        ("ingest: {flush-ms: 0}", "ingest.flush-ms: 0 is not from 1 to 10000"),
        ("ingest: {certificate-days: 4000}", "ingest.certificate-days: 4000 is not from 1 to 397"),
        ("picture: {campaign: {k: 1}}", "picture.campaign.k: 1 is too few"),
        ("picture: {campaign: {window: 1 hour}}", "\"1 hour\" is no duration"),
        ("warn: {policies: [{name: a, tlp: 'TLP:AMBER', kinds: [x]}]}", "warn.policies[0].kinds: \"x\" is none of"),
        (
            "mail: {smtp: 'smtp://mail.example.de', from: a@b.example}",
            "mail.smtp: mail.example.de would get warnings unencrypted",
        ),
        ("mail: {smtp: 'smtp://localhost'}", "mail: missing field `from`"),
        ("data-dir: \"open", "found unexpected end of stream"),
    ] {
        let e = Config::parse(yaml).expect_err(yaml).to_string();
        assert!(e.contains(want), "{yaml}: {e}");
    }
}

#[test]
fn a_file_that_is_not_there_or_too_large_is_said_so_and_the_environment_goes_first() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let none = |_: &str| None;
    let missing = dir.path().join("none.yaml");
    let e = Config::load(Some(&missing), &none).expect_err("is not there").to_string();
    assert!(e.starts_with(&format!("configuration {}: cannot be read", missing.display())), "{e}");
    let large = dir.path().join("large.yaml");
    std::fs::File::create(&large).and_then(|f| f.set_len(MAX_BYTES + 1)).expect("writes");
    assert!(Config::load(Some(&large), &none).expect_err("too large").to_string().contains("larger than 1 MiB"));
    let file = dir.path().join("a.yaml");
    std::fs::write(&file, "clickhouse: {url: 'http://a:1'}\ndata-dir: /d\n").expect("writes");
    let c = Config::load(Some(&file), &none).expect("is right");
    assert_eq!((c.clickhouse.url.as_deref(), c.control_url().as_str()), (Some("http://a:1"), "sqlite:/d/control.db"));
    let env = |name: &str| match name {
        "CLICKHOUSE_URL" => Some("http://b:2".to_owned()),
        "LAGEWARTE_CONTROL_URL" => Some(String::new()),
        _ => None,
    };
    let c = Config::load(Some(&file), &env).expect("is right");
    assert_eq!((c.clickhouse.url.as_deref(), c.control.url), (Some("http://b:2"), None), "empty is as not set");
    assert!(Config::parse("").is_ok(), "every key is optional");
}
