// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What rules may ask of a QUIC packet.

use super::Tx;
use crate::buffer::Buffer;

/// A buffer of a packet.
pub fn buffer(tx: &Tx, buffer: Buffer) -> Option<&[u8]> {
    use Buffer as B;
    let m = &tx.message;
    let ja3 = m.ja3.as_ref();
    match buffer {
        B::QuicVersion => Some(&tx.version),
        B::QuicSni => m.sni.as_deref(),
        B::QuicUa => m.user_agent.as_deref(),
        B::QuicCyuHash => m.cyu.as_ref().map(|c| c.hash.as_bytes()),
        B::QuicCyuString => m.cyu.as_ref().map(|c| c.string.as_bytes()),
        B::Ja3Hash if m.to_server => ja3.map(|j| j.hash.as_bytes()),
        B::Ja3String if m.to_server => ja3.map(|j| j.string.as_bytes()),
        B::Ja3sHash if !m.to_server => ja3.map(|j| j.hash.as_bytes()),
        B::Ja3sString if !m.to_server => ja3.map(|j| j.string.as_bytes()),
        B::Ja4Hash => m.ja4.as_ref().map(String::as_bytes),
        _ => None,
    }
}
