// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A constituent's warnings as an Atom document (RFC 4287).
//!
//! Each entry: `id` urn:uuid of the warning, `category` with the TLP label and one with the level, `summary` as text,
//! `content` as HTML, `link rel="alternate"` to the page, `link rel="related" title="quittieren"` to the acknowledgement
//! link. Must never contain a warning whose label may not go by feed, nor one that was not released to this constituent.
//! Limits: at most [`MAX_ENTRIES`] entries, the newest.

use lagewarte_base::{time::Timestamp, tlp::Channel};
use lagewarte_store::control::{
    register::Constituent,
    warnings::{Addressed, Warning, WarningState},
};
use lagewarte_warn::{CertContact, Links, text};
use maud::html;
use uuid::Uuid;

/// Most entries of a feed. Threat: a feed that grows with the years and is fetched every minute.
pub const MAX_ENTRIES: usize = 100;

/// Media type of the document.
pub const CONTENT_TYPE: &str = "application/atom+xml; charset=utf-8";

/// A feed and what is in it.
#[derive(Clone, Debug)]
pub struct AtomDocument {
    /// The document, UTF-8.
    pub xml: String,
    /// Warnings in it: what was served when it is fetched.
    pub warnings: Vec<Uuid>,
}

/// Writes the feed of `constituent`. `warnings` are those of its own scope, newest first; `self_url` is the address the
/// document was asked at.
pub fn feed(
    constituent: &Constituent,
    warnings: &[Warning],
    links: &Links,
    contact: &CertContact,
    self_url: &str,
) -> AtomDocument {
    let mut entries = Vec::new();
    for w in warnings {
        let own = w.addressed.iter().find(|a| a.constituent == constituent.id);
        let Some((own, released_us)) = own.and_then(|a| a.released_us.map(|r| (a, r))) else { continue };
        if w.tlp.allowed_on(Channel::Feed) && entries.len() < MAX_ENTRIES {
            // What changed for this constituent: that others joined later is neither news nor its business.
            let updated_us = w.withdrawn_us.unwrap_or(released_us).max(released_us);
            entries.push((w, own, released_us, updated_us));
        }
    }
    let newest = entries.iter().map(|e| e.3).max().unwrap_or(0);
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\" xml:lang=\"de\">\n",
    );
    element(&mut xml, "id", "", &format!("{}/feed/{}", links.public_url(), constituent.id));
    element(&mut xml, "title", "", &format!("Warnungen für {}", constituent.name));
    element(&mut xml, "updated", "", &rfc3339(newest));
    author(&mut xml, contact);
    empty(&mut xml, "link", &[("rel", "self"), ("type", "application/atom+xml"), ("href", self_url)]);
    empty(&mut xml, "link", &[("rel", "alternate"), ("type", "text/html"), ("href", &links.page())]);
    for (w, own, released_us, updated_us) in &entries {
        entry(&mut xml, w, own, links, *released_us, *updated_us);
    }
    xml.push_str("</feed>\n");
    AtomDocument { xml, warnings: entries.iter().map(|e| e.0.id).collect() }
}

fn author(xml: &mut String, contact: &CertContact) {
    xml.push_str("<author>");
    element(xml, "name", "", &contact.name);
    if !contact.mail.is_empty() {
        element(xml, "email", "", &contact.mail);
    }
    xml.push_str("</author>\n");
}

fn entry(xml: &mut String, w: &Warning, own: &Addressed, links: &Links, released_us: i64, updated_us: i64) {
    let withdrawn = w.state == WarningState::Withdrawn;
    let title = if withdrawn { format!("Zurückgezogen: {}", w.title) } else { w.title.clone() };
    xml.push_str("<entry>\n");
    element(xml, "id", "", &format!("urn:uuid:{}", w.id));
    element(xml, "title", " type=\"text\"", &title);
    element(xml, "published", "", &rfc3339(released_us));
    element(xml, "updated", "", &rfc3339(updated_us));
    let (tlp, level) = (w.tlp.as_str(), w.level.to_string());
    empty(xml, "category", &[("term", tlp), ("scheme", "https://www.first.org/tlp/"), ("label", tlp)]);
    let number = w.level.number().to_string();
    let scheme = format!("{}/stufen", links.public_url());
    empty(xml, "category", &[("term", &number), ("scheme", &scheme), ("label", &format!("Stufe {level}"))]);
    empty(xml, "link", &[("rel", "alternate"), ("type", "text/html"), ("href", &links.page())]);
    let acknowledge = links.acknowledge(w.id, &own.constituent);
    if !withdrawn {
        let attributes = [("rel", "related"), ("type", "text/html"), ("title", "quittieren"), ("href", &acknowledge)];
        empty(xml, "link", &attributes);
    }
    element(xml, "summary", " type=\"text\"", &w.summary);
    let content = html! {
        p { strong { (tlp) } ", Stufe " (level) }
        @if let (true, Some(why)) = (withdrawn, &w.withdrawn_why) {
            p { "Diese Warnung wurde zurückgezogen: " (why) }
        }
        @for (heading, body) in text::sections(&own.text) {
            p { strong { (heading) } " " (body) }
        }
        @if !withdrawn {
            p { a href=(acknowledge) { "Warnung ansehen und quittieren" } }
        }
    };
    element(xml, "content", " type=\"html\"", &content.into_string());
    xml.push_str("</entry>\n");
}

fn rfc3339(us: i64) -> String {
    Timestamp::from_micros(us).eve().replace("+0000", "Z")
}

fn element(xml: &mut String, name: &str, attributes: &str, text: &str) {
    xml.push_str(&format!("<{name}{attributes}>{}</{name}>\n", escaped(text)));
}

fn empty(xml: &mut String, name: &str, attributes: &[(&str, &str)]) {
    let list: String = attributes.iter().map(|(k, v)| format!(" {k}=\"{}\"", escaped(v))).collect();
    xml.push_str(&format!("<{name}{list}/>\n"));
}

/// Escaped for elements and attributes; characters that XML 1.0 cannot carry become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}
