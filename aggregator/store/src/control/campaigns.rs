// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Campaigns: the same signature or external address at several constituents within a window, with the evidence.
//!
//! At most one campaign of a kind and key is open. Constituents join it and never leave it. Must never grow without
//! bound: the lists of an evidence are capped ([`MAX_LIST`]); the counts beside them say how many there were.

use std::collections::BTreeMap;

use lagewarte_base::id::ConstituentId;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Control, Result,
    db::{Row, vals},
    words,
};
use crate::Scope;

/// Most hosts, external addresses, signatures or event ids kept in one evidence. Threat: a scan from a whole network
/// filling a row with addresses.
pub const MAX_LIST: usize = 50;

words! {
    /// What the constituents of a campaign have in common.
    CampaignKind {
        /// The same signature fired; the key is its id.
        Signature = "signature",
        /// The same external address was met; the key is the address.
        Address = "address",
    }
}

/// A rule that took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// EVE `alert.signature_id`.
    pub id: u64,
    /// EVE `alert.signature`: its msg.
    pub text: String,
    /// EVE `alert.severity`: 1 is the highest; 0 where unknown.
    #[serde(default)]
    pub severity: u8,
    /// Rule metadata `lagewarte_kind`: which warning text fits; empty where the rule names none.
    #[serde(default)]
    pub kind: String,
    /// Rule metadata `lagewarte_advice`: a word for the first step; empty where the rule names none.
    #[serde(default)]
    pub advice: String,
}

/// What was found at one constituent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemberEvidence {
    /// Alerts counted.
    pub alerts: u64,
    /// Inner addresses (pseudonyms, where the profile says so) that took part; the most active first.
    pub hosts: Vec<String>,
    /// Id of the key the pseudonyms were made with; empty where the addresses are clear.
    pub key: String,
    /// External addresses that took part; the most active first.
    pub external: Vec<String>,
    /// Ids of some of its events, as [`lagewarte_base::id::EventId`] writes them.
    pub events: Vec<String>,
}

/// What makes the campaign one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// The published rule that it follows from, as a German sentence with its numbers.
    pub rule: String,
    /// Alerts counted at all constituents.
    pub alerts: u64,
    /// Signatures that took part.
    pub signatures: Vec<Signature>,
    /// External addresses that took part.
    pub external: Vec<String>,
}

/// A constituent's part in a campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Whose.
    pub constituent: ConstituentId,
    /// Event time of the first and last alert.
    pub first_us: i64,
    /// See `first_us`.
    pub last_us: i64,
    /// It is known through late events only: it must not trigger an immediate warning.
    pub late: bool,
    /// When the picture first had it; kept while it stays in the campaign.
    pub pictured_us: i64,
    /// What was found.
    pub evidence: MemberEvidence,
}

/// A campaign as the picture finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What its constituents have in common.
    pub kind: CampaignKind,
    /// The signature id or the address.
    pub key: String,
    /// German, as shown.
    pub title: String,
    /// What makes it one.
    pub evidence: Evidence,
    /// It reaches its k only with late events.
    pub late: bool,
    /// Everyone it was found at; `pictured_us` of a member that is already in is ignored.
    pub members: Vec<Member>,
}

/// A stored campaign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Campaign {
    /// Its id.
    pub id: Uuid,
    /// What its constituents have in common.
    pub kind: CampaignKind,
    /// The signature id or the address.
    pub key: String,
    /// German, as shown.
    pub title: String,
    /// What makes it one.
    pub evidence: Evidence,
    /// Event time of the first alert.
    pub first_us: i64,
    /// Event time of the last alert.
    pub last_us: i64,
    /// When the picture first had it.
    pub pictured_us: i64,
    /// It reaches its k only with late events.
    pub late: bool,
    /// When it was closed; None while it is open.
    pub closed_us: Option<i64>,
    /// Its constituents in scope.
    pub members: Vec<Member>,
}

/// What [`Control::put_campaign`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Put {
    /// The open campaign.
    pub id: Uuid,
    /// It is new.
    pub created: bool,
    /// Who joined just now (everyone, where it is new).
    pub joined: Vec<ConstituentId>,
}

/// Which campaigns: `$1` a constituent or NULL, `$2` an id or NULL, `$3` 1 for open ones only, `$4` how many.
const CHOSEN: &str = "SELECT id FROM campaign WHERE ($1 IS NULL OR id IN (SELECT campaign FROM campaign_constituent \
                      WHERE constituent = $1)) AND ($2 IS NULL OR id = $2) AND ($3 = 0 OR closed_us = 0) \
                      ORDER BY last_us DESC, id LIMIT $4";

fn capped<T: Clone>(list: &[T]) -> Vec<T> {
    list.iter().take(MAX_LIST).cloned().collect()
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default() // plain structs of strings and numbers always serialise
}

