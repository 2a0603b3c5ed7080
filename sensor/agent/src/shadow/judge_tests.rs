// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Behaviour of the judge: what is a difference, what is not, and that every alert is counted once.

use proptest::prelude::*;

use super::*;
use crate::{
    compare::{Alerts, Comparison, Line, line},
    shadow::day::{MAX_DIFFERENCES, MAX_RULES},
};

const S: i64 = 1_000_000;
const GRACE: i64 = 60 * S;
/// 2026-01-02T00:00:00Z.
const MIDNIGHT: i64 = 1_767_312_000 * S;

const fn at(s: i64) -> Timestamp {
    Timestamp::from_micros(MIDNIGHT + s * S)
}

fn alert(sid: u32, port: u16) -> Alert {
    let Line::Alert(alert) = line(text(sid, port).as_bytes()) else { panic!("no alert") };
    alert
}

fn text(sid: u32, port: u16) -> String {
    format!(
        "{{\"event_type\":\"alert\",\"src_ip\":\"192.0.2.1\",\"src_port\":{port},\"dest_ip\":\"192.0.2.2\",\"dest_port\":80,\"proto\":\"TCP\",\"alert\":{{\"signature_id\":{sid}}}}}\n"
    )
}

/// Theirs is read and writes, up to now.
const fn alive(s: i64) -> Theirs {
    Theirs { last_line: at(s), read_to: at(s), lines: 0 }
}

fn judge(now: Timestamp) -> Judge {
    Judge::new(Day::new(day::of(now)), GRACE, BTreeSet::from([99]), true, now)
}

fn not_compared(j: &Judge, side: Side) -> Vec<(&str, u64)> {
    j.day.sides[side.index()].not_compared.iter().map(|(r, n)| (r.as_str(), *n)).collect()
}

fn balances(j: &mut Judge) {
    j.note_waiting();
    assert!(j.day.sides.iter().all(day::Tally::balances), "{:?}", j.day.sides);
}

