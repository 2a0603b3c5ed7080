// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A constituent's text: what happened, which host, what to do first, whom to call; [`MAX_WORDS`] words at most.
//!
//! The word limit holds for every template (test) and for every text made (code): lists of hosts shrink first, then
//! names of foreign rules are cut. Must never name another constituent, nor carry text from the network other than
//! addresses and the names of rules.

use std::net::IpAddr;

use lagewarte_base::{berlin, id::ConstituentId, time::Timestamp};
use lagewarte_store::control::{
    campaigns::{Campaign, Member, Signature},
    levels::Level,
};

use crate::{
    config::CertContact,
    templates::{ADVICES, CHECK, KINDS, Kind, OTHER},
};

/// Most words of a warning: title and text together.
pub const MAX_WORDS: usize = 120;
/// Most hosts named in a text; the page shows all that the evidence has.
pub const MAX_HOSTS: usize = 3;
/// Longest piece of a foreign rule's name, in characters and in words. Threat: a rule whose msg fills the warning.
const MAX_RULE_NAME: (usize, usize) = (80, 8);

/// Headings of a text's paragraphs, in order: readers and tests find the parts by them.
pub const HEADINGS: [&str; 4] = ["Was ist geschehen?", "Welcher Rechner?", "Zuerst tun:", "Anrufen:"];

/// A warning's words, before they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// Kind of the text; empty for the fallback.
    pub kind: &'static str,
    /// Title, one line.
    pub title: String,
    /// What all addressed may read; names none of them.
    pub summary: String,
    /// Level.
    pub level: Level,
    /// Why this level.
    pub reasons: Vec<String>,
}

/// How many words a text has: pieces between blanks.
pub fn words(text: &str) -> usize {
    text.split_whitespace().count()
}

/// Whether there is a text of this kind.
pub fn knows_kind(name: &str) -> bool {
    KINDS.iter().any(|k| k.name == name)
}

/// Kinds that have a text.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|k| k.name)
}

/// The paragraphs of a text: heading and body. A text without headings is one body.
pub fn sections(text: &str) -> Vec<(&str, &str)> {
    text.split("\n\n")
        .map(|p| match HEADINGS.iter().find(|h| p.starts_with(**h)) {
            Some(h) => p.split_at(h.len()),
            None => ("", p),
        })
        .map(|(h, body)| (h, body.trim()))
        .collect()
}

/// The signature a campaign's words go by: of highest severity (1 before 2, unknown last), then the first named.
fn leading(campaign: &Campaign) -> Option<&Signature> {
    let rank = |s: &Signature| if s.severity == 0 { u8::MAX } else { s.severity };
    campaign.evidence.signatures.iter().min_by_key(|s| (rank(s), !knows_kind(&s.kind)))
}

fn kind_of(campaign: &Campaign) -> &'static Kind {
    leading(campaign).and_then(|s| KINDS.iter().find(|k| k.name == s.kind)).unwrap_or(&OTHER)
}

/// Title, summary and level of a campaign's warning.
///
/// The level's rule, published in docs/warnungen.md: severity 1 makes orange (3), anything else gelb (2); where a host is
/// probably taken over, one more.
pub fn of_campaign(campaign: &Campaign) -> Words {
    let kind = kind_of(campaign);
    let severe = leading(campaign).is_some_and(|s| s.severity == 1);
    let mut reasons = vec![match severe {
        true => "Die Regel hat die höchste Schwere (1): mindestens Stufe 3 (orange).".to_owned(),
        false => "Die Regel hat nicht die höchste Schwere: mindestens Stufe 2 (gelb).".to_owned(),
    }];
    if kind.taken_over {
        reasons.push("Ein Rechner ist wahrscheinlich übernommen: eine Stufe höher.".to_owned());
    }
    let level = match (severe, kind.taken_over) {
        (true, true) => Level::Red,
        (true, false) | (false, true) => Level::Orange,
        (false, false) => Level::Yellow,
    };
    let summary = format!("{} {}", happened(campaign), elsewhere(campaign.members.len()));
    Words { kind: kind.name, title: kind.title.to_owned(), summary: summary.trim().to_owned(), level, reasons }
}

fn happened(campaign: &Campaign) -> String {
    let name = leading(campaign).map_or(campaign.title.as_str(), |s| s.text.as_str());
    let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_RULE_NAME.0).collect();
    let name: Vec<_> = name.split_whitespace().take(MAX_RULE_NAME.1).collect();
    kind_of(campaign).happened.replace("{}", &name.join(" "))
}

fn elsewhere(members: usize) -> String {
    match members {
        0 | 1 => String::new(),
        n => format!("Dasselbe wurde bei {n} Einrichtungen im Land gesehen."),
    }
}

