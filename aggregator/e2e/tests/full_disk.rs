// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A gateway whose disk is really full while the line is down: the sensor says so, goes on, and loses nothing.
//!
//! The other things that go wrong on a host are tested with each program: `sensor/agent/tests/errors.rs`,
//! `aggregator/server/tests/start.rs`.
#![expect(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use lagewarte_base::time::Timestamp;
use lagewarte_e2e::{Constituent, Options, Process, SensorRow, World, aggregator, root_user, sensor, wait_for};

const PATIENCE: Duration = Duration::from_secs(60);

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

/// Runs a program with a small file system of its own on a folder: `unshare` and tmpfs, gone with the process.
fn on_small_disk(kilobytes: u32, folder: &Path, program: &Path, args: &[&str]) -> (PathBuf, Vec<String>) {
    let mut all: Vec<String> = if root_user() { vec![] } else { vec!["--map-root-user".into()] };
    let script = format!("mount -t tmpfs -o size={kilobytes}k lagewarte \"$0\" && exec \"$@\"");
    all.extend(["--mount".into(), "sh".into(), "-c".into(), script]);
    all.extend([folder.to_string_lossy().into_owned(), program.to_string_lossy().into_owned()]);
    all.extend(args.iter().map(|a| (*a).to_owned()));
    ("/usr/bin/unshare".into(), all)
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
