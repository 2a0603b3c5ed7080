// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The workflow: campaigns become drafts, drafts are released, released ones grow with their campaign.
//!
//! [`Warner::step`] can run on several aggregators at once and be cut off anywhere: each of its writes is one
//! transaction that does nothing the second time. Must never release late events by itself.

use std::collections::{BTreeMap, BTreeSet};

use lagewarte_base::{
    id::{ConstituentId, Uuid},
    tlp::Tlp,
};
use lagewarte_store::{
    Scope,
    control::{
        Control, ControlError,
        campaigns::{Campaign, CampaignKind, Member},
        warnings::{Draft, NewAddressed, Release, Warning, WarningState},
    },
};

use crate::{CertContact, Links, Policy, WarnConfig, text};

/// Most open campaigns looked at in one step. Threat: a flood of campaigns holding up the warning of the newest; the
/// newest come first.
const MAX_OPEN: u32 = 2000;

/// The warning room.
#[derive(Clone, Debug)]
pub struct Warner {
    control: Control,
    links: Links,
    config: WarnConfig,
    contact: CertContact,
}

/// What one step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Warnings drafted.
    pub drafted: Vec<Uuid>,
    /// Warnings that took somebody in, with whom.
    pub added: Vec<(Uuid, Vec<ConstituentId>)>,
    /// Releases: to whom, just now.
    pub released: Vec<(Uuid, Vec<ConstituentId>)>,
}

impl Warner {
    /// Over the control plane; `links` makes the acknowledgement tokens.
    pub fn new(control: Control, links: Links, config: WarnConfig, contact: CertContact) -> Self {
        Self { control, links, config, contact }
    }

    /// The links it makes.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// Follows the picture once.
    ///
    /// # Errors
    /// Where the database does not answer; what was done before stays done, the next step goes on.
    pub async fn step(&self, now_us: i64) -> Result<Step, ControlError> {
        let mut step = Step::default();
        let open = self.control.campaigns(&Scope::System, true, MAX_OPEN).await?;
        if open.is_empty() {
            return Ok(step);
        }
        let known = self.control.warnings_of_open_campaigns().await?;
        let mut known: BTreeMap<Uuid, Warning> = known.into_iter().map(|w| (w.campaign, w)).collect();
        let covered = Covered::new(&open, &known);
        for campaign in &open {
            let old = known.remove(&campaign.id);
            let affected = covered.affected(campaign, old.as_ref());
            if affected.is_empty() || old.as_ref().is_some_and(|w| settled(w, &affected)) {
                continue;
            }
            let drafted = self.control.draft_warning(&self.draft(campaign, &affected), now_us).await?;
            if drafted.created {
                step.drafted.push(drafted.id);
            }
            if !drafted.added.is_empty() {
                step.added.push((drafted.id, drafted.added));
            }
            let Some(warning) = self.control.warning(&Scope::System, drafted.id).await? else { continue };
            let released = self.release_by_itself(campaign, &warning, now_us).await?;
            if !released.is_empty() {
                step.released.push((drafted.id, released));
            }
        }
        Ok(step)
    }

    /// Releases as a person: also those known through late events. Gives those warned just now.
    ///
    /// # Errors
    /// As [`Control::release_warning`].
    pub async fn release(
        &self,
        warning: Uuid,
        who: &str,
        tlp: Option<Tlp>,
        now_us: i64,
    ) -> Result<Vec<ConstituentId>, ControlError> {
        if who.trim().is_empty() {
            return Err(ControlError::Refused("a release names the person who releases".into()));
        }
        let release = Release { who: who.trim(), policy: None, tlp, late_too: true };
        self.control.release_warning(warning, &release, self.links.key(), now_us).await
    }

    /// Withdraws as a person, with a reason.
    ///
    /// # Errors
    /// As [`Control::withdraw_warning`].
    pub async fn withdraw(&self, warning: Uuid, who: &str, why: &str, now_us: i64) -> Result<(), ControlError> {
        if who.trim().is_empty() || why.trim().is_empty() {
            return Err(ControlError::Refused("a withdrawal names the person and the reason".into()));
        }
        self.control.withdraw_warning(warning, who.trim(), why.trim(), now_us).await
    }

    fn draft(&self, campaign: &Campaign, affected: &BTreeSet<&ConstituentId>) -> Draft {
        let words = text::of_campaign(campaign);
        let addressed = campaign.members.iter().filter(|m| affected.contains(&m.constituent)).filter_map(|m| {
            let text = text::for_constituent(campaign, &m.constituent, &self.contact)?;
            Some(NewAddressed {
                constituent: m.constituent.clone(),
                text,
                hosts: m.evidence.hosts.clone(),
                late: m.late || campaign.late,
                pictured_us: m.pictured_us,
            })
        });
        Draft {
            campaign: campaign.id,
            kind: words.kind.to_owned(),
            tlp: self.config.tlp,
            level: words.level,
            reasons: words.reasons,
            title: words.title,
            summary: words.summary,
            late: campaign.late,
            pictured_us: campaign.pictured_us,
            addressed: addressed.collect(),
        }
    }

