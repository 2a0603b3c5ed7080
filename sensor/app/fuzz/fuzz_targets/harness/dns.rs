// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any bytes as a DNS message: nothing panics, what is kept stays within its caps, and every name lies in the
//! message's text. The same bytes over UDP and TCP, as a conversation; see `talk`.
use lagewarte_app::dns::{
    Dns, Kind,
    parser::{self, MAX_NAME, MAX_TEXT},
};
use lagewarte_flow::Direction;

use crate::talk::Talk;

/// Runs one input.
pub(crate) fn run(input: &[u8]) {
    for kind in [Kind::Dns, Kind::Mdns, Kind::Llmnr] {
        let mut talk = Talk::of(Dns::new(kind), 53, true);
        talk.say(Direction::ToServer, input, false);
        talk.say(Direction::ToClient, input, false);
        talk.end();
    }
    let mut talk = Talk::of(Dns::new(Kind::Dns), 53, false);
    let long = u16::try_from(input.len()).unwrap_or(u16::MAX).to_be_bytes();
    talk.say(Direction::ToServer, &[&long, input].concat(), false);
    talk.lose(Direction::ToClient, 1);
    talk.say(Direction::ToClient, &[&long, input].concat(), true);
    talk.end();
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
}
