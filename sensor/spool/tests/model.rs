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
    fs::{
        Fs as _,
        faulty::{FaultyFs, power_cuts},
    },
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
    /// Another spool of the same quota commits and has acknowledged a record: on a full disk it takes the room of what the
    /// first one has acknowledged.
    Neighbour(u16),
    /// Reads up to so many records; the acknowledgement may get lost.
    Receive(u8, bool),
    PowerCut(u64),
    /// The power goes after so many more operations of the disk, wherever that is.
    PowerOff(u8),
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
        2 => (0u16..600).prop_map(Action::Neighbour),
        3 => (1u8..30, any::<bool>()).prop_map(|(n, acked)| Action::Receive(n, acked)),
        1 => any::<u64>().prop_map(Action::PowerCut),
        1 => (0u8..40).prop_map(Action::PowerOff),
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
    neighbour: Option<Spool>,
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
        Self {
            fs: FaultyFs::default(),
            spool: None,
            neighbour: None,
            fates: BTreeMap::new(),
            marks: BTreeMap::new(),
            finished: BTreeMap::new(),
            next: 1,
            salt: 0,
        }
    }

    /// Opens the spool; false where the power went meanwhile.
    fn try_open(&mut self) -> bool {
        self.fs.set_capacity(None); // a start on a full disk is another test
        self.fs.fail_syncs(0);
        let clock = Arc::new(ManualClock::new(Timestamp::from_parts(1_000, 0)));
        let options = options();
        let open = |dir| Spool::open(Path::new(dir), options.clone(), Arc::new(self.fs.clone()), clock.clone());
        let (spool, neighbour) = match open(DIR).and_then(|s| Ok((s, open("/neighbour")?))) {
            Ok(both) => both,
            Err(e) => {
                assert!(self.fs.is_off(), "{e}");
                return false;
            }
        };
        // What the neighbour left behind when it ended is not held against the quota.
        neighbour.epochs().into_iter().for_each(|e| neighbour.acknowledge(e, u64::MAX));
        self.next = 1;
        assert!(self.fates.keys().all(|(e, _)| e.counter < spool.epoch().counter), "an epoch came twice");
        (self.spool, self.neighbour) = (Some(spool), Some(neighbour));
        true
    }

    fn open(&mut self) {
        while !self.try_open() {
            self.fs = self.fs.power_cut(u64::from(self.salt));
        }
    }

    fn spool(&self) -> &Spool {
        self.spool.as_ref().unwrap()
    }

    fn crash(&mut self) {
        // The old process must change nothing any more: what it still tries while it is dropped fails.
        (self.spool, self.neighbour) = (None, None);
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
        if self.fs.is_off() {
            self.fs = self.fs.power_cut(u64::from(self.salt));
            self.crash();
        }
        self.step_alive(action);
    }

    fn step_alive(&mut self, action: &Action) {
        match *action {
            Action::Append(p, n) => self.append(p, n),
            Action::Commit => {
                let _ = self.spool().commit();
                self.note_commits();
            }
            Action::FailSyncs(n) => self.fs.fail_syncs(n.into()),
            Action::DiskFull(spare) => self.fs.set_capacity(Some(self.fs.used() + usize::from(spare))),
            Action::DiskFree => self.fs.set_capacity(None),
            Action::Neighbour(n) => {
                let neighbour = self.neighbour.as_ref().unwrap();
                let _ = neighbour.append(Priority::Alert, |_| vec![0x5C; n.into()]);
                let _ = neighbour.commit();
                neighbour.acknowledge(neighbour.epoch(), u64::MAX);
                self.note_commits();
            }
            Action::Receive(n, acked) => {
                self.receive(n.into(), acked);
            }
            Action::PowerCut(seed) => {
                self.fs = self.fs.power_cut(seed);
                self.crash();
            }
            Action::PowerOff(n) => self.fs.power_off_after(n.into()),
            Action::Kill => {
                self.fs = self.fs.kill();
                self.crash();
            }
            Action::Reopen => {
                self.spool().close();
                self.note_commits();
                (self.spool, self.neighbour) = (None, None);
                self.open();
            }
        }
    }

    fn finish(&mut self) {
        self.step(&Action::PowerCut(0)); // the last one: from here on nothing fails
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
        assert_eq!(left, ["ballast", "ledger"], "all acknowledged: no segment is left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn nothing_committed_is_lost_and_every_number_is_accounted_for(actions in proptest::collection::vec(action(), 1..120)) {
        let mut model = Model::new();
        model.open();
        for a in &actions {
            model.step(a);
        }
        model.finish();
    }
}

/// A thousand power cuts in one life of a directory, each wherever it falls: in the middle of a start, of a commit, of the
/// removal of what is acknowledged.
#[test]
fn a_thousand_power_cuts() {
    let mut model = Model::new();
    let (mut opened, mut cut) = (0u32, 0u32);
    model.fs = power_cuts(20_261_121, 1000, 150, |fs, _, rng| {
        model.fs = fs.clone();
        (model.spool, model.neighbour) = (None, None); // of the life before: whatever it still tries is refused
        if !model.try_open() {
            return;
        }
        opened += 1;
        for _ in 0..rng.usize(1..60) {
            if fs.is_off() {
                break;
            }
            let p = Priority::ALL[rng.usize(0..3)];
            model.append(p, rng.u16(0..400));
            match rng.u8(0..10) {
                0 | 1 => model.step_alive(&Action::Commit),
                2 => model.step_alive(&Action::Receive(rng.u8(1..20), rng.bool())),
                3 if rng.u8(0..5) == 0 => model.step_alive(&Action::FailSyncs(1)),
                _ => {}
            }
        }
        cut += u32::from(fs.is_off());
    });
    model.crash();
    model.finish();
    let committed = model.fates.values().filter(|f| matches!(f, Fate::Committed(_))).count();
    // It must have tried something: most lives began, most ended in the middle of the disk's work, much was committed.
    assert!(opened > 800 && cut > 200 && committed > 3_000, "{opened} {cut} {committed}");
}
