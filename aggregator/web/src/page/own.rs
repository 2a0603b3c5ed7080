// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A constituent's own page: a mayor must know at a glance what to do.
//!
//! First the one thing to do, then the warnings with a button, then why, then the sensors, then what leaves the house.
//! Must never name another constituent.

use lagewarte_base::berlin;
use lagewarte_warn::{
    CertContact,
    text::{HEADINGS, sections},
};
use maud::{Markup, html};

use super::{Reader, badge, call, phone, sensors, shell, sight, standing, time};
use crate::view::{Advice, Own, OwnWarning, Tone, sight_meaning};

/// The page. `csrf` is the session's form token, `feed` the feed's address with a gap for the token.
pub fn page(o: &Own, csrf: &str, feed: &str, cert: &CertContact) -> Markup {
    let (open, done): (Vec<_>, Vec<_>) =
        o.warnings.iter().partition(|w| w.acknowledged.is_none() && w.withdrawn.is_none());
    let body = html! {
        div.titel {
            h1 { (o.name) }
            p.leise { "Stand " (berlin::date_time(o.now)) span.schirm { " · " a href="/ich" { "neu laden" } } }
        }
        @for a in o.advice() { (advice(&a, cert)) }
        @if !open.is_empty() {
            section aria-labelledby="h-offen" {
                h2 #h-offen { "Warnungen für Sie" }
                @for w in open { (open_warning(w, csrf, cert)) }
            }
        }
        section.kasten aria-labelledby="h-stufe" {
            h2 #h-stufe { "Die Lage bei Ihnen" }
            (standing(&o.standing))
            p { "Sicht: " (sight(o.sight)) ", " (sight_meaning(o.sight)) "." }
        }
        @if !done.is_empty() {
            section aria-labelledby="h-alt" {
                h2 #h-alt { "Erledigte Warnungen" }
                @for w in done {
                    details {
                        summary {
                            (w.title) " · "
                            @match (&w.withdrawn, w.acknowledged) {
                                (Some(_), _) => "zurückgezogen",
                                (None, Some(t)) => { "quittiert " (berlin::date_time(t)) }
                                (None, None) => "offen",
                            }
                        }
                        @if let Some(why) = &w.withdrawn { p.fehlt { "Das CERT hat diese Warnung zurückgezogen: " (why) } }
                        (warning_body(w, cert))
                    }
                }
            }
        }
        section aria-labelledby="h-sensoren" {
            h2 #h-sensoren { "Ihre Sensoren" }
            @if o.sensors.is_empty() { p { "Bei Ihnen steht kein Sensor." } } @else { (sensors(&o.sensors, o.now, false)) }
        }
        section aria-labelledby="h-hinaus" {
            h2 #h-hinaus { "Was Ihr Haus verlässt" }
            (leaves(o.profiles.as_deref()))
        }
        section aria-labelledby="h-erreichen" {
            h2 #h-erreichen { "Wen wir bei Ihnen erreichen" }
            @if o.contacts.is_empty() { p.fehlt { "Niemanden: Nennen Sie uns bitte eine Person mit Telefon und Mail." } }
            @else {
                ul { @for (c, mail) in &o.contacts { li { (call(c)) @if !mail.is_empty() { ", " (mail) } } } }
                p.leise { "Stimmt etwas nicht mehr? Rufen Sie uns an." }
            }
        }
        section aria-labelledby="h-feed" {
            h2 #h-feed { "Für Ihre IT" }
            p { "Warnungen als Atom-Feed: " code.umbruch { (feed) } }
            p.leise { "ZUGANG ist derselbe, mit dem Sie sich hier angemeldet haben. Geben Sie ihn nicht weiter." }
        }
    };
    shell(&o.name, Reader::Own, cert, None, &body)
}

fn advice(a: &Advice, cert: &CertContact) -> Markup {
    let class = match a.tone {
        Tone::Act => "rat rat-handeln",
        Tone::Care => "rat rat-achten",
        Tone::Unknown => "rat rat-blind",
        Tone::Calm => "rat rat-ruhig",
    };
    let sign = match a.tone {
        Tone::Act => "!",
        Tone::Care => "→",
        Tone::Unknown => "?",
        Tone::Calm => "✓",
    };
    html! {
        div class=(class) {
            span.zeichen aria-hidden="true" { (sign) }
            div {
                p.rat-titel { (a.title) }
                p { (a.text) @if a.tone == Tone::Act && !cert.phone.is_empty() { " " (phone(&cert.phone)) } }
            }
        }
    }
}

fn open_warning(w: &OwnWarning, csrf: &str, cert: &CertContact) -> Markup {
    html! {
        article.warnung aria-labelledby={ "w" (w.id) } {
            h3 id={ "w" (w.id) } { (w.title) }
            (warning_body(w, cert))
            form method="post" action={ "/ich/warnung/" (w.id) "/quittieren" } {
                input type="hidden" name="csrf" value=(csrf);
                button.haupt type="submit" { "Gelesen: Warnung quittieren" }
                span.leise { " Damit weiß das CERT, dass die Warnung angekommen ist." }
            }
        }
    }
}

/// Level, label, time and text of a warning.
pub fn warning_body(w: &OwnWarning, cert: &CertContact) -> Markup {
    html! {
        p.stand { (badge(Some(w.level))) " " span.tlp { (w.tlp) } span.leise { " " (time(w.released)) } }
        (text(&w.text, cert))
    }
}

/// A warning's text under its headings. What to do first stands first and stands out; the number can be dialled.
pub fn text(text: &str, cert: &CertContact) -> Markup {
    let mut parts = sections(text);
    parts.sort_by_key(|(head, _)| *head != FIRST);
    html! {
        dl.text {
            @for (head, body) in parts {
                div class=[(head == FIRST).then_some("zuerst")] {
                    dt { @if head.is_empty() { "Hinweis" } @else { (head.trim_end_matches(':')) } }
                    @match body.split_once(cert.phone.as_str()).filter(|_| head == CALL && !cert.phone.is_empty()) {
                        Some((before, after)) => dd { (before) (phone(&cert.phone)) (after) },
                        None => dd { (body) },
                    }
                }
            }
        }
    }
}

const FIRST: &str = HEADINGS[2];
const CALL: &str = HEADINGS[3];

fn leaves(profiles: Option<&[String]>) -> Markup {
    html! {
        @match profiles {
            None => p.fehlt { "Der Speicher der Ereignisse antwortet nicht; welches Freigabeprofil gilt, zeigt die Datei am Sensor." },
            Some([]) => p { "Bisher nichts: Noch kein Sensor hat für Sie gemeldet." },
            Some(profiles) => {
                p { "Freigabeprofil in Kraft: " @for p in profiles { code { (p) } " " } }
                @if profiles.iter().all(|p| p.starts_with("alerts-only@")) {
                    p {
                        "Nur Alarme und der Zustand des Sensors verlassen Ihr Haus. Adressen Ihrer Rechner sind Pseudonyme, deren "
                        "Schlüssel nur Sie haben. Inhalte, Web-Anfragen, Mail-Adressen und Dateinamen bleiben bei Ihnen."
                    }
                } @else {
                    p { "Mehr als die Voreinstellung, weil Ihr Haus dieses Profil unterschrieben hat. Was darin steht, zeigt die Datei am Sensor." }
                }
            }
        }
    }
}
