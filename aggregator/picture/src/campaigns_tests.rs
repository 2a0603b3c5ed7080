// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Campaigns from groups of alerts: who is in, since when, and what late events may do.
use proptest::prelude::*;

use super::*;

const M: i64 = 60_000_000;
const RULE: Rule = Rule { k: 3, window_us: 60 * M, close_us: 24 * 60 * M };

fn group(who: &str, minute: i64, sid: u32, external: &str, late: bool) -> (ConstituentId, AlertGroup) {
    let g = AlertGroup {
        signature_id: sid,
        signature: format!("sig {sid}"),
        severity: 2,
        kind: "ssh_bruteforce".into(),
        advice: "passwords".into(),
        external_ip: external.into(),
        host: format!("10.0.0.{}", who.len()),
        key: "k1".into(),
        constituent: who.into(),
        late,
        first_us: minute * M,
        last_us: minute * M,
        alerts: 2,
        events: vec![format!("{who}-{minute}")],
    };
    (who.parse().unwrap(), g)
}

fn fed(groups: &[(&str, i64, u32, &str, bool)], now: i64) -> Index {
    let mut index = Index::new(RULE);
    for (who, minute, sid, external, late) in groups {
        let (owner, g) = group(who, *minute, *sid, external, *late);
        index.absorb(&g, &owner, now * M);
    }
    index
}

fn keys(found: &[Found]) -> Vec<(&str, &str, usize, bool)> {
    found.iter().map(|f| (f.kind.as_str(), f.key.as_str(), f.members.len(), f.late)).collect()
}

#[test]
fn k_constituents_within_the_window_are_a_campaign_and_fewer_or_later_are_none() {
    for (groups, want) in [
        (
            vec![("a", 100, 7, "", false), ("b", 130, 7, "", false), ("c", 160, 7, "", false)],
            vec![("signature", "7", 3, false)],
        ),
        (vec![("a", 100, 7, "", false), ("b", 130, 7, "", false), ("c", 161, 7, "", false)], vec![]),
        (vec![("a", 100, 7, "", false), ("a", 110, 7, "", false), ("b", 120, 7, "", false)], vec![]),
        (vec![("a", 100, 1, "", false), ("b", 101, 2, "", false), ("c", 102, 3, "", false)], vec![]),
        (
            vec![
                ("a", 100, 1, "203.0.113.7", false),
                ("b", 101, 2, "203.0.113.7", false),
                ("c", 102, 3, "203.0.113.7", false),
            ],
            vec![("address", "203.0.113.7", 3, false)],
        ),
        // A private address at many places is no attacker.
        (
            vec![("a", 100, 1, "10.0.0.1", false), ("b", 101, 2, "10.0.0.1", false), ("c", 102, 3, "10.0.0.1", false)],
            vec![],
        ),
    ] {
        assert_eq!(keys(&fed(&groups, 170).changed()), want, "{groups:?}");
    }
}

#[test]
fn whoever_is_hit_later_joins_and_nothing_is_told_twice() {
    let mut index = fed(&[("a", 100, 7, "", false), ("b", 101, 7, "", false), ("c", 102, 7, "", false)], 110);
    assert_eq!(index.changed().len(), 1);
    assert_eq!(index.changed(), []);
    let (owner, g) = group("d", 400, 7, "", false); // long after the window, before the close
    index.absorb(&g, &owner, 401 * M);
    let found = index.changed();
    assert_eq!(keys(&found), [("signature", "7", 4, false)]);
    assert_eq!((found[0].members[3].first_us, found[0].evidence.alerts), (400 * M, 8));
}

#[test]
fn late_events_complete_and_never_trigger() {
    let mut index = fed(&[("a", 100, 7, "", false), ("b", 101, 7, "", false), ("c", 102, 7, "", true)], 110);
    let found = index.changed();
    assert_eq!(keys(&found), [("signature", "7", 3, true)]);
    assert!(found[0].evidence.rule.contains("verspätet"));
    assert_eq!(found[0].members.iter().map(|m| m.late).collect::<Vec<_>>(), [false, false, true]);
    // A third on time makes it one in its own right.
    let (owner, g) = group("d", 103, 7, "", false);
    index.absorb(&g, &owner, 110 * M);
    assert_eq!(keys(&index.changed()), [("signature", "7", 4, false)]);
    // A late member of a campaign that stands is late itself; the campaign is not.
    let (owner, g) = group("e", 104, 7, "", true);
    index.absorb(&g, &owner, 110 * M);
    let found = index.changed();
    assert_eq!((keys(&found), found[0].members[4].late), (vec![("signature", "7", 5, false)], true));
}

