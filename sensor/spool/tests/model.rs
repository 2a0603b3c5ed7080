// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The spool against a simple reference, over random actions on a filesystem that loses what was not synced.
//!
//! The reference knows what was handed in, what a successful commit covered, and what a receiver has got. It must hold:
//! the receiver gets every number once, in order; a record is what was appended; a committed record is never a gap; a gap
//! has the reason the appender was told, or `crash` where the record was not yet committed.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's helpers")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use lagewarte_base::{
    clock::ManualClock,
    fs::{Fs as _, faulty::FaultyFs},
    id::Epoch,
    time::Timestamp,
};
use lagewarte_spool::{Cursor, GapReason, Options, Priority, RESERVE, Spool};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Action {
    Append(Priority, u16),
    Commit,
    FailSyncs(u8),
    DiskFull(u16),
    DiskFree,
    /// Reads up to so many records; the acknowledgement may get lost.
    Receive(u8, bool),
    PowerCut(u64),
    Kill,
    Reopen,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        12 => (prop_oneof![Just(Priority::Alert), Just(Priority::Health), Just(Priority::Bulk)], 0u16..600).prop_map(|(p, n)| Action::Append(p, n)),
        4 => Just(Action::Commit),
        1 => (1u8..4).prop_map(Action::FailSyncs),
        1 => (0u16..2000).prop_map(Action::DiskFull),
        1 => Just(Action::DiskFree),
        3 => (1u8..30, any::<bool>()).prop_map(|(n, acked)| Action::Receive(n, acked)),
        1 => any::<u64>().prop_map(Action::PowerCut),
        1 => Just(Action::Kill),
        1 => Just(Action::Reopen),
    ]
}

#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Waiting(Vec<u8>),
    Committed(Vec<u8>),
    Refused(GapReason),
}

struct Model {
    fs: FaultyFs,
    spool: Option<Spool>,
    fates: BTreeMap<(Epoch, u64), Fate>,
    /// The receiver's high-water mark of each epoch.
    marks: BTreeMap<Epoch, u64>,
    finished: BTreeMap<Epoch, u64>,
    next: u64,
    salt: u32,
}

const DIR: &str = "/spool";

fn options() -> Options {
    Options { quota_bytes: 40_000, segment_bytes: 3_000, committer: false, ..Options::default() }
}

impl Model {
    fn new() -> Self {
        let mut m = Self {
            fs: FaultyFs::default(),
            spool: None,
            fates: BTreeMap::new(),
            marks: BTreeMap::new(),
            finished: BTreeMap::new(),
            next: 1,
            salt: 0,
        };
        m.open();
        m
    }

    fn open(&mut self) {
        self.fs.set_capacity(None); // a start on a full disk is another test
        self.fs.fail_syncs(0);
        let clock = Arc::new(ManualClock::new(Timestamp::from_parts(1_000, 0)));
        let spool = Spool::open(Path::new(DIR), options(), Arc::new(self.fs.clone()), clock).unwrap();
        self.next = 1;
        assert!(self.fates.keys().all(|(e, _)| e.counter < spool.epoch().counter), "an epoch came twice");
        self.spool = Some(spool);
    }

    fn spool(&self) -> &Spool {
        self.spool.as_ref().unwrap()
    }

    fn crash(&mut self) {
        // The old process must change nothing any more: what it still tries while it is dropped fails.
        self.spool = None;
        self.open();
    }

    fn note_commits(&mut self) {
        let (epoch, to) = (self.spool().epoch(), self.spool().status().committed_seq);
        for (_, fate) in self.fates.range_mut((epoch, 0)..=(epoch, to)) {
            if let Fate::Waiting(data) = fate {
                *fate = Fate::Committed(std::mem::take(data));
            }
        }
    }

    fn append(&mut self, priority: Priority, len: u16) {
        self.salt += 1;
        let mut data = self.salt.to_be_bytes().to_vec();
        data.resize(4 + usize::from(len), 0xC5);
        let epoch = self.spool().epoch();
        let got = self.spool().append(priority, |_| data.clone());
        match got {
            Ok(seq) => {
                assert_eq!(seq, self.next, "numbers are given out without holes");
                self.fates.insert((epoch, seq), Fate::Waiting(data));
                self.next += 1;
            }
            // Numbers may be exhausted on a failing disk; then nothing was used up, which the next number shows.
            Err(dropped) if self.next % RESERVE != 1 || dropped.0 != GapReason::Disk => {
                self.fates.insert((epoch, self.next), Fate::Refused(dropped.0));
                self.next += 1;
            }
            Err(dropped) => assert_eq!(dropped.0, GapReason::Disk),
        }
        self.note_commits();
    }

