// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Leases of ingest lanes, and which lane each sensor's events go through: what several aggregators agree by.
//!
//! A lease is one life of one lane of one journal. Its number, the fence, grows with each lease of any aggregator and is
//! never given twice. A lease is renewed by a beat; nobody compares clocks: who sees no beat for the lease's length, by
//! its own clock, takes it over. A sensor's events go through one lane at a time; [`Control::claim_sensors`] moves them.
//!
//! Must never give a sensor to a lane while another lane may still insert for it: a lease is taken over only by fencing
//! it in the telemetry store first (`Telemetry::fence`), between [`Control::begin_fencing`] and [`Control::end_fencing`].

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    Control, ControlError, Result,
    db::{Row, Tx, vals},
    words,
};

/// Leases that ended are kept this many, for whoever asks what happened. Threat: a table that grows with each restart.
pub const KEPT_LEASES: i64 = 1_000;

words! {
    /// Where a lease stands.
    LeaseState {
        /// Its owner may insert.
        Held = "held",
        /// Somebody is about to shut its owner out of the telemetry store.
        Fencing = "fencing",
        /// Its owner can insert no more; what it left was repaired.
        Fenced = "fenced",
        /// Its owner ended it with everything durable, or a later life of the same journal took it on.
        Ended = "ended",
    }
}

/// A lease on a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Random id of the journal.
    pub journal: String,
    /// Lane of the journal.
    pub lane: u32,
    /// The fencing number.
    pub fence: i64,
    /// Whose: a name for people.
    pub aggregator: String,
    /// Where it stands.
    pub state: LeaseState,
    /// Grows with each renewal.
    pub beat: i64,
}

/// A lease just taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its fencing number.
    pub fence: i64,
    /// Sensors that went through an earlier life of this lane, and do so on: its marks hold for them.
    pub sensors: BTreeSet<Uuid>,
    /// The database knows less than the journal does: it was restored from a backup, and no mark can be trusted.
    pub behind: bool,
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The sensor's events go through this lane.
    Yes,
    /// Another lane has it still. It was told that the sensor is wanted.
    Elsewhere {
        /// Whether that aggregator says that the sensor is connected to it at this moment.
        connected: bool,
    },
}

fn lease(r: &Row) -> Result<Lease> {
    let lane = u32::try_from(r.int("lane")?).map_err(|_| ControlError::Corrupt("column lane is no lane".into()))?;
    Ok(Lease {
        journal: r.text("journal")?,
        lane,
        fence: r.int("fence")?,
        aggregator: r.text("aggregator")?,
        state: r.parse("state")?,
        beat: r.int("beat")?,
    })
}

const LEASE: &str = "journal, lane, fence, aggregator, state, beat";

