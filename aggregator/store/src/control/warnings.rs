// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Warnings: drafted from a campaign, released by a person or a policy, acknowledged by each addressed constituent.
//!
//! One warning a campaign. Constituents that join the campaign later are added and released by themselves; the earlier
//! ones are not warned again. Release is one transaction: the release, the acknowledgement token and the deliveries of
//! a constituent exist together or not at all. Must never show a constituent a warning that was not released to it,
//! nor who else is addressed.

use std::collections::BTreeMap;

use lagewarte_base::{
    id::ConstituentId,
    tlp::{Channel as TlpChannel, Tlp},
};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Control, ControlError, Result, audit,
    db::{Row, Tx, Val, vals},
    deliveries::{self, Channel, Delivery, DeliveryState},
    levels::Level,
    tokens::{self, LinkKey},
    words,
};
use crate::Scope;

words! {
    /// Where a warning stands.
    WarningState {
        /// Waits for a person or a policy.
        Draft = "draft",
        /// Released to the constituents whose part is.
        Released = "released",
        /// Taken back; still shown, as such.
        Withdrawn = "withdrawn",
    }
}

words! {
    /// How an acknowledgement came.
    Via {
        /// The link of the feed or mail.
        Link = "link",
        /// The API.
        Api = "api",
        /// The constituent's page.
        Page = "page",
    }
}

/// One constituent's part of a draft.
#[derive(Clone, Debug)]
pub struct NewAddressed {
    /// Whose.
    pub constituent: ConstituentId,
    /// Its text, German.
    pub text: String,
    /// Its hosts, as the text names them.
    pub hosts: Vec<String>,
    /// Known through late events only: waits for a person.
    pub late: bool,
    /// When the picture first had it.
    pub pictured_us: i64,
}

/// A draft, as the warning room writes it.
#[derive(Clone, Debug)]
pub struct Draft {
    /// From which campaign.
    pub campaign: Uuid,
    /// Kind of its text: `ssh_bruteforce`, …
    pub kind: String,
    /// Label.
    pub tlp: Tlp,
    /// Level.
    pub level: Level,
    /// Why this level, in German sentences.
    pub reasons: Vec<String>,
    /// German title, one line.
    pub title: String,
    /// German summary, the same for all addressed; names none of them.
    pub summary: String,
    /// The campaign reaches its k only with late events.
    pub late: bool,
    /// When the picture first had the campaign.
    pub pictured_us: i64,
    /// Everyone affected.
    pub addressed: Vec<NewAddressed>,
}

/// What [`Control::draft_warning`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drafted {
    /// The campaign's warning.
    pub id: Uuid,
    /// It is new.
    pub created: bool,
    /// Who was added just now (everyone, where it is new).
    pub added: Vec<ConstituentId>,
}

/// Who releases, and how.
#[derive(Clone, Debug)]
pub struct Release<'a> {
    /// A person's name, or `policy:NAME`.
    pub who: &'a str,
    /// The policy's name, where one releases.
    pub policy: Option<&'a str>,
    /// Another label than the draft's; only at the first release.
    pub tlp: Option<Tlp>,
    /// Also those known through late events only: for persons, never for policies.
    pub late_too: bool,
}

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Acknowledgement {
    /// When.
    pub acknowledged_us: i64,
    /// How it came.
    pub via: Via,
    /// Who, as far as known.
    pub who: String,
}

/// One constituent's part of a warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Addressed {
    /// Whose.
    pub constituent: ConstituentId,
    /// Its text, German.
    pub text: String,
    /// Its hosts.
    pub hosts: Vec<String>,
    /// Known through late events only.
    pub late: bool,
    /// When the picture first had it.
    pub pictured_us: i64,
    /// When it was released to this constituent; None while it waits.
    pub released_us: Option<i64>,
    /// Its acknowledgement.
    pub acknowledged: Option<Acknowledgement>,
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
}

