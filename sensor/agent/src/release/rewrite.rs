// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Writes one event anew with what may leave: every member is looked up in the allow-list and turned into the profile's form.
//!
//! Must never copy a member that it did not look up, and never let an inner address stand in any text.

use std::{net::IpAddr, sync::Arc};

use lagewarte_base::profile::{Form, Profile};
use serde_json::{Map, Value};

use super::{
    fields::{self, Holds},
    owners::{Owner, Owners},
    pseudonym::{KeyError, Pseudonyms},
    scrub::{Look, MASK, Verdict, scrub},
};

/// Longest plain text that leaves; a longer one is left out. Threat: a megabyte of free text walked for addresses.
pub const MAX_TEXT: usize = 8 << 10;
/// Longest name of a counter or tag, of `A-Za-z0-9._-`. Threat: free text smuggled out as a member's name.
pub const MAX_NAME: usize = 64;

/// Gives the key of an owner.
pub type Keys<'k> = dyn FnMut(Owner) -> Result<Arc<Pseudonyms>, KeyError> + 'k;

/// One event on its way out.
pub struct Rewrite<'a> {
    /// The profile in force.
    pub profile: &'a Profile,
    /// The assignment in force.
    pub owners: &'a Owners,
    /// Owner of the event.
    pub owner: Owner,
    /// Owner of the event's VLAN: then all its inner addresses are that owner's.
    pub vlan_owner: Option<Owner>,
    /// Whether the server of the event's flow is inner.
    pub server_inner: bool,
    /// The keys.
    pub keys: &'a mut Keys<'a>,
    /// The first key that could not be had: the event must not leave.
    pub failed: Option<KeyError>,
    /// Members left out.
    pub withheld: u64,
}

