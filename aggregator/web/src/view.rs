// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the pages show, as plain values: filled by [`crate::gather`] from the stores, drawn by [`crate::page`].
//!
//! Must never hold more than its reader may see: a constituent's view is gathered with that constituent's scope. Names
//! and texts are as stored, hostile until a template has escaped them.

use lagewarte_base::{ags::Ags, time::Timestamp, tlp::Tlp};
use lagewarte_picture::coverage::visible;
use lagewarte_store::control::{coverage::Sight, levels::Level, warnings::WarningState};
use serde::Serialize;
use uuid::Uuid;

/// What a level asks of its reader.
pub const fn level_meaning(level: Level) -> &'static str {
    match level {
        Level::Grey => "nichts Auffälliges gesehen",
        Level::Yellow => "auffällig, beobachten",
        Level::Orange => "Angriffe, handeln",
        Level::Red => "schwerer Vorfall, sofort handeln",
    }
}

/// One sentence on a sight, for whoever reads the legend.
pub const fn sight_meaning(sight: Sight) -> &'static str {
    match sight {
        Sight::Seeing => "alle Sensoren melden",
        Sight::Partial => "ein Sensor fehlt, hinkt nach oder verliert Pakete",
        Sight::Blind => "kein Sensor meldet: niemand weiß, ob es ruhig ist",
        Sight::NoSensor => "hier steht kein Sensor",
    }
}

/// A level with what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// The level; None where none was ever computed.
    pub level: Option<Level>,
    /// Why, in German sentences.
    pub reasons: Vec<String>,
    /// Places that can be seen, of `total`.
    pub visible: u64,
    /// Places there are.
    pub total: u64,
    /// Since when it stands.
    pub since: Option<Timestamp>,
}

/// A municipality on the map and in the table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// Its key.
    pub ags: Ags,
    /// Its name.
    pub name: String,
    /// Its Kreis's name.
    pub kreis: String,
    /// Its level and why.
    pub standing: Standing,
    /// Whether it can be seen.
    pub sight: Sight,
}

/// A Kreis or kreisfreie Stadt.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kreis {
    /// First five digits of its municipalities' AGS.
    pub key: String,
    /// Its name.
    pub name: String,
    /// Its level and why.
    pub standing: Standing,
}

/// One hour of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Hour {
    /// Its beginning.
    pub begin: Timestamp,
    /// Alerts with an event time in it.
    pub alerts: u64,
    /// How much of the time all registered sensors together reported, in thousandths, rounded down: 1000 is no gap.
    pub seen_permille: u32,
}

/// A campaign in the Lagebild's table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CampaignRow {
    /// Its id.
    pub id: Uuid,
    /// What it is, in words.
    pub title: String,
    /// German: `Signatur` or `Adresse`.
    pub kind: &'static str,
    /// The signature id or the address.
    pub key: String,
    /// Time of its first event.
    pub first: Timestamp,
    /// Time of its last event.
    pub last: Timestamp,
    /// When the picture first had it.
    pub pictured: Timestamp,
    /// At how many constituents.
    pub constituents: usize,
    /// Alerts counted.
    pub alerts: u64,
    /// The published rule that it follows from, with its numbers.
    pub rule: String,
    /// Whether it goes on.
    pub open: bool,
    /// Built from late events only: shown, never warned about at once.
    pub late: bool,
}

/// One constituent within a campaign.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Concerned {
    /// Its name.
    pub name: String,
    /// First event there.
    pub first: Timestamp,
    /// Last event there.
    pub last: Timestamp,
    /// Alerts counted.
    pub alerts: u64,
    /// Inner addresses as reported.
    pub hosts: Vec<String>,
    /// Whether `hosts` are pseudonyms.
    pub pseudonyms: bool,
    /// External addresses.
    pub external: Vec<String>,
    /// Known through late events only.
    pub late: bool,
}

/// The page of one campaign.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CampaignPage {
    /// As in the table.
    pub row: CampaignRow,
    /// Signatures that took part: id and text.
    pub signatures: Vec<(u64, String)>,
    /// External addresses that took part.
    pub external: Vec<String>,
    /// Everyone concerned.
    pub concerned: Vec<Concerned>,
    /// Its warning, if there is one.
    pub warning: Option<WarningRow>,
}

