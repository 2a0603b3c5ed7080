// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One cursor for hostile bytes: check once, read, never panic, never allocate.
//!
//! Nested lengths go through [`Reader::sub`], so that an inner length can never reach outside its parent.

/// A cursor over borrowed bytes. Every read is None where too few bytes are left, and then moves nothing.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Over all of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }
    /// A reader over the next `n` bytes only.
    pub fn sub(&mut self, n: usize) -> Option<Self> {
        self.take(n).map(Self::new)
    }
    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>()?;
        self.rest = tail;
        Some(*head)
    }
    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }
    /// Two bytes, network order.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }
    /// Four bytes, network order.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
    /// Eight bytes, network order.
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
    /// Two bytes, least significant first.
    pub fn u16_le(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }
    /// Four bytes, least significant first.
    pub fn u32_le(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    /// What is left, without moving.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }
    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_read_moves_nothing() {
        let mut r = Reader::new(&[1, 2, 3]);
        assert_eq!(r.u32(), None);
        assert_eq!((r.u16(), r.u16(), r.u8(), r.u8()), (Some(0x0102), None, Some(3), None));
        assert!(r.is_empty());
        let mut r = Reader::new(&[1, 2, 3, 4, 5, 6]);
        assert_eq!((r.u16_le(), r.u32_le(), r.u16_le()), (Some(0x0201), Some(0x0605_0403), None));
    }

    proptest! {
        #[test]
        fn a_sub_reader_never_sees_its_parents_tail(bytes: Vec<u8>, n in 0usize..64) {
            let mut r = Reader::new(&bytes);
            match r.sub(n) {
                Some(s) => prop_assert_eq!((s.rest(), r.rest()), (&bytes[..n], &bytes[n..])),
                None => prop_assert!(n > bytes.len() && r.rest() == bytes),
            }
        }
    }
}
