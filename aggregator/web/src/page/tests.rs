// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Pages out of views: hostile names come out as text, blind never comes out as quiet, nothing of others on one's own page.

use std::collections::BTreeSet;

use lagewarte_base::tlp::Tlp;
use lagewarte_picture::coverage::visible;
use lagewarte_store::control::warnings::WarningState;
use uuid::Uuid;

use super::*;
use crate::{
    map::LandMap,
    view::{
        Addressed, CampaignPage, CampaignRow, Concerned, Hour, Kreis, Lagebild, Own, OwnWarning, Place, WarningPage,
        WarningRow,
    },
};

/// Breaks out of text, attributes and CSS, if anything does.
const HOSTILE: &str = "<script>alert(1)</script>\" onmouseover=\"x' --> ]]> {{7*7}} </style>&amp;";

fn t(s: i64) -> Timestamp {
    Timestamp::from_parts(1_795_248_000 + s, 0)
}

fn standing_of(level: Option<Level>) -> Standing {
    Standing { level, reasons: vec![HOSTILE.into()], visible: 1, total: 2, since: Some(t(0)) }
}

fn sensor(sight: Sight) -> SensorRow {
    SensorRow {
        name: HOSTILE.into(),
        serves: vec![HOSTILE.into(), "Andere Gemeinde".into()],
        sight,
        reason: HOSTILE.into(),
        last_seen: Some(t(0)),
        interval_s: 10,
        lag_us: Some(1),
        loss_ppm: Some(1),
        ruleset: HOSTILE.into(),
    }
}

fn warning_row(state: WarningState) -> WarningRow {
    WarningRow {
        id: Uuid::nil(),
        title: HOSTILE.into(),
        tlp: Tlp::Amber,
        level: Level::Orange,
        state,
        drafted: t(0),
        released: Some(t(1)),
        addressed: vec![Addressed {
            name: HOSTILE.into(),
            calls: vec![Call { name: HOSTILE.into(), role: HOSTILE.into(), phone: HOSTILE.into() }],
            text: HOSTILE.into(),
            late: true,
            released: (state != WarningState::Draft).then(|| t(1)),
            first_served: None,
            mailed: None,
            errors: vec![HOSTILE.into()],
            acknowledged: None,
            via: HOSTILE.into(),
        }],
    }
}

fn campaign_row() -> CampaignRow {
    CampaignRow {
        id: Uuid::nil(),
        title: HOSTILE.into(),
        kind: "Signatur",
        key: HOSTILE.into(),
        first: t(0),
        last: t(1),
        pictured: t(1),
        constituents: 1,
        alerts: 1,
        rule: HOSTILE.into(),
        open: true,
        late: false,
    }
}

fn own_warning() -> OwnWarning {
    OwnWarning {
        id: Uuid::nil(),
        title: HOSTILE.into(),
        tlp: Tlp::Amber,
        level: Level::Orange,
        text: format!("Was ist geschehen? {HOSTILE}\n\nZuerst tun: {HOSTILE}\n\nAnrufen: X, 123"),
        released: t(0),
        withdrawn: None,
        acknowledged: None,
    }
}

fn own() -> Own {
    let mut withdrawn = own_warning();
    withdrawn.withdrawn = Some(HOSTILE.into());
    Own {
        name: HOSTILE.into(),
        now: t(9),
        standing: standing_of(Some(Level::Red)),
        sight: Sight::Seeing,
        warnings: vec![own_warning(), withdrawn],
        sensors: vec![sensor(Sight::Partial)],
        profiles: Some(vec![HOSTILE.into()]),
        contacts: vec![(Call { name: HOSTILE.into(), role: HOSTILE.into(), phone: HOSTILE.into() }, HOSTILE.into())],
    }
}

fn cert() -> CertContact {
    CertContact { name: HOSTILE.into(), phone: "123".into(), mail: HOSTILE.into() }
}

