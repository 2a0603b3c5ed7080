// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Coverage: what each sensor lets the CERT see. An axis of its own, beside the levels.
//!
//! Must never show *blind* as *quiet*: a sensor without a row here has not been heard of.

use uuid::Uuid;

use super::{
    Control, Result,
    db::{Row, vals},
    words,
};
use crate::Scope;

words! {
    /// How much a sensor, or a constituent through its sensors, lets us see.
    Sight {
        /// Reports in time, without loss to speak of.
        Seeing = "sehend",
        /// Reports, but with loss, lag or a stale rule set.
        Partial = "teilweise",
        /// No report for three intervals.
        Blind = "blind",
        /// There is no sensor.
        NoSensor = "ohne Sensor",
    }
}

/// One sensor's coverage.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Coverage {
    /// Which sensor.
    pub sensor: Uuid,
    /// How much it lets us see.
    pub state: Sight,
    /// Why, in a German sentence; empty where there is nothing to say.
    pub reason: String,
    /// Its last health event, by the aggregator's clock.
    pub last_seen_us: Option<i64>,
    /// How far its events lag behind, as it says.
    pub lag_us: Option<i64>,
    /// Packets lost in the capture, in millionths of those seen, in the last interval.
    pub loss_ppm: Option<i64>,
    /// SHA-256 of its rule set, hex; empty where it runs none.
    pub ruleset: String,
    /// Since when it is in this state.
    pub since_us: i64,
}

impl Control {
    /// Stores coverage; `since_us` of a row is kept while its state stays the same.
    ///
    /// # Errors
    /// Where the database does not take it (an unknown sensor, too).
    pub async fn put_coverage(&self, rows: &[Coverage]) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        for c in rows {
            let sql = "INSERT INTO coverage (sensor, state, reason, last_seen_us, lag_us, loss_ppm, ruleset, since_us) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (sensor) DO UPDATE SET \
                       since_us = CASE WHEN coverage.state = excluded.state THEN coverage.since_us \
                       ELSE excluded.since_us END, state = excluded.state, reason = excluded.reason, \
                       last_seen_us = excluded.last_seen_us, lag_us = excluded.lag_us, \
                       loss_ppm = excluded.loss_ppm, ruleset = excluded.ruleset";
            let vals =
                vals![c.sensor, c.state, &c.reason, c.last_seen_us, c.lag_us, c.loss_ppm, &c.ruleset, c.since_us];
            tx.execute(sql, vals).await?;
        }
        tx.commit().await
    }

    /// Coverage of the sensors in scope (those that speak for the constituent), by sensor.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn coverage(&self, scope: &Scope) -> Result<Vec<Coverage>> {
        let sql = "SELECT sensor, state, reason, last_seen_us, lag_us, loss_ppm, ruleset, since_us FROM coverage \
                   WHERE ($1 IS NULL OR sensor IN (SELECT sensor FROM sensor_constituent WHERE constituent = $1)) \
                   ORDER BY sensor";
        let coverage = |r: &Row| {
            Ok(Coverage {
                sensor: r.parse("sensor")?,
                state: r.parse("state")?,
                reason: r.text("reason")?,
                last_seen_us: r.opt_int("last_seen_us")?,
                lag_us: r.opt_int("lag_us")?,
                loss_ppm: r.opt_int("loss_ppm")?,
                ruleset: r.text("ruleset")?,
                since_us: r.int("since_us")?,
            })
        };
        self.pool.rows(sql, vals![scope.only()]).await?.iter().map(coverage).collect()
    }
}
