// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Both spools on a disk that is really full: a file system of its own in memory, gone with the process that mounted it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends where something is missing")]

use std::{
    env,
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
    time::Duration,
};

use lagewarte_base::{clock::SystemClock, fs::RealFs};
use lagewarte_spool::{
    Cursor, Options, Pair,
    Priority::{Alert, Bulk},
};

/// Says to the process on the small disk where that is.
const DISK: &str = "LAGEWARTE_SMALL_DISK";
const PIECE: usize = 100_000;

/// Bulk's open segment is acknowledged and fills the disk, and bulk has nothing to commit: alerts get through all the same.
#[test]
fn alerts_get_through_on_a_disk_full_of_acknowledged_bulk() {
    if let Some(disk) = env::var_os(DISK) {
        return on(Path::new(&disk));
    }
    let dir = tempfile::tempdir().unwrap();
    let small = |rights: &[&str]| {
        let mut command = Command::new("unshare");
        let mount = "mount -t tmpfs -o size=2m lagewarte \"$0\" && exec \"$@\"";
        command.args(rights).args(["--mount", "sh", "-c", mount]).arg(dir.path());
        command
    };
    let may = |rights: &&[&str]| small(rights).arg("true").output().is_ok_and(|o| o.status.success());
    let Some(rights) = [&[][..], &["--map-root-user"]].into_iter().find(may) else {
        return eprintln!("not run: nothing may be mounted here");
    };
    let this = ["--exact", "alerts_get_through_on_a_disk_full_of_acknowledged_bulk"];
    let done = small(rights).arg(env::current_exe().unwrap()).args(this).env(DISK, dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&done.stderr));
}

fn on(disk: &Path) {
    let pair = Pair::open(disk, Options::default(), Arc::new(RealFs), Arc::new(SystemClock)).unwrap();
    let (bulk, urgent) = (pair.bulk(), pair.urgent());
    let (tell, told) = mpsc::channel();
    for spool in pair.both() {
        let tell = tell.clone();
        spool.on_commit(move || {
            let _ = tell.send(()); // the test may be over
        });
    }
    let put = |p, n: u8| (0..n).for_each(|i| assert!(pair.append(p, |_| vec![i; PIECE]).is_ok()));
    let wait = |done: &dyn Fn() -> bool| {
        while !done() {
            told.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|_| panic!("no commit: {:?}", pair.status()));
        }
    };
    put(Bulk, 15);
    wait(&|| bulk.committed() == 15);
    bulk.acknowledge(bulk.epoch(), 14);
    put(Alert, 12);
    while !pair.status().last_error.is_some_and(|e| e.contains("No space left")) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(bulk.read(&mut Cursor::new(bulk.epoch(), 14), 1 << 20, 9).unwrap().up_to, 15, "not acknowledged: held");
    bulk.acknowledge(bulk.epoch(), 15);
    wait(&|| urgent.committed() == 12);
    let held = urgent.read(&mut Cursor::new(urgent.epoch(), 0), 1 << 30, 100).unwrap();
    assert!(held.gaps.is_empty());
    assert!(held.records.iter().zip(0u8..).all(|(r, i)| r.data == vec![i; PIECE]) && held.records.len() == 12);
    // What bulk says next begins a segment of its own.
    urgent.acknowledge(urgent.epoch(), 12);
    put(Bulk, 1);
    wait(&|| bulk.committed() == 16);
    assert_eq!((pair.status().records, pair.status().dropped), (1, [0; 5]));
}