/// One area for each combination of level and sight, side by side.
fn land() -> (LandMap, Vec<Place>) {
    let mut places = Vec::new();
    for level in [None].into_iter().chain(Level::ALL.map(Some)) {
        for &s in Sight::ALL {
            places.push(Place {
                ags: format!("97101{:03}", places.len() + 1).parse().expect("an AGS"),
                name: HOSTILE.into(),
                kreis: HOSTILE.into(),
                standing: standing_of(level),
                sight: s,
            });
        }
    }
    let features: Vec<_> = (0..places.len())
        .map(|i| {
            let ring = serde_json::json!([[i, 0], [i + 1, 0], [i + 1, 1], [i, 1], [i, 0]]);
            serde_json::json!({"properties": {"ags": places[i].ags, "name": HOSTILE, "kreis_name": HOSTILE},
                "geometry": {"type": "Polygon", "coordinates": [ring]}})
        })
        .collect();
    let file = serde_json::json!({ "name": HOSTILE, "features": features }).to_string();
    (LandMap::from_geojson(file.as_bytes()).expect("a map"), places)
}

fn lagebild(places: Vec<Place>) -> Lagebild {
    Lagebild {
        land: HOSTILE.into(),
        now: t(9),
        standing: standing_of(Some(Level::Orange)),
        kreise: vec![Kreis { key: "97101".into(), name: HOSTILE.into(), standing: standing_of(Some(Level::Grey)) }],
        places,
        timeline: Some(vec![
            Hour { begin: t(0), alerts: 0, seen_permille: 0 },
            Hour { begin: t(3600), alerts: 7, seen_permille: 1000 },
            Hour { begin: t(7200), alerts: u64::MAX, seen_permille: 995 },
        ]),
        campaigns: vec![campaign_row()],
        sensors: Sight::ALL.iter().map(|s| sensor(*s)).collect(),
        warnings: [WarningState::Draft, WarningState::Released, WarningState::Withdrawn].map(warning_row).to_vec(),
    }
}

#[test]
fn hostile_names_come_out_as_text_on_every_page() {
    let (map, places) = land();
    let warning = |state| WarningPage {
        row: warning_row(state),
        summary: HOSTILE.into(),
        reasons: vec![HOSTILE.into()],
        campaign: Uuid::nil(),
        released_by: HOSTILE.into(),
        withdrawn_why: Some(HOSTILE.into()),
        pictured: t(0),
        late: true,
    };
    let concerned = Concerned {
        name: HOSTILE.into(),
        first: t(0),
        last: t(0),
        alerts: 1,
        hosts: vec![HOSTILE.into()],
        pseudonyms: true,
        external: vec![HOSTILE.into()],
        late: true,
    };
    let campaign = CampaignPage {
        row: campaign_row(),
        signatures: vec![(1, HOSTILE.into())],
        external: vec![HOSTILE.into()],
        concerned: vec![concerned],
        warning: Some(warning_row(WarningState::Released)),
    };
    let cert = cert();
    for (name, page) in [
        ("Lagebild", lage::page(&lagebild(places), Some(&map), &cert, true)),
        ("campaign", campaign::page(&campaign, &cert)),
        ("draft", warning::page(&warning(WarningState::Draft), HOSTILE, &cert)),
        ("released", warning::page(&warning(WarningState::Released), HOSTILE, &cert)),
        ("own", own::page(&own(), HOSTILE, HOSTILE, &cert)),
        ("link", answer::acknowledge(HOSTILE, &own_warning(), HOSTILE, &cert)),
        ("login", answer::login(true, &cert)),
        ("refusal", answer::refusal(HOSTILE, HOSTILE, &cert)),
    ] {
        let html = page.into_string();
        assert!(html.contains("&lt;script&gt;alert(1)"), "{name}: the name is shown");
        assert!(
            !html.contains("<script") && !html.contains("\" onmouseover=\"") && !html.contains("</style>"),
            "{name}"
        );
        assert!(html.starts_with("<!DOCTYPE html><html lang=\"de\">"), "{name}");
        assert_eq!(html.matches("<h1").count(), 1, "{name}: one page, one head");
    }
}