#[test]
fn what_is_older_than_the_close_is_left_out_and_forgotten() {
    let day = 24 * 60;
    assert_eq!(
        fed(&[("a", 100, 7, "", true), ("b", 100, 7, "", true), ("c", 100, 7, "", true)], 101 + day).changed(),
        []
    );
    let mut index = fed(&[("a", 100, 7, "", false), ("b", 100, 7, "", false), ("c", 100, 7, "", false)], 110);
    index.changed();
    index.expire((100 + day) * M);
    assert_eq!(index.len(), 1);
    index.expire((101 + day) * M);
    assert!(index.is_empty());
    // After the close it needs k again.
    let (owner, g) = group("d", 102 + day, 7, "", false);
    index.absorb(&g, &owner, (102 + day) * M);
    assert_eq!(index.changed(), []);
}

#[test]
fn a_campaign_that_was_open_before_a_restart_goes_on() {
    let mut index = Index::new(RULE);
    index.reopen(CampaignKind::Signature, "7", 100 * M, false);
    let (owner, g) = group("d", 101, 7, "", false);
    index.absorb(&g, &owner, 102 * M);
    assert_eq!(keys(&index.changed()), [("signature", "7", 1, false)]);
}

#[test]
fn evidence_names_hosts_and_addresses_by_activity_within_bounds() {
    let mut index = Index::new(RULE);
    for who in ["a", "b", "c"] {
        for i in 0..MAX_PER_KEY + 10 {
            let (owner, mut g) = group(who, 100, 7, &format!("203.0.{}.{}", i / 250, i % 250 + 1), false);
            g.host = format!("10.0.{}.{}", i / 250, i % 250);
            g.alerts = if i == 3 { 99 } else { 1 };
            index.absorb(&g, &owner, 110 * M);
        }
    }
    let found = index.changed();
    let f = found.iter().find(|f| f.kind == CampaignKind::Signature).unwrap();
    assert_eq!((f.members[0].evidence.hosts[0].as_str(), f.evidence.external[0].as_str()), ("10.0.0.3", "203.0.0.4"));
    assert_eq!((f.members[0].evidence.hosts.len(), f.evidence.external.len()), (MAX_LIST, MAX_LIST));
    assert_eq!(f.evidence.alerts, 3 * (MAX_PER_KEY as u64 + 10 - 1 + 99));
    assert_eq!((f.members[0].evidence.key.as_str(), f.members[0].evidence.events.len()), ("k1", MAX_LIST));
}

#[test]
fn forged_addresses_do_not_grow_it_without_bound() {
    let mut index = Index::new(RULE);
    for i in 0..MAX_KEYS + 5 {
        let address = std::net::Ipv4Addr::from(0x0b00_0000 + i as u32).to_string();
        let (owner, g) = group("a", 100, 7, &address, false);
        index.absorb(&g, &owner, 110 * M);
    }
    assert_eq!((index.len(), index.refused()), (MAX_KEYS, 6)); // one key is the signature's
}

proptest! {
    /// The index against the definition, tried over every window that begins at an event; in any order of arrival.
    #[test]
    fn the_index_finds_what_the_definition_says(events in proptest::collection::vec((0usize..5, 0i64..400, any::<bool>()), 1..40)) {
        let mut index = Index::new(RULE);
        for (who, minute, late) in &events {
            let (owner, g) = group(["a", "b", "c", "d", "e"][*who], *minute, 7, "", *late);
            index.absorb(&g, &owner, 500 * M);
        }
        let holds = |with_late: bool| events.iter().filter(|e| with_late || !e.2).any(|(_, from, _)| {
            let who: std::collections::BTreeSet<_> = events.iter()
                .filter(|(_, m, late)| (with_late || !late) && (*from..=*from + 60).contains(m)).map(|e| e.0).collect();
            who.len() >= RULE.k
        });
        let found = index.changed();
        prop_assert_eq!(!found.is_empty(), holds(true));
        if let Some(f) = found.first() {
            prop_assert_eq!(f.late, !holds(false));
            let everyone: std::collections::BTreeSet<_> = events.iter().map(|e| e.0).collect();
            prop_assert_eq!(f.members.len(), everyone.len());
        }
    }
}
