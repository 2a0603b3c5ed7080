// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The head of a WebSocket frame (RFC 6455, 5.2), and the mask over its payload.
//!
//! Pure: bytes to values. Must never look at a payload's length before the mask is there too.

use lagewarte_base::reader::Reader;

/// Opcode of a further fragment.
pub const CONTINUATION: u8 = 0;
/// From this opcode on frames are control frames: close, ping, pong.
pub const CLOSE: u8 = 8;

/// A frame's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The message ends with it.
    pub fin: bool,
    /// The three reserved bits, the first one (compressed) being 4.
    pub rsv: u8,
    /// What it is.
    pub opcode: u8,
    /// Its mask, where it has one: a client's frames must.
    pub mask: Option<u32>,
    /// Bytes of payload.
    pub len: u64,
}

impl Head {
    /// Its first byte's upper four bits, where they stand.
    pub const fn flags(&self) -> u8 {
        (self.fin as u8) << 7 | self.rsv << 4
    }
    /// Whether its payload, or the message that begins with it, is compressed.
    pub const fn compressed(&self) -> bool {
        self.rsv & 4 != 0
    }
}

/// The head at the beginning of `data` and its length; None where it is not complete.
pub fn head(data: &[u8]) -> Option<(Head, usize)> {
    let mut r = Reader::new(data);
    let (first, second) = (r.u8()?, r.u8()?);
    let len = match second & 0x7f {
        126 => r.u16()?.into(),
        127 => r.u64()?,
        n => n.into(),
    };
    let mask = if second & 0x80 != 0 { Some(r.u32()?) } else { None };
    let head = Head { fin: first & 0x80 != 0, rsv: first >> 4 & 7, opcode: first & 15, mask, len };
    Some((head, data.len() - r.rest().len()))
}

/// Takes the mask off.
pub fn unmask(payload: &mut [u8], mask: Option<u32>) {
    let Some(mask) = mask.map(u32::to_be_bytes) else { return };
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(b, m)| *b ^= m);
}

/// An opcode's name.
pub const fn opcode_name(opcode: u8) -> Option<&'static str> {
    Some(match opcode {
        0 => "continuation",
        1 => "text",
        2 => "binary",
        8 => "connection_close",
        9 => "ping",
        10 => "pong",
        _ => return None,
    })
}
