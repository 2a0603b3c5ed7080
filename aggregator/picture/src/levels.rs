// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Levels of municipality, Kreis and Land by a published rule: G1 to G3, R1 to R3, L1 to L3 of `docs/lagebild.md`.
//!
//! Pure: evidence in, level and German reasons out. Every level says how much of the area is visible. Must never call an
//! area quiet that nobody sees: level 1 without sight is said to be no statement.

use std::collections::BTreeMap;

use lagewarte_base::{ags::Ags, id::ConstituentId};
use lagewarte_store::{
    control::{
        coverage::Sight,
        levels::{Area, AreaLevel, Level, Reason},
    },
    telemetry::AlertGroup,
};

use crate::coverage::visible;

/// How long an alert or a campaign counts for a level, µs: 6 hours.
pub const ACTIVE_US: i64 = 6 * 3600 * 1_000_000;
/// How long a sign of a taken-over host counts, µs: 24 hours.
pub const TAKEN_US: i64 = 24 * 3600 * 1_000_000;
/// Alerts of severity 1 and 2 from which a municipality is yellow.
pub const YELLOW_ALERTS: u64 = 1;
/// Orange municipalities that make their Kreis orange; red ones that make it red.
pub const KREIS: (usize, usize) = (2, 2);
/// Orange or red municipalities that make the Land orange; red ones that make it red.
pub const LAND: (usize, usize) = (3, 3);
/// Kinds of rules (`lagewarte_kind`) that say: a host has probably been taken over.
pub const TAKEN_OVER: [&str; 7] =
    ["wannacry", "cobalt_strike", "meterpreter", "irc_bot", "coin_miner", "tftp_external", "webshell_success"];

/// What happened lately at one constituent.
#[derive(Clone, Debug, Default)]
pub struct Activity {
    /// Alerts by minute of the event: of severity 1, of severity 2.
    minutes: BTreeMap<i64, (u64, u64)>,
    /// Latest sign of a taken-over host: when, and the rule.
    taken_over: Option<(i64, String)>,
}

impl Activity {
    /// Takes in what was stored; each group once.
    pub fn absorb(&mut self, g: &AlertGroup) {
        let minute = self.minutes.entry(g.first_us.div_euclid(60_000_000)).or_default();
        match g.severity {
            1 => minute.0 += g.alerts,
            2 => minute.1 += g.alerts,
            _ => {}
        }
        if TAKEN_OVER.contains(&g.kind.as_str()) && self.taken_over.as_ref().is_none_or(|t| t.0 < g.last_us) {
            self.taken_over = Some((g.last_us, g.signature.clone()));
        }
    }

    /// Forgets what counts no longer; whether anything is left.
    pub fn expire(&mut self, now_us: i64) -> bool {
        let oldest = now_us.saturating_sub(ACTIVE_US).div_euclid(60_000_000);
        self.minutes = self.minutes.split_off(&oldest);
        self.taken_over.take_if(|t| t.0 < now_us.saturating_sub(TAKEN_US));
        !self.minutes.is_empty() || self.taken_over.is_some()
    }

    fn alerts(&self, now_us: i64) -> (u64, u64) {
        let oldest = now_us.saturating_sub(ACTIVE_US).div_euclid(60_000_000);
        self.minutes.range(oldest..).fold((0, 0), |a, (_, m)| (a.0 + m.0, a.1 + m.1))
    }
}

/// An open campaign that a constituent is in: title, severity of its gravest rule, its last alert there.
pub type InCampaign = (String, u8, i64);

/// Where one constituent stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who.
    pub constituent: ConstituentId,
    /// Its name.
    pub name: String,
    /// Where.
    pub ags: Ags,
    /// How much of it we see.
    pub sight: Sight,
    /// Its level.
    pub level: Level,
    /// Why.
    pub reasons: Vec<Reason>,
}

