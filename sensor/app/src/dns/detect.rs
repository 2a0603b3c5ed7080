// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules may ask of a DNS message.

use super::{Kind, Tx};
use crate::buffer::{Buffer, Field};

/// The `index`-th instance of a buffer.
pub fn buffer(kind: Kind, tx: &Tx, buffer: Buffer, index: usize) -> Option<&[u8]> {
    use Buffer as B;
    let m = &tx.message;
    let name = match (kind, buffer) {
        // Of requests only; the others look both ways.
        (Kind::Dns, B::DnsQuery) if !tx.response() => m.queries.get(index).map(|q| q.name),
        (Kind::Dns, B::DnsQueriesRrname)
        | (Kind::Mdns, B::MdnsQueriesRrname)
        | (Kind::Llmnr, B::LlmnrQueriesRrname) => m.queries.get(index).map(|q| q.name),
        (Kind::Dns, B::DnsAnswersRrname)
        | (Kind::Mdns, B::MdnsAnswersRrname)
        | (Kind::Llmnr, B::LlmnrAnswersRrname) => m.answers.get(index).map(|a| a.name),
        (Kind::Dns, B::DnsAuthoritiesRrname)
        | (Kind::Mdns, B::MdnsAuthoritiesRrname)
        | (Kind::Llmnr, B::LlmnrAuthoritiesRrname) => m.authorities.get(index).map(|a| a.name),
        (Kind::Dns, B::DnsAdditionalsRrname)
        | (Kind::Mdns, B::MdnsAdditionalsRrname)
        | (Kind::Llmnr, B::LlmnrAdditionalsRrname) => m.additionals.get(index).map(|a| a.name),
        (Kind::Dns, B::DnsResponseRrname)
        | (Kind::Mdns, B::MdnsResponseRrname)
        | (Kind::Llmnr, B::LlmnrResponseRrname) => {
            if !tx.response() {
                return None;
            }
            return response(tx, index);
        }
        _ => None,
    };
    name.map(|n| m.bytes(n.span))
}

// Every name that a response holds: those asked for and those told, and those that records point to.
fn response(tx: &Tx, index: usize) -> Option<&[u8]> {
    use super::parser::Data;
    let m = &tx.message;
    let queries = m.queries.iter().map(|q| m.bytes(q.name.span));
    let records = m.answers.iter().chain(&m.authorities).chain(&m.additionals).flat_map(|a| {
        let told = match &a.data {
            Data::Name(n) => [Some(*n), None],
            Data::Srv { target, .. } => [Some(*target), None],
            Data::Soa { mname, rname, .. } => [Some(*mname), Some(*rname)],
            _ => [None, None],
        };
        [Some(a.name)].into_iter().chain(told).flatten().map(|n| m.bytes(n.span))
    });
    queries.chain(records).nth(index)
}

/// The `index`-th instance of a number.
pub fn number(tx: &Tx, field: Field, index: usize) -> Option<u64> {
    let m = &tx.message;
    match field {
        Field::DnsOpcode if index == 0 => Some(m.opcode().into()),
        Field::DnsRcode if index == 0 => Some(m.rcode().into()),
        // A request's questions; a response's answers.
        Field::DnsRrtype if !tx.response() => m.queries.get(index).map(|q| q.rrtype.into()),
        Field::DnsRrtype => m.answers.get(index).map(|a| a.rrtype.into()),
        _ => None,
    }
}