    /// One step of the receiver; false where there was nothing.
    fn receive(&mut self, max: usize, acked: bool) -> bool {
        for epoch in self.spool().epochs() {
            let mark = self.marks.get(&epoch).copied().unwrap_or(0);
            let mut cursor = Cursor::new(epoch, mark);
            let chunk = self.spool().read(&mut cursor, 1 << 20, max).unwrap();
            let mut covered = BTreeMap::new();
            for r in &chunk.records {
                assert_eq!(covered.insert(r.seq, r.seq), None);
                match self.fates.get(&(epoch, r.seq)) {
                    Some(Fate::Committed(data)) => assert_eq!(*data, r.data),
                    // Written but its commit was never confirmed before the crash: welcome, if it is the same.
                    Some(Fate::Waiting(data)) if epoch != self.spool().epoch() => assert_eq!(*data, r.data),
                    other => panic!("{epoch:?} {}: received, but {other:?}", r.seq),
                }
            }
            for g in &chunk.gaps {
                assert_eq!(covered.insert(*g.range.start(), *g.range.end()), None);
                for (key, fate) in self.fates.range((epoch, *g.range.start())..=(epoch, *g.range.end())) {
                    match fate {
                        Fate::Committed(_) => panic!("{key:?} was committed and is lost as {}", g.reason.name()),
                        Fate::Refused(told) if *told == g.reason => {}
                        _ if epoch == self.spool().epoch() => panic!("{key:?}: {fate:?} but gap {}", g.reason.name()),
                        _ => {
                            assert!(matches!(g.reason, GapReason::Crash | GapReason::Corrupt), "{key:?} {fate:?} {g:?}")
                        }
                    }
                }
            }
            let mut next = mark + 1;
            for (from, to) in covered {
                assert_eq!(from, next, "a hole or an overlap in {epoch:?}: {chunk:?}");
                next = to + 1;
            }
            assert_eq!(chunk.up_to, next - 1);
            self.marks.insert(epoch, chunk.up_to);
            if chunk.end {
                assert_ne!(epoch, self.spool().epoch());
                self.finished.insert(epoch, chunk.up_to);
            }
            if acked {
                self.spool().acknowledge(epoch, chunk.up_to);
            }
            if !chunk.is_empty() {
                return true;
            }
        }
        false
    }

    fn step(&mut self, action: &Action) {
        match *action {
            Action::Append(p, n) => self.append(p, n),
            Action::Commit => {
                let _ = self.spool().commit();
                self.note_commits();
            }
            Action::FailSyncs(n) => self.fs.fail_syncs(n.into()),
            Action::DiskFull(spare) => self.fs.set_capacity(Some(self.fs.used() + usize::from(spare))),
            Action::DiskFree => self.fs.set_capacity(None),
            Action::Receive(n, acked) => {
                self.receive(n.into(), acked);
            }
            Action::PowerCut(seed) => {
                self.fs = self.fs.power_cut(seed);
                self.crash();
            }
            Action::Kill => {
                self.fs = self.fs.kill();
                self.crash();
            }
            Action::Reopen => {
                self.spool().close();
                self.note_commits();
                self.spool = None;
                self.open();
            }
        }
    }

    fn finish(&mut self) {
        self.step(&Action::DiskFree);
        self.fs.fail_syncs(0);
        self.spool().commit().unwrap();
        self.step(&Action::Reopen);
        while self.receive(50, true) {}
        for (key, fate) in &self.fates {
            let mark = self.marks.get(&key.0).copied().unwrap_or(0);
            if matches!(fate, Fate::Committed(_) | Fate::Refused(_)) {
                assert!(mark >= key.1, "{key:?} {fate:?} was never accounted for, mark {mark}");
            }
        }
        assert_eq!(self.spool().epochs(), [self.spool().epoch()], "all acknowledged: only the current epoch is left");
        let left = self.fs.list(Path::new(DIR)).unwrap();
        assert_eq!(left, ["ledger"], "all acknowledged: no segment is left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn nothing_committed_is_lost_and_every_number_is_accounted_for(actions in proptest::collection::vec(action(), 1..120)) {
        let mut model = Model::new();
        for a in &actions {
            model.step(a);
        }
        model.finish();
    }
}

/// Many power cuts in one life of a directory, by fixed seeds, so that a failure names the seed.
#[test]
fn a_thousand_power_cuts() {
    let mut model = Model::new();
    let mut rng = fastrand::Rng::with_seed(20_261_121);
    for cut in 0..1000 {
        for _ in 0..rng.usize(1..30) {
            let p = Priority::ALL[rng.usize(0..3)];
            model.append(p, rng.u16(0..400));
            match rng.u8(0..10) {
                0 | 1 => model.step(&Action::Commit),
                2 => model.step(&Action::Receive(rng.u8(1..20), rng.bool())),
                3 if rng.u8(0..5) == 0 => model.step(&Action::FailSyncs(1)),
                _ => {}
            }
        }
        model.step(&Action::PowerCut(cut));
    }
    model.finish();
}