#[test]
fn an_alert_without_a_partner_is_a_difference_when_its_grace_is_over() {
    let mut j = judge(at(0));
    j.alert(Side::Ours, alert(1, 1), at(1));
    j.alert(Side::Ours, alert(2, 1), at(1));
    j.alert(Side::Theirs, alert(1, 1), at(30));
    j.alert(Side::Theirs, alert(3, 1), at(31));
    j.alert(Side::Ours, alert(99, 1), at(31));
    j.tick(at(60), alive(60), Ring::default());
    assert_eq!((j.day.open.len(), j.news), (0, false));
    j.tick(at(61), alive(61), Ring::default());
    j.tick(at(91), alive(91), Ring::default());
    let c = j.day.comparison(100).unwrap();
    assert_eq!((c.alerts, c.sids, c.same_flows), ([2, 2], 3, 1));
    let told: Vec<_> = c.differences.iter().map(|d| (d.sid, d.ours, d.theirs)).collect();
    assert_eq!(told, [(2, 1, 0), (3, 0, 1)]);
    assert_eq!(not_compared(&j, Side::Ours), [("ignored", 1)]);
    assert_eq!(j.jobs().iter().map(|job| job.pair.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!((j.counts().matched, j.counts().differing), (1, [1, 1]));
    balances(&mut j);
    // The partner that comes after all takes the difference back.
    j.alert(Side::Theirs, alert(2, 1), at(100));
    assert_eq!((j.day.late, j.day.sides[0].differing, j.day.sides[0].matched), (1, 0, 2));
    assert_eq!(j.day.comparison(100).unwrap().differences.len(), 1);
    balances(&mut j);
}

#[test]
fn a_suricata_that_stopped_makes_no_differences_and_is_told() {
    let mut j = judge(at(0));
    j.alert(Side::Ours, alert(1, 1), at(10));
    let stopped = |now: i64| Theirs { last_line: at(5), read_to: at(now), lines: 3 };
    for now in [20, 40, 66, 70, 100] {
        j.tick(at(now), stopped(now), Ring::default());
    }
    assert_eq!(not_compared(&j, Side::Ours), [("theirs-silent", 1)]);
    assert_eq!((j.day.open.len(), j.day.silences, j.silent_since), (0, 1, Some(at(5))));
    assert_eq!((j.day.up_us, j.day.silent_us, j.day.lines), (100 * S, 95 * S, 3));
    assert!(j.counts().silent);
    balances(&mut j);
    // It wakes up, whenever that is, and tells what it saw: they are partners after all.
    j.alert(Side::Theirs, alert(1, 1), at(500));
    j.alert(Side::Theirs, alert(1, 1), at(500));
    j.tick(at(500), alive(500), Ring::default());
    assert_eq!((not_compared(&j, Side::Ours), j.day.late, j.silent_since), (vec![], 1, None));
    balances(&mut j);
    // From then on differences are differences again; the second alert was one.
    j.alert(Side::Ours, alert(4, 1), at(510));
    j.alert(Side::Theirs, alert(5, 1), at(510));
    j.tick(at(570), alive(570), Ring::default());
    assert_eq!(j.day.open.keys().map(|k| k.0).collect::<Vec<_>>(), [1, 4, 5]);
    balances(&mut j);
}

#[test]
fn so_many_are_remembered_while_theirs_is_silent_and_the_others_make_no_differences() {
    let mut j = judge(at(0));
    for n in 0..=MAX_DIFFERENCES as u32 {
        j.alert(Side::Ours, alert(1000 + n / 100, (n % 100) as u16), at(1));
    }
    j.tick(at(61), Theirs { last_line: at(0), read_to: at(61), lines: 0 }, Ring::default());
    assert_eq!((j.day.aside.len(), j.day.open.len()), (MAX_DIFFERENCES, 0));
    let last = MAX_DIFFERENCES as u32;
    j.alert(Side::Theirs, alert(1000 + last / 100, (last % 100) as u16), at(62));
    j.alert(Side::Theirs, alert(1000, 0), at(62));
    j.tick(at(122), alive(122), Ring::default());
    assert_eq!((not_compared(&j, Side::Theirs), j.day.late), (vec![("ours-gap", 1)], 1));
    balances(&mut j);
}

#[test]
fn what_a_side_lost_is_not_held_against_it() {
    let mut j = judge(at(0));
    j.alert(Side::Ours, alert(1, 1), at(10));
    j.lost(Side::Theirs, "truncated", 0, at(30));
    j.alert(Side::Theirs, alert(2, 1), at(100));
    j.lost(Side::Ours, "queue-full", 5, at(100));
    j.alert(Side::Ours, alert(3, 1), at(100));
    j.tick(at(160), alive(160), Ring::default());
    assert_eq!(not_compared(&j, Side::Ours), [("queue-full", 5), ("theirs-gap", 1)]);
    assert_eq!(not_compared(&j, Side::Theirs), [("ours-gap", 1)]);
    assert_eq!(j.day.open.keys().map(|k| k.0).collect::<Vec<_>>(), [3], "theirs lost nothing near it");
    assert_eq!(
        j.day.gaps.iter().map(|(r, n)| (r.as_str(), *n)).collect::<Vec<_>>(),
        [("queue-full", 5), ("truncated", 1)]
    );
    balances(&mut j);
}

#[test]
fn what_theirs_saw_before_the_start_is_not_compared() {
    let mut j = judge(at(100));
    let told = |t: i64| Alert { time: Some(at(t)), ..alert(1, 1) };
    j.alert(Side::Theirs, told(99), at(101));
    assert_eq!(not_compared(&j, Side::Theirs), [("before-start", 1)]);
    j.alert(Side::Ours, told(100), at(102));
    j.alert(Side::Theirs, told(100), at(103));
    assert_eq!(j.day.sides[1].matched, 1);
    balances(&mut j);
}

#[test]
fn a_day_ends_at_midnight_and_who_waits_is_carried_over() {
    let mut j = judge(at(-100));
    assert_eq!(j.day.day, "2026-01-01");
    j.alert(Side::Theirs, alert(7, 7), at(-80));
    j.alert(Side::Ours, alert(1, 1), at(-10));
    let old = j.tick(at(1), alive(1), Ring { written: 5, ..Ring::default() }).expect("the day is over");
    assert_eq!((old.day.as_str(), old.sides[0].waiting, old.ring.written), ("2026-01-01", 1, 5));
    assert!(old.sides.iter().all(day::Tally::balances));
    assert_eq!((j.day.day.as_str(), j.day.sides[0].carried, j.day.ring.written), ("2026-01-02", 1, 0));
    // Yesterday's packets come when it is over.
    let job = j.jobs().remove(0);
    j.cut(&job.day, &job.pair, Packets::None("gone".into()));
    assert_eq!(j.before.as_ref().map(Day::wanted), Some(0));
    j.alert(Side::Theirs, alert(1, 1), at(2));
    assert_eq!(j.day.sides[0].matched, 1);
    balances(&mut j);
    assert!(j.tick(at(-50), alive(1), Ring::default()).is_none(), "a clock set back begins no day anew");
    j.packets([10, 1]);
    j.packets([15, 1]);
    assert_eq!(j.day.packets, [15, 1]);
}

#[test]
fn a_restart_loses_who_waited_and_says_so() {
    let mut j = judge(at(0));
    j.alert(Side::Ours, alert(1, 1), at(1));
    j.alert(Side::Theirs, alert(2, 2), at(1));
    j.tick(at(50), alive(50), Ring::default());
    j.alert(Side::Theirs, alert(3, 2), at(60));
    j.tick(at(61), alive(61), Ring::default());
    j.note_waiting();
    let kept = serde_json::to_vec(&j.day).unwrap();
    let mut day: Day = serde_json::from_slice(&kept).unwrap();
    assert_eq!(day, j.day);
    assert_eq!(day.wanted(), 2);
    day.resumed();
    assert_eq!((day.sides[1].not_compared.get("restart"), day.wanted(), day.restarts), (Some(&1), 0, 1));
    assert!(day.sides.iter().all(day::Tally::balances));
}

#[test]
fn a_day_holds_so_many_differences_rules_and_files_and_no_more() {
    let mut j = judge(at(0));
    for n in 0..MAX_DIFFERENCES as u32 + 5 {
        j.alert(Side::Ours, alert(1000 + n / 100, (n % 100) as u16), at(1));
    }
    j.tick(at(61), alive(61), Ring::default());
    assert_eq!(j.day.open.len(), MAX_DIFFERENCES);
    assert_eq!(not_compared(&j, Side::Ours), [("too-many-differences", 5)]);
    let jobs = j.jobs();
    assert_eq!(jobs.len(), MAX_FILES);
    assert_eq!(jobs.iter().filter(|job| job.pair.0 == 1003).count(), MAX_FILES_OF_RULE as usize);
    balances(&mut j);
    for n in 0..MAX_RULES as u32 + 5 {
        j.day.matched(n);
    }
    assert_eq!((j.day.matched.len(), j.day.matched_others), (MAX_RULES, 5));
    assert_eq!(
        j.day.comparison(100).unwrap().alerts,
        [j.day.sides[0].matched + j.day.sides[0].differing, j.day.sides[1].matched]
    );
}

proptest! {
    /// Whatever the order and the delays, the day says what `compare` says of the two lists of alerts, and each side's
    /// alerts are all accounted for.
    #[test]
    fn the_day_is_what_compare_says(
        alerts in proptest::collection::vec((any::<bool>(), 0u32..4, 0u16..3, 0i64..50), 0..150),
    ) {
        let mut j = judge(at(0));
        let (mut now, mut files) = (0, [String::new(), String::new()]);
        for (ours, sid, port, later) in alerts {
            now += later;
            let side = if ours { Side::Ours } else { Side::Theirs };
            files[side.index()].push_str(&text(sid, port));
            j.alert(side, alert(sid, port), at(now));
            j.tick(at(now), alive(now + 1), Ring::default());
            j.note_waiting();
            prop_assert!(j.day.sides.iter().all(day::Tally::balances));
        }
        j.tick(at(now + 61), alive(now + 62), Ring::default());
        let [ours, theirs] = files.map(|f| Alerts::read(&mut f.as_bytes(), &BTreeSet::new()).unwrap());
        let (want, got) = (Comparison::new(&ours, &theirs, 100), j.day.comparison(100).unwrap());
        prop_assert_eq!((want.alerts, want.sids, want.same_count, want.same_flows), (got.alerts, got.sids, got.same_count, got.same_flows));
        let sums = |c: &Comparison| c.differences.iter().map(|d| (d.sid, d.ours, d.theirs)).collect::<Vec<_>>();
        prop_assert_eq!(sums(&want), sums(&got));
        let more = |c: &Comparison| -> Vec<_> {
            let flows = c.differences.iter().flat_map(|d| d.flows.iter().map(move |f| (d.sid, f.flow.clone(), f)));
            flows.map(|(sid, flow, f)| (sid, flow, f.ours as i64 - f.theirs as i64)).collect()
        };
        prop_assert_eq!(more(&want), more(&got));
    }
}
