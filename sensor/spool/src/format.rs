// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Bytes of a segment: header and entries, written and found again.
//!
//! Must never look inside a record, and never trust a byte that its checksum does not cover. Limits: [`MAX_RECORD`].

use lagewarte_base::{id::Epoch, reader::Reader};

use crate::{GapReason, Priority};

/// Largest record. Threat: a bug upstream (or a foreign eve.json) writing one record that starves the line and the quota.
pub const MAX_RECORD: usize = 512 << 10;
/// Bytes of a segment's header.
pub(crate) const HEADER: usize = 36;
/// Bytes before an entry's payload.
pub(crate) const ENTRY: usize = 27;

const MAGIC: &[u8; 8] = b"LWSPOOL1";
/// Begins every entry; not valid UTF-8, so that no EVE text can imitate one while a reader searches for the next entry.
const MARK: [u8; 2] = [0xC5, 0x1A];
const GAP_KIND: u8 = 16;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A record, handed over by the caller.
    Record(Priority),
    /// Sequence numbers that never got a record.
    Gap(GapReason),
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Record(p) => p as u8,
            Self::Gap(r) => GAP_KIND + r as u8,
        }
    }
    fn from_code(code: u8) -> Option<Self> {
        match code {
            c if c >= GAP_KIND => GapReason::from_code(c - GAP_KIND).map(Self::Gap),
            c => Priority::from_code(c).map(Self::Record),
        }
    }
}

/// One entry found in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: Kind,
    /// First sequence number.
    pub(crate) seq: u64,
    /// Last sequence number; the first again for a record.
    pub(crate) last: u64,
    /// The sensor's clock at append, microseconds.
    pub(crate) at_us: i64,
    pub(crate) payload: &'a [u8],
}

