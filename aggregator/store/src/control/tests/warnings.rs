// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Warnings: nobody twice, nobody else's, every step with its time; the delivery queue.

use lagewarte_base::tlp::Tlp;
use uuid::Uuid;

use super::*;
use crate::{
    Scope,
    control::{
        ControlError,
        deliveries::{Channel, DeliveryState},
        levels::Level,
        tokens::{LinkKey, TokenKind},
        warnings::{Acknowledgement, Draft, NewAddressed, Release, Via, WarningState},
    },
};

fn key() -> LinkKey {
    LinkKey::new(&[7; 32])
}

fn addressed(who: &str, late: bool) -> NewAddressed {
    NewAddressed {
        constituent: id(who),
        text: format!("Text für {who}"),
        hosts: vec!["10.9.8.7".into()],
        late,
        pictured_us: 11,
    }
}

async fn draft(c: &Control, who: &[(&str, bool)], now_us: i64) -> Uuid {
    let members = who.iter().map(|(w, late)| super::picture::member(w, 1, *late)).collect();
    let campaign = c.put_campaign(&super::picture::found(members), 10).await.unwrap().id;
    let draft = Draft {
        campaign,
        kind: "ssh_bruteforce".into(),
        tlp: Tlp::Amber,
        level: Level::Orange,
        reasons: vec!["r".into()],
        title: "T".into(),
        summary: "S".into(),
        late: false,
        pictured_us: 10,
        addressed: who.iter().map(|(w, late)| addressed(w, *late)).collect(),
    };
    c.draft_warning(&draft, now_us).await.unwrap().id
}

