// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Leases and claims: one owner at a time, numbers that only grow, and no way round the fence.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::*;
use crate::control::lanes::{Claimed, LeaseState};

const ELSEWHERE: Claimed = Claimed::Elsewhere { connected: false };

async fn claim(c: &Control, fence: i64, sensor: u128) -> Claimed {
    c.claim_sensors(fence, &[Uuid::from_u128(sensor)]).await.expect("is held")[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn fences_grow_and_a_restored_database_is_noticed() {
    each_db(async |db: Db| {
        let c = db.control().await;
        let first = c.take_lane("j", 0, 1, "a", 1).await.unwrap();
        let second = c.take_lane("k", 0, 1, "b", 1).await.unwrap();
        assert!(second.fence > first.fence && !first.behind && !second.behind);
        // The journal remembers more than the database: an older copy of it was put back.
        let third = c.take_lane("j", 0, 50, "a", 1).await.unwrap();
        assert!(third.fence >= 50 && third.behind);
        let fourth = c.take_lane("j", 0, third.fence + 1, "a", 1).await.unwrap();
        assert!(fourth.fence > third.fence && !fourth.behind);
        let open: Vec<_> = c.open_lanes().await.unwrap().into_iter().map(|l| l.fence).collect();
        assert_eq!(open, [second.fence, fourth.fence], "one life of a lane at a time");
        for _ in 0..4 {
            c.take_lane("j", 0, 1, "a", 1).await.unwrap();
        }
        assert_eq!(c.renew_lanes(&[second.fence, fourth.fence]).await.unwrap(), [fourth.fence]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_goes_through_one_lane_and_moves_only_when_it_is_let_go_or_fenced() {
    each_db(async |db: Db| {
        let c = db.control().await;
        let a = c.take_lane("j", 0, 1, "a", 1).await.unwrap().fence;
        let b = c.take_lane("k", 0, 1, "b", 1).await.unwrap().fence;
        assert_eq!(claim(&c, a, 1).await, Claimed::Yes);
        assert_eq!(claim(&c, a, 1).await, Claimed::Yes);
        assert_eq!(claim(&c, b, 1).await, ELSEWHERE);
        assert_eq!(c.wanted_sensors(a).await.unwrap(), [Uuid::from_u128(1)]);
        c.keep_sensor(a, Uuid::from_u128(1)).await.unwrap();
        assert_eq!(claim(&c, b, 1).await, Claimed::Elsewhere { connected: true });
        c.release_sensor(b, Uuid::from_u128(1)).await.unwrap(); // not its own: nothing happens
        assert_eq!(claim(&c, b, 1).await, Claimed::Elsewhere { connected: true });
        c.release_sensor(a, Uuid::from_u128(1)).await.unwrap();
        assert_eq!(claim(&c, b, 1).await, Claimed::Yes);
        assert_eq!(claim(&c, a, 1).await, ELSEWHERE);

        // b falls silent: its lease is fenced by a, then its sensors are free and it cannot claim.
        let seen = c.open_lanes().await.unwrap().into_iter().find(|l| l.fence == b).unwrap();
        assert!(c.renew_lanes(&[b]).await.unwrap().is_empty());
        assert!(!c.begin_fencing(&seen, a).await.unwrap(), "it beat in between");
        let seen = c.open_lanes().await.unwrap().into_iter().find(|l| l.fence == b).unwrap();
        assert!(c.begin_fencing(&seen, a).await.unwrap());
        assert_eq!(c.renew_lanes(&[b]).await.unwrap(), [b]);
        assert_eq!(claim(&c, a, 1).await, ELSEWHERE, "not before the store has shut it out");
        assert!(c.claim_sensors(b, &[Uuid::from_u128(2)]).await.is_err());
        c.end_fencing(b, "a", 2).await.unwrap();
        assert_eq!(claim(&c, a, 1).await, Claimed::Yes);
        assert!(!c.end_lane(b).await.unwrap(), "too late");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_life_of_a_journal_keeps_its_sensors_unless_it_was_fenced() {
    each_db(async |db: Db| {
        let c = db.control().await;
        let a = c.take_lane("j", 1, 1, "a", 1).await.unwrap().fence;
        assert_eq!(claim(&c, a, 1).await, Claimed::Yes);
        let again = c.take_lane("j", 1, a + 1, "a", 1).await.unwrap();
        assert_eq!(again.sensors, BTreeSet::from([Uuid::from_u128(1)]));
        assert!(c.end_lane(again.fence).await.unwrap());
        let third = c.take_lane("j", 1, 1, "a", 1).await.unwrap();
        assert_eq!(third.sensors.len(), 1, "a graceful end gives nothing away");
        let other = c.take_lane("k", 0, 1, "b", 1).await.unwrap().fence;
        let seen = c.open_lanes().await.unwrap().into_iter().find(|l| l.fence == third.fence).unwrap();
        assert_eq!(seen.state, LeaseState::Held);
        assert!(c.begin_fencing(&seen, other).await.unwrap());
        // In mid-fencing, and after it: nothing comes along.
        assert!(c.take_lane("j", 1, 1, "a", 1).await.unwrap().sensors.is_empty());
        c.end_fencing(third.fence, "b", 2).await.unwrap();
        assert!(c.take_lane("j", 1, 1, "a", 1).await.unwrap().sensors.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_fence_one_does_and_a_dead_one_is_replaced() {
    each_db(async |db: Db| {
        let c = db.control().await;
        let lost = c.take_lane("j", 0, 1, "a", 1).await.unwrap().fence;
        let b = c.take_lane("k", 0, 1, "b", 1).await.unwrap().fence;
        let d = c.take_lane("l", 0, 1, "d", 1).await.unwrap().fence;
        let find = async |fence| c.open_lanes().await.unwrap().into_iter().find(|l| l.fence == fence).unwrap();
        let seen = find(lost).await;
        assert!(c.begin_fencing(&seen, b).await.unwrap());
        assert!(!c.begin_fencing(&find(lost).await, d).await.unwrap());
        assert!(c.begin_fencing(&find(lost).await, b).await.unwrap(), "tried again by the same");
        assert!(c.begin_fencing(&find(b).await, d).await.unwrap());
        assert!(c.begin_fencing(&find(lost).await, d).await.unwrap(), "the one that began is lost itself");
    })
    .await;
}
