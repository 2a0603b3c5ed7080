// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What goes wrong on a real host, done to the real processes: each ends or goes on with an error that says what is wrong,
//! where, and what to do; what was already held is not lost.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use lagewarte_base::time::Timestamp;
use lagewarte_e2e::{Constituent, Options, Process, SensorRow, World, aggregator, root, sensor, wait_for};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// Exit code and stderr of a program that ends by itself.
fn ends(command: &mut Command) -> (Option<i32>, String) {
    let out = command.output().unwrap();
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

fn says(text: &str, words: &[&str]) {
    let lower = text.to_lowercase();
    let missing: Vec<_> = words.iter().filter(|w| !lower.contains(&w.to_lowercase())).collect();
    assert!(missing.is_empty(), "the message lacks {missing:?}:\n{text}");
    assert!(!lower.contains("panicked"), "a panic is no message:\n{text}");
}

fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir); // the last run's
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn replay(capture: &Path, out: &Path, rules: &Path) -> Command {
    let mut c = Command::new(sensor().unwrap());
    c.args(["replay", "-k", "all", "-r"]).arg(capture).arg("-l").arg(out).arg("-S").arg(rules);
    c.args(["--set", "vars.address-groups.HOME_NET=[10.0.0.0/8]"]);
    c
}

fn events(out: &Path, event_type: &str) -> Vec<Value> {
    let text = fs::read_to_string(out.join("eve.json")).unwrap();
    text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).filter(|e| e["event_type"] == event_type).collect()
}

#[test]
fn a_truncated_capture_gives_what_is_whole_and_says_where_it_ends() {
    let dir = scratch("truncated");
    let whole = fs::read(root().join("rules/sets/tests/1100401-log4shell/fires.pcap")).unwrap();
    let rules = root().join("rules/sets/web.rules");
    let mut seen = BTreeSet::new();
    for cut in [whole.len(), whole.len() - 1, whole.len() / 2, 400, 41, 24] {
        let file = dir.join("cut.pcap");
        fs::write(&file, &whole[..cut]).unwrap();
        let (code, told) = ends(&mut replay(&file, &dir.join("out"), &rules));
        assert_eq!(code, Some(0), "{cut} bytes: {told}");
        if cut != whole.len() && cut != 24 {
            says(&told, &["cut.pcap", "truncated", "byte"]);
        }
        seen.insert(events(&dir.join("out"), "alert").len());
    }
    assert!(seen.contains(&3) && seen.contains(&0) && seen.len() > 2, "alerts before the cut are kept: {seen:?}");
    for (bytes, words) in [(&b""[..], &["cut.pcap", "pcap"][..]), (b"GIF89a, no capture", &["neither", "pcap"])] {
        fs::write(dir.join("cut.pcap"), bytes).unwrap();
        let (code, told) = ends(&mut replay(&dir.join("cut.pcap"), &dir.join("out"), &rules));
        assert_eq!(code, Some(1), "{told}");
        says(&told, words);
    }
}

/// Line of the file, keyword that is to blame, a word of the reason.
const MISTAKES: &[(&str, &str, &str)] = &[
    ("alert tcp any any -> any 80 (msg:\"m\"; kontent:\"x\"; sid:2;)", "kontent", "content"),
    ("alert tcp any any -> any 80 (msg:\"m\"; content:\"x\"; rev:1;)", "sid", "sid"),
    ("alarm tcp any any -> any 80 (msg:\"m\"; content:\"x\"; sid:4;)", "", "alert"),
    ("alert tcq any any -> any 80 (msg:\"m\"; content:\"x\"; sid:5;)", "", "protocol"),
    ("alert tcp any any -> any 70000 (msg:\"m\"; content:\"x\"; sid:6;)", "", "65535"),
    ("alert tcp $NIRGENDS any -> any 80 (msg:\"m\"; content:\"x\"; sid:7;)", "", "not defined"),
    ("alert tcp any any -> any 80 (msg:\"open; content:\"x\"; sid:8;)", "msg", "quote"),
    ("alert tcp any any -> any 80 (msg:\"m\"; content:\"|0g|\"; sid:9;)", "content", "hex"),
    ("alert tcp any any -> any 80 (msg:\"m\"; depth:4; content:\"x\"; sid:10;)", "depth", "follow"),
    ("alert tcp any any -> any 80 (msg:\"m\"; content:\"abcdef\"; depth:3; sid:11;)", "depth", "6 bytes"),
    ("alert tcp any any -> any 80 (msg:\"m\"; http.uri; content:\"x\"; sid:12;)", "http.uri", "version"),
    ("alert tcp any any <- any 80 (msg:\"m\"; content:\"x\"; sid:13;)", "", "direction"),
    ("alert tcp any any -> any 80 (msg:\"m\"; content:\"x\"; sid:14;", "", ")"),
];