/// A sensor, for the CERT or for its own constituent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SensorRow {
    /// Its name.
    pub name: String,
    /// Names of those it speaks for.
    pub serves: Vec<String>,
    /// Whether it sees.
    pub sight: Sight,
    /// Why it is not simply seeing; empty where it is.
    pub reason: String,
    /// Last health report.
    pub last_seen: Option<Timestamp>,
    /// Seconds between its reports.
    pub interval_s: u32,
    /// Microseconds from the event to its arrival, in its last report.
    pub lag_us: Option<i64>,
    /// Packets lost per million, in its last report.
    pub loss_ppm: Option<i64>,
    /// Hash of its rule set, hex; empty before its first report.
    pub ruleset: String,
}

/// A warning in the CERT's tables.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WarningRow {
    /// Its id.
    pub id: Uuid,
    /// Its title.
    pub title: String,
    /// Who may read it.
    pub tlp: Tlp,
    /// How grave.
    pub level: Level,
    /// Where it stands.
    pub state: WarningState,
    /// When it was drafted.
    pub drafted: Timestamp,
    /// When it was released.
    pub released: Option<Timestamp>,
    /// Everyone addressed.
    pub addressed: Vec<Addressed>,
}

impl WarningRow {
    /// Who has not answered, though the warning is out.
    pub fn silent(&self) -> impl Iterator<Item = &Addressed> {
        self.addressed
            .iter()
            .filter(|a| self.state == WarningState::Released && a.released.is_some() && a.acknowledged.is_none())
    }
}

/// One addressed constituent of a warning, for the CERT.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Addressed {
    /// Its name.
    pub name: String,
    /// Whom to call there.
    pub calls: Vec<Call>,
    /// The text that it gets.
    pub text: String,
    /// Known through late events only.
    pub late: bool,
    /// When the warning was released to it.
    pub released: Option<Timestamp>,
    /// First fetched from its feed.
    pub first_served: Option<Timestamp>,
    /// First accepted by its mail server.
    pub mailed: Option<Timestamp>,
    /// What went wrong on the way.
    pub errors: Vec<String>,
    /// When it answered.
    pub acknowledged: Option<Timestamp>,
    /// How it answered, in German.
    pub via: String,
}

/// Somebody to call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Name.
    pub name: String,
    /// Role.
    pub role: String,
    /// Phone number as written.
    pub phone: String,
}

/// The CERT's page of one warning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WarningPage {
    /// As in the table, with everyone addressed.
    pub row: WarningRow,
    /// For analysts.
    pub summary: String,
    /// Why the level.
    pub reasons: Vec<String>,
    /// Its campaign.
    pub campaign: Uuid,
    /// Who or what released it.
    pub released_by: String,
    /// Why it was withdrawn, where it was.
    pub withdrawn_why: Option<String>,
    /// When the picture first had its campaign.
    pub pictured: Timestamp,
    /// From late events only.
    pub late: bool,
}

/// The whole Lagebild.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lagebild {
    /// The Land's name.
    pub land: String,
    /// When this was put together.
    pub now: Timestamp,
    /// The Land's level.
    pub standing: Standing,
    /// Kreise, by key.
    pub kreise: Vec<Kreis>,
    /// Municipalities, in the map's order.
    pub places: Vec<Place>,
    /// The last 24 hours, oldest first; None where the telemetry store does not answer.
    pub timeline: Option<Vec<Hour>>,
    /// Campaigns, newest first.
    pub campaigns: Vec<CampaignRow>,
    /// Sensors, those that need somebody first.
    pub sensors: Vec<SensorRow>,
    /// Warnings, drafts first, then newest first.
    pub warnings: Vec<WarningRow>,
}

impl Lagebild {
    /// How many municipalities are seen so.
    pub fn count(&self, sight: Sight) -> usize {
        self.places.iter().filter(|p| p.sight == sight).count()
    }
}

