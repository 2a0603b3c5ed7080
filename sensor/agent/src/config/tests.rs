// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Behaviour of the configuration: names, types, strictness, messages, and the table kept true.

use std::fs;

use super::*;

fn try_text(text: &str, strictness: Strictness) -> Result<Loaded, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.yaml");
    fs::write(&path, text).unwrap();
    load(Some(&path), &[], strictness)
}

#[test]
fn every_mistake_says_where_and_what_to_do() {
    for (text, wanted) in [
        (
            "lagewarte:\n  state-dri: /x\n",
            &["t.yaml:2", "lagewarte.state-dri", "did you mean lagewarte.state-dir?"][..],
        ),
        ("lagewarte:\n  interval: soon\n", &["t.yaml:2", "a whole number is wanted, not \"soon\""]),
        ("lagewarte:\n  interval: 0\n", &["t.yaml:2", "out of bounds: 1 to 3600"]),
        ("lagewarte:\n  metrics:\n    listen: 9475\n", &["t.yaml:3", "address:port such as 127.0.0.1:9475"]),
        ("lagewarte:\n  trusted-keys: [\"abc\"]\n", &["t.yaml:2", "keys new"]),
        ("lagewarte:\n  trusted-keys:\n    - {a: b}\n", &["t.yaml:2", "a list of plain texts"]),
        ("lagewarte: x\n", &["t.yaml:1", "is a section"]),
        ("lagewarte:\n  spool:\n    quota: 1kb\n", &["t.yaml:3", "out of bounds"]),
        ("lagewarte:\n  uplink:\n    proxy: proxy:3128\n", &["t.yaml:3", "http://HOST:PORT is wanted"]),
        ("lagewarte:\n  uplink:\n    proxy: http://u:p@proxy:3128\n", &["t.yaml:3", "file of its own"]),
        ("lagewarte:\n  uplink:\n    proxy-auth-file: /x\n", &["t.yaml:3", "no lagewarte.uplink.proxy"]),
        ("lagewarte:\n  uplink:\n    rate: 100\n", &["t.yaml:3", "out of bounds"]),
        ("lagewarte:\n  uplink:\n    bulk-hours: [22-6]\n", &["t.yaml:3", "22:00-06:00 is wanted"]),
        (
            "lagewarte:\n  uplink:\n    bulk-hour: [22:00-06:00]\n",
            &["t.yaml:3", "did you mean lagewarte.uplink.bulk-hours?"],
        ),
        ("lagewarte:\n  shadow:\n    grace: 90\n", &["t.yaml:3", "there is no lagewarte.shadow.eve"]),
        ("lagewarte:\n  shadow:\n    eve: e\n    ring: 1mb\n", &["t.yaml:4", "16777216 to", "0 to keep no packets"]),
        ("lagewarte:\n  shadow:\n    eve: e\n    keep: 1kb\n", &["t.yaml:4", "out of bounds"]),
        ("lagewarte:\n  shadow:\n    eve: e\n    grace: 0\n", &["t.yaml:4", "out of bounds: 1 to 3600"]),
        ("lagewarte:\n  shadow:\n    eve: e\n    keep-days: 4000\n", &["t.yaml:4", "out of bounds: 1 to 3660"]),
        ("lagewarte:\n  shadow:\n    eve: e\n    ignore: [x]\n", &["t.yaml:4", "is no sid"]),
        ("lagewarte:\n  shadow:\n    ewe: e\n", &["t.yaml:3", "did you mean lagewarte.shadow.eve?"]),
        ("lagewarte:\n  workers: 257\n", &["t.yaml:2", "out of bounds: 1 to 256"]),
        ("- a\n- b\n", &["key: value pairs are wanted"]),
        ("a: [1\nb: 2\n", &["t.yaml", "line 2", "config check"]),
        ("a: 1\n---\nb: 2\n", &["second YAML document"]),
    ] {
        for strictness in [Strictness::Warn, Strictness::Refuse] {
            let e = try_text(text, strictness).expect_err(text).to_string();
            for w in wanted {
                assert!(e.contains(w), "{text}: {w:?} is missing in:\n{e}");
            }
        }
    }
    let e = load(Some(Path::new("/nowhere/at/all.yaml")), &[], Strictness::Warn).unwrap_err().to_string();
    assert!(e.contains("/nowhere/at/all.yaml") && e.contains("-c"), "{e}");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("l"), b"a: 1\nb: \xff\n").unwrap();
    let e = load(Some(&dir.path().join("l")), &[], Strictness::Warn).unwrap_err().to_string();
    assert!(e.contains("line 2: not UTF-8"), "{e}");
}

#[test]
fn replay_warns_where_run_refuses() {
    for (text, key) in [
        ("strem:\n  midstream: yes\n", "strem"),
        ("stream:\n  midstream: perhaps\n", "stream.midstream"),
        ("flow:\n  memcap: 1\n", "flow.memcap"),
        ("include: other.yaml\n", "include"),
        (
            "outputs:\n  - eve-log:\n      types:\n        - alrt:\n            payload: yes\n",
            "outputs.eve-log.types.alrt",
        ),
        ("vars:\n  address-groups:\n    HOME_NET: [10.0.0.0/8]\n", "vars.address-groups.HOME_NET"),
    ] {
        let warned = try_text(text, Strictness::Warn).expect(text);
        assert_eq!(warned.warnings.iter().map(|w| w.key.as_str()).collect::<Vec<_>>(), [key], "{text}");
        let e = try_text(text, Strictness::Refuse).expect_err(text).to_string();
        assert!(e.contains(key), "{e}");
    }
    // Known and without effect: named in both, refused in neither.
    for strictness in [Strictness::Warn, Strictness::Refuse] {
        let loaded = try_text("mpm-algo: hs\nthreading:\n  set-cpu-affinity: no\n", strictness).unwrap();
        assert_eq!(loaded.warnings.len(), 2);
        assert!(
            loaded.warnings_text()[0].contains("t.yaml:1: mpm-algo: has no effect"),
            "{:?}",
            loaded.warnings_text()
        );
    }
}

