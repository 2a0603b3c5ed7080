// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The pages: pure functions from a view to HTML. German, complete without a script, printable.
//!
//! Must never ask a store, read a clock or write a value unescaped: every value goes through maud's escaping, path
//! data included. Times are German legal time.

pub mod answer;
pub mod campaign;
pub mod lage;
pub mod own;
#[cfg(test)]
mod tests;
pub mod warning;

use lagewarte_base::{berlin, time::Timestamp};
use lagewarte_store::control::{coverage::Sight, levels::Level};
use lagewarte_warn::CertContact;
use maud::{DOCTYPE, Markup, html};

use crate::{
    svg,
    view::{Call, SensorRow, Standing, level_meaning},
};

/// Who reads the page: decides the links of its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// An analyst of the CERT.
    Cert,
    /// A constituent, logged in.
    Own,
    /// Nobody in particular: login, acknowledgement link, errors.
    None,
}

/// A whole page. `refresh` is the seconds after which the browser loads it again, where the reader chose that.
pub fn shell(title: &str, reader: Reader, cert: &CertContact, refresh: Option<u32>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="de" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                meta name="color-scheme" content="light";
                @if let Some(s) = refresh { meta http-equiv="refresh" content=(s); }
                title { (title) " · Lagewarte" }
                link rel="stylesheet" href="/static/lagewarte.css";
                link rel="icon" href="/static/icon.svg" type="image/svg+xml";
            }
            body {
                a.sprung href="#inhalt" { "Zum Inhalt" }
                header.kopf {
                    p.marke { "Lagewarte" span { (cert.name) } }
                    nav aria-label="Seiten" {
                        @match reader {
                            Reader::Cert => { a href="/lage" { "Lagebild" } }
                            Reader::Own => { a href="/ich" { "Meine Seite" } }
                            Reader::None => {}
                        }
                        @if reader != Reader::None {
                            form method="post" action="/abmelden" { button.leise type="submit" { "Abmelden" } }
                        }
                    }
                }
                main id="inhalt" { (body) }
                footer.fuss { (cert_contact(cert)) }
            }
        }
    }
}

/// How to reach the CERT.
pub fn cert_contact(cert: &CertContact) -> Markup {
    html! {
        p.cert {
            strong { (cert.name) }
            @if !cert.phone.is_empty() { " · Telefon " (phone(&cert.phone)) }
            @if !cert.mail.is_empty() { " · " a href={ "mailto:" (cert.mail) } { (cert.mail) } }
        }
    }
}

/// A phone number that a phone can call.
pub fn phone(number: &str) -> Markup {
    let dial: String = number.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
    html! { a.tel href={ "tel:" (dial) } { (number) } }
}

/// Name, role and number.
pub fn call(c: &Call) -> Markup {
    html! { (c.name) @if !c.role.is_empty() { ", " (c.role) } @if !c.phone.is_empty() { ": " (phone(&c.phone)) } }
}

/// The badge of a level: number, name and meaning, so that nobody needs the colour.
pub fn badge(level: Option<Level>) -> Markup {
    match level {
        Some(l) => html! {
            span class={ "stufe stufe-" (l.number()) } {
                strong { "Stufe " (l.number()) } " von 4 · " (l.german())
            }
        },
        None => html! { span.stufe.stufe-0 { "noch keine Stufe" } },
    }
}

/// A small badge, for tables.
pub fn small_badge(level: Option<Level>) -> Markup {
    match level {
        Some(l) => html! { span class={ "stufe klein stufe-" (l.number()) } { (l.number()) " " (l.german()) } },
        None => html! { span.stufe.klein.stufe-0 { "–" } },
    }
}

/// The badge of a sight; blind looks like nothing else.
pub fn sight(s: Sight) -> Markup {
    let (class, sign) = match s {
        Sight::Seeing => ("sicht sicht-sehend", "●"),
        Sight::Partial => ("sicht sicht-teilweise", "◐"),
        Sight::Blind => ("sicht sicht-blind", "?"),
        Sight::NoSensor => ("sicht sicht-ohne", "○"),
    };
    html! { span class=(class) { span aria-hidden="true" { (sign) } " " (s) } }
}

/// A level's box: badge, meaning, since when, why.
pub fn standing(s: &Standing) -> Markup {
    html! {
        p.stand { (badge(s.level)) @if let Some(l) = s.level { " " (level_meaning(l)) } }
        @if let Some(since) = s.since { p.leise { "Unverändert seit " (time(since)) "." } }
        @if !s.reasons.is_empty() {
            p.warum { "Warum diese Stufe:" }
            ul.gruende { @for r in &s.reasons { li { (r) } } }
        }
    }
}

/// A point in time, for people and for machines.
pub fn time(t: Timestamp) -> Markup {
    html! { time datetime=(t.eve()) { (berlin::date_time(t)) } }
}

/// Seconds with one decimal from microseconds, with the German comma.
pub fn seconds(us: i64) -> String {
    let tenths = us / 100_000;
    format!("{}{},{} s", if tenths < 0 { "-" } else { "" }, (tenths / 10).abs(), (tenths % 10).abs())
}

/// Parts per million as a percentage, with the German comma; never rounded down to nothing.
pub fn loss(ppm: i64) -> String {
    match ppm {
        ..=0 => String::from("0 %"),
        1..100 => String::from("unter 0,01 %"),
        _ => format!("{},{:02} %", ppm / 10_000, ppm % 10_000 / 100),
    }
}

/// The table of sensors. `with_names`: whom each speaks for, which one constituent must not learn of another.
pub fn sensors(rows: &[SensorRow], now: Timestamp, with_names: bool) -> Markup {
    html! {
        div.breit {
            table.sensoren {
                thead {
                    tr {
                        th scope="col" { "Sensor" }
                        @if with_names { th scope="col" { "Zuständig für" } }
                        th scope="col" { "Sicht" }
                        th scope="col" { "Letzte Meldung" }
                        th scope="col" { "Verzug" }
                        th scope="col" { "Verlust" }
                        th scope="col" { "Regelsatz" }
                    }
                }
                tbody {
                    @for s in rows {
                        tr {
                            th scope="row" data-l="Sensor" { (s.name) }
                            @if with_names { td data-l="Zuständig für" { (s.serves.join(", ")) } }
                            td data-l="Sicht" {
                                (sight(s.sight))
                                @if !s.reason.is_empty() { br; span.leise { (s.reason) } }
                            }
                            td data-l="Letzte Meldung" {
                                @match s.last_seen {
                                    Some(t) => { time datetime=(t.eve()) title=(berlin::date_time(t)) { (berlin::ago(now, t)) } }
                                    None => { "noch nie" }
                                }
                                span.leise { " (alle " (s.interval_s) " s)" }
                            }
                            td.zahl data-l="Verzug" { @if let Some(us) = s.lag_us { (seconds(us)) } @else { "–" } }
                            td.zahl data-l="Verlust" { @if let Some(ppm) = s.loss_ppm { (loss(ppm)) } @else { "–" } }
                            td data-l="Regelsatz" {
                                @if s.ruleset.is_empty() { "–" } @else { code title=(s.ruleset) { (s.ruleset.chars().take(8).collect::<String>()) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The swatch legend of levels.
pub fn level_legend() -> Markup {
    html! {
        ul.legende {
            @for l in Level::ALL { li { (svg::level_swatch(l)) span { strong { "Stufe " (l.number()) ", " (l.german()) } ": " (level_meaning(l)) } } }
            @for s in [Sight::Blind, Sight::NoSensor] { li { (svg::sight_swatch(s)) span { strong { (s) } ": keine Aussage" } } }
        }
    }
}
