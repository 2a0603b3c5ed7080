// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Operations of LDAP: their numbers and names, and what stands where in them (RFC 4511, 4.2 to 4.13).
//!
//! Must never fail on a part: what is not there is None.

use super::Kept;
use crate::ber::{ENUMERATED, Element, Elements, OCTETS};

/// Ends a session; has no response.
pub const UNBIND: u8 = 2;
/// An entry found.
pub const ENTRY: u8 = 4;
/// Gives a request up; has no response.
pub const ABANDON: u8 = 16;
/// Where else to look.
pub const REFERENCE: u8 = 19;
/// What answers an extended request.
pub const EXTENDED_RESPONSE: u8 = 24;
/// More will follow.
pub const INTERMEDIATE: u8 = 25;
/// The extended request that asks for TLS.
pub const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// Whether a server says it.
pub const fn is_response(op: u8) -> bool {
    matches!(op, 1 | 4 | 5 | 7 | 9 | 11 | 13 | 15 | 19 | 24 | 25)
}

/// The result that most responses hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// Its code.
    pub code: u64,
    /// The entry nearest to what was named.
    pub matched: &'a [u8],
    /// In words.
    pub message: &'a [u8],
}

/// The result of a response that has one.
pub fn outcome(m: &Kept) -> Option<Outcome<'_>> {
    matches!(m.op, 1 | 5 | 7 | 9 | 11 | 13 | 15 | 24).then(|| result(&m.content)).flatten()
}

/// The result at the beginning of a response.
pub fn result(content: &[u8]) -> Option<Outcome<'_>> {
    let mut parts = Elements(content);
    let code = parts.next().filter(|e| e.tag == ENUMERATED)?.number()?;
    let (matched, message) = (octets(parts.next())?, octets(parts.next())?);
    Some(Outcome { code: u64::try_from(code).ok()?, matched, message })
}

/// What an OCTET STRING holds.
pub(super) fn octets(e: Option<Element<'_>>) -> Option<&[u8]> {
    e.filter(|e| e.tag == OCTETS).map(|e| e.content)
}

/// The entry that a request is about.
pub fn request_dn(m: &Kept) -> Option<&[u8]> {
    match m.op {
        0 => octets(Elements(&m.content).nth(1)),
        3 | 6 | 8 | 12 | 14 => octets(Elements(&m.content).next()),
        10 => Some(&m.content),
        _ => None,
    }
}

/// The entry that a response names; empty where it names none.
pub fn response_dn(m: &Kept) -> &[u8] {
    match m.op {
        ENTRY => octets(Elements(&m.content).next()).unwrap_or_default(),
        _ => outcome(m).map(|o| o.matched).unwrap_or_default(),
    }
}

/// The name of an extended request.
pub fn extended_name(m: &Kept) -> Option<&[u8]> {
    (m.op == 23).then(|| Elements(&m.content).find(|e| e.tag == 0x80).map(|e| e.content)).flatten()
}

/// Attributes with their values: of an entry, an add request, a modification.
pub(super) fn attributes(list: Option<Element<'_>>) -> impl Iterator<Item = (&[u8], Elements<'_>)> {
    list.into_iter().flat_map(Element::elements).filter_map(|e| {
        let mut parts = e.elements();
        let kind = octets(parts.next())?;
        Some((kind, parts.next()?.elements()))
    })
}

/// The types of attributes that a message names.
pub fn attribute_types(m: &Kept, index: usize) -> Option<&[u8]> {
    let list = |n: usize| Elements(&m.content).nth(n);
    match m.op {
        // Those that a search wants.
        3 => octets(list(7)?.elements().nth(index)),
        4 | 8 => attributes(list(1)).nth(index).map(|(kind, _)| kind),
        6 => {
            let change = list(1)?.elements().nth(index)?;
            octets(change.elements().nth(1)?.elements().next())
        }
        14 if index == 0 => octets(list(1)?.elements().next()),
        _ => None,
    }
}
