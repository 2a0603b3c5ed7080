// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The one table of frames: the ranges of a flow's bytes that parsers mark, by protocol and name (Suricata developer guide,
//! "Application Layer Frame Support"; names as Suricata 8 lists them).
//!
//! Must never name a frame that the application layer does not mark; a test of the engine compares the two.

use crate::buffers::{self, Buffer, Ways};

const fn f(name: &'static str, protocols: &'static [&'static str]) -> Buffer {
    Buffer {
        name,
        aliases: &[],
        legacy: None,
        protocols,
        ways: Ways::Both,
        multi: false,
        streaming: false, // what needs the whole of it waits for that
        served: true,
        frame: true,
    }
}

const DNS: &[&str] = &["dns"];
const HTTP1: &[&str] = &["http"];
const MQTT: &[&str] = &["mqtt"];
const SIP: &[&str] = &["sip"];
const SMB: &[&str] = &["smb"];
const SMTP: &[&str] = &["smtp"];
const SSH: &[&str] = &["ssh"];
const TLS: &[&str] = &["tls"];
const WEBSOCKET: &[&str] = &["websocket"];

/// Every frame that is marked. `protocols` has one member, its protocol as EVE names it.
pub const FRAMES: &[Buffer] = &[
    f("pdu", DNS),
    f("request", HTTP1),
    f("response", HTTP1),
    f("pdu", MQTT),
    f("header", MQTT),
    f("data", MQTT),
    f("pdu", SIP),
    f("request.line", SIP),
    f("request.headers", SIP),
    f("request.body", SIP),
    f("response.line", SIP),
    f("response.headers", SIP),
    f("response.body", SIP),
    f("nbss.pdu", SMB),
    f("nbss.hdr", SMB),
    f("nbss.data", SMB),
    f("smb1.pdu", SMB),
    f("smb1.hdr", SMB),
    f("smb1.data", SMB),
    f("smb2.pdu", SMB),
    f("smb2.hdr", SMB),
    f("smb2.data", SMB),
    f("smb3.pdu", SMB),
    f("smb3.hdr", SMB),
    f("smb3.data", SMB),
    f("command_line", SMTP),
    f("data", SMTP),
    f("response_line", SMTP),
    f("record_hdr", SSH),
    f("record_data", SSH),
    f("record_pdu", SSH),
    f("pdu", TLS),
    f("hdr", TLS),
    f("data", TLS),
    f("pdu", WEBSOCKET),
    f("header", WEBSOCKET),
    f("data", WEBSOCKET),
];

fn of(protocols: &[&str]) -> impl Iterator<Item = &'static Buffer> {
    FRAMES.iter().filter(move |f| f.protocols.iter().all(|p| protocols.contains(p)))
}

/// The frame that the value of the keyword `frame` names: `<name>` of the rule's own protocols, or `<protocol>.<name>`.
///
/// # Errors
/// A sentence where there is no such frame, or none of the protocol's is marked.
pub fn find(value: &str, own: Option<&'static [&'static str]>) -> Result<&'static Buffer, String> {
    let among = |all: &[&str], name: &str| of(all).find(|f| f.name.eq_ignore_ascii_case(name));
    // A name may hold a point itself: what stands before it is a protocol only where it is called so.
    let named = value.split_once('.').and_then(|(word, rest)| Some((buffers::protocol(word)?.protocols, rest)));
    if let Some(f) = named.and_then(|(all, rest)| among(all, rest)).or_else(|| among(own?, value)) {
        return Ok(f);
    }
    let Some(protocols) = named.map(|(all, _)| all).or(own) else {
        return Err(String::from(
            "it must be known whose frame it is: write frame:<protocol>.<name>, or name the protocol in the rule's header",
        ));
    };
    let there: Vec<&str> = of(protocols).map(|f| f.name).collect();
    Err(match there.is_empty() {
        true => format!("frames of {} are not marked by this version", protocols.join(", ")),
        false => format!("{value:?} is no frame of {}, which has {}", protocols.join(", "), there.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_by_its_name_or_with_its_protocol() {
        for (value, own, want) in [
            ("pdu", Some(SIP), Some(("sip", "pdu"))),
            ("request.line", Some(SIP), Some(("sip", "request.line"))),
            ("sip.request.line", None, Some(("sip", "request.line"))),
            ("SIP.pdu", Some(SIP), Some(("sip", "pdu"))),
            ("smb2.data", Some(SMB), Some(("smb", "smb2.data"))),
            ("http1.response", Some(&["http", "http2", "doh2"][..]), Some(("http", "response"))),
            ("websocket.header", None, Some(("websocket", "header"))),
            ("pdu", None, None),
            ("smb2.data", None, None),
            ("body", Some(SIP), None),
            ("", Some(SIP), None),
        ] {
            let got = find(value, own).ok().map(|f| (f.protocols[0], f.name));
            assert_eq!(got, want, "{value} of {own:?}");
        }
    }

    #[test]
    fn refusals_say_which_there_are() {
        let why = |value, own| find(value, own).expect_err("refused");
        assert!(why("headers", Some(SIP)).contains("request.headers"));
        assert!(why("nfs.pdu", None).contains("frames of nfs are not marked"));
        assert!(why("pdu", None).contains("whose frame"));
    }

    #[test]
    fn each_is_there_once_and_of_one_protocol() {
        for (i, f) in FRAMES.iter().enumerate() {
            assert_eq!(f.protocols.len(), 1, "{}", f.name);
            assert!(!FRAMES[..i].iter().any(|g| (g.protocols, g.name) == (f.protocols, f.name)), "{}", f.name);
        }
    }
}
