// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! HPACK (RFC 7541), decoding only: the fields of a header block, with the table that both sides share.
//!
//! Must never let the table grow beyond [`MAX_TABLE`], a block give more than [`MAX_FIELDS`] fields or [`MAX_LIST`] bytes,
//! or a number overflow. After an error the table cannot be trusted: the caller stops decoding that direction.

use std::{collections::VecDeque, sync::OnceLock};

/// Bytes of a dynamic table at most; Suricata's default. Threat: a SETTINGS frame that asks for 4 GiB.
pub const MAX_TABLE: usize = 65_536;
/// Fields of a block at most. Threat: a byte each for an indexed field.
pub const MAX_FIELDS: usize = 1024;
/// Bytes of all names and values of a block at most. Threat: one byte that names a long value, a thousand times.
pub const MAX_LIST: usize = 256 * 1024;
/// Size updates of a block that are kept for rules. Threat: a block of nothing else, a byte each.
pub const MAX_UPDATES: usize = 16;

/// What is wrong with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It ends in the middle of a field.
    Short,
    /// An index beyond both tables.
    Index,
    /// A number that does not fit.
    Number,
    /// Bits that no symbol has.
    Huffman,
    /// A table larger than was agreed.
    Table,
    /// More fields or bytes than are read.
    Large,
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// The dynamic table of one direction.
#[derive(Debug)]
pub struct Decoder {
    table: VecDeque<Field>,
    size: usize,
    limit: usize,
    /// What the peer's SETTINGS allow.
    allowed: usize,
    /// Size updates of the last block, at most [`MAX_UPDATES`].
    updates: Vec<usize>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { table: VecDeque::new(), size: 0, limit: 4096, allowed: 4096, updates: Vec::new() }
    }
}

impl Decoder {
    /// SETTINGS_HEADER_TABLE_SIZE of the peer.
    pub fn allow(&mut self, size: u32) {
        self.allowed = (size as usize).min(MAX_TABLE);
    }

    /// The dynamic table's sizes that the last block stated.
    pub fn updates(&self) -> &[usize] {
        &self.updates
    }

    /// Decodes a block.
    pub fn block(&mut self, data: &[u8]) -> Result<Vec<Field>, Error> {
        let mut rest = data;
        self.updates.clear();
        let (mut fields, mut bytes) = (Vec::new(), 0);
        while let Some(&first) = rest.first() {
            let field = if first & 0x80 != 0 {
                let index = number(&mut rest, 7)?;
                self.at(index)?
            } else if first & 0x40 != 0 {
                let f = self.literal(&mut rest, 6)?;
                self.insert(f.clone());
                f
            } else if first & 0x20 != 0 {
                let size = number(&mut rest, 5)?;
                if self.updates.len() < MAX_UPDATES {
                    self.updates.push(size);
                }
                if size > self.allowed.max(4096) {
                    return Err(Error::Table);
                }
                self.limit = size;
                self.shrink(0);
                continue;
            } else {
                self.literal(&mut rest, 4)?
            };
            bytes += field.name.len() + field.value.len();
            if fields.len() >= MAX_FIELDS || bytes > MAX_LIST {
                return Err(Error::Large);
            }
            fields.push(field);
        }
        Ok(fields)
    }

    fn literal(&self, rest: &mut &[u8], bits: u32) -> Result<Field, Error> {
        let index = number(rest, bits)?;
        let name = if index == 0 { string(rest)? } else { self.at(index)?.name };
        Ok(Field { name, value: string(rest)? })
    }

    fn at(&self, index: usize) -> Result<Field, Error> {
        let i = index.checked_sub(1).ok_or(Error::Index)?;
        match STATIC.get(i) {
            Some((n, v)) => Ok(Field { name: n.to_vec(), value: v.to_vec() }),
            None => self.table.get(i - STATIC.len()).cloned().ok_or(Error::Index),
        }
    }

    fn insert(&mut self, f: Field) {
        let size = f.name.len() + f.value.len() + 32;
        self.shrink(size);
        if size <= self.limit {
            self.size += size;
            self.table.push_front(f);
        }
    }
    // Makes room for so many bytes.
    fn shrink(&mut self, room: usize) {
        while self.size + room > self.limit
            && let Some(old) = self.table.pop_back()
        {
            self.size -= old.name.len() + old.value.len() + 32;
        }
    }
}