impl Control {
    /// Takes a lane's lease with a new fencing number, `at_least` high: what the journal itself remembers. An earlier life
    /// of the same journal has ended, since its lock is held: its sensors come along.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn take_lane(
        &self,
        journal: &str,
        lane: u32,
        at_least: i64,
        aggregator: &str,
        now_us: i64,
    ) -> Result<Taken> {
        let mut tx = self.pool.begin().await?;
        let sql = "UPDATE counter SET n = n + 1 WHERE name = 'fence' RETURNING n";
        let next = tx.row(sql, vec![]).await?.ok_or_else(no_counter)?.int("n")?;
        let behind = next < at_least;
        if behind {
            tx.execute("UPDATE counter SET n = $1 WHERE name = 'fence'", vals![at_least]).await?;
        }
        let fence = next.max(at_least);
        let lane = i64::from(lane);
        let sql = "INSERT INTO ingest_lane (journal, lane, fence, aggregator, state, beat, taken_us) \
                   VALUES ($1, $2, $3, $4, $5, 0, $6)";
        tx.execute(sql, vals![journal, lane, fence, aggregator, LeaseState::Held, now_us]).await?;
        let sql = "UPDATE ingest_sensor SET fence = $3, connected = 0 WHERE fence IN (SELECT fence FROM ingest_lane \
                   WHERE journal = $1 AND lane = $2 AND fence < $3 AND state IN ($4, $5))";
        tx.execute(sql, vals![journal, lane, fence, LeaseState::Held, LeaseState::Ended]).await?;
        let sql = "UPDATE ingest_lane SET state = $4 WHERE journal = $1 AND lane = $2 AND fence < $3 AND state = $5";
        tx.execute(sql, vals![journal, lane, fence, LeaseState::Ended, LeaseState::Held]).await?;
        let sql = "SELECT sensor FROM ingest_sensor WHERE fence = $1";
        let rows = tx.rows(sql, vals![fence]).await?;
        let sensors = rows.iter().map(|r| r.parse("sensor")).collect::<Result<_>>()?;
        let sql = "DELETE FROM ingest_lane WHERE state IN ($1, $2) AND fence < $3 \
                   AND fence NOT IN (SELECT fence FROM ingest_sensor)";
        tx.execute(sql, vals![LeaseState::Ended, LeaseState::Fenced, fence - KEPT_LEASES]).await?;
        tx.commit().await?;
        Ok(Taken { fence, sensors, behind })
    }

    /// Renews leases; gives those of `fences` that are no longer held: their owner must stop.
    ///
    /// # Errors
    /// Where the database does not answer; that alone ends no lease.
    pub async fn renew_lanes(&self, fences: &[i64]) -> Result<Vec<i64>> {
        let mut lost = Vec::new();
        for fence in fences {
            let sql = "UPDATE ingest_lane SET beat = beat + 1 WHERE fence = $1 AND state = $2";
            if self.pool.execute(sql, vals![*fence, LeaseState::Held]).await? == 0 {
                lost.push(*fence);
            }
        }
        Ok(lost)
    }

    /// Ends a lease whose owner has everything durable. False where it was lost before.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn end_lane(&self, fence: i64) -> Result<bool> {
        let sql = "UPDATE ingest_lane SET state = $2 WHERE fence = $1 AND state = $3";
        Ok(self.pool.execute(sql, vals![fence, LeaseState::Ended, LeaseState::Held]).await? > 0)
    }

    /// Leases that somebody holds or is fencing.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn open_lanes(&self) -> Result<Vec<Lease>> {
        let sql = format!("SELECT {LEASE} FROM ingest_lane WHERE state IN ($1, $2) ORDER BY fence");
        self.pool.rows(&sql, vals![LeaseState::Held, LeaseState::Fencing]).await?.iter().map(lease).collect()
    }

    /// Begins to take over a lease that was seen without a beat; `by` is a lease of whoever does. One aggregator gets it;
    /// another may go on with it where that one's lease is lost itself.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn begin_fencing(&self, seen: &Lease, by: i64) -> Result<bool> {
        let mut tx = self.pool.begin().await?;
        let sql = "UPDATE ingest_lane SET state = $3, fenced_by = $4 WHERE fence = $1 AND ((state = $5 AND beat = $2) \
                   OR (state = $3 AND (fenced_by = $4 OR fenced_by NOT IN \
                   (SELECT fence FROM ingest_lane WHERE state = $5))))";
        let vals = vals![seen.fence, seen.beat, LeaseState::Fencing, by, LeaseState::Held];
        let n = tx.execute(sql, vals).await?;
        tx.commit().await?;
        Ok(n > 0)
    }

    /// The lease's owner is shut out and what it left is repaired: its sensors are free.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn end_fencing(&self, fence: i64, who: &str, now_us: i64) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        let sql = "UPDATE ingest_lane SET state = $2 WHERE fence = $1 AND state = $3";
        if tx.execute(sql, vals![fence, LeaseState::Fenced, LeaseState::Fencing]).await? > 0 {
            super::audit::note(&mut tx, now_us, who, &format!("lease {fence} of an ingest lane taken over")).await?;
        }
        tx.commit().await
    }

    /// Asks that the events of `sensors` go through the lane of lease `fence`. One transaction for all of them.
    ///
    /// # Errors
    /// [`ControlError::Refused`] where the lease is not held any more.
    pub async fn claim_sensors(&self, fence: i64, sensors: &[Uuid]) -> Result<Vec<Claimed>> {
        let mut tx = self.pool.begin().await?;
        let own = tx.row("SELECT state FROM ingest_lane WHERE fence = $1", vals![fence]).await?;
        if own.map(|r| r.parse("state")).transpose()? != Some(LeaseState::Held) {
            return Err(ControlError::Refused(format!("lease {fence} of an ingest lane is lost")));
        }
        let mut answers = Vec::with_capacity(sensors.len());
        for sensor in sensors {
            answers.push(claim(&mut tx, fence, *sensor).await?);
        }
        tx.commit().await?;
        Ok(answers)
    }

    /// Sensors of these leases that another aggregator wants.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn wanted_sensors(&self, fence: i64) -> Result<Vec<Uuid>> {
        let sql = "SELECT sensor FROM ingest_sensor WHERE fence = $1 AND wanted_by IS NOT NULL ORDER BY sensor";
        self.pool.rows(sql, vals![fence]).await?.iter().map(|r| r.parse("sensor")).collect()
    }

    /// Gives a sensor away: nothing of it is on its way here.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn release_sensor(&self, fence: i64, sensor: Uuid) -> Result<()> {
        let sql = "DELETE FROM ingest_sensor WHERE sensor = $1 AND fence = $2";
        self.pool.execute(sql, vals![sensor, fence]).await.map(drop)
    }

    /// Answers whoever wants the sensor that it is connected here.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn keep_sensor(&self, fence: i64, sensor: Uuid) -> Result<()> {
        let sql = "UPDATE ingest_sensor SET connected = 1, wanted_by = NULL WHERE sensor = $1 AND fence = $2";
        self.pool.execute(sql, vals![sensor, fence]).await.map(drop)
    }
}

async fn claim(tx: &mut Tx, fence: i64, sensor: Uuid) -> Result<Claimed> {
    let sql = "SELECT s.fence AS fence, l.state AS state, s.connected AS connected FROM ingest_sensor s \
               JOIN ingest_lane l ON l.fence = s.fence WHERE s.sensor = $1";
    let Some(row) = tx.row(sql, vals![sensor]).await? else {
        let sql = "INSERT INTO ingest_sensor (sensor, fence, connected) VALUES ($1, $2, 0)";
        tx.execute(sql, vals![sensor, fence]).await?;
        return Ok(Claimed::Yes);
    };
    let free = matches!(row.parse("state")?, LeaseState::Fenced | LeaseState::Ended);
    if free || row.int("fence")? == fence {
        let sql = "UPDATE ingest_sensor SET fence = $2, wanted_by = NULL, connected = 0 WHERE sensor = $1";
        tx.execute(sql, vals![sensor, fence]).await?;
        return Ok(Claimed::Yes);
    }
    tx.execute("UPDATE ingest_sensor SET wanted_by = $2 WHERE sensor = $1", vals![sensor, fence]).await?;
    Ok(Claimed::Elsewhere { connected: row.flag("connected")? })
}

fn no_counter() -> ControlError {
    ControlError::Corrupt("counter fence is missing".into())
}
