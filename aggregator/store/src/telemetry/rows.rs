// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rows ready for the store: encoded once (RowBinary), grouped by table, one segment's worth.
//!
//! What a journal holds is [`Rows::to_bytes`]: the same bytes are inserted again after a crash, with the column list of
//! the day they were made, so that a replay after a migration is still the identical insert. Must never be edited
//! after the segment is sealed. Limits: a segment holds at most [`MAX_SEGMENT_BYTES`].

use std::{borrow::Cow, net::Ipv6Addr};

use lagewarte_base::{id::EventId, reader::Reader, time::Timestamp};
use uuid::Uuid;

use super::{
    columns::{Column, Table, Type},
    members::Named,
};

/// Largest encoded segment that is read back. Threat: a damaged length in a journal asking for unbounded memory.
pub const MAX_SEGMENT_BYTES: usize = 64 << 20;
/// Longest segment id. Threat: a damaged journal; an id repeated in every row.
pub const MAX_SEGMENT_ID: usize = 128;
const VERSION: u8 = 1;

/// One row of one table, encoded but for the segment's id, which [`Rows::push`] adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The table it belongs to.
    pub table: Table,
    /// The event it came from.
    pub id: EventId,
    /// When it was received.
    pub received: Timestamp,
    bytes: Vec<u8>,
}

impl Row {
    pub(super) fn new(table: Table, id: EventId, received: Timestamp, bytes: Vec<u8>) -> Self {
        Self { table, id, received, bytes }
    }

    /// Encoded size in bytes, without the segment's id.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never true: a row has at least its key.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The rows of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    segment: String,
    lane: u32,
    first_received: Timestamp,
    last_received: Timestamp,
    parts: Vec<Part>,
}

/// A table's share of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) table: Table,
    /// Column list of the insert, as it was when the rows were encoded.
    pub(super) columns: String,
    pub(super) count: u64,
    pub(super) bytes: Vec<u8>,
}

/// The bytes are not those of a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a segment's rows: {0}")]
pub struct RowsError(&'static str);

impl Rows {
    /// An empty segment. `segment` is its id and deduplication token: unique for all time, the same at every replay.
    pub fn new(segment: &str, lane: u32) -> Self {
        Self {
            segment: segment.to_owned(),
            lane,
            first_received: Timestamp::from_micros(i64::MAX),
            last_received: Timestamp::from_micros(i64::MIN),
            parts: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: &Row) {
        self.first_received = self.first_received.min(row.received);
        self.last_received = self.last_received.max(row.received);
        let i = self.parts.iter().position(|p| p.table == row.table).unwrap_or_else(|| {
            let columns = row.table.columns().map(|c| c.name).collect::<Vec<_>>().join(", ");
            self.parts.push(Part { table: row.table, columns, count: 0, bytes: Vec::new() });
            self.parts.len() - 1
        });
        let Self { segment, parts, .. } = self;
        let part = &mut parts[i];
        part.count += 1;
        part.bytes.extend_from_slice(&row.bytes);
        text(&mut part.bytes, segment.as_bytes());
    }

    /// The segment's id.
    pub fn segment(&self) -> &str {
        &self.segment
    }
    /// The lane that wrote it.
    pub fn lane(&self) -> u32 {
        self.lane
    }
    /// Rows over all tables.
    pub fn len(&self) -> u64 {
        self.parts.iter().map(|p| p.count).sum()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
    /// Encoded bytes over all tables.
    pub fn size(&self) -> usize {
        self.parts.iter().map(|p| p.bytes.len()).sum()
    }
    /// Earliest and latest receipt; None where there is no row.
    pub fn received(&self) -> Option<(Timestamp, Timestamp)> {
        (!self.is_empty()).then_some((self.first_received, self.last_received))
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The segment as bytes for a journal, which adds its own checksum: pieces one after the other, the rows where they
    /// lie, so that a large segment is not copied.
    pub fn pieces(&self) -> Vec<Cow<'_, [u8]>> {
        let mut head = vec![VERSION];
        head.extend_from_slice(&self.lane.to_le_bytes());
        head.extend_from_slice(&self.first_received.micros().to_le_bytes());
        head.extend_from_slice(&self.last_received.micros().to_le_bytes());
        block(&mut head, self.segment.as_bytes());
        let mut out = vec![Cow::from(head)];
        for p in &self.parts {
            let mut head = vec![p.table as u8];
            head.extend_from_slice(&p.count.to_le_bytes());
            block(&mut head, p.columns.as_bytes());
            length(&mut head, &p.bytes);
            out.extend([Cow::from(head), Cow::from(&p.bytes)]);
        }
        out
    }

    /// [`Rows::pieces`] in one.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pieces().concat()
    }

    /// Reads [`Rows::to_bytes`] back.
    ///
    /// # Errors
    /// Says what is wrong; never panics, and never allocates more than the input's own size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RowsError> {
        const CUT: RowsError = RowsError("cut off");
        if bytes.len() > MAX_SEGMENT_BYTES {
            return Err(RowsError("larger than a segment may be"));
        }
        let mut r = Reader::new(bytes);
        let version = r.u8().ok_or(CUT)?;
        if version != VERSION {
            return Err(RowsError("of a version that this program does not know"));
        }
        let lane = u32::from_le_bytes(r.array().ok_or(CUT)?);
        let first = i64::from_le_bytes(r.array().ok_or(CUT)?);
        let last = i64::from_le_bytes(r.array().ok_or(CUT)?);
        let segment = read_text(&mut r).ok_or(CUT)?;
        if segment.is_empty() || segment.len() > MAX_SEGMENT_ID {
            return Err(RowsError("its id is empty or too long"));
        }
        let mut parts: Vec<Part> = Vec::new();
        while !r.is_empty() {
            let number = r.u8().ok_or(CUT)?;
            let table = Table::from_number(number).ok_or(RowsError("it names an unknown table"))?;
            if parts.iter().any(|p| p.table == table) {
                return Err(RowsError("it names a table twice"));
            }
            let count = u64::from_le_bytes(r.array().ok_or(CUT)?);
            let columns = read_text(&mut r).ok_or(CUT)?;
            if !columns.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b',' | b' ')) {
                return Err(RowsError("its column list is none")); // it becomes part of an SQL text
            }
            let bytes = read_block(&mut r).ok_or(CUT)?.to_vec();
            parts.push(Part { table, columns, count, bytes });
        }
        Ok(Self {
            segment,
            lane,
            first_received: Timestamp::from_micros(first),
            last_received: Timestamp::from_micros(last),
            parts,
        })
    }
}

