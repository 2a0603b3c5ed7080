// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What an operator sees when something is wrong: what, where, what to do; and what must go on all the same.

#![allow(clippy::unwrap_used, reason = "helpers of tests; a failure is the test's")]

mod common;

use std::{fs, net::TcpListener, process::Command};

use common::{SENSOR, State, repo, sensor, stderr, stdout, text};
use lagewarte_base::{
    id::Uuid,
    signed::{Purpose, SigningKey},
};

const CAPTURE: &str = "rules/sets/tests/1100401-log4shell/fires.pcap";

fn events(dir: &std::path::Path) -> Vec<serde_json::Value> {
    let eve = fs::read_to_string(dir.join("eve.json")).unwrap();
    eve.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn packets(dir: &std::path::Path) -> u64 {
    events(dir).iter().find_map(|e| e["stats"]["decoder"]["pkts"].as_u64()).unwrap()
}

#[test]
fn a_truncated_capture_gives_what_could_be_read_and_says_where_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(repo(CAPTURE)).unwrap();
    let out = dir.path().join("out");
    let full = sensor(&["replay", "-r", &text(&repo(CAPTURE)), "-l", &text(&out)]);
    assert!(full.status.success() && stderr(&full).is_empty(), "{}", stderr(&full));
    let all = packets(&out);
    let mut before = 0;
    for cut in [whole.len() / 4, whole.len() / 2, whole.len() - 1] {
        let path = dir.path().join("cut.pcap");
        fs::write(&path, &whole[..cut]).unwrap();
        let done = sensor(&["replay", "-r", &text(&path), "-l", &text(&out)]);
        assert!(done.status.success(), "{}", stderr(&done));
        let said = stderr(&done);
        assert!(
            said.contains("cut.pcap: damaged at byte") && said.contains("packets before it were processed"),
            "{said}"
        );
        let n = packets(&out);
        assert!(n >= before && n < all, "{n} of {all} packets at {cut} bytes");
        before = n;
    }
    assert_eq!(before, all - 1);
    fs::write(dir.path().join("no.pcap"), "this is no capture").unwrap();
    let done = sensor(&["replay", "-r", &text(&dir.path().join("no.pcap")), "-l", &text(&out)]);
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("neither a pcap nor a pcapng file"), "{}", stderr(&done));
    let done = sensor(&["replay", "-r", "/nowhere.pcap", "-l", &text(&out)]);
    assert!(stderr(&done).contains("/nowhere.pcap"), "{}", stderr(&done));
}

