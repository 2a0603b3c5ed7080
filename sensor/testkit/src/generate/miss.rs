// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Near misses: a flow that fires, with one decisive thing changed.
//!
//! Must never call a change decisive that was not checked: what is changed in a buffer is read back from the message, and
//! the rule's own tests must say no.

use super::{
    address::{Set, ip, pick, port},
    dialogue::{App, Buffers, Step, compose, group_passes, views},
    flow::{Flow, Transport},
    model::{Content, Model, Test},
    plan::{Ends, Plan},
};

/// What was changed, and the flow with it; by `turn` one kind of change is tried before another.
pub(super) fn change(
    model: &Model,
    plan: &Plan,
    ends: &Ends,
    before: &[Step],
    flow: &Flow,
    turn: u32,
) -> Option<(String, Flow)> {
    let kinds: [&dyn Fn() -> Option<(String, Flow)>; 5] = [
        &|| buffer(model, plan, before, flow, turn),
        &|| direction(model, plan, before, flow),
        &|| bit(before, plan, flow),
        &|| other_port(plan, ends, flow),
        &|| address(ends, flow, turn),
    ];
    // Bytes are what a rule is mostly made of: every second near miss changes them.
    let first = if turn.is_multiple_of(4) { (turn / 4) as usize % kinds.len() } else { 0 };
    (0..kinds.len()).find_map(|i| kinds[(first + i) % kinds.len()]())
}

fn buffer(model: &Model, plan: &Plan, before: &[Step], flow: &Flow, turn: u32) -> Option<(String, Flow)> {
    let mut names: Vec<&String> = plan.buffers.keys().collect();
    let at = turn as usize % names.len().max(1);
    names.rotate_left(at);
    for name in names {
        let group = model.groups.iter().find(|g| g.buffer == *name)?;
        for (what, bytes) in mutations(plan.buffers.get(name)?, &group.tests, turn) {
            let mut buffers: Buffers = plan.buffers.clone();
            buffers.insert(name.clone(), bytes);
            let Some(steps) = compose(plan.app, &buffers, model, plan.to_server, plan.variant) else { continue };
            let seen = views(plan.app, &steps, &buffers, plan.to_server);
            if group_passes(group, &seen) || !seen.contains_key(name) {
                continue;
            }
            let shown = if name.is_empty() { "payload" } else { name };
            let mut flow = flow.clone();
            flow.steps = before.iter().cloned().chain(steps).collect();
            return Some((format!("{shown}: {what}"), flow));
        }
    }
    None
}

// The bytes with a byte changed in a content, with something before them, or longer; decisive or not is seen later.
fn mutations(bytes: &[u8], tests: &[Test], turn: u32) -> Vec<(&'static str, Vec<u8>)> {
    let mut out = Vec::new();
    let wanted = |c: &&Content| !c.negated;
    let contents: Vec<&Content> =
        tests.iter().filter_map(|t| if let Test::Content(c) = t { Some(c) } else { None }).filter(wanted).collect();
    for i in 0..contents.len() {
        let c = contents[(i + turn as usize) % contents.len()];
        let at = turn as usize % c.bytes.len();
        let mut changed = bytes.to_vec();
        for place in 0..(bytes.len() + 1).saturating_sub(c.bytes.len()) {
            if bytes[place..place + c.bytes.len()].eq_ignore_ascii_case(&c.bytes) {
                changed[place + at] = other(c.bytes[at]);
            }
        }
        out.push(("a byte of a content", changed));
    }
    let placed = contents.iter().any(|c| c.starts || c.depth.is_some());
    let longer = ("moved by a byte", [b"a", bytes].concat());
    if placed && turn.is_multiple_of(2) {
        out.insert(0, longer);
    } else {
        out.push(longer);
    }
    out.push(("a byte more", [bytes, b"a"].concat()));
    for i in 0..bytes.len().min(200) {
        let mut changed = bytes.to_vec();
        changed[i] = other(changed[i]);
        out.push(("a byte", changed));
    }
    out.push(("nothing left", b"zz".to_vec()));
    out
}

// Another byte of the same kind, so that the message stays one.
const fn other(b: u8) -> u8 {
    match b {
        b'z' | b'Z' => b - 25,
        b'9' => b'0',
        b'a'..=b'y' | b'A'..=b'Y' | b'0'..=b'8' => b + 1,
        0x21..=0x7e => b'_',
        _ => b ^ 0x15,
    }
}

// The same bytes from the other side.
fn direction(model: &Model, plan: &Plan, before: &[Step], flow: &Flow) -> Option<(String, Flow)> {
    let says = model.flow.iter().any(|w| w.starts_with("to_") || w.starts_with("from_"));
    if !says || plan.app != App::Raw || !before.is_empty() || !matches!(plan.transport, Transport::Tcp | Transport::Udp)
    {
        return None;
    }
    let mut flow = flow.clone();
    flow.steps.iter_mut().for_each(|s| s.from_client = !s.from_client);
    Some(("the direction".to_owned(), flow))
}

// Without what sets the bit.
fn bit(before: &[Step], plan: &Plan, flow: &Flow) -> Option<(String, Flow)> {
    if before.is_empty() {
        return None;
    }
    let mut flow = flow.clone();
    flow.steps = plan.steps.clone();
    Some(("no flowbit".to_owned(), flow))
}

fn other_port(plan: &Plan, ends: &Ends, flow: &Flow) -> Option<(String, Flow)> {
    if ends.server_port == Set::Any
        || plan.app == App::Dns
        || !matches!(plan.transport, Transport::Tcp | Transport::Udp)
    {
        return None;
    }
    let outside = Set::List(vec![(true, ends.server_port.clone())]);
    let mut flow = flow.clone();
    flow.server.1 = port(&[&outside], 4444)?;
    Some(("the server's port".to_owned(), flow))
}

fn address(ends: &Ends, flow: &Flow, turn: u32) -> Option<(String, Flow)> {
    let mut flow = flow.clone();
    let outside = |set: &Set| Set::List(vec![(true, set.clone())]);
    if ends.server != Set::Any {
        flow.server.0 = ip(pick(&[&outside(&ends.server)], turn * 2 + 3, false)?);
        return Some(("the server's address".to_owned(), flow));
    }
    if ends.client != Set::Any {
        flow.client.0 = ip(pick(&[&outside(&ends.client)], turn * 2 + 2, true)?);
        return Some(("the client's address".to_owned(), flow));
    }
    None
}
