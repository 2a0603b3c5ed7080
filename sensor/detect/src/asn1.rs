// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `asn1`: elements of BER (X.690, 8.1) with lengths that have broken readers of it.
//!
//! What counts was measured on Suricata 7.0.10: elements that follow each other and those in a SEQUENCE or SET, each of them
//! whole; where one is not, it and what follows is not looked at, nor what it lies in. Must never look outside the bytes.
//! Limits: [`MAX_ELEMENTS`], [`MAX_DEPTH`].

use lagewarte_rules::ast::Asn1;

/// Most elements of one look (Suricata's `asn1-max-frames`). Threat: a payload of nothing but empty elements.
const MAX_ELEMENTS: usize = 256;
/// Deepest nesting. Threat: a sequence in a sequence, and so on, until the stack ends.
const MAX_DEPTH: usize = 50;
/// Digits of a REAL beyond which `double_overflow` holds.
const MAX_DIGITS: usize = 256;

const BIT_STRING: u64 = 3;
const REAL: u64 = 9;
const SEQUENCE: u64 = 16;
const SET: u64 = 17;

/// What the head of an element says.
struct Head {
    /// Of those that X.690 itself gives numbers to.
    universal: bool,
    constructed: bool,
    number: u64,
    /// None: until an end mark.
    len: Option<u64>,
}

/// Whether an element where the rule says, or one behind it or in one of these, is what the rule asks for. `end`: where the
/// match before ended.
pub(crate) fn odd(test: &Asn1, bytes: &[u8], end: usize) -> bool {
    let base = if test.relative { i64::try_from(end).unwrap_or(i64::MAX) } else { 0 };
    let Some(from) = base.checked_add(test.offset).and_then(|n| usize::try_from(n).ok()) else { return false };
    let mut look = Look { test, left: MAX_ELEMENTS };
    let mut rest = bytes.get(from..).unwrap_or_default();
    while let Some((odd, behind)) = look.element(rest, 0) {
        if odd {
            return true;
        }
        rest = behind;
    }
    false
}

struct Look<'t> {
    test: &'t Asn1,
    /// Elements that may still be looked at.
    left: usize,
}

impl Look<'_> {
    // Whether the first element or one in it is odd, and what follows it. None where it is not whole.
    fn element<'b>(&mut self, bytes: &'b [u8], depth: usize) -> Option<(bool, &'b [u8])> {
        self.left = self.left.checked_sub(1).filter(|_| depth <= MAX_DEPTH)?;
        let (head, behind) = head(bytes)?;
        let nests = head.universal && matches!(head.number, SEQUENCE | SET);
        if nests && !head.constructed {
            return None;
        }
        let mut odd = head.len.zip(self.test.oversize).is_some_and(|(len, most)| len > most.into());
        let (mut inner, rest) = match head.len {
            Some(len) => {
                let (content, rest) = behind.split_at_checked(usize::try_from(len).ok()?)?;
                if !nests {
                    let own = head.universal && !head.constructed && self.own(head.number, content);
                    return (!head.universal || well_formed(&head, content)).then_some((odd || own, rest));
                }
                (content, Some(rest))
            }
            None if nests => (behind, None),
            None => return None,
        };
        loop {
            match rest {
                Some(rest) if inner.is_empty() => return Some((odd, rest)),
                None if matches!(inner, [mark, 0, ..] if mark & 0x1f == 0) => return Some((odd, inner.get(2..)?)),
                _ => {}
            }
            let (found, behind) = self.element(inner, depth + 1)?;
            odd |= found;
            inner = behind;
        }
    }

    // What is odd about a content of a kind.
    fn own(&self, number: u64, content: &[u8]) -> bool {
        match (number, content.first()) {
            // The first byte is the number of bits that do not count in the last.
            (BIT_STRING, Some(unused)) => self.test.bitstring && usize::from(*unused) > 8 * content.len(),
            // Two bits that are zero are for digits (8.5.6).
            (REAL, Some(form)) => self.test.double && form & 0xc0 == 0 && content.len() > MAX_DIGITS,
            _ => false,
        }
    }
}

