// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A DNS query and its answer.

use super::{
    dialogue::{Buffers, Step},
    model::Model,
};

/// The exchange; variant 0: a name in the question, otherwise the payload as it is.
pub(crate) fn exchange(buffers: &Buffers, model: &Model, to_server: bool, variant: usize) -> Option<Vec<Step>> {
    let number = |name: &str| {
        let value = &model.header.iter().find(|(n, _)| n == name)?.1;
        super::model::Interval::read(value)?.some().and_then(|n| u16::try_from(n).ok())
    };
    if variant > 0
        && let Some(raw) = buffers.get("")
    {
        return Some(vec![Step { from_client: to_server, data: raw.clone() }]);
    }
    let name = labels(buffers.get("dns.query").map_or(b"www.example.test".as_slice(), Vec::as_slice))?;
    let kind = number("dns.rrtype").unwrap_or(1).to_be_bytes();
    let opcode = number("dns.opcode").unwrap_or(0) << 11;
    let head = |flags: u16, answers: u16| {
        [0x1a2b, flags | opcode, 1, answers, 0, 0].iter().flat_map(|n: &u16| n.to_be_bytes()).collect::<Vec<u8>>()
    };
    let question = [name.as_slice(), &kind, &[0, 1]].concat();
    let query = [head(0x0100, 0), question.clone()].concat();
    let rcode = number("dns.rcode").unwrap_or(0) & 15;
    let answer = [0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 198, 51, 100, 7];
    let reply = [head(0x8180 | rcode, 1), question, answer.to_vec()].concat();
    Some(vec![Step { from_client: true, data: query }, Step { from_client: false, data: reply }])
}

// A name on the wire. None where it cannot be one.
fn labels(name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for label in name.split(|b| *b == b'.') {
        let len = u8::try_from(label.len()).ok().filter(|n| (1..64).contains(n))?;
        out.push(len);
        out.extend_from_slice(label);
    }
    out.push(0);
    (out.len() <= 255).then_some(out)
}