/// A stored warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Its id; `urn:uuid:` in the feed.
    pub id: Uuid,
    /// From which campaign.
    pub campaign: Uuid,
    /// Kind of its text.
    pub kind: String,
    /// Label.
    pub tlp: Tlp,
    /// Level.
    pub level: Level,
    /// Why this level.
    pub reasons: Vec<String>,
    /// German title.
    pub title: String,
    /// German summary.
    pub summary: String,
    /// Where it stands.
    pub state: WarningState,
    /// Its campaign reaches its k only with late events.
    pub late: bool,
    /// When the picture first had the campaign.
    pub pictured_us: i64,
    /// When it was drafted.
    pub drafted_us: i64,
    /// Last change: draft, release, withdrawal.
    pub updated_us: i64,
    /// First release.
    pub released_us: Option<i64>,
    /// Who released it first.
    pub released_by: Option<String>,
    /// Under which policy, where one did.
    pub policy: Option<String>,
    /// When it was withdrawn.
    pub withdrawn_us: Option<i64>,
    /// By whom.
    pub withdrawn_by: Option<String>,
    /// Why, in a German sentence.
    pub withdrawn_why: Option<String>,
    /// Its constituents in scope; for a constituent itself alone.
    pub addressed: Vec<Addressed>,
}

const WARNING: &str = "id, campaign, kind, tlp, level, reasons, title, summary, state, late, pictured_us, drafted_us, \
                       updated_us, released_us, released_by, policy, withdrawn_us, withdrawn_by, withdrawn_why";

fn warning(r: &Row) -> Result<Warning> {
    Ok(Warning {
        id: r.parse("id")?,
        campaign: r.parse("campaign")?,
        kind: r.text("kind")?,
        tlp: r.parse("tlp")?,
        level: r.level("level")?,
        reasons: r.json("reasons")?,
        title: r.text("title")?,
        summary: r.text("summary")?,
        state: r.parse("state")?,
        late: r.flag("late")?,
        pictured_us: r.int("pictured_us")?,
        drafted_us: r.int("drafted_us")?,
        updated_us: r.int("updated_us")?,
        released_us: r.opt_int("released_us")?,
        released_by: r.opt_text("released_by")?,
        policy: r.opt_text("policy")?,
        withdrawn_us: r.opt_int("withdrawn_us")?,
        withdrawn_by: r.opt_text("withdrawn_by")?,
        withdrawn_why: r.opt_text("withdrawn_why")?,
        addressed: Vec::new(),
    })
}

/// Which warnings: `$1` a constituent or NULL, `$2` an id or NULL, `$3` a campaign or NULL, `$4` how many.
/// A constituent's are those released to it. `$5` is 1 for those of open campaigns only.
const CHOSEN: &str = "SELECT id FROM warning WHERE ($1 IS NULL OR id IN (SELECT warning FROM warning_constituent \
                      WHERE constituent = $1 AND released_us IS NOT NULL)) AND ($2 IS NULL OR id = $2) \
                      AND ($3 IS NULL OR campaign = $3) AND ($5 = 0 OR campaign IN \
                      (SELECT id FROM campaign WHERE closed_us = 0)) ORDER BY drafted_us DESC, id LIMIT $4";