/// A warning as its constituent sees it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OwnWarning {
    /// Its id.
    pub id: Uuid,
    /// Its title.
    pub title: String,
    /// Who may read it.
    pub tlp: Tlp,
    /// How grave.
    pub level: Level,
    /// What happened, which host, what to do first, whom to call.
    pub text: String,
    /// When it was released.
    pub released: Timestamp,
    /// Taken back since, and why.
    pub withdrawn: Option<String>,
    /// When it was answered.
    pub acknowledged: Option<Timestamp>,
}

/// Everything that a constituent's own page shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Own {
    /// Its name.
    pub name: String,
    /// When this was put together.
    pub now: Timestamp,
    /// The level of its municipality.
    pub standing: Standing,
    /// Whether we can see it.
    pub sight: Sight,
    /// Its warnings, unanswered first, then newest first.
    pub warnings: Vec<OwnWarning>,
    /// Its sensors.
    pub sensors: Vec<SensorRow>,
    /// Release profiles in force, as its sensors reported them (`name@version`); None where the store does not answer.
    pub profiles: Option<Vec<String>>,
    /// Whom the CERT would call and mail.
    pub contacts: Vec<(Call, String)>,
}

/// What the reader of a constituent's page should do now: the one thing that must be understood at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// How it is coloured.
    pub tone: Tone,
    /// What to do, in few words.
    pub title: String,
    /// Why and how, one or two sentences.
    pub text: String,
}

/// Colour of an advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Act.
    Act,
    /// Look after it.
    Care,
    /// We do not know.
    Unknown,
    /// Nothing to do.
    Calm,
}

impl Own {
    /// Warnings that wait for an answer.
    pub fn open(&self) -> impl Iterator<Item = &OwnWarning> {
        self.warnings.iter().filter(|w| w.acknowledged.is_none() && w.withdrawn.is_none())
    }