#[test]
fn ten_kinds_of_mistakes_in_a_rule_file_are_each_refused_with_their_line_and_the_good_rule_runs() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("ten.rules");
    let mistakes = [
        ("alert tcp any any -> any any (msg:\"x\"; sid:1;", "ten.rules:2"),
        ("alert tcp any any (msg:\"x\"; sid:2;)", "ten.rules:3"),
        ("alert quux any any -> any any (msg:\"x\"; sid:3;)", "ten.rules:4"),
        ("alert tcp $NOBODY any -> any any (msg:\"x\"; sid:4;)", "ten.rules:5"),
        ("alert tcp 10.0.0.0/40 any -> any any (msg:\"x\"; sid:5;)", "ten.rules:6"),
        ("alert tcp any 70000 -> any any (msg:\"x\"; sid:6;)", "ten.rules:7"),
        ("alert tcp any any -> any any (msg:\"x\"; content:\"|4|\"; sid:7;)", "ten.rules:8"),
        ("alert tcp any any -> any any (msg:\"x\"; frobnicate:1; sid:8;)", "ten.rules:9"),
        ("alert tcp any any -> any any (msg:\"no sid\";)", "ten.rules:10"),
        ("frob tcp any any -> any any (msg:\"x\"; sid:10;)", "ten.rules:11"),
        ("alert http any any -> any any (msg:\"x\"; http.uri; lua:a.lua; sid:11;)", "ten.rules:12"),
    ];
    let mut file = String::from("alert tcp any any -> any 80 (msg:\"good\"; flow:to_server; sid:100;)\n");
    mistakes.iter().for_each(|(rule, _)| file.push_str(&format!("{rule}\n")));
    fs::write(&rules, file).unwrap();
    let out = dir.path().join("out");
    let done = sensor(&["replay", "-r", &text(&repo(CAPTURE)), "-l", &text(&out), "-S", &text(&rules)]);
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    let said = stderr(&done);
    for (rule, place) in mistakes {
        let line = said.lines().find(|l| l.contains(&format!("{place}:"))).unwrap_or_else(|| panic!("{rule}: {said}"));
        assert!(line.contains("rule refused:") && line.len() > place.len() + 40, "says too little: {line}");
    }
    assert_eq!(said.lines().count(), mistakes.len(), "{said}");
    assert!(said.contains("frobnicate"), "the keyword is named: {said}");
    let sids: Vec<_> = events(&out).iter().filter_map(|e| e["alert"]["signature_id"].as_u64()).collect();
    assert!(!sids.is_empty() && sids.iter().all(|s| *s == 100), "{sids:?}");

    let fatal =
        sensor(&["replay", "-r", &text(&repo(CAPTURE)), "-l", &text(&out), "-S", &text(&rules), "--init-errors-fatal"]);
    assert_eq!(fatal.status.code(), Some(1));
    assert!(stderr(&fatal).contains("11 rules refused and --init-errors-fatal"), "{}", stderr(&fatal));

    let check = sensor(&["rules", "check", &text(&rules), "--json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout(&check)).unwrap();
    assert_eq!((report["loaded"].as_u64(), report["refused"].as_array().unwrap().len()), (Some(1), mistakes.len()));
    assert_eq!(report["refused"][7]["keyword"], "frobnicate");
    assert!(stdout(&sensor(&["rules", "check", &text(&rules)])).contains("1 rule would run, 11 would not"));
    let missing = sensor(&["replay", "-r", &text(&repo(CAPTURE)), "-l", &text(&out), "-S", "/no/such.rules"]);
    assert!(missing.status.success() && stderr(&missing).contains("/no/such.rules"), "{}", stderr(&missing));
}

#[test]
fn a_wrong_configuration_stops_run_and_replay_before_anything_happens() {
    let state = State::new();
    let out = state.dir.path().join("out");
    for (config, wanted) in [
        ("lagewarte:\n  state_dir: /x\n", "lagewarte.state_dir: unknown key; did you mean lagewarte.state-dir?"),
        ("lagewarte:\n  interval: often\n", "a whole number is wanted"),
        ("vars:\n  - [\n", "line"),
    ] {
        let path = state.dir.path().join("wrong.yaml");
        fs::write(&path, config).unwrap();
        for command in [
            vec!["replay", "-r", "/dev/null", "-l", out.to_str().unwrap()],
            vec!["run", "-r", "/dev/null"],
            vec!["tail", "/dev/null"],
            vec!["config", "check"],
        ] {
            let done = sensor(&[command, vec!["-c", path.to_str().unwrap()]].concat());
            assert_eq!(done.status.code(), Some(1));
            assert!(stderr(&done).contains(wanted) && stderr(&done).contains("wrong.yaml"), "{}", stderr(&done));
        }
        assert!(!out.exists());
    }
}

#[test]
fn run_without_identity_or_orders_says_what_is_missing() {
    let refused = |state: &State, wanted: &str| {
        let config = text(&state.config());
        for command in [vec!["run", "-r", "/dev/null", "-c", &config], vec!["tail", "/tmp/eve.json", "-c", &config]] {
            let done = sensor(&command);
            assert_eq!(done.status.code(), Some(1), "{command:?} ended well");
            assert!(stderr(&done).contains(wanted), "{command:?}: {wanted:?} is missing in: {}", stderr(&done));
        }
        assert_eq!(state.released(), Vec::<String>::new());
    };
    let state = State::new();
    fs::remove_file(state.path().join("identity/certificate.pem")).unwrap();
    refused(&state, "lagewarte-sensor enrol TOKEN");
    fs::remove_dir_all(state.path()).unwrap();
    refused(&state, "there is no state directory");

    let state = State::new();
    fs::remove_file(state.path().join("assignment.yaml")).unwrap();
    refused(&state, "Ask the CERT for assignment.yaml");

    let state = State::new();
    let path = state.path().join("assignment.yaml");
    let changed = fs::read_to_string(&path).unwrap().replace("10.20.0.0/16", "10.99.0.0/16");
    fs::write(&path, changed).unwrap();
    refused(&state, "no trusted key has signed this as Assignment");

    let mut state = State::new();
    let ours = std::mem::replace(&mut state.key, SigningKey::generate().unwrap());
    state.assign(1, SENSOR);
    state.key = ours;
    refused(&state, "no trusted key has signed");

    state.assign(5, Uuid::from_u128(0x99));
    refused(&state, "it is for sensor 00000000-0000-0000-0000-000000000099");
}

#[test]
fn older_orders_are_refused() {
    let state = State::new();
    state.assign(7, SENSOR);
    let eve = state.dir.path().join("eve.json");
    fs::write(&eve, "").unwrap();
    let config = text(&state.config());
    let run = common::Running::start(&["tail", eve.to_str().unwrap(), "-c", &config], &state.log());
    common::until("the orders are in force", || state.path().join("seen.json").exists().then_some(()));
    run.kill();
    state.assign(6, SENSOR);
    let done = sensor(&["tail", eve.to_str().unwrap(), "-c", &config]);
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("has version 6, but version 7 was in force here"), "{}", stderr(&done));
}

#[test]
fn a_busy_metrics_port_and_a_second_process_are_told() {
    let state = State::new();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    state.configure(&format!("  metrics:\n    listen: \"{}\"\n", busy.local_addr().unwrap()));
    let config = text(&state.config());
    let done = sensor(&["run", "-r", &text(&repo(CAPTURE)), "-c", &config]);
    assert_eq!(done.status.code(), Some(1));
    let said = stderr(&done);
    assert!(said.contains("cannot listen on 127.0.0.1:") && said.contains("lagewarte.metrics.listen"), "{said}");

    state.configure("");
    let _first = common::Running::start(&["run", "-r", &text(&repo(CAPTURE)), "-c", &config], &state.log());
    common::until("the first runs", || (!state.released().is_empty()).then_some(()));
    let second = sensor(&["run", "-r", &text(&repo(CAPTURE)), "-c", &config]);
    assert_eq!(second.status.code(), Some(1));
    assert!(stderr(&second).contains("is in use by another process"), "{}", stderr(&second));
}

