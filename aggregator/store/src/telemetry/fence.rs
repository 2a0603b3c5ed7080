// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Shutting a lane out of the store, and finishing what it left half-done.
//!
//! A process that lost its lease may not know it: it can be stopped between any two instructions, also between a check
//! and the insert that the check allowed. So the check is not in that process. Each insert of a segment is one statement
//! that reads the table `fence` in the engine and throws where the segment's lane is shut out. Whoever takes a lane over
//!
//! 1. writes the fence. A statement that begins later throws.
//! 2. kills the lane's statements and waits until none runs. One that had begun, and had read the table before, is now
//!    either committed or gone; a body that is sent on later goes nowhere.
//! 3. repairs the segments that are in some tables and not in all: the buckets of rollups that their rows touch are
//!    counted again out of raw.
//!
//! Only then may another lane take the events of its sensors, comparing by id with what is there. Must never insert
//! rows of raw again, not even under their old token: read back from the table they come in other blocks than they were
//! sent in, and the engine then takes the token for another one. Limits: fences hold on the servers
//! that the configuration names; [`PATIENCE`].

use std::time::Duration;

use clickhouse::Row;
use lagewarte_base::time::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::{
    columns::Table,
    insert::{Telemetry, TelemetryError},
};
use crate::Scope;

/// How long statements of a lane that was shut out may take to end. The engine itself gives up on a client that sends
/// nothing after 30 seconds.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Most segments repaired at a takeover: a lane inserts one after the other, and has had a few lives at most.
pub const MAX_REPAIRS: u32 = 1_000;
/// What the engine says to an insert of a lane that was shut out.
pub(super) const FENCED: &str = "lagewarte-fenced";

/// The lane and the life that a segment's id names: `journal-lane-fence-number`. Any other id is a lane of its own.
pub(super) fn lane_of(segment: &str) -> (String, u64) {
    let parts: Vec<&str> = segment.split('-').collect();
    match parts[..] {
        [journal, lane, fence, _] => match fence.parse() {
            Ok(fence) => (format!("{journal}-{lane}"), fence),
            Err(_) => (segment.to_owned(), 0),
        },
        _ => (segment.to_owned(), 0),
    }
}

/// An id for a statement of this lane, by which it can be found and killed.
pub(super) fn query_id(lane: &str, fence: u64) -> String {
    format!("lagewarte/{lane}/{fence}/{}", Uuid::new_v4())
}

#[derive(Row, Deserialize)]
struct Half {
    segment: String,
    rows: u64,
    first_us: i64,
    last_us: i64,
}

/// What a takeover found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Segments that were in some tables only, and are now whole.
    pub segments: u64,
    /// Their rows in raw tables.
    pub rows: u64,
}

impl Telemetry {
    /// Shuts out all lives of `lane` (`journal-lane`) below `below`. When it returns, none of their inserts runs, and none
    /// can begin. Can be repeated.
    ///
    /// # Errors
    /// The store's answer; an insert that does not end within [`PATIENCE`].
    pub async fn fence(&self, lane: &str, below: u64) -> Result<(), TelemetryError> {
        for shard in self.shards() {
            shard.fence_here(lane, below).await?;
        }
        Ok(())
    }

    async fn fence_here(&self, lane: &str, below: u64) -> Result<(), TelemetryError> {
        let fail = TelemetryError::store(format!("shutting out the lane {lane}"));
        let insert = "INSERT INTO fence SETTINGS async_insert = 0 SELECT {lane:String}, {below:UInt64}, now64(6)";
        let ask = |sql: &str| self.client().query_raw(sql).param("lane", lane).param("below", below);
        ask(insert).execute().await.map_err(fail)?;
        let running = "query_id LIKE 'lagewarte/%' AND splitByChar('/', query_id)[2] = {lane:String} \
                       AND toUInt64OrZero(splitByChar('/', query_id)[3]) < {below:UInt64}";
        let fail = || TelemetryError::store(format!("ending the statements of lane {lane}"));
        let mut waited = Duration::ZERO;
        loop {
            let kill = format!("KILL QUERY WHERE {running} ASYNC FORMAT Null");
            ask(&kill).execute().await.map_err(fail())?;
            let count = format!("SELECT count() FROM system.processes WHERE {running}");
            let left: u64 = ask(&count).fetch_one().await.map_err(fail())?;
            if left == 0 {
                return Ok(());
            }
            if waited >= PATIENCE {
                return Err(TelemetryError::Running { lane: lane.to_owned(), left });
            }
            let pause = Duration::from_millis(200);
            tokio::time::sleep(pause).await;
            waited += pause;
        }
    }

