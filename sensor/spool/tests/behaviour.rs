// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the spool promises, one by one: quota by priority, states, full disk, rot, two processes, the committer, the audit.

#![expect(clippy::unwrap_used, reason = "a test's helpers")]

use std::{
    path::Path,
    sync::{Arc, mpsc},
};

use lagewarte_base::{
    clock::{ManualClock, SystemClock},
    fs::{Fs as _, RealFs, faulty::FaultyFs},
    time::Timestamp,
};
use lagewarte_spool::{
    Cursor, Dropped, GapReason, MAX_PENDING, MAX_RECORD, OpenError, Options, Pair, Priority, Spool, State, audit,
};

const DIR: &str = "/spool";

fn options() -> Options {
    Options { quota_bytes: 100_000, segment_bytes: 10_000, committer: false, ..Options::default() }
}

fn open(fs: &FaultyFs, options: Options) -> Spool {
    let clock = Arc::new(ManualClock::new(Timestamp::from_parts(5, 0)));
    Spool::open(Path::new(DIR), options, Arc::new(fs.clone()), clock).unwrap()
}

fn put(spool: &Spool, priority: Priority, len: usize) -> Result<u64, Dropped> {
    spool.append(priority, |_| vec![7; len])
}

/// Numbers of records, and gaps, from the beginning of the current epoch.
fn all(spool: &Spool) -> (Vec<u64>, Vec<(u64, u64, GapReason)>) {
    let mut cursor = Cursor::new(spool.epoch(), 0);
    let (mut records, mut gaps) = (Vec::new(), Vec::new());
    loop {
        let chunk = spool.read(&mut cursor, 1_000, 7).unwrap();
        if chunk.is_empty() {
            return (records, gaps);
        }
        records.extend(chunk.records.iter().map(|r| r.seq));
        gaps.extend(chunk.gaps.iter().map(|g| (*g.range.start(), *g.range.end(), g.reason)));
    }
}

#[test]
fn alerts_go_last_and_every_refusal_is_a_number() {
    let spool = open(&FaultyFs::default(), options());
    let mut refused = [0u64; 3];
    let mut order = Vec::new();
    for _ in 0..400 {
        for p in Priority::ALL {
            if put(&spool, p, 200).is_err() {
                refused[p as usize - 1] += 1;
                if !order.contains(&p) {
                    order.push(p);
                }
            }
        }
        spool.commit().unwrap();
    }
    assert_eq!(order, [Priority::Bulk, Priority::Health, Priority::Alert]);
    assert!(refused[0] < refused[1] && refused[1] < refused[2], "{refused:?}");
    let status = spool.status();
    assert_eq!(status.state, State::Full);
    assert!(status.bytes <= 100_000 + 1_000, "the quota holds: {}", status.bytes);
    assert_eq!(status.dropped[GapReason::Quota as usize], refused.iter().sum::<u64>());
    // Refused ones that are followed by an accepted one are gaps already; together they are every number up to there.
    let (records, gaps) = all(&spool);
    let told: u64 = gaps.iter().map(|(from, to, _)| to - from + 1).sum();
    assert_eq!(records.len() as u64 + told, status.committed_seq);
    assert_eq!(records.len() as u64, status.appended.iter().sum::<u64>());
    assert!(gaps.iter().all(|g| g.2 == GapReason::Quota));
}

#[test]
fn states_go_from_normal_to_full_and_back_through_recovering() {
    let spool = open(&FaultyFs::default(), options());
    let fill = |to: u64| {
        while spool.status().bytes < to {
            put(&spool, Priority::Alert, 500).unwrap();
            spool.commit().unwrap();
        }
        spool.status().state
    };
    let free = |to: u64| {
        let mut acked = 0;
        while spool.status().bytes > to {
            acked += 1;
            spool.acknowledge(spool.epoch(), acked);
        }
        spool.status().state
    };
    assert_eq!(fill(40_000), State::Normal);
    assert_eq!(fill(60_000), State::Warning);
    assert!(spool.has_room(Priority::Bulk));
    assert_eq!(fill(85_000), State::Full);
    assert!(!spool.has_room(Priority::Bulk) && spool.has_room(Priority::Health));
    assert_eq!(free(70_000), State::Recovering);
    assert_eq!(free(55_000), State::Recovering);
    assert_eq!(free(38_000), State::Normal);
    assert_eq!(fill(60_000), State::Warning, "not recovering again: it was normal in between");
    assert_eq!(free(45_000), State::Warning, "between two thresholds a state stays");
    assert_eq!(spool.status().entered, [1, 2, 1, 1]);
}

