// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Coverage, campaigns, levels: what is kept, what moves, who sees it.

use super::*;
use crate::{
    Scope,
    control::{
        campaigns::{CampaignKind, Evidence, Found, MAX_LIST, Member, MemberEvidence, Signature},
        coverage::{Coverage, Sight},
        levels::{Area, AreaLevel, Level, Reason},
    },
};

pub(super) fn member(who: &str, first_us: i64, late: bool) -> Member {
    Member {
        constituent: id(who),
        first_us,
        last_us: first_us + 5,
        late,
        pictured_us: first_us + 10,
        evidence: MemberEvidence {
            alerts: 3,
            hosts: vec!["10.9.8.7".into()],
            key: "k".into(),
            external: vec![format!("203.0.113.{}", who.len())],
            events: vec![],
        },
    }
}

pub(super) fn found(members: Vec<Member>) -> Found {
    Found {
        kind: CampaignKind::Signature,
        key: "1100001".into(),
        title: "SSH".into(),
        evidence: Evidence {
            rule: "Dieselbe Signatur bei 3 Einrichtungen".into(),
            alerts: 3 * members.len() as u64,
            signatures: vec![Signature {
                id: 1_100_001,
                text: "SSH brute force".into(),
                severity: 1,
                kind: "ssh_bruteforce".into(),
                advice: "bruteforce".into(),
            }],
            external: vec!["203.0.113.1".into(), "203.0.113.2".into()],
        },
        late: members.iter().all(|m| m.late),
        members,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_grows_and_never_forgets() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let first = c.put_campaign(&found(vec![member("a", 100, false), member("b", 90, true)]), 200).await.unwrap();
        assert!(first.created && first.joined == [id("a"), id("b")]);
        let mut m = member("b", 80, false);
        m.pictured_us = 999;
        let second = c.put_campaign(&found(vec![m, member("it", 300, false)]), 400).await.unwrap();
        assert_eq!((second.id, second.created, &second.joined), (first.id, false, &vec![id("it")]));
        let k = c.campaign(&Scope::System, first.id).await.unwrap().unwrap();
        assert_eq!((k.first_us, k.last_us, k.pictured_us, k.late, k.closed_us), (80, 305, 200, false, None));
        let members: Vec<_> =
            k.members.iter().map(|m| (m.constituent.as_str(), m.first_us, m.pictured_us, m.late)).collect();
        assert_eq!(members, [("b", 80, 100, false), ("a", 100, 110, false), ("it", 300, 310, false)]);

        assert!(c.close_campaigns(305, 500).await.unwrap().is_empty());
        assert_eq!(c.close_campaigns(306, 500).await.unwrap(), [first.id]);
        assert!(c.campaigns(&Scope::Land, true, 9).await.unwrap().is_empty());
        let again = c.put_campaign(&found(vec![member("a", 600, false)]), 700).await.unwrap();
        assert!(again.created && again.id != first.id, "a closed campaign stays closed");
        assert_eq!(c.campaigns(&Scope::Land, false, 9).await.unwrap().len(), 2);
        assert_eq!(c.campaigns(&Scope::Land, false, 1).await.unwrap()[0].id, again.id, "the latest first");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_constituent_sees_its_own_part_of_a_campaign_only() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let put = c.put_campaign(&found(vec![member("a", 1, false), member("it", 2, false)]), 3).await.unwrap();
        let own = Scope::Constituent(id("a"));
        let seen = c.campaigns(&own, true, 9).await.unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].members.iter().map(|m| m.constituent.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!((seen[0].evidence.alerts, &seen[0].evidence.external), (3, &vec!["203.0.113.1".to_owned()]));
        let other = Scope::Constituent(id("b"));
        assert!(c.campaigns(&other, false, 9).await.unwrap().is_empty());
        assert!(c.campaign(&other, put.id).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_an_evidence_are_capped_and_a_stranger_is_refused() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let mut m = member("a", 1, false);
        m.evidence.hosts = (0..=MAX_LIST).map(|i| format!("10.0.0.{i}")).collect();
        let put = c.put_campaign(&found(vec![m]), 3).await.unwrap();
        let k = c.campaign(&Scope::System, put.id).await.unwrap().unwrap();
        assert_eq!(k.members[0].evidence.hosts.len(), MAX_LIST);
        assert!(c.put_campaign(&found(vec![member("zz", 1, false)]), 3).await.is_err());
        assert_eq!(c.campaign(&Scope::System, put.id).await.unwrap().unwrap().members.len(), 1, "nothing of it");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn coverage_keeps_since_when() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let sensor = c.sensor_named("gw-it").await.unwrap().id;
        let row = |state, since_us| Coverage {
            sensor,
            state,
            reason: String::new(),
            last_seen_us: Some(5),
            lag_us: None,
            loss_ppm: Some(7),
            ruleset: "ab".into(),
            since_us,
        };
        for (state, at, since) in
            [(Sight::Seeing, 10, 10), (Sight::Seeing, 20, 10), (Sight::Blind, 30, 30), (Sight::Blind, 40, 30)]
        {
            c.put_coverage(&[row(state, at)]).await.unwrap();
            assert_eq!(c.coverage(&Scope::Land).await.unwrap(), [row(state, since)]);
        }
        assert_eq!(c.coverage(&Scope::Constituent(id("b"))).await.unwrap().len(), 1);
        assert!(c.coverage(&Scope::Constituent(id("a"))).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn levels_keep_their_reasons_and_each_change() {
    each_db(async |db: Db| {
        let c = db.control().await;
        let row = |area, key: &str, level, why: &str| AreaLevel {
            area,
            key: key.into(),
            level,
            reasons: vec![Reason::new("L1", [("red", 1usize.into())], why.into())],
            visible: 1,
            total: 2,
            since_us: 0,
        };
        let land = |level, why| row(Area::Land, "09", level, why);
        assert_eq!(
            c.put_levels(&[land(Level::Grey, "r1"), row(Area::Municipality, "09162000", Level::Grey, "x")], 10)
                .await
                .unwrap()
                .len(),
            2
        );
        assert!(c.put_levels(&[land(Level::Grey, "r2")], 20).await.unwrap().is_empty());
        let up = c.put_levels(&[land(Level::Orange, "r3")], 30).await.unwrap();
        assert_eq!((up.len(), up[0].previous, up[0].level), (1, Some(Level::Grey), Level::Orange));
        let all = c.levels().await.unwrap();
        let land_now = &all[0];
        assert_eq!((land_now.area, land_now.level, land_now.since_us), (Area::Land, Level::Orange, 30));
        assert_eq!(land_now.reasons, [Reason::new("L1", [("red", 1usize.into())], "r3".into())]);
        let changes = c.level_changes(0, 99).await.unwrap();
        assert_eq!(changes.iter().map(|c| c.at_us).collect::<Vec<_>>(), [30, 10, 10]);
        assert_eq!(changes[1].reasons[0].text, "r1", "the reasons of the change, not of a later look");
        let bare = AreaLevel { reasons: vec![], ..land(Level::Red, "") };
        assert!(c.put_levels(&[bare], 40).await.is_err());
    })
    .await;
}
