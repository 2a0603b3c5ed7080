// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Whether the values of a Modbus message are ones that the specification allows, and whether a response fits its request
//! ("MODBUS Application Protocol Specification V1.1b3", 6). Must never judge a function whose layout it does not know.

use super::Frame;

/// Whether a function has a number that the specification knows.
pub(super) fn known(f: &Frame) -> bool {
    f.name() != "Unknown"
}

/// Whether an exception is one of the specification's (7).
pub(super) const fn exception(code: u8) -> bool {
    matches!(code, 1..=8 | 10 | 11)
}

/// Whether a request's quantities and values are in their bounds.
pub(super) fn request(f: &Frame) -> bool {
    let Some(second) = f.word(2) else { return true };
    let bytes = |at: usize| f.data.get(at).copied().map(usize::from);
    let bits = usize::from(second).div_ceil(8);
    match f.function {
        1 | 2 => (1..=2000).contains(&second),
        3 | 4 => (1..=125).contains(&second),
        5 => matches!(second, 0 | 0xff00),
        15 => (1..=1968).contains(&second) && bytes(4).is_none_or(|n| n == bits),
        16 => (1..=123).contains(&second) && bytes(4).is_none_or(|n| n == 2 * usize::from(second)),
        23 => {
            let written = f.word(6).unwrap_or(1);
            (1..=125).contains(&second)
                && (1..=121).contains(&written)
                && bytes(8).is_none_or(|n| n == 2 * usize::from(written))
        }
        _ => true,
    }
}

/// Whether a response says what its request makes it say.
pub(super) fn fits(asked: &Frame, answered: &Frame) -> bool {
    if answered.exception.is_some() {
        return true;
    }
    let same = |n: usize| match (asked.data.get(..n), answered.data.get(..n)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    let count = answered.data.first().copied().map(usize::from);
    let wanted = asked.word(2).map(usize::from);
    match asked.function {
        1 | 2 => count.zip(wanted).is_none_or(|(n, w)| n == w.div_ceil(8)),
        3 | 4 | 23 => count.zip(wanted).is_none_or(|(n, w)| n == 2 * w),
        5 | 6 | 15 | 16 => same(4),
        22 => same(6),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pdu: &[u8]) -> Frame {
        let exception = (pdu[0] & 0x80 != 0).then(|| pdu[1]);
        let data = if exception.is_some() { Vec::new() } else { pdu[1..].to_vec() };
        Frame { function: pdu[0] & 0x7f, exception, data, ..Frame::default() }
    }

    #[test]
    fn quantities_have_the_bounds_of_the_specification() {
        for (pdu, good) in [
            (&[1, 0, 0, 0x07, 0xd0][..], true), // 2000 coils
            (&[1, 0, 0, 0x07, 0xd1], false),
            (&[2, 0, 0, 0, 0], false),
            (&[3, 0, 0, 0, 125], true),
            (&[4, 0, 0, 0, 126], false),
            (&[5, 0, 1, 0xff, 0], true),
            (&[5, 0, 1, 0, 1], false),
            (&[6, 0, 1, 0, 1], true),
            (&[15, 0, 0, 0, 9, 2, 0xff, 1], true),
            (&[15, 0, 0, 0, 9, 1, 0xff], false),
            (&[16, 0, 0, 0, 2, 4, 0, 1, 0, 2], true),
            (&[16, 0, 0, 0, 2, 3, 0, 1, 0], false),
            (&[16, 0, 0, 0, 124, 248], false),
            (&[23, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 7], true),
            (&[23, 0, 0, 0, 1, 0, 0, 0, 122, 244], false),
            (&[8, 0, 0], true),
            (&[99, 0, 0, 0, 0], true),
        ] {
            assert_eq!(request(&frame(pdu)), good, "{pdu:?}");
        }
        assert!(known(&frame(&[24])) && !known(&frame(&[25])) && !known(&frame(&[0])));
        assert!(exception(11) && !exception(9) && !exception(0));
    }

    #[test]
    fn a_response_echoes_what_was_written_and_counts_what_was_asked() {
        for (asked, answered, good) in [
            (&[1, 0, 0, 0, 9][..], &[1, 2, 0, 0][..], true),
            (&[1, 0, 0, 0, 9], &[1, 1, 0], false),
            (&[3, 0, 0, 0, 2], &[3, 4, 0, 0, 0, 0], true),
            (&[3, 0, 0, 0, 2], &[3, 2, 0, 0], false),
            (&[6, 0, 1, 0, 7], &[6, 0, 1, 0, 7], true),
            (&[6, 0, 1, 0, 7], &[6, 0, 1, 0, 8], false),
            (&[16, 0, 9, 0, 2, 4, 0, 7, 1, 0], &[16, 0, 9, 0, 2], true),
            (&[16, 0, 9, 0, 2, 4, 0, 7, 1, 0], &[16, 0, 9, 0, 1], false),
            (&[6, 0, 1, 0, 7], &[0x86, 2], true),
            (&[7], &[7, 1], true),
        ] {
            assert_eq!(fits(&frame(asked), &frame(answered)), good, "{asked:?} {answered:?}");
        }
    }
}