#[test]
fn a_pair_shares_its_quota_and_alerts_go_last() {
    let fs = FaultyFs::default();
    let clock = Arc::new(ManualClock::new(Timestamp::from_parts(5, 0)));
    let open = || Pair::open(Path::new(DIR), options(), Arc::new(fs.clone()), clock.clone()).unwrap();
    let pair = open();
    let fill = |p: Priority| {
        let mut taken = 0;
        while pair.append(p, |_| vec![7; 500]).is_ok() {
            taken += 1;
            pair.commit().unwrap();
        }
        taken
    };
    let bulk = fill(Priority::Bulk);
    assert_eq!(pair.status().state, State::Full);
    assert!(!pair.has_room(Priority::Bulk) && pair.has_room(Priority::Health) && pair.has_room(Priority::Alert));
    let (health, alerts) = (fill(Priority::Health), fill(Priority::Alert));
    assert!(bulk > 5 * health && health > 0 && alerts > 0, "{bulk} {health} {alerts}");
    let status = pair.status();
    assert_eq!(status.appended, [alerts, health, bulk]);
    assert!((100_000..102_000).contains(&status.bytes), "{}", status.bytes);
    assert_ne!(pair.urgent().epoch(), pair.bulk().epoch());
    // What bulk gives back is room for all.
    pair.bulk().acknowledge(pair.bulk().epoch(), bulk);
    assert!(pair.has_room(Priority::Bulk) && pair.status().state != State::Full);
    // After a restart both count again.
    let held = pair.urgent().status().bytes;
    pair.close();
    drop(pair);
    let again = open();
    // Bulk was acknowledged; what was refused last is a gap that closing wrote down.
    assert!((held..held + 1_000).contains(&again.status().bytes), "{held} {}", again.status().bytes);
    assert!(matches!(
        Pair::open(Path::new(DIR), options(), Arc::new(fs.clone()), clock.clone()),
        Err(OpenError::Locked(_))
    ));
}

/// Found by the soak: without the ballast the second start failed for ever.
#[test]
fn a_sensor_killed_on_a_full_disk_starts_again_and_frees_the_disk() {
    let fs = FaultyFs::default();
    let spool = open(&fs, options());
    for _ in 0..20 {
        put(&spool, Priority::Alert, 200).unwrap();
    }
    spool.commit().unwrap();
    let epoch = spool.epoch();
    let fs = fs.kill();
    fs.set_capacity(Some(fs.used())); // not a byte is left
    let spool = open(&fs, options());
    let mut cursor = Cursor::new(epoch, 0);
    let held = spool.read(&mut cursor, 1 << 20, 100).unwrap();
    assert_eq!(held.records.len(), 20, "what was held is there to be sent");
    // What is acknowledged frees the disk, and the next start finds its ballast again.
    spool.acknowledge(epoch, lagewarte_spool::RESERVE);
    drop(spool);
    let fs = fs.kill();
    drop(open(&fs, options()));
    assert_eq!(fs.size(&Path::new(DIR).join("ballast")).unwrap(), 64 << 10);
}

/// Found by the soak: the last segment was kept as the one being written, and nothing could be written.
#[test]
fn a_disk_smaller_than_a_segment_is_freed_by_what_is_acknowledged() {
    let fs = FaultyFs::default();
    let spool = open(&fs, Options { quota_bytes: 64 << 20, segment_bytes: 8 << 20, ..options() });
    fs.set_capacity(Some(fs.used() + 300_000));
    for round in 1..=5 {
        while put(&spool, Priority::Alert, 50_000).is_ok() && spool.commit().is_ok() {}
        assert!(spool.status().last_error.is_some(), "round {round}: the disk is full");
        // All that is held is sent and acknowledged: then what waited in memory is written.
        let mut cursor = Cursor::new(spool.epoch(), spool.acknowledged(spool.epoch()));
        let held = spool.read(&mut cursor, 1 << 30, 1_000).unwrap();
        assert!(!held.records.is_empty(), "round {round}: something was held");
        spool.acknowledge(spool.epoch(), held.up_to);
        spool.commit().unwrap_or_else(|e| panic!("round {round}: {e}"));
    }
}