#[test]
fn every_kind_of_mistake_in_a_rule_file_is_named_with_its_line_and_the_good_rules_run() {
    let dir = scratch("mistakes");
    let good = |sid: u32| format!("alert tcp any any -> any 80 (msg:\"good\"; content:\"jndi\"; sid:{sid}; rev:1;)");
    let mut text = good(1);
    for (line, _, _) in MISTAKES {
        text.push('\n');
        text.push_str(line);
    }
    text.push('\n');
    text.push_str(&good(99));
    let rules = dir.join("mistakes.rules");
    fs::write(&rules, text + "\n").unwrap();

    let out = Command::new(sensor().unwrap()).args(["rules", "check", "--json"]).arg(&rules).output().unwrap();
    assert_eq!(out.status.code(), Some(0), "without --init-errors-fatal");
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(report["loaded"], 2);
    let refused = report["refused"].as_array().unwrap();
    assert_eq!(refused.len(), MISTAKES.len(), "{report}");
    for (n, ((line, keyword, word), told)) in MISTAKES.iter().zip(refused).enumerate() {
        assert_eq!(told["line"], n + 2, "{line}: {told}");
        assert_eq!(told["keyword"], *keyword, "{line}: {told}");
        assert!(told["reason"].as_str().unwrap().contains(word), "{line}: {told}");
    }

    let capture = root().join("rules/sets/tests/1100401-log4shell/fires.pcap");
    let (code, told) = ends(&mut replay(&capture, &dir.join("out"), &rules));
    assert_eq!(code, Some(0), "{told}");
    for n in 2..MISTAKES.len() + 2 {
        says(&told, &[&format!("mistakes.rules:{n}")]);
    }
    let sids: BTreeSet<_> =
        events(&dir.join("out"), "alert").iter().map(|e| e["alert"]["signature_id"].as_u64()).collect();
    assert_eq!(sids, [Some(1), Some(99)].into(), "the rules before and behind the mistakes run");
    let (code, told) = ends(replay(&capture, &dir.join("out"), &rules).arg("--init-errors-fatal"));
    assert_eq!(code, Some(1));
    says(&told, &["init-errors-fatal"]);
}

#[test]
fn a_wrong_configuration_stops_both_programs_with_file_and_key() {
    let dir = scratch("configuration");
    let file = dir.join("sensor.yaml");
    for (text, words) in [
        ("%YAML 1.1\n---\nlagewarte:\n  state-dri: /nowhere\n", &["sensor.yaml", "state-dri", "state-dir"][..]),
        ("%YAML 1.1\n---\nlagewarte: [\n", &["sensor.yaml", "line"]),
    ] {
        fs::write(&file, text).unwrap();
        let (code, told) = ends(Command::new(sensor().unwrap()).args(["run", "-i", "lo", "-c"]).arg(&file));
        assert_eq!(code, Some(1), "{told}");
        says(&told, words);
    }
    let (code, told) =
        ends(Command::new(sensor().unwrap()).args(["run", "-i", "lo", "-c", "/nonexistent/sensor.yaml"]));
    assert_eq!(code, Some(1));
    says(&told, &["/nonexistent/sensor.yaml"]);

    let file = dir.join("aggregator.yaml");
    for (text, words) in [
        ("http: { lisen: \"127.0.0.1:0\" }\n", &["aggregator.yaml", "lisen", "listen"][..]),
        ("picture: { interval-ms: often }\n", &["aggregator.yaml", "interval-ms"]),
        ("http: {\n", &["aggregator.yaml", "line"]),
    ] {
        fs::write(&file, text).unwrap();
        let (code, told) = ends(Command::new(aggregator().unwrap()).args(["serve", "--config"]).arg(&file));
        assert_ne!(code, Some(0), "{told}");
        says(&told, words);
    }
}

fn land(name: &'static str) -> World {
    World::new(Options {
        name,
        constituents: vec![Constituent { id: "alt", ags: "97151001", networks: &["10.77.0.0/16"] }],
        sensors: vec![SensorRow { name: "gw-alt", id: "0d0b9f3a-5f0a-4c1e-9a53-6a2f7f4f1a01", serves: &["alt"] }],
        campaign_k: 3,
        more: String::new(),
    })
    .unwrap()
}

/// An aggregator that cannot start: it ends by itself, not well, and says why.
fn cannot_start(w: &World, env: &[(&str, &str)], words: &[&str]) {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).into())).collect();
    let args = ["serve".into(), "--config".into(), w.config().into_os_string()];
    let mut p = Process::start("aggregator", &aggregator().unwrap(), args, env, &w.logs()).unwrap();
    assert!(!p.finished(PATIENCE).unwrap(), "it ended as if all were well:\n{}", p.log());
    says(&p.log(), words);
}

#[test]
fn a_busy_port_is_named_with_its_key() {
    let w = land("bad-port");
    let text = fs::read_to_string(w.config()).unwrap();
    for key in ["http", "uplink", "metrics", "enrolment"] {
        let line = text.lines().find(|l| l.starts_with(&format!("{key}: "))).unwrap();
        let address = line.split('"').nth(1).unwrap();
        let _busy = std::net::TcpListener::bind(address).unwrap();
        let port = address.rsplit(':').next().unwrap();
        cannot_start(&w, &[], &[&format!("{key}.listen"), port, "in use"]);
    }
}

