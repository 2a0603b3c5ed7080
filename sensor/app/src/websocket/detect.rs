// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules may ask of a WebSocket frame.

use lagewarte_flow::Direction;

use super::Tx;
use crate::buffer::{Buffer, Field};

/// The `index`-th instance of a buffer.
pub fn buffer(tx: &Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&[u8]> {
    let this = direction == tx.way() && index == 0 && buffer == Buffer::WebsocketPayload;
    (this && !tx.payload.is_empty()).then_some(tx.payload.as_slice())
}

/// The `index`-th instance of a number.
pub fn number(tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
    if direction != tx.way() || index > 0 {
        return None;
    }
    match field {
        Field::WebsocketOpcode => Some(tx.head.opcode.into()),
        Field::WebsocketFlags => Some(tx.head.flags().into()),
        Field::WebsocketMask => tx.head.mask.map(u64::from),
        _ => None,
    }
}