impl Control {
    /// Drafts the campaign's warning, or brings it up to date: adds who joined; renews the texts of those it was not
    /// released to yet. What was released stays as it was. Withdrawn warnings take nobody in.
    ///
    /// # Errors
    /// Where the database does not take it.
    pub async fn draft_warning(&self, draft: &Draft, now_us: i64) -> Result<Drafted> {
        let mut tx = self.pool.begin().await?;
        let reasons = json(&draft.reasons);
        let sql = "SELECT id, state FROM warning WHERE campaign = $1";
        let old = tx.row(sql, vals![draft.campaign]).await?;
        let (id, state) = match &old {
            Some(r) => (r.parse("id")?, r.parse("state")?),
            None => (Uuid::new_v4(), WarningState::Draft),
        };
        let mut added = Vec::new();
        if state == WarningState::Withdrawn {
            return Ok(Drafted { id, created: false, added });
        }
        if old.is_none() {
            let sql = "INSERT INTO warning (id, campaign, kind, tlp, level, reasons, title, summary, state, late, \
                       pictured_us, drafted_us, updated_us) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)";
            let vals = vals![
                id,
                draft.campaign,
                &draft.kind,
                draft.tlp,
                draft.level,
                &reasons,
                &draft.title,
                &draft.summary,
                state,
                draft.late,
                draft.pictured_us,
                now_us
            ];
            tx.execute(sql, vals).await?;
            audit::note(&mut tx, now_us, "warn", &format!("warning {id} drafted: {}", draft.title)).await?;
        } else if state == WarningState::Draft {
            let sql = "UPDATE warning SET kind = $2, level = $3, reasons = $4, title = $5, summary = $6, late = $7, \
                       updated_us = $8 WHERE id = $1 AND (level <> $3 OR reasons <> $4 OR summary <> $6 OR late <> $7)";
            let vals = vals![id, &draft.kind, draft.level, &reasons, &draft.title, &draft.summary, draft.late, now_us];
            tx.execute(sql, vals).await?;
        }
        for a in &draft.addressed {
            let hosts = json(&a.hosts);
            let sql = "INSERT INTO warning_constituent (warning, constituent, text, hosts, late, pictured_us) \
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (warning, constituent) DO NOTHING";
            let n = tx.execute(sql, vals![id, &a.constituent, &a.text, &hosts, a.late, a.pictured_us]).await?;
            if n > 0 {
                added.push(a.constituent.clone());
                continue;
            }
            let sql = "UPDATE warning_constituent SET text = $3, hosts = $4, late = $5 \
                       WHERE warning = $1 AND constituent = $2 AND released_us IS NULL";
            tx.execute(sql, vals![id, &a.constituent, &a.text, &hosts, a.late]).await?;
        }
        tx.commit().await?;
        Ok(Drafted { id, created: old.is_none(), added })
    }

    /// Releases a warning to those it was not released to yet; gives them. Nobody twice, however often it is called.
    ///
    /// # Errors
    /// [`ControlError::Missing`]; [`ControlError::Refused`] for a withdrawn one, for another label after the first
    /// release, and for a policy that would take late events.
    pub async fn release_warning(
        &self,
        id: Uuid,
        release: &Release<'_>,
        key: &LinkKey,
        now_us: i64,
    ) -> Result<Vec<ConstituentId>> {
        if release.late_too && release.policy.is_some() {
            return Err(ControlError::Refused("late events are released by persons only".into()));
        }
        let mut tx = self.pool.begin().await?;
        let old = tx.row(&format!("SELECT {WARNING} FROM warning WHERE id = $1"), vals![id]).await?;
        let old = warning(&old.ok_or_else(|| missing(id))?)?;
        let tlp = release.tlp.unwrap_or(old.tlp);
        match old.state {
            WarningState::Withdrawn => {
                return Err(ControlError::Refused(format!("warning {id} was withdrawn; it is not released again")));
            }
            WarningState::Released if tlp != old.tlp => {
                return Err(ControlError::Refused(format!("warning {id} went out as {}; the label stays", old.tlp)));
            }
            WarningState::Released | WarningState::Draft => {}
        }
        let sql = "UPDATE warning_constituent SET released_us = $2 WHERE warning = $1 AND released_us IS NULL \
                   AND ($3 = 1 OR late = 0) RETURNING constituent";
        let rows = tx.rows(sql, vals![id, now_us, release.late_too]).await?;
        let mut newly: Vec<ConstituentId> = rows.iter().map(|r| r.parse("constituent")).collect::<Result<_>>()?;
        newly.sort();
        if newly.is_empty() {
            return Ok(newly);
        }
        let sql = "UPDATE warning SET state = $2, tlp = $3, updated_us = $4, \
                   released_us = COALESCE(released_us, $4), released_by = COALESCE(released_by, $5), \
                   policy = CASE WHEN released_us IS NULL THEN $6 ELSE policy END WHERE id = $1";
        let vals = vals![id, WarningState::Released, tlp, now_us, release.who, release.policy];
        tx.execute(sql, vals).await?;
        for c in &newly {
            tokens::store_acknowledgement(&mut tx, &key.acknowledgement(id, c), id, c, now_us).await?;
            queue(&mut tx, id, c, tlp, now_us).await?;
        }
        let names: Vec<_> = newly.iter().map(ConstituentId::as_str).collect();
        let what = format!("warning {id} ({tlp}) released to {} constituents: {}", newly.len(), names.join(", "));
        audit::note(&mut tx, now_us, release.who, &what).await?;
        tx.commit().await?;
        Ok(newly)
    }

