// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Drawings: the map by level, the map by coverage, the timeline, the swatches of their legends.
//!
//! Every meaning is carried twice: by colour and by pattern or sign, so that the page works for colour-blind readers
//! and on a grey print. What nobody sees is never filled like what is quiet. Colours and patterns are SVG attributes,
//! not CSS, so that they are printed and need no exception in the Content-Security-Policy. Must never hold a script.

use lagewarte_base::{berlin, time::Timestamp};
use lagewarte_picture::coverage::visible;
use lagewarte_store::control::{coverage::Sight, levels::Level};
use maud::{Markup, html};

use crate::{
    map::{LandMap, WIDTH},
    view::{Hour, Place},
};

/// Maps with more areas than this carry no names: they would cover one another.
const MAX_NAMED: usize = 150;

/// Fill of a level. Lightness falls with the level; the signs on the areas say the number.
const fn level_fill(level: Level) -> &'static str {
    match level {
        Level::Grey => "#c3c9cf",
        Level::Yellow => "url(#p-gelb)",
        Level::Orange => "url(#p-orange)",
        Level::Red => "#a30f1b",
    }
}

const fn sight_fill(sight: Sight) -> &'static str {
    match sight {
        Sight::Seeing => "#2b6f93",
        Sight::Partial => "url(#p-teilweise)",
        Sight::Blind => "url(#p-blind)",
        Sight::NoSensor => "url(#p-ohne)",
    }
}

/// How an area of the level map is filled: by its level where somebody looks, by what is missing where nobody does.
/// A level above grau stays visible even then: it was found in what was seen before.
fn place_fill(place: &Place) -> (&'static str, Option<&'static str>) {
    match (place.standing.level, visible(place.sight)) {
        (Some(level), true) => (level_fill(level), None),
        (Some(level), false) if level > Level::Grey => (level_fill(level), Some("url(#p-schleier)")),
        (_, false) => (sight_fill(place.sight), None),
        (None, true) => ("#ffffff", None),
    }
}

/// The patterns, once a page, before the first drawing. `unit` is how many drawing units make one pixel.
fn patterns() -> Markup {
    let stripes = |id: &str, width: u32, turn: &str, ground: &str, line: &str, thick: u32| {
        html! {
            pattern id=(id) width=(width) height=(width) patternUnits="userSpaceOnUse" patternTransform=(turn) {
                rect width=(width) height=(width) fill=(ground) {}
                rect width=(width) height=(thick) fill=(line) {}
            }
        }
    };
    html! {
        pattern id="p-gelb" width="130" height="130" patternUnits="userSpaceOnUse" {
            rect width="130" height="130" fill="#f7d548" {}
            circle cx="65" cy="65" r="17" fill="#7a5c00" {}
        }
        (stripes("p-orange", 120, "rotate(0)", "#f08a24", "#a64b00", 28))
        (stripes("p-teilweise", 150, "rotate(0)", "#ffffff", "#2b6f93", 75))
        (stripes("p-blind", 160, "rotate(45)", "#ffffff", "#1b1f24", 62))
        (stripes("p-schleier", 160, "rotate(45)", "none", "#1b1f24", 40))
        pattern id="p-ohne" width="170" height="170" patternUnits="userSpaceOnUse" {
            rect width="170" height="170" fill="#ffffff" {}
            circle cx="50" cy="50" r="17" fill="#8b959e" {}
        }
    }
}

fn frame(map: &LandMap, id: &str, title: &str, description: &str, inner: Markup) -> Markup {
    html! {
        svg.karte xmlns="http://www.w3.org/2000/svg" viewBox={ "-60 -60 " (WIDTH + 120) " " (map.height + 120) }
            role="img" aria-labelledby={ (id) "-t " (id) "-d" } {
            title id={ (id) "-t" } { (title) }
            desc id={ (id) "-d" } { (description) }
            (inner)
            path d=(map.kreis_borders) fill="none" stroke="#1b1f24" stroke-width="26" stroke-linejoin="round" {}
            path d=(map.land_border) fill="none" stroke="#1b1f24" stroke-width="48" stroke-linejoin="round" {}
        }
    }
}