/// One constituent's text. None where the campaign's evidence does not have it: nobody else is warned.
pub fn for_constituent(campaign: &Campaign, who: &ConstituentId, contact: &CertContact) -> Option<String> {
    let member = campaign.members.iter().find(|m| m.constituent == *who)?;
    // Longest first; each step says less. The last always fits: held by a test over every template.
    let variants = [(MAX_HOSTS, true), (1, true), (1, false)];
    let fits = |t: &String| words(t) + words(kind_of(campaign).title) <= MAX_WORDS;
    let texts = variants.map(|(hosts, elsewhere)| compose(campaign, member, contact, hosts, elsewhere));
    let shortest = texts[variants.len() - 1].clone();
    Some(texts.into_iter().find(fits).unwrap_or(shortest))
}

fn compose(campaign: &Campaign, member: &Member, contact: &CertContact, hosts: usize, others: bool) -> String {
    let advice = leading(campaign).map_or("", |s| s.advice.as_str());
    let first = ADVICES.iter().find(|a| a.name == advice).unwrap_or(&CHECK).first;
    let when = berlin::date_time(Timestamp::from_micros(member.first_us));
    let from = match addresses(&member.evidence.external).as_slice() {
        [] => String::new(),
        [one] => format!(" Fremde Adresse: {one}."),
        [one, more @ ..] => format!(" Fremde Adressen: {one} und {} weitere.", more.len()),
    };
    let others = if others { elsewhere(campaign.members.len()) } else { String::new() };
    let body = [
        format!("{} Zuerst am {when}.{from} {others}", happened(campaign)),
        host_sentence(member, hosts),
        first.to_owned(),
        format!("{}, {}", contact.name.trim(), contact.phone.trim()),
    ];
    let paragraphs: Vec<_> = HEADINGS.iter().zip(&body).map(|(h, b)| format!("{h} {}", b.trim())).collect();
    paragraphs.join("\n\n")
}

/// Only what is an address: the rest of what a sensor may have sent has no place in a warning.
fn addresses(list: &[String]) -> Vec<IpAddr> {
    list.iter().filter_map(|a| a.parse().ok()).collect()
}