impl Rewrite<'_> {
    /// The members of an event that may leave.
    pub fn event(&mut self, event: Map<String, Value>) -> Map<String, Value> {
        self.members(event, fields::of_event)
    }

    fn members(&mut self, members: Map<String, Value>, holds: impl Fn(&str) -> Option<Holds>) -> Map<String, Value> {
        let mut out = Map::with_capacity(members.len());
        // What a DNS record's data are is said by a sibling.
        let record = members.get("rrtype").and_then(Value::as_str).unwrap_or("").to_owned();
        for (name, value) in members {
            let put = holds(&name).and_then(|h| self.value(h, value, &record));
            match put {
                Some(put) => _ = out.insert(name, put),
                None => self.withheld += 1,
            }
        }
        out
    }

    fn value(&mut self, holds: Holds, value: Value, record: &str) -> Option<Value> {
        match (holds, value) {
            (_, Value::Null) => Some(Value::Null),
            (Holds::Counters, value) => self.counters(value),
            (Holds::Tags, Value::Object(tags)) => {
                let known = |name: &str| plain_name(name).then_some(Holds::Plain);
                Some(Value::Object(self.members(tags, known)))
            }
            (Holds::Object(known), Value::Object(members)) => {
                Some(Value::Object(self.members(members, |name| fields::member(known, name))))
            }
            (holds, Value::Array(items)) => {
                let items: Vec<Value> = items.into_iter().filter_map(|i| self.value(holds, i, record)).collect();
                (!items.is_empty()).then_some(Value::Array(items))
            }
            (Holds::Object(_) | Holds::Tags, _) | (_, Value::Object(_)) => None,
            (Holds::FlowId, value) => self.flow_id(value),
            (Holds::CommunityId, value) => (self.profile.inner_addresses == Form::Clear).then_some(value),
            (Holds::Plain | Holds::Print, value @ (Value::Number(_) | Value::Bool(_))) => Some(value),
            (holds, Value::String(text)) => self.text(holds, text, record).map(Value::String),
            // A number where a name or an address belongs says nothing that could be judged, unless all may leave.
            (holds, value) => (self.form(holds) == Some(Form::Clear)).then_some(value),
        }
    }

    /// The form of texts that the profile names.
    fn form(&self, holds: Holds) -> Option<Form> {
        match holds {
            Holds::Payload => Some(self.profile.payload),
            Holds::Mail => Some(self.profile.mail_addresses),
            Holds::File => Some(self.profile.file_names),
            Holds::User => Some(self.profile.user_names),
            _ => None,
        }
    }

    fn text(&mut self, holds: Holds, text: String, record: &str) -> Option<String> {
        const PLAIN: Look = Look { dashes: true, mail: true };
        const PRINT: Look = Look { dashes: false, mail: false };
        match holds {
            Holds::Plain => self.scrubbed(text, PLAIN),
            Holds::Print => self.scrubbed(text, PRINT),
            Holds::Address => match text.parse::<IpAddr>() {
                Ok(ip) => match self.judge(ip) {
                    Verdict::Keep => Some(text),
                    Verdict::Put(p) => Some(p.to_string()),
                    Verdict::Mask => None,
                },
                Err(_) => None, // no address: nothing that belongs here
            },
            Holds::Addresses => {
                let wanted = |b: u8| b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b',' | b' ' | b'[' | b']');
                if text.bytes().all(wanted) { self.scrubbed(text, PLAIN) } else { None }
            }
            Holds::Server => self.server(text),
            Holds::Name => self.name(text),
            Holds::Rdata => match record {
                "A" | "AAAA" => self.text(Holds::Address, text, ""),
                "CNAME" | "NS" | "PTR" | "MX" | "DNAME" => self.name(text),
                _ => self.text(Holds::Payload, text, ""),
            },
            Holds::Url => self.url(&text),
            Holds::Payload => match self.profile.payload {
                // Whoever lets payload out lets it out as it is: an address inside cannot be replaced in every encoding.
                Form::Clear => Some(text),
                Form::Pseudonym => self.token("payload", &text),
                Form::Drop => None,
            },
            Holds::Mail | Holds::File | Holds::User => match self.form(holds)? {
                Form::Clear => self.scrubbed(text, Look { dashes: true, mail: false }),
                Form::Pseudonym => self.token("text", &text),
                Form::Drop => None,
            },
            Holds::Kind if self.profile.file_names == Form::Clear => self.scrubbed(text, PLAIN),
            Holds::Kind => self.scrubbed(fields::kind(&text).to_owned(), PLAIN),
            Holds::FlowId | Holds::CommunityId | Holds::Counters | Holds::Tags | Holds::Object(_) => None,
        }
    }

    fn scrubbed(&mut self, text: String, look: Look) -> Option<String> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let mail_form = self.profile.mail_addresses;
        let mail_key = if mail_form == Form::Pseudonym && text.contains('@') { self.key(self.owner) } else { None };
        let mut mail = |mail: &str| match mail_form {
            Form::Clear => None,
            Form::Pseudonym => mail_key.as_ref().map(|k| format!("{}@pseudonym.invalid", k.text("text", mail))),
            Form::Drop => Some(MASK.to_owned()),
        };
        let out = scrub(&text, look, &mut |ip| self.judge(ip), &mut mail).into_owned();
        Some(out)
    }

    /// What becomes of an address anywhere in the event.
    pub fn judge(&mut self, ip: IpAddr) -> Verdict {
        let Some(owner) = self.owners.of_address(ip, self.owner) else { return Verdict::Keep };
        match self.profile.inner_addresses {
            Form::Clear => Verdict::Keep,
            Form::Drop => Verdict::Mask,
            Form::Pseudonym => match self.key(self.vlan_owner.unwrap_or(owner)) {
                Some(key) => Verdict::Put(key.address(ip)),
                None => Verdict::Mask,
            },
        }
    }

    fn key(&mut self, owner: Owner) -> Option<Arc<Pseudonyms>> {
        match (self.keys)(owner) {
            Ok(key) => Some(key),
            Err(e) => {
                self.failed.get_or_insert(e);
                None
            }
        }
    }

    fn token(&mut self, purpose: &str, text: &str) -> Option<String> {
        self.key(self.owner).map(|k| format!("p-{}", k.text(purpose, text)))
    }

    fn flow_id(&mut self, value: Value) -> Option<Value> {
        if self.profile.inner_addresses == Form::Clear {
            return value.is_number().then_some(value);
        }
        let id = value.as_u64().or_else(|| value.as_i64().map(i64::cast_unsigned))?;
        self.key(self.owner).map(|k| k.number("flow", id).into())
    }

    /// Host names, and the subjects and names of certificates.
    fn server(&mut self, text: String) -> Option<String> {
        if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return self.scrubbed(text, Look { dashes: true, mail: true });
        }
        if self.server_inner { self.inner_name(&text) } else { self.name(text) }
    }

    fn name(&mut self, text: String) -> Option<String> {
        let host = text.trim_end_matches('.').rsplit([' ', '=', ',']).next().unwrap_or("");
        let own = INNER_ZONES.iter().any(|zone| {
            let host = host.to_ascii_lowercase();
            host == *zone || host.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
        });
        let single = !host.is_empty()
            && !host.contains(['.', ':'])
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if own || single && host == text.trim_end_matches('.') {
            return self.inner_name(&text);
        }
        self.scrubbed(text, Look { dashes: true, mail: true })
    }

    fn inner_name(&mut self, text: &str) -> Option<String> {
        match self.profile.inner_addresses {
            Form::Clear => Some(text.to_owned()),
            Form::Pseudonym => self.key(self.owner).map(|k| format!("p-{}.invalid", k.text("name", text))),
            Form::Drop => None,
        }
    }

    fn url(&mut self, text: &str) -> Option<String> {
        if text.len() > MAX_TEXT {
            return None;
        }
        let cut = text.find(['?', '#']).unwrap_or(text.len());
        let (place, query) = text.split_at(cut);
        let (mut out, path) = match place.split_once("://") {
            Some((scheme, rest)) if scheme.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let host = authority.rsplit('@').next().unwrap_or(""); // user and password before it stay
                let (name, port) = match host.rsplit_once(':') {
                    Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                        (name, format!(":{port}"))
                    }
                    _ => (host, String::new()),
                };
                (format!("{scheme}://{}{port}", self.name(name.to_owned())?), path)
            }
            _ => (String::new(), place),
        };
        match self.profile.file_names {
            Form::Clear => out.push_str(&self.scrubbed(path.to_owned(), Look { dashes: true, mail: true })?),
            Form::Pseudonym if !path.is_empty() => {
                out.push('/');
                out.push_str(&self.token("path", path)?);
            }
            Form::Pseudonym | Form::Drop => {}
        }
        match self.profile.url_query {
            Form::Clear => out.push_str(&self.scrubbed(query.to_owned(), Look { dashes: true, mail: true })?),
            Form::Pseudonym if !query.is_empty() => {
                out.push('?');
                out.push_str(&self.token("query", query)?);
            }
            Form::Pseudonym | Form::Drop => {}
        }
        (!out.is_empty()).then_some(out)
    }

    fn counters(&mut self, value: Value) -> Option<Value> {
        match value {
            Value::Number(_) => Some(value),
            Value::Object(members) => {
                let mut out = Map::with_capacity(members.len());
                for (name, value) in members {
                    match plain_name(&name).then(|| self.counters(value)).flatten() {
                        Some(value) => _ = out.insert(name, value),
                        None => self.withheld += 1,
                    }
                }
                Some(Value::Object(out))
            }
            _ => None,
        }
    }
}

/// Zones that exist only inside: RFC 6762, RFC 8375, ICANN's `.internal`, and the usual names of small offices.
const INNER_ZONES: [&str; 12] = [
    "local",
    "localhost",
    "localdomain",
    "lan",
    "intern",
    "internal",
    "intranet",
    "home",
    "corp",
    "private",
    "home.arpa",
    "fritz.box",
];

fn plain_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