/// Found by the soak: all that was held had been acknowledged before the disk was full, so that no acknowledgement came any
/// more with which the segment would have been removed.
#[test]
fn a_disk_full_of_what_is_acknowledged_already_is_freed() {
    let fs = FaultyFs::default();
    let spool = open(&fs, Options { quota_bytes: 64 << 20, segment_bytes: 8 << 20, ..options() });
    fs.set_capacity(Some(fs.used() + 300_000));
    for round in 1..=3 {
        for _ in 0..5 {
            put(&spool, Priority::Alert, 50_000).unwrap();
        }
        spool.commit().unwrap_or_else(|e| panic!("round {round}: {e}"));
        spool.acknowledge(spool.epoch(), spool.committed());
        put(&spool, Priority::Alert, 100_000).unwrap();
        let errors = spool.status().disk_errors;
        spool.commit().unwrap_or_else(|e| panic!("round {round}: {e}"));
        assert!(spool.status().disk_errors > errors, "round {round}: there is no room beside what is acknowledged");
        spool.acknowledge(spool.epoch(), spool.committed());
        let status = spool.status();
        assert_eq!((status.records, status.committed_seq, status.dropped), (0, 6 * round, [0; 5]), "round {round}");
        // The next round begins with the segment of the last record.
        fs.set_capacity(Some(fs.used() + 300_000));
    }
}

/// Bulk's open segment was acknowledged and filled the disk; bulk had nothing more to commit, so that alerts waited without
/// end. The other way round as well.
#[test]
fn what_is_acknowledged_in_one_spool_makes_room_for_the_other() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_parts(5, 0)));
    for (fills, waits) in [(Priority::Bulk, Priority::Alert), (Priority::Alert, Priority::Bulk)] {
        let fs = FaultyFs::default();
        let options = Options { quota_bytes: 64 << 20, segment_bytes: 8 << 20, ..options() };
        let pair = Pair::open(Path::new(DIR), options, Arc::new(fs.clone()), clock.clone()).unwrap();
        fs.set_capacity(Some(fs.used() + 300_000));
        let (full, other) = (pair.of(fills), pair.of(waits));
        for round in 1..=3 {
            for _ in 0..5 {
                put(full, fills, 50_000).unwrap();
            }
            full.commit().unwrap();
            full.acknowledge(full.epoch(), full.committed() - 1);
            put(other, waits, 100_000).unwrap();
            assert!(
                other.commit().is_err() && other.commit().is_err(),
                "round {round}: the last record is not acknowledged"
            );
            assert_eq!(full.status().records, 1);
            full.acknowledge(full.epoch(), full.committed());
            other.commit().unwrap_or_else(|e| panic!("round {round}, {fills:?}: {e}"));
            other.acknowledge(other.epoch(), other.committed());
            let status = pair.status();
            assert_eq!((status.records, status.dropped), (0, [0; 5]), "round {round}");
            assert_eq!((full.committed(), other.committed()), (5 * round, round), "round {round}");
        }
        assert_eq!(all(full).0, [] as [u64; 0], "no record is left, and none is a gap");
    }
}

