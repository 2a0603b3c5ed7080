// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A segment that the engine itself refuses: found by halves, the refused rows go to quarantine, the rest is stored.
//!
//! Extraction validates everything it knows of. What it does not know of (a constraint that somebody added, a limit of the
//! engine, a view that throws) must not stop a lane for ever. Each half has a token of its own, made of the segment's id
//! and its place, so that a repetition after a crash counts once. Must never be used where the engine is only busy or
//! away, and never insert a row twice that a failed insert has committed all the same. Limits: [`MAX_REFUSED`].

use lagewarte_base::time::Timestamp;

use super::{
    columns::{Column, Source, Table, Type},
    extract::MAX_DETAIL,
    fence::lane_of,
    insert::{Telemetry, TelemetryError},
    rows::{Part, Rows, Value, encode},
};

/// Most rows of one table's share that are put aside. More are no poisoned events but a store that is not right: the
/// segment then waits, and is reported. Threat: a damaged schema that sends everything to quarantine.
pub const MAX_REFUSED: usize = 100;
/// The reason of rows that the engine refused.
pub const REFUSED: &str = "refused-by-store";

/// What became of a segment that the engine refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolated {
    /// Rows in quarantine instead of their table.
    pub refused: u64,
    /// Rows that could be stored nowhere: of quarantine and gaps themselves.
    pub lost: u64,
    /// Rows that are stored, but that a view refused: a rollup lacks them.
    pub behind: u64,
}

impl TelemetryError {
    /// Whether the store refused the rows themselves, so that it will refuse them again.
    pub fn refuses_rows(&self) -> bool {
        // Codes of ClickHouse (its ErrorCodes): parse errors, wrong types and ranges, too large, constraints, throwIf.
        const CODES: [u32; 20] = [6, 26, 27, 32, 33, 36, 38, 41, 43, 44, 49, 53, 69, 70, 117, 128, 131, 321, 395, 469];
        let Self::Store { source: clickhouse::error::Error::BadResponse(text), .. } = self else { return false };
        let code = text.strip_prefix("Code: ").and_then(|t| t.split('.').next()).and_then(|c| c.parse().ok());
        // Too many partitions in one insert has the code of too many parts, which passes.
        code.is_some_and(|c: u32| CODES.contains(&c)) || text.contains("Too many partitions for single INSERT block")
    }
}

impl Telemetry {
    /// As [`Telemetry::insert_segment`], for a segment whose rows the store refused: what it refuses goes to quarantine.
    /// Must be retried unchanged until it succeeds, as that one.
    ///
    /// # Errors
    /// The store's answer, where it is not about single rows; or more than [`MAX_REFUSED`] of them.
    pub async fn insert_isolating(&self, rows: &Rows) -> Result<(Timestamp, Isolated), TelemetryError> {
        let mut done = Isolated::default();
        let node = self.node_of(rows.lane());
        for table in Table::ALL {
            for part in rows.parts().iter().filter(|p| p.table == table) {
                match node.insert_part(rows.segment(), table, &part.columns, &part.bytes).await {
                    Err(e) if e.refuses_rows() => node.isolate(rows.segment(), part, e, &mut done).await?,
                    other => other?,
                }
            }
        }
        let now = self.now();
        let received = rows.received().unwrap_or((now, now));
        let owner = lane_of(rows.segment());
        let durable = node.insert_segment_row(owner, rows.segment(), rows.lane(), rows.len(), received).await?;
        Ok((durable, done))
    }

