// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Deliveries: the queue of mails and the record of what reached whom, when, and what did not.
//!
//! At least once: a mail is claimed for a while ([`Control::claim_mails`]); where its sender dies, the next claim sends
//! it again, under the same Message-ID. Must never lose a row: what cannot be delivered stays, with its reason.

use lagewarte_base::id::ConstituentId;
use serde::Serialize;
use uuid::Uuid;

use super::{
    Control, Result, audit,
    db::{Row, Tx, vals},
    words,
};

words! {
    /// A way to a constituent.
    Channel {
        /// Its Atom feed.
        Feed = "feed",
        /// Mail to one contact.
        Mail = "mail",
    }
}

words! {
    /// Where a delivery stands.
    DeliveryState {
        /// Waits: for its turn, or for the feed to be fetched.
        Queued = "queued",
        /// The feed was fetched with it; the mail server took it.
        Delivered = "delivered",
        /// Never tried: the channel may not carry the label, there is no address, or it was withdrawn.
        Refused = "refused",
        /// Given up after the most attempts, or refused by the mail server for good.
        Failed = "failed",
    }
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// Its id; a mail's Message-ID is made of it.
    pub id: Uuid,
    /// Of which warning.
    pub warning: Uuid,
    /// To whom.
    pub constituent: ConstituentId,
    /// By which way.
    pub channel: Channel,
    /// Mail address; empty for the feed.
    pub recipient: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// When it was queued: the release.
    pub queued_us: i64,
    /// The feed was first fetched with it.
    pub first_served_us: Option<i64>,
    /// It reached the constituent's side: feed fetched, or mail server's 250.
    pub delivered_us: Option<i64>,
    /// How often it was tried.
    pub attempts: i64,
    /// Why it was refused, failed, or did not go the last time; empty where nothing went wrong.
    pub error: String,
}

pub(super) const DELIVERY: &str =
    "id, warning, constituent, channel, recipient, state, queued_us, first_served_us, delivered_us, attempts, error";

pub(super) fn delivery(r: &Row) -> Result<Delivery> {
    Ok(Delivery {
        id: r.parse("id")?,
        warning: r.parse("warning")?,
        constituent: r.parse("constituent")?,
        channel: r.parse("channel")?,
        recipient: r.text("recipient")?,
        state: r.parse("state")?,
        queued_us: r.int("queued_us")?,
        first_served_us: r.opt_int("first_served_us")?,
        delivered_us: r.opt_int("delivered_us")?,
        attempts: r.int("attempts")?,
        error: r.text("error")?,
    })
}

pub(super) async fn insert(
    tx: &mut Tx,
    warning: Uuid,
    constituent: &ConstituentId,
    channel: Channel,
    recipient: &str,
    refusal: &str,
    now_us: i64,
) -> Result<()> {
    let state = if refusal.is_empty() { DeliveryState::Queued } else { DeliveryState::Refused };
    let sql = "INSERT INTO delivery (id, warning, constituent, channel, recipient, state, queued_us, next_us, attempts, \
               error) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, 0, $8) \
               ON CONFLICT (warning, constituent, channel, recipient) DO NOTHING";
    let vals = vals![Uuid::new_v4(), warning, constituent, channel, recipient, state, now_us, refusal];
    tx.execute(sql, vals).await.map(|_| ())
}

impl Control {
    /// Notes that a constituent's feed was fetched with these warnings in it; the first time counts.
    ///
    /// # Errors
    /// Where the database does not take it.
    pub async fn feed_served(&self, constituent: &ConstituentId, warnings: &[Uuid], now_us: i64) -> Result<()> {
        for w in warnings {
            let sql = "UPDATE delivery SET state = $4, first_served_us = $5, delivered_us = $5, attempts = 1 \
                       WHERE warning = $1 AND constituent = $2 AND channel = $3 AND first_served_us IS NULL \
                       AND state <> $6";
            let vals = vals![*w, constituent, Channel::Feed, DeliveryState::Delivered, now_us, DeliveryState::Refused];
            self.pool.execute(sql, vals).await?;
        }
        Ok(())
    }

    /// Claims at most `limit` mails that are due, until `until_us`: nobody else gets them before. `owner` names the
    /// aggregator that claims. Each claim counts as an attempt, so that a mail that kills its sender is given up as well.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn claim_mails(&self, owner: &str, now_us: i64, until_us: i64, limit: u32) -> Result<Vec<Delivery>> {
        let sql = format!(
            "UPDATE delivery SET next_us = $2, claimed_by = $6, attempts = attempts + 1 WHERE id IN \
             (SELECT id FROM delivery WHERE channel = $3 AND state = $4 AND next_us <= $1 ORDER BY next_us, id LIMIT $5) \
             AND state = $4 AND next_us <= $1 RETURNING {DELIVERY}"
        );
        let vals = vals![now_us, until_us, Channel::Mail, DeliveryState::Queued, i64::from(limit), owner];
        self.pool.rows(&sql, vals).await?.iter().map(delivery).collect()
    }

    /// Gives back what `owner` had claimed when it ended: at its start, so that nothing waits for a claim of the dead.
    ///
    /// # Errors
    /// Where the database does not take it.
    pub async fn release_claims(&self, owner: &str, now_us: i64) -> Result<u64> {
        let sql = "UPDATE delivery SET next_us = $2, claimed_by = NULL WHERE claimed_by = $1 AND state = $3";
        self.pool.execute(sql, vals![owner, now_us, DeliveryState::Queued]).await
    }

    /// Notes that the mail server took a mail.
    ///
    /// # Errors
    /// Where the database does not take it.
    pub async fn mail_delivered(&self, id: Uuid, now_us: i64) -> Result<()> {
        let sql = "UPDATE delivery SET state = $2, delivered_us = $3, claimed_by = NULL, error = '' WHERE id = $1";
        self.pool.execute(sql, vals![id, DeliveryState::Delivered, now_us]).await.map(|_| ())
    }

    /// Notes that a mail did not go: again at `next_us`, or never where that is None. What is given up is in the audit.
    ///
    /// # Errors
    /// Where the database does not take it.
    pub async fn mail_failed(&self, id: Uuid, error: &str, next_us: Option<i64>, now_us: i64) -> Result<()> {
        let error: String = error.chars().map(|c| if c.is_control() { ' ' } else { c }).take(audit::MAX_TEXT).collect();
        let mut tx = self.pool.begin().await?;
        let state = if next_us.is_some() { DeliveryState::Queued } else { DeliveryState::Failed };
        let sql = "UPDATE delivery SET state = $2, next_us = COALESCE($3, next_us), claimed_by = NULL, error = $4 \
                   WHERE id = $1 AND state = $5";
        let n = tx.execute(sql, vals![id, state, next_us, &error, DeliveryState::Queued]).await?;
        if n > 0 && next_us.is_none() {
            audit::note(&mut tx, now_us, "deliver", &format!("mail {id} given up: {error}")).await?;
        }
        tx.commit().await
    }

    /// How many deliveries stand where, by channel: for metrics.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn delivery_counts(&self) -> Result<Vec<(Channel, DeliveryState, i64)>> {
        let sql = "SELECT channel, state, COUNT(*) AS n FROM delivery GROUP BY channel, state ORDER BY channel, state";
        let rows = self.pool.rows(sql, vec![]).await?;
        rows.iter().map(|r| Ok((r.parse("channel")?, r.parse("state")?, r.int("n")?))).collect()
    }
}
