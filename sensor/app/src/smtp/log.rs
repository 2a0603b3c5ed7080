// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! SMTP as EVE writes it: `smtp` and `email`. Field names are Suricata's.

use lagewarte_event::eve::JsonWriter;

use super::{
    Smtp, Tx,
    mime::{Mime, State, addresses},
};

/// What is written of mail: `outputs.eve-log.types.smtp`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// `extended`: bcc, message-id, subject, x-mailer, user-agent.
    pub extended: bool,
    /// `custom`: further header fields, by their names.
    pub custom: Vec<String>,
    /// `md5: [subject]`.
    pub md5_subject: bool,
    /// `md5: [body]`; needs `mime.body-md5`.
    pub md5_body: bool,
}

/// How a header field is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    /// Every one of that name.
    All,
    /// The addresses of one.
    List,
}

/// Header fields that can be asked for: EVE name, field, form, whether `extended` has it.
const FIELDS: &[(&str, &str, Form, bool)] = &[
    ("reply_to", "reply-to", Form::List, false),
    ("bcc", "bcc", Form::List, true),
    ("message_id", "message-id", Form::Text, true),
    ("subject", "subject", Form::Text, true),
    ("x_mailer", "x-mailer", Form::Text, true),
    ("user_agent", "user-agent", Form::Text, true),
    ("received", "received", Form::All, false),
    ("x_originating_ip", "x-originating-ip", Form::Text, false),
    ("in_reply_to", "in-reply-to", Form::Text, false),
    ("references", "references", Form::Text, false),
    ("importance", "importance", Form::Text, false),
    ("priority", "priority", Form::Text, false),
    ("sensitivity", "sensitivity", Form::Text, false),
    ("organization", "organization", Form::Text, false),
    ("content_md5", "content-md5", Form::Text, false),
    ("date", "date", Form::Text, false),
];

/// The members of an event.
pub(super) fn event(s: &Smtp, tx: &Tx, choices: &Choices, w: &mut JsonWriter) {
    w.key("tx_id").u64(tx.core.id);
    members(s, tx, choices, w);
}

/// The members of an alert.
pub(super) fn members(s: &Smtp, tx: &Tx, choices: &Choices, w: &mut JsonWriter) {
    w.key("smtp").open();
    if let Some(helo) = s.helo() {
        w.key("helo").bytes(helo);
    }
    if let Some(from) = &tx.mail_from {
        w.key("mail_from").bytes(from);
    }
    if !tx.rcpt_to.is_empty() {
        w.key("rcpt_to").open_array();
        for to in &tx.rcpt_to {
            w.bytes(to);
        }
        w.close_array();
    }
    w.close();
    if let Some(mime) = &tx.mime {
        email(mime, choices, w);
    }
}

fn email(m: &Mime, choices: &Choices, w: &mut JsonWriter) {
    w.key("email").open();
    w.key("status").string(match m.state() {
        State::Header => "HEADER_STARTED",
        State::Body => "BODY_STARTED",
        State::Done => "PARSE_DONE",
    });
    if let Some(from) = m.field(b"from").filter(|v| !v.is_empty()) {
        w.key("from").bytes(from);
    }
    list(m, "to", "to", w);
    list(m, "cc", "cc", w);
    for (key, there) in
        [("has_ipv6_url", m.urls().ipv6), ("has_ipv4_url", m.urls().ipv4), ("has_exe_url", m.urls().exe)]
    {
        if there {
            w.key(key).bool(true);
        }
    }
    if !m.attachments().is_empty() {
        w.key("attachment").open_array();
        for name in m.attachments() {
            w.bytes(name);
        }
        w.close_array();
    }
    if !m.urls().is_empty() {
        w.key("url").open_array();
        for url in m.urls().iter() {
            w.bytes(url);
        }
        w.close_array();
    }
    for (key, name, form, extended) in FIELDS {
        let wanted = (choices.extended && *extended) || choices.custom.iter().any(|c| c.eq_ignore_ascii_case(name));
        if !wanted {
            continue;
        }
        match form {
            Form::Text => {
                if let Some(value) = m.field(name.as_bytes()).filter(|v| !v.is_empty()) {
                    w.key(key).bytes(value);
                }
            }
            Form::List => list(m, key, name, w),
            Form::All => {
                if m.field(name.as_bytes()).is_some() {
                    w.key(key).open_array();
                    for f in m.fields().iter().filter(|f| f.name == name.as_bytes()) {
                        w.bytes(&f.value);
                    }
                    w.close_array();
                }
            }
        }
    }
    if let Some(md5) = m.body_md5().filter(|_| choices.md5_body) {
        w.key("body_md5").string(md5);
    }
    if let Some(subject) = m.field(b"subject").filter(|_| choices.md5_subject) {
        w.key("subject_md5").string(&hex::encode(<md5::Md5 as md5::Digest>::digest(subject)));
    }
    w.close();
}

fn list(m: &Mime, key: &str, name: &str, w: &mut JsonWriter) {
    let Some(value) = m.field(name.as_bytes()) else { return };
    let mut open = false;
    for address in addresses(value) {
        if !open {
            w.key(key).open_array();
            open = true;
        }
        w.bytes(address);
    }
    if open {
        w.close_array();
    }
}
