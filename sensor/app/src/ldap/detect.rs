// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules may ask of LDAP.

use lagewarte_flow::Direction;

use super::{Tx, op};
use crate::buffer::{Buffer, Field};

/// The `index`-th instance of a buffer.
pub fn buffer(tx: &Tx, buffer: Buffer, d: Direction, index: usize) -> Option<&[u8]> {
    match (buffer, d) {
        (Buffer::LdapRequestDn, Direction::ToServer) if index == 0 => op::request_dn(tx.request.as_ref()?),
        (Buffer::LdapRequestAttributeType, Direction::ToServer) => op::attribute_types(tx.request.as_ref()?, index),
        (Buffer::LdapResponsesDn, Direction::ToClient) => tx.responses.get(index).map(op::response_dn),
        (Buffer::LdapResponsesMessage, Direction::ToClient) => {
            tx.responses.get(index).map(|m| op::outcome(m).map(|o| o.message).unwrap_or_default())
        }
        (Buffer::LdapResponsesAttributeType, Direction::ToClient) => {
            let each = |m| (0..).map_while(move |i| op::attribute_types(m, i));
            tx.responses.iter().flat_map(each).nth(index)
        }
        _ => None,
    }
}

/// The `index`-th instance of a number.
pub fn number(tx: &Tx, field: Field, d: Direction, index: usize) -> Option<u64> {
    match (field, d) {
        (Field::LdapRequestOperation, Direction::ToServer) if index == 0 => tx.request.as_ref().map(|m| m.op.into()),
        (Field::LdapResponsesOperation, Direction::ToClient) => tx.responses.get(index).map(|m| m.op.into()),
        (Field::LdapResponsesCount, Direction::ToClient) if index == 0 => Some(tx.count),
        (Field::LdapResponsesResultCode, Direction::ToClient) => {
            tx.responses.iter().filter_map(op::outcome).nth(index).map(|o| o.code)
        }
        _ => None,
    }
}
