// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules may ask of SMB.

use lagewarte_flow::Direction;

use super::{Body, Tx, wire::is_ipc};
use crate::{
    buffer::{Buffer, Field},
    dcerpc,
};

/// The `index`-th instance of a buffer.
pub fn buffer(tx: &Tx, buffer: Buffer, direction: Direction, index: usize) -> Option<&[u8]> {
    if let Body::File { transfer, .. } = &tx.body {
        let mut files = transfer.files().towards(direction);
        return match buffer {
            Buffer::FileData => files.filter_map(|f| f.window.shown()).nth(index),
            Buffer::FileName => files.nth(index).map(|f| f.name.as_slice()).filter(|n| !n.is_empty()),
            Buffer::FileMagic => transfer.files().magic(direction, index),
            _ => None,
        };
    }
    let up = direction == Direction::ToServer;
    match (&tx.body, buffer, index) {
        // Before the server has answered, a share with the pipes' name is taken for both (as a share it is in Suricata).
        (Body::Tree { share, pipe, .. }, Buffer::SmbNamedPipe, 0) if up => {
            (*pipe == Some(true) || pipe.is_none() && is_ipc(share)).then_some(share)
        }
        (Body::Tree { share, pipe, .. }, Buffer::SmbShare, 0) if up => (*pipe != Some(true)).then_some(share),
        (Body::Session { ntlm: Some(n), .. }, Buffer::SmbNtlmsspUser, 0) if up => Some(&n.user),
        (Body::Session { ntlm: Some(n), .. }, Buffer::SmbNtlmsspDomain, 0) if up => Some(&n.domain),
        (Body::Rpc { call, .. }, _, 0) => dcerpc::buffer_of(call, buffer, direction),
        _ => None,
    }
}

/// The `index`-th instance of a number.
pub fn number(tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
    match (&tx.body, field, index) {
        (Body::Odd, ..) => None,
        (_, Field::SmbVersion, 0) => Some(tx.about.version.into()),
        (Body::Rpc { call, .. }, ..) => dcerpc::number_of(call, field, direction, index),
        _ => None,
    }
}