/// A segment's header.
pub(crate) fn header(epoch: Epoch, first_seq: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(MAGIC);
    for n in [epoch.counter, epoch.nonce, first_seq] {
        out.extend_from_slice(&n.to_be_bytes());
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

/// Appends a record to `out`.
pub(crate) fn put_record(out: &mut Vec<u8>, priority: Priority, seq: u64, at_us: i64, payload: &[u8]) {
    put(out, Kind::Record(priority), seq, at_us, payload);
}

/// Appends a gap to `out`.
pub(crate) fn put_gap(out: &mut Vec<u8>, reason: GapReason, from: u64, to: u64, at_us: i64) {
    put(out, Kind::Gap(reason), from, at_us, &to.to_be_bytes());
}

fn put(out: &mut Vec<u8>, kind: Kind, seq: u64, at_us: i64, payload: &[u8]) {
    out.extend_from_slice(&MARK);
    let covered = out.len();
    out.push(kind.code());
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(&seq.to_be_bytes());
    out.extend_from_slice(&at_us.to_be_bytes());
    let crc = checksum(&out[covered..], payload);
    out.extend_from_slice(&crc.to_be_bytes());
    out.extend_from_slice(payload);
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    let mut h = crc32fast::Hasher::new();
    h.update(head);
    h.update(payload);
    h.finalize()
}

/// The first sound entry at or behind `pos` whose numbers lie above `after`, and the position behind it. Unsound bytes
/// are searched through for the next mark, so that one bad sector costs its own records only.
pub(crate) fn next_entry(bytes: &[u8], mut pos: usize, after: u64) -> Option<(Entry<'_>, usize)> {
    loop {
        let rest = bytes.get(pos..)?;
        if let Some((entry, len)) = entry(rest) {
            if entry.seq > after {
                return Some((entry, pos + len));
            }
            pos += len; // written twice: once before a failed commit, once after
            continue;
        }
        pos += 1 + rest.get(1..)?.windows(2).position(|w| w == MARK)?;
    }
}

fn entry(bytes: &[u8]) -> Option<(Entry<'_>, usize)> {
    let mut r = Reader::new(bytes);
    if r.array::<2>()? != MARK {
        return None;
    }
    let head = r.rest().get(..21)?;
    let kind = Kind::from_code(r.u8()?)?;
    let len = usize::try_from(r.u32()?).ok().filter(|n| *n <= MAX_RECORD)?;
    let seq = r.u64()?;
    let at_us = i64::from_be_bytes(r.array()?);
    let crc = r.u32()?;
    let payload = r.take(len)?;
    if crc != checksum(head, payload) {
        return None;
    }
    let last = match kind {
        Kind::Record(_) => seq,
        Kind::Gap(_) => Reader::new(payload).u64().filter(|to| *to >= seq)?,
    };
    Some((Entry { kind, seq, last, at_us, payload }, ENTRY + len))
}

/// A segment's file name. Sorts by epoch, then by sequence.
pub(crate) fn segment_name(epoch: Epoch, first_seq: u64) -> String {
    format!("{:016x}-{:016x}-{first_seq:016x}.spool", epoch.counter, epoch.nonce)
}

/// Epoch and first sequence number out of a segment's name.
pub(crate) fn parse_segment_name(name: &str) -> Option<(Epoch, u64)> {
    let mut parts =
        name.strip_suffix(".spool")?.splitn(3, '-').map(|p| u64::from_str_radix(p, 16).ok().filter(|_| p.len() == 16));
    let (counter, nonce, first) = (parts.next()??, parts.next()??, parts.next()??);
    Some((Epoch { counter, nonce }, first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn three() -> (Vec<u8>, Vec<usize>) {
        let mut out = Vec::new();
        let mut ends = Vec::new();
        for (seq, payload) in [(1, &b"first"[..]), (2, b""), (3, b"the third")] {
            put_record(&mut out, Priority::Alert, seq, 7, payload);
            ends.push(out.len());
        }
        (out, ends)
    }

    #[test]
    fn every_truncation_keeps_the_whole_entries_and_nothing_else() {
        let (bytes, ends) = three();
        for cut in 0..=bytes.len() {
            let (mut pos, mut after, mut n) = (0, 0, 0);
            while let Some((e, next)) = next_entry(&bytes[..cut], pos, after) {
                (pos, after, n) = (next, e.last, n + 1);
            }
            assert_eq!(n, ends.iter().filter(|e| **e <= cut).count(), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_costs_that_entry_only() {
        let (bytes, ends) = three();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            let (mut pos, mut after, mut seen) = (0, 0, Vec::new());
            while let Some((e, next)) = next_entry(&bad, pos, after) {
                (pos, after) = (next, e.last);
                seen.push(e.seq);
            }
            let hit = ends.iter().position(|e| at < *e).unwrap() as u64 + 1;
            let want: Vec<u64> = (1..=3).filter(|s| *s != hit).collect();
            assert_eq!(seen, want, "bit at {at}");
        }
    }

    #[test]
    fn a_record_over_the_cap_is_not_read() {
        let mut out = Vec::new();
        put_record(&mut out, Priority::Bulk, 1, 0, &vec![0; MAX_RECORD + 1]);
        assert!(next_entry(&out, 0, 0).is_none());
        out.clear();
        put_record(&mut out, Priority::Bulk, 1, 0, &vec![0; MAX_RECORD]);
        assert!(next_entry(&out, 0, 0).is_some());
    }

    #[test]
    fn names_round_trip_and_others_are_ignored() {
        let e = Epoch { counter: 3, nonce: 0xfeed };
        assert_eq!(parse_segment_name(&segment_name(e, 77)), Some((e, 77)));
        for bad in ["ledger", "lock", "1-2-3.spool", "x.spool", "0000000000000003-000000000000feed.spool"] {
            assert_eq!(parse_segment_name(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let (mut pos, mut after) = (0, 0);
            while let Some((e, next)) = next_entry(&bytes, pos, after) {
                (pos, after) = (next, e.last);
            }
        }
    }
}