    /// A released warning takes in whoever joins; a draft is released where a policy fits.
    async fn release_by_itself(
        &self,
        campaign: &Campaign,
        warning: &Warning,
        now_us: i64,
    ) -> Result<Vec<ConstituentId>, ControlError> {
        let waiting = |late: bool| warning.addressed.iter().any(|a| a.released_us.is_none() && a.late == late);
        let policy = self.config.policies.iter().find(|p| p.fits(campaign, warning));
        let (who, policy, tlp) = match (warning.state, policy) {
            _ if !waiting(false) => return Ok(Vec::new()),
            // The release of the warning stands for its campaign: whoever joins is warned under it, as it is.
            (WarningState::Released, _) => {
                let by = warning.released_by.as_deref().unwrap_or("?");
                (format!("{by} (joined later)"), warning.policy.as_deref(), None)
            }
            (WarningState::Draft, Some(p)) => (format!("policy:{}", p.name), Some(p.name.as_str()), Some(p.tlp)),
            (WarningState::Draft, None) | (WarningState::Withdrawn, _) => return Ok(Vec::new()),
        };
        let release = Release { who: &who, policy, tlp, late_too: false };
        self.control.release_warning(warning.id, &release, self.links.key(), now_us).await
    }
}

impl Policy {
    /// Whether every condition is met. A campaign that only late events made is never released by a policy.
    fn fits(&self, campaign: &Campaign, warning: &Warning) -> bool {
        let signatures = &campaign.evidence.signatures;
        !warning.late
            && warning.level >= self.min_level
            && campaign.members.len() >= self.k
            && (self.kinds.is_empty() || self.kinds.contains(&warning.kind))
            && (self.signatures.is_empty() || signatures.iter().any(|s| self.signatures.contains(&s.id)))
    }
}

/// Who is warned of what by another open campaign: one attack, one warning, whichever campaign is found first.
struct Covered<'a> {
    /// In an open campaign of a signature: (signature id, constituent).
    by_signature: BTreeSet<(&'a str, &'a ConstituentId)>,
    /// Already warned by the campaign of an external address: (signature id, constituent, address).
    by_address: BTreeSet<(u64, ConstituentId, &'a str)>,
}

impl<'a> Covered<'a> {
    fn new(open: &'a [Campaign], known: &BTreeMap<Uuid, Warning>) -> Self {
        let of = |kind| open.iter().filter(move |c| c.kind == kind);
        let by_signature = of(CampaignKind::Signature)
            .flat_map(|c| c.members.iter().map(|m| (c.key.as_str(), &m.constituent)))
            .collect();
        let by_address = of(CampaignKind::Address)
            .filter_map(|c| Some((c, known.get(&c.id).filter(|w| w.state == WarningState::Released)?)))
            .flat_map(|(c, w)| {
                let warned = w.addressed.iter().filter(|a| a.released_us.is_some());
                warned.flat_map(|a| c.evidence.signatures.iter().map(|s| (s.id, a.constituent.clone(), c.key.as_str())))
            })
            .collect();
        Self { by_signature, by_address }
    }

    /// Whom this campaign's warning addresses: its constituents, but those whom another campaign's warning tells of the
    /// same alerts, unless its own warning addresses them already. An address's campaign leaves them to the
    /// signature's; a signature's campaign leaves out whom the address's campaign has warned before, as long as every
    /// attacker seen there is one of those addresses.
    fn affected<'c>(&self, campaign: &'c Campaign, old: Option<&Warning>) -> BTreeSet<&'c ConstituentId> {
        let mine = |c: &ConstituentId| old.is_some_and(|w| w.addressed.iter().any(|a| a.constituent == *c));
        let warned_otherwise = |m: &Member| match campaign.kind {
            CampaignKind::Address => campaign
                .evidence
                .signatures
                .iter()
                .any(|s| self.by_signature.contains(&(s.id.to_string().as_str(), &m.constituent))),
            CampaignKind::Signature => {
                let attackers = &m.evidence.external;
                let Ok(id) = campaign.key.parse() else { return false };
                !attackers.is_empty()
                    && attackers.iter().all(|ip| self.by_address.contains(&(id, m.constituent.clone(), ip.as_str())))
            }
        };
        let members = campaign.members.iter();
        members.filter(|m| mine(&m.constituent) || !warned_otherwise(m)).map(|m| &m.constituent).collect()
    }
}

/// Nothing to do: everyone affected was warned, or the warning was withdrawn.
fn settled(warning: &Warning, affected: &BTreeSet<&ConstituentId>) -> bool {
    let warned = |c: &ConstituentId| warning.addressed.iter().any(|a| a.constituent == *c && a.released_us.is_some());
    warning.state == WarningState::Withdrawn || affected.iter().all(|c| warned(c))
}