#[test]
fn a_spool_that_has_ended_makes_room_for_the_end_of_the_other() {
    let fs = FaultyFs::default();
    let clock = Arc::new(ManualClock::new(Timestamp::from_parts(5, 0)));
    let open = || {
        let options = Options { quota_bytes: 64 << 20, segment_bytes: 8 << 20, ..options() };
        Pair::open(Path::new(DIR), options, Arc::new(fs.clone()), clock.clone()).unwrap()
    };
    let pair = open();
    put(pair.urgent(), Priority::Alert, 100_000).unwrap();
    pair.commit().unwrap();
    pair.urgent().acknowledge(pair.urgent().epoch(), 1);
    put(pair.bulk(), Priority::Bulk, 100_000).unwrap();
    fs.set_capacity(Some(fs.used() + 1_000));
    let ended = pair.bulk().epoch();
    pair.close();
    drop(pair);
    fs.set_capacity(None);
    let pair = open();
    assert_eq!(pair.urgent().epochs(), [pair.urgent().epoch()], "a clean end: no numbers are missing behind it");
    let held = pair.bulk().read(&mut Cursor::new(ended, 0), 1 << 20, 9).unwrap();
    assert_eq!((held.records.len(), held.gaps.len(), held.end), (1, 0, true));
}

/// Numbers are reserved on the disk: where it is full of what is acknowledged already, that makes room for them as well.
#[test]
fn numbers_are_reserved_again_on_a_disk_full_of_what_is_acknowledged() {
    let fs = FaultyFs::default();
    let clock = Arc::new(ManualClock::new(Timestamp::from_parts(5, 0)));
    let options = Options { quota_bytes: 64 << 20, segment_bytes: 8 << 20, ..options() };
    let pair = Pair::open(Path::new(DIR), options, Arc::new(fs.clone()), clock).unwrap();
    put(pair.bulk(), Priority::Bulk, 100_000).unwrap();
    pair.commit().unwrap();
    pair.bulk().acknowledge(pair.bulk().epoch(), 1);
    // Not a byte is left, not even in the ballast's place.
    fs.remove(&Path::new(DIR).join("ballast")).unwrap();
    fs.set_capacity(Some(fs.used()));
    assert_eq!(put(pair.urgent(), Priority::Alert, 10), Ok(1));
    pair.commit().unwrap();
}

#[test]
fn a_full_disk_refuses_new_records_keeps_the_held_ones_and_recovers() {
    let fs = FaultyFs::default();
    let spool = open(&fs, Options { quota_bytes: 64 << 20, segment_bytes: 1 << 20, ..options() });
    for _ in 0..10 {
        put(&spool, Priority::Alert, 1_000).unwrap();
    }
    spool.commit().unwrap();
    fs.set_capacity(Some(fs.used() + 3_000));
    let mut accepted = 10u64;
    let refused = loop {
        match put(&spool, Priority::Alert, 100_000) {
            Ok(_) => accepted += 1,
            Err(e) => break e,
        }
        let _ = spool.commit(); // fails: that is the point
    };
    assert_eq!(refused, Dropped(GapReason::Disk));
    assert!((accepted - 10) * 100_000 <= (MAX_PENDING + 200_000) as u64, "memory is bounded by MAX_PENDING");
    assert_eq!(spool.status().state, State::Full);
    assert!(spool.status().last_error.is_some() && !spool.has_room(Priority::Alert));
    assert_eq!(all(&spool).0, (1..=10).collect::<Vec<_>>(), "what is held can still be read");
    fs.set_capacity(None);
    spool.commit().unwrap();
    put(&spool, Priority::Alert, 10).unwrap();
    spool.commit().unwrap();
    let (records, gaps) = all(&spool);
    assert_eq!(records.len() as u64, accepted + 1, "what was accepted meanwhile is there");
    assert_eq!(gaps, [(accepted + 1, accepted + 1, GapReason::Disk)]);
    assert_ne!(spool.status().state, State::Full);
}

#[test]
fn rot_in_the_middle_costs_its_record_and_is_a_gap_by_number() {
    let fs = FaultyFs::default();
    let spool = open(&fs, options());
    for _ in 0..5 {
        put(&spool, Priority::Alert, 100).unwrap();
    }
    spool.commit().unwrap();
    let old = spool.epoch();
    let name = fs.list(Path::new(DIR)).unwrap().into_iter().find(|n| n.ends_with(".spool")).unwrap();
    fs.rot(&Path::new(DIR).join(name), 36 + 2 * 127 + 60, 0x40); // inside the third record
    let wanted = (vec![1, 2, 4, 5], vec![(3, 3, GapReason::Corrupt)]);
    assert_eq!(all(&spool), wanted);
    spool.close();
    drop(spool);
    let spool = open(&fs, options());
    let chunk = spool.read(&mut Cursor::new(old, 0), usize::MAX, 100).unwrap();
    assert_eq!(chunk.records.iter().map(|r| r.seq).collect::<Vec<_>>(), wanted.0, "the same after a restart");
    assert!(chunk.end && chunk.up_to == 5 && chunk.gaps.len() == 1, "a clean end: no gap behind the last record");
}

