// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The Lagebild: the CERT's one page for the Land.
//!
//! From top to bottom in the order in which it is asked: how bad is it and why, how much do we see of it, what waits
//! for us, where, since when, what is it, who has not answered. Must never show a place that nobody sees as quiet.

use lagewarte_base::berlin;
use lagewarte_picture::coverage::visible;
use lagewarte_store::control::{coverage::Sight, levels::Level, warnings::WarningState};
use lagewarte_warn::CertContact;
use maud::{Markup, html};

use super::{Reader, badge, call, level_legend, sensors, shell, sight, small_badge, standing, time};
use crate::{
    map::LandMap,
    svg,
    view::{CampaignRow, Hour, Lagebild, Place, WarningRow, sight_meaning},
};

/// How often the page loads itself again where the reader asked for it, seconds.
pub const REFRESH_S: u32 = 15;

/// The page. Without a map, the tables say everything.
pub fn page(l: &Lagebild, map: Option<&LandMap>, cert: &CertContact, refresh: bool) -> Markup {
    let body = html! {
        div.titel {
            h1 { "Lagebild " (l.land) }
            p.leise {
                "Stand " (berlin::date_time(l.now))
                span.schirm { " · "
                @if refresh { "lädt alle " (REFRESH_S) " Sekunden neu · " a href="/lage" { "anhalten" } }
                @else { a href="/lage" { "neu laden" } " · " a href="/lage?auto=1" { "laufend neu laden" } }
                }
            }
        }
        div.oben {
            section class={ "kasten lage-" (l.standing.level.map_or(0, Level::number)) } aria-labelledby="h-stufe" {
                h2 #h-stufe { "Stufe des Landes" }
                (standing(&l.standing))
            }
            section.kasten aria-labelledby="h-sicht" {
                h2 #h-sicht { "Was wir sehen" }
                (what_we_see(l))
            }
            section.kasten aria-labelledby="h-offen" {
                h2 #h-offen { "Was auf uns wartet" }
                (waiting(l))
            }
        }
        @if let Some(map) = map { (maps(map, &l.places)) }
        section aria-labelledby="h-zeit" {
            h2 #h-zeit { "Alarme der letzten 24 Stunden" }
            @match &l.timeline {
                Some(hours) => (timeline(hours)),
                None => p.fehlt { "Der Speicher der Ereignisse antwortet nicht: Die Zeitleiste fehlt, die übrigen Angaben gelten." },
            }
        }
        section aria-labelledby="h-kampagnen" {
            h2 #h-kampagnen { "Kampagnen" }
            @if l.campaigns.is_empty() {
                p { "Keine: Nirgends trat dasselbe an mehreren Stellen auf" @if l.count(Sight::Seeing) < l.places.len() { ", soweit wir sehen" } "." }
            } @else { (campaigns(&l.campaigns)) }
        }
        section aria-labelledby="h-warnungen" {
            h2 #h-warnungen { "Warnungen" }
            @if l.warnings.is_empty() { p { "Keine." } } @else { (warnings(&l.warnings)) }
        }
        section aria-labelledby="h-sensoren" {
            h2 #h-sensoren { "Sensoren" }
            (sensors(&l.sensors, l.now, true))
        }
        section aria-labelledby="h-kreise" {
            h2 #h-kreise { "Kreise" }
            (kreise(l))
        }
        section aria-labelledby="h-gemeinden" {
            h2 #h-gemeinden { "Gemeinden" }
            (places(&l.places))
        }
    };
    shell(&format!("Lagebild {}", l.land), Reader::Cert, cert, refresh.then_some(REFRESH_S), &body)
}

fn what_we_see(l: &Lagebild) -> Markup {
    let seen = l.places.iter().filter(|p| visible(p.sight)).count();
    html! {
        p.gross { strong { (seen) } " von " (l.places.len()) " Gemeinden" }
        ul.zahlen {
            @for &s in Sight::ALL { li { (sight(s)) " " strong { (l.count(s)) } } }
        }
        @if seen < l.places.len() {
            p.leise { "Über die übrigen sagt dieses Lagebild nichts: Nicht gesehen heißt nicht ruhig." }
        }
    }
}

