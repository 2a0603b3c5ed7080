// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The CERT's page of one warning: read what will be sent, choose the label, release or withdraw; see who answered.
//!
//! A draft is shown with the very texts that go out. Releasing and withdrawing are POST forms with a token that only
//! this session's pages carry.

use lagewarte_base::tlp::{Channel, Tlp};
use lagewarte_store::control::warnings::WarningState;
use lagewarte_warn::CertContact;
use maud::{Markup, html};

use super::{Reader, call, lage, shell, time};
use crate::view::{Addressed, WarningPage};

/// Longest name and reason that the forms take, in characters; the server cuts nothing, it refuses.
pub const MAX_FIELD: usize = 200;

/// The page. `csrf` is the session's form token.
pub fn page(w: &WarningPage, csrf: &str, cert: &CertContact) -> Markup {
    let r = &w.row;
    let waiting = r.addressed.iter().filter(|a| a.released.is_none()).count();
    let late = r.addressed.iter().filter(|a| a.released.is_none() && a.late).count();
    let body = html! {
        (lage::back())
        h1 { (r.title) }
        (lage::warning_head(r))
        dl.daten {
            dt { "Stand" }
            dd {
                @match r.state {
                    WarningState::Draft => "Entwurf, wartet auf Freigabe",
                    WarningState::Released => "freigegeben",
                    WarningState::Withdrawn => "zurückgezogen",
                }
            }
            dt { "Erkannt" } dd { (time(w.pictured)) }
            dt { "Entworfen" } dd { (time(r.drafted)) }
            @if let Some(t) = r.released { dt { "Freigegeben" } dd { (time(t)) ", " (w.released_by) } }
            @if let Some(why) = &w.withdrawn_why { dt { "Zurückgezogen" } dd { (why) } }
            dt { "Kampagne" } dd { a href={ "/lage/kampagne/" (w.campaign) } { "mit allen Belegen" } }
        }
        @if !w.reasons.is_empty() { p.warum { "Warum diese Stufe:" } ul.gruende { @for reason in &w.reasons { li { (reason) } } } }
        @if w.late { p.fehlt { "Die Kampagne beruht auf verspäteten Ereignissen." } }
        p { (w.summary) }
        h2 { "Was die Adressaten lesen" }
        @for (i, a) in r.addressed.iter().enumerate() { details open[i == 0] { summary { (a.name) } (super::own::text(&a.text, cert)) } }
        @if r.state != WarningState::Withdrawn && waiting > 0 { (release_form(w, waiting, late, csrf)) }
        @if r.state == WarningState::Released { (withdraw_form(w, csrf)) }
        h2 { "Adressaten" }
        (addressed(&r.addressed))
    };
    shell(&r.title, Reader::Cert, cert, None, &body)
}

/// What a label means for the ways by which the warning goes.
fn ways(tlp: Tlp) -> &'static str {
    match (tlp.allowed_on(Channel::Feed), tlp.allowed_on(Channel::PlainMail)) {
        (true, true) => "Feed, Mail und Seite",
        (true, false) => "Feed und Seite, keine Mail",
        (false, _) => "nur die Seite der Stelle: anrufen",
    }
}

fn release_form(w: &WarningPage, waiting: usize, late: usize, csrf: &str) -> Markup {
    html! {
        form.formular method="post" action={ "/lage/warnung/" (w.row.id) "/freigeben" } {
            h2 { "Freigeben an " (waiting) @if waiting == 1 { " Stelle" } @else { " Stellen" } }
            input type="hidden" name="csrf" value=(csrf);
            @if w.row.state == WarningState::Draft {
                fieldset {
                    legend { "Wer darf es lesen?" }
                    @for t in Tlp::ALL {
                        label.wahl { input type="radio" name="tlp" value=(t) checked[t == w.row.tlp] required; strong { (t) } " " (ways(t)) }
                    }
                }
            }
            @if late > 0 {
                label.wahl { input type="checkbox" name="late" value="ja"; "auch an die " (late) " Stellen, die nur durch verspätete Ereignisse bekannt sind" }
            }
            label { "Ihr Name" input type="text" name="who" maxlength=(MAX_FIELD) required autocomplete="name"; }
            button.haupt type="submit" { "Warnung freigeben" }
        }
    }
}

fn withdraw_form(w: &WarningPage, csrf: &str) -> Markup {
    html! {
        details {
            summary { "Zurückziehen" }
            form.formular method="post" action={ "/lage/warnung/" (w.row.id) "/zurueckziehen" } {
                input type="hidden" name="csrf" value=(csrf);
                label { "Warum (die Adressaten lesen das)" input type="text" name="why" maxlength=(MAX_FIELD) required; }
                label { "Ihr Name" input type="text" name="who" maxlength=(MAX_FIELD) required autocomplete="name"; }
                button type="submit" { "Warnung zurückziehen" }
            }
        }
    }
}

fn addressed(rows: &[Addressed]) -> Markup {
    html! {
        div.breit {
            table {
                thead {
                    tr {
                        th scope="col" { "Stelle" }
                        th scope="col" { "Freigegeben" }
                        th scope="col" { "Feed zuerst abgeholt" }
                        th scope="col" { "Mail angenommen" }
                        th scope="col" { "Geantwortet" }
                        th scope="col" { "Anrufen" }
                    }
                }
                tbody {
                    @for a in rows {
                        tr {
                            th scope="row" data-l="Stelle" { (a.name) @if a.late { br; span.leise { "nur verspätete Ereignisse" } } }
                            td data-l="Freigegeben" { @if let Some(t) = a.released { (time(t)) } @else { "wartet" } }
                            td data-l="Feed" { @if let Some(t) = a.first_served { (time(t)) } @else { "–" } }
                            td data-l="Mail" {
                                @if let Some(t) = a.mailed { (time(t)) } @else { "–" }
                                @for e in &a.errors { br; span.leise { (e) } }
                            }
                            td data-l="Geantwortet" {
                                @if let Some(t) = a.acknowledged { (time(t)) br; span.leise { (a.via) } }
                                @else if a.released.is_some() { strong { "keine Antwort" } }
                                @else { "–" }
                            }
                            td data-l="Anrufen" { @for (i, c) in a.calls.iter().enumerate() { @if i > 0 { br; } (call(c)) } }
                        }
                    }
                }
            }
        }
    }
}
