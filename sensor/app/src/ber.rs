// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! One element of BER or DER after the other (X.690): for the protocols that are written in ASN.1.
//!
//! Must never look outside the bytes given, and never recurse: who reads nested elements does so as deep as the protocol
//! has them. Tags of one byte and definite lengths of four bytes at most are read; the protocols have no others.

/// Tag of a SEQUENCE.
pub(crate) const SEQUENCE: u8 = 0x30;
/// Tag of an INTEGER.
pub(crate) const INTEGER: u8 = 2;
/// Tag of an OCTET STRING.
pub(crate) const OCTETS: u8 = 4;
/// Tag of an ENUMERATED.
pub(crate) const ENUMERATED: u8 = 10;

/// The tag of `[n]` with something in it.
pub(crate) const fn context(n: u8) -> u8 {
    0xa0 | n
}

/// An element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// Class, form and number in one byte.
    pub(crate) tag: u8,
    /// What it holds.
    pub(crate) content: &'a [u8],
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Head {
    /// Tag, length of the head, length of the content.
    Is(u8, usize, usize),
    /// More bytes are wanted.
    More,
    /// A form that is not read.
    Bad,
}

/// Reads a tag and a length.
pub(crate) fn head(data: &[u8]) -> Head {
    let (tag, first, rest) = match data {
        [tag, first, rest @ ..] => (*tag, *first, rest),
        _ => return Head::More,
    };
    if tag & 0x1f == 0x1f {
        return Head::Bad;
    }
    if first < 0x80 {
        return Head::Is(tag, 2, first.into());
    }
    let n = usize::from(first & 0x7f);
    if n == 0 || n > 4 {
        return Head::Bad;
    }
    match rest.get(..n) {
        Some(bytes) => Head::Is(tag, 2 + n, bytes.iter().fold(0, |len, b| len << 8 | usize::from(*b))),
        None => Head::More,
    }
}

/// Elements that follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elements<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;
    /// The next one; None at the end and where the rest is none.
    fn next(&mut self) -> Option<Element<'a>> {
        let Head::Is(tag, from, len) = head(self.0) else {
            self.0 = &[];
            return None;
        };
        let (element, rest) = match self.0.get(from..).and_then(|r| r.split_at_checked(len)) {
            Some((content, rest)) => (Some(Element { tag, content }), rest),
            None => (None, &[][..]),
        };
        self.0 = rest;
        element
    }
}

impl<'a> Element<'a> {
    /// The first element of these bytes.
    pub(crate) fn first(data: &'a [u8]) -> Option<Self> {
        Elements(data).next()
    }
    /// What it holds, element by element.
    pub(crate) const fn elements(self) -> Elements<'a> {
        Elements(self.content)
    }
    /// The element of that tag in it.
    pub(crate) fn get(self, tag: u8) -> Option<Self> {
        self.elements().find(|e| e.tag == tag)
    }
    /// What `[n]` in it holds.
    pub(crate) fn field(self, n: u8) -> Option<Self> {
        Self::first(self.get(context(n))?.content)
    }
    /// A number of at most eight bytes.
    pub(crate) fn number(self) -> Option<i64> {
        let first = *self.content.first()?;
        if self.content.len() > 8 {
            return None;
        }
        let sign = if first & 0x80 != 0 { -1 } else { 0 };
        Some(self.content.iter().fold(sign, |n, b| n << 8 | i64::from(*b)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn elements_are_read_one_by_one() {
        let wire = [0x30, 0x81, 9, 2, 1, 0xff, 0xa1, 4, 4, 2, b'h', b'i', 5, 0];
        assert_eq!(head(&wire), Head::Is(SEQUENCE, 3, 9));
        let e = Element::first(&wire).unwrap();
        assert_eq!(e.get(INTEGER).unwrap().number(), Some(-1));
        assert_eq!(e.field(1).unwrap().content, b"hi");
        assert_eq!(Elements(&wire).map(|e| e.tag).collect::<Vec<_>>(), [0x30, 5]);
        assert_eq!((head(&[0x30]), head(&[0x30, 0x82, 1])), (Head::More, Head::More));
        assert_eq!((head(&[0x30, 0x80]), head(&[0x30, 0x85]), head(&[0x1f, 1])), (Head::Bad, Head::Bad, Head::Bad));
        for n in 0..12 {
            assert_eq!(Element::first(&wire[..n]), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes(data: Vec<u8>) {
            for e in Elements(&data) {
                let _ = (e.number(), e.field(1), e.elements().count());
            }
        }
    }
}