/// Rules G1 to G3: the level of one constituent and why.
pub fn of_constituent(activity: Option<&Activity>, campaigns: &[InCampaign], now_us: i64) -> (Level, Vec<Reason>) {
    let mut level = Level::Grey;
    let mut reasons = Vec::new();
    let mut raise = |to: Level, why: Reason| {
        level = level.max(to);
        reasons.push((to, why));
    };
    if let Some((at, rule)) =
        activity.and_then(|a| a.taken_over.as_ref()).filter(|t| t.0 >= now_us.saturating_sub(TAKEN_US))
    {
        let text = format!("Ein Rechner ist wahrscheinlich übernommen: „{rule}“, {} (G3).", ago(now_us - at));
        raise(Level::Red, Reason::new("G3", [("signature", rule.as_str().into()), ("last_us", (*at).into())], text));
    }
    for (title, severity, last) in campaigns.iter().filter(|c| c.2 >= now_us.saturating_sub(ACTIVE_US)) {
        let (to, rule, what) = match severity {
            1 => (Level::Orange, "G2", "Teil einer schweren Kampagne"),
            _ => (Level::Yellow, "G1", "Teil einer Kampagne"),
        };
        let facts = [
            ("campaign", title.as_str().into()),
            ("severity", i64::from(*severity).into()),
            ("last_us", (*last).into()),
        ];
        raise(to, Reason::new(rule, facts, format!("{what}: {title}, zuletzt {} ({rule}).", ago(now_us - last))));
    }
    let (one, two) = activity.map_or((0, 0), |a| a.alerts(now_us));
    if one + two >= YELLOW_ALERTS {
        let h = ACTIVE_US / 3_600_000_000;
        let facts = [
            ("alerts_severity_1", one.into()),
            ("alerts_severity_2", two.into()),
            ("threshold", YELLOW_ALERTS.into()),
            ("hours", h.into()),
        ];
        let text = format!("{one} Alarme der Schwere 1 und {two} der Schwere 2 in {h} Stunden (G1).");
        raise(Level::Yellow, Reason::new("G1", facts, text));
    }
    reasons.sort_by_key(|r| std::cmp::Reverse(r.0));
    let mut reasons: Vec<Reason> = reasons.into_iter().map(|r| r.1).collect();
    if reasons.is_empty() {
        let text = "Keine Alarme der Schwere 1 oder 2, keine Kampagne (G0).";
        reasons.push(Reason::new("G0", [], text.into()));
    }
    (level, reasons)
}

/// Levels of all municipalities, Kreise and the Land (Länder, where the register has several), from where everyone
/// stands. Ordered by area and key.
pub fn of_areas(standings: &[Standing]) -> Vec<AreaLevel> {
    let mut out = Vec::new();
    let by = |part: fn(&Ags) -> &str| {
        let mut map: BTreeMap<String, Vec<&Standing>> = BTreeMap::new();
        for s in standings {
            map.entry(part(&s.ags).to_owned()).or_default().push(s);
        }
        map
    };
    for (key, all) in by(Ags::as_str) {
        let level = all.iter().map(|s| s.level).max().unwrap_or(Level::Grey);
        let worst = all.iter().filter(|s| s.level == level);
        let single = all.len() == 1;
        let mut reasons: Vec<Reason> = worst
            .flat_map(|s| {
                s.reasons.iter().map(move |r| Reason {
                    constituent: Some(s.constituent.clone()),
                    text: if single { r.text.clone() } else { format!("{}: {}", s.name, r.text) },
                    ..r.clone()
                })
            })
            .collect();
        reasons.truncate(MAX_REASONS);
        out.push(area(Area::Municipality, key, level, reasons, &all));
    }
    for (key, all) in by(Ags::kreis) {
        let (level, reasons) = of_many(&municipalities(&all), KREIS, ["R0", "R1", "R2", "R3"], "Gemeinden");
        out.push(area(Area::Kreis, key, level, reasons, &all));
    }
    for (key, all) in by(Ags::land) {
        let (level, reasons) = of_many(&municipalities(&all), LAND, ["L0", "L1", "L2", "L3"], "Gemeinden");
        out.push(area(Area::Land, key, level, reasons, &all));
    }
    out
}

/// Most reasons shown with a level. Threat: a page of one area listing every campaign of a bad day.
const MAX_REASONS: usize = 6;

/// Level of each municipality: that of its highest constituent.
fn municipalities(all: &[&Standing]) -> Vec<Level> {
    let mut by: BTreeMap<Ags, Level> = BTreeMap::new();
    for s in all {
        let l = by.entry(s.ags).or_insert(s.level);
        *l = (*l).max(s.level);
    }
    by.into_values().collect()
}