    /// Takes a warning back: it is shown as withdrawn, and mails not sent yet are not sent.
    ///
    /// # Errors
    /// [`ControlError::Missing`]; [`ControlError::Refused`] where it already is withdrawn.
    pub async fn withdraw_warning(&self, id: Uuid, who: &str, why: &str, now_us: i64) -> Result<()> {
        let mut tx = self.pool.begin().await?;
        let sql = "UPDATE warning SET state = $2, withdrawn_us = $3, withdrawn_by = $4, withdrawn_why = $5, \
                   updated_us = $3 WHERE id = $1 AND state <> $2";
        if tx.execute(sql, vals![id, WarningState::Withdrawn, now_us, who, why]).await? == 0 {
            let known = tx.row("SELECT id FROM warning WHERE id = $1", vals![id]).await?.is_some();
            return Err(if known {
                ControlError::Refused(format!("warning {id} is withdrawn already"))
            } else {
                missing(id)
            });
        }
        let sql = "UPDATE delivery SET state = $2, error = 'withdrawn before it was delivered' \
                   WHERE warning = $1 AND state = $3 AND channel = $4";
        tx.execute(sql, vals![id, DeliveryState::Refused, DeliveryState::Queued, Channel::Mail]).await?;
        audit::note(&mut tx, now_us, who, &format!("warning {id} withdrawn: {why}")).await?;
        tx.commit().await
    }