#[test]
fn a_crash_is_a_gap_up_to_the_reservation_and_a_clean_end_is_none() {
    let fs = FaultyFs::default();
    let spool = open(&fs, options());
    put(&spool, Priority::Alert, 10).unwrap();
    spool.commit().unwrap();
    put(&spool, Priority::Alert, 10).unwrap(); // never committed
    let (old, fs) = (spool.epoch(), fs.kill());
    drop(spool);
    let spool = open(&fs, options());
    assert_ne!(spool.epoch().nonce, old.nonce);
    assert_eq!(spool.epoch().counter, old.counter + 1);
    let chunk = spool.read(&mut Cursor::new(old, 0), usize::MAX, 100).unwrap();
    assert_eq!(chunk.records.len(), 1);
    let gap = &chunk.gaps[0];
    assert_eq!((gap.range.clone(), gap.reason), (2..=lagewarte_spool::RESERVE, GapReason::Crash));
    spool.acknowledge(old, chunk.up_to);
    assert_eq!(spool.epochs(), [spool.epoch()]);
}

#[test]
fn too_large_a_record_is_a_gap_of_its_own_reason() {
    let spool = open(&FaultyFs::default(), Options { quota_bytes: 64 << 20, segment_bytes: 1 << 20, ..options() });
    assert_eq!(put(&spool, Priority::Alert, MAX_RECORD), Ok(1));
    assert_eq!(put(&spool, Priority::Alert, MAX_RECORD + 1), Err(Dropped(GapReason::Size)));
    assert_eq!(put(&spool, Priority::Alert, 1), Ok(3));
    spool.commit().unwrap();
    assert_eq!(all(&spool), (vec![1, 3], vec![(2, 2, GapReason::Size)]));
}

#[test]
fn the_second_process_is_told_and_nonsense_options_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let real = |o| Spool::open(dir.path(), o, Arc::new(RealFs), Arc::new(SystemClock));
    let first = real(options()).unwrap();
    let e = real(options()).unwrap_err();
    assert!(matches!(e, OpenError::Locked(_)) && e.to_string().contains("state-dir"), "{e}");
    drop(first);
    assert!(real(options()).is_ok());
    assert!(matches!(real(Options { quota_bytes: 1, ..options() }), Err(OpenError::Options(_))));
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let e = Spool::open(&file, options(), Arc::new(RealFs), Arc::new(SystemClock)).unwrap_err();
    assert!(e.to_string().contains("writable"), "{e}");
}

#[test]
fn the_committer_commits_by_itself_and_the_audit_reads_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path(), Options::default(), Arc::new(RealFs), Arc::new(SystemClock)).unwrap();
    let (tell, told) = mpsc::channel();
    spool.on_commit(move || {
        let _ = tell.send(()); // the test may be over
    });
    let mut appended = Vec::new();
    for n in 0..100u32 {
        let data = n.to_be_bytes().repeat(n as usize);
        let seq = spool.append(Priority::ALL[n as usize % 3], |_| data.clone()).unwrap();
        appended.push((seq, data));
    }
    while spool.status().committed_seq < 100 {
        told.recv().unwrap();
    }
    assert!(spool.status().commits < 100, "a group commit, not one each");
    let held = audit::list(dir.path()).unwrap();
    assert!(held.iter().all(|h| h.epoch == spool.epoch()));
    let held: Vec<_> = held.into_iter().map(|h| (h.seq, h.data)).collect();
    assert_eq!(held, appended);
    spool.acknowledge(spool.epoch(), u64::MAX); // more than was ever given out: cut to what is committed
    spool.close();
    assert_eq!(spool.append(Priority::Alert, |_| Vec::new()), Err(Dropped(GapReason::Disk)), "closed");
}
