// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The workflow on both databases: who is warned, when, by whom, and who is not.

use std::collections::BTreeSet;

use lagewarte_base::{
    id::{ConstituentId, Uuid},
    tlp::Tlp,
};
use lagewarte_store::{
    Scope,
    control::{
        Control, ControlError,
        campaigns::{CampaignKind, Evidence, Found, Member, MemberEvidence, Signature},
        levels::Level,
        load,
        testing::{Db, each_db},
        tokens::LinkKey,
        warnings::{Via, WarningState},
    },
};

use crate::{CertContact, Links, Policy, Step, WarnConfig, Warner, acknowledge_by_link, by_link, text};

fn id(s: &str) -> ConstituentId {
    s.parse().expect("a test's own id")
}

fn policy() -> Policy {
    Policy {
        name: "brute".into(),
        min_level: Level::Orange,
        kinds: BTreeSet::from(["ssh_bruteforce".to_owned()]),
        signatures: BTreeSet::new(),
        k: 3,
        tlp: Tlp::Green,
    }
}

async fn room(db: &Db, policies: Vec<Policy>) -> (Control, Warner) {
    let c = db.control().await;
    let dir = tempfile::tempdir().expect("a temporary folder");
    let constituents: String =
        ["a", "b", "c", "d", "e"].iter().map(|c| format!("{c},Gemeinde {c},municipality,09162000,\n")).collect();
    for (file, text) in [
        ("constituents.csv", format!("id,name,kind,ags,population\n{constituents}")),
        ("networks.csv", "constituent,cidr\n".into()),
        ("sensors.csv", "id,name,constituent,serves,interval_s\n".into()),
        ("contacts.csv", "constituent,name,role,mail,phone\na,A,IT,it@a.example,1\n".into()),
    ] {
        std::fs::write(dir.path().join(file), text).expect("writes");
    }
    c.load_register(&load::read(dir.path()).expect("well-formed"), false, "t", 1).await.expect("loads");
    let links = Links::new("https://lage.example/", LinkKey::new(&[3; 32]));
    let warner = Warner::new(c.clone(), links, WarnConfig { tlp: Tlp::Amber, policies }, CertContact::default());
    (c, warner)
}

fn campaign(kind: CampaignKind, key: &str, signature: u64, who: &[(&str, bool)]) -> Found {
    let member = |(c, late): &(&str, bool)| Member {
        constituent: id(c),
        first_us: 5,
        last_us: 6,
        late: *late,
        pictured_us: 7,
        evidence: MemberEvidence {
            alerts: 1,
            hosts: vec![format!("10.77.0.{}", c.as_bytes()[0])],
            key: "k".into(),
            external: vec!["203.0.113.7".into()],
            events: vec![],
        },
    };
    Found {
        kind,
        key: key.into(),
        title: "t".into(),
        evidence: Evidence {
            signatures: vec![Signature {
                id: signature,
                text: "SSH".into(),
                severity: 1,
                kind: "ssh_bruteforce".into(),
                advice: "bruteforce".into(),
            }],
            ..Evidence::default()
        },
        late: who.iter().all(|w| w.1),
        members: who.iter().map(member).collect(),
    }
}