/// The rule of Kreis and Land over the levels of their municipalities.
///
/// Red: `red` or more municipalities are red. Orange: one is red, or `orange` or more are orange. Yellow: one is above
/// grey. Else grey.
fn of_many(levels: &[Level], (orange, red): (usize, usize), names: [&str; 4], of: &str) -> (Level, Vec<Reason>) {
    let n = |l: Level| levels.iter().filter(|x| **x >= l).count();
    let (yellows, oranges, reds) = (n(Level::Yellow), n(Level::Orange), n(Level::Red));
    let all = levels.len();
    let (level, rule, text) = if reds >= red {
        (Level::Red, names[3], format!("{reds} {of} sind rot; ab {red} ({}).", names[3]))
    } else if reds > 0 {
        (Level::Orange, names[2], format!("{reds} von {all} {of} ist rot ({}).", names[2]))
    } else if oranges >= orange {
        (Level::Orange, names[2], format!("{oranges} {of} sind orange; ab {orange} ({}).", names[2]))
    } else if yellows > 0 {
        (Level::Yellow, names[1], format!("{yellows} von {all} {of} über grau ({}).", names[1]))
    } else {
        (Level::Grey, names[0], format!("Keine der {all} {of} über grau."))
    };
    let facts = [
        ("municipalities", all.into()),
        ("yellow_or_more", yellows.into()),
        ("orange_or_more", oranges.into()),
        ("red", reds.into()),
        ("threshold_orange", orange.into()),
        ("threshold_red", red.into()),
    ];
    (level, vec![Reason::new(rule, facts, text)])
}

fn area(area: Area, key: String, level: Level, mut reasons: Vec<Reason>, all: &[&Standing]) -> AreaLevel {
    let n = |sight: Sight| all.iter().filter(|s| s.sight == sight).count();
    let seen = all.iter().filter(|s| visible(s.sight)).count();
    let (partial, blind, none) = (n(Sight::Partial), n(Sight::Blind), n(Sight::NoSensor));
    let facts = [
        ("visible", seen.into()),
        ("constituents", all.len().into()),
        ("partial", partial.into()),
        ("blind", blind.into()),
        ("no_sensor", none.into()),
    ];
    reasons.push(Reason::new(Reason::SIGHT, facts, sight_sentence(all.len(), seen, partial, blind, none)));
    AreaLevel {
        area,
        key,
        level,
        reasons,
        // Counts of constituents: far below 2^63.
        visible: i64::try_from(seen).unwrap_or(i64::MAX),
        total: i64::try_from(all.len()).unwrap_or(i64::MAX),
        since_us: 0, // the control plane keeps it
    }
}

/// How much of an area is visible; the last reason of every level.
fn sight_sentence(total: usize, seen: usize, partial: usize, blind: usize, none: usize) -> String {
    let mut parts = Vec::new();
    for (n, what) in [(partial, "nur teilweise"), (blind, "blind"), (none, "ohne Sensor")] {
        if n > 0 {
            parts.push(format!("{n} {what}"));
        }
    }
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let warning = match (seen, total) {
        (0, _) => " Das ist keine Aussage über die Lage: niemand sieht dieses Gebiet.",
        (s, t) if s < t => " Was nicht einsehbar ist, gilt nicht als ruhig.",
        _ => "",
    };
    format!("Einsehbar: {seen} von {total} Einrichtungen{parts}.{warning}")
}