#[test]
fn a_missing_engine_and_a_cpu_without_avx2_are_told_with_the_way_out() {
    let w = land("bad-engine");
    cannot_start(
        &w,
        &[("LAGEWARTE_ENGINE", "/nonexistent/libchdb.so")],
        &["/nonexistent/libchdb.so", "xtask engine", "CLICKHOUSE_URL"],
    );
    cannot_start(&w, &[("LAGEWARTE_CPU_FEATURES", "sse4_2 avx")], &["AVX2", "CLICKHOUSE_URL"]);
}

/// Runs a program with a small file system of its own on a folder: `unshare` and tmpfs, gone with the process.
fn on_small_disk(kilobytes: u32, folder: &Path, program: &Path, args: &[&str]) -> (PathBuf, Vec<String>) {
    let root = String::from_utf8(Command::new("id").arg("-u").output().unwrap().stdout).unwrap().trim() == "0";
    let mut all: Vec<String> = if root { vec![] } else { vec!["--map-root-user".into()] };
    let script = format!("mount -t tmpfs -o size={kilobytes}k lagewarte \"$0\" && exec \"$@\"");
    all.extend(["--mount".into(), "sh".into(), "-c".into(), script]);
    all.extend([folder.to_string_lossy().into_owned(), program.to_string_lossy().into_owned()]);
    all.extend(args.iter().map(|a| (*a).to_owned()));
    ("/usr/bin/unshare".into(), all)
}

#[test]
fn replay_onto_a_full_disk_says_so() {
    let dir = scratch("full");
    let out = dir.join("out");
    fs::create_dir_all(&out).unwrap();
    let rules = dir.join("noisy.rules");
    fs::write(&rules, "alert ip any any -> any any (msg:\"noise\"; sid:1;)\n").unwrap();
    let capture = root().join("rules/captures/background.pcap");
    let paths = [&capture, &out, &rules].map(|p| p.to_string_lossy().into_owned());
    let (program, args) =
        on_small_disk(64, &out, &sensor().unwrap(), &["replay", "-r", &paths[0], "-l", &paths[1], "-S", &paths[2]]);
    let (code, told) = ends(Command::new(program).args(args));
    assert_eq!(code, Some(1), "{told}");
    says(&told, &["eve.json", "No space left"]);
}

#[test]
fn a_full_spool_disk_holds_back_a_tail_and_loses_nothing() {
    const EVENTS: usize = 9000;
    let mut w = land("bad-disk");
    w.start().unwrap();
    let s = w.prepare("gw-alt", "[10.77.0.0/16]", "").unwrap();
    w.enrol(&s).unwrap();
    w.aggregator.take().unwrap().stop(Duration::from_secs(20)); // the line is down

    let now = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
    let eve = s.dir.join("eve.json");
    let padding = "x".repeat(600);
    let mut text = String::new();
    for n in 0..EVENTS {
        let at = Timestamp::from_micros(now - 60_000_000 + i64::try_from(n).unwrap()).eve();
        text.push_str(&format!(
            "{{\"timestamp\":\"{at}\",\"flow_id\":{n},\"event_type\":\"alert\",\"src_ip\":\"203.0.113.66\",\"src_port\":{},\
             \"dest_ip\":\"10.77.1.10\",\"dest_port\":80,\"proto\":\"TCP\",\"alert\":{{\"action\":\"allowed\",\"gid\":1,\
             \"signature_id\":{},\"rev\":1,\"signature\":\"{padding}\",\"category\":\"\",\"severity\":3}}}}\n",
            n % 60000 + 1,
            9_700_000 + n
        ));
    }
    fs::write(&eve, text).unwrap();
    let spool = s.state().join("spool");
    fs::create_dir_all(&spool).unwrap();
    // 9,000 alerts of 900 bytes do not fit into five megabytes.
    let config = s.config().to_string_lossy().into_owned();
    let (program, args) =
        on_small_disk(5 << 10, &spool, &sensor().unwrap(), &["tail", &eve.to_string_lossy(), "-c", &config]);
    let mut p = Process::start("gw-alt", &program, args, vec![], &w.logs()).unwrap();
    wait_for("the sensor saying that its disk is full", PATIENCE, || {
        p.alive()?;
        Ok(p.log().contains("No space left"))
    })
    .unwrap();
    p.alive().unwrap();
    let args = ["serve".into(), "--config".into(), w.config().into_os_string()];
    w.aggregator = Some(Process::start("aggregator", &aggregator().unwrap(), args, vec![], &w.logs()).unwrap());
    w.wait_for_aggregator().unwrap();
    wait_for("every alert of the tail", Duration::from_secs(120), || {
        p.alive()?;
        Ok(w.sql("SELECT uniqExact(signature_id), count() FROM alert")?[0] == [EVENTS.to_string(), EVENTS.to_string()])
    })
    .unwrap();
}
