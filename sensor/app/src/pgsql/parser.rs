// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Messages of PostgreSQL's protocol, version 3 (PostgreSQL documentation, "Frontend/Backend Protocol"): bytes to values
//! that borrow from them.
//!
//! Pure. Must never look outside a message.

use lagewarte_base::reader::Reader;

/// A client's first message that asks for TLS.
pub const SSL_REQUEST: u32 = 80_877_103;
/// The same, for GSSAPI.
pub const GSS_REQUEST: u32 = 80_877_104;
/// Asks to give a query up.
pub const CANCEL_REQUEST: u32 = 80_877_102;

/// What a message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Its type, bytes before its content, bytes of content.
    Is(u8, usize, usize),
    /// More bytes are wanted.
    More,
    /// A length that is none.
    Bad,
}

/// The head of a message with a type.
pub fn head(data: &[u8]) -> Head {
    match data {
        [kind, a, b, c, d, ..] => match (u32::from_be_bytes([*a, *b, *c, *d]) as usize).checked_sub(4) {
            Some(len) if kind.is_ascii_alphanumeric() => Head::Is(*kind, 5, len),
            _ => Head::Bad,
        },
        _ => Head::More,
    }
}

/// The head of a message without a type: a client's first ones. The type is 0.
pub fn first_head(data: &[u8]) -> Head {
    match data {
        // A length of a byte is all that a startup needs, and four bytes of code.
        [a, b, c, d, ..] => match (u32::from_be_bytes([*a, *b, *c, *d]) as usize).checked_sub(4) {
            Some(len) if (4..=10_000).contains(&len) => Head::Is(0, 4, len),
            _ => Head::Bad,
        },
        _ => Head::More,
    }
}

/// Text up to a zero.
pub fn text<'a>(r: &mut Reader<'a>) -> Option<&'a [u8]> {
    let end = memchr::memchr(0, r.rest())?;
    let text = r.take(end)?;
    r.u8()?;
    Some(text)
}

/// Names and values, up to an empty name.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a>(pub &'a [u8]);

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        let mut r = Reader::new(self.0);
        let name = text(&mut r).filter(|n| !n.is_empty())?;
        let value = text(&mut r)?;
        self.0 = r.rest();
        Some((name, value))
    }
}

/// Fields of an error or a notice: a letter and a text each.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u8, &'a [u8]);
    fn next(&mut self) -> Option<Self::Item> {
        let mut r = Reader::new(self.0);
        let letter = r.u8().filter(|l| *l != 0)?;
        let value = text(&mut r)?;
        self.0 = r.rest();
        Some((letter, value))
    }
}

/// Bytes of the values of a row.
pub fn row_size(content: &[u8]) -> u64 {
    let mut r = Reader::new(content);
    let columns = r.u16().unwrap_or(0);
    let mut size = 0;
    for _ in 0..columns {
        // A length of -1 stands for no value.
        let Some(len) = r.u32() else { break };
        if len != u32::MAX {
            size += u64::from(len);
            if r.take(len as usize).is_none() {
                break;
            }
        }
    }
    size
}

/// A parameter's name as EVE writes it: `TimeZone` is `time_zone`.
pub fn snake(name: &[u8]) -> String {
    let mut out = String::new();
    for (i, b) in name.iter().enumerate() {
        if b.is_ascii_uppercase() {
            if i > 0 {
                out.push('_');
            }
            out.push(b.to_ascii_lowercase().into());
        } else if b.is_ascii_graphic() {
            out.push((*b).into());
        }
    }
    out
}