fn ago(us: i64) -> String {
    match us / 60_000_000 {
        ..1 => "gerade eben".into(),
        m @ 1..120 => format!("vor {m} min"),
        m => format!("vor {} h", m / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000 * 3600 * 1_000_000;
    const H: i64 = 3600 * 1_000_000;

    fn group(kind: &str, severity: u8, us: i64, alerts: u64) -> AlertGroup {
        AlertGroup {
            signature_id: 1,
            signature: "Regel".into(),
            severity,
            kind: kind.into(),
            advice: String::new(),
            external_ip: String::new(),
            host: String::new(),
            key: String::new(),
            constituent: "a".into(),
            late: false,
            first_us: us,
            last_us: us,
            alerts,
            events: Vec::new(),
        }
    }

    fn activity(groups: &[AlertGroup]) -> Activity {
        let mut a = Activity::default();
        groups.iter().for_each(|g| a.absorb(g));
        a
    }

    #[test]
    fn a_constituent_stands_by_the_published_rule() {
        let quiet: [AlertGroup; 0] = [];
        for (groups, campaigns, want, word) in [
            (quiet.to_vec(), vec![], Level::Grey, "G0"),
            (vec![group("port_scan", 3, NOW, 500)], vec![], Level::Grey, "G0"),
            (vec![group("", 2, NOW - H, 1)], vec![], Level::Yellow, "0 Alarme der Schwere 1 und 1 der Schwere 2"),
            (vec![group("", 1, NOW - 7 * H, 1)], vec![], Level::Grey, "G0"),
            (vec![], vec![("K".to_owned(), 2, NOW - H)], Level::Yellow, "Kampagne: K"),
            (vec![], vec![("K".to_owned(), 1, NOW - H)], Level::Orange, "G2"),
            (vec![], vec![("K".to_owned(), 1, NOW - 7 * H)], Level::Grey, "G0"),
            (vec![group("cobalt_strike", 1, NOW - 23 * H, 1)], vec![], Level::Red, "übernommen"),
            (vec![group("cobalt_strike", 1, NOW - 25 * H, 1)], vec![], Level::Grey, "G0"),
        ] {
            let (level, reasons) = of_constituent(Some(&activity(&groups)), &campaigns, NOW);
            assert_eq!(level, want, "{groups:?} {campaigns:?}");
            assert!(reasons[0].text.contains(word), "{reasons:?} lacks {word}");
        }
        assert_eq!(of_constituent(None, &[], NOW).0, Level::Grey);
    }

    fn standing(name: &str, ags: &str, sight: Sight, level: Level) -> Standing {
        Standing {
            constituent: name.parse().unwrap(),
            name: name.into(),
            ags: ags.parse().unwrap(),
            sight,
            level,
            reasons: vec![Reason::new("G1", [], format!("weil {name}"))],
        }
    }

    fn level_of(areas: &[AreaLevel], key: &str) -> (Level, i64, i64, String) {
        let a = areas.iter().find(|a| a.key == key).unwrap();
        (a.level, a.visible, a.total, a.reasons.iter().map(Reason::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn kreis_and_land_follow_their_municipalities() {
        use Level::{Grey, Orange, Red, Yellow};
        for (levels, kreis, land) in [
            (vec![Grey, Grey, Grey], Grey, Grey),
            (vec![Yellow, Grey, Grey], Yellow, Yellow),
            (vec![Orange, Grey, Grey], Yellow, Yellow),
            (vec![Orange, Orange, Grey], Orange, Yellow),
            (vec![Orange, Orange, Orange], Orange, Orange),
            (vec![Red, Grey, Grey], Orange, Orange),
            (vec![Red, Red, Grey], Red, Orange),
            (vec![Red, Red, Red], Red, Red),
        ] {
            let all: Vec<_> = levels
                .iter()
                .enumerate()
                .map(|(i, l)| standing(&format!("g{i}"), &format!("0916200{i}"), Sight::Seeing, *l))
                .collect();
            let areas = of_areas(&all);
            assert_eq!(level_of(&areas, "09162").0, kreis, "{levels:?}");
            assert_eq!(level_of(&areas, "09").0, land, "{levels:?}");
        }
    }

    #[test]
    fn reasons_are_data_a_program_can_read() {
        let alerts = activity(&[group("", 1, NOW - H, 2), group("", 2, NOW - H, 3)]);
        let campaign = ("SSH".to_owned(), 1, NOW - 60_000_000);
        let (level, reasons) = of_constituent(Some(&alerts), &[campaign], NOW);
        let json = serde_json::to_value(&reasons).unwrap();
        assert_eq!(level, Level::Orange);
        assert_eq!(json[0]["rule"], "G2");
        let last = NOW - 60_000_000;
        assert_eq!(json[0]["facts"], serde_json::json!({"campaign": "SSH", "severity": 1, "last_us": last}));
        assert_eq!(json[1]["rule"], "G1");
        assert_eq!(json[1]["facts"]["alerts_severity_1"], 2);
        assert_eq!(json[1]["facts"]["alerts_severity_2"], 3);

        let all = [
            standing("rot", "09162000", Sight::Seeing, Level::Red),
            standing("grau", "09163001", Sight::Blind, Level::Grey),
        ];
        let areas = of_areas(&all);
        let of = |key: &str| areas.iter().find(|a| a.key == key).unwrap();
        assert_eq!(of("09162000").reasons[0].constituent.as_ref().unwrap().as_str(), "rot");
        let land = serde_json::to_value(&of("09").reasons).unwrap();
        assert_eq!((&land[0]["rule"], &land[0]["facts"]["red"]), (&"L2".into(), &1.into()));
        assert_eq!((&land[1]["rule"], &land[1]["facts"]["blind"]), (&"sight".into(), &1.into()));
    }

    #[test]
    fn every_level_says_how_much_is_visible_and_blind_is_not_quiet() {
        let all = [
            standing("stadt", "09162000", Sight::Seeing, Level::Grey),
            standing("klinik", "09162000", Sight::Partial, Level::Yellow),
            standing("blind", "09163001", Sight::Blind, Level::Grey),
            standing("ohne", "09163002", Sight::NoSensor, Level::Grey),
        ];
        let areas = of_areas(&all);
        let (level, visible, total, why) = level_of(&areas, "09162000");
        assert_eq!((level, visible, total), (Level::Yellow, 2, 2));
        assert!(
            why.contains("klinik: weil klinik") && why.contains("2 von 2") && !why.contains("nicht als ruhig"),
            "{why}"
        );
        for key in ["09163001", "09163002", "09163"] {
            let (level, visible, _, why) = level_of(&areas, key);
            assert_eq!((level, visible), (Level::Grey, 0));
            assert!(why.contains("keine Aussage"), "{key}: {why}");
        }
        let (_, visible, total, why) = level_of(&areas, "09");
        assert_eq!((visible, total), (2, 4));
        assert!(why.contains("1 blind, 1 ohne Sensor") && why.contains("gilt nicht als ruhig"), "{why}");
    }

    #[test]
    fn the_published_page_says_the_same_numbers() {
        let page = include_str!("../../../docs/lagebild.md").replace('\n', " ");
        let config = crate::PictureConfig::default().campaign;
        let h = |us: i64| us / 3_600_000_000;
        for text in [
            format!("mehr als {} % der Pakete", crate::coverage::LOSS_PPM / 10_000),
            format!("mehr als {} s Rückstand", crate::coverage::LAG_US / 1_000_000),
            format!("{} Meldungen in Folge", crate::coverage::MISSED),
            format!("bei mindestens {} Einrichtungen innerhalb von {} Minuten", config.k, config.window.as_secs() / 60),
            format!("endet {} Stunden nach dem letzten Alarm", config.close_after.as_secs() / 3600),
            format!("bei Eingang älter als {} Minuten", lagewarte_store::telemetry::LATE_US / 60_000_000),
            format!("mindestens {YELLOW_ALERTS} Alarm der Schwere 1 oder 2 in den letzten {} Stunden", h(ACTIVE_US)),
            format!("in den letzten {} Stunden ein Alarm, nach dem", h(TAKEN_US)),
            format!("R2 | 3 orange | mindestens {} Gemeinden", KREIS.0),
            format!("R3 | 4 rot | mindestens {} Gemeinden sind rot", KREIS.1),
            format!("L2 | 3 orange | mindestens {} Gemeinden", LAND.0),
            format!("L3 | 4 rot | mindestens {} Gemeinden sind rot", LAND.1),
        ] {
            assert!(page.contains(&text), "docs/lagebild.md lacks: {text}");
        }
        for kind in TAKEN_OVER {
            assert!(page.contains(&format!("`{kind}`")), "docs/lagebild.md lacks {kind}");
        }
    }

    #[test]
    fn activity_forgets() {
        let mut a = activity(&[group("", 1, NOW, 1)]);
        assert!(a.expire(NOW + ACTIVE_US));
        assert!(!a.expire(NOW + ACTIVE_US + 60_000_000));
    }
}