// A number with a prefix of so many bits (RFC 7541, 5.1).
fn number(rest: &mut &[u8], bits: u32) -> Result<usize, Error> {
    let (first, mut tail) = rest.split_first().ok_or(Error::Short)?;
    let mask = (1usize << bits) - 1;
    let mut n = usize::from(*first) & mask;
    if n == mask {
        let mut shift = 0u32;
        loop {
            let (b, t) = tail.split_first().ok_or(Error::Short)?;
            tail = t;
            if shift > 21 {
                return Err(Error::Number); // beyond 28 bits nothing is a length or an index
            }
            n += usize::from(b & 0x7f) << shift;
            shift += 7;
            if b & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = tail;
    Ok(n)
}

fn string(rest: &mut &[u8]) -> Result<Vec<u8>, Error> {
    let coded = rest.first().ok_or(Error::Short)? & 0x80 != 0;
    let len = number(rest, 7)?;
    let (text, tail) = rest.split_at_checked(len).ok_or(Error::Short)?;
    *rest = tail;
    if coded { huffman(text) } else { Ok(text.to_vec()) }
}

// Codes are canonical: those of one length follow each other, in the order of their symbols.
struct Codes {
    // For each length: the first code, how many, and where their symbols begin.
    by_length: [(u32, u32, u32); 31],
    symbols: Vec<u16>,
}

fn codes() -> &'static Codes {
    static CODES: OnceLock<Codes> = OnceLock::new();
    CODES.get_or_init(|| {
        let mut c = Codes { by_length: [(0, 0, 0); 31], symbols: Vec::with_capacity(257) };
        let mut code = 0u32;
        for (length, slot) in c.by_length.iter_mut().enumerate() {
            code <<= 1;
            let begin = c.symbols.len() as u32; // at most 257
            let of = LENGTHS.iter().enumerate().filter(|(_, l)| usize::from(**l) == length);
            c.symbols.extend(of.map(|(s, _)| s as u16)); // at most 256
            let count = c.symbols.len() as u32 - begin;
            *slot = (code, count, begin);
            code += count;
        }
        c
    })
}

fn huffman(text: &[u8]) -> Result<Vec<u8>, Error> {
    let codes = codes();
    let mut out = Vec::with_capacity(text.len() + text.len() / 2);
    let (mut code, mut length) = (0u32, 0usize);
    for byte in text {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            let (first, count, begin) = *codes.by_length.get(length).ok_or(Error::Huffman)?;
            if count > 0 && code >= first && code - first < count {
                match codes.symbols.get((begin + code - first) as usize) {
                    Some(s) if *s < 256 => out.push(*s as u8),
                    _ => return Err(Error::Huffman), // the end's symbol has no place in a text
                }
                (code, length) = (0, 0);
            }
        }
    }
    // Padding: fewer than eight bits, all ones.
    if length > 7 || code != (1 << length) - 1 {
        return Err(Error::Huffman);
    }
    Ok(out)
}

// RFC 7541, Appendix B: lengths of the codes of all symbols; the codes follow from them.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

// RFC 7541, Appendix A.
#[rustfmt::skip]
const STATIC: [(&[u8], &[u8]); 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(d: &mut Decoder, block: &str, fields: &[(&str, &str)]) {
        let got = d.block(&hex::decode(block).unwrap()).unwrap();
        let got: Vec<_> = got
            .iter()
            .map(|f| (String::from_utf8(f.name.clone()).unwrap(), String::from_utf8(f.value.clone()).unwrap()))
            .collect();
        let fields: Vec<_> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(got, fields);
    }

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7541, C.3 (without Huffman) and C.4 (with it): three requests on one connection.
        let first = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "www.example.com")];
        let second = [&first[..], &[("cache-control", "no-cache")]].concat();
        let third = [
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ];
        let mut d = Decoder::default();
        check(&mut d, "828684410f7777772e6578616d706c652e636f6d", &first);
        check(&mut d, "828684be58086e6f2d6361636865", &second);
        check(&mut d, "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", &third);
        assert_eq!(d.size, 164);
        let mut d = Decoder::default();
        check(&mut d, "828684418cf1e3c2e5f23a6ba0ab90f4ff", &first);
        check(&mut d, "828684be5886a8eb10649cbf", &second);
        check(&mut d, "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", &third);
    }

    #[test]
    fn what_is_wrong_is_said() {
        let of = |b: &[u8]| Decoder::default().block(b).unwrap_err();
        assert_eq!(of(&[0x80]), Error::Index);
        assert_eq!(of(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), Error::Number);
        assert_eq!(of(&[0xfe]), Error::Index);
        assert_eq!(of(&[0x40, 0x05, b'a']), Error::Short);
        assert_eq!(of(&[0x3f, 0xff, 0xff, 0x7f]), Error::Table);
        assert_eq!(of(&[0x00, 0x81, 0x00, 0x00]), Error::Huffman);
        assert_eq!(of(&[0x82; MAX_FIELDS + 1]), Error::Large);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut d = Decoder::default();
        for _ in 0..1000 {
            let block = [&[0x40, 1, b'a', 0x7f, 0x81, 0x06][..], &[b'x'; 896]].concat();
            assert!(d.block(&block).is_ok());
            assert!(d.size <= 4096);
        }
    }

    proptest! {
        #[test]
        fn any_bytes(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..6)) {
            let mut d = Decoder::default();
            for b in blocks {
                let _ = d.block(&b);
                prop_assert!(d.size <= MAX_TABLE);
            }
        }
    }
}