fn ssh(who: &[(&str, bool)]) -> Found {
    campaign(CampaignKind::Signature, "1100101", 1_100_101, who)
}
const ON_TIME: [(&str, bool); 3] = [("a", false), ("b", false), ("c", false)];

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_a_draft_waits_for_a_person() {
    each_db(async |db: Db| {
        let (c, warner) = room(&db, vec![]).await;
        assert_eq!(warner.step(10).await.unwrap(), Step::default(), "no campaign, no warning");
        c.put_campaign(&ssh(&ON_TIME), 10).await.unwrap();
        let step = warner.step(20).await.unwrap();
        let w = step.drafted[0];
        assert_eq!((step.drafted.len(), step.released.len()), (1, 0));
        assert_eq!(warner.step(30).await.unwrap(), Step::default(), "drafted once");
        let draft = c.warning(&Scope::System, w).await.unwrap().unwrap();
        assert_eq!((draft.state, draft.tlp, draft.level), (WarningState::Draft, Tlp::Amber, Level::Orange));
        assert_eq!(draft.addressed.len(), 3);
        for a in &draft.addressed {
            let host = format!("10.77.0.{}", a.constituent.as_str().as_bytes()[0]);
            assert!(a.text.contains(&format!("lagewarte-sensor resolve {host}")), "{}", a.text);
            assert_eq!(a.text.matches("10.77.0.").count(), 2, "no other's host: {}", a.text);
            assert!(text::words(&a.text) <= text::MAX_WORDS);
        }
        assert!(matches!(warner.release(w, "  ", None, 40).await, Err(ControlError::Refused(_))), "nobody");
        assert_eq!(warner.release(w, "Anna", Some(Tlp::Green), 40).await.unwrap(), [id("a"), id("b"), id("c")]);
        let out = c.warning(&Scope::System, w).await.unwrap().unwrap();
        assert_eq!((out.tlp, out.released_by.as_deref(), out.policy), (Tlp::Green, Some("Anna"), None));
        assert_eq!((out.pictured_us, out.drafted_us, out.released_us), (10, 20, Some(40)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_releases_at_once_and_whoever_joins_is_warned_alone() {
    each_db(async |db: Db| {
        let (c, warner) = room(&db, vec![policy()]).await;
        c.put_campaign(&ssh(&ON_TIME), 10).await.unwrap();
        let step = warner.step(20).await.unwrap();
        let w = step.drafted[0];
        assert_eq!(step.released, [(w, vec![id("a"), id("b"), id("c")])]);
        c.put_campaign(&ssh(&[("a", false), ("d", false)]), 30).await.unwrap();
        let step = warner.step(40).await.unwrap();
        assert_eq!((step.drafted, step.released), (vec![], vec![(w, vec![id("d")])]));
        assert_eq!(warner.step(50).await.unwrap(), Step::default());
        let all = c.warning(&Scope::System, w).await.unwrap().unwrap();
        assert_eq!((all.tlp, all.policy.as_deref()), (Tlp::Green, Some("brute")));
        assert!(c.warning(&Scope::Constituent(id("e")), w).await.unwrap().is_none(), "not affected, not warned");
        assert!(c.audit(99).await.unwrap().iter().any(|e| e.who == "policy:brute (joined later)"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_condition_of_a_policy_holds_a_warning_back() {
    each_db(async |db: Db| {
        let held: [(&str, Policy); 4] = [
            ("level", Policy { min_level: Level::Red, ..policy() }),
            ("kind", Policy { kinds: BTreeSet::from(["wannacry".to_owned()]), ..policy() }),
            ("signature", Policy { signatures: BTreeSet::from([1]), ..policy() }),
            ("k", Policy { k: 4, ..policy() }),
        ];
        for (why, p) in held {
            let (c, warner) = room(&db, vec![p.clone()]).await;
            c.put_campaign(&ssh(&ON_TIME), 10).await.unwrap();
            let step = warner.step(20).await.unwrap();
            assert_eq!((step.drafted.len(), step.released.len()), (1, 0), "{why}");
            // The next policy in the list may fit.
            let both = WarnConfig { tlp: Tlp::Amber, policies: vec![p, policy()] };
            let second = Warner::new(c, warner.links().clone(), both, CertContact::default());
            assert_eq!(second.step(30).await.unwrap().released.len(), 1, "{why}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_grows_meets_its_policy_later() {
    each_db(async |db: Db| {
        let (c, warner) = room(&db, vec![Policy { k: 4, ..policy() }]).await;
        c.put_campaign(&ssh(&ON_TIME), 10).await.unwrap();
        assert!(warner.step(20).await.unwrap().released.is_empty());
        c.put_campaign(&ssh(&[("d", false)]), 30).await.unwrap();
        assert_eq!(warner.step(40).await.unwrap().released[0].1.len(), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events_complete_the_picture_and_warn_nobody_by_themselves() {
    each_db(async |db: Db| {
        let (c, warner) = room(&db, vec![policy()]).await;
        // Only late events: a draft, whatever the policy.
        c.put_campaign(&ssh(&[("a", true), ("b", true), ("c", true)]), 10).await.unwrap();
        let step = warner.step(20).await.unwrap();
        assert_eq!((step.drafted.len(), step.released.len()), (1, 0));
        // On time after all: those are warned, who is late waits on.
        c.put_campaign(&ssh(&[("a", false), ("d", false), ("e", true)]), 30).await.unwrap();
        assert_eq!(warner.step(40).await.unwrap().released, [(step.drafted[0], vec![id("a"), id("d")])]);
        assert!(warner.step(50).await.unwrap().released.is_empty());
        let by_hand = warner.release(step.drafted[0], "Anna", None, 60).await.unwrap();
        assert_eq!(by_hand, [id("b"), id("c"), id("e")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_attack_is_one_warning_though_signature_and_address_both_make_a_campaign() {
    each_db(async |db: Db| {
        let (c, warner) = room(&db, vec![Policy { k: 1, ..policy() }]).await;
        c.put_campaign(&ssh(&ON_TIME), 10).await.unwrap();
        let address = |s, who: &[(&str, bool)]| campaign(CampaignKind::Address, "203.0.113.7", s, who);
        c.put_campaign(&address(1_100_101, &[("a", false), ("b", false), ("c", false), ("d", false)]), 10)
            .await
            .unwrap();
        let step = warner.step(20).await.unwrap();
        let mut warned: Vec<_> = step.released.iter().flat_map(|(_, who)| who.clone()).collect();
        warned.sort();
        assert_eq!(warned, [id("a"), id("b"), id("c"), id("d")], "each once: {step:?}");
        assert_eq!(warner.step(30).await.unwrap(), Step::default());
        // The same address with another signature is another matter.
        let other = campaign(CampaignKind::Address, "203.0.113.9", 7, &[("a", false)]);
        c.put_campaign(&other, 40).await.unwrap();
        assert_eq!(warner.step(50).await.unwrap().released[0].1, [id("a")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_found_a_beat_before_its_signature_does_not_warn_twice() {
    each_db(async |db: Db| {
        let (c, warner) = room(&db, vec![Policy { k: 1, ..policy() }]).await;
        c.put_campaign(&campaign(CampaignKind::Address, "203.0.113.7", 1_100_101, &ON_TIME), 10).await.unwrap();
        assert_eq!(warner.step(20).await.unwrap().released[0].1.len(), 3);
        // The same attack by its signature, a beat later: only who was not told is told.
        let everyone = [("a", false), ("b", false), ("c", false), ("d", false)];
        c.put_campaign(&ssh(&everyone), 30).await.unwrap();
        assert_eq!(warner.step(40).await.unwrap().released[0].1, [id("d")]);
        assert_eq!(warner.step(50).await.unwrap(), Step::default());
        // Another attacker at one of them is news there.
        let mut more = ssh(&everyone);
        more.members[0].evidence.external.push("203.0.113.8".into());
        c.put_campaign(&more, 60).await.unwrap();
        assert_eq!(warner.step(70).await.unwrap().released[0].1, [id("a")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_aggregators_warn_each_constituent_once() {
    each_db(async |db: Db| {
        let (c, warner) = room(&db, vec![policy()]).await;
        c.put_campaign(&ssh(&ON_TIME), 10).await.unwrap();
        let steps: Vec<_> = (0..4)
            .map(|i| {
                let w = warner.clone();
                tokio::spawn(async move { w.step(20 + i).await.unwrap() })
            })
            .collect();
        let mut warned = Vec::new();
        for s in steps {
            warned.extend(s.await.unwrap().released.into_iter().flat_map(|(_, who)| who));
        }
        warned.sort();
        assert_eq!(warned, [id("a"), id("b"), id("c")]);
        assert_eq!(c.warnings(&Scope::System, 9).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_warning_stays_withdrawn() {
    each_db(async |db: Db| {
        let (c, warner) = room(&db, vec![policy()]).await;
        c.put_campaign(&ssh(&ON_TIME), 10).await.unwrap();
        let w = warner.step(20).await.unwrap().drafted[0];
        assert!(matches!(warner.withdraw(w, "Anna", " ", 30).await, Err(ControlError::Refused(_))), "no reason");
        warner.withdraw(w, "Anna", "Fehlalarm", 30).await.unwrap();
        c.put_campaign(&ssh(&[("d", false)]), 40).await.unwrap();
        assert_eq!(warner.step(50).await.unwrap(), Step::default());
        assert!(c.warning(&Scope::Constituent(id("d")), w).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_good_for_one_warning_and_one_constituent_and_looking_does_not_acknowledge() {
    each_db(async |db: Db| {
        let (c, warner) = room(&db, vec![policy()]).await;
        c.put_campaign(&ssh(&ON_TIME), 10).await.unwrap();
        let w = warner.step(20).await.unwrap().drafted[0];
        let url = warner.links().acknowledge(w, &id("a"));
        let secret = url.strip_prefix(&format!("https://lage.example/w/{w}/")).unwrap();
        let (who, seen) = by_link(&c, w, secret, 30).await.unwrap().unwrap();
        assert_eq!((who, seen.addressed.len()), (id("a"), 1));
        assert!(seen.addressed[0].acknowledged.is_none());
        assert!(by_link(&c, w, secret, 30).await.unwrap().unwrap().1.addressed[0].acknowledged.is_none());
        for (warning, secret) in [(Uuid::nil(), secret), (w, &secret[1..]), (w, "")] {
            assert!(by_link(&c, warning, secret, 30).await.unwrap().is_none());
            assert!(acknowledge_by_link(&c, warning, secret, 30).await.unwrap().is_none());
        }
        let (ack, first) = acknowledge_by_link(&c, w, secret, 40).await.unwrap().unwrap();
        assert!(first && ack.acknowledged_us == 40 && ack.via == Via::Link);
        let (ack, first) = acknowledge_by_link(&c, w, secret, 50).await.unwrap().unwrap();
        assert!(!first && ack.acknowledged_us == 40);
        let answered = c.warning(&Scope::System, w).await.unwrap().unwrap();
        let answered: Vec<_> = answered.addressed.iter().map(|a| a.acknowledged.is_some()).collect();
        assert_eq!(answered, [true, false, false]);
    })
    .await;
}
