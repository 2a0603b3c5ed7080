// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The search for campaigns: the same signature or the same external address at k constituents within a window.
//!
//! Rules K1 to K4 of `docs/lagebild.md`. An index in memory over what was stored lately; fed once with every group of
//! alerts, by the order of storage, and decided by the events' own times. Must never let late events open a campaign as
//! if they had been on time: what only they complete says so. Limits: [`MAX_KEYS`], [`MAX_PER_KEY`].

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use lagewarte_base::id::ConstituentId;
use lagewarte_store::{
    control::campaigns::{CampaignKind, Evidence, Found, MAX_LIST, Member, MemberEvidence, Signature},
    telemetry::{AlertGroup, is_public},
};

use crate::levels::InCampaign;

/// Most signatures and addresses followed at once. Threat: a scan with forged addresses, each a key of its own.
pub const MAX_KEYS: usize = 50_000;
/// Most hosts and external addresses counted for a constituent in a campaign. Threat: as above, within one signature.
pub const MAX_PER_KEY: usize = 500;

/// What makes a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Fewest constituents.
    pub k: usize,
    /// Within this time, µs.
    pub window_us: i64,
    /// Closed after this time without an alert, µs.
    pub close_us: i64,
}

type Key = (CampaignKind, String);

/// What was stored lately, by signature and by external address.
#[derive(Debug)]
pub struct Index {
    rule: Rule,
    tracks: HashMap<Key, Track>,
    dirty: HashSet<Key>,
    refused: u64,
}

/// Everything known of one signature or address.
#[derive(Debug, Default)]
struct Track {
    parts: BTreeMap<ConstituentId, Part>,
    signatures: BTreeMap<u32, Signature>,
    last_us: i64,
    /// It is a campaign: whoever is found from now on joins.
    open: bool,
    /// It is one only with late events.
    late: bool,
}

/// One constituent's part.
#[derive(Debug, Default)]
struct Part {
    /// First and last event of each minute, on time and late.
    minutes: BTreeMap<i64, Minute>,
    alerts: u64,
    hosts: BTreeMap<String, u64>,
    external: BTreeMap<String, u64>,
    key: String,
    events: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    on_time: Option<(i64, i64)>,
    late: Option<(i64, i64)>,
}

impl Index {
    /// Empty.
    pub fn new(rule: Rule) -> Self {
        Self { rule, tracks: HashMap::new(), dirty: HashSet::new(), refused: 0 }
    }

    /// A campaign that is open in the control plane: whoever is found with its key joins it.
    pub fn reopen(&mut self, kind: CampaignKind, key: &str, last_us: i64, late: bool) {
        let track = self.tracks.entry((kind, key.to_owned())).or_default();
        (track.open, track.late, track.last_us) = (true, late, track.last_us.max(last_us));
    }

    /// Takes in what was stored. Each group must come once. What is older than the time to close is left out: it stays
    /// in the counts and is too old for a campaign.
    pub fn absorb(&mut self, group: &AlertGroup, owner: &ConstituentId, now_us: i64) {
        if group.last_us < now_us.saturating_sub(self.rule.close_us) {
            return;
        }
        self.absorb_key((CampaignKind::Signature, group.signature_id.to_string()), group, owner);
        if group.external_ip.parse::<IpAddr>().is_ok_and(is_public) {
            self.absorb_key((CampaignKind::Address, group.external_ip.clone()), group, owner);
        }
    }

