// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Application layer: which protocol a flow speaks, found in the first payload of each direction.
//!
//! Must never reassemble, never keep more than [`lagewarte_flow::PREFIX`] bytes of a direction, and never decide by port
//! alone: a port only says which content to expect where the content itself is weak. Names are Suricata's `app_proto`;
//! a direction in which nothing was recognised is `failed`.

mod probe;

use lagewarte_flow::{AppProto, FlowRef, PREFIX, Prefix};

/// Looks at the next payload of a direction until its protocol is decided. For TCP the caller passes in-order payload
/// only ([`lagewarte_flow::FlowRef::accepted`]).
pub fn inspect(f: &mut FlowRef<'_>, payload: &[u8]) {
    let mut side = f.direction.index();
    let (direction, guessed) = (f.direction, f.guessed());
    let flow = &mut *f.flow;
    if payload.is_empty() || flow.app.sides[side] != AppProto::Unknown {
        return;
    }
    let tcp = match flow.proto {
        6 => true,
        17 => false,
        _ => return,
    };
    let mut joined = [0; PREFIX];
    let data = match &flow.app.prefix[side] {
        None => payload,
        Some(prefix) => {
            let (held, room) = (prefix.as_slice(), &mut joined);
            let n = payload.len().min(PREFIX - held.len()); // invariant: a prefix holds PREFIX bytes at most
            room[..held.len()].copy_from_slice(held);
            room[held.len()..held.len() + n].copy_from_slice(&payload[..n]);
            &room[..held.len() + n]
        }
    };
    let other = flow.app.sides[1 - side];
    let ports = (flow.client_port, flow.server_port);
    let mut answer = probe::Probe { tcp, direction, ports, other, data }.run();
    let long_enough = !tcp || data.len() >= PREFIX;
    if guessed && !matches!(answer, probe::Answer::Is(_)) {
        // Taken up in the middle: what one side cannot have said, the other may have.
        let turned = probe::Probe { tcp, direction: direction.reverse(), ports: (ports.1, ports.0), other, data }.run();
        if matches!(turned, probe::Answer::Is(_)) {
            answer = turned;
            f.turn();
            side = f.direction.index();
        }
    }
    let flow = &mut *f.flow;
    match answer {
        probe::Answer::Is(proto) => flow.app.decide(side, proto, tcp),
        probe::Answer::No => flow.app.decide(side, AppProto::Failed, tcp),
        probe::Answer::Perhaps if long_enough => flow.app.decide(side, AppProto::Failed, tcp),
        probe::Answer::Perhaps => match &mut flow.app.prefix[side] {
            Some(prefix) => prefix.push(payload),
            empty => *empty = Some(Box::new(Prefix::new(payload))),
        },
    }
}
