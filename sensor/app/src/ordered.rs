// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A cursor over hostile bytes whose numbers are in the order that the protocol or the message says.
//!
//! As [`lagewarte_base::reader::Reader`], which is for network order: every read is None where too few bytes are left, and
//! then moves nothing.

/// The cursor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordered<'a> {
    rest: &'a [u8],
    little: bool,
}

impl<'a> Ordered<'a> {
    /// Over bytes with the lower byte first.
    pub(crate) const fn little(rest: &'a [u8]) -> Self {
        Self { rest, little: true }
    }
    /// Over bytes in the order that is given.
    pub(crate) const fn new(rest: &'a [u8], little: bool) -> Self {
        Self { rest, little }
    }
    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }
    /// The next `N` bytes as they come.
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>()?;
        self.rest = tail;
        Some(*head)
    }
    /// One byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }
    /// Two bytes.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(|b| if self.little { u16::from_le_bytes(b) } else { u16::from_be_bytes(b) })
    }
    /// Four bytes.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(|b| if self.little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) })
    }
    /// Eight bytes.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(|b| if self.little { u64::from_le_bytes(b) } else { u64::from_be_bytes(b) })
    }
    /// What is left, without moving.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_and_short_reads() {
        let mut r = Ordered::little(&[1, 2, 3, 4, 5]);
        assert_eq!((r.u64(), r.u32(), r.u16(), r.u8()), (None, Some(0x0403_0201), None, Some(5)));
        let mut r = Ordered::new(&[1, 2, 3, 4], false);
        assert_eq!((r.u16(), r.take(3), r.rest()), (Some(0x0102), None, &[3, 4][..]));
    }
}