/// Sign and name over an area, readable on any fill.
fn sign(map: &LandMap, at: (i32, i32), sign: &str, name: &str) -> Markup {
    html! {
        text x=(at.0) y=(at.1 + 40) font-size="330" font-weight="700" text-anchor="middle" fill="#1b1f24" stroke="#ffffff"
            stroke-width="90" stroke-linejoin="round" paint-order="stroke" { (sign) }
        @if map.areas.len() <= MAX_NAMED {
            text x=(at.0) y=(at.1 + 270) font-size="215" text-anchor="middle" fill="#1b1f24" stroke="#ffffff"
                stroke-width="70" stroke-linejoin="round" paint-order="stroke" { (name) }
        }
    }
}

/// The map by level. `places` are in the map's order. Carries the outlines and patterns that the other map uses.
pub(crate) fn level_map(map: &LandMap, places: &[Place]) -> Markup {
    let both = || map.areas.iter().zip(places);
    let high: Vec<&str> =
        places.iter().filter(|p| p.standing.level.is_some_and(|l| l > Level::Grey)).map(|p| p.name.as_str()).collect();
    let unseen = places.iter().filter(|p| !visible(p.sight)).count();
    let description = format!(
        "{} von {} Gemeinden sind nicht zu sehen. Stufe über grau: {}. Dieselben Angaben stehen in der Tabelle der Gemeinden.",
        unseen,
        places.len(),
        if high.is_empty() { "keine".to_owned() } else { high.join(", ") },
    );
    let inner = html! {
        defs {
            (patterns())
            @for a in &map.areas { path id={ "a" (a.ags) } d=(a.path) {} }
        }
        @for (a, p) in both() {
            @let (fill, veil) = place_fill(p);
            g stroke="#5c6670" stroke-width="10" stroke-linejoin="round" {
                title { (p.name) ": " (level_words(p.standing.level)) ", " (p.sight) }
                use href={ "#a" (a.ags) } fill=(fill) {}
                @if let Some(veil) = veil { use href={ "#a" (a.ags) } fill=(veil) {} }
            }
        }
        @for (a, p) in both() {
            @if let Some(level) = p.standing.level.filter(|l| *l > Level::Grey) {
                (sign(map, a.label, &level.number().to_string(), &p.name))
            } @else if p.sight == Sight::Blind {
                (sign(map, a.label, "?", &p.name))
            }
        }
    };
    frame(map, "kl", "Karte nach Stufe", &description, inner)
}

/// The map by coverage; needs [`level_map`] on the same page.
pub(crate) fn coverage_map(map: &LandMap, places: &[Place]) -> Markup {
    let count = |s: Sight| places.iter().filter(|p| p.sight == s).count();
    let description = Sight::ALL.iter().map(|&s| format!("{s}: {}", count(s))).collect::<Vec<_>>().join(", ")
        + " Gemeinden. Dieselben Angaben stehen in der Tabelle der Gemeinden.";
    let inner = html! {
        @for (a, p) in map.areas.iter().zip(places) {
            g stroke="#5c6670" stroke-width="10" stroke-linejoin="round" {
                title { (p.name) ": " (p.sight) }
                use href={ "#a" (a.ags) } fill=(sight_fill(p.sight)) {}
            }
        }
        @for (a, p) in map.areas.iter().zip(places) {
            @if p.sight == Sight::Blind { (sign(map, a.label, "?", &p.name)) }
        }
    };
    frame(map, "ks", "Karte nach Sicht", &description, inner)
}

/// A swatch of the legend. Legends stand on pages with a map, whose patterns they use.
fn swatch(fill: &str, sign: &str) -> Markup {
    html! {
        svg.muster xmlns="http://www.w3.org/2000/svg" viewBox="0 0 560 380" aria-hidden="true" {
            rect x="10" y="10" width="540" height="360" fill=(fill) stroke="#1b1f24" stroke-width="20" {}
            @if !sign.is_empty() {
                text x="280" y="300" font-size="320" font-weight="700" text-anchor="middle" fill="#1b1f24" stroke="#ffffff"
                    stroke-width="90" stroke-linejoin="round" paint-order="stroke" { (sign) }
            }
        }
    }
}

/// Swatch of a level.
pub(crate) fn level_swatch(level: Level) -> Markup {
    let sign = match level {
        Level::Grey => "",
        Level::Yellow => "2",
        Level::Orange => "3",
        Level::Red => "4",
    };
    swatch(level_fill(level), sign)
}