    /// What to do, the most pressing first; never empty.
    pub fn advice(&self) -> Vec<Advice> {
        let mut out = Vec::new();
        let say = |tone, title: &str, text: &str| Advice { tone, title: title.into(), text: text.into() };
        match self.open().count() {
            0 => {}
            1 => out.push(say(
                Tone::Act,
                "Jetzt handeln: eine Warnung für Sie",
                "Lesen Sie die Warnung, tun Sie den ersten Schritt und quittieren Sie. Unklar? Rufen Sie uns an.",
            )),
            n => out.push(say(
                Tone::Act,
                &format!("Jetzt handeln: {n} Warnungen für Sie"),
                "Lesen Sie jede Warnung, tun Sie den ersten Schritt und quittieren Sie. Unklar? Rufen Sie uns an.",
            )),
        }
        match self.sight {
            Sight::Seeing => {}
            Sight::Partial => out.push(say(
                Tone::Care,
                "Ein Sensor braucht Hilfe",
                "Wir sehen Ihr Netz nur teilweise. Der Grund steht unten bei „Ihre Sensoren“.",
            )),
            Sight::Blind => out.push(say(
                Tone::Unknown,
                "Ihr Sensor meldet sich nicht",
                "Wir wissen nicht, ob es bei Ihnen ruhig ist. Prüfen Sie bitte, ob der Sensor Strom und Netz hat.",
            )),
            Sight::NoSensor => out.push(say(
                Tone::Unknown,
                "Bei Ihnen steht kein Sensor",
                "Wir sehen Ihr Netz nicht und können Angriffe bei Ihnen nicht erkennen.",
            )),
        }
        if self.open().next().is_none() {
            match self.standing.level {
                Some(Level::Orange | Level::Red) if self.warnings.iter().any(|w| w.withdrawn.is_none()) => out.insert(
                    0,
                    say(
                        Tone::Care,
                        "Angriffe in Ihrer Gemeinde: dranbleiben",
                        "Keine Warnung wartet auf Ihre Antwort. Führen Sie die begonnenen Schritte zu Ende.",
                    ),
                ),
                Some(Level::Orange | Level::Red) => out.insert(
                    0,
                    say(
                        Tone::Care,
                        "Angriffe in Ihrer Gemeinde: Wir prüfen sie",
                        "Sorgen Sie dafür, dass Ihre IT-Verantwortlichen erreichbar sind. Eine Warnung sagt Ihnen, was zu tun ist.",
                    ),
                ),
                Some(Level::Yellow) => out.insert(
                    0,
                    say(Tone::Care, "Auffällig: Wir beobachten mit", "Eine Warnung sagt Ihnen, wenn Sie etwas tun müssen."),
                ),
                Some(Level::Grey) if self.sight == Sight::Seeing => {
                    out.push(say(
                        Tone::Calm,
                        "Nichts zu tun",
                        "Ihre Sensoren melden sich, und wir sehen nichts Auffälliges.",
                    ));
                }
                None if visible(self.sight) => out.push(say(
                    Tone::Unknown,
                    "Noch keine Aussage",
                    "Der Sensor meldet sich, die Lage wird gerade zum ersten Mal berechnet.",
                )),
                Some(Level::Grey) | None => {}
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(open: usize, level: Option<Level>, sight: Sight) -> Own {
        let warning = OwnWarning {
            id: Uuid::nil(),
            title: String::new(),
            tlp: Tlp::Amber,
            level: Level::Orange,
            text: String::new(),
            released: Timestamp::default(),
            withdrawn: None,
            acknowledged: None,
        };
        Own {
            name: "G".into(),
            now: Timestamp::default(),
            standing: Standing { level, reasons: vec![], visible: 1, total: 1, since: None },
            sight,
            warnings: vec![warning; open],
            sensors: vec![],
            profiles: Some(vec![]),
            contacts: vec![],
        }
    }

    #[test]
    fn the_advice_names_the_most_pressing_first_and_never_calls_blind_quiet() {
        use Level as L;
        use Sight as C;
        for (open, level, sight, want) in [
            (1, Some(L::Orange), C::Seeing, &[Tone::Act][..]),
            (2, Some(L::Grey), C::Blind, &[Tone::Act, Tone::Unknown]),
            (0, Some(L::Red), C::Seeing, &[Tone::Care]),
            (0, Some(L::Orange), C::Blind, &[Tone::Care, Tone::Unknown]),
            (0, Some(L::Yellow), C::Partial, &[Tone::Care, Tone::Care]),
            (0, Some(L::Grey), C::Seeing, &[Tone::Calm]),
            (0, None, C::Seeing, &[Tone::Unknown]),
            (0, Some(L::Grey), C::Blind, &[Tone::Unknown]),
            (0, Some(L::Grey), C::NoSensor, &[Tone::Unknown]),
            (0, None, C::NoSensor, &[Tone::Unknown]),
        ] {
            let tones: Vec<_> = own(open, level, sight).advice().into_iter().map(|a| a.tone).collect();
            assert_eq!(tones, want, "{open} open, {level:?}, {sight:?}");
        }
        // Steps can only be finished where a warning asked for them.
        let mut o = own(0, Some(L::Red), C::Seeing);
        assert!(o.advice()[0].title.ends_with("Wir prüfen sie"));
        o.warnings = own(1, None, C::Seeing).warnings;
        o.warnings[0].acknowledged = Some(Timestamp::default());
        assert!(o.advice()[0].title.ends_with("dranbleiben"));
        // Over everything there is: somebody is always told something, and calm needs eyes.
        for open in 0..3 {
            for level in [None].into_iter().chain(L::ALL.map(Some)) {
                for &sight in C::ALL {
                    let advice = own(open, level, sight).advice();
                    assert!(!advice.is_empty());
                    let calm = advice.iter().any(|a| a.tone == Tone::Calm);
                    assert!(!calm || (sight == C::Seeing && open == 0 && level == Some(L::Grey)));
                    assert_eq!(advice[0].tone == Tone::Act, open > 0);
                }
            }
        }
    }

    #[test]
    fn acknowledged_and_withdrawn_warnings_are_not_open() {
        let mut o = own(3, None, Sight::Seeing);
        o.warnings[0].acknowledged = Some(Timestamp::default());
        o.warnings[1].withdrawn = Some("Fehlalarm".into());
        assert_eq!(o.open().count(), 1);
    }
}
