// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One warning as one mail to one contact: text and HTML, the TLP label in subject and header.
//!
//! The Message-ID is made of the delivery's id, so that a mail sent twice is one mail to its reader. Must never put a
//! second recipient on a mail, nor text from outside into a header.

use std::time::{Duration, UNIX_EPOCH};

use lagewarte_base::{time::Timestamp, tlp::Channel};
use lagewarte_store::control::{
    deliveries::Delivery,
    register::Constituent,
    warnings::{Addressed, Warning},
};
use lagewarte_warn::{CertContact, Links, text};
use lettre::{
    Address, Message,
    message::{
        Mailbox, MultiPart,
        header::{HeaderName, HeaderValue},
    },
};
use maud::{DOCTYPE, html};

/// Longest mail address accepted (RFC 5321, section 4.5.3.1.3).
pub const MAX_ADDRESS: usize = 254;

/// Writes the mail of a delivery.
///
/// # Errors
/// A sentence that says why this mail can never be sent: no such address, or a label that may not go by mail.
pub fn compose(
    delivery: &Delivery,
    warning: &Warning,
    own: &Addressed,
    to: &Constituent,
    from: &Mailbox,
    links: &Links,
    contact: &CertContact,
) -> Result<Message, String> {
    if !warning.tlp.allowed_on(Channel::PlainMail) {
        return Err(format!("{} may not go by this channel", warning.tlp));
    }
    if own.constituent != delivery.constituent || to.id != delivery.constituent {
        return Err("the text is another constituent's".into());
    }
    let address: Address = match delivery.recipient.parse() {
        Ok(a) if delivery.recipient.len() <= MAX_ADDRESS => a,
        _ => return Err("the register's mail address is none".into()),
    };
    let domain = from.email.domain();
    let subject = format!("[{}] Stufe {}: {}", warning.tlp, warning.level, one_line(&warning.title));
    let queued = u64::try_from(delivery.queued_us).unwrap_or(0);
    let mut message = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, address))
        .subject(subject)
        .date(UNIX_EPOCH + Duration::from_micros(queued))
        .message_id(Some(format!("<{}@{domain}>", delivery.id)))
        .raw_header(header("X-TLP", warning.tlp.as_str()))
        .raw_header(header("List-Id", &format!("<warnungen.{domain}>")))
        .raw_header(header("Auto-Submitted", "auto-generated"));
    if let Some(reply) = Some(&contact.mail).filter(|m| !m.is_empty()).and_then(|m| m.parse().ok()) {
        message = message.reply_to(reply);
    }
    let parts = MultiPart::alternative_plain_html(plain(warning, own, to, links), hypertext(warning, own, to, links));
    message.multipart(parts).map_err(|e| format!("cannot be written as a mail: {e}"))
}

/// A header of ours; both parts are constants or checked types.
fn header(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn plain(w: &Warning, own: &Addressed, to: &Constituent, links: &Links) -> String {
    format!(
        "{}, Stufe {}\n{}\nFür: {}\n\n{}\n\nBitte quittieren (Link öffnen, Knopf drücken):\n{}\n\n\
         Alle Ihre Warnungen: {}\n",
        w.tlp,
        w.level,
        w.title,
        to.name,
        own.text,
        links.acknowledge(w.id, &own.constituent),
        links.page(),
    )
}

fn hypertext(w: &Warning, own: &Addressed, to: &Constituent, links: &Links) -> String {
    let colour = match w.level.number() {
        1 => "#6b7280",
        2 => "#8a6d00",
        3 => "#b45309",
        _ => "#b91c1c",
    };
    html! {
        (DOCTYPE)
        html lang="de" {
            head { meta charset="utf-8"; title { (w.title) } }
            body style="font-family:sans-serif;font-size:16px;line-height:1.5;color:#111;max-width:40em" {
                p { strong { (w.tlp) } ", " strong style={"color:" (colour)} { "Stufe " (w.level) } br; "Für: " (to.name) }
                h1 style="font-size:20px" { (w.title) }
                @for (heading, body) in text::sections(&own.text) {
                    p { strong { (heading) } " " (body) }
                }
                p {
                    a href=(links.acknowledge(w.id, &own.constituent))
                        style="display:inline-block;padding:.6em 1em;background:#1d4ed8;color:#fff;text-decoration:none" {
                        "Warnung ansehen und quittieren"
                    }
                }
                p { a href=(links.page()) { "Alle Ihre Warnungen" } }
                p style="color:#555;font-size:14px" { "Gesendet " (lagewarte_base::berlin::date_time(Timestamp::from_micros(own.released_us.unwrap_or(w.updated_us)))) }
            }
        }
    }
    .into_string()
}
