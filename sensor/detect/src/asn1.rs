// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `asn1`: elements of BER (X.690, 8.1) with lengths that have broken readers of it.
//!
//! Must never look outside the bytes, and never recurse. An element that says to be longer than the bytes are is looked at as
//! far as it goes: that it says so is what is asked for. Limit: [`MAX_ELEMENTS`].

use lagewarte_rules::ast::Asn1;

/// Most elements of one look (Suricata's `asn1-max-frames`). Threat: a payload of nothing but empty elements.
const MAX_ELEMENTS: usize = 256;
/// Digits of a REAL beyond which `double_overflow` holds.
const MAX_DIGITS: u64 = 256;

const BIT_STRING: u64 = 3;
const REAL: u64 = 9;

/// What the head of an element says.
struct Head {
    /// Of those that X.690 itself gives numbers to.
    universal: bool,
    constructed: bool,
    number: u64,
    /// None: until an end mark, which the elements inside do not need.
    len: Option<u64>,
}

/// Whether an element where the rule says, or one in it or behind it, is what the rule asks for. `end`: where the match before
/// ended.
pub(crate) fn odd(test: &Asn1, bytes: &[u8], end: usize) -> bool {
    let base = if test.relative { i64::try_from(end).unwrap_or(i64::MAX) } else { 0 };
    let Some(from) = base.checked_add(test.offset).and_then(|n| usize::try_from(n).ok()) else { return false };
    let mut rest = bytes.get(from..).unwrap_or_default();
    for _ in 0..MAX_ELEMENTS {
        let Some((head, content)) = head(rest) else { return false };
        if test.oversize.zip(head.len).is_some_and(|(most, len)| len > most.into()) {
            return true;
        }
        let own = head.universal && !head.constructed;
        let len = head.len.unwrap_or(0);
        match (head.number, content.first()) {
            // The first byte is the number of bits that do not count in the last.
            (BIT_STRING, Some(unused)) if own && test.bitstring && u64::from(*unused) > len.saturating_sub(1) * 8 => {
                return true;
            }
            // Two bits that are zero are for digits (8.5.6).
            (REAL, Some(form)) if own && test.double && form & 0xc0 == 0 && len > MAX_DIGITS => return true,
            _ => {}
        }
        // What is constructed is followed by what it consists of.
        rest = match (head.constructed, usize::try_from(len)) {
            (true, _) => content,
            (false, Ok(len)) => content.get(len..).unwrap_or_default(),
            (false, Err(_)) => return false,
        };
    }
    false
}

// The head of the first element, and what follows it. None where there is none.
fn head(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let mut number = u64::from(first & 0x1f);
    if number == 0x1f {
        // In as many bytes as have the highest bit set, and one more (8.1.2.4).
        number = 0;
        loop {
            let (b, behind) = rest.split_first()?;
            (number, rest) = (number.checked_mul(128)? | u64::from(b & 0x7f), behind);
            if b & 0x80 == 0 {
                break;
            }
        }
    }
    let (length, mut rest) = rest.split_first()?;
    let len = match length & 0x7f {
        short if length & 0x80 == 0 => Some(u64::from(short)),
        0 => None,
        n => {
            let (digits, behind) = rest.split_at_checked(n.into())?;
            rest = behind;
            // One that needs more than eight bytes is as long as can be.
            Some(digits.iter().fold(0u64, |n, b| n.checked_mul(256).map_or(u64::MAX, |n| n | u64::from(*b))))
        }
    };
    let head = Head { universal: first & 0xc0 == 0, constructed: first & 0x20 != 0, number, len };
    Some((head, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_odd_length_is_enough_however_deep_it_lies() {
        let all = Asn1 { bitstring: true, double: true, oversize: Some(2_048), ..Asn1::default() };
        let real = [&[9, 0x82, 1, 1, 3][..], &[b'1'; 256]].concat();
        for (what, bytes, is) in [
            ("a bit string", &[3, 2, 0, 0xff][..], false),
            ("its last byte has seven bits that do not count", &[3, 2, 7, 0x80], false),
            ("sixteen of eight do not count", &[3, 2, 16, 0xff], true),
            ("one of none does not count", &[3, 1, 1], true),
            ("the same in a sequence in a sequence", &[0x30, 5, 0x30, 3, 3, 1, 1], true),
            ("the same behind an integer", &[0x30, 6, 2, 1, 5, 3, 1, 1], true),
            ("the same in one that lasts until its end mark", &[0x30, 0x80, 3, 1, 1, 0, 0], true),
            ("the number of an application's own", &[0x43, 1, 1], false),
            ("2,048 bytes", &[0x04, 0x82, 8, 0], false),
            ("2,049 bytes, of which none came", &[0x04, 0x82, 8, 1], true),
            ("more bytes than there are numbers", &[0x04, 0x8a, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], true),
            ("a tag of several bytes, then the same", &[0x1f, 0x81, 0, 0, 3, 1, 1], true),
            ("digits", &[9, 3, 3, b'1', b'2'], false),
            ("257 bytes of digits", &real, true),
            ("257 bytes that are no digits", &[&[9, 0x82, 1, 1, 0x80][..], &[1; 256]].concat(), false),
            ("a head that ends", &[0x30, 0x82, 1], false),
            ("nothing", &[], false),
        ] {
            assert_eq!(odd(&all, bytes, 0), is, "{what}");
            assert!(!odd(&Asn1 { offset: -1, ..all }, bytes, 0), "{what}: before the beginning");
            let later = [b"xyz", bytes].concat();
            assert_eq!(odd(&Asn1 { offset: 3, ..all }, &later, 9), is, "{what}: at a place");
            assert_eq!(odd(&Asn1 { offset: 1, relative: true, ..all }, &later, 2), is, "{what}: behind a match");
        }
        let bits = [3, 1, 1];
        assert!(!odd(&Asn1 { bitstring: false, ..all }, &bits, 0), "not asked for");
        assert!(!odd(&Asn1 { double: false, ..all }, &real, 0), "not asked for");
        assert!(!odd(&Asn1 { oversize: None, ..all }, &[0x04, 0x82, 8, 1], 0), "not asked for");
    }

    #[test]
    fn elements_without_end_are_looked_at_so_far() {
        let all = Asn1 { bitstring: true, ..Asn1::default() };
        let behind = |n: usize| [[5, 0].repeat(n), vec![3, 1, 1]].concat();
        assert!(odd(&all, &behind(MAX_ELEMENTS - 1), 0));
        assert!(!odd(&all, &behind(MAX_ELEMENTS), 0));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, offset in -70_000i64..70_000, end: usize, oversize: Option<u32>, relative: bool) {
            let _ = odd(&Asn1 { bitstring: true, double: true, oversize, offset, relative }, &bytes, end);
        }
    }
}