/// Swatch of a sight.
pub(crate) fn sight_swatch(sight: Sight) -> Markup {
    swatch(sight_fill(sight), if sight == Sight::Blind { "?" } else { "" })
}

/// `Stufe 3 (orange)`, or that there is none.
pub(crate) fn level_words(level: Option<Level>) -> String {
    level.map_or_else(|| String::from("noch keine Stufe"), |l| format!("Stufe {l}"))
}

const TIMELINE: (u32, u32) = (960, 190);
const AXIS: u32 = 150;
const TOP: u32 = 22;

/// The timeline: bars of alerts by hour; the hatching behind them grows from above with what was not seen.
pub(crate) fn timeline(hours: &[Hour]) -> Markup {
    let most = hours.iter().map(|h| h.alerts).max().unwrap_or(0).max(1);
    let n = u32::try_from(hours.len()).unwrap_or(u32::MAX).max(1);
    let step = TIMELINE.0 / n;
    let room = u64::from(AXIS - TOP);
    let blind = hours.iter().filter(|h| h.seen_permille == 0).count();
    html! {
        svg.zeit xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (TIMELINE.0) " " (TIMELINE.1) } role="img"
            aria-labelledby="zt zd" {
            title id="zt" { "Alarme je Stunde" }
            desc id="zd" { "Höchste Stunde: " (most_words(hours)) ". Stunden ganz ohne Sicht: " (blind) ". Dieselben Angaben stehen in der Tabelle darunter." }
            defs {
                pattern id="p-luecke" width="9" height="9" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                    rect width="9" height="9" fill="#ffffff" {}
                    rect width="9" height="3" fill="#5c6670" {}
                }
            }
            @for (i, h) in (0_u32..).zip(hours) {
                @let x = i * step;
                // Rounded up, so that one silent sensor of hundreds is still to be seen.
                @let gap = (u64::from(1000_u32.saturating_sub(h.seen_permille)) * room).div_ceil(1000);
                @let bar = (u128::from(h.alerts) * u128::from(room)).div_ceil(u128::from(most));
                g {
                    title { (span(h.begin)) ": " (h.alerts) " Alarme, Sicht " (percent(h.seen_permille)) }
                    rect x=(x) y=(TOP) width=(step) height=(room) fill="#f4f6f8" {}
                    @if gap > 0 { rect x=(x) y=(TOP) width=(step) height=(gap) fill="url(#p-luecke)" {} }
                    @if bar > 0 {
                        rect x=(x + 4) y=(u128::from(AXIS) - bar) width=(step.saturating_sub(8)) height=(bar) fill="#1d3557" stroke="#ffffff" {}
                        text x=(x + step / 2) y=(u128::from(AXIS) - bar - 4) font-size="13" text-anchor="middle" fill="#1b1f24"
                            stroke="#ffffff" stroke-width="4" paint-order="stroke" { (h.alerts) }
                    }
                    @if i % 3 == 0 {
                        @if let Some(hour) = berlin::hour(h.begin) {
                            text x=(x + 2) y=(AXIS + 20) font-size="14" fill="#1b1f24" { (hour) " Uhr" }
                        }
                    }
                }
            }
            line x1="0" y1=(AXIS) x2=(TIMELINE.0) y2=(AXIS) stroke="#1b1f24" stroke-width="2" {}
        }
    }
}

fn most_words(hours: &[Hour]) -> String {
    hours
        .iter()
        .max_by_key(|h| h.alerts)
        .filter(|h| h.alerts > 0)
        .map_or_else(|| String::from("kein Alarm"), |h| format!("{} mit {} Alarmen", span(h.begin), h.alerts))
}

/// `21.11.2026, 06 bis 07 Uhr`.
pub(crate) fn span(begin: Timestamp) -> String {
    berlin::hour(begin).map_or_else(
        || String::from("unbekannt"),
        |h| format!("{}, {h:02} bis {:02} Uhr", berlin::date(begin), (h + 1) % 24),
    )
}

/// Thousandths as a percentage, rounded down, so that 100 % means all.
pub(crate) fn percent(permille: u32) -> String {
    if (1..10).contains(&permille) { String::from("unter 1 %") } else { format!("{} %", permille / 10) }
}