    /// Warnings in scope, newest first, at most `limit`. For a constituent: those released to it, its own part only.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn warnings(&self, scope: &Scope, limit: u32) -> Result<Vec<Warning>> {
        self.chosen_warnings(scope, None, None, limit, false).await
    }

    /// One warning, as [`Control::warnings`] shows it; None where it is not in scope.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn warning(&self, scope: &Scope, id: Uuid) -> Result<Option<Warning>> {
        Ok(self.chosen_warnings(scope, Some(id), None, 1, false).await?.into_iter().next())
    }

    /// The warning of a campaign; None where there is none in scope.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn warning_of(&self, scope: &Scope, campaign: Uuid) -> Result<Option<Warning>> {
        Ok(self.chosen_warnings(scope, None, Some(campaign), 1, false).await?.into_iter().next())
    }

    /// The warnings of all open campaigns: what the workflow goes on with.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn warnings_of_open_campaigns(&self) -> Result<Vec<Warning>> {
        self.chosen_warnings(&Scope::System, None, None, u32::MAX, true).await
    }

    async fn chosen_warnings(
        &self,
        scope: &Scope,
        id: Option<Uuid>,
        campaign: Option<Uuid>,
        limit: u32,
        open_only: bool,
    ) -> Result<Vec<Warning>> {
        let vals: Vec<Val> = vals![scope.only(), id, campaign, i64::from(limit), open_only];
        let sql = format!("SELECT {WARNING} FROM warning WHERE id IN ({CHOSEN}) ORDER BY drafted_us DESC, id");
        let mut all: Vec<Warning> =
            self.pool.rows(&sql, vals.clone()).await?.iter().map(warning).collect::<Result<_>>()?;
        let sql = format!(
            "SELECT wc.warning, wc.constituent, wc.text, wc.hosts, wc.late, wc.pictured_us, wc.released_us, \
             a.acknowledged_us, a.via, a.who FROM warning_constituent wc \
             LEFT JOIN acknowledgement a ON a.warning = wc.warning AND a.constituent = wc.constituent \
             WHERE wc.warning IN ({CHOSEN}) AND ($1 IS NULL OR wc.constituent = $1) ORDER BY wc.constituent"
        );
        let mut addressed: BTreeMap<Uuid, Vec<Addressed>> = BTreeMap::new();
        for r in self.pool.rows(&sql, vals.clone()).await? {
            let acknowledged = match r.opt_int("acknowledged_us")? {
                Some(acknowledged_us) => {
                    Some(Acknowledgement { acknowledged_us, via: r.parse("via")?, who: r.text("who")? })
                }
                None => None,
            };
            addressed.entry(r.parse("warning")?).or_default().push(Addressed {
                constituent: r.parse("constituent")?,
                text: r.text("text")?,
                hosts: r.json("hosts")?,
                late: r.flag("late")?,
                pictured_us: r.int("pictured_us")?,
                released_us: r.opt_int("released_us")?,
                acknowledged,
                deliveries: Vec::new(),
            });
        }
        let sql = format!(
            "SELECT {} FROM delivery WHERE warning IN ({CHOSEN}) AND ($1 IS NULL OR constituent = $1) \
             ORDER BY channel, recipient",
            deliveries::DELIVERY
        );
        for r in self.pool.rows(&sql, vals).await? {
            let d = deliveries::delivery(&r)?;
            let of = addressed.get_mut(&d.warning).and_then(|v| v.iter_mut().find(|a| a.constituent == d.constituent));
            if let Some(a) = of {
                a.deliveries.push(d);
            }
        }
        for w in &mut all {
            w.addressed = addressed.remove(&w.id).unwrap_or_default();
        }
        Ok(all)
    }

    /// Notes a constituent's acknowledgement. Gives the one that counts, the first, and whether it is this one.
    ///
    /// # Errors
    /// [`ControlError::Missing`] where the warning was not released to the constituent.
    pub async fn acknowledge_warning(
        &self,
        id: Uuid,
        constituent: &ConstituentId,
        new: &Acknowledgement,
    ) -> Result<(Acknowledgement, bool)> {
        let mut tx = self.pool.begin().await?;
        let sql = "SELECT released_us FROM warning_constituent WHERE warning = $1 AND constituent = $2 \
                   AND released_us IS NOT NULL";
        if tx.row(sql, vals![id, constituent]).await?.is_none() {
            return Err(missing(id));
        }
        let sql = "INSERT INTO acknowledgement (warning, constituent, acknowledged_us, via, who) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (warning, constituent) DO NOTHING";
        let who: String = new.who.chars().filter(|c| !c.is_control()).take(audit::MAX_TEXT).collect();
        let first = tx.execute(sql, vals![id, constituent, new.acknowledged_us, new.via, who]).await? > 0;
        let sql = "SELECT acknowledged_us, via, who FROM acknowledgement WHERE warning = $1 AND constituent = $2";
        let r = tx.row(sql, vals![id, constituent]).await?.ok_or_else(|| missing(id))?;
        let counts =
            Acknowledgement { acknowledged_us: r.int("acknowledged_us")?, via: r.parse("via")?, who: r.text("who")? };
        if first {
            let what = format!("warning {id} acknowledged by {}", new.via);
            audit::note(&mut tx, new.acknowledged_us, constituent.as_str(), &what).await?;
        }
        tx.commit().await?;
        Ok((counts, first))
    }
}

/// The constituent's deliveries: the feed, and a mail to each contact that has an address. A channel that may not carry
/// the label refuses it, and that is kept as well: the CERT must see who has to be called instead.
async fn queue(tx: &mut Tx, id: Uuid, constituent: &ConstituentId, tlp: Tlp, now_us: i64) -> Result<()> {
    let refusal = |channel| match tlp.allowed_on(channel) {
        true => String::new(),
        false => format!("{tlp} may not go by this channel"),
    };
    let feed = refusal(TlpChannel::Feed);
    deliveries::insert(tx, id, constituent, Channel::Feed, "", &feed, now_us).await?;
    let sql = "SELECT DISTINCT mail FROM contact WHERE constituent = $1 AND mail <> '' ORDER BY mail";
    let contacts = tx.rows(sql, vals![constituent]).await?;
    if contacts.is_empty() {
        let none = "the register has no mail address";
        deliveries::insert(tx, id, constituent, Channel::Mail, "", none, now_us).await?;
    }
    for r in contacts {
        let mail = refusal(TlpChannel::PlainMail);
        deliveries::insert(tx, id, constituent, Channel::Mail, &r.text("mail")?, &mail, now_us).await?;
    }
    Ok(())
}

fn missing(id: Uuid) -> ControlError {
    ControlError::Missing { what: "warning", id: id.to_string() }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default() // lists of strings always serialise
}