#[test]
fn an_interface_that_is_not_there_and_nothing_to_listen_on_are_told() {
    let state = State::new();
    let config = text(&state.config());
    let done = sensor(&["run", "-i", "nosuch0", "-c", &config]);
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("interface nosuch0:"), "{}", stderr(&done));
    let done = sensor(&["run", "-c", &config]);
    assert!(stderr(&done).contains("name an interface with -i"), "{}", stderr(&done));
    let done = sensor(&["run", "-r", &text(&repo(CAPTURE)), "-c", &config, "port", "or"]);
    assert!(stderr(&done).contains("capture filter"), "{}", stderr(&done));
    let unknown = state.dir.path().join("u.yaml");
    fs::write(&unknown, format!("{}strem:\n  midstream: yes\n", fs::read_to_string(state.config()).unwrap())).unwrap();
    let done = sensor(&["run", "-r", &text(&repo(CAPTURE)), "-c", &text(&unknown)]);
    assert_eq!(done.status.code(), Some(1), "run refuses keys that it does not know");
    assert!(stderr(&done).contains("strem: unknown key"), "{}", stderr(&done));
}

#[test]
fn a_full_disk_is_told_and_loses_nothing_that_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let full = sensor(&[
        "replay",
        "-r",
        &text(&repo("rules/captures/background.pcap")),
        "-l",
        &text(dir.path()),
        "--set",
        "outputs.eve-log.filename=/dev/full",
    ]);
    assert_eq!(full.status.code(), Some(1));
    let said = stderr(&full);
    assert!(said.contains("cannot write /dev/full: No space left on device") && said.contains("Make room"), "{said}");
    let readonly = sensor(&["replay", "-r", &text(&repo(CAPTURE)), "-l", "/proc/none"]);
    assert_eq!(readonly.status.code(), Some(1));
    assert!(stderr(&readonly).contains("cannot make the directory /proc/none"), "{}", stderr(&readonly));

    // A state directory on a disk that takes nothing more: writes beyond a file size of 0 fail.
    let state = State::new();
    let script = format!(
        "trap '' XFSZ; ulimit -f 0; exec {} run -r {} -c {}",
        env!("CARGO_BIN_EXE_lagewarte-sensor"),
        text(&repo(CAPTURE)),
        text(&state.config())
    );
    let done = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(done.status.code(), Some(1), "{}", stderr(&done));
    assert!(stderr(&done).contains(&text(&state.path())), "the place is named: {}", stderr(&done));
    // With room again everything that was there still is, and the sensor runs.
    let config = text(&state.config());
    let run = common::Running::start(&["run", "-r", &text(&repo(CAPTURE)), "-c", &config], &state.log());
    common::until("a health event", || state.released().iter().any(|l| l.contains("\"health\"")).then_some(()));
    assert_eq!(run.terminate(), Some(0), "{}", state.printed());
}

#[test]
fn a_wrong_token_a_wrong_pseudonym_and_wrong_keys_are_told() {
    let state = State::new();
    let config = text(&state.config());
    let done = sensor(&["enrol", "abc", "-c", &config]);
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("not an enrolment token"), "{}", stderr(&done));
    let done = sensor(&["resolve", "10.1.2.3", "-c", &config]);
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("pseudonyms"), "{}", stderr(&done));

    let key = state.dir.path().join("key");
    let made = sensor(&["keys", "new", &text(&key)]);
    assert!(made.status.success(), "{}", stderr(&made));
    let shown = sensor(&["keys", "show", &text(&key)]);
    assert_eq!(stdout(&made), stdout(&shown));
    assert!(!stdout(&made).contains(fs::read_to_string(&key).unwrap().trim()), "the secret is not printed");
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let again = sensor(&["keys", "new", &text(&key)]);
    assert_eq!(again.status.code(), Some(1), "an old key is not overwritten");

    let file = state.dir.path().join("a.yaml");
    fs::write(&file, "name: x\n").unwrap();
    let done = sensor(&["sign", &text(&file), "--purpose", "assignment", "--key", &text(&key)]);
    assert_eq!(done.status.code(), Some(1));
    assert!(stderr(&done).contains("is no assignment and was not signed"), "{}", stderr(&done));
    fs::copy(state.path().join("assignment.yaml"), &file).unwrap();
    let done = sensor(&["sign", &text(&file), "--purpose", "assignment", "--key", &text(&key)]);
    assert!(done.status.success(), "{}", stderr(&done));
    let public = lagewarte_base::signed::PublicKey::parse(&stdout(&made)).unwrap();
    assert!(lagewarte_base::signed::read_verified(&file, Purpose::Assignment, &[public]).is_ok());
}
