// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Where records lie in a direction, for rules on frames: header, whole record, what it carries.
//!
//! Must never look into a record. Records of SSL 2.0 have another header and are not marked, nor is anything behind one, or
//! behind a header that is damaged.

use crate::{frames::Kind, protocol::Cx};

/// Length of a record's header (RFC 8446, 5.1).
const HEADER: usize = 5;

/// Where a direction is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// So much of a record is still to come.
    left: usize,
    /// It is not known where records begin.
    lost: bool,
}

impl Place {
    /// Marks the records that begin in `data`. How much of it may be read: a header that is cut in two is not.
    pub(super) fn mark(&mut self, data: &[u8], cx: &mut Cx<'_>) -> usize {
        let mut at = self.left;
        while let Some(rest) = data.get(at..).filter(|r| !r.is_empty() && !self.lost) {
            let Some([kind, major, _, a, b]) = rest.first_chunk::<HEADER>() else {
                self.left = 0;
                return at;
            };
            if !matches!(kind, 20..=24) || *major != 3 {
                self.lost = true;
                break;
            }
            let len = usize::from(u16::from_be_bytes([*a, *b]));
            cx.frame(Kind::TlsHdr, rest.len(), HEADER as u64);
            cx.frame(Kind::TlsPdu, rest.len(), (HEADER + len) as u64);
            cx.frame(Kind::TlsData, rest.len() - HEADER, len as u64); // a header is there
            at += HEADER + len;
        }
        self.left = at.saturating_sub(data.len());
        data.len()
    }

    /// Bytes were read unmarked: nobody asked then.
    pub(super) const fn lose(&mut self) {
        self.lost = true;
    }

    /// So many bytes are missing.
    pub(super) fn gap(&mut self, len: u64) {
        match usize::try_from(len).ok().and_then(|n| self.left.checked_sub(n)) {
            Some(left) => self.left = left,
            None => self.lost = true,
        }
    }
}