fn waiting(l: &Lagebild) -> Markup {
    let drafts = l.warnings.iter().filter(|w| w.state == WarningState::Draft).count();
    let silent: usize = l.warnings.iter().map(|w| w.silent().count()).sum();
    let blind = l.sensors.iter().filter(|s| s.sight == Sight::Blind).count();
    html! {
        ul.offen {
            li class=[(drafts > 0).then_some("ja")] { strong { (drafts) } @if drafts == 1 { " Warnung wartet" } @else { " Warnungen warten" } " auf Freigabe" }
            li class=[(silent > 0).then_some("ja")] { strong { (silent) } @if silent == 1 { " Antwort steht aus" } @else { " Antworten stehen aus" } }
            li class=[(blind > 0).then_some("ja")] { strong { (blind) } @if blind == 1 { " Sensor ist blind" } @else { " Sensoren sind blind" } }
        }
    }
}

fn maps(map: &LandMap, places: &[Place]) -> Markup {
    html! {
        div.karten {
            section aria-labelledby="h-kl" {
                h2 #h-kl { "Karte nach Stufe" }
                (svg::level_map(map, places))
                (level_legend())
            }
            section aria-labelledby="h-ks" {
                h2 #h-ks { "Karte nach Sicht" }
                (svg::coverage_map(map, places))
                ul.legende {
                    @for &s in Sight::ALL { li { (svg::sight_swatch(s)) span { strong { (s) } ": " (sight_meaning(s)) } } }
                }
            }
        }
    }
}

fn timeline(hours: &[Hour]) -> Markup {
    html! {
        (svg::timeline(hours))
        p.leise { "Schraffiert: Zeit, in der Sensoren nicht meldeten. Von oben bis unten schraffiert heißt blind, nicht ruhig." }
        details.doppelt {
            summary { "Dieselben Zahlen als Tabelle" }
            table {
                thead { tr { th scope="col" { "Stunde" } th scope="col" { "Alarme" } th scope="col" { "Sicht" } } }
                tbody {
                    @for h in hours.iter().rev() {
                        tr {
                            th scope="row" { (svg::span(h.begin)) }
                            td.zahl { (h.alerts) }
                            td.zahl { @if h.seen_permille == 0 { "blind" } @else { (svg::percent(h.seen_permille)) } }
                        }
                    }
                }
            }
        }
    }
}

fn campaigns(rows: &[CampaignRow]) -> Markup {
    html! {
        div.breit {
            table {
                thead {
                    tr {
                        th scope="col" { "Kampagne" }
                        th scope="col" { "Stellen" }
                        th scope="col" { "Alarme" }
                        th scope="col" { "Zuerst" }
                        th scope="col" { "Zuletzt" }
                        th scope="col" { "Beleg" }
                    }
                }
                tbody {
                    @for c in rows {
                        tr {
                            th scope="row" data-l="Kampagne" {
                                a href={ "/lage/kampagne/" (c.id) } { (c.title) }
                                br; span.leise { (c.kind) " " (c.key) @if !c.open { " · beendet" } @if c.late { " · nur verspätete Ereignisse" } }
                            }
                            td.zahl data-l="Stellen" { (c.constituents) }
                            td.zahl data-l="Alarme" { (c.alerts) }
                            td data-l="Zuerst" { (time(c.first)) }
                            td data-l="Zuletzt" { (time(c.last)) }
                            td data-l="Beleg" { (c.rule) }
                        }
                    }
                }
            }
        }
    }
}