#[test]
fn what_nobody_sees_is_never_drawn_like_what_is_quiet() {
    let (map, places) = land();
    let drawn = svg::level_map(&map, &places).into_string();
    // Each area's group: its fills by AGS.
    let fills = |ags: &str| {
        let href = format!("href=\"#a{ags}\" fill=\"");
        drawn.match_indices(&href).map(|(i, _)| drawn[i + href.len()..].split('"').next().unwrap()).collect::<Vec<_>>()
    };
    let mut quiet = BTreeSet::new();
    let mut unseen = BTreeSet::new();
    for p in &places {
        let fills = fills(p.ags.as_str());
        assert!(!fills.is_empty(), "{p:?}");
        match (p.standing.level, visible(p.sight)) {
            (Some(Level::Grey), true) => quiet.insert(fills),
            (_, false) => unseen.insert(fills),
            _ => false,
        };
    }
    assert_eq!(quiet.len(), 1);
    assert!(quiet.is_disjoint(&unseen));
    // A level that was found before the sight was lost stays to be seen, under a veil.
    let red_blind =
        places.iter().find(|p| p.standing.level == Some(Level::Red) && p.sight == Sight::Blind).expect("made");
    assert_eq!(fills(red_blind.ags.as_str()), ["#a30f1b", "url(#p-schleier)"]);
    // The tables too: grau stands only where somebody looks.
    let page = lage::page(&lagebild(places.clone()), None, &cert(), false).into_string();
    let grey_rows = page.split("<tr>").filter(|r| r.contains("data-l=\"AGS\"") && r.contains("1 grau"));
    for row in grey_rows {
        assert!(row.contains("sicht-sehend") || row.contains("sicht-teilweise"), "{row}");
    }
}

#[test]
fn hours_without_reports_are_hatched_from_top_to_bottom() {
    let l = lagebild(vec![]);
    let drawn = svg::timeline(l.timeline.as_deref().expect("made")).into_string();
    let gaps: Vec<_> = drawn
        .split("<g>")
        .skip(1)
        .map(|g| {
            g.split("<rect")
                .find(|r| r.contains("p-luecke"))
                .and_then(|r| r.split("height=\"").nth(1)?.split('"').next())
        })
        .collect();
    let room = drawn.split("<g>").nth(1).and_then(|g| g.split("height=\"").nth(1)?.split('"').next());
    assert_eq!(gaps[0], room, "blind: the whole height");
    assert_eq!(gaps[1], None, "seen: none of it");
    assert_eq!(gaps[2], Some("1"), "half a percent: still to be seen");
}

#[test]
fn a_constituents_page_names_nobody_else() {
    let page = own::page(&own(), "c", "f", &cert()).into_string();
    assert!(!page.contains("Andere Gemeinde"), "whom a shared sensor serves besides");
}

#[test]
fn the_page_of_a_store_that_is_down_says_so() {
    let mut l = lagebild(vec![]);
    l.timeline = None;
    assert!(lage::page(&l, None, &cert(), false).into_string().contains("Die Zeitleiste fehlt"));
    let mut o = own();
    o.profiles = None;
    assert!(own::page(&o, "c", "f", &cert()).into_string().contains("antwortet nicht"));
}

#[test]
fn what_to_do_first_stands_out_and_the_number_can_be_dialled() {
    let cert = CertContact { name: "X".into(), phone: "123".into(), mail: String::new() };
    let html = own::text("Was ist geschehen? A\n\nZuerst tun: B\n\nAnrufen: X, 123", &cert).into_string();
    assert!(html.contains("<dl class=\"text\"><div class=\"zuerst\"><dt>Zuerst tun</dt><dd>B</dd></div>"), "{html}");
    assert!(html.contains("<dd>X, <a class=\"tel\" href=\"tel:123\">123</a></dd>"), "{html}");
}

#[test]
fn numbers_as_germans_write_them() {
    for (us, want) in [(0, "0,0 s"), (1_250_000, "1,2 s"), (-350_000, "-0,3 s"), (61_000_000, "61,0 s")] {
        assert_eq!(seconds(us), want);
    }
    for (ppm, want) in
        [(-1, "0 %"), (0, "0 %"), (1, "unter 0,01 %"), (100, "0,01 %"), (12_345, "1,23 %"), (1_000_000, "100,00 %")]
    {
        assert_eq!(loss(ppm), want);
    }
    assert_eq!(seconds(i64::MIN).chars().next(), Some('-'));
}

#[test]
fn a_phone_number_dials_digits_only() {
    assert_eq!(
        phone("+49 30 23125 000").into_string(),
        r#"<a class="tel" href="tel:+493023125000">+49 30 23125 000</a>"#
    );
    assert_eq!(phone("\"><script>1").into_string(), r#"<a class="tel" href="tel:1">&quot;&gt;&lt;script&gt;1</a>"#);
}
