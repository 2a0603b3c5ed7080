// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The pages in a real browser, over a real register and a real ClickHouse: what a reader finds, on a desk, on a phone,
//! in print; and the way from the mail's link to the acknowledgement.
//!
//! The pictures go to `target/tmp/pages` (or `LAGEWARTE_PICTURES`), to be looked at.

mod common;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use common::{HOUR, Land, browser::Browser, now, store};
use lagewarte_base::{berlin, time::Timestamp};
use lagewarte_web::Limits;

lagewarte_store::engine_in_tests!();

fn picture(name: &str) -> PathBuf {
    let dir = std::env::var_os("LAGEWARTE_PICTURES")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages"), PathBuf::from);
    std::fs::create_dir_all(&dir).expect("a folder for pictures");
    dir.join(name)
}

/// A browser logged in by the form, on a screen.
fn reader(land: &Land, token: &str, width: u32, phone: bool) -> Browser {
    let mut b = Browser::start();
    b.screen(width, 844, phone);
    b.open(&land.url("/"));
    b.type_into("input[name=token]", token);
    b.press("button.haupt");
    b
}

/// Text of the low contrast that WCAG 2.2 does not allow (4.5 to 1), by its words; text over a picture is left out.
const CONTRAST: &str = r"(() => {
  const lum = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b; };
  const parse = c => c.match(/[\d.]+/g).map(Number);
  const bad = [];
  for (const e of document.querySelectorAll('body *')) {
    if (e.closest('svg') || ![...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim())) continue;
    let p = e, bg = [255, 255, 255];
    for (; p; p = p.parentElement) {
      const s = getComputedStyle(p);
      if (s.backgroundImage != 'none') { bg = null; break; }
      const c = parse(s.backgroundColor);
      if (c.length < 4 || c[3] > 0) { bg = c; break; }
    }
    if (!bg) continue;
    const [a, b] = [lum(parse(getComputedStyle(e).color)), lum(bg)].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) bad.push(e.textContent.trim().slice(0, 40));
  }
  return bad;
})()";

/// What holds of every page: one head, heads in order, German, labels, no sideways scrolling, nothing refused by the
/// Content-Security-Policy.
fn sound(b: &mut Browser, page: &str) {
    assert_eq!(b.eval("document.documentElement.lang"), "de", "{page}");
    assert_eq!(b.count("h1"), 1, "{page}");
    let levels = b.eval("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])");
    let levels: Vec<i64> = levels.as_array().expect("a list").iter().filter_map(serde_json::Value::as_i64).collect();
    assert!(levels.windows(2).all(|w| w[1] <= w[0] + 1), "{page}: a level of headings is skipped: {levels:?}");
    let unlabelled =
        "[...document.querySelectorAll('input:not([type=hidden]):not([hidden])')].filter(i => !i.labels.length).length";
    assert_eq!(b.eval(unlabelled), 0, "{page}");
    assert_eq!(b.count("svg[role=img]:not(:has(> title + desc))"), 0, "{page}: a picture without words");
    assert_eq!(b.count("table:not(:has(thead th[scope=col]))"), 0, "{page}: a table without heads");
    let wide = b.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(wide, 0, "{page} scrolls sideways");
    assert_eq!(b.eval(CONTRAST), serde_json::json!([]), "{page}: text of low contrast");
    assert_eq!(b.count("script, [style], [onclick]"), 0, "{page}");
    assert!(b.complaints.is_empty(), "{page}: {:?}", b.complaints);
}