    /// Completes what the lives of `lane` below `below` left half-done. Only after [`Telemetry::fence`]. Can be repeated.
    ///
    /// # Errors
    /// The store's answer; [`TelemetryError::Forbidden`] for a constituent.
    pub async fn repair(&self, scope: &Scope, lane: &str, below: u64) -> Result<Repaired, TelemetryError> {
        if scope.only().is_some() {
            return Err(TelemetryError::Forbidden("repair"));
        }
        let mut done = Repaired::default();
        for shard in self.shards() {
            shard.repair_here(lane, below, &mut done).await?;
        }
        Ok(done)
    }

    async fn repair_here(&self, lane: &str, below: u64, done: &mut Repaired) -> Result<(), TelemetryError> {
        let fail = || TelemetryError::store(format!("looking for half-done segments of lane {lane}"));
        // A lane inserts in order: what is half-done was received after the last whole one, or waited for it meanwhile.
        let each = |t: &Table| {
            format!(
                "SELECT segment, {0}.received_us AS at FROM {0} WHERE startsWith(segment, {{prefix:String}}) \
                 AND {0}.received_us >= since",
                t.name()
            )
        };
        let raw: Vec<_> = Table::ALL.iter().filter(|t| **t != Table::Segment).map(each).collect();
        let sql = format!(
            "WITH (SELECT max(durable_us) FROM segment WHERE startsWith(segment, {{prefix:String}})) AS last, \
             greatest(last, now64(6) - INTERVAL 7 DAY) - INTERVAL 2 DAY AS since \
             SELECT segment, count() AS rows, toUnixTimestamp64Micro(min(at)) AS first_us, \
             toUnixTimestamp64Micro(max(at)) AS last_us FROM ({}) \
             WHERE segment NOT IN (SELECT segment FROM segment WHERE startsWith(segment, {{prefix:String}})) \
             AND toUInt64OrZero(splitByChar('-', segment)[3]) < {{below:UInt64}} \
             GROUP BY segment ORDER BY first_us LIMIT {{limit:UInt32}}",
            raw.join(" UNION ALL ")
        );
        let ask = self.client().query_raw(&sql).param("prefix", format!("{lane}-")).param("below", below);
        let halves: Vec<Half> = ask.param("limit", MAX_REPAIRS).fetch_all().await.map_err(fail())?;
        for half in halves {
            // Exact: the lane is shut out, and its sensors are free only after the repair.
            self.count_again(&Scope::System, &half.segment).await?;
            let lane = half.segment.split('-').nth(1).and_then(|l| l.parse().ok()).unwrap_or_default();
            let us = Timestamp::from_micros;
            // Its own lane is shut out; this row is written by whoever repairs.
            let owner = ("repair".to_owned(), u64::MAX);
            self.insert_segment_row(owner, &half.segment, lane, half.rows, (us(half.first_us), us(half.last_us)))
                .await?;
            done.segments += 1;
            done.rows += half.rows;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segments_id_names_its_lane_and_life() {
        assert_eq!(lane_of("00ab-1-7-900"), ("00ab-1".to_owned(), 7));
        for other in ["", "10/1/0", "a-b-c-d", "a-0-1", "a-0-1-2-3"] {
            assert_eq!(lane_of(other), (other.to_owned(), 0));
        }
    }
}
