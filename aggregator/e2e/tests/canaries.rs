// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the default release profile holds back is nowhere at the aggregator: not in its databases, journal, logs, metrics
//! or mails, in no form and no packing. The control: under a wide profile the same scanner finds every kind.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    time::Duration,
};

use lagewarte_e2e::{Constituent, Options, Process, Sensor, SensorRow, World, output, python, root, wait_for};
use serde_json::Value;

/// What an administration may sign where it wants its CERT to see everything.
const WIDE: &str = "name: weit\nversion: 2\nclasses: [alert, health, flow, anomaly, protocol, file]\ninner-addresses: clear\n\
                    payload: clear\nurl-query: clear\nmail-addresses: clear\nfile-names: clear\nuser-names: clear\n";
/// Everything that a sensor can put into an alert is switched on: the profile alone must hold it back.
const EVERYTHING: &str = "outputs:\n  - eve-log:\n      enabled: yes\n      community-id: yes\n      types:\n\
                          \x20       - alert: { payload: yes, payload-printable: yes, packet: yes, metadata: yes }\n\
                          \x20       - anomaly: { enabled: yes }\n        - flow\n        - stats\n";

const OWN: &[(&str, &str, &str)] = &[("gw-alt", "77", "alt"), ("gw-bach", "79", "bach")];
const FOREIGN: (&str, &str, &str) = ("gw-clus", "78", "clus");

fn world(name: &'static str) -> World {
    World::new(Options {
        name,
        constituents: vec![
            Constituent { id: "alt", ags: "97151001", networks: &["10.77.0.0/16", "fd77:77::/32"] },
            Constituent { id: "bach", ags: "97151002", networks: &["10.79.0.0/16", "fd77:79::/32"] },
            Constituent { id: "clus", ags: "97151003", networks: &["10.78.0.0/16", "fd77:78::/32"] },
        ],
        sensors: vec![
            SensorRow { name: "gw-alt", id: "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f1a01", serves: &["alt"] },
            SensorRow { name: "gw-bach", id: "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f1a02", serves: &["bach"] },
            SensorRow { name: "gw-clus", id: "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f1a03", serves: &["clus"] },
        ],
        campaign_k: 2,
        more: String::new(),
    })
    .unwrap()
}

/// Plays the canaries through the whole chain; gives the scanner's answer and what the sensors' release logs counted.
fn play(name: &'static str, profile: Option<&str>) -> (Value, BTreeMap<String, u64>) {
    let mut w = world(name);
    w.start().unwrap();
    let mut running = Vec::new();
    for (sensor, octet, _) in OWN {
        let s = prepare(&w, sensor, octet, profile);
        let capture = s.dir.join("line.pcap");
        w.tool("canaries.py", &["capture", &capture.to_string_lossy(), octet]).unwrap();
        running.push((w.start_sensor(&s, &["run", "-r", &capture.to_string_lossy()]).unwrap(), s));
    }
    let s = prepare(&w, FOREIGN.0, FOREIGN.1, profile);
    let eve = s.dir.join("eve.json");
    let sample = root().join("aggregator/e2e/data/foreign-canaries.json");
    w.tool("canaries.py", &["foreign", &sample.to_string_lossy(), &eve.to_string_lossy(), "1"]).unwrap();
    running.push((w.start_sensor(&s, &["tail", &eve.to_string_lossy()]).unwrap(), s));

    // Seven own rules fire at each own sensor; the foreign sample has fifteen alerts; a campaign is warned of by mail.
    wait_for("the alerts", Duration::from_secs(60), || {
        alive(&mut running)?;
        let n = |c: &str| w.sql(&format!("SELECT count() FROM alert WHERE constituent = '{c}'")).map(|r| number(&r));
        Ok(n("alt")? >= 7 && n("bach")? >= 7 && n("clus")? >= 14)
    })
    .unwrap();
    wait_for("the mails", Duration::from_secs(40), || {
        Ok(fs::read_to_string(w.mails()).unwrap_or_default().lines().count() >= 2)
    })
    .unwrap();
    let released = count(&running);

    // Everything once more as the tables give it, whatever the codecs; then the bytes, running and at rest.
    let dump = w.dir.join("dump");
    fs::create_dir_all(&dump).unwrap();
    for table in w.sql("SELECT database || '.' || name FROM system.tables WHERE database IN ('lagewarte') AND engine NOT LIKE '%View'").unwrap() {
        let rows = w.sql(&format!("SELECT * FROM {}", table[0])).unwrap();
        fs::write(dump.join(&table[0]), serde_json::to_string(&rows).unwrap()).unwrap();
    }
    fs::write(dump.join("metrics"), w.metrics().unwrap()).unwrap();
    unpack_mails(&w.mails(), &dump);
    let wanted = w.dir.join("wanted.json");
    fs::write(&wanted, w.tool("canaries.py", &["list", "77", "79", "78"]).unwrap()).unwrap();
    // The sensors' own logs are the municipality's: what the aggregator's side holds is everything else.
    let log = w.logs().join("aggregator.log");
    let places = [w.data_dir(), log, w.mails(), dump];
    let running_scan = scan(&wanted, &places);
    drop(running);
    w.aggregator.take().unwrap().stop(Duration::from_secs(20));
    let rest_scan = scan(&wanted, &places);
    for s in [&running_scan, &rest_scan] {
        assert!(
            s["files"].as_u64() > Some(20) && s["blocks"].as_u64() > Some(20) && s["databases"].as_u64() > Some(0),
            "the scanner must see the databases: {s}"
        );
    }
    let mut both = running_scan;
    for (kind, places) in rest_scan["hits"].as_object().unwrap() {
        for (place, forms) in places.as_object().unwrap() {
            both["hits"][kind][format!("at rest: {place}")] = forms.clone();
        }
    }
    (both, released)
}

