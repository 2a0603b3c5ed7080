// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The CERT's page of one campaign: what it is, what proves it, who is concerned.

use lagewarte_warn::CertContact;
use maud::{Markup, html};

use super::{Reader, lage, shell, time};
use crate::view::CampaignPage;

/// The page.
pub fn page(c: &CampaignPage, cert: &CertContact) -> Markup {
    let r = &c.row;
    let body = html! {
        (lage::back())
        h1 { (r.title) }
        dl.daten {
            dt { "Gemeinsam ist" } dd { (r.kind) " " code { (r.key) } }
            dt { "Zuerst" } dd { (time(r.first)) }
            dt { "Zuletzt" } dd { (time(r.last)) @if !r.open { " (beendet)" } }
            dt { "Erkannt" } dd { (time(r.pictured)) }
            dt { "Stellen" } dd { (r.constituents) }
            dt { "Alarme" } dd { (r.alerts) }
            dt { "Regel" } dd { (r.rule) }
        }
        @if r.late { p.fehlt { "Beruht nur auf verspäteten Ereignissen: ergänzt das Bild und löst keine Warnung aus." } }
        @if !c.signatures.is_empty() {
            h2 { "Signaturen" }
            ul { @for (sid, text) in &c.signatures { li { code { (sid) } " " (text) } } }
        }
        @if !c.external.is_empty() {
            h2 { "Fremde Adressen" }
            p { @for e in &c.external { code { (e) } " " } }
        }
        h2 { "Betroffen" }
        div.breit {
            table {
                thead {
                    tr {
                        th scope="col" { "Stelle" }
                        th scope="col" { "Alarme" }
                        th scope="col" { "Zuerst" }
                        th scope="col" { "Zuletzt" }
                        th scope="col" { "Rechner (wie gemeldet)" }
                        th scope="col" { "Fremde Adressen" }
                    }
                }
                tbody {
                    @for m in &c.concerned {
                        tr {
                            th scope="row" data-l="Stelle" { (m.name) @if m.late { br; span.leise { "nur verspätete Ereignisse" } } }
                            td.zahl data-l="Alarme" { (m.alerts) }
                            td data-l="Zuerst" { (time(m.first)) }
                            td data-l="Zuletzt" { (time(m.last)) }
                            td data-l="Rechner" { @for h in &m.hosts { code { (h) } " " } @if m.pseudonyms { br; span.leise { "Pseudonyme" } } }
                            td data-l="Fremde Adressen" { @for h in &m.external { code { (h) } " " } }
                        }
                    }
                }
            }
        }
        h2 { "Warnung" }
        @match &c.warning {
            Some(w) => (lage::warnings(std::slice::from_ref(w))),
            None => p { "Zu dieser Kampagne gibt es keine Warnung." },
        }
    };
    shell(&r.title, Reader::Cert, cert, None, &body)
}