// Whether a content has the form and length of its kind. Which characters and times it may hold is not asked.
fn well_formed(head: &Head, content: &[u8]) -> bool {
    match head.number {
        1 => content.len() == 1, // BOOLEAN
        BIT_STRING => !head.constructed && !content.is_empty(),
        10 => !head.constructed && content.len() <= 4, // ENUMERATED
        30 => !head.constructed && content.len().is_multiple_of(2), // BMPString
        7 | 12 | 18..=28 => !head.constructed,         // texts and times
        _ => true,
    }
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

    /// Each as Suricata 7.0.10 has it.
    #[test]
    fn one_odd_length_is_enough_wherever_it_lies() {
        let all = Asn1 { bitstring: true, double: true, oversize: Some(2_048), ..Asn1::default() };
        let behind = |head: &[u8], n: usize| [head, &vec![b'1'; n]].concat();
        let real = behind(&[9, 0x82, 1, 1, 3], 256);
        for (what, bytes, is) in [
            ("a bit string", &[3, 2, 0, 0xff][..], false),
            ("as many bits that do not count as it has, the count's own byte with them", &[3, 2, 16, 0xff], false),
            ("one more", &[3, 2, 17, 0xff], true),
            ("of the count's byte alone", &[3, 1, 9], true),
            ("eight of that", &[3, 1, 8], false),
            ("in a sequence in a sequence", &[0x30, 5, 0x30, 3, 3, 1, 9], true),
            ("in a set, behind an integer", &[0x31, 6, 2, 1, 5, 3, 1, 9], true),
            ("behind an integer", &[2, 1, 5, 3, 1, 9], true),
            ("in sequences that last until their end marks", &[0x30, 0x80, 0x30, 0x80, 3, 1, 9, 0, 0, 0, 0], true),
            ("in one without its end mark", &[0x30, 0x80, 3, 1, 9], false),
            ("in what is no sequence", &[0x60, 3, 3, 1, 9], false),
            ("in a bit string in pieces", &[0x23, 3, 3, 1, 9], false),
            ("with a tag of several bytes", &[0x3f, 0x81, 1, 3, 3, 1, 9], false),
            ("behind what has the wrong form", &[0x23, 0, 3, 1, 9], false),
            ("behind a sequence that is none", &[0x10, 0, 3, 1, 9], false),
            ("behind a truth value of two bytes", &[1, 2, 0, 0, 3, 1, 9], false),
            ("behind a large choice", &[10, 5, 1, 0, 0, 0, 0, 3, 1, 9], false),
            ("behind half a character of two bytes", &[30, 1, 0, 3, 1, 9], false),
            ("behind a text in pieces", &[0x2c, 0, 3, 1, 9], false),
            ("behind octets in pieces", &[0x24, 3, 3, 1, 9, 3, 1, 9], true),
            ("behind one without even the count", &[3, 0, 3, 1, 9], false),
            ("before an end mark of another class", &[0x30, 0x80, 3, 1, 9, 0x80, 0], true),
            ("behind a tag of several bytes", &[0x1f, 0x81, 1, 0, 3, 1, 9], true),
            ("with the number of an application", &[0x43, 1, 9], false),
            ("before what is not whole", &[3, 1, 9, 4, 0x82, 8, 1], true),
            ("beside what is not whole, in a sequence", &[0x30, 6, 3, 1, 9, 4, 9, 1], false),
            ("2,048 bytes", &behind(&[4, 0x82, 8, 0], 2_048), false),
            ("2,049 bytes", &behind(&[4, 0x82, 8, 1], 2_049), true),
            ("2,049 bytes, of which one did not come", &behind(&[4, 0x82, 8, 1], 2_048), false),
            ("the same length in four bytes", &behind(&[4, 0x84, 0, 0, 8, 1], 2_049), true),
            ("a sequence of 2,049 bytes", &behind(&[0x30, 0x82, 8, 1, 4, 0x82, 7, 0xfd], 2_045), true),
            ("more bytes than there are numbers", &[0x04, 0x8a, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], false),
            ("digits", &[9, 3, 3, b'1', b'2'], false),
            ("257 bytes of digits", &real, true),
            ("256 bytes of digits", &behind(&[9, 0x82, 1, 0, 3], 255), false),
            ("257 bytes that are no digits", &behind(&[9, 0x82, 1, 1, 0x80], 256), false),
            ("a head that ends", &[0x30, 0x82, 1], false),
            ("nothing", &[], false),
        ] {
            assert_eq!(odd(&all, bytes, 0), is, "{what}");
            assert!(!odd(&Asn1 { offset: -1, ..all }, bytes, 0), "{what}: before the beginning");
            let later = [b"xyz", bytes].concat();
            assert_eq!(odd(&Asn1 { offset: 3, ..all }, &later, 9), is, "{what}: at a place");
            assert_eq!(odd(&Asn1 { offset: 1, relative: true, ..all }, &later, 2), is, "{what}: behind a match");
        }
        assert!(!odd(&Asn1 { bitstring: false, ..all }, &[3, 1, 9], 0), "not asked for");
        assert!(!odd(&Asn1 { double: false, ..all }, &real, 0), "not asked for");
        assert!(!odd(&Asn1 { oversize: None, ..all }, &behind(&[4, 0x82, 8, 1], 2_049), 0), "not asked for");
    }

    #[test]
    fn elements_without_end_are_looked_at_so_far_and_so_deep() {
        let all = Asn1 { bitstring: true, ..Asn1::default() };
        let behind = |n: usize| [[5, 0].repeat(n), vec![3, 1, 9]].concat();
        assert!(odd(&all, &behind(MAX_ELEMENTS - 1), 0));
        assert!(!odd(&all, &behind(MAX_ELEMENTS), 0));
        let within = |n: usize| [[0x30, 0x80].repeat(n), vec![3, 1, 9], [0, 0].repeat(n)].concat();
        assert!(odd(&all, &within(MAX_DEPTH), 0));
        assert!(!odd(&all, &within(MAX_DEPTH + 1), 0));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, offset in -70_000i64..70_000, end: usize, oversize: Option<u32>, relative: bool) {
            let _ = odd(&Asn1 { bitstring: true, double: true, oversize, offset, relative }, &bytes, end);
        }
    }
}