    fn absorb_key(&mut self, key: Key, group: &AlertGroup, owner: &ConstituentId) {
        if self.tracks.len() >= MAX_KEYS && !self.tracks.contains_key(&key) {
            self.refused += 1;
            return;
        }
        let track = self.tracks.entry(key.clone()).or_default();
        track.last_us = track.last_us.max(group.last_us);
        if track.signatures.len() < MAX_LIST {
            track.signatures.entry(group.signature_id).or_insert_with(|| Signature {
                id: u64::from(group.signature_id),
                text: group.signature.clone(),
                severity: group.severity,
                kind: group.kind.clone(),
                advice: group.advice.clone(),
            });
        }
        let part = track.parts.entry(owner.clone()).or_default();
        let minute = part.minutes.entry(group.first_us.div_euclid(60_000_000)).or_default();
        let span = if group.late { &mut minute.late } else { &mut minute.on_time };
        let (first, last) = span.unwrap_or((group.first_us, group.last_us));
        *span = Some((first.min(group.first_us), last.max(group.last_us)));
        part.alerts += group.alerts;
        count(&mut part.hosts, &group.host, group.alerts);
        count(&mut part.external, &group.external_ip, group.alerts);
        if !group.key.is_empty() {
            part.key.clone_from(&group.key);
        }
        part.events.extend(group.events.iter().take(MAX_LIST.saturating_sub(part.events.len())).cloned());
        self.dirty.insert(key);
    }

    /// The campaigns that are new or have changed since the last call. A campaign once found stays one until it is
    /// closed, so that everyone who is hit later joins it.
    pub fn changed(&mut self) -> Vec<Found> {
        let mut keys: Vec<Key> = self.dirty.drain().collect();
        keys.sort();
        keys.into_iter().filter_map(|key| found(self.rule, key.clone(), self.tracks.get_mut(&key)?)).collect()
    }

    /// Says again that these have changed: they could not be written.
    pub fn retry(&mut self, found: &[Found]) {
        self.dirty.extend(found.iter().map(|f| (f.kind, f.key.clone())));
    }

    /// Forgets what is too old to take part in a campaign.
    pub fn expire(&mut self, now_us: i64) {
        let oldest = now_us.saturating_sub(self.rule.close_us);
        self.tracks.retain(|_, t| t.last_us >= oldest);
        let minute = oldest.saturating_sub(self.rule.window_us).div_euclid(60_000_000);
        for t in self.tracks.values_mut() {
            for p in t.parts.values_mut() {
                p.minutes = p.minutes.split_off(&minute);
            }
            t.parts.retain(|_, p| !p.minutes.is_empty());
        }
    }

    /// Signatures and addresses followed.
    pub fn len(&self) -> usize {
        self.tracks.len()
    }
    /// Whether nothing is followed.
    pub fn is_empty(&self) -> bool {
        self.tracks.is_empty()
    }
    /// Groups left out since the start because [`MAX_KEYS`] was reached.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// For everyone who is in an open campaign: its title, the severity of its gravest rule (0 unknown), and the last
    /// alert there.
    pub fn memberships(&self) -> BTreeMap<ConstituentId, Vec<InCampaign>> {
        let mut out: BTreeMap<ConstituentId, Vec<InCampaign>> = BTreeMap::new();
        for ((kind, key), track) in self.tracks.iter().filter(|(_, t)| t.open) {
            for (who, part) in &track.parts {
                let last = part.minutes.values().flat_map(|m| [m.on_time, m.late]).flatten().map(|s| s.1).max();
                let entry = (title(*kind, key, track), gravest(track), last.unwrap_or(track.last_us));
                out.entry(who.clone()).or_default().push(entry);
            }
        }
        out.values_mut().for_each(|v| v.sort());
        out
    }
}

