// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules may ask of SSH.

use lagewarte_flow::Direction;

use super::Tx;
use crate::buffer::Buffer;

/// The `index`-th instance of a buffer.
pub fn buffer(tx: &Tx, buffer: Buffer, d: Direction, index: usize) -> Option<&[u8]> {
    if index > 0 {
        return None;
    }
    let said = &tx.said[d.index()]; // an index of two
    let hassh = said.hassh.as_ref();
    match (buffer, d) {
        (Buffer::SshProto, _) => said.banner.as_ref().map(|b| b.proto.as_slice()),
        (Buffer::SshSoftware, _) => said.banner.as_ref().map(|b| b.software.as_slice()).filter(|s| !s.is_empty()),
        (Buffer::SshHassh, Direction::ToServer) | (Buffer::SshHasshServer, Direction::ToClient) => {
            hassh.map(|(_, hash)| hash.as_bytes())
        }
        (Buffer::SshHasshString, Direction::ToServer) | (Buffer::SshHasshServerString, Direction::ToClient) => {
            hassh.map(|(text, _)| text.as_slice())
        }
        _ => None,
    }
}