/// Warnings, each with who has not answered.
pub(super) fn warnings(rows: &[WarningRow]) -> Markup {
    html! {
        div.breit {
            table {
                thead {
                    tr {
                        th scope="col" { "Warnung" }
                        th scope="col" { "Stand" }
                        th scope="col" { "Geantwortet" }
                        th scope="col" { "Noch keine Antwort von" }
                    }
                }
                tbody {
                    @for w in rows {
                        tr {
                            th scope="row" data-l="Warnung" {
                                a href={ "/lage/warnung/" (w.id) } { (w.title) }
                                br; (small_badge(Some(w.level))) " " span.tlp { (w.tlp) }
                            }
                            td data-l="Stand" {
                                @match w.state {
                                    WarningState::Draft => { strong { "wartet auf Freigabe" } br; span.leise { "seit " (time(w.drafted)) } }
                                    WarningState::Released => { "freigegeben" @if let Some(t) = w.released { br; span.leise { (time(t)) } } }
                                    WarningState::Withdrawn => { "zurückgezogen" }
                                }
                            }
                            td.zahl data-l="Geantwortet" { (w.addressed.iter().filter(|a| a.acknowledged.is_some()).count()) " von " (w.addressed.len()) }
                            td data-l="Noch keine Antwort von" { (silent(w)) }
                        }
                    }
                }
            }
        }
    }
}

fn silent(w: &WarningRow) -> Markup {
    let all: Vec<_> = w.silent().collect();
    html! {
        @match w.state {
            WarningState::Released if all.is_empty() => { "alle haben geantwortet" }
            WarningState::Released => {
                ul.stumm {
                    @for a in all {
                        li { strong { (a.name) } @for c in &a.calls { br; span.leise { (call(c)) } } }
                    }
                }
            }
            WarningState::Draft | WarningState::Withdrawn => { "–" }
        }
    }
}

fn kreise(l: &Lagebild) -> Markup {
    html! {
        div.breit {
            table {
                thead { tr { th scope="col" { "Kreis" } th scope="col" { "Stufe" } th scope="col" { "Gesehen" } th scope="col" { "Warum" } } }
                tbody {
                    @for k in &l.kreise {
                        tr {
                            th scope="row" data-l="Kreis" { (k.name) }
                            td data-l="Stufe" { (small_badge(seen_level(k.standing.level, k.standing.visible > 0))) }
                            td.zahl data-l="Gesehen" { @if k.standing.total == 0 { "–" } @else { (k.standing.visible) " von " (k.standing.total) } }
                            td data-l="Warum" { (k.standing.reasons.join(" ")) }
                        }
                    }
                }
            }
        }
    }
}

/// Grau is only shown where somebody looks.
fn seen_level(level: Option<Level>, seen: bool) -> Option<Level> {
    level.filter(|l| seen || *l > Level::Grey)
}

fn places(rows: &[Place]) -> Markup {
    // Those that need attention are open to the eye; the rest is one click away, and on paper in any case.
    let notable = |p: &&Place| {
        p.standing.level.is_some_and(|l| l > Level::Grey) || matches!(p.sight, Sight::Blind | Sight::Partial)
    };
    let table = |rows: &[&Place]| {
        html! {
            div.breit {
                table {
                    thead { tr { th scope="col" { "Gemeinde" } th scope="col" { "Kreis" } th scope="col" { "AGS" } th scope="col" { "Stufe" } th scope="col" { "Sicht" } th scope="col" { "Warum" } } }
                    tbody {
                        @for p in rows {
                            tr {
                                th scope="row" data-l="Gemeinde" { (p.name) }
                                td data-l="Kreis" { (p.kreis) }
                                td data-l="AGS" { code { (p.ags) } }
                                td data-l="Stufe" { (small_badge(seen_level(p.standing.level, visible(p.sight)))) }
                                td data-l="Sicht" { (sight(p.sight)) }
                                td data-l="Warum" { (p.standing.reasons.join(" ")) }
                            }
                        }
                    }
                }
            }
        }
    };
    let (first, rest): (Vec<&Place>, Vec<&Place>) = rows.iter().partition(notable);
    html! {
        @if first.is_empty() { p { "Keine Gemeinde mit Stufe über grau oder gestörter Sicht." } } @else { (table(&first)) }
        @if !rest.is_empty() {
            details { summary { "Die übrigen " (rest.len()) " Gemeinden" } (table(&rest)) }
        }
    }
}

/// For the head of other CERT pages.
pub(super) fn back() -> Markup {
    html! { p { a href="/lage" { "← Zum Lagebild" } } }
}

/// Level badge and label of a warning's page.
pub(super) fn warning_head(w: &WarningRow) -> Markup {
    html! { p.stand { (badge(Some(w.level))) " " span.tlp { (w.tlp) } } }
}