fn prepare(w: &World, name: &str, octet: &str, profile: Option<&str>) -> Sensor {
    let s = w.prepare(name, &format!("[10.{octet}.0.0/16,fd77:{octet}::/32]"), EVERYTHING).unwrap();
    w.enrol(&s).unwrap();
    if let Some(profile) = profile {
        w.sign(&s.state().join("profile.yaml"), "profile", profile).unwrap();
    }
    s
}

fn alive(running: &mut [(Process, Sensor)]) -> anyhow::Result<()> {
    // A played capture ends; that is no fault as long as the process says so with 0.
    for (p, s) in running {
        p.alive()
            .map_err(|e| e.context(s.name.clone()))
            .or_else(|e| if format!("{e:#}").contains("exit status: 0") { Ok(()) } else { Err(e) })?;
    }
    Ok(())
}

fn number(rows: &[Vec<String>]) -> u64 {
    rows.first().and_then(|r| r.first()).and_then(|c| c.parse().ok()).unwrap_or_default()
}

/// Events that left, by class.
fn count(running: &[(Process, Sensor)]) -> BTreeMap<String, u64> {
    let mut n = BTreeMap::new();
    for (_, s) in running {
        for line in fs::read_to_string(s.release_log()).unwrap().lines() {
            let v: Value = serde_json::from_str(line).unwrap();
            *n.entry(v["class"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    n
}

/// Mails are quoted-printable on the wire: their decoded parts are looked through as well.
fn unpack_mails(mails: &Path, dump: &Path) {
    for (n, line) in fs::read_to_string(mails).unwrap().lines().enumerate() {
        let v: Value = serde_json::from_str(line).unwrap();
        fs::write(dump.join(format!("mail-{n}")), format!("{}\n{}\n{}", v["subject"], v["text"], v["html"])).unwrap();
    }
}

fn scan(wanted: &Path, places: &[std::path::PathBuf]) -> Value {
    let mut c = Command::new(python());
    c.arg(root().join("aggregator/e2e/tools/scan.py")).arg(wanted).args(places);
    serde_json::from_str(&output(&mut c).unwrap()).unwrap()
}

#[test]
fn the_scanner_finds_each_kind_in_each_form_and_packing() {
    let mut c = Command::new(python());
    c.args(["-m", "unittest", "test_scan"]).current_dir(root().join("aggregator/e2e/tools"));
    output(&mut c).unwrap();
}

#[test]
fn what_the_default_profile_holds_back_is_nowhere_at_the_aggregator() {
    let (found, released) = play("canaries-default", None);
    assert_eq!(released.keys().map(String::as_str).collect::<Vec<_>>(), ["alert", "health"], "classes that left");
    assert_eq!(found["hits"], serde_json::json!({}), "canaries at the aggregator");
}

#[test]
fn the_control_finds_every_kind_under_a_wide_profile() {
    let (found, released) = play("canaries-wide", Some(WIDE));
    assert!(released.contains_key("flow"), "the wide profile was not in force: {released:?}");
    let hits = found["hits"].as_object().unwrap();
    let seen: BTreeSet<&str> = hits.keys().map(String::as_str).collect();
    let kinds = [
        "answered",
        "basic_credentials",
        "community_id",
        "cookie",
        "file_name",
        "mail_address",
        "mail_subject",
        "password",
        "payload",
        "proxied",
        "server",
        "server6",
        "url_query",
        "user_name",
        "workstation",
    ];
    assert_eq!(seen, kinds.into_iter().collect(), "each kind of canary, in {found}");
    let places = |kind: &str| hits[kind].as_object().unwrap().clone();
    // Addresses in ClickHouse's own binary form, inside compressed blocks; and where people read them.
    for kind in ["server", "server6"] {
        let binary =
            places(kind).iter().any(|(p, forms)| p.ends_with("(unpacked)") && forms.to_string().contains("16 bytes\""));
        assert!(binary, "{kind} in a column: {:?}", places(kind));
    }
    assert!(
        places("server").keys().any(|p| p.contains("/dump/mail-")),
        "the warned host in a mail: {:?}",
        places("server")
    );
    assert!(places("payload").values().any(|f| f.to_string().contains("base64")), "payload as it left");
}