fn person(tlp: Option<Tlp>) -> Release<'static> {
    Release { who: "Anna Analystin", policy: None, tlp, late_too: true }
}
const POLICY: Release<'static> = Release { who: "policy:p", policy: Some("p"), tlp: None, late_too: false };

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_is_seen_by_the_cert_only_and_a_release_by_each_for_itself() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let w = draft(&c, &[("a", false), ("b", false)], 20).await;
        let (a, b, stranger) = (Scope::Constituent(id("a")), Scope::Constituent(id("b")), Scope::Constituent(id("c")));
        assert!(c.warnings(&a, 9).await.unwrap().is_empty());
        assert_eq!(c.warnings(&Scope::Land, 9).await.unwrap()[0].state, WarningState::Draft);
        assert_eq!(c.release_warning(w, &person(None), &key(), 30).await.unwrap(), [id("a"), id("b")]);
        assert!(c.release_warning(w, &person(None), &key(), 31).await.unwrap().is_empty(), "nobody twice");
        let seen = c.warning(&a, w).await.unwrap().unwrap();
        assert_eq!((seen.state, seen.released_us, seen.pictured_us), (WarningState::Released, Some(30), 10));
        assert_eq!(seen.released_by.as_deref(), Some("Anna Analystin"));
        assert_eq!(seen.addressed.iter().map(|x| x.constituent.as_str()).collect::<Vec<_>>(), ["a"]);
        assert_eq!(seen.addressed[0].text, "Text für a");
        assert_eq!(seen.addressed[0].deliveries.len(), 3, "a feed and two contacts");
        assert_eq!(c.warning(&b, w).await.unwrap().unwrap().addressed[0].deliveries.len(), 2);
        assert!(c.warning(&stranger, w).await.unwrap().is_none() && c.warnings(&stranger, 9).await.unwrap().is_empty());
        assert_eq!(c.warning(&Scope::Land, w).await.unwrap().unwrap().addressed.len(), 2);
        assert!(c.audit(9).await.unwrap()[0].what.contains("released to 2 constituents: a, b"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_later_is_warned_alone_and_the_released_text_stays() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let w = draft(&c, &[("a", false), ("b", false)], 20).await;
        c.release_warning(w, &POLICY, &key(), 30).await.unwrap();
        let a_before = c.warning(&Scope::Constituent(id("a")), w).await.unwrap().unwrap().addressed;
        assert_eq!(draft(&c, &[("a", false), ("b", false), ("c", false)], 40).await, w, "one warning a campaign");
        assert!(c.warning(&Scope::Constituent(id("c")), w).await.unwrap().is_none(), "waits for its release");
        assert_eq!(c.release_warning(w, &POLICY, &key(), 50).await.unwrap(), [id("c")]);
        let all = c.warning(&Scope::Land, w).await.unwrap().unwrap();
        let times: Vec<_> = all.addressed.iter().map(|x| (x.constituent.as_str(), x.released_us)).collect();
        assert_eq!(times, [("a", Some(30)), ("b", Some(30)), ("c", Some(50))]);
        assert_eq!((all.released_us, all.policy.as_deref(), all.updated_us), (Some(30), Some("p"), 50));
        assert_eq!(c.warning(&Scope::Constituent(id("a")), w).await.unwrap().unwrap().addressed, a_before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn late_events_wait_for_a_person() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let w = draft(&c, &[("a", false), ("b", true)], 20).await;
        assert_eq!(c.release_warning(w, &POLICY, &key(), 30).await.unwrap(), [id("a")]);
        let sneaky = Release { late_too: true, ..POLICY };
        assert!(matches!(c.release_warning(w, &sneaky, &key(), 31).await, Err(ControlError::Refused(_))));
        assert!(c.warning(&Scope::Constituent(id("b")), w).await.unwrap().is_none());
        assert_eq!(c.release_warning(w, &person(None), &key(), 40).await.unwrap(), [id("b")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parallel_releases_warn_each_constituent_once() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let w = draft(&c, &[("a", false), ("b", false), ("c", false)], 20).await;
        let releases: Vec<_> = (0..8)
            .map(|i| {
                let c = c.clone();
                tokio::spawn(async move { c.release_warning(w, &POLICY, &key(), 30 + i).await.unwrap() })
            })
            .collect();
        let mut warned = Vec::new();
        for r in releases {
            warned.extend(r.await.unwrap());
        }
        warned.sort();
        assert_eq!(warned, [id("a"), id("b"), id("c")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_may_not_carry_the_label_refuses_and_says_so() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let cases = [
            (Tlp::Green, DeliveryState::Queued, DeliveryState::Queued),
            (Tlp::AmberStrict, DeliveryState::Queued, DeliveryState::Refused),
            (Tlp::Red, DeliveryState::Refused, DeliveryState::Refused),
        ];
        for (tlp, feed, mail) in cases {
            let w = draft(&c, &[("b", false), ("c", false)], 20).await;
            c.release_warning(w, &person(Some(tlp)), &key(), 30).await.unwrap();
            let seen = c.warning(&Scope::Land, w).await.unwrap().unwrap();
            assert_eq!(seen.tlp, tlp);
            let of = |who: &str, ch| {
                let a = seen.addressed.iter().find(|a| a.constituent == id(who)).unwrap();
                a.deliveries.iter().find(|d| d.channel == ch).unwrap().clone()
            };
            assert_eq!((of("b", Channel::Feed).state, of("b", Channel::Mail).state), (feed, mail), "{tlp}");
            assert_eq!(of("b", Channel::Mail).error.contains(tlp.as_str()), mail == DeliveryState::Refused);
            // No address in the register: kept as not delivered, whatever the label.
            let none = of("c", Channel::Mail);
            assert_eq!((none.state, none.error.as_str()), (DeliveryState::Refused, "the register has no mail address"));
            let other = if tlp == Tlp::Green { Tlp::Amber } else { Tlp::Green };
            let relabel = c.release_warning(w, &person(Some(other)), &key(), 31).await;
            assert!(matches!(relabel, Err(ControlError::Refused(_))), "the label stays");
            c.close_campaigns(i64::MAX, 40).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_acknowledgement_counts_and_only_of_the_addressed() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let w = draft(&c, &[("a", false), ("b", false)], 20).await;
        let ack = |at, via| Acknowledgement { acknowledged_us: at, via, who: "x".into() };
        let early = c.acknowledge_warning(w, &id("a"), &ack(25, Via::Api)).await;
        assert!(matches!(early, Err(ControlError::Missing { .. })), "not released yet");
        c.release_warning(w, &person(None), &key(), 30).await.unwrap();
        let first = c.acknowledge_warning(w, &id("a"), &ack(40, Via::Link)).await.unwrap();
        assert_eq!(first, (ack(40, Via::Link), true));
        assert_eq!(c.acknowledge_warning(w, &id("a"), &ack(50, Via::Api)).await.unwrap(), (ack(40, Via::Link), false));
        assert!(c.acknowledge_warning(w, &id("c"), &ack(50, Via::Api)).await.is_err(), "not addressed");
        assert!(c.acknowledge_warning(Uuid::nil(), &id("a"), &ack(50, Via::Api)).await.is_err());
        let seen = c.warning(&Scope::Land, w).await.unwrap().unwrap();
        let answered: Vec<_> = seen.addressed.iter().map(|a| a.acknowledged.is_some()).collect();
        assert_eq!(answered, [true, false]);
        assert_eq!(c.audit(99).await.unwrap().iter().filter(|e| e.what.contains("acknowledged")).count(), 1);
        let token = c.check_token(&key().acknowledgement(w, &id("a")).text(), &[TokenKind::Ack], 60).await.unwrap();
        let token = token.unwrap();
        assert_eq!((token.warning, token.constituent), (Some(w), Some(id("a"))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_warning_takes_nobody_in_and_stops_its_mails() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let w = draft(&c, &[("a", false)], 20).await;
        c.release_warning(w, &person(None), &key(), 30).await.unwrap();
        c.withdraw_warning(w, "Anna", "Fehlalarm", 40).await.unwrap();
        assert!(matches!(c.withdraw_warning(w, "Anna", "x", 41).await, Err(ControlError::Refused(_))));
        assert!(c.claim_mails("me", 50, 60, 9).await.unwrap().is_empty());
        let seen = c.warning(&Scope::Constituent(id("a")), w).await.unwrap().unwrap();
        assert_eq!((seen.state, seen.withdrawn_why.as_deref()), (WarningState::Withdrawn, Some("Fehlalarm")));
        draft(&c, &[("a", false), ("b", false)], 50).await;
        assert_eq!(c.warning(&Scope::Land, w).await.unwrap().unwrap().addressed.len(), 1);
        assert!(matches!(c.release_warning(w, &person(None), &key(), 60).await, Err(ControlError::Refused(_))));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_fetch_of_the_feed_counts() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let w = draft(&c, &[("a", false), ("b", false)], 20).await;
        c.release_warning(w, &person(None), &key(), 30).await.unwrap();
        c.feed_served(&id("a"), &[w], 40).await.unwrap();
        c.feed_served(&id("a"), &[w], 50).await.unwrap();
        c.feed_served(&id("c"), &[w], 50).await.unwrap();
        let seen = c.warning(&Scope::Land, w).await.unwrap().unwrap();
        let served: Vec<_> = seen.addressed.iter().map(|a| a.deliveries[0].first_served_us).collect();
        assert_eq!(served, [Some(40), None]);
        assert_eq!(seen.addressed[0].deliveries[0].state, DeliveryState::Delivered);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_has_one_sender_at_a_time_and_comes_again_after_its_claim() {
    each_db(async |db: Db| {
        let c = loaded(&db).await;
        let w = draft(&c, &[("a", false), ("b", false)], 20).await;
        c.release_warning(w, &person(None), &key(), 30).await.unwrap();
        let claims: Vec<_> = (0..8)
            .map(|_| {
                let c = c.clone();
                tokio::spawn(async move { c.claim_mails("me", 31, 100, 2).await.unwrap() })
            })
            .collect();
        let mut got = Vec::new();
        for claim in claims {
            got.extend(claim.await.unwrap());
        }
        let mut to: Vec<_> = got.iter().map(|d| d.recipient.as_str()).collect();
        to.sort_unstable();
        assert_eq!(to, ["chef@a.example", "it@a.example", "it@b.example"]);
        assert!(c.claim_mails("me", 99, 200, 9).await.unwrap().is_empty(), "claimed until 100");
        c.mail_delivered(got[0].id, 50).await.unwrap();
        c.mail_failed(got[1].id, "421 later\r\n", Some(500), 50).await.unwrap();
        assert_eq!(c.release_claims("another", 60).await.unwrap(), 0);
        let again = c.claim_mails("me", 100, 200, 9).await.unwrap();
        assert_eq!(again.iter().map(|d| (d.id, d.attempts)).collect::<Vec<_>>(), [(got[2].id, 2)], "its sender died");
        assert_eq!(c.release_claims("me", 105).await.unwrap(), 1, "not the one that waits for its retry");
        let at_once = c.claim_mails("me", 105, 200, 9).await.unwrap();
        assert_eq!(at_once.iter().map(|d| d.id).collect::<Vec<_>>(), [got[2].id], "its sender started again");
        c.mail_failed(got[2].id, "550 no such user", None, 110).await.unwrap();
        let retried = c.claim_mails("me", 500, 600, 9).await.unwrap();
        assert_eq!(retried.iter().map(|d| d.id).collect::<Vec<_>>(), [got[1].id]);
        assert_eq!(retried[0].error, "421 later  ");
        assert!(c.audit(9).await.unwrap().iter().any(|e| e.what.contains("550 no such user")));
        let mut counts = c.delivery_counts().await.unwrap();
        counts.retain(|(ch, ..)| *ch == Channel::Mail);
        assert_eq!(counts.len(), 3, "{counts:?}");
    })
    .await;
}