/// Pages of a printed PDF as text, and the first as a picture.
fn printed(b: &mut Browser, name: &str) -> String {
    let pdf = picture(&format!("{name}.pdf"));
    b.print(&pdf);
    let run = |program: &str, args: &[&Path]| {
        let out = Command::new(program).args(args).output();
        let out = out.unwrap_or_else(|e| unreachable!("{program}: {e}; type: apt-get install -y poppler-utils"));
        assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("UTF-8")
    };
    run("pdftoppm", &[Path::new("-png"), Path::new("-r"), Path::new("70"), &pdf, &pdf.with_extension("")]);
    assert!(run("pdfinfo", &[&pdf]).contains("(A4)"));
    run("pdftotext", &[Path::new("-layout"), &pdf, Path::new("-")])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lagebild_says_how_bad_it_is_what_is_seen_and_who_has_not_answered() {
    let store = store(module_path!()).await;
    let land = Land::start_with("http", Limits::default(), &store.telemetry).await;
    let mut b = reader(&land, &land.cert, 1280, false);
    sound(&mut b, "Lagebild");
    assert_eq!(b.text("h1"), "Lagebild Land Auenmark");
    let stage = b.text("section[aria-labelledby=h-stufe]");
    assert!(stage.contains("Stufe 3 von 4 · orange") && stage.contains("vier Stellen in drei Kreisen"), "{stage}");
    let seen = b.text("section[aria-labelledby=h-sicht]");
    // Ten sensors: eight municipalities seen (the hospital's sensor is none of a municipality, one serves two), two blind.
    assert!(seen.contains("8 von 62 Gemeinden") && seen.contains("Nicht gesehen heißt nicht ruhig"), "{seen}");
    let open = b.text("section[aria-labelledby=h-offen]");
    for line in ["1 Warnung wartet auf Freigabe", "3 Antworten stehen aus", "2 Sensoren sind blind"] {
        assert!(open.contains(line), "{open}");
    }
    // Both maps draw every municipality; the blind ones are hatched and signed, on both, never grey.
    assert_eq!(b.count("svg.karte use[href^='#a']"), 62 * 2 + 1, "and one veil");
    assert_eq!(b.count("svg.karte g:has(use[fill='url(#p-blind)'])"), 3, "Dornsiel on both, Erlenwerder by sight");
    assert_eq!(
        b.count("svg.karte g:has(use[fill='url(#p-schleier)'])"),
        1,
        "Erlenwerder was yellow before it went blind"
    );
    assert_eq!(b.eval("[...document.querySelectorAll('svg.karte text')].filter(t => t.textContent == '?').length"), 3);
    let grey = b.eval(
        "[...document.querySelectorAll(\"svg.karte g:has(use[fill='#c3c9cf']) > title\")].map(t => t.textContent)",
    );
    assert_eq!(grey, serde_json::json!(["Auenstadt: Stufe 1 (grau), sehend"]));
    // The timeline: five alerts in the last hour, which was seen whole by one sensor of ten; three in this one.
    let title = |h: u8| format!("g:nth-of-type({h})");
    assert_eq!(b.count("svg.zeit g"), 24);
    let last = b.eval(&format!("document.querySelector('svg.zeit {} > title').textContent", title(23)));
    let begin = Timestamp::from_micros(now().div_euclid(HOUR) * HOUR - HOUR);
    let hour = berlin::hour(begin).expect("a time");
    assert_eq!(
        last,
        format!("{}, {hour:02} bis {:02} Uhr: 5 Alarme, Sicht 10 %", berlin::date(begin), (hour + 1) % 24)
    );
    let this = b.eval(&format!("document.querySelector('svg.zeit {} > title').textContent", title(24)));
    // In the 40 minutes of this hour that sensor said nothing, and counts as seeing by three missed reports only before.
    assert!(this.as_str().is_some_and(|t| t.ends_with("3 Alarme, Sicht 0 %")), "{this}");
    let before = b.eval(&format!("document.querySelector('svg.zeit {} > title').textContent", title(22)));
    assert!(
        before.as_str().is_some_and(|t| t.ends_with("0 Alarme, Sicht 5 %")),
        "half an hour of one in ten: {before}"
    );
    // Who has not answered, with a number to call.
    let warnings = b.text("section[aria-labelledby=h-warnungen]");
    for who in ["Stadt Hohenlind", "Kreiskrankenhaus Rabenfurt", "Stadt Rabenfurt", "+49 30 23125 048"] {
        assert!(warnings.contains(who), "{warnings}");
    }
    assert!(!warnings.contains("Stadt Kranichwerth"), "it has answered");
    b.shot(&picture("lagebild.png"));
    b.screen(1280, 1190, false);
    b.first_screen(&picture("lagebild-oben.png"));
    b.sees("screen", "achromatopsia");
    b.shot(&picture("lagebild-grey.png"));
    b.sees("screen", "none");
    let paper = printed(&mut b, "lagebild");
    // Paper has no clicks: what is folded on the screen is there.
    for word in ["Lagebild Land Auenmark", "Torfwerder", "97156002", "gw-erlenwerder"] {
        assert!(paper.contains(word), "{word} is missing on paper");
    }
    assert!(!paper.contains("Abmelden") && !paper.contains("neu laden"), "what is pressed is not printed");
    b.screen(390, 844, true);
    sound(&mut b, "Lagebild on a phone");
    b.shot(&picture("lagebild-phone.png"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cert_reads_releases_and_sees_the_answer() {
    let land = Land::start().await;
    let mut b = reader(&land, &land.cert, 1280, false);
    assert!(b.text("section[aria-labelledby=h-zeit]").contains("antwortet nicht"), "the telemetry store is down here");
    b.open(&land.url(&format!("/lage/kampagne/{}", land.campaign)));
    sound(&mut b, "campaign");
    b.shot(&picture("kampagne.png"));
    b.open(&land.url(&format!("/lage/warnung/{}", land.draft)));
    sound(&mut b, "draft");
    assert!(b.text("details[open]").contains("Zuerst tun"), "the text is read before it is released");
    b.shot(&picture("warnung.png"));
    b.type_into("input[name=who]", "A. Analystin");
    b.press("form.formular button.haupt");
    let page = b.text("main");
    assert!(page.contains("freigegeben") && page.contains("A. Analystin") && page.contains("keine Antwort"), "{page}");
    sound(&mut b, "released");

    // Auenstadt, which had nothing before, reads it and answers on its own page.
    let mut own = reader(&land, land.feed("auenstadt"), 390, true);
    assert!(own.text(".rat-handeln").contains("Jetzt handeln: eine Warnung für Sie"));
    assert!(own.text("article.warnung").contains("<script>alert(1)</script>"), "a hostile name is text");
    own.press("article.warnung button.haupt");
    assert_eq!(own.count("article.warnung"), 0);
    assert!(own.text("section[aria-labelledby=h-alt]").contains("quittiert"));
    sound(&mut own, "own page after the answer");
    own.shot(&picture("gemeinde-erledigt-phone.png"));

    b.open(&land.url(&format!("/lage/warnung/{}", land.draft)));
    let row = b.text("tbody tr:has(th[data-l=Stelle])");
    assert!(row.starts_with("Stadt Auenstadt") && row.contains("auf der eigenen Seite"), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mayor_knows_what_to_do_at_a_glance_and_answers_by_the_link() {
    let store = store(module_path!()).await;
    let land = Land::start_with("http", Limits::default(), &store.telemetry).await;
    let mut b = reader(&land, land.feed("rabenfurt"), 1280, false);
    sound(&mut b, "own page");
    assert_eq!(b.text("h1"), "Stadt Rabenfurt");
    // The first thing on the page, above the fold of a phone: what to do, and whom to call.
    let advice = b.text(".rat");
    assert!(advice.contains("Jetzt handeln") && advice.contains("+49 30 23125 999"), "{advice}");
    for (part, want) in [
        ("article.warnung", "Was ist geschehen"),
        ("article.warnung", "10.77.4.5"),
        (".zuerst", "Sperren Sie die fremde Adresse"),
        ("article.warnung", "Anrufen"),
        ("section[aria-labelledby=h-hinaus]", "alerts-only@1"),
        ("section[aria-labelledby=h-hinaus]", "Nur Alarme und der Zustand des Sensors"),
        ("section[aria-labelledby=h-sensoren]", "gw-rabenfurt"),
        ("section[aria-labelledby=h-feed]", "/feed/ZUGANG/atom.xml"),
    ] {
        let text = b.text(part);
        assert!(text.contains(want), "{part}: {text}");
    }
    b.shot(&picture("gemeinde.png"));
    b.screen(1000, 900, false);
    b.first_screen(&picture("gemeinde-oben.png"));
    printed(&mut b, "gemeinde");
    b.screen(390, 844, true);
    sound(&mut b, "own page on a phone");
    b.shot(&picture("gemeinde-phone.png"));
    let first = b.eval("document.querySelector('.rat').getBoundingClientRect().bottom");
    assert!(first.as_f64().is_some_and(|y| y < 400.0), "what to do is on the phone's first screen: {first}");
    let first = b.eval("document.querySelector('.zuerst').getBoundingClientRect().bottom + scrollY");
    assert!(first.as_f64().is_some_and(|y| y < 844.0), "and so is the first step: {first}");

    // The link of mail and feed needs no login.
    let mut b = Browser::start();
    b.screen(390, 844, true);
    b.open(&land.url(&land.link(land.ssh, "rabenfurt")));
    sound(&mut b, "link");
    assert_eq!(b.text("h1"), "Warnung für Stadt Rabenfurt");
    b.shot(&picture("link-phone.png"));
    b.press("article.warnung button.haupt");
    assert!(b.text("[role=status]").contains("Quittiert am"));
    assert_eq!(b.count("button"), 0, "there is nothing left to press");
    b.shot(&picture("link-erledigt-phone.png"));
}

#[tokio::test(flavor = "multi_thread")]
async fn blind_is_never_shown_as_quiet() {
    let land = Land::start().await;
    let mut b = reader(&land, land.feed("torfwerder"), 390, true);
    let advice = b.text(".rat");
    assert!(advice.contains("Bei Ihnen steht kein Sensor"), "{advice}");
    assert_eq!(b.count(".rat-ruhig"), 0);
    let mut b = reader(&land, land.feed("erlenwerder"), 1280, false);
    let page = b.text("main");
    assert!(page.contains("Ihr Sensor meldet sich nicht") && page.contains("Strom und Netz"), "{page}");
    assert_eq!(b.count(".rat-ruhig"), 0);
    sound(&mut b, "blind");
    b.shot(&picture("gemeinde-blind.png"));
    // Where somebody looks and nothing is found, it may be said.
    let mut b = reader(&land, land.feed("auenstadt"), 390, true);
    assert!(b.text(".rat-ruhig").contains("Nichts zu tun"));
    b.shot(&picture("gemeinde-ruhig-phone.png"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_refused_on_the_page() {
    let land = Land::start().await;
    let mut b = reader(&land, "falsch", 390, true);
    assert!(b.text("[role=alert]").contains("Dieser Zugang gilt nicht"));
    b.complaints.clear(); // the 401 itself
    sound(&mut b, "login");
    b.shot(&picture("anmelden-phone.png"));
}