#[test]
fn a_thousand_mistakes_are_not_a_thousand_lines() {
    let text: String = (0..1000).map(|n| format!("nonsense{n}: 1\n")).collect();
    let Err(ConfigError::Keys { faults, .. }) = try_text(&text, Strictness::Refuse) else { panic!("taken") };
    assert_eq!(faults.len(), MAX_FAULTS);
}

#[test]
fn set_is_checked_like_the_file() {
    let set = |s: &str, how| load(None, &[s.to_owned()], how);
    assert!(set("stream.midstream=true", Strictness::Refuse).unwrap().settings.midstream);
    assert_eq!(
        set("vars.address-groups.HOME_NET=[10.0.0.0/8]", Strictness::Refuse).unwrap().settings.vars.addresses.len(),
        1
    );
    assert!(set("stream.midstream", Strictness::Warn).unwrap_err().to_string().contains("KEY=VALUE"));
    assert!(set("lagewarte.nope=1", Strictness::Warn).unwrap_err().to_string().contains("lagewarte.nope"));
    assert_eq!(set("datasets.enabled=yes", Strictness::Warn).unwrap().warnings.len(), 1);
}

#[test]
fn types_of_eve_are_names_or_sections() {
    let of = |types: &str| {
        let text = format!("outputs:\n  - eve-log:\n      types:\n{types}");
        let eve = try_text(&text, Strictness::Refuse).unwrap().settings.eve;
        (eve.alert, eve.flow, eve.anomaly, eve.stats)
    };
    assert_eq!(of("        - alert\n"), (true, false, [false; 3], false));
    assert_eq!(of("        - alert:\n            enabled: no\n        - flow:\n"), (false, true, [false; 3], false));
    assert_eq!(
        of("        - anomaly:\n            types:\n              decode: yes\n              stream: no\n"),
        (false, false, [true, false, true], false)
    );
    let all = Settings::read(&Node::Null, None).eve;
    assert!(all.alert && all.flow && all.stats && all.anomaly == [true; 3]);
}

#[test]
fn every_honoured_key_changes_a_setting() {
    let read = |sets: &[String]| load(None, sets, Strictness::Refuse).map(|l| l.settings);
    for key in keys::all() {
        let Use::Honoured(kind, _, example) = key.used else { continue };
        if kind == Kind::Section && example.is_empty() {
            continue; // the presence of a section is covered by `types_of_eve_are_names_or_sections`
        }
        for name in keys::expand(key.pattern) {
            let name = name.replace('*', "NAME");
            // What a key needs beside it to mean anything.
            let beside = match name.as_str() {
                "default-rule-path" => vec!["rule-files=[a.rules]".to_owned()],
                "default-reputation-path" => vec!["reputation-files=[bad.list]".to_owned()],
                "defrag.host-config.NAME.timeout" => vec!["defrag.host-config.NAME.address=[10.0.0.0/8]".to_owned()],
                "defrag.host-config.NAME.address" => vec!["defrag.host-config.NAME.timeout=30".to_owned()],
                "lagewarte.uplink.proxy-auth-file" => vec!["lagewarte.uplink.proxy=http://proxy.example:1".to_owned()],
                n if n.starts_with("lagewarte.shadow.") && n != "lagewarte.shadow.eve" => {
                    vec!["lagewarte.shadow.eve=/tmp/eve.json".to_owned()]
                }
                "outputs.eve-log.community-id-seed" => vec!["outputs.eve-log.community-id=yes".to_owned()],
                n if n.contains(".xff.") && !n.ends_with(".enabled") => {
                    vec![format!("{}.enabled=yes", n.rsplit_once('.').unwrap().0)]
                }
                _ => vec![],
            };
            let own_key = lagewarte_base::signed::SigningKey::generate().unwrap().public().to_text();
            let set = match name.as_str() {
                "lagewarte.trusted-keys" => format!("{name}={own_key}"),
                // A list cannot be typed on the command line.
                "outputs.eve-log.types" => format!("{name}.alert.enabled=yes"),
                _ => format!("{name}={example}"),
            };
            let plain = read(&beside).unwrap();
            let moved = read(&[beside, vec![set]].concat()).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert_ne!(moved, plain, "{name} moves nothing");
        }
    }
}

#[test]
fn the_reference_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sensor-config.md");
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == reference::markdown(),
        "docs/sensor-config.md is stale: write it with `lagewarte-sensor config reference > docs/sensor-config.md`"
    );
}

#[test]
fn the_example_configuration_loads_without_a_warning() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("lagewarte-sensor.yaml");
    let loaded = load(Some(&path), &[], Strictness::Refuse).unwrap();
    assert_eq!(loaded.warnings, []);
    assert!(loaded.settings.vars.addresses.iter().any(|(name, _)| name == "HOME_NET"));
    assert!(!loaded.settings.rule_files.is_empty());
}