fn found(rule: Rule, (kind, key): Key, track: &mut Track) -> Option<Found> {
    if (!track.open || track.late) && reaches(rule, track, |m| [m.on_time, None]) {
        (track.open, track.late) = (true, false);
    } else if !track.open && reaches(rule, track, |m| [m.on_time, m.late]) {
        (track.open, track.late) = (true, true);
    }
    if !track.open {
        return None;
    }
    let members: Vec<Member> = track
        .parts
        .iter()
        .filter_map(|(who, p)| {
            let spans = || p.minutes.values().flat_map(|m| [m.on_time, m.late]).flatten();
            Some(Member {
                constituent: who.clone(),
                first_us: spans().map(|s| s.0).min()?,
                last_us: spans().map(|s| s.1).max()?,
                late: p.minutes.values().all(|m| m.on_time.is_none()),
                pictured_us: 0, // the caller's clock
                evidence: MemberEvidence {
                    alerts: p.alerts,
                    hosts: top(&p.hosts),
                    key: p.key.clone(),
                    external: top(&p.external),
                    events: p.events.clone(),
                },
            })
        })
        .collect();
    if members.is_empty() {
        return None;
    }
    let mut external = BTreeMap::new();
    for (address, n) in track.parts.values().flat_map(|p| &p.external) {
        *external.entry(address.clone()).or_insert(0) += n;
    }
    let mut signatures: Vec<Signature> = track.signatures.values().cloned().collect();
    signatures.sort_by_key(|s| (rank(s.severity), s.id));
    let what = match kind {
        CampaignKind::Signature => "dieselbe Signatur",
        CampaignKind::Address => "dieselbe fremde Adresse",
    };
    let late = if track.late { " Erreicht wurde das erst mit verspäteten Ereignissen (K4)." } else { "" };
    let evidence = Evidence {
        rule: format!(
            "Regel {}: {what} bei mindestens {} Einrichtungen innerhalb von {} Minuten; hier {}.{late}",
            if kind == CampaignKind::Signature { "K1" } else { "K2" },
            rule.k,
            rule.window_us / 60_000_000,
            members.len(),
        ),
        alerts: track.parts.values().map(|p| p.alerts).sum(),
        signatures,
        external: top(&external),
    };
    Some(Found { kind, title: title(kind, &key, track), key, evidence, late: track.late, members })
}

/// Whether some window holds alerts of k constituents. First and last of each minute suffice: a window is never shorter
/// than a minute, so one that holds an alert between them holds one of them.
fn reaches(rule: Rule, track: &Track, spans: impl Fn(&Minute) -> [Option<(i64, i64)>; 2]) -> bool {
    if track.parts.len() < rule.k {
        return false;
    }
    let mut points: Vec<(i64, usize)> = Vec::new();
    for (i, part) in track.parts.values().enumerate() {
        points.extend(part.minutes.values().flat_map(&spans).flatten().flat_map(|(a, b)| [(a, i), (b, i)]));
    }
    points.sort_unstable();
    let mut within = vec![0usize; track.parts.len()];
    let (mut distinct, mut tail) = (0, 0);
    for &(us, i) in &points {
        within[i] += 1;
        distinct += usize::from(within[i] == 1);
        while us - points[tail].0 > rule.window_us {
            let left = points[tail].1;
            within[left] -= 1;
            distinct -= usize::from(within[left] == 0);
            tail += 1;
        }
        if distinct >= rule.k {
            return true;
        }
    }
    false
}

fn title(kind: CampaignKind, key: &str, track: &Track) -> String {
    let n = track.parts.len();
    match kind {
        CampaignKind::Signature => {
            let text = track.signatures.values().next().map_or("", |s| s.text.as_str());
            format!("{text} bei {n} Einrichtungen")
        }
        CampaignKind::Address => format!("Fremde Adresse {key} bei {n} Einrichtungen"),
    }
}

fn gravest(track: &Track) -> u8 {
    track.signatures.values().map(|s| s.severity).min_by_key(|s| rank(*s)).unwrap_or(0)
}

/// 1 is the gravest; 0 is unknown and comes last.
fn rank(severity: u8) -> u8 {
    if severity == 0 { u8::MAX } else { severity }
}

fn count(map: &mut BTreeMap<String, u64>, what: &str, n: u64) {
    if what.is_empty() || what == "::" {
        return;
    }
    if let Some(c) = map.get_mut(what) {
        *c += n;
    } else if map.len() < MAX_PER_KEY {
        map.insert(what.to_owned(), n);
    }
}

/// The most active first.
fn top(map: &BTreeMap<String, u64>) -> Vec<String> {
    let mut list: Vec<_> = map.iter().collect();
    list.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), *name));
    list.into_iter().take(MAX_LIST).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
#[path = "campaigns_tests.rs"]
mod tests;
