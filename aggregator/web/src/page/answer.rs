// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Small pages: login, the acknowledgement link of feed and mail, and answers that say no.
//!
//! The acknowledgement page shows its warning to whoever holds the link, acknowledges only when its button is pressed,
//! and says nothing about anybody else. A refusal tells no detail: not whether a token, a warning or a page exists.

use lagewarte_base::time::Timestamp;
use lagewarte_warn::CertContact;
use maud::{Markup, html};

use super::{Reader, own, shell, time};
use crate::view::OwnWarning;

/// The login page. `refused`: a token was tried and did not open anything.
pub fn login(refused: bool, cert: &CertContact) -> Markup {
    let body = html! {
        h1 { "Anmelden" }
        @if refused { p.fehlt role="alert" { "Dieser Zugang gilt nicht. Prüfen Sie, ob Sie ihn ganz kopiert haben, oder rufen Sie das CERT an." } }
        form.formular method="post" action="/anmelden" {
            // For password managers, which keep nothing without a user name.
            input type="text" name="user" value="Lagewarte" autocomplete="username" hidden;
            label { "Ihr Zugang, wie Sie ihn vom CERT bekommen haben"
                input type="password" name="token" maxlength="64" required autocomplete="current-password" spellcheck="false"; }
            button.haupt type="submit" { "Anmelden" }
        }
    };
    shell("Anmelden", Reader::None, cert, None, &body)
}

/// The page behind an acknowledgement link. `done`: when it was acknowledged, if it was.
pub fn acknowledge(name: &str, w: &OwnWarning, action: &str, cert: &CertContact) -> Markup {
    let body = html! {
        h1 { "Warnung für " (name) }
        article.warnung {
            h2 { (w.title) }
            @if let Some(why) = &w.withdrawn { p.fehlt { "Das CERT hat diese Warnung zurückgezogen: " (why) } }
            (own::warning_body(w, cert))
            @match w.acknowledged {
                Some(t) => (acknowledged(t)),
                None => {
                    form method="post" action=(action) {
                        button.haupt type="submit" { "Gelesen: Warnung quittieren" }
                        p.leise { "Erst der Knopf quittiert, das Öffnen dieser Seite nicht." }
                    }
                }
            }
        }
    };
    shell(&w.title, Reader::None, cert, None, &body)
}

fn acknowledged(t: Timestamp) -> Markup {
    html! { p.erledigt role="status" { "✓ Quittiert am " (time(t)) ". Das CERT weiß, dass die Warnung angekommen ist." } }
}

/// A refusal or failure: what happened and what to do, without detail.
pub fn refusal(title: &str, text: &str, cert: &CertContact) -> Markup {
    shell(title, Reader::None, cert, None, &html! { h1 { (title) } p { (text) } p { a href="/" { "Zur Anmeldung" } } })
}
