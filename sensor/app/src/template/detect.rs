// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules may ask of the template's protocol.

use lagewarte_flow::Direction;

use super::Tx;
use crate::buffer::{Buffer, Field};

/// The `index`-th instance of a buffer.
pub fn buffer(tx: &Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&[u8]> {
    match (buffer, direction, index) {
        (Buffer::TemplateBuffer, Direction::ToServer, 0) => Some(&tx.request),
        (Buffer::TemplateBuffer, Direction::ToClient, 0) => Some(&tx.response),
        _ => None,
    }
}

/// The `index`-th instance of a number.
pub fn number(tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
    match (field, direction, index) {
        (Field::TemplateNumber, Direction::ToServer, 0) => Some(tx.request.len() as u64),
        _ => None,
    }
}
