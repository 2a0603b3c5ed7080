// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any bytes as a DNS message: nothing panics, what is kept stays within its caps, and every name lies in the message's text.
#![no_main]
use lagewarte_app::dns::parser::{self, MAX_NAME, MAX_TEXT};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some(m) = parser::message(input) else {
        assert!(input.len() < 12);
        return;
    };
    assert!(m.held() <= 2 * MAX_TEXT + input.len() * 64 + 4096);
    for q in &m.queries {
        assert!(m.bytes(q.name.span).len() <= MAX_NAME);
    }
    for a in m.answers.iter().chain(&m.authorities).chain(&m.additionals) {
        assert!(m.bytes(a.name.span).len() <= MAX_NAME);
    }
});