    async fn isolate(
        &self,
        segment: &str,
        part: &Part,
        first: TelemetryError,
        done: &mut Isolated,
    ) -> Result<(), TelemetryError> {
        let table = part.table;
        let columns: Vec<&Column> =
            part.columns.split(", ").filter_map(|n| table.columns().find(|c| c.name == n)).collect();
        let Some(ends) = row_ends(&columns, &part.bytes).filter(|e| e.len() as u64 == part.count) else {
            return Err(first); // rows of a past that this program cannot take apart
        };
        let mut there = self.stored(segment, table).await?;
        if there == part.count {
            done.behind += part.count;
            return Ok(());
        }
        let slice = |from: usize, to: usize| {
            let begin = if from == 0 { Some(0) } else { ends.get(from - 1).copied() };
            let end = to.checked_sub(1).and_then(|t| ends.get(t).copied());
            begin.zip(end).and_then(|(b, e)| part.bytes.get(b..e)).unwrap_or_default()
        };
        let mut refused = 0;
        let mut open = vec![(0, ends.len())];
        while let Some((from, to)) = open.pop() {
            let token = format!("{segment}/{}/{from}-{to}", table.name());
            let inserted = self.insert_rows(lane_of(segment), table, &part.columns, slice(from, to), &token).await;
            let error = match inserted {
                Err(e) if e.refuses_rows() => e,
                Err(e) => return Err(e),
                Ok(()) => {
                    there = self.stored(segment, table).await?;
                    continue;
                }
            };
            let now = self.stored(segment, table).await?;
            let committed = now.saturating_sub(there);
            there = now;
            if committed > 0 {
                done.behind += committed;
            } else if to - from > 1 {
                let middle = from + (to - from) / 2;
                open.extend([(middle, to), (from, middle)]);
            } else {
                refused += 1;
                if refused > MAX_REFUSED {
                    return Err(error);
                }
                self.put_aside(segment, &columns, table, from, slice(from, to), &error, done).await?;
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one row with all that is known of it")]
    async fn put_aside(
        &self,
        segment: &str,
        columns: &[&Column],
        table: Table,
        index: usize,
        row: &[u8],
        error: &TelemetryError,
        done: &mut Isolated,
    ) -> Result<(), TelemetryError> {
        let text = error.to_string();
        if matches!(table, Table::Quarantine | Table::Gap | Table::Segment) {
            tracing::error!(segment, table = table.name(), error = text, "a row is refused and can be stored nowhere");
            done.lost += 1;
            return Ok(());
        }
        tracing::error!(segment, table = table.name(), error = text, "the store refuses a row; it goes to quarantine");
        let detail = (0..=MAX_DETAIL).rev().find_map(|n| text.get(..n)).unwrap_or(&text);
        let mut names = Vec::new();
        let mut bytes = Vec::new();
        for column in Table::Quarantine.columns() {
            match column.source {
                Source::Reason => _ = encode(&mut bytes, column, &Value::Text(REFUSED.as_bytes())),
                Source::Detail => _ = encode(&mut bytes, column, &Value::Text(detail.as_bytes())),
                // The same column of the row has the same type, so the same bytes.
                _ => match member(columns, row, column.name) {
                    Some(value) => bytes.extend_from_slice(value),
                    None => continue,
                },
            }
            names.push(column.name);
        }
        let token = format!("{segment}/{}/refused-{index}", table.name());
        self.insert_rows(lane_of(segment), Table::Quarantine, &names.join(", "), &bytes, &token).await?;
        done.refused += 1;
        Ok(())
    }

    /// Rows of a segment in a table.
    async fn stored(&self, segment: &str, table: Table) -> Result<u64, TelemetryError> {
        let sql = format!("SELECT count() FROM {} WHERE segment = {{segment:String}}", table.name());
        let ask = self.client().query_raw(&sql).param("segment", segment).fetch_one();
        ask.await.map_err(TelemetryError::store(format!("counting segment {segment}")))
    }
}

/// Where each row ends; None where the bytes are not whole rows of these columns.
fn row_ends(columns: &[&Column], bytes: &[u8]) -> Option<Vec<usize>> {
    let mut ends = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        for column in columns {
            at = value_end(column.ty, bytes, at)?;
        }
        ends.push(at);
    }
    Some(ends)
}

fn member<'a>(columns: &[&Column], row: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut at = 0;
    for column in columns {
        let end = value_end(column.ty, row, at)?;
        if column.name == name {
            return row.get(at..end);
        }
        at = end;
    }
    None
}

/// Where a RowBinary value that begins at `at` ends.
fn value_end(ty: Type, bytes: &[u8], at: usize) -> Option<usize> {
    let end = match ty {
        Type::U8 | Type::Bool => at.checked_add(1)?,
        Type::U16 => at.checked_add(2)?,
        Type::U32 => at.checked_add(4)?,
        Type::U64 | Type::I64 | Type::Time => at.checked_add(8)?,
        Type::Id | Type::Ip => at.checked_add(16)?,
        Type::Text | Type::Name => text_end(bytes, at)?,
        Type::NameLists => {
            let (lists, mut at) = varint(bytes, at)?;
            for _ in 0..lists {
                at = text_end(bytes, at)?;
                let (values, next) = varint(bytes, at)?;
                at = next;
                for _ in 0..values {
                    at = text_end(bytes, at)?;
                }
            }
            at
        }
    };
    (end <= bytes.len()).then_some(end)
}

fn text_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (n, at) = varint(bytes, at)?;
    let end = at.checked_add(n)?;
    (end <= bytes.len()).then_some(end)
}

fn varint(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut n = 0usize;
    for shift in (0..63).step_by(7) {
        let b = *bytes.get(at)?;
        at += 1;
        n |= usize::from(b & 0x7f) << shift;
        if b & 0x80 == 0 {
            return Some((n, at));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_panic_and_ends_ascend(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for table in Table::ALL {
                let columns: Vec<_> = table.columns().collect();
                if let Some(ends) = row_ends(&columns, &bytes) {
                    prop_assert!(ends.windows(2).all(|w| w[0] < w[1]));
                    prop_assert_eq!(ends.last().copied().unwrap_or(0), bytes.len());
                }
            }
        }
    }
}
