// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Fills the views from the stores, each with the scope of its reader.
//!
//! The one room of the site that asks a store. Must never ask for a constituent with a wider scope than its own, and
//! never fill a gap with something that looks like an answer: what did not answer is missing, and the page says so.

use std::collections::{BTreeMap, BTreeSet};

use lagewarte_base::{ags::Ags, id::ConstituentId, time::Timestamp};
use lagewarte_picture::coverage::{MISSED, combined};
use lagewarte_store::{
    Scope,
    control::{
        campaigns::{Campaign, CampaignKind},
        coverage::{Coverage, Sight},
        deliveries::{Channel, DeliveryState},
        levels::{Area, AreaLevel},
        register::{Constituent, ConstituentKind, Contact, Sensor, SensorState},
        warnings::{Addressed, Via, Warning, WarningState},
    },
};
use uuid::Uuid;

use crate::{No, Site, view};

/// Most campaigns on the Lagebild. Threat: a page that grows with every campaign there ever was.
const MAX_CAMPAIGNS: u32 = 30;
/// Most warnings on a page.
const MAX_WARNINGS: u32 = 50;
/// Most people named for one constituent that has not answered.
const MAX_CALLS: usize = 2;

const fn at(us: i64) -> Timestamp {
    Timestamp::from_micros(us)
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// The whole Land.
pub(crate) async fn lagebild(site: &Site, scope: &Scope) -> Result<view::Lagebild, No> {
    let control = &site.control;
    let constituents = control.constituents(scope).await?;
    let names = names(&constituents);
    let levels = control.levels().await?;
    let level = |area: Area, key: &str| levels.iter().find(|l| l.area == area && l.key == key);
    let sensors = sensors(site, scope, &names).await?;
    let contacts = control.contacts(scope).await?;
    let mut warnings: Vec<_> =
        control.warnings(scope, MAX_WARNINGS).await?.into_iter().map(|w| warning_row(w, &names, &contacts)).collect();
    warnings.sort_by_key(|w| match w.state {
        WarningState::Draft => 0,
        WarningState::Released => 1,
        WarningState::Withdrawn => 2,
    });
    let campaigns = control.campaigns(scope, false, MAX_CAMPAIGNS).await?;
    let places = places(site, &constituents, &sensors, &levels);
    let clocks: Vec<_> = sensors.iter().map(|s| (s.id, s.row.interval_s, s.row.sight)).collect();
    let mut rows: Vec<_> = sensors.into_iter().map(|s| s.row).collect();
    rows.sort_by_key(|r| (severity(r.sight), r.name.clone()));
    Ok(view::Lagebild {
        land: site.config.map.as_ref().map_or_else(String::new, |m| m.name.clone()),
        now: site.now(),
        standing: standing(levels.iter().find(|l| l.area == Area::Land)),
        kreise: kreise(&constituents)
            .into_iter()
            .map(|(key, name)| view::Kreis { standing: standing(level(Area::Kreis, &key)), key, name })
            .collect(),
        places,
        timeline: timeline(site, scope, &clocks).await,
        campaigns: campaigns.iter().map(campaign_row).collect(),
        sensors: rows,
        warnings,
    })
}

/// One campaign with everyone in it.
pub(crate) async fn campaign(site: &Site, scope: &Scope, id: Uuid) -> Result<view::CampaignPage, No> {
    let c = site.control.campaign(scope, id).await?.ok_or(No::NotFound)?;
    let names = names(&site.control.constituents(scope).await?);
    let warning = site.control.warning_of(scope, id).await?;
    let contacts = site.control.contacts(scope).await?;
    let concerned = |m: &lagewarte_store::control::campaigns::Member| view::Concerned {
        name: name(&names, &m.constituent),
        first: at(m.first_us),
        last: at(m.last_us),
        alerts: m.evidence.alerts,
        hosts: m.evidence.hosts.clone(),
        pseudonyms: !m.evidence.key.is_empty(),
        external: m.evidence.external.clone(),
        late: m.late,
    };
    Ok(view::CampaignPage {
        row: campaign_row(&c),
        signatures: c.evidence.signatures.iter().map(|s| (s.id, s.text.clone())).collect(),
        external: c.evidence.external.clone(),
        concerned: c.members.iter().map(concerned).collect(),
        warning: warning.map(|w| warning_row(w, &names, &contacts)),
    })
}

/// One warning, for its release.
pub(crate) async fn warning(site: &Site, scope: &Scope, id: Uuid) -> Result<view::WarningPage, No> {
    let w = site.control.warning(scope, id).await?.ok_or(No::NotFound)?;
    let names = names(&site.control.constituents(scope).await?);
    let contacts = site.control.contacts(scope).await?;
    let withdrawn_by = w.withdrawn_by.clone();
    Ok(view::WarningPage {
        summary: w.summary.clone(),
        reasons: w.reasons.clone(),
        campaign: w.campaign,
        released_by: w.released_by.clone().unwrap_or_default(),
        withdrawn_why: w
            .withdrawn_why
            .clone()
            .map(|why| withdrawn_by.map_or_else(|| why.clone(), |who| format!("{why} ({who})"))),
        pictured: at(w.pictured_us),
        late: w.late,
        row: warning_row(w, &names, &contacts),
    })
}

/// Everything of one constituent.
pub(crate) async fn own(site: &Site, id: &ConstituentId) -> Result<view::Own, No> {
    let scope = Scope::Constituent(id.clone());
    let me = site.control.constituent(id).await?;
    let names = BTreeMap::from([(id.clone(), me.name.clone())]);
    let sensors = sensors(site, &scope, &names).await?;
    let levels = site.control.levels().await?;
    let key = me.ags.to_string();
    let contacts = site.control.contacts(&scope).await?;
    Ok(view::Own {
        name: me.name,
        now: site.now(),
        standing: standing(levels.iter().find(|l| l.area == Area::Municipality && l.key == key)),
        sight: combined(sensors.iter().map(|s| s.row.sight)),
        warnings: own_warnings(site, &scope).await?,
        sensors: sensors.into_iter().map(|s| s.row).collect(),
        profiles: profiles(site, &scope).await,
        contacts: contacts.iter().map(|c| (call(c), c.mail.clone())).collect(),
    })
}

/// A constituent's warnings, unanswered first, then newest first.
pub(crate) async fn own_warnings(site: &Site, scope: &Scope) -> Result<Vec<view::OwnWarning>, No> {
    let all = site.control.warnings(scope, MAX_WARNINGS).await?;
    let mut all: Vec<_> = all.iter().filter_map(own_view).collect();
    all.sort_by_key(|w| w.acknowledged.is_some() || w.withdrawn.is_some());
    Ok(all)
}

/// One warning as its constituent sees it; None where the scope holds no released part of it.
pub(crate) fn own_view(w: &Warning) -> Option<view::OwnWarning> {
    let [mine] = w.addressed.as_slice() else { return None };
    Some(view::OwnWarning {
        id: w.id,
        title: w.title.clone(),
        tlp: w.tlp,
        level: w.level,
        text: mine.text.clone(),
        released: at(mine.released_us?),
        withdrawn: (w.state == WarningState::Withdrawn).then(|| w.withdrawn_why.clone().unwrap_or_default()),
        acknowledged: mine.acknowledged.as_ref().map(|a| at(a.acknowledged_us)),
    })
}

/// Hours on the timeline.
const HOURS: i64 = 24;
const HOUR_US: i64 = 3_600_000_000;

/// The timeline; None where the telemetry store does not answer. `sensors`: id, interval and sight of each.
async fn timeline(site: &Site, scope: &Scope, sensors: &[(Uuid, u32, Sight)]) -> Option<Vec<view::Hour>> {
    let now = site.now();
    let this = now.micros().div_euclid(HOUR_US) * HOUR_US;
    let (from, to) = (at(this - (HOURS - 1) * HOUR_US), at(this + HOUR_US));
    let asked = tokio::try_join!(
        site.telemetry.alerts_by_hour(scope, from, to),
        site.telemetry.reports_by_hour(scope, from, to)
    );
    let (alerts, reports) = asked.inspect_err(|e| tracing::error!(error = %e, "timeline")).ok()?;
    let reports: BTreeMap<(i64, Uuid), u64> = reports.into_iter().map(|r| ((r.hour_us, r.sensor), r.reports)).collect();
    let hour = |begin: i64| {
        let elapsed_s = (now.micros().min(begin + HOUR_US) - begin) / 1_000_000;
        let seen = |(id, interval_s, sight): &(Uuid, u32, Sight)| {
            let reports = reports.get(&(begin, *id)).copied().unwrap_or(0);
            share(reports, *interval_s, elapsed_s, *sight == Sight::Blind)
        };
        let count = u32::try_from(sensors.len()).unwrap_or(u32::MAX).max(1);
        view::Hour {
            begin: at(begin),
            alerts: alerts.iter().filter(|a| a.hour_us == begin).map(|a| a.alerts).sum(),
            seen_permille: sensors.iter().map(seen).sum::<u32>() / count,
        }
    };
    Some((0..HOURS).map(|i| hour(from.micros() + i * HOUR_US)).collect())
}

/// How much of a stretch of an hour one sensor saw, in thousandths, by the number of its reports. As everywhere, up to
/// three missed reports are no gap; a stretch too short to tell goes by whether the sensor is blind now.
fn share(reports: u64, interval_s: u32, elapsed_s: i64, blind: bool) -> u32 {
    let interval = u64::from(interval_s.max(1));
    let elapsed = u64::try_from(elapsed_s).unwrap_or(0);
    let missed = MISSED.unsigned_abs();
    if reports == 0 {
        return if elapsed <= missed * interval && !blind { 1000 } else { 0 };
    }
    let seen = reports.saturating_add(missed).saturating_mul(interval).saturating_mul(1000) / elapsed.max(1);
    u32::try_from(seen).unwrap_or(u32::MAX).min(1000)
}

/// How far back a sensor's word on its release profile counts, µs: a week.
const PROFILE_US: i64 = 7 * 24 * HOUR_US;

async fn profiles(site: &Site, scope: &Scope) -> Option<Vec<String>> {
    let since = at(site.now().micros() - PROFILE_US);
    site.telemetry.profiles(scope, since).await.inspect_err(|e| tracing::error!(error = %e, "release profiles")).ok()
}

fn names(all: &[Constituent]) -> BTreeMap<ConstituentId, String> {
    all.iter().map(|c| (c.id.clone(), c.name.clone())).collect()
}

fn name(names: &BTreeMap<ConstituentId, String>, id: &ConstituentId) -> String {
    names.get(id).cloned().unwrap_or_else(|| id.to_string())
}

fn standing(l: Option<&AreaLevel>) -> view::Standing {
    l.map_or(view::Standing { level: None, reasons: Vec::new(), visible: 0, total: 0, since: None }, |l| {
        view::Standing {
            level: Some(l.level),
            reasons: l.reasons.iter().map(|r| r.text.clone()).collect(),
            visible: count(l.visible),
            total: count(l.total),
            since: Some(at(l.since_us)),
        }
    })
}

fn call(c: &Contact) -> view::Call {
    view::Call { name: c.name.clone(), role: c.role.clone(), phone: c.phone.clone() }
}

fn campaign_row(c: &Campaign) -> view::CampaignRow {
    view::CampaignRow {
        id: c.id,
        title: c.title.clone(),
        kind: match c.kind {
            CampaignKind::Signature => "Signatur",
            CampaignKind::Address => "Adresse",
        },
        key: c.key.clone(),
        first: at(c.first_us),
        last: at(c.last_us),
        pictured: at(c.pictured_us),
        constituents: c.members.len(),
        alerts: c.evidence.alerts,
        rule: c.evidence.rule.clone(),
        open: c.closed_us.is_none(),
        late: c.late,
    }
}

fn warning_row(w: Warning, names: &BTreeMap<ConstituentId, String>, contacts: &[Contact]) -> view::WarningRow {
    view::WarningRow {
        id: w.id,
        title: w.title,
        tlp: w.tlp,
        level: w.level,
        state: w.state,
        drafted: at(w.drafted_us),
        released: w.released_us.map(at),
        addressed: w.addressed.into_iter().map(|a| addressed(a, names, contacts)).collect(),
    }
}

fn addressed(a: Addressed, names: &BTreeMap<ConstituentId, String>, contacts: &[Contact]) -> view::Addressed {
    let feed = a.deliveries.iter().find(|d| d.channel == Channel::Feed);
    let mails = || a.deliveries.iter().filter(|d| d.channel == Channel::Mail);
    let german = |d: &lagewarte_store::control::deliveries::Delivery| {
        let (way, to) = match d.channel {
            Channel::Feed => ("Feed", String::new()),
            Channel::Mail => {
                ("Mail", if d.recipient.is_empty() { String::new() } else { format!(" an {}", d.recipient) })
            }
        };
        let state = match d.state {
            DeliveryState::Queued => "noch nicht zugestellt",
            DeliveryState::Delivered => "zugestellt",
            DeliveryState::Refused => "nicht auf diesem Weg",
            DeliveryState::Failed => "gescheitert",
        };
        format!("{way}{to}: {state} ({})", d.error)
    };
    view::Addressed {
        name: name(names, &a.constituent),
        calls: contacts
            .iter()
            .filter(|c| c.constituent == a.constituent && !c.phone.is_empty())
            .take(MAX_CALLS)
            .map(call)
            .collect(),
        text: a.text.clone(),
        late: a.late,
        released: a.released_us.map(at),
        first_served: feed.and_then(|d| d.first_served_us).map(at),
        mailed: mails().filter_map(|d| d.delivered_us).min().map(at),
        errors: a.deliveries.iter().filter(|d| !d.error.is_empty()).map(german).collect(),
        acknowledged: a.acknowledged.as_ref().map(|k| at(k.acknowledged_us)),
        via: a
            .acknowledged
            .as_ref()
            .map(|k| {
                let via = match k.via {
                    Via::Link => "über den Link",
                    Via::Api => "über die Schnittstelle",
                    Via::Page => "auf der eigenen Seite",
                };
                if k.who.is_empty() { via.to_owned() } else { format!("{via}, {}", k.who) }
            })
            .unwrap_or_default(),
    }
}

/// A sensor's row with whom it serves, for the map.
struct Seen {
    id: Uuid,
    row: view::SensorRow,
    serves: BTreeSet<ConstituentId>,
}

/// Sensors in scope that are not revoked. One that never reported is blind, as the picture has it.
async fn sensors(site: &Site, scope: &Scope, names: &BTreeMap<ConstituentId, String>) -> Result<Vec<Seen>, No> {
    let coverage: BTreeMap<Uuid, Coverage> =
        site.control.coverage(scope).await?.into_iter().map(|c| (c.sensor, c)).collect();
    let all = site.control.sensors(scope).await?;
    Ok(all.into_iter().filter(|s| s.state != SensorState::Revoked).map(|s| seen(s, &coverage, names)).collect())
}

fn seen(s: Sensor, coverage: &BTreeMap<Uuid, Coverage>, names: &BTreeMap<ConstituentId, String>) -> Seen {
    let c = coverage.get(&s.id);
    let (sight, reason) = match (s.state, c) {
        (SensorState::Invited, _) => (Sight::Blind, "Noch nicht eingerichtet.".to_owned()),
        (_, Some(c)) => (c.state, c.reason.clone()),
        (_, None) => (Sight::Blind, "Hat noch nie gemeldet.".to_owned()),
    };
    // Only names in scope: a shared gateway's other constituents are nobody's business.
    let serves = s.serves.iter().filter_map(|c| names.get(c).cloned()).collect();
    Seen {
        id: s.id,
        row: view::SensorRow {
            name: s.name,
            serves,
            sight,
            reason,
            last_seen: c.and_then(|c| c.last_seen_us).map(at),
            interval_s: s.interval_s,
            lag_us: c.and_then(|c| c.lag_us),
            loss_ppm: c.and_then(|c| c.loss_ppm),
            ruleset: c.map(|c| c.ruleset.clone()).unwrap_or_default(),
        },
        serves: s.serves,
    }
}

/// What needs somebody comes first.
const fn severity(s: Sight) -> u8 {
    match s {
        Sight::Blind => 0,
        Sight::Partial => 1,
        Sight::Seeing => 2,
        Sight::NoSensor => 3,
    }
}

/// Kreise by key: the register's name of the Kreis; of its only municipality, where it is a kreisfreie Stadt.
fn kreise(all: &[Constituent]) -> BTreeMap<String, String> {
    let mut out: BTreeMap<String, String> = BTreeMap::new();
    for c in all.iter().filter(|c| c.kind == ConstituentKind::Municipality) {
        out.entry(c.ags.kreis().to_owned()).or_insert_with(|| c.name.clone());
    }
    for c in all.iter().filter(|c| c.kind == ConstituentKind::Kreis) {
        out.insert(c.ags.kreis().to_owned(), c.name.clone());
    }
    out
}

/// Municipalities in the map's order, then those of the register that the map lacks. A municipality's sight is that of
/// its own administration: a hospital's sensor does not see the town hall.
fn places(site: &Site, all: &[Constituent], sensors: &[Seen], levels: &[AreaLevel]) -> Vec<view::Place> {
    let kreise = kreise(all);
    let mut register: BTreeMap<Ags, &Constituent> = BTreeMap::new();
    for c in all.iter().filter(|c| c.kind == ConstituentKind::Municipality) {
        register.insert(c.ags, c);
    }
    let place = |ags: Ags, name: &str, kreis: Option<&str>, c: Option<&Constituent>| view::Place {
        ags,
        name: name.to_owned(),
        kreis: kreise.get(ags.kreis()).map(String::as_str).or(kreis).unwrap_or_default().to_owned(),
        standing: standing(levels.iter().find(|l| l.area == Area::Municipality && l.key == ags.as_str())),
        sight: c.map_or(Sight::NoSensor, |c| {
            combined(sensors.iter().filter(|s| s.serves.contains(&c.id)).map(|s| s.row.sight))
        }),
    };
    let mut out = Vec::new();
    for a in site.config.map.iter().flat_map(|m| &m.areas) {
        out.push(place(a.ags, &a.name, Some(&a.kreis_name), register.remove(&a.ags)));
    }
    for (ags, c) in register {
        out.push(place(ags, &c.name, None, Some(c)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_seen_as_far_as_reports_came() {
        for (reports, interval, elapsed, blind, want) in [
            (120, 30, 3600, false, 1000), // all of them
            (117, 30, 3600, false, 1000), // three missed are no gap
            (116, 30, 3600, false, 991),
            (57, 30, 3600, false, 500),
            (0, 30, 3600, false, 0),  // nothing is blind, whatever the sensor does now
            (0, 30, 90, false, 1000), // too early to tell
            (0, 30, 90, true, 0),
            (0, 30, 91, false, 0),
            (5, 30, 100, true, 1000),
            (0, 0, 0, false, 1000),
            (u64::MAX, u32::MAX, 1, false, 1000),
            (1, 1, i64::MIN, false, 1000),
        ] {
            assert_eq!(share(reports, interval, elapsed, blind), want, "{reports} every {interval} s in {elapsed} s");
        }
    }
}
