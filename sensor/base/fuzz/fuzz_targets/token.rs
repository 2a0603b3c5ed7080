// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any text as an enrolment token, an event id, an AGS, a TLP label, a time: what is taken reads back as itself.
#![no_main]
use lagewarte_base::{ags::Ags, id::EventId, tlp::Tlp, token::EnrolmentToken};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(t) = text.parse::<EnrolmentToken>() {
        assert_eq!(t.to_string().parse::<EnrolmentToken>().ok(), Some(t));
    }
    if let Ok(id) = text.parse::<EventId>() {
        assert_eq!(id.to_string().parse::<EventId>().ok(), Some(id));
    }
    if let Ok(ags) = text.parse::<Ags>() {
        assert_eq!(ags.to_string(), text);
    }
    let _ = text.parse::<Tlp>();
});