fn block(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes);
    out.extend_from_slice(bytes);
}

fn length(out: &mut Vec<u8>, bytes: &[u8]) {
    // A segment stays far below 4 GiB: MAX_SEGMENT_BYTES.
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
}

fn read_block<'a>(r: &mut Reader<'a>) -> Option<&'a [u8]> {
    let n = u32::from_le_bytes(r.array()?);
    r.take(usize::try_from(n).ok()?)
}

fn read_text(r: &mut Reader<'_>) -> Option<String> {
    String::from_utf8(read_block(r)?.to_vec()).ok()
}

/// A column's value on its way into RowBinary.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Id(Uuid),
    /// Any unsigned; the column's type says how wide.
    Unsigned(u64),
    Signed(i64),
    Bool(bool),
    Time(Timestamp),
    Text(&'a [u8]),
    Ip(Ipv6Addr),
    Lists(&'a [Named<'a>]),
}

/// Appends a value as RowBinary (ClickHouse documentation, "RowBinary"); false where it does not fit the column.
pub(super) fn encode(out: &mut Vec<u8>, column: &Column, value: &Value<'_>) -> bool {
    match (column.ty, value) {
        (Type::Id, Value::Id(u)) => {
            let (high, low) = u.as_u64_pair();
            out.extend_from_slice(&high.to_le_bytes());
            out.extend_from_slice(&low.to_le_bytes());
        }
        (Type::U8, Value::Unsigned(n)) => match u8::try_from(*n) {
            Ok(n) => out.push(n),
            Err(_) => return false,
        },
        (Type::U16, Value::Unsigned(n)) => match u16::try_from(*n) {
            Ok(n) => out.extend_from_slice(&n.to_le_bytes()),
            Err(_) => return false,
        },
        (Type::U32, Value::Unsigned(n)) => match u32::try_from(*n) {
            Ok(n) => out.extend_from_slice(&n.to_le_bytes()),
            Err(_) => return false,
        },
        (Type::U64, Value::Unsigned(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (Type::I64, Value::Signed(n)) => out.extend_from_slice(&n.to_le_bytes()),
        (Type::Bool, Value::Bool(b)) => out.push(u8::from(*b)),
        (Type::Time, Value::Time(t)) => out.extend_from_slice(&t.micros().to_le_bytes()),
        (Type::Text | Type::Name, Value::Text(t)) => text(out, t),
        (Type::Ip, Value::Ip(ip)) => out.extend_from_slice(&ip.octets()),
        (Type::NameLists, Value::Lists(lists)) => {
            varint(out, lists.len());
            for (name, values) in *lists {
                text(out, name.as_bytes());
                varint(out, values.len());
                for v in values {
                    text(out, v.as_bytes());
                }
            }
        }
        _ => return false,
    }
    true
}

fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    varint(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn varint(out: &mut Vec<u8>, mut n: usize) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[cfg(test)]
mod tests {
    use lagewarte_base::id::Epoch;
    use proptest::prelude::*;

    use super::*;

    fn row(table: Table, us: i64, bytes: &[u8]) -> Row {
        let id = EventId { sensor: Uuid::nil(), epoch: Epoch { counter: 1, nonce: 2 }, seq: 3 };
        Row::new(table, id, Timestamp::from_micros(us), bytes.to_vec())
    }

    fn sample() -> Rows {
        let mut rows = Rows::new("lane-1/7", 1);
        rows.push(&row(Table::Alert, 20, b"abc"));
        rows.push(&row(Table::Health, 10, b"d"));
        rows.push(&row(Table::Alert, 30, b"e"));
        rows
    }

    #[test]
    fn a_segment_is_grouped_by_table_and_each_row_ends_with_its_id() {
        let rows = sample();
        assert_eq!((rows.len(), rows.parts().len()), (3, 2));
        assert_eq!(rows.received(), Some((Timestamp::from_micros(10), Timestamp::from_micros(30))));
        assert_eq!(rows.parts()[0].bytes, b"abc\x08lane-1/7e\x08lane-1/7");
        assert_eq!(Rows::new("x", 0).received(), None);
    }

    #[test]
    fn bytes_round_trip_and_every_truncation_is_refused_or_a_shorter_segment() {
        let rows = sample();
        let bytes = rows.to_bytes();
        assert_eq!(Rows::from_bytes(&bytes), Ok(rows.clone()));
        for n in 0..bytes.len() {
            if let Ok(cut) = Rows::from_bytes(&bytes[..n]) {
                assert!(cut.parts().len() < rows.parts().len(), "{n}");
            }
        }
    }

    #[test]
    fn what_is_no_segment_is_refused() {
        let good = sample().to_bytes();
        let with = |f: &dyn Fn(&mut Vec<u8>)| {
            let mut b = good.clone();
            f(&mut b);
            Rows::from_bytes(&b)
        };
        assert!(with(&|b| b[0] = 9).is_err(), "version");
        let table_at = 1 + 4 + 8 + 8 + 4 + "lane-1/7".len();
        assert!(with(&|b| b[table_at] = 99).is_err(), "table");
        assert!(with(&|b| b[table_at + 1 + 8 + 4] = b';').is_err(), "columns become SQL");
        let twice = with(&|b| b.extend_from_within(table_at..));
        assert_eq!(twice, Err(RowsError("it names a table twice")));
        assert!(Rows::from_bytes(&Rows::new("", 0).to_bytes()).is_err());
        assert!(Rows::from_bytes(&Rows::new(&"x".repeat(MAX_SEGMENT_ID + 1), 0).to_bytes()).is_err());
        assert_eq!(
            Rows::from_bytes(&vec![VERSION; MAX_SEGMENT_BYTES + 1]),
            Err(RowsError("larger than a segment may be"))
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Rows::from_bytes(&bytes);
        }
        #[test]
        fn varints_are_leb128(n in 0usize..1 << 40) {
            let mut out = Vec::new();
            varint(&mut out, n);
            let back = out.iter().rev().fold(0usize, |a, b| a << 7 | usize::from(b & 0x7f));
            prop_assert_eq!(back, n);
            prop_assert!(out[..out.len() - 1].iter().all(|b| b & 0x80 != 0) && out[out.len() - 1] & 0x80 == 0);
        }
    }
}