fn host_sentence(member: &Member, most: usize) -> String {
    let all = addresses(&member.evidence.hosts);
    let Some(example) = all.first() else {
        return "Die Alarme nennen keinen einzelnen Rechner. Fragen Sie uns.".into();
    };
    let named: Vec<_> = all.iter().take(most).map(IpAddr::to_string).collect();
    let more = match all.len() - named.len() {
        0 => String::new(),
        n => format!(" und {n} weitere"),
    };
    let list = named.join(", ");
    if member.evidence.key.is_empty() {
        return format!("{list}{more}.");
    }
    format!(
        "Pseudonym {list}{more}. Den wirklichen Rechner zeigt auf Ihrem Sensor der Befehl: \
         lagewarte-sensor resolve {example}"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lagewarte_base::id::Uuid;
    use lagewarte_store::control::campaigns::{CampaignKind, Evidence, MemberEvidence};
    use proptest::prelude::*;

    use super::*;

    fn contact() -> CertContact {
        CertContact {
            name: "wort ".repeat(CertContact::MAX_WORDS - 2),
            phone: "+49 301234".into(),
            mail: "cert@example.de".into(),
        }
    }

    fn campaign(kind: &str, advice: &str, hosts: usize, text: &str) -> Campaign {
        let hosts = (1..=hosts).map(|i| format!("2001:db8::{i:x}")).collect();
        let member = |c: &str, hosts: Vec<String>| Member {
            constituent: c.parse().unwrap(),
            first_us: 1_795_240_000_000_000,
            last_us: 1_795_240_000_000_000,
            late: false,
            pictured_us: 0,
            evidence: MemberEvidence {
                alerts: 7,
                hosts,
                key: "k1".into(),
                external: vec!["203.0.113.7".into(); 12],
                events: vec![],
            },
        };
        Campaign {
            id: Uuid::nil(),
            kind: CampaignKind::Signature,
            key: "1".into(),
            title: "t".into(),
            evidence: Evidence {
                signatures: vec![Signature {
                    id: 1,
                    text: text.into(),
                    severity: 1,
                    kind: kind.into(),
                    advice: advice.into(),
                }],
                ..Evidence::default()
            },
            first_us: 0,
            last_us: 0,
            pictured_us: 0,
            late: false,
            closed_us: None,
            members: vec![member("seestadt", hosts), member("bergdorf", vec!["10.66.66.66".into()])],
        }
    }

    fn text(c: &Campaign) -> String {
        for_constituent(c, &"seestadt".parse().unwrap(), &contact()).unwrap()
    }

    #[test]
    fn every_template_with_every_advice_stays_within_the_words_and_says_the_four_things() {
        let kinds: Vec<&str> = kinds().chain([""]).collect();
        let advices: Vec<&str> = ADVICES.iter().map(|a| a.name).chain([""]).collect();
        for kind in &kinds {
            for advice in &advices {
                for hosts in [0, 1, MAX_HOSTS, 50] {
                    // The longest name of a rule by words: one letter each.
                    let c = campaign(kind, advice, hosts, &"x ".repeat(200));
                    let t = text(&c);
                    let total = words(&t) + words(&of_campaign(&c).title);
                    assert!(total <= MAX_WORDS, "{kind} {advice} {hosts}: {total} words\n{t}");
                    let parts = sections(&t);
                    assert_eq!(parts.iter().map(|p| p.0).collect::<Vec<_>>(), HEADINGS, "{t}");
                    assert!(parts.iter().all(|p| !p.1.is_empty()), "{t}");
                    assert!(!t.contains("{}") && !t.contains("bergdorf") && !t.contains("10.66.66.66"), "{t}");
                    assert_eq!(t.contains("lagewarte-sensor resolve 2001:db8::1"), hosts > 0, "{t}");
                    assert!(t.ends_with("+49 301234"), "{t}");
                }
            }
        }
    }

    #[test]
    fn every_kind_and_advice_of_the_own_rules_has_its_text() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../rules/sets");
        let (mut seen, mut missing) = (0, BTreeSet::new());
        for f in std::fs::read_dir(dir).unwrap() {
            let path = f.unwrap().path();
            if path.extension().is_none_or(|e| e != "rules") {
                continue;
            }
            let rules = std::fs::read_to_string(path).unwrap();
            let mut value = |key: &str, known: &dyn Fn(&str) -> bool| {
                for (_, rest) in rules.match_indices(key).map(|(i, k)| rules[i..].split_at(k.len())) {
                    let word = rest.trim_start().split([',', ';', ' ']).next().unwrap();
                    seen += 1;
                    if !known(word) {
                        missing.insert(format!("{key} {word}"));
                    }
                }
            };
            value("lagewarte_kind ", &knows_kind);
            value("lagewarte_advice ", &|a| ADVICES.iter().any(|x| x.name == a));
        }
        assert_eq!(missing, BTreeSet::new());
        assert!(seen > 20, "only {seen} found: are the rules' metadata written otherwise now?");
    }

    #[test]
    fn a_clear_address_needs_no_resolving_and_an_unknown_rule_is_named() {
        let mut c = campaign("", "", 1, "ET WEB_SERVER something");
        c.members[0].evidence.key.clear();
        let t = text(&c);
        assert!(t.contains("Welcher Rechner? 2001:db8::1.") && !t.contains("resolve"), "{t}");
        assert!(t.contains("„ET WEB_SERVER something“"), "{t}");
        assert_eq!(for_constituent(&c, &"talheim".parse().unwrap(), &contact()), None, "not in the evidence");
    }

    #[test]
    fn levels_follow_the_published_rule() {
        for (kind, severity, level) in [
            ("ssh_bruteforce", 1, Level::Orange),
            ("ssh_bruteforce", 2, Level::Yellow),
            ("ssh_bruteforce", 0, Level::Yellow),
            ("wannacry", 1, Level::Red),
            ("wannacry", 3, Level::Orange),
            ("unknown", 1, Level::Orange),
        ] {
            let mut c = campaign(kind, "", 1, "x");
            c.evidence.signatures[0].severity = severity;
            let w = of_campaign(&c);
            assert_eq!(w.level, level, "{kind} {severity}");
            assert_eq!(w.reasons.len(), if kind == "wannacry" { 2 } else { 1 });
        }
        // The severest of several leads.
        let mut c = campaign("port_scan", "scan", 1, "scan");
        c.evidence.signatures[0].severity = 3;
        c.evidence.signatures.push(Signature {
            severity: 1,
            kind: "log4shell".into(),
            ..c.evidence.signatures[0].clone()
        });
        assert_eq!(of_campaign(&c).kind, "log4shell");
    }

    proptest! {
        #[test]
        fn no_foreign_text_breaks_the_form(name in "(?s).{0,300}", kind in ".{0,20}", host in "(?s).{0,40}") {
            let mut c = campaign(&kind, "", 1, &name);
            c.members[0].evidence.hosts = vec![host];
            let t = text(&c);
            prop_assert!(words(&t) + words(&of_campaign(&c).title) <= MAX_WORDS);
            prop_assert_eq!(sections(&t).len(), HEADINGS.len());
        }
    }
}