impl Control {
    /// Stores a campaign: opens it, or brings the open one of its kind and key up to date. First times only move back,
    /// last times only forward; a member that was late and is found on time is no longer late.
    ///
    /// # Errors
    /// Where the database does not take it (an unknown constituent, too).
    pub async fn put_campaign(&self, found: &Found, now_us: i64) -> Result<Put> {
        let mut tx = self.pool.begin().await?;
        let first = found.members.iter().map(|m| m.first_us).min().unwrap_or(now_us);
        let last = found.members.iter().map(|m| m.last_us).max().unwrap_or(now_us);
        let evidence = json(&Evidence {
            signatures: capped(&found.evidence.signatures),
            external: capped(&found.evidence.external),
            ..found.evidence.clone()
        });
        let sql = "SELECT id FROM campaign WHERE kind = $1 AND key = $2 AND closed_us = 0";
        let open = tx.row(sql, vals![found.kind, &found.key]).await?.map(|r| r.parse("id")).transpose()?;
        let id = open.unwrap_or_else(Uuid::new_v4);
        if open.is_none() {
            let sql = "INSERT INTO campaign (id, kind, key, title, evidence, first_us, last_us, pictured_us, late, \
                       closed_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)";
            let vals = vals![id, found.kind, &found.key, &found.title, &evidence, first, last, now_us, found.late];
            tx.execute(sql, vals).await?;
        } else {
            let sql = "UPDATE campaign SET title = $2, evidence = $3, \
                       first_us = CASE WHEN first_us < $4 THEN first_us ELSE $4 END, \
                       last_us = CASE WHEN last_us > $5 THEN last_us ELSE $5 END, \
                       late = CASE WHEN late = 0 THEN 0 ELSE $6 END WHERE id = $1";
            tx.execute(sql, vals![id, &found.title, &evidence, first, last, found.late]).await?;
        }
        let mut joined = Vec::new();
        for m in &found.members {
            let evidence = json(&MemberEvidence {
                hosts: capped(&m.evidence.hosts),
                external: capped(&m.evidence.external),
                events: capped(&m.evidence.events),
                ..m.evidence.clone()
            });
            let sql = "UPDATE campaign_constituent SET evidence = $3, \
                       first_us = CASE WHEN first_us < $4 THEN first_us ELSE $4 END, \
                       last_us = CASE WHEN last_us > $5 THEN last_us ELSE $5 END, \
                       late = CASE WHEN late = 0 THEN 0 ELSE $6 END WHERE campaign = $1 AND constituent = $2";
            let vals = vals![id, &m.constituent, &evidence, m.first_us, m.last_us, m.late];
            if tx.execute(sql, vals).await? > 0 {
                continue;
            }
            let sql = "INSERT INTO campaign_constituent \
                       (campaign, constituent, evidence, first_us, last_us, late, pictured_us) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7)";
            let vals = vals![id, &m.constituent, &evidence, m.first_us, m.last_us, m.late, m.pictured_us];
            tx.execute(sql, vals).await?;
            joined.push(m.constituent.clone());
        }
        tx.commit().await?;
        Ok(Put { id, created: open.is_none(), joined })
    }

    /// Closes open campaigns whose last alert (event time) is before a moment; gives their ids.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn close_campaigns(&self, last_before_us: i64, now_us: i64) -> Result<Vec<Uuid>> {
        let sql = "UPDATE campaign SET closed_us = $2 WHERE closed_us = 0 AND last_us < $1 RETURNING id";
        self.pool.rows(sql, vals![last_before_us, now_us.max(1)]).await?.iter().map(|r| r.parse("id")).collect()
    }

    /// Campaigns in scope, the latest first, at most `limit`; open ones only, or closed ones too. A constituent sees
    /// those it is in, itself as the only member, and of the shared evidence what is not others' (no alert count).
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn campaigns(&self, scope: &Scope, open_only: bool, limit: u32) -> Result<Vec<Campaign>> {
        self.chosen_campaigns(scope, None, open_only, limit).await
    }

    /// One campaign, as [`Control::campaigns`] shows it; None where it is not in scope.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn campaign(&self, scope: &Scope, id: Uuid) -> Result<Option<Campaign>> {
        Ok(self.chosen_campaigns(scope, Some(id), false, 1).await?.into_iter().next())
    }

    async fn chosen_campaigns(
        &self,
        scope: &Scope,
        id: Option<Uuid>,
        open_only: bool,
        limit: u32,
    ) -> Result<Vec<Campaign>> {
        let vals = vals![scope.only(), id, open_only, i64::from(limit)];
        let sql = format!(
            "SELECT campaign, constituent, evidence, first_us, last_us, pictured_us, late FROM campaign_constituent \
             WHERE campaign IN ({CHOSEN}) AND ($1 IS NULL OR constituent = $1) ORDER BY pictured_us, constituent"
        );
        let mut members: BTreeMap<Uuid, Vec<Member>> = BTreeMap::new();
        for r in self.pool.rows(&sql, vals.clone()).await? {
            members.entry(r.parse("campaign")?).or_default().push(Member {
                constituent: r.parse("constituent")?,
                first_us: r.int("first_us")?,
                last_us: r.int("last_us")?,
                late: r.flag("late")?,
                pictured_us: r.int("pictured_us")?,
                evidence: r.json("evidence")?,
            });
        }
        let sql = format!(
            "SELECT id, kind, key, title, evidence, first_us, last_us, pictured_us, late, closed_us FROM campaign \
             WHERE id IN ({CHOSEN}) ORDER BY last_us DESC, id"
        );
        let campaign = |r: &Row| -> Result<Campaign> {
            let id = r.parse("id")?;
            let members = members.remove(&id).unwrap_or_default();
            let mut evidence: Evidence = r.json("evidence")?;
            if scope.only().is_some() {
                evidence.alerts = members.iter().map(|m| m.evidence.alerts).sum();
                evidence.external.retain(|e| members.iter().any(|m| m.evidence.external.contains(e)));
            }
            Ok(Campaign {
                id,
                kind: r.parse("kind")?,
                key: r.text("key")?,
                title: r.text("title")?,
                evidence,
                first_us: r.int("first_us")?,
                last_us: r.int("last_us")?,
                pictured_us: r.int("pictured_us")?,
                late: r.flag("late")?,
                closed_us: Some(r.int("closed_us")?).filter(|us| *us != 0),
                members,
            })
        };
        self.pool.rows(&sql, vals).await?.iter().map(campaign).collect()
    }
}
