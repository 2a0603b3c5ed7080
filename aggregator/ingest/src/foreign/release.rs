// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is kept of a foreign event: the same allow-list by EVE path as at the sensor's door ([`lagewarte_event::fields`]).
//!
//! Payload, mail addresses, file names, user names and URLs are dropped. Addresses and names stay in clear: pseudonyms
//! need the constituent's key, which is not here. Who must not send them in clear runs `lagewarte-sensor tail` instead.
//! Must never keep a member that the list does not name.

use lagewarte_event::fields::{self, Holds};
use serde_json::{Map, Value};

/// Longest text kept; a longer one is left out, as at the sensor's door.
pub(super) const MAX_TEXT: usize = 8 << 10;
/// Longest free name of a counter or tag.
const MAX_NAME: usize = 64;

/// The members of an event that are kept.
pub(super) fn members(event: Map<String, Value>) -> Map<String, Value> {
    each(event, fields::of_event)
}

fn each(members: Map<String, Value>, holds: impl Fn(&str) -> Option<Holds>) -> Map<String, Value> {
    // What a DNS record's data are is said by a sibling.
    let record = members.get("rrtype").and_then(Value::as_str).unwrap_or("").to_owned();
    members
        .into_iter()
        .filter_map(|(name, value)| {
            let kept = holds(&name).and_then(|h| kept(h, value, &record))?;
            Some((name, kept))
        })
        .collect()
}

fn kept(holds: Holds, value: Value, record: &str) -> Option<Value> {
    match (holds, value) {
        (_, Value::Null) => None,
        (Holds::Counters, value) => counters(value),
        (Holds::Tags, Value::Object(tags)) => {
            Some(Value::Object(each(tags, |name| plain(name).then_some(Holds::Plain))))
        }
        (Holds::Object(known), Value::Object(members)) => {
            Some(Value::Object(each(members, |name| fields::member(known, name))))
        }
        (holds, Value::Array(items)) => {
            let items: Vec<Value> = items.into_iter().filter_map(|i| kept(holds, i, record)).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        (Holds::Object(_) | Holds::Tags, _) | (_, Value::Object(_)) => None,
        (Holds::Payload | Holds::Mail | Holds::File | Holds::User | Holds::Url, _) => None,
        (Holds::Rdata, Value::String(text)) => {
            matches!(record, "A" | "AAAA" | "CNAME" | "NS" | "PTR" | "MX" | "DNAME").then_some(Value::String(text))
        }
        (Holds::Kind, Value::String(words)) => Some(Value::String(fields::kind(&words).to_owned())),
        (_, Value::String(text)) => (text.len() <= MAX_TEXT).then_some(Value::String(text)),
        (_, value) => Some(value),
    }
}

fn counters(value: Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value),
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(name, _)| plain(name));
            Some(Value::Object(kept.filter_map(|(name, value)| Some((name, counters(value)?))).collect()))
        }
        _ => None,
    }
}

fn plain(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let Ok(Value::Object(event)) = serde_json::from_str(text) else { unreachable!("an object") };
        Value::Object(members(event)).to_string()
    }

    #[test]
    fn what_is_kept_is_what_the_sensors_door_would_let_out_in_clear() {
        let eve = r#"{"timestamp":"t","event_type":"alert","src_ip":"10.1.2.3","in_iface":"eth0","host":"gw","payload":"QUJD","payload_printable":"ABC","alert":{"signature_id":7,"signature":"S","metadata":{"k":["v"],"a free text":["x"]},"rule":"raw"},"http":{"hostname":"h.example","url":"/geheim.pdf?u=1","http_user_agent":"ua","http_request_body":"x"},"smtp":{"mail_from":"a@b"},"fileinfo":{"filename":"brief.pdf","size":3,"magic":"gzip compressed data, was \"akte.doc\""},"lagewarte":{"inner":"src","key":"forged"},"@timestamp":"x"}"#;
        let kept = of(eve);
        for there in
            ["10.1.2.3", "\"signature_id\":7", "h.example", "\"k\":[\"v\"]", "\"size\":3", "\"gzip compressed data\""]
        {
            assert!(kept.contains(there), "{there}: {kept}");
        }
        for gone in [
            "eth0",
            "\"gw\"",
            "QUJD",
            "ABC",
            "free text",
            "raw",
            "geheim",
            "a@b",
            "brief.pdf",
            "akte.doc",
            "forged",
            "@timestamp",
        ] {
            assert!(!kept.contains(gone), "{gone}: {kept}");
        }
    }

    #[test]
    fn long_texts_and_free_names_of_counters_are_left_out() {
        let long = "x".repeat(MAX_TEXT + 1);
        assert_eq!(of(&format!(r#"{{"event_type":"alert","proto":"{long}"}}"#)), r#"{"event_type":"alert"}"#);
        let stats = of(r#"{"event_type":"stats","stats":{"uptime":3,"decoder":{"pkts":9,"a name":1,"t":"text"}}}"#);
        assert_eq!(stats, r#"{"event_type":"stats","stats":{"uptime":3,"decoder":{"pkts":9}}}"#);
    }
}
